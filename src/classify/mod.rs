//! Classification of provider errors.
//!
//! Status, headers and body are read first. The first matching [`Rule`] of one table determines the [`ErrorClass`]. The
//! [`Policy`] of the class determines the scope, the cooldown, and whether another key may help.

mod error_body;
mod error_class;
mod google_quota;
mod outcome;
mod retry_after;
mod rule;
mod rules;
mod sse;
mod transport;
mod usage;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use self::error_body::{DERIVED_CODES, ErrorInfo};
pub(crate) use error_body::{SHORT, holds_error, may_be_error, may_become_error};
pub use error_class::{Cooldown, ErrorClass, Policy, Retry, Scope};
pub(crate) use outcome::End;
pub use outcome::{Failure, Outcome, Usage};
pub(crate) use retry_after::duration;
pub use rule::Rule;
pub(crate) use sse::{Event, event_end};
pub use transport::causes;
pub use usage::UsageReader;

/// Longest cooldown that a message without a code may cause.
const LONGEST_BY_MESSAGE: Duration = Duration::from_secs(3_600);
/// Shortest delay that is used from a daily-quota error. A shorter one is ignored, and the cooldown lasts until
/// midnight.
const SHORTEST_OF_A_DAY: Duration = Duration::from_secs(600);
/// Longest cooldown after a fault of the provider.
const LONGEST_TRANSIENT: Duration = Duration::from_secs(600);

/// Classifies the errors of one provider.
#[derive(Debug)]
pub(crate) struct Classifier {
    provider: Box<str>,
    /// The user's rules, then the provider's. They are tried before those for all providers.
    rules: Vec<Rule>,
}

impl Classifier {
    pub(crate) fn new(provider: &str, rules: Vec<Rule>) -> Self {
        Self { provider: provider.into(), rules }
    }

    /// Classifies a response; `None` if it is successful. A text that is not a JSON object is an event of a stream, or the
    /// text after the last event. `wall` is the wall-clock time, for delays that are given as dates. The caller must have
    /// redacted the key.
    pub(crate) fn classify(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        wall: SystemTime,
    ) -> Option<Failure> {
        let info = if is_good(status) {
            ErrorInfo::of_success(headers, body, wall)?
        } else {
            ErrorInfo::of_error(status, headers, body, wall)
        };
        Some(self.failure(info))
    }

    fn failure(&self, info: ErrorInfo) -> Failure {
        let matches = |rule: &&Rule| rule.matches(&self.provider, &info);
        let rule = self
            .rules
            .iter()
            .find(matches)
            .or_else(|| rules::TABLE.iter().filter(|row| !row.is_doubtful(&info)).find(matches));
        let class = rule.map_or(ErrorClass::Transient, |rule| rule.class);
        let matched = rule.and_then(|rule| rule.matched_code(&info)).filter(|code| !DERIVED_CODES.contains(code));
        let code = matched.or_else(|| info.codes.iter().map(String::as_str).find(|code| !DERIVED_CODES.contains(code)));
        let mut failure = Failure::new(class);
        failure.status = StatusCode::from_u16(info.status.unwrap_or(status_of(class, code))).ok();
        failure.code = code.map(Into::into);
        // An error that no rule matches may be caused by one caller, and must not affect the model for all callers.
        failure.scope = rule.map_or(Scope::Request, |rule| rule.scope.unwrap_or(failure.scope));
        let (cooldown, confirm) = match rule {
            Some(rule) if may_disable(rule, &info) => (rule.cooldown, rule.confirm),
            Some(rule) => (rule.cooldown.or(Some(LONGEST_BY_MESSAGE)), false),
            None => (None, false),
        };
        failure.confirm = confirm;
        let delay = match class {
            ErrorClass::RateLimit | ErrorClass::Egress => info.retry_after,
            ErrorClass::DailyQuota => info.retry_after.filter(|delay| *delay >= SHORTEST_OF_A_DAY),
            ErrorClass::Transient => info.retry_after.map(|delay| delay.min(LONGEST_TRANSIENT)),
            _ => None,
        };
        // Use the longer of the delay and the rule's cooldown.
        failure.end = match (delay, cooldown) {
            (Some(delay), _) if cooldown.is_none_or(|cooldown| delay > cooldown) => End::Named(delay),
            (_, Some(cooldown)) => End::Guessed(cooldown),
            (_, None) => End::OfClass,
        };
        failure.message = info.message.map(Into::into);
        failure.limits = info.limits;
        failure.project = info.project.map(Into::into);
        failure
    }
}

/// Reports whether a status means success. That includes an opened WebSocket (1xx) and a response that the caller has
/// cached (304).
pub(crate) fn is_good(status: StatusCode) -> bool {
    status.is_informational() || status.is_success() || status == StatusCode::NOT_MODIFIED
}

/// Reports whether a rule may disable a key, or exclude it from a model for a day. Only a code, or status 401, 402 or
/// 403, may, since a message can contain text of the caller. A 404 is about the model, so it may exclude it.
fn may_disable(rule: &Rule, info: &ErrorInfo) -> bool {
    let disables = matches!(rule.class.policy().cooldown, Cooldown::Disable | Cooldown::Strikes(_))
        || rule.class == ErrorClass::NotEntitled && info.status != Some(404);
    !disables || !rule.codes.is_empty() || matches!(info.status, Some(401..=403))
}

/// Returns the status for an error in a stream that names none.
fn status_of(class: ErrorClass, code: Option<&str>) -> u16 {
    match class {
        ErrorClass::RateLimit | ErrorClass::DailyQuota => 429,
        ErrorClass::NotEntitled | ErrorClass::Unclear | ErrorClass::Egress => 403,
        ErrorClass::Billing => 402,
        ErrorClass::KeyRejected => 401,
        ErrorClass::Transient => 503,
        ErrorClass::ModelNotFound => 404,
        ErrorClass::Caller => match code.unwrap_or_default() {
            "request_too_large" => 413,
            code if code.starts_with("not_found") => 404,
            _ => 400,
        },
    }
}

#[cfg(test)]
mod tests;
