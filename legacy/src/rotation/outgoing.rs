//! A request on its way out: cleaned of what is the caller's, then given a key.

use std::sync::Arc;

use http::{Request, request::Parts};

use super::{Names, headers, layer::Rules, target};
use crate::{
    error::{Error, Kind},
    pool::{Granted, Lease, OnGrant},
    provider::Provider,
};

/// Aims a request at the provider and takes out what concerns the caller's connection only. It lacks only its key then.
/// The names that its headers had at most.
///
/// # Errors
/// Refused, when it would go elsewhere.
pub(super) fn prepare(
    head: &mut Parts,
    provider: &Arc<dyn Provider>,
    rules: &Rules,
    names: Option<Names>,
) -> Result<Names, Error> {
    target::aim(head, provider.base(), rules)
        .map_err(|reason| Error::new(Kind::Refused(reason.into())).with_provider(provider))?;
    // Before the key comes in: a caller's `Connection: x-goog-api-key` must not take it out again.
    Ok(match names {
        Some(names) if !names.may_concern_a_connection() => names,
        _ => headers::clean(head),
    })
}

/// Puts the key in the place of the caller's credentials, and says by which exit it goes out, where it has one.
///
/// # Errors
/// Refused, when this head cannot carry a key.
#[inline]
pub(super) fn equip(head: &mut Parts, granted: &Granted, names: Names) -> Result<(), Error> {
    if let Some(exit) = granted.exit() {
        head.extensions.insert(exit);
    }
    let provider = granted.pool.provider();
    provider.rekey_seen(head, &granted.secret, names.seen()).map_err(|reason| {
        // It may quote the key that does not fit.
        let reason = granted.secret.hidden_in(&reason).map_or(reason, Into::into);
        Error::new(Kind::Refused(reason)).with_provider(provider)
    })
}

/// Says that the request starts now, or tells the body, which says it when the connection takes it.
///
/// # Errors
/// Exhausted: its key is another process's by now.
pub(super) fn start(granted: &Granted, on_grant: Option<&Arc<dyn OnGrant>>) -> Result<(), Error> {
    match on_grant {
        Some(body) => body.granted(granted),
        None if granted.started() => {}
        None => return Err(granted.void()),
    }
    Ok(())
}

/// A request that waits for its key.
pub(super) struct Outgoing<B> {
    pub(super) head: Parts,
    pub(super) body: B,
    pub(super) on_grant: Option<Arc<dyn OnGrant>>,
}

impl<B> Outgoing<B> {
    /// The request with its key, and the handle for whoever judges below, on its way.
    pub(super) fn with_key(mut self, lease: &Lease) -> Result<Request<B>, Error> {
        let names = Names::of(&self.head.headers);
        equip(&mut self.head, lease.granted(), names)?;
        self.head.extensions.insert(lease.granted().clone());
        start(lease.granted(), self.on_grant.as_ref())?;
        Ok(Request::from_parts(self.head, self.body))
    }
}
