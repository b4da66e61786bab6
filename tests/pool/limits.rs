//! Given limits are never exceeded, and free up in time.

use std::time::Duration;

use tower_keypool::{
    Key, KeyPool, Limit, Limits, Outcome, Span, Unit, Usage,
    limit::LimitSource,
    pool::{KeyRequest, UnavailableReason as Reason},
};

use crate::support::{M, answer, builder, id, key, manual, manual_at, reasons, refused, secs, take};

/// Returns how many requests are granted at once.
fn room(pool: &KeyPool, request: &KeyRequest) -> usize {
    std::iter::from_fn(|| pool.try_acquire(request.clone()).ok()).take(1_000).collect::<Vec<_>>().len()
}

#[test]
fn keys_of_a_project_share_its_limit() {
    let (pool, _) = manual(
        builder().keys((0..4).map(|n| key(n).project(["a", "b"][n % 2]))).limits(M, Limits::new().per_minute(3)),
    );
    assert_eq!(room(&pool, &M.into()), 6);
    assert_eq!(reasons(&pool, M), [(Reason::Limit, 4)]);
}

#[test]
fn each_model_has_its_own_windows() {
    let limits = Limits::new().per_minute(2);
    let (pool, _) = manual(builder().key(key(0)).limits("a", limits.clone()).limits("b", limits));
    assert_eq!((room(&pool, &"a".into()), room(&pool, &"b".into())), (2, 2));
}

#[test]
fn limits_of_a_key_replace_those_of_the_pool() {
    let (pool, _) = manual(
        builder().key(key(0).limits(M, Limits::new().per_minute(5))).key(key(1)).limits(M, Limits::new().per_minute(1)),
    );
    assert_eq!(room(&pool, &M.into()), 6);
}

#[test]
fn longest_matching_pattern_applies_to_each_model() {
    let (pool, time) = manual(
        builder()
            .key(key(0))
            .limits("gpt-*", Limits::new().per_minute(2))
            .limits("gpt-4*", Limits::new().per_minute(3))
            .limits("*", Limits::new().per_minute(4)),
    );
    // No model of these patterns is confirmed yet: all models of a pattern share its windows.
    assert_eq!(room(&pool, &"gpt-4o".into()), 3);
    assert_eq!(room(&pool, &"gpt-4.1".into()), 0);
    assert_eq!(room(&pool, &"gpt-3".into()), 2);
    assert_eq!(room(&pool, &"claude".into()), 4);
    assert_eq!(room(&pool, &KeyRequest::default()), 0);
    time.advance(secs(61));
    // A success gives each model its own windows.
    for name in ["gpt-4o", "gpt-4.1"] {
        answer(&pool, &time, name, Outcome::Success);
    }
    time.advance(secs(61));
    assert_eq!((room(&pool, &"gpt-4o".into()), room(&pool, &"gpt-4.1".into())), (3, 3));
}

#[test]
fn requests_counted_before_the_first_success_stay_counted() {
    let (pool, time) = manual(builder().key(key(0)).limits("gpt-*", Limits::new().per_minute(3)));
    answer(&pool, &time, "gpt-4o", Outcome::Success);
    assert_eq!(room(&pool, &"gpt-4o".into()), 2);
}

#[test]
fn limits_added_at_run_time_are_enforced_at_once() {
    let (pool, _) = manual(builder().key(key(0)));
    pool.put(key(0).limits("new", Limits::new().per_minute(2))).unwrap();
    assert_eq!(room(&pool, &"new".into()), 2);
    pool.put(key(1).limits("newer", Limits::new().per_minute(1)).models(["newer"])).unwrap();
    assert_eq!(room(&pool, &KeyRequest::model("newer").exclude([id(0)])), 1);
}

#[test]
fn raised_limit_frees_every_key_of_the_project_at_once() {
    let (pool, _) = manual(builder().keys((0..3).map(|n| key(n).project("a").limits(M, Limits::new().per_day(2)))));
    assert_eq!(room(&pool, &M.into()), 2);
    assert_eq!(reasons(&pool, M), [(Reason::DailyLimit, 3)]);
    pool.put(key(0).project("a").limits(M, Limits::new().per_day(10))).unwrap();
    assert_eq!(room(&pool, &KeyRequest::model(M).exclude([id(0)])), 8);
}

#[test]
fn limit_removed_from_the_key_list_is_not_enforced() {
    let (pool, _) = manual(builder().key(key(0).limits(M, Limits::new().per_minute(1))));
    assert_eq!(room(&pool, &M.into()), 1);
    pool.replace_all(&[key(0)]).unwrap();
    assert_eq!(room(&pool, &M.into()), 1_000);
}

#[test]
fn tokens_are_counted_as_reserved_until_their_usage_is_known() {
    let (pool, time) = manual(builder().key(key(0)).limits(M, Limits::new().tokens_per_minute(1_000)));
    let of = |tokens| KeyRequest::model(M).input_tokens(tokens);
    let lease = pool.try_acquire(of(800)).unwrap();
    assert_eq!(refused(&pool, of(300)).reasons(), [(Reason::Limit, 1)]);
    lease.report_usage(Usage::new(100, 20));
    drop(lease);
    let lease = pool.try_acquire(of(900)).unwrap();
    // The window is full and the key waits for it; unused tokens free it earlier.
    assert!(pool.try_acquire(of(1)).is_err());
    lease.report_usage(Usage::new(500, 0));
    drop(lease);
    assert!(pool.try_acquire(of(400)).is_ok());
    // Tokens used beyond the reservation count, too.
    time.advance(secs(61));
    let lease = pool.try_acquire(of(1)).unwrap();
    lease.report_usage(Usage::new(2_000, 0));
    drop(lease);
    assert!(pool.try_acquire(of(1)).is_err());
}

#[test]
fn request_larger_than_a_limit_fails_at_once() {
    let (pool, _) = manual(builder().keys((0..3).map(key)).limits(M, Limits::new().tokens_per_minute(1_000)));
    let large = refused(&pool, KeyRequest::model(M).input_tokens(1_001).wait(secs(60)));
    assert_eq!(large.reasons(), [(Reason::TooLarge, 3)]);
    assert!(pool.try_acquire(KeyRequest::model(M).input_tokens(1_000)).is_ok());
}

#[test]
fn every_kind_of_limit_is_enforced() {
    for unit in [Unit::Requests, Unit::InputTokens, Unit::OutputTokens, Unit::Tokens] {
        for span in [Span::Sliding(Duration::from_secs(10)), Span::MINUTE, Span::Day] {
            let limits = Limits::new().with(Limit { unit, span, amount: 8 });
            let (pool, _) = manual(builder().key(key(0)).limits(M, limits));
            let request = KeyRequest::model(M).requests(2).input_tokens(1).output_tokens(1);
            let fits = match unit {
                Unit::InputTokens | Unit::OutputTokens => 8,
                _ => 4,
            };
            assert_eq!(room(&pool, &request), fits, "{unit:?} {span:?}");
        }
    }
}

#[test]
fn no_window_of_the_limits_length_exceeds_it() {
    let (pool, time) = manual(builder().key(key(0)).limits(M, Limits::new().per_minute(3)));
    let mut starts = Vec::new();
    for ms in (0..400_000).step_by(125) {
        if pool.try_acquire(M).is_ok() {
            starts.push(ms);
        }
        time.advance(Duration::from_millis(125));
    }
    assert!(starts.windows(4).all(|four| four[3] - four[0] > 60_000), "{starts:?}");
    assert!(starts.len() >= 18, "{starts:?}");
}

#[test]
fn day_ends_at_midnight_in_the_projects_zone() {
    let (pool, time) = manual_at(
        builder().key(key(0)).key(key(1).zone("Asia/Tokyo")).limits(M, Limits::new().per_day(1)),
        "2026-06-15T23:00:00-07:00",
    );
    assert_eq!(room(&pool, &M.into()), 2);
    time.advance(secs(3_600 - 1));
    assert_eq!(reasons(&pool, M), [(Reason::DailyLimit, 2)]);
    // Half a minute past midnight, to allow for the provider's clock.
    time.advance(secs(32));
    assert_eq!(take(&pool, M).key(), &id(0));
    // It was 15:00 in Tokyo when the pool started: midnight there is nine hours later.
    time.advance(secs(8 * 3_600));
    assert_eq!(take(&pool, M).key(), &id(1));
}

#[test]
fn lease_that_is_given_back_is_not_counted() {
    let (pool, _) = manual(
        builder()
            .keys((0..2).map(|n| key(n).project("a").min_interval(secs(5))))
            .limits(M, Limits::new().per_minute(1)),
    );
    let lease = take(&pool, M);
    let given_back = lease.key().clone();
    assert!(pool.try_acquire(M).is_err());
    lease.give_back();
    assert_eq!(pool.stats().sent, 0);
    assert_eq!(
        pool.try_acquire(KeyRequest::model(M).affinity(tower_keypool::Affinity::RequireKey(given_back)))
            .map(|_| ())
            .ok(),
        Some(())
    );
}

#[test]
fn uncounted_requests_ignore_limits() {
    let (pool, _) = manual(builder().key(key(0)).limits("*", Limits::new().per_minute(1)));
    assert_eq!(room(&pool, &KeyRequest::default().uncounted()), 1_000);
    assert_eq!(room(&pool, &M.into()), 1);
    assert_eq!(room(&pool, &KeyRequest::default().uncounted()), 1_000);
    assert_eq!(room(&pool, &KeyRequest::model(M).uncounted()), 1_000);
}

#[test]
fn interval_and_concurrency_of_a_key_are_enforced() {
    let (pool, time) = manual(builder().key(key(0).min_interval(secs(2))).key(key(1).max_concurrent(1)));
    let leases = [take(&pool, M), take(&pool, M)];
    assert_eq!(reasons(&pool, M), [(Reason::Limit, 1), (Reason::Busy, 1)]);
    // The busy key may be ready at any time.
    assert_eq!(refused(&pool, M).retry_after(), Some(secs(1)));
    time.advance(secs(2));
    assert_eq!(take(&pool, M).key(), &id(0));
    drop(leases);
    assert_eq!(take(&pool, M).key(), &id(1));
}

#[test]
fn source_of_a_limit_is_shown() {
    let (pool, _) =
        manual(builder().key(Key::free("AIza-not-a-real-key").named(id(0))).limits("a", Limits::new().per_minute(5)));
    drop((take(&pool, "a"), take(&pool, crate::support::LISTED)));
    let models = &pool.snapshot(0, 1).projects[0].models;
    let view = |name: &str| models.iter().find(|view| &*view.model == name).unwrap().limits[0];
    assert_eq!((view("a").limit, view("a").used, view("a").source), (5, 1, LimitSource::Given));
    assert_eq!(view(crate::support::LISTED).source, LimitSource::Assumed);
}

#[test]
fn invalid_limits_are_an_error() {
    let limit = Limit { unit: Unit::Requests, span: Span::Sliding(Duration::ZERO), amount: 1 };
    assert!(builder().key(key(0)).limits(M, Limits::new().with(limit)).build().is_err());
    assert!(builder().key(key(0).limits(M, Limits::new().with(limit))).build().is_err());
    let (pool, _) = manual(builder().key(key(0)));
    assert!(pool.put(key(1).limits(M, Limits::new().with(limit))).is_err());
    assert_eq!(pool.stats().keys, 1);
}

#[tokio::test(start_paused = true)]
async fn saturated_limits_are_used_to_99_percent_and_never_exceeded() {
    let (projects, limit, minutes) = (5, 60, 10);
    let pool = crate::support::paused(
        builder()
            .keys((0..projects * 2).map(|n| key(n).project(format!("p{}", n / 2))))
            .limits(M, Limits::new().per_minute(limit)),
    );
    let starts = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let begin = tokio::time::Instant::now();
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let (pool, starts) = (pool.clone(), starts.clone());
            tokio::spawn(async move {
                while begin.elapsed() < secs(60 * minutes) {
                    let Ok(lease) = pool.acquire(KeyRequest::model(M).wait(secs(90))).await else { continue };
                    starts.lock().unwrap().push((lease.project().to_owned(), begin.elapsed()));
                    tokio::time::sleep(Duration::from_millis(300 + n * 7 % 900)).await;
                    lease.report(&Outcome::Success);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let starts = starts.lock().unwrap();
    for n in 0..projects {
        let mut of: Vec<_> =
            starts.iter().filter(|(project, _)| *project == format!("p{n}")).map(|(_, at)| *at).collect();
        of.sort_unstable();
        for window in of.windows(limit as usize + 1) {
            assert!(window[limit as usize] > window[0] + secs(60), "p{n}: {window:?}");
        }
    }
    let served = starts.iter().filter(|(_, at)| *at < secs(60 * minutes)).count();
    let most = projects * limit as usize * minutes as usize;
    assert!(served * 100 >= most * 99, "{served} of {most}");
}

#[test]
fn limit_of_output_tokens_is_enforced_by_the_usage_of_responses() {
    for unit in [Unit::OutputTokens, Unit::Tokens] {
        let (pool, time) = manual(
            builder().key(key(0)).limits(M, Limits::new().with(Limit { unit, span: Span::MINUTE, amount: 100 })),
        );
        let lease = take(&pool, M);
        lease.report_usage(Usage::new(0, 100));
        drop(lease);
        assert_eq!(reasons(&pool, M), [(Reason::Limit, 1)], "{unit:?}");
        time.advance(secs(61));
        drop(take(&pool, M));
    }
}

#[test]
fn large_request_does_not_delay_small_ones() {
    let limits = Limits::new().per_minute(10).tokens_per_minute(250_000);
    let (pool, time) = manual(builder().key(key(0)).limits(M, limits));
    let of = |tokens| KeyRequest::model(M).input_tokens(tokens);
    drop(pool.try_acquire(of(10)).unwrap());
    time.advance(secs(40));
    (0..8).for_each(|_| drop(pool.try_acquire(of(10)).unwrap()));
    drop(pool.try_acquire(of(200_000)).unwrap());
    time.advance(secs(1));
    assert!(pool.try_acquire(of(100_000)).is_err());
    // The window of requests has room for one from now on.
    time.advance(secs(20));
    assert!(pool.try_acquire(of(100_000)).is_err());
    assert!(pool.try_acquire(of(10)).is_ok());
}

#[test]
fn request_just_before_midnight_counts_for_both_days() {
    let (pool, time) =
        manual_at(builder().key(key(0)).limits(M, Limits::new().per_day(2)), "2026-06-15T23:59:59.5-07:00");
    drop(take(&pool, M));
    time.advance(secs(31));
    assert_eq!(room(&pool, &M.into()), 1);
}
