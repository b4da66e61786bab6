//! Uploads, in pieces or at once, and the files that come of them.

use http::HeaderMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Reply;
use super::models::listed;
use crate::delivery::Delivery;
use crate::engine::{Admission, Admitted, State, Visit};
use crate::proto_json::field;
use crate::refusal::{ApiError, Wrapping};
use crate::settings::Settings;
use crate::store::{Description, File, Upload, page};

const STATUS: &str = "x-goog-upload-status";

fn invalid(what: impl Into<String>) -> ApiError {
    ApiError::invalid_argument("malformed_upload", what)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `start`: no body in the answer, the URL for the chunks in a header.
pub(super) fn start(
    settings: &Settings,
    state: &mut State,
    visit: &Visit<'_>,
    admitted: &Admitted,
) -> Admission<Reply> {
    if let Delivery::Whole { bytes, kind, .. } = Delivery::of(visit)? {
        return whole(settings, state, visit, admitted, (bytes, kind));
    }
    if text(visit.headers, "x-goog-upload-protocol") != Some("resumable") {
        return Err(invalid("X-Goog-Upload-Protocol must be resumable."));
    }
    if text(visit.headers, "x-goog-upload-command") != Some("start") {
        return Err(invalid("X-Goog-Upload-Command must be start."));
    }
    let announced = match text(visit.headers, "x-goog-upload-header-content-length") {
        None => None,
        Some(length) => {
            Some(length.parse::<u64>().map_err(|_| invalid("Invalid X-Goog-Upload-Header-Content-Length."))?)
        }
    };
    let description = describe(state, visit, &admitted.request)?;
    let id = format!("sim-{}{}", state.id(), state.id());
    let (project, version, hash) = (admitted.project, admitted.version.clone(), Sha256::new());
    let upload = Upload { project, version, description, announced, received: 0, hash };
    state.uploads.begin(id.clone(), upload);
    let url = format!("{}/upload/{}/files?upload_id={id}&upload_protocol=resumable", visit.origin(), admitted.version);
    Ok(Reply::empty()
        .header("x-goog-upload-url", url.clone())
        .header("x-goog-upload-control-url", url)
        .header(STATUS, "active")
        .header("x-goog-upload-chunk-granularity", settings.upload_granularity.to_string()))
}

/// All of a file in one request, without a URL for pieces.
fn whole(
    settings: &Settings,
    state: &mut State,
    visit: &Visit<'_>,
    admitted: &Admitted,
    (bytes, kind): (&[u8], Option<String>),
) -> Admission<Reply> {
    if visit.body.len() > settings.max_body {
        return Err(invalid("The file is too large."));
    }
    let mut description = describe(state, visit, &admitted.request)?;
    let file = admitted.request.get("file").unwrap_or(&Value::Null);
    if field(file, "mimeType", "mime_type").is_none()
        && let Some(kind) = kind
    {
        description.mime_type = kind;
    }
    let (project, version, received) = (admitted.project, admitted.version.clone(), bytes.len() as u64);
    let hash = Sha256::new_with_prefix(bytes);
    let upload = Upload { project, version, description, announced: None, received, hash };
    let file = finish(settings, state, visit, upload);
    Ok(Reply::json(&json!({ "file": file })).header(STATUS, "final"))
}

fn describe(state: &State, visit: &Visit<'_>, request: &Value) -> Admission<Description> {
    let file = request.get("file").unwrap_or(&Value::Null);
    let get = |camel, snake| field(file, camel, snake).and_then(Value::as_str);
    let id = match file.get("name").and_then(Value::as_str) {
        None | Some("") => None,
        Some(name) => {
            let id = name.strip_prefix("files/").unwrap_or(name);
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if id.is_empty() || id.len() > 40 || !id.chars().all(good) {
                return Err(invalid(
                    "The file name must be files/ and at most 40 lowercase letters, digits and \
dashes.",
                ));
            }
            state.files.check_free(id, visit.wall)?;
            Some(id.to_owned())
        }
    };
    let announced = text(visit.headers, "x-goog-upload-header-content-type");
    let mime_type = get("mimeType", "mime_type").or(announced);
    Ok(Description {
        id,
        display_name: get("displayName", "display_name").map(str::to_owned),
        mime_type: mime_type.unwrap_or("application/octet-stream").to_owned(),
    })
}

/// `upload`, `upload, finalize`, `finalize`, `query` and `cancel`.
pub(super) fn upload(settings: &Settings, state: &mut State, visit: &Visit<'_>) -> Admission<Reply> {
    let id = visit.query.get("upload_id").unwrap_or_default().to_owned();
    let Some(upload) = state.uploads.get_mut(&id) else {
        return Err(ApiError::new(404, "unknown_upload", "NOT_FOUND", "Requested entity was not found."));
    };
    // Not on record; but a chunk sent with another project's key shows that
    // its sender has lost track.
    if visit.project.is_some_and(|project| project != upload.project) {
        return Err(ApiError::denied("no_permission", "The caller does not have permission"));
    }
    let command = text(visit.headers, "x-goog-upload-command").unwrap_or_default();
    let words: Vec<_> = command.split(',').map(str::trim).collect();
    match words.as_slice() {
        ["query"] => {
            let received = upload.received.to_string();
            return Ok(Reply::empty().header(STATUS, "active").header("x-goog-upload-size-received", received));
        }
        ["cancel"] => {
            state.uploads.take(&id);
            return Ok(Reply::empty().header(STATUS, "cancelled"));
        }
        ["upload" | "finalize"] | ["upload", "finalize"] => {}
        _ => return Ok(stay(&invalid("Unknown X-Goog-Upload-Command."))),
    }
    if words == ["finalize"] && !visit.body.is_empty() {
        return Ok(stay(&invalid("Bytes come with the command upload.")));
    }
    let last = words.last() == Some(&"finalize");
    if words.first() == Some(&"upload")
        && let Err(error) = take_chunk(settings, upload, visit, last)
    {
        return Ok(stay(&error));
    }
    if !last {
        return Ok(Reply::empty().header(STATUS, "active"));
    }
    if upload.announced.is_some_and(|length| length != upload.received) {
        let error = invalid("The upload ends before the announced length.");
        return Ok(stay(&error));
    }
    // Another one may have been faster.
    if let Some(name) = &upload.description.id {
        state.files.check_free(name, visit.wall)?;
    }
    let upload = state.uploads.take(&id).expect("found above");
    let file = finish(settings, state, visit, upload);
    Ok(Reply::json(&json!({ "file": file })).header(STATUS, "final"))
}

/// An error that does not end the upload.
fn stay(error: &ApiError) -> Reply {
    Reply::error(error, Wrapping::Bare).header(STATUS, "active")
}

fn take_chunk(settings: &Settings, upload: &mut Upload, visit: &Visit<'_>, last: bool) -> Admission<()> {
    let offset = text(visit.headers, "x-goog-upload-offset");
    let offset = offset.and_then(|offset| offset.parse::<u64>().ok());
    if offset != Some(upload.received) {
        return Err(invalid(format!("Invalid X-Goog-Upload-Offset: {} bytes were received.", upload.received)));
    }
    let length = visit.body.len() as u64;
    if visit.body.len() > settings.max_body {
        return Err(invalid("The chunk is too large."));
    }
    // On record for storage uploads; here the granularity is only announced.
    if !last && !length.is_multiple_of(settings.upload_granularity) {
        return Err(invalid(format!(
            "Chunks before the last must be a multiple of {} bytes.",
            settings.upload_granularity
        )));
    }
    if upload.announced.is_some_and(|all| upload.received + length > all) {
        return Err(invalid("More bytes than the announced length."));
    }
    upload.received += length;
    upload.hash.update(visit.body);
    Ok(())
}

fn finish(settings: &Settings, state: &mut State, visit: &Visit<'_>, upload: Upload) -> Value {
    let id = upload.description.id.clone();
    let id = id.unwrap_or_else(|| state.id());
    let video = upload.description.mime_type.starts_with("video/");
    let processing = jiff::SignedDuration::try_from(settings.video_processing);
    let active = match processing {
        Ok(processing) if video => visit.wall.saturating_add(processing).unwrap_or(visit.wall),
        _ => visit.wall,
    };
    let file = File {
        id,
        project: upload.project,
        version: upload.version,
        description: upload.description,
        size: upload.received,
        hash: upload.hash,
        created: visit.wall,
        active,
    };
    let described = file.describe(visit.wall);
    state.files.put(file);
    described
}

pub(super) fn list(state: &State, visit: &Visit<'_>, project: usize) -> Admission<Reply> {
    let (files, next) = page(state.files.of(project, visit.wall), &visit.query, (10, 100))?;
    let files = files.iter().map(|file| file.describe(visit.wall));
    Ok(Reply::json(&listed("files", files.collect(), next)))
}

pub(super) fn get(state: &State, visit: &Visit<'_>, project: usize, id: &str) -> Admission<Reply> {
    let file = state.files.get(project, id, visit.wall)?;
    Ok(Reply::json(&file.describe(visit.wall)))
}

pub(super) fn delete(state: &mut State, visit: &Visit<'_>, project: usize, id: &str) -> Admission<Reply> {
    state.files.delete(project, id, visit.wall)?;
    Ok(Reply::json(&json!({})))
}
