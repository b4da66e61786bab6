//! What the laws are judged by: written apart from the pool, as simply as can be.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use crate::{ApiKeyHeader, Key, KeyPool, Limits, ManualClock, Tick};

/// A provider whose days are Gemini's.
pub(super) fn provider() -> ApiKeyHeader {
    ApiKeyHeader::header("x-api-key", "http://127.0.0.1:1").expect("a base").zone("America/Los_Angeles")
}

/// 2026-06-15 12:00 in Los Angeles.
pub(super) const NOON: u64 = 1_781_550_000;

pub(super) fn clock() -> ManualClock {
    ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(NOON))
}

pub(super) fn pool_of(keys: Vec<Key>) -> (KeyPool, ManualClock) {
    let time = clock();
    let pool = KeyPool::builder(provider()).keys(keys).clock(time.clock()).build().expect("a pool");
    (pool, time)
}

/// So many keys, each its own owner, with these limits.
pub(super) fn bench(keys: usize, limits: Limits) -> (KeyPool, ManualClock) {
    let time = clock();
    let keys = (0..keys).map(|n| Key::new(format!("AIza-not-a-real-key-{n:05}")));
    let pool = KeyPool::builder(provider())
        .keys(keys)
        .limits("gemini-2.5-flash", limits)
        .clock(time.clock())
        .build()
        .expect("a pool");
    (pool, time)
}

/// Every start of an owner in a lane, and whether any span as long as a window holds too many.
#[derive(Default)]
pub(super) struct Starts(HashMap<(String, String), Vec<(Tick, u64)>>);

impl Starts {
    /// Its number, for a correction.
    pub(super) fn note(&mut self, owner: &str, model: &str, at: Tick, tokens: u64) -> usize {
        let starts = self.0.entry((owner.into(), model.into())).or_default();
        starts.push((at, tokens));
        starts.len() - 1
    }

    /// The answer said that it cost no tokens at all.
    pub(super) fn cost_nothing(&mut self, owner: &str, model: &str, number: usize) {
        self.0.entry((owner.into(), model.into())).or_default()[number].1 = 0;
    }

    /// What was started of one model counts as another's as well; its tokens were not counted. The number of each is so much
    /// higher from now on.
    pub(super) fn join(&mut self, owner: &str, model: &str, into: &str) -> usize {
        let joining = self.0.remove(&(owner.into(), model.into())).unwrap_or_default();
        let starts = self.0.entry((owner.into(), into.into())).or_default();
        let before = starts.len();
        starts.extend(joining.into_iter().map(|(at, _)| (at, 0)));
        before
    }

    /// Two owners turned out to be one.
    pub(super) fn merge(&mut self, owner: &str, into: &str, model: &str) -> usize {
        let joining = self.0.remove(&(owner.into(), model.into())).unwrap_or_default();
        let starts = self.0.entry((into.into(), model.into())).or_default();
        let before = starts.len();
        starts.extend(joining);
        before
    }

    /// Starts and tokens in the span that ends here.
    pub(super) fn last(&self, owner: &str, model: &str, now: Tick, span: Duration) -> (u64, u64) {
        let starts = self.0.get(&(owner.into(), model.into())).map_or(&[][..], Vec::as_slice);
        let recent = starts.iter().filter(|(at, _)| now.since(*at) <= span);
        recent.fold((0, 0), |(count, sum), (_, tokens)| (count + 1, sum + tokens))
    }
}
