//! THE stack: the walk of a request from the gateway to the provider, in one function.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower::{Service, ServiceBuilder};
use tower_keypool::{
    BoxError, CooldownLayer, Error, KeyPool, KeyRotationLayer, ModelFallbackLayer, Models, ReplayLayer, Retry,
    RetryPolicy,
};

use crate::client::Client;

/// The stack over a pool, with models to step down to, and a rule when to send again.
pub fn stack(
    pool: &KeyPool,
    fallback: Models,
    retry: Retry,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static + use<>>,
    Error = Error,
    Future: Send,
>
+ Clone
+ Send
+ Sync
+ 'static
+ use<> {
    let steps = !fallback.is_empty();
    ServiceBuilder::new()
        // Keeps what is sent, by reference, so that it can be sent again; finds the model where the body names it.
        .layer(ReplayLayer::default().pool(pool))
        // No key for this model, now or within the wait: the next model of the list.
        .option_layer(steps.then(|| ModelFallbackLayer::new(pool).lists(fallback)))
        // A key's fault: another key at once; where there is none, a 503 that says until when. The provider's: again
        // after a pause.
        .retry(RetryPolicy::new(pool).rule(retry).exhausted_instead(true))
        // Takes the key that may carry the request, waiting for one if need be, and holds it to the answer's end.
        .layer(KeyRotationLayer::new(pool))
        // Learns from the answer what it means for the key.
        .layer(CooldownLayer::new(pool))
        // Connections to the provider, pooled.
        .service(Client::new())
}
