//! Which model takes another's place.

use std::{collections::HashMap, sync::Arc};

use super::Plan;
use crate::{pool::lane_name, provider::Provider};

/// Which model takes another's place, best first: one list for all requests, and others for single models. How the provider
/// lets a model be spelled (`models/x`) makes no difference once the lists are given to a layer or a runner.
///
/// ```
/// use tower_keypool::Models;
///
/// let models = Models::new()
///     .for_all(["gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"])
///     .for_model("gemini-2.5-pro-preview", ["gemini-2.5-pro"])
///     .alias("best", ["gemini-2.5-pro", "gemini-2.5-flash"]);
/// # let _ = models;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Models {
    all: Option<Arc<[Arc<str>]>>,
    named: HashMap<String, Named>,
    on_overloaded: bool,
    /// Names that differ in the case of their letters alone are the same.
    ignores_case: bool,
}

#[derive(Clone, Debug)]
struct Named {
    list: Arc<[Arc<str>]>,
    /// The model itself comes first, before the list.
    itself: bool,
    /// So many of the list's first are what the name stands for; the others are what those step down to.
    stands_for: u16,
}

impl Models {
    /// No list: every request keeps its model.
    pub fn new() -> Self {
        Self::default()
    }

    /// The list for requests whose model has none of its own. A request that names a model of the list begins there
    /// and goes down; one that names another model begins with that one; one that names none begins with the best that
    /// has a ready key.
    #[must_use]
    pub fn for_all(mut self, models: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        self.all = Some(list(models));
        self
    }

    /// The list for all, by number: lower first, equal ones in the order given.
    #[must_use]
    pub fn by_priority(self, models: impl IntoIterator<Item = (impl Into<Arc<str>>, u16)>) -> Self {
        self.for_all(ordered(models))
    }

    /// The list for requests that name `model`, by number: lower first, equal ones in the order given. The model itself
    /// comes before all, unless the list says where.
    #[must_use]
    pub fn for_model_by_priority(
        self,
        model: impl Into<String>,
        models: impl IntoIterator<Item = (impl Into<Arc<str>>, u16)>,
    ) -> Self {
        self.for_model(model, ordered(models))
    }

    /// The list for requests that name `model`, which comes first itself unless the list says where.
    #[must_use]
    pub fn for_model(
        mut self,
        model: impl Into<String>,
        models: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Self {
        let (model, list) = (model.into(), list(models));
        let itself = !list.iter().any(|listed| **listed == *model);
        self.named.insert(model, Named { list, itself, stands_for: u16::MAX });
        self
    }

    /// The list for requests that name `alias`, which is no model itself. What stands in the list is a model, no other alias.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>, models: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Self {
        self.named.insert(alias.into(), Named { list: list(models), itself: false, stands_for: u16::MAX });
        self
    }

    /// The same of a name whose models step down as they do where they are named themselves.
    #[cfg(feature = "config")]
    pub(crate) fn alias_stepping(mut self, alias: &str, models: &[&str]) -> Self {
        let mut list: Vec<Arc<str>> = models.iter().map(|&model| model.into()).collect();
        let stands_for = u16::try_from(list.len()).unwrap_or(u16::MAX);
        for below in models.iter().flat_map(|model| self.chain(model)) {
            if !list.contains(&below) {
                list.push(below);
            }
        }
        self.named.insert(alias.to_owned(), Named { list: list.into(), itself: false, stands_for });
        self
    }

    /// Whether a model that is overloaded still after all retries is a reason to take the next. Off unless set.
    #[must_use]
    pub fn on_overloaded(mut self, step: bool) -> Self {
        self.on_overloaded = step;
        self
    }

    /// Whether every request keeps its model.
    pub fn is_empty(&self) -> bool {
        self.all.is_none() && self.named.is_empty()
    }

    /// The models that a request for this one may have, in their order: at least that one, unless it is an alias.
    ///
    /// ```
    /// use tower_keypool::Models;
    ///
    /// let models = Models::new().for_all(["gemini-2.5-pro", "gemini-2.5-flash"]);
    /// assert_eq!(models.chain("gemini-2.5-pro").len(), 2);
    /// assert_eq!(models.chain("gemini-2.5-flash").len(), 1);
    /// ```
    pub fn chain(&self, model: &str) -> Vec<Arc<str>> {
        self.plan(Some(model)).map_or_else(|| vec![model.into()], |plan| plan.rest(model))
    }

    /// The same by the names of lanes, however the provider lets its models be spelled (`models/x` is `x`).
    pub(crate) fn of(mut self, provider: &dyn Provider) -> Self {
        let bare = |listed: &Arc<[Arc<str>]>| list(listed.iter().map(|model| provider.lane(model)));
        self.ignores_case = provider.ignores_case();
        self.all = self.all.as_ref().map(bare);
        let named = std::mem::take(&mut self.named).into_iter().map(|(model, of)| {
            let model = lane_name(provider, &model).into_owned();
            let list = bare(&of.list);
            let itself = of.itself && !list.iter().any(|listed| self.are_one(listed, &model));
            (model, Named { list, itself, ..of })
        });
        self.named = named.collect();
        self
    }

    /// [`plan`](Self::plan) of lists that are [this provider's](Self::of).
    pub(crate) fn plan_for(&self, requested: Option<&str>, provider: &dyn Provider) -> Option<Plan> {
        self.plan(requested.map(|model| lane_name(provider, model)).as_deref())
    }

    fn are_one(&self, model: &str, other: &str) -> bool {
        if self.ignores_case { model.eq_ignore_ascii_case(other) } else { model == other }
    }

    /// What a request that names this model, or none, may use; `None` where it keeps what it has.
    pub(crate) fn plan(&self, requested: Option<&str>) -> Option<Plan> {
        let overloaded = self.on_overloaded;
        let Some(model) = requested else {
            return self.all.clone().map(|all| Plan::from_list(all, overloaded));
        };
        if let Some(named) = self.named.get(model) {
            let list = Arc::clone(&named.list);
            return Some(match list.first() {
                _ if named.itself => Plan::after(list, 0, overloaded),
                Some(first) if self.are_one(first, model) => Plan::after(list, 1, overloaded),
                _ => Plan::standing_for(list, named.stands_for, overloaded),
            });
        }
        let all = self.all.clone()?;
        let below = all.iter().position(|listed| self.are_one(listed, model)).map_or(0, |at| at + 1);
        Some(Plan::after(all, below, overloaded))
    }
}

fn ordered(models: impl IntoIterator<Item = (impl Into<Arc<str>>, u16)>) -> impl Iterator<Item = Arc<str>> {
    let mut models: Vec<(Arc<str>, u16)> = models.into_iter().map(|(model, n)| (model.into(), n)).collect();
    models.sort_by_key(|(_, priority)| *priority);
    models.into_iter().map(|(model, _)| model)
}

fn list(models: impl IntoIterator<Item = impl Into<Arc<str>>>) -> Arc<[Arc<str>]> {
    models.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(models: &Models, requested: Option<&str>) -> Option<String> {
        models.plan(requested).map(|plan| plan.to_string())
    }

    #[test]
    fn a_listed_model_goes_down_from_where_it_stands() {
        let models = Models::new().for_all(["a", "b", "c"]);
        assert_eq!(walk(&models, Some("a")).as_deref(), Some("itself, b, c"));
        assert_eq!(walk(&models, Some("b")).as_deref(), Some("itself, c"));
        assert_eq!(walk(&models, Some("c")).as_deref(), Some("itself"));
        assert_eq!(walk(&models, Some("other")).as_deref(), Some("itself, a, b, c"));
        assert_eq!(walk(&models, None).as_deref(), Some("a, b, c"));
    }

    #[test]
    fn a_list_of_its_own_wins_and_an_alias_is_no_model() {
        let models = Models::new().for_model("a", ["x"]).for_model("b", ["x", "b"]).alias("best", ["x", "y"]);
        assert_eq!(walk(&models, Some("a")).as_deref(), Some("itself, x"));
        assert_eq!(walk(&models, Some("b")).as_deref(), Some("x, b"));
        assert_eq!(walk(&models, Some("best")).as_deref(), Some("x, y"));
        assert_eq!(walk(&models, Some("c")), None);
        assert_eq!(walk(&models, None), None);
    }

    #[test]
    fn priorities_make_the_order() {
        let models = Models::new().by_priority([("slow", 10), ("best", 0), ("also", 0)]);
        assert_eq!(walk(&models, None).as_deref(), Some("best, also, slow"));
    }
    #[test]
    fn one_models_own_list_may_be_given_by_priority() {
        let models = Models::new()
            .by_priority([("x", 1)])
            .for_model_by_priority("a", [("c", 5), ("b", 0), ("d", 5)])
            .for_model_by_priority("b", [("slow", 10), ("b", 0), ("c", 5)]);
        assert_eq!(walk(&models, Some("a")).as_deref(), Some("itself, b, c, d"));
        assert_eq!(walk(&models, Some("b")).as_deref(), Some("itself, c, slow"));
        assert_eq!(walk(&models, Some("other")).as_deref(), Some("itself, x"));
    }
}
