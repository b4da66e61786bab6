//! Hostile callers and providers: what of each is tested where, and here the rest of it — keys that a provider sends back,
//! texts that would write lines or steer a terminal, and answers that are larger or deeper than they look.
//!
//! | phrase of the brief (3a) | tests |
//! |---|---|
//! | hop-by-hop and `Connection`-named headers go before the key comes in | `smuggling::what_is_the_callers_own_goes_before_the_key_comes_in` |
//! | duplicates; encoded and case variants of `key`, `access_token`, `oauth_token`, `$httpHeaders`, `callback` | `smuggling::queries_that_would_be_headers_bodies_or_scripts_go_nowhere`, `smuggling::heads_that_two_could_read_in_two_ways_are_refused_or_made_one`, `framed::heads_of_http2_that_say_one_thing_here_and_another_behind_go_nowhere` |
//! | `x-goog-user-project`, `x-http-method-override`, cookies | `smuggling::what_is_the_callers_own_goes_before_the_key_comes_in` |
//! | absolute-form, `..`, `%2e%2e`, `//` | `guarding::targets_that_lead_elsewhere_are_refused` |
//! | `Set-Cookie`, `Alt-Svc`, HSTS, a `Location` with a key | `smuggling::what_binds_the_providers_host_or_opens_ours_to_pages_stays_behind_and_keys_are_blotted_out` |
//! | DNS rebinding, no-cors POSTs, CORS off | `guarding::hosts_and_origins_that_are_not_ours_are_refused`, `smuggling::pages_get_no_leave_to_ask`, `admin::only_the_administrators_token_opens_it_and_it_opens_nothing_else` |
//! | bodies, header count and bytes bounded | `smuggling::heads_have_a_bound_in_number_and_size`, `framed::heads_of_http2_have_a_bound`, `resources::`, and of answers [`a_head_without_an_end_is_no_answer`] |
//! | inflated size | [`what_is_packed_small_is_followed_to_a_bound`]; of judged answers `tests/layers/cooldown/gzip.rs` |
//! | JSON depth | `smuggling::json_however_deep_breaks_nothing`, of answers [`an_answer_however_deep_breaks_nothing`] |
//! | slow-loris time-outs | `guarding::a_head_that_does_not_come_to_its_end_is_waited_for_half_a_minute`, `dawdling::` |
//! | per-client connection limits | `dawdling::connections_have_a_bound_and_a_place_that_comes_free_is_taken`, `live::sockets_count_among_the_connections_until_they_end` |
//! | a flood of wrong tokens stays cheap | `dawdling::a_flood_of_wrong_tokens_reaches_nothing`, `admin::failed_log_ins_press_no_change_out_of_the_list` |
//! | log and terminal injection | [`nobody_writes_into_the_log_or_onto_the_terminal`], `commands::json_steers_no_terminal` |
//! | keys echoed by a provider in any body | [`a_key_that_is_sent_back_reaches_nobody`], [`what_cannot_be_looked_into_reaches_nobody`], [`an_error_shows_the_key_in_no_spelling`], [`an_error_shows_no_key_of_an_earlier_attempt`], [`a_good_answer_shows_no_key_of_another_request`], [`a_key_in_a_good_answer_that_is_packed_is_masked`], `live::a_socket_holds_its_lease_and_never_shows_the_key`; cut at every place: `tests/layers/cooldown/masking.rs` |

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http::Request;
use keypool::gateway::token::PLACEHOLDER;
use tower_keypool::{BoxError, Key};

use crate::{
    binary::{Running, keypool},
    hostile::answering,
    serving::{HELLO, ONE, TWO},
    support::{Answer, Served, ask, raw, try_ask},
};

const NATIVE: &str = "/v1beta/models/m:generateContent";
const STREAM: &str = "/v1beta/models/m:streamGenerateContent?alt=sse";
const CHAT: &str = "/v1/chat/completions";
const CHATTING: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#;

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn over(bytes: Vec<u8>) -> Served {
    let upstream = format!("http://{}", answering(bytes).await);
    Served::keys([Key::new(ONE).id("one")], &upstream, Duration::ZERO).await
}

async fn call(served: &Served, path: &str) -> Answer {
    try_call(served, path).await.unwrap()
}

async fn try_call(served: &Served, path: &str) -> Result<Answer, BoxError> {
    let request = Request::post(served.url(path)).header("content-type", "application/json");
    let (name, body) = if path == CHAT { ("authorization", CHATTING) } else { ("x-goog-api-key", HELLO) };
    let token = if path == CHAT { format!("Bearer {PLACEHOLDER}") } else { PLACEHOLDER.to_owned() };
    let asked = try_ask(request.header(name, token).header("accept-encoding", "gzip"), body);
    tokio::time::timeout(Duration::from_secs(120), asked).await.expect("an answer")
}

#[tokio::test]
async fn a_key_that_is_sent_back_reaches_nobody() {
    const JSON: &str = "content-type: application/json\r\n";
    const EVENTS: &str = "content-type: text/event-stream\r\n";

    let error = format!(
        r#"{{"error":{{"code":400,"message":"API key {ONE} cannot do this","status":"INVALID_ARGUMENT","details":[{{"metadata":{{"containerInfo":"{ONE}"}}}}]}}}}"#
    );
    let suspended = error.replace("\"code\":400", "\"code\":403").replace("INVALID_ARGUMENT", "PERMISSION_DENIED");
    let good = format!(r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"it is {ONE}"}}]}}}}]}}"#);
    let event = |text: &str| format!("data: {text}\r\n\r\n");
    let late = event(r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#) + &event(&error);
    let gzip = format!("{JSON}content-encoding: gzip\r\n");
    let page = format!("<html><body>key={ONE}&amp;x</body></html>");
    let cases = [
        ("an error", answer("400 Bad Request", JSON, error.as_bytes())),
        ("a key's fault", answer("403 Forbidden", JSON, suspended.as_bytes())),
        ("a page", answer("500 Oops", "content-type: text/html\r\n", page.as_bytes())),
        ("a good answer", answer("200 OK", JSON, good.as_bytes())),
        ("an error, packed", answer("400 Bad Request", &gzip, &packed(error.as_bytes()))),
        ("a good answer, packed", answer("200 OK", &gzip, &packed(good.as_bytes()))),
        ("a first event", answer("200 OK", EVENTS, event(&error).as_bytes())),
        ("a later event", answer("200 OK", EVENTS, late.as_bytes())),
        ("the tail of a stream", answer("200 OK", EVENTS, (late + &error).as_bytes())),
        ("a header", answer("200 OK", &format!("{JSON}x-echo: a{ONE}b\r\n"), b"{}")),
        ("a place", answer("302 Found", &format!("location: https://h.example/?key={ONE}\r\n"), b"")),
        ("a reason", answer(&format!("400 {ONE}"), JSON, b"{}")),
    ];
    for (what, bytes) in cases {
        let served = over(bytes).await;
        for path in [NATIVE, STREAM, CHAT] {
            let told = call(&served, path).await;
            let mut texts = vec![format!("{:?}", told.headers), String::from_utf8_lossy(&told.body).into_owned()];
            let mut plain = String::new();
            if std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*told.body), &mut plain).is_ok() {
                texts.push(plain);
            }
            assert!(!texts.iter().any(|text| text.contains(ONE)), "{what}, {path}: {texts:?}");
        }
    }
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-echo\r\n\r\n2\r\n{{}}\r\n0\r\nx-echo: {ONE}\r\n\r\n"
    );
    let head = format!(
        "POST {NATIVE} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nte: trailers\r\ncontent-length: 2\r\n\
         x-goog-api-key: {PLACEHOLDER}\r\n\r\n{{}}"
    );
    let told = raw(over(chunked.into()).await.address, &head).await;
    assert!(told.starts_with("HTTP/1.1 200 ") && !told.contains(ONE), "{told}");
    // Of an answer that came in one piece with them, whatever is held of it, too.
    for (kind, text) in [("text/event-stream", "data: {}\r\n\r\n"), ("application/json", ""), ("text/plain", "x")] {
        let chunk = if text.is_empty() { String::new() } else { format!("{:x}\r\n{text}\r\n", text.len()) };
        let whole = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n{chunk}0\r\n\
             x-sum: 42\r\n\r\n"
        );
        let told = raw(over(whole.into()).await.address, &head).await;
        assert!(told.ends_with("0\r\nx-sum: 42\r\n\r\n"), "{kind}: {told}");
    }
}

#[tokio::test]
async fn what_cannot_be_looked_into_reaches_nobody() {
    let echoed = format!(r#"{{"error":{{"message":"API key {ONE} cannot do this"}}}}"#);
    for encoding in ["deflate", "br", "zstd", "gzip, br"] {
        let headers = format!("content-type: application/json\r\ncontent-encoding: {encoding}\r\n");
        for (status, expected) in [("200 OK", 502), ("400 Bad Request", 400)] {
            // Its name is no promise: what stands there may be plain.
            let served = over(answer(status, &headers, echoed.as_bytes())).await;
            for path in [NATIVE, STREAM, CHAT] {
                let told = call(&served, path).await;
                assert!(!String::from_utf8_lossy(&told.body).contains(ONE), "{encoding}, {path}: {told:?}");
                assert_eq!(told.status, expected, "{encoding}, {path}: {told:?}");
                assert_eq!(told.header("content-encoding"), "", "{encoding}, {path}");
            }
        }
    }
}

#[tokio::test]
async fn an_error_shows_the_key_in_no_spelling() {
    let each = |form: fn(char) -> String| ONE.chars().map(form).collect::<String>();
    for spelled in [
        ONE.to_uppercase(),
        ONE.to_lowercase(),
        each(|c| format!("\\u{:04x}", u32::from(c))),
        each(|c| format!("\\u{:04X}", u32::from(c))),
        each(|c| format!("%{:02x}", u32::from(c))),
        ONE.replace('-', "\\u002d"),
    ] {
        let error =
            format!(r#"{{"error":{{"code":400,"message":"{spelled} is no use","status":"INVALID_ARGUMENT"}}}}"#);
        let gzip = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
        for bytes in [
            answer("400 Bad Request", "content-type: application/json\r\n", error.as_bytes()),
            answer("400 Bad Request", gzip, &packed(error.as_bytes())),
        ] {
            let served = over(bytes).await;
            for path in [NATIVE, CHAT] {
                let told = call(&served, path).await;
                let mut text = String::from_utf8_lossy(&told.body).into_owned();
                if told.header("content-encoding") == "gzip" {
                    text.clear();
                    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*told.body), &mut text).unwrap();
                }
                assert_eq!(told.status, 400);
                let bare = text.to_lowercase();
                assert!(!bare.contains(&spelled.to_lowercase()) && !bare.contains(&ONE.to_lowercase()), "{text}");
                assert!(text.contains("is no use"), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn an_error_shows_no_key_of_an_earlier_attempt() {
    let rate = answer("429 Too Many Requests", "", br#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#);
    let body = format!(r#"{{"error":{{"code":400,"message":"asked before by {ONE}","status":"INVALID_ARGUMENT"}}}}"#);
    let fault = answer("400 Bad Request", "content-type: application/json\r\n", body.as_bytes());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = vec![0; 4096];
            let count = stream.read(&mut read).await.unwrap();
            let asked_by_one = String::from_utf8_lossy(&read[..count]).contains(ONE);
            stream.write_all(if asked_by_one { &rate } else { &fault }).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    let keys = [Key::free(ONE).id("one"), Key::paid(TWO).id("two")];
    let served = Served::keys(keys, &upstream, Duration::ZERO).await;
    let told = call(&served, NATIVE).await;
    assert_eq!((told.status.as_u16(), told.header("x-keypool-attempts")), (400, "2"));
    let text = String::from_utf8_lossy(&told.body);
    assert!(text.contains("asked before by ***") && !text.contains(ONE), "{text}");
}

/// What a provider knows of one request it may say in the answer to another's.
#[tokio::test]
async fn a_good_answer_shows_no_key_of_another_request() {
    let parts =
        |text: &str| format!(r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{text}"}}]}}}}]}}"#);
    let event = |text: &str| format!("data: {}\r\n\r\n", parts(text));
    let escaped = |key: &str| format!("\\u{:04x}{}", key.as_bytes()[0], &key[1..]);
    let plain = format!("one is {ONE}, two is {TWO}.");
    let in_escapes = format!("one is {}, two is {}.", escaped(ONE), escaped(TWO));
    let stars = format!("one is {}, two is {}", "*".repeat(ONE.len()), "*".repeat(TWO.len()));
    let streaming = CHATTING.replace("{\"model\"", "{\"stream\":true,\"model\"");
    for (said, paths) in [(&plain, &[NATIVE, STREAM, CHAT][..]), (&in_escapes, &[CHAT])] {
        let json = answer("200 OK", "content-type: application/json\r\n", parts(said).as_bytes());
        let events = event("a") + &event(said) + &event("c");
        let events = answer("200 OK", "content-type: text/event-stream\r\n", events.as_bytes());
        for (bytes, body) in [(json, CHATTING), (events, &*streaming)] {
            let upstream = format!("http://{}", answering(bytes).await);
            let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two")];
            let served = Served::keys(keys, &upstream, Duration::ZERO).await;
            for path in paths {
                let request = Request::post(served.url(path)).header("content-type", "application/json");
                let told = if *path == CHAT {
                    try_ask(request.header("authorization", format!("Bearer {PLACEHOLDER}")), body.to_owned()).await
                } else {
                    try_ask(request.header("x-goog-api-key", PLACEHOLDER), HELLO).await
                };
                let told = told.unwrap();
                let text = String::from_utf8_lossy(&told.body);
                assert_eq!(told.status.as_u16(), 200, "{path}: {text}");
                assert!(!text.contains(ONE) && !text.contains(TWO), "{path}: {text}");
                assert!(
                    text.contains(&stars) || said == &in_escapes && text.contains(&"*".repeat(ONE.len())),
                    "{path}: {text}"
                );
            }
        }
    }
}

/// Each piece packed and flushed, and sent by itself.
fn flushed(headers: &str, pieces: &[String]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    let mut sent = format!("HTTP/1.1 200 OK\r\n{headers}content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    for piece in pieces {
        packer.write_all(piece.as_bytes()).unwrap();
        packer.flush().unwrap();
        chunks.push(std::mem::take(packer.get_mut()));
    }
    chunks.push(packer.finish().unwrap());
    let mut bytes = std::mem::take(&mut sent).into_bytes();
    for chunk in chunks {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn a_key_in_a_good_answer_that_is_packed_is_masked() {
    const JSON: &str = "content-type: application/json\r\n";
    let parts =
        |text: &str| format!(r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{text}"}}]}}}}]}}"#);
    let event = |text: &str| format!("data: {}\r\n\r\n", parts(text));
    let good = parts(&format!("it is {ONE}, {}", "really ".repeat(2_000)));
    let (head, tail) = good.split_at(60);
    let later = [event("a"), event("b"), event(&format!("it is {ONE}")), event("c")];
    for (what, bytes, plain) in [
        (
            "at once",
            answer("200 OK", &format!("{JSON}content-encoding: gzip\r\n"), &packed(good.as_bytes())),
            good.clone(),
        ),
        (
            "no JSON",
            answer("200 OK", "content-type: text/plain\r\ncontent-encoding: gzip\r\n", &packed(good.as_bytes())),
            good.clone(),
        ),
        ("in pieces", flushed(JSON, &[head.to_owned(), tail.to_owned()]), good.clone()),
        (
            "a list in pieces",
            flushed(JSON, &[format!("[{head}"), tail.to_owned(), "]".to_owned()]),
            format!("[{good}]"),
        ),
        ("a later event", flushed("content-type: text/event-stream\r\n", &later), later.concat()),
        ("the first event", flushed("content-type: text/event-stream\r\n", &later[2..]), later[2..].concat()),
    ] {
        let served = over(bytes).await;
        for path in [NATIVE, STREAM] {
            let told = call(&served, path).await;
            assert_eq!((told.status.as_u16(), told.header("content-encoding")), (200, "gzip"), "{what} {path}");
            let mut text = String::new();
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*told.body), &mut text).unwrap();
            assert_eq!(text, plain.replace(ONE, &"*".repeat(ONE.len())), "{what} {path}");
        }
    }
    // More text than is kept: there is no head yet, so that the answer can say why it is none.
    let bomb = parts(&format!("{}{ONE}", " ".repeat(2 << 20)));
    let served = over(answer("200 OK", &format!("{JSON}content-encoding: gzip\r\n"), &packed(bomb.as_bytes()))).await;
    for path in [NATIVE, CHAT] {
        let told = call(&served, path).await;
        let said = told.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!(told.status.as_u16(), 502, "{path}: {told:?}");
        assert!(said.contains("key") && !String::from_utf8_lossy(&told.body).contains(ONE), "{path}: {said}");
    }
    // One whose beginning is out ends in front of the key, as long as nobody flushed it.
    let mut state = 1_u32;
    let mut letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + (state >> 24) as u8 % 26)
    };
    let noise: String = (0..400_000).map(|_| letter()).collect();
    let large = parts(&format!("{noise}{ONE}"));
    let body = packed(large.as_bytes());
    assert!(body.len() > 1 << 17, "{}", body.len());
    let served = over(answer("200 OK", &format!("{JSON}content-encoding: gzip\r\n"), &body)).await;
    assert!(try_call(&served, NATIVE).await.is_err(), "cut off");
}

#[tokio::test]
async fn a_head_without_an_end_is_no_answer() {
    let many = (0..2_000).map(|n| format!("x-{n}: 1\r\n")).collect::<Vec<_>>().concat();
    for headers in [many, format!("x-long: {}\r\n", "a".repeat(4 << 20))] {
        let served = over(answer("200 OK", &headers, b"{}")).await;
        for path in [NATIVE, CHAT] {
            assert!(call(&served, path).await.status.is_server_error(), "{path}");
        }
    }
}

#[tokio::test]
async fn an_answer_however_deep_breaks_nothing() {
    for depth in [200, 100_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for status in ["200 OK", "400 Bad Request", "429 Too Many Requests"] {
            let body = format!(r#"{{"candidates":[{{"content":{{"parts":{deep}}}}}],"error":{{"details":{deep}}}}}"#);
            let served = over(answer(status, "content-type: application/json\r\n", body.as_bytes())).await;
            for path in [NATIVE, CHAT] {
                let told = call(&served, path).await;
                // As it came, or refused: what is read here is read to a bound.
                let fine = path == NATIVE || told.status.as_u16() >= 400;
                assert!(fine, "{depth} {status} {path}: {}", told.status);
            }
        }
    }
}

#[tokio::test]
async fn what_is_packed_small_is_followed_to_a_bound() {
    // 64 MiB in a sixteenth of one.
    let bomb = packed(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 18);
    let json = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    for status in ["200 OK", "400 Bad Request", "429 Too Many Requests"] {
        let served = over(answer(status, json, &bomb)).await;
        for path in [NATIVE, CHAT] {
            let told = call(&served, path).await;
            assert!(told.body.len() <= bomb.len(), "{status} {path}: {} bytes of it", told.body.len());
        }
    }
    let served = over(answer("200 OK", "content-type: application/json\r\n", b"{}")).await;
    for path in [CHAT, "/v1/messages", "/v1/embeddings", "/v1/responses"] {
        let request = Request::post(served.url(path)).header("authorization", format!("Bearer {PLACEHOLDER}"));
        let request = request.header("content-type", "application/json").header("content-encoding", "gzip");
        let told = tokio::time::timeout(Duration::from_secs(120), ask(request, bomb.clone())).await.expect("an answer");
        assert!(told.status.is_client_error(), "{path}: {}", told.status);
    }
}

/// Nothing of these may stand in a log or on a terminal.
const ACTING: [char; 5] = ['\u{1b}', '\u{9b}', '\u{202e}', '\u{7f}', '\u{2028}'];

/// The one that a text begins with, behind whatever stands between.
fn number(text: &str) -> Option<usize> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())].parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_into_the_log_or_onto_the_terminal() {
    let forged = "x\n2026-11-20 10:30:45 INFO forged=1\u{1b}[2J\u{9b}31m\u{202e}gpj\u{7f}\u{2028}";
    let message = serde_json::to_string(forged).unwrap();
    let body = format!(r#"{{"error":{{"code":403,"message":{message},"status":"PERMISSION_DENIED"}}}}"#);
    let bytes = answer("403 Forbidden", "content-type: application/json\r\n", body.as_bytes());
    let upstream = format!("http://{}", answering(bytes).await);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.txt"), ONE).unwrap();
    for format in ["text", "json"] {
        let options = ["serve", "--listen", "127.0.0.1:0", "--upstream", &upstream, "--wait", "0", "-v"];
        let mut command = keypool(&[&options[..], &["--log-format", format]].concat());
        command.current_dir(folder.path());
        let running = Running::of(command);
        let address = running.url.strip_prefix("http://").unwrap().parse().unwrap();
        let model = "m%0A2026-11-20%2010:30:45%20INFO%20forged=1%1B%5B2J%C2%9B31m%E2%80%AE%7F%E2%80%A8";
        for path in [format!("/v1beta/models/{model}:generateContent"), format!("/v1beta/{model}"), NATIVE.to_owned()] {
            for id in ["fine", "a b", "\u{9b}31m", "\u{202e}x", &"i".repeat(200), "forged=1"] {
                let head = format!(
                    "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-request-id: {id}\r\n\
                     user-agent: \u{9b}31m\r\nx-goog-api-key: {PLACEHOLDER}\r\ncontent-length: 2\r\n\r\n{{}}"
                );
                let told = raw(address, &head).await;
                assert!(told.starts_with("HTTP/1.1 "), "{told}");
            }
        }
        let named = serde_json::json!({ "model": forged, "messages": [{ "role": "user", "content": "x" }] });
        let chat = Request::post(format!("{}{CHAT}", running.url)).header("content-type", "application/json");
        ask(chat.header("authorization", format!("Bearer {PLACEHOLDER}")), named.to_string()).await;
        let (_, told) = tokio::task::spawn_blocking(move || running.end()).await.unwrap();
        // Paths that are none are refused before the token is looked at, and told together.
        let others: usize = told.split("others").skip(1).filter_map(number).sum();
        let lines = told.matches("request=").count() + told.matches("\"request\":").count();
        assert_eq!(lines + others, 19, "{told}");
        assert!(!told.contains(ACTING), "{format}: {told:?}");
        assert!(!told.lines().any(|line| line.starts_with("2026-11-20 10:30:45")), "{told}");
        assert!(!told.contains(ONE));
        if format == "json" {
            told.lines().for_each(|line| drop(serde_json::from_str::<serde_json::Value>(line).expect(line)));
        }
    }
}
