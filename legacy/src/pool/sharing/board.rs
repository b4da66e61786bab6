//! A board whose kind is not known.

use std::pin::Pin;

use tower::BoxError;

use crate::{
    share::{Board, Hint, Renewal, Reply},
    store::StoreError,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A board whose kind is not known.
pub(in crate::pool) trait AnyBoard: Send + Sync {
    fn renew<'a>(&'a self, renewal: &'a Renewal) -> Boxed<'a, Result<Reply, BoxError>>;
    fn hint(&self) -> Boxed<'_, Hint>;
}

impl<B: Board> AnyBoard for B {
    fn renew<'a>(&'a self, renewal: &'a Renewal) -> Boxed<'a, Result<Reply, BoxError>> {
        Box::pin(Board::renew(self, renewal))
    }

    fn hint(&self) -> Boxed<'_, Hint> {
        Box::pin(Board::hint(self))
    }
}

/// Whether a call that failed so may do better a little later.
pub(super) fn passes(error: &BoxError) -> bool {
    #[cfg(feature = "redis")]
    if let Some(error) = error.downcast_ref::<crate::redis::RedisError>() {
        return error.is_passing();
    }
    error.downcast_ref::<StoreError>().is_none_or(StoreError::is_passing)
}
