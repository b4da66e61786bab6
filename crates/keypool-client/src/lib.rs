//! A typed client for the Gemini API over many keys, and a batch engine over any pool.
mod answer;
pub mod api;
pub mod batch;
mod catalogue;
mod client;
mod error;
mod generate;
pub mod json;
mod path;
mod reading;
mod stream;
mod transport;

pub use answer::Answer;
pub use client::{Client, ClientBuilder, DEFAULT_MODEL, RawAnswer};
pub use error::{Error, ErrorKind};
pub use generate::Generate;
pub use stream::AnswerStream;
