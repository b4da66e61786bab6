//! A provider's address where nobody is one: the run ends, rather than each of its tasks.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use keypool_client::batch::{Batch, Ended, Task};
use tower_keypool::Models;

use crate::provider::{self, Says, fine};

const QUICK: Duration = Duration::from_millis(20);
const PAGE: &str = "<!doctype html><title>Not here</title>";

fn prompts(count: usize) -> impl Iterator<Item = Task> + Send {
    (0..count).map(|n| Task::prompt(format!("task {n}")))
}

#[tokio::test(start_paused = true)]
async fn a_run_to_an_address_that_is_no_providers_ends_early_and_blames_no_task() {
    let says = [
        (|| Says::Leads("https://elsewhere.example/")) as fn() -> Says,
        || Says::Other(404, PAGE),
        || Says::Other(405, ""),
        || Says::Other(200, PAGE),
    ];
    for (n, says) in says.into_iter().enumerate() {
        for slots in [false, true] {
            let pool = provider::pool(provider::keys(3)).build().unwrap();
            let (client, asked) = provider::client(&pool, Models::new(), move |_, _, _| (QUICK, says()));
            let batch = Batch::new(client);
            let batch = if slots { batch.workers_per_key(2).rate_limit_per_slot(0.5) } else { batch };
            let (ended, all) = batch.run(prompts(500)).finish().await;
            let Ended::Astray(why) = ended else { panic!("{n}, slots {slots}: {ended:?} {all}") };
            assert!(why.contains("base URL"), "{why}");
            assert_eq!((all.ok, all.failed), (0, 0), "no task is at fault: {all}");
            let asked = asked.load(SeqCst);
            assert!(asked <= 120, "{n}, slots {slots}: {asked} requests");
        }
    }
}

/// Odd tasks are odd themselves, wherever they stand.
#[tokio::test(start_paused = true)]
async fn tasks_that_find_no_answer_while_others_do_fail_for_themselves() {
    for (odd, all_odd) in [(5, true), (9, false), (40, false)] {
        let pool = provider::pool(provider::keys(3)).build().unwrap();
        let (client, _) = provider::reading(&pool, Models::new(), move |_, _, _, body| {
            let number = body.split("task ").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            let is_odd = number.parse::<usize>().unwrap() < odd;
            (QUICK, if is_odd { Says::Other(404, PAGE) } else { fine() })
        });
        let count = if all_odd { odd } else { 200 };
        let batch = Batch::new(client).concurrency(4);
        // Those come in their turn, and last.
        let tasks: Vec<Task> = if odd > 9 {
            prompts(count).collect::<Vec<_>>().into_iter().rev().collect()
        } else {
            prompts(count).collect()
        };
        let (ended, all) = batch.run(tasks).finish().await;
        assert!(matches!(ended, Ended::Done), "{odd} of {count}: {ended:?} {all}");
        assert_eq!((all.ok as usize, all.failed as usize), (count - odd, odd), "{all}");
    }
}

/// What was met is told once and whole, whatever words it has.
#[tokio::test(start_paused = true)]
async fn what_is_met_is_told_in_its_own_words_and_what_to_look_at_once() {
    let says = [
        (
            (|| Says::Leads("https://elsewhere.example/a?b")) as fn() -> Says,
            "(302 a redirect to https://elsewhere.example/a)",
        ),
        (|| Says::Other(404, "Gone, which is not followed by much"), "(404 Gone, which is not followed by much)"),
        (|| Says::Other(404, "Away; if it stays so, call"), "(404 Away; if it stays so, call)"),
        (|| Says::Other(200, "<p>; if it stays so</p>"), "(it is no JSON object (\"<p>; if it stays so</p>\"))"),
    ];
    for (says, told) in says {
        let pool = provider::pool(provider::keys(3)).build().unwrap();
        let (client, _) = provider::client(&pool, Models::new(), move |_, _, _| (QUICK, says()));
        let (ended, _) = Batch::new(client).run(prompts(50)).finish().await;
        let Ended::Astray(why) = ended else { panic!("{told}: {ended:?}") };
        assert!(why.contains(told), "{told} is missing: {why}");
        assert_eq!(why.matches("base URL").count(), 1, "{why}");
    }
}
