//! What an answer's head tells of its body: whether it can be read, and how.

use http::{HeaderName, HeaderValue, Method, Uri, header};
use memchr::memmem;

use super::{first_event::Framing, last_word::Ending};
use crate::provider::UsageFormat;

/// What of the request matters when its answer comes.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    /// Only a head: no answer to it has a body.
    pub(super) head: bool,
    /// Something is to be made: what comes is no file that somebody stored, whatever stands in it.
    pub(super) makes: bool,
    /// How a stream of it says that it is at its end, where it does.
    pub(super) ending: Option<Ending>,
    /// How the provider's answers tell their usage.
    pub(super) usage: UsageFormat,
}

impl Asked {
    #[inline]
    pub(super) fn by(method: &Method, uri: &Uri, usage: UsageFormat) -> Self {
        Self { head: method == Method::HEAD, makes: method == Method::POST, ending: Ending::of(uri, usage), usage }
    }
}

/// What the headers tell of the body. Gathered in one pass: looking a header up costs as much as passing over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BodyHead {
    pub(super) encoding: Encoding,
    pub(super) kind: Kind,
}

/// How a body is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    #[default]
    Plain,
    Gzip,
    /// In a way that is not read here, or in several.
    Unreadable,
}

/// What a body says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Unsaid,
    Json,
    Events,
    /// A web page: no API answers so, and whoever does is between.
    Page,
    Other,
}

impl BodyHead {
    /// Takes the next header into account.
    pub(super) fn see(&mut self, name: &HeaderName, value: &HeaderValue) {
        if name == header::CONTENT_TYPE {
            self.kind = Kind::of(value.as_bytes());
        } else if name == header::CONTENT_ENCODING {
            self.encoding = match (self.encoding, Encoding::of(value.as_bytes().trim_ascii())) {
                (Encoding::Plain, encoding) => encoding,
                _ => Encoding::Unreadable,
            };
        } else if name == header::TRANSFER_ENCODING && !is_in_chunks_alone(value) {
            // Nobody said that it could be read (`TE`), and nobody below does.
            self.encoding = Encoding::Unreadable;
        }
    }

    /// How a good answer's stream is framed, where it is one.
    pub(super) fn framing(self, asked: Asked) -> Option<Framing> {
        match self.kind {
            Kind::Events => Some(Framing::Events),
            // Gemini's, where nobody asks for events.
            Kind::Json if asked.ending == Some(Ending::Reason) => Some(Framing::Array),
            _ => None,
        }
    }

    /// Whether usage may stand in it: in JSON, in events, or where no type is named.
    pub(super) fn may_tell_usage(self) -> bool {
        !matches!(self.kind, Kind::Other | Kind::Page)
    }
}

/// Whether the transfer does nothing to the bytes but cut them.
fn is_in_chunks_alone(value: &HeaderValue) -> bool {
    let nothing =
        |coding: &[u8]| [&b""[..], b"chunked", b"identity"].iter().any(|one| coding.eq_ignore_ascii_case(one));
    value.as_bytes().split(|byte| *byte == b',').all(|coding| nothing(coding.trim_ascii()))
}

impl Encoding {
    fn of(value: &[u8]) -> Self {
        if value.is_empty() || value.eq_ignore_ascii_case(b"identity") {
            Self::Plain
        } else if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") {
            Self::Gzip
        } else {
            Self::Unreadable
        }
    }
}

impl Kind {
    fn of(value: &[u8]) -> Self {
        let begins = |kind: &[u8]| value.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind));
        if value.starts_with(b"application/json") {
            Self::Json
        } else if begins(b"text/event-stream") {
            Self::Events
        } else if begins(b"application/json") || memmem::find(value, b"json").is_some() {
            Self::Json
        } else if begins(b"text/html") {
            Self::Page
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &HeaderName, values: &[&'static str]) -> BodyHead {
        let mut head = BodyHead::default();
        for value in values {
            head.see(name, &HeaderValue::from_static(value));
        }
        head
    }

    #[test]
    fn encodings() {
        for (values, expected) in [
            (&[][..], Encoding::Plain),
            (&["identity"], Encoding::Plain),
            (&[" GZip "], Encoding::Gzip),
            (&["x-gzip"], Encoding::Gzip),
            (&["br"], Encoding::Unreadable),
            (&["gzip, br"], Encoding::Unreadable),
            (&["gzip", "gzip"], Encoding::Unreadable),
            (&["identity", "gzip"], Encoding::Gzip),
        ] {
            assert_eq!(of(&header::CONTENT_ENCODING, values).encoding, expected, "{values:?}");
        }
    }

    #[test]
    fn transfers() {
        for (values, expected) in [
            (&["chunked"][..], Encoding::Plain),
            (&["Chunked"], Encoding::Plain),
            (&["identity, chunked"], Encoding::Plain),
            (&["gzip, chunked"], Encoding::Unreadable),
            (&["gzip", "chunked"], Encoding::Unreadable),
            (&["deflate"], Encoding::Unreadable),
        ] {
            assert_eq!(of(&header::TRANSFER_ENCODING, values).encoding, expected, "{values:?}");
        }
    }

    #[test]
    fn streams_by_type_and_by_what_was_asked() {
        let asked = |array: bool| {
            let ending = array.then_some(Ending::Reason);
            Asked { head: false, makes: true, ending, usage: UsageFormat::Gemini }
        };
        let events = of(&header::CONTENT_TYPE, &["Text/Event-Stream; charset=utf-8"]);
        let json = of(&header::CONTENT_TYPE, &["application/json; charset=UTF-8"]);
        assert_eq!(events.framing(asked(false)), Some(Framing::Events));
        assert_eq!(json.framing(asked(false)), None);
        assert_eq!(json.framing(asked(true)), Some(Framing::Array));
        assert_eq!(BodyHead::default().framing(asked(true)), None);
        assert!(json.may_tell_usage() && events.may_tell_usage() && BodyHead::default().may_tell_usage());
        assert!(of(&header::CONTENT_TYPE, &["application/x-ndjson"]).may_tell_usage());
        assert!(of(&header::CONTENT_TYPE, &["Application/JSON"]).may_tell_usage());
        assert!(!of(&header::CONTENT_TYPE, &["application/octet-stream"]).may_tell_usage());
    }
}
