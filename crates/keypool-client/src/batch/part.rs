//! What part of the keys a run has of late, where other processes work with the same ones: by how often it was seen that it
//! wanted more and others had them, and after some minutes by what it was answered of what the keys allow.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tower_keypool::{KeyState, OutReason, Snapshot};

/// Less than that tells nothing of the end.
const LEAST: f64 = 0.02;
/// What was answered is counted over whole minutes, since a limit's minute goes out at once, and not over the first one,
/// which whoever begins before the others has to itself.
const MINUTE: Duration = Duration::from_secs(60);
const MINUTES: u32 = 3;
/// How far apart it is noted, at the least.
const APART: Duration = Duration::from_secs(2);

/// What it had of the keys, over time.
#[derive(Debug, Default)]
pub(crate) struct Part(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// When it was looked at last.
    at: Option<Duration>,
    /// The sum of all times between, and of the parts that it had then.
    all: f64,
    had: f64,
    /// How many were answered by then, of late.
    answered: VecDeque<(Duration, u64)>,
}

impl Part {
    /// It is so now, and was since it was looked at last, and so many were answered. What part it had of all that time, or
    /// lately of what may be answered in a second (`possible`); `None`: next to nothing.
    pub(super) fn look(&self, now: Duration, part: f64, answered: u64, possible: Option<f64>) -> Option<f64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_sub(seen.at.replace(now).unwrap_or(now)).as_secs_f64();
        seen.all += since;
        seen.had += since * part;
        seen.note(now, answered);
        let mut had = if seen.all > 0.0 { seen.had / seen.all } else { part };
        let lately = seen.lately(now, answered).zip(possible.filter(|possible| *possible > 0.0));
        // Whoever has the keys to itself has all of them, however fast it goes.
        if let Some((rate, possible)) = lately.filter(|_| had < 1.0) {
            had = (rate / possible).min(1.0);
        }
        (had > LEAST).then_some(had)
    }
}

impl Seen {
    fn note(&mut self, now: Duration, answered: u64) {
        if self.answered.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= APART) {
            self.answered.push_back((now, answered));
        }
        // One from before the last minutes stays.
        while self.answered.get(1).is_some_and(|(at, _)| *at + MINUTE * MINUTES <= now) {
            self.answered.pop_front();
        }
    }

    /// How many were answered a second in the last whole minutes.
    fn lately(&self, now: Duration, answered: u64) -> Option<f64> {
        let minutes =
            u32::try_from(now.as_secs() / MINUTE.as_secs()).map_or(MINUTES, |all| all.saturating_sub(1).min(MINUTES));
        let from = now.saturating_sub(MINUTE * minutes);
        let next = self.answered.partition_point(|(at, _)| *at <= from);
        let (at, before) = *self.answered.get(next.checked_sub(1)?).filter(|_| minutes > 0)?;
        let (then, after) = self.answered.get(next).copied().unwrap_or((now, answered));
        let seconds = |until: Duration| until.saturating_sub(at).as_secs_f64();
        let passed = seconds(from) / seconds(then).max(1e-3);
        let begun = before as f64 + after.saturating_sub(before) as f64 * passed;
        Some((answered as f64 - begun).max(0.0) / (MINUTE * minutes).as_secs_f64())
    }
}

/// The part of the keys that nobody else has: 1 where nobody shares them.
pub(super) fn of_keys(snapshot: &Snapshot, model: &str) -> f64 {
    let elsewhere = OutReason::HeldElsewhere.to_string();
    let (mut all, mut gone) = (0.0, 0.0);
    for key in snapshot.keys.iter().filter(|key| key.state != KeyState::Disabled) {
        let lane = key.lanes.iter().find(|lane| lane.model.as_deref() == Some(model));
        all += 1.0;
        gone += if lane.is_some_and(|lane| lane.out.as_ref() == Some(&elsewhere)) { 1.0 } else { 0.0 };
    }
    if all > 0.0 { 1.0 - gone / all } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn it_is_the_mean_of_what_was_seen() {
        let part = Part::default();
        assert_eq!(part.look(S(5), 1.0, 0, None), Some(1.0));
        assert_eq!(part.look(S(15), 1.0, 0, None), Some(1.0));
        assert_eq!(part.look(S(35), 0.5, 0, None), Some(2.0 / 3.0));
        assert_eq!(part.look(S(35), 0.0, 0, None), Some(2.0 / 3.0));
        let nothing = Part::default();
        assert_eq!((nothing.look(S(1), 0.0, 0, None), nothing.look(S(100), 0.0, 0, None)), (None, None));
    }

    /// All of the first minute's 120, and half of each since; it holds most keys, though full ones.
    #[test]
    fn later_it_is_what_was_answered_of_what_the_keys_allow() {
        let answered = |at: u64| 120 + 60 * (at / 60);
        let (shared, alone) = (Part::default(), Part::default());
        for at in (0..=400).step_by(2) {
            let part = shared.look(S(at), 0.9, answered(at), Some(2.0)).unwrap();
            let expected = if at < 120 { 0.9 } else { 0.5 };
            assert!((part - expected).abs() < 0.01, "{part} at {at} s");
            assert_eq!(alone.look(S(at), 1.0, answered(at), Some(2.0)), Some(1.0), "at {at} s");
        }
        assert!(shared.0.lock().unwrap().answered.len() < 100);
        // It went out a while ago, and nothing came since.
        assert_eq!(shared.look(S(900), 0.9, answered(400), Some(2.0)), None);
    }
}
