//! Limits: what an owner may use of a lane, and in which windows.

mod amounts;
mod carry;
mod day;
mod limits;
mod log;
mod need;
mod plan;
mod slide;
mod starts;
mod words;
mod zone;

#[cfg(test)]
mod tests;

pub use limits::{Limit, Limits, Span, Unit};
pub(crate) use need::{At, Full, Need, Opens, Stamp};
pub(crate) use plan::{Correction, Plan};
pub(crate) use zone::{DayAt, Days, MIDNIGHT_GUARD, Zone};
