//! Sends the native requests of one translated request to the provider.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use keypool_dialect::{Error, ErrorKind, Frontend, NativeRequest};
use tower_keypool::{Attempts, KeyRequest, Usage, classify::UsageReader, fallback::BodyForModel};

use crate::{
    app::AppState,
    dialect::Dialect,
    error::{ApiError, Cause},
    middleware::access_log::Progress,
    proxy::{
        affinity::SessionId,
        body::Collected,
        handler::{self, Incoming},
        headers,
        pools::ProviderPool,
        resources::{self, ResourceAccess},
        route::{Endpoint, PathTarget, Route},
    },
    request_result::RequestResult,
    tenants::Quota,
};

/// Maximum size of a response that is read as a whole. Images in 4K have about 20 MiB each.
const MAX_RESPONSE: usize = 256 << 20;
/// Maximum size of an error response.
const MAX_ERROR: usize = 1 << 20;
/// Maximum number of concurrent native requests of one request.
const AT_ONCE: usize = 4;

/// An error that can be expressed in every dialect, with its retry delay and attempts.
#[derive(Debug)]
pub struct ConvertError {
    pub error: Error,
    retry_after: Option<HeaderValue>,
    attempts: Box<Attempts>,
}

impl From<Error> for ConvertError {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None, attempts: Box::default() }
    }
}

impl From<ApiError> for ConvertError {
    fn from(error: ApiError) -> Self {
        let kind = ErrorKind::of_status(error.status.as_u16().into());
        let retry_after = error.retry_after_seconds().map(HeaderValue::from);
        Self { error: Error::new(kind, error.message), retry_after, attempts: Box::default() }
    }
}

impl ConvertError {
    pub fn after(mut self, attempts: Attempts) -> Self {
        *self.attempts = attempts;
        self
    }

    pub fn result(&self) -> RequestResult {
        RequestResult::of(self.error.status(Frontend::Chat), &self.attempts)
    }

    pub fn into_response(self, app: &AppState, frontend: Frontend) -> Response {
        let mut response = Response::new(Body::from(self.error.body(frontend)));
        *response.status_mut() = self.error.status(frontend);
        let head = response.headers_mut();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after {
            head.insert(header::RETRY_AFTER, after);
        }
        if app.settings().served_headers {
            headers::served(head, &self.attempts, None);
        }
        response.extensions_mut().insert(*self.attempts);
        response.extensions_mut().insert(Cause(self.error.message().to_owned()));
        response
    }
}

/// The context of a caller's request, which its native requests share.
pub struct Caller<'a> {
    pub incoming: &'a Incoming,
    session: Option<SessionId>,
}

impl<'a> Caller<'a> {
    pub fn new(incoming: &'a Incoming) -> Self {
        let Incoming { app, provider, head, .. } = incoming;
        let by_header = app.sessions.session(provider, &head.headers);
        let session = by_header.or_else(|| app.sessions.named(provider, &cache_key(incoming)?));
        Self { incoming, session }
    }

    /// Counts the request, which needs these native requests, against its tenant's limits.
    pub async fn admit(&self, exchanges: &[Exchange]) -> Result<Quota, ApiError> {
        let tokens = exchanges.iter().map(|exchange| exchange.needs.prompt_tokens()).sum();
        let Incoming { app, tenant, head, .. } = self.incoming;
        app.tenants.admit(tenant, tokens, &head.extensions).await
    }

    /// Prepares a native request for sending.
    pub async fn exchange(&self, native: NativeRequest) -> Result<Exchange, ApiError> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = native.path.parse().map_err(|_| ApiError::bad_request("the model's name is not valid"))?;
        let head = request.headers_mut();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for name in [headers::KEYPOOL_WAIT, header::USER_AGENT] {
            if let Some(value) = self.incoming.head.headers.get(&name) {
                head.insert(name, value.clone());
            }
        }
        if let Some(progress) = self.incoming.head.extensions.get::<Progress>() {
            request.extensions_mut().insert(progress.clone());
        }
        let (head, ()) = request.into_parts();
        let route = Route {
            dialect: Dialect::Gemini,
            endpoint: Endpoint::Other,
            target: PathTarget::ByModel,
            path: head.uri.path().to_owned(),
        };
        let Incoming { app, tenant, provider, .. } = self.incoming;
        let bytes = native.body.clone();
        let mut native = Incoming {
            app: Arc::clone(app),
            route,
            tenant: Arc::clone(tenant),
            provider: Arc::clone(provider),
            head,
            body: Collected::whole(native.body),
            model: None,
        };
        let pinned = resources::pinned(&native, &ResourceAccess::of(&native)).await?;
        let needs = native.key_request(pinned, self.session.as_ref())?;
        let Incoming { app, provider, mut head, .. } = native;
        headers::for_upstream(&mut head.headers);
        Ok(Exchange { app, provider, head, body: bytes, needs, session: self.session.clone() })
    }

    /// Sends native requests and returns their whole responses in the same order.
    pub async fn all(&self, requests: Vec<NativeRequest>) -> Result<Answers, ConvertError> {
        let is_one = requests.len() == 1;
        let mut exchanges = Vec::with_capacity(requests.len());
        for native in requests {
            exchanges.push(self.exchange(native).await?);
        }
        let mut quota = self.admit(&exchanges).await?;
        let sent = futures_util::stream::iter(exchanges).map(|exchange| async move {
            let (body, attempts) = exchange.send(None).await?;
            let body = whole(body).await.map_err(|failure| failure.after(attempts.clone()))?;
            Ok::<_, ConvertError>((exchange.served(attempts), body))
        });
        let answers: Result<Vec<(Head, Bytes)>, ConvertError> = sent.buffered(AT_ONCE).try_collect().await;
        // Others of several requests may have been served.
        let answers = answers.inspect_err(|failure| {
            if is_one {
                quota.end_unserved(failure.result());
            }
        })?;
        quota.report_usage(answers.iter().filter_map(|(_, body)| usage(body)).fold(Usage::new(0, 0), |sum, more| {
            Usage::new(sum.input_tokens + more.input_tokens, sum.output_tokens + more.output_tokens)
        }));
        let (mut heads, bodies): (Vec<Head>, Vec<Bytes>) = answers.into_iter().unzip();
        let head = heads.pop().ok_or_else(|| Error::new(ErrorKind::Internal, "nothing was sent"))?;
        Ok(Answers { head, bodies })
    }
}

/// Returns OpenAI's `prompt_cache_key`, which names requests with the same prefix.
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

/// The whole responses to several native requests.
pub struct Answers {
    /// The head of the last response.
    pub head: Head,
    pub bodies: Vec<Bytes>,
}

/// A native request that can be sent more than once.
pub struct Exchange {
    pub app: AppState,
    provider: Arc<ProviderPool>,
    head: Parts,
    body: Bytes,
    needs: KeyRequest,
    session: Option<SessionId>,
}

/// The body of a successful response, and the attempts that led to it.
pub type Sent = Result<(Body, Attempts), ConvertError>;

impl Exchange {
    /// Encodes the request again for each fallback model, because models accept different settings and signatures.
    pub fn encoded_for_each_model(mut self, request: &Arc<keypool_dialect::Request>) -> Self {
        if self.provider.has_fallback {
            let request = Arc::clone(request);
            self.head.extensions.insert(BodyForModel::new(move |model| {
                let mut request = (*request).clone();
                model.clone_into(&mut request.conversation.model);
                Some(request.encode().ok()?.body)
            }));
        }
        self
    }

    /// Sends the request. After the successful attempts `before` it is sent once more, with another key if there is
    /// one.
    pub fn send(&self, before: Option<&Attempts>) -> BoxFuture<'static, Sent> {
        let (mut head, body) = (self.head.clone(), self.body.clone());
        let mut needs = self.needs.clone();
        if let Some(before) = before {
            let last = before.last().filter(|_| self.provider.pool.stats().keys > 1);
            needs = needs.exclude(last.map(|attempt| attempt.key().clone()));
            head.extensions.insert(before.clone());
        }
        head.extensions.insert(needs);
        let progress = head.extensions.get::<Progress>().cloned();
        let provider = Arc::clone(&self.provider);
        Box::pin(async move {
            let sent = provider.send_to_read(Request::from_parts(head, Body::from(body))).await;
            let (received, attempts) = handler::received(&Method::POST, progress, sent);
            let (head, body) =
                received.map_err(|error| ConvertError::from(error).after(attempts.clone()))?.into_parts();
            if head.status.is_success() {
                return match handler::unreadable_error(&head) {
                    Some(error) => Err(ConvertError::from(error).after(attempts)),
                    None => Ok((body, attempts)),
                };
            }
            let text = Limited::new(body, MAX_ERROR).collect().await.map(http_body_util::Collected::to_bytes);
            let text = text.unwrap_or_default();
            let is_event = headers::is_event_stream(&head.headers);
            let error = Error::from_gemini(head.status, if is_event { first_data(&text) } else { &text });
            let retry_after = head.headers.get(header::RETRY_AFTER).cloned();
            Err(ConvertError { error, retry_after, attempts: Box::new(attempts) })
        })
    }

    /// Returns the response head for these attempts, and records the project that served the session.
    pub fn served(&self, attempts: Attempts) -> Head {
        if let (Some(session), Some(last)) = (&self.session, attempts.last()) {
            self.app.sessions.served(session.clone(), last.project());
        }
        Head(attempts)
    }
}

/// Returns the data of the first event. The pool turns an error event into a response with an error status, but keeps
/// its body.
fn first_data(events: &[u8]) -> &[u8] {
    events.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data:")).unwrap_or(events)
}

/// Collects a body.
///
/// # Errors
/// If the body breaks off, or is longer than 256 MiB.
pub async fn whole(body: Body) -> Result<Bytes, ConvertError> {
    match Limited::new(body, MAX_RESPONSE).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => {
            let why = format!("the provider's response broke off: {error}");
            Err(Error::new(ErrorKind::BadUpstream, why).into())
        }
    }
}

fn usage(body: &Bytes) -> Option<Usage> {
    let mut reader = UsageReader::new();
    reader.push(body);
    reader.finish()
}

/// The attempts behind a response, which its head reports.
pub struct Head(Attempts);

impl Head {
    /// Creates the response. A header names the ignored fields of the request.
    pub fn respond(self, app: &AppState, media_type: &'static str, ignored: &[String], body: Body) -> Response {
        let mut response = Response::new(body);
        let head = response.headers_mut();
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if headers::is_event_stream(head) {
            headers::stream(head);
        }
        insert_ignored(head, ignored);
        if app.settings().served_headers {
            headers::served(head, &self.0, None);
        }
        response.extensions_mut().insert(self.0);
        response
    }
}

fn insert_ignored(head: &mut HeaderMap, ignored: &[String]) {
    // The caller chooses the names of fields: they can have any length and any characters.
    let names: String = ignored.join(", ").chars().filter(|letter| matches!(letter, ' '..='~')).take(4_096).collect();
    if let Ok(names) = HeaderValue::try_from(names)
        && !ignored.is_empty()
    {
        head.insert(HeaderName::from_static("x-keypool-ignored"), names);
    }
}
