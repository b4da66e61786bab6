//! A process ends, or crashes, and another goes on where it was.

use std::time::Duration;

use tower_keypool::{
    KeyPool, KeyPoolBuilder, KeyState, Lease, Limits, ManualClock, OutReason,
    store::{MemoryStore, Store},
};

use crate::support::{
    FLASH, PRO, answer, builder, daily, id, invalid, key, keys, noon, rate_for, refused, rest, secs, suspended, take, view,
    wall,
};

/// A machine on which one process follows another; real time passes only where a test says so.
struct Machine<S> {
    store: S,
    time: ManualClock,
}

impl Machine<MemoryStore> {
    fn new() -> Self {
        Self { store: MemoryStore::new(), time: noon() }
    }
}

impl<S: Store + Clone> Machine<S> {
    async fn start(&self, builder: KeyPoolBuilder) -> KeyPool {
        builder.clock(self.time.clock()).open(self.store.clone()).await.expect("a pool on this store")
    }
}

fn ten_a_minute() -> KeyPoolBuilder {
    builder().key(key(0)).limits(FLASH, Limits::new().per_minute(10))
}

/// Takes so many leases, each as soon as the store allows, and ends them.
async fn spend(pool: &KeyPool, model: &str, count: usize) {
    for n in 0..count {
        drop(next(pool, model).await.unwrap_or_else(|error| panic!("lease {n}: {error}")));
    }
}

/// The next lease, waiting for no more than the store.
async fn next(pool: &KeyPool, model: &str) -> Result<Lease, tower_keypool::Error> {
    for _ in 0..4 {
        match pool.try_acquire(model) {
            Err(error) if waits_for_the_store(&error) => pool.flush().await.unwrap(),
            other => return other,
        }
    }
    panic!("the store does not raise the mark")
}

fn waits_for_the_store(error: &tower_keypool::Error) -> bool {
    error.exhausted().is_some_and(|out| out.reasons().any(|(reason, _)| reason == OutReason::Unwritten))
}

/// How many leases there are at once.
async fn room(pool: &KeyPool, model: &str) -> usize {
    let mut leases = Vec::new();
    while let Ok(lease) = next(pool, model).await {
        leases.push(lease);
    }
    leases.len()
}

#[tokio::test(start_paused = true)]
async fn a_minute_goes_on_where_a_process_ended() {
    let machine = Machine::new();
    let first = machine.start(ten_a_minute()).await;
    spend(&first, FLASH, 4).await;
    machine.time.advance(secs(20));
    spend(&first, FLASH, 3).await;
    first.shutdown().await;

    machine.time.advance(secs(10));
    let second = machine.start(ten_a_minute()).await;
    assert_eq!(room(&second, FLASH).await, 3);
    machine.time.advance(secs(30) + Duration::from_millis(300));
    assert_eq!(room(&second, FLASH).await, 4, "those of the first minute's beginning have left");
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_what_may_have_been_started_unseen_counts_and_no_more() {
    let machine = Machine::new();
    let first = machine.start(ten_a_minute()).await;
    spend(&first, FLASH, 5).await;
    first.flush().await.unwrap();
    let unseen = take(&first, FLASH);
    drop(first);
    drop(unseen);

    machine.time.advance(secs(5));
    let second = machine.start(ten_a_minute()).await;
    let left = room(&second, FLASH).await;
    assert!((1..=4).contains(&left), "{left}: at most 4, and not locked out");
    machine.time.advance(secs(61));
    assert_eq!(room(&second, FLASH).await, 10);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_written_counts_after_a_crash() {
    let machine = Machine::new();
    let first = machine.start(ten_a_minute()).await;
    let mut unseen = Vec::new();
    while let Ok(lease) = first.try_acquire(FLASH) {
        unseen.push(lease);
    }
    assert!(!unseen.is_empty());
    let unseen = unseen.into_iter().map(drop).count();
    // No turn for the task that writes: nobody has awaited anything.
    drop(first);

    let second = machine.start(ten_a_minute()).await;
    let left = room(&second, FLASH).await;
    assert!(left + unseen <= 10 && left >= 6, "{unseen} before the crash, {left} after it");
}
