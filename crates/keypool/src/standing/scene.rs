//! How one key stands, from what a database holds of it and of its owner.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tower_keypool::{
    Limits, Scope, Span, VerdictKind,
    store::{BookKey, Image, KeptSecret, KeyBook, KeySettings, KeyStanding, RestRecord, UnitRecord, UsageRecord},
};

use super::{Calendar, Days, Out, Rest, Stand, State, window};

/// Why a day is closed of which nobody knows what was used.
const LOST: &str = "unknown since the store lost what it knew, until midnight";

/// What a key's standing is read from.
pub(super) struct Scene<'a> {
    /// By whom they concern.
    rests: HashMap<&'a str, Vec<&'a RestRecord>>,
    /// By owner.
    units: HashMap<&'a str, Vec<&'a UnitRecord>>,
    /// By key.
    usage: HashMap<&'a str, Vec<&'a UsageRecord>>,
    days: &'a Days,
    now: i64,
    /// What owners are called that the provider calls the same.
    called: HashMap<&'a str, BTreeSet<String>>,
    /// Secrets that others took the place of, by those: a process that had the key by then counts on under the old name.
    former: HashMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(book: &'a KeyBook, image: &'a Image, usage: &'a [UsageRecord], days: &'a Days, now: i64) -> Self {
        // One that is a key again stands for itself.
        let is_gone = |old: &str| book.by_hash(old).is_none_or(|key| !key.is_kept());
        let replaced = |key: &'a BookKey| {
            let replaces = key.settings.iter().flat_map(|said| &said.replaces).map(String::as_str);
            replaces.filter(|old| is_gone(old)).collect()
        };
        let former: HashMap<&str, BTreeSet<&str>> = book.keys().map(|(hash, key)| (hash, replaced(key))).collect();
        let mut called: HashMap<&str, BTreeSet<String>> = HashMap::new();
        for (hash, key) in book.keys() {
            if let Some(consumer) = key.record.consumer.as_deref() {
                called.entry(consumer).or_default().extend(names(hash, key, &former[hash]));
            }
        }
        let (mut rests, mut units, mut used) = (HashMap::new(), HashMap::new(), HashMap::new());
        for rest in image.rests.values() {
            rests.entry(&*rest.id.whom).or_insert_with(Vec::new).push(rest);
        }
        for unit in image.units.values() {
            units.entry(&*unit.owner).or_insert_with(Vec::new).push(unit);
        }
        for record in usage {
            used.entry(&*record.key).or_insert_with(Vec::new).push(record);
        }
        Self { rests, units, usage: used, days, now, called, former }
    }

    /// `exit`: the one that it goes out by, where that is not the usual way.
    pub(super) fn stand(&self, hash: &str, key: &BookKey, exit: Option<&str>) -> Stand {
        let record = &key.record;
        let said = key.settings.clone().unwrap_or_default();
        let mut owners = names(hash, key, &self.former[hash]);
        owners.extend(record.consumer.as_deref().and_then(|name| self.called.get(name)).into_iter().flatten().cloned());
        let rests = self.rests(hash, &owners, &said, exit.unwrap_or_default());
        let out = self.out(self.days.of(hash), &owners, &rests);
        let (state, reason) = self.state(hash, key, &owners, &rests, &out);
        let limits = said.limits.iter().map(|(model, limits)| (model.clone(), amounts(limits))).collect();
        Stand {
            id: record.id.clone(),
            hash: hash.to_owned(),
            tier: record.tier.clone(),
            priority: record.priority,
            weight: record.weight,
            weight_now: record.weight_now,
            owner: record.owner.clone(),
            source: record.source.clone(),
            labels: labels(&said),
            secret: place(key),
            origins: key.is_kept().then(|| "database".to_owned()).into_iter().collect(),
            limits,
            state,
            reason,
            last_success: record.last_success,
            last_failure: record.last_failure,
            consecutive_failures: record.consecutive_failures,
            created: record.created,
            used_today: self.used(hash).iter().map(|used| used.requests).sum(),
            rests,
            out_for_today: out,
            windows: self.units(&owners).flat_map(|unit| window::of(unit, self.days.of(hash), self.now)).collect(),
        }
    }

    fn used(&self, hash: &str) -> Vec<&'a UsageRecord> {
        let hashes = self.former[hash].iter().copied().chain([hash]);
        hashes.filter_map(|hash| self.usage.get(hash)).flatten().copied().collect()
    }

    fn units(&self, owners: &BTreeSet<String>) -> impl Iterator<Item = &UnitRecord> {
        owners.iter().filter_map(|owner| self.units.get(&**owner)).flatten().copied()
    }

    fn rests(&self, hash: &str, owners: &BTreeSet<String>, said: &KeySettings, exit: &str) -> Vec<Rest> {
        let concerns = |rest: &&RestRecord| match rest.id.scope {
            Scope::Key | Scope::KeyLane => rest.id.whom == hash,
            Scope::Owner | Scope::OwnerLane => owners.contains(&rest.id.whom),
            Scope::BillingAccount => said.billing_account.as_ref() == Some(&rest.id.whom),
            Scope::Exit => rest.id.whom == exit,
            _ => false,
        };
        // What is to be confirmed is tried once more by then.
        let tried = |rest: &RestRecord| rest.probe.filter(|_| rest.confirming && rest.ends.is_some());
        let until = |rest: &RestRecord| tried(rest).map_or(rest.ends, |(at, _)| Some(at));
        let lasts = |rest: &&RestRecord| until(rest).is_none_or(|until| until > self.now);
        let whom = owners.iter().map(String::as_str).chain([hash, exit]).chain(said.billing_account.as_deref());
        let mut seen = BTreeSet::new();
        let whom = whom.filter(|whom| seen.insert(*whom));
        let rests = whom.filter_map(|whom| self.rests.get(whom)).flatten().copied();
        let rests = rests.filter(concerns).filter(lasts);
        let shown = |rest: &RestRecord| Rest {
            scope: rest.id.scope,
            model: rest.id.lane.clone(),
            kind: rest.kind,
            code: rest.code.clone(),
            advice: rest.advice.clone(),
            until: until(rest),
        };
        rests.map(shown).collect()
    }

    /// For which models the day is used up: as the provider said, or by a limit that is known.
    /// A quota that comes back before this day ends was not the day's.
    fn out(&self, calendar: &Calendar, owners: &BTreeSet<String>, rests: &[Rest]) -> Vec<Out> {
        let (today, midnight) = (calendar.today(), calendar.midnight_ms());
        let lasts = |rest: &&Rest| rest.until.is_some_and(|until| until >= midnight);
        let said = rests.iter().filter(|rest| rest.kind == VerdictKind::QuotaExhausted).filter(lasts);
        let mut out: BTreeMap<Option<String>, String> =
            said.map(|rest| (rest.model.clone(), rest.code.clone())).collect();
        let is_today = |lost: &i64| calendar.date_of(*lost) == today;
        for unit in self.units(owners) {
            let days = || unit.windows.iter().filter(|window| window.limit.span == Span::Day);
            let counted = |used: &tower_keypool::store::WindowRecord| used.days.iter().any(|(day, _)| *day == today);
            // Nobody has asked for it since.
            if unit.lost.as_ref().is_some_and(is_today) && !days().any(counted) {
                out.entry(Some(unit.lane.clone())).or_insert_with(|| LOST.to_owned());
            }
            for window in unit.windows.iter().filter(|window| window.limit.span == Span::Day) {
                let used = window.days.iter().find(|(day, _)| *day == today).map_or(0, |(_, used)| *used);
                if used >= window.limit.amount {
                    let lost = unit.lost.as_ref().is_some_and(is_today);
                    let most = window.limit.amount;
                    // More than all: what a process that was killed may have started without a word counts, too.
                    let count = if used > most { "all".to_owned() } else { used.to_string() };
                    let known = || format!("{count} of {most} {}", window.limit);
                    let why = if lost { LOST.to_owned() } else { known() };
                    out.entry(Some(unit.lane.clone())).or_insert(why);
                }
            }
        }
        out.into_iter().map(|(model, why)| Out { model, why }).collect()
    }

    fn state(
        &self,
        hash: &str,
        key: &BookKey,
        owners: &BTreeSet<String>,
        rests: &[Rest],
        out: &[Out],
    ) -> (State, String) {
        let record = &key.record;
        if key.has_left() {
            return (State::Removed, String::new());
        }
        if let Some(reason) = key.disabled() {
            return (State::Disabled, reason.to_owned());
        }
        // By a program, not by a command.
        let untouched = key.settings.as_ref().is_none_or(|said| said.lifted == 0);
        if record.state == KeyStanding::Disabled && untouched {
            return (State::Disabled, record.reason.clone());
        }
        let why = |rest: &Rest| if rest.advice.is_empty() { rest.code.clone() } else { rest.advice.clone() };
        let whole: Vec<&Rest> = rests.iter().filter(|rest| rest.model.is_none()).collect();
        if let Some(rest) = whole.iter().find(|rest| rest.until.is_none()) {
            return (State::Faulty, format!("{}: {}", rest.code, why(rest)));
        }
        if let Some(out) = out.iter().find(|out| out.model.is_none()) {
            return (State::OutForToday, out.why.clone());
        }
        if let Some(rest) = whole.iter().max_by_key(|rest| rest.until) {
            return (State::Resting, why(rest));
        }
        let lanes: BTreeSet<&str> = self
            .units(owners)
            .map(|unit| &*unit.lane)
            .chain(self.used(hash).into_iter().map(|used| &*used.lane))
            .collect();
        let closed = |lane: &&str| out.iter().any(|out| out.model.as_deref() == Some(*lane));
        if !out.is_empty() && lanes.iter().all(closed) {
            return (State::OutForToday, out[0].why.clone());
        }
        match (rests.first(), out.first()) {
            (_, Some(out)) => (State::Partly, out.why.clone()),
            (Some(rest), None) => (State::Partly, why(rest)),
            (None, None) => (State::Usable, String::new()),
        }
    }
}

/// What its owner may be called in a store.
fn names(hash: &str, key: &BookKey, former: &BTreeSet<&str>) -> BTreeSet<String> {
    let hashes = former.iter().copied().chain([hash]);
    hashes.map(|hash| format!("key:{hash}")).chain(key.record.owner.clone()).collect()
}

/// Those beside the source.
fn labels(said: &KeySettings) -> BTreeMap<String, String> {
    let mut labels = said.labels.clone();
    labels.remove("source");
    labels
}

fn place(key: &BookKey) -> String {
    match &key.record.secret {
        KeptSecret::Reference(place) => place.clone(),
        KeptSecret::Sealed(_) => "encrypted".to_owned(),
        KeptSecret::Plain(_) => "plain".to_owned(),
        _ if key.record.state == KeyStanding::Removed => "removed".to_owned(),
        _ => "elsewhere".to_owned(),
    }
}

pub(super) fn amounts(limits: &Limits) -> Vec<String> {
    limits.iter().map(|limit| format!("{} {limit}", limit.amount)).collect()
}
