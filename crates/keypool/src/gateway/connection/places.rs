//! How many connections may be open, in all and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::net::TcpStream;

/// Those who are in. A cheap handle.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Crowd(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    most_of_one: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<IpAddr, usize>,
    refused: u64,
}

/// A connection that was let in; its place is free again once this is dropped.
#[derive(Debug)]
pub(in crate::gateway) struct Place {
    crowd: Crowd,
    of: Option<IpAddr>,
}

/// Why one was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Full {
    /// There are as many as there may be.
    All,
    /// There are as many of this address.
    Address,
}

impl Full {
    /// Tells a client that spoke no TLS, as far as it may be told without waiting for it, and lets it go.
    pub(in crate::gateway) fn tell(self, stream: &TcpStream) {
        let text: &[u8] = match self {
            Self::All => {
                b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: text/plain\r\n\
                  content-length: 46\r\n\r\nthis gateway has as many connections as it may"
            }
            Self::Address => {
                b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: text/plain\r\n\
                  content-length: 50\r\n\r\nthis address has as many connections as one may be"
            }
        };
        let _ = stream.try_write(text);
    }
}

impl Crowd {
    /// With room for so many, and so many of one address.
    pub(in crate::gateway) fn new(most: usize, most_of_one: usize) -> Self {
        Self(Arc::new(Inner { most, most_of_one, open: Mutex::default() }))
    }

    /// A place for a connection from this address.
    pub(in crate::gateway) fn enter(&self, from: IpAddr) -> Result<Place, Full> {
        let of = household(from);
        let mut open = self.open();
        let full = if open.all >= self.0.most {
            Some(Full::All)
        } else if of.is_some_and(|of| open.of.get(&of).is_some_and(|count| *count >= self.0.most_of_one)) {
            Some(Full::Address)
        } else {
            None
        };
        if let Some(full) = full {
            open.refused += 1;
            let refused = open.refused;
            drop(open);
            // Not a line for each: whoever knocks in vain knocks often.
            if refused.is_power_of_two() {
                tracing::warn!("connections refused, {refused} by now: the last one from {from}, {}", full.why());
            }
            return Err(full);
        }
        open.all += 1;
        if let Some(of) = of {
            *open.of.entry(of).or_default() += 1;
        }
        Ok(Place { crowd: self.clone(), of })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Full {
    fn why(self) -> &'static str {
        match self {
            Self::All => "since there are gateway.max_connections of them",
            Self::Address => "which has gateway.max_connections_per_address of them",
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.crowd.open();
        open.all -= 1;
        if let Some(of) = self.of
            && let Some(count) = open.of.get_mut(&of)
        {
            *count -= 1;
            if *count == 0 {
                open.of.remove(&of);
            }
        }
    }
}

/// Who counts as one: of IPv6 the network that one customer has. This machine has no bound of its own.
fn household(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    if address.is_loopback() {
        return None;
    }
    let IpAddr::V6(network) = address else { return Some(address) };
    let [a, b, c, d, ..] = network.segments();
    Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &Crowd, from: &str) -> Result<Place, Full> {
        crowd.enter(from.parse().unwrap())
    }

    #[test]
    fn an_address_has_its_bound_and_all_together_have_one() {
        let crowd = Crowd::new(5, 2);
        let first = enter(&crowd, "192.0.2.1").unwrap();
        let _second = enter(&crowd, "::ffff:192.0.2.1").unwrap();
        assert_eq!(enter(&crowd, "192.0.2.1").unwrap_err(), Full::Address);
        drop(first);
        let _again = enter(&crowd, "192.0.2.1").unwrap();
        let _other = enter(&crowd, "2001:db8::1").unwrap();
        let _neighbour = enter(&crowd, "2001:db8::2:0:0:1").unwrap();
        assert_eq!(enter(&crowd, "2001:db8:0:0:ffff::").unwrap_err(), Full::Address, "of one network");
        let last = enter(&crowd, "127.0.0.1").unwrap();
        assert_eq!(enter(&crowd, "127.0.0.1").unwrap_err(), Full::All);
        assert_eq!(enter(&crowd, "198.51.100.1").unwrap_err(), Full::All);
        drop(last);
        let _elsewhere = enter(&crowd, "198.51.100.1").unwrap();
    }

    #[test]
    fn this_machine_has_no_bound_of_its_own_and_nothing_is_kept_of_those_who_left() {
        let crowd = Crowd::new(100, 1);
        let places: Vec<Place> = ["127.0.0.1", "127.0.0.1", "::1", "::1", "::ffff:127.9.9.9", "192.0.2.1"]
            .map(|from| enter(&crowd, from).unwrap())
            .into();
        drop(places);
        assert!(crowd.open().of.is_empty());
        assert_eq!(crowd.open().all, 0);
    }
}
