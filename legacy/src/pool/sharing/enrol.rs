//! Which units there are: owners with limits, in the lanes that somebody asked for.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::{Demanded, KindAt, Share, Unit};
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
        let owners = self.owners_by_key();
        let Some(share) = self.share_mut() else { return Default::default() };
        share.stale = false;
        let differ = share.differ;
        let mut lanes: Vec<u16> = share.lanes.iter().copied().collect();
        lanes.sort_unstable();
        let mut roll = self.roll(&lanes, &owners, differ);
        for (owner, guard) in &owners.guards {
            let (kind, joins) = (Kind::from(guard.as_str()), self.other_names(*owner, "keys\n"));
            roll.infos.push(UnitInfo { unit: guard.clone(), kind, limits: Limits::new(), guard: None, joins });
        }
        let (owns, mut asked) = self.enrol_own(differ);
        roll.infos.extend(owns);
        asked.extend(roll.bare.iter().map(|(unit, _)| unit.clone()));
        match self.share_mut() {
            Some(share) => (share.go_by(roll, owners), asked),
            None => (roll.infos, asked),
        }
    }

    fn owners_by_key(&self) -> Owners {
        let owners = self.roster.owners.len();
        let mut slots: HashMap<u32, Vec<u32>> = HashMap::with_capacity(owners);
        let mut priorities: HashMap<u32, u16> = HashMap::with_capacity(owners);
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
        let guards = guarded.into_iter().filter_map(|owner| Some((owner, self.guard_name(owner)?))).collect();
        Owners { slots, priorities, guards }
    }

    /// The units of these lanes.
    fn roll(&self, lanes: &[u16], owners: &Owners, differ: bool) -> Roll {
        let mut roll = Roll::with_capacity(lanes.len() * owners.slots.len());
        let mut said: HashMap<u16, Limits> = HashMap::new();
        for &lane in lanes {
            let held = &self.lanes[usize::from(lane)];
            let uncounted = self.is_uncounted(lane);
            if held.asleep || held.origin == Origin::Free {
                continue;
            }
            for (owner, cell) in (0..).zip(&held.owners) {
                let guard = owners.guards.get(&owner).filter(|_| !uncounted).cloned();
                let limited = guard.is_some() || self.plans.plan(cell.plan).words() > 0;
                // Most have the same.
                let own = said.entry(cell.plan).or_insert_with(|| self.plans.sources(cell.plan).own()).clone();
                let asks = differ && !uncounted && own.is_empty();
                let (Some(&priority), true) = (owners.priorities.get(&owner), limited || asks) else { continue };
                let Some(unit) = self.unit_name(lane, owner) else { continue };
                if asks {
                    roll.bare.push((unit.clone(), (lane, owner)));
                }
                if !limited {
                    continue;
                }
                let kind = roll.count((lane, priority), &held.name);
                roll.named.push((unit.clone(), (lane, owner), (lane, priority)));
                let joins = self.other_names(owner, &held.name);
                roll.infos.push(UnitInfo { unit, kind, limits: own, guard, joins });
            }
        }
        roll
    }
}

/// Owners that have keys.
struct Owners {
    slots: HashMap<u32, Vec<u32>>,
    /// The best of their keys.
    priorities: HashMap<u32, u16>,
    /// Of those whose keys have limits of their own.
    guards: HashMap<u32, UnitId>,
}

/// Units, as the board is told of them.
struct Roll {
    infos: Vec<UnitInfo>,
    named: Vec<(UnitId, Unit, KindAt)>,
    /// Those without limits here.
    bare: Vec<(UnitId, Unit)>,
    /// How many there are of each kind, and its name.
    kinds: HashMap<KindAt, (u32, Kind)>,
}

impl Roll {
    fn with_capacity(most: usize) -> Self {
        let (infos, named) = (Vec::with_capacity(most), Vec::with_capacity(most));
        Self { infos, named, bare: Vec::new(), kinds: HashMap::new() }
    }

    /// One more of a kind; what that is called.
    fn count(&mut self, at: KindAt, lane: &str) -> Kind {
        let name = || (0, Kind::from(&*format!("{lane}\n{}", at.1)));
        let (units, kind) = self.kinds.entry(at).or_insert_with(name);
        *units += 1;
        kind.clone()
    }
}

impl Share {
    /// These are the units from now on; what the board is told of them.
    fn go_by(&mut self, roll: Roll, owners: Owners) -> Vec<UnitInfo> {
        let Roll { infos, named, bare, kinds } = roll;
        self.slots = owners.slots;
        self.bare = bare.into_iter().collect();
        self.guards.extend(owners.guards.into_iter().map(|(owner, guard)| (guard, owner)));
        self.kinds.retain(|at, _| kinds.contains_key(at));
        for (at, (units, name)) in kinds {
            let lacks = !self.served.contains(&at.0);
            let kind = self.kinds.entry(at).or_insert_with(|| Demanded::new(name, units, lacks));
            kind.dry = kind.dry.filter(|_| kind.units >= units);
            kind.units = units;
            kind.held = 0;
        }
        self.kind_at.clear();
        self.kind_at.reserve(named.len());
        self.by_name.reserve(named.len());
        for (unit, at, kind) in named {
            if let Some(held) = self.held.get_mut(at) {
                held.kind = kind;
                self.kinds.entry(kind).and_modify(|kind| kind.held += 1);
            }
            self.by_name.insert(unit, at);
            self.kind_at.insert(at, kind);
        }
        infos
    }
}

impl Demanded {
    fn new(name: Kind, units: u32, lacks: bool) -> Self {
        Self {
            name,
            units,
            held: 0,
            asked: 0,
            aside: false,
            lacks,
            tokens: 0,
            dry: None,
            opens: None,
            named: BTreeSet::new(),
            lifted: BTreeMap::new(),
        }
    }
}
