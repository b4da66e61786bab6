//! A request's way through the gateway: let in, told apart, sent over the stack, answered.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts, uri::PathAndQuery};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use tower_keypool::{BoxError, Error};
use tracing::Span;

use super::{
    closing::Closing,
    destination::Destination,
    entrance::{Entrance, Turn},
};
use crate::{
    gateway::{
        Answer, Gateway,
        admit::{headers::Seen, reserved::charged, tenant::Tenant},
        answer::{
            body::Said,
            reworded::{is_compatible, reworded},
        },
        connection::pace::Arriving,
        dialect::{Dialect, Refusal},
        forward::{head::Tidy, resource::made, results, upload::Passage, wishes::Wish},
        log::{line::RequestLine, span},
        route::{base_url, way::Way},
        translate::kept::Kept,
    },
    outgoing::Outgoing,
    status::{Counted, Outcome, Visit},
};

/// A request that was let in: who asks, what of an upload it is, how it is to be served.
pub(super) struct Admitted {
    pub(super) tenant: Arc<Tenant>,
    pub(super) passage: Passage,
    pub(super) wish: Wish,
}

/// A request on its way, where it stands: as much of it as were handed on would be copied at each step.
pub(super) struct Going<'r, S> {
    pub(super) turn: Box<Turn<S>>,
    pub(super) to: &'r mut Destination<S>,
    pub(super) admitted: &'r mut Admitted,
    pub(super) parts: &'r mut Parts,
    pub(super) body: &'r mut Option<Arriving>,
    pub(super) span: Option<Span>,
}

impl<S> Going<'_, S> {
    /// Its body, which goes on once.
    pub(super) fn body(&mut self) -> Arriving {
        self.body.take().expect("it goes on once")
    }

    /// The request itself, with this body in the place of its own.
    pub(super) fn request<B>(&mut self, body: B) -> Request<B> {
        let (nothing, ()) = Request::new(()).into_parts();
        Request::from_parts(std::mem::replace(self.parts, nothing), body)
    }
}

impl<S, B> Entrance<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Answers a request. Every failure is an answer, too. What is asked comes in this order, since each rests on those before:
    ///
    /// 1. The administrators' API, which sees for itself who asks.
    /// 2. Where the path leads, and in whose dialect a refusal is. The gateway's other pages end here.
    /// 3. Who asks: host, origin, token, or an upload's id.
    /// 4. What it says for the gateway alone (how long it waits, whom it is near), which goes no further.
    /// 5. Sockets, which are booked in a way of their own.
    /// 6. Whose account what it names lies in, and whether the tenant may have that; answers that are remembered. What was
    ///    wrong in 4 is said behind it.
    /// 7. The tenant's limits: who was refused until here has used nothing of them.
    ///
    /// Whatever most requests do not need lies behind a pointer, since room for all that is inside of this future is taken for
    /// each; what a function that waits is handed stands there twice.
    ///
    /// # Errors
    /// None: hyper asks for the form.
    pub async fn answer(self: Arc<Self>, request: Request<Arriving>) -> Result<Answer<B>, Infallible> {
        let gateway = &*self.gateway;
        let turn = self.turn();
        let line = RequestLine::begin(&request, turn.setup.names, &gateway.traffic, gateway.pool());
        if let Some(admin) = gateway.administers(&self, request.uri().path()) {
            let response = Box::pin(gateway.administer(admin, &self, &turn.setup, request)).await;
            return Ok(self.page(turn, line, response.map(Said::administered)));
        }
        let (mut parts, body) = request.into_parts();
        base_url::complete(&mut parts, turn.setup.dialects.provider, gateway.own.uploads.has_front());
        let (dialect, way) = (Dialect::of(&parts), Way::of(turn.setup.dialects, (&parts.headers, &parts.uri)));
        body.speaks(dialect);
        let seen = Seen::of(&parts.headers);
        let path = way.target().map_or(parts.uri.path(), PathAndQuery::path);
        if let Some(own) = gateway.own(path, (&parts, &seen), &self.local, self.door) {
            let response = Box::pin(own.answer()).await;
            return Ok(self.page(turn, line, response));
        }

        let batches = results::collection(&parts);
        let mut to = gateway.destination((&parts.method, &parts.headers, &mut parts.uri), (dialect, way), &turn.setup);
        let mut closing = Closing {
            line,
            visit: Box::new(Visit::begin(&gateway.traffic, body.size_hint().exact(), span::of(&parts, gateway.pool()))),
            limited: turn.setup.waiting.as_limited.then_some(to.dialect),
            traffic: &gateway.traffic,
        };
        closing.line.speaks(to.dialect);
        closing.visit.called(closing.line.called());

        let at = (to.belongings.as_deref().unwrap_or(&gateway.own), &*to.front(), batches);
        let admitted = gateway.admit(&turn.setup, (&parts, &seen), &self.local, at).await;
        let wish = match &admitted {
            Ok((tenant, _)) => {
                let setup = &turn.setup;
                // Asked only of those who were let in: a stranger can neither try tokens here nor fill the throttle of them.
                let surveyed = seen.administers && gateway.wants_trace(&parts, self.peer);
                closing.line.of_tenant(tenant);
                if let Some(farewell) = tenant.farewell() {
                    closing.visit.as_long_as_not(farewell.bidding());
                }
                if gateway.trails.is_on() {
                    let trail = gateway.trails.follow(&parts.method, parts.uri.path(), closing.line.began(), surveyed);
                    closing.line.followed(trail);
                }
                Wish::of((&parts.headers, &seen), tenant, &setup.waiting, (&setup.nearness, &setup.token))
            }
            Err(_) => Ok(Wish::default()),
        };
        let (tidy, is_socket) = (Tidy::after(&seen), seen.websocket);
        tidy.keep_ours(&mut parts);
        // A token of the provider's own, which a tenant was given here, opens a socket, too.
        let unknown = |refusal: &Refusal| refusal.status() == StatusCode::UNAUTHORIZED;
        if is_socket && to.beside.is_none() && admitted.as_ref().err().is_none_or(unknown) {
            let opener = (admitted.map(|(tenant, _)| tenant), wish);
            return Ok(Box::pin(self.open(turn, parts, opener, to.dialect, closing)).await);
        }
        let (tenant, mut passage) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(self.refuse(turn, to.dialect.answer(refusal), closing)),
        };
        if let Some(name) = gateway.may_lie_beside(&to, turn.setup.dialects.provider, &parts) {
            Box::pin(gateway.follow(&mut to, &name)).await;
            if let (Passage::Open(handout), Some(beside)) = (&mut passage, &to.beside) {
                handout.lies_behind(&beside.front());
            }
        }
        gateway.turn(&mut to, &turn.setup, &tenant, (&parts, &body));
        if let Some(response) = gateway.remembered(&tenant, &parts) {
            self.leave(turn);
            return Ok(closing.end(Outcome::Answered, response.map(Said::from)));
        }
        if let Some(end) = to.end(is_socket, &parts, (&tenant, &passage)) {
            return Ok(self.refuse(turn, end, closing));
        }
        let wish = match wish {
            Ok(wish) => wish,
            Err(refusal) => return Ok(self.refuse(turn, to.dialect.answer(refusal), closing)),
        };
        let bytes = || charged(&parts, &body.size_hint());
        let (visit, meter) = (&mut closing.visit, closing.line.meter());
        let wish = match gateway.let_in((&tenant, &passage), bytes, visit, to.dialect, meter).await {
            Ok(meter) => wish.metered(meter),
            Err(response) => return Ok(self.refuse(turn, response, closing)),
        };
        tidy.apply(&mut parts);
        let (span, mut body, mut admitted) =
            (closing.visit.span().cloned(), Some(body), Admitted { tenant, passage, wish });
        let (to, admitted) = (&mut to, &mut admitted);
        let going = Going { turn, to, admitted, parts: &mut parts, body: &mut body, span };
        let (outcome, response) = self.carry(going).await;
        Ok(closing.end_or_await(outcome, response))
    }

    /// Carries a request to where it is going.
    async fn carry(&self, mut going: Going<'_, S>) -> (Outcome, Response<Said<B>>) {
        let Going { turn, to, admitted, parts, .. } = &mut going;
        let provider = turn.setup.dialects.provider;
        if !matches!(to.way, Way::Translated(..)) && !matches!(admitted.passage, Passage::Chunk(_)) {
            admitted.wish.make(made::makes(to.provider(provider), parts));
        }
        let dialect = to.dialect;
        let compatible;
        let (outcome, response) = if let Some(beside) = to.beside.take() {
            compatible = is_compatible(beside.pool.as_ref());
            Box::pin(self.carry_beside(going, beside)).await
        } else if let Way::Translated(dialect, task) = &to.way
            && let Some(caller) = task.caller().or(dialect.caller())
        {
            let reading = (*dialect, caller, task.clone());
            return self.translate(going, reading).await;
        } else {
            // Google's compatible endpoint has a shape of its own for what is wrong.
            let moved = matches!(to.way, Way::Moved(_)) && provider == Dialect::Gemini;
            compatible = dialect == Dialect::OpenAi && (moved || is_compatible(self.gateway.pool()));
            self.carry_over_own(going).await
        };
        if response.status().as_u16() < 400 {
            return (outcome, response);
        }
        (outcome, Box::pin(reworded(response, dialect, compatible)).await)
    }

    /// Answers what is asked of the gateway itself.
    fn page(&self, turn: Box<Turn<S>>, line: RequestLine, mut response: Response<Said<B>>) -> Answer<B> {
        self.leave(turn);
        line.of_page().end(&mut response, &self.gateway.traffic);
        response.map(Counted::uncounted)
    }

    /// Answers what goes nowhere.
    fn refuse(&self, turn: Box<Turn<S>>, response: Response<Full<Bytes>>, closing: Closing<'_>) -> Answer<B> {
        self.leave(turn);
        closing.end(Outcome::Refused, response.map(Said::from))
    }

    /// Opens a socket.
    async fn open(
        &self,
        turn: Box<Turn<S>>,
        parts: Parts,
        (tenant, wish): (Result<Arc<Tenant>, Refusal>, Result<Wish, Refusal>),
        dialect: Dialect,
        mut closing: Closing<'_>,
    ) -> Answer<B> {
        let wish = match wish {
            Ok(wish) => wish,
            Err(refusal) => return self.refuse(turn, dialect.answer(refusal), closing),
        };
        let setup = Arc::clone(&turn.setup);
        self.leave(turn);
        let told = closing.line.of_socket(&self.gateway.traffic);
        let opener = (parts, self.place.clone(), told);
        let (outcome, response) = self.gateway.socket(&setup, opener, (tenant, wish), dialect).await;
        closing.end(outcome, response)
    }
}

impl<S> Gateway<S> {
    /// What was answered to this tenant before, where a request asks for that.
    fn remembered(&self, tenant: &Tenant, parts: &Parts) -> Option<Response<Full<Bytes>>> {
        let kept = Kept::named(&parts.method, &parts.uri)?;
        self.memory.answer(tenant.name(), &kept, self.traffic.now())
    }
}
