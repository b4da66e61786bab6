//! What a request needs of a key.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{AllowedModels, ByModel, Granted, Lease, Meter, Particulars, Prepared, Retold, WaitingRoom};
use crate::{key::KeyId, limit::Need, provider::NamedIn, verdict::Verdict};

/// What a request needs: which lane, how much of its limits, for how long it may wait.
///
/// A `&str` is a demand for one request of that model. As a request extension it wins over what the layers derive.
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::Demand;
///
/// let demand = Demand::new("gemini-2.5-flash").tokens(12_000).wait(Duration::from_secs(5));
/// assert_eq!(demand.model(), Some("gemini-2.5-flash"));
/// ```
#[derive(Clone, Default)]
pub struct Demand {
    pub(crate) model: Option<Arc<str>>,
    /// Requests; 0 stands for the default of 1.
    pub(crate) requests: u32,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) images: u32,
    /// The tokens are a guess: never a reason to refuse.
    pub(crate) estimated: bool,
    /// Not counted against any lane's windows (a list of models): still a start of its key.
    pub(crate) free: bool,
    pub(crate) wait: Option<Duration>,
    pub(crate) affinity: Affinity,
    /// A lease that the retry policy took already.
    pub(crate) prepared: Option<Arc<Prepared>>,
    /// Who re-stamps the start when the connection takes the body.
    pub(crate) on_grant: Option<Arc<dyn OnGrant>>,
    /// The lease is taken ahead of the request: it counts from when its start is said, or not at all.
    pub(crate) ahead: bool,
    pub(crate) particulars: Particulars,
    /// Where its model is named.
    pub(crate) named_in: NamedIn,
    /// It names nothing that only some owner's keys see.
    pub(crate) names_nothing: bool,
}

/// Says whether so many bytes of an answer may be held.
pub(crate) type MayHold = Arc<dyn Fn(usize) -> bool + Send + Sync>;

/// Is told which lease a request goes out with.
pub(crate) trait OnGrant: Send + Sync {
    fn granted(&self, granted: &Granted);
}

/// Which owner or key must, or had better, serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Affinity {
    /// Any.
    #[default]
    Any,
    /// Only this owner's keys.
    MustOwner(Arc<str>),
    /// This owner's keys where one is ready, else any.
    RatherOwner(Arc<str>),
    /// Only this key.
    MustKey(KeyId),
    /// This key where it is ready, else any.
    RatherKey(KeyId),
    /// The owner that this number leads to: always the same one while it is well and not busier than the others, else the next.
    /// For requests that begin alike, whose beginning a provider keeps for a while (a prompt cache).
    Near(u64),
    /// Any, but rather an owner who is out of no model for long (a day's quota that is gone, say). For what makes something that a
    /// model is asked about later, while nobody knows yet which model. Only for what is rare: each key is looked at in each lane.
    Lasting,
}

impl Demand {
    /// One request of this model.
    pub fn new(model: impl Into<Arc<str>>) -> Self {
        Self { model: Some(model.into()), ..Self::default() }
    }

    /// One request that names no model: it counts in the lane that all such requests share, by the limits of `*`.
    pub fn any_model() -> Self {
        Self::default()
    }

    /// How many requests it costs (a batch embedding costs one an item); 1 unless set, at least 1.
    #[must_use]
    pub fn requests(mut self, requests: u32) -> Self {
        self.requests = requests.max(1);
        self
    }

    /// Prompt tokens it needs. A demand larger than every limit is refused at once.
    #[must_use]
    pub fn tokens(mut self, tokens: u64) -> Self {
        self.input_tokens = tokens;
        self.estimated = false;
        self
    }

    /// Prompt tokens it probably needs: cut to the largest limit rather than refused.
    #[must_use]
    pub fn about_tokens(mut self, tokens: u64) -> Self {
        self.input_tokens = tokens;
        self.estimated = true;
        self
    }

    /// Tokens of the answer to reserve.
    #[must_use]
    pub fn output_tokens(mut self, tokens: u64) -> Self {
        self.output_tokens = tokens;
        self
    }

    /// Images to reserve.
    #[must_use]
    pub fn images(mut self, images: u32) -> Self {
        self.images = images;
        self
    }

    /// How long it may wait for a key. Zero: fail at once. Unset: the layer's or pool's own.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Which owner or key must, or had better, serve.
    #[must_use]
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = affinity;
        self
    }

    /// The key is taken ahead of the request: it counts from when the request [starts](crate::Lease::started), and not
    /// at all where the lease is dropped before. Until then its place in the limits is provisional.
    #[must_use]
    pub fn ahead(mut self) -> Self {
        self.ahead = true;
        self
    }

    /// The request goes out with this lease, which was taken before (best [`ahead`](Self::ahead)): for whoever must know
    /// when the waiting ends and the request begins. A lease of another pool than the rotation's is refused, and given back.
    #[must_use]
    pub fn leased(mut self, lease: Lease) -> Self {
        let prepared = Prepared::default();
        prepared.put(lease);
        self.prepared = Some(Arc::new(prepared));
        self
    }

    /// It names something that only its owner's keys see: a file, a cache, an operation. An answer that refuses it without
    /// a cause of the key's (a 403 or 404 that names none) then says nothing of any key.
    #[must_use]
    pub fn of_resource(mut self) -> Self {
        self.particulars.of_resource = true;
        self
    }

    /// It makes something that stays: a batch, a file, a video, an answer that goes on being made.
    ///
    /// Where the answer, or the lack of one, leaves open whether it was made ([`Verdict::may_have_been_done`]), the request is not
    /// sent again, and the caller decides. A second one would be paid for, too, and lie with another key, where nobody asks for it.
    /// What was refused goes to another key as ever. Providers say this of the paths that they know
    /// ([`Asks::once`](crate::Asks::once)). Where the body asks for it (`"background": true`), whoever sends it says so.
    ///
    /// ```
    /// use http::Request;
    /// use tower_keypool::Demand;
    ///
    /// let batch = Request::post("/v1beta/models/gemini-2.5-flash:batchGenerateContent")
    ///     .extension(Demand::any_model().once())
    ///     .body("{}")?;
    /// # let _ = batch;
    /// # Ok::<_, http::Error>(())
    /// ```
    ///
    /// [`Verdict::may_have_been_done`]: crate::Verdict::may_have_been_done
    #[must_use]
    pub fn once(mut self) -> Self {
        self.particulars.once = true;
        self
    }

    /// It names something that was made for its model, as Gemini's cached contents are. So no other model of a list serves it, and
    /// an alias stands for the first of its list. The layers do not look for such things in a body: whoever sends it says so.
    #[must_use]
    pub fn keeps_model(mut self) -> Self {
        self.particulars.keeps_model = true;
        self
    }

    /// Its body is written for `model`, and `anew` writes it for any other one: bodies for different models differ by more than a
    /// name. `anew` is asked where a request [steps down](crate::ModelFallbackLayer), or where an alias stands for another than
    /// `model`; where it gives nothing, that is not done. The body must be one that can be
    /// [rewritten](crate::TryClone::rewrite).
    #[must_use]
    pub fn written_for(
        mut self,
        model: impl Into<Arc<str>>,
        anew: impl Fn(&str) -> Option<Vec<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        self.particulars.written = Some(ByModel { model: model.into(), anew: Arc::new(anew) });
        self
    }

    /// It names nothing that only some owner's keys see: no file, no cache. A refusal that may mean such a thing (Gemini's
    /// "The caller does not have permission") then speaks of the key. The key is suspect for the model where another key
    /// serves this very request.
    #[must_use]
    pub fn names_nothing(mut self) -> Self {
        self.names_nothing = true;
        self
    }

    /// Of a list of models only those that `allowed` says yes to may serve it. An alias stands for all of its list: who may
    /// ask for it may have any of them.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tower_keypool::Demand;
    ///
    /// let cheap = Demand::any_model().only_models(Arc::new(|model| model.ends_with("-lite")));
    /// # let _ = cheap;
    /// ```
    #[must_use]
    pub fn only_models(mut self, allowed: AllowedModels) -> Self {
        self.particulars.allowed = Some(allowed);
        self
    }

    /// Tells `meter` what the answer cost, as it passes.
    #[must_use]
    pub fn metered(mut self, meter: Arc<Meter>) -> Self {
        self.particulars.meter = Some(meter);
        self
    }

    /// Whoever reads its answer tells it in other words, as a translation does: a [`KeyMask`](crate::KeyMask) comes with it.
    #[must_use]
    pub fn retold(mut self) -> Self {
        self.particulars.retold.get_or_insert(Retold::Flowing);
        self
    }

    /// As [`retold`](Self::retold), where all of the answer is read before anything of it is told. A good answer that is no stream
    /// is held to its end, up to 64 MiB. One that breaks off before is a fault of the provider, and the request may be sent again; so is
    /// JSON that lacks its end, and of a POST an answer (200) of nothing.
    #[must_use]
    pub fn retold_whole(mut self) -> Self {
        self.particulars.retold = Some(Retold::Whole);
        self
    }

    /// Of an answer that is [retold whole](Demand::retold_whole) no more is held than `may` allows. It is asked as the answer
    /// grows, with the number of bytes so far. Once it says no, what is there is handed up, and the rest as it comes. For whoever
    /// bounds many answers together.
    #[must_use]
    pub fn held_while(mut self, may: impl Fn(usize) -> bool + Send + Sync + 'static) -> Self {
        self.particulars.may_hold = Some(Arc::new(may));
        self
    }

    /// The room where it waits, if it must. Unset: the one of all demands that name none ([`KeyPool::bound_waiting`]).
    ///
    /// [`KeyPool::bound_waiting`]: crate::KeyPool::bound_waiting
    #[must_use]
    pub fn waiting_in(mut self, room: &Arc<WaitingRoom>) -> Self {
        self.particulars.room = Some(Arc::clone(room));
        self
    }

    /// The model it asks for.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether nobody may send it again after this, with whatever key or model.
    pub(crate) fn ends_with(&self, verdict: &Verdict) -> bool {
        self.particulars.once && verdict.may_have_been_done()
    }

    /// The place in line that the request's first attempt had: a retry keeps it.
    pub(crate) fn first_ticket(&self) -> Option<u64> {
        self.particulars.earlier()?.first().map(|attempt| attempt.seq)
    }

    /// Whether somebody says later when the request starts; until then its place is provisional.
    pub(crate) fn starts_later(&self) -> bool {
        self.ahead || self.on_grant.is_some()
    }

    /// How many requests it costs.
    pub fn cost(&self) -> u32 {
        self.requests.max(1)
    }

    /// All of it.
    #[inline]
    pub(crate) fn need(&self) -> Need {
        Need {
            requests: self.cost(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            images: self.images,
        }
    }
}

impl From<&str> for Demand {
    fn from(model: &str) -> Self {
        Self::new(model)
    }
}

impl From<String> for Demand {
    fn from(model: String) -> Self {
        Self::new(model)
    }
}

impl fmt::Debug for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demand")
            .field("model", &self.model)
            .field("requests", &self.cost())
            .field("input_tokens", &self.input_tokens)
            .field("wait", &self.wait)
            .field("affinity", &self.affinity)
            .field("earlier", &self.particulars.earlier.as_deref().unwrap_or_default().len())
            .finish_non_exhaustive()
    }
}
