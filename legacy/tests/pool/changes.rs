//! The roster changes while the pool runs.

use tower_keypool::{
    Event, Gemini, Key, KeyChange, KeyError, KeyPool, KeyState, Limits, Priority, QuotaNews, RateHeader, Unit, Verdict,
};

use crate::support::{
    FLASH, answer, builder, id, invalid, key, keys, limited, on, rate_for, refused, secret, secs, served, take,
    unclear, view,
};

#[test]
fn one_secret_given_twice_is_one_key_and_it_is_said() {
    let (pool, _) = on(builder().keys([key(0), Key::new(secret(0)).id("other")]));
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.total_keys, snapshot.merged), (1, vec![id(0)]), "the program can read what was merged");
    let mut events = pool.events();
    assert_eq!(pool.add(Key::new(secret(0))).unwrap(), id(0));
    assert_eq!(pool.snapshot().total_keys, 1);
    assert!(matches!(events.try_next(), Some(Ok(Event::Roster { change: "merged", .. }))));
    assert_eq!(pool.snapshot().merged, [id(0)]);
    pool.reconfigure(builder().keys([key(0), key(1), Key::new(secret(1)).id("other")])).unwrap();
    assert_eq!(pool.snapshot().merged, [id(1)], "what the last configuration gave twice");
    pool.remove(&id(1)).unwrap();
    assert!(pool.snapshot().merged.is_empty());
}

#[test]
fn what_keys_of_one_owner_do_not_agree_on_is_told() {
    let (pool, _) = on(builder().key(key(0).owner("p").limits(FLASH, Limits::new().per_minute(10))));
    let mut events = pool.changes();
    pool.add(key(1).owner("p").limits(FLASH, Limits::new().per_minute(20))).unwrap();
    let contested = std::iter::from_fn(|| events.try_next()).find_map(|event| match event.unwrap() {
        Event::Contested { owner, model, limit, other } => Some((owner, model.to_string(), limit.amount, other)),
        _ => None,
    });
    assert_eq!(contested, Some(("p".to_owned(), FLASH.to_owned(), 10, 20)));
}

#[test]
fn two_keys_of_one_id_are_an_error() {
    let twice = builder().keys([key(0), Key::new(secret(1)).id("k0")]).build();
    assert_eq!(twice.unwrap_err(), KeyError::DuplicateId { id: id(0), key: Some(1) });
    let (pool, _) = keys(1);
    let error = pool.add(Key::new(secret(1)).id("k0")).unwrap_err();
    assert!(matches!(error, KeyError::DuplicateId { .. }));
    assert!(!error.to_string().contains("AIza"));
}

#[test]
fn two_keys_whose_hashes_begin_alike_are_two_keys() {
    let alike = ["AIza-not-a-real-key-003335", "AIza-not-a-real-key-058028"].map(Key::new);
    assert_eq!(alike[0].key_id(), alike[1].key_id(), "32 bits do not tell them apart");
    let (pool, _) = on(builder().keys(alike));
    let ids: Vec<String> = pool.snapshot().keys.iter().map(|key| key.id.to_string()).collect();
    assert_eq!(ids, ["k-b24b8e0f", "k-b24b8e0f46fc5d8c"]);
}

#[test]
fn keys_that_cannot_be_taken_are_named_by_number_and_never_shown() {
    let build = |key: Key| builder().keys([crate::support::key(7), key]).build().unwrap_err();
    let error = build(Key::new("AIza with space"));
    assert!(matches!(error, KeyError::Secret { key: Some(1), .. }));
    assert!(!error.to_string().contains("AIza"));
    assert!(matches!(build(Key::new("")), KeyError::Secret { key: Some(1), .. }));
    assert!(matches!(build(key(0).weight(0.0)), KeyError::Weight { .. }));
    assert!(matches!(build(key(0).weight(f32::NAN)), KeyError::Weight { .. }));
    assert!(matches!(build(key(0).max_concurrent(0)), KeyError::Limit { .. }));
    assert!(matches!(build(key(0).zone("Mars/Olympus")), KeyError::Zone { .. }));
}

#[test]
fn an_added_key_serves_in_every_lane() {
    let (pool, _) = limited(1, Limits::new().per_minute(1));
    drop((take(&pool, FLASH), take(&pool, "pro")));
    refused(&pool, FLASH);
    pool.add(key(1)).unwrap();
    assert_eq!(served(&pool, FLASH), "k1");
    assert!(pool.try_acquire(FLASH).is_err(), "the pool's limits hold for it too");
}

#[test]
fn an_added_key_of_a_known_owner_shares_its_quota_and_its_rests() {
    let (pool, _) = on(builder().key(key(0).owner("a")).limits(FLASH, Limits::new().per_minute(1)));
    drop(take(&pool, FLASH));
    pool.add(key(1).owner("a")).unwrap();
    assert!(pool.try_acquire(FLASH).is_err());
    assert!(pool.try_acquire("pro").is_ok());
}

#[test]
fn a_removed_key_is_not_leased_and_its_leases_end_as_they_will() {
    let (pool, _) = keys(2);
    let (one, two) = (take(&pool, FLASH), take(&pool, FLASH));
    pool.remove(one.key_id()).unwrap();
    assert_eq!(pool.snapshot().total_keys, 1);
    for _ in 0..3 {
        assert_eq!(served(&pool, FLASH), "k1");
    }
    assert_eq!(one.expose(), secret(0), "the request under way has its key");
    one.judge(&rate_for(60));
    drop((one, two));
    assert_eq!(pool.snapshot().in_flight, 0);
    assert!(matches!(pool.remove(&id(0)), Err(KeyError::UnknownId(_))));
    // It comes back with its rest, and another key is not mistaken for it.
    pool.add(key(0)).unwrap();
    pool.add(key(5)).unwrap();
    assert!(view(&pool, 5).rests.is_empty());
    assert_eq!(pool.snapshot().total_keys, 3);
}

#[test]
fn removing_and_adding_ten_thousand_keys_keeps_memory_flat() {
    let (pool, _) = limited(10, Limits::new().per_minute(15).per_day(250));
    let cycle = |from: usize| {
        for n in from..from + 1000 {
            pool.add(key(n)).unwrap();
            drop(take(&pool, FLASH));
            pool.remove(&id(n)).unwrap();
        }
        pool.snapshot().total_memory_bytes
    };
    let first = cycle(1000);
    let last = (2..11).fold(first, |_, round| cycle(round * 1000));
    assert!(last < first + first / 2, "{first} bytes grew to {last}");
}

#[test]
fn a_key_that_leaves_and_comes_back_has_not_forgotten_its_window() {
    let (pool, _) = limited(1, Limits::new().per_minute(2));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    pool.remove(&id(0)).unwrap();
    pool.add(key(1)).unwrap();
    assert_eq!(served(&pool, FLASH), "k1");
    pool.add(key(0)).unwrap();
    assert_eq!(served(&pool, FLASH), "k1");
    assert!(pool.try_acquire(FLASH).is_err(), "the provider has not forgotten either");
}

#[test]
fn a_secret_that_was_replaced_and_comes_back_has_not_forgotten_its_window() {
    let two = || Limits::new().per_minute(2);
    let spent = || {
        let (pool, clock) = limited(1, two());
        drop((take(&pool, FLASH), take(&pool, FLASH)));
        pool.replace(&id(0), &secret(7)).unwrap();
        (pool, clock)
    };
    // As a key of its own, also after the key that had it left.
    for leaves in [false, true] {
        let (pool, clock) = spent();
        if leaves {
            pool.remove(&id(0)).unwrap();
        }
        pool.add(Key::new(secret(0)).id("back")).unwrap();
        refused(&pool, FLASH);
        clock.advance(secs(61));
        pool.disable(&id(0), "off").ok();
        drop((take(&pool, FLASH), take(&pool, FLASH)));
        refused(&pool, FLASH);
    }
    // As the new secret of another key, whose own starts stay counted.
    for leaves in [false, true] {
        let (pool, _) = spent();
        if leaves {
            pool.replace(&id(0), &secret(0)).unwrap();
            pool.remove(&id(0)).unwrap();
        }
        pool.add(key(1)).unwrap();
        pool.replace(&id(1), &secret(0)).unwrap();
        refused(&pool, FLASH);
        // Nor is it forgotten when that one goes.
        pool.remove(&id(1)).unwrap();
        pool.add(Key::new(secret(0)).id("back")).unwrap();
        refused(&pool, FLASH);
    }
    // By its name, once that left.
    let (pool, _) = spent();
    pool.add(key(1)).unwrap();
    pool.remove(&id(1)).unwrap();
    pool.add(Key::new(secret(0)).id(id(1))).unwrap();
    refused(&pool, FLASH);
    // A secret that never served has its own windows, however it comes.
    let (pool, _) = spent();
    pool.add(key(1)).unwrap();
    pool.replace(&id(1), &secret(5)).unwrap();
    assert_eq!([served(&pool, FLASH), served(&pool, FLASH)], ["k1", "k1"]);
    refused(&pool, FLASH);
}

#[test]
fn a_rotation_that_is_rolled_back_by_configuration_forgets_no_window() {
    let of =
        |keys: Vec<Key>| builder().keys(keys.into_iter().map(|key| key.limits(FLASH, Limits::new().per_minute(2))));
    let named = |n: usize, id: &str| Key::new(secret(n)).id(id);
    let (pool, _) = on(of(vec![named(1, "a")]));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    pool.reconfigure(of(vec![named(7, "a")])).unwrap();
    pool.reconfigure(of(vec![named(7, "a"), named(1, "b")])).unwrap();
    refused(&pool, FLASH);
}

/// Who adds or replaces one key gave no others to count.
#[test]
fn the_one_key_of_a_call_has_no_number() {
    let (pool, _) = keys(3);
    for error in [
        pool.add(Key::new("two words")).unwrap_err(),
        pool.add(Key::new(secret(7)).id("k2")).unwrap_err(),
        pool.replace(&id(2), "two words").unwrap_err(),
    ] {
        assert!(!error.to_string().contains("number"), "{error}");
    }
    let said = pool.add(Key::new("two words")).unwrap_err().to_string();
    assert!(said.starts_with("the key: "), "{said}");
}

/// Ids stand in logs, headers and on terminals.
#[test]
fn an_id_acts_on_nobody_who_shows_it() {
    let (pool, _) = keys(1);
    for odd in ["a\nb", "\u{1b}[2J", "a\0", "\u{85}"] {
        let error = pool.add(Key::new(secret(5)).id(odd)).unwrap_err();
        assert_eq!(error, KeyError::Id(odd.into()));
        assert!(!error.to_string().contains(char::is_control), "{error}");
        assert!(builder().keys([Key::new(secret(5)).id(odd)]).build().is_err(), "{odd:?}");
        let both = [key(0), Key::new(secret(5)).id(odd)];
        assert!(pool.reconfigure(builder().keys(both)).is_err(), "{odd:?}");
    }
    pool.add(Key::new(secret(5)).id("größe 1/β")).unwrap();
}

#[test]
fn a_secret_that_another_key_has_is_named_as_the_cause() {
    let (pool, _) = keys(2);
    let said = pool.replace(&id(0), &secret(1)).unwrap_err().to_string();
    assert_eq!(said, "key k0: the key k1 has this secret already");
}

#[test]
fn replace_keeps_id_counts_and_rests() {
    let (pool, _) = limited(1, Limits::new().per_minute(3));
    answer(&pool, FLASH, &rate_for(60));
    pool.replace(&id(0), &secret(9)).unwrap();
    let view = view(&pool, 0);
    assert_eq!((view.started, view.rests.len()), (1, 1));
    pool.enable(&id(0)).unwrap();
    let lease = take(&pool, FLASH);
    assert_eq!((lease.key_id(), lease.expose()), (&id(0), secret(9).as_str()));
    drop(lease);
    drop(take(&pool, FLASH));
    assert!(pool.try_acquire(FLASH).is_err(), "the count is the owner's");
    assert!(pool.add(Key::new(secret(0)).id("old")).is_ok(), "the old secret is free again");
    assert!(pool.replace(&id(0), &secret(0)).is_err(), "and another key's by now");
}

#[test]
fn a_new_secret_lifts_what_was_wrong_with_the_old_one_and_late_news_of_that_are_none() {
    for verdict in [invalid(), unclear()] {
        let (pool, _) = keys(1);
        let (first, late) = (take(&pool, FLASH), take(&pool, FLASH));
        first.judge(&verdict);
        pool.replace(&id(0), &secret(9)).unwrap();
        late.judge(&verdict);
        drop(take(&pool, FLASH));
        answer(&pool, FLASH, &invalid());
        assert_eq!(pool.snapshot().disabled_keys, 1, "the new one is judged by its own answers");
    }
}

#[test]
fn a_new_secret_does_not_enable_what_was_switched_off_by_hand() {
    let (pool, _) = keys(1);
    pool.disable(&id(0), "off").unwrap();
    pool.replace(&id(0), &secret(9)).unwrap();
    assert!(pool.try_acquire(FLASH).is_err());
}

#[test]
fn disable_and_enable_by_hand() {
    let (pool, _) = keys(2);
    let held = take(&pool, FLASH);
    pool.disable(&id(0), "leaked").unwrap();
    assert_eq!(view(&pool, 0).state, KeyState::Disabled);
    assert_eq!(view(&pool, 0).rests[0].code, "leaked");
    assert!((0..3).all(|_| served(&pool, FLASH) == "k1"));
    drop(held);
    pool.enable(&id(0)).unwrap();
    assert!((0..3).any(|_| served(&pool, FLASH) == "k0"));
    assert!(matches!(pool.enable(&id(9)), Err(KeyError::UnknownId(_))));
}

#[test]
fn weights_and_priorities_change_at_once() {
    let (pool, _) = on(builder().keys((0..2).map(key)));
    pool.set_weight(&id(0), 4.0).unwrap();
    let leases: Vec<_> = (0..10).map(|_| take(&pool, FLASH)).collect();
    assert_eq!(leases.iter().filter(|lease| lease.key_id() == &id(0)).count(), 8);
    drop(leases);
    pool.set_priority(&id(0), Priority(10)).unwrap();
    assert!((0..4).all(|_| served(&pool, FLASH) == "k1"));
    pool.set_priority(&id(1), Priority(20)).unwrap();
    assert!((0..4).all(|_| served(&pool, FLASH) == "k0"));
    assert_eq!(pool.snapshot().spills, 0, "no key has priority 0 any more");
    assert!(matches!(pool.set_weight(&id(0), f32::INFINITY), Err(KeyError::Weight { .. })));
}

#[test]
fn a_busy_key_keeps_its_leases_through_every_change() {
    let (pool, _) = on(builder().keys([key(0).max_concurrent(1), key(1).max_concurrent(1)]));
    let held = [take(&pool, FLASH), take(&pool, FLASH)];
    refused(&pool, FLASH);
    pool.set_weight(&id(0), 2.0).unwrap();
    pool.set_priority(&id(1), Priority(3)).unwrap();
    pool.disable(&id(0), "x").unwrap();
    pool.enable(&id(0)).unwrap();
    pool.replace(&id(1), &secret(8)).unwrap();
    assert!(pool.try_acquire(FLASH).is_err());
    drop(held);
    let _again = take(&pool, FLASH);
    assert!(pool.try_acquire(FLASH).is_err(), "the later priority waits for the busy key");
    pool.disable(&id(0), "x").unwrap();
    assert_eq!(take(&pool, FLASH).expose(), secret(8));
}

#[tokio::test]
async fn follows_a_stream_and_passes_over_what_cannot_be_taken() {
    let (pool, _) = keys(1);
    let changes = vec![
        KeyChange::Add(key(1)),
        KeyChange::Remove(id(99)),
        KeyChange::Add(Key::new("")),
        KeyChange::Replace(id(1), secret(7)),
        KeyChange::Disable(id(0), "x".into()),
        KeyChange::Weight(id(1), 3.0),
        KeyChange::Priority(id(1), Priority(4)),
        KeyChange::Add(key(2)),
        KeyChange::Enable(id(0)),
        KeyChange::Remove(id(2)),
    ];
    pool.follow(Changes(changes.into())).await;
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.total_keys, snapshot.disabled_keys), (2, 0));
    assert_eq!((view(&pool, 1).weight, view(&pool, 1).priority), (3.0, 4));
    pool.disable(&id(0), "x").unwrap();
    assert_eq!(take(&pool, FLASH).expose(), secret(7));
}

/// A vault says one thing after the other, while requests wait and go out.
#[tokio::test(start_paused = true)]
async fn follows_a_stream_that_goes_on_while_requests_wait() {
    let pool = crate::support::paused(builder().limits(FLASH, Limits::new().per_minute(1)));
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let following = tokio::spawn({
        let pool = pool.clone();
        async move { pool.follow(Told(told)).await }
    });
    let waits = |model: &'static str| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire(tower_keypool::Demand::new(model).wait(secs(60))).await })
    };
    let first = waits(FLASH);
    tokio::time::sleep(secs(1)).await;
    assert!(!first.is_finished(), "there is no key yet");
    tell.send(KeyChange::Add(key(0))).unwrap();
    let lease = first.await.unwrap().unwrap();
    assert_eq!(lease.expose(), secret(0));
    // Its minute is used up: who waits gets the next one that comes, and the request under way keeps its own.
    let second = waits(FLASH);
    tell.send(KeyChange::Replace(id(0), secret(7))).unwrap();
    tokio::time::sleep(secs(1)).await;
    assert!(!second.is_finished(), "another secret has not more of its owner's quota");
    tell.send(KeyChange::Add(key(1))).unwrap();
    assert_eq!(second.await.unwrap().unwrap().expose(), secret(1));
    assert_eq!(lease.expose(), secret(0));
    tell.send(KeyChange::Remove(id(1))).unwrap();
    tokio::time::sleep(secs(62)).await;
    assert_eq!(take(&pool, FLASH).expose(), secret(7));
    drop(tell);
    following.await.unwrap();
    assert_eq!(pool.snapshot().total_keys, 1);
}

/// A stream of what is told.
struct Told(tokio::sync::mpsc::UnboundedReceiver<KeyChange>);

impl futures_core::Stream for Told {
    type Item = KeyChange;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<KeyChange>> {
        self.0.poll_recv(cx)
    }
}

/// A stream that has all its changes at hand.
struct Changes(std::collections::VecDeque<KeyChange>);

impl futures_core::Stream for Changes {
    type Item = KeyChange;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<KeyChange>> {
        std::task::Poll::Ready(self.0.pop_front())
    }
}

#[test]
fn a_change_shows_no_secret() {
    let secret = "AIza-not-a-real-key-to-show";
    for change in [KeyChange::Add(Key::new(secret)), KeyChange::Replace(id(0), secret.to_owned())] {
        let shown = format!("{change:?} {change:#?}");
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(format!("{:?}", KeyChange::Weight(id(0), 2.0)), format!("Weight({:?}, 2.0)", id(0)));
}

#[test]
fn what_one_key_is_enabled_for_its_owners_other_keys_have_too() {
    let (pool, _) = on(builder().keys([key(0).owner("o"), key(1).owner("o")]));
    let out = RateHeader { unit: Unit::Requests, remaining: 0, limit: None, reset: secs(60) };
    answer(&pool, FLASH, &Verdict::SUCCESS.news(QuotaNews { remaining: vec![out], ..QuotaNews::default() }));
    assert!(pool.try_acquire(FLASH).is_err());
    pool.enable(&id(0)).unwrap();
    let both = [take(&pool, FLASH), take(&pool, FLASH)];
    assert_ne!(both[0].key_id(), both[1].key_id());
}

#[test]
fn what_a_key_is_called_by_is_no_secret() {
    const SECRET: &str = "not-a-key-SECRET-0042";
    let key = || Key::new(SECRET);
    let refused = |key: Key| {
        let error = KeyPool::builder(Gemini::new()).key(key).build().expect_err("it would be shown");
        assert!(matches!(error, KeyError::Tells { key: Some(0), .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
    };
    refused(key().id(SECRET));
    refused(key().id(format!("key-{SECRET}")));
    refused(key().owner(SECRET));
    refused(key().billing_account(SECRET));
    refused(key().label("note", format!("my {SECRET}")));
    refused(key().label(SECRET, "x"));

    // Nor by another's, whichever comes first, nor by one that comes in the place of an old one.
    let pool =
        KeyPool::builder(Gemini::new()).key(key()).key(Key::new("not-a-key-0043").id("own").owner("not-a-key-0044"));
    let pool = pool.build().unwrap();
    assert!(matches!(pool.add(Key::new("not-a-key-0045").id(SECRET)), Err(KeyError::Tells { .. })));
    assert!(matches!(pool.add(Key::new("not-a-key-0044")), Err(KeyError::Tells { .. })));
    assert!(matches!(pool.replace(&"own".into(), "not-a-key-0044"), Err(KeyError::Tells { .. })));
    assert_eq!(pool.snapshot().total_keys, 2);
    pool.disable(&"own".into(), &format!("it is not {SECRET}")).unwrap();
    let snapshot = format!("{:?}", pool.snapshot());
    assert!(snapshot.contains("it is not ***") && !snapshot.contains("SECRET"), "{snapshot}");
    // What stands in any text is no secret to speak of.
    KeyPool::builder(Gemini::new()).key(Key::new("a").id("a").owner("team-a")).build().unwrap();
}

#[test]
fn a_key_has_a_name_that_can_be_shown() {
    for (name, why) in [("", "empty"), ("a\nb", "control character")] {
        let (pool, _) = keys(1);
        let built = builder().key(key(0)).key(Key::new("not-a-key-0001").id(name)).build();
        let added = pool.add(Key::new("not-a-key-0001").id(name));
        let again = pool.reconfigure(builder().key(Key::new("not-a-key-0001").id(name)));
        for error in [built.map(drop), added.map(drop), again.map(drop)].map(Result::unwrap_err) {
            assert!(matches!(error, KeyError::Id(_)) && error.to_string().contains(why), "{error}");
        }
    }
}

#[test]
fn what_a_key_is_disabled_for_holds_no_other_key() {
    let why = |of: usize| format!("see {}", secret(of));
    let (pool, _) = on(builder().keys([key(0).disabled(why(1)), key(1), key(2).disabled(why(2))]));
    let mut events = pool.events();
    pool.add(key(3).disabled(why(1))).unwrap();
    let all = (0..4).map(key).chain([key(4).disabled(why(5)), key(5)]);
    pool.reconfigure(builder().keys(all)).unwrap();
    let mut told = vec![format!("{:?}", pool.snapshot())];
    while let Some(event) = events.try_next() {
        told.push(format!("{event:?}"));
    }
    let told = told.concat();
    assert!(told.contains("see ***"), "{told}");
    assert!((0..6).all(|of| !told.contains(&secret(of))), "{told}");
}

#[test]
fn a_weight_that_was_next_to_nothing_leaves_no_number_that_is_none() {
    let (pool, _) = on(builder().keys([key(0), key(1)]).strategy(tower_keypool::Strategy::Adaptive));
    for weight in [1e-19, 1e20, 1e-30, 1e30, 1.0] {
        pool.set_weight(&id(0), weight).unwrap();
    }
    let learned = view(&pool, 0).current_weight;
    assert!((0.9..1.1).contains(&learned), "nothing was learned, and it is {learned}");
    let served: Vec<_> = (0..20).map(|_| answer(&pool, FLASH, &Verdict::SUCCESS)).collect();
    assert!((0..2).all(|of| served.iter().any(|by| *by == id(of).to_string())), "{served:?}");
}
