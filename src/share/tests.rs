//! The protocol under virtual time, judged by what arrives at the provider.

mod figures;
mod oracle;
mod process;
mod schedules;
mod wire;
mod world;
