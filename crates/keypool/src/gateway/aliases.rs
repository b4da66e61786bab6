//! Other names of models: as lists of models tell them, and as requests ask for them.

mod within;

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

    /// The first of those that this name stands for, however a client spells it; `None`: it is no other name.
    pub(in crate::gateway) fn first(&self, name: &str) -> Option<&Arc<str>> {
        if self.is_empty() {
            return None;
        }
        self.0.get(keypool_dialect::gemini::name(name))?.first()
    }

    pub(in crate::gateway) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::gateway) fn all(&self) -> impl Iterator<Item = (&String, &Vec<Arc<str>>)> {
        self.0.iter()
    }

    /// A body of JSON in which models stand in the places of their other names; `None`: it names none by such a one.
    pub(in crate::gateway) fn resolved_in(&self, body: &[u8]) -> Option<Vec<u8>> {
        if self.is_empty() { None } else { within::resolved(body, |name| self.first(name)) }
    }

    /// The same of a form.
    pub(in crate::gateway) fn resolved_in_form(&self, form: &[u8]) -> Option<Vec<u8>> {
        if self.is_empty() { None } else { within::resolved_in_form(form, |name| self.first(name)) }
    }
}
