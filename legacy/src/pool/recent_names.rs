//! The models that were asked for last, as shared names.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex},
};

use super::KeyPool;

/// How many names are kept: a caller rarely asks for more models in turn.
const KEPT: usize = 4;

/// Most requests ask for a model that another asked for just before: they share its name instead of allocating their
/// own.
#[derive(Debug, Default)]
pub(super) struct RecentNames(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    names: [Option<Arc<str>>; KEPT],
    /// Which one makes room next.
    next: usize,
}

impl RecentNames {
    /// `shown`: the name as it may be told.
    fn share<'n>(&self, name: &'n str, shown: impl FnOnce(&'n str) -> Cow<'n, str>) -> Arc<str> {
        // Never waited for: an allocation is cheaper than another thread's turn.
        let Ok(mut kept) = self.0.try_lock() else { return shown(name).into() };
        if let Some(shared) = kept.names.iter().flatten().find(|shared| ***shared == *name) {
            return Arc::clone(shared);
        }
        let next = kept.next;
        kept.next = (next + 1) % KEPT;
        Arc::clone(kept.names[next].insert(shown(name).into()))
    }
}

impl KeyPool {
    /// A model's name that a caller chose, as it may be told, shared with the requests that asked for it just before.
    pub(crate) fn share_name(&self, model: &str) -> Arc<str> {
        self.0.names.share(model, |name| self.masked(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_again_is_shared() {
        let names = RecentNames::default();
        let first = names.share("a", Cow::Borrowed);
        assert!(Arc::ptr_eq(&first, &names.share("a", Cow::Borrowed)));
        assert_eq!(&*names.share("b", Cow::Borrowed), "b");
        assert!(Arc::ptr_eq(&first, &names.share("a", Cow::Borrowed)));
        for other in ["c", "d", "e"] {
            assert_eq!(&*names.share(other, Cow::Borrowed), other);
        }
        assert!(!Arc::ptr_eq(&first, &names.share("a", Cow::Borrowed)));
    }
}
