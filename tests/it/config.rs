//! Building a pool from a configuration file and environment variables.
#![cfg(feature = "config")]

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use http::{HeaderMap, StatusCode};
use tempfile::TempDir;
use tower_keypool::{
    Affinity, ErrorClass, ErrorKind, Failure, Key, KeyPool, KeyRequest, Limit, Limits, Scope, Span, Tier, Unit,
    config::{Environment, KeyEntry, Loaded, PoolConfig, read},
};

const A: &str = "AIza-not-a-real-key-001";
const B: &str = "AIza-not-a-real-key-002";
const C: &str = "AIza-not-a-real-key-003";

fn nothing() -> Environment {
    Environment::default()
}

fn config(text: &str) -> PoolConfig {
    PoolConfig::from_toml("keypool.toml", text, &nothing()).unwrap()
}

/// Returns the lines of the error for a rejected configuration, one for each fault.
fn faults(text: &str, environment: &Environment) -> Vec<String> {
    let error = PoolConfig::from_toml("keypool.toml", text, environment).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string().lines().map(str::to_owned).collect()
}

/// Loads a key file of this name and content: its keys, and the messages for its invalid entries.
fn loaded(name: &str, text: &str) -> (Vec<Key>, Vec<String>) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let mut loaded = Loaded::default();
    loaded.add_file(&path);
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("not-a-real-key"), "{shown}");
    let folder = format!("{}/", folder.path().display());
    (loaded.keys, loaded.problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect())
}

fn pool_of(keys: Vec<Key>) -> KeyPool {
    PoolConfig::default().builder().unwrap().keys(keys).build().unwrap()
}

// === Key files ===

#[test]
fn options_after_a_key_are_read() {
    let line = format!(
        "{A} id=work project=a tier=paid priority=3 weight=2 exit=berlin billing_account=acme rpm=10 tpm=250_000 rpd=250 \
         concurrent=4 interval=500ms zone=America/Los_Angeles source=console label=\"of the team\" models=gemini-2.5-*,gemma-3"
    )
    .replace("tier=paid", "tier=Paid");
    let (keys, problems) = loaded("keys.txt", &line);
    assert_eq!(problems, [""; 0]);
    let expected = Key::paid(A)
        .named("work")
        .project("a")
        .priority(3)
        .weight(2)
        .exit("berlin")
        .billing_account("acme")
        .limits("*", Limits::new().per_minute(10).tokens_per_minute(250_000).per_day(250))
        .max_concurrent(4)
        .min_interval(Duration::from_millis(500))
        .zone("America/Los_Angeles")
        .label("of the team (console)")
        .models(["gemini-2.5-*", "gemma-3"]);
    assert!(keys == [expected]);
}

#[test]
fn keys_are_read_from_lines_of_other_formats() {
    for line in [
        "GEMINI_API_KEY=…",
        "export GEMINI_API_KEY='…'",
        "api_key=\"…\"",
        "- …",
        "- '…'",
        "'…',",
        "\"…\",",
        "`…`;",
        "// a comment\n; and another\n…",
    ] {
        let (keys, problems) = loaded("keys.txt", &line.replace('…', A));
        assert_eq!((keys.len(), problems), (1, Vec::new()), "{line}");
        assert!(keys[0].clone().label("") == Key::new(A).label(""), "{line}");
    }
    // UTF-16 with a byte order mark and CRLF, as written by PowerShell.
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys.txt");
    for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let units = format!("\u{feff}{A} project=ä\r\n").encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        std::fs::write(&path, units).unwrap();
        let mut read = Loaded::default();
        read.add_file(&path);
        assert_eq!((read.keys.len(), read.problems.len()), (1, 0));
        assert!(read.keys[0].clone().label("") == Key::new(A).project("ä").label(""));
    }
}

#[test]
fn keys_of_other_services_in_a_dotenv_file_are_reported_and_not_used() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.env");
    let names = [
        "GEMINI_API_KEY",
        "MY_GOOGLE_KEY_2",
        "KEY",
        "API_KEY_1",
        "KEYS3",
        "api_key",
        "OPENAI_API_KEY",
        "GROQ_KEY",
        "GROQ_KEY_7",
        "STRIPE_SECRET_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "GEMINI_MODEL",
        "SECRET",
        "OPENAI-KEY",
        "AIzaSyA",
    ];
    let lines = names.iter().enumerate().map(|(n, name)| format!("{name}=a-secret-of-{n:03}\n"));
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    let read = |config: &PoolConfig| {
        let mut config = config.clone();
        config.key_variables = Some(false);
        config.key_files = vec![path.clone()];
        let loaded = config.keys(&nothing());
        let is_used = |n: &usize| {
            let secret = format!("a-secret-of-{n:03}");
            let whole = format!("{}={secret}", names[*n]);
            loaded.keys.iter().any(|key| key.has_secret(&secret) || key.has_secret(&whole))
        };
        let used = (0..names.len()).filter(is_used);
        let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
        assert!(!problems.concat().contains("a-secret"), "{problems:?}");
        (used.map(|n| names[n]).collect::<Vec<_>>(), problems)
    };
    let (used, problems) = read(&PoolConfig::default());
    assert_eq!(used, names[..6]);
    assert_eq!(problems.len(), names.len() - 6);
    assert!(
        problems[0].ends_with("x.env:7: OPENAI_API_KEY is not a name for a key of gemini; options come after the key"),
        "{problems:?}"
    );
    assert!(
        problems[7]
            .ends_with("x.env:14: the text before = is not a name for a key of gemini; options come after the key"),
        "{problems:?}"
    );
    let groq = config("provider = \"openai\"\nname = \"groq\"\nbase = \"https://api.groq.com/openai/v1\"");
    let of_groq = ["KEY", "API_KEY_1", "KEYS3", "api_key", "GROQ_KEY", "GROQ_KEY_7"];
    assert_eq!(read(&groq).0, of_groq, "a key of OpenAI is not sent to another service with its API");
    // The API and the host are names, too.
    let team = config("provider = \"gemini\"\nname = \"team-b\"");
    assert_eq!(read(&team).0, used);
    let by_host = config("provider = \"api-key-header\"\nbase = \"https://api.groq.com/openai/v1\"");
    assert_eq!(read(&by_host).0, of_groq);
    let openai = config("provider = \"openai\"\nname = \"ai\"");
    let of_openai = ["KEY", "API_KEY_1", "KEYS3", "api_key", "OPENAI_API_KEY", "OPENAI-KEY"];
    assert_eq!(read(&openai).0, of_openai);
    let short = config("provider = \"openai\"\nname = \"ai\"\nbase = \"https://models.example.com\"");
    assert_eq!(read(&short).0.len(), 4, "a short name is not searched for within a word");
}

#[test]
fn variable_in_a_key_file_is_read_like_one_of_the_environment() {
    let text = format!(
        "GEMINI_API_KEYS={A},{B}\n\
         GEMINI_PAID_KEYS=\"{C}\" project=p # ours\n\
         export GEMINI_FREE_KEYS='abc=not-a-real-key-4'\n\
         GEMINI_API_KEY_2=[\"not-a-real-key-5\", \"short\"]\n"
    )
    .replace("\", \"", "\",\"");
    let (keys, problems) = loaded("x.env", &text);
    let plain: Vec<_> = keys.into_iter().map(|key| key.label("")).collect();
    let expected = [
        Key::new(A),
        Key::new(B),
        Key::paid(C).project("p"),
        Key::free("abc=not-a-real-key-4"),
        Key::new("not-a-real-key-5"),
    ];
    assert!(plain == expected.map(|key| key.label("")), "{plain:?}");
    assert_eq!(
        problems,
        ["x.env:4: secret: expected a key: at least 8 visible ASCII characters, without commas and quotes"]
    );
    let (keys, problems) = loaded("x.env", "GEMINI_API_KEY=\nGOOGLE_API_KEY=\"\"\nNOTAREALKEY4567===\n");
    assert_eq!((keys.len(), problems.len()), (1, 0), "an empty variable has no key: {problems:?}");
}

#[test]
fn only_a_file_without_a_readable_entry_counts_as_failed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("x.env");
    for (text, failed) in [
        (format!("OPENAI_API_KEY={A}\nSTRIPE_SECRET_KEY={B}\n"), false),
        ("key,teir\n".to_owned(), false),
        (format!("OPENAI_API_KEY={A}\nshort\n"), true),
        ("short\n".to_owned(), true),
        (String::new(), false),
    ] {
        std::fs::write(&path, &text).unwrap();
        let mut read = Loaded::default();
        read.add_file(&path);
        assert_eq!((read.keys.len(), read.has_failed_file), (0, failed), "{text}");
    }
}

#[test]
fn invalid_lines_are_reported_and_valid_ones_are_loaded() {
    let text = format!(
        "# our keys\n\
         {A} project=a\n\
         \n\
         {B} teir=free\n\
         {B} rpm=ten\n\
         {B} project=a stray\n\
         {B} label=\"open\n\
         short\n\
         project=a {B}\n\
         {B},{C}\n\
         schlüssel-mit-umlaut\n\
         {B} zone=Mars/Olympus\n\
         {C} tier=paid # the last one\n"
    );
    let (keys, problems) = loaded("keys.txt", &text);
    assert_eq!(keys.len(), 2);
    assert_eq!(
        problems,
        [
            "keys.txt:4: \"teir\" is not an option; did you mean \"tier\"?",
            "keys.txt:5: rpm: expected a whole number, 0 or more",
            "keys.txt:6: word 3 is not an option: write name=value, with quotes around spaces",
            "keys.txt:7: a quote is not closed",
            "keys.txt:8: secret: expected a key: at least 8 visible ASCII characters, without commas and quotes",
            "keys.txt:9: the text before = is not a name for a key of gemini; options come after the key",
            "keys.txt:10: secret: expected a key: at least 8 visible ASCII characters, without commas and quotes",
            "keys.txt:11: secret: expected a key: at least 8 visible ASCII characters, without commas and quotes",
            "keys.txt:12: zone: expected an IANA time zone such as America/Los_Angeles",
        ]
    );
    let snapshot = pool_of(keys).snapshot(0, 10);
    let labels: Vec<_> = snapshot.keys.iter().map(|key| key.label.as_deref().unwrap_or_default()).collect();
    assert!(labels[0].ends_with("keys.txt:2") && labels[1].ends_with("keys.txt:13"), "{labels:?}");
}

#[test]
fn all_formats_load_the_same_keys() {
    let (plain, problems) = loaded("keys", &format!("\u{feff}{A} owner=a tier=free\r\n{B} name=second weight=3\r\n"));
    assert_eq!(problems, [""; 0]);
    let csv = format!("Name,API Key,Project,Tier,weight\n,{A},a,free,\n# a comment\nsecond,{B},,,3\n");
    let (tsv, semicolons) = (csv.replace(',', "\t"), csv.replace(',', ";"));
    let json = format!(
        r#"[{{"key": "{A}", "project": "a", "tier": "free", "label": null}}, {{"id": "second", "api_key": "{B}", "weight": 3}}]"#
    );
    for (name, text) in
        [("keys.csv", &csv), ("keys", &csv), ("keys.tsv", &tsv), ("keys.json", &json), ("keys.txt", &json)]
            .into_iter()
            .chain([("keys.csv", &semicolons), ("keys", &semicolons)])
    {
        let (keys, problems) = loaded(name, text);
        assert_eq!(problems, [""; 0], "{name}");
        let without_label = |key: &Key| key.clone().label("");
        assert!(keys.iter().map(without_label).eq(plain.iter().map(without_label)), "{name}: {keys:?}");
    }
    let (keys, problems) = loaded("keys.json", &format!(r#"["{A}", "{B}"]"#));
    assert_eq!((keys.len(), problems.len()), (2, 0));
}

#[test]
fn short_text_is_a_key_in_no_source_unless_it_is_a_usual_placeholder() {
    for (name, text) in [("keys.txt", "WORD"), ("keys.csv", "key,project\nWORD,a\n"), ("keys.json", "[\"WORD\"]")] {
        for (word, keys) in [("AIza-77", 0), ("ollama", 1)] {
            assert_eq!(loaded(name, &text.replace("WORD", word)).0.len(), keys, "{name}: {word}");
        }
    }
    let listed = config("[[keys]]\nsecret = \"AIza-77\"\n[[keys]]\nsecret = \"EMPTY\"\n").keys(&nothing());
    assert_eq!((listed.keys.len(), listed.problems.len()), (0, 2), "{:?}", listed.problems);
}

#[test]
fn invalid_rows_and_objects_are_reported_with_their_lines() {
    let (keys, problems) =
        loaded("keys.csv", &format!("key,teir,rpm\n{A},free,10\n{B},,many\n{C},,5,surplus\n,,7\n,,\n"));
    assert_eq!(keys.len(), 1);
    assert_eq!(
        problems,
        [
            "keys.csv:1: a column is ignored: \"teir\" is not an option; did you mean \"tier\"?",
            "keys.csv:3: rpm: expected a whole number, 0 or more",
            "keys.csv:4: the row has more columns than the first line",
            "keys.csv:5: the entry has no key",
        ]
    );
    let (keys, problems) = loaded("keys.csv", &format!("; ours\nkey,project\n{A},a\n"));
    assert_eq!((keys.len(), problems.len()), (1, 0), "{problems:?}");
    let (keys, problems) = loaded("keys.csv", "project,tier\na,free\n");
    assert_eq!(
        (keys.len(), problems),
        (0, vec!["keys.csv:1: the first line must name the columns, one of them key".to_owned()])
    );

    let json = format!(
        "[\n  {{\"key\": \"{A}\"}},\n  {{\"key\": \"{B}\", \"wieght\": 2}},\n  17,\n  {{\"key\": \"{C}\", \"limits\": {{\"m\": {{\"rpn\": 1}}}}}}\n]"
    );
    let (keys, problems) = loaded("keys.json", &json);
    assert_eq!(keys.len(), 1);
    assert_eq!(
        problems,
        [
            "keys.json:3: \"wieght\" is not an option; did you mean \"weight\"?",
            "keys.json:4: expected a table",
            "keys.json:5: limits by model: \"rpn\" is not an option; did you mean \"rpm\"?",
        ]
    );
    let (keys, problems) = loaded("keys.json", "[\n \"AIza");
    assert_eq!((keys.len(), problems.len()), (0, 1));
    assert!(problems[0].starts_with("keys.json:2: expected a JSON array of keys"), "{problems:?}");
    for (json, cause) in [
        (format!("[\"{A}\",]"), "}]: trailing comma at line 1 column 28"),
        (format!("{{\"key\": \"{A}\"}}\n{{\"key\": \"{B}\"}}"), "\"project\": \"a\"}]"),
        (format!("{{\"keys\": [\"{A}\"]}}"), "\"project\": \"a\"}]"),
    ] {
        let (_, problems) = loaded("keys.json", &json);
        assert!(problems[0].ends_with(cause), "{problems:?}");
    }
}

#[test]
fn duplicate_keys_are_reported_and_the_last_entry_counts() {
    let (keys, problems) = loaded("keys.txt", &format!("{A} project=a\n{B} id=x\n{C} id=x\n{A} project=b\n"));
    assert_eq!(
        problems,
        [
            "keys.txt:3: the key at keys.txt:2 has the same id, x",
            "keys.txt:1: this key is listed at keys.txt:4, too, and its last entry is used",
        ]
    );
    let snapshot = pool_of(keys).snapshot(0, 10);
    let projects: Vec<_> = snapshot.keys.iter().map(|key| &*key.project).collect();
    assert_eq!(projects, ["b", "x"]);

    // The ids of the entries may differ.
    let (keys, problems) = loaded("keys.txt", &format!("{A} id=one rpm=5\n{B} id=two\n{A} id=two\n{A} id=three\n"));
    assert_eq!(
        problems,
        [
            "keys.txt:3: the key at keys.txt:2 has the same id, two",
            "keys.txt:1: this key is listed at keys.txt:4, too, and its last entry is used",
        ]
    );
    let ids: Vec<_> = keys.iter().map(|key| key.id().to_string()).collect();
    assert_eq!(ids, ["three", "two"]);
    assert!(
        keys[0].clone().label("") == Key::new(A).named("three").label(""),
        "an option of the earlier entry is kept"
    );
}

#[test]
fn intervals_are_read_with_and_without_units() {
    let of = |text: &str| loaded("keys.txt", &format!("{A} interval={text} label=x"));
    for (text, millis) in
        [("5", 5_000), ("0.5", 500), ("500ms", 500), ("2s", 2_000), ("1m", 60_000), ("24h", 86_400_000)]
    {
        let (keys, problems) = of(text);
        assert_eq!(problems, [""; 0], "{text}");
        let expected = Key::new(A).min_interval(Duration::from_millis(millis));
        assert!(keys[0].clone().label("") == expected.label(""), "{text}");
    }
    for text in ["-1", "NaN", "inf", "25h", "1d", "h", "1e400"] {
        assert_eq!(of(text).1.len(), 1, "{text}");
    }
}

#[test]
fn missing_file_is_reported() {
    let mut loaded = Loaded::default();
    loaded.add_file("nowhere/keys.txt");
    assert!(loaded.keys.is_empty());
    assert!(loaded.problems[0].to_string().starts_with("nowhere/keys.txt: the file cannot be read: "));
}

// === Variables ===

#[test]
fn keys_are_read_from_the_variables_of_the_provider() {
    let environment = Environment::from_vars([
        ("GEMINI_API_KEYS", "key-number-0001, key-number-0002;key-number-0003\nkey-number-0004"),
        ("GEMINI_API_KEY", "\"key-number-0005\""),
        ("GEMINI_API_KEY_10", "key-number-0010"),
        ("GEMINI_API_KEY_9", "key-number-0009"),
        ("GOOGLE_API_KEY", "key-number-0006"),
        ("GEMINI_FREE_KEYS", "[\"key-number-0007\"]"),
        ("GEMINI_PAID_KEYS", "key-number-0008 ünlesbar"),
        ("GEMINI_API_KEY_OLD", "key-number-0099"),
        ("OPENAI_API_KEY", "key-number-0098"),
        ("GROQ_API_KEYS", "key-number-0097"),
    ]);
    let keys = |config: &PoolConfig| {
        let loaded = config.keys(&environment);
        let snapshot = pool_of(loaded.keys).snapshot(0, 100);
        let label = |key: &tower_keypool::pool::KeyView| key.label.as_deref().unwrap_or_default().to_owned();
        let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
        (snapshot.keys.iter().map(|key| (label(key), key.tier)).collect::<Vec<_>>(), problems)
    };
    let (gemini, problems) = keys(&PoolConfig::default());
    let expected = [
        ("GEMINI_API_KEY, value 1", Tier::Unknown),
        ("GOOGLE_API_KEY, value 1", Tier::Unknown),
        ("GEMINI_API_KEYS, value 1", Tier::Unknown),
        ("GEMINI_API_KEYS, value 2", Tier::Unknown),
        ("GEMINI_API_KEYS, value 3", Tier::Unknown),
        ("GEMINI_API_KEYS, value 4", Tier::Unknown),
        ("GEMINI_API_KEY_9, value 1", Tier::Unknown),
        ("GEMINI_FREE_KEYS, value 1", Tier::Free),
        ("GEMINI_PAID_KEYS, value 1", Tier::Paid),
        ("GEMINI_API_KEY_10, value 1", Tier::Unknown),
    ];
    let named: BTreeSet<_> = gemini.iter().map(|(label, tier)| (label.as_str(), format!("{tier:?}"))).collect();
    assert_eq!(named, expected.iter().map(|(label, tier)| (*label, format!("{tier:?}"))).collect());
    let at = |label: &str| gemini.iter().position(|(held, _)| held.starts_with(label));
    assert!(at("GEMINI_API_KEY_9") < at("GEMINI_API_KEY_10"));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("GEMINI_PAID_KEYS, value 2: secret: expected a key"), "{problems:?}");

    let groq = config("provider = \"openai\"\nname = \"groq\"\nbase = \"https://api.groq.com/openai/v1\"");
    assert_eq!(keys(&groq).0, [("GROQ_API_KEYS, value 1".to_owned(), Tier::Unknown)]);
    let openai = config("provider = \"openai\"\nkey_variables = false");
    assert!(openai.keys(&environment).keys.is_empty());
}

#[test]
fn options_of_keys_in_a_variable_are_read_and_other_texts_are_not_keys() {
    let value =
        format!("{A} project=a rpm=5; {B} tier=free; short\nproject=b\nOPENAI_API_KEY=sk-not-a-real-key-9\n{C}");
    let environment = Environment::from_vars([("GEMINI_PAID_KEYS", value)]);
    let loaded = PoolConfig::default().keys(&environment);
    let plain: Vec<_> = loaded.keys.iter().map(|key| key.clone().label("")).collect();
    let first = Key::paid(A).project("a").limits("*", Limits::new().per_minute(5));
    assert!(plain == [first, Key::free(B), Key::paid(C)].map(|key| key.label("")), "{plain:?}");
    let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "GEMINI_PAID_KEYS, value 3: secret: expected a key: at least 8 visible ASCII characters, without commas and quotes",
            "GEMINI_PAID_KEYS, value 4: the text before = is not a name for a key of gemini; options come after the key",
            "GEMINI_PAID_KEYS, value 5: OPENAI_API_KEY is not a name for a key of gemini; options come after the key",
        ]
    );
}

#[test]
fn comma_in_an_option_separates_no_keys() {
    let of_variable = |value: &str| {
        let loaded = PoolConfig::default().keys(&Environment::from_vars([("GEMINI_API_KEYS", value)]));
        let plain: Vec<_> = loaded.keys.into_iter().map(|key| key.label("")).collect();
        (plain, loaded.problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>())
    };
    let of_file = |value: &str| {
        let (keys, problems) = loaded("x.env", &format!("GEMINI_API_KEYS={value}"));
        let message = |problem: String| problem.replace("x.env:1: ", "");
        (keys.into_iter().map(|key| key.label("")).collect(), problems.into_iter().map(message).collect())
    };
    let models = Key::new(A).models(["gemini-2.5-flash", "gemini-2.5-pro"]).project("z").label("");
    for (value, key) in [
        (format!("{A} models=gemini-2.5-flash,gemini-2.5-pro project=z"), models),
        (format!("{A} project=z tier=free"), Key::free(A).project("z").label("")),
        (format!("{A} project='a b'"), Key::new(A).project("a b").label("")),
        (
            format!("{A} project='a, b; c' rpm=1"),
            Key::new(A).project("a, b; c").limits("*", Limits::new().per_minute(1)).label(""),
        ),
    ] {
        assert_eq!(of_variable(&value), (vec![key.clone()], vec![]), "{value}");
        assert_eq!(of_variable(&format!("\"{value}\"")), (vec![key.clone()], vec![]), "{value}");
        assert_eq!(of_file(&format!("\"{value}\"")), (vec![key], vec![]), "{value}");
    }
    for label in [format!("{A} label=\"x, y\""), format!("'{A} label=\"x, y\"'")] {
        let loaded = loaded("x.env", &format!("GEMINI_API_KEYS={label}"));
        let options = loaded.0.first().map(KeyEntry::options).unwrap_or_default();
        assert!(options["label"].as_str().unwrap().starts_with("x, y ("), "{loaded:?}");
    }
    let unclear = "keys with options are separated by semicolons; a value with a comma needs quotes";
    let stray = "word 3 is not an option: write name=value, with quotes around spaces";
    let model = "models: expected names of models with commas between them";
    for (value, message) in [
        (format!("{A} project=a rpm=5, {B} tier=free"), unclear),
        (format!("{A} project=a,{B}"), unclear),
        (format!("{A},{B} project=a"), unclear),
        (format!("{A} label=team,production-east project=z"), unclear),
        (format!("{A} models=gemini-2.5-flash, gemini-2.5-pro rpm=2"), stray),
        (format!("{A} models=gemini-2.5-flash,{B}"), model),
    ] {
        assert_eq!(of_variable(&value), (vec![], vec![message.to_owned()]), "{value}");
        assert_eq!(of_file(&format!("\"{value}\"")), (vec![], vec![message.to_owned()]), "{value}");
    }
}

#[test]
fn key_of_another_vendor_is_not_used() {
    let base = "base = \"http://127.0.0.1:1\"";
    for (kind, secret, refused) in [
        ("gemini", A, None),
        ("gemini", "made-up-key-for-a-test", None),
        ("gemini", "sk-ant-not-a-real-key", Some("this looks like a key of Anthropic, not of Google")),
        ("gemini", "sk-or-v1-not-a-real-key", Some("this looks like a key of OpenRouter, not of Google")),
        ("gemini", "sk-proj-not-a-real-key", Some("this looks like a key of OpenAI, not of Google")),
        ("gemini", "gsk_not-a-real-key", Some("this looks like a key of Groq, not of Google")),
        ("gemini", "|---|---|", Some("this is not a key of Google")),
        ("gemini", "https://example.com/?key=AIza-not-a-real-key", Some("this is not a key of Google")),
        ("gemini", "joe@example.com:AIza-not-a-real-key", Some("this is not a key of Google")),
        ("anthropic", "sk-ant-not-a-real-key", None),
        ("anthropic", A, Some("this looks like a key of Google, not of Anthropic")),
        ("openai", A, None),
    ] {
        let text = format!("key_variables = false\nprovider = \"{kind}\"\nkeys = [{{ secret = \"{secret}\" }}]\n");
        let loaded = config(&text).keys(&nothing());
        let message = loaded.problems.first().map(|problem| problem.message.as_str());
        assert_eq!((loaded.keys.len(), loaded.problems.len()), (refused.is_none().into(), refused.is_some().into()));
        assert!(message.unwrap_or_default().starts_with(refused.unwrap_or_default()), "{kind} {secret}: {message:?}");
        let elsewhere = config(&format!("{text}{base}")).keys(&nothing());
        assert_eq!(elsewhere.keys.len(), 1, "another address may need any key: {kind} {secret}");
    }
    for (kind, name, is_used) in [
        ("gemini", "GoogleAIStudio", true),
        ("gemini", "Vertex AI", true),
        ("gemini", "my account", true),
        ("gemini", "Claude", false),
        ("gemini", "Mistral", false),
        ("anthropic", "claude", true),
        ("anthropic", "Gemini", false),
        ("openai\"\nname = \"groq\"\nbase = \"https://api.groq.com", "GroqCloud", true),
        ("openai\"\nname = \"ai\"\nbase = \"https://api.x.ai", "openai", false),
        ("openai", "Azure OpenAI", true),
    ] {
        let text = format!(
            "key_variables = false\nprovider = \"{kind}\"\nkeys = [{{ secret = \"not-a-real-key-1\", vendor = \"{name}\" }}]"
        );
        assert_eq!(config(&text).keys(&nothing()).keys.len(), usize::from(is_used), "{kind} {name}");
    }
    let mut unnamed = Loaded::default();
    let entry = serde_json::from_value(serde_json::json!({ "key": A, "provider": "gemini" })).unwrap();
    unnamed.add_entry("x", entry, &nothing());
    assert_eq!(unnamed.keys.len(), 1, "{:?}", unnamed.problems);
    let folder = TempDir::new().unwrap();
    let table = format!("key,Provider\n{A},Google Gemini\n{B},openai\n{C},\n{},\n", "x".repeat(513));
    let json = format!(r#"["{A}", {{"key": "{B}", "vendor": "anthropic"}}, "{C}", "a/b/c/d/e"]"#);
    for (name, text, line) in [("keys.csv", table, 3), ("keys.json", json, 1)] {
        std::fs::write(folder.path().join(name), text).unwrap();
        let mut loaded = Loaded::of(&PoolConfig::default());
        loaded.add_file(folder.path().join(name));
        assert_eq!((loaded.keys.len(), loaded.problems.len()), (2, 2), "{:?}", loaded.problems);
        let expected = format!("{name}:{line}: this looks like a key of another provider");
        assert!(loaded.problems[0].to_string().ends_with(&expected), "{:?}", loaded.problems);
        assert!(loaded.problems[1].message.starts_with("this is not a key of Google"), "{:?}", loaded.problems);
    }
}

#[test]
fn variables_override_the_file() {
    let environment = Environment::from_vars([
        ("KEYPOOL__STRATEGY", "lru"),
        ("KEYPOOL__WAIT", "2"),
        ("KEYPOOL__KEY_VARIABLES", "false"),
        ("KEYPOOL__KEY_FILES", "[\"a.txt\", \"b.txt\"]"),
        ("KEYPOOL__LIMITS__m__RPM", "7"),
        ("KEYPOOL__NAME", "least-loaded"),
        ("KEYPOOL__BASE", " "),
    ]);
    let text = "strategy = \"weighted\"\nwait = \"1m\"\nkey_files = [\"c.txt\"]\n[limits.m]\nrpm = 1\nrpd = 2";
    let config = PoolConfig::from_toml("keypool.toml", text, &environment).unwrap();
    assert_eq!((config.strategy.as_str(), config.wait), ("lru", Duration::from_secs(2)));
    assert_eq!(config.key_files, [PathBuf::from("a.txt"), PathBuf::from("b.txt")]);
    assert_eq!((config.key_variables, config.name.as_deref(), config.base), (Some(false), Some("least-loaded"), None));
    assert_eq!(config.limits["m"].limits(), Limits::new().per_minute(7).per_day(2));
}

// === Files ===

#[test]
fn empty_option_of_a_key_in_a_variable_is_no_key() {
    for value in [format!("{A} project="), format!("{A} zone= project=\n{B} label="), format!("{A} models=\"\"; {B}")] {
        let loaded = PoolConfig::default().keys(&Environment::from_vars([("GEMINI_API_KEYS", value.clone())]));
        let plain: Vec<_> = loaded.keys.iter().map(|key| key.clone().label("")).collect();
        assert!(
            plain
                == [Key::new(A), Key::new(B)][..plain.len()]
                    .iter()
                    .map(|key| key.clone().label(""))
                    .collect::<Vec<_>>()
        );
        assert_eq!((plain.len(), loaded.problems.len()), (1 + value.matches(B).count(), 0), "{:?}", loaded.problems);
    }
}

#[test]
fn key_of_a_list_in_a_variable_is_at_that_variable() {
    let environment =
        Environment::from_vars([("KEYPOOL__KEYS", format!("[{{ secret = \"{A}\" }}, {{ tier = \"x\" }}]"))]);
    let loaded =
        PoolConfig::from_toml("keypool.toml", "key_variables = false", &environment).unwrap().keys(&environment);
    let place = loaded.place(&loaded.keys[0].id());
    assert_eq!(place, Some("KEYPOOL__KEYS, entry 1 of [[keys]]"));
    assert_eq!(loaded.problems[0].place, "KEYPOOL__KEYS, entry 2 of [[keys]]");
}

#[test]
fn list_of_models_without_a_name_is_an_error() {
    let (keys, problems) = loaded("keys.txt", &format!("{A} models=, project=a\n{B} models=a, project=b\n"));
    assert_eq!(keys.len(), 1);
    assert_eq!(problems, ["keys.txt:1: models: expected names of models with commas between them"]);
}

#[test]
fn all_faults_are_reported_at_once_with_their_places() {
    let environment = Environment::from_vars([
        ("KEYPOOL__WAIT", "soon"),
        ("KEYPOOL__STRATGEY", "lru"),
        ("KEYPOOL__PROVIDER__X", "1"),
    ]);
    let text = format!(
        "provider = \"gemini\"\n\
         strategy = \"{A}\"\n\
         headers = \"x-key\"\n\
         \n\
         [limits.m]\n\
         rpm = \"{B}\"\n\
         rpdd = 3\n\
         \n\
         [[keys]]\n\
         secret = \"{A}\"\n\
         tier = \"gold\"\n\
         \n\
         [[errors]]\n\
         status = 429\n\
         class = \"{C}\"\n"
    );
    let mut messages = faults(&text, &environment);
    assert!(!messages.concat().contains("not-a-real-key"), "{messages:?}");
    messages.sort_unstable();
    let expected = [
        "KEYPOOL__PROVIDER__X: the parent setting is not a table",
        "KEYPOOL__STRATGEY: \"stratgey\" is not an option; did you mean \"strategy\"?",
        "KEYPOOL__WAIT: expected seconds, or a time such as 500ms, 2s or 1m; at most 24h",
        "keypool.toml:15: errors.class: expected one of rate_limit",
        &format!(
            "keypool.toml:2: strategy: expected one of {}",
            tower_keypool::Strategy::ALL.map(tower_keypool::Strategy::as_str).join(", ")
        ),
        "keypool.toml:3: \"headers\" is not an option; did you mean \"header\"?",
        "keypool.toml:6: limits.m.rpm: expected a whole number, 0 or more",
        "keypool.toml:7: \"rpdd\" is not an option; did you mean \"rpd\"?",
    ];
    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    for (message, expected) in messages.iter().zip(expected) {
        assert!(message.starts_with(expected), "{message}\n{expected}");
    }
    let rule = faults("[[errors]]\nstatus = \"429\"\nclass = \"billing\"\n", &nothing());
    assert_eq!(rule, ["keypool.toml:2: a value or a list of values"], "it does not lack a status");
}

#[test]
fn invalid_toml_is_reported_with_its_lines() {
    let messages = faults("wait = 1\nstrategy = = \"lru\"\n[limits\n", &nothing());
    assert!(messages[0].starts_with("keypool.toml:2: "), "{messages:?}");
    assert!(messages.iter().any(|line| line.starts_with("keypool.toml:3: ")), "{messages:?}");
}

#[test]
fn provider_is_chosen_and_missing_settings_are_reported() {
    let named = |text: &str| config(text).provider().unwrap().name().to_owned();
    assert_eq!(named(""), "gemini");
    assert_eq!(named("provider = \"openai\""), "openai");
    assert_eq!(named("provider = \"openai\"\nbase = \"https://acme.openai.azure.com\""), "azure");
    assert_eq!(named("provider = \"openai\"\nname = \"groq\"\nbase = \"https://api.groq.com/openai/v1\""), "groq");
    assert_eq!(named("provider = \"anthropic\""), "anthropic");
    assert_eq!(named("provider = \"api-key-header\"\nbase = \"https://api.acme.example\"\nname = \"acme\""), "acme");
    let base = |text: &str| config(text).provider().unwrap().base().to_string();
    assert_eq!(base("base = \"http://127.0.0.1:8080\""), "http://127.0.0.1:8080");
    for (text, expected) in [
        ("provider = \"gemmini\"", "expected one of gemini, openai, anthropic, api-key-header"),
        ("provider = \"api-key-header\"", "needs a base"),
        ("header = \"x-key\"", "header is only allowed for"),
        ("base = \"not a url\"", "keypool.toml: "),
    ] {
        let messages = faults(text, &nothing());
        assert!(messages[0].contains(expected), "{messages:?}");
    }
}

#[test]
fn secrets_of_entries_are_read_from_variables() {
    let text = format!(
        "key_variables = false\n\
         [[keys]]\nsecret_env = \"WORK_KEY\"\nlabel = \"work\"\n\
         [[keys]]\nsecret_env = \"NO_SUCH_KEY\"\n\
         [[keys]]\nproject = \"a\"\n\
         [[keys]]\nsecret = \"{B}\"\nlabel = \"this is {B}\"\n\
         [[keys]]\nsecret = \"not-a-real-key\"\nid = \"of not-a-real-key\"\n\
         [[keys]]\nsecret = \"{B}\"\nteir = \"free\"\n\
         [[keys]]\nsecret = \"{B}\"\nlimits.m.rpm = -1\n"
    );
    // A key may have been written in place of the name.
    let pasted = config("name = \"a\"\n[[keys]]\nsecret_env = \"gsk_abcdEFGHijklMNOP\"").keys(&nothing());
    assert!(!format!("{:?}", pasted.problems).contains("abcdEFGH"), "{:?}", pasted.problems);
    let named = config("name = \"groq\"\n[[keys]]\nsecret_env = \"NO_SUCH_KEY\"").keys(&nothing());
    assert_eq!(named.problems[0].place, "keypool.toml, entry 1 of [[keys]] of provider groq");
    let loaded = config(&text).keys(&Environment::from_vars([("WORK_KEY", A)]));
    assert!(loaded.keys == [Key::new(A).label("work (keypool.toml, entry 1 of [[keys]])")]);
    let messages: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "keypool.toml, entry 2 of [[keys]]: the variable NO_SUCH_KEY is not set",
            "keypool.toml, entry 3 of [[keys]]: the entry has no key",
            "keypool.toml, entry 4 of [[keys]]: label: expected a text of at most 256 characters, not a key",
            "keypool.toml, entry 5 of [[keys]]: a name or label contains the key itself, and names and labels are shown",
            "keypool.toml, entry 6 of [[keys]]: \"teir\" is not an option; did you mean \"tier\"?",
            "keypool.toml, entry 7 of [[keys]]: limits by model: expected a whole number, 0 or more",
        ]
    );
}

#[test]
fn key_files_are_relative_to_the_configuration() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("keys.txt"), A).unwrap();
    let path = folder.path().join("keypool.toml");
    std::fs::write(&path, "key_files = [\"keys.txt\", \"missing.txt\"]").unwrap();
    let loaded = PoolConfig::load(&path, &nothing()).unwrap().keys(&nothing());
    assert_eq!((loaded.keys.len(), loaded.problems.len()), (1, 1));
    let error = PoolConfig::load(folder.path().join("no.toml"), &nothing()).unwrap_err();
    assert!(error.to_string().contains("no.toml: the file cannot be read"), "{error}");
}

#[test]
fn keys_pasted_in_place_of_names_are_not_shown() {
    let messages = faults(&format!("{A} = 1\nstrategy = \"lru\""), &nothing());
    assert!(!messages.concat().contains("AIza"), "{messages:?}");
    let loaded = config(&format!("key_files = [\"{A}\"]")).keys(&nothing());
    assert!(!loaded.problems[0].to_string().contains("AIza"), "{:?}", loaded.problems);
    let error = PoolConfig::load(A, &nothing()).unwrap_err();
    assert!(!error.to_string().contains("AIza"), "{error}");
}

#[test]
fn caller_defined_type_is_read_and_its_faults_are_reported() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Gateway {
        listen: String,
        threads: Option<usize>,
        providers: Vec<PoolConfig>,
    }
    let text = "listen = \"127.0.0.1:1\"\n[[providers]]\nwait = 1\n[[providers]]\nprovider = \"openai\"\n[[providers.errors]]\nstatus = 429\nclass = \"billing\"";
    let environment = Environment::from_vars([("KEYPOOL__THREADS", "2"), ("KEYPOOL__LISTEN", "[::1]:2")]);
    let gateway: Gateway = read("keypool.toml", text, &environment).unwrap();
    assert_eq!((gateway.listen.as_str(), gateway.threads, gateway.providers.len()), ("[::1]:2", Some(2), 2));
    assert_eq!(gateway.providers[1].errors.len(), 1);

    // All mistakes of an item are listed, in the order of the file.
    let text = format!(
        "listen = \"\"\n[[providers]]\nwiat = 1\nwait = \"soon\"\nstrategy = \"x\"\nlimits = {{ m = {{ rpd = -1, rpm = 1.5, tpmm = 3 }} }}\n[[providers.errors]]\nclass = \"{C}\"\n[[providers]]\nlimits = 3\n"
    );
    let problems = read::<Gateway>("keypool.toml", &text, &nothing()).unwrap_err();
    let lines: Vec<_> = problems.iter().map(|problem| problem.place.rsplit_once(':').unwrap().1).collect();
    assert_eq!(lines, ["3", "4", "5", "6", "6", "6", "8", "10"], "{problems:?}");

    let problems = read::<Gateway>("keypool.toml", "threads = -1\n[[providers]]\nwiat = 1", &nothing()).unwrap_err();
    let mut messages: Vec<_> = problems.iter().map(ToString::to_string).collect();
    messages.sort_unstable();
    assert_eq!(
        messages,
        [
            "keypool.toml:1: listen is missing",
            "keypool.toml:1: threads: expected a whole number, 0 or more",
            "keypool.toml:3: \"wiat\" is not an option; did you mean \"wait\"?",
        ]
    );
}

// === Every setting has an effect ===

/// Returns the property names of an object in a schema.
fn properties(schema: &serde_json::Value) -> BTreeSet<String> {
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn every_setting_of_the_schema_changes_the_pool() {
    let schema = PoolConfig::json_schema();
    let settings = [
        ("provider", "provider = \"openai\""),
        ("name", "provider = \"openai\"\nname = \"groq\""),
        ("base", "base = \"http://127.0.0.1:1\""),
        ("header", "provider = \"api-key-header\"\nbase = \"http://127.0.0.1:1\"\nheader = \"x-key\""),
        ("strategy", "strategy = \"lru\""),
        ("wait", "wait = \"50ms\""),
        ("key_variables", "key_variables = false"),
        ("key_files", "key_files = [\"missing.txt\"]"),
        ("keys", "[[keys]]\nsecret = \"AIza-not-a-real-key-009\""),
        ("limits", "[limits.m]\nrpm = 1"),
        ("errors", "[[errors]]\nstatus = 418\nclass = \"billing\""),
    ];
    assert_eq!(settings.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), properties(&schema));

    let environment = Environment::from_vars([("GEMINI_API_KEY", A), ("OPENAI_API_KEY", B), ("GROQ_API_KEY", C)]);
    let effect = async |text: &str| {
        let config = config(text);
        let loaded = config.keys(&environment);
        let pool =
            config.builder().unwrap().keys(loaded.keys).key(Key::new("AIza-not-a-real-key-010")).build().unwrap();
        let (mut head, ()) = http::Request::new(()).into_parts();
        pool.provider().authorize(&mut head, &tower_keypool::Secret::new("AIza-not-a-real-key").unwrap()).unwrap();
        let snapshot = pool.snapshot(0, 10);
        let failure = pool.classify(StatusCode::IM_A_TEAPOT, &HeaderMap::new(), b"{}");
        let limit =
            Failure::new(ErrorClass::RateLimit).with_retry_after(Duration::from_millis(30)).with_scope(Scope::Key);
        for key in &snapshot.keys {
            let request = KeyRequest::model("m").affinity(Affinity::RequireKey(key.id.clone()));
            pool.try_acquire(request).unwrap().report(&limit.clone().into());
        }
        let limits = serde_json::to_value(pool.snapshot(0, 10).projects).unwrap();
        let waits = pool.acquire("m").await.is_ok();
        let keys: Vec<_> = snapshot.keys.iter().map(|key| key.id.to_string()).collect();
        format!(
            "{} {} {:?} {} {keys:?} {:?} {limits} {waits} {}",
            pool.provider().name(),
            pool.provider().base(),
            head.headers.keys().collect::<Vec<_>>(),
            snapshot.strategy,
            failure.map(|failure| failure.class() == ErrorClass::Billing),
            loaded.problems.len(),
        )
    };
    let usual = effect("").await;
    for (name, text) in settings {
        // Some settings need a provider beside them: the setting itself must make the difference.
        let without: String =
            text.lines().filter(|line| !line.starts_with(&format!("{name} ="))).collect::<Vec<_>>().join("\n");
        let without = if without.contains('[') { usual.clone() } else { effect(&without).await };
        assert_ne!(effect(text).await, without, "nothing reads {name}");
    }
}

#[test]
fn every_option_of_an_entry_changes_the_key() {
    let schema = PoolConfig::json_schema();
    let usual = Key::new(A).label("keypool.toml, entry 1 of [[keys]]");
    let options = [
        ("secret", "", Key::new(A)),
        ("secret_env", "secret_env = \"OTHER\"", Key::new(B)),
        ("id", "id = \"x\"", Key::new(A).named("x")),
        ("project", "project = 7", Key::new(A).project("7")),
        ("tier", "tier = \"paid\"", Key::paid(A)),
        ("priority", "priority = 2", Key::new(A).priority(2)),
        ("weight", "weight = 3", Key::new(A).weight(3)),
        ("exit", "exit = \"e\"", Key::new(A).exit("e")),
        ("billing_account", "billing_account = \"b\"", Key::new(A).billing_account("b")),
        ("rpm", "rpm = 1", Key::new(A).limits("*", Limits::new().per_minute(1))),
        ("tpm", "tpm = 1", Key::new(A).limits("*", Limits::new().tokens_per_minute(1))),
        ("rpd", "rpd = 1", Key::new(A).limits("*", Limits::new().per_day(1))),
        ("concurrent", "concurrent = 2", Key::new(A).max_concurrent(2)),
        ("interval", "interval = 0.5", Key::new(A).min_interval(Duration::from_millis(500))),
        ("zone", "zone = \"Europe/Berlin\"", Key::new(A).zone("Europe/Berlin")),
        ("models", "models = [\"a\", \"b*\"]", Key::new(A).models(["a", "b*"])),
        ("label", "label = \"l\"", Key::new(A).label("l (keypool.toml, entry 1 of [[keys]])")),
        ("source", "source = \"s\"", Key::new(A).label("s")),
        ("provider", "provider = \"openai\"", Key::new("")),
        ("limits", "limits.m.rpd = 3", Key::new(A).limits("m", Limits::new().per_day(3))),
    ];
    let names: BTreeSet<_> = options.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(names, properties(&schema["$defs"]["KeyEntry"]));
    for (name, text, expected) in options {
        let secret = if name == "secret_env" { String::new() } else { format!("secret = \"{A}\"\n") };
        let loaded = config(&format!("key_variables = false\n[[keys]]\n{secret}{text}"))
            .keys(&Environment::from_vars([("OTHER", B)]));
        let expected = if ["label", "source"].contains(&name) {
            expected
        } else {
            expected.label("keypool.toml, entry 1 of [[keys]]")
        };
        if name == "provider" {
            assert!(loaded.keys.is_empty(), "the key of another provider is skipped");
            continue;
        }
        assert!(loaded.keys == [expected.clone()], "{name}: {:?}", loaded.problems);
        assert!(name == "secret" || expected != usual, "{name}");
    }
}

#[test]
fn every_amount_sets_its_limit() {
    let of = |unit, span| Limits::new().with(Limit { unit, span, amount: 9 });
    let amounts = [
        ("rpm", of(Unit::Requests, Span::MINUTE)),
        ("rpd", of(Unit::Requests, Span::Day)),
        ("tpm", of(Unit::InputTokens, Span::MINUTE)),
        ("tpd", of(Unit::InputTokens, Span::Day)),
        ("output_tpm", of(Unit::OutputTokens, Span::MINUTE)),
        ("total_tpm", of(Unit::Tokens, Span::MINUTE)),
    ];
    let names: BTreeSet<_> = amounts.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names, properties(&PoolConfig::json_schema()["$defs"]["LimitsEntry"]));
    for (name, limits) in amounts {
        assert_eq!(config(&format!("[limits.m]\n{name} = 9")).limits["m"].limits(), limits);
    }
}

#[test]
fn key_is_read_back_from_its_options() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keys.json");
    let entry = format!(
        r#"[{{"key": "{A}", "id": "a", "owner": "p", "tier": "paid", "priority": 3, "weight": 2, "exit": "x", "billing_account": "b",
             "rpm": 10, "rpd": 250, "concurrent": 4, "interval": "500ms", "zone": "UTC", "models": "m,n*",
             "limits": {{"m": {{"tpm": 9, "output_tpm": 8}}}}}}]"#
    );
    std::fs::write(&file, entry).unwrap();
    let mut read = Loaded::default();
    read.add_file(&file);
    let key = read.keys[0].clone();
    let place = read.place(&key.id()).unwrap().to_owned();
    assert!(place.ends_with("keys.json:1"), "{place}");
    let options = KeyEntry::options(&key);
    assert_eq!((&options["rpm"], &options["interval"]), (&10.into(), &0.5.into()));
    let mut again = Loaded::default();
    let entry = serde_json::from_value(options.into()).unwrap();
    again.add_entry("elsewhere", entry, &nothing());
    assert!(again.keys == [key.label(format!("{place} (elsewhere)"))], "{:?}", again.problems);
}
