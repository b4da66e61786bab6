//! Which model serves when the one asked for is out.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};
use tower_keypool::{
    Backoff, BoxError, CooldownLayer, Demand, Gemini, Key, KeyPool, KeyPoolLayer, KeyRotationLayer, Limits,
    ModelFallbackLayer, Models, ReplayBody, RetryPolicy, ServedBy, Until, Verdict, VerdictKind, store::MemoryStore,
};

use crate::{
    support::{self, Body, Client, ask, builder, narrow_pool, pool, request, text},
    upstream::Upstream,
};

fn stack(pool: &KeyPool, fallback: ModelFallbackLayer, upstream: &Upstream) -> impl Client {
    ServiceBuilder::new()
        .layer(fallback)
        .retry(RetryPolicy::new(pool).backoff(Backoff::fixed(Duration::from_secs(1))))
        .layer(KeyRotationLayer::new(pool))
        .layer(CooldownLayer::new(pool))
        .service(upstream.clone())
}

fn pro_then_flash(pool: &KeyPool) -> ModelFallbackLayer {
    ModelFallbackLayer::new(pool).models(["pro", "flash"])
}

/// Lets every key of the model rest for that long.
fn rest(pool: &KeyPool, model: &str, seconds: u64) {
    let rests = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(seconds)));
    while let Ok(lease) = pool.try_acquire(model) {
        lease.judge(&rests);
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_no_key_may_carry_steps_down_and_comes_back() {
    let (pool, upstream) = (pool(&["a", "b"]), Upstream::new(&[]));
    let client = stack(&pool, pro_then_flash(&pool), &upstream);
    rest(&pool, "pro", 30);
    let response = client.clone().oneshot(request("/models/pro")).await.unwrap();
    let served = response.extensions().get::<ServedBy>().unwrap().clone();
    assert_eq!((served.requested_model(), served.used_model()), (Some("pro"), Some("flash")));
    assert_eq!(text(response).await, "fine");
    tokio::time::sleep(Duration::from_secs(31)).await;
    client.oneshot(request("/models/pro")).await.unwrap();
    assert_eq!(upstream.models(), ["flash", "pro"]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_the_first_model_used_up_carry_the_second() {
    let (pool, upstream) = (pool(&["a", "b"]), Upstream::new(&[]));
    upstream.model("pro", "rate");
    let client = stack(&pool, pro_then_flash(&pool), &upstream);
    let response = client.oneshot(request("/models/pro")).await.unwrap();
    assert_eq!(response.extensions().get::<ServedBy>().unwrap().attempts(), 3);
    assert_eq!(text(response).await, "fine");
    assert_eq!(upstream.models(), ["pro", "pro", "flash"]);
    assert!(upstream.asked().iter().all(|asked| asked.body == "hello"));
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_model_steps_down_at_once_and_a_caller_s_fault_never() {
    let (pool, upstream) = (pool(&["a", "b"]), Upstream::new(&[]));
    let client = stack(&pool, pro_then_flash(&pool), &upstream);
    upstream.model("pro", "model");
    client.clone().oneshot(request("/models/pro")).await.unwrap();
    assert_eq!(upstream.models(), ["pro", "flash"]);

    upstream.model("pro", "400");
    let response = client.clone().oneshot(request("/models/pro")).await.unwrap();
    assert_eq!(response.status(), 400);
    upstream.model("pro", "owner");
    let response = client.oneshot(request("/models/pro")).await.unwrap();
    assert_eq!(text(response).await, "owner");
    assert!(upstream.models()[2..].iter().all(|model| model == "pro"));
}

/// `pro` and `nil` are asked for, in this order, of each of these requests.
async fn tried(client: &impl Client, upstream: &Upstream, path: &str) -> Vec<String> {
    let before = upstream.models().len();
    let _ = client.clone().oneshot(request(path)).await;
    upstream.models().split_off(before)
}

#[tokio::test(start_paused = true)]
async fn a_listed_model_that_is_unknown_is_passed_by_for_a_while() {
    let (pool, upstream) = (pool(&["a", "b"]), Upstream::new(&[]));
    let fallback = ModelFallbackLayer::new(&pool).models(["pro", "nil", "flash"]).alias("best", ["nil", "pro"]);
    let client = stack(&pool, fallback, &upstream);
    upstream.model("nil", "unknown");
    rest(&pool, "pro", 3_000);
    assert_eq!(tried(&client, &upstream, "/models/pro").await, ["nil", "flash"]);
    for _ in 0..3 {
        assert_eq!(tried(&client, &upstream, "/models/pro").await, ["flash"]);
    }
    // Whoever names it itself asks for it.
    assert_eq!(tried(&client, &upstream, "/models/nil").await, ["nil", "flash"]);
    tokio::time::sleep(Duration::from_secs(121)).await;
    assert_eq!(tried(&client, &upstream, "/models/pro").await, ["nil", "flash"]);

    // It comes, and is found soon; what served is known, whatever a key that may not use it hears.
    upstream.model("nil", "fine");
    assert_eq!(tried(&client, &upstream, "/models/pro").await, ["flash"]);
    tokio::time::sleep(Duration::from_secs(121)).await;
    assert_eq!(tried(&client, &upstream, "/models/pro").await, ["nil"]);
    upstream.model("nil", "unknown");
    for _ in 0..2 {
        assert_eq!(tried(&client, &upstream, "/models/pro").await, ["nil", "flash"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_whose_models_are_all_unknown_is_told_so_by_the_provider() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    let fallback = ModelFallbackLayer::new(&pool).alias("best", ["nil", "none"]).alias("good", ["nil", "flash"]);
    let client = stack(&pool, fallback, &upstream);
    upstream.model("nil", "unknown");
    upstream.model("none", "unknown");
    for _ in 0..2 {
        assert_eq!(tried(&client, &upstream, "/models/best").await, ["nil", "none"]);
    }
    assert_eq!(tried(&client, &upstream, "/models/good").await, ["flash"]);
}

/// With Gemini's paths: the method stands behind the model, and may be misspelt.
#[tokio::test(start_paused = true)]
async fn a_misspelt_method_takes_a_model_from_nobody_else() {
    const UNKNOWN: &str = r#"{"error":{"code":404,"status":"NOT_FOUND","message":
"models/flash is not found for API version v1beta, or is not supported for generateContnet."}}"#;
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let upstream = service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
        let path = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let misspelt = path.ends_with("Contnet");
        seen.lock().unwrap().push(path);
        async move {
            let body = if misspelt { UNKNOWN } else { "{}" };
            let mut response = Response::new(Full::<Bytes>::from(body));
            *response.status_mut() = if misspelt { http::StatusCode::NOT_FOUND } else { http::StatusCode::OK };
            Ok::<_, Infallible>(response)
        }
    });
    let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIzaSyTEST-misspelt-00000001")).build().unwrap();
    let models = Models::new().alias("best", ["gemini-flash", "gemini-lite"]);
    let client = KeyPoolLayer::new(&pool).fallback(models).layer(upstream);
    for method in ["generateContnet", "generateContnet", "generateContent"] {
        let request = Request::post(format!("/v1beta/models/best:{method}")).body(Full::default()).unwrap();
        let _ = client.clone().oneshot(request).await.unwrap();
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.last().unwrap(), "gemini-flash:generateContent", "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn overload_steps_down_by_switch_after_all_retries() {
    let (pool, upstream) = (pool(&["a", "b"]), Upstream::new(&[]));
    upstream.model("pro", "overloaded");
    let response = stack(&pool, pro_then_flash(&pool), &upstream).oneshot(request("/models/pro")).await.unwrap();
    assert_eq!(text(response).await, "overloaded");
    let switched = pro_then_flash(&pool).on_overloaded(true);
    let response = stack(&pool, switched, &upstream).oneshot(request("/models/pro")).await.unwrap();
    assert_eq!(text(response).await, "fine");
    let models = upstream.models();
    assert_eq!(models[..8], ["pro"; 8]);
    assert_eq!(models[8], "flash");
}

#[tokio::test(start_paused = true)]
async fn where_no_key_stands_ready_for_any_the_first_answer_stands() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    rest(&pool, "flash", 60);
    upstream.model("pro", "rate");
    let client = stack(&pool, pro_then_flash(&pool), &upstream);
    let response = client.clone().oneshot(request("/models/pro")).await.unwrap();
    assert_eq!(text(response).await, "rate");
    let error = client.oneshot(request("/models/pro")).await.unwrap_err();
    assert_eq!(error.exhausted().unwrap().model(), Some("pro"));
    assert_eq!(upstream.models(), ["pro"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_below_that_comes_back_in_time_is_waited_for() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    rest(&pool, "pro", 3_000);
    rest(&pool, "flash", 60);
    rest(&pool, "lite", 3);
    let fallback = ModelFallbackLayer::new(&pool).models(["pro", "flash", "lite"]);
    let client = stack(&pool, fallback, &upstream);
    // Who does not wait so long is told when that is.
    for wait in [0, 2] {
        let mut hasty = request("/models/pro");
        hasty.extensions_mut().insert(Demand::new("pro").wait(Duration::from_secs(wait)));
        let error = client.clone().oneshot(hasty).await.unwrap_err();
        let out = error.exhausted().unwrap();
        assert_eq!((out.model(), out.sooner_model()), (Some("pro"), Some("lite")));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)), "{error}");
        assert!(error.to_string().ends_with("next in 3 s (as lite)"), "{error}");
    }
    let mut patient = request("/models/pro");
    patient.extensions_mut().insert(Demand::new("pro").wait(Duration::from_secs(5)));
    let response = client.oneshot(patient).await.unwrap();
    let served = response.extensions().get::<ServedBy>().unwrap();
    assert_eq!((served.requested_model(), served.used_model()), (Some("pro"), Some("lite")));
    assert_eq!((upstream.models(), upstream.seconds()), (vec!["lite".to_owned()], vec![3]));
}

/// The list is gone down, never up.
#[tokio::test(start_paused = true)]
async fn whoever_waited_for_a_model_below_asks_none_that_it_passed_by() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    rest(&pool, "pro", 3_000);
    rest(&pool, "flash", 4);
    rest(&pool, "lite", 3);
    upstream.model("lite", "overloaded");
    let fallback = ModelFallbackLayer::new(&pool).models(["pro", "flash", "lite"]).on_overloaded(true);
    let mut patient = request("/models/pro");
    patient.extensions_mut().insert(Demand::new("pro").wait(Duration::from_secs(20)));
    let response = stack(&pool, fallback, &upstream).oneshot(patient).await.unwrap();
    assert_eq!(text(response).await, "overloaded");
    assert!(upstream.now() > 4 && pool.can_serve("flash"));
    assert_eq!(upstream.models(), ["lite"; 4]);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_model_below_keeps_it_from_nobody_behind() {
    let pool = builder(&["a"]).limits("flash", Limits::new().per_minute(3));
    // What may be started before the next write bounds them, too.
    let pool = pool.open(MemoryStore::new()).await.unwrap();
    let upstream = Upstream::new(&[]);
    rest(&pool, "pro", 3_000);
    for _ in 0..3 {
        pool.acquire("flash").await.unwrap().settle(&Verdict::SUCCESS);
    }
    tokio::time::sleep(Duration::from_secs(50)).await;
    let client = stack(&pool, pro_then_flash(&pool), &upstream);
    let patient = |seconds: u64| {
        let mut patient = request("/models/pro");
        patient.extensions_mut().insert(Demand::new("pro").wait(Duration::from_secs(seconds)));
        client.clone().oneshot(patient)
    };
    let behind = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tokio::join!(patient(20), patient(20), patient(3))
    };
    let (first, (second, third, hasty)) = tokio::join!(patient(20), behind);
    for answer in [first, second, third] {
        let served = answer.unwrap().extensions().get::<ServedBy>().unwrap().clone();
        assert_eq!(served.used_model(), Some("flash"));
    }
    let error = hasty.unwrap_err();
    let after = error.retry_after().unwrap().as_secs_f64();
    assert!((9.0..10.0).contains(&after), "{after}: {error}");
    assert_eq!(upstream.models(), ["flash"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_model_below_whose_keys_are_busy_is_waited_for() {
    let (pool, upstream) = (narrow_pool(), Upstream::new(&[]));
    rest(&pool, "pro", 3_000);
    let client = stack(&pool, pro_then_flash(&pool), &upstream);
    let busy = pool.try_acquire("flash").unwrap();
    let mut patient = request("/models/pro");
    patient.extensions_mut().insert(Demand::new("pro").wait(Duration::from_secs(5)));
    let ends = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        busy.settle(&Verdict::SUCCESS);
    };
    let (answer, ()) = tokio::join!(client.oneshot(patient), ends);
    assert_eq!(answer.unwrap().extensions().get::<ServedBy>().unwrap().used_model(), Some("flash"));
    assert_eq!(upstream.seconds(), [2]);
}

/// Every key is refused for good as this model, and said to be back as another.
#[tokio::test(start_paused = true)]
async fn who_passed_a_better_model_by_is_told_when_that_is_back() {
    for listed in [true, false] {
        let (pool, upstream) = (pool(&["a", "b"]), Upstream::new(&[]));
        rest(&pool, "pro", 20);
        let fallback = ModelFallbackLayer::new(&pool).models(["pro", "flash", "lite"]).alias("best", ["pro", "flash"]);
        let policy = RetryPolicy::new(&pool).exhausted_instead(true);
        let below = ServiceBuilder::new()
            .retry(policy)
            .layer(KeyRotationLayer::new(&pool))
            .layer(CooldownLayer::new(&pool))
            .service(upstream.clone());
        let client = fallback.layer(below);
        // 40 s each.
        upstream.model("flash", "rate");
        upstream.model("lite", "rate");
        let path = if listed { "/models/pro" } else { "/models/best" };
        let error = client.oneshot(request(path)).await.unwrap_err();
        let out = error.exhausted().unwrap();
        assert_eq!(out.model(), Some(if listed { "lite" } else { "flash" }));
        assert_eq!((out.sooner_model(), error.retry_after()), (Some("pro"), Some(Duration::from_secs(20))), "{error}");
        assert!(error.to_string().ends_with("next in 20 s (as pro)"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_made_for_one_model_is_asked_of_no_other() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    rest(&pool, "pro", 30);
    let fallback = ModelFallbackLayer::new(&pool).models(["pro", "flash"]).alias("best", ["pro", "flash"]);
    let client = stack(&pool, fallback, &upstream);
    let ask = |model: &str| {
        let mut request = request(&format!("/models/{model}"));
        request.extensions_mut().insert(Demand::any_model().keeps_model());
        client.clone().oneshot(request)
    };
    for model in ["pro", "best"] {
        let error = ask(model).await.unwrap_err();
        let out = error.exhausted().unwrap();
        assert_eq!((out.model(), out.sooner_model()), (Some("pro"), None), "{error}");
    }
    tokio::time::sleep(Duration::from_secs(31)).await;
    for model in ["pro", "best", "flash"] {
        ask(model).await.unwrap();
    }
    assert_eq!(upstream.models(), ["pro", "pro", "flash"]);
}

#[tokio::test(start_paused = true)]
async fn how_long_that_is_the_stack_says() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    rest(&pool, "pro", 3_000);
    rest(&pool, "flash", 3);
    let stack = KeyPoolLayer::new(&pool).fallback(Models::new().for_all(["pro", "flash"]));
    let error = stack.clone().layer(upstream.clone()).oneshot(request("/models/pro")).await.unwrap_err();
    assert!(error.is_exhausted(), "{error}");
    stack.wait(Duration::from_secs(5)).layer(upstream.clone()).oneshot(request("/models/pro")).await.unwrap();
    assert_eq!((upstream.models(), upstream.seconds()), (vec!["flash".to_owned()], vec![3]));
}

#[tokio::test(start_paused = true)]
async fn who_may_have_some_models_only_gets_no_other() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    rest(&pool, "pro", 30);
    let fallback = ModelFallbackLayer::new(&pool).models(["pro", "flash", "lite"]).alias("best", ["pro", "flash"]);
    let client = stack(&pool, fallback, &upstream);
    let ask = |model: &str, allowed: &'static [&'static str]| {
        let mut request = request(&format!("/models/{model}"));
        let demand = Demand::any_model().only_models(Arc::new(|model| allowed.contains(&model)));
        request.extensions_mut().insert(demand);
        client.clone().oneshot(request)
    };
    let error = ask("pro", &["pro"]).await.unwrap_err();
    assert_eq!(error.exhausted().map(|out| (out.model(), out.sooner_model())), Some((Some("pro"), None)));
    ask("pro", &["pro", "lite"]).await.unwrap();
    // Who may ask for an alias may have what it stands for.
    ask("best", &["best"]).await.unwrap();
    assert_eq!(upstream.models(), ["lite", "flash"]);
}

#[tokio::test(start_paused = true)]
async fn all_models_together_are_waited_for_no_longer_than_one() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    let models = ["pro", "flash", "lite"];
    for model in models {
        upstream.model(model, "rate");
    }
    let client = stack(&pool, ModelFallbackLayer::new(&pool).models(models), &upstream);
    let begun = pool.clock().tick();
    let mut patient = request("/models/pro");
    patient.extensions_mut().insert(Demand::new("pro").wait(Duration::from_secs(100)));
    let _ = client.oneshot(patient).await;
    let waited = pool.clock().tick().since(begun);
    assert!(waited <= Duration::from_secs(101), "{waited:?}: {:?}", upstream.seconds());
}

#[tokio::test(start_paused = true)]
async fn an_alias_gets_the_best_with_a_ready_key() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    let fallback = ModelFallbackLayer::new(&pool).alias("best", ["pro", "flash"]);
    let client = stack(&pool, fallback, &upstream);
    client.clone().oneshot(request("/models/best")).await.unwrap();
    rest(&pool, "pro", 30);
    let response = client.clone().oneshot(request("/models/best")).await.unwrap();
    let served = response.extensions().get::<ServedBy>().unwrap();
    assert_eq!((served.requested_model(), served.used_model()), (Some("best"), Some("flash")));
    assert_eq!(upstream.models(), ["pro", "flash"]);
    // Nothing is ready: the caller learns about the best.
    rest(&pool, "flash", 30);
    let error = client.oneshot(request("/models/best")).await.unwrap_err();
    assert_eq!(error.exhausted().unwrap().model(), Some("pro"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_written_for_its_model_is_written_anew_for_another() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    let models = Models::new().for_all(["pro", "flash"]).alias("best", ["pro", "flash"]);
    let client = KeyPoolLayer::new(&pool).fallback(models).layer(upstream.clone());
    let ask = async |model: &str| {
        let mut request = request(&format!("/models/{model}"));
        let demand = Demand::any_model().written_for("pro", |model| Some(vec!["for ".into(), model.to_owned().into()]));
        request.extensions_mut().insert(demand);
        client.clone().oneshot(request).await.unwrap();
        upstream.asked().last().map(|asked| (asked.path.clone(), asked.body.clone())).unwrap()
    };
    let sent = |path: &str, body: &'static str| (format!("/models/{path}"), bytes::Bytes::from(body));
    for model in ["pro", "best"] {
        assert_eq!(ask(model).await, sent("pro", "hello"), "{model}: as it came");
    }
    rest(&pool, "pro", 30);
    for model in ["pro", "best"] {
        assert_eq!(ask(model).await, sent("flash", "for flash"), "{model}");
    }
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(ask("pro").await, sent("pro", "hello"), "it is back");
}

/// Vectors, caches and counts of tokens go to no other model; but another name is no model at all.
#[tokio::test(start_paused = true)]
async fn what_must_not_change_its_model_has_the_first_that_an_alias_stands_for() {
    let keys = [Key::new("sk-test-one-0001").id("one")];
    let pool = KeyPool::builder(Gemini::new()).keys(keys).wait(Duration::ZERO).build().unwrap();
    let models = Models::new().for_all(["pro", "flash"]).alias("best", ["pro", "flash"]);
    let upstream = tower::service_fn(async |request: Request<ReplayBody<Body>>| {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, Infallible>(Response::new(Body::from(format!("{path} {}", str::from_utf8(&body).unwrap()))))
    });
    let client = KeyPoolLayer::new(&pool).fallback(models).layer(upstream);
    let ask = async |path: &str, body: &'static str| {
        let request = Request::post(format!("https://generativelanguage.googleapis.com/v1beta/{path}"));
        Some(text(client.clone().oneshot(request.body(Body::from(body)).unwrap()).await.ok()?).await)
    };
    let to = |path: &str, body: &str| Some(format!("/v1beta/{path} {body}"));
    rest(&pool, "pro", 30);
    // Tokens are counted whatever rests; vectors wait for their model.
    assert_eq!(ask("models/best:countTokens", "{}").await, to("models/pro:countTokens", "{}"));
    assert_eq!(ask("models/best:embedContent", "{}").await, None);
    assert_eq!(ask("models/best:generateContent", "{}").await, to("models/flash:generateContent", "{}"));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(ask("models/best:embedContent", "{}").await, to("models/pro:embedContent", "{}"));
    let cached = to("cachedContents", r#"{"model":"models/pro"}"#);
    assert_eq!(ask("cachedContents", r#"{"model":"models/best"}"#).await, cached);
    let vectors = to("openai/embeddings", r#"{"model":"pro","input":"a"}"#);
    assert_eq!(ask("openai/embeddings", r#"{"model":"best","input":"a"}"#).await, vectors);
    assert_eq!(ask("models/pro:countTokens", "{}").await, to("models/pro:countTokens", "{}"));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_model_to_change_passes_through() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    let client = stack(&pool, pro_then_flash(&pool), &upstream);
    client.clone().oneshot(request("/files")).await.unwrap();
    client.oneshot(request("/models/flash")).await.unwrap();
    assert_eq!(upstream.models(), ["/files", "flash"]);
}

#[tokio::test(start_paused = true)]
async fn the_caller_s_demand_goes_along() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&[]));
    rest(&pool, "pro", 3);
    let client = stack(&pool, pro_then_flash(&pool), &upstream);
    let mut patient = request("/models/pro");
    patient.extensions_mut().insert(Demand::new("pro").wait(Duration::from_secs(5)));
    client.oneshot(patient).await.unwrap();
    // It may wait, so it waits for the best.
    assert_eq!(upstream.models(), ["pro"]);
    assert_eq!(upstream.seconds(), [3]);
}

#[tokio::test(start_paused = true)]
async fn it_polls_what_it_calls_and_frees_what_it_drops() {
    let (pool, upstream) = (narrow_pool(), Upstream::new(&[]));
    upstream.model("pro", "model");
    let mut client = ServiceBuilder::new()
        .layer(pro_then_flash(&pool))
        .layer(ConcurrencyLimitLayer::new(1))
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .service(upstream.clone());
    for _ in 0..2 {
        let response =
            ServiceExt::<Request<Body>>::ready(&mut client).await.unwrap().call(request("/models/pro")).await.unwrap();
        assert_eq!(text(response).await, "fine");
    }
    assert_eq!(upstream.models(), ["pro", "flash", "pro", "flash"]);
    // Dropped while it waits for its place below.
    let blocked = client.clone();
    ServiceExt::<Request<Body>>::ready(&mut client).await.unwrap();
    let task = tokio::spawn(blocked.oneshot(request("/models/pro")));
    tokio::task::yield_now().await;
    task.abort();
    assert!(task.await.is_err());
    assert_eq!(support::free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_list_nothing_changes() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&["model"]));
    let response = stack(&pool, ModelFallbackLayer::new(&pool), &upstream).oneshot(ask()).await.unwrap();
    assert_eq!(text(response).await, "model");
    assert_eq!(upstream.models(), ["m"]);
}

/// A model that is not for the keys' tier, in Google's own words.
#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_steps_down_and_asks_the_first_model_no_more() {
    use std::sync::Mutex;

    const ZERO: &str = r#"{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
        "message": "You exceeded your current quota.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0, model: gemini-2.5-pro\nPlease retry in 12s.",
        "details": [{"violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}, {"retryDelay": "12s"}]}}"#;
    let pool = crate::blame::pool(Gemini::new(), 2);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let client = KeyPoolLayer::new(&pool)
        .fallback(Models::new().for_all(["gemini-2.5-pro", "gemini-2.5-flash"]))
        .layer(service_fn(move |request: Request<ReplayBody<Body>>| {
            let pro = request.uri().path().contains("pro");
            log.lock().unwrap().push(if pro { "pro" } else { "flash" });
            let (status, said) = if pro { (429, ZERO) } else { (200, r#"{"candidates":[]}"#) };
            let answer = Response::builder().status(status).header("content-type", "application/json");
            async move { Ok::<_, BoxError>(answer.body(Full::<Bytes>::from(said)).unwrap()) }
        }));
    for _ in 0..2 {
        let asks = request("/v1beta/models/gemini-2.5-pro:generateContent");
        let answer = client.clone().oneshot(asks).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.extensions().get::<ServedBy>().unwrap().used_model(), Some("gemini-2.5-flash"));
    }
    assert_eq!(*asked.lock().unwrap(), ["pro", "pro", "flash", "flash"], "each key was asked for it once");
}

/// A picture that a model of texts would write about is none, and nobody hears what is written.
#[tokio::test(start_paused = true)]
async fn only_who_draws_or_speaks_stands_in_for_one_that_does() {
    let models = Models::new()
        .for_all(["gemini-2.5-flash", "imagen-4.0-generate-001", "gemini-2.5-pro-preview-tts", "gemini-3-pro-image"])
        .alias("picture", ["gemini-2.5-flash-image"]);
    for (asked, expected) in [
        ("gemini-2.5-flash-image", Some("gemini-3-pro-image")),
        ("gemini-2.5-flash-preview-tts", Some("gemini-2.5-pro-preview-tts")),
        ("gemini-2.5-flash-lite", Some("gemini-2.5-flash")),
        ("gemini-3-pro-image", None),
        ("gemini-2.5-pro-preview-tts", None),
        ("picture", None),
    ] {
        let pool = crate::blame::pool(Gemini::new(), 2);
        for model in [asked, "gemini-2.5-flash-image"] {
            rest(&pool, model, 30);
        }
        let client =
            KeyPoolLayer::new(&pool).fallback(models.clone()).layer(service_fn(|_: Request<ReplayBody<Body>>| async {
                Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(r#"{"candidates":[]}"#)))
            }));
        let asks = request(&format!("/v1beta/models/{asked}:generateContent"));
        let answer = client.oneshot(asks).await.ok();
        let used = answer.and_then(|answer| answer.extensions().get::<ServedBy>()?.used_model().map(str::to_owned));
        assert_eq!(used.as_deref(), expected, "{asked}");
    }
}

/// As limits are: a list that is spelled otherwise than a request says it is the same list.
#[tokio::test(start_paused = true)]
async fn models_of_a_list_are_the_same_however_they_are_spelled() {
    let keys = || KeyPool::builder(Gemini::new()).key(Key::new("not-a-key-0001").id("a")).build().unwrap();
    let listed = [
        Models::new().for_all(["models/gemini-2.5-pro", "models/gemini-2.5-flash", "gemini-2.5-flash-lite"]),
        Models::new().for_all(["Gemini-2.5-Pro", "Gemini-2.5-Flash", "gemini-2.5-flash-lite"]),
        Models::new().for_model("models/gemini-2.5-flash", ["models/gemini-2.5-flash-lite"]),
        Models::new().for_model("gemini-2.5-flash", ["Gemini-2.5-Flash", "gemini-2.5-flash-lite"]),
    ];
    for models in listed {
        for named in ["gemini-2.5-flash", "Gemini-2.5-Flash"] {
            let pool = keys();
            rest(&pool, "gemini-2.5-flash", 60);
            let client = KeyPoolLayer::new(&pool).fallback(models.clone()).layer(service_fn(
                async |request: Request<ReplayBody<Body>>| {
                    Ok::<_, BoxError>(Response::new(Body::from(request.uri().path().to_owned())))
                },
            ));
            let asked = request(&format!("/v1beta/models/{named}:generateContent"));
            let response = client.oneshot(asked).await.unwrap();
            let served = response.extensions().get::<ServedBy>().unwrap().clone();
            assert_eq!(served.used_model(), Some("gemini-2.5-flash-lite"), "down, not up: {models:?}");
            assert_eq!(served.requested_model(), Some(named));
            assert_eq!(text(response).await, "/v1beta/models/gemini-2.5-flash-lite:generateContent");
            // And of the closure form.
            let judge = |_: &Result<String, Infallible>| Verdict::SUCCESS;
            let runner = pool.with_retry(pool.default_retry()).models(models.clone());
            let model = runner.run(named, judge, async |key| Ok(key.model().unwrap().to_owned())).await;
            assert_eq!(model.unwrap(), "gemini-2.5-flash-lite", "{models:?}");
        }
    }
}
