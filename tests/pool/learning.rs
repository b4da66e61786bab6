//! Limits and shared projects that the pool learns from the provider's errors.

use futures_util::FutureExt;
use http::{HeaderMap, StatusCode};
use tower_keypool::{
    Affinity, Event, Gemini, KeyPool, KeyPoolBuilder, Lease, Limits, ManualClock, Outcome,
    limit::LimitSource,
    pool::{KeyRequest, UnavailableReason as Reason},
};

use crate::support::{M, id, key, manual, reasons, secs, take};

fn gemini() -> KeyPoolBuilder {
    KeyPool::builder(Gemini::new())
}

/// The outcome of a response in which Google names a limit of `limit` requests a minute.
pub(crate) fn over_limit(pool: &KeyPool, limit: u64, project: Option<&str>) -> Outcome {
    let info = project.map_or(String::new(), |project| {
        format!(
            r#",{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","domain":"googleapis.com",
            "metadata":{{"consumer":"projects/{project}","service":"generativelanguage.googleapis.com"}}}}"#
        )
    });
    let body = format!(
        r#"{{"error":{{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[
        {{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{
        "quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaDimensions":{{"model":"m"}},"quotaValue":"{limit}"}}]}},
        {{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"5s"}}{info}]}}}}"#
    );
    let failure = pool.classify(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), body.as_bytes());
    failure.expect("an error").into()
}

/// The outcome of a response in which Google names a limit of `limit` prompt tokens a minute.
fn over_tokens(pool: &KeyPool, limit: u64) -> Outcome {
    let body = format!(
        r#"{{"error":{{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[
        {{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{
        "quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_input_token_count",
        "quotaId":"GenerateContentInputTokensPerModelPerMinute-FreeTier","quotaDimensions":{{"model":"m"}},"quotaValue":"{limit}"}}]}},
        {{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"5s"}}]}}}}"#
    );
    pool.classify(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), body.as_bytes()).expect("an error").into()
}

fn of(pool: &KeyPool, n: usize) -> Lease {
    pool.try_acquire(KeyRequest::model(M).affinity(Affinity::RequireKey(id(n)))).unwrap()
}

fn refuse(pool: &KeyPool, time: &ManualClock, n: usize, limit: u64, project: Option<&str>) {
    let lease = of(pool, n);
    time.advance(std::time::Duration::from_millis(1));
    lease.report(&over_limit(pool, limit, project));
}

#[test]
fn limit_named_in_an_error_is_enforced() {
    let (pool, time) = manual(gemini().key(key(0)));
    let mut events = pool.events();
    refuse(&pool, &time, 0, 4, None);
    let learned = std::iter::from_fn(|| Some(events.try_next()?.0)).find_map(|event| match event {
        Event::LimitLearned { limit, .. } => Some(limit.amount),
        _ => None,
    });
    assert_eq!(learned, Some(4));
    time.advance(secs(5));
    // One request is already counted.
    for _ in 0..3 {
        let _ = take(&pool, M);
    }
    assert_eq!(reasons(&pool, M), [(Reason::Limit, 1)]);
    let snapshot = pool.snapshot(0, 1);
    let view = snapshot.projects[0].models.iter().find(|view| &*view.model == M).unwrap().limits[0];
    assert_eq!((view.limit, view.used, view.source), (4, 4, LimitSource::Learned));
}

#[test]
fn tokens_used_before_a_limit_is_learned_count() {
    let (pool, time) = manual(gemini().key(key(0)));
    let request = || KeyRequest::model(M).input_tokens(100);
    for _ in 0..4 {
        drop(pool.try_acquire(request()).unwrap());
        time.advance(secs(10));
    }
    let refused = pool.try_acquire(request()).unwrap();
    refused.report(&over_tokens(&pool, 500));
    drop(refused);
    // The first request was 46 s ago: its tokens still count.
    time.advance(secs(6));
    let served = std::iter::from_fn(|| pool.try_acquire(request()).ok()).count();
    assert!(served <= 1, "{served} requests were sent over the limit");
    time.advance(secs(15));
    assert!(pool.try_acquire(request()).is_ok());
}

#[test]
fn refused_request_itself_used_no_tokens() {
    for limit in [500, u64::MAX] {
        let (pool, time) = manual(gemini().key(key(0)));
        if limit == u64::MAX {
            let _ = [take(&pool, M), take(&pool, M), take(&pool, M)];
        }
        pool.try_acquire(KeyRequest::model(M).input_tokens(100_000)).unwrap().report(&over_tokens(&pool, limit));
        time.advance(secs(6));
        assert!(pool.try_acquire(KeyRequest::model(M).input_tokens(400)).is_ok(), "{limit}");
    }
}

#[test]
fn lower_of_a_given_and_a_learned_limit_is_enforced() {
    let (pool, time) = manual(gemini().key(key(0)).limits(M, Limits::new().per_minute(3)));
    refuse(&pool, &time, 0, 100, None);
    time.advance(secs(5));
    let _ = [take(&pool, M), take(&pool, M)];
    assert_eq!(reasons(&pool, M), [(Reason::Limit, 1)]);
}

#[test]
fn keys_are_grouped_by_the_project_that_errors_name() {
    let (pool, time) = manual(gemini().keys((0..10).map(key)));
    let mut events = pool.events();
    for n in 0..10 {
        refuse(&pool, &time, n, 6, Some(&format!("{}", 1_000 + n % 4)));
        time.advance(secs(70));
    }
    let snapshot = pool.snapshot(0, 10);
    assert_eq!(snapshot.projects.len(), 4);
    let mut sizes: Vec<_> = snapshot.projects.iter().map(|project| project.keys).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 2, 3, 3]);
    let learned =
        std::iter::from_fn(|| Some(events.try_next()?.0)).filter(|event| matches!(event, Event::ProjectLearned { .. }));
    assert_eq!(learned.count(), 6);
    // The keys of a project share one window now.
    let served = std::iter::from_fn(|| pool.try_acquire(M).ok()).take(100).count();
    assert_eq!(served, 4 * 6);
}

#[test]
fn usage_before_the_grouping_counts_for_the_shared_project() {
    let (pool, time) = manual(gemini().keys((0..2).map(key)).limits(M, Limits::new().per_minute(5)));
    let held: Vec<_> = (0..4).map(|n| of(&pool, n % 2)).collect();
    time.advance(secs(1));
    for (n, lease) in held.iter().enumerate().take(2) {
        lease.report(&over_limit(&pool, 5, Some("77")));
        assert_eq!(pool.snapshot(0, 2).projects.len(), 2 - n);
    }
    time.advance(secs(6));
    // Leases granted before the grouping end as usual: four requests were counted, and one of them was not sent.
    let mut held = held.into_iter();
    held.next_back().unwrap().give_back();
    drop(held);
    let _ = [take(&pool, M), take(&pool, M)];
    assert_eq!(reasons(&pool, M), [(Reason::Limit, 2)]);
    assert_eq!(pool.stats().in_flight, 0);
}

#[test]
fn configured_projects_are_kept() {
    let (pool, time) = manual(gemini().keys((0..2).map(|n| key(n).project(["a", "b"][n]))).key(key(2)));
    for n in 0..3 {
        refuse(&pool, &time, n, 50, Some("77"));
        time.advance(secs(5));
    }
    let view = pool.snapshot(0, 3);
    let projects: Vec<_> = view.keys.iter().map(|key| key.project.to_string()).collect();
    assert_eq!(projects, ["a", "b", "a"]);
}

#[test]
fn learned_project_is_kept_when_the_same_keys_are_reloaded() {
    let list = || (0..3).map(key).collect::<Vec<_>>();
    let (pool, time) = manual(gemini().keys(list()));
    for n in 0..3 {
        refuse(&pool, &time, n, 50, Some("77"));
        time.advance(secs(5));
    }
    pool.replace_all(&list()).unwrap();
    assert_eq!(pool.snapshot(0, 3).projects.len(), 1);
    // The first key gave the project its name; the others stay together when it is removed.
    pool.remove(&id(0)).unwrap();
    assert_eq!(pool.snapshot(0, 3).projects.len(), 1);
    for n in [1, 2] {
        drop(of(&pool, n));
    }
}

#[test]
fn limits_of_a_key_apply_to_its_learned_project() {
    let (pool, time) = manual(gemini().key(key(0)).key(key(1).limits(M, Limits::new().per_minute(3))));
    for n in 0..2 {
        refuse(&pool, &time, n, 50, Some("77"));
        time.advance(secs(5));
    }
    assert_eq!(std::iter::from_fn(|| pool.try_acquire(M).ok()).take(100).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn limit_of_a_learned_project_applies_throughout_a_reload() {
    let list = || {
        let mut keys: Vec<_> = (0..600).map(key).collect();
        keys[599] = key(599).limits(M, Limits::new().per_minute(2));
        keys
    };
    let (pool, time) = manual(gemini().keys(list()));
    for n in [0, 599] {
        refuse(&pool, &time, n, 50, Some("77"));
        time.advance(secs(5));
    }
    let request = || KeyRequest::model(M).affinity(Affinity::RequireProject("k0".into())).wait(secs(100));
    let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(pool.acquire(request()))).collect();
    let mut all_wait = || waiters.iter_mut().all(|waiter| waiter.as_mut().now_or_never().is_none());
    assert!(all_wait());
    for _ in 0..3 {
        pool.replace_all(&list()).unwrap();
        assert!(all_wait());
    }
}

#[test]
fn trial_ends_although_its_project_was_grouped_meanwhile() {
    let (pool, time) = manual(gemini().keys((0..2).map(key)));
    refuse(&pool, &time, 0, 50, Some("77"));
    let lease = of(&pool, 1);
    time.advance(std::time::Duration::from_millis(1));
    lease.report(&crate::support::rate().into());
    drop(lease);
    time.advance(secs(10));
    let trial = of(&pool, 1);
    time.advance(secs(1));
    trial.report(&over_limit(&pool, 50, Some("77")));
    drop(trial);
    time.advance(secs(5));
    for n in 0..2 {
        drop(of(&pool, n));
    }
}
