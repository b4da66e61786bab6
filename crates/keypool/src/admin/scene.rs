//! What the API looks at: what a running gateway goes by.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};
use tower_keypool::KeyPool;

use crate::{
    config::Loaded,
    database::{Database, Records, processes::Process, used::Used},
};

/// Asks for the configuration to be read again, and is told what came of it.
pub type Ask = oneshot::Sender<Result<String, String>>;

/// What a running gateway goes by. Changes with each reload.
pub struct Scene {
    /// What was read.
    pub(super) loaded: Loaded,
    /// The gateway's own pool.
    pub(super) pool: KeyPool,
    /// Those of other providers, by name.
    pub(super) beside: BTreeMap<String, KeyPool>,
}

impl Scene {
    /// What was read, the gateway's own pool, and those of other providers by name.
    pub fn new(loaded: Loaded, pool: KeyPool, beside: BTreeMap<String, KeyPool>) -> Self {
        Self { loaded, pool, beside }
    }
}

/// What does not change.
pub struct Fixed {
    /// The database, where there is one.
    pub database: Option<Database>,
    /// What is kept beside the pool.
    pub records: Records,
    /// Reads the configuration again.
    pub reload: mpsc::Sender<Ask>,
    /// This process.
    pub process: Process,
    /// What tenants used.
    pub used: Used,
}
