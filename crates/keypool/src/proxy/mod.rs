//! The path of a request to a provider. `handler` reads from top to bottom.

pub mod body;
pub mod handler;
pub mod headers;
pub mod models;
pub mod names;
pub mod pools;
pub mod resources;
pub mod route;
pub mod sessions;
pub mod uploads;
pub mod upstream;
pub mod websocket;
