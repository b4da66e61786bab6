//! Which models there are: those of all providers that stand side by side, in one list.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, request::Parts};
use http_body::Body;
use keypool_dialect::{Fault, Ignored, Kind, Model, catalogue, gemini};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tower::Service;
use tower_keypool::{Affinity, BoxError, Demand, Error, ServedBy};

use super::{
    Answered, Failed, Translator, answer, answers::Answers, asked::request, bad_model, fetch, refusal::without_answer,
    resource, upstream::refused, upstream_fault,
};
use crate::{
    gateway::{
        dialect::Dialect,
        forward::catalogue::{Shelves, Unheard},
        model_names::is_among,
        route::providers::Beside,
    },
    outgoing::Outgoing,
    status::Traffic,
};

/// A catalogue is read to here.
const MOST_PAGES: usize = 10;
/// A provider beside the gateway's own is not waited for longer, where no key of its pool is free.
const WAIT: Duration = Duration::from_secs(2);

/// What needs no other form in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// The version of Gemini's API that is asked which models there are.
const VERSION_ASKED: &str = "v1beta";

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// What a provider lists, and who was asked.
type Listed = Result<(Vec<Model>, Option<ServedBy>), Failed>;

impl<S, B> Translator<S>
where
    S: Service<http::Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// All that the tenant may ask for.
    pub(super) async fn models(self, parts: &Parts) -> Result<Answered<B>, Failed> {
        let home = self.home.as_ref().map(|home| &home.name);
        let beside = self.others.iter().filter(|other| !self.only || Some(&other.name) == home);
        let asked: Vec<Beside<S>> = beside.cloned().collect();
        let home = home.cloned();
        let (traffic, only) = (Arc::clone(&self.traffic), self.only);
        let (stack, dialect, answers) = (self.stack.clone(), self.own.dialect(), self.answers.apart());
        let shelves = self.shelves.clone().filter(|_| dialect == Dialect::Gemini);
        let of_own = async {
            match shelves {
                _ if only => Ok((Vec::new(), None)),
                Some(shelves) => known(&shelves, stack, (&traffic, answers), parts, None).await,
                None => list(stack, dialect, (&traffic, answers), parts, None).await,
            }
        };
        let of_others = asked.iter().map(|other| {
            let demand = Demand::any_model().of_resource().wait(WAIT);
            let (shelves, at) = (self.shelves_at(&other.name), (&*traffic, self.answers.apart()));
            let (stack, dialect) = (other.stack.clone(), other.dialect);
            async move {
                match shelves {
                    Some(shelves) => known(&shelves, stack, at, parts, Some(demand)).await,
                    None => list(stack, dialect, at, parts, Some(demand)).await,
                }
            }
        });
        let of_others: Vec<_> = of_others.collect();
        let named: Vec<Named> = asked.iter().map(Named::of).collect();
        drop(asked);
        let (own, others) = join(of_own, join_all(of_others)).await;
        let (mut models, mut served_by, mut failed) = (Vec::new(), None, None);
        match own {
            Ok((listed, by)) => {
                let ours = listed.into_iter().filter(|model| self.whose(Some(&model.id)).is_none());
                models.extend(ours);
                served_by = by;
            }
            Err(why) => failed = Some(why),
        }
        for (other, listed) in named.into_iter().zip(others) {
            let is_home = Some(&other.name) == home.as_ref();
            let listed = match listed {
                Ok((listed, by)) => {
                    served_by = served_by.or(by);
                    listed
                }
                Err(why) => {
                    failed.get_or_insert(why);
                    Vec::new()
                }
            };
            // Whatever the provider says of them, these are asked of it.
            let named = other.models.iter().filter(|name| !name.ends_with('*'));
            let named = named.map(|name| Model { id: name.clone(), title: name.clone(), owner: String::new() });
            let named: Vec<Model> = named.filter(|named| !listed.iter().any(|model| model.id == named.id)).collect();
            let theirs = listed.into_iter().chain(named).filter(|model| is_home || is_among(&other.models, &model.id));
            models.extend(theirs.map(|model| Model { owner: other.name.clone(), ..model }));
        }
        let mut seen = HashSet::new();
        models.retain(|model| self.tenant.may_use(&model.id) && seen.insert(model.id.clone()));
        match failed {
            Some(failed) if models.is_empty() => Err(failed),
            _ => Ok(answer(self.caller.models(&models).into_bytes(), served_by, &Ignored::default())),
        }
    }

    /// One of them.
    pub(super) async fn model(mut self, name: &str, parts: Parts) -> Result<Answered<B>, Failed> {
        self.may_use(name)?;
        let other = self.whose(Some(name));
        let (dialect, stack) = match &other {
            None => (self.own.dialect(), self.stack.clone()),
            Some(other) => (other.dialect, other.stack.clone()),
        };
        let path = format!("/v1/models/{}", utf8_percent_encode(name, SEGMENT));
        if dialect == self.dialect {
            return self.hand_on(stack, &path, (parts, Default::default()), None).await;
        }
        if dialect != Dialect::Gemini {
            let demand = Demand::any_model().of_resource().wait(WAIT);
            let (listed, served_by) = list(stack, dialect, (&self.traffic, self.answers), &parts, Some(demand)).await?;
            let found = listed.iter().find(|model| model.id == name);
            let gone = || Fault::new(Kind::NotFound, "model: its provider has none of that name").at("model");
            let model = found.ok_or_else(gone)?;
            return Ok(answer(self.caller.model(model).into_bytes(), served_by, &Ignored::default()));
        }
        let shelves = match &other {
            None => self.shelves.take(),
            Some(other) => self.shelves_at(&other.name),
        };
        self.stack = stack;
        if let Some(other) = &other {
            self.holdings.turn_to(&other.name);
        }
        if let Some(shelves) = shelves.filter(|_| resource::tuned(name).is_none()) {
            match shelves.of_version(VERSION_ASKED, self.stack.clone()).await {
                Ok(shelf) => {
                    if let Some(found) = shelf.model(gemini::name(name), &self.tenant) {
                        let model = gemini::model(&found).map_err(|fault| upstream_fault(fault, None))?;
                        let text = self.caller.model(&model);
                        return Ok(answer(text.into_bytes(), None, &Ignored::default()));
                    }
                }
                Err(Unheard::Nobody) => {}
                Err(why) => return Err(unheard(why)),
            }
        }
        // One that no list has may be there all the same.
        let path = gemini::path_of(name, "").ok_or_else(bad_model)?;
        let demand = self.way_to_model(name).await?.map(|way| Self::led(Demand::any_model(), Some(way)));
        let (served_by, body) = self.fetch(request(Method::GET, &path, &parts, Vec::new(), demand)).await?;
        let model = gemini::model(&body).map_err(|fault| upstream_fault(fault, served_by.clone()))?;
        Ok(answer(self.caller.model(&model).into_bytes(), served_by, &Ignored::default()))
    }
}

impl<S> Translator<S> {
    /// What knows the models of a provider beside the gateway's own, where that is of Gemini's.
    fn shelves_at(&self, provider: &str) -> Option<Shelves> {
        self.holdings.beside.get(provider).map(|there| there.shelves())
    }
}

/// A provider beside the gateway's own, without its stack.
struct Named {
    name: String,
    models: Vec<String>,
}

impl Named {
    fn of<S>(other: &Beside<S>) -> Self {
        Self { name: other.name.clone(), models: other.models.clone() }
    }
}

/// What a pool of Gemini's lists, from the list at hand; where there is nobody to ask, the stack says why.
async fn known<S, B>(
    shelves: &Shelves,
    stack: S,
    at: (&Traffic, Answers),
    parts: &Parts,
    demand: Option<Demand>,
) -> Listed
where
    S: Service<http::Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    match shelves.of_version(VERSION_ASKED, stack.clone()).await {
        Ok(shelf) => {
            let page = gemini::page(&shelf.whole()).map_err(|fault| upstream_fault(fault, None))?;
            Ok((page.models, None))
        }
        Err(Unheard::Nobody) => list(stack, Dialect::Gemini, at, parts, demand).await,
        Err(why) => Err(unheard(why)),
    }
}

/// Why there is no list at hand.
fn unheard(why: Unheard) -> Failed {
    let broken = || upstream_fault(Fault::of_status(StatusCode::BAD_GATEWAY, "the provider's list broke off"), None);
    match why {
        Unheard::Nobody => broken(),
        Unheard::Answered(answer) => {
            let (head, said) = answer.into_parts();
            refused(&head, &said)
        }
        Unheard::Failed(error) => error.downcast_ref::<Error>().map_or_else(broken, without_answer),
    }
}

/// What a provider lists, all its pages: of one key, whose they are.
async fn list<S, B>(
    stack: S,
    dialect: Dialect,
    (traffic, answers): (&Traffic, Answers),
    parts: &Parts,
    demand: Option<Demand>,
) -> Listed
where
    S: Service<http::Request<Outgoing>, Response = Response<B>, Error = Error> + Clone,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut models, mut next, mut served_by) = (Vec::new(), None::<String>, None);
    for _ in 0..MOST_PAGES {
        let next_of = |name: &str| match &next {
            Some(next) => format!("&{name}={}", utf8_percent_encode(next, NON_ALPHANUMERIC)),
            None => String::new(),
        };
        let path = match dialect {
            Dialect::Gemini => format!("/v1beta/models?pageSize=1000{}", next_of("pageToken")),
            Dialect::OpenAi => "/v1/models".to_owned(),
            Dialect::Anthropic => format!("/v1/models?limit=1000{}", next_of("after_id")),
        };
        let of_one = served_by.as_ref().and_then(ServedBy::key).cloned().map(Affinity::MustKey);
        let demand = match of_one {
            None => demand.clone(),
            Some(way) => Some(demand.clone().unwrap_or_else(|| Demand::any_model().of_resource()).affinity(way)),
        };
        let mut request = request(Method::GET, &path, parts, Vec::new(), demand);
        if dialect == Dialect::Anthropic {
            let version = parts.headers.get(VERSION).cloned();
            let version = version.unwrap_or_else(|| HeaderValue::from_static("2023-06-01"));
            request.headers_mut().insert(VERSION, version);
        }
        let (by, body) = fetch(stack.clone(), traffic, &answers, request).await?;
        let page = match dialect {
            Dialect::Gemini => gemini::page(&body).map(|page| (page.models, page.next)),
            _ => catalogue(&body),
        };
        let (listed, more) = page.map_err(|fault| upstream_fault(fault, by.clone()))?;
        models.extend(listed);
        served_by = by;
        next = more;
        if next.is_none() {
            break;
        }
    }
    Ok((models, served_by))
}
