//! The processing of a request: it is read, authenticated, checked, charged and answered. The first check that fails
//! determines the response. Quotas are charged only if all checks pass.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::sleep;

use super::Endpoint;
use super::call::{Call, authenticate, read_json};
use crate::answer::Reply;
use crate::body::SimError;
use crate::fault::{Fault, Faults};
use crate::log::Arrival;
use crate::proto;
use crate::quota::Charge;
use crate::refusal::{ApiError, QuotaOwner, limit_zero, not_found_page, over_limit, too_many_tokens};
use crate::simulator::{Simulator, State};
use crate::{Model, Refusal};

/// The handler behind every path.
pub(super) async fn serve(
    simulator: Arc<Simulator>,
    endpoint: Option<&'static Endpoint>,
    params: HashMap<String, String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut call = Call::new(&simulator, endpoint, params, parts);
    let Ok(body) = read(body, simulator.settings.max_body).await else {
        return no_answer(SimError::RequestBody);
    };
    let part = simulator.lock().rng.f64();
    pause(simulator.settings.path_jitter.mul_f64(part)).await;
    call.receive_body(&simulator, body);
    let Some((delay, response)) = simulator.answer(&call) else { return std::future::pending().await };
    pause(delay).await;
    response
}

/// Reads the request body. Of a body that is too large, it keeps one byte more than the maximum, so that it is refused.
async fn read(mut body: Body, max: usize) -> Result<Bytes, axum::Error> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await.transpose()? {
        let data = frame.into_data().unwrap_or_default();
        let room = (max + 1).saturating_sub(read.len());
        read.extend_from_slice(&data[..data.len().min(room)]);
    }
    Ok(read.into())
}

/// Sleeps, unless the duration is zero: even then, a sleep would take until the timer's next tick.
async fn pause(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}

/// Returns a response that carries an error, since an axum handler cannot fail. [`SimService`](crate::SimService) and
/// the server look for it.
fn no_answer(error: SimError) -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(error);
    response
}

/// The outcome of a request.
enum Outcome {
    Reply(Reply),
    Reset,
    Hang,
}

impl Simulator {
    /// Returns the response and the delay before it, or `None` if there is never a response.
    fn answer(&self, call: &Call) -> Option<(Duration, Response)> {
        let mut state = self.lock();
        let faults = state.rules.faults(call.now, call.caller(self));
        let mut arrival = call.arrival();
        let outcome = match faults.instead(false) {
            Some(fault) => self.instead(call, fault),
            None => self
                .judge(&mut state, call, &faults, &mut arrival)
                .unwrap_or_else(|error| Outcome::Reply(call.error(&error))),
        };
        let delay = faults.head_latency(&mut state.rng) + self.settings.latency.draw(&mut state.rng);
        match outcome {
            Outcome::Reply(reply) => {
                state.record(Arrival { status: reply.status.as_u16(), kind: reply.kind, ..arrival });
                Some((delay, self.deliver(call, reply, &faults, &mut state.rng)))
            }
            Outcome::Reset => {
                state.record(Arrival { kind: "reset", ..arrival });
                Some((delay, no_answer(SimError::Reset)))
            }
            Outcome::Hang => {
                state.record(Arrival { kind: "hang", ..arrival });
                None
            }
        }
    }

    fn judge(
        &self,
        state: &mut State,
        call: &Call,
        faults: &Faults,
        arrival: &mut Arrival,
    ) -> Result<Outcome, ApiError> {
        let Some(endpoint) = call.endpoint else { return Err(not_found_page(&call.parts.method)) };
        let project = authenticate(self, state, call)?;
        call.query.check(endpoint.query)?;
        let max = self.settings.max_body;
        if call.body.len() > max {
            let why = format!("Request payload size exceeds the limit: {max} bytes.");
            return Err(ApiError::invalid_argument("too_large", why));
        }
        let request = match endpoint.message {
            None => Value::Null,
            Some(message) => proto::read(message, &read_json(call)?)?,
        };
        let fault = faults.instead(true);
        if let Some(fault) = fault.filter(|_| !endpoint.is_charged) {
            arrival.accepted = true;
            return Ok(self.instead(call, fault));
        }
        let reply =
            (endpoint.handler)(&mut Exchange { simulator: self, state, call, faults, project, request, arrival });
        if let Some(fault) = fault.filter(|_| arrival.accepted) {
            return Ok(self.instead(call, fault));
        }
        let reply = reply?;
        // A refused upload has its own kind of reply.
        arrival.accepted = reply.kind == "ok";
        Ok(Outcome::Reply(reply))
    }

    /// Returns the outcome of a fault that replaces the response.
    fn instead(&self, call: &Call, fault: &Fault) -> Outcome {
        match fault {
            Fault::Refuse(refusal) => Outcome::Reply(call.error(&refusal.error(call.caller(self)))),
            Fault::Canned(canned) => Outcome::Reply(Reply::canned(canned, call.credentials.secret())),
            Fault::ResetBeforeHead => Outcome::Reset,
            _ => Outcome::Hang,
        }
    }
}

/// An authenticated request, as a handler gets it. Its body is a message that [`proto::read`] has read.
pub(super) struct Exchange<'a> {
    pub(super) simulator: &'a Simulator,
    pub(super) state: &'a mut State,
    pub(super) call: &'a Call,
    pub(super) faults: &'a Faults,
    pub(super) project: usize,
    pub(super) request: Value,
    arrival: &'a mut Arrival,
}

impl Exchange<'_> {
    /// Returns the model that the request names.
    pub(super) fn model(&self) -> Result<Model, ApiError> {
        let method = self.call.endpoint.map_or("", |endpoint| endpoint.name);
        let model = self.simulator.catalogue.supporting(&self.call.model, method);
        model.ok_or_else(|| Refusal::ModelNotFound.error(self.call.caller(self.simulator)))
    }

    /// Counts the request against its quota.
    ///
    /// # Errors
    /// 429 if the request does not fit; 400 for a prompt that is too long, which is charged nevertheless.
    pub(super) fn charge(&mut self, model: &Model, requests: u64, tokens: u64) -> Result<(), ApiError> {
        (self.arrival.cost, self.arrival.tokens) = (requests, tokens);
        let project = &self.simulator.accounts.projects[self.project];
        let limits = project.limits_of(&model.quota_name);
        let owner = QuotaOwner { tier: project.tier, model: &model.quota_name, embeds: model.dimensions.is_some() };
        if limits.is_zero() {
            return Err(limit_zero(owner));
        }
        let (at, of) = ((self.call.now, self.call.wall), (self.project, &*model.quota_name));
        if let Err(violations) = self.state.quotas.charge(at, of, limits, Charge { requests, tokens }) {
            let short_delay = Duration::from_secs_f64(1.0 + 58.0 * self.state.rng.f64());
            return Err(over_limit(&violations, owner, short_delay));
        }
        self.arrival.accepted = true;
        if tokens > model.input_limit.saturating_mul(requests) {
            return Err(too_many_tokens(model.input_limit));
        }
        Ok(())
    }
}
