//! THE stack: the walk of a request from the gateway to the provider, in one function.

use tower::Layer;
use tower_keypool::{KeyPool, KeyPoolLayer, KeyPoolService, Models, Retry};

use crate::client::{Client, Sockets};

/// The stack over a pool, with models to step down to, and a rule when to send again.
pub fn stack(pool: &KeyPool, fallback: Models, retry: Retry) -> KeyPoolService<Client> {
    stack_over(pool, fallback, retry, Client::new(pool.provider().base()))
}

/// The same over a client of one's own.
///
/// The library's whole stack, top down: what is sent is kept, by reference, so that it can be sent again. No key for
/// this model, now or within the wait: the next model of the list. A key's fault: another key at once; the provider's:
/// again after a pause. Each attempt takes the key that may carry it, waiting for one if need be, and holds it to the
/// answer's end; what the answer means for the key is learned from it.
pub fn stack_over(pool: &KeyPool, fallback: Models, retry: Retry, client: Client) -> KeyPoolService<Client> {
    KeyPoolLayer::new(pool)
        .fallback(fallback)
        // Where no key is left, a 503 that says until when instead of the last key's answer.
        .retry(retry.exhausted_instead(true))
        // Connections to the provider, pooled.
        .layer(client)
}

/// The same for connections that become sockets: none is sent again once it is open, and none steps down.
pub fn sockets_over(pool: &KeyPool, retry: Retry, sockets: Sockets) -> KeyPoolService<Sockets> {
    KeyPoolLayer::new(pool).retry(retry.exhausted_instead(true)).layer(sockets)
}
