//! A task on its way: from the input to its result, over as many keys as that takes.

use std::sync::Arc;

use bytes::Bytes;
use tower_keypool::KeyId;

use super::{Id, limited::Met, written::Fields};
use crate::holdings::Names;

/// A task on its way.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) id: Id,
    pub(crate) index: u64,
    pub(crate) hash: u64,
    pub(crate) model: Arc<str>,
    pub(crate) path: Arc<str>,
    pub(crate) body: Bytes,
    pub(crate) fields: Fields,
    /// What it refers to that is some owner's.
    pub(crate) names: Option<Names>,
    /// How often it was sent, and how often that was a key's fault.
    pub(crate) attempts: u32,
    pub(crate) key_faults: u32,
    /// Faults of its own.
    pub(crate) faults: u32,
    /// Keys that were tried in vain.
    pub(crate) tried: Vec<KeyId>,
    /// How often keys turned it away that did not rest for it.
    pub(crate) unheld: u32,
    /// What limits did to it.
    pub(crate) limited: Option<Box<Met>>,
    /// No key allows more tokens a minute.
    pub(crate) most_tokens: Option<u64>,
    /// It was told that its model is not there.
    pub(crate) without_model: bool,
    /// An owner was asked that has not what it refers to: others are, by the pool or by the slots of their keys.
    pub(crate) of_another: bool,
}
