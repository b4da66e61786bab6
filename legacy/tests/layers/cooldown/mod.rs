//! `CooldownLayer` over hand-made answers: what the caller gets, and what the pool is told.

mod endings;
mod errors;
mod gzip;
mod masking;
mod others;
mod passing;
mod retold;
mod samples;
mod streams;
mod support;
mod unsaid;
