//! The limits given to an owner: by several keys, each may say its own. Of two for the same unit and window the stricter
//! holds.

use std::sync::Arc;

use super::{event::Event, plans::find, roster::Roster, state::State};
use crate::{
    key::Tier,
    limit::{Limit, Limits},
};

/// Of several limits that one key gives for a model, the last.
pub(super) fn last_of_each(given: &[(String, Limits)]) -> Vec<(String, Limits)> {
    let mut last: Vec<(String, Limits)> = Vec::with_capacity(given.len());
    for (model, limits) in given {
        last.retain(|(known, _)| known != model);
        last.push((model.clone(), limits.clone()));
    }
    last
}

/// Both, and the smaller amount where both limit the same.
pub(super) fn stricter(one: &Limits, other: &Limits) -> Limits {
    let tighter = |limit: &&Limit| find(other, **limit).is_none_or(|held| limit.amount < held.amount);
    one.iter().filter(tighter).fold(other.clone(), |limits, limit| limits.with(*limit))
}

impl Roster {
    /// Limits given for this owner and model: the model's own before `*`.
    pub(super) fn limits(&self, owner: u32, model: &str) -> Option<&Limits> {
        self.limits_named(owner, model).or_else(|| self.limits_named(owner, "*"))
    }

    fn limits_named(&self, owner: u32, model: &str) -> Option<&Limits> {
        let limits = &self.owners[owner as usize].extra.as_ref()?.limits;
        limits.iter().find(|(name, _)| name == model).map(|(_, limits)| limits)
    }

    pub(super) fn tier(&self, owner: u32) -> Option<&Tier> {
        self.owners[owner as usize].extra.as_ref()?.tier.as_ref()
    }

    /// One more key says what its owner's limits are. What they do not agree on is [news](Roster::news).
    pub(super) fn give_limits(&mut self, owner: u32, given: &[(String, Limits)]) {
        let extra = self.owners[owner as usize].extra.get_or_insert_default();
        for (model, limits) in last_of_each(given) {
            let Some(at) = extra.limits.iter().position(|(known, _)| *known == model) else {
                extra.limits.push((model, limits));
                continue;
            };
            let held = extra.limits[at].1.clone();
            let both = stricter(&held, &limits);
            for limit in limits.iter() {
                let (Some(before), Some(kept)) = (find(&held, *limit), find(&both, *limit)) else { continue };
                let told = extra.contested.iter().any(|(known, like)| *known == model && *like == kept);
                if before.amount != limit.amount && !told {
                    let owner = extra.name.as_deref().or(extra.consumer.as_deref()).unwrap_or("").to_owned();
                    let other = before.amount.max(limit.amount);
                    self.news.push(Event::Contested { owner, model: model.as_str().into(), limit: kept, other });
                    extra.contested.push((model.clone(), kept));
                }
            }
            extra.limits[at].1 = both;
        }
    }
}

impl State {
    /// Two owners turn out to be one: what either was given holds for both.
    pub(super) fn join_given(&mut self, owner: u32, into: u32) {
        let own = |owner: u32| self.roster.owners[owner as usize].extra.as_ref().map(|extra| extra.limits.as_slice());
        let models = [owner, into].into_iter().filter_map(own).flatten().map(|(model, _)| model.clone());
        let mut models: Vec<String> = models.collect();
        models.sort_unstable();
        models.dedup();
        let given = |owner: u32, model: &str| self.given(owner, model).cloned().unwrap_or_default();
        let both = |model: String| {
            let limits = stricter(&given(owner, &model), &given(into, &model));
            (model, limits)
        };
        let limits: Vec<(String, Limits)> = models.into_iter().map(both).collect();
        if !limits.is_empty() {
            self.roster.owners[into as usize].extra.get_or_insert_default().limits = limits;
        }
    }

    /// What was given for a lane: for its model, and for those by name that follow it, whichever is stricter.
    pub(super) fn given_for(&self, lane: u16, owner: u32) -> Limits {
        let own = self.given(owner, &self.lanes[usize::from(lane)].name).cloned().unwrap_or_default();
        let named = |model: &Arc<str>| {
            let of_pool = || self.limits.named(model, self.roster.tier(owner));
            self.roster.limits_named(owner, model).or_else(of_pool)
        };
        let followers = self.lane_of.followers(lane).iter().filter_map(named);
        followers.fold(own, |given, more| stricter(&given, more))
    }

    /// The limits that somebody gave: the owner's own before the pool's.
    pub(super) fn given(&self, owner: u32, model: &str) -> Option<&Limits> {
        self.roster.limits(owner, model).or_else(|| self.limits.of(model, self.roster.tier(owner)))
    }
}
