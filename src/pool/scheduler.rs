//! Which key comes next: for each model the ready keys by priority and rank, and the blocked ones by when they wake.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hash::BuildHasherDefault,
};

use super::{
    breaker::{Target, TargetHasher},
    model::ModelIx,
    registry::Slot,
    unavailable::UnavailableReason,
};
use crate::time::Tick;

/// So many models have an order of keys of their own at the same time.
const MODELS: usize = 256;

/// Where a key stands for a model. An entry of a heap that does not say the same is stale and dropped when it surfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Not there: removed, disabled, or not for this model.
    #[default]
    Out,
    Ready(u64),
    /// Wakes at a tick.
    Timer(Tick, UnavailableReason),
    /// Wakes when a target changes.
    Parked(UnavailableReason),
}

#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    lists: HashMap<ModelIx, List, BuildHasherDefault<TargetHasher>>,
    parked: HashMap<Target, Vec<(ModelIx, Slot)>, BuildHasherDefault<TargetHasher>>,
    uses: u64,
}

#[derive(Debug, Default)]
struct List {
    /// By priority, lowest first.
    ready: Vec<(u16, BinaryHeap<Reverse<(u64, Slot)>>)>,
    timer: BinaryHeap<Reverse<(Tick, Slot)>>,
    places: Vec<Place>,
    blocked: [u32; UnavailableReason::COUNT],
    last_use: u64,
}

impl Scheduler {
    /// Whether a model has an order of keys; asking for it counts as a use.
    pub(crate) fn has(&mut self, model: ModelIx) -> bool {
        self.uses += 1;
        match self.lists.get_mut(&model) {
            Some(list) => {
                list.last_use = self.uses;
                true
            }
            None => false,
        }
    }

    /// Makes the order of a model of these keys, all of them ready. The model that was used longest ago makes room.
    pub(crate) fn build(&mut self, model: ModelIx, keys: impl Iterator<Item = (Slot, u16, u64)>) {
        if self.lists.len() >= MODELS
            && let Some(oldest) = self
                .lists
                .iter()
                .filter(|(model, _)| **model != ModelIx::DEFAULT)
                .min_by_key(|(_, list)| list.last_use)
                .map(|(model, _)| *model)
        {
            self.lists.remove(&oldest);
        }
        let mut list = List { last_use: self.uses, ..List::default() };
        let mut ready: HashMap<u16, Vec<Reverse<(u64, Slot)>>> = HashMap::new();
        for (slot, priority, rank) in keys {
            list.set(slot, Place::Ready(rank));
            ready.entry(priority).or_default().push(Reverse((rank, slot)));
        }
        list.ready = ready.into_iter().map(|(priority, keys)| (priority, BinaryHeap::from(keys))).collect();
        list.ready.sort_by_key(|(priority, _)| *priority);
        self.lists.insert(model, list);
    }

    /// The models with an order of keys.
    pub(crate) fn models(&self) -> Vec<ModelIx> {
        self.lists.keys().copied().collect()
    }

    /// Takes the keys whose time has come off the timer; the caller makes them ready again.
    pub(crate) fn wake_due(&mut self, model: ModelIx, now: Tick) -> Option<Slot> {
        let list = self.lists.get_mut(&model)?;
        while let Some(Reverse((until, slot))) = list.timer.peek().copied() {
            if until > now {
                return None;
            }
            list.timer.pop();
            if matches!(list.place(slot), Place::Timer(at, _) if at == until) {
                list.set(slot, Place::Out);
                return Some(slot);
            }
        }
        None
    }

    /// The priorities of a model, as indices from 0.
    pub(crate) fn priorities(&self, model: ModelIx) -> usize {
        self.lists.get(&model).map_or(0, |list| list.ready.len())
    }

    /// Takes the ready key with the lowest rank. The caller puts it back or blocks it.
    pub(crate) fn pop(&mut self, model: ModelIx, priority: usize) -> Option<(u64, Slot)> {
        let list = self.lists.get_mut(&model)?;
        while let Some(Reverse((rank, slot))) = list.ready.get_mut(priority)?.1.pop() {
            if list.place(slot) == Place::Ready(rank) {
                list.set(slot, Place::Out);
                return Some((rank, slot));
            }
        }
        None
    }

    /// A key is ready with a rank.
    pub(crate) fn ready(&mut self, model: ModelIx, slot: Slot, priority: u16, rank: u64) {
        let Some(list) = self.lists.get_mut(&model) else { return };
        if list.place(slot) == Place::Ready(rank) {
            return;
        }
        list.set(slot, Place::Ready(rank));
        let at = match list.ready.binary_search_by_key(&priority, |(priority, _)| *priority) {
            Ok(at) => at,
            Err(at) => {
                list.ready.insert(at, (priority, BinaryHeap::new()));
                at
            }
        };
        let heap = &mut list.ready[at].1;
        heap.push(Reverse((rank, slot)));
        // Stale entries are dropped before they outnumber the others.
        if heap.len() > 2 * list.places.len() + 64 {
            let places = &list.places;
            heap.retain(|Reverse((rank, slot))| places.get(slot.0 as usize) == Some(&Place::Ready(*rank)));
        }
    }

    /// Whether a key is ready: its rank may have changed.
    pub(crate) fn is_ready(&self, model: ModelIx, slot: Slot) -> bool {
        self.lists.get(&model).is_some_and(|list| matches!(list.place(slot), Place::Ready(_)))
    }

    /// A key is not ready before a tick.
    pub(crate) fn block_until(&mut self, model: ModelIx, slot: Slot, until: Tick, reason: UnavailableReason) {
        let Some(list) = self.lists.get_mut(&model) else { return };
        list.set(slot, Place::Timer(until, reason));
        list.timer.push(Reverse((until, slot)));
        if list.timer.len() > 2 * list.places.len() + 64 {
            let places = &list.places;
            list.timer.retain(
                |Reverse((until, slot))| matches!(places.get(slot.0 as usize), Some(Place::Timer(at, _)) if at == until),
            );
        }
    }

    /// A key is not ready until a target changes.
    pub(crate) fn park(&mut self, model: ModelIx, slot: Slot, target: Target, reason: UnavailableReason) {
        let Some(list) = self.lists.get_mut(&model) else { return };
        list.set(slot, Place::Parked(reason));
        self.parked.entry(target).or_default().push((model, slot));
    }

    /// A target changed: the keys that waited for it, which the caller makes ready again.
    pub(crate) fn unpark(&mut self, target: Target) -> Vec<(ModelIx, Slot)> {
        if self.parked.is_empty() {
            return Vec::new();
        }
        let mut woken = self.parked.remove(&target).unwrap_or_default();
        woken.retain(|(model, slot)| {
            let Some(list) = self.lists.get_mut(model) else { return false };
            let parked = matches!(list.place(*slot), Place::Parked(_));
            if parked {
                list.set(*slot, Place::Out);
            }
            parked
        });
        woken
    }

    /// A key stands nowhere any more.
    pub(crate) fn remove(&mut self, slot: Slot) {
        for list in self.lists.values_mut() {
            list.set(slot, Place::Out);
        }
    }

    /// When the next key of a model wakes.
    pub(crate) fn next_wake(&mut self, model: ModelIx) -> Option<Tick> {
        let list = self.lists.get_mut(&model)?;
        while let Some(Reverse((until, slot))) = list.timer.peek().copied() {
            if matches!(list.place(slot), Place::Timer(at, _) if at == until) {
                return Some(until);
            }
            list.timer.pop();
        }
        None
    }

    /// How many keys of a model are blocked for each reason.
    pub(crate) fn blocked(&self, model: ModelIx) -> [u32; UnavailableReason::COUNT] {
        self.lists.get(&model).map_or([0; UnavailableReason::COUNT], |list| list.blocked)
    }
}

impl List {
    fn place(&self, slot: Slot) -> Place {
        self.places.get(slot.0 as usize).copied().unwrap_or_default()
    }

    fn set(&mut self, slot: Slot, place: Place) {
        let at = slot.0 as usize;
        if at >= self.places.len() {
            if place == Place::Out {
                return;
            }
            self.places.resize(at + 1, Place::Out);
        }
        let old = std::mem::replace(&mut self.places[at], place);
        if let Some(reason) = old.reason() {
            self.blocked[reason as usize] -= 1;
        }
        if let Some(reason) = place.reason() {
            self.blocked[reason as usize] += 1;
        }
    }
}

impl Place {
    fn reason(self) -> Option<UnavailableReason> {
        match self {
            Self::Timer(_, reason) | Self::Parked(reason) => Some(reason),
            Self::Out | Self::Ready(_) => None,
        }
    }
}
