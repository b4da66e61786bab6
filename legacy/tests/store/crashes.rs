//! Whatever happens, and whenever a process breaks off: no limit is ever exceeded, and soon all of it is there again.

use std::time::Duration;

use proptest::prelude::*;
use tower_keypool::{Clock, Demand, KeyPool, KeyPoolBuilder, Lease, Limits, Tick};

use crate::{
    machine::{Machine, Process, Writes, room},
    support::{FLASH, builder, key},
};

const A_MINUTE: usize = 10;
const TOKENS: u64 = 10_000;

#[derive(Clone, Debug)]
enum Step {
    /// So many requests at once, each of so many tokens.
    Ask(usize, u64),
    /// Time passes, in ms.
    Pass(u64),
    /// The task that writes has its turn, and as long as its pause.
    Write,
    /// From now on this becomes of writes.
    Writes(Writes),
    /// Leases that are out end.
    End,
    /// The process is gone from one moment to the next, and another begins.
    Crash,
    /// It ends as it should, and another begins.
    Restart,
    /// The next process finds the wall clock late by so many seconds.
    CrashLate(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..6_usize, 0..2_000_u64).prop_map(|(count, tokens)| Step::Ask(count, tokens)),
        4 => (0..8_000_u64).prop_map(Step::Pass),
        4 => Just(Step::Write),
        1 => prop_oneof![Just(Writes::Unanswered), Just(Writes::Lost)].prop_map(Step::Writes),
        2 => Just(Step::End),
        2 => Just(Step::Crash),
        1 => Just(Step::Restart),
        1 => (1..7_200_u64).prop_map(Step::CrashLate),
    ]
}

/// When each request started, of which key, and how many tokens it took.
type Starts = Vec<(Tick, String, u64)>;

fn pool() -> KeyPoolBuilder {
    builder()
        .keys((0..2).map(key))
        .limits(FLASH, Limits::new().per_minute(A_MINUTE as u64).tokens_per_minute(TOKENS).per_day(1_000))
}

fn ask(pool: &KeyPool, count: usize, tokens: u64, clock: &Clock, starts: &mut Starts, leases: &mut Vec<Lease>) {
    for _ in 0..count {
        if let Ok(lease) = pool.try_acquire(Demand::new(FLASH).tokens(tokens)) {
            starts.push((clock.tick(), lease.key_id().to_string(), tokens));
            leases.push(lease);
        }
    }
}

async fn write() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

fn assert_within_limits(starts: &Starts) {
    for (first, key, _) in starts {
        let of_minute =
            |(at, of, _): &&(Tick, String, u64)| of == key && at >= first && at.since(*first) < Duration::from_secs(60);
        let within: Vec<_> = starts.iter().filter(of_minute).collect();
        let tokens: u64 = within.iter().map(|start| start.2).sum();
        assert!(within.len() <= A_MINUTE, "{} starts of {key} in a minute", within.len());
        assert!(tokens <= TOKENS, "{tokens} tokens of {key} in a minute");
    }
}

async fn play(steps: Vec<Step>) {
    let machine = Machine::new();
    let clock = machine.time.clock();
    let (mut starts, mut leases) = (Starts::new(), Vec::new());
    let mut running = machine.process(pool()).await;
    for step in steps {
        match step {
            Step::Ask(count, tokens) => ask(&running.pool, count, tokens, &clock, &mut starts, &mut leases),
            Step::Pass(ms) => machine.time.advance(Duration::from_millis(ms)),
            Step::Write => write().await,
            Step::Writes(writes) => running.store.set(writes),
            Step::End => leases.clear(),
            Step::Crash => running = crash(&machine, running, &mut leases).await,
            Step::CrashLate(seconds) => {
                machine.time.set_wall(clock.wall() - Duration::from_secs(seconds));
                running = crash(&machine, running, &mut leases).await;
            }
            Step::Restart => {
                leases.clear();
                running.pool.shutdown().await;
                running = machine.process(pool()).await;
            }
        }
    }
    assert_within_limits(&starts);
    // A minute and its guard later all is there again.
    let last = crash(&machine, running, &mut leases).await;
    machine.time.advance(Duration::from_millis(60_300));
    assert_eq!(room(&last.pool, FLASH).await, 2 * A_MINUTE);
}

async fn crash(machine: &Machine, running: Process, leases: &mut Vec<Lease>) -> Process {
    running.crash();
    leases.clear();
    machine.process(pool()).await
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #[test]
    fn no_crash_lets_more_through_than_a_limit_allows(steps in prop::collection::vec(step(), 1..60)) {
        paused().block_on(play(steps));
    }
}

#[test]
fn a_thousand_crashes_in_a_row() {
    let mut steps = Vec::new();
    for n in 0..1_000 {
        steps.extend([Step::Ask(3, 100), Step::Pass(n % 700), Step::Crash]);
    }
    paused().block_on(play(steps));
}
