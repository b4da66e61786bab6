//! What a run came to.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use super::result::{INPUT, TaskResult};
use crate::client::{Error, ErrorKind};

/// What a run came to.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// How it ended.
    pub outcome: RunOutcome,
    /// Tasks that were read, with lines that are none.
    pub tasks: u64,
    /// Tasks that were answered.
    pub ok: u64,
    /// Tasks that failed, and lines that are no tasks.
    pub failed: u64,
    /// Tasks that had their result before.
    pub skipped: u64,
    /// How many of these had failed.
    pub skipped_failed: u64,
    /// Tasks that were read and not done: a later run does them.
    pub left: u64,
    /// Failed tasks by kind of error.
    pub errors: BTreeMap<&'static str, u64>,
    /// Requests that were sent.
    pub requests: u64,
    /// How many of these failed by a fault of a key.
    pub key_faults: u64,
    /// Tokens of prompts, those of answers that were not good included.
    pub input_tokens: u64,
    /// Tokens of answers, those that were not good included.
    pub output_tokens: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Tasks that were answered, a second.
    pub per_second: f64,
    /// What it cost, by the prices that were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Why the input could not be read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_error: Option<String>,
    /// The error log could not be written.
    pub error_log_failed: bool,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunOutcome {
    /// Each task has its result.
    #[default]
    Finished,
    /// It was stopped.
    Stopped,
    /// The day's quota of all keys is used up.
    Exhausted {
        /// In how many seconds the first key has quota again.
        seconds: u64,
        /// The keys, by reason.
        message: String,
    },
    /// No key can be used any more: all are disabled.
    NoKeys {
        /// The keys, by reason.
        message: String,
    },
    /// The first ten tasks, and no other, have an answer, and it was an error page or a refusal without a cause: most likely the
    /// address is not the provider's, or what stands before it refuses everybody.
    Refused {
        /// The last of these answers.
        message: String,
    },
    /// It waited for as long as it may.
    WaitedTooLong {
        /// For what.
        message: String,
    },
}

/// What tokens cost, in any currency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    input: f64,
    output: f64,
}

impl Prices {
    /// For a million tokens of prompts, and of answers.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for what is negative or not finite.
    pub fn per_million(input: f64, output: f64) -> Result<Self, Error> {
        if [input, output].iter().all(|price| price.is_finite() && *price >= 0.0) {
            Ok(Self { input, output })
        } else {
            Err(Error::new(
                ErrorKind::Invalid,
                format!("{input} and {output} are not prices: expected numbers of 0 or more"),
            ))
        }
    }

    fn of(self, input_tokens: u64, output_tokens: u64) -> f64 {
        (self.input * input_tokens as f64 + self.output * output_tokens as f64) / 1e6
    }
}

impl Summary {
    /// An attempt counts at once: its task may be left for a later run.
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

    /// Whether all answers so far, ten or more, were refusals without a cause, or nothing that the provider would say.
    pub(super) fn is_all_refused(&self) -> bool {
        const ENOUGH: u64 = 10;
        let of = |kind| self.errors.get(kind).copied().unwrap_or_default();
        let refused = of(ErrorKind::Refused.as_str()) + of(ErrorKind::Unreadable.as_str());
        self.ok == 0 && refused >= ENOUGH && refused == self.failed - of(INPUT)
    }

    pub(super) fn end(&mut self, elapsed: Duration, prices: Option<Prices>) {
        self.left = self.tasks - self.ok - self.failed - self.skipped;
        let round = |number: f64| (number * 1e3).round() / 1e3;
        self.seconds = round(elapsed.as_secs_f64());
        self.per_second = if self.seconds > 0.0 { round(self.ok as f64 / self.seconds) } else { 0.0 };
        self.cost = prices.map(|prices| prices.of(self.input_tokens, self.output_tokens));
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
                write!(f, " ({} of them failed)", self.skipped_failed)?;
            }
        }
        if self.left > 0 {
            write!(f, ", {} left", self.left)?;
        }
        write!(f, " in {:.1} s ({:.1} per second); ", self.seconds, self.per_second)?;
        write!(f, "{} requests, {} key failures; ", self.requests, self.key_faults)?;
        write!(f, "{} input tokens, {} output tokens", self.input_tokens, self.output_tokens)?;
        if let Some(cost) = self.cost {
            write!(f, "; cost {cost:.4}")?;
        }
        if let Some(error) = &self.input_error {
            write!(f, "; the input could not be read completely: {error}")?;
        }
        match &self.outcome {
            RunOutcome::Finished => Ok(()),
            RunOutcome::Stopped => f.write_str("; stopped"),
            RunOutcome::Exhausted { message, .. } => write!(f, "; the daily quota is used up: {message}"),
            RunOutcome::NoKeys { message } => write!(f, "; no key is usable: {message}"),
            RunOutcome::Refused { message } => {
                write!(f, "; every request was refused, check the provider's address: {message}")
            }
            RunOutcome::WaitedTooLong { message } => {
                write!(f, "; stopped because --max-wait has passed without an answer: {message}")
            }
        }
    }
}
