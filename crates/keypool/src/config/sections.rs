//! The binary's own tables: `[gateway]`, `[log]`, and those that later parts of it fill.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{collections::BTreeMap, path::PathBuf};

use super::ProviderEntry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower_keypool::config::{Interval, KeyEntry, LimitsSection, ModelEntry, PoolConfig, PoolSection};
use tower_keypool::config::{RestsSection, RetrySection, SecretText, StoreSection, Whole};

use super::{AdminSection, BatchSection, ExitEntry, TenantEntry};

/// Where requests go: a URL.
pub(super) const UPSTREAM: &str = "^[Hh][Tt][Tt][Pp][Ss]?://[^/#?@]+(/[^#?]*)?$";

/// All of `keypool.toml`. Every setting is optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys.
    pub keys: Vec<KeyEntry>,
    /// Models.
    pub models: Vec<ModelEntry>,
    /// How keys are chosen.
    pub pool: PoolSection,
    /// What happens after a provider's fault.
    pub retry: RetrySection,
    /// How long whom rests.
    pub rests: RestsSection,
    /// How limits are kept, and what is assumed of them.
    pub limits: LimitsSection,
    /// What `keypool serve` listens on, and where it sends to.
    pub gateway: GatewaySection,
    /// Ways out to the provider, by name: proxies, or addresses of this machine. Keys name theirs (exit = "NAME"); others go
    /// out the usual way, and no proxy is taken from the environment.
    #[schemars(extend("propertyNames" = { "pattern": "^[A-Za-z0-9._-]{1,64}$" }))]
    pub exits: BTreeMap<String, ExitEntry>,
    /// Providers beside that of the gateway, each with keys of its own.
    pub providers: Vec<ProviderEntry>,
    /// Who may ask beside whoever has the gateway's one token.
    pub tenants: Vec<TenantEntry>,
    /// Who may look into it while it runs, and change its keys.
    pub admin: AdminSection,
    /// What is told of all that.
    pub log: LogSection,
    /// Where counts, rests and keys added by command outlive the process, and how processes share keys there.
    pub store: StoreSection,
    /// How `keypool batch` works.
    pub batch: BatchSection,
}

impl Config {
    /// The part that makes a pool.
    pub fn pool(&self) -> PoolConfig {
        PoolConfig {
            keys: self.keys.clone(),
            models: self.models.clone(),
            pool: self.pool.clone(),
            retry: self.retry.clone(),
            rests: self.rests.clone(),
            limits: self.limits.clone(),
            store: self.store.clone(),
        }
    }
}

/// Whose API it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderName {
    /// Google's Gemini API.
    #[default]
    Gemini,
    /// OpenAI's, or one of the same form.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

/// What becomes of requests in OpenAI's dialect, where the keys are for Gemini.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CompatMode {
    /// They are translated to Gemini's own API.
    #[default]
    Translate,
    /// They go to Google's own compatible endpoint as they are.
    Passthrough,
}

/// What becomes of a file or the like that was not made through the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownNames {
    /// It is tried nowhere: 404.
    #[default]
    Refuse,
    /// Each owner is asked for it; from then on it is whoever's named it first.
    Try,
}

/// By what requests are told apart that had better meet the same owner, whose provider may still have the beginning of
/// their prompt at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheAffinity {
    /// By nothing.
    Off,
    /// By what clients say themselves: the session header, or prompt_cache_key in OpenAI's dialect.
    #[default]
    Session,
    /// By that, or else by how the prompt begins: its system instruction and first part.
    Prompt,
}

/// `[gateway]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySection {
    /// HOST:PORT to listen on; beyond loopback a token is needed.
    #[schemars(regex(pattern = r":\+?[0-9]{1,5}$"))]
    pub listen: String,
    /// Whose API the keys are for.
    pub provider: ProviderName,
    /// Where requests go, a URL such as https://host:port/path; the provider's own address unless set.
    #[schemars(regex(pattern = UPSTREAM))]
    pub upstream: Option<String>,
    /// Certificates to trust in the place of Mozilla's, in PEM; relative to this configuration's folder.
    pub cacert: Option<PathBuf>,
    /// What clients send in the place of a key; on loopback PLACEHOLDER_GEMINI_TOKEN unless set.
    #[schemars(extend("pattern" = "^[!-~]+$"))]
    pub token: Option<SecretText>,
    /// The file that holds the token; relative to this configuration's folder.
    pub token_file: Option<PathBuf>,
    /// The certificate for clients to connect over TLS, in PEM, with those that vouch for it behind it; with its key.
    pub tls_cert: Option<String>,
    /// The file that holds the certificate; relative to this configuration's folder.
    pub tls_cert_file: Option<PathBuf>,
    /// The certificate's private key, in PEM.
    pub tls_key: Option<SecretText>,
    /// The file that holds the key; relative to this configuration's folder.
    pub tls_key_file: Option<PathBuf>,
    /// Names that clients may reach it by, beside loopback and its addresses.
    #[schemars(inner(regex(pattern = "^[^/:@ ]+$")))]
    pub hosts: Vec<String>,
    /// Origins of web pages and apps that may ask, as browsers name them (`http://localhost:3000`, `app://obsidian.md`, `null` of
    /// a file's): no other page may. With the placeholder token whoever writes such a page may use the keys.
    #[schemars(inner(regex(pattern = "^(null|[a-z][a-z0-9+.-]*://[^/ *]+)$")))]
    pub origins: Vec<String>,
    /// What becomes of requests in OpenAI's dialect, where the keys are for Gemini.
    pub openai: CompatMode,
    /// A field that would change an answer and cannot be had is an error; else it is ignored.
    pub strict: bool,
    /// Images that a translated request names by URL are fetched for it, from the open network alone; else they are an
    /// error.
    pub fetch_images: bool,
    /// Answers say which key served, at which attempt, with which model: x-keypool-key, -attempts and -model.
    pub served_headers: bool,
    /// How long connections are still taken once it is to end, while /-/ready says that it is not any more.
    pub drain_delay: Interval<0, 3_600>,
    /// What becomes of a file or the like that was not made through this gateway.
    pub unknown_names: UnknownNames,
    /// How long answers under way get to end.
    pub grace: Interval<0, 3_600>,
    /// The longest wait for a key that a request may ask for with x-keypool-wait; pool.wait is that of those who ask for
    /// none.
    pub max_wait: Interval<0, 3_600>,
    /// Requests of one tenant that wait for a key at once, 1 to 65535; more are refused in the place of waiting.
    pub max_waiting: Whole<1, 65_535>,
    /// Where no key may serve in time the answer is a 429 in the place of a 503.
    pub exhausted_as_429: bool,
    /// By what requests are told apart that had better meet the same owner, for the sake of prompt caches.
    pub cache_affinity: CacheAffinity,
    /// The header by which a client names its session.
    #[schemars(regex(pattern = r"^[Xx]-[!#$%&'*+.^_`|~0-9A-Za-z-]*$"), extend("not" = { "pattern": "-[Kk][Ee][Yy]$" }))]
    pub session_header: String,
    /// Connections of clients at once, 1 to 65535; more are refused.
    pub max_connections: Whole<1, 65_535>,
    /// The same of one address; of IPv6 of one network of 64 bits. Those of this machine have no bound of their own.
    pub max_connections_per_address: Whole<1, 65_535>,
    /// A request's body that brings fewer than 512 bytes in this time while it is waited for is given up: 408.
    pub body_timeout: Interval<5_000, 86_400>,
    /// A client that takes not one byte of what is sent to it for so long is cut off.
    pub reader_timeout: Interval<5_000, 86_400>,
    /// An attempt at a provider that has no head of its answer so long after its request was sent has failed, as no fault of its
    /// key; an answer of which no more comes for so long has broken off.
    pub answer_timeout: Interval<1_000, 86_400>,
    /// Threads that requests are served by, 1 to 1024; half as many as the machine has cores unless set.
    pub threads: Option<Whole<1, 1_024>>,
}

impl Default for GatewaySection {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:5000".to_owned(),
            provider: ProviderName::default(),
            upstream: None,
            cacert: None,
            token: None,
            token_file: None,
            tls_cert: None,
            tls_cert_file: None,
            tls_key: None,
            tls_key_file: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            openai: CompatMode::default(),
            strict: true,
            fetch_images: false,
            served_headers: true,
            drain_delay: Interval::seconds(0),
            unknown_names: UnknownNames::default(),
            grace: Interval::seconds(10),
            max_wait: Interval::seconds(60),
            max_waiting: Whole(1_000),
            exhausted_as_429: false,
            cache_affinity: CacheAffinity::default(),
            session_header: "x-keypool-session".to_owned(),
            max_connections: Whole(10_000),
            max_connections_per_address: Whole(2_000),
            body_timeout: Interval::seconds(60),
            reader_timeout: Interval::seconds(600),
            answer_timeout: Interval::seconds(3_600),
            threads: None,
        }
    }
}

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What went wrong.
    Error,
    /// And what a person should know.
    Warn,
    /// And a line for each change of a key, and for each request.
    #[default]
    Info,
    /// And each request's method and path, those of the gateway's own pages, too.
    Debug,
    /// Everything, of other libraries too.
    Trace,
}

/// What levels are called; behind those of ours the names that other programs have for the same.
const LEVELS: [(&str, Level); 9] = [
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
    ("critical", Level::Error),
    ("fatal", Level::Error),
    ("warning", Level::Warn),
    ("notice", Level::Info),
];
/// So many of them are ours.
const OURS: usize = 5;

impl<'de> Deserialize<'de> for Level {
    /// In any case.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let named = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
        let wrong = || serde::de::Error::custom("expected one of error, warn, info, debug, trace");
        named.map(|(_, level)| *level).ok_or_else(wrong)
    }
}

/// As it is read: editors offer our names, and take all in any case.
fn level(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let in_any_case = |(name, _): &(&str, Level)| {
        name.chars().flat_map(|c| ['[', c.to_ascii_uppercase(), c, ']']).collect::<String>()
    };
    let all = LEVELS.iter().map(in_any_case).collect::<Vec<_>>().join("|");
    let ours: Vec<&str> = LEVELS[..OURS].iter().map(|(name, _)| *name).collect();
    schemars::json_schema!({ "anyOf": [{ "enum": ours }, { "type": "string", "pattern": format!("^({all})$") }] })
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person: time, level, message, name=value.
    #[default]
    Text,
    /// For a program: an object.
    Json,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// How much is told.
    #[schemars(schema_with = "level")]
    pub level: Level,
    /// How a line is written.
    pub format: LogFormat,
    /// A folder for the same lines in files, a new one each day and when one is full; none unless set.
    #[schemars(length(min = 1))]
    pub directory: Option<PathBuf>,
    /// How large one of those files becomes, in MiB, 1 to 1024.
    pub file_mib: Whole<1, 1_024>,
    /// How many of those files are kept, 1 to 3650.
    pub keep: Whole<1, 3_650>,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            level: Level::default(),
            format: LogFormat::default(),
            directory: None,
            file_mib: Whole(10),
            keep: Whole(7),
        }
    }
}
