//! One engine under both faces: a request in, an ending out.

mod admit;
mod visit;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use http::request::Parts;
use http::{HeaderValue, Response};
use jiff::Timestamp;

use crate::Refusal;
use crate::answer::Reply;
use crate::body::{Abort, SimBody};
use crate::clock::Clock;
use crate::fast::FastAnswers;
use crate::fault::{Canned, Effects, Instead, Rules, Shape, Subject};
use crate::log::{Arrival, Log};
use crate::quota::Ledger;
use crate::refusal::ApiError;
use crate::report::{Booking, KeyReport, ProjectReport, Report, Tally};
use crate::settings::Settings;
use crate::shape::{Way, shape};
use crate::world::World;

pub(crate) use admit::Admitted;
pub(crate) use visit::Visit;

/// Everything that a simulator is.
pub(crate) struct Engine {
    pub(crate) world: World,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) fast: Option<FastAnswers>,
    state: Mutex<State>,
}

/// What changes with each request.
pub(crate) struct State {
    pub(crate) rng: Rng,
    pub(crate) ledger: Ledger,
    pub(crate) rules: Rules,
    pub(crate) refused: Vec<Option<Refusal>>,
    tallies: Vec<Tally>,
    total: Tally,
    log: Log,
}

/// How a request ends.
pub(crate) enum Ending {
    /// With an answer, after some time.
    Answer(Duration, Box<Response<SimBody>>),
    /// With a reset, after some time.
    Reset(Duration),
    /// Not at all.
    Hang,
}

// === impl Engine ===

impl Engine {
    pub(crate) fn new(world: World, settings: Settings) -> Self {
        let refused = world.keys.iter().map(|key| key.refused.clone()).collect();
        let state = State {
            rng: Rng::with_seed(settings.seed),
            ledger: Ledger::new(),
            rules: Rules::default(),
            refused,
            tallies: vec![Tally::default(); world.keys.len()],
            total: Tally::default(),
            log: Log::new(settings.log_capacity),
        };
        Self {
            clock: Clock::new(settings.wall, settings.skew),
            fast: settings.fast.then(|| FastAnswers::new(&settings)),
            world,
            settings,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a request takes from its sender to the quota check.
    pub(crate) fn travel(&self) -> Duration {
        let bound = self.settings.path_jitter;
        if bound.is_zero() {
            return bound;
        }
        bound.mul_f64(self.lock().rng.f64())
    }

    /// The request stands at the gate.
    pub(crate) fn arrive(&self, parts: &Parts, body: &[u8]) -> Ending {
        let mut state = self.lock();
        let now = self.clock.elapsed();
        let wall = self.clock.wall_at(now);
        let visit = Visit::read(&self.world, parts, body, now, wall);
        let effects = state.rules.meet(&self.subject(&visit));
        let Effects {
            before,
            after,
            head,
            chunk,
            text,
            finish,
            shape: form,
        } = effects;

        let mut booking = Booking {
            kind: "ok",
            accepted: false,
            tokens: 0,
            cost: u64::from(visit.is_charged()),
        };
        let result = match before {
            Some(instead) => Err(instead),
            None => match self.admit(&mut state, &visit) {
                Ok(admitted) => {
                    booking.accepted = visit.is_charged();
                    booking.tokens = admitted.charge.tokens;
                    booking.cost = admitted.charge.requests;
                    match after.or_else(|| admitted.fails.clone().map(Instead::Refusal)) {
                        Some(instead) => Err(instead),
                        None => Ok(self.answer(&mut state, &visit, admitted, (text, finish))),
                    }
                }
                Err(error) => Ok(Err(error)),
            },
        };
        let head = head + self.settings.latency.draw(&mut state.rng);
        let in_list = visit.answers_in_list();
        let (reply, form) = match result {
            Ok(Ok(reply)) => (reply, form),
            Ok(Err(error)) => {
                booking.kind = error.kind;
                (Reply::error(&error, in_list), form.of_error())
            }
            Err(Instead::Refusal(refusal)) => {
                booking.kind = refusal.kind();
                let error = refusal.error(visit.scene(&self.world));
                (Reply::error(&error, in_list), form.of_error())
            }
            Err(Instead::Canned(canned)) => {
                booking.kind = "canned";
                (Reply::canned(&canned, visit.secret()), form)
            }
            Err(Instead::Reset) => {
                booking.kind = "reset";
                self.book(&mut state, &visit, 0, booking);
                return Ending::Reset(head);
            }
            Err(Instead::Hang) => {
                booking.kind = "hang";
                self.book(&mut state, &visit, 0, booking);
                return Ending::Hang;
            }
        };
        self.book(&mut state, &visit, reply.status.as_u16(), booking);
        let way = Way {
            scene: visit.scene(&self.world),
            date: http_date(wall),
            accepts_gzip: self.settings.gzip && visit.accepts_gzip(),
            chunk_latency: chunk.unwrap_or(self.settings.chunk_latency),
            abort: parts.extensions.get::<Abort>().cloned(),
        };
        let response = shape(reply, form, way, &mut state.rng);
        Ending::Answer(head, Box::new(response))
    }

    fn subject<'a>(&'a self, visit: &'a Visit<'_>) -> Subject<'a> {
        Subject {
            at: visit.now,
            key: visit.key,
            label: visit.key.map_or("", |key| &self.world.keys[key].label),
            secret: visit.secret(),
            project: visit.project_number(&self.world),
            model: &visit.model,
            path: visit.path,
        }
    }

    fn book(&self, state: &mut State, visit: &Visit<'_>, status: u16, booking: Booking) {
        state.total.book(&booking);
        if let Some(key) = visit.key {
            state.tallies[key].book(&booking);
        }
        state.log.push(Arrival {
            at: visit.now,
            key: visit.key,
            project: visit.project,
            model: visit.model.as_str().into(),
            method: visit.method(),
            status,
            kind: booking.kind,
            accepted: booking.accepted,
            cost: booking.cost,
            tokens: booking.tokens,
        });
    }

    pub(crate) fn report(&self) -> Report {
        let state = self.lock();
        let name = |project: usize| format!("projects/{}", self.world.projects[project].number);
        let keys = self.world.keys.iter().zip(&state.tallies);
        let keys: Vec<_> = keys
            .map(|(key, tally)| KeyReport {
                label: key.label.clone(),
                project: name(key.project),
                tally: tally.clone(),
            })
            .collect();
        let projects = (0..self.world.projects.len()).map(|project| {
            let mut sum = Tally::default();
            for (key, tally) in self.world.keys.iter().zip(&state.tallies) {
                if key.project == project {
                    sum.add(tally);
                }
            }
            ProjectReport {
                name: name(project),
                tally: sum,
            }
        });
        Report {
            projects: projects.collect(),
            keys,
            total: state.total.clone(),
        }
    }

    pub(crate) fn log(&self) -> Log {
        self.lock().log.clone()
    }
}

impl Shape {
    /// Errors are not streams: an error inside of a stream has no place there.
    fn of_error(self) -> Self {
        Self {
            error: None,
            ..self
        }
    }
}

impl Reply {
    fn canned(canned: &Canned, key: &str) -> Self {
        use crate::answer::template;
        use crate::route::Form;
        Self {
            status: http::StatusCode::from_u16(canned.status)
                .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR),
            headers: canned.headers.clone(),
            chunks: canned.chunks.iter().map(|c| template(c, key)).collect(),
            form: if canned.streamed {
                Form::Events
            } else {
                Form::Whole
            },
            ..Self::empty()
        }
    }
}

fn http_date(wall: Timestamp) -> Option<HeaderValue> {
    let text = wall.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).ok()
}

/// What an error of the API itself turns a request into.
pub(crate) type Admission<T> = Result<T, ApiError>;
