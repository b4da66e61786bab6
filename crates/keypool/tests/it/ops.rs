//! `ops/` and `docs/metrics.md`, held to a real scrape of a busy pool.

use std::collections::{BTreeMap, BTreeSet};

use gemini_sim::{GeminiSim, Project, Refusal};
use http::Request;
use keypool::{gateway::token::PLACEHOLDER, status::StoreHealth};
use tower_keypool::{
    Clock, Gemini, Key, KeyId, KeyPool, Limits, Priority, Sharing,
    share::{HolderId, MemoryBoard},
    store::MemoryStore,
};

use crate::{
    exposition::Exposition,
    serving::{HELLO, ONE, TWO},
    support::{Served, ask},
};

const ALERTS: &str = include_str!("../../../../ops/alerts.yml");
const DASHBOARD: &str = include_str!("../../../../ops/dashboard.json");
const PAGE: &str = include_str!("../../../../docs/metrics.md");

const THREE: &str = "AIzaSyTEST-serving-key-three-0000000003";
const FOUR: &str = "AIzaSyTEST-serving-key-four-00000000004";

/// Labels that Prometheus adds to what it scrapes, and the name of a pool that stands beside the gateway's own.
const OF_THE_TARGET: &[&str] = &["instance", "job", "pool"];

/// A scrape of a gateway that has seen good and bad times.
async fn busy() -> Exposition {
    let sim = GeminiSim::builder()
        .project(Project::new("1").key(gemini_sim::Key::new(ONE).refused(Refusal::ConsumerSuspended)))
        .project(Project::new("2").key(TWO))
        .project(Project::new("3").key(THREE))
        .project(Project::new("4").key(FOUR))
        .start()
        .await
        .unwrap();
    let limits = Limits::new().per_minute(2).per_day(50);
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap())
        .keys([ONE, TWO, THREE].map(Key::new))
        .key(Key::new(FOUR).id("four").priority(Priority(10)))
        .limits("gemini-2.5-flash", limits)
        // As one of those that share.
        .open_shared(MemoryStore::new(), MemoryBoard::new(Clock::system()), Sharing::new(HolderId::new("one", 1)))
        .await
        .unwrap();
    pool.disable(&KeyId::from("four"), "by hand").unwrap();
    let served = Served::pool(&pool, &sim.url(), StoreHealth::default()).await;
    for _ in 0..6 {
        let request = Request::post(served.url("/v1beta/models/gemini-2.5-flash:generateContent"));
        ask(request.header("x-goog-api-key", PLACEHOLDER), HELLO).await;
    }
    ask(Request::get(served.url("/v1beta/models")), "").await;
    Exposition::of(&served).await
}

/// What a scrape has: each name with its labels and their values.
fn known(seen: &Exposition) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut known = BTreeMap::<_, BTreeMap<_, BTreeSet<_>>>::new();
    for (name, labels, _) in &seen.samples {
        let held = known.entry(name.clone()).or_default();
        for (label, value) in labels {
            held.entry(label.clone()).or_default().insert(value.clone());
        }
    }
    known
}

/// What the page says: each name with its labels.
fn on_the_page() -> BTreeMap<String, BTreeSet<String>> {
    let words = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        (words(cells[1]).remove(0), words(cells[2]).into_iter().collect())
    })
    .collect()
}

/// A metric as an expression names it: `name{label op "value", …}`.
#[derive(Debug)]
struct Named {
    metric: String,
    /// Label, operator, value.
    matchers: Vec<(String, String, String)>,
}

/// Every metric that an expression names, and every label that it groups or joins by.
fn named(expr: &str) -> (Vec<Named>, Vec<String>) {
    let (mut metrics, mut labels) = (Vec::new(), Vec::new());
    let mut rest = expr;
    while let Some(at) = rest.find("keypool_") {
        let end = rest[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(rest.len(), |end| at + end);
        let mut found = Named { metric: rest[at..end].to_owned(), matchers: Vec::new() };
        rest = &rest[end..];
        if let Some(inside) = rest.strip_prefix('{') {
            let (inside, behind) = inside.split_once('}').expect("a closing brace");
            for matcher in inside.split(',').filter(|matcher| !matcher.trim().is_empty()) {
                let at = matcher.find(['=', '!']).expect("an operator");
                let (label, rest) = matcher.split_at(at);
                let (op, value) = rest.split_once('"').expect("a value");
                let value = value.strip_suffix('"').expect("a closing quote");
                found.matchers.push((label.trim().to_owned(), op.to_owned(), value.to_owned()));
            }
            rest = behind;
        }
        metrics.push(found);
    }
    for word in ["by (", "without (", "on ("] {
        for group in expr.split(word).skip(1) {
            let group = group.split(')').next().unwrap_or_default();
            labels.extend(group.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
        }
    }
    (metrics, labels)
}

/// What is wrong with an expression.
fn faults(expr: &str, known: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> Vec<String> {
    let mut faults = Vec::new();
    let (metrics, grouped) = named(expr);
    if metrics.is_empty() {
        faults.push("it names no metric of ours".to_owned());
    }
    if expr.matches('(').count() != expr.matches(')').count() {
        faults.push("its parentheses do not close".to_owned());
    }
    let mut of_any: BTreeSet<&str> = OF_THE_TARGET.iter().copied().collect();
    for Named { metric, matchers } in &metrics {
        let Some(labels) = known.get(metric) else {
            faults.push(format!("no metric is called {metric}"));
            continue;
        };
        of_any.extend(labels.keys().map(String::as_str));
        for (label, op, value) in matchers {
            if OF_THE_TARGET.contains(&label.as_str()) || value.starts_with('$') && labels.contains_key(label) {
                continue;
            }
            let Some(values) = labels.get(label) else {
                faults.push(format!("{metric} has no label {label}"));
                continue;
            };
            let alternatives: Vec<&str> = if op.ends_with('~') { value.split('|').collect() } else { vec![value] };
            for value in alternatives {
                // What has not happened in the scrape is at least a word of the page.
                if !values.contains(value) && !PAGE.contains(&format!("`{value}`")) {
                    faults.push(format!("{metric} has no {label} {value}"));
                }
            }
        }
    }
    faults.extend(
        grouped.iter().filter(|label| !of_any.contains(label.as_str())).map(|label| format!("no label {label}")),
    );
    faults
}

/// The rules of the file, each as its lines by their keys: `expr` over several lines is one text.
fn rules() -> Vec<BTreeMap<String, String>> {
    let mut rules = Vec::<BTreeMap<String, String>>::new();
    let mut last: Option<(usize, String)> = None;
    for line in ALERTS.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if let Some(name) = text.strip_prefix("- alert: ") {
            rules.push(BTreeMap::from([("alert".to_owned(), name.to_owned())]));
            last = Some((indent + 2, "alert".to_owned()));
            continue;
        }
        let (Some(rule), Some((depth, key))) = (rules.last_mut(), &mut last) else { continue };
        if indent > *depth && key == "expr" {
            let held = rule.entry(key.clone()).or_default();
            *held = format!("{held} {text}");
        } else if let Some((name, value)) = text.split_once(':') {
            if indent == *depth {
                name.clone_into(key);
            }
            rule.insert(name.to_owned(), value.trim().trim_start_matches(">-").to_owned());
        }
    }
    rules
}

#[tokio::test]
async fn every_alert_asks_for_what_there_is() {
    let known = known(&busy().await);
    let rules = rules();
    // Those that the project owes its users.
    for (name, of) in [
        ("KeypoolFewKeysUsable", "0.2"),
        ("KeypoolOwnerDisabled", "keypool_disabled_keys"),
        ("KeypoolStoreLost", "keypool_store_up"),
        ("KeypoolSpillsRising", "keypool_spills_total"),
        ("KeypoolDayQuotaGoneEarly", "span=\"day\""),
    ] {
        assert!(rules.iter().any(|rule| rule["alert"] == name && rule["expr"].contains(of)), "{name}: {rules:?}");
    }
    for rule in &rules {
        let name = &rule["alert"];
        assert!(name.starts_with("Keypool"), "{name}");
        assert!(rule.contains_key("for") && rule["labels"].contains("severity"), "{rule:?}");
        assert!(rule["summary"].len() > 10 && rule["description"].len() > 10, "{rule:?}");
        let faults = faults(&rule["expr"], &known);
        assert!(faults.is_empty(), "{name}: {faults:?} in {}", rule["expr"]);
        for label in rule["summary"].split("$labels.").skip(1) {
            let label: String = label.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let (metrics, _) = named(&rule["expr"]);
            let has = metrics.iter().any(|named| known[&named.metric].contains_key(&label));
            assert!(has || OF_THE_TARGET.contains(&label.as_str()), "{name}: {label}");
        }
    }
}

#[tokio::test]
async fn every_panel_asks_for_what_there_is() {
    let known = known(&busy().await);
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are unique");
    let mut shown = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = &panel["title"];
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let expr = target["expr"].as_str().unwrap();
            let faults = faults(expr, &known);
            assert!(faults.is_empty(), "{title}: {faults:?} in {expr}");
            let (metrics, grouped) = named(expr);
            let labels: BTreeSet<&str> =
                metrics.iter().flat_map(|named| known[&named.metric].keys().map(String::as_str)).collect();
            for label in target["legendFormat"].as_str().unwrap().split("{{").skip(1) {
                let label = label.split("}}").next().unwrap();
                let summed = expr.contains("sum");
                let kept = if summed { grouped.iter().any(|held| held == label) } else { labels.contains(label) };
                assert!(kept, "{title}: the legend's {label} is not there");
            }
            shown.extend(metrics.into_iter().map(|named| named.metric));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap().iter().filter(|held| held["type"] == "query") {
        let query = variable["query"]["query"].as_str().unwrap();
        let metric = &named(query).0[0].metric;
        let label = query.rsplit(", ").next().unwrap().trim_end_matches(')');
        let has = known[metric].contains_key(label) || OF_THE_TARGET.contains(&label);
        assert!(has, "{query}");
    }
    assert!(shown.len() > 30, "{shown:?}");
}

#[tokio::test]
async fn the_page_has_every_metric_of_the_gateway() {
    let seen = busy().await;
    let page = on_the_page();
    let known = known(&seen);
    let mut missing: BTreeSet<&str> = page.keys().map(String::as_str).collect();
    for (name, labels) in &known {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        let expected = page.get(family).unwrap_or_else(|| panic!("{family} is not on the page"));
        let labels: BTreeSet<String> = labels.keys().cloned().collect();
        assert!(labels.is_subset(expected), "{name}: {labels:?}, not {expected:?}");
        if family == name || name.ends_with("_bucket") {
            assert_eq!(&labels, expected, "{name}");
        }
        missing.remove(family);
    }
    // These are there while somebody rests so; tests/metrics.rs sees them.
    for rare in ["keypool_exit_rest_until_timestamp_seconds", "keypool_lane_rest_until_timestamp_seconds"] {
        missing.remove(rare);
    }
    assert!(missing.is_empty(), "not in a scrape: {missing:?}");
}

#[test]
fn an_expression_that_asks_for_what_there_is_not_is_found() {
    let labels = BTreeMap::from([("state".to_owned(), BTreeSet::from(["available".to_owned()]))]);
    let known = BTreeMap::from([("keypool_keys".to_owned(), labels)]);
    let wrong = |expr: &str| !faults(expr, &known).is_empty();
    assert!(!wrong(r#"sum by (state) (keypool_keys{state="available",instance=~"$instance"}) > 1"#));
    assert!(wrong("keypool_key > 1"));
    assert!(wrong(r#"keypool_keys{status="available"}"#));
    assert!(wrong(r#"keypool_keys{state="nonsense"}"#));
    assert!(wrong(r#"keypool_keys{state=~"available|nonsense"}"#));
    assert!(wrong("sum by (verdict) (keypool_keys)"));
    assert!(wrong("sum(keypool_keys"));
    assert!(wrong("up == 0"));
}
