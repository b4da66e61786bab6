//! Limits by model, as many keys have the same.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use crate::limit::Limits;

/// Limits by model, `*` for the rest: a map, of which keys that are given the same hold one. Whoever changes it has one of
/// his own from then on.
#[derive(Clone, Debug, Default)]
pub struct LimitsByModel(Option<Arc<BTreeMap<String, Limits>>>);

static NONE: BTreeMap<String, Limits> = BTreeMap::new();

impl LimitsByModel {
    /// Holds what another one holds, where both say the same.
    pub(super) fn share(&mut self, other: &Self) {
        if self == other {
            self.0.clone_from(&other.0);
        }
    }
}

impl Deref for LimitsByModel {
    type Target = BTreeMap<String, Limits>;

    fn deref(&self) -> &Self::Target {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for LimitsByModel {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl PartialEq for LimitsByModel {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl From<BTreeMap<String, Limits>> for LimitsByModel {
    fn from(map: BTreeMap<String, Limits>) -> Self {
        Self(Some(map).filter(|map| !map.is_empty()).map(Arc::new))
    }
}

impl FromIterator<(String, Limits)> for LimitsByModel {
    fn from_iter<I: IntoIterator<Item = (String, Limits)>>(limits: I) -> Self {
        BTreeMap::from_iter(limits).into()
    }
}

impl<'a> IntoIterator for &'a LimitsByModel {
    type Item = (&'a String, &'a Limits);
    type IntoIter = std::collections::btree_map::Iter<'a, String, Limits>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_say_the_same_hold_one_until_one_is_changed() {
        let of = |amount| LimitsByModel::from_iter([("*".to_owned(), Limits::new().per_minute(amount))]);
        let is_one =
            |a: &LimitsByModel, b: &LimitsByModel| std::ptr::eq::<BTreeMap<_, _>>(&raw const **a, &raw const **b);
        let (one, mut same, mut other) = (of(10), of(10), of(11));
        same.share(&one);
        other.share(&one);
        assert!(is_one(&one, &same) && !is_one(&one, &other));
        same.insert("m".to_owned(), Limits::new().per_day(5));
        assert_eq!((one.len(), same.len(), other), (1, 2, of(11)));
        assert_eq!(LimitsByModel::default(), LimitsByModel::from(BTreeMap::new()));
        assert!(LimitsByModel::default().is_empty());
    }
}
