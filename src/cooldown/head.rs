//! What an answer's head tells of its body: whether it can be read, and how.

use http::{HeaderMap, Method, Request, header};
use memchr::memmem;

use super::first_event::Framing;
use crate::provider::UsageFormat;

/// What of the request matters when its answer comes.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// Only a head: no answer to it has a body.
    pub(super) head: bool,
    /// A stream that may come as a JSON array.
    pub(super) array: bool,
    /// The provider's answers tell their usage.
    pub(super) usage: bool,
}

impl Asked {
    pub(super) fn by<B>(request: &Request<B>, usage: UsageFormat) -> Self {
        Self {
            head: request.method() == Method::HEAD,
            array: usage == UsageFormat::Gemini && request.uri().path().ends_with("streamGenerateContent"),
            usage: usage != UsageFormat::None,
        }
    }
}

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
    /// In a way that is not read here, or in several.
    Unreadable,
}

pub(super) fn encoding(headers: &HeaderMap) -> Encoding {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(value) = values.next() else { return Encoding::Plain };
    let value = value.as_bytes().trim_ascii();
    if values.next().is_some() {
        Encoding::Unreadable
    } else if value.is_empty() || value.eq_ignore_ascii_case(b"identity") {
        Encoding::Plain
    } else if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") {
        Encoding::Gzip
    } else {
        Encoding::Unreadable
    }
}

/// How a good answer's stream is framed, where it is one.
pub(super) fn framing(headers: &HeaderMap, asked: Asked) -> Option<Framing> {
    let kind = headers.get(header::CONTENT_TYPE)?.as_bytes();
    if begins_with(kind, b"text/event-stream") {
        Some(Framing::Events)
    } else {
        (asked.array && begins_with(kind, b"application/json")).then_some(Framing::Array)
    }
}

/// Whether usage may stand in a body of this type: in JSON, in events, or where no type is named.
pub(super) fn may_tell_usage(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_none_or(|kind| {
        let kind = kind.as_bytes();
        begins_with(kind, b"application/json")
            || begins_with(kind, b"text/event-stream")
            || memmem::find(kind, b"json").is_some()
    })
}

fn begins_with(value: &[u8], kind: &[u8]) -> bool {
    value.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(name: &header::HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
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
        ] {
            assert_eq!(encoding(&of(&header::CONTENT_ENCODING, values)), expected, "{values:?}");
        }
    }

    #[test]
    fn streams_by_type_and_by_what_was_asked() {
        let asked = |array| Asked { head: false, array, usage: true };
        let events = of(&header::CONTENT_TYPE, &["Text/Event-Stream; charset=utf-8"]);
        let json = of(&header::CONTENT_TYPE, &["application/json; charset=UTF-8"]);
        assert_eq!(framing(&events, asked(false)), Some(Framing::Events));
        assert_eq!(framing(&json, asked(false)), None);
        assert_eq!(framing(&json, asked(true)), Some(Framing::Array));
        assert_eq!(framing(&HeaderMap::new(), asked(true)), None);
        assert!(may_tell_usage(&json) && may_tell_usage(&events) && may_tell_usage(&HeaderMap::new()));
        assert!(may_tell_usage(&of(&header::CONTENT_TYPE, &["application/x-ndjson"])));
        assert!(!may_tell_usage(&of(&header::CONTENT_TYPE, &["application/octet-stream"])));
    }
}
