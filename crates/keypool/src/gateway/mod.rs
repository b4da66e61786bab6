//! What stands in front of the stack: who may ask, with which token, for which path.
//!
//! A request walks from front to back. [`listen`] accepts its connection and hands it to `handle`, whose `request` takes
//! it through the stages:
//!
//! 1. `handle` itself answers pages of the gateway's own and its administrators;
//! 2. [`route`]: which dialect it speaks, which provider it is for, whether it is translated;
//! 3. `admit`: is it meant for this gateway, who asks, has that tenant something left;
//! 4. `forward`: whose key it needs, how long it may wait, what of its head goes on. Then over the stack: as it is, by
//!    `translate` where it speaks another dialect than its provider, or by [`live`] where it opens a socket;
//! 5. `answer`: what comes back, without what is not the client's; or why nothing does;
//! 6. `log`: a line, a span, a trail.
//!
//! Imports go one way, which `tests/architecture.rs` holds them to: [`dialect`] and `connection` are everybody's, then
//! admit → route → forward → answer → translate, live, log → handle → listen.

mod admit;
mod aliases;
mod answer;
mod connection;
pub mod dialect;
mod farewell;
mod forward;
mod handle;
pub mod listen;
pub mod live;
mod log;
pub(crate) mod model_names;
pub mod route;
mod translate;
mod unix_time;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::Response;
use tokio::sync::watch;
use tower_keypool::{Base, Clock, KeyPool};

pub(crate) use self::log::trail;
use self::{
    admit::{account::Books, budget::Budgets, guard::Guard, tenant::Tenants, token::Token},
    answer::body::Said,
    farewell::Farewell,
    forward::{catalogue::Catalogues, resource::Unknown},
    live::{Live, Pipes},
    log::trail::Trails,
    route::{Beside, Dialects, providers::Others},
    translate::{recall::Memory, room::Room, usage_wish::Unasked},
};
pub use self::{
    admit::{capability, guard, tenant, token},
    aliases::Aliases,
    connection::{
        pace::{Arriving, Paces},
        tls,
    },
    forward::{
        affinity::{By, Nearness},
        belongings::{AllBelongings, Belongings},
        resource,
        wishes::Waiting,
    },
    handle::entrance::{Door, Entrance},
    log::{line::REQUESTS, span::SPANS},
};
use crate::{
    admin::Admin,
    database::{Records, used::Used},
    fetch::Fetcher,
    status::{Counted, Status, Traffic},
};

/// A refusal of ours, or the provider's answer as it comes.
pub type AnswerBody<B> = Counted<Said<B>>;
/// What a client gets.
pub type Answer<B> = Response<AnswerBody<B>>;

/// The gateway over a stack `S`, which is cloned for each connection.
#[derive(Debug)]
pub struct Gateway<S> {
    setup: watch::Sender<Arc<Setup<S>>>,
    own: Belongings,
    tenants: Arc<Tenants>,
    pipes: Arc<Pipes>,
    farewell: Arc<Farewell>,
    clock: Clock,
    traffic: Arc<Traffic>,
    status: Option<Arc<Status>>,
    fetcher: Fetcher,
    memory: Memory,
    /// Providers that are not asked what their streams cost.
    unasked: Unasked,
    room: Room,
    room_for_answers: Room,
    others: Others<S>,
    catalogues: Arc<Catalogues>,
    /// Of those that are of Gemini's, by name.
    beside: RwLock<Arc<AllBelongings>>,
    books: Arc<Books>,
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
    /// Other names of the models of its own provider.
    pub aliases: Aliases,
}

impl<S> Setup<S> {
    /// Whose answers say who served, without sockets.
    pub fn new(stack: S, guard: Guard, token: Token, dialects: Dialects) -> Self {
        let (unknown, waiting) = (Unknown::Refuse, Waiting::default());
        let (nearness, aliases) = (Nearness::default(), Aliases::default());
        Self { stack, guard, token, dialects, names: true, live: None, unknown, waiting, nearness, aliases }
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
            own: Belongings::new(base, clock.clone(), records.clone(), None),
            tenants: Arc::default(),
            pipes: Arc::default(),
            farewell: Arc::new(Farewell::of_gateway()),
            clock: clock.clone(),
            traffic,
            status: None,
            fetcher: Fetcher::default(),
            memory: Memory::default(),
            unasked: Unasked::default(),
            room: Room::default(),
            room_for_answers: Room::default(),
            others: Others::default(),
            catalogues: Arc::default(),
            beside: RwLock::default(),
            books: Arc::new(Books { budgets: Budgets::new(records), used: Used::default(), clock: clock.clone() }),
            trails: Arc::new(Trails::new(clock)),
            admin: None,
        }
    }

    /// Keeps whose what is, which uploads are open and what tenants used in `records`; the keys are those of `pool`.
    #[must_use]
    pub fn keeping(mut self, records: Records, pool: KeyPool) -> Self {
        self.trails.hide_keys_of(pool.clone());
        self.own.keep(records.clone(), pool);
        let (used, clock) = (self.books.used.clone(), self.clock.clone());
        self.books = Arc::new(Books { budgets: Budgets::new(records), used, clock });
        self
    }

    /// Who may ask, beside whoever has the one token.
    pub fn tenants(&self) -> &Arc<Tenants> {
        &self.tenants
    }

    /// What tenants used.
    pub fn used(&self) -> &Used {
        &self.books.used
    }

    /// Writes what tenants used of their limits, so that all processes know it, until the task is aborted.
    pub fn keep_budgets(&self) -> impl Future<Output = ()> + Send + 'static {
        self.books.budgets.clone().keep(self.clock.clone())
    }

    /// The same at the end, with all that was drawn of them and not used, for as long as that takes within `wait`.
    pub async fn close_budgets(&self, wait: Duration) {
        self.books.budgets.close(&self.clock, wait).await;
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
        self.catalogues.stay_with(&others);
        self.others.change(others);
    }

    /// What tenants have at providers of Gemini's beside its own, by their names. Without, native calls there are for
    /// whoever has the one token.
    pub fn keep_beside(&self, belongings: AllBelongings) {
        *self.beside.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(belongings);
    }

    fn belongings_at(&self, provider: &str) -> Option<Arc<Belongings>> {
        self.all_beside().get(provider).cloned()
    }

    fn all_beside(&self) -> Arc<AllBelongings> {
        Arc::clone(&self.beside.read().unwrap_or_else(PoisonError::into_inner))
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
