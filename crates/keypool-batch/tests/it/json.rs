//! JSON as models write it: 40 broken texts with their intended values, and 40 valid texts that must not be changed.

use keypool_batch::json::find;
use serde_json::{Value, json};

fn corpus(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn value(text: &str) -> Option<Value> {
    serde_json::from_str(find(text).ok()?.get()).ok()
}

#[test]
fn broken_json_is_repaired_to_its_intended_value() {
    let cases = corpus(include_str!("../corpus/broken.json"));
    assert_eq!(cases.len(), 40);
    // `\f` of `\frac` is a valid escape and stays a form feed. JSON has no NaN: it becomes null.
    let wrong: Vec<String> = cases
        .iter()
        .filter(|case| value(case["text"].as_str().unwrap()).as_ref() != Some(&case["value"]))
        .map(|case| format!("{}: {:?}", case["what"], find(case["text"].as_str().unwrap())))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn valid_json_is_not_changed() {
    let cases = corpus(include_str!("../corpus/valid.json"));
    assert_eq!(cases.len(), 40);
    for case in &cases {
        let text = case.as_str().unwrap();
        assert_eq!(value(text), Some(serde_json::from_str(text).unwrap()), "{text}");
    }
}

#[test]
fn text_without_json_yields_nothing() {
    for text in ["", "   ", "I cannot help with that.", "{", "see {name} and [0, 1)", "```\nlet x = 1;\n```"] {
        let found = value(text);
        assert!(found.is_none() || found == Some(json!({})), "{text}: {found:?}");
    }
}

#[test]
fn deep_and_long_texts_are_handled() {
    assert!(find(&"[".repeat(100_000)).is_err());
    assert!(find(&"{\"a\":".repeat(100_000)).is_err());
    let long = format!("{{\"a\": [{}]", "1, ".repeat(200_000));
    assert_eq!(value(&long).unwrap()["a"].as_array().unwrap().len(), 200_000);
    drop(find(&"{\"".repeat(20_000)));
}

#[test]
fn json_of_the_answer_is_found_despite_thoughts_and_quotes() {
    for text in [
        r#"<think>maybe {"a": 0}</think>{"a": 1}"#,
        "<thinking>\n{\"a\": 0} or [2]?\n</thinking>\n```json\n{\"a\": 1}\n```",
        "In the form {a: string}:\n```json\n{\"a\": 1}\n```",
        "In the form {\"a\": 0}, as you asked, or {\"a\": 2}:\n```json\n{\"a\": 1}\n```",
        "{\"a\": 1}\nThe form was:\n```json\n{\"a\": 0}\n```",
        "As said in [1] and [2], it is {\"a\": 1}.",
        "Over [0, 1) it is {\"a\": 1}.",
    ] {
        assert_eq!(value(text), Some(json!({ "a": 1 })), "{text}");
    }
    let fence = json!({ "a": "see ```json\n{}\n``` there" });
    assert_eq!(value(&format!("So: {fence}")), Some(fence.clone()));
    assert_eq!(value(&format!("So: [{fence},]")), Some(json!([fence])));
}

#[test]
fn brackets_in_strings_do_not_end_or_open_a_value() {
    for before in [
        r#"Format: {"note": "use [ here"}"#,
        r#"Format: ["{", 0,]"#,
        r#"Not {"a": "\"{"}, but"#,
        r#"In the form {"a": 0} or {"b":"#,
    ] {
        let text = format!("{before}\n```json\n{{\"a\": 1}}\n```");
        assert_eq!(value(&text), Some(json!({ "a": 1 })), "{text}");
    }
    // A line feed in a string is not JSON: the value is broken, and contains the fence all the same.
    let fence = r#"\n```json\n{\"x\":1}\n```\n"#.replace(r"\n", "\n");
    let text = format!(r#"Here is the JSON: {{"why":"a }} is missing","fix":"{fence}"}}"#);
    let meant = json!({ "why": "a } is missing", "fix": "\n```json\n{\"x\":1}\n```\n" });
    assert_eq!(value(&text), Some(meant));
    assert_eq!(value("So: {\"a\": \"}\n```js\n{x: 1}\n```\nis"), Some(json!({ "a": "}\n```js\n{x: 1}\n```\nis" })));
    // If brackets do not match, no part of the value is the answer.
    assert_eq!(value(r#"So: {"a": 1], "b": "```js {x: 1} ```"}"#), None);
}

#[test]
fn backslashes_of_formulas_and_paths_are_kept() {
    for (text, meant) in [(r#"{"a": "C:\Dir",}"#, r"C:\Dir"), (r#"{"a": "\alpha + \\x"}"#, r"\alpha + \x")] {
        assert_eq!(value(text), Some(json!({ "a": meant })), "{text}");
    }
}

#[test]
fn lone_surrogate_is_replaced_and_the_rest_is_kept() {
    for (text, meant) in [
        (r#"{"a": "x\ud83d", "b": "\ud83d\ude00"}"#, "x\u{fffd}"),
        (r#"{"a": "\ude00 \\ud83d", "b": "\ud83d\ude00"}"#, "\u{fffd} \\ud83d"),
        ("So:\n```json\n{\"a\": \"\\ud83d\\ud83d\\ude00\", \"b\": \"\\uD83D\\uDE00\"}\n```", "\u{fffd}\u{1f600}"),
    ] {
        assert_eq!(value(text), Some(json!({ "a": meant, "b": "\u{1f600}" })), "{text}");
    }
}

#[test]
fn digits_are_kept_and_white_space_is_removed() {
    let text = "{ \"a b\" : [ 1.10,\n 12345678901234567890123 ],\t\"c\\\" \": \"x  y\\n\" }";
    let on_a_line = "{\"a b\":[1.10,12345678901234567890123],\"c\\\" \":\"x  y\\n\"}";
    assert_eq!(find(text).unwrap().get(), on_a_line);
}
