//! The API under `/-/admin`: a running gateway looked into and changed, by whoever has the administrator's token.
//!
//! `route` is all that can be asked for; `access` who may ask; `entry` the way in; `keys`, `usage` and `look` read, `change` changes.

mod access;
mod answer;
mod attempts;
mod audit;
mod body;
mod change;
mod described;
mod entry;
mod feed;
mod keys;
mod look;
mod object;
mod openapi;
mod passing;
mod route;
mod scene;
mod theirs;
mod trial;
mod usage;
mod words;

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tower_keypool::{Clock, KeyPool, Tick};

pub use self::scene::{Ask, Fixed, Scene, Side, Sides};
pub(crate) use self::{
    access::ADMIN,
    answer::{AdminBody, Answer},
};
use self::{
    access::Access,
    answer::{Fault, fine},
    audit::{Audit, DONE},
    change::Done,
    entry::Asked,
    feed::Feed,
    passing::Passing,
    route::What,
    theirs::Theirs,
};
use crate::{
    config::Loaded,
    database::{Database, Looks, Records, processes::Process, used::Used},
    gateway::{Arriving, trail::Trails},
    ui,
};

/// What the gateway's own pool is called.
const MAIN: &str = "main";

/// The API.
pub struct Admin {
    access: Arc<Access>,
    clock: Clock,
    began: Tick,
    scene: RwLock<Arc<Scene>>,
    database: Option<Database>,
    looks: Looks,
    records: Records,
    reload: mpsc::Sender<Ask>,
    process: Process,
    used: Used,
    trails: Arc<Trails>,
    feed: Arc<Feed>,
    audit: Audit,
    passing: Passing,
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
        let access = Arc::new(Access::new(clock.clone()));
        access.change(scene.loaded.admin.token_hash.clone());
        trails.turn(access.is_on());
        let Fixed { database, looks, records, reload, process, used } = fixed;
        let admin = Self {
            access,
            began: clock.tick(),
            clock,
            scene: RwLock::new(Arc::new(scene)),
            database,
            looks,
            records,
            reload,
            process,
            used,
            trails: Arc::clone(trails),
            audit: Audit::new(Arc::clone(&feed)),
            feed,
            passing: Passing::default(),
        };
        let scene = admin.scene();
        Feed::follow(&admin.feed, MAIN, &scene.pool);
        for (name, side) in &scene.beside {
            Feed::follow(&admin.feed, name, &side.pool);
        }
        admin
    }

    /// The gateway goes by this from now on.
    pub fn change(&self, loaded: &Loaded, beside: Sides) {
        self.access.change(loaded.admin.token_hash.clone());
        self.trails.turn(self.access.is_on());
        self.passing.clear();
        let before = self.scene();
        for (name, side) in &beside {
            if !before.beside.get(name).is_some_and(|held| held.pool.is_same(&side.pool)) {
                Feed::follow(&self.feed, name, &side.pool);
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
            Some(name) => scene.beside.get(name).map(|side| side.pool.clone()).ok_or_else(theirs::no_pool),
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

    async fn tell(&self, asked: &Asked) -> Result<Answer, Fault> {
        match asked.route.what {
            What::Snapshot => self.snapshot(asked).await,
            What::Keys => Ok(fine(&self.keys(asked).await?)),
            What::Key => Ok(fine(&self.key(&asked.id, asked).await?)),
            What::Exits => Ok(fine(&self.exits(asked).await?)),
            What::Usage => Ok(fine(&self.usage(asked).await?)),
            What::Events => self.events(asked),
            What::Errors => Ok(fine(&self.errors())),
            What::Processes => Ok(fine(&self.processes().await?)),
            What::Tenants => Ok(fine(&self.tenants().await?)),
            What::Requests => Ok(fine(&self.requests())),
            What::Request => Ok(fine(&self.request(&asked.id)?)),
            What::Audit => {
                let (changes, failed) = (self.audit.recent(), self.audit.failed());
                Ok(fine(&json!({ "changes": changes, "failed_logins": failed })))
            }
            What::Description => Ok(fine(&openapi::description())),
            _ => Err(broken()),
        }
    }

    /// Whatever changes something is noted, done or not.
    async fn change_by(&self, asked: &Asked) -> Result<Answer, Fault> {
        let what = match asked.route.what {
            What::AddKey => "add",
            What::Disable => "disable",
            What::Enable => "enable",
            What::Replace => "replace",
            What::Set => "set",
            What::Remove => "remove",
            What::Test => "test",
            What::Import => "import",
            What::LiftExit => "lift_exit",
            What::Reload => "reload",
            What::Logout => "logout",
            _ => return Err(broken()),
        };
        let (theirs, done) = match asked.route.what {
            What::Reload => (None, self.read_again().await),
            What::Logout => (None, Ok(self.log_out(asked))),
            _ => match self.theirs(asked) {
                Ok(theirs) => {
                    let done = self.change_key(&theirs, asked).await;
                    (Some(theirs), done)
                }
                Err(fault) => (None, Err(fault)),
            },
        };
        let pool = theirs.as_ref().map(|theirs| theirs.name.clone());
        match done {
            Ok(Done { answer, key }) => {
                self.audit.note(asked.who, asked.from, what, (pool, key), DONE);
                if let Some(theirs) = theirs.filter(|_| asked.route.what != What::Test) {
                    theirs.taken().await;
                }
                Ok(answer)
            }
            Err(fault) => {
                // A name that is known, never what was typed.
                let key = match &theirs {
                    Some(theirs) if !asked.id.is_empty() => theirs.running(&asked.id).await.ok(),
                    _ => None,
                };
                self.audit.note(asked.who, asked.from, what, (pool, key.map(|key| key.to_string())), fault.code);
                Err(fault)
            }
        }
    }

    /// Changes keys of a pool.
    async fn change_key(&self, theirs: &Theirs, asked: &Asked) -> Result<Done, Fault> {
        let id = &asked.id;
        match asked.route.what {
            What::AddKey => self.add(theirs, asked).await,
            What::Disable => self.disable(theirs, id, asked).await,
            What::Enable => Self::enable(theirs, id).await,
            What::Replace => self.replace(theirs, id, asked).await,
            What::Set => self.set(theirs, id, asked).await,
            What::Remove => Self::remove(theirs, id).await,
            What::Test => self.test(theirs, id, asked).await,
            What::Import => self.import(theirs, asked).await,
            What::LiftExit => self.lift_exit(theirs, asked),
            _ => Err(broken()),
        }
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

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("process", &self.process).finish_non_exhaustive()
    }
}
