//! Whether a quota comes back bit by bit, as the figures of its rate headers show.
//!
//! A header's reset is when all of the quota is restored. A bucket (`OpenAI`'s and Anthropic's) has room for the next request
//! long before that; the window of some gateways has none until its end. Neither says which it is. But the time to a
//! bucket's being full is that share of the minute that is used, whatever is left of a window.

use std::time::Duration;

use crate::{limit::Unit, time::Tick, verdict::RateHeader};

/// Of which units a lane's provider fills buckets, as far as its answers have shown.
#[derive(Default)]
pub(super) struct Refills(Vec<Evidence>);

struct Evidence {
    unit: Unit,
    /// Headers in a row that a bucket would send.
    lawful: u8,
    /// What the last that counted said, as a bucket's time to being full.
    last: Duration,
    /// When it was doubted last.
    doubted: Tick,
}

impl Refills {
    const MINUTE: Duration = Duration::from_secs(60);
    /// A window's end and a bucket's being full are too near each other behind this.
    const TELLING: Duration = Duration::from_secs(45);
    /// Anthropic tells whole seconds and thousands of tokens.
    const BLUR: Duration = Duration::from_secs(2);
    /// Those that say about the same are one: a window may pass by what a bucket would say, but not go along with it.
    const APART: Duration = Duration::from_secs(3);
    const ENOUGH: u8 = 3;
    const MOST: u8 = 6;

    /// A header came.
    pub(super) fn observe(&mut self, header: &RateHeader) {
        let Some(full) = Self::full(header).filter(|full| *full <= Self::TELLING) else { return };
        let at = self.0.iter().position(|held| held.unit == header.unit);
        let is_lawful = header.reset.abs_diff(full) <= Self::BLUR;
        match at.map(|at| &mut self.0[at]) {
            Some(held) if !is_lawful => held.lawful = 0,
            Some(held) if held.lawful == 0 || held.last.abs_diff(full) >= Self::APART => {
                held.lawful = (held.lawful + 1).min(Self::MOST);
                held.last = full;
            }
            None if is_lawful => {
                self.0.push(Evidence { unit: header.unit, lawful: 1, last: full, doubted: Tick::ZERO });
            }
            Some(_) | None => {}
        }
    }

    /// Somebody was refused who would have had room. Of those that are refused together, as when many began before any
    /// answer told of a limit, one counts.
    pub(super) fn doubt(&mut self, unit: Unit, now: Tick) {
        let together = |held: &Evidence| now.since(held.doubted) < Self::APART;
        if let Some(held) = self.0.iter_mut().find(|held| held.unit == unit && !together(held)) {
            held.doubted = now;
            held.lawful = held.lawful.saturating_sub(1);
        }
    }

    /// How much comes back until the header's reset; nothing that is known where no bucket was seen.
    pub(super) fn until_reset(&self, header: &RateHeader) -> u64 {
        let is_bucket = self.0.iter().any(|held| held.unit == header.unit && held.lawful >= Self::ENOUGH);
        // What is said of a day, or of a quota beside, does not go by the minute.
        let goes_by_it = Self::full(header).is_some_and(|full| header.reset.abs_diff(full) <= Self::BLUR);
        if is_bucket && goes_by_it { Self::used(header).unwrap_or(0) } else { 0 }
    }

    /// After how long a bucket that fills in a minute would be full.
    fn full(header: &RateHeader) -> Option<Duration> {
        let (used, limit) = (Self::used(header)?, header.limit?);
        Some(Self::MINUTE.mul_f64(used as f64 / limit as f64))
    }

    fn used(header: &RateHeader) -> Option<u64> {
        header.limit?.checked_sub(header.remaining).filter(|used| *used > 0)
    }
}
