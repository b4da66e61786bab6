//! A client that sends one prompt and returns one answer, with many keys.

mod answer;
mod body;
mod error;
mod request;
mod stream;
mod transport;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use tower::{Layer, Service, ServiceExt, service_fn, timeout::TimeoutLayer, util::BoxCloneSyncService};
use tower_keypool::{
    Affinity, Attempts, BoxError, KeyId, KeyPool, KeyPoolLayer, KeyRequest, ModelFallbackLayer, RetryPolicy,
};

use self::{answer::Reader, body::Wire, error::wrong_address, transport::Transport};
pub use self::{
    answer::{Answer, Finish, Usage},
    error::{Error, ErrorKind, UnavailableCause},
    request::{Prompt, PromptOptions},
    stream::AnswerStream,
    transport::TransportRequest,
};
pub(crate) use self::{
    error::{cooling, cooling_classes, failure_text, with_classes},
    request::Content,
};

/// Default timeout of an answer.
const TIMEOUT: Duration = Duration::from_secs(600);
/// Maximum size of an answer. Images in 4K have about 20 MiB each.
const MAX_RESPONSE: usize = 128 << 20;

/// A client for the pool's provider. It sends prompts to Gemini's `generateContent`, to Anthropic's `messages`, and to
/// `chat/completions` of all other providers.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use gemini_sim::GeminiSim;
/// use keypool_batch::{Client, Finish, Prompt};
/// use tower_keypool::{Gemini, Key, KeyPool};
///
/// // In place of the network, a simulator.
/// let sim = GeminiSim::builder().key("AIza-not-a-real-key-001").build();
/// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001")).build()?;
/// let client = Client::builder(&pool).service(sim.service());
///
/// let answer = client.send(&Prompt::text("Name three rivers.").model("gemini-2.5-flash")).await?;
/// assert_eq!(answer.finish, Finish::Stop);
/// assert!(!answer.text.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Client {
    builder: ClientBuilder,
    transport: Transport,
    stack: Stack,
}

/// The layers above the HTTP client.
type Stack = BoxCloneSyncService<Request<Full<Bytes>>, Response<AnswerBody>, tower_keypool::Error>;
type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// A builder of a [`Client`].
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    pool: KeyPool,
    fallback: Option<ModelFallbackLayer>,
    timeout: Duration,
    wait: Option<Duration>,
    max_provider_faults: Option<usize>,
}

/// Options of the batch engine for one prompt.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    /// The key that must be used. The request does not wait for it.
    pub(crate) key: Option<KeyId>,
    /// Set when the request is sent, and cleared after an error response. The engine clears it after the rest.
    pub(crate) in_flight: InFlight,
}

/// A flag that is set while a request is at the provider.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<AtomicBool>);

impl InFlight {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, value: bool) {
        self.0.store(value, Ordering::Release);
    }
}

impl Client {
    /// Creates a client that uses the network, with the defaults of [`ClientBuilder`].
    pub fn new(pool: &KeyPool) -> Self {
        Self::builder(pool).build()
    }

    /// Returns a builder of a client.
    pub fn builder(pool: &KeyPool) -> ClientBuilder {
        ClientBuilder { pool: pool.clone(), fallback: None, timeout: TIMEOUT, wait: None, max_provider_faults: None }
    }

    /// Returns the pool.
    pub fn pool(&self) -> &KeyPool {
        &self.builder.pool
    }

    /// Returns the same client with another wait and another maximum number of provider faults.
    pub(crate) fn with(&self, wait: Duration, faults: usize) -> Self {
        let builder = ClientBuilder { wait: Some(wait), max_provider_faults: Some(faults), ..self.builder.clone() };
        builder.over(self.transport.clone())
    }

    /// Sends a prompt. A cut, blocked or empty answer is not an error: see [`Answer::finish`].
    ///
    /// # Errors
    /// If no key could serve the prompt, no response arrived, or the provider refused the prompt.
    pub async fn send(&self, prompt: &Prompt) -> Result<Answer, Error> {
        self.dispatch(prompt, None).await
    }

    pub(crate) async fn dispatch(&self, prompt: &Prompt, dispatch: Option<&Dispatch>) -> Result<Answer, Error> {
        let wire = Wire::new(self.pool().provider(), prompt, false)?;
        let mut reader = Reader::new(wire.api);
        let answer = self.call(wire, dispatch).await?;
        let (head, body) = answer.into_parts();
        let attempts = head.extensions.get::<Attempts>().cloned().unwrap_or_default();
        let read = tokio::time::timeout(self.builder.timeout, Limited::new(body, MAX_RESPONSE).collect()).await;
        let base = self.pool().provider().base();
        let broken = |error: BoxError| Error::from_transport(&*error, base).with_attempts(attempts.clone());
        let bytes = read.map_err(|elapsed| broken(elapsed.into()))?.map_err(broken)?.to_bytes();
        let unreadable = |why: String| Error::new(ErrorKind::Unreadable, why).with_attempts(attempts.clone());
        let value: serde_json::Value = serde_json::from_slice(&bytes)
            .map_err(|error| unreadable(wrong_address(&format!("no JSON ({error})"), base)))?;
        if !value.is_object() {
            return Err(unreadable("the provider's response is not a JSON object".to_owned()));
        }
        reader.read(&value);
        Ok(reader.into_answer(attempts))
    }

    /// Sends a prompt, and returns its answer as a stream.
    ///
    /// # Errors
    /// The errors of [`send`](Self::send).
    pub async fn stream(&self, prompt: &Prompt) -> Result<AnswerStream, Error> {
        let wire = Wire::new(self.pool().provider(), prompt, true)?;
        let reader = Reader::new(wire.api);
        let answer = self.call(wire, None).await?;
        Ok(AnswerStream::new(answer, reader, self.pool().provider().base().clone(), self.builder.timeout))
    }

    /// Sends a request and returns its successful response.
    async fn call(&self, wire: Wire, dispatch: Option<&Dispatch>) -> Result<Response<AnswerBody>, Error> {
        let provider = self.pool().provider();
        let mut head = Request::post(&wire.path).header(header::CONTENT_TYPE, "application/json");
        if let Some(dispatch) = dispatch {
            head = head.extension(dispatch.in_flight.clone());
            if let Some(key) = &dispatch.key {
                let needs = KeyRequest::default().affinity(Affinity::RequireKey(key.clone()));
                head = head.extension(needs.wait(Duration::ZERO));
            }
        }
        let request = head.body(Full::from(wire.body)).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("the request for this model is invalid: {error}"))
        })?;
        let sent = self.stack.clone().oneshot(request).await;
        let answer = sent.map_err(|error| Error::of_library(error, self.pool()))?;
        let attempts = answer.extensions().get::<Attempts>().cloned().unwrap_or_default();
        if let Some(failure) = attempts.last().and_then(|attempt| attempt.outcome().failure()) {
            return Err(Error::of_failure(failure, &answer, attempts.clone(), provider.base()));
        }
        if !answer.status().is_success() {
            let message = wrong_address(&answer.status().to_string(), provider.base());
            return Err(Error::new(ErrorKind::Unreadable, message).with_attempts(attempts));
        }
        let coding = answer.headers().get(header::CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
        if let Some(coding @ ("gzip" | "deflate" | "br" | "zstd")) = coding {
            let message =
                format!("the response from {} is compressed ({coding}) without being requested", provider.base());
            return Err(Error::new(ErrorKind::Unreadable, message).with_attempts(attempts));
        }
        Ok(answer)
    }
}

impl ClientBuilder {
    /// Sets the fallback models for a model that cannot serve; default: none.
    pub fn fallback(mut self, fallback: ModelFallbackLayer) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Sets the timeout of one attempt until the response head, and again of the body; default: 10 minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a prompt waits for a key; default: the pool's wait. A [`Batch`](crate::Batch) has its own.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Sets the number of faults of the provider or of the network after which the last one is returned; default: 3. A
    /// [`Batch`](crate::Batch) has its own.
    pub fn max_provider_faults(mut self, faults: usize) -> Self {
        self.max_provider_faults = Some(faults);
        self
    }

    /// Builds a client that uses the network: hyper with TLS, Mozilla's roots and HTTP/1.1. It does not use
    /// proxies or the keys' exits.
    pub fn build(self) -> Client {
        self.over(transport::network())
    }

    /// Builds a client that uses your own HTTP client, for example one with proxies and the keys' exits, or a
    /// simulator. The extensions of each request hold the `Arc<Lease>`.
    pub fn service<S, R>(self, service: S) -> Client
    where
        S: Service<TransportRequest, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.over(transport::over(service))
    }

    fn over(self, transport: Transport) -> Client {
        let mut retry = RetryPolicy::new(&self.pool);
        if let Some(faults) = self.max_provider_faults {
            retry = retry.max_provider_faults(faults);
        }
        let mut layer = KeyPoolLayer::new(&self.pool).retry(retry);
        if let Some(wait) = self.wait {
            layer = layer.wait(wait);
        }
        if let Some(fallback) = &self.fallback {
            layer = layer.fallback(fallback.clone());
        }
        let below = transport.clone();
        let marked = service_fn(move |request: TransportRequest| marked(below.clone(), request));
        let service = layer.layer(TimeoutLayer::new(self.timeout).layer(marked));
        let stack = BoxCloneSyncService::new(
            service.map_response(|answer| answer.map(|body| body.map_err(io::Error::other).boxed_unsync())),
        );
        Client { builder: self, transport, stack }
    }
}

/// Sends a request, and sets its `InFlight` flag while it is at the provider.
async fn marked(
    transport: Transport,
    request: TransportRequest,
) -> Result<Response<transport::TransportBody>, BoxError> {
    let Some(in_flight) = request.extensions().get::<InFlight>().cloned() else {
        return transport.oneshot(request).await;
    };
    in_flight.set(true);
    let answer = transport.oneshot(request).await;
    // The body of a successful response is still to be read.
    in_flight.set(answer.as_ref().is_ok_and(|answer| answer.status().is_success()));
    answer
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("pool", self.pool()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder").field("pool", &self.pool).finish_non_exhaustive()
    }
}
