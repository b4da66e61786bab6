//! What `serve` knows outlives it: ended or killed, the next one goes on where it was.

use std::sync::Arc;

use bytes::Bytes;
use gemini_sim::{GeminiSim, Key, Limits, Project, Refusal};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use keypool::gateway::token::PLACEHOLDER;
use tower_keypool::store::{Batch, ImportRecord, Keeping, KeptSecret, KeyRecord, KeyStanding, Sqlite, Store, Vault};

use crate::{
    binary::{Running, key_file, keypool, run},
    home::ACTS,
    serving::{HELLO, ONE},
    support::{Answer, ask, client},
};

async fn hello(running: &Running) -> Answer {
    let url = format!("{}/v1beta/models/gemini-2.5-flash:generateContent", running.url);
    ask(Request::post(url).header("x-goog-api-key", PLACEHOLDER), HELLO).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_used_up_stays_used_up_when_the_process_is_killed_and_started_again() {
    let project = Project::new("100000000001").limits(Limits::none().rpm(3)).key(ONE);
    let sim = GeminiSim::builder().project(project).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("state.db");
    let db = db.to_str().unwrap();
    let file = key_file(&format!("{ONE} id=one rpm=3 rpd=7\n"));
    let keys = file.path().to_str().unwrap().to_owned();
    let start = || {
        let url = sim.url();
        Running::start(&[
            "serve",
            "--keys",
            &keys,
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            &url,
            "--wait",
            "1",
            "--db",
            db,
        ])
    };

    let first = start();
    assert!(first.told.contains("state.db"), "{}", first.told);
    for _ in 0..3 {
        assert_eq!(hello(&first).await.status, StatusCode::OK);
    }
    // Answers under way are written within the next two batches.
    let store = Sqlite::inspect(std::path::Path::new(db)).unwrap();
    until_so("what was used is written", async || used(&store).await == 3).await;
    drop(store);
    first.kill();

    let second = start();
    let answer = hello(&second).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.body).contains("requests/minute"), "{answer:?}");
    let (code, told) = tokio::task::spawn_blocking(move || second.end()).await.unwrap();
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("waiting for the store"), "{told}");

    let total = sim.report().total;
    assert_eq!((total.arrivals, total.over_limit), (3, 0));
    let (code, text) = run(&["db", "check", "--db", db]);
    assert_eq!((code, text.contains("is whole")), (0, true), "{text}");
    let copy = folder.path().join("copy.db");
    let (code, text) = run(&["db", "backup", copy.to_str().unwrap(), "--db", db]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(run(&["db", "check", "--db", copy.to_str().unwrap()]).0, 0);
    assert_eq!(run(&["db", "backup", copy.to_str().unwrap(), "--db", db]).0, 1, "it is there already");
    assert_eq!(run(&["db", "check", "--db", "/nowhere/keypool.db"]).0, 2);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(ONE.len()).any(|window| window == ONE.as_bytes()), "a key lies in a file");
    }
}

/// What it held and did not use is there after it, all of the day but for little.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_not_used_up_by_processes_that_were_killed() {
    let project = |n: u32| Project::new(format!("10000000010{n}")).limits(Limits::none().rpm(30)).key(secret(n));
    let sim = (1..=3).fold(GeminiSim::builder(), |sim, n| sim.project(project(n))).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("state.db");
    let lines: Vec<String> = (1..=3).map(|n| format!("{} id=o{n} owner=o{n} rpm=30 rpd=250\n", secret(n))).collect();
    let file = key_file(&lines.concat());
    let (keys, url, db) = (file.path().to_str().unwrap(), sim.url(), db.to_str().unwrap());
    let args = ["serve", "--keys", keys, "--listen", "127.0.0.1:0", "--upstream", &url, "--wait", "5", "--db", db];
    for wait in [0, 300, 900] {
        let running = Running::start(&args);
        assert_eq!(hello(&running).await.status, StatusCode::OK);
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        running.kill();
    }
    let running = Running::start(&args);
    // Of 90 a minute 3 are used, and each death may have cost one of each key.
    for n in 0..75 {
        let answer = hello(&running).await;
        assert_eq!(answer.status, StatusCode::OK, "{n}: {answer:?}");
    }
    let (code, text) = run(&["usage", "--json", "--db", db]);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &told["out_for_today"]), (0, &serde_json::json!([])), "{text}");
    running.kill();
    let report = sim.report();
    assert_eq!((report.total.accepted, report.total.over_limit), (78, 0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_under_load_it_exceeds_no_limit_and_loses_nothing_but_the_last_counts() {
    let project = |n: u32| Project::new(format!("10000000000{n}"));
    let limited = |n: u32| project(n).limits(Limits::none().rpm(40)).key(secret(n));
    let suspended = project(3).key(Key::new(secret(3)).refused(Refusal::ConsumerSuspended));
    let off = project(4).key(secret(4));
    let sim = GeminiSim::builder().project(limited(1)).project(limited(2)).project(suspended).project(off);
    let sim = sim.start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("state.db");
    switched_off(&db, &secret(4)).await;
    let lines: Vec<String> = (1..=4)
        .map(|n| format!("{} rpm=40 priority={}{}\n", secret(n), 4 - n, if n == 4 { " id=off" } else { "" }))
        .collect();
    let file = key_file(&lines.concat());
    let (keys, url) = (file.path().to_str().unwrap(), sim.url());
    let args = [
        "serve",
        "--keys",
        keys,
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &url,
        "--wait",
        "0",
        "--db",
        db.to_str().unwrap(),
    ];

    let mut counted = 0;
    for round in 0..5 {
        let (seen, mut least) = (sim.log().len(), 0);
        let running = Running::start(&args);
        let answered = hello(&running).await;
        if round == 0 {
            assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
            // Once it is in the store, nobody asks with it again.
            let store = Sqlite::inspect(&db).unwrap();
            let is_kept = async || store.contents().await.unwrap().rests > 0;
            until_so("the suspension is written", is_kept).await;
        }
        let clients = (0..8).map(|_| {
            let url = running.url.clone();
            tokio::spawn(async move { while try_hello(&url).await {} })
        });
        let clients: Vec<_> = clients.collect();
        tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(20..300))).await;
        if round % 2 == 0 {
            // What is used now is written while others follow: `kills` measures within what time.
            let (used_now, store) = (sim.log().len() - seen, Sqlite::inspect(&db).unwrap());
            let is_written = async || used(&store).await >= counted + used_now as i64;
            until_so("what is used is written under load", is_written).await;
            least = used_now;
        }
        running.kill();
        for client in clients {
            client.await.unwrap();
        }
        let store = Sqlite::inspect(&db).unwrap();
        assert_eq!(store.check().await.unwrap(), [""; 0]);
        assert_eq!(store.imports().await.unwrap().len(), 1);
        let keys = store.keys().await.unwrap();
        assert!(keys.iter().any(|key| key.id == "off" && key.state == KeyStanding::Disabled));
        let total = used(&store).await;
        let told = usize::try_from(total - std::mem::replace(&mut counted, total)).unwrap();
        assert!(told >= least, "{told} of {least}: what was written is gone");
    }
    assert!(sim.log().iter().all(|arrival| arrival.key != Some(3)), "it is switched off");
    let report = sim.report();
    assert_eq!(report.total.over_limit, 0, "{report}");
    assert!(report.total.accepted >= 20, "it is not locked out: {report}");
    assert_eq!(report.total.rejected_as("consumer_suspended"), 1, "asked once, and never again: {report}");
    assert_eq!(run(&["db", "check", "--db", db.to_str().unwrap()]).0, 0);
}

/// All requests that a database knows of.
async fn used(store: &Sqlite) -> i64 {
    store.usage("0000-01-01", "9999-12-31").await.unwrap().iter().map(|row| row.requests).sum()
}

/// Waits until it is so, however busy the machine is.
async fn until_so(what: &str, is_so: impl AsyncFn() -> bool) {
    let comes = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(ACTS, comes).await.is_ok(), "{what}: not so");
}

/// A key that is switched off in the database, and an import.
async fn switched_off(db: &std::path::Path, secret: &str) {
    let store = Sqlite::open(db).unwrap();
    let key = KeyRecord::of(&tower_keypool::Key::new(secret).id("off"), KeptSecret::Elsewhere, 0);
    let keys = vec![KeyRecord { state: KeyStanding::Disabled, reason: "by hand".to_owned(), ..key }];
    let imports = vec![ImportRecord { added: 1, ..ImportRecord::default() }];
    store.write(Arc::new(Batch { keys, imports, ..Batch::default() })).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_database_serves_where_its_secret_can_be_opened() {
    let sim = GeminiSim::builder().key(ONE).key(secret(2)).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("state.db");
    let (vault_key, vault) = ("5a".repeat(32), Vault::new(&"5a".repeat(32)).unwrap());
    let store = Sqlite::open(&db).unwrap();
    let secret_of_one = Keeping::Sealed(vault).keep(ONE).unwrap();
    let keys = vec![KeyRecord::of(&tower_keypool::Key::new(ONE).id("stored"), secret_of_one, 0)];
    store.write(Arc::new(Batch { keys, ..Batch::default() })).await.unwrap();
    drop(store);
    let file = key_file(&format!("{} id=filed priority=5\n", secret(2)));
    let (keys, url) = (file.path().to_str().unwrap(), sim.url());
    let args = ["serve", "--keys", keys, "--listen", "127.0.0.1:0", "--upstream", &url, "--db", db.to_str().unwrap()];

    let closed = Running::start(&args);
    assert_eq!(hello(&closed).await.header("x-keypool-key"), "filed");
    let (_, told) = tokio::task::spawn_blocking(move || closed.end()).await.unwrap();
    assert!(told.contains("KEYPOOL_SECRET_KEY"), "{told}");

    let open = Running::spawn(keypool(&args).env("KEYPOOL_SECRET_KEY", &vault_key));
    assert_eq!(hello(&open).await.header("x-keypool-key"), "stored");
    let (_, told) = tokio::task::spawn_blocking(move || open.end()).await.unwrap();
    assert!(!told.contains(ONE) && !told.contains(&vault_key), "{told}");

    let wrong = keypool(&args).env("KEYPOOL_SECRET_KEY", "password").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", String::from_utf8_lossy(&wrong.stderr));
}

#[test]
fn where_none_is_wanted_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = key_file(ONE);
    let mut serve =
        keypool(&["serve", "--keys", file.path().to_str().unwrap(), "--listen", "127.0.0.1:0", "--db", "none"]);
    let running = Running::spawn(serve.env("XDG_STATE_HOME", folder.path()).current_dir(folder.path()));
    assert!(running.told.contains("counts are in memory"), "{}", running.told);
    running.kill();
    let mut demo = keypool(&["demo", "--seconds", "3", "--plain"]);
    demo.env("XDG_STATE_HOME", folder.path()).env("HOME", folder.path()).current_dir(folder.path());
    assert!(demo.output().unwrap().status.success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn one_that_is_not_to_be_had_is_done_without_unless_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = key_file(ONE);
    let serve = ["serve", "--keys", file.path().to_str().unwrap(), "--listen", "127.0.0.1:0"];
    // Nothing can be made below a file.
    let state = file.path().join("state");
    let beside = |args: &[&str]| {
        let mut command = keypool(&[&serve[..], args].concat());
        command.env("XDG_STATE_HOME", &state).current_dir(folder.path());
        command
    };
    for command in [&mut beside(&[]), beside(&[]).env("XDG_STATE_HOME", "").env_remove("HOME")] {
        let running = Running::spawn(command);
        let (code, told) = running.end();
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("counts are in memory") && told.contains(" ERROR "), "{told}");
        assert!(told.contains("keypool.db") || told.contains("no home directory"), "{told}");
    }
    let named = state.join("mine.db");
    for args in [["--db", named.to_str().unwrap()], ["--db", "auto"]] {
        let out = beside(&args).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(text.contains("--db") && text.contains(".db"), "{text}");
    }
}

/// The home of somebody else: whoever may not look into it has neither a database there nor what opens its secrets.
#[cfg(unix)]
#[test]
fn where_this_user_may_not_look_for_the_usual_one_there_is_none() {
    use std::os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let allow = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(folder.path(), 0o755);
    allow(&home, 0o000);
    let serve = |args: &[&str]| {
        let mut command = keypool(&[&["serve", "--listen", "127.0.0.1:0"], args].concat());
        command.env("GEMINI_API_KEY", ONE).env("HOME", &home).env_remove("XDG_STATE_HOME").current_dir(folder.path());
        if std::fs::metadata(&home).unwrap().uid() == 0 {
            // Whom no permission keeps out.
            command.uid(65_534);
        }
        command
    };
    let (code, told) = Running::spawn(&mut serve(&[])).end();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("counts are in memory") && told.contains("keypool.db"), "{told}");
    let named = home.join("mine.db");
    let out = serve(&["--db", named.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{text}");
    assert!(text.contains("mine.db") && text.contains("another file") && !text.contains(".key"), "{text}");
    allow(&home, 0o700);
}

/// A database that is somebody else's, or a copy that takes no writes: a person can open it to this user.
#[cfg(unix)]
#[test]
fn a_database_that_this_user_may_not_open_is_the_command_lines_fault() {
    use std::os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let db = path.to_str().unwrap();
    let allow = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let run = |args: &[&str]| {
        let mut command = keypool(&[args, &["--db", db]].concat());
        command.current_dir(folder.path()).env("GEMINI_API_KEY", ONE).stdin(std::process::Stdio::null());
        command
    };
    let made = run(&["tenants", "add", "alice"]).output().unwrap();
    assert!(path.is_file() && made.status.success(), "{made:?}");
    let is_root = std::fs::metadata(folder.path()).unwrap().uid() == 0;
    for (file, within) in [(0o000, 0o755), (0o444, 0o555)] {
        allow(&path, file);
        allow(folder.path(), within);
        for (args, writes) in [
            (&["keys"][..], false),
            (&["tenants"], false),
            (&["usage"], false),
            (&["stats"], false),
            (&["db", "check"], false),
            (&["tenants", "add", "bob"], true),
            (&["add-key", "--env", "GEMINI_API_KEY"], true),
            (&["serve", "--listen", "127.0.0.1:0"], true),
        ] {
            if file == 0o444 && !writes {
                continue;
            }
            let mut command = run(args);
            if is_root {
                // Whom no permission keeps out.
                command.uid(65_534);
            }
            let out = command.output().unwrap();
            let text = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.code(), Some(2), "{file:o} {args:?}: {text}");
            assert!(text.contains("keypool.db"), "{file:o} {args:?}: {text}");
        }
    }
    allow(folder.path(), 0o755);
}

#[cfg(unix)]
#[test]
fn its_files_are_its_owners_alone_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    for umask in ["000", "027", "777"] {
        let folder = tempfile::tempdir().unwrap();
        let file = key_file(ONE);
        let serve = keypool(&["serve", "--keys", file.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).arg(serve.get_program());
        command.args(serve.get_args()).arg("--db").arg(folder.path().join("keypool.db"));
        Running::spawn(&mut command).kill();
        let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        let modes: Vec<_> =
            entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().permissions().mode() & 0o777)).collect();
        assert!(modes.len() >= 3 && modes.iter().all(|(_, mode)| *mode == 0o600), "umask {umask}: {modes:?}");
    }
}

#[test]
fn several_work_on_one_database_but_not_beside_one_that_works_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = key_file(ONE);
    let keys = file.path().to_str().unwrap();
    let args = ["serve", "--keys", keys, "--listen", "127.0.0.1:0"];
    let auto = [&args[..], &["--db", "auto"]].concat();
    let db = folder.path().join("keypool/keypool.db");
    let both = [0, 1].map(|_| Running::spawn(keypool(&auto).env("XDG_STATE_HOME", folder.path())));
    assert!(both.iter().all(|running| running.told.contains("are kept in")), "{}", both[1].told);
    assert!(Sqlite::open(&db).unwrap().claim().is_err_and(|error| error.is_in_use()));
    both.into_iter().for_each(Running::kill);

    let alone = Sqlite::open(&db).unwrap();
    alone.claim().unwrap();
    for named in [&[][..], &["--db", db.to_str().unwrap()]] {
        let out = keypool(&[&args[..], named].concat()).env("XDG_STATE_HOME", folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(1) && text.contains("works on") && text.contains("--db"), "{text}");
    }
}

#[test]
fn one_that_is_there_is_never_done_without() {
    let folder = tempfile::tempdir().unwrap();
    let file = key_file(ONE);
    let args = ["serve", "--keys", file.path().to_str().unwrap(), "--listen", "127.0.0.1:0"];
    Running::spawn(keypool(&args).env("XDG_STATE_HOME", folder.path())).kill();
    let db = rusqlite::Connection::open(folder.path().join("keypool/keypool.db")).unwrap();
    db.execute_batch("UPDATE run SET floor = 99; PRAGMA user_version = 99").unwrap();
    drop(db);
    // It may say of keys that they are off, and what they used.
    let out = keypool(&args).env("XDG_STATE_HOME", folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && text.contains("newer") && text.contains("--db"), "{text}");
    let check = ["config", "check"];
    let out = keypool(&check).env("XDG_STATE_HOME", folder.path()).env("GEMINI_API_KEY", ONE).output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && text.contains("newer"), "{text}");
}

#[test]
fn that_a_database_is_brought_forward_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (file, path) = (key_file(ONE), folder.path().join("old.db"));
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(include_str!("../../../../src/store/sqlite/migrations/0001_keys_and_use.sql")).unwrap();
    db.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(db);
    let args = ["serve", "--keys", file.path().to_str().unwrap(), "--listen", "127.0.0.1:0", "--db"];
    let (code, told) = Running::spawn(keypool(&args).arg(&path).env("XDG_STATE_HOME", folder.path())).end();
    let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let copy = entries.map(|path| path.display().to_string()).find(|path| path.contains(".schema-1-")).unwrap();
    assert!(code == Some(0) && told.contains("from schema 1 to ") && told.contains(&copy), "{told}");
}

/// Of what commands do nobody keeps a log.
#[test]
fn commands_that_write_say_it_too() {
    use crate::home::{Home, secret};
    let home = Home::new();
    let old = |name: &str| {
        let db = rusqlite::Connection::open(home.at(name)).unwrap();
        db.execute_batch(include_str!("../../../../src/store/sqlite/migrations/0001_keys_and_use.sql")).unwrap();
        db.execute_batch("PRAGMA user_version = 1").unwrap();
    };
    let keys = home.write("keys.txt", &secret(1));
    for (n, args) in [
        &["add-key", "-", "--id", "mine"][..],
        &["import", &keys],
        &["tenants", "add", "alice"],
        &["db", "rekey"],
        &["generate", "hello", "--upstream", "http://127.0.0.1:9", "--keys", &keys],
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("old-{n}.db");
        old(&name);
        let ended = home.pipe(&[args, &["--db", &name]].concat(), &secret(0));
        let copies: Vec<_> = std::fs::read_dir(home.at("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let of_it = |copy: &&std::ffi::OsString| copy.to_str().unwrap().starts_with(&format!("{name}.schema-1-"));
        let copy = copies.iter().find(of_it).unwrap_or_else(|| panic!("{args:?}: {ended:?} {copies:?}"));
        let said = ended.err.contains("from schema 1 to ") && ended.err.contains(copy.to_str().unwrap());
        assert!(said, "{args:?}: {ended:?}");
        assert_eq!(ended.err.matches("from schema").count(), 1, "{args:?}: {ended:?}");
        let again = home.run(&["tenants", "add", "bob", "--db", &name]);
        assert!(again.code == 0 && !again.err.contains("schema"), "{args:?}: {again:?}");
    }
}

fn secret(n: u32) -> String {
    format!("AIzaSyTEST-restarting-key-number-{n:06}")
}

/// Whether somebody answers there, whatever it is.
async fn try_hello(url: &str) -> bool {
    let request = Request::post(format!("{url}/v1beta/models/gemini-2.5-flash:generateContent"))
        .header("x-goog-api-key", PLACEHOLDER)
        .body(Full::<Bytes>::from(HELLO))
        .unwrap();
    match client().request(request).await {
        Ok(response) => response.into_body().collect().await.is_ok(),
        Err(_) => false,
    }
}
