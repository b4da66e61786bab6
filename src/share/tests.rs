//! The protocol under virtual time, judged by what arrives at the provider.

mod facts;
mod figures;
pub(super) mod oracle;
pub(super) mod process;
mod schedules;
mod wire;
mod world;
