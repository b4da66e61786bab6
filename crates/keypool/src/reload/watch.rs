//! Notices that files changed: their folders are watched, so that replacing a file by another is seen, and what a
//! cluster mounts (links that are swapped) too.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// A change is looked at when this long nothing more happened.
const QUIET: Duration = Duration::from_millis(200);
/// Or this long after the first of many.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where folders cannot be watched, files are looked at this often.
const ROUND: Duration = Duration::from_secs(1);

/// Watches the folders of some files.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
    seen: Vec<Stamp>,
    told: Arc<Notify>,
    /// Something happened that was not looked at yet.
    pending: bool,
}

/// How a file was when it was last looked at; nothing where there is none.
type Stamp = Option<(Option<SystemTime>, u64, u64)>;

impl Watch {
    pub(super) fn new(files: &BTreeSet<PathBuf>) -> Self {
        let told = Arc::new(Notify::new());
        let tell = Arc::clone(&told);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
                tell.notify_one();
            }
        });
        let mut watch = Self {
            watcher: watcher.ok(),
            folders: BTreeSet::new(),
            files: BTreeSet::new(),
            seen: Vec::new(),
            told,
            pending: false,
        };
        watch.follow(files);
        watch
    }

    /// Watches these files from now on. Whether they are others than before, or elsewhere (a link leads to another folder
    /// by now): then they may have changed since they were read, and nobody would tell.
    pub(super) fn follow(&mut self, files: &BTreeSet<PathBuf>) -> bool {
        let folders: BTreeSet<PathBuf> = files.iter().flat_map(|file| folders_of(file)).collect();
        if (&self.files, &self.folders) == (files, &folders) {
            return false;
        }
        if let Some(watcher) = &mut self.watcher {
            for gone in self.folders.difference(&folders) {
                // It may be gone for good.
                let _ = watcher.unwatch(gone);
            }
            let new: Vec<&PathBuf> = folders.difference(&self.folders).collect();
            if new.into_iter().any(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).is_err()) {
                tracing::debug!("folders cannot be watched here: the configuration is looked at every second");
                self.watcher = None;
            }
        }
        self.folders = folders;
        self.files.clone_from(files);
        self.seen = self.stamps();
        true
    }

    /// Resolves when one of the files is another than it was. Whoever stops waiting loses nothing: the next wait tells.
    pub(super) async fn changed(&mut self) {
        loop {
            if self.watcher.is_some() {
                if !self.pending {
                    self.told.notified().await;
                    self.pending = true;
                }
                let settled = async { while tokio::time::timeout(QUIET, self.told.notified()).await.is_ok() {} };
                let _ = tokio::time::timeout(PATIENCE, settled).await;
            } else {
                tokio::time::sleep(ROUND).await;
            }
            self.pending = false;
            let stamps = self.stamps();
            if stamps != self.seen {
                self.seen = stamps;
                return;
            }
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.files.iter().map(|file| stamp(file).ok()).collect()
    }
}

/// The folder in which the file is named, and the one in which it really is; each by its own name, since who is watched under
/// two is not watched at all once one of them is let go.
fn folders_of(file: &Path) -> impl Iterator<Item = PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Some(PathBuf::from(".")),
        folder => folder.map(Path::to_owned),
    };
    let named = parent(file).filter(|folder| folder.is_dir()).map(|folder| folder.canonicalize().unwrap_or(folder));
    let real = file.canonicalize().ok().as_deref().and_then(parent);
    named.into_iter().chain(real)
}

fn stamp(file: &Path) -> io::Result<(Option<SystemTime>, u64, u64)> {
    let data = fs::metadata(file)?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&data);
    #[cfg(not(unix))]
    let number = 0;
    Ok((data.modified().ok(), data.len(), number))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_is_followed_to_where_it_leads_by_now() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (release, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(at(release)).unwrap();
            fs::write(at(release).join("keys.txt"), text).unwrap();
        }
        std::os::unix::fs::symlink("..1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/keys.txt", at("keys.txt")).unwrap();
        let files = BTreeSet::from([at("keys.txt")]);
        let mut watch = Watch::new(&files);
        let soon = Duration::from_secs(10);

        std::os::unix::fs::symlink("..2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        tokio::time::timeout(soon, watch.changed()).await.expect("the link is another");
        assert!(watch.follow(&files), "it leads elsewhere");
        assert!(!watch.follow(&files));
        fs::write(at("..2/keys.txt"), "two and more").unwrap();
        tokio::time::timeout(soon, watch.changed()).await.expect("so is what it leads to");
    }

    #[tokio::test]
    async fn what_happened_while_something_else_was_done_is_told_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.txt");
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::new(&BTreeSet::from([file.clone()]));
        fs::write(&file, "two and more").unwrap();
        let soon = Duration::from_secs(10);
        // Until it waits for quiet, and then something else comes first.
        tokio::time::timeout(soon, async {
            while tokio::time::timeout(QUIET / 4, watch.changed()).await.is_err() && !watch.pending {}
        })
        .await
        .expect("it is told");
        tokio::time::timeout(soon, watch.changed()).await.expect("it is told again");
    }

    #[tokio::test]
    async fn a_file_that_goes_and_comes_back_in_a_folder_of_two_names_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        std::os::unix::fs::symlink("real", at("link")).unwrap();
        fs::write(at("link/keys.txt"), "one").unwrap();
        let files = BTreeSet::from([at("link/keys.txt")]);
        let mut watch = Watch::new(&files);
        let soon = Duration::from_secs(10);

        fs::remove_file(at("link/keys.txt")).unwrap();
        tokio::time::timeout(soon, watch.changed()).await.expect("it is gone");
        watch.follow(&files);
        fs::write(at("link/keys.txt"), "two").unwrap();
        tokio::time::timeout(soon, watch.changed()).await.expect("it is back");
    }
}
