//! What a pool of Gemini's has of tenants: files and the like, uploads that are open; and its models.

use std::{collections::BTreeMap, sync::Arc};

use tower_keypool::{Base, Clock, KeyPool};

use super::{
    catalogue::{Catalogue, Shelves},
    resource::Resources,
    upload::Uploads,
};
use crate::{
    database::Records,
    gateway::{aliases::Aliases, dialect::Dialect},
};

/// What tenants have at providers of Gemini's, by the providers' names.
pub type AllBelongings = BTreeMap<String, Arc<Belongings>>;

/// What a pool of Gemini's has of tenants, and which models.
#[derive(Debug)]
pub struct Belongings {
    pub(in crate::gateway) uploads: Uploads,
    pub(in crate::gateway) resources: Resources,
    models: Arc<Catalogue>,
    pub(in crate::gateway) clock: Clock,
}

impl Belongings {
    /// As these records keep it, of this pool, whose provider is at `base`.
    pub fn new(base: Base, clock: Clock, records: Records, pool: Option<KeyPool>) -> Self {
        let mut uploads = Uploads::new(base, clock.clone(), records.clone());
        uploads.pool.clone_from(&pool);
        let resources = Resources::new(records, clock.clone(), pool);
        Self { uploads, resources, models: Arc::default(), clock }
    }

    /// What knows its models, by these other names, too.
    pub(in crate::gateway) fn shelves(&self, dialect: Dialect, aliases: &Aliases) -> Shelves {
        Shelves::new(&self.models, (dialect, aliases), self.uploads.pool.as_ref(), &self.clock)
    }

    /// The same, kept in `records`; the keys are those of `pool`.
    pub(in crate::gateway) fn keep(&mut self, records: Records, pool: KeyPool) {
        self.resources = Resources::new(records.clone(), self.clock.clone(), Some(pool.clone()));
        (self.uploads.records, self.uploads.pool) = (records, Some(pool));
    }
}
