use std::sync::Arc;

use super::super::Sqlite;
use crate::{
    store::{
        Added, Batch, KeptSecret, KeyBook, KeyRecord, KeySettings, KeyStanding, RestId, RestRecord, Store, UnitRecord,
    },
    verdict::{Scope, VerdictKind},
};

fn said(hash: &str, id: &str) -> KeySettings {
    KeySettings { hash: hash.to_owned(), id: Some(id.to_owned()), ..KeySettings::default() }
}

fn add(book: &mut KeyBook, hash: &str, id: &str) {
    let secret = KeptSecret::Reference(format!("env:{id}"));
    assert_eq!(book.add(said(hash, id), secret, 5).unwrap(), Added::New(id.to_owned()));
}

fn record(hash: &str, id: &str) -> KeyRecord {
    KeyRecord { hash: hash.to_owned(), id: id.to_owned(), weight: 1.0, ..KeyRecord::default() }
}

fn rest(scope: Scope, whom: &str, kind: VerdictKind) -> RestRecord {
    let lane = (scope == Scope::KeyLane).then(|| "flash".to_owned());
    RestRecord {
        id: RestId { scope, whom: whom.to_owned(), lane },
        kind,
        code: "SAID".to_owned(),
        advice: String::new(),
        since: 1,
        ends: None,
        at_midnight: false,
        step: 0,
        strikes: 0,
        probe: None,
        confirming: false,
        held: false,
        raised: true,
    }
}

fn unit(owner: &str) -> UnitRecord {
    UnitRecord { owner: owner.to_owned(), lane: "flash".to_owned(), epoch: 1, ..UnitRecord::default() }
}

#[tokio::test]
async fn what_is_said_beside_a_process_outlives_what_that_process_writes_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let process = Sqlite::open(&path).unwrap();
    process.load().await.unwrap();
    let keys = vec![record("aa", "one")];
    process.write(Arc::new(Batch { keys: keys.clone(), ..Batch::default() })).await.unwrap();

    let command = Sqlite::open(&path).unwrap();
    let changed = command.edit_keys(|book| {
        book.say("one", |said| said.weight = Some(3.0))?;
        book.disable("one", "costs")
    });
    changed.await.unwrap().unwrap();
    let key = command.key_book().await.unwrap().find("one").unwrap().clone();
    assert_eq!((key.record.weight, key.record.state, &*key.record.reason), (3.0, KeyStanding::Disabled, "costs"));

    // The process had not heard of it.
    process.write(Arc::new(Batch { keys, ..Batch::default() })).await.unwrap();
    let key = process.key_book().await.unwrap().find("one").unwrap().clone();
    assert_eq!((key.settings.as_ref().unwrap().weight, key.disabled()), (Some(3.0), Some("costs")));
}

#[tokio::test]
async fn news_are_what_was_said_after_a_revision_and_a_pools_writes_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("keypool.db")).unwrap();
    assert_eq!(store.key_news(0).await.unwrap().revision, 0);
    let both = |book: &mut KeyBook| {
        add(book, "aa", "one");
        add(book, "bb", "two");
    };
    store.edit_keys(both).await.unwrap();
    let first = store.key_news(0).await.unwrap();
    assert_eq!((first.revision, first.settings.len()), (1, 2));
    store.edit_keys(|_| ()).await.unwrap();
    let faulty = KeyRecord { state: KeyStanding::Faulty, ..record("aa", "one") };
    store.write(Arc::new(Batch { keys: vec![faulty], ..Batch::default() })).await.unwrap();
    assert_eq!(store.key_news(1).await.unwrap(), crate::store::KeyNews { revision: 1, settings: Vec::new() });
    store.edit_keys(|book| book.enable("two")).await.unwrap().unwrap();
    let second = store.key_news(1).await.unwrap();
    assert_eq!((second.revision, &*second.settings[0].hash, second.settings[0].lifted), (2, "bb", 2));
}

#[tokio::test]
async fn a_removed_key_leaves_no_secret_and_an_enabled_one_no_rest() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path().join("keypool.db")).unwrap();
    store.edit_keys(|book| add(book, "aa", "one")).await.unwrap();
    let rests = vec![
        rest(Scope::Key, "aa", VerdictKind::Suspended),
        rest(Scope::KeyLane, "aa", VerdictKind::QuotaExhausted),
        rest(Scope::Owner, "key:aa", VerdictKind::Suspended),
        rest(Scope::Owner, "else", VerdictKind::Suspended),
    ];
    store.write(Arc::new(Batch { rests, ..Batch::default() })).await.unwrap();
    store.edit_keys(|book| book.enable("one")).await.unwrap().unwrap();
    let image = store.look().await.unwrap();
    assert_eq!(image.rests.values().map(|rest| &*rest.id.whom).collect::<Vec<_>>(), ["else"]);
    store.edit_keys(|book| book.remove("one")).await.unwrap().unwrap();
    let image = store.look().await.unwrap();
    assert_eq!((&image.keys["aa"].secret, image.keys["aa"].state), (&KeptSecret::Elsewhere, KeyStanding::Removed));
}

#[tokio::test]
async fn what_is_known_of_a_replaced_secret_is_known_of_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let store = Sqlite::open(&path).unwrap();
    store.edit_keys(|book| add(book, "aa", "one")).await.unwrap();
    let rests = vec![
        rest(Scope::Key, "aa", VerdictKind::InvalidKey),
        rest(Scope::KeyLane, "aa", VerdictKind::QuotaExhausted),
        rest(Scope::Owner, "key:aa", VerdictKind::Suspended),
    ];
    store.write(Arc::new(Batch { rests, ..Batch::default() })).await.unwrap();
    let secret = KeptSecret::Reference("env:NEW".to_owned());
    store.edit_keys(move |book| book.replace("one", "bb", secret)).await.unwrap().unwrap();
    // A process that had not heard of it yet, and was killed: its counts lie in the journal.
    store.write(Arc::new(Batch { units: vec![unit("key:aa")], ..Batch::default() })).await.unwrap();
    drop(store);

    let image = Sqlite::open(&path).unwrap().load().await.unwrap();
    let rests: Vec<_> = image.rests.values().map(|rest| (rest.id.scope, &*rest.id.whom)).collect();
    assert_eq!(rests, [(Scope::KeyLane, "bb"), (Scope::Owner, "key:bb")], "that it was invalid is over");
    assert_eq!(image.units.values().map(|unit| &*unit.owner).collect::<Vec<_>>(), ["key:bb"]);
    assert_eq!((image.keys["aa"].state, image.keys["bb"].state), (KeyStanding::Removed, KeyStanding::Active));
}

#[tokio::test]
async fn a_copy_of_the_file_alone_has_what_a_command_added() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let command = Sqlite::open(&path).unwrap();
    command.edit_keys(|book| add(book, "aa", "one")).await.unwrap();
    // It has not closed it, and may be gone before it does.
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    assert!(Sqlite::read(&copy).unwrap().key_book().await.unwrap().find("one").unwrap().is_kept());
}
