//! A client's copy of the store's data, from which it restores what the server lost.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redis::{FromRedisValue, ParsingError, Value};
use tower_keypool::{Error, store::Day};

/// The first element of every script's reply.
pub(super) struct Head {
    /// The server's time.
    pub(super) now_ms: i64,
    /// The epoch of the data.
    pub(super) epoch: String,
    /// The revision of the records.
    pub(super) revision: u64,
    /// How long the store still waits for its clients to restore data.
    pub(super) wait_ms: u64,
}

impl FromRedisValue for Head {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (now_ms, epoch, revision, wait_ms) = redis::from_redis_value(value)?;
        Ok(Self { now_ms, epoch, revision, wait_ms })
    }
}

/// The name and the state of a quota.
type NamedState = (Box<str>, Box<[u8]>);

/// The target and the value of a record.
type NamedRecord = (Box<str>, Box<str>);

/// Minimum number of quotas between two removals of old ones.
const PRUNE_AT: usize = 1_024;

/// How long states are remembered: until neither their windows nor their days count.
const KEPT_MS: i64 = 2 * 86_400_000;

#[derive(Default)]
pub(super) struct Memory(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    /// The epoch in which the server has everything in this copy; empty during a restore.
    epoch: Arc<str>,
    now_ms: i64,
    /// The latest known state of each quota.
    quotas: HashMap<Box<str>, State>,
    /// The number of quotas at which old ones are removed.
    prune_at: usize,
    /// The value of each record by its target.
    records: HashMap<Box<str>, Box<str>>,
    zones: HashMap<Arc<str>, Days>,
}

struct State {
    /// A number that is larger for later states.
    number: u64,
    seen_ms: i64,
    packed: Box<[u8]>,
}

/// Yesterday, today and tomorrow in a zone, as the scripts take them.
struct Days {
    today: Day,
    json: Arc<str>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn epoch(&self) -> Arc<str> {
        Arc::clone(&self.lock().epoch)
    }

    /// Takes over the states of quotas (name, number and state) from a reply. Returns false, and takes over nothing, if
    /// the epoch is not the known one: the client must restore what it remembers first.
    pub(super) fn accept<'a>(&self, head: &Head, quotas: impl IntoIterator<Item = (&'a str, u64, Vec<u8>)>) -> bool {
        let mut inside = self.lock();
        inside.now_ms = head.now_ms;
        if *inside.epoch != *head.epoch {
            return false;
        }
        if inside.quotas.len() > inside.prune_at {
            inside.prune();
        }
        for (name, number, packed) in quotas {
            let state = State { number, seen_ms: head.now_ms, packed: packed.into() };
            match inside.quotas.get_mut(name) {
                Some(held) if held.number > number => {}
                Some(held) => *held = state,
                None => drop(inside.quotas.insert(name.into(), state)),
            }
        }
        true
    }

    /// Records that the data of this epoch contains everything remembered here.
    pub(super) fn set_epoch(&self, epoch: &str) {
        self.lock().epoch = epoch.into();
    }

    pub(super) fn set_record(&self, target: &str, value: &str) {
        self.lock().records.insert(target.into(), value.into());
    }

    pub(super) fn forget_record(&self, target: &str) {
        self.lock().records.remove(target);
    }

    /// Returns everything remembered: names and states of quotas, targets and values of records. Until the epoch is set
    /// again no reply is accepted, because its grants would be missing from what is restored.
    pub(super) fn begin_restore(&self) -> (Vec<NamedState>, Vec<NamedRecord>) {
        let mut inside = self.lock();
        inside.epoch = Arc::default();
        inside.prune();
        let quotas = inside.quotas.iter().map(|(name, state)| (name.clone(), state.packed.clone())).collect();
        let records = inside.records.iter().map(|(target, value)| (target.clone(), value.clone())).collect();
        (quotas, records)
    }

    /// Returns the days of a zone as the scripts take them, by the last known time of the server.
    pub(super) fn days(&self, zone: &Arc<str>) -> Result<Arc<str>, Error> {
        let mut inside = self.lock();
        let now_ms = inside.now_ms;
        match inside.zones.get(zone) {
            Some(days) if (days.today.starts_ms..days.today.ends_ms).contains(&now_ms) => Ok(Arc::clone(&days.json)),
            _ => {
                let today = Day::at(zone, now_ms)?;
                let yesterday = Day::at(zone, today.starts_ms - 1)?;
                let tomorrow = Day::at(zone, today.ends_ms)?;
                let Day { date, starts_ms, .. } = yesterday;
                let (today_ms, tomorrow_ms, ends_ms) = (today.starts_ms, tomorrow.starts_ms, tomorrow.ends_ms);
                let json = format!("[{date},{starts_ms},{today_ms},{tomorrow_ms},{ends_ms}]").into();
                inside.zones.insert(Arc::clone(zone), Days { today, json: Arc::clone(&json) });
                Ok(json)
            }
        }
    }
}

impl Inside {
    /// Removes the quotas that no longer count.
    fn prune(&mut self) {
        self.quotas.retain(|_, state| self.now_ms - state.seen_ms < KEPT_MS);
        self.prune_at = 2 * self.quotas.len() + PRUNE_AT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_quotas_are_removed_without_a_restore() {
        let memory = Memory::default();
        for now_ms in (0..10).map(|day| day * 86_400_000) {
            let names: Vec<_> = (0..2_000).map(|n| format!("{now_ms} {n}")).collect();
            for name in &names {
                let head = Head { now_ms, epoch: String::new(), revision: 0, wait_ms: 0 };
                assert!(memory.accept(&head, [(&**name, 1, Vec::new())]));
            }
        }
        let held = memory.lock().quotas.len();
        assert!((4_000..10_000).contains(&held), "{held}");
    }
}
