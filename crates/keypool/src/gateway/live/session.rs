//! A session of the Live API, or of an interaction: which model it is for, and what it goes on with, stands in its first
//! message. So the socket is opened to the client at once, and to the provider once that message is there: with a key of
//! its model's lane, or of the owner whose it names.

use std::{
    mem, slice,
    sync::{Arc, PoisonError},
    time::Duration,
};

use http::{Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::timeout,
};
use tower_keypool::{Error, Lease, ServedBy};

use super::{
    KeyBody, Live, Opening, Told,
    first::{First, first, left, name_of, tell},
    frames::{AGAIN, Frames, INTERNAL, POLICY, PROTOCOL, Said, TOO_BIG, closing},
    greet::{self, greeting},
    mask::Blot,
    over,
    pipe::{Ending, LINGER, Listener, pipe},
    reason::{self, Judge},
    setup::Kind,
    usage::Spent,
};
use crate::gateway::{
    admit::{account::Entry, tenant::Tenant},
    aliases::Aliases,
    dialect::Refusal,
    forward::resource::{self, NOT_HERE, Resources},
};

/// The first message is no longer, in bytes, and there in this time. Later ones are read up to here.
pub(super) const LONGEST: usize = 1 << 20;
const FIRST: Duration = Duration::from_secs(30);
/// A provider's refusal is read so far.
const REFUSAL: usize = 64 << 10;

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Self(code_of(refusal.status()), refusal.message().to_owned())
    }
}

/// Whether the same may go well later, or never.
fn code_of(status: StatusCode) -> u16 {
    match status.as_u16() {
        429 | 503 => AGAIN,
        400..=499 => POLICY,
        _ => INTERNAL,
    }
}

/// What a session begins with.
pub(super) struct Beginning {
    pub(super) kind: Kind,
    pub(super) parts: Parts,
    pub(super) opening: Opening,
    pub(super) resources: Resources,
    /// There is no other tenant.
    pub(super) alone: bool,
    /// Other names of models.
    pub(super) aliases: Aliases,
    /// Told when the gateway goes.
    pub(super) ending: watch::Receiver<bool>,
}

/// Carries one until it ends.
pub(super) async fn carry(live: Live, client: OnUpgrade, mut beginning: Beginning) {
    let mut told = Told::default();
    let teller = beginning.opening.teller.take();
    let tell = |told: &Told| teller.into_iter().for_each(|teller| teller(told));
    let (account, tenant) = (beginning.opening.account.clone(), Arc::clone(&beginning.opening.tenant));
    let over = over(&account, &tenant, beginning.ending.clone());
    tokio::pin!(over);
    let Ok(client) = client.await else { return };
    let mut client = TokioIo::new(client);
    let beginning = async {
        let entry = Entry::of(account.clone());
        match timeout(FIRST, first(&mut client, &beginning)).await {
            Ok(Some(Ok(first))) => begin(&live, (beginning, &mut client), (first, &mut told), entry).await.transpose(),
            Ok(Some(Err(why))) => Some(Err(why)),
            // It went.
            Ok(None) => None,
            Err(_) => Some(Err(Ending(POLICY, "the first message, which must be a setup, did not come".to_owned()))),
        }
    };
    let begun = tokio::select! {
        begun = beginning => match begun {
            Some(begun) => begun,
            None => return tell(&told),
        },
        ending = &mut over => Err(ending),
    };
    let (provider, frames, session) = match begun {
        Ok(begun) => begun,
        Err(Ending(code, why)) => {
            tell(&Told { closed: Some(code), ..told });
            return end(client, code, &why).await;
        }
    };
    tell(&told);
    let blot = Blot::of(&session.lease);
    pipe((client, frames), provider, blot, &session, over).await;
}

/// Says why, and lets the client say goodbye.
async fn end(mut client: TokioIo<Upgraded>, code: u16, why: &str) {
    if tell(&mut client, &closing(code, why)).await.is_none() {
        return;
    }
    let _ = client.shutdown().await;
    let mut rest = [0; 1024];
    let _ = timeout(LINGER, async { while let Ok(1..) = client.read(&mut rest).await {} }).await;
}

/// The provider's side, what follows the client's, and what listens to both.
type Begun = (greet::Begun, Frames, Session);

/// Opens the provider's side; `None`: the client went meanwhile.
async fn begin(
    live: &Live,
    (beginning, client): (Beginning, &mut TokioIo<Upgraded>),
    (mut first, told): (First, &mut Told),
    entry: Entry,
) -> Result<Option<Begun>, Ending> {
    let Beginning { kind, mut parts, opening, resources, alone, .. } = beginning;
    let (raw, model, names) = (mem::take(&mut first.raw), first.model.take(), mem::take(&mut first.names));
    // As it may be told.
    let model = model.map(|model| live.pool.masked(&model).into_owned());
    told.model.clone_from(&model);
    let demand = Live::prepare(&mut parts, &opening, model.as_deref());
    let mut demand = demand.ok_or_else(|| Ending(POLICY, "the token cannot be passed on".to_owned()))?;
    if !names.is_empty() {
        match resources.way_to(&names, &opening.tenant).await? {
            Some(_) if opening.token.is_some() => {}
            Some(way) => demand = demand.affinity(way).of_resource(),
            // Handed out before anybody here took notes, perhaps: it is the provider's to say.
            None if alone && names.iter().all(|name| name.starts_with("sessions/")) => demand = demand.of_resource(),
            None => return Err(NOT_HERE.into()),
        }
    }
    parts.extensions.insert(demand);
    let (place, by_token) = (greet::Place::default(), opening.token.is_some());
    let judge = Arc::new(Judge { pool: live.pool.clone(), model, by_token });
    let asked = Arc::clone(&judge);
    parts.extensions.insert(greeting(raw.into(), &place, move |code, reason| asked.refused(code, reason)));
    let answered = tokio::select! {
        answered = live.ask(parts) => answered,
        () = left(client, &mut first) => return Ok(None),
    };
    let response = answered.map_err(|error| {
        told.served = error.served_by().cloned();
        unanswered(&error)
    })?;
    told.served = response.extensions().get::<ServedBy>().cloned();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refused(response).await);
    }
    let lease = response.extensions().get::<ServedBy>().and_then(ServedBy::keep);
    let broken = || Ending(INTERNAL, "the provider opened no socket".to_owned());
    let lease = lease.ok_or_else(broken)?;
    let begun = place.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (mut provider, early) = begun.ok_or_else(broken)?;
    let (tenant, spent) = (opening.tenant, Spent::default());
    let session = Session { kind, lease, judge, resources, tenant, entry, spent };
    let First { behind, more, frames, .. } = first;
    for said in more {
        session.asked(said).await?;
    }
    provider.write_all(&behind).await.map_err(|_| broken())?;
    provider.flush().await.map_err(|_| broken())?;
    Ok(Some(((provider, early), frames, session)))
}

fn unanswered(error: &Error) -> Ending {
    let response = error.to_response();
    Ending(code_of(response.status()), error.to_string())
}

/// What the provider says in the place of a socket.
async fn refused(response: Response<KeyBody>) -> Ending {
    let (head, body) = response.into_parts();
    let read = Limited::new(body, REFUSAL).collect().await;
    let body = read.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let why = told["error"]["message"].as_str().unwrap_or("the provider opened no socket");
    let closed = told["error"][reason::CLOSED].as_u64().and_then(|code| u16::try_from(code).ok());
    Ending(closed.filter(|code| may_be_sent(*code)).unwrap_or(code_of(head.status)), why.to_owned())
}

/// Whether a closing frame may have this code (RFC 6455, section 7.4).
pub(super) fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// One that is under way.
struct Session {
    kind: Kind,
    lease: Lease,
    /// The same judge as of bodies, and the same table of rests.
    judge: Arc<Judge>,
    resources: Resources,
    tenant: Arc<Tenant>,
    entry: Entry,
    /// What it cost so far.
    spent: Spent,
}

impl Listener for Session {
    async fn heard(&self, said: Said) {
        self.judge.hears(&said, &self.lease);
        let model = self.judge.model.as_deref();
        match said {
            Said::Data(text) => {
                self.entry.is_good(model);
                if memmem::find(&text, b"ewHandle").is_some() {
                    self.resumable(&text).await;
                }
                if self.kind == Kind::Event && memmem::find(&text, b"interaction.created").is_some() {
                    self.created(&text).await;
                }
                if let Some((input, output)) = self.spent.told(&text, &self.lease) {
                    self.entry.cost(model, input, output);
                }
            }
            Said::Long(_) => self.entry.is_good(model),
            Said::Close(..) | Said::Ping(_) | Said::Broken(_) => {}
        }
    }

    /// What it names must be this tenant's, and where this session is served: it cannot move to another project.
    async fn asked(&self, said: Said) -> Result<(), Ending> {
        let names = match said {
            Said::Close(..) | Said::Ping(_) | Said::Long(false) => return Ok(()),
            Said::Broken(fault) => return Err(fault.into()),
            Said::Long(true) => {
                let why = format!(
                    "a message of more than {LONGEST} bytes may not set up anything, nor name files or the like"
                );
                return Err(Ending(TOO_BIG, why));
            }
            Said::Data(text) => {
                let no_json = |_| Ending(PROTOCOL, "a message that may name files is no JSON".to_owned());
                if self.kind.sets_up(&text).map_err(no_json)? {
                    // With another model, perhaps: the key was taken for the first.
                    return Err(Ending(POLICY, "a session is set up once, by its first message".to_owned()));
                }
                resource::names_in(&text).map_err(no_json)?
            }
        };
        if names.is_empty() {
            return Ok(());
        }
        match self.resources.way_to(&names, &self.tenant).await? {
            Some(way) if self.resources.is_where(&way, self.lease.key_id()) => Ok(()),
            Some(_) => Err(Ending(POLICY, ELSEWHERE.to_owned())),
            None => Err(NOT_HERE.into()),
        }
    }
}

/// A session was begun before it named this.
const ELSEWHERE: &str = "what the message names lies in another project than the one of this session: name it in setup";

impl Session {
    /// A handle by which it can be resumed: with the keys of this owner, and by this tenant.
    async fn resumable(&self, text: &[u8]) {
        let said: Value = serde_json::from_slice(text).unwrap_or_default();
        if let Some(handle) = said["sessionResumptionUpdate"]["newHandle"].as_str().filter(|handle| !handle.is_empty())
        {
            self.resources.learn(vec![name_of(handle)], self.tenant.name(), self.lease.key_id()).await;
        }
    }

    /// An interaction that this session made.
    async fn created(&self, text: &[u8]) {
        let said: Value = serde_json::from_slice(text).unwrap_or_default();
        let events = said["events"].as_array().map_or(slice::from_ref(&said), Vec::as_slice);
        let ids = events.iter().filter(|event| event["event_type"] == "interaction.created");
        let names = ids.filter_map(|event| event["interaction_id"].as_str()).map(|id| format!("interactions/{id}"));
        self.resources.learn(names.collect(), self.tenant.name(), self.lease.key_id()).await;
    }
}
