//! Where a request is going: to the gateway's own provider or one beside it, as it came or translated.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri, request::Parts};
use http_body_util::Full;

use crate::gateway::{
    Gateway, Setup,
    admit::tenant::Tenant,
    connection::pace::Arriving,
    dialect::Dialect,
    forward::{belongings::Belongings, resource, upload::Passage},
    route::{
        Beside,
        choice::{self, Chosen},
        way::{Own, Way},
    },
    translate::can_be_read,
};

/// Where a request is going.
pub(super) struct Destination<S> {
    /// In which dialect it is asked and answered.
    pub(super) dialect: Dialect,
    pub(super) way: Way,
    /// The provider beside the gateway's own that it goes to as it came.
    pub(super) beside: Option<Box<Beside<S>>>,
    /// What tenants have there, where it is another pool of Gemini's.
    pub(super) belongings: Option<Arc<Belongings>>,
    /// The provider beside it that takes what nobody names, of what is translated.
    pub(super) home: Option<Box<Beside<S>>>,
    /// Its path names the provider: what the body says changes nothing.
    pub(super) named: bool,
    /// How the gateway's own provider is met.
    pub(super) own: Own,
    /// It is read only to count it.
    pub(super) may_go_unread: bool,
}

impl<S> Gateway<S> {
    /// Where a request goes by its head, whose address gets the path that is known there.
    pub(super) fn destination(
        &self,
        (method, headers, uri): (&Method, &HeaderMap, &mut Uri),
        (dialect, way): (Dialect, Way),
        setup: &Setup<S>,
    ) -> Destination<S>
    where
        S: Clone,
    {
        let mut chosen = self.others.choose(setup.dialects, (method, headers, &*uri), dialect, way);
        chosen.direct(uri);
        let Chosen { dialect, way, home, named, .. } = chosen;
        // As it came, whatever it is about.
        let (beside, home) = if way == Way::Through { (home, None) } else { (None, home) };
        let belongings = beside.as_ref().and_then(|beside| self.belongings_at(&beside.name));
        let own = setup.dialects.own();
        Destination { dialect, way, beside, belongings, home, named, own, may_go_unread: false }
    }

    /// What a path names that may lie at another pool of Gemini's, to which the model of what made it led: a batch, say.
    pub(super) fn may_lie_beside(&self, to: &Destination<S>, provider: Dialect, parts: &Parts) -> Option<String> {
        let goes_on = to.beside.is_none() && matches!(to.way, Way::Through | Way::Moved(_));
        if self.others.is_empty() || provider != Dialect::Gemini || !goes_on {
            return None;
        }
        resource::named_by(parts)
    }

    /// The request goes to the pool beside the gateway's own that has what is called so, where its own has not.
    pub(super) async fn follow(&self, to: &mut Destination<S>, name: &str)
    where
        S: Clone,
    {
        let all = self.all_beside();
        if all.is_empty() || self.own.resources.knows(name).await {
            return;
        }
        for (provider, belongings) in &*all {
            if belongings.resources.knows(name).await {
                let beside = self.others.all().into_iter().find(|other| other.name == *provider);
                to.belongings = beside.as_ref().map(|_| Arc::clone(belongings));
                to.beside = beside.map(Box::new);
                return;
            }
        }
    }

    /// Turns what a tenant other than the one token's asks of a provider that is not Gemini's, where calls alone leave nothing
    /// behind; and what is to be read on its way to whoever takes it as it came.
    pub(super) fn turn(
        &self,
        to: &mut Destination<S>,
        setup: &Setup<S>,
        tenant: &Tenant,
        (parts, body): (&Parts, &Arriving),
    ) {
        let provider = setup.dialects.provider;
        if !tenant.is_default() {
            to.turn_for_tenants(provider, parts);
        }
        if !can_be_read(&parts.headers, body) {
            return;
        }
        let at = (provider, self.pool(), to.beside.as_deref());
        if let Some((dialect, task, own)) = choice::is_read_on_its_way(&to.way, at, parts)
            && (!tenant.is_default() || self.room.has(http_body::Body::size_hint(body).lower(), &self.share(tenant)))
        {
            (to.way, to.own, to.named) = (Way::Translated(dialect, task), own, true);
            (to.home, to.may_go_unread) = (to.beside.take().or(to.home.take()), tenant.is_default());
        }
    }
}

impl<S> Destination<S> {
    /// What stands in front of the paths of its provider, where tenants have uploads there.
    pub(super) fn front(&self) -> String {
        let kept = self.beside.as_ref().filter(|_| self.named && self.belongings.is_some());
        kept.map(|beside| beside.front()).unwrap_or_default()
    }

    /// What its provider speaks, as far as nobody translates.
    pub(super) fn provider(&self, own: Dialect) -> Dialect {
        self.beside.as_ref().map_or(own, |beside| beside.dialect)
    }

    fn turn_for_tenants(&mut self, own: Dialect, parts: &Parts) {
        let task = choice::for_tenants(self.provider(own), parts.uri.path());
        match (task, &self.beside) {
            (Some(task), Some(_)) => (self.home, self.way) = (self.beside.take(), Way::Translated(self.dialect, task)),
            (task, None) if own != Dialect::Gemini && matches!(self.way, Way::Through | Way::Moved(_)) => {
                // As at providers beside it: whose anything else is, nobody knows there.
                self.way = task.map_or(Way::Nobodys(own), |task| Way::Translated(own, task));
            }
            _ => {}
        }
    }

    /// What is said where nothing may go on there; of a socket, before anything is opened.
    pub(super) fn end(
        &self,
        is_socket: bool,
        parts: &Parts,
        (tenant, passage): (&Tenant, &Passage),
    ) -> Option<Response<Full<Bytes>>> {
        if is_socket { Some(self.dialect.socketless()) } else { self.dead_end(parts.uri.path(), tenant, passage) }
    }

    /// What is said where it leads nowhere, or to what this tenant may not have.
    fn dead_end(&self, path: &str, tenant: &Tenant, passage: &Passage) -> Option<Response<Full<Bytes>>> {
        let at_the_end = self.way.dead_end(path);
        if at_the_end.is_some() || self.beside.is_none() || self.belongings.is_some() {
            return at_the_end;
        }
        match passage {
            // Uploads are kept track of for providers of Gemini's alone.
            Passage::Open(_) | Passage::Chunk(_) => Some(self.dialect.nowhere(path)),
            // What is made there is nobody's: it is for whoever has the one token.
            _ if tenant.is_default() => None,
            _ => Some(self.dialect.nobodys()),
        }
    }
}
