//! Slots: so many a key, each so long from start to start.

use std::{collections::BTreeMap, time::Duration};

use gemini_sim::{GeminiSim, Refusal};
use keypool_client::batch::{Batch, Task};
use tower_keypool::Limits;

use crate::stage::{self, MODEL};

fn prompts(count: usize) -> Vec<Task> {
    (0..count).map(|n| Task::prompt(format!("task {n}"))).collect()
}

/// When each key's requests came.
fn starts(sim: &GeminiSim) -> BTreeMap<usize, Vec<Duration>> {
    sim.log().iter().fold(BTreeMap::new(), |mut starts, arrival| {
        starts.entry(arrival.key.unwrap()).or_default().push(arrival.at);
        starts
    })
}

#[tokio::test(start_paused = true)]
async fn twelve_keys_of_four_slots_make_four_a_second() {
    let builder = GeminiSim::builder().latency(Duration::from_secs(2));
    let (sim, client) = stage::paused(builder, 12, |pool| pool);
    let run = Batch::new(client).workers_per_key(4).rate_limit_per_slot(12.0).run(prompts(400));
    let watch = run.watch();
    let (_, statistics) = run.finish().await;
    assert_eq!((statistics.ok, statistics.slots), (400, 48));
    let rate = 400.0 / statistics.seconds;
    assert!((3.96..4.2).contains(&rate), "{rate} a second");
    assert!((watch.plan().per_second().unwrap() - 4.0).abs() < 1e-9);
    for (key, starts) in starts(&sim) {
        // Four slots: the fifth start is 12 s behind the first.
        for pair in starts.windows(5) {
            let apart = pair[4].saturating_sub(pair[0]);
            assert!(apart >= Duration::from_millis(11_990), "key {key}: {apart:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_pools_limits_hold_as_well() {
    let (sim, client) = stage::paused(GeminiSim::builder(), 2, |pool| pool.limits(MODEL, Limits::new().per_minute(5)));
    let batch = Batch::new(client).workers_per_key(4).rate_limit_per_slot(1.0);
    let (_, statistics) = batch.run(prompts(30)).finish().await;
    assert_eq!(statistics.ok, 30);
    assert!((120.0..124.0).contains(&statistics.seconds), "{}", statistics.seconds);
    for starts in starts(&sim).values() {
        assert!(starts.windows(6).all(|six| six[5].saturating_sub(six[0]) >= Duration::from_secs(60)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_whose_key_is_gone_stands_still_and_the_rest_keep_their_pace() {
    let (sim, client) = stage::paused(GeminiSim::builder(), 4, |pool| pool);
    assert!(sim.refuse_key(1, Some(Refusal::ConsumerSuspended)));
    let run = Batch::new(client).workers_per_key(2).rate_limit_per_slot(2.0).max_retries(0).run(prompts(120));
    let watch = run.watch();
    let looked = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        watch.statistics()
    });
    let (_, statistics) = run.finish().await;
    assert_eq!((statistics.ok, statistics.key_faults), (120, 1), "one slot of the key met it, and no task paid");
    let during = looked.await.unwrap();
    assert_eq!((during.paused, during.slots), (2, 8), "{}", during.line());
    assert!(during.line().contains("| paused 2"), "{}", during.line());
    // Six slots at a start each 2 s: 3 a second.
    assert!((38.0..42.0).contains(&statistics.seconds), "{}", statistics.seconds);
}
