//! What a translated request is for.

use http::Method;
use keypool_dialect::{
    Caller,
    openai::{Audio, Completions},
    responses::Responses,
};

use crate::gateway::dialect::Dialect;

/// What a translated request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Task {
    Chat,
    /// A text to go on from.
    Complete,
    /// A chat in `OpenAI`'s newer dialect.
    Respond,
    Count,
    /// What a response would be asked, counted.
    CountResponse,
    Embeddings,
    Draw,
    /// The same from other images.
    Redraw,
    /// Words spoken, or spoken words written down.
    Sound(Audio),
    Models,
    Model(String),
    /// Something else that a model is asked for and that leaves nothing behind; its path. It is not translated.
    Other(&'static str),
}

/// Their paths.
const OTHERS: [&str; 3] = ["/v1/moderations", "/v1/images/variations", COMPACT];
/// What makes a conversation short.
pub(in crate::gateway) const COMPACT: &str = "/v1/responses/compact";

impl Task {
    /// Who speaks for it where its dialect has several.
    pub(in crate::gateway) fn caller(&self) -> Option<&'static dyn Caller> {
        match self {
            Self::Respond | Self::CountResponse => Some(&Responses),
            Self::Complete => Some(&Completions),
            Self::Sound(Audio::Speech) => Some(&Audio::Speech),
            Self::Sound(Audio::Transcription) => Some(&Audio::Transcription),
            Self::Sound(Audio::Translation) => Some(&Audio::Translation),
            _ => None,
        }
    }

    /// Its path in its own dialect.
    pub(in crate::gateway) fn path(&self, dialect: Dialect) -> &'static str {
        match self {
            Self::Chat if dialect == Dialect::Anthropic => "/v1/messages",
            Self::Chat => "/v1/chat/completions",
            Self::Complete => "/v1/completions",
            Self::Respond => "/v1/responses",
            Self::Count => "/v1/messages/count_tokens",
            Self::CountResponse => "/v1/responses/input_tokens",
            Self::Embeddings => "/v1/embeddings",
            Self::Draw => "/v1/images/generations",
            Self::Redraw => "/v1/images/edits",
            Self::Sound(Audio::Speech) => "/v1/audio/speech",
            Self::Sound(Audio::Transcription) => "/v1/audio/transcriptions",
            Self::Sound(Audio::Translation) => "/v1/audio/translations",
            Self::Models | Self::Model(_) => "/v1/models",
            Self::Other(path) => path,
        }
    }

    /// The one method that it has.
    pub(in crate::gateway) fn method(&self) -> Method {
        match self {
            Self::Models | Self::Model(_) => Method::GET,
            _ => Method::POST,
        }
    }
}

/// What a path behind the version is for, where it can be translated.
pub(in crate::gateway) fn task(dialect: Dialect, rest: &str) -> Option<Task> {
    Some(match (dialect, rest.trim_end_matches('/')) {
        (Dialect::OpenAi, "/chat/completions") | (Dialect::Anthropic, "/messages") => Task::Chat,
        (Dialect::OpenAi, "/completions") => Task::Complete,
        (Dialect::OpenAi, "/responses") => Task::Respond,
        (Dialect::OpenAi, "/responses/input_tokens") => Task::CountResponse,
        (Dialect::OpenAi, "/embeddings") => Task::Embeddings,
        (Dialect::OpenAi, "/images/generations") => Task::Draw,
        (Dialect::OpenAi, "/images/edits") => Task::Redraw,
        (Dialect::OpenAi, "/audio/speech") => Task::Sound(Audio::Speech),
        (Dialect::OpenAi, "/audio/transcriptions") => Task::Sound(Audio::Transcription),
        (Dialect::OpenAi, "/audio/translations") => Task::Sound(Audio::Translation),
        (Dialect::Anthropic, "/messages/count_tokens") => Task::Count,
        (_, "/models") => Task::Models,
        (_, rest) => {
            let name = rest.strip_prefix("/models/").filter(|name| !name.is_empty())?;
            Task::Model(percent_encoding::percent_decode_str(name).decode_utf8().ok()?.into_owned())
        }
    })
}

/// The same of what no other dialect has.
pub(super) fn other_task(dialect: Dialect, rest: &str) -> Option<Task> {
    let is_it = |path: &&str| path.strip_prefix("/v1") == Some(rest.trim_end_matches('/'));
    OTHERS.iter().find(|path| dialect == Dialect::OpenAi && is_it(path)).map(|path| Task::Other(path))
}
