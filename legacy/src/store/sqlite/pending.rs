//! What a journal says, summed up: of each owner what was said last and started since, of all use the sum.

use std::{collections::HashMap, sync::Arc};

use rusqlite::Transaction;

use super::{failure::Failure, read, row::Told, write};
use crate::store::{StartedRecord, UnitRecord, UsageRecord};

#[derive(Default)]
pub(super) struct Pending {
    units: Vec<Unit>,
    unit_at: HashMap<(Arc<str>, Arc<str>), usize>,
    uses: Vec<UsageRecord>,
    use_at: HashMap<[Arc<str>; 3], usize>,
    /// Of each writer, where what it numbers so stands.
    places: HashMap<i64, Places>,
}

#[derive(Default)]
struct Places {
    units: Vec<usize>,
    uses: Vec<usize>,
}

struct Unit {
    owner: Arc<str>,
    lane: Arc<str>,
    /// What is in the table is void.
    gone: bool,
    whole: Option<UnitRecord>,
    /// Where there is no whole one.
    started: Vec<StartedRecord>,
}

impl Pending {
    /// Takes in what a row of this writer says.
    pub(super) fn take(&mut self, writer: i64, told: Told) {
        let mut places = self.places.remove(&writer).unwrap_or_default();
        if told.anew {
            places = Places::default();
        }
        for (owner, lane) in &told.batch.units_gone {
            let unit = self.unit(owner.as_str().into(), lane.as_str().into());
            let unit = &mut self.units[unit];
            (unit.gone, unit.whole) = (true, None);
            unit.started.clear();
        }
        for record in told.batch.units {
            let unit = self.unit(record.owner.as_str().into(), record.lane.as_str().into());
            let unit = &mut self.units[unit];
            unit.whole = Some(record);
            unit.started.clear();
        }
        // JSON of an earlier version numbers nothing, and has no starts.
        for (record, place) in told.batch.started.into_iter().zip(told.started) {
            if place == places.units.len() {
                places.units.push(self.unit(Arc::clone(&record.owner), Arc::clone(&record.lane)));
            }
            let unit = &mut self.units[places.units[place]];
            match &mut unit.whole {
                Some(whole) => whole.add(&record),
                None => unit.started.push(record),
            }
        }
        for (n, record) in told.batch.usage.into_iter().enumerate() {
            let at = match told.used.get(n) {
                Some(place) => {
                    if *place == places.uses.len() {
                        places.uses.push(self.use_of(&record));
                    }
                    places.uses[*place]
                }
                None => self.use_of(&record),
            };
            self.uses[at].add(&record);
        }
        self.places.insert(writer, places);
    }

    fn unit(&mut self, owner: Arc<str>, lane: Arc<str>) -> usize {
        let next = self.units.len();
        let at = *self.unit_at.entry((Arc::clone(&owner), Arc::clone(&lane))).or_insert(next);
        if at == next {
            self.units.push(Unit { owner, lane, gone: false, whole: None, started: Vec::new() });
        }
        at
    }

    /// Where the sum of such use stands, which may be nothing yet.
    fn use_of(&mut self, record: &UsageRecord) -> usize {
        let [day, key, lane] = [&record.day, &record.key, &record.lane].map(Arc::clone);
        let next = self.uses.len();
        let at = *self.use_at.entry([&day, &key, &lane].map(Arc::clone)).or_insert(next);
        if at == next {
            self.uses.push(UsageRecord { day, key, lane, ..UsageRecord::default() });
        }
        at
    }

    /// Puts all of it into the tables.
    pub(super) fn fold(&self, to: &Transaction<'_>) -> Result<(), Failure> {
        for unit in &self.units {
            let (owner, lane) = (&*unit.owner, &*unit.lane);
            match &unit.whole {
                Some(record) => write::unit(to, record)?,
                None if unit.gone && unit.started.is_empty() => write::unit_gone(to, owner, lane)?,
                None => {
                    let known = if unit.gone { None } else { read::unit_of(to, owner, lane)? };
                    let blank =
                        || UnitRecord { owner: owner.to_owned(), lane: lane.to_owned(), ..UnitRecord::default() };
                    let mut record = known.unwrap_or_else(blank);
                    unit.started.iter().for_each(|started| record.add(started));
                    write::unit(to, &record)?;
                }
            }
        }
        for record in &self.uses {
            write::usage(to, record)?;
        }
        Ok(())
    }
}
