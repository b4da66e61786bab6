//! What is told, and to whom: lines on standard output, and in files where a folder is named.

use std::{cell::Cell, fmt, io, sync::Arc};

use clap::Args;
use jiff::tz::TimeZone;
use tower_keypool::Clock;
use tracing::{Event, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    filter::Targets,
    layer::{Context, Layer, SubscriberExt},
    util::SubscriberInitExt,
};

use super::{
    files::Files,
    form::{Form, SAID},
    sink::{Kind, Sink, Written},
};
use crate::{
    config::{self, LogSection},
    gateway::{REQUESTS, SPANS},
};

/// What the library tells of a store that processes share: how it stands, a line each time that turns.
const SHARING: &str = "tower_keypool::sharing";

/// That a database of an earlier version was copied and brought forward.
pub(crate) const MIGRATED: &str = "tower_keypool::store::sqlite::migrate";

/// How much is told.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Verbosity {
    /// Of each request its method and path, too
    #[arg(short, long)]
    pub verbose: bool,

    /// No line at all, but for errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Lets events of `tracing`, ours and the library's, come out as lines. What is returned writes the last of them when it
/// is dropped.
///
/// # Errors
/// When the folder for files cannot be written to.
pub fn start(log: &LogSection) -> io::Result<Written> {
    let targets = Targets::new().with_default(LevelFilter::WARN);
    let ours = |requests| {
        let of_store = targets.clone().with_target(SHARING, LevelFilter::INFO).with_target(MIGRATED, LevelFilter::INFO);
        of_store.with_target("keypool", LevelFilter::INFO).with_target(REQUESTS, requests)
    };
    let targets = match log.level {
        config::Level::Error => Targets::new().with_default(LevelFilter::ERROR),
        config::Level::Warn => targets,
        config::Level::Info => ours(LevelFilter::INFO),
        config::Level::Debug => ours(LevelFilter::DEBUG),
        // h2 tells whole frames, with the key in them where a provider says it back.
        config::Level::Trace => Targets::new().with_default(LevelFilter::TRACE).with_target("h2", LevelFilter::INFO),
    };
    // What these tell is told in lines of our own.
    let targets = targets.with_target("tower_keypool::events", LevelFilter::OFF).with_target(SPANS, LevelFilter::OFF);
    let (clock, zone) = (Clock::system(), TimeZone::system());
    let files = match &log.directory {
        Some(folder) => {
            let size = u64::from(log.file_mib.0) << 20;
            Some(Files::begin(folder, size, usize::from(log.keep.0), clock.clone(), zone.clone())?)
        }
        None => None,
    };
    let form = Arc::new(Form::new(log.format, clock, zone));
    let written = Sink::start(Arc::clone(&form), io::stdout(), files)?;
    let teller = Teller { form, sink: written.sink() };
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(targets).with(teller).try_init();
    Ok(written)
}

/// Prints text as it is, if lines of this level are shown at all.
pub fn say(text: &dyn fmt::Display) {
    tracing::info!(target: SAID, "{text}");
}

/// Hands events on as lines.
struct Teller {
    form: Arc<Form>,
    sink: Sink,
}

thread_local! {
    /// Where a line is put together.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

impl<S: Subscriber> Layer<S> for Teller {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let kind = match meta.target() {
            REQUESTS => Kind::Request,
            // As objects they are lines like others.
            SAID if !self.form.is_json() => Kind::Said,
            _ => Kind::Event,
        };
        // What writes its value may tell something meanwhile, and finds none here.
        let mut line = LINE.take();
        line.clear();
        self.form.event(event, &mut line);
        self.sink.push(&line, kind);
        LINE.set(line);
    }
}
