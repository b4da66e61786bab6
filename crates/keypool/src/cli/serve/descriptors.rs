//! How many connections the system lets this process have.

use std::fmt;

/// As many as this many clients need may be open from here on, or what the system allows where that is fewer.
pub(super) fn raise(clients: usize) -> Option<TooFew> {
    // A client's request has a connection upstream besides.
    let most = most(2 * clients as u64)?;
    (most < 2 * clients as u64).then_some(TooFew { most, clients })
}

/// Fewer than clients may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooFew {
    most: u64,
    clients: usize,
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { most, clients } = self;
        write!(
            f,
            "this process may have {most} files and connections open (ulimit -n, LimitNOFILE), and each request of \
             gateway.max_connections = {clients} clients takes two: beyond that nobody is let in until others have gone"
        )
    }
}

/// The limit, after it was raised to so many as far as that goes; `None`: there is none.
#[cfg(unix)]
fn most(wanted: u64) -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if raised <= current {
        return Some(current);
    }
    let raises = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    Some(if raises.is_ok() { raised } else { current })
}

#[cfg(not(unix))]
fn most(_: u64) -> Option<u64> {
    None
}
