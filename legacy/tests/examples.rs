//! Every example runs to its end: `cargo test` has built them beside this test.

use std::{path::PathBuf, process::Command};

/// Where cargo puts examples: beside the folder that this test lies in.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    test.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps").join("examples")
}

#[test]
fn every_example_runs() {
    let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).expect("there are examples");
    let mut ran = 0;
    for source in sources {
        let path = source.expect("a readable folder").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.extension().is_none_or(|ending| ending != "rs") || (name == "reqwest" && !cfg!(feature = "reqwest")) {
            continue;
        }
        let output = Command::new(folder().join(&name))
            .output()
            .unwrap_or_else(|error| panic!("{name}: {error}; `cargo build --examples` makes them"));
        let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}: {shown}");
        assert!(!shown.contains("not-a-real-key"), "{name} shows a key: {shown}");
        ran += 1;
    }
    assert!(ran >= 10, "only {ran} examples ran");
}
