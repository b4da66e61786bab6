//! Which models there are: those of all providers that stand side by side, in one list.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::Full;
use keypool_dialect::{Fault, Ignored, Kind, Model, catalogue, gemini};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tower::Service;
use tower_keypool::{BoxError, Demand, Error};

use super::{
    Answered, Failed, Said, Translator, answer, asked::request, bad_model, holdings::Named as Whose,
    refusal::without_answer, resource, upstream::refused, upstream_fault,
};
use crate::{
    gateway::{
        dialect::Dialect,
        forward::{
            catalogue::{Shelves, Unheard},
            send,
        },
        model_names::is_among,
        route::{
            providers::Beside,
            way::{COMPATIBLE, Own, behind, forced},
        },
    },
    outgoing::Outgoing,
    status::Outcome,
};

/// What needs no other form in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// So long one provider's list may keep those of the others.
const LISTED: Duration = Duration::from_secs(5);

/// The version of Gemini's API that is asked which models there are.
const VERSION_ASKED: &str = "v1beta";

impl<S, B> Translator<S>
where
    S: Service<http::Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// All that the tenant may ask for.
    pub(super) async fn models(mut self, parts: Parts) -> Result<Answered<B>, Failed> {
        if let Some((stack, shelves)) = self.of_one_alone() {
            return self.models_of_one((stack, shelves), parts).await;
        }
        let home = self.home.as_ref().map(|home| home.name.clone());
        let beside = self.others.iter().filter(|other| !self.only || Some(&other.name) == home.as_ref());
        let asked: Vec<Beside<S>> = beside.cloned().collect();
        let shelves = self.shelves.take().filter(|_| !self.only);
        let (stack, dialect) = (self.stack.clone(), self.own.dialect());
        let of_own = async {
            match shelves {
                Some(shelves) => in_time(known(&shelves, dialect, stack)).await,
                None => Ok(Vec::new()),
            }
        };
        let of_others: Vec<_> =
            asked.iter().map(|other| (self.shelves_at(other), other.dialect, other.stack.clone())).collect();
        let of_others = of_others.into_iter().map(|(shelves, dialect, stack)| async move {
            let listed = in_time(known(&shelves, dialect, stack)).await;
            drop(shelves);
            listed
        });
        let of_others: Vec<_> = of_others.collect();
        let named: Vec<Named> = asked.iter().map(Named::of).collect();
        let providers: HashSet<String> = named.iter().map(|other| other.name.clone()).collect();
        drop(asked);
        let (own, others) = join(of_own, join_all(of_others)).await;
        let (mut models, mut failed) = (Vec::new(), None);
        match own {
            Ok(listed) => models.extend(listed.into_iter().filter(|model| self.whose(Some(&model.id)).is_none())),
            Err(why) => failed = Some(why),
        }
        for (other, listed) in named.into_iter().zip(others) {
            let is_home = Some(&other.name) == home.as_ref();
            let listed = listed.unwrap_or_else(|why| {
                failed.get_or_insert(why);
                Vec::new()
            });
            // Whatever the provider says of them, these are asked of it.
            let named = other.models.iter().filter(|name| !name.ends_with('*'));
            let named = named.map(|name| Model { id: name.clone(), title: name.clone(), owner: String::new() });
            let named: Vec<Model> = named.filter(|named| !listed.iter().any(|model| model.id == named.id)).collect();
            let theirs = listed.into_iter().chain(named).filter(|model| is_home || is_among(&other.models, &model.id));
            models.extend(theirs.map(|model| Model { owner: other.name.clone(), ..model }));
        }
        let mut seen = HashSet::new();
        models.retain(|model| self.tenant.may_use(&model.id) && seen.insert(model.id.clone()));
        if self.is_compatible(&parts) {
            let own = models.iter_mut().filter(|model| !providers.contains(&model.owner));
            own.for_each(as_googles);
        }
        match failed {
            Some(failed) if models.is_empty() => Err(failed),
            _ => Ok(answer(self.caller.models(&models).into_bytes(), None, &Ignored::default())),
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
        let shelves = match &other {
            None => self.shelves.take(),
            Some(other) => Some(self.shelves_at(other)),
        };
        self.stack = stack.clone();
        if let Some(other) = &other {
            self.holdings.turn_to(&other.name);
        }
        let plain = parts.uri.query().is_none_or(|query| query.starts_with("key=")) || dialect != self.dialect;
        if let Some(shelves) = shelves.filter(|_| plain && resource::tuned(name).is_none()) {
            match shelves.of_version(VERSION_ASKED, stack.clone()).await {
                Ok(shelf) => {
                    let bare = if dialect == Dialect::Gemini { gemini::name(name) } else { name };
                    if let Some(found) = shelf.named(bare, &self.tenant) {
                        if dialect == self.dialect {
                            return Ok(as_listed(found));
                        }
                        let mut model = understood(dialect, &found).map_err(|fault| upstream_fault(fault, None))?;
                        if dialect == Dialect::Gemini && self.is_compatible(&parts) {
                            as_googles(&mut model);
                        }
                        return Ok(answer(self.caller.model(&model).into_bytes(), None, &Ignored::default()));
                    }
                }
                Err(Unheard::Nobody) => {}
                Err(why) => return Err(unheard(why)),
            }
        }
        // One that no list has may be there all the same.
        if dialect == self.dialect {
            let came = parts.uri.path();
            let path = if came.starts_with("/v1/models/") {
                came.to_owned()
            } else {
                format!("/v1/models/{}", utf8_percent_encode(name, SEGMENT))
            };
            return self.hand_on(stack, &path, (parts, Whose::default()), None).await;
        }
        if dialect != Dialect::Gemini {
            return Err(Fault::new(Kind::NotFound, "model: its provider has none of that name").at("model").into());
        }
        let path = gemini::path_of(name, "").ok_or_else(bad_model)?;
        let demand = self.way_to_model(name).await?.map(|way| Self::led(Demand::any_model(), Some(way)));
        let (served_by, body) = self.fetch(request(Method::GET, &path, &parts, Vec::new(), demand)).await?;
        let model = gemini::model(&body).map_err(|fault| upstream_fault(fault, served_by.clone()))?;
        Ok(answer(self.caller.model(&model).into_bytes(), served_by, &Ignored::default()))
    }

    /// Whether it is asked as Google's own endpoint for `OpenAI`'s clients.
    fn is_compatible(&self, parts: &Parts) -> bool {
        let path = parts.uri.path();
        let native = forced(path).map_or(path, |(_, rest)| rest);
        self.dialect == Dialect::OpenAi && (self.own == Own::Compatible || behind(native, COMPATIBLE).is_some())
    }

    /// The one provider whose models alone are asked for, where it speaks the caller's dialect.
    fn of_one_alone(&mut self) -> Option<(S, Shelves)> {
        let is_alone = self.only || (self.others.is_empty() && self.home.is_none());
        match self.home.as_ref().filter(|_| self.only) {
            _ if !is_alone => None,
            Some(other) => (other.dialect == self.dialect).then(|| (other.stack.clone(), self.shelves_at(other))),
            None if self.own.dialect() == self.dialect => Some((self.stack.clone(), self.shelves.take()?)),
            None => None,
        }
    }

    /// Its list as it writes it.
    async fn models_of_one(self, (stack, shelves): (S, Shelves), parts: Parts) -> Result<Answered<B>, Failed> {
        match shelves.of_version(VERSION_ASKED, stack.clone()).await {
            Ok(shelf) => {
                if let Some(page) = shelf.page(&parts, &self.tenant) {
                    return Ok(as_listed(page));
                }
                if self.tenant.is_restricted() {
                    return Ok(as_listed(shelf.tenants(&self.tenant)));
                }
            }
            Err(Unheard::Nobody) if !self.tenant.is_restricted() => {}
            Err(why) => return Err(unheard(why)),
        }
        // It is asked in a way that is not known here, or tells its models in one.
        self.hand_on(stack, "/v1/models", (parts, Whose::default()), None).await
    }

    /// What knows the models of a provider beside the gateway's own.
    fn shelves_at(&self, other: &Beside<S>) -> Shelves {
        match self.holdings.beside.get(&other.name) {
            Some(there) => there.shelves(other.dialect, &other.aliases),
            None => self.catalogues.shelves(other, &self.clock),
        }
    }
}

/// So Google's endpoint for `OpenAI`'s clients names a model.
fn as_googles(model: &mut Model) {
    model.id.insert_str(0, "models/");
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

/// What a provider's pool lists, from the list at hand.
async fn known<S, B>(shelves: &Shelves, dialect: Dialect, stack: S) -> Result<Vec<Model>, Failed>
where
    S: Service<http::Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let shelf = match shelves.of_version(VERSION_ASKED, stack.clone()).await {
        Ok(shelf) => shelf,
        // The stack says why.
        Err(Unheard::Nobody) => {
            let path = if dialect == Dialect::Gemini { "/v1beta/models" } else { "/v1/models" };
            let why = send::get_from(stack, (dialect, path), (None, None)).await;
            return Err(unheard(why.map_or_else(Unheard::Failed, Unheard::Answered)));
        }
        Err(why) => return Err(unheard(why)),
    };
    let models = match dialect {
        Dialect::Gemini => gemini::page(&shelf.whole()).map(|page| page.models),
        _ => catalogue(&shelf.whole()).map(|(models, _)| models),
    };
    models.map_err(|fault| upstream_fault(fault, None))
}

/// A list, or that it did not come.
async fn in_time<T>(listed: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    if let Ok(listed) = tokio::time::timeout(LISTED, listed).await {
        return listed;
    }
    let late = Fault::of_status(StatusCode::GATEWAY_TIMEOUT, "the provider's list of models did not come in time");
    Err(upstream_fault(late, None))
}

/// What a provider says of a model, of which it speaks as its list does.
fn understood(dialect: Dialect, entry: &[u8]) -> Result<Model, Fault> {
    let nonsense = || Fault::new(Kind::BadGateway, "the provider's list of models makes no sense");
    match dialect {
        Dialect::Gemini => gemini::model(entry),
        _ => catalogue(&[b"{\"data\":[", entry, b"]}"].concat())
            .and_then(|(models, _)| models.into_iter().next().ok_or_else(nonsense)),
    }
}

/// A provider's own words, from the list at hand.
fn as_listed<B>(text: Bytes) -> Answered<B> {
    let mut response = Response::new(Said::from(Full::from(text)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (Outcome::Answered, response)
}

/// Why there is no list at hand.
fn unheard(why: Unheard) -> Failed {
    let broken = || upstream_fault(Fault::of_status(StatusCode::BAD_GATEWAY, "the provider's list broke off"), None);
    match why {
        Unheard::Nobody => broken(),
        Unheard::Answered(answer) if answer.status().is_success() => broken(),
        Unheard::Answered(answer) => {
            let (head, said) = answer.into_parts();
            refused(&head, &said)
        }
        Unheard::Failed(error) => error.downcast_ref::<Error>().map_or_else(broken, without_answer),
    }
}
