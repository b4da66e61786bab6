//! What a process holds of one limit of a tenant's: requests that it drew, tokens that it was told of.

use super::told::Told;

/// So long what is known of others' tokens is not asked for again.
pub(super) const NEWS: i64 = 1_000;
/// So long it holds while the store says nothing.
pub(super) const PATIENCE: i64 = 10_000;

/// Of one limit, in the minute or on the day that is now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) window: i64,
    /// Requests that were drawn and are not used, and when one was used last.
    pub(super) left: u64,
    pub(super) used: i64,
    /// When the store had fewer requests than were asked for.
    pub(super) none: Option<i64>,
    /// Tokens that all used, as the store said, and those that it has not heard of.
    pub(super) all: u64,
    pub(super) unwritten: u64,
    /// Tokens that the requests under way are expected to cost, and what one costs as a rule. Both outlast the window.
    pub(super) reserved: u64,
    pub(super) usual: Option<u64>,
    /// When it said so last, and when it was asked last.
    pub(super) heard: Option<i64>,
    pub(super) asked: i64,
    /// What of all this the store knows from this process.
    pub(super) told: Told,
}

impl Held {
    /// Of this window: what is of another is nothing.
    pub(super) fn in_window(&mut self, window: i64) -> &mut Self {
        if self.window != window {
            *self = Self { window, reserved: self.reserved, usual: self.usual, ..Self::default() };
        }
        self
    }

    /// Whether anything is known.
    pub(super) fn is_something(&self) -> bool {
        self.left > 0
            || self.unwritten > 0
            || self.reserved > 0
            || self.none.is_some()
            || self.heard.is_some()
            || self.told.is_something()
    }

    /// The store has said how much all used. An answer that was on its way for long knows less than one before it.
    pub(super) fn hear(&mut self, all: u64, now: i64) {
        self.all = self.all.max(all);
        self.heard = Some(now);
    }

    /// Whether all used so much, where that was heard a moment ago, or does not change any more.
    pub(super) fn knows(&self, most: u64, now: i64) -> Option<bool> {
        let heard = self.heard?;
        // What was used stays used.
        if self.all >= most {
            return Some(true);
        }
        ((now - heard).abs() < NEWS).then(|| self.all.saturating_add(self.unwritten) >= most)
    }

    /// Whether there are no requests to be had, as far as was heard a moment ago.
    pub(super) fn has_none(&self, now: i64) -> bool {
        self.none.is_some_and(|none| (now - none).abs() < NEWS)
    }

    /// Whether all used so much, where that is known well enough. Who is told that it is not asks, alone where it was known.
    pub(super) fn is_over(&mut self, most: u64, now: i64) -> Option<bool> {
        if let known @ Some(_) = self.knows(most, now) {
            return known;
        }
        let age = self.heard.map(|heard| (now - heard).abs());
        let asked = (now - self.asked).abs() < NEWS;
        if !asked || age.is_none_or(|age| age >= PATIENCE) {
            self.asked = now;
            return None;
        }
        Some(self.all.saturating_add(self.unwritten) >= most)
    }
}
