//! A file in which nothing is: one that is just being made, or one that somebody emptied. What stands in the file beside it
//! that is held to make or mend a database tells which: nothing until the database was begun, and then a word.

use std::{fs, io::Write, path::Path};

use super::{
    failure::Failure,
    file::{self, MEND, beside},
    presence::is_open_here,
    whose,
};

const WORD: &str = "begun\n";

/// Something is in the file from now on.
pub(super) fn begun(path: &Path) {
    let lock = beside(path, MEND);
    if fs::metadata(&lock).is_ok_and(|lock| lock.len() > 0) {
        return;
    }
    // Without it an emptied file is taken for a new one.
    let _ = file::private(&lock).and_then(|mut lock| lock.write_all(WORD.as_bytes()));
}

/// There is no file, and one is made.
pub(super) fn forget(path: &Path) {
    if let Ok(lock) = fs::OpenOptions::new().write(true).open(beside(path, MEND)) {
        let _ = lock.set_len(0);
    }
}

/// Refuses a file that was emptied.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    let was_begun = || fs::read(beside(path, MEND)).is_ok_and(|word| word == WORD.as_bytes());
    if whose::is_empty(path) && !is_open_here(path) && was_begun() {
        return Err(Failure::broken("it is empty, and was not".to_owned()));
    }
    Ok(())
}

/// Whether this is the file that is held, whatever stands in it.
pub(super) fn is_lock(length: u64) -> bool {
    length <= WORD.len() as u64
}
