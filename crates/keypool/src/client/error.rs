//! Why a request got no answer from the provider.

use std::{error::Error as StdError, fmt, io};

use tower_keypool::BoxError;

/// A request that got no answer. Its text says where it failed, in the words of hyper-util's client, by which
/// [`judge_error`](tower_keypool::judge_error) knows whether anything was sent; its source says why.
#[derive(Debug)]
pub struct Error {
    step: Step,
    source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Address,
    Connect,
    Canceled,
    SendRequest,
    Begin,
    Late,
}

impl Error {
    /// It names another place than the provider's.
    pub(super) fn address() -> Self {
        Self { step: Step::Address, source: None }
    }

    /// There is no connection.
    pub(super) fn connect(source: impl Into<BoxError>) -> Self {
        Self { step: Step::Connect, source: Some(source.into()) }
    }

    /// Nothing of it was sent, over a connection of its own.
    pub(super) fn canceled(source: hyper::Error) -> Self {
        Self { step: Step::Canceled, source: Some(source.into()) }
    }

    /// It was sent, or a part of it.
    pub(super) fn sent(source: hyper::Error) -> Self {
        Self { step: Step::SendRequest, source: Some(source.into()) }
    }

    /// It was sent, and nothing came in time.
    pub(super) fn late(source: io::Error) -> Self {
        Self { step: Step::Late, source: Some(source.into()) }
    }

    /// The head of its answer came, and nothing behind it.
    pub(super) fn unbegun(source: BoxError) -> Self {
        Self { step: Step::Begin, source: Some(source) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            Step::Address => "the request is for another host than the provider's",
            Step::Connect => "client error (Connect)",
            Step::Canceled => "client error (Canceled)",
            Step::SendRequest => "client error (SendRequest)",
            Step::Late => "no answer within the time that it has to begin",
            Step::Begin => "the answer ended before its body began",
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
