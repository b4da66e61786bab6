//! Good answers pass as they are.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use tower_keypool::{Granted, VerdictKind};

use super::support::{Bench, Step, Steps, answer, collect, events, full, json, kind, served, text};

#[tokio::test(start_paused = true)]
async fn a_good_answer_is_judged_by_its_head_and_never_held() {
    let bench = Bench::new();
    let response = bench.get(json(200, Steps::new([Step::Never]))).await;
    assert_eq!(kind(&response), VerdictKind::Success);
    assert_eq!(served(&response).key().unwrap().to_string(), "first");
    assert_eq!(served(&response).used_model(), Some("m"));
    assert_eq!(bench.told(VerdictKind::Success), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_below_sees_the_lease() {
    let bench = Bench::new();
    let below = tower::service_fn(|request: Request<()>| async move {
        assert!(request.extensions().get::<Granted>().is_none());
        Ok::<_, super::support::BoxError>(json(200, Empty::<Bytes>::new()))
    });
    let layer = tower_keypool::CooldownLayer::new(&bench.pool);
    let service = tower::Layer::layer(&layer, below);
    tower::ServiceExt::oneshot(service, bench.request()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_everything_passes_untouched() {
    let bench = Bench::new();
    let body = format!("{{\"key\":\"{}\"}}", super::support::KEY);
    let request = Request::get("http://api.example/m").body(()).unwrap();
    let mut response = bench.ask(request, json(429, full(body.clone()))).await.unwrap();
    assert!(response.extensions_mut().remove::<tower_keypool::ServedBy>().is_none());
    assert_eq!(response.body().size_hint().exact(), Some(body.len() as u64));
    assert_eq!(text(response).await, body);
    assert!(bench.all_told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn usage_is_told_at_the_end_once() {
    let bench = Bench::new();
    let body = r#"{"candidates":[],"usageMetadata":{"promptTokenCount":777,"candidatesTokenCount":5}}"#;
    let response = bench.get(json(200, full(body))).await;
    assert_eq!(bench.tokens(), 100);
    assert_eq!(text(response).await, body);
    assert_eq!(bench.tokens(), 777);
    assert_eq!(bench.all_told(), [(VerdictKind::Success, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_download_is_not_read_for_usage() {
    let bench = Bench::new();
    let body = r#"{"usageMetadata":{"promptTokenCount":777}}"#;
    let response = bench.get(answer(200, "application/octet-stream", full(body))).await;
    assert_eq!(text(response).await, body);
    assert_eq!(bench.tokens(), 100);
}

#[tokio::test(start_paused = true)]
async fn size_hint_end_and_trailers_are_those_below() {
    let bench = Bench::new();
    let response = bench.get(json(200, full("{}"))).await;
    let mut body = response.into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(2), false));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "{}");
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    assert!(body.frame().await.is_none());

    let response = bench.get(json(200, Empty::<Bytes>::new())).await;
    assert!(response.body().is_end_stream());

    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "77".parse().unwrap());
    let steps = Steps::chunks(["a"]).then(Step::Trailers(trailers.clone()));
    let mut body = bench.get(json(200, steps)).await.into_body();
    assert_eq!(body.size_hint().upper(), None);
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(!body.is_end_stream());
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
    drop(body);
    assert_eq!(bench.told(VerdictKind::Cancelled), 0);
}

#[tokio::test(start_paused = true)]
async fn a_held_beginning_keeps_size_hint_and_trailers() {
    let bench = Bench::new();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "77".parse().unwrap());
    let chunks = ["data: {}\n\n", "data: {\"a\":1}\n\n"];
    let body = bench.get(events(Steps::chunks(chunks).sized())).await.into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(25), false));
    let response = bench.get(json(429, Steps::chunks(["{}"]).then(Step::Trailers(trailers.clone())))).await;
    let all = response.into_body().collect().await.unwrap();
    assert_eq!(all.trailers(), Some(&trailers));
    assert_eq!(all.to_bytes(), "{}");
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_is_a_success_that_nobody_cancels() {
    let bench = Bench::new();
    drop(bench.get(answer(101, "", Steps::new([Step::Never]))).await);
    assert_eq!(bench.all_told(), [(VerdictKind::Success, 1)]);
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_body() {
    let bench = Bench::new();
    for status in [200, 204, 304] {
        let mut request = bench.request();
        if status == 200 {
            *request.method_mut() = http::Method::HEAD;
        }
        let asked = bench.ask(request, events_with(status)).await.unwrap();
        assert_eq!(kind(&asked), VerdictKind::Success);
    }
    let mut request = bench.request();
    *request.method_mut() = http::Method::HEAD;
    let before = bench.now();
    let refused = bench.ask(request, json(429, Steps::new([Step::Never]))).await.unwrap();
    assert_eq!((kind(&refused), bench.since(before)), (VerdictKind::RateLimited, Duration::ZERO));
    assert_eq!(served(&refused).verdict().code_of(), "status");
    assert_eq!(bench.told(VerdictKind::Cancelled), 0);
}

fn events_with(status: u16) -> http::Response<Steps> {
    answer(status, "text/event-stream", Steps::new([Step::Never]))
}

#[tokio::test(start_paused = true)]
async fn what_headers_tell_of_quotas_is_told_with_every_verdict() {
    let bench = Bench::new();
    for status in [200, 429, 302] {
        let mut response = json(status, full("{}"));
        response.headers_mut().insert("x-remaining", "7".parse().unwrap());
        let response = bench.get(response).await;
        let news = served(&response).verdict().news_of().unwrap();
        assert_eq!(news.remaining[0].remaining, 7, "{status}");
        assert_eq!(served(&response).verdict().status_of().unwrap().as_u16(), status);
        assert!(collect(response).await.1.is_none());
    }
    assert!(served(&bench.get(json(200, full("{}"))).await).verdict().news_of().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_that_speaks_against_its_key_rests_it_however_it_comes() {
    let against = format!("{{\"key\":\"{}\",\"why\": \"OUT_OF_NUMBERS\"}}", super::support::KEY);
    let keyless = "{\"why\":\"OUT_OF_NUMBERS\"}".to_owned();
    let spoken = "{\"text\":\"OUT_OF_NUMBERS\"}".to_owned();
    let large = format!("{{\"text\":\"{}\",\"why\":\"OUT_OF_NUMBERS\"}}", "x".repeat(16 << 10));
    for (whole, suspended) in [(&against, 1), (&keyless, 1), (&spoken, 0), (&large, 0)] {
        let compressed = super::support::gzip([whole]).concat();
        for size in [1, 20, 1 << 20] {
            let chunks = |bytes: &[u8], sized| {
                let steps = Steps::chunks(bytes.chunks(size));
                if sized { steps.sized() } else { steps }
            };
            for sized in [true, false] {
                let bench = Bench::new();
                let response = bench.get(json(200, chunks(whole.as_bytes(), sized))).await;
                assert_eq!(kind(&response), VerdictKind::Success);
                assert_eq!(text(response).await.len(), whole.len());
                assert_eq!(bench.told(VerdictKind::Suspended), suspended, "{size} {sized}");
                assert_eq!(bench.pool.can_serve("m"), suspended == 0);
            }
            let bench = Bench::new();
            collect(bench.get(super::support::gzipped(json(200, chunks(&compressed, true)))).await).await;
            assert_eq!(bench.told(VerdictKind::Suspended), suspended, "gzip {size}");
        }
    }
}
