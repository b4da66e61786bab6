//! All that a store holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    batch::{Batch, Crash, Run},
    record::{ImportRecord, KeyRecord, RestId, RestRecord, UnitRecord, UsageRecord},
};

/// All that a store holds, each record by a name of its own. A store that has no better way may keep it whole, and
/// [`apply`](Image::apply) each batch to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// By the secret's hash.
    pub keys: BTreeMap<String, KeyRecord>,
    /// By [`UnitRecord::name`].
    pub units: BTreeMap<String, UnitRecord>,
    /// By [`RestId::name`].
    pub rests: BTreeMap<String, RestRecord>,
    /// By [`UsageRecord::name`]. Nobody needs it to begin: what a store loads may leave it empty.
    pub usage: BTreeMap<String, UsageRecord>,
    /// Oldest first. Nobody needs them to begin.
    pub imports: Vec<ImportRecord>,
    /// Models whose requests count in another's quota.
    pub quota_models: BTreeMap<String, String>,
    /// Whoever worked on it last has not ended as it should, or works on it still.
    pub running: bool,
    /// The number of the last run.
    pub epoch: u64,
    /// Runs before that which did not end as they should.
    pub crashes: Vec<Crash>,
}

impl Image {
    /// Takes a batch in.
    pub fn apply(&mut self, batch: &Batch) {
        for key in &batch.keys {
            let mut record = key.clone();
            if let Some(held) = self.keys.remove(&key.hash) {
                record.follow(held);
            }
            self.keys.insert(key.hash.clone(), record);
        }
        for (owner, lane) in &batch.units_gone {
            self.units.remove(&unit_name(owner, lane));
        }
        self.units.extend(batch.units.iter().map(|unit| (unit.name(), unit.clone())));
        for started in &batch.started {
            let blank = || UnitRecord {
                owner: started.owner.to_string(),
                lane: started.lane.to_string(),
                ..UnitRecord::default()
            };
            self.units.entry(unit_name(&started.owner, &started.lane)).or_insert_with(blank).add(started);
        }
        for id in &batch.rests_gone {
            self.rests.remove(&id.name());
        }
        self.rests.extend(batch.rests.iter().map(|rest| (rest.id.name(), rest.clone())));
        for usage in &batch.usage {
            if let Some(key) = self.keys.get_mut(&*usage.key) {
                key.last_success = key.last_success.max(usage.last_success);
            }
            let usage = UsageRecord { last_success: None, ..usage.clone() };
            self.usage.entry(usage.name()).and_modify(|sum| sum.add(&usage)).or_insert(usage);
        }
        self.quota_models.extend(batch.quota_models.iter().cloned());
        self.imports.extend(batch.imports.iter().cloned());
        match &batch.run {
            Some(Run::Begun { epoch, crashes }) => {
                self.running = true;
                self.epoch = *epoch;
                self.crashes.clone_from(crashes);
            }
            Some(Run::Ended) => self.running = false,
            None => {}
        }
    }
}

fn unit_name(owner: &str, lane: &str) -> String {
    format!("{lane}\n{owner}")
}

impl UnitRecord {
    /// Lane and owner, on a line each.
    pub fn name(&self) -> String {
        unit_name(&self.owner, &self.lane)
    }
}

impl RestId {
    /// Scope, whom, and lane, on a line each.
    pub fn name(&self) -> String {
        format!("{:?}\n{}\n{}", self.scope, self.whom, self.lane.as_deref().unwrap_or_default())
    }
}

impl UsageRecord {
    /// Day, key and lane, on a line each.
    pub fn name(&self) -> String {
        format!("{}\n{}\n{}", self.day, self.key, self.lane)
    }
}
