//! Keys that come and go while a run goes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use keypool_client::batch::{Batch, Ended, Task};
use tower_keypool::{Key, Models};

use crate::{
    provider::{self, fine},
    stage,
};

fn prompts(count: usize) -> impl Iterator<Item = Task> + Send {
    (0..count).map(|n| Task::prompt(format!("task {n}")))
}

const S: fn(u64) -> Duration = Duration::from_secs;

/// Slots of a key that comes work with it, apart from each other and at their own pace; those of one that goes hold up nobody.
#[tokio::test(start_paused = true)]
async fn a_key_that_comes_has_slots_and_one_that_goes_keeps_no_task() {
    let pool = provider::pool(provider::keys(1)).build().unwrap();
    let (clock, begun) = (pool.clock().clone(), pool.clock().tick());
    let at: Arc<Mutex<Vec<(usize, Duration)>>> = Arc::default();
    let kept = Arc::clone(&at);
    let (client, _) = provider::client(&pool, Models::new(), move |_, key, _| {
        kept.lock().unwrap().push((key, clock.tick().since(begun)));
        (Duration::from_millis(100), fine())
    });
    let run = Batch::new(client).workers_per_key(2).rate_limit_per_slot(4.0).run(prompts(60));
    let watch = run.watch();
    let changes = tokio::spawn({
        let (pool, watch) = (pool.clone(), watch.clone());
        async move {
            tokio::time::sleep(S(20)).await;
            pool.add(Key::new(stage::secret(1)).id("k1")).unwrap();
            watch.look_again();
            tokio::time::sleep(S(20)).await;
            let both = watch.statistics();
            pool.remove(&"k0".into()).unwrap();
            watch.look_again();
            tokio::time::sleep(S(1)).await;
            (both, watch.statistics())
        }
    });
    let (ended, statistics) = run.finish().await;
    assert!(matches!(ended, Ended::Done) && statistics.ok == 60 && statistics.failed == 0, "{ended:?} {statistics}");
    let (both, one) = changes.await.unwrap();
    assert_eq!((both.slots, both.by_slot.len(), one.slots), (4, 4, 2), "{both}");
    assert_eq!(one.paused, 0, "who is gone does not rest: {one}");
    let at = at.lock().unwrap();
    let of_new: Vec<Duration> = at.iter().filter(|(key, _)| *key == 1).map(|(_, at)| *at).collect();
    assert!(of_new[0] >= S(20) && of_new[0] < S(21), "{of_new:?}");
    assert!(of_new[1] > of_new[0], "its slots begin apart: {of_new:?}");
    // Two slots, four seconds each.
    let by = |until: Duration| of_new.iter().filter(|at| **at < until).count();
    assert!((9..=10).contains(&by(S(40))), "{of_new:?}");
    // 10 of the first key's in 20 s, 20 of both in the next, and then 30 of the other one.
    assert!((94.0..106.0).contains(&statistics.seconds), "{}", statistics.seconds);
    assert!(at.iter().all(|(key, at)| *key == 1 || *at < S(41)), "{at:?}");
}

/// Without slots more requests go at a time for more keys, unless somebody said how many.
#[tokio::test(start_paused = true)]
async fn more_keys_keep_more_requests_under_way() {
    for (asked, most) in [(None, 40), (Some(3), 3)] {
        let pool = provider::pool(provider::keys(1)).build().unwrap();
        let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (S(10), fine()));
        let batch = Batch::new(client);
        let batch = asked.into_iter().fold(batch, Batch::concurrency);
        let run = batch.run(prompts(if asked.is_some() { 30 } else { 400 }));
        let watch = run.watch();
        let changes = tokio::spawn(async move {
            tokio::time::sleep(S(5)).await;
            for n in 1..10 {
                pool.add(Key::new(stage::secret(n)).id(format!("k{n}"))).unwrap();
            }
            watch.look_again();
            tokio::time::sleep(S(11)).await;
            watch.statistics()
        });
        let (ended, statistics) = run.finish().await;
        assert!(matches!(ended, Ended::Done) && statistics.failed == 0, "{ended:?} {statistics}");
        let then = changes.await.unwrap();
        assert_eq!((then.slots, then.active), (most, most), "{then}");
    }
}
