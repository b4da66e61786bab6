//! Sockets (the Live API): opened like any request, and then a pipe of bytes for as long as both sides like. The lease is
//! held until its end.

mod client_rules;
mod first;
mod frames;
mod greet;
mod mask;
mod named;
mod pipe;
mod reason;
mod session;
mod setup;
mod spelling;
mod usage;

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::Engine as _;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::{Service, ServiceExt};
use tower_keypool::{Affinity, Demand, Error, KeyPool, KeyPoolService, ServedBy};

use self::{
    mask::Blot,
    named::Named,
    pipe::{Ending, pipe},
    reason::Judge,
    session::Beginning,
    setup::Kind,
};
use crate::{
    client::{InPlaceOfKey, SocketBody, Sockets},
    gateway::{
        admit::{account::Account, tenant::Tenant},
        aliases::Aliases,
        connection::places::Place,
        dialect::Refusal,
        forward::{resource::Resources, wishes::Wish},
    },
    outgoing::Outgoing,
};

/// Where a key stands, and a token for an interaction.
const KEY: &str = "x-goog-api-key";
/// Who may nothing any more is told so within this time, and is cut off then.
const LAST: Duration = Duration::from_millis(1_500);
/// So many sockets at once.
const MOST: usize = 4096;

const FULL: Refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "as many sockets are open as this gateway carries");
const NO_SOCKET: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "a WebSocket is opened by GET over HTTP/1.1, with its own headers");
const NOT_OPENED: Refusal = Refusal::new(StatusCode::BAD_GATEWAY, "the provider opened no socket");

/// Opens sockets, and keeps count of those that are open. A cheap handle.
#[derive(Clone, Debug)]
pub struct Live {
    stack: KeyPoolService<Sockets>,
    pool: KeyPool,
    places: Arc<Semaphore>,
}

/// Sockets that are open.
#[derive(Debug)]
pub(super) struct Pipes {
    open: Mutex<JoinSet<()>>,
    /// The gateway goes, and so do they.
    ending: watch::Sender<bool>,
}

impl Default for Pipes {
    fn default() -> Self {
        Self { open: Mutex::default(), ending: watch::Sender::new(false) }
    }
}

impl Live {
    /// Over this stack, and the pool below it.
    pub fn new(stack: KeyPoolService<Sockets>, pool: KeyPool) -> Self {
        Self { stack, pool, places: Arc::new(Semaphore::new(MOST)) }
    }
}

/// Whether the first message over this socket says what it is for.
pub(super) fn begins_with_setup(path: &str) -> bool {
    Kind::of(path).is_some()
}

/// A token of the provider's own for one socket, which a client may bring in the place of ours.
pub(super) fn token_of(head: &Parts) -> Option<String> {
    let header = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let in_header = header.and_then(|value| value.strip_prefix("Token ").or_else(|| value.strip_prefix("token ")));
    let mut pairs = head.uri.query().unwrap_or_default().split('&');
    let in_query = || pairs.find_map(|pair| pair.strip_prefix("access_token="));
    let as_key = || head.headers.get(KEY).and_then(|value| value.to_str().ok());
    let token = in_header.or_else(in_query).or_else(as_key)?;
    let token = percent_encoding::percent_decode_str(token.trim()).decode_utf8().ok()?;
    token.starts_with("auth_tokens/").then(|| token.into_owned())
}

/// What a socket is opened with.
pub(super) struct Opening {
    pub(super) tenant: Arc<Tenant>,
    /// A token of the provider's own, and the owner whose it is.
    pub(super) token: Option<(String, Affinity)>,
    /// Where it is booked.
    pub(super) account: Account,
    /// Who is told what its first message says, and who serves it.
    pub(super) teller: Option<Teller>,
    /// How long it may wait for a key and beside whom, and who is told what is tried for it.
    pub(super) wish: Wish,
}

/// Told once of each socket that its first message says the use of.
pub(super) type Teller = Box<dyn FnOnce(&Told) + Send + Sync>;

/// What became of one.
#[derive(Default)]
pub(super) struct Told {
    /// The model that it is for.
    pub(super) model: Option<String>,
    /// Who serves it, or tried.
    pub(super) served: Option<ServedBy>,
    /// What it was closed with, where it was not served.
    pub(super) closed: Option<u16>,
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
pub(super) type KeyBody = tower_keypool::KeyPoolBody<SocketBody>;

/// What a pipe holds until its end: a place among sockets, and its connection's among all.
type Held = (OwnedSemaphorePermit, Option<Arc<Place>>);

impl Live {
    /// What of a request makes it one for a socket, and a place for it.
    fn admit(&self, parts: &mut Parts) -> Result<(OnUpgrade, OwnedSemaphorePermit), Refusal> {
        let client = parts.extensions.remove::<OnUpgrade>().ok_or(NO_SOCKET)?;
        let version = parts.headers.get(header::SEC_WEBSOCKET_VERSION);
        let is_handshake = parts.method == http::Method::GET
            && parts.headers.contains_key(header::SEC_WEBSOCKET_KEY)
            && version.is_some_and(|version| version == "13");
        if !is_handshake {
            return Err(NO_SOCKET);
        }
        Arc::clone(&self.places).try_acquire_owned().map(|place| (client, place)).map_err(|_| FULL)
    }

    /// Readies a request for the provider; what it needs of a key. `None`: its token cannot be sent.
    fn prepare(parts: &mut Parts, opening: &Opening, model: Option<&str>) -> Option<Demand> {
        // Bytes that are compressed could not be looked through.
        parts.headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        let demand = opening.wish.on(model.map_or_else(Demand::any_model, Demand::new));
        let Some((token, way)) = &opening.token else { return Some(demand) };
        let (name, value) = match Kind::of(parts.uri.path()) {
            Some(Kind::Event) => (HeaderName::from_static(KEY), token.clone()),
            _ => (header::AUTHORIZATION, format!("Token {token}")),
        };
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        parts.extensions.insert(InPlaceOfKey(name, value));
        Some(demand.affinity(way.clone()).of_resource())
    }

    /// Opens one whose first message says what it is for: to the client now, to the provider after that.
    pub(super) fn begin(
        &self,
        (mut parts, connection): (Parts, Option<Arc<Place>>),
        opening: Opening,
        (resources, alone, aliases): (Resources, bool, Aliases),
        pipes: &Arc<Pipes>,
    ) -> Opened {
        let (client, place) = match self.admit(&mut parts) {
            Ok(admitted) => admitted,
            Err(refusal) => return Opened::Refused(refusal),
        };
        let accept = parts.headers.get(header::SEC_WEBSOCKET_KEY).map(|key| accept(key.as_bytes()));
        let Some(Ok(accept)) = accept else { return Opened::Refused(NO_SOCKET) };
        let Some(kind) = Kind::of(parts.uri.path()) else { return Opened::Refused(NO_SOCKET) };
        // Nobody knows yet whether the provider would take one.
        parts.headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        let gone = opening.tenant.gone();
        let ending = pipes.ending();
        let session =
            session::carry(self.clone(), client, Beginning { kind, parts, opening, resources, alone, aliases, ending });
        pipes.spawn(session, (place, connection), gone);
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        switch(response.headers_mut());
        Opened::Open(response)
    }

    /// Opens one for a request, with any key. `resources`: what its messages name is looked up there.
    pub(super) async fn open(
        &self,
        (mut parts, connection): (Parts, Option<Arc<Place>>),
        opening: Opening,
        resources: Option<Resources>,
        pipes: &Arc<Pipes>,
    ) -> Opened {
        let (client, place) = match self.admit(&mut parts) {
            Ok(admitted) => admitted,
            Err(refusal) => return Opened::Refused(refusal),
        };
        let Some(demand) = Self::prepare(&mut parts, &opening, None) else { return Opened::Refused(NO_SOCKET) };
        parts.extensions.insert(demand);
        let mut response = match self.ask(parts).await {
            Ok(response) => response,
            Err(error) => return Opened::Failed(error),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Opened::Answered(response);
        }
        opening.account.opened(None, true);
        let lease = response.extensions().get::<ServedBy>().and_then(ServedBy::keep);
        let Some(lease) = lease else { return Opened::Refused(NOT_OPENED) };
        let provider = hyper::upgrade::on(&mut response);
        let gone = opening.tenant.gone();
        let ending = pipes.ending();
        let model = lease.model().map(str::to_owned);
        let judge = Judge { pool: self.pool.clone(), model, by_token: opening.token.is_some() };
        let carried = async move {
            let (Ok(client), Ok(provider)) = (client.await, provider.await) else { return };
            let named = Named::new(lease, judge, resources, &opening.tenant);
            let blot = Blot::of(named.lease());
            let client = (TokioIo::new(client), named.frames());
            let over = over(&opening.account, &opening.tenant, ending);
            pipe(client, (TokioIo::new(provider), Vec::new()), blot, &named, over).await;
        };
        pipes.spawn(carried, (place, connection), gone);
        let mut response = response.map(drop);
        switch(response.headers_mut());
        Opened::Open(response)
    }

    async fn ask(&self, parts: Parts) -> Result<Response<KeyBody>, Error> {
        let request = Request::from_parts(parts, Outgoing::written(Vec::new()));
        let mut stack = self.stack.clone();
        stack.ready().await?.call(request).await
    }
}

/// The proof that the key of a handshake was read.
fn accept(key: &[u8]) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let mut hash = sha1_smol::Sha1::from(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    HeaderValue::try_from(base64::engine::general_purpose::STANDARD.encode(hash.digest().bytes()))
}

/// What says that the connection is a socket from here on. Nothing was compressed.
fn switch(headers: &mut HeaderMap) {
    headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

impl Pipes {
    fn set(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a socket until its end, which comes soon where whose it is may nothing any more.
    fn spawn(&self, carried: impl Future<Output = ()> + Send + 'static, held: Held, mut gone: watch::Receiver<bool>) {
        let mut set = self.set();
        while set.try_join_next().is_some() {}
        set.spawn(async move {
            tokio::select! {
                () = carried => {}
                // It was told so, and does not go.
                () = async { let _ = gone.wait_for(|gone| *gone).await; sleep(LAST).await } => {}
            }
            drop(held);
        });
    }

    /// Until the gateway goes.
    fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Until none is open any more.
    pub(super) async fn closed(&self) {
        while poll_fn(|cx| self.set().poll_join_next(cx)).await.is_some() {}
    }

    /// Tells both sides of those that are open that it is over, and ends them: how many there were.
    pub(super) async fn end(&self) -> usize {
        let open = {
            let mut set = self.set();
            while set.try_join_next().is_some() {}
            set.len()
        };
        self.ending.send_replace(true);
        if timeout(LAST, self.closed()).await.is_err() {
            self.set().abort_all();
        }
        open
    }
}

/// Until whose socket it is may go on no more, or the gateway goes.
async fn over(account: &Account, tenant: &Tenant, mut ending: watch::Receiver<bool>) -> Ending {
    tokio::select! {
        why = account.over(tenant) => why.into(),
        _ = ending.wait_for(|ending| *ending) => Ending(GOING, "this gateway ends: open another session".to_owned()),
    }
}

/// The code of a closing frame of who goes (RFC 6455).
const GOING: u16 = 1001;
