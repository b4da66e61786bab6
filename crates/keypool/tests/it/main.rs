//! The gateway and the binary, from outside.

mod binary;
mod callers;
mod config;
mod dialects;
mod ending;
mod exposition;
mod guarding;
mod hostile;
mod ops;
mod reload;
mod restarting;
mod serving;
mod spans;
mod status;
mod streaming;
mod support;
mod tls;
mod uploads;
