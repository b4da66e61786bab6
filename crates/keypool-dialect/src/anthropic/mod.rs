//! Anthropic's API.

pub mod count_tokens;
pub(crate) mod request;
pub(crate) mod response;
