//! Where the database is.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use tower_keypool::config::{StoreSection, StoreUrl};

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
            Some(StoreUrl::File(path)) => Self::File { path: path.into(), named: true },
            Some(StoreUrl::Redis(_)) => Self::Server(Box::new(store.clone())),
            url => usual().map_or(Self::Memory, |path| Self::File { path, named: url.is_some() }),
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

/// Where state lives: `$XDG_STATE_HOME/keypool/keypool.db`, else below the home directory.
fn usual() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("keypool/keypool.db"))
}
