//! When keys come back that faults were told of: what the pool said of their rests.

use std::{collections::BTreeMap, time::Duration};

use tower_keypool::{Event, Events, KeyId, KeyPool, Scope, Snapshot};

use super::{Fault, FaultKind};

/// What the pool said of keys that rest; only where somebody listens.
pub(super) struct Rests {
    events: Events,
    /// How long; `None`: for good.
    last: BTreeMap<KeyId, Option<Duration>>,
}

impl Rests {
    pub(super) fn of(pool: &KeyPool) -> Self {
        Self { events: pool.changes(), last: BTreeMap::new() }
    }

    /// Says of each key's fault when the key comes back.
    pub(super) fn tell(&mut self, pool: &KeyPool, faults: &mut [Fault]) {
        while let Some(event) = self.events.try_next() {
            match event {
                Ok(Event::Rested { key, rest, .. }) => drop(self.last.insert(key, Some(rest))),
                Ok(Event::Disabled { key, scope, .. }) => {
                    if !matches!(scope, Scope::Key | Scope::KeyLane) {
                        // It is of all the owner's keys, and named one.
                        self.last.clear();
                    }
                    self.last.insert(key, None);
                }
                Ok(Event::Recovered { key, .. }) => drop(self.last.remove(&key)),
                _ => {}
            }
        }
        // What another key of its owner brought about was said of that one.
        let mut snapshot = None;
        for fault in faults.iter_mut().filter(|fault| fault.fault == FaultKind::Key) {
            let Some(key) = &fault.key else { continue };
            let rest = self.last.get(key).copied();
            match rest.or_else(|| rest_of(snapshot.get_or_insert_with(|| pool.snapshot()), key, &fault.model)) {
                Some(Some(rest)) => fault.retry_in = Some(rest),
                Some(None) => fault.permanent = true,
                None => {}
            }
        }
    }
}

/// How long a key rests now: itself, its owner or its account.
#[expect(clippy::option_option, reason = "no rest, and one without end")]
fn rest_of(snapshot: &Snapshot, key: &KeyId, model: &str) -> Option<Option<Duration>> {
    let view = snapshot.keys.iter().find(|view| view.id == *key)?;
    let here = view.rests.iter().filter(|rest| !rest.held && rest.model.as_deref().is_none_or(|of| of == model));
    here.map(|rest| rest.ends_in).max_by_key(|ends_in| ends_in.unwrap_or(Duration::MAX))
}
