//! The rule by which requests are sent again: how often, how long, how patiently. Whoever drives it takes it from here
//! ([`crate::RetryPolicy`], the closure form), and a pool keeps one for those who bring none.

mod allowance;
mod backoff;
mod retry;
mod sync;

pub use backoff::Backoff;
pub use retry::Retry;
