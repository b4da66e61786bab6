//! Keys that a source switches off while a pool has them.

use std::collections::HashMap;

use tower_keypool::{
    KeyId, KeyPool,
    config::{KeySet, KeySpec},
};

/// Switches off the keys that a source wants off, and on those that were off by `before` alone. One that comes back is the
/// key that left, so that it is told as well.
pub fn switch_off(pool: &KeyPool, now: &KeySet, before: &KeySet) {
    let is_off = |spec: &&KeySpec| spec.disabled.is_some();
    let (wanted, was_off) = (now.keys.iter().any(|spec| is_off(&spec)), before.keys.iter().any(|spec| is_off(&spec)));
    // As a rule no source says anything, and what keys are called is not reckoned.
    if !wanted && !was_off {
        return;
    }
    let by_secret: HashMap<&str, &KeySpec> = before.keys.iter().map(|spec| (spec.secret(), spec)).collect();
    // Of another secret under the same name.
    let by_id: HashMap<KeyId, &KeySpec> = before.keys.iter().map(|spec| (spec.key().key_id(), spec)).collect();
    for spec in &now.keys {
        let id = spec.key().key_id();
        let was = by_secret.get(spec.secret()).or_else(|| by_id.get(&id));
        let changed = match (&spec.disabled, was.and_then(|was| was.disabled.as_ref())) {
            (Some(reason), was) if was != Some(reason) => pool.disable(&id, reason),
            (None, Some(_)) => pool.enable(&id),
            _ => Ok(()),
        };
        if let Err(error) = changed {
            tracing::warn!("{error}");
        }
    }
}
