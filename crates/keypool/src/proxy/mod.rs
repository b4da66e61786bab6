//! The path of a request to a provider. Start reading at `handler`.

pub mod address;
pub mod affinity;
pub mod body;
pub mod check_key;
pub mod handler;
pub mod headers;
pub mod model_access;
pub mod models;
pub mod names;
pub mod pools;
pub mod query;
pub mod resources;
pub mod route;
pub mod uploads;
pub mod upstream;
pub mod websocket;
