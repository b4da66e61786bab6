//! A database that somebody, or a disk, damaged: whoever only looks leaves it as it is and says so, whoever writes sets it
//! aside and says so, and whoever finds no key then names what was set aside.

use std::{fs, path::PathBuf};

use rusqlite::Connection;

use crate::home::{Home, end, hello, secret, simulator};

/// Three keys in a database.
fn with_keys() -> Home {
    let home = Home::new();
    (0..3).for_each(|n| home.add(n, &format!("k{n}"), &[]));
    Connection::open(home.database()).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    home
}

/// The same, with all pages but the first two torn.
fn torn() -> (Home, Vec<u8>) {
    let home = with_keys();
    let mut bytes = fs::read(home.database()).unwrap();
    bytes.chunks_mut(4096).skip(2).for_each(|page| page[..200].fill(0xa5));
    fs::write(home.database(), &bytes).unwrap();
    (home, bytes)
}

fn set_aside(home: &Home) -> Vec<PathBuf> {
    let beside = fs::read_dir(home.database().parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let is_side = |name: &str| name.ends_with("-wal") || name.ends_with("-shm");
    beside.filter(|path| name(path).starts_with("keypool.db.corrupt-") && !is_side(&name(path))).collect()
}

#[test]
fn a_command_that_only_reads_leaves_a_broken_database_and_says_what_to_do() {
    let (home, bytes) = torn();
    for args in [
        &["keys"][..],
        &["keys", "--json"],
        &["usage"],
        &["usage", "--by", "tenant"],
        &["stats"],
        &["tenants"],
        &["health"],
        &["monitor", "--once"],
        &["import", "--history"],
    ] {
        let ended = home.run(args);
        assert!(ended.code == 1 || (args[0] == "health" && ended.code == 2), "{args:?}: {ended:?}");
        assert!(ended.err.contains("keypool.db is broken"), "{args:?}: {ended:?}");
        assert!(ended.err.contains("keypool db check"), "{args:?}: {ended:?}");
        assert!(set_aside(&home).is_empty(), "{args:?}");
        assert_eq!(fs::read(home.database()).unwrap(), bytes, "{args:?}");
    }
}

#[test]
fn a_command_that_writes_says_that_it_set_a_broken_database_aside() {
    for args in [&["add-key", "-", "--id", "new"][..], &["import", "-"], &["keys", "disable", "k1"]] {
        let (home, bytes) = torn();
        let ended = home.pipe(args, &secret(8));
        let aside = set_aside(&home);
        assert_eq!(aside.len(), 1, "{args:?}: {ended:?}");
        assert_eq!(fs::read(&aside[0]).unwrap(), bytes, "{args:?}");
        let name = aside[0].file_name().unwrap().to_str().unwrap();
        assert!(ended.err.contains(name) && ended.err.contains("broken"), "{args:?}: {ended:?}");
        assert_eq!(ended.code, if args[0] == "keys" { 2 } else { 0 }, "{args:?}: {ended:?}");
    }
}

#[test]
fn where_no_key_is_left_what_was_set_aside_is_named() {
    let (home, _) = torn();
    home.run(&["keys", "disable", "k1"]).bad(2, "k1");
    let name = set_aside(&home)[0].file_name().unwrap().to_str().unwrap().to_owned();
    home.run(&["serve", "--listen", "127.0.0.1:0"]).bad(2, &name);
    home.run(&["config", "check"]).bad(2, &name);
    let ended = home.run(&["keys"]);
    assert!(ended.code == 0 && ended.err.contains(&name), "{ended:?}");
    // Of one that was set aside long ago nobody hears while there are keys.
    home.add(1, "again", &[]);
    let ended = home.run(&["keys"]);
    assert!(ended.code == 0 && ended.err.is_empty(), "{ended:?}");
}

/// What SQLite itself finds nothing wrong with.
fn harmed(sql: &str) -> Home {
    let home = with_keys();
    let sim = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    sim.block_on(async {
        let sim = simulator(3).await;
        let running = home.serve(&sim, &[]);
        hello(&running).await;
        end(running).await;
    });
    let connection = Connection::open(home.database()).unwrap();
    connection.execute_batch(sql).unwrap();
    home
}

#[test]
fn a_table_that_is_missing_is_damage_too() {
    let home = harmed("DROP TABLE rests");
    home.run(&["keys"]).bad(1, "rests");
    home.run(&["db", "check"]).bad(1, "rests");
    let checked = home.command(&["config", "check"]).env("GEMINI_API_KEY", secret(9)).output().unwrap();
    let text = String::from_utf8_lossy(&checked.stdout);
    assert!(text.contains("note: ") && text.contains("rests"), "{text}");
    assert!(set_aside(&home).is_empty());
    // Requests are served all the same, by whatever key is left.
    serves_with_another(&home);
    assert_eq!(set_aside(&home).len(), 1);
}

/// It begins with the key of a variable, and serves.
fn serves_with_another(home: &Home) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sim = simulator(10).await;
        let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--upstream", &sim.url()]);
        command.env("GEMINI_API_KEY", secret(9));
        let running = crate::binary::Running::of(command);
        assert_eq!(hello(&running).await.status, 200);
        end(running).await;
    });
}

#[test]
fn what_the_board_holds_and_cannot_be_read_is_damage_too() {
    for sql in [
        "UPDATE board SET head = 'x'",
        "UPDATE board_holders SET record = 'x'",
        "UPDATE board_units SET record = 'x'",
        "UPDATE board_rosters SET units = 'x'",
    ] {
        let home = harmed(sql);
        let table = sql.split(' ').nth(1).unwrap();
        let connection = Connection::open(home.database()).unwrap();
        let rows: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        drop(connection);
        if rows == 0 {
            continue;
        }
        home.run(&["db", "check"]).bad(1, table);
        serves_with_another(&home);
        assert_eq!(set_aside(&home).len(), 1, "{sql}");
    }
}

#[test]
fn a_check_reads_the_json_of_each_table() {
    let home = harmed(
        "INSERT INTO windows VALUES ('', 'project', 0, '{bad', '{}', '[]'); UPDATE key_settings SET said = 'nope'; UPDATE board SET head = '[1'; \
         UPDATE run SET crashes = 'x'; INSERT INTO import_history VALUES (77, 1, '-', '', 1, 1, 0, 'x')",
    );
    let ended = home.run(&["db", "check"]);
    assert_eq!(ended.code, 1);
    for table in ["windows: ", "key_settings: ", "board: ", "run: ", "import_history: "] {
        assert!(ended.err.contains(table), "{table} {ended:?}");
    }
}

/// As versions made them that knew no settings, or no board.
#[test]
fn a_file_of_an_earlier_schema_is_looked_at_and_stays_as_it_is() {
    let home = Home::new();
    fs::create_dir_all(home.database().parent().unwrap()).unwrap();
    let connection = Connection::open(home.database()).unwrap();
    connection.execute_batch(include_str!("../../../../src/store/sqlite/migrations/0001_keys_and_use.sql")).unwrap();
    connection
        .execute_batch(include_str!("../../../../src/store/sqlite/migrations/0002_windows_and_rests.sql"))
        .unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let before = fs::read(home.database()).unwrap();
    for args in [&["config", "check"][..], &["keys"], &["usage"], &["stats"], &["tenants"], &["config", "show"]] {
        let out = home.command(args).env("GEMINI_API_KEY", secret(9)).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success() && !text.contains("no such table"), "{args:?}: {text}");
        assert_eq!(fs::read(home.database()).unwrap(), before, "{args:?}");
    }
}

/// What a full disk leaves: it takes so many blocks of a file, and no more.
#[cfg(target_os = "linux")]
fn on_a_full_disk(home: &Home, blocks: u32, args: &[&str]) -> crate::home::Ended {
    let mut command = std::process::Command::new("sh");
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    command.args(["-c", &limited]).arg(assert_cmd::cargo::cargo_bin("keypool")).args(args);
    command.current_dir(home.at("")).env_clear().env("HOME", home.at("")).env("XDG_STATE_HOME", home.at("state"));
    Home::ended(command, &secret(4))
}

/// The unit of systemd starts it again after 1, and not after 2: a full disk is nothing that somebody configured.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_at_the_start_is_no_wrong_configuration() {
    let home = Home::new();
    let keys = home.write("keys.txt", &secret(1));
    let serve = ["serve", "--keys", &keys, "--listen", "127.0.0.1:0", "--db", "full.db"];
    on_a_full_disk(&home, 0, &serve).bad(1, "full.db");
    on_a_full_disk(&home, 0, &["add-key", "-", "--db", "full.db"]).bad(1, "full.db");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_halves() {
    let home = with_keys();
    let ended = on_a_full_disk(&home, 70, &["db", "backup", "copy.db"]);
    assert!(ended.code == 1 && ended.err.contains("copy.db"), "{ended:?}");
    assert!(!home.at("copy.db").exists() && !home.at("copy.db-journal").exists(), "{ended:?}");
    // One that was there, and empty, stays.
    fs::write(home.at("mine.db"), "").unwrap();
    on_a_full_disk(&home, 70, &["db", "backup", "mine.db"]).bad(1, "mine.db");
    assert!(home.at("mine.db").exists());

    let home = with_keys();
    let key = home.database().with_file_name("keypool.db.key");
    fs::remove_file(&key).unwrap();
    let names = || {
        let beside = fs::read_dir(home.database().parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        beside.filter(|name| name.to_string_lossy().contains(".key")).collect::<Vec<_>>()
    };
    // What lies beside a journal is there already.
    let held = Connection::open(home.database()).unwrap();
    held.query_row("SELECT count(*) FROM api_keys", [], |_| Ok(())).unwrap();
    let ended = on_a_full_disk(&home, 0, &["add-key", "-"]);
    assert!(ended.code != 0 && ended.err.contains("keypool.db.key"), "{ended:?}");
    assert!(names().is_empty(), "{:?} {ended:?}", names());
}
