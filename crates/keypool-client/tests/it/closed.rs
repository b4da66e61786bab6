//! Models that not every key has, and how often that is found out.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use keypool_client::batch::{Batch, Task};
use serde_json::json;
use tower_keypool::Models;

use crate::provider::{self, Says, fine};

const QUICK: Duration = Duration::from_millis(100);

/// What Gemini says to accounts that came after a model.
fn closed() -> Says {
    let message = "This model models/gemini-1.5-old is no longer available to new users. Please update your code to use a newer model.";
    Says::Answer(404, json!({ "error": { "code": 404, "message": message, "status": "NOT_FOUND" } }))
}

fn task() -> Task {
    Task::prompt("a").model("gemini-1.5-old")
}

#[tokio::test(start_paused = true)]
async fn a_task_asks_for_its_model_no_longer_than_there_are_keys_that_were_not_asked() {
    for (keys, most) in [(1, 1), (3, 5), (12, 21)] {
        let pool = provider::pool(provider::keys(keys)).build().unwrap();
        let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, closed()));
        let mut run = Batch::new(client).run([task()]);
        let result = run.next().await.unwrap();
        assert_eq!(result.error.as_ref().map(|error| error.kind), Some("model_unavailable"), "{result:?}");
        let asked = asked.load(SeqCst);
        assert!(asked <= most && asked >= keys.min(3), "{keys} keys: {asked} requests, {result:?}");
    }
}

/// The one account that is old enough.
#[tokio::test(start_paused = true)]
async fn whoever_has_the_model_is_found() {
    for has_it in [0, 2, 5] {
        let pool = provider::pool(provider::keys(6)).build().unwrap();
        let says = move |_, key, _: &str| (QUICK, if key == has_it { fine() } else { closed() });
        let (client, asked) = provider::client(&pool, Models::new(), says);
        let mut run = Batch::new(client).run([task()]);
        let result = run.next().await.unwrap();
        assert!(result.success, "key {has_it}, {asked:?} requests: {result:?}");
    }
}
