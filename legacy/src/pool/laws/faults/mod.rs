//! Schedules of faults of every kind, for every scope: invalid and suspended keys, days and money used up, limits and
//! owners that are learned, attempts of one request that speak of each other, the guard, probes, leases that go out later,
//! and all ways of going over to a later priority.

mod ops;
mod run;
mod told;

pub(super) use self::{
    ops::{Op, ops},
    run::Run,
};
