//! OpenAI's APIs.

pub(crate) mod audio;
pub(crate) mod chat_request;
pub(crate) mod chat_response;
pub mod embeddings;
pub mod images;
pub(crate) mod responses_request;
pub(crate) mod responses_response;
