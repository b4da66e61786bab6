//! Each flag of `keypool batch` does what it says.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gemini_sim::{Fault, Finish, GeminiSim, Limits, Refusal, Rule};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    batch::{Stage, lines, secret},
    binary::keypool,
};

/// A provider that keeps what it is asked, and always answers the same.
struct Recorder {
    url: String,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Recorder {
    async fn start(answer: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let (kept, answer) = (Arc::clone(&asked), answer.to_string());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer_one(stream, Arc::clone(&kept), answer.clone()));
            }
        });
        Self { url, asked }
    }

    /// Runs a batch of one task over it: its result, and the exit code.
    async fn run(&self, args: &[&str]) -> (Option<i32>, Value) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keys.txt"), secret(0)).unwrap();
        std::fs::write(folder.path().join("tasks.txt"), "the prompt\n").unwrap();
        std::fs::write(folder.path().join("system.txt"), "from a file").unwrap();
        for (name, of_a) in [("good.json", "integer"), ("bad.json", "string")] {
            let schema = json!({ "type": "object", "properties": { "a": { "type": of_a } } });
            std::fs::write(folder.path().join(name), schema.to_string()).unwrap();
        }
        let mut command = keypool(&["batch", "tasks.txt", "--keys", "keys.txt", "--db", "none", "--no-progress"]);
        command.args(["--upstream", &self.url]).args(args).current_dir(folder.path());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
    }

    /// The same; what it was asked.
    async fn asked(&self, args: &[&str]) -> (String, Value) {
        assert_eq!(self.run(args).await.0, Some(0), "{args:?}");
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap()
    }
}

async fn answer_one(mut stream: TcpStream, kept: Arc<Mutex<Vec<(String, Value)>>>, answer: String) {
    let mut read = Vec::new();
    let (head, body) = loop {
        let mut more = [0; 4096];
        let n = stream.read(&mut more).await.unwrap_or(0);
        if n == 0 {
            return;
        }
        read.extend_from_slice(&more[..n]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let body = serde_json::from_str(&body).unwrap_or_default();
    kept.lock().unwrap_or_else(PoisonError::into_inner).push((path, body));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let _ = stream.write_all(format!("{head}content-length: {}\r\n\r\n{answer}", answer.len()).as_bytes()).await;
}

fn summary(stage: &Stage) -> Value {
    serde_json::from_str(&std::fs::read_to_string(stage.path("sum.json")).unwrap()).unwrap()
}

fn said(text: &str) -> Value {
    json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] }, "finishReason": "STOP" }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn model_system_and_temperature_go_with_each_task() {
    let provider = Recorder::start(&said("yes")).await;
    let (path, body) = provider.asked(&[]).await;
    assert!(path.starts_with("/v1beta/models/gemini-2.5-flash:generateContent"), "{path}");
    assert_eq!(
        (&body["generationConfig"]["temperature"], body.get("systemInstruction")),
        (&json!(1.0), None),
        "{body}"
    );
    assert_eq!(body["contents"][0]["parts"][0]["text"], "the prompt");
    let (path, body) =
        provider.asked(&["--model", "gemini-2.5-pro", "--system", "Be brief.", "--temperature", "0.25"]).await;
    assert!(path.starts_with("/v1beta/models/gemini-2.5-pro:"), "{path}");
    assert_eq!(body["generationConfig"]["temperature"], 0.25);
    assert_eq!(body["systemInstruction"]["parts"][0]["text"], "Be brief.");
    let (_, body) = provider.asked(&["--system", "@system.txt"]).await;
    assert_eq!(body["systemInstruction"]["parts"][0]["text"], "from a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_provider_is_asked_in_its_own_way() {
    let answer = json!({ "choices": [{ "message": { "content": "yes" }, "finish_reason": "stop" }] });
    let provider = Recorder::start(&answer).await;
    let (path, body) = provider.asked(&["--provider", "openai", "--model", "gpt-x", "--system", "s"]).await;
    assert!(path.ends_with("/chat/completions"), "{path}");
    assert_eq!((&body["model"], &body["messages"][0]["role"]), (&json!("gpt-x"), &json!("system")));
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_and_concurrency_say_how_many_at_a_time() {
    let stage = Stage::new(GeminiSim::builder(), 2, Limits::none()).await.tasks(8);
    let run = async |args: &[&str]| {
        let output = format!("out{}.jsonl", args.join(""));
        let ended = stage.run(&[&["tasks.txt", "-o", &output, "--summary", "sum.json"], args].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let summary = summary(&stage);
        (summary["slots"].as_u64().unwrap(), summary["by_slot"].as_array().unwrap().len())
    };
    assert_eq!(run(&["--concurrency", "3"]).await, (3, 0));
    assert_eq!(run(&["--workers-per-key", "3", "--rate-limit-per-slot", "0"]).await, (6, 6));
    // Either turns slots on, with the other's default.
    assert_eq!(run(&["--workers-per-key", "5"]).await, (10, 10));
    let first = stage.sim.log().len();
    assert_eq!(run(&["--rate-limit-per-slot", "0.1"]).await, (8, 8));
    let begun = stage.sim.elapsed();
    assert_eq!(run(&["--workers-per-key", "1", "--rate-limit-per-slot", "0.3"]).await, (2, 2));
    // The last run's, of either key: so far apart, though two may arrive together where the machine is busy.
    let log = stage.sim.log();
    for key in [0, 1] {
        let starts: Vec<Duration> =
            log.iter().skip(first + 8).filter(|arrival| arrival.key == Some(key)).map(|arrival| arrival.at).collect();
        let least = begun + Duration::from_millis(300) * (starts.len() as u32 - 1);
        assert!(starts.last().is_some_and(|last| *last >= least), "{begun:?}, then {starts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_again_is_said_by_flags() {
    let stage = Stage::new(GeminiSim::builder(), 1, Limits::none()).await.tasks(1);
    let run = async |args: &[&str]| {
        let (before, output) = (stage.sim.report().total.arrivals, format!("out{}.jsonl", args.join("")));
        let ended = stage.run(&[&["tasks.txt", "-o", &output], args].concat()).await;
        (ended.code, stage.sim.report().total.arrivals - before)
    };
    let empty = || Rule::new(Fault::Finish(Finish::Empty)).times(2);
    for (retries, expected) in [("0", (1, 1)), ("1", (1, 2)), ("2", (0, 3))] {
        stage.sim.clear_script();
        stage.sim.script(empty());
        assert_eq!(run(&["--max-retries", retries]).await, expected, "{retries}");
    }
    for (flag, expected) in [(None, (1, 1)), (Some("--retry-invalid"), (0, 2))] {
        stage.sim.clear_script();
        stage.sim.script(Rule::new(Fault::Refuse(Refusal::InvalidArgument)).times(1));
        assert_eq!(run(flag.as_slice()).await, expected, "{flag:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_too_long_is_given_up() {
    let stage = Stage::new(GeminiSim::builder(), 1, Limits::none()).await.tasks(1);
    stage.sim.script(Rule::new(Fault::Hang));
    let ended = stage.run(&["tasks.txt", "-o", "a.jsonl", "--timeout", "1", "--max-retries", "0"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(stage.results("a.jsonl")[0]["error"]["kind"], "timeout");
    assert_eq!(stage.run(&["tasks.txt", "--timeout", "soon"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_out_steps_down_waits_or_ends() {
    let stage = Stage::new(GeminiSim::builder(), 1, Limits::none()).await.tasks(3);
    std::fs::write(stage.path("keys.txt"), format!("{} rpm=1\n", secret(0))).unwrap();
    let begun = crate::watching::stopwatch();
    let ended = stage.run(&["tasks.txt", "-o", "a.jsonl", "--max-wait", "1"]).await;
    assert!(ended.code == 3 && ended.err.contains("come back at"), "{ended:?}");
    assert!(begun() < Duration::from_secs(55), "it does not wait for a minute");
    assert_eq!(stage.results("a.jsonl").len(), 1);
    // The same limit is each model's own.
    let fallback = "gemini-2.5-flash-lite,gemini-2.5-pro";
    let args = ["tasks.txt", "-o", "b.jsonl", "--max-wait", "1", "--fallback", fallback, "--concurrency", "1"];
    let ended = stage.run(&args).await;
    let models: BTreeSet<String> =
        stage.results("b.jsonl").iter().map(|result| result["model"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ended.code, 3, "flash has had its request: {ended:?}");
    assert_eq!(models, BTreeSet::from(["gemini-2.5-flash-lite".to_owned(), "gemini-2.5-pro".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_json_are_read_and_checked() {
    const FENCED: &str = "Here it is:\n```json\n{\"a\": 1}\n```";
    let provider = Recorder::start(&said(FENCED)).await;
    let run = async |args: &[&str]| provider.run(&[&["--max-retries", "0"], args].concat()).await;
    let (code, plain) = run(&[]).await;
    assert_eq!((code, &plain["text"], plain.get("json")), (Some(0), &json!(FENCED), None));
    for args in [&["--parse-json"][..], &["--json-schema", "good.json"]] {
        let (code, read) = run(args).await;
        assert_eq!((code, &read["json"], read.get("text")), (Some(0), &json!({ "a": 1 }), None), "{read}");
    }
    let (code, bad) = run(&["--json-schema", "bad.json"]).await;
    assert_eq!((code, &bad["error"]["kind"], &bad["text"]), (Some(1), &json!("schema"), &json!(FENCED)), "{bad}");
    assert_eq!(run(&["--json-schema", "nowhere.json"]).await.0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_keys_is_the_strategys() {
    let stage = Stage::new(GeminiSim::builder(), 2, Limits::none()).await.tasks(40);
    std::fs::write(stage.path("keys.txt"), format!("{} weight=9\n{} weight=1\n", secret(0), secret(1))).unwrap();
    let mut firsts = 0;
    let mut share = async |name: &str| {
        let output = format!("{name}.jsonl");
        let ended = stage.run(&["tasks.txt", "-o", &output, "--strategy", name, "--concurrency", "1"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let all = stage.sim.log().iter().filter(|arrival| arrival.key == Some(0)).count();
        all - std::mem::replace(&mut firsts, all)
    };
    assert_eq!(share("round-robin").await, 20);
    assert!(share("weighted").await > 30);
    let wrong = stage.run(&["tasks.txt", "--strategy", "best"]).await;
    assert!(wrong.code == 2 && wrong.err.contains("round-robin"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_progress_says_what_the_day_allows_and_when_it_will_be_done() {
    let builder = GeminiSim::builder().latency(Duration::from_millis(300));
    let stage = Stage::new(builder, 2, Limits::none()).await.tasks(12);
    let keys = |more: &str| format!("{}{more}\n{}{more}\n", secret(0), secret(1));
    std::fs::write(stage.path("keys.txt"), keys(" rpd=20 rpm=600")).unwrap();
    let args = ["tasks.txt", "-o", "a.jsonl", "--concurrency", "2", "--monitor-interval", "0.1"];
    let ended = stage.run(&args).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    // As ever, and what is known behind it.
    let forms = ["active ", "queued ", "ok ", "failed ", "paused "];
    let is_so = |line: &&str| {
        let parts: Vec<&str> = line.split(" | ").collect();
        parts.iter().zip(forms).all(|(part, form)| part.starts_with(form))
            && parts.get(5).is_some_and(|part| part.ends_with(" of 40 left today"))
            && parts.get(6).is_none_or(|part| part.starts_with("done in "))
            && parts.len() <= 7
    };
    let told: Vec<&str> = ended.err.lines().filter(|line| line.starts_with("active ")).collect();
    assert!(told.len() > 2 && told.iter().all(is_so), "{ended:?}");
    assert!(told.iter().any(|line| line.contains(" | done in ")), "{ended:?}");
    let left = |line: &str| -> u64 { line.split(" | ").nth(5).unwrap().split(' ').next().unwrap().parse().unwrap() };
    assert!(left(told[0]) > left(told[told.len() - 1]), "it goes down: {told:?}");
    // A long interval: none.
    let rare = stage.run(&["tasks.txt", "-o", "b.jsonl", "--monitor-interval", "60"]).await;
    assert!(rare.code == 0 && !rare.err.contains("active "), "{rare:?}");
    assert_eq!(lines(&stage.path("b.jsonl")).len(), 12);
}
