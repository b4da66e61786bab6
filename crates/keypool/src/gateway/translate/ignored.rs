//! What clients send and nobody needs: said once.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use keypool_dialect::Ignored;

/// Clients choose the names: after so many no more are remembered, or said.
const MOST: usize = 100;

/// Says each field that is ignored, the first time it is.
pub(super) fn tell(ignored: &Ignored) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = None;
    for name in ignored.names() {
        let said = said.get_or_insert_with(|| SAID.lock().unwrap_or_else(PoisonError::into_inner));
        if said.len() < MOST && !said.contains(name) {
            said.insert(name.to_owned());
            tracing::info!("clients send {name}, which is ignored (x-keypool-ignored; said once)");
        }
    }
}
