//! A random schedule as it runs, and what must hold of each operation.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::{
    described::{KEYS, MODELS, PER_MINUTE, TOKENS, described, id, interval, key, key_of},
    model::{NOON, Starts, clock},
    ops::Op,
};
use crate::{
    Affinity, Demand, Elsewhere, KeyPool, KeyPoolBuilder, Lease, ManualClock, Scope, Tick, Until, Usage, Verdict,
    VerdictKind,
};

pub(super) struct Held {
    pub(super) lease: Lease,
    started: Tick,
    pub(super) number: usize,
    /// The model in whose quota it counts.
    pub(super) lane: String,
    /// Lifts by hand of its owner's keys before it started.
    lifts: u32,
    /// How often its key had come back with another secret before it started.
    anew: u32,
}

/// A pool, the leases that are out, and what a simple model knows of them.
pub(super) struct Run {
    pub(super) pool: KeyPool,
    /// The keys' secrets.
    current: Vec<String>,
    /// Whether each key is in.
    pub(super) present: Vec<bool>,
    /// When each key started last.
    last: Vec<Option<Tick>>,
    time: ManualClock,
    pub(super) held: Vec<Held>,
    pub(super) starts: Starts,
    /// Rests that the model knows: (scope, name, model), until when, since which start.
    pub(super) rests: HashMap<(Scope, String, String), (Tick, Tick)>,
    disabled: Vec<bool>,
    /// Lifts by hand of each owner's keys.
    pub(super) lifts: HashMap<String, u32>,
    secrets: u32,
    /// How often each key came back with another secret.
    anew: Vec<u32>,
    /// The second model counts in the quota of the first.
    pub(super) follows: bool,
    /// Keys of whom an answer said whose quota they use.
    pub(super) grouped: BTreeSet<usize>,
    /// The last demand was for one key only.
    pub(super) must: bool,
    /// Whoever judges now ends the lease as well.
    settles: bool,
    pub(super) trace: Vec<String>,
}

impl Run {
    /// The same without the short ways.
    pub(super) fn the_long_way(strategy: usize) -> Self {
        let run = Self::new(strategy);
        run.pool.lock().always_long = true;
        run
    }

    pub(super) fn new(strategy: usize) -> Self {
        let time = clock();
        let current: Vec<String> = (0..KEYS).map(|n| format!("AIza-not-a-real-key-{n:05}")).collect();
        let present = vec![true; KEYS];
        let pool = described(&current, &present, 0, 1.0, strategy).clock(time.clock()).build().expect("a pool");
        Self {
            pool,
            current,
            present,
            last: vec![None; KEYS],
            time,
            held: Vec::new(),
            starts: Starts::default(),
            rests: HashMap::new(),
            disabled: vec![false; KEYS],
            lifts: HashMap::new(),
            secrets: 0,
            anew: vec![0; KEYS],
            follows: false,
            grouped: BTreeSet::new(),
            must: false,
            settles: false,
            trace: Vec::new(),
        }
    }

    /// The same keys and limits once more.
    pub(super) fn another(&self, strategy: usize) -> KeyPoolBuilder {
        described(&self.current, &self.present, 0, 1.0, strategy).clock(self.time.clock())
    }

    pub(super) fn now(&self) -> Tick {
        self.pool.clock().tick()
    }

    pub(super) fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Acquire { model, tokens, must } => {
                let mut demand = Demand::new(MODELS[model]).tokens(tokens);
                self.must = must.is_some();
                if let Some(key) = must {
                    demand = demand.affinity(Affinity::MustKey(id(key)));
                }
                self.acquire(&demand, MODELS[model], tokens)?;
            }
            Op::Many { model, sizes, all } => {
                self.must = false;
                let many = self.pool.acquire_many(&sizes).of(MODELS[model]);
                let many = if all { many.all_or_none() } else { many };
                let out = self.pool.snapshot().in_flight;
                let Ok(groups) = many.now() else {
                    prop_assert_eq!(self.pool.snapshot().in_flight, out, "nothing is held");
                    return self.law_2();
                };
                let leases: Vec<Lease> = groups.into_iter().flatten().collect();
                prop_assert!(!all || leases.len() == sizes.iter().sum::<usize>());
                for lease in leases {
                    self.granted(lease, MODELS[model], 0)?;
                }
            }
            Op::Judge { lease, verdict, seconds } => self.judge(lease, verdict, seconds)?,
            Op::Settle { lease, verdict, seconds } => {
                self.settles = true;
                self.judge(lease, verdict, seconds)?;
                self.settles = false;
            }
            Op::Usage { lease } => {
                // Only downward: what is used beyond the estimate is known too late to be held against the limit.
                if let Some(held) = self.held.get(lease) {
                    held.lease.usage(Usage { input_tokens: Some(0), ..Usage::default() });
                    let owner = self.owner(key_of(held.lease.key_id()));
                    self.starts.cost_nothing(&owner, &held.lane, held.number);
                }
            }
            Op::Follow { lease } => self.follow(lease),
            Op::Group { lease } => self.group(lease),
            Op::Drop { lease } => {
                if lease < self.held.len() {
                    self.held.swap_remove(lease);
                }
            }
            Op::Advance { millis } => self.time.advance(Duration::from_millis(millis)),
            Op::Wall { seconds } => {
                let base = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(NOON);
                let wall = if seconds >= 0 {
                    base + Duration::from_secs(seconds.unsigned_abs())
                } else {
                    base - Duration::from_secs(seconds.unsigned_abs())
                };
                // What is less is not written: a rest may last as much longer for who comes next.
                let is = self.pool.clock().wall();
                if wall.max(is).duration_since(wall.min(is)).expect("the later one") > Duration::from_secs(1) {
                    self.time.set_wall(wall);
                }
            }
            Op::Disable { key }
            | Op::Enable { key }
            | Op::Replace { key }
            | Op::Weight { key, .. }
            | Op::Remove { key }
                if !self.present[key] => {}
            Op::Add { key, .. } if self.present[key] => {}
            Op::Disable { key } => {
                self.pool.disable(&id(key), "BY_HAND").expect("a key of this test");
                self.disabled[key] = true;
            }
            Op::Enable { key } => {
                self.pool.enable(&id(key)).expect("a key of this test");
                self.disabled[key] = false;
                let (name, owner) = (id(key).to_string(), self.owner(key));
                *self.lifts.entry(owner.clone()).or_default() += 1;
                self.rests.retain(|(_, held, _), _| *held != name && *held != owner);
            }
            Op::Replace { key } => {
                self.secrets += 1;
                let secret = format!("AIza-not-a-real-key-again-{:05}", self.secrets);
                self.pool.replace(&id(key), &secret).expect("a new secret");
                self.current[key] = secret;
            }
            Op::Reconfigure { strategy, turn, weight, other } => {
                let before = self.present.clone();
                if let Some(key) = other {
                    self.present[key] ^= true;
                }
                let wanted = described(&self.current, &self.present, turn, f32::from(weight) / 4.0, strategy);
                let change = self.pool.reconfigure(wanted).expect("keys that can be taken");
                let ids = |went: bool| other.filter(|key| before[*key] == went).map(id).into_iter().collect::<Vec<_>>();
                prop_assert_eq!((change.added, change.removed), (ids(false), ids(true)));
            }
            Op::Remove { key } => {
                self.pool.remove(&id(key)).expect("a key of this test");
                self.present[key] = false;
            }
            Op::Add { key: n, secret } => {
                if secret {
                    self.secrets += 1;
                    self.anew[n] += 1;
                    self.current[n] = format!("AIza-not-a-real-key-again-{:05}", self.secrets);
                    // What rested, or was switched off, was the old one.
                    let name = id(n).to_string();
                    self.rests.retain(|(_, held, _), _| *held != name);
                    self.disabled[n] = false;
                }
                self.pool.add(key(n, &self.current[n], 1.0)).expect("a key that was there before");
                self.present[n] = true;
            }
            Op::Weight { key, weight } => {
                self.pool.set_weight(&id(key), f32::from(weight) / 4.0).expect("a good weight");
            }
        }
        self.law_2()
    }

    fn acquire(&mut self, demand: &Demand, model: &str, tokens: u64) -> Result<(), TestCaseError> {
        match self.pool.try_acquire(demand.clone()) {
            Ok(lease) => self.granted(lease, model, tokens)?,
            Err(error) => {
                self.none_was_ready(demand)?;
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains("not-a-real-key"), "law 9: {}", shown);
                self.trace.push(format!("none: {error}"));
            }
        }
        Ok(())
    }

    fn granted(&mut self, lease: Lease, model: &str, tokens: u64) -> Result<(), TestCaseError> {
        let (now, asked) = (self.now(), model);
        let model = self.lane(model);
        let key = key_of(lease.key_id());
        let (name, owner) = (lease.key_id().to_string(), self.owner(key));
        self.trace.push(name.clone());
        // Law 1: no scope that covers it rests.
        prop_assert!(!self.disabled[key] && self.present[key], "law 1: {} is disabled, or gone", name);
        let early = self.last[key].replace(now).is_some_and(|last| now.since(last) < interval(key));
        prop_assert!(!early, "{} started twice within its interval", name);
        for (scope, held, lane) in [
            (Scope::Key, &name, ""),
            (Scope::Owner, &owner, ""),
            (Scope::KeyLane, &name, model),
            (Scope::OwnerLane, &owner, model),
        ] {
            if let Some((until, _)) = self.rests.get(&(scope, held.clone(), lane.to_owned())) {
                prop_assert!(*until <= now, "law 1: {:?} {} rests until {:?}, now {:?}", scope, held, until, now);
            }
        }
        // Law 3: no span as long as a window holds more than its limit.
        let number = self.starts.note(&owner, model, now, tokens);
        let (count, sum) = self.starts.last(&owner, model, now, Duration::from_secs(60));
        prop_assert!(count <= PER_MINUTE, "law 3: {} starts of {} in 60 s", count, owner);
        prop_assert!(model != "flash" || sum <= TOKENS, "law 3: {} tokens of {} in 60 s", sum, owner);
        self.law_7(key, asked, tokens)?;
        let lifts = self.lifts.get(&owner).copied().unwrap_or_default();
        self.held.push(Held { lease, started: now, number, lane: model.to_owned(), lifts, anew: self.anew[key] });
        Ok(())
    }

    fn judge(&mut self, at: usize, verdict: usize, seconds: u64) -> Result<(), TestCaseError> {
        use VerdictKind as K;
        let Some(held) = self.held.get(at) else { return Ok(()) };
        let key = key_of(held.lease.key_id());
        let (name, owner, model) = (id(key).to_string(), self.owner(key), held.lane.clone());
        let pause = Duration::from_secs(seconds);
        let limited = |scope| Verdict::new(K::RateLimited).scope(scope).until(Until::For(pause));
        let verdict = match verdict {
            0..=2 => Verdict::SUCCESS,
            3 | 4 => limited(Scope::OwnerLane),
            5 => limited(Scope::Owner),
            6 => limited(Scope::KeyLane),
            7 => limited(Scope::Key),
            8 => Verdict::new(K::RateLimited).scope(Scope::KeyLane).unclear(),
            9 => Verdict::new(K::Transient).elsewhere(Elsewhere::AfterPause).unclear(),
            10 => Verdict::CANCELLED,
            _ => Verdict::new(K::CallerFault),
        };
        let before = self.standing();
        let of_the_secret = matches!(verdict.scope_of(), Scope::Key | Scope::KeyLane);
        let of_another = of_the_secret && held.anew != self.anew[key];
        let rested = if of_another { self.rest_end(verdict.scope_of(), key, &model) } else { None };
        let (started, lifted) = (held.started, held.lifts != self.lifts.get(&owner).copied().unwrap_or_default());
        if self.settles {
            self.held.swap_remove(at).lease.settle(&verdict);
        } else {
            held.lease.judge(&verdict);
        }
        if verdict.is_caller_fault() && !self.settles {
            prop_assert_eq!(before, self.standing(), "law 5: a caller's fault changes nothing about any key");
        }
        if let Until::For(pause) = verdict.until_of() {
            let until = self.now().plus(pause);
            let shown = self.rest_end(verdict.scope_of(), key, &model);
            if of_another {
                prop_assert_eq!(rested, shown, "what was said of another secret rests {}", id(key));
                return Ok(());
            }
            let (name, lane) = match verdict.scope_of() {
                Scope::OwnerLane => (owner, model),
                Scope::Owner => (owner, String::new()),
                Scope::KeyLane => (name, model),
                _ => (name, String::new()),
            };
            let place = (verdict.scope_of(), name, lane);
            if lifted {
                // Of an older generation: it may rest nothing, nor extend what rests since. The pool's word is taken.
                self.rests.remove(&place);
                self.rests.extend(shown.map(|end| (place, (end, started))));
                return Ok(());
            }
            let rest = self.rests.entry(place).or_insert((until, started));
            rest.0 = rest.0.max(until);
            let rests = !self.present[key] || shown.is_some_and(|end| end >= until);
            prop_assert!(rests, "law 1: {:?} of {} does not rest", verdict, id(key));
        }
        Ok(())
    }

    /// All leases end.
    pub(super) fn let_go(&mut self) -> Result<(), TestCaseError> {
        self.held.clear();
        prop_assert_eq!(self.pool.snapshot().in_flight, 0, "law 4");
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), TestCaseError> {
        self.let_go()?;
        let snapshot = self.pool.snapshot();
        prop_assert!(snapshot.keys.iter().all(|key| key.in_flight == 0), "law 4");
        let shown = serde_json::to_string(&snapshot).expect("a snapshot is JSON");
        prop_assert!(!shown.contains("not-a-real-key"), "law 9");
        // Law 4, seen from outside: after a rest everything that is not disabled serves again.
        self.time.advance(Duration::from_secs(200_000));
        for key in 0..KEYS {
            let demand = Demand::new("pro").affinity(Affinity::MustKey(id(key)));
            let serves = self.pool.try_acquire(demand).is_ok();
            let wanted = self.present[key] && !self.disabled[key];
            prop_assert_eq!(serves, wanted, "key-{} serves unless disabled, or gone", key);
        }
        Ok(())
    }
}
