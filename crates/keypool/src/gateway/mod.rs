//! What stands in front of the stack: who may ask, with which token, for which path.
//!
//! A request passes [`guard`] (is it meant for this gateway?), then [`token`] (is the client known?), then [`head`]
//! (what does not belong upstream goes), and then walks the stack. The answer passes [`head`] again and goes on as it
//! comes. Chunks of a resumable upload take the way of [`upload`]; what is asked under `/-/` is answered here. [`route`]
//! tells dialects apart: a request in another one than the provider's is translated, both ways.

pub mod beside;
pub mod dialect;
mod entrance;
pub mod guard;
pub mod head;
mod ignored;
pub mod listen;
mod own;
mod path;
mod patience;
pub mod route;
pub mod said;
mod seen;
mod telling;
pub mod token;
mod translate;
pub mod upload;
mod walk;

use std::{convert::Infallible, future::poll_fn, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::watch;
use tower::Service;
use tower_keypool::{Base, BoxError, Clock, Error, ServedBy, Tick};
use tracing::Instrument;

use beside::{Beside, Others};
use dialect::{Dialect, Refusal};
pub use entrance::Entrance;
use guard::{Guard, Local};
use head::{Names, Tidy};
use route::{Dialects, Way};
use said::Said;
use seen::Seen;
use token::Token;
use translate::{Translation, Translator};
use upload::{Passage, Uploads};

use crate::{
    fetch::Fetcher,
    outgoing::Outgoing,
    status::{Counted, Outcome, Status, Traffic, Visit, class_of},
};

/// A refusal of ours, or the provider's answer as it comes.
pub type AnswerBody<B> = Counted<Said<B>>;
/// What a client gets.
pub type Answer<B> = Response<AnswerBody<B>>;

/// The gateway over a stack `S`, which is cloned for each connection.
#[derive(Debug)]
pub struct Gateway<S> {
    setup: watch::Sender<Arc<Setup<S>>>,
    uploads: Uploads,
    clock: Clock,
    traffic: Arc<Traffic>,
    status: Option<Arc<Status>>,
    fetcher: Fetcher,
    others: Others<S>,
}

/// What may change while it runs. A request keeps what it began with.
#[derive(Debug)]
pub struct Setup<S> {
    /// Where requests go.
    pub stack: S,
    /// Which are meant for this gateway.
    pub guard: Guard,
    /// What clients send.
    pub token: Token,
    /// How their dialects are met.
    pub dialects: Dialects,
}

impl<S> Gateway<S> {
    /// Puts a gateway in front of a stack. `base` is where the stack sends to: upload URLs are held to it.
    pub fn new(setup: Setup<S>, base: Base, clock: Clock) -> Self {
        let setup = watch::Sender::new(Arc::new(setup));
        let traffic = Arc::new(Traffic::new(clock.clone()));
        Self {
            setup,
            uploads: Uploads::new(base, clock.clone()),
            clock,
            traffic,
            status: None,
            fetcher: Fetcher::default(),
            others: Others::default(),
        }
    }

    /// Fetches images by this, where its dialects allow any.
    #[must_use]
    pub fn fetching(mut self, fetcher: Fetcher) -> Self {
        self.fetcher = fetcher;
        self
    }

    /// Requests that come from now on find these providers beside its own.
    pub fn stand_beside(&self, others: Vec<Beside<S>>) {
        self.others.change(others);
    }

    /// Requests that come from now on find this.
    pub fn change(&self, setup: Setup<S>) {
        self.setup.send_replace(Arc::new(setup));
    }

    fn setup(&self) -> Arc<Setup<S>> {
        Arc::clone(&self.setup.borrow())
    }

    /// Counts in `traffic` and answers what is asked under `/-/` by `status`; without, those paths are the provider's.
    #[must_use]
    pub fn telling(mut self, status: Status, traffic: Arc<Traffic>) -> Self {
        (self.status, self.traffic) = (Some(Arc::new(status)), traffic);
        self
    }
}

impl<S, B> Entrance<S>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Answers a request. Every failure is an answer, too.
    ///
    /// # Errors
    /// None: hyper asks for the form.
    ///
    /// One future without others inside but the stack's: each more would be copied whole on its way to hyper.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer<B>, Infallible> {
        let gateway = &*self.gateway;
        let line = RequestLine::begin(&request, &gateway.clock);
        let (mut parts, body) = request.into_parts();
        let mut turn = self.turn();
        let (dialect, way) = (Dialect::of(&parts), Way::of(turn.setup.dialects, &parts));
        if let Way::Moved(target) = &way {
            parts.uri = Uri::from(target.clone());
        }
        let seen = Seen::of(&parts.headers);
        if let Some(own) = gateway.own(&parts, &seen, &self.local) {
            let response = own.answer().await;
            self.leave(turn);
            line.end(&response, &gateway.clock);
            return Ok(response.map(|body| Counted::uncounted(Said::from(body))));
        }
        // Whoever names another provider speaks its dialect.
        let other = gateway.others.take(&mut parts.uri);
        let (dialect, way) = other.as_ref().map_or((dialect, way), |other| (other.dialect, Way::Through));
        let visit = Visit::begin(&gateway.traffic, body.size_hint().exact(), walk::span(&parts));
        let (tidy, admitted) = (Tidy::after(&seen), gateway.admit(&turn.setup, &parts, &seen, &self.local));
        let passage = match (admitted, &way) {
            (Ok(_), Way::Nowhere(dialect)) => Err(dialect.nowhere()),
            (Ok(_), Way::Mistaken(dialect)) => Err(dialect.mistaken()),
            // Uploads are kept track of for the gateway's own provider alone.
            (Ok(Passage::Open(_) | Passage::Chunk(_)), _) if other.is_some() => Err(dialect.nowhere()),
            (Ok(passage), _) => Ok(passage),
            (Err(refusal), _) => Err(dialect.answer(refusal)),
        };
        let passage = match passage {
            Ok(passage) => passage,
            Err(response) => {
                self.leave(turn);
                let response = response.map(Said::from);
                line.end(&response, &gateway.clock);
                return Ok(counted(visit, Outcome::Refused, response));
            }
        };
        if let Some(other) = other {
            self.leave(turn);
            tidy.apply(&mut parts);
            let request = Request::from_parts(parts, Outgoing::Came(body));
            let passing = translate::pass(other.stack, request);
            let answered = match visit.span().cloned() {
                None => Box::pin(passing).await,
                Some(span) => Box::pin(passing.instrument(span)).await,
            };
            let (outcome, response) = gateway.finish(answered, &Passage::Other, dialect);
            line.end(&response, &gateway.clock);
            gateway.traffic.took(response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts));
            return Ok(counted(visit, outcome, response));
        }
        if let Way::Translated(dialect, task) = &way
            && let Some(caller) = task.caller().or(dialect.caller())
        {
            let task = task.clone();
            let translator = Translator {
                stack: turn.stack.clone(),
                caller,
                strict: turn.setup.dialects.strict,
                fetcher: turn.setup.dialects.fetches.then(|| gateway.fetcher.clone()),
                clock: gateway.clock.clone(),
                traffic: Arc::clone(&gateway.traffic),
                dialect: *dialect,
                others: gateway.others.all(),
            };
            self.leave(turn);
            tidy.apply(&mut parts);
            // Behind a pointer: the other requests need not carry room for it.
            let translation: Translation<B> = Box::pin(translator.answer(task, parts, body));
            let (outcome, response) = match visit.span().cloned() {
                None => translation.await,
                Some(span) => translation.instrument(span).await,
            };
            line.end(&response, &gateway.clock);
            return Ok(counted(visit, outcome, response));
        }
        // Google's compatible endpoint has a shape of its own for what is wrong.
        let compatible = matches!(way, Way::Moved(_)) && dialect == Dialect::OpenAi;
        let compatible = compatible && turn.setup.dialects.provider == Dialect::Gemini;
        tidy.apply(&mut parts);
        if let Passage::Chunk(chunk) = &passage {
            chunk.direct(&mut parts);
        }
        // As `oneshot` does, whose future would be moved once more.
        let body = Outgoing::Came(body);
        let answered = match poll_fn(|cx| turn.stack.poll_ready(cx)).await {
            Ok(()) => match visit.span().cloned() {
                None => {
                    let walk = pin!(turn.stack.call(Request::from_parts(parts, body)));
                    self.leave(turn);
                    walk.await
                }
                Some(span) => {
                    let walk = span.in_scope(|| turn.stack.call(Request::from_parts(parts, body)));
                    self.leave(turn);
                    Box::pin(walk.instrument(span)).await
                }
            },
            Err(error) => Err(error),
        };
        let (outcome, mut response) = gateway.finish(answered, &passage, dialect);
        if compatible && response.status().as_u16() >= 400 {
            response = Box::pin(translate::reshaped(response)).await;
        }
        line.end(&response, &gateway.clock);
        gateway.traffic.took(response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts));
        Ok(counted(visit, outcome, response))
    }
}

impl<S> Gateway<S> {
    /// What the client gets of the stack's answer.
    fn finish<B>(
        &self,
        answered: Result<Response<B>, Error>,
        passage: &Passage,
        dialect: Dialect,
    ) -> (Outcome, Response<Said<B>>) {
        let mut response = match answered {
            Ok(response) => response,
            Err(error) => {
                let outcome = if error.is_exhausted() { Outcome::Exhausted } else { Outcome::Failed };
                return (outcome, failed(&error, dialect).map(Said::from));
            }
        };
        if response.status().is_informational() {
            return (Outcome::Failed, dialect.answer(SWITCHED).map(Said::from));
        }
        match passage {
            Passage::Other => {}
            Passage::Chunk(chunk) => self.uploads.settle(chunk, &response),
            Passage::Open(handout) => {
                if let Err(refusal) = self.uploads.hand_out(handout, &mut response) {
                    return (Outcome::Failed, dialect.answer(refusal).map(Said::from));
                }
            }
        }
        head::tidy_response(&mut response);
        (Outcome::Answered, response.map(Said::theirs))
    }

    /// Whether the request may go on, and whether it belongs to an upload.
    fn admit(&self, setup: &Setup<S>, parts: &Parts, seen: &Seen<'_>, local: &Local) -> Result<Passage, Refusal> {
        let host = setup.guard.check(parts, seen, local)?;
        // The id of an upload is its own credential: clients send none with the chunks.
        if let Some(chunk) = self.uploads.chunk(parts)? {
            return Ok(Passage::Chunk(chunk));
        }
        setup.token.check(parts, seen)?;
        Ok(upload::opens(parts, host))
    }
}

/// The target of the lines that `-v` shows.
pub const REQUESTS: &str = "keypool::requests";
pub use walk::SPANS;

const SWITCHED: Refusal =
    Refusal::new(StatusCode::BAD_GATEWAY, "the provider switched protocols, and nobody had asked it to");

/// An answer whose way out is followed.
///
/// An error whose text may have broken off keeps its status, and as much of the text as came: a connection that is cut
/// before its head went out would tell nothing.
fn counted<B: Body<Data = Bytes>>(visit: Visit, outcome: Outcome, mut response: Response<Said<B>>) -> Answer<B>
where
    B::Error: Into<BoxError>,
{
    if let Some(span) = visit.span() {
        walk::record(span, &response);
    }
    let class = class_of(response.status());
    let cut = response.status().as_u16() >= 400 && response.body().size_hint().exact().is_none();
    if cut {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response.map(|body| visit.answer(outcome, class, cut, body))
}

/// The answer that says why there is none.
fn failed(error: &Error, dialect: Dialect) -> Response<Full<Bytes>> {
    let mut response = error.to_response();
    *response.headers_mut() = failed_head(error);
    if let Some(caller) = dialect.caller() {
        // The stack speaks the provider's own; this client expects another shape.
        *response.body_mut() = Full::from(caller.refused(&translate::fault_of(error)).body);
    }
    if let Some(served_by) = error.served_by() {
        Names::of(served_by).add(response.headers_mut());
        response.extensions_mut().insert(served_by.clone());
    }
    response
}

/// Its headers: until when, above all.
fn failed_head(error: &Error) -> HeaderMap {
    let mut headers = std::mem::take(error.to_response().headers_mut());
    if let Some(out) = error.exhausted().filter(|out| out.may_end_any_time()) {
        // A request under way ends nobody knows when, mostly soon. What is known is said, but no day is waited for while
        // the next key may come any moment.
        let known = out.next_in().map_or(1, |_| seconds(&headers).clamp(1, LONGEST_REQUEST));
        headers.insert(header::RETRY_AFTER, HeaderValue::from(known));
    }
    headers
}

/// Seconds after which a key that is busy now is free by all likelihood.
const LONGEST_REQUEST: u64 = 60;

fn seconds(headers: &HeaderMap) -> u64 {
    headers.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok()).unwrap_or(1)
}

/// What `-v` says of a request; nothing where nobody listens.
struct RequestLine(Option<(Method, String, Tick)>);

impl RequestLine {
    fn begin<B>(request: &Request<B>, clock: &Clock) -> Self {
        let told = tracing::enabled!(target: REQUESTS, tracing::Level::DEBUG);
        // Without the query: a token may stand there.
        Self(told.then(|| (request.method().clone(), request.uri().path().to_owned(), clock.tick())))
    }

    fn end<B>(mut self, response: &Response<B>, clock: &Clock) {
        let Some((method, path, began)) = self.0.take() else { return };
        let status = response.status().as_u16();
        let ms = clock.tick().since(began).as_millis();
        let Some(served) = response.extensions().get::<ServedBy>() else {
            tracing::debug!(target: REQUESTS, "{method} {path} {status}, {ms} ms");
            return;
        };
        let key = served.key().map_or_else(|| "no key".to_owned(), ToString::to_string);
        let model = served.used_model().unwrap_or("no model");
        let attempts = match served.attempts() {
            0 | 1 => String::new(),
            attempts => format!(", {attempts} attempts"),
        };
        tracing::debug!(target: REQUESTS, "{method} {path} {status} by {key} ({model}){attempts}, {ms} ms");
    }
}

impl Drop for RequestLine {
    fn drop(&mut self) {
        if let Some((method, path, _)) = self.0.take() {
            tracing::debug!(target: REQUESTS, "{method} {path}: the client left before there was an answer");
        }
    }
}
