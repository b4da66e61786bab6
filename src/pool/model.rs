//! The known models, by name.

use std::{collections::BTreeMap, sync::Arc};

use crate::limit::{Amounts, Cost};

/// The index of a known model. Unconfirmed names share that of their pattern or [`ModelIx::DEFAULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ModelIx(pub(crate) u32);

impl ModelIx {
    /// All unknown names, and requests that name no model.
    pub(crate) const DEFAULT: Self = Self(0);
    /// Requests that count against no limit: a full window must not delay them.
    pub(crate) const UNCOUNTED: Self = Self(1);
}

/// Maximum number of known names.
const MAX_NAMES: usize = 4_096;

/// Maximum number of remembered names that are not confirmed, since callers choose them.
const MAX_UNCONFIRMED: usize = 2_048;

/// Maximum length of a remembered name, in bytes.
pub(crate) const MAX_LENGTH: usize = 256;

/// Maximum factor by which a token estimate is raised.
const MAX_RAISED: f64 = 4.0;

/// Number of assumed limits (pairs of model and tier) at which those of unknown models are no longer looked up.
pub(crate) const MAX_ASSUMED: usize = 128;

#[derive(Debug)]
pub(crate) struct Models {
    by_name: BTreeMap<Arc<str>, ModelIx>,
    entries: Vec<Model>,
    /// The patterns with given limits, without their `*`, longest first. An unknown name shares the model of the first
    /// pattern that matches.
    patterns: Vec<(Box<str>, ModelIx)>,
}

#[derive(Debug)]
struct Model {
    name: Arc<str>,
    /// Whether it is configured or had a successful response: it then has its own windows and list of keys.
    confirmed: bool,
    /// The shared model that counted its requests before it was confirmed. Its windows start with a copy of those counts.
    counted_under: Option<ModelIx>,
    /// The prompt tokens of its latest responses, estimated and used; older responses weigh less.
    tokens: (f64, f64),
}

impl Default for Models {
    fn default() -> Self {
        let model = |name: &str| Model { name: name.into(), confirmed: true, counted_under: None, tokens: (0.0, 0.0) };
        Self { by_name: BTreeMap::new(), entries: vec![model("*"), model("")], patterns: Vec::new() }
    }
}

/// Reports whether a name, which may end in `*`, stands for a model.
pub(crate) fn is_name_of(name: &str, model: &str) -> bool {
    name.strip_suffix('*').map_or(name == model, |start| model.starts_with(start))
}

/// The methods that return the model of a name:
///
/// | method | adds an unknown name | own windows and list | counts before | used for |
/// |---|---|---|---|---|
/// | `find` | no | unchanged | - | the choice of a key |
/// | `remember` | up to 2,048 unconfirmed names | unchanged | - | an error: own breakers |
/// | `confirm` | up to 4,096 names | yes | inherited | a success, or a limit that the provider names |
/// | `introduce` | up to 4,096 names | yes | none | a model of the provider's table, before its first request |
/// | `configure` | always | yes | inherited if `running` | given limits, also of a pattern |
impl Models {
    /// Returns the model of a name, or the shared one if the name is unknown.
    pub(crate) fn find(&self, name: Option<&str>) -> ModelIx {
        let Some(name) = name else { return ModelIx::DEFAULT };
        self.by_name.get(name).copied().unwrap_or_else(|| self.shared(name))
    }

    /// Returns the model of a name and remembers it, so that an error affects it alone. Returns the shared one if too
    /// many names are known.
    pub(crate) fn remember(&mut self, name: &str) -> ModelIx {
        self.add(name, MAX_UNCONFIRMED)
    }

    /// Confirms a name that a success or the provider named. It gets its own windows and list of keys, unless too many
    /// names are known.
    pub(crate) fn confirm(&mut self, name: &str) -> ModelIx {
        let model = self.add(name, usize::MAX);
        let counted = self.effective(model);
        let entry = &mut self.entries[model.0 as usize];
        if !std::mem::replace(&mut entry.confirmed, true) {
            entry.counted_under = Some(counted);
        }
        model
    }

    /// Like [`confirm`](Self::confirm), for a name with no requests yet.
    pub(crate) fn introduce(&mut self, name: &str) -> ModelIx {
        let model = self.add(name, usize::MAX);
        self.entries[model.0 as usize].confirmed = true;
        model
    }

    /// Adds a name, or a pattern that ends in `*`, with given limits. Returns whether it is new. `running` means that
    /// requests may have been sent.
    pub(crate) fn configure(&mut self, name: &str, running: bool) -> bool {
        if name == "*" {
            return false;
        }
        let model = self.insert(name);
        let counted = self.effective(model);
        let entry = &mut self.entries[model.0 as usize];
        let new = !std::mem::replace(&mut entry.confirmed, true);
        if new && running {
            entry.counted_under = Some(counted);
        }
        if let Some(start) = name.strip_suffix('*')
            && !self.is_shared(model)
        {
            self.patterns.push((start.into(), model));
            self.patterns.sort_by_key(|(start, _)| std::cmp::Reverse(start.len()));
        }
        new
    }

    /// Returns the model of a name. A new one is added if fewer than `max_unconfirmed` names are not confirmed.
    fn add(&mut self, name: &str, max_unconfirmed: usize) -> ModelIx {
        let is_bad = name == "*" || name.len() > MAX_LENGTH || self.entries.len() >= MAX_NAMES;
        let unconfirmed = || self.entries.iter().filter(|model| !model.confirmed).count();
        if is_bad || self.by_name.contains_key(name) || unconfirmed() >= max_unconfirmed {
            return self.find(Some(name));
        }
        self.insert(name)
    }

    fn insert(&mut self, name: &str) -> ModelIx {
        if let Some(model) = self.by_name.get(name) {
            return *model;
        }
        let name: Arc<str> = name.into();
        let model = ModelIx(self.entries.len() as u32);
        self.entries.push(Model { name: Arc::clone(&name), confirmed: false, counted_under: None, tokens: (0.0, 0.0) });
        self.by_name.insert(name, model);
        model
    }

    /// Returns the model whose windows and list of keys a model uses: itself, or one that it shares with others.
    pub(crate) fn effective(&self, model: ModelIx) -> ModelIx {
        let entry = &self.entries[model.0 as usize];
        if entry.confirmed { model } else { self.shared(&entry.name) }
    }

    /// Returns the shared model that stands for an unknown name.
    fn shared(&self, name: &str) -> ModelIx {
        let fits = self.patterns.iter().find(|(start, _)| name.starts_with(&**start));
        fits.map_or(ModelIx::DEFAULT, |(_, model)| *model)
    }

    /// Reports whether several names use the windows and the list of keys of a model.
    pub(crate) fn is_shared(&self, model: ModelIx) -> bool {
        model <= ModelIx::UNCOUNTED || self.patterns.iter().any(|(_, pattern)| *pattern == model)
    }

    /// Returns the model for which requests counted before this one had its own windows.
    pub(crate) fn counted_before(&self, model: ModelIx) -> Option<ModelIx> {
        self.entries[model.0 as usize].counted_under
    }

    /// Returns the model with a copy of the counts of a request that counted for a shared model, if its name got its own
    /// windows since then.
    pub(crate) fn copied(&self, counted: ModelIx, name: Option<&str>) -> Option<ModelIx> {
        self.is_shared(counted).then(|| self.find(name)).filter(|own| self.counted_before(*own) == Some(counted))
    }

    /// Returns the expected cost of a request: an estimate is raised as far as the model's estimates were too low.
    pub(crate) fn cost(&self, model: ModelIx, cost: Cost) -> Cost {
        let (estimated, used) = self.entries[model.0 as usize].tokens;
        if !cost.estimated || used <= estimated {
            return cost;
        }
        // A prompt that refers to a file has many tokens for few bytes, but the next prompt may be text.
        let scale = (used / estimated).min(MAX_RAISED);
        let input_tokens = (cost.amounts.input_tokens as f64 * scale) as u64;
        Cost { amounts: Amounts { input_tokens, ..cost.amounts }, ..cost }
    }

    /// Records the used tokens of a prompt whose tokens were estimated.
    pub(crate) fn learn_tokens(&mut self, model: ModelIx, estimated: u64, used: u64) {
        const KEPT: f64 = 31.0 / 32.0;
        let tokens = &mut self.entries[model.0 as usize].tokens;
        *tokens = (tokens.0 * KEPT + estimated as f64, tokens.1 * KEPT + used as f64);
    }

    pub(crate) fn name(&self, model: ModelIx) -> &Arc<str> {
        &self.entries[model.0 as usize].name
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = ModelIx> + use<> {
        (0..self.entries.len() as u32).map(ModelIx)
    }
}
