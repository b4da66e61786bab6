//! The pool through its public API, by topic.
#![allow(clippy::disallowed_methods, reason = "times are measured, most of them tokio's paused one")]

mod assumed_limits;
mod breakers;
mod guard;
mod learning;
mod limits;
mod order;
mod registry;
mod scale;
mod store;
mod support;
mod views;
mod waiting;
