//! Other names of models, as lists of models tell them.

use std::{collections::BTreeMap, sync::Arc};

use tower_keypool::Models;

/// Other names of models, each with the models that it stands for, best first. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Aliases(Arc<BTreeMap<String, Vec<Arc<str>>>>);

impl Aliases {
    /// These names, for what they stand for in `models`.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a String>, models: &Models) -> Self {
        Self(Arc::new(names.into_iter().map(|name| (name.clone(), models.chain(name))).collect()))
    }

    pub(in crate::gateway) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::gateway) fn all(&self) -> impl Iterator<Item = (&String, &Vec<Arc<str>>)> {
        self.0.iter()
    }
}
