//! Inputs that change from run to run, that are partly no tasks, or have columns apart in other ways; and what all of it cost.

use std::{fs, path::Path, sync::atomic::Ordering::SeqCst, time::Duration};

use gemini_sim::{AnswerText, GeminiSim};
use keypool_client::batch::{Batch, Ended, JsonCheck, Output, OutputOptions, Statistics, Task, input::Format};
use serde_json::{Value, json};
use tower_keypool::Models;

use crate::{provider, stage};

fn task(id: &str) -> Task {
    Task::prompt(format!("prompt of {id}")).id(id)
}

fn results(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    if path.extension().is_some_and(|end| end == "json") {
        return serde_json::from_str(&text).unwrap();
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn run(path: &Path, options: OutputOptions, ids: &[&str]) -> Statistics {
    let (_sim, client) = stage::paused(GeminiSim::builder(), 2, |pool| pool);
    let output = Output::open(path, &options).unwrap();
    let tasks: Vec<Task> = ids.iter().copied().map(task).collect();
    Batch::new(client).output(output).run(tasks).finish().await.1
}

async fn of_file(path: &Path, output: &Path) -> (Ended, Statistics) {
    let (_sim, client) = stage::paused(GeminiSim::builder(), 2, |pool| pool);
    let output = Output::open(output, &OutputOptions::default()).unwrap();
    Batch::new(client).output(output).run_file(path, None, "prompt").finish().await
}

#[tokio::test(start_paused = true)]
async fn what_was_tried_again_was_billed_as_well() {
    let answer = AnswerText::Fixed("{\"a\": 1}".to_owned());
    let (sim, client) = stage::paused(GeminiSim::builder().answer(answer), 2, |pool| pool);
    let check = JsonCheck::schema(&json!({ "type": "object", "required": ["b"] })).unwrap();
    let ask = |prompt: &str| Task::from_value(json!({ "contents": [{ "parts": [{ "text": prompt }] }] })).unwrap();
    let mut run = Batch::new(client).json(check).max_retries(2).run([ask("hello"), ask("hello")]);
    let mut last = None;
    while let Some(result) = run.next().await {
        last = Some(result.usage.unwrap());
    }
    let (one, all) = (last.unwrap(), run.statistics());
    assert_eq!((all.requests, sim.report().total.accepted), (6, 6));
    let sum = |one: Option<u64>| one.unwrap() * 6;
    assert!(one.input_tokens > Some(0), "{one:?}");
    assert_eq!((all.input_tokens, all.output_tokens), (sum(one.input_tokens), sum(one.output_tokens)));
    let prices = keypool_client::batch::Prices::known(stage::MODEL).unwrap();
    assert!((all.cost.unwrap() - prices.of(all.input_tokens, all.output_tokens)).abs() < 1e-12, "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn the_order_is_that_of_this_input() {
    let folder = tempfile::tempdir().unwrap();
    let ordered = OutputOptions { ordered: true, ..OutputOptions::default() };
    for name in ["a.jsonl", "a.json"] {
        let path = folder.path().join(name);
        let of = || -> Vec<(String, u64)> {
            let place = |result: &Value| (result["id"].as_str().unwrap().to_owned(), result["index"].as_u64().unwrap());
            results(&path).iter().map(place).collect()
        };
        let placed = |ids: &[&str]| -> Vec<_> { (0..).zip(ids).map(|(n, id)| ((*id).to_owned(), n)).collect() };
        run(&path, ordered, &["a", "b", "c"]).await;
        assert_eq!(of(), placed(&["a", "b", "c"]), "{name}");
        let before = fs::read_to_string(&path).unwrap();
        run(&path, ordered, &["c", "x", "b", "a"]).await;
        assert_eq!(of(), placed(&["c", "x", "b", "a"]), "{name}");
        // Nothing but the place is another one.
        let of_b = |text: &str| text.lines().find(|line| line.contains("\"id\":\"b\"")).unwrap().replace(',', "");
        let after = fs::read_to_string(&path).unwrap();
        assert_eq!(of_b(&after), of_b(&before).replace("\"index\":1", "\"index\":2"), "{name}");
        // Those of another input stand behind this one's.
        run(&path, ordered, &["y", "a"]).await;
        assert_eq!(of().iter().map(|(id, _)| &**id).collect::<Vec<_>>(), ["y", "a", "c", "x", "b"], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_before_is_counted_by_this_inputs_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    run(&path, OutputOptions::default(), &["a", "b"]).await;
    let text = fs::read_to_string(&path).unwrap();
    let failed =
        |line: &str| if line.contains("\"id\":\"b\"") { line.replace("true", "false") } else { line.to_owned() };
    fs::write(&path, text.lines().map(|line| failed(line) + "\n").collect::<String>()).unwrap();
    let all = run(&path, OutputOptions::default(), &["a", "c"]).await;
    assert_eq!((all.skipped, all.failed_before, all.ok), (1, 0, 1), "{all:?}");
    let all = run(&path, OutputOptions::default(), &["a", "b"]).await;
    assert_eq!((all.skipped, all.failed_before), (2, 1), "{all:?}");
    assert!(all.to_string().contains("2 done before (1 of them failed)"), "{all}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_task_is_a_failed_result_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("t.jsonl");
    let line = |id: &str, prompt: &str| format!("{{\"id\": \"{id}\", \"prompt\": \"{prompt}\"}}\n");
    let good = [line("a", "x"), line("b", "z")].concat();
    let bad = [&good, &*line("a", "y"), "{\"id\": \"c\", \"pro\n"].concat();
    for name in ["a.jsonl", "a.json"] {
        let output = folder.path().join(name);
        fs::write(&input, &bad).unwrap();
        // However often: it is said of the input as it is.
        for run in 0..3 {
            let (ended, all) = of_file(&input, &output).await;
            assert!(matches!(ended, Ended::Done), "{ended:?}");
            assert_eq!((all.tasks, all.failed, all.errors["input"], all.left()), (4, 2, 2, 0), "{name}: {all:?}");
            assert_eq!((all.ok + all.skipped, all.failed_before, all.models.len()), (2, 0, usize::from(run == 0)));
            let all = results(&output);
            assert_eq!(all.len(), 4, "{name}, run {run}: {all:#?}");
            let wrong: Vec<_> = all.iter().filter(|result| result["success"] == false).collect();
            for (result, id, index, why) in [
                (wrong[0], "line 3", 2, "line 3: another task has the id a"),
                (wrong[1], "line 4", 3, "line 4: no JSON"),
            ] {
                assert_eq!((&result["id"], &result["index"]), (&json!(id), &json!(index)), "{result}");
                assert_eq!(result["error"]["kind"], "input");
                assert!(result["error"]["message"].as_str().unwrap().starts_with(why), "{result}");
            }
            assert!(all.iter().any(|result| result["id"] == "a" && result["success"] == true), "{all:#?}");
        }
        // Of an input that was mended nothing is said any more.
        fs::write(&input, &good).unwrap();
        let (_, all) = of_file(&input, &output).await;
        assert_eq!((all.skipped, all.failed, all.failed_before), (2, 0, 0), "{all:?}");
        assert_eq!(results(&output).len(), 2, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn columns_may_stand_apart_by_semicolons_and_tabs() {
    let folder = tempfile::tempdir().unwrap();
    for (n, text) in [
        "id;prompt;lang\na;\"one; two, three\";de\nb;second;en\n",
        "\u{feff}id\tprompt\tlang\na\tone; two, three\tde\nb\tsecond\ten\n",
        "id,prompt,lang\na,\"one; two, three\",de\nb,second,en\n",
    ]
    .into_iter()
    .enumerate()
    {
        let (input, output) = (folder.path().join(format!("{n}.csv")), folder.path().join(format!("{n}.jsonl")));
        fs::write(&input, text).unwrap();
        let (ended, all) = of_file(&input, &output).await;
        assert!(matches!(ended, Ended::Done) && all.ok == 2, "{n}: {ended:?} {all:?}");
        let all = results(&output);
        let a = all.iter().find(|result| result["id"] == "a").unwrap();
        assert_eq!(a["task"], json!({ "lang": "de" }), "{n}");
    }
    // One column has no delimiter; what looks like several and has no prompt is not sent as one.
    let survey = |text: &str| {
        let path = folder.path().join("s.csv");
        fs::write(&path, text).unwrap();
        keypool_client::batch::input::Survey::of(&path, Format::Csv, "prompt").unwrap()
    };
    assert_eq!(survey("prompt\none; two\nthree\n").tasks, 2);
    let two = survey("id,prompt,Prompt\na,b,c\n");
    assert!(two.tasks == 0 && two.wrong[0].to_string().contains("2 columns are called \"prompt\""), "{:?}", two.wrong);
    // Of two columns of one name either would be lost; those without a name may be empty.
    let twice = survey("id,prompt,lang,x,lang\na,b,c,d,e\n");
    let said = twice.wrong[0].to_string();
    assert!(
        twice.tasks == 0 && said.contains("line 1") && said.contains("columns 3 and 5 are both called \"lang\""),
        "{said}"
    );
    let nameless = survey("id,prompt,,\na,b,,\nc,d,x,\ne,f,x,y\n");
    assert_eq!((nameless.tasks, nameless.wrong.len()), (2, 1));
    assert!(nameless.wrong[0].to_string().starts_with("line 4"), "{:?}", nameless.wrong);
    for head in ["id;frage;lang", "id\tfrage\tlang", "id,frage,lang"] {
        let survey = survey(&format!("{head}\na;b;c\n"));
        let wrong = survey.wrong[0].to_string();
        assert!(
            survey.tasks == 0 && wrong.contains("no column is called \"prompt\"; there are id, frage, lang"),
            "{wrong}"
        );
        assert!(wrong.contains("--column"), "{wrong}");
    }
}

/// Another column holds the prompt: one of that name is carried through, and asks nothing.
#[tokio::test(start_paused = true)]
async fn the_column_that_was_named_is_the_prompt() {
    let (sim, client) = stage::paused(GeminiSim::builder(), 1, |pool| pool);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.csv");
    fs::write(&path, "id,question,prompt\na,what is asked,no prompt\n").unwrap();
    let mut run = Batch::new(client).run_file(&path, None, "question");
    let result = run.next().await.unwrap();
    let result = serde_json::to_value(&result).unwrap();
    assert_eq!((&result["success"], &result["task"]), (&json!(true), &json!({ "prompt": "no prompt" })), "{result}");
    drop(sim);
}

#[tokio::test(start_paused = true)]
async fn what_can_be_no_model_is_named_and_not_sent() {
    let (sim, client) = stage::paused(GeminiSim::builder(), 1, |pool| pool);
    let task = || Task::prompt("x").model("../../x?y=1#z").id("m");
    let mut run = Batch::new(client).run([task()]);
    let result = run.next().await.unwrap();
    assert!(!result.success && result.id == "m".into(), "{result:?}");
    let said = &result.error.as_ref().unwrap().message;
    assert!(said.contains("\"../../x?y=1#z\" is no name of a model"), "{said}");
    assert_eq!((run.statistics().requests, sim.report().total.arrivals), (0, 0));
}

fn survey(format: Format, column: &str, text: &str) -> (u64, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    fs::write(&path, text).unwrap();
    let survey = keypool_client::batch::input::Survey::of(&path, format, column).unwrap();
    (survey.tasks, survey.wrong.iter().map(ToString::to_string).collect())
}

#[tokio::test(start_paused = true)]
async fn a_quote_that_nobody_closes_takes_no_rows_in() {
    let csv = |text: &str| survey(Format::Csv, "prompt", text);
    for (text, tasks, line) in [
        ("id,prompt\na,one\nb,\"two\nc,three\nd,four\n", 1, 3),
        ("\u{feff}id;prompt\na;one\nb;\"two\nlines\"\nc;\"three; and\nno more", 2, 5),
        ("prompt\none\n\"two \"\"quoted\"\" and\nthree\n", 1, 3),
        ("id,\"prompt\na,b\n", 0, 1),
    ] {
        let (read, wrong) = csv(text);
        assert_eq!((read, wrong.len()), (tasks, 1), "{text}: {wrong:?}");
        let begin = format!("line {line}: ");
        assert!(wrong[0].starts_with(&begin) && wrong[0].contains("quote"), "{text}: {wrong:?}");
    }
    // Quotes within a field, and those that end with the file, are as good as ever.
    assert_eq!(csv("prompt\n6\" of rain\n\"a \"\"b\"\"\"\n\"last\""), (3, vec![]));
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("q.csv"), folder.path().join("q.jsonl"));
    fs::write(&input, "id,prompt\na,one\nb,\"two\nc,three\n").unwrap();
    let (ended, _) = of_file(&input, &output).await;
    assert!(matches!(&ended, Ended::Failed(why) if why.contains("line 3")), "{ended:?}");
}

#[test]
fn a_sheet_without_a_head_loses_no_row_without_a_word() {
    let (read, wrong) = survey(Format::Csv, "prompt", "What is a key?\nWhat is a lock?\nWhat is a door?\n");
    assert!(read == 0 && wrong.len() == 1, "{read} {wrong:?}");
    for word in ["no column is called \"prompt\"", "What is a key?", "--column", "--format text"] {
        assert!(wrong[0].contains(word), "{word} is missing: {wrong:?}");
    }
    assert_eq!(survey(Format::Csv, "Question", "question\none\ntwo\n"), (2, vec![]));
}

#[tokio::test(start_paused = true)]
async fn known_columns_are_known_in_any_case() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("c.csv"), folder.path().join("c.jsonl"));
    fs::write(&input, "ID,Prompt,MODEL,Temperature,Lang\na,x,gemini-2.5-pro,0.5,de\n").unwrap();
    of_file(&input, &output).await;
    let result = &results(&output)[0];
    assert_eq!((&result["id"], &result["model"]), (&json!("a"), &json!("gemini-2.5-pro")), "{result}");
    assert_eq!(result["task"], json!({ "Lang": "de" }));
}

#[test]
fn a_temperature_that_no_number_can_be_is_no_task() {
    for temperature in ["nan", "inf", "-inf", "1e999"] {
        let (read, wrong) = survey(Format::Csv, "prompt", &format!("prompt,temperature\nx,{temperature}\ny,0.5\n"));
        assert!(read == 1 && wrong.len() == 1 && wrong[0].starts_with("line 2: "), "{temperature}: {wrong:?}");
        assert!(wrong[0].contains("temperature"), "{wrong:?}");
    }
    let (read, wrong) = survey(Format::JsonLines, "prompt", "{\"prompt\": \"x\", \"temperature\": 1e999}\n\"y\"\n");
    assert!(read == 1 && wrong.len() == 1 && wrong[0].contains("temperature"), "{wrong:?}");
}

/// Lines are counted as an editor does, whatever ends them.
#[test]
fn lines_of_a_sheet_are_those_of_its_file() {
    for end in ["\n", "\r\n", "\r"] {
        let text =
            ["id,prompt", "a,one", "", "b,\"two\nlines\"", "c,three,more", "d,x", "a,four", "e,\"five"].join(end);
        let (tasks, wrong) = survey(Format::Csv, "prompt", &text);
        assert_eq!(tasks, 3, "{end:?}: {wrong:?}");
        let lines: Vec<&str> = wrong.iter().map(|wrong| wrong.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["line 6", "line 8", "line 9"], "{end:?}: {wrong:?}");
        // And each field is what it was.
        let short = ["id,prompt", "a,one\r", "b,\"two\r\nlines\""].join(end);
        assert_eq!(survey(Format::Csv, "prompt", &short), (2, vec![]), "{end:?}");
    }
}

/// A spreadsheet ends in rows without anything; a prompt that was forgotten is named by its line, in any form.
#[tokio::test(start_paused = true)]
async fn rows_without_anything_are_none_and_a_prompt_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let forms = [
        ("a.csv", "id,prompt,note\na,hello,x\n,,\n , ,\t\nb,,y\nc,bye,\n,,\n"),
        ("b.csv", "id;prompt;note\na;hello;x\n;;\n ; ;\nb; ;y\nc;bye;\n;;\n"),
        ("c.tsv", "id\tprompt\tnote\na\thello\tx\n\t\t\n\t \t\nb\t\ty\nc\tbye\t\n\t\t\n"),
        ("d.jsonl", "{\"prompt\": \"hello\"}\n\n \n\n{\"id\": \"b\", \"prompt\": \" \"}\n{\"prompt\": \"bye\"}\n"),
    ];
    for (name, text) in forms {
        let (input, output) = (folder.path().join(name), folder.path().join(format!("{name}.out.jsonl")));
        fs::write(&input, text).unwrap();
        let (ended, statistics) = of_file(&input, &output).await;
        assert!(matches!(ended, Ended::Done), "{name}: {ended:?}");
        assert_eq!((statistics.ok, statistics.failed, statistics.requests), (2, 1, 2), "{name}: {statistics}");
        let failed = results(&output).into_iter().find(|result| result["success"] == false).unwrap();
        let error = &failed["error"];
        assert_eq!(error["kind"], "input", "{name}: {failed}");
        let said = error["message"].as_str().unwrap();

        assert!(said.contains("line 5") && said.contains("prompt is empty"), "{name}: {said}");
    }
}

/// A list of keys by another name is no list of prompts.
#[tokio::test(start_paused = true)]
async fn what_shows_a_key_of_the_run_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let pool = provider::pool(provider::keys(3)).build().unwrap();
    let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| (Duration::ZERO, provider::fine()));
    let path = folder.path().join("answers.jsonl");
    let output = Output::open(&path, &OutputOptions::default()).unwrap();
    let key = stage::secret;
    let prompts = [key(0), format!("{} rpm=5", key(1)), format!("is \"{}\" a key?", key(2)), "no key".into()];
    let mut run = Batch::new(client).output(output).run(prompts.map(Task::prompt));
    let mut all = Vec::new();
    while let Some(result) = run.next().await {
        all.push((result.index, result.error.map(|error| error.kind)));
    }
    all.sort_unstable();
    assert_eq!(all, [(0, Some("input")), (1, Some("input")), (2, Some("input")), (3, None)]);
    assert_eq!(asked.load(SeqCst), 1);
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(!written.contains("not-a-real-key") && written.contains("shows an API key"), "{written}");
}
