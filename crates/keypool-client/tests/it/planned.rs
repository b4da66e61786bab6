//! What is expected of a run while it goes.

use std::time::Duration;

use gemini_sim::GeminiSim;
use keypool_client::batch::{Batch, Task};
use tower_keypool::Limits;

use crate::stage::{self, MODEL};

#[tokio::test(start_paused = true)]
async fn what_is_under_way_needs_no_quota_more() {
    let builder = GeminiSim::builder().latency(Duration::from_secs(7));
    let limits = |pool: tower_keypool::KeyPoolBuilder| pool.limits(MODEL, Limits::new().per_day(20));
    let (_sim, client) = stage::paused(builder, 2, limits);
    let tasks = (0..40).map(|n| Task::prompt(format!("{n}")));
    let run = Batch::new(client).concurrency(20).expecting(40).run(tasks);
    let watch = run.watch();
    let done = tokio::spawn(run.finish());
    for second in 0..13 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = watch.statistics();
        assert!(now.eta.is_none_or(|eta| eta < 60.0), "after {second} s: {now:?}");
        if second == 11 {
            assert!(now.active == 20 && now.eta.is_some(), "{now:?}");
        }
    }
    assert_eq!(done.await.unwrap().1.ok, 40);
}

#[tokio::test(start_paused = true)]
async fn that_a_model_which_is_out_holds_up_others_is_said() {
    let limits = |pool: tower_keypool::KeyPoolBuilder| pool.limits("gemini-2.5-pro", Limits::new().per_day(1));
    // As many as there are, up to so much text.
    for (letters, full) in [(0, false), (40_000, true)] {
        let text = "x".repeat(letters);
        let (_sim, client) = stage::paused(GeminiSim::builder(), 1, limits);
        let of_pro = (0..1_100).map(|n| Task::prompt(format!("{n} {text}")).model("gemini-2.5-pro"));
        let others = (0..10).map(|n| Task::prompt(format!("other {n}")));
        let batch = Batch::new(client).concurrency(4).max_wait(Duration::from_secs(1));
        let (_, all) = batch.run(of_pro.chain(others).collect::<Vec<_>>()).finish().await;
        assert_eq!(all.ok, if full { 1 } else { 11 }, "{all:?}");
        let said = all.resting[0].why.contains("no more are read until then");
        assert_eq!((&*all.resting[0].model, said), ("gemini-2.5-pro", full), "{all:?}");
    }
}

/// What a minute allows goes out at once, and then nothing for the rest of it.
#[tokio::test(start_paused = true)]
async fn the_end_is_expected_where_minutes_come_in_bursts() {
    for latency in [1, 4] {
        let builder = GeminiSim::builder().latency(Duration::from_secs(latency));
        let limits = |pool: tower_keypool::KeyPoolBuilder| pool.limits(MODEL, Limits::new().per_minute(10));
        let (_sim, client) = stage::paused(builder, 12, limits);
        let run = Batch::new(client).expecting(600).run((0..600).map(|n| Task::prompt(format!("{n}"))));
        let watch = run.watch();
        let before = watch.plan().expected(600, None).unwrap().as_secs_f64();
        let done = tokio::spawn(run.finish());
        let mut said = Vec::new();
        while !done.is_finished() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = watch.statistics();
            said.push((now.seconds, now.eta, now.line()));
        }
        let all = done.await.unwrap().1;
        assert!(all.ok == 600 && all.seconds < 260.0, "five minutes' worth: {all}");
        assert!((all.seconds - before).abs() < 10.0, "before: {before}, and took {}", all.seconds);
        for (at, eta, line) in said.iter().filter(|(at, ..)| *at < all.seconds - 10.0) {
            let eta = eta.unwrap_or_else(|| panic!("nobody knows at {at}: {line}"));
            let left = all.seconds - at;
            assert!((eta - left).abs() < 10.0, "at {at:.0} s, {left:.0} before the end, {eta:.0} expected: {line}");
        }
    }
}

/// Windows that are full at the begin let more through than they do by and by.
#[tokio::test(start_paused = true)]
async fn what_goes_faster_than_it_can_go_on_is_no_share_of_it() {
    let limits = |pool: tower_keypool::KeyPoolBuilder| pool.limits(MODEL, Limits::new().per_minute(10));
    for (tasks, latency, long) in [(10, 4, true), (5, 10, false)] {
        let (_sim, client) = stage::paused(GeminiSim::builder().latency(Duration::from_secs(latency)), 1, limits);
        let batch = Batch::new(client);
        let batch = if long { batch } else { batch.concurrency(1) };
        let all = batch.run((0..tasks).map(|n| Task::prompt(format!("{n}")))).finish().await.1;
        let said = all.to_string();
        let rate = said.lines().find(|line| line.starts_with("rate: ")).unwrap();
        assert_eq!(rate.ends_with(" of 0.17 possible in the long run"), long, "{rate}");
        let faster = all.per_second > all.possible_per_second.unwrap();
        assert_eq!((faster, rate.contains('%')), (long, !long), "{rate}");
    }
}
