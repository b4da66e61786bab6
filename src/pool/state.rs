//! Provisional: a linear scan, until the exact pool lands.
use super::{Demand, Exhausted, OutReason, Seat};
use crate::{
    error::{Error, KeyError, Kind},
    key::{Key, KeyId, Secret},
    provider::Provider,
    time::{Now, Tick},
    verdict::{Scope, Until, Verdict},
};
pub(super) struct State {
    keys: Vec<K>,
    leases: Vec<Option<u32>>,
    next: u64,
}
struct K {
    id: KeyId,
    secret: Secret,
    inflight: u32,
    max: u32,
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
            let max = key.max_concurrent.map_or(u32::MAX, u32::from);
            out.push(K { id: key.key_id(), secret, inflight: 0, max, last: 0, until: Tick::ZERO });
        }
        Ok(Self { keys: out, leases: Vec::new(), next: 0 })
    }
    pub(super) fn pick(&mut self, demand: &Demand, now: Now) -> Result<Picked, Error> {
        self.next += 1;
        let next = self.next;
        let tried = demand.earlier.as_deref().unwrap_or_default();
        let model = demand.model.as_deref();
        let barred = |k: &K| tried.iter().any(|a| a.key == k.id && (a.bars_key(model) || a.bars_owner()));
        let best = self
            .keys
            .iter_mut()
            .enumerate()
            .filter(|(_, k)| k.until <= now.tick && k.inflight < k.max && !barred(k))
            .min_by_key(|(_, k)| (tried.iter().any(|a| a.key == k.id), k.inflight, k.last));
        let Some((slot, key)) = best else {
            let mut exhausted =
                Exhausted { model: demand.model.clone(), keys: self.keys.len(), ..Exhausted::default() };
            for key in &self.keys {
                let reason = if barred(key) {
                    OutReason::Tried
                } else if key.until > now.tick {
                    if key.until < Tick::NEVER {
                        let wakes = key.until.since(now.tick);
                        exhausted.next_in = Some(exhausted.next_in.map_or(wakes, |n| n.min(wakes)));
                    }
                    OutReason::RateLimited
                } else {
                    OutReason::Busy
                };
                *exhausted.reasons.entry(reason).or_default() += 1;
            }
            return Err(Error::new(Kind::Exhausted(exhausted)));
        };
        key.inflight += 1;
        key.last = next;
        self.leases.push(Some(slot as u32));
        Ok(Picked {
            seat: Seat { index: self.leases.len() as u32 - 1, generation: 0 },
            key: key.id.clone(),
            secret: key.secret.clone(),
        })
    }
    pub(super) fn end(&mut self, seat: Seat) {
        if let Some(slot) = self.leases[seat.index as usize].take() {
            self.keys[slot as usize].inflight -= 1;
        }
    }
    pub(super) fn judge(&mut self, seat: Seat, verdict: &Verdict, now: Now) {
        let Some(slot) = self.leases[seat.index as usize] else { return };
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
