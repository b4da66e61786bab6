//! When a request is sent again, with which key and after which pause.
//!
//! One rule serves two drivers: [`RetryPolicy`] under tower's own `RetryLayer`, and the closure form
//! ([`KeyPool::run`](crate::KeyPool::run)). Faults of a key go to another key at once, bounded by the keys there are
//! and by the deadline, never by a count; keys that met a limit come again when their rest ends while the request may
//! still wait. Where keys of two owners say the same and name no cause, and one of another priority does too where there is
//! one, it is the request's, and the caller gets that answer. Faults of the provider are retried after a pause, bounded by a
//! count and a budget. Faults of the caller are never retried.
//!
//! A time-out goes below the policy when it is meant for one attempt, and above it when it is meant for the whole
//! request. An attempt that timed out is no fault of its key.

mod decide;
mod future;
mod policy;
mod seen;

pub(crate) use decide::{Course, Step, instead};
pub use future::RetryFuture;
pub use policy::RetryPolicy;
