//! How `serve` ends: not ready any more, then no new requests, then what is under way, then the last counts.

use std::{future::Future, sync::OnceLock, time::Duration};

use tower_keypool::{Clock, KeyPoolService, Tick};

use crate::{client::Client, config::GatewaySection, gateway::Gateway};

/// So long the last counts are waited for, whatever is left of the grace.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// The times of it.
pub(super) struct Ending {
    clock: Clock,
    /// Requests are taken for so long after it is not ready any more.
    drain: Duration,
    /// Answers under way get so long.
    grace: Duration,
    began: OnceLock<Tick>,
}

impl Ending {
    pub(super) fn new(gateway: &GatewaySection, clock: Clock) -> Self {
        Self { clock, drain: gateway.drain_delay.0, grace: gateway.grace.0, began: OnceLock::new() }
    }

    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    /// Until no more requests are taken: once somebody stopped it, and those who send it some could see that.
    pub(super) async fn begins(&self, stopped: impl Future<Output = ()>, gateway: &Gateway<KeyPoolService<Client>>) {
        stopped.await;
        gateway.leave();
        if !self.drain.is_zero() {
            let seconds = self.drain.as_secs_f64();
            tracing::info!("ending: not ready any more, requests are taken for another {seconds} s");
            tokio::time::sleep(self.drain).await;
        }
        let _ = self.began.set(self.clock.tick());
        tracing::info!("ending: answers under way get {} s; Ctrl-C again ends at once", self.grace.as_secs_f64());
    }

    /// How long the last counts are waited for: what answers left of their time, and never less than a store needs that is
    /// only busy.
    pub(super) fn left(&self) -> Duration {
        let spent = self.began.get().map_or(self.grace, |began| self.clock.tick().since(*began));
        self.grace.saturating_sub(spent).max(LAST_WRITE)
    }
}
