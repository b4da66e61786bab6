//! Clients that play the same calls: one through the gateway, one with a key of the ten at random.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use gemini_sim::SimService;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};
use tower_keypool::{Clock, Tick};

use super::{cast::PLAYERS, schedule::Call};

/// What a client has seen so far.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

/// Answers by what became of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) good: u64,
    /// Status, or 0 where no answer came or it broke off.
    pub(super) bad: BTreeMap<u16, u64>,
    /// The longest time from the call to the end of its answer.
    pub(super) longest: Duration,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    fn sent(&self) {
        self.lock().sent += 1;
    }

    fn ended(&self, status: Option<StatusCode>, took: Duration) {
        let mut counts = self.lock();
        counts.longest = counts.longest.max(took);
        match status {
            Some(StatusCode::OK) => counts.good += 1,
            other => *counts.bad.entry(other.map_or(0, |status| status.as_u16())).or_default() += 1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Plays the calls to the gateway at `base`, each at its time, and waits for the last answer.
pub(super) async fn through_gateway<S, B>(client: S, base: &str, token: &str, calls: &[Call], tally: &Arc<Tally>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    play(calls, tally, |call| Some((client.clone(), call.request(base, token).ok()?))).await;
}

/// Plays the same calls to a simulator in process, each with a random key of the ten.
pub(super) async fn with_random_keys(sim: SimService, seed: u64, calls: &[Call], tally: &Arc<Tally>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    play(calls, tally, move |call| {
        let player = &PLAYERS[rng.usize(0..PLAYERS.len())];
        Some((sim.clone(), call.request("http://gemini-sim.invalid", &player.secret()).ok()?))
    })
    .await;
}

async fn play<S, B>(
    calls: &[Call],
    tally: &Arc<Tally>,
    mut prepare: impl FnMut(&Call) -> Option<(S, Request<Full<Bytes>>)>,
) where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    let clock = Clock::system();
    let began = clock.tick();
    let mut in_flight = JoinSet::new();
    for call in calls {
        tokio::time::sleep(call.at.saturating_sub(clock.tick().since(began))).await;
        while in_flight.try_join_next().is_some() {}
        let Some((service, request)) = prepare(call) else { continue };
        tally.sent();
        let (clock, tally) = (clock.clone(), Arc::clone(tally));
        in_flight.spawn(async move {
            let sent: Tick = clock.tick();
            let status = ask(service, request).await;
            tally.ended(status, clock.tick().since(sent));
        });
    }
    while in_flight.join_next().await.is_some() {}
}

/// The status of an answer that came whole.
async fn ask<S, B>(service: S, request: Request<Full<Bytes>>) -> Option<StatusCode>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    B: Body,
{
    let response = service.oneshot(request).await.ok()?;
    let (head, body) = response.into_parts();
    let mut body = std::pin::pin!(body);
    while let Some(frame) = body.frame().await {
        frame.ok()?;
    }
    Some(head.status)
}
