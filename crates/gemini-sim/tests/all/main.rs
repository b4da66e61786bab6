//! The simulator's behaviour, over both faces.

mod client;
mod limits;
mod samples;
