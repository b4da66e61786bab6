//! The configuration of a pool.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use super::{
    Environment, KeyEntry, LimitsEntry, Loaded, Problem,
    document::read,
    key_entry::{duration, text_of},
    loaded::shown,
};
use crate::{Anthropic, ApiKeyHeader, Error, Gemini, KeyPoolBuilder, OpenAi, Provider, Rule, Strategy};

/// A TOML table that configures a provider, its keys, and the choice of a key. Each setting is optional.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PoolConfig {
    /// The API of the provider: `gemini`, `openai` (also for Azure), `anthropic`, or `api-key-header` for any API that
    /// takes its key in a header; `gemini` by default.
    #[schemars(extend("enum" = PROVIDERS))]
    pub provider: Option<String>,
    /// The name in key variables (`groq`: `GROQ_API_KEYS`), and, if the API is `openai` or `api-key-header`, in logs,
    /// metrics and rules. By default the name of the API.
    pub name: Option<String>,
    /// The base URL of the API; by default the provider's own. Required for `api-key-header`.
    pub base: Option<String>,
    /// The header that contains the key, for `api-key-header`; `Authorization: Bearer` by default.
    pub header: Option<String>,
    /// The order in which ready keys are used.
    pub strategy: Strategy,
    /// How long a request waits for a key: seconds, or `500ms`, `2s`, `1m`. Zero by default.
    #[serde(deserialize_with = "wait")]
    #[schemars(extend("type" = ["string", "number"]))]
    pub wait: Duration,
    /// Whether keys are read from the provider's variables, such as `GEMINI_API_KEYS`; true by default.
    pub key_variables: Option<bool>,
    /// Key files, relative to the folder of this file.
    pub key_files: Vec<PathBuf>,
    /// Keys.
    pub keys: Vec<KeyEntry>,
    /// Limits of each project by model; a name may end in `*`. The own limits of a key replace them.
    pub limits: BTreeMap<String, LimitsEntry>,
    /// Rules of the error table that are tried before the built-in rules; see [`Rule`].
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    pub errors: Vec<Rule>,
    /// The file from which the configuration was read.
    #[serde(skip)]
    pub path: PathBuf,
}

const PROVIDERS: [&str; 4] = ["gemini", "openai", "anthropic", "api-key-header"];

fn wait<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = text_of(&Value::deserialize(deserializer)?);
    duration(&text).ok_or_else(|| D::Error::custom("expected seconds, or a time such as 500ms, 2s or 1m; at most 24h"))
}

impl PoolConfig {
    /// Reads a file. Variables such as `KEYPOOL__STRATEGY` override its settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with all problems, one a line, each with its place.
    pub fn load(path: impl AsRef<Path>, environment: &Environment) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::config(format!("{}: the file cannot be read: {error}", shown(path))))?;
        Self::from_toml(path, &text, environment)
    }

    /// Parses the text of a file. Paths in it are relative to the folder of `path`.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub fn from_toml(path: impl AsRef<Path>, text: &str, environment: &Environment) -> Result<Self, Error> {
        let path = path.as_ref();
        let all = |problems: Vec<Problem>| problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n");
        let config: Self = read(path, text, environment).map_err(|problems| Error::config(all(problems)))?;
        config.provider().map_err(|error| Error::config(format!("{}: {error}", shown(path))))?;
        Ok(Self { path: path.to_owned(), ..config })
    }

    /// Returns the JSON schema of the table.
    pub fn json_schema() -> Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Creates the provider.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the provider is unknown, if `base` is missing or not a URL,
    /// or if `header` is set for another provider than `api-key-header`.
    pub fn provider(&self) -> Result<Box<dyn Provider>, Error> {
        let kind = self.kind();
        if self.header.is_some() && kind != "api-key-header" {
            return Err(Error::config("header is only allowed for provider = \"api-key-header\""));
        }
        Ok(match (kind, self.base.as_deref()) {
            ("gemini", base) => Box::new(base.map_or_else(|| Ok(Gemini::new()), Gemini::at)?),
            ("anthropic", base) => Box::new(base.map_or_else(|| Ok(Anthropic::new()), Anthropic::at)?),
            ("openai", base) => {
                let openai = base.map_or_else(|| Ok(OpenAi::new()), OpenAi::at)?;
                Box::new(self.name.iter().fold(openai, |openai, name| openai.named(name.clone())))
            }
            ("api-key-header", Some(base)) => {
                let bearer = || ApiKeyHeader::bearer(base);
                let api = self.header.as_ref().map_or_else(bearer, |header| ApiKeyHeader::header(header, base))?;
                Box::new(self.name.iter().fold(api, |api, name| api.named(name.clone())))
            }
            ("api-key-header", None) => return Err(Error::config("provider = \"api-key-header\" needs a base")),
            _ => return Err(Error::config(format!("provider: expected one of {}", PROVIDERS.join(", ")))),
        })
    }

    pub(super) fn kind(&self) -> &str {
        self.provider.as_deref().unwrap_or("gemini")
    }

    /// Returns the names of the provider in variables: its own name, its API and the words of its host.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = vec![self.name.as_deref().unwrap_or(self.kind())];
        // Many other services have OpenAI's API and must not get keys of OpenAI.
        if self.base.is_none() || self.kind() != "openai" {
            names.push(self.kind());
        }
        names.extend((self.kind() == "gemini").then_some("google"));
        let base = self.base.as_deref().and_then(|base| base.parse::<http::Uri>().ok());
        let host = base.as_ref().and_then(http::Uri::host).unwrap_or_default();
        names.into_iter().chain(host.split('.').filter(|word| word.len() > 3)).map(str::to_owned).collect()
    }

    /// Returns a builder with these settings but without the keys, which [`keys`](Self::keys) loads.
    ///
    /// # Errors
    /// Those of [`provider`](Self::provider).
    pub fn builder(&self) -> Result<KeyPoolBuilder, Error> {
        let builder = KeyPoolBuilder::new(self.provider()?);
        let builder = builder.strategy(self.strategy).wait(self.wait).rules(self.errors.clone());
        Ok(self.limits.iter().fold(builder, |builder, (model, limits)| builder.limits(model.as_str(), limits.limits())))
    }

    /// Loads the keys of the provider's variables, of the key files and of `[[keys]]`. If a key is listed several
    /// times, its last entry is used.
    pub fn keys(&self, environment: &Environment) -> Loaded {
        let mut loaded = Loaded::of(self);
        if self.key_variables.unwrap_or(true) {
            loaded.add_variables(self.name.as_deref().unwrap_or(self.kind()), environment);
        }
        self.key_files.iter().for_each(|file| loaded.add_file(self.path.parent().unwrap_or(Path::new("")).join(file)));
        let of = self.name.as_ref().map(|name| format!(" of provider {name}")).unwrap_or_default();
        let variable = environment.get("KEYPOOL__KEYS").filter(|_| self.name.is_none());
        let file = variable.map_or_else(|| shown(&self.path), |_| "KEYPOOL__KEYS".to_owned());
        for (n, key) in self.keys.iter().enumerate() {
            loaded.add_entry(format!("{file}, entry {} of [[keys]]{of}", n + 1), key.clone(), environment);
        }
        loaded
    }
}
