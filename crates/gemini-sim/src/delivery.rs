//! How a file's bytes come: in pieces that a URL is handed out for, all at once as they are, or in one body with what is said of
//! them.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::engine::{Admission, Visit};
use crate::refusal::ApiError;

/// How a file's bytes come.
#[derive(Debug, PartialEq)]
pub(crate) enum Delivery<'b> {
    /// In pieces: what is said of them stands in the body.
    Pieces,
    /// All of them, of this kind; and what is said of them.
    Whole { said: Value, bytes: &'b [u8], kind: Option<String> },
}

impl<'b> Delivery<'b> {
    /// Of the request that begins an upload, by its protocol or by `uploadType`.
    pub(crate) fn of(visit: &Visit<'b>) -> Admission<Self> {
        let protocol = text(visit.headers, "x-goog-upload-protocol").or_else(|| visit.query.get("upload_protocol"));
        let kind = text(visit.headers, "content-type").unwrap_or_default();
        match (protocol, visit.query.get("uploadType")) {
            (Some("raw"), _) | (None, Some("media")) => {
                let announced = text(visit.headers, "x-goog-upload-header-content-type").unwrap_or(kind);
                let kind = Some(announced.to_owned()).filter(|kind| !kind.is_empty());
                Ok(Self::Whole { said: json!({}), bytes: visit.body, kind })
            }
            (Some("multipart"), _) | (None, Some("multipart")) => Self::in_parts(kind, visit.body),
            _ => Ok(Self::Pieces),
        }
    }

    /// `multipart/related`: first JSON, then the bytes.
    fn in_parts(kind: &str, body: &'b [u8]) -> Admission<Self> {
        let boundary = kind.split(';').skip(1).find_map(|pair| pair.trim().strip_prefix("boundary="));
        let boundary = boundary.map(|boundary| boundary.trim_matches('"')).filter(|boundary| !boundary.is_empty());
        let is_multipart = kind.to_ascii_lowercase().starts_with("multipart/");
        let Some(boundary) = boundary.filter(|_| is_multipart) else {
            return Err(invalid("Multipart body does not contain a boundary."));
        };
        let mut parts = parts(body, format!("--{boundary}").as_bytes()).into_iter();
        let (Some((_, said)), Some((kind, bytes)), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid("Multipart body must contain exactly 2 parts."));
        };
        let said = serde_json::from_slice(said).map_err(|_| invalid("The metadata part is no valid JSON."))?;
        Ok(Self::Whole { said, bytes, kind })
    }
}

/// The parts between these borders: what each says that it is, and what it holds. Lines end as the first one does: clients
/// that write them with a line feed alone (google-gemini-php) are served, too.
fn parts<'b>(body: &'b [u8], border: &[u8]) -> Vec<(Option<String>, &'b [u8])> {
    let mut found = Vec::new();
    let Some(mut rest) = position(body, border).map(|at| &body[at + border.len()..]) else { return found };
    let line: &[u8] = if rest.starts_with(b"\n") { b"\n" } else { b"\r\n" };
    while let Some(inner) = rest.strip_prefix(line) {
        let end = position(inner, &[line, border].concat());
        let Some((part, behind)) = end.map(|at| (&inner[..at], &inner[at + line.len() + border.len()..])) else {
            break;
        };
        let (head, held) = match part.strip_prefix(line) {
            // It says nothing of itself.
            Some(held) => (&b""[..], held),
            None => match position(part, &[line, line].concat()) {
                Some(at) => (&part[..at], &part[at + 2 * line.len()..]),
                None => break,
            },
        };
        let head = String::from_utf8_lossy(head).into_owned();
        let of_kind = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
        };
        found.push((head.lines().find_map(of_kind), held));
        rest = behind;
    }
    found
}

fn position(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn invalid(what: &str) -> ApiError {
    ApiError::invalid_argument("malformed_upload", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_parts_are_what_is_said_and_the_bytes() {
        let body = b"--b\r\ncontent-type: application/json\r\n\r\n{\"file\":{}}\r\n--b\r\nContent-Type: text/plain\r\n\r\na\r\n--\r\nb\r\n--b--\r\n";
        let read = Delivery::in_parts("multipart/related; boundary=\"b\"", body).unwrap();
        let kind = Some("text/plain".to_owned());
        assert_eq!(read, Delivery::Whole { said: json!({ "file": {} }), bytes: b"a\r\n--\r\nb", kind });
        let feeds =
            b"--b\nContent-Type: application/json\n\n{\"file\":{}}\n--b\nContent-Type: text/plain\n\na\r\n--\nb\n--b--";
        let read = Delivery::in_parts("multipart/related; boundary=b", feeds).unwrap();
        let kind = Some("text/plain".to_owned());
        assert_eq!(read, Delivery::Whole { said: json!({ "file": {} }), bytes: b"a\r\n--\nb", kind });
        for (kind, body) in [
            ("multipart/related", &body[..]),
            ("application/json; boundary=b", body),
            ("multipart/related; boundary=c", body),
            ("multipart/related; boundary=b", &body[..60]),
            ("multipart/related; boundary=b", b"--b\r\n\r\nno JSON\r\n--b\r\n\r\na\r\n--b--"),
        ] {
            assert!(Delivery::in_parts(kind, body).is_err(), "{kind}");
        }
    }
}
