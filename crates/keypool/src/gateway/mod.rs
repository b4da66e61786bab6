//! What stands in front of the stack: who may ask, with which token, for which path.
//!
//! A request passes [`guard`] (is it meant for this gateway?), then [`token`] (is the client known?), then [`head`]
//! (what does not belong upstream goes), and then walks the stack. The answer passes [`head`] again and goes on as it
//! comes. Chunks of a resumable upload take the way of [`upload`]; what is asked under `/-/` is answered here. [`route`]
//! tells dialects apart: a request in another one than the provider's is translated, both ways.

mod administered;
mod affinity;
mod asking;
pub mod beside;
mod blot;
mod budget;
pub mod capability;
mod chosen;
mod course;
mod crowd;
pub mod dialect;
mod entrance;
mod failure;
pub mod guard;
pub mod head;
mod ignored;
mod line;
pub mod listen;
pub mod live;
mod models;
mod moment;
mod named;
mod own;
mod pace;
mod path;
mod patience;
pub mod resource;
mod rounds;
pub mod route;
pub mod said;
mod seen;
mod telling;
pub mod tenant;
pub mod tls;
pub mod token;
pub(crate) mod trail;
mod translate;
pub mod upload;
mod walk;
mod wish;

use std::{collections::BTreeMap, convert::Infallible, future::poll_fn, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body::Body;
use tokio::sync::watch;
use tower::Service;
use tower_keypool::{Base, BoxError, Clock, Error, KeyPool, ServedBy};
use tracing::Instrument;

use affinity::Numbers;
pub use affinity::{By, Nearness};
use beside::{Beside, Others};
use budget::Budgets;
use chosen::Chosen;
use course::{Course, OverStack};
use dialect::Dialect;
pub use entrance::{Door, Entrance};
use failure::{failed, failed_head};
use guard::Guard;
use head::Tidy;
use line::RequestLine;
use live::{Live, Pipes};
use models::Catalogue;
pub use pace::{Arriving, Paces};
use resource::{Resources, Unknown};
use route::{Dialects, Way};
use said::Said;
use seen::Seen;
use tenant::Tenants;
use token::Token;
use trail::Trails;
use translate::{Translation, Translator};
use upload::{Passage, Uploads};
pub use wish::Waiting;
use wish::Wish;

use crate::{
    admin::Admin,
    database::{Records, used::Used},
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
    resources: Resources,
    tenants: Arc<Tenants>,
    budgets: Budgets,
    models: Arc<Catalogue>,
    pipes: Arc<Pipes>,
    clock: Clock,
    traffic: Arc<Traffic>,
    status: Option<Arc<Status>>,
    fetcher: Fetcher,
    others: Others<S>,
    used: Used,
    trails: Arc<Trails>,
    admin: Option<Arc<Admin>>,
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
    /// Answers say who served.
    pub names: bool,
    /// What opens sockets; without, there are none.
    pub live: Option<Live>,
    /// What becomes of a file or the like that nobody here has heard of.
    pub unknown: Unknown,
    /// How requests wait for a key.
    pub waiting: Waiting,
    /// How they find the owner that served their like.
    pub nearness: Nearness,
}

impl<S> Setup<S> {
    /// Whose answers say who served, without sockets.
    pub fn new(stack: S, guard: Guard, token: Token, dialects: Dialects) -> Self {
        let (unknown, waiting) = (Unknown::Refuse, Waiting::default());
        Self { stack, guard, token, dialects, names: true, live: None, unknown, waiting, nearness: Nearness::default() }
    }
}

impl<S> Gateway<S> {
    /// Puts a gateway in front of a stack. `base` is where the stack sends to: upload URLs are held to it.
    pub fn new(setup: Setup<S>, base: Base, clock: Clock) -> Self {
        let setup = watch::Sender::new(Arc::new(setup));
        let traffic = Arc::new(Traffic::new(clock.clone()));
        let records = Records::default();
        Self {
            setup,
            uploads: Uploads::new(base, clock.clone(), records.clone()),
            resources: Resources::new(records.clone(), clock.clone(), None),
            tenants: Arc::default(),
            budgets: Budgets::new(records),
            models: Arc::default(),
            pipes: Arc::default(),
            clock: clock.clone(),
            traffic,
            status: None,
            fetcher: Fetcher::default(),
            others: Others::default(),
            used: Used::default(),
            trails: Arc::new(Trails::new(clock)),
            admin: None,
        }
    }

    /// Keeps whose what is, which uploads are open and what tenants used in `records`; the keys are those of `pool`.
    #[must_use]
    pub fn keeping(mut self, records: Records, pool: KeyPool) -> Self {
        (self.uploads.records, self.uploads.pool) = (records.clone(), Some(pool.clone()));
        self.resources = Resources::new(records.clone(), self.clock.clone(), Some(pool));
        self.budgets = Budgets::new(records);
        self
    }

    /// Who may ask, beside whoever has the one token.
    pub fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    /// What tenants used.
    pub fn used(&self) -> &Used {
        &self.used
    }

    /// What became of the last requests.
    pub(crate) fn trails(&self) -> &Arc<Trails> {
        &self.trails
    }

    /// May be administered by this.
    #[must_use]
    pub fn administered(mut self, admin: Arc<Admin>) -> Self {
        self.admin = Some(admin);
        self
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

    /// From now on it says that it is not ready, and serves as before.
    pub fn leave(&self) {
        if let Some(status) = &self.status {
            status.end();
        }
        if let Some(admin) = &self.admin {
            admin.leave();
        }
    }

    /// From now on it tells of these pools, too, by their names.
    pub fn tell_of(&self, pools: &BTreeMap<String, KeyPool>) {
        if let Some(status) = &self.status {
            status.stand_beside(pools);
        }
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
    /// Whatever most requests do not need lies behind a pointer: all that is inside of this future is copied whole on its
    /// way to hyper.
    pub async fn answer(self: Arc<Self>, request: Request<Arriving>) -> Result<Answer<B>, Infallible> {
        let gateway = &*self.gateway;
        let mut turn = self.turn();
        let mut line = RequestLine::begin(&request, turn.setup.names, &gateway.traffic);
        if let Some(admin) = gateway.administers(&self, request.uri().path()) {
            let response = Box::pin(gateway.administer(admin, &self, &turn.setup, request)).await;
            self.leave(turn);
            let mut response = response.map(Said::administered);
            line.of_page().end(&mut response, &gateway.traffic);
            return Ok(response.map(Counted::uncounted));
        }
        let (mut parts, body) = request.into_parts();
        live::right_slashes(&mut parts);
        let (dialect, way) = (Dialect::of(&parts), Way::of(turn.setup.dialects, &parts));
        body.speaks(dialect);
        let before = match &way {
            Way::Moved(target) => Some(std::mem::replace(&mut parts.uri, Uri::from(target.clone()))),
            _ => None,
        };
        let seen = Seen::of(&parts.headers);
        if let Some(own) = gateway.own(&parts, &seen, &self.local, self.door) {
            let mut response = own.answer().await;
            self.leave(turn);
            line.of_page().end(&mut response, &gateway.traffic);
            return Ok(response.map(|body| Counted::uncounted(Said::from(body))));
        }
        // Whoever stands beside is chosen by what the client asked for.
        let moved = before.map(|before| std::mem::replace(&mut parts.uri, before));
        let chosen = gateway.others.choose(turn.setup.dialects, (&parts.headers, &mut parts.uri), dialect, way);
        let Chosen { dialect, mut way, home, named } = chosen;
        if let (Way::Moved(_), Some(moved)) = (&way, moved) {
            parts.uri = moved;
        }
        // As it is, whatever it is about.
        let (mut other, mut home) = if way == Way::Through { (home, None) } else { (None, home) };
        let mut visit = Visit::begin(&gateway.traffic, body.size_hint().exact(), walk::span(&parts));
        let (tidy, socket) = (Tidy::after(&seen), seen.websocket && other.is_none());
        let limited = turn.setup.waiting.as_limited.then_some(dialect);
        let admitted = gateway.admit(&turn.setup, &parts, &seen, &self.local).await;
        // Asked only of those who were let in: a stranger can neither try tokens here nor fill the throttle of them.
        let surveyed = seen.administers && admitted.is_ok() && gateway.wants_trace(&parts, self.peer);
        let wish = match &admitted {
            Ok((tenant, _)) => Wish::of(&parts.headers, &seen, tenant, &turn.setup),
            Err(_) => Ok(Wish::default()),
        };
        tidy.keep_ours(&mut parts);
        if let Ok((tenant, _)) = &admitted {
            line.of_tenant(tenant);
            if gateway.trails.is_on() {
                line.followed(gateway.trails.follow(&parts.method, parts.uri.path(), line.began(), surveyed));
            }
        }
        if socket && admitted.as_ref().err().is_none_or(|refusal| refusal.status() == StatusCode::UNAUTHORIZED) {
            let setup = Arc::clone(&turn.setup);
            self.leave(turn);
            let tenant = admitted.map(|(tenant, _)| tenant);
            let (outcome, mut response) = Box::pin(gateway.socket(&setup, parts, tenant, dialect)).await;
            line.end(&mut response, &gateway.traffic);
            return Ok(counted(visit, outcome, limited, response));
        }
        if let Ok((tenant, _)) = &admitted
            && !tenant.is_default()
            && let Some(task) = other.as_ref().and_then(|other| chosen::for_tenants(other.dialect, parts.uri.path()))
        {
            (home, way) = (other.take(), Way::Translated(dialect, task));
        }
        let admitted = match (admitted, &way) {
            (Ok(_), Way::Nowhere(dialect)) => Err(dialect.nowhere()),
            (Ok(_), Way::Mistaken(dialect)) => Err(dialect.mistaken()),
            // Uploads are kept track of for the gateway's own provider alone.
            (Ok((_, Passage::Open(_) | Passage::Chunk(_))), _) if other.is_some() => Err(dialect.nowhere()),
            // What is made there is nobody's: it is for whoever has the one token.
            (Ok((tenant, _)), _) if other.is_some() && !tenant.is_default() => Err(dialect.nowhere()),
            (Ok(admitted), _) => match wish {
                Ok(wish) => match gateway.let_in(&admitted.0, &mut visit, dialect, line.meter()).await {
                    Ok(meter) => Ok((admitted, wish.metered(meter))),
                    Err(response) => Err(response),
                },
                Err(refusal) => Err(dialect.answer(refusal)),
            },
            (Err(refusal), _) => Err(dialect.answer(refusal)),
        };
        let ((tenant, passage), wish) = match admitted {
            Ok(admitted) => admitted,
            Err(response) => {
                self.leave(turn);
                let mut response = response.map(Said::from);
                line.end(&mut response, &gateway.traffic);
                return Ok(counted(visit, Outcome::Refused, limited, response));
            }
        };
        if let Some(other) = other {
            self.leave(turn);
            tidy.apply(&mut parts);
            if let Some(demand) = wish.demand() {
                parts.extensions.insert(demand);
            }
            let request = Request::from_parts(parts, Outgoing::Came(body));
            let passing = translate::pass(other.stack, request);
            let answered = match visit.span().cloned() {
                None => Box::pin(passing).await,
                Some(span) => Box::pin(passing.instrument(span)).await,
            };
            let (outcome, mut response) = match failure::finish(answered, None, dialect) {
                Ok(response) => (Outcome::Answered, said::passed_on(response)),
                Err(failed) => (failed.0, failed.1.map(Said::from)),
            };
            line.end(&mut response, &gateway.traffic);
            gateway.traffic.took(response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts));
            return Ok(counted(visit, outcome, limited, response));
        }
        if let Way::Translated(dialect, task) = &way
            && let Some(caller) = task.caller().or(dialect.caller())
        {
            let task = task.clone();
            let numbers = Numbers::of(&turn.setup.nearness, &turn.setup.token, &tenant);
            let translator = Translator {
                stack: turn.stack.clone(),
                caller,
                strict: turn.setup.dialects.strict,
                tenant,
                wish,
                numbers,
                fetcher: turn.setup.dialects.fetches.then(|| gateway.fetcher.clone()),
                clock: gateway.clock.clone(),
                traffic: Arc::clone(&gateway.traffic),
                dialect: *dialect,
                own: turn.setup.dialects.own(),
                others: gateway.others.all(),
                home,
                only: named,
                nobodys: None,
            };
            self.leave(turn);
            tidy.apply(&mut parts);
            // Behind a pointer: the other requests need not carry room for it.
            let translation: Translation<B> = Box::pin(translator.answer(task, parts, body));
            let (outcome, mut response) = match visit.span().cloned() {
                None => translation.await,
                Some(span) => translation.instrument(span).await,
            };
            line.end(&mut response, &gateway.traffic);
            return Ok(counted(visit, outcome, limited, response));
        }
        // Google's compatible endpoint has a shape of its own for what is wrong.
        let compatible = matches!(way, Way::Moved(_)) && dialect == Dialect::OpenAi;
        let compatible = compatible && turn.setup.dialects.provider == Dialect::Gemini;
        tidy.apply(&mut parts);
        if let Some(demand) = wish.demand() {
            parts.extensions.insert(demand);
        }
        if turn.setup.nearness.by == By::Prompt && !wish.is_near() {
            parts.extensions.insert(Numbers::of(&turn.setup.nearness, &turn.setup.token, &tenant));
        }
        let course = match &passage {
            Passage::Chunk(chunk) => Gateway::<S>::chunk_on(chunk, &mut parts, body),
            _ if turn.setup.dialects.provider != Dialect::Gemini => Course::through(Outgoing::Came(body)),
            _ => match resource::at_once(&gateway.resources, (&tenant, gateway.tenants.is_alone()), &parts, body) {
                Ok(body) => {
                    affinity::follow(&mut parts, &body);
                    Course::through(body)
                }
                Err(coming) => Box::pin(gateway.course(&turn.setup, &tenant, &mut parts, coming)).await,
            },
        };
        let OverStack { body, listening, broken } = match course {
            Course::On(way) => way,
            Course::Done(outcome, response) => {
                self.leave(turn);
                let mut response = response.map(Said::from);
                line.end(&mut response, &gateway.traffic);
                return Ok(counted(visit, outcome, limited, response));
            }
        };
        // As `oneshot` does, whose future would be moved once more.
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
        let (outcome, mut response) = match failure::finish(answered, broken.as_ref(), dialect) {
            Ok(response) if listening.is_none() && matches!(passage, Passage::Other) => {
                (Outcome::Answered, said::passed_on(response))
            }
            Ok(response) => match Box::pin(gateway.attend(response, tenant, &passage, listening)).await {
                Ok(response) => (Outcome::Answered, response),
                Err(refusal) => (Outcome::Failed, dialect.answer(refusal).map(Said::from)),
            },
            Err(failed) => (failed.0, failed.1.map(Said::from)),
        };
        if compatible && response.status().as_u16() >= 400 {
            response = Box::pin(translate::reshaped(response)).await;
        }
        line.end(&mut response, &gateway.traffic);
        gateway.traffic.took(response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts));
        Ok(counted(visit, outcome, limited, response))
    }
}

pub use line::REQUESTS;
pub use walk::SPANS;

/// An answer whose way out is followed.
///
/// An error whose text may have broken off keeps its status, and as much of the text as came: a connection that is cut
/// before its head went out would tell nothing.
///
/// `limited`: where no key may serve, this dialect calls it a limit.
fn counted<B: Body<Data = Bytes>>(
    mut visit: Visit,
    outcome: Outcome,
    limited: Option<Dialect>,
    mut response: Response<Said<B>>,
) -> Answer<B>
where
    B::Error: Into<BoxError>,
{
    if let (Outcome::Exhausted, Some(dialect)) = (outcome, limited) {
        response = wish::as_limited(response, dialect);
    }
    if let Some(span) = visit.span() {
        walk::record(span, &response);
    }
    if visit.is_awaited() {
        visit.of_model(response.extensions().get::<ServedBy>().and_then(ServedBy::used_model));
    }
    let class = class_of(response.status());
    let cut = response.status().as_u16() >= 400 && response.body().size_hint().exact().is_none();
    if cut {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response.map(|body| visit.answer(outcome, class, cut, body))
}
