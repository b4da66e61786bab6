//! What became of the last requests, for whoever has one to explain. Kept only where there is an administrator to ask.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Response, header};
use serde_json::{Value, json};
use tower_keypool::{Candidate, Clock, KeyPool, Meter, ServedBy, Step, Tick};

use super::line::without_keys;
use crate::gateway::{answer::exhausted::model_of, dialect::Because, unix_time::unix_ms};

/// So many requests are remembered, and for so long.
const REMEMBERED: usize = 256;
const KEPT: Duration = Duration::from_secs(600);
/// As much of a path. A key at the end of that is known by what follows.
const LONGEST_PATH: usize = 1024;
const KEPT_PATH: usize = 2 * LONGEST_PATH;
/// So many failed attempts.
const FAILURES: usize = 256;

/// The last requests, and the last attempts that failed.
#[derive(Debug)]
pub(crate) struct Trails {
    on: AtomicBool,
    clock: Clock,
    next: AtomicUsize,
    /// Each request has a slot of its own: whoever writes waits for nobody.
    slots: Box<[Mutex<Option<Trail>>]>,
    failures: Mutex<VecDeque<Failure>>,
    /// Paths are told without its keys. They are looked for when somebody asks, which is seldom.
    pool: OnceLock<KeyPool>,
}

/// A request that is followed.
#[derive(Debug)]
pub(in crate::gateway) struct Following {
    trails: Arc<Trails>,
    method: Method,
    /// Without the query: a token may stand there.
    path: Box<str>,
    began: Tick,
    meter: Arc<Meter>,
    /// Each key that is looked at is noted.
    pub(in crate::gateway) surveyed: bool,
}

#[derive(Debug)]
struct Trail {
    followed: Following,
    request: HeaderValue,
    tenant: Option<Arc<str>>,
    ended: Tick,
    /// `None`: the client left before.
    status: Option<u16>,
    model: Option<Box<str>>,
    retry_after: Option<HeaderValue>,
    because: Option<Because>,
}

/// An attempt that failed.
#[derive(Debug)]
struct Failure {
    request: HeaderValue,
    at: Tick,
    step: Step,
}

/// So many bytes of a text, or nearly.
fn beginning(text: &str, bytes: usize) -> &str {
    (0..4).find_map(|less| text.get(..bytes - less)).unwrap_or(text)
}

fn locked<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trails {
    pub(crate) fn new(clock: Clock) -> Self {
        let slots = (0..REMEMBERED).map(|_| Mutex::default()).collect();
        Self {
            on: AtomicBool::new(false),
            clock,
            next: AtomicUsize::new(0),
            slots,
            failures: Mutex::default(),
            pool: OnceLock::new(),
        }
    }

    /// What it tells shows no key of this pool.
    pub(in crate::gateway) fn hide_keys_of(&self, pool: KeyPool) {
        let _ = self.pool.set(pool);
    }

    /// Whether anybody could ask.
    pub(crate) fn turn(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    pub(in crate::gateway) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Follows a request.
    pub(in crate::gateway) fn follow(
        self: &Arc<Self>,
        method: &Method,
        path: &str,
        began: Tick,
        surveyed: bool,
    ) -> Following {
        let meter = Arc::new(if surveyed { Meter::surveying() } else { Meter::watching() });
        let (trails, method, path) = (Arc::clone(self), method.clone(), beginning(path, KEPT_PATH).into());
        Following { trails, method, path, began, meter, surveyed }
    }

    fn note(&self, trail: Trail) {
        let slot = self.next.fetch_add(1, Ordering::Relaxed) % REMEMBERED;
        *locked(&self.slots[slot]) = Some(trail);
    }

    fn note_failures(&self, request: &HeaderValue, meter: &Meter) {
        for step in meter.steps() {
            if let Step::Judged { at, kind, .. } = &step
                && *kind != tower_keypool::VerdictKind::Success
            {
                let failure = Failure { request: request.clone(), at: *at, step: step.clone() };
                let mut failures = locked(&self.failures);
                if failures.len() == FAILURES {
                    failures.pop_front();
                }
                failures.push_back(failure);
            }
        }
    }

    /// In Unix milliseconds.
    fn moment(&self, at: Tick) -> i64 {
        let ago = i64::try_from(self.clock.tick().since(at).as_millis()).unwrap_or(i64::MAX);
        unix_ms(&self.clock).saturating_sub(ago)
    }

    fn lasts(&self, trail: &Trail) -> bool {
        self.clock.tick().since(trail.ended) < KEPT
    }

    /// The last requests, latest first, on a line each.
    pub(crate) fn all(&self) -> Vec<Value> {
        let mut all: Vec<(Tick, Value)> = Vec::new();
        for slot in &self.slots {
            if let Some(trail) = locked(slot).as_ref().filter(|trail| self.lasts(trail)) {
                all.push((trail.ended, self.line(trail)));
            }
        }
        all.sort_by_key(|(ended, _)| std::cmp::Reverse(*ended));
        all.into_iter().map(|(_, line)| line).collect()
    }

    /// What became of a request.
    pub(crate) fn one(&self, request: &str) -> Option<Value> {
        let mut found: Option<(Tick, Value)> = None;
        for slot in &self.slots {
            let held = locked(slot);
            let Some(trail) = held.as_ref().filter(|trail| trail.request == request && self.lasts(trail)) else {
                continue;
            };
            // A client may call several so: the last one.
            if found.as_ref().is_none_or(|(ended, _)| trail.ended > *ended) {
                found = Some((trail.ended, self.whole(trail)));
            }
        }
        found.map(|(_, value)| value)
    }

    /// The last attempts that failed, latest first.
    pub(crate) fn failures(&self) -> Vec<Value> {
        let failures = locked(&self.failures);
        let told = failures.iter().rev().filter_map(|failure| {
            let Step::Judged { key, model, kind, scope, status, code, advice, .. } = &failure.step else { return None };
            Some(json!({
                "at": self.moment(failure.at), "request": text(&failure.request), "key": key, "model": model,
                "status": status, "verdict": kind, "scope": scope, "code": code, "sentence": advice,
            }))
        });
        told.collect()
    }

    fn line(&self, trail: &Trail) -> Value {
        let steps = trail.followed.meter.steps();
        let last = steps.iter().rev().find_map(|step| match step {
            Step::Judged { key, status, .. } => Some((key, *status)),
            _ => None,
        });
        let tried = steps.iter().filter(|step| matches!(step, Step::Granted { .. })).count();
        // Of a socket that is known later than its head.
        let model = || {
            steps
                .iter()
                .rev()
                .find_map(|step| if let Step::Granted { model, .. } = step { model.as_deref() } else { None })
        };
        let answered_by = match (trail.status, &trail.because, last) {
            (None, ..) => None,
            (_, None, Some((_, Some(_)))) => Some("provider"),
            _ => Some("gateway"),
        };
        json!({
            "request": text(&trail.request),
            "at": self.moment(trail.followed.began),
            "tenant": trail.tenant,
            "method": trail.followed.method.as_str(),
            "path": beginning(&without_keys(&trail.followed.path, self.pool.get()), LONGEST_PATH),
            "model": trail.model.as_deref().or_else(model),
            "key": last.map(|(key, _)| key),
            "status": trail.status,
            "ms": ms(trail.ended, trail.followed.began),
            "attempts": tried,
            // Whose status it is: a 429 of the gateway is not one of the provider.
            "answered_by": answered_by,
            "why": trail.because.as_ref().map(|Because(why)| why),
            "retry_after": trail.retry_after.as_ref().map(text),
            "surveyed": trail.followed.surveyed,
        })
    }

    fn whole(&self, trail: &Trail) -> Value {
        let mut value = self.line(trail);
        let began = trail.followed.began;
        let (mut attempts, mut looks) = (Vec::new(), Vec::new());
        let mut since = began;
        for step in trail.followed.meter.steps() {
            match step {
                Step::Looked { at, model, candidates, more, .. } => looks.push(json!({
                    "at_ms": ms(at, began), "model": model, "more": more,
                    "candidates": candidates.iter().map(candidate).collect::<Vec<_>>(),
                })),
                Step::Granted { at, key, model, .. } => {
                    attempts.push((
                        at,
                        json!({
                            "key": key, "model": model, "at_ms": ms(at, began), "waited_ms": ms(at, since),
                            "status": null, "verdict": null, "ms": null,
                        }),
                    ));
                    since = at;
                }
                Step::Judged { at, key, kind, scope, status, code, advice, .. } => {
                    since = at;
                    let open = attempts
                        .iter_mut()
                        .rev()
                        .find(|(_, attempt)| attempt["verdict"].is_null() && attempt["key"] == json!(key));
                    if let Some((granted, attempt)) = open {
                        attempt["status"] = json!(status);
                        attempt["verdict"] = json!(kind);
                        attempt["scope"] = json!(scope);
                        attempt["code"] = json!(code);
                        attempt["sentence"] = json!(advice);
                        attempt["ms"] = json!(ms(at, *granted));
                    }
                }
                _ => {}
            }
        }
        value["attempts"] = attempts.into_iter().map(|(_, attempt)| attempt).collect();
        value["looks"] = looks.into();
        value
    }
}

fn candidate(candidate: &Candidate) -> Value {
    json!({
        "key": candidate.key,
        "priority": candidate.priority,
        "out": candidate.out.map(|reason| reason.to_string()),
        "ready_in_ms": candidate.ready_in.map(|time| time.as_millis() as u64),
    })
}

fn ms(at: Tick, since: Tick) -> u64 {
    at.since(since).as_millis() as u64
}

fn text(value: &HeaderValue) -> String {
    value.to_str().unwrap_or_default().to_owned()
}

/// Of what goes on behind an answer's head.
#[derive(Debug)]
pub(in crate::gateway) struct Afterwards {
    trails: Arc<Trails>,
    meter: Arc<Meter>,
}

impl Afterwards {
    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    pub(super) fn tell(self, request: &HeaderValue) {
        self.trails.note_failures(request, &self.meter);
    }
}

impl Following {
    /// Who is told what happens to it.
    pub(in crate::gateway) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Whoever tells the failures of what its answer only began.
    pub(in crate::gateway) fn afterwards(&self) -> Afterwards {
        Afterwards { trails: Arc::clone(&self.trails), meter: Arc::clone(&self.meter) }
    }

    /// The head of its answer is there.
    pub(in crate::gateway) fn end<B>(
        self,
        request: &HeaderValue,
        tenant: Option<Arc<str>>,
        response: &Response<B>,
        served: Option<&ServedBy>,
    ) {
        let trails = Arc::clone(&self.trails);
        // A good first attempt, as most are, has no failure to be looked for.
        if served.is_some_and(|served| served.attempts() > 1 || !served.verdict().is_success()) {
            trails.note_failures(request, &self.meter);
        }
        let ended = trails.clock.tick();
        trails.note(Trail {
            followed: self,
            request: request.clone(),
            tenant,
            ended,
            status: Some(response.status().as_u16()),
            model: model_of(response).map(Box::from),
            retry_after: response.headers().get(header::RETRY_AFTER).cloned(),
            because: response.extensions().get::<Because>().cloned(),
        });
    }

    /// The client left before.
    pub(in crate::gateway) fn left(self, request: &HeaderValue, tenant: Option<Arc<str>>) {
        let trails = Arc::clone(&self.trails);
        let (ended, request) = (trails.clock.tick(), request.clone());
        let (status, model, retry_after, because) = (None, None, None, None);
        trails.note(Trail { followed: self, request, tenant, ended, status, model, retry_after, because });
    }
}
