//! The simulator in process: a tower `Service` for requests with any body.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body as AxumBody;
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tower_service::Service;

use crate::api;
use crate::body::{SimBody, SimError};
use crate::simulator::Simulator;

/// A simulator as a [`tower_service::Service`]. It is cheap to clone, always ready, and uses tokio's clock, so that
/// time can be paused.
#[derive(Clone, Debug)]
pub struct SimService {
    router: Router,
}

/// The future of [`SimService`].
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<SimBody>, SimError>> + Send>>;

impl SimService {
    pub(crate) fn new(simulator: Arc<Simulator>) -> Self {
        Self { router: api::router(simulator) }
    }
}

impl<B> Service<Request<B>> for SimService
where
    B: Body<Data: Send> + Send + 'static,
{
    type Response = Response<SimBody>;
    type Error = SimError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SimError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let request = request.map(|body| {
            let body = body.map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())));
            AxumBody::new(body.map_err(|_| SimError::RequestBody))
        });
        let response = self.router.call(request);
        Box::pin(async move {
            let response = response.await.unwrap_or_else(|never: Infallible| match never {});
            match response.extensions().get::<SimError>() {
                // An axum handler cannot fail, so it reports with this extension that there is no response.
                Some(error) => Err(*error),
                // The only error that a scripted body can have.
                None => Ok(response.map(|body| body.map_err(|_| SimError::Reset).boxed_unsync())),
            }
        })
    }
}
