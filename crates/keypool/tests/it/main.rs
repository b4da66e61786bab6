//! The gateway and the binary, from outside.

mod binary;
mod callers;
mod config;
mod dialects;
mod ending;
mod exposition;
mod following;
mod guarding;
mod home;
mod hostile;
mod keys;
mod mending;
mod ops;
mod ranges;
mod redis;
mod reload;
mod restarting;
mod serving;
mod sharing;
mod sources;
mod spans;
mod status;
mod streaming;
mod support;
mod tls;
mod uploads;
