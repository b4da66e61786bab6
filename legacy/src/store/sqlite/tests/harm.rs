//! What becomes of a file that somebody harms.

use std::{fs, path::Path, sync::Arc};

use rusqlite::Connection;

use super::{close, counts, folder, key, named};
use crate::store::{
    Batch, KeptSecret, KeyRecord, Ledger, LedgerEntry, Placing, Store,
    sqlite::{Sqlite, file::beside, migrate::MIGRATIONS},
};

/// A database of a few hundred kilobytes.
async fn filled(path: &Path) {
    let store = Sqlite::open(path).unwrap();
    let keys = (0..500).map(|n| KeyRecord { hash: format!("{n:064}"), ..KeyRecord::default() }).collect();
    store.write(Arc::new(Batch { keys, ..Batch::default() })).await.unwrap();
    store.write(Arc::new(counts(1))).await.unwrap();
    store.load().await.unwrap();
    close(store).await;
}

#[tokio::test]
async fn a_broken_file_is_set_aside_as_it_is_and_a_new_one_begun() {
    type Harm = (&'static str, fn(&mut Vec<u8>));
    let harms: [Harm; 5] = [
        ("emptied", Vec::clear),
        ("cut off", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut off within a page", |bytes| bytes.truncate(bytes.len() / 2 + 1_234)),
        ("another header", |bytes| bytes[..100].fill(0x5a)),
        ("a torn page in the middle", |bytes| {
            let page = bytes.len() / 2 / 4096 * 4096;
            bytes[page..page + 4096].fill(0xa5);
        }),
    ];
    for (what, harm) in harms {
        let folder = folder();
        let path = folder.path().join("keypool.db");
        filled(&path).await;
        let mut bytes = fs::read(&path).unwrap();
        harm(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let looked_at = Sqlite::inspect(&path);
        let found = match &looked_at {
            Ok(store) => store.check().await,
            Err(_) => Ok(vec!["cannot be opened".to_owned()]),
        };
        assert!(!found.is_ok_and(|problems| problems.is_empty()), "{what}: a check finds it");
        drop(looked_at);
        let store = Sqlite::open(&path).unwrap_or_else(|error| panic!("{what}: {error}"));
        let aside = store.set_aside().unwrap_or_else(|| panic!("{what}: it was taken as it is")).to_owned();
        assert!(aside.display().to_string().contains("keypool.db.corrupt-"), "{what}: {}", aside.display());
        assert_eq!(fs::read(&aside).unwrap(), bytes, "{what}");
        store.write(Arc::new(counts(2))).await.unwrap();
        assert_eq!(store.load().await.unwrap().units.len(), 2, "{what}");
        assert_eq!(store.check().await.unwrap(), [""; 0], "{what}");
    }
}

#[tokio::test]
async fn an_empty_file_is_new_unless_something_was_in_it() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    fs::write(&path, "").unwrap();
    assert!(Sqlite::read(&path).is_ok(), "somebody just makes it");
    close(Sqlite::open(&path).unwrap()).await;
    fs::write(&path, "").unwrap();
    assert!(Sqlite::read(&path).unwrap_err().is_broken());
    // Deleted, it is a new one, whenever whoever makes it is stopped.
    fs::remove_file(&path).unwrap();
    super::super::file::prepare(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    assert!(Sqlite::open(&path).unwrap().set_aside().is_none());
}

#[tokio::test]
async fn a_folder_in_its_place_is_refused_and_left() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    fs::create_dir(&path).unwrap();
    for error in [Sqlite::open(&path).unwrap_err(), Sqlite::inspect(&path).unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("keypool.db is a folder"), "{error}");
    }
    assert_eq!(named(folder.path(), "").len(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn what_may_not_be_written_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.path().join("closed/keypool.db");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(folder.path().join("closed/probe"), "").is_ok() {
        // To root nothing is closed.
        return;
    }
    let error = Sqlite::open(&path).unwrap_err().to_string();
    assert!(error.contains("keypool.db") && error.contains("denied"), "{error}");
}

#[tokio::test]
async fn a_full_disk_keeps_no_half_of_a_batch_and_takes_it_when_there_is_room() {
    let folder = folder();
    let store = Sqlite::open(folder.path().join("keypool.db")).unwrap();
    store.write(Arc::new(counts(1))).await.unwrap();
    let allow = |more: i64| {
        store.run(move |desk| {
            let pages: i64 = desk.connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            desk.connection.pragma_update(None, "max_page_count", pages + more)?;
            Ok(())
        })
    };
    allow(2).await.unwrap();
    let mut large = counts(2);
    large.keys = (0..500).map(|n| KeyRecord { hash: format!("{n:064}"), ..KeyRecord::default() }).collect();
    let large = Arc::new(large);
    for _ in 0..3 {
        let error = store.write(Arc::clone(&large)).await.unwrap_err();
        assert!(error.to_string().contains("full") && !error.is_begun_anew(), "{error}");
        let image = store.load().await.unwrap();
        assert_eq!((image.keys.len(), image.units.len()), (0, 2), "nothing of it");
    }
    allow(1_000_000).await.unwrap();
    store.write(large).await.unwrap();
    store.write(Arc::new(counts(3))).await.unwrap();
    let image = store.load().await.unwrap();
    assert_eq!((image.keys.len(), image.units.len()), (500, 4));
    let used = store.usage("2026-06-15", "2026-06-15").await.unwrap();
    assert_eq!(used.iter().map(|row| row.requests).sum::<i64>(), 3, "each counted once");
}

#[tokio::test]
async fn a_file_that_is_deleted_or_replaced_meanwhile_is_made_again_with_all_that_was_in_it() {
    for (what, all) in [("deleted", false), ("deleted", true), ("replaced", false)] {
        let folder = folder();
        let path = folder.path().join("keypool.db");
        let store = Sqlite::open(&path).unwrap();
        store.write(Arc::new(key(KeptSecret::Plain("AIza-not-a-real-key-00001".to_owned())))).await.unwrap();
        store.load().await.unwrap();
        for n in 1..4 {
            store.write(Arc::new(counts(n))).await.unwrap();
        }
        for file in named(folder.path(), "keypool.db").iter().filter(|file| all || **file == path) {
            fs::remove_file(file).unwrap();
        }
        if what == "replaced" {
            fs::write(&path, "somebody's notes").unwrap();
        }
        store.write(Arc::new(counts(4))).await.unwrap();
        let aside = named(folder.path(), "replaced-");
        assert_eq!(aside.len(), usize::from(what == "replaced"), "{what}");
        assert!(aside.iter().all(|file| fs::read(file).unwrap() == b"somebody's notes"));
        store.write(Arc::new(counts(5))).await.unwrap();
        // It is claimed still, and whole for whoever comes next.
        assert!(Sqlite::open(&path).unwrap().load().await.unwrap_err().is_in_use(), "{what}");
        drop(store);
        let next = Sqlite::open(&path).unwrap();
        let image = next.load().await.unwrap();
        assert_eq!((image.keys.len(), image.units.len()), (1, 6), "{what}");
        let used = next.usage("2026-06-15", "2026-06-15").await.unwrap();
        assert_eq!(used.iter().map(|row| row.requests).sum::<i64>(), 5, "{what}");
        assert_eq!(next.check().await.unwrap(), [""; 0], "{what}");
    }
}

#[tokio::test]
async fn one_that_breaks_meanwhile_is_set_aside_and_whoever_writes_is_told() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    let store = Sqlite::open(&path).unwrap();
    store.write(Arc::new(counts(1))).await.unwrap();
    let broke = |desk: &mut super::super::Desk| {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), None);
        Err::<(), _>(desk.begin_anew(&error))
    };
    let error = store.run(broke).await.unwrap_err();
    assert!(error.is_begun_anew() && error.to_string().contains("keypool.db.corrupt-"), "{error}");
    store.write(Arc::new(counts(2))).await.unwrap();
    assert_eq!(store.load().await.unwrap().units.len(), 2, "only what was said since");
}

#[tokio::test]
async fn a_check_finds_a_newer_schema_rows_that_say_nothing_and_files_open_to_others() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    filled(&path).await;
    let store = Sqlite::inspect(&path).unwrap();
    assert_eq!(store.check().await.unwrap(), [""; 0]);
    let held = store.contents().await.unwrap();
    assert_eq!((held.schema, held.keys, held.windows, held.usage), (MIGRATIONS.len(), 500, 2, 1));
    assert!(held.bytes > 100_000);
    let by_hand = Connection::open(&path).unwrap();
    by_hand.execute("UPDATE windows SET counts = '{}' WHERE owner = 'project'", []).unwrap();
    by_hand.execute("UPDATE api_keys SET state = 'asleep' WHERE hash LIKE '%7'", []).unwrap();
    let found = store.check().await.unwrap().join("\n");
    assert!(found.contains("api_keys: 50 rows") && found.contains("windows: 1 row that"), "{found}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(store.check().await.unwrap().join("\n").contains("mode 644"));
    }
    by_hand.pragma_update(None, "user_version", MIGRATIONS.len() as u32 + 1).unwrap();
    by_hand.execute("UPDATE run SET floor = ?1", [MIGRATIONS.len() as u32 + 1]).unwrap();
    let error = Sqlite::inspect(&path).unwrap_err().to_string();
    assert!(error.contains("newer version"), "{error}");
    // What is so far ahead is not the next one's, though nothing says that it leaves this one behind.
    by_hand.execute("UPDATE run SET floor = 1", []).unwrap();
    Sqlite::inspect(&path).unwrap();
    by_hand.pragma_update(None, "user_version", 99).unwrap();
    for error in [Sqlite::inspect(&path).unwrap_err(), Sqlite::open(&path).unwrap_err()] {
        assert!(error.to_string().contains("newer version"), "{error}");
    }
    assert!(store.keys().await.unwrap_err().to_string().contains("newer version"));

    // A copy without what lay beside the file, where all was.
    by_hand.pragma_update(None, "user_version", 0).unwrap();
    assert!(Sqlite::inspect(&path).unwrap_err().to_string().contains("not even a table"));
}

#[tokio::test]
async fn a_check_names_what_is_wrong() {
    let folder = folder();
    let path = folder.path().join("keypool.db");
    filled(&path).await;
    let connection = Connection::open(&path).unwrap();
    for n in 0..5 {
        let row = "INSERT INTO api_keys (hash, id, secret_form, secret, priority, weight, weight_now, ramp, state, reason, \
                   consecutive_failures, created) VALUES (?1, ?2, 'new form', x'00', 0, 1, 1, 0, 'active', '', 0, 0)";
        connection.execute(row, [format!("{n}"), format!("work-{n}")]).unwrap();
    }
    connection.execute("UPDATE windows SET counts = 'x'", []).unwrap();
    let wrong = Sqlite::inspect(&path).unwrap().check().await.unwrap().join("; ");
    assert!(wrong.contains("api_keys: 5 rows (work-0, work-1, work-2, …): their secret is kept in a form"), "{wrong}");
    assert!(wrong.contains("windows: 2 rows (once-1, project): the counts are no JSON"), "{wrong}");
}

#[tokio::test]
async fn a_backup_that_is_put_back_after_a_crash_is_all_that_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, crashed) = (folder.path().join("keypool.db"), folder.path().join("crashed.db"));
    let store = Sqlite::open(&path).unwrap();
    let keep = async |names: std::ops::Range<usize>| {
        let entry = |name: usize| LedgerEntry { name: format!("{name:0900}"), ..LedgerEntry::default() };
        store.keep("test", names.map(entry).collect(), Placing::Replace, 0).await.unwrap();
    };
    keep(0..40).await;
    // In the place of the file of a process that was killed, whose journal lies there still.
    store.backup(&crashed).await.unwrap();
    keep(40..400).await;
    fs::copy(beside(&path, "-wal"), beside(&crashed, "-wal")).unwrap();
    let names = async |store: Sqlite| {
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
        store.kept_of("test", "", "", 0).await.unwrap().len()
    };
    assert_eq!(names(Sqlite::read(&crashed).unwrap()).await, 40);
    assert_eq!(names(Sqlite::inspect(&crashed).unwrap()).await, 40);
    let opened = Sqlite::open(&crashed).unwrap();
    assert!(opened.set_aside().is_none());
    assert_eq!(names(opened).await, 40);
}
