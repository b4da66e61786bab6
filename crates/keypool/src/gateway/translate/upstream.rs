//! The stack's answer to a request of this gateway's own.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use keypool_dialect::{Caller as _, gemini, openai::OpenAi};
use tower::Service;
use tower_keypool::{BoxError, Error, ServedBy};

use super::{
    Said,
    refusal::{Failed, without_answer},
};
use crate::{
    gateway::answer::unpacked::Unpacked,
    outgoing::Outgoing,
    status::{Outcome, Traffic},
};

/// An error is read to here.
const MOST_OF_ERROR: usize = 64 << 10;

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
    Err(Failed {
        outcome: Outcome::Answered,
        fault: gemini::fault(head.status, &said),
        retry_after: head.headers.get(header::RETRY_AFTER).cloned(),
        served_by: head.extensions.get::<ServedBy>().cloned(),
        most: None,
    })
}

/// As much of an error as says what it is.
async fn begun<B: Body<Data = Bytes>>(body: B) -> BytesMut {
    let mut body = std::pin::pin!(body);
    let mut said = BytesMut::new();
    // What was cut, or broke off, still says most of it.
    while let Some(Ok(frame)) = body.frame().await {
        said.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if said.len() >= MOST_OF_ERROR {
            break;
        }
    }
    said
}

/// An error of Google's compatible endpoint in the shape that its clients know: there it is one of Google's own, mostly in a
/// list, or what a server in front of it says.
pub(in crate::gateway) async fn reshaped<B>(response: Response<Said<B>>) -> Response<Said<B>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    let said = begun(body).await.freeze();
    let plain = begun(Unpacked::of(&head, Full::from(said.clone()))).await;
    head.headers.remove(header::CONTENT_LENGTH);
    let said = if is_in_shape(&plain) {
        // One of ours is.
        said
    } else {
        let refused = OpenAi.refused(&gemini::fault(head.status, &plain));
        head.status = refused.status;
        head.headers.remove(header::CONTENT_ENCODING);
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        refused.body
    };
    Response::from_parts(head, Said::from(Full::from(said)))
}

/// Whether an error is as `OpenAI`'s clients read it. Google's own has a status beside its message.
fn is_in_shape(said: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(said).is_ok_and(|said| {
        let error = &said["error"];
        error["message"].is_string() && error["status"].is_null()
    })
}
