//! A caller's request: its API, its conversation, and the settings for its response.

use std::collections::HashMap;

use serde_json::Value;

use crate::{
    Conversation, Error, NativeRequest, Origin, ResponseTranslator, Tool, anthropic,
    fields::{Fields, Notes},
    openai,
    translator::Writer,
};

/// An API that is translated to Gemini's through a [`Conversation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Frontend {
    /// OpenAI's `/v1/chat/completions`.
    Chat,
    /// OpenAI's `/v1/responses`, without stored state.
    Responses,
    /// OpenAI's `/v1/audio/speech`.
    Speech,
    /// OpenAI's `/v1/audio/transcriptions`.
    Transcription,
    /// OpenAI's `/v1/audio/translations`.
    Translation,
    /// Anthropic's `/v1/messages`.
    Messages,
}

/// How a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A field that cannot be served is a 400 that names it.
    Strict,
    /// Fields that cannot be served are dropped and listed as ignored; missing parts of a conversation are filled in.
    Lax,
}

impl Frontend {
    /// Reads a request's body.
    ///
    /// # Errors
    /// 400 for a field that is invalid or cannot be served; [`Error::param`] names it.
    pub fn parse(self, body: &[u8], mode: Mode) -> Result<Request, Error> {
        let mut notes = Notes::new(mode == Mode::Strict);
        let (conversation, reply, ignored) = Default::default();
        let mut request = Request { conversation, frontend: self, reply, ignored };
        match self {
            Self::Chat => openai::chat_request::read(Fields::read(body)?, &mut request, &mut notes)?,
            Self::Responses => openai::responses_request::read(Fields::read(body)?, &mut request, &mut notes)?,
            Self::Messages => anthropic::request::read(Fields::read(body)?, &mut request.conversation, &mut notes)?,
            Self::Speech => openai::audio::read_speech(Fields::read(body)?, &mut request, &mut notes)?,
            Self::Transcription | Self::Translation => openai::audio::read_recording(body, &mut request, &mut notes)?,
        }
        let Request { conversation, reply, .. } = &mut request;
        if conversation.model.trim().is_empty() {
            return Err(Error::invalid("model", "the name of a model is required"));
        }
        if conversation.web_search && !conversation.searches() {
            notes.ignore("web_search");
        }
        reply.model.clone_from(&conversation.model);
        let origin = |tool: &Tool| Some((tool.name.clone(), tool.origin.clone()?));
        reply.origins = conversation.tools.iter().filter_map(origin).collect();
        request.ignored = notes.into_ignored();
        Ok(request)
    }

    /// Returns the prefix of call ids.
    pub(crate) fn call_prefix(self) -> &'static str {
        if self == Self::Messages { "toolu_" } else { "call_" }
    }

    pub(crate) fn writer(self, stream: bool, reply: Reply) -> Box<dyn Writer> {
        match self {
            Self::Chat => Box::new(openai::chat_response::Chat::new(reply, stream)),
            Self::Responses => Box::new(openai::responses_response::Response::new(reply, stream)),
            Self::Messages => Box::new(anthropic::response::Message::new(reply, stream)),
            Self::Speech => Box::new(openai::audio::Speech::new(&reply)),
            Self::Transcription | Self::Translation => Box::new(openai::audio::Transcript::new(&reply, stream)),
        }
    }
}

/// A parsed request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The conversation. Its model may be replaced (alias, fallback); the response names the model of the request.
    pub conversation: Conversation,
    frontend: Frontend,
    pub(crate) reply: Reply,
    ignored: Vec<String>,
}

impl Request {
    /// Returns the API of the request.
    pub fn frontend(&self) -> Frontend {
        self.frontend
    }

    /// Returns the names of fields that were accepted but have no effect, for the header `x-keypool-ignored`.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Encodes the request for Gemini.
    ///
    /// # Errors
    /// The same as those of [`NativeRequest::generate`].
    pub fn encode(&self) -> Result<NativeRequest, Error> {
        NativeRequest::generate(&self.conversation)
    }

    /// Creates the translator of the response. `unique` is a text of up to 24 letters and digits that no other response
    /// has; `created` is in seconds since 1970.
    pub fn answer(&self, unique: &str, created: i64) -> ResponseTranslator {
        let unique = unique.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
        ResponseTranslator::new(self.frontend, &self.conversation, Reply { unique, created, ..self.reply.clone() })
    }
}

/// The settings of the response that are not in the conversation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) model: String,
    pub(crate) unique: String,
    pub(crate) created: i64,
    /// Whether a stream ends with its usage.
    pub(crate) include_usage: bool,
    /// Whether the request uses OpenAI's older form of tools: one call, without an id.
    pub(crate) legacy_functions: bool,
    /// Tools that are not plain functions, by the names that the model sees.
    pub(crate) origins: HashMap<String, Origin>,
    /// The request's settings that a response of the Responses API repeats.
    pub(crate) settings: Value,
    pub(crate) form: Form,
}

impl Reply {
    /// Returns the id of the response: Gemini's own, if there is one, after the dialect's prefix.
    pub(crate) fn id(&self, prefix: &str, upstream: &str) -> String {
        format!("{prefix}{}", if upstream.is_empty() { &self.unique } else { upstream })
    }

    pub(crate) fn media_type(&self) -> &'static str {
        match self.form {
            Form::Json => "application/json",
            Form::Text => "text/plain; charset=utf-8",
            Form::Wav => "audio/wav",
            Form::Pcm => "audio/pcm",
        }
    }
}

/// The format of a whole response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Json,
    Text,
    Wav,
    Pcm,
}
