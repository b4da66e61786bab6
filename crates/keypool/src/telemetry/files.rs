//! Log files: a new one each day and when one is full; the oldest go.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use tower_keypool::{Clock, Tick};

/// So often it is looked whether the file is still there: what goes into one that was deleted nobody reads.
const LOOK: Duration = Duration::from_secs(3);

/// `keypool.2026-11-20.log`, `keypool.2026-11-20.1.log` …
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// Bytes of one; a line is never parted.
    size: u64,
    /// How many there are at most.
    keep: usize,
    clock: Clock,
    zone: TimeZone,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    date: Date,
    size: u64,
    path: PathBuf,
    /// When it was there.
    seen: Tick,
}

impl Files {
    /// In this folder, which is made where it is not there.
    ///
    /// # Errors
    /// When no file can be written there.
    pub(super) fn begin(folder: &Path, size: u64, keep: usize, clock: Clock, zone: TimeZone) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut files = Self { folder: folder.to_owned(), size, keep, clock, zone, open: None };
        let today = files.today();
        files.next(today, false)?;
        Ok(files)
    }

    /// Writes whole lines.
    pub(super) fn write(&mut self, lines: &str) -> io::Result<()> {
        let mut rest = lines.as_bytes();
        while !rest.is_empty() {
            let today = self.today();
            if self.open.as_ref().is_none_or(|open| open.date != today) || !self.is_there() {
                self.next(today, false)?;
            }
            let Some(open) = &mut self.open else { return Ok(()) };
            let room = usize::try_from(self.size.saturating_sub(open.size)).unwrap_or(usize::MAX).min(rest.len());
            let fits = match memchr::memrchr(b'\n', &rest[..room]) {
                Some(end) => end + 1,
                None if open.size > 0 => {
                    self.next(today, true)?;
                    continue;
                }
                // A line that is longer than a file may be.
                None => memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1),
            };
            if let Err(error) = open.file.write_all(&rest[..fits]) {
                self.open = None;
                return Err(error);
            }
            open.size += fits as u64;
            rest = &rest[fits..];
        }
        Ok(())
    }

    /// Whether the file that is written to has its name still, as far as that was looked at.
    fn is_there(&mut self) -> bool {
        let now = self.clock.tick();
        let Some(open) = self.open.as_mut().filter(|open| now.since(open.seen) >= LOOK) else { return true };
        open.seen = now;
        // A folder that cannot be read says nothing of it.
        open.path.try_exists().unwrap_or(true)
    }

    fn today(&self) -> Date {
        let now = Timestamp::try_from(self.clock.wall()).unwrap_or_default();
        now.to_zoned(self.zone.clone()).date()
    }

    /// Goes on with the newest file of this date, or begins the one behind it.
    fn next(&mut self, date: Date, full: bool) -> io::Result<()> {
        let mut there = self.there()?;
        let newest = there.iter().filter(|(of, _)| *of == date).map(|(_, number)| *number).max();
        let number = match (newest, full) {
            (Some(newest), true) => newest + 1,
            (newest, _) => newest.unwrap_or(0),
        };
        let path = self.path(date, number);
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        let size = file.metadata()?.len();
        self.open = Some(Open { file, date, size, path, seen: self.clock.tick() });
        if !there.contains(&(date, number)) {
            there.push((date, number));
        }
        there.sort_unstable();
        for (date, number) in there.iter().take(there.len().saturating_sub(self.keep)) {
            // Another process may have been faster.
            let _ = fs::remove_file(self.path(*date, *number));
        }
        Ok(())
    }

    fn path(&self, date: Date, number: u32) -> PathBuf {
        let number = if number == 0 { String::new() } else { format!(".{number}") };
        self.folder.join(format!("keypool.{date}{number}.log"))
    }

    /// The files that are ours.
    fn there(&self) -> io::Result<Vec<(Date, u32)>> {
        let entries = fs::read_dir(&self.folder)?;
        Ok(entries.filter_map(|entry| named(entry.ok()?.file_name().to_str()?)).collect())
    }
}

/// The date and number of a file with this name, if it is one of ours.
fn named(name: &str) -> Option<(Date, u32)> {
    let middle = name.strip_prefix("keypool.")?.strip_suffix(".log")?;
    let (date, number) = match middle.split_once('.') {
        Some((date, number)) => (date, number.parse().ok().filter(|number| *number > 0)?),
        None => (middle, 0),
    };
    Some((date.parse().ok()?, number))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tower_keypool::ManualClock;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_and_another_day_begin_a_new_one_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs");
        let time = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_170_645));
        let begin = || Files::begin(&path, 20, 4, time.clock(), TimeZone::UTC).unwrap();
        let mut files = begin();
        fs::write(path.join("keypool.notes.log"), "somebody's").unwrap();
        files.write("0123456789\n").unwrap();
        files.write("a\nb\n").unwrap();
        // Of three lines two no longer fit, and none is parted.
        files.write("c\nsecond-0\nsecond-1\n").unwrap();
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        assert_eq!(read("keypool.2026-11-20.log"), "0123456789\na\nb\nc\n");
        assert_eq!(read("keypool.2026-11-20.1.log"), "second-0\nsecond-1\n");
        // Another start goes on where the one before was.
        begin().write("z\n").unwrap();
        assert_eq!(read("keypool.2026-11-20.1.log"), "second-0\nsecond-1\nz\n");
        time.advance(DAY);
        files.write(&format!("{}\n", "long".repeat(10))).unwrap();
        files.write("x\n").unwrap();
        time.advance(DAY);
        files.write("y\n").unwrap();
        assert_eq!(
            names(&path),
            [
                "keypool.2026-11-20.1.log",
                "keypool.2026-11-21.1.log",
                "keypool.2026-11-21.log",
                "keypool.2026-11-22.log",
                "keypool.notes.log"
            ]
        );
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_again_soon() {
        let folder = tempfile::tempdir().unwrap();
        let time = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_170_645));
        let mut files = Files::begin(folder.path(), 1 << 20, 7, time.clock(), TimeZone::UTC).unwrap();
        let file = folder.path().join("keypool.2026-11-20.log");
        files.write("one\n").unwrap();
        fs::remove_file(&file).unwrap();
        files.write("lost\n").unwrap();
        time.advance(Duration::from_secs(3));
        files.write("two\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two\n");
        // Also one that was given another name.
        fs::rename(&file, folder.path().join("old.log")).unwrap();
        time.advance(Duration::from_secs(3));
        files.write("three\nfour\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "three\nfour\n");
        assert_eq!(names(folder.path()), ["keypool.2026-11-20.log", "old.log"]);
    }

    #[test]
    fn a_file_that_was_taken_away_is_made_again_when_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let time = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_170_645));
        let mut files = Files::begin(folder.path(), 4, 7, time.clock(), TimeZone::UTC).unwrap();
        fs::remove_file(folder.path().join("keypool.2026-11-20.log")).unwrap();
        files.write("one\ntwo\n").unwrap();
        assert_eq!(names(folder.path()), ["keypool.2026-11-20.log"]);
        assert_eq!(fs::read_to_string(folder.path().join("keypool.2026-11-20.log")).unwrap(), "two\n");
        assert!(
            Files::begin(&folder.path().join("keypool.2026-11-20.log"), 4, 7, time.clock(), TimeZone::UTC).is_err()
        );
    }
}
