//! Commands that manage keys: what they take, what they say, how they end.

use serde_json::json;

use crate::{
    binary::run,
    home::{Home, end, hello, secret, simulator, within_2s},
};

#[tokio::test(flavor = "multi_thread")]
async fn add_key_then_serve_works_with_no_other_flag() {
    let (home, sim) = (Home::new(), simulator(1).await);
    let said = home.pipe(&["add-key", "--id", "work", "--tier", "free", "--weight", "1.5"], &secret(0)).good();
    assert!(said.contains("added work") && said.contains("keypool.db.key"), "{said}");
    let running = home.serve(&sim, &[]);
    assert!(running.told.contains("1 key: 1 from database"), "{}", running.told);
    assert_eq!(hello(&running).await.header("x-keypool-key"), "work");
    end(running).await;

    let files = std::fs::read_dir(home.at("state/keypool")).unwrap().map(|entry| entry.unwrap());
    for file in files {
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600, "{file:?}");
        }
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(20).any(|window| window == &secret(0).as_bytes()[10..30]), "{file:?} holds it");
    }
    // The copy of a database opens nowhere else.
    let copy = Home::new();
    let backup = copy.at("copy.db");
    home.run(&["db", "backup", backup.to_str().unwrap()]).good();
    copy.run(&["serve", "--db", backup.to_str().unwrap()]).bad(2, "there is no API key to serve");
}

#[test]
fn a_key_comes_from_stdin_an_argument_a_variable_or_a_file() {
    let home = Home::new();
    let ended = home.run(&["add-key", &secret(0), "--id", "typed"]);
    assert!(ended.err.contains("shell's history"), "{ended:?}");
    ended.good();
    let piped = home.pipe(&["add-key", "-", "--json"], &format!("  {}\r\n", secret(1))).json();
    assert_eq!((&piped["added"], &piped["secret_key_file"]), (&json!(true), &json!(null)));
    let ended = home.command(&["add-key", "--env", "WORK_KEY", "--id", "named"]).env("WORK_KEY", secret(2)).output();
    assert!(ended.unwrap().status.success());
    let path = home.write("secret.txt", &secret(3));
    home.run(&["add-key", "--file", &path, "--id", "filed"]).good();
    home.pipe(&["add-key", "--plain", "--id", "bare"], &secret(4)).good();

    assert_eq!(home.key("typed")["secret"], "encrypted");
    assert_eq!(home.key("named")["secret"], "env:WORK_KEY");
    assert_eq!(home.key("filed")["secret"], format!("file:{path}"));
    assert_eq!(home.key("bare")["secret"], "plain");
    let again = home.pipe(&["add-key", "--json", "--id", "other"], &secret(0)).json();
    assert_eq!((&again["added"], &again["id"]), (&json!(false), &json!("typed")));
}

/// On a terminal a secret is asked for; what is typed is not shown, and the terminal is as before.
#[cfg(unix)]
#[test]
fn a_secret_is_typed_and_not_shown() {
    let home = Home::new();
    for (args, n) in [(&["add-key", "--id", "one"][..], 0), (&["keys", "replace", "one"], 1)] {
        let mut terminal = crate::watching::OnTerminal::of(&home, args);
        terminal.until("API key (it is not shown): ");
        assert!(!terminal.is_cooked(), "it would be shown");
        terminal.send(format!("{}\n", secret(n)).as_bytes());
        // No secret in what it wrote: the end looks for them.
        let (code, text) = terminal.end();
        assert_eq!(code, Some(0), "{text:?}");
        assert!(!text.contains("warning"), "{text:?}");
    }
    let file = home.write("keys.txt", &format!("{}\n", secret(1)));
    assert_eq!(home.run(&["import", &file, "--json"]).json()["added"], 0, "it is that key from then on");
}

/// Ctrl-D where a secret is asked for.
#[cfg(unix)]
#[test]
fn whoever_types_no_secret_is_told() {
    let home = Home::new();
    for typed in [&b"\x04"[..], b"\n", b"  \n"] {
        let mut terminal = crate::watching::OnTerminal::of(&home, &["add-key"]);
        terminal.until("API key (it is not shown): ");
        terminal.until_cooked(false);
        terminal.send(typed);
        let (code, text) = terminal.end();
        assert!(code == Some(2) && text.contains("nothing was typed"), "{typed:?}: {code:?} {text:?}");
    }
}

#[test]
fn what_is_no_key_or_cannot_be_is_refused_and_never_printed() {
    let home = Home::new();
    home.pipe(&["add-key"], "short").bad(2, "fewer than any provider's");
    home.pipe(&["add-key"], "PLACEHOLDER_GEMINI_TOKEN").bad(2, "token that clients send");
    home.pipe(&["add-key"], "").bad(2, "no key on standard input");
    home.pipe(&["add-key"], &format!("{}\n{}\n", secret(0), secret(1))).bad(2, "keypool import -");
    home.pipe(&["add-key", "--id", &secret(0)], &secret(0)).bad(2, "--id: expected 1 to 64 visible characters");
    home.pipe(&["add-key", "--weight", "-1"], &secret(0)).bad(2, "--weight");
    home.pipe(&["add-key", "--weight=-1"], &secret(0)).bad(2, "--weight: expected a number above 0");
    home.pipe(&["add-key", "--model", "m"], &secret(0)).bad(2, "--model goes with");
    home.pipe(&["add-key", "--db", "none"], &secret(0)).bad(1, "--db");
    home.run(&["add-key", "--env", "NO_SUCH_VARIABLE"]).bad(2, "NO_SUCH_VARIABLE is not set");
    home.run(&["add-key", "--env", &secret(0)]).bad(2, "not shown");
    home.run(&["keys"]).bad(2, "keypool add-key");
    home.add(0, "one", &[]);
    home.pipe(&["add-key", "--id", "one"], &secret(1)).bad(2, "another key is called one");
    // A name that is another key.
    let name = secret(0).replace("AIza", "BIza");
    home.pipe(&["add-key", "--id", "two"], &name).good();
    home.pipe(&["add-key", "--owner", &name], &secret(2)).bad(2, "all of these are shown");
    home.run(&["keys", "disable", "nobody"]).bad(2, "no key is called nobody");
    home.run(&["keys", "disable", &secret(5)]).bad(2, "no such key");
    home.run(&["keys", "disable", "one", "--reason", &secret(5)]).bad(2, "--reason");
    home.run(&["keys", "disable", "one", "nobody"]).bad(2, "nobody");
    assert_eq!(home.key("one")["state"], "usable", "all or none");
    home.run(&["keys", "set", "one"]).bad(2, "--weight");
    home.run(&["keys", "set", "one", "--unset", "colour"]).bad(2, "--unset: expected");
    home.run(&["import", &secret(7)]).bad(2, "not shown");
    home.run(&["add-key", &secret(7), &secret(8)]).bad(2, "unexpected argument '***'");
    home.run(&["usage", &format!("--by={}", secret(8))]).bad(2, "invalid value '***'");
    let wrong = home.command(&["add-key", &secret(3)]).env("KEYPOOL_SECRET_KEY", "password").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn commands_at_once_on_a_new_database_are_all_done() {
    let home = Home::new();
    let adding = (0..8).map(|n| {
        let mut command = home.command(&["add-key", &secret(n)]);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    });
    for child in adding.collect::<Vec<_>>() {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(home.run(&["keys", "--json"]).json().as_array().unwrap().len(), 8);
    // What opens them is one key.
    let told = home.run(&["serve", "--listen", "192.0.2.1:1"]);
    assert!(told.code != 0 && !told.err.contains("decrypted"), "{told:?}");
}

#[test]
fn keys_are_listed_set_disabled_enabled_replaced_and_removed() {
    let home = Home::new();
    home.add(0, "one", &["--tier", "paid", "--owner", "project-a", "--source", "vault", "--label", "team:x"]);
    home.add(1, "two", &["--rpm", "10", "--rpd", "250"]);
    let one = home.key("one");
    assert_eq!(one["priority"], 10, "as any paid key");
    assert_eq!(
        (&one["owner"], &one["source"], &one["state"]),
        (&json!("project-a"), &json!("vault"), &json!("usable"))
    );
    assert_eq!(home.key("two")["limits"], json!({ "*": ["10 requests/minute", "250 requests/day"] }));

    home.run(&["keys", "set", "one", "two", "--weight", "2.5", "--priority", "3"]).good();
    home.run(&["keys", "set", "two", "--rpm", "20", "--model", "gemini-2.5-pro"]).good();
    home.run(&["keys", "set", "two", "--tpm", "1000", "--owner", "me"]).good();
    let two = home.key("two");
    assert_eq!((&two["weight"], &two["priority"], &two["owner"]), (&json!(2.5), &json!(3), &json!("me")));
    let expected = json!({ "*": ["10 requests/minute", "250 requests/day", "1000 input tokens/minute"],
        "gemini-2.5-pro": ["20 requests/minute"] });
    assert_eq!(two["limits"], expected);
    home.run(&["keys", "set", "two", "--unset", "limits,weight", "--priority", "4"]).good();
    assert_eq!((&home.key("two")["limits"], &home.key("two")["priority"]), (&json!(null), &json!(4)));

    let told = home.run(&["keys", "disable", "two", "--reason", "\u{1b}[31mtoo dear\nreally"]).good();
    assert_eq!(told, "two is disabled\n");
    let table = home.run(&["keys"]).good();
    assert!(table.contains("disabled: \\u{1b}[31mtoo dear\\u{a}really") && !table.contains('\u{1b}'), "{table}");
    assert_eq!(home.key("two")["state"], "disabled");
    home.run(&["keys", "enable", "two"]).good();
    assert_eq!(home.key("two")["state"], "usable");

    home.run(&["keys", "disable", "one"]).good();
    let replaced = home.pipe(&["keys", "replace", "one", "--json"], &secret(2)).json();
    assert_eq!(replaced, json!([{ "id": "one", "change": "replaced" }]));
    let one = home.key("one");
    assert_eq!((&one["state"], &one["weight"], &one["owner"]), (&json!("disabled"), &json!(2.5), &json!("project-a")));
    home.pipe(&["keys", "replace", "one"], &secret(1)).bad(2, "is the key two already");

    home.run(&["keys", "remove", "one", "two"]).good();
    assert_eq!(home.run(&["keys", "--json"]).json(), json!([]));
    assert_eq!(
        home.run(&["keys", "--json", "--all"]).json().as_array().unwrap().len(),
        2,
        "they are remembered, once each"
    );
    home.add(1, "one", &[]);
    assert_eq!(home.key("one")["state"], "usable");
    // By the secret itself, which is not printed.
    assert_eq!(home.run(&["keys", "disable", &secret(1)]).good(), "one is disabled\n");
}

#[test]
fn what_was_removed_is_called_so() {
    let home = Home::new();
    home.add(0, "one", &[]);
    home.run(&["keys", "remove", "one"]).good();
    for again in [&["keys", "remove", "one"][..], &["keys", "replace", "one", "-"]] {
        let ended = home.pipe(again, &secret(1));
        assert!(!ended.err.contains("in a file or a variable"), "{ended:?}");
        ended.bad(2, "one was removed: `keypool add-key` adds it again");
    }
    assert_eq!((&home.key("one")["state"], &home.key("one")["secret"]), (&json!("removed"), &json!("removed")));
    let ended = home.run(&["import", "nofile.txt"]);
    assert!(!ended.err.contains("--keys"), "{ended:?}");
    ended.bad(2, "nofile.txt: No such file or directory");
}

#[test]
fn imports_are_counted_named_by_line_and_remembered() {
    let home = Home::new();
    home.add(0, "zero", &[]);
    let lines = format!(
        "# from mail\n{} id=one rpm=10 source=own\n{}\nshort\n\n{}\n{} id=zero\n",
        secret(1),
        secret(0),
        secret(1),
        secret(2)
    );
    let path = home.write("keys.txt", &lines);
    let ended = home.run(&["import", &path, "--source", "mail"]);
    let said = ended.good();
    assert!(said.contains("1 key added") && said.contains("2 there already, 2 rejected"), "{said}");
    assert!(said.contains("line 4: the key has 5 characters") && said.contains("line 7: its id"), "{said}");
    assert_eq!(home.key("one")["source"], "own");

    let table = format!("key;id\n{};three\n{};four\n", secret(3), secret(4));
    let told = home.pipe(&["import", "-", "--source", "web", "--json"], &table).json();
    assert_eq!((&told["added"], &told["from"], &told["rejected"]), (&json!(2), &json!("-"), &json!([])));
    let list = json!([secret(5), { "key": secret(6), "id": "six", "weight": 2 }]).to_string();
    assert_eq!(home.pipe(&["import", "-", "--source", "web", "--json"], &list).json()["added"], 2);
    assert_eq!((&home.key("three")["source"], &home.key("six")["weight"]), (&json!("web"), &json!(2.0)));

    home.pipe(&["import", "-"], "short\n").bad(2, "no usable key");
    home.run(&["import", "/nowhere/keys.txt"]).bad(2, "/nowhere/keys.txt");
    home.run(&["import"]).bad(2, "FILE");

    let history = home.run(&["import", "--history", "--json"]).json();
    let history = history.as_array().unwrap();
    assert_eq!(history.len(), 4);
    let first = &history[0];
    assert_eq!((&first["from"], &first["source"]), (&json!(path), &json!("mail")));
    assert_eq!((&first["lines"], &first["added"], &first["duplicate"]), (&json!(6), &json!(1), &json!(2)));
    assert_eq!((&first["rejected"][0]["line"], &first["rejected"][1]["line"]), (&json!(4), &json!(7)));
    let table = home.run(&["import", "--history"]).good();
    assert!(table.contains("mail") && table.contains("7: its id is that of another"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_told_by_kind_in_csv_too() {
    let (home, sim) = (Home::new(), crate::serving::one_suspended().await);
    for (id, secret) in [("one", crate::serving::ONE), ("two", crate::serving::TWO)] {
        home.pipe(&["add-key", "-", "--id", id], secret).good();
    }
    let running = home.serve(&sim, &["--db", home.database().to_str().unwrap()]);
    for _ in 0..2 {
        assert_eq!(hello(&running).await.status, 200);
    }
    end(running).await;
    let csv = home.run(&["usage", "--by", "model", "--csv"]).good();
    assert!(csv.lines().any(|line| line.contains(",gemini-2.5-flash,3,") && line.contains(",1,1 suspended,")), "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_stats_and_health_tell_what_was_used_and_who_is_out() {
    let home = Home::new();
    home.run(&["usage"]).bad(2, "there is no database");
    home.run(&["health"]).bad(2, "there is no database");
    let sim = simulator(3).await;
    home.add(0, "one", &["--rpd", "2"]);
    home.add(1, "two", &["--priority", "5"]);
    home.add(2, "three", &["--priority", "9"]);
    home.run(&["health"]).good();
    let running = home.serve(&sim, &["--db", home.database().to_str().unwrap()]);
    for n in 0..5 {
        assert_eq!(hello(&running).await.header("x-keypool-key"), if n < 2 { "one" } else { "two" });
    }
    home.run(&["keys", "disable", "three", "--reason", "spare"]).good();
    // What runs says of itself every few seconds; at first when it begins.
    let stats = home.run(&["stats", "--json"]).json();
    let process = &stats["processes"][0];
    assert!(process["spills"].is_u64() && process["pool_bytes"].as_u64() > Some(1_000), "{stats}");
    let table = home.run(&["stats"]).good();
    assert!(table.contains("memory") && table.contains("spills") && table.contains(" MiB"), "{table}");
    end(running).await;

    let usage = home.run(&["usage", "--json"]).json();
    assert_eq!((&usage["by"], &usage["total"]["requests"]), (&json!("key"), &json!(5)));
    assert_eq!((&usage["rows"][0]["key"], &usage["rows"][0]["requests"]), (&json!("one"), &json!(2)));
    assert!(usage["total"]["output_tokens"].as_u64().unwrap() > 0, "{usage}");
    let out = usage["out_for_today"].as_array().unwrap();
    assert_eq!((&out[0]["key"], &out[0]["model"]), (&json!("one"), &json!("gemini-2.5-flash")), "{out:?}");
    assert_eq!((&out[1]["key"], &out[1]["why"]), (&json!("three"), &json!("disabled: spare")), "{out:?}");
    let by_model = home.run(&["usage", "--by", "model", "--csv"]).good();
    let lines: Vec<&str> = by_model.lines().collect();
    assert_eq!(lines[0], "day,model,requests,input_tokens,output_tokens,errors,errors_by_kind,out_for_today");
    let [all, flash] = lines[1..] else { panic!("{by_model}") };
    assert!(all.ends_with(",all models,0,0,0,0,,three: disabled: spare"), "{by_model}");
    assert!(flash.contains(",gemini-2.5-flash,5,") && flash.ends_with(",one: 2 of 2 requests/day"), "{by_model}");
    let by_key = home.run(&["usage", "--csv"]).good();
    assert!(by_key.contains(",three,0,0,0,0,,all models: disabled: spare"), "{by_key}");
    let table = home.run(&["usage"]).good();
    assert!(table.contains("one for gemini-2.5-flash: 2 of 2 requests/day"), "{table}");
    let day = usage["day"].as_str().unwrap();
    assert_eq!(home.run(&["usage", "--day", day, "--json"]).json(), usage);
    assert!(home.run(&["usage", "--day", "yesterday"]).good().contains("nothing was used"));
    assert_eq!(home.run(&["usage", "--day", "2020-01-01", "--json"]).json()["out_for_today"], json!(null));
    home.run(&["usage", "--day", "2020-02-30"]).bad(2, "yesterday");

    let stats = home.run(&["stats", "--json"]).json();
    assert_eq!((&stats["total"]["requests"], &stats["keys"]["two"]["requests"]), (&json!(5), &json!(3)));
    assert_eq!(stats["states"], json!({ "usable": 1, "out for today": 1, "disabled": 1 }));
    let table = home.run(&["stats"]).good();
    assert!(table.contains("60.0 %") && table.contains("no gateway runs"), "{table}");
    assert_eq!(stats["processes"], json!([]));
    let health = home.run(&["health", "--json"]);
    assert_eq!((health.code, health.out.contains("\"degraded\"")), (1, true), "{health:?}");
    home.run(&["keys", "disable", "two"]).good();
    home.run(&["health"]).bad(2, "no key is usable");
}

/// A zone where it is another day than in Los Angeles now, and which day it is there.
fn elsewhere() -> (&'static str, String) {
    let now = jiff::Timestamp::try_from(tower_keypool::Clock::system().wall()).unwrap();
    let date = |zone: &str| now.in_tz(zone).unwrap().date().to_string();
    let zones = ["Pacific/Kiritimati", "Etc/GMT+12"];
    let other = zones.into_iter().find(|zone| date(zone) != date("America/Los_Angeles")).unwrap();
    (other, date(other))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_day_ends_in_its_own_zone() {
    // Once more, should a day end meanwhile.
    let (home, there, usage) = loop {
        let (home, sim) = (Home::new(), simulator(2).await);
        let (zone, there) = elsewhere();
        home.add(0, "far", &["--zone", zone, "--rpd", "2"]);
        home.add(1, "near", &["--priority", "5"]);
        let running = home.serve(&sim, &["--db", home.database().to_str().unwrap()]);
        for _ in 0..5 {
            assert_eq!(hello(&running).await.status, 200);
        }
        end(running).await;
        let usage = home.run(&["usage", "--json"]).json();
        if elsewhere() == (zone, there.clone()) {
            break (home, there, usage);
        }
    };
    let here = usage["day"].as_str().unwrap();
    assert_ne!(here, there);
    let rows: Vec<_> = usage["rows"].as_array().unwrap().iter().map(|row| (&row["key"], &row["day"])).collect();
    let (far, near) = ((json!("far"), json!(there)), (json!("near"), json!(here)));
    assert!(rows.len() == 2 && rows.contains(&(&far.0, &far.1)) && rows.contains(&(&near.0, &near.1)), "{usage:#}");
    assert_eq!((&usage["total"]["requests"], &usage["out_for_today"][0]["key"]), (&json!(5), &json!("far")));
    let table = home.run(&["usage"]).good();
    assert!(table.contains(&format!("far ({there})")) && table.contains("far for gemini-2.5-flash: 2 of 2"), "{table}");
    assert!(home.run(&["usage", "--csv"]).good().contains(&format!("{there},far,2,")));
    assert_eq!(home.run(&["usage", "--day", &there, "--json"]).json()["total"]["requests"], 2);
    assert_eq!((home.key("far")["used_today"].clone(), &home.key("far")["state"]), (json!(2), &json!("out_for_today")));
    assert_eq!(home.run(&["stats", "--json"]).json()["keys"]["far"]["requests_today"], 2);
}

#[test]
fn a_key_goes_by_the_name_and_weight_that_a_file_gives_it() {
    let home = Home::new();
    home.add(0, "kept", &["--weight", "5", "--owner", "project-a"]);
    home.write("key.txt", &format!("{} id=filed weight=2\n", secret(0)));
    let key = home.key("filed");
    assert_eq!((&key["weight"], &key["owner"]), (&json!(2.0), &json!("project-a")), "{key}");
    assert_eq!(home.run(&["keys", "--json"]).json().as_array().unwrap().len(), 1);
    home.run(&["keys", "disable", "filed", "--reason", "spare"]).good();
    assert_eq!(home.key("filed")["reason"], "spare");
    home.run(&["keys", "enable", "kept"]).good();
    assert_eq!(home.key("filed")["state"], "usable");
}

/// It would be sent to the provider, who may log it.
#[test]
fn what_opens_the_gateway_is_kept_as_no_key() {
    let home = Home::new();
    home.add(0, "work", &[]);
    let tokens = ["the-token-that-clients-send", "the-token-that-ci-sends", "the-token-of-a-variable"];
    let tenant = format!("[[tenants]]\nname = 'ci'\ntoken = '{}'\n", tokens[1]);
    home.write("keypool.toml", &format!("[gateway]\ntoken = '{}'\n{tenant}", tokens[0]));
    let run = |args: &[&str], text: &str| {
        let mut command = home.command(args);
        if text.contains(tokens[2]) {
            command.env("KEYPOOL_TOKEN", tokens[2]);
        }
        Home::ended(command, text)
    };
    for token in tokens {
        run(&["add-key", "-"], token).bad(2, "the token that clients send");
        run(&["keys", "replace", "work", "-"], token).bad(2, "the token that clients send");
        run(&["import", "-"], token).bad(2, "no usable key");
    }
    assert_eq!(home.run(&["keys", "--json"]).json().as_array().unwrap().len(), 1);
    // Of a file with an error in it nobody knows what clients send.
    home.write("keypool.toml", &format!("[gateway]\nwiat = 3\ntoken = '{}'\n{tenant}", tokens[0]));
    for args in [&["add-key", "-"][..], &["keys", "replace", "work", "-"], &["import", "-"]] {
        let ended = run(args, &crate::home::secret(3 + args.len()));
        assert!(ended.code == 0 && ended.err.contains("not known whether"), "{args:?}: {ended:?}");
        assert!(ended.err.contains("keypool config check"), "{ended:?}");
    }
}

#[test]
fn the_databases_keys_are_among_the_configurations() {
    let home = Home::new();
    home.run(&["config", "check"]).bad(2, "there is no API key");
    let shown = home.run(&["config", "show", "--json"]).json();
    assert_eq!(shown["database"]["why"], "it is not there yet");
    home.add(0, "kept", &["--tier", "paid", "--rpm", "7", "--weight", "2"]);
    home.add(1, "off", &[]);
    home.run(&["keys", "disable", "off", "--reason", "spare"]).good();
    home.write("key.txt", &format!("{} owner=project-a\n", secret(0)));
    assert_eq!(home.run(&["config", "check"]).good(), "all is well: 2 keys: 2 from database, 1 from key.txt\n");
    let shown = home.run(&["config", "show", "--json"]).json();
    assert_eq!((&shown["database"]["keys"], shown["keys"].as_array().unwrap().len()), (&json!(2), 2));
    let (kept, off) = (&shown["keys"][0], &shown["keys"][1]);
    assert_eq!(kept["origins"], json!(["key.txt:1", "database"]));
    assert_eq!(
        (&kept["id"], &kept["owner"]),
        (&json!("kept"), &json!("project-a")),
        "what the file leaves open is kept's"
    );
    assert_eq!((&kept["weight"], &kept["limits"]), (&json!(2.0), &json!({ "*": ["7 requests/minute"] })));
    assert_eq!((&off["disabled"], &off["origins"]), (&json!("spare"), &json!(["database"])));
    let text = home.run(&["config", "show"]).good();
    assert!(text.contains("kept: paid, priority 10, weight 2, owner project-a, *: 7 requests/minute, from key.txt:1"));
    std::fs::remove_file(home.at("key.txt")).unwrap();
    std::fs::rename(home.at("state/keypool/keypool.db.key"), home.at("elsewhere")).unwrap();
    home.run(&["config", "check"]).bad(2, "kept is encrypted");
    home.run(&["config", "show"]).good();
    assert!(!home.at("state/keypool/keypool.db.key").exists(), "nothing is made");
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let (code, text) = run(&["completions", "bash"]);
    assert!(code == 0 && text.contains("add-key"), "{text}");
    let (code, text) = run(&["man"]);
    assert!(code == 0 && text.contains(".TH KEYPOOL 1"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", "--dir", folder.path().to_str().unwrap()]).0, 0);
    assert!(folder.path().join("keypool-add-key.1").exists());
}

#[test]
fn the_readmes_commands_work_in_their_order() {
    let readme = include_str!("../../../../README.md").split("### Manage keys").nth(1).unwrap();
    let block = readme.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let (home, mut ran) = (Home::new(), 0);
    home.write("keys.txt", &format!("{}\n{} id=two\n", secret(11), secret(12)));
    let path = std::path::Path::new(&assert_cmd::cargo::cargo_bin("keypool")).parent().unwrap().to_owned();
    for line in block.lines() {
        let line = line.strip_prefix("$ ").unwrap();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", line]).env_clear().current_dir(home.at(""));
        shell.env("HOME", home.at("")).env("XDG_STATE_HOME", home.at("state"));
        shell.env("PATH", format!("{}:/usr/bin:/bin", path.display()));
        Home::ended(shell, &secret(ran)).good();
        ran += 1;
    }
    assert!(ran >= 10);
    assert_eq!(home.run(&["keys", "--json"]).json().as_array().unwrap().len(), 2, "those of the file are left");
}

#[test]
fn every_command_shows_examples_and_exit_codes() {
    for command in ["add-key", "import", "keys", "usage", "stats", "health"] {
        let (code, text) = run(&[command, "--help"]);
        assert!(code == 0 && text.contains("Examples:") && text.contains("Exit codes: 0"), "{command}: {text}");
        assert!(text.contains("--json") || command == "keys", "{command}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_file_and_another_secret_key_are_followed() {
    let (home, sim) = (Home::new(), simulator(3).await);
    let path = home.write("secret.txt", &secret(0));
    home.run(&["add-key", "--file", &path, "--id", "filed"]).good();
    // Kept with the file beside it, and from here on with the key that is given.
    home.add(1, "beside", &["--priority", "1"]);
    let given = "5a".repeat(32);
    let mut add = home.command(&["add-key", &secret(2), "--id", "given", "--priority", "2"]);
    assert!(add.env("KEYPOOL_SECRET_KEY", &given).output().unwrap().status.success());
    let url = sim.url();
    let args = ["serve", "--listen", "127.0.0.1:0", "--upstream", &url, "--wait", "0"];
    let running = crate::binary::Running::spawn(home.command(&args).env("KEYPOOL_SECRET_KEY", &given));
    assert!(running.told.contains("3 keys: 3 from database"), "{}", running.told);
    assert_eq!(hello(&running).await.header("x-keypool-key"), "filed");
    let before = sim.report().projects[1].tally.accepted;
    // Before the file has its secret: then two keys would be called by that file's name.
    home.run(&["keys", "remove", "beside"]).good();
    home.write("secret.txt", &secret(1));
    within_2s(&running, &["filed"]).await;
    while sim.report().projects[1].tally.accepted == before {
        within_2s(&running, &["filed"]).await;
    }
    let told = end(running).await;
    assert!(!told.contains(&given), "{told}");
}

#[test]
fn an_exit_is_shown_and_is_no_key() {
    let home = Home::new();
    let same = secret(0);
    home.pipe(&["add-key", "-", "--exit", &same], &same).bad(2, "--exit");
    home.pipe(&["add-key", "-", "--exit", &same[4..30]], &same).bad(2, "--exit");
    let hidden = secret(1).replace("AIza", "BIza");
    home.pipe(&["add-key", "--id", "one"], &hidden).good();
    home.add(2, "two", &[]);
    let ended = home.run(&["keys", "set", "two", "--exit", &hidden]);
    assert!(!ended.err.contains(&hidden), "{ended:?}");
    ended.bad(2, "all of these are shown");
    let file = home.write("more.txt", &format!("{} id=three exit={}\n", secret(3), secret(3)));
    home.run(&["import", &file]).bad(2, "no usable key");
    assert_eq!(home.run(&["keys", "--json"]).json().as_array().unwrap().len(), 2);
}

#[test]
fn an_exit_that_nothing_describes_is_named_when_it_is_set() {
    let home = Home::new();
    home.add(0, "one", &[]);
    let set = home.run(&["keys", "set", "one", "--exit", "tokyo"]);
    assert!(set.code == 0 && set.err.contains("tokyo") && set.err.contains("[exits.tokyo]"), "{set:?}");
    assert_eq!(home.key("one")["state"], "faulty");
    let added = home.pipe(&["add-key", "--exit", "osaka", "--id", "two"], &secret(1));
    assert!(added.code == 0 && added.err.contains("[exits.osaka]"), "{added:?}");
    home.write("keypool.toml", "[exits.tokyo]\nproxy = \"http://127.0.0.1:9\"\n");
    let set = home.run(&["keys", "set", "one", "--exit", "tokyo"]);
    assert!(set.code == 0 && !set.err.contains("tokyo"), "{set:?}");
}

#[test]
fn a_key_from_standard_input_may_begin_with_a_mark_and_is_text() {
    let home = Home::new();
    home.pipe(&["add-key", "-", "--id", "one"], &format!("\u{feff}{}\n", secret(0))).good();
    assert_eq!(home.key("one")["state"], "usable");
    let mut command = home.command(&["add-key", "-"]);
    command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"AIzaSy\xe9\xff-not-a-real-key-00000\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("standard input is no text (UTF-8)"), "{said}");
}

#[test]
fn labels_are_shown_and_hold_no_key() {
    let home = Home::new();
    home.add(0, "one", &["--label", "team:blue", "--label", "on loan", "--source", "my own words"]);
    let one = home.key("one");
    assert_eq!(one["labels"], json!({ "team": "blue", "label": "on loan" }), "{one:#}");
    assert_eq!(one["source"], "my own words");
    let table = home.run(&["keys"]).good();
    assert!(table.contains("team:blue") && table.contains("my own words"), "{table}");
    home.write("key.txt", &format!("{} id=two label=team:red\n", secret(1)));
    assert_eq!(home.key("two")["labels"], json!({ "team": "red" }));
    // One that no pool has, too.
    let stranger = format!("note:was {}", secret(7));
    home.run(&["keys", "set", "one", "--label", &stranger]).bad(2, "--label");
    home.run(&["keys", "set", "one", "--source", &format!("x {}", secret(7))]).bad(2, "--source");
    home.run(&["keys", "set", "one", "--label", "x:\u{1b}[31m"]).bad(2, "control characters");
    assert_eq!(home.key("one")["labels"], json!({ "team": "blue", "label": "on loan" }));
}

#[test]
fn a_path_steers_no_terminal() {
    let home = Home::new();
    let mut command = home.command(&["add-key", "-"]);
    command.env("XDG_STATE_HOME", home.at("state\u{1b}[31m"));
    let said = Home::ended(command, &secret(0)).good();
    assert!(said.contains("secrets are encrypted with") && !said.contains('\u{1b}'), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_is_as_the_strategy_goes_by_it() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    home.write("keypool.toml", "[pool]\nstrategy = \"least-loaded\"\n");
    let running = home.serve(&sim, &[]);
    for _ in 0..20 {
        assert_eq!(hello(&running).await.status, 200);
    }
    end(running).await;
    assert_eq!(home.key("one")["weight_now"], 1.0);
}

/// Names are typed whole; who typed a beginning, or another case, is told what there is.
#[test]
fn a_key_that_nobody_is_called_is_told_with_those_that_nearly_are() {
    let home = Home::new();
    for (n, id) in ["work-one", "work-two", "Home"].into_iter().enumerate() {
        home.add(n, id, &[]);
    }
    let file = home.write("keys.txt", &format!("{} id=of-a-file\n", secret(7)));
    for command in ["disable", "enable", "remove"] {
        home.run(&["keys", command, "work"])
            .bad(2, "no key is called work: names are given whole; work-one, work-two begin so");
        home.run(&["keys", command, "home"]).bad(2, "is Home meant?");
        let none = home.run(&["keys", command, "else"]);
        assert!(!none.err.contains("meant") && !none.err.contains("begin so"), "{none:?}");
        none.bad(2, "no key is called else (`keypool keys` lists them)");
    }
    let mut of_file = home.command(&["keys", "disable", "of-"]);
    of_file.env("KEYPOOL_API_KEY_FILE", &file);
    Home::ended(of_file, "").bad(2, "is of-a-file meant?");
    assert_eq!(home.key("work-one")["state"], "usable");
    // Before its secret is asked for.
    home.pipe(&["keys", "replace", "nobody", "-"], "").bad(2, "no key is called nobody");
    home.pipe(&["keys", "replace", "Work-one", "-"], "").bad(2, "is work-one meant?");
    home.pipe(&["keys", "replace", "work-one", "-"], "").bad(2, "there is no key on standard input");
    for text in ["", "\n\n", "# none\n"] {
        let ended = home.pipe(&["import", "-"], text);
        assert!(ended.out.contains("0 keys added from standard input"), "{ended:?}");
        ended.bad(2, "no usable key in standard input");
    }
}
