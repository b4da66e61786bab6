//! The HTTP client at the bottom of the stack. It connects to a provider through the exit of the leased key.

use std::{
    collections::HashMap,
    error::Error,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use anyhow::Context as _;
use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{
            HttpConnector,
            proxy::{SocksV5, Tunnel},
        },
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{net::TcpStream, time::Sleep};
use tower::{Service, timeout::Timeout, util::BoxCloneSyncService};
use tower_keypool::{BoxError, Lease, classify::causes};

use super::{headers, route::decoded};
use crate::{
    config::{Loaded, NO_EXIT, Problems},
    middleware::access_log::Progress,
};

/// Timeout for a TCP connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for a connection including its proxy and its TLS handshake.
const HTTPS_TIMEOUT: Duration = Duration::from_secs(15);
/// Timeout for the provider's response to the handshake of a Live session.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of the head of a response, without what HTTP/2 adds to each header.
const MAX_HEAD: usize = 48 << 10;
/// How long a connection may be idle. Idle connections are closed before the provider closes them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Sends each request through the exit of its key.
///
/// It uses HTTP/1.1, with a pool of connections. With HTTP/2 all requests to a provider would share one connection, where
/// requests wait when the provider's maximum number of streams is reached, and a few clients that read slowly fill the
/// receive window of all others.
#[derive(Clone)]
pub struct Upstream {
    exits: Arc<HashMap<String, HttpClient>>,
    default: Arc<HttpClient>,
    answer_timeout: Duration,
}

/// The HTTP client. All connectors share one client type, because each further type takes seconds to compile.
pub type HttpClient = Client<Connector, Body>;

/// A connector to a host, direct or through a proxy.
pub type Connector = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

impl Upstream {
    /// Creates a client with all exits of the configuration.
    ///
    /// # Errors
    /// If the certificates cannot be read, or the proxy URL of an exit is invalid.
    pub fn new(loaded: &Loaded) -> anyhow::Result<Self> {
        let tls = client_tls(loaded)?;
        let mut exits = HashMap::new();
        for (name, exit) in &loaded.config.exits {
            let connector = |local| {
                let mut connector = http_connector();
                connector.set_local_address(local);
                connector
            };
            let connector = match loaded.proxies.get(name) {
                Some(proxy) => {
                    proxied(proxy.expose(), connector(None), &tls).with_context(|| format!("exits.{name}"))?
                }
                None => https(connector(exit.local_address), &tls),
            };
            exits.insert(name.clone(), client(connector));
        }
        Ok(Self {
            exits: Arc::new(exits),
            default: Arc::new(client(https(http_connector(), &tls))),
            answer_timeout: loaded.config.gateway.answer_timeout.0,
        })
    }

    /// Reports whether there is a client for a key's exit.
    pub fn has_exit(&self, exit: Option<&str>) -> bool {
        exit.is_none_or(|exit| self.exits.contains_key(exit))
    }
}

impl<B> Service<Request<B>> for Upstream
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<TimedBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<TimedBody>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let lease = request.extensions().get::<Arc<Lease>>();
        let client = match lease.and_then(|lease| lease.exit()) {
            None => Some(&*self.default),
            Some(name) => self.exits.get(name),
        };
        let Some(client) = client else {
            return Box::pin(std::future::ready(Err(NO_EXIT.into())));
        };
        let progress = request.extensions().get::<Progress>().zip(lease);
        let attempt = progress.map(|(progress, lease)| progress.begin_attempt(lease));
        let mut request = request.map(Body::new);
        let is_empty = http_body::Body::size_hint(request.body()).exact() == Some(0);
        if is_empty && matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
            // hyper sends no length for an empty body, and some servers then respond with 411.
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let is_socket = request.headers().contains_key(header::UPGRADE);
        let answer = client.request(request);
        let timeout = if is_socket { self.answer_timeout.min(HANDSHAKE_TIMEOUT) } else { self.answer_timeout };
        let pause = self.answer_timeout;
        Box::pin(async move {
            let answer = tokio::time::timeout(timeout, answer).await.map_err(BoxError::from);
            let answer = answer.and_then(|answer| answer.map_err(transport_error)).and_then(with_short_head);
            if let Some(attempt) = attempt {
                attempt.end(answer.as_ref().map(Response::status).map_err(|error| &**error as &(dyn Error + 'static)));
            }
            let mut answer = answer?;
            // The end of a response in HTTP/1.0 is the end of the connection, but the client's connection stays open.
            *answer.version_mut() = Version::HTTP_11;
            if answer.headers().contains_key(header::TRANSFER_ENCODING) || answer.status() == StatusCode::NO_CONTENT {
                answer.headers_mut().remove(header::CONTENT_LENGTH);
            }
            with_one_length(answer.headers_mut());
            // The provider's own reason phrase may contain the key.
            answer.extensions_mut().remove::<hyper::ext::ReasonPhrase>();
            Ok(answer.map(|inner| TimedBody { inner, pause, timer: None, progressed: false }))
        })
    }
}

/// Checks that clients of HTTP/2 can read the head of a response: many end the connection at 64 KiB.
fn with_short_head<B>(answer: Response<B>) -> Result<Response<B>, BoxError> {
    let size: usize = answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size > MAX_HEAD { Err("the provider's response head is too large".into()) } else { Ok(answer) }
}

/// Replaces a repeated `Content-Length` by one value, since HTTP/2 clients refuse it. The client has checked that all
/// values are equal.
fn with_one_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return };
    let one = first.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
    if (lengths.next().is_some() || one.len() < first.len())
        && let Ok(one) = HeaderValue::from_bytes(one)
    {
        headers.insert(header::CONTENT_LENGTH, one);
    }
}

/// Converts an error of the client. Its kind tells the pool if no connection was made, so that nothing was sent.
pub fn transport_error(error: hyper_util::client::legacy::Error) -> BoxError {
    let advice = [
        ("InvalidContentType", "the server does not speak TLS at this port: use http://"),
        ("CaUsedAsEndEntity", "the server uses a CA certificate as its own: issue one with basicConstraints=CA:FALSE"),
    ];
    for (name, message) in advice {
        if causes(&error).any(|cause| cause.to_string().contains(name)) {
            return io::Error::new(io::ErrorKind::HostUnreachable, message).into();
        }
    }
    if error.is_connect() { io::Error::new(io::ErrorKind::HostUnreachable, error).into() } else { error.into() }
}

/// Fails between one and two answer timeouts after its last frame: the timer is checked, not reset. `TimeoutBody` of
/// tower-http would hide the length and the end of the body.
#[derive(Debug)]
pub struct TimedBody {
    inner: Incoming,
    pause: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether a frame arrived since the timer was set.
    progressed: bool,
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.progressed = true;
            return Poll::Ready(frame.map(|frame| {
                let mut frame = frame?;
                if let Some(trailers) = frame.trailers_mut() {
                    headers::of_trailers(trailers);
                }
                Ok(frame)
            }));
        }
        let pause = self.pause;
        loop {
            ready!(self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause))).as_mut().poll(cx));
            if !std::mem::take(&mut self.progressed) {
                break;
            }
            self.timer = None;
        }
        let error = "the provider's response stopped arriving";
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, error).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Creates a TCP connector.
pub fn http_connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(Duration::from_secs(60)));
    connector.enforce_http(false);
    connector
}

/// Creates a client that reuses idle connections.
pub fn client(connector: Connector) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector)
}

/// Adds TLS to a connector, for `https` URLs.
pub fn https<C>(connector: C, tls: &ClientConfig) -> Connector
where
    C: Service<Uri, Response = TokioIo<TcpStream>, Error: Into<BoxError>, Future: Send> + Clone + Send + Sync + 'static,
{
    let https: HttpsConnector<C> = HttpsConnectorBuilder::new()
        .with_tls_config(tls.clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    BoxCloneSyncService::new(Timeout::new(https, HTTPS_TIMEOUT))
}

fn proxied(url: &str, connector: HttpConnector, tls: &ClientConfig) -> anyhow::Result<Connector> {
    let uri: Uri = url.parse().context("it is not a URL")?;
    let authority = uri.authority().context("it has no host")?;
    let (login, host) = match authority.as_str().rsplit_once('@') {
        Some((login, host)) => (Some(login.split_once(':').unwrap_or((login, ""))), host),
        None => (None, authority.as_str()),
    };
    let login = login.map(|(user, password)| (decoded(user).into_owned(), decoded(password).into_owned()));
    let scheme = uri.scheme_str().unwrap_or("http");
    let address: Uri = format!("{}://{host}", if scheme.starts_with("socks") { "http" } else { scheme }).parse()?;
    if scheme.starts_with("socks") {
        let mut socks = SocksV5::new(address, connector).local_dns(scheme == "socks5");
        if let Some((user, password)) = login {
            socks = socks.with_auth(user, password);
        }
        return Ok(https(socks, tls));
    }
    let mut tunnel = Tunnel::new(address, connector);
    if let Some((user, password)) = login {
        let login = STANDARD.encode(format!("{user}:{password}"));
        let mut value = HeaderValue::try_from(format!("Basic {login}"))?;
        value.set_sensitive(true);
        tunnel = tunnel.with_auth(value);
    }
    Ok(https(tunnel, tls))
}

/// Returns the TLS configuration that verifies the providers' certificates.
///
/// # Errors
/// If the certificates of the configuration cannot be read.
pub fn client_tls(loaded: &Loaded) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &loaded.config.gateway.cacert {
        Some(file) => {
            let file = loaded.folder().join(file);
            let wrong =
                |why: &dyn std::fmt::Display| Problems::one("gateway.cacert", format!("{}: {why}", file.display()));
            for certificate in CertificateDer::pem_file_iter(&file).map_err(|error| wrong(&error))? {
                roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"no certificate found").into());
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, time::Instant};

    use super::*;
    use crate::config::Inputs;

    #[tokio::test(start_paused = true)]
    async fn unanswered_handshakes_time_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut upstream = Upstream::new(&Inputs::default().load().expect("a configuration")).expect("a client");
        for (scheme, most) in [("http", HANDSHAKE_TIMEOUT), ("https", HTTPS_TIMEOUT)] {
            let request = Request::get(format!("{scheme}://{address}/ws/")).header(header::UPGRADE, "websocket");
            let begun = Instant::now();
            upstream.call(request.body(Body::empty()).expect("a request")).await.expect_err("no answer");
            assert!(
                begun.elapsed() >= HANDSHAKE_TIMEOUT && begun.elapsed() < most + Duration::from_secs(1),
                "{scheme}"
            );
        }
        let begun = Instant::now();
        let request = Request::get(format!("https://{address}/v1/models")).body(Body::empty()).expect("a request");
        upstream.call(request).await.expect_err("no TLS");
        assert_eq!(begun.elapsed().as_secs(), HTTPS_TIMEOUT.as_secs());
    }
}
