//! The sources of settings.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use tower_keypool::config::{Environment, read};

use super::{
    Config,
    check::check,
    loaded::{Loaded, Problems},
};

/// Short names of variables for settings, besides `KEYPOOL__SECTION__SETTING`. For each setting, the first variable
/// that is set is used.
const VARIABLES: [(&str, &[&str]); 20] = [
    ("admin.listen", &["KEYPOOL_ADMIN_LISTEN"]),
    ("admin.token", &["KEYPOOL_ADMIN_TOKEN"]),
    ("admin.token_file", &["KEYPOOL_ADMIN_TOKEN_FILE"]),
    ("gateway.cacert", &["KEYPOOL_CACERT"]),
    ("gateway.listen", &["KEYPOOL_LISTEN"]),
    ("gateway.provider", &["KEYPOOL_PROVIDER"]),
    ("gateway.tls_cert_file", &["KEYPOOL_TLS_CERT_FILE"]),
    ("gateway.tls_key_file", &["KEYPOOL_TLS_KEY_FILE"]),
    ("gateway.token", &["KEYPOOL_TOKEN", "KEYPOOL_PLACEHOLDER_TOKEN", "PLACEHOLDER_TOKEN"]),
    ("gateway.token_file", &["KEYPOOL_TOKEN_FILE", "KEYPOOL_PLACEHOLDER_TOKEN_FILE", "PLACEHOLDER_TOKEN_FILE"]),
    ("gateway.upstream", &["KEYPOOL_UPSTREAM"]),
    ("log.directory", &["KEYPOOL_LOG_DIRECTORY", "LOG_DIRECTORY"]),
    ("log.format", &["KEYPOOL_LOG_FORMAT", "LOG_FORMAT"]),
    ("log.level", &["KEYPOOL_LOG_LEVEL", "LOG_LEVEL"]),
    ("pool.key_files", &["KEYPOOL_KEYS", "KEYPOOL_API_KEY_FILE", "API_KEY_FILE"]),
    ("store.path", &["KEYPOOL_DB"]),
    ("store.redis", &["KEYPOOL_REDIS_URL"]),
    ("store.redis_ca_file", &["KEYPOOL_REDIS_CA_FILE"]),
    ("store.redis_password", &["KEYPOOL_REDIS_PASSWORD"]),
    ("store.redis_password_file", &["KEYPOOL_REDIS_PASSWORD_FILE"]),
];

/// The sources of settings: a file, the environment and command-line options. Each overrides the one before.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    file: Option<PathBuf>,
    environment: Environment,
    /// Each option with its setting and its values.
    options: Vec<(&'static str, &'static str, Vec<String>)>,
}

impl Inputs {
    /// Uses the file that is given, or else the first of these: `KEYPOOL_CONFIG`, `./keypool.toml`, the user's file.
    pub fn new(file: Option<PathBuf>, environment: Environment) -> Self {
        let file = file.or_else(|| default_file(&environment));
        Self { file, environment, options: Vec::new() }
    }

    /// Adds a command-line option for a setting such as `gateway.listen`. Several values form a list.
    pub fn option(&mut self, option: &'static str, setting: &'static str, values: impl IntoIterator<Item = String>) {
        let values: Vec<String> = values.into_iter().collect();
        if !values.is_empty() {
            self.options.push((option, setting, values));
        }
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads and checks all settings.
    ///
    /// # Errors
    /// All problems that were found.
    pub fn load(&self) -> Result<Loaded, Problems> {
        let path = self.file.clone().unwrap_or_default();
        let text = match &self.file {
            Some(path) => std::fs::read_to_string(path).map_err(|error| {
                let message = match error.kind() {
                    std::io::ErrorKind::InvalidData => "the file is not text in UTF-8".to_owned(),
                    _ => format!("the file cannot be read: {error}"),
                };
                Problems::one(path.display(), message)
            })?,
            None => String::new(),
        };
        if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() {
            let message = "the file is JSON, but a configuration is TOML; pass a key file with --keys";
            return Err(Problems::one(path.display(), message));
        }
        let (overlay, mut origins) = self.overlay();
        let mut config: Config = read(&path, &text, &overlay).map_err(|mut problems| {
            for problem in &mut problems {
                if let Some(origin) = origins.get(&setting(&problem.place)) {
                    problem.place.clone_from(origin);
                }
            }
            Problems(problems)
        })?;
        // Not OPENAI_BASE_URL and the like: clients use these for the address of this gateway.
        let variable = format!("{}_API_BASE_URL", config.gateway.provider.as_str().to_ascii_uppercase());
        let upstream = self.environment.get(&variable).filter(|_| !origins.contains_key("gateway.upstream"));
        if let Some(upstream) = upstream {
            config.gateway.upstream = Some(upstream.to_owned());
            origins.insert("gateway.upstream".to_owned(), variable);
        }
        for (setting, line) in lines(&text) {
            origins.entry(setting).or_insert_with(|| format!("{}:{line}", path.display()));
        }
        check(config, path, self.environment.clone(), &origins)
    }

    /// Returns all variables and options under names such as `KEYPOOL__SECTION__SETTING`, which override the file, and the
    /// origin of each setting.
    fn overlay(&self) -> (Environment, BTreeMap<String, String>) {
        // Each setting with its value and its origin.
        let mut all: BTreeMap<String, (String, String)> = BTreeMap::new();
        let mut set = |setting: &str, value: String, origin: &str| {
            let name = format!("KEYPOOL__{}", setting.to_ascii_uppercase().replace('.', "__"));
            all.insert(name, (value, origin.to_owned()));
        };
        let get = |names: &[&'static str]| names.iter().find_map(|name| Some((*name, self.environment.get(name)?)));
        let (host, port) = (self.environment.get("LISTEN_HOST"), self.environment.get("LISTEN_PORT"));
        if host.is_some() || port.is_some() {
            let host = host.unwrap_or("127.0.0.1");
            let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
            let listen = format!("{host}:{}", port.unwrap_or("5000"));
            set("gateway.listen", toml_text(&listen), "LISTEN_HOST and LISTEN_PORT");
        }
        for (setting, names) in VARIABLES {
            let Some((name, value)) = get(names) else { continue };
            let value = if setting == "pool.key_files" {
                toml_list(value.split(',').map(str::trim).filter(|file| !file.is_empty()))
            } else {
                toml_text(value)
            };
            set(setting, value, name);
        }
        for (name, value) in self.environment.overlay() {
            set(&setting(name), value.to_owned(), name);
        }
        for (option, setting, values) in &self.options {
            let is_list = matches!(*setting, "pool.key_files" | "gateway.hosts" | "gateway.origins" | "pool.fallback");
            let value = match &values[..] {
                [one] if !is_list => toml_text(one),
                all => toml_list(all.iter().map(String::as_str)),
            };
            set(setting, value, option);
        }
        let origins = all.iter().map(|(name, (_, origin))| (setting(name), origin.clone())).collect();
        (Environment::from_vars(all.into_iter().map(|(name, (value, _))| (name, value))), origins)
    }
}

/// Returns the setting of a variable `KEYPOOL__SECTION__SETTING`, such as `section.setting`.
fn setting(variable: &str) -> String {
    variable.trim_start_matches("KEYPOOL__").to_ascii_lowercase().replace("__", ".")
}

/// Returns the line of each setting in a file with this text.
fn lines(text: &str) -> Vec<(String, usize)> {
    let Ok(file) = toml::de::DeTable::parse(text) else { return Vec::new() };
    let sections = file.get_ref().iter().filter_map(|(section, value)| Some((section, value.get_ref().as_table()?)));
    let settings = sections.flat_map(|(section, settings)| {
        settings.iter().map(move |(setting, value)| {
            let line = 1 + text[..value.span().start].matches('\n').count();
            (format!("{}.{}", section.get_ref(), setting.get_ref()), line)
        })
    });
    settings.collect()
}

fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn toml_list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    toml::Value::from(items.collect::<Vec<_>>()).to_string()
}

/// Returns the configuration file that is used if none is named.
fn default_file(environment: &Environment) -> Option<PathBuf> {
    if let Some(named) = environment.get("KEYPOOL_CONFIG") {
        return Some(PathBuf::from(named));
    }
    let home = || environment.get("HOME").map(|home| Path::new(home).join(".config"));
    let xdg = environment.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let users = xdg.or_else(home).map(|folder| folder.join("keypool").join("keypool.toml"));
    [Some(PathBuf::from("keypool.toml")), users].into_iter().flatten().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_accept_the_spellings_of_container_variables() {
        for (value, expected) in [("1", true), ("yes", true), ("on", true), ("0", false), ("No", false), ("off", false)]
        {
            let environment = [("KEYPOOL__GATEWAY__STRICT", value), ("KEYPOOL__POOL__STRATEGY", "round-robin")];
            let inputs = Inputs { environment: Environment::from_vars(environment), ..Inputs::default() };
            let config = inputs.load().expect("a good configuration").config;
            assert_eq!((config.gateway.strict, config.pool.strategy.as_str()), (expected, "round-robin"), "{value}");
        }
        let environment = Environment::from_vars([("KEYPOOL__GATEWAY__STRICT", "maybe")]);
        let problems = Inputs { environment, ..Inputs::default() }.load().unwrap_err().to_string();
        assert!(problems.contains("expected true or false"), "{problems}");
    }
}
