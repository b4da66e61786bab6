//! Database files that are damaged, locked, full, read-only, or of another program.

use std::{fs, path::Path, process::Command, time::Duration};

use keypool_store::{
    SqliteOptions, SqliteStore,
    sqlite::{MasterKey, SqliteError, SqliteErrorKind, StoredKey},
};
use rusqlite::Connection;
use tower_keypool::{Error, Limits, Secret, store::Store};

use super::{NOON, Time, candidate, one_request, reserve};

/// Creates a database of some hundred pages and closes it.
async fn filled(path: &Path) {
    let store = Time::new(NOON).open(path);
    let keys = (0..2_000).map(|n| {
        let secret = Secret::new(&format!("AIza-not-a-real-key-{n:05}")).unwrap();
        StoredKey::new(format!("k-{n}").as_str().into(), secret)
    });
    store.put_keys(keys.collect()).await.unwrap();
    for n in 0..100 {
        reserve(&store, &format!("p{n}"), &Limits::new().per_minute(5)).await;
    }
}

/// Returns the error of opening the file, which must not change it.
fn refused(path: &Path) -> SqliteError {
    let before = fs::read(path).unwrap();
    let options = SqliteOptions::new().busy_timeout(Duration::from_millis(100));
    let error = SqliteStore::open(path, options).unwrap_err();
    assert!(fs::read(path).unwrap() == before, "the file was changed");
    assert_eq!(error.path(), path);
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    error
}

#[tokio::test]
async fn damaged_file_is_refused_and_unchanged() {
    type Harm = (&'static str, SqliteErrorKind, fn(&mut Vec<u8>));
    let harms: [Harm; 4] = [
        ("truncated", SqliteErrorKind::Damaged, |bytes| bytes.truncate(bytes.len() / 2)),
        ("truncated within a page", SqliteErrorKind::Damaged, |bytes| bytes.truncate(bytes.len() / 2 + 1_234)),
        ("overwritten header", SqliteErrorKind::NotADatabase, |bytes| bytes[..100].fill(0x5a)),
        ("overwritten page", SqliteErrorKind::Damaged, |bytes| {
            let page = bytes.len() / 2 / 4096 * 4096;
            bytes[page..page + 4096].fill(0xa5);
        }),
    ];
    for (what, kind, harm) in harms {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keypool.db");
        filled(&path).await;
        let mut bytes = fs::read(&path).unwrap();
        harm(&mut bytes);
        fs::write(&path, bytes).unwrap();
        assert_eq!(refused(&path).kind(), kind, "{what}");
    }
}

#[tokio::test]
async fn foreign_file_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "Somebody's notes, which are long enough to look like the header of a file.".repeat(20)).unwrap();
    assert_eq!(refused(&text).kind(), SqliteErrorKind::NotADatabase);
    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE songs (name)").unwrap();
    assert_eq!(refused(&other).kind(), SqliteErrorKind::NotADatabase);
    let error = SqliteStore::open(folder.path(), SqliteOptions::new()).unwrap_err();
    assert_eq!(error.kind(), SqliteErrorKind::NotADatabase);
}

#[tokio::test]
async fn newer_version_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    filled(&path).await;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let error = refused(&path);
    assert_eq!(error.kind(), SqliteErrorKind::NewerVersion);
    assert!(error.to_string().contains("999"), "{error}");
}

#[tokio::test]
async fn locked_file_is_reported_after_the_busy_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let options = || SqliteOptions::new().busy_timeout(Duration::from_millis(50));
    let store = SqliteStore::open(&path, options()).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(SqliteStore::open(&path, options()).unwrap_err().kind(), SqliteErrorKind::Locked);
    let limits = Limits::new().per_minute(5);
    let candidates = vec![candidate("a", &limits)];
    let request = tower_keypool::store::ReserveRequest { candidates, cost: one_request() };
    assert_eq!(kind(&store.reserve(request).await.unwrap_err()), SqliteErrorKind::Locked);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(reserve(&store, "a", &limits).await.granted.is_some());
}

/// Returns the kind of the underlying SQLite error.
fn kind(error: &Error) -> SqliteErrorKind {
    std::error::Error::source(error).unwrap().downcast_ref::<SqliteError>().unwrap().kind()
}

#[tokio::test]
async fn database_with_a_table_that_is_no_longer_used_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    filled(&path).await;
    let table = "CREATE TABLE imports (id INTEGER PRIMARY KEY, source TEXT NOT NULL) STRICT; \
                 INSERT INTO imports VALUES (1, 'keys.txt')";
    Connection::open(&path).unwrap().execute_batch(table).unwrap();
    let store = Time::new(NOON).open(&path);
    assert_eq!(store.keys().await.unwrap().len(), 2_000);
}

#[tokio::test]
async fn full_disk_is_reported_and_writing_resumes_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let time = Time::new(NOON);
    let store = SqliteStore::open(&path, time.options().max_pages(60)).unwrap();
    let keys =
        (0..200).map(|n| StoredKey::new(format!("k-{n}").as_str().into(), Secret::new("AIza-not-a-real-key").unwrap()));
    store.put_keys(keys.collect()).await.unwrap();
    let limits = Limits::new().per_minute(5);
    let mut granted = 0;
    let full = loop {
        let candidates = vec![candidate(&format!("project-{granted}"), &limits)];
        match store.reserve(tower_keypool::store::ReserveRequest { candidates, cost: one_request() }).await {
            Ok(reserved) => assert!(reserved.granted.is_some()),
            Err(error) => break error,
        }
        granted += 1;
    };
    assert_eq!(kind(&full), SqliteErrorKind::DiskFull);
    assert!(full.to_string().contains("store"), "{full}");
    let loaded = store.load().await.unwrap();
    assert_eq!((super::starts(&loaded.records), super::days(&loaded.records)), (granted, granted));
    for n in 0..200 {
        assert!(store.remove_key(&format!("k-{n}").as_str().into()).await.unwrap());
    }
    assert!(reserve(&store, &format!("project-{granted}"), &limits).await.granted.is_some());
}

#[cfg(unix)]
#[tokio::test]
async fn replaced_or_removed_file_is_not_used_any_more() {
    let replace: [fn(&Path); 3] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::rename(path, path.with_extension("old")).unwrap(),
        |path| {
            let copy = path.with_extension("copy");
            fs::copy(path, &copy).unwrap();
            fs::rename(copy, path).unwrap();
        },
    ];
    for replace in replace {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keypool.db");
        let store = Time::new(NOON).open(&path);
        let limits = Limits::new().per_minute(5);
        reserve(&store, "a", &limits).await;
        replace(&path);
        let before = path.exists();
        let request =
            || tower_keypool::store::ReserveRequest { candidates: vec![candidate("a", &limits)], cost: one_request() };
        let key = StoredKey::new("k".into(), Secret::new("AIza-not-a-real-key").unwrap());
        let errors = [
            store.reserve(request()).await.unwrap_err().to_string(),
            store.changes(0).await.unwrap_err().to_string(),
            store.put_key(key).await.unwrap_err().to_string(),
            store.keys().await.unwrap_err().to_string(),
        ];
        for error in errors {
            assert!(error.ends_with("keypool.db failed: it was replaced or removed; restart the program"), "{error}");
        }
        assert_eq!(path.exists(), before);
    }
}

/// Environment variable with the folder in which the child process of a test opens a database.
const FOLDER: &str = "KEYPOOL_TEST_READ_ONLY";

#[test]
#[ignore = "is run by read_only_file_or_folder_is_refused_and_unchanged, as a user who is not root"]
fn child_without_write_permission() {
    let folder = std::env::var(FOLDER).unwrap();
    let error = SqliteStore::open(Path::new(&folder).join("keypool.db"), SqliteOptions::new()).unwrap_err();
    println!("kind {:?}: {error}", error.kind());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn read_only_file_or_folder_is_refused_and_unchanged() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    // Root may write everywhere, so a child process without root's rights opens the file.
    let is_root = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0;
    for (file_mode, folder_mode) in [(0o444, 0o777), (0o666, 0o555)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keypool.db");
        filled(&path).await;
        let before = fs::read(&path).unwrap();
        let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            chmod(&entry.unwrap().path(), file_mode);
        }
        chmod(folder.path(), folder_mode);
        let of_program = tempfile::tempdir().unwrap();
        chmod(of_program.path(), 0o755);
        let program = of_program.path().join("test");
        // A file that this process itself writes cannot run while a child of another test has it open.
        assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap().success());
        let mut child = Command::new(&program);
        child.args(["bad_files::child_without_write_permission", "--exact", "--ignored", "--nocapture"]);
        child.env(FOLDER, folder.path()).current_dir("/");
        if is_root {
            child.uid(65_534).gid(65_534);
        }
        let output = child.output().unwrap();
        chmod(folder.path(), 0o777);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.contains("kind ReadOnly: "), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
        assert!(fs::read(&path).unwrap() == before, "the file was changed");
    }
}

#[test]
fn file_on_a_read_only_file_system_is_reported_as_read_only() {
    // No test may mount a file system, so this is SQLite's error for it.
    let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    let error = SqliteError::from(rusqlite::Error::SqliteFailure(error, None));
    assert_eq!(error.kind(), SqliteErrorKind::ReadOnly);
}

#[tokio::test]
async fn new_file_is_readable_only_by_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/for it/keypool.db");
    let store = SqliteStore::open(&path, SqliteOptions::new()).unwrap();
    reserve(&store, "a", &Limits::new()).await;
    assert!(store.size().unwrap() > 4_096);
    #[cfg(unix)]
    for end in ["", "-wal", "-shm", ".key"] {
        use std::os::unix::fs::PermissionsExt;
        let path = format!("{}{end}", path.display());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path}");
    }
    assert!(MasterKey::read(&path.with_extension("db.key")).is_ok());
}
