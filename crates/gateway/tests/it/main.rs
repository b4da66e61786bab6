//! The gateway from outside: the real program, real sockets, the simulator or a scripted upstream behind it.

#![allow(clippy::disallowed_methods, reason = "real time, of a real program")]
#![allow(unreachable_pub, reason = "nothing of a test is public")]

mod admin;
mod admission;
mod commands;
mod dashboard;
mod demo;
mod live;
mod reload;
mod resources;
mod serving;
mod support;
mod tenants;
mod tls;
mod uploads;
