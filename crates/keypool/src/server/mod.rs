//! Listening sockets: connections and their limits, TLS, timeouts, and graceful shutdown.

mod certificate;
mod connections;
mod http2_reader;
mod lingering;

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
};
use futures_util::TryFutureExt;
use http::{Method, Version};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub use self::{certificate::Certificate, connections::network};
use self::{
    connections::{Connection, Connections},
    http2_reader::{Streams, Unread},
    lingering::Lingering,
};
use crate::{app::Gateway, config::GatewaySection};

/// Timeout for the TLS handshake and the first request head of a connection, and for each later head over HTTP/1.1; the
/// client is then disconnected.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout for a TLS handshake or the rest of the first request head of a connection during a shutdown.
const LAST_HEAD: Duration = Duration::from_secs(1);
/// Maximum size of a head over HTTP/2. HTTP/1.1 accepts about 400 KiB.
const LONGEST_HEAD: u32 = 64 << 10;

/// A listening socket, with the limits of its connections.
pub struct Server {
    listener: TcpListener,
    tls: Option<Certificate>,
    connections: Arc<Connections>,
    reader_timeout: Duration,
}

impl Server {
    /// Listens at an address.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(address: SocketAddr, gateway: &GatewaySection, tls: Option<Certificate>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
        let connections = Arc::new(Connections::new(gateway));
        Ok(Self { listener, tls, connections, reader_timeout: gateway.reader_timeout.0 })
    }

    /// Returns the address at which it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is cancelled. After that it accepts no connection, and open requests get `grace` to finish.
    pub async fn serve(self, gateway: Gateway, stop: CancellationToken, grace: Duration) {
        let graceful = GracefulShutdown::new();
        // Cancelled when this function ends, which drops the connections that are still open.
        let ended = CancellationToken::new();
        let _guard = ended.clone().drop_guard();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => match self.connections.admit(peer.ip()) {
                    Ok(connection) => {
                        let tls = self.tls.as_ref().map(Certificate::acceptor);
                        let (gateway, reader_timeout) = (gateway.clone(), self.reader_timeout);
                        let client = Client { stream, peer, connection, tls, gateway, reader_timeout };
                        let served = client.serve(graceful.watcher(), stop.clone());
                        tokio::spawn(ended.clone().run_until_cancelled_owned(served));
                    }
                    Err(status) => {
                        tokio::spawn(refuse(stream, status, self.tls.is_some()));
                    }
                },
                Err(error) => {
                    // Usually too many open files: an immediate retry would fail, too.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::select! {
                        () = sleep(Duration::from_millis(100)) => {}
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
}

/// The connection of a request: its addresses, and its place among the counted ones. A WebSocket outlives its HTTP
/// connection.
#[derive(Clone)]
pub struct Peer {
    pub address: SocketAddr,
    pub local: SocketAddr,
    #[expect(dead_code, reason = "held")]
    connection: Connection,
}

/// A connected client.
struct Client {
    stream: TcpStream,
    peer: SocketAddr,
    connection: Connection,
    tls: Option<TlsAcceptor>,
    gateway: Gateway,
    reader_timeout: Duration,
}

impl Client {
    /// Serves the client until it leaves. A client that sends no request in time is disconnected.
    async fn serve(self, watcher: Watcher, stop: CancellationToken) {
        let peer = self.peer;
        let has_request = Arc::new(AtomicBool::new(false));
        let mut served = pin!(self.answer(watcher, Arc::clone(&has_request)));
        let too_late = async {
            tokio::select! {
                () = sleep(HEAD_TIMEOUT) => {}
                () = stop.cancelled() => sleep(LAST_HEAD).await,
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
    }

    /// Answers all requests, after the TLS handshake if there is one.
    async fn answer(self, watcher: Watcher, has_request: Arc<AtomicBool>) {
        let Self { stream, peer: address, connection, tls, gateway, reader_timeout } = self;
        let Ok(local) = stream.local_addr() else { return };
        let peer = Peer { address, local, connection };
        let _ = stream.set_nodelay(true);
        let mut timed = TimeoutStream::new(stream);
        timed.set_write_timeout(Some(reader_timeout));
        let service = service_fn(move |request: http::Request<Incoming>| {
            has_request.store(true, Ordering::Relaxed);
            // Over HTTP/1.1 hyper itself leaves out the body, and needs it for the `Content-Length`.
            let has_no_body = request.method() == Method::HEAD && request.version() == Version::HTTP_2;
            let (head, body) = request.into_parts();
            let body = Lingering::body(&head.headers, body);
            let mut request = Request::from_parts(head, body);
            request.extensions_mut().insert(ConnectInfo(peer.clone()));
            let watched = move |body| if has_no_body { Body::empty() } else { Unread::watched(body) };
            gateway.clone().oneshot(request).map_ok(move |answer| answer.map(watched))
        });
        let streams = Streams { reader_timeout };
        let Some(acceptor) = tls else {
            return serve_connection(Box::pin(timed), service, streams, watcher).await;
        };
        if is_plain_http(timed.get_ref()).await {
            return refuse(timed.into_inner(), "400 This address speaks TLS: use https", false).await;
        }
        match acceptor.accept(Box::pin(timed)).await {
            Ok(stream) => serve_connection(stream, service, streams, watcher).await,
            Err(error) => tracing::debug!(peer = %address, %error, "the TLS handshake failed"),
        }
    }
}

async fn serve_connection<I, S>(stream: I, service: S, streams: Streams, watcher: Watcher)
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
