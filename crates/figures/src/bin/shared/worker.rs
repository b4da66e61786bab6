//! One of the processes: a pool that it shares, and callers at random times. It is told on its input how many a second
//! (`rate LANE RATE`), or how many at once (`burst LANE CALLS`), and says on its output what became of each call
//! (`call LANE MILLISECONDS OUTCOME`) and, each second, what it asked of its store (`calls RENEWALS WRITES ALONE HINTS`).

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines, Stdin, stdin},
    time::sleep,
};
use tower::{Layer, ServiceExt};
use tower_keypool::{
    Clock, Error, Gemini, Key, KeyPool, KeyPoolLayer, KeyPoolService, Limits, ReplayBody, Sharing, Tick,
    redis::{Link, Options},
    share::Board,
    store::{Redis, Sqlite, Store},
};

use crate::counted::{Calls, Counted};

/// The models whose limits are apart.
pub(crate) const LANES: [&str; 2] = ["gemini-2.5-flash", "gemini-2.5-flash-lite"];
/// How long a caller waits for a key.
const WAIT: Duration = Duration::from_secs(1);

/// What all processes are told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Which of them this is.
    pub(crate) worker: usize,
    /// A file, or the address of a Redis.
    pub(crate) store: String,
    pub(crate) upstream: String,
    pub(crate) owners: usize,
    /// What each may send in a minute, in each lane.
    pub(crate) a_minute: u64,
}

pub(crate) fn secret(owner: usize) -> String {
    format!("AIzaSy-not-a-real-key-{owner:017}")
}

type Stack = KeyPoolService<Client<HttpConnector, ReplayBody<Full<Bytes>>>>;

pub(crate) async fn work(job: Job) -> anyhow::Result<()> {
    let calls = Arc::<Calls>::default();
    let pool = if job.store.starts_with("redis:") {
        let redis = Redis::new(&Link::open(Options::new(&job.store)?).await?).share();
        let sharing = Sharing::new(redis.holder().clone()).settings(redis.settings());
        open(&job, Counted(redis, Arc::clone(&calls)), sharing).await?
    } else {
        let sqlite = Sqlite::open(&job.store)?.share()?;
        let sharing = Sharing::new(sqlite.holder().clone()).settings(sqlite.settings());
        open(&job, Counted(sqlite, Arc::clone(&calls)), sharing).await?
    };
    let stack = KeyPoolLayer::new(&pool).layer(Client::builder(TokioExecutor::new()).build_http());
    println!("ready");
    let callers = Callers { stack, clock: Clock::system(), upstream: job.upstream, body: body(job.worker).into() };
    let ended = callers.come(&calls).await;
    pool.shutdown().await;
    ended
}

async fn open<S>(job: &Job, store: Counted<S>, sharing: Sharing) -> anyhow::Result<KeyPool>
where
    S: Store + Board + Clone,
{
    let keys = (0..job.owners).map(|owner| Key::new(secret(owner)).owner(format!("project-{owner}")));
    let mut builder = KeyPool::builder(Gemini::at(&job.upstream)?).keys(keys).wait(WAIT);
    for lane in LANES {
        builder = builder.limits(lane, Limits::new().per_minute(job.a_minute));
    }
    Ok(builder.open_shared(store.clone(), store, sharing).await?)
}

/// So many prompt tokens as tell the simulator which process asks: one for the first, …
fn body(worker: usize) -> String {
    format!(r#"{{"contents":[{{"parts":[{{"text":"{}"}}]}}]}}"#, "ask ".repeat(worker + 1))
}

struct Callers {
    stack: Stack,
    clock: Clock,
    upstream: String,
    body: Bytes,
}

impl Callers {
    /// Until the input ends.
    async fn come(&self, calls: &Calls) -> anyhow::Result<()> {
        let mut told = BufReader::new(stdin()).lines();
        let mut lanes = [0, 1].map(|_| Poisson { rate: 0.0, since: self.clock.tick(), next: Duration::ZERO });
        let mut every_second = tokio::time::interval(Duration::from_secs(1));
        loop {
            let (first, second) = lanes.split_at_mut(1);
            let lane = tokio::select! {
                line = next(&mut told) => {
                    let Some(line) = line? else { return Ok(()) };
                    let words: Vec<_> = line.split(' ').collect();
                    let [word, lane, number] = words[..] else { anyhow::bail!("{line:?}") };
                    let (lane, number) = (lane.parse::<usize>()?, number.parse::<f64>()?);
                    match word {
                        "rate" => lanes[lane].set(number, self.clock.tick()),
                        _ => (0..number as u64).for_each(|_| self.call(lane)),
                    }
                    continue;
                }
                _ = every_second.tick() => {
                    let [renewals, writes, alone, hints] =
                        [&calls.renewals, &calls.writes, &calls.alone, &calls.hints].map(|count| count.load(Relaxed));
                    println!("calls {renewals} {writes} {alone} {hints}");
                    continue;
                }
                () = first[0].due(&self.clock) => 0,
                () = second[0].due(&self.clock) => 1,
            };
            self.call(lane);
            lanes[lane].pass();
        }
    }

    fn call(&self, lane: usize) {
        let (stack, began, clock) = (self.stack.clone(), self.clock.tick(), self.clock.clone());
        let request = Request::post(format!("{}/v1beta/models/{}:generateContent", self.upstream, LANES[lane]))
            .header("content-type", "application/json")
            .body(Full::from(self.body.clone()));
        tokio::spawn(async move {
            let outcome = match request {
                Ok(request) => outcome(stack, request).await,
                Err(error) => format!("failed {error}"),
            };
            println!("call {lane} {} {outcome}", clock.tick().since(began).as_millis());
        });
    }
}

async fn next(told: &mut Lines<BufReader<Stdin>>) -> anyhow::Result<Option<String>> {
    told.next_line().await.context("its input")
}

/// Callers at random times. One who comes late since the machine was busy shifts nobody else.
struct Poisson {
    /// A second.
    rate: f64,
    since: Tick,
    /// When the next is due, counted from then.
    next: Duration,
}

impl Poisson {
    fn set(&mut self, rate: f64, now: Tick) {
        *self = Self { rate, since: now, next: Duration::ZERO };
        self.pass();
    }

    fn pass(&mut self) {
        if self.rate > 0.0 {
            self.next += Duration::from_secs_f64(-(1.0 - fastrand::f64()).ln() / self.rate);
        }
    }

    async fn due(&self, clock: &Clock) {
        if self.rate == 0.0 {
            pending::<()>().await;
        }
        sleep(self.next.saturating_sub(clock.tick().since(self.since))).await;
    }
}

async fn outcome(stack: Stack, request: Request<Full<Bytes>>) -> String {
    let answer = match stack.oneshot(request).await {
        Ok(answer) => answer,
        Err(error) if Error::is_exhausted(&error) => return "exhausted".to_owned(),
        Err(error) => return format!("failed {error}"),
    };
    let status = answer.status();
    match answer.into_body().collect().await {
        Ok(_) if status.is_success() => "ok".to_owned(),
        Ok(_) => format!("status {status}"),
        Err(error) => format!("failed {error}"),
    }
}
