//! The head of a log: until when all its windows have been seen, and which dates they count.

use super::zone::Days;

/// For how many dates counts are kept: a clock that jumps back or forth finds them again.
pub(super) const DATES: usize = 3;

// The words: the last moment seen (48 bits: 584 years), then the dates, the last used first.
const SEEN: usize = 3;

/// How many words the head takes.
pub(super) const HEAD: usize = SEEN + DATES;

#[inline]
pub(super) fn seen(log: &[u16]) -> u64 {
    let Some([low, middle, high]) = log.first_chunk() else { return 0 };
    u64::from(*low) | u64::from(*middle) << 16 | u64::from(*high) << 32
}

#[inline]
pub(super) fn see(log: &mut [u16], moment: u64) {
    let Some(words) = log.first_chunk_mut() else { return };
    *words = [moment as u16, (moment >> 16) as u16, (moment >> 32) as u16];
}

/// Whether the dates stand as a moment of `days` wants them: `last` first, then `first`.
#[inline]
pub(super) fn stands_at(log: &[u16], days: Days) -> bool {
    log[SEEN] == days.last && (days.first == days.last || log[SEEN + 1] == days.first)
}

/// Whether `days` is the one date that stands in front.
#[inline]
pub(super) fn stands_at_one(head: &[u16; HEAD], days: Days) -> bool {
    head[SEEN] == days.last && days.first == days.last
}

/// Brings the dates of `days` to the front; those used longest ago are forgotten. Says for each place where it was
/// before; `None`: nowhere.
pub(super) fn turn_to(log: &mut [u16], days: Days) -> [Option<usize>; DATES] {
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

/// The places of those dates of `days` that are counted: bit `n` for place `n`.
pub(super) fn places(log: &[u16], days: Days) -> u8 {
    let stands = |date: &u16| *date != 0 && days.contains(*date);
    log.get(SEEN..HEAD).unwrap_or_default().iter().rev().fold(0, |places, date| places << 1 | u8::from(stands(date)))
}

/// Where a date stands, or may: a place without a date becomes its own.
pub(super) fn place_for(log: &mut [u16], date: u16) -> Option<usize> {
    let dates = &log[SEEN..HEAD];
    let place = dates.iter().position(|held| *held == date).or_else(|| dates.iter().position(|held| *held == 0))?;
    log[SEEN + place] = date;
    Some(place)
}

/// The dates counted, zero where there is none yet.
pub(super) fn dates(log: &[u16]) -> [u16; DATES] {
    [log[SEEN], log[SEEN + 1], log[SEEN + 2]]
}
