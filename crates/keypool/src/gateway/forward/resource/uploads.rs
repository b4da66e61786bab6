//! Where what a tenant makes goes: files, stores of them, caches and interactions that are made one after the other lie
//! together, so that one request can name them all.

use std::sync::Arc;

use http::{Method, request::Parts};
use tower_keypool::{Affinity, Demand, KeyId};

use super::{
    By, Resources,
    named::Subject,
    runs::{Claim, Whose},
};
use crate::gateway::{admit::tenant::Tenant, forward::affinity::Session, unix_time::unix_ms};

/// What a request makes that a later one may name beside others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Making {
    /// A file, a store of files, or a cache.
    Thing,
    /// An interaction. As other calls, those of a tenant are to have the limits of all projects, unless something was made
    /// of late.
    Answer,
}

impl Making {
    fn of(parts: &Parts, subject: &Subject) -> Option<Self> {
        if *subject != Subject::Other || parts.method != Method::POST {
            return None;
        }
        let path = parts.uri.path().trim_end_matches('/');
        match path.rsplit('/').next().unwrap_or_default() {
            "files" if path.starts_with("/upload/") => Some(Self::Thing),
            "files:register" | "fileSearchStores" | "cachedContents" => Some(Self::Thing),
            "interactions" => Some(Self::Answer),
            _ => None,
        }
    }
}

/// A request that makes something, which what is made next follows.
#[derive(Debug)]
pub(super) struct Led {
    whose: Whose,
    /// The first of a run has a claim to be followed, until it was made.
    _claim: Option<Claim>,
    answer: bool,
}

impl Whose {
    /// What a request makes: its tenant's, or its session's where it names one.
    fn of(tenant: &Tenant, parts: &Parts) -> Self {
        let session = parts.extensions.get::<Session>().map(|Session(number)| *number);
        Self { tenant: Arc::clone(tenant.name()), session }
    }
}

impl Resources {
    /// What a tenant makes goes to where the things before it lie, of its session where one is named; to what it names, if
    /// it names something. So does a call of a session in which something was made.
    pub(super) async fn lead(
        &self,
        tenant: &Tenant,
        parts: &mut Parts,
        (subject, names): (&Subject, &[String]),
    ) -> Option<Led> {
        let making = Making::of(parts, subject);
        let is_of_session = *subject == Subject::Call && parts.extensions.get::<Session>().is_some();
        if making.is_none() && !is_of_session {
            return None;
        }
        let whose = Whose::of(tenant, parts);
        let answer = making != Some(Making::Thing);
        let led = |whose, claim| making.map(|_| Led { whose, _claim: claim, answer });
        if !names.is_empty() {
            return led(whose, None);
        }
        let (way, claim) = match making {
            Some(Making::Thing) => self.0.runs.next(&whose, &self.0.clock).await,
            Some(Making::Answer) | None => (self.0.runs.firm(&whose, unix_ms(&self.0.clock)), None),
        };
        // Whoever is out of a model for the day is of no use to what it will be asked about.
        let lasts = |way: &Affinity| self.0.pool.as_ref().is_none_or(|pool| !pool.is_outlasted(way));
        let way = way.filter(lasts).or_else(|| {
            // A session's first thing goes to where its calls do.
            let near = whose.session.map(Affinity::Near).filter(|_| !answer);
            near.filter(lasts).or((!answer).then_some(Affinity::Lasting))
        });
        if let Some(way) = way {
            let demand = parts.extensions.remove::<Demand>().unwrap_or_default();
            parts.extensions.insert(demand.affinity(way));
        }
        led(whose, claim)
    }

    /// What leads to where these things lie is known: a request names them.
    pub(super) fn lead_after(
        &self,
        tenant: &Tenant,
        parts: &Parts,
        (subject, names): (&Subject, &[String]),
        way: &Affinity,
    ) {
        let whose = Whose::of(tenant, parts);
        let (now, calls) = (unix_ms(&self.0.clock), *subject == Subject::Call);
        if calls {
            self.was_asked_about(tenant, way);
        }
        // What is added to a conversation, or to a store, had better lie where that does.
        let goes_on = match subject {
            Subject::Call => whose.session.is_some(),
            Subject::Named(name) => name.starts_with("fileSearchStores/"),
            _ => Making::of(parts, subject) == Some(Making::Answer) && names.iter().any(|name| !is_file(name)),
        };
        if goes_on && parts.method != Method::DELETE {
            // Who merely looks at one may be busy with others.
            self.0.runs.answered(&whose, way.clone(), now, parts.method == Method::POST);
        }
    }

    /// Something of these was made with this key.
    pub(super) fn led(&self, led: &Led, key: &KeyId) {
        let Some(way) = self.leads(&By { key: key.to_string(), owner: None }) else { return };
        let now = unix_ms(&self.0.clock);
        if led.answer {
            self.0.runs.answered(&led.whose, way, now, false);
        } else {
            self.0.runs.began(&led.whose, way, now);
        }
    }

    /// A part of a tenant's file went to where this way leads.
    pub(in crate::gateway) fn upload_went_on(&self, tenant: &Tenant, way: &Affinity) {
        self.0.runs.went_on(tenant.name(), way, unix_ms(&self.0.clock));
    }

    /// A model is asked about what this way leads to.
    pub(in crate::gateway) fn was_asked_about(&self, tenant: &Tenant, way: &Affinity) {
        self.0.runs.end(tenant.name(), way);
    }
}

fn is_file(name: &str) -> bool {
    name.starts_with("files/")
}
