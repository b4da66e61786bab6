//! The limits of the number of connections: of all clients, and of each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::GatewaySection;

/// The open connections of a listening socket.
pub(super) struct Connections {
    all: Arc<Semaphore>,
    most_per_address: u32,
    by_address: Mutex<HashMap<IpAddr, u32>>,
}

/// Counts a connection against the limits until its last request or session ends.
#[derive(Clone)]
pub(super) struct Connection(#[expect(dead_code, reason = "held")] Arc<Counted>);

struct Counted {
    connections: Arc<Connections>,
    address: IpAddr,
    #[expect(dead_code, reason = "held")]
    permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(gateway: &GatewaySection) -> Self {
        Self {
            all: Arc::new(Semaphore::new(gateway.max_connections as usize)),
            most_per_address: gateway.max_connections_per_address,
            by_address: Mutex::default(),
        }
    }

    /// Counts a new connection. The connections of loopback addresses are limited only by their total.
    ///
    /// # Errors
    /// The status of the response, if a limit is reached.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Connection, &'static str> {
        let permit = Arc::clone(&self.all).try_acquire_owned().map_err(|_| "503 Service Unavailable")?;
        let address = network(address);
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= self.most_per_address && !address.is_loopback() {
            return Err("429 Too Many Requests");
        }
        *count += 1;
        Ok(Connection(Arc::new(Counted { connections: Arc::clone(self), address, permit })))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.connections.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Returns an IPv4 address, or the /64 network of an IPv6 address, since one client owns all of it.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}
