//! What is done beside serving, as long as it serves.

use tokio::task::JoinHandle;

use super::standing::Standing;
use crate::{
    database::{
        self, Database,
        processes::{self, Process},
        tenants,
    },
    status::StoreHealth,
};

/// Each a task.
pub(super) struct Duties {
    /// They write what is counted.
    writing: Vec<JoinHandle<()>>,
    other: Vec<JoinHandle<()>>,
}

impl Duties {
    /// Those that need nothing but what stands.
    pub(super) fn begin(standing: &Standing, health: StoreHealth, process: &Process) -> Self {
        let (gateway, pool, records) = (&standing.gateway, &standing.pool, &standing.records);
        let present = processes::tell(records.clone(), process.clone(), pool.clone());
        let counting = gateway.used().clone().keep(records.clone(), process.id.clone());
        let writing = vec![tokio::spawn(present), tokio::spawn(counting), tokio::spawn(gateway.keep_budgets())];
        Self { writing, other: vec![tokio::spawn(database::watch(pool.clone(), health))] }
    }

    /// Tenants that commands add are let in from now on; `known`: by which revision those are that are.
    pub(super) fn follow_tenants(&mut self, standing: &Standing, store: Option<Database>, known: Option<u64>) {
        self.besides(tokio::spawn(tenants::follow(store, standing.gateway.tenants().clone(), known)));
    }

    /// This one, too.
    pub(super) fn besides(&mut self, task: JoinHandle<()>) {
        self.other.push(task);
    }

    /// Nothing is written by them any more: what they write last comes before what whoever ends them writes.
    pub(super) async fn stop_writing(&mut self) {
        for task in self.writing.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Duties {
    fn drop(&mut self) {
        for task in self.writing.iter().chain(&self.other) {
            task.abort();
        }
    }
}
