//! Few keys, none of which serves anybody, and what the proof of that is.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use keypool_client::batch::{Batch, Ended, Task};
use serde_json::json;
use tower_keypool::Models;

use crate::provider::{self, Says, fine};

const QUICK: Duration = Duration::from_millis(100);
/// What the provider says to keys that may not use a model, and to those of another project than a file's.
const NO_PERMISSION: &str = "The caller does not have permission";

fn prompts(count: usize) -> impl Iterator<Item = Task> + Send {
    (0..count).map(|n| Task::prompt(format!("task {n}")))
}

/// A refusal that names no cause.
fn nameless(code: u16, status: &str, message: &str) -> Says {
    Says::Answer(code, json!({ "error": { "code": code, "message": message, "status": status } }))
}

/// A few keys that refuse all that they are asked from the start: several tasks of each are the proof.
#[tokio::test(start_paused = true)]
async fn a_few_keys_that_refuse_all_from_the_start_end_the_run_at_once() {
    for (keys, concurrency) in [(1, 8), (1, 1), (2, 8), (3, 2), (4, 32), (12, 48)] {
        for (message, slots) in [(NO_PERMISSION, false), (NO_PERMISSION, true), ("Nope, policy of the day.", false)] {
            let pool = provider::pool(provider::keys(keys)).build().unwrap();
            let (client, asked) = provider::client(&pool, Models::new(), move |_, _, _| {
                (QUICK, nameless(403, "PERMISSION_DENIED", message))
            });
            let batch = Batch::new(client);
            let batch =
                if slots { batch.workers_per_key(2).rate_limit_per_slot(1.0) } else { batch.concurrency(concurrency) };
            let (ended, statistics) = batch.run(prompts(300)).finish().await;
            let what = format!("{keys} keys, {concurrency} at once, slots {slots}: {asked:?}, {statistics}");
            assert!(matches!(ended, Ended::NoKey(_)), "{ended:?}: {what}");
            assert_eq!(statistics.failed, 0, "{what}");
            assert!(statistics.seconds < 20.0, "{what}");
            assert!(asked.load(SeqCst) <= concurrency.max(4 * keys), "{what}");
        }
    }
}

/// A few odd tasks among good ones, also before these, are no proof.
#[tokio::test(start_paused = true)]
async fn odd_tasks_before_the_good_ones_end_no_run() {
    for (keys, odd, concurrency) in [(1, 1, 1), (1, 2, 1), (1, 2, 8), (2, 2, 2), (3, 2, 8)] {
        let pool = provider::pool(provider::keys(keys)).build().unwrap();
        let (client, _) = provider::reading(&pool, Models::new(), move |_, _, _, body| {
            let bad = (0..odd).any(|n| body.contains(&format!("\"task {n}\"")));
            (QUICK, if bad { nameless(403, "PERMISSION_DENIED", NO_PERMISSION) } else { fine() })
        });
        let run = Batch::new(client).concurrency(concurrency).run(prompts(50));
        let watch = run.watch();
        let ended = tokio::time::timeout(Duration::from_secs(600), run.finish()).await;
        let what = || format!("it ends: {keys} keys, {odd} odd, {concurrency} at once: {}", watch.statistics());
        let (ended, statistics) = ended.unwrap_or_else(|_| panic!("{}", what()));
        let what = format!("{keys} keys, {odd} odd, {concurrency} at once: {statistics}");
        assert!(matches!(ended, Ended::Done), "{ended:?}: {what}");
        assert_eq!((statistics.ok, statistics.failed), (50 - odd as u64, odd as u64), "{what}");
    }
}
