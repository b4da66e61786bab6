//! What stands in front of the stack: who may ask, with which token, for which path.
//!
//! A request passes [`guard`] (is it meant for this gateway?), then [`token`] (is the client known?), then [`head`]
//! (what does not belong upstream goes), and then walks the stack. The answer passes [`head`] again and goes on as it
//! comes. Chunks of a resumable upload take the way of [`upload`].

pub mod dialect;
pub mod guard;
pub mod head;
pub mod listen;
mod path;
pub mod token;
pub mod upload;

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tower::{Service, ServiceExt};
use tower_keypool::{Base, Clock, Error, ServedBy};

use dialect::Dialect;
use guard::Guard;
use token::Token;
use upload::{Passage, Uploads};

/// A refusal of ours, or the provider's answer as it comes.
pub type AnswerBody<B> = Either<Full<Bytes>, B>;

/// The gateway over a stack `S`, which is cloned for each request.
#[derive(Debug)]
pub struct Gateway<S> {
    stack: S,
    guard: Guard,
    token: Token,
    uploads: Uploads,
    clock: Clock,
}

impl<S> Gateway<S> {
    /// Puts a gateway in front of `stack`. `base` is where the stack sends to: upload URLs are held to it.
    pub fn new(stack: S, base: Base, guard: Guard, token: Token, clock: Clock) -> Self {
        Self { stack, guard, token, uploads: Uploads::new(base, clock.clone()), clock }
    }
}

impl<S, B> Gateway<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Error> + Clone,
{
    /// Answers a request that came in at the address `local`. Every failure is an answer, too.
    pub async fn answer(&self, request: Request<Incoming>, local: IpAddr) -> Response<AnswerBody<B>> {
        if !tracing::enabled!(target: REQUESTS, tracing::Level::DEBUG) {
            return self.walk(request, local).await;
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let began = self.clock.tick();
        let response = self.walk(request, local).await;
        log_request(&method, &path, &response, self.clock.tick().since(began));
        response
    }

    async fn walk(&self, request: Request<Incoming>, local: IpAddr) -> Response<AnswerBody<B>> {
        let (mut parts, body) = request.into_parts();
        let passage = match self.admit(&parts, local) {
            Ok(passage) => passage,
            Err(refusal) => return Dialect::of(&parts).answer(refusal).map(Either::Left),
        };
        head::tidy_request(&mut parts);
        let opens = match passage {
            Passage::Open(handout) => Some(handout),
            Passage::Chunk(chunk) => {
                chunk.direct(&mut parts);
                return self.send_chunk(Request::from_parts(parts, body), &chunk).await;
            }
            Passage::Other => None,
        };
        let mut response = match self.stack.clone().oneshot(Request::from_parts(parts, body)).await {
            Ok(response) => response,
            Err(error) => return failed(&error),
        };
        if let Some(handout) = opens
            && let Err(refusal) = self.uploads.hand_out(&handout, &mut response)
        {
            return Dialect::Gemini.answer(refusal).map(Either::Left);
        }
        head::tidy_response(&mut response);
        response.map(Either::Right)
    }

    /// A chunk goes to the URL that the provider handed out, with the key that opened the upload.
    async fn send_chunk(&self, request: Request<Incoming>, chunk: &upload::Chunk) -> Response<AnswerBody<B>> {
        match self.stack.clone().oneshot(request).await {
            Ok(mut response) => {
                self.uploads.settle(chunk, &response);
                head::tidy_response(&mut response);
                response.map(Either::Right)
            }
            Err(error) => failed(&error),
        }
    }

    /// Whether the request may go on, and whether it belongs to an upload.
    fn admit(&self, parts: &http::request::Parts, local: IpAddr) -> Result<Passage, dialect::Refusal> {
        let host = self.guard.check(parts, local)?;
        // The id of an upload is its own credential: clients send none with the chunks.
        if let Some(chunk) = self.uploads.chunk(parts)? {
            return Ok(Passage::Chunk(chunk));
        }
        self.token.check(parts)?;
        Ok(upload::opens(parts, host))
    }
}

/// The target of the lines that `-v` shows.
pub const REQUESTS: &str = "keypool::requests";

/// The answer that says why there is none.
fn failed<B>(error: &Error) -> Response<AnswerBody<B>> {
    let mut response = error.to_response();
    if let Some(served_by) = error.served_by() {
        head::name_who_served(response.headers_mut(), served_by);
        response.extensions_mut().insert(served_by.clone());
    }
    response.map(Either::Left)
}

fn log_request<B>(method: &Method, path: &str, response: &Response<B>, took: Duration) {
    let status = response.status().as_u16();
    let ms = took.as_millis();
    let Some(served) = response.extensions().get::<ServedBy>() else {
        tracing::debug!(target: REQUESTS, "{method} {path} {status}, {ms} ms");
        return;
    };
    let key = served.key().map_or_else(|| "no key".to_owned(), ToString::to_string);
    let model = served.used_model().unwrap_or("no model");
    match served.attempts() {
        0 | 1 => tracing::debug!(target: REQUESTS, "{method} {path} {status} by {key} ({model}), {ms} ms"),
        n => tracing::debug!(target: REQUESTS, "{method} {path} {status} by {key} ({model}), {n} attempts, {ms} ms"),
    }
}
