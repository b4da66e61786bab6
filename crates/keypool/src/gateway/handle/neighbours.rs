//! Several pools of Gemini's side by side. A request whose path does not say which of them it is for goes to the one that has what
//! it names, or else to the one that serves the model in its body.

use std::sync::Arc;

use crate::gateway::{
    Gateway,
    admit::tenant::Tenant,
    dialect::{Dialect, Refusal},
    forward::{
        belongings::Belongings,
        resource::{AT_ANOTHER, AT_SEVERAL, Read, Resources},
    },
    route::{Beside, choice},
};

/// A pool of Gemini's beside the gateway's own provider.
pub(super) struct Neighbour<S> {
    pub(super) beside: Box<Beside<S>>,
    pub(super) belongings: Arc<Belongings>,
}

/// The pools of Gemini's, as a request finds them that came to one.
pub(super) struct Neighbours<'g, S> {
    gateway: &'g Gateway<S>,
    /// What the gateway's own provider speaks.
    provider: Dialect,
    /// Which of those beside it the request came to; empty: the gateway's own.
    here: &'g str,
    /// Its path says that it is for that one.
    firm: bool,
}

impl<S> Clone for Neighbours<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Neighbours<'_, S> {}

impl<S> Gateway<S> {
    /// Whether it was looked up of late that nothing is anybody's at pools of Gemini's beside its own.
    pub(super) fn is_known_to_be_unused_beside(&self) -> bool {
        self.all_beside().values().all(|there| there.resources.is_known_to_be_unused())
    }
}

impl<'g, S> Neighbours<'g, S> {
    /// Of a request that came to the gateway's own pool.
    pub(super) fn of_own(gateway: &'g Gateway<S>, provider: Dialect) -> Self {
        Self { gateway, provider, here: "", firm: false }
    }

    /// Of one that came to a pool beside it; `named`: by a path that says so.
    pub(super) fn of(
        gateway: &'g Gateway<S>,
        beside: &'g Beside<S>,
        (provider, named): (Dialect, bool),
        path: &str,
    ) -> Self {
        let by_model = || choice::model_in(path).is_some_and(|model| beside.has(&model));
        Self { gateway, provider, here: &beside.name, firm: named || by_model() }
    }

    /// Whether what a body says may lead elsewhere.
    pub(super) fn may_lead(&self) -> bool {
        !self.firm && !self.gateway.others.is_empty() && !self.gateway.all_beside().is_empty()
    }

    /// Whether anything is anybody's at one of them.
    pub(super) async fn are_used(&self) -> bool {
        if self.gateway.others.is_empty() {
            return false;
        }
        let mut used = false;
        // Each is looked at, so that what is known of them is of the same moment.
        for (_, resources) in self.elsewhere() {
            used |= resources.is_used().await;
        }
        used
    }

    /// What is known at the others, by their names; that of the gateway's own is empty.
    fn elsewhere(&self) -> Vec<(String, Resources)> {
        let all = self.gateway.all_beside();
        let beside = all.iter().filter(|(name, _)| ***name != *self.here);
        let beside = beside.map(|(name, there)| (name.clone(), there.resources.clone()));
        let has_own = !self.here.is_empty() && self.provider == Dialect::Gemini;
        let own = has_own.then(|| (String::new(), self.gateway.own.resources.clone()));
        own.into_iter().chain(beside).collect()
    }
}

impl<S: Clone> Neighbours<'_, S> {
    /// Which of the others a request goes to; `None`: it stays `here`.
    ///
    /// # Errors
    /// Where it names what lies at another than it is for, or at several.
    pub(super) async fn whither(
        &self,
        here: &Resources,
        tenant: &Tenant,
        read: &Read,
    ) -> Result<Option<Box<Neighbour<S>>>, Refusal> {
        if self.gateway.others.is_empty() {
            return Ok(None);
        }
        let claimed = read.model().filter(|_| !self.firm).and_then(|model| self.with_model(model));
        let names = read.names();
        if names.is_empty() {
            return Ok(claimed.filter(|claimed| claimed.beside.name != self.here));
        }
        let found = here.has_of(&names, tenant).await?;
        if found == names.len() {
            return match claimed {
                Some(claimed) if claimed.beside.name != self.here => Err(AT_ANOTHER),
                _ => Ok(None),
            };
        }
        let mut keepers = Vec::new();
        for (name, there) in self.elsewhere() {
            if there.has_of(&names, tenant).await? > 0 {
                keepers.push(name);
            }
        }
        let goes_elsewhere = |keeper: &str| claimed.as_ref().is_some_and(|claimed| claimed.beside.name != keeper);
        match &*keepers {
            // Whose they are nobody knows.
            [] if found > 0 => Ok(None),
            [] => Ok(claimed.filter(|claimed| claimed.beside.name != self.here)),
            _ if found > 0 || keepers.len() > 1 => Err(AT_SEVERAL),
            // A path names what is not there.
            _ if self.firm && !read.names_within() => Ok(None),
            [keeper, ..] if self.firm || keeper.is_empty() || goes_elsewhere(keeper) => Err(AT_ANOTHER),
            [keeper, ..] => Ok(self.called(keeper)),
        }
    }

    /// The one that requests for a model go to.
    fn with_model(&self, model: &str) -> Option<Box<Neighbour<S>>> {
        self.kept(self.gateway.others.with_model(Dialect::Gemini, model)?)
    }

    fn called(&self, name: &str) -> Option<Box<Neighbour<S>>> {
        self.kept(self.gateway.others.all().into_iter().find(|other| other.name == name)?)
    }

    fn kept(&self, beside: Beside<S>) -> Option<Box<Neighbour<S>>> {
        let belongings = self.gateway.belongings_at(&beside.name)?;
        Some(Box::new(Neighbour { beside: Box::new(beside), belongings }))
    }
}
