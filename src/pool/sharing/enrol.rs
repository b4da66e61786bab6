//! Which units there are: owners with limits, in the lanes that somebody asked for.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::{Demanded, KindAt};
use crate::{
    limit::Limits,
    pool::{lane::Origin, state::State},
    share::{Kind, UnitId, UnitInfo},
};

impl State {
    /// What a unit is called among processes: the same in each.
    pub(super) fn unit_name(&self, lane: u16, owner: u32) -> Option<UnitId> {
        let journal = self.journal.as_ref()?;
        let owner = journal.names.get(&owner)?;
        Some(UnitId::from(&*[&self.lanes[usize::from(lane)].name, "\n", owner].concat()))
    }

    /// Units of the other names that an owner had.
    fn other_names(&self, owner: u32, lane: &str) -> Vec<UnitId> {
        let Some(journal) = &self.journal else { return Vec::new() };
        let (Some(share), Some(name)) = (&journal.share, journal.names.get(&owner)) else { return Vec::new() };
        share.names.others(name).iter().map(|other| UnitId::from(&*format!("{lane}\n{other}"))).collect()
    }

    /// All units of lanes that somebody asked for, and where others `differ` those for which there are no limits here. Who holds
    /// what is not changed by it.
    pub(super) fn enrol(&mut self) -> (Vec<UnitInfo>, Vec<UnitId>) {
        if self.share().is_some_and(|share| !share.differ) {
            self.ease_own();
        }
        let mut priorities: HashMap<u32, u16> = HashMap::with_capacity(self.roster.owners.len());
        let mut slots: HashMap<u32, Vec<u32>> = HashMap::with_capacity(self.roster.owners.len());
        let mut guarded: BTreeSet<u32> = BTreeSet::new();
        for slot in self.roster.slots() {
            let key = &self.roster.keys[slot as usize];
            let priority = priorities.entry(key.owner).or_insert(key.priority);
            *priority = key.priority.min(*priority);
            slots.entry(key.owner).or_default().push(slot);
            if self.limits_itself(slot) {
                guarded.insert(key.owner);
            }
        }
        let Some(share) = self.share_mut() else { return Default::default() };
        let differ = share.differ;
        share.stale = false;
        let owners = slots.len();
        share.slots = slots;
        let mut lanes: Vec<u16> = share.lanes.iter().copied().collect();
        lanes.sort_unstable();
        let most = lanes.len() * owners;
        let mut infos = Vec::with_capacity(most);
        let mut kinds: HashMap<KindAt, (u32, Kind)> = HashMap::new();
        let (mut named, mut bare) = (Vec::with_capacity(most), Vec::new());
        let mut said: HashMap<u16, Limits> = HashMap::new();
        let guards: HashMap<u32, UnitId> =
            guarded.into_iter().filter_map(|owner| Some((owner, self.guard_name(owner)?))).collect();
        for lane in lanes {
            let held = &self.lanes[usize::from(lane)];
            let uncounted = self.is_uncounted(lane);
            if held.asleep || held.origin == Origin::Free {
                continue;
            }
            for (owner, cell) in (0..).zip(&held.owners) {
                let guard = guards.get(&owner).filter(|_| !uncounted).cloned();
                let limited = guard.is_some() || self.plans.plan(cell.plan).words() > 0;
                // Most have the same.
                let own = said.entry(cell.plan).or_insert_with(|| self.plans.sources(cell.plan).own()).clone();
                let asks = differ && !uncounted && own.is_empty();
                let (Some(priority), true) = (priorities.get(&owner), limited || asks) else { continue };
                let Some(unit) = self.unit_name(lane, owner) else { continue };
                if asks {
                    bare.push((unit.clone(), (lane, owner)));
                }
                if !limited {
                    continue;
                }
                let name = || (0, Kind::from(&*format!("{}\n{priority}", held.name)));
                let (units, kind) = kinds.entry((lane, *priority)).or_insert_with(name);
                *units += 1;
                let kind = kind.clone();
                named.push((unit.clone(), (lane, owner), (lane, *priority)));
                let joins = self.other_names(owner, &held.name);
                infos.push(UnitInfo { unit, kind, limits: own, guard, joins });
            }
        }
        for (owner, guard) in &guards {
            let (kind, joins) = (Kind::from(guard.as_str()), self.other_names(*owner, "keys\n"));
            infos.push(UnitInfo { unit: guard.clone(), kind, limits: Limits::new(), guard: None, joins });
        }
        let (owns, mut asked) = self.enrol_own(differ);
        infos.extend(owns);
        asked.extend(bare.iter().map(|(unit, _)| unit.clone()));
        let Some(share) = self.share_mut() else { return (infos, asked) };
        share.bare = bare.into_iter().collect();
        share.guards.extend(guards.into_iter().map(|(owner, guard)| (guard, owner)));
        share.kinds.retain(|at, _| kinds.contains_key(at));
        for (at, (units, name)) in kinds {
            let lacks = !share.served.contains(&at.0);
            let named = BTreeSet::new();
            let fresh = || Demanded {
                name,
                units,
                held: 0,
                asked: 0,
                aside: false,
                lacks,
                tokens: 0,
                dry: None,
                opens: None,
                named,
                lifted: BTreeMap::new(),
            };
            let kind = share.kinds.entry(at).or_insert_with(fresh);
            kind.dry = kind.dry.filter(|_| kind.units >= units);
            kind.units = units;
            kind.held = 0;
        }
        share.kind_at.clear();
        share.kind_at.reserve(named.len());
        share.by_name.reserve(named.len());
        for (unit, at, kind) in named {
            if let Some(held) = share.held.get_mut(at) {
                held.kind = kind;
                share.kinds.entry(kind).and_modify(|kind| kind.held += 1);
            }
            share.by_name.insert(unit, at);
            share.kind_at.insert(at, kind);
        }
        (infos, asked)
    }
}
