//! How far a run is.

use std::fmt;

use serde::Serialize;

/// How far a run is; as text `active 8/48 | queued 42 | ok 150 | failed 2 | cooling 1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// Requests that are at the provider.
    pub active: usize,
    /// Workers: as many requests may be at the provider.
    pub workers: usize,
    /// Tasks that were read and wait for a worker.
    pub queued: usize,
    /// Tasks that were answered.
    pub ok: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// Tasks that had their result before.
    pub skipped: u64,
    /// Keys, projects and models that cool down.
    pub cooling: usize,
    /// How many tasks there are, once all are read.
    pub total: Option<u64>,
    /// How long it runs, in seconds.
    pub seconds: f64,
    /// What it waits for, while nobody can be asked.
    pub waits_for: Option<String>,
}

impl Progress {
    /// Tasks that have a result.
    pub fn done(&self) -> u64 {
        self.ok + self.failed + self.skipped
    }

    /// In how many seconds it is done at the rate so far; none while that is unknown.
    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.total?.saturating_sub(self.done());
        let done = self.ok + self.failed;
        (done > 0).then(|| self.seconds / done as f64 * left as f64)
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
    use std::{io::IsTerminal, time::Duration};

    use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

    use super::Progress;
    use crate::batch::Run;

    /// Shows a run on standard error: a bar on a terminal, else a line now and then.
    #[derive(Debug)]
    pub struct Bar {
        /// None where there is no terminal.
        bar: Option<ProgressBar>,
    }

    impl Bar {
        /// A bar if standard error is a terminal.
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

        /// Shows the progress of a run, each `every` (a line) or ten times a second (a bar), until the run has ended.
        pub async fn follow(self, run: &Run, every: Duration) {
            let every =
                if self.bar.is_some() { Duration::from_millis(100) } else { every.max(Duration::from_millis(100)) };
            loop {
                tokio::select! {
                    () = run.ended() => break,
                    () = tokio::time::sleep(every) => self.show(&run.progress()),
                }
            }
            if let Some(bar) = self.bar {
                bar.finish_and_clear();
            }
        }

        /// Shows where a run is.
        pub fn show(&self, progress: &Progress) {
            let Some(bar) = &self.bar else {
                eprintln!("{progress}");
                return;
            };
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.done());
            let left = progress.seconds_left().map(|left| format!(" | {left:.0} s left")).unwrap_or_default();
            bar.set_message(format!("{progress}{left}"));
        }
    }

    impl Default for Bar {
        fn default() -> Self {
            Self::new()
        }
    }
}
