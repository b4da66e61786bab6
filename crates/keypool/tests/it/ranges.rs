//! Every setting at the least and the greatest that it takes, and one step beyond either.

use std::collections::BTreeSet;

use keypool::config::{Effective, Inputs};
use tower_keypool::config::Environment;

const KEY: &str = "AIzaSyTEST-ranges-key-000000000000000001";

/// A configuration of these lines, in a folder of its own.
fn load(lines: &str) -> Result<(), Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.toml");
    std::fs::write(&path, lines).unwrap();
    let inputs = Inputs { environment: Environment::of::<&str, &str>([]), ..Inputs::new(Some(path), Vec::new()) };
    let place = format!("{}/", folder.path().display());
    let read = inputs.load().map(drop);
    read.map_err(|errors| errors.iter().map(|problem| problem.to_string().replace(&place, "")).collect())
}

/// What a setting takes, and what it does not, as TOML; and what else must stand there for that.
struct Row(&'static str, &'static [&'static str], &'static [&'static str], &'static str);

const RESTS: [&str; 8] = [
    "rate_limited",
    "quota_exhausted",
    "suspect",
    "overloaded",
    "model_unavailable",
    "blocked",
    "unreachable",
    "other",
];

const ROWS: &[Row] = &[
    Row("admin.listen", &["'127.0.0.1:0'"], &["''", "'127.0.0.1'", "5000"], "admin.token = 'x'"),
    Row("admin.token", &["'x'"], &["''", "'two words'", "5", "'PLACEHOLDER_GEMINI_TOKEN'"], ""),
    Row("admin.token_env", &[], &["''", "'NOT_SET'", "5"], ""),
    Row("admin.token_file", &[], &["''", "'nowhere'", "5"], ""),
    Row("batch.concurrency", &["1", "50000"], &["0", "50001", "'x'"], ""),
    Row("batch.max_retries", &["0", "'0'", "100"], &["'-0'", "-1", "101", "1.5"], ""),
    Row("batch.max_wait", &["0", "'366d'"], &["-0.001", "'367d'", "'x'"], ""),
    Row("batch.model", &["'m'"], &["''", "1"], ""),
    Row("batch.monitor_interval", &["'100ms'", "3600"], &["'99ms'", "3600.001"], ""),
    Row("batch.price_input", &["0", "0.3"], &["-0.1", "nan", "'x'"], ""),
    Row("batch.price_output", &["0", "2.5"], &["-0.1", "inf", "'x'"], ""),
    Row("batch.rate_limit_per_slot", &["0", "'1h'"], &["-0.001", "3600.001"], ""),
    Row("batch.retry_invalid", &["true", "false"], &["1"], ""),
    Row("batch.system", &["'be brief'"], &["1"], ""),
    Row("batch.temperature", &["0", "2.0"], &["-0.1", "2.1", "nan", "'x'"], ""),
    Row("batch.timeout", &["'1s'", "'1d'"], &["'999ms'", "86400.001"], ""),
    Row("batch.workers_per_key", &["1", "1000"], &["0", "1001"], ""),
    Row("gateway.answer_timeout", &["1", "'10m'"], &["0.999", "86400.001", "'1x'"], ""),
    Row("gateway.body_timeout", &["5", "'1d'"], &["4.999", "86400.001", "'1x'"], ""),
    Row("gateway.cache_affinity", &["'off'", "'session'", "'prompt'"], &["''", "'on'", "true"], ""),
    Row("gateway.cacert", &[], &["''", "'nowhere.pem'", "1"], ""),
    Row("gateway.drain_delay", &["0", "'1h'"], &["-0.001", "3600.001", "'1x'"], ""),
    Row("gateway.exhausted_as_429", &["true", "false"], &["0", "429"], ""),
    Row("gateway.fetch_images", &["true", "false"], &["0", "'yes'"], ""),
    Row("gateway.grace", &["0", "'1h'"], &["-0.001", "3600.001", "'1x'", "true"], ""),
    Row(
        "gateway.origins",
        &["[]", "['http://localhost:3000']", "['app://obsidian.md', 'null']"],
        &["['']", "['*']", "['localhost']", "['http://a/b']", "['http://*.a']", "'http://a'"],
        "",
    ),
    Row("gateway.hosts", &["[]", "['pool.example']"], &["['']", "['http://a']", "['a:1']", "'a'"], ""),
    Row("gateway.listen", &["'127.0.0.1:0'"], &["''", "'127.0.0.1'", "'127.0.0.1:65536'", "5000"], ""),
    Row("gateway.max_connections", &["1", "65535"], &["0", "65536", "1.5", "'x'"], ""),
    Row("gateway.max_connections_per_address", &["1", "65535"], &["0", "65536", "1.5"], ""),
    Row("gateway.max_wait", &["0", "'1h'"], &["-0.001", "3600.001", "'1x'"], ""),
    Row("gateway.max_waiting", &["1", "65535"], &["0", "65536", "1.5"], ""),
    Row("gateway.openai", &["'translate'", "'passthrough'"], &["''", "'both'", "true"], ""),
    Row("gateway.provider", &["'gemini'", "'openai'", "'anthropic'"], &["''", "'x'", "1"], ""),
    Row("gateway.reader_timeout", &["5", "'1d'"], &["4.999", "86400.001", "true"], ""),
    Row("gateway.served_headers", &["true", "false"], &["0", "'yes'"], ""),
    Row("gateway.session_header", &["'x-session-id'"], &["''", "'a b'", "'authorization'", "1"], ""),
    Row("gateway.strict", &["true", "false"], &["0", "'yes'"], ""),
    Row("gateway.threads", &["1", "1024"], &["0", "1025", "1.5", "'x'"], ""),
    Row("gateway.tls_cert", &[], &["''", "'x'"], "gateway.tls_key = 'x'"),
    Row("gateway.tls_cert_file", &[], &["''", "'nowhere'", "5"], ""),
    Row("gateway.tls_key", &[], &["5"], ""),
    Row("gateway.tls_key_file", &[], &["''", "'nowhere'", "5"], ""),
    Row("gateway.token", &["'x'"], &["''", "'two words'", "5"], ""),
    Row("gateway.token_file", &[], &["''", "'nowhere'", "5"], ""),
    Row("gateway.unknown_names", &["'refuse'", "'try'"], &["''", "'x'", "true"], ""),
    Row("gateway.upstream", &["'https://a.example/b'"], &["''", "'a.example'", "'ftp://a.example'", "1"], ""),
    Row("limits.assume_known", &["true", "false"], &["1", "'x'"], ""),
    Row("limits.default", &["{ free = { rpm = 0 } }", "{ '*' = { tpm = 1000000000000 } }"], &["{ gold = {} }"], ""),
    Row("limits.guard", &["0", "'30s'"], &["-0.001", "30.001"], ""),
    Row("limits.known", &["{ m = { paid = { rpd = 1 } } }"], &["{ m = { '*' = {} } }", "{ m = 1 }"], ""),
    Row("limits.learn", &["true", "false"], &["0"], ""),
    Row("log.directory", &["'logs'"], &["''", "'Cargo.toml'", "1"], ""),
    Row("log.file_mib", &["1", "1024"], &["0", "1025", "1.5", "'x'"], ""),
    Row("log.format", &["'text'", "'json'"], &["''", "'xml'", "1"], ""),
    Row("log.keep", &["1", "3650"], &["0", "3651", "1.5", "-1"], ""),
    Row("log.level", &["'error'", "'TRACE'"], &["''", "'loud'", "1"], ""),
    Row("pool.fallback", &["[]", "['a', 'b']"], &["['']", "['a', 'a']", "['a b']", "'a'"], ""),
    Row("pool.fallback_on_overloaded", &["true"], &["1"], ""),
    Row("pool.key_files", &["[]"], &["['']", "['nowhere.txt']", "'a'"], ""),
    Row("pool.spill", &["'limits'", "'any'"], &["''", "1"], ""),
    Row("pool.spill_after", &["0", "3600"], &["-0.001", "3600.001"], ""),
    Row("pool.strategy", &["'lru'", "'adaptive'"], &["''", "'fifo'"], ""),
    Row("pool.wait", &["0", "'60m'"], &["-1", "3600.001"], ""),
    Row("rests.longest", &["'1m'", "'366d'"], &["59.999", "31622400.001"], ""),
    Row("rests.overloads", &["1", "100"], &["0", "101"], ""),
    Row("rests.probe_cap", &["'1m'", "'32d'"], &["59.999", "2764800.001"], ""),
    Row("rests.strikes", &["1", "100"], &["0", "101"], ""),
    Row("retry.budget", &["false"], &["0"], ""),
    Row("retry.cap", &["'10ms'", "'1h'"], &["'9.999ms'", "3600.001"], "retry.first = '10ms'"),
    Row("retry.deadline", &["'1s'", "'1d'"], &["0.999", "86400.001"], ""),
    Row("retry.factor", &["1.0", "100"], &["0.999", "100.001", "nan"], ""),
    Row("retry.first", &["'10ms'", "'10m'"], &["'9.999ms'", "600.001"], "retry.cap = '1h'"),
    Row("retry.jitter", &["false"], &["0"], ""),
    Row("retry.max_retries", &["0", "100"], &["-1", "101", "1.5"], ""),
    Row("store.ca_file", &[], &["''", "'nowhere.pem'", "1"], "store.url = 'rediss://h'"),
    Row("store.expected_processes", &["1", "10000"], &["0", "10001", "1.5"], ""),
    Row("store.lease", &["'500ms'", "'5m'"], &["'499ms'", "300.001"], ""),
    Row("store.namespace", &["'a'", "'a-b_c.d:e'"], &["''", "'a b'", "'{a}'", "1"], ""),
    Row("store.on_missing", &["'wait'", "'local'"], &["''", "'go'", "1"], "store.expected_processes = 2"),
    Row("store.on_store_loss", &["'fail_closed'", "'fair_share'"], &["''", "1"], "store.expected_processes = 2"),
    Row("store.password", &["'x'"], &["5"], "store.url = 'redis://h'"),
    Row("store.password_file", &[], &["''", "'nowhere'", "5"], "store.url = 'redis://h'"),
    Row("store.renew", &["'50ms'", "'5s'", "'60s'"], &["'49ms'", "60.001"], "store.lease = '5m'"),
    Row(
        "store.url",
        &["'auto'", "'none'", "'a.db'", "'redis://h:1/2'", "'rediss://h'"],
        &["''", "'http://h'", "'redis://'", "1"],
        "",
    ),
    Row("store.wait", &["0", "'1h'"], &["-0.001", "3600.001"], ""),
];

/// Settings that are lists of tables, and tables without a setting.
const OTHERS: [&str; 5] = ["exits", "keys", "models", "providers", "tenants"];

fn is_taken(path: &str, value: &str, besides: &str) {
    let line = format!("{path} = {value}");
    assert_eq!(load(&format!("{line}\n{besides}\n")), Ok(()), "{line}");
}

/// Refused by its line and name, with what is allowed.
fn is_refused(path: &str, value: &str, besides: &str) {
    let line = format!("{path} = {value}");
    let errors = load(&format!("{line}\n{besides}\n")).expect_err(&line);
    assert_eq!(errors.len(), 1, "{line}: {errors:?}");
    let said = errors[0].strip_prefix("keypool.toml:1: ").and_then(|said| said.strip_prefix(path));
    let (_, what) = said.and_then(|said| said.split_once(": ")).unwrap_or_else(|| panic!("{line}: {errors:?}"));
    // Of files and addresses it is said what is wrong with them.
    let named =
        ["cacert", "ca_file", "tls_cert_file", "tls_key_file", "token_file", "password_file", "upstream", "key_files"]
            .iter()
            .any(|name| path.ends_with(name));
    let twice = what.contains("twice");
    assert!(named || twice || what.starts_with("expected "), "{line}: {what}");
}

#[test]
fn every_setting_takes_its_range_and_nothing_beyond() {
    for Row(path, good, bad, besides) in ROWS {
        good.iter().for_each(|value| is_taken(path, value, besides));
        bad.iter().for_each(|value| is_refused(path, value, besides));
    }
    for name in RESTS {
        let (first, cap) = (format!("rests.{name}.first"), format!("rests.{name}.cap"));
        for (value, fits) in [("'99ms'", false), ("'100ms'", true), ("'1d'", true), ("86400.001", false)] {
            let judge = if fits { is_taken } else { is_refused };
            judge(&first, value, &format!("{cap} = '32d'"));
        }
        for (value, fits) in [("'99ms'", false), ("'100ms'", true), ("'32d'", true), ("2764800.001", false)] {
            let judge = if fits { is_taken } else { is_refused };
            judge(&cap, value, &format!("{first} = '100ms'"));
        }
    }
}

#[test]
fn no_setting_is_without_a_range() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.toml");
    std::fs::write(&path, "").unwrap();
    let inputs = Inputs { environment: Environment::of::<&str, &str>([]), ..Inputs::new(Some(path), Vec::new()) };
    let shown = Effective::of(&inputs, |_| Ok(None)).unwrap().json();
    let held: BTreeSet<String> = shown["settings"].as_object().unwrap().keys().cloned().collect();
    let rests = RESTS.iter().flat_map(|name| ["first", "cap"].map(|row| format!("rests.{name}.{row}")));
    let others = OTHERS.iter().map(ToString::to_string);
    let tested: BTreeSet<String> = ROWS.iter().map(|row| row.0.to_owned()).chain(rests).chain(others).collect();
    assert_eq!(held, tested);
}

#[test]
fn a_pause_that_begins_above_its_cap_is_refused_where_it_is_set() {
    for (lines, said) in [
        ("rests.overloaded.first = '1m'", "rests.overloaded.first: expected at most cap, which is 30s"),
        ("rests.suspect.cap = '1m'", "rests.suspect.cap: expected at least first, which is 5m"),
        ("retry.first = '31s'", "retry.first: expected at most cap, which is 30s"),
        ("retry.cap = '999ms'", "retry.cap: expected at least first, which is 1s"),
    ] {
        assert_eq!(load(lines), Err(vec![format!("keypool.toml:1: {said}")]));
    }
}

/// Fields of tenants, each in an entry that is otherwise right.
#[test]
fn every_field_of_a_tenant_takes_its_range_and_nothing_beyond() {
    let hash = "0a".repeat(32);
    for (line, fits) in [
        ("models = ['gemini-2.5-*', 'x']", true),
        ("models = ['a*b']", false),
        ("models = ['']", false),
        ("rpm = 0", true),
        ("rpd = 1000000000000", true),
        ("tpm = -1", false),
        ("tpd = 1.5", false),
        ("expires = '2030-01-31'", true),
        ("expires = '2030-01-31T12:00:00Z'", true),
        ("expires = 'soon'", false),
        ("token = 'two-of-them'", false),
        ("colour = 'red'", false),
    ] {
        let read = load(&format!("[[tenants]]\nname = 'a'\ntoken_hash = '{hash}'\n{line}\n"));
        assert_eq!(read.is_ok(), fits, "{line}: {read:?}");
    }
    for (lines, fits) in [
        ("name = 'a'\ntoken = 'x'", true),
        ("name = 'a'\ntoken = ''", false),
        ("name = 'a'\ntoken_hash = '0a'", false),
        ("name = 'a'\ntoken_file = 'nowhere'", false),
        ("name = 'a'", false),
        ("token = 'x'", false),
        ("name = 'default'\ntoken = 'x'", false),
        ("name = 'a'\ntoken = 'PLACEHOLDER_GEMINI_TOKEN'", false),
        ("name = 'a'\ntoken = 'x'\n[[tenants]]\nname = 'a'\ntoken = 'y'", false),
        ("name = 'a'\ntoken = 'x'\n[[tenants]]\nname = 'b'\ntoken = 'x'", false),
        ("name = 'a'\ntoken = 'x'\n[[tenants]]\nname = 'b'\ntoken = 'y'", true),
    ] {
        let read = load(&format!("[[tenants]]\n{lines}\n"));
        assert_eq!(read.is_ok(), fits, "{lines}: {read:?}");
    }
    let far = "[gateway]\nlisten = '0.0.0.0:0'\ntoken = 'a-token-of-the-gateway'\n[[tenants]]\nname = 'a'\n";
    assert!(load(&format!("{far}token = 'too-short'\n")).is_err(), "other machines could guess it");
    assert!(load(&format!("{far}token = 'long-enough-for-that'\n")).is_ok());
}

/// Fields of keys and models, each in an entry that is otherwise right.
#[test]
fn every_field_of_a_key_and_a_model_takes_its_range_and_nothing_beyond() {
    let long = "x".repeat(65);
    let longest = "m".repeat(257);
    let fields: &[(&str, &[&str], &[&str])] = &[
        ("id", &["'a'"], &["''", &format!("'{long}'"), "'a b'", "'AIzaSy'"]),
        ("tier", &["'free'", "'tier-2'"], &["''", "'tier-'"]),
        ("priority", &["0", "65535", "'paid'"], &["-1", "65536"]),
        ("weight", &["0.001", "1000000"], &["0", "1000001", "nan", "inf"]),
        ("max_concurrent_requests", &["1", "65534"], &["0", "65535"]),
        ("min_interval", &["0", "'1h'"], &["-0.001", "3600.001"]),
        ("owner", &["'a'"], &["''"]),
        ("billing_account", &["'a'"], &["''"]),
        ("zone", &["'UTC'"], &["''", "'Mars/Olympus'"]),
        ("source", &["'a'"], &["''"]),
        ("labels.a", &["'b'"], &["''", "1"]),
        ("labels", &["{ a = 'b' }"], &["['a']", "1979-05-27"]),
        ("limits.m.rpm", &["0", "1000000000000", "' +5 '"], &["'-0'", "-1", "1000000000001", "1.5"]),
    ];
    for (name, good, bad) in fields {
        let entry = |value: &str| load(&format!("[[keys]]\nsecret = '{KEY}'\n{name} = {value}\n"));
        for value in *good {
            assert_eq!(entry(value), Ok(()), "{name} = {value}");
        }
        for value in *bad {
            let errors = entry(value).expect_err(&format!("{name} = {value}"));
            assert!(
                errors[0].starts_with(&format!("keypool.toml:3: keys[0].{name}: expected ")),
                "{value}: {errors:?}"
            );
        }
    }
    let window = |span: &str| {
        format!("[[{{ unit = 'requests', span = {span}, amount = 1 }}]]").replace("[[", "[").replace("]]", "]")
    };
    for (name, value, fits) in [
        ("limits.free.windows", window("'1s'"), true),
        ("limits.free.windows", window("'1d'"), true),
        ("limits.free.windows", window("0.999"), false),
        ("limits.free.windows", window("86400.001"), false),
        ("aliases", "['b']".to_owned(), true),
        ("aliases", "['']".to_owned(), false),
        ("aliases", "['m']".to_owned(), false),
        ("priority", "65536".to_owned(), false),
    ] {
        let read = load(&format!("[[models]]\nname = 'm'\n{name} = {value}\n"));
        let expected = format!("keypool.toml:3: models[0].{name}");
        match read {
            Ok(()) => assert!(fits, "{name} = {value}"),
            Err(errors) => assert!(!fits && errors[0].starts_with(&expected), "{name} = {value}: {errors:?}"),
        }
    }
    for (name, fits) in [("m", true), ("", false), ("a b", false), (longest.as_str(), false), (&longest[1..], true)] {
        let read = load(&format!("[[models]]\nname = '{name}'\n"));
        assert_eq!(read.is_ok(), fits, "{name}: {read:?}");
    }
}
