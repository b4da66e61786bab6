//! `keypool batch` as a person meets it: results, exit codes, kills.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use gemini_sim::{Builder, Fault, Finish, GeminiSim, Limits, Project, Refusal, Rule};
use serde_json::Value;

use crate::binary::keypool;

pub(crate) fn secret(n: usize) -> String {
    format!("AIzaSyTEST-batch-key-with-number-{n:07}")
}

/// A folder with keys and tasks, and a simulator.
pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sim: GeminiSim,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Stage {
    pub(crate) async fn new(builder: Builder, keys: usize, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sim = (0..keys).fold(builder, |builder, n| {
            let project = Project::new(format!("projects/{}", 1000 + n)).limits(limits);
            builder.project(project.key(&*secret(n)))
        });
        let file: Vec<String> = (0..keys).map(|n| format!("{} id=k{n}", secret(n))).collect();
        std::fs::write(folder.path().join("keys.txt"), file.join("\n")).unwrap();
        Self { folder, sim: sim.start().await.unwrap() }
    }

    pub(crate) fn tasks(self, count: usize) -> Self {
        let lines: Vec<String> = (0..count).map(|n| format!("task {n}")).collect();
        std::fs::write(self.path("tasks.txt"), lines.join("\n")).unwrap();
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = keypool(&["batch", "--keys", "keys.txt", "--upstream", &self.sim.url(), "--db", "counts.db"]);
        command.args(args).current_dir(self.folder.path());
        command
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// With this on standard input; what it printed there is results.
    async fn pipe(&self, args: &[&str], text: &'static str) -> Vec<Value> {
        let ended = self.piped(args, text).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let mut results: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        results.sort_by_key(|result| result["index"].as_u64());
        results
    }

    /// With this on standard input, however it ends.
    pub(crate) async fn piped(&self, args: &[&str], text: impl Into<String>) -> Ended {
        let (mut command, text) = (self.command(args), text.into());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::ended(move || {
            let mut child = command.spawn().unwrap();
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
            child
        })
        .await
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ended {
        let child = self.start(args);
        Self::ended(|| child).await
    }

    /// How it ended, and that it told no secret.
    async fn ended(child: impl FnOnce() -> Child + Send + 'static) -> Ended {
        let output = tokio::task::spawn_blocking(move || child().wait_with_output().unwrap()).await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let ended =
            Ended { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) };
        assert!(!ended.err.contains("AIzaSy") && !ended.out.contains("AIzaSy"), "a secret: {ended:?}");
        let steers = |text: &str| text.chars().any(|character| character.is_control() && character != '\n');
        assert!(!steers(&ended.err) && !steers(&ended.out), "control characters where there is no terminal: {ended:?}");
        ended
    }

    pub(crate) fn results(&self, name: &str) -> Vec<Value> {
        lines(&self.path(name))
    }
}

/// The whole lines of a file, and what may be torn behind them left out.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn by_index(results: &[Value]) -> BTreeMap<u64, usize> {
    results.iter().fold(BTreeMap::new(), |mut counts, result| {
        *counts.entry(result["index"].as_u64().unwrap()).or_default() += 1;
        counts
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_answered_and_run_again_costs_nothing() {
    let stage = Stage::new(GeminiSim::builder(), 3, Limits::none()).await.tasks(40);
    let ended = stage.run(&["tasks.txt", "-o", "answers.jsonl", "--monitor-interval", "0.1"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("40 ok, 0 failed"), "{ended:?}");
    let results = stage.results("answers.jsonl");
    assert_eq!((results.len(), by_index(&results).len()), (40, 40));
    let first = &results[0];
    for field in [
        "id",
        "index",
        "success",
        "text",
        "key_id",
        "model",
        "attempts",
        "key_faults",
        "usage",
        "finish_reason",
        "seconds",
    ] {
        assert!(first.get(field).is_some(), "{field} is missing: {first}");
    }
    assert_eq!(stage.sim.report().total.arrivals, 40);
    let again = stage.run(&["tasks.txt", "-o", "answers.jsonl"]).await;
    assert_eq!((again.code, stage.sim.report().total.arrivals), (0, 40), "{again:?}");

    // Another prompt under an id is another task; the file holds each once.
    let text = std::fs::read_to_string(stage.path("tasks.txt")).unwrap().replace("task 7\n", "another\n");
    std::fs::write(stage.path("tasks.txt"), text).unwrap();
    let ended = stage.run(&["tasks.txt", "-o", "answers.jsonl"]).await;
    assert_eq!((ended.code, stage.sim.report().total.arrivals), (0, 41));
    let results = stage.results("answers.jsonl");
    assert_eq!((results.len(), by_index(&results).len()), (40, 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_written_at_once_and_goes_on() {
    let stage = Stage::new(GeminiSim::builder(), 2, Limits::none().rpd(10)).await.tasks(30);
    std::fs::write(stage.path("keys.txt"), format!("{} rpd=10\n{} rpd=10\n", secret(0), secret(1))).unwrap();
    let list =
        || -> Vec<Value> { serde_json::from_str(&std::fs::read_to_string(stage.path("all.json")).unwrap()).unwrap() };
    let ended =
        stage.run(&["tasks.txt", "-o", "all.json", "--ordered", "--until-exhausted", "--summary", "sum.json"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.err.contains("come back at") && ended.err.contains("10 tasks left"), "{ended:?}");
    assert!(ended.err.contains("20 of 20 left today"), "before the start: {ended:?}");
    assert_eq!(list().len(), 20);
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(stage.path("sum.json")).unwrap()).unwrap();
    assert_eq!((&summary["ended"], &summary["ok"]), (&"out_of_quota".into(), &20.into()));

    // More keys, and the same command.
    std::fs::write(stage.path("keys.txt"), secret(0)).unwrap();
    let stage = Stage { sim: GeminiSim::builder().key(&*secret(0)).start().await.unwrap(), ..stage };
    let ended = stage.run(&["tasks.txt", "-o", "all.json", "--ordered", "--db", "other.db"]).await;
    assert_eq!(ended.code, 2, "twice --db: {ended:?}");
    let mut command = keypool(&["batch", "--keys", "keys.txt", "--upstream", &stage.sim.url(), "--db", "other.db"]);
    command.args(["tasks.txt", "-o", "all.json", "--ordered"]).current_dir(stage.folder.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(stage.path("all.json")).unwrap();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let order: Vec<u64> = all.iter().map(|result| result["index"].as_u64().unwrap()).collect();
    assert_eq!(order, (0..30).collect::<Vec<u64>>());
    assert_eq!(stage.sim.report().total.arrivals, 10);
    assert!(!stage.path("all.json.journal").exists() && !stage.path("all.json.lock").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_exit_code_says_what_it_is() {
    let stage = Stage::new(GeminiSim::builder(), 2, Limits::none()).await.tasks(5);
    stage.sim.script(Rule::new(Fault::Refuse(Refusal::InvalidArgument)).nth(1));
    let ended = stage.run(&["tasks.txt", "-o", "a.jsonl", "--error-log", "errors.log"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("1 invalid") && ended.err.contains("--retry-failed"), "{ended:?}");
    let log = std::fs::read_to_string(stage.path("errors.log")).unwrap();
    assert!(log.contains(" ERROR Slot ") && log.contains(": 400 INVALID_ARGUMENT (failed: "), "{log}");
    let ended = stage.run(&["tasks.txt", "-o", "a.jsonl"]).await;
    assert_eq!(ended.code, 1, "it failed before");
    assert!(ended.err.contains("5 done before, 1 of them failed (--retry-failed tries them again)"), "{ended:?}");
    let ended = stage.run(&["tasks.txt", "-o", "a.jsonl", "--retry-failed"]).await;
    assert_eq!((ended.code, stage.results("a.jsonl").len()), (0, 5), "{ended:?}");
    assert!(ended.err.contains("5 done before, 1 of them failed (these are tried again)"), "{ended:?}");

    std::fs::write(stage.path("bad.jsonl"), "{\"prompt\": \"x\"}\n{nonsense\n{\"id\": 0, \"prompt\": \"y\"}\n")
        .unwrap();
    let ended = stage.run(&["bad.jsonl", "-o", "b.jsonl"]).await;
    assert!(ended.code == 2 && ended.err.contains("line 2") && ended.err.contains("line 3: another task"), "{ended:?}");
    for wrong in [["tasks.txt", "--temperature", "warm"], ["tasks.txt", "--max-retries", "-1"], ["none.txt", "-o", "x"]]
    {
        assert_eq!(stage.run(&wrong).await.code, 2, "{wrong:?}");
    }
    std::fs::write(stage.path("other.jsonl"), "{\"a\": 1}\n").unwrap();
    let ended = stage.run(&["tasks.txt", "-o", "other.jsonl"]).await;
    assert!(ended.code == 2 && ended.err.contains("no result of a batch"), "{ended:?}");

    (0..2).for_each(|n| assert!(stage.sim.refuse_key(n, Some(Refusal::ConsumerSuspended))));
    let ended = stage.run(&["tasks.txt", "-o", "c.jsonl", "--error-log", "gone.log"]).await;
    assert!(ended.code == 4 && ended.err.contains("k0: CONSUMER_SUSPENDED"), "{ended:?}");
    let log = std::fs::read_to_string(stage.path("gone.log")).unwrap();
    assert!(log.contains("403 CONSUMER_SUSPENDED (permanent)"), "{log}");
}

/// A name that none of the tasks can be asked with, or a key in its place, is said before anything is sent or made.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_no_model_is_said_at_once() {
    let stage = Stage::new(GeminiSim::builder(), 1, Limits::none()).await.tasks(5);
    let key = secret(7);
    for (option, name) in [("--model", "a/b"), ("--model", &key), ("--fallback", "x?y"), ("--fallback", &key)] {
        let ended = stage.run(&["tasks.txt", "-o", "a.jsonl", option, name]).await;
        assert!(ended.code == 2 && ended.err.contains(&format!("{option}: ")), "{ended:?}");
        assert!(!stage.path("a.jsonl").exists(), "{ended:?}");
        let said = if name == key { "that looks like a key" } else { "is no name of a model" };
        assert!(ended.err.contains(said), "{ended:?}");
    }
    std::fs::write(stage.path("keypool.toml"), "[batch]\nmodel = \"a b\"\n").unwrap();
    assert_eq!(stage.run(&["tasks.txt", "-o", "a.jsonl"]).await.code, 2);
    std::fs::remove_file(stage.path("keypool.toml")).unwrap();
    assert_eq!(stage.sim.report().total.arrivals, 0);
    // Others have slashes in theirs.
    let args = ["tasks.txt", "-o", "b.jsonl", "--provider", "openai", "--model", "meta/llama", "--max-wait", "1"];
    let ended = stage.run(&args).await;
    assert!(ended.code != 2, "{ended:?}");
    // Of one task it is that task's fault.
    std::fs::write(stage.path("one.jsonl"), "{\"prompt\": \"x\", \"model\": \"a/b\"}\n\"y\"\n").unwrap();
    let ended = stage.run(&["one.jsonl", "-o", "c.jsonl"]).await;
    let failed: Vec<_> = stage.results("c.jsonl").into_iter().filter(|result| result["success"] == false).collect();
    assert!(ended.code == 1 && failed.len() == 1 && failed[0]["error"]["kind"] == "input", "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_and_output_will_do() {
    let stage = Stage::new(GeminiSim::builder(), 1, Limits::none()).await;
    for more in [&[][..], &["-o", "-"]] {
        let mut command =
            keypool(&["batch", "-", "--keys", "keys.txt", "--upstream", &stage.sim.url(), "--db", "none"]);
        command.args(more);
        command.current_dir(stage.folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"{\"id\": \"q\", \"prompt\": \"hello\", \"n\": 1}\n\"and this\"\n")
            .unwrap();
        drop(input);
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut results: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        results.sort_by_key(|result| result["index"].as_u64());
        assert_eq!(
            (&results[0]["id"], &results[0]["task"]["n"], &results[1]["id"]),
            (&"q".into(), &1.into(), &1.into())
        );
        assert!(!stage.path("-").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_is_lost_and_nothing_twice() {
    const TASKS: usize = 300;
    let builder = GeminiSim::builder().latency(Duration::from_millis(40));
    let stage = Stage::new(builder, 4, Limits::none()).await.tasks(TASKS);
    let args =
        ["tasks.txt", "-o", "answers.jsonl", "--workers-per-key", "2", "--rate-limit-per-slot", "0", "--no-progress"];
    let (mut reported, mut kills) = (0, 0);
    for pause in [250, 330, 420] {
        let mut child = stage.start(&args);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
        let whole = by_index(&stage.results("answers.jsonl"));
        assert!(whole.values().all(|count| *count == 1), "twice");
        assert!(whole.len() >= reported, "something that was there is gone");
        reported = whole.len();
    }
    let second = {
        // Nothing is answered, and so the first is there as long as it is looked at.
        stage.sim.script(Rule::new(Fault::Hang));
        let before = stage.sim.report().total.arrivals;
        let mut first = stage.start(&args);
        while stage.sim.report().total.arrivals == before {
            assert!(first.try_wait().unwrap().is_none(), "the first one runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // One that is not refused comes to its end, too.
        let second = stage.run(&[&args[..], &["--timeout", "1", "--max-retries", "0"]].concat()).await;
        assert!(first.try_wait().unwrap().is_none(), "the first one runs on");
        first.kill().unwrap();
        first.wait().unwrap();
        stage.sim.clear_script();
        second
    };
    assert!(second.code == 2 && second.err.contains("another run writes to"), "{second:?}");
    let ended = stage.run(&args).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let results = by_index(&stage.results("answers.jsonl"));
    assert_eq!((results.len(), results.values().sum::<usize>()), (TASKS, TASKS));
    let wasted = stage.sim.report().total.arrivals - TASKS as u64;
    assert!(wasted <= 8 * (kills + 1), "{wasted} calls for nothing; 8 are under way at a time, and {kills} kills");
}

/// Keys with limits are lent one by one while another process was there a moment ago, and a slot needs its own: it asks for
/// that one.
#[tokio::test(flavor = "multi_thread")]
async fn slots_go_on_where_another_run_just_ended() {
    let stage = slots_stage().await;
    for output in ["a.jsonl", "b.jsonl", "c.jsonl"] {
        let begun = crate::watching::stopwatch();
        let ended = stage.run(&slots_to(output)).await;
        assert_eq!((ended.code, stage.results(output).len()), (0, 60), "{ended:?}");
        println!("{output} after {:?}", begun());
        assert!(begun() < IN_LINE, "{output}: {:?}", begun());
        assert_eq!(by_key(&stage.results(output)).len(), 4, "every key's slots worked");
    }
}

/// Two runs at once, each with slots of all keys.
#[tokio::test(flavor = "multi_thread")]
async fn slots_of_two_runs_at_once_have_each_key_in_turn() {
    let stage = slots_stage().await;
    let begun = crate::watching::stopwatch();
    let (one, other) = (slots_to("a.jsonl"), slots_to("b.jsonl"));
    for (ended, output) in [tokio::join!(stage.run(&one), stage.run(&other))]
        .into_iter()
        .flat_map(|(a, b)| [(a, "a.jsonl"), (b, "b.jsonl")])
    {
        assert_eq!((ended.code, stage.results(output).len()), (0, 60), "{ended:?}");
        let keys = by_key(&stage.results(output));
        println!("{output}: {keys:?}");
        assert!(keys.len() >= 2, "one run does not keep the other from its keys: {keys:?}");
    }
    println!("both after {:?}", begun());
    assert!(begun() < IN_LINE, "{:?}", begun());
}

/// Some seconds at most where the machine has nothing else to do; a task that stands in line in vain does so for longer.
const IN_LINE: Duration = Duration::from_secs(60);

/// Four keys of 600 a minute, and 60 tasks: 0.75 s for eight slots of ten a second.
async fn slots_stage() -> Stage {
    let stage = Stage::new(GeminiSim::builder(), 4, Limits::none()).await.tasks(60);
    let file: Vec<String> = (0..4).map(|n| format!("{} id=k{n} rpm=600", secret(n))).collect();
    std::fs::write(stage.path("keys.txt"), file.join("\n")).unwrap();
    stage
}

fn slots_to(output: &str) -> [&str; 7] {
    ["tasks.txt", "-o", output, "--workers-per-key", "2", "--rate-limit-per-slot", "0.1"]
}

/// How many results are of each key.
fn by_key(results: &[Value]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for result in results {
        *counted.entry(result["key_id"].to_string()).or_default() += 1;
    }
    counted
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_drains_and_the_same_command_goes_on() {
    let builder = GeminiSim::builder().latency(Duration::from_millis(200));
    let stage = Stage::new(builder, 2, Limits::none()).await.tasks(60);
    let args = ["tasks.txt", "-o", "answers.jsonl", "--concurrency", "4"];
    let child = stage.start(&args);
    while stage.sim.report().total.arrivals < 8 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let signal = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signal.success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let done = stage.results("answers.jsonl").len();
    assert_eq!(done as u64, stage.sim.report().total.arrivals, "what was under way came to its end");
    assert!(done < 60);
    assert_eq!(stage.run(&args).await.code, 0);
    assert_eq!((stage.results("answers.jsonl").len(), stage.sim.report().total.arrivals), (60, 60));
}

/// `timeout` sends its signal to the process and to its group.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn two_signals_in_one_moment_are_one() {
    let builder = GeminiSim::builder().latency(Duration::from_secs(1));
    let stage = Stage::new(builder, 2, Limits::none()).await.tasks(60);
    let child = stage.start(&["tasks.txt", "-o", "answers.jsonl", "--concurrency", "4"]);
    while stage.sim.report().total.arrivals < 8 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let both = format!("kill -INT {0}; kill -TERM {0}", child.id());
    assert!(Command::new("sh").args(["-c", &both]).status().unwrap().success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let done = stage.results("answers.jsonl").len() as u64;
    assert_eq!(done, stage.sim.report().total.arrivals, "what was under way came to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_a_time_and_slots_are_two_ways() {
    let stage = Stage::new(GeminiSim::builder(), 2, Limits::none()).await.tasks(2);
    for slots in ["--workers-per-key", "--rate-limit-per-slot"] {
        let ended = stage.run(&["tasks.txt", "-o", "a.jsonl", "--concurrency", "3", slots, "2"]).await;
        assert!(ended.code == 2 && ended.err.contains("--concurrency") && ended.err.contains(slots), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_before_is_of_the_models_that_tasks_name() {
    let builder = GeminiSim::builder().latency(Duration::from_millis(300));
    let stage = Stage::new(builder, 1, Limits::none()).await;
    std::fs::write(stage.path("keys.txt"), format!("{} id=k0 rpd=20 rpm=60\n", secret(0))).unwrap();
    let task =
        |model: &str, n: usize| format!("{{\"id\": \"{model} {n}\", \"prompt\": \"x\", \"model\": \"{model}\"}}\n");
    let pro: String = (0..5).map(|n| task("gemini-2.5-pro", n)).collect();
    std::fs::write(stage.path("one.jsonl"), &pro).unwrap();
    let ended = stage.run(&["one.jsonl", "-o", "a.jsonl"]).await;
    let begin = "gemini-2.5-pro: 1 key, 60 requests a minute, 20 of 20 left today";
    assert!(ended.code == 0 && ended.err.lines().any(|line| line.starts_with(begin)), "{ended:?}");
    let lite: String = (0..16).map(|n| task("models/gemini-2.5-flash-lite", n)).collect();
    std::fs::write(stage.path("two.jsonl"), pro + &lite + "\"and one of none\"\n").unwrap();
    let args = ["two.jsonl", "-o", "b.jsonl", "--monitor-interval", "0.1", "--concurrency", "3", "--max-wait", "1"];
    let ended = stage.run(&args).await;
    let begin = "3 models: 1 key, 180 requests a minute, 55 of 60 left today";
    assert!(ended.err.lines().any(|line| line.starts_with(begin)), "{ended:?}");
    let left = |line: &str| line.split(" of 60 left today").next()?.rsplit(' ').next()?.parse::<u64>().ok();
    let told: Vec<u64> = ended.err.lines().filter(|line| line.starts_with("active ")).filter_map(left).collect();
    assert!(!told.is_empty() && told.iter().all(|left| (33..=55).contains(left)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_input_is_read_from_files_and_from_standard_input() {
    const CSV: &str =
        "id,prompt,model,colour\na,\"two\nlines, \"\"quoted\"\"\",,\"red, \"\"dark\"\"\"\nb,more,gemini-2.5-pro,\n";
    const LIST: &str = r#"["a text", {"id": "b", "prompt": "x", "colour": "red", "temperature": 0.1}]"#;
    const LINES: &str = "\"a text\"\n{\"id\": \"b\", \"prompt\": \"x\", \"colour\": \"red\"}\n";
    let stage = Stage::new(GeminiSim::builder(), 2, Limits::none()).await;
    for (name, text) in [("t.csv", CSV), ("t.json", LIST), ("t.jsonl", LINES), ("t.txt", "one\n\ntwo\n")] {
        std::fs::write(stage.path(name), text).unwrap();
        let output = format!("{name}.out");
        let ended = stage.run(&[name, "-o", &output, "--ordered"]).await;
        assert_eq!(ended.code, 0, "{name}: {ended:?}");
        assert_eq!(stage.results(&output).len(), 2, "{name}");
    }
    let csv = stage.results("t.csv.out");
    assert_eq!((&csv[0]["id"], &csv[0]["task"]["colour"]), (&"a".into(), &"red, \"dark\"".into()));
    assert_eq!(csv[1]["model"], "gemini-2.5-pro");
    assert_eq!(stage.results("t.txt.out")[1]["index"], 2, "the line's");
    let list = stage.results("t.json.out");
    assert_eq!((&list[0]["id"], &list[1]["task"]["colour"]), (&0.into(), &"red".into()));

    for (form, text) in [("csv", CSV), ("json", LIST), ("jsonl", LINES)] {
        let results = stage.pipe(&["-", "--format", form], text).await;
        assert_eq!((results.len(), &results[1]["id"]), (2, &"b".into()), "{form}");
    }
    // A list is known by how it begins.
    assert_eq!(stage.pipe(&["-"], LIST).await.len(), 2);
    let wrong = stage.run(&["t.csv", "-o", "w.jsonl", "--column", "question"]).await;
    assert!(wrong.code == 2 && wrong.err.contains("no column is called \"question\""), "{wrong:?}");
    std::fs::write(stage.path("w.json"), "[\"a\", \"b\"").unwrap();
    let wrong = stage.run(&["w.json", "-o", "w.jsonl"]).await;
    assert!(wrong.code == 2 && wrong.err.contains("no JSON array of tasks"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_log_may_be_json() {
    let stage = Stage::new(GeminiSim::builder(), 2, Limits::none()).await.tasks(6);
    assert!(stage.sim.refuse_key(0, Some(Refusal::ConsumerSuspended)));
    stage.sim.script(Rule::new(Fault::Finish(Finish::Empty)).key(1).times(1));
    let args = ["tasks.txt", "-o", "a.jsonl", "--error-log", "errors.log", "--error-log-format", "json"];
    assert_eq!(stage.run(&args).await.code, 0);
    let errors = lines(&stage.path("errors.log"));
    let of = |word: &str| errors.iter().find(|line| line["code"] == word || line["fault"] == word);
    let key = of("CONSUMER_SUSPENDED").unwrap_or_else(|| panic!("{errors:?}"));
    assert_eq!((&key["key"], &key["status"], &key["permanent"]), (&"k0".into(), &403.into(), &true.into()));
    assert_eq!((&key["level"], &key["fault"]), (&"ERROR".into(), &"key".into()));
    assert!(key["time"].as_str().unwrap().ends_with('Z') && key["task"].is_u64() && key["slot"].is_u64(), "{key}");
    let task = of("task").unwrap_or_else(|| panic!("{errors:?}"));
    assert_eq!((&task["last"], &task["key"]), (&false.into(), &"k1".into()));
    let text = std::fs::read_to_string(stage.path("errors.log")).unwrap();
    assert!(!text.contains("AIzaSy"), "the provider repeats the key: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_costs_is_an_estimate_and_says_by_which_prices() {
    let stage = Stage::new(GeminiSim::builder(), 1, Limits::none()).await.tasks(3);
    let ended = stage.run(&["tasks.txt", "-o", "a.jsonl"]).await;
    assert!(ended.err.contains("estimated cost $0.00 (list prices of 2025-07, not verified)"), "{ended:?}");
    // A million dollars a million tokens: each token one.
    std::fs::write(stage.path("keypool.toml"), "[batch]\nprice_input = 1000000.0\nprice_output = 0.0\n").unwrap();
    let args = ["tasks.txt", "-o", "b.jsonl", "--config", "keypool.toml", "--summary", "s.json"];
    let ended = stage.run(&args).await;
    assert!(ended.code == 0 && ended.err.contains(" (prices that were set)"), "{ended:?}");
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(stage.path("s.json")).unwrap()).unwrap();
    assert_eq!(summary["estimated_by"], "prices that were set");
    assert_eq!(summary["estimated_cost"].as_f64(), summary["input_tokens"].as_f64(), "{summary:#}");
    assert!(summary["estimated_cost"].as_f64() > Some(0.0));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_ends_it_at_once_and_loses_nothing() {
    let builder = GeminiSim::builder().latency(Duration::from_millis(50));
    let stage = Stage::new(builder, 2, Limits::none()).await.tasks(30);
    for output in ["answers.jsonl", "answers.json"] {
        // From the eleventh on nothing answers.
        stage.sim.script(Rule::new(Fault::Hang).skip(10));
        let args = ["tasks.txt", "-o", output, "--concurrency", "4"];
        let before = stage.sim.report().total.arrivals;
        let mut child = stage.start(&args);
        while stage.sim.report().total.arrivals < before + 14 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let interrupt = |child: &Child| {
            std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap()
        };
        interrupt(&child);
        // Two that come before either is heeded are one.
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        while !told.contains("Ctrl-C again stops at once") {
            assert_ne!(said.read_line(&mut told).unwrap(), 0, "{told}");
        }
        // And so are two in one moment, however long that takes. What is under way never ends by itself.
        let stopping = async {
            loop {
                if let Some(ended) = child.try_wait().unwrap() {
                    return ended;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                interrupt(&child);
            }
        };
        let ended = tokio::time::timeout(crate::home::ACTS, stopping).await.expect("it does not wait");
        assert_eq!(ended.code(), Some(130), "{told}");
        stage.sim.clear_script();
        assert_eq!(stage.run(&args).await.code, 0, "{output}");
        let results: Vec<Value> = if output.ends_with('l') {
            stage.results(output)
        } else {
            serde_json::from_str(&std::fs::read_to_string(stage.path(output)).unwrap()).unwrap()
        };
        let counts = by_index(&results);
        assert_eq!((counts.len(), results.len()), (30, 30), "{output}");
        // What was under way is asked again, and nothing else.
        assert_eq!(stage.sim.report().total.arrivals - before, 34, "{output}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_a_bar_is_drawn_over_itself() {
    let builder = GeminiSim::builder().latency(Duration::from_millis(100));
    let stage = Stage::new(builder, 2, Limits::none()).await.tasks(20);
    std::fs::write(stage.path("keys.txt"), format!("{} rpd=20\n{} rpd=20\n", secret(0), secret(1))).unwrap();
    let args = ["tasks.txt", "-o", "a.jsonl", "--concurrency", "2"];
    let terminal = crate::watching::OnTerminal::run(&stage.command(&args));
    let (code, text) = tokio::task::spawn_blocking(move || terminal.end()).await.unwrap();
    assert_eq!(code, Some(0), "{text:?}");
    for word in ["/20 ", "/s", " left", "ok ", "failed 0", "active 2/2", "queued", "tokens", "of 40 left today"] {
        assert!(text.contains(word), "{word} is missing: {text:?}");
    }
    assert!(text.contains('\r'), "over itself: {text:?}");
    assert!(text.contains("20 ok, 0 failed"), "and a summary: {text:?}");
    // Elsewhere it is lines.
    std::fs::write(stage.path("keys.txt"), format!("{}\n{}\n", secret(0), secret(1))).unwrap();
    let lines = stage.run(&["tasks.txt", "-o", "c.jsonl", "--concurrency", "2", "--monitor-interval", "0.1"]).await;
    let progress = |line: &str| line.starts_with("active 2/2 | queued ") && line.ends_with(" | failed 0 | paused 0");
    assert!(lines.err.lines().any(progress), "{lines:?}");
    let quiet = crate::watching::OnTerminal::run(&stage.command(&["tasks.txt", "-o", "b.jsonl", "--quiet"]));
    let (code, text) = tokio::task::spawn_blocking(move || quiet.end()).await.unwrap();
    assert_eq!((code, &*text), (Some(0), ""));
}
