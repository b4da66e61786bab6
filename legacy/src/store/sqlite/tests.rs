//! The file itself: its schema, its rights, and what becomes of a broken one.

#[cfg(target_os = "linux")]
mod full;
mod harm;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, params};

use super::{
    Sqlite,
    migrate::{ADDS, MIGRATIONS, migrate},
};
use crate::store::{
    Batch, Keeping, KeptSecret, KeyRecord, KeyStanding, Ledger, Store, UnitRecord, UsageRecord, Vault, secret_hash,
};

const SECRET: &str = "AIza-not-a-real-key-00001";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn key(secret: KeptSecret) -> Batch {
    let key = KeyRecord { hash: "aa".to_owned(), id: "work".to_owned(), secret, weight: 1.0, ..KeyRecord::default() };
    Batch { keys: vec![key], ..Batch::default() }
}

/// Everything in the folder whose name holds this.
fn named(folder: &Path, part: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.file_name().unwrap().to_string_lossy().contains(part)).collect();
    paths.sort();
    paths
}

/// A file as the first version wrote it.
fn of_schema_1(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(MIGRATIONS[0]).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection
        .execute(
            "INSERT INTO api_keys (hash, id, priority, weight, weight_now, state, reason, consecutive_failures, created)
             VALUES ('aa', 'old', 10, 2.0, 1.5, 'disabled', 'lost', 3, 77)",
            [],
        )
        .unwrap();
    connection
        .execute("INSERT INTO key_usage VALUES ('2026-06-15', 'aa', 'flash', 'old', 12, 3, 4)", params![])
        .unwrap();
}

/// By its locks others see that a process works on a file: whoever closes it as the last one takes the journal away. They go
/// (POSIX) with any handle of the file that the process closes, and SQLite does not notice.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn whoever_works_on_a_file_keeps_its_locks() {
    use std::os::unix::fs::MetadataExt;
    let folder = folder();
    let path = folder.path().join("keypool.db");
    let is_locked = || {
        let (ours, inode) = (std::process::id().to_string(), fs::metadata(&path).unwrap().ino().to_string());
        let all = fs::read_to_string("/proc/locks").unwrap();
        all.lines().any(|lock| {
            let words: Vec<&str> = lock.split_whitespace().collect();
            words[1] == "POSIX" && words[4] == ours && words[5].rsplit(':').next() == Some(&inode)
        })
    };
    let made = Sqlite::open(&path).unwrap();
    made.load().await.unwrap();
    assert!(is_locked(), "who made it");
    drop(made);
    let store = Sqlite::open(&path).unwrap();
    store.load().await.unwrap();
    assert!(is_locked(), "who found it");
    Sqlite::may_open(&path).unwrap();
    assert!(is_locked(), "who asks once more");
    for open in [Sqlite::open, Sqlite::read, Sqlite::inspect] {
        let another = open(&path).unwrap();
        another.usage("", "9").await.unwrap();
        drop(another);
        assert!(is_locked(), "who opens it once more");
    }
}

#[tokio::test]
async fn an_older_file_is_brought_forward_and_kept_as_it_was_beside() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    of_schema_1(&path);
    let store = Sqlite::open(&path).unwrap();
    let image = store.load().await.unwrap();
    let key = &image.keys["aa"];
    assert_eq!((&*key.id, key.priority, key.created), ("old", 10, 77));
    assert_eq!((key.state, &*key.reason), (KeyStanding::Disabled, "lost"));
    assert!(!image.running);
    let used = store.usage("2026-06-15", "2026-06-15").await.unwrap();
    assert_eq!(used.iter().map(|row| row.requests).collect::<Vec<_>>(), [12]);

    let copies = named(folder.path(), "schema-1");
    assert_eq!(copies.len(), 1, "{copies:?}");
    let copy = Connection::open(&copies[0]).unwrap();
    assert_eq!(copy.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).unwrap(), 1);
    assert_eq!(copy.query_row("SELECT id FROM api_keys", [], |row| row.get::<_, String>(0)).unwrap(), "old");
    drop(store);
    Sqlite::open(&path).unwrap();
    assert_eq!(named(folder.path(), "schema-1").len(), 1, "it stands at the last schema by now");
}

/// A file as this step of the schema wrote it, after a crash.
fn of_schema(step: usize, path: &Path) {
    of_schema_1(path);
    let connection = Connection::open(path).unwrap();
    for sql in &MIGRATIONS[1..step] {
        connection.execute_batch(sql).unwrap();
    }
    connection.pragma_update(None, "user_version", step as u32).unwrap();
    connection.execute("INSERT INTO key_errors VALUES ('2026-06-15', 'aa', 'flash', 'rate_limited', 2)", []).unwrap();
    if step == 1 {
        return;
    }
    if step >= 4 {
        connection.execute("UPDATE key_usage SET errors = '{\"rate_limited\":2}'", []).unwrap();
    }
    connection.execute("UPDATE run SET epoch = 7, running = 1", []).unwrap();
    let counts = |requests| {
        format!(
            r#"[{{"limit":{{"unit":"requests","span":{{"sliding":{{"secs":60,"nanos":0}}}},"amount":10}},"moments":[1781550000000,{requests}]}}]"#
        )
    };
    let unit = params!["flash", "project", 7, counts(3), r#"{"requests":2}"#, "[]"];
    connection.execute("INSERT INTO windows VALUES (?1, ?2, ?3, ?4, ?5, ?6)", unit).unwrap();
    if step < 4 {
        let said = format!(
            r#"{{"units":[{{"owner":"project","lane":"flash","epoch":7,"windows":{},"credit":{{"requests":2}},"learned":[]}}],
               "units_gone":[],"usage":[{{"day":"2026-06-15","key":"aa","id":"old","lane":"flash","requests":5,
               "input_tokens":1,"output_tokens":1,"errors":{{"rate_limited":1}}}}]}}"#,
            counts(4)
        );
        connection.execute("INSERT INTO journal (counts) VALUES (?1)", [said]).unwrap();
    }
}

#[tokio::test]
async fn a_file_of_every_earlier_version_is_opened_with_all_that_it_says() {
    for step in 1..=MIGRATIONS.len() {
        let folder = folder();
        let path = folder.path().join("keypool.db");
        of_schema(step, &path);
        let store = Sqlite::open(&path).unwrap_or_else(|error| panic!("schema {step}: {error}"));
        let image = store.load().await.unwrap();
        assert_eq!(image.keys["aa"].state, KeyStanding::Disabled, "schema {step}");
        let (requests, errors) = if (2..4).contains(&step) { (17, 3) } else { (12, 2) };
        let used = store.usage("2026-06-15", "2026-06-15").await.unwrap();
        assert_eq!((used[0].requests, used[0].errors.values().sum::<u64>()), (requests, errors), "schema {step}");
        if step > 1 {
            assert_eq!((image.epoch, image.running), (7, true), "schema {step}");
            let counted = image.units.values().next().unwrap().windows[0].moments[0].1;
            assert_eq!(counted, if step < 4 { 4 } else { 3 }, "schema {step}");
        }
        assert_eq!(store.check().await.unwrap(), [""; 0], "schema {step}");
        let copies = named(folder.path(), &format!("schema-{step}"));
        assert_eq!(copies.len(), usize::from(step < MIGRATIONS.len()), "schema {step}: {copies:?}");
        close(store).await;
        // Whoever asks with any SQLite finds the columns by their names.
        let connection = Connection::open(&path).unwrap();
        let asked = "SELECT requests, errors ->> 'rate_limited' FROM key_usage";
        let told = connection.query_row(asked, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(told, (requests, errors as i64), "schema {step}");
    }
}

#[test]
fn tables_have_the_columns_that_people_ask_for() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    drop(Sqlite::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    for asked in [
        "SELECT id, hash, secret, tier, priority, weight_now, weight, owner, source, state, reason, last_success,
           last_failure, consecutive_failures, created FROM api_keys",
        "SELECT time, origin, source, lines, added, duplicate, rejected FROM import_history",
        "SELECT day, key, lane, requests, input_tokens, output_tokens, errors FROM key_usage",
    ] {
        connection.prepare(asked).unwrap_or_else(|error| panic!("{asked}: {error}"));
    }
}

/// What the next version does to a file.
pub(super) fn bring_forward(path: &Path, step: &str) {
    let steps: Vec<&str> = MIGRATIONS.iter().copied().chain([step]).collect();
    let mut connection = Connection::open(path).unwrap();
    connection.busy_timeout(super::BUSY).unwrap();
    migrate(&mut connection, path, &steps).unwrap();
}

#[tokio::test]
async fn a_newer_file_that_only_has_more_tables_is_worked_on() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    drop(Sqlite::open(&path).unwrap());
    bring_forward(&path, &format!("{ADDS}\nCREATE TABLE moods (mood TEXT NOT NULL) STRICT;"));
    let store = Sqlite::open(&path).unwrap();
    store.write(key(KeptSecret::Elsewhere).into()).await.unwrap();
    assert_eq!(store.load().await.unwrap().keys.len(), 1);
    assert_eq!(store.check().await.unwrap(), [""; 0]);
    close(store).await;
    // The next version finds what it made.
    bring_forward(&path, &format!("{ADDS}\nCREATE TABLE moods (mood TEXT NOT NULL) STRICT;"));
    let connection = Connection::open(&path).unwrap();
    assert_eq!(connection.query_row("SELECT count(*) FROM moods", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[tokio::test]
async fn a_file_that_is_brought_forward_while_it_is_worked_on_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    let store = Sqlite::open(&path).unwrap();
    store.load().await.unwrap();
    store.write(key(KeptSecret::Elsewhere).into()).await.unwrap();
    bring_forward(&path, "ALTER TABLE api_keys RENAME TO credentials; ALTER TABLE rests RENAME TO pauses;");
    let later = KeyRecord { hash: "bb".to_owned(), ..KeyRecord::default() };
    let later = Batch { keys: vec![later], ..Batch::default() };
    for _ in 0..3 {
        let error = store.write(later.clone().into()).await.unwrap_err();
        assert!(error.to_string().contains("newer version") && !error.is_begun_anew(), "{error}");
        assert!(store.load().await.unwrap_err().to_string().contains("newer version"));
        assert!(store.edit_keys(|_| ()).await.unwrap_err().to_string().contains("newer version"));
    }
    assert!(named(folder.path(), "corrupt").is_empty(), "what it does not know it does not take for broken");
    close(store).await;
    let connection = Connection::open(&path).unwrap();
    assert_eq!(connection.query_row("SELECT count(*) FROM credentials", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

/// A table may still be there and mean something else.
#[tokio::test]
async fn a_file_that_is_brought_forward_while_it_is_looked_at_is_not_read_any_more() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    let store = Sqlite::open(&path).unwrap();
    store.load().await.unwrap();
    store.write(key(KeptSecret::Elsewhere).into()).await.unwrap();
    bring_forward(&path, "UPDATE api_keys SET priority = priority * 1000; CREATE TABLE moods (mood TEXT) STRICT;");
    let refused = [
        ("keys", store.keys().await.err()),
        ("key_book", store.key_book().await.err()),
        ("command_keys", store.command_keys().await.err()),
        ("key_news", store.key_news(0).await.err()),
        ("look", store.look().await.err()),
        ("usage", store.usage("2026-01-01", "2026-12-31").await.err()),
        ("imports", store.imports().await.err()),
        ("kept", store.kept("file", vec!["a".to_owned()], 0).await.err()),
        ("kept_of", store.kept_of("file", "", "", 0).await.err()),
        ("revision", store.revision("file").await.err()),
        ("check", store.check().await.err()),
        ("inspect", Sqlite::inspect(&path).err()),
    ];
    for (name, error) in refused {
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("newer version") && error.contains("keypool.db"), "{name}: {error}");
    }
    close(store).await;
}

/// What those who do not know a step rely on.
#[test]
fn steps_that_are_said_to_add_only_make_tables() {
    for sql in MIGRATIONS.iter().filter(|sql| sql.starts_with(ADDS)) {
        let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
        for statement in lines.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            let makes = ["CREATE TABLE", "CREATE INDEX", "CREATE UNIQUE INDEX"];
            assert!(makes.iter().any(|makes| statement.starts_with(makes)), "{statement}");
        }
    }
}

#[tokio::test]
async fn a_process_reads_of_keys_what_commands_said_and_no_more() {
    let folder = folder();
    let store = Sqlite::open(folder.path().join("keypool.db")).unwrap();
    let of_a_file = |hash: &str| KeyRecord { hash: hash.to_owned(), id: hash.to_owned(), ..KeyRecord::default() };
    store.write(Batch { keys: ["aa", "bb"].map(of_a_file).to_vec(), ..Batch::default() }.into()).await.unwrap();
    assert_eq!(store.command_keys().await.unwrap().keys().count(), 0);
    let kept = KeptSecret::Reference("env:WORK".into());
    let said = crate::store::KeySettings { hash: "cc".into(), id: Some("work".into()), ..Default::default() };
    store.edit_keys(|book| book.add(said, kept, 7)).await.unwrap().unwrap();
    store.edit_keys(|book| book.disable("bb", "by hand")).await.unwrap().unwrap();
    let (all, said) = (store.key_book().await.unwrap(), store.command_keys().await.unwrap());
    assert_eq!(said.keys().map(|(hash, _)| hash).collect::<Vec<_>>(), ["bb", "cc"]);
    assert_eq!((all.keys().count(), said.revision()), (3, all.revision()));
    for (hash, key) in said.keys() {
        assert_eq!(Some(key), all.by_hash(hash));
    }
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_as_it_is() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    drop(Sqlite::open(&path).unwrap());
    bring_forward(&path, "ALTER TABLE rests RENAME TO pauses;");
    let error = Sqlite::open(&path).unwrap_err().to_string();
    assert!(error.contains("keypool.db") && error.contains("newer version"), "{error}");
    assert!(named(folder.path(), "corrupt").is_empty());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_unless_one_of_ours_was_there() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    let text = "keys = \"this is no database, but may be somebody's file\"".repeat(100);
    fs::write(&path, &text).unwrap();
    for error in [Sqlite::open(&path).unwrap_err(), Sqlite::inspect(&path).unwrap_err()] {
        assert!(error.to_string().contains("keypool.db is no database"), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(named(folder.path(), "").len(), 1, "nothing lies beside it");
    // The same in the place of one that was made here.
    fs::remove_file(&path).unwrap();
    close(Sqlite::open(&path).unwrap()).await;
    fs::write(&path, &text).unwrap();
    let store = Sqlite::open(&path).unwrap();
    let aside = store.set_aside().unwrap();
    assert_eq!(named(folder.path(), "corrupt"), [aside]);
    assert_eq!(fs::read_to_string(aside).unwrap(), text);
    assert!(store.load().await.unwrap().keys.is_empty());
    Store::write(&store, Arc::new(key(KeptSecret::Elsewhere))).await.unwrap();
}

#[tokio::test]
async fn a_database_with_a_torn_page_is_set_aside() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    let store = Sqlite::open(&path).unwrap();
    let keys = (0..500).map(|n| KeyRecord { hash: format!("{n:064}"), ..KeyRecord::default() }).collect();
    Store::write(&store, Arc::new(Batch { keys, ..Batch::default() })).await.unwrap();
    close(store).await;
    let mut bytes = fs::read(&path).unwrap();
    let page = 4096 * 8;
    bytes[page..page + 4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    assert!(!Sqlite::inspect(&path).unwrap().check().await.is_ok_and(|problems| problems.is_empty()));
    let store = Sqlite::open(&path).unwrap();
    assert!(store.set_aside().is_some_and(Path::exists));
    assert!(store.load().await.unwrap().keys.is_empty());
}

/// Waits until the thread has closed the file, with what stood in `-wal`.
async fn close(store: Sqlite) {
    let path = store.path().to_owned();
    let wal = super::file::beside(&path, "-wal");
    drop(store);
    while wal.exists() || super::presence::is_open_here(&path) {
        tokio::task::yield_now().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_but_its_owner_may_read_any_of_its_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("state/keypool/keypool.db");
    let store = Sqlite::open(&path).unwrap();
    Store::write(&store, Arc::new(key(KeptSecret::Elsewhere))).await.unwrap();
    store.load().await.unwrap();
    store.backup(folder.path().join("state/keypool/copy.db")).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = named(path.parent().unwrap(), "");
    assert!(files.len() >= 5, "database, -wal, -shm, copy and lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert_eq!(mode(path.parent().unwrap()), 0o700);

    // A file that others could read is theirs no more.
    close(store).await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let store = Sqlite::open(&path).unwrap();
    Store::write(&store, Arc::new(key(KeptSecret::Elsewhere))).await.unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&super::file::beside(&path, "-wal")), 0o600);
}

#[tokio::test]
async fn a_secret_lies_in_no_file_unless_somebody_asked_for_that() {
    let vault = Vault::new(&"5a".repeat(32)).unwrap();
    let folder = folder();
    let path = folder.path().join("keypool.db");
    let store = Sqlite::open(&path).unwrap();
    let holds = || {
        let bytes = named(folder.path(), "").into_iter().map(|file| fs::read(file).unwrap());
        bytes.into_iter().any(|bytes| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()))
    };
    let sealed = Keeping::Sealed(vault.clone()).keep(SECRET).unwrap();
    for secret in [KeptSecret::Elsewhere, KeptSecret::Reference("env:SOME_KEY".to_owned()), sealed] {
        Store::write(&store, Arc::new(key(secret))).await.unwrap();
        store.backup(folder.path().join("copy.db")).await.unwrap();
        assert!(!holds());
        fs::remove_file(folder.path().join("copy.db")).unwrap();
    }
    let kept = store.load().await.unwrap().keys.remove("aa").unwrap();
    assert_eq!(kept.secret.reveal("work", &secret_hash(SECRET), Some(&vault)).unwrap().as_deref(), Some(SECRET));
    let plain = Keeping::Plain.keep(SECRET).unwrap();
    Store::write(&store, Arc::new(key(plain))).await.unwrap();
    assert!(holds(), "asked for");
}

#[tokio::test]
async fn one_process_works_on_it_at_a_time_and_others_may_copy_it() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    let first = Sqlite::open(&path).unwrap();
    first.load().await.unwrap();
    let second = Sqlite::open(&path).unwrap();
    let error = second.load().await.unwrap_err();
    assert!(error.is_in_use() && error.to_string().contains("keypool.db"), "{error}");
    let copy = folder.path().join("copy.db");
    second.backup(&copy).await.unwrap();
    assert!(second.backup(&copy).await.unwrap_err().to_string().contains("there already"));
    assert_eq!(Sqlite::inspect(&copy).unwrap().check().await.unwrap(), [""; 0]);
    drop(first);
    second.load().await.unwrap();
    assert!(Sqlite::inspect(folder.path().join("nothing.db")).is_err());
    assert!(!folder.path().join("nothing.db").exists());
}

#[tokio::test]
async fn a_copy_holds_what_was_written_last() {
    let folder = folder();
    let store = Sqlite::open(folder.path().join("keypool.db")).unwrap();
    let usage = UsageRecord { day: "2026-06-15".into(), key: "aa".into(), requests: 3, ..Default::default() };
    Store::write(&store, Arc::new(Batch { usage: vec![usage.clone()], ..Batch::default() })).await.unwrap();
    let copy = folder.path().join("copy.db");
    store.backup(&copy).await.unwrap();
    assert_eq!(Sqlite::open(&copy).unwrap().usage("2026-06-15", "2026-06-15").await.unwrap(), [usage]);
}

fn counts(n: i64) -> Batch {
    let usage = UsageRecord { day: "2026-06-15".into(), key: "aa".into(), requests: 1, ..Default::default() };
    let unit = |owner: &str| UnitRecord { owner: owner.to_owned(), epoch: n as u64, ..UnitRecord::default() };
    Batch { usage: vec![usage], units: vec![unit("project"), unit(&format!("once-{n}"))], ..Batch::default() }
}

#[tokio::test]
async fn every_batch_of_counts_outlives_a_crash_wherever_it_lies() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    let store = Sqlite::open(&path).unwrap();
    for n in 1..=120 {
        Store::write(&store, Arc::new(counts(n))).await.unwrap();
        if ![1, 49, 50, 51, 120].contains(&n) {
            continue;
        }
        // As the files lie there, while the process has them open: a crash leaves just that.
        let crashed = tempfile::tempdir().unwrap();
        for file in named(folder.path(), "keypool.db") {
            fs::copy(&file, crashed.path().join(file.file_name().unwrap())).unwrap();
        }
        let after = Sqlite::open(crashed.path().join("keypool.db")).unwrap();
        let used = after.usage("2026-06-15", "2026-06-15").await.unwrap();
        assert_eq!(used.iter().map(|row| row.requests).sum::<i64>(), n);
        let image = after.load().await.unwrap();
        assert_eq!(image.units.len() as i64, n + 1);
        assert_eq!(image.units.values().find(|unit| unit.owner == "project").unwrap().epoch as i64, n);
        let used = after.usage("2026-06-15", "2026-06-15").await.unwrap();
        assert_eq!(used.iter().map(|row| row.requests).sum::<i64>(), n, "folded once");
    }
    let gone = vec![("project".to_owned(), String::new())];
    Store::write(&store, Arc::new(Batch { units_gone: gone, ..Batch::default() })).await.unwrap();
    assert!(store.load().await.unwrap().units.values().all(|unit| unit.owner != "project"));
}

#[test]
fn whose_a_file_is_stands_in_it_before_any_journal_is_read() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    let _open = Sqlite::open(&path).unwrap();
    // All else lies beside it until somebody is done.
    assert!(fs::metadata(folder.path().join("keypool.db-wal")).unwrap().len() > 0);
    assert_eq!(fs::read(&path).unwrap()[68..72], super::whose::OURS.to_be_bytes());
}
