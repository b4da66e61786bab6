//! JSON as models make it: 40 broken texts with what was meant, and 40 that nothing may touch.

use keypool_client::json::{How, find};
use serde_json::{Value, json};

fn corpus(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

#[test]
fn what_models_break_is_repaired_to_what_they_meant() {
    let cases = corpus(include_str!("../corpus/broken.json"));
    assert_eq!(cases.len(), 40);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let found = find(case["text"].as_str().unwrap()).map(|found| found.value);
            (found.as_ref().ok() != Some(&case["value"])).then(|| format!("{}: {found:?}", case["what"]))
        })
        .collect();
    // 95 % of them.
    assert!(wrong.len() <= 2, "{wrong:#?}");
}

#[test]
fn what_parses_is_never_touched() {
    let cases = corpus(include_str!("../corpus/valid.json"));
    assert_eq!(cases.len(), 40);
    for case in &cases {
        let text = case.as_str().unwrap();
        let found = find(text).unwrap();
        assert_eq!((found.value, found.how), (serde_json::from_str(text).unwrap(), How::AsItIs), "{text}");
    }
}

#[test]
fn nothing_is_made_of_nothing() {
    for text in ["", "   ", "I cannot help with that.", "{", "see {name} and [0, 1)", "```\nlet x = 1;\n```"] {
        let found = find(text);
        assert!(
            found.as_ref().is_err() || found.as_ref().is_ok_and(|found| found.value == json!({})),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn what_is_hostile_ends_soon() {
    assert!(find(&"[".repeat(100_000)).is_err());
    assert!(find(&"{\"a\":".repeat(100_000)).is_err());
    let long = format!("{{\"a\": [{}]", "1, ".repeat(200_000));
    assert_eq!(find(&long).unwrap().value["a"].as_array().unwrap().len(), 200_000);
    let quotes = "{\"".repeat(20_000);
    let _ = find(&quotes);
}

#[test]
fn half_a_character_does_not_cost_the_rest() {
    for (text, meant) in [
        (r#"{"a": "x\ud83d", "b": "\ud83d\ude00"}"#, "x\u{fffd}"),
        (r#"{"a": "\ude00 \\ud83d", "b": "\ud83d\ude00"}"#, "\u{fffd} \\ud83d"),
        ("So:\n```json\n{\"a\": \"\\ud83d\\ud83d\\ude00\", \"b\": \"\\uD83D\\uDE00\"}\n```", "\u{fffd}\u{1f600}"),
    ] {
        let found = find(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(found.value, serde_json::json!({ "a": meant, "b": "\u{1f600}" }), "{text}");
        assert_eq!(found.how, How::Repaired);
    }
}

#[test]
fn the_answer_is_taken_and_not_what_was_thought_or_shown_before_it() {
    for text in [
        r#"<think>maybe {"a": 0}</think>{"a": 1}"#,
        "<thinking>\n{\"a\": 0} or [2]?\n</thinking>\n```json\n{\"a\": 1}\n```",
        "In the form {\"a\": 0}, as you asked, or {\"a\": 2}:\n```json\n{\"a\": 1}\n```",
        // What comes first and by itself is the answer, whatever is told of it.
        "{\"a\": 1}\nThe form was:\n```json\n{\"a\": 0}\n```",
        "<think>{\"a\": 1}</think>",
    ] {
        assert_eq!(find(text).unwrap().value, json!({ "a": 1 }), "{text}");
    }
    let fence = json!({ "a": "see ```json\n{}\n``` there" });
    assert_eq!(find(&format!("So: {fence}")).unwrap().value, fence);
}

#[test]
fn a_path_keeps_its_backslashes() {
    for (text, meant) in [
        (r#"{"a": "C:\Users\new\table"}"#, r"C:\Users\new\table"),
        (r#"{"a": "in d:\new\Users"}"#, r"in d:\new\Users"),
        (r#"{"a": "Q:\nWhat?",}"#, "Q:\nWhat?"),
        (r#"{"a": "C:\\Users\\new",}"#, r"C:\Users\new"),
    ] {
        assert_eq!(find(text).unwrap().value, json!({ "a": meant }), "{text}");
    }
}

#[test]
fn separators_and_quotes_that_are_others_or_too_many() {
    for (text, meant) in [
        (r#"{"a":"b",,"c":1}"#, json!({ "a": "b", "c": 1 })),
        (r#"{"a": 1; "b": 2}"#, json!({ "a": 1, "b": 2 })),
        (r#"{"a": "x; y,, z"; "b": [1,, 2; 3]}"#, json!({ "a": "x; y,, z", "b": [1, 2, 3] })),
        ("[1,,2]", json!([1, 2])),
        ("```json\n[[1,,2], [3]]\n```", json!([[1, 2], [3]])),
        (r#"[{"id":1},{"id":2},,{"id":3}]"#, json!([{ "id": 1 }, { "id": 2 }, { "id": 3 }])),
        (r#"{\"a\": \"b\"}"#, json!({ "a": "b" })),
        (r#"[{\"a\": \"say \\\"b\\\"\"}]"#, json!([{ "a": "say \"b\"" }])),
        (r#"{\n  \"a\": \"b\",\n  \"c\": [1]\n}"#, json!({ "a": "b", "c": [1] })),
        ("Here:\n```json\n{\n  \\\"a\\\": \\\"b\\\",\n  \\\"c\\\": 1,\n}\n```", json!({ "a": "b", "c": 1 })),
        (r#"{"q": "What is "AI"?", "a": 1}"#, json!({ "q": "What is \"AI\"?", "a": 1 })),
        (
            r#"{"q": "He said "yes", then left", "a": ["the "b" of it", "c"]}"#,
            json!({ "q": "He said \"yes\", then left", "a": ["the \"b\" of it", "c"] }),
        ),
        (
            r#"Sure: {"q": "What is "AI"?", "a": "the "big" one"} Anything else?"#,
            json!({ "q": "What is \"AI\"?", "a": "the \"big\" one" }),
        ),
    ] {
        let found = find(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((found.value, found.how), (meant, How::Repaired), "{text}");
    }
    // A backslash outside of a text makes nothing of words.
    for text in [r"see {\LaTeX} and {\n}", r"{\"] {
        assert!(find(text).is_err(), "{text}");
    }
}

/// A sign without its number is no number: what a model writes for "none" is none.
#[test]
fn a_sign_alone_is_no_nought() {
    for (text, meant) in [
        (r#"{"a": -}"#, json!({ "a": null })),
        (r#"{"a": -, "b": 1}"#, json!({ "a": null, "b": 1 })),
        (r#"{"a": [1, -], "b": - }"#, json!({ "a": [1, null], "b": null })),
        ("[-,\n -]", json!([null, null])),
        (r#"{"a": 1, "b": -"#, json!({ "a": 1, "b": null })),
        // A text may be one.
        (r#"{"a": "-", "b": "x: -, y",}"#, json!({ "a": "-", "b": "x: -, y" })),
        (r#"{"a": -1, "b": [-2, -0.5],}"#, json!({ "a": -1, "b": [-2, -0.5] })),
        ("{'a': '-', 'b': -}", json!({ "a": "-", "b": null })),
    ] {
        let found = find(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((found.value, found.how), (meant, How::Repaired), "{text}");
    }
}

/// `[1]` is what it is, unless it only cites.
#[test]
fn the_first_value_is_taken_however_small() {
    for (text, meant) in [
        ("[1]\nThat is a list, unlike {\"a\": 2}.", json!([1])),
        ("The list: [1]; as an object {\"a\": 1}", json!([1])),
        ("The answer is [7], and not {\"a\": 1}.", json!([7])),
        ("- [-1], or as an object {\"a\": -1}", json!([-1])),
        ("There are none, []. Otherwise: {\"a\": 1}", json!([])),
        ("It was said by Smith [0.5] and [{\"a\": 1}]", json!([0.5])),
        ("As said in [1], the result is {\"a\": 1}.", json!({ "a": 1 })),
        ("Long known.[1] [2] So: {\"a\": 1}", json!({ "a": 1 })),
        ("Smith et al. [12] measured {\"a\": 1}", json!({ "a": 1 })),
        ("It is in [3] alone.", json!([3])),
    ] {
        let found = find(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((found.value, found.how), (meant, How::Extracted), "{text}");
    }
}
