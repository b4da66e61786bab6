//! What the threads of one request share, and the requests of one layer. Under shuttle its scheduler changes hands here:
//! `RUSTFLAGS='--cfg shuttle' cargo test -p schedules`.

#[cfg(shuttle)]
pub(super) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering},
};
#[cfg(not(shuttle))]
pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering},
};
