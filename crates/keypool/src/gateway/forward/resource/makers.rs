//! Who made what a provider of another dialect than Gemini's gave an id to: that account alone has it. So what is made one after
//! the other had better be made by one.

use std::{collections::HashMap, slice, sync::atomic::Ordering};

use http::StatusCode;
use tower_keypool::{Affinity, KeyId, KeyPool};

use super::{By, Resources, holders, in_reach, runs::Whose};
use crate::gateway::{
    admit::tenant::Tenant,
    dialect::{Dialect, Refusal},
    unix_time::unix_ms,
};

/// So many are a run: a store of vectors has as many files.
const MOST: u32 = 10_000;
const APART: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "what the request names lies with several accounts of this provider, of which none sees all: make it anew, one after the \
     other, or name a session with all of it (x-keypool-session)",
);

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

/// Whose things at a provider beside or instead of Gemini's lie together.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Together(Whose);

impl Together {
    /// Those of a tenant, or of a session of its.
    pub(in crate::gateway) fn of(tenant: &Tenant, provider: &str, session: Option<u64>) -> Self {
        Self(Whose { tenant: format!("{}\n{provider}", tenant.name()).into(), session })
    }
}

impl Resources {
    /// What leads to whoever made those of these names that are known, or whose list showed them. `None` where nothing of it is
    /// known, or its maker is no more in the pool: then it is tried as ever.
    ///
    /// # Errors
    /// 400 where several accounts have them: none sees all.
    pub(in crate::gateway) async fn way_to_makers(
        &self,
        names: &[String],
        pool: Option<&KeyPool>,
    ) -> Result<Option<Affinity>, Refusal> {
        if names.is_empty() {
            return Ok(None);
        }
        let found = if self.is_used().await { self.look_up(names).await.unwrap_or_default() } else { HashMap::new() };
        let mut way = None;
        for name in names {
            let shown = self.0.shown.holders(slice::from_ref(name));
            let holders = found.get(name).map(|owned| &owned.by).into_iter().chain(shown.iter().map(|by| &**by));
            let mut ways = holders.filter_map(|by| by.leads_in(pool));
            let Some(leads) = ways.next() else { continue };
            // What two accounts have is nobody's alone, since they are one.
            if ways.all(|other| other == leads) && *way.get_or_insert_with(|| leads.clone()) != leads {
                return Err(APART);
            }
        }
        Ok(way)
    }

    /// The same where it is tried as ever what several have.
    pub(in crate::gateway) async fn way_to_maker(&self, names: &[String], pool: Option<&KeyPool>) -> Option<Affinity> {
        self.way_to_makers(names, pool).await.ok()?
    }

    /// Where something had better be made: with what was made before it, since a request may name both. The first of a run goes
    /// to the next account in turn; in a session, to that which answers its calls.
    pub(super) async fn place_of_next(&self, Together(whose): &Together, pool: Option<&KeyPool>) -> Option<Affinity> {
        let accounts = in_reach(pool, holders(pool).await, None);
        // Nobody waits in between, so that the first of them has its place when the next one comes.
        let next = self.0.runs.next_at_once(whose, (unix_ms(&self.0.clock), MOST), || {
            if whose.session.is_some() {
                return None;
            }
            let turn = self.0.turn.fetch_add(1, Ordering::Relaxed);
            accounts.get(turn % accounts.len().max(1))?.way.clone()
        });
        next.filter(|way| lasts(way, pool))
    }

    /// Where a call had better be answered whose answer is kept.
    pub(in crate::gateway) fn place_of_answer(
        &self,
        Together(whose): &Together,
        pool: Option<&KeyPool>,
    ) -> Option<Affinity> {
        self.0.runs.firm(whose, unix_ms(&self.0.clock)).filter(|way| lasts(way, pool))
    }

    /// What lies there was named where something was made: what is made next had better lie there, too.
    pub(super) fn lies(&self, Together(whose): &Together, way: &Affinity) {
        self.0.runs.began(whose, way.clone(), unix_ms(&self.0.clock));
    }

    /// The same where it was named by a call, or looked at.
    pub(in crate::gateway) fn was_named(&self, Together(whose): &Together, way: &Affinity) {
        self.0.runs.answered(whose, way.clone(), unix_ms(&self.0.clock), true);
    }

    /// Something was made with this key; `answer`: by a call.
    pub(super) fn made(&self, together: &Together, (key, pool): (&KeyId, Option<&KeyPool>), answer: bool) {
        let Some(way) = By::key(pool, key).leads_in(pool) else { return };
        if answer {
            self.0.runs.answered(&together.0, way, unix_ms(&self.0.clock), false);
        } else {
            self.lies(together, &way);
        }
    }
}

/// Whoever is out for the day is of no use to what will be asked about.
fn lasts(way: &Affinity, pool: Option<&KeyPool>) -> bool {
    pool.is_none_or(|pool| !pool.is_outlasted(way))
}
