//! A request on its way out: cleaned of what is the caller's, then given a key.

use std::sync::Arc;

use http::{Request, request::Parts, uri::Authority};

use super::{headers, target};
use crate::{
    error::{Error, Kind},
    pool::{Lease, OnGrant},
    provider::Provider,
};

/// A request that carries no credential and goes to the provider; it lacks only its key.
pub(super) struct Outgoing<B> {
    head: Parts,
    body: B,
    on_grant: Option<Arc<dyn OnGrant>>,
}

impl<B> Outgoing<B> {
    /// Aims it at the provider and takes out the caller's credentials and what concerns the caller's connection only.
    ///
    /// # Errors
    /// Refused, when it would go elsewhere.
    pub(super) fn new(
        mut head: Parts,
        body: B,
        on_grant: Option<Arc<dyn OnGrant>>,
        provider: &dyn Provider,
        allowed: &[Authority],
    ) -> Result<Self, Error> {
        target::aim(&mut head, provider.base(), allowed).map_err(|reason| Error::new(Kind::Refused(reason.into())))?;
        provider.strip(&mut head);
        // Before the key comes in: a caller's `Connection: x-goog-api-key` must not take it out again.
        headers::clean(&mut head);
        Ok(Self { head, body, on_grant })
    }

    /// Puts the key in and tells whoever must know which lease it is; says that it starts, unless it `counts` already.
    ///
    /// # Errors
    /// Refused, when this head cannot carry a key.
    pub(super) fn with_key(mut self, lease: &Lease, counts: bool) -> Result<Request<B>, Error> {
        let granted = lease.granted();
        let provider = granted.pool.provider();
        provider
            .inject(&mut self.head, lease.secret())
            .map_err(|reason| Error::new(Kind::Refused(reason)).with_provider(provider))?;
        match &self.on_grant {
            // The body says when the connection takes it.
            Some(body) => body.granted(granted),
            None if counts => {}
            None => granted.started(),
        }
        self.head.extensions.insert(granted.clone());
        Ok(Request::from_parts(self.head, self.body))
    }
}
