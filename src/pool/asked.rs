//! What a request's head demands, where nobody said so.

use std::sync::Arc;

use http::{header, request};

use super::Demand;
use crate::{
    error::Error,
    provider::{ModelIn, Provider},
    verdict::ServedBy,
};

/// Bytes of a request's body that make about one token.
const BYTES_PER_TOKEN: u64 = 4;

impl Demand {
    /// What this head demands, as far as it tells: the model where it stands in the head, whether it is counted at
    /// all, and a guess at its tokens from the length of the body.
    pub(crate) fn asked_by(head: &request::Parts, provider: &dyn Provider) -> Self {
        let asks = provider.asks(head);
        let model: Option<Arc<str>> = match asks.model {
            ModelIn::Head(model) => Some(model.into()),
            ModelIn::Body | ModelIn::Nowhere => None,
        };
        let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self {
            model,
            input_tokens: length.unwrap_or(0_u64) / BYTES_PER_TOKEN,
            estimated: true,
            free: asks.free,
            ..Self::default()
        }
    }
}

impl Demand {
    /// What was tried for this demand before; `None` for a first attempt.
    pub(crate) fn tried(&self) -> Option<ServedBy> {
        let earlier = self.earlier.clone()?;
        Some(ServedBy::nobody(self.requested.clone(), self.model.clone(), earlier))
    }
}

impl Error {
    /// Tells what was tried before no key could be had.
    pub(crate) fn tried(self, demand: &Demand) -> Self {
        match demand.tried() {
            Some(tried) => self.with_served_by(tried),
            None => self,
        }
    }
}
