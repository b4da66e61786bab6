//! What every store must do, as a test that runs against yours.
//!
//! ```
//! use std::{collections::BTreeMap, sync::Mutex};
//! use tower_keypool::store::{MemoryStore, conformance};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! // Asked for the same name again it opens what is there already.
//! let stores = Mutex::new(BTreeMap::<String, MemoryStore>::new());
//! conformance::check(|name| {
//!     let store = stores.lock().unwrap().entry(name.to_owned()).or_default().clone();
//!     async move { store }
//! })
//! .await;
//! # });
//! ```

mod samples;

use std::{collections::BTreeMap, future::Future, sync::Arc, task::Poll};

pub(super) use self::samples::rest;
use self::samples::{key, unit};
use super::{
    Batch, Crash, Credit, Image, ImportRecord, KeptSecret, KeyRecord, KeyStanding, RestId, RestRecord, Run,
    StartedRecord, Store, UnitRecord, UsageRecord,
};
use crate::verdict::{Scope, VerdictKind};

/// Runs everything against stores that `open` opens: empty ones by names that it was not asked for before, and what it
/// held then by a name that it was. The store that was opened under a name before is dropped by then.
///
/// # Panics
/// When the store does something else than it must.
pub async fn check<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    an_empty_one_holds_nothing(&open).await;
    what_is_written_is_found_again(&open).await;
    a_later_record_takes_the_place_of_an_earlier(&open).await;
    a_stored_secret_outlives_writes_without_one(&open).await;
    of_two_who_saw_a_key_the_later_is_right(&open).await;
    names_mean_themselves(&open).await;
    what_is_gone_is_gone(&open).await;
    what_was_started_comes_to_the_record(&open).await;
    use_adds_up_and_is_found_by_day(&open).await;
    a_models_quota_is_known_by_its_last_name(&open).await;
    a_last_success_comes_with_the_use(&open).await;
    imports_come_in_their_order(&open).await;
    a_run_ends_only_when_it_says_so(&open).await;
    writes_at_once_are_all_kept(&open).await;
}

/// The same of a store that several processes share, whose windows and runs are a [board's](crate::share::Board): all that
/// is the store's own, but for when a key served last, which comes with a renewal.
///
/// # Panics
/// When the store does something else than it must.
pub async fn check_shared<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    a_stored_secret_outlives_writes_without_one(&open).await;
    of_two_who_saw_a_key_the_later_is_right(&open).await;
    use_adds_up_and_is_found_by_day(&open).await;
    a_models_quota_is_known_by_its_last_name(&open).await;
    imports_come_in_their_order(&open).await;
    writes_at_once_are_all_kept(&open).await;
}

async fn write(store: &impl Store, batch: Batch) {
    store.write(Arc::new(batch)).await.expect("a store takes a batch");
}

async fn load(store: &impl Store) -> Image {
    let image = store.load().await.expect("a store can be loaded");
    // Nobody needs these to begin.
    Image { usage: BTreeMap::new(), imports: Vec::new(), ..image }
}

async fn an_empty_one_holds_nothing<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let store = open("empty").await;
    assert_eq!(load(&store).await, Image::default());
    assert_eq!(store.usage("0000-01-01", "9999-12-31").await.expect("use can be read"), []);
    assert_eq!(store.imports().await.expect("imports can be read"), []);
}

async fn what_is_written_is_found_again<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let batch = Batch {
        keys: vec![key("aa"), KeyRecord { secret: KeptSecret::Sealed(vec![0, 255, 7]), ..key("bb") }],
        units: vec![unit("project", "flash"), unit("key:aa", ""), unit("project", "*")],
        rests: vec![
            rest(Scope::Key, "aa", None),
            rest(Scope::OwnerLane, "project", Some("flash")),
            rest(Scope::KeyLane, "aa", Some("")),
            rest(Scope::Lane, "", Some("flash")),
            RestRecord { ends: None, probe: Some((5, 6)), ..rest(Scope::Exit, "", None) },
            // What is over is the pool's to say, whose clock may be another.
            RestRecord { since: 1_000, ends: Some(61_000), ..rest(Scope::Owner, "long ago", None) },
        ],
        run: Some(Run::Begun { epoch: 3, crashes: vec![Crash { epoch: 2, noticed: 99 }] }),
        ..Batch::default()
    };
    let store = open("found").await;
    write(&store, batch.clone()).await;
    let mut expected = Image::default();
    expected.apply(&batch);
    assert_eq!(load(&store).await, expected, "as long as it is open");
    drop(store);
    assert_eq!(load(&open("found").await).await, expected, "when it is opened again");
}

async fn a_later_record_takes_the_place_of_an_earlier<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let store = open("later").await;
    let first = Batch {
        keys: vec![key("aa")],
        units: vec![unit("project", "flash")],
        rests: vec![rest(Scope::Owner, "project", None)],
        ..Batch::default()
    };
    write(&store, first.clone()).await;
    let disabled = KeyStanding::Disabled;
    let second = Batch {
        keys: vec![KeyRecord { id: "renamed".to_owned(), state: disabled, created: 1_000, ..key("aa") }],
        units: vec![UnitRecord { epoch: 8, windows: Vec::new(), ..unit("project", "flash") }],
        rests: vec![RestRecord { ends: None, kind: VerdictKind::Suspended, ..rest(Scope::Owner, "project", None) }],
        ..Batch::default()
    };
    write(&store, second.clone()).await;
    let image = load(&store).await;
    let mut expected = Image::default();
    expected.apply(&first);
    expected.apply(&second);
    assert_eq!(image, expected);
    let key = &image.keys["aa"];
    assert_eq!((&*key.id, key.state, key.created), ("renamed", disabled, 12), "it was first seen when it was");
}

async fn a_stored_secret_outlives_writes_without_one<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let store = open("secret").await;
    let reference = KeptSecret::Reference("env:SOME_KEY".to_owned());
    let with = |secret: &KeptSecret| Batch {
        keys: vec![KeyRecord { secret: secret.clone(), ..key("aa") }],
        ..Batch::default()
    };
    write(&store, with(&reference)).await;
    write(&store, with(&KeptSecret::Elsewhere)).await;
    assert_eq!(load(&store).await.keys["aa"].secret, reference);
    write(&store, with(&KeptSecret::Sealed(vec![1, 2]))).await;
    assert_eq!(load(&store).await.keys["aa"].secret, KeptSecret::Sealed(vec![1, 2]));
}

/// Several processes write of one key.
async fn of_two_who_saw_a_key_the_later_is_right<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let store = open("seen").await;
    let seen = |last_success, last_failure, consecutive_failures| Batch {
        keys: vec![KeyRecord { last_success, last_failure, consecutive_failures, ..key("aa") }],
        ..Batch::default()
    };
    for (batch, expected) in [
        (seen(None, None, 0), (None, None, 0)),
        (seen(None, Some(50), 1), (None, Some(50), 1)),
        (seen(Some(100), None, 0), (Some(100), Some(50), 0)),
        (seen(Some(40), Some(90), 3), (Some(100), Some(90), 0)),
        (seen(None, Some(110), 4), (Some(100), Some(110), 4)),
        (seen(Some(110), Some(20), 0), (Some(110), Some(110), 0)),
    ] {
        write(&store, batch).await;
        let key = &load(&store).await.keys["aa"];
        assert_eq!((key.last_success, key.last_failure, key.consecutive_failures), expected);
    }
}

/// Whatever a store makes of them: models are called `a/b:c`, owners as people like.
async fn names_mean_themselves<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let mut names = vec![("a".to_owned(), "Flash".to_owned()), ("a".to_owned(), "flash".to_owned())];
    names.extend(["%2f", "/", "'", "\"", "\\", "é", "%", "_"].map(|odd| ("b".to_owned(), odd.to_owned())));
    for between in [" ", "#", ",", "-", ".", "/", ":", "|"] {
        names.push((format!("a{between}b"), "c".to_owned()));
        names.push(("a".to_owned(), format!("b{between}c")));
    }
    let batch = Batch { units: names.iter().map(|(owner, lane)| unit(owner, lane)).collect(), ..Batch::default() };
    let store = open("names").await;
    write(&store, batch).await;
    let image = load(&store).await;
    let mut found: Vec<_> = image.units.into_values().map(|unit| (unit.owner, unit.lane)).collect();
    found.sort();
    names.sort();
    assert_eq!(found, names, "each is one of its own");
}

async fn what_is_gone_is_gone<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let store = open("gone").await;
    let (kept, gone) =
        (rest(Scope::OwnerLane, "project", Some("pro")), rest(Scope::OwnerLane, "project", Some("flash")));
    let first = Batch {
        units: vec![unit("project", "flash"), unit("project", "pro"), unit("other", "flash")],
        rests: vec![kept.clone(), gone.clone()],
        ..Batch::default()
    };
    write(&store, first).await;
    // What is not there can be gone as well.
    let second = Batch {
        units_gone: vec![("project".to_owned(), "flash".to_owned()), ("nobody".to_owned(), "flash".to_owned())],
        rests_gone: vec![gone.id, RestId { scope: Scope::Exit, whom: String::new(), lane: None }],
        ..Batch::default()
    };
    write(&store, second).await;
    let image = load(&store).await;
    let left: Vec<_> = image.units.values().map(|unit| (&*unit.owner, &*unit.lane)).collect();
    assert_eq!(left, [("other", "flash"), ("project", "pro")]);
    assert_eq!(image.rests.into_values().collect::<Vec<_>>(), [kept]);
}

/// Of a store that takes it.
async fn what_was_started_comes_to_the_record<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let store = open("started").await;
    if !store.takes_started() {
        return;
    }
    let started = |n: i64| StartedRecord {
        owner: "project".into(),
        lane: "flash".into(),
        epoch: 3,
        at: 1_781_550_020_000 + n,
        days: ("2026-06-15".into(), "2026-06-15".into()),
        amounts: Credit { requests: 2, input_tokens: 300, ..Credit::default() },
        credit: Credit { requests: n as u64, ..Credit::default() },
    };
    let mut expected = Image::default();
    let batches = [
        Batch { units: vec![unit("project", "flash"), unit("other", "flash")], ..Batch::default() },
        Batch { started: vec![started(1)], ..Batch::default() },
        Batch { started: vec![started(2)], ..Batch::default() },
        // Of one batch, too; and a whole record takes the place of all that was before it.
        Batch { units: vec![unit("project", "flash")], started: vec![started(3)], ..Batch::default() },
        Batch { started: vec![started(4)], run: Some(Run::Ended), ..Batch::default() },
        Batch { started: vec![started(5)], ..Batch::default() },
        Batch { units_gone: vec![("other".to_owned(), "flash".to_owned())], ..Batch::default() },
    ];
    for batch in batches {
        expected.apply(&batch);
        write(&store, batch).await;
    }
    assert_eq!(load(&store).await.units, expected.units, "as long as it is open");
    drop(store);
    assert_eq!(load(&open("started").await).await.units, expected.units, "when it is opened again");
}

async fn a_models_quota_is_known_by_its_last_name<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let store = open("models").await;
    for other in ["gemini-2.5-pro", "gemini-2.5-flash"] {
        let quota_models = [("latest", other), ("flash", "gemini-2.5-flash")];
        let quota_models = quota_models.map(|(model, other)| (model.to_owned(), other.to_owned())).to_vec();
        write(&store, Batch { quota_models, ..Batch::default() }).await;
    }
    drop(store);
    let kept = load(&open("models").await).await.quota_models;
    let kept: Vec<_> = kept.iter().map(|(model, other)| (&**model, &**other)).collect();
    assert_eq!(kept, [("flash", "gemini-2.5-flash"), ("latest", "gemini-2.5-flash")]);
}

/// Of a store that takes what was started.
async fn a_last_success_comes_with_the_use<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let store = open("success").await;
    if !store.takes_started() {
        return;
    }
    write(&store, Batch { keys: vec![key("aa")], ..Batch::default() }).await;
    let before = load(&store).await.keys["aa"].last_success;
    for later in [7, 3] {
        let last_success = before.map(|before| before + later);
        let usage = UsageRecord { key: "aa".into(), day: "2026-06-15".into(), last_success, ..UsageRecord::default() };
        write(&store, Batch { usage: vec![usage], ..Batch::default() }).await;
    }
    let used = store.usage("2026-06-15", "2026-06-15").await.expect("use can be read");
    assert_eq!(used.iter().map(|row| row.last_success).collect::<Vec<_>>(), [None], "it is the key's");
    drop(store);
    assert_eq!(load(&open("success").await).await.keys["aa"].last_success, before.map(|before| before + 7));
}

async fn use_adds_up_and_is_found_by_day<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let store = open("use").await;
    let used = |day: &str, key: &str, requests: i64| UsageRecord {
        day: day.into(),
        key: key.into(),
        id: format!("k-{key}").into(),
        lane: "flash".into(),
        requests,
        input_tokens: 10,
        output_tokens: 3,
        errors: BTreeMap::from([(VerdictKind::RateLimited, 1)]),
        last_success: None,
    };
    let batch = |usage| Batch { usage, ..Batch::default() };
    let pro = UsageRecord { lane: "pro".into(), ..used("2026-06-17", "aa", 4) };
    let both = vec![used("2026-06-15", "bb", 5), pro, used("2026-06-15", "aa", 2), used("2026-06-17", "aa", 1)];
    write(&store, batch(both)).await;
    let mut more = used("2026-06-15", "aa", -1);
    more.errors = BTreeMap::from([(VerdictKind::RateLimited, 2), (VerdictKind::Transient, 1)]);
    more.id = "renamed".into();
    write(&store, batch(vec![more])).await;
    let rows = store.usage("2026-06-15", "2026-06-16").await.expect("use can be read");
    let summary: Vec<_> = rows.iter().map(|row| (&*row.key, &*row.id, row.requests, row.input_tokens)).collect();
    assert_eq!(summary, [("aa", "renamed", 1, 20), ("bb", "k-bb", 5, 10)]);
    assert_eq!(rows[0].errors, BTreeMap::from([(VerdictKind::RateLimited, 3), (VerdictKind::Transient, 1)]));
    assert_eq!(store.usage("2026-06-16", "2026-06-17").await.expect("use can be read").len(), 2);
    let rows = store.usage("2026-06-15", "2026-06-17").await.expect("use can be read");
    let told: Vec<_> =
        rows.iter().map(|row| (&*row.day, &*row.key, &*row.lane, row.input_tokens, row.output_tokens)).collect();
    let (first, third) = ("2026-06-15", "2026-06-17");
    let expected = [
        (first, "aa", "flash", 20, 6),
        (first, "bb", "flash", 10, 3),
        (third, "aa", "flash", 10, 3),
        (third, "aa", "pro", 10, 3),
    ];
    assert_eq!(told, expected, "by day, then by key, then by lane");
}

async fn imports_come_in_their_order<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let import = |time| ImportRecord {
        time,
        from: "keys.txt".to_owned(),
        source: "work".to_owned(),
        lines: 4,
        added: 2,
        duplicate: 1,
        rejected: vec![(3, "too short".to_owned())],
    };
    let store = open("imports").await;
    write(&store, Batch { imports: vec![import(5)], ..Batch::default() }).await;
    write(&store, Batch { imports: vec![import(4), import(5)], ..Batch::default() }).await;
    drop(store);
    let imports = open("imports").await.imports().await.expect("imports can be read");
    assert_eq!(imports, [import(5), import(4), import(5)]);
}

async fn a_run_ends_only_when_it_says_so<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let run = |run| Batch { run: Some(run), ..Batch::default() };
    let crashes = vec![Crash { epoch: 1, noticed: 7 }];
    let store = open("run").await;
    write(&store, run(Run::Begun { epoch: 2, crashes: crashes.clone() })).await;
    drop(store);
    let store = open("run").await;
    let image = load(&store).await;
    assert_eq!((image.running, image.epoch, &image.crashes), (true, 2, &crashes));
    write(&store, run(Run::Ended)).await;
    drop(store);
    let image = load(&open("run").await).await;
    assert_eq!((image.running, image.epoch, image.crashes), (false, 2, crashes));
}

async fn writes_at_once_are_all_kept<S: Store, F: Future<Output = S>>(open: impl Fn(&str) -> F) {
    let store = open("at once").await;
    let one = |n: i64| {
        let usage = UsageRecord { day: "2026-06-15".into(), key: "aa".into(), requests: n, ..Default::default() };
        store.write(Arc::new(Batch { usage: vec![usage], ..Batch::default() }))
    };
    let mut writes: Vec<_> = [4, 1, 2].into_iter().map(|n| Some(Box::pin(one(n)))).collect();
    std::future::poll_fn(|cx| {
        for write in &mut writes {
            if let Some(Poll::Ready(result)) = write.as_mut().map(|write| write.as_mut().poll(cx)) {
                result.expect("a store takes a batch");
                *write = None;
            }
        }
        if writes.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let rows = store.usage("2026-06-15", "2026-06-15").await.expect("use can be read");
    assert_eq!(rows.iter().map(|row| row.requests).sum::<i64>(), 7);
}
