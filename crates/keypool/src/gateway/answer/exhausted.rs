//! Answers that say that no key may serve.

use std::sync::Arc;

use http::{Response, StatusCode, header};
use http_body_util::Full;
use tower_keypool::{Error, ServedBy};

use super::body::Said;
use crate::gateway::dialect::Dialect;

/// Left on an answer that says that no key may serve, in words.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct OutOfKeys(Arc<str>);

/// Left on such an answer: the model for which there is none.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct WantedModel(Box<str>);

impl WantedModel {
    pub(in crate::gateway) fn of(error: &Error) -> Option<Self> {
        error.exhausted()?.model().map(|model| Self(model.into()))
    }
}

/// The model that served, or the one that no key was free for.
pub(in crate::gateway) fn model_of<B>(response: &Response<B>) -> Option<&str> {
    let used = response.extensions().get::<ServedBy>().and_then(ServedBy::used_model);
    used.or_else(|| response.extensions().get::<WantedModel>().map(|WantedModel(model)| &**model))
}

impl OutOfKeys {
    /// In these words.
    pub(in crate::gateway) fn saying(message: &str) -> Self {
        Self(message.into())
    }

    /// Where it is a matter of time.
    pub(in crate::gateway) fn of(error: &Error) -> Option<Self> {
        let out = error.is_exhausted() && error.status() == StatusCode::SERVICE_UNAVAILABLE;
        out.then(|| Self(error.to_string().into()))
    }
}

/// Such an answer as one of a limit that was reached, in the same dialect; `Retry-After` and who tried stay.
pub(in crate::gateway) fn as_limited<B>(mut response: Response<Said<B>>, dialect: Dialect) -> Response<Said<B>> {
    let Some(OutOfKeys(message)) = response.extensions_mut().remove::<OutOfKeys>() else { return response };
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let after = response.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    let body = dialect.body(StatusCode::TOO_MANY_REQUESTS, &message, after);
    response.map(|_| Said::from(Full::from(body)))
}
