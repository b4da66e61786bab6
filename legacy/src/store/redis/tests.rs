//! The store in Redis against real servers.

use std::{sync::Arc, time::Duration};

use redis_fixture::RedisServer;

use super::*;
use crate::{
    Demand, Gemini, Key, KeyPool, Limits,
    redis::Options,
    share::{Board, Books, Holder, Moment, Renewal, Settings},
    store::{Keeping, KeptSecret, Vault, conformance},
    verdict::{Scope, VerdictKind},
};

const SECRET: &str = "AIza-not-a-real-key-redis-001";

async fn link(server: &RedisServer, namespace: &str) -> Link {
    patient(server, namespace, Duration::from_secs(30)).await
}

/// Waits so long for an answer.
async fn patient(server: &RedisServer, namespace: &str, patience: Duration) -> Link {
    let options = Options::new(&server.url()).unwrap().namespace(namespace).unwrap();
    Link::open(options.timeout(patience)).await.unwrap()
}

fn key(secret: KeptSecret) -> Arc<Batch> {
    let record = KeyRecord { hash: "aa".to_owned(), id: "work".to_owned(), secret, ..KeyRecord::default() };
    Arc::new(Batch { keys: vec![record], ..Batch::default() })
}

fn used(requests: i64) -> Arc<Batch> {
    let usage = UsageRecord { day: "2026-06-15".into(), key: "aa".into(), requests, ..UsageRecord::default() };
    Arc::new(Batch { usage: vec![usage], ..Batch::default() })
}

async fn sum(store: &Redis) -> i64 {
    store.usage("2026-06-15", "2026-06-15").await.unwrap().iter().map(|row| row.requests).sum()
}

#[tokio::test]
async fn redis_conforms() {
    let Some(server) = RedisServer::start() else { return };
    conformance::check(|name| {
        let (server, name) = (&server, name.replace(' ', "-"));
        async move { Redis::new(&link(server, &name).await) }
    })
    .await;
}

#[tokio::test]
async fn one_that_is_shared_conforms() {
    let Some(server) = RedisServer::start() else { return };
    // No renewal comes: what keys used goes out on its own.
    let settings = Settings::for_lease(Duration::from_millis(40));
    conformance::check_shared(|name| {
        let (server, settings, name) = (&server, &settings, name.replace(' ', "-"));
        async move { Redis::new(&link(server, &name).await).share().with(settings) }
    })
    .await;
}

#[tokio::test]
async fn a_secret_is_encrypted_or_not_written() {
    let Some(server) = RedisServer::lasting() else { return };
    let store = Redis::new(&link(&server, "keypool").await);
    let error = store.write(key(KeptSecret::Plain(SECRET.to_owned()))).await.unwrap_err().to_string();
    assert!(error.contains("work") && error.contains("KEYPOOL_SECRET_KEY") && !error.contains(SECRET), "{error}");
    assert!(store.load().await.unwrap().keys.is_empty(), "nothing of the batch");

    let vault = Vault::new(&"5a".repeat(32)).unwrap();
    let sealed = Keeping::Sealed(vault.clone()).keep(SECRET).unwrap();
    store.write(key(sealed)).await.unwrap();
    let kept = store.keys().await.unwrap().remove(0);
    assert_eq!(
        kept.secret.reveal("work", &crate::store::record::secret_hash(SECRET), Some(&vault)).unwrap().as_deref(),
        Some(SECRET)
    );
    let error = kept.reveal(None).unwrap_err().to_string();
    assert!(error.contains("work") && error.contains("KEYPOOL_SECRET_KEY"), "a machine without it says so: {error}");
    let mut files = vec![server.folder().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_done_once() {
    let Some(mut server) = RedisServer::lasting() else { return };
    let store = Redis::new(&patient(&server, "keypool", Duration::from_secs(2)).await);
    store.write(used(1)).await.unwrap();
    let batch = used(2);
    server.freeze();
    store.write(Arc::clone(&batch)).await.unwrap_err();
    server.thaw();
    // It was on its way: now it is done, or it will be by the next write.
    while store.write(Arc::clone(&batch)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sum(&store).await, 3);
    store.write(used(4)).await.unwrap();
    assert_eq!(sum(&store).await, 7);
    server.start_again();
    while store.load().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sum(&store).await, 7);
}

#[tokio::test]
async fn what_was_used_is_said_to_be_there_again_only_where_it_was_gone() {
    let Some(server) = RedisServer::start() else { return };
    let store = Redis::new(&link(&server, "one").await);
    store.write(used(3)).await.unwrap();
    for (number, gone) in [false, true, false].into_iter().enumerate() {
        if gone {
            server.command(&["FLUSHALL"]);
        }
        // As after a start of the server: it may be older.
        store.days.doubt();
        let words = store.days.again(format!("again-{number}"), 0, &store.batches.name()).unwrap();
        let answer = super::write::run(&store.link, &words).await.unwrap();
        assert_eq!(super::write::is_again(&answer), gone, "{answer:?}");
        assert_eq!(sum(&store).await, 3);
        store.days.restored();
    }
}

#[tokio::test]
async fn namespaces_share_nothing_and_all_names_are_in_one_slot() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other) = (Redis::new(&link(&server, "one").await), Redis::new(&link(&server, "other").await));
    one.write(used(3)).await.unwrap();
    assert_eq!((sum(&one).await, sum(&other).await), (3, 0));
    let names = server.command(&["KEYS", "*"]);
    assert!(names.texts().iter().all(|name| name.starts_with("{one}:")), "{names:?}");
}

#[tokio::test]
async fn a_pool_finds_its_counts_again() {
    let Some(server) = RedisServer::start() else { return };
    let link = link(&server, "keypool").await;
    let open = || {
        let key = Key::free(SECRET).id("work");
        let builder = KeyPool::builder(Gemini::new()).key(key).limits("gemini-2.5-flash", Limits::new().per_minute(2));
        builder.open(Redis::new(&link))
    };
    let demand = || Demand::new("gemini-2.5-flash").wait(Duration::from_millis(300));
    let pool = open().await.unwrap();
    for _ in 0..2 {
        drop(pool.acquire(demand().wait(Duration::from_secs(30))).await.unwrap());
    }
    pool.acquire(demand()).await.unwrap_err();
    pool.shutdown().await;
    drop(pool);
    let pool = open().await.unwrap();
    pool.acquire(demand()).await.unwrap_err();
    pool.shutdown().await;
}

#[tokio::test]
async fn of_those_who_share_a_server_each_keeps_all_but_counts() {
    let Some(server) = RedisServer::start() else { return };
    let link = link(&server, "keypool").await;
    let (one, other) = (Redis::new(&link).share(), Redis::new(&link).share());
    assert_ne!(one.holder(), other.holder());
    let unit = crate::store::UnitRecord { owner: "project".to_owned(), ..Default::default() };
    let run = Some(crate::store::Run::Begun { epoch: 1, crashes: Vec::new() });
    one.write(Arc::new(Batch { units: vec![unit], run, ..(*key(KeptSecret::Elsewhere)).clone() })).await.unwrap();
    one.write(used(2)).await.unwrap();
    other.write(used(3)).await.unwrap();
    let image = other.load().await.unwrap();
    assert_eq!((image.keys.len(), image.units.len(), image.running), (1, 0, false));
    assert_eq!(sum(one.store()).await, 5);
}

#[tokio::test]
async fn keys_are_changed_by_hand_beside_each_other() {
    let Some(server) = RedisServer::start() else { return };
    let link = link(&server, "keypool").await;
    let (one, other) = (Redis::new(&link), Redis::new(&link));
    let vault = Vault::new(&"5a".repeat(32)).unwrap();
    let said = |n: usize| crate::store::KeySettings {
        hash: format!("{n:064}"),
        id: Some(format!("key-{n}")),
        ..Default::default()
    };
    let sealed = || Keeping::Sealed(vault.clone()).keep(SECRET).unwrap();
    // Both at once, again and again: none overwrites the other's.
    let add = async |store: &Redis, from: usize| {
        for n in from..from + 10 {
            store.edit_keys(|book| book.add(said(n), sealed(), 1)).await.unwrap().unwrap();
        }
    };
    tokio::join!(add(&one, 0), add(&other, 10));
    let book = one.key_book().await.unwrap();
    assert_eq!((book.keys().count(), book.revision()), (20, 21));
    let error = one.edit_keys(|book| book.add(said(99), KeptSecret::Plain(SECRET.to_owned()), 1)).await.unwrap_err();
    assert!(error.to_string().contains("encrypted") && !error.to_string().contains(SECRET), "{error}");

    let before = other.key_news(0).await.unwrap().revision;
    one.edit_keys(|book| book.disable("key-3", "by hand")).await.unwrap().unwrap();
    one.edit_keys(|book| book.remove("key-4")).await.unwrap().unwrap();
    let news = other.key_news(before).await.unwrap();
    assert_eq!((news.revision, news.settings.len()), (before + 2, 2));
    assert_eq!(news.settings.iter().filter_map(|said| said.disabled.as_deref()).collect::<Vec<_>>(), ["by hand"]);
    let secrets = server.command(&["HEXISTS", "{keypool}:secrets", &said(4).hash]);
    assert_eq!(secrets, redis_fixture::Reply::Number(0), "forgotten");
    // Nothing changed: nothing is written.
    one.edit_keys(|book| book.find("key-3").map(drop)).await.unwrap().unwrap();
    assert_eq!(other.key_news(0).await.unwrap().revision, before + 2);
}

#[tokio::test]
async fn enable_lifts_rests_and_replace_takes_them_along() {
    let Some(server) = RedisServer::start() else { return };
    let store = Redis::new(&link(&server, "keypool").await);
    let said = crate::store::KeySettings { hash: "aa".to_owned(), id: Some("work".to_owned()), ..Default::default() };
    let secret = || KeptSecret::Reference("env:WORK".to_owned());
    store.edit_keys(|book| book.add(said.clone(), secret(), 1)).await.unwrap().unwrap();
    let rest =
        |scope, whom: &str, lane, kind| crate::store::RestRecord { kind, ..conformance::rest(scope, whom, lane) };
    let rests = || {
        vec![
            rest(Scope::Key, "aa", None, VerdictKind::InvalidKey),
            rest(Scope::KeyLane, "aa", Some("m"), VerdictKind::RateLimited),
            rest(Scope::Owner, "key:aa", None, VerdictKind::RateLimited),
            rest(Scope::Owner, "other", None, VerdictKind::RateLimited),
        ]
    };
    store.write(Arc::new(Batch { rests: rests(), ..Batch::default() })).await.unwrap();
    store.edit_keys(|book| book.replace("work", "bb", secret())).await.unwrap().unwrap();
    let whom = async || {
        let image = store.look().await.unwrap();
        image.rests.into_values().map(|rest| rest.id.whom).collect::<Vec<_>>()
    };
    assert_eq!(whom().await, ["bb", "key:bb", "other"], "but not that the old secret was refused");
    store.edit_keys(|book| book.enable("work")).await.unwrap().unwrap();
    assert_eq!(whom().await, ["other"]);
}

/// How often the server read something from a client.
fn reads(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "stats"]);
    let line = stats.text().lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn what_keys_used_goes_with_the_next_renewal_in_one_call() {
    let Some(server) = RedisServer::start() else { return };
    let link = link(&server, "keypool").await;
    let settings = Settings { timeout: Duration::from_secs(10), ..Settings::for_lease(Duration::from_millis(400)) };
    let shared = Redis::new(&link).share().with(&settings);
    let mut holder = Holder::new(shared.holder().clone(), shared.settings(), Vec::new(), 1);
    let mut books = Books::new(&[], Duration::from_secs(60), jiff::tz::TimeZone::UTC);
    let first = holder.renewal(&mut books, Moment::of(&Clock::system())).unwrap();
    let mut number = first.number;
    let mut renewal = || {
        number += 1;
        Renewal { number, ..first.clone() }
    };
    // Now the server knows both scripts.
    shared.store().write(used(1)).await.unwrap();
    shared.renew(&renewal()).await.unwrap();

    // In one of some rounds the machine does not stand still between the two.
    let (mut calls, mut all) = (Vec::new(), 1);
    while calls.last() != Some(&1) {
        assert!(calls.len() < 5, "{calls:?}");
        // To ask is to send something, too.
        let (first, before) = (reads(&server), reads(&server));
        let asking = before - first;
        let (written, renewed) = tokio::join!(shared.write(used(2)), async {
            tokio::task::yield_now().await;
            shared.renew(&renewal()).await
        });
        written.unwrap();
        renewed.unwrap();
        calls.push(reads(&server) - before - asking);
        all += 2;
    }
    assert_eq!(sum(shared.store()).await, all);

    // Nobody renews: it goes alone. What does not count does not wait.
    shared.write(used(4)).await.unwrap();
    assert_eq!(sum(shared.store()).await, all + 4);
    shared.write(key(KeptSecret::Elsewhere)).await.unwrap();
    assert_eq!(shared.store().keys().await.unwrap().len(), 1);

    // Where the server has forgotten the scripts, both are done all the same.
    server.command(&["SCRIPT", "FLUSH"]);
    let (written, renewed) = tokio::join!(shared.write(used(8)), async {
        tokio::task::yield_now().await;
        shared.renew(&renewal()).await
    });
    written.unwrap();
    renewed.unwrap();
    assert_eq!(sum(shared.store()).await, all + 12);
}

#[tokio::test]
async fn a_server_that_was_flushed_is_given_again_what_living_processes_know_of_the_days() {
    let Some(server) = RedisServer::start() else { return };
    let link = link(&server, "keypool").await;
    let (one, other, ended) = (Redis::new(&link), Redis::new(&link), Redis::new(&link));
    let yesterday = |requests| {
        let usage = UsageRecord { day: "2026-06-14".into(), key: "aa".into(), requests, ..UsageRecord::default() };
        Arc::new(Batch { usage: vec![usage], ..Batch::default() })
    };
    for (store, requests) in [(&one, 1), (&one, 2), (&other, 4), (&ended, 100)] {
        store.write(used(requests)).await.unwrap();
    }
    one.write(yesterday(50)).await.unwrap();
    let named = UsageRecord {
        day: "2026-06-15".into(),
        key: "aa".into(),
        id: "work".into(),
        lane: "m".into(),
        requests: 8,
        input_tokens: 70,
        errors: [(VerdictKind::RateLimited, 3)].into(),
        ..UsageRecord::default()
    };
    one.write(Arc::new(Batch { usage: vec![named.clone()], ..Batch::default() })).await.unwrap();
    for _ in 0..2 {
        server.command(&["FLUSHALL"]);
        assert_eq!(sum(&one).await, 0);
        one.write(used(0)).await.unwrap();
        assert_eq!(sum(&one).await, 1 + 2 + 8);
        other.write(used(0)).await.unwrap();
        let rows = one.usage("2026-06-14", "2026-06-15").await.unwrap();
        let of_lane = rows.iter().find(|row| *row.lane == *"m").unwrap();
        assert_eq!(of_lane, &named, "all of it");
        assert_eq!(rows.iter().map(|row| row.requests).sum::<i64>(), 50 + 1 + 2 + 8 + 4);
    }
    // Nothing twice, whoever writes.
    for store in [&one, &other, &one] {
        store.write(used(16)).await.unwrap();
    }
    assert_eq!(sum(&one).await, 1 + 2 + 8 + 4 + 48);
    // Whoever shares writes with its renewals.
    let shared = Redis::new(&link).share().with(&Settings::for_lease(Duration::from_millis(400)));
    shared.store().write(used(64)).await.unwrap();
    server.command(&["FLUSHALL"]);
    shared.write(used(128)).await.unwrap();
    assert_eq!(sum(shared.store()).await, 64 + 128);
}

/// The task of a connection that counts on an answer of MULTI panics where there is none, and ends the connection of all.
#[tokio::test]
async fn a_server_that_asks_for_a_password_by_now_is_an_error_and_nothing_panics() {
    let Some(server) = RedisServer::start() else { return };
    let store = Redis::new(&link(&server, "keypool").await);
    store.write(used(1)).await.unwrap();
    server.command(&["ACL", "SETUSER", "default", "-multi"]);
    for _ in 0..2 {
        let error = store.load().await.unwrap_err();
        assert!(!error.is_unreachable() && error.to_string().contains("permissions"), "{error}");
        // Over the same connection.
        store.write(used(1)).await.unwrap();
    }
    server.command(&["ACL", "SETUSER", "default", "+multi"]);
    assert_eq!(sum(&store).await, 3);
    server.command(&["SET", "{keypool}:rests", "x"]);
    let error = store.load().await.unwrap_err();
    assert!(error.to_string().contains("wrong kind"), "{error}");
}
