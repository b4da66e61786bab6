//! Where the database is.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use tower_keypool::{
    config::{StoreSection, StoreUrl},
    store::Sqlite,
};

/// Where the database is.
#[derive(Clone, Debug)]
pub enum Site {
    /// Nowhere: that was asked for, or there is no home to have it in.
    Memory,
    /// In a file.
    File {
        /// Where.
        path: PathBuf,
        /// Somebody asked for it.
        named: bool,
    },
    /// On a server, by this section.
    Server(Box<StoreSection>),
}

impl Site {
    /// As `[store]` says.
    pub fn of(store: &StoreSection) -> Self {
        match &store.url {
            Some(StoreUrl::None) => Self::Memory,
            Some(StoreUrl::File(path)) => Self::file(path.as_ref(), true),
            Some(StoreUrl::Redis(_)) => Self::Server(Box::new(store.clone())),
            url => usual().map_or(Self::Memory, |path| Self::file(&path, url.is_some())),
        }
    }

    /// What belongs to it lies beside the file that is meant, not beside a link to it.
    fn file(path: &Path, named: bool) -> Self {
        Self::File { path: Sqlite::place(path), named }
    }

    /// Where the pool of a provider beside the gateway's own is kept: in a file beside this one (`keypool.NAME.db`), on the
    /// same server under a name of its own.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::File { path, named } => {
                let mut file = path.file_stem().unwrap_or_default().to_owned();
                file.push(format!(".{name}"));
                if let Some(extension) = path.extension() {
                    file.push(".");
                    file.push(extension);
                }
                Self::file(&path.with_file_name(file), *named)
            }
            Self::Server(store) => {
                let namespace = format!("{}.{name}", store.namespace);
                Self::Server(Box::new(StoreSection { namespace, ..(**store).clone() }))
            }
        }
    }

    /// The file that it is in.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::File { path, .. } => path.display().fmt(f),
            Self::Server(store) => {
                store.url.iter().try_for_each(|url| url.fmt(f))?;
                match &*store.namespace {
                    "keypool" => Ok(()),
                    other => write!(f, " ({other})"),
                }
            }
        }
    }
}

/// The database for which nobody asked.
fn usual() -> Option<PathBuf> {
    Some(state_folder()?.join("keypool.db"))
}

/// Where state lives: `$XDG_STATE_HOME/keypool`, else below the home directory.
pub(super) fn state_folder() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("keypool"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_own_lies_beside() {
        let file = |path: &str| Site::File { path: path.into(), named: true };
        for (path, beside) in [("/a/keypool.db", "/a/keypool.open.db"), ("b", "b.open"), ("c.d/e", "c.d/e.open")] {
            assert_eq!(file(path).beside("open").path(), Some(Path::new(beside)));
        }
        let Site::Server(store) = Site::Server(Box::default()).beside("open") else { panic!("a server") };
        assert_eq!(store.namespace, "keypool.open");
    }
}
