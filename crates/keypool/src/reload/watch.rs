//! Notices that files changed. What is watched are the folders on the way to them, so that replacing a file by another is seen,
//! and a folder, and what a cluster mounts or a release swaps (links).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::ModifyKind};
use tokio::sync::Notify;

use crate::config::{Identity, Way};

/// A change is looked at when this long nothing more happened.
const QUIET: Duration = Duration::from_millis(200);
/// Or this long after the first of many.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where folders cannot be watched, files are looked at this often.
const ROUND: Duration = Duration::from_secs(1);

/// Watches the ways to some files.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// Each as it was when it was begun to be watched: another one of its name is another.
    folders: BTreeMap<PathBuf, Identity>,
    files: BTreeSet<PathBuf>,
    seen: Vec<Stamp>,
    told: Arc<Notify>,
    matters: Arc<Mutex<Matters>>,
    /// Something happened that was not looked at yet.
    pending: bool,
}

/// What matters of the folders: others work in them, too.
#[derive(Default)]
struct Matters {
    entries: BTreeSet<PathBuf>,
    /// What of it was removed, or took another's place: a folder may be another one by now, though of the same number.
    gone: BTreeSet<PathBuf>,
}

/// How a file was when it was last looked at; nothing where there is none.
type Stamp = Option<(Option<SystemTime>, u64, [i64; 3])>;

impl Watch {
    pub(super) fn new(files: &BTreeSet<PathBuf>) -> Self {
        let (told, matters) = (Arc::new(Notify::new()), Arc::<Mutex<Matters>>::default());
        let (tell, noted) = (Arc::clone(&told), Arc::clone(&matters));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            let matters = event.paths.is_empty() || event.paths.iter().any(|path| noted.entries.contains(path));
            if matters && matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
                noted.gone.extend(event.paths.iter().cloned());
            }
            if event.need_rescan() || (matters && !matches!(event.kind, EventKind::Access(_))) {
                tell.notify_one();
            }
        });
        let mut watch = Self {
            watcher: watcher.ok(),
            folders: BTreeMap::new(),
            files: BTreeSet::new(),
            seen: Vec::new(),
            told,
            matters,
            pending: false,
        };
        watch.follow(files);
        watch
    }

    /// Watches these files from now on. Whether they are others than before, or elsewhere since that was last looked at: then
    /// they may have changed since they were read, and nobody would tell.
    pub(super) fn follow(&mut self, files: &BTreeSet<PathBuf>) -> bool {
        let same = self.files == *files;
        self.files.clone_from(files);
        let moved = self.go_along();
        if moved || !same {
            self.seen = self.stamps();
        }
        moved || !same
    }

    /// Watches the folders that are on the way by now. Whether they are others than before.
    fn go_along(&mut self) -> bool {
        let mut way = Way::default();
        self.files.iter().for_each(|file| way.lead_to(file));
        let Way { folders, entries, needed } = way;
        let gone = {
            let mut matters = self.matters.lock().unwrap_or_else(PoisonError::into_inner);
            matters.entries = entries;
            std::mem::take(&mut matters.gone)
        };
        // What was below one that is gone is gone, too.
        let is_gone = |folder: &PathBuf| gone.iter().any(|gone| folder.starts_with(gone));
        let lost: Vec<PathBuf> = self.folders.keys().filter(|folder| is_gone(folder)).cloned().collect();
        for folder in lost {
            self.folders.remove(&folder);
            if let Some(watcher) = &mut self.watcher {
                let _ = watcher.unwatch(&folder);
            }
        }
        if self.folders == folders {
            return false;
        }
        if let Some(watcher) = &mut self.watcher {
            for (gone, identity) in &self.folders {
                if folders.get(gone) != Some(identity) {
                    // It may be gone for good.
                    let _ = watcher.unwatch(gone);
                }
            }
            let is_new = |(folder, identity): &(&PathBuf, &Identity)| self.folders.get(*folder) != Some(identity);
            let failed: Vec<&PathBuf> = folders
                .iter()
                .filter(is_new)
                .filter(|(folder, _)| watcher.watch(folder, RecursiveMode::NonRecursive).is_err())
                .map(|(folder, _)| folder)
                .collect();
            // Those above may be nobody's to read.
            if failed.into_iter().any(|folder| needed.contains(folder)) {
                tracing::debug!("folders cannot be watched here: the configuration is looked at every second");
                self.watcher = None;
            }
        }
        self.folders = folders;
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
            // A folder that came back is watched before it is looked at what is in it.
            self.go_along();
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

/// Also when it was changed otherwise: who may read it is no matter of its contents.
fn stamp(file: &PathBuf) -> io::Result<(Option<SystemTime>, u64, [i64; 3])> {
    let data = fs::metadata(file)?;
    #[cfg(unix)]
    let told = {
        use std::os::unix::fs::MetadataExt;
        [data.ino().cast_signed(), data.ctime(), data.ctime_nsec()]
    };
    #[cfg(not(unix))]
    let told = [0; 3];
    Ok((data.modified().ok(), data.len(), told))
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

        std::os::unix::fs::symlink("..2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        comes(&mut watch, "the link is another").await;
        assert!(!watch.follow(&files), "where it leads is watched before that is told");
        fs::write(at("..2/keys.txt"), "two and more").unwrap();
        comes(&mut watch, "so is what it leads to").await;
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
        comes(&mut watch, "it is told again").await;
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

        fs::remove_file(at("link/keys.txt")).unwrap();
        comes(&mut watch, "it is gone").await;
        watch.follow(&files);
        fs::write(at("link/keys.txt"), "two").unwrap();
        comes(&mut watch, "it is back").await;
    }

    /// A change of these, within ten seconds.
    async fn comes(watch: &mut Watch, what: &str) {
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.unwrap_or_else(|_| panic!("{what}"));
    }

    #[tokio::test]
    async fn a_folder_that_is_replaced_is_watched_and_one_that_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("a", "one"), ("b", "two")] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("keys.txt"), text).unwrap();
        }
        let mut watch = Watch::new(&BTreeSet::from([at("a/keys.txt")]));
        fs::rename(at("a"), at("old")).unwrap();
        fs::rename(at("b"), at("a")).unwrap();
        comes(&mut watch, "another folder").await;
        fs::write(at("k"), "three").unwrap();
        fs::rename(at("k"), at("a/keys.txt")).unwrap();
        comes(&mut watch, "another file in that one").await;
        fs::remove_dir_all(at("a")).unwrap();
        comes(&mut watch, "it is gone").await;
        fs::create_dir(at("a")).unwrap();
        // Nothing that is looked at is there yet.
        assert!(tokio::time::timeout(QUIET * 3, watch.changed()).await.is_err());
        fs::write(at("a/keys.txt"), "four").unwrap();
        comes(&mut watch, "it is back").await;
        // At once it often gets the number that it had.
        for text in ["five", "sixth"] {
            fs::remove_dir_all(at("a")).unwrap();
            fs::create_dir(at("a")).unwrap();
            fs::write(at("a/keys.txt"), text).unwrap();
            comes(&mut watch, "made anew").await;
            fs::write(at("a/keys.txt"), format!("{text} and more")).unwrap();
            comes(&mut watch, "another text in it").await;
        }
    }

    #[tokio::test]
    async fn each_link_on_the_way_may_be_swapped() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, text) in [("r1", "one"), ("r2", "two and more")] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("keys.txt"), text).unwrap();
        }
        symlink("r1", at("current")).unwrap();
        symlink("current/keys.txt", at("middle")).unwrap();
        symlink(at("middle"), at("named")).unwrap();
        for file in ["current/keys.txt", "named"] {
            let mut watch = Watch::new(&BTreeSet::from([at(file)]));
            for to in ["r2", "r1"] {
                symlink(to, at("new")).unwrap();
                fs::rename(at("new"), at("current")).unwrap();
                comes(&mut watch, file).await;
            }
        }
    }

    #[tokio::test]
    async fn whoever_may_read_it_by_now_is_a_change() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.txt");
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::new(&BTreeSet::from([file.clone()]));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        comes(&mut watch, "its mode").await;
        // What others do beside it is no matter.
        for n in 0..20 {
            fs::write(folder.path().join(format!("other-{n}")), "x").unwrap();
        }
        assert!(tokio::time::timeout(QUIET / 2, watch.told.notified()).await.is_err());
    }
}
