//! A typed client for the Gemini API over many keys, and a batch engine over any pool.
//!
//! [`Client`] sits on the layers of [`tower_keypool`]: it takes a key for each request, tries another where a key is at
//! fault, and says in answer and error which one served. [`batch`] answers many tasks, each exactly once, and goes on where
//! an earlier run ended. [`json`] finds the JSON in what a model wrote.

mod answer;
pub mod api;
pub mod batch;
mod catalogue;
mod client;
mod error;
mod generate;
mod holdings;
pub mod json;
mod length;
mod listened;
pub mod names;
mod path;
mod reading;
mod redialing;
mod sought;
mod stray;
mod stream;
mod transport;

pub use answer::Answer;
pub use client::{Client, ClientBuilder, DEFAULT_MODEL, RawAnswer};
pub use error::{Error, ErrorKind};
pub use generate::Generate;
pub use listened::AnswerBody;
pub use path::check_model;
pub use redialing::{Redialing, RedialingFuture};
pub use stream::AnswerStream;

/// The README's Rust, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
