//! The models of the pool: what any healthy owner has, asked for now and then.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tower::Service;
use tower_keypool::{Affinity, BoxError, Clock, Error, Tick};

use super::{
    resource::{Holder, Resources},
    send,
};
use crate::{gateway::admit::tenant::Tenant, outgoing::Outgoing};

/// A list is asked for anew once it is so old. Meanwhile the old one is answered with.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// One that is older is waited for.
const USABLE: Duration = Duration::from_secs(24 * 60 * 60);
/// So many owners are asked, and so many at once.
const OWNERS: usize = 64;
const AT_ONCE: usize = 8;
/// Versions of the API that are kept.
const VERSIONS: usize = 8;

/// The lists, by version of the API.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Catalogue {
    shelves: Mutex<HashMap<String, Arc<Shelf>>>,
    /// Whoever asks the owners holds it.
    asking: tokio::sync::Mutex<()>,
}

/// A list of models.
#[derive(Debug)]
pub(in crate::gateway) struct Shelf {
    at: Tick,
    /// By their names, without `models/`.
    models: Vec<(String, Box<RawValue>)>,
}

/// What knows the models of a pool. A cheap handle.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Shelves {
    catalogue: Arc<Catalogue>,
    resources: Resources,
    clock: Clock,
}

impl Shelves {
    pub(super) fn new(catalogue: &Arc<Catalogue>, resources: &Resources, clock: &Clock) -> Self {
        Self { catalogue: Arc::clone(catalogue), resources: resources.clone(), clock: clock.clone() }
    }

    /// The models of all owners in a version of the API, from the list that is at hand.
    ///
    /// # Errors
    /// Where nobody could be asked, why.
    pub(in crate::gateway) async fn of_version<S, B>(&self, version: &str, stack: S) -> Result<Arc<Shelf>, Unheard>
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let resources = self.resources.clone();
        let holders = async move {
            let mut all = resources.holders().await;
            all.truncate(OWNERS);
            resources.in_reach(all)
        };
        self.catalogue.shelf(version, stack, holders, &self.clock).await
    }
}

/// The part of an owner's list that is read.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    models: Vec<Box<RawValue>>,
    #[serde(default, rename = "nextPageToken")]
    next: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Catalogue {
    fn at_hand(&self, version: &str) -> Option<Arc<Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
    }

    /// The list of a version. Where nobody could be asked, why.
    async fn shelf<S, B>(
        self: &Arc<Self>,
        version: &str,
        stack: S,
        holders: impl Future<Output = Vec<Holder>> + Send + 'static,
        clock: &Clock,
    ) -> Result<Arc<Shelf>, Unheard>
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let age = |shelf: &Arc<Shelf>| clock.tick().since(shelf.at);
        match self.at_hand(version) {
            Some(shelf) if age(&shelf) < FRESH => return Ok(shelf),
            Some(shelf) if age(&shelf) < USABLE => {
                // Whoever comes first asks; nobody waits.
                let (catalogue, version, clock) = (Arc::clone(self), version.to_owned(), clock.clone());
                tokio::spawn(async move {
                    if let Ok(_turn) = catalogue.asking.try_lock() {
                        let _ = catalogue.fill(&version, stack, holders.await, &clock).await;
                    }
                });
                return Ok(shelf);
            }
            _ => {}
        }
        let _turn = self.asking.lock().await;
        match self.at_hand(version).filter(|shelf| age(shelf) < FRESH) {
            Some(shelf) => Ok(shelf),
            None => self.fill(version, stack, holders.await, clock).await,
        }
    }

    async fn fill<S, B>(
        &self,
        version: &str,
        stack: S,
        holders: Vec<Holder>,
        clock: &Clock,
    ) -> Result<Arc<Shelf>, Unheard>
    where
        S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut models, mut seen, mut unheard) = (Vec::new(), HashSet::new(), Unheard::Nobody);
        let mut heard = false;
        let mut holders = holders.into_iter();
        let mut asking = JoinSet::new();
        loop {
            while asking.len() < AT_ONCE
                && let Some(holder) = holders.next()
            {
                asking.spawn(of_owner(stack.clone(), version.to_owned(), holder.way));
            }
            match asking.join_next().await {
                None => break,
                Some(Ok(Ok(list))) => {
                    heard = true;
                    for model in list {
                        let Ok(Named { name }) = serde_json::from_str(model.get()) else { continue };
                        let name = name.strip_prefix("models/").unwrap_or(&name).to_owned();
                        if seen.insert(name.clone()) {
                            models.push((name, model));
                        }
                    }
                }
                Some(Ok(Err(why))) => unheard = why,
                Some(Err(_)) => {}
            }
        }
        if !heard {
            return Err(unheard);
        }
        let shelf = Arc::new(Shelf { at: clock.tick(), models });
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if shelves.len() >= VERSIONS {
            shelves.clear();
        }
        shelves.insert(version.to_owned(), Arc::clone(&shelf));
        Ok(shelf)
    }
}

/// Why there is no list.
#[derive(Debug)]
pub(in crate::gateway) enum Unheard {
    /// There is nobody to ask.
    Nobody,
    /// What the last owner said.
    Answered(Response<Bytes>),
    /// The same, without an answer.
    Failed(BoxError),
}

async fn of_owner<S, B>(stack: S, version: String, way: Option<Affinity>) -> Result<Vec<Box<RawValue>>, Unheard>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut all, mut token) = (Vec::new(), String::new());
    // No catalogue has more pages of a thousand.
    for _ in 0..10 {
        let page = match token.as_str() {
            "" => String::new(),
            token => format!("&pageToken={}", utf8_percent_encode(token, NON_ALPHANUMERIC)),
        };
        let answer = send::get(stack.clone(), &format!("/{version}/models?pageSize=1000{page}"), way.clone()).await;
        let answer = answer.map_err(Unheard::Failed)?;
        if !answer.status().is_success() {
            return Err(Unheard::Answered(answer));
        }
        let Ok(page) = serde_json::from_slice::<Page>(answer.body()) else { break };
        all.extend(page.models);
        token = page.next;
        if token.is_empty() {
            break;
        }
    }
    Ok(all)
}

impl Shelf {
    /// All of them, as a provider lists them.
    pub(in crate::gateway) fn whole(&self) -> Bytes {
        let all: Vec<&str> = self.models.iter().map(|(_, model)| model.get()).collect();
        format!("{{\"models\":[{}]}}", all.join(",")).into()
    }

    /// One model.
    pub(in crate::gateway) fn model(&self, name: &str, tenant: &Tenant) -> Option<Bytes> {
        let name = percent_decode_str(name).decode_utf8().ok()?;
        let (_, model) =
            self.models.iter().find(|(known, _)| *known == name).filter(|(name, _)| tenant.may_use(name))?;
        Some(Bytes::copy_from_slice(model.get().as_bytes()))
    }

    /// A page of them; `None`: the query asks for what is not known here.
    pub(in crate::gateway) fn page(&self, head: &Parts, tenant: &Tenant) -> Option<Bytes> {
        let (mut size, mut from) = (50, 0);
        for pair in head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                ("pageSize" | "page_size", value) => {
                    size = value.parse().ok().filter(|size| *size > 0).unwrap_or(50).min(1_000);
                }
                ("pageToken" | "page_token", "") | ("alt" | "$alt", "json") | ("key" | "prettyPrint", _) => {}
                ("pageToken" | "page_token", value) => from = value.parse().ok()?,
                _ => return None,
            }
        }
        let own: Vec<&str> =
            self.models.iter().filter(|(name, _)| tenant.may_use(name)).map(|(_, model)| model.get()).collect();
        let page = own.get(from..(from + size).min(own.len())).unwrap_or_default();
        let mut text = String::from("{");
        if !page.is_empty() {
            text.extend(["\"models\":[", &page.join(","), "]"]);
        }
        if from + size < own.len() {
            text.extend([",\"nextPageToken\":\"", &(from + size).to_string(), "\""]);
        }
        text.push('}');
        Some(text.into())
    }
}
