//! What a request's answers cost, told to whoever sent it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Usage;

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
}

impl Meter {
    /// Tokens of the prompt and of the answer, as the last word had them; `None` until there was one.
    pub fn tokens(&self) -> Option<u64> {
        let sum = || self.input.load(Ordering::Relaxed).saturating_add(self.output.load(Ordering::Relaxed));
        self.told.load(Ordering::Acquire).then(sum)
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
}
