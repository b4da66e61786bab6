//! The pool: decides which key serves which request, and when a key is not used.
//!
//! A [`KeyPool`] is a handle to one state behind one mutex, which is held for microseconds and never during I/O, an
//! await, logging or user code. The state consists of structs that share only index types.

mod acquire;
mod attempts;
mod breaker;
mod builder;
mod events;
mod failure_guard;
mod handle;
mod learning;
mod lease;
mod model;
mod outcome;
mod persist;
mod queue;
mod quotas;
mod registry;
mod request;
mod reserve;
mod scheduler;
mod select;
mod snapshot;
mod state;
mod strategy;
mod unavailable;
mod update;

pub use acquire::Acquire;
pub use attempts::{Attempt, Attempts};
pub use breaker::BreakerState;
pub use builder::KeyPoolBuilder;
pub use events::{Event, Events};
pub use handle::KeyPool;
pub use lease::Lease;
pub use request::{Affinity, KeyRequest};
pub use snapshot::{BreakerCount, BreakerView, KeyView, ModelView, ProjectView, Snapshot, Stats};
pub use strategy::Strategy;
pub use unavailable::{Unavailable, UnavailableReason};

pub use crate::time::Tick;

#[cfg(test)]
mod tests;
