//! What passes the gateway, counted.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use http::StatusCode;
use tower_keypool::{Clock, Tick};

use super::histogram::Histogram;

const MS: u64 = 1_000_000;

/// Upper bounds of times, in nanoseconds: 5 ms to 5 minutes.
const TIMES: &[u64] = &[
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
];
const NANOS_A_SECOND: f64 = 1e9;

/// Upper bounds of attempts. None: no key was free, or the request was refused for what it is.
const ATTEMPTS: &[u64] = &[0, 1, 2, 3, 5, 10, 20];

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

impl Outcome {
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::Answered, "answered"),
        (Self::Exhausted, "exhausted"),
        (Self::Failed, "failed"),
        (Self::Refused, "refused"),
        (Self::Broken, "broken"),
        (Self::Abandoned, "abandoned"),
    ];
}

/// Classes of statuses; the first: there was no answer.
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The place of a status among [`CLASSES`].
pub(crate) fn class_of(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).min(CLASSES.len() - 1)
}

/// What passed the gateway so far, and what is in it now.
#[derive(Debug)]
pub struct Traffic {
    clock: Clock,
    pub(super) in_flight: AtomicU64,
    pub(super) requests: [[AtomicU64; CLASSES.len()]; Outcome::ALL.len()],
    pub(super) request_bytes: AtomicU64,
    pub(super) response_bytes: AtomicU64,
    pub(super) duration: Histogram,
    pub(super) attempts: Histogram,
    pub(super) upstream: [AtomicU64; CLASSES.len()],
    pub(super) first_byte: Histogram,
    pub(super) upstream_duration: Histogram,
}

impl Traffic {
    /// Nothing yet; times are taken by `clock`.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            in_flight: AtomicU64::default(),
            requests: Default::default(),
            request_bytes: AtomicU64::default(),
            response_bytes: AtomicU64::default(),
            duration: Histogram::new(TIMES, NANOS_A_SECOND),
            attempts: Histogram::new(ATTEMPTS, 1.0),
            upstream: Default::default(),
            first_byte: Histogram::new(TIMES, NANOS_A_SECOND),
            upstream_duration: Histogram::new(TIMES, NANOS_A_SECOND),
        }
    }

    pub(super) fn now(&self) -> Tick {
        self.clock.tick()
    }

    /// A request has come, with a body of so many bytes, where that is known.
    pub(super) fn came(&self, bytes: Option<u64>) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        if let Some(bytes) = bytes.filter(|bytes| *bytes > 0) {
            self.request_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// It has gone; `began` is when it came.
    pub(super) fn went(&self, outcome: Outcome, class: usize, bytes: u64, began: Tick) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.requests[outcome as usize][class].fetch_add(1, Ordering::Relaxed);
        self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
        if outcome != Outcome::Refused {
            self.duration.observe(nanos(self.now().since(began)));
        }
    }

    /// A request that was let in took so many attempts.
    pub(crate) fn took(&self, attempts: usize) {
        self.attempts.observe(attempts as u64);
    }

    /// An attempt that went out at `began` was answered, or failed.
    pub(super) fn upstream_answered(&self, status: Option<StatusCode>, began: Tick) {
        self.upstream[status.map_or(0, class_of)].fetch_add(1, Ordering::Relaxed);
        if status.is_some() {
            self.first_byte.observe(nanos(self.now().since(began)));
        }
    }

    /// The answer to it is over.
    pub(super) fn upstream_ended(&self, began: Tick) {
        self.upstream_duration.observe(nanos(self.now().since(began)));
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
