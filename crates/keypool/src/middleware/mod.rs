//! What every request passes before a handler sees it.

pub mod access_log;
pub mod auth;
pub mod host_guard;
