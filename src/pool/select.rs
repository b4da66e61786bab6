//! Selects the key that serves a request.

use std::{sync::Arc, time::Duration};

use super::{
    breaker::{Gate, Target},
    model::ModelIx,
    registry::{KeyData, ProjectIx, Slot},
    request::{Affinity, KeyRequest},
    state::{Now, State},
    strategy::{Granted, LAST},
    unavailable::{Unavailable, UnavailableReason as Reason},
};
use crate::{
    limit::{Cost, FullReason, Reservation, Room},
    store::ReservedAt,
    time::Tick,
};

/// Maximum number of keys of one priority that are skipped for one request.
const MAX_SKIPPED: usize = 256;

/// A granted key, with everything that its end must undo or report.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) slot: Slot,
    pub(crate) generation: u32,
    pub(crate) key: Arc<KeyData>,
    pub(crate) project: ProjectIx,
    pub(crate) project_name: Arc<str>,
    /// The requested model.
    pub(crate) model_name: Option<Arc<str>>,
    /// The model whose windows and list of keys were used.
    pub(crate) model: ModelIx,
    pub(crate) started: Tick,
    /// When the key's previous request started.
    pub(crate) started_before: Tick,
    pub(crate) reservation: Option<Reservation>,
    /// The tokens of the prompt if they are an estimate, else 0.
    pub(crate) estimated_tokens: u64,
    /// The time and date at which the store counts the reservation.
    pub(crate) stored: Option<ReservedAt>,
    /// The breakers for which this request is the trial.
    pub(crate) trials: Vec<Target>,
    /// Whether it was over an assumed limit.
    pub(crate) over_assumed: bool,
    /// Whether it is the one request of its project and model that tests the assumed limit.
    pub(crate) probe: bool,
}

/// Why no key was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocked {
    /// When a key may wake, if known.
    pub(crate) until: Option<Tick>,
    /// Whether waiting cannot help.
    pub(crate) permanent: bool,
    reasons: [u32; Reason::COUNT],
}

/// Whether a key may serve a request.
enum Readiness {
    Ready {
        over_assumed: bool,
    },
    /// Not before a tick, for all requests of the model.
    Until(Tick, Reason),
    /// Not until a target changes, for all requests of the model.
    BlockedBy(Target, Reason),
    /// Not for this request, but other requests may use it.
    NotThisRequest(Option<Tick>, Reason),
}

/// What the first key of a level means for a request.
enum Step {
    Found,
    /// The key is over its assumed limit. It is used if that is allowed and no other key is under its own.
    OverAssumed(bool),
    /// Other requests may use it: it goes back with this rank. Whether it counts as skipped: in a shared list, any number
    /// of keys may be for other models, and must not hide a usable key behind them.
    Skip(u64, bool),
    /// No request of the model can use it now, or it moved behind the keys under their assumed limit.
    Blocked,
}

/// A key that may serve, and whether it is over an assumed limit.
pub(crate) type Found = (Slot, bool);

/// The input of a request's search for a key.
#[derive(Clone, Copy)]
pub(crate) struct Selection<'a> {
    pub(crate) request: &'a KeyRequest,
    /// The model of the requested name, to which breakers apply.
    pub(crate) requested: ModelIx,
    /// The model whose windows and list of keys it uses: the same, or one that several names share.
    pub(crate) effective: ModelIx,
    /// The expected cost.
    pub(crate) cost: Cost,
    /// Whether the request may exceed an assumed limit although another one is testing it, since it cannot wait.
    pub(crate) may_exceed_assumed: bool,
}

impl<'a> Selection<'a> {
    pub(crate) fn new(state: &State, request: &'a KeyRequest, may_exceed_assumed: bool) -> Self {
        let (requested, effective) = state.models_of(request);
        let cost = state.models.cost(effective, request.cost);
        Self { request, requested, effective, cost, may_exceed_assumed }
    }
}

/// Finds a key and takes it.
pub(crate) fn select(state: &mut State, selection: &Selection<'_>, now: Now) -> Result<Grant, Blocked> {
    let found = find(state, selection, now)?;
    Ok(take(state, selection, found, now))
}

/// Returns a ready key whose use would not be a trial, to offer to the store besides the taken one.
pub(crate) fn alternate(state: &mut State, selection: &Selection<'_>, now: Now) -> Option<Slot> {
    let (slot, over_assumed) = find(state, selection, now).ok()?;
    let is_trial = |target: Target| state.breakers.gate(target, now.tick) == Gate::Trial;
    (!over_assumed && !state.covering(slot, selection.requested).any(is_trial)).then_some(slot)
}

/// Takes the key that the store chose, if it is still ready.
pub(crate) fn take_alternate(
    state: &mut State,
    selection: &Selection<'_>,
    slot: Slot,
    generation: u32,
    now: Now,
) -> Option<Grant> {
    state.registry.get(slot).filter(|entry| entry.generation == generation)?;
    match readiness(state, selection, slot, now) {
        Readiness::Ready { over_assumed } => Some(take(state, selection, (slot, over_assumed), now)),
        _ => None,
    }
}

/// Finds a key for a request.
pub(crate) fn find(state: &mut State, selection: &Selection<'_>, now: Now) -> Result<Found, Blocked> {
    let mut blocked = Blocked { until: None, permanent: false, reasons: [0; Reason::COUNT] };
    if state.shut_down {
        blocked.permanent = true;
        return Err(blocked);
    }
    match state.breakers.gate(Target::Model(selection.requested), now.tick) {
        Gate::Pass | Gate::Trial => {}
        Gate::Until(until) => {
            blocked.until = Some(until);
            blocked.reasons[Reason::Cooling as usize] = state.registry.len() as u32;
            return Err(blocked);
        }
        gate @ (Gate::TrialUnderWay | Gate::Disabled) => {
            blocked.permanent = gate == Gate::Disabled;
            let reason = if blocked.permanent { Reason::Disabled } else { Reason::Trial };
            blocked.reasons[reason as usize] = state.registry.len() as u32;
            return Err(blocked);
        }
    }
    let found = match &selection.request.affinity {
        Affinity::RequireKey(_) | Affinity::RequireProject(_) => by_affinity(state, selection, now, &mut blocked),
        Affinity::PreferKey(_) | Affinity::PreferProject(_) => {
            let mut unused = blocked;
            by_affinity(state, selection, now, &mut unused).or_else(|| by_rank(state, selection, now, &mut blocked))
        }
        Affinity::Any => by_rank(state, selection, now, &mut blocked),
    };
    found.ok_or_else(|| {
        let waits = [Reason::Limit, Reason::DailyLimit, Reason::Cooling, Reason::Trial, Reason::Busy, Reason::Store];
        blocked.permanent =
            blocked.until.is_none() && waits.iter().all(|reason| blocked.reasons[*reason as usize] == 0);
        blocked
    })
}

/// Returns the ready key with the lowest priority number and rank.
fn by_rank(state: &mut State, selection: &Selection<'_>, now: Now, blocked: &mut Blocked) -> Option<Found> {
    let model = selection.effective;
    ensure_list(state, model);
    while let Some(slot) = state.scheduler.wake_due(model, now.tick) {
        state.make_ready(model, slot);
    }
    let mut skipped = Vec::new();
    let mut found = None;
    // Levels are the priorities in use, in order.
    for level in 0..state.scheduler.priorities(model) {
        // Whether some key is over its assumed limit while another request tests whether more is allowed.
        let mut probing = false;
        let mut skips = 0;
        while skips < MAX_SKIPPED
            && let Some((rank, slot)) = state.first_ready(model, level)
        {
            let (rank, counts) = match step(state, selection, level, (rank, slot), blocked, now) {
                Step::Found => {
                    found = Some((slot, false));
                    break;
                }
                Step::OverAssumed(may_exceed) => {
                    // A key behind it may be under its assumed limit again.
                    found = found.or(may_exceed.then_some((slot, true)));
                    probing |= !may_exceed;
                    (rank, true)
                }
                Step::Skip(rank, counts) => (rank, counts),
                Step::Blocked => continue,
            };
            state.scheduler.take_first(model, level);
            skipped.push((slot, rank));
            skips += usize::from(counts);
        }
        // An assumed limit neither refuses a request nor moves it to a later priority.
        if found.is_some() || probing {
            break;
        }
    }
    // Skipped keys go back with the rank that they had, since other requests may use them: a rank depends on the key's
    // load, which this request did not change. Those without room may go back behind all others.
    for (slot, rank) in skipped {
        if let Some((priority, _)) = state.rank(slot) {
            state.scheduler.ready(model, slot, priority, rank);
        }
    }
    if found.is_none() {
        blocked.until = earliest(blocked.until, state.scheduler.next_wake(model));
        for (count, more) in blocked.reasons.iter_mut().zip(state.scheduler.blocked(model)) {
            *count += more;
        }
    }
    found
}

/// Checks the first key of a level.
fn step(
    state: &mut State,
    selection: &Selection<'_>,
    level: usize,
    (mut rank, slot): (u64, Slot),
    blocked: &mut Blocked,
    now: Now,
) -> Step {
    let model = selection.effective;
    match readiness(state, selection, slot, now) {
        Readiness::Ready { over_assumed: false } => return Step::Found,
        // Keys under their assumed limit are used before it.
        Readiness::Ready { .. } if rank < LAST => state.scheduler.raise_first(model, level, slot, rank | LAST),
        Readiness::Ready { .. } => {
            let may_exceed = may_exceed(state, selection, slot);
            blocked.reasons[Reason::Limit as usize] += u32::from(!may_exceed);
            return Step::OverAssumed(may_exceed);
        }
        Readiness::Until(until, reason) => state.scheduler.block_until(model, slot, until, reason),
        Readiness::BlockedBy(target, reason) => state.scheduler.park(model, slot, target, reason),
        Readiness::NotThisRequest(until, reason) => {
            blocked.until = earliest(blocked.until, until);
            blocked.reasons[reason as usize] += 1;
            let lacks_room = matches!(reason, Reason::Limit | Reason::TooLarge) && state.registry.len() > MAX_SKIPPED;
            // Such a key stays behind the others until it is used, so it need not count on its way there.
            let counts = reason != Reason::Model && !(lacks_room && rank < LAST);
            // Keys without room go behind all others, the latest one last: they must not hide those that have room.
            if reason == Reason::Store || lacks_room {
                state.uses += 1;
                rank = state.uses | LAST;
            }
            return Step::Skip(rank, counts);
        }
    }
    Step::Blocked
}

/// Returns the best of the keys that the affinity names.
fn by_affinity(state: &mut State, selection: &Selection<'_>, now: Now, blocked: &mut Blocked) -> Option<Found> {
    ensure_list(state, selection.effective);
    let slots = match &selection.request.affinity {
        Affinity::RequireKey(id) | Affinity::PreferKey(id) => state.registry.find(id).into_iter().collect(),
        Affinity::RequireProject(name) | Affinity::PreferProject(name) => state
            .registry
            .find_project(name)
            .map_or_else(Vec::new, |project| state.registry.project(project).keys.clone()),
        Affinity::Any => Vec::new(),
    };
    let mut best = None::<Found>;
    let mut lowest = (false, (0, 0));
    for slot in slots {
        let (until, reason) = match readiness(state, selection, slot, now) {
            Readiness::Ready { over_assumed } => {
                if over_assumed && !may_exceed(state, selection, slot) {
                    blocked.reasons[Reason::Limit as usize] += 1;
                    continue;
                }
                let rank = state.rank(slot).unwrap_or_default();
                if best.is_none() || (over_assumed, rank) < lowest {
                    lowest = (over_assumed, rank);
                    best = Some((slot, over_assumed));
                }
                continue;
            }
            Readiness::Until(until, reason) => (Some(until), reason),
            Readiness::BlockedBy(_, reason) => (None, reason),
            Readiness::NotThisRequest(until, reason) => (until, reason),
        };
        blocked.until = earliest(blocked.until, until);
        blocked.reasons[reason as usize] += 1;
    }
    let listed: u32 = blocked.reasons.iter().sum();
    blocked.reasons[Reason::Affinity as usize] = (state.registry.len() as u32).saturating_sub(listed);
    best
}

/// Builds the model's list of keys if there is none yet.
fn ensure_list(state: &mut State, model: ModelIx) {
    if !state.scheduler.has(model) {
        let strategy = state.settings.strategy;
        let keys = state.registry.iter().map(|(slot, entry)| (slot, entry.data.priority, entry.rank(strategy)));
        state.scheduler.build(model, keys);
    }
}

/// Reports whether a request may exceed the assumed limit of a project, which one request at a time may test.
fn may_exceed(state: &State, selection: &Selection<'_>, slot: Slot) -> bool {
    let project = state.registry.get(slot).map(|entry| entry.project);
    selection.may_exceed_assumed
        || project.is_some_and(|project| !state.quotas.is_probing(project, selection.effective))
}

fn readiness(state: &mut State, selection: &Selection<'_>, slot: Slot, now: Now) -> Readiness {
    let Some(entry) = state.registry.get(slot) else { return Readiness::NotThisRequest(None, Reason::Disabled) };
    let Selection { request, requested, effective: model, .. } = *selection;
    if request.excluded.contains(&entry.data.id) {
        return Readiness::NotThisRequest(None, Reason::Tried);
    }
    // Several models share this list: a key in it may be blocked only by what applies to all of them.
    let shared = requested != model || request.model.is_some() && state.models.is_shared(model);
    if !entry.data.allows(request.model.as_deref()) {
        return if shared {
            Readiness::NotThisRequest(None, Reason::Model)
        } else {
            Readiness::BlockedBy(Target::Key(slot), Reason::Model)
        };
    }
    if !state.breakers.is_empty()
        && let Some(blocked) = blocked_by_breaker(state, slot, requested, shared, now)
    {
        return blocked;
    }
    if entry.data.max_concurrent.is_some_and(|max| entry.load.in_flight >= max) {
        return Readiness::BlockedBy(Target::Key(slot), Reason::Busy);
    }
    if let Some(interval) = entry.data.min_interval() {
        let opens = entry.last_start.plus(interval);
        if entry.last_start != Tick::ZERO && opens > now.tick {
            return Readiness::Until(opens, Reason::Limit);
        }
    }
    if request.uncounted {
        return Readiness::Ready { over_assumed: false };
    }
    if let Some(until) = state.quotas.full_until(entry.project, model, &selection.cost, now.tick) {
        // A smaller request may fit.
        return Readiness::NotThisRequest(Some(until), Reason::Store);
    }
    room(state, entry.project, model, &selection.cost, now)
}

/// Returns how a breaker blocks a key for a model, whose list of keys may be shared with others.
fn blocked_by_breaker(state: &State, slot: Slot, model: ModelIx, shared: bool, now: Now) -> Option<Readiness> {
    state.covering(slot, model).find_map(|target| {
        let (until, reason) = match state.breakers.gate(target, now.tick) {
            Gate::Pass | Gate::Trial => return None,
            Gate::Until(until) => (Some(until), Reason::Cooling),
            Gate::TrialUnderWay => (None, Reason::Trial),
            Gate::Disabled => (None, Reason::Disabled),
        };
        let of_model = matches!(target, Target::KeyModel(..) | Target::ProjectModel(..));
        Some(match until {
            _ if shared && of_model => Readiness::NotThisRequest(until, reason),
            Some(until) => Readiness::Until(until, reason),
            None => Readiness::BlockedBy(target, reason),
        })
    })
}

/// Returns whether the windows of a project and model have room.
fn room(state: &mut State, project: ProjectIx, model: ModelIx, cost: &Cost, now: Now) -> Readiness {
    let today = state.quotas.today(state.registry.project(project).zone, now);
    match state.quota(project, model).room(cost, now.tick, today) {
        Room::Free => Readiness::Ready { over_assumed: false },
        Room::OverAssumed => Readiness::Ready { over_assumed: true },
        Room::Full { until, reason } => match reason {
            FullReason::Window => Readiness::Until(until, Reason::Limit),
            FullReason::Day => Readiness::Until(until, Reason::DailyLimit),
            FullReason::CostTooLargeNow => Readiness::NotThisRequest(Some(until), Reason::Limit),
            FullReason::TooLarge => Readiness::NotThisRequest(None, Reason::TooLarge),
        },
    }
}

fn take(state: &mut State, selection: &Selection<'_>, (slot, over_assumed): Found, now: Now) -> Grant {
    let (model, asked) = (selection.effective, selection.request.cost);
    state.uses += 1;
    let entry = state.registry.get_mut(slot).expect("it was just found ready");
    entry.load.in_flight += 1;
    let started_before = std::mem::replace(&mut entry.last_start, now.tick);
    entry.counts.started = entry.counts.started.saturating_add(1);
    entry.load.granted(state.settings.strategy, Granted { key: &entry.data, uses: state.uses, pass: &mut state.pass });
    let (key, at, generation) = (Arc::clone(&entry.data), entry.project, entry.generation);
    let project = state.registry.project(at);
    let project_name = Arc::clone(&project.name);
    let today = state.quotas.today(project.zone, now);
    let reservation =
        (!selection.request.uncounted).then(|| state.quota(at, model).reserve(selection.cost, now.tick, today));
    let probe = over_assumed && !state.quotas.is_probing(at, model);
    if probe {
        state.quotas.begin_probe(at, model);
    }
    let is_trial = |target: &Target| state.breakers.gate(*target, now.tick) == Gate::Trial;
    let mut trials = Vec::new();
    if !state.breakers.is_empty() {
        trials.extend(state.covering(slot, selection.requested).filter(is_trial));
    }
    for trial in &trials {
        state.breakers.begin_trial(*trial, now.tick);
    }
    state.stats.in_flight += 1;
    state.rerank(slot);
    Grant {
        slot,
        generation,
        key,
        project: at,
        project_name,
        model_name: selection.request.model.clone(),
        model,
        started: now.tick,
        started_before,
        reservation,
        estimated_tokens: if asked.estimated { asked.amounts.input_tokens } else { 0 },
        stored: None,
        trials,
        over_assumed,
        probe,
    }
}

pub(super) fn earliest(one: Option<Tick>, other: Option<Tick>) -> Option<Tick> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Blocked {
    /// Reports whether no key can serve before this tick, because of cooldowns and daily limits. Other reasons may end
    /// early: the end of a request may free a slot, or tokens that it did not use.
    pub(crate) fn opens_after(&self, deadline: Tick) -> bool {
        let is_any = |reason: Reason| self.reasons[reason as usize] > 0;
        // A window of a minute has room sooner, so a longer refusal of the store is one of a daily limit.
        let soon = self.until.is_some_and(|until| until <= deadline.plus(Duration::from_secs(120)));
        let may_end_early =
            [Reason::Limit, Reason::Busy, Reason::Trial].into_iter().any(is_any) || (soon && is_any(Reason::Store));
        self.until.is_some_and(|until| until > deadline) && !may_end_early
    }

    /// Returns when to try again: each second if the store refused keys, since a refusal is forgotten before the key has
    /// room.
    pub(crate) fn wakes_at(&self, now: Now) -> Option<Tick> {
        let second = Tick::from_millis((now.tick.millis() + 1).next_multiple_of(1_000));
        earliest(self.until, (self.reasons[Reason::Store as usize] > 0).then_some(second))
    }

    /// Returns the error for the caller.
    pub(crate) fn to_unavailable(self, state: &State, request: &KeyRequest, now: Now) -> Unavailable {
        let mut reasons: Vec<_> = Reason::ALL
            .into_iter()
            .map(|reason| (reason, self.reasons[reason as usize] as usize))
            .filter(|(_, keys)| *keys > 0)
            .collect();
        reasons.sort_by_key(|(_, keys)| std::cmp::Reverse(*keys));
        // A key may become ready at any time.
        let is_busy = self.reasons[Reason::Busy as usize] + self.reasons[Reason::Trial as usize] > 0;
        let soon = is_busy.then(|| now.tick.plus(Duration::from_secs(1)));
        let until = earliest(self.until.filter(|until| *until != Tick::NEVER), soon);
        Unavailable {
            model: request.model.clone(),
            keys: state.registry.len(),
            reasons,
            retry_after: until.map(|until| until.since(now.tick)),
        }
    }
}
