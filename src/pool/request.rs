//! What a request needs of a key.

use std::{sync::Arc, time::Duration};

use crate::{key::KeyId, limit::Cost};

/// What a request needs: a model, its cost, how long it may wait, which key or project must serve.
///
/// A `&str` is one request of that model. As an extension of an HTTP request it takes the place of what the layers find out.
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::KeyRequest;
///
/// let request = KeyRequest::model("gemini-2.5-flash").input_tokens(12_000).wait(Duration::from_secs(5));
/// assert_eq!(request.model_name(), Some("gemini-2.5-flash"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyRequest {
    pub(crate) model: Option<Arc<str>>,
    pub(crate) cost: Cost,
    pub(crate) uncounted: bool,
    pub(crate) once: bool,
    pub(crate) wait: Option<Duration>,
    pub(crate) affinity: Affinity,
    pub(crate) excluded: Vec<KeyId>,
}

/// Which key or project must, or should, serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Affinity {
    /// Any.
    #[default]
    Any,
    /// Only keys of this project.
    RequireProject(Arc<str>),
    /// A key of this project where one is ready, else any.
    PreferProject(Arc<str>),
    /// Only this key.
    RequireKey(KeyId),
    /// This key where it is ready, else any.
    PreferKey(KeyId),
}

impl KeyRequest {
    /// One request of this model.
    pub fn model(model: impl Into<Arc<str>>) -> Self {
        Self { model: Some(model.into()), ..Self::default() }
    }

    /// One request that names no model.
    pub fn any_model() -> Self {
        Self::default()
    }

    /// How many requests it counts as, 1 unless set; 0 counts as 1. A batch embedding counts one for each item.
    #[must_use]
    pub fn requests(mut self, requests: u32) -> Self {
        self.cost.requests = requests.max(1);
        self
    }

    /// Tokens of the prompt, 0 unless set; an estimate is corrected by the usage that the answer tells.
    #[must_use]
    pub fn input_tokens(mut self, tokens: u64) -> Self {
        self.cost.input_tokens = tokens;
        self
    }

    /// Tokens of the answer to reserve, 0 unless set.
    #[must_use]
    pub fn output_tokens(mut self, tokens: u64) -> Self {
        self.cost.output_tokens = tokens;
        self
    }

    /// Images to reserve, 0 unless set.
    #[must_use]
    pub fn images(mut self, images: u32) -> Self {
        self.cost.images = images;
        self
    }

    /// How long it may wait for a key; zero fails at once. The pool's default unless set.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Which key or project must, or should, serve.
    #[must_use]
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = affinity;
        self
    }

    /// Keys that must not serve it.
    #[must_use]
    pub fn exclude(mut self, keys: impl IntoIterator<Item = KeyId>) -> Self {
        self.excluded.extend(keys);
        self
    }

    /// It counts against no model's limits (a list of models, the state of a file).
    #[must_use]
    pub fn uncounted(mut self) -> Self {
        self.uncounted = true;
        self
    }

    /// It makes something that stays: it is not sent again where nobody knows whether it was made.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// The model that it asks for.
    pub fn model_name(&self) -> Option<&str> {
        self.model.as_deref()
    }
}

impl From<&str> for KeyRequest {
    fn from(model: &str) -> Self {
        Self::model(model)
    }
}

impl From<String> for KeyRequest {
    fn from(model: String) -> Self {
        Self::model(model)
    }
}
