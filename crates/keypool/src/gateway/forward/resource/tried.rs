//! Names that nobody knows, asked for at each owner: where an administrator allows it.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::Service;
use tower_keypool::{Affinity, BoxError, Error, ServedBy};

use super::Resources;
use crate::{
    gateway::{admit::tenant::Tenant, dialect::Refusal, forward::send},
    outgoing::Outgoing,
};

/// A request of the gateway's own to all owners, at most.
const OWNERS: usize = 64;

/// Asks each owner for names that nobody knows: they are the tenant's from then on. What leads to all of these names;
/// `None` where no owner has one of them.
///
/// # Errors
/// 404 where one is another tenant's.
pub(in crate::gateway) async fn find<S, B>(
    resources: &Resources,
    stack: S,
    version: &str,
    names: &[String],
    tenant: &Tenant,
) -> Result<Option<Affinity>, Refusal>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let missing = resources.unknown(names).await?;
    for name in missing.into_iter().filter(|name| is_path(name)) {
        let target = format!("/{version}/{name}");
        for holder in resources.holders().await.into_iter().take(OWNERS) {
            let Ok(answer) = send::get(stack.clone(), &target, (holder.way, None)).await else { continue };
            if answer.status().is_success() {
                let key = answer.extensions().get::<ServedBy>().and_then(ServedBy::key);
                if let Some(key) = key {
                    resources.learn(vec![name.clone()], tenant.name(), key).await;
                }
                break;
            }
        }
    }
    resources.way_to(names, tenant).await
}

/// Whether a name can be put into a path, and stays the same there.
fn is_path(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/:=+@,".contains(&byte);
    name.bytes().all(plain) && !name.split('/').any(|segment| matches!(segment, "" | "." | ".."))
}
