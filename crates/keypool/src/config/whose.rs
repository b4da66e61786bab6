//! Whose a model is where several providers stand side by side: no request goes from one to another.

use tower_keypool::{Models, config::PoolConfig};

use super::{Beside, Loaded, ProviderName};
use crate::gateway::{Aliases, model_names::is_among};

impl Loaded {
    /// Which models take each other's place at the gateway's own provider.
    pub fn fallback(&self) -> Models {
        self.own_models().fallback()
    }

    /// Other names of models there.
    pub fn aliases(&self) -> Aliases {
        aliases_in(&self.own_models())
    }

    fn own_models(&self) -> PoolConfig {
        let own = self.config.gateway.provider;
        only(self.config.pool(), |model| self.kind_of(model) == own)
    }

    /// The same at one beside it.
    pub fn fallback_at(&self, beside: &Beside) -> Models {
        self.models_at(beside).fallback()
    }

    /// Other names of models at one beside it.
    pub fn aliases_at(&self, beside: &Beside) -> Aliases {
        aliases_in(&self.models_at(beside))
    }

    fn models_at(&self, beside: &Beside) -> PoolConfig {
        let is_its = |model: &str| is_among(&beside.models, model) || self.kind_of(model) == beside.kind;
        only(beside.settings().clone(), is_its)
    }

    /// Models that are to stand for others, and are of another provider than those: a sentence each.
    pub fn astray(&self) -> Vec<String> {
        let called = |whose: Option<&Beside>| match whose {
            Some(beside) => format!("the provider {}", beside.name),
            None => "the gateway's own provider".to_owned(),
        };
        let mut found = Vec::new();
        for (n, model) in self.config.models.iter().enumerate() {
            let whose = self.owner_of(&model.name);
            for alias in model.aliases.iter().filter(|alias| self.kind_of(alias) != self.kind_of(&model.name)) {
                let name = &model.name;
                let (theirs, asked) = (called(whose), called(self.owner_of(alias)));
                found.push(format!(
                    "models[{n}].aliases: a request for {alias} goes to {asked}, and {name} is a model of {theirs}: name \
                     the alias so that it is that one's, too (providers.models)"
                ));
            }
        }
        let (field, listed): (&str, Vec<&str>) = match &*self.config.pool.fallback {
            [] => {
                let listed = self.config.models.iter().filter(|model| model.priority.is_some());
                ("models.priority", listed.map(|model| model.name.as_str()).collect())
            }
            fallback => ("pool.fallback", fallback.iter().map(String::as_str).collect()),
        };
        let own = self.config.gateway.provider;
        for name in listed.into_iter().filter(|name| self.kind_of(name) != own) {
            let theirs = called(self.owner_of(name));
            found.push(format!("{field}: {name} is a model of {theirs}: only requests there step down to it"));
        }
        found
    }

    fn owner_of(&self, model: &str) -> Option<&Beside> {
        self.beside.iter().find(|beside| is_among(&beside.models, model))
    }

    /// Whose API a model is of.
    fn kind_of(&self, model: &str) -> ProviderName {
        self.owner_of(model).map_or(self.config.gateway.provider, |beside| beside.kind)
    }
}

fn aliases_in(settings: &PoolConfig) -> Aliases {
    Aliases::of(settings.models.iter().flat_map(|model| &model.aliases), &settings.fallback())
}

/// The same settings, in which none but its own models stand for others.
fn only(mut settings: PoolConfig, is_its: impl Fn(&str) -> bool) -> PoolConfig {
    let listed = !settings.pool.fallback.is_empty();
    settings.pool.fallback.retain(|model| is_its(model));
    let lists_nothing = listed && settings.pool.fallback.is_empty();
    for model in &mut settings.models {
        if !is_its(&model.name) {
            model.aliases.clear();
            model.priority = None;
        }
        if lists_nothing {
            // The list goes before these.
            model.priority = None;
        }
    }
    settings
}
