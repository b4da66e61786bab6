//! What `serve` refuses at its start `config check` names: everything at once, each thing by its place, with what is allowed.

use std::{
    io::Read,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use rusqlite::Connection;

use crate::binary::keypool;

const ONE: &str = "AIzaSyTEST-refusal-key-number-one-000001";
const NOTES: &str = "milk, eggs, and what nobody else has a copy of\n";
const TOKEN: &str = "a-token-for-clients-of-40-characters-000";

type Variables<'a> = &'a [(&'a str, &'a str)];

/// What `serve` or another command said, and how it ended; whoever does not end within 20 s did not refuse.
fn ended(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = keypool(args);
    command.current_dir(folder).env("GEMINI_API_KEY", ONE).envs(variables.iter().copied());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..1000 {
        if child.try_wait().unwrap().is_some() {
            let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
            let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            assert!(!text.contains(ONE), "{args:?} {variables:?}: {text}");
            return (status.code(), text);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let mut text = String::new();
    let _ = child.stdout.take().unwrap().read_to_string(&mut text);
    (None, text)
}

/// A folder with everything in it that can be wrong.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("in-the-way"), "").unwrap();
    std::fs::write(at("empty"), "").unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::write(at("bad.db.key"), "no key").unwrap();
    std::fs::write(at("notes.txt"), NOTES).unwrap();
    let other = Connection::open(at("other.db")).unwrap();
    other.execute_batch("CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine')").unwrap();
    let newer = Connection::open(at("newer.db")).unwrap();
    newer
        .execute_batch("CREATE TABLE api_keys (hash); CREATE TABLE key_usage (day); CREATE TABLE import_history (time)")
        .unwrap();
    newer.pragma_update(None, "user_version", 9_999).unwrap();
    std::fs::write(at("log.toml"), "# log\n[log]\ndirectory = \"in-the-way/logs\"\n").unwrap();
    std::fs::write(at("store.toml"), "[store]\nurl = \"in-the-way/x.db\"\n").unwrap();
    folder
}

/// Variables that `serve` refuses, the place of what is wrong with them, and words of what is allowed.
const REFUSED: &[(Variables<'static>, &str, &str)] = &[
    (&[("KEYPOOL_SECRET_KEY", "short")], "env KEYPOOL_SECRET_KEY: ", "32 bytes in hex or base64"),
    (&[("KEYPOOL_SECRET_KEY_FILE", "/nowhere/x")], "env KEYPOOL_SECRET_KEY_FILE: ", "/nowhere/x cannot be read"),
    (&[("KEYPOOL_SECRET_KEY_FILE", "empty")], "env KEYPOOL_SECRET_KEY_FILE: ", "empty is empty"),
    (&[("KEYPOOL_SECRET_KEY_FILE", "in-the-way")], "env KEYPOOL_SECRET_KEY_FILE: ", "is empty"),
    (&[("KEYPOOL_DB", "bad.db")], "bad.db.key: ", "32 bytes in hex or base64"),
    (
        &[("LOG_DIRECTORY", "/proc/nowhere/logs")],
        "env LOG_DIRECTORY: log.directory: ",
        "expected a folder that is there or can be made",
    ),
    (&[("LOG_DIRECTORY", "in-the-way/logs")], "env LOG_DIRECTORY: log.directory: ", "in-the-way is no folder"),
    (&[("KEYPOOL_CONFIG", "log.toml")], "log.toml:3: log.directory: ", "in-the-way is no folder"),
    (&[("KEYPOOL_DB", "/proc/nowhere/x.db")], "env KEYPOOL_DB: store.url: ", "name another file"),
    (&[("KEYPOOL_DB", "folder")], "env KEYPOOL_DB: store.url: ", "is a folder"),
    (&[("KEYPOOL_DB", "other.db")], "env KEYPOOL_DB: store.url: ", "another program"),
    (&[("KEYPOOL_DB", "notes.txt")], "env KEYPOOL_DB: store.url: ", "no database"),
    (&[("KEYPOOL_DB", "newer.db")], "env KEYPOOL_DB: store.url: ", "newer version"),
    (&[("KEYPOOL_CONFIG", "store.toml")], "store.toml:2: store.url: ", "in-the-way is no folder"),
    (&[("KEYPOOL_REDIS_URL", "redis://h:99999")], "env KEYPOOL_REDIS_URL: store.url: ", "1 to 65535"),
    (
        &[("KEYPOOL_REDIS_URL", "rediss://127.0.0.1:1"), ("KEYPOOL__STORE__CA_FILE", "in-the-way")],
        "env KEYPOOL_REDIS_URL: store.url: ",
        "the certificates in in-the-way are none",
    ),
    (
        &[("GEMINI_FREE_RATE_LIMIT", "x")],
        "env GEMINI_FREE_RATE_LIMIT: ",
        "expected a whole number of requests a minute",
    ),
    (&[("GEMINI_PAID_RATE_LIMIT", "0")], "env GEMINI_PAID_RATE_LIMIT: ", "1 or more"),
    (
        &[("KEYPOOL_LISTEN", "192.0.2.1:5000"), ("KEYPOOL_TOKEN", TOKEN)],
        "env KEYPOOL_LISTEN: gateway.listen: ",
        "address of this machine",
    ),
    (
        &[
            ("KEYPOOL_ADMIN_LISTEN", "192.0.2.1:5001"),
            ("KEYPOOL_ADMIN_TOKEN", "an-administrators-token-of-40-characters"),
        ],
        "env KEYPOOL_ADMIN_LISTEN: admin.listen: ",
        "address of this machine",
    ),
    (
        &[("KEYPOOL_LISTEN", "127.0.0.1:5999"), ("KEYPOOL_UPSTREAM", "http://localhost:5999")],
        "env KEYPOOL_UPSTREAM: gateway.upstream: ",
        "where this gateway listens itself",
    ),
    (&[("KEYPOOL_LISTEN", "nonsense")], "env KEYPOOL_LISTEN: gateway.listen: ", "expected HOST:PORT"),
    (&[("KEYPOOL_UPSTREAM", "ftp://x")], "env KEYPOOL_UPSTREAM: gateway.upstream: ", "not a base URL"),
    (&[("KEYPOOL_TOKEN_FILE", "/nowhere/t")], "env KEYPOOL_TOKEN_FILE: gateway.token: ", "cannot be read"),
    (&[("KEYPOOL_ADMIN_TOKEN_FILE", "/nowhere/t")], "env KEYPOOL_ADMIN_TOKEN_FILE: admin.token: ", "cannot be read"),
    (&[("KEYPOOL_PROVIDER", "nobody")], "env KEYPOOL_PROVIDER: gateway.provider: ", "expected one of"),
    (&[("KEYPOOL_CACERT", "in-the-way")], "env KEYPOOL_CACERT: gateway.cacert: ", "certificate"),
    (&[("KEYPOOL_TLS_CERT", "nonsense")], "gateway.tls_", "expected"),
    (&[("KEYPOOL_LEASE", "x")], "env KEYPOOL_LEASE: store.lease: ", "expected a length of time"),
    (&[("API_KEY_FILE", "/nowhere/keys.txt")], "env API_KEY_FILE: pool.key_files: ", "--keys FILE"),
    (&[("LOG_LEVEL", "loud")], "env LOG_LEVEL: log.level: ", "expected one of error, warn"),
    (&[("LOG_FORMAT", "xml")], "env LOG_FORMAT: log.format: ", "expected one of text, json"),
    (&[("LISTEN_PORT", "99999")], "env LISTEN_PORT: gateway.listen: ", "expected HOST:PORT"),
    (&[("KEYPOOL__STORE__NAMESPACE", "a b")], "env KEYPOOL__STORE__NAMESPACE: store.namespace: ", "1 to 64 letters"),
];

#[test]
fn what_serve_refuses_a_check_names_by_its_place_with_what_is_allowed() {
    let folder = folder();
    let mut wrong = Vec::new();
    for (variables, place, allowed) in REFUSED {
        let free = [("KEYPOOL_LISTEN", "127.0.0.1:0")];
        let listens = variables.iter().any(|(name, _)| name.contains("LISTEN"));
        let all = if listens { variables.to_vec() } else { [&free, *variables].concat() };
        for args in [&["config", "check"][..], &["serve"]] {
            let (code, text) = ended(folder.path(), args, &all);
            if code != Some(2) || !text.contains(place) || !text.contains(allowed) {
                wrong.push(format!("{args:?} {variables:?}: {code:?} {text}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    let other = Connection::open(folder.path().join("other.db")).unwrap();
    let tables: Vec<String> = other
        .prepare("SELECT name FROM sqlite_schema")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(tables, ["notes"]);
}

#[test]
fn everything_is_named_at_once() {
    let folder = folder();
    let variables = [
        ("KEYPOOL_SECRET_KEY", "short"),
        ("LOG_DIRECTORY", "/proc/nowhere/logs"),
        ("KEYPOOL_DB", "other.db"),
        ("GEMINI_FREE_RATE_LIMIT", "x"),
        ("KEYPOOL_LISTEN", "192.0.2.1:5000"),
        ("KEYPOOL_TOKEN", TOKEN),
        ("KEYPOOL__RETRY__FACTOR", "0"),
    ];
    let (code, text) = ended(folder.path(), &["config", "check"], &variables);
    assert_eq!(code, Some(2), "{text}");
    for (name, _) in variables.iter().filter(|(name, _)| *name != "KEYPOOL_TOKEN") {
        assert!(text.contains(&format!("\n  env {name}: ")), "{name}: {text}");
    }
    assert_eq!(ended(folder.path(), &["serve"], &variables), (code, text), "serve says the same");
}

#[test]
fn a_check_changes_nothing_and_does_not_mind_a_gateway_at_work() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let variables = [("KEYPOOL_LISTEN", &*listen), ("LOG_DIRECTORY", "logs/of/it"), ("KEYPOOL_DB", "state/of/it.db")];
    let (code, text) = ended(folder.path(), &["config", "check"], &variables);
    assert_eq!(code, Some(0), "{text}");
    assert!(!folder.path().join("logs").exists() && !folder.path().join("state").exists(), "{text}");
}

#[test]
fn a_database_of_another_program_is_refused_by_every_command_and_stays_as_it_is() {
    let folder = folder();
    let path = folder.path().join("other.db");
    for application_id in [0, 0x0f05_5112] {
        Connection::open(&path).unwrap().pragma_update(None, "application_id", application_id).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        let before = std::fs::read(&path).unwrap();
        let held = || {
            let mut names: Vec<_> =
                std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let names = held();
        for args in [&["keys"][..], &["usage"], &["stats"], &["add-key", ONE], &["db", "check"], &["db", "backup", "x"]]
        {
            let (code, text) = ended(folder.path(), &[args, &["--db", "other.db"]].concat(), &[]);
            assert_eq!(code, Some(2), "{args:?}: {text}");
            assert!(text.contains("other.db") && text.contains("another program"), "{args:?}: {text}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(held(), names);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        }
    }
}

#[test]
fn a_file_that_never_was_a_database_is_refused_by_every_command_and_stays_as_it_is() {
    let folder = folder();
    std::fs::write(folder.path().join("prompts.jsonl"), "{\"prompt\":\"hello\"}\n").unwrap();
    std::fs::write(folder.path().join("answers.jsonl"), "").unwrap();
    let held = || std::fs::read_dir(folder.path()).unwrap().count();
    let before = held();
    let batch = ["batch", "prompts.jsonl", "-o", "answers.jsonl", "--model", "gemini-2.5-flash"];
    let commands = [&["keys"][..], &["usage"], &["stats"], &["add-key", ONE], &["db", "check"], &["serve"], &batch];
    // Each twice: the first leaves nothing that the second would take for its own.
    for args in commands.iter().chain(&commands) {
        let (code, text) = ended(folder.path(), &[*args, &["--db", "notes.txt"]].concat(), &[]);
        assert_eq!(code, Some(2), "{args:?}: {text}");
        assert!(text.contains("notes.txt is no database") && text.contains("move it away"), "{args:?}: {text}");
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("notes.txt")).unwrap(), NOTES);
    assert_eq!(held(), before);
    // One that is torn right behind its first bytes was a database.
    std::fs::write(folder.path().join("torn.db"), "SQLite format 3\0torn").unwrap();
    let (code, text) = ended(folder.path(), &["add-key", ONE, "--db", "torn.db"], &[]);
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let aside = names.filter(|name| name.to_string_lossy().starts_with("torn.db.corrupt-")).count();
    assert_eq!((code, aside), (Some(0), 1), "{text}");
    let (code, text) = ended(folder.path(), &["add-key", ONE, "--db", "empty"], &[]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn our_own_file_says_whose_it_is_and_an_older_one_that_does_not_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = ended(folder.path(), &["add-key", ONE, "--db", "own.db"], &[]);
    assert_eq!(code, Some(0), "{text}");
    let id = || -> i64 {
        let own = Connection::open(folder.path().join("own.db")).unwrap();
        own.pragma_query_value(None, "application_id", |row| row.get(0)).unwrap()
    };
    let ours = id();
    assert_ne!(ours, 0);
    Connection::open(folder.path().join("own.db")).unwrap().pragma_update(None, "application_id", 0).unwrap();
    let (code, text) = ended(folder.path(), &["keys", "--db", "own.db"], &[]);
    assert!(code == Some(0) && text.contains("encrypted"), "{text}");
    assert_eq!(id(), 0, "who only looks changes nothing");
    let (code, text) = ended(folder.path(), &["add-key", ONE, "--db", "own.db"], &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(id(), ours);
}

#[test]
fn an_entry_of_a_json_file_is_named_by_its_place_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let two = "AIzaSyTEST-refusal-key-number-two-000002";
    let text = format!(r#"["{two}","short",{{"key":"{two}","rpm":1}},{{"key":"{two}x","rpm":"ten"}}]"#);
    std::fs::write(folder.path().join("keys.json"), text).unwrap();
    let (code, text) = ended(folder.path(), &["config", "check"], &[("API_KEY_FILE", "keys.json")]);
    assert_eq!(code, Some(2), "{text}");
    for said in [
        "keys.json:1: entry 2 is skipped: the key has 5 characters",
        "keys.json:1: entry 3 is the key of entry 1 again",
        "keys.json:1: entry 4 is skipped: the value of rpm",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let (code, text) = ended(folder.path(), &["import", "keys.json", "--db", "x.db"], &[]);
    assert_eq!(code, Some(0), "{text}");
    for said in ["line 1: entry 2: the key has 5 characters", "line 1: entry 4: the value of rpm"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // Lines and tables have one entry a line.
    std::fs::write(folder.path().join("keys.txt"), format!("{two}\nshort\n")).unwrap();
    let (_, text) = ended(folder.path(), &["config", "check"], &[("API_KEY_FILE", "keys.txt")]);
    assert!(text.contains("keys.txt:2: the line is skipped: "), "{text}");
}

#[test]
fn messages_name_the_file_or_variable_and_the_way_out() {
    let folder = folder();
    let secret_key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let none = ("GEMINI_API_KEY", "");
    let check = |variables: &[(&str, &str)]| {
        let (code, text) =
            ended(folder.path(), &["config", "check"], &[&[none, ("KEYPOOL_DB", "own.db")], variables].concat());
        assert_eq!(code, Some(2), "{text}");
        text
    };
    let (code, text) = ended(folder.path(), &["add-key", ONE, "--id", "mine", "--db", "own.db"], &[]);
    assert_eq!(code, Some(0), "{text}");
    let kept = std::fs::read(folder.path().join("own.db.key")).unwrap();
    std::fs::remove_file(folder.path().join("own.db.key")).unwrap();
    // The key of the secrets is lost.
    let text = check(&[]);
    for said in [
        "secret of mine",
        "own.db.key",
        "is not there",
        "put it back",
        "KEYPOOL_SECRET_KEY",
        "keypool keys remove mine",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let text = check(&[("KEYPOOL_SECRET_KEY", secret_key)]);
    for said in ["secret of mine", "KEYPOOL_SECRET_KEY is another key", "own.db.key", "keypool keys remove mine"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    std::fs::write(folder.path().join("own.db.key"), secret_key).unwrap();
    let text = check(&[]);
    for said in ["secret of mine", "own.db.key holds another key", "keypool keys remove mine"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    std::fs::write(folder.path().join("own.db.key"), kept).unwrap();
    assert_eq!(ended(folder.path(), &["config", "check"], &[none, ("KEYPOOL_DB", "own.db")]).0, Some(0));
    // A command that writes to a database that cannot be made.
    let (code, text) = ended(folder.path(), &["add-key", ONE, "--db", "/proc/nowhere/x.db"], &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("flag --db: store.url: ")
            && text.contains("/proc/nowhere/x.db")
            && text.contains("name another file"),
        "{text}"
    );
    let (code, text) = ended(folder.path(), &["keys"], &[("KEYPOOL_DB", "folder")]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("env KEYPOOL_DB: store.url: ") && text.contains("name another file"), "{text}");
    // A key file that was emptied.
    let (code, text) = ended(folder.path(), &["serve", "--keys", "empty"], &[none]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("the key file empty is empty: put one API key a line into it"), "{text}");
}

#[test]
fn how_often_is_renewed_is_shown_where_nobody_said() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |variables: &[(&str, &str)]| {
        let (code, text) = ended(folder.path(), &["config", "show", "--json"], variables);
        assert_eq!(code, Some(0), "{text}");
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        shown["settings"]["store.renew"].clone()
    };
    let is = |value: &str, origin: &str| serde_json::json!({ "value": value, "origin": origin });
    assert_eq!(shown(&[("KEYPOOL_DB", "x.db")]), is("1s", "default"));
    assert_eq!(shown(&[("KEYPOOL_DB", "x.db"), ("KEYPOOL_LEASE", "5")]), is("500ms", "default"));
    let server = ("KEYPOOL_REDIS_URL", "redis://127.0.0.1:1");
    let redis = shown(&[server]);
    assert_eq!(redis["origin"], "default");
    assert!(redis["value"].as_str().unwrap().ends_with('s'), "{redis}");
    assert_eq!(shown(&[server, ("KEYPOOL__STORE__RENEW", "3")]), is("3s", "env KEYPOOL__STORE__RENEW"));
    assert_eq!(shown(&[("KEYPOOL_DB", "none")])["value"], serde_json::Value::Null);
}

#[test]
fn a_key_where_a_path_belongs_is_never_echoed() {
    let folder = folder();
    let key = "AIzaSyTEST-refusal-key-number-two-000002";
    let below = format!("{key}/x");
    let (db, log) = (("KEYPOOL_DB", key), ("LOG_DIRECTORY", key));
    let cases: [(&[&str], Variables<'_>); 14] = [
        (&["keys", "--db", key], &[]),
        (&["keys", "--db", &below], &[]),
        (&["add-key", ONE, "--db", key], &[]),
        (&["serve", "--db", key], &[]),
        (&["serve"], &[db]),
        (&["config", "check"], &[db]),
        (&["config", "check"], &[log]),
        (&["config", "check", key], &[]),
        (&["keys", "--config", key], &[]),
        (&["serve", "--cacert", key], &[]),
        (&["serve", "--keys", &below], &[]),
        (&["import", &below], &[]),
        (&["db", "backup", key, "--db", "folder"], &[]),
        (&["batch", key, "-o", "x.jsonl"], &[]),
    ];
    for (args, variables) in cases {
        let (code, text) = ended(folder.path(), args, variables);
        assert!(matches!(code, Some(1 | 2)), "{args:?} {variables:?}: {code:?} {text}");
        assert!(!text.contains(key), "{args:?} {variables:?}: {text}");
        assert!(!folder.path().join(key).exists(), "{args:?} {variables:?}: {text}");
    }
}
