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

/// A key's place for one model. Entries of the heaps that disagree with it are stale.
///
/// The rank of a ready key may be lower than its load says: it is corrected when the key comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Not there: removed, disabled, or not for this model.
    #[default]
    Out,
    /// By priority and rank.
    Ready(u16, u64),
    /// Wakes at a tick.
    Timer(Tick, UnavailableReason),
    /// Wakes when a target changes.
    Parked(UnavailableReason),
}

#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    /// By model.
    lists: Vec<Option<Box<List>>>,
    /// The models that have one.
    models: Vec<ModelIx>,
    parked: HashMap<Target, Vec<(ModelIx, Slot)>, BuildHasherDefault<TargetHasher>>,
    uses: u64,
}

/// A rank and the key that has it, in one number that compares fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ranked(u128);

#[derive(Debug, Default)]
struct List {
    /// By priority, lowest first.
    ready: Vec<(u16, BinaryHeap<Reverse<Ranked>>)>,
    timer: BinaryHeap<Reverse<(Tick, Slot)>>,
    places: Vec<Place>,
    blocked: [u32; UnavailableReason::COUNT],
    last_use: u64,
}

impl Scheduler {
    fn list(&self, model: ModelIx) -> Option<&List> {
        self.lists.get(model.0 as usize)?.as_deref()
    }

    fn list_mut(&mut self, model: ModelIx) -> Option<&mut List> {
        self.lists.get_mut(model.0 as usize)?.as_deref_mut()
    }

    /// Whether a model has an order of keys; asking for it counts as a use.
    pub(crate) fn has(&mut self, model: ModelIx) -> bool {
        self.uses += 1;
        let uses = self.uses;
        self.list_mut(model).map(|list| list.last_use = uses).is_some()
    }

    /// Makes the order of a model of these keys, all of them ready. The model that was used longest ago makes room.
    pub(crate) fn build(&mut self, model: ModelIx, keys: impl Iterator<Item = (Slot, u16, u64)>) {
        if self.models.len() >= MODELS {
            let others = self.models.iter().filter(|model| **model != ModelIx::DEFAULT);
            let oldest = others.min_by_key(|model| self.list(**model).map(|list| list.last_use)).copied();
            if let Some(oldest) = oldest {
                self.lists[oldest.0 as usize] = None;
                self.models.retain(|model| *model != oldest);
            }
        }
        let mut list = List { last_use: self.uses, ..List::default() };
        let mut ready: HashMap<u16, Vec<Reverse<Ranked>>> = HashMap::new();
        for (slot, priority, rank) in keys {
            list.set(slot, Place::Ready(priority, rank));
            ready.entry(priority).or_default().push(Reverse(Ranked::new(rank, slot)));
        }
        list.ready = ready.into_iter().map(|(priority, keys)| (priority, BinaryHeap::from(keys))).collect();
        list.ready.sort_by_key(|(priority, _)| *priority);
        let at = model.0 as usize;
        if at >= self.lists.len() {
            self.lists.resize_with(at + 1, || None);
        }
        if self.lists[at].replace(Box::new(list)).is_none() {
            self.models.push(model);
        }
    }

    /// The models with an order of keys.
    pub(crate) fn models(&self) -> Vec<ModelIx> {
        self.models.clone()
    }

    /// Takes the keys whose time has come off the timer; the caller makes them ready again.
    pub(crate) fn wake_due(&mut self, model: ModelIx, now: Tick) -> Option<Slot> {
        let list = self.list_mut(model)?;
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
        self.list(model).map_or(0, |list| list.ready.len())
    }

    /// The ready key with the lowest rank.
    pub(crate) fn first(&mut self, model: ModelIx, priority: usize) -> Option<(u64, Slot)> {
        let list = self.list_mut(model)?;
        let (number, heap) = list.ready.get_mut(priority)?;
        while let Some(Reverse(ranked)) = heap.peek().copied() {
            let (rank, slot) = ranked.parts();
            if list.places.get(slot.0 as usize) == Some(&Place::Ready(*number, rank)) {
                return Some((rank, slot));
            }
            heap.pop();
        }
        None
    }

    /// The key that is first has a higher rank by now.
    pub(crate) fn raise_first(&mut self, model: ModelIx, priority: usize, rank: u64) {
        let Some(list) = self.list_mut(model) else { return };
        let Some((number, heap)) = list.ready.get_mut(priority) else { return };
        if let Some(mut first) = heap.peek_mut() {
            let (_, slot) = first.0.parts();
            first.0 = Ranked::new(rank, slot);
            list.places[slot.0 as usize] = Place::Ready(*number, rank);
        }
    }

    /// Takes the key that is first away; the caller puts it back.
    pub(crate) fn take_first(&mut self, model: ModelIx, priority: usize) {
        let Some(list) = self.list_mut(model) else { return };
        if let Some(Reverse(first)) = list.ready.get_mut(priority).and_then(|(_, heap)| heap.pop()) {
            list.set(first.parts().1, Place::Out);
        }
    }

    /// A key is ready with a rank.
    pub(crate) fn ready(&mut self, model: ModelIx, slot: Slot, priority: u16, rank: u64) {
        if let Some(list) = self.list_mut(model) {
            list.ready(slot, priority, rank);
        }
    }

    /// The rank of a key changed. Where it fell the key moves at once, where it rose when the key comes first.
    pub(crate) fn rerank(&mut self, slot: Slot, priority: u16, rank: u64) {
        for model in &self.models {
            let Some(list) = &mut self.lists[model.0 as usize] else { continue };
            if matches!(list.place(slot), Place::Ready(held, old) if held != priority || old > rank) {
                list.ready(slot, priority, rank);
            }
        }
    }

    /// A key is not ready before a tick.
    pub(crate) fn block_until(&mut self, model: ModelIx, slot: Slot, until: Tick, reason: UnavailableReason) {
        let Some(list) = self.list_mut(model) else { return };
        list.set(slot, Place::Timer(until, reason));
        list.timer.push(Reverse((until, slot)));
        if list.timer.len() > 2 * list.places.len() + 64 {
            let places = &list.places;
            list.timer.retain(
                |Reverse((until, slot))| matches!(places.get(slot.0 as usize), Some(Place::Timer(at, _)) if at == until),
            );
        }
    }

    /// Whether a key waits for a time.
    pub(crate) fn has_timer(&self, model: ModelIx, slot: Slot) -> bool {
        let list = self.lists.get(model.0 as usize).and_then(Option::as_deref);
        list.is_some_and(|list| matches!(list.place(slot), Place::Timer(..)))
    }

    /// A key is not ready until a target changes.
    pub(crate) fn park(&mut self, model: ModelIx, slot: Slot, target: Target, reason: UnavailableReason) {
        let Some(list) = self.list_mut(model) else { return };
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
            let Some(list) = self.lists.get_mut(model.0 as usize).and_then(Option::as_deref_mut) else { return false };
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
        for list in self.lists.iter_mut().flatten() {
            list.set(slot, Place::Out);
        }
    }

    /// When the next key of a model wakes.
    pub(crate) fn next_wake(&mut self, model: ModelIx) -> Option<Tick> {
        let list = self.list_mut(model)?;
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
        self.list(model).map_or([0; UnavailableReason::COUNT], |list| list.blocked)
    }
}

impl Ranked {
    fn new(rank: u64, slot: Slot) -> Self {
        Self(u128::from(rank) << 32 | u128::from(slot.0))
    }

    fn parts(self) -> (u64, Slot) {
        ((self.0 >> 32) as u64, Slot(self.0 as u32))
    }
}

impl List {
    fn ready(&mut self, slot: Slot, priority: u16, rank: u64) {
        if self.place(slot) == Place::Ready(priority, rank) {
            return;
        }
        self.set(slot, Place::Ready(priority, rank));
        let at = match self.ready.binary_search_by_key(&priority, |(priority, _)| *priority) {
            Ok(at) => at,
            Err(at) => {
                self.ready.insert(at, (priority, BinaryHeap::new()));
                at
            }
        };
        let heap = &mut self.ready[at].1;
        heap.push(Reverse(Ranked::new(rank, slot)));
        // Stale entries are dropped before they outnumber the others.
        if heap.len() > 2 * self.places.len() + 64 {
            let places = &self.places;
            heap.retain(|Reverse(ranked)| {
                let (rank, slot) = ranked.parts();
                places.get(slot.0 as usize) == Some(&Place::Ready(priority, rank))
            });
        }
    }

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
            Self::Out | Self::Ready(..) => None,
        }
    }
}
