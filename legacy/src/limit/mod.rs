//! Limits: what an owner may use of a lane, and in which windows.

mod amounts;
mod aside;
mod booking;
mod carry;
mod day;
mod form;
mod headroom;
mod kept;
mod limits;
mod log;
mod need;
mod plan;
mod quick;
mod quick_tokens;
mod slide;
mod starts;
mod told;
mod visits;
mod window;
mod words;
mod zone;

#[cfg(test)]
mod tests;

pub(crate) use booking::Correction;
pub(crate) use headroom::counts;
pub(crate) use kept::{Kept, add};
pub use limits::{Limit, Limits, Span, Unit};
pub(crate) use log::Dates;
pub(crate) use need::{At, Full, Need, Stamp};
pub(crate) use plan::Plan;
pub(crate) use slide::same_moment;
pub use told::Told;
pub(crate) use told::Unknown;
pub(crate) use zone::{MIDNIGHT_GUARD, Zone, date_number, date_text};
