//! Several pools share owners: together they exceed no limit, and what one does not need another has.

mod away;
#[cfg(all(feature = "config", any(feature = "redis", feature = "sqlite")))]
mod changes;
mod convicts;
mod facts;
mod few;
mod filled;
#[cfg(feature = "redis")]
mod hints;
mod host;
mod identity;
mod last;
mod learned;
#[cfg(feature = "redis")]
mod lost;
mod midnight;
#[cfg(all(feature = "sqlite", feature = "redis"))]
mod named;
mod overfull;
mod passing;
mod places;
mod prompts;
#[cfg(feature = "redis")]
mod redis;
mod refill;
mod replaced;
mod schedules;
mod seen;
mod slots;
#[cfg(feature = "sqlite")]
mod starting;
mod told;
