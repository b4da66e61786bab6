//! The models that the pool knows by name.

use std::{collections::HashMap, sync::Arc};

/// A model that the pool knows. Names that no answer confirmed share [`ModelIx::DEFAULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ModelIx(pub(crate) u32);

impl ModelIx {
    /// Every name that nothing is known of, and requests that name no model.
    pub(crate) const DEFAULT: Self = Self(0);
}

/// So many names are known at the most: callers choose them.
const MOST: usize = 4_096;

/// So many pairs of a model and a tier of the provider's table are known before their first answer.
pub(crate) const MOST_ASSUMED: usize = 128;

#[derive(Debug)]
pub(crate) struct Models {
    by_name: HashMap<Arc<str>, ModelIx>,
    entries: Vec<Model>,
}

#[derive(Debug)]
struct Model {
    name: Arc<str>,
    /// Configured, or served by a good answer: it has windows and an order of keys of its own.
    confirmed: bool,
}

impl Default for Models {
    fn default() -> Self {
        Self { by_name: HashMap::new(), entries: vec![Model { name: "*".into(), confirmed: true }] }
    }
}

impl Models {
    /// The model of a name; the default where nothing is known of it.
    pub(crate) fn find(&self, name: Option<&str>) -> ModelIx {
        name.and_then(|name| self.by_name.get(name)).copied().unwrap_or(ModelIx::DEFAULT)
    }

    /// Whether nothing is known of a name.
    pub(crate) fn is_new(&self, name: &str) -> bool {
        !self.by_name.contains_key(name)
    }

    /// The same, remembered from now on: an error concerns it alone. The default where too many names are known.
    pub(crate) fn remember(&mut self, name: &str) -> ModelIx {
        if name == "*" || self.entries.len() >= MOST && !self.by_name.contains_key(name) {
            return ModelIx::DEFAULT;
        }
        self.insert(name)
    }

    fn insert(&mut self, name: &str) -> ModelIx {
        if let Some(model) = self.by_name.get(name) {
            return *model;
        }
        let name: Arc<str> = name.into();
        let model = ModelIx(self.entries.len() as u32);
        self.entries.push(Model { name: Arc::clone(&name), confirmed: false });
        self.by_name.insert(name, model);
        model
    }

    /// The same, with windows and an order of keys of its own. Whether that is new.
    pub(crate) fn confirm(&mut self, name: &str) -> (ModelIx, bool) {
        let model = if name == "*" { ModelIx::DEFAULT } else { self.insert(name) };
        let entry = &mut self.entries[model.0 as usize];
        let new = !entry.confirmed;
        entry.confirmed = true;
        (model, new)
    }

    /// The model whose windows and order a model uses: its own, or the default's.
    pub(crate) fn own(&self, model: ModelIx) -> ModelIx {
        if self.entries[model.0 as usize].confirmed { model } else { ModelIx::DEFAULT }
    }

    pub(crate) fn name(&self, model: ModelIx) -> &Arc<str> {
        &self.entries[model.0 as usize].name
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = ModelIx> + use<> {
        (0..self.entries.len() as u32).map(ModelIx)
    }
}
