//! One reading of the system's clock for what takes no time: a turn of a task takes microseconds, and a reading costs as much
//! as a hundred instructions.

use std::cell::Cell;

use tokio::time::Instant;

thread_local!(static TURN: Cell<Turn> = const { Cell::new(Turn::None) });

#[derive(Clone, Copy)]
enum Turn {
    /// None is under way in this thread: every reading is a fresh one.
    None,
    Unread,
    Read(Instant),
}

/// Ends a turn, however it ends: the one around it goes on.
struct Ending(Turn);

impl Drop for Ending {
    fn drop(&mut self) {
        TURN.set(self.0);
    }
}

pub(super) fn run<T>(run: impl FnOnce() -> T) -> T {
    let _ending = Ending(TURN.replace(Turn::Unread));
    run()
}

/// What was read in this turn, or is `read` now.
#[inline]
pub(super) fn reading(read: impl FnOnce() -> Instant) -> Instant {
    match TURN.get() {
        Turn::None => read(),
        Turn::Read(instant) => instant,
        Turn::Unread => {
            let instant = read();
            TURN.set(Turn::Read(instant));
            instant
        }
    }
}

/// The next reading is a fresh one.
#[inline]
pub(super) fn again() {
    if matches!(TURN.get(), Turn::Read(_)) {
        TURN.set(Turn::Unread);
    }
}
