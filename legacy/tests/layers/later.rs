//! What the keys of one priority are refused another's may be for: that is found out at once, and remembered.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{
    Anthropic, Clock, Gemini, Key, KeyPool, KeyPoolBuilder, KeyPoolLayer, OpenAi, Priority, Provider, ReplayBody,
};

use crate::blame::{Body, json};

/// Keys of accounts of their own, `k0`, `k1`, …: so many of the first priority, and some behind them.
fn builder(provider: impl Provider, first: usize, behind: usize) -> KeyPoolBuilder {
    let keys = (0..first + behind).map(|n| {
        let priority = if n < first { Priority::FREE } else { Priority::PAID };
        Key::new(format!("sk-or-not-a-real-key-{n:04}")).id(format!("k{n}").as_str()).priority(priority)
    });
    let noon = "2026-06-15T12:00:00-07:00".parse::<jiff::Timestamp>().unwrap();
    KeyPool::builder(provider).keys(keys).clock(Clock::tokio_from(noon.into()))
}

/// Sends one request, to whom `refused` is answered by the first so many keys: its status, and the keys that were asked.
async fn send(pool: &KeyPool, (path, body): (&str, &str), first: usize, refused: (u16, &str)) -> (u16, Vec<usize>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (seen, said) = (Arc::clone(&asked), (refused.0, refused.1.to_owned()));
    let client = KeyPoolLayer::new(pool).layer(service_fn(move |request: Request<ReplayBody<Body>>| {
        let keys = request.headers().iter().filter_map(|(_, value)| value.to_str().ok()?.split_once("key-"));
        let key: usize = keys.map(|(_, number)| number.parse().unwrap()).next().unwrap();
        seen.lock().unwrap().push(key);
        let (status, said) = if key < first { said.clone() } else { (200, "{}".to_owned()) };
        async move {
            request.into_body().collect().await.unwrap();
            Ok::<_, std::io::Error>(json(status, said))
        }
    }));
    let request = Request::post(path).header("content-type", "application/json");
    let answer = client.oneshot(request.body(Full::from(body.to_owned())).unwrap()).await;
    let status = answer.as_ref().map_or_else(tower_keypool::Error::status, http::Response::status);
    if let Ok(answer) = answer {
        answer.into_body().collect().await.unwrap();
    }
    let keys = asked.lock().unwrap().clone();
    (status.as_u16(), keys)
}

const FLASH: (&str, &str) = ("/v1beta/models/gemini-2.5-flash:generateContent", "{}");
const CHAT: (&str, &str) = ("/v1/chat/completions", r#"{"model":"m-big"}"#);
const MESSAGES: (&str, &str) = ("/v1/messages", r#"{"model":"m-big"}"#);
const CALLER: &str =
    r#"{"error":{"code":403,"message":"The caller does not have permission","status":"PERMISSION_DENIED"}}"#;
const FORBIDDEN: &str =
    r#"{"error":{"code":403,"message":"No.","status":"PERMISSION_DENIED","details":[{"reason":"UNHEARD_OF"}]}}"#;
const NOT_FOUND: &str = r#"{"error":{"message":"The model `m-big` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
const NO_DEPLOYMENT: &str =
    r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#;
const PERMISSION: &str = r#"{"type":"error","error":{"type":"permission_error","message":"Your API key does not have permission to use the specified resource"}}"#;

#[tokio::test(start_paused = true)]
async fn what_only_a_later_priority_has_is_had_there() {
    for served_before in [false, true] {
        for pause in [0, 20, 400, 4_000] {
            for first in [1, 2, 3, 6] {
                let cases = [
                    (builder(Gemini::new(), first, 1), FLASH, 403, CALLER),
                    (builder(OpenAi::new(), first, 1), CHAT, 404, NOT_FOUND),
                    (builder(OpenAi::new(), first, 1), CHAT, 404, NO_DEPLOYMENT),
                    (builder(Anthropic::new(), first, 1), MESSAGES, 403, PERMISSION),
                ];
                for (builder, request, status, said) in cases {
                    let pool = builder.build().unwrap();
                    if served_before {
                        let (path, body) = (request.0.replace("2.5", "2.0"), request.1.replace("big", "small"));
                        for _ in 0..2 * first {
                            assert_eq!(send(&pool, (&path, &body), 0, (200, "{}")).await.0, 200);
                        }
                    }
                    let mut calls = 0;
                    for n in 0..30 {
                        let (answered, keys) = send(&pool, request, first, (status, said)).await;
                        assert_eq!(answered, 200, "{n}: {first} without, {keys:?}, {pause} s, {said}");
                        calls += keys.len();
                        tokio::time::advance(Duration::from_secs(pause)).await;
                    }
                    // Each that is refused is asked now and then, and no more.
                    assert!(calls <= 30 * (first.min(3) + 1), "{calls} calls: {first} without, {pause} s, {said}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_one_priority_it_is_found_out_by_the_first_who_is_served() {
    for (provider, request, status, said) in
        [(OpenAi::new(), CHAT, 404, NOT_FOUND), (OpenAi::new(), CHAT, 404, NO_DEPLOYMENT)]
    {
        let pool = builder(provider, 3, 0).build().unwrap();
        let mut refused = 0;
        for _ in 0..30 {
            let (answered, _) = send(&pool, request, 2, (status, said)).await;
            refused += usize::from(answered != 200);
            // When both are asked anew, the one that served shows that it is they.
            tokio::time::advance(Duration::from_secs(600)).await;
        }
        assert!(refused <= 1, "{refused} of 30: {said}");
    }
}

/// Sentences that blame a key, without a name, under a status that callers' mistakes have.
#[tokio::test(start_paused = true)]
async fn keys_that_a_sentence_blames_keep_nobody_from_those_behind_them() {
    let google = |message: &str, status: &str| {
        format!(r#"{{"error":{{"code":400,"message":"{message}","status":"{status}"}}}}"#)
    };
    let suspended = r#"{"error":"Account acc is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices."}"#;
    let incorrect = r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***56. You can obtain an API key from https://console.x.ai."}"#;
    for dead in [4, 5, 7, 15] {
        let cases = [
            (
                builder(Gemini::new(), dead, 2),
                FLASH,
                400,
                google("API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"),
            ),
            (
                builder(Gemini::new(), dead, 2),
                FLASH,
                400,
                google("API key expired. Please renew the API key.", "INVALID_ARGUMENT"),
            ),
            (
                builder(Gemini::new(), dead, 2),
                FLASH,
                400,
                google("Billing is disabled for this project.", "FAILED_PRECONDITION"),
            ),
            (builder(OpenAi::new(), dead, 2), CHAT, 400, incorrect.to_owned()),
            (builder(OpenAi::new(), dead, 2), CHAT, 412, suspended.to_owned()),
        ];
        for (builder, request, status, said) in cases {
            let pool = builder.build().unwrap();
            let mut calls = 0;
            for _ in 0..20 {
                let (answered, keys) = send(&pool, request, dead, (status, &said)).await;
                assert_eq!(answered, 200, "{dead} dead, {keys:?}: {said}");
                calls += keys.len();
            }
            assert!(calls <= 20 + 2 * dead, "{calls} calls, {dead} dead: {said}");
            assert_eq!(pool.snapshot().available_keys, 2, "{said}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_a_whole_sentence_blames_keep_nobody_from_those_beside_them() {
    for message in ["API key not valid. Please pass a valid API key.", "API key expired. Please renew the API key."] {
        let said = format!(r#"{{"error":{{"code":400,"message":"{message}","status":"INVALID_ARGUMENT"}}}}"#);
        let pool = builder(Gemini::new(), 14, 0).build().unwrap();
        for _ in 0..20 {
            let (answered, keys) = send(&pool, FLASH, 12, (400, &said)).await;
            assert_eq!(answered, 200, "{keys:?}: {message}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_tried_again_by_the_hour_is_also_where_two_failed_at_once() {
    let said =
        r#"{"error":{"code":400,"message":"Billing is disabled for this project.","status":"FAILED_PRECONDITION"}}"#;
    for dead in [1, 2, 3] {
        let pool = builder(Gemini::new(), dead, 1).build().unwrap();
        assert_eq!(send(&pool, FLASH, dead, (400, said)).await.0, 200);
        let probes = |pool: &KeyPool| {
            pool.snapshot().keys.iter().filter(|key| key.rests.iter().any(|rest| rest.probe_in.is_some())).count()
        };
        assert_eq!(probes(&pool), dead, "{:?}", pool.snapshot().keys);
        // The bill is paid.
        tokio::time::advance(Duration::from_secs(7_200)).await;
        for _ in 0..dead {
            assert_eq!(send(&pool, FLASH, 0, (400, said)).await.0, 200);
        }
        assert_eq!(pool.snapshot().available_keys, dead + 1, "{dead}");
    }
}

/// One bad moment, another's fault or a roll-out, is not held against who serves the model.
#[tokio::test(start_paused = true)]
async fn what_all_are_refused_once_keeps_nobody_from_whom_it_is_had() {
    for (behind, pause) in [(1, 20), (1, 600), (1, 7_200), (2, 600)] {
        for (provider, request, status, said) in [
            (Box::new(|| builder(Gemini::new(), 3, behind)) as Box<dyn Fn() -> KeyPoolBuilder>, FLASH, 403, CALLER),
            (Box::new(|| builder(OpenAi::new(), 3, behind)), CHAT, 404, NOT_FOUND),
            (Box::new(|| builder(OpenAi::new(), 3, behind)), CHAT, 404, NO_DEPLOYMENT),
            (Box::new(|| builder(Anthropic::new(), 3, behind)), MESSAGES, 403, PERMISSION),
        ] {
            let pool = provider().build().unwrap();
            assert_eq!(send(&pool, request, 3, (status, said)).await.0, 200);
            for n in 0..20 {
                if n % 5 == 0 {
                    // Whoever is refused alone rests for a minute.
                    send(&pool, request, 9, (status, said)).await;
                    tokio::time::advance(Duration::from_secs(61)).await;
                }
                let (answered, keys) = send(&pool, request, 3, (status, said)).await;
                assert_eq!(answered, 200, "{n}, {behind} behind, {pause} s, {keys:?}: {said}");
                tokio::time::advance(Duration::from_secs(pause)).await;
            }
        }
    }
}

/// Of those behind the first one, too, some may not have it.
#[tokio::test(start_paused = true)]
async fn whoever_has_it_is_found_among_those_behind() {
    for pause in [1, 60, 600, 7_200] {
        for (builder, request, status, said) in [
            (builder(Gemini::new(), 4, 1), FLASH, 403, CALLER),
            (builder(OpenAi::new(), 4, 1), CHAT, 404, NOT_FOUND),
            (builder(Anthropic::new(), 4, 1), MESSAGES, 403, PERMISSION),
        ] {
            let pool = builder.build().unwrap();
            // The fourth stands behind, and has it not.
            pool.set_priority(&"k3".into(), Priority::PAID).unwrap();
            let mut refused = 0;
            for _ in 0..30 {
                refused += usize::from(send(&pool, request, 4, (status, said)).await.0 != 200);
                tokio::time::advance(Duration::from_secs(pause)).await;
            }
            assert!(refused <= 2, "{refused} of 30, {pause} s: {said}");
        }
    }
}

/// However many priorities there are.
#[tokio::test(start_paused = true)]
async fn what_nobody_has_is_not_asked_of_every_priority() {
    for (status, said) in [
        (404, r#"{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}"#),
        (403, CALLER),
        (403, FORBIDDEN),
    ] {
        let pool = builder(Gemini::new(), 1, 23).build().unwrap();
        for n in 1..24 {
            pool.set_priority(&format!("k{n}").as_str().into(), Priority(n)).unwrap();
        }
        let mut calls = Vec::new();
        for _ in 0..20 {
            calls.push(send(&pool, FLASH, 24, (status, said)).await.1.len());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert!(calls.iter().all(|calls| *calls <= 5), "{calls:?}: {said}");
        assert!(calls[5..].iter().all(|calls| *calls <= 3), "{calls:?}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_everybody_is_refused_costs_three_and_one_behind_them() {
    let pool = builder(Gemini::new(), 6, 3).build().unwrap();
    for _ in 0..12 {
        assert_eq!(send(&pool, FLASH, 0, (200, "{}")).await.0, 200);
    }
    let mut behind = 0;
    for _ in 0..40 {
        let (answered, keys) = send(&pool, FLASH, 9, (403, FORBIDDEN)).await;
        assert_eq!(answered, StatusCode::FORBIDDEN.as_u16());
        assert!(keys.len() <= 4, "{keys:?}");
        behind += keys.iter().filter(|key| **key >= 6).count();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(behind <= 5, "nobody behind is asked for ever: {behind}");
    assert_eq!(pool.snapshot().available_keys, 9);
}

/// After some mistakes it is only for a while that no other priority is asked, whoever comes to one by himself meanwhile.
#[tokio::test(start_paused = true)]
async fn what_was_in_vain_for_a_while_is_tried_again() {
    let pool = builder(Gemini::new(), 2, 2).build().unwrap();
    pool.set_priority(&"k3".into(), Priority(20)).unwrap();
    for _ in 0..4 {
        assert_eq!(send(&pool, FLASH, 9, (403, CALLER)).await.0, 403);
    }
    let mut served = 0;
    for _ in 0..120 {
        tokio::time::advance(Duration::from_secs(5)).await;
        served += u32::from(send(&pool, FLASH, 3, (403, CALLER)).await.0 == 200);
    }
    assert!(served >= 110, "{served} of 120");
}

/// Each has several keys, all of which say the same.
#[tokio::test(start_paused = true)]
async fn one_owners_other_keys_are_asked_after_another_owners() {
    let keys = (0..36).map(|n| {
        let key = Key::new(format!("sk-or-not-a-real-key-{n:04}")).id(format!("k{n}").as_str());
        key.owner(format!("o{}", n / 12))
    });
    let noon = "2026-06-15T12:00:00-07:00".parse::<jiff::Timestamp>().unwrap();
    let pool = KeyPool::builder(Gemini::new()).keys(keys).clock(Clock::tokio_from(noon.into())).build().unwrap();
    for _ in 0..72 {
        assert_eq!(send(&pool, FLASH, 0, (200, "{}")).await.0, 200);
    }
    for _ in 0..10 {
        let (status, asked) = send(&pool, FLASH, 99, (403, FORBIDDEN)).await;
        assert_eq!(status, 403);
        assert!(asked.len() <= 4, "{asked:?}");
    }
}
