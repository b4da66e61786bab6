//! `keypool`: many API keys for LLM providers, used as if they were one.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a program uses the real time")]
#![allow(unreachable_pub, reason = "nothing of a program is public")]

mod admin;
mod app;
mod cli;
mod config;
mod convert;
mod dialect;
mod error;
mod health;
mod key_row;
mod key_sources;
mod metrics;
mod middleware;
mod proxy;
mod reload;
mod request_result;
mod server;
mod store;
mod telemetry;
mod tenants;
mod usage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
