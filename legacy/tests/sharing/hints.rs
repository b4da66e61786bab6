//! What one process does others hear at once over a real server, as long as it tells them of its own accord; else with their
//! next renewals.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use redis_fixture::RedisServer;
use tower_keypool::{
    Affinity, Demand, KeyPool, Limits, Sharing, Verdict,
    redis::{Link, Options},
    share::Settings,
    store::Redis,
};
use tracing::{Event, Metadata, Subscriber, span};

use crate::host::{FLASH, builder, pass};

const KEYS: usize = 4;
/// Between two renewals, where nothing hastens them; and where hints are heard.
const EVERY: Duration = Duration::from_millis(1_200);
const HINTED: Duration = Duration::from_millis(2_400);
/// Until something is heard that is told at once, on a machine that has much to do.
const AT_ONCE: Duration = Duration::from_millis(500);

/// A process, and what it is called.
struct Process {
    pool: KeyPool,
    name: String,
}

async fn process(url: &str) -> Process {
    open(Options::new(url).unwrap()).await
}

async fn open(options: Options) -> Process {
    let mut settings = Settings::for_lease(Duration::from_secs(3));
    (settings.draws, settings.renew_every, settings.renew_hinted) = (false, EVERY, HINTED);
    settings.timeout = Duration::from_millis(500);
    let shared = Redis::new(&Link::open(options).await.unwrap()).share().with(&settings);
    let name = shared.holder().to_string();
    let sharing = Sharing::new(shared.holder().clone()).settings(settings);
    let pool = builder(KEYS).limits(FLASH, Limits::new().per_minute(600));
    Process { pool: pool.open_shared(shared.clone(), shared, sharing).await.unwrap(), name }
}

/// The board grants, and hears of both.
async fn begun(processes: [&Process; 2]) {
    for (number, process) in processes.into_iter().enumerate() {
        process.pool.acquire(slot(number, 60)).await.expect("the board grants").settle(&Verdict::SUCCESS);
    }
    // What one has at hand lies still from here on, and the first renewals have come back.
    pass(EVERY.as_secs_f64() * 2.5).await;
}

fn slot(number: usize, seconds: u64) -> Demand {
    let owner = format!("project-{number}");
    Demand::new(FLASH).affinity(Affinity::MustOwner(owner.as_str().into())).wait(Duration::from_secs(seconds))
}

fn renewals(process: &Process) -> u64 {
    process.pool.sharing().unwrap().counters.renewals
}

fn hints(process: &Process) -> u64 {
    process.pool.sharing().unwrap().counters.hints
}

/// A machine may have others to serve just then: it is so in one of some rounds. What is so by chance is not so in any.
async fn in_one_round(rounds: usize, mut round: impl AsyncFnMut() -> Result<(), String>) {
    let mut why = Vec::new();
    for _ in 0..rounds {
        match round().await {
            Ok(()) => return,
            Err(error) => why.push(error),
        }
    }
    panic!("in none of {rounds} rounds: {why:#?}");
}

fn so(is_so: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(why()) }
}

/// Within so long it is so in the other, what one switches off, and on again.
async fn follows_within(most: Duration, one: &Process, other: &Process) {
    in_one_round(16, async || {
        let longest = followed(one, other).await;
        so(longest < most, || format!("followed after {longest:?}, not {most:?}"))
    })
    .await;
}

/// How long it takes at most until what one switches off, and on again, is so in the other.
async fn followed(one: &Process, other: &Process) -> Duration {
    let id = one.pool.snapshot().keys[KEYS - 1].id.clone();
    let (mut longest, clock) = (Duration::ZERO, other.pool.clock());
    for round in 0..6 {
        // Whenever it is.
        pass(0.31).await;
        let off = round % 2 == 0;
        if off {
            one.pool.disable(&id, "by hand").unwrap();
        } else {
            one.pool.enable(&id).unwrap();
        }
        let begun = clock.tick();
        while (other.pool.snapshot().disabled_keys == 1) != off {
            assert!(clock.tick().since(begun) < Duration::from_secs(60), "it does not follow");
            pass(0.01).await;
        }
        longest = longest.max(clock.tick().since(begun));
    }
    longest
}

/// A process that does nothing sends so many renewals in two and a half of its longer intervals, five of the shorter ones.
async fn renews(process: &Process, expected: std::ops::RangeInclusive<u64>) {
    in_one_round(10, async || {
        let before = renewals(process);
        tokio::time::sleep(HINTED * 5 / 2).await;
        let sent = renewals(process) - before;
        so(expected.contains(&sent), || format!("{sent} renewals, not {expected:?}"))
    })
    .await;
}

/// As the longer interval has it, and the shorter one.
const SELDOM: std::ops::RangeInclusive<u64> = 1..=3;
const OFTEN: std::ops::RangeInclusive<u64> = 4..=7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_one_switches_off_is_off_in_the_other_at_once_and_fewer_renewals_do() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (process(&server.url()).await, process(&server.url()).await);
    begun([&one, &other]).await;
    follows_within(AT_ONCE, &one, &other).await;
    assert!(hints(&other) >= 6, "{}", hints(&other));
    assert_eq!(hints(&one), 0, "nobody is told what he did himself");
    renews(&other, SELDOM).await;
    // Commands change the book, whatever version they are of.
    in_one_round(10, async || {
        for _ in 0..4 {
            let before = renewals(&other);
            server.command(&["INCR", "{keypool}:revision"]);
            tokio::time::sleep(AT_ONCE).await;
            so(renewals(&other) > before, || "a command is not heard of".to_owned())?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_works_with_comes_when_it_is_asked_for_by_its_name() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (process(&server.url()).await, process(&server.url()).await);
    begun([&one, &other]).await;
    let busy: Vec<_> = (0..KEYS)
        .map(|number| {
            let pool = other.pool.clone();
            tokio::spawn(async move {
                loop {
                    if let Ok(lease) = pool.acquire(slot(number, 5)).await {
                        lease.settle(&Verdict::SUCCESS);
                    }
                    pass(0.05).await;
                }
            })
        })
        .collect();
    // A turn is two fifths of the time between two renewals; by renewals alone each takes one or two.
    let most = EVERY * 2 / 5 + AT_ONCE;
    in_one_round(10, async || {
        pass(1.0).await;
        let mut took = Vec::new();
        for number in [2, 0, 3, 1] {
            let before = one.pool.clock().tick();
            one.pool.acquire(slot(number, 60)).await.expect("it comes").settle(&Verdict::SUCCESS);
            took.push(one.pool.clock().tick().since(before));
        }
        took.sort();
        let all: Duration = took.iter().sum();
        so(took[1] < most && all < EVERY * 4, || format!("{took:?}, {most:?} each, {all:?} in all"))
    })
    .await;
    busy.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_of_two_processes_hand_each_other_their_keys() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (process(&server.url()).await, process(&server.url()).await);
    begun([&one, &other]).await;
    in_one_round(8, async || {
        let (mean, longest) = waits(&one, &other).await;
        let most = EVERY * 2 / 3;
        so(mean < most && longest < EVERY * 2, || format!("{mean:?} in the mean, {longest:?} at most"))
    })
    .await;
}

/// For ten seconds, of all keys in both: in the mean, and the longest.
async fn waits(one: &Process, other: &Process) -> (Duration, Duration) {
    let before = renewals(one) + renewals(other);
    let mut all = Vec::new();
    for pool in [&one.pool, &other.pool] {
        for number in 0..KEYS {
            let pool = pool.clone();
            all.push(tokio::spawn(async move {
                let (mut waits, clock) = (Vec::new(), pool.clock());
                let begun = clock.tick();
                while clock.tick().since(begun) < Duration::from_secs(10) {
                    let before = clock.tick();
                    pool.acquire(slot(number, 60)).await.expect("its turn comes").settle(&Verdict::SUCCESS);
                    waits.push(clock.tick().since(before));
                    pass(0.9).await;
                }
                waits
            }));
        }
    }
    let mut waits = Vec::new();
    for slot in all {
        waits.extend(slot.await.unwrap());
    }
    waits.sort();
    let (mean, longest) = (waits.iter().sum::<Duration>() / waits.len() as u32, waits[waits.len() - 1]);
    let renewals = renewals(one) + renewals(other) - before;
    println!("{} served, waits of {mean:?} in the mean, {longest:?} at most; {renewals} renewals", waits.len());
    (mean, longest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_hints_makes_nobody_renew_more_than_a_few_times_a_second() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (process(&server.url()).await, process(&server.url()).await);
    begun([&one, &other]).await;
    let (name, clock) = (format!("{{keypool}}:to:{}:", one.name), one.pool.clock());
    in_one_round(10, async || {
        let (before, heard, began) = (renewals(&one), hints(&one), clock.tick());
        while clock.tick().since(began) < Duration::from_secs(3) {
            server.command(&["SET", &name, ""]);
            pass(0.001).await;
        }
        let (sent, heard) = (renewals(&one) - before, hints(&one) - heard);
        so(heard > 20 && (6..=13).contains(&sent), || format!("{sent} renewals for {heard} hints"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_lost_are_made_again_and_listen() {
    let Some(mut server) = RedisServer::lasting() else { return };
    let (one, other) = (process(&server.url()).await, process(&server.url()).await);
    begun([&one, &other]).await;
    let lost = || other.pool.sharing().unwrap().counters.lost;
    in_one_round(10, async || {
        let before = (renewals(&other), lost());
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        tokio::time::sleep(AT_ONCE).await;
        so(renewals(&other) > before.0, || "something may have been missed".to_owned())?;
        so(lost() == before.1, || "lost over a connection that is there".to_owned())
    })
    .await;
    follows_within(AT_ONCE, &one, &other).await;
    server.start_again();
    // For a lease the board hears who is there.
    pass(4.5).await;
    follows_within(AT_ONCE, &one, &other).await;
    server.command(&["FLUSHALL"]);
    pass(4.5).await;
    follows_within(AT_ONCE, &one, &other).await;
}

/// A way to the server on which nothing comes through that nobody asked for.
fn silent(port: u16) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, lost) = (format!("redis://{}", listener.local_addr().unwrap()), Arc::<AtomicUsize>::default());
    let held_back = Arc::clone(&lost);
    thread::spawn(move || {
        for from in listener.incoming().map_while(Result::ok) {
            let Ok(to) = TcpStream::connect(("127.0.0.1", port)) else { return };
            let pair = (from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || pipe(from, to, |bytes| bytes));
            let lost = Arc::clone(&lost);
            thread::spawn(move || pipe(pair.1, pair.0, |bytes| without_pushes(bytes, &lost)));
        }
    });
    (url, held_back)
}

fn pipe(mut from: TcpStream, mut to: TcpStream, through: impl Fn(Vec<u8>) -> Vec<u8>) {
    let mut room = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut room) {
        if to.write_all(&through(room[..length].to_vec())).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Each is a text of its own at the end of what comes at once, or all that comes.
fn without_pushes(mut bytes: Vec<u8>, lost: &AtomicUsize) -> Vec<u8> {
    const BEGINS: &[u8] = b">2\r\n$10\r\ninvalidate\r\n";
    while let Some(at) = bytes.windows(BEGINS.len()).position(|window| window == BEGINS) {
        let line = |from: usize| from + bytes[from..].windows(2).position(|end| end == b"\r\n").unwrap() + 2;
        let number =
            |from: usize| -> usize { std::str::from_utf8(&bytes[from + 1..line(from) - 2]).unwrap().parse().unwrap() };
        let names = at + BEGINS.len();
        let mut end = line(names);
        for _ in 0..number(names) {
            end = line(end) + number(end) + 2;
        }
        bytes.drain(at..end);
        lost.fetch_add(1, Relaxed);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_hints_are_lost_on_their_way_renewals_come_as_often_as_without() {
    let Some(server) = RedisServer::start() else { return };
    let (url, lost) = silent(server.port());
    let (one, other) = (process(&server.url()).await, process(&url).await);
    begun([&one, &other]).await;
    renews(&other, OFTEN).await;
    follows_within(EVERY + AT_ONCE, &one, &other).await;
    assert_eq!(hints(&other), 0);
    assert!(lost.load(Relaxed) > 6, "the server did tell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_an_earlier_version_that_gives_no_hints_renewals_come_as_often_as_without() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (process(&server.url()).await, process(&server.url()).await);
    begun([&one, &other]).await;
    // Both give hints.
    renews(&other, SELDOM).await;
    // Its record has no word of hints.
    let earlier_renews = "local name = KEYS[1] .. ':holders'
         local one = cmsgpack.unpack(redis.call('HGET', name, ARGV[1]))
         one.hints = nil
         redis.call('HSET', name, 'earlier/1', cmsgpack.pack(one))";
    let stop = Arc::<AtomicUsize>::default();
    let (port, name, stopped) = (server.port(), one.name.clone(), Arc::clone(&stop));
    let earlier = thread::spawn(move || {
        while stopped.load(Relaxed) == 0 {
            redis_fixture::send(port, &["EVAL", earlier_renews, "1", "{keypool}", &name]).unwrap();
            thread::sleep(Duration::from_millis(300));
        }
    });
    tokio::time::sleep(HINTED).await;
    renews(&other, OFTEN).await;
    stop.store(1, Relaxed);
    earlier.join().unwrap();
}

/// Events by name.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Subscriber for Told {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        *self.0.lock().unwrap().entry(event.metadata().name()).or_default() += 1;
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_user_who_may_not_listen_goes_on_without_and_it_is_said_once() {
    let Some(server) = RedisServer::start() else { return };
    let rights = "~{keypool} ~{keypool}:* +@read +@write +@scripting +@transaction +@connection +time +info";
    let mut words = vec!["ACL", "SETUSER", "deaf", "on", ">not-a-real-password", "resetchannels"];
    words.extend(rights.split(' '));
    words.push("-client|tracking");
    server.command(&words);
    let told = Told::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // With one dispatcher alone, tracing asks that of the thread which meets an event first whether anybody listens, and
    // other tests' threads have none.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    tracing::subscriber::with_default(told.clone(), || {
        runtime.block_on(async {
            let options = Options::new(&server.url()).unwrap().user("deaf").password("not-a-real-password");
            let (one, other) = (process(&server.url()).await, open(options).await);
            begun([&one, &other]).await;
            renews(&other, OFTEN).await;
            follows_within(EVERY + AT_ONCE, &one, &other).await;
            assert_eq!(hints(&other), 0);
            // What it does others hear at once all the same.
            follows_within(AT_ONCE, &other, &one).await;
            server.command(&["CLIENT", "KILL", "USER", "deaf"]);
            pass(2.0).await;
        });
    });
    assert_eq!(told.0.lock().unwrap().get("keypool.store_unheard"), Some(&1), "{:?}", told.0.lock().unwrap());
}
