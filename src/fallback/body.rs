//! Request bodies that depend on the model.

use std::sync::Arc;

use bytes::Bytes;

/// An extension for requests whose body depends on the model: a function that returns the body for a fallback model, or
/// `None` if that model cannot serve the request and must be skipped.
///
/// Without this extension the fallback replaces only the name of the model.
#[derive(Clone)]
pub struct BodyForModel(Arc<BodyFn>);

type BodyFn = dyn Fn(&str) -> Option<Bytes> + Send + Sync;

impl BodyForModel {
    /// Creates the extension.
    pub fn new(body: impl Fn(&str) -> Option<Bytes> + Send + Sync + 'static) -> Self {
        Self(Arc::new(body))
    }

    pub(super) fn get(&self, model: &str) -> Option<Bytes> {
        (self.0)(model)
    }
}

debug_with_fields!([] BodyForModel, "BodyForModel");
