//! A key, and the limits of a model, as files say them.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Environment,
    wording::{looks_like_key, unknown_option, without_values},
};
use crate::{Key, KeyId, Limit, Limits, Secret, Span, Unit};

/// A key: an entry of `[[keys]]`, a line of a key file, a row of a CSV file or an object of a JSON file.
///
/// | option | value |
/// |---|---|
/// | `secret` (or `key`, `api_key`) | the key itself |
/// | `secret_env` | in `[[keys]]`, in its place: the variable that holds it |
/// | `id` (or `name`) | its name in logs; made of the secret's hash unless set |
/// | `project` (or `owner`) | the project that owns the quota: its keys share limits and cooldowns |
/// | `tier` | `free`, `paid` or `unknown` |
/// | `priority` | keys of a lower number are used first; 0 unless set, 10 for a paid key |
/// | `weight` | its share of the requests compared with others; 1 unless set |
/// | `exit` | the exit (a proxy or a local address) that its requests leave by |
/// | `billing_account` | the account that pays for the project |
/// | `rpm`, `tpm`, `rpd` | requests a minute, prompt tokens a minute and requests a day of its project, for each model without limits of its own |
/// | `concurrent` (or `max_concurrent`) | requests at the same time at most |
/// | `interval` (or `min_interval`) | least time between the starts of two requests: seconds, or `500ms`, `2s`, `1m` |
/// | `zone` | the IANA time zone in which its project ends its days; the provider's unless set |
/// | `models` | the only models that it may be used for, with commas between them; a name may end in `*` |
/// | `label` | what people call it |
/// | `source` | where it is from: stands behind the label; the place where it stands, such as `keys.txt:3`, unless set |
/// | `limits` | in `[[keys]]` and JSON: limits of its project by model |
#[derive(Clone, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
pub struct KeyEntry {
    key: Key,
    secret_env: Option<String>,
    source: Option<String>,
}

/// Each option, and what is expected of its value.
const OPTIONS: [(&str, &str); 19] = [
    ("secret", "a key: visible ASCII characters without commas and quotes"),
    ("secret_env", "the name of a variable"),
    ("id", NAME),
    ("project", NAME),
    ("tier", "free, paid or unknown"),
    ("priority", "a whole number from 0 to 65535"),
    ("weight", "a whole number from 1 to 65535"),
    ("exit", NAME),
    ("billing_account", NAME),
    ("rpm", AMOUNT),
    ("tpm", AMOUNT),
    ("rpd", AMOUNT),
    ("concurrent", "a whole number, 1 or more"),
    ("interval", "seconds, or a time such as 500ms, 2s, 1m or 1h; at most 24h"),
    ("zone", "an IANA time zone such as America/Los_Angeles"),
    ("models", "names of models with commas between them"),
    ("label", NAME),
    ("source", NAME),
    ("limits", "a table of limits by model"),
];
const NAME: &str = "at most 256 characters that are no key, since people see them";
const AMOUNT: &str = "a whole number, 0 or more";

/// The option of this name.
pub(super) fn option(name: &str) -> Result<&'static str, String> {
    let name = match name {
        "key" | "api_key" | "apikey" | "apiKey" => "secret",
        "name" => "id",
        "owner" => "project",
        "max_concurrent" => "concurrent",
        "min_interval" => "interval",
        name => name,
    };
    let known = OPTIONS.map(|(option, _)| option);
    known.into_iter().find(|option| *option == name).ok_or_else(|| unknown_option(name, &known))
}

impl KeyEntry {
    /// A key of options and their values.
    pub(super) fn of<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let mut entry = Self { key: Key::new(""), secret_env: None, source: None };
        let mut seen = Vec::new();
        for (name, value) in options {
            let option = option(name)?;
            if seen.contains(&option) {
                return Err(format!("{option} is given twice"));
            }
            seen.push(option);
            entry.put(option, value)?;
        }
        Ok(entry)
    }

    /// Takes the value of an option; an empty one is as good as none.
    fn put(&mut self, option: &str, value: &str) -> Result<(), String> {
        let taken = if value.trim().is_empty() { Some(()) } else { self.set(option, value.trim()) };
        let expected = || OPTIONS.iter().find(|(name, _)| *name == option).map_or("nothing", |(_, expected)| expected);
        taken.ok_or_else(|| format!("{option}: expected {}", expected()))
    }

    fn set(&mut self, option: &str, text: &str) -> Option<()> {
        let key = &mut self.key;
        let named = || (text.chars().count() <= 256 && !looks_like_key(text)).then_some(text);
        match option {
            "secret" => key.secret = secret(text)?,
            "secret_env" => self.secret_env = Some(named()?.to_owned()),
            "id" => key.id = Some(KeyId::new(named()?)),
            "project" => key.project = Some(named()?.into()),
            "tier" => key.tier = serde_json::from_value(text.into()).ok()?,
            "priority" => key.priority = Some(text.parse().ok()?),
            "weight" => key.weight = text.parse().ok().filter(|weight| *weight > 0)?,
            "exit" => key.exit = Some(named()?.into()),
            "billing_account" => key.billing_account = Some(named()?.into()),
            "rpm" => self.limit(Unit::Requests, Span::MINUTE, text)?,
            "tpm" => self.limit(Unit::InputTokens, Span::MINUTE, text)?,
            "rpd" => self.limit(Unit::Requests, Span::Day, text)?,
            "concurrent" => key.max_concurrent = Some(text.parse().ok().filter(|requests| *requests > 0)?),
            "interval" => key.min_interval = Some(duration(text)?),
            "zone" => key.zone = Some(jiff::tz::TimeZone::get(text).ok()?.iana_name()?.into()),
            "models" => key.models = Some(text.split(',').map(|model| model.trim().into()).collect()),
            "label" => key.label = Some(named()?.into()),
            "source" => self.source = Some(named()?.to_owned()),
            _ => return None,
        }
        Some(())
    }

    /// Adds a limit for every model without limits of its own.
    fn limit(&mut self, unit: Unit, span: Span, amount: &str) -> Option<()> {
        let held = self.key.limits.iter().find(|(model, _)| **model == *"*");
        let limits = held.map_or_else(Limits::new, |(_, limits)| limits.clone());
        let limits = limits.with(Limit { unit, span, amount: amount.parse().ok()? });
        self.key = self.key.clone().limits("*", limits);
        Some(())
    }

    /// The key, with its secret from where it is, and with its label and `place` as its label.
    pub(super) fn key(self, place: &str, environment: &Environment) -> Result<Key, String> {
        let Self { mut key, secret_env, source } = self;
        match secret_env {
            Some(_) if !key.secret.is_empty() => return Err("it has both secret and secret_env".to_owned()),
            Some(name) => {
                let text = environment.get(&name).ok_or_else(|| format!("the variable {name} is not set"))?;
                key.secret = secret(text).ok_or_else(|| format!("the variable {name} holds no key"))?;
            }
            None if key.secret.is_empty() => return Err("it has no key".to_owned()),
            None => {}
        }
        let origin = source.unwrap_or_else(|| place.to_owned());
        key.label = Some(key.label.map_or(origin.clone(), |label| format!("{label} ({origin})")).into());
        let id = key.id.as_ref().map(KeyId::as_str);
        let shown =
            [id, key.project.as_deref(), key.exit.as_deref(), key.billing_account.as_deref(), key.label.as_deref()];
        if shown.into_iter().flatten().any(|text| text.contains(&*key.secret)) {
            return Err("a name or label of it holds the key itself, and people see that".to_owned());
        }
        Ok(key)
    }
}

fn secret(text: &str) -> Option<Arc<str>> {
    let plain = Secret::new(text).is_ok() && !text.contains([',', ';', '"', '\'', '`']);
    plain.then(|| text.into())
}

/// Seconds, or a number with a unit; at most a day.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let duration = Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * seconds).ok()?;
    (duration <= Duration::from_secs(86_400)).then_some(duration)
}

/// Of a table of TOML or an object of JSON.
impl TryFrom<BTreeMap<String, Value>> for KeyEntry {
    type Error = String;

    fn try_from(options: BTreeMap<String, Value>) -> Result<Self, String> {
        let mut limits = BTreeMap::<String, LimitsEntry>::new();
        let mut texts = Vec::new();
        for (name, value) in options {
            let text = match value {
                Value::Null => continue,
                Value::Object(_) if name == "limits" => {
                    limits = serde_json::from_value(value).map_err(|error| without_values(&error.to_string()))?;
                    continue;
                }
                Value::String(text) => text,
                Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                other => other.to_string(),
            };
            texts.push((name, text));
        }
        let mut entry = Self::of(texts.iter().map(|(name, text)| (&**name, &**text)))?;
        for (model, limits) in limits {
            entry.key = entry.key.limits(model, limits.limits());
        }
        Ok(entry)
    }
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

impl JsonSchema for KeyEntry {
    fn schema_name() -> Cow<'static, str> {
        "KeyEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let limits = generator.subschema_for::<BTreeMap<String, LimitsEntry>>();
        let property = |(name, expected): (&str, &str)| match name {
            "limits" => (name.to_owned(), json!(limits)),
            "models" => (name.to_owned(), json!({ "type": ["string", "array"], "description": expected })),
            _ => (name.to_owned(), json!({ "type": ["string", "number"], "description": expected })),
        };
        let properties: serde_json::Map<_, _> = OPTIONS.into_iter().map(property).collect();
        json_schema!({ "type": "object", "additionalProperties": false, "properties": properties })
    }
}

/// Limits of a project for a model. Each is optional; all hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsEntry {
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Requests a day of the project's zone.
    pub rpd: Option<u64>,
    /// Prompt tokens a minute.
    pub tpm: Option<u64>,
    /// Prompt tokens a day.
    pub tpd: Option<u64>,
    /// Tokens of answers a minute.
    pub output_tpm: Option<u64>,
    /// Tokens of prompts and answers together a minute.
    pub total_tpm: Option<u64>,
    /// Images a minute.
    pub ipm: Option<u64>,
    /// Images a day.
    pub ipd: Option<u64>,
}

impl LimitsEntry {
    /// As a pool takes them.
    pub fn limits(&self) -> Limits {
        let amounts = [
            (self.rpm, Unit::Requests, Span::MINUTE),
            (self.rpd, Unit::Requests, Span::Day),
            (self.tpm, Unit::InputTokens, Span::MINUTE),
            (self.tpd, Unit::InputTokens, Span::Day),
            (self.output_tpm, Unit::OutputTokens, Span::MINUTE),
            (self.total_tpm, Unit::Tokens, Span::MINUTE),
            (self.ipm, Unit::Images, Span::MINUTE),
            (self.ipd, Unit::Images, Span::Day),
        ];
        let given = amounts.into_iter().filter_map(|(amount, unit, span)| Some(Limit { unit, span, amount: amount? }));
        given.fold(Limits::new(), Limits::with)
    }
}
