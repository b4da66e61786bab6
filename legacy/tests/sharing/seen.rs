//! What a process is told of owners that it does not hold: what is used of their days, also when the board is lost, and the
//! limits that others have for them.

use std::time::Duration;

use tower_keypool::{Demand, Exhausted, Gemini, KeyPool, Limits, SharingState, Span, Verdict};

use crate::host::{FLASH, Host, Process, builder, key, pass, paused};

async fn served(pool: &KeyPool, count: usize, seconds: u64) -> usize {
    let asked = (0..count).map(|_| {
        let (pool, demand) = (pool.clone(), Demand::new(FLASH).wait(Duration::from_secs(seconds)));
        tokio::spawn(async move { pool.acquire(demand).await.map(|lease| lease.settle(&Verdict::SUCCESS)).is_ok() })
    });
    let mut served = 0;
    for asked in asked.collect::<Vec<_>>() {
        served += usize::from(asked.await.expect("no panic"));
    }
    served
}

/// What all owners have used of the day, as this process shows it.
fn of_the_day(pool: &KeyPool) -> u64 {
    let snapshot = pool.snapshot();
    let lane = snapshot.lanes.iter().find(|lane| lane.model.as_deref() == Some(FLASH)).expect("somebody asked for it");
    let day = lane.limits.iter().find(|limit| limit.span == Span::Day).expect("a limit by the day");
    day.used
}

#[test]
fn the_day_of_owners_that_another_used_is_seen() {
    for noting in [false, true] {
        paused().block_on(async {
            let host = Host::new(noting);
            let make = || builder(4).limits(FLASH, Limits::new().per_minute(30).per_day(100));
            let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
            assert_eq!(served(&other.pool, 1, 5).await, 1);
            assert_eq!(served(&one.pool, 40, 20).await, 40);
            pass(40.0).await;
            for process in [&one, &other] {
                assert_eq!(of_the_day(&process.pool), 41, "noting {noting}");
            }
        });
    }
}

#[test]
fn owners_that_nobody_held_serve_again_after_the_board_was_lost() {
    for noting in [false, true] {
        paused().block_on(async {
            let host = Host::new(noting);
            let make = || builder(8).limits(FLASH, Limits::new().per_minute(20).per_day(100));
            let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
            assert_eq!(served(&one.pool, 30, 20).await + served(&other.pool, 30, 20).await, 60);
            pass(60.0).await;
            host.forget();
            // A lease in which the board only hears, and the minute of what nobody held.
            pass(75.0).await;
            // All that a minute allows.
            let now = served(&one.pool, 150, 30).await;
            assert!(now >= 145, "noting {noting}: {now} of 150");
            // Of 800 60 were used, a minute's amount of each may have been, and what was lent then is not known.
            let mut day = 60 + now;
            for _ in 0..12 {
                pass(61.0).await;
                day += served(&other.pool, 100, 10).await;
            }
            assert!((600..=800).contains(&day), "noting {noting}: {day} of 800");
        });
    }
}

#[test]
fn who_has_no_limits_takes_those_of_another() {
    for noting in [false, true] {
        paused().block_on(async {
            let host = Host::new(noting);
            let bare = host.process("bare", 1, builder(2)).await;
            assert_eq!(served(&bare.pool, 30, 1).await, 30, "nobody has limits");
            pass(10.0).await;
            let calls = bare.pool.sharing().expect("it shares").counters.renewals;
            pass(60.0).await;
            let more = bare.pool.sharing().expect("it shares").counters.renewals - calls;
            assert!(more <= 26, "{more} calls a minute while nobody else is there");
            let strict = host.process("strict", 2, builder(2).limits(FLASH, Limits::new().per_minute(6))).await;
            assert_eq!(served(&strict.pool, 1, 1).await, 1);
            pass(10.0).await;
            let mut sum = 0;
            for _ in 0..3 {
                sum += served(&bare.pool, 10, 1).await + served(&strict.pool, 10, 1).await;
                pass(18.0).await;
            }
            assert!((8..=12).contains(&sum), "noting {noting}: {sum} of twelve a minute");
            assert!(bare.pool.sharing().expect("it shares").counters.conflicts >= 1, "and says so");
            // They hold as long as the board knows of them.
            pass(120.0).await;
            assert!(served(&bare.pool, 30, 1).await <= 12);
        });
    }
}

#[test]
fn while_the_board_only_hears_it_is_told_when_it_lends() {
    for noting in [false, true] {
        paused().block_on(async {
            let host = Host::new(noting);
            let one = host.process("one", 1, builder(1).limits("*", Limits::new().per_minute(10))).await;
            assert_eq!(served(&one.pool, 1, 5).await, 1);
            host.forget();
            while one.pool.sharing().expect("it shares").state != SharingState::Recovering {
                pass(0.25).await;
            }
            // Nobody was lent this one.
            let error = one.pool.try_acquire("gemini-2.5-pro").expect_err("it is not lent");
            let after = error.retry_after().expect("it is known when");
            assert!((4..=10).contains(&after.as_secs()), "noting {noting}: {after:?}: {error}");
            assert_eq!(error.exhausted().and_then(Exhausted::lends_in), Some(after));
            assert!(error.to_string().contains("it lends again in"), "{error}");
            pass(after.as_secs_f64()).await;
            let error = one.pool.try_acquire("gemini-2.5-pro").err();
            assert!(error.is_none_or(|error| error.retry_after() <= Some(Duration::from_secs(1))), "noting {noting}");
        });
    }
}

/// What keys allow by themselves: of processes that differ the stricter holds, in whichever of them it was configured.
#[test]
fn what_a_key_allows_by_itself_is_the_strictest_that_anybody_has() {
    let between = Duration::from_secs(4);
    for noting in [false, true] {
        for loose in [false, true] {
            paused().block_on(async {
                let host = Host::new(noting);
                let gemini = || KeyPool::builder(Gemini::new());
                let strict =
                    host.process("strict", 1, gemini().key(key(0).max_concurrent(1).min_interval(between))).await;
                let other = if loose { key(0).max_concurrent(9).min_interval(Duration::from_secs(1)) } else { key(0) };
                let other = host.process("other", 2, gemini().key(other)).await;
                // Each has been asked once.
                let _ = (served(&strict.pool, 1, 1).await, served(&other.pool, 1, 1).await);
                pass(10.0).await;
                let allows = || other.pool.snapshot().keys[0].max_concurrent;
                assert_eq!(allows(), Some(1), "noting {noting}, loose {loose}");
                let sharing = |process: &Process| process.pool.sharing().expect("it shares").counters.conflicts;
                assert_eq!((sharing(&strict), sharing(&other)), (0, 1), "and says so");
                let (began, mut sum) = (strict.pool.clock().tick(), 0);
                for _ in 0..40 {
                    sum += served(&strict.pool, 1, 1).await + served(&other.pool, 1, 1).await;
                    pass(1.0).await;
                }
                let most = strict.pool.clock().tick().since(began).as_secs() as usize / 4 + 1;
                assert!((most / 2..=most).contains(&sum), "noting {noting}, loose {loose}: {sum} of {most}");
                // Nobody else has it any more.
                strict.pool.shutdown().await;
                drop(strict);
                pass(30.0).await;
                assert_eq!(allows(), loose.then_some(9), "noting {noting}, loose {loose}");
            });
        }
    }
}

/// It serves nothing any more, so that whatever others allow is stricter, and none of its business.
#[test]
fn who_ends_is_not_told_of_stricter_limits_where_all_have_the_same() {
    for noting in [false, true] {
        paused().block_on(async {
            let host = Host::new(noting);
            let make = || KeyPool::builder(Gemini::new()).key(key(0).max_concurrent(4));
            let (stays, ends) = (host.process("stays", 1, make()).await, host.process("ends", 2, make()).await);
            assert_eq!(served(&stays.pool, 1, 1).await, 1);
            let demand = Demand::new("gemini-2.5-pro").wait(Duration::from_secs(10));
            ends.pool.acquire(demand).await.expect("a key").settle(&Verdict::SUCCESS);
            pass(10.0).await;
            ends.pool.shutdown().await;
            for process in [&stays, &ends] {
                let conflicts = process.pool.sharing().expect("it shares").counters.conflicts;
                assert_eq!(conflicts, 0, "noting {noting}");
            }
        });
    }
}
