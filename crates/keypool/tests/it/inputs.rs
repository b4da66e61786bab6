//! What `keypool batch` reads: nothing of it is passed over without a word, and nothing is read as what it is not.

use std::fs;

use gemini_sim::{GeminiSim, Limits};
use serde_json::json;

use crate::batch::{Ended, Stage};

async fn stage() -> Stage {
    Stage::new(GeminiSim::builder(), 2, Limits::none()).await
}

fn wrong(ended: &Ended, why: &str) {
    assert!(ended.code == 2 && ended.err.contains(why), "{why} is missing: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_cannot_be_read_is_never_taken_for_an_empty_one() {
    let stage = stage().await;
    fs::create_dir(stage.path("folder")).unwrap();
    for args in [&["folder", "-o", "a.jsonl"][..], &["folder", "-o", "a.jsonl", "--format", "jsonl"]] {
        let ended = stage.run(args).await;
        wrong(&ended, "folder: ");
        wrong(&ended, "name a file");
    }
    let ended = stage.run(&["none.txt", "-o", "a.jsonl"]).await;
    wrong(&ended, "none.txt: ");
    wrong(&ended, "name a file");
    assert!(!stage.path("a.jsonl").exists());
}

/// The memory of a process cannot be read at its beginning: an error of the device, as a disk gives it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_fails_ends_the_run_with_the_cause() {
    let stage = stage().await;
    for format in ["text", "jsonl", "json", "csv"] {
        wrong(&stage.run(&["/proc/self/mem", "-o", "a.jsonl", "--format", format]).await, "Input/output error");
        let mut command = stage.command(&["-", "-o", "b.jsonl", "--format", format]);
        let device = fs::File::open("/proc/self/mem").unwrap();
        let output = tokio::task::spawn_blocking(move || command.stdin(device).output().unwrap()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{format}: {said}");
        assert!(said.contains("Input/output error"), "{format}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_no_text_or_too_long_are_one_error_each() {
    let stage = stage().await;
    fs::write(stage.path("latin.txt"), b"good\ncaf\xe9 au lait\nalso good\n").unwrap();
    let ended = stage.run(&["latin.txt", "-o", "a.jsonl"]).await;
    wrong(&ended, "1 line is no task");
    wrong(&ended, "line 2: ");
    wrong(&ended, "UTF-8");
    fs::write(stage.path("latin.jsonl"), b"\"good\"\n{\"prompt\": \"caf\xe9\"}\n").unwrap();
    wrong(&stage.run(&["latin.jsonl", "-o", "a.jsonl"]).await, "line 2: ");
    let mut long = b"good\n".to_vec();
    long.resize(long.len() + (64 << 20) + 5, b'x');
    long.extend_from_slice(b"\nalso good\n");
    fs::write(stage.path("long.txt"), &long).unwrap();
    let ended = stage.run(&["long.txt", "-o", "a.jsonl"]).await;
    wrong(&ended, "1 line is no task");
    wrong(&ended, "line 2: it is longer than 64 MiB");
    fs::write(stage.path("list.json"), "[\"a\", {}, \"b\", 5]").unwrap();
    let ended = stage.run(&["list.json", "-o", "a.jsonl"]).await;
    wrong(&ended, "2 items are no task");
    wrong(&ended, "item 2: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_field_of_a_request_is_the_tasks_own() {
    let stage = stage().await;
    let task = json!({
        "id": "m", "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }], "meta": { "a": 1 }, "labels": ["x"],
        "generation_config": { "maxOutputTokens": 9 }, "note": null,
    });
    fs::write(stage.path("t.jsonl"), format!("{task}\n")).unwrap();
    let ended = stage.run(&["t.jsonl", "-o", "a.jsonl"]).await;
    assert_eq!(ended.code, 0, "{ended:?} {:?}", stage.results("a.jsonl"));
    let result = &stage.results("a.jsonl")[0];
    assert_eq!(result["task"], json!({ "meta": { "a": 1 }, "labels": ["x"], "note": null }));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_long_numbers_stay_apart_and_keep_their_digits() {
    const ONE: &str = "12345678901234567890123";
    const OTHER: &str = "12345678901234567890124";
    let stage = stage().await;
    let task = |id: &str| format!("{{\"id\": {id}, \"prompt\": \"x\"}}");
    fs::write(stage.path("t.jsonl"), format!("{}\n{}\n", task(ONE), task(OTHER))).unwrap();
    fs::write(stage.path("t.json"), format!("[{}, {}]", task(ONE), task(OTHER))).unwrap();
    for input in ["t.jsonl", "t.json"] {
        let output = format!("{input}.out");
        let ended = stage.run(&[input, "-o", &output, "--ordered"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let results = fs::read_to_string(stage.path(&output)).unwrap();
        let ids: Vec<_> = results.lines().map(|line| line.split([':', ',']).nth(1).unwrap()).collect();
        assert_eq!(ids, [ONE, OTHER], "{input}: {results}");
        let sent = stage.sim.report().total.arrivals;
        assert_eq!(stage.run(&[input, "-o", &output]).await.code, 0);
        assert_eq!(stage.sim.report().total.arrivals, sent, "they are found again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_any_form_come_out_of_every_file_as_they_went_in() {
    const TASK: &str = "{\"prompt\": \"x\", \"n\": 12345678901234567890123, \"price\": 1.10, \"far\": [1e400]}";
    const OWN: &str = "\"task\":{\"far\":[1e400],\"n\":12345678901234567890123,\"price\":1.10}";
    let stage = stage().await;
    fs::write(stage.path("t.jsonl"), format!("{TASK}\n")).unwrap();
    fs::write(stage.path("t.json"), format!("[{TASK}]")).unwrap();
    for input in ["t.jsonl", "t.json"] {
        for output in ["out.jsonl", "out.json"] {
            let output = format!("{input}.{output}");
            // The second run reads what the first one wrote.
            for _ in 0..2 {
                let ended = stage.run(&[input, "-o", &output, "--ordered"]).await;
                assert_eq!(ended.code, 0, "{ended:?}");
                let text = fs::read_to_string(stage.path(&output)).unwrap();
                assert_eq!(text.matches(OWN).count(), 1, "{output}: {text}");
            }
        }
    }
    assert_eq!(stage.sim.report().total.arrivals, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_without_a_task_is_said_to_be_one() {
    let stage = Stage::new(GeminiSim::builder(), 1, Limits::none()).await;
    for (name, text) in [("a.txt", ""), ("b.txt", "\n \n"), ("c.json", "[]"), ("d.csv", "prompt\n"), ("e.jsonl", "\n")]
    {
        std::fs::write(stage.path(name), text).unwrap();
        let ended = stage.run(&[name, "-o", "out.jsonl"]).await;
        assert!(ended.code == 0 && ended.err.contains("there is no task in the input"), "{name}: {ended:?}");
    }
    let piped = stage.piped(&["-"], "").await;
    assert!(piped.code == 0 && piped.err.contains("there is no task in the input"), "{piped:?}");
    let one = stage.piped(&["-"], "x").await;
    assert!(one.code == 0 && !one.err.contains("there is no task"), "{one:?}");
}

/// Keys are no prompts, whatever the file is called on the command line.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_run_goes_by_is_not_sent_as_prompts() {
    let stage = stage().await;
    let full = stage.path("keys.txt");
    fs::hard_link(&full, stage.path("prompts.txt")).unwrap();
    fs::write(stage.path("keypool.toml"), "# none\n").unwrap();
    for name in ["keys.txt", "./keys.txt", full.to_str().unwrap(), "prompts.txt", "keypool.toml"] {
        let ended = stage.run(&[name, "-o", "out.jsonl"]).await;
        assert!(ended.code == 2 && ended.err.contains("would go to the provider as prompts"), "{name}: {ended:?}");
    }
    let mut command = stage.command(&["-", "-o", "out.jsonl"]);
    let input = fs::File::open(&full).unwrap();
    let output = tokio::task::spawn_blocking(move || command.stdin(input).output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(stage.sim.report().total.arrivals, 0);
}

/// As spreadsheets save them.
#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_no_utf8_is_told_with_what_makes_it_so() {
    let stage = stage().await;
    let utf16: Vec<u8> = "\u{feff}id\tprompt\r\n1\tcafé\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    // All of it could be UTF-8.
    let unmarked =
        |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { "id,prompt\n1,x\n".encode_utf16().flat_map(bytes).collect() };
    for (name, bytes, fix) in [
        ("a.csv", &b"id;prompt\r\n1;caf\xe9\r\n2;ok\r\n"[..], "line 2: it is no UTF-8 text (`iconv -f windows-1252"),
        ("b.csv", b"id;prompt;caf\xe9\r\n1;x;y\r\n", "line 1: it is no UTF-8 text (`iconv -f windows-1252"),
        ("c.csv", &utf16, "line 1: it is UTF-16 and no UTF-8 text (`iconv -f utf-16"),
        ("d.txt", &utf16, "line 1: it is UTF-16 and no UTF-8 text (`iconv -f utf-16"),
        ("f.txt", &unmarked(u16::to_le_bytes), "line 1: it is UTF-16 and no UTF-8 text (`iconv -f utf-16le"),
        ("g.jsonl", &unmarked(u16::to_be_bytes), "line 1: it is UTF-16 and no UTF-8 text (`iconv -f utf-16be"),
        ("h.csv", &unmarked(u16::to_le_bytes), "line 1: it is UTF-16 and no UTF-8 text (`iconv -f utf-16le"),
        ("e.txt", b"fine\ncaf\xe9\n", "line 2: it is no UTF-8 text (`iconv -f windows-1252"),
    ] {
        fs::write(stage.path(name), bytes).unwrap();
        let ended = stage.run(&[name, "-o", "out.jsonl"]).await;
        assert!(ended.code == 2 && ended.err.contains(fix), "{name}: {ended:?}");
    }
}
