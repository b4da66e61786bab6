//! Sockets (the Live API): opened like any request, and then a pipe of bytes for as long as both sides like. The lease is
//! held until its end.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::{Service, ServiceExt};
use tower_keypool::{Affinity, Demand, Error, KeyPoolService, Lease, ServedBy};

use super::{blot::Blot, crowd::Place, dialect::Refusal, tenant::Tenant};
use crate::{
    client::{InPlaceOfKey, Sockets},
    outgoing::Outgoing,
};

/// So many sockets at once.
const MOST: usize = 4096;
/// A socket over which nothing came for so long is closed: who is alive pings more often.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// After one side's end the other gets so long for its own.
const LINGER: Duration = Duration::from_secs(5);
/// Bytes under way each way.
const BUFFER: usize = 16 << 10;

const FULL: Refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "as many sockets are open as this gateway carries");
const NO_SOCKET: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "a WebSocket is opened by GET over HTTP/1.1, with its own headers");
const NOT_OPENED: Refusal = Refusal::new(StatusCode::BAD_GATEWAY, "the provider opened no socket");

/// Opens sockets, and keeps count of those that are open. A cheap handle.
#[derive(Clone, Debug)]
pub struct Live {
    stack: KeyPoolService<Sockets>,
    places: Arc<Semaphore>,
}

/// Sockets that are open.
#[derive(Debug, Default)]
pub(super) struct Pipes(Mutex<JoinSet<()>>);

impl Live {
    /// Over this stack.
    pub fn new(stack: KeyPoolService<Sockets>) -> Self {
        Self { stack, places: Arc::new(Semaphore::new(MOST)) }
    }
}

/// The official client in JavaScript asks for `//ws/…`, which the provider takes for `/ws/…`.
pub(super) fn right_slashes(head: &mut Parts) {
    if !head.uri.path().starts_with("//ws/") {
        return;
    }
    let right = head.uri.path_and_query().and_then(|target| target.as_str()[1..].parse().ok());
    if let Some(right) = right {
        head.uri = right;
    }
}

/// A token of the provider's own for one socket, which a client may bring in the place of ours.
pub(super) fn token_of(head: &Parts) -> Option<String> {
    let header = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let in_header = header.and_then(|value| value.strip_prefix("Token ").or_else(|| value.strip_prefix("token ")));
    let mut pairs = head.uri.query().unwrap_or_default().split('&');
    let in_query = || pairs.find_map(|pair| pair.strip_prefix("access_token="));
    let token = in_header.or_else(in_query)?;
    let token = percent_encoding::percent_decode_str(token.trim()).decode_utf8().ok()?;
    token.starts_with("auth_tokens/").then(|| token.into_owned())
}

/// What a socket is opened with.
pub(super) struct Opening {
    pub(super) tenant: Arc<Tenant>,
    /// A token of the provider's own, and the owner whose it is.
    pub(super) token: Option<(String, Affinity)>,
    pub(super) demand: Demand,
}

/// How opening a socket came out.
pub(super) enum Opened {
    /// It is open: the answer's head.
    Open(Response<()>),
    /// The provider's answer, which opens nothing.
    Answered(Response<KeyBody>),
    /// There is no answer.
    Failed(Error),
    /// Something here is in the way.
    Refused(Refusal),
}

/// The body of a provider's answer.
pub(super) type KeyBody = tower_keypool::KeyPoolBody<hyper::body::Incoming>;

impl Live {
    /// Opens one for a request.
    pub(super) async fn open(
        &self,
        (mut parts, connection): (Parts, Option<Arc<Place>>),
        opening: Opening,
        pipes: &Arc<Pipes>,
    ) -> Opened {
        let Some(client) = parts.extensions.remove::<OnUpgrade>() else { return Opened::Refused(NO_SOCKET) };
        if parts.method != http::Method::GET || !parts.headers.contains_key(header::SEC_WEBSOCKET_KEY) {
            return Opened::Refused(NO_SOCKET);
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Opened::Refused(FULL) };
        // Bytes that are compressed could not be looked through for the key.
        parts.headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        let mut demand = opening.demand;
        if let Some((token, way)) = opening.token {
            let Ok(mut value) = HeaderValue::try_from(format!("Token {token}")) else {
                return Opened::Refused(NO_SOCKET);
            };
            value.set_sensitive(true);
            parts.extensions.insert(InPlaceOfKey(value));
            demand = demand.affinity(way).of_resource();
        }
        parts.extensions.insert(demand);
        let request = Request::from_parts(parts, Outgoing::written(Vec::new()));
        let mut stack = self.stack.clone();
        let answered = match stack.ready().await {
            Ok(stack) => stack.call(request).await,
            Err(error) => Err(error),
        };
        let mut response = match answered {
            Ok(response) => response,
            Err(error) => return Opened::Failed(error),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Opened::Answered(response);
        }
        let lease = response.extensions().get::<ServedBy>().and_then(ServedBy::keep);
        let Some(lease) = lease else { return Opened::Refused(NOT_OPENED) };
        let provider = hyper::upgrade::on(&mut response);
        pipes.carry(client, provider, (lease, place, connection), opening.tenant.gone());
        let mut response = response.map(drop);
        switch(response.headers_mut());
        Opened::Open(response)
    }
}

/// What says that the connection is a socket from here on. Nothing was compressed.
fn switch(headers: &mut HeaderMap) {
    headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

impl Pipes {
    fn set(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry(
        &self,
        client: OnUpgrade,
        provider: OnUpgrade,
        held: (Lease, OwnedSemaphorePermit, Option<Arc<Place>>),
        mut gone: watch::Receiver<bool>,
    ) {
        let mut set = self.set();
        while set.try_join_next().is_some() {}
        set.spawn(async move {
            let (Ok(client), Ok(provider)) = (client.await, provider.await) else { return };
            let pipe = pipe(TokioIo::new(client), TokioIo::new(provider), Blot::of(held.0.expose()));
            tokio::select! {
                () = pipe => {}
                // Whose it is may nothing any more.
                _ = gone.wait_for(|gone| *gone) => {}
            }
            drop(held);
        });
    }

    /// Until none is open any more.
    pub(super) async fn closed(&self) {
        let mut open = std::mem::take(&mut *self.set());
        while open.join_next().await.is_some() {}
    }
}

/// Carries bytes both ways until one side has ended, and the other has had its time; or until nobody says anything.
async fn pipe(client: impl AsyncRead + AsyncWrite, provider: impl AsyncRead + AsyncWrite, blot: Blot) {
    let (client_in, client_out) = split(client);
    let (provider_in, provider_out) = split(provider);
    let heard = AtomicU64::new(0);
    let up = one_way(client_in, provider_out, Blot::nothing(), &heard);
    let down = one_way(provider_in, client_out, blot, &heard);
    tokio::pin!(up, down);
    tokio::select! {
        () = &mut up => { let _ = timeout(LINGER, down).await; }
        () = &mut down => { let _ = timeout(LINGER, up).await; }
        () = silence(&heard) => {}
    }
}

/// Until nothing was heard for so long.
async fn silence(heard: &AtomicU64) {
    let mut before = u64::MAX;
    loop {
        let now = heard.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
        sleep(IDLE).await;
    }
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut blot: Blot, heard: &AtomicU64) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        heard.fetch_add(1, Ordering::Relaxed);
        let out = blot.pass(&mut buffer[..read]);
        if to.write_all(&out).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    let _ = to.write_all(&blot.rest()).await;
    let _ = to.shutdown().await;
}
