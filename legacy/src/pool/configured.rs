//! What a configuration says of limits for all owners, by model and tier.

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    lane::Origin,
    state::{MAX_CONFIGURED, MAX_LANES, State},
};
use crate::{
    error::KeyError,
    key::{Key, Tier},
    limit::Limits,
    provider::Provider,
};

/// The name of a model's lane, however it is spelled: `models/X` is `x`. One name for what is asked for and what limits
/// are given for, or limits would hold nobody.
pub(crate) fn lane_name<'a>(provider: &dyn Provider, model: &'a str) -> Cow<'a, str> {
    let bare = provider.lane(model);
    let folded = bare.bytes().any(|byte| byte.is_ascii_uppercase()) && provider.ignores_case();
    if folded { Cow::Owned(bare.to_ascii_lowercase()) } else { Cow::Borrowed(bare) }
}

/// The key with its own limits under the names of lanes.
pub(super) fn by_lane_names(provider: &dyn Provider, mut key: Key) -> Key {
    for (model, _) in &mut key.limits {
        let name = lane_name(provider, model);
        if name != *model {
            *model = name.into_owned();
        }
    }
    key
}

/// Limits by model (`*`: every model without its own), for owners of all tiers or of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GivenLimits {
    all: BTreeMap<String, Limits>,
    of_tier: BTreeMap<String, Vec<(Tier, Limits)>>,
    /// What is assumed of models whose name begins so, in the place of the provider's table.
    known: Vec<(String, Tier, Limits)>,
}

impl GivenLimits {
    pub(super) fn set(&mut self, model: String, limits: Limits) {
        self.all.insert(model, limits);
    }

    pub(super) fn set_for_tier(&mut self, model: String, tier: Tier, limits: Limits) {
        let tiers = self.of_tier.entry(model).or_default();
        tiers.retain(|(held, _)| *held != tier);
        tiers.push((tier, limits));
    }

    pub(super) fn set_known(&mut self, model: String, tier: Tier, limits: Limits) {
        self.known.retain(|(name, held, _)| (name, held) != (&model, &tier));
        self.known.push((model, tier, limits));
    }

    /// Whether all of them can be.
    pub(super) fn check(&self) -> Result<(), KeyError> {
        match self.each().find_map(|(model, limits)| Some((model, limits.fault()?))) {
            Some((model, what)) => Err(KeyError::Limits { model: model.clone(), what }),
            None => Ok(()),
        }
    }

    /// Whether one of them counts tokens.
    pub(super) fn count_tokens(&self) -> bool {
        self.each().any(|(_, limits)| limits.count_tokens())
    }

    fn each(&self) -> impl Iterator<Item = (&String, &Limits)> {
        let of_tiers =
            self.of_tier.iter().flat_map(|(model, tiers)| tiers.iter().map(move |(_, limits)| (model, limits)));
        let known = self.known.iter().map(|(model, _, limits)| (model, limits));
        self.all.iter().chain(of_tiers).chain(known)
    }

    /// What an owner of this tier may use of a model.
    pub(super) fn of(&self, model: &str, tier: Option<&Tier>) -> Option<&Limits> {
        self.named(model, tier).or_else(|| self.named("*", tier))
    }

    /// The same where it is given for this model by name.
    pub(super) fn named(&self, model: &str, tier: Option<&Tier>) -> Option<&Limits> {
        let of_tier = self.of_tier.get(model).zip(tier).and_then(|(tiers, tier)| {
            let same = || tiers.iter().find(|(held, _)| held.is_same(tier));
            tiers.iter().find(|(held, _)| held == tier).or_else(same)
        });
        of_tier.map(|(_, limits)| limits).or_else(|| self.all.get(model))
    }

    /// What is assumed of a model in the place of the provider's table; the longest name wins.
    pub(super) fn known(&self, model: &str, tier: &Tier) -> Option<&Limits> {
        let fits = |name: &str| model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let rows = self.known.iter().filter(|(name, of, _)| of.is_same(tier) && fits(name));
        rows.max_by_key(|(name, of, _)| (name.len(), of == tier)).map(|(_, _, limits)| limits)
    }

    /// The models that have limits of their own; what is given for none holds in the lane of requests without one.
    pub(super) fn models(&self) -> Vec<String> {
        let mut models: Vec<String> = self.all.keys().chain(self.of_tier.keys()).cloned().collect();
        models.sort_unstable();
        models.dedup();
        models.retain(|model| model != "*" && !model.is_empty());
        models
    }
}

impl State {
    /// Limits that count tokens hold from the first request on, though its lane is not there yet.
    pub(super) fn expect_tokens(&self) {
        if self.settings.known_limits || self.limits.count_tokens() {
            self.plans.expect_tokens();
        }
    }

    /// The same of those that a key brings.
    pub(super) fn expect_tokens_of(&self, key: &Key) {
        if key.limits.iter().any(|(_, limits)| limits.count_tokens()) || key.assumed.count_tokens() {
            self.plans.expect_tokens();
        }
    }

    /// A lane that somebody configured limits for.
    pub(super) fn configure_lane(&mut self, model: &str) {
        if !model.is_empty() && self.lane_of.get(model).is_none() && self.lanes.len() < MAX_LANES {
            self.push_lane(model.into(), Origin::Configured);
        }
    }

    /// Lanes for the models that the pool was given limits for, as far as there is room.
    pub(super) fn configure_lanes(&mut self) {
        for model in self.limits.models().iter().take(MAX_CONFIGURED) {
            self.configure_lane(model);
        }
    }

    /// Models that somebody gave limits for and that have no lane yet, sorted.
    pub(super) fn models_without_a_lane(&self) -> Vec<String> {
        let own = self.roster.owners.iter().filter_map(|owner| owner.extra.as_ref()).flat_map(|extra| &extra.limits);
        let own = own.map(|(model, _)| model).filter(|model| *model != "*" && !model.is_empty()).cloned();
        let mut models: Vec<String> = own.chain(self.limits.models()).collect();
        models.sort_unstable();
        models.dedup();
        models.retain(|model| self.lane_of.get(model).is_none());
        models
    }
}

/// Whether two lists of an owner come to the same: later ones win for the same model.
pub(super) fn same(one: &[(String, Limits)], other: &[(String, Limits)]) -> bool {
    let last = |list: &[(String, Limits)]| list.iter().cloned().collect::<BTreeMap<String, Limits>>();
    last(one) == last(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tiers_own_comes_before_all_and_the_models_own_before_every() {
        let limits = |n| Limits::new().per_minute(n);
        let mut given = GivenLimits::default();
        given.set("*".into(), limits(1));
        given.set("m".into(), limits(2));
        given.set_for_tier("m".into(), Tier::Paid, limits(3));
        given.set_for_tier("*".into(), Tier::Free, limits(4));
        assert_eq!(given.of("m", Some(&Tier::Paid)), Some(&limits(3)));
        assert_eq!(given.of("m", Some(&Tier::of_name("tier-1"))), Some(&limits(3)));
        assert_eq!(given.of("m", Some(&Tier::of_name("tier-2"))), Some(&limits(2)));
        assert_eq!(given.of("m", Some(&Tier::Free)), Some(&limits(2)));
        assert_eq!(given.of("m", None), Some(&limits(2)));
        assert_eq!(given.of("x", Some(&Tier::Free)), Some(&limits(4)));
        assert_eq!(given.of("x", None), Some(&limits(1)));
        assert_eq!(given.models(), ["m"]);
    }

    #[test]
    fn what_is_known_is_known_by_the_longest_beginning() {
        let limits = |n| Limits::new().per_minute(n);
        let mut given = GivenLimits::default();
        given.set_known("g".into(), Tier::Free, limits(1));
        given.set_known("g-lite".into(), Tier::Free, limits(2));
        assert_eq!(given.known("g-lite-preview", &Tier::Free), Some(&limits(2)));
        assert_eq!(given.known("g-pro", &Tier::Free), Some(&limits(1)));
        assert_eq!(given.known("gg", &Tier::Free), None);
        assert_eq!(given.known("g", &Tier::Paid), None);
        // The lowest that is billed has two names.
        given.set_known("g".into(), Tier::Paid, limits(5));
        assert_eq!(given.known("g", &Tier::of_name("tier-1")), Some(&limits(5)));
        given.set_known("g".into(), Tier::of_name("tier-1"), limits(6));
        assert_eq!(given.known("g", &Tier::of_name("tier-1")), Some(&limits(6)));
        assert_eq!(given.known("g", &Tier::Paid), Some(&limits(5)));
        assert_eq!(given.known("g", &Tier::of_name("tier-2")), None);
    }
}
