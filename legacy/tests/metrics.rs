//! What a scrape says of a pool, and what it never does.
#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use prometheus_client::{encoding::text::encode, registry::Registry};
use tower_keypool::{
    Gemini, Key, KeyId, KeyPool, KeyPoolBuilder, Limits, ManualClock, Priority, Scope, Until, Verdict, VerdictKind,
    metrics::PoolCollector,
};

const FLASH: &str = "gemini-2.5-flash";

fn secret(n: usize) -> String {
    format!("AIzaSyTEST-metrics-secret-{n:08}")
}

fn key(n: usize) -> Key {
    Key::new(secret(n)).id(format!("key-{n}"))
}

fn id(n: usize) -> KeyId {
    KeyId::from(format!("key-{n}"))
}

fn on(builder: KeyPoolBuilder) -> (KeyPool, ManualClock) {
    let time = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    (builder.clock(time.clock()).build().unwrap(), time)
}

fn pool(keys: usize) -> KeyPoolBuilder {
    KeyPool::builder(Gemini::new()).keys((0..keys).map(key))
}

fn scrape(collector: PoolCollector) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(collector));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

fn text(pool: &KeyPool) -> String {
    scrape(PoolCollector::new(pool))
}

/// Every series with its value.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name, value.parse().unwrap())).collect()
}

fn use_once(pool: &KeyPool, model: &str, verdict: &Verdict) {
    let lease = pool.try_acquire(model).unwrap();
    lease.started();
    lease.judge(verdict);
}

/// A pool in which everything that has a name has happened.
fn busy() -> (KeyPool, ManualClock) {
    let (pool, time) = on(pool(6)
        .key(key(6).owner("the-owner").priority(Priority(10)))
        .limits(FLASH, Limits::new().per_minute(2).per_day(100))
        .limits("gemini-2.5-pro", Limits::new().per_minute(1)));
    let rested = |kind, scope| Verdict::new(kind).scope(scope).until(Until::For(Duration::from_secs(90)));
    pool.disable(&id(0), "by hand").unwrap();
    use_once(&pool, FLASH, &Verdict::SUCCESS);
    use_once(&pool, FLASH, &rested(VerdictKind::RateLimited, Scope::Key));
    for _ in 0..5 {
        use_once(&pool, "gemini-2.5-pro", &Verdict::SUCCESS);
    }
    use_once(&pool, "gemini-2.5-flash-lite", &Verdict::SUCCESS);
    for _ in 0..5 {
        use_once(&pool, "gemini-2.5-flash-lite", &rested(VerdictKind::Overloaded, Scope::Lane));
    }
    assert!(pool.try_acquire("gemini-2.5-pro").is_err());
    use_once(&pool, FLASH, &rested(VerdictKind::Blocked, Scope::Exit));
    (pool, time)
}

#[test]
fn the_page_names_what_a_scrape_has_and_nothing_else() {
    let (pool, _) = busy();
    let text = text(&pool);
    let seen: BTreeSet<(&str, BTreeSet<&str>)> = series(&text)
        .into_keys()
        .map(|series| {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            (name, labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0)).collect())
        })
        .collect();
    let page = include_str!("../docs/metrics.md").split("## What `keypool serve` adds").next().unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let named: BTreeSet<(&str, BTreeSet<&str>)> = rows
        .map(|row| {
            let mut cells = row.split('|').skip(1).map(|cell| cell.split('`').skip(1).step_by(2));
            (cells.next().unwrap().next().unwrap(), cells.next().unwrap().collect())
        })
        .collect();
    assert_eq!(seen, named);
}

#[test]
fn it_says_what_the_snapshot_says() {
    let (pool, _) = busy();
    let text = text(&pool);
    let seen = series(&text);
    let expected = [
        (r#"keypool_keys{state="disabled"}"#, 1.0),
        (r#"keypool_disabled_keys{scope="key",verdict="unjudged"}"#, 1.0),
        (r#"keypool_priority_keys{priority="10",state="resting"}"#, 1.0),
        ("keypool_requests_total", 14.0),
        (r#"keypool_verdicts_total{verdict="success"}"#, 7.0),
        (r#"keypool_verdicts_total{verdict="broken"}"#, 0.0),
        ("keypool_limit_hits_total", 1.0),
        ("keypool_exhausted_total", 1.0),
        ("keypool_spills_total", 1.0),
        (r#"keypool_lane_requests_total{lane="gemini-2.5-flash"}"#, 3.0),
        (r#"keypool_lane_limit{lane="gemini-2.5-flash",unit="requests",span="day"}"#, 700.0),
        (r#"keypool_lane_limit_used{lane="gemini-2.5-flash",unit="requests",span="day"}"#, 3.0),
        (r#"keypool_lane_limit_used{lane="gemini-2.5-pro",unit="requests",span="minute"}"#, 5.0),
        (r#"keypool_key_info{key="key-6",owner="the-owner",priority="10"}"#, 1.0),
        (r#"keypool_key_state{key="key-0",state="disabled"}"#, 1.0),
        (r#"keypool_key_state{key="key-0",state="ready"}"#, 0.0),
        (r#"keypool_key_requests_total{key="key-6"}"#, 1.0),
        (r#"keypool_key_lane_ready{key="key-3",lane="gemini-2.5-pro"}"#, 0.0),
        (r#"keypool_exit_rest_until_timestamp_seconds{exit="",verdict="blocked"}"#, 1_800_000_090.0),
        (
            r#"keypool_lane_rest_until_timestamp_seconds{lane="gemini-2.5-flash-lite",verdict="overloaded"}"#,
            1_800_000_030.0,
        ),
        (
            r#"keypool_key_rest_until_timestamp_seconds{key="key-0",scope="key",verdict="unjudged",lane=""}"#,
            f64::INFINITY,
        ),
        (
            r#"keypool_key_lane_limit{key="key-3",lane="gemini-2.5-flash",unit="requests",span="minute",origin="given"}"#,
            2.0,
        ),
        ("keypool_omitted_keys", 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(seen.get(name), Some(&value), "{name} in\n{text}");
    }
    let day_ends = seen["keypool_day_end_timestamp_seconds"];
    assert!((1_800_000_000.0..1_800_086_500.0).contains(&day_ends), "{day_ends}");
}

#[test]
fn many_keys_have_totals_alone_and_it_says_so() {
    let (pool, _) = on(pool(30).limits(FLASH, Limits::new().per_minute(2)));
    use_once(&pool, FLASH, &Verdict::SUCCESS);
    let of_keys = |text: &str| series(text).into_keys().filter(|name| name.starts_with("keypool_key_")).count();
    let all = scrape(PoolCollector::new(&pool).max_keys(30));
    assert!(of_keys(&all) > 300);

    let few = scrape(PoolCollector::new(&pool).max_keys(29));
    assert_eq!(of_keys(&few), 0);
    let seen = series(&few);
    assert_eq!((seen["keypool_omitted_keys"], seen["keypool_keys{state=\"available\"}"]), (30.0, 30.0));
    assert_eq!(seen["keypool_lane_limit{lane=\"gemini-2.5-flash\",unit=\"requests\",span=\"minute\"}"], 60.0);

    let lanes = scrape(PoolCollector::new(&pool).max_key_lanes(80));
    assert!(!lanes.contains("keypool_key_lane_") && lanes.contains("keypool_key_state"));
    assert!(series(&lanes)["keypool_omitted_lanes"] > 0.0);
}

#[test]
fn models_that_nobody_confirmed_have_no_series() {
    let (pool, _) = on(pool(1));
    let unknown = Verdict::new(VerdictKind::ModelUnavailable).status(http::StatusCode::NOT_FOUND);
    let under_way = pool.try_acquire("made-up").unwrap();
    assert!(!text(&pool).contains("made-up"));
    under_way.judge(&unknown);
    drop(under_way);
    assert!(!text(&pool).contains("made-up"));
    use_once(&pool, "made-up", &Verdict::SUCCESS);
    assert!(text(&pool).contains("keypool_lane_requests_total{lane=\"made-up\"} 1"));
}

#[test]
fn whatever_a_name_holds_a_line_stays_a_line_and_no_secret_is_on_it() {
    let odd = Key::new(secret(0)).id("a\"b\\cd").owner("o\n# EOF");
    let (pool, _) = on(KeyPool::builder(Gemini::new()).key(odd).key(Key::new(secret(1))));
    use_once(&pool, FLASH, &Verdict::new(VerdictKind::InvalidKey).scope(Scope::Key));
    let text = text(&pool);
    assert!(text.contains(r#"keypool_key_info{key="a\"b\\cd",owner="o\n# EOF",priority="0"} 1"#), "{text}");
    assert!(text.lines().all(|line| line.starts_with("keypool_") || line.starts_with("# ")), "{text}");
    assert!(!text.contains("secret-"));
    assert!(!format!("{:?}", PoolCollector::new(&pool)).contains("secret-"));
}

#[test]
fn no_counter_ever_falls() {
    let (pool, time) =
        on(pool(4).key(key(4).priority(Priority(1))).limits("*", Limits::new().per_minute(5).tokens_per_minute(1000)));
    let mut dice = fastrand::Rng::with_seed(7);
    let (mut held, mut last) = (Vec::new(), BTreeMap::<String, f64>::new());
    for _ in 0..400 {
        match dice.u8(..8) {
            0..3 => held.extend(pool.try_acquire([FLASH, "gemini-2.5-pro"][dice.usize(..2)])),
            3 if !held.is_empty() => drop(held[dice.usize(..held.len())].started()),
            4 if !held.is_empty() => held[dice.usize(..held.len())].judge(&Verdict::SUCCESS),
            5 if !held.is_empty() => {
                let kind = [VerdictKind::RateLimited, VerdictKind::Transient][dice.usize(..2)];
                held[dice.usize(..held.len())].judge(&Verdict::new(kind).scope(Scope::OwnerLane));
            }
            // Given up, or ended: whichever it is.
            6 if !held.is_empty() => drop(held.swap_remove(dice.usize(..held.len()))),
            _ => time.advance(Duration::from_secs(dice.u64(..20))),
        }
        let text = text(&pool);
        for (name, value) in series(&text).into_iter().filter(|(name, _)| name.contains("_total")) {
            let before = last.insert(name.to_owned(), value).unwrap_or_default();
            assert!(value >= before, "{name} fell from {before} to {value}");
        }
    }
    assert!(last["keypool_requests_total"] > 10.0 && last["keypool_exhausted_total"] > 0.0, "{last:?}");
}

#[test]
fn several_pools_have_a_label_each() {
    let mut registry = Registry::default();
    for name in ["a", "b"] {
        let (pool, _) = on(pool(1));
        let named = registry.sub_registry_with_label(("pool".into(), name.into()));
        named.register_collector(Box::new(PoolCollector::new(&pool)));
    }
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for name in ["a", "b"] {
        assert!(text.contains(&format!("keypool_keys{{pool=\"{name}\",state=\"available\"}} 1")), "{text}");
        assert!(text.contains(&format!("keypool_waiters{{pool=\"{name}\"}} 0")), "{text}");
    }
}
