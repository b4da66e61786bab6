//! What passes the gateway, counted.
//!
//! Each thread counts in a shard of its own: two that add to one number take turns at its cache line, which costs more
//! than all else that is done here. Threads that are too many for that share one.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use http::StatusCode;
use tower_keypool::{Clock, Tick};

use super::{
    histogram::{Histogram, Reading, Scale, Writer},
    strangers::Strangers,
};

const MS: u64 = 1_000_000;

/// 5 ms to 5 minutes, in nanoseconds.
const TIMES: Scale = Scale {
    bounds: &[
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        1_000 * MS,
        2_500 * MS,
        5_000 * MS,
        10_000 * MS,
        30_000 * MS,
        60_000 * MS,
        120_000 * MS,
        300_000 * MS,
    ],
    one: 1e9,
};
type Times = Histogram<16>;

/// No attempt at all: no key was free, or the request could not be sent.
const ATTEMPTS: Scale = Scale { bounds: &[0, 1, 2, 3, 5, 10, 20], one: 1.0 };
type Attempts = Histogram<8>;

/// The first shard is shared by all threads that have none of their own.
const SHARDS: usize = 64;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The provider's answer went out whole, whatever its status.
    Answered,
    /// No key could serve it.
    Exhausted,
    /// The provider could not be reached, or something failed here.
    Failed,
    /// It never left: no token, another host, a bad path.
    Refused,
    /// The provider's answer broke off.
    Broken,
    /// The client left before the end.
    Abandoned,
}

/// Each outcome, in the order of the enum.
pub(super) const OUTCOMES: [&str; 6] = ["answered", "exhausted", "failed", "refused", "broken", "abandoned"];

impl Outcome {
    pub(super) fn word(self) -> &'static str {
        OUTCOMES[self as usize]
    }
}

/// Classes of statuses; the first: there was no answer.
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The place of a status among the classes.
pub(crate) fn class_of(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).min(CLASSES.len() - 1)
}

/// What passed the gateway so far, and what is in it now.
#[derive(Debug)]
pub struct Traffic {
    clock: Clock,
    shards: Box<[Shard]>,
    /// What has not ended by now ends without having been whole.
    cut: AtomicBool,
    strangers: Strangers,
}

/// What some threads counted.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// A request may end on another thread than it came on: only the sum of all shards means something.
    in_flight: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    requests: [[AtomicU64; CLASSES.len()]; OUTCOMES.len()],
    upstream: [AtomicU64; CLASSES.len()],
    duration: Times,
    attempts: Attempts,
    first_byte: Times,
    upstream_duration: Times,
}

/// What was counted, all shards together.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) in_flight: u64,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) requests: [[u64; CLASSES.len()]; OUTCOMES.len()],
    pub(super) upstream: [u64; CLASSES.len()],
    pub(super) duration: Reading,
    pub(super) attempts: Reading,
    pub(super) first_byte: Reading,
    pub(super) upstream_duration: Reading,
}

impl Traffic {
    /// Nothing yet; times are taken by `clock`.
    pub fn new(clock: Clock) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self { clock, shards, cut: AtomicBool::new(false), strangers: Strangers::default() }
    }

    /// Who was not let in.
    pub(crate) fn strangers(&self) -> &Strangers {
        &self.strangers
    }

    /// The gateway goes, and waits for no answer any more.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// Whether it does.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// The shard that this thread counts in, and who else does.
    #[inline]
    fn here(&self) -> (&Shard, Writer) {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        thread_local!(static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed));
        // A thread that is ending has no place any more.
        match PLACE.try_with(|place| *place) {
            Ok(place @ 1..SHARDS) => (&self.shards[place], Writer::Alone),
            _ => (&self.shards[0], Writer::Any),
        }
    }

    /// The time now, or of the turn that is under way ([`Clock::read_once`]).
    pub(crate) fn now(&self) -> Tick {
        self.clock.tick()
    }

    /// A request has come, with a body of so many bytes, where that is known.
    pub(super) fn came(&self, bytes: Option<u64>) {
        let (here, writer) = self.here();
        writer.add(&here.in_flight, 1);
        if let Some(bytes) = bytes.filter(|bytes| *bytes > 0) {
            writer.add(&here.request_bytes, bytes);
        }
    }

    /// It has gone; `began` is when it came.
    pub(super) fn went(&self, outcome: Outcome, class: usize, bytes: u64, began: Tick) {
        let (here, writer) = self.here();
        writer.add(&here.in_flight, 1u64.wrapping_neg());
        writer.add(&here.requests[outcome as usize][class], 1);
        writer.add(&here.response_bytes, bytes);
        if outcome != Outcome::Refused {
            here.duration.observe(nanos(self.now().since(began)), TIMES, writer);
        }
    }

    /// A request that was let in took so many attempts.
    pub(crate) fn took(&self, attempts: usize) {
        let (here, writer) = self.here();
        here.attempts.observe(attempts as u64, ATTEMPTS, writer);
    }

    /// An attempt that went out at `began` was answered, or failed.
    pub(super) fn upstream_answered(&self, status: Option<StatusCode>, began: Tick) {
        let (here, writer) = self.here();
        writer.add(&here.upstream[status.map_or(0, class_of)], 1);
        if status.is_some() {
            here.first_byte.observe(nanos(self.now().since(began)), TIMES, writer);
        }
    }

    /// The answer to it is over.
    pub(super) fn upstream_ended(&self, began: Tick) {
        let (here, writer) = self.here();
        here.upstream_duration.observe(nanos(self.now().since(began)), TIMES, writer);
    }

    /// What was counted so far.
    pub(super) fn counts(&self) -> Counts {
        let sum = |of: &dyn Fn(&Shard) -> &AtomicU64| {
            self.shards.iter().fold(0u64, |sum, shard| sum.wrapping_add(of(shard).load(Ordering::Relaxed)))
        };
        // Read while others count, it may lack a beginning whose end it has.
        let in_flight = sum(&|shard| &shard.in_flight).cast_signed().max(0).cast_unsigned();
        Counts {
            in_flight,
            request_bytes: sum(&|shard| &shard.request_bytes),
            response_bytes: sum(&|shard| &shard.response_bytes),
            requests: std::array::from_fn(|outcome| {
                std::array::from_fn(|class| sum(&|shard| &shard.requests[outcome][class]))
            }),
            upstream: std::array::from_fn(|class| sum(&|shard| &shard.upstream[class])),
            duration: TIMES.read(self.shards.iter().map(|shard| &shard.duration)),
            attempts: ATTEMPTS.read(self.shards.iter().map(|shard| &shard.attempts)),
            first_byte: TIMES.read(self.shards.iter().map(|shard| &shard.first_byte)),
            upstream_duration: TIMES.read(self.shards.iter().map(|shard| &shard.upstream_duration)),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_a_bucket_for_everything() {
        assert_eq!(TIMES.bounds.len() + 1, Times::default().buckets());
        assert_eq!(ATTEMPTS.bounds.len() + 1, Attempts::default().buckets());
    }

    #[test]
    fn threads_count_together() {
        let traffic = Traffic::new(Clock::system());
        std::thread::scope(|scope| {
            // More than there are shards.
            for _ in 0..100 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        traffic.came(Some(2));
                        traffic.took(1);
                    }
                });
            }
        });
        for _ in 0..1_999 {
            traffic.went(Outcome::Answered, class_of(StatusCode::OK), 3, traffic.now());
        }
        let counts = traffic.counts();
        assert_eq!((counts.in_flight, counts.request_bytes, counts.response_bytes), (8_001, 20_000, 5_997));
        assert_eq!((counts.requests[0][2], counts.attempts.count, counts.duration.count), (1_999, 10_000, 1_999));
    }
}
