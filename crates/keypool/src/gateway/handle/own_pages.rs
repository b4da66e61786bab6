//! The gateway's own paths: who may read which.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header, request::Parts};
use http_body_util::Full;

use super::entrance::Door;
use crate::{
    gateway::{
        Gateway, Setup,
        admit::{
            guard::{Local, is_loopback_name},
            headers::Seen,
            token,
        },
        answer::body::Said,
        dialect::{Dialect, Refusal},
    },
    status::{Page, Status, is_ours, nowhere, to_index},
    ui,
};

const UNWRITTEN: Refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be written");

/// A request that goes nowhere else.
pub(super) enum Own {
    /// It is answered already.
    Answered(Response<Full<Bytes>>),
    /// A page, to be written where nobody waits for the thread; whether whoever asks takes `OpenMetrics`.
    Page(Arc<Status>, Page, Method, bool),
}

impl Own {
    pub(super) async fn answer<B>(self) -> Response<Said<B>> {
        let (status, page, method, open) = match self {
            Self::Answered(response) => return response.map(Said::from),
            Self::Page(status, page, method, open) => (status, page, method, open),
        };
        let written = tokio::task::spawn_blocking(move || status.answer(page, &method, open)).await;
        match written {
            Ok(page) => page.map(Said::written),
            Err(_) => Dialect::Gemini.answer(UNWRITTEN).map(Said::from),
        }
    }
}

impl<S> Gateway<S> {
    /// What is asked of the gateway itself at a path, whatever dialect stands in front of that; `None`: it is for the
    /// provider.
    pub(super) fn own(&self, path: &str, (parts, seen): (&Parts, &Seen<'_>), local: &Local, door: Door) -> Option<Own> {
        // Most paths are done here.
        if !path.starts_with("/-") && path != "/" {
            return None;
        }
        let status = self.status.as_ref()?;
        let setup = self.setup();
        if path == "/" {
            // To the administrator's page, where there is one at this address.
            let is_administered = door != Door::Clients && self.admin.as_ref().is_some_and(|admin| admin.is_on());
            let lead = || if is_administered { ui::lead() } else { to_index() };
            return setup.leads_on(parts, seen, local).then(|| Own::Answered(lead()));
        }
        if !is_ours(path) {
            return None;
        }
        let page = Page::at(path);
        if !page.is_some_and(Page::is_probe)
            && let Err(refusal) = setup.may_read(page, parts, seen, local)
        {
            return Some(Own::Answered(Dialect::of(parts).answer(refusal)));
        }
        Some(match page {
            Some(page) => Own::Page(Arc::clone(status), page, parts.method.clone(), takes_open_metrics(&parts.headers)),
            None => Own::Answered(nowhere()),
        })
    }
}

impl<S> Setup<S> {
    /// Whether `/` is asked for by somebody who would be refused upstream anyway: whatever lives there is not hidden
    /// from those who have the token.
    fn leads_on(&self, parts: &Parts, seen: &Seen<'_>, local: &Local) -> bool {
        matches!(parts.method, Method::GET | Method::HEAD)
            && !token::is_sent(parts, seen)
            && self.guard.check(parts, seen, local).is_ok()
    }

    /// Metrics tell who owns the keys and how many there are. On this machine anybody may read them; what came through
    /// a proxy did not come from this machine.
    fn may_read(&self, page: Option<Page>, parts: &Parts, seen: &Seen<'_>, local: &Local) -> Result<(), Refusal> {
        let host = self.guard.check(parts, seen, local)?;
        let near = local.is_loopback() && is_loopback_name(host) && !is_forwarded(parts);
        if page == Some(Page::Metrics) && !near {
            return self.token.check(parts, seen);
        }
        Ok(())
    }
}

fn takes_open_metrics(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.to_ascii_lowercase().contains("application/openmetrics-text"))
}

fn is_forwarded(parts: &Parts) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| parts.headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::Request;
    use tower_keypool::{Base, Clock, Gemini, Key, KeyPool};

    use super::*;
    use crate::{
        gateway::{
            Setup,
            admit::{guard::Guard, token::Token},
            route::way::Dialects,
        },
        status::{StoreHealth, Traffic},
    };

    /// What becomes of a request that comes in at this address: a status, `page` or `upstream`.
    fn course(local: &str, request: http::request::Builder) -> String {
        let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIzaSyTEST-own-paths-000")).build().unwrap();
        let traffic = Arc::new(Traffic::new(Clock::system()));
        let base = Base::parse("http://upstream.invalid").unwrap();
        let gateway = Gateway::new(
            Setup::new((), Guard::new([]), Token::new("the-token"), Dialects::default()),
            base,
            Clock::system(),
        )
        .telling(Status::new(&pool, &traffic, StoreHealth::default()), traffic);
        let (head, ()) = request.body(()).unwrap().into_parts();
        let local = Local::from(local.parse::<SocketAddr>().unwrap());
        match gateway.own(head.uri.path(), (&head, &Seen::of(&head.headers)), &local, Door::Both) {
            Some(Own::Answered(response)) => response.status().as_u16().to_string(),
            Some(Own::Page(..)) => "page".to_owned(),
            None => "upstream".to_owned(),
        }
    }

    #[test]
    fn beyond_this_machine_metrics_need_the_token() {
        let get = |path: &str| Request::get(path).header("host", "192.0.2.7:5000");
        let beyond = |request| course("192.0.2.7:5000", request);
        assert_eq!(beyond(get("/-/metrics")), "401");
        assert_eq!(beyond(get("/-/metrics").header("authorization", "Bearer wrong")), "401");
        assert_eq!(beyond(get("/-/metrics").header("authorization", "Bearer the-token")), "page");
        assert_eq!(beyond(get("/-/metrics?key=the-token")), "page");
        for free in ["/-/health", "/-/ready", "/-/"] {
            assert_eq!(beyond(get(free)), "page", "{free}");
        }
        // Naming this machine does not make one of it.
        assert_eq!(beyond(Request::get("/-/metrics").header("host", "localhost:5000")), "401");
    }

    #[test]
    fn on_this_machine_they_need_none() {
        for (local, host) in [
            ("127.0.0.1:5000", "localhost:5000"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("[::1]:5000", "[::1]:5000"),
            ("[::ffff:127.0.0.1]:5000", "127.0.0.1:5000"),
        ] {
            assert_eq!(course(local, Request::get("/-/metrics").header("host", host)), "page", "{local} {host}");
        }
    }

    #[test]
    fn other_paths_go_on() {
        for path in ["/v1beta/models", "/-x", "/-metrics", "/v1/-/metrics", "/%2d/metrics"] {
            assert_eq!(course("127.0.0.1:5000", Request::get(path).header("host", "localhost")), "upstream", "{path}");
        }
    }
}
