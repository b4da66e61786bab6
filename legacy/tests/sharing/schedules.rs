//! Random schedules of what goes wrong between processes, judged by what would have arrived at the provider.
//! `SHARING_CASES=2000 cargo test --release --all-features --test sharing schedules` searches for more.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proptest::{prelude::*, test_runner::RngSeed};
use tower_keypool::{Affinity, Clock, Demand, Key, KeyPool, KeyPoolBuilder, Limits, Tick, Verdict};

use crate::host::{FLASH, Host, PRO, Process, Way, builder, key, pass, paused};

#[derive(Clone, Debug)]
enum Step {
    /// So many requests at once, of so many tokens each, that wait so long for a key (ms) and so long for the wire (ms).
    Ask { who: usize, lane: &'static str, count: usize, tokens: u64, wait: u64, wire: u64 },
    /// Time passes, in ms.
    Pass(u64),
    /// From now on this becomes of what a process says, for so long (ms).
    Way(usize, Way, u64),
    /// The process is gone from one moment to the next, and another life begins.
    Crash(usize),
    /// It ends as it should, and another life begins.
    Restart(usize),
    /// The process cannot reach anybody, and another takes its name.
    Replace(usize),
}

fn step(processes: usize) -> impl Strategy<Value = Step> {
    let who = 0..processes;
    let ways = prop_oneof![Just(Way::Deaf), Just(Way::Cut), Just(Way::Slow)];
    let wire = prop_oneof![6 => 0..50_u64, 2 => 0..3_000_u64, 1 => 0..30_000_u64];
    prop_oneof![
        12 => (who.clone(), any::<bool>(), 1..20_usize, 0..2_000_u64, 0..3_000_u64, wire).prop_map(
            |(who, other, count, tokens, wait, wire)| {
                let lane = if other { PRO } else { FLASH };
                Step::Ask { who, lane, count, tokens, wait, wire }
            }
        ),
        10 => (1..12_000_u64).prop_map(Step::Pass),
        3 => (who.clone(), ways, 1..30_000_u64).prop_map(|(who, way, ms)| Step::Way(who, way, ms)),
        2 => who.clone().prop_map(Step::Crash),
        1 => who.clone().prop_map(Step::Restart),
        1 => who.prop_map(Step::Replace),
    ]
}

#[derive(Clone, Debug)]
struct Schedule {
    noting: bool,
    owners: usize,
    processes: usize,
    a_minute: u64,
    a_day: Option<u64>,
    tokens: Option<u64>,
    /// What a key allows by itself, in both lanes: requests at a time, and ms between two.
    own: Option<(u16, u64)>,
    steps: Vec<Step>,
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let own = prop::option::of((1..4_u16, prop_oneof![Just(0), 50..400_u64]));
    let limits = (1..40_u64, prop::option::of(20..120_u64), prop::option::of(2_000..20_000_u64), own);
    (any::<bool>(), 1..5_usize, 1..5_usize, limits).prop_flat_map(
        |(noting, owners, processes, (a_minute, a_day, tokens, own))| {
            prop::collection::vec(step(processes), 1..70).prop_map(move |steps| Schedule {
                noting,
                owners,
                processes,
                a_minute,
                a_day,
                tokens,
                own,
                steps,
            })
        },
    )
}

/// How long the provider takes.
const SERVED: Duration = Duration::from_millis(300);

/// Who reaches the wire later than this after the grant is not held to the time between two, which counts from the grant.
const SOON: Duration = Duration::from_millis(50);

/// What arrived: when, in which lane, with which key, how many tokens, and how long after the grant.
type Arrivals = Arc<Mutex<Vec<(Tick, &'static str, String, u64, Duration)>>>;

/// A process in one of its lives.
struct Living {
    name: String,
    process: Process,
    alive: Arc<AtomicBool>,
}

struct World {
    host: Host,
    schedule: Schedule,
    processes: Vec<Living>,
    lives: u64,
    arrivals: Arrivals,
}

impl World {
    async fn begin(schedule: Schedule) -> Self {
        let mut world = Self {
            host: Host::new(schedule.noting),
            processes: Vec::new(),
            lives: 0,
            arrivals: Arrivals::default(),
            schedule,
        };
        for who in 0..world.schedule.processes {
            let living = world.life(who).await;
            world.processes.push(living);
        }
        world
    }

    fn pool(&self) -> KeyPoolBuilder {
        let Schedule { owners, a_minute, a_day, tokens, own, .. } = self.schedule;
        let limits = Limits::new().per_minute(a_minute);
        let limits = a_day.map_or(limits.clone(), |a_day| limits.per_day(a_day));
        let limits = tokens.map_or(limits.clone(), |tokens| limits.tokens_per_minute(tokens));
        let own_limits = |key: Key| match own {
            Some((most, between)) => key.max_concurrent(most).min_interval(Duration::from_millis(between)),
            None => key,
        };
        let keys = (0..owners).map(|number| own_limits(key(number)));
        builder(0).keys(keys).limits(FLASH, limits.clone()).limits(PRO, limits)
    }

    /// The next life of the process that was the last of this number.
    async fn life(&mut self, who: usize) -> Living {
        self.lives += 1;
        self.living(self.processes.get(who).map_or_else(|| format!("process-{who}"), |last| last.name.clone())).await
    }

    /// One of another name.
    async fn another(&mut self, who: usize) -> Living {
        self.lives += 1;
        self.living(format!("process-{who}-{}", self.lives)).await
    }

    async fn living(&self, name: String) -> Living {
        let process = self.host.process(&name, self.lives, self.pool()).await;
        Living { name, process, alive: Arc::new(AtomicBool::new(true)) }
    }

    fn ask(&self, who: usize, lane: &'static str, tokens: u64, wait: u64, wire: u64) {
        let living = &self.processes[who];
        let mut demand = Demand::new(lane).tokens(tokens).wait(Duration::from_millis(wait));
        if wire % 3 == 1 {
            // A slot's: of this owner and no other.
            let owner = format!("project-{}", tokens as usize % self.schedule.owners);
            demand = demand.affinity(Affinity::MustOwner(owner.as_str().into()));
        }
        let request = Request {
            pool: living.process.pool.clone(),
            alive: Arc::clone(&living.alive),
            clock: self.host.clock.clone(),
            arrivals: Arc::clone(&self.arrivals),
            lane,
            tokens,
            wire: Duration::from_millis(wire),
        };
        tokio::spawn(request.run(demand));
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Ask { who, lane, count, tokens, wait, wire } => {
                (0..count).for_each(|_| self.ask(who, lane, tokens, wait, wire));
            }
            Step::Pass(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Step::Way(who, way, ms) => {
                let line = self.processes[who].process.line.clone();
                line.set(way);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    line.mend(way);
                });
            }
            Step::Crash(who) => {
                // It is dead before its next life says so.
                self.processes[who].alive.store(false, Ordering::Relaxed);
                self.processes[who].process.line.set(Way::Cut);
                self.processes[who] = self.life(who).await;
            }
            Step::Restart(who) => {
                let next = self.another(who).await;
                let gone = std::mem::replace(&mut self.processes[who], next);
                tokio::spawn(async move { gone.process.pool.shutdown().await });
            }
            Step::Replace(who) => {
                let next = self.another(who).await;
                let gone = std::mem::replace(&mut self.processes[who], next);
                // It lives on for itself, with what it holds.
                gone.process.line.set(Way::Cut);
                tokio::spawn(async move {
                    pass(40.0).await;
                    drop(gone);
                });
            }
        }
    }

    fn judge(&self) -> Result<(), TestCaseError> {
        let arrivals = self.arrivals.lock().expect("no panic");
        let mut by_key: BTreeMap<(&str, &str), Vec<(Tick, u64)>> = BTreeMap::new();
        let mut of_key: BTreeMap<&str, Vec<(Tick, Duration)>> = BTreeMap::new();
        for (at, lane, key, tokens, wire) in &*arrivals {
            by_key.entry((lane, key)).or_default().push((*at, *tokens));
            of_key.entry(key).or_default().push((*at, *wire));
        }
        if let Some((most, between)) = self.schedule.own {
            for (key, mut starts) in of_key {
                starts.sort_unstable();
                for pair in starts.windows(usize::from(most) + 1) {
                    let apart = pair[usize::from(most)].0.since(pair[0].0);
                    prop_assert!(apart >= SERVED, "{} of {key} at a time, at {:?}", most + 1, pair[0]);
                }
                starts.retain(|start| start.1 < SOON);
                for pair in starts.windows(2) {
                    let apart = pair[1].0.since(pair[0].0);
                    prop_assert!(
                        (apart + SOON).as_millis() as u64 >= between,
                        "{apart:?} between two of {key}, at {:?}",
                        pair[0]
                    );
                }
            }
        }
        for (key, mut arrivals) in by_key {
            arrivals.sort_unstable();
            for (n, (first, _)) in arrivals.iter().enumerate() {
                let of_minute: Vec<_> =
                    arrivals[n..].iter().take_while(|at| at.0.since(*first) < Duration::from_secs(60)).collect();
                prop_assert!(
                    of_minute.len() as u64 <= self.schedule.a_minute,
                    "{} of {key:?} in a minute from {first:?}",
                    of_minute.len()
                );
                if let Some(most) = self.schedule.tokens {
                    let tokens: u64 = of_minute.iter().map(|at| at.1).sum();
                    prop_assert!(tokens <= most, "{tokens} tokens of {key:?} in a minute");
                }
            }
            if let Some(a_day) = self.schedule.a_day {
                prop_assert!(arrivals.len() as u64 <= a_day, "{} of {key:?} on a day", arrivals.len());
            }
        }
        Ok(())
    }
}

struct Request {
    pool: KeyPool,
    alive: Arc<AtomicBool>,
    clock: Clock,
    arrivals: Arrivals,
    lane: &'static str,
    tokens: u64,
    wire: Duration,
}

impl Request {
    async fn run(self, demand: Demand) {
        let Ok(lease) = self.pool.acquire(demand).await else { return };
        tokio::time::sleep(self.wire).await;
        if !(self.alive.load(Ordering::Relaxed) && lease.started()) {
            return;
        }
        let key = lease.key_id().to_string();
        self.arrivals.lock().expect("no panic").push((self.clock.tick(), self.lane, key, self.tokens, self.wire));
        tokio::time::sleep(SERVED).await;
        lease.settle(&Verdict::SUCCESS);
    }
}

async fn play(schedule: Schedule) -> Result<(), TestCaseError> {
    let steps = schedule.steps.clone();
    let mut world = World::begin(schedule).await;
    for step in steps {
        world.step(step).await;
        world.judge()?;
    }
    pass(35.0).await;
    world.judge()?;
    // When all is well again, all is there again.
    pass(200.0).await;
    if world.schedule.a_day.is_none() && world.schedule.own.is_none() {
        let before = world.arrivals.lock().expect("no panic").len();
        let all = world.schedule.owners * world.schedule.a_minute as usize;
        for _ in 0..all {
            world.ask(0, FLASH, 0, 20_000, 0);
        }
        pass(25.0).await;
        let served = world.arrivals.lock().expect("no panic").len() - before;
        prop_assert!(served * 100 >= all * 99, "{served} of {all} once all is well again");
    }
    world.judge()
}

fn cases() -> ProptestConfig {
    let asked = std::env::var("SHARING_CASES").ok().and_then(|cases| cases.parse().ok());
    let rng_seed = if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(2_026) };
    ProptestConfig { cases: asked.unwrap_or(50), rng_seed, max_shrink_iters: 300, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn together_they_exceed_no_limit_whatever_goes_wrong(schedule in schedules()) {
        paused().block_on(play(schedule))?;
    }
}
