//! Property tests of random operations on a pool with a manual clock: after each one the invariants are checked.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use proptest::prelude::{Strategy as Values, TestCaseError, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{
    config,
    oracle::{Asked, Given, MINUTE, Options, Oracle},
};
use crate::{
    Affinity, ErrorClass, Failure, Key, KeyId, KeyPool, Lease, Limit, Limits, ManualClock, OpenAi, Outcome, Span,
    Strategy, Unit, Usage, pool::KeyRequest,
};

const KEYS: usize = 4;
/// Two models with limits, a known one without, and one that is unknown until a response names it.
const MODELS: [&str; 4] = ["small", "large", "known", "unknown"];

#[derive(Clone, Debug)]
enum Op {
    Acquire { model: usize, tokens: u64, excluded: Option<usize>, only: Option<usize> },
    Success(usize),
    Fail(usize, ErrorClass, Option<u64>),
    Learn(usize, u64),
    Use(usize, u64),
    Drop(usize),
    GiveBack(usize),
    Wait(u64),
    Put(usize, Options),
    Remove(usize),
    Disable(usize),
    Enable(usize),
}

fn options() -> impl Values<Value = Options> {
    (
        0..3u8,
        prop::option::weighted(0.3, 1..4u32),
        0..2u16,
        prop::option::weighted(0.1, 1_000..9_000u64),
        prop::option::weighted(0.1, prop::sample::select(&MODELS[..])),
    )
        .prop_map(|(project, most, priority, interval, only_model)| Options {
            project,
            most,
            priority,
            interval,
            only_model,
        })
}

fn op() -> impl Values<Value = Op> {
    let lease = || 0..8usize;
    let class = prop::sample::select(vec![
        ErrorClass::RateLimit,
        ErrorClass::RateLimit,
        ErrorClass::KeyRejected,
        ErrorClass::Unclear,
        ErrorClass::Unclear,
        ErrorClass::NotEntitled,
        ErrorClass::Caller,
        ErrorClass::ModelNotFound,
    ]);
    let wait = prop_oneof![
        4 => 1..50u64,
        4 => 50..10_000u64,
        3 => 10_000..70_000u64,
        1 => 70_000..400_000u64,
        1 => 3_000_000..90_000_000u64,
    ];
    let named = prop::option::of(prop_oneof![1..20_000u64, 20_000..200_000u64]);
    let only = prop::option::weighted(0.1, 0..KEYS);
    prop_oneof![
        12 => (0..MODELS.len(), 1..60u64, prop::option::weighted(0.2, 0..KEYS), only).prop_map(
            |(model, tokens, excluded, only)| Op::Acquire { model, tokens, excluded, only }
        ),
        4 => lease().prop_map(Op::Success),
        4 => (lease(), class, named).prop_map(|(lease, class, named)| Op::Fail(lease, class, named)),
        1 => (lease(), 1..6u64).prop_map(|(lease, limit)| Op::Learn(lease, limit)),
        2 => (lease(), 0..90u64).prop_map(|(lease, tokens)| Op::Use(lease, tokens)),
        6 => lease().prop_map(Op::Drop),
        1 => lease().prop_map(Op::GiveBack),
        8 => wait.prop_map(Op::Wait),
        1 => (0..KEYS, options()).prop_map(|(key, options)| Op::Put(key, options)),
        1 => (0..KEYS).prop_map(Op::Remove),
        1 => (0..KEYS).prop_map(Op::Disable),
        2 => (0..KEYS).prop_map(Op::Enable),
    ]
}

fn id(key: usize) -> KeyId {
    format!("k{key}").as_str().into()
}

fn key(number: usize, options: &Options) -> Key {
    let mut key = Key::new(format!("sk-not-a-real-key-{number:04}"))
        .named(id(number))
        .project(format!("p{}", options.project))
        .priority(options.priority);
    if let Some(most) = options.most {
        key = key.max_concurrent(most);
    }
    if let Some(interval) = options.interval {
        key = key.min_interval(Duration::from_millis(interval));
    }
    match options.only_model {
        Some(model) => key.models([model]),
        None => key,
    }
}

/// A pool and its oracle.
struct Both {
    pool: KeyPool,
    time: ManualClock,
    leases: Vec<Lease>,
    oracle: Oracle,
    chosen: Vec<Option<usize>>,
}

impl Both {
    fn new(strategy: Strategy, limits: [Given; 2], first: &[Options]) -> Self {
        let morning = 20 * 60 * MINUTE;
        let time = ManualClock::new(UNIX_EPOCH + Duration::from_millis(86_400_000 * 20_000 + morning));
        let mut builder = KeyPool::builder(OpenAi::new()).strategy(strategy).clock(time.clock()).allow_empty();
        let mut given = BTreeMap::new();
        for (model, limit) in MODELS.into_iter().zip(limits) {
            let limits = Limits::new().per_minute(limit.requests).tokens_per_minute(limit.tokens).per_day(limit.day);
            builder = builder.limits(model, limits);
            given.insert(model, limit);
        }
        let builder = builder.limits("known", Limits::new());
        let mut oracle = Oracle::new(given, morning);
        let pool =
            builder.keys(first.iter().enumerate().map(|(number, options)| key(number, options))).build().unwrap();
        for (number, options) in first.iter().enumerate() {
            oracle.put(number, options.clone());
        }
        Self { pool, time, leases: Vec::new(), oracle, chosen: Vec::new() }
    }

    fn run(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let held = |lease: usize, leases: &Vec<Lease>| (!leases.is_empty()).then(|| lease % leases.len());
        match op.clone() {
            Op::Acquire { model, tokens, excluded, only } => {
                let asked = Asked { model: MODELS[model], tokens, excluded: excluded.into_iter().collect(), only };
                self.acquire(&asked)?;
            }
            Op::Success(lease) => {
                if let Some(at) = held(lease, &self.leases) {
                    self.leases[at].report(&Outcome::Success);
                    self.oracle.succeeded(at);
                }
            }
            Op::Fail(lease, class, named) => {
                if let Some(at) = held(lease, &self.leases) {
                    let before = (!class.is_key_fault()).then(|| self.view());
                    let failure = Failure::new(class);
                    let failure = match named {
                        Some(named) => failure.with_retry_after(Duration::from_millis(named)),
                        None => failure,
                    };
                    self.leases[at].report(&failure.into());
                    self.oracle.failed(at, class, named);
                    // A caller's fault changes no state.
                    if let Some(before) = before {
                        prop_assert_eq!(before, self.view());
                    }
                }
            }
            Op::Learn(lease, limit) => {
                if let Some(at) = held(lease, &self.leases) {
                    self.leases[at].learn(&[Limit { unit: Unit::Requests, span: Span::MINUTE, amount: limit }]);
                    self.oracle.learned(at, limit);
                }
            }
            Op::Use(lease, tokens) => {
                if let Some(at) = held(lease, &self.leases) {
                    self.leases[at].report_usage(Usage::new(tokens, 0));
                    self.oracle.leases[at].used = Some(tokens);
                }
            }
            Op::Drop(lease) => {
                if let Some(at) = held(lease, &self.leases) {
                    drop(self.leases.remove(at));
                    self.oracle.ended(at, true);
                }
            }
            Op::GiveBack(lease) => {
                if let Some(at) = held(lease, &self.leases) {
                    self.leases.remove(at).give_back();
                    self.oracle.ended(at, false);
                }
            }
            Op::Wait(millis) => {
                self.time.advance(Duration::from_millis(millis));
                self.oracle.now += millis;
            }
            Op::Put(number, options) => {
                self.pool.put(key(number, &options)).unwrap();
                self.oracle.put(number, options);
            }
            Op::Remove(key) => {
                prop_assert_eq!(self.pool.remove(&id(key)).is_ok(), self.oracle.has(key));
                self.oracle.remove(key);
            }
            Op::Disable(key) => {
                if self.pool.disable(&id(key), "by hand").is_ok() {
                    self.oracle.disable(key);
                }
            }
            Op::Enable(key) => {
                if self.pool.enable(&id(key)).is_ok() {
                    self.oracle.enable(key);
                }
            }
        }
        self.check()
    }

    fn acquire(&mut self, asked: &Asked) -> Result<(), TestCaseError> {
        let mut request = KeyRequest::model(asked.model)
            .input_tokens(asked.tokens)
            .exclude(asked.excluded.iter().map(|key| id(*key)));
        if let Some(only) = asked.only {
            request = request.affinity(Affinity::RequireKey(id(only)));
        }
        let able: Vec<_> = self.oracle.keys().into_iter().filter(|key| self.oracle.must_serve(*key, asked)).collect();
        let lease = match self.pool.try_acquire(request) {
            Ok(lease) => lease,
            Err(error) => {
                prop_assert!(able.is_empty(), "{able:?} could serve {asked:?}: {error}");
                self.chosen.push(None);
                return Ok(());
            }
        };
        let key: usize = lease.key().as_str()[1..].parse().unwrap();
        let forbidden = self.oracle.forbids(key, asked);
        prop_assert!(forbidden.is_none(), "{key} must not serve {asked:?}: {forbidden:?}");
        let priority = self.oracle.options(key).priority;
        let earlier = able.iter().find(|able| self.oracle.options(**able).priority < priority);
        prop_assert!(earlier.is_none(), "{key} serves {asked:?} though {earlier:?} is ready");
        self.oracle.granted(key, asked);
        self.leases.push(lease);
        self.chosen.push(Some(key));
        Ok(())
    }

    /// Returns the snapshot without the counters, as text.
    fn view(&self) -> String {
        let mut snapshot = self.pool.snapshot(0, usize::MAX);
        snapshot.stats = crate::pool::Stats::default();
        format!("{snapshot:?}")
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let stats = self.pool.stats();
        prop_assert_eq!(stats.in_flight as usize, self.leases.len());
        let snapshot = self.pool.snapshot(0, usize::MAX);
        prop_assert_eq!(snapshot.keys.len(), self.oracle.keys().len());
        for view in &snapshot.keys {
            let key: usize = view.id.as_str()[1..].parse().unwrap();
            prop_assert_eq!(view.in_flight as usize, self.oracle.in_flight(key));
            prop_assert_eq!(view.project.to_string(), format!("p{}", self.oracle.options(key).project));
        }
        Ok(())
    }
}

fn given() -> impl Values<Value = [Given; 2]> {
    let given = || (1..6u64, 50..200u64, 5..60u64).prop_map(|(requests, tokens, day)| Given { requests, tokens, day });
    [given(), given()]
}

fn strategy() -> impl Values<Value = Strategy> {
    prop::sample::select(&Strategy::ALL[..])
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_key_serves_if_and_only_if_nothing_forbids_it(
        strategy in strategy(),
        limits in given(),
        first in prop::collection::vec(options(), 1..=KEYS),
        ops in prop::collection::vec(op(), 1..160),
    ) {
        let mut both = Both::new(strategy, limits, &first);
        for op in &ops {
            both.run(op)?;
        }
        // Every lease ends exactly once.
        both.leases.clear();
        prop_assert_eq!(both.pool.stats().in_flight, 0);
        prop_assert!(both.pool.snapshot(0, KEYS).keys.iter().all(|key| key.in_flight == 0));
    }

    #[test]
    fn the_same_operations_choose_the_same_keys(
        strategy in strategy(),
        limits in given(),
        first in prop::collection::vec(options(), 1..=KEYS),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let run = || {
            let mut both = Both::new(strategy, limits, &first);
            for op in &ops {
                both.run(op).unwrap();
            }
            both.chosen
        };
        prop_assert_eq!(run(), run());
    }
}
