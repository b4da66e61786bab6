//! A key, and the limits of a model, as files say them.

use std::{
    collections::BTreeMap,
    num::{NonZeroU16, NonZeroU32},
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Environment, Place,
    plain::{Plain, looks_like_key, plain, zone},
};
use crate::{Key, KeyId, Limit, Limits, Secret, Span, Tier, Unit};

/// A key: an entry of `[[keys]]`, a line of a key file, a row of a CSV file or an object of a JSON file. Exactly one of `secret`,
/// `secret_env` and `secret_file` says where the secret is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyConfig {
    /// The secret itself; also called `key` or `api_key`.
    #[serde(deserialize_with = "plain", alias = "key", alias = "api_key", alias = "apikey", alias = "apiKey")]
    #[schemars(with = "Option<String>")]
    pub secret: Option<Secret>,
    /// The variable of the environment that holds the secret.
    #[serde(deserialize_with = "plain")]
    pub secret_env: Option<String>,
    /// The file that holds the secret and nothing else; relative to the configuration's folder.
    pub secret_file: Option<PathBuf>,
    /// Its name in logs; made of the secret's hash unless set. Also called `name`.
    #[serde(deserialize_with = "plain", alias = "name")]
    pub id: Option<String>,
    /// The project that owns the quota: its keys share limits and cooldowns. Also called `owner`.
    #[serde(deserialize_with = "plain", alias = "owner")]
    pub project: Option<String>,
    /// `free`, `paid` or `unknown`.
    #[serde(deserialize_with = "plain")]
    #[schemars(with = "Option<String>", extend("enum" = ["free", "paid", "unknown"]))]
    pub tier: Option<Tier>,
    /// Keys of a lower number are used first; 0 unless set, 10 for a paid key.
    #[serde(deserialize_with = "plain")]
    pub priority: Option<u16>,
    /// Its share of the requests compared with others; 1 unless set.
    #[serde(deserialize_with = "plain")]
    pub weight: Option<NonZeroU16>,
    /// The exit (a proxy or a local address) that its requests leave by.
    #[serde(deserialize_with = "plain")]
    pub exit: Option<String>,
    /// The account that pays for the project.
    #[serde(deserialize_with = "plain")]
    pub billing_account: Option<String>,
    /// Requests a minute of its project, for each model without limits of its own.
    #[serde(deserialize_with = "plain")]
    pub rpm: Option<u64>,
    /// Prompt tokens a minute, likewise.
    #[serde(deserialize_with = "plain")]
    pub tpm: Option<u64>,
    /// Requests a day, likewise.
    #[serde(deserialize_with = "plain")]
    pub rpd: Option<u64>,
    /// Requests at the same time at most. Also called `max_concurrent`.
    #[serde(deserialize_with = "plain", alias = "max_concurrent")]
    pub concurrent: Option<NonZeroU32>,
    /// Least time between the starts of two requests: seconds, or `500ms`, `2s`, `1m`. Also called `min_interval`.
    #[serde(deserialize_with = "plain", alias = "min_interval")]
    #[schemars(with = "Option<String>")]
    pub interval: Option<Duration>,
    /// The IANA time zone in which its project ends its days; the provider's unless set.
    #[serde(deserialize_with = "zone")]
    pub zone: Option<String>,
    /// Where it is from; stands behind the label.
    #[serde(deserialize_with = "plain")]
    pub source: Option<String>,
    /// What people call it; the place where it stands unless set.
    #[serde(deserialize_with = "plain")]
    pub label: Option<String>,
    /// The only models that it may be used for; a name may end in `*`. A list, or names with commas between them.
    #[serde(deserialize_with = "plain")]
    pub models: Option<Vec<String>>,
    /// Limits of its project by model.
    pub limits: BTreeMap<String, LimitsConfig>,
}

impl KeyConfig {
    /// The options of a key file.
    pub(super) const OPTIONS: [&str; 16] = [
        "id", "project", "tier", "priority", "weight", "exit", "billing_account", "rpm", "tpm", "rpd", "concurrent",
        "interval", "zone", "source", "label", "models",
    ];

    /// The same with the secret itself in place of where it is.
    pub(super) fn resolved(mut self, folder: &Path, environment: &Environment) -> Result<Self, String> {
        let text = match (&self.secret, self.secret_env.take(), self.secret_file.take()) {
            (Some(_), None, None) => return Ok(self),
            (None, Some(name), None) => environment.get(&name).map(str::to_owned).ok_or_else(|| {
                let name = if looks_like_key(&name) { "that secret_env names" } else { &name };
                format!("the variable {name} is not set")
            })?,
            (None, None, Some(path)) => std::fs::read_to_string(folder.join(path))
                .map_err(|error| format!("its secret_file cannot be read: {error}"))?,
            _ => return Err("expected exactly one of secret, secret_env and secret_file".to_owned()),
        };
        let secret = <Secret as Plain>::parse(text.trim_start_matches('\u{feff}').trim());
        self.secret = Some(secret.ok_or_else(|| format!("its secret is not {}", Secret::EXPECTED))?);
        Ok(self)
    }

    /// The key. Its secret must be there.
    pub(super) fn key(self, place: &Place) -> Result<Key, String> {
        let Self {
            secret, secret_env: _, secret_file: _, id, project, tier, priority, weight, exit, billing_account, rpm, tpm, rpd,
            concurrent, interval, zone, source, label, models, limits,
        } = self;
        let secret = secret.ok_or("it has no key")?;
        let shown = [
            ("id", &id),
            ("project", &project),
            ("exit", &exit),
            ("billing_account", &billing_account),
            ("source", &source),
            ("label", &label),
        ];
        for (option, text) in shown {
            let holds = |text: &String| text.contains(secret.expose()) || looks_like_key(text);
            if text.as_ref().is_some_and(holds) {
                return Err(format!("its {option} holds a key, and it is shown to people"));
            }
        }
        let label = match (label, source) {
            (Some(label), Some(source)) => format!("{label} ({source})"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => place.to_string(),
        };
        let mut key = Key {
            id: id.map(KeyId::new),
            project: project.map(Into::into),
            billing_account: billing_account.map(Into::into),
            tier: tier.unwrap_or_default(),
            priority,
            weight: weight.map_or(1, NonZeroU16::get),
            max_concurrent: concurrent.map(NonZeroU32::get),
            min_interval: interval,
            exit: exit.map(Into::into),
            zone: zone.map(Into::into),
            label: Some(label.into()),
            ..Key::new(secret.expose())
        };
        key = match models {
            Some(models) => key.models(models),
            None => key,
        };
        let of_every_model = LimitsConfig { rpm, tpm, rpd, ..LimitsConfig::default() };
        let of_every_model = ("*".to_owned(), of_every_model);
        for (model, limits) in std::iter::once(of_every_model).chain(limits) {
            let limits = limits.limits();
            key = if limits.is_empty() { key } else { key.limits(model, limits) };
        }
        Ok(key)
    }
}

/// Limits of a project for a model. Each is optional; all hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Requests a minute.
    #[serde(deserialize_with = "plain")]
    pub rpm: Option<u64>,
    /// Requests a day of the project's zone.
    #[serde(deserialize_with = "plain")]
    pub rpd: Option<u64>,
    /// Prompt tokens a minute.
    #[serde(deserialize_with = "plain")]
    pub tpm: Option<u64>,
    /// Prompt tokens a day.
    #[serde(deserialize_with = "plain")]
    pub tpd: Option<u64>,
    /// Tokens of answers a minute.
    #[serde(deserialize_with = "plain")]
    pub output_tpm: Option<u64>,
    /// Tokens of prompts and answers together a minute.
    #[serde(deserialize_with = "plain")]
    pub total_tpm: Option<u64>,
    /// Images a minute.
    #[serde(deserialize_with = "plain")]
    pub ipm: Option<u64>,
    /// Images a day.
    #[serde(deserialize_with = "plain")]
    pub ipd: Option<u64>,
}

impl LimitsConfig {
    /// As a pool takes them.
    pub fn limits(&self) -> Limits {
        let Self { rpm, rpd, tpm, tpd, output_tpm, total_tpm, ipm, ipd } = *self;
        let amounts = [
            (rpm, Unit::Requests, Span::MINUTE),
            (rpd, Unit::Requests, Span::Day),
            (tpm, Unit::InputTokens, Span::MINUTE),
            (tpd, Unit::InputTokens, Span::Day),
            (output_tpm, Unit::OutputTokens, Span::MINUTE),
            (total_tpm, Unit::Tokens, Span::MINUTE),
            (ipm, Unit::Images, Span::MINUTE),
            (ipd, Unit::Images, Span::Day),
        ];
        amounts.into_iter().fold(Limits::new(), |limits, (amount, unit, span)| match amount {
            Some(amount) => limits.with(Limit { unit, span, amount }),
            None => limits,
        })
    }
}
