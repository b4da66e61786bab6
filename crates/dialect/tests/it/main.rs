//! Tables: a request in one dialect, and what the upstream gets; what it answers, and what the caller gets.

mod answers;
mod anthropic;
mod laws;
mod requests;
mod signatures;
mod support;
