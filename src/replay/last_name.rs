//! The model that was asked for last, as a shared name.

use std::sync::{Arc, Mutex};

/// Most requests ask for the same model as the one before: they share its name instead of allocating their own.
#[derive(Debug, Default)]
pub(super) struct LastName(Mutex<Option<Arc<str>>>);

impl LastName {
    pub(super) fn share(&self, name: &str) -> Arc<str> {
        // Never waited for: an allocation is cheaper than another thread's turn.
        let Ok(mut last) = self.0.try_lock() else { return name.into() };
        match &*last {
            Some(shared) if **shared == *name => Arc::clone(shared),
            _ => Arc::clone(last.insert(name.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_again_is_shared() {
        let names = LastName::default();
        let first = names.share("a");
        assert!(Arc::ptr_eq(&first, &names.share("a")));
        assert_eq!(&*names.share("b"), "b");
        assert_eq!(&*names.share("a"), "a");
    }
}
