//! The lists of fallback models.

use std::{collections::HashMap, sync::Arc};

use crate::provider::Provider;

/// The lists of a [`ModelFallbackLayer`](crate::ModelFallbackLayer).
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    chain: Arc<[Arc<str>]>,
    /// Whether a model that is not in the chain falls back to the whole chain.
    pub(super) for_any_model: bool,
    aliases: HashMap<Box<str>, Arc<[Arc<str>]>>,
}

/// The models that one request may use.
#[derive(Debug)]
pub(super) struct Models {
    list: Arc<[Arc<str>]>,
    /// The index of the next model.
    next: usize,
    /// Whether the request names an alias, so that it starts with the first model of the list.
    pub(super) alias: bool,
}

impl Lists {
    pub(super) fn new(chain: Arc<[Arc<str>]>) -> Self {
        Self { chain, ..Self::default() }
    }

    pub(super) fn insert(&mut self, alias: &str, models: Arc<[Arc<str>]>) {
        self.aliases.insert(alias.into(), models);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chain.is_empty() && self.aliases.is_empty()
    }

    /// Returns the models for a request that names `asked`, or `None` if it may use no other model.
    pub(super) fn models(&self, asked: &str, provider: &dyn Provider) -> Option<Models> {
        let asked = provider.quota_model(asked);
        let models = if let Some(models) = self.aliases.get(asked) {
            Models { list: Arc::clone(models), next: 0, alias: true }
        } else {
            let next = match self.chain.iter().position(|model| provider.quota_model(model) == asked) {
                Some(place) => place + 1,
                None if self.for_any_model => 0,
                None => return None,
            };
            Models { list: Arc::clone(&self.chain), next, alias: false }
        };
        (models.next < models.list.len()).then_some(models)
    }
}

impl Models {
    /// Returns the next model that differs from the current one.
    pub(super) fn next(&mut self, current: &str) -> Option<Arc<str>> {
        let rest = self.list.get(self.next..)?;
        let place = rest.iter().position(|model| **model != *current)?;
        self.next += place + 1;
        Some(Arc::clone(&rest[place]))
    }
}
