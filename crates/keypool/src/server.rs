//! Listening sockets: connections and their limits, TLS, timeouts, and graceful shutdown.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll, ready},
    time::Duration,
};

use anyhow::Context;
use arc_swap::ArcSwap;
use axum::{
    body::{Body, Bytes},
    extract::ConnectInfo,
};
use futures_util::TryFutureExt;
use http::{HeaderMap, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    rt::Executor,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{app::Gateway, config::GatewaySection, middleware::host_guard::LocalAddress};

/// Counts a connection against the limits until its last request or session ends.
#[derive(Clone)]
pub struct Connection(#[expect(dead_code, reason = "held")] Arc<(OwnedSemaphorePermit, AddressGuard)>);

/// Timeout for the TLS handshake and the first request head of a connection, and for each later head over HTTP/1.1; the
/// client is then disconnected.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout for a TLS handshake or the rest of the first request head of a connection during a shutdown.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// How long the rest of a request body is read after an early response.
const LINGER: Duration = Duration::from_secs(30);
/// Maximum pause between two frames of that rest.
const LINGER_PAUSE: Duration = Duration::from_secs(2);

/// Maximum size of a head over HTTP/2. HTTP/1.1 accepts about 400 KiB.
const LONGEST_HEAD: u32 = 64 << 10;

/// A listening socket, with the limits of its connections.
pub struct Server {
    listener: TcpListener,
    tls: Option<Certificate>,
    all: Arc<Semaphore>,
    by_address: Arc<Addresses>,
    reader_timeout: Duration,
}

impl Server {
    /// Listens at an address.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(address: SocketAddr, gateway: &GatewaySection, tls: Option<Certificate>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
        Ok(Self {
            listener,
            tls,
            all: Arc::new(Semaphore::new(gateway.max_connections as usize)),
            by_address: Arc::new(Addresses { most: gateway.max_connections_per_address, counts: Mutex::default() }),
            reader_timeout: gateway.reader_timeout.0,
        })
    }

    /// Returns the address at which it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is cancelled. After that it accepts no connection, and open requests get `grace` to finish.
    pub async fn serve(self, gateway: Gateway, stop: CancellationToken, grace: Duration) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => self.connect(stream, peer, &gateway, &graceful, &stop),
                Err(error) => {
                    // Usually too many open files: an immediate retry would fail, too.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(100)) => {}
                        () = stop.cancelled() => break,
                    }
                }
            }
        }
        drop(self.listener);
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests that did not finish in time were cut off");
        }
    }

    fn connect(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        gateway: &Gateway,
        graceful: &GracefulShutdown,
        stop: &CancellationToken,
    ) {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok().ok_or("503 Service Unavailable");
        let admitted = permit.and_then(|permit| {
            Ok((permit, Addresses::enter(&self.by_address, peer.ip()).ok_or("429 Too Many Requests")?))
        });
        let connection = match admitted {
            Ok(admitted) => Connection(Arc::new(admitted)),
            Err(status) => {
                tokio::spawn(refuse(stream, status, self.tls.is_some()));
                return;
            }
        };
        let Ok(local) = stream.local_addr() else { return };
        let _ = stream.set_nodelay(true);
        let mut timed = TimeoutStream::new(stream);
        timed.set_write_timeout(Some(self.reader_timeout));
        let counted = connection.clone();
        let has_request = Arc::new(AtomicBool::new(false));
        let received = Arc::clone(&has_request);
        let gateway = gateway.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            received.store(true, Ordering::Relaxed);
            let (head, body) = request.into_parts();
            let body = Lingering::body(&head.headers, body);
            let mut request = http::Request::from_parts(head, body);
            // A WebSocket outlives its HTTP connection.
            request.extensions_mut().insert(counted.clone());
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(LocalAddress(local));
            gateway.clone().oneshot(request).map_ok(|answer| answer.map(Unread::watched))
        });
        let streams = Streams { reader_timeout: self.reader_timeout };
        let stop = stop.clone();
        let watcher = graceful.watcher();
        let tls = self.tls.as_ref().map(Certificate::acceptor);
        tokio::spawn(async move {
            let _connection = connection;
            let mut served = pin!(async move {
                let Some(acceptor) = tls else {
                    return serve_connection(Box::pin(timed), service, streams, watcher).await;
                };
                if is_plain_http(timed.get_ref()).await {
                    return refuse(timed.into_inner(), "400 This address speaks TLS: use https", false).await;
                }
                match acceptor.accept(Box::pin(timed)).await {
                    Ok(stream) => serve_connection(stream, service, streams, watcher).await,
                    Err(error) => tracing::debug!(%peer, %error, "the TLS handshake failed"),
                }
            });
            let too_late = async {
                tokio::select! {
                    () = tokio::time::sleep(HEAD_TIMEOUT) => {}
                    () = stop.cancelled() => tokio::time::sleep(LAST_HEAD).await,
                }
            };
            tokio::select! {
                () = &mut served => {}
                () = too_late => {
                    if has_request.load(Ordering::Relaxed) {
                        served.await;
                    } else {
                        tracing::debug!(%peer, "the connection sent no request in time");
                    }
                }
            }
        });
    }
}

async fn serve_connection<I, S>(stream: I, service: S, streams: Streams, watcher: hyper_util::server::graceful::Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<http::Request<Incoming>, Response = axum::response::Response, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    let mut builder = auto::Builder::new(streams);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(60)))
        .max_header_list_size(LONGEST_HEAD)
        .max_concurrent_streams(1_000);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error = &*error, "a connection ended");
    }
}

/// Runs the streams of HTTP/2 connections. A stream whose client does not read is reset: the connection, whose writes
/// [`TimeoutStream`] watches, does not show it, because a client that reads nothing is sent nothing.
#[derive(Clone)]
struct Streams {
    reader_timeout: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (unread, timeout) = (Unread::default(), self.reader_timeout);
        tokio::spawn(UNREAD.scope(unread.clone(), async move {
            tokio::select! {
                _ = stream => {}
                () = unread.lasts(timeout) => tracing::debug!("a client stopped reading a response over HTTP/2"),
            }
        }));
    }
}

tokio::task_local! {
    static UNREAD: Unread;
}

/// When the last piece of a response was handed out, unless the next one was requested since. With HTTP/2 it is
/// requested when the client has room for it.
#[derive(Clone, Default)]
struct Unread(Arc<Mutex<Option<Instant>>>);

impl Unread {
    /// Watches the body of a response over HTTP/2.
    fn watched(body: Body) -> Body {
        match UNREAD.try_with(Self::clone) {
            Ok(unread) => Body::new(WatchedBody { inner: body, rest: Bytes::new(), unread }),
            Err(_) => body,
        }
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Waits until a piece has not been read for this time.
    async fn lasts(&self, timeout: Duration) {
        loop {
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let until = since.unwrap_or_else(Instant::now) + timeout;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A response body whose pieces are small, because those that hyper has accepted are not watched.
struct WatchedBody {
    inner: Body,
    /// The rest of the last piece.
    rest: Bytes,
    unread: Unread,
}

/// Maximum size of a piece: that of a frame of HTTP/2.
const PIECE: usize = 16 << 10;

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.unread.set(None);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        self.unread.set(Some(Instant::now()));
        let size = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.inner.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// A request body whose rest is read even after an early response. Most clients send the whole body before they read
/// the response, and lose the response if the connection is closed meanwhile.
struct Lingering {
    /// `None` at the end.
    body: Option<Incoming>,
    /// Whether the client sends it. With `Expect: 100-continue` the client waits until the body is read.
    arrives: bool,
}

impl Lingering {
    fn body(headers: &HeaderMap, body: Incoming) -> Body {
        Body::new(Self { arrives: !headers.contains_key(header::EXPECT), body: Some(body) })
    }
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.arrives = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let Some(mut body) = self.body.take().filter(|body| self.arrives && !body.is_end_stream()) {
            tokio::spawn(tokio::time::timeout(LINGER, async move {
                while let Ok(Some(Ok(_))) = tokio::time::timeout(LINGER_PAUSE, body.frame()).await {}
            }));
        }
    }
}

/// Reports whether a client starts with a letter, as an HTTP method does, and not with a TLS handshake.
async fn is_plain_http(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && first[0].is_ascii_alphabetic()
}

/// Refuses a connection with a status, and closes it.
async fn refuse(mut stream: TcpStream, status: &str, is_tls: bool) {
    // TLS allows no response before the handshake, and refusing saves exactly that handshake.
    if !is_tls {
        // Closing a connection with unread data would lose the response.
        let _ = stream.try_read(&mut [0; 8_192]);
        let body = format!("{{\"error\":{{\"message\":\"{status}\"}}}}");
        let answer = format!(
            "HTTP/1.1 {status}\r\nretry-after: 1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(answer.as_bytes())).await;
    }
    let _ = stream.shutdown().await;
}

/// The number of connections of each address.
struct Addresses {
    most: u32,
    counts: Mutex<HashMap<IpAddr, u32>>,
}

/// Counts one connection of an address until dropped; `None` for loopback, which is not limited.
struct AddressGuard(Option<(Arc<Addresses>, IpAddr)>);

impl Addresses {
    fn enter(addresses: &Arc<Self>, ip: IpAddr) -> Option<AddressGuard> {
        let ip = network(ip);
        if ip.is_loopback() {
            return Some(AddressGuard(None));
        }
        let mut counts = addresses.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if *count >= addresses.most {
            return None;
        }
        *count += 1;
        Some(AddressGuard(Some((Arc::clone(addresses), ip))))
    }
}

impl Drop for AddressGuard {
    fn drop(&mut self) {
        let Some((addresses, ip)) = &self.0 else { return };
        let mut counts = addresses.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(ip);
            }
        }
    }
}

/// Returns an IPv4 address, or the /64 network of an IPv6 address, since one client owns all of it.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}

/// The server's TLS certificate. It is reloaded when its files change.
#[derive(Clone)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    config: Arc<ArcSwap<ServerConfig>>,
}

impl Certificate {
    /// Reads a certificate chain and its private key, both in PEM.
    ///
    /// # Errors
    /// If a file cannot be read, or the key does not belong to the certificate.
    pub fn read(certificate: PathBuf, key: PathBuf) -> anyhow::Result<Self> {
        let config = server_config(&certificate, &key)?;
        Ok(Self { chain: certificate, key, config: Arc::new(ArcSwap::from_pointee(config)) })
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// Those of [`read`](Self::read). The previous certificate then stays in use.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.config.store(Arc::new(server_config(&self.chain, &self.key)?));
        Ok(())
    }

    pub fn files(&self) -> [&PathBuf; 2] {
        [&self.chain, &self.key]
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn server_config(certificate: &PathBuf, key: &PathBuf) -> anyhow::Result<ServerConfig> {
    let place = |file: &PathBuf| file.display().to_string();
    let chain = CertificateDer::pem_file_iter(certificate).with_context(|| place(certificate))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().with_context(|| place(certificate))?;
    anyhow::ensure!(!chain.is_empty(), "{}: no PEM certificate found", place(certificate));
    let private = match PrivateKeyDer::from_pem_file(key) {
        Err(pem::Error::NoItemsFound) => anyhow::bail!("{}: no unencrypted PEM private key found", place(key)),
        private => private.with_context(|| place(key))?,
    };
    let builder = ServerConfig::builder().with_no_client_auth();
    let both = || format!("the certificate {} with the private key {}", place(certificate), place(key));
    let mut config = builder.with_single_cert(chain, private).with_context(both)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
