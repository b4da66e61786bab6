//! What is told of requests: a line each ([`line`]), a span where somebody wants one ([`span`]), and what became of the last
//! ones ([`trail`]). [`given_up`]: of those that have no answer of their own.

pub(in crate::gateway) mod given_up;
pub(in crate::gateway) mod line;
pub(in crate::gateway) mod span;
pub(crate) mod trail;
