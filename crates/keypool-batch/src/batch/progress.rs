//! The progress of a run.

use std::fmt;

use serde::Serialize;

/// The progress of a run. Its text is `active 8/48 | queued 42 | ok 150 | failed 2 | cooling 1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// Number of requests that are at the provider.
    pub active: usize,
    /// Number of workers, which is the maximum number of simultaneous requests.
    pub workers: usize,
    /// Number of tasks that wait for a worker.
    pub queued: usize,
    /// Number of tasks that were answered.
    pub ok: u64,
    /// Number of tasks that failed.
    pub failed: u64,
    /// Number of tasks that have a result of an earlier run.
    pub skipped: u64,
    /// Number of keys, projects and models that are cooling down.
    pub cooling: usize,
    /// Total number of tasks, once all are read.
    pub total: Option<u64>,
    /// Time since the start, in seconds.
    pub seconds: f64,
    /// A description of the wait, while no request can be sent.
    pub waits_for: Option<String>,
}

impl Progress {
    /// Returns the number of tasks that have a result.
    pub fn done(&self) -> u64 {
        self.ok + self.failed + self.skipped
    }

    /// Returns the time left in seconds at the rate so far, or `None` while it is unknown or the run waits.
    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.total?.saturating_sub(self.done());
        let done = self.ok + self.failed;
        (done > 0 && self.waits_for.is_none()).then(|| self.seconds / done as f64 * left as f64)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { active, workers, queued, ok, failed, cooling, .. } = self;
        write!(f, "active {active}/{workers} | queued {queued} | ok {ok} | failed {failed} | cooling {cooling}")?;
        match &self.waits_for {
            Some(what) => write!(f, " | {what}"),
            None => Ok(()),
        }
    }
}

#[cfg(feature = "progress")]
pub use bar::Bar;

#[cfg(feature = "progress")]
mod bar {
    use std::{
        io::{IsTerminal, Write as _},
        time::Duration,
    };

    use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

    use super::Progress;
    use crate::{batch::Run, time::time_left};

    /// A display of a run on standard error: a bar on a terminal, or else a line at intervals.
    #[derive(Debug)]
    pub struct Bar {
        /// `None` if there is no terminal.
        bar: Option<ProgressBar>,
    }

    impl Bar {
        /// Creates a display, with a bar if standard error is a terminal.
        pub fn new() -> Self {
            let bar = std::io::stderr().is_terminal().then(|| {
                let style = ProgressStyle::with_template("{spinner} {wide_bar} {pos}/{len} {msg}");
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                if let Ok(style) = style {
                    bar.set_style(style);
                }
                bar
            });
            Self { bar }
        }

        /// Shows the progress of a run until it has ended: a line at each interval `every`, or a bar ten times per
        /// second.
        pub async fn follow(&self, run: &Run, every: Duration) {
            let every =
                if self.bar.is_some() { Duration::from_millis(100) } else { every.max(Duration::from_millis(100)) };
            loop {
                tokio::select! {
                    () = run.ended() => break,
                    () = tokio::time::sleep(every) => self.show(&run.progress()),
                }
            }
            if let Some(bar) = &self.bar {
                bar.finish_and_clear();
            }
        }

        /// Hides the bar while this prints.
        pub fn suspend(&self, print: impl FnOnce()) {
            match &self.bar {
                Some(bar) => bar.suspend(print),
                None => print(),
            }
        }

        /// Shows the progress once.
        pub fn show(&self, progress: &Progress) {
            let Some(bar) = &self.bar else {
                // A closed standard error does not end the run.
                let _ = writeln!(std::io::stderr(), "{progress}");
                return;
            };
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.done());
            let left = progress.seconds_left().map(|left| format!(" | {} left", time_left(left as u64)));
            bar.set_message(format!("{progress}{}", left.unwrap_or_default()));
        }
    }

    impl Default for Bar {
        fn default() -> Self {
            Self::new()
        }
    }
}
