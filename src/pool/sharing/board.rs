//! A board whose kind is not known.

use std::pin::Pin;

use tower::BoxError;

use crate::{
    share::{Board, Renewal, Reply},
    store::StoreError,
};

type Boxed<'a> = Pin<Box<dyn Future<Output = Result<Reply, BoxError>> + Send + 'a>>;

/// A board whose kind is not known.
pub(in crate::pool) trait AnyBoard: Send + Sync {
    fn renew<'a>(&'a self, renewal: &'a Renewal) -> Boxed<'a>;
}

impl<B: Board> AnyBoard for B {
    fn renew<'a>(&'a self, renewal: &'a Renewal) -> Boxed<'a> {
        Box::pin(Board::renew(self, renewal))
    }
}

/// Whether a call that failed so may do better a little later.
pub(super) fn passes(error: &BoxError) -> bool {
    #[cfg(feature = "redis")]
    if let Some(error) = error.downcast_ref::<crate::redis::RedisError>() {
        return error.is_unreachable();
    }
    error.downcast_ref::<StoreError>().is_none_or(StoreError::is_unreachable)
}
