//! A tenant's own of a collection as Google's compatible endpoint lists it (`/openai/files`, `/openai/batches`), over all
//! owners: each owner's list without what is others', put one behind the other. A page begins behind the item that `after`
//! names.

use std::collections::HashSet;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body::Body;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::task::JoinSet;
use tower::Service;
use tower_keypool::{BoxError, Error, KeyId, ServedBy};

use super::{
    Holder, Resources,
    listed::{ASKED, AT_ONCE, Listed, Unlisted},
};
use crate::{
    gateway::{
        admit::tenant::Tenant,
        dialect::Refusal,
        forward::{
            send::{self, Over},
            wishes::wait_of,
        },
    },
    outgoing::Outgoing,
};

/// What stands in front of such a collection's name.
pub(super) const FRONT: &str = "openai/";

/// So many items are asked for at once, and answered where nobody says how many.
const PAGE: usize = 100;
const USUAL: usize = 20;
const MOST: usize = 10_000;
/// So many pages of an owner are read.
const PAGES: usize = 100;

const NO_SUCH: Refusal = Refusal::new(StatusCode::BAD_REQUEST, "after: nothing in this list is called so");

/// A page as it is answered.
#[derive(Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    #[serde(default)]
    has_more: bool,
}

/// What an owner has: its items, or what it said in their place.
type Theirs = Result<Vec<(Box<RawValue>, Option<KeyId>)>, Unlisted>;

/// The tenant's own of a collection. `alone`: what is nobody's is the tenant's, who is the only one.
pub(in crate::gateway) async fn list<S, B>(
    resources: &Resources,
    stack: S,
    (tenant, alone): (&Tenant, bool),
    parts: &Parts,
    collection: &str,
) -> Result<Listed, Unlisted>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (size, after, query) = asked(parts);
    let holders = resources.compatible_holders(tenant, alone, collection).await.map_err(Unlisted::Refused)?;
    let (mut found, mut failed, mut heard) = (Vec::new(), None, holders.is_empty());
    let wait = wait_of(&parts.extensions);
    let (all, mut reached) = (holders.len(), resources.in_reach(holders, wait));
    reached.truncate(ASKED);
    let mut left_out = all - reached.len();
    for some in reached.chunks(AT_ONCE) {
        let mut asking = JoinSet::new();
        for (at, holder) in some.iter().enumerate() {
            let (stack, target, holder) = (stack.clone(), (parts.uri.path().to_owned(), query.clone()), holder.clone());
            asking.spawn(async move { (at, all_of(stack, target, (holder.way, wait)).await) });
        }
        let mut answers: Vec<(usize, Theirs)> = asking.join_all().await;
        answers.sort_unstable_by_key(|(at, _)| *at);
        for (_, theirs) in answers {
            let theirs = match theirs {
                Ok(theirs) => theirs,
                Err(why) => {
                    failed = Some(why);
                    left_out += 1;
                    continue;
                }
            };
            heard = true;
            let key = theirs.first().and_then(|(_, key)| key.clone());
            let items: Vec<Box<RawValue>> = theirs.into_iter().map(|(item, _)| item).collect();
            let own = resources.own_of(&items, collection, (tenant, alone), key.as_ref()).await;
            let own = own.map_err(Unlisted::Refused)?;
            found.extend(items.into_iter().zip(own).filter_map(|(item, own)| own.then_some(item)));
        }
    }
    match failed {
        Some(failed) if !heard => Err(failed),
        _ => {
            let text = page(&found, size, after.as_deref()).map_err(Unlisted::Refused)?;
            Ok(Listed { text, left_out })
        }
    }
}

/// How many items are asked for, behind which; and what else the query says, but for credentials.
fn asked(parts: &Parts) -> (usize, Option<String>, String) {
    let (mut size, mut after, mut query) = (USUAL, None, String::new());
    for pair in parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "limit" => size = value.parse().ok().filter(|size| *size > 0).unwrap_or(USUAL).min(MOST),
            "after" => after = percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned),
            _ => query.extend(["&", pair]),
        }
    }
    (size, after.filter(|after| !after.is_empty()), query)
}

/// All that an owner has of a collection.
async fn all_of<S, B>(stack: S, (path, query): (String, String), over: Over) -> Theirs
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut all, mut after) = (Vec::new(), String::new());
    for _ in 0..PAGES {
        let target = format!("{path}?limit={PAGE}{after}{query}");
        let answer = send::get(stack.clone(), &target, over.clone()).await.map_err(Unlisted::Failed)?;
        let page = answer.status().is_success().then(|| serde_json::from_slice::<Page>(answer.body()).ok()).flatten();
        // In another form, or none.
        let Some(page) = page else { return Err(Unlisted::Answered(answer)) };
        let key = answer.extensions().get::<ServedBy>().and_then(ServedBy::key).cloned();
        let last = page.data.last().and_then(|item| id_of(item));
        all.extend(page.data.into_iter().map(|item| (item, key.clone())));
        match last.filter(|_| page.has_more) {
            Some(last) => after = format!("&after={}", utf8_percent_encode(&last, NON_ALPHANUMERIC)),
            None => break,
        }
    }
    Ok(all)
}

fn id_of(item: &RawValue) -> Option<String> {
    let item: Value = serde_json::from_str(item.get()).ok()?;
    item["id"].as_str().map(str::to_owned)
}

/// The items behind `after`, in the form that the endpoint has.
fn page(found: &[Box<RawValue>], size: usize, after: Option<&str>) -> Result<Bytes, Refusal> {
    let from = match after {
        None => 0,
        Some(after) => {
            let at = found.iter().position(|item| id_of(item).as_deref() == Some(after));
            at.ok_or(NO_SUCH)? + 1
        }
    };
    let rest = &found[from..];
    let shown = &rest[..rest.len().min(size)];
    let name = |item: Option<&Box<RawValue>>| item.and_then(|item| id_of(item));
    let told = json!({
        "object": "list",
        "data": shown,
        "first_id": name(shown.first()),
        "last_id": name(shown.last()),
        "has_more": shown.len() < rest.len(),
    });
    Ok(told.to_string().into())
}

impl Resources {
    /// The owners with something of a tenant's in such a collection, which also has items by their native names.
    async fn compatible_holders(&self, tenant: &Tenant, alone: bool, collection: &str) -> Result<Vec<Holder>, Refusal> {
        let mut all = self.holders_of(tenant, alone, collection).await?;
        if let Some(native) = collection.strip_prefix(FRONT).filter(|_| !alone) {
            all.extend(self.holders_of(tenant, alone, native).await?);
        }
        let mut seen = HashSet::new();
        all.retain(|holder| seen.insert(holder.tag.clone()));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_behind_what_was_named() {
        let items: Vec<Box<RawValue>> = serde_json::from_str(r#"[{"id":"a"},{"id":"b"},{"id":"c"}]"#).unwrap();
        let of = |size, after| serde_json::from_slice::<Value>(&page(&items, size, after).unwrap()).unwrap();
        let expected =
            json!({ "object": "list", "data": [{ "id": "b" }], "first_id": "b", "last_id": "b", "has_more": true });
        assert_eq!(of(1, Some("a")), expected);
        assert_eq!(of(5, Some("b"))["has_more"], false);
        assert_eq!(of(5, Some("c"))["data"], json!([]));
        assert!(page(&items, 1, Some("d")).is_err());
    }
}
