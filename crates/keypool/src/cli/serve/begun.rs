//! A gateway that may be let serve, and its work.

use std::{future::Future, net::SocketAddr, sync::Arc};

use tokio::sync::mpsc;
use tower_keypool::KeyPool;

use super::{
    certificate, descriptors,
    duties::Duties,
    ending::Ending,
    freed,
    opened::Opened,
    opening::known_tenants,
    ports::{Ports, Serving},
    standing::Standing,
};
use crate::{
    admin::Ask,
    cli::Failure,
    config::{Inputs, Loaded},
    database::{
        Keys, Site,
        processes::{self, Process},
    },
    reload::{Hangups, Reload, Runs, Tell},
    standing::now_ms,
    status::StoreHealth,
    telemetry::{self, Banner},
};

/// All that serving takes.
pub(super) struct Begun {
    inputs: Inputs,
    loaded: Loaded,
    keys: Keys,
    pool: KeyPool,
    kept_in: Option<String>,
    standing: Arc<Standing>,
    duties: Duties,
    ports: Ports,
    address: SocketAddr,
    process: Process,
    asks: mpsc::Receiver<Ask>,
}

impl Begun {
    /// Once the store is there, which may be waited for.
    pub(super) async fn of(mut inputs: Inputs, loaded: Loaded) -> Result<Self, Failure> {
        let site = Site::of(&loaded.store);
        let opened = Opened::of(&site, &mut inputs, loaded).await?;
        if let Some(too_few) = descriptors::raise(opened.loaded.bounds().connections) {
            tracing::warn!("{too_few}");
        }
        let ports = Ports::bind(&opened.loaded).await?;
        let address = ports.address()?;
        let (reload, asks) = mpsc::channel(4);
        let process = Process::this(address.to_string());
        let health = StoreHealth::default();
        let (standing, process) = Standing::new(&opened, site, &inputs, (reload, process, health.clone())).await?;
        let Opened { loaded, keys, store, pool } = opened;
        let standing = Arc::new(standing);
        let mut duties = Duties::begin(&standing, health, &process);
        let known = known_tenants(&standing.records, standing.gateway.tenants()).await?;
        let kept_in = store.as_ref().map(ToString::to_string);
        duties.follow_tenants(&standing, store, known);
        Ok(Self { inputs, loaded, keys, pool, kept_in, standing, duties, ports, address, process, asks })
    }

    /// Lets everybody in until then, and ends.
    pub(super) async fn serve(self, stopped: impl Future<Output = ()>, hangups: Hangups) -> Result<(), Failure> {
        let Self { inputs, loaded, keys, pool, kept_in, standing, mut duties, ports, address, process, asks } = self;
        let (gateway, records) = (&standing.gateway, &standing.records);
        telemetry::say(&Banner {
            address,
            upstream: pool.provider().base(),
            loaded: &loaded,
            kept_in: kept_in.as_deref(),
        });
        duties.besides(telemetry::report_changes(&pool, pool.clock().clone()));
        duties.besides(tokio::spawn(certificate::remind_daily(standing.tls.clone(), pool.clock().clone())));
        let ending = Ending::new(&loaded.config.gateway, pool.clock().clone());
        let serving = Serving {
            gateway: Arc::clone(gateway),
            tls: standing.tls.clone(),
            grace: ending.grace(),
            bounds: loaded.bounds(),
        };
        let tell: Tell = Box::new(|news| tracing::info!("{news}"));
        let apply = standing.applying();
        let reload = Reload { inputs, loaded, keys, pool, runs: Runs::Gateway, apply, tell, asks, hangups }.follow();
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
}
