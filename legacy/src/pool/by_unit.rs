//! What is kept of owners, or keys, in lanes, found by where they stand. Those who serve one after the other stand side by
//! side, and in most lanes few have anything: so it lies on small pages, of which there are as many as are used.

use super::journal::Unit;

const PAGE: usize = 16;

type Page<T> = Box<[Option<T>; PAGE]>;

pub(super) struct ByUnit<T> {
    /// By lane, and by owner there.
    lanes: Vec<Vec<Option<Page<T>>>>,
    len: usize,
}

impl<T> Default for ByUnit<T> {
    fn default() -> Self {
        Self { lanes: Vec::new(), len: 0 }
    }
}

fn place((lane, at): Unit) -> (usize, usize, usize) {
    (usize::from(lane), at as usize / PAGE, at as usize % PAGE)
}

impl<T> ByUnit<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Lanes below this number may have something.
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    #[inline]
    pub(super) fn get(&self, unit: Unit) -> Option<&T> {
        let (lane, page, at) = place(unit);
        self.lanes.get(lane)?.get(page)?.as_ref()?[at].as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, unit: Unit) -> Option<&mut T> {
        let (lane, page, at) = place(unit);
        self.lanes.get_mut(lane)?.get_mut(page)?.as_mut()?[at].as_mut()
    }

    pub(super) fn contains(&self, unit: Unit) -> bool {
        self.get(unit).is_some()
    }

    #[inline]
    pub(super) fn or_insert_with(&mut self, unit: Unit, make: impl FnOnce() -> T) -> &mut T {
        let len = &mut self.len;
        let held = Self::slot(&mut self.lanes, unit);
        held.get_or_insert_with(|| {
            *len += 1;
            make()
        })
    }

    /// What stood there before.
    pub(super) fn insert(&mut self, unit: Unit, value: T) -> Option<T> {
        let before = Self::slot(&mut self.lanes, unit).replace(value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(super) fn remove(&mut self, unit: Unit) -> Option<T> {
        let (lane, page, at) = place(unit);
        let removed = self.lanes.get_mut(lane)?.get_mut(page)?.as_mut()?[at].take();
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// In the order of lanes, then of owners.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Unit, &T)> {
        let pages = self
            .lanes
            .iter()
            .zip(0u16..)
            .flat_map(|(pages, lane)| pages.iter().zip(0u32..).map(move |page| (lane, page)));
        pages.flat_map(|(lane, (page, number))| {
            let first = number * PAGE as u32;
            let cells = page.iter().flat_map(|page| page.iter()).zip(first..);
            cells.filter_map(move |(held, at)| Some(((lane, at), held.as_ref()?)))
        })
    }

    pub(super) fn units(&self) -> impl Iterator<Item = Unit> {
        self.iter().map(|(unit, _)| unit)
    }

    /// Forgets all of a lane.
    pub(super) fn forget_lane(&mut self, lane: u16) {
        if let Some(pages) = self.lanes.get_mut(usize::from(lane)) {
            let held = pages.iter().flatten().flat_map(|page| page.iter()).flatten();
            self.len -= held.count();
            *pages = Vec::new();
        }
    }

    /// Forgets all of an owner.
    pub(super) fn forget_owner(&mut self, owner: u32) {
        for lane in 0..self.lanes.len() as u16 {
            self.remove((lane, owner));
        }
    }

    fn slot(lanes: &mut Vec<Vec<Option<Page<T>>>>, unit: Unit) -> &mut Option<T> {
        let (lane, page, at) = place(unit);
        if lanes.len() <= lane {
            lanes.resize_with(lane + 1, Vec::new);
        }
        let pages = &mut lanes[lane];
        if pages.len() <= page {
            pages.resize_with(page + 1, || None);
        }
        &mut pages[page].get_or_insert_with(|| Box::new(std::array::from_fn(|_| None)))[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_a_map_keeps() {
        let (mut kept, mut map) = (ByUnit::default(), std::collections::BTreeMap::new());
        let mut random = fastrand::Rng::with_seed(7);
        for n in 0..20_000 {
            let unit = (random.u16(..5), random.u32(..100));
            match random.u8(..20) {
                0 => {
                    let lane = unit.0;
                    kept.forget_lane(lane);
                    map.retain(|unit: &Unit, _| unit.0 != lane);
                }
                1 => {
                    kept.forget_owner(unit.1);
                    map.retain(|held, _| held.1 != unit.1);
                }
                2..6 => assert_eq!(kept.remove(unit), map.remove(&unit)),
                6..10 => assert_eq!(kept.insert(unit, n), map.insert(unit, n)),
                10..14 => assert_eq!(kept.or_insert_with(unit, || n), map.entry(unit).or_insert(n)),
                _ => assert_eq!(kept.get_mut(unit), map.get_mut(&unit)),
            }
            assert_eq!((kept.len(), kept.contains(unit)), (map.len(), map.contains_key(&unit)));
        }
        assert!(kept.iter().eq(map.iter().map(|(unit, n)| (*unit, n))));
        assert!(kept.units().eq(map.keys().copied()));
    }
}
