//! The crate through its public API.

mod between_providers;
mod cases;
mod chat;
mod errors;
mod gemini;
mod messages;
mod openai;
mod properties;
mod responses;
mod shapes;
mod strict_decoders;
mod support;
