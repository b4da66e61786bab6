//! Uploads, resumable or in one request, and the files that come of them: for their project, and for 48 hours. Bytes
//! are counted and hashed, not kept.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::call::Call;
use super::exchange::Exchange;
use super::json::read_json;
use super::multipart::WholeFile;
use super::paging::{listed, page};
use crate::answer::Reply;
use crate::builder::Settings;
use crate::proto;
use crate::refusal::ApiError;

const LIFETIME: SignedDuration = SignedDuration::from_hours(48);
/// Chunks of an upload, except the last, are a multiple of this many bytes.
const GRANULARITY: u64 = 8 * 1024 * 1024;
/// How long an uploaded video is `PROCESSING`.
const VIDEO_PROCESSING: SignedDuration = SignedDuration::from_secs(2);
const STATUS: &str = "x-goog-upload-status";

/// What the uploader says of a file.
#[derive(Clone, Debug)]
struct Metadata {
    id: Option<String>,
    display_name: Option<String>,
    mime_type: String,
}

/// A file that was uploaded to its end.
#[derive(Clone, Debug)]
pub(crate) struct File {
    id: String,
    upload: Upload,
    created: Timestamp,
    /// When it leaves `PROCESSING`.
    active: Timestamp,
}

impl File {
    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        now >= self.active
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        now.duration_since(self.created) >= LIFETIME
    }

    /// As the API shows it.
    fn describe(&self, now: Timestamp) -> Value {
        let Self { id, upload, .. } = self;
        // Its hexadecimal digits, in base64.
        let hash: String = upload.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut value = json!({
            "name": format!("files/{id}"),
            "mimeType": upload.metadata.mime_type,
            "sizeBytes": upload.received.to_string(),
            "createTime": self.created.to_string(),
            "updateTime": self.created.to_string(),
            "expirationTime": self.created.saturating_add(LIFETIME).unwrap_or(self.created).to_string(),
            "sha256Hash": STANDARD.encode(hash),
            "uri": format!("https://generativelanguage.googleapis.com/{}/files/{id}", upload.version),
            "state": if self.is_active(now) { "ACTIVE" } else { "PROCESSING" },
            "source": "UPLOADED",
        });
        if let Some(name) = &upload.metadata.display_name {
            value["displayName"] = name.clone().into();
        }
        value
    }
}

/// All files of all projects, by id.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<String, File>);

impl Files {
    /// A file of this project that has not expired. Of others the API says the same as of those that do not exist.
    pub(super) fn get(&self, project: usize, id: &str, now: Timestamp) -> Result<&File, ApiError> {
        let found = self.0.get(id).filter(|file| file.upload.project == project && !file.is_expired(now));
        found.ok_or_else(|| {
            let why = format!("You do not have permission to access the File {id} or it may not exist.");
            ApiError::denied("file_denied", why)
        })
    }

    /// 409 for a name that any project's file has.
    fn check_free(&self, id: &str, now: Timestamp) -> Result<(), ApiError> {
        match self.0.get(id) {
            Some(file) if !file.is_expired(now) => {
                let why = format!("Requested entity already exists: files/{id}");
                Err(ApiError::new(409, "already_exists", "ALREADY_EXISTS", why))
            }
            _ => Ok(()),
        }
    }

    /// The files of one project, newest first.
    fn of(&self, project: usize, now: Timestamp) -> Vec<&File> {
        let own = self.0.values().filter(|file| file.upload.project == project && !file.is_expired(now));
        let mut own: Vec<_> = own.collect();
        own.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        own
    }
}

/// An upload in progress, or the one that a file came of.
#[derive(Clone, Debug)]
struct Upload {
    project: usize,
    version: String,
    metadata: Metadata,
    /// The length that the start announced.
    announced: Option<u64>,
    received: u64,
    hash: Sha256,
}

/// All uploads in progress by their id: whoever knows it may go on.
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

/// The answer has no body; a header has the URL for the chunks.
fn start_upload(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let (call, settings) = (exchange.call, &exchange.simulator.settings);
    let request = proto::read("CreateFileRequest", &read_json(call, settings.max_body)?)?;
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
        .header("x-goog-upload-url", url.clone())
        .header("x-goog-upload-control-url", url)
        .header(STATUS, "active")
        .header("x-goog-upload-chunk-granularity", GRANULARITY.to_string()))
}

fn upload_whole(exchange: &mut Exchange<'_>, file: WholeFile<'_>) -> Result<Reply, ApiError> {
    if exchange.call.body.len() > exchange.simulator.settings.max_body {
        return Err(invalid("The file is too large."));
    }
    let request = proto::read("CreateFileRequest", &file.metadata)?;
    let upload = exchange.new_upload(&request["file"], file.mime_type)?;
    let (received, hash) = (file.bytes.len() as u64, Sha256::new_with_prefix(file.bytes));
    Ok(exchange.finish_upload(Upload { received, hash, ..upload }))
}

/// `upload`, `upload, finalize`, `finalize`, `query` and `cancel`.
fn continue_upload(exchange: &mut Exchange<'_>, id: &str) -> Result<Reply, ApiError> {
    let (call, state) = (exchange.call, &mut *exchange.state);
    let Some(upload) = state.uploads.0.get_mut(id) else {
        return Err(ApiError::new(404, "unknown_upload", "NOT_FOUND", "Requested entity was not found."));
    };
    // Not on record: the stricter reading.
    if call.project.is_some_and(|project| project != upload.project) {
        return Err(ApiError::denied("no_permission", "The caller does not have permission"));
    }
    let command = call.header("x-goog-upload-command").unwrap_or_default();
    let command: Vec<_> = command.split(',').map(str::trim).collect();
    let result = match command[..] {
        ["query"] => {
            let received = upload.received.to_string();
            return Ok(Reply::empty().header(STATUS, "active").header("x-goog-upload-size-received", received));
        }
        ["cancel"] => {
            state.uploads.0.remove(id);
            return Ok(Reply::empty().header(STATUS, "cancelled"));
        }
        ["upload"] => upload.add_chunk(call, &exchange.simulator.settings, false),
        ["upload", "finalize"] => upload.add_chunk(call, &exchange.simulator.settings, true),
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
        // The upload goes on.
        return Ok(Reply::error(&error, false).header(STATUS, "active"));
    }
    if !is_last {
        return Ok(Reply::empty().header(STATUS, "active"));
    }
    // Another upload of this name may have ended first.
    if let Some(name) = &upload.metadata.id {
        state.files.check_free(name, call.wall)?;
    }
    let upload = state.uploads.0.remove(id).expect("found above");
    Ok(exchange.finish_upload(upload))
}

impl Upload {
    fn add_chunk(&mut self, call: &Call, settings: &Settings, is_last: bool) -> Result<(), ApiError> {
        let offset = call.header("x-goog-upload-offset").and_then(|offset| offset.parse().ok());
        if offset != Some(self.received) {
            return Err(invalid(format!("Invalid X-Goog-Upload-Offset: {} bytes were received.", self.received)));
        }
        if call.body.len() > settings.max_body {
            return Err(invalid("The chunk is too large."));
        }
        // On record for storage uploads; here the granularity is only announced.
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
    /// An upload without bytes. `mime_type`: of the part that holds them.
    fn new_upload(&self, file: &Value, mime_type: Option<String>) -> Result<Upload, ApiError> {
        let id = match file["name"].as_str().unwrap_or_default() {
            "" => None,
            name => {
                let id = name.strip_prefix("files/").unwrap_or(name);
                let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                if id.is_empty() || id.len() > 40 || !id.bytes().all(is_good) {
                    let why = "The file name must be files/ and at most 40 lowercase letters, digits and dashes.";
                    return Err(invalid(why));
                }
                self.state.files.check_free(id, self.call.wall)?;
                Some(id.to_owned())
            }
        };
        let announced = self.call.header("x-goog-upload-header-content-type").map(str::to_owned);
        let mime_type = file["mime_type"].as_str().map(str::to_owned).or(mime_type).or(announced);
        let metadata = Metadata {
            id,
            display_name: file["display_name"].as_str().map(str::to_owned),
            mime_type: mime_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
        };
        let (project, version) = (self.project, self.call.version.clone());
        Ok(Upload { project, version, metadata, announced: None, received: 0, hash: Sha256::new() })
    }

    fn finish_upload(&mut self, upload: Upload) -> Reply {
        let wall = self.call.wall;
        let is_video = upload.metadata.mime_type.starts_with("video/");
        let active = if is_video { wall.saturating_add(VIDEO_PROCESSING).unwrap_or(wall) } else { wall };
        let id = upload.metadata.id.clone().unwrap_or_else(|| self.state.new_id());
        let file = File { id, upload, created: wall, active };
        let described = file.describe(wall);
        self.state.files.0.insert(file.id.clone(), file);
        Reply::json(&json!({ "file": described })).header(STATUS, "final")
    }
}

pub(super) fn list(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let wall = exchange.call.wall;
    let (files, next) = page(exchange.state.files.of(exchange.project, wall), &exchange.call.query, (10, 100))?;
    Ok(Reply::json(&listed("files", files.iter().map(|file| file.describe(wall)).collect(), next)))
}

pub(super) fn get(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let call = exchange.call;
    let file = exchange.state.files.get(exchange.project, &call.id, call.wall)?;
    Ok(Reply::json(&file.describe(call.wall)))
}

pub(super) fn delete(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let call = exchange.call;
    exchange.state.files.get(exchange.project, &call.id, call.wall)?;
    exchange.state.files.0.remove(&call.id);
    Ok(Reply::json(&json!({})))
}

fn invalid(what: impl Into<String>) -> ApiError {
    ApiError::invalid_argument("malformed_upload", what)
}
