//! Another file under the name, while several work on it.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use super::{super::super::file::beside, Party, runtime};
use crate::time::ManualClock;

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
