//! Acquires a key, sends the request with it, and adds the attempt to the result.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::LeaseBody;
use crate::{
    BoxError, Error, ErrorKind, Lease,
    classify::{ErrorClass, Failure, Outcome, causes},
    pool::{Acquire, Attempts},
    replay::TooLarge,
};

pin_project! {
    /// The future of [`KeyRotation`](crate::rotation::KeyRotation).
    ///
    /// If it is dropped before the response, the request still counts, but the key is not blamed.
    #[must_use = "futures do nothing unless polled"]
    pub struct KeyRotationFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        // The attempts before this one, and what applies to all of them.
        attempts: Attempts,
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        Acquiring { #[pin] acquire: Acquire, inner: S, request: Option<(Parts, B)> },
        // `is_last`: the body cannot be replayed.
        Calling { #[pin] future: F, lease: Option<Arc<Lease>>, is_last: bool },
        Failed { error: Option<Error> },
    }
}

const ONCE: &str = "the future is not polled after it was ready";
const NOT_REPLAYED: &str = "the body is too large to be sent again with another key";

impl<S, B> KeyRotationFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn acquiring(acquire: Acquire, attempts: Attempts, inner: S, request: (Parts, B)) -> Self {
        Self { attempts, state: State::Acquiring { acquire, inner, request: Some(request) } }
    }

    pub(super) fn failed(error: Error) -> Self {
        Self { attempts: Attempts::default(), state: State::Failed { error: Some(error) } }
    }
}

impl<S, B, R> Future for KeyRotationFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body,
{
    type Output = Result<Response<LeaseBody<R>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Acquiring { mut acquire, inner, request } => {
                    let lease = match ready!(acquire.as_mut().poll(cx)) {
                        Ok(lease) => lease,
                        Err(error) => {
                            return Poll::Ready(Err(acquire.pool().no_key(error, std::mem::take(this.attempts))));
                        }
                    };
                    let (head, _) = request.as_mut().expect(ONCE);
                    let is_last = head.extensions.get::<TooLarge>().is_some();
                    let lease = match put_key(lease, head) {
                        Ok(lease) => lease,
                        Err(error) => return Poll::Ready(Err(error)),
                    };
                    let (head, body) = request.take().expect(ONCE);
                    let future = inner.call(Request::from_parts(head, body));
                    this.state.set(State::Calling { future, lease: Some(lease), is_last });
                }
                StateProj::Calling { future, lease, is_last } => {
                    let result = ready!(future.poll(cx));
                    let lease = lease.take().expect(ONCE);
                    let attempts = std::mem::take(this.attempts);
                    return Poll::Ready(match result {
                        Ok(response) => received(response, lease, attempts, *is_last),
                        Err(error) => Err(failed(error.into(), &lease, attempts)),
                    });
                }
                StateProj::Failed { error } => return Poll::Ready(Err(error.take().expect(ONCE))),
            }
        }
    }
}

/// Puts the key into the head of a request.
fn put_key(lease: Lease, head: &mut Parts) -> Result<Arc<Lease>, Error> {
    if let Err(error) = lease.shared().provider.authorize(head, lease.secret()) {
        lease.give_back();
        return Err(error);
    }
    let lease = Arc::new(lease);
    head.extensions.insert(Arc::clone(&lease));
    Ok(lease)
}

fn received<R: Body>(
    mut response: Response<R>,
    lease: Arc<Lease>,
    mut attempts: Attempts,
    is_last: bool,
) -> Result<Response<LeaseBody<R>>, Error> {
    let outcome = response.extensions_mut().remove::<Outcome>().unwrap_or_else(|| of_head(&response, &lease));
    let is_error = outcome.failure().is_some();
    let is_key_fault = outcome.failure().is_some_and(|failure| failure.class().is_key_fault());
    lease.report_if_none(&outcome);
    attempts.push(lease.attempt(outcome));
    if is_last && is_key_fault {
        return Err(lease.pool().gave_up(attempts).with_source(NOT_REPLAYED));
    }
    response.extensions_mut().insert(attempts);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        response.extensions_mut().insert(Arc::clone(&lease));
    }
    Ok(response.map(|body| LeaseBody::new(body, lease, is_error)))
}

/// Returns the outcome of a response that no [`CooldownLayer`](crate::CooldownLayer) below classified, by its status
/// and headers alone.
fn of_head<R>(response: &Response<R>, lease: &Lease) -> Outcome {
    lease.pool().classify(response.status(), response.headers(), &[]).into()
}

/// Converts the error of the service below.
fn failed(error: BoxError, lease: &Lease, mut attempts: Attempts) -> Error {
    let failure = Failure::from_transport(&*error);
    let is_callers = failure.class() == ErrorClass::Caller;
    let error = without_secret(error, lease, &failure);
    let outcome = Outcome::from(failure);
    lease.report_if_none(&outcome);
    attempts.push(lease.attempt(outcome));
    let error = match error.downcast::<Error>() {
        Ok(ours) if ours.attempts().is_empty() => *ours,
        Ok(ours) => return *ours,
        Err(error) if is_callers => {
            Error::new(ErrorKind::Request, "the body of the request could not be read").with_source(error)
        }
        Err(error) => Error::transport(error),
    };
    error.with_attempts(attempts)
}

/// Replaces an error that shows the key by its redacted text: an HTTP client may show the URL.
fn without_secret(error: BoxError, lease: &Lease, failure: &Failure) -> BoxError {
    let secret = lease.secret();
    if !causes(&*error).any(|cause| secret.find(format!("{cause} {cause:?}").as_bytes()).is_some()) {
        return error;
    }
    let texts: Vec<_> = causes(&*error).map(ToString::to_string).collect();
    // The status of a response to the caller depends on this kind.
    let kind = if failure.code() == Some("timeout") { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
    io::Error::new(kind, secret.redact(&texts.join(": ")).into_owned()).into()
}

debug_with_fields!([S: Service<Request<B>>, B] KeyRotationFuture<S, B>, "KeyRotationFuture", attempts);
