//! Gzip'd answers are read, and pass as they came.

use std::io::{Read, Write};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use http::Response;
use http_body_util::BodyExt;
use tower_keypool::{Elsewhere, VerdictKind};

use super::support::{
    Bench, ERROR_429, KEY, STARS, Step, Steps, answer, collect, event, events, full, gzip, gzipped, json, kind, served,
    text,
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
async fn a_bomb_is_not_inflated_to_its_end_either() {
    // 128 MiB in as many KiB, all of it at once.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
    let bomb = encoder.finish().unwrap().repeat(128);
    let bench = Bench::new();
    let begun = gzip([event("a", 5)]).concat();
    let chunks = [begun.clone(), bomb];
    let response = bench.get(gzipped(events(Steps::chunks(chunks.iter().map(|chunk| &chunk[..]))))).await;
    let (got, error) = collect(response).await;
    assert_eq!(got, begun);
    assert!(error.unwrap().to_string().contains("may hide"));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_gzip_reaches_nobody_and_is_judged_by_its_status() {
    for body in [&b"plain text"[..], &b"\x1f\x8b\x08\x00\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff"[..]] {
        let bench = Bench::new();
        let response = bench.get(gzipped(json(429, full(body)))).await;
        assert_eq!(served(&response).verdict().code_of(), "status");
        assert!(response.headers().get("content-encoding").is_none());
        assert!(collect(response).await.0.is_empty());
        let error = bench.ask(bench.request(), gzipped(json(200, full(body)))).await.unwrap_err();
        let verdict = error.verdict().unwrap();
        assert_eq!((error.status().as_u16(), verdict.code_of()), (502, "unreadable encoding"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_in_the_middle_of_its_head_passes() {
    let body = &b"\x1f\x8b\x08\x00"[..];
    for status in [200, 429] {
        assert_eq!(collect(Bench::new().get(gzipped(json(status, full(body)))).await).await.0, body);
    }
}

/// A packed text whose head has a name or a comment.
fn named(flag: u8, name: &str, text: &str) -> Vec<u8> {
    let packed = gzip([text]).concat();
    [&[0x1f, 0x8b, 8, flag][..], &packed[4..10], name.as_bytes(), b"\0", &packed[10..]].concat()
}

#[tokio::test(start_paused = true)]
async fn a_key_in_the_head_of_gzip_is_masked() {
    const TEXT: &str = r#"{"usageMetadata":{"promptTokenCount":7}}"#;
    for flag in [0x08, 0x10] {
        let whole = named(flag, &format!("a {KEY}.json"), TEXT);
        let expected = named(flag, &format!("a {STARS}.json"), TEXT);
        for size in [1, 7, 1_000] {
            for (status, kind) in [(200, "application/json"), (200, "text/plain"), (400, "application/json")] {
                let bench = Bench::new();
                let body = Steps::chunks(whole.chunks(size));
                let got = collect(bench.get(gzipped(answer(status, kind, body))).await).await.0;
                assert!(got == expected, "{status} {kind} {size}: {}", String::from_utf8_lossy(&got));
                assert_eq!(unpacked(&got), TEXT);
            }
        }
        // A head without an end.
        let begun = &whole[..KEY.len() + 14];
        let got = collect(Bench::new().get(gzipped(json(200, full(begun.to_vec())))).await).await.0;
        assert_eq!(got, expected[..begun.len()]);
    }
    // Of an error also in other spellings.
    let whole = named(0x08, &KEY.to_uppercase(), TEXT);
    let got = collect(Bench::new().get(gzipped(json(400, full(whole)))).await).await.0;
    assert_eq!(got, named(0x08, STARS, TEXT));
}

#[tokio::test(start_paused = true)]
async fn a_key_where_the_answer_is_no_gzip_reaches_nobody() {
    let plain = format!("{{\"a\":\"{KEY}\"}}").into_bytes();
    let tailed = |tail: &[u8]| [&gzip([r#"{"a":1}"#]).concat(), tail].concat();
    let mut corrupt = gzip([r#"{"a":1}"#]).concat();
    let sum = corrupt.len() - 8;
    corrupt[sum] ^= 1;
    corrupt.extend(gzip([format!("{{\"b\":\"{KEY}\"}}")]).concat());
    for (what, whole) in [
        ("plain", plain.clone()),
        ("text behind it", tailed(format!("   {KEY}").as_bytes())),
        ("garbage behind it", tailed(&[&b"\x1f\x8b\xff\xff"[..], KEY.as_bytes()].concat())),
        ("a wrong sum", corrupt),
    ] {
        for size in [1, 5, 1_000] {
            for (status, kind) in [
                (200, "application/json"),
                (200, "text/event-stream"),
                (200, "text/plain"),
                (302, "text/html"),
                (400, "application/json"),
            ] {
                let bench = Bench::new();
                let body = Steps::chunks(whole.chunks(size));
                let Ok(response) = bench.ask(bench.request(), gzipped(answer(status, kind, body))).await else {
                    continue;
                };
                let (got, _) = collect(response).await;
                let (raw, text) = (String::from_utf8_lossy(&got), inflated(&got));
                let text = String::from_utf8_lossy(&text);
                assert!(!raw.contains("AIza") && !text.contains("AIza"), "{what} {status} {kind} {size}: {raw} {text}");
                assert!(got.len() < whole.len(), "{what} {status} {kind} {size}");
            }
        }
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

/// Reads a body that must be whole.
fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn a_key_in_a_later_event_is_masked_from_the_last_flush_on() {
    for cut in 0..KEY.len() {
        let bench = Bench::new();
        let (begun, rest) = (format!("data: {{\"text\":\"{}", &KEY[..cut]), format!("{}\"}}\r\n\r\n", &KEY[cut..]));
        let texts = [event("a", 5), begun, rest, event(&KEY[..9], 7), event(KEY, 8)];
        let response = bench.get(gzipped(events(Steps::chunks(gzip(&texts))))).await;
        assert_eq!(response.headers()["content-encoding"], "gzip");
        let (got, error) = collect(response).await;
        assert!(error.is_none(), "cut at {cut}: {error:?}");
        assert_eq!(unpacked(&got), texts.concat().replace(KEY, STARS), "cut at {cut}");
        assert_eq!((bench.told(VerdictKind::Cancelled), bench.tokens()), (0, 8));
    }
}

#[tokio::test(start_paused = true)]
async fn each_event_of_a_masked_stream_can_be_read_as_soon_as_it_has_come() {
    let bench = Bench::new();
    let texts = [event(KEY, 5), event("b", 6), event(KEY, 7), event("d", 8)];
    let chunks = gzip(&texts);
    let response = bench.get(gzipped(events(Steps::chunks(&chunks[..4]).then(Step::Never)))).await;
    let (mut body, mut got) = (response.into_body(), Vec::new());
    for count in 1..=texts.len() {
        got.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
        assert_eq!(String::from_utf8(inflated(&got)).unwrap(), texts[..count].concat().replace(KEY, STARS));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_behind_what_was_not_flushed_stops_the_stream() {
    let text = [event("a", 5), event("b", 6), event(KEY, 7)].concat();
    // In pieces, told to be so long, and what is never held.
    let whole = gzip([event("a", 5), text]).concat();
    let sized = gzip([event("a", 5), event(&noise(200_000), 6), event(KEY, 7)]);
    let mut told = gzipped(events(Steps::chunks(&sized)));
    told.headers_mut().insert("content-length", sized.concat().len().into());
    let plain = answer(200, "text/plain", Steps::chunks(whole.chunks(20)));
    for response in [gzipped(events(Steps::chunks(whole.chunks(20)))), told, gzipped(plain)] {
        let bench = Bench::new();
        let (got, error) = collect(bench.get(response).await).await;
        let shown = String::from_utf8(inflated(&got)).unwrap();
        assert!(error.unwrap().to_string().contains("key") && !shown.contains("AIza"), "{shown}");
        assert_eq!(bench.told(VerdictKind::Cancelled), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_in_what_told_its_length_is_masked_where_it_is_small() {
    let text = [event("a", 5), event(KEY, 6), format!("data: {{\"x\":\"{}{KEY}\"}}\r\n\r\n", noise(20_000))].concat();
    let whole = gzip([&text]).concat();
    for kind in ["text/plain", "application/octet-stream", "application/jsonl", "text/event-stream", ""] {
        for size in [1, 1_000, 100_000] {
            let bench = Bench::new();
            let mut response = gzipped(answer(200, kind, Steps::chunks(whole.chunks(size))));
            response.headers_mut().insert("content-length", whole.len().into());
            let response = bench.get(response).await;
            assert!(response.headers().get("content-length").is_none(), "{kind}");
            let (got, error) = collect(response).await;
            assert!(error.is_none() && unpacked(&got) == text.replace(KEY, STARS), "{kind} {size} {error:?}");
        }
    }
    // Nothing is changed where no key is.
    let whole = gzip([noise(20_000)]).concat();
    let mut response = gzipped(answer(200, "text/plain", Steps::chunks(whole.chunks(1_000))));
    response.headers_mut().insert("content-length", whole.len().into());
    let response = Bench::new().get(response).await;
    assert_eq!(response.headers()["content-length"], whole.len().to_string());
    assert_eq!(collect(response).await.0, whole);
}

/// Text that cannot be packed well.
fn noise(length: usize) -> String {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + (state >> 24) as u8 % 90)
    };
    (0..length).map(|_| next()).filter(|c| !matches!(c, '"' | '\\')).collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_in_a_good_answer_is_masked_before_its_head_is_out() {
    let plain = format!("{{\"usageMetadata\":{{\"promptTokenCount\":7}},\"x\":\"{}{KEY}, {KEY}\"}}", noise(30_000));
    let whole = gzip([&plain]).concat();
    for size in [1, 10, 1_000, 100_000] {
        let bench = Bench::new();
        let mut response = gzipped(json(200, Steps::chunks(whole.chunks(size))));
        response.headers_mut().insert("content-length", whole.len().into());
        let response = bench.get(response).await;
        assert_eq!((kind(&response), bench.told(VerdictKind::Success)), (VerdictKind::Success, 1));
        assert!(response.headers().get("content-length").is_none());
        let (got, error) = collect(response).await;
        assert!(error.is_none() && unpacked(&got) == plain.replace(KEY, STARS), "{size} {error:?}");
        assert_eq!(bench.tokens(), 7);
    }
    // What is larger is not held to its end.
    let plain = format!("{{\"x\":\"{}{KEY}\"}}", noise(200_000));
    let whole = gzip([&plain]).concat();
    let bench = Bench::new();
    let (got, error) = collect(bench.get(gzipped(json(200, Steps::chunks(whole.chunks(1_000))))).await).await;
    assert!(error.unwrap().to_string().contains("key"));
    assert!(got.len() > 64 << 10 && !String::from_utf8_lossy(&inflated(&got)).contains("AIza"));
    // But masked from its beginning on where the key stands there.
    let plain = format!("{{\"x\":\"{KEY}{}{KEY}\"}}", noise(200_000));
    let whole = gzip([&plain]).concat();
    let (got, error) = collect(Bench::new().get(gzipped(json(200, Steps::chunks(whole.chunks(1_000))))).await).await;
    assert!(error.is_none() && unpacked(&got) == plain.replace(KEY, STARS));
}

#[tokio::test(start_paused = true)]
async fn a_masked_answer_that_breaks_off_is_no_whole_one() {
    let texts = [event(KEY, 5), event("b", 6)];
    let chunks = gzip(&texts);
    for steps in [Steps::chunks(&chunks[..2]).then(Step::Fail), Steps::chunks(&chunks[..2])] {
        let (got, _) = collect(Bench::new().get(gzipped(events(steps))).await).await;
        assert_eq!(String::from_utf8(inflated(&got)).unwrap(), texts.concat().replace(KEY, STARS));
        assert!(MultiGzDecoder::new(&*got).read_to_end(&mut Vec::new()).is_err(), "it lacks its end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_where_it_cannot_be_masked_is_an_error_of_its_own_while_nothing_is_out() {
    // Forty times as much as it is packed.
    let lines = (0..7_500).map(|n| format!("{n:08}{}", "x".repeat(192))).collect::<Vec<_>>().concat();
    let whole = gzip([format!("{{\"x\":\"{lines}{KEY}\"}}")]).concat();
    assert!(whole.len() < 64 << 10 && lines.len() > 1 << 20, "{}", whole.len());
    for size in [1_000, 100_000] {
        let bench = Bench::new();
        let error =
            bench.ask(bench.request(), gzipped(json(200, Steps::chunks(whole.chunks(size))))).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 502);
        assert!(error.to_string().contains("key") && !error.to_string().contains(KEY), "{error}");
        assert_eq!(error.verdict().unwrap().elsewhere_of(), Elsewhere::No);
        assert_eq!(bench.all_told(), [(VerdictKind::Success, 1)], "it is no fault of the key's");
    }
}

#[tokio::test(start_paused = true)]
async fn what_breaks_off_while_it_is_held_may_be_asked_again() {
    let whole = gzip([r#"{"a":"b"}"#]).concat();
    let bench = Bench::new();
    let cut = gzipped(json(200, Steps::chunks([&whole[..12]]).then(Step::Fail)));
    let error = bench.ask(bench.request(), cut).await.unwrap_err();
    assert!(error.verdict().unwrap().is_provider_fault() && bench.told(VerdictKind::Success) == 0, "{error}");
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
        let response = gzipped(answer(200, "text/plain", Steps::chunks(chunks).then(Step::Fail)));
        let (got, error) = collect(bench.get(response).await).await;
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
    // As long as it is held, it can be masked.
    let plain = format!("{KEY}{}", "some text ".repeat(20_000));
    let whole = gzip([&plain]).concat();
    let response = bench.get(gzipped(json(429, Steps::chunks(whole.chunks(100))))).await;
    assert_eq!(kind(&response), VerdictKind::RateLimited);
    assert_eq!(unpacked(&collect(response).await.0), plain.replace(KEY, STARS));
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
