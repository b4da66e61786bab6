//! Whose quota a key counts in: what a process is told by its configuration, and what by an answer, holds in all of them.

use std::time::Duration;

use tower_keypool::{Demand, Gemini, Key, KeyPool, KeyPoolBuilder, Limits, QuotaNews, Until, Verdict, VerdictKind};

use crate::host::{FLASH, Host, Process, pass, paused};

/// Keys, each with its owner.
pub(crate) fn of<const N: usize>(owners: [Option<&str>; N], a_minute: u64) -> KeyPoolBuilder {
    let key = |(n, owner): (usize, Option<&str>)| {
        let key = Key::new(format!("AIza-not-a-real-key-{n:05}")).id(format!("k{n}"));
        if let Some(owner) = owner { key.owner(owner) } else { key }
    };
    let limits = Limits::new().per_minute(a_minute).per_day(a_minute * 2);
    KeyPool::builder(Gemini::new()).keys(owners.into_iter().enumerate().map(key)).limits(FLASH, limits)
}

/// How many of so many requests a process serves now.
async fn served(process: &Process, requests: usize) -> usize {
    let mut served = 0;
    for _ in 0..requests {
        let Ok(lease) = process.pool.acquire(Demand::new(FLASH).wait(Duration::from_secs(1))).await else { continue };
        lease.settle(&Verdict::SUCCESS);
        served += 1;
    }
    served
}

#[test]
fn an_owner_that_is_called_otherwise_has_used_what_it_used() {
    for noting in [true, false] {
        for (before, after) in [(None, Some("me")), (Some("a"), Some("me")), (Some("a"), None)] {
            paused().block_on(async {
                let host = Host::new(noting);
                let one = host.process("one", 1, of([before], 5)).await;
                assert_eq!(served(&one, 8).await, 5);
                one.pool.reconfigure(of([after], 5)).unwrap();
                assert_eq!(served(&one, 3).await, 0, "by the same process");
                let two = host.process("two", 1, of([after], 5)).await;
                assert_eq!(served(&two, 3).await, 0, "by another");
                one.crash();
                pass(20.0).await;
                let again = host.process("one", 2, of([after], 5)).await;
                assert_eq!(served(&again, 3).await, 0, "by its next life");
                assert_eq!(served(&two, 3).await, 0);
                pass(61.0).await;
                let both = served(&again, 5).await + served(&two, 5).await;
                assert!((1..=5).contains(&both), "{both}: of the day ten, less what is not known of the dead");
            });
        }
    }
}

#[test]
fn processes_that_differ_over_an_owner_use_one_quota_and_say_so() {
    for noting in [true, false] {
        paused().block_on(async {
            let host = Host::new(noting);
            let one = host.process("one", 1, of([Some("project-a")], 5)).await;
            let two = host.process("two", 1, of([None], 5)).await;
            let three = host.process("three", 1, of([Some("project-b")], 5)).await;
            let mut all = 0;
            for process in [&one, &two, &three, &one, &two, &three] {
                all += served(process, 6).await;
                pass(3.0).await;
            }
            assert!((4..=5).contains(&all), "{all} of 5 a minute");
            let conflicts = |process: &Process| process.pool.sharing().unwrap().counters.conflicts;
            assert_eq!((conflicts(&one), conflicts(&two), conflicts(&three)), (0, 1, 1));
        });
    }
}

#[test]
fn stricter_limits_of_another_are_told_once() {
    for noting in [true, false] {
        paused().block_on(async {
            let host = Host::new(noting);
            let one = host.process("one", 1, of([None, None], 10)).await;
            let two = host.process("two", 1, of([Some("shared"), Some("shared")], 4)).await;
            for _ in 0..120 {
                served(&one, 2).await;
                served(&two, 2).await;
                pass(2.0).await;
            }
            let conflicts = |process: &Process| process.pool.sharing().unwrap().counters.conflicts;
            let told = (conflicts(&one), conflicts(&two));
            assert!(told.0 == 1 && told.1 <= 2, "{told:?}");
        });
    }
}

#[test]
fn keys_of_one_quota_are_so_in_all_once_one_was_told() {
    for noting in [true, false] {
        paused().block_on(async {
            let host = Host::new(noting);
            let make = || of([None, None], 6);
            let (one, two) = (host.process("one", 1, make()).await, host.process("two", 1, make()).await);
            for _ in 0..2 {
                let news = QuotaNews { consumer: Some("projects/1".into()), ..QuotaNews::default() };
                let limited =
                    Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(5))).news(news);
                one.pool.acquire(Demand::new(FLASH)).await.unwrap().settle(&limited);
            }
            pass(75.0).await;
            let all = served(&two, 12).await + served(&one, 12).await + served(&two, 3).await;
            assert!((5..=6).contains(&all), "{all} of 6 a minute");
            // Whoever begins later is told by the store or the board.
            let three = host.process("three", 1, make()).await;
            pass(61.0).await;
            let day = served(&three, 12).await + served(&one, 12).await;
            assert!(day <= 4, "{day} of what is left of 12 a day");
        });
    }
}

#[test]
fn what_two_owners_used_is_used_by_the_one_that_they_become() {
    for noting in [true, false] {
        paused().block_on(async {
            let host = Host::new(noting);
            let (one, two) = (
                host.process("one", 1, of([Some("a"), Some("b")], 6)).await,
                host.process("two", 1, of([Some("a"), Some("b")], 6)).await,
            );
            // Each of the two holds one of them.
            let mut used = 0;
            for _ in 0..2 {
                used += served(&one, 1).await;
                used += served(&two, 1).await;
            }
            assert_eq!(used, 4);
            one.pool.reconfigure(of([Some("c"), Some("c")], 6)).unwrap();
            pass(6.0).await;
            let mut more = 0;
            for process in [&one, &two, &one, &two] {
                more += served(process, 4).await;
                pass(3.0).await;
            }
            assert!((1..=2).contains(&more), "{more} more than 4 of 6");
        });
    }
}

#[test]
fn owners_that_are_parted_while_they_are_used_are_two_in_all() {
    paused().block_on(async {
        let host = Host::new(true);
        let joined = || of([Some("a"), Some("a")], 6);
        let (one, two) = (host.process("one", 1, joined()).await, host.process("two", 1, joined()).await);
        assert_eq!(served(&one, 8).await, 6);
        one.pool.reconfigure(of([Some("a"), Some("b")], 6)).unwrap();
        pass(6.0).await;
        let more = served(&two, 8).await + served(&one, 8).await;
        assert_eq!(more, 6, "of the other");
        two.pool.reconfigure(of([Some("a"), Some("b")], 6)).unwrap();
        pass(75.0).await;
        let more = served(&two, 12).await + served(&one, 12).await;
        assert_eq!(more, 12 - 6 + 6, "of both");
    });
}

mod schedules {
    //! Names that change at random, and processes that come, go and differ: no key is used beyond its own quota.
    //! `SHARING_CASES=2000 cargo test --release --all-features --test sharing identity` searches for more.

    use proptest::{prelude::*, test_runner::RngSeed};
    use tower_keypool::Tick;

    use super::{Demand, Duration, FLASH, Host, Process, QuotaNews, Until, Verdict, VerdictKind, of, pass, paused};

    #[derive(Clone, Debug)]
    enum Step {
        Ask(usize, usize),
        Pass(u64),
        /// It is configured otherwise while it runs.
        Call(usize, usize),
        /// It crashes or ends, and begins anew with this configuration.
        Again(usize, usize, bool),
        /// An answer says whose quota it is.
        Learn(usize),
    }

    /// What the two keys' owners are called; the last two say that they are one.
    const CALLED: [[Option<&str>; 2]; 6] = [
        [None, None],
        [Some("a"), Some("b")],
        [Some("c"), None],
        [None, Some("d")],
        [Some("all"), Some("all")],
        [Some("one"), Some("one")],
    ];

    fn step() -> impl Strategy<Value = Step> {
        let (who, called) = (0..3_usize, 0..CALLED.len());
        prop_oneof![
            8 => (who.clone(), 1..12_usize).prop_map(|(who, n)| Step::Ask(who, n)),
            5 => (1..9_000_u64).prop_map(Step::Pass),
            1 => (20_000..61_000_u64).prop_map(Step::Pass),
            3 => (who.clone(), called.clone()).prop_map(|(who, called)| Step::Call(who, called)),
            2 => (who.clone(), called, any::<bool>()).prop_map(|(who, called, crash)| Step::Again(who, called, crash)),
            1 => who.prop_map(Step::Learn),
        ]
    }

    const A_MINUTE: usize = 6;

    async fn ask(process: &Process, arrivals: &mut Vec<(Tick, String)>, verdict: &Verdict) {
        let demand = Demand::new(FLASH).wait(Duration::from_millis(300));
        if let Ok(lease) = process.pool.acquire(demand).await
            && lease.started()
        {
            arrivals.push((process.pool.clock().tick(), lease.key_id().to_string()));
            lease.settle(verdict);
        }
    }

    async fn run(noting: bool, steps: Vec<Step>) -> Vec<(Tick, String)> {
        let host = Host::new(noting);
        let mut called = [0; 3];
        let mut processes = Vec::new();
        for name in ["p", "q", "r"] {
            processes.push(host.process(name, 1, of(CALLED[0], A_MINUTE as u64)).await);
        }
        let mut arrivals = Vec::new();
        for (life, step) in (2..).zip(steps) {
            match step {
                Step::Ask(who, count) => {
                    for _ in 0..count {
                        ask(&processes[who], &mut arrivals, &Verdict::SUCCESS).await;
                    }
                }
                Step::Pass(ms) => pass(ms as f64 / 1_000.0).await,
                // Owners that are parted begin anew: somebody says that they were never one.
                Step::Call(who, name) if called[who] < 4 || name >= 4 => {
                    called[who] = name;
                    processes[who].pool.reconfigure(of(CALLED[name], A_MINUTE as u64)).unwrap();
                }
                Step::Call(..) => {}
                Step::Again(who, name, crash) => {
                    called[who] = name;
                    let after = host.process(["p", "q", "r"][who], life, of(CALLED[name], A_MINUTE as u64));
                    if crash {
                        processes[who].line.set(crate::host::Way::Cut);
                    } else {
                        processes[who].pool.shutdown().await;
                    }
                    processes[who] = after.await;
                }
                Step::Learn(who) => {
                    let news = QuotaNews { consumer: Some("projects/1".into()), ..QuotaNews::default() };
                    let until = Until::For(Duration::from_millis(200));
                    ask(
                        &processes[who],
                        &mut arrivals,
                        &Verdict::new(VerdictKind::RateLimited).until(until).news(news),
                    )
                    .await;
                }
            }
        }
        arrivals
    }

    fn cases() -> ProptestConfig {
        let asked = std::env::var("SHARING_CASES").ok().and_then(|cases| cases.parse().ok());
        let rng_seed = if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(3) };
        ProptestConfig { cases: asked.unwrap_or(60), rng_seed, max_shrink_iters: 300, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(cases())]
        #[test]
        fn no_key_is_used_beyond_its_quota(noting: bool, steps in prop::collection::vec(step(), 1..60)) {
            let arrivals = paused().block_on(run(noting, steps));
            for key in ["k0", "k1"] {
                let starts: Vec<Tick> = arrivals.iter().filter(|arrival| arrival.1 == key).map(|arrival| arrival.0).collect();
                for pair in starts.windows(A_MINUTE + 1) {
                    let within = pair[A_MINUTE].since(pair[0]);
                    prop_assert!(within >= Duration::from_secs(60), "{key}: {} within {within:?}", A_MINUTE + 1);
                }
            }
        }
    }
}
