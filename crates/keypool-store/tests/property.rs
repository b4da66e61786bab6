//! Several processes on one store never exceed a limit, and are refused only when a limit is full.

mod storage;

use std::{collections::HashMap, sync::Arc, time::Duration};

use keypool_store::conformance::{Storage, Time, ZONE, candidate, used};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use redis_fixture::RedisServer;
use tower_keypool::{
    Limit, Limits, Span, Unit,
    store::{Amounts, Candidate, Day, Granted, MIDNIGHT_GUARD, ReserveRequest, Store},
};

const PROCESSES: usize = 3;
const QUOTAS: usize = 2;

/// How long a reservation can be used.
const HOLD_MS: i64 = 1_000;

/// The first moments of an ordinary day, and of days with 23 and 25 hours.
const MIDNIGHTS_MS: [i64; 3] = [1_768_550_400_000, 1_772_956_800_000, 1_793_516_400_000];

#[derive(Clone, Debug)]
enum Step {
    /// A process reserves a request and sends it some time later, if the reservation is still usable.
    Reserve {
        process: usize,
        first: usize,
        tokens: u64,
        sent_after: i64,
        used_tokens: u64,
    },
    /// A process records the usage of its requests.
    Correct {
        process: usize,
    },
    /// A process is killed, and another one started.
    Kill {
        process: usize,
    },
    Pass {
        millis: i64,
    },
    /// Time passes until the last refused request may have room.
    PassUntilOpen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = 0..PROCESSES;
    let millis = prop_oneof![4 => 0..50_i64, 3 => 0..3_000_i64, 2 => 0..30_000_i64, 1 => 0..70_000_i64];
    let sent_after = prop_oneof![Just(0), Just(HOLD_MS), 0..1_300_i64];
    let reserve = (process.clone(), 0..QUOTAS, 0..60_u64, sent_after, 0..60_u64).prop_map(
        |(process, first, tokens, sent_after, used_tokens)| Step::Reserve {
            process,
            first,
            tokens,
            sent_after,
            used_tokens,
        },
    );
    let step = prop_oneof![
        6 => reserve,
        1 => process.clone().prop_map(|process| Step::Correct { process }),
        1 => process.prop_map(|process| Step::Kill { process }),
        3 => millis.prop_map(|millis| Step::Pass { millis }),
        2 => Just(Step::PassUntilOpen),
    ];
    prop::collection::vec(step, 20..80)
}

/// The start of a schedule: noon, or shortly before or after midnight.
fn starts_ms() -> impl Strategy<Value = i64> {
    let midnight = (prop::sample::select(&MIDNIGHTS_MS), prop_oneof![-20_000..0_i64, -40_000..40_000_i64]);
    prop_oneof![1 => Just(storage::START_MS), 3 => midnight.prop_map(|(midnight, from)| midnight + from)]
}

fn limits() -> impl Strategy<Value = Limits> {
    let span = prop_oneof![Just(1_000), Just(7_300), Just(60_000), Just(600_000)];
    let sliding = (span, 1..5_u64, prop_oneof![Just(Unit::Requests), Just(Unit::InputTokens)]).prop_map(
        |(span, amount, unit)| {
            let amount = if unit == Unit::Requests { amount } else { 60 * amount };
            Limit { unit, span: Span::Sliding(Duration::from_millis(span)), amount }
        },
    );
    let daily = (1..5_u64).prop_map(|amount| Limit { unit: Unit::Requests, span: Span::Day, amount });
    let some = prop::collection::vec(prop_oneof![sliding, daily], 1..3);
    some.prop_map(|limits| limits.into_iter().fold(Limits::new(), Limits::with))
}

/// A grant, as the oracle sees it.
struct Grant {
    quota: usize,
    at_ms: i64,
    /// Days that may count the request.
    dates: [i32; 2],
    /// Time of sending; `None` if the request was never sent.
    sent_ms: Option<i64>,
    reserved: Amounts,
    used: Amounts,
    corrected: bool,
    process: usize,
    granted: Granted,
}

fn date(at_ms: i64) -> i32 {
    Day::at(ZONE, at_ms).unwrap().date
}

/// Returns the days that may count a request granted at this time.
fn dates(at_ms: i64) -> [i32; 2] {
    [date(at_ms - MIDNIGHT_GUARD.as_millis() as i64), date(at_ms + HOLD_MS)]
}

/// Reports whether the requests sent in any span stay within the limit.
fn is_respected(limit: &Limit, grants: &[&Grant]) -> bool {
    let sent = grants.iter().filter_map(|grant| {
        // Usage beyond the estimate is not the store's fault.
        let amount = grant.used.of(limit.unit).min(grant.reserved.of(limit.unit));
        Some((grant.sent_ms?, amount))
    });
    let sent: Vec<_> = sent.collect();
    match limit.span {
        Span::Sliding(span) => sent.iter().all(|(end, _)| {
            let within = |at: i64| at <= *end && at > end - span.as_millis() as i64;
            sent.iter().filter(|(at, _)| within(*at)).map(|(_, amount)| amount).sum::<u64>() <= limit.amount
        }),
        // The provider's midnight may be later.
        _ => [0, 10_000, MIDNIGHT_GUARD.as_millis() as i64 - 1].into_iter().all(|later| {
            let mut days: HashMap<i32, u64> = HashMap::new();
            for (at, amount) in &sent {
                *days.entry(date(*at - later)).or_default() += amount;
            }
            days.values().all(|used| *used <= limit.amount)
        }),
    }
}

/// Reports whether a limit may still count as full, at the latest time that a store is allowed.
fn may_refuse(limit: &Limit, cost: &Amounts, grants: &[&Grant], now_ms: i64) -> bool {
    let amount = cost.needed(limit.unit);
    let counted = |grant: &Grant| {
        let (reserved, used) = (grant.reserved.of(limit.unit), grant.used.of(limit.unit));
        // A correction may concern one of two days.
        let certain = grant.corrected && limit.span != Span::Day;
        if certain {
            used
        } else if grant.corrected {
            used.max(reserved)
        } else {
            reserved
        }
    };
    let sum = |counts: &dyn Fn(&Grant) -> bool| -> u64 {
        grants.iter().filter(|grant| counts(grant)).map(|grant| counted(grant)).sum()
    };
    let counts = if let Span::Sliding(span) = limit.span {
        let span = span.as_millis() as i64;
        let lasts = HOLD_MS + span / 240 + span + (span / 64 + 1).min(250) + 1;
        sum(&|grant| now_ms < grant.at_ms + lasts)
    } else {
        let [earlier, later] = dates(now_ms).map(|date| sum(&|grant| grant.dates.contains(&date)));
        earlier.max(later)
    };
    amount > 0 && counts + amount > limit.amount
}

struct Schedule<'a, S> {
    storage: &'a S,
    processes: Vec<Arc<dyn Store>>,
    candidates: Vec<Candidate>,
    grants: Vec<Grant>,
    opens_in: Duration,
}

impl<S: Storage> Schedule<'_, S> {
    fn of(&self, quota: usize) -> Vec<&Grant> {
        self.grants.iter().filter(|grant| grant.quota == quota).collect()
    }

    async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let time: &Time = self.storage.time();
        match *step {
            Step::Pass { millis } => time.advance(Duration::from_millis(millis as u64)),
            Step::PassUntilOpen => time.advance(std::mem::take(&mut self.opens_in)),
            Step::Kill { process } => {
                self.processes[process] = self.storage.open().await;
                // Requests that the process did not correct stay reserved.
                self.grants
                    .iter_mut()
                    .filter(|grant| grant.process == process)
                    .for_each(|grant| grant.process = PROCESSES);
            }
            Step::Correct { process } => {
                let mut records = Vec::new();
                for grant in &mut self.grants {
                    if grant.process == process && !grant.corrected {
                        grant.corrected = true;
                        records.push(used(&self.candidates[grant.quota], grant.granted, grant.reserved, grant.used));
                    }
                }
                self.processes[process].record(records).await.unwrap();
            }
            Step::Reserve { process, first, tokens, sent_after, used_tokens } => {
                let quotas: Vec<usize> = (first..QUOTAS).chain(0..first).collect();
                let candidates = quotas.iter().map(|quota| self.candidates[*quota].clone()).collect();
                let cost = Amounts { requests: 1, input_tokens: tokens, ..Amounts::default() };
                let now_ms = time.now_ms();
                let reserved = self.processes[process].reserve(ReserveRequest { candidates, cost }).await.unwrap();
                let refused = reserved.granted.map_or(quotas.len(), |granted| granted.candidate);
                prop_assert_eq!(reserved.opens_in.len(), refused);
                self.opens_in = reserved.opens_in.iter().min().copied().unwrap_or_default();
                for quota in &quotas[..refused] {
                    let (limits, grants) = (&self.candidates[*quota].limits, self.of(*quota));
                    let full = limits.iter().any(|limit| may_refuse(limit, &cost, &grants, now_ms));
                    prop_assert!(full, "refused with room: quota {} at {}", quota, now_ms);
                }
                if let Some(granted) = reserved.granted {
                    let sent = sent_after <= granted.usable_for.as_millis() as i64;
                    let used = Amounts { requests: 1, input_tokens: used_tokens, ..Amounts::default() };
                    self.grants.push(Grant {
                        quota: quotas[granted.candidate],
                        at_ms: now_ms,
                        dates: dates(now_ms),
                        sent_ms: sent.then_some(now_ms + sent_after),
                        reserved: cost,
                        used: if sent { used } else { Amounts::default() },
                        corrected: false,
                        process,
                        granted,
                    });
                }
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (quota, candidate) in self.candidates.iter().enumerate() {
            let grants = self.of(quota);
            for limit in &candidate.limits {
                let sent: Vec<_> = grants.iter().map(|grant| (grant.at_ms, grant.sent_ms, grant.reserved)).collect();
                prop_assert!(is_respected(limit, &grants), "over {}: {:?}", limit, sent);
            }
        }
        Ok(())
    }
}

async fn run<S: Storage>(storage: &S, limits: &[Limits], steps: &[Step]) -> Result<(), TestCaseError> {
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(storage.open().await);
    }
    let named = limits.iter().enumerate();
    let candidates = named.map(|(at, limits)| candidate(&format!("quota-{at}"), limits)).collect();
    let mut schedule = Schedule { storage, processes, candidates, grants: Vec::new(), opens_in: Duration::ZERO };
    for step in steps {
        schedule.step(step).await?;
    }
    schedule.check()
}

/// Runs schedules, each on its own storage that starts at the given time.
fn enforces_limits_exactly<S: Storage>(storage: impl AsyncFn(i64) -> S) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let limits = prop::collection::vec(limits(), QUOTAS);
    let result = runner.run(&(starts_ms(), limits, steps()), |(start_ms, limits, steps)| {
        runtime.block_on(async { run(&storage(start_ms).await, &limits, &steps).await })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn redis_never_exceeds_a_limit_and_refuses_only_at_full_limits() {
    let Some(server) = RedisServer::start().map(Arc::new) else { return };
    enforces_limits_exactly(async |start_ms| storage::Redis::on(&server, start_ms).await);
}

#[test]
fn sqlite_never_exceeds_a_limit_and_refuses_only_at_full_limits() {
    enforces_limits_exactly(async |start_ms| storage::Sqlite::at(start_ms));
}
