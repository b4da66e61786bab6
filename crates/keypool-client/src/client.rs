//! The client: a pool, the layers, and connections below them.

use std::{borrow::Borrow, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use rustls::RootCertStore;
use tower::{Layer, Service, ServiceExt, timeout::Timeout};
use tower_keypool::{BoxError, KeyPool, KeyPoolBody, KeyPoolLayer, KeyPoolService, Models, ReplayBody, Retry};

use crate::{
    error::Error,
    generate::Generate,
    holdings::Holdings,
    listened::AnswerBody,
    transport::{self, Received, Transport},
};

/// The model of requests that name none.
pub const DEFAULT_MODEL: &str = "gemini-2.5-flash";
/// How long an attempt may take, answers to their head.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The provider's answer, whose body is still to come; its extensions hold [`ServedBy`](tower_keypool::ServedBy).
pub type RawAnswer = Response<AnswerBody>;

type Called = Response<KeyPoolBody<Received>>;
type Calling = Pin<Box<dyn Future<Output = Result<Called, tower_keypool::Error>> + Send>>;

/// A typed client over many keys. Clones share everything.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use keypool_client::Client;
/// use tower_keypool::{Gemini, Key, KeyPool};
///
/// let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-000")).build()?;
/// let client = Client::new(&pool);
/// let answer = client.generate("What is a key?").await?;
/// println!("{} (key {:?}, {} attempts)", answer.text(), answer.key_id(), answer.attempts());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    pool: KeyPool,
    stack: KeyPoolService<Timeout<Transport>>,
    rule: Retry,
    model: Arc<str>,
    models: Models,
    wait: Option<Duration>,
    holdings: Holdings,
}

impl Client {
    /// A client over this pool, with connections to its provider.
    pub fn new(pool: impl Borrow<KeyPool>) -> Self {
        Self::builder(pool).build()
    }

    /// One with other settings.
    pub fn builder(pool: impl Borrow<KeyPool>) -> ClientBuilder {
        ClientBuilder {
            pool: pool.borrow().clone(),
            transport: None,
            roots: None,
            model: DEFAULT_MODEL.into(),
            timeout: TIMEOUT,
            wait: None,
            retry: None,
            models: Models::new(),
        }
    }

    /// Asks for an answer to a prompt: await it, or say more first.
    ///
    /// ```no_run
    /// # async fn run(client: keypool_client::Client) -> Result<(), keypool_client::Error> {
    /// let answer = client.generate("Three colours, as a JSON list").json_mode().temperature(0.2).request_id("req_1").await?;
    /// let colours: Vec<String> = answer.json()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn generate(&self, prompt: impl Into<crate::api::Part>) -> Generate {
        Generate::new(self.clone(), crate::api::GenerateContentRequest::prompt(prompt))
    }

    /// Asks for an answer to a whole conversation.
    pub fn generate_content(&self, request: crate::api::GenerateContentRequest) -> Generate {
        Generate::new(self.clone(), request)
    }

    /// The pool.
    pub fn pool(&self) -> &KeyPool {
        &self.0.pool
    }

    /// The model of requests that name none.
    pub fn model(&self) -> &Arc<str> {
        &self.0.model
    }

    /// Which model takes another's place.
    pub fn models_in_place(&self) -> &Models {
        &self.0.models
    }

    /// Sends any request to the provider, over the layers: `path` begins with `/`, the key is put in. What comes back is
    /// the provider's answer, whatever its status. What it calls by a name (a file, a cached beginning) is remembered for as
    /// long as the client or a clone of it lives: requests that name it go to the owner whose keys see it.
    ///
    /// # Errors
    /// When no key may carry it or no answer came.
    pub async fn raw(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Result<RawAnswer, Error> {
        self.send(method, path, body.into(), None).await
    }

    /// The same connections over another pool of the same provider, going by a rule of its own when a request is sent
    /// again.
    #[must_use]
    pub fn over(&self, pool: impl Borrow<KeyPool>, rule: Retry) -> Self {
        let pool = pool.borrow();
        self.with(pool, rule, &self.0.models, Holdings::new(pool))
    }

    /// The same, going by another rule when a request is sent again.
    pub(crate) fn going_by(&self, rule: Retry) -> Self {
        self.with(&self.0.pool, rule, &self.0.models, self.0.holdings.clone())
    }

    /// The same, where every request keeps its model.
    pub(crate) fn keeping_models(&self) -> Self {
        self.with(&self.0.pool, self.0.rule.clone(), &Models::new(), self.0.holdings.clone())
    }

    fn with(&self, pool: &KeyPool, rule: Retry, models: &Models, holdings: Holdings) -> Self {
        let Shared { stack: own, model, wait, .. } = &*self.0;
        let stack = stack(pool, own.get_ref().clone(), rule.clone(), models, *wait);
        let (pool, model, models) = (pool.clone(), Arc::clone(model), models.clone());
        Self(Arc::new(Shared { pool, stack, rule, model, models, wait: *wait, holdings }))
    }

    /// Which owner has what, as far as it is known here.
    pub(crate) fn holdings(&self) -> &Holdings {
        &self.0.holdings
    }

    /// Boxed, so that who awaits it need not prove what the layers ask of errors.
    pub(crate) fn call(&self, request: Request<Full<Bytes>>) -> Calling {
        Box::pin(self.0.stack.clone().oneshot(request))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("pool", &self.0.pool).field("model", &self.0.model).finish_non_exhaustive()
    }
}

/// Makes a [`Client`].
#[must_use = "a builder does nothing until `build`"]
pub struct ClientBuilder {
    pool: KeyPool,
    transport: Option<Transport>,
    roots: Option<Arc<RootCertStore>>,
    model: Arc<str>,
    timeout: Duration,
    wait: Option<Duration>,
    retry: Option<Retry>,
    models: Models,
}

impl ClientBuilder {
    /// The model of requests that name none; [`DEFAULT_MODEL`] unless set.
    pub fn model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.model = model.into();
        self
    }

    /// How long an attempt may take until its answer begins; 10 minutes unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a request waits for a key; as long as the pool says, unless set.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// When a request is sent again; as the pool says, unless set.
    pub fn retry(mut self, rule: Retry) -> Self {
        self.retry = Some(rule);
        self
    }

    /// Which model takes another's place when that is out.
    pub fn fallback(mut self, models: Models) -> Self {
        self.models = models;
        self
    }

    /// Whom the provider must be certified by, in the place of Mozilla's.
    pub fn roots(mut self, roots: Arc<RootCertStore>) -> Self {
        self.roots = Some(roots);
        self
    }

    /// Sends by another client, such as a simulator in process.
    pub fn transport<S, R>(mut self, service: S) -> Self
    where
        S: Service<Request<ReplayBody<Full<Bytes>>>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.transport = Some(transport::over(service));
        self
    }

    /// Makes it.
    pub fn build(self) -> Client {
        let transport = self.transport.unwrap_or_else(|| transport::network(self.roots));
        let bottom = Timeout::new(transport, self.timeout);
        let rule = self.retry.unwrap_or_else(|| self.pool.default_retry());
        let stack = stack(&self.pool, bottom, rule.clone(), &self.models, self.wait);
        let Self { pool, model, models, wait, .. } = self;
        let holdings = Holdings::new(&pool);
        Client(Arc::new(Shared { pool, stack, rule, model, models, wait, holdings }))
    }
}

/// The layers over what is below them.
fn stack(
    pool: &KeyPool,
    bottom: Timeout<Transport>,
    rule: Retry,
    models: &Models,
    wait: Option<Duration>,
) -> KeyPoolService<Timeout<Transport>> {
    let layer = KeyPoolLayer::new(pool).retry(rule).fallback(models.clone());
    wait.into_iter().fold(layer, KeyPoolLayer::wait).layer(bottom)
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("pool", &self.pool).field("model", &self.model).finish_non_exhaustive()
    }
}
