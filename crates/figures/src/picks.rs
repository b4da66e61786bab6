//! Pools that are picked from, over and over.

use std::time::{Duration, SystemTime};

use tower_keypool::{Demand, Key, KeyPool, Limits, ManualClock, Scope, Until, Verdict, VerdictKind};

use crate::plain::Plain;

static GOOD: Verdict = Verdict::SUCCESS;

/// A clock that moves by hand, from a morning in 2026.
pub fn clock() -> ManualClock {
    ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000))
}

/// So many keys, each its own owner, eight requests at once.
pub fn keys(count: usize) -> impl Iterator<Item = Key> {
    (0..count).map(|n| Key::new(secret(n)).max_concurrent(8))
}

/// A secret as long as the real ones.
pub fn secret(n: usize) -> String {
    format!("AIza-not-a-real-key-{n:019}")
}

/// Least loaded, 15 requests a minute and 250 a day in each lane.
pub struct Picks {
    time: ManualClock,
    /// The pool that is picked from.
    pub pool: KeyPool,
    demands: Vec<Demand>,
    step: Duration,
    /// Picks in which each key may use up four fifths of its days.
    days: usize,
    picked: usize,
    none: usize,
}

impl Picks {
    /// `resting` percent of the keys rest without end.
    pub fn new(count: usize, lanes: usize, resting: usize) -> Self {
        let time = clock();
        let mut builder = KeyPool::builder(Plain::new()).keys(keys(count)).clock(time.clock());
        let models: Vec<String> = (0..lanes).map(|n| format!("gemini-2.5-flash-{n}")).collect();
        for model in &models {
            builder = builder.limits(model.clone(), Limits::new().per_minute(15).per_day(250));
        }
        let pool = builder.build().expect("a pool");
        let demands: Vec<Demand> = models.iter().map(|model| Demand::new(model.as_str())).collect();
        let rest = Verdict::new(VerdictKind::RateLimited).scope(Scope::Key).until(Until::Lifted);
        for _ in 0..count * resting / 100 {
            pool.try_acquire(demands[0].clone()).expect("a ready key").judge(&rest);
        }
        // 70 % of what the keys may start, so that windows open and close as in real use.
        let serving = (count - count * resting / 100).max(1);
        let step = Duration::from_secs_f64(60.0 / (serving as f64 * 15.0 * 0.7));
        Self { time, pool, demands, step, days: serving * 200 * lanes, picked: 0, none: 0 }
    }

    /// Picks a key and settles: acquire, judge, end.
    pub fn pick(&mut self) {
        self.pass_time();
        match self.pool.try_acquire(self.demands[self.picked % self.demands.len()].clone()) {
            Ok(lease) => lease.settle(&GOOD),
            Err(_) => self.none += 1,
        }
    }

    /// All that is not the pool's: to be taken off.
    pub fn pass(&mut self) {
        self.pass_time();
        std::hint::black_box(self.demands[self.picked % self.demands.len()].clone());
    }

    fn pass_time(&mut self) {
        self.picked += 1;
        self.time.advance(self.step);
        if self.picked.is_multiple_of(self.days) {
            self.time.advance(Duration::from_secs(2 * 86_400));
        }
    }
}

impl Drop for Picks {
    fn drop(&mut self) {
        assert!(self.none * 100 <= self.picked, "{} of {} demands found no key", self.none, self.picked);
    }
}

/// Mixed demands of 1,000 to 200,000 tokens, nine of ten owners token-full.
pub struct Tokens {
    time: ManualClock,
    pool: KeyPool,
    demands: Vec<Demand>,
    step: Duration,
    picked: usize,
    none: usize,
}

impl Tokens {
    /// So many owners of one key each.
    pub fn new(count: usize) -> Self {
        let time = clock();
        let model = "gemini-2.5-flash";
        let limits = Limits::new().per_minute(15).per_day(100_000).tokens_per_minute(250_000);
        let full = count * 9 / 10;
        let keys = keys(count).enumerate().map(|(n, key)| {
            let days = if n < full { limits.clone().tokens_per_day(250_000) } else { limits.clone() };
            key.limits(model, days)
        });
        let pool = KeyPool::builder(Plain::new()).keys(keys).clock(time.clock()).build().expect("a pool");
        let demand = |tokens: u64| Demand::new(model).tokens(tokens);
        for _ in 0..count {
            pool.try_acquire(demand(250_000)).expect("room for 250,000 tokens").judge(&GOOD);
        }
        time.advance(Duration::from_secs(61));
        let sizes = [1_000u64, 200_000, 5_000, 50_000, 1_000, 20_000, 2_000, 100_000, 1_000, 10_000];
        let mean = sizes.iter().sum::<u64>() as f64 / sizes.len() as f64;
        // Half of what those with room may take.
        let step = Duration::from_secs_f64(60.0 * mean / ((count - full) as f64 * 250_000.0 * 0.5));
        Self { time, pool, demands: sizes.map(demand).into(), step, picked: 0, none: 0 }
    }

    /// Picks a key and settles: acquire, judge, end.
    pub fn pick(&mut self) {
        self.picked += 1;
        self.time.advance(self.step);
        match self.pool.try_acquire(self.demands[self.picked % self.demands.len()].clone()) {
            Ok(lease) => lease.settle(&GOOD),
            Err(_) => self.none += 1,
        }
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        assert!(self.none * 100 <= self.picked, "{} of {} demands found no key", self.none, self.picked);
    }
}
