//! A pool under faults, and what must hold after each of them.

mod checks;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::{
    super::model::{clock, provider},
    ops::{KEYS, Op, verdict},
    told::Told,
};
use crate::{
    Affinity, Attempt, Demand, Key, KeyId, KeyPool, Lease, Limits, ManualClock, Priority, Scope, Spill, Tick, Tier,
    Until, Usage, Verdict, pool::check::Check,
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
    // Over owners, accounts and priorities.
    let key = if n % 2 == 1 { key.exit("other") } else { key };
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
                        overfull: false,
                        elsewhere: verdict.elsewhere_of(),
                        until: verdict.until_of(),
                        unrested: false,
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
        demand.particulars.earlier = (!earlier.is_empty()).then(|| Arc::from(earlier.clone()));
        self.hear();
        let checks = self.checks(&demand);
        // What those of one priority are believed to have said of the request another is asked for at once, and so is
        // an owner that had what others have not.
        let sent_on = earlier.iter().any(Attempt::found_nothing) || self.pool.lock().conclusive(&demand).is_some();
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
                if !must && key >= 4 && !sent_on {
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
