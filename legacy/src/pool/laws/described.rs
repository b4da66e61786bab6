//! The keys and limits of the laws' pools.

use std::time::Duration;

use super::model::provider;
use crate::{Key, KeyId, KeyPool, KeyPoolBuilder, Limits, Priority};

pub(super) const MODELS: [&str; 2] = ["flash", "pro"];
pub(super) const PER_MINUTE: u64 = 4;
pub(super) const PER_DAY: u64 = 30;
pub(super) const TOKENS: u64 = 10_000;
pub(super) const CONCURRENT: u16 = 2;
pub(super) const KEYS: usize = 6;

/// The last two are each their own.
pub(super) fn owner(key: usize) -> String {
    if key < 4 { format!("owner-{}", key / 2) } else { format!("of key-{key}") }
}

/// The least time between two starts of every third key.
pub(super) fn interval(key: usize) -> Duration {
    Duration::from_millis(if key % 3 == 1 { 700 } else { 0 })
}

pub(super) fn id(key: usize) -> KeyId {
    KeyId::from(format!("key-{key}"))
}

pub(super) fn key_of(id: &KeyId) -> usize {
    id.to_string().trim_start_matches("key-").parse().expect("a key of this test")
}

/// A key of these laws.
pub(super) fn key(n: usize, secret: &str, weight: f32) -> Key {
    let key = Key::new(secret)
        .id(id(n))
        .weight(weight)
        .priority(Priority(if n >= 4 { 10 } else { 0 }))
        .max_concurrent(CONCURRENT)
        .min_interval(interval(n));
    if n < 4 { key.owner(owner(n)) } else { key }
}

/// The pool of these laws, those of its keys that are `present` in another order, each of this weight.
pub(super) fn described(
    secrets: &[String],
    present: &[bool],
    turn: usize,
    weight: f32,
    strategy: usize,
) -> KeyPoolBuilder {
    let limits = Limits::new().per_minute(PER_MINUTE).per_day(PER_DAY).tokens_per_minute(TOKENS);
    let turned = (0..KEYS).map(|n| (n + turn) % KEYS).filter(|n| present[*n]);
    KeyPool::builder(provider())
        .keys(turned.map(|n| key(n, &secrets[n], weight)))
        .limits("flash", limits)
        .limits("pro", Limits::new().per_minute(PER_MINUTE).per_day(PER_DAY))
        .strategy(crate::Strategy::NAMES[strategy].1)
}
