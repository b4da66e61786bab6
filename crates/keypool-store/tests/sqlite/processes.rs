//! Several processes or threads on one file.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, UNIX_EPOCH},
};

use keypool_store::{SqliteOptions, SqliteStore, sqlite::UsageQuery};
use tower_keypool::{Clock, Limit, Limits, Span, Unit, store::Store};

use super::{NOON, Time, days, reserve, starts};

/// Environment variables for a child process of these tests: the path of the database, and how long to run.
const DATABASE: &str = "KEYPOOL_TEST_DATABASE";
const SECONDS: &str = "KEYPOOL_TEST_SECONDS";

/// The limit that the child processes share.
fn limits() -> Limits {
    let span = Span::Sliding(Duration::from_secs(1));
    Limits::new().with(Limit { unit: Unit::Requests, span, amount: 100 })
}

fn wall_ms() -> u128 {
    Clock::system().wall().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// Starts this program again, to run an ignored test as a child process.
fn child(test: &str, path: &Path, seconds: u64) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([test, "--exact", "--ignored", "--nocapture"]);
    child.env(DATABASE, path).env(SECONDS, seconds.to_string());
    child.stdout(Stdio::piped()).spawn().unwrap()
}

#[tokio::test]
#[ignore = "is run by killed_process_loses_no_granted_reservation"]
async fn child_to_kill() {
    let store = SqliteStore::open(std::env::var(DATABASE).unwrap(), SqliteOptions::new()).unwrap();
    let mut tasks = Vec::new();
    for n in 0..32 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            loop {
                assert!(reserve(&store, &format!("p{}", n % 5), &Limits::new()).await.granted.is_some());
                println!("granted");
            }
        }));
    }
    tasks.pop().unwrap().await.unwrap();
}

#[tokio::test]
async fn killed_process_loses_no_granted_reservation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let mut seen = 0;
    for round in 1..=3 {
        let mut child = child("processes::child_to_kill", &path, 0);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        seen += lines.by_ref().filter(|line| line == "granted").take(2_000).count();
        // SIGKILL
        child.kill().unwrap();
        child.wait().unwrap();
        // Grants whose output was not read yet count, too.
        seen += lines.filter(|line| line == "granted").count();
        let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
        let records = store.load().await.unwrap().records;
        let (windows, days) = (starts(&records) as usize, days(&records) as usize);
        assert_eq!(windows, days);
        // Only requests in flight can be counted without a printed line.
        assert!((seen..=seen + round * 32).contains(&windows), "{windows} are kept, {seen} were granted");
        // This call folds the log.
        let usage = store.usage(UsageQuery::of_days(0..=i32::MAX)).await.unwrap();
        assert_eq!(usage[0].used.requests as usize, windows);
        let records = store.load().await.unwrap().records;
        assert_eq!(starts(&records) as usize, windows);
    }
}

#[tokio::test]
#[ignore = "is run by eight_processes_stay_within_a_limit"]
async fn child_that_reserves() {
    let store = SqliteStore::open(std::env::var(DATABASE).unwrap(), SqliteOptions::new()).unwrap();
    let end = wall_ms() + 1_000 * std::env::var(SECONDS).unwrap().parse::<u128>().unwrap();
    let limits = limits();
    while wall_ms() < end {
        let reserved = reserve(&store, "shared", &limits).await;
        match reserved.granted {
            Some(_) => println!("sent {}", wall_ms()),
            None => tokio::time::sleep(reserved.opens_in[0].min(Duration::from_millis(100))).await,
        }
    }
}

#[tokio::test]
async fn eight_processes_stay_within_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let children: Vec<_> = (0..8).map(|_| child("processes::child_that_reserves", &path, 5)).collect();
    let mut sent = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{stdout}");
        sent.extend(stdout.lines().filter_map(|line| line.strip_prefix("sent ")?.parse::<u64>().ok()));
    }
    sent.sort_unstable();
    for (at, time) in sent.iter().enumerate() {
        let within = sent[at..].iter().take_while(|other| **other < time + 1_000).count();
        assert!(within <= 100, "{within} requests within 1 s");
    }
    // The window and the hold take 2.3 s together, so the window opens at least twice.
    assert!(sent.len() >= 200, "{} requests were sent", sent.len());
}

#[test]
fn stores_in_threads_stay_within_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let time = Time::new(NOON);
    let sent = Mutex::new(Vec::new());
    let limits = Limits::new().per_minute(20);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let store = time.open(&path);
                    for _ in 0..400 {
                        let asked = time.now();
                        let reserved = reserve(&store, "shared", &limits).await;
                        let now = time.now();
                        if let Some(granted) = reserved.granted
                            && now <= asked + granted.usable_for.as_millis() as i64
                        {
                            sent.lock().unwrap().push(now);
                        }
                        time.advance(Duration::from_millis(fastrand::u64(0..400)));
                    }
                });
            });
        }
    });
    let mut sent = sent.into_inner().unwrap();
    sent.sort_unstable();
    for (at, time) in sent.iter().enumerate() {
        let within = sent[at..].iter().take_while(|other| **other < time + 60_000).count();
        assert!(within <= 20, "{within} requests within 60 s");
    }
    let minutes = (time.now() - NOON) / 62_000;
    assert!(sent.len() as i64 >= minutes * 15, "{} requests in {minutes} minutes", sent.len());
}
