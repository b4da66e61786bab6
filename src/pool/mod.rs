//! The pool.

mod attempts;
mod request;
mod unavailable;

pub use attempts::{Attempt, Attempts};
pub use request::{Affinity, KeyRequest};
pub use unavailable::{Unavailable, UnavailableReason};
