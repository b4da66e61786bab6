//! The stack's answer to a request of this gateway's own.

use std::future::poll_fn;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::Body;
use keypool_dialect::gemini;
use tower::Service;
use tower_keypool::{BoxError, Error, ServedBy};

use super::refusal::{Failed, without_answer};
use crate::{
    gateway::answer::{come_back, reworded::begun, unpacked::Unpacked},
    outgoing::Outgoing,
    status::{Outcome, Traffic},
};

/// Through the stack. Its attempts are counted here, whatever came of them.
pub(super) async fn send<S, B>(
    mut stack: S,
    traffic: &Traffic,
    request: Request<Outgoing>,
) -> Result<Response<B>, Failed>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error>,
{
    let answered = match poll_fn(|cx| stack.poll_ready(cx)).await {
        Ok(()) => stack.call(request).await,
        Err(error) => Err(error),
    };
    count(&answered, traffic);
    answered.map_err(|error| without_answer(&error))
}

/// Counts the attempts of an answer, or of what came to nothing.
pub(super) fn count<B>(answered: &Result<Response<B>, Error>, traffic: &Traffic) {
    match answered {
        Ok(response) => traffic.took(response.extensions().get::<ServedBy>().map_or(0, ServedBy::attempts)),
        Err(error) => {
            if let Some(served_by) = error.served_by() {
                traffic.took(served_by.attempts());
            }
        }
    }
}

/// Takes an answer that is none for what it is.
pub(super) async fn check<B>(response: Response<B>) -> Result<Response<B>, Failed>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let said = begun(Unpacked::of(&head, body)).await;
    Err(refused(&head, &said))
}

/// What is made of an answer that says why there is none.
pub(super) fn refused(head: &http::response::Parts, said: &[u8]) -> Failed {
    let mut headers = head.headers.clone();
    if head.status == StatusCode::UNAUTHORIZED {
        // As what goes on in the provider's own words is reworded.
        come_back::forget(&mut headers);
    }
    come_back::doubt(&mut headers, come_back::known_of(&head.extensions));
    Failed {
        outcome: Outcome::Answered,
        fault: gemini::fault(head.status, said),
        retry_after: headers.remove(header::RETRY_AFTER),
        served_by: head.extensions.get::<ServedBy>().cloned(),
        wanted: None,
        most: None,
    }
}
