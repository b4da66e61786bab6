//! `keypool demo`, which needs no key, no network and no user files.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::support::program;

#[test]
fn all_requests_are_served_within_the_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = program(folder.path()).args(["demo", "--seconds", "6", "--json"]).output().expect("output");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{report}");
    let requests = report["requests"].as_u64().expect("a number");
    assert!(requests > 40, "{report}");
    assert_eq!(report["keypool"]["answered"], requests, "{report}");
    assert_eq!(report["keypool"]["too_many_requests"], 0, "{report}");
    assert_eq!(report["provider"]["over_limit"], 0, "{report}");
    assert!(report["random_key"]["answered"].as_u64() < Some(requests), "{report}");
    assert!(report["provider"]["refused_keys"].as_u64() > Some(0), "bad keys were tried: {report}");
}

#[test]
fn lines_fit_a_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    // Errors in these files would be reported if the demo read them.
    std::fs::write(folder.path().join("key.txt"), "not a key=at all").expect("written");
    std::fs::write(folder.path().join("keypool.toml"), "nonsense").expect("written");
    let mut demo = program(folder.path());
    let mut demo = demo.args(["demo", "--seconds", "4"]).stdout(Stdio::piped()).spawn().expect("the program starts");
    let output = BufReader::new(demo.stdout.take().expect("piped"));
    let lines: Vec<String> = output.lines().map_while(Result::ok).collect();
    assert!(demo.wait().expect("the program ends").success(), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("first answer after")), "{lines:#?}");
    // Only the first line, which has the address, may be longer.
    assert!(lines[1..].iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    let files: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(files.len(), 2, "{files:?}");
}
