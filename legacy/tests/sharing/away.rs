//! The store that processes share is away, or missing at start: how a pool stands, and what it does.

use std::time::Duration;

use tower_keypool::{
    Demand, KeyPool, Limits, ManualClock, OpenError, OutReason, SharingState, Verdict,
    share::{OnMissing, OnStoreLoss},
};

use crate::host::{FLASH, Host, Way, builder, noon, pass, paused};

fn limits() -> Limits {
    Limits::new().per_minute(10)
}

/// How many requests start, one after the other.
async fn starts(pool: &KeyPool, most: usize) -> usize {
    let mut served = 0;
    for _ in 0..most {
        let Ok(lease) = pool.acquire(Demand::new(FLASH).wait(Duration::from_secs(5))).await else { break };
        if lease.started() {
            lease.settle(&Verdict::SUCCESS);
            served += 1;
        }
    }
    served
}

fn stands(pool: &KeyPool) -> SharingState {
    pool.sharing().expect("it shares").state
}

fn both(check: impl AsyncFn(bool)) {
    for noting in [false, true] {
        paused().block_on(check(noting));
    }
}

#[test]
fn it_says_how_it_stands_from_grace_to_fail_closed_and_back() {
    both(async |noting| {
        let host = Host::new(noting);
        let one = host.process("one", 1, builder(2).limits(FLASH, limits())).await;
        assert_eq!(starts(&one.pool, 1).await, 1);
        pass(5.0).await;
        assert_eq!(stands(&one.pool), SharingState::Connected);
        one.line.set(Way::Cut);
        let turned = one.pool.sharing_turns(SharingState::Connected).await;
        assert_eq!(turned, SharingState::Grace);
        assert_eq!(starts(&one.pool, 1).await, 1, "what is held goes on to its end");
        let since = one.pool.sharing().unwrap().since;
        assert_eq!(one.pool.sharing_turns(SharingState::Grace).await, SharingState::FailClosed);
        assert!(one.pool.clock().wall().duration_since(since).unwrap() < Duration::from_secs(10));
        let refused = one.pool.try_acquire(FLASH).unwrap_err();
        let reasons: Vec<_> = refused.exhausted().unwrap().reasons().collect();
        assert_eq!(reasons, [(OutReason::StoreUnreachable, 2)]);
        pass(5.0).await;
        let view = one.pool.snapshot().sharing.unwrap();
        assert_eq!(
            (view.state, view.counters.failed_closed, view.counters.store_lost),
            (SharingState::FailClosed, 1, 1)
        );
        assert!(view.state.is_lost());
        one.line.mend(Way::Cut);
        assert_eq!(one.pool.sharing_turns(SharingState::FailClosed).await, SharingState::Connected);
        assert_eq!(starts(&one.pool, 1).await, 1);
        let counters = one.pool.sharing().unwrap().counters;
        assert!(counters.claims > 0 && counters.writes > 0 && counters.renewals > 5, "{counters:?}");
    });
}

#[test]
fn leases_end_at_their_time_also_while_a_call_is_under_way() {
    both(async |noting| {
        let host = Host::new(noting);
        let one = host.process("one", 1, builder(1).limits(FLASH, limits())).await;
        one.line.set(Way::Cut);
        let begun = host.clock.tick();
        one.pool.sharing_turns(SharingState::Connected).await;
        one.pool.sharing_turns(SharingState::Grace).await;
        let lasted = host.clock.tick().since(begun);
        assert!(lasted < Duration::from_millis(9_800), "{lasted:?}");
    });
}

#[test]
fn a_fair_share_is_a_part_of_each_limit_and_ends_when_the_store_is_back() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(2).limits(FLASH, limits());
        let fair = OnStoreLoss::FairShare { processes: 4 };
        let one = host.process_as("one", 1, make(), |sharing| sharing.on_store_loss(fair)).await;
        let other = host.process("other", 1, make()).await;
        one.line.set(Way::Cut);
        one.pool.sharing_turns(SharingState::Grace).await;
        assert_eq!(starts(&one.pool, 1).await, 0, "it holds nothing, and the lease has not ended");
        while stands(&one.pool) != SharingState::FairShare {
            one.pool.sharing_turns(stands(&one.pool)).await;
        }
        assert_eq!(starts(&one.pool, 100).await, 4, "a quarter of two times ten, rounded down");
        assert_eq!(one.pool.sharing().unwrap().counters.fair_share, 4);
        one.line.mend(Way::Cut);
        one.pool.sharing_turns(SharingState::FairShare).await;
        pass(1.0).await;
        assert_eq!(starts(&other.pool, 100).await, 16, "what was started meanwhile was told");
        pass(80.0).await;
        assert_eq!(starts(&one.pool, 100).await, 20, "limits are whole again");
    });
}

#[test]
fn what_was_held_all_the_time_counts_what_a_fair_share_started() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(1).limits(FLASH, limits());
        let fair = OnStoreLoss::FairShare { processes: 2 };
        let one = host.process_as("one", 1, make(), |sharing| sharing.on_store_loss(fair)).await;
        assert_eq!(starts(&one.pool, 1).await, 1);
        one.line.set(Way::Cut);
        while stands(&one.pool) != SharingState::FairShare {
            one.pool.sharing_turns(stands(&one.pool)).await;
        }
        assert_eq!(starts(&one.pool, 100).await, 4, "half of ten, less one");
        one.line.mend(Way::Cut);
        one.pool.sharing_turns(SharingState::FairShare).await;
        pass(3.0).await;
        let other = host.process("other", 1, make()).await;
        let all = starts(&one.pool, 100).await + starts(&other.pool, 100).await;
        assert_eq!(all, 5, "ten in this minute, whoever started them");
    });
}

#[test]
fn a_store_that_is_missing_is_waited_for_and_then_it_is_an_error() {
    paused().block_on(async {
        let host = Host::new(false);
        let make = || builder(1).limits(FLASH, limits());
        let line = host.line("one", 1);
        line.set(Way::Cut);
        let mended = line.clone();
        tokio::spawn(async move {
            pass(20.0).await;
            mended.mend(Way::Cut);
        });
        let pool = host.open(&line, make(), |sharing| sharing).await.expect("it came within 30 s");
        assert_eq!(starts(&pool, 1).await, 1);

        line.set(Way::Cut);
        let begun = host.clock.tick();
        let error = host.open(&line, make(), |sharing| sharing).await.unwrap_err();
        let waited = host.clock.tick().since(begun);
        assert!((30..33).contains(&waited.as_secs()), "{waited:?}");
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("nobody answers"), "{error}");
        let short = OnMissing::Wait(Duration::from_secs(2));
        let begun = host.clock.tick();
        assert!(host.open(&line, make(), |sharing| sharing.on_missing(short)).await.is_err());
        assert!(host.clock.tick().since(begun) < Duration::from_secs(4));
    });
}

#[test]
fn who_begins_without_the_store_serves_his_part_and_joins_it_when_it_comes() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(2).limits(FLASH, limits());
        let other = host.process("other", 1, make()).await;
        let id = other.pool.acquire(FLASH).await.unwrap().key_id().clone();
        other.pool.disable(&id, "by hand").unwrap();
        other.pool.flush().await.unwrap();
        let line = host.line("one", 1);
        line.set(Way::Cut);
        let local = OnMissing::Local { expected_processes: 2 };
        let one = host.open(&line, make(), |sharing| sharing.on_missing(local)).await.expect("it does without");
        assert_eq!(stands(&one), SharingState::Local);
        assert_eq!(starts(&one, 100).await, 10, "half of two times ten");
        line.mend(Way::Cut);
        let turned = one.sharing_turns(SharingState::Local).await;
        assert_eq!(turned, SharingState::Connected);
        pass(2.0).await;
        assert_eq!(one.snapshot().disabled_keys, 1, "what the store keeps holds here, too");
        let both = starts(&other.pool, 100).await + starts(&one, 100).await;
        assert!(both <= 5, "{both}: five of ten were started before");
        assert_eq!(one.sharing().unwrap().counters.fair_share, 10);
        pass(80.0).await;
        assert_eq!(starts(&one, 100).await, 10, "one key, and its whole limit");
    });
}

#[test]
fn what_was_started_without_the_store_counts_a_minute_from_its_own_start() {
    both(async |noting| {
        let host = Host::new(noting);
        let line = host.line("one", 1);
        line.set(Way::Cut);
        let local = OnMissing::Local { expected_processes: 2 };
        let make = || builder(1).limits(FLASH, Limits::new().per_minute(10));
        let one = host.open(&line, make(), |sharing| sharing.on_missing(local)).await.expect("it does without");
        let mut started = Vec::new();
        let mut some = async |most: usize| {
            if let Ok(lease) = one.acquire(Demand::new(FLASH).wait(Duration::ZERO)).await
                && started.len() < most
            {
                started.push(host.clock.tick());
                lease.settle(&Verdict::SUCCESS);
            }
            started.clone()
        };
        for second in 1..=5 {
            assert_eq!(some(5).await.len(), second);
            pass(1.0).await;
        }
        line.mend(Way::Cut);
        one.sharing_turns(SharingState::Local).await;
        let mut all = Vec::new();
        for _ in 0..800 {
            pass(0.1).await;
            all = some(usize::MAX).await;
        }
        assert!(all.len() >= 15, "{}", all.len());
        for eleven in all.windows(11) {
            assert!(eleven[10].since(eleven[0]) >= Duration::from_secs(60), "{eleven:?}");
        }
    });
}

#[test]
fn who_waits_is_served_when_the_store_is_back() {
    both(async |noting| {
        let host = Host::new(noting);
        let one = host.process("one", 1, builder(1).limits(FLASH, limits())).await;
        one.line.set(Way::Cut);
        pass(15.0).await;
        let pool = one.pool.clone();
        let waits = tokio::spawn(async move { pool.acquire(Demand::new(FLASH).wait(Duration::from_secs(20))).await });
        pass(5.0).await;
        one.line.mend(Way::Cut);
        assert!(waits.await.unwrap().is_ok());
    });
}

#[test]
fn a_wall_clock_that_is_set_voids_all_leases_until_they_are_renewed() {
    both(async |noting| {
        let time = ManualClock::at(noon());
        let goes_on = time.clone();
        tokio::spawn(async move {
            loop {
                pass(0.01).await;
                goes_on.advance(Duration::from_millis(10));
            }
        });
        let host = Host::by(noting, time.clock());
        let one = host.process("one", 1, builder(1).limits(FLASH, limits())).await;
        let lease = one.pool.acquire(FLASH).await.unwrap();
        // Less than a second is what clocks do.
        time.set_wall(one.pool.clock().wall() + Duration::from_millis(900));
        drop(one.pool.try_acquire(FLASH).unwrap());
        time.set_wall(one.pool.clock().wall() + Duration::from_millis(200));
        assert!(one.pool.try_acquire(FLASH).is_err());
        assert!(!lease.started(), "what was granted before may not go either");
        assert_eq!(stands(&one.pool), SharingState::FailClosed);
        pass(0.5).await;
        assert_eq!(stands(&one.pool), SharingState::Connected, "it renews at once");
        drop(one.pool.try_acquire(FLASH).unwrap());
        let counters = one.pool.sharing().unwrap().counters;
        assert_eq!((counters.clocks_parted, counters.store_lost), (1, 0));
    });
}
