//! A request's walk: [`request`] takes it through the stages in their order; what belongs to one stage and needs the whole
//! gateway stands beside it.

mod accounts;
mod administration;
mod admission;
mod carried;
mod closing;
mod course;
mod destination;
pub(in crate::gateway) mod entrance;
mod neighbours;
mod own_pages;
mod request;
mod socket;
mod translated;
