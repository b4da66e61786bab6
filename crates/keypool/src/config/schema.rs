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

use super::values::{SecretText, Span};

/// All of `keypool.toml`. Every setting is optional. Paths are relative to the folder of the file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys of the gateway's own provider.
    pub keys: Vec<KeyEntry>,
    /// How keys are chosen.
    pub pool: PoolSection,
    /// Models: their limits, and other names for them.
    pub models: Vec<ModelEntry>,
    /// Rows of the table of errors that are tried before the built-in ones.
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    pub errors: Vec<Rule>,
    /// What `keypool serve` listens on, and where it sends to.
    pub gateway: GatewaySection,
    /// Providers beside that of the gateway, each with keys of its own.
    pub providers: Vec<ProviderEntry>,
    /// Exits to the providers by name: proxies, or addresses of this machine. A key names its own (exit = "NAME").
    pub exits: BTreeMap<String, ExitEntry>,
    /// Who may use the gateway beside whoever has its token.
    pub tenants: Vec<TenantEntry>,
    /// The admin API and the dashboard.
    pub admin: AdminSection,
    /// The log.
    pub log: LogSection,
    /// Where counts, cooldowns and keys outlive the process, and processes share them.
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
    /// Key files; key.txt unless set, if there is one.
    pub key_files: Option<Vec<PathBuf>>,
    /// Whether variables such as GEMINI_API_KEYS are read.
    pub key_variables: bool,
    /// How ready keys of one priority are ordered.
    #[schemars(with = "String", extend("enum" = Strategy::ALL.map(Strategy::as_str)))]
    pub strategy: Strategy,
    /// How long a request waits for a key; at most 1h.
    pub wait: Span,
    /// Models that take the place of one that no key can serve, best first.
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
    /// Its name; in limits it may end in `*`.
    pub name: String,
    /// Other names that clients may use for it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Limits of every project that has none of its own.
    #[serde(default)]
    pub limits: Option<LimitsEntry>,
}

/// `[gateway]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySection {
    /// HOST:PORT to listen on; beyond loopback a token is required.
    pub listen: String,
    /// The shape of the API that the keys are for.
    pub provider: ProviderKind,
    /// Where requests go, such as https://host:port/path; the provider's own address unless set.
    pub upstream: Option<String>,
    /// Certificates to trust in place of Mozilla's, in PEM.
    pub cacert: Option<PathBuf>,
    /// What clients send in place of a key; on loopback PLACEHOLDER_GEMINI_TOKEN unless set.
    pub token: Option<SecretText>,
    /// The file that holds the token.
    pub token_file: Option<PathBuf>,
    /// The file with the certificate chain, in PEM: clients connect over TLS, by HTTP/1.1 or HTTP/2.
    pub tls_cert_file: Option<PathBuf>,
    /// The file with the certificate's private key, in PEM.
    pub tls_key_file: Option<PathBuf>,
    /// Names that clients may reach the gateway by, beside loopback and its addresses.
    pub hosts: Vec<String>,
    /// Origins of web pages and apps that may send requests, such as http://localhost:3000.
    pub origins: Vec<String>,
    /// A field that would change an answer and cannot be translated is an error; false: it is ignored.
    pub strict: bool,
    /// Media that a translated request names by URL is fetched, from public addresses only.
    pub fetch_images: bool,
    /// Answers say who served: x-keypool-key, x-keypool-attempts and x-keypool-model.
    pub served_headers: bool,
    /// Requests of one session prefer one project, for the sake of its prompt cache.
    pub session_affinity: bool,
    /// The header by which a client names its session.
    pub session_header: String,
    /// How long connections are still accepted at the end, while /-/ready says 503.
    pub drain_delay: Span,
    /// How long answers under way may take at the end.
    pub grace: Span,
    /// The longest wait for a key that a request may ask for with x-keypool-wait.
    pub max_wait: Span,
    /// Bodies of up to so many MiB can be sent again over another key; larger ones are streamed once.
    #[schemars(range(min = 1, max = 1024))]
    pub replay_mib: u32,
    /// Connections at once; more get a 503.
    #[schemars(range(min = 1, max = 65535))]
    pub max_connections: u32,
    /// Connections of one address beyond this machine (IPv6: of one /64); more get a 429.
    #[schemars(range(min = 1, max = 65535))]
    pub max_connections_per_address: u32,
    /// A body of a request that brings nothing for so long is given up: 408.
    pub body_timeout: Span,
    /// A client that reads nothing of its answer for so long is disconnected.
    pub reader_timeout: Span,
    /// An attempt without an answer after so long has failed.
    pub answer_timeout: Span,
    /// Worker threads; one a core unless set.
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
    /// Its name: in paths (/to/NAME/), logs and metrics; that of its kind unless set.
    pub name: Option<String>,
    /// The shape of its API.
    pub kind: ProviderKind,
    /// Where it lives; the provider's own address unless set.
    pub upstream: Option<String>,
    /// The header that carries the key, for `api-key-header`; `Authorization: Bearer` unless set.
    pub header: Option<String>,
    /// Requests for these models go to it; a name may end in `*`. Those that its kind is known for unless set.
    pub models: Option<Vec<String>>,
    /// Keys.
    pub keys: Vec<KeyEntry>,
    /// Key files.
    pub key_files: Vec<PathBuf>,
    /// Limits of every project by model; a name may end in `*`.
    pub limits: BTreeMap<String, LimitsEntry>,
    /// Models that take the place of one that no key can serve, best first.
    pub fallback: Vec<String>,
}

/// An entry of `[exits]`: a proxy or a local address.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExitEntry {
    /// The proxy: http://user:password@host:port or socks5://host:port.
    pub proxy: Option<SecretText>,
    /// The variable that holds the proxy's URL.
    pub proxy_env: Option<String>,
    /// The file that holds the proxy's URL.
    pub proxy_file: Option<PathBuf>,
    /// An address of this machine that connections leave from.
    pub local_address: Option<std::net::IpAddr>,
    /// Projects whose keys leave by it unless they name another exit.
    pub projects: Vec<String>,
}

/// An entry of `[[tenants]]`. Its limits count over all processes that share the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantEntry {
    /// Its name.
    pub name: String,
    /// Its token.
    pub token: Option<SecretText>,
    /// The file that holds its token.
    pub token_file: Option<PathBuf>,
    /// SHA-256 of its token, in hex, in place of the token.
    pub token_hash: Option<String>,
    /// Models that it may use; a name may end in `*`. All unless set.
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
    /// The day, or the time, from which on it may not: 2030-01-31 or 2030-01-31T12:00:00Z.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// `[admin]`: off without a token.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSection {
    /// The administrator's token; another than clients send.
    pub token: Option<SecretText>,
    /// The file that holds it.
    pub token_file: Option<PathBuf>,
    /// HOST:PORT of their own for the admin API and the dashboard; the gateway's unless set.
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
    /// How a line is written.
    pub format: LogFormat,
    /// A folder for the log, in files of a day each; standard output unless set.
    pub directory: Option<PathBuf>,
    /// How many of those files are kept.
    pub keep: usize,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: Level::Info, format: LogFormat::Text, directory: None, keep: 7 }
    }
}

/// What happens to requests while the store is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreLoss {
    /// They get a 503.
    #[default]
    FailClosed,
    /// They go on by the limits of this process alone, and may exceed limits together with others.
    FailOpen,
}

/// `[store]`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// The database of counts, cooldowns, keys and tenants: a path, "auto" (~/.local/state/keypool/keypool.db) or "none".
    pub path: String,
    /// redis://HOST:PORT or rediss://HOST:PORT: counts and cooldowns are shared there, by several machines.
    pub redis: Option<SecretText>,
    /// The user of Redis.
    pub redis_user: Option<String>,
    /// The password of Redis.
    pub redis_password: Option<SecretText>,
    /// The file that holds the password of Redis.
    pub redis_password_file: Option<PathBuf>,
    /// Certificates to trust for rediss://, in PEM.
    pub redis_ca_file: Option<PathBuf>,
    /// Processes with the same namespace share keys in Redis.
    pub namespace: String,
    /// What happens to requests while the store is away.
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
    /// The model of tasks that name none; gemini-2.5-flash for Gemini unless set.
    pub model: Option<String>,
    /// The system instruction of tasks that have none.
    pub system: Option<String>,
    /// The temperature of tasks that have none, 0 to 2.
    pub temperature: Option<f64>,
    /// The most tokens of an answer; the provider's own limit unless set.
    pub max_output_tokens: Option<u32>,
    /// Slots of a key.
    pub workers_per_key: Option<u32>,
    /// The shortest time from start to start of one slot.
    pub rate_limit_per_slot: Option<Span>,
    /// Requests at once without slots; what the limits allow unless set.
    pub concurrency: Option<usize>,
    /// How often a task is tried again after faults of the task or the model.
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
