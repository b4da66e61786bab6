//! Every setting of `keypool.toml`.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tower_keypool::{
    Rule, Strategy,
    config::{KeyEntry, LimitsEntry},
};

use super::values::{SecretText, Span, flag};

/// All of `keypool.toml`. Every setting is optional. Paths are relative to the folder of the file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys of the gateway's own provider. The table shows what values an option takes; keys-and-limits.md says what it does.
    pub keys: Vec<KeyEntry>,
    /// How keys are chosen.
    pub pool: PoolSection,
    /// Models: their limits, and other names for them.
    pub models: Vec<ModelEntry>,
    /// Your own rows for the table of errors. They are tried before the built-in rows.
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    pub errors: Vec<Rule>,
    /// Where `keypool serve` listens, and where it sends requests.
    pub gateway: GatewaySection,
    /// More providers, each with keys of its own.
    pub providers: Vec<ProviderEntry>,
    /// Exits: proxies or local addresses by which requests leave this machine. A key chooses one by `exit = "NAME"`.
    pub exits: BTreeMap<String, ExitEntry>,
    /// Users of the gateway, each with a token and limits of their own.
    pub tenants: Vec<TenantEntry>,
    /// The admin API and the dashboard.
    pub admin: AdminSection,
    /// The log.
    pub log: LogSection,
    /// Where counts, cooldowns and keys are stored, so that they survive a restart and several processes can share them.
    pub store: StoreSection,
    /// How `keypool batch` works.
    pub batch: BatchSection,
}

/// The shape of an API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// Google's Gemini API.
    #[default]
    Gemini,
    /// OpenAI's, or one of the same shape.
    #[serde(rename = "openai")]
    OpenAi,
    /// Anthropic's.
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
}

/// `[pool]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSection {
    /// Key files. Unless set: key.txt, if it exists.
    pub key_files: Option<Vec<PathBuf>>,
    /// Whether variables such as GEMINI_API_KEYS are read.
    #[serde(deserialize_with = "flag")]
    pub key_variables: bool,
    /// How ready keys of one priority are ordered.
    #[schemars(with = "String", extend("enum" = Strategy::ALL.map(Strategy::as_str)))]
    pub strategy: Strategy,
    /// How long a request waits for a key; at most 1h.
    pub wait: Span,
    /// Models to use instead when no key can serve the requested model, best first.
    pub fallback: Vec<String>,
}

impl Default for PoolSection {
    fn default() -> Self {
        Self {
            key_files: None,
            key_variables: true,
            strategy: Strategy::default(),
            wait: Span::seconds(5),
            fallback: Vec::new(),
        }
    }
}

/// An entry of `[[models]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// The model's name. It may end in `*` where the entry only sets limits.
    pub name: String,
    /// Other names that clients may use for it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Limits of each project that has no limits of its own for this model.
    #[serde(default)]
    pub limits: Option<LimitsEntry>,
}

/// `[gateway]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySection {
    /// HOST:PORT to listen on. An address other than loopback requires a token.
    pub listen: String,
    /// The shape of the API that the keys are for.
    pub provider: ProviderKind,
    /// Where requests are sent, such as https://host:port/path. Unless set: the provider's own address.
    pub upstream: Option<String>,
    /// A PEM file of certificates to trust instead of Mozilla's.
    pub cacert: Option<PathBuf>,
    /// The token that clients send instead of a key. Unless set, on loopback: PLACEHOLDER_GEMINI_TOKEN.
    pub token: Option<SecretText>,
    /// A file that holds the token.
    pub token_file: Option<PathBuf>,
    /// A PEM file with the certificate chain. If set, clients connect over TLS, by HTTP/1.1 or HTTP/2.
    pub tls_cert_file: Option<PathBuf>,
    /// A PEM file with the certificate's private key.
    pub tls_key_file: Option<PathBuf>,
    /// Host names under which clients may reach the gateway, in addition to loopback and its IP addresses.
    pub hosts: Vec<String>,
    /// Origins of web pages and apps that may send requests, such as http://localhost:3000.
    pub origins: Vec<String>,
    /// Whether a field that would change the answer but cannot be translated is an error. If false, it is ignored.
    #[serde(deserialize_with = "flag")]
    pub strict: bool,
    /// Whether media that a translated request names by URL is fetched. Only public addresses are used.
    #[serde(deserialize_with = "flag")]
    pub fetch_images: bool,
    /// Whether answers have the headers x-keypool-key, x-keypool-attempts and x-keypool-model.
    #[serde(deserialize_with = "flag")]
    pub served_headers: bool,
    /// Whether requests of one session prefer one project, which may have the prompt in its cache.
    #[serde(deserialize_with = "flag")]
    pub session_affinity: bool,
    /// The header by which a client names its session.
    pub session_header: String,
    /// At shutdown: how long connections are still accepted while /-/ready answers 503.
    pub drain_delay: Span,
    /// At shutdown: how long requests in progress may take.
    pub grace: Span,
    /// The longest wait for a key that a request may ask for by the header x-keypool-wait.
    pub max_wait: Span,
    /// Bodies of up to this many MiB are kept, so that they can be sent again with another key. Larger ones are sent once.
    #[schemars(range(min = 1, max = 1024))]
    pub replay_mib: u32,
    /// Connections at the same time. Any more get a 503.
    #[schemars(range(min = 1, max = 65535))]
    pub max_connections: u32,
    /// Connections at the same time from one address (IPv6: one /64). Any more get a 429. It does not apply to loopback.
    #[schemars(range(min = 1, max = 65535))]
    pub max_connections_per_address: u32,
    /// A request gets a 408 when no byte of its body has come for this long.
    pub body_timeout: Span,
    /// A client is disconnected when it has read nothing of its answer for this long.
    pub reader_timeout: Span,
    /// An attempt fails when the provider has not answered after this long.
    pub answer_timeout: Span,
    /// Worker threads. Unless set: one for each core.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<usize>,
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
            drain_delay: Span::seconds(0),
            grace: Span::seconds(10),
            max_wait: Span::seconds(60),
            replay_mib: 32,
            max_connections: 10_000,
            max_connections_per_address: 2_000,
            body_timeout: Span::seconds(60),
            reader_timeout: Span::seconds(600),
            answer_timeout: Span::seconds(3_600),
            threads: None,
        }
    }
}

/// An entry of `[[providers]]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderEntry {
    /// The provider's name in paths (/to/NAME/), logs and metrics. Unless set: the name of its kind.
    pub name: Option<String>,
    /// The shape of the provider's API.
    pub kind: ProviderKind,
    /// Where requests are sent. Unless set: the provider's own address.
    pub upstream: Option<String>,
    /// For `api-key-header`: the header that carries the key. Unless set: `Authorization: Bearer`.
    pub header: Option<String>,
    /// Requests for these models go to this provider; a name may end in `*`. Unless set: the usual models of its kind.
    pub models: Option<Vec<String>>,
    /// Keys.
    pub keys: Vec<KeyEntry>,
    /// Key files.
    pub key_files: Vec<PathBuf>,
    /// Limits of each project, by model. A model's name may end in `*`.
    pub limits: BTreeMap<String, LimitsEntry>,
    /// Models to use instead when no key can serve the requested model, best first.
    pub fallback: Vec<String>,
}

/// An entry of `[exits]`: a proxy or a local address.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
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
    /// Projects whose keys use this exit, except keys that name another one.
    pub projects: Vec<String>,
}

/// An entry of `[[tenants]]`. Its limits count over all processes that share the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantEntry {
    /// The tenant's name.
    pub name: String,
    /// The tenant's token.
    pub token: Option<SecretText>,
    /// A file that holds the token.
    pub token_file: Option<PathBuf>,
    /// The SHA-256 hash of the token, in hex, instead of the token itself.
    pub token_hash: Option<String>,
    /// Models that the tenant may use; a name may end in `*`. Unless set: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Requests a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u64>,
    /// Requests a day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpd: Option<u64>,
    /// Tokens of prompts and answers a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// Tokens of prompts and answers a day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpd: Option<u64>,
    /// Requests at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// When the token stops working: 2030-01-31 or 2030-01-31T12:00:00Z.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// `[admin]`: off without a token.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSection {
    /// The administrator's token. It must differ from the tokens of clients.
    pub token: Option<SecretText>,
    /// A file that holds the token.
    pub token_file: Option<PathBuf>,
    /// A separate HOST:PORT for the admin API and the dashboard. Unless set: the gateway's.
    pub listen: Option<String>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What failed.
    Error,
    /// And what a person should know.
    #[serde(alias = "warning", alias = "WARN", alias = "WARNING")]
    Warn,
    /// And one line a request, and each change of a key.
    #[default]
    #[serde(alias = "INFO")]
    Info,
    /// And each attempt, and requests of health checks.
    #[serde(alias = "DEBUG")]
    Debug,
    /// Everything, also of other libraries.
    #[serde(alias = "TRACE")]
    Trace,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one object a line.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// How much is logged.
    pub level: Level,
    /// The format of a line.
    pub format: LogFormat,
    /// A folder for the log, which has one file a day. Unless set: standard output.
    pub directory: Option<PathBuf>,
    /// How many log files are kept.
    pub keep: usize,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: Level::Info, format: LogFormat::Text, directory: None, keep: 7 }
    }
}

/// What happens to requests while the store cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreLoss {
    /// They get a 503.
    #[default]
    FailClosed,
    /// They are sent within the limits of this process alone. Several processes together may then exceed limits.
    FailOpen,
}

/// `[store]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// The database file for counts, cooldowns, keys and tenants; "auto" is ~/.local/state/keypool/keypool.db, "none" is no database.
    pub path: String,
    /// A Redis server through which several machines share counts and cooldowns: redis://HOST:PORT or rediss://HOST:PORT.
    pub redis: Option<SecretText>,
    /// The user of Redis.
    pub redis_user: Option<String>,
    /// The password of Redis.
    pub redis_password: Option<SecretText>,
    /// A file that holds the password of Redis.
    pub redis_password_file: Option<PathBuf>,
    /// A PEM file of certificates to trust for rediss://.
    pub redis_ca_file: Option<PathBuf>,
    /// Processes with the same namespace share their counts in Redis.
    pub namespace: String,
    /// What happens to requests while the store cannot be reached.
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
    /// The model for tasks that name none. Unless set, for Gemini: gemini-2.5-flash.
    pub model: Option<String>,
    /// The system instruction for tasks that have none.
    pub system: Option<String>,
    /// The temperature for tasks that have none, from 0 to 2.
    pub temperature: Option<f64>,
    /// The most tokens of an answer. Unless set: the provider's own limit.
    pub max_output_tokens: Option<u32>,
    /// Workers for each key. Unless set: as many requests as the limits allow.
    pub workers_per_key: Option<u32>,
    /// The shortest time between two requests of one worker.
    pub rate_limit_per_slot: Option<Span>,
    /// Requests at the same time, without `workers_per_key`. Unless set: as many as the limits allow.
    pub concurrency: Option<usize>,
    /// How often a failed task is tried again. Failures of keys are not counted.
    pub max_retries: u32,
    /// How long one answer may take.
    pub timeout: Span,
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
            timeout: Span::seconds(600),
        }
    }
}
