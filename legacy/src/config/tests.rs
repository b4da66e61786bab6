use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::{Gemini, Limits, Unit, key::KeyId};

const ONE: &str = "AIza-not-a-real-key-000001";
const TWO: &str = "AIza-not-a-real-key-000002";

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<(PoolConfig, KeySet), ConfigErrors> {
    PoolConfig::parse(Path::new("k.toml"), text, &Environment::of(variables.iter().copied()))
}

fn errors(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let Err(errors) = parse(text, variables) else { return Vec::new() };
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn every_error_has_its_place_and_says_what_is_allowed() {
    for (text, expected) in [
        ("x = 1", "k.toml:1: x: nothing reads this key; known here: keys, models, pool, retry, rests, limits"),
        (
            "\n[pool]\nstrategy = 7",
            "k.toml:3: pool.strategy: expected one of least-loaded, round-robin, weighted, lru, adaptive",
        ),
        ("[pool]\nspill = \"never\"", "k.toml:2: pool.spill: expected one of limits, any"),
        ("[pool]\nspill_after = -1", "k.toml:2: pool.spill_after: expected a length of time"),
        ("[pool]\nwait = \"2h\"", "or a number of seconds; at most 1h"),
        ("[pool]\nkey_files = \"a\"", "k.toml:2: pool.key_files: expected a list: [\"…\", \"…\"]"),
        ("[pool]\nfallback = [1]", "k.toml:2: pool.fallback[0]: expected a text"),
        ("[pool]\nkey_files = [\"nowhere.txt\"]", "k.toml:2: pool.key_files: there is no key file at nowhere.txt"),
        ("pool = 3", "k.toml:1: pool: expected a table"),
        ("[retry]\nmax_retries = -1", "k.toml:2: retry.max_retries: expected a whole number from 0 to 100"),
        ("[retry]\njitter = \"yes\"", "k.toml:2: retry.jitter: expected true or false"),
        ("[retry]\nfactor = 0.1", "k.toml:2: retry.factor: expected a number from 1 to 100"),
        ("[rests]\nstrikes = 300", "k.toml:2: rests.strikes: expected a whole number from 1 to 100"),
        (
            "[rests]\nother = { frist = 1 }",
            "k.toml:2: rests.other.frist: nothing reads this key; known here: first, cap",
        ),
        ("[limits]\nguard = \"x\"", "k.toml:2: limits.guard: expected a length of time"),
        ("[limits.default]\nplatinum = { rpm = 1 }", "k.toml:2: limits.default.platinum: expected a tier: free, paid"),
        ("[limits.known.m]\n\"*\" = { rpm = 1 }", "k.toml:2: limits.known.m.\"*\": expected a tier: free, paid"),
        (
            "[[keys]]\nsecret = \"x\"",
            "k.toml:2: keys[0].secret: the key has 1 characters, fewer than any provider's (20)",
        ),
        ("[[keys]]\nsecret = 5", "k.toml:2: keys[0].secret: expected a text (its value is not shown)"),
        ("[[keys]]\nid = \"x\"", "k.toml:1: keys[0]: expected exactly one of secret, secret_env and secret_file"),
        ("[[keys]]\nsecret = \"a\"\nsecret_env = \"b\"", "k.toml:1: keys[0]: expected exactly one of"),
        (
            "[[keys]]\nsecret_env = \"NONE\"",
            "k.toml:2: keys[0].secret_env: this variable is not set in the environment",
        ),
        ("[[keys]]\nsecret_file = \"no\"", "k.toml:2: keys[0].secret_file: no cannot be read"),
        ("[[keys]]\nid = \"\"", "k.toml:2: keys[0].id: expected 1 to 64 visible characters"),
        ("[[keys]]\nzone = \"Mars/Olympus\"", "k.toml:2: keys[0].zone: expected an IANA time zone"),
        (
            "[[keys]]\nmax_concurrent_requests = 0",
            "k.toml:2: keys[0].max_concurrent_requests: expected a whole number from 1 to 65534",
        ),
        ("[[keys]]\nlabels = { a = 1 }", "k.toml:2: keys[0].labels.a: expected a text"),
        (
            "[[keys]]\nlimits.\"m-1.5\" = { rpm = \"x\" }",
            "k.toml:2: keys[0].limits.\"m-1.5\".rpm: expected a whole number",
        ),
        (
            "[[keys]]\nlimits.m = { windows = [{ unit = \"requests\", span = 0, amount = 1 }] }",
            "windows[0].span: expected a length of time such as \"500ms\", \"41s\", \"5m\", or a number of seconds; from 1s to 1d",
        ),
        (
            "[[keys]]\nlimits.m = { windows = [{ unit = \"miles\", span = 1, amount = 1 }] }",
            "windows[0].unit: expected one of requests, input_tokens",
        ),
        ("[[keys]]\nlimits.m = { windows = [{ span = 1, amount = 1 }] }", "windows[0]: unit is missing"),
        ("[[models]]\npriority = 1", "k.toml:1: models[0]: name is missing"),
        ("[[models]]\nname = \"a\"\n[[models]]\nname = \"a\"", "k.toml:4: models[1].name: this model is there twice"),
        (
            "[[models]]\nname = \"a\"\naliases = [\"a\"]",
            "k.toml:3: models[0].aliases[0]: expected a name that no model has",
        ),
        (
            "[[models]]\nname = \"a\"\naliases = [\"b\", \"b\"]",
            "k.toml:3: models[0].aliases[1]: this alias is there twice",
        ),
        ("keys = [3]", "k.toml:1: keys[0]: expected a table"),
    ] {
        let errors = errors(text, &[]);
        assert!(errors.iter().any(|error| error.contains(expected)), "{text}\n{expected}\n{errors:?}");
    }
}

#[test]
fn one_bad_entry_hides_no_other() {
    let text = "[[keys]]\nweight = 0\ntier = 1\n[[keys]]\nweight = 0\n[[keys]]\npriority = -1\n[retry]\ncap = []\nfirst = {}\n";
    let errors = errors(text, &[]);
    for line in [2, 3, 5, 7, 9, 10] {
        assert!(errors.iter().any(|error| error.starts_with(&format!("k.toml:{line}: "))), "{line}: {errors:?}");
    }
    // And that it has no secret is said of each key.
    assert_eq!(errors.len(), 9, "{errors:?}");
}

#[test]
fn what_was_refused_is_not_called_missing() {
    let errors = errors("[[keys]]\nsecret = 5\n[[models]]\nname = 7\n", &[]);
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn variables_lie_over_the_file_in_every_form() {
    let text = "[pool]\nwait = \"9s\"\nfallback = [\"x\"]\n";
    let variables = [
        ("KEYPOOL__POOL__WAIT", "7"),
        ("KEYPOOL__POOL__FALLBACK", "a,b"),
        ("KEYPOOL__POOL__FALLBACK_ON_OVERLOADED", "true"),
        ("KEYPOOL__RETRY__FACTOR", "1.5"),
        ("KEYPOOL__RETRY__MAX_RETRIES", "9"),
        ("KEYPOOL__RESTS__SUSPECT__FIRST", "3m"),
        ("KEYPOOL__LIMITS__KNOWN", "{ m = { free = { rpm = 3 } } }"),
        // The gateway's own.
        ("KEYPOOL__GATEWAY__LISTEN", "127.0.0.1:1"),
    ];
    let (config, _) = parse(text, &variables).unwrap();
    assert_eq!(config.pool.wait, Some(Interval::seconds(7)));
    assert_eq!(config.pool.fallback, ["a", "b"]);
    assert!(config.pool.fallback_on_overloaded);
    assert_eq!((config.retry.factor.to_bits(), config.retry.max_retries), (1.5f64.to_bits(), Whole(9)));
    assert_eq!(config.rests.table().suspect.first, std::time::Duration::from_secs(180));
    assert_eq!(config.rests.table().suspect.cap, std::time::Duration::from_secs(3600), "the other half stays");
    assert_eq!(config.limits.known["m"]["free"].limits(), Limits::new().per_minute(3));

    let wrong = errors(text, &[("KEYPOOL__RETRY__MAX_RETRIES", "many"), ("KEYPOOL__POOL__WAIT__X", "1")]);
    assert!(wrong[0].starts_with("env KEYPOOL__POOL__WAIT__X: pool.wait: no table in the file"), "{wrong:?}");
    assert_eq!(wrong[1], "env KEYPOOL__RETRY__MAX_RETRIES: retry.max_retries: expected a whole number from 0 to 100");
}

#[test]
fn a_pool_is_made_of_it() {
    let text = format!(
        r#"
        [[keys]]
        id = "free"
        secret = "{ONE}"
        tier = "free"
        source = "mail"
        [[keys]]
        secret_env = "PAID"
        id = "paid"
        tier = "tier-2"
        limits.other = {{ rpm = 1, total_tpm = 5 }}
        [[models]]
        name = "m"
        limits.free = {{ rpm = 2 }}
        limits."*" = {{ rpm = 4 }}
        [limits.default]
        free = {{ rpd = 7 }}
        "#
    );
    let (config, keys) = parse(&text, &[("PAID", TWO)]).unwrap();
    let pool = config.builder(Gemini::new()).keys(keys.keys()).build().unwrap();
    let limits = |id: &str, model: &str| {
        drop(pool.try_acquire(crate::Demand::new(model).affinity(crate::Affinity::MustKey(KeyId::from(id)))));
        let snapshot = pool.snapshot();
        let key = snapshot.keys.iter().find(|key| key.id == KeyId::from(id)).unwrap();
        let lane = key.lanes.iter().find(|lane| lane.model.as_deref() == Some(model)).unwrap();
        lane.limits.iter().map(|view| (view.limit.unit, view.limit.amount)).collect::<Vec<_>>()
    };
    assert_eq!(limits("free", "m"), [(Unit::Requests, 2)]);
    assert_eq!(limits("paid", "m"), [(Unit::Requests, 4)]);
    assert_eq!(limits("free", "other"), [(Unit::Requests, 7)]);
    assert_eq!(limits("paid", "other"), [(Unit::Requests, 1), (Unit::Tokens, 5)]);
    let priorities: Vec<u16> = pool.snapshot().keys.iter().map(|key| key.priority).collect();
    assert_eq!(priorities, [0, 10]);
}

#[test]
fn models_step_down_by_priority_and_aliases_stand_for_them() {
    let text = r#"
        [[models]]
        name = "lite"
        priority = 5
        aliases = ["any"]
        [[models]]
        name = "pro"
        priority = 1
        aliases = ["any", "best"]
        [[models]]
        name = "embedding"
    "#;
    let (config, _) = parse(text, &[]).unwrap();
    let walk = |requested: Option<&str>| config.fallback().plan(requested).map(|plan| plan.to_string());
    assert_eq!(walk(None).as_deref(), Some("pro, lite"));
    assert_eq!(walk(Some("any")).as_deref(), Some("pro, lite"));
    assert_eq!(walk(Some("best")).as_deref(), Some("pro, lite"));
    let (config, _) = parse(text, &[("KEYPOOL__POOL__FALLBACK", "x")]).unwrap();
    assert_eq!(config.fallback().plan(None).map(|plan| plan.to_string()).as_deref(), Some("x"));
    assert!(parse("", &[]).unwrap().0.fallback().is_empty());
}

#[test]
fn the_pools_own_rule_is_that_of_the_file() {
    let (config, _) = parse("[retry]\nmax_retries = 7\nfactor = 1.0\njitter = false\ndeadline = \"60s\"", &[]).unwrap();
    let pool = config.builder(crate::Gemini::new()).build().unwrap();
    assert_eq!(format!("{:?}", pool.default_retry()), format!("{:?}", config.retry()));
    assert!(format!("{:?}", pool.default_retry()).contains("max_retries: 7"));
}

#[test]
fn defaults_are_the_pools_own() {
    let (config, keys) = parse("", &[]).unwrap();
    assert_eq!(config, PoolConfig::default());
    assert_eq!(config.rests.table(), crate::RestTable::default());
    assert!(keys.is_empty());
    assert_eq!(format!("{:?}", config.retry()), format!("{:?}", crate::Retry::new()));
}

#[test]
fn thousands_of_faults_are_all_named() {
    let entry =
        |n: usize| format!("[[keys]]\nid = 'k{n}'\nsecret = 'AIza-not-a-real-key-{n:06}'\nweight = 'x'\nx = 1\n");
    let text: String = (0..2_000).map(entry).collect();
    let all = errors(&text, &[("KEYPOOL__RETRY__CAP", "x"), ("KEYPOOL__RETRY__JITTER", "true")]);
    assert_eq!(all.len(), 4_001, "{:?}", all.last());
    assert!(all.iter().any(|said| said.starts_with("k.toml:9999: keys[1999].weight: expected a number above 0")));
    assert!(all.iter().any(|said| said.starts_with("k.toml:10000: keys[1999].x: nothing reads this key")));
    // What stands in no list is read anew for each of them.
    let text = (0..1_200).map(|n| format!("x{n} = 1")).collect::<Vec<_>>().join("\n");
    let all = errors(&text, &[]);
    assert_eq!(all.len(), 1_001);
    assert!(all.iter().any(|said| said.contains("more is wrong here than the 1000 faults that are named")), "{all:?}");
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic_and_no_message_repeats_a_secret(
        lines in prop::collection::vec(prop::collection::vec(prop_oneof![
            "\\[\\[?[a-z.]{0,8}\\]?\\]?",
            "(id|secret|weight|tier|wait|cap|x) ?= ?",
            "[g-zG-Z0-9]{24,40}",
            "\"[g-zG-Z0-9]{24,40}\"",
            "[0-9{}\\[\\],=\"# .-]{0,6}",
            Just("[pool]".to_owned()),
            Just("[[keys]]".to_owned()),
        ], 0..4), 0..12),
        value in "[g-zG-Z0-9]{24,40}",
    ) {
        let text = lines.iter().map(|line| line.concat()).collect::<Vec<_>>().join("\n");
        let shown = errors(&text, &[("KEYPOOL__RETRY__CAP", &value), ("KEYPOOL__POOL__STRATEGY", &value)]).join("\n");
        prop_assert!(!shown.contains(&value), "{}", shown);
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= 24) {
            // Without a digit it is taken for the name of a setting.
            let name = word.bytes().all(|byte| !byte.is_ascii_digit());
            prop_assert!(name || !shown.contains(word), "{}\n{}", text, shown);
        }
    }
}
