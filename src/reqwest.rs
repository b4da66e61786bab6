//! A reqwest client as the innermost service of a stack (feature `reqwest`).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use reqwest::redirect;
use tower_service::Service;

use crate::BoxError;

/// A `reqwest` client as a tower service over `http` requests.
///
/// Response bodies stream. Errors never show the URL, which may contain a key.
///
/// ```no_run
/// # fn stack(pool: tower_keypool::KeyPool) -> Result<(), reqwest::Error> {
/// use std::time::Duration;
/// use tower::ServiceBuilder;
/// use tower_keypool::{KeyPoolLayer, ReqwestService};
///
/// let builder = reqwest::Client::builder().connect_timeout(Duration::from_secs(10));
/// let client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(ReqwestService::build(builder)?);
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReqwestService(reqwest::Client);

impl ReqwestService {
    /// Wraps an existing client. It must not follow redirects: reqwest would forward a key in a header such as
    /// `x-goog-api-key` to another host. [`build`](Self::build) creates a client that does not follow them.
    pub fn new(client: reqwest::Client) -> Self {
        Self(client)
    }

    /// Builds a client that follows no redirects and returns each 3xx to the caller. Overrides the builder's redirect
    /// policy.
    ///
    /// # Errors
    /// Returns the error of reqwest if it cannot build the client.
    pub fn build(builder: reqwest::ClientBuilder) -> Result<Self, reqwest::Error> {
        Ok(Self(builder.redirect(redirect::Policy::none()).build()?))
    }

    /// Returns a reference to the client.
    pub fn get_ref(&self) -> &reqwest::Client {
        &self.0
    }

    /// Returns the client, consuming the service.
    pub fn into_inner(self) -> reqwest::Client {
        self.0
    }
}

impl fmt::Debug for ReqwestService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The `Debug` of the client shows its default headers, which may contain a key.
        f.write_str("ReqwestService")
    }
}

impl<B> Service<Request<B>> for ReqwestService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<reqwest::Body>;
    type Error = reqwest::Error;
    type Future = ReqwestFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<reqwest::Request>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request = request.map(|body| {
            if body.is_end_stream() {
                reqwest::Body::from(Bytes::new())
            } else {
                reqwest::Body::wrap(SyncBody(Mutex::new(Box::pin(body))))
            }
        });
        let state = match reqwest::Request::try_from(request) {
            Ok(request) => State::Sent { future: self.0.call(request) },
            Err(error) => State::Invalid { error: Some(error) },
        };
        ReqwestFuture { state }
    }
}

pin_project! {
    /// The future of [`ReqwestService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ReqwestFuture {
        #[pin]
        state: State,
    }
}

pin_project! {
    #[project = StateProj]
    enum State {
        Sent { #[pin] future: <reqwest::Client as Service<reqwest::Request>>::Future },
        Invalid { error: Option<reqwest::Error> },
    }
}

impl Future for ReqwestFuture {
    type Output = Result<Response<reqwest::Body>, reqwest::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match self.project().state.project() {
            StateProj::Sent { future } => ready!(future.poll(cx)),
            StateProj::Invalid { error } => Err(error.take().expect("the future is not polled after it was ready")),
        };
        Poll::Ready(result.map(Response::from).map_err(reqwest::Error::without_url))
    }
}

debug_with_fields!([] ReqwestFuture, "ReqwestFuture");

/// A `Sync` body: reqwest requires `Sync`, which server bodies often are not.
struct SyncBody<B>(Mutex<Pin<Box<B>>>);

impl<B: Body> Body for SyncBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, fmt::Write as _, net::SocketAddr};

    use axum::{Router, body, http::HeaderMap, response::Redirect, routing::post};
    use http_body_util::{BodyExt, Full};
    use tokio::net::TcpListener;
    use tower::ServiceExt;

    use super::*;

    async fn serve(app: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, app).await });
        address
    }

    fn client() -> ReqwestService {
        ReqwestService::build(reqwest::Client::builder().no_proxy().redirect(redirect::Policy::limited(5))).unwrap()
    }

    async fn text(response: Response<reqwest::Body>) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn request_and_response_pass_unchanged() {
        let echo = async |headers: HeaderMap, body: String| {
            format!("{:?} {:?} {body}", headers.get("x-key"), headers.get("content-length"))
        };
        let address = serve(Router::new().route("/echo", post(echo))).await;
        let request = |body| Request::post(format!("http://{address}/echo")).header("x-key", "a").body(body).unwrap();
        let response = client().oneshot(request(Full::new(Bytes::from_static(b"hello")))).await.unwrap();
        assert_eq!(text(response).await, r#"Some("a") Some("5") hello"#);
        // A server body is not `Sync` and has no known length.
        let chunks = futures_util::stream::iter(["hel", "lo"].map(Ok::<_, std::convert::Infallible>));
        let request = request(Full::default()).map(|_| body::Body::from_stream(chunks));
        assert_eq!(text(client().oneshot(request).await.unwrap()).await, r#"Some("a") None hello"#);
    }

    #[tokio::test]
    async fn redirect_is_not_followed() {
        let thief = serve(Router::new().route("/", post(async || "thanks"))).await;
        let app = Router::new().route("/", post(async move || Redirect::temporary(&format!("http://{thief}/"))));
        let address = serve(app).await;
        let request = Request::post(format!("http://{address}/")).body(Full::<Bytes>::default()).unwrap();
        assert_eq!(client().oneshot(request).await.unwrap().status(), 307);
    }

    #[tokio::test]
    async fn errors_show_no_url() {
        // It has a port, but does not listen.
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = closed.local_addr().unwrap();
        for uri in [format!("http://{address}/m?key=secret"), "/m?key=secret".to_owned()] {
            let request = Request::post(uri).body(Full::<Bytes>::default()).unwrap();
            let error = client().oneshot(request).await.unwrap_err();
            let mut shown = format!("{error} {error:?}");
            let mut source = error.source();
            while let Some(error) = source {
                write!(shown, "{error} {error:?}").unwrap();
                source = error.source();
            }
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
