//! What the parties call each other.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// How a fact begins that says what the board calls the owner of a key: its secret's hash follows.
pub(crate) const OWNER: &str = "owner\n";
/// How one begins that says what such a name is by now.
pub(crate) const ALIAS: &str = "alias\n";
/// How one begins that says which limits answers told of a unit, whose name follows.
pub(crate) const LEARNED: &str = "learned\n";

/// How long a name is kept that nobody says any more, in milliseconds; longer than any window counts.
pub(crate) const NAMED: i64 = 7 * 24 * 3_600_000;

/// Whether a fact says whose quota a key counts in.
pub(super) fn is_name(scope: &str) -> bool {
    scope.starts_with(OWNER) || scope.starts_with(ALIAS)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The smallest set of windows that share no limit with others: an owner in a lane where limits are by lane, else an
    /// owner. Held as a whole, by one process at a time.
    UnitId
}

name! {
    /// What a unit can serve: a lane and a priority, as the pool names them. Units of one kind stand in for each other.
    Kind
}

name! {
    /// A process in one of its lives, written `process/incarnation`. A later incarnation says that the earlier is dead.
    HolderId
}

/// How a wish for a unit by its name begins, where else a kind stands.
const NAMING: &str = "=\n";

impl Kind {
    /// How it stands among what is wanted that a process wants this very unit.
    pub fn naming(unit: &UnitId) -> Self {
        Self::from(&*format!("{NAMING}{unit}"))
    }

    /// The unit, where it is such a wish.
    pub(super) fn named(&self) -> Option<UnitId> {
        self.as_str().strip_prefix(NAMING).map(UnitId::from)
    }
}

/// What stands between a process's name and what tells it apart from itself, whom others took for dead.
const BESIDE: char = '~';

impl HolderId {
    /// `process` is the same after a restart, `incarnation` larger.
    pub fn new(process: &str, incarnation: u64) -> Self {
        Self(format!("{process}/{incarnation}").into())
    }

    /// Another process in the place of this one, told apart by `nonce`.
    pub(super) fn beside(&self, nonce: u32) -> Self {
        let (process, _) = self.parts().unwrap_or((self.as_str(), 1));
        let process = process.split_once(BESIDE).map_or(process, |(process, _)| process);
        Self::new(&format!("{process}{BESIDE}{nonce:08x}"), 1)
    }

    /// Whether this is a later life of the same process.
    pub(super) fn succeeds(&self, other: &Self) -> bool {
        match (self.parts(), other.parts()) {
            (Some((process, life)), Some((same, earlier))) => process == same && life > earlier,
            _ => false,
        }
    }

    fn parts(&self) -> Option<(&str, u64)> {
        let (process, life) = self.0.rsplit_once('/')?;
        Some((process, life.parse().ok()?))
    }
}
