//! The way to a file: every folder in which a name of it stands, links included.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf, absolute},
};

/// More links in a row than a system follows.
const MOST_LINKS: usize = 40;

/// Which folder it is, whatever it is called.
pub(crate) type Identity = Option<(u64, u64)>;

/// The ways to some files.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// By their own names, none of which is a link: who is watched under two is not watched at all once one of them is let go.
    pub(crate) folders: BTreeMap<PathBuf, Identity>,
    /// What of them leads on.
    pub(crate) entries: BTreeSet<PathBuf>,
    /// Those in which the files, and links to them, stand.
    pub(crate) needed: BTreeSet<PathBuf>,
}

impl Way {
    /// Adds the way to a file, as far as it is there.
    pub(crate) fn lead_to(&mut self, file: &Path) {
        let whole = absolute(file).unwrap_or_else(|_| file.to_owned());
        let names =
            |path: &Path| path.components().map(|name| name.as_os_str().to_owned()).collect::<VecDeque<OsString>>();
        let (mut todo, mut at, mut links) = (names(&whole), PathBuf::new(), 0);
        while let Some(name) = todo.pop_front() {
            match Path::new(&name).components().next() {
                Some(Component::ParentDir) => drop(at.pop()),
                Some(Component::Normal(name)) => {
                    let next = at.join(name);
                    let link = fs::read_link(&next).ok();
                    if todo.is_empty() || link.is_some() {
                        self.needed.insert(at.clone());
                    }
                    self.folders.entry(at.clone()).or_insert_with(|| identity(&at));
                    self.entries.insert(next.clone());
                    match link {
                        Some(_) if links == MOST_LINKS => return,
                        Some(to) => {
                            links += 1;
                            let mut ahead = names(&to);
                            ahead.append(&mut todo);
                            todo = ahead;
                        }
                        None if next.exists() => at = next,
                        None => return,
                    }
                }
                Some(Component::CurDir) | None => {}
                // What begins there.
                Some(root) => at.push(root),
            }
        }
    }
}

#[cfg(unix)]
fn identity(folder: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(folder).ok().map(|data| (data.dev(), data.ino()))
}

/// Only whether there is one.
#[cfg(not(unix))]
fn identity(folder: &Path) -> Identity {
    fs::metadata(folder).ok().map(|_| (0, 0))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn it_goes_by_every_link() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let at = |name: &str| real.join(name);
        fs::create_dir_all(at("r/deep")).unwrap();
        symlink("../r/deep", at("r/up")).unwrap();
        symlink(at("r/up/keys"), at("named")).unwrap();
        let mut way = Way::default();
        way.lead_to(&at("named"));
        let below = |paths: &BTreeSet<PathBuf>| -> Vec<PathBuf> {
            paths.iter().filter_map(|path| path.strip_prefix(&real).ok()).map(Path::to_owned).collect()
        };
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(below(&way.entries), paths(&["", "named", "r", "r/deep", "r/deep/keys", "r/up"]));
        assert_eq!(below(&way.needed), paths(&["", "r", "r/deep"]));
        assert!(way.folders.contains_key(Path::new("/")) && way.folders.values().all(Option::is_some));
        // One that leads to itself ends.
        symlink("loop", at("loop")).unwrap();
        Way::default().lead_to(&at("loop/keys"));
    }
}
