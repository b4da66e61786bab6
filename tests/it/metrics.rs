//! The collector for a Prometheus registry.
#![cfg(feature = "metrics")]

use std::time::Duration;

use prometheus_client::{encoding::text::encode, registry::Registry};
use tower_keypool::{
    Affinity, ErrorClass, Failure, Gemini, Key, KeyPool, KeyRequest, Limits, OpenAi, Outcome, Usage,
    metrics::PoolCollector,
};

fn scrape(collector: PoolCollector) -> Vec<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(collector));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn pool() -> KeyPool {
    KeyPool::builder(Gemini::new())
        .key(Key::free("AIza-not-a-real-key-001").named("one").project("a").label("AIza-label"))
        .key(Key::paid("AIza-not-a-real-key-002").named("two").project("b"))
        .key(Key::new("AIza-not-a-real-key-003").named("three").project("c"))
        .limits("m", Limits::new().per_minute(10).per_day(250))
        .build()
        .unwrap()
}

fn assert_has(lines: &[String], expected: &[&str]) {
    for line in expected {
        assert!(lines.iter().any(|held| held == line), "{line} is not in\n{}", lines.join("\n"));
    }
}

#[test]
fn counters_follow_the_pool() {
    let pool = pool();
    let lease = |key: &str| {
        let request = KeyRequest::model("m").affinity(Affinity::RequireKey(key.into()));
        pool.try_acquire(request).unwrap()
    };
    let first = lease("one");
    first.report(&Outcome::Success);
    first.report_usage(Usage::new(12, 34));
    drop(first);
    lease("two").report(&Failure::new(ErrorClass::RateLimit).with_retry_after(Duration::from_secs(30)).into());
    lease("three").report(&Failure::new(ErrorClass::Unclear).into());
    pool.disable(&"one".into(), "by hand").unwrap();
    assert!(pool.try_acquire("m").is_err());

    assert_has(
        &scrape(PoolCollector::new(&pool, "gemini")),
        &[
            r#"keypool_keys{pool="gemini",state="ready"} 1"#,
            r#"keypool_keys{pool="gemini",state="cooling"} 1"#,
            r#"keypool_keys{pool="gemini",state="half_open"} 0"#,
            r#"keypool_keys{pool="gemini",state="disabled"} 1"#,
            r#"keypool_breakers{pool="gemini",scope="project_model",state="cooling"} 1"#,
            r#"keypool_in_flight{pool="gemini"} 0"#,
            r#"keypool_waiting{pool="gemini"} 0"#,
            r#"keypool_disabling_paused{pool="gemini"} 0"#,
            r#"keypool_leases_total{pool="gemini"} 3"#,
            r#"keypool_requests_total{pool="gemini",outcome="success"} 1"#,
            r#"keypool_requests_total{pool="gemini",outcome="failure"} 2"#,
            r#"keypool_requests_total{pool="gemini",outcome="unavailable"} 1"#,
            r#"keypool_failures_total{pool="gemini",class="rate_limit"} 1"#,
            r#"keypool_failures_total{pool="gemini",class="unclear"} 1"#,
            r#"keypool_tokens_total{pool="gemini",direction="input"} 12"#,
            r#"keypool_tokens_total{pool="gemini",direction="output"} 34"#,
        ],
    );
}

#[test]
fn keys_have_series_only_on_request() {
    let pool = pool();
    assert!(!scrape(PoolCollector::new(&pool, "p")).iter().any(|line| line.contains("key=")));

    let held = pool.try_acquire("m").unwrap();
    assert_eq!(held.key().as_str(), "one");
    pool.disable(&"two".into(), "by hand").unwrap();
    let lines = scrape(PoolCollector::new(&pool, "p").per_key());
    assert_has(
        &lines,
        &[
            r#"keypool_key_info{pool="p",key="one",project="a",tier="free"} 1"#,
            r#"keypool_key_in_flight{pool="p",key="one"} 1"#,
            r#"keypool_key_in_flight{pool="p",key="two"} 0"#,
            r#"keypool_key_state{pool="p",key="one",state="ready"} 1"#,
            r#"keypool_key_state{pool="p",key="two",state="disabled"} 1"#,
            r#"keypool_key_requests_total{pool="p",key="one",outcome="success"} 0"#,
            r#"keypool_limit{pool="p",project="a",model="m",unit="requests",span="minute",source="given"} 10"#,
            r#"keypool_limit{pool="p",project="a",model="m",unit="requests",span="day",source="given"} 250"#,
            r#"keypool_limit_used{pool="p",project="a",model="m",unit="requests",span="minute"} 1"#,
            r#"keypool_keys_omitted{pool="p"} 0"#,
        ],
    );
}

#[test]
fn no_metric_holds_a_secret() {
    let unnamed = Key::new("AIza-not-a-real-key-004").project("d");
    let pool = KeyPool::builder(Gemini::new()).key(unnamed).build().unwrap();
    pool.try_acquire("m").unwrap().report(&Failure::new(ErrorClass::KeyRejected).into());
    let lines = scrape(PoolCollector::new(&pool, "p").per_key());
    assert_has(&lines, &[r#"keypool_failures_total{pool="p",class="key_rejected"} 1"#]);
    assert!(!lines.iter().any(|line| line.contains("not-a-real-key")), "{}", lines.join("\n"));
}

#[test]
fn several_pools_share_each_metric() {
    let openai = KeyPool::builder(OpenAi::new()).key(Key::new("sk-not-a-real-key-001")).build().unwrap();
    let lines = scrape(PoolCollector::new(&pool(), "gemini").with_pool(&openai, "openai").per_key());
    assert_has(
        &lines,
        &[r#"keypool_keys{pool="gemini",state="ready"} 3"#, r#"keypool_keys{pool="openai",state="ready"} 1"#],
    );
    let mut types: Vec<_> = lines.iter().filter(|line| line.starts_with("# TYPE")).collect();
    let all = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), all);
}

#[test]
fn number_of_keys_with_series_is_limited() {
    let keys = (0..1_100).map(|n| Key::new(format!("AIza-not-a-real-key-{n:06}")).named(&*format!("key-{n}")));
    let pool = KeyPool::builder(Gemini::new()).keys(keys).build().unwrap();
    let lines = scrape(PoolCollector::new(&pool, "p").per_key());
    let of_keys = lines.iter().filter(|line| line.starts_with("keypool_key_info{")).count();
    assert_eq!(of_keys, 1_000);
    assert_has(&lines, &[r#"keypool_keys{pool="p",state="ready"} 1100"#, r#"keypool_keys_omitted{pool="p"} 100"#]);
}

#[test]
fn every_metric_is_documented() {
    let pool = pool();
    let lease = pool.try_acquire("m").unwrap();
    lease.report(&Outcome::from_class(ErrorClass::RateLimit));
    let documentation = include_str!("../../docs/metrics.md");
    for line in scrape(PoolCollector::new(&pool, "p").per_key()) {
        let Some(series) = line.split_once(' ').map(|(series, _)| series).filter(|series| !series.starts_with('#'))
        else {
            continue;
        };
        let (name, labels) = series.split_once('{').unwrap();
        let row = documentation.lines().find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not documented"));
        for label in labels.trim_end_matches('}').split(',').filter_map(|label| Some(label.split_once('=')?.0)) {
            assert!(label == "pool" || row.contains(&format!("`{label}`")), "{name}: {label}");
        }
    }
}
