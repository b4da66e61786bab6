//! When the provider cannot be reached: nobody pays for it, nothing is piled up, and the run says what it waits for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use keypool_client::{
    Client,
    batch::{Batch, Ended, Task},
};
use tower_keypool::Models;

use crate::{
    provider::{self, Says, fine, limited},
    stage,
};

const QUICK: Duration = Duration::from_millis(20);

fn prompts(count: usize) -> impl Iterator<Item = Task> + Send {
    (0..count).map(|n| Task::prompt(format!("task {n}")))
}

#[tokio::test(start_paused = true)]
async fn who_is_not_reached_is_tried_by_one_and_the_input_stays_where_it_is() {
    let pool = provider::pool(provider::keys(12)).build().unwrap();
    let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, Says::Refused));
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let tasks = prompts(200_000).inspect(move |_| _ = counted.fetch_add(1, SeqCst));
    let run = Batch::new(client).expecting(200_000).run(tasks);
    let watch = run.watch();
    let looked = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        let told = watch.statistics();
        watch.stop();
        told
    });
    let (ended, statistics) = run.finish().await;
    let told = looked.await.unwrap();
    assert!(matches!(ended, Ended::Stopped), "{ended:?}");
    assert_eq!((statistics.ok, statistics.failed), (0, 0), "nobody pays");
    assert!(asked.load(SeqCst) < 48 + 40, "{} attempts", asked.load(SeqCst));
    assert!(read.load(SeqCst) <= 3_000, "{} tasks in memory", read.load(SeqCst));
    // It says so.
    let away = told.unreachable.as_ref().expect("it is told");
    assert!(away.why.contains("provider.invalid:80") && away.why.contains("connection refused"), "{away:?}");
    assert!((0.0..=30.0).contains(&away.seconds), "{away:?}");
    assert_eq!(told.eta, None, "nobody knows: {}", told.line());
    let line = told.line();
    assert!(
        line.contains("waiting for the network: connection refused at provider.invalid:80, tries again in "),
        "{line}"
    );
}

#[tokio::test(start_paused = true)]
async fn patience_runs_from_the_first_failure_on_and_any_answer_begins_it_anew() {
    let minute = Duration::from_secs(90);
    for refused in [1, 5] {
        // Slow answers, and one reset.
        let pool = provider::pool(provider::keys(1)).build().unwrap();
        let (client, _) = provider::client(&pool, Models::new(), move |n, _, _| {
            (minute, if n == refused { Says::Refused } else { fine() })
        });
        let (ended, statistics) = Batch::new(client).concurrency(1).until_exhausted().run(prompts(8)).finish().await;
        assert!(matches!(ended, Ended::Done) && statistics.ok == 8, "{refused}: {ended:?}");
    }
    // A night without a good answer, and one reset.
    let pool = provider::pool(provider::keys(1)).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), |n, _, _| {
        (
            QUICK,
            match n {
                0 => limited("Day", "51s"),
                1 => Says::Refused,
                _ => fine(),
            },
        )
    });
    let (ended, statistics) = Batch::new(client).concurrency(1).run(prompts(8)).finish().await;
    assert!(matches!(ended, Ended::Done) && statistics.ok == 8, "{ended:?}");
    assert!(statistics.seconds > 3_600.0, "it waited for the day: {}", statistics.seconds);
}

#[tokio::test(start_paused = true)]
async fn who_is_never_reached_is_named_at_the_end() {
    for (patience, least, most) in [(Some(2), 10.0, 30.0), (Some(65), 65.0, 100.0), (None, 3_600.0, 3_700.0)] {
        let pool = provider::pool(provider::keys(3)).build().unwrap();
        let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, Says::Refused));
        let batch = patience.into_iter().fold(Batch::new(client), |batch, s| batch.max_wait(Duration::from_secs(s)));
        let (ended, statistics) = batch.run(prompts(20)).finish().await;
        let Ended::Failed(why) = ended else { panic!("{ended:?}") };
        assert!(
            why.contains("connection refused at provider.invalid:80") && why.contains("check the network"),
            "{why}"
        );
        // Whoever has an output says that it goes on.
        assert!(!why.contains("goes on"), "{why}");
        assert!((least..most).contains(&statistics.seconds), "{}", statistics.seconds);
        assert_eq!(statistics.failed, 0);
    }
}

/// A label of 64 letters is none: nobody is asked for it.
#[tokio::test]
async fn a_name_that_nobody_has_is_said_to_be_not_found() {
    let name = format!("{}.invalid", "x".repeat(64));
    let pool = stage::pool(&format!("http://{name}"), 1).build().unwrap();
    let run = Batch::new(Client::new(&pool)).run(prompts(1));
    let why = loop {
        if let Some(unreachable) = run.statistics().unreachable {
            break unreachable.why;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(why.contains("the name was not found") && why.ends_with(&format!(" at {name}:80")), "{why}");
}

/// It took the request: whether it was done, and billed, nobody knows.
#[tokio::test(start_paused = true)]
async fn who_hangs_up_on_a_task_is_asked_as_often_as_a_task_may_fail() {
    let pool = provider::pool(provider::keys(2)).build().unwrap();
    let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, Says::HangsUp));
    let run = Batch::new(client).max_retries(2).run(prompts(1));
    let (ended, statistics) = tokio::time::timeout(Duration::from_secs(600), run.finish()).await.expect("it ends");
    assert!(matches!(ended, Ended::Done), "{ended:?}");
    assert_eq!((statistics.failed, asked.load(SeqCst)), (1, 3));
    assert_eq!(statistics.errors.get("closed"), Some(&1), "{:?}", statistics.errors);
}

/// A way out that is shut opens again some day, and the pool says when: keys that go out elsewhere are held up by nothing.
#[tokio::test(start_paused = true)]
async fn an_exit_that_lets_nothing_out_holds_up_no_other() {
    let all = provider::keys(4).enumerate().map(|(n, key)| if n < 2 { key.exit("tunnel") } else { key });
    let pool = provider::pool(all).build().unwrap();
    let (client, _) =
        provider::client(&pool, Models::new(), |_, key, _| (QUICK, if key < 2 { Says::Shut } else { fine() }));
    let (ended, statistics) = Batch::new(client).until_exhausted().run(prompts(400)).finish().await;
    assert!(matches!(ended, Ended::Done) && statistics.ok == 400, "{ended:?}");
    assert!(statistics.seconds < 10.0, "{}", statistics.seconds);
}

#[tokio::test(start_paused = true)]
async fn an_exit_that_is_shut_ends_a_run_with_the_time_to_come_back() {
    for wait in [1, 45, 300] {
        let pool = provider::pool(provider::keys(2).map(|key| key.exit("tunnel"))).build().unwrap();
        let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, Says::Shut));
        let batch = Batch::new(client).max_wait(Duration::from_secs(wait));
        let (ended, statistics) = batch.run(prompts(20)).finish().await;
        let Ended::OutOfQuota(why) = ended else { panic!("{wait}: {ended:?}") };
        assert!(why.exits().next().is_some() && why.next_in().is_some(), "{why}");
        assert!(statistics.seconds <= (wait.max(10) + 60) as f64, "{wait}: {}", statistics.seconds);
    }
    let pool = provider::pool(provider::keys(2).map(|key| key.exit("tunnel"))).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, Says::Shut));
    let (ended, statistics) = Batch::new(client).run(prompts(20)).finish().await;
    assert!(matches!(ended, Ended::OutOfQuota(_)), "{ended:?}");
    assert!((3_600.0..4_000.0).contains(&statistics.seconds), "who set no time waits an hour: {}", statistics.seconds);
}

/// Tasks that pause are in memory as well.
#[tokio::test(start_paused = true)]
async fn what_pauses_after_a_fault_of_the_model_counts_to_what_is_read() {
    let pool = provider::pool(provider::keys(4)).build().unwrap();
    let overloaded = serde_json::json!({ "error": { "code": 500, "message": "no", "status": "INTERNAL" } });
    let (client, _) =
        provider::client(&pool, Models::new(), move |_, _, _| (QUICK, Says::Answer(500, overloaded.clone())));
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let tasks = prompts(200_000).inspect(move |_| _ = counted.fetch_add(1, SeqCst));
    let run = Batch::new(client).max_retries(1_000).run(tasks);
    let watch = run.watch();
    let stopped = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        watch.stop();
    });
    run.finish().await;
    stopped.await.unwrap();
    assert!(read.load(SeqCst) <= 2_000, "{} tasks in memory", read.load(SeqCst));
}
