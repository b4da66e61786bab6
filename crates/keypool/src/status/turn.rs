//! One reading of the clock for each turn of a connection's task: what happens in it takes microseconds, and what is
//! measured takes milliseconds, while a reading costs as much as all else that is counted.

use std::cell::Cell;

use tower_keypool::Tick;

thread_local!(static TURN: Cell<Turn> = const { Cell::new(Turn::None) });

#[derive(Clone, Copy)]
enum Turn {
    /// No turn is under way here: every reading is a fresh one.
    None,
    Unread,
    /// What was read, by whose clock.
    Read(usize, Tick),
}

/// Ends the turn, however it ends.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        TURN.set(Turn::None);
    }
}

/// Runs one turn, which does not wait.
pub(crate) fn turn<T>(run: impl FnOnce() -> T) -> T {
    TURN.set(Turn::Unread);
    let _ending = Ending;
    run()
}

/// What `read` says, read once in a turn for each `clock`.
pub(super) fn tick(clock: usize, read: impl FnOnce() -> Tick) -> Tick {
    match TURN.get() {
        Turn::Read(of, tick) if of == clock => tick,
        Turn::None => read(),
        Turn::Unread | Turn::Read(..) => {
            let tick = read();
            TURN.set(Turn::Read(clock, tick));
            tick
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tower_keypool::ManualClock;

    use super::*;

    #[test]
    fn a_turn_has_one_time_and_what_follows_another() {
        const SECOND: Duration = Duration::from_secs(1);
        let (ours, theirs) = (ManualClock::at(SystemTime::UNIX_EPOCH), ManualClock::at(SystemTime::UNIX_EPOCH));
        theirs.advance(60 * SECOND);
        let read = |clock: &ManualClock| tick(std::ptr::from_ref(clock).addr(), || clock.clock().tick());
        let before = read(&ours);
        ours.advance(SECOND);
        let within = turn(|| {
            let first = read(&ours);
            ours.advance(SECOND);
            assert_eq!(read(&ours), first);
            assert_eq!(read(&theirs).since(before), 60 * SECOND);
            first
        });
        assert_eq!((within.since(before), read(&ours).since(before)), (SECOND, 2 * SECOND));
    }
}
