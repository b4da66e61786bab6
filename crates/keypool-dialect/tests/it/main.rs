//! The crate through its public API.

mod cases;
mod chat;
mod support;
