//! How a run ended: a summary, and the exit code that says it.

use std::{
    fmt::Write,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::anyhow;
use jiff::{Timestamp, tz::TimeZone};
use keypool_client::batch::{Ended, Output, Statistics, Watch};
use tower_keypool::{Exhausted, KeyPool, OutReason};

use super::{
    super::{Failure, STOPPED},
    progress::{self, time},
    shown,
    summary::Summary,
};
use crate::{config::count, telemetry::plain};

/// Where and how much is told.
pub(super) struct Told<'a> {
    pub(super) summary: Option<Summary>,
    pub(super) output: Option<&'a Path>,
    /// The error log has not all lines, which was said.
    pub(super) log_has_gap: bool,
    /// Why standard output has not all results.
    pub(super) unwritten: Option<io::Error>,
    /// Nothing but what is wrong.
    pub(super) quiet: bool,
    /// The command line says of the model, of what it goes by or of the answers' form what earlier runs may not have said.
    pub(super) asks_otherwise: bool,
}

impl Told<'_> {
    /// Says how it ended.
    pub(super) fn tell(&self, ended: &Ended, watch: &Watch, pool: &KeyPool) -> Result<(), Failure> {
        let statistics = watch.statistics();
        let nobody_reads = self.unwritten.as_ref().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe);
        if !self.quiet && !nobody_reads {
            if statistics.tasks == 0 && matches!(ended, Ended::Done) {
                progress::line("keypool: note: there is no task in the input");
            }
            progress::line(&plain_lines(&statistics.to_string()));
            if self.asks_otherwise && statistics.skipped > 0 {
                progress::line(&skipped(statistics.skipped));
            }
        }
        // What ended the run is said below.
        for refused in watch.refused().iter().filter(|refused| !refused.fatal).take(20) {
            progress::line(&format!("keypool: {}", plain(&refused.to_string())));
        }
        let unsaved = self.summary.as_ref().and_then(|summary| summary.write(ended, &statistics).err());
        let ended = self.outcome(ended, &statistics, pool);
        match (unsaved, ended) {
            (Some(error), Ok(())) => Err(Failure::run(error)),
            (Some(error), failed) => {
                // How it ended is more than what is said of it.
                progress::line(&format!("keypool: {}", plain(&format!("{error:#}"))));
                failed
            }
            (None, Ok(())) if self.log_has_gap => {
                Err(Failure::run(anyhow!("all is answered; the error log has not all that went wrong on the way")))
            }
            (None, ended) => ended,
        }
    }

    /// Whether what was answered is kept: in a file, and neither in a pipe nor in a device.
    fn keeps(&self) -> bool {
        self.output.is_some_and(|path| path.metadata().map_or(true, |there| there.is_file()))
    }

    fn how_to_go_on(&self) -> &'static str {
        if self.keeps() { "the same command goes on" } else { "with -o and a file, the same command would go on" }
    }

    fn outcome(&self, ended: &Ended, statistics: &Statistics, pool: &KeyPool) -> Result<(), Failure> {
        if let Some(error) = &self.unwritten {
            return Err(unwritten(error, statistics));
        }
        match ended {
            Ended::Done if statistics.failed == 0 && statistics.failed_before == 0 => Ok(()),
            Ended::Done => Err(Failure::with(1, failures(statistics, self.output))),
            Ended::Stopped => {
                let text = format!("stopped with {} left; {}", tasks(statistics.left()), self.how_to_go_on());
                Err(Failure::with(STOPPED, anyhow!(text)))
            }
            Ended::OutOfQuota(why) => Err(Failure::with(3, anyhow!(out_of_quota(why, statistics, pool)))),
            Ended::NoKey(why) => Err(Failure::with(4, anyhow!(no_key(why, pool)))),
            Ended::Astray(what) => {
                let text = format!("{}; {} left; {}", plain(what), tasks(statistics.left()), self.how_to_go_on());
                Err(Failure::config(anyhow!(text)))
            }
            Ended::Failed(what) => {
                let how = self.how_to_go_on();
                let kept = self.output.map(|path| {
                    // A list is written at an end, from the lines in its journal.
                    let is_journal =
                        |file: &PathBuf| file.extension().is_some_and(|end| end == "journal") && file.exists();
                    let journal = Output::beside(path).into_iter().find(is_journal);
                    let place = shown(journal.as_deref().unwrap_or(path));
                    let kept = self.keeps().then(|| format!("what was answered is in {place}, and "));
                    format!("; {}{how}", kept.unwrap_or_default())
                });
                Err(Failure::run(anyhow!("{}{}", plain(what), kept.unwrap_or_default())))
            }
            _ => Ok(()),
        }
    }
}

/// What was done before is not asked again because something else is said of all tasks.
fn skipped(tasks: u64) -> String {
    format!(
        "keypool: note: {tasks} done earlier were skipped, with whatever --model, --system, --temperature, --parse-json \
         and --json-schema they were asked; another output asks them again"
    )
}

/// Standard output has not all results.
fn unwritten(error: &io::Error, statistics: &Statistics) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        let left = tasks(statistics.left());
        return Failure::with(
            STOPPED,
            anyhow!(
                "nobody reads standard output any more: stopped with {left} left; with -o FILE what is answered is \
                 kept, and the same command goes on"
            ),
        );
    }
    Failure::run(anyhow!("standard output: {error}: not all results are there; -o FILE keeps them in a file"))
}

fn failures(statistics: &Statistics, output: Option<&Path>) -> anyhow::Error {
    let before = statistics.failed_before;
    let kinds: Vec<String> = statistics.errors.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let earlier = if before > 0 { format!(", {before} in earlier runs") } else { String::new() };
    // What is no task can be tried by nobody.
    let no_tasks = statistics.errors.get("input").copied().unwrap_or_default();
    let again = output.map(|path| match no_tasks {
        0 => format!("; why stands in {}, and --retry-failed tries them again", shown(path)),
        some if some == statistics.failed + before => {
            format!("; why stands in {}: mend the input and run it again", shown(path))
        }
        _ => format!(
            "; why stands in {}: --retry-failed tries those again that are tasks, the others need the input mended",
            shown(path)
        ),
    });
    let failed = if statistics.failed == 0 { "no task".to_owned() } else { tasks(statistics.failed) };
    anyhow!("{failed} failed{kinds}{earlier}{}", again.unwrap_or_default())
}

fn tasks(number: u64) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "task")
}

/// With the time to come back.
fn out_of_quota(why: &Exhausted, statistics: &Statistics, pool: &KeyPool) -> String {
    let mut text = format!("out of quota with {} left: {}", tasks(statistics.left()), plain(&why.to_string()));
    if let Some(next) = why.may_serve_in() {
        let _ = write!(text, "; come back at {} (in {})", at(pool, next), time(next.as_secs_f64()));
    }
    if why.reasons().any(|(reason, _)| reason == OutReason::ModelUnavailable) {
        text.push_str("; until then another model (--model, --fallback) or a key of a tier that has this one");
    }
    text
}

/// A moment on the clock of whoever reads it.
pub(in crate::cli) fn at(pool: &KeyPool, from_now: Duration) -> String {
    let at = Timestamp::try_from(pool.clock().wall() + from_now).unwrap_or_default();
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// With the list of keys.
fn no_key(why: &Exhausted, pool: &KeyPool) -> String {
    format!("no usable key: {}{}", plain(&why.to_string()), of_each_key(why, pool))
}

/// What is known against each key, and what to do about it, on lines of their own.
pub(in crate::cli) fn of_each_key(why: &Exhausted, pool: &KeyPool) -> String {
    let mut text = String::new();
    for key in pool.snapshot().keys.iter().take(100) {
        let rest = key.rests.iter().find(|rest| rest.ends_in.is_none()).or(key.rests.first());
        let reason = rest.map(|rest| format!("{} {}", rest.code, rest.advice)).or_else(|| {
            // No rest keeps it out: a limit, or what it is not to be had for.
            key.lanes.iter().find(|lane| lane.model.as_deref() == why.model())?.out.clone()
        });
        let reason = reason.unwrap_or_else(|| "nothing is known against it".to_owned());
        let _ = write!(text, "\n  {}: {}", key.id, plain(reason.trim()));
    }
    text
}

/// Each line by itself.
fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use tower_keypool::{Gemini, Key, Limits};

    use super::*;

    #[test]
    fn one_task_is_no_tasks() {
        let said = |failed: u64, before: u64| {
            let mut statistics = Statistics::default();
            (statistics.failed, statistics.failed_before) = (failed, before);
            failures(&statistics, None).to_string()
        };
        assert_eq!(said(1, 0), "1 task failed");
        assert_eq!((said(2, 0), said(0, 1)), ("2 tasks failed".into(), "no task failed, 1 in earlier runs".into()));
    }

    #[test]
    fn of_each_key_is_said_what_is_known_and_no_more() {
        let keys = ["g1", "g2"].map(|id| Key::new(format!("AIzaSy-not-a-real-key-{id}")).id(id));
        let limits = Limits::new().per_minute(1);
        let pool = KeyPool::builder(Gemini::new()).keys(keys).limits("m", limits).build().unwrap();
        pool.disable(&"g2".into(), "too dear").unwrap();
        drop(pool.try_acquire("m").unwrap());
        let text = no_key(&pool.outlook("m").unwrap(), &pool);
        assert!(text.contains("\n  g1: at requests/minute") && text.contains("\n  g2: "), "{text}");
        assert!(text.contains("too dear") && !text.contains("does not have the model"), "{text}");
    }
}
