//! Everything that does not change: projects, keys, models.

use std::collections::HashMap;

use crate::{Limits, Model, Project, Refusal, Tier};

/// A key with its place in the world.
#[derive(Debug)]
pub(crate) struct KnownKey {
    pub(crate) label: String,
    pub(crate) project: usize,
    pub(crate) refused: Option<Refusal>,
}

pub(crate) struct World {
    pub(crate) projects: Vec<Project>,
    pub(crate) keys: Vec<KnownKey>,
    by_secret: HashMap<String, usize>,
    models: HashMap<String, Model>,
    any_model: bool,
}

impl World {
    /// # Panics
    ///
    /// When one secret is given twice.
    pub(crate) fn new(projects: Vec<Project>, models: Vec<Model>, any_model: bool) -> Self {
        let mut keys = Vec::new();
        let mut by_secret = HashMap::new();
        for (index, project) in projects.iter().enumerate() {
            for key in &project.keys {
                let number = keys.len();
                let label = key.label.clone();
                let label = label.unwrap_or_else(|| format!("key-{number}"));
                let twice = by_secret.insert(key.secret.clone(), number);
                assert!(twice.is_none(), "the secret of {label} is defined twice");
                keys.push(KnownKey { label, project: index, refused: key.refused.clone() });
            }
        }
        Self { projects, keys, by_secret, models: models.into_iter().map(|m| (m.name.clone(), m)).collect(), any_model }
    }

    pub(crate) fn find_key(&self, secret: &str) -> Option<usize> {
        self.by_secret.get(secret).copied()
    }

    /// A key by its label or its secret.
    pub(crate) fn find_named(&self, name: &str) -> Option<usize> {
        let by_label = self.keys.iter().position(|key| key.label == name);
        by_label.or_else(|| self.find_key(name))
    }

    /// A model that supports a method, or what stands for every other name
    /// when any will do.
    pub(crate) fn model(&self, name: &str, method: &str) -> Option<Model> {
        let method = match method {
            "streamGenerateContent" => "generateContent",
            other => other,
        };
        match self.models.get(name) {
            Some(model) => model.supports(method).then(|| model.clone()),
            None if self.any_model && !name.is_empty() => {
                let model = if name.contains("embed") { Model::embedding(name, 768) } else { Model::generative(name) };
                model.supports(method).then_some(model)
            }
            None => None,
        }
    }

    /// Whether there is a model of this name, whatever it supports.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.any_model || self.models.contains_key(name)
    }

    pub(crate) fn model_named(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    /// All models by name.
    pub(crate) fn models(&self) -> Vec<&Model> {
        let mut models: Vec<_> = self.models.values().collect();
        models.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        models
    }

    pub(crate) fn limits(&self, project: usize, quota_model: &str) -> (Tier, Limits) {
        let project = &self.projects[project];
        (project.tier, project.limits_of(quota_model))
    }
}
