//! A request's way through the gateway: let in, told apart, sent over the stack, answered.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts, uri::PathAndQuery};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use tower_keypool::{BoxError, Error};

use super::{
    closing::Closing,
    destination::Destination,
    entrance::{Entrance, Turn},
};
use crate::{
    gateway::{
        Answer, Gateway,
        admit::{headers::Seen, reserved::charged, tenant::Tenant},
        answer::body::Said,
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

impl<S, B> Entrance<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Answers a request. Every failure is an answer, too. Whatever most requests do not need lies behind a pointer: all that is
    /// inside of this future is copied whole on its way to hyper.
    ///
    /// # Errors
    /// None: hyper asks for the form.
    pub async fn answer(self: Arc<Self>, request: Request<Arriving>) -> Result<Answer<B>, Infallible> {
        let gateway = &*self.gateway;
        let turn = self.turn();
        let mut line = RequestLine::begin(&request, turn.setup.names, &gateway.traffic, gateway.pool());
        if let Some(admin) = gateway.administers(&self, request.uri().path()) {
            let response = Box::pin(gateway.administer(admin, &self, &turn.setup, request)).await;
            return Ok(self.page(turn, line, response.map(Said::administered)));
        }
        let (mut parts, body) = request.into_parts();
        base_url::complete(&mut parts, turn.setup.dialects.provider, gateway.own.uploads.has_front());
        let (dialect, way) = (Dialect::of(&parts), Way::of(turn.setup.dialects, &parts));
        body.speaks(dialect);
        let seen = Seen::of(&parts.headers);
        let path = way.target().map_or(parts.uri.path(), PathAndQuery::path);
        if let Some(own) = gateway.own(path, (&parts, &seen), &self.local, self.door) {
            let response = own.answer().await;
            return Ok(self.page(turn, line, response));
        }

        let mut chosen = gateway.others.choose(turn.setup.dialects, (&parts.headers, &parts.uri), dialect, way);
        let batches = results::collection(&parts);
        chosen.direct(&mut parts.uri);
        let mut to = gateway.destination(chosen, &turn.setup);
        line.speaks(to.dialect);
        let mut visit = Visit::begin(&gateway.traffic, body.size_hint().exact(), span::of(&parts, gateway.pool()));
        visit.called(line.called());
        let limited = turn.setup.waiting.as_limited.then_some(to.dialect);
        let mut closing = Closing { line, visit, limited, traffic: &gateway.traffic };

        let at = (to.belongings.as_deref().unwrap_or(&gateway.own), &*to.front(), batches);
        let admitted = gateway.admit(&turn.setup, (&parts, &seen), &self.local, at).await;
        let wish = match &admitted {
            Ok((tenant, _)) => {
                let setup = &turn.setup;
                // Asked only of those who were let in: a stranger can neither try tokens here nor fill the throttle of them.
                let surveyed = seen.administers && gateway.wants_trace(&parts, self.peer);
                closing.line.of_tenant(tenant);
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
            let tenant = admitted.map(|(tenant, _)| tenant);
            return Ok(Box::pin(self.open(turn, parts, tenant, to.dialect, closing)).await);
        }
        let (tenant, passage) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(self.refuse(turn, to.dialect.answer(refusal), closing)),
        };
        gateway.turn(&mut to, &turn.setup, &tenant, (&parts, &body));
        if let Some(response) = gateway.remembered(&tenant, &parts) {
            self.leave(turn);
            return Ok(closing.end(Outcome::Answered, response.map(Said::from)));
        }
        let bytes = charged(&parts, &body.size_hint());
        let asked = (&tenant, &passage, wish);
        let admitted = match gateway.let_in_to(&to, is_socket, asked, (parts.uri.path(), bytes), &mut closing).await {
            Ok(wish) => Admitted { tenant, passage, wish },
            Err(response) => return Ok(self.refuse(turn, response, closing)),
        };
        Ok(self.carry(turn, to, admitted, (tidy, parts, body), closing).await)
    }

    /// Carries a request to where it is going.
    async fn carry(
        &self,
        turn: Box<Turn<S>>,
        mut to: Destination<S>,
        mut admitted: Admitted,
        (tidy, mut parts, body): (Tidy, Parts, Arriving),
        closing: Closing<'_>,
    ) -> Answer<B> {
        if !matches!(to.way, Way::Translated(..)) && !matches!(admitted.passage, Passage::Chunk(_)) {
            let provider = to.provider(turn.setup.dialects.provider);
            admitted.wish = admitted.wish.once(made::makes(provider, &parts));
        }
        tidy.apply(&mut parts);
        let (came, span) = ((parts, body), closing.visit.span().cloned());
        if let Some(beside) = to.beside.take() {
            let there = (beside, to.belongings, to.dialect);
            let (outcome, response) = Box::pin(self.carry_beside(turn, there, admitted, came, span)).await;
            return closing.end(outcome, response);
        }
        if let Way::Translated(dialect, task) = &to.way
            && let Some(caller) = task.caller().or(dialect.caller())
        {
            let (dialect, task) = (*dialect, task.clone());
            let (outcome, response) = self.translate(turn, to, (dialect, caller, task), admitted, came, span).await;
            return closing.end_or_await(outcome, response);
        }
        let (outcome, response) = self.carry_over_own(turn, to, admitted, came, span).await;
        closing.end(outcome, response)
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
        tenant: Result<Arc<Tenant>, Refusal>,
        dialect: Dialect,
        mut closing: Closing<'_>,
    ) -> Answer<B> {
        let setup = Arc::clone(&turn.setup);
        self.leave(turn);
        let told = closing.line.of_socket(&self.gateway.traffic);
        let opener = (parts, self.place.clone(), told);
        let (outcome, response) = self.gateway.socket(&setup, opener, tenant, dialect).await;
        closing.end(outcome, response)
    }
}

impl<S> Gateway<S> {
    /// What was answered to this tenant before, where a request asks for that.
    fn remembered(&self, tenant: &Tenant, parts: &Parts) -> Option<Response<Full<Bytes>>> {
        let kept = Kept::named(&parts.method, &parts.uri)?;
        self.memory.answer(tenant.name(), &kept, self.traffic.now())
    }

    /// How a request is served that may go where it is going, and that its tenant's limits let in.
    ///
    /// # Errors
    /// What it is answered in place of that.
    async fn let_in_to(
        &self,
        to: &Destination<S>,
        is_socket: bool,
        (tenant, passage, wish): (&Arc<Tenant>, &Passage, Result<Wish, Refusal>),
        (path, bytes): (&str, u64),
        closing: &mut Closing<'_>,
    ) -> Result<Wish, Response<Full<Bytes>>> {
        // Before anything is opened there.
        if is_socket {
            return Err(to.dialect.socketless());
        }
        if let Some(end) = to.dead_end(path, tenant, passage) {
            return Err(end);
        }
        let wish = wish.map_err(|refusal| to.dialect.answer(refusal))?;
        let (visit, meter) = (&mut closing.visit, closing.line.meter());
        let meter = self.let_in((tenant, passage), bytes, visit, to.dialect, meter).await?;
        Ok(wish.metered(meter))
    }
}
