//! Changes while the gateway runs: SIGHUP, changed files, and what other processes changed in the database.

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use notify_debouncer_mini::{DebounceEventResult, new_debouncer, notify::RecursiveMode};
use tokio::sync::mpsc;

use crate::{app::AppState, config::Loaded, server::Certificate};

/// Changes of a file within so long are one.
const DEBOUNCE: Duration = Duration::from_millis(500);
/// How often the database is asked whether keys or tenants changed.
const POLL: Duration = Duration::from_secs(1);

/// What a reload changed.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Reloaded {
    /// Keys that are in use now.
    pub keys: usize,
    /// Sections of the configuration that changed and are taken at the next start.
    pub at_next_start: Vec<&'static str>,
}

/// Reads configuration, key files and database anew. With an error everything stays as it was.
///
/// # Errors
/// Everything that is wrong with the configuration; those of the database.
pub async fn reload(app: &AppState) -> anyhow::Result<Reloaded> {
    let loaded = app.inputs.load()?;
    app.tenants.reload(&loaded, &app.stores).await?;
    app.pools.reload(&loaded, &app.stores).await?;
    let at_next_start = changed_sections(&app.loaded.load(), &loaded);
    app.loaded.store(Arc::new(loaded));
    let keys = app.pools.iter().map(|provider| provider.pool.stats().keys).sum();
    tracing::info!(keys, ?at_next_start, "configuration reloaded");
    Ok(Reloaded { keys, at_next_start })
}

/// Sections that are read at the start alone, and differ.
fn changed_sections(before: &Loaded, after: &Loaded) -> Vec<&'static str> {
    let (before, after) = (&before.config, &after.config);
    let pairs = [
        ("gateway", text(&before.gateway), text(&after.gateway)),
        ("pool", text(&before.pool), text(&after.pool)),
        ("exits", text(&before.exits), text(&after.exits)),
        ("admin", text(&before.admin), text(&after.admin)),
        ("log", text(&before.log), text(&after.log)),
        ("store", text(&before.store), text(&after.store)),
    ];
    pairs.into_iter().filter(|(_, before, after)| before != after).map(|(name, ..)| name).collect()
}

/// Settings as text, without secrets.
fn text(section: &impl serde::Serialize) -> String {
    serde_json::to_string(section).unwrap_or_default()
}

/// Reloads whenever something changed, until the gateway ends. From this call on no change and no signal is missed.
pub fn watch(app: AppState, certificate: Option<Certificate>) -> impl Future<Output = ()> + Send {
    let (changed, mut changes) = mpsc::channel(1);
    let watcher = watch_files(&app, certificate.as_ref(), changed);
    if let Err(error) = &watcher {
        tracing::warn!(%error, "files are not watched: send SIGHUP after a change");
    }
    let mut hang_ups = HangUps::new();
    async move {
        let _watcher = watcher;
        let mut revision = Revision::default();
        revision.changed(&app).await;
        let mut poll = tokio::time::interval(POLL);
        loop {
            tokio::select! {
                () = app.shutdown.cancelled() => return,
                Some(()) = changes.recv() => {}
                () = hang_ups.next() => {}
                _ = poll.tick() => {
                    if !revision.changed(&app).await {
                        continue;
                    }
                }
            }
            if let Err(error) = reload(&app).await {
                tracing::error!("the configuration is wrong, and the one before stays:\n{error}");
            }
            if let Some(Err(error)) = certificate.as_ref().map(Certificate::reload) {
                tracing::error!(%error, "the certificate cannot be read, and the one before stays");
            }
        }
    }
}

/// Watches the folders of all files that were read: editors and container systems replace files.
fn watch_files(
    app: &AppState,
    certificate: Option<&Certificate>,
    changed: mpsc::Sender<()>,
) -> anyhow::Result<impl Sized + use<>> {
    let loaded = app.loaded.load();
    let mut files: HashSet<PathBuf> =
        loaded.pools().iter().flat_map(|plan| plan.key_files().collect::<Vec<_>>()).collect();
    files.extend(app.inputs.file().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned())));
    files.extend(certificate.iter().flat_map(|certificate| certificate.files()).cloned());
    let folders: HashSet<PathBuf> = files.iter().filter_map(|file| Some(file.parent()?.to_owned())).collect();
    let mut debouncer = new_debouncer(DEBOUNCE, move |events: DebounceEventResult| {
        let is_ours =
            |path: &PathBuf| files.iter().any(|file| file == path || file.parent() == path.parent() && is_link(file));
        if events.is_ok_and(|events| events.iter().any(|event| is_ours(&event.path))) {
            let _ = changed.try_send(());
        }
    })?;
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        debouncer.watcher().watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(debouncer)
}

/// A link's target may change without an event at the link.
fn is_link(file: &PathBuf) -> bool {
    std::fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_symlink())
}

/// The revision of keys and tenants in the database.
#[derive(Default)]
struct Revision(u64);

impl Revision {
    async fn changed(&mut self, app: &AppState) -> bool {
        let Some(sqlite) = &app.stores.sqlite else { return false };
        // A database that is away is told of by the pools.
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
