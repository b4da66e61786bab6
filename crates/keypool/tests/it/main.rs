//! The gateway from outside: the real program, real sockets, the simulator or a scripted upstream behind it.

#![allow(clippy::disallowed_methods, reason = "real time, of a real program")]
#![allow(unreachable_pub, reason = "nothing of a test is public")]

mod admin;
mod admission;
mod commands;
mod convert;
mod dashboard;
mod demo;
#[path = "../../../keypool-dialect/tests/it/support.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "the requests of the dialects' own tests")]
mod dialect;
mod docs;
mod hostile;
mod live;
mod reload;
mod resources;
mod serving;
mod support;
mod tenants;
mod tls;
mod uploads;
