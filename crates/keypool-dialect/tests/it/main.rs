//! The crate through its public API.

mod cases;
mod chat;
mod errors;
mod gemini;
mod properties;
mod messages;
mod openai;
mod responses;
mod shapes;
mod strict_decoders;
mod support;
