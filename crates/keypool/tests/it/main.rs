//! The gateway and the binary, from outside.

mod binary;
mod config;
mod ending;
mod guarding;
mod hostile;
mod reload;
mod serving;
mod streaming;
mod support;
mod uploads;
