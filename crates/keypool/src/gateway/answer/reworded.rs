//! Errors of the provider's that its own words would make the client's: told in ours, with theirs inside.

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use keypool_dialect::{Caller as _, gemini, openai::OpenAi};
use tower_keypool::{BoxError, KeyPool, ServedBy};

use super::{body::Said, come_back, unpacked::Unpacked};
use crate::gateway::{
    dialect::{Dialect, SHOULD_RETRY},
    route::way::COMPATIBLE,
};

/// An error is read to here.
pub(in crate::gateway) const MOST_OF_ERROR: usize = 64 << 10;

/// As much of an error as says what it is.
pub(in crate::gateway) async fn begun<B: Body<Data = Bytes>>(body: B) -> BytesMut {
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

/// Whether the provider of these keys, whatever its kind, is Google's compatible endpoint.
pub(in crate::gateway) fn is_compatible(pool: Option<&KeyPool>) -> bool {
    pool.is_some_and(|pool| pool.provider().base().path().ends_with(COMPATIBLE))
}

/// An error as the client is told it; `compatible`: of Google's compatible endpoint.
pub(in crate::gateway) async fn reworded<B>(
    response: Response<Said<B>>,
    dialect: Dialect,
    compatible: bool,
) -> Response<Said<B>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    // The client's own token was taken, and stayed here.
    let of_a_key = response.status() == StatusCode::UNAUTHORIZED && response.extensions().get::<ServedBy>().is_some();
    if of_a_key {
        return unblamed(response, dialect).await;
    }
    if compatible { reshaped(response).await } else { response }
}

/// What a provider said of keys. None of them rests, or the stack would have said until when: so nobody knows of a time at
/// which one is taken, least of all the provider, which speaks of a key that the client does not have.
async fn unblamed<B>(response: Response<Said<B>>, dialect: Dialect) -> Response<Said<B>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    let said = begun(Unpacked::of(&head, body)).await;
    let fault = gemini::fault(head.status, &said);
    head.status = fault.kind.status();
    let told = match dialect.caller() {
        Some(caller) => {
            head.headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            caller.refused(&fault).body
        }
        None => dialect.body(head.status, &fault.message, None),
    };
    head.headers.remove(header::WWW_AUTHENTICATE);
    come_back::forget(&mut head.headers);
    Response::from_parts(as_json(head), Said::from(Full::from(told)))
}

/// An error of Google's compatible endpoint in the shape that its clients know: there it is one of Google's own, mostly in a
/// list, or what a server in front of it says.
async fn reshaped<B>(response: Response<Said<B>>) -> Response<Said<B>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    let said = begun(body).await.freeze();
    let plain = begun(Unpacked::of(&head, Full::from(said.clone()))).await;
    if is_in_shape(&plain) {
        // One of ours is.
        head.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(head, Said::from(Full::from(said)));
    }
    let refused = OpenAi.refused(&gemini::fault(head.status, &plain));
    head.status = refused.status;
    Response::from_parts(as_json(head), Said::from(Full::from(refused.body)))
}

/// The head of a body that is written here.
fn as_json(mut head: http::response::Parts) -> http::response::Parts {
    for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
        head.headers.remove(name);
    }
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head
}

/// Whether an error is as `OpenAI`'s clients read it. Google's own has a status beside its message.
fn is_in_shape(said: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(said).is_ok_and(|said| {
        let error = &said["error"];
        error["message"].is_string() && error["status"].is_null()
    })
}
