//! What the API looks at: what a running gateway goes by.

use std::{collections::BTreeMap, fmt, sync::Arc};

use tokio::sync::{mpsc, oneshot};
use tower_keypool::{KeyPool, config::KeySpec};

use crate::{
    config::Loaded,
    database::{Database, Looks, Records, processes::Process, used::Used},
};

/// Asks for the configuration to be read again, and is told what came of it.
pub type Ask = oneshot::Sender<Result<String, String>>;

/// A provider's pool beside the gateway's own, and where its keys lie.
#[derive(Clone)]
pub struct Side {
    /// It.
    pub pool: KeyPool,
    /// Its database, where there is one.
    pub database: Option<Database>,
    /// Waits until the pool goes by that.
    pub looks: Looks,
    /// The keys that it goes by now, those of its database included.
    pub keys: Arc<dyn Fn() -> Vec<KeySpec> + Send + Sync>,
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// Those of other providers, by name.
pub type Sides = BTreeMap<String, Side>;

/// What a running gateway goes by. Changes with each reload.
pub struct Scene {
    /// What was read.
    pub(super) loaded: Loaded,
    /// The gateway's own pool.
    pub(super) pool: KeyPool,
    /// Those of other providers, by name.
    pub(super) beside: Sides,
}

impl Scene {
    /// What was read, the gateway's own pool, and those of other providers by name.
    pub fn new(loaded: Loaded, pool: KeyPool, beside: Sides) -> Self {
        Self { loaded, pool, beside }
    }
}

/// What does not change.
pub struct Fixed {
    /// The database, where there is one.
    pub database: Option<Database>,
    /// Waits until the pool goes by that.
    pub looks: Looks,
    /// What is kept beside the pool.
    pub records: Records,
    /// Reads the configuration again.
    pub reload: mpsc::Sender<Ask>,
    /// This process.
    pub process: Process,
    /// What tenants used.
    pub used: Used,
}
