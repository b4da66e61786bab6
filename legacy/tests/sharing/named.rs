//! The scenes of [`identity`](crate::identity) over a database and a server.

use std::{future::Future, time::Duration};

use redis_fixture::RedisServer;
use tower_keypool::{
    Demand, KeyPool, KeyPoolBuilder, QuotaNews, Sharing, Until, Verdict, VerdictKind,
    redis::{Link, Options},
    share::Settings,
    store::{Redis, Sqlite},
};

use crate::{host::FLASH, identity::of};

const LEASE: Duration = Duration::from_secs(2);

async fn served(pool: &KeyPool, requests: usize) -> usize {
    let mut served = 0;
    for _ in 0..requests {
        let Ok(lease) = pool.acquire(Demand::new(FLASH).wait(Duration::from_millis(300))).await else { continue };
        lease.settle(&Verdict::SUCCESS);
        served += 1;
    }
    served
}

/// What each of the three scenes serves of a minute's five, five and four. They know nothing of each other.
async fn scenes<F: Future<Output = KeyPool>>(open: impl Fn(usize, KeyPoolBuilder) -> F) -> [usize; 3] {
    let (renamed, differing, learned) =
        tokio::join!(renamed(|builder| open(0, builder)), differing(|b| open(1, b)), learned(|b| open(2, b)));
    [renamed, differing, learned]
}

/// A server that knows nothing hears for a lease whether anybody knows of an earlier one.
async fn renewals() {
    tokio::time::sleep(LEASE * 3 / 2).await;
}

async fn renamed<F: Future<Output = KeyPool>>(open: impl Fn(KeyPoolBuilder) -> F) -> usize {
    let one = open(of([None], 5)).await;
    renewals().await;
    let mut all = served(&one, 6).await;
    one.reconfigure(of([Some("me")], 5)).unwrap();
    all += served(&one, 2).await;
    let two = open(of([Some("me")], 5)).await;
    all += served(&two, 2).await;
    one.shutdown().await;
    two.shutdown().await;
    let again = open(of([Some("me")], 5)).await;
    all += served(&again, 2).await;
    again.shutdown().await;
    all
}

async fn differing<F: Future<Output = KeyPool>>(open: impl Fn(KeyPoolBuilder) -> F) -> usize {
    let one = open(of([Some("project-a")], 5)).await;
    let two = open(of([None], 5)).await;
    let three = open(of([Some("project-b")], 5)).await;
    renewals().await;
    let mut all = 0;
    for pool in [&one, &two, &three] {
        all += served(pool, 6).await;
        renewals().await;
    }
    all
}

async fn learned<F: Future<Output = KeyPool>>(open: impl Fn(KeyPoolBuilder) -> F) -> usize {
    let (one, two) = (open(of([None, None], 6)).await, open(of([None, None], 6)).await);
    renewals().await;
    for _ in 0..2 {
        let news = QuotaNews { consumer: Some("projects/1".into()), ..QuotaNews::default() };
        let soon = Until::For(Duration::from_millis(100));
        let limited = Verdict::new(VerdictKind::RateLimited).until(soon).news(news);
        one.acquire(Demand::new(FLASH).wait(Duration::from_secs(60))).await.unwrap().settle(&limited);
    }
    renewals().await;
    let mut all = 0;
    for pool in [&two, &one, &two, &one] {
        all += served(pool, 6).await;
        renewals().await;
    }
    all
}

fn run<F: Future<Output = KeyPool>>(open: impl Fn(usize, KeyPoolBuilder) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut all = Vec::new();
        // A machine that stands still for a lease serves less, and plays it again; never more.
        for round in 0..4 {
            let served = scenes(|scene, builder| open(3 * round + scene, builder)).await;
            assert!(served.iter().zip([5, 5, 4]).all(|(served, most)| *served <= most), "{served:?}");
            // Without a word of what was started beyond the mark one of each is not used.
            if served.iter().zip([5, 5, 4]).all(|(served, most)| most - 1 <= *served) {
                return;
            }
            all.push(served);
        }
        panic!("{all:?}");
    });
}

#[test]
fn a_quota_is_one_whatever_it_is_called_over_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |scene: usize, builder: KeyPoolBuilder| {
        let path = folder.path().join(format!("{scene}.db"));
        let store = Sqlite::open(&path).and_then(Sqlite::share).expect("a database");
        let mut settings = Settings::for_lease(LEASE);
        (settings.draws, settings.noting) = (store.settings().draws, store.settings().noting);
        let sharing = Sharing::new(store.holder().clone()).settings(settings);
        builder.open_shared(store.clone(), store, sharing).await.expect("a pool")
    };
    run(open);
}

#[test]
fn a_quota_is_one_whatever_it_is_called_over_a_server() {
    let Some(server) = RedisServer::start() else { return };
    let open = async |scene: usize, builder: KeyPoolBuilder| {
        let options = Options::new(&server.url()).unwrap().namespace(format!("scene-{scene}")).unwrap();
        let link = Link::open(options).await.unwrap();
        let shared = Redis::new(&link).share();
        let usual = shared.settings();
        let mut settings = Settings::for_lease(LEASE);
        (settings.draws, settings.noting) = (usual.draws, usual.noting);
        let shared = shared.with(&settings);
        let sharing = Sharing::new(shared.holder().clone()).settings(settings);
        builder.open_shared(shared.clone(), shared, sharing).await.expect("a pool")
    };
    run(open);
}
