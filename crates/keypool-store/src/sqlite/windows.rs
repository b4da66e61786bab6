//! The sliding windows of a project and model.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};
use tower_keypool::{Limit, Span, store::Amounts};

use crate::window::{GUARD_MS, HOLD_MS, MINUTE_MS, NEVER_MS, PARTS};

/// Age at which a row of the log no longer counts in any window of up to a minute. Such windows are read from the log;
/// longer ones are stored in the tables.
pub(super) const LOGGED_MS: i64 = HOLD_MS + MINUTE_MS / PARTS + MINUTE_MS + GUARD_MS;

/// Maximum time for which an entry counts.
pub(super) const LONGEST_MS: i64 = 86_400_000 + GUARD_MS;

/// Requests, input tokens and output tokens to add to a sum, or to subtract if negative.
pub(super) type Added = [i64; 3];

/// The windows of one project and model, one for each span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Windows(Vec<Window>);

/// A window: its span in milliseconds, and its entries in the order of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Window(i64, VecDeque<Entry>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "(i64, u64, u64, u64)", into = "(i64, u64, u64, u64)")]
struct Entry {
    at_ms: i64,
    amounts: Amounts,
}

impl Windows {
    /// Returns the delay in milliseconds until a limit has room for the cost; 0 if it has room now. A cost larger than
    /// the limit fits into an empty window. Daily limits are ignored here.
    pub(super) fn opens_in(&self, limit: &Limit, cost: u64, now: i64) -> i64 {
        let Span::Sliding(span) = limit.span else { return 0 };
        if cost == 0 {
            return 0;
        }
        if limit.amount == 0 {
            return NEVER_MS;
        }
        let span_ms = span.as_millis() as i64;
        let Some(window) = self.0.iter().find(|window| window.0 == span_ms) else { return 0 };
        let amounts = window.1.iter().map(|entry| entry.amounts.of(limit.unit));
        let mut used = amounts.fold(0, u64::saturating_add);
        let mut opens_in = 0;
        for entry in &window.1 {
            if used == 0 || used.saturating_add(cost) <= limit.amount {
                break;
            }
            used = used.saturating_sub(entry.amounts.of(limit.unit));
            opens_in = window.leaves(entry) - now;
        }
        opens_in
    }

    /// Adds amounts at a time to the windows of these spans, to that of a minute, and to all existing ones. Windows
    /// longer than a minute are skipped if `is_stored`, because they include the amounts already.
    pub(super) fn add(&mut self, spans_ms: &[i64], at_ms: i64, more: &Added, is_stored: bool) {
        let is_due = |span_ms: i64| span_ms <= MINUTE_MS || !is_stored;
        for span_ms in spans_ms.iter().chain([&MINUTE_MS]) {
            if is_due(*span_ms) && self.0.iter().all(|window| window.0 != *span_ms) {
                self.0.push(Window(*span_ms, VecDeque::new()));
            }
        }
        for window in self.0.iter_mut().filter(|window| is_due(window.0)) {
            let part_ms = (window.0 / PARTS).max(1);
            let at_ms = (at_ms + part_ms - 1).div_euclid(part_ms) * part_ms;
            let place = window.1.binary_search_by_key(&at_ms, |entry| entry.at_ms).unwrap_or_else(|place| {
                window.1.insert(place, Entry { at_ms, amounts: Amounts::default() });
                place
            });
            let entry = &mut window.1[place];
            entry.amounts = added(&entry.amounts, more);
            if entry.amounts == Amounts::default() {
                window.1.remove(place);
            }
        }
    }

    /// Returns the windows longer than a minute and the time of their latest entry; `None` if they are empty.
    pub(super) fn longer(&self) -> Option<(Self, i64)> {
        let longer: Vec<_> = self.0.iter().filter(|window| window.0 > MINUTE_MS).cloned().collect();
        let last_ms = longer.iter().filter_map(|window| window.1.back()).map(|entry| entry.at_ms).max()?;
        Some((Self(longer), last_ms))
    }

    /// Reports whether there are no windows.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes expired entries.
    pub(super) fn prune(&mut self, now: i64) {
        for window in &mut self.0 {
            while window.1.front().is_some_and(|entry| window.leaves(entry) <= now) {
                window.1.pop_front();
            }
        }
        self.0.retain(|window| !window.1.is_empty());
    }

    /// Iterates over the spans, each with its entries.
    pub(super) fn starts(&self) -> impl Iterator<Item = (Duration, Vec<(i64, Amounts)>)> {
        self.0.iter().map(|window| {
            let starts = window.1.iter().map(|entry| (entry.at_ms, entry.amounts)).collect();
            (Duration::from_millis(window.0 as u64), starts)
        })
    }
}

impl Window {
    /// Returns the time at which an entry expires.
    fn leaves(&self, entry: &Entry) -> i64 {
        entry.at_ms + self.0 + ((self.0 + 63) / 64).min(GUARD_MS)
    }
}

/// Returns the sum of both, at least 0.
pub(super) fn added(sum: &Amounts, more: &Added) -> Amounts {
    Amounts {
        requests: sum.requests.saturating_add_signed(more[0]),
        input_tokens: sum.input_tokens.saturating_add_signed(more[1]),
        output_tokens: sum.output_tokens.saturating_add_signed(more[2]),
    }
}

impl From<(i64, u64, u64, u64)> for Entry {
    fn from((at_ms, requests, input_tokens, output_tokens): (i64, u64, u64, u64)) -> Self {
        Self { at_ms, amounts: Amounts { requests, input_tokens, output_tokens } }
    }
}

impl From<Entry> for (i64, u64, u64, u64) {
    fn from(Entry { at_ms, amounts }: Entry) -> Self {
        (at_ms, amounts.requests, amounts.input_tokens, amounts.output_tokens)
    }
}
