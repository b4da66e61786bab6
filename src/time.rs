//! The only file of the library that asks the time.
//!
//! Windows and cooldowns run on a monotonic [`Tick`]; days end by the wall clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What every clock shows when it is made, in milliseconds: two days, so that what happened before a restart has a tick.
const ORIGIN_MS: u64 = 2 * 86_400_000;

/// A point on the monotonic clock of a pool, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// Earlier than every reading of a clock.
    pub(crate) const ZERO: Self = Self(0);
    /// Later than every reading of a clock: "no end".
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub(crate) const fn millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this tick; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This tick and a duration, rounded up to a millisecond.
    pub(crate) fn plus(self, duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)))
    }

    /// This tick less a duration, rounded up to a millisecond.
    pub(crate) fn minus(self, duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_sub(u64::try_from(millis).unwrap_or(u64::MAX)))
    }
}

/// Tells the time: the system's, or a test's.
///
/// The system's clock follows tokio's: under a paused runtime windows, cooldowns and midnights pass at once.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_keypool::ManualClock;
///
/// let time = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
/// let clock = time.clock();
/// let before = clock.now();
/// time.advance(Duration::from_secs(61));
/// assert_eq!(clock.now().since(before), Duration::from_secs(61));
/// ```
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { origin: tokio::time::Instant, awake: std::time::Instant, slept: Duration },
    Tokio { origin: tokio::time::Instant, wall: SystemTime },
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    tick: AtomicU64,
    wall_ms: AtomicI64,
}

impl Clock {
    /// The system's clocks. On Linux the time for which the machine was suspended counts.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn system() -> Self {
        let awake = std::time::Instant::now();
        Self(Source::System { origin: tokio::time::Instant::now(), awake, slept: suspended() })
    }

    /// A clock that follows tokio's, with a wall clock that shows `wall` now: for tests of midnights under a paused runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn starting_at(wall: SystemTime) -> Self {
        Self(Source::Tokio { origin: tokio::time::Instant::now(), wall })
    }

    /// Monotonic time.
    pub fn now(&self) -> Tick {
        let elapsed = match &self.0 {
            Source::System { origin, slept, .. } => origin.elapsed() + suspended().saturating_sub(*slept),
            Source::Tokio { origin, .. } => origin.elapsed(),
            Source::Manual(manual) => return Tick(manual.tick.load(Ordering::Acquire)),
        };
        Tick(ORIGIN_MS + elapsed.as_millis() as u64)
    }

    /// Wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            // Under a paused runtime tokio's clock parts from the real one: the wall clock follows it.
            Source::System { origin, awake, .. } => {
                let (tokio, real) = (origin.elapsed(), awake.elapsed());
                SystemTime::now() + tokio.saturating_sub(real) - real.saturating_sub(tokio)
            }
            Source::Tokio { origin, wall } => *wall + origin.elapsed(),
            Source::Manual(manual) => {
                UNIX_EPOCH + Duration::from_millis(manual.wall_ms.load(Ordering::Acquire).max(0) as u64)
            }
        }
    }

    /// Wall-clock time in milliseconds since the Unix epoch.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }

    /// Sleeps until the tick by the runtime's timer.
    pub(crate) fn sleep_until(&self, until: Tick) -> tokio::time::Sleep {
        tokio::time::sleep(until.since(self.now()))
    }
}

/// The wall clock, read once a second at most; between, it goes on with the monotonic one.
#[derive(Debug, Default)]
pub(crate) struct WallReading {
    /// The tick of the last reading, and how far the wall clock was from it, in milliseconds.
    read: AtomicU64,
    offset_ms: AtomicI64,
}

impl WallReading {
    /// Wall-clock time at a tick that is now, in milliseconds since the Unix epoch.
    pub(crate) fn at(&self, now: Tick, clock: &Clock) -> i64 {
        let now = now.0;
        if now.saturating_sub(self.read.load(Ordering::Acquire)) >= 1_000 {
            self.offset_ms.store(clock.wall_ms() - now as i64, Ordering::Relaxed);
            self.read.store(now, Ordering::Release);
        }
        now as i64 + self.offset_ms.load(Ordering::Relaxed)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// For how long the machine was suspended since it was started; tokio's clock stands still meanwhile.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn suspended() -> Duration {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    let duration = |time: Timespec| Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
    let boot = duration(clock_gettime(ClockId::Boottime));
    let awake = duration(clock_gettime(ClockId::Monotonic));
    // Two clocks are not read at the same moment: less than a second is no suspension.
    Duration::from_secs(boot.saturating_sub(awake).as_secs())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn suspended() -> Duration {
    Duration::ZERO
}

/// A clock that a test moves by hand, as in the example of [`Clock`]. It moves no timer: what waits sleeps by the runtime.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Manual>);

impl ManualClock {
    /// A clock whose wall clock shows `wall`.
    pub fn new(wall: SystemTime) -> Self {
        let wall_ms = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        Self(Arc::new(Manual { tick: AtomicU64::new(ORIGIN_MS), wall_ms: AtomicI64::new(wall_ms) }))
    }

    /// The clock to give to a pool.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.0)))
    }

    /// Moves both clocks forward, rounded down to a millisecond.
    pub fn advance(&self, duration: Duration) {
        let millis = duration.as_millis() as u64;
        self.0.tick.fetch_add(millis, Ordering::AcqRel);
        self.0.wall_ms.fetch_add(millis as i64, Ordering::AcqRel);
    }
}
