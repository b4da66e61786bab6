//! Requests whose body names a model where nobody looked.

use super::{KeyPool, state::State};

/// Why a request's model is not known, though its body names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// It stands behind what is kept of one body.
    Kept,
    /// It stands behind what there was room to keep.
    Room,
}

impl KeyPool {
    /// Whether some model has limits that a request counts in only where it is known to be of that model.
    pub(crate) fn limits_models(&self) -> bool {
        self.state().limits_models()
    }
}

impl State {
    fn limits_models(&self) -> bool {
        let known = self.settings.known_limits;
        let mut owners = self.roster.owners.iter().filter_map(|owner| owner.extra.as_deref());
        !self.limits.models().is_empty()
            || self.plans.any_learned()
            || owners.any(|extra| {
                let named = extra.limits.iter().any(|(model, _)| model != "*" && !model.is_empty());
                named || (known && extra.tier.is_some())
            })
    }
}
