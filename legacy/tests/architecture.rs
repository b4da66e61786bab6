//! House rules that a reader would otherwise have to check by eye: who may import whom, how long files are, how they
//! are named.

use std::{collections::BTreeSet, fs, path::Path};

/// The library's modules, each importing only from earlier lines.
const RANKS: &[&[&str]] = &[
    &["error_source"],
    &["time", "whole_file", "missing", "body_error", "received"],
    &["limit", "redis", "rule"],
    &["share"],
    &["key"],
    &["verdict"],
    &["provider", "store"],
    &["pool", "error"],
    &[
        "as_response",
        "config",
        "cooldown",
        "fallback",
        "metrics",
        "replay",
        "reqwest",
        "retry",
        "rotation",
        "run",
        "stack",
    ],
];

/// Every import beside its rank, and why there is no other way.
const BESIDE: &[(&str, &str, &str)] = &[
    ("error", "pool", "an error says why the pool refused, and who served"),
    ("pool", "error", "a refusal of the pool is that error"),
    ("retry", "replay", "sends a body again: `TryClone`"),
    ("config", "fallback", "a file says which model takes another's place"),
    ("fallback", "replay", "sends a body again, for another model: `TryClone`"),
    ("run", "retry", "the closure form follows the same retry rule"),
    ("run", "fallback", "the closure form steps down the same list of models"),
    ("stack", "as_response", "is all layers as one"),
    ("stack", "cooldown", "is all layers as one"),
    ("stack", "fallback", "is all layers as one"),
    ("stack", "replay", "is all layers as one"),
    ("stack", "retry", "is all layers as one"),
    ("stack", "rotation", "is all layers as one"),
];

/// The stages that a request walks through in the gateway, each importing only from earlier lines. Those who take it through
/// them, and they alone, know the gateway as a whole.
const STAGES: &[&[&str]] = &[
    &["aliases", "dialect", "farewell", "model_names", "unix_time"],
    &["connection"],
    &["admit"],
    &["route"],
    &["forward"],
    &["answer"],
    &["live", "log", "translate"],
    &["handle"],
    &["listen"],
];
const WHOLE: &[&str] = &["Answer", "Gateway", "Setup"];

/// Lines of a file that are no test.
const LONGEST: usize = 400;

/// Names that say nothing of what is inside. `models` says something here: of what the lists are.
const EMPTY_NAMES: &[&str] = &["common", "helper", "manager", "misc", "shared", "type", "util"];

/// Every Rust file of the library, tests left out: its path below `src`, and its lines in front of the tests inside.
fn files() -> Vec<(String, Vec<String>)> {
    files_below("src")
}

fn files_below(root: &str) -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs")
                && !name.split(['/', '.']).any(|part| matches!(part, "tests" | "laws"))
            {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                found.push((name, code.lines().map(str::to_owned).collect()));
            }
        }
    }
    assert!(found.len() > 30, "the sources are not where they were");
    found.sort();
    found
}

/// `pool` for `pool/lease.rs` and for `pool.rs`.
fn module(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// What a file names behind `crate::`, in `use` lines and paths alike.
fn imports(lines: &[String]) -> BTreeSet<String> {
    named_behind("crate::", lines)
}

fn named_behind(front: &str, lines: &[String]) -> BTreeSet<String> {
    let code: Vec<&str> = lines.iter().map(|line| line.trim()).filter(|line| !line.starts_with("//")).collect();
    let code = code.join("\n");
    let mut names = BTreeSet::new();
    for behind in code.split(front).skip(1) {
        if let Some(group) = behind.strip_prefix('{') {
            // The first words of a group: those at depth one behind its bracket or a comma.
            let (mut depth, mut word) = (1, String::new());
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ if depth == 1 && (letter.is_alphanumeric() || letter == '_') => word.push(letter),
                    _ => {}
                }
                if depth == 0 || (depth == 1 && letter == ',') {
                    names.insert(first_word(&std::mem::take(&mut word)));
                } else if depth == 1 && letter == ':' && !word.ends_with(':') {
                    word.push(':');
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            names.insert(first_word(behind));
        }
    }
    names.remove("");
    names
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

fn rank(module: &str) -> Option<usize> {
    rank_in(RANKS, module)
}

fn rank_in(ranks: &[&[&str]], module: &str) -> Option<usize> {
    ranks.iter().position(|rank| rank.contains(&module))
}

#[test]
fn nobody_imports_upward() {
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for (file, lines) in files() {
        let module = module(&file);
        if module == "lib" {
            continue;
        }
        let own = rank(module).unwrap_or_else(|| panic!("{module} has no rank: give it one"));
        for name in imports(&lines).iter().filter(|name| *name != module) {
            if let Some(exception) = BESIDE.iter().find(|(from, to, _)| (*from, *to) == (module, name)) {
                used.insert(exception);
                continue;
            }
            match rank(name) {
                Some(rank) if rank < own => {}
                Some(_) => wrong.push(format!("src/{file} imports {name}, which is not below {module}")),
                None => wrong.push(format!("src/{file} imports {name} from the root: name its module")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let idle: Vec<_> = BESIDE.iter().filter(|exception| !used.contains(exception)).collect();
    assert!(idle.is_empty(), "exceptions that nobody needs any more: {idle:?}");
}

#[test]
fn a_stage_of_the_gateway_knows_only_those_before_it() {
    let mut wrong = Vec::new();
    let end = STAGES.len();
    for (file, lines) in files_below("crates/keypool/src/gateway").into_iter().filter(|(file, _)| file != "mod.rs") {
        let stage = module(&file);
        let own = rank_in(STAGES, stage).unwrap_or_else(|| panic!("{stage} has no place in the walk: give it one"));
        for name in named_behind("gateway::", &lines).iter().filter(|name| *name != stage) {
            let is_known = match rank_in(STAGES, name) {
                Some(rank) => rank < own,
                None => WHOLE.contains(&&**name) && own + 2 >= end,
            };
            if !is_known {
                wrong.push(format!("gateway/{file} imports {name}, which does not come before {stage}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_long() {
    let long: Vec<_> = ["src", "crates/keypool/src"]
        .into_iter()
        .flat_map(|root| files_below(root).into_iter().map(move |(file, lines)| (root, file, lines)))
        .filter(|(.., lines)| lines.len() > LONGEST)
        .map(|(root, file, lines)| format!("{root}/{file}: {} lines", lines.len()))
        .collect();
    assert!(long.is_empty(), "split these: {long:#?}");
}

/// `cargo test` leaves the programs of the figures out (`test = false`): a test in one of them would never run.
#[test]
fn no_test_lies_where_none_is_run() {
    for (name, lines) in files_below("crates/figures/src").into_iter().filter(|(name, _)| name.starts_with("bin/")) {
        assert!(!lines.iter().any(|line| line.contains("cfg(test)") || line.contains("::test]")), "{name}");
        assert!(!lines.iter().any(|line| line.trim() == "#[test]"), "{name}");
    }
}

#[test]
fn names_say_what_is_inside() {
    for (file, _) in files() {
        for part in file.trim_end_matches(".rs").split('/') {
            for name in part.split('_') {
                let name = name.strip_suffix('s').unwrap_or(name);
                assert!(!EMPTY_NAMES.contains(&name), "src/{file}: name it after what it is");
            }
        }
    }
}

#[test]
fn no_work_is_left_lying() {
    for (file, lines) in files() {
        for (number, line) in lines.iter().enumerate() {
            for word in ["TODO", "FIXME", "XXX:", "todo!(", "unimplemented!(", ".unwrap()", "dbg!("] {
                let doc = line.trim_start().starts_with("//");
                assert!(!line.contains(word) || (doc && word == ".unwrap()"), "src/{file}:{}: {word}", number + 1);
            }
        }
    }
}

#[test]
fn imports_are_read_in_every_form() {
    let lines: Vec<String> = "use crate::{\n    key::{KeyId, Secret},\n    pool,\n    time::Tick,\n};\nuse crate::limit::Span;\n// crate::not_code\nfn f() -> crate::verdict::Verdict {}"
        .lines()
        .map(str::to_owned)
        .collect();
    let names: Vec<_> = imports(&lines).into_iter().collect();
    assert_eq!(names, ["key", "limit", "pool", "time", "verdict"]);
}
