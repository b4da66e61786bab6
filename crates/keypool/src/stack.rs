//! THE stack: the walk of a request from the gateway to the provider, in one function.

use tower::Layer;
use tower_keypool::{KeyPool, KeyPoolLayer, KeyPoolService, Models, Retry};

use crate::client::Client;

/// The stack over a pool, with models to step down to (best first; none: no stepping down).
pub fn stack(pool: &KeyPool, fallback: &[String]) -> KeyPoolService<Client> {
    stack_over(pool, fallback, Client::new(pool.provider().base()))
}

/// The same over a client of one's own.
///
/// The library's whole stack, top down: what is sent is kept, by reference, so that it can be sent again. No key for
/// this model, now or within the wait: the next model of the list. A key's fault: another key at once; the provider's:
/// again after a pause. Each attempt takes the key that may carry it, waiting for one if need be, and holds it to the
/// answer's end; what the answer means for the key is learned from it.
pub fn stack_over(pool: &KeyPool, fallback: &[String], client: Client) -> KeyPoolService<Client> {
    let models = if fallback.is_empty() { Models::new() } else { Models::new().for_all(fallback.iter().cloned()) };
    KeyPoolLayer::new(pool)
        .fallback(models)
        // Where no key is left, a 503 that says until when instead of the last key's answer.
        .retry(Retry::new().exhausted_instead(true))
        // Connections to the provider, pooled.
        .layer(client)
}
