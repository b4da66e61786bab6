//! [`CooldownLayer`] learns from what comes back: it judges each answer, lets the pool rest whom it concerns, and leaves
//! [`ServedBy`](crate::ServedBy) on it.
//!
//! Good answers are never held, but for the beginning of a stream: at most the first 16 KiB or 5 seconds of it, until
//! its first object shows whether a status of 200 hides an error; and gzip'd JSON that is no stream, of which at most
//! 64 KiB or 5 seconds are held. So much is held of an error, too. An answer that is
//! [retold whole](crate::Demand::retold_whole) and no stream is held to its end, up to 64 MiB.
//! Then everything goes on as it came, byte for byte, but for the key: where the provider echoes it, in a header or a
//! body, it is overwritten with as many `*` (keys shorter than 8 characters are not looked for). A gzip'd body cannot be
//! overwritten. It is packed anew from its beginning, as long as that is held, or from where the provider flushed it last
//! (a stream's event before), if no length was told and no more than 1 MiB of text came since; an error that was held whole
//! goes on as its inflated form. Where none of this can be it ends in an error in front of the key, and that is the
//! answer ([`Error`](crate::Error)) as long as nothing of a good one was handed up. A body in any other encoding cannot be
//! looked into, nor did anybody ask for one: it is not handed up. A good answer with such a body is an error, any other
//! one goes on by its head alone, without a body.
//!
//! Of an error, what is held is also looked through for the key in letters of another case and in any escapes of JSON
//! and of queries, and so for every other key of the pool. The same goes for headers, where one has room for a key. After a retry a good
//! answer is looked through for the keys of the attempts before, too.
//!
//! As a body passes, its usage is read and told to the pool, and so is a stream that turns into an error, that breaks
//! off, or that the caller leaves (what became of a good stream is in its [`StreamEnd`]), and a good answer of at most 16 KiB that speaks against its key
//! ([`Provider::alarm`](crate::Provider::alarm)). In one that inflates beyond all reason only the key is looked for.
//!
//! The timers are tokio's: holding asks for a runtime with time enabled.

mod balance;
mod body;
mod cut;
mod every_key;
mod first_event;
mod flow;
mod fresh;
mod future;
mod head;
mod hold;
mod inflate;
mod judging;
mod key_mask;
mod last_word;
mod layer;
mod mask;
mod masks;
mod needle;
mod outbox;
#[cfg(feature = "hyper")]
mod reason;
mod repack;
mod service;
mod sight;
mod stream_end;
mod stream_watch;
mod teller;
mod treatment;
mod unsaid;
mod usage_object;
mod usage_scan;

pub use body::CooldownBody;
pub use future::CooldownFuture;
pub(crate) use future::{Begun, begin};
pub(crate) use head::Asked;
pub(crate) use hold::Hold;
pub(crate) use judging::failed;
pub use key_mask::KeyMask;
pub use layer::CooldownLayer;
pub use service::Cooldown;
pub use stream_end::StreamEnd;
