//! Which course a request takes that was let in: over the stack, to whoever has what it names; or an answer of the
//! gateway's own, for what all owners have together.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use tower_keypool::{BoxError, Error, ServedBy};

use super::neighbours::{Neighbour, Neighbours};
use crate::{
    gateway::{
        Gateway, Setup,
        admit::tenant::{MODEL, Tenant},
        aliases::Aliases,
        answer::{
            addressed::addressed,
            body::{self, Said, Usage},
            failure::{self, failed},
            head,
        },
        connection::pace::Arriving,
        dialect::{Dialect, Refusal},
        farewell::Farewell,
        forward::{
            affinity,
            belongings::Belongings,
            catalogue::{Shelves, Unheard},
            renamed,
            resource::{self, Coming, Listed, Listening, Overheard, Sought, Target, Unknown, Unlisted},
            send,
            upload::{self, Chunk, Heading, Passage},
        },
        route::task::Task,
    },
    outgoing::{Broken, Outgoing},
    status::Outcome,
};

/// A list is without what so many accounts have, which give none.
const INCOMPLETE: HeaderName = HeaderName::from_static("x-keypool-incomplete");

/// What becomes of a request that was let in.
pub(super) enum Course<S> {
    /// It goes over the stack.
    On(OverStack),
    /// It goes over that of a pool beside it, which has what it names, or serves its model.
    Beside(Box<Neighbour<S>>, OverStack),
    /// It is answered already.
    Done(Outcome, Response<Full<Bytes>>),
}

/// What goes over the stack, and what is done with its answer.
pub(super) struct OverStack {
    pub(super) body: Outgoing,
    pub(super) listening: Option<Listening>,
    pub(super) broken: Option<(Broken, Refusal)>,
}

impl<S> Course<S> {
    /// Over the stack as it is.
    pub(super) fn through(body: Outgoing) -> Self {
        Self::On(OverStack { body, listening: None, broken: None })
    }
}

/// A pool of Gemini's that a request goes to, and what tenants have there.
pub(super) struct Quarter<'g, S> {
    pub(super) stack: &'g S,
    pub(super) belongings: &'g Belongings,
    /// Other names of its models.
    pub(super) aliases: &'g Aliases,
    /// What becomes of names that nobody knows.
    pub(super) unknown: Unknown,
    /// There is no other tenant.
    pub(super) alone: bool,
    /// Of the gateway, whose end is told within streams.
    pub(super) farewell: &'g Farewell,
    /// Other pools of Gemini's.
    pub(super) neighbours: Neighbours<'g, S>,
}

impl<S> Gateway<S> {
    /// Its own pool, where it is of Gemini's.
    pub(super) fn quarter<'g>(&'g self, setup: &'g Setup<S>) -> Quarter<'g, S> {
        let alone = self.tenants.is_alone();
        let (stack, aliases) = (&setup.stack, &setup.aliases);
        let (unknown, farewell) = (setup.unknown, &*self.farewell);
        let neighbours = Neighbours::of_own(self, setup.dialects.provider);
        Quarter { stack, belongings: &self.own, aliases, unknown, alone, farewell, neighbours }
    }

    /// The body of a request that goes on to its own pool as it is.
    ///
    /// # Errors
    /// Where it takes a longer look to find its course.
    pub(super) fn at_once(
        &self,
        setup: &Setup<S>,
        tenant: &Tenant,
        parts: &mut Parts,
        body: Arriving,
    ) -> Result<Outgoing, Coming> {
        if renamed::may_name_within(&setup.aliases, parts) {
            return Err(body.into());
        }
        let unused_beside = || self.others.is_empty() || self.is_known_to_be_unused_beside();
        let alone = self.tenants.is_alone();
        let body = resource::at_once(&self.own.resources, (tenant, alone), parts, body, unused_beside)?;
        affinity::follow(parts, &body);
        Ok(body)
    }

    /// What knows the models of its own provider, where a request asks for them.
    pub(super) fn shelves(&self, setup: &Setup<S>, task: &Task) -> Option<Shelves> {
        let asks = matches!(task, Task::Models | Task::Model(_));
        asks.then(|| self.own.shelves(setup.dialects.provider, &setup.aliases))
    }
}

/// A chunk's course.
pub(super) fn chunk_on<S>(chunk: &Chunk, parts: &mut Parts, body: Arriving) -> Course<S> {
    chunk.direct(parts);
    let broken = Broken::default();
    let body = match chunk.most {
        Some(most) => Outgoing::bounded(body, most, broken.clone()),
        None => Outgoing::Came(body),
    };
    Course::On(OverStack { body, listening: None, broken: Some((broken, upload::LONGER)) })
}

impl<S, B> Quarter<'_, S>
where
    S: Service<http::Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Carries a request that goes to another pool than the gateway's own.
    pub(super) async fn carry(
        &self,
        (tenant, passage): (Arc<Tenant>, &Passage),
        (mut parts, body): (Parts, Arriving),
        dialect: Dialect,
    ) -> (Outcome, Response<Said<B>>) {
        let course = match passage {
            Passage::Chunk(chunk) => chunk_on(chunk, &mut parts, body),
            _ => self.course(&tenant, &mut parts, body.into()).await,
        };
        match course {
            Course::On(way) => self.carry_on((tenant, passage), (parts, way), dialect).await,
            Course::Beside(next, way) => {
                let next = Quarter { stack: &next.beside.stack, belongings: &next.belongings, ..*self };
                next.carry_on((tenant, passage), (parts, way), dialect).await
            }
            Course::Done(outcome, response) => (outcome, response.map(Said::from)),
        }
    }

    /// Carries one whose course is known over the stack.
    pub(super) async fn carry_on(
        &self,
        (tenant, passage): (Arc<Tenant>, &Passage),
        (parts, OverStack { body, listening, broken }): (Parts, OverStack),
        dialect: Dialect,
    ) -> (Outcome, Response<Said<B>>) {
        let answered = send::pass(self.stack.clone(), Request::from_parts(parts, body)).await;
        match failure::finish(answered, broken.as_ref(), dialect) {
            Ok(response) => {
                match attend(self.belongings, response, (self.farewell, &tenant), dialect, passage, listening).await {
                    Ok(response) => (Outcome::Answered, response),
                    Err(refusal) => (Outcome::Failed, dialect.answer(refusal).map(Said::from)),
                }
            }
            Err(failed) => (failed.0, failed.1.map(Said::from)),
        }
    }

    /// Finds out what a request is about.
    pub(super) async fn course(&self, tenant: &Arc<Tenant>, parts: &mut Parts, body: Coming) -> Course<S> {
        let compatible = parts.uri.path().contains("/openai/");
        let dialect = if compatible { Dialect::OpenAi } else { Dialect::Gemini };
        let refused = |refusal: Refusal| Course::Done(Outcome::Refused, dialect.answer(refusal));
        let alone = self.alone;
        let is_used = async || self.belongings.resources.is_used().await || self.neighbours.are_used().await;
        let wanted = (self.neighbours.may_lead(), is_used);
        let read = match resource::look_through((&**tenant, alone), parts, body, wanted).await {
            Ok(read) => read,
            Err(refusal) => return refused(refusal),
        };
        let next = match self.neighbours.whither(&self.belongings.resources, tenant, &read).await {
            Ok(next) => next,
            Err(refusal) => return refused(refusal),
        };
        let (resources, aliases, stack) = match &next {
            None => (&self.belongings.resources, self.aliases, self.stack),
            Some(next) => (&next.belongings.resources, &next.beside.aliases, &next.beside.stack),
        };
        let stack = || stack.clone();
        // The head is worked on meanwhile.
        let tried = (self.unknown == Unknown::Try).then(|| parts.uri.path().to_owned());
        let resolve = async |names: &[String]| match &tried {
            None => Ok(None),
            Some(path) => {
                let version = path.split('/').find(|part| part.starts_with('v') && part.len() > 1).unwrap_or("v1beta");
                resource::find(resources, stack(), version, names, tenant).await
            }
        };
        let sought = resource::seek(resources, tenant, parts, read, resolve).await;
        let Sought { target, body, broken } = match sought {
            Ok(sought) => sought,
            Err(refusal) => return refused(refusal),
        };
        let body = if renamed::may_name_within(aliases, parts) {
            match renamed::resolved(aliases, parts, body, &broken).await {
                Ok(body) => body,
                Err(refusal) => return refused(refusal),
            }
        } else {
            body
        };
        let mut way = OverStack { body, listening: None, broken: Some((broken, resource::LATE)) };
        match target {
            Target::Call => {}
            Target::Making(listening) => way.listening = Some(listening),
            Target::Models { version, name } => {
                match self.models(tenant, parts, (version, name.as_deref())).await {
                    Some(done) => return done,
                    // Asked in a way that is not known here, or for one that no list has.
                    None if name.as_ref().is_some_and(|name| !tenant.may_use(name)) => return refused(MODEL),
                    None if name.is_none() && tenant.is_restricted() => return refused(MODEL),
                    None => {}
                }
            }
            Target::List(collection) => {
                let whose = (&**tenant, alone);
                let listed = if resource::is_compatible(&collection) {
                    resource::compatible::list(resources, stack(), whose, parts, &collection).await
                } else {
                    resource::list(resources, stack(), whose, parts, &collection).await
                };
                return as_course(listed, dialect);
            }
        }
        match next {
            None => Course::On(way),
            Some(next) => Course::Beside(next, way),
        }
    }

    /// The models of the pool, from the list that is at hand. `None`: it goes over the stack like any request.
    async fn models(
        &self,
        tenant: &Tenant,
        parts: &Parts,
        (version, name): (String, Option<&str>),
    ) -> Option<Course<S>> {
        let shelves = self.belongings.shelves(Dialect::Gemini, self.aliases);
        let shelf = match shelves.of_version(&version, self.stack.clone()).await {
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
}

/// What the client gets of an answer that belongs to an upload, tells of batches, or that is listened to. A stream that does not
/// end before the gateway or its tenant does ends with an error of this dialect.
pub(super) async fn attend<B>(
    belongings: &Belongings,
    mut response: Response<B>,
    (farewell, tenant): (&Farewell, &Arc<Tenant>),
    dialect: Dialect,
    passage: &Passage,
    listening: Option<Listening>,
) -> Result<Response<Said<B>>, Refusal>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let served_by = response.extensions().get::<ServedBy>().cloned();
    match passage {
        Passage::Other | Passage::Batches(_) => {}
        Passage::Chunk(chunk) => {
            belongings.resources.upload_went_on(tenant, &chunk.affinity);
            belongings.uploads.settle(chunk, response.headers_mut()).await;
        }
        Passage::Open(handout) => {
            if let Some(listening) = &listening
                && response.status().is_success()
                && let Some(key) = served_by.as_ref().and_then(ServedBy::key)
            {
                listening.began(key);
            }
            let mut heading = Heading::of(&mut response, served_by.as_ref());
            belongings.uploads.hand_out(handout, tenant.name(), &mut heading).await?;
        }
    }
    let listening = match (listening, passage) {
        // The last chunk's answer names the file.
        (None, Passage::Chunk(_)) => Some(Listening::to(&belongings.resources)),
        (listening, _) => listening,
    };
    let response = match listening.filter(|_| response.status().is_success()) {
        None => body::passed_on(response, dialect, (farewell, tenant), Usage::Told),
        Some(listening) => {
            listening.good().await;
            let heard = Overheard::of(response, listening, Arc::clone(tenant));
            body::passed_on_heard(heard, dialect, (farewell, tenant), Usage::Told)
        }
    };
    Ok(match passage {
        Passage::Batches(results) => addressed(response, results).await,
        _ => response,
    })
}

/// What becomes of a list.
pub(super) fn as_course<S>(listed: Result<Listed, Unlisted>, dialect: Dialect) -> Course<S> {
    match listed {
        Ok(Listed { text, left_out }) => {
            let mut response = json(text);
            if left_out > 0 {
                response.headers_mut().insert(INCOMPLETE, HeaderValue::from(left_out));
            }
            Course::Done(Outcome::Answered, response)
        }
        Err(Unlisted::Refused(refusal)) => Course::Done(Outcome::Refused, dialect.answer(refusal)),
        Err(Unlisted::Answered(answer)) => Course::Done(Outcome::Answered, passed_on(answer)),
        Err(Unlisted::Failed(error)) => unanswered(&error, dialect),
        Err(Unlisted::Later(after)) => Course::Done(Outcome::Failed, dialect.answer_until(LATER, after)),
    }
}

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

fn unanswered<S>(error: &BoxError, dialect: Dialect) -> Course<S> {
    match error.downcast_ref::<Error>() {
        Some(error) => {
            let outcome = if error.is_exhausted() { Outcome::Exhausted } else { Outcome::Failed };
            Course::Done(outcome, failed(error, dialect))
        }
        None => Course::Done(Outcome::Failed, dialect.answer(BROKEN_LIST)),
    }
}

const LATER: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "an account's part of this list cannot be had just now (its key rests, or it answers with an error or not at all): try again",
);
const BROKEN_LIST: Refusal = Refusal::new(StatusCode::BAD_GATEWAY, "the provider's list broke off");
