//! The clocks of a database.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, OptionalExtension};
use tower_keypool::Clock;

use super::error::SqliteError;

/// A source of the time in milliseconds since the Unix epoch, for tests.
pub(super) type InjectedTime = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The clocks that windows, days and expiries use.
///
/// Windows use the time since boot plus an offset. Steps of the wall clock do not change the time since boot, and it is
/// the same in all processes of the machine. The offset is stored in the file, and a new one is chosen after each boot.
#[derive(Clone)]
pub(super) struct Time {
    of_windows: WindowClock,
    clock: Clock,
}

/// The clock that windows use.
#[derive(Clone)]
enum WindowClock {
    SinceBoot { offset_ms: i64 },
    Wall,
    Injected(InjectedTime),
}

impl Time {
    /// Returns the clocks of a database that is open for writing.
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
                // The time must not start before the last counted entry, which would count for longer than its window.
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

    /// Returns the time that windows use.
    pub(super) fn now_ms(&self) -> i64 {
        match &self.of_windows {
            WindowClock::SinceBoot { offset_ms } => boot_ms() + offset_ms,
            WindowClock::Wall => self.wall_ms(),
            WindowClock::Injected(time) => time(),
        }
    }

    /// Returns the time that days and expiries use.
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

/// Returns the id of the machine's current boot and the time since it, suspension included.
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
