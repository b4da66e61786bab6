//! Several pools of Gemini's side by side: whether something lies at another one than it is asked of.

use std::sync::Arc;

use http::StatusCode;

use super::Resources;
use crate::gateway::{admit::tenant::Tenant, dialect::Refusal};

/// It is asked of one pool for what another has.
pub(in crate::gateway) const AT_ANOTHER: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "what the request names (a file, say) lies at another pool of this gateway than the one that its model or path leads to: make \
     it there (/to/NAME in front of the path, where NAME is the provider that has the model), or ask a model of the pool that \
     has it",
);
/// What it names lies at several.
pub(in crate::gateway) const AT_SEVERAL: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "what the request names lies at several pools of this gateway, of which none has all of it: make all of it at one of them \
     (/to/NAME in front of the path, where NAME is the provider)",
);

impl Resources {
    /// Whether these are the same pool's.
    pub(in crate::gateway) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many of these names are something of the tenant's here.
    pub(in crate::gateway) async fn has_of(&self, names: &[String], tenant: &Tenant) -> Result<usize, Refusal> {
        let found = self.look_up(names).await?;
        Ok(found.values().filter(|owned| owned.tenant == *tenant.name()).count())
    }
}
