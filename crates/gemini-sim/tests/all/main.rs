//! The simulator's behaviour, over both faces.

mod access;
mod caches;
mod candidates;
mod chat;
mod client;
mod faults;
mod limits;
mod models;
mod replay;
mod samples;
mod strict;
mod uploads;
mod wire;
