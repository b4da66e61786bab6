//! The provider as a request sees it: a connection that is there or is made, and an answer over it.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use http::{HeaderValue, Request, Response, Uri, Version, header, uri};
use http_body::Body;
use hyper::{body::Incoming, client::conn::TrySendError};
use tower_keypool::{BoxError, judge_error};

use super::{
    Arrived, Error,
    along::Along,
    dial::{Carrier, Dial},
    line::Line,
    opening::Opening,
    sending::IsSent,
    shelf::{Shelf, Waiting},
    trunk::{Seat, Streamed},
};
use crate::entire::Entire;

const UNSENT: &str = "it stands there until it is sent";
const UNANSWERED: &str = "it stands there until it is answered";
/// A stream that did not open in so long goes over another connection: this one has less room than it said.
const OPENS_WITHIN: Duration = Duration::from_millis(100);

/// An answer whose body is not all here.
type Begun = Pin<Box<dyn Future<Output = Result<Response<Arrived>, BoxError>> + Send>>;

/// Of a request that no answer came to: why, and the request itself where nothing of it was sent.
type Failed<B> = Box<(Option<Request<B>>, Error)>;

/// What came of a request over HTTP/1.1.
enum Came<B> {
    /// All of it; the connection lies on the shelf again.
    Whole(Response<Arrived>),
    Begun(Begun),
    Failed(Failed<B>),
}

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
            let laid = carrier.laid().filter(|_| !is_new);
            // What is waited for in a later step stands in this future beside what an earlier one waits for: all that most
            // requests do not need lies behind pointers.
            let failed = match carrier {
                Carrier::Line(mut line) => {
                    let carried = line.carry(self.named(asked)).await;
                    match self.came(carried, line, sent) {
                        Came::Whole(response) => return Ok(response),
                        Came::Begun(begun) => return begun.await.map_err(Error::unbegun),
                        Came::Failed(failed) => failed,
                    }
                }
                Carrier::Shared(seat) => match self.shared(seat, asked, sent).await {
                    Ok(begun) => return begun.await.map_err(Error::unbegun),
                    Err(failed) => failed,
                },
            };
            self.failed(*failed, asked, (is_new, laid))?;
        }
    }

    /// The request for a connection of HTTP/1.1.
    fn named(&self, asked: &mut Option<Request<B>>) -> Request<B> {
        let mut request = asked.take().expect(UNSENT);
        request.headers_mut().insert(header::HOST, self.host.clone());
        request
    }

    /// What came over a connection, and what becomes of that.
    fn came(
        &self,
        carried: Result<Response<Incoming>, TrySendError<Request<B>>>,
        line: Box<Line<B>>,
        sent: &IsSent,
    ) -> Came<B> {
        let response = match carried {
            Ok(response) if line.is_free() => {
                let response = line.take_in(response);
                self.shelf.put(Carrier::Line(line));
                return Came::Whole(response);
            }
            Ok(response) => response,
            Err(failed) => return Came::Failed(Box::new(undone(failed))),
        };
        let version = response.version();
        let response = response.map(|body| Entire::of(body, version));
        Came::Begun(if line.is_over() {
            Box::pin(Arrived::begun(response))
        } else if sent.is() && line.is_out() {
            let shelf = Arc::clone(&self.shelf);
            Box::pin(Arrived::begun(response.map(|body| Along::new(body, line, shelf))))
        } else {
            line.run_apart(&self.shelf);
            Box::pin(Arrived::begun(response))
        })
    }

    /// Asks over HTTP/2. What finds no stream there comes back.
    fn shared<'a>(
        &'a self,
        seat: Seat<B>,
        asked: &'a mut Option<Request<B>>,
        sent: &'a IsSent,
    ) -> Pin<Box<dyn Future<Output = Result<Begun, Failed<B>>> + Send + 'a>> {
        Box::pin(async move {
            let mut request = asked.take().expect(UNSENT);
            self.name(&mut request);
            let (mut head, body) = request.into_parts();
            // hyper makes nothing of them.
            let extensions = std::mem::take(&mut head.extensions);
            let mut kept = head.clone();
            kept.extensions = extensions;
            let (body, unopened) = Opening::new(body, seat.place());
            let mut response = pin!(seat.sender().try_send_request(Request::from_parts(head, body)));
            let asking = Asking { seat: Some(seat), sent };
            let soon = tokio::select! {
                biased;
                answered = &mut response => Some(answered),
                () = tokio::time::sleep(OPENS_WITHIN) => None,
            };
            let answered = if let Some(answered) = soon {
                answered
            } else {
                if let Some(body) = unopened.take_back() {
                    asking.seat().give_up();
                    let error = Error::connect(io::Error::other("the provider opens no stream"));
                    return Err(Box::new((Some(Request::from_parts(kept, body)), error)));
                }
                drop(kept);
                response.await
            };
            let response = answered.map_err(|failed| {
                let (back, error) = undone(failed);
                Box::new((back.and_then(Opening::unsent), error))
            })?;
            let seat = asking.answered();
            let response = response.map(|body| Streamed::new(Entire::of(body, Version::HTTP_2), seat));
            Ok::<Begun, _>(Box::pin(Arrived::begun(response)))
        })
    }

    /// Of a request that no answer came to: whether it is asked again.
    fn failed(
        &self,
        (back, error): (Option<Request<B>>, Error),
        asked: &mut Option<Request<B>>,
        (is_new, laid): (bool, Option<u64>),
    ) -> Result<(), Error> {
        match back {
            Some(request) if !is_new => {
                strip(asked.insert(request));
                Ok(())
            }
            Some(_) => Err(error),
            None => {
                if let Some(laid) = laid
                    && judge_error(&error).code_of() == "closed"
                {
                    self.shelf.let_go(laid);
                }
                Err(error)
            }
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
                if let Carrier::Shared(seat) = &carrier {
                    self.shelf.share(seat.trunk());
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

/// What hyper gave back.
fn undone<T>(mut failed: TrySendError<Request<T>>) -> (Option<Request<T>>, Error) {
    let back = failed.take_message();
    let is_unsent = back.is_some();
    let error = failed.into_error();
    (back, if is_unsent { Error::canceled(error) } else { Error::sent(error) })
}

/// A request over HTTP/2 that is waited for. One that is given up since no answer came in time takes its connection from the
/// shelf: whoever asks again gets another one.
struct Asking<'s, B: Body + 'static> {
    /// Until it is answered.
    seat: Option<Seat<B>>,
    sent: &'s IsSent,
}

impl<B: Body + 'static> Asking<'_, B> {
    fn seat(&self) -> &Seat<B> {
        self.seat.as_ref().expect(UNANSWERED)
    }

    fn answered(mut self) -> Seat<B> {
        self.seat.take().expect(UNANSWERED)
    }
}

impl<B: Body + 'static> Drop for Asking<'_, B> {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat
            && self.sent.is_given_up()
        {
            seat.give_up();
        }
    }
}

/// A request as it came: its target is a path alone, and names no host.
fn strip<B>(request: &mut Request<B>) {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    request.headers_mut().remove(header::HOST);
}
