//! The protocol under virtual time, judged by what arrives at the provider.

mod copies;
mod days;
mod deaths;
mod facts;
mod figures;
mod flushes;
mod kept;
pub(super) mod oracle;
pub(super) mod process;
mod schedules;
pub(crate) mod wire;
mod world;
