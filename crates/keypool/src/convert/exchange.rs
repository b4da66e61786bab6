//! One request of a caller's as native requests: who sends it, over which key, and what came of it.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use keypool_dialect::{Error, ErrorKind, Frontend, NativeRequest};
use tower_keypool::{Attempts, KeyRequest, Lease, Usage, classify::UsageReader, provider::UsageFormat};

use crate::{
    app::AppState,
    error::{ApiError, Cause, Dialect},
    proxy::{
        body::{Collected, inflated},
        handler::{self, Incoming},
        headers,
        pools::{AnswerBody, ProviderPool},
        resources::{self, Asked},
        route::{Endpoint, PathTarget, Route},
        sessions::Session,
    },
    tenants::Tenant,
};

/// A whole answer that is larger is none: images in 4K have some 20 MiB each.
const LARGEST_ANSWER: usize = 256 << 20;
const LARGEST_ERROR: usize = 1 << 20;
/// So many of several native requests are sent at once.
const AT_ONCE: usize = 4;

/// Why there is no answer, in words that every dialect has.
#[derive(Debug)]
pub struct Failure {
    pub error: Error,
    retry_after: Option<HeaderValue>,
    attempts: Box<Attempts>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None, attempts: Box::default() }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let kind = match error.status {
            StatusCode::FORBIDDEN => ErrorKind::PermissionDenied,
            StatusCode::NOT_FOUND => ErrorKind::NotFound,
            StatusCode::CONFLICT => ErrorKind::Conflict,
            StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorKind::UnsupportedMedia,
            StatusCode::TOO_MANY_REQUESTS => ErrorKind::RateLimited,
            StatusCode::BAD_GATEWAY => ErrorKind::BadUpstream,
            StatusCode::SERVICE_UNAVAILABLE => ErrorKind::NoKeys,
            StatusCode::GATEWAY_TIMEOUT => ErrorKind::Timeout,
            status if status.is_client_error() => ErrorKind::InvalidRequest,
            _ => ErrorKind::Internal,
        };
        let retry_after = error.retry_after_seconds().map(HeaderValue::from);
        Self { error: Error::new(kind, error.message), retry_after, attempts: Box::default() }
    }
}

impl Failure {
    pub fn after(mut self, attempts: Attempts) -> Self {
        *self.attempts = attempts;
        self
    }

    pub fn into_response(self, app: &AppState, frontend: Frontend) -> Response {
        let mut response = Response::new(Body::from(self.error.body(frontend)));
        *response.status_mut() = self.error.status(frontend);
        let head = response.headers_mut();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            head.insert(header::RETRY_AFTER, after);
        }
        if app.settings.served_headers {
            headers::served(head, &self.attempts, None);
        }
        response.extensions_mut().insert(*self.attempts);
        response.extensions_mut().insert(Cause(self.error.message().to_owned()));
        response
    }
}

/// Who sent a request, as each of its native requests needs it.
pub struct Caller<'a> {
    app: &'a AppState,
    provider: &'a Arc<ProviderPool>,
    incoming: &'a Incoming,
    session: Option<Session>,
}

impl<'a> Caller<'a> {
    pub fn new(app: &'a AppState, provider: &'a Arc<ProviderPool>, incoming: &'a Incoming) -> Self {
        let by_header = app.sessions.session(provider, &incoming.head.headers);
        let session = by_header.or_else(|| app.sessions.named(provider, &cache_key(incoming)?));
        Self { app, provider, incoming, session }
    }

    pub fn dialect(&self) -> Dialect {
        self.incoming.route.dialect
    }

    pub fn tenant(&self) -> &Tenant {
        &self.incoming.tenant
    }

    /// Counts the request among its tenant's.
    pub async fn admit(&self, tokens: u64) -> Result<Quota, ApiError> {
        Ok(Quota(self.app.tenants.admit(&self.incoming.tenant, tokens).await?))
    }

    /// What is needed to send a native request.
    pub async fn exchange(&self, native: NativeRequest) -> Result<Exchange, ApiError> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = native.path.parse().map_err(|_| ApiError::bad_request("the model's name is not valid"))?;
        let head = request.headers_mut();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for name in [HeaderName::from_static("x-keypool-wait"), header::USER_AGENT] {
            if let Some(value) = self.incoming.head.headers.get(&name) {
                head.insert(name, value.clone());
            }
        }
        let (head, ()) = request.into_parts();
        let route = Route {
            dialect: Dialect::Gemini,
            endpoint: Endpoint::Other,
            target: PathTarget::ByModel,
            path: head.uri.path().to_owned(),
        };
        let (tenant, model) = (Arc::clone(&self.incoming.tenant), self.incoming.model.clone());
        let bytes = native.body.clone();
        let mut native = Incoming { route, tenant, head, body: Collected::whole(native.body), model };
        let pinned = resources::pinned(self.app, self.provider, &native, &Asked::of(&native)).await?;
        let (provider, session) = (Arc::clone(self.provider), self.session.clone());
        let Incoming { head, body, .. } = &mut native;
        let needs = handler::key_request(self.app, &provider, head, body, pinned, session.as_ref())?;
        headers::for_upstream(&mut head.headers);
        Ok(Exchange { app: Arc::clone(self.app), provider, head: native.head, body: bytes, needs, session })
    }

    /// The whole answers to native requests, in their order.
    pub async fn all(&self, requests: Vec<NativeRequest>) -> Result<Answers, Failure> {
        let tokens = requests.iter().map(|native| native.estimated_tokens).sum();
        let quota = self.admit(tokens).await?;
        let sent = futures_util::stream::iter(requests).map(|native| async {
            let exchange = self.exchange(native).await?;
            let (body, attempts) = exchange.send(None).await?;
            let body = whole(body).await.map_err(|failure| failure.after(attempts.clone()))?;
            Ok::<_, Failure>((exchange.served(attempts), body))
        });
        let answers: Vec<(Head, Bytes)> = sent.buffered(AT_ONCE).try_collect().await?;
        quota.used(answers.iter().filter_map(|(_, body)| usage(body)).fold(Usage::new(0, 0), |sum, more| {
            Usage::new(sum.input_tokens + more.input_tokens, sum.output_tokens + more.output_tokens)
        }));
        let (mut heads, bodies): (Vec<Head>, Vec<Bytes>) = answers.into_iter().unzip();
        let head = heads.pop().ok_or_else(|| Error::new(ErrorKind::Internal, "nothing was sent"))?;
        Ok(Answers { head, bodies })
    }
}

/// OpenAI's name for requests that begin alike.
fn cache_key(incoming: &Incoming) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        prompt_cache_key: Option<String>,
    }
    const FIELD: &[u8] = b"\"prompt_cache_key\"";
    let data = incoming.body.data().filter(|_| incoming.route.dialect == Dialect::OpenAi)?;
    memchr::memmem::find(data, FIELD)?;
    serde_json::from_slice::<Named>(data).ok()?.prompt_cache_key.filter(|key| !key.is_empty())
}

/// The whole answers to several native requests.
pub struct Answers {
    /// Of the last of them.
    pub head: Head,
    pub bodies: Vec<Bytes>,
}

/// A native request that can be sent more than once.
pub struct Exchange {
    app: AppState,
    provider: Arc<ProviderPool>,
    head: Parts,
    body: Bytes,
    needs: KeyRequest,
    session: Option<Session>,
}

/// A good answer, and the attempts that led to it.
pub type Sent = Result<(AnswerBody, Attempts), Failure>;

impl Exchange {
    /// Sends it; once more after these attempts, of which the last was good: with another key where there is one.
    pub fn send(&self, before: Option<&Attempts>) -> BoxFuture<'static, Sent> {
        let (mut head, body) = (self.head.clone(), self.body.clone());
        let mut needs = self.needs.clone();
        if let Some(before) = before {
            let last = before.last().filter(|_| self.provider.pool.stats().keys > 1);
            needs = needs.exclude(last.map(|attempt| attempt.key().clone()));
            head.extensions.insert(before.clone());
        }
        head.extensions.insert(needs);
        let provider = Arc::clone(&self.provider);
        Box::pin(async move {
            let answer = provider.send(Request::from_parts(head, Body::from(body))).await.map_err(|error| {
                let (error, attempts) = handler::failure(&error);
                Failure::from(error).after(attempts)
            })?;
            let (head, body) = answer.into_parts();
            let attempts = head.extensions.get::<Attempts>().cloned().unwrap_or_default();
            if head.status.is_success() {
                return Ok((body, attempts));
            }
            if let Some(error) = handler::redirect_error(&Method::POST, head.status, &head.headers) {
                return Err(Failure::from(error).after(attempts));
            }
            let said = Limited::new(body, LARGEST_ERROR).collect().await.map(http_body_util::Collected::to_bytes);
            let said = said.unwrap_or_default();
            let is_event = headers::is_event_stream(&head.headers);
            let error = Error::from_gemini(head.status, if is_event { first_data(&said) } else { &said });
            let retry_after = head.headers.get(header::RETRY_AFTER).cloned();
            Err(Failure { error, retry_after, attempts: Box::new(attempts) })
        })
    }

    /// These attempts led to an answer.
    pub fn served(&self, attempts: Attempts) -> Head {
        if let (Some(session), Some(last)) = (&self.session, attempts.last()) {
            self.app.sessions.served(session.clone(), last.project());
        }
        Head(attempts)
    }
}

/// The data of the first event: an error that came as one is answered with a status, and its body as it came.
fn first_data(events: &[u8]) -> &[u8] {
    events.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data:")).unwrap_or(events)
}

/// All of a body.
pub async fn whole(body: AnswerBody) -> Result<Bytes, Failure> {
    match Limited::new(body, LARGEST_ANSWER).collect().await {
        Ok(body) => Ok(unpacked(body.to_bytes())),
        Err(error) => {
            let why = format!("the provider's answer broke off: {error}");
            Err(Error::new(ErrorKind::BadUpstream, why).into())
        }
    }
}

/// What data in gzip begins with, and JSON and events never do: some relays compress what nobody asked them to.
pub const GZIP: &[u8] = b"\x1f\x8b";

/// A whole answer without its compression. One that cannot be unpacked is not to be read either.
fn unpacked(body: Bytes) -> Bytes {
    if !body.starts_with(GZIP) {
        return body;
    }
    inflated(MultiGzDecoder::new(&body[..]), LARGEST_ANSWER).unwrap_or(body)
}

fn usage(body: &Bytes) -> Option<Usage> {
    let mut reader = UsageReader::new(UsageFormat::Gemini);
    reader.push(body);
    reader.finish()
}

/// The reservation of a tenant, if it has limits. It ends when this is dropped.
pub struct Quota(Option<Lease>);

impl Quota {
    pub fn used(&self, usage: Usage) {
        if let Some(lease) = &self.0
            && usage.input_tokens + usage.output_tokens > 0
        {
            lease.used(usage);
        }
    }
}

/// What the head of an answer tells.
pub struct Head(Attempts);

impl Head {
    /// The answer, with the fields of the request that changed nothing.
    pub fn respond(self, app: &AppState, media_type: &'static str, ignored: &[String], body: Body) -> Response {
        let mut response = Response::new(body);
        let head = response.headers_mut();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if headers::is_event_stream(head) {
            headers::stream(head);
        }
        insert_ignored(head, ignored);
        if app.settings.served_headers {
            headers::served(head, &self.0, None);
        }
        response.extensions_mut().insert(self.0);
        response
    }
}

fn insert_ignored(head: &mut HeaderMap, ignored: &[String]) {
    // Names of fields are the caller's own, of any length and letters.
    let names: String = ignored.join(", ").chars().filter(|letter| matches!(letter, ' '..='~')).take(4_096).collect();
    if let Ok(names) = HeaderValue::try_from(names)
        && !ignored.is_empty()
    {
        head.insert(HeaderName::from_static("x-keypool-ignored"), names);
    }
}
