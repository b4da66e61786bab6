//! The one database of all commands: counts, rests, disabled keys, and what was used.

use std::{
    env,
    path::{Path, PathBuf},
};

use clap::Args;
use tower_keypool::{
    KeyPool,
    config::{KeySpec, Origin, Problem, Rank, Source},
    store::{Sqlite, StoreError, Vault},
};

use crate::status::{Standing, StoreHealth};

/// Which file it is.
#[derive(Clone, Debug, Default, Args)]
pub struct Place {
    /// Database file: counts, rests and disabled keys outlive the process there
    #[arg(long, value_name = "FILE", env = "KEYPOOL_DB", help = HELP)]
    db: Option<PathBuf>,
}

const HELP: &str = "Database file: counts, rests and disabled keys outlive the process there; `auto` is \
$XDG_STATE_HOME/keypool/keypool.db, else ~/.local/state/keypool/keypool.db; `none` is none";

/// What stands for no file at all; a file of this name is `./none`.
const NONE: &str = "none";
/// What stands for the usual file.
const AUTO: &str = "auto";

impl Place {
    /// Whether somebody named a file.
    pub fn is_chosen(&self) -> bool {
        self.db.as_ref().is_some_and(|named| named != Path::new(NONE) && named != Path::new(AUTO))
    }

    /// The file, the usual one unless another is named; none where that was asked for, or there is no home to have it in.
    pub fn path(&self) -> Option<PathBuf> {
        if self.db.as_deref() == Some(Path::new(NONE)) {
            return None;
        }
        let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = || set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        let chosen = self.db.clone().filter(|_| self.is_chosen());
        chosen.or_else(|| Some(state()?.join("keypool/keypool.db")))
    }

    /// Opens it to work on it, making it where there is none. Where none was asked for, or the usual one cannot be made or
    /// another process works on it, there is none.
    ///
    /// # Errors
    /// When it cannot be made or is in use although somebody named it, cannot be read, or a newer version wrote it.
    pub fn claim(&self) -> Result<Option<Sqlite>, StoreError> {
        if self.db.as_ref().is_none_or(|named| named == Path::new(NONE)) {
            return Ok(None);
        }
        let Some(path) = self.path() else {
            tracing::warn!("no home directory: counts are kept in memory (name a file with --db)");
            return Ok(None);
        };
        match Sqlite::open(&path) {
            Err(error) if !self.is_chosen() && !can_be_made(&path) => {
                tracing::warn!("{error}; counts are kept in memory (name another file with --db)");
                Ok(None)
            }
            Ok(store) => match store.claim() {
                Err(error) if error.is_in_use() && !self.is_chosen() => {
                    tracing::warn!("{error}; this one keeps its counts in memory (name another file with --db)");
                    Ok(None)
                }
                claimed => claimed.map(|()| Some(store)),
            },
            Err(error) => Err(error),
        }
    }
}

/// The keys whose secret the database has, or knows where to find. One that cannot be had is noted, and costs no other.
///
/// # Errors
/// When they cannot be read, or `KEYPOOL_SECRET_KEY` is no key.
pub async fn source(store: &Sqlite) -> Result<Source, StoreError> {
    let vault = match env::var("KEYPOOL_SECRET_KEY") {
        Ok(key) => Some(Vault::new(&key).map_err(|error| StoreError::because("KEYPOOL_SECRET_KEY", error))?),
        Err(_) => None,
    };
    let mut source = Source::new(Rank::Database);
    for record in store.keys().await? {
        let origin = Origin::Named("database".into());
        match record.reveal(vault.as_ref()) {
            Ok(Some(key)) => source.keys.push(KeySpec::of(&key, origin)),
            Ok(None) => {}
            Err(error) => source.notes.push(Problem::new(origin, "", format!("{error}; the key is left out"))),
        }
    }
    Ok(source)
}

/// Says how the database stands, whenever that turns. While it takes no writes requests are served all the same.
pub async fn watch(pool: KeyPool, health: StoreHealth) {
    loop {
        pool.store_turns(false).await;
        health.set(Standing::Grace);
        pool.store_turns(true).await;
        health.set(Standing::Reachable);
    }
}

/// Whether the file is there, or can be made where it should be.
fn can_be_made(path: &Path) -> bool {
    path.exists() && std::fs::OpenOptions::new().append(true).open(path).is_ok()
}
