//! The gateway and the binary, from outside.

mod binary;
mod callers;
mod config;
mod ending;
mod exposition;
mod guarding;
mod hostile;
mod ops;
mod reload;
mod restarting;
mod serving;
mod sharing;
mod spans;
mod status;
mod streaming;
mod support;
mod tls;
mod uploads;
