//! Where a request goes that may name what belongs to somebody, once its body was read for that.

use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use http_body::Body as _;
use keypool_client::names::{may_be_the_providers, told_in};
use tower_keypool::{Affinity, Demand, KeyId, ServedBy};

use super::{
    Coming, Gives, NOT_HERE, Resources, body_model,
    gathered::{Gathering, Wanted, gather, is_known_to_name_nothing, is_long, is_short},
    ids, kept,
    makers::Together,
    named::Subject,
    path::{makes, makes_tokens, models_of, says_who_answers},
    spoken::naming,
    unseen,
    uploads::Led,
};
use crate::{
    gateway::{
        admit::tenant::{MODEL, Tenant},
        dialect::Refusal,
        forward::affinity,
    },
    outgoing::{Broken, Outgoing},
};

const BINARY: Refusal =
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "where several tenants ask, bodies are JSON: send it as JSON");
const NO_PATH: Refusal = Refusal::new(
    StatusCode::NOT_FOUND,
    "there is no such path here: where several tenants ask, the provider's own paths are those of which it is known whose is what they \
     name (/v1beta/models, /v1beta/files, /v1beta/cachedContents and the like)",
);
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

/// A request whose body was read as far as it says where that goes.
pub(in crate::gateway) struct Read {
    subject: Subject,
    gathered: Gathering,
}

/// Reads what a request says of where it goes. `alone`: there is no other tenant; `model`: its body is read for the model
/// that it is for, where its path says that it stands there; `is_used`: whether anything is anybody's.
///
/// # Errors
/// 400 where that cannot be told.
pub(in crate::gateway) async fn look_through(
    (tenant, alone): (&Tenant, bool),
    parts: &Parts,
    body: Coming,
    (model, is_used): (bool, impl AsyncFnOnce() -> bool),
) -> Result<Read, Refusal> {
    let subject = Subject::of(parts);
    if tenant.is_restricted() && models_of(parts.uri.path()).iter().any(|model| !tenant.may_use(model)) {
        return Err(MODEL);
    }
    if !tenant.is_default() && !is_known_to_name_nothing(parts) && makes_tokens(parts.uri.path()) {
        return Err(PAST_US);
    }
    let unseen = unseen::may_come(tenant, parts)?;
    let uploads = parts.uri.path().starts_with("/upload/") && subject != Subject::Call;
    if !alone {
        // What cannot be read here may name what is another's.
        if subject == Subject::Elsewhere {
            return Err(NO_PATH);
        }
        if !uploads && is_binary(parts) {
            return Err(BINARY);
        }
    }
    // How long it lasts what is asked there stands in the body alone.
    let says_how_long = says_who_answers(parts.uri.path()) && is_short(&body.rest);
    // Bytes of a file name nothing, whatever stands in them.
    let is_mute = uploads || body.rest.is_end_stream() || is_known_to_name_nothing(parts);
    let names = body.first.is_some()
        || !(is_mute
            || (is_long(&body.rest) && !says_how_long && !tenant.is_restricted() && !unseen && !is_used().await));
    let model = model && !is_mute && body_model::is_named_in_body(parts);
    let gathered = if names || model {
        gather(parts, body, (tenant, Wanted { names, unseen, model })).await?
    } else {
        Gathering::unread(body.rest)
    };
    Ok(Read { subject, gathered })
}

impl Read {
    /// What it names that is somebody's, in its path and its body.
    pub(in crate::gateway) fn names(&self) -> Vec<String> {
        let mut names = self.gathered.names.clone();
        if let Subject::Named(name) = &self.subject {
            names.push(name.clone());
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether its body names something.
    pub(in crate::gateway) fn names_within(&self) -> bool {
        !self.gathered.names.is_empty()
    }

    /// The model that its body is for, where its path says that it stands there.
    pub(in crate::gateway) fn model(&self) -> Option<&str> {
        self.gathered.model.as_deref()
    }
}

/// Finds out where a request goes, and notes it in its head. `resolve` is asked for names that nobody knows.
///
/// # Errors
/// 404 where it names what is not the tenant's.
pub(in crate::gateway) async fn seek(
    resources: &Resources,
    tenant: &Tenant,
    parts: &mut Parts,
    Read { subject, gathered }: Read,
    resolve: impl AsyncFnOnce(&[String]) -> Result<Option<Affinity>, Refusal>,
) -> Result<Sought, Refusal> {
    let Gathering { body, broken, mut names, is_plain, is_kept, .. } = gathered;
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
