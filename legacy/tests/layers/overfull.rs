//! A prompt that is larger than a limit of tokens a minute is refused by whichever key carries it: some owners are asked,
//! and no key rests for it.

use std::time::{Duration, SystemTime};

use http::Response;
use tower_keypool::{
    Clock, Error, Gemini, Key, KeyPool, KeyPoolLayer, Limits, Models, Priority, Retry, Tier, store::MemoryStore,
};

use crate::blame::{Body, json, pool, send, send_by};

const FLASH: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const OK: &str = r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}]}"#;
/// Names `GenerateContentInputTokensPerModelPerMinute-FreeTier`, 250,000 tokens.
const FULL: &str = include_str!("../samples/gemini_429_tpm_free.json");

/// A sample's own answer.
fn full() -> Response<Body> {
    let sample: serde_json::Value = serde_json::from_str(FULL).unwrap();
    json(429, sample["body"].to_string())
}

/// A request of about so many tokens.
fn prompt(tokens: usize) -> String {
    serde_json::json!({"contents": [{"parts": [{"text": "word".repeat(tokens)}]}]}).to_string()
}

fn ready(pool: &KeyPool) -> usize {
    pool.snapshot()
        .keys
        .iter()
        .filter(|key| key.rests.is_empty() && key.lanes.iter().all(|lane| lane.out.is_none()))
        .count()
}

/// A small request is served by the first key that is asked.
async fn serves(pool: &KeyPool) {
    let (answer, attempts) = send(pool, FLASH, &prompt(10), |_| json(200, OK.to_owned())).await;
    assert_eq!((answer.unwrap().0, attempts), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn a_prompt_larger_than_the_limit_that_is_named_rests_no_key() {
    for keys in [2, 3, 10] {
        let pool = pool(Gemini::new(), keys);
        for round in 0..12 {
            // Whoever wants to hear of keys in the place of the last answer hears what the provider says of the request.
            let retry = Retry::new().exhausted_instead(round % 2 == 1);
            let layer = KeyPoolLayer::new(&pool).retry(retry);
            let (answer, attempts) = send_by(layer, FLASH, &prompt(300_000), |_| full()).await;
            let (status, said, _) = answer.unwrap();
            assert_eq!((status, ready(&pool)), (429, keys), "{keys} keys, round {round}");
            // Whose tier nobody told may have larger limits: eight of those are asked.
            assert!((1..=8).contains(&attempts), "{keys} keys, round {round}: {attempts} were asked");
            assert!(said.contains("250000"), "it is told of the limit: {said}");
            serves(&pool).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_key_alone_refused_is_found_out_soon() {
    for keys in [1, 2] {
        let pool = pool(Gemini::new(), keys);
        // All at once, so that no key is left that could say the same of one of them.
        let large = prompt(300_000);
        let each = (0..6).map(|_| send(&pool, FLASH, &large, |_| full()));
        for (answer, _) in futures_util::future::join_all(each).await {
            assert!(answer.map_or_else(|error| error.is_exhausted(), |(status, ..)| status == 429));
        }
        // The next second shows that it was they.
        tokio::time::advance(Duration::from_millis(1_001)).await;
        serves(&pool).await;
        assert!(ready(&pool) > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_that_others_filled_is_one_that_rests() {
    let pool = pool(Gemini::new(), 6);
    let (answer, attempts) = send(&pool, FLASH, &prompt(1_000), |_| full()).await;
    assert!(answer.map_or(true, |answer| answer.0 == 429));
    assert_eq!((attempts, ready(&pool)), (6, 0), "each was full, and rests");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_free_keys_goes_to_a_paid_one() {
    let clock = Clock::tokio_from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let key = |n: usize| Key::new(format!("AIzaSy-not-a-real-key-{n:04}")).id(format!("k{n}").as_str());
    let free = (0..5).map(|n| key(n).tier(Tier::Free).priority(Priority(0)));
    let paid = key(5).tier(Tier::Paid).priority(Priority(1));
    let pool = KeyPool::builder(Gemini::new()).keys(free.chain([paid])).clock(clock).build().unwrap();
    let answer = |attempt| if attempt <= 3 { full() } else { json(200, OK.to_owned()) };
    let (served, attempts) = send(&pool, FLASH, &prompt(300_000), answer).await;
    assert_eq!((served.unwrap().0, attempts), (200, 4));
    let paid = pool.snapshot().keys.into_iter().find(|key| key.id.to_string() == "k5").unwrap();
    assert_eq!(paid.succeeded, 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_serves_it_after_all_shows_that_the_others_were_full() {
    let pool = pool(Gemini::new(), 3);
    let answer = |attempt| if attempt <= 2 { full() } else { json(200, OK.to_owned()) };
    let (served, attempts) = send(&pool, FLASH, &prompt(300_000), answer).await;
    assert_eq!((served.unwrap().0, attempts, ready(&pool)), (200, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_whole_leaves_its_room_to_others() {
    let keys = (0..6).map(|n| Key::new(format!("AIzaSy-not-a-real-key-{n:04}")).id(format!("k{n}").as_str()));
    let clock = Clock::tokio_from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let pool = KeyPool::builder(Gemini::new()).keys(keys).clock(clock).open(MemoryStore::new()).await.unwrap();
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(83)).await;
        drop(send(&pool, FLASH, &prompt(300_000), |_| full()).await);
        let snapshot = pool.snapshot();
        let lanes = snapshot.keys.iter().flat_map(|key| &key.lanes).filter(|lane| lane.model.is_some());
        let used: Vec<u64> = lanes.flat_map(|lane| &lane.limits).map(|limit| limit.used).collect();
        assert_eq!(used, [0; 6], "round {round}");
        for _ in 0..60 {
            serves(&pool).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let by: Vec<u32> = pool.snapshot().keys.iter().map(|key| key.succeeded).collect();
        assert!(by.iter().all(|served| *served > 5 * (round + 1)), "each serves: {by:?}");
        tokio::time::advance(Duration::from_secs(61)).await;
    }
}

/// Once the limits are known each owner's window has to be empty for so much: of four owners three are asked, or as many as
/// have carried nothing for a minute.
#[tokio::test(start_paused = true)]
async fn as_many_are_asked_as_have_an_empty_window() {
    let clock = || Clock::tokio_from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    for busy in 0..=4 {
        let key =
            |n: usize| Key::new(format!("AIzaSy-not-a-real-key-{n:04}")).id(format!("k{n}").as_str()).tier(Tier::Free);
        let pool = KeyPool::builder(Gemini::new()).keys((0..4).map(key)).clock(clock()).build().unwrap();
        // All learn what they may.
        for _ in 0..3 {
            drop(send(&pool, FLASH, &prompt(300_000), |_| full()).await);
            tokio::time::advance(Duration::from_secs(61)).await;
        }
        for _ in 0..busy {
            serves(&pool).await;
        }
        let (answer, attempts) = send(&pool, FLASH, &prompt(300_000), |_| full()).await;
        assert_eq!(attempts, (4 - busy).min(3), "{busy} carried a small one");
        let is_told = |error: &Error| error.is_exhausted() && error.to_string().contains("guessed at 3000");
        assert!(answer.map_or_else(|error| busy == 4 && is_told(&error), |answer| answer.0 == 429), "{busy}");
    }
}

/// Whose limit is given needs no answer to be known: its window was empty, and nobody rests for what is too large for it. The
/// keys of one owner say one thing.
#[tokio::test(start_paused = true)]
async fn an_owner_is_asked_once_for_what_is_larger_than_a_given_limit() {
    let clock = || Clock::tokio_from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let limits = Limits::new().per_minute(60).tokens_per_minute(250_000);
    let key = |n: usize, owner: usize| {
        Key::new(format!("AIzaSy-not-a-real-key-{n:04}")).id(format!("k{n}").as_str()).owner(format!("o{owner}"))
    };
    for (keys, most) in [
        (vec![key(0, 0)], 1),
        (vec![key(0, 0), key(1, 0), key(2, 0)], 1),
        (vec![key(0, 0), key(1, 1).disabled("x")], 1),
    ] {
        for wait in [0, 1, 5, 50] {
            let pool = KeyPool::builder(Gemini::new()).keys(keys.clone()).limits("gemini-2.5-flash", limits.clone());
            let pool = pool.clock(clock()).wait(Duration::from_secs(wait)).build().unwrap();
            let (answer, attempts) = send(&pool, FLASH, &prompt(300_000), |_| full()).await;
            assert_eq!((answer.unwrap().0, attempts), (429, most), "{} keys, wait {wait}", keys.len());
            serves(&pool).await;
        }
    }
}

/// A prompt that is too large for one model's limit goes to the next model at once.
#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_one_model_steps_down_at_once() {
    let limits = Limits::new().per_minute(60).tokens_per_minute(250_000);
    let clock = Clock::tokio_from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let pool =
        KeyPool::builder(Gemini::new()).key(Key::new("AIzaSy-not-a-real-key-0000")).limits("gemini-2.5-flash", limits);
    let pool = pool.clock(clock.clone()).wait(Duration::from_secs(5)).build().unwrap();
    let (begun, layer) = (
        clock.tick(),
        KeyPoolLayer::new(&pool).fallback(Models::new().for_all(["gemini-2.5-flash", "gemini-2.0-flash"])),
    );
    let answer = |attempt| if attempt == 1 { full() } else { json(200, OK.to_owned()) };
    let (served, attempts) = send_by(layer, FLASH, &prompt(300_000), answer).await;
    assert_eq!((served.unwrap().0, attempts, clock.tick().since(begun)), (200, 2, Duration::ZERO));
}
