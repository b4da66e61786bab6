//! All commands alike: help with examples, JSON, errors that name the fix, and nothing on a terminal that steers it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    binary::run,
    home::{Home, secret},
};

/// Every command and subcommand, as its words: found in the help, so that a new one is not forgotten.
fn all() -> Vec<Vec<String>> {
    let (mut found, mut open) = (Vec::new(), vec![Vec::<String>::new()]);
    while let Some(words) = open.pop() {
        let args: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let (code, text) = run(&args);
        assert_eq!(code, 0, "{words:?}");
        let listed = text.split("Commands:\n").nth(1).unwrap_or_default();
        let listed = listed.lines().take_while(|line| line.starts_with("  "));
        // Their own lines alone: what goes on stands further in.
        let names = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
        for name in names.filter(|name| *name != "help") {
            open.push(words.iter().cloned().chain([name.to_owned()]).collect());
        }
        found.push(words);
    }
    found
}

#[test]
fn every_command_shows_examples_and_says_what_it_is_for() {
    let all = all();
    let names: BTreeSet<String> = all.iter().map(|words| words.join(" ")).collect();
    for name in [
        "serve",
        "batch",
        "generate",
        "demo",
        "add-key",
        "import",
        "keys list",
        "keys remove",
        "keys replace",
        "keys disable",
        "keys enable",
        "keys set",
        "test-keys",
        "stats",
        "health",
        "monitor",
        "usage",
        "completions",
        "man",
        "tenants",
        "db",
        "config",
    ] {
        assert!(names.contains(name), "{name} is missing: {names:?}");
    }
    for words in &all {
        let args: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let (_, text) = run(&args);
        let example = text.split("Examples:\n").nth(1).unwrap_or_default();
        let mut before = "";
        for line in example.lines().take_while(|line| !line.is_empty()) {
            // One that is too long for the help would be cut in two.
            assert!(line.contains("keypool") || before.ends_with('\\'), "{words:?}: {line}");
            before = line;
        }
        let command = format!("keypool {}", words.join(" "));
        assert!(example.lines().any(|line| line.contains(command.trim_end())), "no example of `{command}`:\n{text}");
        assert!(!text.starts_with("Usage"), "`{command}` does not say what it is for");
    }
}

#[test]
fn every_command_of_keys_has_json() {
    let home = Home::new();
    let json = |args: &[&str]| -> Value { home.run(&[args, &["--json"]].concat()).json() };
    let piped = home.pipe(&["add-key", "-", "--id", "one", "--json"], &secret(0)).json();
    assert_eq!(piped["id"], "one");
    home.write("more.txt", &format!("{} id=two\nshort\n", secret(1)));
    assert_eq!(json(&["import", "more.txt"])["added"], 1);
    assert_eq!(json(&["import", "--history"]).as_array().unwrap().len(), 1);
    assert_eq!(json(&["keys"]).as_array().unwrap().len(), 2);
    assert_eq!(json(&["keys", "list"]).as_array().unwrap().len(), 2);
    for (args, change) in [
        (&["keys", "disable", "one"][..], "disabled"),
        (&["keys", "enable", "one"], "enabled"),
        (&["keys", "set", "one", "--weight", "1.5", "--priority", "3", "--owner", "o", "--rpd", "9"], "set"),
        (&["keys", "remove", "two"], "removed"),
    ] {
        assert_eq!(json(args)[0]["change"], change);
    }
    let replaced = home.pipe(&["keys", "replace", "one", "-", "--json"], &secret(2)).json();
    assert_eq!(replaced[0]["change"], "replaced");
    let one = home.key("one");
    assert_eq!(
        (one["weight"].as_f64(), one["priority"].as_u64(), one["owner"].as_str()),
        (Some(1.5), Some(3), Some("o"))
    );
    assert_eq!(json(&["health"])["usable"], 1);
    assert_eq!(json(&["stats"])["total"]["requests"], 0);
    assert_eq!(json(&["monitor", "--once"])["keys"].as_array().unwrap().len(), 1);
    assert!(json(&["usage"])["rows"].is_array());
}

#[test]
fn what_is_checked_and_copied_is_told_as_json_too() {
    let home = Home::new();
    home.add(0, "one", &[]);
    let json = |args: &[&str]| home.run(args).json();
    let told = json(&["db", "check", "--json"]);
    assert_eq!((&told["whole"], &told["keys"]), (&json!(true), &json!(1)), "{told}");
    let copy = home.at("copy.db").to_str().unwrap().to_owned();
    assert_eq!(json(&["db", "backup", &copy, "--json"])["copy"], json!(copy));
    let told = json(&["config", "check", "--json"]);
    assert_eq!((&told["status"], &told["keys"]), (&json!("all is well"), &json!(1)), "{told}");
    home.write("keypool.toml", "[pool]\nnonsense = 1\n");
    home.run(&["config", "check", "keypool.toml", "--json"]).bad(2, "nonsense");
}

#[test]
fn a_reason_that_says_a_key_is_refused() {
    let home = Home::new();
    home.add(0, "one", &[]);
    for reason in [secret(1), format!("it is {} now", secret(1))] {
        home.run(&["keys", "disable", "one", "--reason", &reason]).bad(2, "looks like a key");
    }
    home.run(&["keys", "disable", "one", "--reason", "quota of 2026-06-15 used up by project-1234567890"]).good();
}

#[test]
fn a_weight_that_is_set_is_the_weight_now() {
    let home = Home::new();
    home.add(0, "one", &["--weight", "1.5"]);
    home.run(&["keys", "set", "one", "--weight", "2"]).good();
    let one = home.key("one");
    assert_eq!((one["weight"].as_f64(), one["weight_now"].as_f64()), (Some(2.0), Some(2.0)), "{one}");
}

#[test]
fn health_says_by_its_code_how_keys_stand() {
    let home = Home::new();
    home.run(&["health"]).bad(2, "");
    home.add(0, "one", &[]);
    home.add(1, "two", &[]);
    assert!(home.run(&["health"]).good().contains("all is well: 2 of 2 keys usable"));
    home.run(&["keys", "disable", "two", "--reason", "costs too much"]).good();
    let ended = home.run(&["health"]);
    assert!(ended.out.contains("two is disabled: costs too much"), "{ended:?}");
    ended.bad(1, "degraded");
    home.run(&["keys", "disable", "one"]).good();
    home.run(&["health", "--json"]).bad(2, "no key is usable");
}

/// What somebody wrote who means no good: a cleared screen, another title, a line turned round, a line that is forged.
const EVIL: &str = "x\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\u{202e}txt\u{2028}y";

#[test]
fn labels_and_reasons_never_steer_a_terminal() {
    let home = Home::new();
    home.add(0, "one", &[]);
    // Whatever a command takes of such a text, and it need not take any, none of them prints it as it is.
    let tried = [
        &["keys", "disable", "one", "--reason", EVIL][..],
        &["keys", "set", "one", "--source", EVIL],
        &["keys", "set", "one", "--owner", EVIL],
        &["keys", "set", "one", "--label", &format!("team:{EVIL}")],
        &["keys", "enable", EVIL],
        &["keys", "remove", EVIL],
        &["keys", "set", "one", "--unset", EVIL],
        &["import", EVIL],
        &["add-key", "--id", EVIL, "-"],
        &["add-key", "--file", EVIL],
        &["add-key", "--env", EVIL],
        &["usage", "--day", EVIL],
        &["generate", "hi", "--system", &format!("@{EVIL}")],
        &["monitor", "--admin", EVIL],
        &["health", "--url", EVIL],
        &["batch", EVIL],
        &["serve", "--config", EVIL],
        &["test-keys", "--upstream", EVIL],
        &["keys", "--db", EVIL],
        &["no-such-command", EVIL],
        &[EVIL],
    ];
    for args in tried {
        let ended = home.run(args);
        steers_nothing(&format!("{args:?}"), &format!("{}{}", ended.out, ended.err));
    }
    // Lines of a database that some other program wrote.
    let reason = "a reason\nkeypool: all is well \u{1b}[2J \u{202e}";
    home.run(&["keys", "disable", "one", "--reason", reason]).good();
    for args in [&["keys"][..], &["health"], &["stats"], &["usage"], &["monitor", "--once"], &["keys", "list", "--all"]]
    {
        let ended = home.run(args);
        let text = format!("{}{}", ended.out, ended.err);
        steers_nothing(&format!("{args:?}"), &text);
        assert!(!text.lines().any(|line| line.starts_with("keypool: all is well")), "{args:?} forges a line: {text}");
    }
}

#[track_caller]
fn steers_nothing(what: &str, text: &str) {
    let acts = |character: &char| {
        (character.is_control() && *character != '\n') || ['\u{202e}', '\u{2028}', '\u{2066}'].contains(character)
    };
    assert!(!text.chars().any(|character| acts(&character)), "{what}: {text:?}");
}

#[test]
fn errors_name_the_fix() {
    let home = Home::new();
    home.run(&["keys"]).bad(2, "keypool add-key");
    home.run(&["stats"]).bad(2, "keypool add-key");
    home.run(&["test-keys"]).bad(2, "keypool add-key");
    home.run(&["monitor", "--once"]).bad(2, "keypool add-key");
    home.run(&["generate", "hi"]).bad(2, "keypool add-key");
    home.add(0, "one", &[]);
    home.run(&["keys", "enable", "nobody"]).bad(2, "keypool keys");
    home.run(&["keys", "set", "one"]).bad(2, "--weight");
    home.run(&["import"]).bad(2, "--help");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let names: BTreeSet<String> = all().into_iter().filter_map(|words| words.first().cloned()).collect();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, text) = run(&["completions", shell]);
        assert_eq!(code, 0);
        for name in &names {
            assert!(text.contains(name.as_str()), "{shell} does not know {name}");
        }
        assert!(text.contains("redis") && !text.contains("lease"), "{shell} offers what no help shows");
    }
    let folder = tempfile::tempdir().unwrap();
    let (code, _) = run(&["man", "--dir", folder.path().to_str().unwrap()]);
    assert_eq!(code, 0);
    for name in &names {
        let page = std::fs::read_to_string(folder.path().join(format!("keypool-{name}.1"))).unwrap();
        assert!(page.starts_with(".ie") || page.starts_with(".TH"), "{name}");
        assert!(page.contains(&format!(".TH KEYPOOL-{}", name.to_uppercase())), "{name}: {page}");
    }
    // Examples can be copied from a page: not a word of them is broken or hyphenated.
    let page = std::fs::read_to_string(folder.path().join("keypool-batch.1")).unwrap();
    let block = page.split(".SH EXAMPLES\n.nf\n").nth(1).unwrap().split("\n.fi\n").next().unwrap();
    let plain = |line: &str| line.replace("\\&", "").replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\");
    let shown: Vec<String> = block.lines().map(plain).collect();
    let (_, help) = run(&["batch", "--help"]);
    let help = help.split("Examples:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert_eq!(shown, help.lines().collect::<Vec<_>>());
}

/// As somebody's shell takes them: sourced, and asked what may follow.
#[test]
fn bash_completes_commands_options_and_values() {
    let path = std::path::Path::new(&assert_cmd::cargo::cargo_bin("keypool")).parent().unwrap().to_owned();
    let completed = |words: &str, last: usize| {
        let script = format!(
            "source <(keypool completions bash) || exit 1; COMP_WORDS=({words}); COMP_CWORD={last}; \
             complete -p keypool | grep -q -- '-F _keypool' || exit 2; \
             _keypool keypool \"${{COMP_WORDS[{last}]}}\" \"${{COMP_WORDS[{last}-1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let mut bash = std::process::Command::new("bash");
        bash.args(["--norc", "-c", &script]).env_clear().env("PATH", format!("{}:/usr/bin:/bin", path.display()));
        let output = bash.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed("keypool gen", 1), "generate");
    assert_eq!(completed("keypool keys dis", 2), "disable");
    assert_eq!(completed("keypool batch --until", 2), "--until-exhausted");
    assert_eq!(completed("keypool batch x --error-log-format j", 4), "json");
}

#[test]
fn json_steers_no_terminal() {
    let home = Home::new();
    let reason = "größe \u{9b}31m\u{202e}gpj.exe\u{2028}模型";
    home.add(0, "one", &[]);
    home.run(&["keys", "disable", "one", "--reason", reason]).good();
    let out = home.run(&["keys", "--json"]).good();
    assert!(!out.contains(['\u{9b}', '\u{202e}', '\u{2028}']), "{out}");
    assert!(out.contains("\\u009b31m\\u202egpj.exe\\u2028模型"), "{out}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(told.to_string().contains(reason), "it means the same: {told}");
}

/// Whoever reads a pipe may leave; a disk that is full has not what was asked for.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_no_success() {
    let home = Home::new();
    home.add(0, "one", &[]);
    for args in [
        &["keys"][..],
        &["keys", "--json"],
        &["usage", "--csv"],
        &["completions", "bash"],
        &["man"],
        &["config", "schema"],
        &["stats"],
        &["monitor", "--plain", "--once"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = home.command(args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("standard output: No space left"), "{args:?}: {said}");
        // Nobody reads.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = home.command(args).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{args:?}");
    }
}

#[test]
fn a_key_in_an_address_is_not_shown() {
    let home = Home::new();
    let url = format!("http://user:{}@127.0.0.1:9/", secret(0));
    home.run(&["health", "--url", &url]).bad(2, "credentials");
    home.run(&["monitor", "--once", "--admin", &url]).bad(2, "credentials");
    home.add(0, "one", &[]);
    home.run(&["batch", &format!("p:{}", secret(1))]).bad(2, "***");
    home.run(&["test-keys", "--cacert", &format!("/x/y:{}", secret(1))]).bad(2, "***");
    home.run(&["generate", "hi", "--model", &format!("models:{}", secret(1))]).bad(2, "***");
}

#[test]
fn a_provider_that_nobody_knows_is_a_wrong_command_line() {
    let home = Home::new();
    home.add(0, "one", &[]);
    for args in [&["monitor", "--once"][..], &["keys"], &["stats"], &["health"]] {
        home.run(&[args, &["--provider", "nosuch"]].concat()).bad(2, "--provider");
    }
}

/// Nobody may write it, and nothing is wrong with the command line.
#[cfg(unix)]
#[test]
fn a_database_that_takes_no_writes_of_this_user_is_named() {
    use std::os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    };
    let home = Home::new();
    home.add(0, "one", &[]);
    home.run(&["keys", "disable", "one"]).good();
    let allow = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = home.at("state/keypool");
    let is_root = std::fs::metadata(&folder).unwrap().uid() == 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        allow(&file.unwrap().path(), 0o444);
    }
    for path in [&folder, &home.at("state"), &home.at(".")] {
        allow(path, 0o555);
    }
    for args in [&["keys", "enable", "one"][..], &["add-key", "-"]] {
        let mut command = home.command(args);
        if is_root {
            // Whom no permission keeps out.
            command.uid(65_534);
        }
        let ended = Home::ended(command, &secret(1));
        assert!(!ended.err.contains("cannot make"), "{ended:?}");
        ended.bad(2, "keypool.db");
    }
    for path in [&home.at("."), &home.at("state"), &folder] {
        allow(path, 0o755);
    }
}

/// A disk that is mounted to be read, a folder of somebody else.
#[cfg(unix)]
#[test]
fn a_database_where_nothing_can_be_written_is_checked_and_copied() {
    use std::os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    };
    let home = Home::new();
    home.add(0, "one", &[]);
    let elsewhere = home.at("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let folder = home.at("state/keypool");
    let is_root = std::fs::metadata(&folder).unwrap().uid() == 0;
    let beside = |end: &str| folder.join(format!("keypool.db{end}"));
    for end in ["-wal", "-shm"] {
        drop(std::fs::remove_file(beside(end)));
    }
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    for path in files.chain([folder.clone(), home.at("state"), home.at("."), elsewhere.clone()]) {
        let mode = if path == elsewhere {
            0o700
        } else if path.is_dir() {
            0o555
        } else {
            0o400
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        if is_root {
            // Whom no permission keeps out: another does it.
            chown(&path, Some(65_534), None).unwrap();
        }
    }
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        if is_root {
            command.uid(65_534);
        }
        Home::ended(command, "")
    };
    assert!(run(&["db", "check"]).good().contains("is whole: schema"));
    let copy = elsewhere.join("copy.db");
    let copy = copy.to_str().unwrap();
    run(&["db", "backup", copy]).good();
    assert!(home.run(&["db", "check", "--db", copy]).good().contains("1 key,"));
    // Somebody looked while it could be written: nothing is in either.
    for (n, end) in ["-wal", "-shm"].into_iter().enumerate() {
        if is_root {
            std::fs::write(beside(end), "").unwrap();
            chown(beside(end), Some(65_534), None).unwrap();
            std::fs::set_permissions(beside(end), std::fs::Permissions::from_mode(0o400)).unwrap();
            run(&["db", "check"]).good();
            run(&["db", "backup", elsewhere.join(format!("copy-{n}.db")).to_str().unwrap()]).good();
            assert!(run(&["keys"]).good().contains("one"));
        }
    }
    drop(std::fs::remove_file(beside("-shm")));
    if is_root {
        // What is in the file alone is not all.
        std::fs::write(beside("-wal"), [0; 4_096]).unwrap();
        chown(beside("-wal"), Some(65_534), None).unwrap();
        for (args, code) in [(&["db", "check"][..], 1), (&["db", "backup", "x.db"], 1), (&["keys"], 2)] {
            run(args).bad(code, "copy both to a folder that takes writes");
        }
    }
    for path in [home.at("."), home.at("state"), folder.clone()] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Names and states are whole, whatever else has no room.
#[cfg(unix)]
#[test]
fn keys_can_be_read_on_a_narrow_terminal() {
    let home = Home::new();
    home.add(0, "first-key-of-mine", &["--tier", "paid", "--owner", "project-a", "--source", "vault"]);
    home.add(1, "second-key-of-mine", &["--rpd", "250"]);
    home.run(&["keys", "disable", "second-key-of-mine", "--reason", "costs far too much for what it does"]).good();
    let (code, text) = crate::watching::OnTerminal::sized(&home.command(&["keys"]), 80).end();
    assert_eq!(code, Some(0), "{text}");
    for name in ["first-key-of-mine", "second-key-of-mine", "usable", "disabled", "state", "project-a"] {
        assert!(text.contains(name), "{name} is broken:\n{text}");
    }
    assert!(
        text.lines().filter(|line| line.starts_with('│')).all(|line| line.trim_end().chars().count() <= 80),
        "{text}"
    );
    assert!(text.contains("--json"), "what is left out can be had:\n{text}");
    // Where there is room, or no terminal, nothing is left out.
    let (_, wide) = crate::watching::OnTerminal::sized(&home.command(&["keys"]), 300).end();
    for text in [&wide, &home.run(&["keys"]).good()] {
        assert!(text.contains("last failure") && text.contains("vault") && !text.contains("--json"), "{text}");
    }
}

/// A number that is too small is told to be so, and is no option that does not exist.
#[test]
fn a_number_below_none_is_out_of_range_and_no_unknown_option() {
    let mut asked = 0;
    for words in all() {
        let args: Vec<&str> = words.iter().map(String::as_str).collect();
        let (_, help) = run(&[&args[..], &["--help"]].concat());
        for line in help.lines().map(str::trim).filter(|line| line.starts_with('-')) {
            let Some((option, _)) = line
                .split_once(" <")
                .filter(|(_, value)| ["NUMBER>", "SECONDS>", "N>"].iter().any(|name| value.starts_with(name)))
            else {
                continue;
            };
            let option = option.rsplit(' ').next().unwrap();
            let (code, text) = run(&[&args[..], &[option, "-1"]].concat());
            assert_eq!(code, 2, "{words:?} {option}: {text}");
            assert!(!text.contains("unexpected argument"), "{words:?} {option}: {text}");
            asked += 1;
        }
    }
    assert!(asked > 15, "{asked} options");
    let home = Home::new();
    home.add(0, "one", &[]);
    home.write("tasks.txt", "x\n");
    for (args, range) in [
        (&["test-keys", "--max-retries", "-1"][..], "-1 is not in 0..=20"),
        (&["test-keys", "--retry-delay", "-1"], "0 to 3600"),
        (&["keys", "set", "one", "--weight", "-1"], "weight"),
        (&["batch", "tasks.txt", "--max-retries", "-1"], "max_retries"),
        (&["batch", "tasks.txt", "--max-retries", "-1"], "expected a whole number from 0"),
        (&["batch", "tasks.txt", "--temperature", "-0.5"], "temperature"),
    ] {
        home.run(args).bad(2, range);
    }
}

/// Whoever reads JSON is told of a failure in JSON, once, and people beside it.
#[test]
fn a_failure_is_json_where_json_was_asked_for() {
    let home = Home::new();
    home.add(0, "one", &[]);
    std::fs::create_dir(home.at("folder")).unwrap();
    for (args, code, why) in [
        (&["keys", "--json"][..], 2, "folder"),
        (&["keys", "disable", "none", "--json"], 2, "none"),
        (&["keys", "remove", "one", "--json", "--db", "none"], 1, "no database"),
        (&["usage", "--json", "--day", "yesterday-ish"], 2, "--day"),
        (&["stats", "--json"], 2, "folder"),
        (&["health", "--json"], 2, "folder"),
        (&["import", "nowhere.txt", "--json"], 2, "nowhere.txt"),
        (&["add-key", "--json", "--env", "NOT_SET"], 2, "NOT_SET"),
        (&["test-keys", "--json", "--keys", "nowhere.txt"], 2, "nowhere.txt"),
        (&["test-keys", "--json", "--max-retries", "77"], 2, "77"),
        (&["keys", "--json", "--no-such-option"], 2, "--no-such-option"),
        (&["generate", "hi", "--json", "--keys", "nowhere.txt"], 2, "nowhere.txt"),
        (&["config", "show", "nowhere.toml", "--json"], 2, "nowhere.toml"),
        (&["db", "check", "--json"], 2, "folder"),
        (&["tenants", "--json"], 2, "folder"),
        (
            &["explain", "req-1", "--json", "--admin", "http://127.0.0.1:9", "--admin-token-file", "nowhere"],
            2,
            "nowhere",
        ),
    ] {
        let mut args = args.to_vec();
        if why == "folder" {
            args.extend(["--db", "folder"]);
        }
        let ended = home.run(&args);
        assert_eq!(ended.code, code, "{args:?}: {ended:?}");
        let told: Value =
            serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{args:?}: {error}: {ended:?}"));
        assert_eq!(told["error"]["exit_code"], code, "{args:?}: {ended:?}");
        assert!(told["error"]["message"].as_str().unwrap().contains(why), "{args:?}: {ended:?}");
        assert!(ended.err.contains(why), "{args:?}: {ended:?}");
        // Without it nothing is on standard output.
        let plain: Vec<&str> = args.iter().copied().filter(|word| *word != "--json").collect();
        assert_eq!(home.run(&plain).out, "", "{plain:?}");
    }
    // What was told is the JSON.
    let ended = home.run(&["health", "--json", "--url", "http://127.0.0.1:9"]);
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &told["status"]), (1, &json!("does not answer")), "{ended:?}");
    // `--json` as a word of another's.
    let ended = home.run(&["generate", "--keys", "nowhere.txt", "--", "--json"]);
    assert_eq!((ended.code, &*ended.out), (2, ""), "{ended:?}");
}

/// What the caller can mend by the command line ends each command alike.
#[test]
fn a_database_that_is_not_there_ends_every_command_with_2() {
    let home = Home::new();
    home.write("text.db", "this is no database, whatever its name says, and it stays as it is");
    std::fs::create_dir(home.at("folder.db")).unwrap();
    for (database, why) in
        [("missing.db", "there is no database"), ("text.db", "is no database"), ("folder.db", "folder")]
    {
        for command in [
            &["keys"][..],
            &["keys", "disable", "work"],
            &["usage"],
            &["stats"],
            &["health"],
            &["monitor", "--once"],
            &["monitor", "--once", "--json"],
            &["db", "check"],
            &["db", "backup", "copy.db"],
            &["db", "rekey"],
        ] {
            home.run(&[command, &["--db", database]].concat()).bad(2, why);
        }
    }
}

#[test]
fn an_address_that_is_none_is_told_what_one_is() {
    let home = Home::new();
    for url in ["nonsense", "127.0.0.1:5000", "ftp://127.0.0.1", "http://", "/-/health", "http:/x"] {
        home.run(&["health", "--url", url]).bad(2, "expected http://HOST:PORT or https://HOST:PORT");
        home.run(&["monitor", "--once", "--admin", url, "--admin-token", "a-token-of-an-administrator"])
            .bad(2, "expected http://HOST:PORT or https://HOST:PORT");
    }
}

/// A secret that another took the place of is no key that left.
#[test]
fn a_key_that_left_is_listed_once() {
    let home = Home::new();
    let listed = |all: bool| -> Vec<String> {
        let args: &[&str] = if all { &["keys", "--all", "--json"] } else { &["keys", "--json"] };
        let keys = home.run(args).json();
        let of =
            |key: &serde_json::Value| format!("{} {}", key["id"].as_str().unwrap(), key["state"].as_str().unwrap());
        keys.as_array().unwrap().iter().map(of).collect()
    };
    home.add(0, "work", &[]);
    home.pipe(&["keys", "replace", "work", "-"], &secret(1)).good();
    assert_eq!(listed(true), ["work usable"]);
    home.pipe(&["keys", "replace", "work", "-"], &secret(2)).good();
    home.run(&["keys", "remove", "work"]).good();
    assert_eq!(listed(true), ["work removed"]);
    assert_eq!(listed(false), [""; 0]);
    // Another key of the same name.
    home.add(3, "work", &[]);
    assert_eq!(listed(true), ["work usable", "work removed"]);
    home.run(&["keys", "remove", "work"]).good();
    assert_eq!(listed(true), ["work removed"]);
    // The first one again.
    home.add(0, "work", &[]);
    assert_eq!(listed(true), ["work usable", "work removed"]);
}
