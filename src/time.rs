//! The clock. The only file of the library that asks what time it is.
//!
//! Windows, rests and backoffs run on a monotonic [`Tick`]; days end by the wall clock. A [`Clock`] reads both at
//! once, so that one reading serves a whole request and a test can move either by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A point on the pool's monotonic clock: nanoseconds since the clock was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The clock's beginning.
    pub(crate) const ZERO: Self = Self(0);
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
        self.ahead_ms + self.tick.millis() as i64
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
    System { origin: tokio::time::Instant, ahead: Arc<Ahead> },
    Tokio { origin: tokio::time::Instant, wall_ms: i64 },
    Manual(Arc<ManualState>),
}

/// How far the wall clock is ahead of the ticks. Asked for again after a few milliseconds: a request reads the clock some
/// six times, and days do not end by the millisecond.
#[derive(Debug, Default)]
struct Ahead {
    millis: AtomicI64,
    /// The tick, in nanoseconds, from which on it is asked for again.
    stale: AtomicU64,
}

impl Ahead {
    const FRESH: Duration = Duration::from_millis(5);

    #[inline]
    fn ms(&self, tick: Tick) -> i64 {
        // Relaxed: the worst that a torn pair gives is an offset of a few milliseconds ago.
        if tick.0 < self.stale.load(Ordering::Relaxed) {
            return self.millis.load(Ordering::Relaxed);
        }
        self.ask(tick)
    }

    #[cold]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn ask(&self, tick: Tick) -> i64 {
        let ahead_ms = unix_ms(SystemTime::now()) - tick.millis() as i64;
        self.millis.store(ahead_ms, Ordering::Relaxed);
        self.stale.store(tick.plus(Self::FRESH).0, Ordering::Relaxed);
        ahead_ms
    }
}

#[derive(Debug)]
struct ManualState {
    nanos: AtomicU64,
    wall_offset_ms: AtomicI64,
}

impl Clock {
    /// The system's clocks. Monotonic time is tokio's, so that it stands still with a paused runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn system() -> Self {
        Self(Source::System { origin: tokio::time::Instant::now(), ahead: Arc::default() })
    }

    /// Both clocks follow tokio's, the wall beginning at `wall`: for tests under a paused runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn tokio_from(wall: SystemTime) -> Self {
        Self(Source::Tokio { origin: tokio::time::Instant::now(), wall_ms: unix_ms(wall) })
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
            Source::System { origin, ahead } => {
                let tick = elapsed(*origin, tokio::time::Instant::now());
                Now { tick, ahead_ms: ahead.ms(tick) }
            }
            Source::Tokio { origin, wall_ms } => {
                let tick = elapsed(*origin, tokio::time::Instant::now());
                Now { tick, ahead_ms: *wall_ms }
            }
            Source::Manual(state) => {
                let nanos = state.nanos.load(Ordering::Relaxed);
                Now { tick: Tick(nanos), ahead_ms: state.wall_offset_ms.load(Ordering::Relaxed) }
            }
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// A clock that only moves when told to. Clones move together.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<ManualState>);

impl ManualClock {
    /// Stands still with the wall clock at `wall`.
    pub fn at(wall: SystemTime) -> Self {
        Self(Arc::new(ManualState { nanos: AtomicU64::new(0), wall_offset_ms: AtomicI64::new(unix_ms(wall)) }))
    }

    /// The clock to give to a pool.
    pub fn clock(&self) -> Clock {
        Clock(Source::Manual(Arc::clone(&self.0)))
    }

    /// Moves both clocks on.
    pub fn advance(&self, duration: Duration) {
        self.0.nanos.fetch_add(Tick::ZERO.plus(duration).nanos(), Ordering::Relaxed);
    }

    /// Sets the wall clock alone, as an administrator or NTP would: forward or back.
    pub fn set_wall(&self, wall: SystemTime) {
        let elapsed = (self.0.nanos.load(Ordering::Relaxed) / 1_000_000) as i64;
        self.0.wall_offset_ms.store(unix_ms(wall) - elapsed, Ordering::Relaxed);
    }
}

fn elapsed(origin: tokio::time::Instant, now: tokio::time::Instant) -> Tick {
    Tick(u64::try_from(now.saturating_duration_since(origin).as_nanos()).unwrap_or(u64::MAX))
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
