//! Another file under the name, while several work on it.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{super::super::file::beside, Party, runtime};
use crate::time::ManualClock;

/// Which files lie beside it.
fn sides(path: &Path) -> [u64; 2] {
    ["-wal", "-shm"].map(|end| std::fs::metadata(beside(path, end)).expect("it is there").ino())
}

/// A copy of it takes its place.
fn replace(path: &Path) {
    let copy = path.with_file_name("copy.db");
    let file = rusqlite::Connection::open(path).expect("a database");
    file.execute("VACUUM INTO ?1", [copy.to_str()]).expect("a copy");
    std::fs::rename(copy, path).expect("renamed");
}

fn holders(path: &Path) -> i64 {
    let file = rusqlite::Connection::open(path).expect("a database");
    file.query_row("SELECT count(*) FROM board_holders", [], |row| row.get(0)).expect("a number")
}

/// A process that opens one index twice and closes it once has no locks on it any more: whoever opens it next would cut it
/// short, and others die who have it in their memory.
#[test]
fn who_goes_over_to_another_file_takes_no_journal_and_no_index_along() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let [mut one, mut other] = ["one", "other"].map(|name| Party::new(&path, &clock, name, false));
        one.renews(&clock, 0).await;
        other.renews(&clock, 0).await;
        let old = sides(&path);
        replace(&path);
        clock.advance(Duration::from_millis(2_500));
        one.renews(&clock, 0).await;
        let new = sides(&path);
        assert!(old.iter().zip(new).all(|(old, new)| *old != new), "{old:?}, {new:?}");
        other.renews(&clock, 0).await;
        assert_eq!(sides(&path), new, "both work with these");
        assert_eq!(holders(&path), 2);
    });
}
