//! The ten error classes, each with a scope, a cooldown and a retry policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The kind of an error, which determines its consequences. Each class has one row in [`ErrorClass::policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorClass {
    /// Too many requests or tokens in a short time.
    RateLimit,
    /// The daily quota is used up.
    DailyQuota,
    /// The project or key may not use the model (a limit of 0, a model closed to new users).
    NotEntitled,
    /// A payment is missing: credits depleted, a spending cap, billing or the service disabled.
    Billing,
    /// The provider reports that the key is invalid, revoked, leaked, suspended or restricted.
    KeyRejected,
    /// A 401, 402 or 403 without a known cause.
    Unclear,
    /// The provider refuses the address or region of the sender.
    Egress,
    /// A fault of the provider or of the network: overloaded, internal error, no connection, cancelled by the provider.
    Transient,
    /// The model does not exist for any key.
    ModelNotFound,
    /// The request itself is wrong.
    Caller,
}

/// The keys and models to which an error applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scope {
    /// Only this request.
    Request,
    /// The key.
    Key,
    /// The key, for this model.
    KeyModel,
    /// All keys of the project.
    Project,
    /// All keys of the project, for this model.
    ProjectModel,
    /// The model, for all keys.
    Model,
    /// All projects of the billing account.
    BillingAccount,
    /// All keys that use the same exit.
    Exit,
}

/// How long a key, project, model or exit is not used after an error, if the provider names no delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cooldown {
    /// Not at all.
    None,
    /// Starts at `first` and doubles with each error in a row, up to `cap`. One trial request follows.
    Backoff {
        /// The cooldown after the first error.
        first: Duration,
        /// The maximum.
        cap: Duration,
    },
    /// Until midnight in the project's zone.
    Midnight,
    /// This duration. One trial request follows.
    Fixed(Duration),
    /// This duration after each error. The third error in a row disables the key.
    Strikes(Duration),
    /// Until an operator enables it, or, if nearly all keys were refused at once, until a trial after that outage
    /// succeeds.
    Disable,
}

/// How a failed request may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// Not at all: the error is returned to the caller.
    No,
    /// Immediately, with another key.
    OtherKey,
    /// With any key, after a short backoff and within the retry budget.
    Backoff,
}

/// The policy of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The scope, unless the matching rule sets another one.
    pub scope: Scope,
    /// The cooldown, unless the matching rule sets another one. A delay that the provider names precedes it for rate
    /// limits and refused addresses, for daily quotas if it is 10 minutes or more, and for transient errors up to 10
    /// minutes.
    pub cooldown: Cooldown,
    /// How the request may be retried.
    pub retry: Retry,
    /// The action that an operator should take.
    pub advice: &'static str,
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl ErrorClass {
    /// Returns the policy of the class.
    pub const fn policy(self) -> Policy {
        const HOUR: u64 = 3_600;
        let (scope, cooldown, retry, advice) = match self {
            Self::RateLimit => (
                Scope::ProjectModel,
                Cooldown::Backoff { first: secs(10), cap: secs(600) },
                Retry::OtherKey,
                "nothing: the key is used again when its limit allows it",
            ),
            Self::DailyQuota => (
                Scope::ProjectModel,
                Cooldown::Midnight,
                Retry::OtherKey,
                "nothing, or add keys with another quota: this one resets when the provider says, or else at its midnight",
            ),
            Self::NotEntitled => (
                Scope::ProjectModel,
                Cooldown::Fixed(secs(24 * HOUR)),
                Retry::OtherKey,
                "use another model with this key, or ask the provider for access",
            ),
            Self::Billing => (
                Scope::Project,
                Cooldown::Fixed(secs(HOUR)),
                Retry::OtherKey,
                "do what the provider's message says (billing, or an API that is not enabled); the key is tried again each hour",
            ),
            Self::KeyRejected => {
                let advice =
                    "replace the key, then enable it; if its project is suspended, use a key of another project";
                (Scope::Key, Cooldown::Disable, Retry::OtherKey, advice)
            }
            Self::Unclear => (
                Scope::Key,
                Cooldown::Strikes(secs(300)),
                Retry::OtherKey,
                "look at the provider's message; the third refusal in a row disables the key",
            ),
            Self::Egress => (
                Scope::Exit,
                Cooldown::Fixed(secs(600)),
                Retry::OtherKey,
                "send from another address or region: the provider refuses this one",
            ),
            Self::Transient => (
                Scope::Model,
                Cooldown::Backoff { first: secs(1), cap: secs(30) },
                Retry::Backoff,
                "nothing: the fault is with the provider",
            ),
            Self::ModelNotFound => (Scope::Request, Cooldown::None, Retry::No, "check the model's name"),
            Self::Caller => (Scope::Request, Cooldown::None, Retry::No, "fix the request"),
        };
        Policy { scope, cooldown, retry, advice }
    }

    /// Returns the name of the class in logs and metrics, such as `rate_limit`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::DailyQuota => "daily_quota",
            Self::NotEntitled => "not_entitled",
            Self::Billing => "billing",
            Self::KeyRejected => "key_rejected",
            Self::Unclear => "unclear",
            Self::Egress => "egress",
            Self::Transient => "transient",
            Self::ModelNotFound => "model_not_found",
            Self::Caller => "caller",
        }
    }

    /// Reports whether the key, its project or the sender's address is at fault. Such an error is not returned to the
    /// caller while another key can serve.
    pub const fn is_key_fault(self) -> bool {
        !matches!(self, Self::Transient | Self::ModelNotFound | Self::Caller)
    }
}

display_serialized!(ErrorClass, Scope);
