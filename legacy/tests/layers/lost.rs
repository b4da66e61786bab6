//! A request that waits for a key waits no longer than one may come: keys are lost while it does, and come.

use std::time::Duration;

use http::{Request, Response};
use tokio::task::JoinHandle;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt};
use tower_keypool::{
    Affinity, Demand, Error, Key, KeyPool, KeyRotationLayer, Limit, Limits, OutReason, QuotaNews, Span, Unit, Until,
    Usage, Verdict, VerdictKind,
};
use tower_test::mock;

use crate::support::{self, Body, Handle, ask, key_of, narrow_pool, ok};

const LONG: Duration = Duration::from_secs(60);

/// A request that waits for its key, and whom it reaches then.
async fn waiting(pool: &KeyPool, request: Request<Body>) -> (JoinHandle<Result<(), Error>>, Handle) {
    let (inner, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let client = KeyRotationLayer::new(pool).wait(LONG).layer(inner);
    let task = tokio::spawn(async move { client.oneshot(request).await.map(drop) });
    tokio::task::yield_now().await;
    assert_eq!(pool.snapshot().waiters, 1);
    (task, handle)
}

fn narrow(id: &str) -> Key {
    Key::new(id).id(id).max_concurrent(1)
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_last_key_that_it_could_be_for() {
    type Loss = fn(&KeyPool, tower_keypool::Lease);
    let losses: [(&str, Loss, Option<OutReason>); 7] = [
        ("removed", |pool, _| pool.remove(&"one".into()).unwrap(), None),
        ("disabled", |pool, _| pool.disable(&"one".into(), "by test").unwrap(), Some(OutReason::DisabledByHand)),
        (
            "not valid",
            |_, lease| lease.judge(&Verdict::new(VerdictKind::InvalidKey).until(Until::Lifted)),
            Some(OutReason::DisabledInvalid),
        ),
        (
            "suspended for longer",
            |_, lease| lease.judge(&Verdict::new(VerdictKind::Suspended).until(Until::Probed(LONG * 2))),
            Some(OutReason::DisabledSuspended),
        ),
        (
            "not valid, the first time",
            |_, lease| {
                lease.judge(&Verdict::new(VerdictKind::InvalidKey).until(Until::Lifted).confirm_after(LONG * 2));
            },
            Some(OutReason::Resting),
        ),
        (
            "at its limit for longer",
            |_, lease| lease.judge(&Verdict::new(VerdictKind::RateLimited).until(Until::For(LONG * 2))),
            Some(OutReason::RateLimited),
        ),
        ("not in the configuration", |pool, _| drop(pool.reconfigure(support::builder(&[])).unwrap()), None),
    ];
    for (what, lose, reason) in losses {
        let pool = narrow_pool();
        let held = pool.try_acquire("m").unwrap();
        let (task, _handle) = waiting(&pool, ask()).await;
        let before = pool.clock().tick();
        lose(&pool, held);
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(pool.clock().tick(), before, "{what}");
        assert_eq!(error.exhausted().unwrap().reasons().next().map(|(reason, _)| reason), reason, "{what}: {error}");
        assert_eq!(pool.snapshot().waiters, 0, "{what}");
    }
}

/// What is left is another key's window, which opens too late: whoever comes then is told so at once.
#[tokio::test(start_paused = true)]
async fn a_window_that_opens_too_late_is_nothing_to_wait_for() {
    for opens_in_time in [false, true] {
        let span = if opens_in_time { LONG / 2 } else { LONG * 10 };
        let full = Key::new("two")
            .id("two")
            .limits("m", Limits::new().with(Limit { unit: Unit::Requests, span: Span::Sliding(span), amount: 1 }));
        let pool = support::builder(&[]).keys([narrow("one"), full]).build().unwrap();
        let [first, second] = [pool.try_acquire("m").unwrap(), pool.try_acquire("m").unwrap()];
        let (one, two) = if first.key_id().to_string() == "one" { (first, second) } else { (second, first) };
        drop(two);
        let (task, mut handle) = waiting(&pool, ask()).await;
        let before = pool.clock().tick();
        one.judge(&Verdict::new(VerdictKind::RateLimited).until(Until::For(LONG * 2)));
        drop(one);
        if opens_in_time {
            let (sent, answer) = handle.next_request().await.unwrap();
            assert_eq!(key_of(&sent), "two");
            answer.send_response(ok());
            task.await.unwrap().unwrap();
        } else {
            assert!(task.await.unwrap().unwrap_err().is_exhausted());
            assert_eq!(pool.clock().tick(), before);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_quota_of_the_day_is_nothing_to_wait_for() {
    // Where the test begins it is midnight in London, when a day's quota rests a minute.
    let pool = support::builder(&[]).key(narrow("one").zone("Asia/Kolkata")).build().unwrap();
    let held = pool.try_acquire("m").unwrap();
    let (task, _handle) = waiting(&pool, ask()).await;
    let before = pool.clock().tick();
    held.judge(&Verdict::new(VerdictKind::QuotaExhausted).until(Until::DayEnd));
    let error = task.await.unwrap().unwrap_err();
    assert_eq!(pool.clock().tick(), before);
    assert_eq!(error.exhausted().unwrap().reasons().next().unwrap().0, OutReason::QuotaExhausted);
}

/// A rest that is over in time lets nobody go.
#[tokio::test(start_paused = true)]
async fn a_rest_that_ends_in_time_is_waited_for() {
    let pool = narrow_pool();
    let held = pool.try_acquire("m").unwrap();
    let (task, mut handle) = waiting(&pool, ask()).await;
    held.judge(&Verdict::new(VerdictKind::RateLimited).until(Until::For(LONG / 2)));
    drop(held);
    let (_, answer) = handle.next_request().await.unwrap();
    answer.send_response(ok());
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_of_the_closure_form_waits_no_longer_either() {
    let pool = narrow_pool();
    let _held = pool.try_acquire("m").unwrap();
    let caller = pool.clone();
    let call = async move {
        let judge = |_: &Result<(), ()>| Verdict::SUCCESS;
        caller
            .run(Demand::new("m").wait(LONG), judge, async |_| Ok::<_, ()>(()))
            .await
            .map_err(|error| format!("{error:?}"))
    };
    let call = tokio::spawn(call);
    tokio::task::yield_now().await;
    let before = pool.clock().tick();
    pool.disable(&"one".into(), "by test").unwrap();
    assert!(call.await.unwrap().unwrap_err().contains("1 disabled"));
    assert_eq!(pool.clock().tick(), before);
}

#[tokio::test(start_paused = true)]
async fn who_may_have_another_key_goes_on_waiting() {
    let pool = support::builder(&[]).keys([narrow("one"), narrow("two")]).build().unwrap();
    let [first, _second] = [pool.try_acquire("m").unwrap(), pool.try_acquire("m").unwrap()];
    let lost = if first.key_id().to_string() == "one" { "two" } else { "one" };
    let (task, mut handle) = waiting(&pool, ask()).await;
    let mut of_it = ask();
    of_it.extensions_mut().insert(Demand::new("m").affinity(Affinity::MustKey(lost.into())).wait(LONG));
    let (inner, _other) = mock::pair::<Request<Body>, Response<Body>>();
    let mut of_it = task::spawn(KeyRotationLayer::new(&pool).layer(inner).oneshot(of_it));
    assert_pending!(of_it.poll());
    pool.remove(&lost.into()).unwrap();
    assert!(of_it.is_woken() && assert_ready!(of_it.poll()).unwrap_err().is_exhausted());
    tokio::task::yield_now().await;
    assert!(!task.is_finished());
    let other = first.key_id().to_string();
    drop(first);
    let (sent, answer) = handle.next_request().await.unwrap();
    assert_eq!(key_of(&sent), other);
    answer.send_response(ok());
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_or_comes_back_serves_who_waits() {
    for comes_back in [false, true] {
        let pool = narrow_pool();
        if comes_back {
            pool.add(narrow("two")).unwrap();
            pool.disable(&"two".into(), "by test").unwrap();
        }
        let _held = pool.try_acquire("m").unwrap();
        let (task, mut handle) = waiting(&pool, ask()).await;
        let before = pool.clock().tick();
        if comes_back {
            pool.enable(&"two".into()).unwrap();
        } else {
            pool.add(narrow("two")).unwrap();
        }
        let (sent, answer) = handle.next_request().await.unwrap();
        assert_eq!(key_of(&sent), "two");
        answer.send_response(ok());
        task.await.unwrap().unwrap();
        assert_eq!(pool.clock().tick(), before);
    }
}

/// Whoever asks the pool itself may know that a key will come.
#[tokio::test(start_paused = true)]
async fn who_asked_the_pool_itself_waits_for_what_may_be_added() {
    let pool = narrow_pool();
    let held = pool.try_acquire("m").unwrap();
    let mut acquire = task::spawn(pool.acquire(Demand::new("m").wait(LONG)));
    assert_pending!(acquire.poll());
    pool.remove(&"one".into()).unwrap();
    drop(held);
    assert_pending!(acquire.poll());
    pool.add(narrow("two")).unwrap();
    assert!(acquire.is_woken() && assert_ready!(acquire.poll()).is_ok());
}

/// Whoever stood in front has the last of the window: with the end of what is under way nothing comes in time any more.
#[tokio::test(start_paused = true)]
async fn a_window_that_was_filled_meanwhile_is_nothing_to_wait_for() {
    let thrice = Limits::new().with(Limit { unit: Unit::Requests, span: Span::Sliding(LONG * 10), amount: 3 });
    let keys = ["one", "two"].map(|id| narrow(id).owner("o"));
    let pool = support::builder(&[]).keys(keys).limits("m", thrice).build().unwrap();
    let [first, second] = [pool.try_acquire("m").unwrap(), pool.try_acquire("m").unwrap()];
    let (served, mut handle) = waiting(&pool, ask()).await;
    let (inner, _other) = mock::pair::<Request<Body>, Response<Body>>();
    let client = KeyRotationLayer::new(&pool).wait(LONG).layer(inner);
    let late = tokio::spawn(async move { client.oneshot(ask()).await.map(drop) });
    tokio::task::yield_now().await;
    let before = pool.clock().tick();
    drop(first);
    let (_, answer) = handle.next_request().await.unwrap();
    drop(second);
    tokio::task::yield_now().await;
    assert!(!late.is_finished(), "what is under way may yet turn out never to have left");
    answer.send_response(ok());
    served.await.unwrap().unwrap();
    let error = late.await.unwrap().unwrap_err();
    assert_eq!((pool.clock().tick(), error.exhausted().unwrap().keys()), (before, 2));
    assert_eq!(pool.snapshot().waiters, 0);
}

/// Another key of the same owner had it; and it was tokens, of which more were used than were thought.
#[tokio::test(start_paused = true)]
async fn what_others_of_its_owner_used_is_nothing_to_wait_for() {
    let tokens = Limits::new().with(Limit { unit: Unit::InputTokens, span: Span::Sliding(LONG * 10), amount: 1_000 });
    let keys = ["one", "two"].map(|id| narrow(id).owner("o"));
    let pool = support::builder(&[]).keys(keys).limits("m", tokens).build().unwrap();
    let held = pool.try_acquire(Demand::new("m").affinity(Affinity::MustKey("one".into()))).unwrap();
    let other = pool.try_acquire(Demand::new("m").affinity(Affinity::MustKey("two".into()))).unwrap();
    let mut of_it = ask();
    of_it.extensions_mut().insert(Demand::new("m").affinity(Affinity::MustKey("one".into())).wait(LONG));
    let (task, _handle) = waiting(&pool, of_it).await;
    let before = pool.clock().tick();
    let mut used = Usage::default();
    used.input_tokens = Some(1_000);
    other.usage(used);
    drop(other);
    tokio::task::yield_now().await;
    assert!(!task.is_finished());
    drop(held);
    assert!(task.await.unwrap().unwrap_err().is_exhausted());
    assert_eq!(pool.clock().tick(), before);
}

/// The keys are lost between the look at them and the queue.
#[tokio::test(start_paused = true)]
async fn who_comes_to_the_queue_too_late_is_told_at_once() {
    let pool = support::builder(&[]).keys([narrow("one"), narrow("two")]).build().unwrap();
    let held = [pool.try_acquire("m").unwrap(), pool.try_acquire("m").unwrap()];
    let (inner, _handle) = mock::pair::<Request<Body>, Response<Body>>();
    let mut client = KeyRotationLayer::new(&pool).wait(LONG).layer(inner);
    std::future::poll_fn(|cx| tower::Service::poll_ready(&mut client, cx)).await.unwrap();
    let waits = tower::Service::call(&mut client, ask());
    for lease in held {
        lease.judge(&Verdict::new(VerdictKind::Suspended));
    }
    let before = pool.clock().tick();
    assert!(waits.await.map(drop).unwrap_err().is_exhausted());
    assert_eq!(pool.clock().tick(), before);
}

/// Two owners prove to be one project: what one of them used is the other's, and nobody waits for it.
#[tokio::test(start_paused = true)]
async fn a_key_whose_project_turns_out_to_have_used_more_is_nothing_to_wait_for() {
    let one_project = Verdict::SUCCESS.news(QuotaNews { consumer: Some("projects/1".into()), ..QuotaNews::default() });
    let window = |span, amount| Limit { unit: Unit::Requests, span: Span::Sliding(span), amount };
    let limits = Limits::new().with(window(LONG / 2, 1)).with(window(LONG * 10, 2));
    let pool = support::builder(&[]).keys(["one", "two"].map(narrow)).limits("m", limits).build().unwrap();
    let of = |id: &str| Demand::new("m").affinity(Affinity::MustKey(id.into())).wait(LONG);
    let first = pool.try_acquire(of("one")).unwrap();
    first.judge(&one_project);
    drop(first);
    let other = pool.try_acquire(of("two")).unwrap();
    let mut of_one = ask();
    of_one.extensions_mut().insert(of("one"));
    let (task, _handle) = waiting(&pool, of_one).await;
    let before = pool.clock().tick();
    other.judge(&one_project);
    let error = task.await.unwrap().unwrap_err();
    assert!(error.retry_after().unwrap() > LONG, "{error}");
    assert_eq!(pool.clock().tick(), before);
}
