//! Verdicts in a pool: what a person would see of them.

use std::time::Duration;

use tower_keypool::{Anthropic, Demand, Gemini, Key, KeyPool, ManualClock, Provider, RestTable, Verdict};

use crate::sample::{Sample, now};

/// The model whose quota the samples name.
const MODEL: &str = "gemini-2.5-flash-lite";

fn sample(name: &str) -> Verdict {
    Sample::all().into_iter().find(|sample| sample.name == name).unwrap().judged()
}

fn pool(provider: impl Provider, keys: usize, time: &ManualClock) -> KeyPool {
    let keys = (0..keys).map(|n| Key::new(format!("not-a-real-key-{n:012}")).id(format!("key-{n}").as_str()));
    KeyPool::builder(provider).keys(keys).clock(time.clock()).build().unwrap()
}

/// Sends one request whose answer is this; `false` where no key is ready.
fn answered(pool: &KeyPool, verdict: &Verdict) -> bool {
    let Ok(lease) = pool.try_acquire(Demand::new(MODEL)) else { return false };
    lease.started();
    lease.judge(verdict);
    true
}

#[test]
fn a_suspect_key_is_out_at_the_third_strike() {
    let time = ManualClock::at(now());
    let pool = pool(Gemini::new(), 1, &time);
    let suspect = sample("gemini_401_unauthenticated_bad_credentials");
    for strike in 1..=3 {
        assert!(answered(&pool, &suspect), "strike {strike}");
        assert!(!answered(&pool, &suspect), "it rests after strike {strike}");
        time.advance(Duration::from_secs(3_599));
    }
    assert_eq!(pool.snapshot().disabled_keys, 1);
    assert!(!answered(&pool, &suspect), "disabled");
    // Nobody named the cause: one request at a time tries it, ever later.
    for hours in [1, 2, 4, 8, 16, 24, 24] {
        assert!(!answered(&pool, &suspect), "before {hours} h");
        time.advance(Duration::from_secs(hours * 3_600));
        assert!(answered(&pool, &suspect), "after {hours} h");
    }
    assert_eq!(pool.snapshot().disabled_keys, 1);
}

#[test]
fn an_invalid_key_is_out_at_the_second_time() {
    let time = ManualClock::at(now());
    let pool = pool(Gemini::new(), 1, &time);
    let invalid = sample("gemini_400_api_key_invalid");
    assert!(answered(&pool, &invalid));
    time.advance(Duration::from_secs(59));
    assert!(!answered(&pool, &invalid));
    time.advance(Duration::from_secs(2));
    assert!(answered(&pool, &invalid));
    time.advance(Duration::from_secs(24 * 3_600));
    assert!(!answered(&pool, &invalid));
}

/// The second of two incidents lasts twice as long, and the table says how long the first is.
#[test]
fn a_blocked_address_rests_ever_longer() {
    let mut table = RestTable::default();
    for (first, lasts) in [(600, [600, 1_200, 2_400, 3_600, 3_600]), (40, [40, 80, 160, 320, 640])] {
        table.blocked.first = Duration::from_secs(first);
        for name in ["gemini_400_location_not_supported", "gemini_403_ip_banned_html", "openai_403_region"] {
            let time = ManualClock::at(now());
            let key = Key::new("not-a-real-key-000000000000");
            let pool = KeyPool::builder(Gemini::new()).key(key).rests(table.clone()).clock(time.clock());
            let pool = pool.build().unwrap();
            for rest in lasts {
                assert!(answered(&pool, &sample(name)), "{name}");
                time.advance(Duration::from_secs(rest - 1));
                assert!(!answered(&pool, &Verdict::SUCCESS), "{name} rests {rest} s");
                time.advance(Duration::from_secs(1));
            }
            assert!(answered(&pool, &Verdict::SUCCESS));
            assert!(answered(&pool, &sample(name)));
            assert_eq!(pool.snapshot().exit_rest.unwrap().ends_in, Some(Duration::from_secs(first)), "it begins anew");
        }
    }
}

#[test]
fn a_days_quota_ends_at_midnight_in_los_angeles() {
    let time = ManualClock::at(now()); // 21:46 the evening before, there
    let pool = pool(Gemini::new(), 1, &time);
    assert!(answered(&pool, &sample("gemini_429_rpd_free")));
    time.advance(Duration::from_secs(2 * 3_600));
    assert!(!answered(&pool, &Verdict::SUCCESS));
    time.advance(Duration::from_secs(20 * 60));
    assert!(answered(&pool, &Verdict::SUCCESS));
}

#[test]
fn what_is_nobodys_fault_rests_nobody() {
    let harmless = [
        "gemini_400_invalid_argument_generic",
        "gemini_400_multiple_credentials",
        "gemini_403_file_other_project",
        "gemini_403_caller_no_permission",
        "gemini_404_model_not_found",
        "gemini_500_internal",
        "openai_429_request_too_large_tpm",
        "openrouter_402_more_credits_needed",
    ];
    let time = ManualClock::at(now());
    let pool = pool(Gemini::new(), 1, &time);
    for name in harmless {
        for _ in 0..4 {
            assert!(answered(&pool, &sample(name)), "{name}");
        }
    }
}

#[test]
fn a_refused_model_rests_one_key_for_that_model() {
    let time = ManualClock::at(now());
    let pool = pool(Anthropic::new(), 1, &time);
    assert!(answered(&pool, &sample("anthropic_403_permission_error")));
    assert!(pool.try_acquire(Demand::new(MODEL)).is_err());
    assert!(pool.try_acquire(Demand::new("another")).is_ok());
}
