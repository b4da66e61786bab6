//! `[store]` with its paths resolved and its password read.

use std::path::{Path, PathBuf};

use tower_keypool::config::{ConfigErrors, Document, Environment, Origin, Problem, SecretText, StoreSection, StoreUrl};

use super::{Config, Inputs, reading::Reading};

/// The section as it is meant, wherever this process runs.
pub(super) fn resolve(store: &StoreSection, reading: &mut Reading<'_>) -> StoreSection {
    let mut meant = store.clone();
    match &store.url {
        Some(StoreUrl::File(path)) => {
            let path = reading.path("store.url", Path::new(path));
            meant.url = path.to_str().map(|path| StoreUrl::File(path.to_owned()));
            refuse_servers(&mut reading.document);
        }
        Some(StoreUrl::Redis(_)) => {
            meant.ca_file = store.ca_file.as_ref().map(|path| reading.path("store.ca_file", path));
            if let Some(path) = meant.ca_file.as_ref().filter(|path| !path.as_os_str().is_empty())
                && let Err(error) = std::fs::File::open(path)
            {
                reading.problem("store.ca_file", format!("{} cannot be read: {error}", path.display()));
            }
            let names = ("store.password", "store.password_file");
            let given = store.password.as_ref().map(SecretText::expose);
            let file = store.password_file.as_deref().filter(|path| !path.as_os_str().is_empty());
            meant.password = reading.secret(names, given, file).map(SecretText::new);
            if let Err(error) = meant.redis() {
                reading.problem("store.url", error.to_string());
            }
        }
        _ => {}
    }
    meant
}

/// Settings that say nothing of a file.
const OF_A_SERVER: [&str; 4] = ["store.namespace", "store.password", "store.password_file", "store.ca_file"];

/// Whoever writes one of them beside the address of a file means another address. Where a variable or an option names the file
/// the configuration may be another start's as well.
fn refuse_servers(document: &mut Document<'_>) {
    let in_file = |document: &Document<'_>, name: &str| matches!(document.origin(name), Origin::File { .. });
    for name in OF_A_SERVER {
        if in_file(document, "store.url") && in_file(document, name) {
            document.problem(name, "expected redis://HOST:PORT as store.url beside it: of a file it says nothing");
        }
    }
}

/// The variable that names the database file, those that hold the address of a Redis server, and those of its password;
/// of the last two also `…_FILE`.
const FILE: &str = "KEYPOOL_DB";
const SERVER: &str = "KEYPOOL_REDIS_URL";
const PASSWORD: &str = "KEYPOOL_REDIS_PASSWORD";

/// What variables say of it.
pub(super) fn variables(environment: &Environment, problems: &mut Vec<Problem>) -> Vec<tower_keypool::config::Setting> {
    use tower_keypool::config::Setting;
    let mut settings = Vec::new();
    if let Some(path) = environment.get(FILE) {
        settings.push(Setting::new("store.url", path, Origin::env(FILE)));
    }
    if let Some(lease) = environment.get("KEYPOOL_LEASE") {
        settings.push(Setting::new("store.lease", lease, Origin::env("KEYPOOL_LEASE")));
    }
    for (setting, name) in [("store.url", SERVER), ("store.password", PASSWORD)] {
        match environment.first_secret([name.to_owned()]) {
            Ok(Some(found)) => {
                if name == SERVER && environment.get(FILE).is_some() {
                    let what = format!("expected only one of {FILE} and {}", found.name);
                    problems.push(Problem::new(found.origin(), setting, what));
                } else if name == SERVER && !found.value.contains("://") {
                    let what = "expected redis://HOST:PORT or rediss://HOST:PORT";
                    problems.push(Problem::new(found.origin(), setting, what));
                } else {
                    settings.push(Setting::new(setting, found.value.as_str(), found.origin()));
                }
            }
            Ok(None) => {}
            Err(problem) => problems.push(Problem { path: setting.to_owned(), ..problem }),
        }
    }
    settings
}

/// Files that those variables name.
pub(super) fn files(environment: &Environment) -> impl Iterator<Item = PathBuf> {
    [SERVER, PASSWORD].into_iter().filter_map(|name| environment.secret_file([name.to_owned()]))
}

impl Inputs {
    /// `[store]` alone: what else is wrong with the configuration does not matter to those who look into the store.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn store(&self) -> Result<StoreSection, ConfigErrors> {
        let texts = self.texts()?;
        let mut reading = Reading::of(texts.document(), texts.folder(), &self.environment);
        let config: Config = reading.document.read();
        config.store.check(&mut reading.document);
        let store = resolve(&config.store, &mut reading);
        let problems = texts.problems().iter().cloned().chain(reading.document.into_problems());
        let problems = problems.filter(|problem| problem.path.starts_with("store"));
        let mut problems: Vec<Problem> = texts.not_text().iter().cloned().chain(problems).collect();
        if !problems.is_empty() {
            // What is wrong may be just that: a variable that was misspelled.
            problems.extend(self.unread());
        }
        ConfigErrors::check(problems)?;
        Ok(store)
    }
}
