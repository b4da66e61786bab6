//! Any body in any chunks through `ReplayLayer`: no panic, not a byte changed, and no other model than a parser finds.
//!
//! Input: the size of a chunk in one byte, and the body.
#![no_main]

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use libfuzzer_sys::fuzz_target;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{Demand, Key, KeyPool, OpenAi, ReplayLayer, TryClone};

fuzz_target!(|data: &[u8]| {
    let [size, text @ ..] = data else { return };
    let chunks: Vec<Bytes> = text.chunks(usize::from(*size).max(1)).map(Bytes::copy_from_slice).collect();
    let frames = chunks.into_iter().map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    let body = StreamBody::new(stream::iter(frames).boxed());
    let request = Request::post("/v1/chat/completions").body(body).expect("a constant");

    let pool = KeyPool::builder(OpenAi::new()).key(Key::new("sk-not-a-real-key")).build().expect("a constant");
    let below = service_fn(|request| async { Ok::<_, Infallible>(request) });
    let stack = ServiceBuilder::new().layer(ReplayLayer::default().pool(&pool)).service(below);
    let request = stack.oneshot(request).now_or_never().expect("nothing waits").expect("nothing fails");
    let told = request.extensions().get::<Demand>().and_then(Demand::model).map(str::to_owned);

    let parsed = serde_json::from_slice::<serde_json::Value>(text).ok();
    let again = request.body().try_clone();
    let sent = request.into_body().collect().now_or_never().expect("nothing waits");
    match sent {
        Ok(sent) => {
            assert_eq!(sent.to_bytes(), text);
            if let Some(parsed) = parsed {
                let model = parsed.get("model").and_then(|model| model.as_str());
                let usable =
                    |model: &&str| !model.is_empty() && model.len() <= 256 && !model.contains(char::is_control);
                assert_eq!(told.as_deref(), model.filter(usable));
            }
        }
        // It names two models.
        Err(_) => assert!(again.is_none_or(|again| again.try_clone().is_none())),
    }
});
