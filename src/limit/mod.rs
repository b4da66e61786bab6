//! Limits: what an owner may use of a lane, and in which windows.

mod limits;

pub use limits::{Limit, Limits, Span, Unit};
