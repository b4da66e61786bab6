//! What happens to a request that stands at the gate.

use http::request::Parts;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;

use super::{Ending, Engine, Visit};
use crate::answer::{Reply, template};
use crate::body::Abort;
use crate::fault::{Canned, Effects, Instead, Shape, Subject};
use crate::report::Booking;
use crate::route::Form;
use crate::shape::{Way, shape};

impl Engine {
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
            None => match self.admit(&mut state, &visit, &mut booking) {
                Err(error) => Ok(Err(error)),
                Ok(admitted) => {
                    booking.accepted = true;
                    match after.or_else(|| admitted.fails.clone().map(Instead::Refusal)) {
                        Some(instead) => Err(instead),
                        None => Ok(self.answer(&mut state, &visit, &admitted, (text, finish))),
                    }
                }
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
                state.book(&visit, 0, booking);
                return Ending::Reset(head);
            }
            Err(Instead::Hang) => {
                booking.kind = "hang";
                state.book(&visit, 0, booking);
                return Ending::Hang;
            }
        };
        state.book(&visit, reply.status.as_u16(), booking);
        let way = Way {
            scene: visit.scene(&self.world),
            date: http_date(wall),
            accepts_gzip: self.settings.gzip && visit.accepts_gzip(),
            chunk_latency: chunk.unwrap_or(self.settings.chunk_latency),
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
        Self {
            status: StatusCode::from_u16(canned.status)
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
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
