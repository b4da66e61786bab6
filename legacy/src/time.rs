//! The clock. The only file of the library that asks what time it is.
//!
//! Windows, rests and backoffs run on a monotonic [`Tick`]; days end by the wall clock. A [`Clock`] reads both at
//! once, so that one reading serves a whole request and a test can move either by hand.

mod turn;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What every clock shows when it is made: so much may have happened before, and be remembered of an earlier process.
const BEGINNING: Duration = Duration::from_secs(2 * 86_400);

/// A point on the pool's monotonic clock: nanoseconds since two days before the clock was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Default for Tick {
    /// What a clock shows when it is made.
    fn default() -> Self {
        Self::BEGINNING
    }
}

impl Tick {
    /// Earlier than whatever a clock shows.
    pub(crate) const ZERO: Self = Self(0);
    /// What a clock shows when it is made.
    const BEGINNING: Self = Self(BEGINNING.as_nanos() as u64);
    /// Later than every other tick; stands for "without end".
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) const fn nanos(self) -> u64 {
        self.0
    }

    pub(crate) const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time from `earlier` to here, zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn plus(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    pub(crate) fn minus(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

/// A reading of both clocks. The wall clock is kept as its distance from the other: it mostly stays the same, and who
/// only asks whether it did divides nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Monotonic.
    pub(crate) tick: Tick,
    /// How far the wall clock is ahead of `tick`, in milliseconds.
    pub(crate) ahead_ms: i64,
}

impl Now {
    /// Before any clock was read.
    pub(crate) const NEVER: Self = Self { tick: Tick::ZERO, ahead_ms: i64::MIN };

    /// Wall clock: milliseconds since the Unix epoch.
    #[inline]
    pub(crate) fn wall_ms(self) -> i64 {
        self.ahead_ms.saturating_add(self.tick.millis() as i64)
    }
}

/// Tells the time: the system's, or a test's.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_keypool::{Clock, ManualClock};
///
/// let time = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
/// let clock: Clock = time.clock();
/// let before = clock.tick();
/// time.advance(Duration::from_secs(61));
/// assert_eq!(clock.tick().since(before), Duration::from_secs(61));
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { origin: tokio::time::Instant, beside: Arc<Beside> },
    Tokio { origin: tokio::time::Instant, wall_ms: i64 },
    Manual(Arc<ManualState>),
}

/// What stands beside the ticks, and is asked for again after a few milliseconds: a request reads the clock some six
/// times, days do not end by the millisecond, and machines do not fall asleep that often.
#[derive(Debug, Default)]
struct Beside {
    /// How far the wall clock is ahead, in milliseconds.
    ahead_ms: AtomicI64,
    /// How long the machine slept since the clock was made, in nanoseconds: tokio's clock stands still meanwhile, and
    /// leases, windows and rests go on.
    slept: AtomicU64,
    /// How long it had slept by then.
    slept_before: u64,
    /// The nanosecond of the waking time from which on they are asked for again.
    stale: AtomicU64,
}

impl Beside {
    const FRESH: Duration = Duration::from_millis(5);

    fn begin() -> Self {
        Self { slept_before: slept(), ..Self::default() }
    }

    /// Both, when so much waking time has passed.
    #[inline]
    fn now(&self, awake: Tick) -> Now {
        // Relaxed: the worst that a torn pair gives is what was so a few milliseconds ago.
        if awake.0 >= self.stale.load(Ordering::Relaxed) {
            self.ask(awake);
        }
        let tick = Tick(awake.0.saturating_add(self.slept.load(Ordering::Relaxed)));
        Now { tick, ahead_ms: self.ahead_ms.load(Ordering::Relaxed) }
    }

    #[cold]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn ask(&self, awake: Tick) {
        // It never runs back.
        let slept = slept().saturating_sub(self.slept_before);
        let slept = self.slept.fetch_max(slept, Ordering::Relaxed).max(slept);
        let tick = Tick(awake.0.saturating_add(slept));
        self.ahead_ms.store(unix_ms(SystemTime::now()) - tick.millis() as i64, Ordering::Relaxed);
        self.stale.store(awake.plus(Self::FRESH).0, Ordering::Relaxed);
    }
}

/// How long the machine has slept since it was started, in nanoseconds; rounded down, since two clocks cannot be read at
/// once.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn slept() -> u64 {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    const WHOLE: u64 = 10_000_000;
    let nanos = |time: Timespec| (time.tv_sec as u64).saturating_mul(1_000_000_000) + time.tv_nsec as u64;
    // In this order: what passes between the two readings is no sleep.
    let with_sleep = nanos(clock_gettime(ClockId::Boottime));
    let awake = nanos(clock_gettime(ClockId::Monotonic));
    with_sleep.saturating_sub(awake) / WHOLE * WHOLE
}

/// Elsewhere it shows by the wall clock alone, which parts from the ticks.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn slept() -> u64 {
    0
}

#[derive(Debug)]
struct ManualState {
    nanos: AtomicU64,
    wall_offset_ms: AtomicI64,
}

impl Clock {
    /// The system's clocks. Monotonic time is tokio's, so that it stands still with a paused runtime; on Linux the time
    /// for which the machine slept is added.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn system() -> Self {
        Self(Source::System { origin: tokio::time::Instant::now(), beside: Arc::new(Beside::begin()) })
    }

    /// Both clocks follow tokio's, the wall beginning at `wall`: for tests under a paused runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn tokio_from(wall: SystemTime) -> Self {
        Self(Source::Tokio { origin: tokio::time::Instant::now(), wall_ms: unix_ms(wall) })
    }

    /// Runs what takes no time, as a turn of a task does that waits for nothing: in this thread the system's clock is read once
    /// within it, when it is asked for first.
    ///
    /// Limits count a request from what was read, but for one whose body says when it goes out
    /// ([`ReplayLayer::pool`](crate::ReplayLayer::pool)), and [`Granted::started`](crate::Granted::started): these read anew.
    ///
    /// ```
    /// use tower_keypool::Clock;
    ///
    /// let clock = Clock::system();
    /// let (first, last) = Clock::read_once(|| (clock.tick(), clock.tick()));
    /// assert_eq!(first, last);
    /// ```
    pub fn read_once<T>(run: impl FnOnce() -> T) -> T {
        turn::run(run)
    }

    /// The monotonic time now.
    pub fn tick(&self) -> Tick {
        self.now().tick
    }

    /// The wall clock now.
    pub fn wall(&self) -> SystemTime {
        system_time(self.now().wall_ms())
    }

    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn now(&self) -> Now {
        match &self.0 {
            Source::System { origin, beside } => beside.now(elapsed(*origin, turn::reading(tokio::time::Instant::now))),
            Source::Tokio { origin, wall_ms } => {
                let tick = elapsed(*origin, tokio::time::Instant::now());
                Now { tick, ahead_ms: wall_ms - Tick::BEGINNING.millis() as i64 }
            }
            Source::Manual(state) => {
                let nanos = state.nanos.load(Ordering::Relaxed);
                Now { tick: Tick(nanos), ahead_ms: state.wall_offset_ms.load(Ordering::Relaxed) }
            }
        }
    }

    /// The time now, whatever was read [before](Self::read_once).
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    pub(crate) fn now_anew(&self) -> Now {
        turn::again();
        self.now()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// A clock that only moves when told to. Clones move together. It wakes nobody who waits for a key, since that is the
/// runtime's timers' work: for such tests take [`Clock::tokio_from`] and a paused runtime.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<ManualState>);

impl ManualClock {
    /// Stands still with the wall clock at `wall`.
    pub fn at(wall: SystemTime) -> Self {
        let time = Self(Arc::new(ManualState { nanos: AtomicU64::new(Tick::BEGINNING.0), wall_offset_ms: 0.into() }));
        time.set_wall(wall);
        time
    }

    /// The clock to give to a pool.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.0)))
    }

    /// Moves both clocks on, up to some 584 years in all.
    pub fn advance(&self, duration: Duration) {
        let later = |nanos| Some(Tick(nanos).plus(duration).0.min(Tick::NEVER.0 - 1));
        let _ = self.0.nanos.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// Sets the wall clock alone, as an administrator or NTP would: forward or back.
    pub fn set_wall(&self, wall: SystemTime) {
        let elapsed = (self.0.nanos.load(Ordering::Relaxed) / 1_000_000) as i64;
        self.0.wall_offset_ms.store(unix_ms(wall).saturating_sub(elapsed), Ordering::Relaxed);
    }
}

fn elapsed(origin: tokio::time::Instant, now: tokio::time::Instant) -> Tick {
    Tick::BEGINNING.plus(now.saturating_duration_since(origin))
}

pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

pub(crate) fn system_time(unix_ms: i64) -> SystemTime {
    let distance = Duration::from_millis(unix_ms.unsigned_abs());
    if unix_ms >= 0 { UNIX_EPOCH + distance } else { UNIX_EPOCH - distance }
}

/// Whole seconds, rounded up, at least one: what `Retry-After` and people are told.
pub(crate) fn whole_seconds(delay: Duration) -> u64 {
    (delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_goes_on_to_its_end_and_no_further() {
        let time = ManualClock::at(UNIX_EPOCH);
        let before = time.clock().tick();
        for _ in 0..2 {
            time.advance(Duration::MAX);
            assert!(before < time.clock().tick() && time.clock().tick() < Tick::NEVER);
        }
        time.set_wall(UNIX_EPOCH - Duration::from_secs(u64::MAX >> 2));
        assert!(time.clock().wall() < UNIX_EPOCH);
    }

    #[test]
    fn a_turn_has_one_time_and_what_follows_another() {
        let wait = || std::thread::sleep(Duration::from_millis(2));
        let (clock, other) = (Clock::system(), Clock::system());
        let before = clock.tick();
        let within = Clock::read_once(|| {
            let (first, wall) = (clock.tick(), other.wall());
            wait();
            Clock::read_once(wait);
            assert_eq!((clock.tick(), other.wall()), (first, wall));
            let anew = clock.now_anew().tick;
            assert!(anew > first && clock.tick() == anew);
            anew
        });
        wait();
        assert!(before < within && within < clock.tick());
        // One that broke off is over.
        assert!(std::panic::catch_unwind(|| Clock::read_once(|| panic!("broken off"))).is_err());
        let after = clock.tick();
        wait();
        assert!(after < clock.tick());
    }

    #[test]
    fn what_the_machine_slept_counts_once_and_is_never_taken_back() {
        let beside = Beside::begin();
        let awake = |ms: u64| Tick::BEGINNING.plus(Duration::from_millis(ms));
        assert_eq!(beside.now(awake(0)).tick, awake(0), "it was awake since");
        // As if it had slept for an hour, and the system said less later.
        beside.slept.store(3_600_000_000_000, Ordering::Relaxed);
        let slept = beside.now(awake(1_000));
        assert_eq!(slept.tick, awake(3_601_000));
        // Both clocks count the sleep, so that they do not part.
        let wall = slept.wall_ms() - unix_ms(Clock::system().wall());
        assert!(wall.abs() < 1_000, "{wall}");
        assert_eq!(beside.now(awake(2_000)).tick, awake(3_602_000));
    }
}
