//! A pool under faults, and what must hold after each of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::{
    super::model::{clock, provider},
    ops::{KEYS, Op, verdict},
    told::Told,
};
use crate::{
    Affinity, Attempt, Demand, Key, KeyId, KeyPool, Lease, Limits, ManualClock, Priority, Scope, Spill, Tick, Tier,
    Until, Usage, Verdict,
    limit::{Span, Unit},
    pool::{check::Check, rest::End, roster::NO_ACCOUNT},
};

const MODELS: [&str; 2] = ["flash", "pro"];
const TOKENS: u64 = 10_000;
const CONCURRENT: u16 = 3;

/// A start: in which lane, with how many tokens, and since when it counts (`None`: not yet on the wire).
struct Start {
    key: usize,
    model: usize,
    tokens: u64,
    at: Option<Tick>,
}

struct Held {
    lease: Lease,
    start: u64,
    model: usize,
    tokens: u64,
    earlier: Vec<Attempt>,
    /// Lifts of any kind before it was granted.
    lifts: u32,
    judged: bool,
}

pub(in super::super) struct Run {
    pool: KeyPool,
    time: ManualClock,
    held: Vec<Held>,
    starts: BTreeMap<u64, Start>,
    numbers: u64,
    told: Told,
    lifts: u32,
    secrets: u32,
    spill: Spill,
    patient: bool,
    pub(in super::super) trace: Vec<String>,
}

fn id(key: usize) -> KeyId {
    KeyId::from(format!("key-{key}"))
}

fn key_of(id: &KeyId) -> usize {
    id.to_string().trim_start_matches("key-").parse().expect("a key of this test")
}

/// Two keys of one owner, two of one account, three that come later; one has a tier of its own.
fn key(n: usize) -> Key {
    let key = Key::new(format!("AIza-not-a-real-key-{n:05}")).id(id(n)).max_concurrent(CONCURRENT);
    let key = key.priority(Priority(if n >= 4 { 10 } else { 0 }));
    match n {
        0 | 1 => key.owner("both"),
        2 | 3 => key.billing_account("account"),
        4 => key.tier(Tier::Paid).billing_account("account"),
        _ => key,
    }
}

impl Run {
    /// `spill`: the rule by which a later priority opens, and whether that takes time.
    pub(in super::super) fn new(strategy: usize, spill: usize) -> Self {
        let time = clock();
        let (rule, patient) = ([Spill::Limits, Spill::Any][spill % 2], spill >= 2);
        let pool = KeyPool::builder(provider())
            .keys((0..KEYS).map(key))
            .limits("flash", Limits::new().per_minute(5).tokens_per_minute(TOKENS))
            .tier_limits("flash", Tier::Paid, Limits::new().per_minute(2).tokens_per_minute(TOKENS))
            .strategy(crate::Strategy::NAMES[strategy].1)
            .spill(rule)
            .spill_after(Duration::from_secs(if patient { 5 } else { 0 }))
            .clock(time.clock())
            .build()
            .expect("a pool");
        let told = Told::new(pool.changes());
        Self {
            pool,
            time,
            held: Vec::new(),
            starts: BTreeMap::new(),
            numbers: 0,
            told,
            lifts: 0,
            secrets: 0,
            spill: rule,
            patient,
            trace: Vec::new(),
        }
    }

    fn now(&self) -> Tick {
        self.pool.clock().tick()
    }

    fn hear(&mut self) {
        let now = self.now();
        let state = self.pool.lock();
        let heard = self.told.hear(&state, now);
        self.lifts += heard.iter().filter(|event| event.starts_with("Recovered")).count() as u32;
        self.trace.extend(heard);
    }

    pub(in super::super) fn step(&mut self, op: &Op) -> Result<(), TestCaseError> {
        self.trace.push(format!("{op:?}"));
        match *op {
            Op::Acquire { model, tokens, must, ahead } => {
                let affinity = must.map_or(Affinity::Any, |key| Affinity::MustKey(id(key)));
                self.acquire(model, tokens, &affinity, ahead, Vec::new())?;
            }
            Op::Start { lease } => {
                if let Some(held) = self.held.get(lease) {
                    let now = self.pool.clock().tick();
                    let start = self.starts.get_mut(&held.start).expect("it was granted");
                    if start.at.is_none() && !held.judged {
                        held.lease.started();
                        start.at = Some(now);
                    }
                }
            }
            Op::Judge { lease, verdict: number, seconds, settles } => {
                if lease < self.held.len() {
                    self.judge(lease, &verdict(number, seconds))?;
                    if settles {
                        self.end(lease);
                    }
                }
            }
            Op::Retry { lease, verdict: number, seconds } => {
                if lease < self.held.len() {
                    let verdict = verdict(number, seconds);
                    self.judge(lease, &verdict)?;
                    let held = &self.held[lease];
                    let (model, tokens, mut earlier) = (held.model, held.tokens, held.earlier.clone());
                    let granted = held.lease.granted();
                    earlier.push(Attempt {
                        key: granted.key.clone(),
                        model: granted.model.clone(),
                        kind: verdict.kind(),
                        status: None,
                        code: verdict.code_of().to_owned(),
                        seq: granted.ticket,
                        named: verdict.is_named(),
                        worded: verdict.is_worded(),
                        elsewhere: verdict.elsewhere_of(),
                    });
                    self.end(lease);
                    self.acquire(model, tokens, &Affinity::Any, false, earlier)?;
                }
            }
            Op::Usage { lease } => {
                if let Some(held) = self.held.get(lease) {
                    held.lease.usage(Usage { input_tokens: Some(0), ..Usage::default() });
                    self.starts.get_mut(&held.start).expect("it was granted").tokens = 0;
                }
            }
            Op::Drop { lease } => {
                if lease < self.held.len() {
                    self.end(lease);
                }
            }
            Op::Advance { millis } => self.time.advance(Duration::from_millis(millis)),
            Op::Disable { key } => {
                self.pool.disable(&id(key), "BY_HAND").expect("a key of this test");
                self.hear();
                prop_assert!(self.try_key(key).is_err(), "key-{} was switched off", key);
            }
            Op::Enable { key } => {
                self.pool.enable(&id(key)).expect("a key of this test");
                self.hear();
                self.lift(key);
            }
            Op::Replace { key } => {
                self.secrets += 1;
                self.pool
                    .replace(&id(key), &format!("AIza-not-a-real-key-again-{:05}", self.secrets))
                    .expect("a new one");
                self.hear();
                self.lift(key);
            }
        }
        self.hear();
        self.counts()
    }

    fn try_key(&self, key: usize) -> Result<Lease, crate::Error> {
        self.pool.try_acquire(Demand::new("pro").affinity(Affinity::MustKey(id(key))))
    }

    fn lift(&mut self, key: usize) {
        self.lifts += 1;
        let state = self.pool.lock();
        let slot = state.roster.slot_of(&id(key)).expect("a key of this test");
        self.told.lifted(&state, slot);
    }

    fn acquire(
        &mut self,
        model: usize,
        tokens: u64,
        affinity: &Affinity,
        ahead: bool,
        earlier: Vec<Attempt>,
    ) -> Result<(), TestCaseError> {
        let must = !matches!(affinity, Affinity::Any);
        let mut demand = Demand::new(MODELS[model]).tokens(tokens).affinity(affinity.clone());
        demand.ahead = ahead;
        demand.earlier = (!earlier.is_empty()).then(|| Arc::from(earlier.clone()));
        self.hear();
        let checks = self.checks(&demand);
        match self.pool.try_acquire(demand.clone()) {
            Ok(lease) => {
                let key = key_of(lease.key_id());
                self.trace.push(format!("granted {}", lease.key_id()));
                let (ready, barred) = (&checks[key].0, checks[key].1);
                prop_assert!(
                    matches!(ready, Check::Ready(_)) && !barred,
                    "key-{} was {:?}, barred: {}",
                    key,
                    ready,
                    barred
                );
                self.law_1(&lease, model)?;
                if !must && key >= 4 {
                    self.law_7(key, &checks)?;
                }
                let now = self.now();
                self.numbers += 1;
                let at = (!ahead).then_some(now);
                self.starts.insert(self.numbers, Start { key, model, tokens, at });
                self.law_3(key, model)?;
                let (start, lifts) = (self.numbers, self.lifts);
                self.held.push(Held { lease, start, model, tokens, earlier, lifts, judged: false });
            }
            Err(error) => {
                self.trace.push(format!("none: {error}"));
                self.none_was_ready(&demand, &checks, affinity)?;
            }
        }
        Ok(())
    }

    /// How each key stands to a demand, and whether an earlier attempt bars it.
    fn checks(&self, demand: &Demand) -> Vec<(Check, bool)> {
        let now = self.pool.clock().now();
        let mut state = self.pool.lock();
        let ask = state.ask(demand, now);
        let excluded = state.excluded(demand);
        let slots: Vec<u32> = (0..KEYS).map(|key| state.roster.slot_of(&id(key)).expect("a key")).collect();
        let stands = |slot: u32| {
            let owner = state.roster.keys[slot as usize].owner;
            let barred = excluded.holds(slot, owner);
            (state.check(&ask, slot), barred)
        };
        slots.into_iter().map(stands).collect()
    }

    /// Nothing that covers the key rests, but what this very request probes; and of each there is one probe.
    fn law_1(&self, lease: &Lease, model: usize) -> Result<(), TestCaseError> {
        let now = self.pool.clock().now();
        let state = self.pool.lock();
        let slot = state.roster.slot_of(lease.key_id()).expect("a key of this test");
        let probes: Vec<Scope> = state.seats.get(lease.granted().seat).expect("it is out").probes.iter().collect();
        let lane = state.lane_of.get(MODELS[model]).expect("it was asked for");
        prop_assert!(!state.all_rest(lane, now), "law 1: the way out or the lane rests");
        for (rest, scope) in state.rests(lane, slot) {
            let Some(rest) = rest.filter(|rest| rest.is_active(now)) else { continue };
            prop_assert!(probes.contains(&scope), "law 1: {:?} rests: {:?}", scope, rest);
            prop_assert!(rest.probe.is_some_and(|probe| probe.out), "law 1: a second probe of {:?}", scope);
            let others = self.held.iter().filter(|held| {
                let theirs = state.roster.slot_of(held.lease.key_id()) == Some(slot);
                let cell = state.seats.get(held.lease.granted().seat).expect("it is out");
                let unjudged = !held.judged && held.lifts == self.lifts;
                theirs && scope == Scope::Key && unjudged && cell.probes.iter().any(|probed| probed == scope)
            });
            prop_assert_eq!(others.count(), 0, "law 1: two probes of {:?} are out", scope);
        }
        self.told.check(&state, slot, MODELS[model], &probes, now.tick)
    }

    /// What the owner started in the last minute is within what the pool knows of its limits.
    fn law_3(&self, key: usize, model: usize) -> Result<(), TestCaseError> {
        let now = self.now();
        let owner_of = |key: usize| {
            let state = self.pool.lock();
            let slot = state.roster.slot_of(&id(key)).expect("a key of this test");
            state.roster.keys[slot as usize].owner
        };
        let owner = owner_of(key);
        let of_owner: Vec<bool> = (0..KEYS).map(|key| owner_of(key) == owner).collect();
        let recent = self.starts.values().filter(|start| {
            let counts = start.at.is_none_or(|at| now.since(at) <= Duration::from_secs(60));
            start.model == model && of_owner[start.key] && counts
        });
        let (count, tokens) = recent.fold((0, 0), |(count, sum), start| (count + 1, sum + start.tokens));
        let snapshot = self.pool.snapshot();
        let lanes = &snapshot.keys.iter().find(|view| view.id == id(key)).expect("a key of this test").lanes;
        // What started in the other lane before its limit was learned is not known.
        let limits = lanes.iter().filter(|lane| model == 0 && lane.model.as_deref() == Some(MODELS[model]));
        for view in limits.flat_map(|lane| &lane.limits).filter(|view| view.limit.span == Span::MINUTE) {
            let used = if view.limit.unit == Unit::Requests { count } else { tokens };
            prop_assert!(used <= view.limit.amount, "law 3: {} of {} in a minute by {}", used, view.limit, id(key));
        }
        Ok(())
    }

    /// A key of the later priority serves only where the rule opens it.
    fn law_7(&self, key: usize, checks: &[(Check, bool)]) -> Result<(), TestCaseError> {
        prop_assert!(!self.patient, "law 7: key-{} serves a demand that does not wait", key);
        for (earlier, (check, barred)) in checks.iter().enumerate().take(4).filter(|(_, (_, barred))| !barred) {
            let waited_for = match self.spill {
                Spill::Any => matches!(check, Check::Ready(_)),
                Spill::Limits => matches!(check, Check::Ready(_) | Check::Busy(..)),
            };
            prop_assert!(!waited_for, "law 7: key-{} is {:?} ({}), yet key-{} serves", earlier, check, barred, key);
        }
        Ok(())
    }

    /// No key was passed over that could have carried it.
    fn none_was_ready(
        &self,
        demand: &Demand,
        checks: &[(Check, bool)],
        affinity: &Affinity,
    ) -> Result<(), TestCaseError> {
        let now = self.pool.clock().now();
        let mut state = self.pool.lock();
        let lane = state.lane(demand.model.as_ref());
        if state.all_rest(lane, now) {
            return Ok(());
        }
        drop(state);
        let ready = |key: &usize| matches!(checks[*key], (Check::Ready(_), false));
        let passed_over = if let Affinity::MustKey(wanted) = affinity {
            (0..KEYS).find(|key| id(*key) == *wanted && ready(key))
        } else {
            let busy = checks[..4].iter().any(|(check, barred)| !barred && matches!(check, Check::Busy(..)));
            let opens = !self.patient && (self.spill == Spill::Any || !busy);
            (0..if opens { KEYS } else { 4 }).find(ready)
        };
        prop_assert!(passed_over.is_none(), "{:?} was passed over", passed_over);
        Ok(())
    }

    fn judge(&mut self, at: usize, verdict: &Verdict) -> Result<(), TestCaseError> {
        let before = self.standing();
        let held = &mut self.held[at];
        let first = !std::mem::replace(&mut held.judged, true);
        held.lease.judge(verdict);
        let sure = held.lifts == self.lifts && held.earlier.is_empty();
        let (key, model) = (key_of(held.lease.key_id()), held.model);
        let start = self.starts.get_mut(&held.start).expect("it was granted");
        if first && start.at.is_none() && verdict.kind() != crate::VerdictKind::Cancelled {
            // It was answered.
            start.at = Some(self.pool.clock().tick());
        }
        if verdict.kind() == crate::VerdictKind::CallerFault {
            prop_assert_eq!(before, self.standing(), "law 5: a caller's fault changes nothing about any key");
        }
        let rests = !matches!(verdict.until_of(), Until::Now | Until::DayEnd) && verdict.scope_of() != Scope::Caller;
        if rests && sure && verdict.kind() != crate::VerdictKind::Overloaded {
            self.rests_now(key, model, verdict)?;
        }
        self.hear();
        Ok(())
    }

    /// A fault that nobody doubts rests whom it concerns, at once.
    fn rests_now(&self, key: usize, model: usize, verdict: &Verdict) -> Result<(), TestCaseError> {
        let now = self.pool.clock().now();
        let state = self.pool.lock();
        let slot = state.roster.slot_of(&id(key)).expect("a key of this test");
        let lane = state.lane_of.get(MODELS[model]).expect("it was asked for");
        let scope = match verdict.scope_of() {
            Scope::Lane | Scope::Exit => {
                prop_assert!(state.all_rest(lane, now), "law 1: {:?} rests nobody", verdict);
                return Ok(());
            }
            Scope::BillingAccount
                if state.roster.owners[state.roster.keys[slot as usize].owner as usize].account == NO_ACCOUNT =>
            {
                Scope::Owner
            }
            scope => scope,
        };
        let rests = state.rests(lane, slot);
        let rest = rests.into_iter().find(|(_, of)| *of == scope).and_then(|(rest, _)| rest);
        let rest = rest.filter(|rest| rest.is_active(now));
        prop_assert!(rest.is_some(), "law 1: {:?} of key-{} does not rest for {:?}", scope, key, verdict);
        if let (Some(rest), Until::For(pause)) = (rest, verdict.until_of()) {
            let longer = rest.held || rest.end == End::Never || rest.end.tick(now) >= now.tick.plus(pause);
            prop_assert!(longer, "law 1: {:?} rests less than {:?}", rest, pause);
        }
        Ok(())
    }

    fn end(&mut self, at: usize) {
        let held = self.held.swap_remove(at);
        if self.starts[&held.start].at.is_none() {
            // It never went out.
            self.starts.remove(&held.start);
        }
    }

    fn standing(&self) -> Vec<String> {
        let view = |key: &crate::KeyView| format!("{} {:?} {:?} {}", key.id, key.state, key.rests, key.current_weight);
        self.pool.snapshot().keys.iter().map(view).collect()
    }

    fn counts(&self) -> Result<(), TestCaseError> {
        for key in 0..KEYS {
            let out = self.held.iter().filter(|held| *held.lease.key_id() == id(key)).count();
            prop_assert!(out <= usize::from(CONCURRENT), "law 2: {} requests in flight on key-{}", out, key);
        }
        prop_assert_eq!(self.pool.snapshot().in_flight, self.held.len(), "law 4");
        Ok(())
    }

    /// At the end all comes back: by itself, or by hand.
    pub(in super::super) fn finish(mut self) -> Result<(), TestCaseError> {
        self.held.clear();
        prop_assert_eq!(self.pool.snapshot().in_flight, 0, "law 4");
        self.time.advance(Duration::from_secs(40 * 86_400));
        for key in 0..KEYS {
            self.pool.enable(&id(key)).expect("a key of this test");
        }
        for key in 0..KEYS {
            prop_assert!(self.try_key(key).is_ok(), "key-{} serves once it was enabled", key);
        }
        let shown = serde_json::to_string(&self.pool.snapshot()).expect("a snapshot is JSON");
        prop_assert!(!shown.contains("not-a-real-key"), "law 9");
        Ok(())
    }
}
