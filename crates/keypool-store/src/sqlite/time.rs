//! What time it is for a database.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, OptionalExtension};
use tower_keypool::Clock;

use super::error::SqliteError;

/// Milliseconds since the Unix epoch, for tests.
pub(super) type InjectedTime = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The times by which windows, days and expiries go.
///
/// Windows go by the time since the machine started, which no step of the wall clock moves, and which is the same in all its
/// processes. What is added to it is in the file, so that it goes on after a restart of the machine.
#[derive(Clone)]
pub(super) struct Time {
    of_windows: WindowClock,
    clock: Clock,
}

/// Which clock windows go by.
#[derive(Clone)]
enum WindowClock {
    SinceBoot { offset_ms: i64 },
    Wall,
    Injected(InjectedTime),
}

impl Time {
    /// The time of a database that is open for writing.
    pub(super) fn of(connection: &Connection, injected: Option<&InjectedTime>) -> Result<Self, SqliteError> {
        let mut time = Self { of_windows: WindowClock::Wall, clock: Clock::system() };
        if let Some(injected) = injected {
            time.of_windows = WindowClock::Injected(Arc::clone(injected));
        } else if let Some((boot_id, since_boot_ms)) = boot() {
            let row = "SELECT (SELECT value FROM meta WHERE name = 'boot_offset_ms') FROM meta WHERE name = 'boot_id' AND value = ?";
            let stored = connection.query_row(row, [&boot_id], |row| row.get(0)).optional()?;
            let offset_ms = if let Some(offset_ms) = stored {
                offset_ms
            } else {
                // Not before what was counted: that would count for longer than its window.
                let last = "SELECT max(ifnull(max(at_ms), 0), (SELECT ifnull(max(last_ms), 0) FROM quotas)) FROM log";
                let last_ms: i64 = connection.query_row(last, [], |row| row.get(0))?;
                let offset_ms = time.wall_ms().max(last_ms) - since_boot_ms;
                let set = "INSERT OR REPLACE INTO meta VALUES ('boot_id', ?), ('boot_offset_ms', ?)";
                connection.execute(set, (boot_id, offset_ms))?;
                offset_ms
            };
            time.of_windows = WindowClock::SinceBoot { offset_ms };
        }
        Ok(time)
    }

    /// The time of windows.
    pub(super) fn now_ms(&self) -> i64 {
        match &self.of_windows {
            WindowClock::SinceBoot { offset_ms } => boot_ms() + offset_ms,
            WindowClock::Wall => self.wall_ms(),
            WindowClock::Injected(time) => time(),
        }
    }

    /// The time of days and expiries.
    pub(super) fn wall_ms(&self) -> i64 {
        let since = |wall: SystemTime| wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        match &self.of_windows {
            WindowClock::Injected(time) => time(),
            _ => since(self.clock.wall()),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Time").field(&self.now_ms()).finish()
    }
}

/// The id of the machine's present run, and for how long it has lasted, suspension included.
fn boot() -> Option<(String, i64)> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    cfg!(target_os = "linux").then(|| (id.trim().to_owned(), boot_ms()))
}

#[cfg(target_os = "linux")]
fn boot_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

#[cfg(not(target_os = "linux"))]
fn boot_ms() -> i64 {
    0
}
