//! What a process wrote of the last days' use: a server that was flushed has lost it, and is given it again.
//!
//! The first batch of a process that names a day leaves the writer's name there. Where a later one does not find it, all that
//! the process wrote of that day is gone, and comes once more: in one call, which does nothing where the name stands again. What
//! processes wrote that have ended is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::write;
use crate::store::{Batch, UsageRecord};

/// So many days are remembered: today in every zone, but for what comes late.
const KEPT: usize = 3;

/// What came to a day: of each key in each lane.
type Sums = BTreeMap<(Arc<str>, Arc<str>), UsageRecord>;

/// What this process wrote of each day.
#[derive(Debug, Default)]
pub(super) struct Days(Mutex<Written>);

#[derive(Debug, Default)]
struct Written {
    days: BTreeMap<Arc<str>, Sums>,
    /// What is to be written again.
    lost: BTreeMap<Arc<str>, Sums>,
}

impl Days {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a batch says before its use: of which days, by whom, and whether its name is there by now.
    pub(super) fn announce(&self, words: &mut Vec<String>, batch: &Batch, writer: &str) {
        let days: BTreeSet<&str> = batch.usage.iter().map(|record| &*record.day).collect();
        let written = self.written();
        for day in days {
            let known = if written.days.contains_key(day) { "1" } else { "0" };
            words.extend(["w", day, writer, known].map(str::to_owned));
        }
    }

    /// A batch was written; `lost`: what was written before it is not there any more.
    pub(super) fn wrote(&self, batch: &Batch, lost: bool) {
        let mut written = self.written();
        let Written { days, lost: gone } = &mut *written;
        if lost && gone.is_empty() {
            gone.clone_from(days);
        }
        for record in &batch.usage {
            let sums = days.entry(Arc::clone(&record.day)).or_default();
            let whose = (Arc::clone(&record.key), Arc::clone(&record.lane));
            match sums.get_mut(&whose) {
                Some(sum) => sum.add(record),
                None => drop(sums.insert(whose, record.clone())),
            }
        }
        while days.len() > KEPT {
            days.pop_first();
        }
    }

    /// What was written may not be there any more: it is said again with the next batch, and comes to nothing where it is.
    pub(super) fn doubt(&self) {
        let mut written = self.written();
        let Written { days, lost } = &mut *written;
        if lost.is_empty() {
            lost.clone_from(days);
        }
    }

    /// What writes again what was lost; `None`: nothing was.
    pub(super) fn again(&self, id: String, now: i64, writer: &str) -> Option<Vec<String>> {
        let written = self.written();
        if written.lost.is_empty() {
            return None;
        }
        let mut words = vec![id, now.to_string()];
        for (day, sums) in &written.lost {
            words.extend(["W", &**day, writer].map(str::to_owned));
            for record in sums.values() {
                write::usage(&mut words, record);
            }
        }
        Some(words)
    }

    /// It is there again.
    pub(super) fn restored(&self) {
        self.written().lost.clear();
    }
}
