//! Variables of the environment that stand for settings, beside `KEYPOOL__A__B`.

use std::path::PathBuf;

use tower_keypool::config::{Environment, KeyVariables, Origin, Problem, Setting};

use super::{ProviderName, certificate, store};

/// A setting's names, the first that is there wins.
const NAMES: [(&str, &[&str]); 9] = [
    ("admin.listen", &["KEYPOOL_ADMIN_LISTEN"]),
    ("gateway.listen", &["KEYPOOL_LISTEN"]),
    ("gateway.upstream", &["KEYPOOL_UPSTREAM"]),
    ("gateway.cacert", &["KEYPOOL_CACERT"]),
    ("gateway.provider", &["KEYPOOL_PROVIDER"]),
    ("pool.key_files", &["KEYPOOL_KEYS", "KEYPOOL_API_KEY_FILE", "API_KEY_FILE"]),
    ("log.directory", &["KEYPOOL_LOG_DIRECTORY", "LOG_DIRECTORY"]),
    ("log.format", &["KEYPOOL_LOG_FORMAT", "LOG_FORMAT"]),
    ("log.level", &["KEYPOOL_LOG_LEVEL", "LOG_LEVEL"]),
];

/// The administrator's token's, also with `_FILE`.
const ADMIN_TOKEN: &str = "KEYPOOL_ADMIN_TOKEN";

/// The token's, each also with `_FILE`.
const TOKEN: [&str; 3] = ["KEYPOOL_TOKEN", "KEYPOOL_PLACEHOLDER_TOKEN", "PLACEHOLDER_TOKEN"];

/// Names of the provider's address.
pub(super) fn upstream(provider: ProviderName) -> &'static [&'static str] {
    match provider {
        ProviderName::Gemini => &["GEMINI_API_BASE_URL", "GOOGLE_GEMINI_BASE_URL"],
        ProviderName::OpenAi => &["OPENAI_API_BASE_URL", "OPENAI_BASE_URL", "OPENAI_API_BASE"],
        ProviderName::Anthropic => &["ANTHROPIC_API_BASE_URL", "ANTHROPIC_BASE_URL"],
    }
}

impl ProviderName {
    /// Names of the variables that hold its keys.
    pub fn variables(self) -> KeyVariables {
        match self {
            Self::Gemini => KeyVariables::GEMINI,
            Self::OpenAi => KeyVariables::OPENAI,
            Self::Anthropic => KeyVariables::ANTHROPIC,
        }
    }
}

/// Everything that the environment sets; what comes later wins. `listen`: what the file says, for the half that a
/// variable leaves open.
pub(super) fn settings(
    environment: &Environment,
    provider: ProviderName,
    listen: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    settings.extend(listens(environment, listen));
    if let Some(found) = upstream(provider).iter().find_map(|name| environment.named(name)) {
        settings.push(Setting::new("gateway.upstream", found.value.as_str(), found.origin()));
    }
    for (path, names) in NAMES {
        if let Some((name, value)) = names.iter().find_map(|name| Some((*name, environment.get(name)?))) {
            settings.push(Setting::new(path, value, Origin::env(name)));
        }
    }
    match environment.first_secret(TOKEN.map(str::to_owned)) {
        Ok(Some(found)) => settings.push(Setting::new("gateway.token", found.value.as_str(), found.origin())),
        Ok(None) => {}
        Err(problem) => problems.push(Problem { path: "gateway.token".to_owned(), ..problem }),
    }
    match environment.secret(ADMIN_TOKEN) {
        Ok(Some(found)) => settings.push(Setting::new("admin.token", found.value.as_str(), found.origin())),
        Ok(None) => {}
        Err(problem) => problems.push(Problem { path: "admin.token".to_owned(), ..problem }),
    }
    settings.extend(certificate::variables(environment, problems));
    settings.extend(store::variables(environment, problems));
    settings.extend(environment.overlay());
    settings
}

/// The file that holds the token, where a variable names one.
pub(super) fn token_file(environment: &Environment) -> Option<PathBuf> {
    environment.secret_file(TOKEN.map(str::to_owned))
}

/// The same of the administrator's.
pub(super) fn admin_token_file(environment: &Environment) -> Option<PathBuf> {
    environment.secret_file([ADMIN_TOKEN.to_owned()])
}

/// `LISTEN_HOST` and `LISTEN_PORT`, each a half of the address.
fn listens(environment: &Environment, listen: &str) -> Option<Setting> {
    let (host, port) = (environment.named("LISTEN_HOST"), environment.named("LISTEN_PORT"));
    let origin = match (&host, &port) {
        (Some(host), Some(port)) => Origin::env(format!("{} and {}", host.name, port.name)),
        (Some(one), None) | (None, Some(one)) => one.origin(),
        (None, None) => return None,
    };
    let (usual_host, usual_port) = listen.rsplit_once(':').unwrap_or(("127.0.0.1", "5000"));
    let host = host.map_or_else(|| usual_host.to_owned(), |host| host.value);
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let port = port.map_or_else(|| usual_port.to_owned(), |port| port.value);
    Some(Setting::new("gateway.listen", format!("{host}:{port}"), origin))
}
