//! The one lock of a pool, and what shuttle's scheduler takes its place by.
//!
//! Waiting is made by hand (`wait`), on nothing but this mutex: `RUSTFLAGS='--cfg shuttle' cargo test --test shuttle`
//! runs it under schedules that change hands at every taking of the lock.

#[cfg(shuttle)]
pub(super) use shuttle::sync::{Mutex, MutexGuard, atomic::AtomicBool};
#[cfg(not(shuttle))]
pub(super) use std::sync::{Mutex, MutexGuard, atomic::AtomicBool};
