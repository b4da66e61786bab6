//! Who made what a provider of another dialect than Gemini's gave an id to: that account alone has it.

use http::request::Parts;
use tower_keypool::{Affinity, Demand, KeyId, KeyPool};

use super::{By, Resources, ids};
use crate::gateway::dialect::Dialect;

/// Whose ids an answer gives: a provider's that speaks this dialect and is called so, by a key of this pool.
#[derive(Debug)]
pub(in crate::gateway) struct Gives {
    pub(in crate::gateway) dialect: Dialect,
    pub(in crate::gateway) provider: String,
    pub(in crate::gateway) pool: Option<KeyPool>,
}

impl By {
    /// What leads to the keys of this pool that see it.
    pub(super) fn leads_in(&self, pool: Option<&KeyPool>) -> Option<Affinity> {
        let key = KeyId::from(self.key.as_str());
        match pool {
            Some(pool) => pool.affinity_to(&key, self.owner.as_deref()),
            None => Some(Affinity::MustKey(key)),
        }
    }
}

impl Resources {
    /// What leads to whoever made those of these names that are known. `None` where nothing of it is known, its maker is no more
    /// in the pool, or there are several: then it is tried as ever.
    pub(in crate::gateway) async fn way_to_maker(&self, names: &[String], pool: Option<&KeyPool>) -> Option<Affinity> {
        if names.is_empty() || !self.is_used().await {
            return None;
        }
        let found = self.look_up(names).await.ok()?;
        let mut ways = found.values().filter_map(|owned| owned.by.leads_in(pool));
        let way = ways.next()?;
        ways.all(|other| other == way).then_some(way)
    }

    /// Has a request whose path names an answer (`/v1/responses/resp_1/input_items`) carried by a key of the account that made
    /// it, where that is known.
    pub(in crate::gateway) async fn lead_to_answer(&self, parts: &mut Parts, provider: &str, pool: Option<&KeyPool>) {
        let Some(id) = answer_in(parts.uri.path()) else { return };
        let names = [ids::kept_as(provider, id)];
        // Few requests are such: the others need not carry room for it.
        if let Some(way) = Box::pin(self.way_to_maker(&names, pool)).await {
            let demand = parts.extensions.remove::<Demand>().unwrap_or_default();
            parts.extensions.insert(demand.affinity(way).of_resource());
        }
    }
}

/// The answer that a path names.
fn answer_in(path: &str) -> Option<&str> {
    let (_, behind) = path.split_once("/responses/")?;
    behind.split('/').next().filter(|id| id.starts_with("resp"))
}
