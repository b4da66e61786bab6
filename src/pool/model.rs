//! The models that the pool knows by name.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crate::limit::Cost;

/// A model that the pool knows. Names that no answer confirmed share [`ModelIx::DEFAULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ModelIx(pub(crate) u32);

impl ModelIx {
    /// Every name that nothing is known of, and requests that name no model.
    pub(crate) const DEFAULT: Self = Self(0);
    /// Requests that count against no limit: a full window must not hold them up.
    pub(crate) const UNCOUNTED: Self = Self(1);
}

/// So many names are known at the most: callers choose them.
const MOST: usize = 4_096;

/// So many names that no answer confirmed are forgotten at once when there is no room for another.
const FORGOTTEN_AT_ONCE: usize = 256;

/// Longer names are not remembered, in bytes.
pub(crate) const LONGEST: usize = 256;

/// An estimate of tokens is raised by at most this factor.
const MOST_RAISED: f64 = 4.0;

/// So many pairs of a model and a tier of the provider's table are known before their first answer.
pub(crate) const MOST_ASSUMED: usize = 128;

#[derive(Debug)]
pub(crate) struct Models {
    by_name: BTreeMap<Arc<str>, ModelIx>,
    entries: Vec<Model>,
    /// The patterns that limits are given for, without their `*`, longest first. Names that nothing is known of share the model of
    /// the first that fits.
    patterns: Vec<(Box<str>, ModelIx)>,
    /// The names that no answer confirmed, oldest first.
    unconfirmed: VecDeque<ModelIx>,
    /// Places of names that were forgotten.
    vacant: Vec<ModelIx>,
}

#[derive(Debug)]
struct Model {
    name: Arc<str>,
    /// Configured, or served by a good answer: it has windows and an order of keys of its own.
    confirmed: bool,
    /// The model that its requests counted for until a good answer confirmed it.
    counted: Option<ModelIx>,
    /// The prompt tokens of its latest answers, as estimated and as used; the older an answer, the less it counts.
    tokens: (f64, f64),
}

impl Default for Models {
    fn default() -> Self {
        let model = |name: &str| Model { name: name.into(), confirmed: true, counted: None, tokens: (0.0, 0.0) };
        Self {
            by_name: BTreeMap::new(),
            entries: vec![model("*"), model("")],
            patterns: Vec::new(),
            unconfirmed: VecDeque::new(),
            vacant: Vec::new(),
        }
    }
}

impl Models {
    /// The model of a name; the shared one where nothing is known of it.
    pub(crate) fn find(&self, name: Option<&str>) -> ModelIx {
        let Some(name) = name else { return ModelIx::DEFAULT };
        self.by_name.get(name).copied().unwrap_or_else(|| self.shared(name))
    }

    /// The same, remembered from now on: an error concerns it alone. The shared one where too many names are known.
    pub(crate) fn remember(&mut self, name: &str) -> ModelIx {
        if self.has_room(name) { self.insert(name) } else { self.shared(name) }
    }

    /// A good answer, or the provider, names it: it has windows and an order of keys of its own, where not too many names are
    /// known.
    pub(crate) fn confirm(&mut self, name: &str) -> ModelIx {
        let model = self.remember(name);
        let counted = self.effective(model);
        let entry = &mut self.entries[model.0 as usize];
        if !std::mem::replace(&mut entry.confirmed, true) {
            entry.counted = Some(counted);
        }
        model
    }

    /// The same of a name that nothing was sent for yet.
    pub(crate) fn introduce(&mut self, name: &str) -> ModelIx {
        let model = self.remember(name);
        self.entries[model.0 as usize].confirmed = true;
        model
    }

    /// Limits are given for a name, or for a pattern that ends in `*`. Whether that is new. `running`: requests may have been sent.
    pub(crate) fn configure(&mut self, name: &str, running: bool) -> bool {
        if name == "*" {
            return false;
        }
        let model = self.insert(name);
        let counted = self.effective(model);
        let entry = &mut self.entries[model.0 as usize];
        let new = !std::mem::replace(&mut entry.confirmed, true);
        if new && running {
            entry.counted = Some(counted);
        }
        if let Some(start) = name.strip_suffix('*')
            && !self.is_shared(model)
        {
            self.patterns.push((start.into(), model));
            self.patterns.sort_by_key(|(start, _)| std::cmp::Reverse(start.len()));
        }
        new
    }

    /// Forgets the oldest names that no answer confirmed, where there is no room for another one. The caller forgets what it knows
    /// of them.
    pub(crate) fn make_room(&mut self) -> Vec<ModelIx> {
        let mut forgotten = Vec::new();
        if self.entries.len() >= MOST && self.vacant.is_empty() {
            while forgotten.len() < FORGOTTEN_AT_ONCE
                && let Some(model) = self.unconfirmed.pop_front()
            {
                let entry = &self.entries[model.0 as usize];
                if !entry.confirmed {
                    self.by_name.remove(&entry.name);
                    forgotten.push(model);
                }
            }
            self.vacant.extend(&forgotten);
        }
        forgotten
    }

    fn has_room(&self, name: &str) -> bool {
        let fits = name != "*" && name.len() <= LONGEST;
        self.by_name.contains_key(name) || fits && (self.entries.len() < MOST || !self.vacant.is_empty())
    }

    fn insert(&mut self, name: &str) -> ModelIx {
        if let Some(model) = self.by_name.get(name) {
            return *model;
        }
        let name: Arc<str> = name.into();
        let entry = Model { name: Arc::clone(&name), confirmed: false, counted: None, tokens: (0.0, 0.0) };
        let model = if let Some(model) = self.vacant.pop() {
            self.entries[model.0 as usize] = entry;
            model
        } else {
            self.entries.push(entry);
            ModelIx((self.entries.len() - 1) as u32)
        };
        self.unconfirmed.push_back(model);
        self.by_name.insert(name, model);
        model
    }

    /// The model whose windows and order a model uses: its own, or the one that it shares with others.
    pub(crate) fn effective(&self, model: ModelIx) -> ModelIx {
        let entry = &self.entries[model.0 as usize];
        if entry.confirmed { model } else { self.shared(&entry.name) }
    }

    /// The model that stands for a name as long as nothing is known of it.
    fn shared(&self, name: &str) -> ModelIx {
        let fits = self.patterns.iter().find(|(start, _)| name.starts_with(&**start));
        fits.map_or(ModelIx::DEFAULT, |(_, model)| *model)
    }

    /// Whether several names use the windows and the order of a model.
    pub(crate) fn is_shared(&self, model: ModelIx) -> bool {
        model <= ModelIx::UNCOUNTED || self.patterns.iter().any(|(_, pattern)| *pattern == model)
    }

    /// The model that its requests counted for before it had windows of its own.
    pub(crate) fn counted(&self, model: ModelIx) -> Option<ModelIx> {
        self.entries[model.0 as usize].counted
    }

    /// What a request is expected to cost: an estimate is raised by as much as estimates of the model were too low.
    pub(crate) fn cost(&self, model: ModelIx, cost: Cost) -> Cost {
        let (estimated, used) = self.entries[model.0 as usize].tokens;
        if !cost.estimated || used <= estimated {
            return cost;
        }
        // A file that a prompt only names has many tokens for few bytes; the next prompt may be a text.
        let scale = (used / estimated).min(MOST_RAISED);
        Cost { input_tokens: (cost.input_tokens as f64 * scale) as u64, ..cost }
    }

    /// An answer told the tokens of a prompt that were estimated.
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
