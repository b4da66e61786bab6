//! What part of the keys a run has of late, where other processes work with the same ones: by how often it was seen that it
//! wanted more and others had them.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tower_keypool::{KeyState, OutReason, Snapshot};

/// Less than that tells nothing of the end.
const LEAST: f64 = 0.02;

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
}

impl Part {
    /// It is so now, and was since it was looked at last. What part it had of all that time; `None`: next to nothing.
    pub(super) fn look(&self, now: Duration, part: f64) -> Option<f64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_sub(seen.at.replace(now).unwrap_or(now)).as_secs_f64();
        seen.all += since;
        seen.had += since * part;
        let had = if seen.all > 0.0 { seen.had / seen.all } else { part };
        (had > LEAST).then_some(had)
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
        assert_eq!(part.look(S(5), 1.0), Some(1.0));
        assert_eq!(part.look(S(15), 1.0), Some(1.0));
        assert_eq!(part.look(S(35), 0.5), Some(2.0 / 3.0));
        assert_eq!(part.look(S(35), 0.0), Some(2.0 / 3.0));
        let nothing = Part::default();
        assert_eq!((nothing.look(S(1), 0.0), nothing.look(S(100), 0.0)), (None, None));
    }
}
