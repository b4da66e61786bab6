//! What is asked of a provider of another dialect than Gemini's that has several accounts, each of which keeps things of its
//! own (files, batches, answers): what names one goes to whoever has it, and a list is that of all.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use tower::Service;
use tower_keypool::{BoxError, Error, KeyPool};

use super::course::{Course, OverStack, as_course, attend};
use crate::{
    gateway::{
        Gateway, Setup,
        admit::tenant::Tenant,
        answer::{body::Said, failure},
        connection::pace::Arriving,
        dialect::Dialect,
        forward::{
            inventory,
            page::Asked,
            resource::{
                Gives, Listed,
                kept::{self, Going},
            },
            results::Results,
            send,
            upload::Passage,
        },
        route::Beside,
    },
    outgoing::Outgoing,
    status::Outcome,
};

/// Where a request goes among accounts, once that is found out.
pub(super) type Among<'r, S> = Pin<Box<dyn Future<Output = Course<S>> + Send + 'r>>;

impl<S, B> Gateway<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// The course of a request that is about what one of several accounts keeps.
    ///
    /// # Errors
    /// Its body, where it is about something else, or there is one account.
    fn among<'r>(
        &self,
        stack: &S,
        (dialect, provider, pool): (Dialect, &str, Option<&KeyPool>),
        (tenant, passage): (&'r Tenant, &'r Passage),
        (parts, body): (&'r mut Parts, Arriving),
    ) -> Result<Among<'r, S>, Arriving> {
        let results = if let Passage::Batches(results) = passage { Some(results) } else { None };
        if results.is_some() {
            Results::be_readable(parts);
        }
        let Some(pool) = pool.filter(|pool| kept::is_meant(parts.uri.path()) && pool.has_several_owners()) else {
            return Err(body);
        };
        let gives = Gives { dialect, provider: provider.to_owned(), pool: Some(pool.clone()) };
        let (resources, stack) = (self.own.resources.clone(), stack.clone());
        Ok(match Asked::by(dialect, parts) {
            Some(asked) => Box::pin(async move {
                let listed = inventory::list(&resources, stack, &gives, asked).await.map(|list| match results {
                    Some(results) => Listed { text: results.told(list.text), ..list },
                    None => list,
                });
                as_course(listed, dialect)
            }),
            None => Box::pin(async move {
                match resources.lead_to_keeper(tenant, parts, body, gives).await {
                    Ok(Going { body, listening }) => Course::On(OverStack { body, listening, broken: None }),
                    Err(refusal) => Course::Done(Outcome::Refused, dialect.answer(refusal)),
                }
            }),
        })
    }

    /// The same at the gateway's own provider.
    ///
    /// # Errors
    /// Its body, as well.
    pub(super) fn among_own<'r>(
        &self,
        setup: &Setup<S>,
        whose: (&'r Tenant, &'r Passage),
        came: (&'r mut Parts, Arriving),
    ) -> Result<Among<'r, S>, Arriving> {
        self.among(&setup.stack, (setup.dialects.provider, "", self.own.uploads.pool.as_ref()), whose, came)
    }

    /// Carries a request to a provider beside the gateway's own that is of another dialect than Gemini's.
    pub(super) async fn ask_beside(
        &self,
        other: Beside<S>,
        (tenant, passage): (Arc<Tenant>, &Passage),
        (mut parts, body): (Parts, Arriving),
        dialect: Dialect,
    ) -> (Outcome, Response<Said<B>>) {
        let Beside { name, pool, stack, .. } = other;
        let at = (dialect, &*name, pool.as_ref());
        let course = match self.among(&stack, at, (&tenant, passage), (&mut parts, body)) {
            Ok(among) => among.await,
            Err(body) => Course::through(Outgoing::Came(body)),
        };
        let OverStack { body, listening, .. } = match course {
            // Such a provider has no neighbours of its kind.
            Course::On(way) | Course::Beside(_, way) => way,
            Course::Done(outcome, response) => return (outcome, response.map(Said::from)),
        };
        let answered = send::pass(stack, Request::from_parts(parts, body)).await;
        match failure::finish(answered, None, dialect) {
            Ok(response) => {
                match attend(&self.own, response, (&self.farewell, &tenant), dialect, passage, listening).await {
                    Ok(response) => (Outcome::Answered, response),
                    Err(refusal) => (Outcome::Failed, dialect.answer(refusal).map(Said::from)),
                }
            }
            Err(failed) => (failed.0, failed.1.map(Said::from)),
        }
    }
}
