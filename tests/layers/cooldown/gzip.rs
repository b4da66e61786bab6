//! Gzip'd answers are read, and pass as they came.

use std::io::{Read, Write};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::Response;
use http_body_util::BodyExt;
use tower_keypool::VerdictKind;

use super::support::{
    Bench, ERROR_429, KEY, STARS, Step, Steps, collect, event, events, full, gzip, gzipped, json, kind, served, text,
};

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // What was stopped in the middle has no end: that is no fault here.
    let _ = MultiGzDecoder::new(bytes).read_to_end(&mut out);
    out
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_is_read_for_usage_and_passes_as_it_came() {
    let whole = gzip([r#"{"usageMetadata":{"promptTokenCount":777}}"#]).concat();
    for size in [1, 7, 1000] {
        let bench = Bench::new();
        let response = bench.get(gzipped(json(200, Steps::chunks(whole.chunks(size))))).await;
        assert_eq!(kind(&response), VerdictKind::Success);
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert_eq!(collect(response).await.0, whole);
        assert_eq!(bench.tokens(), 777);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_judged_and_passes_as_it_came() {
    let bench = Bench::new();
    let whole = gzip([ERROR_429]).concat();
    let response = bench.get(gzipped(json(400, full(whole.clone())))).await;
    assert_eq!((kind(&response), served(&response).verdict().code_of()), (VerdictKind::RateLimited, "read"));
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(collect(response).await.0, whole);
}

#[tokio::test(start_paused = true)]
async fn events_come_as_they_are_flushed() {
    let texts = [event("a", 5), event("b", 6), event("c", 7)];
    let chunks = gzip(&texts);
    let bench = Bench::new();
    let response = bench.get(gzipped(events(Steps::chunks(&chunks).then(Step::Never)))).await;
    assert_eq!(kind(&response), VerdictKind::Success);
    let mut body = response.into_body();
    for chunk in &chunks {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), chunk);
    }
    drop(body);
    assert_eq!(bench.tokens(), 7);
    assert_eq!(bench.told(VerdictKind::Cancelled), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_as_the_first_event_and_as_a_later_one() {
    let error = format!("data: {ERROR_429}\n\n");
    let bench = Bench::new();
    let before = bench.now();
    let chunks = gzip([&error]);
    let response = bench.get(gzipped(events(Steps::chunks(&chunks).then(Step::Never)))).await;
    assert_eq!((kind(&response), bench.since(before).as_secs()), (VerdictKind::RateLimited, 0));

    let bench = Bench::new();
    let whole = gzip([event("a", 5), error]).concat();
    let response = bench.get(gzipped(events(Steps::chunks(whole.chunks(3))))).await;
    assert_eq!(kind(&response), VerdictKind::Success);
    assert_eq!(collect(response).await.0, whole);
    assert_eq!(bench.all_told(), [(VerdictKind::Success, 1), (VerdictKind::Broken, 1)]);
}

/// 64 MiB of spaces in 64 KiB, and behind them what nobody may get to.
fn bomb(end: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..64 {
        encoder.write_all(&spaces).unwrap();
    }
    encoder.write_all(end.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_bomb_is_not_followed_to_its_end() {
    let whole = bomb("data: {\"error\":{\"code\":429},\"usageMetadata\":{\"promptTokenCount\":777}}\n\n");
    for (response, expected) in [
        (json(200, ()), VerdictKind::Success),
        (json(429, ()), VerdictKind::RateLimited),
        (events(()), VerdictKind::Success),
    ] {
        let bench = Bench::new();
        let (head, ()) = response.into_parts();
        let response = bench.get(gzipped(Response::from_parts(head, Steps::chunks(whole.chunks(16 << 10))))).await;
        assert_eq!(kind(&response), expected);
        assert!(collect(response).await.0 == whole);
        assert_eq!((bench.tokens(), bench.all_told()), (100, vec![(expected, 1)]));
    }
}

#[tokio::test(start_paused = true)]
async fn the_key_behind_a_bomb_does_not_pass() {
    let whole = bomb(&format!("{KEY} and so on"));
    for response in [json(200, ()), json(429, ()), events(())] {
        let bench = Bench::new();
        let (head, ()) = response.into_parts();
        let response = bench.get(gzipped(Response::from_parts(head, Steps::chunks(whole.chunks(1 << 10))))).await;
        let (got, error) = collect(response).await;
        assert!(error.unwrap().to_string().contains("key"));
        assert!(!String::from_utf8_lossy(&inflated(&got)).contains("AIza"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_gzip_passes_and_is_judged_by_its_status() {
    for body in
        [&b"plain"[..], &b"\x1f\x8b\x08\x00"[..], &b"\x1f\x8b\x08\x00\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff"[..]]
    {
        let bench = Bench::new();
        let response = bench.get(gzipped(json(429, full(body)))).await;
        assert_eq!(served(&response).verdict().code_of(), "status");
        assert_eq!(collect(response).await.0, body);
        let response = bench.get(gzipped(json(200, full(body)))).await;
        assert_eq!(collect(response).await.0, body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_in_an_error_is_masked_in_its_plain_form() {
    let plain = format!("{{\"error\":{{\"code\":403,\"message\":\"api_key:{KEY} suspended, {KEY}\"}}}}");
    let whole = gzip([&plain[..60], &plain[60..]]).concat();
    for size in [1, 10, 1000] {
        let bench = Bench::new();
        let mut response = gzipped(json(403, Steps::chunks(whole.chunks(size))));
        response.headers_mut().insert("content-length", whole.len().into());
        let response = bench.get(response).await;
        assert_eq!(kind(&response), VerdictKind::Suspended);
        assert!(response.headers().get("content-encoding").is_none());
        assert_eq!(response.headers()["content-length"], plain.len().to_string());
        assert_eq!(text(response).await, plain.replace(KEY, STARS));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_in_a_stream_stops_it_before_any_of_it_is_out() {
    for cut in 0..KEY.len() {
        let bench = Bench::new();
        let texts = [event("a", 5), format!("data: {{\"text\":\"{}", &KEY[..cut]), format!("{}\"}}\n\n", &KEY[cut..])];
        let response = bench.get(gzipped(events(Steps::chunks(gzip(&texts))))).await;
        let (got, error) = collect(response).await;
        assert!(error.unwrap().to_string().contains("key"));
        let shown = String::from_utf8(inflated(&got)).unwrap();
        assert!(shown.starts_with(&texts[0]) && !shown.contains("AIza"), "cut at {cut}: {shown}");
        assert_eq!(bench.told(VerdictKind::Cancelled), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_begins_like_the_key_passes() {
    let bench = Bench::new();
    let chunks = gzip(["{\"a\":\"AIza", "AIza", "AIz", "\"}"]);
    let response = bench.get(gzipped(json(200, Steps::chunks(&chunks)))).await;
    assert_eq!(collect(response).await.0, chunks.concat());
    let bench = Bench::new();
    let chunks = gzip(["AIza"]);
    let response = bench.get(gzipped(json(200, Steps::chunks(&chunks)))).await;
    assert_eq!(collect(response).await.0, chunks.concat());
}

#[tokio::test(start_paused = true)]
async fn what_begins_like_the_key_when_the_body_breaks_off() {
    for (begun, expected) in [(7, "fine AIzaAIz"), (38, "fine ")] {
        let bench = Bench::new();
        let mut chunks = gzip(["fine ", &KEY[..begun]]);
        chunks.pop();
        let response = bench.get(gzipped(json(200, Steps::chunks(chunks).then(Step::Fail)))).await;
        let (got, error) = collect(response).await;
        assert!(error.is_some());
        assert_eq!(String::from_utf8(inflated(&got)).unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_in_an_error_too_large_to_replace_stops_it() {
    let bench = Bench::new();
    let plain = format!("{}{KEY}", "some text ".repeat(20_000));
    let whole = gzip([plain]).concat();
    let response = bench.get(gzipped(json(429, Steps::chunks(whole.chunks(100))))).await;
    assert_eq!(kind(&response), VerdictKind::RateLimited);
    let (got, error) = collect(response).await;
    assert!(error.is_some() && !String::from_utf8(inflated(&got)).unwrap().contains(KEY));
}

#[tokio::test(start_paused = true)]
async fn a_second_member_is_read_too() {
    let bench = Bench::new();
    let mut whole = gzip(["{\"usageMetadata\":{\"prompt"]).concat();
    whole.extend(gzip(["TokenCount\":42}}"]).concat());
    let response = bench.get(gzipped(json(200, Steps::chunks(whole.chunks(5))))).await;
    assert_eq!(collect(response).await.0, whole);
    assert_eq!(bench.tokens(), 42);
}
