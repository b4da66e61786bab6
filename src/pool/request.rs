//! Requests for a key.

use std::{sync::Arc, time::Duration};

use crate::{key::KeyId, limit::Cost};

/// The requirements of a request: its model, its cost, how long it may wait, which key or project must serve it.
///
/// A `&str` converts to one request for that model. As an extension of an HTTP request it takes precedence over what
/// the layers derive. They add only what is missing: the model, the number of requests and the tokens of the prompt. They
/// also mark a request that is not idempotent.
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::KeyRequest;
///
/// let request = KeyRequest::model("gemini-2.5-flash").input_tokens(12_000).wait(Duration::from_secs(5));
/// assert_eq!(request.model_name(), Some("gemini-2.5-flash"));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct KeyRequest {
    pub(crate) model: Option<Arc<str>>,
    pub(crate) cost: Cost,
    /// The parts of the cost that were set, and so are not derived.
    pub(crate) sets_requests: bool,
    pub(crate) sets_input_tokens: bool,
    pub(crate) uncounted: bool,
    pub(crate) not_idempotent: bool,
    pub(crate) wait: Option<Duration>,
    pub(crate) affinity: Affinity,
    pub(crate) excluded: Vec<KeyId>,
}

/// The key or project that must, or should, serve a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Affinity {
    /// Any key.
    #[default]
    Any,
    /// Only keys of this project.
    RequireProject(Arc<str>),
    /// A key of this project if one is ready, else any key.
    PreferProject(Arc<str>),
    /// Only this key.
    RequireKey(KeyId),
    /// This key if it is ready, else any key.
    PreferKey(KeyId),
}

impl KeyRequest {
    /// Returns one request for this model.
    pub fn model(model: impl Into<Arc<str>>) -> Self {
        Self { model: Some(model.into()), ..Self::default() }
    }

    /// Sets how many requests it counts as. The default is 1; 0 counts as 1. A batch embedding counts as one per item.
    pub fn requests(mut self, requests: u32) -> Self {
        self.cost.amounts.requests = requests.max(1).into();
        self.sets_requests = true;
        self
    }

    /// Sets the tokens of the prompt. The default is 0. The usage in the response corrects the number.
    pub fn input_tokens(mut self, tokens: u64) -> Self {
        self.cost.amounts.input_tokens = tokens;
        self.sets_input_tokens = true;
        self
    }

    /// Sets the tokens to reserve for the response. The default is 0.
    pub fn output_tokens(mut self, tokens: u64) -> Self {
        self.cost.amounts.output_tokens = tokens;
        self
    }

    /// Sets how long it may wait for a key; with zero it fails at once. The default is the pool's wait. To be sent
    /// again after a fault of the provider, a request may wait for 2 s even with less.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Sets which key or project must, or should, serve it.
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = affinity;
        self
    }

    /// Excludes these keys.
    pub fn exclude(mut self, keys: impl IntoIterator<Item = KeyId>) -> Self {
        self.excluded.extend(keys);
        self
    }

    /// Counts it against no limits, such as a request for the list of models or the state of a file. A rate limit of it
    /// cools nothing down.
    pub fn uncounted(mut self) -> Self {
        self.uncounted = true;
        self
    }

    /// Marks it as not idempotent: it is not retried if the provider may have carried it out.
    pub fn not_idempotent(mut self) -> Self {
        self.not_idempotent = true;
        self
    }

    /// Returns the tokens of the prompt; `None` if the request counts against no limits.
    pub fn prompt_tokens(&self) -> Option<u64> {
        (!self.uncounted).then_some(self.cost.amounts.input_tokens)
    }

    /// Returns the requested model.
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

impl From<&String> for KeyRequest {
    fn from(model: &String) -> Self {
        Self::model(&**model)
    }
}

impl From<Arc<str>> for KeyRequest {
    fn from(model: Arc<str>) -> Self {
        Self::model(model)
    }
}
