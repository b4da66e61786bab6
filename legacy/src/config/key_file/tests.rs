use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    key::{Priority, Tier},
    limit::Limits,
};

const ONE: &str = "AIza-test-key-000000001";
const TWO: &str = "AQ.test-key-00000000002";

fn parse(text: &str) -> KeyFile {
    parse_as("keys.txt", text)
}

fn parse_as(name: &str, text: &str) -> KeyFile {
    KeyFile::parse(Path::new(name), text.as_bytes(), &["PLACEHOLDER_GEMINI_TOKEN"]).unwrap()
}

/// The only error of a file of one line.
fn error(line: &str) -> LineError {
    let file = parse(line);
    assert!(file.entries.is_empty(), "{line} was taken");
    file.skipped[0].error
}

#[test]
fn comments_blank_lines_bom_and_crlf() {
    let text = format!("\u{feff}# keys\r\n\r\n{ONE}\r\n  \t\r\n   {TWO} tier=paid # mine\r\n#{ONE}x\r\n");
    let file = parse(&text);
    assert_eq!(file.entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [3, 5]);
    assert!(file.skipped.is_empty() && file.merged.is_empty());
    assert_eq!(file.entries[1].spec.tier, Some(Tier::Paid));
    assert_eq!(file.entries[1].spec.key().priority_of(), Priority::PAID);
    assert_eq!(file.entries[0].spec.key().priority_of(), Priority::FREE);
    assert_eq!(file.entries[1].spec.origin().to_string(), "keys.txt:5");
}

#[test]
fn every_option_is_taken() {
    let line = format!(
        "{ONE} id=work tier=free priority=3 weight=2.5 owner=project-a rpm=10 tpm=250000 rpd=250 concurrent=4 \
         interval=500ms zone=America/Los_Angeles label=source:mail label=\"my laptop\""
    );
    let file = parse(&line);
    assert_eq!(file.skipped, []);
    let spec = &file.entries[0].spec;
    assert_eq!((spec.id.as_deref(), spec.owner.as_deref()), (Some("work"), Some("project-a")));
    assert_eq!(spec.priority, Some(Priority(3)));
    assert_eq!(spec.limits["*"], Limits::new().per_minute(10).tokens_per_minute(250_000).per_day(250));
    assert_eq!(spec.labels["source"], "mail");
}

#[test]
fn what_is_no_key_is_named() {
    assert_eq!(error("too-short"), LineError::TooShort(9));
    assert_eq!(error("ya29.a0AfH6SMBxxxxxxxxxxxxxxxxxxxx"), LineError::AccessToken);
    assert_eq!(error("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"), LineError::WebToken);
    assert_eq!(error("https://example.com/a/long/enough/path"), LineError::Url);
    assert_eq!(error("PLACEHOLDER_GEMINI_TOKEN"), LineError::ClientToken);
    assert_eq!(error("GEMINI_API_KEY=AIzaxxxxxxxxxxxxxxxxxxxx"), LineError::Assignment);
    for line in ["export GEMINI_API_KEY=AIzaxxxxxxxxxxxxxxxxxxxx", "export MINE=AIzaxxxxxxxxxxxxxxxxxxxxxxxxxxx"] {
        assert_eq!(error(line), LineError::Assignment, "{line}");
    }
    for name in ["GEMINI_KEYS=", "OPENAI_API_KEY_2=", "HF_TOKEN=", "MY_SECRET="] {
        assert_eq!(error(&format!("{name}{ONE}")), LineError::Assignment, "{name}");
    }
    for name in ["key=", "api_key=", "Key:", "x-goog-api-key:", "Authorization:", "apiKey="] {
        assert_eq!(error(&format!("{name}{ONE}")), LineError::Assignment, "{name}");
    }
    assert_eq!(error(&format!("\"{ONE}\",")), LineError::Punctuated);
    assert_eq!(error(&format!("//{ONE}")), LineError::Slashes);
    assert_eq!(error("AIza-test-key-0000\u{e9}0001"), LineError::Character(18));
    assert_eq!(
        KeyFile::parse(Path::new("k"), b"AIza-test-key-0000\xff0001", &[]).unwrap().skipped[0].error,
        LineError::NotText
    );
    assert!(parse("c2VjcmV0LWtleS1vZi1hLXByb3ZpZGVy==").skipped.is_empty(), "base64 may end in =");
}

#[test]
fn keys_are_opaque_whatever_stands_in_them() {
    for key in [
        "123456789:AAxyz-not-a-real-key-01",
        "PROJECT_A:not-a-real-key-0000001",
        "AB12=not-a-real-key-00000000001",
        "MY-ACCOUNT=not-a-real-key-000001",
        "2_KEY=not-a-real-key-00000000001",
        "a/b+key=not-a-real-key-000000001",
        "6f1d0c1e-2b3a-4c5d-8e9f-0a1b2c3d4e5f:0123456789abcdef",
        "monkey:not-a-real-key-0000000001",
    ] {
        let file = parse(key);
        assert_eq!((file.skipped.len(), file.entries.len()), (0, 1), "{key}: {:?}", file.skipped);
        assert_eq!(file.entries[0].spec.secret, key);
    }
}

#[test]
fn a_wrong_option_is_named_and_its_value_is_not() {
    let value = |option: &str| {
        let error = error(&format!("{ONE} {option}"));
        let text = error.to_string();
        let (name, value) = option.split_once('=').unwrap();
        assert!(text.contains(name), "{text}");
        assert!(value.len() < 4 || !text.contains(value), "{text}");
    };
    for option in [
        "weight=0",
        "weight=nan",
        "weight=-4.75",
        "rpm=tenn",
        "rpd=-17",
        "concurrent=0",
        "concurrent=65535",
        "interval=9q",
        "interval=25h",
        "zone=Mars/Olympus",
        "tier=payed",
        "priority=70000",
        "id=",
        "id=AIzaSomethingElse",
        "id=..",
        "id=a/../b",
        "id=..;x",
        "id=%2e%2E",
        "label=",
    ] {
        value(option);
    }
    for id in ["a/b", "a..b", "50%", "...", "a%zz"] {
        assert_eq!(parse(&format!("{ONE} id={id}")).entries.len(), 1, "{id}");
    }
    assert_eq!(error(&format!("{ONE} rpm=1 rpm=2")), LineError::Twice("rpm"));
    assert_eq!(error(&format!("{ONE} {TWO}")), LineError::UnknownOption(2));
    assert_eq!(error(&format!("{ONE} rpm=5 colour=red")), LineError::UnknownOption(3));
    assert_eq!(error(&format!("{ONE} label=\"open")), LineError::OpenQuote);
}

#[test]
fn the_same_key_twice_is_merged_and_two_keys_of_one_id_are_not() {
    let file = parse(&format!("{ONE} id=a\n{TWO} id=a\n{ONE} id=b\n"));
    assert_eq!(file.entries.len(), 1);
    assert_eq!(file.merged, [Merged { line: 3, entry: None, into: 1, into_entry: None }]);
    assert_eq!(file.skipped, [Skipped { line: 2, entry: None, error: LineError::IdTaken { by: 1 } }]);
}

#[test]
fn a_name_is_never_a_secret() {
    let file = parse(&format!("{ONE} owner=opaque-secret-0000000003\nopaque-secret-0000000003\n"));
    assert_eq!(file.skipped, [Skipped { line: 1, entry: None, error: LineError::NameIsSecret }]);
    assert_eq!(file.entries.len(), 1);
}

#[test]
fn files_that_give_nothing_name_their_path_and_the_fix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.txt");
    let text = KeyFile::load(&path, &[]).unwrap_err().to_string();
    assert!(text.contains("none.txt") && text.contains("--keys"), "{text}");

    std::fs::write(&path, format!("# nothing\n{ONE} rpm=x\n")).unwrap();
    let text = KeyFile::load(&path, &[]).unwrap_err().to_string();
    assert!(text.contains("none.txt") && text.contains("line 2") && !text.contains(ONE), "{text}");

    let text = KeyFile::load(folder.path(), &[]).unwrap_err().to_string();
    assert!(text.contains("cannot be read"), "{text}");

    std::fs::write(&path, b"\xff\xfeA\0I\0").unwrap();
    let text = KeyFile::load(&path, &[]).unwrap_err().to_string();
    assert!(text.contains("UTF-8"), "{text}");
}

#[test]
fn a_table_has_a_header_and_columns_named_like_options() {
    let text = format!(
        "name,key,tier,rpm,team\nwork,{ONE},free,10,\"data, eu\"\n\nother,{TWO},platinum,,\nagain,{ONE},,,\n,short,,,\n"
    );
    let file = parse_as("keys.csv", &text);
    let spec = &file.entries[0].spec;
    assert_eq!((spec.id.as_deref(), spec.tier.clone()), (Some("work"), Some(Tier::Free)));
    assert_eq!(spec.limits["*"], Limits::new().per_minute(10));
    assert_eq!(file.entries.len(), 1);
    let lines: Vec<usize> = file.skipped.iter().map(|skipped| skipped.line).collect();
    assert_eq!(lines, [4, 6], "{:?}", file.skipped);
    assert_eq!(file.merged, [Merged { line: 5, entry: None, into: 2, into_entry: None }]);
    assert_eq!(spec.labels["team"], "data, eu");
}

/// Whichever quote it meets, one that nobody closes costs its own line.
#[test]
fn a_quote_that_is_left_open_in_a_table_costs_no_other_key() {
    let key = |n: usize| format!("AIza-not-a-real-key-{n:05}");
    for (row, name) in [("KEY,\"a", "team"), ("\"KEY,a", "team"), ("KEY,\"q2", "id")] {
        for again in [false, true] {
            let row = |n: usize| row.replace("KEY", &key(n));
            let more = if again { row(4) } else { format!("{},b", key(4)) };
            let text = format!("key,{name}\n{},a0\n{}\n\n# more\n{},c\n{more}\n{},d\n", key(1), row(2), key(3), key(5));
            let file = parse(&text);
            let lines: Vec<usize> = file.skipped.iter().map(|skipped| skipped.line).collect();
            assert_eq!(lines, if again { vec![3, 7] } else { vec![3] }, "{text}");
            assert!(file.skipped.iter().all(|skipped| skipped.error == LineError::OpenQuote), "{:?}", file.skipped);
            assert_eq!(file.entries.len(), if again { 3 } else { 4 }, "{text}");
        }
    }
    // A text of several lines that is closed is one, and no label.
    let file = parse(&format!("key,note\n{},\"of\ntwo lines\"\n{},b\n", key(1), key(2)));
    assert_eq!((file.entries.len(), file.skipped.len()), (1, 1), "{:?}", file.skipped);
}

#[test]
fn a_table_is_known_by_its_header_and_may_have_semicolons_or_tabs() {
    let file = parse(&format!("api_key;owner\n{ONE};project-a\n{TWO};project-b;more\n"));
    assert_eq!(file.entries[0].spec.owner.as_deref(), Some("project-a"));
    assert_eq!(file.skipped, [Skipped { line: 3, entry: None, error: LineError::Fields }]);
    let file = parse(&format!("# mine\n\napi_key;owner\n{ONE};project-a\n"));
    assert_eq!((file.entries[0].line, file.entries[0].spec.owner.as_deref()), (4, Some("project-a")));
    // A name that is apart by another sign says nothing of the columns.
    let tabs = format!("owner, or team\tkey\r\nproject; a\t{ONE}\r\n");
    for name in ["keys.tsv", "keys.csv", "keys.txt"] {
        let file = parse_as(name, &tabs);
        assert_eq!(file.entries[0].spec.labels["owner, or team"], "project; a", "{name}");
    }
    let wrong = KeyFile::parse(Path::new("keys.tsv"), format!("{ONE}\n{TWO}\n").as_bytes(), &[]).unwrap_err();
    assert!(wrong.to_string().contains("header"), "{wrong}");
    let wrong = KeyFile::parse(Path::new("keys.csv"), format!("{ONE}\n{TWO}\n").as_bytes(), &[]).unwrap_err();
    let text = wrong.to_string();
    assert!(text.contains("keys.csv") && text.contains("header") && !text.contains(ONE), "{text}");
}

/// What stands behind a key is read once where the next line says the same, and means as much.
#[test]
fn lines_that_say_the_same_are_read_as_each_alone() {
    let secret = |n: usize| format!("AIzaSyTEST-one-of-many-{n:010}");
    let behind =
        ["rpm=10 tier=paid", "rpm=10 tier=paid", "rpm=10 tier=paid # a word", "owner=a", "owner=a", "", "", "rpm=x"];
    let behind = [&behind[..], &["rpm=x", "id=one", "id=one", " rpm=1\tlabel=a:b", " rpm=1\tlabel=a:b"]].concat();
    let line = |n: usize| format!("{} {}", if n == 4 { "short".to_owned() } else { secret(n) }, behind[n]);
    let text: Vec<String> = (0..behind.len()).map(line).collect();
    let whole = parse_as("keys.txt", &text.join("\n"));
    let mut alone = Vec::new();
    for (n, text) in text.iter().enumerate() {
        let file = parse_as("keys.txt", &format!("{}{text}", "\n".repeat(n)));
        let entries = file.entries.into_iter().map(|entry| (entry.line, Ok(entry.spec)));
        alone.extend(entries.chain(file.skipped.iter().map(|skipped| (skipped.line, Err(skipped.error)))));
    }
    // One id is one key's.
    alone[10].1 = Err(LineError::IdTaken { by: 10 });
    let entries = whole.entries.into_iter().map(|entry| (entry.line, Ok(entry.spec)));
    let mut all: Vec<_> =
        entries.chain(whole.skipped.iter().map(|skipped| (skipped.line, Err(skipped.error)))).collect();
    all.sort_unstable_by_key(|line| line.0);
    assert_eq!(all, alone);
    assert_eq!(all.iter().filter(|line| line.1.is_err()).count(), 4);
}

#[test]
fn json_holds_texts_and_objects_each_by_its_line() {
    let text = format!(
        r#"[
  "{ONE}",
  {{"key": "{TWO}", "id": "two", "rpm": 10, "tier": "paid", "labels": {{"team": "eu"}}, "owner": null}},
  {{"key": "{TWO}"}},
  {{"id": "none"}}, 7,
  {{"key": "PLACEHOLDER_GEMINI_TOKEN"}},
  {{"key": "{ONE}x", "colour": "red"}}
]"#
    );
    let file = parse_as("keys.json", &text);
    let spec = &file.entries[1].spec;
    assert_eq!(spec.labels, BTreeMap::from([("team".to_owned(), "eu".to_owned())]));
    assert_eq!((spec.id.as_deref(), spec.tier.clone()), (Some("two"), Some(Tier::Paid)));
    assert_eq!(file.entries.len(), 2);
    assert_eq!(file.merged, [Merged { line: 4, entry: Some(3), into: 3, into_entry: Some(2) }]);
    let errors: Vec<(usize, LineError)> = file.skipped.iter().map(|skipped| (skipped.line, skipped.error)).collect();
    assert_eq!(
        errors,
        [
            (5, LineError::NoKey),
            (5, LineError::NotAKey),
            (6, LineError::ClientToken),
            (7, LineError::UnknownMember(2, None)),
        ]
    );
    assert_eq!(parse_as("k.json", &format!(r#"{{"keys": ["{ONE}"]}}"#)).entries.len(), 1);
    let wrong = KeyFile::parse(Path::new("k.json"), format!("[\n\"{ONE}\",\n{TWO}]").as_bytes(), &[]).unwrap_err();
    let text = wrong.to_string();
    assert!(text.contains("line 3") && !text.contains(ONE) && !text.contains(TWO), "{text}");
}

/// Words of a bad line that no message may repeat: long enough not to appear in a message by chance.
fn junk() -> impl Strategy<Value = String> {
    "[A-Za-z0-9=:\"'#.,/ -]{0,12}[g-zG-Z0-9]{24,40}[A-Za-z0-9=:\"'#., -]{0,30}"
}

proptest! {
    #[test]
    fn no_message_repeats_a_line_and_no_line_costs_another(bad in prop::collection::vec(junk(), 0..6), at in 0usize..6) {
        let mut lines = bad.clone();
        let at = at.min(lines.len());
        lines.insert(at, format!("{ONE} id=good"));
        let file = parse(&lines.join("\n"));
        let found = file.entries.iter().find(|entry| entry.line == at + 1);
        prop_assert_eq!(found.and_then(|entry| entry.spec.id.clone()), Some("good".to_owned()));

        let shown = format!("{file:?} {}", file.skipped.iter().map(|s| s.error.to_string()).collect::<String>());
        for line in &bad {
            // A word that was taken as an id or owner is meant to be shown.
            for word in line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= 24) {
                let named = file.entries.iter().any(|entry| {
                    let shown = [&entry.spec.id, &entry.spec.owner];
                    shown.iter().any(|name| name.as_deref().is_some_and(|name| name.contains(word)))
                });
                prop_assert!(named || !shown.contains(word), "{}", shown);
            }
        }
        prop_assert!(!shown.contains(ONE));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for name in ["k.txt", "k.csv", "k.json"] {
            let Ok(file) = KeyFile::parse(Path::new(name), &bytes, &[]) else { continue };
            if name == "k.txt" && !bytes.trim_ascii_start().starts_with(b"[") {
                let lines = bytes.split(|&byte| byte == b'\n').count();
                prop_assert!(file.entries.len() + file.skipped.len() + file.merged.len() <= lines);
            }
        }
    }
}

#[test]
fn what_is_nearly_an_option_is_no_label() {
    let parse = |name: &str, text: &str| KeyFile::parse(Path::new(name), text.as_bytes(), &[]);
    for (header, column, known) in
        [("key,wieght", 2, "weight"), ("Owners;key", 1, "owner"), ("key,team,max_concurent", 3, "max_concurrent")]
    {
        let text = format!("# keys\n\n{header}\n{ONE}\n");
        let error = parse("keys.csv", &text).unwrap_err();
        assert!(matches!(error, FileError::Column { line: 3, .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(&format!("column {column}")) && said.contains(known), "{said}");
        assert!(said.contains("keys.csv, line 3"), "{said}");
    }
    assert!(parse("keys.csv", &format!("key,team,labels,{ONE}x\n{ONE},a,b,c\n")).is_ok());
    let json = format!(r#"[{{"key": "{ONE}", "rpm": 1, "wieght": 2}}, {{"key": "{TWO}", "rpm": 1, "rpm": 2}}]"#);
    let file = parse("keys.json", &json).unwrap();
    let errors: Vec<LineError> = file.skipped.iter().map(|skipped| skipped.error).collect();
    assert_eq!(errors, [LineError::UnknownMember(3, Some("weight")), LineError::Twice("rpm")]);
    assert_eq!(errors[0].to_string(), "nothing reads field 3 of the object: \"weight\" may be meant");
}

#[test]
fn no_column_says_what_another_does() {
    for (header, fits) in [
        ("key,owner,owner", false),
        ("key,Owner,rpm,owner", false),
        ("key,api_key", false),
        ("key,label,label", true),
        ("key,note,note", true),
    ] {
        let file = KeyFile::parse(Path::new("keys.csv"), format!("# keys\n{header}\n{ONE}\n").as_bytes(), &[]);
        assert_eq!(file.is_ok(), fits, "{header}");
        if let Err(error) = file {
            assert!(error.to_string().contains("keys.csv, line 2"), "{error}");
        }
    }
}

#[test]
fn labels_follow_one_rule_in_every_form() {
    let long = "x".repeat(257);
    let wide = "n".repeat(65);
    for (name, value, fits) in [
        ("team", "eu", true),
        ("team", &long[1..], true),
        ("team", long.as_str(), false),
        ("team", "", false),
        ("team", "a\u{7}b", false),
        (&wide[1..], "eu", true),
        (wide.as_str(), "eu", false),
        (ONE, "eu", false),
    ] {
        let line = parse(&format!("{TWO} label={name}:{value}\n"));
        let json = serde_json::json!([{ "key": TWO, "labels": { name: value } }]);
        for file in [line, parse_as("keys.json", &json.to_string())] {
            assert_eq!(file.entries.len(), usize::from(fits), "{name} {value}: {:?}", file.skipped);
            if let Some(skipped) = file.skipped.first() {
                assert!(matches!(skipped.error, LineError::Value { option: "label", .. }), "{skipped:?}");
            }
        }
    }
}

#[test]
fn lines_are_told_in_files_of_many_keys_too() {
    let count = 20_000;
    let keys: Vec<String> = (0..count).map(|n| format!("AIza-test-key-{n:09}")).collect();
    let json: String = keys.iter().map(|key| format!("  \"{key}\"")).collect::<Vec<_>>().join(",\n");
    let csv = format!("key,id\n# comment\n\n{}\n", keys.join(",\n"));
    for (file, first) in [(parse_as("keys.json", &format!("[\n{json}\n]\n")), 2), (parse_as("keys.csv", &csv), 4)] {
        let lines: Vec<usize> = file.entries.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, (first..first + count).collect::<Vec<_>>());
    }
}

#[test]
fn entries_of_one_line_of_json_are_told_apart() {
    let json = format!(r#"[{{"key": "{ONE}", "id": "a"}}, "x", {{"key": "{TWO}", "id": "a"}}, "{ONE}"]"#);
    let file = parse_as("keys.json", &json);
    assert_eq!(file.entries.len(), 1, "two of one id");
    let skipped: Vec<_> = file.skipped.iter().map(|skipped| (skipped.line, skipped.entry, skipped.error)).collect();
    assert_eq!(skipped, [(1, Some(2), LineError::TooShort(1)), (1, Some(3), LineError::IdTaken { by: 1 })]);
    assert!(file.skipped[0].why().starts_with("entry 2: "));
    assert_eq!(file.merged, [Merged { line: 1, entry: Some(4), into: 1, into_entry: Some(1) }]);
}
