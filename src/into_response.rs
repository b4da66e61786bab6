//! Errors as HTTP responses, for hosts whose services cannot fail.

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    BoxError, Error, ErrorKind,
    classify::{ErrorClass, Failure},
    pool::{KeyPool, Unavailable, UnavailableReason},
    time::whole_seconds,
};

/// Turns every error of the inner service into a response, so that the error type is [`Infallible`], as axum requires.
///
/// | error | status |
/// |---|---|
/// | [`Unavailable`](ErrorKind::Unavailable) because every key that could serve is at its limit | 429 |
/// | `Unavailable` for other reasons, [`Store`](ErrorKind::Store), [`ShutDown`](ErrorKind::ShutDown) | 503 |
/// | [`Transport`](ErrorKind::Transport) | 502, or 504 after a timeout |
/// | an error of a layer above the keys, such as load shedding | 503, or 504 after a timeout |
/// | [`Request`](ErrorKind::Request) | 400 |
/// | others | 500 |
///
/// The body is an error in the provider's format ([`Provider::error_body`](crate::Provider::error_body)). `Retry-After`
/// is set if the pool knows when a key becomes available. [`Attempts`](crate::Attempts) is an extension of the response
/// if the error is of this crate.
///
/// ```no_run
/// # fn app<S>(pool: tower_keypool::KeyPool, http_client: S) {
/// use tower::ServiceBuilder;
/// use tower_keypool::{ErrorIntoResponseLayer, KeyPoolLayer};
///
/// let service = ServiceBuilder::new()
///     .layer(ErrorIntoResponseLayer::new(&pool))
///     .layer(KeyPoolLayer::new(&pool))
///     .service(http_client);
/// // let app = axum::Router::new().fallback_service(service);
/// # drop(service);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ErrorIntoResponseLayer {
    pool: KeyPool,
}

impl ErrorIntoResponseLayer {
    /// Creates a layer whose error bodies have the format of this pool's provider.
    pub fn new(pool: &KeyPool) -> Self {
        Self { pool: pool.clone() }
    }
}

impl<S> Layer<S> for ErrorIntoResponseLayer {
    type Service = ErrorIntoResponse<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorIntoResponse { inner, pool: self.pool.clone(), failed: None }
    }
}

/// The service of [`ErrorIntoResponseLayer`]: turns errors into responses.
#[derive(Debug)]
pub struct ErrorIntoResponse<S> {
    inner: S,
    pool: KeyPool,
    /// The error of the inner service's `poll_ready`, which becomes the response to the next request.
    failed: Option<BoxError>,
}

impl<S: Clone> Clone for ErrorIntoResponse<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), pool: self.pool.clone(), failed: None }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for ErrorIntoResponse<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<Either<ResBody, Full<Bytes>>>;
    type Error = Infallible;
    type Future = ErrorIntoResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.failed.is_none()
            && let Err(error) = ready!(self.inner.poll_ready(cx))
        {
            self.failed = Some(error.into());
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let state = match self.failed.take() {
            Some(error) => State::Failed { error: Some(error) },
            None => State::Calling { future: self.inner.call(request) },
        };
        ErrorIntoResponseFuture { state, pool: self.pool.clone() }
    }
}

pin_project! {
    /// The future of [`ErrorIntoResponse`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ErrorIntoResponseFuture<F> {
        #[pin]
        state: State<F>,
        pool: KeyPool,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] future: F },
        Failed { error: Option<BoxError> },
    }
}

impl<F, B, E> Future for ErrorIntoResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<Either<B, Full<Bytes>>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let error = match this.state.project() {
            StateProj::Calling { future } => match ready!(future.poll(cx)) {
                Ok(response) => return Poll::Ready(Ok(response.map(Either::Left))),
                Err(error) => error.into(),
            },
            StateProj::Failed { error } => error.take().expect("the future is not polled after it was ready"),
        };
        Poll::Ready(Ok(response(&*error, this.pool).map(|text| Either::Right(Full::new(text)))))
    }
}

debug_with_fields!([F] ErrorIntoResponseFuture<F>, "ErrorIntoResponseFuture");

/// Builds the response for an error.
fn response(error: &(dyn StdError + 'static), pool: &KeyPool) -> Response<Bytes> {
    let known = Error::find_source(error);
    let status = known.map_or_else(|| status_of(error, StatusCode::SERVICE_UNAVAILABLE), status);
    let retry_after = known.and_then(Error::retry_after);
    let message = match known {
        Some(known) => known.with_cause(),
        None => "the request was not served".to_owned(),
    };
    let body = pool.provider().error_body(status, &message, retry_after);
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
    }
    if let Some(known) = known {
        response.extensions_mut().insert(known.attempts().clone());
    }
    response
}

fn status(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Unavailable if error.as_unavailable().is_some_and(is_limited) => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable | ErrorKind::Store | ErrorKind::ShutDown => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Transport => status_of(error, StatusCode::BAD_GATEWAY),
        ErrorKind::Request => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Reports whether every key that could serve is at its limit.
fn is_limited(unavailable: &Unavailable) -> bool {
    use UnavailableReason::{Affinity, DailyLimit, Disabled, Limit, Model, TooLarge, Tried};
    let mut reasons = unavailable.reasons().iter().map(|(reason, _)| *reason);
    let of_limits = |reason| matches!(reason, Limit | DailyLimit | TooLarge);
    let cannot_serve = |reason| matches!(reason, Disabled | Model | Affinity | Tried);
    reasons.clone().any(of_limits) && reasons.all(|reason| of_limits(reason) || cannot_serve(reason))
}

/// Returns the status for an error that is not about keys, by its cause.
fn status_of(error: &(dyn StdError + 'static), otherwise: StatusCode) -> StatusCode {
    let failure = Failure::from_transport(error);
    match (failure.class(), failure.code()) {
        // The client failed because the caller's request body failed.
        (ErrorClass::Caller, _) => StatusCode::BAD_REQUEST,
        (_, Some("timeout")) => StatusCode::GATEWAY_TIMEOUT,
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests;
