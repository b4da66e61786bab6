//! The effective configuration: every setting with its value and where it came from. Secrets are `***` by their type.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value, json};
use tower_keypool::{
    Gemini, Limits, Tier,
    config::{ConfigErrors, Document, Origin},
};

use super::{Inputs, Loaded, ProviderName, count};

/// Every setting there is.
#[derive(Clone, Debug)]
pub struct Effective {
    file: Option<String>,
    settings: Vec<(String, Value, Origin)>,
    keys: Vec<Shown>,
    /// What is assumed of models by tier, where nothing is given or learned.
    known: Vec<(String, String, Vec<String>)>,
    notes: Vec<String>,
}

/// A key, as it may be shown.
#[derive(Clone, Debug)]
struct Shown {
    id: String,
    priority: u16,
    tier: Option<String>,
    owner: Option<String>,
    /// By model, given.
    limits: BTreeMap<String, Vec<String>>,
    /// Of every model, until an answer says otherwise.
    assumed: Vec<String>,
    origins: Vec<Origin>,
}

fn known_table() -> Vec<(String, String, Vec<String>)> {
    let row = |(model, tier, given): (&str, Tier, Limits)| (model.to_owned(), tier.name().to_owned(), limits(&given));
    Gemini::known_limits_table().map(row).collect()
}

fn limits(limits: &Limits) -> Vec<String> {
    limits.iter().map(|limit| format!("{} {limit}", limit.amount)).collect()
}

impl Effective {
    /// Reads it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of(inputs: &Inputs) -> Result<Self, ConfigErrors> {
        let Loaded { config, keys, own_token, token, .. } = inputs.load()?;
        let texts = inputs.texts()?;
        let document = texts.document();
        let assumes = config.limits.assume_known == Some(true) && config.gateway.provider == ProviderName::Gemini;
        let mut settings = Vec::new();
        let mut all = serde_json::to_value(&config).unwrap_or_default();
        if !own_token {
            // Everybody knows it.
            all["gateway"]["token"] = token.into();
        }
        walk("", &all, &document, &mut settings);
        let shown = |spec: &tower_keypool::config::KeySpec| Shown {
            id: spec.key().key_id().to_string(),
            priority: spec.key().priority_of().0,
            tier: spec.tier.as_ref().map(|tier| tier.name().to_owned()),
            owner: spec.owner.clone(),
            limits: spec.limits.iter().map(|(model, given)| (model.clone(), limits(given))).collect(),
            assumed: limits(&spec.assumed),
            origins: spec.origins.clone(),
        };
        Ok(Self {
            file: texts.path.as_deref().map(|path| path.display().to_string()),
            settings,
            keys: keys.keys.iter().map(shown).collect(),
            known: if assumes { known_table() } else { Vec::new() },
            notes: keys.notes.iter().map(ToString::to_string).collect(),
        })
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let settings: Map<String, Value> = self
            .settings
            .iter()
            .map(|(path, value, origin)| (path.clone(), json!({ "value": value, "origin": origin.to_string() })))
            .collect();
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|key| {
                let origins: Vec<String> = key.origins.iter().map(ToString::to_string).collect();
                json!({
                    "id": key.id,
                    "priority": key.priority,
                    "tier": key.tier,
                    "owner": key.owner,
                    "limits": key.limits,
                    "assumed": key.assumed,
                    "origins": origins,
                })
            })
            .collect();
        let known: Vec<Value> = self
            .known
            .iter()
            .map(|(model, tier, limits)| json!({ "model": model, "tier": tier, "limits": limits }))
            .collect();
        json!({
            "file": self.file,
            "settings": settings,
            "keys": keys,
            "known_limits": { "as_of": Gemini::KNOWN_LIMITS_AS_OF, "table": known },
            "notes": self.notes,
        })
    }
}

/// Every value without others in it; empty tables and lists, too.
fn walk(path: &str, value: &Value, document: &Document<'_>, settings: &mut Vec<(String, Value, Origin)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
                let name = if plain { name.clone() } else { format!("\"{name}\"") };
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                walk(&path, value, document, settings);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (n, value) in items.iter().enumerate() {
                walk(&format!("{path}[{n}]"), value, document, settings);
            }
        }
        _ => settings.push((path.to_owned(), value.clone(), document.exact_origin(path))),
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(path) => writeln!(f, "# {path}, the environment, and options")?,
            None => writeln!(f, "# no configuration file; the environment, and options")?,
        }
        for (path, value, origin) in &self.settings {
            let value = if value.is_null() { "(not set)".to_owned() } else { value.to_string() };
            writeln!(f, "{:<72} # {origin}", format!("{path} = {value}"))?;
        }
        if !self.known.is_empty() {
            let as_of = Gemini::KNOWN_LIMITS_AS_OF;
            writeln!(
                f,
                "# limits that are assumed of a tier where none is given or learned (known in {as_of}; limits.known wins):"
            )?;
        }
        for (model, tier, limits) in &self.known {
            writeln!(f, "#   {model}, {tier}: {}", limits.join(", "))?;
        }
        writeln!(f, "# {} in all", count(self.keys.len(), "key"))?;
        for key in &self.keys {
            write!(f, "#   {}: ", key.id)?;
            if let Some(tier) = &key.tier {
                write!(f, "{tier}, ")?;
            }
            if let Some(owner) = &key.owner {
                write!(f, "owner {owner}, ")?;
            }
            let origins: Vec<String> = key.origins.iter().map(ToString::to_string).collect();
            write!(f, "priority {}", key.priority)?;
            for (model, limits) in &key.limits {
                write!(f, ", {model}: {}", limits.join(" "))?;
            }
            if !key.assumed.is_empty() {
                write!(f, ", {} until learned otherwise", key.assumed.join(" "))?;
            }
            writeln!(f, ", from {}", origins.join(" and "))?;
        }
        for note in &self.notes {
            writeln!(f, "# note: {note}")?;
        }
        Ok(())
    }
}
