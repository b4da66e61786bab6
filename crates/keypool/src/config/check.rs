//! Checks that types cannot express: whether settings are consistent.

use std::{
    collections::{BTreeMap, HashSet},
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER_PERMISSIVE;
use tower_keypool::config::{Environment, Problem};

use super::{
    Config, HumanDuration, Loaded, Problems, ProviderKind, SecretText, TenantEntry, TokenHash, hash,
    pattern::pattern_problem,
};

/// The default token of clients on loopback.
const PLACEHOLDER: &str = "PLACEHOLDER_GEMINI_TOKEN";

struct Checker<'a> {
    folder: &'a Path,
    places: &'a Places<'a>,
    problems: Vec<Problem>,
}

/// Where each setting was set, for messages.
struct Places<'a> {
    /// The name of the file.
    file: String,
    origins: &'a BTreeMap<String, String>,
}

impl Places<'_> {
    fn of(&self, setting: &str) -> String {
        let of_file = || self.origins.get(&format!("{setting}_file"));
        format!("{}: {setting}", self.origins.get(setting).or_else(of_file).unwrap_or(&self.file))
    }

    /// Returns the line in the file; problems without one come last.
    fn line(&self, place: &str) -> usize {
        let line =
            place.strip_prefix(&self.file).and_then(|rest| rest.strip_prefix(':')?.split(':').next()?.parse().ok());
        line.unwrap_or(usize::MAX)
    }
}

/// Checks the settings. `origins` has the origin of each one that is set: an option, a variable, or a line of the file.
pub(super) fn check(
    config: Config,
    path: PathBuf,
    environment: Environment,
    origins: &BTreeMap<String, String>,
) -> Result<Loaded, Problems> {
    let file = if path.as_os_str().is_empty() { "configuration".to_owned() } else { path.display().to_string() };
    let places = Places { file, origins };
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut checker = Checker { folder: &folder, places: &places, problems: Vec::new() };
    let listen = checker.address("gateway.listen", &config.gateway.listen);
    let admin_listen = config.admin.listen.as_ref().map(|listen| checker.address("admin.listen", listen));
    let token = checker.secret("gateway.token", config.gateway.token.as_ref(), config.gateway.token_file.as_deref());
    let admin_token = checker.secret("admin.token", config.admin.token.as_ref(), config.admin.token_file.as_deref());
    let store = &config.store;
    let redis_password =
        checker.secret("store.redis_password", store.redis_password.as_ref(), store.redis_password_file.as_deref());
    if token.is_none() && !listen.ip().is_loopback() {
        checker.problem(
            "gateway.token",
            format!("other machines can reach {listen}, so a token is required (--token, KEYPOOL_TOKEN)"),
        );
    }
    let token = token.unwrap_or_else(|| SecretText::new(PLACEHOLDER));
    if admin_token.as_ref().is_some_and(|admin| admin.expose() == token.expose()) {
        checker.problem("admin.token", "the admin token equals the token that clients send: choose another one");
    }
    if config.gateway.tls_cert_file.is_some() != config.gateway.tls_key_file.is_some() {
        checker.problem("gateway.tls_cert_file", "TLS needs both tls_cert_file and tls_key_file");
    }
    if config.gateway.session_header.parse::<http::HeaderName>().is_err() {
        checker.problem("gateway.session_header", "expected a header name");
    }
    checker.numbers(&config);
    checker.texts(&config);
    let proxies = checker.exits(&config, &environment);
    let tenant_hashes = checker.tenants(&config, [Some(&token), admin_token.as_ref()]);
    checker.models(&config);
    let problems = checker.problems;
    let mut loaded = Loaded {
        config,
        path,
        environment,
        listen,
        admin_listen,
        token,
        admin_token,
        redis_password,
        proxies,
        tenant_hashes,
        origins: origins.clone(),
        default_key_file: super::loaded::default_key_file(),
    };
    let mut problems = problems.into_iter().chain(providers(&loaded, &places)).collect::<Vec<_>>();
    problems.sort_by_key(|problem| places.line(&problem.place));
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    // A reload must not depend on the working directory.
    loaded.path = std::path::absolute(&loaded.path).unwrap_or(loaded.path);
    Ok(loaded)
}

impl Checker<'_> {
    fn problem(&mut self, setting: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(self.places.of(setting), message));
    }

    fn numbers(&mut self, config: &Config) {
        let (gateway, batch) = (&config.gateway, &config.batch);
        for (setting, is_zero) in [
            ("gateway.max_connections", gateway.max_connections == 0),
            ("gateway.max_connections_per_address", gateway.max_connections_per_address == 0),
            ("gateway.body_timeout", gateway.body_timeout.0.is_zero()),
            ("gateway.reader_timeout", gateway.reader_timeout.0.is_zero()),
            ("gateway.answer_timeout", gateway.answer_timeout.0.is_zero()),
            ("log.keep", config.log.keep == 0),
            ("batch.max_output_tokens", batch.max_output_tokens == Some(0)),
            ("batch.workers_per_key", batch.workers_per_key == Some(0)),
            ("batch.concurrency", batch.concurrency == Some(0)),
            ("batch.timeout", batch.timeout.0.is_zero()),
        ] {
            if is_zero {
                self.problem(setting, "expected more than 0");
            }
        }
        if batch.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            self.problem("batch.temperature", "expected a number from 0 to 2");
        }
        if config.pool.wait > HumanDuration::seconds(3_600) {
            self.problem("pool.wait", "expected at most 1h");
        }
    }

    fn texts(&mut self, config: &Config) {
        let (gateway, store, batch) = (&config.gateway, &config.store, &config.batch);
        let is_origin =
            |text: &str| text.split_once("://").is_some_and(|(_, site)| !site.is_empty() && !site.contains('/'));
        if !gateway.origins.iter().all(|origin| origin == "null" || is_origin(origin)) {
            self.problem("gateway.origins", "expected origins such as http://localhost:3000, without a path");
        }
        if gateway.hosts.iter().any(|host| host.is_empty() || host.contains(['/', '@', ' '])) {
            self.problem("gateway.hosts", "expected names of hosts such as pool.example, without http://");
        }
        if store.path.is_empty() {
            self.problem("store.path", "expected the name of a file, auto or none");
        }
        if store.namespace.is_empty() {
            self.problem("store.namespace", "expected a name");
        }
        let schemes = ["redis://", "rediss://", "unix://"];
        if store.redis.as_ref().is_some_and(|url| !schemes.iter().any(|scheme| url.expose().starts_with(scheme))) {
            self.problem("store.redis", "expected redis://HOST:PORT or rediss://HOST:PORT");
        }
        if batch.concurrency.is_some() && (batch.workers_per_key.is_some() || batch.rate_limit_per_slot.is_some()) {
            self.problem("batch.concurrency", "this cannot be set with workers_per_key or rate_limit_per_slot");
        }
    }

    fn address(&mut self, setting: &str, text: &str) -> SocketAddr {
        let found = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        found.unwrap_or_else(|| {
            self.problem(setting, "expected HOST:PORT, such as 127.0.0.1:5000");
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    /// Returns a secret that is given as text or in a separate file.
    fn secret(&mut self, setting: &str, text: Option<&SecretText>, file: Option<&Path>) -> Option<SecretText> {
        let secret = match (text, file) {
            (Some(text), _) => text.expose().to_owned(),
            (None, Some(file)) => match std::fs::read_to_string(self.folder.join(file)) {
                Ok(text) => text.trim().to_owned(),
                Err(error) => {
                    self.problem(setting, format!("{}: the file cannot be read: {error}", file.display()));
                    return None;
                }
            },
            (None, None) => return None,
        };
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.problem(setting, "expected visible ASCII characters without spaces");
            return None;
        }
        Some(SecretText::new(secret))
    }

    fn exits(&mut self, config: &Config, environment: &Environment) -> BTreeMap<String, SecretText> {
        let mut proxies = BTreeMap::new();
        for (name, exit) in &config.exits {
            let setting = format!("exits.{name}");
            let ways = [exit.proxy.is_some(), exit.proxy_env.is_some(), exit.proxy_file.is_some()];
            let proxies_given = ways.iter().filter(|given| **given).count();
            if proxies_given + usize::from(exit.local_address.is_some()) != 1 {
                self.problem(&setting, "expected one of proxy, proxy_env, proxy_file and local_address");
                continue;
            }
            let proxy = match &exit.proxy_env {
                Some(variable) => {
                    let proxy = environment.get(variable).map(SecretText::new);
                    if proxy.is_none() {
                        self.problem(&setting, format!("the variable {variable} is not set"));
                    }
                    proxy
                }
                None => self.secret(&setting, exit.proxy.as_ref(), exit.proxy_file.as_deref()),
            };
            let Some(proxy) = proxy else { continue };
            let scheme = proxy.expose().split_once("://").map(|(scheme, _)| scheme);
            if !matches!(scheme, Some("http" | "socks5" | "socks5h")) || proxy.expose().parse::<http::Uri>().is_err() {
                self.problem(&setting, "expected a proxy such as http://user:password@host:3128 or socks5://host:1080");
            }
            proxies.insert(name.clone(), proxy);
        }
        proxies
    }

    fn tenants(&mut self, config: &Config, own_tokens: [Option<&SecretText>; 2]) -> Vec<TokenHash> {
        let mut hashes = Vec::new();
        let mut names = HashSet::new();
        let mut seen: HashSet<_> = own_tokens.into_iter().flatten().map(|token| hash(token.expose())).collect();
        for (n, tenant) in config.tenants.iter().enumerate() {
            let setting = format!("tenants, entry {}", n + 1);
            for problem in tenant.problems() {
                self.problem(&setting, problem);
            }
            if !names.insert(tenant.name.as_str()) {
                self.problem(&setting, "expected a name that is not used by another tenant");
            }
            let reported = self.problems.len();
            let given = self.secret(&setting, tenant.token.as_ref(), tenant.token_file.as_deref());
            let token_hash = match (&given, &tenant.token_hash) {
                (Some(token), None) => Some(hash(token.expose())),
                (None, Some(hash)) => parse_hash(hash),
                _ => None,
            };
            match token_hash {
                Some(hash) if seen.insert(hash) => hashes.push(hash),
                Some(_) => self.problem(&setting, "this token is in use already: choose another one"),
                None if self.problems.len() > reported => {}
                None => self.problem(&setting, "expected one of token, token_file and token_hash (SHA-256 in hex)"),
            }
        }
        hashes
    }

    fn models(&mut self, config: &Config) {
        let mut seen = HashSet::new();
        for (n, provider) in config.providers.iter().enumerate() {
            let setting = format!("providers, entry {}", n + 1);
            if provider.name.as_ref().is_some_and(|name| name.is_empty() || name.contains('/')) {
                self.problem(&setting, "name: expected a name without /");
            }
            self.patterns(&setting, provider.models.iter().flatten().chain(provider.limits.keys()));
        }
        self.patterns("models", config.models.iter().map(|model| &model.name));
        for model in &config.models {
            for name in std::iter::once(&model.name).chain(&model.aliases) {
                if !seen.insert(name.as_str()) {
                    self.problem("models", format!("{name} is listed twice"));
                }
            }
        }
    }

    fn patterns<'m>(&mut self, setting: &str, models: impl IntoIterator<Item = &'m String>) {
        for problem in models.into_iter().filter_map(|model| pattern_problem(model)) {
            self.problem(setting, problem);
        }
    }
}

impl TenantEntry {
    /// Returns what is wrong with its name, models and limits.
    pub fn problems(&self) -> Vec<String> {
        let name = &self.name;
        // `.` and `..` cannot be part of a path.
        let is_path = name.trim_matches('.').is_empty() || name.contains('/');
        let is_wrong_name =
            is_path || name.trim() != name || name.chars().count() > 64 || name.chars().any(char::is_control);
        let is_wrong_time = self.expires.as_deref().is_some_and(|expires| parse_time(expires).is_none());
        let wrong = [
            (
                is_wrong_name,
                "name: expected 1 to 64 characters, without / and control characters, not only dots, and without spaces \
                 around it",
            ),
            (self.max_concurrent == Some(0), "max_concurrent: expected a whole number, 1 or more"),
            (is_wrong_time, "expires: expected a day such as 2030-01-31, or a time such as 2030-01-31T12:00:00Z"),
        ];
        let wrong = wrong.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, problem)| problem.to_owned());
        wrong.chain(self.models.iter().filter_map(|model| pattern_problem(model))).collect()
    }
}

/// Checks that the settings of each provider are valid and that its name is unique.
fn providers(loaded: &Loaded, places: &Places<'_>) -> Vec<Problem> {
    let mut names = HashSet::new();
    let mut problems = Vec::new();
    for (n, settings) in loaded.pools().iter().enumerate() {
        let setting = if n == 0 { "gateway.upstream".to_owned() } else { format!("providers, entry {n}") };
        let mut problem = |message: String| problems.push(Problem::new(places.of(&setting), message));
        if !names.insert(settings.name.clone()) {
            problem(format!("another provider is named {}: set another name", settings.name));
        }
        let gateway = &loaded.config.gateway;
        let (kind, upstream, header) = match n.checked_sub(1).map(|n| &loaded.config.providers[n]) {
            None => ("provider", &gateway.upstream, &None),
            Some(entry) => ("kind", &entry.upstream, &entry.header),
        };
        let takes_header = settings.kind == ProviderKind::ApiKeyHeader;
        if takes_header && upstream.is_none() {
            problem(format!("{kind} = \"api-key-header\" needs an upstream"));
        } else if header.is_some() && !takes_header {
            problem(format!("header is only allowed for {kind} = \"api-key-header\""));
        } else if let Err(error) = settings.builder() {
            problem(error.to_string());
        }
    }
    problems
}

/// Parses a SHA-256 hash in hex.
fn parse_hash(text: &str) -> Option<TokenHash> {
    HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?.try_into().ok()
}

/// Parses a day, which starts at midnight UTC, or a time with its zone.
pub fn parse_time(text: &str) -> Option<jiff::Timestamp> {
    let day = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    text.parse().ok().or_else(|| Some(day()?.timestamp()))
}
