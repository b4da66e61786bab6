//! A provider, pools on a clock moved by hand, and verdicts to test with.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use http::request::Parts;
use tower_keypool::{
    Answer, Asks, Base, Clock, InvalidSecret, Key, KeyId, KeyPool, KeyPoolBuilder, KeyView, Lease, Limits, ManualClock,
    Provider, QuotaNews, Retarget, Scope, Secret, Tier, Until, Verdict, VerdictKind,
};

pub(crate) const FLASH: &str = "flash";
pub(crate) const PRO: &str = "pro";
/// The provider panics where it is asked what this one allows.
pub(crate) const PANICS: &str = "no slice of this";

/// An API whose days end in Los Angeles and that knows the limits of its free tier.
pub(crate) struct Plain(Base);

impl Provider for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn base(&self) -> &Base {
        &self.0
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        Secret::new(key)
    }

    fn strip(&self, _: &mut Parts) {}

    fn inject(&self, _: &mut Parts, _: &Secret) -> Result<(), Cow<'static, str>> {
        Ok(())
    }

    fn asks<'a>(&self, _: &'a Parts) -> Asks<'a> {
        Asks::default()
    }

    fn retarget(&self, _: &mut Parts, _: &str) -> Retarget {
        Retarget::No
    }

    fn judge(&self, _: &Answer<'_>) -> Verdict {
        Verdict::SUCCESS
    }

    fn zone(&self) -> &'static str {
        "America/Los_Angeles"
    }

    fn known_limits(&self, model: &str, tier: &Tier) -> Option<Limits> {
        assert_ne!(model, PANICS);
        (model == FLASH && *tier == Tier::Free).then(|| Limits::new().per_minute(3))
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn wall(time: &str) -> SystemTime {
    time.parse::<jiff::Timestamp>().expect("a time").into()
}

/// A clock that stands at noon in Los Angeles.
pub(crate) fn noon() -> ManualClock {
    ManualClock::at(wall("2026-06-15T12:00:00-07:00"))
}

pub(crate) fn builder() -> KeyPoolBuilder {
    KeyPool::builder(Plain(Base::parse("http://127.0.0.1:1").expect("a base")))
}

/// Key number `n`, of the id `k<n>`.
pub(crate) fn key(n: usize) -> Key {
    Key::new(secret(n)).id(id(n))
}

pub(crate) fn secret(n: usize) -> String {
    format!("AIza-not-a-real-key-{n:05}")
}

pub(crate) fn id(n: usize) -> KeyId {
    KeyId::from(format!("k{n}"))
}

pub(crate) fn on(builder: KeyPoolBuilder) -> (KeyPool, ManualClock) {
    let time = noon();
    (builder.clock(time.clock()).build().expect("a pool"), time)
}

/// So many keys, each its own owner, without limits.
pub(crate) fn keys(n: usize) -> (KeyPool, ManualClock) {
    on(builder().keys((0..n).map(key)))
}

/// The same with limits for `FLASH`.
pub(crate) fn limited(n: usize, limits: Limits) -> (KeyPool, ManualClock) {
    on(builder().keys((0..n).map(key)).limits(FLASH, limits))
}

/// A pool on tokio's (paused) clock, for what waits.
pub(crate) fn paused(builder: KeyPoolBuilder) -> KeyPool {
    builder.clock(Clock::tokio_from(wall("2026-06-15T12:00:00-07:00"))).build().expect("a pool")
}

pub(crate) fn take(pool: &KeyPool, model: &str) -> Lease {
    pool.try_acquire(model).expect("a key is ready")
}

pub(crate) fn served(pool: &KeyPool, model: &str) -> String {
    take(pool, model).key_id().to_string()
}

/// Takes a key, judges and ends it.
pub(crate) fn answer(pool: &KeyPool, model: &str, verdict: &Verdict) -> String {
    let lease = take(pool, model);
    lease.judge(verdict);
    lease.key_id().to_string()
}

pub(crate) fn refused(pool: &KeyPool, model: &str) -> String {
    pool.try_acquire(model).expect_err("no key is ready").to_string()
}

/// When the next key is ready, as the refusal says.
pub(crate) fn next_in(pool: &KeyPool, model: &str) -> Option<Duration> {
    pool.try_acquire(model).expect_err("no key is ready").retry_after()
}

pub(crate) fn rate() -> Verdict {
    Verdict::new(VerdictKind::RateLimited)
}

pub(crate) fn rate_for(seconds: u64) -> Verdict {
    rate().until(Until::For(secs(seconds)))
}

pub(crate) fn daily() -> Verdict {
    Verdict::new(VerdictKind::QuotaExhausted)
}

pub(crate) fn unclear() -> Verdict {
    Verdict::new(VerdictKind::InvalidKey).unclear()
}

pub(crate) fn invalid() -> Verdict {
    Verdict::new(VerdictKind::InvalidKey).code("API_KEY_INVALID")
}

/// A suspension that a real request may probe, first after this long.
pub(crate) fn suspended(first_probe: u64) -> Verdict {
    Verdict::new(VerdictKind::Suspended).until(Until::Probed(secs(first_probe))).code("CONSUMER_SUSPENDED")
}

pub(crate) fn owner_limited(seconds: u64) -> Verdict {
    rate_for(seconds).scope(Scope::Owner)
}

pub(crate) fn telling(news: QuotaNews) -> Verdict {
    rate_for(1).news(news)
}

pub(crate) fn view(pool: &KeyPool, n: usize) -> KeyView {
    pool.snapshot().keys.into_iter().find(|key| key.id == id(n)).expect("a key of this pool")
}

/// How long the only rest of a key still lasts.
pub(crate) fn rest(pool: &KeyPool, n: usize) -> Option<Duration> {
    view(pool, n).rests.first().and_then(|rest| rest.ends_in)
}
