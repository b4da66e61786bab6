//! What one process learns acts in the others.

use std::time::Duration;

use tower_keypool::{
    Demand, KeyId, KeyPool, Limits, QuotaNews, Scope, Until, Verdict, VerdictKind, Violation, share::Settings,
};

use crate::host::{FLASH, Host, builder, key, pass, paused};

fn wait() -> Demand {
    Demand::new(FLASH).wait(Duration::from_secs(5))
}

#[test]
fn a_key_switched_off_in_one_is_off_in_all_within_a_renewal_and_on_again() {
    paused().block_on(async {
        let host = Host::new(true);
        let make = || builder(1).limits(FLASH, Limits::new().per_minute(100));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        let id: KeyId = one.pool.snapshot().keys[0].id.clone();
        one.pool.disable(&id, "leaked").unwrap();
        pass(3.0).await;
        let error = other.pool.acquire(wait()).await.unwrap_err().to_string();
        assert!(error.contains("disabled"), "{error}");
        one.pool.enable(&id).unwrap();
        pass(3.0).await;
        other.pool.acquire(wait()).await.expect("it is on again").settle(&Verdict::SUCCESS);
    });
}

#[test]
fn an_owner_that_rests_in_one_rests_in_all() {
    paused().block_on(async {
        let host = Host::new(false);
        let make = || builder(2).limits(FLASH, Limits::new().per_minute(100));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        let lease = one.pool.acquire(wait()).await.unwrap();
        let key = lease.key_id().to_string();
        lease.settle(
            &Verdict::new(VerdictKind::RateLimited).scope(Scope::Owner).until(Until::For(Duration::from_secs(300))),
        );
        pass(5.0).await;
        for _ in 0..20 {
            let lease = other.pool.acquire(wait()).await.expect("the other key");
            assert_ne!(lease.key_id().to_string(), key);
            lease.settle(&Verdict::SUCCESS);
        }
        // A third that begins only now knows it as well.
        let third = host.process("third", 1, make()).await;
        pass(2.0).await;
        one.pool.shutdown().await;
        other.pool.shutdown().await;
        let lease = third.pool.acquire(wait()).await.unwrap();
        assert_ne!(lease.key_id().to_string(), key);
    });
}

#[test]
fn a_refused_address_is_the_machines_own_and_a_refused_proxy_everybodys() {
    paused().block_on(async {
        for apart in [false, true] {
            let host = Host::new(true);
            let make = || {
                let keys = [key(0), key(1).exit("address"), key(2).exit("proxy"), key(3).exit("fine")];
                KeyPool::builder(tower_keypool::Gemini::new()).keys(keys).same_exits(["proxy"])
            };
            let line = |name: &str| {
                let mut line = host.line(name, 1);
                line.apart = apart;
                line
            };
            let open = async |name: &str| host.open(&line(name), make(), |sharing| sharing).await.expect("a pool");
            let (one, other) = (open("one").await, open("other").await);
            for n in 0..3 {
                let owner = tower_keypool::Affinity::MustOwner(format!("project-{n}").into());
                let lease = one.acquire(wait().affinity(owner)).await.expect("it is ready");
                lease.settle(&Verdict::new(VerdictKind::Blocked));
            }
            pass(5.0).await;
            let resting = |pool: &KeyPool| -> Vec<Option<String>> {
                let exits = pool.snapshot().exits.into_iter().filter(|exit| exit.rest.is_some());
                let mut names: Vec<_> = exits.map(|exit| exit.name.map(|name| name.to_string())).collect();
                names.sort();
                names
            };
            let (usual, address, proxy) = (None, Some("address".to_owned()), Some("proxy".to_owned()));
            let all = [usual, address, proxy.clone()];
            assert_eq!(resting(&one), all);
            let heard: &[_] = if apart { &[proxy] } else { &all };
            assert_eq!(resting(&other), heard, "on machines of their own: {apart}");
            // So does whoever begins later, by what is kept.
            one.shutdown().await;
            other.shutdown().await;
            let third = open("third").await;
            pass(2.0).await;
            assert_eq!(resting(&third), heard, "kept: {apart}");
            // What is lifted in one is lifted in all, and for good.
            let fourth = open("fourth").await;
            pass(2.0).await;
            assert_eq!(resting(&fourth), heard);
            for exit in heard {
                assert!(third.lift_exit(exit.as_deref()));
            }
            pass(5.0).await;
            let none: [Option<String>; 0] = [];
            assert_eq!((resting(&third), resting(&fourth)), (none.to_vec(), none.to_vec()), "lifted: {apart}");
            third.shutdown().await;
            fourth.shutdown().await;
            let fifth = open("fifth").await;
            pass(2.0).await;
            assert_eq!(resting(&fifth), none, "lifted for good: {apart}");
        }
    });
}

#[test]
fn a_key_that_failed_in_one_comes_back_with_a_part_of_its_load_in_all() {
    paused().block_on(async {
        let host = Host::new(true);
        let make = || builder(1).limits(FLASH, Limits::new().per_minute(100));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        let whole = other.pool.snapshot().keys[0].current_weight;
        let until = Until::For(Duration::from_secs(30));
        let lease = one.pool.acquire(wait()).await.unwrap();
        lease.settle(&Verdict::new(VerdictKind::InvalidKey).scope(Scope::Key).until(until));
        pass(40.0).await;
        let weight = other.pool.snapshot().keys[0].current_weight;
        assert!(weight < whole / 2.0, "{weight} of {whole}");
    });
}

#[test]
fn who_filled_a_limit_before_an_answer_named_it_is_counted_where_it_is_shared_as_well() {
    paused().block_on(async {
        for noting in [false, true] {
            let one = Host::new(noting).process("one", 1, builder(1)).await;
            // Nothing is known of limits: one a second goes out, until the provider has enough.
            for _ in 0..15 {
                one.pool.acquire(wait()).await.unwrap().settle(&Verdict::SUCCESS);
                pass(1.0).await;
            }
            let violation =
                Violation { unit: tower_keypool::Unit::Requests, span: tower_keypool::Span::MINUTE, amount: Some(15) };
            let news = QuotaNews { violations: vec![violation], ..QuotaNews::default() };
            let limited = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(45))).news(news);
            one.pool.acquire(wait()).await.unwrap().settle(&limited);
            // The first has left the provider's window by then; the others leave it one a second.
            pass(46.5).await;
            let mut served = Vec::new();
            for _ in 0..15 {
                let few = Demand::new(FLASH).wait(Duration::from_millis(200));
                let mut now = 0;
                while let Ok(lease) = one.pool.acquire(few.clone()).await {
                    lease.settle(&Verdict::SUCCESS);
                    now += 1;
                }
                served.push(now);
                pass(0.8).await;
            }
            for second in 0..15 {
                let sum: usize = served[..=second].iter().sum();
                assert!((second..=second + 2).contains(&sum), "one a second: {served:?} (noting: {noting})");
            }
        }
    });
}

/// One began long ago, the others just before the answer, some of which are still under way.
#[test]
fn a_limit_that_an_answer_named_counts_who_filled_it_when_they_began_where_it_is_shared_as_well() {
    paused().block_on(async {
        for noting in [false, true] {
            let one = Host::new(noting).process("one", 1, builder(1)).await;
            let take = async || one.pool.acquire(wait()).await.unwrap();
            take().await.settle(&Verdict::SUCCESS);
            pass(30.0).await;
            for _ in 0..8 {
                take().await.settle(&Verdict::SUCCESS);
            }
            let under_way = [take().await, take().await, take().await];
            let violation =
                Violation { unit: tower_keypool::Unit::Requests, span: tower_keypool::Span::MINUTE, amount: Some(12) };
            let news = QuotaNews { violations: vec![violation], ..QuotaNews::default() };
            let limited = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(29))).news(news);
            take().await.settle(&limited);
            for lease in under_way {
                lease.settle(&Verdict::SUCCESS);
            }
            let served = async || {
                let mut served = 0;
                while let Ok(lease) = one.pool.acquire(Demand::new(FLASH).wait(Duration::from_millis(200))).await {
                    lease.settle(&Verdict::SUCCESS);
                    served += 1;
                }
                served
            };
            // The first has left the provider's window by then, and the others leave it 30 s later.
            let (mut early, begun) = (0, one.pool.clock().tick());
            while one.pool.clock().tick().since(begun) < Duration::from_secs(58) {
                early += served().await;
                pass(0.8).await;
            }
            assert_eq!(early, 1, "noting: {noting}");
            pass(6.0).await;
            assert_eq!(served().await, 11, "noting: {noting}");
        }
    });
}

#[test]
fn a_limit_that_an_answer_named_holds_in_all() {
    paused().block_on(async {
        let host = Host::new(true);
        let (one, other) = (host.process("one", 1, builder(1)).await, host.process("other", 1, builder(1)).await);
        // Nothing is known of limits: both use the key.
        other.pool.acquire(wait()).await.unwrap().settle(&Verdict::SUCCESS);
        let violation =
            Violation { unit: tower_keypool::Unit::Requests, span: tower_keypool::Span::MINUTE, amount: Some(7) };
        let news = QuotaNews { violations: vec![violation], ..QuotaNews::default() };
        let limited = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(60))).news(news);
        one.pool.acquire(wait()).await.unwrap().settle(&limited);
        pass(70.0).await;
        let mut served = 0;
        for process in [&one, &other] {
            for _ in 0..10 {
                if let Ok(lease) = process.pool.acquire(wait().wait(Duration::from_secs(1))).await {
                    lease.settle(&Verdict::SUCCESS);
                    served += 1;
                }
            }
        }
        assert!((6..=7).contains(&served), "{served} of 7 a minute, by both");
    });
}

/// How many keys of three somebody finds switched off who knows of the others by the board alone.
async fn off_by_the_board(host: &Host, name: &str) -> usize {
    let newcomer = host.open(&host.stranger(name), builder(3), |sharing| sharing).await.unwrap();
    let off = newcomer.snapshot().disabled_keys;
    newcomer.shutdown().await;
    off
}

#[test]
fn the_board_keeps_a_key_that_is_off_as_long_as_somebody_has_it_and_a_week() {
    const DAY: f64 = 24.0 * 3600.0;
    paused().block_on(async {
        let host = Host::new(true);
        let slow = Settings::for_lease(Duration::from_secs(3 * 3600));
        let one = host.process_as("one", 1, builder(3), |sharing| sharing.settings(slow)).await;
        for n in 0..2 {
            let id = one.pool.snapshot().keys[n].id.clone();
            one.pool.disable(&id, "leaked").unwrap();
        }
        pass(3600.0).await;
        assert_eq!(off_by_the_board(&host, "at once").await, 2);
        pass(9.0 * DAY).await;
        assert_eq!(off_by_the_board(&host, "later").await, 2, "it is said again each day");

        // Nobody has the second any more.
        let left = builder(0).keys([key(0), key(2)]);
        one.pool.reconfigure(left).unwrap();
        pass(5.0 * DAY).await;
        assert_eq!(off_by_the_board(&host, "in a week").await, 2);
        // That one had it, and heard that nobody had said it for long.
        pass(8.0 * DAY).await;
        assert_eq!(off_by_the_board(&host, "after a week").await, 1);
    });
}

/// A batch that runs for a moment each day, a gateway that is started anew each night.
#[test]
fn what_only_short_lives_hear_of_the_board_keeps_as_long_as_they_come() {
    const DAY: f64 = 24.0 * 3600.0;
    paused().block_on(async {
        let host = Host::new(true);
        let one = host.process("one", 1, builder(3)).await;
        let id = one.pool.snapshot().keys[1].id.clone();
        one.pool.disable(&id, "leaked").unwrap();
        pass(60.0).await;
        one.pool.shutdown().await;
        for day in 0..20 {
            pass(DAY).await;
            assert_eq!(off_by_the_board(&host, &format!("day {day}")).await, 1, "on day {day}");
        }
        // Who has other keys says nothing of this one.
        for day in 0..8 {
            pass(DAY).await;
            let line = host.stranger(&format!("other {day}"));
            let other = host.open(&line, builder(0).keys([key(0), key(2)]), |sharing| sharing).await.unwrap();
            other.shutdown().await;
        }
        assert_eq!(off_by_the_board(&host, "after a week").await, 0);
    });
}

#[test]
fn what_nobody_said_for_a_week_is_not_lifted_by_that() {
    const WEEK: f64 = 7.0 * 24.0 * 3600.0;
    paused().block_on(async {
        let host = Host::new(true);
        let one = host.process("one", 1, builder(3)).await;
        let id = one.pool.snapshot().keys[1].id.clone();
        one.pool.disable(&id, "leaked").unwrap();
        pass(60.0).await;
        one.pool.shutdown().await;
        // The board has just let go of it, and still tells that it ended.
        pass(WEEK - 60.0 + 1_800.0).await;
        let two = host.process("two", 1, builder(3)).await;
        pass(60.0).await;
        assert_eq!(two.pool.snapshot().disabled_keys, 1);
    });
}

#[test]
fn what_was_lifted_long_ago_is_told_anew_by_one_who_never_heard_of_it() {
    paused().block_on(async {
        let host = Host::new(true);
        let one = host.process("one", 1, builder(1)).await;
        let id: KeyId = one.pool.snapshot().keys[0].id.clone();
        one.pool.disable(&id, "by hand").unwrap();
        pass(3.0).await;
        one.pool.enable(&id).unwrap();
        pass(2.0 * 3600.0).await;
        let other = host.process("other", 1, builder(1)).await;
        other.pool.disable(&id, "leaked").unwrap();
        pass(3.0).await;
        assert_eq!(one.pool.snapshot().disabled_keys, 1);
    });
}

/// Which keys a program has is its own affair, as it is what they are called: each program makes its own changes
/// ([`KeyPool::follow`]), and one that another had made before would be refused as of a key that nobody knows. What it says of
/// a key that both have acts in both.
#[test]
fn what_a_program_does_to_its_own_keys_is_its_own_but_for_switching_them_off() {
    paused().block_on(async {
        let host = Host::new(true);
        let (one, other) = (host.process("one", 1, builder(3)).await, host.process("other", 1, builder(3)).await);
        let ids: Vec<KeyId> = one.pool.snapshot().keys.iter().map(|key| key.id.clone()).collect();
        let stands = |pool: &KeyPool| {
            let snapshot = pool.snapshot();
            (snapshot.keys.len(), snapshot.disabled_keys)
        };
        one.pool.add(key(7)).unwrap();
        one.pool.remove(&ids[0]).unwrap();
        one.pool.replace(&ids[1], "AIza-not-a-real-key-00009").unwrap();
        pass(3.0).await;
        assert_eq!((stands(&one.pool), stands(&other.pool)), ((3, 0), (3, 0)));
        assert!(other.pool.snapshot().keys.iter().all(|key| ids.contains(&key.id)), "those that it had");

        one.pool.disable(&ids[2], "leaked").unwrap();
        pass(3.0).await;
        assert_eq!((stands(&one.pool), stands(&other.pool)), ((3, 1), (3, 1)));
        other.pool.enable(&ids[2]).unwrap();
        pass(3.0).await;
        assert_eq!((stands(&one.pool), stands(&other.pool)), ((3, 0), (3, 0)));
        // Of one that only one of them has the other makes nothing.
        other.pool.disable(&ids[0], "mine").unwrap();
        pass(3.0).await;
        assert_eq!((stands(&one.pool), stands(&other.pool)), ((3, 0), (3, 1)));
        other.pool.remove(&ids[0]).unwrap();
        assert_eq!(stands(&other.pool), (2, 0), "it can be changed there as before");
    });
}
