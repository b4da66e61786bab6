//! A device or a pipe where a file belongs: it is refused, and nothing is read from it without end.

use crate::home::{Ended, Home, secret};

/// How it ended within so many seconds, with memory for no endless file.
fn bounded(home: &Home, args: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -v 4000000; exec timeout 60 \"$0\" \"$@\""])
        .arg(assert_cmd::cargo::cargo_bin("keypool"));
    command.args(args).current_dir(home.at("")).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", home.at("")).env("XDG_STATE_HOME", home.at("state")).envs(variables.iter().copied());
    Home::ended(command, "")
}

#[test]
fn what_has_no_end_is_refused_wherever_a_file_is_named() {
    let home = Home::new();
    let zero = "/dev/zero";
    let key = secret(0);
    for (args, variables) in [
        (&["config", "check", "--config", zero][..], &[("GEMINI_API_KEY", &*key)][..]),
        (&["import", zero], &[]),
        (&["config", "check"], &[("GEMINI_API_KEY_FILE", zero)]),
        (&["config", "check"], &[("GEMINI_API_KEY", &*key), ("KEYPOOL_SECRET_KEY_FILE", zero)]),
        (&["add-key", "--file", zero], &[]),
    ] {
        let ended = bounded(&home, args, variables);
        assert!(ended.code == 2 && ended.err.contains("/dev/zero"), "{args:?} {variables:?}: {ended:?}");
        assert!(ended.err.contains("is a device"), "{args:?} {variables:?}: {ended:?}");
    }
    let pipe = home.at("pipe.db");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for args in [&["config", "check"][..], &["keys"], &["add-key", &secret(1)], &["db", "check"]] {
        let args = [args, &["--db", pipe.to_str().unwrap()]].concat();
        let ended = bounded(&home, &args, &[("GEMINI_API_KEY", &key)]);
        assert!(ended.code == 2 && ended.err.contains("pipe.db is a named pipe"), "{args:?}: {ended:?}");
    }
}
