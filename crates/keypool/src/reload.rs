//! Reloading while the gateway runs: on SIGHUP, on changed files, and on changes by other processes in the database.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    app::AppState,
    config::{Config, DEFAULT_KEY_FILE, Inputs, Loaded},
    server::Certificate,
    store::Stores,
};

/// How often the files and the database are checked for changes.
pub const POLL: Duration = Duration::from_millis(500);

/// The result of a reload.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Reloaded {
    /// Number of keys in the pools now.
    pub keys: usize,
    /// Changed sections of the configuration that take effect at the next start only.
    pub at_next_start: Vec<&'static str>,
}

/// Reloads the configuration, the key files and the database.
///
/// # Errors
/// If the configuration is invalid, in which case the previous one stays in use, and its key files and the database are
/// reloaded; or if the database cannot be read.
pub async fn reload(app: &AppState) -> anyhow::Result<Reloaded> {
    let _change = app.admin.changes.lock().await;
    let new = load(app);
    let loaded = new.as_ref().map_or_else(|_| app.loaded.load_full(), Arc::clone);
    app.tenants.reload(&loaded, &app.stores).await?;
    app.pools.reload(&loaded, &app.stores).await?;
    let loaded = new?;
    let at_next_start = changed_sections(&app.started, &loaded);
    app.loaded.store(loaded);
    let keys = app.pools.iter().map(|provider| provider.pool.stats().keys).sum();
    tracing::info!(keys, "configuration reloaded");
    if !at_next_start.is_empty() {
        tracing::warn!(sections = at_next_start.join(", "), "changed settings take effect at the next start");
    }
    Ok(Reloaded { keys, at_next_start })
}

/// Loads the configuration for the running gateway.
fn load(app: &AppState) -> anyhow::Result<Arc<Loaded>> {
    let mut loaded = app.inputs.load()?;
    // A new address takes effect at the next start only.
    let (listen, gateway) = (app.started.listen, &loaded.config.gateway);
    if !listen.ip().is_loopback() && gateway.token.is_none() && gateway.token_file.is_none() {
        anyhow::bail!(
            "gateway.token: the gateway listens at {listen} until it is restarted, and other machines can reach it, so \
             a token is required"
        );
    }
    loaded.default_key_file = loaded.default_key_file.or_else(|| app.loaded.load().default_key_file.clone());
    Ok(Arc::new(loaded))
}

/// Returns the names of changed sections that are read at start only.
fn changed_sections(started: &Loaded, loaded: &Loaded) -> Vec<&'static str> {
    let (before, after) = (read_at_start(&started.config), read_at_start(&loaded.config));
    let sections = [
        ("gateway", before.gateway != after.gateway),
        ("pool", before.pool != after.pool),
        ("models", before.models != after.models),
        ("errors", before.errors != after.errors),
        ("providers", before.providers != after.providers),
        ("exits", before.exits != after.exits || started.proxies != loaded.proxies),
        ("admin", before.admin != after.admin),
        ("log", before.log != after.log),
        ("store", before.store != after.store || started.redis_password != loaded.redis_password),
    ];
    sections.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect()
}

/// Returns the configuration without the settings that a reload applies: keys, where they are listed, and tokens.
fn read_at_start(config: &Config) -> Config {
    let mut config = config.clone();
    (config.pool.key_files, config.pool.key_variables) = (None, true);
    (config.gateway.token, config.gateway.token_file) = (None, None);
    (config.admin.token, config.admin.token_file) = (None, None);
    for provider in &mut config.providers {
        provider.keys.clear();
        provider.key_files.clear();
    }
    for exit in config.exits.values_mut() {
        exit.projects.clear();
    }
    config
}

/// Reloads after each change until the gateway shuts down. No change of `files` since they were read, and no signal
/// after this call, is missed.
///
/// Files are polled, not watched: polling also finds changes behind links, in containers and on network file systems.
pub fn watch(app: AppState, certificate: Option<Certificate>, mut files: Files) -> impl Future<Output = ()> + Send {
    let mut hang_ups = HangUps::new();
    let mut revision = Revision::first(&app.stores);
    // The error of the last reload. The missing file may be named only by the new configuration, so no file change would
    // start another reload. It is tried until the error changes.
    let mut error = None;
    async move {
        let mut poll = tokio::time::interval(POLL);
        loop {
            let mut is_retry = false;
            tokio::select! {
                () = app.shutdown.cancelled() => return,
                // The next poll need not find the same changes again.
                () = hang_ups.next() => files = Files::read(&app.inputs, &app.loaded.load(), certificate.as_ref()),
                _ = poll.tick() => {
                    let changed = files.changed(&app.inputs, &app.loaded.load(), certificate.as_ref());
                    if !revision.changed(&app.stores).await && !changed {
                        is_retry = error.is_some() && !files.unsettled && text_of_error(load(&app)) != error;
                        if !is_retry {
                            continue;
                        }
                    }
                }
            }
            let before = std::mem::replace(&mut error, text_of_error(reload(&app).await));
            if let Some(error) = error.as_ref().filter(|_| !is_retry || error != before) {
                tracing::error!("the configuration is invalid, so the previous one stays in use:\n{error}");
            }
            if let Some(Err(error)) = certificate.as_ref().filter(|_| !is_retry).map(Certificate::reload) {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the certificate cannot be read, so the previous one stays in use"
                );
            }
        }
    }
}

fn text_of_error<T>(result: anyhow::Result<T>) -> Option<String> {
    result.err().map(|error| format!("{error:#}"))
}

/// The state of all watched files at the last check.
pub struct Files {
    stamps: Stamps,
    /// Whether they had changed at the last check: somebody may still be writing.
    unsettled: bool,
}

/// Modification time and length of each file; `None` if the file does not exist.
type Stamps = BTreeMap<PathBuf, Option<(SystemTime, u64)>>;

impl Files {
    /// Reads the state of the files, after the configuration and before the keys are loaded.
    pub fn read(inputs: &Inputs, loaded: &Loaded, certificate: Option<&Certificate>) -> Self {
        Self { stamps: stamps(inputs, loaded, certificate), unsettled: false }
    }

    /// Reports whether they changed before the last check and not since.
    pub fn changed(&mut self, inputs: &Inputs, loaded: &Loaded, certificate: Option<&Certificate>) -> bool {
        let now = stamps(inputs, loaded, certificate);
        let differ = std::mem::replace(&mut self.stamps, now) != self.stamps;
        std::mem::replace(&mut self.unsettled, differ) && !differ
    }
}

fn stamps(inputs: &Inputs, loaded: &Loaded, certificate: Option<&Certificate>) -> Stamps {
    let config = &loaded.config;
    let of_tenants = config.tenants.iter().map(|tenant| &tenant.token_file);
    let tokens = of_tenants.chain([&config.gateway.token_file, &config.admin.token_file]).flatten();
    let tokens = tokens.map(|file| loaded.folder().join(file));
    let key_files = loaded.pools().into_iter().flat_map(|settings| settings.key_files().collect::<Vec<_>>());
    let certificate = certificate.into_iter().flat_map(|certificate| certificate.files().map(Clone::clone));
    let default = config.pool.key_files.is_none().then(|| DEFAULT_KEY_FILE.into());
    let files = key_files.chain(default).chain(inputs.file().map(Into::into)).chain(tokens).chain(certificate);
    let stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.map(|file| (file.clone(), stamp(&file))).collect()
}

/// The revision of keys and tenants in the database.
pub struct Revision(u64);

impl Revision {
    /// Returns the revision before the first keys were read.
    pub fn first(stores: &Stores) -> Self {
        Self(stores.first_revision)
    }

    pub async fn changed(&mut self, stores: &Stores) -> bool {
        let Some(sqlite) = &stores.sqlite else { return false };
        // The pools report an unavailable database.
        let Ok(now) = sqlite.keys_revision().await else { return false };
        std::mem::replace(&mut self.0, now) != now
    }
}

#[cfg(unix)]
struct HangUps(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl HangUps {
    fn new() -> Self {
        Self(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok())
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
struct HangUps;

#[cfg(not(unix))]
impl HangUps {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) {
        std::future::pending().await
    }
}
