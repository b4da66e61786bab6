//! Folding: what happens again and again is said once and counted.

use std::{collections::HashMap, time::Duration};

use tower_keypool::Tick;

/// The same change within this time is counted, not said.
const SAME: Duration = Duration::from_secs(30);
/// At most [`BURST`] lines in this time; the rest is counted.
const SPAN: Duration = Duration::from_secs(5);
const BURST: u32 = 25;
/// More different changes than this are not told apart.
const MOST: usize = 4096;

/// Lines on their way to the console.
#[derive(Debug, Default)]
pub(super) struct Fold {
    told: HashMap<String, Told>,
    span: Option<Tick>,
    lines: u32,
    untold: u64,
}

#[derive(Debug)]
struct Told {
    at: Tick,
    again: u32,
    last: String,
}

impl Fold {
    /// The line, if it is to be said now. `subject` is what makes two lines the same.
    pub(super) fn admit(&mut self, subject: String, line: String, now: Tick) -> Option<String> {
        if let Some(told) = self.told.get_mut(&subject) {
            if now.since(told.at) < SAME {
                told.again += 1;
                told.last = line;
                return None;
            }
            told.at = now;
        } else if self.told.len() < MOST {
            self.told.insert(subject, Told { at: now, again: 0, last: String::new() });
        }
        self.within_burst(now).then_some(line)
    }

    /// What begins so is no repetition any more: something else was said since.
    pub(super) fn forget(&mut self, front: &str) {
        self.told.retain(|subject, told| told.again > 0 || !subject.starts_with(front));
    }

    fn within_burst(&mut self, now: Tick) -> bool {
        if self.span.is_none_or(|began| now.since(began) >= SPAN) {
            self.span = Some(now);
            self.lines = 0;
        }
        self.lines += 1;
        let within = self.lines <= BURST;
        self.untold += u64::from(!within);
        within
    }

    /// What was counted and is due to be said.
    pub(super) fn flush(&mut self, now: Tick) -> Vec<String> {
        let mut due = Vec::new();
        self.told.retain(|_, told| {
            let over = now.since(told.at) >= SAME;
            if over && told.again > 0 {
                due.push(match told.again {
                    1 => told.last.clone(),
                    again => format!("{} ({again} times in {} s)", told.last, SAME.as_secs()),
                });
            }
            !over
        });
        due.sort_unstable();
        let more = due.len().saturating_sub(BURST as usize);
        due.truncate(BURST as usize);
        let untold = std::mem::take(&mut self.untold) + more as u64;
        if untold > 0 {
            due.push(format!("and {untold} more changes of keys"));
        }
        due
    }

    /// Whether nothing waits to be said.
    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty() && self.untold == 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tower_keypool::ManualClock;

    use super::*;

    #[test]
    fn the_same_change_is_said_once_and_counted() {
        let time = ManualClock::at(SystemTime::UNIX_EPOCH);
        let clock = time.clock();
        let mut fold = Fold::default();
        let mut rest = |clock: &tower_keypool::Clock, seconds: u32| {
            fold.admit("k-1 rests".to_owned(), format!("k-1 rests {seconds} s"), clock.tick())
        };
        assert_eq!(rest(&clock, 41).as_deref(), Some("k-1 rests 41 s"));
        for _ in 0..3 {
            time.advance(Duration::from_secs(2));
            assert_eq!(rest(&clock, 39), None);
        }
        assert!(fold.flush(clock.tick()).is_empty());
        time.advance(Duration::from_secs(30));
        assert_eq!(fold.flush(clock.tick()), ["k-1 rests 39 s (3 times in 30 s)"]);
        assert!(fold.is_empty());
    }

    #[test]
    fn a_flood_of_different_changes_is_counted() {
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH).clock();
        let mut fold = Fold::default();
        let said = (0..1000).filter(|n| fold.admit(format!("k-{n}"), String::new(), clock.tick()).is_some()).count();
        assert_eq!(said, 25);
        assert_eq!(fold.flush(clock.tick()), ["and 975 more changes of keys"]);
    }
}
