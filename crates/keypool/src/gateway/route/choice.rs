//! Which provider a request goes to where several stand side by side: by the path that names one, by the dialect of a path
//! or credential, by the model in a path. What only a body says is chosen by whoever reads it ([`super::translate`]).

use http::{HeaderMap, Method, Uri, header, request::Parts, uri::PathAndQuery};
use percent_encoding::percent_decode_str;
use tower_keypool::KeyPool;

use super::{
    providers::{Beside, FRONT, Others},
    task::{COMPACT, Task, other_task, task},
    way::{COMPATIBLE, Dialects, Own, Way, behind, by_credential, forced, redirect, unforced, unprefixed, with_path},
};
use crate::gateway::dialect::Dialect;

/// Where a request goes.
pub(in crate::gateway) struct Chosen<S> {
    /// In which dialect it is asked and answered.
    pub(in crate::gateway) dialect: Dialect,
    pub(in crate::gateway) way: Way,
    /// The path that its provider knows; `None`: the one that it came with.
    pub(in crate::gateway) target: Option<PathAndQuery>,
    /// The provider beside the gateway's own that it goes to, or those of its models that nobody names; `None`: the
    /// gateway's own.
    pub(in crate::gateway) home: Option<Box<Beside<S>>>,
    /// The path named it: what the body says changes nothing.
    pub(in crate::gateway) named: bool,
}

impl<S> Chosen<S> {
    /// To the gateway's own provider.
    fn own(dialect: Dialect, way: Way) -> Self {
        let target = way.target().cloned();
        Self { dialect, way, target, home: None, named: false }
    }

    /// To another provider as it is, whatever it is about.
    fn through(other: Beside<S>, target: Option<PathAndQuery>) -> Self {
        let speaks_openais = other.dialect == Dialect::Gemini
            && target.as_ref().is_some_and(|target| behind(target.path(), COMPATIBLE).is_some());
        let dialect = if speaks_openais { Dialect::OpenAi } else { other.dialect };
        Self { dialect, way: Way::Through, target, home: Some(Box::new(other)), named: false }
    }

    /// To the provider that the path names. Another pool of Gemini's is met in the dialects that the gateway's own would be;
    /// whoever names one of another kind speaks its dialect.
    fn at(other: Beside<S>, target: PathAndQuery, dialects: Dialects, headers: &HeaderMap) -> Self {
        let way = match other.dialect {
            Dialect::Gemini => {
                Way::of(Dialects { provider: Dialect::Gemini, ..dialects }, (headers, &target.clone().into()))
            }
            _ => Way::Through,
        };
        match way {
            Way::Nowhere(dialect) | Way::Mistaken(dialect) => Self::own(dialect, way),
            Way::Translated(dialect, _) => {
                Self { dialect, way, target: Some(target), home: Some(Box::new(other)), named: true }
            }
            Way::Moved(target) => Self { named: true, ..Self::through(other, Some(target)) },
            _ => Self { named: true, ..Self::through(other, Some(target)) },
        }
    }

    /// Gives the head of the request the path that its provider knows.
    pub(in crate::gateway) fn direct(&mut self, uri: &mut Uri) {
        if let Some(target) = self.target.take() {
            redirect(uri, target);
        }
    }
}

impl<S: Clone> Others<S> {
    /// Chooses by what the client asked for. `way` is what becomes of it at the gateway's own provider.
    pub(in crate::gateway) fn choose(
        &self,
        dialects: Dialects,
        (method, headers, uri): (&Method, &HeaderMap, &Uri),
        dialect: Dialect,
        way: Way,
    ) -> Chosen<S> {
        if uri.path().starts_with(FRONT) {
            return match self.named_in(uri) {
                Some((other, target)) => Chosen::at(other, target, dialects, headers),
                None => Chosen::own(dialect, Way::Unnamed(dialect)),
            };
        }
        if self.is_empty() {
            return Chosen::own(dialect, way);
        }
        let path = uri.path();
        if dialects.provider == Dialect::Gemini && path.starts_with("/v1beta/models") {
            let home = model_in(path).and_then(|model| self.with_model(Dialect::Gemini, &model));
            return Chosen { home: home.map(Box::new), ..Chosen::own(dialect, way) };
        }
        let (asked, rest) = match forced(path) {
            Some((asked, rest)) => (asked, Some(behind(rest, "/v1").unwrap_or(rest))),
            None => (spoken(dialects.provider, (headers, uri)), behind(path, "/v1")),
        };
        let is_forced = forced(path).is_some();
        let provider = dialects.provider;
        let speaks = self.first(asked);
        if asked == Dialect::Gemini {
            let named = model_in(path).and_then(|model| self.with_model(asked, &model));
            let Some(other) = named.or_else(|| speaks.filter(|_| provider != Dialect::Gemini)) else {
                return Chosen::own(dialect, way);
            };
            return Chosen::through(other, unprefixed(uri));
        }
        let Some(rest) = rest else { return Chosen::own(dialect, way) };
        if let Some(task) = task(asked, rest) {
            // What else its API has at such a path (a list of what was stored, a model's end) is its provider's, as it comes.
            if *method != task.method() {
                match speaks {
                    _ if provider == asked => return Chosen::own(dialect, way),
                    Some(other) => return Chosen::through(other, versioned(uri, rest)),
                    None => {}
                }
            }
            // The gateway's own takes what nobody names, but where the path names a dialect that another has.
            let home = match provider {
                Dialect::Gemini if is_forced => speaks,
                Dialect::Gemini => None,
                provider if provider == asked => None,
                _ => match speaks.or_else(|| self.first(Dialect::Gemini)) {
                    None => return Chosen::own(dialect, way),
                    home => home,
                },
            };
            return Chosen { home: home.map(Box::new), ..Chosen::own(asked, Way::Translated(asked, task)) };
        }
        match (speaks, &way) {
            (Some(other), Way::Nowhere(_) | Way::Foreign(_) | Way::Mistaken(_)) => {
                Chosen::through(other, versioned(uri, rest))
            }
            (Some(other), _) if provider != asked && (is_forced || provider != Dialect::Gemini) => {
                Chosen::through(other, versioned(uri, rest))
            }
            _ => Chosen::own(dialect, way),
        }
    }
}

/// The dialect of a path that names none. Where the gateway's own provider is not Gemini, a request is for Gemini only
/// if it says so.
fn spoken(provider: Dialect, head: (&HeaderMap, &Uri)) -> Dialect {
    let (headers, uri) = head;
    let path = uri.path();
    let native = headers.contains_key("x-goog-api-key")
        || ["/v1beta", "/upload/", "/v1alpha"].iter().any(|front| path.starts_with(front));
    let spoken = match behind(path, "/v1") {
        Some(rest) => unforced(rest, head),
        None => by_credential(head, false),
    };
    if provider != Dialect::Gemini && spoken == Dialect::Gemini && !native { provider } else { spoken }
}

/// A path behind the version, as providers of other dialects know it.
fn versioned(uri: &Uri, rest: &str) -> Option<PathAndQuery> {
    with_path(uri, &format!("/v1{rest}"))
}

/// The model that a native path names: `/v1beta/models/NAME:verb`.
pub(in crate::gateway) fn model_in(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/gemini").unwrap_or(path);
    let rest = rest.strip_prefix("/v1beta").or_else(|| rest.strip_prefix("/v1"))?.strip_prefix("/models/")?;
    let name = percent_decode_str(rest).decode_utf8().ok()?;
    Some(name.split(':').next().unwrap_or_default().to_owned()).filter(|name| !name.is_empty())
}

/// What is read before it goes on, though it goes on as it came, to the gateway's own `provider` or the one beside it: streams
/// that say what they cost only where they are asked to, what may go on from an answer that one account alone has, and bodies
/// in which nobody else looks for a model, forms and packed ones. The dialect of its provider then, and how the own one is met.
pub(in crate::gateway) fn is_read_on_its_way<S>(
    way: &Way,
    (provider, pool, beside): (Dialect, Option<&KeyPool>, Option<&Beside<S>>),
    head: &Parts,
) -> Option<(Dialect, Task, Own)> {
    // Others list what was said, by the same path.
    let lists = head.method == Method::GET;
    if !(lists || head.method == Method::POST) || !matches!(way, Way::Through | Way::Moved(_)) {
        return None;
    }
    let path = head.uri.path();
    let (dialect, rest, own) = match beside.map_or(provider, |beside| beside.dialect) {
        Dialect::Gemini => (Dialect::OpenAi, behind(path, COMPATIBLE)?, Own::Compatible),
        dialect => (dialect, behind(path, "/v1")?, Own::Speaks(dialect)),
    };
    let task = task(dialect, rest).or_else(|| other_task(dialect, rest))?;
    let is_read = match &task {
        // Each account tells its own alone.
        Task::Models | Task::Model(_) => lists && own != Own::Compatible,
        _ if lists => false,
        Task::Chat | Task::Complete if dialect == Dialect::OpenAi => true,
        // It may run code where an account's container is.
        Task::Chat => {
            let pool = beside.map_or(pool, |beside| beside.pool.as_ref());
            pool.is_some_and(KeyPool::has_several_owners) || hides_its_model(&head.headers)
        }
        Task::Respond | Task::CountResponse | Task::Other(COMPACT)
            if dialect == Dialect::OpenAi && own != Own::Compatible =>
        {
            true
        }
        _ => hides_its_model(&head.headers),
    };
    is_read.then_some((dialect, task, own))
}

/// Whether a body is a form or packed.
fn hides_its_model(headers: &HeaderMap) -> bool {
    const FORM: &[u8] = b"multipart/form-data";
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.as_bytes().get(..FORM.len()));
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(FORM)) || headers.contains_key(header::CONTENT_ENCODING)
}

/// What is done for tenants at a provider that is not Gemini's: calls that name a model and leave nothing behind. What
/// else is made there is nobody's, so that it is for whoever has the one token.
pub(in crate::gateway) fn for_tenants(dialect: Dialect, path: &str) -> Option<Task> {
    if dialect == Dialect::Gemini {
        return None;
    }
    let rest = behind(path, "/v1").unwrap_or(path);
    task(dialect, rest).or_else(|| other_task(dialect, rest))
}
