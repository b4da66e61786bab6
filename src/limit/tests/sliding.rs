use super::{empty, millis, requests};
use crate::limit::{Limits, Opens};

#[test]
fn the_common_limits_take_thirty_words() {
    let (plan, _) = empty(&Limits::new().per_minute(15).per_day(250));
    assert!(plan.words() <= 30, "{}", plan.words());
}

#[test]
fn a_full_minute_opens_when_its_oldest_start_leaves() {
    let (plan, mut log) = empty(&Limits::new().per_minute(2));
    for ms in [1_000, 5_000] {
        plan.room(&mut log, &requests(1), &millis(ms)).unwrap();
        plan.reserve(&mut log, &requests(1));
        plan.stamp(&mut log, &requests(1), &millis(ms));
    }
    let full = plan.room(&mut log, &requests(1), &millis(30_000)).unwrap_err();
    let Opens::Tick(tick) = full.opens else { panic!("{full:?}") };
    assert!((61_250..61_253).contains(&tick.millis()), "{tick:?}");
}
