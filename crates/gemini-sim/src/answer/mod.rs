//! Answers before they are sent.

mod content;
mod example;
mod generate;

use bytes::Bytes;
use http::StatusCode;

use crate::fault::Canned;
use crate::refusal::ApiError;

pub use content::AnswerText;
pub(crate) use content::Content;
pub(crate) use generate::{Generated, native};

const JSON: &str = "application/json; charset=UTF-8";

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON document.
    Whole,
    /// Server-sent events.
    Events,
    /// One JSON list, streamed an item at a time.
    List,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) format: Format,
    /// The word for it in reports.
    pub(crate) kind: &'static str,
}

impl Reply {
    /// 200 without a body.
    pub(crate) fn empty() -> Self {
        Self {
            status: StatusCode::OK,
            content_type: None,
            headers: Vec::new(),
            chunks: Vec::new(),
            format: Format::Whole,
            kind: "ok",
        }
    }

    pub(crate) fn json(value: &impl serde::Serialize) -> Self {
        let mut text = serde_json::to_vec_pretty(value).expect("plain data");
        text.push(b'\n');
        Self { content_type: Some(JSON), chunks: vec![text.into()], ..Self::empty() }
    }

    pub(crate) fn stream(format: Format, chunks: Vec<Bytes>) -> Self {
        let content_type = if format == Format::Events { "text/event-stream" } else { JSON };
        Self { content_type: Some(content_type), chunks, format, ..Self::empty() }
    }

    pub(crate) fn error(error: &ApiError, in_list: bool) -> Self {
        Self {
            status: error.status,
            content_type: Some(error.content_type()),
            chunks: vec![error.to_body(in_list).into()],
            kind: error.kind,
            ..Self::empty()
        }
    }

    pub(crate) fn canned(canned: &Canned, key: &str) -> Self {
        Self {
            status: StatusCode::from_u16(canned.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: canned.headers.clone(),
            chunks: canned.chunks.iter().map(|chunk| fill_in_key(chunk, key)).collect(),
            format: if canned.streamed { Format::Events } else { Format::Whole },
            kind: "canned",
            ..Self::empty()
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Puts the caller's key in the place of `{key}`.
pub(crate) fn fill_in_key(text: &Bytes, key: &str) -> Bytes {
    const MARK: &[u8] = b"{key}";
    let mut filled = Vec::new();
    let mut rest: &[u8] = text;
    while let Some(at) = rest.windows(MARK.len()).position(|found| found == MARK) {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(key.as_bytes());
        rest = &rest[at + MARK.len()..];
    }
    if rest.len() == text.len() {
        return text.clone();
    }
    filled.extend_from_slice(rest);
    filled.into()
}
