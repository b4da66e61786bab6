//! The gateway from outside: the real program and real sockets, with the simulator or a scripted upstream.

#![allow(clippy::disallowed_methods, reason = "the tests run a real program in real time")]
#![allow(unreachable_pub, reason = "test items are not public")]

mod admin;
mod admission;
mod commands;
mod convert;
mod crash;
mod dashboard;
mod demo;
#[path = "../../../keypool-dialect/tests/it/support.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests of the dialects")]
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
