//! A tenant's own of a collection, over all owners: each owner's list, page by page, without what is others'.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use http_body::Body;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tower::Service;
use tower_keypool::{Affinity, BoxError, Error, KeyId, ServedBy};

use super::{Holder, RESOURCE, Resources, learned, unreachable};
use crate::{
    gateway::{
        admit::tenant::Tenant,
        dialect::Refusal,
        forward::{
            send::{self, Over},
            wishes::wait_of,
        },
        unix_time::unix_ms,
    },
    outgoing::Outgoing,
};
use tower_keypool::store::Ledger;

/// So many items are asked for at once, and answered where nobody says how many.
const PAGE: usize = 50;
const MOST: usize = 1_000;
/// So many of their pages are read for one: where few of many items are a tenant's, its page is a short one.
const PAGES: usize = 128;
/// So many owners are asked at once.
pub(super) const AT_ONCE: usize = 8;
/// So many are asked for one answer: it says where the next one begins, however little was found.
pub(super) const ASKED: usize = 64;

/// Why there is no list.
#[derive(Debug)]
pub(in crate::gateway) enum Unlisted {
    /// Something here is in the way.
    Refused(Refusal),
    /// No owner's list could be had: what the last of them said.
    Answered(Response<Bytes>),
    /// The same, without an answer.
    Failed(BoxError),
    /// Some of it cannot be had for so many seconds.
    Later(u64),
}

/// A page of what several owners have.
#[derive(Debug)]
pub(in crate::gateway) struct Listed {
    pub(in crate::gateway) text: Bytes,
    /// So many owners give no list, and are not in it.
    pub(in crate::gateway) left_out: usize,
}

/// Where a page begins: at which owner, at which of its pages, behind how many items of that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    tag: String,
    page: String,
    skip: usize,
}

impl Place {
    fn text(&self) -> String {
        format!("{}.{}.{}", self.tag, self.skip, utf8_percent_encode(&self.page, NON_ALPHANUMERIC)).replace('%', "~")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (tag, skip, page) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.replace('~', "%"));
        let page = percent_decode_str(&page).decode_utf8().ok()?.into_owned();
        Some(Self { tag: tag.to_owned(), page, skip })
    }
}

/// What a list asks for.
struct Asked {
    path: String,
    /// Without sizes and tokens of pages, and without credentials.
    query: String,
    size: usize,
    from: Place,
    /// So long it would wait for a key.
    wait: Option<Duration>,
}

impl Asked {
    fn by(parts: &Parts) -> Result<Self, Refusal> {
        const WRONG: Refusal = Refusal::new(StatusCode::BAD_REQUEST, "the pageToken is none that was handed out here");
        let (mut size, mut from, mut query) = (PAGE, Place::default(), String::new());
        for pair in parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "pageSize" | "page_size" => {
                    size = value.parse().ok().filter(|size| *size > 0).unwrap_or(PAGE).min(MOST);
                }
                "pageToken" | "page_token" if value.is_empty() => {}
                "pageToken" | "page_token" => {
                    let value = percent_decode_str(value).decode_utf8().map_err(|_| WRONG)?;
                    from = Place::parse(&value).ok_or(WRONG)?;
                }
                _ => query.extend(["&", pair]),
            }
        }
        Ok(Self { path: parts.uri.path().to_owned(), query, size, from, wait: wait_of(&parts.extensions) })
    }

    /// Over whose keys, and how long it waits for one.
    fn over(&self, holder: &Holder) -> Over {
        (holder.way.clone(), self.wait)
    }

    /// Where an owner's page stands.
    fn target(&self, page: &str) -> String {
        let token = if page.is_empty() {
            String::new()
        } else {
            format!("&pageToken={}", utf8_percent_encode(page, NON_ALPHANUMERIC))
        };
        format!("{}?pageSize={}{token}{}", self.path, self.size.min(PAGE), self.query)
    }
}

/// An owner's page.
struct Page {
    field: Option<String>,
    items: Vec<Box<RawValue>>,
    next: String,
    key: Option<KeyId>,
}

impl Page {
    fn read(answer: &Response<Bytes>) -> Option<Self> {
        let fields: HashMap<String, Box<RawValue>> = serde_json::from_slice(answer.body()).ok()?;
        let next = fields.get("nextPageToken").and_then(|token| serde_json::from_str(token.get()).ok());
        let list = fields.into_iter().find(|(_, value)| value.get().starts_with('['));
        let (field, items) = list.unzip();
        let items = items.and_then(|items| serde_json::from_str(items.get()).ok()).unwrap_or_default();
        let key = answer.extensions().get::<ServedBy>().and_then(ServedBy::key).cloned();
        Some(Self { field, items, next: next.unwrap_or_default(), key })
    }
}

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
    let asked = Asked::by(parts).map_err(Unlisted::Refused)?;
    let holders = resources.holders_of(tenant, alone, collection).await.map_err(Unlisted::Refused)?;
    let holders: Vec<Holder> = holders.into_iter().filter(|holder| holder.tag >= asked.from.tag).collect();
    let (mut found, mut field, mut failed, mut heard) = (Vec::new(), None, None, holders.is_empty());
    let (holders, further) = holders.split_at(holders.len().min(ASKED));
    let mut next = further.first().map(|holder| Place { tag: holder.tag.clone(), ..Place::default() });
    let reached = resources.in_reach(holders.to_vec(), asked.wait);
    let (mut left_out, mut read) = (holders.len() - reached.len(), 0);
    'all: for some in reached.chunks(AT_ONCE) {
        let mut first = first_pages(&stack, &asked, some).await;
        for holder in some {
            let mut place = asked.begin(holder);
            let mut answer = first.remove(&holder.tag);
            loop {
                if read == PAGES {
                    next = Some(place);
                    break 'all;
                }
                read += 1;
                let page = match answer.take() {
                    Some(page) => page,
                    None => send::get(stack.clone(), &asked.target(&place.page), asked.over(holder)).await,
                };
                let page = match page {
                    Ok(page) if page.status().is_success() => Page::read(&page),
                    no_page => {
                        failed = Some(no_page.map_or_else(Unlisted::Failed, Unlisted::Answered));
                        left_out += 1;
                        break;
                    }
                };
                let Some(page) = page else { break };
                heard = true;
                field = field.or(page.field);
                let theirs = resources.own_of(&page.items, collection, (tenant, alone), page.key.as_ref()).await;
                let theirs = theirs.map_err(Unlisted::Refused)?;
                for (at, (item, own)) in page.items.into_iter().zip(theirs).enumerate().skip(place.skip) {
                    if found.len() == asked.size {
                        next = Some(Place { skip: at, ..place.clone() });
                        break 'all;
                    }
                    found.extend(own.then_some(item));
                }
                // One that leads to itself leads nowhere.
                if page.next.is_empty() || page.next == place.page {
                    break;
                }
                place = Place { page: page.next, skip: 0, ..place };
            }
        }
    }
    match failed {
        Some(failed) if !heard => Err(failed),
        _ => {
            let field = field.unwrap_or_else(|| collection.rsplit('/').next().unwrap_or_default().to_owned());
            Ok(Listed { text: written(&field, &found, next.as_ref()), left_out })
        }
    }
}

impl Asked {
    /// Where an owner's list begins for this page.
    fn begin(&self, holder: &Holder) -> Place {
        if holder.tag == self.from.tag {
            self.from.clone()
        } else {
            Place { tag: holder.tag.clone(), ..Place::default() }
        }
    }
}

type Answered = Result<Response<Bytes>, BoxError>;

async fn first_pages<S, B>(stack: &S, asked: &Asked, holders: &[Holder]) -> HashMap<String, Answered>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut asking = JoinSet::new();
    for holder in holders {
        let (stack, target) = (stack.clone(), asked.target(&asked.begin(holder).page));
        let (tag, over) = (holder.tag.clone(), asked.over(holder));
        asking.spawn(async move { (tag, send::get(stack, &target, over).await) });
    }
    let mut answers = HashMap::new();
    while let Some(answered) = asking.join_next().await {
        answers.extend(answered.ok());
    }
    answers
}

/// The list as the provider writes it: an empty one is left out.
fn written(field: &str, items: &[Box<RawValue>], next: Option<&Place>) -> Bytes {
    let mut text = String::from("{");
    if !items.is_empty() {
        let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
        text.extend([&serde_json::Value::from(field).to_string(), ":[", &items.join(","), "]"]);
    }
    if let Some(next) = next {
        let comma = if items.is_empty() { "" } else { "," };
        text.extend([comma, "\"nextPageToken\":", &serde_json::Value::from(next.text()).to_string()]);
    }
    text.push('}');
    text.into()
}

impl Resources {
    /// The owners with something of a tenant's in a collection; all of them, those that are switched off as well, where it may
    /// have what nobody knows.
    pub(super) async fn holders_of(
        &self,
        tenant: &Tenant,
        alone: bool,
        collection: &str,
    ) -> Result<Vec<Holder>, Refusal> {
        if alone {
            return Ok(self.all_holders().await);
        }
        let (now, prefix) = (unix_ms(&self.0.clock), format!("{collection}/"));
        let kept = self.0.records.kept_of(RESOURCE, tenant.name(), &prefix, now).await;
        let mut ways: Vec<Affinity> = Vec::new();
        for way in kept.map_err(|error| unreachable(&error))?.iter().filter_map(super::read) {
            if let Some(way) = self.leads(&way.by).filter(|way| !ways.contains(way)) {
                ways.push(way);
            }
        }
        let mut holders: Vec<Holder> = ways.into_iter().map(Holder::to).collect();
        holders.sort_unstable_by(|one, other| one.tag.cmp(&other.tag));
        Ok(holders)
    }

    /// Which of these items are the tenant's.
    pub(super) async fn own_of(
        &self,
        items: &[Box<RawValue>],
        collection: &str,
        (tenant, alone): (&Tenant, bool),
        key: Option<&KeyId>,
    ) -> Result<Vec<bool>, Refusal> {
        let names: Vec<Option<String>> = items.iter().map(|item| learned::name_of(item.get(), collection)).collect();
        let named: Vec<String> = names.iter().flatten().cloned().collect();
        let mut known = self.look_up(&named).await?;
        if let Some(key) = key.filter(|_| alone) {
            let nobodys = named.iter().filter(|name| !known.contains_key(*name)).cloned().collect();
            self.learn(nobodys, tenant.name(), key).await;
            known = self.look_up(&named).await?;
        }
        let is_own = |name: &String| known.get(name).is_some_and(|owned| owned.tenant == *tenant.name());
        Ok(names.into_iter().map(|name| name.as_ref().is_some_and(is_own)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_token_and_back() {
        let place = Place { tag: "0a1b".to_owned(), page: "a.b~c%/=&".to_owned(), skip: 3 };
        let text = place.text();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'~')), "{text}");
        assert_eq!(Place::parse(&text), Some(place));
        for wrong in ["", "x", "a.b.c", "a.-1.c"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lists_are_written_as_the_provider_does() {
        let items: Vec<Box<RawValue>> = serde_json::from_str(r#"[{"name":"files/a"},{"name" : "files/b"}]"#).unwrap();
        let text = written("files", &items, Some(&Place { tag: "t".to_owned(), ..Place::default() }));
        assert_eq!(text, r#"{"files":[{"name":"files/a"},{"name" : "files/b"}],"nextPageToken":"t.0."}"#);
        assert_eq!(written("files", &[], None), "{}");
    }
}
