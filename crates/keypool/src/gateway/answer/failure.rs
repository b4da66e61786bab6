//! Answers of the gateway's own where the stack had none.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use keypool_dialect::{Fault, Kind};
use tower_keypool::Error;

use super::{
    exhausted::{OutOfKeys, WantedModel},
    head::Names,
};
use crate::{
    gateway::dialect::{Because, Dialect, Refusal},
    outgoing::Broken,
    status::Outcome,
};

const SWITCHED: Refusal =
    Refusal::new(StatusCode::BAD_GATEWAY, "the provider switched protocols, and nobody had asked it to");

/// What the client gets where there is no answer, and what the request came to.
pub(in crate::gateway) type Instead = (Outcome, Response<Full<Bytes>>);

/// The stack's answer, or what the client gets in its place.
pub(in crate::gateway) fn finish<B>(
    answered: Result<Response<B>, Error>,
    broken: Option<&(Broken, Refusal)>,
    dialect: Dialect,
) -> Result<Response<B>, Box<Instead>> {
    if let Some((_, refusal)) = broken.filter(|(broken, _)| broken.is_broken()) {
        return Err(Box::new((Outcome::Refused, dialect.answer(*refusal))));
    }
    match answered {
        Err(error) => {
            let outcome = if error.is_exhausted() { Outcome::Exhausted } else { Outcome::Failed };
            Err(Box::new((outcome, failed(&error, dialect))))
        }
        Ok(response) if response.status().is_informational() => {
            Err(Box::new((Outcome::Failed, dialect.answer(SWITCHED))))
        }
        Ok(response) => Ok(response),
    }
}

/// The answer that says why there is none.
pub(in crate::gateway) fn failed(error: &Error, dialect: Dialect) -> Response<Full<Bytes>> {
    let mut response = error.to_response();
    *response.headers_mut() = failed_head(error);
    if let Some(caller) = dialect.caller() {
        // The stack speaks the provider's own; this client expects another shape.
        *response.body_mut() = Full::from(caller.refused(&fault_of(error)).body);
    } else if error.is_exhausted() && response.headers().contains_key(header::RETRY_AFTER) {
        // The body says until when as the header does.
        let after = seconds(response.headers());
        *response.body_mut() = Full::from(dialect.body(response.status(), &error.to_string(), Some(after)));
    }
    dialect.veto_a_long_sleep(response.headers_mut());
    response.extensions_mut().insert(Because(error.to_string().into()));
    if let Some(served_by) = error.served_by() {
        Names::of(served_by).add(response.headers_mut());
        response.extensions_mut().insert(served_by.clone());
    }
    if let Some(model) = WantedModel::of(error) {
        response.extensions_mut().insert(model);
    }
    if let Some(out) = OutOfKeys::of(error) {
        response.extensions_mut().insert(out);
    }
    response
}

/// Why there is none, in no dialect.
pub(in crate::gateway) fn fault_of(error: &Error) -> Fault {
    let kind = match Kind::of(error.status()) {
        Kind::Overloaded if error.is_exhausted() => Kind::NoKeys,
        kind => kind,
    };
    Fault::new(kind, error.to_string())
}

/// Its headers: until when, above all.
pub(in crate::gateway) fn failed_head(error: &Error) -> HeaderMap {
    let mut headers = std::mem::take(error.to_response().headers_mut());
    if let Some(out) = error.exhausted().filter(|out| out.may_end_any_time()) {
        // A request under way ends nobody knows when, mostly soon. What is known is said, but no day is waited for while
        // the next key may come any moment.
        let is_known = out.next_in().or(out.lends_in()).is_some();
        let known = if is_known { seconds(&headers).clamp(1, LONGEST_REQUEST) } else { 1 };
        headers.insert(header::RETRY_AFTER, HeaderValue::from(known));
    }
    headers
}

/// Seconds after which a key that is busy now is free by all likelihood.
const LONGEST_REQUEST: u64 = 60;

fn seconds(headers: &HeaderMap) -> u64 {
    headers.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok()).unwrap_or(1)
}
