//! Many leases at once, under one lock.

use std::{
    fmt,
    future::{IntoFuture, Ready, ready},
};

use super::{Demand, KeyPool, Lease};
use crate::error::Error;

/// Takes groups of leases at once: made by [`KeyPool::acquire_many`]. Await it, or call [`now`](AcquireMany::now).
///
/// Partial unless [`all_or_none`](AcquireMany::all_or_none) is set: the groups are filled in order with what is ready.
/// It never holds some leases while it waits for more, so it does not wait at all.
///
/// ```
/// use tower_keypool::{Gemini, Key, KeyPool};
///
/// let keys = (0..60).map(|n| Key::new(format!("AIza-not-a-real-key-{n:03}")));
/// let pool = KeyPool::builder(Gemini::new()).keys(keys).build()?;
/// let groups = pool.acquire_many(&[10, 20, 30]).of("gemini-2.5-flash").now()?;
/// assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [10, 20, 30]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is taken until it is awaited or `now` is called"]
pub struct AcquireMany {
    pool: KeyPool,
    sizes: Vec<usize>,
    demand: Demand,
    all_or_none: bool,
}

impl AcquireMany {
    pub(super) fn new(pool: KeyPool, sizes: &[usize]) -> Self {
        Self { pool, sizes: sizes.to_vec(), demand: Demand::any_model(), all_or_none: false }
    }

    /// What each lease is for; requests without a model unless set.
    pub fn of(mut self, demand: impl Into<Demand>) -> Self {
        self.demand = demand.into();
        self
    }

    /// Everything, or an error and nothing.
    pub fn all_or_none(mut self) -> Self {
        self.all_or_none = true;
        self
    }

    /// Takes them: one group a size, in order.
    ///
    /// # Errors
    /// Why no key may serve: when not a single lease could be had, or, with `all_or_none`, not every one.
    pub fn now(self) -> Result<Vec<Vec<Lease>>, Error> {
        let wanted = self.sizes.iter().fold(0, |sum: usize, size| sum.saturating_add(*size));
        let (leases, short) = self.pool.take_many(&self.demand, wanted, self.all_or_none);
        match short {
            Some(error) if leases.is_empty() && wanted > 0 => return Err(error),
            _ => {}
        }
        let mut leases = leases.into_iter();
        Ok(self.sizes.iter().map(|size| leases.by_ref().take(*size).collect()).collect())
    }
}

impl IntoFuture for AcquireMany {
    type Output = Result<Vec<Vec<Lease>>, Error>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(self.now())
    }
}

impl fmt::Debug for AcquireMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireMany").field("sizes", &self.sizes).field("demand", &self.demand).finish_non_exhaustive()
    }
}
