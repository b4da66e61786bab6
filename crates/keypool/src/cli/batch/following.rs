//! What changes while a run goes: key files, the configuration, and the keys of the database.

use std::sync::Arc;

use keypool_client::batch::Watch;
use tokio::{sync::mpsc, task::JoinHandle};
use tower_keypool::KeyPool;

use super::progress;
use crate::{
    client::Calls,
    config::{Inputs, Loaded},
    database::Keys,
    reload::{Apply, Hangups, Reload, Runs, Tell},
};

/// What its configuration was read from, and the keys of the database.
pub(super) struct Following {
    pub(super) inputs: Inputs,
    pub(super) keys: Keys,
}

impl Following {
    /// Goes by what becomes of both, as a gateway does, until the task is aborted.
    pub(super) fn follow(
        self,
        loaded: &Loaded,
        pool: &KeyPool,
        calls: Calls,
        watch: Watch,
        quiet: bool,
    ) -> JoinHandle<()> {
        let Self { inputs, keys } = self;
        let apply: Apply = Arc::new(move |loaded: &Loaded| {
            calls.change(&loaded.roots, &loaded.exits.ways);
            watch.look_again();
            Box::pin(std::future::ready(()))
        });
        let tell: Tell = Box::new(move |news| {
            if !quiet {
                progress::line(&format!("keypool: {}", crate::telemetry::plain(news)));
            }
        });
        // Nobody asks.
        let (_, asks) = mpsc::channel(1);
        let (loaded, pool) = (loaded.clone(), pool.clone());
        Reload { inputs, loaded, keys, pool, runs: Runs::Batch, apply, tell, asks, hangups: Hangups::heard() }.follow()
    }
}
