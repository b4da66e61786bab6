//! What retries are paid from unless a rule says otherwise: tower's default amounts, without its look at the clock for
//! each success. Successes are only counted; when they came matters no sooner than somebody wants to pay with them.

use std::{sync::PoisonError, time::SystemTime};

use tower::retry::budget::Budget;

use super::sync::{AtomicU64, Mutex, Ordering};
use crate::time::Clock;

/// How long a success pays, and a retry is owed.
const SECONDS: usize = 10;
/// What a retry costs; a success earns one of them.
const RETRY: i64 = 5;
/// What there is beside all that is earned: ten retries a second.
const RESERVE: i64 = 10 * SECONDS as i64 * RETRY;

/// A fifth of what succeeded within ten seconds, and ten a second.
pub(super) struct Allowance {
    clock: Clock,
    /// Successes since somebody looked. Taken whole by whoever does, so that each counts once.
    earned: AtomicU64,
    books: Mutex<Books>,
}

/// Earned and spent in each of the last seconds.
struct Books {
    /// The second of the last look, by the clock.
    second: u64,
    by_second: [i64; SECONDS],
}

impl Allowance {
    fn new(clock: Clock) -> Self {
        let books = Books { second: second(&clock), by_second: [0; SECONDS] };
        Self { clock, earned: AtomicU64::new(0), books: Mutex::new(books) }
    }
}

impl Default for Allowance {
    /// On tokio's clock, as tower's own.
    fn default() -> Self {
        Self::new(Clock::tokio_from(SystemTime::UNIX_EPOCH))
    }
}

impl Budget for Allowance {
    #[inline]
    fn deposit(&self) {
        // Relaxed: a number that guards no other memory.
        self.earned.fetch_add(1, Ordering::Relaxed);
    }

    fn withdraw(&self) -> bool {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.turn_to(second(&self.clock), self.earned.swap(0, Ordering::Relaxed));
        books.pay()
    }
}

impl Books {
    /// Forgets the seconds that are over, and spreads what was earned since the last look evenly over the time since.
    fn turn_to(&mut self, second: u64, earned: u64) {
        let passed = second.saturating_sub(self.second);
        self.second += passed;
        for past in 0..passed.min(SECONDS as u64) {
            *self.at(past) = 0;
        }
        let share = earned / (passed + 1);
        for past in 0..(passed + 1).min(SECONDS as u64) {
            *self.at(past) += share as i64;
        }
        if passed < SECONDS as u64 {
            *self.at(0) += (earned % (passed + 1)) as i64;
        }
    }

    fn pay(&mut self) -> bool {
        let has = RESERVE + self.by_second.iter().sum::<i64>();
        let pays = has >= RETRY;
        if pays {
            *self.at(0) -= RETRY;
        }
        pays
    }

    /// The count of so many seconds ago.
    fn at(&mut self, past: u64) -> &mut i64 {
        &mut self.by_second[self.second.saturating_sub(past) as usize % SECONDS]
    }
}

fn second(clock: &Clock) -> u64 {
    clock.tick().millis() / 1000
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::ManualClock;

    fn begun() -> (ManualClock, Allowance) {
        let time = ManualClock::at(SystemTime::UNIX_EPOCH);
        let allowance = Allowance::new(time.clock());
        (time, allowance)
    }

    /// How many retries are paid for now.
    fn paid(allowance: &Allowance) -> usize {
        std::iter::from_fn(|| allowance.withdraw().then_some(())).count()
    }

    #[test]
    fn ten_a_second_are_free_and_every_fifth_success_pays_for_one() {
        let (time, allowance) = begun();
        assert_eq!(paid(&allowance), 100);
        (0..52).for_each(|_| allowance.deposit());
        assert_eq!(paid(&allowance), 10);
        (0..3).for_each(|_| allowance.deposit());
        assert_eq!(paid(&allowance), 1, "two were left");
        time.advance(Duration::from_secs(9));
        assert_eq!(paid(&allowance), 0);
        time.advance(Duration::from_secs(1));
        assert_eq!(paid(&allowance), 100, "what was spent is forgotten, too");
    }

    #[test]
    fn successes_pay_for_ten_seconds() {
        let (time, allowance) = begun();
        assert_eq!(paid(&allowance), 100);
        for _ in 0..20 {
            (0..50).for_each(|_| allowance.deposit());
            time.advance(Duration::from_secs(1));
        }
        // They were 47 in each of 21 seconds, of which the last ten count, and nothing is owed any more.
        assert_eq!(paid(&allowance), 100 + 47 * 10 / 5);
        time.advance(Duration::from_secs(100));
        assert_eq!(paid(&allowance), 100);
    }

    #[test]
    fn a_clock_that_jumps_far_does_no_harm() {
        let (time, allowance) = begun();
        allowance.deposit();
        time.advance(Duration::from_secs(1 << 30));
        assert_eq!(paid(&allowance), 100);
    }
}
