//! Several processes share keys, over a strict simulator of the API. Processes, servers and time are real. The
//! scenarios run concurrently, on any number of cores, and end within three minutes.
//!
//! The program is also the worker, so that cargo builds both: `sharing worker --store … --base …`.

#![expect(clippy::disallowed_methods, reason = "these are real processes in real time")]

mod worker;

use std::{collections::VecDeque, process::Stdio, time::Duration};

use gemini_sim::{GeminiSim, Limits, Project};
use keypool_store::{SqliteOptions, SqliteStore, sqlite::UsageQuery};
use redis_fixture::RedisServer;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdout, Command},
    time::{Instant, sleep},
};
use tower_keypool::BoxError;

/// The load of a scenario: processes, keys, and offered requests.
#[derive(Clone, Copy)]
struct Load {
    processes: usize,
    keys: usize,
    per_minute: u64,
    /// Offered requests, as a multiple of the number that the keys allow.
    offered: f64,
    seconds: f64,
}

impl Load {
    /// Returns the requests a second that each process offers.
    fn rate(self) -> f64 {
        self.keys as f64 * self.per_minute as f64 / 60.0 * self.offered / self.processes as f64
    }

    /// Returns how many requests a single process with exact knowledge could serve if each request waits at most 5 s.
    fn possible(self) -> u64 {
        const STEP: f64 = 0.01;
        let (total, mut arrived, mut served) = (self.rate() * self.processes as f64, 0, 0);
        let mut waiting = VecDeque::new();
        let mut keys = vec![VecDeque::new(); self.keys];
        let mut now = 0.0;
        while now < self.seconds + 5.0 {
            while now < self.seconds && f64::from(arrived) / total <= now {
                waiting.push_back(now);
                arrived += 1;
            }
            waiting.retain(|came| now - came <= 5.0);
            for key in &mut keys {
                key.retain(|start: &f64| now - start < 60.0);
                while key.len() < self.per_minute as usize && waiting.pop_front().is_some() {
                    key.push_back(now);
                    served += 1;
                }
            }
            now += STEP;
        }
        served
    }

    async fn simulator(self) -> GeminiSim {
        let mut sim = GeminiSim::builder();
        for n in 0..self.keys {
            let limits = Limits::none().rpm(self.per_minute);
            let project = Project::new(format!("projects/{n}").as_str()).limits(limits);
            sim = sim.project(project.key(format!("AIza-not-a-real-key-{n:03}").as_str()));
        }
        sim.start().await.unwrap()
    }
}

/// A worker process.
struct Worker {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Worker {
    async fn spawn(load: Load, store: &str, base: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["worker", "--store", store, "--base", base]);
        command.args(["--keys", &load.keys.to_string(), "--per-minute", &load.per_minute.to_string()]);
        command.args(["--rate", &load.rate().to_string(), "--seconds", &load.seconds.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        output.read_line(&mut ready).await.unwrap();
        assert_eq!(ready, "ready\n", "a worker did not start");
        Self { child, output }
    }

    async fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for the process to end and returns its counters.
    async fn counts(mut self) -> Value {
        let mut text = String::new();
        self.output.read_to_string(&mut text).await.unwrap();
        assert!(self.child.wait().await.unwrap().success());
        serde_json::from_str(&text).unwrap()
    }
}

async fn start(load: Load, store: &str, base: &str) -> Vec<Worker> {
    let mut workers = Vec::new();
    for _ in 0..load.processes {
        workers.push(Worker::spawn(load, store, base).await);
    }
    for worker in &mut workers {
        worker.go().await;
    }
    workers
}

/// Waits for all workers to end and returns the sums of their counters.
async fn finish(workers: Vec<Worker>) -> Value {
    let mut sums = serde_json::Map::new();
    for worker in workers {
        for (name, count) in worker.counts().await.as_object().unwrap() {
            let sum = sums.get(name).and_then(Value::as_u64).unwrap_or(0) + count.as_u64().unwrap();
            sums.insert(name.clone(), sum.into());
        }
    }
    sums.into()
}

/// Runs a scenario in which the processes must serve at least a share of the possible requests, none over a limit.
async fn run_shared_load(name: &str, load: Load, store: &str, at_least: f64) {
    let sim = load.simulator().await;
    let counts = finish(start(load, store, &sim.url()).await).await;
    let report = sim.report().total;
    let served = report.accepted as f64 / load.possible() as f64;
    println!("figure: {name}: {:.1} % of possible, {} over a limit ({counts})", 100.0 * served, report.over_limit);
    assert_eq!((report.over_limit, &counts["store"], &counts["other"]), (0, &0.into(), &0.into()), "{name}: {counts}");
    assert!(served >= at_least, "{name}: {} of {}: {counts}", report.accepted, load.possible());
}

const TWENTY: Load = Load { processes: 4, keys: 20, per_minute: 10, offered: 3.0, seconds: 150.0 };
const TWO: Load = Load { processes: 4, keys: 2, per_minute: 2, offered: 3.0, seconds: 150.0 };

fn file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("keys.db").display());
    (folder, store)
}

async fn four_processes_share_one_sqlite_file() {
    let (_folder, store) = file();
    run_shared_load("sqlite, 20 keys of 10 a minute", TWENTY, &store, 0.97).await;
}

async fn four_processes_share_two_slow_keys_on_sqlite() {
    let (_folder, store) = file();
    run_shared_load("sqlite, 2 keys of 2 a minute", TWO, &store, 0.93).await;
}

async fn four_processes_share_one_redis() {
    let Some(redis) = RedisServer::start() else { return };
    run_shared_load("redis, 20 keys of 10 a minute", TWENTY, &redis.url(), 0.97).await;
}

async fn four_processes_share_two_slow_keys_on_redis() {
    let Some(redis) = RedisServer::start() else { return };
    run_shared_load("redis, 2 keys of 2 a minute", TWO, &redis.url(), 0.93).await;
}

/// Runs a scenario at a normal load, in which the store must grant the candidate that the pool put first.
async fn run_normal_load(name: &str, store: &str) {
    let load = Load { offered: 0.7, seconds: 120.0, ..TWENTY };
    let sim = load.simulator().await;
    let counts = finish(start(load, store, &sim.url()).await).await;
    let count = |name: &str| counts[name].as_u64().unwrap();
    let first = count("first") as f64 / count("granted") as f64;
    println!("figure: {name}, 70 % of the load: {:.1} % granted to the first candidate ({counts})", 100.0 * first);
    assert_eq!((sim.report().total.over_limit, count("other"), count("unavailable")), (0, 0, 0), "{counts}");
    assert!(first >= 0.95, "{counts}");
}

async fn first_candidate_is_granted_on_sqlite() {
    let (_folder, store) = file();
    run_normal_load("sqlite", &store).await;
}

async fn first_candidate_is_granted_on_redis() {
    let Some(redis) = RedisServer::start() else { return };
    run_normal_load("redis", &redis.url()).await;
}

/// Runs a scenario in which one process is stopped for 20 s and then continues.
async fn run_with_a_pause(name: &str, store: &str) {
    let load = Load { seconds: 75.0, ..TWENTY };
    let sim = load.simulator().await;
    let workers = start(load, store, &sim.url()).await;
    sleep(Duration::from_secs(5)).await;
    workers[0].signal("-STOP");
    sleep(Duration::from_secs(20)).await;
    workers[0].signal("-CONT");
    let counts = finish(workers).await;
    let report = sim.report().total;
    println!("figure: {name}, a process paused for 20 s: {} over a limit ({counts})", report.over_limit);
    assert_eq!((report.over_limit, &counts["other"]), (0, &0.into()), "{counts}");
    assert!(report.accepted > 300, "{counts}");
}

async fn paused_process_stays_within_the_limits_on_sqlite() {
    let (_folder, store) = file();
    run_with_a_pause("sqlite", &store).await;
}

async fn paused_process_stays_within_the_limits_on_redis() {
    let Some(redis) = RedisServer::start() else { return };
    run_with_a_pause("redis", &redis.url()).await;
}

/// Waits until the simulator accepts a request, and returns how long that took.
async fn until_served(sim: &GeminiSim) -> Duration {
    let (start, before) = (Instant::now(), sim.report().total.accepted);
    while sim.report().total.accepted == before {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing is served");
        sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}

/// A load far below the capacity of the keys, so that there is always room.
const LIGHT: Load = Load { processes: 3, keys: 40, per_minute: 10, offered: 0.25, seconds: 60.0 };

async fn empty_redis_serves_again_within_seconds_and_no_limit_is_exceeded() {
    let Some(mut redis) = RedisServer::start() else { return };
    let load = Load { offered: 0.8, ..LIGHT };
    let sim = load.simulator().await;
    let workers = start(load, &redis.url(), &sim.url()).await;
    sleep(Duration::from_secs(20)).await;
    redis.kill();
    redis.start_empty();
    let recovered = until_served(&sim).await;
    let counts = finish(workers).await;
    let report = sim.report().total;
    println!(
        "figure: redis restarted empty: {recovered:?} until served, {} over a limit ({counts})",
        report.over_limit
    );
    assert_eq!((report.over_limit, &counts["other"]), (0, &0.into()), "{counts}");
    assert!(recovered < Duration::from_secs(10), "{recovered:?}");
}

async fn redis_is_used_again_after_30_seconds_of_downtime() {
    let Some(mut redis) = RedisServer::lasting() else { return };
    let sim = LIGHT.simulator().await;
    let workers = start(LIGHT, &redis.url(), &sim.url()).await;
    sleep(Duration::from_secs(10)).await;
    redis.kill();
    sleep(Duration::from_secs(1)).await;
    let before = sim.report().total.accepted;
    sleep(Duration::from_secs(29)).await;
    assert_eq!(sim.report().total.accepted, before, "requests were sent without a reservation");
    redis.start_again();
    let recovered = until_served(&sim).await;
    let counts = finish(workers).await;
    let report = sim.report().total;
    println!("figure: redis away for 30 s: {recovered:?} until served, {} over a limit ({counts})", report.over_limit);
    assert_eq!((report.over_limit, &counts["other"]), (0, &0.into()), "{counts}");
    assert!(recovered < Duration::from_secs(10), "{recovered:?}");
}

async fn killed_processes_lose_no_count() {
    let (folder, store) = file();
    let load = Load { processes: 1, keys: 20, per_minute: 40, offered: 3.0, seconds: 60.0 };
    let sim = load.simulator().await;
    let mut dice = fastrand::Rng::with_seed(53);
    for _ in 0..50 {
        let mut workers = start(load, &store, &sim.url()).await;
        sleep(Duration::from_millis(dice.u64(200..900))).await;
        workers[0].child.kill().await.unwrap();
    }
    let report = sim.report().total;
    let database = SqliteStore::open(folder.path().join("keys.db"), SqliteOptions::new()).unwrap();
    let usage = database.usage(UsageQuery::of_days(0..=i32::MAX)).await.unwrap();
    let counted: u64 = usage.iter().map(|row| row.used.requests).sum();
    let lost = report.accepted.saturating_sub(counted);
    println!("figure: 50 kills: {} over a limit, {lost} of {} lost", report.over_limit, report.accepted);
    assert_eq!((report.over_limit, lost), (0, 0));
    assert!(report.accepted > 700, "{report:?}");
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("worker") => return worker::work(args).await,
        // All scenarios are one test, which is not listed by name.
        Some("--list") => return Ok(()),
        _ => {}
    }
    let mut scenarios = tokio::task::JoinSet::new();
    scenarios.spawn(four_processes_share_one_sqlite_file());
    scenarios.spawn(four_processes_share_two_slow_keys_on_sqlite());
    scenarios.spawn(four_processes_share_one_redis());
    scenarios.spawn(four_processes_share_two_slow_keys_on_redis());
    scenarios.spawn(first_candidate_is_granted_on_sqlite());
    scenarios.spawn(first_candidate_is_granted_on_redis());
    scenarios.spawn(paused_process_stays_within_the_limits_on_sqlite());
    scenarios.spawn(paused_process_stays_within_the_limits_on_redis());
    scenarios.spawn(empty_redis_serves_again_within_seconds_and_no_limit_is_exceeded());
    scenarios.spawn(redis_is_used_again_after_30_seconds_of_downtime());
    scenarios.spawn(killed_processes_lose_no_count());
    let mut failed = 0;
    while let Some(ended) = scenarios.join_next().await {
        failed += usize::from(ended.is_err());
    }
    if failed > 0 {
        return Err(format!("{failed} scenarios failed").into());
    }
    Ok(())
}
