//! A provider, pools with their own clocks, and failures to report.

use std::{
    io::PipeReader,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::request;
use tower_keypool::{
    Base, Clock, Error, ErrorClass, Failure, Key, KeyId, KeyPool, KeyPoolBuilder, Lease, Limits, ManualClock, Outcome,
    Provider, Secret, Tier, Unavailable,
    pool::{BreakerState, KeyView, UnavailableReason},
    provider::{RequestInfo, SetModel},
};
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber, set_default},
};

/// A model without limits in the table of the provider.
pub(crate) const M: &str = "m";
/// A model with limits in the table of [`Plain`]: 10 requests a minute for a free key, 1,000 for a paid one.
pub(crate) const LISTED: &str = "listed";

/// An API whose days end in Los Angeles. It uses the pool while it looks up assumed limits.
pub(crate) struct Plain(Base, pub(crate) Arc<OnceLock<KeyPool>>);

impl Default for Plain {
    fn default() -> Self {
        Self("http://127.0.0.1:1".parse().unwrap(), Arc::default())
    }
}

impl Provider for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn base(&self) -> &Base {
        &self.0
    }

    fn authorize(&self, _: &mut request::Parts, _: &Secret) -> Result<(), Error> {
        Ok(())
    }

    fn inspect<'a>(&self, _: &'a request::Parts) -> RequestInfo<'a> {
        RequestInfo::default()
    }

    fn set_model(&self, _: &mut request::Parts, _: &str) -> SetModel {
        SetModel::No
    }

    fn zone(&self) -> &'static str {
        "America/Los_Angeles"
    }

    fn assumed_limits(&self, model: &str, tier: Tier) -> Option<Limits> {
        if let Some(pool) = self.1.get() {
            let _ = pool.stats();
        }
        let requests = match tier {
            Tier::Free => 10,
            Tier::Paid => 1_000,
            _ => return None,
        };
        (model == LISTED).then(|| Limits::new().per_minute(requests))
    }
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const HOUR: Duration = secs(3_600);

pub(crate) fn wall(time: &str) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u64)
}

/// Noon in Los Angeles.
pub(crate) const NOON: &str = "2026-06-15T12:00:00-07:00";

pub(crate) fn secret(n: usize) -> String {
    format!("AIza-not-a-real-key-{n:06}")
}

pub(crate) fn id(n: usize) -> KeyId {
    format!("k{n}").as_str().into()
}

/// Key number `n`, named `k<n>`.
pub(crate) fn key(n: usize) -> Key {
    Key::new(secret(n)).named(id(n))
}

pub(crate) fn builder() -> KeyPoolBuilder {
    KeyPool::builder(Plain::default())
}

/// Builds a pool on a manual clock that shows noon.
pub(crate) fn manual(builder: KeyPoolBuilder) -> (KeyPool, ManualClock) {
    manual_at(builder, NOON)
}

pub(crate) fn manual_at(builder: KeyPoolBuilder, time: &str) -> (KeyPool, ManualClock) {
    let time = ManualClock::new(wall(time));
    (builder.clock(time.clock()).build().unwrap(), time)
}

/// Builds a pool of `n` keys, each with its own project.
pub(crate) fn keys(n: usize) -> (KeyPool, ManualClock) {
    manual(builder().keys((0..n).map(key)))
}

/// Builds a pool on tokio's clock, which shows noon now.
pub(crate) fn paused(builder: KeyPoolBuilder) -> KeyPool {
    builder.clock(Clock::starting_at(wall(NOON))).build().unwrap()
}

/// Takes a key, which must be ready.
#[track_caller]
pub(crate) fn take(pool: &KeyPool, model: &str) -> Lease {
    pool.try_acquire(model).expect("a key is ready")
}

/// Takes a key and returns its id.
#[track_caller]
pub(crate) fn served(pool: &KeyPool, model: &str) -> String {
    take(pool, model).key().to_string()
}

/// Takes a key, reports an outcome a millisecond later, and returns the key's id.
#[track_caller]
pub(crate) fn answer(pool: &KeyPool, time: &ManualClock, model: &str, outcome: impl Into<Outcome>) -> String {
    let lease = take(pool, model);
    time.advance(Duration::from_millis(1));
    lease.report(&outcome.into());
    lease.key().to_string()
}

/// Returns the reasons why no key is ready.
#[track_caller]
pub(crate) fn refused(pool: &KeyPool, request: impl Into<tower_keypool::pool::KeyRequest>) -> Unavailable {
    pool.try_acquire(request).expect_err("no key is ready").as_unavailable().cloned().expect("no key is available")
}

#[track_caller]
pub(crate) fn reasons(pool: &KeyPool, model: &str) -> Vec<(UnavailableReason, usize)> {
    refused(pool, model).reasons().to_vec()
}

pub(crate) fn rate() -> Failure {
    Failure::new(ErrorClass::RateLimit)
}

pub(crate) fn rate_for(seconds: u64) -> Failure {
    rate().with_retry_after(secs(seconds))
}

pub(crate) fn view(pool: &KeyPool, n: usize) -> KeyView {
    pool.snapshot(0, usize::MAX).keys.into_iter().find(|key| key.id == id(n)).expect("a key of this pool")
}

/// Returns the state of a key's only breaker.
pub(crate) fn state(pool: &KeyPool, n: usize) -> BreakerState {
    let view = view(pool, n);
    view.breakers.first().map_or(BreakerState::Closed, |breaker| breaker.state)
}

/// Logs what this thread emits as JSON lines. Returns their reader, which ends when the rest is dropped.
pub(crate) fn log() -> (PipeReader, (DefaultGuard, Dispatch)) {
    // With only one subscriber, tracing caches that nobody listens to an event that another thread emits first.
    let second = Dispatch::new(NoSubscriber::default());
    let (reader, writer) = std::io::pipe().unwrap();
    let log = tracing_subscriber::fmt().json().flatten_event(true).with_max_level(tracing::Level::TRACE);
    (reader, (set_default(log.with_writer(Mutex::new(writer)).finish()), second))
}
