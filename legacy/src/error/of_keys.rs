//! Why keys, or a pool of them, are not taken.

use std::{error::Error as StdError, fmt, time::Duration};

use crate::{
    key::{InvalidSecret, KeyId},
    provider::Provider,
};

/// Why a pool was not built, or a change of its keys not taken. `key` counts from 0 in the order they were given; `None`: the
/// one key that was to be added or to have another secret.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum KeyError {
    /// The secret cannot be sent.
    Secret {
        /// Which key.
        key: Option<usize>,
        /// What is wrong with its secret.
        source: InvalidSecret,
    },
    /// Two keys of one id.
    DuplicateId {
        /// The id that two keys have.
        id: KeyId,
        /// Which key had it second.
        key: Option<usize>,
    },
    /// A new secret that another key has already.
    DuplicateSecret {
        /// Whose secret it was to be.
        id: KeyId,
        /// Whose it is.
        other: KeyId,
    },
    /// An id that is empty, or has a control character in it.
    Id(KeyId),
    /// A weight that is not above 0 and finite.
    Weight {
        /// Whose weight.
        id: KeyId,
        /// What was given.
        weight: f32,
    },
    /// A zone that the tz database does not know.
    Zone {
        /// Whose zone.
        id: KeyId,
        /// What was given.
        zone: String,
    },
    /// A limit or concurrency out of range.
    Limit {
        /// Whose limit.
        id: KeyId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A limit that the pool was given for a model is out of range.
    Limits {
        /// Of which model; `*`: of all that have none of their own.
        model: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// What a window is to hold longer than its span is more than 30 s.
    Guard(Duration),
    /// The name of its exit may not be one: 1 to 64 of `A-Z a-z 0-9 . _ -`.
    Exit {
        /// Whose exit.
        id: KeyId,
    },
    /// What it is called by, and what would be shown therefore, is the secret of a key: itself or another.
    Tells {
        /// Which key.
        key: Option<usize>,
        /// What tells it: its id, its owner's name, a label.
        what: &'static str,
    },
    /// No key has this id.
    UnknownId(KeyId),
    /// A builder for another provider, or one that lives elsewhere, than that of the pool, whose keys go nowhere else.
    Provider {
        /// The pool's, by its name and where it lives.
        pool: String,
        /// The builder's.
        builder: String,
    },
    /// More keys or exits than a pool can hold (8,388,607 keys, 65,535 exits).
    TooMany(&'static str),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { key, source } => write!(f, "{}: {source}", Which(*key)),
            Self::DuplicateId { id, key } => write!(f, "{}: another key has the id {id} already", Which(*key)),
            Self::DuplicateSecret { id, other } => write!(f, "key {id}: the key {other} has this secret already"),
            Self::Id(id) => match id.to_string().as_str() {
                "" => f.write_str("the id of a key is empty: give it a name, or none"),
                id => write!(f, "key {}: its id holds a control character", id.escape_debug()),
            },
            Self::Weight { id, weight } => write!(f, "key {id}: weight {weight} is not above 0 and finite"),
            Self::Zone { id, zone } => write!(f, "key {id}: the time zone {zone:?} is not known"),
            Self::Limit { id, what } => write!(f, "key {id}: {what}"),
            Self::Limits { model, what } => write!(f, "limits of {model}: {what}"),
            Self::Guard(guard) => {
                write!(f, "the guard of windows is {} s, and may be 30 s at most", guard.as_secs_f64())
            }
            Self::Exit { id } => write!(f, "key {id}: an exit's name is 1 to 64 of A-Z a-z 0-9 . _ -"),
            Self::Tells { key, what } => write!(f, "{}: {what}, and would be shown", Which(*key)),
            Self::UnknownId(id) => write!(f, "no key has the id {id}"),
            Self::Provider { pool, builder } => {
                write!(f, "the pool's provider is {pool}, and stays it: a pool for {builder} is to be built anew")
            }
            Self::TooMany(what) => write!(f, "too many {what} for one pool"),
        }
    }
}

impl StdError for KeyError {}

impl KeyError {
    /// Where a builder is for another provider than the pool's.
    pub(crate) fn unless_same(pool: &dyn Provider, builder: &dyn Provider) -> Result<(), Self> {
        if (pool.name(), pool.base()) == (builder.name(), builder.base()) {
            return Ok(());
        }
        let told = |one: &dyn Provider| format!("{} at {}", one.name(), one.base());
        Err(Self::Provider { pool: told(pool), builder: told(builder) })
    }
}

/// Which key an error is about, as it says it.
struct Which(Option<usize>);

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => write!(f, "key number {}", key + 1),
            None => f.write_str("the key"),
        }
    }
}
