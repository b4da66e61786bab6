//! The one database of all commands: counts, rests, disabled keys, and what was used. A file, or a Redis server.

mod aside;
mod in_both;
mod joined;
mod kept;
mod keys;
mod ledger;
mod parted;
mod place;
pub mod processes;
mod secret_key;
mod shut;
mod site;
pub mod tenants;
pub mod used;
mod vaults;
mod whose;
pub mod zones;

pub use aside::{keys_may_be_in, set_aside};
pub use in_both::{InBoth, in_both};
pub use joined::{Joined, Unjoined};
pub use kept::Database;
pub use keys::{Keys, Looks, Stored, Told};
pub use ledger::Records;
pub use parted::{is_served, part};
pub use place::Place;
pub use secret_key::{Anew, SecretKey};
pub use shut::Shut;
pub use site::Site;
pub use tenants::KeptTenant;
pub use whose::Whose;

use std::fmt;

use tower_keypool::{KeyPool, SharingState, config::ConfigErrors, store::StoreError};

use crate::status::{Standing, StoreHealth};

/// Why the database is not to be had.
#[derive(Debug)]
pub enum DatabaseError {
    /// What is said of it makes no sense.
    Config(ConfigErrors),
    /// There is none where it was looked for: what to do stands in it.
    Missing(String),
    /// It cannot be made, reached, read or written.
    Store(StoreError),
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(errors) => errors.fmt(f),
            Self::Missing(what) => f.write_str(what),
            Self::Store(error) if error.is_broken() => write!(f, "{error} ({TO_DO})"),
            Self::Store(error) if error.is_unreachable() => write!(f, "{error} ({ELSEWHERE})"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

/// What to do where nobody answers.
const ELSEWHERE: &str = "start it, or name another with --redis, KEYPOOL_REDIS_URL or store.url";

/// What to do about a file that is damaged.
const TO_DO: &str = "nothing was changed: `keypool db check` says all that is wrong; serve, or a command that writes, sets it \
                     aside and begins a new one";

impl std::error::Error for DatabaseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(errors) => errors.source(),
            Self::Missing(_) => None,
            Self::Store(error) => error.source(),
        }
    }
}

impl From<ConfigErrors> for DatabaseError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

impl From<StoreError> for DatabaseError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
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
