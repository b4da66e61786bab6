//! Waiting until what an answer taught is in the store.

use std::{future::Future, pin::Pin, time::Duration};

use super::KeyPool;

/// Nobody waits longer for it: a store that takes no writes stops no request.
const MOST: Duration = Duration::from_millis(200);

/// Ready when it is kept, or was waited for long enough.
pub(crate) type Keeping = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl KeyPool {
    /// Until the rests that are known by now are in the store: whoever was told the answer of a request may rely on what
    /// its attempts taught outliving the process. Nothing to wait for where all is kept, there is no store, or it
    /// takes no writes.
    pub(crate) fn keeping(&self) -> Option<Keeping> {
        let mut written = self.0.written.clone()?;
        let wanted = {
            let state = self.lock();
            let journal = state.journal.as_ref()?;
            journal.looks + u64::from(journal.urgent)
        };
        let enough = written.borrow().is_enough(wanted);
        let kept = async move {
            // Nobody writes any more once the pool is gone: then there is nothing to wait for, either.
            let _ = tokio::time::timeout(MOST, written.wait_for(|progress| progress.is_enough(wanted))).await;
        };
        (!enough).then(|| Box::pin(kept) as Keeping)
    }
}
