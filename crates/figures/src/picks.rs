//! Pools from which keys are picked repeatedly, with a manual clock.

use std::time::{Duration, SystemTime};

use tower_keypool::{ErrorClass, Failure, Gemini, Key, KeyPool, KeyRequest, Limits, ManualClock, Outcome, Scope};

/// Prefix of model names that have no built-in limits.
const MODEL: &str = "figures";

/// A pool with the least-loaded strategy. Each key is its own project with 15 requests per minute and 250 per day for
/// each model, and 8 simultaneous requests.
#[derive(Debug)]
pub struct Picks {
    time: ManualClock,
    pool: KeyPool,
    keys: usize,
    requests: Vec<KeyRequest>,
    /// Time between two picks, which uses 70 % of the keys' limits.
    step: Duration,
    /// Time that has passed, less than a whole millisecond.
    passed: Duration,
    /// Number of picks after which two days pass, so that the daily limits are not used up.
    day: usize,
    picked: usize,
    none: usize,
}

impl Picks {
    /// Creates a pool in which `cooling` percent of the keys cool down for days.
    ///
    /// # Panics
    /// If the pool cannot be built.
    pub fn new(keys: usize, models: usize, cooling: usize) -> Self {
        let time = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let mut builder = KeyPool::builder(Gemini::new())
            .keys((0..keys).map(|n| Key::new(secret(n)).named(format!("key-{n}").as_str()).max_concurrent(8)))
            .clock(time.clock());
        let names: Vec<String> = (0..models).map(|n| format!("{MODEL}-{n}")).collect();
        for name in &names {
            builder = builder.limits(name.as_str(), Limits::new().per_minute(15).per_day(250));
        }
        let pool = builder.build().expect("a pool");
        let requests: Vec<_> = names.iter().map(|name| KeyRequest::model(name.as_str())).collect();
        let cooled = keys * cooling / 100;
        let failure = Failure::new(ErrorClass::RateLimit)
            .with_scope(Scope::Key)
            .with_retry_after(Duration::from_secs(6 * 86_400));
        let failure = Outcome::from(failure);
        for _ in 0..cooled {
            pool.try_acquire(requests[0].clone()).expect("a ready key").report(&failure);
        }
        let serving = (keys - cooled).max(1);
        let step = Duration::from_secs(60).div_f64(serving as f64 * 15.0 * 0.7);
        Self {
            time,
            pool,
            keys,
            requests,
            step,
            passed: Duration::ZERO,
            day: serving * 200 * models,
            picked: 0,
            none: 0,
        }
    }

    /// Lets each key serve each model at least once, so that one-time work is done.
    pub fn warm_up(&mut self) {
        for model in 0..self.requests.len() {
            for _ in 0..self.keys + self.keys / 4 {
                let request = self.next(model);
                self.none += usize::from(!pick_and_finish(&self.pool, request, &Outcome::Success));
            }
        }
    }

    /// Lets each key serve an unknown model.
    pub fn warm_up_unknown(&mut self) {
        (0..self.keys + self.keys / 4).for_each(|_| self.pick_unknown(false));
    }

    /// Advances the clock, picks a key, reports a success and returns the key.
    pub fn pick(&mut self) {
        let request = self.next(self.picked % self.requests.len());
        self.none += usize::from(!counted(&self.pool, request, &Outcome::Success));
    }

    /// Does the same for a new model name that the upstream does not know, in a counted function or not.
    pub fn pick_unknown(&mut self, count: bool) {
        drop(self.next(0));
        let request = KeyRequest::model(format!("nobody-has-{}", self.picked));
        let pick = if count { counted } else { pick_and_finish };
        self.none += usize::from(!pick(&self.pool, request, &Outcome::from_class(ErrorClass::ModelNotFound)));
    }

    fn next(&mut self, model: usize) -> KeyRequest {
        self.picked += 1;
        self.passed += self.step;
        let whole = Duration::from_millis(self.passed.as_millis() as u64);
        self.passed -= whole;
        self.time.advance(whole);
        if self.picked.is_multiple_of(self.day) {
            self.time.advance(Duration::from_secs(2 * 86_400));
        }
        self.requests[model].clone()
    }
}

/// The function whose instructions callgrind counts.
#[inline(never)]
fn counted(pool: &KeyPool, request: KeyRequest, outcome: &Outcome) -> bool {
    pick_and_finish(pool, request, outcome)
}

/// Picks a key, reports the outcome and returns the key.
fn pick_and_finish(pool: &KeyPool, request: KeyRequest, outcome: &Outcome) -> bool {
    pool.try_acquire(request).map(|lease| lease.report(outcome)).is_ok()
}

impl Drop for Picks {
    fn drop(&mut self) {
        assert!(self.none * 100 <= self.picked, "{} of {} requests found no key", self.none, self.picked);
    }
}

/// Returns a secret as long as Gemini's.
pub fn secret(n: usize) -> String {
    format!("AIza-not-a-real-key-{n:019}")
}
