//! Where a request goes that may name what belongs to somebody, once its body was read for that.

use std::{collections::VecDeque, io::Read as _};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use keypool_client::names::{may_be_the_providers, told_in};
use tower_keypool::{Affinity, Demand, KeyId, ServedBy};

use super::{
    Coming, Gives, NOT_HERE, Resources, ids, kept,
    made::outlives_its_call,
    makers::Together,
    mentioned::{self, Behind},
    named::Subject,
    path::{makes, makes_tokens, models_of, says_who_answers},
    spoken::naming,
    unseen,
    uploads::Led,
};
use crate::{
    gateway::{
        admit::tenant::{MODEL, Tenant},
        connection::pace::Arriving,
        dialect::Refusal,
        forward::affinity,
    },
    outgoing::{Broken, Gathered, Outgoing, Watch},
};

/// So much of a body is read before it is known where it goes. What comes behind goes on as it comes, and must name
/// nothing.
const READ: usize = 8 << 20;
/// A body of a length that is known and no more than this is read in any case: most of it comes with its head.
const SHORT: u64 = 64 << 10;
/// So much of a body that may name something, and of a compressed one when it is inflated.
const WHOLE: usize = 64 << 20;

const UNREADABLE: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "the body is no JSON, and may name a file or the like: send it as JSON");
const ENCODED: Refusal = Refusal::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "the body is in an encoding that is not read here: send it as it is, or in gzip",
);
const BINARY: Refusal =
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "where several tenants ask, bodies are JSON: send it as JSON");
const LARGE: Refusal = Refusal::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "a body that may name a file or the like, or that is compressed, may be no larger than 64 MiB",
);
pub(in crate::gateway::forward) const BROKE_OFF: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "the request's body broke off");
const PAST_US: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "tokens of the provider's own work without this gateway, past what a tenant may: only whoever has the gateway's one \
     token makes them. Sockets are opened with a tenant's own token",
);
pub(in crate::gateway) const LATE: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "the body names a file or the like behind its first 8 MiB: name it before what is large",
);

/// What a request is about, and what its answer is listened to for.
#[derive(Debug)]
pub(in crate::gateway) struct Sought {
    pub(in crate::gateway) target: Target,
    pub(in crate::gateway) body: Outgoing,
    pub(in crate::gateway) broken: Broken,
}

/// What a request is about.
#[derive(Debug)]
pub(in crate::gateway) enum Target {
    /// It goes on; nothing in its answer is new.
    Call,
    /// It goes on; what its answer names is the caller's.
    Making(Listening),
    /// It asks for models.
    Models { version: String, name: Option<String> },
    /// It asks for all that is the caller's of a collection.
    List(String),
}

/// What an answer is listened to for.
#[derive(Debug)]
pub(in crate::gateway) struct Listening {
    resources: Resources,
    /// What ids in it are ids of.
    pub(super) collection: Option<String>,
    /// What is gone when it is a good one.
    deletes: Option<String>,
    /// It gives ids of a provider's of another dialect than Gemini's.
    gives: Option<Gives>,
    /// It tells what such a provider keeps in a collection.
    keeps: bool,
    /// Where what is made next goes depends on it.
    led: Option<Led>,
    /// And where what is made next at such a provider goes.
    together: Option<Together>,
}

impl Listening {
    /// What an answer names is the caller's.
    pub(in crate::gateway) fn to(resources: &Resources) -> Self {
        let resources = resources.clone();
        Self { resources, collection: None, deletes: None, gives: None, keeps: false, led: None, together: None }
    }

    /// The same of ids that a provider gives.
    pub(in crate::gateway) fn to_ids(resources: &Resources, gives: Gives, together: Option<Together>) -> Self {
        Self { gives: Some(gives), together, ..Self::to(resources) }
    }

    /// The same of what a provider keeps in its collections; `deletes`: what is gone when the answer is a good one, which tells
    /// of nothing else; `together`: where what is made next goes depends on it.
    pub(super) fn to_kept(
        resources: &Resources,
        gives: Gives,
        deletes: Option<String>,
        together: Option<Together>,
    ) -> Self {
        Self { keeps: true, deletes, ..Self::to_ids(resources, gives, together) }
    }

    /// What the answer names is the tenant's.
    pub(super) async fn hear(&self, names: Vec<String>, tenant: &Tenant, key: &KeyId) {
        match &self.gives {
            None => {
                self.began(key);
                self.resources.learn(names, tenant.name(), key).await;
            }
            Some(gives) => {
                let pool = gives.pool.as_ref();
                if let Some(together) = &self.together {
                    self.resources.made(together, (key, pool), !self.keeps);
                }
                self.resources.learn_in(pool, names, tenant.name(), key).await;
            }
        }
    }

    /// The names in a piece of JSON.
    pub(super) fn names_in(&self, text: &[u8]) -> Vec<String> {
        match &self.gives {
            None => told_in(text, self.collection.as_deref()),
            Some(_) if self.deletes.is_some() => Vec::new(),
            Some(Gives { dialect, provider, .. }) => {
                let told = if self.keeps { kept::told_in(text) } else { ids::told_in(text, *dialect) };
                told.iter().map(|id| ids::kept_as(provider, id)).collect()
            }
        }
    }

    /// What it is about was made with this key, or its upload was begun.
    pub(in crate::gateway) fn began(&self, key: &KeyId) {
        if let Some(led) = &self.led {
            self.resources.led(led, key);
        }
    }

    /// A good answer came.
    pub(in crate::gateway) async fn good(&self) {
        if let Some(name) = &self.deletes {
            self.resources.forget(name).await;
        }
    }

    /// The key that an answer came over.
    pub(super) fn key_of(served_by: Option<&ServedBy>) -> Option<KeyId> {
        served_by.and_then(ServedBy::key).cloned()
    }
}

/// Finds out where a request goes, and notes it in its head. `alone`: there is no other tenant. `resolve` is asked for
/// names that nobody knows.
///
/// # Errors
/// 404 where it names what is not the tenant's, 400 where that cannot be told.
pub(in crate::gateway) async fn seek(
    resources: &Resources,
    (tenant, alone): (&Tenant, bool),
    parts: &mut Parts,
    body: Coming,
    resolve: impl AsyncFnOnce(&[String]) -> Result<Option<Affinity>, Refusal>,
) -> Result<Sought, Refusal> {
    let subject = Subject::of(parts);
    if tenant.is_restricted() && models_of(parts.uri.path()).iter().any(|model| !tenant.may_use(model)) {
        return Err(MODEL);
    }
    if !tenant.is_default() && !is_known_to_name_nothing(parts) && makes_tokens(parts.uri.path()) {
        return Err(PAST_US);
    }
    let unseen = unseen::may_come(tenant, parts)?;
    let mut names = Vec::new();
    let uploads = parts.uri.path().starts_with("/upload/") && subject != Subject::Call;
    if !alone {
        // What cannot be read here may name what is another's.
        if subject == Subject::Elsewhere {
            return Err(NOT_HERE);
        }
        if !uploads && is_binary(parts) {
            return Err(BINARY);
        }
    }
    // How long it lasts what is asked there stands in the body alone.
    let says_how_long = says_who_answers(parts.uri.path()) && is_short(&body.rest);
    // Bytes of a file name nothing, whatever stands in them.
    let goes_on = uploads
        || body.rest.is_end_stream()
        || is_known_to_name_nothing(parts)
        || (is_long(&body.rest) && !says_how_long && !tenant.is_restricted() && !unseen && !resources.is_used().await);
    let Gathering { body, broken, is_plain, is_kept } = if goes_on && body.first.is_none() {
        Gathering::unread(body.rest)
    } else {
        gather(parts, body, (tenant, unseen), &mut names).await?
    };
    if is_kept {
        let demand = parts.extensions.remove::<Demand>().unwrap_or_default();
        parts.extensions.insert(demand.once());
    }
    if is_plain && subject == Subject::Call {
        resources.say_it_names_nothing(parts);
    }
    let of_anybody: Vec<String> = names.iter().filter(|name| may_be_the_providers(name)).cloned().collect();
    if !of_anybody.is_empty() {
        let unknown = resources.unknown(&of_anybody).await?;
        names.retain(|name| !unknown.contains(name));
    }
    affinity::follow(parts, &body);
    let led = resources.lead(tenant, parts, (&subject, &names)).await;
    let (collection, deletes) = subject.told(parts);
    if let Subject::Named(name) = &subject {
        names.push(name.clone());
    }
    if !names.is_empty() {
        names.sort_unstable();
        names.dedup();
        let way = match resources.way_to(&names, tenant).await? {
            Some(way) => way,
            None => resolve(&names).await?.ok_or(NOT_HERE)?,
        };
        resources.lead_after(tenant, parts, (&subject, &names), &way);
        let demand = parts.extensions.remove::<Demand>().unwrap_or_default().affinity(way).of_resource();
        parts.extensions.insert(naming(demand, &names));
    }
    let target = match subject {
        Subject::Models { version, name } if parts.method == Method::GET => Target::Models { version, name },
        Subject::List(collection) if parts.method == Method::GET => Target::List(collection),
        Subject::Call if !makes(parts.uri.path()) => Target::Call,
        _ => {
            // What is listened to must be readable.
            parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            Target::Making(Listening { collection, deletes, led, ..Listening::to(resources) })
        }
    };
    Ok(Sought { target, body, broken })
}

/// Whether a body is in another form than JSON.
fn is_binary(parts: &Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    ["proto", "grpc", "multipart"].iter().any(|form| kind.contains(form))
}

/// Whether a body takes a while to come, or may.
pub(super) fn is_long(body: &Arriving) -> bool {
    body.size_hint().exact().is_none_or(|length| length > SHORT)
}

/// Whether a body is known to be no longer than what is read whole.
fn is_short(body: &Arriving) -> bool {
    body.size_hint().exact().is_some_and(|length| length <= WHOLE as u64)
}

fn is_known_to_name_nothing(parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A body, as far as it was read.
struct Gathering {
    body: Outgoing,
    broken: Broken,
    /// All of it was seen, and no word in it could name anything of anybody's.
    is_plain: bool,
    /// It asks for an answer that is kept.
    is_kept: bool,
}

impl Gathering {
    fn unread(body: Arriving) -> Self {
        Self { body: Outgoing::Came(body), broken: Broken::default(), is_plain: false, is_kept: false }
    }
}

/// Reads a body as far as it must be, and the names in it. `unseen`: its requests may not stand in a file.
async fn gather(
    parts: &Parts,
    Coming { mut first, rest: mut body }: Coming,
    (tenant, unseen): (&Tenant, bool),
    names: &mut Vec<String>,
) -> Result<Gathering, Refusal> {
    let encoded = parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    let mut frames: VecDeque<Frame<Bytes>> = VecDeque::new();
    let compatible = parts.uri.path().contains("/openai/");
    let (mut behind, mut length) = (Behind::of(compatible), 0);
    let may_name_anything = if compatible { mentioned::may_name_compatible } else { mentioned::may_name };
    // What is encoded shows nothing before it is whole; and who may not ask every model is asked which it is.
    let mut may_name = encoded || tenant.is_restricted() || says_who_answers(parts.uri.path());
    let (mut is_plain, mut is_kept) = (!encoded, false);
    loop {
        let frame = match first.take() {
            Some(frame) => *frame,
            None => match body.frame().await {
                Some(frame) => frame.map_err(|_| BROKE_OFF)?,
                None => break,
            },
        };
        let last = body.is_end_stream();
        if let Some(data) = frame.data_ref() {
            // Most bodies come in one piece, of which nothing is kept for a next one.
            let passes = if last && length == 0 { !may_name_anything(data) } else { behind.passes(data) };
            length += data.len();
            may_name = may_name || !passes;
            is_plain = is_plain && passes;
        }
        frames.push_back(frame);
        if last || (!may_name && length > READ) {
            break;
        }
        if length > WHOLE {
            return Err(LARGE);
        }
    }
    if may_name {
        let text = text_of(parts, &frames)?;
        if text.is_empty() {
            let body = Outgoing::Gathered(Box::new(Gathered { frames, rest: None, broken: Broken::default() }));
            return Ok(Gathering { body, broken: Broken::default(), is_plain: false, is_kept: false });
        }
        is_kept = says_who_answers(parts.uri.path()) && outlives_its_call(&text);
        names.extend(mentioned::names_in(&text, compatible).map_err(|_| UNREADABLE)?);
        if unseen && mentioned::asks_from_a_file(&text).map_err(|_| UNREADABLE)? {
            return Err(unseen::UNCOUNTED);
        }
        if tenant.is_restricted() {
            let models = mentioned::models_in(&text).map_err(|_| UNREADABLE)?;
            if models.iter().any(|model| !tenant.may_use(model)) {
                return Err(MODEL);
            }
        }
    }
    let broken = Broken::default();
    let rest = (!body.is_end_stream()).then(|| (body, Box::new(behind) as Box<dyn Watch>));
    is_plain &= rest.is_none();
    let body = Outgoing::Gathered(Box::new(Gathered { frames, rest, broken: broken.clone() }));
    Ok(Gathering { body, broken, is_plain, is_kept })
}

/// What stands in a body.
fn text_of(parts: &Parts, frames: &VecDeque<Frame<Bytes>>) -> Result<Bytes, Refusal> {
    let pieces = || frames.iter().filter_map(Frame::data_ref);
    let text = match (pieces().count(), pieces().next()) {
        (0, _) | (_, None) => return Ok(Bytes::new()),
        (1, Some(piece)) => piece.clone(),
        _ => pieces()
            .fold(Vec::new(), |mut text, piece| {
                text.extend_from_slice(piece);
                text
            })
            .into(),
    };
    match parts.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => Ok(text),
        Some(b"gzip" | b"x-gzip") => {
            let mut plain = Vec::new();
            let read = MultiGzDecoder::new(&*text).take(WHOLE as u64 + 1).read_to_end(&mut plain);
            if read.is_err() || plain.len() > WHOLE { Err(ENCODED) } else { Ok(plain.into()) }
        }
        Some(_) => Err(ENCODED),
    }
}
