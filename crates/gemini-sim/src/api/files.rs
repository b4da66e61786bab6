//! Uploads of files, resumable or in one request. Bytes are counted and hashed, but not kept.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use jiff::SignedDuration;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::call::{Call, read_json};
use super::exchange::Exchange;
use super::resources::Resource;
use crate::answer::Reply;
use crate::proto;
use crate::refusal::ApiError;

const LIFETIME: SignedDuration = SignedDuration::from_hours(48);
/// The size of each chunk of an upload, except the last one, is a multiple of this number of bytes.
const GRANULARITY: u64 = 8 * 1024 * 1024;
const STATUS: HeaderName = HeaderName::from_static("x-goog-upload-status");

/// An upload in progress.
#[derive(Clone, Debug)]
struct Upload {
    project: usize,
    /// The file as the API will show it, as far as it is known.
    shown: Value,
    /// The length that was announced at the start.
    announced: Option<u64>,
    received: u64,
    hash: Sha256,
}

/// All uploads in progress by id. A caller that knows the id may continue an upload.
#[derive(Debug, Default)]
pub(crate) struct Uploads(HashMap<String, Upload>);

impl Uploads {
    pub(super) fn project_of(&self, id: &str) -> Option<usize> {
        Some(self.0.get(id)?.project)
    }
}

pub(super) fn upload(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let call = exchange.call;
    match call.query.get("upload_id") {
        Some(id) => continue_upload(exchange, id),
        None => match WholeFile::read(call)? {
            Some(file) => upload_whole(exchange, file),
            None => start_upload(exchange),
        },
    }
}

/// Starts a resumable upload. The response has no body; a header has the URL for the chunks.
fn start_upload(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let call = exchange.call;
    let request = proto::read("CreateFileRequest", &read_json(call)?)?;
    if call.header("x-goog-upload-protocol") != Some("resumable") {
        return Err(invalid("X-Goog-Upload-Protocol must be resumable."));
    }
    if call.header("x-goog-upload-command") != Some("start") {
        return Err(invalid("X-Goog-Upload-Command must be start."));
    }
    let announced = call.header("x-goog-upload-header-content-length").map(str::parse).transpose();
    let announced = announced.map_err(|_| invalid("Invalid X-Goog-Upload-Header-Content-Length."))?;
    let upload = exchange.new_upload(&request["file"], None)?;
    let id = format!("sim-{}{}", exchange.state.new_id(), exchange.state.new_id());
    let url = format!("{}/upload/{}/files?upload_id={id}&upload_protocol=resumable", call.origin(), call.version);
    exchange.state.uploads.0.insert(id, Upload { announced, ..upload });
    Ok(Reply::empty()
        .header(HeaderName::from_static("x-goog-upload-url"), url.clone())
        .header(HeaderName::from_static("x-goog-upload-control-url"), url)
        .header(STATUS, "active")
        .header(HeaderName::from_static("x-goog-upload-chunk-granularity"), GRANULARITY.to_string()))
}

fn upload_whole(exchange: &mut Exchange<'_>, file: WholeFile<'_>) -> Result<Reply, ApiError> {
    let request = proto::read("CreateFileRequest", &file.metadata)?;
    let upload = exchange.new_upload(&request["file"], file.mime_type)?;
    let (received, hash) = (file.bytes.len() as u64, Sha256::new_with_prefix(file.bytes));
    Ok(exchange.finish_upload(Upload { received, hash, ..upload }))
}

/// Handles the commands `upload`, `upload, finalize`, `finalize`, `query` and `cancel`.
fn continue_upload(exchange: &mut Exchange<'_>, id: &str) -> Result<Reply, ApiError> {
    let (call, state) = (exchange.call, &mut *exchange.state);
    let Some(upload) = state.uploads.0.get_mut(id) else {
        return Err(ApiError::new(404, "unknown_upload", "NOT_FOUND", "Requested entity was not found."));
    };
    // The real behaviour is not documented; this is strict.
    if call.project.is_some_and(|project| project != upload.project) {
        return Err(ApiError::denied("no_permission", "The caller does not have permission"));
    }
    let command = call.header("x-goog-upload-command").unwrap_or_default();
    let command: Vec<_> = command.split(',').map(str::trim).collect();
    let result = match command[..] {
        ["query"] => {
            let received = upload.received.to_string();
            return Ok(Reply::empty()
                .header(STATUS, "active")
                .header(HeaderName::from_static("x-goog-upload-size-received"), received));
        }
        ["cancel"] => {
            state.uploads.0.remove(id);
            return Ok(Reply::empty().header(STATUS, "cancelled"));
        }
        ["upload"] => upload.add_chunk(call, false),
        ["upload", "finalize"] => upload.add_chunk(call, true),
        ["finalize"] if call.body.is_empty() => Ok(()),
        ["finalize"] => Err(invalid("Bytes come with the command upload.")),
        _ => Err(invalid("Unknown X-Goog-Upload-Command.")),
    };
    let is_last = command.last() == Some(&"finalize");
    let result = result.and_then(|()| match upload.announced {
        Some(length) if is_last && length != upload.received => {
            Err(invalid("The upload ends before the announced length."))
        }
        _ => Ok(()),
    });
    if let Err(error) = result {
        // The upload can be continued.
        return Ok(Reply::error(&error, false).header(STATUS, "active"));
    }
    if !is_last {
        return Ok(Reply::empty().header(STATUS, "active"));
    }
    // Another upload with this name may have ended first.
    if let Some(name) = upload.shown["name"].as_str() {
        state.resources.check_free(name, call.wall)?;
    }
    let upload = state.uploads.0.remove(id).expect("found above");
    Ok(exchange.finish_upload(upload))
}

impl Upload {
    fn add_chunk(&mut self, call: &Call, is_last: bool) -> Result<(), ApiError> {
        let offset = call.header("x-goog-upload-offset").and_then(|offset| offset.parse().ok());
        if offset != Some(self.received) {
            return Err(invalid(format!("Invalid X-Goog-Upload-Offset: {} bytes were received.", self.received)));
        }
        // Documented for uploads to Cloud Storage; this API only announces the granularity.
        let length = call.body.len() as u64;
        if !is_last && !length.is_multiple_of(GRANULARITY) {
            return Err(invalid(format!("Chunks before the last must be a multiple of {GRANULARITY} bytes.")));
        }
        if self.announced.is_some_and(|announced| self.received + length > announced) {
            return Err(invalid("More bytes than the announced length."));
        }
        self.received += length;
        self.hash.update(&call.body);
        Ok(())
    }
}

impl Exchange<'_> {
    /// Creates an upload without bytes. `mime_type` is the type of the part that has the bytes.
    fn new_upload(&self, file: &Value, mime_type: Option<String>) -> Result<Upload, ApiError> {
        let announced = self.call.header("x-goog-upload-header-content-type").map(str::to_owned);
        let mime_type = file["mime_type"].as_str().map(str::to_owned).or(mime_type).or(announced);
        let mime_type = mime_type.unwrap_or_else(|| "application/octet-stream".to_owned());
        let mut shown = json!({ "mimeType": mime_type, "state": "ACTIVE", "source": "UPLOADED" });
        if let Some(name) = file.get("display_name") {
            shown["displayName"] = name.clone();
        }
        let name = file["name"].as_str().unwrap_or_default();
        if !name.is_empty() {
            let id = name.strip_prefix("files/").unwrap_or(name);
            let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if id.is_empty() || id.len() > 40 || !id.bytes().all(is_good) {
                let why = "The file name must be files/ and at most 40 lowercase letters, digits and dashes.";
                return Err(invalid(why));
            }
            self.state.resources.check_free(&format!("files/{id}"), self.call.wall)?;
            shown["name"] = format!("files/{id}").into();
        }
        Ok(Upload { project: self.project, shown, announced: None, received: 0, hash: Sha256::new() })
    }

    fn finish_upload(&mut self, upload: Upload) -> Reply {
        let Upload { project, mut shown, received, hash, .. } = upload;
        let now = self.call.wall;
        let name = shown["name"].as_str().map(str::to_owned);
        let name = name.unwrap_or_else(|| format!("files/{}", self.state.new_id()));
        let expires = now.saturating_add(LIFETIME).unwrap_or(now);
        // The hexadecimal digits of the hash, in Base64.
        let hash = hash.finalize().iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
        shown["name"] = name.clone().into();
        shown["sizeBytes"] = received.to_string().into();
        shown["createTime"] = now.to_string().into();
        shown["updateTime"] = now.to_string().into();
        shown["expirationTime"] = expires.to_string().into();
        shown["sha256Hash"] = STANDARD.encode(hash).into();
        let version = &self.call.version;
        shown["uri"] = format!("https://generativelanguage.googleapis.com/{version}/{name}").into();
        let resource = Resource { project, created: now, expires, shown };
        let reply = Reply::json(&json!({ "file": resource.shown })).header(STATUS, "final");
        self.state.resources.insert(name, resource);
        reply
    }
}

fn invalid(what: impl Into<String>) -> ApiError {
    ApiError::invalid_argument("malformed_upload", what)
}

/// A file in one request.
#[derive(Debug, PartialEq)]
struct WholeFile<'b> {
    /// The JSON in the first part.
    metadata: Value,
    bytes: &'b [u8],
    mime_type: Option<String>,
}

impl<'b> WholeFile<'b> {
    /// Reads the file of a request, or returns `None` if it starts a resumable upload.
    fn read(call: &'b Call) -> Result<Option<Self>, ApiError> {
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

/// Returns the content type and the bytes of each part. The line end is that of the first line, so that clients that
/// send only line feeds (google-gemini-php) work, too.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_with_both_line_ends() {
        let body = "--b\r\n\r\n{\"file\":{}}\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n\r\n--b--\r\n";
        for body in [body.to_owned(), body.replace("\r\n", "\n")] {
            let file = WholeFile::read_parts("multipart/related; boundary=\"b\"", body.as_bytes()).unwrap();
            assert_eq!(file.metadata, json!({ "file": {} }));
            assert_eq!((file.bytes.trim_ascii(), file.mime_type.as_deref()), (&b"hello"[..], Some("text/plain")));
        }
    }
}
