//! The way of administrators through the gateway: to their API, and to a trace of what clients ask.

use std::{net::IpAddr, sync::Arc};

use super::entrance::{Door, Entrance};
use crate::{
    admin::{ADMIN, Admin, Answer},
    gateway::{
        Gateway, Setup,
        admit::headers::Seen,
        connection::{pace::Arriving, tls::Secured},
    },
};
use http::{Request, request::Parts};

impl<S> Gateway<S> {
    /// Whether a request is an administrator's, and none of a client's.
    pub(super) fn administers(&self, entrance: &Entrance<S>, path: &str) -> Option<&Arc<Admin>> {
        // Most requests are done here.
        if entrance.door != Door::Administrators && !path.starts_with("/-") {
            return None;
        }
        let admin = self.admin.as_ref()?;
        (entrance.door == Door::Administrators || Admin::has(path)).then_some(admin)
    }

    pub(super) async fn administer(
        &self,
        admin: &Admin,
        entrance: &Entrance<S>,
        setup: &Setup<S>,
        request: Request<Arriving>,
    ) -> Answer {
        if entrance.door == Door::Clients {
            return Admin::elsewhere();
        }
        let secured = request.extensions().get::<Secured>().is_some();
        let (parts, body) = request.into_parts();
        // Names that lead here by a trick of somebody else's, and pages of others.
        let checked = setup.guard.check(&parts, &Seen::of(&parts.headers), &entrance.local).map(str::to_owned);
        match checked {
            Ok(host) => admin.answer(Request::from_parts(parts, body), &host, entrance.peer, secured).await,
            Err(refusal) => Admin::refused(refusal.status(), refusal.message()),
        }
    }

    /// Whether an administrator wants to know all about this request.
    pub(super) fn wants_trace(&self, parts: &Parts, from: IpAddr) -> bool {
        let wanted = parts.headers.get("x-keypool-trace").is_some_and(|value| value == "1");
        let token = parts.headers.get(ADMIN);
        wanted && self.admin.as_ref().zip(token).is_some_and(|(admin, token)| admin.is_token(token.as_bytes(), from))
    }
}
