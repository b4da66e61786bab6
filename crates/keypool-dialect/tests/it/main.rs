//! The crate through its public API.

mod cases;
mod chat;
mod messages;
mod responses;
mod support;
