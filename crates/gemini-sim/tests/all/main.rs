//! The simulator's behaviour, in process and over HTTP.

mod access;
mod caches;
mod chat;
mod client;
mod faults;
mod limits;
mod live;
mod models;
mod replay;
mod samples;
mod strict;
mod uploads;
mod wire;
