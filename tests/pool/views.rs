//! Snapshots, counters and events, none of which shows a secret.

use std::time::Duration;

use tower_keypool::{Error, ErrorClass, Event, Failure, Key, Lease, Limits, Outcome, Usage, pool::BreakerState};

use crate::support::{M, answer, builder, id, key, keys, log, manual, rate_for, secs, take};

#[test]
fn snapshot_is_read_in_pages() {
    let (pool, _) = keys(25);
    let page =
        |offset, limit| -> Vec<_> { pool.snapshot(offset, limit).keys.iter().map(|key| key.id.to_string()).collect() };
    assert_eq!(page(0, 10).len(), 10);
    assert_eq!(page(20, 10), ["k20", "k21", "k22", "k23", "k24"]);
    assert_eq!(page(25, 10), [] as [String; 0]);
    assert_eq!(pool.snapshot(3, 2).projects.len(), 2);
    assert_eq!(pool.snapshot(0, 0).stats.keys, 25);
}

#[test]
fn snapshot_shows_options_counters_and_breakers_of_a_key() {
    let (pool, time) = manual(
        builder().key(
            Key::paid(crate::support::secret(0))
                .named(id(0))
                .project("a")
                .billing_account("x")
                .label("ours")
                .exit("proxy")
                .weight(3),
        ),
    );
    answer(&pool, &time, M, Outcome::Success);
    answer(&pool, &time, M, rate_for(90));
    let _lease = take(&pool, "other");
    let snapshot = pool.snapshot(0, 10);
    let key = &snapshot.keys[0];
    assert_eq!((&*key.project, key.priority, key.weight, key.label.as_deref()), ("a", 10, 3, Some("ours")));
    assert_eq!((key.in_flight, key.started, key.succeeded, key.failed), (1, 3, 1, 1));
    let project = &snapshot.projects[0];
    assert_eq!((&*project.name, project.keys, project.billing_account.as_deref()), ("a", 1, Some("x")));
    let breaker = &project.breakers[0];
    assert_eq!((&*breaker.target.to_string(), breaker.seconds_left), ("project a for m", Some(90)));
    time.advance(Duration::from_millis(89_500));
    assert_eq!(pool.snapshot(0, 10).projects[0].breakers[0].seconds_left, Some(1), "rounded up");
    assert_eq!((&breaker.state, breaker.class), (&BreakerState::Cooling, Some(ErrorClass::RateLimit)));
}

#[test]
fn counters_of_the_pool_are_the_sums_of_its_leases() {
    let (pool, time) = keys(2);
    answer(&pool, &time, M, Outcome::Success);
    answer(&pool, &time, M, Failure::new(ErrorClass::Caller));
    let lease = take(&pool, M);
    lease.report_usage(Usage::new(100, 7));
    lease.report(&Outcome::Success);
    drop(lease);
    let _held = take(&pool, M);
    answer(&pool, &time, M, rate_for(9));
    let stats = pool.stats();
    assert_eq!((stats.keys, stats.sent, stats.in_flight, stats.succeeded, stats.failed), (2, 4, 1, 2, 2));
    assert_eq!((stats.input_tokens, stats.output_tokens), (100, 7));
    assert_eq!(stats.by_class.into_iter().collect::<Vec<_>>(), [(ErrorClass::RateLimit, 1), (ErrorClass::Caller, 1)]);
}

#[test]
fn slow_listener_loses_the_oldest_events() {
    let (pool, time) = keys(1);
    let mut events = pool.events();
    answer(&pool, &time, M, rate_for(5));
    let (event, lost) = events.try_next().unwrap();
    let json = serde_json::json!({ "event": "cooling", "target": "project k0 for m", "key": "k0", "class": "rate_limit",
        "left": { "secs": 5, "nanos": 0 }, "message": null });
    assert_eq!((serde_json::to_value(event).unwrap(), lost), (json, 0));
    assert!(events.try_next().is_none());
    for n in 0..3_000 {
        pool.put(crate::support::key(10 + n)).unwrap();
    }
    let (event, lost) = tokio_test::block_on(events.next()).unwrap();
    assert!(lost > 1_500, "{lost} {event:?}");
    assert!(matches!(event, Event::KeyAdded { .. }));
    assert_eq!(std::iter::from_fn(|| Some(events.try_next()?.0)).count() as u64 + 1 + lost, 3_000);
    drop(pool);
    assert!(tokio_test::block_on(events.next()).is_none());
}

#[test]
fn time_in_an_error_is_rounded_up() {
    let (pool, time) = manual(builder().key(key(0).limits(M, Limits::new().per_minute(1))));
    drop(take(&pool, M));
    time.advance(std::time::Duration::from_millis(1_500));
    let error = pool.try_acquire(M).unwrap_err();
    let after = error.retry_after().unwrap();
    assert_ne!(after.subsec_nanos(), 0);
    assert!(error.to_string().ends_with(&format!("; try again in {} s", after.as_secs() + 1)), "{error}");
}

#[test]
fn no_output_shows_a_secret() {
    let (pool, time) = keys(3);
    let mut events = pool.events();
    answer(&pool, &time, M, Failure::new(ErrorClass::KeyRejected));
    pool.put(key(7)).unwrap();
    let lease: Lease = take(&pool, M);
    let errors: Vec<Error> = vec![
        pool.put(Key::new(format!("{}\n", crate::support::secret(8)))).unwrap_err(),
        pool.put(Key::new(crate::support::secret(2)).named(id(1))).unwrap_err(),
        pool.try_acquire(tower_keypool::pool::KeyRequest::model(M).exclude((0..9).map(id))).unwrap_err(),
    ];
    let mut texts = vec![
        format!("{pool:?} {lease:?} {:?} {:?}", key(1), pool.snapshot(0, 10)),
        format!("{:?} {}", lease.secret(), lease.secret()),
        format!("{errors:?}"),
    ];
    texts.extend(errors.iter().map(ToString::to_string));
    texts.extend(std::iter::from_fn(|| Some(events.try_next()?.0)).map(|event| format!("{event:?}")));
    for text in texts {
        assert!(!text.contains("AIza"), "{text}");
    }
}

#[test]
fn error_shows_reasons_and_retry_after() {
    let (pool, time) = keys(2);
    answer(&pool, &time, M, rate_for(30));
    pool.disable(&id(1), "test").unwrap();
    time.advance(secs(1));
    let error = pool.try_acquire(M).unwrap_err();
    assert_eq!(error.to_string(), "no key is available for m: 1 cooling down, 1 disabled; try again in 29 s");
    assert_eq!(format!("{error:#}"), "no key is available for m: 1 cooling down, 1 disabled");
}

#[test]
fn absurd_usage_does_not_overflow() {
    let (pool, _) = keys(1);
    for _ in 0..3 {
        take(&pool, M).report_usage(Usage::new(u64::MAX - 1, u64::MAX));
    }
    let stats = pool.stats();
    assert_eq!((stats.input_tokens, stats.output_tokens), (3 << 40, 3 << 40));
}

#[test]
fn removal_of_a_key_reports_only_that_event() {
    let (pool, time) = keys(2);
    answer(&pool, &time, M, rate_for(90));
    pool.disable(&id(0), "test").unwrap();
    let mut events = pool.events();
    pool.remove(&id(0)).unwrap();
    let seen: Vec<_> = std::iter::from_fn(|| Some(events.try_next()?.0)).collect();
    assert!(matches!(&*seen, [Event::KeyRemoved { .. }]), "{seen:?}");
}

#[test]
fn field_names_in_a_json_log_line_are_unique() {
    let (log, guard) = log();
    let (pool, time) = keys(1);
    for (status, message) in [(429, "no more"), (403, "the key was leaked")] {
        let body = format!(r#"{{"error":{{"message":"{message}"}}}}"#);
        let status = http::StatusCode::from_u16(status).unwrap();
        let failure = pool.classify(status, &http::HeaderMap::new(), body.as_bytes()).unwrap();
        answer(&pool, &time, M, failure);
        pool.enable(&id(0)).unwrap();
    }
    drop((guard, pool));
    let text = std::io::read_to_string(log).unwrap();
    for event in ["cooling down", "in use again", "disabled", "no more", "leaked"] {
        assert!(text.contains(event), "{event}: {text}");
    }
    for line in text.lines() {
        // The cooldown after the first 429 without a delay.
        assert_eq!(line.contains(r#""seconds":10"#), line.contains("cooling down"), "{line}");
        for name in ["message", "target"] {
            assert_eq!(line.matches(&format!(r#""{name}":"#)).count(), 1, "{line}");
        }
    }
}
