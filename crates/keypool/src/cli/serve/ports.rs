//! Where `serve` listens: for clients, and for administrators where these have a port of their own.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::{net::TcpListener, sync::oneshot};
use tower_keypool::KeyPoolService;

use crate::{
    cli::Failure,
    client::Client,
    config::Loaded,
    gateway::{
        Door, Gateway,
        listen::{self, Bounds},
        tls::Tls,
    },
};

/// The ports, bound.
pub(super) struct Ports {
    clients: TcpListener,
    administrators: Option<TcpListener>,
}

/// Who is served there, and how long answers under way get at the end.
pub(super) struct Serving {
    pub(super) gateway: Arc<Gateway<KeyPoolService<Client>>>,
    pub(super) tls: Tls,
    pub(super) grace: Duration,
    pub(super) bounds: Bounds,
}

impl Ports {
    pub(super) async fn bind(loaded: &Loaded) -> Result<Self, Failure> {
        let clients = TcpListener::bind(&*loaded.addresses)
            .await
            .with_context(|| {
                format!("cannot listen on {} (choose another with --listen)", loaded.config.gateway.listen)
            })
            .map_err(Failure::run)?;
        let administrators = match &loaded.admin.addresses {
            None => None,
            Some(addresses) => {
                let listener = TcpListener::bind(&**addresses).await;
                let what = "cannot listen at the address of the admin API (choose another with --admin-listen)";
                let listener = listener.context(what).map_err(Failure::run)?;
                let address = listener.local_addr().map_err(Failure::run)?;
                let scheme = if loaded.certified.is_some() { "https" } else { "http" };
                tracing::info!("the admin API is on {scheme}://{address}/-/admin");
                Some(listener)
            }
        };
        Ok(Self { clients, administrators })
    }

    /// Where clients come in.
    pub(super) fn address(&self) -> Result<SocketAddr, Failure> {
        self.clients.local_addr().map_err(Failure::run)
    }

    /// Serves both until then; the administrators until the clients' last answer.
    pub(super) async fn serve(self, serving: &Serving, interrupted: impl Future<Output = ()>) {
        let at = |listening: (TcpListener, Door)| {
            let (tls, gateway) = (serving.tls.clone(), Arc::clone(&serving.gateway));
            (listening, tls, gateway, (serving.grace, serving.bounds))
        };
        let Some(administrators) = self.administrators else {
            let (listening, tls, gateway, bounds) = at((self.clients, Door::Both));
            return listen::serve(listening, tls, gateway, bounds, interrupted).await;
        };
        let (close, closed) = oneshot::channel::<()>();
        let (listening, tls, gateway, bounds) = at((administrators, Door::Administrators));
        let closed = async move { drop(closed.await) };
        let served = tokio::spawn(listen::serve(listening, tls, gateway, bounds, closed));
        let (listening, tls, gateway, bounds) = at((self.clients, Door::Clients));
        listen::serve(listening, tls, gateway, bounds, interrupted).await;
        drop(close);
        let _ = served.await;
    }
}
