//! Numbers for what comes again and again in a journal.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::{
    share::UnitId,
    store::{StartedRecord, UsageRecord},
};

/// What the journal holds of this process, and how it is called there. Names are told by where they stand in memory: a
/// pool has each but once, and one that it has twice is only told twice.
#[derive(Default)]
pub(super) struct Numbers {
    units: HashMap<[usize; 2], u32>,
    uses: HashMap<[usize; 4], u32>,
    noted: HashMap<usize, u32>,
    /// The numbers of what the last row says was used.
    pub(super) last_used: Vec<u32>,
    /// Nobody else may come to stand where these do.
    held: Vec<Arc<str>>,
    held_units: Vec<UnitId>,
    /// Rows that tell them.
    pub(super) rows: usize,
    /// Their bytes.
    pub(super) bytes: usize,
}

fn address(name: &Arc<str>) -> usize {
    Arc::as_ptr(name).cast::<u8>().addr()
}

impl Numbers {
    /// No row has told any yet.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The number of an owner in a lane, and whether it is new.
    pub(super) fn unit(&mut self, record: &StartedRecord) -> (u32, bool) {
        let next = self.units.len() as u32;
        let number = *self.units.entry([address(&record.owner), address(&record.lane)]).or_insert(next);
        if number == next {
            self.held.extend([&record.owner, &record.lane].map(Arc::clone));
        }
        (number, number == next)
    }

    /// The number of a key's use of a lane on a day, under the name that it has, and whether it is new.
    pub(super) fn used(&mut self, record: &UsageRecord) -> (u32, bool) {
        let next = self.uses.len() as u32;
        let names = [&record.day, &record.key, &record.lane, &record.id];
        let number = *self.uses.entry(names.map(address)).or_insert(next);
        if number == next {
            self.held.extend(names.map(Arc::clone));
        }
        (number, number == next)
    }

    /// The number of a unit that processes share, and whether it is new.
    pub(super) fn noted(&mut self, unit: &UnitId) -> (u32, bool) {
        let next = self.noted.len() as u32;
        let number = *self.noted.entry(unit.as_str().as_ptr().addr()).or_insert(next);
        if number == next {
            self.held_units.push(unit.clone());
        }
        (number, number == next)
    }
}
