//! Demands: what never fits, what is cut, who must serve; many at once.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tower_keypool::{
    Affinity, Clock, Demand, KeyError, Limit, Limits, OutReason, Priority, Span, Strategy, Tier, Unit, Until,
};

use crate::support::{FLASH, answer, builder, daily, id, key, keys, limited, on, rate_for, secs, take};

#[test]
fn a_demand_that_never_fits_is_refused_at_once_and_says_why() {
    let (pool, _) = limited(2, Limits::new().tokens_per_minute(10_000));
    let error = pool.try_acquire(Demand::new(FLASH).tokens(10_001)).unwrap_err();
    assert!(error.is_never_fits());
    assert_eq!(error.retry_after(), None);
    assert_eq!(
        error.to_string(),
        "the request never fits: it needs 10001 of input tokens/minute for flash, and the largest limit is 10000"
    );
    assert!(pool.try_acquire(Demand::new(FLASH).tokens(10_000)).is_ok());
    assert!(pool.try_acquire(Demand::new("other").tokens(10_001)).is_ok());
}

#[test]
fn a_limit_of_zero_says_so() {
    let (pool, _) = limited(2, Limits::new().per_minute(0));
    let error = pool.try_acquire(FLASH).unwrap_err();
    assert_eq!(error.retry_after(), None);
    assert_eq!(
        error.to_string(),
        "all API keys have reached their rate limits for flash: 2 with a limit of 0 requests/minute; none comes back by itself"
    );
    let (pool, _) = limited(2, Limits::new().tokens_per_minute(0));
    let error = pool.try_acquire(Demand::new(FLASH).tokens(5)).unwrap_err();
    assert!(error.is_never_fits());
    assert_eq!(error.to_string(), "no request may be sent for flash: the largest limit of input tokens/minute is 0");
}

#[test]
fn limits_beyond_two_billion_hold_to_the_last_token() {
    const MOST: u64 = 5_000_000_000;
    for span in [Span::MINUTE, Span::Sliding(secs(3_600)), Span::Day] {
        let limits = Limits::new().per_minute(10).with(Limit { unit: Unit::InputTokens, span, amount: MOST });
        let (pool, _) = limited(1, limits);
        let ask = |tokens| pool.try_acquire(Demand::new(FLASH).tokens(tokens));
        drop(ask(3_000_000_000).unwrap());
        assert!(ask(2_000_000_001).is_err(), "{span:?}");
        drop(ask(1_999_999_999).unwrap());
        assert!(ask(2).is_err(), "{span:?}");
        drop(ask(1).unwrap());
        assert!(ask(1).is_err(), "{span:?}");
        assert!(ask(MOST + 1).unwrap_err().is_never_fits());
    }
}

#[test]
fn spans_and_guards_that_no_window_can_have_are_refused() {
    let over =
        |span: Duration| Limits::new().with(Limit { unit: Unit::Requests, span: Span::Sliding(span), amount: 9 });
    let refused = |builder: tower_keypool::KeyPoolBuilder| builder.build().unwrap_err();
    let span = "a limit's span must be 1 ms to 24 h";
    for wrong in [Duration::ZERO, Duration::from_micros(999), secs(86_401), Duration::MAX] {
        for (error, whose) in [
            (refused(builder().key(key(0)).limits(FLASH, over(wrong))), "limits of flash"),
            (refused(builder().key(key(0)).tier_limits("*", Tier::Free, over(wrong))), "limits of *"),
            (refused(builder().key(key(0)).known_limit(FLASH, Tier::Free, over(wrong))), "limits of flash"),
            (refused(builder().key(key(0).limits(FLASH, over(wrong)))), "key k0"),
        ] {
            assert_eq!(error.to_string(), format!("{whose}: {span}"), "{wrong:?}");
        }
        let (pool, _) = crate::support::keys(1);
        assert!(matches!(pool.add(key(1).limits(FLASH, over(wrong))), Err(KeyError::Limit { .. })));
        let changed = builder().key(key(0)).limits("*", over(wrong));
        assert!(matches!(pool.reconfigure(changed), Err(KeyError::Limits { .. })));
        assert!(pool.try_acquire(FLASH).is_ok(), "what was wrong changed nothing");
    }
    for fits in [Duration::from_millis(1), secs(86_400)] {
        assert!(builder().key(key(0)).limits(FLASH, over(fits)).build().is_ok());
    }
    let error = refused(builder().key(key(0)).guard(Duration::from_millis(30_001)));
    assert_eq!(error.to_string(), "the guard of windows is 30.001 s, and may be 30 s at most");
    assert!(builder().key(key(0)).guard(secs(30)).build().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_never_fits_does_not_wait() {
    let pool = crate::support::paused(builder().key(key(0)).limits(FLASH, Limits::new().per_minute(3)));
    let error = pool.acquire(Demand::new(FLASH).requests(4).wait(secs(60))).await.unwrap_err();
    assert!(error.is_never_fits());
    assert_eq!(pool.clock().tick().since(tower_keypool::Tick::default()), secs(0));
}

#[test]
fn it_fits_where_any_owner_may_carry_it() {
    let large = Limits::new().tokens_per_minute(50_000);
    let (pool, _) = on(builder()
        .keys([key(0), key(1).limits(FLASH, large)])
        .limits(FLASH, Limits::new().tokens_per_minute(10_000)));
    for _ in 0..2 {
        let lease = pool.try_acquire(Demand::new(FLASH).tokens(20_000)).unwrap();
        assert_eq!(lease.key_id(), &id(1));
    }
    let must = Demand::new(FLASH).tokens(20_000).affinity(Affinity::MustKey(id(0)));
    assert!(pool.try_acquire(must).unwrap_err().is_never_fits());
}

#[test]
fn the_outlook_is_that_of_whoever_must_serve() {
    let (pool, time) = limited(2, Limits::new().per_minute(1));
    let must = |n| Demand::new(FLASH).affinity(Affinity::MustKey(id(n)));
    drop(pool.try_acquire(must(0)).unwrap());
    assert!(pool.outlook(FLASH).is_none() && pool.outlook(must(1)).is_none());
    let out = pool.outlook(must(0)).expect("its minute is full, whoever else is ready");
    assert_eq!(out.next_in(), pool.try_acquire(must(0)).unwrap_err().retry_after());
    let of_owner = Demand::new(FLASH).affinity(Affinity::MustOwner("nobody".into()));
    assert!(pool.outlook(of_owner).is_some(), "no key is of that owner");
    let rather = Demand::new(FLASH).affinity(Affinity::RatherKey(id(0)));
    assert!(pool.outlook(rather).is_none(), "the other one will do");
    pool.disable(&id(1), "x").unwrap();
    assert!(pool.outlook(must(1)).is_some_and(|out| out.next_in().is_none()));
    time.advance(secs(61));
    assert!(pool.outlook(must(0)).is_none());
}

#[test]
fn an_estimate_is_cut_instead() {
    let (pool, time) = limited(1, Limits::new().tokens_per_minute(10_000));
    let guess = || Demand::new(FLASH).about_tokens(1_000_000);
    drop(pool.try_acquire(guess()).unwrap());
    let error = pool.try_acquire(guess()).unwrap_err();
    assert!(error.is_exhausted());
    let next = error.retry_after().expect("it fits once the window is empty");
    assert!(next > secs(60) && next < secs(61), "{next:?}");
    time.advance(next);
    drop(pool.try_acquire(guess()).unwrap());
}

#[test]
fn next_in_is_when_this_demand_fits() {
    let (pool, time) = limited(1, Limits::new().tokens_per_minute(10_000));
    drop(pool.try_acquire(Demand::new(FLASH).tokens(4_000)).unwrap());
    time.advance(secs(20));
    drop(pool.try_acquire(Demand::new(FLASH).tokens(6_000)).unwrap());
    for tokens in [1, 4_000, 4_001, 10_000] {
        let next = pool.try_acquire(Demand::new(FLASH).tokens(tokens)).unwrap_err().retry_after().unwrap();
        let expected = if tokens <= 4_000 { 40 } else { 60 };
        assert_eq!(next.as_secs(), expected, "{tokens}: {next:?}");
    }
}

#[test]
fn next_in_waits_for_everything_that_keeps_a_key_out() {
    let (pool, time) = limited(1, Limits::new().per_minute(1));
    let lease = take(&pool, FLASH);
    lease.judge(&crate::support::rate_for(10));
    drop(lease);
    let next = crate::support::next_in(&pool, FLASH).unwrap();
    assert!(next > secs(60), "the rest is over in 10 s, the window is not: {next:?}");
    time.advance(next);
    drop(take(&pool, FLASH));
}

#[test]
fn a_batch_costs_a_request_an_item() {
    let (pool, _) = limited(1, Limits::new().per_minute(10));
    drop(pool.try_acquire(Demand::new(FLASH).requests(7)).unwrap());
    assert!(pool.try_acquire(Demand::new(FLASH).requests(4)).is_err());
    drop(pool.try_acquire(Demand::new(FLASH).requests(3)).unwrap());
}

#[test]
fn images_and_output_tokens_are_limited_too() {
    let images = Limit { unit: Unit::Images, span: Span::MINUTE, amount: 4 };
    let tokens = Limit { unit: Unit::Tokens, span: Span::MINUTE, amount: 1000 };
    let (pool, _) = limited(1, Limits::new().with(images).with(tokens));
    drop(pool.try_acquire(Demand::new(FLASH).images(3).tokens(300).output_tokens(300)).unwrap());
    assert!(pool.try_acquire(Demand::new(FLASH).images(2)).is_err());
    assert!(pool.try_acquire(Demand::new(FLASH).tokens(200).output_tokens(300)).is_err());
    drop(pool.try_acquire(Demand::new(FLASH).images(1).tokens(200).output_tokens(200)).unwrap());
}

/// As long as it takes the pool is locked, and what must go to one key (a file of its owner's, say) is up to callers.
#[test]
fn a_refusal_of_what_one_key_must_serve_looks_at_no_other() {
    let refusals = |many: usize| {
        let (pool, _) = on(builder().keys((0..many).map(|n| key(n).max_concurrent(1))));
        let must = || Demand::new(FLASH).affinity(Affinity::MustKey(id(1)));
        let _busy = pool.try_acquire(must()).unwrap();
        let clock = Clock::system();
        let began = clock.tick();
        for _ in 0..200 {
            let error = pool.try_acquire(must()).unwrap_err();
            let out: Vec<_> = error.exhausted().unwrap().reasons().collect();
            assert_eq!(out, [(OutReason::Busy, 1), (OutReason::Elsewhere, many - 1)]);
        }
        clock.tick().since(began)
    };
    let (few, many) = (refusals(20), refusals(40_000));
    assert!(many < few * 50, "{few:?} among 20 keys, {many:?} among 40,000");
}

#[test]
fn must_is_a_condition_and_rather_is_a_wish() {
    let (pool, _) = on(builder().keys((0..4).map(|n| key(n).owner(format!("o{}", n / 2)).max_concurrent(1))));
    let must = |owner: &str| Demand::new(FLASH).affinity(Affinity::MustOwner(Arc::from(owner)));
    let rather = |n| Demand::new(FLASH).affinity(Affinity::RatherKey(id(n)));
    let leases = [pool.try_acquire(must("o1")).unwrap(), pool.try_acquire(must("o1")).unwrap()];
    assert!(leases.iter().all(|lease| [id(2), id(3)].contains(lease.key_id())));
    let error = pool.try_acquire(must("o1")).unwrap_err().to_string();
    assert_eq!(error, "no API key may serve flash: 2 busy, 2 of another owner; next when a request under way ends");
    assert_eq!(pool.try_acquire(rather(1)).unwrap().key_id(), &id(1));
    let _one = pool.try_acquire(rather(1)).unwrap();
    assert_eq!(pool.try_acquire(rather(1)).unwrap().key_id(), &id(0));
    assert!(pool.try_acquire(must("nobody")).is_err());
}

#[test]
fn acquire_many_fills_groups_in_order_partly_or_not_at_all() {
    let (pool, _) = on(builder().keys((0..25).map(|n| key(n).max_concurrent(1))));
    let sizes = |groups: &[Vec<tower_keypool::Lease>]| groups.iter().map(Vec::len).collect::<Vec<_>>();
    {
        let groups = pool.acquire_many(&[10, 20, 30]).of(FLASH).now().unwrap();
        assert_eq!(sizes(&groups), [10, 15, 0]);
        assert!(pool.acquire_many(&[1]).of(FLASH).now().unwrap_err().is_exhausted());
    }
    let before = pool.snapshot();
    assert!(pool.acquire_many(&[10, 20]).of(FLASH).all_or_none().now().unwrap_err().is_never_fits());
    let after = pool.snapshot();
    assert_eq!((after.in_flight, after.started), (0, before.started), "nothing was taken");
    assert_eq!(sizes(&pool.acquire_many(&[10, 15]).of(FLASH).all_or_none().now().unwrap()), [10, 15]);
    assert!(pool.acquire_many(&[]).now().unwrap().is_empty());
}

#[test]
fn so_many_at_once_as_no_keys_ever_carry_are_refused_for_good() {
    let (pool, _) =
        on(builder().keys((0..3).map(|n| key(n).max_concurrent(2))).limits(FLASH, Limits::new().per_minute(9)));
    let held = pool.try_acquire(FLASH).unwrap();
    let error = pool.acquire_many(&[4, 3]).of(FLASH).all_or_none().now().unwrap_err();
    assert!(error.is_never_fits(), "{error}");
    assert_eq!((error.most_requests(), error.retry_after()), (Some(6), None));
    let said = "so many never fit: 7 requests at once are wanted for flash, and all keys together carry 6 at a time";
    assert_eq!(error.to_string(), said);
    // As many as they carry are only busy now.
    assert!(pool.acquire_many(&[6]).of(FLASH).all_or_none().now().unwrap_err().is_exhausted());
    drop(held);
    assert_eq!(pool.acquire_many(&[6]).of(FLASH).all_or_none().now().unwrap()[0].len(), 6);
    // Between two starts of a key lies a time.
    let (pool, _) = on(builder().keys((0..3).map(|n| key(n).min_interval(secs(1)))));
    let error = pool.acquire_many(&[4]).of(FLASH).all_or_none().now().unwrap_err();
    assert_eq!(error.most_requests(), Some(3), "{error}");
    // Who has no bound makes it none.
    let (pool, _) = on(builder().keys([key(0).max_concurrent(1), key(1)]));
    assert_eq!(pool.acquire_many(&[50]).of(FLASH).all_or_none().now().unwrap()[0].len(), 50);
}

#[tokio::test]
async fn acquire_many_can_be_awaited_and_all_or_none_gives_its_windows_back() {
    let (pool, _) = limited(1, Limits::new().per_minute(10));
    assert!(pool.acquire_many(&[6, 6]).of(FLASH).all_or_none().await.is_err());
    assert_eq!(pool.acquire_many(&[10]).of(FLASH).await.unwrap()[0].len(), 10);
}

/// What is told is of all of them, and not of the places that they themselves would take.
#[test]
fn all_or_none_tells_when_there_may_be_more_and_what_never_will() {
    let (pool, time) = limited(3, Limits::new().per_minute(10).per_day(100));
    let all = |sizes: &[usize]| pool.acquire_many(sizes).of(FLASH).all_or_none().now();
    for (sizes, limit) in [(&[500, 500][..], 30), (&[31], 30)] {
        let error = all(sizes).unwrap_err();
        assert!(error.is_never_fits() && error.retry_after().is_none(), "{error}");
        assert!(error.to_string().ends_with(&limit.to_string()), "{error}");
    }
    for lease in all(&[10, 15]).unwrap().into_iter().flatten() {
        assert!(lease.started());
        time.advance(secs(1));
        lease.settle(&tower_keypool::Verdict::SUCCESS);
    }
    // The first began 25 s ago.
    let error = all(&[6]).unwrap_err();
    assert!(error.is_exhausted() && !error.is_never_fits(), "{error}");
    let after = error.retry_after().expect("a time");
    assert!(secs(35) <= after && after < secs(36), "{after:?}: {error}");
    time.advance(after);
    assert_eq!(all(&[6]).unwrap()[0].len(), 6);
}

#[test]
fn requests_without_a_model_have_a_lane_of_their_own() {
    let (pool, _) = limited(1, Limits::new().per_minute(1));
    drop(take(&pool, FLASH));
    assert!(pool.try_acquire(FLASH).is_err());
    for _ in 0..5 {
        let lease = pool.try_acquire(Demand::any_model()).unwrap();
        assert_eq!(lease.model(), None);
    }
}

#[test]
fn a_pool_without_keys_says_so() {
    let (pool, _) = keys(0);
    assert_eq!(pool.try_acquire(FLASH).unwrap_err().to_string(), "the pool holds no API key for flash");
}

#[test]
fn more_leases_than_a_number_can_say_are_as_many_as_there_are() {
    let (pool, _) = limited(1, Limits::new().per_minute(3));
    let groups = pool.acquire_many(&[2, usize::MAX, usize::MAX]).of(FLASH).now().unwrap();
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 0]);
}

/// All or none is decided under one lock: nobody ever sees, or meets, a part of it.
#[test]
fn of_those_who_want_all_or_none_at_once_nobody_holds_a_part() {
    let (pool, _) = on(builder().keys((0..30).map(|n| key(n).max_concurrent(1))));
    let (done, ending, ended) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut got = 0;
                while got < 200 {
                    if let Ok(groups) = pool.acquire_many(&[5, 15]).of(FLASH).all_or_none().now() {
                        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [5, 15]);
                        got += 1;
                        ending.fetch_add(1, SeqCst);
                        drop(groups);
                        ended.fetch_add(1, SeqCst);
                    }
                }
                done.fetch_add(1, SeqCst);
            });
        }
        scope.spawn(|| {
            while done.load(SeqCst) < 3 {
                let before = ended.load(SeqCst);
                let held = pool.snapshot().in_flight;
                // Leases end one by one: then there may be a part of one, and a whole other.
                if ending.load(SeqCst) == before {
                    assert!(held == 0 || held == 20, "{held}");
                }
            }
        });
    });
    assert_eq!(pool.snapshot().in_flight, 0);
    assert_eq!(pool.acquire_many(&[30]).of(FLASH).all_or_none().now().unwrap()[0].len(), 30);
}

/// Who may have nothing of a model at all stays out of it, and of nothing else.
#[test]
fn a_limit_of_zero_that_was_given_keeps_its_owner_out_of_the_model() {
    let none = Limits::new().per_minute(0);
    let (pool, time) = on(builder().keys([key(0).limits(FLASH, none.clone()), key(1)]));
    for _ in 0..5 {
        assert_eq!(take(&pool, FLASH).key_id(), &id(1));
        time.advance(secs(90));
    }
    let pro: std::collections::BTreeSet<_> = (0..2).map(|_| take(&pool, "pro").key_id().to_string()).collect();
    assert_eq!(pro.len(), 2, "another model is another matter");
    for limits in [none, Limits::new().per_day(0), Limits::new().tokens_per_minute(0)] {
        let (pool, time) = limited(2, limits.clone());
        for demand in [Demand::new(FLASH).tokens(1), Demand::new(FLASH).tokens(1).wait(secs(60))] {
            let error = pool.try_acquire(demand).unwrap_err();
            assert_eq!((error.is_never_fits(), error.retry_after()), (true, None), "{limits:?}: {error}");
        }
        time.advance(secs(90_000));
        assert!(pool.try_acquire(Demand::new(FLASH).tokens(1)).is_err());
        assert!(pool.try_acquire("pro").is_ok());
    }
}

#[test]
fn what_is_asked_about_later_lies_with_who_is_out_of_nothing_for_long() {
    let (pool, clock) = on(builder()
        .keys((0..3).map(|n| key(n).owner(format!("p{n}"))))
        .key(key(9).priority(Priority(1)))
        .strategy(Strategy::RoundRobin));
    let lasting = || Demand::any_model().affinity(Affinity::Lasting);
    let led = |count: usize| -> BTreeSet<String> {
        (0..count).map(|_| pool.try_acquire(lasting()).unwrap().key_id().to_string()).collect()
    };
    let ids = |numbers: &[usize]| numbers.iter().map(|n| id(*n).to_string()).collect::<BTreeSet<String>>();
    let outlasted = |n: usize| pool.is_outlasted(&Affinity::MustOwner(format!("p{n}").into()));
    assert_eq!(led(6), ids(&[0, 1, 2]));
    let near = |number| Demand::any_model().affinity(Affinity::Near(number));
    let homes: Vec<_> = (0..12).map(|number| pool.try_acquire(near(number)).unwrap().key_id().clone()).collect();
    // A minute's limit is over by then.
    assert_eq!(answer(&pool, FLASH, &rate_for(60)), id(0).to_string());
    assert_eq!((led(6), outlasted(0)), (ids(&[0, 1, 2]), false));
    assert_eq!(answer(&pool, FLASH, &daily().until(Until::DayEnd)), id(1).to_string());
    assert_eq!((led(6), outlasted(1), outlasted(2)), (ids(&[0, 2]), true, false));
    for (home, number) in homes.iter().zip(0..) {
        assert_eq!(pool.is_outlasted(&Affinity::Near(number)), *home == id(1), "{number}");
    }
    // The next day.
    clock.advance(secs(86_400));
    assert_eq!((led(6), outlasted(1)), (ids(&[0, 1, 2]), false));
    // Where all of a priority are out of something, no later one opens for that.
    for n in 0..3 {
        let demand = Demand::new("pro").affinity(Affinity::MustKey(id(n)));
        pool.try_acquire(demand).unwrap().judge(&daily().until(Until::DayEnd));
    }
    assert_eq!((led(6), outlasted(1)), (ids(&[0, 1, 2]), false));
    assert!(!pool.is_outlasted(&Affinity::MustOwner("nobody".into())) && !pool.is_outlasted(&Affinity::Any));
}
