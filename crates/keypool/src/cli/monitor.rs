//! `keypool monitor`: keys and lanes, live.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{
    io::{IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::Args;
use tower_keypool::Clock;

use super::{Failure, StopSignals, administrator::Administrator, hidden::Signals, said, table::moment};
use crate::{
    config::Inputs,
    database::Whose,
    monitor::{Course, Gateway, Live, Source, Store, block},
    standing::now_ms,
    telemetry::plain,
};

/// Watch keys and models live: what is in flight, what is used of which limit, what rests, why, and until when.
///
/// From the database of all commands, where gateways and batches write what they use; or from a running gateway, by its
/// admin API, which tells what is in flight as well.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Monitor {
    /// Seconds from look to look
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    interval: f64,

    /// A running gateway: http(s)://HOST:PORT
    #[arg(long, value_name = "URL")]
    admin: Option<String>,

    #[command(flatten)]
    administrator: Administrator,

    /// Lines in the place of a screen, as where standard output is no terminal
    #[arg(long)]
    plain: bool,

    /// A line of JSON each time
    #[arg(long, conflicts_with = "plain")]
    json: bool,

    /// Look once, and end
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    database: Whose,
}

const EXAMPLES: &str = "\
Examples:
  keypool monitor
  keypool monitor --admin http://127.0.0.1:5000 --admin-token-file admin.token
  keypool monitor --plain --interval 10 >> keys.log
  keypool monitor --once --json | jq '.keys[] | select(.rests != []) | .id'

q, Esc or Ctrl-C end it; the arrows scroll.

Exit codes: 0 somebody ended it, 1 what is to be watched cannot be read, 2 the command line is wrong, or there is no such \
database.";

/// How soon it is seen that the terminal went away, where nobody hears of hang-ups.
const GONE: Duration = Duration::from_secs(1);

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3_600.0).contains(seconds));
    seconds.ok_or_else(|| "expected seconds, 0.1 to 3600".to_owned())
}

impl Monitor {
    pub(super) fn run(self) -> Result<(), Failure> {
        let source = self.source()?;
        let runtime = super::runtime()?;
        // Somebody sees at once what is wrong, and where it is said, rather than on a screen that goes.
        let first = runtime.block_on(source.look()).map_err(Failure::of_look)?;
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let interval = Duration::from_secs_f64(self.interval);
        if self.plain || self.json || self.once || dumb || !std::io::stdout().is_terminal() {
            return runtime.block_on(self.lines(&source, first, interval));
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let _guard = runtime.enter();
        let mut signals = StopSignals::new();
        let stop = Arc::clone(&stopped);
        runtime.spawn(async move {
            signals.next().await;
            stop.store(true, Ordering::Relaxed);
        });
        runtime.spawn(async {
            while std::io::stdout().is_terminal() {
                tokio::time::sleep(GONE).await;
            }
            // Whoever waits for a key that is pressed there turns round and round, and hears of nothing.
            let _ = writeln!(std::io::stderr(), "keypool: the terminal is gone");
            std::process::exit(1);
        });
        Live::new(interval).run(source, runtime.handle(), &stopped).context("the terminal").map_err(Failure::run)
    }

    fn source(&self) -> Result<Source, Failure> {
        let Some(url) = &self.admin else {
            if self.administrator.is_given() {
                return Err(Failure::config(anyhow!("--admin-token and --admin-token-file go with --admin URL")));
            }
            self.database.site().map_err(|errors| super::config::wrong(&errors))?;
            return Ok(Source::Store(Store::at(self.database.clone())));
        };
        let inputs = Inputs::new(self.database.config().cloned(), self.database.flags());
        let token = self.administrator.token(&inputs, Signals::Heard)?;
        Ok(Source::Gateway(Gateway::at(url, token).map_err(Failure::config)?))
    }

    /// A block of lines each time, until somebody ends it or reads no more.
    async fn lines(&self, source: &Source, first: crate::monitor::Picture, interval: Duration) -> Result<(), Failure> {
        let (clock, mut course) = (Clock::system(), Course::default());
        let (mut looked, mut before) = (Ok(first), clock.tick());
        let mut signals = StopSignals::new();
        loop {
            let now = clock.tick();
            let text = match &looked {
                Ok(picture) => {
                    course.note(picture, now.since(before));
                    before = now;
                    if self.json {
                        let mut told = serde_json::to_value(picture).unwrap_or_default();
                        told["time"] = moment(now_ms()).into();
                        told["per_second"] = course.per_second().into();
                        format!("{told}\n")
                    } else {
                        format!("{}\n", block(picture, &course, &moment(now_ms())))
                    }
                }
                Err(error) => {
                    eprintln!("keypool: {}", plain(&format!("{error:#}")));
                    String::new()
                }
            };
            let mut out = std::io::stdout().lock();
            if !said::note(out.write_all(text.as_bytes()).and_then(|()| out.flush())) || self.once {
                return Ok(());
            }
            drop(out);
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = signals.next() => return Ok(()),
            }
            looked = source.look().await;
        }
    }
}
