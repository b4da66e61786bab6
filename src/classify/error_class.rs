//! The ten classes of errors: scope, cooldown, and whether another key may help.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What an error means for the key that was used. Each class has one row in [`ErrorClass::policy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorClass {
    /// Too many requests or tokens in a short span.
    RateLimit,
    /// The quota of the day is used up.
    DailyQuota,
    /// The project or key may not use the model (a limit of 0, a model closed to new users).
    NotEntitled,
    /// A payment is missing: credits depleted, a spending cap, billing or the service disabled.
    Billing,
    /// The key is invalid, revoked, leaked, suspended or restricted, and the provider says so.
    KeyRejected,
    /// A 401, 402 or 403 without a known cause.
    Unclear,
    /// The provider refuses the address or the region that the request came from.
    Egress,
    /// A fault of the provider or of the network: overloaded, internal error, no connection, cancelled by the provider.
    Transient,
    /// The model does not exist for anybody.
    ModelNotFound,
    /// The request's own fault.
    Caller,
}

/// What an error applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scope {
    /// This request alone.
    Request,
    /// The key.
    Key,
    /// The key, for this model.
    KeyModel,
    /// The project: all its keys.
    Project,
    /// The project, for this model.
    ProjectModel,
    /// The model, whatever the key.
    Model,
    /// All projects of the billing account.
    BillingAccount,
    /// All keys that send through the same exit.
    Exit,
}

/// How long a target is not used after an error of a class, if the provider names no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cooldown {
    /// Not at all.
    None,
    /// `first`, doubled with each error in a row, up to `cap`; then one trial.
    Backoff {
        /// After the first error.
        first: Duration,
        /// The longest.
        cap: Duration,
    },
    /// Until midnight in the project's zone.
    Midnight,
    /// This long, then one trial.
    Fixed(Duration),
    /// This long each time; the third error in a row disables.
    Strikes(Duration),
    /// Until somebody enables it; if nearly every key was refused at once, until a trial after that outage succeeds.
    Disable,
}

/// Whether the same request may succeed elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// No: the answer goes to the caller.
    No,
    /// With another key, at once.
    OtherKey,
    /// With any key after a short backoff, within the retry budget.
    Backoff,
    /// With another model.
    OtherModel,
}

/// The policy of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// What it applies to, unless the rule that matched says otherwise.
    pub scope: Scope,
    /// For how long, unless the provider or the rule says otherwise.
    pub cooldown: Cooldown,
    /// Where the request may go next.
    pub retry: Retry,
    /// What a person should do.
    pub advice: &'static str,
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

impl ErrorClass {
    /// The class's row of the table.
    pub const fn policy(self) -> Policy {
        const HOUR: u64 = 3_600;
        let (scope, cooldown, retry, advice) = match self {
            Self::RateLimit => (
                Scope::ProjectModel,
                Cooldown::Backoff { first: secs(10), cap: secs(600) },
                Retry::OtherKey,
                "nothing: the key is used again when its window opens",
            ),
            Self::DailyQuota => (
                Scope::ProjectModel,
                Cooldown::Midnight,
                Retry::OtherKey,
                "nothing, or add keys of other projects: the quota opens at midnight of the provider",
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
                "check the account's billing; the key is tried again each hour",
            ),
            Self::KeyRejected => {
                (Scope::Key, Cooldown::Disable, Retry::OtherKey, "replace the key, then enable or re-add it")
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
                "nothing: the provider has a fault of its own",
            ),
            Self::ModelNotFound => (Scope::Request, Cooldown::None, Retry::OtherModel, "check the model's name"),
            Self::Caller => (Scope::Request, Cooldown::None, Retry::No, "fix the request"),
        };
        Policy { scope, cooldown, retry, advice }
    }

    /// The class's name as logs and metrics write it, such as `rate_limit`.
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

    /// Whether the key, its project or our address is at fault. The caller does not get such an error while another key can serve.
    pub const fn is_key_fault(self) -> bool {
        !matches!(self, Self::Transient | Self::ModelNotFound | Self::Caller)
    }
}
