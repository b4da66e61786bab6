//! A pool with a rule, for calls of any kind.

use std::sync::Arc;

use super::{LeasedKey, RunError, walk::Walk};
use crate::{
    fallback::Models,
    pool::{Demand, KeyPool},
    rule::Retry,
    verdict::Verdict,
};

/// A pool with a rule for retries: [`KeyPool::with_retry`]. Made once, called many times. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Runner {
    pool: KeyPool,
    rule: Arc<Retry>,
    models: Arc<Models>,
}

impl KeyPool {
    /// Calls the closure with a key, again with another one after a fault of the key, and after a pause after a fault
    /// of the provider, as the pool's rule says
    /// ([`KeyPool::default_retry`]; [`KeyPool::with_retry`] is for calls with another).
    ///
    /// `judge` says what each result means. The last true result is what comes out, good or bad; the typed error only
    /// where no key could be had at all. The future needs no lifetime and spawns when its parts do.
    ///
    /// ```
    /// # async fn generate(key: &str, prompt: &str) -> Result<String, std::io::Error> { Ok(format!("{key}{prompt}")) }
    /// use tower_keypool::{KeyPool, RunError, Verdict, VerdictKind};
    ///
    /// async fn hello(pool: &KeyPool) -> Result<String, RunError<std::io::Error>> {
    ///     let judge = |result: &Result<String, std::io::Error>| match result {
    ///         Ok(_) => Verdict::SUCCESS,
    ///         Err(_) => Verdict::new(VerdictKind::Transient),
    ///     };
    ///     pool.run("gemini-2.5-pro", judge, |key| async move { generate(key.expose(), "hello").await }).await
    /// }
    /// ```
    ///
    /// # Errors
    /// What the closure returned last, or why no key could be had.
    pub fn run<D, J, C, F, T, E>(
        &self,
        demand: D,
        judge: J,
        call: C,
    ) -> impl Future<Output = Result<T, RunError<E>>> + use<D, J, C, F, T, E>
    where
        D: Into<Demand>,
        J: Fn(&Result<T, E>) -> Verdict,
        C: FnMut(LeasedKey) -> F,
        F: Future<Output = Result<T, E>>,
    {
        self.with_retry(self.default_retry()).run(demand, judge, call)
    }

    /// The closure form with another rule: made once, called many times with different demands.
    pub fn with_retry(&self, rule: Retry) -> Runner {
        Runner { pool: self.clone(), rule: Arc::new(rule), models: Arc::default() }
    }
}

impl Runner {
    /// Lets calls step down to other models; [`LeasedKey::model`] says which one to ask for. A demand that names no
    /// model gets the best with a ready key.
    #[must_use]
    pub fn models(mut self, models: Models) -> Self {
        self.models = Arc::new(models.of(&**self.pool.provider()));
        self
    }

    /// As [`KeyPool::run`], with this runner's rule.
    ///
    /// # Errors
    /// What the closure returned last, or why no key could be had.
    pub fn run<D, J, C, F, T, E>(
        &self,
        demand: D,
        judge: J,
        call: C,
    ) -> impl Future<Output = Result<T, RunError<E>>> + use<D, J, C, F, T, E>
    where
        D: Into<Demand>,
        J: Fn(&Result<T, E>) -> Verdict,
        C: FnMut(LeasedKey) -> F,
        F: Future<Output = Result<T, E>>,
    {
        let walk = Walk::new(self.pool.clone(), Arc::clone(&self.rule), &self.models, demand.into());
        walk.run(judge, call)
    }
}
