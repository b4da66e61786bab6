//! Keys and the limits of models, as configuration files specify them.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Environment, Loaded,
    wording::{check_vendor, looks_like_key, names_other_vendor, unknown_option, without_values},
};
use crate::{Key, KeyId, Limit, Limits, Secret, Span, Tier, Unit, secret::MIN_REDACTED};

/// A key: an entry of `[[keys]]`, a line of a key file, a row of a CSV file or an object of a JSON file.
///
/// | option | value |
/// |---|---|
/// | `secret` (or `key`, `api_key`) | the key itself |
/// | `secret_env` | in `[[keys]]`, instead of `secret`: the environment variable that contains it |
/// | `id` (or `name`) | its name in logs; by default derived from the secret's hash |
/// | `project` (or `owner`) | the project that owns the quota; keys of a project share limits and cooldowns |
/// | `tier` | `free`, `paid` or `unknown` |
/// | `priority` | keys with a lower number are used first; 0 by default, 10 for a paid key |
/// | `weight` | its share of the requests relative to other keys, if the strategy uses weights; 1 by default |
/// | `exit` | the exit (a proxy or a local address) for its requests |
/// | `billing_account` | the account that pays for the project |
/// | `rpm`, `tpm`, `rpd` | limits for models not in `limits`: requests and prompt tokens a minute, requests a day |
/// | `concurrent` (or `max_concurrent`) | maximum number of concurrent requests |
/// | `interval` (or `min_interval`) | minimum time between two requests' starts: seconds, or `500ms`, `2s`, `1m` |
/// | `zone` | the IANA time zone of the project's daily limits; the provider's by default |
/// | `models` | the only models that it may be used for, separated by commas; a name may end in `*` |
/// | `label` | a description for people |
/// | `provider` (or `vendor`) | the provider of the key; an entry that names another known one is skipped |
/// | `source` | its origin, which is appended to the label; by default its place, such as `keys.txt:3` |
/// | `limits` | in `[[keys]]` and JSON: limits of its project by model |
///
/// Invalid values and unknown options are reported when the keys are loaded.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "BTreeMap<String, Value>")]
pub struct KeyEntry(pub(super) Result<Options, String>);

impl KeyEntry {
    /// Returns the options of a key, **with its secret**, as an object that is read back as the same key, for storing
    /// keys elsewhere. Leaves out limits without an option, and options that have their default value.
    #[doc(hidden)]
    pub fn options(key: &Key) -> serde_json::Map<String, Value> {
        let mut limits: serde_json::Map<String, Value> =
            key.limits.iter().map(|(model, limits)| (model.to_string(), limits_of(limits))).collect();
        // The limits that have options of their own.
        let every_model = limits.get("*").and_then(Value::as_object);
        let is_plain = |table: &&serde_json::Map<String, Value>| {
            table.keys().all(|name| matches!(name.as_str(), "rpm" | "rpd" | "tpm"))
        };
        let every_model = every_model.filter(is_plain).cloned();
        if every_model.is_some() {
            limits.remove("*");
        }
        let models = key.models.as_ref().map(|models| models.join(","));
        let options = serde_json::json!({
            "secret": *key.secret,
            "id": key.id,
            "project": key.project,
            "tier": (key.tier != Tier::Unknown).then_some(key.tier),
            "priority": key.priority,
            "weight": (key.weight != 1).then_some(key.weight),
            "exit": key.exit,
            "billing_account": key.billing_account,
            "concurrent": key.max_concurrent,
            "interval": key.min_interval.map(|interval| interval.as_secs_f64()),
            "zone": key.zone,
            "models": models,
            "label": key.label,
            "limits": (!limits.is_empty()).then_some(limits),
        });
        let Value::Object(mut options) = options else { return serde_json::Map::new() };
        options.extend(every_model.unwrap_or_default());
        options.retain(|_, value| !value.is_null());
        options
    }
}

/// Returns limits in the form that [`LimitsEntry`] reads.
fn limits_of(limits: &Limits) -> Value {
    let option = |limit: &Limit| AMOUNTS.iter().find(|(_, unit, span)| (*unit, *span) == (limit.unit, limit.span));
    limits.iter().filter_map(|limit| Some((option(limit)?.0.to_owned(), Value::from(limit.amount)))).collect()
}

/// The reason why there is no key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum EntryError {
    /// The entry is invalid. If all are, the file may be damaged.
    Invalid(String),
    /// The key is of another service.
    OtherService(String),
    /// A column of a table is unknown. Its rows are read without it.
    IgnoredColumn(String),
}

impl EntryError {
    pub(super) fn message(&self) -> &str {
        match self {
            Self::Invalid(message) | Self::OtherService(message) | Self::IgnoredColumn(message) => message,
        }
    }
}

impl<T: Into<String>> From<T> for EntryError {
    fn from(message: T) -> Self {
        Self::Invalid(message.into())
    }
}

/// The parsed options of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Options {
    key: Key,
    secret_env: Option<String>,
    source: Option<String>,
    provider: Option<String>,
    limits: BTreeMap<String, LimitsEntry>,
}

/// The options: name, other names, and a description of the expected value.
const OPTIONS: [(&str, &str, &str); 20] = [
    ("secret", "key api_key apikey apiKey", "a key: at least 8 visible ASCII characters, without commas and quotes"),
    ("secret_env", "", "the name of a variable"),
    ("id", "name", NAME),
    ("project", "owner", NAME),
    ("tier", "", "free, paid or unknown"),
    ("priority", "", "a whole number from 0 to 65535"),
    ("weight", "", "a whole number from 1 to 65535"),
    ("exit", "", NAME),
    ("billing_account", "", NAME),
    ("rpm", "", AMOUNT),
    ("tpm", "", AMOUNT),
    ("rpd", "", AMOUNT),
    ("concurrent", "max_concurrent", "a whole number, 1 or more"),
    ("interval", "min_interval", "seconds, or a time such as 500ms, 2s, 1m or 1h; at most 24h"),
    ("zone", "", "an IANA time zone such as America/Los_Angeles"),
    ("models", "", "names of models with commas between them"),
    ("label", "", NAME),
    ("source", "", NAME),
    ("provider", "vendor", "the name of the provider that the key is for"),
    ("limits", "", "limits by model, such as { \"*\" = { rpm = 10 } }"),
];
const NAME: &str = "a text of at most 256 characters, not a key";
const AMOUNT: &str = "a whole number, 0 or more";

/// Returns the option of this name, and a description of the expected value.
pub(super) fn option(name: &str) -> Result<(&'static str, &'static str), String> {
    let is_it =
        |(option, also, _): &&(&str, &str, _)| *option == name || also.split_whitespace().any(|also| also == name);
    let found = OPTIONS.iter().find(is_it).map(|(option, _, expected)| (*option, *expected));
    found.ok_or_else(|| unknown_option(name, &OPTIONS.map(|(option, ..)| option)))
}

impl Options {
    /// Parses pairs of an option's name and its value. Empty values are ignored.
    pub(super) fn of<V: AsRef<str>>(options: impl IntoIterator<Item = (V, V)>) -> Result<Self, String> {
        let (secret_env, source, provider) = (None, None, None);
        let mut entry = Self { key: Key::new(""), secret_env, source, provider, limits: BTreeMap::new() };
        for (name, value) in options {
            let (option, expected) = option(name.as_ref())?;
            let value = value.as_ref().trim();
            if !value.is_empty() && entry.set(option, value).is_none() {
                return Err(format!("{option}: expected {expected}"));
            }
        }
        Ok(entry)
    }

    fn set(&mut self, option: &str, text: &str) -> Option<()> {
        let key = &mut self.key;
        let named = || (text.chars().count() <= 256 && !looks_like_key(text)).then_some(text);
        let amount = || text.replace('_', "").parse().ok();
        match option {
            "secret" => key.secret = secret(text)?,
            "secret_env" => self.secret_env = Some(named()?.to_owned()),
            "id" => key.id = Some(KeyId::new(named()?)),
            "project" => key.project = Some(named()?.into()),
            "tier" => key.tier = serde_json::from_value(text.to_ascii_lowercase().into()).ok()?,
            "priority" => key.priority = Some(text.parse().ok()?),
            "weight" => key.weight = text.parse().ok().filter(|weight| *weight > 0)?,
            "exit" => key.exit = Some(named()?.into()),
            "billing_account" => key.billing_account = Some(named()?.into()),
            "rpm" => self.every_model().rpm = Some(amount()?),
            "tpm" => self.every_model().tpm = Some(amount()?),
            "rpd" => self.every_model().rpd = Some(amount()?),
            "concurrent" => key.max_concurrent = Some(text.parse().ok().filter(|requests| *requests > 0)?),
            "interval" => key.min_interval = Some(duration(text)?),
            "zone" => key.zone = Some(jiff::tz::TimeZone::get(text).ok()?.iana_name()?.into()),
            "models" if looks_like_key(&text.replace(',', " ")) || text.chars().all(|c| c == ',') => return None,
            "models" => key.models = Some(text.split(',').map(|model| model.trim().into()).collect()),
            "label" => key.label = Some(named()?.into()),
            "source" => self.source = Some(named()?.to_owned()),
            "provider" => self.provider = Some(named()?.to_owned()),
            _ => return None,
        }
        Some(())
    }

    fn every_model(&mut self) -> &mut LimitsEntry {
        self.limits.entry("*".to_owned()).or_default()
    }

    /// Builds a key of the provider of `loaded`. Reads its secret from `secret_env` if that is set, and adds its origin
    /// (`source`, or else `place`) to its label.
    pub(super) fn key(self, place: &str, environment: &Environment, loaded: &Loaded) -> Result<Key, EntryError> {
        let Self { mut key, secret_env, source, provider, limits } = self;
        if provider.is_some_and(|provider| names_other_vendor(&provider, &loaded.names())) {
            return Err(EntryError::OtherService("this looks like a key of another provider".to_owned()));
        }
        if let Some(name) = secret_env {
            // A key may have been written in place of the name.
            let shown = if name.contains(|c: char| c.is_ascii_lowercase()) { "in secret_env" } else { &name };
            let text = environment.get(&name).ok_or_else(|| format!("the variable {shown} is not set"))?;
            key.secret = secret(text).ok_or_else(|| format!("the variable {shown} does not contain a valid key"))?;
        }
        if key.secret.is_empty() {
            return Err("the entry has no key".into());
        }
        loaded.vendor.map_or(Ok(()), |vendor| check_vendor(&key.secret, vendor))?;
        for (model, limits) in limits {
            key = key.limits(model, limits.limits());
        }
        let origin = source.unwrap_or_else(|| place.to_owned());
        key.label = Some(key.label.map_or(origin.clone(), |label| format!("{label} ({origin})")).into());
        let id = key.id.as_ref().map(KeyId::as_str);
        let shown = [&key.project, &key.exit, &key.billing_account, &key.label].map(|text| text.as_deref());
        if shown.into_iter().chain([id]).flatten().any(|text| text.contains(&*key.secret)) {
            return Err("a name or label contains the key itself, and names and labels are shown".into());
        }
        Ok(key)
    }
}

/// What servers without keys usually get as a key.
const NO_SECRETS: [&str; 4] = ["EMPTY", "dummy", "none", "ollama"];

fn secret(text: &str) -> Option<Arc<str>> {
    let plain = Secret::new(text).is_ok() && !text.contains([',', ';', '"', '\'', '`', '<', '>']);
    // A shorter one could not be redacted: it may be part of an ordinary word.
    let is_long = text.len() >= MIN_REDACTED || NO_SECRETS.contains(&text);
    (plain && is_long).then(|| text.into())
}

/// Parses a number of seconds, or a number with a unit; at most a day.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("", 1.0)];
    let (number, seconds) = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let duration = Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * seconds).ok()?;
    (duration <= Duration::from_secs(86_400)).then_some(duration)
}

impl From<BTreeMap<String, Value>> for KeyEntry {
    fn from(mut table: BTreeMap<String, Value>) -> Self {
        let limits = table.remove("limits").unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let limits = serde_json::from_value(limits)
            .map_err(|error| format!("limits by model: {}", without_values(&error.to_string())));
        let options = Options::of(table.iter().map(|(name, value)| (name.clone(), text_of(value))));
        Self(options.and_then(|mut options| {
            options.limits.append(&mut limits?);
            Ok(options)
        }))
    }
}

/// Returns a value as it would be written in a line of a key file.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

impl JsonSchema for KeyEntry {
    fn schema_name() -> Cow<'static, str> {
        "KeyEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let limits = generator.subschema_for::<BTreeMap<String, LimitsEntry>>();
        let options = OPTIONS.map(|(name, _, expected)| match name {
            "limits" => (name, json_schema!({ "description": expected, "allOf": [limits.clone()] })),
            "models" => (name, json_schema!({ "type": ["string", "array"], "description": expected })),
            _ => (name, json_schema!({ "type": ["string", "number"], "description": expected })),
        });
        json_schema!({ "type": "object", "additionalProperties": false, "properties": BTreeMap::from(options) })
    }
}

/// Limits of a project for a model. Each is optional; all that are set apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsEntry {
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Requests a day, in the project's time zone.
    pub rpd: Option<u64>,
    /// Prompt tokens a minute.
    pub tpm: Option<u64>,
    /// Prompt tokens a day.
    pub tpd: Option<u64>,
    /// Output tokens a minute.
    pub output_tpm: Option<u64>,
    /// Prompt and output tokens a minute.
    pub total_tpm: Option<u64>,
}

/// The option of each limit.
const AMOUNTS: [(&str, Unit, Span); 6] = [
    ("rpm", Unit::Requests, Span::MINUTE),
    ("rpd", Unit::Requests, Span::Day),
    ("tpm", Unit::InputTokens, Span::MINUTE),
    ("tpd", Unit::InputTokens, Span::Day),
    ("output_tpm", Unit::OutputTokens, Span::MINUTE),
    ("total_tpm", Unit::Tokens, Span::MINUTE),
];

impl LimitsEntry {
    /// Converts the entry into the limits of a pool.
    pub fn limits(&self) -> Limits {
        let amounts =
            [self.rpm, self.rpd, self.tpm, self.tpd, self.output_tpm, self.total_tpm].into_iter().zip(AMOUNTS);
        let given = amounts.filter_map(|(amount, (_, unit, span))| Some(Limit { unit, span, amount: amount? }));
        given.fold(Limits::new(), Limits::with)
    }
}
