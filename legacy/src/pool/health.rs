//! How keys fared, as a store is told of it.

use std::sync::Arc;

use super::state::{NO_MODEL, State};
use crate::{key::KeyId, time::Tick};

/// How a key fared. Wall-clock times in Unix milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    /// Of its secret.
    pub(super) hash: Option<Arc<str>>,
    /// Since when it has that.
    pub(super) since: Tick,
    /// Its id, and that as it is written.
    pub(super) shown: Option<(KeyId, Arc<str>)>,
    pub(super) last_success: Option<i64>,
    pub(super) last_failure: Option<i64>,
    pub(super) consecutive: u32,
    pub(super) created: i64,
    /// When its record was written last.
    pub(super) told: i64,
    /// What its weight was then.
    pub(super) told_weight: Option<f32>,
}

/// What every success changes in a key's record is written this often at most, in milliseconds.
pub(super) const TELL_AGAIN: i64 = 10_000;

impl State {
    /// Keys whose weight moved since it was told, for a look after which none may follow.
    pub(super) fn note_weights(&mut self) {
        let State { journal: Some(journal), roster, .. } = self else { return };
        for slot in roster.slots() {
            let weight = roster.keys[slot as usize].adaptive.to_bits();
            let told = journal.health.get(slot as usize).and_then(|health| health.told_weight);
            if told.is_some_and(|told| told.to_bits() != weight) {
                journal.touched.insert((slot, NO_MODEL));
            }
        }
    }
}
