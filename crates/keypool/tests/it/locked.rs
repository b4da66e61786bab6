//! Secrets that are encrypted with a key which is not at hand: nothing goes on as if all were well.

use crate::home::{Home, end, hello, secret, servers, simulator, within_2s};

fn key_of(home: &Home) -> std::path::PathBuf {
    home.at("state/keypool/keypool.db.key")
}

/// With this for `KEYPOOL_SECRET_KEY`.
fn with_key(home: &Home, key: &str, args: &[&str], input: &str) -> crate::home::Ended {
    let mut command = home.command(args);
    command.env("KEYPOOL_SECRET_KEY", key);
    Home::ended(command, input)
}

#[test]
fn a_second_key_for_secrets_is_never_made() {
    let home = Home::new();
    home.add(0, "first", &[]);
    std::fs::rename(key_of(&home), home.at("elsewhere")).unwrap();
    // Neither beside the database, nor by another one that is given, nor for a file of keys.
    home.pipe(&["add-key", "-", "--id", "second"], &secret(1))
        .bad(2, "put it back from a copy, or set KEYPOOL_SECRET_KEY");
    let other = "5a".repeat(32);
    let add = ["add-key", "-", "--id", "second"];
    with_key(&home, &other, &add, &secret(1)).bad(2, "the stored secret of first cannot be decrypted");
    let file = home.write("more.txt", &format!("{}\n", secret(2)));
    home.run(&["import", &file]).bad(2, "the stored secret of first is encrypted");
    assert!(!key_of(&home).exists(), "a second key was made");
    assert_eq!(home.run(&["keys", "--json"]).json().as_array().unwrap().len(), 1);

    // Where the key is lost for good the secret is given again, in either way that is named.
    home.pipe(&["keys", "replace", "first", "-"], &secret(3)).good();
    assert!(key_of(&home).exists());
    home.add(1, "second", &[]);
    std::fs::remove_file(key_of(&home)).unwrap();
    home.run(&["keys", "remove", "first", "second"]).good();
    home.add(1, "second", &[]);
    // As it was made, with the file and the key that is given beside it, it opens all.
    with_key(&home, &other, &["add-key", "-", "--id", "third"], &secret(2)).good();
}

#[test]
fn checks_fail_where_secrets_cannot_be_decrypted() {
    let home = Home::new();
    home.add(0, "kept", &[]);
    home.write("key.txt", &format!("{}\n", secret(1)));
    assert!(home.run(&["config", "check"]).good().contains("all is well: 2 keys"));
    assert!(!home.run(&["db", "check"]).good().contains("not tried"));
    let file = std::fs::read_to_string(key_of(&home)).unwrap();
    let other = "5a".repeat(32);

    std::fs::write(key_of(&home), format!("{other}\n")).unwrap();
    home.run(&["config", "check"]).bad(2, "1 key in the database");
    home.run(&["db", "check"]).bad(1, "the stored secret of kept cannot be decrypted");
    std::fs::remove_file(key_of(&home)).unwrap();
    home.run(&["config", "check"]).bad(2, "1 key in the database");
    with_key(&home, &other, &["config", "check"], "").bad(2, "1 key in the database");
    with_key(&home, &file, &["config", "check"], "").good();
    with_key(&home, &other, &["db", "check"], "").bad(1, "the stored secret of kept cannot be decrypted");
    // As of a copy: what opens it lies elsewhere, and nobody may believe that it was found to open.
    assert!(home.run(&["db", "check"]).good().contains("not tried"));
    assert_eq!(home.run(&["db", "check", "--json"]).json()["untried_secrets"], 1);
}

#[test]
fn no_copy_is_made_where_the_key_beside_the_database_cannot_be_read() {
    let home = Home::new();
    home.add(0, "kept", &[]);
    let (copy, elsewhere) = (home.at("copy.db"), home.at("elsewhere"));
    std::fs::rename(key_of(&home), &elsewhere).unwrap();
    std::fs::create_dir(key_of(&home)).unwrap();
    let backup = ["db", "backup", copy.to_str().unwrap()];
    home.run(&backup).bad(2, "keypool.db.key");
    assert!(!copy.exists());
    std::fs::remove_dir(key_of(&home)).unwrap();
    std::fs::rename(&elsewhere, key_of(&home)).unwrap();
    home.run(&backup).good();
}

#[test]
fn a_database_that_is_cut_off_is_not_whole() {
    let home = Home::new();
    home.add(0, "kept", &[]);
    let side = home.at("state/keypool/keypool.db-wal");
    std::fs::write(home.database(), "").unwrap();
    let journal = std::fs::read(&side).ok();
    home.run(&["db", "check"]).bad(1, "is empty");
    home.run(&["db", "backup", "copy.db"]).bad(1, "is empty");
    assert_eq!(std::fs::read(&side).ok(), journal, "what is left of it is not touched");
}

#[test]
fn secrets_are_encrypted_anew_all_or_none() {
    let home = Home::new();
    home.run(&["db", "rekey"]).bad(2, "there is no database");
    home.add(0, "beside", &[]);
    let (old, new) = ("5a".repeat(32), "6b".repeat(32));
    let both = format!("{new},{old}");
    with_key(&home, &old, &["add-key", "-", "--id", "given"], &secret(1)).good();
    home.pipe(&["add-key", "-", "--id", "plain", "--plain"], &secret(2)).good();

    // One of them does not open.
    let file = home.at("elsewhere");
    std::fs::rename(key_of(&home), &file).unwrap();
    with_key(&home, &both, &["db", "rekey"], "").bad(1, "nothing was changed: the stored secret of beside");
    let check = |key: &str, args: &[&str]| with_key(&home, key, args, "");
    check(&new, &["db", "rekey", "--json"]).bad(1, "nothing was changed");
    std::fs::rename(&file, key_of(&home)).unwrap();
    check(&old, &["db", "check"]).good();

    // Each opens, the first encrypts: what a command adds, too.
    with_key(&home, &both, &["add-key", "-", "--id", "later"], &secret(3)).good();
    let told = check(&both, &["db", "rekey", "--json"]).json();
    assert_eq!((&told["encrypted_anew"], &told["already"]), (&2.into(), &1.into()), "{told}");
    let again = check(&new, &["db", "rekey"]).good();
    assert!(again.contains("the first key opens all") && again.contains("3 secrets"), "{again}");
    std::fs::remove_file(key_of(&home)).unwrap();
    check(&new, &["db", "check"]).good();
    check(&old, &["db", "check"]).bad(1, "cannot be decrypted");
    assert!(check(&new, &["config", "check"]).good().contains("all is well: 4 keys"));
    // Put in the other order, the old one encrypts again: whoever does that reads which key must stay.
    let order = |keys: &str| check(keys, &["db", "rekey"]).good();
    assert!(order(&format!("{new},{old}")).contains("the first of the 2 keys opens all of it, and must stay"));
    let turned = order(&format!("{old},{new}"));
    assert!(turned.contains("3 secrets") && turned.contains("Put the new one in front"), "{turned}");
    assert!(order(&both).contains("3 secrets") && !order(&new).contains("must stay"));
    check(&format!("{new},short"), &["db", "rekey"]).bad(2, "key 2 of 2 in it is not 32 bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_goes_on_with_secrets_that_are_encrypted_anew() {
    let (home, sim) = (Home::new(), simulator(3).await);
    home.add(0, "one", &[]);
    home.add(1, "two", &[]);
    let running = home.serve(&sim, &[]);
    within_2s(&running, &["one", "two"]).await;
    // It never hears of the new key.
    let old = std::fs::read_to_string(key_of(&home)).unwrap();
    let new = "6b".repeat(32);
    with_key(&home, &format!("{new}\n{old}"), &["db", "rekey"], "").good();
    with_key(&home, &new, &["keys", "disable", "two"], "").good();
    within_2s(&running, &["one"]).await;
    with_key(&home, &new, &["keys", "enable", "two"], "").good();
    within_2s(&running, &["one", "two"]).await;
    let told = end(running).await;
    assert!(told.contains("this process goes on with it until it ends"), "{told}");

    // The file may hold both as well.
    std::fs::write(key_of(&home), format!("{new}\n{old}")).unwrap();
    let running = home.serve(&sim, &[]);
    assert_eq!(hello(&running).await.status, 200);
    assert_eq!(servers(&running, 6).await, ["one", "two"]);
    end(running).await;
}

#[test]
fn that_a_process_works_on_it_alone_is_no_fault_of_the_configuration() {
    let home = Home::new();
    home.add(0, "kept", &[]);
    let lock = std::fs::File::create(home.at("state/keypool/keypool.db.lock")).unwrap();
    lock.lock().unwrap();
    let ended = home.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(!ended.err.contains("configuration") && ended.err.contains("keypool.db alone: end it"), "{ended:?}");
    ended.bad(1, "a process works on");
}

/// Whoever goes by the link and whoever goes by the file have one lock, one key for secrets, and one copy.
#[cfg(unix)]
#[test]
fn what_belongs_to_a_database_lies_beside_the_file_that_a_link_leads_to() {
    let home = Home::new();
    std::fs::create_dir(home.at("real")).unwrap();
    // A link to a link to what is not there yet.
    std::os::unix::fs::symlink("real/pool.db", home.at("near.db")).unwrap();
    std::os::unix::fs::symlink(home.at("near.db"), home.at("link.db")).unwrap();
    home.add(0, "first", &["--db", "link.db"]);
    let beside = |folder: &str| {
        let entries = std::fs::read_dir(home.at(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.contains(".db"));
        names.sort();
        names
    };
    assert_eq!(beside(""), ["link.db", "near.db"]);
    assert!(beside("real").contains(&"pool.db.key".to_owned()), "{:?}", beside("real"));
    home.add(1, "second", &["--db", "real/pool.db"]);
    for path in ["link.db", "near.db", "real/pool.db"] {
        assert_eq!(home.run(&["keys", "--json", "--db", path]).json().as_array().unwrap().len(), 2, "{path}");
        assert!(home.run(&["db", "check", "--db", path]).good().contains("is whole"), "{path}");
    }
    assert_eq!(beside(""), ["link.db", "near.db"]);
    // One that leads nowhere is told by what it leads to.
    std::os::unix::fs::symlink("round.db", home.at("round.db")).unwrap();
    home.run(&["keys", "--db", "round.db"]).bad(2, "round.db");
}

/// One of the two would be taken, and nobody would know which.
#[test]
fn a_secret_that_is_given_twice_is_given_alike() {
    let home = Home::new();
    let (one, other) = ("5a".repeat(32), "a5".repeat(32));
    for (name, path) in [("one", &one), ("other", &other)] {
        home.write(name, &format!("{path}\n"));
    }
    let add = |file: &str| {
        let mut command = home.command(&["add-key", "-", "--id", file]);
        command.env("KEYPOOL_SECRET_KEY", &one).env("KEYPOOL_SECRET_KEY_FILE", file);
        Home::ended(command, &secret(0))
    };
    let differ = add("other");
    assert!(!differ.err.contains(&one) && !differ.err.contains(&other), "{differ:?}");
    differ.bad(2, "env KEYPOOL_SECRET_KEY_FILE: expected only one of KEYPOOL_SECRET_KEY and KEYPOOL_SECRET_KEY_FILE");
    add("nowhere").bad(2, "env KEYPOOL_SECRET_KEY_FILE: nowhere cannot be read");
    add("one").good();
    let serve = |variables: &[(&str, &str)]| {
        let mut command = home.command(&["config", "check"]);
        command.env("KEYPOOL_SECRET_KEY", &one).envs(variables.iter().copied());
        Home::ended(command, "")
    };
    for name in ["KEYPOOL_TOKEN", "PLACEHOLDER_TOKEN", "KEYPOOL_ADMIN_TOKEN", "KEYPOOL_REDIS_PASSWORD"] {
        let file = format!("{name}_FILE");
        let both = |file_says: &'static str| serve(&[(name, &*one), (&file, file_says)]);
        both("other").bad(2, &format!("expected only one of {name} and {file}"));
        both("one").good();
    }
}
