//! A gateway on a loopback port, and clients for it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use keypool::{
    client::{Client as Upstream, Roots, Sockets},
    database::{Records, used::Used},
    fetch::Fetcher,
    gateway::{
        Aliases, Door, Gateway, Setup,
        dialect::Dialect,
        guard::Guard,
        listen::{self, Bounds},
        live::Live,
        resource::Unknown,
        route::{Beside, Dialects},
        tenant::Tenants,
        tls::Tls,
        token::{PLACEHOLDER, Token},
    },
    outgoing::Outgoing,
    stack,
    status::{Status, StoreHealth, Traffic},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tower::Service;
use tower_keypool::{Base, BoxError, Clock, Error, Gemini, Key, KeyPool, Models, Retry};

/// A day on which it is noon in Los Angeles: far from midnight, about which a refusal for the day rests a minute.
pub(crate) fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000)
}

/// A running gateway; it ends when this is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Served {
    /// Serves THE stack over these keys, on any free port.
    pub(crate) async fn keys(keys: impl IntoIterator<Item = Key>, upstream: &str, wait: Duration) -> Self {
        let pool = KeyPool::builder(Gemini::at(upstream).unwrap()).keys(keys).wait(wait).build().unwrap();
        Self::pool(&pool, upstream, StoreHealth::default()).await
    }

    /// Serves THE stack over this pool, and tells of it under `/-/`.
    pub(crate) async fn pool(pool: &KeyPool, upstream: &str, store: StoreHealth) -> Self {
        let traffic = Arc::new(Traffic::new(Clock::system()));
        let status = Status::new(pool, &traffic, store);
        let client = Upstream::new(&Base::parse(upstream).unwrap()).counting(&traffic);
        let stack = stack::stack_over(pool, Models::new(), Retry::new(), client);
        let gateway = gateway(stack, upstream).telling(status, traffic);
        Self::serving(gateway.keeping(Records::default(), pool.clone())).await
    }

    /// Serves THE stack over this pool with these lists of models, and what it learns of whose is what.
    pub(crate) async fn falling_back(pool: &KeyPool, upstream: &str, models: Models) -> Self {
        let stack = stack::stack(pool, models, Retry::new());
        Self::serving(gateway(stack, upstream).keeping(Records::default(), pool.clone())).await
    }

    /// Serves THE stack over this pool, sockets included, with what these records know; and the tenants that may ask.
    pub(crate) async fn kept(pool: &KeyPool, upstream: &str, records: Records) -> (Self, Arc<Tenants>) {
        Self::kept_trying(pool, upstream, records, Unknown::Refuse).await
    }

    /// The same, with what becomes of names that nobody knows.
    pub(crate) async fn kept_trying(
        pool: &KeyPool,
        upstream: &str,
        records: Records,
        unknown: Unknown,
    ) -> (Self, Arc<Tenants>) {
        Self::kept_within(pool, upstream, records, (unknown, Bounds::default())).await
    }

    /// The same within these bounds.
    pub(crate) async fn kept_within(
        pool: &KeyPool,
        upstream: &str,
        records: Records,
        (unknown, bounds): (Unknown, Bounds),
    ) -> (Self, Arc<Tenants>) {
        let (served, tenants, _) = Self::counting(pool, upstream, records, (unknown, bounds)).await;
        (served, tenants)
    }

    /// The same, in front of a provider that other dialects meet at its own compatible endpoint; with others beside it,
    /// if any.
    pub(crate) async fn kept_compatible(pool: &KeyPool, upstream: &str, beside: bool) -> (Self, Arc<Tenants>) {
        Self::compatible_falling_back(pool, upstream, beside, Models::new()).await
    }

    /// The same with these lists of models.
    pub(crate) async fn compatible_falling_back(
        pool: &KeyPool,
        upstream: &str,
        beside: bool,
        models: Models,
    ) -> (Self, Arc<Tenants>) {
        let dialects = Dialects { translates_openai: false, ..Dialects::default() };
        let stack = stack::stack(pool, models, Retry::new());
        let gateway = gateway(stack.clone(), upstream).keeping(Records::default(), pool.clone());
        gateway.change(Setup::new(stack.clone(), Guard::new([]), Token::new(PLACEHOLDER), dialects));
        if beside {
            let (name, models) = ("other".to_owned(), vec!["other-*".to_owned()]);
            gateway.stand_beside(vec![Beside {
                name,
                dialect: Dialect::OpenAi,
                models,
                stack,
                pool: None,
                aliases: Aliases::default(),
            }]);
        }
        let tenants = Arc::clone(gateway.tenants());
        (Self::serving(gateway).await, tenants)
    }

    /// The same, and what its tenants used.
    pub(crate) async fn counting(
        pool: &KeyPool,
        upstream: &str,
        records: Records,
        (unknown, bounds): (Unknown, Bounds),
    ) -> (Self, Arc<Tenants>, Used) {
        let base = Base::parse(upstream).unwrap();
        let stack = stack::stack(pool, Models::new(), Retry::new());
        let sockets = Sockets::trusting(&base, &Roots::mozilla());
        let live = Some(Live::new(stack::sockets_over(pool, Retry::new(), sockets), pool.clone()));
        let setup = Setup::new(stack, Guard::new([]), Token::new(PLACEHOLDER), Dialects::default());
        let gateway = Gateway::new(Setup { live, unknown, ..setup }, base, Clock::system());
        let gateway = gateway.keeping(records, pool.clone());
        let (tenants, used) = (Arc::clone(gateway.tenants()), gateway.used().clone());
        (Self::bounded(gateway, bounds).await, tenants, used)
    }

    /// Serves THE stack over one key, with dialects met so.
    pub(crate) async fn meeting(dialects: Dialects, key: Key, upstream: &str) -> Self {
        let pool = KeyPool::builder(Gemini::at(upstream).unwrap()).key(key).wait(Duration::ZERO).build().unwrap();
        let stack = stack::stack(&pool, Models::new(), Retry::new());
        let gateway = gateway(stack.clone(), upstream);
        gateway.change(Setup::new(stack, Guard::new([]), Token::new(PLACEHOLDER), dialects));
        Self::serving(gateway).await
    }

    /// Serves THE stack over one key, images by URL fetched by this.
    pub(crate) async fn fetching(fetcher: Fetcher, key: Key, upstream: &str) -> Self {
        let pool = KeyPool::builder(Gemini::at(upstream).unwrap()).key(key).wait(Duration::ZERO).build().unwrap();
        let stack = stack::stack(&pool, Models::new(), Retry::new());
        let gateway = gateway(stack.clone(), upstream).fetching(fetcher);
        let dialects = Dialects { fetches: true, ..Dialects::default() };
        gateway.change(Setup::new(stack, Guard::new([]), Token::new(PLACEHOLDER), dialects));
        Self::serving(gateway).await
    }

    /// Serves a stack on any free port.
    pub(crate) async fn over<S, B>(stack: S, upstream: &str) -> Self
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::serving(gateway(stack, upstream)).await
    }

    /// The same with others beside it.
    pub(crate) async fn among<S, B>(stack: S, others: Vec<Beside<S>>) -> Self
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let gateway = gateway(stack, "http://upstream.invalid");
        gateway.stand_beside(others);
        Self::serving(gateway).await
    }

    pub(crate) async fn serving<S, B>(gateway: Gateway<S>) -> Self
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::bounded(gateway, Bounds::default()).await
    }

    /// Serves a stack within these bounds.
    pub(crate) async fn within<S, B>(stack: S, upstream: &str, bounds: Bounds) -> Self
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self::bounded(gateway(stack, upstream), bounds).await
    }

    async fn bounded<S, B>(gateway: Gateway<S>, bounds: Bounds) -> Self
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(listen::serve(
            (listener, Door::Both),
            Tls::default(),
            Arc::new(gateway),
            (Duration::from_secs(10), bounds),
            shutdown,
        ));
        Self { address, stop: Some(stop), task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Ends it as Ctrl-C does, and waits for its end.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }
}

fn gateway<S>(stack: S, upstream: &str) -> Gateway<S> {
    let guard = Guard::new(["pool.example".to_owned()]);
    let setup = Setup::new(stack, guard, Token::new(PLACEHOLDER), Dialects::default());
    Gateway::new(setup, Base::parse(upstream).unwrap(), Clock::system())
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) async fn ask(request: http::request::Builder, body: impl Into<Bytes>) -> Answer {
    try_ask(request, body).await.unwrap()
}

/// The same, where the connection may be cut.
pub(crate) async fn try_ask(request: http::request::Builder, body: impl Into<Bytes>) -> Result<Answer, BoxError> {
    let response = client().request(request.body(Full::new(body.into())).unwrap()).await?;
    let (head, body) = response.into_parts();
    Ok(Answer { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
}

/// Sends bytes as they are, and reads until the other side closes or, once it spoke, a second goes by in silence.
pub(crate) async fn raw(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let (mut answer, mut piece, mut patience) = (Vec::new(), vec![0; 1 << 14], Duration::from_secs(60));
    while let Ok(Ok(read @ 1..)) = tokio::time::timeout(patience, stream.read(&mut piece)).await {
        answer.extend_from_slice(&piece[..read]);
        patience = Duration::from_secs(1);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Answers every request with what arrived: `{"method", "uri", "headers", "body"}`.
pub(crate) async fn echo<B: Body<Data = Bytes>>(request: Request<B>) -> Result<Response<Full<Bytes>>, Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let headers: serde_json::Map<String, serde_json::Value> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let told = serde_json::json!({
        "method": head.method.as_str(),
        "uri": head.uri.to_string(),
        "version": format!("{:?}", head.version),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    Ok::<_, Infallible>(Response::new(Full::from(told.to_string()))).map_err(|never| match never {})
}
