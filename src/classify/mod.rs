//! What an error of a provider means.
//!
//! [`ErrorInfo`](error_body::ErrorInfo) is read from status, headers and body; the first matching row of one table gives its
//! [`ErrorClass`]; the class's row says whom it concerns, for how long, and whether another key may help.

mod error_class;
mod outcome;
mod rules;
mod usage;

pub use error_class::{Cooldown, ErrorClass, Policy, Retry, Scope};
pub use outcome::{Failure, Outcome, QuotaViolation, Usage};
pub use rules::Rule;
pub(crate) use usage::UsageReader;

/// TEMPORARY until the classify branch lands.
pub(crate) struct Classifier;
impl Classifier {
    pub(crate) fn new(_: Vec<Rule>) -> Self {
        Self
    }
    pub(crate) fn classify(
        &self,
        _: &dyn crate::provider::Provider,
        status: http::StatusCode,
        _: &http::HeaderMap,
        _: &[u8],
        _: bool,
        _: std::time::SystemTime,
    ) -> Failure {
        let class = match status.as_u16() {
            429 => ErrorClass::RateLimit,
            401 | 403 => ErrorClass::KeyRejected,
            500.. => ErrorClass::Transient,
            _ => ErrorClass::Caller,
        };
        let mut failure = Failure::new(class);
        failure.status = Some(status);
        failure
    }
}
