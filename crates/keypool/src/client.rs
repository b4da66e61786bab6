//! The client at the bottom of the stack: connections to the provider, kept, over TLS or not.

mod along;
mod arrived;
mod bell;
mod commands;
mod dial;
mod door;
mod error;
mod line;
mod opening;
mod patient;
mod roots;
mod sending;
mod shelf;
mod silent;
mod sockets;
#[cfg(test)]
mod tests;
mod trunk;
mod unheard;
mod upstream;
mod ways;

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use tower::Service;
use tower_keypool::{Base, Clock, ReplayBody};

use crate::{
    outgoing::Outgoing,
    status::{Received, Sent, Traffic},
};

pub use arrived::Arrived;
pub use commands::Calls;
use dial::Dial;
pub use error::Error;
pub use patient::Patient;
pub use roots::{Roots, RootsError};
use sending::Sending;
pub use sockets::{Greeting, InPlaceOfKey, SocketBody, Sockets};
use upstream::Upstream;
use ways::ByExit;
pub use ways::{NoProxy, Proxy, WayOut, WaysOut};

/// Whoever asks takes trailers: a provider that speaks HTTP/1.1 sends none unless it is told so.
#[derive(Clone, Copy, Debug)]
pub struct TakesTrailers;

/// It goes over a connection that is made for it: of one that lay idle it may turn out that it was closed once the request is on
/// its way, and whoever may not send it again would not know what became of it.
#[derive(Clone, Copy, Debug)]
pub struct OverNew;

/// Behind a pointer, since hyper moves each request some ten times.
type Boxed = Box<Sending<ReplayBody<Outgoing>>>;

/// Requests to one provider, behind one pointer: every layer clones what is below it.
#[derive(Clone)]
pub struct Client {
    upstreams: Arc<ByExit<Arc<Upstream<Boxed>>>>,
    place: Arc<Place>,
    traffic: Arc<Traffic>,
    within: Duration,
}

/// So long an answer may take to begin, unless something else is said: longer than a model thinks.
const WITHIN: Duration = Duration::from_secs(3_600);

/// Where requests may go.
#[derive(Debug)]
struct Place {
    scheme: Scheme,
    authority: Authority,
}

impl Place {
    /// Where a provider is.
    fn of(base: &Base) -> Self {
        Self { scheme: base.scheme().clone(), authority: base.authority().clone() }
    }

    /// Its address.
    fn root(&self) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        // A proxy is told the port, and would take a wrong one for the usual one.
        let authority = format!("{}:{}", self.authority.host(), self.port(&self.authority));
        parts.authority = Some(authority.parse().expect("so it was before"));
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        Uri::from_parts(parts).expect("it is whole")
    }

    /// Whether a target stands there. The layers above have seen to it; a mistake would send a key elsewhere.
    fn has(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return false };
        *scheme == self.scheme
            && (authority.as_str() == self.authority.as_str()
                || (authority.host().eq_ignore_ascii_case(self.authority.host())
                    && !authority.as_str().contains('@')
                    && self.port(authority) == self.port(&self.authority)))
    }

    fn port(&self, authority: &Authority) -> u16 {
        authority.port_u16().unwrap_or_else(|| usual_port(&self.scheme))
    }

    /// As `Host` names it.
    fn host(&self) -> HeaderValue {
        let usual = self.port(&self.authority) == usual_port(&self.scheme);
        let name = if usual { self.authority.host() } else { self.authority.as_str() };
        HeaderValue::from_str(name).expect("an authority is text")
    }
}

fn usual_port(scheme: &Scheme) -> u16 {
    if *scheme == Scheme::HTTPS { 443 } else { 80 }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Client {
    /// One for the provider at `base`, by `http` or `https`, HTTP/1.1 or HTTP/2; requests for other places fail.
    pub fn new(base: &Base) -> Self {
        Self::trusting(base, &Roots::mozilla())
    }

    /// The same, with these roots of trust.
    pub fn trusting(base: &Base, roots: &Roots) -> Self {
        Self::through(base, roots, &WaysOut::default())
    }

    /// The same, which sends requests whose key has an exit out by that, over connections of its own.
    pub fn through(base: &Base, roots: &Roots, ways: &WaysOut) -> Self {
        let place = Place::of(base);
        let upstreams = ByExit::of(ways, |way| {
            let dial = Dial::new(place.root(), roots.clone(), way);
            Arc::new(Upstream::new(dial, place.scheme.clone(), place.authority.clone(), place.host()))
        });
        Self {
            upstreams: Arc::new(upstreams),
            place: Arc::new(place),
            traffic: Arc::new(Traffic::new(Clock::system())),
            within: WITHIN,
        }
    }

    /// The same over the same connections, with another time in which an answer is to begin, from when its request is gone
    /// (1 h unless set): an attempt that has no head by then fails, as no fault of its key. So long nothing more of an answer
    /// may come before it breaks off.
    #[must_use]
    pub fn answering_within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Counts its attempts, and how long they take, in `traffic`.
    #[must_use]
    pub fn counting(mut self, traffic: &Arc<Traffic>) -> Self {
        self.traffic = Arc::clone(traffic);
        self
    }
}

impl Service<Request<ReplayBody<Outgoing>>> for Client {
    type Response = Response<Received<Patient<Arrived>>>;
    type Error = Error;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // It is always ready: what is not there is waited for behind it.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReplayBody<Outgoing>>) -> Answer {
        let sent = Some(Sent::now(&self.traffic));
        if !self.place.has(request.uri()) {
            return Answer::failed(Error::address(), sent);
        }
        let target = std::mem::take(request.uri_mut()).into_parts().path_and_query;
        *request.uri_mut() = target.map_or_else(Uri::default, Uri::from);
        *request.version_mut() = Version::HTTP_11;
        let upstream = match self.upstreams.take(request.extensions_mut()) {
            Ok(upstream) => Arc::clone(upstream),
            Err(error) => return Answer::failed(Error::connect(error), sent),
        };
        if request.extensions_mut().remove::<TakesTrailers>().is_some() {
            request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        let over_new = request.extensions_mut().remove::<OverNew>().is_some();
        let (head, body) = request.into_parts();
        let (body, gone) = Sending::new(body);
        let (within, mut request) = (self.within, Some(Request::from_parts(head, Box::new(body))));
        // What is handed to a future stands in it twice, as it came and where it is used; what it looks at once. Made where it
        // stays, since it would be copied with all its room.
        let response = Box::write(Box::new_uninit(), async move {
            let answer = pin!(upstream.answer(&mut request, &gone, over_new));
            patient::begun(answer, &gone, within).await
        });
        Answer { response: Box::into_pin(response), sent, within }
    }
}

/// The provider's answer to come.
pub struct Answer {
    response: Pin<Box<dyn Future<Output = Result<Response<Arrived>, Error>> + Send>>,
    sent: Option<Sent>,
    within: Duration,
}

impl Answer {
    fn failed(error: Error, sent: Option<Sent>) -> Self {
        Self { response: Box::pin(std::future::ready(Err(error))), sent, within: Duration::ZERO }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Future for Answer {
    type Output = Result<Response<Received<Patient<Arrived>>>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = ready!(self.response.as_mut().poll(cx));
        let sent = self.sent.take().expect("polled after it was done");
        sent.answered(answered.as_ref().ok().map(Response::status));
        Poll::Ready(answered.map(|response| response.map(|body| sent.receive(Patient::new(body, self.within)))))
    }
}
