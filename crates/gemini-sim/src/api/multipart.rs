//! Files that come in one request: their bytes alone, or behind their metadata in a multipart body.

use serde_json::{Value, json};

use super::call::Call;
use crate::refusal::ApiError;

/// A file in one request.
#[derive(Debug, PartialEq)]
pub(super) struct WholeFile<'b> {
    /// The JSON of the first part.
    pub(super) metadata: Value,
    pub(super) bytes: &'b [u8],
    pub(super) mime_type: Option<String>,
}

impl<'b> WholeFile<'b> {
    /// None where the request starts a resumable upload.
    pub(super) fn read(call: &'b Call) -> Result<Option<Self>, ApiError> {
        let protocol = call.header("x-goog-upload-protocol").or_else(|| call.query.get("upload_protocol"));
        let content_type = call.header("content-type").unwrap_or_default();
        match (protocol, call.query.get("uploadType")) {
            (Some("raw"), _) | (None, Some("media")) => {
                let mime_type = call.header("x-goog-upload-header-content-type").unwrap_or(content_type);
                let mime_type = Some(mime_type.to_owned()).filter(|mime_type| !mime_type.is_empty());
                Ok(Some(Self { metadata: json!({}), bytes: &call.body, mime_type }))
            }
            (Some("multipart"), _) | (None, Some("multipart")) => Self::read_parts(content_type, &call.body).map(Some),
            _ => Ok(None),
        }
    }

    fn read_parts(content_type: &str, body: &'b [u8]) -> Result<Self, ApiError> {
        let boundary = content_type.split(';').skip(1).find_map(|pair| pair.trim().strip_prefix("boundary="));
        let boundary = boundary.map(|boundary| boundary.trim_matches('"')).filter(|boundary| !boundary.is_empty());
        let is_multipart = content_type.to_ascii_lowercase().starts_with("multipart/");
        let Some(boundary) = boundary.filter(|_| is_multipart) else {
            return Err(invalid("Multipart body does not contain a boundary."));
        };
        let parts = parts(body, format!("--{boundary}").as_bytes());
        let [(_, metadata), (mime_type, bytes)] = &parts[..] else {
            return Err(invalid("Multipart body must contain exactly 2 parts."));
        };
        let metadata = serde_json::from_slice(metadata);
        let metadata = metadata.map_err(|_| invalid("The metadata part is no valid JSON."))?;
        Ok(Self { metadata, bytes, mime_type: mime_type.clone() })
    }
}

/// The content type and the bytes of each part. Lines end as the first one does: clients that end them with a line feed
/// alone (google-gemini-php) are served, too.
fn parts<'b>(body: &'b [u8], boundary: &[u8]) -> Vec<(Option<String>, &'b [u8])> {
    let mut found = Vec::new();
    let Some((_, mut rest)) = split_once(body, boundary) else { return found };
    let line_end: &[u8] = if rest.starts_with(b"\n") { b"\n" } else { b"\r\n" };
    while let Some(inner) = rest.strip_prefix(line_end) {
        let Some((part, behind)) = split_once(inner, &[line_end, boundary].concat()) else { break };
        let (head, bytes) = match part.strip_prefix(line_end) {
            // A part without headers.
            Some(bytes) => (&b""[..], bytes),
            None => match split_once(part, &[line_end, line_end].concat()) {
                Some(split) => split,
                None => break,
            },
        };
        let head = String::from_utf8_lossy(head).into_owned();
        let content_type = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
        });
        found.push((content_type, bytes));
        rest = behind;
    }
    found
}

fn split_once<'b>(bytes: &'b [u8], separator: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

fn invalid(what: &str) -> ApiError {
    ApiError::invalid_argument("malformed_upload", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_with_either_line_end() {
        let body = "--b\r\n\r\n{\"file\":{}}\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n\r\n--b--\r\n";
        for body in [body.to_owned(), body.replace("\r\n", "\n")] {
            let file = WholeFile::read_parts("multipart/related; boundary=\"b\"", body.as_bytes()).unwrap();
            assert_eq!(file.metadata, json!({ "file": {} }));
            assert_eq!((file.bytes.trim_ascii(), file.mime_type.as_deref()), (&b"hello"[..], Some("text/plain")));
        }
    }
}
