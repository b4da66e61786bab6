//! The models on offer.

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
    /// A model that generates text, with a context of 1,048,576 tokens.
    pub fn generative(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { quota_name: name.clone(), name, input_limit: 1_048_576, output_limit: 65_536, dimensions: None }
    }

    /// A model that embeds, into vectors of this many dimensions.
    pub fn embedding(name: impl Into<String>, dimensions: usize) -> Self {
        Self { input_limit: 2_048, output_limit: 1, dimensions: Some(dimensions), ..Self::generative(name) }
    }

    /// The model whose quota it uses, where that has another name.
    #[must_use]
    pub fn quota_model(mut self, name: impl Into<String>) -> Self {
        self.quota_name = name.into();
        self
    }

    /// The longest prompt, in tokens; longer ones cost their quota and are
    /// answered with 400.
    #[must_use]
    pub fn input_limit(mut self, tokens: u64) -> Self {
        self.input_limit = tokens;
        self
    }

    pub(crate) fn methods(&self) -> &'static [&'static str] {
        if self.dimensions.is_some() {
            &["embedContent", "countTokens", "batchEmbedContents"]
        } else if self.name.starts_with("imagen") {
            &["predict"]
        } else {
            &["generateContent", "streamGenerateContent", "countTokens", "createCachedContent"]
        }
    }

    pub(crate) fn supports(&self, method: &str) -> bool {
        self.methods().contains(&method)
    }

    /// As `models.list` and `models.get` show it.
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

/// The models a simulator begins with.
pub(crate) fn catalogue() -> Vec<Model> {
    let generative = [
        "gemini-pro",
        "gemini-2.0-flash",
        "gemini-2.5-flash",
        "gemini-2.5-flash-lite",
        "gemini-2.5-pro",
        "gemini-3.1-pro",
        "gemini-3.8-flash",
    ];
    generative
        .into_iter()
        .map(Model::generative)
        .chain([
            Model::generative("gemini-3.1-pro-preview-customtools").quota_model("gemini-3.1-pro"),
            Model::embedding("gemini-embedding-001", 3_072),
            Model::embedding("text-embedding-004", 768),
            Model::generative("gemini-2.5-flash-image"),
            Model::generative("gemini-2.5-flash-preview-tts"),
            Model::generative("gemini-3.8-flash-tts"),
            Model::generative("imagen-4.0-generate-001"),
        ])
        .collect()
}
