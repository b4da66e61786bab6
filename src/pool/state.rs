//! Provisional: a linear scan, until the exact pool lands.
use super::{Demand, Exhausted, Seat};
use crate::{
    error::{Error, KeyError, Kind},
    key::{Key, KeyId, Secret},
    provider::Provider,
    time::{Now, Tick},
    verdict::{Scope, Until, Verdict},
};
pub(super) struct State {
    keys: Vec<K>,
    leases: Vec<(u32, u32)>,
    next: u64,
}
struct K {
    id: KeyId,
    secret: Secret,
    inflight: u32,
    last: u64,
    until: Tick,
}
pub(super) struct Picked {
    pub(super) seat: Seat,
    pub(super) key: KeyId,
    pub(super) secret: Secret,
}
impl State {
    pub(super) fn new(keys: Vec<Key>, provider: &dyn Provider) -> Result<Self, KeyError> {
        let mut out = Vec::new();
        for (n, key) in keys.into_iter().enumerate() {
            let secret = provider.prepare(&key.secret).map_err(|source| KeyError::Secret { key: n, source })?;
            out.push(K { id: key.key_id(), secret, inflight: 0, last: 0, until: Tick::ZERO });
        }
        Ok(Self { keys: out, leases: Vec::new(), next: 0 })
    }
    pub(super) fn pick(&mut self, demand: &Demand, now: Now) -> Result<Picked, Error> {
        self.next += 1;
        let next = self.next;
        let tried = demand.earlier.as_deref().unwrap_or_default();
        let best = self
            .keys
            .iter_mut()
            .enumerate()
            .filter(|(_, k)| k.until <= now.tick && !tried.iter().any(|a| a.key == k.id))
            .min_by_key(|(_, k)| (k.inflight, k.last));
        let Some((slot, key)) = best else {
            return Err(Error::new(Kind::Exhausted(Exhausted {
                model: demand.model.clone(),
                keys: self.keys.len(),
                ..Exhausted::default()
            })));
        };
        key.inflight += 1;
        key.last = next;
        self.leases.push((slot as u32, 0));
        Ok(Picked {
            seat: Seat { index: self.leases.len() as u32 - 1, generation: 0 },
            key: key.id.clone(),
            secret: key.secret.clone(),
        })
    }
    pub(super) fn end(&mut self, seat: Seat) {
        let slot = self.leases[seat.index as usize].0;
        self.keys[slot as usize].inflight -= 1;
    }
    pub(super) fn judge(&mut self, seat: Seat, verdict: &Verdict, now: Now) {
        let slot = self.leases[seat.index as usize].0;
        if !matches!(
            verdict.scope_of(),
            Scope::Key | Scope::KeyLane | Scope::Owner | Scope::OwnerLane | Scope::BillingAccount
        ) {
            return;
        }
        let until = match verdict.until_of() {
            Until::Now => return,
            Until::Backoff => now.tick.plus(std::time::Duration::from_secs(10)),
            Until::For(d) => now.tick.plus(d),
            _ => Tick::NEVER,
        };
        let key = &mut self.keys[slot as usize];
        key.until = key.until.max(until);
    }
}
