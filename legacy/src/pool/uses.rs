//! What keys used of lanes since the last look.

use std::collections::BTreeMap;

use super::{by_unit::ByUnit, journal::Unit};
use crate::verdict::VerdictKind;

/// What a key used of a lane.
#[derive(Default)]
pub(super) struct Used {
    pub(super) requests: i64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) errors: BTreeMap<VerdictKind, u64>,
    pub(super) last_success: Option<i64>,
}

impl Used {
    fn add(&mut self, more: Self) {
        self.requests += more.requests;
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.last_success = self.last_success.max(more.last_success);
        for (kind, count) in more.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }
}

/// Of keys in lanes: (lane, slot).
#[derive(Default)]
pub(super) struct Uses {
    used: ByUnit<Cell>,
    /// Those that used something, each once.
    listed: Vec<Unit>,
}

#[derive(Default)]
struct Cell {
    listed: bool,
    used: Option<Used>,
}

impl Uses {
    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// To be added to.
    #[inline]
    pub(super) fn of(&mut self, slot: u32, lane: u16) -> &mut Used {
        let cell = self.used.or_insert_with((lane, slot), Cell::default);
        if !std::mem::replace(&mut cell.listed, true) {
            self.listed.push((lane, slot));
        }
        cell.used.get_or_insert_default()
    }

    pub(super) fn get(&self, slot: u32, lane: u16) -> Option<&Used> {
        self.used.get((lane, slot))?.used.as_ref()
    }

    /// Which are to be [taken](Self::take) now. What one of them uses before it is taken goes along.
    pub(super) fn list(&mut self) -> Vec<Unit> {
        let room = Vec::with_capacity(self.listed.len());
        std::mem::replace(&mut self.listed, room)
    }

    /// What one that was [listed](Self::list) used.
    pub(super) fn take(&mut self, unit: Unit) -> Option<Used> {
        let cell = self.used.get_mut(unit)?;
        cell.listed = false;
        cell.used.take()
    }

    /// All that a key used.
    pub(super) fn take_all_of(&mut self, slot: u32) -> Vec<(u16, Used)> {
        let lanes = 0..self.used.lanes() as u16;
        lanes.filter_map(|lane| Some((lane, self.used.get_mut((lane, slot))?.used.take()?))).collect()
    }

    /// What was used of one lane was used of another.
    pub(super) fn move_lane(&mut self, from: u16, to: u16) {
        let slots: Vec<u32> = self.used.units().filter(|unit| unit.0 == from).map(|unit| unit.1).collect();
        for slot in slots {
            if let Some(used) = self.used.get_mut((from, slot)).and_then(|cell| cell.used.take()) {
                self.of(slot, to).add(used);
            }
        }
    }
}
