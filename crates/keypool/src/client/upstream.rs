//! The provider as a request sees it: a connection that is there or is made, and an answer over it.

use std::{future::Future, pin::Pin, sync::Arc};

use http::{HeaderValue, Request, Response, Uri, Version, header, uri};
use http_body::Body;
use tower_keypool::{BoxError, judge_error};

use super::{
    Arrived, Error,
    along::Along,
    dial::{Carrier, Dial},
    sending::IsSent,
    shelf::{Shelf, Waiting},
};
use crate::entire::Entire;

const UNSENT: &str = "it stands there until it is sent";

/// One place, and the connections to it.
pub(super) struct Upstream<B: Body + 'static> {
    dial: Dial,
    shelf: Arc<Shelf<B>>,
    scheme: uri::Scheme,
    authority: uri::Authority,
    /// What HTTP/1.1 calls it; HTTP/2 says so by the target.
    host: HeaderValue,
}

impl<B> Upstream<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(dial: Dial, scheme: uri::Scheme, authority: uri::Authority, host: HeaderValue) -> Self {
        Self { dial, shelf: Shelf::new(), scheme, authority, host }
    }

    /// Sends a request, whose target is a path alone, and waits for the head of its answer.
    ///
    /// A connection that lay idle may have been closed just now: if nothing was sent over it, another one is taken. If
    /// something was, whoever sends it again finds none on the shelf that lay there for as long, and gets a new one.
    /// `over_new`: none that lay there is taken. The request stands with whoever asks until it is sent; `sent`: when all of it is.
    pub(super) async fn answer(
        &self,
        asked: &mut Option<Request<B>>,
        sent: &IsSent,
        over_new: bool,
    ) -> Result<Response<Arrived>, Error> {
        loop {
            let (carrier, is_new) = match if over_new { None } else { Some(self.shelf.take()) } {
                None => (Box::pin(self.dial.connect(&self.shelf.keeper)).await?, true),
                Some(Ok(carrier)) => (carrier, false),
                Some(Err(waiting)) => Box::pin(self.made(waiting)).await?,
            };
            let mut laid = None;
            let mut failed = match carrier {
                Carrier::Line(mut line) => {
                    laid = (!is_new).then_some(line.laid);
                    let carried = {
                        let mut request = asked.take().expect(UNSENT);
                        request.headers_mut().insert(header::HOST, self.host.clone());
                        line.carry(request)
                    };
                    match carried.await {
                        Ok(response) if line.is_free() => {
                            let response = line.take_in(response);
                            self.shelf.put(Carrier::Line(line));
                            return Ok(response);
                        }
                        Ok(response) => {
                            let version = response.version();
                            let response = response.map(|body| Entire::of(body, version));
                            // Behind a pointer: most answers are here with their heads.
                            let begun: Pin<Box<dyn Future<Output = _> + Send>> = if line.is_over() {
                                Box::pin(Arrived::begun(response))
                            } else if sent.is() {
                                let shelf = Arc::clone(&self.shelf);
                                Box::pin(Arrived::begun(response.map(|body| Along::new(body, line, shelf))))
                            } else {
                                line.run_apart(&self.shelf);
                                Box::pin(Arrived::begun(response))
                            };
                            return begun.await.map_err(Error::unbegun);
                        }
                        Err(failed) => failed,
                    }
                }
                Carrier::Shared(mut sender) => {
                    let mut request = asked.take().expect(UNSENT);
                    self.name(&mut request);
                    match Box::pin(sender.try_send_request(request)).await {
                        Ok(response) => {
                            let response = response.map(|body| Entire::of(body, Version::HTTP_2));
                            return Box::pin(Arrived::begun(response)).await.map_err(Error::unbegun);
                        }
                        Err(failed) => failed,
                    }
                }
            };
            let request = match failed.take_message() {
                Some(request) if !is_new => asked.insert(request),
                Some(_) => return Err(Error::canceled(failed.into_error())),
                None => {
                    let error = Error::sent(failed.into_error());
                    if let Some(laid) = laid
                        && judge_error(&error).code_of() == "closed"
                    {
                        self.shelf.let_go(laid);
                    }
                    return Err(error);
                }
            };
            strip(request);
        }
    }

    /// A connection that is made, or one that comes free meanwhile. The other one is kept for later.
    async fn made(&self, waiting: Waiting<B>) -> Result<(Carrier<B>, bool), Error> {
        let mut connecting = Box::pin(self.dial.connect(&self.shelf.keeper));
        tokio::select! {
            biased;
            carrier = waiting => {
                let shelf = Arc::clone(&self.shelf);
                tokio::spawn(async move {
                    if let Ok(carrier) = connecting.await {
                        shelf.put(carrier);
                    }
                });
                Ok((carrier, false))
            }
            made = &mut connecting => {
                let carrier = made?;
                if let Carrier::Shared(sender) = &carrier {
                    self.shelf.put(Carrier::Shared(sender.clone()));
                }
                Ok((carrier, true))
            }
        }
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.shelf.idle()
    }

    /// HTTP/2 names the place in the target.
    fn name(&self, request: &mut Request<B>) {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
}

/// A request as it came: its target is a path alone, and names no host.
fn strip<B>(request: &mut Request<B>) {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    request.headers_mut().remove(header::HOST);
}
