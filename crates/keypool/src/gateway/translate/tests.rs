//! Streams of which nothing comes for long.

use std::convert::Infallible;

use keypool_dialect::openai::OpenAi;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use super::{room::Room, *};

const EVENT: &str = r#"{"candidates":[{"content":{"parts":[{"text":"at last"}]},"finishReason":"STOP"}]}"#;

/// What a stream tells whose upstream answers after so long, and when its first and last pieces come.
async fn told(after: Duration, upstream: Result<u16, ()>) -> (u16, String, [u64; 2]) {
    let stack = service_fn(move |_: Request<Outgoing>| async move {
        sleep(after).await;
        let status = upstream.unwrap_or(200);
        let body = match upstream {
            Ok(200) => format!("data: {EVENT}\r\n\r\n"),
            Ok(_) => r#"{"error":{"code":429,"message":"slow down"}}"#.to_owned(),
            Err(()) => String::new(),
        };
        Ok::<_, Error>(Response::builder().status(status).body(Full::<Bytes>::from(body)).unwrap())
    });
    let clock = Clock::system();
    let traffic = Arc::new(Traffic::new(clock.clone()));
    let tenant = Arc::new(crate::gateway::tenant::Tenant::of(crate::gateway::tenant::Grant::default()));
    let (caller, dialect, others) = (&OpenAi, Dialect::OpenAi, Vec::new());
    let (wish, numbers, fetcher) = (Wish::default(), None, None);
    let translator = Translator {
        stack,
        caller,
        strict: true,
        tenant,
        wish,
        numbers,
        fetcher,
        clock,
        traffic,
        dialect,
        own: Own::Translated,
        others,
        home: None,
        only: false,
        nobodys: None,
        farewell: Arc::default(),
        memory: Memory::default(),
        holdings: Holdings { resources: None, beside: Arc::default(), unknown: resource::Unknown::Refuse, alone: true },
        pool: None,
        held: Room::default().enter(),
    };
    let shape = Shape { stream: true, ..Shape::default() };
    let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(shape));
    #[expect(clippy::disallowed_methods, reason = "paused")]
    let now = Instant::now();
    let request = Request::new(Outgoing::written(Vec::new()));
    let response = match translator.tell(request, exchange, &Ignored::default()).await {
        Ok((_, response)) => response,
        Err(failed) => refused(&OpenAi, failed),
    };
    let status = response.status().as_u16();
    let first = now.elapsed().as_secs();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap(), [first, now.elapsed().as_secs()])
}

#[tokio::test(start_paused = true)]
async fn a_quick_answer_needs_no_comments() {
    let (status, text, times) = told(Duration::from_secs(2), Ok(200)).await;
    assert_eq!((status, times), (200, [2, 2]));
    assert!(text.contains("at last") && text.ends_with("[DONE]\n\n") && !text.contains(": keep-alive"), "{text}");
    let (status, text, _) = told(Duration::from_secs(2), Ok(429)).await;
    assert_eq!(status, 429);
    assert!(text.contains("rate_limit_exceeded"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn while_a_model_thinks_the_client_hears_of_it() {
    let (status, text, times) = told(Duration::from_secs(35), Ok(200)).await;
    assert_eq!((status, times), (200, [10, 35]));
    assert_eq!(text.matches(": keep-alive\n\n").count(), 3, "{text}");
    assert!(text.ends_with("[DONE]\n\n"));
    // Its head is out: what goes wrong then is told in the stream.
    let (status, text, _) = told(Duration::from_secs(35), Ok(429)).await;
    assert_eq!(status, 200);
    assert!(text.contains("rate_limit_exceeded") && !text.contains("[DONE]"), "{text}");
    let (_, text, _) = told(Duration::from_secs(35), Err(())).await;
    assert!(text.contains("has no end"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn silence_inside_of_a_stream_is_filled_too() {
    let pieces = futures_util::stream::unfold(0, |n| async move {
        (n < 2).then_some(())?;
        sleep(Duration::from_secs(25)).await;
        let frame = http_body::Frame::data(Bytes::from(format!("data: {EVENT}\r\n\r\n")));
        Some((Ok::<_, Infallible>(frame), n + 1))
    });
    let body = Box::pin(http_body_util::StreamBody::new(pieces));
    let shape = Shape { stream: true, ..Shape::default() };
    let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(shape));
    let said = Said::told(Telling::of(Response::new(body), exchange, Farewell::default().awaited()))
        .collect()
        .await
        .unwrap()
        .to_bytes();
    let text = String::from_utf8(said.to_vec()).unwrap();
    assert_eq!((text.matches(": keep-alive").count(), text.matches("at last").count()), (4, 2), "{text}");
}

#[tokio::test]
async fn what_is_longer_than_is_translated_is_called_so() {
    let told = async |pieces: usize, broken: bool| {
        let stack = service_fn(move |_: Request<Outgoing>| async move {
            let piece = Bytes::from(vec![b' '; 1 << 20]);
            let pieces = (0..pieces).map(move |_| Ok(http_body::Frame::data(piece.clone())));
            let end = broken.then(|| Err(BoxError::from("broken off")));
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(pieces.chain(end)));
            Ok::<_, Error>(Response::new(body))
        });
        let traffic = Traffic::new(Clock::system());
        let fetched = fetch(stack, &traffic, Request::new(Outgoing::written(Vec::new()))).await;
        fetched.err().map(|failed| failed.fault.message)
    };
    assert_eq!(told(1, false).await, None);
    assert_eq!(told(65, false).await.as_deref(), Some(TOO_LONG));
    assert_eq!(told(1, true).await.as_deref(), Some("the upstream's answer broke off"));
}
