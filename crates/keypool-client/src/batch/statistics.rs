//! How a run stands.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::Serialize;
use tower_keypool::{KeyId, Usage};

use super::{Prices, TaskResult};

/// How a run stands, or stood at its end.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Statistics {
    /// How long it has run, in seconds.
    pub seconds: f64,
    /// Tasks of the input so far; all of them, where they were counted before.
    pub tasks: u64,
    /// Tasks that an earlier run had done.
    pub skipped: u64,
    /// Those of them that failed then, and are not tried again.
    pub failed_before: u64,
    /// Tasks whose prompt is another one than an earlier run's under the same id.
    pub changed: u64,
    /// Tasks answered, and in the output.
    pub ok: u64,
    /// Tasks failed, and in the output.
    pub failed: u64,
    /// Requests under way.
    pub active: usize,
    /// Workers.
    pub slots: usize,
    /// Tasks read and not taken.
    pub queued: usize,
    /// Slots whose key rests; without slots: keys that rest, or that another process has while all wait for that.
    pub paused: usize,
    /// Requests sent.
    pub requests: u64,
    /// Faults of keys: not counted against tasks.
    pub key_faults: u64,
    /// Answers that were no good, tried again.
    pub retries: u64,
    /// Tokens of prompts, of all that was answered: what was tried again was billed as well.
    pub input_tokens: u64,
    /// Tokens of answers, likewise.
    pub output_tokens: u64,
    /// What that costs, estimated, in US dollars, keys of the free tier apart: by prices that were set, else by list prices of
    /// [`Prices::AS_OF`] that nobody verified; `None` where none is known.
    #[serde(rename = "estimated_cost")]
    pub cost: Option<f64>,
    /// By which prices that is estimated; `None` where it is not.
    pub estimated_by: Option<&'static str>,
    /// Good answers a second.
    pub per_second: f64,
    /// What the limits of all keys, or the slots, allow a second; `None` where nothing limits.
    pub possible_per_second: Option<f64>,
    /// When it will be done, from now, in seconds; `None` where nobody knows.
    pub eta: Option<f64>,
    /// Requests that the known daily limits still allow today, for the model of tasks that name none; `None` where no such
    /// limit is known.
    pub left_today: Option<u64>,
    /// Of so many a day.
    pub per_day: Option<u64>,
    /// Whom it waits for.
    pub resting: Vec<Resting>,
    /// Why nothing can be sent, where the provider cannot be reached.
    pub unreachable: Option<Unreachable>,
    /// Tasks failed, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Tasks done, by key.
    pub keys: BTreeMap<KeyId, u64>,
    /// Tasks done, by model.
    pub models: BTreeMap<String, u64>,
    /// Requests sent, by worker; of slots only.
    pub by_slot: Vec<u64>,
}

/// A model that no key may carry for a while.
#[derive(Clone, Debug, Serialize)]
pub struct Resting {
    /// Which.
    pub model: Arc<str>,
    /// Why.
    pub why: String,
    /// Until when, from now, in seconds; `None`: not by itself.
    pub seconds: Option<f64>,
}

/// The provider cannot be reached: the run waits, and tries one request now and then.
#[derive(Clone, Debug, Serialize)]
pub struct Unreachable {
    /// What was met, and at which address.
    pub why: String,
    /// When it is tried again, from now, in seconds.
    pub seconds: f64,
}

/// What is counted as answers come and results are written.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) statistics: Statistics,
    prices: BTreeMap<Arc<str>, Option<Prices>>,
}

impl Tally {
    /// A result is in the output.
    pub(crate) fn count(&mut self, result: &TaskResult) {
        let all = &mut self.statistics;
        all.ok += u64::from(result.success);
        all.failed += u64::from(!result.success);
        if let Some(error) = &result.error {
            *entry(&mut all.errors, error.kind) += 1;
        }
        if let Some(key) = &result.key_id {
            *all.keys.entry(key.clone()).or_default() += 1;
        }
        if result.is_task() {
            *entry(&mut all.models, &result.model) += 1;
        }
    }

    /// An answer came, good or not: whoever sent it bills it. `free`: its key costs nothing.
    pub(crate) fn bill(&mut self, usage: Usage, model: &str, given: Option<Prices>, free: bool) {
        let all = &mut self.statistics;
        let (input, output) = (usage.input_tokens.unwrap_or(0), usage.output_tokens.unwrap_or(0));
        all.input_tokens += input;
        all.output_tokens += output;
        if !self.prices.contains_key(model) {
            self.prices.insert(model.into(), given.or(Prices::known(model)));
        }
        if let Some(Some(prices)) = self.prices.get(model) {
            *all.cost.get_or_insert(0.0) += if free { 0.0 } else { prices.of(input, output) };
            all.estimated_by = Some(if given.is_some() { Prices::GIVEN } else { Prices::LISTED });
        }
    }
}

/// Without a new text where there is one.
fn entry<'a>(map: &'a mut BTreeMap<String, u64>, name: &str) -> &'a mut u64 {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), 0);
    }
    map.get_mut(name).expect("it was put there")
}

impl Statistics {
    /// Tasks that are neither done nor were done before.
    pub fn left(&self) -> u64 {
        self.tasks.saturating_sub(self.skipped + self.ok + self.failed)
    }

    /// On one line, for those who watch no terminal: `active 8/48 | queued 42 | ok 150 | failed 2 | paused 1`, and behind
    /// it, where that is known, what the daily limits allow and when it will be done, or that nothing can be sent.
    pub fn line(&self) -> String {
        let Self { active, slots, queued, ok, failed, paused, .. } = self;
        let mut line =
            format!("active {active}/{slots} | queued {queued} | ok {ok} | failed {failed} | paused {paused}");
        for more in [self.today(), self.expected_end(), self.waits_for_network()].into_iter().flatten() {
            line.push_str(" | ");
            line.push_str(&more);
        }
        line
    }

    /// `230 of 250 left today`: what the known daily limits allow.
    pub fn today(&self) -> Option<String> {
        let (left, day) = (self.left_today?, self.per_day?);
        Some(format!("{left} of {day} left today"))
    }

    /// `waiting for the network: connection refused at 127.0.0.1:9, tries again in 8 s`.
    pub fn waits_for_network(&self) -> Option<String> {
        let Unreachable { why, seconds } = self.unreachable.as_ref()?;
        let again =
            if *seconds > 0.0 { format!("tries again in {:.0} s", seconds.ceil()) } else { "tries again".to_owned() };
        Some(format!("waiting for the network: {why}, {again}"))
    }

    /// `done in 2 min 05 s`, about.
    pub fn expected_end(&self) -> Option<String> {
        let eta = Duration::try_from_secs_f64(self.eta?).ok()?;
        Some(format!("done in {}", time(eta)))
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = Duration::from_secs_f64(self.seconds.max(0.0));
        write!(f, "{} ok, {} failed, {} done before", self.ok, self.failed, self.skipped)?;
        if self.failed_before > 0 {
            write!(f, " ({} of them failed)", self.failed_before)?;
        }
        writeln!(f, ", {} left, in {}", self.left(), time(took))?;
        if self.changed > 0 {
            writeln!(f, "changed since an earlier run, under the same id: {}", self.changed)?;
        }
        write!(f, "rate: {:.2} a second", self.per_second)?;
        if let Some(possible) = self.possible_per_second {
            write!(f, " of {possible:.2} possible")?;
            // What begins with full windows is faster than it can go on; nothing is no rate.
            if self.per_second > possible {
                write!(f, " in the long run")?;
            } else if self.requests > 0 {
                write!(f, " ({:.0} %)", 100.0 * self.per_second / possible)?;
            }
        }
        writeln!(f)?;
        writeln!(
            f,
            "requests: {}, key faults {} (not counted), tried again {}",
            self.requests, self.key_faults, self.retries
        )?;
        write!(f, "tokens: {} in, {} out", self.input_tokens, self.output_tokens)?;
        if let (Some(cost), Some(by)) = (self.cost, self.estimated_by) {
            write!(f, ", estimated cost ${cost:.2} ({by})")?;
        }
        let keys = self.keys.iter().map(|(key, n)| (key.to_string(), *n)).collect();
        for (what, map) in [("errors", &self.errors), ("keys", &keys), ("models", &self.models)] {
            if !map.is_empty() {
                let parts: Vec<String> = map.iter().take(40).map(|(name, n)| format!("{name} {n}")).collect();
                let more = map.len().saturating_sub(40);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                write!(f, "\n{what}: {}{more}", parts.join(", "))?;
            }
        }
        if !self.by_slot.is_empty() {
            let parts: Vec<String> = self.by_slot.iter().take(96).map(u64::to_string).collect();
            write!(f, "\nrequests by slot: {}", parts.join(" "))?;
        }
        for Resting { model, why, .. } in &self.resting {
            write!(f, "\n{model}: {why}")?;
        }
        Ok(())
    }
}

/// As a person says it.
pub(crate) fn time(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", length.as_secs_f64()),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}
