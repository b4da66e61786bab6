//! The API under `/-/admin`: a running gateway looked into and changed, by whoever has the administrator's token.
//!
//! `route` is all that can be asked for; `access` who may ask; `keys`, `usage` and `look` read, `change` changes.

mod access;
mod answer;
mod audit;
mod change;
mod feed;
mod keys;
mod look;
mod openapi;
mod route;
mod trial;
mod usage;
mod words;

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use crate::gateway::Arriving;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tower_keypool::{Clock, KeyPool, Tick};

use self::{
    access::{Access, THROTTLED, Who},
    answer::{Fault, fine},
    audit::Audit,
    change::Done,
    feed::Feed,
    route::{Found, Route, What},
};
pub(crate) use access::ADMIN;
pub(crate) use answer::{AdminBody, Answer};

use crate::{
    config::Loaded,
    database::{Database, Records, processes::Process, used::Used},
    gateway::trail::Trails,
    ui,
};

/// What the gateway's own pool is called.
const MAIN: &str = "main";
/// A body is no longer than this; a key file may be longer.
const LONGEST: usize = 64 << 10;
const LONGEST_FILE: usize = 10 << 20;

/// Asks for the configuration to be read again, and is told what came of it.
pub type Ask = oneshot::Sender<Result<String, String>>;

/// What a running gateway goes by. Changes with each reload.
pub struct Scene {
    /// What was read.
    loaded: Loaded,
    /// The gateway's own pool.
    pool: KeyPool,
    /// Those of other providers, by name.
    beside: BTreeMap<String, KeyPool>,
}

impl Scene {
    /// What was read, the gateway's own pool, and those of other providers by name.
    pub fn new(loaded: Loaded, pool: KeyPool, beside: BTreeMap<String, KeyPool>) -> Self {
        Self { loaded, pool, beside }
    }
}

/// What does not change.
pub struct Fixed {
    /// The database, where there is one.
    pub database: Option<Database>,
    /// What is kept beside the pool.
    pub records: Records,
    /// Reads the configuration again.
    pub reload: mpsc::Sender<Ask>,
    /// This process.
    pub process: Process,
    /// What tenants used.
    pub used: Used,
}

/// The API.
pub struct Admin {
    access: Access,
    clock: Clock,
    began: Tick,
    scene: RwLock<Arc<Scene>>,
    database: Option<Database>,
    records: Records,
    reload: mpsc::Sender<Ask>,
    process: Process,
    used: Used,
    trails: Arc<Trails>,
    feed: Arc<Feed>,
    audit: Audit,
}

/// A request that was let in.
struct Asked {
    route: &'static Route,
    id: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    who: Who,
    from: IpAddr,
    secured: bool,
    body: Bytes,
}

impl Asked {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(named, _)| named == name).map(|(_, value)| &**value)
    }

    fn number(&self, name: &'static str, unless: usize) -> Result<usize, Fault> {
        let Some(text) = self.query(name) else { return Ok(unless) };
        text.parse().map_err(|_| Fault::wrong(format!("{name}: expected a number")))
    }
}

/// Something here failed.
fn broken() -> Fault {
    Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer could not be found out")
}

const OFF: &str = "the admin API is off: switch it on with a token of its own (--admin-token-file, KEYPOOL_ADMIN_TOKEN or \
                   admin.token_file)";
const ELSEWHERE: &str = "the admin API has an address of its own (admin.listen)";

impl Admin {
    /// Over what runs here.
    pub(crate) fn new(scene: Scene, fixed: Fixed, trails: &Arc<Trails>, clock: Clock) -> Self {
        let feed = Arc::new(Feed::new());
        let access = Access::new(clock.clone());
        access.change(scene.loaded.admin.token_hash.clone());
        trails.turn(access.is_on());
        let Fixed { database, records, reload, process, used } = fixed;
        let admin = Self {
            access,
            began: clock.tick(),
            clock,
            scene: RwLock::new(Arc::new(scene)),
            database,
            records,
            reload,
            process,
            used,
            trails: Arc::clone(trails),
            audit: Audit::new(Arc::clone(&feed)),
            feed,
        };
        let scene = admin.scene();
        Feed::follow(&admin.feed, MAIN, &scene.pool);
        for (name, pool) in &scene.beside {
            Feed::follow(&admin.feed, name, pool);
        }
        admin
    }

    /// The gateway goes by this from now on.
    pub fn change(&self, loaded: &Loaded, beside: BTreeMap<String, KeyPool>) {
        self.access.change(loaded.admin.token_hash.clone());
        self.trails.turn(self.access.is_on());
        let before = self.scene();
        for (name, pool) in &beside {
            if !before.beside.get(name).is_some_and(|held| held.is_same(pool)) {
                Feed::follow(&self.feed, name, pool);
            }
        }
        let scene = Scene::new(loaded.clone(), before.pool.clone(), beside);
        *self.scene.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(scene);
    }

    /// The gateway ends: whoever reads the events is not waited for.
    pub(crate) fn leave(&self) {
        self.feed.end();
    }

    fn scene(&self) -> Arc<Scene> {
        Arc::clone(&self.scene.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The pool of this name, the gateway's own where none is named.
    fn pool_of(&self, name: Option<&str>) -> Result<KeyPool, Fault> {
        let scene = self.scene();
        match name {
            None | Some(MAIN) => Ok(scene.pool.clone()),
            Some(name) => scene
                .beside
                .get(name)
                .cloned()
                .ok_or_else(|| Fault::not_found("no provider of that name has a pool here")),
        }
    }

    /// Whether a path belongs to it or to its page.
    pub(crate) fn has(path: &str) -> bool {
        is_under(route::ROOT, path) || is_under(ui::ROOT, path)
    }

    /// Whether it answers at all.
    pub(crate) fn is_on(&self) -> bool {
        self.access.is_on()
    }

    /// Whether this is the token, and whoever sent it was not wrong too often.
    pub(crate) fn is_token(&self, token: &[u8], from: IpAddr) -> bool {
        self.access.try_token(token, from).is_ok()
    }

    /// Answers at an address that is not its own.
    pub(crate) fn elsewhere() -> Answer {
        Fault::not_found(ELSEWHERE).answer()
    }

    /// A request whose host or origin is not taken.
    pub(crate) fn refused(status: StatusCode, message: &'static str) -> Answer {
        Fault::new(status, "refused", message).answer()
    }

    /// Answers a request that came from `from`, over TLS or not, and named this host. Where it is from a page its origin
    /// was found to be that host.
    pub(crate) async fn answer(&self, request: Request<Arriving>, host: &str, from: IpAddr, secured: bool) -> Answer {
        let is_head = request.method() == Method::HEAD;
        let mut answer = self.let_in(request, host, from, secured).await.unwrap_or_else(Fault::answer);
        if is_head {
            *answer.body_mut() = http_body_util::Empty::new().boxed_unsync();
        }
        answer
    }

    async fn let_in(
        &self,
        request: Request<Arriving>,
        host: &str,
        from: IpAddr,
        secured: bool,
    ) -> Result<Answer, Fault> {
        if !self.access.is_on() {
            return Err(Fault::new(StatusCode::NOT_FOUND, "admin_off", OFF));
        }
        let (parts, body) = request.into_parts();
        if parts.uri.path() == "/" {
            return Ok(ui::lead().map(BodyExt::boxed_unsync));
        }
        if is_under(ui::ROOT, parts.uri.path()) {
            return Ok(ui::answer(&parts.method, parts.uri.path(), &parts.headers).map(BodyExt::boxed_unsync));
        }
        let found = route::find(&parts.method, parts.uri.path());
        if let Found::Route(route, _) = &found
            && route.what == What::Login
        {
            return self.log_in(body, from, secured).await;
        }
        let who = self.access.who(&parts.headers, from)?;
        let (route, id) = match found {
            Found::Route(route, id) => (route, id),
            Found::Not(allowed) => {
                let fault = Fault::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not by this method");
                return Err(match HeaderValue::try_from(allowed) {
                    Ok(allowed) => fault.with(header::ALLOW, allowed),
                    Err(_) => fault,
                });
            }
            Found::Nowhere => return Err(Fault::not_found("there is no such path: see /-/admin/openapi.json")),
        };
        if route.method != Method::GET && who == Who::Session && !is_from(&parts, host) {
            // A browser sends the cookie whoever asks.
            let why = "with a cookie a change must come from the page of this very gateway: its Origin is missing";
            return Err(Fault::new(StatusCode::FORBIDDEN, "foreign_origin", why));
        }
        let most = if route.what == What::Import { LONGEST_FILE } else { LONGEST };
        let body = read(body, most).await?;
        let query = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let query = query.map(|(name, value)| (decoded(name), decoded(value))).collect();
        let asked = Asked { route, id, query, headers: parts.headers, who, from, secured, body };
        if route.method == Method::GET { self.tell(&asked).await } else { self.change_by(&asked).await }
    }

    async fn log_in(&self, body: Arriving, from: IpAddr, secured: bool) -> Result<Answer, Fault> {
        #[derive(Deserialize)]
        struct Login {
            token: String,
        }
        let body = read(body, LONGEST).await?;
        let login: Login = serde_json::from_slice(&body).map_err(|_| Fault::wrong("expected {\"token\": \"…\"}"))?;
        let tried = self.access.try_token(login.token.trim().as_bytes(), from);
        let result = tried.as_ref().err().map_or("done", |fault| fault.code);
        // A flood of them is no news.
        if result != THROTTLED {
            self.audit.note(Who::Token, from, "login", None, result);
        }
        tried?;
        let cookie = self.access.begin(secured)?;
        let mut answer = fine(&json!({ "ok": true }));
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
        Ok(answer)
    }

    async fn tell(&self, asked: &Asked) -> Result<Answer, Fault> {
        match asked.route.what {
            What::Snapshot => self.snapshot(asked).await,
            What::Keys => Ok(fine(&self.keys(asked).await?)),
            What::Key => Ok(fine(&self.key(&asked.id).await?)),
            What::Usage => Ok(fine(&self.usage(asked).await?)),
            What::Events => self.events(asked),
            What::Errors => Ok(fine(&self.errors())),
            What::Processes => Ok(fine(&self.processes().await?)),
            What::Tenants => Ok(fine(&self.tenants().await?)),
            What::Requests => Ok(fine(&self.requests())),
            What::Request => Ok(fine(&self.request(&asked.id)?)),
            What::Audit => Ok(fine(&json!({ "changes": self.audit.recent() }))),
            What::Description => Ok(fine(&openapi::description())),
            _ => Err(broken()),
        }
    }

    /// Whatever changes something is noted, done or not.
    async fn change_by(&self, asked: &Asked) -> Result<Answer, Fault> {
        let id = &asked.id;
        let (what, done) = match asked.route.what {
            What::AddKey => ("add", self.add(asked).await),
            What::Disable => ("disable", self.disable(id, asked).await),
            What::Enable => ("enable", self.enable(id).await),
            What::Replace => ("replace", self.replace(id, asked).await),
            What::Set => ("set", self.set(id, asked).await),
            What::Remove => ("remove", self.remove(id).await),
            What::Test => ("test", self.test(id, asked).await),
            What::Import => ("import", self.import(asked).await),
            What::Reload => ("reload", self.read_again().await),
            What::Logout => ("logout", Ok(self.log_out(asked))),
            _ => return Err(broken()),
        };
        match done {
            Ok(Done { answer, key }) => {
                self.audit.note(asked.who, asked.from, what, key, "done");
                Ok(answer)
            }
            Err(fault) => {
                self.audit.note(asked.who, asked.from, what, None, fault.code);
                Err(fault)
            }
        }
    }

    fn log_out(&self, asked: &Asked) -> Done {
        let mut answer = fine(&json!({ "ok": true }));
        if let Some(cookie) = self.access.end(&asked.headers, asked.secured) {
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Done { answer, key: None }
    }

    async fn read_again(&self) -> Result<Done, Fault> {
        let (ask, told) = oneshot::channel();
        let gone = || Fault::new(StatusCode::SERVICE_UNAVAILABLE, "ending", "this gateway reads nothing any more");
        self.reload.send(ask).await.map_err(|_| gone())?;
        match told.await.map_err(|_| gone())? {
            Ok(news) => Ok(Done { answer: fine(&json!({ "ok": true, "news": news })), key: None }),
            Err(why) => Err(Fault::new(StatusCode::CONFLICT, "refused", why)),
        }
    }
}

fn is_under(root: &str, path: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a page of this very host asks.
fn is_from(parts: &Parts, host: &str) -> bool {
    let mut origins = parts.headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    authority.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

async fn read(body: Arriving, most: usize) -> Result<Bytes, Fault> {
    match tokio::time::timeout(std::time::Duration::from_secs(30), Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let why = format!("the body is longer than {most} bytes");
            Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why))
        }
        _ => Err(Fault::wrong("the body broke off")),
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("process", &self.process).finish_non_exhaustive()
    }
}
