//! The errors of the layers and the pool: what happened, to which key (by id, never the secret), and when to try again.

mod of_keys;

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::{
    error_source::chain,
    key::{Hidden, Secret},
    limit::Unit,
    pool::{Behind, Exhausted, ServedBy},
    provider::Provider,
    time::whole_seconds,
    verdict::{Verdict, VerdictKind},
};

pub use self::of_keys::KeyError;

/// Any error, as tower's middleware passes it on.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What went wrong. Ask it: [`is_exhausted`](Error::is_exhausted), [`is_upstream`](Error::is_upstream),
/// [`retry_after`](Error::retry_after), …
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    served_by: Option<ServedBy>,
    /// Who shapes an answer made from this error.
    provider: Option<Arc<dyn Provider>>,
}

pub(crate) enum Kind {
    /// No key may carry the request.
    Exhausted(Exhausted),
    /// The demand is larger than any limit.
    NeverFits { model: Option<Arc<str>>, wanted: u64, limit: crate::limit::Limit },
    /// So many requests at once are more than all keys together may carry.
    TooManyAtOnce { model: Option<Arc<str>>, wanted: u64, most: u64 },
    /// The request reached for the provider and no answer came.
    Upstream { verdict: Verdict, source: BoxError },
    /// The request may not be sent: a key would go to somebody else, or nowhere.
    Refused(std::borrow::Cow<'static, str>),
    /// The body names its model where nobody looked, and models have limits of their own.
    Behind(Behind),
    /// The pool was shut down.
    ShutDown,
    /// A layer below failed in its own way (`poll_ready`, a closed buffer, a body).
    Inner(BoxError),
}

impl Error {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(Box::new(Inner { kind, served_by: None, provider: None }))
    }

    pub(crate) fn with_served_by(mut self, served_by: ServedBy) -> Self {
        self.0.served_by = Some(served_by);
        self
    }

    pub(crate) fn with_provider(mut self, provider: &Arc<dyn Provider>) -> Self {
        self.0.provider = Some(Arc::clone(provider));
        self
    }

    /// Makes one of any error, without wrapping one of ours twice.
    pub(crate) fn from_box(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => *ours,
            Err(other) => Self::new(Kind::Inner(other)),
        }
    }

    /// Without this key, wherever a client below quotes it: its error gives way to its texts then.
    pub(crate) fn hiding(mut self, secret: &Secret) -> Self {
        if let Kind::Upstream { source, .. } | Kind::Inner(source) = &mut self.0.kind
            && let Some(hidden) = Hidden::of(&**source, secret)
        {
            *source = hidden.into();
        }
        self
    }

    /// Finds ours in a chain of sources, so that `Timeout` or `LoadShed` may stand between.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        chain(error).find_map(|error| error.downcast_ref())
    }

    /// No key may carry the request now.
    pub fn is_exhausted(&self) -> bool {
        matches!(self.0.kind, Kind::Exhausted(_))
    }

    /// The demand is larger than any limit: waiting will not help.
    pub fn is_never_fits(&self) -> bool {
        matches!(self.0.kind, Kind::NeverFits { .. } | Kind::TooManyAtOnce { .. })
    }

    /// How many requests at once the largest limit allows, where it was that which the [demand never
    /// fits](Self::is_never_fits): what can be sent in pieces may be.
    pub fn most_requests(&self) -> Option<u64> {
        match &self.0.kind {
            Kind::NeverFits { limit, .. } if limit.unit == Unit::Requests => Some(limit.amount),
            Kind::TooManyAtOnce { most, .. } => Some(*most),
            _ => None,
        }
    }

    /// The request reached for the provider and no answer came.
    pub fn is_upstream(&self) -> bool {
        matches!(self.0.kind, Kind::Upstream { .. })
    }

    /// The request was not sent, since its key would have gone to somebody else.
    pub fn is_refused(&self) -> bool {
        matches!(self.0.kind, Kind::Refused(_))
    }

    /// The request was not sent, since its body names the model behind what is [kept of it](crate::ReplayLayer::up_to), or
    /// behind what the [budget](crate::ReplayLayer::budget) had room for (then it may come again), and models have limits of
    /// their own here.
    pub fn is_model_behind(&self) -> bool {
        matches!(self.0.kind, Kind::Behind(_))
    }

    /// The pool was shut down.
    pub fn is_shut_down(&self) -> bool {
        matches!(self.0.kind, Kind::ShutDown)
    }

    /// Why no key may serve, counted by reason.
    pub fn exhausted(&self) -> Option<&Exhausted> {
        match &self.0.kind {
            Kind::Exhausted(exhausted) => Some(exhausted),
            _ => None,
        }
    }

    /// The same to change.
    pub(crate) fn exhausted_mut(&mut self) -> Option<&mut Exhausted> {
        match &mut self.0.kind {
            Kind::Exhausted(exhausted) => Some(exhausted),
            _ => None,
        }
    }

    /// What the failure means, where the request reached for the provider.
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.0.kind {
            Kind::Upstream { verdict, .. } => Some(verdict),
            _ => None,
        }
    }

    /// Who tried: the key of the last attempt, and the attempts before it.
    pub fn served_by(&self) -> Option<&ServedBy> {
        self.0.served_by.as_ref()
    }

    /// When to try again, from now, as the sentence says it; `None` where nobody knows or it will not help. Where others stand in
    /// front of a key that comes back before any other, the earliest that it may serve; where other processes may lend one
    /// before, sooner than the sentence is sure of, and where nothing else brings one, as [`Exhausted::lends_in`] says. Where keys
    /// are merely busy, nobody knows when a request that is under way ends: a second, so that who obeys does not spin.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.0.kind {
            Kind::Exhausted(exhausted) => exhausted.again_in(),
            Kind::Upstream { verdict, .. } => verdict.retry_after(),
            // Until other bodies have gone.
            Kind::Behind(Behind::Room) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// The HTTP status that says it: 503 for [`Exhausted`] (404 where every key is out of this model for good), 413 for a
    /// demand that never fits and for a body that names its model behind what is kept (503 where there is no room now), 502 or
    /// 504 for the provider, 400 for a request that may not be sent or whose body failed.
    pub fn status(&self) -> StatusCode {
        match &self.0.kind {
            Kind::Exhausted(out) if out.is_without_the_model() => StatusCode::NOT_FOUND,
            Kind::Exhausted(_) | Kind::ShutDown | Kind::Behind(Behind::Room) => StatusCode::SERVICE_UNAVAILABLE,
            Kind::NeverFits { .. } | Kind::TooManyAtOnce { .. } | Kind::Behind(Behind::Kept) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Kind::Upstream { verdict, .. } if verdict.kind() == VerdictKind::CallerFault => StatusCode::BAD_REQUEST,
            Kind::Upstream { verdict, .. } if verdict.code_of() == "timeout" => StatusCode::GATEWAY_TIMEOUT,
            Kind::Upstream { .. } => StatusCode::BAD_GATEWAY,
            Kind::Refused(_) => StatusCode::BAD_REQUEST,
            Kind::Inner(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// An answer that says it in the provider's shape, with `Retry-After` in whole seconds, rounded up: for hosts
    /// whose error is `Infallible`.
    pub fn to_response(&self) -> Response<Full<Bytes>> {
        let (status, message, after) = (self.status(), self.to_string(), self.retry_after());
        let body = match &self.0.provider {
            Some(provider) => provider.error_body(status, &message, after),
            None => serde_json::json!({ "error": { "code": status.as_u16(), "message": message } }).to_string(),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        if let Some(after) = after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        response
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            Kind::Exhausted(exhausted) => exhausted.fmt(f),
            Kind::NeverFits { model, limit, .. } if limit.amount == 0 => {
                write!(f, "no request may be sent for {}: ", model.as_deref().unwrap_or("any model"))?;
                write!(f, "the largest limit of {limit} is 0")
            }
            Kind::NeverFits { model, wanted, limit } => write!(
                f,
                "the request never fits: it needs {wanted} of {limit} for {}, and the largest limit is {}",
                model.as_deref().unwrap_or("any model"),
                limit.amount
            ),
            Kind::TooManyAtOnce { model, wanted, most } => write!(
                f,
                "so many never fit: {wanted} requests at once are wanted for {}, and all keys together carry {most} at a time",
                model.as_deref().unwrap_or("any model")
            ),
            Kind::Upstream { verdict, .. }
                if matches!(verdict.kind(), VerdictKind::CallerFault | VerdictKind::Misconfigured) =>
            {
                write!(f, "the request could not be sent: {}", verdict.advice_of())
            }
            Kind::Upstream { verdict, .. } => {
                match self.0.served_by.as_ref().and_then(ServedBy::key) {
                    Some(key) => write!(f, "no answer over key {key}: {verdict}")?,
                    None => write!(f, "no answer: {verdict}")?,
                }
                match self.0.served_by.as_ref().map_or(1, ServedBy::attempts) {
                    0 | 1 => Ok(()),
                    attempts => write!(f, ", after {attempts} attempts"),
                }
            }
            Kind::Refused(reason) => write!(f, "not sent: {reason}"),
            Kind::Behind(Behind::Kept) => f.write_str(
                "not sent: the body names its model behind what is kept of it, and models have limits: name the model first",
            ),
            Kind::Behind(Behind::Room) => f.write_str(
                "not sent: the body names its model behind what is kept of it, and other bodies leave no room now: come again, \
                 or name the model first",
            ),
            Kind::ShutDown => f.write_str("the key pool is shut down"),
            Kind::Inner(_) => f.write_str("the service below the key pool failed"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("message", &format_args!("{self}"));
        if let Some(source) = self.source() {
            debug.field("source", &source);
        }
        debug.finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.kind {
            Kind::Upstream { source, .. } | Kind::Inner(source) => Some(&**source),
            _ => None,
        }
    }
}
