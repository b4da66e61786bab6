//! Tables: a request in one dialect, and what the upstream gets; what it answers, and what the caller gets.

#![allow(clippy::needless_pass_by_value, clippy::format_collect, reason = "tables read better without the signs")]

mod answers;
mod anthropic;
mod audio;
mod citations;
mod completions;
mod images;
mod laws;
mod names;
mod older;
mod refused;
mod requests;
mod responses;
mod returned;
mod signatures;
mod support;
mod tools;
mod types;
mod untold;
