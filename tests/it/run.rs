//! The closure API: `KeyPool::run` and `RetryPolicy::run`.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use tower_keypool::{
    ErrorClass, ErrorKind, Gemini, Key, KeyPool, KeyPoolBuilder, KeyRequest, Lease, Limits, Outcome, RetryPolicy,
    run::RunError,
};

fn secret(n: usize) -> String {
    format!("AIza-not-a-real-key-{n:03}")
}

/// Builds a pool with the keys `key-0`, `key-1` and so on, each with its own project.
fn builder(keys: usize) -> KeyPoolBuilder {
    let key = |n: usize| Key::new(secret(n)).named(&*format!("key-{n}")).project(format!("project-{n}"));
    KeyPool::builder(Gemini::new()).keys((0..keys).map(key))
}

fn pool(keys: usize) -> KeyPool {
    builder(keys).build().unwrap()
}

/// An SDK's error of this class.
#[derive(Clone, Debug, PartialEq)]
struct ApiError(ErrorClass);

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the API said {}", self.0.as_str())
    }
}

impl std::error::Error for ApiError {}

fn classify(error: &ApiError) -> Outcome {
    Outcome::from_class(error.0)
}

fn tried<E>(error: &RunError<E>) -> Vec<&str> {
    error.attempts().iter().map(|attempt| attempt.key().as_str()).collect()
}

/// Returns the number of breakers that are not closed.
fn open_breakers(pool: &KeyPool) -> usize {
    pool.snapshot(0, 100).open_breakers.iter().map(|open| open.count).sum()
}

#[tokio::test(start_paused = true)]
async fn another_key_is_tried_at_once_after_a_refusal() {
    for class in [ErrorClass::RateLimit, ErrorClass::DailyQuota, ErrorClass::KeyRejected, ErrorClass::Billing] {
        let pool = pool(3);
        let started = pool.clock().now();
        let calls = RefCell::new(Vec::new());
        let text = pool
            .run("gemini-2.5-pro", classify, |key| {
                calls.borrow_mut().push(key.key().to_string());
                async move { if key.expose() == secret(2) { Ok("hello") } else { Err(ApiError(class)) } }
            })
            .await;
        assert_eq!(text.unwrap(), "hello");
        assert_eq!(*calls.borrow(), ["key-0", "key-1", "key-2"]);
        assert_eq!(pool.clock().now().since(started), Duration::ZERO);
        let stats = pool.stats();
        assert_eq!((stats.succeeded, stats.failed, stats.in_flight), (1, 2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn provider_fault_is_tried_three_times_with_backoff() {
    let pool = pool(3);
    let started = pool.clock().now();
    let run = pool.run("m", classify, |_| async { Err::<(), _>(ApiError(ErrorClass::Transient)) });
    let error = run.await.unwrap_err();
    assert_eq!(error.attempts().len(), 3);
    // 250 ms and 500 ms, each with up to 50 % of jitter.
    assert!(
        (750..=1_200).contains(&pool.clock().now().since(started).as_millis()),
        "{:?}",
        pool.clock().now().since(started)
    );
    assert!(matches!(error, RunError::Call { error: ApiError(ErrorClass::Transient), .. }));
}

#[tokio::test(start_paused = true)]
async fn callers_fault_is_returned_and_changes_nothing() {
    for class in [ErrorClass::Caller, ErrorClass::ModelNotFound] {
        let pool = pool(3);
        let run = pool.run("m", classify, |_| async { Err::<(), _>(ApiError(class)) });
        let error = run.await.unwrap_err();
        assert_eq!(tried(&error), ["key-0"]);
        assert_eq!(open_breakers(&pool), 0);
        assert!(error.to_string().starts_with("the API said "), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn same_unclear_refusal_of_three_projects_is_the_callers_fault() {
    let missing = r#"{"error":{"message":"The model 'm' does not exist or you do not have access to it.","code":"model_not_found"}}"#;
    for (status, body, class) in [(403, "{}", ErrorClass::Unclear), (404, missing, ErrorClass::NotEntitled)] {
        let pool = pool(5);
        let classify = |_: &u16| {
            let status = StatusCode::from_u16(status).unwrap();
            pool.classify(status, &HeaderMap::new(), body.as_bytes()).unwrap().into()
        };
        let error = pool.run("m", classify, |_| async { Err::<(), _>(status) }).await.unwrap_err();
        assert_eq!(tried(&error), ["key-0", "key-1", "key-2"]);
        assert_eq!(error.attempts().last().unwrap().class(), Some(class));
        assert_eq!(open_breakers(&pool), 0, "{class:?}");
        assert!(matches!(error, RunError::Call { error, .. } if error == status));
    }
    // A clear cause concerns only the key that failed.
    for class in [ErrorClass::Billing, ErrorClass::NotEntitled] {
        let pool = pool(5);
        let run = pool.run("m", classify, |_| async { Err::<(), _>(ApiError(class)) });
        let error = run.await.unwrap_err();
        assert_eq!(error.attempts().len(), 5);
        assert!(matches!(&error, RunError::Pool(error) if error.kind() == ErrorKind::Unavailable));
        assert_eq!(open_breakers(&pool), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn delay_after_an_attempt_is_that_of_the_requests_size() {
    let pool = builder(2).limits("m", Limits::new().tokens_per_minute(500)).build().unwrap();
    let small = |key: &'static str| {
        KeyRequest::model("m").input_tokens(300).affinity(tower_keypool::Affinity::RequireKey(key.into()))
    };
    drop(pool.try_acquire(small("key-0")).unwrap());
    let large = KeyRequest::model("m").input_tokens(400).wait(Duration::ZERO);
    let classify = |(): &()| Outcome::from_class(ErrorClass::RateLimit);
    let error = pool.run(large, classify, |_| async { Err::<(), _>(()) }).await.unwrap_err();
    let RunError::Pool(error) = error else { panic!("{error:?}") };
    assert_eq!(error.attempts().len(), 1);
    // The other key has room for a smaller request only, and the one that refused cools for 5 s or more.
    assert!(error.retry_after().unwrap() >= Duration::from_secs(5), "{:?}", error.retry_after());
}

#[tokio::test(start_paused = true)]
async fn closure_is_not_called_without_a_key() {
    let pool = pool(1);
    let held = pool.acquire("m").await.unwrap();
    pool.disable(held.key(), "out of use").unwrap();
    let called = Cell::new(false);
    let run = pool.run("m", classify, |_| {
        called.set(true);
        async { Ok(()) }
    });
    let error = run.await.unwrap_err();
    assert!(!called.get());
    assert!(matches!(&error, RunError::Pool(error) if error.kind() == ErrorKind::Unavailable), "{error}");
    assert!(error.attempts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn attempts_and_budget_can_be_configured() {
    let attempts = async |policy: tower_keypool::RetryPolicy| {
        let run = policy.run("m", classify, |_| async { Err::<(), _>(ApiError(ErrorClass::Transient)) });
        run.await.unwrap_err().attempts().len()
    };
    assert_eq!(attempts(RetryPolicy::new(&pool(1)).max_provider_faults(1)).await, 1);
    assert_eq!(attempts(RetryPolicy::new(&pool(1)).max_provider_faults(4)).await, 4);
    assert_eq!(attempts(RetryPolicy::new(&pool(1)).budget(0.0, 0)).await, 1);
}

#[tokio::test(start_paused = true)]
async fn dropped_run_returns_its_key() {
    let pool = builder(1).wait(Duration::from_secs(1)).build().unwrap();
    let hanging = pool.run("m", classify, |_| std::future::pending::<Result<(), ApiError>>());
    assert!(tokio::time::timeout(Duration::from_millis(10), hanging).await.is_err());
    assert_eq!(pool.stats().in_flight, 0);
    pool.run("m", classify, |_| async { Ok(()) }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn panicking_closure_returns_its_key() {
    let pool = pool(1);
    let before_its_future =
        pool.run("m", classify, |_| -> std::future::Ready<Result<(), ApiError>> { panic!("early") });
    assert!(tokio::spawn(before_its_future).await.unwrap_err().is_panic());
    let in_its_future = pool.run("m", classify, |_key| async { if true { panic!("late") } else { Ok(()) } });
    assert!(tokio::spawn(in_its_future).await.unwrap_err().is_panic());
    let in_classify =
        pool.run("m", |_: &ApiError| panic!("in classify"), |_| async { Err::<(), _>(ApiError(ErrorClass::Caller)) });
    assert!(tokio::spawn(in_classify).await.unwrap_err().is_panic());
    assert_eq!(pool.stats().in_flight, 0);
    assert!(pool.try_acquire("m").is_ok());
}

#[tokio::test(start_paused = true)]
async fn result_may_keep_the_lease() {
    let pool = pool(1);
    let stream: Arc<Lease> = pool.run("m", classify, |key| async move { Ok(key) }).await.unwrap();
    assert_eq!((pool.stats().in_flight, pool.stats().succeeded), (1, 1));
    drop(stream);
    assert_eq!(pool.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn errors_show_no_secret() {
    let pool = pool(2);
    let run = pool.run("m", classify, |_| async { Err::<(), _>(ApiError(ErrorClass::RateLimit)) });
    let error = run.await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("key-1") && !shown.contains("AIza"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn status_and_body_are_classified_by_the_pool() {
    let pool = pool(2);
    let classify =
        |(status, body): &(StatusCode, &'static str)| pool.classify(*status, &HeaderMap::new(), body.as_bytes()).into();
    let body = r#"{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid. Please pass a valid API key.",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}}"#;
    let answer = pool.run("m", classify, |key| async move {
        if key.expose() == secret(0) { Err((StatusCode::BAD_REQUEST, body)) } else { Ok(key.key().to_string()) }
    });
    assert_eq!(answer.await.unwrap(), "key-1");
}

#[tokio::test]
async fn key_repeated_in_an_error_is_redacted_in_the_attempts() {
    let pool = pool(1);
    let classify = |body: &String| pool.classify(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes()).into();
    let call = async |lease: Arc<Lease>| Err::<(), _>(format!(r#"{{"error":{{"message":"bad {}"}}}}"#, lease.expose()));
    let error = pool.run("m", classify, call).await.unwrap_err();
    let attempts = format!("{:?}", error.attempts());
    assert!(attempts.contains("bad ***") && !attempts.contains(&secret(0)), "{attempts}");
}
