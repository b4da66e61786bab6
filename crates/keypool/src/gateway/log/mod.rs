//! What is told of requests: a line each ([`line`]), a span where somebody wants one ([`span`]), and what became of the last
//! ones ([`trail`]).

pub(in crate::gateway) mod line;
pub(in crate::gateway) mod span;
pub(crate) mod trail;
