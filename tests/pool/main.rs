//! The pool through its public API, by topic.

mod assumed;
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
