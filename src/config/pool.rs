//! What makes a pool.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Environment, KeyConfig, LimitsConfig, Loaded, Place, Problem, Problems,
    document::read,
    plain::plain,
};
use crate::{Anthropic, ApiKeyHeader, Base, Error, Gemini, KeyPoolBuilder, OpenAi, Provider, Rule, Strategy};

/// A provider, how its keys are chosen, and where they are: a table of TOML. Each setting is optional.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PoolConfig {
    /// The shape of its API.
    pub provider: ProviderKind,
    /// The name for the provider's key variables (`groq`: `GROQ_API_KEYS`), and in logs, metrics and rules where the API is of a kind
    /// that several providers have (`openai`, `api-key-header`). That of the kind unless set.
    #[serde(deserialize_with = "plain")]
    pub name: Option<String>,
    /// Where the API lives; the provider's own address unless set. `azure` and `api-key-header` need it.
    #[serde(deserialize_with = "plain")]
    #[schemars(with = "Option<String>")]
    pub base: Option<Base>,
    /// The header that carries the key, for `api-key-header`; `Authorization: Bearer` unless set.
    #[serde(deserialize_with = "plain")]
    pub header: Option<String>,
    /// How ready keys are ordered.
    #[schemars(with = "String", extend("enum" = Strategy::ALL.map(Strategy::as_str)))]
    pub strategy: Strategy,
    /// How long a request waits for a key: seconds, or `500ms`, `2s`, `1m`. Not at all unless set.
    #[serde(deserialize_with = "plain")]
    #[schemars(with = "Option<String>")]
    pub wait: Option<Duration>,
    /// Whether the provider's variables, such as `GEMINI_API_KEYS`, are read; they are unless set.
    pub key_variables: bool,
    /// Key files, relative to this file's folder.
    pub key_files: Vec<PathBuf>,
    /// Keys.
    pub keys: Vec<KeyConfig>,
    /// Limits of every project by model; a name may end in `*`. Limits of a key's own take their place.
    pub limits: BTreeMap<String, LimitsConfig>,
    /// Rows of the classification table that are tried before the built-in ones.
    #[schemars(schema_with = "rules_schema")]
    pub errors: Vec<Rule>,
    /// The file that it was read from.
    #[serde(skip)]
    pub path: PathBuf,
}

/// The shape of a provider's API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProviderKind {
    /// [`Gemini`].
    #[default]
    Gemini,
    /// [`OpenAi`], or any API of its shape.
    #[serde(rename = "openai")]
    OpenAi,
    /// OpenAI's API at Azure.
    Azure,
    /// [`Anthropic`].
    Anthropic,
    /// [`ApiKeyHeader`]: any API that takes its key in a header.
    ApiKeyHeader,
}

impl ProviderKind {
    /// Its name in configurations, such as `gemini`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gemini => "gemini",
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Anthropic => "anthropic",
            Self::ApiKeyHeader => "api-key-header",
        }
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            provider: ProviderKind::default(),
            name: None,
            base: None,
            header: None,
            strategy: Strategy::default(),
            wait: None,
            key_variables: true,
            key_files: Vec::new(),
            keys: Vec::new(),
            limits: BTreeMap::new(),
            errors: Vec::new(),
            path: PathBuf::new(),
        }
    }
}

impl PoolConfig {
    /// Reads a file, with the variables `KEYPOOL__STRATEGY` and the like over it.
    ///
    /// # Errors
    /// Everything that is wrong with it, each by its place.
    pub fn load(path: impl AsRef<Path>, environment: &Environment) -> Result<Self, Problems> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let place = Place::File { path: path.to_owned(), line: None };
            Problem::new(place, format!("the file cannot be read: {error}"))
        })?;
        Self::from_toml(path, &text, environment)
    }

    /// The same of a file's text. Files that it names are looked for in the folder of `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each by its place.
    pub fn from_toml(path: impl AsRef<Path>, text: &str, environment: &Environment) -> Result<Self, Problems> {
        let path = path.as_ref();
        let config: Self = read(path, text, environment)?;
        let config = Self { path: path.to_owned(), ..config };
        match config.provider() {
            Ok(_) => Ok(config),
            Err(error) => {
                let place = Place::File { path: path.to_owned(), line: None };
                Err(Problem::of_setting(place, "provider".to_owned(), error.to_string()).into())
            }
        }
    }

    /// The JSON schema of the table.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// The provider.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where `base` is missing, or `header` is set where it has no meaning.
    pub fn provider(&self) -> Result<Box<dyn Provider>, Error> {
        let base = self.base.as_ref().map(ToString::to_string);
        let required = || {
            let kind = self.provider.as_str();
            base.as_deref().ok_or_else(|| Error::config(format!("provider = \"{kind}\" needs a base")))
        };
        if self.header.is_some() && self.provider != ProviderKind::ApiKeyHeader {
            return Err(Error::config("header is for provider = \"api-key-header\" alone"));
        }
        Ok(match self.provider {
            ProviderKind::Gemini => Box::new(base.as_deref().map_or_else(|| Ok(Gemini::new()), Gemini::at)?),
            ProviderKind::Anthropic => Box::new(base.as_deref().map_or_else(|| Ok(Anthropic::new()), Anthropic::at)?),
            ProviderKind::OpenAi | ProviderKind::Azure => {
                let openai = match self.provider {
                    ProviderKind::Azure => OpenAi::at(required()?)?.azure(),
                    _ => base.as_deref().map_or_else(|| Ok(OpenAi::new()), OpenAi::at)?,
                };
                Box::new(match &self.name {
                    Some(name) => openai.named(name.clone()),
                    None => openai,
                })
            }
            ProviderKind::ApiKeyHeader => {
                let api = match &self.header {
                    Some(header) => ApiKeyHeader::header(header, required()?)?,
                    None => ApiKeyHeader::bearer(required()?)?,
                };
                Box::new(match &self.name {
                    Some(name) => api.named(name.clone()),
                    None => api,
                })
            }
        })
    }

    /// A pool with the settings, to which the [`keys`](Self::keys) are added.
    ///
    /// # Errors
    /// Those of [`provider`](Self::provider).
    pub fn builder(&self) -> Result<KeyPoolBuilder, Error> {
        let mut builder = KeyPoolBuilder::new(self.provider()?).strategy(self.strategy).rules(self.errors.clone());
        if let Some(wait) = self.wait {
            builder = builder.wait(wait);
        }
        Ok(self.limits.iter().fold(builder, |builder, (model, limits)| builder.limits(model.as_str(), limits.limits())))
    }

    /// The keys of the provider's variables, of the key files and of `[[keys]]`. Of a key that is listed several times the last
    /// entry counts.
    pub fn keys(&self, environment: &Environment) -> Loaded {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let mut loaded = Loaded::default();
        if self.key_variables {
            let name = self.name.as_deref().unwrap_or(self.provider.as_str());
            environment.load(name, &mut loaded);
        }
        for file in &self.key_files {
            loaded.read_file(&folder.join(file), None);
        }
        for (n, key) in self.keys.iter().enumerate() {
            let place = Place::Entry { path: self.path.clone(), table: "keys", number: n + 1 };
            loaded.add(place, key.clone().resolved(folder, environment));
        }
        loaded
    }
}

/// A row of `errors`: see [`Rule`].
fn rules_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let one_or_many = |one: serde_json::Value| serde_json::json!({ "anyOf": [one, { "type": "array", "items": one }] });
    let status = serde_json::json!({ "type": "integer", "minimum": 100, "maximum": 599 });
    let text = serde_json::json!({ "type": "string" });
    let classes = [
        "rate_limit", "daily_quota", "not_entitled", "billing", "key_rejected", "unclear", "egress", "transient",
        "model_not_found", "caller",
    ];
    let scopes =
        ["request", "key", "key_model", "project", "project_model", "model", "billing_account", "exit"];
    schemars::json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["class"],
            "properties": {
                "provider": text,
                "status": one_or_many(status),
                "code": one_or_many(text.clone()),
                "message": one_or_many(text.clone()),
                "class": { "enum": classes },
                "scope": { "enum": scopes },
                "cooldown_seconds": { "type": "integer", "minimum": 0 },
            },
        },
    })
}
