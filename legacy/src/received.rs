//! What a server says of a request that came in over HTTP/2.

/// The scheme and the authority of the request name the server that received it. In its extensions, put there by whoever
/// stands directly below a server; whoever says where a request goes does not go by them then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received;
