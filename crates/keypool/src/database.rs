//! The one database of all commands: counts, rests, disabled keys, and what was used.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Args,
    builder::{PathBufValueParser, TypedValueParser},
};
use tower_keypool::{
    KeyPool, Sharing, SharingState,
    share::Settings,
    store::{SharedSqlite, Sqlite, StoreError},
};

mod keys;
mod secret_key;

pub use keys::{Keys, Told};
pub use secret_key::SecretKey;

use crate::status::{Standing, StoreHealth};

/// Which file it is.
#[derive(Clone, Debug, Default, Args)]
pub struct Place {
    /// Database file: counts, rests and disabled keys outlive the process there
    #[arg(long, value_name = "FILE", env = "KEYPOOL_DB", help = HELP, value_parser = choice())]
    db: Option<Choice>,

    /// How long what is held of the keys stays so without a word: of those who share a database all the same
    #[arg(long, value_name = "SECONDS", env = "KEYPOOL_LEASE", hide = true)]
    lease: Option<f64>,
}

const HELP: &str = "Database file: counts, rests and disabled keys outlive the process there, and several processes share \
their keys; `auto` is $XDG_STATE_HOME/keypool/keypool.db, else ~/.local/state/keypool/keypool.db; `none` is none. Unless \
given, `serve` takes keys from the usual one and keeps counts in memory, and commands take `auto`";

/// What `--db` says; a file of the name `none` or `auto` is `./none` or `./auto`.
#[derive(Clone, Debug)]
enum Choice {
    None,
    Usual,
    File(PathBuf),
}

fn choice() -> impl TypedValueParser<Value = Choice> {
    PathBufValueParser::new().map(|path| match path.to_str() {
        Some("none") => Choice::None,
        Some("auto") => Choice::Usual,
        _ => Choice::File(path),
    })
}

impl Place {
    /// The file, the usual one unless another is named; none where that was asked for, or there is no home to have it in.
    pub fn path(&self) -> Option<PathBuf> {
        match &self.db {
            Some(Choice::None) => None,
            Some(Choice::File(path)) => Some(path.clone()),
            Some(Choice::Usual) | None => usual(),
        }
    }

    /// Opens it to change keys in it, making it where there is none. Another process may work on it.
    ///
    /// # Errors
    /// When there is none to be had, or it cannot be made, read, or a newer version wrote it.
    pub fn open(&self) -> Result<Sqlite, StoreError> {
        let path = self.path().ok_or_else(|| StoreError::new("there is no database: name a file with --db"))?;
        Sqlite::open(path)
    }

    /// The same where it is there, to look at it.
    ///
    /// # Errors
    /// Those of [`Place::open`], and when there is none.
    pub fn existing(&self) -> Result<Sqlite, StoreError> {
        match self.path() {
            Some(path) if !path.exists() => {
                let what = format!("there is no database {} (`keypool add-key` makes one)", path.display());
                Err(StoreError::new(what))
            }
            _ => self.open(),
        }
    }

    /// How processes that work on it share their keys.
    pub fn sharing(&self, store: &SharedSqlite) -> Sharing {
        let lease = self.lease.map(Duration::try_from_secs_f64).and_then(Result::ok).filter(|lease| !lease.is_zero());
        let mut settings = store.settings();
        if let Some(lease) = lease {
            let times = Settings::for_lease(lease);
            (settings.lease, settings.margin, settings.smoothing) = (times.lease, times.margin, times.smoothing);
            settings.renew_every = times.renew_every.min(settings.renew_every);
            settings.timeout = times.timeout.max(Duration::from_millis(500));
        }
        Sharing::new(store.holder().clone()).settings(settings)
    }

    /// Opens it to work on it together with others, making it where there is none. Where none was asked for, or the usual
    /// one cannot be made or a process works on it alone, there is none.
    ///
    /// # Errors
    /// When it cannot be made or is in use although somebody named it, cannot be read, or a newer version wrote it.
    pub fn claim(&self) -> Result<Option<SharedSqlite>, StoreError> {
        let named = match &self.db {
            None | Some(Choice::None) => return Ok(None),
            Some(choice) => matches!(choice, Choice::File(_)),
        };
        let Some(path) = self.path() else {
            tracing::warn!("no home directory: counts are kept in memory (name a file with --db)");
            return Ok(None);
        };
        let claimed = Sqlite::open(&path).and_then(Sqlite::share);
        match claimed {
            Err(error) if !named && error.is_in_use() => {
                tracing::warn!("{error}; this one keeps its counts in memory (name another file with --db)");
                Ok(None)
            }
            Err(error) if !named && !can_be_written(&path) => {
                tracing::warn!("{error}; counts are kept in memory (name another file with --db)");
                Ok(None)
            }
            claimed => claimed.map(Some),
        }
    }
}

/// Where state lives: `$XDG_STATE_HOME/keypool/keypool.db`, else below the home directory.
fn usual() -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("keypool/keypool.db"))
}

/// Says how the store stands, whenever that turns. One that processes share says so itself; while another takes no writes
/// requests are served all the same.
pub async fn watch(pool: KeyPool, health: StoreHealth) {
    while let Some(view) = pool.sharing() {
        health.set(match view.state {
            SharingState::Connected | SharingState::Recovering => Standing::Reachable,
            SharingState::FailClosed => Standing::Lost,
            // Requests are served.
            _ => Standing::Grace,
        });
        pool.sharing_turns(view.state).await;
    }
    loop {
        pool.store_turns(false).await;
        health.set(Standing::Grace);
        pool.store_turns(true).await;
        health.set(Standing::Reachable);
    }
}

/// Whether the file is there and may be written.
fn can_be_written(path: &Path) -> bool {
    path.exists() && std::fs::OpenOptions::new().append(true).open(path).is_ok()
}
