//! The path of one request, in the order of its steps.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header, request::Parts, uri::PathAndQuery};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_keypool::{
    Affinity, Attempts, BoxError, Error, KeyRequest, KeyRotationLayer, Provider as _, cooldown, provider::ModelIn,
};

use super::{
    address::Address,
    affinity::SessionId,
    body::{self, Collected},
    headers, model_access, models,
    pools::ProviderPool,
    resources,
    route::{Endpoint, Route},
    uploads, websocket,
};
use crate::{
    app::{AppState, Next},
    config::HumanDuration,
    convert,
    dialect::Dialect,
    error::ApiError,
    middleware::{
        access_log::{Progress, is_own_page},
        auth,
    },
    request_result::RequestResult,
    tenants::Tenant,
};

/// A routed and authenticated request with its body, and the provider that was chosen for it.
pub struct Incoming {
    pub app: AppState,
    pub route: Route,
    pub tenant: Arc<Tenant>,
    pub provider: Arc<ProviderPool>,
    pub head: Parts,
    pub body: Collected,
    /// The model that the request names, as the caller wrote it, but without `models/` if it is in the path.
    pub model: Option<String>,
}

/// Authenticates and handles a request to an API. The gateway's own pages have other credentials, or none.
pub async fn proxy(app: AppState, request: Request, next: impl Next) -> Result<Response, Infallible> {
    if is_own_page(request.uri().path()) {
        return next.oneshot(request).await;
    }
    let (mut head, body) = request.into_parts();
    let (route, tenant) = match auth::authenticate(&app, &mut head).await {
        Ok(authenticated) => authenticated,
        Err((dialect, error)) => return Ok(error.in_dialect(dialect)),
    };
    let dialect = route.dialect;
    let response = if route.endpoint == Endpoint::Live {
        websocket::serve(&app, &route, &tenant, head)
    } else if head.headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        // Clients that support both fall back to plain requests after this status only.
        let message = "only the Live API (/ws/…) uses WebSockets here: send plain HTTP requests";
        Err(ApiError::new(StatusCode::UPGRADE_REQUIRED, message))
    } else {
        // Boxed to keep the futures of the layers small.
        Box::pin(serve(&app, route, tenant, head, body)).await
    };
    Ok(response.unwrap_or_else(|error| error.in_dialect(dialect)))
}

async fn serve(
    app: &AppState,
    route: Route,
    tenant: Arc<Tenant>,
    mut head: Parts,
    body: Body,
) -> Result<Response, ApiError> {
    if matches!(head.method, Method::OPTIONS | Method::TRACE | Method::CONNECT) {
        let message = format!("the method {} is not supported", head.method);
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    // Only these responses may contain the provider's address.
    let may_name_provider = route.endpoint == Endpoint::Upload
        || matches!(head.method, Method::GET | Method::HEAD)
        || route.path.contains("/batches");
    let address = if may_name_provider { Address::of(app, &route, &head) } else { None };
    // `address` is read from the client's URL; from here on the request has the provider's path.
    set_path(&mut head, &route.path)?;
    let body = if uploads::is_part(&route, &head) {
        body::uncollected(body, app.settings().body_timeout.0)
    } else {
        let limit = app.settings().replay_limit();
        let body = body::collect(body, limit, app.settings().body_timeout.0).await?;
        body::decompress_request(&mut head.headers, body, limit)?
    };
    let model = named_model(app, &route, &head, &body);
    if model.is_none() && route.endpoint != Endpoint::Upload {
        body.check_one_model(&head)?;
    }
    let provider = Arc::clone(app.pools.choose(&route.target, route.dialect, model.as_deref())?);
    let incoming = Incoming { app: Arc::clone(app), route, tenant, provider, head, body, model };
    if let Endpoint::Models(one) = &incoming.route.endpoint
        && !models::is_of_one(&incoming)
    {
        return models::answer(&incoming, one.as_deref()).await;
    }
    model_access::check(&incoming)?;
    if incoming.provider.dialect == incoming.route.dialect {
        forward(incoming, address).await
    } else {
        // Boxed to keep the future of forwarded requests small.
        Box::pin(convert::serve(incoming)).await
    }
}

/// Sends a request to a provider of its own dialect and returns the response; neither is translated.
async fn forward(mut incoming: Incoming, address: Option<Address>) -> Result<Response, ApiError> {
    let resource = resources::ResourceAccess::of(&incoming);
    if let Some(collection) = resource.list() {
        return resources::list(&incoming, collection, address.as_ref()).await;
    }
    let pinned = resources::pinned(&incoming, &resource).await?;
    if incoming.route.dialect != Dialect::Gemini {
        convert::without_gateway_parts(&incoming.route, &mut incoming.body);
    }
    let session = incoming.app.sessions.session(&incoming.provider, &incoming.head.headers);
    let key_request = incoming.key_request(pinned, session.as_ref())?;
    let Incoming { app, route, tenant, provider, mut head, body, model } = incoming;
    let mut quota = app.tenants.admit(&tenant, key_request.prompt_tokens(), &head.extensions).await?;
    headers::for_upstream(&mut head.headers);
    if resource.reads_response() || quota.is_counted() {
        // The response is searched for names or the used tokens, so it must not be compressed.
        head.headers.remove(header::ACCEPT_ENCODING);
    }
    head.extensions.insert(key_request);
    let (sent, attempts) = send(&provider, Request::from_parts(head, body.into_body())).await;
    let is_ours = sent.is_err();
    let mut response = sent.unwrap_or_else(|error| error.in_dialect(route.dialect));
    if !response.status().is_success() {
        quota.end_unserved(RequestResult::of(response.status(), &attempts));
    }
    headers::for_client(response.headers_mut());
    if app.settings().served_headers {
        headers::served(response.headers_mut(), &attempts, model.as_deref());
    }
    if is_ours {
        response.extensions_mut().insert(attempts);
        return Ok(response);
    }
    if let (Some(session), Some(last)) = (session, attempts.last()) {
        app.sessions.served(session, last.project());
    }
    let (mut head, body) = response.into_parts();
    if route.endpoint == Endpoint::Upload {
        uploads::rewrite_address(&app, &provider, address.as_ref(), &mut head, &tenant).await?;
    } else if let Some(address) = &address {
        address.replace_location(&provider, &mut head);
    }
    let body = if resource.changes_table() {
        Box::pin(resources::learn(&app, resource, &mut head, body, address)).await?
    } else {
        body
    };
    let events = headers::is_event_stream(&head.headers).then_some(route.dialect);
    let body = quota.metered(body, &tenant, events);
    Ok(Response::from_parts(head, body))
}

/// Sends a request with a key, and returns the response or an error of the gateway, with the attempts that were needed.
async fn send(provider: &ProviderPool, request: Request) -> (Result<Response, ApiError>, Attempts) {
    let (method, progress) = (request.method().clone(), request.extensions().get::<Progress>().cloned());
    received(&method, progress, provider.send(request).await)
}

/// Checks a response, and logs if its body breaks off. Returns the gateway's own error if the response cannot be passed
/// on, and the attempts that were needed.
pub fn received<B>(
    method: &Method,
    progress: Option<Progress>,
    sent: Result<Response<B>, Error>,
) -> (Result<Response, ApiError>, Attempts)
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (head, body) = match sent {
        Ok(response) => response.into_parts(),
        Err(error) => {
            let attempts = error.attempts().clone();
            let error = ApiError::from(&error);
            return (Err(error), attempts);
        }
    };
    let attempts = head.extensions.get::<Attempts>().cloned().unwrap_or_default();
    let is_error = !head.status.is_success() && head.status != StatusCode::NOT_MODIFIED;
    let unreadable = || unreadable_error(&head).filter(|_| is_error);
    if let Some(error) = redirect_error(method, head.status, &head.headers).or_else(unreadable) {
        return (Err(error), attempts);
    }
    let tried = attempts.clone();
    let body = body.map_err(move |error| {
        let error = error.into();
        if let Some(progress) = &progress {
            progress.broke_off(&tried, &*error);
        }
        error
    });
    (Ok(Response::from_parts(head, Body::new(body))), attempts)
}

impl Incoming {
    /// Returns the [`KeyRequest`] of a request, from its head, its body, its wait, its session and the project of the
    /// resource that it names. The body is put into the extensions of the head, where [`KeyRotationLayer::key_request`]
    /// reads the model and the cost. For a form, which it does not read, `self.model` is used.
    ///
    /// # Errors
    /// 400 if `x-keypool-wait` is invalid.
    pub fn key_request(
        &mut self,
        pinned: Option<Arc<str>>,
        session: Option<&SessionId>,
    ) -> Result<KeyRequest, ApiError> {
        if let Collected::Whole(body) = &self.body {
            self.head.extensions.insert(body.clone());
        }
        let api = self.provider.pool.provider();
        let mut request = KeyRotationLayer::key_request(api, &self.head);
        if let (None, Some(model), Some(tokens)) = (request.model_name(), &self.model, request.prompt_tokens()) {
            request = KeyRequest::model(api.quota_model(model)).input_tokens(tokens);
        }
        if let Some(wait) = requested_wait(&self.head.headers)? {
            request = request.wait(wait.min(self.app.settings().max_wait.0));
        }
        let preferred = || self.app.sessions.project(session?);
        Ok(match pinned.map(Affinity::RequireProject).or_else(|| preferred().map(Affinity::PreferProject)) {
            Some(affinity) => request.affinity(affinity),
            None => request,
        })
    }
}

/// Returns the error for a response that redirects a request or switches protocols. A client would follow a redirect
/// with the gateway's token, and no key is sent to the new address. GET and HEAD may be redirected, as downloads are.
fn redirect_error(method: &Method, status: StatusCode, headers: &HeaderMap) -> Option<ApiError> {
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let message = match location {
        Some(location) if status.is_redirection() && method != Method::GET && method != Method::HEAD => {
            let place = location.split(['?', '#']).next().unwrap_or_default();
            format!("the provider redirects ({status}) to {place}, where no key is sent: set upstream to that address")
        }
        _ if status.is_informational() => format!("the provider switched protocols ({status}) without being asked to"),
        _ => return None,
    };
    Some(ApiError::new(StatusCode::BAD_GATEWAY, message))
}

/// Returns the error for a response in an encoding that was not requested: the body of an error may contain the key.
pub fn unreadable_error(head: &http::response::Parts) -> Option<ApiError> {
    let encoding = head.headers.get(header::CONTENT_ENCODING)?.to_str().unwrap_or("?");
    let (status, what) =
        if head.status.as_u16() < 400 { (StatusCode::BAD_GATEWAY, "response") } else { (head.status, "error") };
    let message = format!("the provider's {what} cannot be read: its Content-Encoding ({encoding}) was not requested");
    (!cooldown::can_decode(&head.headers)).then(|| ApiError::new(status, message))
}

/// Returns how long the client is willing to wait for a key.
fn requested_wait(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(wait) = headers.get(headers::KEYPOOL_WAIT) else { return Ok(None) };
    let span = wait.to_str().ok().and_then(|wait| wait.parse::<HumanDuration>().ok());
    let wrong = || ApiError::bad_request("x-keypool-wait: expected seconds, or a time such as 500ms, 5s or 1m");
    Ok(Some(span.ok_or_else(wrong)?.0))
}

/// Returns the model that a request names: see [`Incoming::model`].
fn named_model(app: &AppState, route: &Route, head: &Parts, body: &Collected) -> Option<String> {
    if let Endpoint::Models(one) = &route.endpoint {
        return one.clone();
    }
    if route.dialect == Dialect::Gemini {
        let gemini = app.gemini.inspect(head);
        if let ModelIn::Head(model) = gemini.model {
            return Some(model.trim_start_matches("models/").to_owned());
        }
    }
    body.model(head)
}

/// Gives a request the path of its [`Route`].
///
/// # Errors
/// 400 if that path is invalid.
pub fn set_path(head: &mut Parts, path: &str) -> Result<(), ApiError> {
    // An absolute request target names the gateway's host and must be replaced, too.
    if head.uri.path() == path && head.uri.authority().is_none() {
        return Ok(());
    }
    let target = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let target = PathAndQuery::try_from(target).map_err(|_| ApiError::bad_request("the path is not valid"))?;
    head.uri = Uri::from(target);
    Ok(())
}
