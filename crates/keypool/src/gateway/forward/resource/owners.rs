//! One key of each owner, to ask each for what it has.

use std::{collections::HashSet, time::Duration};

use tower_keypool::{Affinity, Demand, KeyPool, KeyState};

use super::Resources;
use crate::gateway::admit::capability::hash_of;

/// A key that is back so soon is waited for.
const SOON: Duration = Duration::from_secs(5);

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

/// Every owner that is not switched off, in an order that stays.
pub(in crate::gateway) async fn of_pool(pool: &KeyPool) -> Vec<Holder> {
    let pool = pool.clone();
    let snapshot = tokio::task::spawn_blocking(move || pool.snapshot_in_pieces(usize::MAX)).await;
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for key in snapshot.map(|snapshot| snapshot.keys).unwrap_or_default() {
        if key.state == KeyState::Disabled || key.owner.as_ref().is_some_and(|owner| !seen.insert(owner.clone())) {
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
/// had asked for a key in vain. Where all are out, the first of them: it says why.
pub(in crate::gateway) fn in_reach(pool: Option<&KeyPool>, mut holders: Vec<Holder>) -> Vec<Holder> {
    let Some(pool) = pool else { return holders };
    let is_out = |holder: &Holder| {
        let way = holder.way.clone()?;
        let out = pool.outlook(Demand::any_model().of_resource().affinity(way))?;
        Some(out.next_in().is_none_or(|next| next > SOON))
    };
    let first = holders.first().cloned();
    holders.retain(|holder| is_out(holder) != Some(true));
    if holders.is_empty() { first.into_iter().collect() } else { holders }
}

impl Resources {
    /// Every owner that may be asked.
    pub(in crate::gateway) async fn holders(&self) -> Vec<Holder> {
        holders(self.0.pool.as_ref()).await
    }

    /// Those of them who are [in reach](in_reach).
    pub(in crate::gateway) fn in_reach(&self, holders: Vec<Holder>) -> Vec<Holder> {
        in_reach(self.0.pool.as_ref(), holders)
    }
}
