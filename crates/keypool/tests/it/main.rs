//! The gateway and the binary, from outside.

mod binary;
mod callers;
mod config;
mod ending;
mod guarding;
mod hostile;
mod reload;
mod serving;
mod streaming;
mod support;
mod tls;
mod uploads;
