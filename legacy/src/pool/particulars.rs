//! What few requests have.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use bytes::Bytes;

use super::{Attempt, Behind, Meter, WaitingRoom, demand::MayHold};

/// What few requests have, shared by a demand and its leases: all others carry an empty pointer. Reads as what it holds,
/// or as nothing of all that; written to, it is its holder's own.
#[derive(Clone, Default)]
pub(crate) struct Particulars(Option<Arc<Held>>);

/// The model that the caller asked for, what was tried before, and who is told the cost.
type Told = (Option<Arc<str>>, Option<Arc<[Attempt]>>, Option<Arc<Meter>>);

/// What stands there.
#[derive(Clone, Default)]
pub(crate) struct Held {
    /// The model that the caller asked for, where a fallback may take another.
    pub(crate) requested: Option<Arc<str>>,
    /// What was tried for the request before.
    pub(crate) earlier: Option<Arc<[Attempt]>>,
    /// Keys that met a limit in earlier attempts may carry it again, once their rests are over.
    pub(crate) anew: bool,
    /// No key that an earlier attempt went out with may carry it, whatever came of that.
    pub(crate) untried: bool,
    /// It names something that only its owner's keys see.
    pub(crate) of_resource: bool,
    /// Who is told what the answer cost.
    pub(crate) meter: Option<Arc<Meter>>,
    /// Where it waits.
    pub(crate) room: Option<Arc<WaitingRoom>>,
    /// Its answer is told in other words.
    pub(crate) retold: Option<Retold>,
    /// How much of an answer may be held that is told once all of it is there.
    pub(crate) may_hold: Option<MayHold>,
    /// Its body names a model, which nobody has seen.
    pub(crate) behind: Option<Behind>,
    /// The models of a list that it may have; unset: all.
    pub(crate) allowed: Option<AllowedModels>,
    /// It names something that was made for its model: no other is of use.
    pub(crate) keeps_model: bool,
    /// It makes something: not sent again where that may have been made.
    pub(crate) once: bool,
    /// Which model its body is written for, and who writes it for another.
    pub(crate) written: Option<ByModel>,
}

/// A body's model, and whoever writes it for others.
#[derive(Clone)]
pub(crate) struct ByModel {
    pub(crate) model: Arc<str>,
    pub(crate) anew: Arc<Anew>,
}

/// Writes a body for a model.
type Anew = dyn Fn(&str) -> Option<Vec<Bytes>> + Send + Sync;

/// Says of a model whether a request may have it.
pub type AllowedModels = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// How an answer comes that is told in other words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retold {
    /// As it comes.
    Flowing,
    /// Once all of it is there.
    Whole,
}

static NOTHING: Held = Held {
    requested: None,
    earlier: None,
    anew: false,
    untried: false,
    of_resource: false,
    meter: None,
    room: None,
    retold: None,
    may_hold: None,
    behind: None,
    allowed: None,
    keeps_model: false,
    once: false,
    written: None,
};

impl Particulars {
    /// What was tried before. Asked of every request: one look where there are none.
    #[inline]
    pub(crate) fn earlier(&self) -> Option<&Arc<[Attempt]>> {
        self.0.as_deref()?.earlier.as_ref()
    }

    /// Who is told what the answer cost; asked of every request, too.
    #[inline]
    pub(crate) fn meter(&self) -> Option<&Arc<Meter>> {
        self.0.as_deref()?.meter.as_ref()
    }

    /// Whether its answer is told in other words; asked of every answer.
    #[inline]
    pub(crate) fn retold(&self) -> Option<Retold> {
        self.0.as_deref()?.retold
    }

    /// What is told of an answer that `model` served.
    #[inline]
    pub(crate) fn told(&self, model: Option<&Arc<str>>) -> Told {
        let Some(held) = self.0.as_deref() else { return (model.cloned(), None, None) };
        (held.requested.as_ref().or(model).cloned(), held.earlier.clone(), held.meter.clone())
    }
}

impl Deref for Particulars {
    type Target = Held;

    #[inline]
    fn deref(&self) -> &Held {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Particulars {
    fn deref_mut(&mut self) -> &mut Held {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}
