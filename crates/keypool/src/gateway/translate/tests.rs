//! Streams of which nothing comes for long.

use std::{convert::Infallible, time::Duration};

use http_body_util::BodyExt;
use keypool_dialect::openai::OpenAi;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use super::{room::Room, *};
use crate::gateway::{answer::translated_stream::Telling, farewell::Parting};

const EVENT: &str = r#"{"candidates":[{"content":{"parts":[{"text":"at last"}]},"finishReason":"STOP"}]}"#;

/// What translates for this stack, whose answers are held in this room.
fn over<S>(stack: S, room: &Room) -> Translator<S> {
    let clock = Clock::system();
    let traffic = Arc::new(Traffic::new(clock.clone()));
    let tenant = Arc::new(crate::gateway::tenant::Tenant::of(crate::gateway::tenant::Grant::default()));
    let (caller, dialect, others) = (&OpenAi, Dialect::OpenAi, Vec::new());
    let (wish, numbers, fetcher) = (Wish::default(), None, None);
    Translator {
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
        aliases: Aliases::default(),
        others,
        home: None,
        only: false,
        nobodys: None,
        farewell: Arc::new(Farewell::of_gateway()),
        memory: Memory::default(),
        holdings: Holdings {
            resources: None,
            beside: Arc::default(),
            unknown: resource::Unknown::Refuse,
            alone: true,
            own: resource::Resources::new(crate::database::Records::default(), tower_keypool::Clock::system(), None),
            provider: String::new(),
            pool: None,
        },
        pool: None,
        held: Room::default().enter(&None),
        answers: Answers::in_room(room, &None),
        unasked: Unasked::default(),
        may_go_unread: false,
        catalogues: Arc::default(),
        shelves: None,
    }
}

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
    let translator = over(stack, &Room::default());
    let shape = Shape { stream: true, ..Shape::default() };
    let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(shape));
    #[expect(clippy::disallowed_methods, reason = "paused")]
    let now = Instant::now();
    let request = Request::new(Outgoing::written(Vec::new()));
    let response = match translator.tell(request, exchange, &LeftOut::of(Ignored::default(), Ignored::default())).await
    {
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
    let said = Said::told(Telling::of(Response::new(body), exchange, Parting::from(&Farewell::of_gateway())))
        .collect()
        .await
        .unwrap()
        .to_bytes();
    let text = String::from_utf8(said.to_vec()).unwrap();
    assert_eq!((text.matches(": keep-alive").count(), text.matches("at last").count()), (4, 2), "{text}");
}

#[tokio::test]
async fn whole_answers_share_a_room_until_they_are_sent() {
    let stack = service_fn(|_: Request<Outgoing>| async move {
        let text = "a".repeat(400 << 10);
        let body =
            format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}},"finishReason":"STOP"}}]}}"#);
        Ok::<_, Error>(Response::new(Full::<Bytes>::from(body)))
    });
    let room = Room::of(1 << 20);
    let answered = async || {
        let mut translator = over(stack, &room);
        let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(Shape::default()));
        let request = || Request::new(Outgoing::written(Vec::new()));
        match translator.whole(request, exchange, &LeftOut::of(Ignored::default(), Ignored::default())).await {
            Ok((_, response)) => response,
            Err(failed) => refused(&OpenAi, failed),
        }
    };
    let (first, second) = (answered().await, answered().await);
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    let third = answered().await;
    assert_eq!(
        (third.status(), third.headers()["retry-after"].as_bytes()),
        (StatusCode::SERVICE_UNAVAILABLE, &b"1"[..])
    );
    let said = third.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&said).contains("as many long answers"), "{said:?}");

    let body = first.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(answered().await.status(), StatusCode::SERVICE_UNAVAILABLE, "the first is here yet");
    drop(body);
    assert_eq!(answered().await.status(), StatusCode::OK);
}
