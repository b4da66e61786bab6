//! Few go first where many wait for the end of a rest, and nobody knows how many the provider takes by then.

use std::time::Duration;

use tokio::{task::JoinHandle, time::sleep};
use tower_keypool::{Error, KeyPool, Lease, Until, Verdict, VerdictKind};

use crate::{
    support::{FLASH, PRO, answer, builder, key, paused, refused, secs, take},
    waiting::{demand, wait},
};

type Tasks = Vec<JoinHandle<Result<Lease, Error>>>;

fn overloaded() -> Verdict {
    Verdict::new(VerdictKind::Overloaded)
}

fn bare() -> Verdict {
    Verdict::new(VerdictKind::RateLimited).unclear()
}

async fn line(pool: &KeyPool, count: usize) -> Tasks {
    let mut tasks = Vec::new();
    for _ in 0..count {
        tasks.push(wait(pool, demand(FLASH)).await);
    }
    tasks
}

/// Those who have a key by now, in their order.
async fn served(tasks: &mut Tasks) -> Vec<Lease> {
    sleep(Duration::from_millis(5)).await;
    let count = tasks.iter().take_while(|task| task.is_finished()).count();
    assert!(tasks[count..].iter().all(|task| !task.is_finished()), "in their order");
    let mut leases = Vec::new();
    for task in tasks.drain(..count) {
        leases.push(task.await.unwrap().unwrap());
    }
    leases
}

fn answered(leases: Vec<Lease>, verdict: &Verdict) {
    for lease in leases {
        assert!(lease.started());
        lease.settle(verdict);
    }
}

/// How many went at a time until all had, each of them well.
async fn all_served(mut tasks: Tasks) -> Vec<usize> {
    let mut went = Vec::new();
    while !tasks.is_empty() {
        let leases = served(&mut tasks).await;
        went.push(leases.len());
        answered(leases, &Verdict::SUCCESS);
    }
    went
}

/// A pool whose model, or whose one key in it, rests; and how long.
fn at_rest(of_a_key: bool) -> (KeyPool, Duration) {
    let keys = if of_a_key { 1 } else { 10 };
    let pool = paused(builder().keys((0..keys).map(key)));
    let (verdict, rest) = if of_a_key { (bare(), secs(10)) } else { (overloaded(), secs(1)) };
    for _ in 0..if of_a_key { 1 } else { 5 } {
        answer(&pool, FLASH, &verdict);
    }
    (pool, rest)
}

#[tokio::test(start_paused = true)]
async fn as_they_are_served_more_go() {
    for of_a_key in [false, true] {
        let (pool, rest) = at_rest(of_a_key);
        let tasks = line(&pool, 40).await;
        sleep(rest).await;
        assert_eq!(all_served(tasks).await, [1, 2, 4, 8, 16, 9], "of a key: {of_a_key}");
        drop(take(&pool, FLASH));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_costs_one_attempt_and_the_rest_grows() {
    for of_a_key in [false, true] {
        let (pool, rest) = at_rest(of_a_key);
        let mut tasks = line(&pool, 40).await;
        for round in 0..3 {
            sleep(rest * (1 << round)).await;
            let leases = served(&mut tasks).await;
            assert_eq!(leases.len(), 1, "of a key: {of_a_key}, round {round}");
            answered(leases, &if of_a_key { bare() } else { overloaded() });
            assert!(served(&mut tasks).await.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_take_long_hold_nobody_up_for_long() {
    for of_a_key in [false, true] {
        let (pool, rest) = at_rest(of_a_key);
        let mut tasks = line(&pool, 200).await;
        sleep(rest).await;
        let (mut went, mut leases) = (Vec::new(), Vec::new());
        while !tasks.is_empty() {
            leases.extend(served(&mut tasks).await);
            went.push(leases.len());
            sleep(Duration::from_millis(495)).await;
        }
        assert_eq!(went, [1, 2, 4, 8, 16, 32, 64, 200], "of a key: {of_a_key}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_line_goes_at_once_and_who_finds_one_stands_behind_it() {
    for of_a_key in [false, true] {
        let (pool, rest) = at_rest(of_a_key);
        sleep(rest).await;
        let leases: Vec<Lease> = (0..20).map(|_| take(&pool, FLASH)).collect();
        drop(leases);
        let (pool, rest) = at_rest(of_a_key);
        let mut tasks = line(&pool, 4).await;
        sleep(rest).await;
        let first = served(&mut tasks).await;
        assert_eq!(first.len(), 1);
        let told = refused(&pool, FLASH);
        let reason = if of_a_key { "at a limit of the provider's" } else { "overloaded" };
        assert!(told.contains(reason) && told.contains("next in"), "{told}");
        let again = pool.try_acquire(FLASH).unwrap_err().retry_after().expect("a time");
        assert!(!again.is_zero() && again <= Duration::from_millis(500), "{again:?}");
        // Another model's are not held up.
        drop(take(&pool, PRO));
        answered(first, &Verdict::SUCCESS);
        let told = refused(&pool, FLASH);
        assert!(told.contains(reason), "as long as a line stands: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_line_holds_nobody_up() {
    for of_a_key in [false, true] {
        let (pool, rest) = at_rest(of_a_key);
        let mut tasks = line(&pool, 4).await;
        sleep(rest).await;
        let first = served(&mut tasks).await;
        for task in tasks.drain(..) {
            task.abort();
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!(pool.snapshot().waiters, 0);
        drop(take(&pool, FLASH));
        answered(first, &Verdict::SUCCESS);
        answer(&pool, FLASH, &Verdict::SUCCESS);
    }
}

/// Nobody waited, so that none of them went before others: the next one stands behind a busy key, and behind no herd.
#[tokio::test(start_paused = true)]
async fn those_that_found_no_line_are_not_counted() {
    let pool = paused(builder().key(key(0).max_concurrent(100)));
    answer(&pool, FLASH, &bare());
    sleep(secs(10)).await;
    let mut leases: Vec<Lease> = (0..100).map(|_| take(&pool, FLASH)).collect();
    let mut tasks = line(&pool, 1).await;
    answered(leases.split_off(99), &Verdict::SUCCESS);
    assert_eq!(served(&mut tasks).await.len(), 1);
}

/// Callers that were told when to come again come all at once, and find no line: the first go, the others begin one.
#[tokio::test(start_paused = true)]
async fn those_that_would_wait_begin_a_line() {
    for of_a_key in [false, true] {
        let (pool, rest) = at_rest(of_a_key);
        sleep(rest).await;
        let tasks = line(&pool, 40).await;
        assert_eq!(all_served(tasks).await, [1, 2, 4, 8, 16, 9], "of a key: {of_a_key}");
        drop(take(&pool, FLASH));
    }
}

/// Whose limit it is may be told, and not which: nobody knows how many a minute takes then, either.
#[tokio::test(start_paused = true)]
async fn a_limit_that_is_blamed_on_somebody_and_not_named_lets_few_go() {
    let pool = paused(builder().key(key(0)));
    answer(&pool, FLASH, &Verdict::new(VerdictKind::RateLimited).until(Until::For(secs(2))));
    let mut tasks = line(&pool, 40).await;
    sleep(secs(2)).await;
    for expected in [1, 2, 4] {
        let leases = served(&mut tasks).await;
        assert_eq!(leases.len(), expected);
        answered(leases, &Verdict::SUCCESS);
    }
}
