//! A server that loses all that it was told.

use std::{path::Path, time::Duration};

use redis_fixture::RedisServer;
use tower_keypool::{
    Error, KeyPool, Limit, Limits, Sharing, Span, Unit, Verdict,
    redis::{Link, Options},
    share::Settings,
    store::{Redis, Store},
};

use crate::host::{FLASH, builder};

const LEASE: Duration = Duration::from_secs(1);
const AMOUNT: usize = 5;

/// A pool of one key on a machine that remembers in this folder.
async fn open(server: &RedisServer, limits: Limits, folder: Option<&Path>) -> (KeyPool, Redis) {
    open_with(1, server, limits, folder).await
}

async fn open_with(keys: usize, server: &RedisServer, limits: Limits, folder: Option<&Path>) -> (KeyPool, Redis) {
    let redis = Redis::new(&Link::open(Options::new(&server.url()).unwrap()).await.unwrap());
    let mut settings = Settings::for_lease(LEASE);
    settings.draws = false;
    let shared = redis.clone().share().with(&settings);
    let shared = match folder {
        Some(folder) => shared.remembering_in(folder),
        None => shared,
    };
    let sharing = Sharing::new(shared.holder().clone()).settings(settings);
    let pool = builder(keys).limits(FLASH, limits).wait(LEASE * 4);
    (pool.open_shared(shared.clone(), shared, sharing).await.unwrap(), redis)
}

async fn serve(pool: &KeyPool) -> Result<(), Error> {
    pool.acquire(FLASH).await.map(|lease| lease.settle(&Verdict::SUCCESS))
}

/// How many are served until one is not.
async fn served(pool: &KeyPool) -> usize {
    let mut served = 0;
    while serve(pool).await.is_ok() {
        served += 1;
    }
    served
}

/// Until a file says which board this machine knows.
async fn is_remembered(folder: &Path) {
    while std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .all(|file| file.path().extension() != Some("generation".as_ref()))
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// No process lived through it, and the machine on which one ran knows it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_all_while_no_process_lived_does_not_count_from_zero() {
    let Some(mut server) = RedisServer::start() else { return };
    let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let minute = Limit { unit: Unit::Requests, span: Span::Sliding(Duration::from_secs(30)), amount: AMOUNT as u64 };
    let limits = || Limits::new().with(minute);
    let (pool, _) = open(&server, limits(), Some(here.path())).await;
    assert_eq!(served(&pool).await, AMOUNT);
    is_remembered(here.path()).await;
    pool.shutdown().await;
    server.start_empty();
    let (pool, _) = open(&server, limits(), Some(here.path())).await;
    assert_eq!(served(&pool).await, 0, "the window of before has not passed");
    pool.shutdown().await;
    // One that knows of none before begins, as at the first start.
    server.start_empty();
    let (pool, _) = open(&server, limits(), Some(elsewhere.path())).await;
    assert_eq!(served(&pool).await, AMOUNT);
    pool.shutdown().await;
}

/// A day of which nobody knows how much was used is used up; the server that was there all the time counts on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_nobody_knows_counts_as_used_up() {
    let Some(mut server) = RedisServer::lasting() else { return };
    let here = tempfile::tempdir().unwrap();
    let short = Limit { unit: Unit::Requests, span: Span::Sliding(LEASE), amount: AMOUNT as u64 };
    let limits = || Limits::new().with(short).per_day(1_000);
    let (pool, _) = open(&server, limits(), Some(here.path())).await;
    serve(&pool).await.unwrap();
    is_remembered(here.path()).await;
    pool.shutdown().await;
    server.start_again();
    let (pool, _) = open(&server, limits(), Some(here.path())).await;
    let mut again = serve(&pool).await;
    for _ in 0..10 {
        if again.is_ok() {
            break;
        }
        again = serve(&pool).await;
    }
    again.expect("it has all that it had");
    pool.shutdown().await;
    server.start_empty();
    let (pool, _) = open(&server, limits(), Some(here.path())).await;
    for _ in 0..3 {
        assert!(serve(&pool).await.is_err());
    }
    pool.shutdown().await;
}

/// All ended as they should, and the server says that they did: nobody is missed who may have used more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_counts_on_where_the_server_is_started_again_after_an_orderly_end() {
    let Some(mut server) = RedisServer::lasting() else { return };
    let limits = || Limits::new().per_day(AMOUNT as u64);
    let (pool, _) = open(&server, limits(), None).await;
    for _ in 0..2 {
        serve(&pool).await.unwrap();
    }
    pool.shutdown().await;
    server.start_again();
    let (pool, _) = open(&server, limits(), None).await;
    // For a lease it hears who holds what.
    let mut first = serve(&pool).await;
    for _ in 0..5 {
        if first.is_ok() {
            break;
        }
        first = serve(&pool).await;
    }
    first.expect("the day is not out");
    assert_eq!(served(&pool).await, AMOUNT - 3);
    pool.shutdown().await;
}

/// One was killed long before, and cannot say that nothing is lost; who lives can, of all that went before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_died_long_before_a_server_is_started_again_is_not_awaited() {
    let Some(mut server) = RedisServer::lasting() else { return };
    let limits = || Limits::new().per_day(AMOUNT as u64);
    let (pool, _) = open_with(2, &server, limits(), None).await;
    serve(&pool).await.unwrap();
    let dies = tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let opened = runtime.block_on(open_with(2, &server, limits(), None));
        (runtime, opened)
    });
    // It is gone from one moment to the next, and says nothing any more.
    dies.0.shutdown_background();
    tokio::time::sleep(LEASE * 3 / 2).await;
    serve(&pool).await.unwrap();
    // One of the two keys nobody holds.
    server.start_again();
    let mut lasted = LEASE * 6;
    while serve(&pool).await.is_err() {
        lasted = lasted.checked_sub(LEASE / 4).expect("the day is not out");
        tokio::time::sleep(LEASE / 4).await;
    }
    assert_eq!(served(&pool).await, 2 * AMOUNT - 3);
    pool.shutdown().await;
}

/// The same, but that the server knows of nobody who came after its last copy of itself; his machine does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgot_who_came_last_does_not_count_on() {
    let Some(mut server) = RedisServer::start() else { return };
    let here = tempfile::tempdir().unwrap();
    let limits = || Limits::new().per_day(AMOUNT as u64);
    let (pool, _) = open(&server, limits(), Some(here.path())).await;
    serve(&pool).await.unwrap();
    pool.shutdown().await;
    server.command(&["SAVE"]);
    let (pool, _) = open(&server, limits(), Some(here.path())).await;
    assert_eq!(served(&pool).await, AMOUNT - 1);
    pool.shutdown().await;
    server.start_again();
    let (pool, _) = open(&server, limits(), Some(here.path())).await;
    for _ in 0..3 {
        assert!(serve(&pool).await.is_err());
    }
    pool.shutdown().await;
}

/// A machine whose folder cannot be written to at first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_can_be_written_to_later_remembers_the_server_soon() {
    let Some(server) = RedisServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::write(&inner, "no folder").unwrap();
    let (pool, _) = open(&server, Limits::new().per_minute(10), Some(&inner)).await;
    serve(&pool).await.unwrap();
    tokio::time::sleep(LEASE).await;
    std::fs::remove_file(&inner).unwrap();
    std::fs::create_dir(&inner).unwrap();
    tokio::time::timeout(LEASE * 20, is_remembered(&inner)).await.expect("it is tried again");
    pool.shutdown().await;
}

/// What a living process knows of keys and of what they used is there again though nobody asks for anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_use_are_there_again_after_a_flush_without_a_request() {
    let Some(server) = RedisServer::start() else { return };
    let (pool, redis) = open(&server, Limits::new().per_minute(10).per_day(100), None).await;
    serve(&pool).await.unwrap();
    pool.flush().await.unwrap();
    let known = async || {
        let (Ok(used), Ok(keys)) = (redis.usage("0000", "9999").await, redis.keys().await) else { return (0, 0) };
        (keys.len(), used.iter().map(|record| record.requests).sum::<i64>())
    };
    let is_known = async || {
        let mut found = known().await;
        for _ in 0..600 {
            if found == (1, 1) {
                break;
            }
            tokio::time::sleep(LEASE / 10).await;
            found = known().await;
        }
        assert_eq!(found, (1, 1));
    };
    is_known().await;
    server.command(&["FLUSHALL"]);
    is_known().await;
}
