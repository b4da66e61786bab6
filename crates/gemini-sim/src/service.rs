//! The in-process face: a tower `Service` for requests with any body.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use crate::Refusal;
use crate::body::{SimBody, SimError};
use crate::engine::{Ending, Engine};

/// A simulator as a [`tower_service::Service`]: clone it, put layers on it,
/// call it. Always ready. Its time is tokio's, so a paused runtime decides how
/// fast its minutes pass.
#[derive(Clone)]
pub struct SimService {
    engine: Arc<Engine>,
}

impl SimService {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }
}

impl std::fmt::Debug for SimService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimService").finish_non_exhaustive()
    }
}

impl<B: Body> Service<Request<B>> for SimService {
    type Response = Response<SimBody>;
    type Error = SimError;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SimError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        ResponseFuture {
            early: self.engine.early(&parts),
            arrived: 0,
            engine: Arc::clone(&self.engine),
            parts,
            read: Vec::new(),
            walk: Walk::Reading { body },
        }
    }
}

pin_project! {
    /// The future of [`SimService`].
    pub struct ResponseFuture<B> {
        engine: Arc<Engine>,
        parts: Parts,
        early: Option<(usize, Refusal)>,
        arrived: usize,
        read: Vec<u8>,
        #[pin]
        walk: Walk<B>,
    }
}

pin_project! {
    #[project = WalkProj]
    enum Walk<B> {
        Reading { #[pin] body: B },
        // On the way to the quota check.
        Travelling { #[pin] sleep: Option<Sleep> },
        Answering { #[pin] sleep: Option<Sleep>, answer: Option<Answer> },
        Hanging,
    }
}

impl<B> From<Ending> for Walk<B> {
    fn from(ending: Ending) -> Self {
        let (delay, answer) = match ending {
            Ending::Answer(delay, response) => (delay, Ok(response)),
            Ending::Reset(delay) => (delay, Err(SimError::Reset)),
            Ending::Hang => return Self::Hanging,
        };
        Self::Answering { sleep: sleep_for(delay), answer: Some(answer) }
    }
}

type Answer = Result<Box<Response<SimBody>>, SimError>;

/// A sleep, or none where there is nothing to wait for: even a sleep of zero
/// takes until the timer's next tick.
fn sleep_for(duration: Duration) -> Option<Sleep> {
    (!duration.is_zero()).then(|| sleep(duration))
}

/// Keeps what a frame holds, up to one byte more than is allowed: enough to
/// refuse the request.
fn keep(read: &mut Vec<u8>, mut data: impl Buf, most: usize) {
    while data.has_remaining() {
        let chunk = data.chunk();
        let (length, room) = (chunk.len(), (most + 1).saturating_sub(read.len()));
        read.extend_from_slice(&chunk[..length.min(room)]);
        data.advance(length);
    }
}

impl<B: Body> Future for ResponseFuture<B> {
    type Output = Result<Response<SimBody>, SimError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.walk.as_mut().project() {
                WalkProj::Reading { body } => {
                    if let Some((_, refusal)) = this.early.take_if(|(bytes, _)| *this.arrived >= *bytes) {
                        let ending = this.engine.turn_away(this.parts, &refusal);
                        this.walk.set(ending.into());
                        continue;
                    }
                    match ready!(body.poll_frame(cx)) {
                        Some(Ok(frame)) => {
                            let settings = &this.engine.settings;
                            if let (Ok(data), false) = (frame.into_data(), settings.fast) {
                                *this.arrived += data.remaining();
                                keep(this.read, data, settings.max_body);
                            }
                        }
                        Some(Err(_)) => return Poll::Ready(Err(SimError::RequestBody)),
                        None => {
                            if let Some(answer) = this.engine.fast_answer(this.parts) {
                                return Poll::Ready(Ok(answer));
                            }
                            let sleep = sleep_for(this.engine.travel());
                            this.walk.set(Walk::Travelling { sleep });
                        }
                    }
                }
                WalkProj::Travelling { sleep } => {
                    if let Some(sleep) = sleep.as_pin_mut() {
                        ready!(sleep.poll(cx));
                    }
                    let ending = this.engine.arrive(this.parts, this.read);
                    this.walk.set(ending.into());
                }
                WalkProj::Answering { sleep, answer } => {
                    if let Some(sleep) = sleep.as_pin_mut() {
                        ready!(sleep.poll(cx));
                    }
                    let answer = answer.take().expect("polled after completion");
                    return Poll::Ready(answer.map(|response| *response));
                }
                WalkProj::Hanging => return Poll::Pending,
            }
        }
    }
}
