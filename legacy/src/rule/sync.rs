//! What the requests of one rule share. Under shuttle its scheduler changes hands here: `RUSTFLAGS='--cfg shuttle' cargo
//! test -p schedules`.

#[cfg(shuttle)]
pub(super) use shuttle::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};
#[cfg(not(shuttle))]
pub(super) use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};
