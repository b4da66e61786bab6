//! What every form of window can do with its words.

use super::{
    need::{At, Opens},
    zone::Days,
};

/// A moment as a log sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    pub(super) moment: u64,
    /// In which places of the log's dates it counts: bit `n` for place `n`.
    pub(super) places: u16,
}

/// A form of window: [`Starts`](super::starts::Starts), [`Amounts`](super::amounts::Amounts),
/// [`Day`](super::day::Day). `words` is always the window's own part of the log.
pub(super) trait Form {
    /// How many words it takes.
    fn words(&self) -> usize;

    /// The most that it ever has room for.
    fn limit(&self) -> u64;

    /// Lets go what has left between `seen` and `now`.
    fn purge(&self, words: &mut [u16], seen: u64, now: u64);

    /// What is counted on `days`, which the log stands at, provisional places included.
    fn used(&self, words: &[u16], days: Days) -> u64;

    /// What is provisional.
    fn held(&self, words: &[u16]) -> u64;

    /// Takes a provisional place.
    fn hold(&self, words: &mut [u16], amount: u64);

    /// Gives a provisional place back, as far as there is one.
    fn unhold(&self, words: &mut [u16], amount: u64);

    /// Counts `amount` that began at `began`, not before anything else.
    fn add(&self, words: &mut [u16], amount: u64, began: &Began);

    /// Counts `amount` on more dates.
    fn also_on(&self, words: &mut [u16], amount: u64, places: u16);

    /// Takes `amount` off what began at `began`.
    fn remove(&self, words: &mut [u16], amount: u64, began: &Began, now: u64);

    /// Adds `amount` to what began at `began`.
    fn raise(&self, words: &mut [u16], amount: u64, began: &Began, now: u64);

    /// What began at `from` began at `to`: sliding windows move it, dates are another matter.
    fn shift(&self, words: &mut [u16], amount: u64, from: &Began, to: &Began);

    /// When `wanted` fits, which does not fit now, but would into an empty window.
    fn opens(&self, words: &[u16], wanted: u64, now: u64, at: &At) -> Opens;

    /// The last moment at which each entry may have begun, and how much, oldest first.
    fn moments(&self, words: &[u16], now: u64) -> Vec<(u64, u64)>;

    /// Whether what began at `then` still counts at `now`.
    fn counts_at(&self, then: u64, now: u64) -> bool;

    /// Counts of another window's moments, oldest first, what has not left this one.
    fn lay(&self, words: &mut [u16], moments: &[(u64, u64)], now: u64);

    /// What is counted on the date in this place.
    fn on_date(&self, words: &[u16], place: usize) -> u64;
}
