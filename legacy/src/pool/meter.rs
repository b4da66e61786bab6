//! What a request's answers cost, told to whoever sent it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Demand, Granted, KeyPool, Step, Usage, steps::Noted};
use crate::{key::KeyId, time::Tick, verdict::Verdict};

/// Learns what the answer to a request cost, while it passes: see [`Demand::metered`](super::Demand::metered).
///
/// ```
/// use std::sync::Arc;
/// use tower_keypool::{Demand, Gemini, Key, KeyPool, Meter, Usage};
///
/// let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-000")).build()?;
/// let meter = Arc::new(Meter::default());
/// let lease = pool.try_acquire(Demand::new("gemini-2.5-flash").metered(meter.clone()))?;
/// let mut usage = Usage::default();
/// (usage.input_tokens, usage.output_tokens) = (Some(7), Some(5));
/// lease.usage(usage);
/// assert_eq!(meter.tokens(), Some(12));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Meter {
    told: AtomicBool,
    input: AtomicU64,
    output: AtomicU64,
    /// What the request that is under way was expected to cost: its prompt, and its answer.
    expected: [AtomicU64; 2],
    /// What those before it did.
    before: [AtomicU64; 2],
    known: AtomicBool,
    noted: Option<Noted>,
}

impl Meter {
    /// One that also notes what happens to the request: see [`steps`](Self::steps).
    pub fn watching() -> Self {
        Self { noted: Some(Noted::new(false)), ..Self::default() }
    }

    /// The same, and each key that is looked at for it. That holds the pool for as long as it takes to look at 256 keys.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tower_keypool::{Demand, Gemini, Key, KeyPool, Meter, Step};
    ///
    /// let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-000").id("a")).build()?;
    /// let meter = Arc::new(Meter::surveying());
    /// let lease = pool.try_acquire(Demand::new("gemini-2.5-flash").metered(meter.clone()))?;
    /// let steps = meter.steps();
    /// let [Step::Looked { candidates, .. }, Step::Granted { key, .. }] = &steps[..] else { panic!("{steps:?}") };
    /// assert_eq!((candidates.len(), candidates[0].out, key.to_string().as_str()), (1, None, "a"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn surveying() -> Self {
        Self { noted: Some(Noted::new(true)), ..Self::default() }
    }

    /// What happened so far, where that is noted: the first 64 steps.
    pub fn steps(&self) -> Vec<Step> {
        self.noted.as_ref().map(Noted::all).unwrap_or_default()
    }

    /// Tokens of the prompt, and those of the answer, as the last word had them; `None` until there was one.
    pub fn parts(&self) -> Option<(u64, u64)> {
        let all = |at: usize, now: &AtomicU64| {
            self.before[at].load(Ordering::Relaxed).saturating_add(now.load(Ordering::Relaxed))
        };
        let known = self.told.load(Ordering::Acquire) || self.known.load(Ordering::Acquire);
        known.then(|| (all(0, &self.input), all(1, &self.output)))
    }

    /// A good answer is over. Where it did not say what it cost, its request counts as it was expected to: by its demand,
    /// unless it asked no model, or nothing that is counted. What another request of the same caller costs is added.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tower_keypool::{Demand, Gemini, Key, KeyPool, Meter};
    ///
    /// let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-000")).build()?;
    /// let meter = Arc::new(Meter::default());
    /// for texts in [300, 100] {
    ///     drop(pool.try_acquire(Demand::new("gemini-embedding-001").about_tokens(texts).metered(meter.clone()))?);
    ///     meter.settle();
    /// }
    /// assert_eq!(meter.tokens(), Some(400));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn settle(&self) {
        let [expected, answer] = [0, 1].map(|part: usize| self.expected[part].swap(0, Ordering::Relaxed));
        let told = self.told.load(Ordering::Acquire);
        let (mut input, mut output) = (self.input.swap(0, Ordering::Relaxed), self.output.swap(0, Ordering::Relaxed));
        if !told {
            // What came of an answer may have been guessed at.
            (input, output) = (expected, if output > 0 { output } else { answer });
        }
        self.before[0].fetch_add(input, Ordering::Relaxed);
        self.before[1].fetch_add(output, Ordering::Relaxed);
        if told || input > 0 || output > 0 {
            self.known.store(true, Ordering::Release);
        }
        self.told.store(false, Ordering::Release);
    }

    pub(super) fn noted(&self) -> Option<&Noted> {
        self.noted.as_ref()
    }

    #[inline]
    pub(super) fn granted(&self, pool: &KeyPool, key: &KeyId, demand: &Demand) {
        let model = demand.model.as_ref();
        let counts = model.is_some() && !demand.free;
        let expected = if counts { [demand.input_tokens, demand.output_tokens] } else { [0; 2] };
        self.expected[0].store(expected[0], Ordering::Relaxed);
        self.expected[1].store(expected[1], Ordering::Relaxed);
        if let Some(noted) = &self.noted {
            noted.granted(pool, key, model);
        }
    }

    pub(super) fn paused(&self, until: Tick) {
        if let Some(noted) = &self.noted {
            noted.paused(until);
        }
    }

    #[inline]
    pub(crate) fn judged(&self, granted: &Granted, verdict: &Verdict) {
        if let Some(noted) = &self.noted {
            noted.judged(granted, verdict);
        }
    }

    /// Tokens of the prompt and of the answer, as the last word had them; `None` until there was one.
    pub fn tokens(&self) -> Option<u64> {
        self.parts().map(|(input, output)| input.saturating_add(output))
    }

    pub(crate) fn read(&self, usage: Usage) {
        if let Some(tokens) = usage.input_tokens {
            self.input.store(tokens, Ordering::Relaxed);
        }
        if let Some(tokens) = usage.output_tokens {
            self.output.store(tokens, Ordering::Relaxed);
        }
        self.told.store(true, Ordering::Release);
    }

    /// An answer that told nothing came to about so much.
    pub(crate) fn guess(&self, output_tokens: u64) {
        self.output.store(output_tokens, Ordering::Relaxed);
    }
}
