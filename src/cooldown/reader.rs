//! Reads the text of bodies, compressed or not, and finds the first event of a stream.

use std::{
    borrow::Cow,
    io::{Read, Write},
};

use flate2::{read, write};
use http::{HeaderMap, header};
use memchr::memmem;

use crate::classify::{Event, SHORT, event_end, may_become_error};

/// The content encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    /// Any other encoding, which is not decoded.
    Other,
}

impl Encoding {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(encoding) = encodings.next() else { return Self::Identity };
        let is = |name: &str| encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if encodings.next().is_some() => Self::Other,
            () if is("identity") || encoding.is_empty() => Self::Identity,
            () if is("gzip") || is("x-gzip") => Self::Gzip,
            () if is("deflate") => Self::Deflate,
            () => Self::Other,
        }
    }

    /// Returns the encoding of an error body. Some relays compress without a header, or have the header without compression.
    pub(super) fn of_error(self, body: &[u8]) -> Self {
        // The end may be within a character.
        let is_utf8 = std::str::from_utf8(body).map_or_else(|error| error.error_len().is_none(), |_| true);
        let has_nul = body.contains(&0);
        match body {
            _ if is_utf8 && !has_nul => Self::Identity,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Self::Deflate,
            // The key is not found in UTF-16.
            _ if has_nul && self == Self::Identity => Self::Other,
            _ => self,
        }
    }

    /// Returns the decoded text of the start of a body, up to this many bytes unless it is not encoded.
    pub(super) fn text(self, body: &[u8], most: usize) -> Cow<'_, [u8]> {
        let mut text = Vec::new();
        let most = most as u64;
        // Text decoded before an error is used, too.
        let _ = match self {
            Self::Identity => return Cow::Borrowed(body),
            Self::Gzip => read::MultiGzDecoder::new(body).take(most).read_to_end(&mut text),
            Self::Deflate => read::ZlibDecoder::new(body).take(most).read_to_end(&mut text),
            Self::Other => return Cow::Borrowed(&[]),
        };
        if self == Self::Deflate && text.is_empty() {
            // Some servers send it without the header of zlib.
            let _ = read::DeflateDecoder::new(body).take(most).read_to_end(&mut text);
        }
        Cow::Owned(text)
    }
}

/// Reports whether [`CooldownLayer`](crate::CooldownLayer) can read a body with these headers: it is not encoded, or by
/// gzip or deflate alone.
pub fn can_decode(headers: &HeaderMap) -> bool {
    Encoding::of(headers) != Encoding::Other
}

/// Decodes a body as it passes.
pub(super) enum Decoder {
    Identity,
    Gzip(Box<write::MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<write::ZlibDecoder<Vec<u8>>>),
    /// The body cannot be decoded, or not any further.
    Opaque,
}

/// Size of the pieces in which a chunk is decoded, so that a chunk that expands much needs little memory.
const PIECE: usize = 1 << 10;
/// Maximum size of a decoded piece. A body that expands more is not decoded any further.
const MAX_EXPANDED: usize = 100 * PIECE;

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::Gzip => Self::Gzip(Box::new(write::MultiGzDecoder::new(Vec::new()))),
            Encoding::Deflate => Self::Deflate(Box::new(write::ZlibDecoder::new(Vec::new()))),
            Encoding::Other => Self::Opaque,
        }
    }

    /// Decodes the next bytes and passes the text to `read`.
    pub(super) fn decode(&mut self, bytes: &[u8], mut read: impl FnMut(&[u8])) {
        for piece in bytes.chunks(PIECE) {
            let (written, text) = match self {
                Self::Identity => return read(bytes),
                Self::Gzip(decoder) => (decoder.write_all(piece).and_then(|()| decoder.flush()), decoder.get_mut()),
                Self::Deflate(decoder) => (decoder.write_all(piece).and_then(|()| decoder.flush()), decoder.get_mut()),
                Self::Opaque => return,
            };
            read(text);
            let is_bomb = text.len() > MAX_EXPANDED;
            text.clear();
            if written.is_err() || is_bomb {
                *self = Self::Opaque;
                return;
            }
        }
    }
}

/// The first event of a 2xx response, as far as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First<'a> {
    /// More must be read.
    Incomplete,
    /// It is not an error.
    Success,
    /// An event, or a whole body, that may be an error.
    MaybeError(&'a [u8]),
}

/// Finds the first event at the start of a body. `ended` means that no more is read.
pub(super) fn first(text: &[u8], ended: bool) -> First<'_> {
    let blank = |byte: &u8| byte.is_ascii_whitespace() || [0xEF, 0xBB, 0xBF].contains(byte);
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let text = &text[start..];
    match text.first() {
        None if ended => First::Success,
        None => First::Incomplete,
        Some(b'{' | b'[') if ended => First::MaybeError(text),
        Some(b'{' | b'[') => first_object(text),
        Some(b':' | b'd' | b'e' | b'i' | b'r') => first_event(text, ended),
        Some(_) => First::Success,
    }
}

/// Checks the first object of a JSON body whose end is not known. One that may become an error is held until the end.
fn first_object(text: &[u8]) -> First<'_> {
    let text = text.strip_prefix(b"[").unwrap_or(text).trim_ascii_start();
    let names_error = || {
        memmem::find(text, b"\"error\"").is_some_and(|place| {
            let value = text[place + 7..].trim_ascii_start().strip_prefix(b":").unwrap_or_default();
            !value.trim_ascii_start().starts_with(b"null")
        })
    };
    let is_suspect = || (text.len() < SHORT || names_error()) && may_become_error(text);
    if text.is_empty() || text.starts_with(b"{") && is_suspect() { First::Incomplete } else { First::Success }
}

/// Finds the first server-sent event that has data and is not named `ping`.
fn first_event(text: &[u8], ended: bool) -> First<'_> {
    let mut start = 0;
    while start < text.len() {
        let (end, next) = match event_end(text, start) {
            Some(found) => found,
            None if ended => (text.len(), text.len()),
            None => return First::Incomplete,
        };
        let event = Event::parse(&text[start..end]);
        if !event.data.is_empty() && event.name != b"ping" {
            return First::MaybeError(&text[start..end]);
        }
        start = next;
    }
    if ended { First::Success } else { First::Incomplete }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_that_expands_too_much_is_not_decoded() {
        let mut encoder = write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![b' '; 32 << 20]).unwrap();
        let (mut decoder, mut read) = (Decoder::new(Encoding::Gzip), 0);
        for chunk in encoder.finish().unwrap().chunks(8 << 10) {
            decoder.decode(chunk, |text| read += text.len());
        }
        assert!(read < 2 << 20, "{read}");
    }

    #[test]
    fn first_event_is_the_first_with_data() {
        let event = |text: &'static str| first(text.as_bytes(), false);
        assert_eq!(event(": ping\n\nevent: a\ndata: {}\n\nrest"), First::MaybeError(b"event: a\ndata: {}"));
        let after_ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n: keep-alive\n\nevent: error\ndata: {}\n\n";
        assert_eq!(event(after_ping), First::MaybeError(b"event: error\ndata: {}"));
        assert_eq!(event("\u{feff}data: 1\r\n\r\ndata: 2"), First::MaybeError(b"data: 1"));
        for text in [
            "",
            ": ping\n\n",
            "event: ping\ndata: {}\n\n",
            "data: {\"a\":1}\n",
            "data: {\"a\"",
            "retry: 1\n\nevent: x\n",
        ] {
            assert_eq!(event(text), First::Incomplete, "{text}");
        }
        assert_eq!(first(b"data: {}", true), First::MaybeError(b"data: {}"));
        assert_eq!(first(b": ping", true), First::Success);
    }

    #[test]
    fn json_is_held_only_while_it_may_be_an_error() {
        let long = |start: &str| format!("{start}{}", "x".repeat(SHORT));
        for text in [
            "{",
            "[ ",
            "[{\"err",
            "{ \"error\": {\"code\"",
            "{\"id\":\"r\",",
            "[{\"error\":1}",
            "{\"id\":\"r\",\"error\":{\"code\":429}}",
            "{\"candidates\":[{\"finishReason\":\"PUP_LIMITED_DISABLED\"}]}",
            &long("{\"error\":\""),
        ] {
            assert_eq!(first(text.as_bytes(), false), First::Incomplete, "{text}");
        }
        for text in [
            "{\"a\":1}",
            "[{\"a\":{}}\n",
            "{\"error\":null}\n{",
            "{\"url\":\"a\",\"text\":\"t\",\"error\":\"x\"}\n{",
            "[1",
            "[]",
            "{}",
            &long("{\"text\":\""),
            &long("{\"error\": null, \"text\":\""),
        ] {
            assert_eq!(first(text.as_bytes(), false), First::Success, "{text}");
        }
        assert_eq!(first(b"{\"a\":1}", true), First::MaybeError(b"{\"a\":1}"));
    }
}
