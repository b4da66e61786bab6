//! `kills KEYPOOL ROUNDS`: `keypool serve` is killed at random moments under load, again and again on one database;
//! prints as JSON what was lost.
//!
//! The simulator is the judge: each round it suspends another key. Once the request that met its refusal was answered, that is
//! in the database, or lost: the next process asks the key again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use figures::{args::Args, stall::Stalls};
use gemini_sim::{GeminiSim, Limits, Project, Refusal};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::json;
use tower_keypool::{
    Key,
    store::{Batch, ImportRecord, KeptSecret, KeyRecord, KeyStanding, Sqlite, Store},
};

/// Keys that serve.
const GOOD: usize = 10;
/// So much of a key's limit is for a minute, and of one key for a day.
const A_MINUTE: u64 = 120;
const A_DAY: u64 = 250;
const CALLERS: usize = 8;
/// So long after the refusal an answer waits for the database, and no longer.
const WAITS: Duration = Duration::from_millis(200);

/// By number: the one that is switched off, the one with a day's limit, those that serve, those that are suspended.
fn secret(n: usize) -> String {
    format!("AIzaSy-not-a-real-key-{n:017}")
}

const OFF: usize = 0;
const DAILY: usize = 1;
const FIRST_GOOD: usize = 2;
const FIRST_VICTIM: usize = FIRST_GOOD + GOOD;

#[derive(Default)]
struct Lost {
    rests: usize,
    /// Nobody had been answered yet, or the database took too long for that.
    late_rests: usize,
    disabled: usize,
    imports: usize,
    unopened: usize,
    lag: Duration,
    served: u64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::of_process();
    let (program, rounds) = (PathBuf::from(args.name()), args.number(1, 50));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{}", runtime.block_on(run(&program, rounds))?);
    Ok(())
}

async fn run(program: &Path, rounds: usize) -> anyhow::Result<serde_json::Value> {
    let folder = std::env::temp_dir().join(format!("keypool-kills-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("state"))?;
    let outcome = kill_often(program, rounds, &folder).await;
    std::fs::remove_dir_all(&folder)?;
    outcome
}

async fn kill_often(program: &Path, rounds: usize, folder: &Path) -> anyhow::Result<serde_json::Value> {
    let project = |n: usize| Project::new(format!("{}", 100_000_000_000 + n)).key(secret(n).as_str());
    let mut sim = GeminiSim::builder().log_capacity(5_000_000);
    let mut keys = String::new();
    for n in 0..FIRST_VICTIM + rounds {
        let (limits, options) = match n {
            DAILY => (Limits::none().rpd(A_DAY), format!("rpd={A_DAY}")),
            FIRST_GOOD..FIRST_VICTIM => (Limits::none().rpm(A_MINUTE), format!("rpm={A_MINUTE}")),
            _ => (Limits::none(), String::new()),
        };
        sim = sim.project(project(n).limits(limits));
        writeln!(keys, "{} id=n{n} {options}", secret(n))?;
    }
    let sim = Arc::new(sim.start().await?);
    let file = folder.join("keys.txt");
    std::fs::write(&file, keys)?;
    let db = folder.join("state/keypool.db");
    prepare(&db).await?;

    let mut lost = Lost::default();
    let stalls = Stalls::new();
    let (mut refused, mut counted) = (BTreeMap::<usize, usize>::new(), 0);
    for round in 0..rounds {
        let seen = sim.log().len();
        let serve = Serve::start(program, &file, &db, &sim.url()).context("keypool serve did not start")?;
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> =
            (0..CALLERS).map(|_| tokio::spawn(call(serve.url.clone(), Arc::clone(&sim), Arc::clone(&stop)))).collect();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(30..400))).await;
        sim.refuse_key(secret(FIRST_VICTIM + round).as_str(), Some(Refusal::ConsumerSuspended));
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..300))).await;
        serve.kill()?;
        let killed = sim.elapsed();
        stop.store(true, Ordering::Relaxed);
        let mut asked = Vec::new();
        for caller in callers {
            let called = caller.await?;
            lost.served += called.served;
            asked.extend(called.asked);
        }

        let arrivals: Vec<_> = sim.log().iter().skip(seen).cloned().collect();
        lost.disabled += arrivals.iter().filter(|arrival| arrival.key == Some(OFF)).count().min(1);
        for arrival in arrivals.iter().filter(|arrival| arrival.kind == "consumer_suspended") {
            let key = arrival.key.context("a key")?;
            match refused.get(&key) {
                // It was asked again in another process, after a refusal that was there to be known.
                Some(known) if *known < round => lost.rests += 1,
                Some(_) => {}
                None if asked.iter().all(|asked| asked.was_told(arrival.at)) => drop(refused.insert(key, round)),
                None => lost.late_rests += 1,
            }
        }
        let Ok(now) = looked_at(&db, &mut lost).await else {
            lost.unopened += 1;
            continue;
        };
        let told = usize::try_from(now - std::mem::replace(&mut counted, now)).unwrap_or(0);
        if let Some(first) = arrivals.get(told) {
            lost.lag = lost.lag.max(killed.saturating_sub(first.at));
        }
    }
    let set_aside = std::fs::read_dir(folder.join("state"))?
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().contains("corrupt")))
        .count();
    let report = sim.report();
    let daily = sim.log().iter().filter(|arrival| arrival.key == Some(DAILY) && arrival.accepted).count();
    Ok(json!({
        "rounds": rounds,
        "unopened": lost.unopened + set_aside,
        "rests": lost.rests,
        "late_rests": lost.late_rests,
        "suspended": refused.len(),
        "disabled": lost.disabled,
        "imports": lost.imports,
        "lag_ms": lost.lag.as_secs_f64() * 1e3,
        "stall_ms": stalls.most().as_millis() as u64,
        "over_limit": report.total.over_limit,
        "served": lost.served,
        "of_a_day": daily,
        "a_day": A_DAY,
    }))
}

/// A key that is switched off, and an import: what every later process must know.
async fn prepare(db: &Path) -> anyhow::Result<()> {
    let store = Sqlite::open(db)?;
    let key = KeyRecord::of(&Key::new(secret(OFF)).id("n0"), KeptSecret::Elsewhere, 0);
    let batch = Batch {
        keys: vec![KeyRecord { state: KeyStanding::Disabled, reason: "by hand".to_owned(), ..key }],
        imports: vec![ImportRecord { from: "keys.txt".to_owned(), added: 1, ..ImportRecord::default() }],
        ..Batch::default()
    };
    store.write(Arc::new(batch)).await?;
    Ok(())
}

/// What the database says after a kill: requests counted.
async fn looked_at(db: &Path, lost: &mut Lost) -> anyhow::Result<i64> {
    let store = Sqlite::inspect(db)?;
    ensure!(store.check().await?.is_empty(), "it is not whole");
    lost.imports += usize::from(store.imports().await?.len() != 1);
    let keys = store.keys().await?;
    let off = keys.iter().find(|key| key.id == "n0");
    lost.disabled += usize::from(off.is_none_or(|key| key.state != KeyStanding::Disabled));
    Ok(store.usage("0000-01-01", "9999-12-31").await?.iter().map(|row| row.requests).sum())
}

/// A request of a caller, by the simulator's clock.
struct Asked {
    began: Duration,
    /// When all of its answer was there.
    answered: Option<Duration>,
}

impl Asked {
    /// Whether its answer says that what was refused at this moment is kept, should it be the one that met it.
    fn was_told(&self, at: Duration) -> bool {
        let met = self.began <= at && self.answered.is_none_or(|answered| answered >= at);
        !met || self.answered.is_some_and(|answered| answered.saturating_sub(at) < WAITS)
    }
}

#[derive(Default)]
struct Called {
    served: u64,
    asked: Vec<Asked>,
}

/// Asks again and again.
async fn call(url: String, sim: Arc<GeminiSim>, stop: Arc<AtomicBool>) -> Called {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut called = Called::default();
    while !stop.load(Ordering::Relaxed) {
        let request = Request::post(format!("{url}/v1beta/models/gemini-2.5-flash:generateContent"))
            .header("x-goog-api-key", "PLACEHOLDER_GEMINI_TOKEN")
            .header("content-type", "application/json")
            .body(Full::from(r#"{"contents":[{"parts":[{"text":"hello"}]}]}"#));
        let Ok(request) = request else { return called };
        let began = sim.elapsed();
        let mut good = false;
        let mut answered = None;
        if let Ok(answer) = client.request(request).await {
            let status = answer.status();
            if answer.into_body().collect().await.is_ok() {
                answered = Some(sim.elapsed());
                good = status.is_success();
            }
        }
        called.asked.push(Asked { began, answered });
        if good {
            called.served += 1;
        } else {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    called
}

struct Serve {
    child: Child,
    url: String,
}

impl Serve {
    fn start(program: &Path, keys: &Path, db: &Path, upstream: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--upstream", upstream, "--wait", "0"])
            .arg("--keys")
            .arg(keys)
            .arg("--db")
            .arg(db)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let url = loop {
            let line = lines.next().context("it ended")??;
            if let Some((_, url)) = line.split_once("listens on ") {
                break url.trim().to_owned();
            }
        };
        // What else it prints is read, or it would stand still.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, url })
    }

    fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}
