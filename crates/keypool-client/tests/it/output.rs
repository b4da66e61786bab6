//! The output: torn ends, other files, order, resumption.

use std::{collections::BTreeSet, fs, path::Path};

use gemini_sim::GeminiSim;
use keypool_client::batch::{Batch, Output, OutputError, OutputOptions, Task, input::Place};
use serde_json::Value;

use crate::stage;

fn prompts(count: usize) -> Vec<Task> {
    (0..count).map(|n| Task::prompt(format!("task {n}"))).collect()
}

async fn run(path: &Path, options: OutputOptions, tasks: Vec<Task>) -> u64 {
    let (sim, client) = stage::paused(GeminiSim::builder(), 2, |pool| pool);
    let output = Output::open(path, &options).unwrap();
    Batch::new(client).output(output).run(tasks).finish().await;
    sim.report().total.arrivals
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn wherever_a_file_is_torn_the_next_run_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.jsonl");
    run(&whole, OutputOptions::default(), prompts(6)).await;
    let bytes = fs::read(&whole).unwrap();
    for cut in (0..bytes.len()).step_by(37).chain([bytes.len() - 1]) {
        let path = folder.path().join("torn.jsonl");
        fs::write(&path, &bytes[..cut]).unwrap();
        let ends = bytes[..cut].split(|byte| *byte == b'\n').count() - 1;
        // All of a line but its end is a line.
        let there = ends + usize::from(bytes.get(cut) == Some(&b'\n'));
        assert_eq!(run(&path, OutputOptions::default(), prompts(6)).await, (6 - there) as u64, "cut at {cut}");
        let ids: BTreeSet<u64> = lines(&path).iter().map(|line| line["id"].as_u64().unwrap()).collect();
        assert_eq!((ids.len(), lines(&path).len()), (6, 6), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_files_are_left_alone_and_a_second_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "milk\nbread\n").unwrap();
    let refused = Output::open(&path, &OutputOptions::default()).unwrap_err();
    assert!(matches!(refused, OutputError::Foreign { place: Place::Line(1), .. }), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "milk\nbread\n");
    let list = folder.path().join("list.json");
    fs::write(&list, "{\"not\": \"a list\"}").unwrap();
    assert!(matches!(Output::open(&list, &OutputOptions::default()), Err(OutputError::Foreign { .. })));
    assert_eq!(fs::read_to_string(&list).unwrap(), "{\"not\": \"a list\"}");

    let path = folder.path().join("answers.jsonl");
    let first = Output::open(&path, &OutputOptions::default()).unwrap();
    assert!(matches!(Output::open(&path, &OutputOptions::default()), Err(OutputError::Locked { .. })));
    drop(first);
    drop(Output::open(&path, &OutputOptions::default()).unwrap());
    assert!(!folder.path().join("answers.jsonl.lock").exists());
}

#[tokio::test(start_paused = true)]
async fn order_arrays_and_changed_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let ordered = OutputOptions { ordered: true, ..OutputOptions::default() };
    for name in ["all.jsonl", "all.json"] {
        let path = folder.path().join(name);
        let of = || -> Vec<(u64, String)> {
            let all = if name.ends_with('l') {
                lines(&path)
            } else {
                serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap()
            };
            all.iter()
                .map(|line| (line["index"].as_u64().unwrap(), line["hash"].as_str().unwrap().to_owned()))
                .collect()
        };
        assert_eq!(run(&path, ordered, prompts(300)).await, 300);
        let first = of();
        assert!(first.iter().map(|(index, _)| *index).eq(0..300), "{name}");
        let mut tasks = prompts(300);
        tasks[7] = Task::prompt("another");
        assert_eq!(run(&path, ordered, tasks).await, 1, "{name}: only what changed");
        let second = of();
        assert!(second.iter().map(|(index, _)| *index).eq(0..300), "{name}: each once");
        assert_eq!(first.iter().zip(&second).filter(|(a, b)| a != b).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_input_makes_an_empty_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.json");
    assert_eq!(run(&path, OutputOptions::default(), Vec::new()).await, 0);
    assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(&path).unwrap()).unwrap(), Value::Array(Vec::new()));
}
