//! The end of a pool.

use std::time::Duration;

use super::KeyPool;

/// How long `shutdown` waits for leases that are out, unless told otherwise.
const DRAIN: Duration = Duration::from_secs(30);

/// How long the end waits until all is given back.
const GIVEN_BACK: Duration = Duration::from_secs(3);

impl KeyPool {
    /// Grants no more leases, lets waiters go, and waits up to 30 s for the leases that are out. Says how many were
    /// still out then. A pool with a store then writes what it still has to say there.
    pub async fn shutdown(&self) -> usize {
        let now = self.0.clock.now();
        {
            let mut state = self.lock();
            state.closed = true;
            state.serve(now);
        }
        let drained = async {
            loop {
                let told = self.0.idle.notified();
                if self.lock().seats.out() == 0 {
                    return;
                }
                told.await;
            }
        };
        let _ = tokio::time::timeout(DRAIN, drained).await;
        let out = self.lock().seats.out();
        self.end_sharing().await;
        self.end_store(out).await;
        out
    }

    /// Gives back all that is held, so that other processes have it at once.
    async fn end_sharing(&self) {
        let Some(mut stands) = self.0.sharing.clone() else { return };
        {
            let mut state = self.lock();
            if let Some(share) = state.share_mut() {
                share.ending = true;
            }
            state.ring();
        }
        if tokio::time::timeout(GIVEN_BACK, stands.wait_for(|standing| standing.ended)).await.is_err() {
            tracing::warn!(name: "keypool.not_given_back", "what was held could not be given back: others have it when the lease ends");
        }
    }
}
