//! The output: resumed, mended, locked, ordered.

use std::{collections::BTreeSet, fs, path::Path};

use gemini_sim::GeminiSim;
use keypool_batch::{Input, Output, OutputError, OutputOptions, Task};
use serde_json::{Value, json};

use crate::{lines, paused, run_to, tasks};

const ORDERED: OutputOptions = OutputOptions { ordered: true, retry_failed: false };

/// Runs tasks, and returns how many requests that took.
async fn run(path: &Path, options: OutputOptions, input: Input) -> u64 {
    let (sim, client) = paused(GeminiSim::builder(), 2);
    run_to(&client, input, path, options).await;
    sim.report().total.arrivals
}

fn named(ids: &[&str]) -> Input {
    Input::tasks(ids.iter().map(|id| Task::new(&*format!("prompt of {id}")).id(*id)).collect::<Vec<_>>())
}

fn ids(path: &Path) -> Vec<String> {
    lines(path).iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn wherever_a_file_is_torn_the_next_run_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.jsonl");
    run(&whole, OutputOptions::default(), tasks(6)).await;
    let bytes = fs::read(&whole).unwrap();
    for cut in (0..bytes.len()).step_by(37).chain([bytes.len() - 1]) {
        let path = folder.path().join("torn.jsonl");
        fs::write(&path, &bytes[..cut]).unwrap();
        let ends = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
        // All of a line but its end is a line.
        let there = ends + usize::from(bytes.get(cut) == Some(&b'\n'));
        assert_eq!(run(&path, OutputOptions::default(), tasks(6)).await, (6 - there) as u64, "cut at {cut}");
        let ids: BTreeSet<u64> = lines(&path).iter().map(|line| line["id"].as_u64().unwrap()).collect();
        assert_eq!((ids.len(), lines(&path).len()), (6, 6), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn zeros_of_a_power_cut_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    run(&path, OutputOptions::default(), tasks(2)).await;
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([0; 100]);
    fs::write(&path, bytes).unwrap();
    assert_eq!(run(&path, OutputOptions::default(), tasks(3)).await, 1);
    assert_eq!(lines(&path).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn files_that_hold_anything_else_are_refused_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("notes.txt", "milk\nbread\n"),
        ("prompts.jsonl", "{\"id\": 1, \"prompt\": \"x\"}\n"),
        ("no-end.jsonl", "17"),
        ("object.json", "{\"not\": \"a list\"}"),
        ("list.json", "[1, 2]"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let refused = Output::file(&path, &OutputOptions::default()).unwrap_err();
        assert!(matches!(refused, OutputError::Foreign { .. }), "{name}: {refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "and no other file is left behind");
}

#[tokio::test(start_paused = true)]
async fn two_runs_do_not_write_one_output() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.json"] {
        let path = folder.path().join(name);
        let first = Output::file(&path, &OutputOptions::default()).unwrap();
        let second = Output::file(&path, &OutputOptions::default()).unwrap_err();
        assert!(matches!(second, OutputError::Locked { .. }), "{second}");
        drop(first);
        drop(Output::file(&path, &OutputOptions::default()).unwrap());
        // Also after the file was replaced by its last form.
        run(&path, ORDERED, tasks(3)).await;
        drop(Output::file(&path, &OutputOptions::default()).unwrap());
    }
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_link_is_followed_and_rights_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (target, link) = (folder.path().join("target.jsonl"), folder.path().join("link.jsonl"));
    fs::write(&target, "").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&target, &link).unwrap();
    let first = Output::file(&target, &ORDERED).unwrap();
    assert!(matches!(Output::file(&link, &ORDERED), Err(OutputError::Locked { .. })), "by whatever name");
    drop(first);
    run(&link, ORDERED, tasks(3)).await;
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(lines(&target).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn another_prompt_under_the_same_id_is_another_task() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.json"] {
        let path = folder.path().join(name);
        let ask = |prompts: [&str; 3]| {
            Input::tasks((0..).zip(prompts).map(|(n, prompt)| Task::new(prompt).id(n)).collect::<Vec<_>>())
        };
        assert_eq!(run(&path, ORDERED, ask(["a", "b", "c"])).await, 3);
        let first = lines(&path);
        assert_eq!(run(&path, ORDERED, ask(["a", "B", "c"])).await, 1, "{name}: only what changed");
        let second = lines(&path);
        assert_eq!(second.len(), 3, "{name}: each once");
        assert_eq!((&first[0], &first[2]), (&second[0], &second[2]));
        assert_ne!(first[1]["hash"], second[1]["hash"]);
        assert_eq!(run(&path, ORDERED, ask(["a", "B", "c"])).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn results_stand_in_the_order_of_this_input_and_others_behind() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.jsonl", "a.json"] {
        let path = folder.path().join(name);
        run(&path, ORDERED, named(&["a", "b", "c"])).await;
        assert_eq!(ids(&path), ["a", "b", "c"], "{name}");
        run(&path, ORDERED, named(&["c", "x", "b"])).await;
        assert_eq!(ids(&path), ["c", "x", "b", "a"], "{name}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name}: nothing else is left");
        fs::remove_file(&path).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_input_makes_an_empty_output() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("none.jsonl", ""), ("none.json", "[\n\n]\n")] {
        let path = folder.path().join(name);
        assert_eq!(run(&path, ORDERED, tasks(0)).await, 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[tokio::test(start_paused = true)]
async fn failed_tasks_are_skipped_unless_they_are_to_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    run(&path, OutputOptions::default(), tasks(3)).await;
    let text = fs::read_to_string(&path).unwrap();
    let failed = |line: &str| match line.contains("\"id\":1,") {
        true => line.replace("\"success\":true", "\"success\":false"),
        false => line.to_owned(),
    };
    fs::write(&path, text.lines().map(|line| failed(line) + "\n").collect::<String>()).unwrap();
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let all = run_to(&client, tasks(3), &path, OutputOptions::default()).await;
    assert_eq!((all.ok, all.skipped, all.skipped_failed), (0, 3, 1), "{all}");
    let all = run_to(&client, tasks(3), &path, OutputOptions { retry_failed: true, ordered: true }).await;
    assert_eq!((all.ok, all.skipped, all.skipped_failed), (1, 2, 0), "{all}");
    assert!(lines(&path).iter().all(|line| line["success"] == json!(true)));
}

#[tokio::test(start_paused = true)]
async fn an_output_that_cannot_be_written_ends_the_run() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(std::io::Error::from(std::io::ErrorKind::StorageFull))?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (sim, client) = paused(GeminiSim::builder().latency(std::time::Duration::from_secs(1)), 1);
    let run = keypool_batch::Batch::new(&client, crate::MODEL).workers(1);
    let error = run.run(tasks(1_000), Output::writer(Full(3))).await.unwrap_err();
    assert!(error.to_string().contains("space"), "{error}");
    assert!(sim.report().total.arrivals < 20, "{}", sim.report().total.arrivals);
}

#[tokio::test(start_paused = true)]
async fn the_number_one_and_the_text_one_are_two_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let input = || Input::tasks([Task::new("a").id(1), Task::new("b").id("1")]);
    assert_eq!(run(&path, OutputOptions::default(), input()).await, 2);
    assert_eq!(run(&path, OutputOptions::default(), input()).await, 0);
    let ids: Vec<Value> = lines(&path).into_iter().map(|line| line["id"].clone()).collect();
    assert!(ids.contains(&json!(1)) && ids.contains(&json!("1")));
}
