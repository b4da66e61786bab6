//! What is said: contents and their parts.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{FunctionCall, FunctionResponse, Other, or_none};

/// One turn of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// `user` or `model`; none in a system instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What it consists of.
    #[serde(default, deserialize_with = "or_none")]
    pub parts: Vec<Part>,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}

impl Content {
    /// The user says this.
    pub fn user(parts: impl IntoIterator<Item = impl Into<Part>>) -> Self {
        Self::of("user", parts)
    }

    /// The model said this.
    pub fn model(parts: impl IntoIterator<Item = impl Into<Part>>) -> Self {
        Self::of("model", parts)
    }

    /// Text without a role: a system instruction, or what is to be embedded.
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::text(text)], ..Self::default() }
    }

    fn of(role: &str, parts: impl IntoIterator<Item = impl Into<Part>>) -> Self {
        Self { role: Some(role.to_owned()), parts: parts.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// A piece of a turn: one of these is set, beside flags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether that text is a thought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thought: Option<bool>,
    /// A picture, a sound, a document, as data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline_data: Option<Blob>,
    /// The same by address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_data: Option<FileData>,
    /// A call that the model wants made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionCall>,
    /// What a call came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_response: Option<FunctionResponse>,
    /// What else there is, such as `thoughtSignature`.
    #[serde(flatten)]
    pub other: Other,
}

impl Part {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// Data of this type, such as `image/png`.
    pub fn data(mime_type: impl Into<String>, bytes: impl AsRef<[u8]>) -> Self {
        let inline_data =
            Some(Blob { mime_type: mime_type.into(), data: BASE64_STANDARD.encode(bytes), ..Blob::default() });
        Self { inline_data, ..Self::default() }
    }

    /// A file that was uploaded, by its address. It belongs to the owner of the key that uploaded it.
    pub fn file(mime_type: impl Into<String>, uri: impl Into<String>) -> Self {
        let mime_type = Some(mime_type.into());
        let file_data = Some(FileData { mime_type, file_uri: uri.into(), other: Other::new() });
        Self { file_data, ..Self::default() }
    }

    /// Text that is no thought.
    pub fn spoken(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| self.thought != Some(true))
    }
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Part {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// Data inside of a request or an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blob {
    /// What it is, such as `image/png`.
    #[serde(default, deserialize_with = "or_none")]
    pub mime_type: String,
    /// The bytes in base64.
    #[serde(default, deserialize_with = "or_none")]
    pub data: String,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}

/// Data somewhere else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileData {
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Where it is.
    #[serde(default, deserialize_with = "or_none")]
    pub file_uri: String,
    /// What else there is.
    #[serde(flatten)]
    pub other: Other,
}
