//! reqwest as the client at the bottom: feature `reqwest`.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::error::BoxError;

/// A `reqwest` client as a tower service over `http` requests, for the bottom of a stack.
///
/// It never follows redirects: a key goes to the provider and nowhere else, and a 3xx is judged and handed up.
///
/// ```no_run
/// # fn stack(pool: tower_keypool::KeyPool) -> Result<(), reqwest::Error> {
/// use tower::ServiceBuilder;
/// use tower_keypool::{KeyPoolLayer, ReqwestService};
///
/// let client = ServiceBuilder::new()
///     .layer(KeyPoolLayer::new(&pool))
///     .service(ReqwestService::new(reqwest::Client::builder())?);
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReqwestService(reqwest::Client);

impl ReqwestService {
    /// Builds the client, with redirects off.
    ///
    /// # Errors
    /// When reqwest cannot build it: no TLS backend, for one.
    pub fn new(client: reqwest::ClientBuilder) -> Result<Self, reqwest::Error> {
        Ok(Self(client.redirect(reqwest::redirect::Policy::none()).build()?))
    }
}

impl fmt::Debug for ReqwestService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A client may carry default headers that nobody wants to read in a log.
        f.write_str("ReqwestService")
    }
}

impl<B> Service<Request<B>> for ReqwestService
where
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<reqwest::Body>;
    type Error = reqwest::Error;
    type Future = ReqwestFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<reqwest::Request>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match reqwest::Request::try_from(request.map(reqwest::Body::wrap)) {
            Ok(request) => ReqwestFuture { answer: Some(self.0.call(request)), refused: None },
            Err(error) => ReqwestFuture { answer: None, refused: Some(error) },
        }
    }
}

pin_project! {
    /// The answer to come: the future of [`ReqwestService`].
    pub struct ReqwestFuture {
        #[pin]
        answer: Option<<reqwest::Client as Service<reqwest::Request>>::Future>,
        refused: Option<reqwest::Error>,
    }
}

impl Future for ReqwestFuture {
    type Output = Result<Response<reqwest::Body>, reqwest::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(answer) = this.answer.as_pin_mut() else {
            return Poll::Ready(Err(this.refused.take().expect("polled after it was ready")));
        };
        // A URL may hold a key in its query; no error shows it.
        Poll::Ready(ready!(answer.poll(cx)).map(Response::from).map_err(reqwest::Error::without_url))
    }
}

impl fmt::Debug for ReqwestFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReqwestFuture")
    }
}
