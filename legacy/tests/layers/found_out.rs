//! Keys that are no good are found out, whoever asks; and nobody finds a key out that is good.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{
    Anthropic, Clock, Error, Gemini, Key, KeyPool, KeyPoolLayer, OpenAi, Provider, ReplayBody, VerdictKind,
};

use crate::blame::{Body, json, pool, send};

const FLASH: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const MESSAGES: &str = "/v1/messages";
const OK: &str = r#"{"candidates":[]}"#;
const UNREAD: &str = r#"{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED","details":[{"reason":"ACCESS_TOKEN_TYPE_UNSUPPORTED"}]}}"#;
const FORBIDDEN: &str =
    r#"{"error":{"code":403,"message":"No.","status":"PERMISSION_DENIED","details":[{"reason":"UNHEARD_OF"}]}}"#;
const EXHAUSTED: &str = r#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}"#;
const LEAKED: &str = r#"{"error":{"code":403,"message":"Your API key was reported as leaked. Please use another API key.","status":"PERMISSION_DENIED"}}"#;

fn claude(message: &str) -> String {
    format!(r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{message}"}},"request_id":"r"}}"#)
}

fn status(answer: &Result<(u16, String, VerdictKind), Error>) -> u16 {
    answer.as_ref().map_or_else(|error| error.status().as_u16(), |(status, ..)| *status)
}

/// So many requests, each attempt answered alike: their statuses, and the calls of all.
async fn all(pool: &KeyPool, path: &str, requests: usize, code: u16, body: &str) -> (Vec<u16>, usize) {
    let (mut statuses, mut calls) = (Vec::new(), 0);
    for _ in 0..requests {
        tokio::time::advance(Duration::from_millis(10)).await;
        let said = body.to_owned();
        let asked = r#"{"model":"claude-x"}"#;
        let (answer, attempts) = send(pool, path, asked, move |_| json(code, said.clone())).await;
        statuses.push(status(&answer));
        calls += attempts;
    }
    (statuses, calls)
}

fn ready(pool: &KeyPool) -> usize {
    pool.snapshot().available_keys
}

#[tokio::test(start_paused = true)]
async fn keys_that_a_whole_sentence_blames_are_out_at_once() {
    let leaked = pool(Gemini::new(), 2);
    let (statuses, calls) = all(&leaked, FLASH, 20, 403, LEAKED).await;
    assert_eq!((statuses[0], calls, leaked.snapshot().disabled_keys), (403, 2, 2));
    assert!(statuses[1..].iter().all(|status| *status == 503), "{statuses:?}");
    for (message, code) in [
        (
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.",
            "CREDIT_BALANCE_TOO_LOW",
        ),
        ("This organization has been disabled.", "ORGANIZATION_DISABLED"),
        (
            "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
            "USAGE_LIMIT_REACHED",
        ),
    ] {
        let pool = pool(Anthropic::new(), 2);
        let (statuses, calls) = all(&pool, MESSAGES, 20, 400, &claude(message)).await;
        assert_eq!((calls, ready(&pool)), (2, 0), "{message}");
        assert!(statuses[1..].iter().all(|status| *status == 503), "{statuses:?}");
        assert_eq!(pool.snapshot().keys[0].rests[0].code, code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_has_more_or_less_said_takes_no_key_out() {
    for message in [
        "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits: Extra inputs are not permitted",
        "Your credit balance is too low to access the Anthropic API. x",
        "This organization has been disabled. (x)",
    ] {
        let pool = pool(Anthropic::new(), 3);
        let (statuses, _) = all(&pool, MESSAGES, 10, 400, &claude(message)).await;
        assert_eq!((statuses, ready(&pool)), (vec![400; 10], 3), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_refused_unread_are_out_when_nobody_is_served() {
    let pool = pool(Gemini::new(), 2);
    let (statuses, calls) = all(&pool, FLASH, 20, 401, UNREAD).await;
    assert_eq!((&statuses[..4], calls), (&[401, 401, 401, 503][..], 6), "{statuses:?}");
    assert!(statuses[3..].iter().all(|status| *status == 503));
    for _ in 0..2 {
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert!(all(&pool, FLASH, 2, 401, UNREAD).await.1 <= 2);
    }
    assert_eq!(pool.snapshot().disabled_keys, 2, "three strikes");
}

/// The body names the model there; errors of the paths that are compatible with another API come in a list.
#[tokio::test(start_paused = true)]
async fn keys_that_are_refused_on_a_native_path_are_out_for_its_model() {
    let pool = pool(Gemini::new(), 2);
    let (statuses, calls) = all(&pool, "/v1beta/interactions", 20, 401, UNREAD).await;
    assert_eq!((statuses[19], calls), (503, 6), "{statuses:?}");
    assert_eq!(all(&pool, FLASH, 2, 200, OK).await.0, [200, 200], "another model's");
    let pool = self::pool(Gemini::new(), 2);
    let (statuses, _) = all(&pool, "/v1beta/openai/chat/completions", 20, 401, &format!("[{UNREAD}]")).await;
    assert_eq!(statuses, [401; 20]);
    assert_eq!(ready(&pool), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_is_refused_unread_takes_no_key_from_those_who_are_served() {
    let pool = pool(Gemini::new(), 6);
    for _ in 0..12 {
        let (statuses, _) = all(&pool, FLASH, 2, 401, UNREAD).await;
        assert_eq!(statuses, [401, 401]);
        assert_eq!(all(&pool, FLASH, 1, 200, OK).await.0, [200]);
        assert_eq!(ready(&pool), 6);
    }
    // Nor with one path, or a model of his own, that everybody is refused on.
    for path in [
        "/v1beta/openai/chat/completions",
        "GET /v1beta/whatever",
        "/v1beta/tunedModels/his:generateContent",
        "GET /v1beta/interactions/x",
    ] {
        all(&pool, path, 10, 401, UNREAD).await;
        let (statuses, calls) = all(&pool, FLASH, 6, 200, OK).await;
        assert_eq!((statuses, calls), (vec![200; 6], 6), "{path}");
        assert_eq!(pool.snapshot().disabled_keys, 0, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_refused_without_a_reason_are_out_where_they_never_served() {
    let pool = pool(Gemini::new(), 2);
    let (statuses, calls) = all(&pool, FLASH, 20, 403, FORBIDDEN).await;
    assert_eq!((&statuses[..4], calls), (&[403, 403, 403, 503][..], 6), "{statuses:?}");
    for _ in 0..2 {
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert!(all(&pool, FLASH, 2, 403, FORBIDDEN).await.1 <= 2);
    }
    let said = "disabled (invalid)";
    assert!(pool.snapshot().keys.iter().all(|key| key.lanes.iter().any(|lane| lane.out.as_deref() == Some(said))));
    // For that model alone.
    assert_eq!(all(&pool, "/v1beta/models/gemini-2.5-pro:generateContent", 2, 200, OK).await.0, [200, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_is_refused_without_a_reason_takes_no_key_that_served() {
    let pool = pool(Gemini::new(), 4);
    all(&pool, FLASH, 4, 200, OK).await;
    for path in [FLASH, "/v1beta/models/gemini-2.5-pro:generateContent"] {
        for _ in 0..10 {
            let (statuses, calls) = all(&pool, path, 10, 403, FORBIDDEN).await;
            assert_eq!(statuses, [403; 10]);
            assert!(calls <= 30, "{calls}");
            tokio::time::advance(Duration::from_secs(600)).await;
        }
        assert_eq!((ready(&pool), all(&pool, path, 1, 200, OK).await.0[0]), (4, 200));
    }
}

/// Whose fault it is nobody can know who has not served anybody: the keys rest, and soon let one request after the other
/// find out.
#[tokio::test(start_paused = true)]
async fn a_caller_who_is_refused_without_a_reason_keeps_nobody_from_keys_that_are_new() {
    for keys in [1, 2, 4] {
        let pool = pool(Gemini::new(), keys);
        let (statuses, _) = all(&pool, FLASH, 20, 403, FORBIDDEN).await;
        assert_eq!(statuses.last(), Some(&503), "{keys} keys: they rest: {statuses:?}");
        tokio::time::advance(Duration::from_secs(1)).await;
        let (statuses, calls) = all(&pool, FLASH, 2 * keys, 200, OK).await;
        assert_eq!((statuses, calls), (vec![200; 2 * keys], 2 * keys), "{keys} keys");
        assert!(pool.snapshot().keys.iter().all(|key| key.rests.is_empty()), "each was found to be good");
    }
}

/// Though nobody else comes for a while: it lasts no longer than what was refused lasted.
#[tokio::test(start_paused = true)]
async fn a_caller_who_is_refused_for_a_while_keeps_others_from_new_keys_no_longer_than_that() {
    let pool = pool(Gemini::new(), 3);
    let mut calls = 0;
    for seconds in [60, 600, 1_800] {
        for _ in 0..seconds {
            tokio::time::advance(Duration::from_secs(1)).await;
            calls += all(&pool, FLASH, 1, 403, FORBIDDEN).await.1;
        }
        let others = KeyPool::clone(&pool);
        let next = others.try_acquire("gemini-2.5-flash").err().and_then(|error| error.retry_after());
        assert!(next.unwrap_or_default() <= Duration::from_secs(2 * seconds), "after {seconds} s: {next:?}");
    }
    assert!(calls < 120, "nor are keys that are no good asked again and again: {calls}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_only_compatible_paths_refuse_serves_native_ones() {
    let pool = pool(Gemini::new(), 1);
    let (answer, _) = send(&pool, "/v1beta/openai/chat/completions", r#"{"model":"gemini-2.5-flash"}"#, |_| {
        json(401, format!("[{UNREAD}]"))
    })
    .await;
    assert_eq!(status(&answer), 401);
    assert_eq!(all(&pool, FLASH, 1, 200, OK).await.0, [200]);
}

#[tokio::test(start_paused = true)]
async fn a_page_rests_the_way_out_only_where_models_are_asked() {
    let page = |_| {
        Response::builder().status(403).header("content-type", "text/html").body(Body::from("<html>no</html>")).unwrap()
    };
    let pool = pool(Gemini::new(), 2);
    for path in ["GET /v1beta/whatever", "/v1beta/corpora", "GET /v1beta/models"] {
        let (answer, attempts) = send(&pool, path, "", page).await;
        assert_eq!((status(&answer), attempts), (403, 1));
        assert!(pool.snapshot().exit_rest.is_none(), "{path}");
        assert_eq!(all(&pool, FLASH, 1, 200, OK).await.0, [200]);
    }
    send(&pool, FLASH, "{}", page).await.0.unwrap();
    assert!(pool.snapshot().exit_rest.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_page_is_believed_little_by_little() {
    let page = |_| {
        Response::builder().status(403).header("content-type", "text/html").body(Body::from("<html>no</html>")).unwrap()
    };
    let pool = pool(Gemini::new(), 2);
    let rest = || pool.snapshot().exit_rest.and_then(|rest| rest.ends_in).unwrap_or_default().as_secs();
    for _ in 0..3 {
        // One page between good answers is of something that passes.
        send(&pool, FLASH, "{}", page).await.0.unwrap();
        assert_eq!(rest(), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(all(&pool, FLASH, 1, 200, OK).await.0, [200]);
    }
    // A prompt that a firewall dislikes takes nobody else out for long; an address that is shut out finds that out.
    for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600] {
        send(&pool, FLASH, "{}", page).await.0.unwrap();
        assert_eq!(rest(), expected);
        tokio::time::advance(Duration::from_secs(expected)).await;
    }
    // One that says what it is about is believed at once.
    let robot = "<html>Your computer may be sending automated queries.</html>";
    let pool = self::pool(Gemini::new(), 2);
    let said =
        move |_| Response::builder().status(429).header("content-type", "text/html").body(Body::from(robot)).unwrap();
    send(&pool, FLASH, "{}", said).await.0.unwrap();
    assert_eq!(pool.snapshot().exit_rest.unwrap().ends_in, Some(Duration::from_secs(600)));
}

#[tokio::test(start_paused = true)]
async fn one_model_has_one_lane_however_it_is_spelled() {
    let pool = pool(Gemini::new(), 1);
    for model in ["gemini-2.5-flash", "google/gemini-2.5-flash", "models/gemini-2.5-flash", "Gemini-2.5-FLASH"] {
        let asked = format!(r#"{{"model":"{model}"}}"#);
        let path = "/v1beta/openai/chat/completions";
        assert_eq!(status(&send(&pool, path, &asked, |_| json(200, OK.to_owned())).await.0), 200);
    }
    let native = "/v1beta/models/GEMINI-2.5-flash:generateContent";
    assert_eq!(all(&pool, native, 1, 200, OK).await.0, [200]);
    let lanes = pool.snapshot().lanes;
    let models: Vec<_> = lanes.iter().filter_map(|lane| lane.model.as_deref()).filter(|model| *model != "*").collect();
    assert_eq!(models, ["gemini-2.5-flash"]);
}

#[tokio::test(start_paused = true)]
async fn anthropics_good_status_with_nothing_but_an_error_is_retried() {
    let pool = pool(Anthropic::new(), 2);
    let error = r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#;
    let good = r#"{"type":"message","content":[]}"#;
    let said = move |n| json(200, if n == 1 { error.to_owned() } else { good.to_owned() });
    let (answer, attempts) = send(&pool, MESSAGES, r#"{"model":"m"}"#, said).await;
    assert_eq!((answer.unwrap(), attempts), ((200, good.to_owned(), VerdictKind::Success), 2));
    assert_eq!(pool.snapshot().disabled_keys, 1);
}

#[tokio::test(start_paused = true)]
async fn geminis_good_status_with_nothing_but_an_error_is_held_against_its_key_and_retried_from_then_on() {
    let error =
        r#" {"error": {"code": 403, "status": "PERMISSION_DENIED", "details": [{"reason": "CONSUMER_SUSPENDED"}]}}"#;
    let pool = pool(Gemini::new(), 4);
    let off = || pool.snapshot().disabled_keys;
    // Nobody expects it of this provider, and good answers do not wait for what hardly ever comes.
    let (answer, attempts) = send(&pool, FLASH, "{}", move |_| json(200, error.to_owned())).await;
    assert_eq!((answer.unwrap().1, attempts, off()), (error.to_owned(), 1, 1));
    for n in 2..4 {
        let said = move |n| json(200, if n == 1 { error.to_owned() } else { OK.to_owned() });
        let (answer, attempts) = send(&pool, FLASH, "{}", said).await;
        assert_eq!((answer.unwrap(), attempts), ((200, OK.to_owned(), VerdictKind::Success), 2));
        assert_eq!(off(), n);
    }
    // What somebody stored says nothing of a key, nor does an operation that failed.
    let pool = self::pool(Gemini::new(), 2);
    let failed = r#"{"error": {"code": 403, "details": [{"reason": "CONSUMER_SUSPENDED"}]}, "name": "operations/1"}"#;
    for (path, body) in [("GET /v1beta/files/x:download?alt=media", error), (FLASH, failed)] {
        let (answer, attempts) = send(&pool, path, "", move |_| json(200, body.to_owned())).await;
        assert_eq!((answer.unwrap().1, attempts, ready(&pool)), (body.to_owned(), 1, 2), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_retry_of_a_providers_fault_goes_to_another_key() {
    use tower_keypool::{Clock, Key, Priority};
    let keys = [Key::new("sk-not-a-real-key-0000").id("k0"), Key::new("sk-not-a-real-key-0001").id("k1")];
    let [first, second] = keys;
    let clock = Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let pool =
        KeyPool::builder(OpenAi::new()).keys([first, second.priority(Priority::PAID)]).clock(clock).build().unwrap();
    for code in [500, 503] {
        let said = move |n| json(if n < 4 { code } else { 200 }, OK.to_owned());
        let (answer, attempts) = send(&pool, "/v1/chat/completions", r#"{"model":"m"}"#, said).await;
        assert_eq!((status(&answer), attempts), (200, 4));
    }
    let snapshot = pool.snapshot();
    let started: Vec<_> = snapshot.keys.iter().map(|key| key.started).collect();
    assert_eq!((started, snapshot.spills), (vec![6, 2], 0), "not for want of the first");
    // Where there is none, the same key once more.
    let pool = self::pool(OpenAi::new(), 1);
    let (answer, attempts) = send(&pool, "/v1/chat/completions", "{}", |_| json(500, OK.to_owned())).await;
    assert_eq!((status(&answer), attempts), (500, 4));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_is_told_of_a_limit_without_a_name_takes_no_key_from_those_who_are_served() {
    for keys in [4, 20, 60] {
        let pool = pool(Gemini::new(), keys);
        assert_eq!(all(&pool, FLASH, 60, 200, OK).await.0, [200; 60]);
        for _ in 0..40 {
            let (_, calls) = all(&pool, FLASH, 1, 429, EXHAUSTED).await;
            assert!((1..=16).contains(&calls), "{calls} calls with {keys} keys");
            for _ in 0..15 {
                tokio::time::advance(Duration::from_secs(1)).await;
                assert_eq!(all(&pool, FLASH, 1, 200, OK).await, (vec![200], 1), "{keys} keys");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_at_a_limit_without_a_name_are_all_asked_for_the_one_that_is_not() {
    let pool = pool(Gemini::new(), 100);
    let said = |n| if n == 100 { json(200, OK.to_owned()) } else { json(429, EXHAUSTED.to_owned()) };
    let (answer, attempts) = send(&pool, FLASH, "{}", said).await;
    assert_eq!((status(&answer), attempts), (200, 100));
    // Whoever was told waits for what he was told, however soon others may try.
    let (answer, attempts) = send(&pool, FLASH, "{}", |_| json(429, EXHAUSTED.to_owned())).await;
    assert_eq!((status(&answer), attempts), (429, 1));
    tokio::time::advance(Duration::from_secs(1)).await;
    let (answer, attempts) =
        send(&pool, FLASH, "{}", |n| json(if n == 3 { 200 } else { 429 }, EXHAUSTED.to_owned())).await;
    assert_eq!((status(&answer), attempts), (200, 3), "one after the other finds out");
}

/// Keys of these owners, that many of each.
fn owned(provider: impl Provider, owners: usize, each: usize) -> KeyPool {
    let keys = (0..owners * each).map(|n| {
        let key = Key::new(format!("sk-not-a-real-key-{n:04}")).id(format!("k{n}").as_str());
        key.owner(format!("o{}", n / each).as_str())
    });
    let clock = Clock::tokio_from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    KeyPool::builder(provider).keys(keys).clock(clock).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_one_owners_keys_all_say_is_not_asked_of_each() {
    const CHAT: &str = "/v1/chat/completions";
    const NO_MODEL: &str = r#"{"error":{"message":"The model `claude-x` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
    const CREDITS: &str = r#"{"error":{"message":"This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 100.","code":402}}"#;
    for (owners, each, code, body, most) in [
        (1, 100, 404, NO_MODEL, 3),
        (2, 50, 404, NO_MODEL, 6),
        (1, 100, 402, CREDITS, 1),
        (100, 1, 402, CREDITS, 9),
        (1, 100, 403, r#"{"error":{"message":"No."}}"#, 16),
    ] {
        let pool = owned(OpenAi::new(), owners, each);
        for _ in 0..3 {
            let (statuses, calls) = all(&pool, CHAT, 1, code, body).await;
            assert_eq!(statuses, [code], "{owners} x {each}: {body}");
            assert!((1..=most).contains(&calls), "{owners} x {each}: {calls} calls, {body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_owner_may_have_the_model_that_all_keys_of_one_lack() {
    let pool = owned(OpenAi::new(), 2, 20);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let client = KeyPoolLayer::new(&pool).layer(service_fn(move |request: Request<ReplayBody<Body>>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let key = request.headers()["authorization"].to_str().unwrap();
        let has_it = key[key.len() - 4..].parse::<usize>().unwrap() >= 20;
        let said = if has_it { "{}" } else { r#"{"error":{"message":"No such model","code":"model_not_found"}}"# };
        std::future::ready(Ok::<_, std::io::Error>(json(if has_it { 200 } else { 404 }, said.to_owned())))
    }));
    for _ in 0..40 {
        let before = asked.load(Ordering::Relaxed);
        let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
        let request = request.body(Body::from(r#"{"model":"claude-x"}"#)).unwrap();
        assert_eq!(client.clone().oneshot(request).await.unwrap().status(), 200);
        assert!(asked.load(Ordering::Relaxed) - before <= 4, "three of the one, and the other");
    }
    assert!(asked.load(Ordering::Relaxed) <= 40 + 20, "{asked:?}");
}

/// A key may be refused what else its provider has (an administrator's calls, one method), and serve models as before.
#[tokio::test(start_paused = true)]
async fn a_key_that_serves_is_not_switched_off_by_a_call_of_another_kind() {
    let claude = claude("invalid x-api-key").replace("invalid_request_error", "authentication_error");
    let openai = r#"{"error":{"message":"Incorrect API key provided: sk-x.","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    let blocked = "Requests to this API generativelanguage.googleapis.com method \
                   google.ai.generativelanguage.v1beta.FileService.ListFiles are blocked.";
    let google = serde_json::json!({"error": {"code": 403, "message": blocked, "status": "PERMISSION_DENIED", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_SERVICE_BLOCKED", "domain": "googleapis.com"}
    ]}})
    .to_string();
    for (pool, model, path, code, said) in [
        (pool(Anthropic::new(), 4), MESSAGES, "GET /v1/organizations/me", 401, claude.as_str()),
        (pool(OpenAi::new(), 4), "/v1/chat/completions", "GET /v1/dashboard/billing", 401, openai),
        (pool(OpenAi::new(), 4), "/v1/chat/completions", "/v1/organization/invites", 401, openai),
        (pool(Gemini::new(), 4), FLASH, "GET /v1beta/files", 403, &google),
    ] {
        let asked = r#"{"model":"m","messages":[],"max_tokens":9}"#;
        for _ in 0..8 {
            let (good, _) = send(&pool, model, asked, |_| json(200, "{}".to_owned())).await;
            assert_eq!(status(&good), 200, "{path}: {good:?}");
        }
        let told = said.to_owned();
        let (answer, attempts) = send(&pool, path, "", move |_| json(code, told.clone())).await;
        assert!(status(&answer) == code && attempts <= 4, "{path}: {answer:?} after {attempts}");
        assert_eq!(ready(&pool), 4, "{path}");
        let (good, _) = send(&pool, model, asked, |_| json(200, "{}".to_owned())).await;
        assert_eq!(status(&good), 200, "{path}: {good:?}");
        // Where models are asked it is the key, whatever it did before.
        let told = said.to_owned();
        let (answer, attempts) = send(&pool, model, asked, move |_| json(code, told.clone())).await;
        assert!(attempts == 4 && ready(&pool) == 0, "{path}: {answer:?} after {attempts}");
    }
}
