//! What a request takes along that is read, and written anew for whoever takes it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use keypool_dialect::Caller;
use tower::Service;
use tower_keypool::{BoxError, Error};

use super::{
    carried::{refused, unless_revoked},
    destination::Destination,
    entrance::{Entrance, Turn},
    request::{Admitted, Going},
};
use crate::{
    gateway::{
        Gateway,
        admit::tenant::Tenant,
        answer::body::Said,
        dialect::Dialect,
        forward::{affinity::Numbers, wishes::Wish},
        route::task::Task,
        translate::{Translation, Translator, answers::Answers},
    },
    outgoing::Outgoing,
    status::Outcome,
};

/// Whose words a request is in, and what it asks for.
type Reading = (Dialect, &'static dyn Caller, Task);

impl<S, B> Entrance<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Reads a request, and asks whoever takes it in the words that they know.
    pub(super) async fn translate(&self, mut going: Going<'_, S>, reading: Reading) -> (Outcome, Response<Said<B>>) {
        let (dialect, body) = (reading.0, going.body());
        let (parts, body) = going.request(body).into_parts();
        let Going { turn, to, admitted: Admitted { tenant, wish, .. }, span, .. } = going;
        let asked = (Arc::clone(tenant), std::mem::take(wish));
        let translator = self.gateway.translator(&turn, to, &reading, asked);
        self.leave(turn);
        // Behind a pointer: the other requests need not carry room for it.
        let translation: Translation<B> = Box::pin(translator.answer(reading.2, parts, body));
        let translated = unless_revoked(tenant, span, translation).await;
        translated.unwrap_or_else(|revoked| refused(dialect, revoked))
    }
}

impl<S: Clone> Gateway<S> {
    /// Whoever translates a request of this tenant's.
    fn translator(
        &self,
        Turn { setup, stack, .. }: &Turn<S>,
        Destination { own, home, named, may_go_unread, .. }: &mut Destination<S>,
        (dialect, caller, task): &Reading,
        (tenant, wish): (Arc<Tenant>, Wish),
    ) -> Translator<S> {
        let whose = self.share(&tenant);
        Translator {
            stack: stack.clone(),
            caller: *caller,
            strict: setup.dialects.strict,
            numbers: Numbers::of(&setup.nearness, &setup.token, &tenant),
            tenant,
            wish,
            fetcher: setup.dialects.fetches.then(|| self.fetcher.clone()),
            clock: self.clock.clone(),
            farewell: Arc::clone(&self.farewell),
            traffic: Arc::clone(&self.traffic),
            dialect: *dialect,
            own: *own,
            aliases: setup.aliases.clone(),
            others: self.others.all(),
            home: home.take().map(|home| *home),
            only: *named,
            nobodys: None,
            memory: self.memory.clone(),
            holdings: self.holdings(setup.unknown),
            pool: self.own.uploads.pool.clone(),
            held: self.room.enter(&whose),
            answers: Answers::in_room(&self.room_for_answers, &whose),
            unasked: self.unasked.clone(),
            may_go_unread: *may_go_unread,
            catalogues: Arc::clone(&self.catalogues),
            shelves: self.shelves(setup, task),
        }
    }
}
