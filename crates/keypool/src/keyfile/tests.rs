use proptest::prelude::*;
use tower_keypool::Priority;

use super::*;

const ONE: &str = "AIza-test-key-000000001";
const TWO: &str = "AQ.test-key-00000000002";

fn parse(text: &str) -> KeyFile {
    KeyFile::parse(text.as_bytes(), &["PLACEHOLDER_GEMINI_TOKEN"])
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
    assert_eq!(file.entries[1].tier, Some(Tier::Paid));
    assert_eq!(file.entries[1].key.priority_of(), Priority::PAID);
    assert_eq!(file.entries[0].key.priority_of(), Priority::FREE);
}

#[test]
fn every_option_is_taken() {
    let line = format!(
        "{ONE} id=work tier=free priority=3 weight=2.5 owner=project-a rpm=10 tpm=250000 rpd=250 concurrent=4 \
         interval=500ms zone=America/Los_Angeles label=source:mail label=\"my laptop\""
    );
    let file = parse(&line);
    assert_eq!(file.skipped, []);
    let entry = &file.entries[0];
    assert_eq!(entry.id, KeyId::from("work"));
    assert_eq!(entry.owner.as_deref(), Some("project-a"));
    assert_eq!(entry.key.priority_of(), Priority(3));
    assert!(!entry.limits.is_empty());
}

#[test]
fn what_is_no_key_is_named() {
    assert_eq!(error("too-short"), LineError::TooShort(9));
    assert_eq!(error("ya29.a0AfH6SMBxxxxxxxxxxxxxxxxxxxx"), LineError::AccessToken);
    assert_eq!(error("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"), LineError::WebToken);
    assert_eq!(error("https://example.com/a/long/enough/path"), LineError::Url);
    assert_eq!(error("PLACEHOLDER_GEMINI_TOKEN"), LineError::ClientToken);
    assert_eq!(error("GEMINI_API_KEY=AIzaxxxxxxxxxxxxxxxxxxxx"), LineError::Assignment);
    for name in ["key=", "api_key=", "Key:", "x-goog-api-key:", "Authorization:", "apiKey="] {
        assert_eq!(error(&format!("{name}{ONE}")), LineError::Assignment, "{name}");
    }
    assert_eq!(error(&format!("\"{ONE}\",")), LineError::Punctuated);
    assert_eq!(error("AIza-test-key-0000\u{e9}0001"), LineError::Character(18));
    assert_eq!(KeyFile::parse(b"AIza-test-key-0000\xff0001", &[]).skipped[0].error, LineError::NotText);
    assert!(parse("c2VjcmV0LWtleS1vZi1hLXByb3ZpZGVy==").skipped.is_empty(), "base64 may end in =");
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
        "label=",
    ] {
        value(option);
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
    assert_eq!(file.merged, [Merged { line: 3, into: 1 }]);
    assert_eq!(file.skipped, [Skipped { line: 2, error: LineError::IdTaken { by: 1 } }]);
}

#[test]
fn a_derived_id_gives_way_to_a_given_one() {
    let derived = Key::new(TWO).key_id();
    let file = parse(&format!("{TWO}\n{ONE} id={derived}\n"));
    assert_eq!(file.entries[1].id, derived);
    assert_eq!(file.entries[0].id, KeyId::from(format!("{derived}-1")));
}

#[test]
fn a_name_is_never_a_secret() {
    let file = parse(&format!("{ONE} owner=opaque-secret-0000000003\nopaque-secret-0000000003\n"));
    assert_eq!(file.skipped, [Skipped { line: 1, error: LineError::NameIsSecret }]);
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
        prop_assert_eq!(found.map(|entry| entry.id.to_string()), Some("good".to_owned()));

        let shown = format!("{file:?} {}", file.skipped.iter().map(|s| s.error.to_string()).collect::<String>());
        for line in &bad {
            // A word that was taken as an id or owner is meant to be shown.
            for word in line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= 24) {
                let named = file.entries.iter().any(|entry| entry.id.to_string().contains(word)
                    || entry.owner.as_deref().is_some_and(|owner| owner.contains(word)));
                prop_assert!(named || !shown.contains(word), "{}", shown);
            }
        }
        prop_assert!(!shown.contains(ONE));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = KeyFile::parse(&bytes, &[]);
        let lines = bytes.split(|&byte| byte == b'\n').count();
        prop_assert!(file.entries.len() + file.skipped.len() + file.merged.len() <= lines);
    }
}
