//! The console: plain lines with the time of day.

use std::{fmt, io::Write};

use clap::Args;
use jiff::{Timestamp, tz::TimeZone};
use tower_keypool::Clock;
use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
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
use crate::gateway::{REQUESTS, SPANS};

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

/// Lets events of `tracing`, ours and the library's, come out as lines on standard output.
pub fn start(verbosity: Verbosity) {
    let targets = if verbosity.quiet {
        Targets::new().with_default(LevelFilter::ERROR)
    } else {
        let requests = if verbosity.verbose { LevelFilter::DEBUG } else { LevelFilter::OFF };
        Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("keypool", LevelFilter::INFO)
            .with_target(REQUESTS, requests)
            // What these tell is told in lines of our own.
            .with_target("tower_keypool::events", LevelFilter::OFF)
            .with_target(SPANS, LevelFilter::OFF)
    };
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines { clock: Clock::system(), zone: TimeZone::system() })
        .fmt_fields(DefaultFields::new())
        .with_ansi(false);
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
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
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if let Ok(now) = Timestamp::try_from(self.clock.wall()) {
            write!(out, "{} ", now.to_zoned(self.zone.clone()).strftime("%H:%M:%S"))?;
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
