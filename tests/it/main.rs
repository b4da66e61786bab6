//! The library through its public API, a topic a file. What needs many files of its own is in `tests/pool` and `tests/layers`.

mod architecture;
mod config;
mod errors;
mod fallback;
mod metrics;
mod providers;
mod replay;
mod run;
