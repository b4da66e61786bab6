//! Which database it is, as the command line says.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{path::PathBuf, sync::Once};

use clap::Args;
use tower_keypool::{
    config::{ConfigErrors, Origin, Setting},
    store::StoreError,
};

use super::{Database, DatabaseError, Site};
use crate::{config::Inputs, telemetry::plain};

/// Which database it is: options over `[store]` of the configuration.
#[derive(Clone, Debug, Default, Args)]
pub struct Place {
    /// Configuration file [default: keypool.toml here, or in the user's configuration folder] [env: KEYPOOL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Database file: counts, rests and disabled keys outlive the process there
    #[arg(long, value_name = "FILE", help = HELP)]
    db: Option<String>,

    /// A Redis server in the place of a file, shared by many machines: redis://HOST:PORT, or rediss://HOST:PORT over TLS;
    /// a password had better stand in the variable [env: KEYPOOL_REDIS_URL, KEYPOOL_REDIS_PASSWORD; both also by _FILE]
    #[arg(long, value_name = "URL", conflicts_with = "db")]
    redis: Option<String>,

    /// How long what is held of the keys stays so without a word: of those who share a database all the same
    #[arg(long, value_name = "SECONDS", hide = true)]
    lease: Option<String>,
}

const HELP: &str = "Database file of all commands: keys, counts, rests and disabled keys outlive the process there, and \
several processes share their keys; `none`: in memory [default: $XDG_STATE_HOME/keypool/keypool.db, else \
~/.local/state/keypool/keypool.db] [env: KEYPOOL_DB]";

impl Place {
    /// The configuration that goes with it.
    pub fn inputs(&self) -> Inputs {
        Inputs::new(self.config.clone(), self.flags())
    }

    /// The configuration file, if one was named.
    pub fn config(&self) -> Option<&PathBuf> {
        self.config.as_ref()
    }

    /// Its options as settings.
    pub fn flags(&self) -> Vec<Setting> {
        let whole = |url: &String| if url.contains("://") { url.clone() } else { format!("redis://{url}") };
        let server = self.redis.as_ref().map(whole);
        let given = [
            ("--db", "store.url", self.db.clone()),
            ("--redis", "store.url", server),
            ("--lease", "store.lease", self.lease.clone()),
        ];
        given
            .into_iter()
            .filter_map(|(flag, path, value)| Some(Setting::new(path, value?, Origin::flag(flag))))
            .collect()
    }

    /// Where it is. What is misspelled, so that it may be another one that is meant, is said once.
    ///
    /// # Errors
    /// What is wrong with what is said of it.
    pub fn site(&self) -> Result<Site, ConfigErrors> {
        static SAID: Once = Once::new();
        let inputs = self.inputs();
        let store = inputs.store()?;
        SAID.call_once(|| {
            for note in inputs.unread() {
                eprintln!("keypool: note: {}", plain(&note.to_string()));
            }
        });
        Ok(Site::of(&store))
    }

    /// Opens it to change keys in it, making the file where there is none. Other processes may work on it.
    ///
    /// # Errors
    /// When there is none to be had, or it cannot be made, reached, read, or a newer version wrote it.
    pub async fn open(&self) -> Result<Database, DatabaseError> {
        self.open_at(self.site()?).await
    }

    /// Opens what lies there. That it is not to be had is the fault of what names it, unless nobody answers just now.
    ///
    /// # Errors
    /// Those of [`Place::open`].
    pub async fn open_at(&self, site: Site) -> Result<Database, DatabaseError> {
        let blamed = self.blamed(&site);
        Database::open_for_command(site).await.map_err(blamed)
    }

    /// The same of what is there, to look at it: nothing is made, changed or set aside.
    ///
    /// # Errors
    /// Those of [`Place::open`], and when it is damaged.
    pub(super) async fn read_at(&self, site: Site) -> Result<Database, DatabaseError> {
        let blamed = self.blamed(&site);
        Database::read_for_command(site).await.map_err(blamed)
    }

    fn blamed(&self, site: &Site) -> impl FnOnce(StoreError) -> DatabaseError + use<'_> {
        let (is_nowhere, is_file) = (matches!(site, Site::Memory), site.path().is_some());
        let is_there = site.path().is_some_and(std::path::Path::is_file);
        move |error| {
            if is_nowhere || error.is_passing() || error.is_in_use() || error.is_broken() {
                return error.into();
            }
            // It is the one that is meant.
            if is_there && error.is_denied() {
                return error.into();
            }
            let way_out = if is_file { " (name another file with --db or KEYPOOL_DB)" } else { "" };
            self.inputs().of_store(format!("{error}{way_out}")).into()
        }
    }

    /// Opens it to look at it.
    ///
    /// # Errors
    /// Those of [`Place::open`], and when there is none, or it is damaged.
    pub async fn look(&self) -> Result<Database, DatabaseError> {
        let site = self.site()?;
        if let Some(path) = site.path().filter(|path| !path.exists()) {
            let what = format!("there is no database {} (`keypool add-key` makes one)", path.display());
            return Err(DatabaseError::Missing(what));
        }
        self.read_at(site).await
    }
}
