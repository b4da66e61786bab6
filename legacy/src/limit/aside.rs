//! What was used of a limit that holds no more, so that it counts should the limit be given again.

use std::time::Duration;

use super::{Limit, Span, kept::Kept, need::At, plan::Plan, slide};
use crate::time::Tick;

/// So many moments are kept of a window: what lies between two counts as the later one.
const MOMENTS: usize = 16;
/// No guard that somebody would set is longer.
const LONGEST_GUARD: Duration = Duration::from_secs(60);

/// Whether two limits count the same, over the same span.
fn alike(one: Limit, other: Limit) -> bool {
    (one.unit, one.span) == (other.unit, other.span)
}

impl Plan {
    /// What `log` counts in windows that `new` does not have, as far as anything is counted.
    pub(crate) fn left_out(&self, new: &Self, log: &[u16], at: &At) -> Vec<Kept> {
        let gone = |limit: Limit| !new.limits().any(|held| alike(held, limit));
        if !self.limits().any(gone) {
            return Vec::new();
        }
        let kept = self.keep(&mut log.to_vec(), at).into_iter().filter(|kept| gone(kept.limit));
        let small = kept.map(|kept| Kept { moments: fewer(&kept.moments), held: 0, ..kept });
        small.filter(|kept| !kept.moments.is_empty() || kept.dates.iter().any(|(_, count)| *count > 0)).collect()
    }

    /// Whether one of its windows counts what this did.
    pub(crate) fn has_window_of(&self, kept: &Kept) -> bool {
        self.limits().any(|limit| kept.counts_like(limit))
    }

    /// Counts at least what was kept, in the windows of the same unit and span. What is in `log` may tell of the same
    /// starts: of each window whichever tells of more holds.
    pub(crate) fn count_kept(&self, log: &mut [u16], kept: &[Kept], at: &At) {
        if self.words() == 0 {
            return;
        }
        let now = self.advance(log, at);
        for window in self.windows() {
            let Some(kept) = kept.iter().find(|kept| kept.counts_like(window.limit)) else { continue };
            if window.is_day() {
                let here = window.dates(log);
                let count = |date: u16| here.iter().find(|(held, _)| *held == date).map_or(0, |(_, count)| *count);
                let missing = kept.dates.iter().map(|(date, used)| (*date, used.saturating_sub(count(*date))));
                let mut missing: Vec<(u16, u64)> = missing.filter(|(_, missing)| *missing > 0).collect();
                super::carry::sort_dates(&mut missing, at.day.days);
                window.add_dates(&missing, log);
                continue;
            }
            let moments: Vec<(u64, u64)> =
                kept.moments.iter().map(|(then, amount)| (slide::moment(*then).min(now), *amount)).collect();
            let held = window.held(log);
            let here = log[window.range()].to_vec();
            let sum = |moments: &[(u64, u64)]| moments.iter().map(|(_, amount)| *amount).sum::<u64>();
            let known = sum(&window.moments(log, now));
            log[window.range()].fill(0);
            window.lay(&moments, log, now);
            if sum(&window.moments(log, now)) <= known {
                log[window.range()].copy_from_slice(&here);
            } else {
                window.hold(log, held);
            }
        }
    }
}

impl Kept {
    /// Whether a limit counts the same, over the same span.
    pub(crate) fn counts_like(&self, limit: Limit) -> bool {
        alike(self.limit, limit)
    }

    /// Whether nothing of it counts any more.
    pub(crate) fn is_over(&self, at: &At) -> bool {
        match self.limit.span {
            // A date may come back for 26 hours.
            Span::Day => self.dates.iter().all(|(date, _)| date.saturating_add(2) < at.day.days.first),
            // A window is as long as its span and the guard.
            Span::Sliding(span) => {
                let longest = span.saturating_mul(2).saturating_add(LONGEST_GUARD);
                self.moments.last().is_none_or(|(then, _)| then.plus(longest) < at.tick)
            }
        }
    }
}

/// At most so many moments, each at the last of those that it stands for.
fn fewer(moments: &[(Tick, u64)]) -> Vec<(Tick, u64)> {
    let pieces = moments.chunks(moments.len().div_ceil(MOMENTS).max(1));
    pieces.filter_map(|piece| Some((piece.last()?.0, piece.iter().map(|(_, amount)| *amount).sum()))).collect()
}
