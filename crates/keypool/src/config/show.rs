//! The effective configuration: every setting with its value and where it came from. Secrets are `***` by their type.

use std::{fmt, sync::Arc};

use serde_json::{Map, Value, json};
use tower_keypool::{
    Tier,
    config::{ConfigErrors, Document, Interval, KeySpec, Origin},
    store::{SharedRedis, SharedSqlite},
};

use super::{
    Beside, Inputs, Loaded, count,
    known::{self, Known, amounts},
    schema,
    unset::stands_for,
};
use crate::{
    database::{Site, Stored},
    telemetry::plain,
};

/// Every setting there is.
#[derive(Clone, Debug)]
pub struct Effective {
    file: Option<String>,
    database: Base,
    settings: Vec<(String, Value, Origin)>,
    keys: Vec<KeySpec>,
    /// Providers beside the gateway's own, each with its keys.
    beside: Vec<Beside>,
    /// What is assumed of models by tier, where nothing is given or learned.
    known: Vec<Known>,
    notes: Vec<String>,
}

/// The database, as it is there.
#[derive(Clone, Debug)]
struct Base {
    place: String,
    /// How many keys it keeps; why nobody can tell.
    keys: Result<usize, String>,
}

impl Effective {
    /// Reads it, with what `look` finds in the database, and in those of providers beside the gateway's own.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of(inputs: &Inputs, look: impl Fn(&Site) -> Result<Option<Stored>, String>) -> Result<Self, ConfigErrors> {
        let loaded = inputs.load()?;
        let site = Site::of(&loaded.store);
        let looked = look(&site);
        let keys = match &looked {
            Ok(Some(stored)) => Ok(stored.kept),
            Ok(None) if site.path().is_some() => Err("it is not there yet".to_owned()),
            Ok(None) => Err("nothing outlives the process".to_owned()),
            Err(error) => Err(error.clone()),
        };
        let Loaded { config, keys: all, beside, own_token, token, .. } =
            loaded.with(&Stored::sources(looked.ok().flatten()));
        let and_kept = |one: &Beside| one.with(&Stored::sources(look(&site.beside(&one.name)).ok().flatten()));
        let beside = beside.iter().map(and_kept).collect();
        let texts = inputs.texts()?;
        let document = texts.document();
        let mut settings = Vec::new();
        let mut values = serde_json::to_value(&config).unwrap_or_default();
        if !own_token {
            // Everybody knows it.
            values["gateway"]["token"] = token.into();
        }
        if config.store.renew.is_none() {
            let usual = match &site {
                Site::Memory => None,
                Site::File { .. } => Some(SharedSqlite::usual()),
                Site::Server(_) => Some(SharedRedis::usual()),
            };
            let every = usual.map(|usual| Interval::<0>(config.store.sharing(&usual).renew_every));
            values["store"]["renew"] = serde_json::to_value(every).unwrap_or_default();
        }
        walk("", &values, &document, &mut settings);
        Ok(Self {
            file: texts.path.as_deref().map(|path| path.display().to_string()),
            database: Base { place: site.to_string(), keys },
            settings,
            beside,
            known: known::known(&config, &document),
            notes: all.notes.iter().map(ToString::to_string).collect(),
            keys: Arc::unwrap_or_clone(all).keys,
        })
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let settings: Map<String, Value> = self
            .settings
            .iter()
            .map(|(path, value, origin)| (path.clone(), json!({ "value": value, "origin": origin.to_string() })))
            .collect();
        let keys: Vec<Value> = self.keys.iter().map(key_json).collect();
        let known: Vec<Value> = self.known.iter().map(Known::json).collect();
        let database = match &self.database.keys {
            Ok(keys) => json!({ "place": self.database.place, "keys": keys }),
            Err(why) => json!({ "place": self.database.place, "keys": null, "why": why }),
        };
        json!({
            "file": self.file,
            "database": database,
            "settings": settings,
            "keys": keys,
            "providers": self.beside.iter().map(beside_json).collect::<Vec<_>>(),
            "known_limits": { "as_of": tower_keypool::Gemini::KNOWN_LIMITS_AS_OF, "table": known },
            "notes": self.notes,
        })
    }
}

/// What holds of a key.
fn key_json(spec: &KeySpec) -> Value {
    let key = spec.key();
    let origins: Vec<String> = spec.origins.iter().map(ToString::to_string).collect();
    let limits: Map<String, Value> =
        spec.limits.iter().map(|(model, given)| (model.clone(), json!(amounts(given)))).collect();
    json!({
        "id": key.key_id().to_string(),
        "priority": key.priority_of().0,
        "tier": spec.tier.as_ref().map(Tier::name),
        "weight": spec.weight.unwrap_or(1.0),
        "owner": spec.owner,
        "billing_account": spec.billing_account,
        "exit": spec.exit,
        "max_concurrent_requests": spec.max_concurrent,
        "min_interval": spec.min_interval.map(Interval::<0>),
        "zone": spec.zone,
        "labels": spec.labels,
        "limits": limits,
        "assumed": amounts(&spec.assumed),
        "disabled": spec.disabled,
        "origins": origins,
    })
}

/// What holds of a provider beside the gateway's own.
fn beside_json(beside: &Beside) -> Value {
    json!({
        "name": beside.name,
        "kind": beside.kind,
        "upstream": beside.provider.base().to_string(),
        "models": beside.models,
        "keys": beside.keys().keys.iter().map(key_json).collect::<Vec<_>>(),
    })
}

/// The same as a line; what nobody said is left out.
struct Line<'a>(&'a KeySpec);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(spec) = self;
        let key = spec.key();
        write!(f, "{}: ", key.key_id())?;
        if let Some(tier) = &spec.tier {
            write!(f, "{}, ", tier.name())?;
        }
        write!(f, "priority {}", key.priority_of().0)?;
        if let Some(weight) = spec.weight {
            write!(f, ", weight {weight}")?;
        }
        for (what, name) in [
            ("owner", &spec.owner),
            ("billing account", &spec.billing_account),
            ("exit", &spec.exit),
            ("zone", &spec.zone),
        ] {
            if let Some(name) = name {
                write!(f, ", {what} {name}")?;
            }
        }
        if let Some(most) = spec.max_concurrent {
            write!(f, ", {most} at once")?;
        }
        if let Some(interval) = spec.min_interval {
            write!(f, ", one in {interval:?}")?;
        }
        for (model, given) in &spec.limits {
            write!(f, ", {model}: {}", amounts(given).join(" "))?;
        }
        if !spec.assumed.is_empty() {
            write!(f, ", {} until learned otherwise", amounts(&spec.assumed).join(" "))?;
        }
        if let Some(why) = &spec.disabled {
            write!(f, ", disabled: {}", plain(why))?;
        }
        let origins: Vec<String> = spec.origins.iter().map(ToString::to_string).collect();
        write!(f, ", from {}", origins.join(" and "))
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
        match &self.database.keys {
            Ok(keys) => writeln!(f, "# database {}: {}", self.database.place, count(*keys, "key"))?,
            Err(why) => writeln!(f, "# database {}: {why}", self.database.place)?,
        }
        let schema = schema();
        for (path, value, origin) in &self.settings {
            let value = match value {
                Value::Null => match stands_for(&schema, path) {
                    Some(usual) => format!("(not set: {usual})"),
                    None => "(not set)".to_owned(),
                },
                value => value.to_string(),
            };
            writeln!(f, "{:<72} # {origin}", format!("{path} = {value}"))?;
        }
        if !self.known.is_empty() {
            writeln!(
                f,
                "# assumed of a tier's model, and of those whose name begins so, where no limit is given or learned:"
            )?;
        }
        for known in &self.known {
            writeln!(f, "#   {known}")?;
        }
        writeln!(f, "# {} in all", count(self.keys.len(), "key"))?;
        for key in &self.keys {
            writeln!(f, "#   {}", Line(key))?;
        }
        for beside in &self.beside {
            let Beside { name, provider, models, .. } = beside;
            let keys = &beside.keys().keys;
            let models = if models.is_empty() { String::new() } else { format!(" for {}", models.join(", ")) };
            writeln!(f, "# provider {name}: {}{models}, {}", provider.base(), count(keys.len(), "key"))?;
            for key in keys {
                writeln!(f, "#   {}", Line(key))?;
            }
        }
        for note in &self.notes {
            writeln!(f, "# note: {note}")?;
        }
        Ok(())
    }
}
