//! Models of lists that the provider does not know. Each request that gets to one pays for it with a call or two, so that those
//! which come next pass it by for a while.
//!
//! What is not known may be the model, or what it is asked to do: it is remembered of both together, so that a misspelt method
//! takes the model from nobody else. A model that served of late is known, whatever a key that may not use it hears.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{StatusCode, request::Parts};
use memchr::memmem;

use super::Plan;
use crate::{
    provider::{ModelIn, Provider},
    time::Tick,
    verdict::{Until, Verdict, VerdictKind},
};

/// So long it is passed by: a model that comes is found soon.
const PASSED_BY: Duration = Duration::from_secs(120);
/// So long a good answer says that there is one.
const KNOWN: Duration = Duration::from_secs(60 * 60);
/// So many are remembered: hardly any list names more.
const MOST: usize = 256;

/// What a request asks a model to do: its method and path, whatever the model in it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Form(u64);

/// What was heard of a model last.
#[derive(Clone, Copy)]
enum Heard {
    Served(Tick),
    Unknown(Tick),
}

impl Heard {
    fn is_old(self, now: Tick) -> bool {
        match self {
            Self::Served(at) => now.since(at) >= KNOWN,
            Self::Unknown(at) => now.since(at) >= PASSED_BY,
        }
    }
}

/// What lists name, and what was heard of it.
#[derive(Default)]
pub(super) struct Unknown {
    /// Whoever asks cannot know what looks the same as something else.
    forms: RandomState,
    heard: Mutex<HashMap<(Arc<str>, Form), Heard>>,
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unknown").finish_non_exhaustive()
    }
}

impl Unknown {
    /// What a request asks for, before it names another model.
    pub(super) fn form(&self, head: &Parts, provider: &dyn Provider) -> Form {
        let path = head.uri.path().as_bytes();
        let model = match provider.asks(head).model {
            ModelIn::Head(model) => memmem::find(path, model.as_bytes()).map(|at| at..at + model.len()),
            _ => None,
        };
        let (front, behind) = model.map_or((path, &b""[..]), |model| (&path[..model.start], &path[model.end..]));
        Form(self.forms.hash_one((&head.method, front, behind)))
    }

    /// The plan without those that are passed by; as it was where nothing would be left of it.
    pub(super) fn passed_by(&self, plan: Plan, form: Form, now: Tick) -> Plan {
        let heard = self.lock();
        if heard.is_empty() {
            return plan;
        }
        plan.passing_by(|model| {
            let heard = heard.get(&(Arc::clone(model), form));
            heard.is_some_and(|heard| matches!(heard, Heard::Unknown(_)) && !heard.is_old(now))
        })
    }

    /// A model of a list was asked for, and this came of it.
    pub(super) fn hear(&self, model: &Arc<str>, form: Form, verdict: &Verdict, now: Tick) {
        let is_unknown = verdict.kind() == VerdictKind::ModelUnavailable
            && verdict.status_of() == Some(StatusCode::NOT_FOUND)
            && verdict.until_of() == Until::Now
            && verdict.is_named();
        if !is_unknown && !verdict.is_success() {
            return;
        }
        let mut heard = self.lock();
        let what = (Arc::clone(model), form);
        let before = heard.get(&what).filter(|before| !before.is_old(now));
        if is_unknown && matches!(before, Some(Heard::Served(_))) {
            return;
        }
        if heard.len() >= MOST && !heard.contains_key(&what) {
            heard.retain(|_, heard| !heard.is_old(now));
            if heard.len() >= MOST {
                return;
            }
        }
        heard.insert(what, if is_unknown { Heard::Unknown(now) } else { Heard::Served(now) });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Arc<str>, Form), Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
