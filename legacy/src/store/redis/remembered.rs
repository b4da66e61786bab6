//! What a machine remembers of a server between its processes: the generation of the board that was heard last, and the
//! board's time then. A server that lost all while no process lived does not know the one any more, and one that lost the last
//! of it is not there yet.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};

/// What was heard longer ago is not believed: whatever counted then has ended.
const BELIEVED: i64 = 48 * 3_600_000;

/// So often it is said again that it is still so.
const AGAIN: i64 = 3_600_000;

/// What could not be written is tried again with the first renewal after so long; after each further failure twice as long.
const TRIED_AGAIN: i64 = 1_000;
const AT_MOST: u32 = 9;

/// A file of a machine's: one for each server and namespace.
#[derive(Debug)]
pub(super) struct Remembered {
    path: PathBuf,
    said: Mutex<Said>,
}

/// What was heard of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) generation: u64,
    /// None: an earlier version wrote it.
    pub(super) heard: Option<i64>,
}

#[derive(Debug, Default)]
struct Said {
    /// What this process wrote there, or is about to, and when.
    written: Option<(u64, i64)>,
    /// How often in a row that failed, and when it is tried again.
    failures: u32,
    again: i64,
}

impl Remembered {
    /// Of the server and the namespace that are called so.
    pub(super) fn new(folder: &Path, server: &str) -> Self {
        let hash = Sha256::digest(server.as_bytes());
        let name = hash.iter().take(8).fold(0_u64, |name, byte| name << 8 | u64::from(*byte));
        Self { path: folder.join(format!("redis-{name:016x}.generation")), said: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was heard last, by whichever process of this machine.
    pub(super) fn known(&self, now: i64) -> Option<Known> {
        let text = fs::read_to_string(&self.path).ok()?;
        let mut words = text.split_whitespace();
        let (generation, at): (u64, i64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let heard = words.next().and_then(|heard| heard.parse().ok());
        let believed = generation != 0 && now.abs_diff(at) < BELIEVED.unsigned_abs();
        believed.then_some(Known { generation, heard })
    }

    /// Whether it is to be written that this was heard.
    pub(super) fn is_news(&self, generation: u64, now: i64) -> bool {
        let mut said = self.said();
        let known =
            said.written.is_some_and(|(known, at)| known == generation && now.abs_diff(at) < AGAIN.unsigned_abs());
        // A clock that is set back does not keep it waiting for longer.
        let waits = said.failures > 0 && (said.again - pause(said.failures)..said.again).contains(&now);
        if generation == 0 || known || waits {
            return false;
        }
        said.written = Some((generation, now));
        true
    }

    /// Writes it, whole or not at all. Whether that it fails is news.
    pub(super) fn write(&self, known: Known, now: i64) -> Result<(), (io::Error, bool)> {
        let written = self.put(known, now);
        let mut said = self.said();
        if written.is_ok() {
            said.failures = 0;
        } else {
            said.written = None;
            said.failures = (said.failures + 1).min(AT_MOST);
            said.again = now + pause(said.failures);
        }
        written.map_err(|error| (error, said.failures == 1))
    }

    fn put(&self, Known { generation, heard }: Known, now: i64) -> io::Result<()> {
        let new = self.path.with_extension(format!("new-{}", process::id()));
        if let Some(folder) = self.path.parent() {
            make_folder(folder)?;
        }
        let mut file = create(&new)?;
        let heard = heard.map(|heard| format!(" {heard}")).unwrap_or_default();
        file.write_all(format!("{generation} {now}{heard}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Databases lie there as well: nobody but its owner may look.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn pause(failures: u32) -> i64 {
    TRIED_AGAIN << failures.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn heard(generation: u64, heard: i64) -> Known {
        Known { generation, heard: Some(heard) }
    }

    #[test]
    fn a_generation_is_remembered_for_two_days_and_said_again_each_hour() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |server| Remembered::new(&folder.path().join("made"), server);
        let (one, other) = (at("one"), at("other"));
        assert_eq!(one.known(0), None);
        assert!(one.is_news(7, 0) && !one.is_news(7, AGAIN - 1) && one.is_news(7, AGAIN) && one.is_news(8, AGAIN));
        assert!(!one.is_news(0, 0), "none was heard");
        one.write(heard(u64::MAX, 7), 1_000).expect("written");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
            assert_eq!((mode(&folder.path().join("made")), mode(one.path())), (0o700, 0o600));
        }
        assert_eq!(at("one").known(BELIEVED), Some(heard(u64::MAX, 7)));
        assert_eq!((one.known(1_000 + BELIEVED), other.known(1_000)), (None, None));
        fs::write(one.path(), "17").expect("written");
        assert_eq!(one.known(0), None, "half of it");
        fs::write(one.path(), "17 5\n").expect("written");
        assert_eq!(one.known(0), Some(Known { generation: 17, heard: None }), "by an earlier version");
        fs::write(one.path(), format!("17 {}", i64::MIN)).expect("written");
        assert_eq!(one.known(0), None, "of no time at all");
    }

    #[test]
    fn what_could_not_be_written_is_tried_again_soon_and_then_less_often() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        fs::write(&inner, "no folder").expect("written");
        let one = Remembered::new(&inner, "one");
        let (mut now, mut tried) = (5_000, Vec::new());
        while now < 3_600_000 {
            if one.is_news(7, now) {
                let (_, news): (io::Error, bool) = one.write(heard(7, 1), now).expect_err("a file is no folder");
                assert_eq!(news, tried.is_empty(), "it is said once");
                tried.push(now);
            }
            now += 500;
        }
        assert_eq!(tried[..4], [5_000, 6_000, 8_000, 12_000]);
        assert!((15..30).contains(&tried.len()), "{tried:?}");
        assert!(one.is_news(7, 0), "the clock was set back");
        fs::remove_file(&inner).expect("removed");
        one.write(heard(7, 1), 0).expect("it is a folder by now");
        assert!(!one.is_news(7, AGAIN - 1) && one.is_news(7, AGAIN), "and then each hour");
        assert_eq!(one.known(0), Some(heard(7, 1)));
    }
}
