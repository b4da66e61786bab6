//! What happens to keys, for `tracing`: the events of the pool under stable names, told when its mutex is free.
//! `docs/tracing.md` has the table.

use tracing::{Level, Span, debug, enabled, field, info, span_enabled, warn};

use super::{Event, Granted};
use crate::{key::Exit, verdict::Verdict};

/// A change of the roster that is told in any case.
pub(super) const MERGED: &str = "merged";

/// Whether anybody wants to hear of changes.
pub(super) fn hears_changes() -> bool {
    enabled!(target: "tower_keypool::events", Level::WARN)
}

/// Whether anybody wants to hear of single requests.
pub(super) fn hears_requests() -> bool {
    enabled!(target: "tower_keypool::events", Level::DEBUG)
}

/// Tells it to whoever subscribes.
pub(super) fn tell(event: &Event) {
    match event {
        Event::Rested { key, scope, exit, model, kind, code, cause, limit, rest } => info!(
            name: "keypool.rested", target: "tower_keypool::events",
            %key, scope = scope.word(), exit = exit.as_ref().map(Exit::name), model = model.as_deref(), verdict = kind.word(), code = code.as_str(),
            cause = cause.as_deref(), limit = limit.map(|limit| limit.to_string()), limit_amount = limit.and_then(|limit| limit.amount()),
            rest_seconds = rest.as_secs_f64(),
        ),
        Event::Disabled { key, scope, exit, model, kind, code, advice } => warn!(
            name: "keypool.disabled", target: "tower_keypool::events",
            %key, scope = scope.word(), exit = exit.as_ref().map(Exit::name), model = model.as_deref(), verdict = kind.word(), code = code.as_str(), advice = advice.as_str(),
            "switched off: it serves no more until somebody lifts that",
        ),
        Event::Held { keys } => warn!(
            name: "keypool.held", target: "tower_keypool::events", keys,
            "these keys failed for good at once: the fault may be elsewhere, and they rest for a while instead of being switched off",
        ),
        Event::Recovered { key, scope, exit, model } => info!(
            name: "keypool.recovered", target: "tower_keypool::events",
            %key, scope = scope.word(), exit = exit.as_ref().map(Exit::name), model = model.as_deref(),
        ),
        Event::Learned { key, model, limit, given } => info!(
            name: "keypool.learned", target: "tower_keypool::events",
            %key, model = model.as_deref(), %limit, limit_amount = limit.amount, given,
        ),
        // Where nobody asks for events this is heard all the same: it says that a configuration is not what it seems.
        Event::Contested { owner, model, limit, other } => warn!(
            name: "keypool.contested", target: "tower_keypool::pool::given",
            owner = owner.as_str(), model = &**model, %limit, limit_amount = limit.amount, other,
            "the keys of one owner were given different limits: the smaller holds",
        ),
        Event::Grouped { key, owner, keys } => warn!(
            name: "keypool.grouped", target: "tower_keypool::events",
            %key, owner = owner.as_str(), keys, "these keys belong to one owner: together they have one quota",
        ),
        Event::Spilled { key, priority, model } => debug!(
            name: "keypool.spilled", target: "tower_keypool::events", %key, priority, model = model.as_deref(),
        ),
        Event::Exhausted { model, reason, next_in } => debug!(
            name: "keypool.exhausted", target: "tower_keypool::events",
            model = model.as_deref(), reason = reason.map(|reason| reason.to_string()),
            next_seconds = next_in.map(|next| next.as_secs_f64()),
        ),
        Event::Roster { key, change } => {
            info!(name: "keypool.key_changed", target: "tower_keypool::events", %key, change);
            if *change == MERGED {
                warn!(
                    name: "keypool.secret_twice", target: "tower_keypool::pool::change",
                    %key, "this secret was given more than once: it is one key",
                );
            }
        }
        // A subscription of its own: each request has a span.
        Event::Leased { .. } => {}
    }
}

/// What an answer, or the lack of one, meant.
#[inline]
pub(super) fn judged(granted: &Granted, verdict: &Verdict) {
    debug!(
        name: "keypool.judged", target: "tower_keypool::events",
        key = %granted.key, model = granted.model.as_deref(), verdict = verdict.kind().word(),
        scope = verdict.scope_of().word(), code = verdict.code_of(), cause = verdict.cause_of(),
        http.response.status_code = verdict.status_of().map(|status| status.as_u16()),
    );
}

/// Whether anybody wants to hear of attempts.
#[inline]
pub(crate) fn traces_attempts() -> bool {
    span_enabled!(target: "tower_keypool::attempt", Level::INFO)
}

/// The span of one attempt, if anybody wants it: from the grant to the answer's head. On the heap, so that requests that
/// nobody traces stay small.
#[inline]
pub(crate) fn attempt(granted: &Granted) -> Option<Box<Span>> {
    traces_attempts().then(|| Box::new(begin(granted)))
}

#[cold]
fn begin(granted: &Granted) -> Span {
    tracing::info_span!(
        target: "tower_keypool::attempt", "keypool.attempt",
        otel.kind = "client",
        key = %granted.key,
        exit = granted.exit().as_ref().map(Exit::name),
        model = granted.model.as_deref(),
        attempt = granted.particulars.earlier.as_ref().map_or(0, |earlier| earlier.len()) + 1,
        verdict = field::Empty,
        http.response.status_code = field::Empty,
    )
}

/// What the attempt came to.
#[cold]
pub(crate) fn end(span: &Span, verdict: &Verdict) {
    span.record("verdict", verdict.kind().word());
    if let Some(status) = verdict.status_of() {
        span.record("http.response.status_code", status.as_u16());
    }
}
