//! The gateway from outside: the real program, real sockets, the simulator or a scripted upstream behind it.

#![allow(clippy::disallowed_methods, reason = "real time, of a real program")]
#![allow(unreachable_pub, reason = "nothing of a test is public")]

mod admission;
mod live;
mod reload;
mod resources;
mod admin;
mod dashboard;
mod commands;
mod demo;
mod serving;
mod support;
mod tenants;
mod tls;
mod uploads;
