//! Uploads that have begun and not yet ended.

use std::collections::HashMap;

use sha2::Sha256;

use super::Description;

/// An upload in progress. Its bytes are counted and hashed, not kept.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) project: usize,
    pub(crate) version: String,
    pub(crate) description: Description,
    /// The length that the start announced.
    pub(crate) announced: Option<u64>,
    pub(crate) received: u64,
    pub(crate) hash: Sha256,
}

/// All of them by their id, which is a capability: whoever knows it may go on.
#[derive(Debug, Default)]
pub(crate) struct Uploads(HashMap<String, Upload>);

impl Uploads {
    pub(crate) fn begin(&mut self, id: String, upload: Upload) {
        self.0.insert(id, upload);
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Upload> {
        self.0.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Upload> {
        self.0.get_mut(id)
    }

    pub(crate) fn take(&mut self, id: &str) -> Option<Upload> {
        self.0.remove(id)
    }
}
