//! The settings of `keypool.toml`.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::IntoDeserializer as _};
use serde_json::Value;
use tower_keypool::{
    Rule, Strategy,
    config::{KeyEntry, LimitsEntry},
};

use super::values::{HumanDuration, SecretText, flag};
use crate::dialect::Dialect;

/// The contents of `keypool.toml`. Every setting is optional. Paths are relative to the folder of the file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys of the gateway's own provider. The table lists the allowed values of each option; keys-and-limits.md
    /// explains the options.
    pub keys: Vec<KeyEntry>,
    /// Key files, and how a key is chosen for a request.
    pub pool: PoolSection,
    /// Models: their limits and aliases.
    pub models: Vec<ModelEntry>,
    /// Custom rows for the error table. They are tried before the built-in rows.
    #[schemars(with = "Vec<RuleEntry>")]
    pub errors: Vec<Rule>,
    /// Address, upstream, tokens, limits and timeouts of `keypool serve`.
    pub gateway: GatewaySection,
    /// Additional providers, each with its own keys.
    pub providers: Vec<ProviderEntry>,
    /// Exits: proxies or local addresses through which requests leave this machine. A key selects one with `exit =
    /// "NAME"`.
    pub exits: BTreeMap<String, ExitEntry>,
    /// Tenants: clients of the gateway, each with its own token and limits.
    pub tenants: Vec<TenantEntry>,
    /// The admin API and the dashboard.
    pub admin: AdminSection,
    /// The log.
    pub log: LogSection,
    /// Storage of counts, cooldowns and keys, which survive a restart and can be shared by several processes.
    pub store: StoreSection,
    /// Defaults of `keypool batch`.
    pub batch: BatchSection,
}

/// The kind of a provider's API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// Google's Gemini API.
    #[default]
    Gemini,
    /// OpenAI's API, or a compatible one.
    #[serde(rename = "openai")]
    OpenAi,
    /// Anthropic's API.
    Anthropic,
    /// Any API that takes its key in a header.
    ApiKeyHeader,
}

impl ProviderKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gemini => "gemini",
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::ApiKeyHeader => "api-key-header",
        }
    }

    pub fn dialect(self) -> Dialect {
        match self {
            Self::Gemini => Dialect::Gemini,
            Self::OpenAi | Self::ApiKeyHeader => Dialect::OpenAi,
            Self::Anthropic => Dialect::Anthropic,
        }
    }
}

/// `[pool]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSection {
    /// Key files. Default: key.txt, if it exists.
    pub key_files: Option<Vec<PathBuf>>,
    /// Whether variables such as GEMINI_API_KEYS are read.
    #[serde(deserialize_with = "flag")]
    pub key_variables: bool,
    /// The order in which ready keys of the same priority are used.
    pub strategy: Strategy,
    /// How long a request may wait for a key; at most 1h.
    pub wait: HumanDuration,
    /// Models, best first. A request for one of them that no key can serve uses those after it.
    pub fallback: Vec<String>,
}

impl Default for PoolSection {
    fn default() -> Self {
        Self {
            key_files: None,
            key_variables: true,
            strategy: Strategy::default(),
            wait: HumanDuration::seconds(5),
            fallback: Vec::new(),
        }
    }
}

/// An entry of `[[models]]`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// The model's name. It may end in `*` if the entry only sets limits.
    pub name: String,
    /// Other names that clients may use for the model.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Limits for each project that has none of its own for this model.
    #[serde(default)]
    pub limits: Option<LimitsEntry>,
}

/// The schema of an entry of `[[errors]]`, which is read as a [`Rule`].
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only for the schema")]
struct RuleEntry {
    /// The provider's name. Default: all.
    provider: Option<String>,
    /// The status, or a list.
    status: Option<Value>,
    /// The error's code, or a list; `*` at an end matches any text.
    code: Option<Value>,
    /// A part of the message, or a list.
    message: Option<Value>,
    /// The class: rate_limit, daily_quota, not_entitled, billing, key_rejected, unclear, egress, transient, model_not_found
    /// or caller.
    class: String,
    /// What is not used: request, key, key_model, project, project_model, model, billing_account or exit. Default: the
    /// class's.
    scope: Option<String>,
    /// For how long. Default: the class's.
    cooldown_seconds: Option<u64>,
}

/// `[gateway]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySection {
    /// HOST:PORT to listen on. An address other than loopback requires a token.
    pub listen: String,
    /// The kind of API that the keys are for.
    pub provider: ProviderKind,
    /// The base URL that requests are sent to, such as https://host:port/path. Default: the provider's own address.
    pub upstream: Option<String>,
    /// A PEM file of certificates to trust instead of Mozilla's.
    pub cacert: Option<PathBuf>,
    /// The token that clients send instead of a key. Default on loopback: PLACEHOLDER_GEMINI_TOKEN.
    pub token: Option<SecretText>,
    /// A file that holds the token.
    pub token_file: Option<PathBuf>,
    /// A PEM file with the certificate chain. If set, clients connect over TLS, with HTTP/1.1 or HTTP/2.
    pub tls_cert_file: Option<PathBuf>,
    /// A PEM file with the certificate's private key.
    pub tls_key_file: Option<PathBuf>,
    /// Host names that clients may use for the gateway, in addition to loopback names and its IP addresses.
    pub hosts: Vec<String>,
    /// Origins of web pages and apps that may send requests, such as http://localhost:3000.
    pub origins: Vec<String>,
    /// Whether a request fails if a field that affects the response cannot be translated. If false, the field is
    /// ignored.
    #[serde(deserialize_with = "flag")]
    pub strict: bool,
    /// Whether the gateway fetches media that a translated request refers to by URL. Only public addresses are allowed.
    #[serde(deserialize_with = "flag")]
    pub fetch_images: bool,
    /// Whether responses have the headers x-keypool-key, x-keypool-attempts and x-keypool-model.
    #[serde(deserialize_with = "flag")]
    pub served_headers: bool,
    /// Whether requests of one session prefer the same project, which may have the prompt in its cache.
    #[serde(deserialize_with = "flag")]
    pub session_affinity: bool,
    /// The request header that names the client's session.
    pub session_header: String,
    /// At shutdown: how long connections are still accepted while /-/ready returns 503.
    pub drain_delay: HumanDuration,
    /// At shutdown: how long requests in flight may take.
    pub grace: HumanDuration,
    /// Maximum wait for a key that a request may set with the header x-keypool-wait.
    pub max_wait: HumanDuration,
    /// Maximum size, in MiB, of a request body that is buffered so that it can be sent again with another key. Larger
    /// bodies are sent once.
    #[schemars(range(min = 1, max = 1024))]
    pub replay_mib: u32,
    /// Maximum number of simultaneous connections. Further ones get a 503.
    #[schemars(range(min = 1, max = 65535))]
    pub max_connections: u32,
    /// Maximum number of simultaneous connections from one address (IPv6: one /64). Further ones get a 429. It does not
    /// apply to loopback.
    #[schemars(range(min = 1, max = 65535))]
    pub max_connections_per_address: u32,
    /// Maximum time without a byte of the request body. After it, the request gets a 408.
    pub body_timeout: HumanDuration,
    /// Maximum time in which a client reads nothing of its response. After it, the client is disconnected.
    pub reader_timeout: HumanDuration,
    /// Maximum time until the provider responds, and between two parts of its response. After it, the attempt fails.
    pub answer_timeout: HumanDuration,
}

impl GatewaySection {
    /// Returns the maximum number of bytes of a body that can be sent again.
    pub fn replay_limit(&self) -> usize {
        (self.replay_mib as usize) << 20
    }
}

impl Default for GatewaySection {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5000".to_owned(),
            provider: ProviderKind::Gemini,
            upstream: None,
            cacert: None,
            token: None,
            token_file: None,
            tls_cert_file: None,
            tls_key_file: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            strict: true,
            fetch_images: false,
            served_headers: true,
            session_affinity: true,
            session_header: "x-keypool-session".to_owned(),
            drain_delay: HumanDuration::seconds(0),
            grace: HumanDuration::seconds(10),
            max_wait: HumanDuration::seconds(60),
            replay_mib: 32,
            max_connections: 10_000,
            max_connections_per_address: 2_000,
            body_timeout: HumanDuration::seconds(60),
            reader_timeout: HumanDuration::seconds(600),
            answer_timeout: HumanDuration::seconds(3_600),
        }
    }
}

/// An entry of `[[providers]]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderEntry {
    /// The provider's name in paths (/to/NAME/), logs and metrics. Default: the name of its kind.
    pub name: Option<String>,
    /// The kind of the provider's API.
    pub kind: ProviderKind,
    /// The base URL that requests are sent to. Default: the provider's own address.
    pub upstream: Option<String>,
    /// For `api-key-header`: the header that carries the key. Default: `Authorization: Bearer`.
    pub header: Option<String>,
    /// Models whose requests go to this provider; a name may end in `*`. Default: the usual models of its kind.
    pub models: Option<Vec<String>>,
    /// Keys of this provider.
    pub keys: Vec<KeyEntry>,
    /// Key files.
    pub key_files: Vec<PathBuf>,
    /// Limits for each project, by model. A model's name may end in `*`.
    pub limits: BTreeMap<String, LimitsEntry>,
    /// Models, best first. A request for one of them that no key can serve uses those after it.
    pub fallback: Vec<String>,
}

/// An entry of `[exits]`: a proxy or a local address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExitEntry {
    /// The proxy: http://user:password@host:port or socks5://host:port.
    pub proxy: Option<SecretText>,
    /// An environment variable that holds the proxy's URL.
    pub proxy_env: Option<String>,
    /// A file that holds the proxy's URL.
    pub proxy_file: Option<PathBuf>,
    /// The local IP address from which connections are made.
    pub local_address: Option<std::net::IpAddr>,
    /// Projects whose keys use this exit, unless a key names another one.
    pub projects: Vec<String>,
}

/// An entry of `[[tenants]]`. Its limits apply to all processes that share the store together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantEntry {
    /// The tenant's name.
    pub name: String,
    /// The tenant's token.
    #[schema(ignore)]
    pub token: Option<SecretText>,
    /// A file that holds the token.
    #[schema(ignore)]
    pub token_file: Option<PathBuf>,
    /// The SHA-256 hash of the token, in hex, instead of the token itself.
    #[schema(ignore)]
    pub token_hash: Option<String>,
    /// Models that the tenant may use; a name may end in `*`. Default: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Maximum number of requests per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// Maximum number of requests per day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpd: Option<u64>,
    /// Maximum number of input and output tokens per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// Maximum number of input and output tokens per day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpd: Option<u64>,
    /// Maximum number of simultaneous requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// The time at which the token expires, in quotes: "2030-01-31" or "2030-01-31T12:00:00Z".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// `[admin]`: disabled without a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSection {
    /// The administrator's token. It must differ from the tokens of clients.
    pub token: Option<SecretText>,
    /// A file that holds the token.
    pub token_file: Option<PathBuf>,
    /// A separate HOST:PORT for the admin API and the dashboard. Default: the gateway's.
    pub listen: Option<String>,
}

/// The log level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Failures.
    Error,
    /// Also warnings.
    Warn,
    /// Also one line per request and per failed attempt, and each change of a key.
    #[default]
    Info,
    /// Also each attempt, and requests of health checks.
    Debug,
    /// Everything, including messages of other libraries.
    Trace,
}

/// Deserializes a log level, also `WARNING` and names in upper case.
fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
    let name = String::deserialize(deserializer)?.to_ascii_lowercase().replace("warning", "warn");
    Level::deserialize(name.into_deserializer())
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs: one object per line.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// The log level.
    #[serde(deserialize_with = "level")]
    pub level: Level,
    /// The format of log lines.
    pub format: LogFormat,
    /// A folder for log files, with one file per day. Default: standard output.
    pub directory: Option<PathBuf>,
    /// Number of log files that are kept.
    pub keep: usize,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: Level::Info, format: LogFormat::Text, directory: None, keep: 7 }
    }
}

/// How requests are handled while the store cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreLoss {
    /// Requests get a 503.
    #[default]
    FailClosed,
    /// Requests are sent within the limits of this process alone. Several processes together may then exceed the
    /// limits.
    FailOpen,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// The database file for counts, cooldowns, keys and tenants; "auto" is ~/.local/state/keypool/keypool.db, "none"
    /// disables the database.
    pub path: String,
    /// A Redis server through which several machines share counts and cooldowns: redis://HOST:PORT or
    /// rediss://HOST:PORT.
    pub redis: Option<SecretText>,
    /// The user of Redis.
    pub redis_user: Option<String>,
    /// The password of Redis.
    pub redis_password: Option<SecretText>,
    /// A file that holds the password of Redis.
    pub redis_password_file: Option<PathBuf>,
    /// A PEM file of certificates to trust for rediss://.
    pub redis_ca_file: Option<PathBuf>,
    /// The namespace in Redis. Processes with the same namespace share their counts.
    pub namespace: String,
    /// How requests are handled while the store cannot be reached.
    pub on_store_loss: OnStoreLoss,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            path: "auto".to_owned(),
            redis: None,
            redis_user: None,
            redis_password: None,
            redis_password_file: None,
            redis_ca_file: None,
            namespace: "keypool".to_owned(),
            on_store_loss: OnStoreLoss::FailClosed,
        }
    }
}

/// `[batch]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSection {
    /// The model for tasks that do not name one. Default for Gemini: gemini-2.5-flash.
    pub model: Option<String>,
    /// The system instruction for tasks that have none.
    pub system: Option<String>,
    /// The temperature for tasks that have none, from 0 to 2.
    pub temperature: Option<f64>,
    /// Maximum number of tokens in an answer. Default: the provider's own limit.
    pub max_output_tokens: Option<u32>,
    /// Number of workers for each key. Default: see concurrency.
    pub workers_per_key: Option<u32>,
    /// Minimum time between the starts of two requests of one worker.
    pub rate_limit_per_slot: Option<HumanDuration>,
    /// Maximum number of simultaneous requests, if neither `workers_per_key` nor `rate_limit_per_slot` is set. Default: 8
    /// for each key, 32 to 512 in total.
    pub concurrency: Option<usize>,
    /// Maximum number of retries of a failed task. Failures of keys are not counted.
    pub max_retries: u32,
    /// Maximum time for one answer.
    pub timeout: HumanDuration,
}

impl Default for BatchSection {
    fn default() -> Self {
        Self {
            model: None,
            system: None,
            temperature: None,
            max_output_tokens: None,
            workers_per_key: None,
            rate_limit_per_slot: None,
            concurrency: None,
            max_retries: 3,
            timeout: HumanDuration::seconds(600),
        }
    }
}
