//! The listening side: connections, their limits, and their end.

use std::{future::Future, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::Service;
use tower_keypool::{BoxError, Error};

use super::conversation::{HEAD_TIMEOUT, Speaks, converse};
use crate::{
    config::count,
    gateway::{
        Gateway,
        admit::guard::Local,
        connection::{
            pace::Paces,
            places::{Crowd, Place},
            tls::{Certified, Tls},
        },
        handle::entrance::{Door, Entrance},
    },
    outgoing::Outgoing,
};

/// After a failure to accept (too many open files), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// So long streams that are cut off have to tell their clients.
const FAREWELL: Duration = Duration::from_millis(500);

/// How a client begins that speaks HTTP/2 without having asked; no method of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI ";

/// What the gateway bears of its clients.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address beyond this machine; of IPv6 from one network of 64 bits.
    pub of_one_address: usize,
    /// What clients may take their time with.
    pub paces: Paces,
}

impl Default for Bounds {
    fn default() -> Self {
        let paces = Paces { body: Duration::from_secs(60), reader: Duration::from_secs(600) };
        Self { connections: 10_000, of_one_address: 2_000, paces }
    }
}

/// Serves connections, over `tls` where that holds a certificate, until `shutdown` resolves; then lets those in flight
/// end for at most `grace`.
pub async fn serve<S, B>(
    (listener, door): (TcpListener, Door),
    tls: Tls,
    gateway: Arc<Gateway<S>>,
    (grace, bounds): (Duration, Bounds),
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (closing, closes) = watch::channel(());
    let mut connections = JoinSet::new();
    let crowd = Crowd::new(bounds.connections, bounds.of_one_address);
    let mut shutdown = pin!(shutdown);
    let mut failures = 0u64;
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match (crowd.enter(peer.ip()), tls.current()) {
                    (Ok(place), certified) => {
                        let (from, way) = ((peer.ip(), door), (Arc::clone(&gateway), bounds.paces));
                        connections.spawn(connection((stream, place), from, certified, way, closes.clone()));
                    }
                    (Err(full), None) => full.tell(&stream),
                    (Err(_), Some(_)) => {}
                },
                Err(error) => {
                    failures += 1;
                    // Not a line for each: whoever has no room is asked for some again and again.
                    if failures.is_power_of_two() {
                        tracing::warn!("connections that could not be taken: {failures} by now, the last time {error}");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drop(closing);
    if tokio::time::timeout(grace, closed(&mut connections, &gateway)).await.is_err() {
        let cut = connections.len();
        gateway.traffic.cut();
        gateway.farewell.bid();
        // Streams and sockets are told; what is left then is dropped with the set.
        let ended = async { while connections.join_next().await.is_some() {} };
        let (sockets, _) = tokio::join!(gateway.pipes.end(), tokio::time::timeout(FAREWELL, ended));
        tracing::warn!("{} of clients were cut off", count(cut + sockets, "connection"));
    }
}

/// Once all that is under way has ended.
async fn closed<S>(connections: &mut JoinSet<()>, gateway: &Gateway<S>) {
    while connections.join_next().await.is_some() {}
    gateway.pipes.closed().await;
}

async fn connection<S, B>(
    (stream, place): (TcpStream, Place),
    from: (IpAddr, Door),
    certified: Option<Certified>,
    (gateway, paces): (Arc<Gateway<S>>, Paces),
    mut closes: watch::Receiver<()>,
) where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // Answers are written in whole frames; waiting for more would only delay a stream's chunks.
    let _ = stream.set_nodelay(true);
    let Ok(local) = stream.local_addr() else { return };
    let entrance = Arc::new(Entrance::new(gateway, Local::from(local), from).holding(place));
    let Some(certified) = certified else {
        // A connection that says nothing is not waited for.
        let mut patience = Box::pin(tokio::time::sleep(HEAD_TIMEOUT));
        let mut first = [0; 4];
        let begins = tokio::select! {
            said = stream.peek(&mut first) => match said {
                Ok(length @ 1..) => &first[..length],
                _ => return,
            },
            _ = closes.changed() => return,
            () = &mut patience => return,
        };
        let speaks = if PREFACE.starts_with(begins) { Speaks::Either } else { Speaks::Http1 };
        return converse(stream, entrance, (false, speaks, paces), (closes, patience)).await;
    };
    let stream = tokio::select! {
        stream = certified.accept(stream) => stream,
        _ = closes.changed() => return,
        () = tokio::time::sleep(HEAD_TIMEOUT) => return,
    };
    match stream {
        // Behind a pointer: connections without TLS need not carry room for it.
        Ok(stream) => {
            let patience = Box::pin(tokio::time::sleep(HEAD_TIMEOUT));
            Box::pin(converse(stream, entrance, (true, Speaks::Either, paces), (closes, patience))).await;
        }
        Err(error) => tracing::debug!("a client did not get as far as a request: {error}"),
    }
}
