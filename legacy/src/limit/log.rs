//! The head of a log: until when all its windows have been seen, and which dates they count.

use super::zone::Days;

/// For how many dates a log keeps counts: a clock that jumps back or forth finds them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dates {
    /// All that a clock which walks is on within a day and its guards.
    Few,
    /// Those of a clock that jumped.
    Many,
}

impl Dates {
    /// The most that a log has places for.
    pub(super) const MOST: usize = 16;

    pub(crate) const fn places(self) -> usize {
        match self {
            Self::Few => HEAD - SEEN,
            Self::Many => Self::MOST,
        }
    }

    /// How many dates stand at the log's end, as the head has no place for them.
    pub(super) const fn further(self) -> usize {
        self.places() - Self::Few.places()
    }

    /// Where the date of a place stands.
    fn at(self, log: &[u16], place: usize) -> usize {
        if SEEN + place < HEAD { SEEN + place } else { log.len() - self.places() + place }
    }

    /// The date in a place; zero where there is none yet.
    fn date(self, log: &[u16], place: usize) -> u16 {
        log.get(self.at(log, place)).copied().unwrap_or_default()
    }
}

// The words: the last moment seen (48 bits: 584 years), then the dates, the last used first.
const SEEN: usize = 3;

/// How many words the head takes.
pub(super) const HEAD: usize = SEEN + 3;

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
pub(super) fn turn_to(log: &mut [u16], kept: Dates, days: Days) -> [Option<usize>; Dates::MOST] {
    let old: Vec<u16> = dates(log, kept).collect();
    let mut moved = [None; Dates::MOST];
    let mut dates: Vec<u16> = Vec::with_capacity(2 + old.len());
    for date in [days.last, days.first].into_iter().chain(old.iter().copied()) {
        if dates.len() < kept.places() && !dates.contains(&date) {
            moved[dates.len()] = old.iter().position(|held| *held == date && date != 0);
            dates.push(date);
        }
    }
    dates.resize(kept.places(), 0);
    for (place, date) in dates.into_iter().enumerate() {
        log[kept.at(log, place)] = date;
    }
    moved
}

/// The places of those dates of `days` that are counted: bit `n` for place `n`.
pub(super) fn places(log: &[u16], kept: Dates, days: Days) -> u16 {
    let stands = |date: u16| date != 0 && days.contains(date);
    dates(log, kept).enumerate().fold(0, |places, (place, date)| places | u16::from(stands(date)) << place)
}

/// Where a date stands, or may: a place without a date becomes its own.
pub(super) fn place_for(log: &mut [u16], kept: Dates, date: u16) -> Option<usize> {
    let place =
        dates(log, kept).position(|held| held == date).or_else(|| dates(log, kept).position(|held| held == 0))?;
    log[kept.at(log, place)] = date;
    Some(place)
}

/// The dates counted, zero where there is none yet.
pub(super) fn dates(log: &[u16], kept: Dates) -> impl Iterator<Item = u16> {
    (0..kept.places()).map(move |place| kept.date(log, place))
}
