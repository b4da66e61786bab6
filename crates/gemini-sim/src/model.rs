//! The available models.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A model of the simulated catalogue.
///
/// ```
/// use gemini_sim::Model;
/// // Requests for the preview are counted against the base model's quota.
/// let model = Model::generative("gemini-3.1-pro-preview").quota_model("gemini-3.1-pro");
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) name: String,
    pub(crate) quota_name: String,
    pub(crate) input_limit: u64,
    pub(crate) output_limit: u64,
    pub(crate) dimensions: Option<usize>,
}

impl Model {
    /// Creates a model that generates text, with a context of 1,048,576 tokens.
    pub fn generative(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { quota_name: name.clone(), name, input_limit: 1_048_576, output_limit: 65_536, dimensions: None }
    }

    /// Creates an embedding model with vectors of this many dimensions.
    pub fn embedding(name: impl Into<String>, dimensions: usize) -> Self {
        Self { input_limit: 2_048, output_limit: 1, dimensions: Some(dimensions), ..Self::generative(name) }
    }

    /// Sets the model whose quota it uses, if that has another name.
    #[must_use]
    pub fn quota_model(mut self, name: impl Into<String>) -> Self {
        self.quota_name = name.into();
        self
    }

    /// Sets the maximum number of tokens of a prompt. Longer prompts are charged and get a 400.
    #[must_use]
    pub fn input_limit(mut self, tokens: u64) -> Self {
        self.input_limit = tokens;
        self
    }

    pub(crate) fn methods(&self) -> &'static [&'static str] {
        if self.dimensions.is_some() {
            &["embedContent", "countTokens", "batchEmbedContents"]
        } else {
            &["generateContent", "streamGenerateContent", "countTokens", "createCachedContent"]
        }
    }

    /// Returns the model as `models.list` and `models.get` show it.
    pub(crate) fn describe(&self) -> Value {
        json!({
            "name": format!("models/{}", self.name),
            "version": "001",
            "displayName": self.name,
            "description": "A simulated model.",
            "inputTokenLimit": self.input_limit,
            "outputTokenLimit": self.output_limit,
            "supportedGenerationMethods": self.methods(),
        })
    }
}

/// The available models, by name.
#[derive(Debug)]
pub(crate) struct Catalogue {
    models: BTreeMap<String, Model>,
    any_model: bool,
}

impl Catalogue {
    pub(crate) fn new(models: Vec<Model>, any_model: bool) -> Self {
        Self { models: models.into_iter().map(|model| (model.name.clone(), model)).collect(), any_model }
    }

    /// Returns the model of this name if it supports a method. If all names are allowed, an unknown model is created.
    pub(crate) fn supporting(&self, name: &str, method: &str) -> Option<Model> {
        let model = self.models.get(name).cloned().or_else(|| {
            let wanted = self.any_model && !name.is_empty();
            let embeds = name.contains("embed");
            wanted.then(|| if embeds { Model::embedding(name, 768) } else { Model::generative(name) })
        })?;
        model.methods().contains(&method).then_some(model)
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.any_model || self.models.contains_key(name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Model> {
        self.models.values()
    }
}

/// Returns the models that a simulator has by default.
pub(crate) fn default_models() -> Vec<Model> {
    const GENERATIVE: &str = "gemini-pro gemini-2.0-flash gemini-2.5-flash gemini-2.5-flash-lite gemini-2.5-pro \
                              gemini-3.1-pro gemini-3.8-flash";
    let mut models: Vec<_> = GENERATIVE.split_whitespace().map(Model::generative).collect();
    models.push(Model::generative("gemini-3.1-pro-preview-customtools").quota_model("gemini-3.1-pro"));
    models.push(Model::embedding("gemini-embedding-001", 3_072));
    models.push(Model::embedding("text-embedding-004", 768));
    models
}
