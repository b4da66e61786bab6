//! The summary of a run.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use super::result::{INPUT, TaskResult};
use crate::client::ErrorKind;

/// The result of a run.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// How the run ended.
    pub outcome: RunOutcome,
    /// Number of tasks that were read, including invalid input lines.
    pub tasks: u64,
    /// Number of tasks that were answered.
    pub ok: u64,
    /// Number of tasks that failed, including invalid input lines.
    pub failed: u64,
    /// Number of tasks that have a result of an earlier run.
    pub skipped: u64,
    /// Number of these that had failed.
    pub skipped_failed: u64,
    /// Number of tasks that were read and not done. A later run does them.
    pub left: u64,
    /// Number of failed tasks by kind of error.
    pub errors: BTreeMap<&'static str, u64>,
    /// Number of requests that were sent.
    pub requests: u64,
    /// Number of these that failed because of a key.
    pub key_faults: u64,
    /// Number of prompt tokens, including those of rejected answers.
    pub input_tokens: u64,
    /// Number of answer tokens, including those of rejected answers.
    pub output_tokens: u64,
    /// Duration in seconds.
    pub seconds: f64,
    /// Number of answered tasks per second.
    pub per_second: f64,
    /// The reason why the input could not be read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_error: Option<String>,
    /// Whether the error log could not be written.
    pub error_log_failed: bool,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunOutcome {
    /// Each task has a result.
    #[default]
    Finished,
    /// The run was stopped.
    Stopped,
    /// The daily quota or the credit of all keys is used up.
    Exhausted {
        /// Time until the first key has quota again, in seconds.
        seconds: u64,
        /// The number of keys by reason.
        message: String,
    },
    /// All keys are disabled or rejected, or there is none.
    NoKeys {
        /// The number of keys by reason.
        message: String,
    },
    /// The first ten tasks were all refused without a reason or answered with an error page, and no task has succeeded.
    /// Most likely the address is not the provider's, or a server in front of the provider refuses all requests.
    Refused {
        /// The last of these responses.
        message: String,
    },
    /// The run has waited for the maximum time, because keys were at their limits.
    WaitedTooLong {
        /// A description of the wait.
        message: String,
    },
    /// The run has waited for the maximum time, because the provider or the store could not be reached or failed.
    Unreachable {
        /// A description of the wait.
        message: String,
    },
}

impl Summary {
    /// Counts an attempt at once, since its task may be left for a later run.
    pub(super) fn count_attempt(&mut self, was_sent: bool, key_failed: bool) {
        self.requests += u64::from(was_sent);
        self.key_faults += u64::from(key_failed);
    }

    pub(super) fn count(&mut self, result: &TaskResult) {
        match &result.error {
            None => self.ok += 1,
            Some(error) => {
                self.failed += 1;
                *self.errors.entry(error.kind).or_default() += 1;
            }
        }
    }

    /// Reports whether all responses so far, ten or more, were refusals without a reason or not in the provider's
    /// format.
    pub(super) fn is_all_refused(&self) -> bool {
        const ENOUGH: u64 = 10;
        let of = |kind| self.errors.get(kind).copied().unwrap_or_default();
        let refused = of(ErrorKind::Refused.as_str()) + of(ErrorKind::Unreadable.as_str());
        self.ok == 0 && refused >= ENOUGH && refused == self.failed - of(INPUT)
    }

    pub(super) fn end(&mut self, elapsed: Duration) {
        self.left = self.tasks - self.ok - self.failed - self.skipped;
        let round = |number: f64| (number * 1e3).round() / 1e3;
        self.seconds = round(elapsed.as_secs_f64());
        self.per_second = if self.seconds > 0.0 { round(self.ok as f64 / self.seconds) } else { 0.0 };
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ok, {} failed", self.ok, self.failed)?;
        for (n, (kind, count)) in self.errors.iter().enumerate() {
            write!(f, "{}{count} {kind}", if n == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.errors.is_empty() { "" } else { ")" })?;
        if self.skipped > 0 {
            write!(f, ", {} done in earlier runs", self.skipped)?;
            if self.skipped_failed > 0 {
                write!(f, " ({} of them failed; --retry-failed tries them again)", self.skipped_failed)?;
            }
        }
        if self.left > 0 {
            write!(f, ", {} left", self.left)?;
        }
        write!(f, " in {:.1} s ({:.1} per second); ", self.seconds, self.per_second)?;
        write!(f, "{} requests, {} key failures; ", self.requests, self.key_faults)?;
        write!(f, "{} input tokens, {} output tokens", self.input_tokens, self.output_tokens)?;
        if let Some(error) = &self.input_error {
            write!(f, "; the run stopped reading the input: {error}")?;
        }
        if self.error_log_failed {
            f.write_str("; the error log could not be written")?;
        }
        match &self.outcome {
            RunOutcome::Finished => Ok(()),
            RunOutcome::Stopped => f.write_str("; stopped"),
            RunOutcome::Exhausted { message, .. } => write!(f, "; the quota is used up: {message}"),
            RunOutcome::NoKeys { message } => write!(f, "; no key is usable: {message}"),
            RunOutcome::Refused { message } => {
                write!(f, "; every request was refused, check the provider's address: {message}")
            }
            RunOutcome::WaitedTooLong { message } | RunOutcome::Unreachable { message } => {
                write!(f, "; stopped because --max-wait has passed without an answer: {message}")
            }
        }
    }
}
