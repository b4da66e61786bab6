//! `[[keys]]`: a key in the file.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Amounts, Interval, patterns,
    plain_values::{Concurrent, KeyName, Name, Place, SecretText, TierName, Weight, ZoneName},
};

/// A key: where its secret is, and what is known of it. Exactly one of `secret`, `secret_env` and `secret_file`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("oneOf" = patterns::one_of(&["secret", "secret_env", "secret_file"])))]
pub struct KeyEntry {
    /// Names it in logs; `k-` and 8 hex digits of the secret's hash unless set.
    pub id: Option<KeyName>,
    /// The secret itself. Rather keep it elsewhere: `secret_env`, `secret_file`.
    pub secret: Option<SecretText>,
    /// The variable of the environment that holds the secret.
    pub secret_env: Option<String>,
    /// The file that holds the secret, and nothing else; relative to this configuration's folder.
    pub secret_file: Option<PathBuf>,
    /// What the account pays.
    pub tier: Option<TierName>,
    /// Which keys come first: lower first. Unless set, 0 for `free` and no tier, 10 for any paid one.
    pub priority: Option<Place>,
    /// Share of the load inside its priority; 1.0 unless set.
    pub weight: Option<Weight>,
    /// Requests in flight at once; unlimited unless set.
    pub max_concurrent_requests: Option<Concurrent>,
    /// Shortest time between two starts; none unless set.
    pub min_interval: Option<Interval<0, 3_600>>,
    /// Who owns the quota (for Gemini the project); each key by itself unless set. Keys of one owner share its limits and rests.
    pub owner: Option<Name>,
    /// The account that pays; owners that share one run dry together.
    pub billing_account: Option<Name>,
    /// The exit that its requests go out by; the usual way unless set.
    pub exit: Option<Name>,
    /// The zone in which the owner's day ends; the provider's unless set.
    pub zone: Option<ZoneName>,
    /// Where the key is from, in your own words; shown as the label `source`.
    pub source: Option<Name>,
    /// Labels shown beside it.
    #[schemars(schema_with = "patterns::labels")]
    pub labels: BTreeMap<String, String>,
    /// Limits of its owner by model; `"*"` for every model without its own.
    #[schemars(extend("propertyNames" = patterns::models()))]
    pub limits: BTreeMap<String, Amounts>,
}
