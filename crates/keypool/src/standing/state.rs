//! How a key stands, in a word.

use serde::Serialize;

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It may serve.
    Usable,
    /// For some models it may not.
    Partly,
    /// It comes back by itself.
    Resting,
    /// It, or its owner, has used up the day for every model that it was used for.
    OutForToday,
    /// It rests without end for a fault, or nothing says what its exit is.
    Faulty,
    /// Switched off by hand.
    Disabled,
    /// Taken out.
    Removed,
}

impl State {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Partly => "partly",
            Self::Resting => "resting",
            Self::OutForToday => "out for today",
            Self::Faulty => "faulty",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }
}
