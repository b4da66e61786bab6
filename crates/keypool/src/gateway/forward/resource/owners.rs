//! One key of each owner, to ask each for what it has.

use std::{collections::HashSet, time::Duration};

use tower_keypool::{Affinity, Demand, Exhausted, KeyPool, KeyState, OutReason};

use super::Resources;
use crate::gateway::admit::capability::hash_of;

/// A key that is back so soon is waited for.
const SOON: Duration = Duration::from_secs(5);
/// What is out for longer is not asked for again by anybody who waits.
const PASSING: Duration = Duration::from_secs(3_600);

/// An owner that may be asked.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Holder {
    /// What it is called where that must not be told.
    pub(in crate::gateway::forward) tag: String,
    /// What leads to its keys; `None`: there are no others.
    pub(in crate::gateway) way: Option<Affinity>,
}

impl Holder {
    /// Whoever this leads to.
    pub(in crate::gateway::forward) fn to(way: Affinity) -> Self {
        let name = match &way {
            Affinity::MustOwner(owner) => owner.to_string(),
            Affinity::MustKey(key) => key.to_string(),
            _ => String::new(),
        };
        let mut tag = hash_of(name.as_bytes());
        tag.truncate(16);
        Self { tag, way: Some(way) }
    }
}

/// So long a key is waited for that somebody waits for so long.
fn soon(wait: Option<Duration>) -> Duration {
    SOON.max(wait.unwrap_or_default())
}

/// Every owner that is not switched off, in an order that stays.
pub(in crate::gateway) async fn of_pool(pool: &KeyPool) -> Vec<Holder> {
    of_keys(pool, |state| state != KeyState::Disabled).await
}

/// Whoever owns any of these keys.
async fn of_keys(pool: &KeyPool, is_meant: impl Fn(KeyState) -> bool) -> Vec<Holder> {
    let pool = pool.clone();
    let snapshot = tokio::task::spawn_blocking(move || pool.snapshot_in_pieces(usize::MAX)).await;
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for key in snapshot.map(|snapshot| snapshot.keys).unwrap_or_default() {
        if !is_meant(key.state) || key.owner.as_ref().is_some_and(|owner| !seen.insert(owner.clone())) {
            continue;
        }
        all.push(Holder::to(key.owner.map_or_else(|| Affinity::MustKey(key.id), Affinity::MustOwner)));
    }
    all.sort_unstable_by(|one, other| one.tag.cmp(&other.tag));
    all
}

/// Every owner of a pool that may be asked; without one, whoever answers.
pub(in crate::gateway) async fn holders(pool: Option<&KeyPool>) -> Vec<Holder> {
    match pool {
        Some(pool) => of_pool(pool).await,
        None => vec![Holder { tag: String::new(), way: None }],
    }
}

/// Those of them who have a key now, or soon: of the others nothing would come but that they have none, as if somebody
/// had asked for a key in vain. Where all are out, the first of them: it says why. `wait`: so long somebody would wait.
pub(in crate::gateway) fn in_reach(
    pool: Option<&KeyPool>,
    mut holders: Vec<Holder>,
    wait: Option<Duration>,
) -> Vec<Holder> {
    let Some(pool) = pool else { return holders };
    let is_out = |holder: &Holder| {
        let way = holder.way.clone()?;
        let out = pool.outlook(Demand::any_model().of_resource().affinity(way))?;
        Some(out.next_in().is_none_or(|next| next > soon(wait)))
    };
    let first = holders.first().cloned();
    holders.retain(|holder| is_out(holder) != Some(true));
    if holders.is_empty() { first.into_iter().collect() } else { holders }
}

/// Who of several owners has a key now, or soon, where an answer is whole only with all of them.
#[derive(Debug)]
pub(in crate::gateway::forward) struct Reach {
    pub(in crate::gateway::forward) here: Vec<Holder>,
    /// Those whom no time that anybody would wait brings back.
    pub(in crate::gateway::forward) away: Vec<Holder>,
    /// In so many seconds the others are back.
    pub(in crate::gateway::forward) later: Option<u64>,
}

impl Reach {
    /// Of the owners of a pool, also of those that are switched off, of whom there may be so many, for somebody who would wait for so
    /// long.
    pub(in crate::gateway::forward) async fn of(
        pool: Option<&KeyPool>,
        (most, wait): (usize, Option<Duration>),
        is_asked: impl Fn(&Holder) -> bool,
    ) -> Self {
        let mut reach = Self { here: Vec::new(), away: Vec::new(), later: None };
        let Some(pool) = pool else {
            reach.here = holders(None).await;
            return reach;
        };
        let mut holders: Vec<Holder> = of_keys(pool, |_| true).await.into_iter().filter(is_asked).collect();
        if holders.len() > most {
            reach.away = holders.split_off(most);
        }
        for holder in holders {
            let demand = Demand::any_model().of_resource();
            let demand = holder.way.clone().map_or_else(|| demand.clone(), |way| demand.clone().affinity(way));
            match pool.outlook(demand) {
                Some(out) if out.next_in().is_none_or(|next| next > soon(wait)) => match back_in(&out) {
                    Some(after) => reach.later = reach.later.max(Some(after)),
                    None => reach.away.push(holder),
                },
                _ => reach.here.push(holder),
            }
        }
        reach
    }
}

/// In how many seconds there is a key, where what keeps them passes by itself: a limit, a fault at the provider.
pub(in crate::gateway::forward) fn back_in(out: &Exhausted) -> Option<u64> {
    use OutReason::{
        Busy, ExitRests, Full, HeldElsewhere, Interval, LaterPriority, Overloaded, Queued, RateLimited,
        StoreUnreachable, Unwritten,
    };
    let passes = |reason| {
        matches!(
            reason,
            Full(..)
                | RateLimited
                | Overloaded
                | ExitRests
                | Busy
                | Interval
                | LaterPriority
                | Queued
                | Unwritten
                | HeldElsewhere
                | StoreUnreachable
        )
    };
    let next = out.next_in().or_else(|| out.lends_in()).unwrap_or_default();
    (next <= PASSING && out.reasons().any(|(reason, _)| passes(reason)))
        .then(|| (next.as_secs_f64().ceil() as u64).max(1))
}

impl Resources {
    /// Every owner that may be asked.
    pub(in crate::gateway) async fn holders(&self) -> Vec<Holder> {
        holders(self.0.pool.as_ref()).await
    }

    /// Every owner, also of keys that are switched off.
    pub(in crate::gateway) async fn all_holders(&self) -> Vec<Holder> {
        match &self.0.pool {
            Some(pool) => of_keys(pool, |_| true).await,
            None => holders(None).await,
        }
    }

    /// Those of them who are [in reach](in_reach).
    pub(in crate::gateway) fn in_reach(&self, holders: Vec<Holder>, wait: Option<Duration>) -> Vec<Holder> {
        in_reach(self.0.pool.as_ref(), holders, wait)
    }
}
