//! What a process put into the counts that all share, so that it can put it there again where the store has lost it.
//!
//! Beside each count stands another one, of this process alone, to which it adds as much. Where that holds less than was
//! put there, the store forgot, or a stale copy took its place: what is missing is added to both again, and for a moment
//! nothing is drawn, until all others that live have done the same.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tower_keypool::store::{Count, Ledger, StoreError};

use super::{
    budget::{Budgets, of},
    kinds::{KINDS, Kind},
    tenant::Tenant,
};

/// For so long nothing is drawn after a loss: by then whoever lives has looked.
const SETTLES: i64 = 4_000;
/// How often it is looked whether anything is lost, though nothing is drawn or written.
pub(super) const CHECK: i64 = 2_000;

/// Of one limit, in the minute or on the day that is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// What its own count holds.
    pub(super) known: i64,
    /// What was drawn since.
    pub(super) untold: i64,
    /// What was lost of both counts, and of the shared one alone.
    again: i64,
    shared: i64,
    /// How often anything was.
    losses: u32,
}

impl Told {
    /// Whether its own count is to hold anything.
    pub(super) fn is_something(self) -> bool {
        self.known > 0 || self.untold > 0 || self.is_to_be_told_again()
    }

    pub(super) fn is_to_be_told_again(self) -> bool {
        self.again > 0 || self.shared > 0
    }

    /// Its own count holds `sum`, as was said to a process that had told so much before and `by` with it, of which
    /// `untold` was drawn already. `true`: the store has lost some of it.
    pub(super) fn heard(&mut self, before: Self, (by, untold): (i64, i64), sum: u64) -> bool {
        if self.losses != before.losses {
            return false;
        }
        self.untold = (self.untold - untold).max(0);
        let sum = i64::try_from(sum).unwrap_or(i64::MAX);
        let missing = (before.known + by).saturating_sub(sum);
        if missing <= 0 {
            self.known += by;
            return false;
        }
        // What was drawn and not told was in the store as it was.
        *self = Self {
            known: sum,
            untold: 0,
            again: self.again + missing,
            shared: self.shared + self.untold + untold,
            losses: self.losses + 1,
        };
        true
    }
}

/// What no other process is called.
pub(super) fn name() -> Arc<str> {
    let mut random = [0; 8];
    if getrandom::fill(&mut random).is_err() {
        random = u64::from(std::process::id()).to_be_bytes();
    }
    format!("{:016x}", u64::from_be_bytes(random)).into()
}

impl Budgets {
    /// What the count is called that is this process's own.
    pub(super) fn own_count(&self, kind: &Kind, tenant: &str, now: i64) -> String {
        format!("{}\n{}", kind.count(tenant, now), self.me)
    }

    /// Looks whether the store still knows what this process put there.
    pub(super) async fn has_lost_none(&self, tenant: &Tenant, at: usize, now: i64) -> Result<(), StoreError> {
        let (kind, name) = (&KINDS[at], tenant.name());
        let before = of(&mut self.held(), tenant)[at].in_window(kind.window(now)).told;
        if before.known <= 0 {
            return Ok(());
        }
        let count = Count { name: self.own_count(kind, name, now), by: 0, until: kind.until(now) };
        let sums = self.records.count(vec![count], now).await?;
        let lost = {
            let mut all = self.held();
            let held = &mut of(&mut all, tenant)[at];
            let of_now = held.window == kind.window(now);
            of_now && held.told.heard(before, (0, 0), sums.first().copied().unwrap_or(0))
        };
        if lost {
            self.lost(name, now);
        }
        Ok(())
    }

    /// Waits until what the store has lost is there again, as far as this process and others know it.
    pub(super) async fn settle(&self, now: i64) -> Result<(), StoreError> {
        self.tell_again(now).await?;
        let settles = *self.settles.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a clock that jumped nobody waits for long.
        let wait = settles.saturating_sub(now).clamp(0, SETTLES);
        if wait > 0 {
            tokio::time::sleep(Duration::from_millis(wait.unsigned_abs())).await;
        }
        Ok(())
    }

    /// The store has lost what was in it.
    pub(super) fn lost(&self, tenant: &str, now: i64) {
        tracing::warn!("the store has lost what tenants used ({tenant}): what this process knows of it is told again");
        *self.settles.lock().unwrap_or_else(PoisonError::into_inner) = now.saturating_add(SETTLES);
        self.news.notify_one();
    }

    /// Puts what was lost into the store again.
    pub(super) async fn tell_again(&self, now: i64) -> Result<(), StoreError> {
        let (mut places, mut counts) = (Vec::new(), Vec::new());
        for (name, held) in self.held().iter_mut() {
            for (held, (at, kind)) in held.iter_mut().zip(KINDS.iter().enumerate()) {
                let held = held.in_window(kind.window(now));
                if !held.told.is_to_be_told_again() {
                    continue;
                }
                let (again, shared) = (std::mem::take(&mut held.told.again), std::mem::take(&mut held.told.shared));
                let until = kind.until(now);
                counts.push(Count { name: kind.count(name, now), by: again + shared, until });
                counts.push(Count { name: self.own_count(kind, name, now), by: again, until });
                places.push((name.clone(), at, kind.window(now), again, shared));
            }
        }
        if counts.is_empty() {
            return Ok(());
        }
        let told = self.records.count(counts, now).await;
        let mut all = self.held();
        for (name, at, window, again, shared) in places {
            let held = all.get_mut(&name).map(|held| &mut held[at]);
            let Some(held) = held.filter(|held| held.window == window) else { continue };
            if told.is_ok() {
                held.told.known += again;
            } else {
                (held.told.again, held.told.shared) = (held.told.again + again, held.told.shared + shared);
            }
        }
        told.map(drop)
    }
}
