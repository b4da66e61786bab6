//! Reservations and records.

use std::time::Duration;

use keypool_store::{SqliteOptions, SqliteStore, sqlite::UsageQuery};
use rusqlite::Connection;
use tower_keypool::{
    ErrorClass, ErrorKind, Limit, Limits, Span, Unit,
    store::{Amounts, BreakerTarget, Record, ReserveRequest, ReservedAt, Store},
};

use super::{NOON, Time, candidate, days, one_request, reserve, starts};

#[tokio::test]
async fn window_refuses_until_it_opens() {
    let folder = tempfile::tempdir().unwrap();
    let time = Time::new(NOON);
    let store = time.open(&folder.path().join("keypool.db"));
    let limits = Limits::new().per_minute(2);
    for _ in 0..2 {
        let granted = reserve(&store, "a", &limits).await.granted.unwrap();
        assert_eq!(granted.at, ReservedAt { at_ms: time.now() + 1_000, date: 20_619 });
        assert_eq!(granted.usable_for, Duration::from_secs(1));
    }
    let refused = reserve(&store, "a", &limits).await;
    assert_eq!(refused.granted, None);
    // 60 s, the hold of 1 s and the guard of 250 ms.
    assert_eq!(refused.opens_in, [Duration::from_millis(61_250)]);
    time.advance(Duration::from_millis(61_249));
    assert_eq!(reserve(&store, "a", &limits).await.granted, None);
    time.advance(Duration::from_millis(1));
    assert!(reserve(&store, "a", &limits).await.granted.is_some());
}

#[tokio::test]
async fn unknown_zone_fails_only_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let store = Time::new(NOON).open(&folder.path().join("keypool.db"));
    let limits = Limits::new().per_minute(9);
    let mut lost = candidate("a", &limits);
    lost.zone = "Mars/Olympus".into();
    let wrong = store.reserve(ReserveRequest { candidates: vec![lost], cost: one_request() });
    let right = store.reserve(ReserveRequest { candidates: vec![candidate("b", &limits)], cost: one_request() });
    let error = wrong.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(right.await.unwrap().granted.is_some());
}

fn records() -> Vec<Record> {
    let limit = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 7 };
    vec![
        Record::Open {
            target: BreakerTarget::Key("k-1".into()),
            until_ms: None,
            class: Some(ErrorClass::KeyRejected),
            reason: Some("API key not valid".into()),
        },
        Record::Open {
            target: BreakerTarget::ProjectModel("a".into(), "model".into()),
            until_ms: Some(NOON + 60_000),
            class: Some(ErrorClass::RateLimit),
            reason: None,
        },
        Record::Limit { project: "a".into(), model: "model".into(), limit, learned_ms: NOON },
        Record::Project { key: "k-1".into(), project: "projects/1".into() },
    ]
}

/// The first version also counted images.
#[tokio::test]
async fn counts_of_the_first_version_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let hour = Limit { unit: Unit::Requests, span: Span::Sliding(Duration::from_secs(3_600)), amount: 4 };
    let first = Connection::open(&path).unwrap();
    first.execute_batch(include_str!("../../src/sqlite/migrations/0001.sql")).unwrap();
    let rows = format!(
        "INSERT INTO quotas VALUES (1, 'a', 'model', {NOON}, '[[3600000,[[{NOON},1,20,3,0],[{},1,0,0,0]]]]');
         INSERT INTO quotas (project, model) VALUES ('b', 'model');
         INSERT INTO usage VALUES (20619, 1, 'key-a', 2, 20, 3, 0);
         INSERT INTO meta VALUES ('folded', 1);
         INSERT INTO tenants VALUES ('t', 't', zeroblob(32), '{{}}', 0);
         INSERT INTO log VALUES (2, {NOON}, '[[\"a\",\"model\",\"key-a\",[{NOON},20619],[3600000],[2,5,0,0]]]');
         PRAGMA user_version = 1; PRAGMA application_id = 0x4b504f4c;",
        NOON + 1
    );
    first.execute_batch(&rows).unwrap();
    drop(first);
    let store = Time::new(NOON + 10).open(&path);
    assert_eq!(reserve(&store, "a", &Limits::new().with(hour)).await.granted, None);
    let used = store.usage(UsageQuery::of_days(20_619..=20_619)).await.unwrap()[0].used;
    assert_eq!(used, Amounts { requests: 4, input_tokens: 25, output_tokens: 3 });
    assert_eq!(store.tenants().await.unwrap()[0].name, "t");
}

#[tokio::test]
async fn other_stores_read_the_last_record_of_each_target() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let time = Time::new(NOON);
    let (one, other) = (time.open(&path), time.open(&path));
    let began = other.load().await.unwrap().revision;
    one.record(records()).await.unwrap();
    let first = other.changes(began).await.unwrap();
    assert_eq!(first.records, records());
    assert_eq!(one.changes(began).await.unwrap().records, []);
    let closed = Record::Closed { target: BreakerTarget::Key("k-1".into()) };
    one.record(vec![closed.clone()]).await.unwrap();
    let second = other.changes(first.revision).await.unwrap();
    assert!(second.records == std::slice::from_ref(&closed));
    assert_eq!(other.changes(second.revision).await.unwrap().records, []);
    assert!(other.load().await.unwrap().records.contains(&closed));
    // A revision is never reused, even if its record was deleted.
    time.advance(Duration::from_secs(90_000));
    assert_eq!(other.load().await.unwrap().revision, second.revision);
    other.record(vec![closed.clone()]).await.unwrap();
    assert_eq!(one.changes(second.revision).await.unwrap().records, [closed]);
}

#[tokio::test]
async fn folding_loses_no_count_of_any_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let time = Time::new(NOON);
    let hour = Duration::from_secs(3_600);
    let limit = Limit { unit: Unit::Requests, span: Span::Sliding(hour), amount: 60 };
    let limits = Limits::new().with(limit).per_day(60);
    // One store reads nothing until rows of the log are deleted; the others are reopened now and then.
    let (idle, mut stores) = (time.open(&path), [time.open(&path), time.open(&path), time.open(&path)]);
    assert!(reserve(&idle, "a", &limits).await.granted.is_some());
    for n in 1..60 {
        let store = &mut stores[n % 3];
        assert!(reserve(store, "a", &limits).await.granted.is_some());
        if n % 7 == 0 {
            *store = time.open(&path);
        }
        if n % 10 == 0 {
            let usage = store.usage(UsageQuery::of_days(0..=i32::MAX)).await.unwrap();
            assert_eq!(usage[0].used.requests, n as u64 + 1);
        }
        time.advance(Duration::from_secs(7));
    }
    for store in stores.iter().chain([&idle, &time.open(&path)]) {
        let records = store.load().await.unwrap().records;
        let hours = records.iter().filter_map(|record| match record {
            Record::Starts { span, starts, .. } if *span == hour => Some(starts),
            _ => None,
        });
        assert_eq!(hours.flatten().map(|(_, used)| used.requests).sum::<u64>(), 60);
        // The requests of the last 61.25 s, one every 7 s.
        assert_eq!((starts(&records), days(&records)), (8, 60));
        assert_eq!(reserve(store, "a", &limits).await.granted, None);
    }
}

#[tokio::test]
async fn clock_ahead_before_a_reboot_blocks_for_at_most_one_window() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let limits = Limits::new().per_minute(1);
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    reserve(&store, "a", &limits).await;
    let before = store.load().await.unwrap().now_ms;
    drop(store);
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    assert!((before..before + 10_000).contains(&store.load().await.unwrap().now_ms));
    drop(store);

    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "UPDATE meta SET value = 'another boot' WHERE name = 'boot_id';
             UPDATE log SET at_ms = at_ms + 3600000,
                 entries = json_replace(entries, '$[0][3][0]', (entries ->> '$[0][3][0]') + 3600000);",
        )
        .unwrap();
    drop(connection);
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    let refused = reserve(&store, "a", &limits).await;
    assert_eq!(refused.granted, None);
    assert!(
        refused.opens_in[0] > Duration::from_secs(50) && refused.opens_in[0] < Duration::from_secs(62),
        "{refused:?}"
    );
}

#[tokio::test]
async fn record_of_a_newer_version_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    let insert = r#"INSERT INTO records (target, writer, record) VALUES ('new', 1, '{"record":"new_kind"}')"#;
    rusqlite::Connection::open(&path).unwrap().execute(insert, []).unwrap();
    assert_eq!(store.load().await.unwrap().records, []);
    assert_eq!(store.changes(0).await.unwrap().records, []);
}

#[tokio::test]
async fn absurd_amounts_do_not_overflow() {
    let folder = tempfile::tempdir().unwrap();
    let time = Time::new(NOON);
    let store = time.open(&folder.path().join("keypool.db"));
    let limits = Limits::new().per_day(100);
    let used = Amounts { input_tokens: u64::MAX, output_tokens: u64::MAX, ..one_request() };
    for project in ["a", "b"] {
        for _ in 0..10 {
            let candidate = candidate(project, &limits);
            let (key, project, model) = (candidate.key.clone(), candidate.project.clone(), candidate.model.clone());
            let request = ReserveRequest { candidates: vec![candidate], cost: one_request() };
            let at = store.reserve(request).await.unwrap().granted.unwrap().at;
            let record = Record::Used { key, project, model, at, reserved: one_request(), used };
            store.record(vec![record]).await.unwrap();
        }
    }
    let usage = store.usage(UsageQuery::of_days(0..=i32::MAX)).await.unwrap();
    assert_eq!((usage[0].used.requests, usage[0].used.input_tokens), (20, 20 << 40));
    assert!(!store.load().await.unwrap().records.is_empty());
}
