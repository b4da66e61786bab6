//! Where a tenant's uploads go: files that come together lie together, so that one request can name them all.

use std::sync::Arc;

use http::request::Parts;
use tower_keypool::{Affinity, Demand, KeyId};

use super::{
    By, Resources,
    runs::{Claim, Whose},
};
use crate::gateway::{admit::tenant::Tenant, forward::affinity::Session, unix_time::unix_ms};

impl Resources {
    /// A tenant's file goes to where the ones before it lie, of its session where one is named. The first of them has a claim
    /// to be followed, until it was begun.
    pub(super) async fn lead_upload(&self, tenant: &Tenant, parts: &mut Parts) -> Option<(Whose, Option<Claim>)> {
        if !parts.uri.path().ends_with("/files") {
            return None;
        }
        let session = parts.extensions.remove::<Session>().map(|Session(number)| number);
        let whose = Whose { tenant: Arc::clone(tenant.name()), session };
        let lasts = |way: &Affinity| self.0.pool.as_ref().is_none_or(|pool| !pool.is_outlasted(way));
        let (way, claim) = self.0.runs.next(&whose, &self.0.clock).await;
        // Whoever is out of a model for the day is of no use to a file that it will be asked about.
        let way = way.filter(lasts).unwrap_or(Affinity::Lasting);
        let demand = parts.extensions.remove::<Demand>().unwrap_or_default();
        parts.extensions.insert(demand.affinity(way));
        Some((whose, claim))
    }

    /// One of these files was begun over this key.
    pub(super) fn upload_began(&self, whose: &Whose, key: &KeyId) {
        if let Some(way) = self.leads(&By { key: key.to_string(), owner: None }) {
            self.0.runs.began(whose, way, unix_ms(&self.0.clock));
        }
    }

    /// A part of a tenant's file went to where this way leads.
    pub(in crate::gateway) fn upload_went_on(&self, tenant: &Tenant, way: &Affinity) {
        self.0.runs.went_on(tenant.name(), way, unix_ms(&self.0.clock));
    }

    /// A model is asked about what this way leads to.
    pub(in crate::gateway) fn was_asked_about(&self, tenant: &Tenant, way: &Affinity) {
        self.0.runs.end(tenant.name(), way);
    }
}
