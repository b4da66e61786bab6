//! Requests that name no model count in a lane of their own, by the limits of every model without its own.

use tower_keypool::{Demand, KeyPool, Limits, QuotaNews, Span, Tier, Unit, Verdict, Violation};

use crate::support::{FLASH, builder, key, on, secs, telling};

fn two_a_minute() -> Limits {
    Limits::new().per_minute(2).per_day(3)
}

/// How many of ten demands without a model are served.
fn of_ten(pool: &KeyPool) -> usize {
    let served = |_: &u32| pool.try_acquire(Demand::any_model()).map(|lease| lease.settle(&Verdict::SUCCESS)).is_ok();
    (0..10).filter(served).count()
}

#[test]
fn they_count_whoever_said_what_every_model_may_use() {
    let limits = two_a_minute;
    for (who, make) in [
        ("the pool", builder().key(key(0)).limits("*", limits())),
        ("the key", builder().key(key(0).limits("*", limits()))),
        ("assumed", builder().key(key(0).assumed_limits(limits()))),
        ("the tier", builder().key(key(0).tier(Tier::Free)).tier_limits("*", Tier::Free, limits())),
        ("of no model", builder().key(key(0)).limits("", limits())),
    ] {
        let (pool, time) = on(make);
        assert_eq!(of_ten(&pool), 2, "{who}");
        time.advance(secs(61));
        assert_eq!(of_ten(&pool), 1, "{who}: the day's third");
    }
    let (pool, _) = on(builder().key(key(0)).limits(FLASH, limits()));
    assert_eq!(of_ten(&pool), 10, "nothing is said of them");
}

#[test]
fn what_is_larger_than_their_limits_is_refused_for_good() {
    let (pool, _) = on(builder().key(key(0)).limits("*", two_a_minute()));
    let error = pool.try_acquire(Demand::any_model().requests(3)).unwrap_err();
    assert!(error.is_never_fits(), "{error}");
}

#[test]
fn they_have_windows_of_their_own() {
    let (pool, _) = on(builder().key(key(0)).limits("*", two_a_minute()));
    assert_eq!(of_ten(&pool), 2);
    assert!(pool.try_acquire("named").is_ok());
    let snapshot = pool.snapshot();
    let view = snapshot.keys[0].lanes.iter().find(|lane| lane.model.is_none()).expect("it is shown");
    assert_eq!(view.limits.iter().map(|limit| limit.used).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn limits_that_change_while_it_runs_hold_for_them() {
    let (pool, time) = on(builder().key(key(0)));
    assert_eq!(of_ten(&pool), 10);
    pool.reconfigure(builder().key(key(0)).limits("*", Limits::new().per_minute(4))).unwrap();
    assert_eq!(of_ten(&pool), 0, "what began before counts");
    time.advance(secs(61));
    assert_eq!(of_ten(&pool), 4);
}

#[test]
fn a_limit_that_an_answer_names_holds_for_them_unless_it_is_a_models() {
    for (model, served) in [(None, 2), (Some("flash"), 9)] {
        let (pool, time) = on(builder().key(key(0)));
        let violation = Violation { unit: Unit::Requests, span: Span::MINUTE, amount: Some(2) };
        let news =
            QuotaNews { violations: vec![violation], quota_model: model.map(Into::into), ..QuotaNews::default() };
        pool.try_acquire(Demand::any_model()).unwrap().settle(&telling(news));
        time.advance(secs(70));
        assert_eq!(of_ten(&pool).min(9), served, "{model:?}");
    }
}

#[test]
fn the_short_way_counts_them_too() {
    let (pool, _) = on(builder().keys((0..3).map(key)).limits("*", Limits::new().per_minute(1)));
    assert_eq!(of_ten(&pool), 3);
}
