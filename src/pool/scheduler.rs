//! Orders the keys of each model: ready keys by priority and rank, blocked keys by when they can be ready.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    hash::BuildHasherDefault,
};

use super::{
    breaker::{Target, TargetHasher},
    model::ModelIx,
    registry::Slot,
    unavailable::UnavailableReason,
};
use crate::time::Tick;

/// Maximum number of models with a list of keys.
const MODELS: usize = 256;

/// The place of a key in the list of a model. Heap entries that differ from it are stale.
///
/// The rank of a ready key may be lower than its load implies. It is corrected when the key comes first. It is higher
/// for keys that are tried last, until they are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Nowhere: removed, or taken out for now.
    #[default]
    Out,
    /// Ready, with its priority and rank.
    Ready(u16, u64),
    /// Blocked until a tick.
    Timer(Tick, UnavailableReason),
    /// Blocked until a target changes.
    Parked(UnavailableReason),
}

#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    /// The lists, by model.
    lists: Vec<Option<Box<List>>>,
    /// The models that have a list.
    models: Vec<ModelIx>,
    /// The number of uses of lists.
    list_uses: u64,
}

/// A rank and its key in one number, which compares fast. The lowest is first in a heap.
type Ranked = Reverse<u128>;

#[derive(Debug, Default)]
struct List {
    /// The heaps by priority, lowest first.
    ready: Vec<(u16, BinaryHeap<Ranked>)>,
    timer: BinaryHeap<Reverse<(Tick, Slot)>>,
    /// The keys that are blocked until a target changes.
    parked: HashMap<Target, BTreeSet<Slot>, BuildHasherDefault<TargetHasher>>,
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

    /// Reports whether a model has a list of keys. The call counts as a use of the list.
    pub(crate) fn has(&mut self, model: ModelIx) -> bool {
        self.list_uses += 1;
        let last_use = self.list_uses;
        self.list_mut(model).map(|list| list.last_use = last_use).is_some()
    }

    /// Builds the list of a model from these keys, all of them ready. If there are too many lists, the least recently
    /// used one is dropped.
    pub(crate) fn build(&mut self, model: ModelIx, keys: impl Iterator<Item = (Slot, u16, u64)>) {
        if self.models.len() >= MODELS {
            let others = self.models.iter().filter(|model| **model != ModelIx::DEFAULT);
            let oldest = others.min_by_key(|model| self.list(**model).map(|list| list.last_use)).copied();
            if let Some(oldest) = oldest {
                self.lists[oldest.0 as usize] = None;
                self.models.retain(|model| *model != oldest);
            }
        }
        let keys: Vec<_> = keys.collect();
        let mut list = List { last_use: self.list_uses, ..List::default() };
        list.places.reserve_exact(keys.iter().map(|(slot, ..)| slot.0 as usize + 1).max().unwrap_or(0));
        let mut ready: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        for (slot, priority, rank) in &keys {
            list.set(*slot, Place::Ready(*priority, *rank));
            let heap = ready.entry(*priority).or_insert_with(|| Vec::with_capacity(keys.len()));
            heap.push(ranked(*rank, *slot));
        }
        list.ready = ready.into_iter().map(|(priority, keys)| (priority, BinaryHeap::from(keys))).collect();
        let at = model.0 as usize;
        if at >= self.lists.len() {
            self.lists.resize_with(at + 1, || None);
        }
        if self.lists[at].replace(Box::new(list)).is_none() {
            self.models.push(model);
        }
    }

    /// Returns the models with a list of keys.
    pub(crate) fn models(&self) -> Vec<ModelIx> {
        self.models.clone()
    }

    /// Takes a due key off the timer. The caller makes it ready again.
    pub(crate) fn wake_due(&mut self, model: ModelIx, now: Tick) -> Option<Slot> {
        self.next_wake(model).filter(|until| *until <= now)?;
        let list = self.list_mut(model)?;
        let Reverse((_, slot)) = list.timer.pop()?;
        list.set(slot, Place::Out);
        Some(slot)
    }

    /// Returns the number of priorities of a model.
    pub(crate) fn priorities(&self, model: ModelIx) -> usize {
        self.list(model).map_or(0, |list| list.ready.len())
    }

    /// Returns the ready key with the lowest rank. `rank_of` corrects a rank that rose since the key was inserted.
    pub(crate) fn first(
        &mut self,
        model: ModelIx,
        priority: usize,
        rank_of: impl Fn(Slot) -> u64,
    ) -> Option<(u64, Slot)> {
        let list = self.list_mut(model)?;
        while let Some(first) = list.ready.get(priority)?.1.peek().copied() {
            let (rank, slot) = parts(first);
            if list.place(slot) != Place::Ready(list.ready[priority].0, rank) {
                list.ready[priority].1.pop();
                continue;
            }
            let now = rank_of(slot);
            if now <= rank {
                return Some((rank, slot));
            }
            list.raise_first(priority, slot, now);
        }
        None
    }

    /// Raises the rank of the first key.
    pub(crate) fn raise_first(&mut self, model: ModelIx, priority: usize, slot: Slot, rank: u64) {
        if let Some(list) = self.list_mut(model) {
            list.raise_first(priority, slot, rank);
        }
    }

    /// Takes out the first key. The caller puts it back.
    pub(crate) fn take_first(&mut self, model: ModelIx, priority: usize) {
        let Some(list) = self.list_mut(model) else { return };
        if let Some(first) = list.ready.get_mut(priority).and_then(|(_, heap)| heap.pop()) {
            list.set(parts(first).1, Place::Out);
        }
    }

    /// Makes a key ready with a rank.
    pub(crate) fn ready(&mut self, model: ModelIx, slot: Slot, priority: u16, rank: u64) {
        if let Some(list) = self.list_mut(model) {
            list.ready(slot, priority, rank);
        }
    }

    /// Updates the rank of a key in all lists. If it fell, the key moves at once; if it rose, when the key comes first.
    pub(crate) fn rerank(&mut self, slot: Slot, priority: u16, rank: u64) {
        for model in &self.models {
            let Some(list) = &mut self.lists[model.0 as usize] else { continue };
            if matches!(list.place(slot), Place::Ready(held, old) if held != priority || old > rank) {
                list.ready(slot, priority, rank);
            }
        }
    }

    /// Blocks a key until a tick.
    pub(crate) fn block_until(&mut self, model: ModelIx, slot: Slot, until: Tick, reason: UnavailableReason) {
        let Some(list) = self.list_mut(model) else { return };
        list.set(slot, Place::Timer(until, reason));
        list.timer.push(Reverse((until, slot)));
        if list.timer.len() > 2 * list.places.len() + 64 {
            let current = (0..).zip(&list.places).filter_map(|(slot, place)| match place {
                Place::Timer(until, _) => Some(Reverse((*until, Slot(slot)))),
                _ => None,
            });
            list.timer = current.collect();
        }
    }

    /// Reports whether a key is blocked until a tick.
    pub(crate) fn has_timer(&self, model: ModelIx, slot: Slot) -> bool {
        self.list(model).is_some_and(|list| matches!(list.place(slot), Place::Timer(..)))
    }

    /// Blocks a key until a target changes.
    pub(crate) fn park(&mut self, model: ModelIx, slot: Slot, target: Target, reason: UnavailableReason) {
        let Some(list) = self.list_mut(model) else { return };
        list.set(slot, Place::Parked(reason));
        list.parked.entry(target).or_default().insert(slot);
    }

    /// Takes out the keys that were parked until this target changed. The caller makes them ready again.
    pub(crate) fn unpark(&mut self, target: Target) -> Vec<(ModelIx, Slot)> {
        let mut woken = Vec::new();
        for model in &self.models {
            let Some(list) = &mut self.lists[model.0 as usize] else { continue };
            for slot in list.parked.remove(&target).unwrap_or_default() {
                if matches!(list.place(slot), Place::Parked(_)) {
                    list.set(slot, Place::Out);
                    woken.push((*model, slot));
                }
            }
        }
        woken
    }

    /// Removes a key from all lists.
    pub(crate) fn remove(&mut self, slot: Slot) {
        for list in self.lists.iter_mut().flatten() {
            list.set(slot, Place::Out);
        }
    }

    /// Returns when the next key of a model wakes.
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

    /// Returns the number of blocked keys of a model for each reason.
    pub(crate) fn blocked(&self, model: ModelIx) -> [u32; UnavailableReason::COUNT] {
        self.list(model).map_or([0; UnavailableReason::COUNT], |list| list.blocked)
    }
}

fn ranked(rank: u64, slot: Slot) -> Ranked {
    Reverse(u128::from(rank) << 32 | u128::from(slot.0))
}

fn parts(Reverse(ranked): Ranked) -> (u64, Slot) {
    ((ranked >> 32) as u64, Slot(ranked as u32))
}

impl List {
    fn raise_first(&mut self, priority: usize, slot: Slot, rank: u64) {
        let (number, heap) = &mut self.ready[priority];
        // The new rank is usually the highest, so push is cheaper than replacing the top, which sifts down.
        heap.pop();
        heap.push(ranked(rank, slot));
        self.places[slot.0 as usize] = Place::Ready(*number, rank);
    }

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
        heap.push(ranked(rank, slot));
        // Drops stale entries before they outnumber the others. A stale one can equal the current one: slots are reused.
        if heap.len() > 2 * self.places.len() + 64 {
            let current = (0..).zip(&self.places).filter_map(|(slot, place)| match place {
                Place::Ready(held, rank) if *held == priority => Some(ranked(*rank, Slot(slot))),
                _ => None,
            });
            *heap = current.collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_removed_keys_are_dropped_although_their_slot_is_reused() {
        let (model, slot) = (ModelIx::DEFAULT, Slot(0));
        let mut scheduler = Scheduler::default();
        scheduler.build(model, std::iter::empty());
        for _ in 0..1_000 {
            scheduler.ready(model, slot, 0, 0);
            scheduler.block_until(model, slot, Tick::NEVER, UnavailableReason::Limit);
            scheduler.remove(slot);
        }
        let list = scheduler.list(model).unwrap();
        assert!(list.ready[0].1.len() < 100 && list.timer.len() < 100);
    }
}
