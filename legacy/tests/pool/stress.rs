//! Eight threads on one pool: nothing is exceeded, nothing is lost, nothing is left behind.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tower_keypool::{
    Affinity, Demand, KeyPool, Lease, Limit, Limits, Priority, Scope, Span, Unit, Usage, Verdict, VerdictKind,
};

use crate::support::{FLASH, builder, id, key, noon, rate_for};

const KEYS: usize = 12;
const CONCURRENT: u16 = 3;

/// Counts what is in flight on each key, from outside.
struct Watched<'a> {
    count: &'a AtomicU16,
    lease: Option<Lease>,
}

impl<'a> Watched<'a> {
    fn new(counts: &'a HashMap<String, AtomicU16>, lease: Lease) -> Self {
        let count = &counts[&lease.key_id().to_string()];
        let before = count.fetch_add(1, Ordering::SeqCst);
        assert!(before < CONCURRENT, "{} has {before} in flight already", lease.key_id());
        Self { count, lease: Some(lease) }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        // Counted down before the slot is free, so that the count is never too high.
        self.count.fetch_sub(1, Ordering::SeqCst);
        self.lease.take();
    }
}

#[test]
fn eight_threads_of_everything() {
    let time = noon();
    let keys = (0..KEYS).map(|n| {
        key(n).owner(format!("o{}", n / 3)).max_concurrent(CONCURRENT).priority(Priority(if n < 8 { 0 } else { 10 }))
    });
    let pool = builder()
        .keys(keys)
        .limits(FLASH, Limits::new().per_minute(500).tokens_per_minute(1_000_000))
        .clock(time.clock())
        .build()
        .unwrap();
    let counts: HashMap<String, AtomicU16> = (0..KEYS).map(|n| (id(n).to_string(), AtomicU16::new(0))).collect();
    let started = AtomicU64::new(0);
    thread::scope(|scope| {
        for seed in 0..8 {
            let (pool, counts, started, time) = (&pool, &counts, &started, &time);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut held = Vec::new();
                for _ in 0..20_000 {
                    match random.u8(0..100) {
                        0..50 => {
                            let model = [FLASH, "pro", "third"][random.usize(0..3)];
                            let mut demand = Demand::new(model).tokens(random.u64(0..5000));
                            if random.u8(0..10) == 0 {
                                demand = demand.affinity(Affinity::MustKey(id(random.usize(0..KEYS))));
                            }
                            if let Ok(lease) = pool.try_acquire(demand) {
                                started.fetch_add(1, Ordering::Relaxed);
                                held.push(Watched::new(counts, lease));
                            }
                        }
                        50..85 => {
                            if !held.is_empty() {
                                let watched = held.swap_remove(random.usize(0..held.len()));
                                judge(&watched, &mut random);
                            }
                        }
                        85..95 => {
                            held.clear();
                        }
                        95..97 => change(pool, &mut random),
                        97 => time.advance(Duration::from_millis(random.u64(0..2000))),
                        98 => {
                            assert!(pool.snapshot().keys.len() <= KEYS);
                        }
                        _ => {
                            for lease in pool.acquire_many(&[2, 2]).of("pro").now().into_iter().flatten().flatten() {
                                started.fetch_add(1, Ordering::Relaxed);
                                held.push(Watched::new(counts, lease));
                            }
                        }
                    }
                }
            });
        }
    });
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.in_flight, 0);
    assert!(snapshot.keys.iter().all(|key| key.in_flight == 0));
    assert!(snapshot.lanes.iter().all(|lane| lane.in_flight == 0));
    assert_eq!(snapshot.started, started.load(Ordering::Relaxed));
    assert!(snapshot.started > 10_000, "{}", snapshot.started);
    time.advance(Duration::from_secs(40 * 86_400));
    for n in 0..KEYS {
        let _ = pool.enable(&id(n));
        assert!(pool.try_acquire(Demand::new(FLASH).affinity(Affinity::MustKey(id(n)))).is_ok(), "k{n}");
    }
}

fn judge(watched: &Watched<'_>, random: &mut fastrand::Rng) {
    let lease = watched.lease.as_ref().expect("held until it is dropped");
    let scope = [Scope::Key, Scope::KeyLane, Scope::Owner, Scope::OwnerLane][random.usize(0..4)];
    let verdict = match random.u8(0..20) {
        0 => rate_for(random.u64(0..20)).scope(scope),
        1 => Verdict::new(VerdictKind::InvalidKey).unclear(),
        2 => Verdict::new(VerdictKind::Transient),
        3 => Verdict::new(VerdictKind::Overloaded),
        4 => Verdict::CANCELLED,
        5 => return,
        _ => Verdict::SUCCESS,
    };
    let mut usage = Usage::default();
    usage.input_tokens = Some(random.u64(0..6000));
    lease.usage(usage);
    lease.judge(&verdict);
}

fn change(pool: &KeyPool, random: &mut fastrand::Rng) {
    let n = random.usize(0..KEYS);
    let _ = match random.u8(0..5) {
        0 => pool.disable(&id(n), "x"),
        1 | 2 => pool.enable(&id(n)),
        3 => pool.set_weight(&id(n), random.f32() + 0.1),
        _ => pool.set_priority(&id(n), Priority(random.u16(0..3) * 5)),
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waiters_on_many_threads_all_get_their_turn() {
    let pool = builder().keys((0..4).map(|n| key(n).max_concurrent(1))).build().unwrap();
    let out = Arc::new(AtomicU16::new(0));
    let tasks: Vec<_> = (0..2000)
        .map(|n| {
            let (pool, out) = (pool.clone(), Arc::clone(&out));
            tokio::spawn(async move {
                let demand = Demand::new([FLASH, "pro"][n % 2]).wait(Duration::from_secs(60));
                let acquire = pool.acquire(demand);
                if n % 10 == 0 {
                    // Leaves at some point of its wait.
                    let _ = tokio::time::timeout(Duration::from_micros(n as u64), acquire).await;
                    return;
                }
                let lease = acquire.await.expect("its turn comes");
                assert!(out.fetch_add(1, Ordering::SeqCst) < 4);
                tokio::task::yield_now().await;
                out.fetch_sub(1, Ordering::SeqCst);
                lease.judge(&Verdict::SUCCESS);
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.waiters), (0, 0));
}

/// What a caller asks for in the test below.
fn some_demand(random: &mut fastrand::Rng) -> Demand {
    let mut demand = Demand::new([FLASH, "pro", "third"][random.usize(0..3)]).wait(Duration::from_secs(86_400));
    match random.u8(0..10) {
        0 => demand = demand.tokens(random.u64(0..9_000)),
        1 => demand = demand.about_tokens(random.u64(0..50_000)),
        2 => demand = demand.requests(random.u32(1..5)),
        3 => demand = demand.images(random.u32(0..4)),
        4 => demand = demand.affinity(Affinity::MustKey(id(random.usize(0..4)))),
        5 => demand = demand.affinity(Affinity::MustOwner(format!("o{}", random.usize(0..2)).into())),
        6 => demand = demand.affinity(Affinity::RatherKey(id(random.usize(0..4)))),
        _ => {}
    }
    demand
}

/// Everybody waits for a day at most, but a lost wake-up shows at once as hours of standing still.
#[tokio::test(start_paused = true)]
async fn no_wake_up_is_lost_whatever_people_wait_for() {
    for seed in 0..24 {
        let images = Limit { unit: Unit::Images, span: Span::MINUTE, amount: 5 };
        let limits = Limits::new().per_minute(6).tokens_per_minute(10_000).with(images);
        let keys = (0..4).map(|n| {
            let key = key(n).owner(format!("o{}", n / 2)).priority(Priority(if n % 2 == 0 { 0 } else { 10 }));
            if n == 0 { key.min_interval(Duration::from_secs(3)) } else { key.max_concurrent(2) }
        });
        let spill_after = Duration::from_secs(if seed % 4 == 0 { 7 } else { 0 });
        let pool = crate::support::paused(
            builder()
                .keys(keys)
                .limits(FLASH, limits)
                .limits("pro", Limits::new().per_minute(9))
                .spill_after(spill_after),
        );
        let tasks: Vec<_> = (0..150)
            .map(|n| {
                let pool = pool.clone();
                let mut random = fastrand::Rng::with_seed(seed * 1000 + n);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(random.u64(0..60_000))).await;
                    let acquire = pool.acquire(some_demand(&mut random));
                    if random.u8(0..8) == 0 {
                        let leaves = Duration::from_millis(random.u64(0..30_000));
                        let _ = tokio::time::timeout(leaves, acquire).await;
                        return;
                    }
                    let lease = acquire.await.unwrap_or_else(|error| panic!("seed {seed}, number {n}: {error}"));
                    tokio::time::sleep(Duration::from_millis(random.u64(0..4_000))).await;
                    lease.judge(&match random.u8(0..12) {
                        0 => rate_for(random.u64(1..30)),
                        1 => rate_for(random.u64(1..30)).scope(Scope::Owner),
                        2 => Verdict::new(VerdictKind::Overloaded),
                        _ => Verdict::SUCCESS,
                    });
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a key in time");
        }
        let took = pool.clock().tick().since(tower_keypool::Tick::default());
        assert!(took < Duration::from_secs(600), "seed {seed}: {took:?}");
        let snapshot = pool.snapshot();
        assert_eq!((snapshot.in_flight, snapshot.waiters), (0, 0), "seed {seed}");
    }
}
