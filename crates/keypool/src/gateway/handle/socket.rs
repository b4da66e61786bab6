//! A WebSocket's way through the gateway.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, Uri, header, request::Parts};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use tower_keypool::{Affinity, KeyPool, ModelIn};

use crate::{
    gateway::{
        Gateway, Setup,
        admit::tenant::{MODEL, Tenant},
        aliases::Aliases,
        answer::{body::Said, failure::failed, head},
        connection::places::Place,
        dialect::{Dialect, Refusal},
        forward::wishes::Wish,
        live::{self, KeyBody, Opened, Opening},
        log::line::SocketLine,
        unix_time::unix_ms,
    },
    status::Outcome,
};

impl<S> Gateway<S> {
    /// Opens a socket.
    pub(super) async fn socket<B>(
        &self,
        setup: &Setup<S>,
        (mut parts, place, line): (Parts, Option<Arc<Place>>, Option<SocketLine>),
        (tenant, wish): (Result<Arc<Tenant>, Refusal>, Wish),
        dialect: Dialect,
    ) -> (Outcome, Response<Said<B>>) {
        let meter = line.as_ref().and_then(SocketLine::meter).cloned();
        let teller = line.map(|line| -> live::Teller {
            Box::new(move |told| line.tell(told.model.as_deref(), told.served.as_ref(), told.closed))
        });
        let opening = match self.opening(&parts, tenant, dialect).await {
            Ok(opening) => Opening { teller, wish: wish.metered(meter), ..opening },
            Err(response) => return (Outcome::Refused, response.map(Said::from)),
        };
        let own = setup.dialects.provider;
        let is_a_call = parts.uri.path().ends_with("/realtime") && !names_a_call(&parts.uri);
        if own != Dialect::Gemini && !opening.tenant.is_default() && !is_a_call {
            // Its messages may name what is another's in more ways than are read.
            opening.account.opened(None, false);
            return (Outcome::Refused, own.nobodys().map(Said::from));
        }
        let account = opening.account.clone();
        let opened = match &setup.live {
            Some(live) if live::begins_with_setup(parts.uri.path()) => {
                let records = (self.own.resources.clone(), self.tenants.is_alone(), setup.aliases.clone());
                live.begin((parts, place), opening, records, &self.pipes)
            }
            _ if own == Dialect::Gemini && !parts.uri.path().starts_with("/ws/") => Opened::Refused(NO_SOCKET_HERE),
            // Nobody reads what its messages name.
            Some(_) if own == Dialect::Gemini && !opening.tenant.is_default() => Opened::Refused(NO_SUCH_SOCKET),
            Some(live) => {
                self.resolve(&setup.aliases, &mut parts);
                let named = (own != Dialect::Gemini).then(|| self.own.resources.clone());
                live.open((parts, place), opening, named, &self.pipes).await
            }
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

    /// The model in the place of another name for it, where the head names one.
    fn resolve(&self, aliases: &Aliases, head: &mut Parts) {
        let Some(provider) = self.own.uploads.pool.as_ref().map(KeyPool::provider) else { return };
        if let ModelIn::Head(name) = provider.asks(head).model
            && let Some(model) = aliases.first(&name).cloned()
        {
            provider.resolve(head, &model);
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
        Ok(Opening { tenant, token, account, teller: None, wish: Wish::default() })
    }

    async fn opener(&self, parts: &Parts, tenant: Result<Arc<Tenant>, Refusal>) -> Result<Opener, Refusal> {
        let now = unix_ms(&self.clock);
        let (tenant, token) = match (tenant, live::token_of(parts)) {
            (Err(refusal), None) => return Err(refusal),
            (Err(refusal), Some(token)) => {
                let (whose, way) = self.own.resources.whose(&token).await?.ok_or(refusal)?;
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

/// Whether one joins what somebody else began.
fn names_a_call(uri: &Uri) -> bool {
    let mut names = uri.query().unwrap_or_default().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| percent_decode_str(name).decode_utf8_lossy().eq_ignore_ascii_case("call_id"))
}

/// Who opens one, and a token of the provider's own, with the owner whose it is.
type Opener = (Arc<Tenant>, Option<(String, Affinity)>);

const NO_SUCH_SOCKET: Refusal =
    Refusal::new(StatusCode::NOT_FOUND, "of WebSockets tenants have those of BidiGenerateContent alone");
const NO_SOCKETS: Refusal = Refusal::new(StatusCode::NOT_IMPLEMENTED, "WebSocket connections are not carried here");
const NO_SOCKET_HERE: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "no WebSocket is opened at this path: those of the Live API begin with /ws/, those of interactions end with \
     /interactions/live",
);
