//! Whose quota it is, as answers say: models and keys that turn out to have one.

use std::collections::BTreeSet;

use super::{
    described::{KEYS, MODELS, key_of, owner},
    schedule::{Held, Run},
};
use crate::{QuotaNews, Verdict};

/// The key whose owner a key has; `one`: those that nobody gave an owner have one.
fn root(key: usize, one: bool) -> usize {
    if one { key.min(4) } else { key }
}

impl Run {
    /// Whether those that nobody gave an owner have one.
    fn is_one(&self) -> bool {
        self.grouped.len() == 2
    }

    /// A key's owner, by what answers said.
    pub(super) fn owner(&self, key: usize) -> String {
        owner(root(key, self.is_one()))
    }

    pub(super) fn group(&mut self, lease: usize) {
        let Some(held) = self.held.get(lease) else { return };
        let key = key_of(held.lease.key_id());
        if key < 4 {
            return;
        }
        let news = QuotaNews { consumer: Some("projects/1".to_owned()), ..QuotaNews::default() };
        held.lease.judge(&Verdict::SUCCESS.news(news));
        let was = self.is_one();
        self.grouped.insert(key);
        if was || !self.is_one() {
            return;
        }
        let (from, into) = (owner(5), owner(4));
        for model in MODELS {
            let before = self.starts.merge(&from, &into, model);
            for held in self.held.iter_mut().filter(|held| held.lane == model && key_of(held.lease.key_id()) == 5) {
                held.number += before;
            }
        }
        let moved: Vec<_> = self.rests.extract_if(|(_, name, _), _| *name == from).collect();
        for ((scope, _, lane), (until, started)) in moved {
            let rest = self.rests.entry((scope, into.clone(), lane)).or_insert((until, started));
            rest.0 = rest.0.max(until);
        }
        let lifts = self.lifts.remove(&from).unwrap_or_default();
        *self.lifts.entry(into).or_default() += lifts;
    }

    /// In whose quota a model counts.
    pub(super) fn lane<'a>(&self, model: &'a str) -> &'a str {
        if self.follows { MODELS[0] } else { model }
    }

    pub(super) fn follow(&mut self, lease: usize) {
        let Some(held) = self.held.get(lease).filter(|held| held.lease.model() == Some(MODELS[1])) else { return };
        let news = QuotaNews { quota_model: Some(MODELS[0].to_owned()), ..QuotaNews::default() };
        held.lease.judge(&Verdict::SUCCESS.news(news));
        if std::mem::replace(&mut self.follows, true) {
            return;
        }
        let owners: BTreeSet<String> = (0..KEYS).map(owner).collect();
        for name in owners {
            let before = self.starts.join(&name, MODELS[1], MODELS[0]);
            let one = self.is_one();
            let moved =
                |held: &&mut Held| held.lane == MODELS[1] && owner(root(key_of(held.lease.key_id()), one)) == name;
            for held in self.held.iter_mut().filter(moved) {
                (held.number, held.lane) = (held.number + before, MODELS[0].to_owned());
            }
        }
        let moved: Vec<_> = self.rests.extract_if(|(_, _, lane), _| lane == MODELS[1]).collect();
        for ((scope, name, _), (until, started)) in moved {
            let rest = self.rests.entry((scope, name, MODELS[0].to_owned())).or_insert((until, started));
            rest.0 = rest.0.max(until);
        }
    }
}
