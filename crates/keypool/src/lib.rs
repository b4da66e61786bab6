//! The binary `keypool`, as a library for its own tests.
//!
//! [`cli`] reads the command line and starts a command; [`config`] is what it goes by, [`reload`] how that changes;
//! [`stack`] is the whole walk of a request in one function; [`gateway`] is what stands in front of it, and [`status`]
//! what it tells of itself, [`admin`] and `ui` what its administrator sees and does.

pub mod admin;
pub mod cli;
pub mod client;
pub mod config;
pub mod database;
pub mod demo;
pub mod edits;
mod entire;
pub mod examine;
pub mod fetch;
pub mod gateway;
pub mod monitor;
mod one_write;
pub mod outgoing;
pub mod probe;
pub mod reload;
pub mod stack;
pub mod standing;
pub mod status;
pub mod telemetry;
mod ui;
