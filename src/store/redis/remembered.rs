//! What a machine remembers of a server between its processes: the generation of the board that was heard last. A server
//! that lost all while no process lived does not know it any more.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    sync::{Mutex, PoisonError},
};

use sha2::{Digest, Sha256};

/// What was heard longer ago is not believed: whatever counted then has ended.
const BELIEVED: i64 = 48 * 3_600_000;

/// So often it is said again that it is still so.
const AGAIN: i64 = 3_600_000;

/// A file of a machine's: one for each server and namespace.
#[derive(Debug)]
pub(super) struct Remembered {
    path: PathBuf,
    /// What this process wrote there, and when.
    written: Mutex<Option<(u64, i64)>>,
}

impl Remembered {
    /// Of the server and the namespace that are called so.
    pub(super) fn new(folder: &Path, server: &str) -> Self {
        let hash = Sha256::digest(server.as_bytes());
        let name = hash.iter().take(8).fold(0_u64, |name, byte| name << 8 | u64::from(*byte));
        Self { path: folder.join(format!("redis-{name:016x}.generation")), written: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was heard last, by whichever process of this machine.
    pub(super) fn generation(&self, now: i64) -> Option<u64> {
        let text = fs::read_to_string(&self.path).ok()?;
        let (generation, at) = text.trim().split_once(' ')?;
        let (generation, at): (u64, i64) = (generation.parse().ok()?, at.parse().ok()?);
        (generation != 0 && now.abs_diff(at) < BELIEVED.unsigned_abs()).then_some(generation)
    }

    /// Whether it is to be written that this was heard.
    pub(super) fn is_news(&self, generation: u64, now: i64) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let said = written.is_some_and(|(said, at)| said == generation && now.abs_diff(at) < AGAIN.unsigned_abs());
        *written = if said { *written } else { Some((generation, now)) };
        generation != 0 && !said
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, generation: u64, now: i64) -> io::Result<()> {
        let new = self.path.with_extension(format!("new-{}", process::id()));
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::create(&new)?;
        file.write_all(format!("{generation} {now}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_is_remembered_for_two_days_and_said_again_each_hour() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |server| Remembered::new(&folder.path().join("made"), server);
        let (one, other) = (at("one"), at("other"));
        assert_eq!(one.generation(0), None);
        assert!(one.is_news(7, 0) && !one.is_news(7, AGAIN - 1) && one.is_news(7, AGAIN) && one.is_news(8, AGAIN));
        assert!(!one.is_news(0, 0), "none was heard");
        one.write(u64::MAX, 1_000).expect("written");
        assert_eq!(at("one").generation(BELIEVED), Some(u64::MAX));
        assert_eq!((one.generation(1_000 + BELIEVED), other.generation(1_000)), (None, None));
        fs::write(one.path(), "17").expect("written");
        assert_eq!(one.generation(0), None, "half of it");
        fs::write(one.path(), format!("17 {}", i64::MIN)).expect("written");
        assert_eq!(one.generation(0), None, "of no time at all");
    }
}
