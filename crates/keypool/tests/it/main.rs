//! The gateway and the binary, from outside.

mod binary;
mod callers;
mod ending;
mod guarding;
mod hostile;
mod restarting;
mod serving;
mod streaming;
mod support;
mod tls;
mod uploads;
