//! Several processes share keys: leases of windows, not tokens.
//!
//! The *board* is the shared record of *units* (an owner in a lane). A process *holds* a disjoint set of them, keeps their
//! exact windows itself, and renews all at once every few seconds: one call in which it tells what its windows count and
//! what it needs, gives back what it does not need, and receives what is free. What it holds is valid for a lease,
//! counted from when it *sent* the last renewal that was answered; the board counts from when it *received* it, so that
//! two never hold the same.
//!
//! - [`Holder`] is a process's side: a state machine that is told the time. [`apply`] is the board's: one pure function,
//!   to be run in whatever transaction a store has. [`Board`] is the call between them.
//! - [`Ledger`] is who keeps the windows; [`Books`] is one that needs no pool.

mod apply;
mod board;
mod books;
mod claims;
pub mod conformance;
mod counters;
mod counts;
mod days;
mod draws;
mod facts;
mod free;
mod holder;
mod info;
mod joins;
mod ledger;
mod left;
mod lent;
mod names;
mod news;
mod notes;
pub(crate) mod own;
mod recovery;
#[cfg(feature = "redis")]
mod redis;
mod settings;
#[cfg(feature = "sqlite")]
mod shelf;
mod state;
mod units;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

#[cfg(feature = "redis")]
pub use self::redis::RedisBoard;
#[cfg(feature = "redis")]
pub(crate) use self::redis::{KEYS, hint_names, seen};
pub use apply::{Server, apply};
pub use board::{Board, Hint, MemoryBoard};
pub use books::Books;
pub use counters::Counters;
pub(crate) use counts::stricter;
pub(crate) use facts::CONCERNS;
pub use holder::{Holder, Leave, Refusal};
pub use ledger::{Ledger, Moment, Spent};
pub(crate) use names::{ALIAS, LEARNED, NAMED, OWNER};
pub use names::{HolderId, Kind, UnitId};

pub use crate::missing::OnMissing;
pub use settings::{OnStoreLoss, Settings};
#[cfg(feature = "sqlite")]
pub(crate) use shelf::{Changes, HolderRow, Shelf};
pub use state::BoardState;
#[cfg(any(feature = "sqlite", feature = "redis"))]
pub(crate) use state::Seen;
pub use wire::{
    Claim, Correction, Days, Drawn, Granted, Held, Left, Mark, Mode, News, Noted, Other, Renewal, Reply, Rest, Settled,
    Started, UnitInfo, VERSION,
};

pub use crate::limit::Told;
