//! A store whose kind is not known.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use super::{Batch, Image, Store, StoreError};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The pool's, off every request's path. Whatever panics there failed: who writes behind goes on.
pub(crate) trait AnyStore: Send + Sync {
    fn load(&self) -> Boxed<'_, Image>;
    fn write(&self, batch: Arc<Batch>) -> Boxed<'_, ()>;
}

impl<S: Store> AnyStore for S {
    fn load(&self) -> Boxed<'_, Image> {
        Box::pin(caught(async move { Store::load(self).await }))
    }

    fn write(&self, batch: Arc<Batch>) -> Boxed<'_, ()> {
        Box::pin(caught(async move { Store::write(self, batch).await }))
    }
}

async fn caught<T>(future: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let mut future = pin!(future);
    // It is not polled again. What it panicked with may hold a secret.
    let panicked = |_| Poll::Ready(Err(StoreError::new("the store panicked")));
    poll_fn(|cx| catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))).unwrap_or_else(panicked)).await
}
