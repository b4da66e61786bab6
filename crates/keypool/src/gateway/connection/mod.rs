//! What a client's connection is made of, whatever it carries: its place among all, TLS, the pace that is expected of the
//! client, and whose turn it is.

pub(in crate::gateway) mod http2_streams;
pub(in crate::gateway) mod pace;
pub(in crate::gateway) mod places;
pub(in crate::gateway) mod self_wakes;
pub(in crate::gateway) mod ticks;
pub mod tls;
pub(in crate::gateway) mod unread;
