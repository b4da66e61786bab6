//! The console: plain lines with the time of day.

use std::{fmt, io::Write, path::Path};

use clap::Args;
use jiff::{Timestamp, tz::TimeZone};
use tower_keypool::Clock;
use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_appender::{
    non_blocking::WorkerGuard,
    rolling::{InitError, RollingFileAppender, Rotation},
};
use tracing_subscriber::{
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{DefaultFields, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::plain::Plain;
use crate::{
    config::{self, LogSection},
    gateway::{REQUESTS, SPANS},
};

/// What the library tells of a store that processes share: how it stands, a line each time that turns.
const SHARING: &str = "tower_keypool::sharing";

/// How much is told.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Verbosity {
    /// A line for each request, too
    #[arg(short, long)]
    pub verbose: bool,

    /// No line at all, but for errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Lets events of `tracing`, ours and the library's, come out as lines on standard output, and in files where a folder
/// is named. What is returned writes the last lines when it is dropped.
///
/// # Errors
/// When the folder cannot be written to.
pub fn start(log: &LogSection) -> Result<Option<WorkerGuard>, InitError> {
    let targets = match log.level {
        config::Level::Error => Targets::new().with_default(LevelFilter::ERROR),
        config::Level::Warn => Targets::new().with_default(LevelFilter::WARN),
        config::Level::Info => Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("keypool", LevelFilter::INFO)
            .with_target(SHARING, LevelFilter::INFO)
            .with_target(REQUESTS, LevelFilter::OFF),
        config::Level::Debug => Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("keypool", LevelFilter::INFO)
            .with_target(SHARING, LevelFilter::INFO)
            .with_target(REQUESTS, LevelFilter::DEBUG),
        config::Level::Trace => Targets::new().with_default(LevelFilter::TRACE),
    };
    // What these tell is told in lines of our own.
    let targets = targets.with_target("tower_keypool::events", LevelFilter::OFF).with_target(SPANS, LevelFilter::OFF);
    let (writer, guard) = match &log.directory {
        Some(folder) => {
            let (writer, guard) = tracing_appender::non_blocking(daily(folder, log.keep.map(|keep| keep.0))?);
            (Some(writer), Some(guard))
        }
        None => (None, None),
    };
    let lines = |form| Lines { clock: Clock::system(), zone: TimeZone::system(), form };
    let console = tracing_subscriber::fmt::layer()
        .event_format(lines("%H:%M:%S"))
        .fmt_fields(DefaultFields::new())
        .with_ansi(false);
    let files = writer.map(|writer| {
        tracing_subscriber::fmt::layer()
            .event_format(lines("%Y-%m-%dT%H:%M:%S%:z"))
            .fmt_fields(DefaultFields::new())
            .with_ansi(false)
            .with_writer(writer)
    });
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(targets).with(console).with(files).try_init();
    Ok(guard)
}

/// `keypool.2026-11-20.log`, a file a day.
fn daily(folder: &Path, keep: Option<u16>) -> Result<RollingFileAppender, InitError> {
    let files =
        RollingFileAppender::builder().rotation(Rotation::DAILY).filename_prefix("keypool").filename_suffix("log");
    match keep {
        Some(keep) => files.max_log_files(usize::from(keep).max(1)).build(folder),
        None => files.build(folder),
    }
}

/// Prints text as it is, if lines of this level are shown at all. A closed pipe is no reason to stop.
pub fn say(text: &dyn fmt::Display) {
    if tracing::enabled!(target: "keypool", Level::INFO) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

/// `07:12:03 what happened`
struct Lines {
    clock: Clock,
    zone: TimeZone,
    /// How the time is written.
    form: &'static str,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if let Ok(now) = Timestamp::try_from(self.clock.wall()) {
            write!(out, "{} ", now.to_zoned(self.zone.clone()).strftime(self.form))?;
        }
        match *event.metadata().level() {
            Level::ERROR => out.write_str("error: ")?,
            Level::WARN => out.write_str("note: ")?,
            _ => {}
        }
        // Models and reasons are what clients and providers wrote.
        ctx.field_format().format_fields(Writer::new(&mut Plain(out.by_ref())), event)?;
        writeln!(out)
    }
}
