//! The first words with a provider: the client's first message, and what is said to it. A socket that is closed at once for
//! the key's sake is an answer that refuses the key: it is judged like any, and another key is tried, before the client
//! hears of anything.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, header};
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    frames::{CLOSE, Frames, Said},
    reason::Refused,
};
use crate::client::Greeting;

/// A provider that says nothing for so long may wait for more of the client.
const SILENCE: Duration = Duration::from_secs(10);
/// The rest of a closing frame comes within this.
const CLOSING: Duration = Duration::from_secs(2);
/// More than a closing frame has.
const ENOUGH: usize = 256;

/// The provider's side, and what came of it already.
pub(super) type Begun = (TokioIo<Upgraded>, Vec<u8>);

/// Where the provider's side is once it is open.
pub(super) type Place = Arc<Mutex<Option<Begun>>>;

/// Says `first`, and puts what is open then into `place`. `refused` tells what a closing frame says of the key.
pub(super) fn greeting(
    first: Bytes,
    place: &Place,
    refused: impl Fn(u16, &str) -> Option<Refused> + Send + Sync + 'static,
) -> Greeting {
    let (place, refused) = (Arc::clone(place), Arc::new(refused));
    Greeting(Arc::new(move |opened| {
        let (first, place, refused) = (first.clone(), Arc::clone(&place), Arc::clone(&refused));
        Box::pin(async move {
            // What does not open is missed there.
            let (begun, closed) = greet(opened, &first).await?;
            if let Some(refused) = closed.and_then(|(code, reason)| refused(code, &reason)) {
                return Some(answer(refused));
            }
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
            None
        })
    }))
}

/// Says it, and hears the beginning of what is said to it: where that is a closing frame, its code and reason.
async fn greet(opened: OnUpgrade, first: &[u8]) -> Option<(Begun, Option<(u16, String)>)> {
    let mut provider = TokioIo::new(opened.await.ok()?);
    provider.write_all(first).await.ok()?;
    provider.flush().await.ok()?;
    let (mut heard, mut closed, mut frames) = (Vec::new(), None, Frames::new(0, |_| false));
    let mut patience = SILENCE;
    while closed.is_none() && heard.len() < ENOUGH {
        let mut buffer = [0; ENOUGH];
        let Ok(Ok(read @ 1..)) = timeout(patience, provider.read(&mut buffer)).await else { break };
        heard.extend_from_slice(&buffer[..read]);
        if heard[0] & 0xf != CLOSE {
            break;
        }
        frames.pass(&buffer[..read], |said| {
            if let Said::Close(code, reason) = said {
                closed.get_or_insert((code, reason));
            }
        });
        patience = CLOSING;
    }
    Some(((provider, heard), closed))
}

fn answer(refused: Refused) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(refused.body));
    *answer.status_mut() = refused.status;
    answer.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}
