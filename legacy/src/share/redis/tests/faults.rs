//! Processes that share units over a real server, asking for nine tenths of what there is, while something goes wrong with
//! it or with them. Judged by the provider of the simulation: nothing over a limit, and the work goes on.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use redis_fixture::RedisServer;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    limit::{Limit, Limits, Span, Unit},
    redis::{Link, Options},
    share::{
        Board, Counters, Kind, Moment, RedisBoard, Reply, Settings, UnitId, UnitInfo,
        tests::{
            oracle::{Provider, Rule},
            process::{Make, Process, Waiter},
        },
    },
    time::Clock,
};

const AMOUNT: u64 = 10;
pub(super) const SPAN: Duration = Duration::from_secs(2);
/// How long a request waits.
const WAIT: Duration = Duration::from_millis(500);
const UNITS: usize = 8;
pub(super) const LEASE: Duration = Duration::from_secs(1);

/// The limit as the provider means it.
pub(super) const RULE: Rule = Rule { span: SPAN.as_micros() as i64, requests: AMOUNT, tokens: u64::MAX };

/// What the processes of a test have in common.
struct Arena {
    clock: Clock,
    provider: Mutex<Provider>,
    /// What came of each request: when, in microseconds, whose, and whether it was started.
    seen: Mutex<Vec<(i64, usize, bool)>>,
    /// Says what was started and when, by the wall clock: of a process of its own.
    tells: bool,
}

impl Arena {
    fn micros(&self) -> i64 {
        (self.clock.now().tick.nanos() / 1_000) as i64
    }
}

/// A process.
struct Member {
    frozen: Arc<AtomicBool>,
    /// It asks for three times as much.
    eager: Arc<AtomicBool>,
    /// What it counts, as it does.
    counters: Arc<Mutex<Counters>>,
    task: JoinHandle<()>,
}

pub(super) struct Cluster {
    arena: Arc<Arena>,
    members: Vec<Member>,
    begun: i64,
}

fn settings() -> Settings {
    Settings { timeout: Duration::from_millis(250), ..Settings::for_lease(LEASE) }
}

fn infos() -> Vec<UnitInfo> {
    let limit = Limit { unit: Unit::Requests, span: Span::Sliding(SPAN), amount: AMOUNT };
    let unit = |n: usize| UnitId::from(format!("owner-{n}").as_str());
    (0..UNITS)
        .map(|n| UnitInfo {
            unit: unit(n),
            kind: Kind::from("lane"),
            limits: Limits::new().with(limit),
            guard: None,
            joins: Vec::new(),
        })
        .collect()
}

/// Starts whatever may be started, and renews when it is due.
async fn work(
    arena: Arc<Arena>,
    board: RedisBoard,
    name: usize,
    settings: Settings,
    pause: Duration,
    [frozen, eager]: [Arc<AtomicBool>; 2],
    counters: Arc<Mutex<Counters>>,
) {
    let (infos, kind) = (infos(), Kind::from("lane"));
    let make = Make { settings: &settings, infos: &infos, kinds: std::slice::from_ref(&kind) };
    let mut process = Process::new(name, 1, 0, 0, 0, &make);
    let mut rng = fastrand::Rng::with_seed(name as u64);
    let mut call: Option<JoinHandle<Result<Reply, tower::BoxError>>> = None;
    let mut asks = arena.micros();
    loop {
        sleep(Duration::from_millis(3)).await;
        // One moment for all: whoever is stopped in between starts nothing at another time than is noted.
        let now = Moment::of(&arena.clock);
        let at = (now.tick.nanos() / 1_000) as i64;
        let mut asked = 0;
        while asks <= at {
            let pause = if eager.load(Relaxed) { pause / 3 } else { pause };
            asks += rng.i64(0..2 * pause.as_micros() as i64);
            asked += 1;
        }
        if frozen.load(Relaxed) {
            continue;
        }
        process.holder.asked(&kind, asked);
        for _ in 0..asked {
            process.waiters.push_back(Waiter { until: at + WAIT.as_micros() as i64, tokens: 0, kind: 0 });
        }
        while let Some(waiter) = process.waiters.pop_front() {
            let unit = process.start(&waiter, now);
            if let Some(unit) = &unit {
                if arena.tells {
                    println!("started {unit} {}", now.wall_ms);
                }
                arena.provider.lock().unwrap().arrives(unit.as_str(), at + rng.i64(0..200_000), 0);
            } else if waiter.until > at {
                process.waiters.push_front(waiter);
                break;
            }
            arena.seen.lock().unwrap().push((at, name, unit.is_some()));
        }
        process.holder.lacking(&kind, process.waiters.len() as u64, 0, now);
        if let Some(answer) = call.take_if(|call| call.is_finished()) {
            match answer.await.unwrap() {
                Ok(reply) => process.holder.answered(&reply, &mut process.books, now),
                Err(_) => process.holder.failed(now),
            }
        }
        if let Some(renewal) = process.holder.renewal(&mut process.books, now) {
            if let Some(late) = call.take() {
                late.abort();
            }
            let board = board.clone();
            call = Some(tokio::spawn(async move { board.renew(&renewal).await }));
        }
        *counters.lock().unwrap() = process.holder.counters();
    }
}

impl Cluster {
    async fn new(server: &RedisServer, processes: usize) -> Self {
        Self::of(&server.url(), 0..processes, processes, false).await
    }

    /// Some of `all` processes.
    pub(super) async fn of(url: &str, names: std::ops::Range<usize>, all: usize, tells: bool) -> Self {
        let clock = Clock::system();
        let arena = Arena { clock, provider: Mutex::default(), seen: Mutex::default(), tells };
        let (arena, settings) = (Arc::new(arena), settings());
        let begun = arena.micros();
        let mut members = Vec::new();
        let possible = (UNITS as u64 * AMOUNT) as f64 / (SPAN + Duration::from_millis(250)).as_secs_f64();
        let pause = Duration::from_secs_f64(all as f64 / (possible * 0.9));
        for name in names {
            // A connection each: they are processes.
            let link = Link::open(Options::new(url).unwrap().timeout(settings.timeout)).await.unwrap();
            let board = RedisBoard::new(&link, &settings);
            let (frozen, eager) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
            let counters = Arc::<Mutex<Counters>>::default();
            let switches = [Arc::clone(&frozen), Arc::clone(&eager)];
            let work = work(Arc::clone(&arena), board, name, settings.clone(), pause, switches, Arc::clone(&counters));
            members.push(Member { frozen, eager, counters, task: tokio::spawn(work) });
        }
        Self { arena, members, begun }
    }

    /// As long as it takes from a server that knows nothing until work goes on.
    async fn warm(&self) -> Result<(), String> {
        sleep(LEASE * 2).await;
        so(self.served(LEASE).0 > 0, || "the first units are lent once the first lease's time is over")
    }

    /// How many requests were started in the time until now, and how many were to be.
    fn served(&self, lately: Duration) -> (usize, usize) {
        self.served_by(lately, |_| true)
    }

    fn served_by(&self, lately: Duration, who: impl Fn(usize) -> bool) -> (usize, usize) {
        let since = self.arena.micros() - lately.as_micros() as i64;
        let seen = self.arena.seen.lock().unwrap();
        let seen = seen.iter().filter(|seen| seen.0 >= since && who(seen.1));
        seen.fold((0, 0), |(served, all), seen| (served + usize::from(seen.2), all + 1))
    }

    fn counters(&self) -> Vec<Counters> {
        self.members.iter().map(|member| *member.counters.lock().unwrap()).collect()
    }

    /// Nothing was ever over a limit, and of what was asked for over the last two windows at least `share` was started.
    fn judge(self, share: f64) -> Result<(), String> {
        let (served, asked) = self.served(2 * SPAN);
        let counters = self.counters();
        self.members.iter().for_each(|member| member.task.abort());
        let over = self.arena.provider.lock().unwrap().over(&[RULE]);
        let seconds = (self.arena.micros() - self.begun) as f64 / 1e6;
        println!("{served} of {asked} served at last, {seconds:.1} s in all");
        assert!(over.is_empty(), "{over:#?}\n{counters:#?}");
        so(asked > 50 && served as f64 >= share * asked as f64, || format!("{served} of {asked}: {counters:#?}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.members.iter().for_each(|member| member.task.abort());
    }
}

fn so<T: Into<String>>(is_so: bool, why: impl FnOnce() -> T) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(why().into()) }
}

/// A machine that stands still for longer than a lease plays another scene than the one that is meant: it is played again.
/// Whatever goes over a limit is wrong at once.
async fn played(scene: impl AsyncFn() -> Result<(), String>) {
    let mut why = Vec::new();
    for _ in 0..4 {
        match scene().await {
            Ok(()) => return,
            Err(error) => why.push(error),
        }
    }
    panic!("{why:#?}");
}

fn connections(server: &RedisServer) -> u64 {
    let info = server.command(&["INFO", "stats"]);
    let line = info.text().lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_under_load_and_started_with_nothing() {
    played(async || {
        let Some(mut server) = RedisServer::start() else { return Ok(()) };
        let cluster = Cluster::new(&server, 4).await;
        cluster.warm().await?;
        server.kill();
        sleep(LEASE * 2).await;
        so(cluster.served(LEASE / 2).0 == 0, || "leases have ended: nothing is started")?;
        let counters = cluster.counters();
        so(counters.iter().all(|counters| counters.store_lost == 1), || format!("{counters:#?}"))?;
        so(counters.iter().any(|counters| counters.failed_closed > 0), || format!("{counters:#?}"))?;
        server.start_empty();
        // A lease to hear who is there, a window for what may have been used, and two that are judged.
        sleep(LEASE * 3 / 2 + 3 * SPAN).await;
        let counters = cluster.counters();
        so(counters.iter().all(|counters| counters.generations == 1), || format!("{counters:#?}"))?;
        so(connections(&server) < 40, || format!("{} connections", connections(&server)))?;
        cluster.judge(0.6)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_under_load_and_started_with_all_it_had() {
    played(async || {
        let Some(mut server) = RedisServer::lasting() else { return Ok(()) };
        let cluster = Cluster::new(&server, 4).await;
        cluster.warm().await?;
        server.start_again();
        sleep(LEASE + 2 * SPAN).await;
        let counters = cluster.counters();
        so(counters.iter().all(|counters| counters.generations == 1), || {
            format!("another life of the server: {counters:#?}")
        })?;
        cluster.judge(0.5)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_flushed() {
    played(async || {
        let Some(server) = RedisServer::start() else { return Ok(()) };
        let cluster = Cluster::new(&server, 4).await;
        cluster.warm().await?;
        server.command(&["FLUSHALL"]);
        sleep(LEASE + 2 * SPAN).await;
        let counters = cluster.counters();
        so(counters.iter().all(|counters| counters.generations == 1), || format!("{counters:#?}"))?;
        let refused: u64 = counters.iter().map(|counters| counters.refused).sum();
        so(refused == 0, || "who holds something goes on holding it")?;
        cluster.judge(0.6)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_replica_that_is_promoted() {
    played(async || {
        let (Some(mut master), Some(mut replica)) = (RedisServer::start(), RedisServer::start()) else { return Ok(()) };
        let cluster = Cluster::new(&master, 4).await;
        replica.follow(&master);
        cluster.warm().await?;
        // From here on it misses everything: some of what it takes for held goes to others.
        replica.promote();
        cluster.members[0].frozen.store(true, Relaxed);
        sleep(LEASE * 2 + SPAN).await;
        cluster.members[0].frozen.store(false, Relaxed);
        replica.take_the_place_of(&mut master);
        sleep(LEASE * 3 / 2 + 3 * SPAN).await;
        let counters = cluster.counters();
        so(counters.iter().all(|counters| counters.generations == 1), || format!("{counters:#?}"))?;
        cluster.judge(0.6)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_stopped_past_their_lease_and_woken() {
    played(async || {
        let Some(server) = RedisServer::start() else { return Ok(()) };
        let cluster = Cluster::new(&server, 3).await;
        cluster.warm().await?;
        let freeze = |frozen| cluster.members[..2].iter().for_each(|member| member.frozen.store(frozen, Relaxed));
        freeze(true);
        cluster.members[2].eager.store(true, Relaxed);
        sleep(LEASE * 2 + SPAN).await;
        cluster.members[2].eager.store(false, Relaxed);
        freeze(false);
        sleep(LEASE + SPAN * 2).await;
        so(cluster.served_by(SPAN, |name| name == 0).0 > 0, || "it takes part again")?;
        let counters = cluster.counters();
        so(counters[..2].iter().map(|counters| counters.refused).sum::<u64>() > 0, || format!("{counters:#?}"))?;
        cluster.judge(0.6)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_started_again_with_an_old_copy() {
    played(async || {
        let Some(mut server) = RedisServer::start() else { return Ok(()) };
        let cluster = Cluster::new(&server, 4).await;
        cluster.warm().await?;
        server.command(&["SAVE"]);
        sleep(SPAN).await;
        server.start_again();
        sleep(LEASE * 3 / 2 + 3 * SPAN).await;
        let counters = cluster.counters();
        so(counters.iter().all(|counters| counters.generations == 1), || format!("{counters:#?}"))?;
        cluster.judge(0.6)
    })
    .await;
}

/// A server that makes room lets single records go, whatever they hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_units_that_are_evicted() {
    played(async || {
        let Some(server) = RedisServer::start() else { return Ok(()) };
        let cluster = Cluster::new(&server, 4).await;
        cluster.warm().await?;
        for at in 0..2 * UNITS {
            let name = format!("{{keypool}}:unit:owner-{}", at % UNITS);
            assert!(server.command(&["KEYS", "*:unit:*"]).texts().contains(&&*name), "{name} is there, or there again");
            server.command(&["DEL", &name]);
            sleep(LEASE / 4).await;
        }
        sleep(LEASE + 3 * SPAN).await;
        cluster.judge(0.6)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies() {
    played(async || {
        let Some(server) = RedisServer::start() else { return Ok(()) };
        let cluster = Cluster::new(&server, 4).await;
        cluster.warm().await?;
        cluster.members[2].task.abort();
        sleep(LEASE + SPAN * 3).await;
        so(cluster.served_by(LEASE, |name| name == 2).0 == 0, || "it is dead")?;
        cluster.judge(0.8)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stopped_past_all_leases_and_woken() {
    played(async || {
        let Some(server) = RedisServer::start() else { return Ok(()) };
        let cluster = Cluster::new(&server, 4).await;
        cluster.warm().await?;
        let before = connections(&server);
        server.freeze();
        sleep(LEASE * 2).await;
        let served = cluster.served(LEASE / 2).0;
        server.thaw();
        so(served == 0, || "nobody renews: nothing is started")?;
        sleep(LEASE / 2 + SPAN * 3).await;
        let made = connections(&server) - before;
        so(made < 60, || format!("{made} connections"))?;
        cluster.judge(0.6)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_call_a_renewal_and_its_text_once() {
    played(async || {
        let Some(server) = RedisServer::start() else { return Ok(()) };
        let cluster = Cluster::new(&server, 2).await;
        cluster.warm().await?;
        sleep(2 * SPAN).await;
        let renewals: u64 = cluster.counters().iter().map(|counters| counters.renewals).sum();
        let stats = server.command(&["INFO", "commandstats"]);
        let calls = |name: &str| -> u64 {
            let start = format!("cmdstat_{name}:calls=");
            let line = stats.text().lines().find_map(|line| line.strip_prefix(&*start)?.split_once(','));
            line.map_or(0, |line| line.0.parse().unwrap())
        };
        so(calls("eval") <= 2, || "once by each of two that begin together")?;
        so(calls("evalsha").abs_diff(renewals) <= 2, || format!("{} for {renewals}", calls("evalsha")))?;
        cluster.judge(0.8)
    })
    .await;
}
