//! What happens to the processes, and what is told of it.

use redis_fixture::RedisServer;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, End},
    seen::{Seen, Within},
};

/// Every window has moved on once: from then on what is served is what lasts.
const STEADY: u64 = 65;
/// When something happens.
const EVENT: u64 = 75;
/// The store is gone for so long; a stale copy is so old.
const GONE: u64 = 30;

pub(crate) async fn run(scene: &str, store: &str) -> anyhow::Result<Value> {
    let usual = [7.5; 4];
    match scene {
        // 0.9 of what all owners together may.
        "steady" => steady(store, 20, 100, &usual).await,
        "many" => steady(store, 300, 10, &[11.25; 4]).await,
        "lopsided" => steady(store, 100, 10, &[13.5, 0.5, 0.5, 0.5]).await,
        "lanes" => lanes(store).await,
        "burst" => burst(store).await,
        "killed" => killed(store).await,
        "cut" | "restarted" | "flushed" | "stale" => lost(scene).await,
        _ => anyhow::bail!("shared steady|many|lopsided|lanes|burst|killed|cut|restarted|flushed|stale sqlite|redis"),
    }
}

fn told(seen: &Seen, end: &End, within: Within) -> Value {
    let (served, asked) = seen.served(within, |_| true);
    let seconds = within.1.saturating_sub(within.0).as_secs_f64();
    let workers = seen.ready.len() as f64;
    let [renewals, writes, alone, hints] = seen.asked(within);
    // Batches that go to a file of this machine are no calls.
    let calls = (renewals + if end.file { 0 } else { alone }) as f64;
    let (failed, failure) = seen.failed(within);
    json!({
        "over": end.over.len(),
        "overs": end.over.iter().take(10).collect::<Vec<_>>(),
        "arrivals": end.arrivals,
        "stall_ms": end.stall.as_millis() as u64,
        "asked": asked,
        "share": served as f64 / asked.max(1) as f64,
        "calls": calls / seconds / workers,
        "trips": calls / served.max(1) as f64,
        "hints": hints as f64 / served.max(1) as f64,
        "batches": writes as f64 / seconds / workers,
        "failed": failed,
        "failure": failure,
    })
}

/// All as it always is, for two minutes.
async fn measured(cluster: Cluster) -> anyhow::Result<(Seen, Value)> {
    cluster.until(STEADY + 120).await;
    let (seen, end) = cluster.end().await?;
    let told = told(&seen, &end, Within::seconds(STEADY, STEADY + 120));
    Ok((seen, told))
}

async fn steady(store: &str, owners: usize, a_minute: u64, rates: &[f64]) -> anyhow::Result<Value> {
    let mut cluster = Cluster::start(store, rates.len(), owners, a_minute).await?;
    for (worker, rate) in rates.iter().enumerate() {
        cluster.rate(worker, 0, *rate);
    }
    Ok(measured(cluster).await?.1)
}

async fn lanes(store: &str) -> anyhow::Result<Value> {
    let mut cluster = Cluster::start(store, 2, 20, 100).await?;
    for lane in 0..2 {
        cluster.rate(lane, lane, 30.0);
    }
    let (seen, mut told) = measured(cluster).await?;
    let within = Within::seconds(STEADY, STEADY + 120);
    let shares = [0, 1].map(|lane| seen.share(within, |call| call.lane == lane));
    told["share"] = json!(shares[0].min(shares[1]));
    Ok(told)
}

async fn burst(store: &str) -> anyhow::Result<Value> {
    let mut cluster = Cluster::start(store, 4, 10, 10).await?;
    // All of them had something to do before.
    cluster.until(1).await;
    for worker in 0..4 {
        cluster.burst(worker, 5);
    }
    cluster.until(EVENT).await;
    cluster.burst(2, 100);
    cluster.until(EVENT + 3).await;
    let (seen, end) = cluster.end().await?;
    let within = Within::seconds(EVENT - 1, EVENT + 3);
    let mut told = told(&seen, &end, within);
    told["served"] = json!(seen.served(within, |_| true).0);
    Ok(told)
}

/// The others take over its callers, too.
async fn killed(store: &str) -> anyhow::Result<Value> {
    let mut cluster = Cluster::start(store, 4, 20, 100).await?;
    (0..4).for_each(|worker| cluster.rate(worker, 0, 7.5));
    cluster.until(EVENT).await;
    cluster.kill(1)?;
    for worker in [0, 2, 3] {
        cluster.rate(worker, 0, 10.0);
    }
    cluster.until(EVENT + 60).await;
    let (seen, end) = cluster.end().await?;
    Ok(told(&seen, &end, Within::seconds(EVENT, EVENT + 60)))
}

/// Redis loses its connections, itself, or what it knew.
async fn lost(scene: &str) -> anyhow::Result<Value> {
    let mut cluster = Cluster::start("redis", 4, 20, 100).await?;
    (0..4).for_each(|worker| cluster.rate(worker, 0, 7.5));
    let mut back = EVENT;
    let mut copy = None;
    if scene == "stale" {
        let made = RedisServer::start().expect("there is one already");
        made.follow(cluster.server.redis()?);
        cluster.until(EVENT - GONE).await;
        made.promote();
        copy = Some(made);
    }
    cluster.until(EVENT).await;
    match scene {
        "cut" | "restarted" => {
            back += GONE;
            let server = cluster.server.redis()?;
            match scene {
                "cut" => server.freeze(),
                _ => server.kill(),
            }
            cluster.until(back).await;
            let server = cluster.server.redis()?;
            match scene {
                "cut" => server.thaw(),
                _ => server.start_again(),
            }
        }
        "flushed" => drop(cluster.server.redis()?.command(&["FLUSHALL"])),
        _ => {
            if let Some(copy) = &mut copy {
                copy.take_the_place_of(cluster.server.redis()?);
            }
        }
    }
    cluster.until(back + 90).await;
    let (seen, end) = cluster.end().await?;
    let mut told = told(&seen, &end, Within::seconds(back + 60, back + 90));
    let (failed, failure) = seen.failed(Within::seconds(0, back + 90));
    (told["failed"], told["failure"]) = (json!(failed), json!(failure));
    told["meanwhile"] = json!(seen.share(Within::seconds(EVENT, back + 60), |_| true));
    told["back"] = json!(seen.back(back, back + 90, 0.95));
    Ok(told)
}
