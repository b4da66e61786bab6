//! What else projects keep: tuned models, batches, operations, interactions, tokens for sockets.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::refusal::ApiError;

/// Which kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collection {
    Tuned,
    Batch,
    Operation,
    Interaction,
}

impl Collection {
    /// As paths call them.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tuned => "tunedModels",
            Self::Batch => "batches",
            Self::Operation => "operations",
            Self::Interaction => "interactions",
        }
    }

    /// What is said of one that is another project's, or nobody's. The
    /// sentences for tuned models and operations are not on record: the
    /// vaguest that is.
    pub(crate) fn missing(self) -> ApiError {
        match self {
            Self::Tuned => ApiError::denied("thing_denied", "The caller does not have permission"),
            _ => ApiError::new(404, "thing_missing", "NOT_FOUND", "Requested entity was not found."),
        }
    }
}

/// A thing of a project.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) project: usize,
    /// As the API shows it.
    pub(crate) shown: Value,
}

/// All things by their whole names.
#[derive(Debug, Default)]
pub(crate) struct Things(BTreeMap<String, Thing>);

impl Things {
    pub(crate) fn put(&mut self, name: String, project: usize, shown: Value) {
        self.0.insert(name, Thing { project, shown });
    }

    pub(crate) fn get(&self, project: usize, name: &str, family: Collection) -> Result<&Thing, ApiError> {
        self.0.get(name).filter(|thing| thing.project == project).ok_or_else(|| family.missing())
    }

    pub(crate) fn delete(&mut self, project: usize, name: &str, family: Collection) -> Result<(), ApiError> {
        self.get(project, name, family)?;
        self.0.remove(name);
        Ok(())
    }

    /// Whose this is.
    pub(crate) fn owner(&self, name: &str) -> Option<usize> {
        Some(self.0.get(name)?.project)
    }

    /// A project's things of a family.
    pub(crate) fn of(&self, project: usize, family: Collection) -> Vec<Value> {
        let prefix = format!("{}/", family.word());
        let own = self.0.iter().filter(|(name, thing)| name.starts_with(&prefix) && thing.project == project);
        own.map(|(_, thing)| thing.shown.clone()).collect()
    }
}
