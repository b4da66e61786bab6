//! Pools share owners over a real server, which is killed, flushed and replaced under them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::tz::TimeZone;
use redis_fixture::RedisServer;
use tokio::task::JoinHandle;
use tower_keypool::{
    Clock, Demand, KeyPool, KeyState, Limit, Limits, Scope, Sharing, Span, Tick, Unit, Until, Verdict, VerdictKind,
    redis::{Link, Options},
    share::{Board, Books, Holder, HolderId, Moment, RedisBoard, Settings, conformance},
    store::{KeyStanding, Redis, Store},
};

use crate::host::{FLASH, builder};

const AMOUNT: u64 = 10;
const SPAN: Duration = Duration::from_secs(2);
const LEASE: Duration = Duration::from_secs(1);
const OWNERS: usize = 8;

struct Cluster {
    clock: Clock,
    pools: Vec<KeyPool>,
    /// Which key, and when: not before the first, and not after the second.
    starts: Arc<Mutex<Vec<(String, Tick, Tick)>>>,
    /// What was refused, and how.
    refused: Arc<Mutex<Vec<String>>>,
    callers: Vec<JoinHandle<()>>,
}

impl Cluster {
    async fn new(server: &RedisServer, processes: usize) -> Self {
        let (clock, starts, refused) = (Clock::system(), Arc::default(), Arc::<Mutex<Vec<String>>>::default());
        let starts: Arc<Mutex<Vec<(String, Tick, Tick)>>> = starts;
        let (mut pools, mut callers) = (Vec::new(), Vec::new());
        for _ in 0..processes {
            let link = Link::open(Options::new(&server.url()).unwrap()).await.unwrap();
            let shared = Redis::new(&link).share();
            let usual = shared.settings();
            let mut settings = Settings::for_lease(LEASE);
            settings.timeout = Duration::from_millis(250);
            (settings.draws, settings.noting) = (usual.draws, usual.noting);
            let shared = shared.with(&settings);
            let limit = Limit { unit: Unit::Requests, span: Span::Sliding(SPAN), amount: AMOUNT };
            let sharing = Sharing::new(shared.holder().clone()).settings(settings);
            let pool = builder(OWNERS).limits(FLASH, Limits::new().with(limit)).clock(clock.clone());
            let pool = pool.open_shared(shared.clone(), shared, sharing).await.unwrap();
            for _ in 0..4 {
                let (pool, clock) = (pool.clone(), clock.clone());
                let (starts, refused) = (Arc::clone(&starts), Arc::clone(&refused));
                callers.push(tokio::spawn(async move {
                    loop {
                        let demand = Demand::new(FLASH).wait(Duration::from_millis(400));
                        let asked = clock.tick();
                        match pool.acquire(demand).await {
                            Ok(lease) => {
                                starts.lock().unwrap().push((lease.key_id().to_string(), asked, clock.tick()));
                                lease.settle(&Verdict::SUCCESS);
                            }
                            Err(error) => refused.lock().unwrap().push(error.to_string()),
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }));
            }
            pools.push(pool);
        }
        Self { clock, pools, starts, refused, callers }
    }

    fn since(&self, lately: Duration) -> usize {
        let now = self.clock.tick();
        self.starts.lock().unwrap().iter().filter(|start| now.since(start.2) <= lately).count()
    }

    /// Serves such a part of what is possible, as soon as the machine lets it; and never more.
    async fn judge(self, share: f64) {
        let possible = (OWNERS as u64 * AMOUNT) as f64 * 2.0;
        let mut served = 0.0;
        for _ in 0..30 {
            served = self.since(2 * (SPAN + Duration::from_millis(250))) as f64;
            if served >= share * possible {
                break;
            }
            pass(SPAN).await;
        }
        self.callers.iter().for_each(JoinHandle::abort);
        let mut by_key = BTreeMap::<String, Vec<(Tick, Tick)>>::new();
        for (key, asked, at) in self.starts.lock().unwrap().drain(..) {
            by_key.entry(key).or_default().push((at, asked));
        }
        for (key, mut starts) in by_key {
            starts.sort();
            for pair in starts.windows(AMOUNT as usize + 1) {
                let within = pair[AMOUNT as usize].0.since(pair[0].1);
                assert!(within > SPAN, "{key}: {} within {within:?}", AMOUNT + 1);
            }
        }
        let refused = self.refused.lock().unwrap();
        println!("{served} of {possible} at last; {} refused, such as {:?}", refused.len(), refused.last());
        assert!(served >= share * possible, "{served} of {possible}");
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_board_in_redis_conforms() {
    let Some(server) = RedisServer::start() else { return };
    let made = std::cell::Cell::new(0);
    conformance::check(async || {
        made.set(made.get() + 1);
        let options = Options::new(&server.url()).unwrap().namespace(format!("board-{}", made.get())).unwrap();
        let board = RedisBoard::new(&Link::open(options).await.unwrap(), &Settings::default());
        // A board that knows nothing hears for the time of a lease whether anybody knows of an earlier one.
        let short = Settings::for_lease(Duration::from_millis(1));
        let mut first = Holder::new(HolderId::new("first", 1), short, Vec::new(), 1);
        let (mut books, now) = (Books::new(&[], SPAN, TimeZone::UTC), Moment::of(&Clock::system()));
        board.renew(&first.renewal(&mut books, now).unwrap()).await.unwrap();
        pass(Duration::from_millis(2)).await;
        board
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_share_and_go_on_after_a_flush() {
    let Some(server) = RedisServer::start() else { return };
    let cluster = Cluster::new(&server, 3).await;
    pass(LEASE * 2 + SPAN).await;
    while cluster.since(SPAN) == 0 {
        pass(LEASE).await;
    }
    server.command(&["FLUSHALL"]);
    pass(LEASE * 2 + SPAN * 3).await;
    cluster.judge(0.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_refuse_while_the_server_is_gone_and_go_on_when_it_is_back() {
    let Some(mut server) = RedisServer::start() else { return };
    let cluster = Cluster::new(&server, 3).await;
    pass(LEASE * 2 + SPAN).await;
    server.kill();
    pass(LEASE * 2).await;
    // What started before is noted when the machine comes to it.
    for _ in 0..60 {
        if cluster.since(LEASE / 2) == 0 {
            break;
        }
        pass(LEASE).await;
    }
    assert_eq!(cluster.since(LEASE / 2), 0);
    let refused = cluster.refused.lock().unwrap().last().cloned().unwrap();
    println!("{refused}");
    server.start_empty();
    pass(LEASE * 2 + SPAN * 3).await;
    assert_eq!(cluster.pools.len(), 3);
    cluster.judge(0.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steady_work_costs_two_calls_a_second_at_most() {
    const PROCESSES: usize = 2;
    const MEASURED: u64 = 6;
    let Some(server) = RedisServer::start() else { return };
    let mut callers = Vec::new();
    for _ in 0..PROCESSES {
        let link = Link::open(Options::new(&server.url()).unwrap()).await.unwrap();
        let shared = Redis::new(&link).share();
        // As it is, but for the first wait: nobody knows of an earlier board.
        let sharing = Sharing::new(shared.holder().clone()).settings(shared.settings());
        let pool = builder(20).limits(FLASH, Limits::new().per_minute(600));
        let pool = pool.open_shared(shared.clone(), shared, sharing).await.unwrap();
        callers.push(tokio::spawn(async move {
            loop {
                if let Ok(lease) = pool.acquire(Demand::new(FLASH).wait(Duration::from_secs(30))).await {
                    lease.settle(&Verdict::SUCCESS);
                }
                pass(Duration::from_millis(50)).await;
            }
        }));
    }
    pass(Duration::from_secs(20)).await;
    let scripts = ["cmdstat_evalsha:calls=", "cmdstat_eval:calls="];
    let count =
        |line: &str| scripts.iter().find_map(|name| line.strip_prefix(name)?.split(',').next()?.parse::<u64>().ok());
    // What a machine with much to do does late it may do twice.
    let mut all = Vec::new();
    for _ in 0..4 {
        server.command(&["CONFIG", "RESETSTAT"]);
        pass(Duration::from_secs(MEASURED)).await;
        let calls: u64 = server.command(&["INFO", "commandstats"]).text().lines().filter_map(count).sum();
        all.push(calls as f64 / (MEASURED * PROCESSES as u64) as f64);
        if all.last().is_some_and(|a_second| *a_second > 0.0 && *a_second <= 2.0) {
            break;
        }
    }
    callers.iter().for_each(JoinHandle::abort);
    assert!(all.last().is_some_and(|a_second| *a_second > 0.0 && *a_second <= 2.0), "{all:?} calls a second");
}

/// Four processes, 20 owners of 100 a minute, nine tenths asked for, at the usual times. Takes two minutes:
/// `cargo test --release --features redis --test sharing -- --ignored --nocapture two_minutes`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes two minutes"]
async fn two_minutes_at_full_size() {
    const PROCESSES: usize = 4;
    let Some(server) = RedisServer::start() else { return };
    let (clock, starts) = (Clock::system(), Arc::<Mutex<Vec<(String, Tick)>>>::default());
    let failed = Arc::<std::sync::atomic::AtomicUsize>::default();
    let mut callers = Vec::new();
    for name in 0..PROCESSES {
        let link = Link::open(Options::new(&server.url()).unwrap()).await.unwrap();
        let shared = Redis::new(&link).share();
        let sharing = Sharing::new(shared.holder().clone()).settings(shared.settings());
        let pool = builder(20).limits(FLASH, Limits::new().per_minute(100)).clock(clock.clone());
        let pool = pool.open_shared(shared.clone(), shared, sharing).await.unwrap();
        let (clock, starts, failed) = (clock.clone(), Arc::clone(&starts), Arc::clone(&failed));
        callers.push(tokio::spawn(async move {
            let mut rng = fastrand::Rng::with_seed(name as u64);
            loop {
                // 30 a second together, at random.
                let pause = -(1.0 - rng.f64()).ln() * PROCESSES as f64 / 30.0;
                pass(Duration::from_secs_f64(pause)).await;
                let (pool, clock, starts, failed) =
                    (pool.clone(), clock.clone(), Arc::clone(&starts), Arc::clone(&failed));
                tokio::spawn(async move {
                    match pool.acquire(Demand::new(FLASH).wait(Duration::from_secs(1))).await {
                        Ok(lease) => {
                            starts.lock().unwrap().push((lease.key_id().to_string(), clock.tick()));
                            lease.settle(&Verdict::SUCCESS);
                        }
                        Err(_) => {
                            failed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        }));
    }
    pass(Duration::from_secs(50)).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    let (served, refused) = (starts.lock().unwrap().len(), failed.load(std::sync::atomic::Ordering::Relaxed));
    pass(Duration::from_secs(70)).await;
    let stats = server.command(&["INFO", "commandstats"]);
    let line = stats.text().lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap_or_default().to_owned();
    callers.iter().for_each(JoinHandle::abort);
    let served = starts.lock().unwrap().len() - served;
    let refused = failed.load(std::sync::atomic::Ordering::Relaxed) - refused;
    let mut by_key = BTreeMap::<String, Vec<Tick>>::new();
    for (key, at) in starts.lock().unwrap().drain(..) {
        by_key.entry(key).or_default().push(at);
    }
    let mut over = 0;
    for starts in by_key.values_mut() {
        starts.sort();
        over += starts.windows(101).filter(|pair| pair[100].since(pair[0]) <= Duration::from_secs(60)).count();
    }
    println!("{served} served, {refused} refused in 70 s, {over} over; {line}");
    assert_eq!(over, 0);
    assert!(served * 100 >= (served + refused) * 95);
}

/// Counts wait for the next renewal, but not with a rest behind them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rest_does_not_wait_for_the_counts_before_it() {
    let Some(server) = RedisServer::start() else { return };
    let redis = Redis::new(&Link::open(Options::new(&server.url()).unwrap()).await.unwrap());
    // A board that knows nothing hears for the time of a lease.
    let mut settings = Settings::for_lease(Duration::from_secs(2));
    (settings.draws, settings.renew_every) = (false, Duration::from_millis(1_500));
    let shared = redis.clone().share().with(&settings);
    let sharing = Sharing::new(shared.holder().clone()).settings(settings);
    let pool = builder(2).limits(FLASH, Limits::new().per_minute(100)).wait(Duration::from_secs(60));
    let pool = pool.open_shared(shared.clone(), shared, sharing).await.unwrap();
    let used = async || redis.usage("0000", "9999").await.unwrap().iter().map(|used| used.requests).sum::<i64>();
    let (clock, last) = (Clock::system(), pool.snapshot().keys.last().unwrap().id.clone());
    let is_off = async || redis.keys().await.unwrap().iter().any(|key| key.state == KeyStanding::Disabled);
    let mut took = Vec::new();
    // In one of some rounds the machine has nothing else to do.
    while took.last().is_none_or(|took| *took >= Duration::from_millis(500)) {
        assert!(took.len() < 5, "{took:?}");
        let before = used().await;
        pool.acquire(FLASH).await.unwrap().settle(&Verdict::SUCCESS);
        // With the first renewal after it.
        while used().await == before {
            pass(Duration::from_millis(5)).await;
        }
        pool.acquire(FLASH).await.unwrap().settle(&Verdict::SUCCESS);
        // These wait for the next.
        pass(Duration::from_millis(300)).await;
        let began = clock.tick();
        pool.disable(&last, "by hand").unwrap();
        while !is_off().await {
            pass(Duration::from_millis(5)).await;
        }
        took.push(clock.tick().since(began));
        pool.enable(&last).unwrap();
        while is_off().await {
            pass(Duration::from_millis(5)).await;
        }
    }
}

/// What those who live know of keys outlives the server's memory of it: told to those who run, and kept for who comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rests_outlive_a_flush() {
    let Some(server) = RedisServer::start() else { return };
    let redis = Redis::new(&Link::open(Options::new(&server.url()).unwrap()).await.unwrap());
    let settings = {
        let mut settings = Settings::for_lease(LEASE);
        settings.draws = false;
        settings
    };
    let open = async || {
        let shared = redis.clone().share().with(&settings);
        let sharing = Sharing::new(shared.holder().clone()).settings(settings.clone());
        let pool = builder(3).limits(FLASH, Limits::new().per_minute(10)).wait(Duration::from_secs(60));
        pool.open_shared(shared.clone(), shared, sharing).await.unwrap()
    };
    let (one, other) = (open().await, open().await);
    let limited = one.acquire(FLASH).await.unwrap();
    let resting = limited.key_id().to_string();
    limited.settle(
        &Verdict::new(VerdictKind::RateLimited).scope(Scope::Key).until(Until::For(Duration::from_secs(3_600))),
    );
    let leased = other.acquire(FLASH).await.unwrap();
    let invalid = leased.key_id().to_string();
    leased
        .settle(&Verdict::new(VerdictKind::Suspended).scope(Scope::Key).until(Until::For(Duration::from_secs(3_600))));
    let kept = async || redis.load().await.unwrap().rests.len();
    while kept().await < 2 {
        pass(Duration::from_millis(10)).await;
    }
    server.command(&["FLUSHALL"]);
    // The next renewals find it, and a lease later it lends again.
    pass(LEASE * 3).await;
    for _ in 0..60 {
        if kept().await == 2 {
            break;
        }
        pass(LEASE).await;
    }
    assert_eq!(kept().await, 2, "the store has them again");
    // Whoever comes reads them at its start. The one key left may be with another process: none is asked for.
    let third = open().await;
    let states = third.snapshot().keys.into_iter().map(|key| (key.id.to_string(), key.state));
    let mut resting_there: Vec<_> = states.filter(|(_, state)| *state == KeyState::Resting).map(|key| key.0).collect();
    let mut expected = [resting, invalid];
    expected.sort();
    resting_there.sort();
    assert_eq!(resting_there, expected);
}
