//! The gateway and the binary, from outside.

mod binary;
mod callers;
mod ending;
mod guarding;
mod hostile;
mod serving;
mod streaming;
mod support;
mod tls;
mod uploads;
