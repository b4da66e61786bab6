//! Random schedules of everything that goes wrong: nothing is ever over a limit.
//! `SHARE_CASES=20000 cargo test --release --lib share::tests::schedules` runs more of them.

use std::time::Duration;

use proptest::{prelude::*, test_runner::RngSeed};

use super::world::{Fault, SECOND, Setup, World};
use crate::{limit::Limits, share::Settings};

fn cases() -> ProptestConfig {
    let asked = std::env::var("SHARE_CASES").ok().and_then(|cases| cases.parse().ok());
    // The same in every run of the tests; whoever asks for more searches for new ones.
    let rng_seed = if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(2_026) };
    ProptestConfig { cases: asked.unwrap_or(60), rng_seed, max_shrink_iters: 400, ..ProptestConfig::default() }
}

fn faults(processes: usize, clock: bool) -> BoxedStrategy<Fault> {
    let who = 0..processes;
    let millis = |range: std::ops::Range<i64>| range.prop_map(|ms| ms * 1_000);
    // Less than twice the time of the way is not noticed.
    let ahead = (4_000..100_000_i64).prop_map(Fault::BoardClock);
    let common = prop_oneof![
        3 => (who.clone(), millis(1..40_000)).prop_map(|(who, long)| Fault::Freeze(who, long)),
        1 => (who.clone(), millis(1..40_000)).prop_map(|(who, long)| Fault::Sleep(who, long)),
        2 => who.clone().prop_map(Fault::Kill),
        3 => (who.clone(), millis(1..40_000)).prop_map(|(who, long)| Fault::Cut(who, long)),
        2 => millis(1..40_000).prop_map(Fault::Away),
        1 => (who.clone(), -5_000..5_000_i64).prop_map(|(who, ms)| Fault::WallClock(who, ms)),
        2 => (who.clone(), 1..60_u64).prop_map(|(who, callers)| Fault::Burst(who, callers)),
        2 => (who.clone(), 0..20_u32).prop_map(|(who, rate)| Fault::Demand(who, 0, f64::from(rate) / 4.0)),
    ];
    let losses = prop_oneof![
        2 => who.prop_map(Fault::Restart),
        1 => Just(Fault::Flush),
        2 => millis(0..60_000).prop_map(Fault::Stale),
        1 => (-100_000..0_i64).prop_map(Fault::BoardClock),
    ];
    if clock { prop_oneof![3 => common, 1 => ahead].boxed() } else { prop_oneof![3 => common, 1 => losses].boxed() }
}

fn limits() -> impl Strategy<Value = (Limits, u64)> {
    prop_oneof![
        3 => (1..40_u64).prop_map(|requests| (Limits::new().per_minute(requests), 0)),
        1 => (1..40_u64, 20..200_u64).prop_map(|(minute, day)| (Limits::new().per_minute(minute).per_day(day), 0)),
        1 => (5..40_u64, 100..2_000_u64)
            .prop_map(|(minute, tokens)| (Limits::new().per_minute(minute).tokens_per_minute(tokens), 90)),
    ]
}

#[derive(Clone, Debug)]
struct Schedule {
    setup: Setup,
    faults: Vec<(i64, Fault)>,
}

fn schedules(clock: bool) -> impl Strategy<Value = Schedule> {
    let shape = (1..6_usize, 1..5_usize, limits(), prop_oneof![Just(0), Just(20), 0..400_u64], any::<u64>());
    let midnight = prop_oneof![3 => Just(-43_200_i64), 1 => -120..-1_i64];
    (shape, prop_oneof![Just(2_000), 200..900_000_i64], midnight, 1..6_u64).prop_flat_map(
        move |((owners, processes, (limits, tokens), loss, seed), latency, midnight, fewer)| {
            let at = (5_000..150_000_i64).prop_map(|ms| ms * 1_000);
            let minute = limits.iter().find(|limit| limit.span == crate::limit::Span::MINUTE).map_or(10, |l| l.amount);
            let demand = (owners as u64 * minute) as f64 / 60.0 / processes as f64 * 3.0 / fewer as f64;
            let setup = Setup {
                seed,
                owners,
                limits,
                demand: vec![vec![demand]; processes],
                tokens,
                loss,
                latency,
                epoch_ms: 20_000 * 86_400_000 + midnight * 1000,
                // As a pool shares, too.
                settings: Settings {
                    draws: seed % 2 == 0 && seed % 5 != 1,
                    // As on SQLite.
                    noting: seed % 5 == 1,
                    // Where there are hints, the next renewal may be this late.
                    renew_hinted: Duration::from_millis(if seed % 3 == 0 { 4_000 } else { 2_500 }),
                    ..Settings::default()
                },
                hints: if seed % 3 == 0 { seed / 3 % 600 } else { 0 },
                ..Setup::default()
            };
            prop::collection::vec((at, faults(processes, clock)), 0..12)
                .prop_map(move |faults| Schedule { setup: setup.clone(), faults })
        },
    )
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_over_a_limit_whatever_goes_wrong(schedule in schedules(false)) {
        judge(schedule)?;
    }

    /// The store's clock runs ahead: those who hold something hold it back. (Whoever comes first after a loss, or in a
    /// new life, cannot tell.)
    #[test]
    fn nothing_is_over_a_limit_when_the_stores_clock_is_set(schedule in schedules(true)) {
        judge(schedule)?;
    }
}

proptest! {
    #![proptest_config(cases())]

    /// A server is killed and started again: what nobody tells of may be less than all, so that this is where something would
    /// be over.
    #[test]
    fn nothing_is_over_a_limit_when_the_store_is_started_again(
        schedule in schedules(false),
        restarts in prop::collection::vec((5_000..150_000_i64, 1..40_000_i64), 1..4),
    ) {
        let restarts = restarts.into_iter().map(|(at, long)| (at * 1_000, Fault::Restarted(long * 1_000)));
        let mut schedule = schedule;
        schedule.faults.extend(restarts);
        judge(schedule)?;
    }
}

/// The board in SQLite says what the pure function says, whatever happens to those who ask.
#[cfg(feature = "sqlite")]
mod sqlite {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{share::Board, store::Sqlite, time::ManualClock};

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases().cases / 10 + 1, ..cases() })]

        #[test]
        fn the_board_in_sqlite_says_what_the_pure_function_says(schedule in schedules(true)) {
            let folder = tempfile::tempdir().expect("a folder");
            let clock = ManualClock::at(SystemTime::UNIX_EPOCH);
            let open = || {
                let database = Sqlite::open(folder.path().join("keypool.db")).expect("a database");
                database.share_by(clock.clock()).expect("shared")
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let (boards, mut calls) = ([open(), open()], 0);
            let time = clock.clone();
            let mut setup = schedule.setup;
            // What is noted goes by another way.
            setup.settings.noting = false;
            let mut world = World::new(setup);
            world.identified = false;
            world.mirror = Some(Box::new(move |renewal, now| {
                time.set_wall(SystemTime::UNIX_EPOCH + Duration::from_millis(now.max(0).unsigned_abs()));
                // Two connections, each with its own view of what it read before.
                calls += 1;
                runtime.block_on(boards[calls % 3 % 2].renew(renewal)).expect("an answer")
            }));
            for (at, fault) in schedule.faults {
                world.fault_at(at, fault);
            }
            world.run(60 * SECOND);
        }
    }
}

fn judge(schedule: Schedule) -> Result<(), TestCaseError> {
    {
        let mut world = World::new(schedule.setup);
        for (at, fault) in schedule.faults {
            world.fault_at(at, fault);
        }
        world.run(200 * SECOND);
        let over = world.over();
        prop_assert!(over.is_empty(), "{over:#?}");
    }
    Ok(())
}

/// The board in Redis says what the pure function says, whatever happens to those who ask.
#[cfg(feature = "redis")]
mod redis {
    use redis_fixture::RedisServer;

    use super::*;
    use crate::{
        redis::{Link, Options},
        share::{RedisBoard, Renewal},
    };

    #[test]
    fn the_board_in_redis_says_what_the_pure_function_says() {
        let Some(server) = RedisServer::start() else { return };
        let config = ProptestConfig { cases: cases().cases / 10 + 1, ..cases() };
        proptest!(config, |(mut schedule in schedules(true))| {
            server.command(&["FLUSHALL"]);
            schedule.setup.fresh = false;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let settings = Settings { timeout: std::time::Duration::from_secs(10), ..Settings::default() };
            let link = runtime.block_on(Link::open(Options::new(&server.url()).expect("an address"))).expect("a server");
            let board = RedisBoard::new(&link, &settings);
            let mut setup = schedule.setup;
            // What is noted goes by another way.
            setup.settings.noting = false;
            let mut world = World::new(setup);
            world.identified = false;
            world.mirror = Some(Box::new(move |renewal: &Renewal, now: i64| {
                runtime.block_on(board.call(renewal, &now.to_string(), "")).expect("an answer")
            }));
            for (at, fault) in schedule.faults {
                world.fault_at(at, fault);
            }
            world.run(120 * SECOND);
            let over = world.over();
            prop_assert!(over.is_empty(), "{over:#?}");
        });
    }
}

/// Found by a long search, over by one then.
#[test]
fn a_leap_of_the_stores_clock_while_a_process_sleeps() {
    let setup = Setup {
        seed: 7_521_447_296_954_707_063,
        owners: 5,
        limits: Limits::new().per_minute(30),
        demand: vec![vec![1.25]; 3],
        epoch_ms: 1_727_999_996_000,
        loss: 20,
        latency: 2_000,
        drift: 100,
        skew_ms: 500,
        ..Setup::default()
    };
    let faults = vec![
        (34_278_000, Fault::BoardClock(4_000)),
        (21_403_000, Fault::Demand(0, 0, 3.75)),
        (6_851_000, Fault::Sleep(2, 25_840_000)),
    ];
    judge(Schedule { setup, faults }).expect("nothing over a limit");
}
