//! Another file under the name, while several work on it.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{
    super::super::{file::beside, mending::LOOKED_THROUGH},
    Party, Sqlite, runtime,
};
use crate::{
    store::{Ledger, LedgerEntry, Placing},
    time::ManualClock,
};

/// Whether this process has a lock on the index beside the file: others must not take it for nobody's.
fn holds_its_index(path: &Path) -> bool {
    let index = std::fs::metadata(beside(path, "-shm")).expect("an index").ino();
    let (process, file) = (std::process::id().to_string(), format!(":{index}"));
    let locks = std::fs::read_to_string("/proc/locks").expect("what is locked");
    let own = |line: &str| line.contains("POSIX") && line.split(' ').any(|word| word == process);
    locks.lines().any(|line| own(line) && line.split(' ').any(|word| word.ends_with(&file)))
}

/// Who opens an index on which nobody has a lock cuts it short, and those die who have it in their memory.
#[test]
fn who_goes_over_to_another_file_goes_on_holding_the_index() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let mut one = Party::new(&path, &clock, "one", false);
        one.renews(&clock, 0).await;
        assert!(holds_its_index(&path), "as it began");
        let copy = path.with_file_name("copy.db");
        let file = rusqlite::Connection::open(&path).expect("a database");
        file.execute("VACUUM INTO ?1", [copy.to_str()]).expect("a copy");
        drop(file);
        std::fs::rename(copy, &path).expect("renamed");
        clock.advance(Duration::from_millis(2_500));
        one.renews(&clock, 0).await;
        assert!(holds_its_index(&path), "as it goes on");
    });
}

/// Names that lie in `-wal` when this returns.
async fn keep(party: &Party, names: std::ops::Range<usize>) {
    let entry = |name: usize| LedgerEntry { name: format!("{name:0900}"), ..LedgerEntry::default() };
    let entries = names.map(entry).collect();
    party.board.database().keep("test", entries, Placing::Replace, 0).await.expect("kept");
}

#[test]
fn a_backup_that_is_put_back_beside_the_journal_of_the_file_before_is_what_is_worked_on() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let mut one = Party::new(&path, &clock, "one", false);
        let mut two = Party::new(&path, &clock, "two", false);
        one.renews(&clock, 1).await;
        keep(&one, 0..40).await;
        let backup = path.with_file_name("backup.db");
        one.board.database().backup(&backup).await.expect("a copy");
        keep(&two, 40..400).await;
        assert!(std::fs::metadata(beside(&path, "-wal")).expect("a journal").len() > 0);
        std::fs::rename(backup, &path).expect("put back");
        for party in [&mut one, &mut two] {
            clock.advance(Duration::from_millis(2_500));
            party.renews(&clock, 0).await;
        }
        let names = std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|file| file.file_name());
        let aside: Vec<_> = names.filter(|name| name.to_string_lossy().contains("corrupt")).collect();
        assert!(aside.is_empty(), "{aside:?}");
        let read = Sqlite::read(&path).expect("whole");
        assert!(read.check().await.expect("read").is_empty());
        assert_eq!(read.kept_of("test", "", "", 0).await.expect("read").len(), 40, "what the backup had");
    });
}

/// A page that is in nobody's memory, or that nobody needs before the next start.
#[test]
fn what_breaks_on_the_disk_is_found_by_those_who_work_on_it() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let mut one = Party::new(&path, &clock, "one", false);
        let mut two = Party::new(&path, &clock, "two", false);
        one.renews(&clock, 1).await;
        one.board.database().settle().await.expect("in the file");
        let page = one.board.database().run(|desk| {
            let page = "SELECT rootpage FROM sqlite_schema WHERE name = 'import_history'";
            Ok(desk.connection.query_row(page, [], |row| row.get::<_, u32>(0))?)
        });
        let seek = format!("seek={}", page.await.expect("a table") - 1);
        let of = format!("of={}", path.display());
        // Another process: with a handle that is closed here all locks would go.
        let mut dd = std::process::Command::new("dd");
        let dd = dd.args(["if=/dev/urandom", &of, &seek, "bs=4096", "count=1", "conv=notrunc", "status=none"]);
        assert!(dd.status().expect("dd").success());
        let aside = || {
            let names = std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|file| file.file_name());
            let is_one = |name: &str| name.contains("corrupt") && !name.ends_with("-wal") && !name.ends_with("-shm");
            names.filter(|name| is_one(&name.to_string_lossy())).count()
        };
        for party in [&one, &two] {
            let theirs = clock.clock();
            let by_it = party.board.database().run(|desk| {
                desk.looks_through = theirs.tick().plus(LOOKED_THROUGH);
                desk.clock = theirs;
                Ok(())
            });
            by_it.await.expect("a thread");
        }
        for (seconds, found) in [(3, 0), (60, 1), (60, 1)] {
            clock.advance(Duration::from_secs(seconds));
            one.renews(&clock, 0).await;
            two.renews(&clock, 0).await;
            assert_eq!(aside(), found, "after {seconds} s");
        }
        let read = Sqlite::read(&path).expect("whole");
        assert!(read.check().await.expect("read").is_empty());
    });
}
