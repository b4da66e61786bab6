//! What processes told each other, by scope. It is known which revisions are over, so that a store drops their rows.

use std::{collections::BTreeMap, mem, ops::Deref};

use serde::{Deserialize, Serialize};

use super::{names::is_name, wire::Rest};

/// A fact that ended so long ago concerns nobody, and is forgotten: its generations begin anew.
pub(crate) const CONCERNS: i64 = 3_600_000;
/// By so much longer a name is kept at the least when it is said once more: each time would be another change.
const LONGER: i64 = 12 * 3_600_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Facts {
    by_scope: BTreeMap<String, Rest>,
    /// Revisions that are over since this was asked last.
    #[serde(skip)]
    over: Vec<u64>,
}

impl Facts {
    /// Whether what is said now takes the place of what is known. Of a name of one generation what was said first holds.
    pub(super) fn is_news(&self, scope: &str, generation: u32, until: i64, why: &str) -> bool {
        let Some(held) = self.by_scope.get(scope) else { return true };
        if is_name(scope) && generation == held.generation {
            return why == held.why && until > held.until.saturating_add(LONGER);
        }
        (generation, until) > (held.generation, held.until)
    }

    pub(super) fn put(&mut self, scope: &str, rest: Rest) {
        match self.by_scope.get_mut(scope) {
            Some(held) => self.over.push(mem::replace(held, rest).revision),
            None => drop(self.by_scope.insert(scope.to_owned(), rest)),
        }
    }

    /// Forgets what ended long ago.
    pub(super) fn forget_old(&mut self, now: i64) {
        self.retain(|_, rest| rest.until == i64::MAX || now - rest.until < CONCERNS);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&str, &Rest) -> bool) {
        let over = &mut self.over;
        self.by_scope.retain(|scope, rest| {
            let keep = keep(scope, rest);
            if !keep {
                over.push(rest.revision);
            }
            keep
        });
    }

    /// Revisions that are over; asked once.
    pub(super) fn take_over(&mut self) -> Vec<u64> {
        mem::take(&mut self.over)
    }
}

impl Deref for Facts {
    type Target = BTreeMap<String, Rest>;

    fn deref(&self) -> &Self::Target {
        &self.by_scope
    }
}

impl PartialEq for Facts {
    fn eq(&self, other: &Self) -> bool {
        self.by_scope == other.by_scope
    }
}

impl FromIterator<(String, Rest)> for Facts {
    fn from_iter<I: IntoIterator<Item = (String, Rest)>>(facts: I) -> Self {
        Self { by_scope: facts.into_iter().collect(), over: Vec::new() }
    }
}
