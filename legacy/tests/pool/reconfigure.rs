//! The pool as a configuration wants it, while it runs.

use tower_keypool::{
    Demand, Gemini, Key, KeyError, KeyPool, KeyPoolBuilder, KeyState, Limits, Priority, QuotaNews, Strategy, Tier,
    Verdict,
};

use crate::support::{
    FLASH, PRO, answer, builder, id, invalid, key, keys, on, rate_for, refused, secret, secs, served, take, view,
};

fn limits(builder: KeyPoolBuilder) -> KeyPoolBuilder {
    builder.limits(FLASH, Limits::new().per_minute(2))
}

#[test]
fn keys_come_go_and_change_and_the_rest_stays_as_it_is() {
    let (pool, _) = on(limits(builder()).keys([key(0), key(1), key(2)]));
    let before = take(&pool, FLASH);
    let change = pool.reconfigure(limits(builder()).keys([key(0), key(2).weight(3.0), key(3)])).unwrap();
    assert_eq!((change.added, change.removed, change.changed), (vec![id(3)], vec![id(1)], vec![id(2)]));
    let ids: Vec<_> = pool.snapshot().keys.iter().map(|key| key.id.clone()).collect();
    assert_eq!(ids, [id(0), id(2), id(3)]);
    assert_eq!(pool.snapshot().in_flight, 1, "what is under way goes on");
    drop(before);
    assert_eq!(pool.snapshot().in_flight, 0);
    let again = pool.reconfigure(limits(builder()).keys([key(3), key(0), key(2).weight(3.0)])).unwrap();
    assert!(again.is_empty(), "another order is no change: {again:?}");
}

#[test]
fn a_builder_for_another_provider_is_refused_and_changes_nothing() {
    let at = |base: &str| KeyPool::builder(Gemini::at(base).unwrap());
    let (pool, _) = on(at("https://here.example").key(key(0)).limits(FLASH, Limits::new().per_minute(2)));
    for (other, told) in [
        (builder(), "plain at "),
        (at("https://there.example"), "gemini at https://there.example"),
        (at("https://here.example/front"), "gemini at https://here.example/front"),
    ] {
        let error = pool.reconfigure(other.key(key(1))).unwrap_err();
        let KeyError::Provider { pool: has, builder } = &error else { panic!("{error}") };
        assert_eq!(has, "gemini at https://here.example");
        assert!(builder.starts_with(told) && error.to_string().contains(builder), "{error}");
        let ids: Vec<_> = pool.snapshot().keys.iter().map(|key| key.id.clone()).collect();
        assert_eq!(ids, [id(0)], "nothing changed");
    }
    assert_eq!(pool.reconfigure(at("https://here.example").key(key(1))).unwrap().added, [id(1)]);
}

#[test]
fn counts_and_rests_of_a_key_that_stays_are_kept() {
    let (pool, _) = on(limits(builder()).keys([key(0), key(1)]));
    for _ in 0..2 {
        drop(take(&pool, FLASH));
    }
    let lease = take(&pool, FLASH);
    lease.judge(&rate_for(50));
    let resting = lease.key_id().clone();
    drop(lease);
    pool.disable(&resting, "by hand").unwrap();
    pool.reconfigure(limits(builder()).keys([key(0).weight(2.0), key(1).weight(2.0)])).unwrap();
    assert_eq!(pool.snapshot().keys.iter().filter(|key| key.state == KeyState::Disabled).count(), 1);
    drop(take(&pool, FLASH));
    refused(&pool, FLASH);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_joins_switched_off_serves_nobody_who_waits() {
    let one = || key(0).max_concurrent(1);
    let (pool, _) = on(builder().key(one()));
    let held = take(&pool, FLASH);
    let mut waiting = tokio_test::task::spawn(pool.acquire(Demand::new(FLASH).wait(secs(60))));
    assert!(waiting.poll().is_pending());
    pool.reconfigure(builder().keys([one(), key(1).disabled("by hand")])).unwrap();
    assert!(waiting.poll().is_pending(), "it would be the key that is off");
    assert_eq!((view(&pool, 1).state, &*view(&pool, 1).rests[0].code), (KeyState::Disabled, "by hand"));
    pool.enable(&id(1)).unwrap();
    assert_eq!(waiting.await.unwrap().key_id(), &id(1));
    drop(held);
}

#[test]
fn a_secret_is_the_key_whatever_its_name_and_a_name_keeps_its_key_under_another_secret() {
    let (pool, _) = on(builder().keys([key(0), key(1)]));
    drop(take(&pool, FLASH));
    let started = view(&pool, 0).started;
    assert_eq!(started, 1);
    // They change names; then one of them gets another secret.
    let swapped = [Key::new(secret(0)).id(id(1)), Key::new(secret(1)).id(id(0))];
    let change = pool.reconfigure(builder().keys(swapped.clone())).unwrap();
    assert_eq!(change.changed, [id(0), id(1)]);
    assert_eq!(view(&pool, 1).started, 1);
    let change = pool.reconfigure(builder().keys([Key::new(secret(9)).id(id(1)), swapped[1].clone()])).unwrap();
    assert_eq!((change.added.len(), change.removed.len(), change.changed), (0, 0, vec![id(1)]));
    assert_eq!(view(&pool, 1).started, 1);
}

#[test]
fn a_new_secret_lifts_what_the_old_one_was_disabled_for() {
    let (pool, _) = keys(1);
    answer(&pool, FLASH, &invalid());
    assert_eq!(view(&pool, 0).state, KeyState::Disabled);
    pool.reconfigure(builder().keys([Key::new(secret(5)).id(id(0))])).unwrap();
    assert_eq!(served(&pool, FLASH), "k0");
}

#[test]
fn limits_change_and_what_was_used_stays_counted() {
    let (pool, _) = on(limits(builder()).key(key(0)));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    refused(&pool, FLASH);
    pool.reconfigure(builder().limits(FLASH, Limits::new().per_minute(3)).key(key(0))).unwrap();
    drop(take(&pool, FLASH));
    refused(&pool, FLASH);
    // A limit of its own comes before the pool's; without any there is none.
    let own = key(0).limits(FLASH, Limits::new().per_minute(4));
    let change = pool.reconfigure(builder().limits(FLASH, Limits::new().per_minute(3)).key(own)).unwrap();
    assert_eq!(change.changed, [id(0)]);
    drop(take(&pool, FLASH));
    refused(&pool, FLASH);
    pool.reconfigure(builder().key(key(0))).unwrap();
    for _ in 0..20 {
        drop(take(&pool, FLASH));
    }
}

#[test]
fn owners_are_named_shared_and_left() {
    let shared = |n| key(n).owner("a").limits("*", Limits::new().per_minute(2));
    let (pool, _) = on(builder().keys([key(0), key(1)]));
    let change = pool.reconfigure(builder().keys([shared(0), shared(1)])).unwrap();
    assert_eq!(change.changed, [id(0), id(1)]);
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    refused(&pool, FLASH);
    assert!(pool.reconfigure(builder().keys([shared(0), shared(1)])).unwrap().is_empty());
    // One of them turns out to be of another project.
    let change = pool.reconfigure(builder().keys([shared(0), shared(1).owner("b")])).unwrap();
    assert_eq!(change.changed, [id(1)]);
    assert_eq!(served(&pool, FLASH), "k1");
    assert_eq!(view(&pool, 1).owner.as_deref(), Some("b"));
    // And both are one again, with what each had used.
    pool.reconfigure(builder().keys([shared(0), shared(1)])).unwrap();
    refused(&pool, FLASH);
}

#[test]
fn an_owner_whose_last_key_joins_another_brings_what_it_used() {
    let of = |n, owner: &str| key(n).owner(owner).limits("*", Limits::new().per_minute(2));
    let (pool, _) = on(builder().keys([of(0, "a"), of(1, "b")]));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    pool.reconfigure(builder().keys([of(0, "a"), of(1, "a")])).unwrap();
    refused(&pool, FLASH);
}

#[test]
fn keys_that_an_answer_made_one_owner_stay_so_and_that_is_no_change() {
    let wanted = || {
        let of = |n, amount| key(n).limits(FLASH, Limits::new().per_minute(amount));
        builder().keys([of(0, 5), of(1, 3), key(2).owner("c")]).limits(PRO, Limits::new().per_minute(9))
    };
    let (pool, _) = on(wanted());
    for _ in 0..3 {
        let lease = take(&pool, PRO);
        let news = QuotaNews { consumer: Some("projects/1".into()), ..QuotaNews::default() };
        lease.judge(&Verdict::SUCCESS.news(news));
    }
    let owners: Vec<_> = pool.snapshot().keys.iter().map(|key| key.owner.clone()).collect();
    assert_eq!(owners[0], owners[1], "they share a project");
    let change = pool.reconfigure(wanted()).unwrap();
    assert!(change.is_empty(), "{change:?}");
    let after: Vec<_> = pool.snapshot().keys.iter().map(|key| key.owner.clone()).collect();
    assert_eq!(owners, after);
}

#[test]
fn tiers_and_what_is_known_of_them_can_change() {
    let tiered = |n| {
        builder().key(key(0).tier(Tier::Free)).known_limits(true).tier_limits(
            PRO,
            Tier::Free,
            Limits::new().per_minute(n),
        )
    };
    let (pool, _) = on(tiered(1));
    drop(take(&pool, PRO));
    refused(&pool, PRO);
    pool.reconfigure(tiered(2)).unwrap();
    drop(take(&pool, PRO));
    refused(&pool, PRO);
    // The provider's table knows 3 a minute of the free tier; the builder knows better.
    let known = builder().known_limit(FLASH, Tier::Free, Limits::new().per_minute(1));
    pool.reconfigure(known.known_limits(true).key(key(0).tier(Tier::Free))).unwrap();
    drop(take(&pool, FLASH));
    refused(&pool, FLASH);
    pool.reconfigure(builder().known_limits(true).key(key(0))).unwrap();
    drop((take(&pool, FLASH), take(&pool, FLASH), take(&pool, FLASH)));
}

#[test]
fn priorities_strategy_and_concurrency_take_effect_at_once() {
    let (pool, _) = keys(3);
    let (last, first) = (key(0).priority(Priority(9)), key(2).max_concurrent(1));
    let change = pool.reconfigure(builder().keys([last, key(1).priority(Priority(5)), first])).unwrap();
    assert_eq!(change.changed, [id(0), id(1), id(2)]);
    let held = take(&pool, FLASH);
    assert_eq!(held.key_id(), &id(2));
    assert!(pool.try_acquire(FLASH).is_err(), "a busy key of an earlier priority is waited for");
    drop(held);
    for (_, strategy) in Strategy::NAMES {
        pool.reconfigure(builder().keys([key(0), key(1), key(2)]).strategy(strategy)).unwrap();
        let mut ids: Vec<String> = (0..3).map(|_| served(&pool, FLASH)).collect();
        ids.sort();
        assert_eq!(ids, ["k0", "k1", "k2"], "{strategy}: each once");
    }
}

#[test]
fn what_cannot_be_is_refused_and_nothing_changes() {
    let (pool, _) = keys(2);
    let before = format!("{:?}", pool.snapshot().keys);
    for (wrong, is) in [
        (vec![key(0), Key::new(secret(1)).id(id(0))], "another key has the id"),
        (vec![key(2), key(0).weight(-1.0)], "weight"),
        (vec![key(2), key(0).zone("Mars/Olympus")], "zone"),
        (vec![key(2), Key::new("two words")], "key number 2"),
    ] {
        let error: KeyError = pool.reconfigure(builder().keys(wrong)).unwrap_err();
        assert!(error.to_string().contains(is), "{error}");
        assert_eq!(format!("{:?}", pool.snapshot().keys), before);
    }
    let change = pool.reconfigure(builder().keys([key(0), Key::new(secret(0)).id(id(7)), key(1)])).unwrap();
    assert!(change.is_empty(), "one secret given twice is one key");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_served_by_a_key_that_comes() {
    let pool = crate::support::paused(builder().key(key(0).max_concurrent(1)).wait(secs(30)));
    let _held = take(&pool, FLASH);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire(FLASH).await.map(|lease| lease.key_id().to_string()) }
    });
    tokio::task::yield_now().await;
    pool.reconfigure(builder().keys([key(0).max_concurrent(1), key(1)]).wait(secs(1))).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), "k1");
    assert_eq!(pool.default_wait(), secs(1));
}

/// A free key before a paid one, both with these limits.
fn free_before_paid(limits: Limits) -> KeyPoolBuilder {
    builder().limits(FLASH, limits).keys([key(0), key(1).tier(Tier::Paid).priority(Priority(10))])
}

/// A request of so many tokens; who served it.
fn of_tokens(pool: &tower_keypool::KeyPool, tokens: u64) -> Result<String, String> {
    let lease = pool.try_acquire(Demand::new(FLASH).tokens(tokens)).map_err(|error| error.to_string())?;
    let key = lease.key_id().to_string();
    lease.settle(&Verdict::SUCCESS);
    Ok(key)
}

/// Once little room was left, a key is looked for by small requests alone: not any more where a limit was raised.
#[test]
fn a_raised_limit_of_tokens_is_had_at_once() {
    let raised = Limits::new().tokens_per_day(10_000_000);
    for limits in [raised, Limits::new(), Limits::new().per_day(1000)] {
        let (pool, _) = on(free_before_paid(Limits::new().tokens_per_day(20_000)));
        assert_eq!((of_tokens(&pool, 18_000), of_tokens(&pool, 10)), (Ok("k0".into()), Ok("k0".into())));
        assert_eq!(of_tokens(&pool, 15_000), Ok("k1".into()), "k0 is full for it");
        pool.reconfigure(free_before_paid(limits.clone())).unwrap();
        assert_eq!(of_tokens(&pool, 15_000), Ok("k0".into()), "{limits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_has_a_raised_limit_of_tokens_at_once() {
    let limits = |tokens| builder().key(key(0)).limits(FLASH, Limits::new().tokens_per_day(tokens)).wait(secs(500));
    let pool = crate::support::paused(limits(20_000));
    of_tokens(&pool, 18_000).unwrap();
    of_tokens(&pool, 10).unwrap();
    let mut waiting = tokio_test::task::spawn(pool.acquire(Demand::new(FLASH).tokens(15_000)));
    assert!(waiting.poll().is_pending());
    pool.reconfigure(limits(10_000_000)).unwrap();
    assert!(waiting.is_woken() && waiting.poll().is_ready());
}

/// What is served at once.
fn burst(pool: &tower_keypool::KeyPool) -> usize {
    std::iter::from_fn(|| pool.try_acquire(FLASH).ok()).take(1000).map(|lease| lease.settle(&Verdict::SUCCESS)).count()
}

#[test]
fn a_limit_that_comes_back_finds_what_was_used_of_it() {
    let none = Limits::new;
    for (first, between, last) in [
        (none().per_day(10), none(), none().per_day(10)),
        (none().per_minute(100).per_day(10), none().per_minute(100), none().per_minute(100).per_day(10)),
        (none().per_minute(10), none(), none().per_minute(10)),
        (
            none().per_minute(10).tokens_per_minute(1000),
            none().tokens_per_minute(1000),
            none().per_minute(10).tokens_per_minute(1000),
        ),
        (none().per_minute(10), none().per_day(100), none().per_minute(10)),
        (none().per_minute(700), none(), none().per_minute(700)),
    ] {
        let make = |limits: &Limits| builder().key(key(0)).limits(FLASH, limits.clone());
        let (pool, time) = on(make(&first));
        let used = burst(&pool);
        time.advance(secs(1));
        pool.reconfigure(make(&between)).unwrap();
        time.advance(secs(1));
        // Whatever else is read meanwhile.
        pool.reconfigure(make(&between).limits(PRO, none().per_minute(1))).unwrap();
        pool.reconfigure(make(&last)).unwrap();
        assert_eq!(burst(&pool), 0, "{first:?} after {used}");
        time.advance(secs(62));
        let more = if last.iter().any(|limit| limit.span == tower_keypool::Span::Day) { 0 } else { used };
        assert_eq!(burst(&pool), more, "{first:?}: its span is over");
        time.advance(secs(25 * 3600));
        assert_eq!(burst(&pool), used, "{first:?}: the day is over");
    }
}

#[test]
fn a_limit_that_comes_back_later_counts_only_what_its_span_still_holds() {
    let (three, none) = (|| Limits::new().per_minute(3), Limits::new);
    let make = |limits: Limits| builder().key(key(0)).limits(FLASH, limits);
    let (pool, time) = on(make(three()));
    drop(take(&pool, FLASH));
    time.advance(secs(30));
    drop(take(&pool, FLASH));
    pool.reconfigure(make(none())).unwrap();
    time.advance(secs(35));
    pool.reconfigure(make(three())).unwrap();
    assert_eq!(burst(&pool), 2, "one of the two is over");
}

#[test]
fn what_an_owner_of_a_slot_used_is_not_anothers() {
    let make = |n: usize, limits: Limits| builder().key(key(n)).limits(FLASH, limits);
    let (pool, _) = on(make(0, Limits::new().per_day(2)));
    assert_eq!(burst(&pool), 2);
    pool.reconfigure(make(0, Limits::new())).unwrap();
    pool.reconfigure(make(1, Limits::new())).unwrap();
    pool.reconfigure(make(1, Limits::new().per_day(2))).unwrap();
    assert_eq!(burst(&pool), 2, "another key has its own");
    pool.reconfigure(make(0, Limits::new().per_day(2))).unwrap();
    assert_eq!(burst(&pool), 0, "and the first finds its own again");
}

#[test]
fn a_key_that_would_be_shown_leaves_everything_as_it_is() {
    let (pool, _) = on(builder().keys((0..3).map(key)));
    let ids = || pool.snapshot().keys.into_iter().map(|key| key.id).collect::<Vec<_>>();
    let before = ids();
    let shown = || key(7).owner(secret(7));
    let of_another = || key(7).label("note", secret(0));
    let by_another = || key(2).owner(secret(8));
    let in_its_place = || Key::new(secret(9)).id(id(1)).owner(secret(9));
    let refused = [
        vec![key(0), shown()],
        vec![key(0), of_another()],
        vec![key(8), by_another()],
        vec![key(0), in_its_place()],
        vec![key(0), Key::new("note-of-a-key-0001").id(id(1)), key(6).owner("note-of-a-key-0001")],
    ];
    let of_itself = vec![key(0).owner(secret(0)), key(1), key(2)];
    for (number, keys) in refused.into_iter().chain([of_itself]).enumerate() {
        let mut events = pool.changes();
        let error = pool.reconfigure(builder().keys(keys)).expect_err("it would be shown");
        assert!(matches!(error, KeyError::Tells { .. }), "{number}: {error}");
        assert_eq!(ids(), before, "{number}");
        assert!(events.try_next().is_none(), "{number}: nothing changed");
    }
}

#[test]
fn a_key_that_is_refused_has_the_number_that_it_was_given_as() {
    let (pool, _) = keys(1);
    let twice = || [key(0), key(0), key(1).id("x"), key(2).id("x")];
    let error = pool.reconfigure(builder().keys(twice())).unwrap_err();
    assert_eq!(error, builder().keys(twice()).build().unwrap_err());
    assert!(matches!(error, KeyError::DuplicateId { key: Some(3), .. }), "{error:?}");
}
