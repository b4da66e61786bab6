//! What `keypool batch` writes to: what is not its own stays as it is, and what cannot be written is said with its cause.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    process::Stdio,
};

use gemini_sim::{AnswerText, GeminiSim, Limits};
use serde_json::Value;

use crate::batch::{Ended, Stage};

async fn stage(tasks: usize) -> Stage {
    Stage::new(GeminiSim::builder(), 2, Limits::none()).await.tasks(tasks)
}

fn refused(ended: &Ended, why: &str) {
    assert!(ended.code == 2 && ended.err.contains(why), "{why} is missing: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_result_is_never_cut() {
    let stage = stage(2).await;
    let task = "{\"id\": \"q\", \"prompt\": \"x\"}";
    let half = "{\"id\":\"q\",\"index\":0,\"success\":true,\"text\":\"y\",\"key_id\":\"k0\"}\nmy very important notes";
    for (name, text) in [
        ("notes.txt", "my very important notes"),
        ("task.jsonl", task),
        ("number.jsonl", "17"),
        ("open.jsonl", "{\"id\": \"q\", \"pro"),
        ("behind.jsonl", half),
        ("list.json", "[{\"id\": 1, \"prompt\": \"x\"}]"),
    ] {
        fs::write(stage.path(name), text).unwrap();
        let ended = stage.run(&["tasks.txt", "-o", name]).await;
        assert_eq!(fs::read_to_string(stage.path(name)).unwrap(), text, "{name}");
        refused(&ended, "is no result of a batch");
        refused(&ended, "name another output");
    }
    // An array that is there is looked at, too, where a journal of a killed run lies beside it.
    fs::write(stage.path("list.json.journal"), format!("{}\n", half.lines().next().unwrap())).unwrap();
    refused(&stage.run(&["tasks.txt", "-o", "list.json"]).await, "is no result of a batch");
    assert_eq!(fs::read_to_string(stage.path("list.json")).unwrap(), "[{\"id\": 1, \"prompt\": \"x\"}]");
    assert_eq!(stage.sim.report().total.arrivals, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_files_of_a_run_are_one() {
    let stage = stage(1).await;
    fs::write(stage.path("one.jsonl"), "\"one prompt\"").unwrap();
    fs::create_dir(stage.path("sub")).unwrap();
    symlink("one.jsonl", stage.path("link.jsonl")).unwrap();
    fs::hard_link(stage.path("one.jsonl"), stage.path("hard.jsonl")).unwrap();
    for args in [
        &["one.jsonl", "-o", "one.jsonl"][..],
        &["one.jsonl", "-o", "link.jsonl"],
        &["link.jsonl", "-o", "sub/../one.jsonl"],
        &["one.jsonl", "-o", "hard.jsonl"],
        &["one.jsonl", "-o", "a.jsonl", "--error-log", "one.jsonl"],
        &["one.jsonl", "-o", "a.jsonl", "--error-log", "./a.jsonl"],
        &["one.jsonl", "-o", "a.jsonl", "--summary", "link.jsonl"],
        &["one.jsonl", "-o", "a.jsonl", "--summary", "sub/../a.jsonl"],
        &["one.jsonl", "-o", "a.jsonl", "--error-log", "b", "--summary", "b"],
        &["one.jsonl", "-o", "a.json", "--error-log", "a.json.journal"],
        &["one.jsonl", "-o", "a.json", "--error-log", "a.json.lock"],
        &["one.jsonl", "-o", "a.jsonl", "--summary", "a.jsonl.new"],
        &["one.jsonl", "-o", "a.json", "--summary", "a.json.journal.new"],
    ] {
        let ended = stage.run(args).await;
        assert_eq!(fs::read_to_string(stage.path("one.jsonl")).unwrap(), "\"one prompt\"", "{args:?}");
        refused(&ended, "are the same file");
    }
    fs::write(stage.path("notes.txt"), "milk").unwrap();
    refused(&stage.run(&["one.jsonl", "-o", "a.jsonl", "--summary", "notes.txt"]).await, "is no summary of a batch");
    assert!(!stage.path("b").exists() && fs::read_to_string(stage.path("notes.txt")).unwrap() == "milk");
    // What a shell gives goes by the same.
    let mut command = stage.command(&["-", "-o", "one.jsonl"]);
    let input = fs::File::open(stage.path("one.jsonl")).unwrap();
    let output = tokio::task::spawn_blocking(move || command.stdin(input).output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_to_string(stage.path("one.jsonl")).unwrap(), "\"one prompt\"");
    assert_eq!(stage.sim.report().total.arrivals, 0);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn standard_output_that_is_full_or_closed_is_told_from_being_stopped() {
    let stage = stage(40).await;
    let mut command = stage.command(&["tasks.txt", "--concurrency", "1"]);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = tokio::task::spawn_blocking(move || command.stdout(full).output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device") && said.contains("standard output"), "{said}");
    assert!(!said.contains("goes on"), "nothing goes on there: {said}");

    // `| head -1`.
    let mut command = stage.command(&["tasks.txt", "--concurrency", "1"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(!said.contains("os error") && said.contains("-o FILE"), "{said}");
    assert!(stage.sim.report().total.arrivals < 40, "it went on for nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_followed_and_what_is_written_anew_keeps_its_mode() {
    let stage = stage(3).await;
    fs::create_dir(stage.path("disk")).unwrap();
    for name in ["all.jsonl", "all.json"] {
        let (link, real) = (stage.path(name), stage.path("disk").join(name));
        symlink(&real, &link).unwrap();
        // Also where it leads to nothing yet.
        let ended = stage.run(&["tasks.txt", "-o", name, "--ordered"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(link.symlink_metadata().unwrap().is_symlink() && real.is_file(), "{name}");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(stage.path("tasks.txt"), "task 0\nanother\ntask 2").unwrap();
        assert_eq!(stage.run(&["tasks.txt", "-o", name, "--ordered"]).await.code, 0);
        assert!(link.symlink_metadata().unwrap().is_symlink(), "{name} is no link any more");
        assert_eq!(real.metadata().unwrap().mode() & 0o777, 0o600, "{name}");
        let left = fs::read_dir(stage.path("disk")).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|left| left.to_string_lossy().starts_with(&format!("{name}."))).collect();
        assert!(left.is_empty(), "{left:?}");
        fs::write(stage.path("tasks.txt"), "task 0\ntask 1\ntask 2").unwrap();
    }
    // One run an output, whatever it is called.
    let mut first = stage.command(&["-", "-o", "disk/all.jsonl"]);
    let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !stage.path("disk/all.jsonl.lock").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    refused(&stage.run(&["tasks.txt", "-o", "all.jsonl"]).await, "another run writes to");
    drop(first.stdin.take());
    assert!(tokio::task::spawn_blocking(move || first.wait().unwrap().success()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_cannot_be_had_is_named_once_with_the_fix() {
    let stage = stage(2).await;
    let ended = stage.run(&["tasks.txt", "-o", "none/answers.jsonl"]).await;
    refused(&ended, "make its folder");
    assert_eq!(ended.err.matches("No such file").count(), 1, "{ended:?}");
    fs::create_dir(stage.path("folder")).unwrap();
    refused(&stage.run(&["tasks.txt", "-o", "folder"]).await, "it is a folder");
    refused(&stage.run(&["tasks.txt", "-o", "a.jsonl", "--summary", "none/s.json"]).await, "--summary none/s.json");
    refused(&stage.run(&["tasks.txt", "-o", "a.jsonl", "--error-log", "none/e.log"]).await, "--error-log none/e.log");
    assert_eq!(stage.sim.report().total.arrivals, 0);
    // What is empty is nobody's.
    fs::write(stage.path("empty.json"), "").unwrap();
    let ended = stage.run(&["tasks.txt", "-o", "empty.json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    // Answers that nobody wants.
    let ended = stage.run(&["tasks.txt", "-o", "/dev/null"]).await;
    assert_eq!((ended.code, fs::metadata("/dev/null").unwrap().is_file()), (0, false), "{ended:?}");
    assert!(!std::path::Path::new("/dev/null.lock").exists());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_summary_that_cannot_be_written_is_said_and_changes_no_other_code() {
    let stage = stage(2).await;
    let ended = stage.run(&["tasks.txt", "-o", "a.jsonl", "--summary", "/dev/full"]).await;
    assert!(ended.code == 1 && ended.err.contains("--summary /dev/full: No space left"), "{ended:?}");
    (0..2).for_each(|n| assert!(stage.sim.refuse_key(n, Some(gemini_sim::Refusal::ConsumerSuspended))));
    let ended = stage.run(&["tasks.txt", "-o", "b.jsonl", "--summary", "/dev/full"]).await;
    assert!(ended.code == 4 && ended.err.contains("--summary /dev/full: No space left"), "{ended:?}");
    assert!(ended.err.contains("no usable key"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_skipped_is_said_and_the_summary_stands_apart_from_the_progress() {
    let stage = stage(3).await;
    let first = stage.run(&["tasks.txt", "-o", "a.jsonl", "--no-progress"]).await;
    assert!(first.code == 0 && first.err.contains("3 ok, 0 failed"), "{first:?}");
    assert!(!first.err.contains("active ") && !first.err.contains("3 tasks:"), "{first:?}");
    let again = stage.run(&["tasks.txt", "-o", "a.jsonl", "--no-progress", "--model", "gemini-2.5-pro"]).await;
    assert!(again.code == 0 && again.err.contains("3 done earlier were skipped"), "{again:?}");
    assert!(again.err.contains("--model"), "{again:?}");
    let otherwise = stage.run(&["tasks.txt", "-o", "a.jsonl", "--no-progress", "--parse-json"]).await;
    assert!(otherwise.code == 0 && otherwise.err.contains("3 done earlier were skipped"), "{otherwise:?}");
    assert!(otherwise.err.contains("--parse-json"), "{otherwise:?}");
    let quiet = stage.run(&["tasks.txt", "-o", "b.jsonl", "-q"]).await;
    assert_eq!((quiet.code, &*quiet.err), (0, ""), "{quiet:?}");
    let results: Vec<Value> = stage.results("b.jsonl");
    assert_eq!(results.len(), 3);
}

/// Everything that a run goes by is somebody's: the log adds to none of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_log_is_no_file_that_the_run_goes_by() {
    let stage = stage(2).await;
    fs::write(stage.path("keypool.toml"), "[gateway]\ntoken_file = \"token\"\n").unwrap();
    fs::write(stage.path("token"), "not-a-real-token").unwrap();
    fs::write(stage.path("system.txt"), "be brief").unwrap();
    fs::write(stage.path("schema.json"), "{}").unwrap();
    fs::hard_link(stage.path("keys.txt"), stage.path("hard.txt")).unwrap();
    symlink("keys.txt", stage.path("link.txt")).unwrap();
    symlink("counts.db", stage.path("link.db")).unwrap();
    let args = ["tasks.txt", "-o", "a.jsonl", "--config", "keypool.toml", "--system", "@system.txt", "--json-schema"];
    let ours = ["keys.txt", "hard.txt", "link.txt", "keypool.toml", "token", "system.txt", "schema.json", "tasks.txt"];
    let read = |name: &str| fs::read(stage.path(name)).ok();
    // First while there is no database, and then one that is there.
    for round in 0..2 {
        let before: Vec<_> = ours.iter().chain(&["counts.db", "counts.db-wal"]).map(|name| read(name)).collect();
        for name in
            ours.iter().chain(&["counts.db", "./counts.db", "link.db", "counts.db-wal", "counts.db-shm", "a.jsonl"])
        {
            for option in ["--error-log", "--summary"] {
                let ended = stage.run(&[&args[..], &["schema.json", option, name]].concat()).await;
                refused(&ended, "are the same file");
                refused(&ended, "name another");
            }
            assert!(!stage.path("a.jsonl").exists(), "{name}: nothing is written");
        }
        let after: Vec<_> = ours.iter().chain(&["counts.db", "counts.db-wal"]).map(|name| read(name)).collect();
        assert!(before == after, "round {round}");
        assert!(round > 0 || !stage.path("counts.db").exists());
        assert_eq!(stage.run(&["tasks.txt", "-o", "first.jsonl"]).await.code, 0);
    }
    // Nor is an output.
    for name in ["counts.db", "fresh.db"] {
        let mut command =
            crate::binary::keypool(&["batch", "--keys", "keys.txt", "--upstream", &stage.sim.url(), "--db", name]);
        command.args(["tasks.txt", "-o", name]).current_dir(stage.folder.path());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains("are the same file"), "{name}: {said}");
    }
    assert!(!stage.path("fresh.db").exists());
    // Another one is.
    let ended = stage.run(&[&args[..], &["schema.json", "--error-log", "errors.log"]].concat()).await;
    assert!(ended.code != 2 && stage.path("errors.log").exists(), "{ended:?}");
}

/// As a person meets it who has such files.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_in_the_way_is_named_with_the_way_out() {
    let stage = stage(2).await;
    for (output, name) in [("a.jsonl", "a.jsonl.lock"), ("a.jsonl", "a.jsonl.new"), ("a.json", "a.json.journal")] {
        fs::write(stage.path(name), "my very important notes").unwrap();
        let ended = stage.run(&["tasks.txt", "-o", output, "--ordered"]).await;
        refused(&ended, name);
        refused(&ended, "name another output");
        assert_eq!(fs::read_to_string(stage.path(name)).unwrap(), "my very important notes", "{name}");
        fs::remove_file(stage.path(name)).unwrap();
    }
    assert_eq!(stage.sim.report().total.arrivals, 0);
    // A file with two names has one run.
    fs::write(stage.path("one.jsonl"), "").unwrap();
    fs::hard_link(stage.path("one.jsonl"), stage.path("other.jsonl")).unwrap();
    let mut first = stage.command(&["-", "-o", "one.jsonl"]);
    let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !stage.path("one.jsonl.lock").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    refused(&stage.run(&["tasks.txt", "-o", "other.jsonl"]).await, "another run writes to");
    drop(first.stdin.take());
    assert!(tokio::task::spawn_blocking(move || first.wait().unwrap().success()).await.unwrap());
}

/// Whatever a model says: JSON alone escapes only what is below a blank.
#[tokio::test(flavor = "multi_thread")]
async fn results_on_a_terminal_do_nothing_to_it() {
    let said = "a\u{9b}31m\u{202e}b".to_owned();
    let builder = GeminiSim::builder().answer(AnswerText::Fixed(said.clone()));
    let stage = Stage::new(builder, 1, Limits::none()).await.tasks(1);
    let terminal = crate::watching::OnTerminal::run(&stage.command(&["tasks.txt", "--quiet"]));
    let (code, text) = tokio::task::spawn_blocking(move || terminal.end()).await.unwrap();
    assert!(code == Some(0) && text.contains("\\u009b31m\\u202eb"), "{text:?}");
    let result: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(result["text"], said);
    // In a pipe it is as it came.
    let piped = stage.command(&["tasks.txt", "--quiet"]).output().unwrap();
    assert!(String::from_utf8(piped.stdout).unwrap().contains(&said));
}

/// Said once, and no success, though each task was answered; what nobody can keep does not go on.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_error_log_is_said_once_and_a_device_keeps_nothing() {
    let stage = stage(6).await;
    stage.sim.script(vec![gemini_sim::Rule::new(gemini_sim::Fault::Refuse(gemini_sim::Refusal::Internal)).times(4)]);
    let args = ["tasks.txt", "-o", "a.jsonl", "--error-log", "/dev/full", "--concurrency", "1"];
    for quiet in [&[][..], &["--quiet"]] {
        let _ = fs::remove_file(stage.path("a.jsonl"));
        stage.sim.clear_script();
        stage
            .sim
            .script(vec![gemini_sim::Rule::new(gemini_sim::Fault::Refuse(gemini_sim::Refusal::Internal)).times(4)]);
        let ended = stage.run(&[&args[..], quiet].concat()).await;
        assert_eq!(stage.results("a.jsonl").len(), 6, "{ended:?}");
        assert_eq!(ended.code, 1, "{ended:?}");
        assert_eq!(ended.err.matches("--error-log /dev/full: No space left").count(), 1, "{ended:?}");
    }
    // Where nothing goes wrong nothing is missing there.
    let ended = stage.run(&["tasks.txt", "-o", "b.jsonl", "--error-log", "/dev/full"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let ended = stage.run(&["tasks.txt", "-o", "/dev/full"]).await;
    assert!(ended.code == 1 && ended.err.contains("No space left"), "{ended:?}");
    assert!(!ended.err.contains("goes on") && !ended.err.contains("what was answered is in"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_ends_as_a_folders_is_no_file() {
    let stage = stage(1).await;
    for name in ["none/", "none.json/"] {
        refused(&stage.run(&["tasks.txt", "-o", name]).await, "it is a folder: name a file");
        assert!(!stage.path(name.trim_end_matches('/')).exists(), "{name}");
    }
    assert_eq!(stage.sim.report().total.arrivals, 0);
}
