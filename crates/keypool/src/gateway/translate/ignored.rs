//! What clients send and nobody needs: said once, and named in the answer beside who served.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use http::{HeaderName, HeaderValue, Response};
use keypool_dialect::Ignored;
use tower_keypool::ServedBy;

use super::Translator;
use crate::gateway::answer::head::Names;

/// Clients choose the names: after so many no more are remembered, or said.
const MOST: usize = 100;
const IGNORED: HeaderName = HeaderName::from_static("x-keypool-ignored");

/// Names who served, and what was not needed.
pub(super) fn name<B>(response: &mut Response<B>, served_by: Option<ServedBy>, ignored: &Ignored) {
    tell(ignored);
    if let Some(listed) = ignored.listed().and_then(|listed| HeaderValue::try_from(listed).ok()) {
        response.headers_mut().insert(IGNORED, listed);
    }
    if let Some(served_by) = served_by {
        Names::of(&served_by).add(response.headers_mut());
        response.extensions_mut().insert(served_by);
    }
}

impl<S> Translator<S> {
    /// A field may be called by a key.
    pub(super) fn mask(&self, ignored: &mut Ignored) {
        let Some(pool) = &self.pool else { return };
        ignored.rename(|name| match pool.masked(name) {
            Cow::Owned(told) => Some(told),
            Cow::Borrowed(_) => None,
        });
    }
}

/// Says each field that is ignored, the first time it is.
fn tell(ignored: &Ignored) {
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
