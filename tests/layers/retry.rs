//! Which requests are retried, and what the caller gets in the end.

use std::time::Duration;

use http::StatusCode;
use tower_keypool::{ErrorClass, ErrorKind, KeyRequest, pool::UnavailableReason};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn key_fault_is_hidden_while_another_key_serves() {
    for fault in [invalid as fn() -> Answer, denied, || rate_limited(30), || suspended(0)] {
        let pool = pool(4);
        let response = send(&pool, move |key| if key < 3 && key != 1 { fault() } else { good() }).await.unwrap();
        assert_eq!(response.status(), 200);
        let tried = tried(attempts(&response));
        assert!(tried.ends_with(&["k1".into()]) || tried.ends_with(&["k3".into()]), "{tried:?}");
        let response = send(&pool, move |key| if key == 1 { good() } else { fault() }).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(attempts(&response).last().unwrap().class(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn status_101_and_304_are_not_retried() {
    for status in [101, 304] {
        let response = send(&pool(2), move |_| answer(status, "")).await.unwrap();
        assert_eq!((response.status().as_u16(), attempts(&response).len()), (status, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn callers_fault_is_returned_and_opens_no_breaker() {
    let pool = pool(2);
    let response = send(&pool, |_| callers_fault()).await.unwrap();
    assert_eq!(response.status(), 400);
    assert!(text(response).await.contains("no contents"));
    assert_eq!(pool.stats().sent, 1);
    assert_eq!(breakers(&pool), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn unavailable_error_replaces_the_last_refusal() {
    for fault in [invalid as fn() -> Answer, denied, || rate_limited(30)] {
        let pool = pool(2);
        for _ in 0..2 {
            let error = send(&pool, move |_| fault()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert_eq!(error.as_unavailable().unwrap().keys(), 2);
        }
        let error = send(&pool, move |_| fault()).await.unwrap_err();
        assert_eq!(error.attempts().len(), 0, "both keys cool down: {error}");
        assert!(error.retry_after().is_some_and(|after| after > SECOND), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn error_carries_the_attempts_and_retry_after() {
    let pool = pool(2);
    let error = send(&pool, |_| rate_limited(30)).await.unwrap_err();
    assert_eq!(tried(error.attempts()).len(), 2);
    assert!(error.attempts().iter().all(|attempt| attempt.status() == Some(StatusCode::TOO_MANY_REQUESTS)));
    let after = error.retry_after().unwrap();
    assert!((29 * SECOND..=30 * SECOND).contains(&after), "{after:?}");
    assert_eq!(error.as_unavailable().unwrap().reasons(), [(UnavailableReason::Cooling, 2)]);
    assert!(!format!("{error} {error:?}").contains("AIza"));
}

#[tokio::test(start_paused = true)]
async fn request_waits_for_keys_in_a_short_cooldown() {
    let pool = builder(2).wait(5 * SECOND).build().unwrap();
    let (calls, begun) = (Calls::default(), now());
    let respond = move |_| if calls.next() < 2 { rate_limited(2) } else { good() };
    let response = send(&pool, respond).await.unwrap();
    assert_eq!(response.status(), 200);
    let took = begun.elapsed();
    assert!((2 * SECOND..3 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn eight_keys_are_tried_at_once_and_more_only_within_the_wait() {
    let dead = |key| if key == 19 { good() } else { suspended(key) };
    let pool = pool(20);
    let error = send(&pool, dead).await.unwrap_err();
    assert_eq!((error.kind(), pool.stats().sent), (ErrorKind::Unavailable, 8));
    assert_eq!(error.as_unavailable().unwrap().reasons()[0].0, UnavailableReason::Tried);
    assert_eq!(error.retry_after(), Some(SECOND));
    assert!(
        error
            .to_string()
            .starts_with("gave up for gemini-2.5-flash: 8 already tried for this request; try again in 1 s"),
        "{error}"
    );

    let pool = builder(20).wait(60 * SECOND).build().unwrap();
    let begun = now();
    let error = send(&pool, dead).await.unwrap_err();
    assert_eq!((error.attempts().len(), pool.stats().sent), (16, 16));
    let took = begun.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(9)).contains(&took), "{took:?}");
    assert_eq!(send(&pool, dead).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn provider_fault_is_tried_three_times_and_then_passed_on() {
    let pool = pool(4);
    let begun = now();
    let response = send(&pool, |_| overloaded()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let took = begun.elapsed();
    assert!((Duration::from_millis(750)..Duration::from_millis(1_130)).contains(&took), "{took:?}");
    assert_eq!(attempts(&response).len(), 3);
    assert!(text(response).await.contains("overloaded"));
    assert_eq!(breakers(&pool), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn single_key_is_retried_after_a_provider_fault() {
    let (pool, calls) = (pool(1), Calls::default());
    let response = send(&pool, move |_| if calls.next() == 0 { overloaded() } else { good() }).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(tried(attempts(&response)), ["k0", "k0"]);
}

/// Google sometimes cancels requests itself, with status 499.
#[tokio::test(start_paused = true)]
async fn status_499_is_retried_and_then_becomes_503() {
    let pool = pool(2);
    let cancelled = |_| error(499, "CANCELLED", "The operation was cancelled.", "");
    let response = send(&pool, cancelled).await.unwrap();
    assert_eq!((response.status().as_u16(), attempts(&response).len()), (503, 3));
    assert!(text(response).await.contains("CANCELLED"));
    assert_eq!(breakers(&pool), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn retry_waits_for_retry_after_up_to_five_seconds() {
    let with = |value: &'static str| {
        let mut response = overloaded();
        response.headers_mut().insert("retry-after", value.parse().unwrap());
        response
    };
    for (value, sent, at_least) in [("3", 3, 6 * SECOND), ("6", 1, Duration::ZERO)] {
        let begun = now();
        let response = send(&pool(2), move |_| with(value)).await.unwrap();
        assert_eq!((response.status().as_u16(), attempts(&response).len()), (503, sent));
        assert!(begun.elapsed() >= at_least && begun.elapsed() <= at_least + SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn provider_may_forbid_a_retry() {
    let respond = |_| {
        let mut response = overloaded();
        response.headers_mut().insert("x-should-retry", "false".parse().unwrap());
        response
    };
    let response = send(&pool(2), respond).await.unwrap();
    assert_eq!((response.status().as_u16(), attempts(&response).len()), (503, 1));
}

#[tokio::test(start_paused = true)]
async fn retries_after_faults_share_a_budget() {
    use tower::{Layer, ServiceExt};
    use tower_keypool::{KeyPoolLayer, RetryPolicy};
    let pool = pool(50);
    let policy = RetryPolicy::new(&pool).budget(0.0, 1).max_provider_faults(2).seed(1);
    let client = KeyPoolLayer::new(&pool).retry(policy).layer(provider(|_| overloaded()));
    for number in 0..40 {
        // Each request names another model, whose breaker stays closed.
        let ask = request(&format!("/v1beta/models/gemini-{number}:generateContent"));
        assert_eq!(client.clone().oneshot(ask).await.unwrap().status(), 503);
    }
    let sent = pool.stats().sent;
    assert!((45..=60).contains(&sent), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn request_that_creates_a_resource_is_retried_only_after_a_key_refusal() {
    let pool = pool(3);
    let mut once = ask();
    once.extensions_mut().insert(KeyRequest::model(MODEL).not_idempotent());
    let response = send_request(&pool, once.clone(), |_| overloaded()).await.unwrap();
    assert_eq!((response.status().as_u16(), attempts(&response).len()), (503, 1));
    // A refused key means that nothing was created.
    let response = send_request(&pool, once, |key| if key == 2 { good() } else { invalid() }).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn same_refusal_of_three_projects_is_the_callers_fault() {
    let pool = pool(10);
    for _ in 0..5 {
        let response = send(&pool, |_| denied()).await.unwrap();
        assert_eq!((response.status().as_u16(), attempts(&response).len()), (403, 3));
        assert!(attempts(&response).iter().all(|attempt| attempt.class() == Some(ErrorClass::Unclear)));
        assert_eq!(breakers(&pool), Vec::<String>::new());
    }
}

/// A 401 without a cause is usually the key's fault, so it is the caller's only if it comes from every project.
#[tokio::test(start_paused = true)]
async fn keys_with_an_unclear_401_are_disabled_while_another_project_serves() {
    let refused = || answer(401, r#"{"error":{"message":"User not found.","code":401}}"#);
    let with_reserve = pool(4);
    for _ in 0..4 {
        let response = send(&with_reserve, move |key| if key < 3 { refused() } else { good() });
        assert_eq!(response.await.unwrap().status(), 200);
        tokio::time::advance(301 * SECOND).await;
    }
    assert_eq!(breakers(&with_reserve), ["key k0 Disabled", "key k1 Disabled", "key k2 Disabled"]);
    for keys in [4, 8] {
        let pool = pool(keys);
        let response = send(&pool, move |_| refused()).await.unwrap();
        assert_eq!((response.status().as_u16(), attempts(&response).len()), (401, keys));
        assert_eq!(breakers(&pool), Vec::<String>::new());
    }
}

/// Ten of twelve keys are dead, more than a request tries without a pause.
#[tokio::test(start_paused = true)]
async fn many_keys_with_an_unclear_401_are_disabled_and_no_caller_gets_it() {
    let pool = builder(12).wait(5 * SECOND).build().unwrap();
    let refused = || answer(401, r#"{"error":{"message":"User not found.","code":401}}"#);
    for _ in 0..200 {
        let response = send(&pool, move |key| if key < 10 { refused() } else { good() });
        assert_eq!(response.await.unwrap().status(), 200);
        tokio::time::advance(20 * SECOND).await;
    }
    assert_eq!(breakers(&pool).iter().filter(|breaker| breaker.ends_with("Disabled")).count(), 10);
}

/// More keys than a request tries.
#[tokio::test(start_paused = true)]
async fn unclear_401_from_keys_that_have_served_is_the_callers() {
    let pool = builder(20).wait(5 * SECOND).build().unwrap();
    for _ in 0..20 {
        assert_eq!(send(&pool, |_| good()).await.unwrap().status(), 200);
    }
    for _ in 0..3 {
        let response = send(&pool, |_| answer(401, r#"{"detail":"Unauthorized"}"#));
        assert_eq!(response.await.unwrap().status(), 401);
    }
    assert_eq!(breakers(&pool), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn refused_address_is_returned_after_the_first_key_unless_another_exit_serves() {
    use tower_keypool::{Gemini, Key, KeyPool};
    let refused = || error(400, "FAILED_PRECONDITION", "User location is not supported for the API use.", "");
    let pool = pool(10);
    let response = send(&pool, move |_| refused()).await.unwrap();
    assert_eq!((response.status().as_u16(), attempts(&response).len()), (400, 1));
    assert!(text(response).await.contains("User location is not supported"));
    assert_eq!(breakers(&pool), Vec::<String>::new());

    let exits = || {
        let key = |n: usize| Key::new(crate::support::secret(n)).exit(if n == 0 { "here" } else { "there" });
        KeyPool::builder(Gemini::new()).keys((0..9).map(key)).wait(60 * SECOND).build().unwrap()
    };
    let (pool, page) = (exits(), || answer(403, "<html><head><title>403 Forbidden</title></head>"));
    for _ in 0..9 {
        let response = send(&pool, move |key| if key == 0 { refused() } else { good() });
        assert_eq!(response.await.unwrap().status(), 200);
    }
    assert_eq!(breakers(&pool), ["exit here Cooling"]);

    // A page may refuse the address or this prompt, so it closes no exit.
    let pool = exits();
    for _ in 0..9 {
        let response = send(&pool, move |key| if key == 0 { page() } else { good() });
        assert_eq!(response.await.unwrap().status(), 200);
    }
    let response = send(&pool, move |_| page()).await.unwrap();
    assert_eq!((response.status().as_u16(), attempts(&response).len()), (403, 9));
    assert_eq!(breakers(&pool), Vec::<String>::new());

    let cooling = builder(2).wait(60 * SECOND).build().unwrap();
    let once = |key| if key == 0 { rate_limited(30) } else { good() };
    while breakers(&cooling).is_empty() {
        send(&cooling, once).await.unwrap();
    }
    let begun = now();
    let response = send(&cooling, move |_| page()).await.unwrap();
    assert_eq!((response.status().as_u16(), attempts(&response).len(), begun.elapsed()), (403, 1, Duration::ZERO));
}

/// Counting tokens and creating batches have quotas of their own.
#[tokio::test(start_paused = true)]
async fn limit_of_an_uncounted_request_does_not_affect_the_model() {
    let minute = r#"{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/count_tokens_requests","quotaId":"CountTokensRequestsPerMinutePerProject","quotaValue":"2"}]}"#;
    for verb in ["countTokens", "batchGenerateContent"] {
        for details in [minute, &minute.replace("PerMinute", "PerDay")] {
            let pool = pool(3);
            let uncounted = || request(&format!("/v1beta/models/{MODEL}:{verb}"));
            let limited = || error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details);
            let error = send_request(&pool, uncounted(), |_| limited()).await.unwrap_err();
            assert_eq!((error.kind(), error.attempts().len()), (ErrorKind::Unavailable, 3), "each key is tried once");
            let response = send_request(&pool, uncounted(), |key| if key < 2 { limited() } else { good() });
            assert_eq!(response.await.unwrap().status(), 200);
            assert_eq!(breakers(&pool), Vec::<String>::new());
            for _ in 0..9 {
                assert_eq!(send(&pool, |_| good()).await.unwrap().status(), 200, "no limit is learned");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn model_that_no_project_may_use_is_a_404_in_a_small_pool() {
    let unknown = || error(404, "NOT_FOUND", "The model does not exist or you do not have access to it.", "");
    for projects in 1..=4 {
        let pool = pool(projects);
        let response = send(&pool, move |_| unknown()).await.unwrap();
        assert_eq!((response.status().as_u16(), attempts(&response).len()), (404, projects.min(3)));
        assert_eq!(breakers(&pool), Vec::<String>::new());
    }
    let pool = pool(3);
    pool.disable(&"k2".into(), "no longer needed").unwrap();
    assert_eq!(send(&pool, move |_| unknown()).await.unwrap().status(), 404, "no other project can serve");
    assert_eq!(send(&pool, move |key| if key == 0 { unknown() } else { good() }).await.unwrap().status(), 200);
    assert_eq!(breakers(&pool), ["key k2 Disabled", "project p0 for gemini-2.5-flash Cooling"]);
    assert_eq!(send(&pool, move |_| unknown()).await.unwrap().status(), 404, "p0 may not use it either");
}

#[tokio::test(start_paused = true)]
async fn unknown_model_opens_no_breaker() {
    let pool = pool(3);
    let message = "models/gemini-9 is not found for API version v1beta, or is not supported for generateContent.";
    let response = send(&pool, |_| error(404, "NOT_FOUND", message, "")).await.unwrap();
    assert_eq!((response.status().as_u16(), attempts(&response).len()), (404, 1));
    assert_eq!(breakers(&pool), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn request_to_another_host_takes_no_key() {
    let pool = pool(1);
    let error = send_request(&pool, request("https://other.example/v1beta/models/m:generateContent"), |_| good());
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert_eq!(pool.stats().sent, 0);
}

/// The provider tells both keys to wait 2 s; later requests wait for them and none is refused.
#[tokio::test(start_paused = true)]
async fn requests_wait_until_the_named_delay_of_every_key_ends() {
    let pool = builder(2).wait(5 * SECOND).build().unwrap();
    for _ in 0..2 {
        let impatient = KeyRequest::model(MODEL).wait(Duration::ZERO);
        let mut ask = ask();
        ask.extensions_mut().insert(impatient);
        send_request(&pool, ask, |_| rate_limited(2)).await.unwrap_err();
    }
    let begun = now();
    let sent: Vec<_> = (0..4).map(|_| send(&pool, |_| good())).collect();
    for response in futures_util::future::join_all(sent).await {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert!(begun.elapsed() <= 2 * SECOND, "{:?}", begun.elapsed());
}

/// Five faults in a row open the model's breaker. The retries wait for it although the pool's wait is zero.
#[tokio::test(start_paused = true)]
async fn retries_outlast_a_short_overload() {
    let pool = pool(5);
    let begun = now();
    let over = move || begun.elapsed() < Duration::from_millis(400);
    let sent: Vec<_> = (0..5).map(|_| send(&pool, move |_| if over() { overloaded() } else { good() })).collect();
    for response in futures_util::future::join_all(sent).await {
        assert_eq!(response.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn key_fault_is_hidden_when_the_body_is_too_large_to_replay() {
    use tower::{Layer, ServiceExt};
    let pool = pool(2);
    let client = tower_keypool::KeyPoolLayer::new(&pool).replay_up_to(4).layer(provider(|_| suspended(0)));
    let error = client.oneshot(ask()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts().len()), (ErrorKind::Unavailable, 1));
    assert_eq!(error.retry_after(), Some(SECOND), "the other key is ready");
    assert!(error.with_cause().ends_with("the body is too large to be sent again with another key"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn fallback_model_serves_when_the_first_one_is_limited() {
    use tower::{Layer, ServiceExt, service_fn};
    use tower_keypool::{BoxError, KeyPoolLayer, ModelFallbackLayer, ReplayBody};
    let pool = pool(2);
    let lists = ModelFallbackLayer::new(&pool, [MODEL, "gemini-2.5-flash-lite"]);
    let client =
        KeyPoolLayer::new(&pool).fallback(lists).layer(service_fn(async |request: http::Request<ReplayBody<Body>>| {
            let lite = request.uri().path().contains("flash-lite");
            Ok::<_, BoxError>(if lite { good() } else { rate_limited(60) })
        }));
    let response = client.oneshot(ask()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(attempts(&response).len(), 3);
}

/// Another model may be cheaper, part of the plan, or have another quota.
#[tokio::test(start_paused = true)]
async fn fallback_model_serves_when_every_key_refuses_this_request() {
    use tower::{Layer, ServiceExt, service_fn};
    use tower_keypool::{BoxError, KeyPoolLayer, ModelFallbackLayer, ReplayBody};
    for (status, message, expected) in [
        (402, "This request requires more credits, or fewer max_tokens.", 200),
        (403, "This request requires a separate subscription.", 200),
        (429, "You exceeded your file storage quota.", 200),
        (403, "The request was flagged.", 403),
    ] {
        let pool = pool(2);
        let lists = ModelFallbackLayer::new(&pool, [MODEL, "gemini-2.5-flash-lite"]);
        let respond = move |request: http::Request<ReplayBody<Body>>| {
            let lite = request.uri().path().contains("flash-lite");
            std::future::ready(Ok::<_, BoxError>(if lite { good() } else { error(status, "", message, "") }))
        };
        let client = KeyPoolLayer::new(&pool).fallback(lists).layer(service_fn(respond));
        assert_eq!(client.oneshot(ask()).await.unwrap().status(), expected, "{message}");
        assert_eq!(breakers(&pool), Vec::<String>::new());
    }
}

/// The error of the first model is kept until a later model has served, but its key is free.
#[tokio::test(start_paused = true)]
async fn only_key_with_one_concurrent_request_serves_the_fallback_model() {
    use tower::{Layer, ServiceExt, service_fn};
    use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer, ModelFallbackLayer, ReplayBody};
    let missing = || error(404, "NOT_FOUND", "models/a is not found for API version v1beta.", "");
    for fault in [overloaded as fn() -> Answer, missing] {
        let pool = KeyPool::builder(Gemini::new()).key(Key::new(secret(0)).max_concurrent(1)).build().unwrap();
        let client = KeyPoolLayer::new(&pool)
            .fallback(ModelFallbackLayer::new(&pool, [MODEL, "gemini-2.5-flash-lite"]))
            .layer(service_fn(move |request: http::Request<ReplayBody<Body>>| {
                let lite = request.uri().path().contains("flash-lite");
                std::future::ready(Ok::<_, BoxError>(if lite { good() } else { fault() }))
            }));
        assert_eq!(client.oneshot(ask()).await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn paid_key_serves_after_three_projects_with_a_limit_of_zero() {
    use tower_keypool::{Gemini, Key, KeyPool};
    let key = |n: usize| {
        let key = Key::new(crate::support::secret(n)).named(&*format!("k{n}")).project(format!("p{n}"));
        key.priority(if n < 3 { 1 } else { 9 })
    };
    let pool = KeyPool::builder(Gemini::new()).keys((0..4).map(key)).build().unwrap();
    let zero = "Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0, model: gemini-2.5-pro";
    let response = send(&pool, |key| if key < 3 { error(429, "RESOURCE_EXHAUSTED", zero, "") } else { good() });
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200, "{}", attempts(&response));
}

/// Nothing cools down after such an error, so nothing would change by waiting.
#[tokio::test(start_paused = true)]
async fn refusal_of_one_request_by_every_key_is_returned_to_the_caller() {
    use tower_keypool::{Gemini, Key, KeyPool};
    let storage = || error(429, "RESOURCE_EXHAUSTED", "You exceeded your file storage quota.", "");
    let service = || error(403, "PERMISSION_DENIED", "Places API is disabled", &reason("SERVICE_DISABLED"));
    let firewall = || answer(403, "<html>This may be caused by a SQL command or malformed data.");
    let one_project = || {
        let keys = (0..4).map(|n| Key::new(crate::support::secret(n)).named(&*format!("k{n}")).project("p"));
        KeyPool::builder(Gemini::new()).keys(keys).build().unwrap()
    };
    // A page has no clear cause, so one key of a project is enough.
    for (pool, refusal, sent) in [
        (pool(3), storage as fn() -> Answer, 3),
        (pool(4), service, 4),
        (one_project(), service, 4),
        (pool(20), storage, 8),
        (pool(2), firewall, 2),
        (pool(4), firewall, 3),
        (one_project(), firewall, 1),
    ] {
        let response = send(&pool, move |_| refusal()).await.unwrap();
        assert_eq!((response.status(), pool.stats().sent), (refusal().status(), sent));
        assert_eq!(breakers(&pool), Vec::<String>::new());
    }
    // A key may serve, but cools down.
    let refused = send(&pool(2), move |key| if key == 0 { rate_limited(30) } else { storage() }).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    // SDKs take a 401 for a refusal of the caller's own token.
    for keys in [1, 2, 20] {
        let scopes = |_| error(401, "UNAUTHENTICATED", "Missing scopes: api.responses.write", "");
        assert_eq!(send(&pool(keys), scopes).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    // The first key's own refusal stays.
    let key =
        |n: usize| Key::new(crate::support::secret(n)).project(format!("p{n}")).priority(if n == 0 { 1 } else { 9 });
    let pool = KeyPool::builder(Gemini::new()).keys((0..2).map(key)).build().unwrap();
    let zero =
        "Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0";
    let answer = move |key| if key == 0 { error(429, "RESOURCE_EXHAUSTED", zero, "") } else { storage() };
    assert_eq!(send(&pool, answer).await.unwrap().status(), 429);
    assert_eq!(breakers(&pool), ["project p0 for gemini-2.5-flash Cooling"]);
}

#[tokio::test(start_paused = true)]
async fn wait_applies_once_for_all_fallback_models() {
    use tower::{Layer, ServiceExt};
    use tower_keypool::{KeyPoolLayer, Limits, ModelFallbackLayer};
    let pool = builder(1).limits(MODEL, Limits::new().per_minute(1)).limits("flash", Limits::new().per_day(1));
    let pool = pool.limits("lite", Limits::new().per_minute(1)).wait(5 * SECOND).build().unwrap();
    let fallback = ModelFallbackLayer::new(&pool, ["flash", MODEL, "lite"]);
    let client = KeyPoolLayer::new(&pool).fallback(fallback).layer(provider(|_| good()));
    let ask = || request("/v1beta/models/flash:generateContent");
    for _ in 0..3 {
        assert_eq!(client.clone().oneshot(ask()).await.unwrap().status(), 200);
    }
    let begun = now();
    let error = client.oneshot(ask()).await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(error.as_unavailable().unwrap().model(), Some("flash"));
    assert!(error.retry_after().unwrap() < 60 * SECOND, "{error}");
}

#[tokio::test(start_paused = true)]
async fn given_request_keeps_what_is_derived() {
    use tower_keypool::Limits;
    let pool = builder(1).limits(MODEL, Limits::new().tokens_per_minute(1_000)).build().unwrap();
    let mut video = request("/v1beta/models/veo-3:predictLongRunning");
    let mut large = ask();
    *large.body_mut() = format!(r#"{{"contents":["{}"]}}"#, "a word ".repeat(500)).into();
    for request in [&mut video, &mut large] {
        request.extensions_mut().insert(KeyRequest::default().wait(Duration::ZERO));
    }
    let response = send_request(&pool, video, |_| overloaded()).await.unwrap();
    assert_eq!((response.status().as_u16(), attempts(&response).len()), (503, 1));
    send_request(&pool, large.clone(), |_| good()).await.unwrap();
    send_request(&pool, large, |_| good()).await.unwrap_err();
}
