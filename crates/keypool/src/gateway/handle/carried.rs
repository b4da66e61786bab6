//! A request goes on as it came, over the gateway's own pool or one beside it.

use std::{
    future::{poll_fn, ready},
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::Service;
use tower_keypool::{BoxError, Error, ServedBy};
use tracing::{Instrument, Span};

use super::{
    accounts::Among,
    course::{Course, OverStack, Quarter, attend, chunk_on},
    entrance::Entrance,
    neighbours::{Neighbour, Neighbours},
    request::{Admitted, Going},
};
use crate::{
    gateway::{
        admit::tenant::Tenant,
        answer::{
            body::{Said, Usage, passed_on},
            failure,
        },
        dialect::{Dialect, Refusal},
        forward::{
            affinity::{By, Numbers},
            upload::Passage,
        },
        route::Beside,
    },
    outgoing::Outgoing,
    status::Outcome,
};

impl<S, B> Entrance<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Carries a request to a provider beside the gateway's own.
    pub(super) async fn carry_beside(
        &self,
        mut going: Going<'_, S>,
        beside: Box<Beside<S>>,
    ) -> (Outcome, Response<Said<B>>) {
        let gateway = &*self.gateway;
        let body = going.body();
        let (mut parts, body) = going.request(body).into_parts();
        let Going { turn, to, admitted, span, .. } = going;
        let Admitted { tenant, passage, wish } = admitted;
        let (dialect, unknown, alone) = (to.dialect, turn.setup.unknown, gateway.tenants.is_alone());
        let (provider, named) = (turn.setup.dialects.provider, to.named);
        self.leave(turn);
        wish.say_in(&mut parts.extensions);
        let holder = Arc::clone(tenant);
        let carried = async {
            let Some(belongings) = to.belongings.take() else {
                return gateway.ask_beside(*beside, (Arc::clone(tenant), passage), (parts, body), dialect).await;
            };
            let (stack, aliases) = (&beside.stack, &beside.aliases);
            let farewell = &*gateway.farewell;
            let neighbours = Neighbours::of(gateway, &beside, (provider, named), parts.uri.path());
            let quarter = Quarter { stack, belongings: &belongings, aliases, unknown, alone, farewell, neighbours };
            quarter.carry((Arc::clone(tenant), passage), (parts, body), dialect).await
        };
        let carried = unless_revoked(&holder, span, carried).await;
        let (outcome, response) = carried.unwrap_or_else(|revoked| refused(dialect, revoked));
        gateway.traffic.took(attempts(&response));
        (outcome, response)
    }

    /// Carries a request over the gateway's own pool.
    pub(super) async fn carry_over_own(&self, mut going: Going<'_, S>) -> (Outcome, Response<Said<B>>) {
        let (gateway, dialect) = (&*self.gateway, going.to.dialect);
        let course = match self.course(&mut going) {
            Ok(body) => Course::through(body),
            Err(longer) => longer.await,
        };
        let OverStack { body, listening, broken } = match course {
            Course::On(way) => way,
            Course::Beside(next, way) => return Box::pin(self.carry_over(going, (next, way))).await,
            Course::Done(outcome, response) => {
                self.leave(going.turn);
                return (outcome, response.map(Said::from));
            }
        };
        let request = going.request(body);
        let Going { mut turn, admitted: Admitted { tenant, passage, .. }, span, .. } = going;
        // As `oneshot` does, whose future would be moved once more.
        let answered = match poll_fn(|cx| turn.stack.poll_ready(cx)).await {
            Ok(()) => match span {
                None => {
                    let walk = pin!(turn.stack.call(request));
                    self.leave(turn);
                    tenant.unless_revoked(walk).await
                }
                Some(span) => {
                    let walk = span.in_scope(|| turn.stack.call(request));
                    self.leave(turn);
                    tenant.unless_revoked(Box::pin(walk.instrument(span))).await
                }
            },
            Err(error) => Ok(Err(error)),
        };
        // Most answers: as `attend` does, which waits, and so lies behind a pointer.
        let is_usual = listening.is_none() && broken.is_none() && matches!(passage, Passage::Other);
        let answered = match answered {
            Ok(Ok(response)) if is_usual && !response.status().is_informational() => {
                gateway.traffic.took(attempts(&response));
                return (Outcome::Answered, passed_on(response, dialect, (&gateway.farewell, tenant), Usage::Told));
            }
            other => other,
        };
        let finished = answered.map(|answered| failure::finish(answered, broken.as_ref(), dialect));
        let (outcome, response) = match finished.unwrap_or_else(|revoked| Err(Box::new(refused(dialect, revoked)))) {
            Ok(response) => {
                match Box::pin(attend(&gateway.own, response, (&gateway.farewell, tenant), dialect, passage, listening))
                    .await
                {
                    Ok(response) => (Outcome::Answered, response),
                    Err(refusal) => (Outcome::Failed, dialect.answer(refusal).map(Said::from)),
                }
            }
            Err(failed) => (failed.0, failed.1.map(Said::from)),
        };
        gateway.traffic.took(attempts(&response));
        (outcome, response)
    }

    /// Carries one to a pool beside the gateway's own that it turned out to be for.
    async fn carry_over(
        &self,
        mut going: Going<'_, S>,
        (next, way): (Box<Neighbour<S>>, OverStack),
    ) -> (Outcome, Response<Said<B>>) {
        let (gateway, dialect) = (&*self.gateway, going.to.dialect);
        let (parts, ()) = going.request(()).into_parts();
        let Going { turn, admitted: Admitted { tenant, passage, .. }, span, .. } = going;
        let Neighbour { beside, belongings } = &*next;
        let quarter = Quarter { stack: &beside.stack, belongings, ..gateway.quarter(&turn.setup) };
        let holder = Arc::clone(tenant);
        let carried = quarter.carry_on((Arc::clone(tenant), passage), (parts, way), dialect);
        let carried = unless_revoked(&holder, span, carried).await;
        self.leave(turn);
        let (outcome, response) = carried.unwrap_or_else(|revoked| refused(dialect, revoked));
        gateway.traffic.took(attempts(&response));
        (outcome, response)
    }

    /// The body of a request that goes on to the gateway's own pool as it is.
    ///
    /// # Errors
    /// What finds its course, where that takes a longer look.
    fn course<'r>(&'r self, going: &'r mut Going<'_, S>) -> Result<Outgoing, Among<'r, S>> {
        let (gateway, body) = (&*self.gateway, going.body());
        let Going { turn, parts, admitted: Admitted { tenant, passage, wish }, .. } = going;
        if turn.setup.nearness.by == By::Prompt && !wish.is_near() {
            parts.extensions.insert(Numbers::of(&turn.setup.nearness, &turn.setup.token, tenant));
        }
        wish.say_in(&mut parts.extensions);
        if let Passage::Chunk(chunk) = &*passage {
            return Err(Box::pin(ready(chunk_on(chunk, parts, body))));
        }
        if turn.setup.dialects.provider != Dialect::Gemini {
            let among = gateway.among_own(&turn.setup, (tenant, passage), (parts, body));
            return among.map_or_else(|body| Ok(Outgoing::Came(body)), Err);
        }
        gateway.at_once(&turn.setup, tenant, parts, body).map_err(|coming| -> Among<'r, S> {
            Box::pin(async move { gateway.quarter(&turn.setup).course(tenant, parts, coming).await })
        })
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

fn attempts<B>(response: &Response<B>) -> usize {
    response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts)
}
