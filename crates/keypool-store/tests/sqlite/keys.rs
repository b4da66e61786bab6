//! Keys, tenants, resources, usage, backups, and the master key.

use std::{fs, path::Path, time::Duration};

use keypool_store::{
    SqliteOptions, SqliteStore,
    sqlite::{MasterKey, Resource, SqliteErrorKind, StoredKey, Tenant, UsageQuery},
};
use serde_json::json;
use tower_keypool::{
    KeyId, Limits, Secret,
    store::{Amounts, BreakerTarget, Record, Store},
};

use super::{NOON, Time, days, reserve};

fn key(id: &str) -> StoredKey {
    StoredKey::new(id.into(), Secret::new(&format!("AIza-not-a-real-key-{id}")).unwrap())
}

#[tokio::test]
async fn keys_are_stored_replaced_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Time::new(NOON).open(&folder.path().join("keypool.db"));
    let mut first = key("a");
    first.project = Some("one".to_owned());
    first.options = json!({"tier": "free", "limits": {"*": {"rpm": 5}}});
    store.put_key(first.clone()).await.unwrap();
    store.put_keys(vec![key("a"), key("b"), key("c")]).await.unwrap();
    let keys = store.keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((&keys[0].project, &keys[0].options), (&None, &json!(null)));
    store.put_key(first.clone()).await.unwrap();
    let found = store.key(&"a".into()).await.unwrap().unwrap();
    assert_eq!((found.secret, found.project, found.options), (first.secret, first.project, first.options));
    assert_eq!(store.keys_revision().await.unwrap(), 3);
    assert!(store.remove_key(&"a".into()).await.unwrap());
    assert!(!store.remove_key(&"a".into()).await.unwrap());
    assert_eq!(store.key(&"a".into()).await.unwrap(), None);
    assert_eq!(store.keys_revision().await.unwrap(), 4);
}

#[tokio::test]
async fn removed_key_has_no_cooldown_when_it_is_added_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Time::new(NOON).open(&folder.path().join("keypool.db"));
    let open = |target| Record::Open { target, until_ms: None, class: None, reason: None };
    let kept = open(BreakerTarget::KeyModel("b".into(), "m".into()));
    store
        .record(vec![
            open(BreakerTarget::Key("a".into())),
            open(BreakerTarget::KeyModel("a".into(), "m".into())),
            Record::Project { key: "a".into(), project: "p".into() },
            kept.clone(),
        ])
        .await
        .unwrap();
    store.remove_key(&"a".into()).await.unwrap();
    assert_eq!(store.load().await.unwrap().records, [kept]);
}

fn contains(path: &Path, text: &str) -> bool {
    fs::read(path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

#[tokio::test]
async fn no_file_contains_a_plaintext_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    store.put_keys((0..50).map(|n| key(&format!("id-{n}"))).collect()).await.unwrap();
    store.backup(folder.path().join("backup.db")).await.unwrap();
    store.rekey(MasterKey::generate().unwrap()).await.unwrap();
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    drop(store);
    files.retain(|file| file.exists());
    assert!(files.len() >= 3, "{files:?}");
    assert!(contains(&path, "id-"));
    for file in &files {
        assert!(!contains(file, "AIza-not-a-real"), "{}", file.display());
    }
    assert!(!format!("{:?}", key("a")).contains("AIza"));
}

#[tokio::test]
async fn journal_contains_no_plaintext_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    store.put_key(key("some-id")).await.unwrap();
    let journal = folder.path().join("keypool.db-wal");
    assert!(contains(&journal, "some-id"));
    assert!(!contains(&journal, "AIza-not-a-real"));
}

#[tokio::test]
async fn wrong_or_missing_master_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let master = MasterKey::generate().unwrap();
    let store = SqliteStore::open(&path, SqliteOptions::new().master_key(master.clone())).unwrap();
    store.put_key(key("a")).await.unwrap();
    drop(store);
    let before = fs::read(&path).unwrap();
    for options in [SqliteOptions::new().master_key(MasterKey::generate().unwrap()), SqliteOptions::new()] {
        let error = SqliteStore::open(&path, options).unwrap_err();
        assert_eq!(error.kind(), SqliteErrorKind::MasterKey);
    }
    assert!(fs::read(&path).unwrap() == before, "the file was changed");
    assert_eq!(
        fs::read_dir(folder.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "key"))
            .count(),
        0
    );
    let store = SqliteStore::open(&path, SqliteOptions::new().master_key(master)).unwrap();
    assert_eq!(store.keys().await.unwrap()[0].secret, key("a").secret);
}

#[test]
fn master_key_is_hex_or_base64_of_32_bytes() {
    let hex = "00".repeat(31) + "ff";
    let key = MasterKey::parse(&format!(" {hex}\n")).unwrap();
    assert_eq!(key.expose(), hex);
    assert!(MasterKey::parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=").unwrap() == key);
    for text in ["", "secret", &hex[1..], &"zz".repeat(32)] {
        let error = MasterKey::parse(text).unwrap_err();
        assert_eq!(error.kind(), SqliteErrorKind::MasterKey);
        assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn rekeyed_database_opens_only_with_the_new_master_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let (old, new) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
    let open = |key: &MasterKey| SqliteStore::open(&path, SqliteOptions::new().master_key(key.clone()));
    let (store, other) = (open(&old).unwrap(), open(&old).unwrap());
    store.put_keys(vec![key("a"), key("b")]).await.unwrap();
    store.rekey(new.clone()).await.unwrap();
    store.put_key(key("c")).await.unwrap();
    assert_eq!(store.keys().await.unwrap()[2].secret, key("c").secret);
    assert_eq!(other.keys().await.unwrap_err().kind(), SqliteErrorKind::MasterKey);
    assert_eq!(other.put_key(key("d")).await.unwrap_err().kind(), SqliteErrorKind::MasterKey);
    drop((store, other));
    assert_eq!(open(&old).unwrap_err().kind(), SqliteErrorKind::MasterKey);
    let secrets: Vec<_> = open(&new).unwrap().keys().await.unwrap().into_iter().map(|key| key.secret).collect();
    assert_eq!(secrets, ["a", "b", "c"].map(|id| key(id).secret));
}

#[tokio::test]
async fn interrupted_rekey_is_completed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let (file, next) = (folder.path().join("keypool.db.key"), folder.path().join("keypool.db.key.next"));
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    store.put_key(key("a")).await.unwrap();
    let (old, new) = (fs::read_to_string(&file).unwrap(), MasterKey::generate().unwrap());
    store.rekey(new.clone()).await.unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), new.expose());
    assert!(!next.exists());
    drop(store);
    // The state after a process was killed before the last step.
    fs::rename(&file, &next).unwrap();
    fs::write(&file, old).unwrap();
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    assert_eq!(store.key(&"a".into()).await.unwrap().unwrap().secret, key("a").secret);
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), new.expose());
}

#[tokio::test]
async fn secret_copied_to_another_key_is_reported_as_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    store.put_keys(vec![key("a"), key("b")]).await.unwrap();
    let swap = "UPDATE keys SET secret = (SELECT secret FROM keys WHERE id = 'a') WHERE id = 'b'";
    rusqlite::Connection::open(&path).unwrap().execute(swap, []).unwrap();
    let error = store.key(&"b".into()).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Damaged);
    assert!(error.to_string().contains("key b"), "{error}");
}

#[tokio::test]
async fn backup_of_a_database_in_use_is_consistent_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("keypool.db"), folder.path().join("copy.db"));
    let time = Time::new(NOON);
    let store = time.open(&path);
    let keys = (0..5_000).map(|n| key(&n.to_string())).collect();
    store.put_keys(keys).await.unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            let mut granted = 0;
            loop {
                reserve(&store, "a", &Limits::new()).await;
                granted += 1;
                if granted % 100 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    while days(&store.load().await.unwrap().records) < 10 {}
    store.backup(&copy).await.unwrap();
    let before = days(&store.load().await.unwrap().records);
    while days(&store.load().await.unwrap().records) < before + 10 {}
    writing.abort();
    assert_eq!(store.backup(&copy).await.unwrap_err().kind(), SqliteErrorKind::Invalid);
    assert!(!folder.path().join("copy.db.part").exists());

    fs::copy(folder.path().join("keypool.db.key"), folder.path().join("copy.db.key")).unwrap();
    let copied = time.open(&copy);
    assert_eq!(copied.keys().await.unwrap().len(), 5_000);
    let counted = days(&copied.load().await.unwrap().records);
    assert!(counted >= 10 && counted <= before, "{counted} of {before}");
}

#[tokio::test]
async fn tenants_are_stored_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Time::new(NOON).open(&folder.path().join("keypool.db"));
    let mut tenant = Tenant::new("t-1", [1; 32]);
    tenant.options = json!({"rpm": 5});
    store.put_tenant(tenant.clone()).await.unwrap();
    store.put_tenant(Tenant::new("t-2", [2; 32])).await.unwrap();
    let error = store.put_tenant(Tenant::new("t-3", [1; 32])).await.unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::Invalid);
    tenant.token_hash = [4; 32];
    store.put_tenant(tenant.clone()).await.unwrap();
    tenant.created_ms = NOON;
    assert_eq!(store.tenants().await.unwrap()[0], tenant);
    assert!(store.remove_tenant("t-1").await.unwrap());
    assert_eq!(store.tenants().await.unwrap().len(), 1);
}

#[tokio::test]
async fn resources_are_found_until_they_expire() {
    let folder = tempfile::tempdir().unwrap();
    let time = Time::new(NOON);
    let store = time.open(&folder.path().join("keypool.db"));
    for (name, tenant, expires_ms) in [
        ("f/a", Some("t"), Some(NOON + 1_000)),
        ("f/b", Some("t"), None),
        ("b/c", Some("t"), None),
        ("f/d", None, None),
    ] {
        let mut resource = Resource::new(name, "project");
        resource.tenant = tenant.map(str::to_owned);
        resource.expires_ms = expires_ms;
        store.put_resource(resource).await.unwrap();
    }
    let names = async |prefix: &str, tenant: Option<&str>, after: &str| {
        let found = store.resources(prefix, tenant, after, 10).await.unwrap();
        found.into_iter().map(|resource| resource.name).collect::<Vec<_>>()
    };
    assert_eq!(names("f/", Some("t"), "").await, ["f/a", "f/b"]);
    assert_eq!(names("f/", Some("t"), "f/a").await, ["f/b"]);
    assert_eq!(names("", None, "").await, ["f/d"]);
    let found = store.resource("f/a").await.unwrap().unwrap();
    assert_eq!((found.project.as_str(), found.tenant.as_deref()), ("project", Some("t")));
    time.advance(Duration::from_secs(1));
    assert_eq!(store.resource("f/a").await.unwrap(), None);
    assert_eq!(names("f/", Some("t"), "").await, ["f/b"]);
    assert!(store.remove_resource("f/b").await.unwrap());
    assert_eq!(store.resource("f/b").await.unwrap(), None);
}

#[tokio::test]
async fn usage_is_grouped_and_filtered() {
    let folder = tempfile::tempdir().unwrap();
    let (path, time) = (folder.path().join("keypool.db"), Time::new(NOON));
    let store = time.open(&path);
    for (project, requests) in [("a", 3), ("b", 2)] {
        for _ in 0..requests {
            reserve(&store, project, &Limits::new()).await;
        }
    }
    time.advance(Duration::from_secs(86_400));
    reserve(&store, "a", &Limits::new()).await;
    let requests = |requests| Amounts { requests, ..Amounts::default() };
    let all = UsageQuery::of_days(0..=i32::MAX);
    let rows = store.usage(all.clone()).await.unwrap();
    assert_eq!((rows.len(), rows[0].used, &rows[0].key), (1, requests(6), &None));
    let rows = store.usage(all.clone().by_day().by_project()).await.unwrap();
    let rows: Vec<_> =
        rows.into_iter().map(|row| (row.date.unwrap(), row.project.unwrap(), row.used.requests)).collect();
    assert_eq!(rows, [(20_619, "a".to_owned(), 3), (20_619, "b".to_owned(), 2), (20_620, "a".to_owned(), 1)]);
    let rows = store.usage(UsageQuery::of_days(20_619..=20_619).by_key().by_model()).await.unwrap();
    assert_eq!((rows.len(), &rows[0].key, rows[0].model.as_deref()), (2, &Some(KeyId::new("key-a")), Some("model")));
    assert_eq!((&rows[1].key, rows[1].used), (&Some(KeyId::new("key-b")), requests(2)));
    time.advance(Duration::from_secs(401 * 86_400));
    let store = time.open(&path);
    assert_eq!(store.usage(UsageQuery::of_days(0..=i32::MAX).by_day()).await.unwrap(), []);
}
