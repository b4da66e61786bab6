//! What the simulator says when nothing is wrong.

mod caches;
mod chat;
mod content;
mod embed;
mod example;
mod files;
mod generate;
mod models;
mod predict;
mod speak;
mod things;

use bytes::Bytes;
use http::StatusCode;

use crate::refusal::{ApiError, Wrapping};
use crate::route::Form;

pub(crate) use chat::native_prompt;
pub use content::AnswerText;
pub(crate) use content::{Call, Content, signature};
pub(crate) use embed::dimensions;
pub(crate) use generate::{Generated, generate, template};
pub(crate) use predict::pictures;

/// A PNG of one pixel.
pub(crate) const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const JSON: &str = "application/json; charset=UTF-8";

/// An answer before it is shaped and sent.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) form: Form,
    /// The word for it in reports.
    pub(crate) kind: &'static str,
}

impl Reply {
    pub(crate) fn json(value: &impl serde::Serialize) -> Self {
        let mut text = serde_json::to_vec_pretty(value).expect("plain data");
        text.push(b'\n');
        Self::whole(JSON, text)
    }

    pub(crate) fn whole(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some(content_type),
            headers: Vec::new(),
            chunks: vec![body.into()],
            form: Form::Whole,
            kind: "ok",
        }
    }

    pub(crate) fn empty() -> Self {
        Self { content_type: None, chunks: Vec::new(), ..Self::whole(JSON, Bytes::new()) }
    }

    pub(crate) fn stream(form: Form, chunks: Vec<Bytes>) -> Self {
        Self {
            content_type: Some(match form {
                Form::Events => "text/event-stream",
                Form::List | Form::Whole => JSON,
            }),
            chunks,
            form,
            ..Self::empty()
        }
    }

    pub(crate) fn error(error: &ApiError, wrapping: Wrapping) -> Self {
        let whole = Self::whole(error.content_type(), error.text(wrapping));
        Self { status: error.status(), kind: error.kind, ..whole }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}
