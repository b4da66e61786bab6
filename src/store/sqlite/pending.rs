//! What stands in the journal, summed up: of each owner what was said last and started since, of all use the sum.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use hashbrown::{Equivalent, HashMap};
use rusqlite::Transaction;

use super::{failure::Failure, read, write};
use crate::store::{Batch, StartedRecord, StoreError, UnitRecord, UsageRecord};

/// A journal of so many rows is folded into the tables: half a minute of steady work.
const ROWS: usize = 200;
/// Or of so many bytes.
const BYTES: usize = 8 << 20;

/// What the journal holds.
#[derive(Default)]
pub(super) struct Pending {
    units: Vec<Unit>,
    unit_at: HashMap<Name<2>, u32>,
    /// Which of them the rows have told the names of, in this order.
    told_units: u32,
    uses: Vec<UsageRecord>,
    use_at: HashMap<Name<3>, u32>,
    rows: usize,
    bytes: usize,
}

struct Unit {
    owner: Arc<str>,
    lane: Arc<str>,
    /// Its number in the rows.
    told: Option<u32>,
    /// What is in the table is void.
    gone: bool,
    whole: Option<UnitRecord>,
    /// Where there is no whole one.
    started: Vec<StartedRecord>,
}

/// Names that mean something together.
#[derive(PartialEq, Eq)]
struct Name<const N: usize>([Arc<str>; N]);

impl<const N: usize> Hash for Name<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|name| name.hash(state));
    }
}

/// The same, of somebody else.
struct Lent<'a, const N: usize>([&'a str; N]);

impl<const N: usize> Hash for Lent<'_, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|name| name.hash(state));
    }
}

impl<const N: usize> Equivalent<Name<N>> for Lent<'_, N> {
    fn equivalent(&self, name: &Name<N>) -> bool {
        self.0.iter().zip(&name.0).all(|(lent, held)| **lent == **held)
    }
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether what is written next belongs in the tables, with all that went before.
    pub(super) fn is_due(&self, batch: &Batch) -> bool {
        self.rows + 1 >= ROWS || self.bytes >= BYTES || batch.run.is_some()
    }

    /// A row stands in the journal.
    pub(super) fn written(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes += bytes;
    }

    /// Puts all of it into the tables, and takes the rows of this writer, which said it, from the journal.
    ///
    /// # Errors
    /// When somebody else has done so meanwhile, too.
    pub(super) fn fold_of(&self, writer: i64, to: &Transaction<'_>) -> Result<(), Failure> {
        self.fold(to)?;
        if to.execute("DELETE FROM journal WHERE writer = ?1", [writer])? != self.rows {
            return Err(StoreError::new("another process has folded the counts of this one").into());
        }
        Ok(())
    }

    /// Takes in what a row says.
    pub(super) fn take(&mut self, batch: &Batch) {
        batch.units_gone.iter().for_each(|(owner, lane)| self.gone(owner, lane));
        batch.units.iter().for_each(|unit| self.whole(unit));
        for record in &batch.started {
            self.started(record);
        }
        for record in &batch.usage {
            self.used(record);
        }
    }

    fn unit(&mut self, owner: &str, lane: &str) -> &mut Unit {
        let at = match self.unit_at.get(&Lent([owner, lane])) {
            Some(at) => *at as usize,
            None => self.add_unit(owner.into(), lane.into()),
        };
        &mut self.units[at]
    }

    fn add_unit(&mut self, owner: Arc<str>, lane: Arc<str>) -> usize {
        let at = self.units.len();
        self.unit_at.insert(Name([Arc::clone(&owner), Arc::clone(&lane)]), at as u32);
        self.units.push(Unit { owner, lane, told: None, gone: false, whole: None, started: Vec::new() });
        at
    }

    pub(super) fn gone(&mut self, owner: &str, lane: &str) {
        let unit = self.unit(owner, lane);
        (unit.gone, unit.whole) = (true, None);
        unit.started.clear();
    }

    pub(super) fn whole(&mut self, record: &UnitRecord) {
        let unit = self.unit(&record.owner, &record.lane);
        unit.whole = Some(record.clone());
        unit.started.clear();
    }

    /// Its owner's number in the rows, and whether that is new.
    pub(super) fn started(&mut self, record: &StartedRecord) -> (u32, bool) {
        let at = match self.unit_at.get(&Lent([&record.owner, &record.lane])) {
            Some(at) => *at as usize,
            None => self.add_unit(Arc::clone(&record.owner), Arc::clone(&record.lane)),
        };
        let unit = &mut self.units[at];
        match &mut unit.whole {
            Some(whole) => whole.add(record),
            None => unit.started.push(record.clone()),
        }
        if let Some(number) = unit.told {
            return (number, false);
        }
        let number = self.told_units;
        unit.told = Some(number);
        self.told_units += 1;
        (number, true)
    }

    /// Its number in the rows, whether that is new, and whether the key's name is.
    pub(super) fn used(&mut self, record: &UsageRecord) -> (u32, bool, bool) {
        if let Some(at) = self.use_at.get(&Lent([&record.day, &record.key, &record.lane])) {
            let sum = &mut self.uses[*at as usize];
            let renamed = sum.id != record.id;
            sum.add(record);
            return (*at, false, renamed);
        }
        let at = self.uses.len() as u32;
        let name = [&record.day, &record.key, &record.lane].map(Arc::clone);
        self.use_at.insert(Name(name), at);
        self.uses.push(record.clone());
        (at, true, true)
    }

    /// Puts all of it into the tables.
    pub(super) fn fold(&self, to: &Transaction<'_>) -> Result<(), Failure> {
        for unit in &self.units {
            let (owner, lane) = (&*unit.owner, &*unit.lane);
            match &unit.whole {
                Some(record) => write::unit(to, record)?,
                None if unit.gone && unit.started.is_empty() => write::unit_gone(to, owner, lane)?,
                None if unit.started.is_empty() => {}
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
