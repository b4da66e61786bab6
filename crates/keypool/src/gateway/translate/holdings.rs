//! What belongs to somebody and is named in another dialect: looked up as in the provider's own, whichever dialect it was.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body::Body;
use keypool_dialect::Fault;
use memchr::memmem;
use serde::Deserialize;
use tower::Service;
use tower_keypool::{Affinity, BoxError, Demand, Error, KeyPool};

use super::Translator;
use crate::{
    gateway::{
        admit::tenant::Tenant,
        dialect::{Dialect, Refusal},
        forward::{
            belongings::AllBelongings,
            resource::{
                self, AT_ANOTHER, Gives, Listening, NOT_HERE, Resources, Together, Unknown,
                ids::{self, InField},
            },
        },
        route::task::{COMPACT, Task},
    },
    outgoing::Outgoing,
};

/// Where it is looked up whose something is.
pub(in crate::gateway) struct Holdings {
    /// At the provider that the request goes to; `None`: what was made there is nobody's.
    pub(in crate::gateway) resources: Option<Resources>,
    /// At those beside the gateway's own, by name.
    pub(in crate::gateway) beside: Arc<AllBelongings>,
    /// What becomes of names that nobody knows.
    pub(in crate::gateway) unknown: Unknown,
    /// There is no other tenant.
    pub(in crate::gateway) alone: bool,
    /// Where it is kept whose the ids are that providers of other dialects than Gemini's give.
    pub(in crate::gateway) own: Resources,
    /// The one beside the gateway's own that a request is handed on to.
    pub(in crate::gateway) provider: String,
    /// The keys of that one.
    pub(in crate::gateway) pool: Option<KeyPool>,
}

/// The way to whoever sees what a request names, where there is one alone; and what that is.
pub(super) type Named = (Option<Affinity>, Vec<String>);

impl Holdings {
    /// At the gateway's own provider, until a request turns to another. `alone`: there is no other tenant.
    pub(in crate::gateway) fn of(
        own: &Resources,
        beside: Arc<AllBelongings>,
        (unknown, alone): (Unknown, bool),
    ) -> Self {
        let resources = Some(own.clone());
        Self { resources, beside, unknown, alone, own: own.clone(), provider: String::new(), pool: None }
    }

    /// The request goes to this provider beside the gateway's own.
    pub(super) fn turn_to(&mut self, provider: &str) {
        self.resources = self.beside.get(provider).map(|there| there.resources.clone());
    }

    /// Whether another pool of Gemini's has some of what is named, of this tenant's.
    async fn have_elsewhere(&self, names: &[String], tenant: &Tenant) -> Result<bool, Refusal> {
        if self.beside.is_empty() {
            return Ok(false);
        }
        let beside = self.beside.values().map(|there| &there.resources);
        for there in
            beside.chain([&self.own]).filter(|there| self.resources.as_ref().is_none_or(|here| !here.is(there)))
        {
            if there.has_of(names, tenant).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::of_status(refusal.status(), refusal.message())
    }
}

impl<S, B> Translator<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// What leads to the keys that see all of these names; `None`: nothing is named.
    ///
    /// # Errors
    /// 404 where something is not the tenant's.
    pub(super) async fn way_to(&mut self, names: &[String]) -> Result<Option<Affinity>, Fault> {
        if names.is_empty() {
            return Ok(None);
        }
        let Some(resources) = &self.holdings.resources else {
            // It is for whoever has the one token.
            return if self.tenant.is_default() { Ok(None) } else { Err(NOT_HERE.into()) };
        };
        let mut way = resources.way_to(names, &self.tenant).await?;
        if way.is_none() && self.holdings.have_elsewhere(names, &self.tenant).await? {
            return Err(AT_ANOTHER.into());
        }
        if way.is_none() && self.holdings.unknown == Unknown::Try {
            way = resource::find(resources, self.stack.clone(), "v1beta", names, &self.tenant).await?;
        }
        if let Some(way) = &way {
            resources.was_asked_about(&self.tenant, way);
        }
        way.map(Some).ok_or_else(|| NOT_HERE.into())
    }

    /// The same for a tuned model alone.
    pub(super) async fn way_to_model(&mut self, model: &str) -> Result<Option<Affinity>, Fault> {
        match resource::tuned(model) {
            None => Ok(None),
            Some(name) => self.way_to(&[name]).await,
        }
    }

    /// The same for a body that goes on to the provider's compatible endpoint as it is; and what it names.
    ///
    /// # Errors
    /// Also where nobody can tell what it names.
    pub(super) async fn way_of_compatible(&mut self, headers: &HeaderMap, body: &[u8]) -> Result<Named, Fault> {
        let is_json =
            headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"application/json"));
        if !is_json {
            let why = "where several tenants ask, bodies are JSON: send it as JSON";
            return if self.holdings.alone { Ok(Named::default()) } else { Err(Fault::invalid(why)) };
        }
        let unread = |_| Fault::invalid("the body is no JSON, and may name a file or the like: send it as JSON");
        let names = resource::names_in_compatible(body).map_err(unread)?;
        Ok((self.way_to(&names).await?, names))
    }

    /// What is to be handed on as it is names nothing that was not given to the tenant here, and no model that it may not
    /// use. Whoever has the one token may name anything. What leads to the account that made what is named, where that is
    /// known.
    ///
    /// # Errors
    /// Also where nobody can tell, and 404 for what is another's or nobody's.
    pub(super) async fn way_to_its_own(&mut self, task: &Task, body: &[u8]) -> Result<Option<Affinity>, Fault> {
        let takes_forms = matches!(task, Task::Sound(_) | Task::Redraw | Task::Other(_));
        if takes_forms && body.starts_with(b"--") {
            return Ok(None);
        }
        if self.tenant.is_default() {
            // Of other calls nothing is remembered for it.
            let goes_on = match task {
                Task::Respond | Task::CountResponse | Task::Other(COMPACT) => true,
                Task::Chat => {
                    let names = |word: &[u8]| memmem::find(body, word).is_some();
                    let several = || self.makers().is_some_and(KeyPool::has_several_owners);
                    (names(FILE) || (self.dialect == Dialect::Anthropic && names(CONTAINER))) && several()
                }
                _ => false,
            };
            let named = goes_on.then(|| ids::named_in(body).ok()).flatten();
            let names = named.map(|named| self.kept_as(&named.ids)).unwrap_or_default();
            let way = self.holdings.own.way_to_makers(&names, self.makers()).await?;
            if self.makers().is_some_and(KeyPool::has_several_owners) {
                let together = self.together();
                match &way {
                    Some(way) => self.holdings.own.was_named(&together, way),
                    None if matches!(task, Task::Respond) && is_kept(body) => {
                        return Ok(self.holdings.own.place_of_answer(&together, self.makers()));
                    }
                    None => {}
                }
            }
            return Ok(way);
        }
        let unread = |_| Fault::invalid("the body is no JSON, and may name a file or the like: send it as JSON");
        let named = ids::named_in(body).map_err(unread)?;
        for InField { field, text } in named.models {
            self.may_use(&text).map_err(|fault| fault.at(field))?;
        }
        if named.background {
            let why = "background: the answer could not be fetched later, where several tenants ask: leave it out";
            return Err(Fault::invalid(why).at("background"));
        }
        if named.ids.is_empty() {
            return Ok(None);
        }
        let names = self.kept_as(&named.ids);
        match self.holdings.own.foreign(&names, &self.tenant).await? {
            None => Ok(self.holdings.own.way_to_makers(&names, self.makers()).await?),
            Some(at) => {
                let InField { field, text } = &named.ids[at];
                let why = format!("{field}: {text} is not known here: {}", NOT_HERE.message());
                Err(Fault::of_status(NOT_HERE.status(), why).at(field))
            }
        }
    }

    /// What an answer of such a request is listened to for: ids that are the tenant's from then on.
    pub(super) fn listening_to(&self, path: &str, body: &[u8]) -> Option<Listening> {
        // Whoever may name anything need not be known for whose it is where one account alone makes it.
        let several = || self.makers().is_some_and(KeyPool::has_several_owners);
        let makes = || match self.dialect {
            Dialect::Anthropic => path.ends_with("/messages"),
            _ => path.ends_with("/responses") && is_kept(body),
        };
        let matters = !self.tenant.is_default() || (several() && makes());
        (matters && gives_ids(path, body)).then(|| {
            let (provider, pool) = (self.holdings.provider.clone(), self.makers().cloned());
            // Containers are made and named by calls alone.
            let together = self.tenant.is_default().then(|| self.together()).filter(|_| path.ends_with("/responses"));
            Listening::to_ids(&self.holdings.own, Gives { dialect: self.dialect, provider, pool }, together)
        })
    }

    /// What lies together with what the request makes, or names.
    fn together(&self) -> Together {
        Together::of(&self.tenant, &self.holdings.provider, self.wish.session())
    }

    /// The keys of the provider that a request is handed on to.
    pub(super) fn makers(&self) -> Option<&KeyPool> {
        if self.holdings.provider.is_empty() { self.pool.as_ref() } else { self.holdings.pool.as_ref() }
    }

    fn kept_as(&self, named: &[InField]) -> Vec<String> {
        named.iter().map(|id| ids::kept_as(&self.holdings.provider, &id.text)).collect()
    }

    /// A demand for whoever sees what is named, or had better answer.
    pub(super) fn led(demand: Demand, way: Option<Affinity>) -> Demand {
        match way {
            Some(way @ (Affinity::RatherOwner(_) | Affinity::RatherKey(_))) => demand.affinity(way),
            Some(way) => demand.affinity(way).of_resource(),
            None => demand,
        }
    }

    /// The same where nothing but a model can be named: what a refusal says is then said of the key.
    pub(super) fn led_by_model(demand: Demand, way: Option<Affinity>) -> Demand {
        Self::led(demand, way).names_nothing()
    }

    /// Whether a body for the compatible endpoint names nothing of anybody's, where that has to be said.
    pub(super) fn is_to_say_nothing_is_named(&self, body: &[u8]) -> bool {
        let beside = self.holdings.beside.get(&self.holdings.provider);
        let pool = beside.map_or(self.pool.as_ref(), |there| there.uploads.pool.as_ref());
        pool.is_some_and(KeyPool::met_unclear_refusals)
            && body.trim_ascii_start().starts_with(b"{")
            && !resource::may_name_compatible(body)
    }
}

/// What names a file.
const FILE: &[u8] = b"file_id";
/// What names where code runs.
const CONTAINER: &[u8] = b"\"container\"";

/// Whether the provider keeps the answer.
fn is_kept(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        store: Option<bool>,
    }
    serde_json::from_slice::<Asked>(body).is_ok_and(|asked| asked.store != Some(false))
}

/// Whether the answer to a request may give ids that a later one names.
fn gives_ids(path: &str, body: &[u8]) -> bool {
    let says = |words: &[&str]| words.iter().any(|word| memmem::find(body, word.as_bytes()).is_some());
    path.ends_with("/responses")
        || (path.ends_with("/messages") && says(&["code_execution", "\"container\""]))
        || (path.ends_with("/chat/completions") && says(&["\"audio\""]))
}
