//! The head of a log: until when all its windows have been seen, and which dates they count.

use super::{day::DATES, zone::Days};

// The words: the last moment seen (48 bits: 584 years), then the dates, the last used first.
const SEEN: usize = 3;

/// How many words the head takes.
pub(super) const HEAD: usize = SEEN + DATES;

/// For each place of the dates' new order, its place in the old one; `None`: new.
pub(super) type Dates = [Option<usize>; DATES];

#[inline]
pub(super) fn seen(log: &[u16]) -> u64 {
    u64::from(log[0]) | u64::from(log[1]) << 16 | u64::from(log[2]) << 32
}

#[inline]
pub(super) fn see(log: &mut [u16], moment: u64) {
    log[0] = moment as u16;
    log[1] = (moment >> 16) as u16;
    log[2] = (moment >> 32) as u16;
}

/// Whether the dates stand as a moment of `days` wants them: `last` first, then `first`.
#[inline]
pub(super) fn stands_at(log: &[u16], days: Days) -> bool {
    log[SEEN] == days.last && (days.first == days.last || log[SEEN + 1] == days.first)
}

/// Brings the dates of `days` to the front; those used longest ago are forgotten.
pub(super) fn turn_to(log: &mut [u16], days: Days) -> Dates {
    let old: [u16; DATES] = [log[SEEN], log[SEEN + 1], log[SEEN + 2]];
    let mut dates = Vec::with_capacity(2 * DATES);
    dates.extend([days.last, days.first]);
    dates.extend(old);
    let mut kept = 0;
    let mut moved = [None; DATES];
    for (n, date) in dates.iter().enumerate() {
        if kept < DATES && !dates[..n].contains(date) {
            log[SEEN + kept] = *date;
            moved[kept] = old.iter().position(|held| held == date && *held != 0);
            kept += 1;
        }
    }
    log[SEEN + kept..HEAD].fill(0);
    moved
}

/// Where a date stands.
pub(super) fn place_of(log: &[u16], date: u16) -> Option<usize> {
    log[SEEN..HEAD].iter().position(|held| *held == date)
}

/// Where a date stands, or may: a place without a date becomes its own.
pub(super) fn place_for(log: &mut [u16], date: u16) -> Option<usize> {
    let place = place_of(log, date).or_else(|| place_of(log, 0))?;
    log[SEEN + place] = date;
    Some(place)
}

/// The dates counted, zero where there is none yet.
pub(super) fn dates(log: &[u16]) -> [u16; DATES] {
    [log[SEEN], log[SEEN + 1], log[SEEN + 2]]
}
