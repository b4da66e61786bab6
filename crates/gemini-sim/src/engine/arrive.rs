//! What happens to a request that stands at the gate.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;

use super::{Ending, Engine, State, Visit};
use crate::answer::{Reply, template};
use crate::body::Abort;
use crate::fault::{Canned, Effects, Instead, Shape, Subject};
use crate::refusal::ApiError;
use crate::report::Booking;
use crate::route::Form;
use crate::shape::{Way, shape};
use crate::{Latency, Refusal};

/// What a request has come to.
enum Outcome {
    Reply(Reply),
    Error(ApiError),
    Instead(Instead),
}

/// How an outcome is delivered.
#[derive(Default)]
struct Manner {
    head: Duration,
    chunk: Option<Latency>,
    shape: Shape,
}

impl Engine {
    /// The request has arrived whole.
    pub(crate) fn arrive(&self, parts: &Parts, body: &[u8]) -> Ending {
        let mut state = self.lock();
        let mut visit = self.visit(parts, body);
        let mut effects = state.rules.meet(&self.subject(&visit));
        visit.wall = visit.wall.checked_add(effects.skew).unwrap_or(visit.wall);
        let manner = Manner { head: effects.head, chunk: effects.chunk, shape: std::mem::take(&mut effects.shape) };
        let mut booking = Booking::of(&visit);
        let outcome = self.decide(&mut state, &visit, effects, &mut booking);
        self.conclude(&mut state, &visit, (outcome, booking), manner, parts)
    }

    /// What a script says of a request whose body is still on its way.
    pub(crate) fn early(&self, parts: &Parts) -> Option<(usize, Refusal)> {
        if self.fast.is_some() {
            return None;
        }
        let mut state = self.lock();
        if !state.rules.may_be_early() {
            return None;
        }
        let visit = self.visit(parts, &[]);
        state.rules.early(&self.subject(&visit))
    }

    /// The request is refused before its body has ended.
    pub(crate) fn turn_away(&self, parts: &Parts, refusal: &Refusal) -> Ending {
        let mut state = self.lock();
        let visit = self.visit(parts, &[]);
        let outcome = Outcome::Instead(Instead::Refusal(refusal.clone()));
        let booking = Booking::of(&visit);
        self.conclude(&mut state, &visit, (outcome, booking), Manner::default(), parts)
    }

    pub(crate) fn visit<'a>(&self, parts: &'a Parts, body: &'a [u8]) -> Visit<'a> {
        let now = self.clock.elapsed();
        let wall = self.clock.wall_at(now);
        Visit::read(&self.world, parts, body, now, wall)
    }

    fn decide(&self, state: &mut State, visit: &Visit<'_>, effects: Effects, booking: &mut Booking) -> Outcome {
        if let Some(instead) = effects.before {
            return Outcome::Instead(instead);
        }
        let admitted = match self.admit(state, visit, booking) {
            Ok(admitted) => admitted,
            Err(error) => return Outcome::Error(error),
        };
        booking.accepted = true;
        if let Some(instead) = effects.after {
            return Outcome::Instead(instead);
        }
        if let Some(error) = admitted.fails {
            return Outcome::Error(error);
        }
        match self.answer(state, visit, &admitted, (effects.text, effects.finish)) {
            Ok(reply) => {
                // An upload is refused by an answer of its own.
                booking.accepted = reply.kind == "ok";
                Outcome::Reply(reply)
            }
            Err(error) => {
                booking.accepted = false;
                Outcome::Error(error)
            }
        }
    }

    fn conclude(
        &self,
        state: &mut State,
        visit: &Visit<'_>,
        (outcome, mut booking): (Outcome, Booking),
        manner: Manner,
        parts: &Parts,
    ) -> Ending {
        let head = manner.head + self.settings.latency.draw(&mut state.rng);
        let scene = visit.scene(&self.world);
        let error = |error: &ApiError| Reply::error(error, visit.wrapping());
        let mut form = manner.shape;
        let reply = match outcome {
            Outcome::Reply(reply) => reply,
            Outcome::Error(refused) => {
                form = form.of_error();
                error(&refused)
            }
            Outcome::Instead(Instead::Refusal(refusal)) => {
                form = form.of_error();
                error(&refusal.error(scene))
            }
            Outcome::Instead(Instead::Canned(canned)) => Reply::canned(&canned, visit.secret()),
            Outcome::Instead(Instead::Reset) => {
                booking.kind = "reset";
                state.book(visit, 0, booking);
                return Ending::Reset(head);
            }
            Outcome::Instead(Instead::Hang) => {
                booking.kind = "hang";
                state.book(visit, 0, booking);
                return Ending::Hang;
            }
        };
        booking.kind = reply.kind;
        state.book(visit, reply.status.as_u16(), booking);
        let way = Way {
            scene,
            wrapping: visit.wrapping(),
            date: http_date(visit.wall),
            accepts_gzip: self.settings.gzip && visit.accepts_gzip(),
            chunk_latency: manner.chunk.unwrap_or(self.settings.chunk_latency),
            abort: parts.extensions.get::<Abort>().cloned(),
        };
        let response = shape(reply, &form, way, &mut state.rng);
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
}

impl Booking {
    /// What is booked of a request before anything is known of it.
    fn of(visit: &Visit<'_>) -> Self {
        Self { kind: "ok", accepted: false, tokens: 0, cost: u64::from(visit.is_charged()) }
    }
}

impl Shape {
    /// Errors are not streams: an error inside of a stream has no place there.
    fn of_error(self) -> Self {
        Self { error: None, ..self }
    }
}

impl Reply {
    fn canned(canned: &Canned, key: &str) -> Self {
        Self {
            status: StatusCode::from_u16(canned.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: canned.headers.clone(),
            chunks: canned.chunks.iter().map(|c| template(c, key)).collect(),
            form: if canned.streamed { Form::Events } else { Form::Whole },
            kind: "canned",
            ..Self::empty()
        }
    }
}

fn http_date(wall: Timestamp) -> Option<HeaderValue> {
    let text = wall.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).ok()
}
