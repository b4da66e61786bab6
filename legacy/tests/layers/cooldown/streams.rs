//! Streams: the beginning is held until it tells, the rest passes byte for byte and is watched.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use tower_keypool::VerdictKind;

use super::support::{
    Bench, ERROR_429, Step, Steps, answer, collect, event, events, full, gzip, gzipped, json, kind, text,
};

#[tokio::test(start_paused = true)]
async fn a_good_first_event_opens_the_stream() {
    let bench = Bench::new();
    let first = event("hello", 7);
    let response = bench.get(events(Steps::chunks([&first[..10], &first[10..]]).then(Step::Never))).await;
    assert_eq!(kind(&response), VerdictKind::Success);
    let mut body = response.into_body();
    let mut seen = Vec::new();
    while seen.len() < first.len() {
        seen.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert_eq!(seen, first.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_200_that_begins_with_an_error_is_an_error() {
    for text_of in [
        format!("data: {ERROR_429}\n\n"),
        format!("\u{feff}: hi\r\rid: 7\revent: error\rdata: {ERROR_429}\r\r"),
        format!("{ERROR_429}\n"),
        ERROR_429.to_owned(),
        format!("[{ERROR_429}]"),
        format!("event: ping\ndata: {{}}\n\ndata: {ERROR_429}\n\n"),
    ] {
        for size in [1, 7, 1000] {
            let bench = Bench::new();
            let response = bench.get(events(Steps::chunks(text_of.as_bytes().chunks(size)))).await;
            assert_eq!(response.status(), 200);
            assert_eq!(kind(&response), VerdictKind::RateLimited, "{text_of:?} by {size}");
            assert!(bench.pool.try_acquire("m").is_err());
            assert_eq!(text(response).await, text_of);
            assert_eq!(bench.all_told(), [(VerdictKind::RateLimited, 1)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_event_that_says_nothing_is_a_passing_fault() {
    let bench = Bench::new();
    let response = bench.get(events(full("event: error\ndata: {\"message\":\"?\"}\n\n"))).await;
    assert_eq!(kind(&response), VerdictKind::Transient);
}

#[tokio::test(start_paused = true)]
async fn of_an_event_that_calls_itself_an_error_the_members_are_the_errors_own() {
    let error = r#"{"code":429,"message":"Resource has been exhausted","status":"RESOURCE_EXHAUSTED"}"#;
    let named = format!("id:1\nevent:error\n:HTTP_STATUS/429\ndata:{error}\n\n");
    let bench = Bench::new();
    let response = bench.get(events(full(named.clone()))).await;
    assert_eq!(kind(&response), VerdictKind::RateLimited);
    // Later in a stream its key rests all the same.
    let bench = Bench::new();
    let response = bench.get(events(full(format!("{}{named}", event("hello", 7))))).await;
    assert_eq!(kind(&response), VerdictKind::Success);
    collect(response).await;
    assert_eq!(bench.told(VerdictKind::Broken), 1);
    assert!(bench.pool.try_acquire("m").unwrap_err().retry_after().is_some(), "its key rests");
}

#[tokio::test(start_paused = true)]
async fn a_first_event_is_awaited_5_seconds() {
    let bench = Bench::new();
    let before = bench.now();
    let (slow, half) = (event("late", 7), "data: {\"cand");
    let steps = Steps::chunks([": hello\n\n", half]).then(Step::Wait(Duration::from_secs(7)));
    let response = bench.get(events(steps.then(Step::Data(slow.clone().into())))).await;
    assert_eq!((kind(&response), bench.since(before)), (VerdictKind::Success, Duration::from_secs(5)));
    assert_eq!(text(response).await, format!(": hello\n\n{half}{slow}"));
    assert_eq!(bench.since(before), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_first_event_that_comes_late_and_bad_breaks_the_stream() {
    let bench = Bench::new();
    let steps = Steps::new([Step::Wait(Duration::from_secs(7)), Step::Data(format!("data: {ERROR_429}\n\n").into())]);
    let response = bench.get(events(steps)).await;
    assert_eq!(kind(&response), VerdictKind::Success);
    collect(response).await;
    assert_eq!(bench.all_told(), [(VerdictKind::Success, 1), (VerdictKind::Broken, 1)]);
    assert_eq!(bench.pool.try_acquire("m").unwrap_err().retry_after(), Some(Duration::from_secs(30)));
}

#[tokio::test(start_paused = true)]
async fn at_most_16_kib_are_held() {
    let bench = Bench::new();
    let long = format!("data: {{\"a\":\"{}", "x".repeat(16 << 10));
    let before = bench.now();
    let response = bench.get(events(Steps::chunks(long.as_bytes().chunks(100)).then(Step::Never))).await;
    assert_eq!((kind(&response), bench.since(before)), (VerdictKind::Success, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_before_its_first_event_may_be_tried_again() {
    let bench = Bench::new();
    let cut = events(Steps::chunks([": hello\n\n"]).then(Step::Fail));
    let error = bench.ask(bench.request(), cut).await.unwrap_err();
    assert!(error.verdict().unwrap().is_provider_fault() && error.served_by().is_some(), "{error:?}");
    assert_eq!(bench.all_told(), [(VerdictKind::Transient, 1)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_within_its_first_event_did_not_begin() {
    // Asked for where it would have said why it ends.
    for (text, good) in [
        ("[{\"candidates\":[", false),
        ("[", false),
        // As a stream of events without one.
        ("[]", false),
        ("[{\"candidates\":[]}", true),
        ("[{\"error\":{\"code\":503}}", true),
    ] {
        let bench = Bench::new();
        let answer = bench.ask(array_request(&bench), json(200, Steps::chunks([text]))).await;
        assert_eq!(answer.is_ok(), good, "{text}");
        if let Err(error) = answer {
            assert!(error.verdict().unwrap().is_provider_fault(), "{text}: {error}");
            assert_eq!(bench.all_told(), [(VerdictKind::Transient, 1)], "{text}");
        }
    }
}

/// Opening events say that somebody listens; what comes of it the next one says.
#[tokio::test(start_paused = true)]
async fn an_error_behind_opening_events_is_one_at_the_beginning() {
    let named = |name: &str, data: &str| format!("event: {name}\ndata: {data}\n\n");
    let opened = |name: &str| named(name, "{\"type\":\"x\",\"response\":{\"error\":null}}");
    let (created, error) = (opened("response.created"), named("error", ERROR_429));
    for opening in [
        created.clone(),
        created.clone() + &opened("response.queued") + &opened("response.in_progress"),
        opened("message_start") + &opened("ping"),
    ] {
        for size in [1, 7, 1000] {
            let bench = Bench::new();
            let whole = format!("{opening}{error}");
            let response = bench.get(events(Steps::chunks(whole.as_bytes().chunks(size)))).await;
            assert_eq!(kind(&response), VerdictKind::RateLimited, "{opening:?} by {size}");
            assert_eq!(text(response).await, whole);
            assert_eq!(bench.all_told(), [(VerdictKind::RateLimited, 1)]);
        }
        // What breaks off there may be asked again, and what goes on goes on as it came.
        let bench = Bench::new();
        let cut = events(Steps::chunks([&opening]).then(Step::Fail));
        assert!(bench.ask(bench.request(), cut).await.unwrap_err().verdict().unwrap().is_provider_fault());
        let whole = format!("{opening}{}", event("x", 7));
        let response = bench.get(events(full(whole.clone()))).await;
        assert_eq!((kind(&response), text(response).await), (VerdictKind::Success, whole));
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_fails_behind_what_went_up_rests_its_key() {
    let long = format!("event: response.created\ndata: {{\"response\":{{\"a\":\"{}\"}}}}\n\n", "x".repeat(17 << 10));
    let failed = |data: &str| format!("event: response.failed\r\ndata: {data}\r\n\r\n");
    let echo = "\"instructions\":\"".to_owned() + &"y".repeat(9 << 10) + "\"";
    let of =
        |error: &str| failed(&format!("{{\"type\":\"x\",\"response\":{{\"id\":\"r\",\"error\":{error},{echo}}}}}"));
    for size in [1, 100, 1 << 20] {
        let bench = Bench::new();
        let whole = format!("{long}{}", of("{\"code\":429}"));
        let response = bench.get(events(Steps::chunks(whole.as_bytes().chunks(size)))).await;
        assert_eq!((kind(&response), text(response).await), (VerdictKind::Success, whole));
        assert_eq!(bench.all_told(), [(VerdictKind::Success, 1), (VerdictKind::Broken, 1)], "{size}");
        assert!(bench.pool.try_acquire("m").is_err());
    }
    // One that says no error, and a good one whose contents say one.
    let said = "event: response.completed\ndata: {\"response\":{\"error\":{\"code\":429}}}\n\n".to_owned();
    let deep = failed("{\"response\":{\"error\":null,\"metadata\":{\"error\":{\"code\":429}}}}");
    for end in [of("null"), said, deep] {
        let bench = Bench::new();
        collect(bench.get(events(full(format!("{long}{end}")))).await).await;
        assert_eq!(bench.all_told(), [(VerdictKind::Success, 1)], "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_only_says_that_it_is_at_its_end_did_not_begin() {
    for text in ["data: [DONE]\n\n", "data: [DONE]", ": hello\r\n\r\ndata:[DONE] \r\n\r\n"] {
        let bench = Bench::new();
        let error = bench.ask(bench.request(), events(Steps::chunks([text]))).await.unwrap_err();
        assert!(error.verdict().unwrap().is_provider_fault(), "{text}: {error}");
        assert_eq!(bench.all_told(), [(VerdictKind::Transient, 1)], "{text}");
    }
    let bench = Bench::new();
    let whole = event("x", 7) + "data: [DONE]\n\n";
    let response = bench.get(events(full(whole.clone()))).await;
    assert_eq!((kind(&response), text(response).await), (VerdictKind::Success, whole));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_nothing_to_a_request_for_words_did_not_begin() {
    for (path, good) in [
        ("v1/models/m:streamGenerateContent", false),
        ("v1/models/m:streamGenerateContent?alt=sse", false),
        ("v1beta/openai/chat/completions", false),
        ("upload/v1beta/files", true),
    ] {
        let bench = Bench::new();
        let mut request = bench.request();
        (*request.method_mut(), *request.uri_mut()) =
            (http::Method::POST, format!("http://api.example/{path}").parse().unwrap());
        let answer = bench.ask(request, json(200, Full::<Bytes>::default())).await;
        assert_eq!(answer.is_ok(), good, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_stream_is_good() {
    let bench = Bench::new();
    assert_eq!(kind(&bench.get(events(Steps::new([]))).await), VerdictKind::Success);
}

fn array_request(bench: &Bench) -> Request<()> {
    let mut request = bench.request();
    *request.uri_mut() = "http://api.example/v1/models/m:streamGenerateContent".parse().unwrap();
    request
}

#[tokio::test(start_paused = true)]
async fn the_array_form() {
    let items =
        ["[{\"usageMetadata\":{\"promptTokenCount\":5}}", "\n,\r\n{\"usageMetadata\":{\"promptTokenCount\":9}}", "\n]"];
    let bench = Bench::new();
    let steps = Steps::chunks([items[0]]).then(Step::Wait(Duration::from_secs(1)));
    let steps = steps.then(Step::Data(items[1].into())).then(Step::Data(items[2].into()));
    let before = bench.now();
    let response = bench.ask(array_request(&bench), json(200, steps)).await.unwrap();
    assert_eq!((kind(&response), bench.since(before)), (VerdictKind::Success, Duration::ZERO));
    assert_eq!(text(response).await, items.concat());
    assert_eq!(bench.tokens(), 9);

    let bench = Bench::new();
    let body = format!("[{ERROR_429}\n]");
    let response = bench.ask(array_request(&bench), json(200, full(body))).await.unwrap();
    assert_eq!(kind(&response), VerdictKind::RateLimited);

    let bench = Bench::new();
    let body = Steps::chunks([items[0], "\n,\r\n", ERROR_429, "\n]"]);
    let response = bench.ask(array_request(&bench), json(200, body)).await.unwrap();
    assert_eq!(kind(&response), VerdictKind::Success);
    collect(response).await;
    assert_eq!(bench.told(VerdictKind::Broken), 1);
}

#[tokio::test(start_paused = true)]
async fn an_array_that_nobody_asked_for_is_not_held() {
    let bench = Bench::new();
    let response = bench.get(json(200, Steps::new([Step::Never]))).await;
    assert_eq!(kind(&response), VerdictKind::Success);
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_middle_breaks_the_stream() {
    for tail in [
        format!("data: {ERROR_429}\n\n"),
        format!("event: error\ndata: {ERROR_429}\n\n"),
        "{\n \"error\": {\"code\":\n429}\n}\n".to_owned(),
        "data: {\"choices\":[],\"error\":{\"code\":429}}\n\n".to_owned(),
    ] {
        for size in [1, 5, 64, 4096] {
            let bench = Bench::new();
            let whole = format!("{}{}{tail}", event("an \\\"error\\\"", 3), event("b", 4));
            let response = bench.get(events(Steps::chunks(whole.as_bytes().chunks(size)))).await;
            assert_eq!(kind(&response), VerdictKind::Success);
            assert_eq!(text(response).await, whole);
            let told = [(VerdictKind::Success, 1), (VerdictKind::Broken, 1)];
            assert_eq!(bench.all_told(), told, "{tail:?} by {size}");
            assert_eq!(bench.pool.try_acquire("m").unwrap_err().retry_after(), Some(Duration::from_secs(30)));
            assert_eq!(bench.tokens(), 4);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_model_writes_breaks_nothing() {
    let bench = Bench::new();
    let call = "data: {\"functionCall\":{\"name\":\"report\",\"args\":{\"error\":{\"code\":429}}}}\n\n";
    let response = bench.get(events(Steps::chunks([event("a", 1).as_str(), call, call]))).await;
    collect(response).await;
    assert_eq!(bench.all_told(), [(VerdictKind::Success, 1)]);
}

#[tokio::test(start_paused = true)]
async fn one_overloaded_stream_rests_nobody() {
    let bench = Bench::new();
    let body = Steps::chunks([event("a", 1).as_str(), "data: {\"error\":{\"code\":503}}\n\n"]);
    collect(bench.get(events(body)).await).await;
    assert_eq!(bench.told(VerdictKind::Broken), 1);
    assert!(bench.pool.try_acquire("m").is_ok());
}

/// What a stream ends with is held against the key as if it had been said at once; but a sentence alone, about which no
/// other key can be asked any more, switches no key off.
#[tokio::test(start_paused = true)]
async fn a_fault_in_the_middle_is_what_it_would_have_been_at_once() {
    for (code, said, rest) in [(403, "disabled (suspended)", None), (418, "resting", Some(300))] {
        let bench = Bench::new();
        let error = format!("data: {{\"error\":{{\"code\":{code}}}}}\n\n");
        collect(bench.get(events(Steps::chunks([event("a", 1), error]))).await).await;
        assert_eq!(bench.told(VerdictKind::Broken), 1);
        let out = bench.pool.try_acquire("m").unwrap_err();
        assert!(out.to_string().contains(said), "{out}");
        assert_eq!(out.retry_after(), rest.map(Duration::from_secs));
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_transport_in_the_middle() {
    let bench = Bench::new();
    let response = bench.get(events(Steps::chunks([event("a", 55)]).then(Step::Fail))).await;
    let (got, error) = collect(response).await;
    assert_eq!((got, error.is_some()), (event("a", 55).into_bytes(), true));
    assert_eq!(bench.all_told(), [(VerdictKind::Success, 1), (VerdictKind::Broken, 1)]);
    assert_eq!(bench.tokens(), 55);
    assert!(bench.pool.try_acquire("m").is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn streams_are_byte_exact_however_they_are_cut(
        texts in prop::collection::vec("[a-zäß漢😀A]{0,20}", 1..8),
        cuts in prop::collection::vec(0_usize..2000, 0..30),
        by_bytes in any::<bool>(),
        array in any::<bool>(),
    ) {
        let all: String = if array {
            let items: Vec<String> = texts.iter().map(|text| format!("{{\"text\":\"{text}\"}}")).collect();
            format!("[{}\n]", items.join("\n,\r\n"))
        } else {
            texts.iter().map(|text| event(text, 3)).collect()
        };
        let mut cuts: Vec<usize> = if by_bytes { (0..all.len()).collect() } else { cuts };
        for cut in &mut cuts {
            *cut = (*cut).min(all.len());
        }
        cuts.extend([0, all.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &all.as_bytes()[cut[0]..cut[1]]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            let request = if array { array_request(&bench) } else { bench.request() };
            let kind_of = if array { "application/json" } else { "text/event-stream" };
            let answer = answer(200, kind_of, Steps::chunks(chunks));
            let response = bench.ask(request, answer).await.unwrap();
            prop_assert_eq!(kind(&response), VerdictKind::Success);
            prop_assert_eq!(&text(response).await, &all);
            prop_assert_eq!(bench.all_told(), [(VerdictKind::Success, 1)]);
            prop_assert_eq!(bench.tokens(), if array { 100 } else { 3 });
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn whatever_comes_passes_as_it_came(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\":,\n\r\\ data"[..])], 0..300),
        size in 1_usize..50,
        status in prop::sample::select(vec![200_u16, 302, 429]),
        kind_of in prop::sample::select(vec!["text/event-stream", "application/json", "text/html"]),
        // In two cases it says that it is gzip; in one it is.
        (compressed, is_so) in prop::sample::select(vec![(false, true), (true, true), (true, false)]),
        array in any::<bool>(),
    ) {
        let bytes = if compressed && is_so { gzip([&bytes]).concat() } else { bytes };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            let request = if array { array_request(&bench) } else { bench.request() };
            let answer = answer(status, kind_of, Steps::chunks(bytes.chunks(size)).then(Step::Wait(Duration::from_secs(9))));
            let answer = if compressed { gzipped(answer) } else { answer };
            match bench.ask(request, answer).await {
                Ok(response) if is_so => prop_assert_eq!(collect(response).await.0, bytes),
                // Nobody can read it: none of it passes, or what came before that was seen.
                Ok(response) => prop_assert!(bytes.starts_with(&collect(response).await.0)),
                Err(error) => prop_assert!(!is_so && error.status().as_u16() == 502, "{error}"),
            }
            prop_assert_eq!(bench.told(VerdictKind::Cancelled), 0);
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_are_handed_on_as_they_are() {
    let bench = Bench::new();
    let first = Bytes::from(event("a", 1));
    let second = Bytes::from(event("b", 2));
    let steps = Steps::new([Step::Data(first.clone()), Step::Data(second.clone())]);
    let mut body = bench.get(events(steps)).await.into_body();
    for chunk in [first, second] {
        let got = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(got.as_ptr(), chunk.as_ptr(), "not copied");
    }
}
