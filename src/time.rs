//! Clocks. No other file of the library reads the time.
//!
//! Windows and cooldowns use a monotonic [`Tick`]; days end by the wall clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// First reading of every new clock, in milliseconds: two days, so that events before a restart have a tick.
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

    /// Returns the time from `earlier` to this tick, or zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Adds a duration, rounded up to a millisecond.
    pub(crate) fn plus(self, duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)))
    }

    /// Subtracts a duration, rounded up to a millisecond.
    pub(crate) fn minus(self, duration: Duration) -> Self {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_sub(u64::try_from(millis).unwrap_or(u64::MAX)))
    }
}

/// A source of monotonic and wall-clock time: the system clock, or a manual clock for tests.
///
/// The system clock follows tokio's: under a paused runtime, windows, cooldowns and midnights pass at once. Stores
/// that work on a thread or a connection use the real time, so do not pause it with them.
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

/// Rounds up to whole seconds, at least 1, so that a retry is not too early.
pub fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

impl Clock {
    /// Returns the system clock. On Linux and Android it includes the time for which the machine was suspended.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn system() -> Self {
        let awake = std::time::Instant::now();
        Self(Source::System { origin: tokio::time::Instant::now(), awake, slept: suspended() })
    }

    /// Returns a clock that follows tokio's and shows the wall-clock time `wall` now, to test midnights in a paused
    /// runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn starting_at(wall: SystemTime) -> Self {
        Self(Source::Tokio { origin: tokio::time::Instant::now(), wall })
    }

    /// Returns the monotonic time.
    pub fn now(&self) -> Tick {
        let elapsed = match &self.0 {
            Source::System { origin, slept, .. } => origin.elapsed() + suspended().saturating_sub(*slept),
            Source::Tokio { origin, .. } => origin.elapsed(),
            Source::Manual(manual) => return Tick(manual.tick.load(Ordering::Acquire)),
        };
        Tick(ORIGIN_MS + elapsed.as_millis() as u64)
    }

    /// Returns the wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            // Under a paused runtime tokio's clock differs from the real one: the wall clock follows tokio's.
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

    /// Returns the wall-clock time in milliseconds since the Unix epoch.
    pub(crate) fn wall_ms(&self) -> i64 {
        self.wall().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }

    /// Returns a timer of the runtime that fires at the tick.
    pub(crate) fn sleep_until(&self, until: Tick) -> tokio::time::Sleep {
        tokio::time::sleep(until.since(self.now()))
    }
}

/// A cache of the wall clock, which is read at most once a second. In between it advances with the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct WallReading {
    /// The tick of the last reading, in milliseconds.
    read: AtomicU64,
    /// The wall-clock time at that tick minus the tick, in milliseconds.
    offset_ms: AtomicI64,
}

impl WallReading {
    /// Returns the wall-clock time at the current tick, in milliseconds since the Unix epoch.
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

/// Returns how long the machine has been suspended since boot; tokio's clock stops during that time.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn suspended() -> Duration {
    use rustix::time::{ClockId, Timespec, clock_gettime};
    let duration = |time: Timespec| Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
    let boot = duration(clock_gettime(ClockId::Boottime));
    let awake = duration(clock_gettime(ClockId::Monotonic));
    // The two clocks are not read at the same moment: a difference of less than a second is not a suspension.
    Duration::from_secs(boot.saturating_sub(awake).as_secs())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn suspended() -> Duration {
    Duration::ZERO
}

/// A clock that a test advances by hand, as in the example of [`Clock`]. It does not advance the runtime's timers. A
/// waiting request ends only after [`advance`](Self::advance) and its timer; in a paused runtime use
/// [`Clock::starting_at`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Manual>);

impl ManualClock {
    /// Returns a clock whose wall clock shows `wall`.
    pub fn new(wall: SystemTime) -> Self {
        let wall_ms = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        Self(Arc::new(Manual { tick: AtomicU64::new(ORIGIN_MS), wall_ms: AtomicI64::new(wall_ms) }))
    }

    /// Returns the [`Clock`] to pass to a pool.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.0)))
    }

    /// Advances the monotonic and the wall clock by a duration, rounded down to a millisecond. A request that waits for a
    /// key also sleeps on tokio's timer, which this method does not move.
    pub fn advance(&self, duration: Duration) {
        let millis = duration.as_millis() as u64;
        self.0.tick.fetch_add(millis, Ordering::AcqRel);
        self.0.wall_ms.fetch_add(millis as i64, Ordering::AcqRel);
    }
}
