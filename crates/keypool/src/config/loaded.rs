//! The configuration after it was read and checked.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use tower_keypool::{
    Key, KeyPoolBuilder,
    config::{Environment, Loaded as LoadedKeys, PoolConfig, Problem},
};

use super::{Config, ProviderKind, SecretText, schema::LogFormat};

/// The problems of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub fn one(place: impl fmt::Display, message: impl Into<String>) -> Self {
        Self(vec![Problem::new(place.to_string(), message)])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// A valid configuration, with the values that were resolved from it: addresses, tokens from files, proxies from
/// variables.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The configuration file; empty if there is none.
    pub path: PathBuf,
    pub environment: Environment,
    pub listen: SocketAddr,
    pub admin_listen: Option<SocketAddr>,
    /// The token that clients send.
    pub token: SecretText,
    pub admin_token: Option<SecretText>,
    pub redis_password: Option<SecretText>,
    /// The URL of each exit's proxy.
    pub proxies: BTreeMap<String, SecretText>,
    /// The hash of each tenant's token, in the order of the configuration.
    pub tenant_hashes: Vec<[u8; 32]>,
    /// The origin of each setting that is set: an option, a variable, or a line of the file.
    pub origins: BTreeMap<String, String>,
    /// The absolute path of [`DEFAULT_KEY_FILE`] if it exists, or existed at an earlier load of this process.
    pub default_key_file: Option<PathBuf>,
}

/// The problem of a key whose exit is not in the configuration.
pub const NO_EXIT: &str = "the key's exit is not in the configuration: add it to [exits]";

/// The problem of a key that is a token of the gateway.
pub const OWN_TOKEN: &str = "this is the gateway's own token, not a key of a provider";

/// The settings of one provider's pool.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The provider's name.
    pub name: String,
    pub kind: ProviderKind,
    /// Whether it is the gateway's own provider, which gets the models that no other provider lists.
    is_own: bool,
    /// Models whose requests go to this provider.
    pub models: Vec<String>,
    pub fallback: Vec<String>,
    config: PoolConfig,
}

impl Loaded {
    /// Returns the folder that paths are relative to.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    pub fn is_json_log(&self) -> bool {
        self.config.log.format == LogFormat::Json
    }

    /// Returns the settings of each provider's pool, the gateway's own first.
    pub fn pools(&self) -> Vec<PoolSettings> {
        let config = &self.config;
        let gateway = &config.gateway;
        let mut own = PoolConfig::default();
        own.provider = Some(gateway.provider.as_str().to_owned());
        own.base.clone_from(&gateway.upstream);
        own.key_variables = Some(config.pool.key_variables);
        own.key_files =
            config.pool.key_files.clone().unwrap_or_else(|| self.default_key_file.iter().cloned().collect());
        own.keys.clone_from(&config.keys);
        let limits = config.models.iter().filter_map(|model| Some((model.name.clone(), model.limits.clone()?)));
        own.limits = limits.collect();
        let own = PoolSettings {
            name: gateway.provider.as_str().to_owned(),
            kind: gateway.provider,
            is_own: true,
            models: Vec::new(),
            fallback: config.pool.fallback.clone(),
            config: own,
        };
        let others = config.providers.iter().map(|entry| {
            let name = entry.name.clone().unwrap_or_else(|| entry.kind.as_str().to_owned());
            let mut pool = PoolConfig::default();
            pool.provider = Some(entry.kind.as_str().to_owned());
            pool.name = Some(name.clone());
            pool.base.clone_from(&entry.upstream);
            pool.header.clone_from(&entry.header);
            pool.key_variables = Some(config.pool.key_variables);
            pool.key_files.clone_from(&entry.key_files);
            pool.keys.clone_from(&entry.keys);
            pool.limits.clone_from(&entry.limits);
            let default = || default_models(entry.kind).iter().map(|model| (*model).to_owned()).collect();
            PoolSettings {
                name,
                kind: entry.kind,
                is_own: false,
                models: entry.models.clone().unwrap_or_else(default),
                fallback: entry.fallback.clone(),
                config: pool,
            }
        });
        let mut pools: Vec<PoolSettings> = [own].into_iter().chain(others).collect();
        for settings in &mut pools {
            settings.config.path.clone_from(&self.path);
            settings.config.strategy = config.pool.strategy;
            settings.config.wait = config.pool.wait.0;
            settings.config.errors.clone_from(&config.errors);
        }
        // Variables such as OPENAI_API_KEYS belong to the first provider of that name.
        for n in 1..pools.len() {
            let taken = pools[..n].iter().any(|earlier| earlier.name == pools[n].name);
            if taken {
                pools[n].config.key_variables = Some(false);
            }
        }
        pools
    }

    /// Returns the keys that the configuration lists for a pool, and the problems of invalid entries. Each key has the
    /// exit that the configuration gives its project.
    pub fn keys(&self, settings: &PoolSettings) -> LoadedKeys {
        let mut loaded = settings.config.keys(&self.environment);
        let keys = std::mem::take(&mut loaded.keys);
        for key in keys.into_iter().map(|key| self.placed(settings, key)) {
            let place = loaded.place(&key.id()).unwrap_or_default().to_owned();
            if self.is_own_token(&key) {
                // Clients on this machine have the token in such a variable, too.
                let is_variable = place.split(", value ").any(|name| self.environment.get(name).is_some());
                if !is_variable {
                    loaded.problems.push(Problem::of_entry(place, OWN_TOKEN));
                }
            } else if self.has_exit_of(&key) {
                loaded.keys.push(key);
            } else {
                loaded.problems.push(Problem::of_entry(place, NO_EXIT));
            }
        }
        loaded
    }

    /// Reports whether a key is a token of clients or of the administrator, which is never used as a key.
    pub fn is_own_token(&self, key: &Key) -> bool {
        [Some(&self.token), self.admin_token.as_ref()].into_iter().flatten().any(|token| key.has_secret(token.expose()))
    }

    /// Reports whether a key's exit, if it has one, is in the configuration.
    pub fn has_exit_of(&self, key: &Key) -> bool {
        key.exit_name().is_none_or(|exit| self.config.exits.contains_key(exit))
    }

    /// Returns the key with its exit and with its project as the store names it.
    pub fn placed(&self, settings: &PoolSettings, key: Key) -> Key {
        let exit = key.project_name().and_then(|project| {
            let listed = |(_, exit): &(&String, &super::ExitEntry)| exit.projects.iter().any(|name| name == project);
            self.config.exits.iter().find(listed).map(|(name, _)| name.clone())
        });
        let key = match exit {
            Some(exit) if key.exit_name().is_none() => key.exit(exit),
            _ => key,
        };
        // All providers share one store, so projects have their provider's name as a prefix, except the gateway's own.
        if settings.is_own {
            return key;
        }
        let project = key.project_name().map_or_else(|| key.id().to_string(), str::to_owned);
        key.project(format!("{}/{project}", settings.name))
    }
}

impl PoolSettings {
    /// Returns a builder for the pool, without keys.
    ///
    /// # Errors
    /// If the provider's address or header is invalid.
    pub fn builder(&self) -> Result<KeyPoolBuilder, tower_keypool::Error> {
        Ok(self.config.builder()?.allow_empty())
    }

    /// Returns the sources of this provider's keys, for messages. A file that does not exist is reported elsewhere.
    pub fn sources(&self) -> String {
        let files = self.key_files().filter(|file| file.is_file()).map(|file| file.display().to_string());
        let mut sources: Vec<String> = files.collect();
        if self.is_own && self.config.key_files.is_empty() {
            sources.push(DEFAULT_KEY_FILE.to_owned());
        }
        if self.config.key_variables != Some(false) {
            let prefix = self.name.to_ascii_uppercase().replace(['-', '.'], "_");
            sources.push(format!("variables such as {prefix}_API_KEY"));
        }
        sources.push("the configuration".to_owned());
        sources.extend(self.is_own.then(|| "the database".to_owned()));
        sources.join(", ")
    }

    /// Reports whether keys of both pools are sent to the same provider, with the same header.
    pub fn sends_like(&self, other: &Self) -> bool {
        let destination = |settings: &Self| {
            (settings.kind, settings.is_own, settings.config.base.clone(), settings.config.header.clone())
        };
        destination(self) == destination(other)
    }

    /// Returns the header that carries the key, if it is configured.
    pub fn header(&self) -> Option<&str> {
        self.config.header.as_deref()
    }

    /// Creates an empty list of keys of this provider.
    pub fn no_keys(&self) -> LoadedKeys {
        LoadedKeys::of(&self.config)
    }

    /// Reads a file with keys of this provider.
    pub fn read_keys(&self, path: &str) -> LoadedKeys {
        let mut read = self.no_keys();
        read.add_file(path);
        read
    }

    /// Returns the paths of the key files.
    pub fn key_files(&self) -> impl Iterator<Item = PathBuf> {
        let folder = self.config.path.parent().unwrap_or(Path::new("")).to_owned();
        self.config.key_files.iter().map(move |file| folder.join(file))
    }
}

/// The key file that is used if `key_files` is not set.
pub const DEFAULT_KEY_FILE: &str = "key.txt";

pub(super) fn default_key_file() -> Option<PathBuf> {
    let file = Path::new(DEFAULT_KEY_FILE);
    file.is_file().then(|| std::path::absolute(file).unwrap_or(file.into()))
}

/// Returns the default models of a kind of provider.
pub fn default_models(kind: ProviderKind) -> &'static [&'static str] {
    match kind {
        ProviderKind::Gemini => &["gemini-*", "gemma-*", "imagen-*", "veo-*", "text-embedding-004", "models/*"],
        ProviderKind::OpenAi => &[
            "gpt-*",
            "ft:*",
            "o1*",
            "o3*",
            "o4*",
            "chatgpt-*",
            "text-embedding-3-*",
            "text-embedding-ada-*",
            "dall-e-*",
            "tts-*",
            "whisper-*",
            "omni-moderation-*",
            "codex-*",
            "sora-*",
            "davinci-002",
            "babbage-002",
        ],
        ProviderKind::Anthropic => &["claude-*"],
        ProviderKind::ApiKeyHeader => &[],
    }
}
