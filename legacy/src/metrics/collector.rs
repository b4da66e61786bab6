//! The collector: one snapshot a scrape.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{family::Families, key, lane, sharing, total};
use crate::pool::KeyPool;

/// A pool for a Prometheus registry: what [`KeyPool::snapshot_in_pieces`] says at each scrape. See the
/// [module](super) for the names.
#[derive(Clone, Debug)]
#[must_use = "it tells nothing until a registry has it"]
pub struct PoolCollector {
    pool: KeyPool,
    max_keys: usize,
    max_key_lanes: usize,
}

impl PoolCollector {
    /// Of this pool.
    pub fn new(pool: &KeyPool) -> Self {
        Self { pool: pool.clone(), max_keys: 1_000, max_key_lanes: 10_000 }
    }

    /// A pool of more keys than this has no series for single keys; 1,000 unless set. `keypool_omitted_keys` says
    /// how many have none.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// A pool where keys times lanes are more than this has no series for a key in a lane; 10,000 unless set.
    /// `keypool_omitted_lanes` says how many lanes have none.
    pub fn max_key_lanes(mut self, pairs: usize) -> Self {
        self.max_key_lanes = pairs;
        self
    }
}

impl Collector for PoolCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.pool.snapshot_in_pieces(self.max_keys);
        let lanes = lane::Shown::of(&snapshot);
        let omitted_lanes = if snapshot.keys.len() * lanes.len() > self.max_key_lanes { lanes.len() } else { 0 };
        let mut families = Families(encoder);
        total::write(&mut families, &snapshot, omitted_lanes)?;
        if let Some(view) = &snapshot.sharing {
            sharing::write(&mut families, view)?;
        }
        lanes.write(&mut families, &snapshot)?;
        key::write(&mut families, &snapshot, &lanes)?;
        if omitted_lanes == 0 {
            key::write_lanes(&mut families, &snapshot, &lanes)?;
        }
        Ok(())
    }
}
