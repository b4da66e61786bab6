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
async fn whatever_number_is_the_id_a_torn_line_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torn.jsonl");
    for id in ["-5", "-0", "1.50", "1e5", "-2.5E-7", "0"] {
        let task = || Task::from_json(&format!("{{\"id\": {id}, \"prompt\": \"x\"}}")).unwrap();
        fs::write(&path, "").unwrap();
        run(&path, OutputOptions::default(), vec![task()]).await;
        let whole = fs::read(&path).unwrap();
        for cut in 1..whole.len() - 1 {
            fs::write(&path, &whole[..cut]).unwrap();
            let opened = Output::open(&path, &OutputOptions::default());
            assert!(opened.is_ok(), "id {id}, cut at {cut}: {opened:?}");
        }
    }
    // What somebody else wrote is left alone.
    for other in ["{\"id\":-", "{\"id\":1-2", "{\"id\":e", "{\"id\":-5,\"prompt\""] {
        let foreign = !matches!(other, "{\"id\":-");
        fs::write(&path, other).unwrap();
        let opened = Output::open(&path, &OutputOptions::default());
        assert_eq!(matches!(opened, Err(OutputError::Foreign { .. })), foreign, "{other}: {opened:?}");
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

/// A file has as many names as somebody gives it.
#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn one_run_a_file_whatever_name_it_has() {
    let folder = tempfile::tempdir().unwrap();
    for (one, other) in [("one.jsonl", "other.jsonl"), ("one.json", "other.json")] {
        let (one, other) = (folder.path().join(one), folder.path().join(other));
        run(&one, OutputOptions::default(), prompts(3)).await;
        fs::hard_link(&one, &other).unwrap();
        let first = Output::open(&one, &OutputOptions::default()).unwrap();
        let refused = Output::open(&other, &OutputOptions::default()).unwrap_err();
        assert!(matches!(refused, OutputError::Locked { .. }), "{refused}");
        assert!(refused.to_string().contains("by another name"), "{refused}");
        drop(first);
        drop(Output::open(&other, &OutputOptions::default()).unwrap());
        assert_eq!(run(&other, OutputOptions::default(), prompts(4)).await, 1, "it goes on under each of them");
    }
}

/// Files that a run makes beside its output.
#[tokio::test(start_paused = true)]
async fn what_happens_to_have_the_name_of_a_file_of_a_run_stays() {
    let folder = tempfile::tempdir().unwrap();
    let ordered = OutputOptions { ordered: true, ..OutputOptions::default() };
    for (output, beside) in [
        ("a.jsonl", ".lock"),
        ("a.jsonl", ".new"),
        ("a.json", ".lock"),
        ("a.json", ".new"),
        ("a.json", ".journal"),
        ("a.json", ".journal.new"),
    ] {
        let path = folder.path().join(output);
        let beside = folder.path().join(format!("{output}{beside}"));
        let refused = |what: &str| {
            let refused = Output::open(&path, &ordered).unwrap_err().to_string();
            assert!(refused.contains(beside.to_str().unwrap()), "{what}: {refused}");
            assert!(refused.contains("away") && refused.contains("name another output"), "{what}: {refused}");
            assert!(!path.exists(), "{what}: nothing is made");
        };
        fs::write(&beside, "my very important notes").unwrap();
        refused("a file");
        assert_eq!(fs::read_to_string(&beside).unwrap(), "my very important notes", "{}", beside.display());
        fs::remove_file(&beside).unwrap();
        fs::create_dir(&beside).unwrap();
        refused("a folder");
        fs::remove_dir(&beside).unwrap();
        #[cfg(unix)]
        {
            let far = folder.path().join("far");
            std::os::unix::fs::symlink(&far, &beside).unwrap();
            refused("a link");
            assert!(beside.is_symlink() && !far.exists(), "{}", beside.display());
            fs::remove_file(&beside).unwrap();
        }
    }
    // What is empty says nothing of whose it is: it stays, too.
    let (path, lock) = (folder.path().join("b.jsonl"), folder.path().join("b.jsonl.lock"));
    fs::write(&lock, "").unwrap();
    assert_eq!(run(&path, ordered, prompts(2)).await, 2);
    assert_eq!(fs::read(&lock).unwrap(), b"");
    // One that comes while it runs, as well.
    let (path, new) = (folder.path().join("c.jsonl"), folder.path().join("c.jsonl.new"));
    let (_sim, client) = stage::paused(GeminiSim::builder(), 2, |pool| pool);
    let output = Output::open(&path, &ordered).unwrap();
    fs::write(&new, "my very important notes").unwrap();
    let (ended, _) = Batch::new(client).output(output).run(prompts(3)).finish().await;
    let keypool_client::batch::Ended::Failed(why) = ended else { panic!("{ended:?}") };
    assert!(why.contains("c.jsonl.new") && why.contains("name another output"), "{why}");
    assert_eq!((fs::read_to_string(&new).unwrap().as_str(), lines(&path).len()), ("my very important notes", 3));
}

/// A run that was killed leaves its lock, and where it was at its end what it was writing.
#[tokio::test(start_paused = true)]
async fn what_a_killed_run_left_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    let at = |end: &str| folder.path().join(format!("a.json{end}"));
    run(&path, OutputOptions::default(), prompts(3)).await;
    // As they lie there while it is written anew.
    let output = Output::open(&path, &OutputOptions::default()).unwrap();
    let (mark, journal) = (fs::read_to_string(at(".lock")).unwrap(), fs::read(at(".journal")).unwrap());
    drop(output);
    fs::write(at(".journal"), &journal).unwrap();
    for (left, taken) in [(mark.clone(), false), (format!("{mark}It makes a new one.\n"), true)] {
        fs::write(at(".lock"), &left).unwrap();
        fs::write(at(".new"), "[\n{\"id\":0,\"ind").unwrap();
        let opened = Output::open(&path, &OutputOptions::default());
        assert_eq!(opened.is_ok(), taken, "{left}: {opened:?}");
        drop(opened);
        assert_eq!(at(".new").exists(), !taken);
    }
    assert_eq!(run(&path, OutputOptions::default(), prompts(5)).await, 2);
    for end in [".lock", ".new", ".journal", ".journal.new"] {
        assert!(!at(end).exists(), "{end}");
    }
}

/// Nobody knows where it comes from; and the array is written anew from it.
#[tokio::test(start_paused = true)]
async fn a_journal_that_lacks_something_of_its_array_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a.json"), folder.path().join("other.jsonl"));
    run(&path, OutputOptions::default(), prompts(5)).await;
    run(&other, OutputOptions::default(), prompts(2)).await;
    fs::copy(&other, folder.path().join("a.json.journal")).unwrap();
    assert_eq!(run(&path, OutputOptions::default(), prompts(6)).await, 1);
    let all: Vec<Value> = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let ids: BTreeSet<u64> = all.iter().map(|result| result["id"].as_u64().unwrap()).collect();
    assert_eq!((ids.len(), all.len()), (6, 6));
}
