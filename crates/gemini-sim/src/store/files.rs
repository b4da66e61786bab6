//! Uploaded files: 48 hours, and for their project only.

use std::collections::BTreeMap;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::refusal::ApiError;

const LIFETIME: SignedDuration = SignedDuration::from_hours(48);

/// What the uploader says of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Description {
    pub(crate) id: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) mime_type: String,
}

/// A file that was uploaded to its end.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) id: String,
    pub(crate) project: usize,
    pub(crate) version: String,
    pub(crate) description: Description,
    pub(crate) size: u64,
    pub(crate) hash: Sha256,
    pub(crate) created: Timestamp,
    /// When it leaves `PROCESSING`.
    pub(crate) active: Timestamp,
}

impl File {
    /// As the API shows it.
    pub(crate) fn describe(&self, now: Timestamp) -> Value {
        let Self { id, version, .. } = self;
        let expires = self.created.saturating_add(LIFETIME).unwrap_or(self.created);
        let mut value = json!({
            "name": format!("files/{id}"),
            "mimeType": self.description.mime_type,
            "sizeBytes": self.size.to_string(),
            "createTime": self.created.to_string(),
            "updateTime": self.created.to_string(),
            "expirationTime": expires.to_string(),
            "sha256Hash": shown(&self.hash),
            "uri": format!("https://generativelanguage.googleapis.com/{version}/files/{id}"),
            "state": if now < self.active { "PROCESSING" } else { "ACTIVE" },
            "source": "UPLOADED",
        });
        if let Some(name) = &self.description.display_name {
            value["displayName"] = name.clone().into();
        }
        value
    }
}

/// A hash as the API shows it: its hexadecimal digits, in base64.
fn shown(hash: &Sha256) -> String {
    let halves = hash.clone().finalize().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits: String = halves.filter_map(|half| char::from_digit(half.into(), 16)).collect();
    base64::engine::general_purpose::STANDARD.encode(digits)
}

/// All files by id, for all projects.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<String, File>);

impl Files {
    /// A file of this project that has not expired. Of others the API says
    /// the same as of those that do not exist.
    pub(crate) fn get(&self, project: usize, id: &str, now: Timestamp) -> Result<&File, ApiError> {
        let found = self.0.get(id).filter(|file| file.project == project);
        let fresh = found.filter(|file| now.duration_since(file.created) < LIFETIME);
        fresh.ok_or_else(|| {
            ApiError::denied(
                "file_denied",
                format!("You do not have permission to access the File {id} or it may not exist."),
            )
        })
    }

    pub(crate) fn put(&mut self, file: File) {
        self.0.insert(file.id.clone(), file);
    }

    /// Refuses a name that a file has whose time is not up, whoever's it is.
    pub(crate) fn check_free(&self, id: &str, now: Timestamp) -> Result<(), ApiError> {
        let taken = self.0.get(id).is_some_and(|file| now.duration_since(file.created) < LIFETIME);
        let why = || format!("Requested entity already exists: files/{id}");
        if taken { Err(ApiError::new(409, "already_exists", "ALREADY_EXISTS", why())) } else { Ok(()) }
    }

    pub(crate) fn delete(&mut self, project: usize, id: &str, now: Timestamp) -> Result<(), ApiError> {
        self.get(project, id, now)?;
        self.0.remove(id);
        Ok(())
    }

    /// The files of one project, newest first.
    pub(crate) fn of(&self, project: usize, now: Timestamp) -> Vec<&File> {
        let fresh = |file: &&File| now.duration_since(file.created) < LIFETIME;
        let own = self.0.values().filter(|file| file.project == project);
        let mut own: Vec<_> = own.filter(fresh).collect();
        own.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        own
    }
}
