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
