//! The steps that every request passes before its handler.

pub mod access_log;
pub mod auth;
pub mod host_guard;
