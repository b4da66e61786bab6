//! Several processes of `serve` on one database: together they exceed no limit, whatever becomes of one of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use gemini_sim::{GeminiSim, Limits, Project};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use keypool::gateway::token::PLACEHOLDER;

use crate::{
    binary::{Running, key_file},
    serving::HELLO,
    support::client,
};

/// A provider with so many projects, and what `serve` needs to use them.
pub(crate) struct Field {
    pub(crate) sim: GeminiSim,
    keys: tempfile::NamedTempFile,
    pub(crate) folder: tempfile::TempDir,
}

impl Field {
    pub(crate) async fn of(owners: u32, a_minute: u64) -> Self {
        let secret = |n: u32| format!("AIzaSyTEST-sharing-key-number-{n:08}");
        let project = |n| Project::new(format!("2000000{n:05}")).limits(Limits::none().rpm(a_minute)).key(secret(n));
        let sim = (0..owners).fold(GeminiSim::builder(), |sim, n| sim.project(project(n)));
        let lines: Vec<String> = (0..owners).map(|n| format!("{} rpm={a_minute}\n", secret(n))).collect();
        Self {
            sim: sim.start().await.expect("a simulator"),
            keys: key_file(&lines.concat()),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// One more process on the one database.
    pub(crate) fn start(&self, wait: &str) -> Running {
        let db = self.folder.path().join("shared.db");
        let (keys, url) = (self.keys.path().to_str().expect("UTF-8"), self.sim.url());
        let db = db.to_str().expect("UTF-8");
        let args = ["serve", "--keys", keys, "--listen", "127.0.0.1:0", "--upstream", &url, "--wait", wait];
        Running::start(&[&args[..], &["--db", db, "--lease", "2"]].concat())
    }
}

/// What clients of one process saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) served: AtomicUsize,
    pub(crate) exhausted: AtomicUsize,
    pub(crate) other: AtomicUsize,
}

/// Calls until `stop`; whoever is refused tries again soon.
pub(crate) fn load(url: &str, clients: usize, stop: &Arc<AtomicBool>) -> Arc<Seen> {
    let seen = Arc::new(Seen::default());
    for _ in 0..clients {
        let (url, seen, stop) = (url.to_owned(), Arc::clone(&seen), Arc::clone(stop));
        tokio::spawn(async move {
            while !stop.load(Relaxed) {
                let count = match call(&url).await {
                    Some(StatusCode::OK) => &seen.served,
                    Some(StatusCode::SERVICE_UNAVAILABLE) => &seen.exhausted,
                    _ => &seen.other,
                };
                count.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        });
    }
    seen
}

async fn call(url: &str) -> Option<StatusCode> {
    let request = Request::post(format!("{url}/v1beta/models/gemini-2.5-flash:generateContent"))
        .header("x-goog-api-key", PLACEHOLDER)
        .body(Full::<Bytes>::from(HELLO))
        .expect("a request");
    let response = client().request(request).await.ok()?;
    let status = response.status();
    response.into_body().collect().await.ok()?;
    Some(status)
}

pub(crate) async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Waits until this is so, at most so many seconds.
pub(crate) async fn until(seconds: u64, so: impl Fn() -> bool) {
    let comes = async {
        while !so() {
            pass(20).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(seconds), comes).await.expect("it comes in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_on_one_database_one_killed_and_one_stopped_past_its_lease() {
    let field = Field::of(8, 60).await;
    let mut all: Vec<Running> = (0..4).map(|_| field.start("0")).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let seen: Vec<_> = all.iter().map(|running| load(&running.url, 3, &stop)).collect();
    until(60, || seen.iter().all(|seen| seen.served.load(Relaxed) > 0)).await;
    pass(1_000).await;
    all.remove(0).kill();
    all[0].signal("-STOP");
    pass(4_500).await;
    all[0].signal("-CONT");
    let again = field.start("0");
    let new = load(&again.url, 3, &stop);
    // What the dead one held is lent to others, before a minute is over that would give all of it again.
    until(45, || field.sim.report().total.accepted >= 8 * 60 * 8 / 10).await;
    stop.store(true, Relaxed);
    pass(300).await;
    let report = field.sim.report();
    assert_eq!(report.total.over_limit, 0, "{report}");
    let other: Vec<_> = seen[2..].iter().chain([&new]).map(|seen| seen.other.load(Relaxed)).collect();
    assert_eq!(other, [0, 0, 0], "every failure is that no key is left");
    for running in all.into_iter().chain([again]) {
        running.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_follow_the_traffic() {
    let field = Field::of(10, 30).await;
    let (one, other) = (field.start("2"), field.start("2"));
    let stop = Arc::new(AtomicBool::new(false));
    let first = load(&one.url, 2, &stop);
    until(60, || first.served.load(Relaxed) > 20).await;
    stop.store(true, Relaxed);
    pass(4_000).await;
    let used = first.served.load(Relaxed);
    // What the first does not want any more the other has.
    let stop = Arc::new(AtomicBool::new(false));
    let second = load(&other.url, 8, &stop);
    // Some time before the first one's minute is over, however slow the machine is.
    until(45, || used + second.served.load(Relaxed) >= 10 * 30 * 9 / 10).await;
    stop.store(true, Relaxed);
    let report = field.sim.report();
    assert_eq!(report.total.over_limit, 0, "{report}");
    one.kill();
    other.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_on_one_of_four_all_succeed() {
    let field = Field::of(10, 10).await;
    let all: Vec<Running> = (0..4).map(|_| field.start("30")).collect();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let url = all[1].url.clone();
            tokio::spawn(async move { call(&url).await })
        })
        .collect();
    let mut served = 0;
    for call in calls {
        served += usize::from(call.await.expect("no panic") == Some(StatusCode::OK));
    }
    assert_eq!(served, 100);
    assert_eq!(field.sim.report().total.over_limit, 0);
    all.into_iter().for_each(Running::kill);
}
