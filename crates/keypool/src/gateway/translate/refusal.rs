//! Why there is no answer, in the caller's dialect.

use std::borrow::Cow;

use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use keypool_dialect::{Caller, Fault, Ignored, Kind};
use tower_keypool::{Error, KeyPool, ServedBy};

use super::{Said, ignored::name};
use crate::{
    gateway::{
        answer::{
            exhausted::{OutOfKeys, WantedModel},
            failure::{failed_head, fault_of},
        },
        dialect::{Because, SHOULD_RETRY, veto_a_long_sleep},
    },
    status::Outcome,
};

/// Why there is no answer.
pub(super) struct Failed {
    pub(super) outcome: Outcome,
    pub(super) fault: Fault,
    pub(super) retry_after: Option<HeaderValue>,
    pub(super) served_by: Option<ServedBy>,
    /// For which no key was free.
    pub(super) wanted: Option<WantedModel>,
    /// Any key would take so many requests at once, where it was too many for all of them.
    pub(super) most: Option<usize>,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { outcome: Outcome::Refused, fault, retry_after: None, served_by: None, wanted: None, most: None }
    }
}

/// What a caller wrote may stand in it, and be a key.
pub(super) fn mask(fault: &mut Fault, pool: Option<&KeyPool>) {
    for said in [Some(&mut fault.message), fault.param.as_mut()].into_iter().flatten() {
        if let Some(Cow::Owned(told)) = pool.map(|pool| pool.masked(said)) {
            *said = told;
        }
    }
}

/// A body that was not taken, of a request or an answer.
pub(super) fn unread(fault: Fault) -> Failed {
    let full = fault.kind == Kind::Overloaded;
    Failed { retry_after: full.then(|| HeaderValue::from_static("1")), ..fault.into() }
}

pub(super) fn upstream_fault(fault: Fault, served_by: Option<ServedBy>) -> Failed {
    Failed { served_by, outcome: Outcome::Failed, ..fault.into() }
}

/// What the stack's own error says.
pub(super) fn without_answer(error: &Error) -> Failed {
    let outcome = if error.is_exhausted() { Outcome::Exhausted } else { Outcome::Failed };
    let head = failed_head(error);
    Failed {
        outcome,
        fault: fault_of(error),
        retry_after: head.get(header::RETRY_AFTER).cloned(),
        served_by: error.served_by().cloned(),
        wanted: WantedModel::of(error),
        most: error.most_requests().and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0),
    }
}

/// The refusal in the caller's dialect.
pub(super) fn refused<B>(caller: &dyn Caller, failed: Failed) -> Response<Said<B>> {
    let Failed { outcome, fault, retry_after, served_by, wanted, .. } = failed;
    let refused = caller.refused(&fault);
    let mut response = Response::new(Said::from(Full::from(refused.body)));
    if matches!(outcome, Outcome::Exhausted | Outcome::Refused) {
        response.extensions_mut().insert(Because(fault.message.clone().into()));
    }
    if let Some(wanted) = wanted {
        response.extensions_mut().insert(wanted);
    }
    *response.status_mut() = refused.status;
    if outcome == Outcome::Exhausted && refused.status == StatusCode::SERVICE_UNAVAILABLE {
        response.extensions_mut().insert(OutOfKeys::saying(&fault.message));
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if fault.kind == Kind::NoKeys && retry_after.is_none() {
        // None comes back by itself, and official clients ask again at once.
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    if let Some(after) = retry_after {
        headers.insert(header::RETRY_AFTER, after);
        veto_a_long_sleep(headers);
    }
    name(&mut response, served_by, &Ignored::default());
    response
}

pub(super) fn bad_model() -> Fault {
    Fault::invalid("model: this is no model's name").at("model")
}
