//! `keypool serve`: the gateway.

mod duties;
mod ending;
mod freed;
mod no_key;
mod opened;
mod opening;
mod options;
mod ports;
mod setups;
mod standing;

use std::{path::Path, sync::Arc};

use anyhow::Context;
use tokio::sync::mpsc;

use self::{
    duties::Duties,
    ending::Ending,
    opened::Opened,
    opening::known_tenants,
    ports::{Ports, Serving},
    standing::Standing,
};
pub(super) use self::{
    no_key::NoKey,
    opening::{join, pool},
    options::{Serve, strategies},
};
use super::Failure;
use crate::{
    config::{Inputs, Loaded},
    database::{
        Site,
        processes::{self, Process},
    },
    reload::{Reload, Runs, Tell},
    standing::now_ms,
    status::StoreHealth,
    telemetry::{self, Banner},
};

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut inputs = self.inputs();
        inputs.stay();
        let loaded = inputs.load_to_serve().map_err(|errors| super::config::wrong(&errors))?;
        let _written = telemetry::start(&loaded.config.log)
            .with_context(|| {
                let directory = loaded.config.log.directory.as_deref().unwrap_or(Path::new(""));
                format!("log.directory (LOG_DIRECTORY) {}", directory.display())
            })
            .map_err(Failure::config)?;
        super::runtime_to_serve(loaded.config.gateway.threads)?.block_on(serve(inputs, loaded))
    }
}

/// From the first look at the store to the last count in it.
async fn serve(mut inputs: Inputs, loaded: Loaded) -> Result<(), Failure> {
    let site = Site::of(&loaded.store);
    let opened = Opened::of(&site, &mut inputs, loaded).await?;
    let ports = Ports::bind(&opened.loaded).await?;
    let address = ports.address()?;
    let (reload, asks) = mpsc::channel(4);
    let process = Process::this(address.to_string());
    let health = StoreHealth::default();
    let (standing, process) = Standing::new(&opened, site, &inputs, (reload, process, health.clone())).await?;
    let Opened { loaded, keys, store, pool } = opened;
    let standing = Arc::new(standing);
    let (gateway, records) = (&standing.gateway, &standing.records);

    let mut duties = Duties::begin(&standing, health, &process);
    let known = known_tenants(records, gateway.tenants()).await?;
    let kept_in = store.as_ref().map(ToString::to_string);
    duties.follow_tenants(&standing, store, known);
    // Whoever reads that it serves may end it.
    let stopped = super::interrupted();
    telemetry::say(&Banner { address, upstream: pool.provider().base(), loaded: &loaded, kept_in: kept_in.as_deref() });
    duties.besides(telemetry::report_changes(&pool, pool.clock().clone()));
    let ending = Ending::new(&loaded.config.gateway, pool.clock().clone());
    let serving = Serving {
        gateway: Arc::clone(gateway),
        tls: standing.tls.clone(),
        grace: ending.grace(),
        bounds: loaded.bounds(),
    };
    let tell: Tell = Box::new(|news| tracing::info!("{news}"));
    let apply = standing.applying();
    let reload = Reload { inputs, loaded, keys, pool, runs: Runs::Gateway, apply, tell, asks }.follow();
    tokio::spawn(freed::keep_for_large_bodies());

    ports.serve(&serving, ending.begins(stopped, gateway)).await;

    reload.abort();
    duties.stop_writing().await;
    let wait = ending.left();
    tokio::join!(gateway.used().close(records, &process.id, now_ms(), wait), gateway.close_budgets(wait));
    processes::leave(records, &process).await;
    standing.hand_back().await;
    Ok(())
}
