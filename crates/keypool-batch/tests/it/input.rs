//! Tasks from lines, JSON and CSV, and invalid lines.

use std::{fs, io::Read};

use gemini_sim::GeminiSim;
use keypool_batch::{Batch, Input, InputFormat, Summary, Task};
use serde_json::{Value, json};

use crate::{MODEL, paused, results_of};

/// Runs the tasks of an input over a simulator that repeats the prompt.
async fn run_input(text: &str, format: InputFormat) -> (Summary, Vec<Value>) {
    let (_sim, client) = paused(GeminiSim::builder().answer(gemini_sim::AnswerText::Echo), 1);
    let input = Input::read(std::io::Cursor::new(text.to_owned()), format).unwrap();
    results_of(Batch::new(&client, MODEL), input).await
}

fn ids_and_texts(results: &[Value]) -> Vec<(Value, Value)> {
    let text = |result: &Value| result.get("text").unwrap_or(&result["error"]["message"]).clone();
    results.iter().map(|result| (result["id"].clone(), text(result))).collect()
}

#[tokio::test(start_paused = true)]
async fn each_line_is_a_prompt_and_blank_lines_are_skipped() {
    let (_, results) = run_input("\u{feff}one\r\n\n  \ntwo", InputFormat::Lines).await;
    assert_eq!(ids_and_texts(&results), [(json!(0), json!("one")), (json!(1), json!("two"))]);
}

#[tokio::test(start_paused = true)]
async fn invalid_line_is_a_failed_result_with_its_line_number() {
    let input = r#"{"id": "a", "prompt": "one"}
{"id": "b", "pro

{"id": "c", "prompt": "three"}
{"id": "a", "prompt": "again"}
[1]
{"id": "d", "prompt": 7}
{"id": "e", "prompt": "x", "temperature": -1}
{"id": "f", "prompt": "x", "max_output_tokens": 0}
{"id": "g", "text": "x"}
"last""#;
    let (summary, results) = run_input(input, InputFormat::JsonLines).await;
    let wrong: Vec<(&str, &str)> = results
        .iter()
        .filter(|result| result["success"] == json!(false))
        .inspect(|result| assert_eq!(result["error"]["kind"], "input"))
        .map(|result| (result["id"].as_str().unwrap(), result["error"]["message"].as_str().unwrap()))
        .collect();
    for ((id, message), (place, why)) in wrong.iter().zip([
        ("line 2", "not JSON: "),
        ("line 5", "another task has the id a"),
        ("line 6", "a task must be a string or an object"),
        ("line 7", "`prompt` is not a string"),
        ("line 8", "`temperature` is not a number of 0 or more: -1"),
        ("line 9", "`max_output_tokens` is not a whole number of 1 or more: 0"),
        ("line 10", "the task has none of `prompt`, `request`, `contents` and `messages`"),
    ]) {
        assert_eq!(*id, place);
        assert!(message.starts_with(&format!("{place}: {why}")), "{message}");
        assert!(!message.contains("line 1 "), "a message names one line: {message}");
    }
    assert_eq!((summary.tasks, summary.ok, summary.failed, summary.errors["input"]), (10, 3, 7, 7), "{summary}");
    assert_eq!(results.last().unwrap()["id"], json!(9), "the default id is the position among the items");
}

#[tokio::test(start_paused = true)]
async fn invalid_line_is_reported_once_until_it_is_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let (input, path) = (folder.path().join("in.jsonl"), folder.path().join("out.json"));
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    for (content, total, wrong, skipped) in
        [("\"one\"\n{\n", 2, 1, 0), ("\"one\"\n{\n", 2, 1, 2), ("\"one\"\n\"two\"\n", 2, 0, 1)]
    {
        fs::write(&input, content).unwrap();
        let all =
            crate::run_to(&client, Input::open(&input).unwrap(), &path, keypool_batch::OutputOptions::default()).await;
        assert_eq!(all.skipped, skipped, "{all}");
        let lines = crate::lines(&path);
        let failed = lines.iter().filter(|line| line["success"] == json!(false)).count();
        assert_eq!((lines.len(), failed), (total, wrong), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn json_array_is_a_list_of_tasks() {
    let text = r#" ["one", {"id": "b", "prompt": "two", "n": 1.10}, 3] "#;
    let (_, results) = run_input(text, InputFormat::JsonArray).await;
    assert_eq!(ids_and_texts(&results)[..2], [(json!(0), json!("one")), (json!("b"), json!("two"))]);
    assert_eq!((&results[2]["id"], &results[2]["error"]["kind"]), (&json!("item 3"), &json!("input")));
    assert_eq!(results[1]["task"], json!({ "n": 1.10 }));
    assert!(Input::read("{}".as_bytes(), InputFormat::JsonArray).is_err());
}

/// The input of each run has other white space.
#[tokio::test(start_paused = true)]
async fn white_space_of_json_does_not_reach_the_results_and_does_not_make_a_new_task() {
    let folder = tempfile::tempdir().unwrap();
    let ordered = keypool_batch::OutputOptions { ordered: true, ..Default::default() };
    for name in ["r.jsonl", "r.json"] {
        let path = folder.path().join(name);
        for (space, skipped) in [("\n  ", 0), (" ", 3)] {
            let own = "{ \"n\": [1, 2.50] }".replace(' ', space);
            let contents =
                "[{ \"parts\": [{ \"text\": \"a b\" }] }]".replace(' ', space).replace(&format!("a{space}b"), "a b");
            let text = format!("[\"x\", {{\"prompt\": \"y\", \"own\": {own}}}, {{\"contents\": {contents}}}]");
            let (_sim, client) = paused(GeminiSim::builder(), 1);
            let input = Input::read(std::io::Cursor::new(text), InputFormat::JsonArray).unwrap();
            let summary = crate::run_to(&client, input, &path, ordered).await;
            assert_eq!((summary.ok + summary.skipped, summary.skipped), (3, skipped), "{name}: {summary}");
            let results = crate::lines(&path);
            assert_eq!((results.len(), &results[1]["task"]), (3, &json!({ "own": { "n": [1, 2.50] } })), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn columns_can_be_separated_by_commas_semicolons_and_tabs() {
    for text in [
        "ID;Prompt;lang\na;\"one; two, \"\"three\"\"\";de\nb;second;en\n",
        "\u{feff}id\tPROMPT\tlang\na\t\"one; two, \"\"three\"\"\"\tde\nb\tsecond\ten\n;;\n",
        "id,prompt,lang\r\na,\"one; two, \"\"three\"\"\",de\r\n\r\nb,second,en\r\n,,\r\n",
    ] {
        let (_, results) = run_input(text, InputFormat::csv()).await;
        let pairs = ids_and_texts(&results);
        assert_eq!(pairs[0], (json!("a"), json!("one; two, \"three\"")), "{text}");
        assert_eq!(pairs[1], (json!("b"), json!("second")), "{text}");
        assert_eq!(results[0]["task"], json!({ "lang": "de" }), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_can_have_several_lines_and_their_own_model() {
    let text = "prompt,model,temperature,max_output_tokens,question\n\"one\ntwo\",gemini-2.5-pro,0.5,9,q\nthree,,,,\n";
    let (_, results) = run_input(text, InputFormat::csv()).await;
    assert_eq!((&results[0]["text"], &results[0]["model"]), (&json!("one\ntwo"), &json!("gemini-2.5-pro")));
    assert_eq!((&results[1]["text"], &results[1]["model"]), (&json!("three"), &json!(MODEL)));
    let (_, results) = run_input(text, InputFormat::Csv { column: "question".to_owned() }).await;
    assert_eq!((&results[0]["text"], &results[0]["task"]["prompt"]), (&json!("q"), &json!("one\ntwo")));
    assert_eq!(results[1]["error"]["message"], "line 4: the prompt is empty");
}

#[tokio::test(start_paused = true)]
async fn invalid_rows_are_reported_with_their_lines() {
    let text = "id,prompt\na,one\nb,\"two\nlines\"\nc,1,2\nd\ne,\"never closed\nf,x\ng,y\n";
    let (summary, results) = run_input(text, InputFormat::csv()).await;
    let wrong: Vec<&str> = results.iter().filter_map(|result| result["error"]["message"].as_str()).collect();
    assert_eq!(
        wrong,
        [
            "line 5: the row has 3 fields, but the header has 2",
            "line 6: the row has 1 fields, but the header has 2",
            "line 7: a quote is not closed before the end of the file",
        ]
    );
    assert_eq!(summary.ok, 2);
    assert!(summary.input_error.as_deref().is_some_and(|why| why.starts_with("line 7: a quote")), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn carriage_return_without_line_feed_is_not_read_as_the_end_of_a_row() {
    let text = "id,prompt\r\na,one\rtwo\r\nb,\"three\rfour\"\r\n\n\nc,\"five\n\",x\ry\nd,six\r\r\n";
    let (_, results) = run_input(text, InputFormat::csv()).await;
    let expected = [
        ("a", "one\rtwo"),
        ("b", "three\rfour"),
        ("line 6", "line 6: the row has 3 fields, but the header has 2"),
        ("d", "six"),
    ];
    assert_eq!(ids_and_texts(&results), expected.map(|(id, text)| (json!(id), json!(text))));
    let error = Input::read("prompt\rone\rtwo\r".as_bytes(), InputFormat::csv()).unwrap_err();
    assert!(error.to_string().starts_with("line 1: a carriage return has no line feed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn tsv_is_separated_by_tabs_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.tsv");
    fs::write(&path, "prompt\none, two; three\n").unwrap();
    let (_sim, client) = paused(GeminiSim::builder().answer(gemini_sim::AnswerText::Echo), 1);
    let (_, results) = results_of(Batch::new(&client, MODEL), Input::open(&path).unwrap()).await;
    assert_eq!(ids_and_texts(&results), [(json!(0), json!("one, two; three"))]);
    fs::write(&path, "id,prompt\na,one\n").unwrap();
    assert!(Input::open(&path).unwrap_err().to_string().contains("the columns are: id,prompt"));
}

#[test]
fn header_without_a_prompt_column_is_an_error() {
    for (text, why) in [
        ("id;text\na;b\n", "there is no column `prompt`; the columns are: id, text"),
        (",,\n", "the columns are: none"),
        ("prompt,a,a\nx,y,z\n", "two columns are named `a`"),
        ("p\0r\0", "UTF-16"),
    ] {
        let error = Input::read(text.as_bytes(), InputFormat::csv()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(Input::open("/").is_err() && Input::open("no-such-file.txt").is_err());
}

#[tokio::test(start_paused = true)]
async fn invalid_utf8_is_reported_and_the_run_continues() {
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let input = Input::read(&b"one\ncaf\xe9\nthree\n"[..], InputFormat::Lines).unwrap();
    let (summary, results) = results_of(Batch::new(&client, MODEL), input).await;
    assert_eq!((summary.ok, summary.failed), (2, 1));
    assert!(results[1]["error"]["message"].as_str().unwrap().starts_with("line 2: the text is not UTF-8"));
}

#[tokio::test(start_paused = true)]
async fn nul_character_in_utf_8_is_named() {
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let input = Input::read(&b"one\nthe second\0prompt\n"[..], InputFormat::Lines).unwrap();
    let (_, results) = results_of(Batch::new(&client, MODEL), input).await;
    let message = "line 2: the text contains a NUL character: `tr -d '\\000'` removes it";
    assert_eq!(results[1]["error"]["message"], message);
}

#[tokio::test(start_paused = true)]
async fn utf_16_is_not_read_as_prompts() {
    for start in ["\u{feff}", ""] {
        let text: Vec<u8> = format!("{start}one\ntwo\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let input = match Input::read(std::io::Cursor::new(text), InputFormat::Lines) {
            Ok(input) => input,
            Err(error) => {
                assert!(error.to_string().contains("iconv -f utf-16"), "{error}");
                continue;
            }
        };
        assert_eq!(start, "", "a byte order mark is detected");
        let (sim, client) = paused(GeminiSim::builder(), 1);
        let (summary, _) = results_of(Batch::new(&client, MODEL), input).await;
        assert_eq!((summary.ok, sim.report().total.arrivals), (0, 0), "{summary}");
    }
}

#[test]
fn compressed_input_is_not_read_as_prompts() {
    for (start, how) in [
        (&b"\x1f\x8b\x08\0\0\n"[..], "zcat FILE |"),
        (b"\x28\xb5\x2f\xfd\x24\n", "zstdcat FILE |"),
        (b"PK\x03\x04\x14\0\n", "save it as CSV"),
    ] {
        for format in [InputFormat::Lines, InputFormat::JsonLines, InputFormat::csv()] {
            let error = Input::read(start, format).unwrap_err();
            assert!(error.to_string().contains(how), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn read_error_ends_the_input_but_not_the_run() {
    struct Breaks(bool);
    impl Read for Breaks {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(std::io::Error::other("the disk is gone"));
            }
            into[..4].copy_from_slice(b"one\n");
            Ok(4)
        }
    }
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let input = Input::read(Breaks(false), InputFormat::Lines).unwrap();
    let (summary, _) = results_of(Batch::new(&client, MODEL), input).await;
    assert_eq!((summary.ok, summary.failed), (1, 1));
    assert_eq!(summary.input_error.as_deref(), Some("line 2: the disk is gone"));
}

#[test]
fn all_forms_of_a_task_are_read() {
    let limited = |name: &str| format!("{:?}", Task::from_json(&format!("{{\"prompt\": \"x\", \"{name}\": 9}}")));
    for name in ["max_tokens", "max_completion_tokens"] {
        assert_eq!(limited(name), limited("max_output_tokens"));
    }
    for good in [
        r#"{"id": 12345678901234567890123, "prompt": "x"}"#,
        r#"{"prompt": "x", "temperature": null}"#,
        r#"{"key": "k", "request": {"contents": [{"parts": [{"text": "x"}]}]}}"#,
        r#"{"custom_id": "c", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}"#,
        r#"{"custom_id": "c", "params": {"model": "m", "max_tokens": 9, "messages": []}}"#,
        r#"{"contents": [], "generationConfig": {"topK": 1, "candidateCount": 1}, "meta": 1}"#,
        r#"{"messages": [], "n": 1, "system": "s", "temperature": 0.5, "meta": 1}"#,
    ] {
        assert!(Task::from_json(good).is_ok(), "{good}: {:?}", Task::from_json(good));
    }
    for (bad, why) in [
        ("", "not JSON"),
        ("\"\"", "the prompt is empty"),
        (r#"{"id": [1], "prompt": "x"}"#, "`id` must be a string or a number"),
        (r#"{"prompt": "x", "request": {"contents": []}}"#, "both"),
        (r#"{"request": {"prompt": "x"}}"#, "`contents` or `messages`"),
        (r#"{"request": 1}"#, "not an object"),
        (r#"{"prompt": "x", "model": 1}"#, "`model` is not a string"),
        (r#"{"prompt": "x", "temperature": 1e999}"#, "temperature"),
        (r#"{"contents": [], "generationConfig": {"candidateCount": 3}}"#, "asks for 3 answers"),
        (r#"{"request": {"contents": [], "generation_config": {"candidate_count": "3"}}}"#, "asks for 3 answers"),
        (r#"{"messages": [], "n": 2}"#, "asks for 2 answers"),
    ] {
        assert!(Task::from_json(bad).unwrap_err().contains(why), "{bad}");
    }
}
