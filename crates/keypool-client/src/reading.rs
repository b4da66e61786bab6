//! Answers, read to their end.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;
use tower_keypool::{BoxError, ServedBy};

use crate::{
    client::RawAnswer,
    error::{Error, ErrorKind},
};

/// Answers are no longer than this, inflated.
const MOST_BYTES: usize = 256 << 20;
/// Errors are no longer than this.
const MOST_OF_ERROR: usize = 64 << 10;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) served_by: Option<ServedBy>,
    pub(crate) body: Bytes,
    /// Where a redirect leads, without what it asks there.
    leads: Option<String>,
}

impl Whole {
    /// Reads it.
    ///
    /// # Errors
    /// When it breaks off, or cannot be inflated. The error knows who served.
    pub(crate) async fn read(answer: RawAnswer) -> Result<Self, Error> {
        let (mut head, body) = answer.into_parts();
        let served_by = head.extensions.remove::<ServedBy>();
        let broken = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Broken(error.to_string()));
        let body = match collect(body).await {
            Ok(body) => inflated(&head.headers, body).map_err(|error| broken(&error)),
            Err(error) => Err(broken(&error)),
        };
        match body {
            Ok(body) => Ok(Self { status: head.status, served_by, body, leads: leads(&head) }),
            Err(error) => Err(error.with(None, served_by)),
        }
    }

    /// What the provider refused with, or where it leads.
    pub(crate) fn refused(&self) -> Error {
        if !self.status.is_redirection() {
            return Error::refused(self.status, &self.body);
        }
        let message = format!("{}, which is not followed with a key: check the base URL", self.redirect());
        Error::new(ErrorKind::Refused { status: self.status, code: None, message, body: Box::default() })
    }

    /// Where it leads, in words.
    fn redirect(&self) -> String {
        self.leads.as_deref().map_or_else(|| "a redirect".to_owned(), |to| format!("a redirect to {to}"))
    }

    /// What it is, where that alone says that it is no provider's.
    pub(crate) fn unlike(&self) -> Option<Unlike> {
        match () {
            () if self.status.is_redirection() => Some(Unlike(self.redirect())),
            () if self.status.is_success() => unlike(&self.body),
            () => None,
        }
    }

    /// Reads it as what a good answer is.
    pub(crate) fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        let unreadable = |said: String| Error::new(ErrorKind::Unreadable(said));
        let made = if !self.status.is_success() {
            Err(self.refused())
        } else if let Some(error) = self.error() {
            Err(error)
        } else if let Some(what) = unlike(&self.body) {
            Err(unreadable(what.with_advice()))
        } else {
            serde_json::from_slice(&self.body).map_err(|error| unreadable(error.to_string()))
        };
        made.map_err(|error| error.with(None, self.served_by.clone()))
    }

    /// What went wrong after all, where a good status has an error below it and no answer.
    fn error(&self) -> Option<Error> {
        const NAMES: &[u8] = b"\"error\"";
        let body = &self.body[..];
        let may_be = body.len() <= MOST_OF_ERROR && body.windows(NAMES.len()).any(|name| name == NAMES);
        let said: serde_json::Value = may_be.then(|| serde_json::from_slice(body).ok()).flatten()?;
        if said.get("candidates").is_some() { None } else { Error::told(&said, body) }
    }
}

/// Where a redirect leads: the place alone.
fn leads(head: &http::response::Parts) -> Option<String> {
    let to = head.headers.get(header::LOCATION).filter(|_| head.status.is_redirection())?.to_str().ok()?;
    to.split(['?', '#']).next().map(|place| place.chars().take(200).collect())
}

/// What came where an answer was to come.
#[derive(Debug)]
pub(crate) struct Unlike(String);

impl Unlike {
    /// That alone.
    pub(crate) fn what(&self) -> &str {
        &self.0
    }

    /// And what to look at.
    pub(crate) fn with_advice(&self) -> String {
        format!("{}; if it stays so, check the base URL", self.0)
    }
}

/// What came where an object was to come.
fn unlike(body: &[u8]) -> Option<Unlike> {
    let what = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => return None,
        None => "nothing came",
        Some(b'[') => "it is an array and no object",
        Some(b'"') => "it is a text and no object",
        Some(_) => "it is no JSON object",
    };
    let begin = String::from_utf8_lossy(&body[..body.len().min(80)]);
    let begin = begin.trim();
    let shown = if begin.is_empty() { String::new() } else { format!(" ({begin:?})") };
    Some(Unlike(format!("{what}{shown}")))
}

/// Most answers come in one piece, which is not copied.
async fn collect<B: Body<Data = Bytes, Error = BoxError>>(body: B) -> Result<Bytes, BoxError> {
    let mut body = std::pin::pin!(body);
    let (mut first, mut rest) = (None, BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        match &first {
            None => first = Some(data),
            Some(begin) => {
                if rest.is_empty() {
                    rest.extend_from_slice(begin);
                }
                rest.extend_from_slice(&data);
                if rest.len() > MOST_BYTES {
                    return Err("it is too long".into());
                }
            }
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}

fn inflated(headers: &HeaderMap, body: Bytes) -> std::io::Result<Bytes> {
    if headers.get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding.as_bytes() != b"gzip") {
        return Ok(body);
    }
    let mut whole = Vec::with_capacity(body.len() * 4);
    MultiGzDecoder::new(&*body).take(MOST_BYTES as u64).read_to_end(&mut whole)?;
    Ok(whole.into())
}
