//! Whose fault an answer is, over the whole stack: a caller's words disable no key, an error under a good status is seen
//! as one, and a key's fault stays with the key.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{
    Anthropic, Clock, Demand, Error, Gemini, Key, KeyPool, KeyPoolLayer, OpenAi, Provider, ReplayBody, Scope, ServedBy,
    VerdictKind,
};

pub(crate) type Body = Full<Bytes>;

pub(crate) fn pool(provider: impl Provider, keys: usize) -> KeyPool {
    let keys = (0..keys).map(|n| Key::new(format!("sk-or-not-a-real-key-{n:04}")).id(format!("k{n}").as_str()));
    let clock = Clock::tokio_from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    KeyPool::builder(provider).keys(keys).clock(clock).build().unwrap()
}

pub(crate) fn json(status: u16, body: String) -> Response<Body> {
    Response::builder().status(status).header("content-type", "application/json").body(Full::from(body)).unwrap()
}

/// Sends one request, a POST unless the path says another method; each attempt is answered by its number, from 1. The answer, and how many attempts there were.
pub(crate) async fn send(
    pool: &KeyPool,
    path: &str,
    body: &str,
    answer: impl Fn(usize) -> Response<Body> + Clone + Send + 'static,
) -> (Result<(u16, String, VerdictKind), Error>, usize) {
    send_by(KeyPoolLayer::new(pool), path, body, answer).await
}

/// The same over this layer.
pub(crate) async fn send_by(
    layer: KeyPoolLayer,
    path: &str,
    body: &str,
    answer: impl Fn(usize) -> Response<Body> + Clone + Send + 'static,
) -> (Result<(u16, String, VerdictKind), Error>, usize) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let client = layer.layer(service_fn(move |request: Request<ReplayBody<Body>>| {
        let (counted, answer) = (Arc::clone(&counted), answer.clone());
        async move {
            request.into_body().collect().await.unwrap();
            Ok::<_, std::io::Error>(answer(counted.fetch_add(1, Ordering::Relaxed) + 1))
        }
    }));
    let (method, path) = path.split_once(' ').unwrap_or(("POST", path));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Full::from(body.to_owned()));
    let answer = match client.oneshot(request.unwrap()).await {
        Ok(response) => {
            let kind = response.extensions().get::<ServedBy>().unwrap().verdict().kind();
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            Ok((status, String::from_utf8(body.to_vec()).unwrap(), kind))
        }
        Err(error) => Err(error),
    };
    (answer, count.load(Ordering::Relaxed))
}

/// What a key may not list, or whose profile a token may not see, says nothing of what it is there for.
#[tokio::test(start_paused = true)]
async fn what_lacks_a_scope_for_another_path_rests_no_key() {
    let scopes = "You have insufficient permissions for this operation. Missing scopes: api.management.read.";
    let openai = serde_json::json!({"error": {"message": scopes, "type": "invalid_request_error", "code": null}});
    let profile = "OAuth token does not meet scope requirement user:profile";
    let anthropic = serde_json::json!({"type": "error", "error": {"type": "permission_error", "message": profile}, "request_id": "r"});
    let cases = [
        (pool(OpenAi::new(), 3), "GET /v1/organization/costs", 403, openai.clone()),
        (pool(OpenAi::new(), 3), "GET /v1/files", 401, openai),
        (pool(Anthropic::new(), 3), "GET /api/oauth/usage", 403, anthropic),
    ];
    for (pool, path, status, said) in cases {
        let (answer, attempts) = send(&pool, path, "", move |_| json(status, said.to_string())).await;
        let (answered, text, kind) = answer.unwrap();
        assert_eq!((answered, attempts, kind), (status, 3, VerdictKind::WrongOwner), "{path}: {text}");
        assert_eq!(pool.snapshot().available_keys, 3, "{path}");
        let (again, _) = send(&pool, path, "", |_| json(200, "{}".to_owned())).await;
        assert_eq!(again.unwrap().0, 200, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_disables_a_key_by_what_it_names() {
    let google = |status: u16, name: &str, message: &str| {
        serde_json::json!({"error": {"code": status, "message": message, "status": name}}).to_string()
    };
    for keys in [1, 3, 10] {
        for model in ["Invalid API key", "Incorrect API key provided", "Invalid API key."] {
            let pool = pool(OpenAi::at("https://r.example/api/v1").unwrap(), keys);
            let said =
                format!(r#"{{"error":{{"message":"{model} is not a valid model ID","code":400}},"user_id":"u"}}"#);
            let asked = format!(r#"{{"model":"{model}","messages":[]}}"#);
            let (answer, attempts) = send(&pool, "/chat/completions", &asked, move |_| json(400, said.clone())).await;
            assert_eq!((answer.unwrap().0, attempts), (400, 1));
            assert_eq!(pool.snapshot().available_keys, keys);
        }
        for (status, name, message) in [
            (
                400,
                "FAILED_PRECONDITION",
                "The File billing-report-q3 is not in an ACTIVE state and usage is not allowed.",
            ),
            (
                403,
                "PERMISSION_DENIED",
                "You do not have permission to access the File reported as leaked or it may not exist.",
            ),
            (
                403,
                "PERMISSION_DENIED",
                "You do not have permission to access tunedModels/monthly spending cap or it may not exist",
            ),
            (
                404,
                "NOT_FOUND",
                "models/no longer available to new users is not found for API version v1beta, or is not supported.",
            ),
        ] {
            let pool = pool(Gemini::new(), keys);
            let said = google(status, name, message);
            let path = "/v1beta/models/no%20longer%20available%20to%20new%20users:generateContent";
            let (answer, _) = send(&pool, path, "{}", move |_| json(status, said.clone())).await;
            assert_eq!(answer.unwrap().0, status);
            let snapshot = pool.snapshot();
            assert_eq!(snapshot.available_keys, keys, "{message}");
            assert!(snapshot.keys.iter().all(|key| key.rests.is_empty() && key.failed == 0), "{message}");
        }
    }
}

const LIMITED: &str = r#"{"error":{"message":"Rate limit reached","code":429},"user_id":"x"}"#;

#[tokio::test(start_paused = true)]
async fn an_error_under_a_good_status_is_retried_like_an_error() {
    let good = r#"{"id":"x","choices":[{"message":{"content":"say {\"error\":1}"}}],"error":null}"#;
    let outcome = r#"{"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#.to_owned();
    for error in [LIMITED.to_owned(), format!(" \n{LIMITED}"), LIMITED.replace("{\"error\"", "{ \"error\""), outcome] {
        let pool = pool(OpenAi::new(), 2);
        let said = move |n| json(200, if n == 1 { error.clone() } else { good.to_owned() });
        let (answer, attempts) = send(&pool, "/v1/chat/completions", r#"{"model":"m"}"#, said).await;
        assert_eq!(answer.unwrap(), (200, good.to_owned(), VerdictKind::Success));
        assert_eq!((attempts, pool.snapshot().verdicts[&VerdictKind::RateLimited]), (2, 1));
    }
    // What somebody stored says nothing of a key.
    let pool = pool(OpenAi::new(), 2);
    let file = r#"{"error":{"message":"x","code":"invalid_api_key"}}"#;
    let (answer, _) = send(&pool, "GET /v1/files/f/content", "", |_| json(200, file.to_owned())).await;
    assert_eq!(answer.unwrap(), (200, file.to_owned(), VerdictKind::Success));
    // Nobody is left: the answer as it came, judged for what it is.
    let pool = self::pool(OpenAi::new(), 1);
    let (answer, _) = send(&pool, "/v1/chat/completions", r#"{"model":"m"}"#, |_| json(200, LIMITED.to_owned())).await;
    assert_eq!(answer.unwrap(), (200, LIMITED.to_owned(), VerdictKind::RateLimited));
}

/// `/v1/responses` tells with a good status, in a whole answer or as an event, that nothing came of a request. What was made before,
/// or failed while nobody waited for it, is a good answer about something bad.
#[tokio::test(start_paused = true)]
async fn a_response_that_failed_is_judged_by_its_code() {
    let response = |status: &str, code: Option<&str>, more: &str| {
        let error = code.map(|code| serde_json::json!({"code": code, "message": "No."}));
        format!(
            r#"{{"id":"resp_1","object":"response","created_at":1,"status":"{status}",{more}"error":{},"incomplete_details":null}}"#,
            error.unwrap_or_default()
        )
    };
    // As requests are repeated in it.
    let told = format!(r#""output":[],"model":"m","instructions":"{}","#, "Be brief. ".repeat(500));
    let short = r#""output":[],"background":false,"#;
    let good = response("completed", None, r#""output":[{"type":"message"}],"#);
    for (code, kind) in [
        ("rate_limit_exceeded", VerdictKind::RateLimited),
        ("insufficient_quota", VerdictKind::QuotaExhausted),
        ("server_error", VerdictKind::Transient),
    ] {
        for more in [short, &told] {
            let failed = response("failed", Some(code), "").replace("\"error\"", &format!("{more}\"error\""));
            let early = response("failed", Some(code), "");
            let early = format!("{},{}", early.trim_end_matches('}'), more.trim_end_matches(',')) + "}";
            let event = format!(
                "event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{}}}}\n\n\
                 event: response.failed\ndata: {{\"type\":\"response.failed\",\"response\":{early}}}\n\n"
            );
            for (said, mime) in
                [(failed, "application/json"), (early, "application/json"), (event, "text/event-stream")]
            {
                let pool = pool(OpenAi::new(), 2);
                let (said, good) = (said.clone(), good.clone());
                let answer = move |n| match n {
                    1 => Response::builder().header("content-type", mime).body(Full::from(said.clone())).unwrap(),
                    _ => json(200, good.clone()),
                };
                let (answer, attempts) = send(&pool, "/v1/responses", r#"{"model":"m"}"#, answer).await;
                assert_eq!((answer.unwrap().2, attempts), (VerdictKind::Success, 2), "{code} {mime} {more:.40}");
                assert_eq!(pool.snapshot().verdicts.get(&kind), Some(&1), "{code}: {:?}", pool.snapshot().verdicts);
            }
        }
    }
    for said in [
        good.clone(),
        response("failed", Some("rate_limit_exceeded"), r#""output":[{"type":"message"}],"#),
        response("failed", Some("rate_limit_exceeded"), r#""background":true,"output":[],"#),
        response("incomplete", Some("rate_limit_exceeded"), r#""output":[],"#),
    ] {
        let pool = pool(OpenAi::new(), 2);
        let answer = said.clone();
        let (answer, attempts) =
            send(&pool, "/v1/responses", r#"{"model":"m"}"#, move |_| json(200, answer.clone())).await;
        assert_eq!((answer.unwrap(), attempts), ((200, said, VerdictKind::Success), 1));
    }
    let pool = pool(OpenAi::new(), 2);
    let kept = response("failed", Some("rate_limit_exceeded"), r#""output":[],"#);
    let (answer, attempts) = send(&pool, "GET /v1/responses/resp_1", "", move |_| json(200, kept.clone())).await;
    assert_eq!((answer.unwrap().2, attempts), (VerdictKind::Success, 1), "it was judged when it was made");
}

/// What relays and their likes say in words of others: another key serves it, and only what is said to be over rests.
#[tokio::test(start_paused = true)]
async fn another_key_serves_what_is_said_in_another_s_words() {
    const CREDIT: &str = r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}}"#;
    const PAID: &str =
        r#"{"error":{"code":"PAID_MODEL_AUTH_REQUIRED","message":"You need to sign in to use this model"}}"#;
    const RELAYED: &str = r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"code\":429,\"message\":\"Too busy\"}}","provider_name":"P"}}}"#;
    const DAY: &str = r#"{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","domain":"googleapis.com","metadata":{"quota_id":"GenerateRequestsPerDayPerProjectPerModel"}}]}}"#;
    let openai = ("/v1/chat/completions", r#"{"model":"m"}"#);
    let gemini = ("/v1beta/models/m:generateContent", "{}");
    let cases = [
        (pool(OpenAi::new(), 3), openai, 400, CREDIT, VerdictKind::QuotaExhausted, Some(Scope::Owner)),
        (pool(OpenAi::new(), 3), openai, 401, PAID, VerdictKind::ModelUnavailable, Some(Scope::KeyLane)),
        (
            pool(OpenAi::at("https://openrouter.ai/api/v1").unwrap(), 3),
            openai,
            400,
            RELAYED,
            VerdictKind::Overloaded,
            None,
        ),
        (pool(Gemini::new(), 3), gemini, 429, DAY, VerdictKind::QuotaExhausted, Some(Scope::OwnerLane)),
    ];
    for (pool, (path, asked), status, said, kind, rests) in cases {
        let answer = move |n| json(if n == 1 { status } else { 200 }, if n == 1 { said } else { "{}" }.to_owned());
        let (answer, attempts) = send(&pool, path, asked, answer).await;
        assert_eq!((answer.unwrap().0, attempts), (200, 2), "{said}");
        let snapshot = pool.snapshot();
        let rested = snapshot.keys.iter().flat_map(|key| &key.rests).map(|rest| rest.scope);
        assert_eq!(
            (snapshot.verdicts.get(&kind), rested.collect::<Vec<_>>()),
            (Some(&1), Vec::from_iter(rests)),
            "{said}: {:?}",
            snapshot.verdicts
        );
    }
    // The same words out of the caller's mouth are the caller's.
    let pool = pool(OpenAi::new(), 3);
    let echoed = r#"{"error":{"message":"insufficient_quota","type":"invalid_request_error"}}"#;
    let (answer, attempts) = send(&pool, openai.0, openai.1, move |_| json(400, echoed.to_owned())).await;
    assert_eq!((answer.unwrap(), attempts), ((400, echoed.to_owned(), VerdictKind::CallerFault), 1));
    assert_eq!(pool.snapshot().available_keys, 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_nothing_is_asked_for_again() {
    for nothing in ["", "  \n"] {
        let pool = pool(OpenAi::new(), 2);
        let said = move |n| json(200, if n == 1 { nothing } else { "{}" }.to_owned());
        let (answer, attempts) = send(&pool, "/v1/chat/completions", r#"{"model":"m"}"#, said).await;
        assert_eq!((answer.unwrap(), attempts), ((200, "{}".to_owned(), VerdictKind::Success), 2), "{nothing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn good_answers_pass_as_they_came() {
    let large = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(100_000));
    for body in [
        "[]",
        "{}",
        r#"{"id":"x","error":{"code":429}}"#,
        r#"{"errors":[1],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
        r#"{"error":null,"choices":[]}"#,
        r#"{"base_resp":{"status_code":0,"status_msg":""},"choices":[]}"#,
        r#"{"error":{"code":429},"choices":[{"message":{}}]}"#,
        &large,
    ] {
        let pool = pool(OpenAi::new(), 2);
        let said = body.to_owned();
        let asked = r#"{"model":"m"}"#;
        let (answer, attempts) = send(&pool, "/v1/chat/completions", asked, move |_| json(200, said.clone())).await;
        assert_eq!(answer.unwrap(), (200, body.to_owned(), VerdictKind::Success));
        assert_eq!((attempts, pool.snapshot().available_keys), (1, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_s_fault_does_not_reach_the_caller_while_another_key_comes_back() {
    const INVALID: &str = r#"{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}"#;
    let pool = pool(OpenAi::new(), 3);
    let said = |n| match n {
        1 => Response::builder()
            .status(429)
            .header("retry-after", "30")
            .body(Full::from(r#"{"error":{"code":"rate_limit_exceeded"}}"#))
            .unwrap(),
        _ => json(400, INVALID.to_owned()),
    };
    let (answer, attempts) = send(&pool, "/v1/chat/completions", r#"{"model":"m"}"#, said).await;
    let error = answer.unwrap_err();
    assert!(error.is_exhausted());
    assert_eq!((attempts, error.status().as_u16(), error.retry_after()), (3, 503, Some(Duration::from_secs(30))));
    assert_eq!(error.served_by().unwrap().attempts(), 3);
    // Nothing comes back by itself: the provider's answer says more.
    let pool = self::pool(OpenAi::new(), 2);
    let (answer, _) = send(&pool, "/v1/chat/completions", r#"{"model":"m"}"#, |_| json(401, INVALID.to_owned())).await;
    assert_eq!(answer.unwrap().0, 401);
}

/// Of a request that names nothing of anybody's a refusal without a cause is the key's, where another key serves it; and
/// nobody's where none does. Of any other it may be that what it names is another's.
#[tokio::test(start_paused = true)]
async fn who_refuses_what_others_serve_is_suspect_where_the_request_names_nothing() {
    const REFUSED: [&str; 2] = [
        r#"{"error":{"code":403,"message":"The caller does not have permission","status":"PERMISSION_DENIED"}}"#,
        r#"{"error":{"code":403,"message":"Permission denied on resource project p.","status":"PERMISSION_DENIED"}}"#,
    ];
    let cases = [(true, true), (false, true), (true, false), (false, false)];
    for (said, (names_nothing, served)) in REFUSED.into_iter().flat_map(|said| cases.map(|case| (said, case))) {
        let pool = pool(Gemini::new(), 4);
        let count = Arc::new(AtomicUsize::new(0));
        let client = KeyPoolLayer::new(&pool).layer(service_fn(move |request: Request<ReplayBody<Body>>| {
            let key = request.headers()["x-goog-api-key"].to_str().unwrap().to_owned();
            // All of them served before.
            let before = count.fetch_add(1, Ordering::Relaxed) < 8;
            async move {
                request.into_body().collect().await.unwrap();
                let good = before || served && !key.ends_with('0');
                Ok::<_, std::io::Error>(json(if good { 200 } else { 403 }, if good { "{}" } else { said }.to_owned()))
            }
        }));
        for n in 0..30 {
            let demand = if names_nothing { Demand::any_model().names_nothing() } else { Demand::any_model() };
            let request = Request::post("/v1beta/models/m:generateContent").extension(demand);
            let answer = client.clone().oneshot(request.body(Full::from("{}")).unwrap()).await;
            assert_eq!(answer.unwrap().status().as_u16(), if served || n < 8 { 200 } else { 403 });
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let suspects: Vec<String> =
            pool.snapshot().keys.iter().filter(|key| !key.rests.is_empty()).map(|key| key.id.to_string()).collect();
        let expected: &[&str] = match (names_nothing, served) {
            (true, true) => &["k0"],
            _ => &[],
        };
        assert_eq!(suspects, expected, "{names_nothing} {served} {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_s_name_stays_on_its_line() {
    let pool = pool(Gemini::new(), 1);
    pool.disable(&"k0".into(), "off").unwrap();
    let path = "/v1beta/models/a%0A%1B%5B31mb:generateContent";
    let (answer, _) = send(&pool, path, "{}", |_| json(200, "{}".to_owned())).await;
    let shown = answer.unwrap_err().to_string();
    assert!(!shown.contains(char::is_control) && shown.contains("a\\n"), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sentence_is_heard_of_each_key_once() {
    let said = r#"{"type":"error","error":{"type":"invalid_request_error","message":"You're out of extra usage. Add more at claude.ai and keep going."}}"#;
    for (keys, asked) in [(2, 2), (3, 3), (4, 4), (20, 5)] {
        let pool = pool(Anthropic::new(), keys);
        for _ in 0..3 {
            let body = r#"{"model":"m","max_tokens":1,"messages":[]}"#;
            let (answer, attempts) = send(&pool, "/v1/messages", body, move |_| json(400, said.to_owned())).await;
            assert_eq!((answer.unwrap().0, attempts), (400, asked), "of {keys}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_about_a_model_says_nothing_of_what_goes_without_one() {
    const MISSING: &str = r#"{"error":{"message":"The model 'only-k1' does not exist","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#;
    let pool = pool(OpenAi::new(), 12);
    for has in [3, 1, 6, 2] {
        // One account has it: so whoever has not is not wrong for everything else.
        let by = move |n| if n == has { json(200, "{}".to_owned()) } else { json(404, MISSING.to_owned()) };
        let (answer, attempts) = send(&pool, "GET /v1/models/only-k1", "", by).await;
        assert_eq!((answer.unwrap().0, attempts), (200, has));
    }
    // Nobody has it: eight are asked, and the last answer goes up.
    let (answer, attempts) = send(&pool, "GET /v1/models/nobody-s", "", |_| json(404, MISSING.to_owned())).await;
    assert_eq!((answer.unwrap(), attempts), ((404, MISSING.to_owned(), VerdictKind::WrongOwner), 8));
    let snapshot = pool.snapshot();
    assert!(snapshot.keys.iter().all(|key| key.rests.is_empty() && key.failed == 0), "{snapshot:?}");
    assert_eq!(snapshot.available_keys, 12);
    // So each of them is asked for what goes without a model.
    let (answer, attempts) = send(&pool, "GET /v1/files/f", "", |n| match n {
        12 => json(200, "{}".to_owned()),
        _ => json(404, r#"{"error":{"message":"No such File object: f","type":"invalid_request_error"}}"#.to_owned()),
    })
    .await;
    assert_eq!((answer.unwrap().0, attempts), (200, 12));
    // A response's, too.
    let (answer, attempts) = send(&pool, "GET /v1/responses/resp_1", "", |n| match n {
        12 => json(200, "{}".to_owned()),
        _ => json(404, r#"{"error":{"message":"Response with id 'resp_1' not found.","type":"invalid_request_error","param":null,"code":null}}"#.to_owned()),
    })
    .await;
    assert_eq!((answer.unwrap().0, attempts), (200, 12));
}

#[tokio::test(start_paused = true)]
async fn a_web_page_in_the_place_of_a_models_answer_is_no_success() {
    const GEMINI: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
    const CHAT: &str = "/v1/chat/completions";
    let page = || {
        let page = Response::builder().header("content-type", "Text/HTML; charset=utf-8");
        page.body(Full::from("<html>Log in to the network</html>")).unwrap()
    };
    let fine = || json(200, r#"{"candidates":[],"choices":[]}"#.to_owned());
    for (pool, path, body) in [
        (pool(Gemini::new(), 2), GEMINI, "{}"),
        (pool(OpenAi::new(), 2), CHAT, r#"{"model":"gpt-5"}"#),
        (pool(Anthropic::new(), 2), "/v1/messages", r#"{"model":"claude-x"}"#),
    ] {
        // One is tried again, as any fault between is.
        let (answer, attempts) = send(&pool, path, body, move |n| if n == 1 { page() } else { fine() }).await;
        assert_eq!((answer.unwrap().0, attempts), (200, 2), "{path}");
        // The page is what the caller sees in the end, and no key is held to have served, or to be at fault.
        let (answer, attempts) = send(&pool, path, body, move |_| page()).await;
        let (status, text, kind) = answer.unwrap();
        assert_eq!((status, kind, attempts), (200, VerdictKind::Transient, 4), "{path}");
        assert!(text.contains("Log in"), "{path}");
        let snapshot = pool.snapshot();
        assert_eq!((snapshot.available_keys, snapshot.successes_last_minute), (2, 1), "{path}");
    }
    // What is no model's may well be a page: a file that somebody stored.
    let pool = pool(Gemini::new(), 1);
    let (answer, attempts) = send(&pool, "GET /v1beta/files/x:download", "", move |_| page()).await;
    assert_eq!((answer.unwrap().2, attempts), (VerdictKind::Success, 1));
}

#[tokio::test(start_paused = true)]
async fn a_web_page_lifts_nobody_who_is_switched_off() {
    let pool = pool(Gemini::new(), 1);
    let path = "/v1beta/models/gemini-2.5-flash:generateContent";
    let spent = include_str!("../samples/gemini_402_prepay_depleted.json");
    let spent = serde_json::from_str::<serde_json::Value>(spent).unwrap()["body"].to_string();
    let (_, attempts) = send(&pool, path, "{}", move |_| json(402, spent.clone())).await;
    assert_eq!((attempts, pool.snapshot().disabled_keys), (1, 1));
    tokio::time::advance(Duration::from_secs(3_700)).await;
    let page = || Response::builder().header("content-type", "text/html").body(Full::from("<html>")).unwrap();
    let (_, attempts) = send(&pool, path, "{}", move |_| page()).await;
    assert_eq!((attempts, pool.snapshot().disabled_keys), (1, 1), "its probe was no success");
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_an_error_and_not_a_word_is_asked_for_again() {
    let error = r#"{"id":"gen-1","object":"chat.completion","created":1,"model":"m","choices":[],"error":{"code":429,"message":"Rate limit exceeded"}}"#;
    let fine = r#"{"id":"gen-2","object":"chat.completion","choices":[{"message":{"content":"hi"}}]}"#;
    let pool = pool(OpenAi::new(), 2);
    let answer = move |n| json(200, if n == 1 { error } else { fine }.to_owned());
    let (answer, attempts) = send(&pool, "/v1/chat/completions", r#"{"model":"m"}"#, answer).await;
    let (status, text, kind) = answer.unwrap();
    assert_eq!((status, kind, attempts, &*text), (200, VerdictKind::Success, 2, fine));
}
