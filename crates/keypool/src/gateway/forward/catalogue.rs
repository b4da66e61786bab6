//! The models of a pool: what any healthy owner has, asked for now and then.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::task::JoinSet;
use tower::Service;
use tower_keypool::{Affinity, BoxError, Clock, Error, KeyPool, Tick};

use super::{
    resource::{self, Holder},
    send,
    shelf::{Listed, Shelf, asked, read},
};
use crate::{
    gateway::{aliases::Aliases, dialect::Dialect, route::Beside},
    outgoing::Outgoing,
};

/// A list is asked for anew once it is so old. Meanwhile the old one is answered with.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// One that is older is waited for.
const USABLE: Duration = Duration::from_secs(24 * 60 * 60);
/// So many owners are asked, and so many at once.
const OWNERS: usize = 64;
const AT_ONCE: usize = 8;
/// Versions of the API that are kept.
const VERSIONS: usize = 8;
/// No catalogue has more pages of a thousand.
const MOST_PAGES: usize = 10;

/// The lists, by version of the API.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Catalogue {
    shelves: Mutex<HashMap<String, Kept>>,
    /// Whoever asks the owners holds it.
    asking: tokio::sync::Mutex<()>,
}

/// A list, and since when.
type Kept = (Tick, Arc<Shelf>);

/// Those of providers beside the gateway's own that keep nothing of tenants, by the providers' names, and whose they are.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Catalogues(Mutex<HashMap<String, Owned>>);

/// Whose, and what is known of them.
type Owned = (Option<KeyPool>, Arc<Catalogue>);

impl Catalogues {
    /// These stand beside from now on: what is known of a pool that stays is kept, as it is of the gateway's own.
    pub(in crate::gateway) fn stay_with<S>(&self, others: &[Beside<S>]) {
        let stays = |name: &str, pool: Option<&KeyPool>| {
            others.iter().any(|now| now.name == name && is_same(pool, now.pool.as_ref()))
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, (pool, _)| stays(name, pool.as_ref()));
    }

    /// What knows the models of one of them.
    pub(in crate::gateway) fn shelves<S>(&self, other: &Beside<S>, clock: &Clock) -> Shelves {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || (other.pool.clone(), Arc::default());
        let kept = all.entry(other.name.clone()).or_insert_with(fresh);
        // Somebody may have asked while they changed.
        if !is_same(kept.0.as_ref(), other.pool.as_ref()) {
            *kept = fresh();
        }
        Shelves::new(&kept.1, (other.dialect, &other.aliases), other.pool.as_ref(), clock)
    }
}

fn is_same(one: Option<&KeyPool>, other: Option<&KeyPool>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_same(other),
        (None, None) => true,
        _ => false,
    }
}

/// What knows the models of a pool. A cheap handle.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Shelves {
    catalogue: Arc<Catalogue>,
    dialect: Dialect,
    aliases: Aliases,
    pool: Option<KeyPool>,
    clock: Clock,
}

impl Shelves {
    pub(super) fn new(
        catalogue: &Arc<Catalogue>,
        (dialect, aliases): (Dialect, &Aliases),
        pool: Option<&KeyPool>,
        clock: &Clock,
    ) -> Self {
        let (catalogue, aliases) = (Arc::clone(catalogue), aliases.clone());
        Self { catalogue, dialect, aliases, pool: pool.cloned(), clock: clock.clone() }
    }

    /// The models of all owners, from the list that is at hand. Gemini's has several versions of the API.
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
        let pool = self.pool.clone();
        let holders = async move {
            let mut all = resource::holders(pool.as_ref()).await;
            all.truncate(OWNERS);
            resource::in_reach(pool.as_ref(), all, None)
        };
        let shelf = self.catalogue.shelf((self.dialect, version), stack, holders, &self.clock).await?;
        Ok(if self.aliases.is_empty() { shelf } else { Arc::new(shelf.with(&self.aliases)) })
    }
}

impl Catalogue {
    fn at_hand(&self, version: &str) -> Option<Kept> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner).get(version).cloned()
    }

    /// The list of a version. Where nobody could be asked, why.
    async fn shelf<S, B>(
        self: &Arc<Self>,
        (dialect, version): (Dialect, &str),
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
        let age = |at: Tick| clock.tick().since(at);
        match self.at_hand(version) {
            Some((at, shelf)) if age(at) < FRESH => return Ok(shelf),
            Some((at, shelf)) if age(at) < USABLE => {
                // Whoever comes first asks; nobody waits.
                let (catalogue, version, clock) = (Arc::clone(self), version.to_owned(), clock.clone());
                tokio::spawn(async move {
                    if let Ok(_turn) = catalogue.asking.try_lock() {
                        let _ = catalogue.fill((dialect, &version), stack, holders.await, &clock).await;
                    }
                });
                return Ok(shelf);
            }
            _ => {}
        }
        let _turn = self.asking.lock().await;
        match self.at_hand(version).filter(|(at, _)| age(*at) < FRESH) {
            Some((_, shelf)) => Ok(shelf),
            None => self.fill((dialect, version), stack, holders.await, clock).await,
        }
    }

    async fn fill<S, B>(
        &self,
        (dialect, version): (Dialect, &str),
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
        let mut unheard = Unheard::Nobody;
        let mut heard: Vec<Option<Listed>> = Vec::new();
        heard.resize_with(holders.len(), || None);
        let mut holders = holders.into_iter().enumerate();
        let mut asking = JoinSet::new();
        loop {
            while asking.len() < AT_ONCE
                && let Some((at, holder)) = holders.next()
            {
                let (stack, version) = (stack.clone(), version.to_owned());
                asking.spawn(async move { (at, of_owner(stack, (dialect, version), holder.way).await) });
            }
            match asking.join_next().await {
                None => break,
                Some(Ok((at, Ok(list)))) => heard[at] = Some(list),
                Some(Ok((_, Err(why)))) => unheard = why,
                Some(Err(_)) => {}
            }
        }
        if heard.iter().all(Option::is_none) {
            return Err(unheard);
        }
        // In the owners' order, whoever answered first.
        let (mut models, mut seen) = (Vec::new(), HashSet::new());
        models.extend(heard.into_iter().flatten().flatten().filter(|(name, _)| seen.insert(name.clone())));
        let shelf = Arc::new(Shelf::of(dialect, models));
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        if shelves.len() >= VERSIONS {
            shelves.clear();
        }
        shelves.insert(version.to_owned(), (clock.tick(), Arc::clone(&shelf)));
        Ok(shelf)
    }
}

/// Why there is no list.
#[derive(Debug)]
pub(in crate::gateway) enum Unheard {
    /// There is nobody to ask, or what they say is in no form that is known here.
    Nobody,
    /// What the last owner said.
    Answered(Response<Bytes>),
    /// The same, without an answer.
    Failed(BoxError),
}

async fn of_owner<S, B>(
    stack: S,
    (dialect, version): (Dialect, String),
    way: Option<Affinity>,
) -> Result<Listed, Unheard>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut all, mut next) = (Vec::new(), None);
    for n in 0..MOST_PAGES {
        let target = asked(dialect, &version, next.as_deref());
        let answer =
            send::get_from(stack.clone(), (dialect, &target), (way.clone(), None)).await.map_err(Unheard::Failed)?;
        if !answer.status().is_success() {
            return Err(Unheard::Answered(answer));
        }
        let Some((page, more)) = read(dialect, answer.body()) else {
            if n == 0 && dialect != Dialect::Gemini {
                return Err(Unheard::Nobody);
            }
            break;
        };
        all.extend(page);
        next = more;
        if next.is_none() {
            break;
        }
    }
    Ok(all)
}
