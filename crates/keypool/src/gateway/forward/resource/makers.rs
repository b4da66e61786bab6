//! Who made what a provider of another dialect than Gemini's gave an id to: that account alone has it.

use std::collections::HashMap;

use tower_keypool::{Affinity, KeyId, KeyPool};

use super::{By, Resources};
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
    /// What leads to whoever made those of these names that are known, or whose list showed them. `None` where nothing of it is
    /// known, its maker is no more in the pool, or there are several: then it is tried as ever.
    pub(in crate::gateway) async fn way_to_maker(&self, names: &[String], pool: Option<&KeyPool>) -> Option<Affinity> {
        if names.is_empty() {
            return None;
        }
        let shown = self.0.shown.holders(names);
        let found = if self.is_used().await { self.look_up(names).await.ok()? } else { HashMap::new() };
        let holders = found.values().map(|owned| &owned.by).chain(shown.iter().map(|by| &**by));
        let mut ways = holders.filter_map(|by| by.leads_in(pool));
        let way = ways.next()?;
        ways.all(|other| other == way).then_some(way)
    }
}
