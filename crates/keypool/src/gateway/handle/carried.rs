//! A request goes on as it came, over the gateway's own pool or one beside it.

use std::{future::poll_fn, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use tower::Service;
use tower_keypool::{BoxError, Error, ServedBy};
use tracing::{Instrument, Span};

use super::{
    course::{Course, OverStack, Quarter, attend, chunk_on},
    destination::Destination,
    entrance::{Entrance, Turn},
    request::Admitted,
};
use crate::{
    gateway::{
        admit::tenant::Tenant,
        answer::{
            body::{Said, Usage, passed_on},
            failure,
            reworded::{is_compatible, reworded},
        },
        connection::pace::Arriving,
        dialect::{Dialect, Refusal},
        forward::{
            affinity::{By, Numbers},
            belongings::Belongings,
            upload::Passage,
        },
        route::{Beside, way::Way},
    },
    outgoing::Outgoing,
    status::Outcome,
};

impl<S, B> Entrance<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Carries a request to a provider beside the gateway's own.
    pub(super) async fn carry_beside(
        &self,
        turn: Box<Turn<S>>,
        (beside, belongings, dialect): (Beside<S>, Option<Arc<Belongings>>, Dialect),
        Admitted { tenant, passage, wish }: Admitted,
        (mut parts, body): (Parts, Arriving),
        span: Option<Span>,
    ) -> (Outcome, Response<Said<B>>) {
        let gateway = &*self.gateway;
        let (unknown, alone) = (turn.setup.unknown, gateway.tenants.is_alone());
        let compatible = is_compatible(beside.pool.as_ref());
        self.leave(turn);
        wish.say_in(&mut parts.extensions);
        let holder = Arc::clone(&tenant);
        let carried = async {
            let Some(belongings) = belongings else {
                return gateway.ask_beside(beside, (tenant, &passage), (parts, body), dialect).await;
            };
            let (stack, aliases) = (&beside.stack, &beside.aliases);
            let quarter = Quarter { stack, belongings: &belongings, aliases, unknown, alone };
            quarter.carry((tenant, &passage), (parts, body), dialect).await
        };
        let carried = unless_revoked(&holder, span, carried).await;
        let (outcome, response) = carried.unwrap_or_else(|revoked| refused(dialect, revoked));
        let response = as_known(response, dialect, compatible).await;
        gateway.traffic.took(attempts(&response));
        (outcome, response)
    }

    /// Carries a request over the gateway's own pool.
    pub(super) async fn carry_over_own(
        &self,
        mut turn: Box<Turn<S>>,
        Destination { dialect, way, .. }: Destination<S>,
        Admitted { tenant, passage, wish }: Admitted,
        (mut parts, body): (Parts, Arriving),
        span: Option<Span>,
    ) -> (Outcome, Response<Said<B>>) {
        let gateway = &*self.gateway;
        let provider = turn.setup.dialects.provider;
        // Google's compatible endpoint has a shape of its own for what is wrong.
        let compatible = matches!(way, Way::Moved(_)) && provider == Dialect::Gemini;
        let compatible = dialect == Dialect::OpenAi && (compatible || is_compatible(gateway.pool()));
        wish.say_in(&mut parts.extensions);
        if turn.setup.nearness.by == By::Prompt && !wish.is_near() {
            parts.extensions.insert(Numbers::of(&turn.setup.nearness, &turn.setup.token, &tenant));
        }
        let course = match &passage {
            Passage::Chunk(chunk) => chunk_on(chunk, &mut parts, body),
            _ if provider != Dialect::Gemini => {
                match gateway.among_own(&turn.setup, (&tenant, &passage), (&mut parts, body)) {
                    Ok(among) => among.await,
                    Err(body) => Course::through(Outgoing::Came(body)),
                }
            }
            _ => match gateway.at_once(&turn.setup, &tenant, &mut parts, body) {
                Ok(body) => Course::through(body),
                Err(coming) => {
                    let quarter = gateway.quarter(&turn.setup);
                    Box::pin(quarter.course(&tenant, &mut parts, coming)).await
                }
            },
        };
        let OverStack { body, listening, broken } = match course {
            Course::On(way) => way,
            Course::Done(outcome, response) => {
                self.leave(turn);
                return (outcome, as_known(response.map(Said::from), dialect, compatible).await);
            }
        };
        // As `oneshot` does, whose future would be moved once more.
        let answered = match poll_fn(|cx| turn.stack.poll_ready(cx)).await {
            Ok(()) => match span {
                None => {
                    let walk = pin!(turn.stack.call(Request::from_parts(parts, body)));
                    self.leave(turn);
                    tenant.unless_revoked(walk).await
                }
                Some(span) => {
                    let walk = span.in_scope(|| turn.stack.call(Request::from_parts(parts, body)));
                    self.leave(turn);
                    tenant.unless_revoked(Box::pin(walk.instrument(span))).await
                }
            },
            Err(error) => Ok(Err(error)),
        };
        let finished = answered.map(|answered| failure::finish(answered, broken.as_ref(), dialect));
        let (outcome, response) = match finished.unwrap_or_else(|revoked| Err(Box::new(refused(dialect, revoked)))) {
            Ok(response) if listening.is_none() && matches!(passage, Passage::Other) => {
                (Outcome::Answered, passed_on(response, dialect, (&gateway.farewell, &tenant), Usage::Told))
            }
            Ok(response) => match Box::pin(attend(&gateway.own, response, tenant, &passage, listening)).await {
                Ok(response) => (Outcome::Answered, response),
                Err(refusal) => (Outcome::Failed, dialect.answer(refusal).map(Said::from)),
            },
            Err(failed) => (failed.0, failed.1.map(Said::from)),
        };
        let response = as_known(response, dialect, compatible).await;
        gateway.traffic.took(attempts(&response));
        (outcome, response)
    }
}

/// What is done for a tenant in a request's span, as long as its token is not revoked.
///
/// # Errors
/// That it was.
pub(super) async fn unless_revoked<T>(
    tenant: &Tenant,
    span: Option<Span>,
    done: impl Future<Output = T>,
) -> Result<T, Refusal> {
    match span {
        None => tenant.unless_revoked(pin!(done)).await,
        Some(span) => tenant.unless_revoked(pin!(done.instrument(span))).await,
    }
}

/// What a gateway says by itself.
pub(super) fn refused<T: From<http_body_util::Full<Bytes>>>(
    dialect: Dialect,
    refusal: Refusal,
) -> (Outcome, Response<T>) {
    (Outcome::Refused, dialect.answer(refusal).map(T::from))
}

/// An answer whose error is in the words that clients of a dialect know.
async fn as_known<B>(response: Response<Said<B>>, dialect: Dialect, compatible: bool) -> Response<Said<B>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if response.status().as_u16() < 400 {
        return response;
    }
    Box::pin(reworded(response, dialect, compatible)).await
}

fn attempts<B>(response: &Response<B>) -> usize {
    response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts)
}
