//! Which course a request takes that was let in: over the stack, to whoever has what it names; or an answer of the
//! gateway's own, for what all owners have together.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use tower_keypool::{Affinity, BoxError, Error, ServedBy};

use super::{
    Arriving, Gateway, Setup, asking,
    crowd::Place,
    dialect::{Dialect, Refusal},
    failed,
    guard::Local,
    head,
    live::{self, KeyBody, Opened, Opening},
    models::Unheard,
    moment::unix_ms,
    resource::{self, Coming, Listening, Overheard, Sought, Target, Unknown, Unlisted},
    said::Said,
    seen::Seen,
    tenant::{MODEL, Tenant},
    upload::{self, Chunk, Heading, Passage},
};
use crate::{
    outgoing::{Broken, Outgoing},
    status::Outcome,
};

/// A request of the gateway's own to all owners, at most.
const OWNERS: usize = 64;

/// What becomes of a request that was let in.
pub(super) enum Course {
    /// It goes over the stack.
    On(OverStack),
    /// It is answered already.
    Done(Outcome, Response<Full<Bytes>>),
}

/// What goes over the stack, and what is done with its answer.
pub(super) struct OverStack {
    pub(super) body: Outgoing,
    pub(super) listening: Option<Listening>,
    pub(super) broken: Option<(Broken, Refusal)>,
}

impl Course {
    /// Over the stack as it is.
    pub(super) fn through(body: Outgoing) -> Self {
        Self::On(OverStack { body, listening: None, broken: None })
    }
}

impl<S> Gateway<S> {
    /// Who asks, and whether the request belongs to an upload.
    pub(super) async fn admit(
        &self,
        setup: &Setup<S>,
        parts: &Parts,
        seen: &Seen<'_>,
        local: &Local,
    ) -> Result<(Arc<Tenant>, Passage), Refusal> {
        let host = setup.guard.check(parts, seen, local)?;
        if let Some(id) = upload::id_of(parts) {
            return Box::pin(self.chunk(setup, id, parts, seen)).await;
        }
        let tenant = match self.tenants.who(&setup.token, parts, seen, 0) {
            // Whoever has the one token has it for good: nobody need know the time.
            Ok(tenant) if tenant.grant().expires.is_none() => tenant,
            Ok(_) => self.tenants.who(&setup.token, parts, seen, unix_ms(&self.clock))?,
            Err(refusal) => return Err(refusal),
        };
        Ok((tenant, upload::opens(parts, host)))
    }

    /// The id of an upload is its own credential: clients send none with the chunks.
    async fn chunk(
        &self,
        setup: &Setup<S>,
        id: &str,
        parts: &Parts,
        seen: &Seen<'_>,
    ) -> Result<(Arc<Tenant>, Passage), Refusal> {
        let chunk = self.uploads.chunk(id, parts).await?;
        let now = unix_ms(&self.clock);
        let tenant = self.tenants.named(&chunk.tenant, now).ok_or(upload::GONE)?;
        // Somebody else's token is none for it.
        if self.tenants.who(&setup.token, parts, seen, now).is_ok_and(|who| who.name() != tenant.name()) {
            return Err(upload::GONE);
        }
        Ok((tenant, Passage::Chunk(Box::new(chunk))))
    }

    /// A chunk's course.
    pub(super) fn chunk_on(chunk: &Chunk, parts: &mut Parts, body: Arriving) -> Course {
        chunk.direct(parts);
        let broken = Broken::default();
        let body = match chunk.most {
            Some(most) => Outgoing::bounded(body, most, broken.clone()),
            None => Outgoing::Came(body),
        };
        Course::On(OverStack { body, listening: None, broken: Some((broken, upload::LONGER)) })
    }
}

impl<S, B> Gateway<S>
where
    S: Service<http::Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Finds out what a request is about.
    pub(super) async fn course(
        &self,
        setup: &Setup<S>,
        tenant: &Arc<Tenant>,
        parts: &mut Parts,
        body: Coming,
    ) -> Course {
        let dialect = Dialect::Gemini;
        let refused = |refusal: Refusal| Course::Done(Outcome::Refused, dialect.answer(refusal));
        let stack = || setup.stack.clone();
        // The head is worked on meanwhile.
        let tried = (setup.unknown == Unknown::Try).then(|| parts.uri.path().to_owned());
        let resolve = async |names: &[String]| match &tried {
            None => Ok(None),
            Some(path) => self.find(stack(), path, names, tenant).await,
        };
        let alone = self.tenants.is_alone();
        let sought = resource::seek(&self.resources, (tenant, alone), parts, body, resolve).await;
        let Sought { target, body, broken } = match sought {
            Ok(sought) => sought,
            Err(refusal) => return refused(refusal),
        };
        let mut way = OverStack { body, listening: None, broken: Some((broken, resource::LATE)) };
        match target {
            Target::Call => {}
            Target::Making(listening) => way.listening = Some(listening),
            Target::Models { version, name } => {
                match self.models(setup, tenant, parts, (version, name.as_deref())).await {
                    Some(done) => return done,
                    // Asked in a way that is not known here, or for one that no list has.
                    None if name.as_ref().is_some_and(|name| !tenant.may_use(name)) => return refused(MODEL),
                    None if name.is_none() && tenant.is_restricted() => return refused(MODEL),
                    None => {}
                }
            }
            Target::List(collection) => {
                if collection.starts_with("openai/") {
                    // Another form of list, of which nobody here knows whose what is.
                    return if alone { Course::On(way) } else { refused(resource::NOT_HERE) };
                }
                let listed = resource::list(&self.resources, stack(), (tenant, alone), parts, &collection).await;
                return match listed {
                    Ok(list) => Course::Done(Outcome::Answered, json(list)),
                    Err(Unlisted::Refused(refusal)) => refused(refusal),
                    Err(Unlisted::Answered(answer)) => Course::Done(Outcome::Answered, passed_on(answer)),
                    Err(Unlisted::Failed(error)) => unanswered(&error, dialect),
                };
            }
        }
        Course::On(way)
    }

    /// The models of the pool, from the list that is at hand. `None`: it goes over the stack like any request.
    async fn models(
        &self,
        setup: &Setup<S>,
        tenant: &Tenant,
        parts: &Parts,
        (version, name): (String, Option<&str>),
    ) -> Option<Course> {
        let resources = self.resources.clone();
        let holders = async move { resources.holders().await };
        let shelf = self.models.shelf(&version, setup.stack.clone(), holders, &self.clock).await;
        let shelf = match shelf {
            Ok(shelf) => shelf,
            Err(Unheard::Nobody) => return None,
            Err(Unheard::Answered(answer)) => return Some(Course::Done(Outcome::Answered, passed_on(answer))),
            Err(Unheard::Failed(error)) => return Some(unanswered(&error, Dialect::Gemini)),
        };
        let found = match name {
            Some(name) if parts.uri.query().is_none_or(|query| query.starts_with("key=")) => shelf.model(name, tenant),
            Some(_) => None,
            None => shelf.page(parts, tenant),
        };
        found.map(|found| Course::Done(Outcome::Answered, json(found)))
    }

    /// Asks each owner for names that nobody knows.
    async fn find(&self, stack: S, path: &str, names: &[String], tenant: &Tenant) -> Result<Option<Affinity>, Refusal> {
        let version = path.split('/').find(|part| part.starts_with('v') && part.len() > 1).unwrap_or("v1beta");
        let missing = self.resources.unknown(names).await?;
        for name in missing {
            let target = format!("/{version}/{name}");
            for holder in self.resources.holders().await.into_iter().take(OWNERS) {
                let Ok(answer) = asking::get(stack.clone(), &target, holder.way).await else { continue };
                if answer.status().is_success() {
                    let key = answer.extensions().get::<ServedBy>().and_then(ServedBy::key);
                    if let Some(key) = key {
                        self.resources.learn(vec![name.clone()], tenant.name(), key).await;
                    }
                    break;
                }
            }
        }
        self.resources.way_to(names, tenant).await
    }

    /// What the client gets of an answer that belongs to an upload, or that is listened to.
    pub(super) async fn attend(
        &self,
        mut response: Response<B>,
        tenant: Arc<Tenant>,
        passage: &Passage,
        listening: Option<Listening>,
    ) -> Result<Response<Said<B>>, Refusal> {
        let served_by = response.extensions().get::<ServedBy>().cloned();
        match passage {
            Passage::Other => {}
            Passage::Chunk(chunk) => {
                self.uploads.settle(chunk, response.headers()).await;
            }
            Passage::Open(handout) => {
                let mut heading = Heading::of(&mut response, served_by.as_ref());
                self.uploads.hand_out(handout, tenant.name(), &mut heading).await?;
            }
        }
        head::tidy_response(&mut response);
        let listening = match (listening, passage) {
            // The last chunk's answer names the file.
            (None, Passage::Chunk(_)) => Some(Listening::to(&self.resources)),
            (listening, _) => listening,
        };
        let Some(listening) = listening.filter(|_| response.status().is_success()) else {
            return Ok(response.map(Said::theirs));
        };
        listening.good().await;
        Ok(Overheard::of(response, listening, tenant).map(Said::heard))
    }

    /// Opens a socket.
    pub(super) async fn socket(
        &self,
        setup: &Setup<S>,
        (parts, place): (Parts, Option<Arc<Place>>),
        tenant: Result<Arc<Tenant>, Refusal>,
        dialect: Dialect,
    ) -> (Outcome, Response<Said<B>>) {
        let opening = match self.opening(&parts, tenant, dialect).await {
            Ok(opening) => opening,
            Err(response) => return (Outcome::Refused, response.map(Said::from)),
        };
        let account = opening.account.clone();
        let opened = match &setup.live {
            _ if setup.dialects.provider == Dialect::Gemini && !parts.uri.path().starts_with("/ws/") => {
                Opened::Refused(NO_SOCKET_HERE)
            }
            Some(live) if live::begins_with_setup(parts.uri.path()) => {
                let records = (self.resources.clone(), self.tenants.is_alone());
                live.begin((parts, place), opening, records, &self.pipes)
            }
            Some(live) => live.open((parts, place), opening, &self.pipes).await,
            None => Opened::Refused(NO_SOCKETS),
        };
        if !matches!(opened, Opened::Open(_)) {
            account.opened(None, false);
        }
        match opened {
            Opened::Open(mut response) => {
                let switch = response.headers().clone();
                head::tidy_response(&mut response);
                for name in [header::CONNECTION, header::UPGRADE] {
                    if let Some(value) = switch.get(&name) {
                        response.headers_mut().insert(name, value.clone());
                    }
                }
                (Outcome::Answered, response.map(|()| Said::from(Full::default())))
            }
            Opened::Answered(response) => {
                let mut response: Response<KeyBody> = response;
                head::tidy_response(&mut response);
                let (head, body) = response.into_parts();
                let read = http_body_util::BodyExt::collect(http_body_util::Limited::new(body, 64 << 10)).await;
                let body = read.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                (Outcome::Answered, Response::from_parts(head, Said::from(Full::from(body))))
            }
            Opened::Failed(error) => {
                let outcome = if error.is_exhausted() { Outcome::Exhausted } else { Outcome::Failed };
                (outcome, failed(&error, dialect).map(Said::from))
            }
            Opened::Refused(refusal) => (Outcome::Refused, dialect.answer(refusal).map(Said::from)),
        }
    }

    /// What a socket is opened with: a tenant's token, or one of the provider's own that a tenant was given here.
    async fn opening(
        &self,
        parts: &Parts,
        tenant: Result<Arc<Tenant>, Refusal>,
        dialect: Dialect,
    ) -> Result<Opening, Response<Full<Bytes>>> {
        let (tenant, token) = self.opener(parts, tenant).await.map_err(|refusal| dialect.answer(refusal))?;
        let account = self.account(&tenant, dialect).await?;
        Ok(Opening { tenant, token, account })
    }

    async fn opener(
        &self,
        parts: &Parts,
        tenant: Result<Arc<Tenant>, Refusal>,
    ) -> Result<(Arc<Tenant>, Option<(String, Affinity)>), Refusal> {
        let now = unix_ms(&self.clock);
        let (tenant, token) = match (tenant, live::token_of(parts)) {
            (Err(refusal), None) => return Err(refusal),
            (Err(refusal), Some(token)) => {
                let (whose, way) = self.resources.whose(&token).await?.ok_or(refusal)?;
                (self.tenants.named(&whose, now).ok_or(refusal)?, Some((token, way)))
            }
            (Ok(tenant), _) => (tenant, None),
        };
        if tenant.is_restricted() && !live::begins_with_setup(parts.uri.path()) {
            // Nobody can tell which model it is for.
            return Err(MODEL);
        }
        Ok((tenant, token))
    }
}

const NO_SOCKETS: Refusal = Refusal::new(StatusCode::NOT_IMPLEMENTED, "WebSocket connections are not carried here");
const NO_SOCKET_HERE: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "no WebSocket is opened at this path: those of the Live API begin with /ws/");

/// An answer of the gateway's own.
fn json(text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    response
}

/// A provider's answer to a request of the gateway's own.
fn passed_on(mut answer: Response<Bytes>) -> Response<Full<Bytes>> {
    head::tidy_response(&mut answer);
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    answer.map(Full::from)
}

fn unanswered(error: &BoxError, dialect: Dialect) -> Course {
    match error.downcast_ref::<Error>() {
        Some(error) => {
            let outcome = if error.is_exhausted() { Outcome::Exhausted } else { Outcome::Failed };
            Course::Done(outcome, failed(error, dialect))
        }
        None => Course::Done(Outcome::Failed, dialect.answer(BROKEN_LIST)),
    }
}

const BROKEN_LIST: Refusal = Refusal::new(StatusCode::BAD_GATEWAY, "the provider's list broke off");
