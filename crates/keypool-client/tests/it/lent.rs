//! Keys that another process has: a run that waits for them says so.

use std::{sync::Arc, time::Duration};

use keypool_client::batch::{Batch, Task};
use tower_keypool::{
    BoxError, Demand, KeyPool, KeyPoolBuilder, Limits, Models, Sharing,
    share::{Board, HolderId, MemoryBoard, Renewal, Reply},
    store::MemoryStore,
};

use crate::{
    provider::{self, fine},
    stage::MODEL,
};

/// The board that both ask.
#[derive(Clone)]
struct Common(Arc<MemoryBoard>);

impl Board for Common {
    async fn renew(&self, renewal: &Renewal) -> Result<Reply, BoxError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.0.renew(renewal).await
    }
}

async fn opened(board: &Common, name: &str, builder: KeyPoolBuilder) -> KeyPool {
    let sharing = Sharing::new(HolderId::new(name, 1));
    builder.open_shared(MemoryStore::new(), board.clone(), sharing).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_is_waited_for_aloud() {
    for slots in [false, true] {
        let builder = || provider::pool(provider::keys(1)).limits(MODEL, Limits::new().per_minute(1_000));
        let board = Common(Arc::new(MemoryBoard::new(builder().build().unwrap().clock().clone())));
        let other = opened(&board, "other", builder()).await;
        // It always has something to do, and there is one key.
        let at_work = tokio::spawn(async move {
            loop {
                let lease = other.acquire(Demand::new(MODEL).wait(Duration::from_secs(600))).await.unwrap();
                tokio::time::sleep(Duration::from_millis(200)).await;
                drop(lease);
            }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        let pool = opened(&board, "this", builder()).await;
        let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (Duration::from_millis(20), fine()));
        let batch = Batch::new(client).expecting(40);
        let batch = if slots { batch.workers_per_key(2).rate_limit_per_slot(0.1) } else { batch };
        let run = batch.run((0..40).map(|n| Task::prompt(format!("{n}"))).collect::<Vec<_>>());
        let watch = run.watch();
        let done = tokio::spawn(run.finish());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = watch.statistics();
        assert_eq!(now.ok, 0, "the other one has the key: {now:?}");
        let said = now.resting.first().unwrap_or_else(|| panic!("silent, slots {slots}: {}", now.line()));
        assert!(said.why.contains("1 not lent to this process; until another process gives one up"), "{}", said.why);
        assert_eq!((said.seconds, now.eta), (None, None), "nobody knows");
        assert!(slots || now.paused == 1, "{}", now.line());
        at_work.abort();
        assert_eq!(done.await.unwrap().1.ok, 40);
    }
}

/// Each has a part of what the keys allow, which it has seen by then.
#[tokio::test(start_paused = true)]
async fn two_runs_over_the_same_keys_expect_their_end_by_what_they_get_of_them() {
    const TASKS: u64 = 600;
    let builder = || provider::pool(provider::keys(6)).limits(MODEL, Limits::new().per_minute(20));
    let board = Common(Arc::new(MemoryBoard::new(builder().build().unwrap().clock().clone())));
    let mut runs = Vec::new();
    for name in ["one", "two"] {
        let pool = opened(&board, name, builder()).await;
        let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (Duration::from_millis(500), fine()));
        let run = Batch::new(client).expecting(TASKS).run((0..TASKS).map(|n| Task::prompt(format!("{n}"))));
        let watch = run.watch();
        let watching = tokio::spawn(async move {
            let mut said = Vec::new();
            loop {
                tokio::time::sleep(Duration::from_secs(2)).await;
                let now = watch.statistics();
                if now.left() == 0 {
                    return said;
                }
                said.push((now.seconds, now.eta, now.line()));
            }
        });
        runs.push((tokio::spawn(run.finish()), watching));
    }
    for (done, watching) in runs {
        let all = done.await.unwrap().1;
        assert_eq!(all.ok, TASKS, "{all}");
        let said = watching.await.unwrap();
        assert!(all.seconds > 400.0, "they share it: {all}");
        for (at, eta, line) in said.iter().filter(|(at, ..)| (150.0..300.0).contains(at)) {
            let left = all.seconds - at;
            let eta = eta.unwrap_or_else(|| panic!("nobody knows at {at}: {line}"));
            assert!(eta > left * 0.7 - 30.0, "at {at:.0} s, {left:.0} before the end, {eta:.0} expected: {line}");
        }
    }
}
