//! The library through its public API, one topic a file. `tests/pool` and `tests/layers` test the pool and the layers.

mod architecture;
mod config;
mod fallback;
mod metrics;
mod providers;
mod replay;
mod run;
