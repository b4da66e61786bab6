//! What an error of a provider means.
//!
//! [`ErrorInfo`](error_body::ErrorInfo) is read from status, headers and body; the first matching row of one table gives its
//! [`ErrorClass`]; the class's row says whom it concerns, for how long, and whether another key may help.

mod error_class;
mod outcome;
mod rules;

pub use error_class::{Cooldown, ErrorClass, Policy, Retry, Scope};
pub use outcome::{Failure, Outcome, QuotaViolation, Usage};
pub use rules::Rule;
