//! What an error of a provider means.
//!
//! [`ErrorInfo`](error_body::ErrorInfo) is read from status, headers and body; the first matching row of one table gives its
//! [`ErrorClass`]; the class's row says whom it concerns, for how long, and whether another key may help.

mod error_body;
mod error_class;
mod google_quota;
mod outcome;
mod retry_after;
mod rules;
mod transport;
mod usage;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode};

use self::error_body::{ErrorInfo, READ_CODES};
use crate::provider::Provider;
pub(crate) use error_body::may_be_error;
pub use error_class::{Cooldown, ErrorClass, Policy, Retry, Scope};
pub use outcome::{Failure, Outcome, QuotaViolation, Usage};
pub use rules::Rule;
pub(crate) use usage::UsageReader;

/// What an answer means for the key that was used; `None` for a good one.
///
/// `body` is the body of an error, of which at most 64 KiB are read, or a good one. With `in_stream` it is an event of a stream, or
/// what stands behind the last one. `wall` is the time of day, for delays that are told as dates. Redact the key first: the
/// failure keeps the provider's message.
///
/// The layers do this by themselves. It is for hosts that send requests in their own way.
///
/// ```
/// use std::time::SystemTime;
/// use http::{HeaderMap, StatusCode};
/// use tower_keypool::{ErrorClass, Provider, classify::classify};
///
/// fn is_out_of_money(provider: &dyn Provider, body: &[u8]) -> bool {
///     let failure =
///         classify(provider, StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), body, false, SystemTime::UNIX_EPOCH);
///     failure.is_some_and(|failure| failure.class() == ErrorClass::Billing)
/// }
/// ```
pub fn classify(
    provider: &dyn Provider,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    in_stream: bool,
    wall: SystemTime,
) -> Option<Failure> {
    Classifier::default().classify(provider, status, headers, body, in_stream, wall)
}

/// Longest cooldown that a mere sentence may cause.
const LONGEST_BY_MESSAGE: Duration = Duration::from_secs(3_600);
/// A named delay that is shorter is the minute's, also where the quota of a day is used up.
const SHORTEST_OF_A_DAY: Duration = Duration::from_secs(600);
/// Longest cooldown of a provider's own fault.
const LONGEST_TRANSIENT: Duration = Duration::from_secs(600);

/// The tables in their order: the user's rows, the provider's, those that hold for all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classifier {
    rules: Arc<[Rule]>,
}

impl Classifier {
    /// With the user's own rows, which come first.
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self { rules: rules.into() }
    }

    /// See [`classify`]. The caller has redacted the key.
    pub(crate) fn classify(
        &self,
        provider: &dyn Provider,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        in_stream: bool,
        wall: SystemTime,
    ) -> Option<Failure> {
        let info = match status {
            StatusCode::NOT_MODIFIED => return None,
            status if status.is_success() => ErrorInfo::of_success(headers, body, in_stream, wall)?,
            status => ErrorInfo::of_error(status, headers, body, wall),
        };
        Some(self.failure(provider, info))
    }

    fn failure(&self, provider: &dyn Provider, info: ErrorInfo) -> Failure {
        let tables = [&self.rules, provider.rules(), rules::TABLE.as_slice()];
        let rule = tables.into_iter().flatten().find(|rule| rule.matches(provider.name(), &info));
        let class = rule.map_or(ErrorClass::Transient, |rule| rule.class);
        let matched = rule.and_then(|rule| rule.matched_code(&info)).filter(|code| !READ_CODES.contains(code));
        let code = matched.or_else(|| info.codes.iter().map(String::as_str).find(|code| !READ_CODES.contains(code)));
        let mut failure = Failure::new(class);
        failure.status = StatusCode::from_u16(info.status.unwrap_or(status_of(class))).ok();
        failure.code = code.map(Into::into);
        if let Some(rule) = rule {
            failure.scope = rule.scope.unwrap_or(failure.scope);
            failure.cooldown = rule.cooldown;
            failure.confirm = rule.confirm;
            if !may_disable(rule, &info) {
                failure.cooldown = failure.cooldown.or(Some(LONGEST_BY_MESSAGE));
                failure.confirm = false;
            }
        }
        let delay = match class {
            ErrorClass::RateLimit | ErrorClass::Egress => info.retry_after,
            ErrorClass::DailyQuota => info.retry_after.filter(|delay| *delay >= SHORTEST_OF_A_DAY),
            ErrorClass::Transient => info.retry_after.map(|delay| delay.min(LONGEST_TRANSIENT)),
            _ => None,
        };
        // The longer one counts.
        match delay {
            Some(delay) if failure.cooldown.is_none_or(|cooldown| delay > cooldown) => {
                (failure.retry_after, failure.cooldown) = (Some(delay), None);
            }
            _ => {}
        }
        failure.message = info.message.map(Into::into);
        failure.quota = info.quota;
        failure.project = info.project.map(Into::into);
        failure
    }
}

/// Only a code, or status 401, 402 or 403, disables a key: a sentence may hold what a caller wrote.
fn may_disable(rule: &Rule, info: &ErrorInfo) -> bool {
    let disables = matches!(rule.class.policy().cooldown, Cooldown::Disable | Cooldown::Strikes(_));
    !disables || !rule.codes.is_empty() || matches!(info.status, Some(401..=403))
}

/// The status of an error in a stream that names none.
fn status_of(class: ErrorClass) -> u16 {
    match class {
        ErrorClass::RateLimit | ErrorClass::DailyQuota => 429,
        ErrorClass::NotEntitled | ErrorClass::Unclear | ErrorClass::Egress => 403,
        ErrorClass::Billing => 402,
        ErrorClass::KeyRejected => 401,
        ErrorClass::Transient => 503,
        ErrorClass::ModelNotFound => 404,
        ErrorClass::Caller => 400,
    }
}

#[cfg(test)]
mod tests;
