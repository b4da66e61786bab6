//! Limits and how much of them is used.
//!
//! [`Limits`] lists the maximum amounts per span. The pool counts each for every project and model.

mod daily;
mod limits;
mod quota;
mod sliding;

pub use daily::{Day, MIDNIGHT_GUARD};
pub(crate) use daily::{Today, Zone};
pub(crate) use limits::Cost;
pub use limits::{Amounts, Limit, Limits, Span, Unit};
pub(crate) use quota::{FullReason, Meters, Quota, Reservation, Room};
pub use quota::{LimitSource, LimitView};

#[cfg(test)]
mod tests;
