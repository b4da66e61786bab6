//! Properties that hold for any responses of the provider and any cancellations.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{Attempts, BoxError, ErrorClass, ErrorKind, KeyPoolLayer, ReplayBody, RetryPolicy, pool::Attempt};

use crate::support::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Good,
    Invalid,
    Suspended,
    Denied,
    RateLimited(u64),
    Overloaded,
    CallersFault,
    ErrorInStream,
    Broken,
    Slow(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Good),
        1 => Just(Act::Invalid),
        1 => Just(Act::Suspended),
        1 => Just(Act::Denied),
        2 => (0..8_u64).prop_map(Act::RateLimited),
        2 => Just(Act::Overloaded),
        1 => Just(Act::CallersFault),
        1 => Just(Act::ErrorInStream),
        1 => Just(Act::Broken),
        1 => (0..4_000_u64).prop_map(Act::Slow),
    ]
}

fn key_fault() -> impl Strategy<Value = Act> {
    prop_oneof![Just(Act::Invalid), Just(Act::Suspended), (0..8_u64).prop_map(Act::RateLimited)]
}

async fn perform(act: Act, key: usize) -> std::result::Result<Answer, BoxError> {
    Ok(match act {
        Act::Good => good(),
        Act::Invalid => invalid(),
        Act::Suspended => suspended(key),
        Act::Denied => denied(),
        Act::RateLimited(seconds) => rate_limited(seconds),
        Act::Overloaded => overloaded(),
        Act::CallersFault => callers_fault(),
        Act::ErrorInStream => answer(200, format!(r#"{{"error":{{"code":503,"message":"{}"}}}}"#, secret(key))),
        Act::Broken => return Err("broken".into()),
        Act::Slow(millis) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            good()
        }
    })
}

/// A request: the pause before it, and how long its caller waits, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    pause: u64,
    patience: u64,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    (0..1_500_u64, 0..30_000_u64).prop_map(|(pause, patience)| Arrival { pause, patience })
}

fn check(attempts: &Attempts, error: Option<&tower_keypool::Error>) {
    assert!(attempts.len() <= 18, "{attempts:?}");
    let faults = |class: ErrorClass| class.is_key_fault() && class != ErrorClass::RateLimit;
    let mut refused = attempts.iter().filter(|attempt| attempt.class().is_some_and(faults));
    let mut seen = HashSet::new();
    assert!(refused.all(|attempt| seen.insert(attempt.key().clone())), "a refused key is not tried again");
    let Some(class) = attempts.last().and_then(Attempt::class).filter(|class| class.is_key_fault()) else { return };
    if let Some(error) = error {
        return assert_eq!(error.kind(), ErrorKind::Unavailable, "{attempts:?}");
    }
    let alike = attempts.iter().filter(|attempt| attempt.class() == Some(class));
    assert!(class == ErrorClass::Unclear, "{attempts:?}");
    assert!(alike.map(Attempt::project).collect::<HashSet<_>>().len() >= 3, "{attempts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 5, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn leases_end_and_callers_see_no_secret_and_no_key_fault(
        keys in 1..7_usize,
        wait in 0..6_u64,
        acts in prop::collection::vec(act(), 1..40),
        arrivals in prop::collection::vec(arrival(), 1..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let pool = builder(keys).wait(Duration::from_secs(wait)).build().unwrap();
            let script = Arc::new(Mutex::new(acts.into_iter().cycle()));
            let client = service_fn(move |request: http::Request<ReplayBody<Body>>| {
                let act = script.lock().unwrap().next().unwrap();
                perform(act, key_of(&request))
            });
            let client = KeyPoolLayer::new(&pool).retry(RetryPolicy::new(&pool).seed(7)).layer(client);
            let mut sent = Vec::new();
            for Arrival { pause, patience } in arrivals {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let client = client.clone();
                sent.push(tokio::spawn(tokio::time::timeout(Duration::from_millis(patience), async move {
                    match client.oneshot(ask()).await {
                        Ok(response) => {
                            check(attempts(&response), None);
                            let shown = format!("{:?}", response.headers());
                            shown + &text(response).await
                        }
                        Err(error) => {
                            check(error.attempts(), Some(&error));
                            format!("{error} {error:?}")
                        }
                    }
                })));
            }
            for sent in sent {
                if let Ok(shown) = sent.await.unwrap() {
                    assert!(!shown.contains("AIza"), "{shown}");
                }
            }
            let stats = pool.stats();
            assert_eq!((stats.in_flight, stats.waiting), (0, 0));
        });
    }

    /// Three or more projects with the same unclear refusal would show a fault of the request, so there are at most two.
    #[test]
    fn one_good_key_of_eight_is_enough(
        faults in prop::collection::vec(key_fault(), 0..6),
        unclear in 0..3_usize,
        good_at in 0..8_usize,
        seed: u64,
        pauses in prop::collection::vec(0..400_000_u64, 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut acts = faults;
            acts.extend(std::iter::repeat_n(Act::Denied, unclear));
            acts.insert(good_at.min(acts.len()), Act::Good);
            let pool = builder(acts.len()).wait(Duration::ZERO).build().unwrap();
            let client = service_fn(move |request: http::Request<ReplayBody<Body>>| {
                let key = key_of(&request);
                perform(acts[key], key)
            });
            let client = KeyPoolLayer::new(&pool).retry(RetryPolicy::new(&pool).seed(seed)).layer(client);
            for pause in pauses {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let response = client.clone().oneshot(ask()).await.expect("the good key is free");
                assert_eq!(response.status(), 200, "{:?}", attempts(&response));
            }
        });
    }
}
