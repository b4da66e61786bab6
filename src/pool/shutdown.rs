//! The end of a pool.

use std::time::Duration;

use super::KeyPool;

/// How long `shutdown` waits for leases that are out, unless told otherwise.
const DRAIN: Duration = Duration::from_secs(30);

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
        self.end_store(out).await;
        out
    }
}
