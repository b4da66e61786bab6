//! Requests that the real thing would not have taken.

mod calls;
mod message;
mod modality;
mod objects;
mod payload;
mod prompt;
mod schema;
mod tools;

pub(crate) use calls::{check_calls, check_model, signs};
pub(crate) use message::{
    BATCH_EMBED, CACHE_UPDATE, CACHED_CONTENT, CHAT, CHAT_EMBEDDINGS, COUNT_TOKENS, EMBED, GENERATE, PREDICT, TYPES,
    UPLOAD,
};
pub(crate) use modality::{check_modality, modalities};
pub(crate) use payload::read_json;
pub(crate) use prompt::{check_embedded, check_prompt, check_uncached_prompt, empty_part, file_ids, missing};
pub(crate) use schema::Message;
pub(crate) use tools::calling_mode;
