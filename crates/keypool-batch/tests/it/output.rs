//! Output files are resumed, repaired, locked and ordered.

use std::{collections::BTreeSet, fs, path::Path};

use gemini_sim::GeminiSim;
use keypool_batch::{Input, InputFormat, Output, OutputError, OutputOptions, Task};
use serde_json::{Value, json};

use crate::{lines, paused, run_to, tasks};

const ORDERED: OutputOptions = OutputOptions { ordered: true, retry_failed: false };

/// Runs tasks and returns the number of requests that were sent.
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
async fn truncated_file_is_repaired_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.jsonl");
    run(&whole, OutputOptions::default(), tasks(6)).await;
    let bytes = fs::read(&whole).unwrap();
    for cut in (0..bytes.len()).step_by(37).chain([bytes.len() - 1]) {
        let path = folder.path().join("torn.jsonl");
        fs::write(&path, &bytes[..cut]).unwrap();
        let ends = bytes[..cut].split(|byte| *byte == b'\n').count() - 1;
        // A line that lacks only its line break is complete.
        let there = ends + usize::from(bytes.get(cut) == Some(&b'\n'));
        assert_eq!(run(&path, OutputOptions::default(), tasks(6)).await, (6 - there) as u64, "cut at {cut}");
        let ids: BTreeSet<u64> = lines(&path).iter().map(|line| line["id"].as_u64().unwrap()).collect();
        assert_eq!((ids.len(), lines(&path).len()), (6, 6), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn trailing_zeros_are_removed() {
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
async fn foreign_files_are_refused_and_unchanged() {
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
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5, "no other file is left behind");
}

#[tokio::test(start_paused = true)]
async fn output_is_locked_by_its_run() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.json"] {
        let path = folder.path().join(name);
        let first = Output::file(&path, &OutputOptions::default()).unwrap();
        let second = Output::file(&path, &OutputOptions::default()).unwrap_err();
        assert!(matches!(second, OutputError::Locked { .. }), "{second}");
        drop(first);
        drop(Output::file(&path, &OutputOptions::default()).unwrap());
        // The lock is also released after the file was replaced by the ordered one.
        run(&path, ORDERED, tasks(3)).await;
        drop(Output::file(&path, &OutputOptions::default()).unwrap());
    }
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn symbolic_link_is_followed_and_permissions_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let (target, link) = (folder.path().join("target.jsonl"), folder.path().join("link.jsonl"));
    fs::write(&target, "").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&target, &link).unwrap();
    let first = Output::file(&target, &ORDERED).unwrap();
    assert!(
        matches!(Output::file(&link, &ORDERED), Err(OutputError::Locked { .. })),
        "the lock applies to every name of the file"
    );
    drop(first);
    run(&link, ORDERED, tasks(3)).await;
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(lines(&target).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn changed_prompt_under_the_same_id_is_a_new_task() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.jsonl", "out.json"] {
        let path = folder.path().join(name);
        let ask = |prompts: [&str; 3]| {
            Input::tasks((0..).zip(prompts).map(|(n, prompt)| Task::new(prompt).id(n)).collect::<Vec<_>>())
        };
        assert_eq!(run(&path, ORDERED, ask(["a", "b", "c"])).await, 3);
        let first = lines(&path);
        assert_eq!(run(&path, ORDERED, ask(["a", "B", "c"])).await, 1, "{name}: only the changed task is sent");
        let second = lines(&path);
        assert_eq!(second.len(), 4, "{name}: the result of the earlier prompt is kept");
        assert_eq!((&first[0], &first[2]), (&second[0], &second[2]));
        assert_ne!(first[1]["hash"], second[1]["hash"]);
        assert_eq!(first[1], second[3], "{name}: it follows those of this input");
        assert_eq!(run(&path, ORDERED, ask(["a", "B", "c"])).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn results_are_in_input_order_and_others_follow() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.jsonl", "a.json"] {
        let path = folder.path().join(name);
        run(&path, ORDERED, named(&["a", "b", "c"])).await;
        assert_eq!(ids(&path), ["a", "b", "c"], "{name}");
        run(&path, ORDERED, named(&["c", "x", "b"])).await;
        assert_eq!(ids(&path), ["c", "x", "b", "a"], "{name}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name}: no other file is left");
        fs::remove_file(&path).unwrap();
    }
}

/// The ids of tasks without one are their positions, which are the same in all inputs.
#[tokio::test(start_paused = true)]
async fn results_of_another_input_are_kept_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |prompts: &'static [&'static str]| Input::tasks(prompts.iter().map(|prompt| Task::new(*prompt)));
    for name in ["r.jsonl", "r.json"] {
        let path = folder.path().join(name);
        assert_eq!(run(&path, ORDERED, ask(&["a", "b"])).await, 2);
        let first = lines(&path);
        assert_eq!(run(&path, ORDERED, ask(&["c"])).await, 1, "{name}");
        assert_eq!((lines(&path).len(), &lines(&path)[1..]), (3, &first[..]), "{name}");
        assert_eq!(run(&path, ORDERED, ask(&["a", "b"])).await, 0, "{name}: no task is sent again");
        assert_eq!((lines(&path).len(), &lines(&path)[..2]), (3, &first[..]), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn task_may_have_the_place_of_an_invalid_line_as_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.json");
    for text in ["{\"prompt\": \"a\", \"id\": \"line 2\"}\n{}\n", "\n{}\n{\"prompt\": \"a\", \"id\": \"line 2\"}\n"] {
        let input = Input::read(text.as_bytes(), InputFormat::JsonLines).unwrap();
        let (_sim, client) = paused(GeminiSim::builder(), 1);
        let summary = run_to(&client, input, &path, OutputOptions::default()).await;
        assert_eq!((summary.ok + summary.skipped - summary.skipped_failed, lines(&path).len()), (1, 2), "{summary}");
    }
}

#[tokio::test(start_paused = true)]
async fn blank_lines_in_an_output_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    run(&path, OutputOptions::default(), tasks(2)).await;
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("\n{}\n", text.replace('\n', "\n \n"))).unwrap();
    assert_eq!(run(&path, ORDERED, tasks(3)).await, 1);
    assert_eq!(lines(&path).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn line_that_cannot_be_read_at_the_end_is_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    for (name, lines) in [("out.jsonl", "out.jsonl"), ("out.json", "out.json.journal")] {
        let path = folder.path().join(name);
        let output = Output::file(&path, &ORDERED).unwrap();
        fs::write(folder.path().join(lines), "{\"id\":1,\n").unwrap();
        let (_sim, client) = paused(GeminiSim::builder(), 1);
        let error = keypool_batch::Batch::new(&client, crate::MODEL).run(tasks(2), output).await.unwrap_err();
        assert!(error.to_string().contains("line 1: this is not a result"), "{name}: {error}");
        assert_eq!(fs::read_to_string(folder.path().join(lines)).unwrap().lines().count(), 3, "{name}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no other file is left behind");
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn run_ends_if_its_output_is_removed_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    for is_replaced in [false, true] {
        let output = Output::file(&path, &OutputOptions::default()).unwrap();
        fs::rename(&path, folder.path().join("old.jsonl")).unwrap();
        if is_replaced {
            fs::write(&path, "").unwrap();
        }
        let (sim, client) = paused(GeminiSim::builder().latency(std::time::Duration::from_secs(1)), 1);
        let error = keypool_batch::Batch::new(&client, crate::MODEL).run(tasks(1_000), output).await.unwrap_err();
        assert!(error.to_string().ends_with("out.jsonl: the file was removed or replaced during the run"), "{error}");
        assert!(sim.report().total.arrivals < 200, "{}", sim.report().total.arrivals);
    }
}

#[tokio::test(start_paused = true)]
async fn empty_input_makes_an_empty_output() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("none.jsonl", ""), ("none.json", "[\n\n]\n")] {
        let path = folder.path().join(name);
        assert_eq!(run(&path, ORDERED, tasks(0)).await, 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[tokio::test(start_paused = true)]
async fn failed_tasks_are_skipped_unless_retry_failed_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    run(&path, OutputOptions::default(), tasks(3)).await;
    let text = fs::read_to_string(&path).unwrap();
    let failed = |line: &str| {
        let done = if line.contains("\"id\":1,") { "\"success\":true" } else { "\0" };
        line.replace(done, "\"success\":false")
    };
    fs::write(&path, text.lines().map(|line| failed(line) + "\n").collect::<String>()).unwrap();
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let all = run_to(&client, tasks(3), &path, OutputOptions::default()).await;
    assert_eq!((all.ok, all.skipped, all.skipped_failed), (0, 3, 1), "{all}");
    assert!(all.to_string().contains("earlier runs (1 of them failed; --retry-failed tries them again)"), "{all}");
    let all = run_to(&client, tasks(3), &path, OutputOptions { retry_failed: true, ordered: true }).await;
    assert_eq!((all.ok, all.skipped, all.skipped_failed), (1, 2, 0), "{all}");
    assert!(lines(&path).iter().all(|line| line["success"] == json!(true)));
}

#[tokio::test(start_paused = true)]
async fn unwritable_output_ends_the_run() {
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
async fn number_and_text_ids_are_distinct() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let input = || Input::tasks([Task::new("a").id(1), Task::new("b").id("1")]);
    assert_eq!(run(&path, OutputOptions::default(), input()).await, 2);
    assert_eq!(run(&path, OutputOptions::default(), input()).await, 0);
    let ids: Vec<Value> = lines(&path).into_iter().map(|line| line["id"].clone()).collect();
    assert!(ids.contains(&json!(1)) && ids.contains(&json!("1")));
}
