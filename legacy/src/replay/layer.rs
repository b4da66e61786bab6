//! The layer.

use std::{borrow::Borrow, fmt, sync::Arc};

use tower_layer::Layer;

use super::{ReplayService, budget::Budget};
use crate::pool::KeyPool;

/// Makes the body of any request one that can be sent again: [`ReplayBody`](crate::ReplayBody).
///
/// The first attempt streams; what it read is kept, by reference, until no other attempt can follow. Put it above
/// everything that sends a request twice.
///
/// A body larger than [`up_to`](ReplayLayer::up_to), or one for which the [budget](ReplayLayer::budget) has no room, is
/// no failure: it streams on, and is not sent again once its first byte went out. Neither is a request that asks for an
/// upgrade.
///
/// Without a pool it does not look into a body: a request of a provider that has the model there (`OpenAi`, `Anthropic`) then
/// counts as one of no model, unless it brings its [`Demand`](crate::Demand). And it counts from when the client is called, also
/// where that lets it stand (a `Buffer`, a connection that is made first): the provider may then see more requests within a
/// window than its limit.
///
/// With a [pool](ReplayLayer::pool) it also finds the model where the provider keeps it in the body (what it reads
/// there is kept and streamed behind), estimates tokens from the length, and lets the request's start be counted from
/// the moment when the connection takes it. [`KeyPoolLayer`](crate::KeyPoolLayer) does that by itself.
///
/// A body that names its model behind what is kept of it goes past no limit. Where models have limits of their own (given for
/// a model, learned, or known of its tier) it is not sent: 413 where it is larger than `up_to`, 503 where the budget has no room for it now
/// ([`Error::is_model_behind`](crate::Error::is_model_behind)). Elsewhere it counts by the limits of `*`, as does what names no
/// model that can be read: a form, a body that is compressed. Whoever says the model in a [`Demand`](crate::Demand), or writes it
/// first, has neither.
///
/// Bounds: the body is `Body + Unpin + Send + 'static`; `Box::pin(body)` makes any other `Unpin`. The service below
/// takes `Request<ReplayBody<B>>`: it has to be generic in its body, or built for this one.
///
/// ```
/// # fn layer(pool: tower_keypool::KeyPool) {
/// use tower_keypool::ReplayLayer;
///
/// let layer = ReplayLayer::up_to(32 << 20).budget(512 << 20).pool(&pool);
/// assert_eq!(layer.kept_bytes(), 0);
/// # }
/// ```
#[derive(Clone)]
pub struct ReplayLayer {
    limit: u64,
    budget: Arc<Budget>,
    pool: Option<KeyPool>,
}

impl ReplayLayer {
    /// Bytes of one body that are kept unless set: 32 MiB.
    pub const DEFAULT_LIMIT: u64 = 32 << 20;

    /// Bytes that all requests may keep together unless set: 256 MiB.
    pub const DEFAULT_BUDGET: usize = 256 << 20;

    /// Keeps bodies of at most `bytes`, each.
    pub fn up_to(bytes: u64) -> Self {
        Self { limit: bytes, budget: Arc::new(Budget::new(Self::DEFAULT_BUDGET)), pool: None }
    }

    /// Keeps at most `bytes` over all requests in flight through this layer (and its clones made from here on): bytes
    /// of bodies, and 32 for each chunk. Where there is no room, a request keeps nothing and streams.
    ///
    /// Only a chunk that was read to find the model is held beyond it, at most one a request.
    #[must_use]
    pub fn budget(mut self, bytes: usize) -> Self {
        self.budget = Arc::new(Budget::new(bytes));
        self
    }

    /// Finds out, as this pool's provider knows it, what each request asks for.
    #[must_use]
    pub fn pool(mut self, pool: impl Borrow<KeyPool>) -> Self {
        self.pool = Some(pool.borrow().clone());
        self
    }

    /// Bytes that are kept now, over all requests: what the budget counts.
    pub fn kept_bytes(&self) -> usize {
        self.budget.used()
    }
}

impl Default for ReplayLayer {
    fn default() -> Self {
        Self::up_to(Self::DEFAULT_LIMIT)
    }
}

impl<S> Layer<S> for ReplayLayer {
    type Service = ReplayService<S>;

    fn layer(&self, inner: S) -> ReplayService<S> {
        ReplayService::new(inner, self.limit, Arc::clone(&self.budget), self.pool.clone())
    }
}

impl fmt::Debug for ReplayLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayLayer").field("up_to", &self.limit).field("budget", &self.budget).finish_non_exhaustive()
    }
}
