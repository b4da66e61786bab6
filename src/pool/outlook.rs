//! Whether a demand would find a key, without taking one.

use super::{Demand, Exhausted, KeyPool};

impl KeyPool {
    /// Whether some key could carry a request of this model now.
    pub fn can_serve(&self, model: &str) -> bool {
        let now = self.clock().now();
        let demand = Demand::new(model);
        self.look_at(now).could_pick(&demand, now)
    }

    /// Why no key may carry this now; `None` where one may. Takes nothing, waits for nothing and counts nothing. Where no
    /// key may, it looks at every key to say why.
    ///
    /// ```
    /// use tower_keypool::{Gemini, Key, KeyPool, Limits};
    ///
    /// let key = Key::new("AIza-not-a-real-key-000");
    /// let pool = KeyPool::builder(Gemini::new()).key(key).limits("*", Limits::new().per_minute(1)).build()?;
    /// assert!(pool.outlook("gemini-2.5-flash").is_none());
    /// drop(pool.try_acquire("gemini-2.5-flash")?);
    /// let out = pool.outlook("gemini-2.5-flash").expect("its minute is full");
    /// assert!(out.next_in().is_some_and(|next| next.as_secs() >= 59));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn outlook(&self, demand: impl Into<Demand>) -> Option<Exhausted> {
        let demand = demand.into();
        let now = self.clock().now();
        let mut state = self.look_at(now);
        if state.could_pick(&demand, now) {
            return None;
        }
        let ask = state.ask(&demand, now);
        Some(state.diagnose(&ask))
    }
}
