//! [`CooldownLayer`] learns from what comes back: it judges each answer, lets the pool rest whom it concerns, and leaves
//! [`ServedBy`](crate::ServedBy) on it.
//!
//! Good answers are never held, but for the beginning of a stream: at most the first 16 KiB or 5 seconds of it, until
//! its first object shows whether a status of 200 hides an error. Of an error at most 64 KiB or 5 seconds are held.
//! Then everything goes on as it came, byte for byte, with two exceptions: where the provider echoes the key, in a
//! header or a body, it is overwritten with as many `*` (keys shorter than 8 characters are not looked for); and
//! a gzip'd body, which cannot be overwritten, ends in an error in front of the key, or, if it is an error's and held
//! whole, is replaced by its inflated and masked form. A body in any other encoding is not read at all: it is judged by
//! its head, and nothing in it is found.
//!
//! As a body passes, its usage is read and told to the pool, and so is a stream that turns into an error, that breaks
//! off, or that the caller leaves, and a good answer of at most 16 KiB that speaks against its key
//! ([`Provider::alarm`](crate::Provider::alarm)). In one that inflates beyond all reason only the key is looked for.
//!
//! The timers are tokio's: holding asks for a runtime with time enabled.

mod balance;
mod body;
mod first_event;
mod flow;
mod fresh;
mod future;
mod head;
mod hold;
mod inflate;
mod judging;
mod layer;
mod mask;
mod masks;
mod needle;
mod outbox;
#[cfg(feature = "hyper")]
mod reason;
mod service;
mod sight;
mod stream_watch;
mod teller;
mod usage_object;
mod usage_scan;

pub use body::CooldownBody;
pub use future::CooldownFuture;
pub(crate) use future::{Begun, begin};
pub(crate) use head::Asked;
pub(crate) use hold::Hold;
pub(crate) use judging::failed;
pub use layer::CooldownLayer;
pub use service::Cooldown;
