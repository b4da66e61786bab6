//! Pools on stores: what outlives a process, and what every store must do.

mod answered;
mod conforming;
mod convicts;
mod crashes;
#[cfg(feature = "sqlite")]
mod journal;
mod machine;
mod restarts;
#[path = "../pool/support.rs"]
#[expect(dead_code, reason = "of the pool's own tests")]
mod support;
mod writes;
