//! When no key may serve: a run waits without turning round and round, and ends with what is true.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use keypool_client::batch::{Batch, Ended, FaultKind, Task};
use tower_keypool::{Key, Limits, Models};

use crate::{
    provider::{self, fine, limited, limited_somehow, not_found, suspended},
    stage::MODEL,
};

const QUICK: Duration = Duration::from_millis(20);

fn prompts(count: usize) -> impl Iterator<Item = Task> + Send {
    (0..count).map(|n| Task::prompt(format!("task {n}")))
}

/// Keys of one owner.
fn of_one(keys: usize) -> impl Iterator<Item = Key> {
    provider::keys(keys).map(|key| key.owner("one"))
}

#[tokio::test(start_paused = true)]
async fn a_short_limit_of_every_key_is_waited_for_with_slots_and_without() {
    for (keys, owner, slots) in
        [(1, false, false), (1, false, true), (2, false, true), (12, false, true), (12, true, true)]
    {
        let all: Vec<Key> = if owner { of_one(keys).collect() } else { provider::keys(keys).collect() };
        let pool = provider::pool(all).build().unwrap();
        let clock = pool.clock().clone();
        let begun = clock.tick();
        let (client, _) = provider::client(&pool, Models::new(), move |_, _, _| {
            let over = clock.tick().since(begun) >= Duration::from_secs(38);
            (QUICK, if over { fine() } else { limited("Minute", "38s") })
        });
        for patience in [None, Some(65)] {
            let batch = Batch::new(client.clone());
            let batch = if slots { batch.workers_per_key(4).rate_limit_per_slot(1.0) } else { batch };
            let batch = patience.into_iter().fold(batch, |batch, s| batch.max_wait(Duration::from_secs(s)));
            let (ended, statistics) = batch.run(prompts(60)).finish().await;
            assert!(matches!(ended, Ended::Done), "{keys} keys, one owner {owner}, slots {slots}: {ended:?}");
            assert_eq!((statistics.ok, statistics.failed), (60, 0));
            assert!(statistics.seconds < 75.0, "{}", statistics.seconds);
        }
    }
}

/// Who may not wait for it is told when it ends, also where others stand in front.
#[tokio::test(start_paused = true)]
async fn a_limit_that_lasts_longer_than_may_be_waited_ends_with_its_time() {
    for (keys, slots) in [(1, false), (1, true), (12, false), (12, true)] {
        let pool = provider::pool(of_one(keys)).build().unwrap();
        let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, limited("Minute", "38s")));
        let batch = Batch::new(client).max_wait(Duration::from_secs(2));
        let batch = if slots { batch.workers_per_key(4).rate_limit_per_slot(1.0) } else { batch };
        let (ended, statistics) = batch.run(prompts(60)).finish().await;
        let Ended::OutOfQuota(why) = ended else { panic!("{keys} keys, slots {slots}: {ended:?}") };
        let next = why.may_serve_in().expect("the time to come back");
        assert!(next > Duration::from_secs(30) && next < Duration::from_secs(45), "{next:?}");
        assert!(statistics.seconds < 5.0, "{}", statistics.seconds);
    }
}

/// Nobody waits for a minute to be told that nothing is left today.
#[tokio::test(start_paused = true)]
async fn a_day_that_is_used_up_ends_a_run_soon() {
    for slots in [false, true] {
        let limits = Limits::new().per_minute(1_000).per_day(20);
        let pool = provider::pool(provider::keys(3)).limits(MODEL, limits).build().unwrap();
        let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, fine()));
        let batch = Batch::new(client).until_exhausted();
        let batch = if slots { batch.workers_per_key(4).rate_limit_per_slot(0.1) } else { batch };
        let (ended, all) = batch.run(prompts(200)).finish().await;
        assert!(matches!(ended, Ended::OutOfQuota(_)), "slots {slots}: {ended:?}");
        assert_eq!(all.ok, 60, "{all}");
        assert!(all.seconds < 15.0, "slots {slots}: {all}");
    }
}

/// What waits for a minute's window, or may give its place back, is waited for, though all that is parked waits for tomorrow.
#[tokio::test(start_paused = true)]
async fn a_model_that_is_out_for_the_day_ends_no_run_while_another_waits_for_its_minute() {
    let pool = provider::pool(provider::keys(1));
    let pool = pool.limits("m1", Limits::new().per_day(1)).limits("m2", Limits::new().per_minute(1)).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, fine()));
    let tasks = ["m1", "m2", "m2", "m1"].map(|model| Task::prompt("x").model(model));
    let (ended, statistics) = Batch::new(client).until_exhausted().run(tasks).finish().await;
    assert!(matches!(ended, Ended::OutOfQuota(_)), "{ended:?}");
    assert_eq!((statistics.ok, statistics.models["m2"], statistics.left()), (3, 2, 1), "{statistics}");
}

/// Ends when the test does, however busy that is: one that never yields would not let it.
struct Watchdog(Arc<AtomicUsize>);

impl Watchdog {
    fn new() -> Self {
        let ended = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&ended);
        std::thread::spawn(move || {
            for _ in 0..600 {
                std::thread::sleep(Duration::from_millis(100));
                if seen.load(SeqCst) > 0 {
                    return;
                }
            }
            eprintln!("it turns round and round: no timer comes to its turn");
            std::process::abort();
        });
        Self(ended)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(1, SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_sleeps_and_hears_that_it_is_to_stop() {
    let _watchdog = Watchdog::new();
    for (keys, slots, retry, waited) in
        [(1, false, "38s", 30), (12, false, "38s", 30), (1, false, "1800s", 1_000), (12, true, "1800s", 1_000)]
    {
        // One of the owner's keys is off besides.
        let pool = provider::pool(of_one(keys)).build().unwrap();
        if keys > 1 {
            pool.disable(&"k3".into(), "by hand").unwrap();
        }
        let (client, asked) = provider::client(&pool, Models::new(), move |_, _, _| (QUICK, limited("Minute", retry)));
        let batch = Batch::new(client);
        let batch = if slots { batch.workers_per_key(4).rate_limit_per_slot(1.0) } else { batch };
        let run = batch.run(prompts(3_000));
        let watch = run.watch();
        let clock = pool.clock().clone();
        let stopped = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(waited)).await;
            let told = watch.statistics();
            watch.stop();
            (told, clock.tick())
        });
        let (ended, _) = run.finish().await;
        let (told, at) = stopped.await.unwrap();
        let took = pool.clock().tick().since(at);
        assert!(matches!(ended, Ended::Stopped), "{ended:?}");
        assert!(took < Duration::from_millis(50), "keys {keys}, slots {slots}: it stopped after {took:?}");
        let picks = pool.snapshot().exhausted;
        assert!(picks < 2_000, "keys {keys}, slots {slots}: {picks} picks in vain in {waited} s");
        assert!(asked.load(SeqCst) <= 48, "one wave: {}", asked.load(SeqCst));
        let resting = told.resting.first().unwrap_or_else(|| panic!("keys {keys}, slots {slots}: whom it waits for"));
        assert!(resting.seconds.is_some_and(|seconds| seconds > 1.0), "until when: {resting:?}");
    }
}

/// A model that is out has one clock: when that strikes one task is tried, not a thousand.
#[tokio::test(start_paused = true)]
async fn who_wakes_tries_one_task() {
    let _watchdog = Watchdog::new();
    let pool = provider::pool(of_one(12)).build().unwrap();
    let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, limited("Minute", "600s")));
    let run = Batch::new(client).concurrency(200).run(prompts(3_000));
    let watch = run.watch();
    let stopped = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(7_000)).await;
        watch.stop();
    });
    run.finish().await;
    stopped.await.unwrap();
    let (asked, picks) = (asked.load(SeqCst), pool.snapshot().exhausted);
    // All that were under way at the start, and one each 600 s: it opened, and all go, once one was answered.
    assert!(asked <= 200 + 24, "{asked} requests");
    assert!(picks <= 200 * 2 + 7_000 / 30 * 4, "{picks} picks in vain");
}

/// Owners whose limit nobody knows, all told to rest: when that ends one task is tried at a time, not all that wait.
#[tokio::test(start_paused = true)]
async fn after_a_rest_of_all_keys_a_limit_that_nobody_knows_is_tried_with_one_task_each() {
    let _watchdog = Watchdog::new();
    for (keys, slots) in [(1, false), (12, false), (12, true)] {
        let pool = provider::pool(provider::keys(keys)).build().unwrap();
        let clock = pool.clock().clone();
        let begun = clock.tick();
        let waves: Arc<Mutex<BTreeMap<u64, usize>>> = Arc::default();
        let counted = Arc::clone(&waves);
        let (client, _) = provider::client(&pool, Models::new(), move |_, _, _| {
            let at = clock.tick().since(begun).as_secs();
            *counted.lock().unwrap().entry(at / 38).or_default() += 1;
            // Its third minute is the first in which it serves anybody.
            (QUICK, if at > 130 { fine() } else { limited_somehow("38s") })
        });
        let batch = Batch::new(client).concurrency(200);
        let batch = if slots { batch.workers_per_key(4).rate_limit_per_slot(1.0) } else { batch };
        let (ended, statistics) = batch.run(prompts(600)).finish().await;
        assert!(matches!(ended, Ended::Done) && statistics.ok == 600, "{ended:?}");
        let waves = waves.lock().unwrap();
        println!("{keys} keys, slots {slots}: {waves:?}");
        for wave in 1..3 {
            let asked = waves.get(&wave).copied().unwrap_or_default();
            // Slots go one by one for each key, at their pace.
            let most = if slots { 38 * keys } else { keys };
            assert!((1..=most).contains(&asked), "{keys} keys, slots {slots}: {waves:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_of_slots_without_a_key_that_works_ends_with_four() {
    let pool = provider::pool(provider::keys(3)).build().unwrap();
    let (client, asked) =
        provider::client(&pool, Models::new(), |_, key, _| (QUICK, suspended(&format!("projects/{key}"))));
    let (ended, _) = Batch::new(client).workers_per_key(2).run(prompts(3_000)).finish().await;
    assert!(matches!(ended, Ended::NoKey(_)), "{ended:?}");
    assert!(asked.load(SeqCst) <= 6);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_the_same_day_is_told_at_once() {
    let pool = provider::pool(provider::keys(2)).limits(MODEL, Limits::new().per_day(5)).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, fine()));
    for _ in 0..2 {
        let (ended, statistics) = Batch::new(client.clone()).until_exhausted().run(prompts(30)).finish().await;
        assert!(matches!(ended, Ended::OutOfQuota(_)), "{ended:?}");
        assert!(statistics.seconds < 2.0, "{}", statistics.seconds);
    }
}

/// The project's keys are all told to be off for good, whichever of them heard it first.
#[tokio::test(start_paused = true)]
async fn every_key_of_a_suspended_project_is_off_for_good() {
    let pool = provider::pool(provider::keys(6)).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), |_, key, _| {
        // One answers well before five have failed: else all are held until it does.
        let slow = Duration::from_millis(if key < 5 { 20 + 5 * key as u64 } else { 10 });
        (slow, if key < 5 { suspended("projects/1") } else { fine() })
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let batch = Batch::new(client).on_fault(move |fault| kept.lock().unwrap().push(fault.clone()));
    let (_, statistics) = batch.run(prompts(40)).finish().await;
    assert_eq!(statistics.ok, 40);
    let told = told.lock().unwrap();
    assert!(told.len() > 1, "more than one was under way");
    for fault in told.iter() {
        assert!(fault.permanent && fault.fault == FaultKind::Key, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_there_is_no_keys_fault() {
    let pool = provider::pool(provider::keys(2)).build().unwrap();
    let models = Models::new().for_all(["gone", MODEL]);
    let (client, _) =
        provider::client(&pool, models, |_, _, model| (QUICK, if model == "gone" { not_found(model) } else { fine() }));
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let batch = Batch::new(client).model("gone").on_fault(move |fault| kept.lock().unwrap().push(fault.clone()));
    let mut run = batch.run(prompts(6));
    while let Some(result) = run.next().await {
        assert!(result.success && result.model.as_ref() == MODEL, "{result:?}");
        assert_eq!(result.key_faults, 0, "{result:?}");
    }
    assert_eq!(run.statistics().key_faults, 0);
    let told = told.lock().unwrap();
    assert!(!told.is_empty() && told.iter().all(|fault| fault.fault == FaultKind::Model), "{told:?}");
}

/// How it stands so many seconds after its begin.
async fn eta(
    after: u64,
    keys: usize,
    tasks: usize,
    says: impl Fn(usize) -> provider::Says + Send + Sync + 'static,
) -> f64 {
    let pool = provider::pool(provider::keys(keys)).limits(MODEL, Limits::new().per_minute(60)).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), move |_, key, _| (QUICK, says(key)));
    let run = Batch::new(client).expecting(tasks as u64).run(prompts(tasks));
    let watch = run.watch();
    let told = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(after)).await;
        let told = watch.statistics();
        watch.stop();
        told
    });
    run.finish().await;
    let told = told.await.unwrap();
    println!("{told}\neta {:?}", told.eta);
    told.eta.expect("an expected end")
}

/// Keys that rest carry nothing until they come back.
#[tokio::test(start_paused = true)]
async fn the_expected_end_knows_when_keys_come_back() {
    let one = eta(30, 2, 7_200, |key| if key == 0 { limited("Minute", "3600s") } else { fine() }).await;
    // An hour with one key is 3,600; both carry what is left.
    assert!((5_200.0..5_500.0).contains(&one), "{one}");
    let all = eta(600, 2, 60, |_| limited("Minute", "3600s")).await;
    assert!((2_950.0..3_100.0).contains(&all), "they come back in 50 minutes: {all}");
    let none = eta(30, 2, 7_200, |_| fine()).await;
    assert!((3_400.0..3_650.0).contains(&none), "{none}");
}

/// What another model carries meanwhile is no less done.
#[tokio::test(start_paused = true)]
async fn the_expected_end_knows_of_models_that_take_its_place() {
    let limits = |day: u64| Limits::new().per_minute(60).per_day(day);
    let pool = provider::pool(provider::keys(1)).limits("best", limits(100)).limits(MODEL, limits(1_000));
    let pool = pool.build().unwrap();
    let (client, _) = provider::client(&pool, Models::new().for_all(["best", MODEL]), |_, _, _| (QUICK, fine()));
    let plan = Batch::new(client).model("best").plan();
    assert!(plan.day_ends > 3_600.0, "{plan}");
    let expected = |tasks| plan.expected(tasks, None).unwrap().as_secs_f64();
    // A hundred of one, and the rest of the other, whose first minute goes out at once.
    assert!((830.0..850.0).contains(&expected(1_000)), "{}", expected(1_000));
    assert!(expected(1_200) > plan.day_ends, "both are used up today");
}

/// What may be waited is counted from the last answer on, whatever is said of each wait.
#[tokio::test(start_paused = true)]
async fn short_waits_one_after_the_other_are_a_long_one() {
    for (slots, wait) in [(false, 90), (true, 90), (false, 65), (true, 65)] {
        let pool = provider::pool(provider::keys(4)).build().unwrap();
        let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, limited("Minute", "20s")));
        let batch = Batch::new(client).max_wait(Duration::from_secs(wait));
        let batch = if slots { batch.workers_per_key(4).rate_limit_per_slot(1.0) } else { batch };
        let run = tokio::time::timeout(Duration::from_secs(1_000), batch.run(prompts(60)).finish());
        let (ended, statistics) = run.await.expect("it ends");
        let Ended::OutOfQuota(why) = ended else { panic!("slots {slots}: {ended:?}") };
        assert!(why.may_serve_in().is_some_and(|next| next <= Duration::from_secs(20)), "{why}");
        let seconds = statistics.seconds;
        assert!(seconds > wait as f64 / 2.0 && seconds <= wait as f64 + 5.0, "slots {slots}: {seconds}");
        assert!(asked.load(SeqCst) <= 16 * 20, "{}", asked.load(SeqCst));
    }
}

/// Some answers in between begin it anew, and so does one that takes long.
#[tokio::test(start_paused = true)]
async fn who_is_answered_now_and_then_waits_on() {
    for (long, slots) in [(0, false), (0, true), (100, false), (100, true)] {
        let pool = provider::pool(provider::keys(4)).build().unwrap();
        let clock = pool.clock().clone();
        let begun = clock.tick();
        let (client, _) = provider::client(&pool, Models::new(), move |_, _, _| {
            let at = clock.tick().since(begun).as_secs() % 70;
            if at < 10 { (QUICK + Duration::from_secs(long), fine()) } else { (QUICK, limited("Minute", "20s")) }
        });
        let batch = Batch::new(client).max_wait(Duration::from_secs(90));
        let batch = if slots { batch.workers_per_key(4).rate_limit_per_slot(5.0) } else { batch.concurrency(2) };
        let run = tokio::time::timeout(Duration::from_secs(10_000), batch.run(prompts(60)).finish());
        let (ended, statistics) = run.await.expect("it ends");
        assert!(matches!(ended, Ended::Done) && statistics.ok == 60, "{long} s, slots {slots}: {ended:?}");
    }
}

/// A slot whose key rests keeps no task that another key's slot may carry.
#[tokio::test(start_paused = true)]
async fn a_slot_keeps_no_task_for_which_another_key_is_there() {
    let pool = provider::pool(provider::keys(3)).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), |_, key, _| {
        (QUICK, if key == 0 { limited("Minute", "50s") } else { fine() })
    });
    let batch = Batch::new(client).workers_per_key(2).rate_limit_per_slot(1.0);
    let (ended, statistics) = batch.run(prompts(12)).finish().await;
    assert!(matches!(ended, Ended::Done) && statistics.ok == 12, "{ended:?}");
    assert!(statistics.seconds < 8.0, "{}", statistics.seconds);
}

/// Small tasks of a model that is out wait aside in tens of thousands, and those of others behind them go on.
#[tokio::test(start_paused = true)]
async fn tasks_of_a_model_that_is_out_hold_up_no_others_behind_them() {
    let pool = provider::pool(provider::keys(2)).limits("best", Limits::new().per_day(1)).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, fine()));
    let of = |model: &'static str, count| (0..count).map(move |n| Task::prompt(format!("{model} {n}")).model(model));
    let run = Batch::new(client).until_exhausted().run(of("best", 30_000).chain(of(MODEL, 500)));
    let (ended, statistics) = run.finish().await;
    assert!(matches!(ended, Ended::OutOfQuota(_)), "{ended:?}");
    assert_eq!((statistics.ok, statistics.failed, statistics.left()), (502, 0, 29_998), "{statistics}");
}

/// What waits aside is bounded by the room it takes, however few tasks that are.
#[tokio::test(start_paused = true)]
async fn what_waits_aside_is_bounded() {
    let pool = provider::pool(provider::keys(2)).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), |_, _, _| {
        (Duration::from_millis(100), provider::limited("Day", "40000s"))
    });
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let text = "x".repeat(1 << 20);
    let tasks = (0..1_000).map(move |n| {
        counted.fetch_add(1, SeqCst);
        Task::prompt(format!("{n} {text}"))
    });
    let (ended, statistics) = Batch::new(client).until_exhausted().run(tasks).finish().await;
    assert!(matches!(ended, Ended::OutOfQuota(_)), "{ended:?}");
    assert_eq!(statistics.ok, 0, "{statistics}");
    assert!((32..100).contains(&read.load(SeqCst)), "{read:?}");
}
