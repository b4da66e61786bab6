//! Each command through the real program. No output contains a secret; numbers and times in JSON are numbers.

use std::{
    io::Write as _,
    path::Path,
    process::{Child, Output, Stdio},
    time::Duration,
};

use gemini_sim::{GeminiSim, Limits, Project, Refusal};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{GENERATE, Gateway, Upstream, end, hello, key, post, program, reply, signal, sim};

/// A temporary home directory with the program's files.
struct Home(TempDir);

/// The exit code and output of a command.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("a writable file");
    }

    fn run(&self, arguments: &[&str]) -> Done {
        run_in(self.path(), arguments, "", &[])
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> Done {
        run_in(self.path(), arguments, input, &[])
    }

    /// Runs a command that must succeed, and parses its JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).good().json()
    }

    /// Adds the test key with this number to the database.
    fn add(&self, number: usize, arguments: &[&str]) {
        self.run_with_input(&[&["add-key", "-"], arguments].concat(), &key(number)).good();
    }
}

fn run_in(folder: &Path, arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> Done {
    let mut command = program(folder);
    command.args(arguments).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // A command that does not read may have ended already.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the program ends");
    let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    assert!(!format!("{out}{err}").contains("AIzaSyTEST"), "the output contains a secret: {arguments:?}\n{out}{err}");
    Done { code: status.code().expect("no signal"), out, err }
}

impl Done {
    fn good(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// Asserts that the command failed because of wrong input, with this text.
    fn wrong(self, text: &str) {
        assert_eq!(self.code, 2, "{}{}", self.out, self.err);
        assert!(self.err.contains(text), "{:?} is missing in {}", text, self.err);
    }

    fn json(&self) -> Value {
        let value =
            serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("invalid JSON: {}{}", self.out, self.err));
        assert!(!self.out.contains("\"secs\""), "a time is not a number: {}", self.out);
        let has_many_digits = |word: &str| word.contains("00000") && word.contains('.');
        assert!(!self.out.split_whitespace().any(has_many_digits), "a number with too many digits: {}", self.out);
        value
    }
}

fn ids(keys: &Value) -> Vec<&str> {
    keys.as_array().expect("a list").iter().filter_map(|key| key["id"].as_str()).collect()
}

fn by_id<'a>(keys: &'a Value, id: &str) -> &'a Value {
    let found = keys.as_array().expect("a list").iter().find(|key| key["id"] == id);
    found.unwrap_or_else(|| panic!("{id} is not in {keys}"))
}

#[test]
fn key_is_added_changed_replaced_and_removed() {
    let home = Home::new();
    let added =
        home.run_with_input(&["add-key", "-", "--id", "work", "--project", "a", "--rpm", "10", "--json"], &key(1));
    assert_eq!(added.good().json()["id"], "work");
    home.add(2, &[]);
    let keys = home.json(&["keys"]);
    assert_eq!(ids(&keys).len(), 2);
    let work = by_id(&keys, "work");
    assert_eq!([&work["project"], &work["listed_at"], &work["state"]], ["a", "database", "usable"]);
    home.run(&["keys", "set", "work", "--tier", "paid", "--priority", "3", "--project", "b"]).good();
    let keys = home.json(&["keys"]);
    let work = by_id(&keys, "work");
    assert_eq!((&work["tier"], &work["priority"], &work["project"]), (&"paid".into(), &3.into(), &"b".into()));
    home.run_with_input(&["keys", "replace", "work", "-"], &key(2)).wrong("already");
    home.run_with_input(&["keys", "replace", "work", "-"], &key(3)).good();
    home.run(&["keys", "remove", "work"]).good();
    assert_eq!(ids(&home.json(&["keys"])).len(), 1);
    home.run(&["keys", "remove", "work"]).wrong("there is no key work");
}

#[test]
fn invalid_key_is_refused_and_not_shown() {
    let home = Home::new();
    home.run(&["add-key", &key(1)]).wrong("other users of this machine can see");
    for line in ["two words".to_owned(), format!("GEMINI_API_KEY={}", key(1)), format!("api_key=\"{}\"", key(1))] {
        home.run_with_input(&["add-key", "-"], &line).wrong("`keypool import -`");
    }
    home.run_with_input(&["add-key", "-"], "sk-ant-not-a-real-key").wrong("this looks like a key of Anthropic");
    home.run_with_input(&["add-key", "-"], "short").wrong("at least 8 visible ASCII characters");
    home.run_with_input(&["add-key", "-"], "PLACEHOLDER_GEMINI_TOKEN").wrong("the gateway's own token");
    home.run_with_input(&["add-key", "-", "--tier", "fre"], &key(1)).wrong("tier: expected free, paid or unknown");
    home.run_with_input(&["add-key", "-", "--zone", "Mars"], &key(1)).wrong("zone: expected an IANA time zone");
    home.run_with_input(&["add-key", "-", "--label", &key(1)], &key(1)).wrong("label");
    home.run_with_input(&["add-key", "-", "--id", "one"], &format!("\u{feff}\"{}\"\n", key(1))).good();
    home.run_with_input(&["add-key", "-"], &key(1)).wrong("already, as one");
    home.add(3, &["--id", "of the team"]);
    home.run_with_input(&["add-key", "-"], &key(3)).wrong("`keypool keys set 'of the team'`");
    home.run(&["keys", "remove", "of the team"]).good();
    home.run_with_input(&["add-key", "-", "--id", "one"], &key(2)).wrong("another key named one");
    home.run_with_input(&["add-key", "-", "--db", "none"], &key(2)).wrong("needs a database");
    home.run(&["keys", "disable", &key(1)]).wrong("there is no key ***: list all keys");
    home.run(&["keys", "--config", &key(1)]).wrong("keypool: ***: the file cannot be read");
    home.run(&["keys", "set", "one", "--colour", "red"]).wrong("--colour");
    home.run(&[&key(1)]).wrong("unrecognized subcommand '***'");
    assert_eq!(ids(&home.json(&["keys"])), ["one"]);
}

#[test]
fn import_reports_invalid_lines() {
    let home = Home::new();
    let lines = format!("{} id=a project=p rpm=10 label=team\n{} teir=free\n{}\n", key(1), key(2), key(3));
    home.write("keys.txt", &lines);
    let done = home.run(&["import", "keys.txt", "--source", "mail"]).good();
    assert!(done.out.contains("2 added, 0 merged with existing keys, 1 rejected"), "{}", done.out);
    assert!(done.err.contains("keys.txt:2: \"teir\" is not an option"), "{}", done.err);
    // In another file format. An existing key keeps its name and the options that the file does not set.
    home.write("more.json", &serde_json::json!([{ "key": key(1), "weight": 3 }, { "key": key(4) }]).to_string());
    let json = home.json(&["import", "more.json"]);
    assert_eq!((&json[0]["added"], &json[0]["merged"]), (&1.into(), &1.into()));
    let keys = home.json(&["keys"]);
    assert_eq!(by_id(&keys, "a")["project"], "p");
    assert_eq!(ids(&keys).len(), 3);
    let done = home.run_with_input(&["import", "-", "--source", "vault"], &key(5)).good();
    assert!(done.out.contains("1 added"), "{}", done.out);
    home.run(&["import", "none.txt"]).wrong("none.txt: the file cannot be read");
    home.write("bad.txt", "short\n");
    home.run(&["import", "bad.txt"]).wrong("the file has no key");
    home.write("app.env", &format!("OPENAI_API_KEY={}\nGEMINI_API_KEY={}\n", key(7), key(8)));
    let done = home.run(&["import", "app.env"]).good();
    assert!(done.out.contains("1 added, 0 merged with existing keys, 1 rejected"), "{}", done.out);
    assert!(done.err.contains("app.env:1: OPENAI_API_KEY is not a name for a key of gemini"), "{}", done.err);
    home.write("groq.env", &format!("GROQ_API_KEY={}\n", key(10)));
    let config = "[gateway]\nprovider = \"openai\"\nupstream = \"https://api.groq.com/openai/v1\"\n";
    home.write("groq.toml", config);
    home.run(&["import", "groq.env", "--config", "groq.toml"]).good();
    home.write("taken.txt", &format!("{} id=a\n", key(9)));
    home.run(&["import", "taken.txt"]).wrong("another key named a");
}

#[test]
fn key_in_a_file_can_only_be_disabled() {
    let home = Home::new();
    home.write("key.txt", &format!("\n{} id=filed\n", key(1)));
    let keys = home.json(&["keys"]);
    assert!(by_id(&keys, "filed")["listed_at"].as_str().is_some_and(|place| place.ends_with("key.txt:2")), "{keys}");
    for change in [&["set", "filed", "--rpm", "1"][..], &["remove", "filed"]] {
        home.run(&[&["keys"], change].concat()).wrong("key.txt:2: change it there");
    }
    let done = run_in(home.path(), &["keys", "--json"], "", &[("GEMINI_API_KEY", &key(2))]);
    assert!(done.good().json().to_string().contains("GEMINI_API_KEY, value 1"));
    home.run(&["keys", "disable", "filed", "--reason", "too dear"]).good();
    let keys = home.json(&["keys"]);
    let filed = by_id(&keys, "filed");
    assert_eq!((&filed["state"], &filed["why"]), (&"disabled".into(), &"too dear".into()));
    home.run(&["keys", "enable", "filed"]).good();
    assert_eq!(by_id(&home.json(&["keys"]), "filed")["state"], "usable");
    home.run(&["keys", "disable", "other"]).wrong("there is no key other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_gateway_follows_changes() {
    let sim = sim(3).await;
    let gateway = Gateway::start(&sim.url(), 1, &["--db", "keys.db"]);
    let folder = gateway.folder.path();
    let run = |arguments: &[&str], input: &str| run_in(folder, &[arguments, &["--db", "keys.db"]].concat(), input, &[]);
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
    run(&["keys", "disable", "key-0", "--keys", "keys.txt"], "").good();
    settle(&gateway, 503).await;
    run(&["add-key", "-", "--id", "new"], &key(1)).good();
    assert_eq!(settle(&gateway, 200).await, "new");
    run(&["keys", "replace", "new", "-"], &key(2)).good();
    run(&["keys", "remove", "new"], "").good();
    settle(&gateway, 503).await;
    run(&["keys", "enable", "key-0", "--keys", "keys.txt"], "").good();
    assert_eq!(settle(&gateway, 200).await, "key-0");
}

/// Waits until requests get this status, and returns the key that served.
async fn settle(gateway: &Gateway, status: u16) -> String {
    let mut request = post(GENERATE, &hello());
    request.headers_mut().insert("x-keypool-wait", "0".parse().expect("a value"));
    for _ in 0..400 {
        let answer = gateway.send(request.clone()).await;
        if answer.status == status {
            return if status == 200 { answer.header("x-keypool-key").to_owned() } else { String::new() };
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the status does not become {status}:\n{}", gateway.log());
}

/// Starts a simulator with an accepted and a rejected key.
async fn mixed() -> GeminiSim {
    let project = |n: usize| Project::new(format!("projects/{}", 100_000_000_001 + n));
    let bad = gemini_sim::Key::new(key(1)).refused(Refusal::ApiKeyInvalid);
    let builder = GeminiSim::builder().project(project(0).key(key(0).as_str())).project(project(1).key(bad));
    builder.start().await.expect("a free port")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_tested_without_quota_and_rejected_ones_disabled() {
    let sim = mixed().await;
    let home = Home::new();
    home.add(0, &["--id", "good"]);
    let test = |more: &[&str]| home.run(&[&["test-keys", "--json", "--upstream", &sim.url()], more].concat());
    let done = test(&[]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.json()["keys"][0]["models"].as_u64() > Some(1), "{}", done.out);
    home.add(1, &["--id", "bad"]);
    let done = test(&["--fix"]);
    assert_eq!(done.code, 1, "{}", done.err);
    let json = done.json();
    assert_eq!((&json["summary"]["good"], &json["summary"]["bad"]), (&1.into(), &1.into()));
    let bad = by_id(&json["keys"], "bad");
    assert_eq!((&bad["class"], &bad["disabled"], &bad["status"]), (&"key_rejected".into(), &true.into(), &400.into()));
    assert_eq!(by_id(&home.json(&["keys"]), "bad")["state"], "disabled");
    assert_eq!(sim.report().total.charged, 0);
    let done = home.run(&["test-keys", "--upstream", "http://127.0.0.1:9"]);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("http://127.0.0.1:9") && done.out.contains("refused"), "{}", done.out);
    Home::new().run(&["test-keys"]).wrong("there is no key to test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_several_providers_are_told_apart() {
    let none = Upstream::always(404, "text/plain", "").await;
    let provider = "[[providers]]\nname = \"voices\"\nkind = \"api-key-header\"\nupstream = \"URL\"\n\
                    keys = [{ secret = \"not-a-real-key\", id = \"v\", project = \"a\" }]\n";
    let home = Home::new();
    home.write("keypool.toml", &provider.replace("URL", &none.url));
    home.add(0, &["--project", "a"]);
    assert_eq!(by_id(&home.json(&["keys"]), "v")["project"], "voices/a", "they share the store");
    let place = "keypool.toml, entry 1 of [[keys]] of provider voices";
    assert!(home.run(&["keys"]).out.contains(place));
    let done = home.run(&["test-keys", "--upstream", &none.url]);
    for text in [place, " gemini ", "or upstream in [[providers]]"] {
        assert!(done.out.contains(text), "{text}: {}", done.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_is_not_good_without_a_list_of_models() {
    let page = Upstream::always(200, "text/html", "<html>Sign in</html>").await;
    let huge = Upstream::start(|_| reply(200, "application/json", vec![b' '; 9 << 20])).await;
    let home = Home::new();
    home.add(0, &[]);
    for (upstream, why) in [(page, "not JSON"), (huge, "length limit")] {
        let done = home.run(&["test-keys", "--json", "--upstream", &upstream.url]);
        assert_eq!((done.code, &done.json()["summary"]["untested"]), (1, &1.into()), "{}", done.out);
        assert!(done.out.contains(why), "{}", done.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_upstream_is_named() {
    let page = Upstream::always(200, "text/html", "<html>Welcome</html>").await;
    let none = Upstream::always(404, "text/plain", "").await;
    let home = Home::new();
    home.add(0, &[]);
    home.write("prompts.txt", "hello\n");
    let batch = ["batch", "prompts.txt", "-o", "out.jsonl", "--max-retries", "0"];
    for address in [&page.url, &none.url] {
        for command in [&["generate", "hello"][..], &["test-keys"], &batch] {
            let done = home.run(&[command, &["--upstream", address]].concat());
            let results = std::fs::read_to_string(home.path().join("out.jsonl")).unwrap_or_default();
            let shown = done.out + &done.err + &results;
            assert_eq!(done.code, 1, "{shown}");
            assert!(shown.contains(address) && shown.contains("--upstream"), "{command:?}: {shown}");
        }
        std::fs::remove_file(home.path().join("out.jsonl")).expect("results");
    }
    let https = page.url.replace("http://", "https://");
    for command in [&["generate", "hello"][..], &["test-keys"], &[&batch[..], &["--max-wait", "1s"]].concat()] {
        let done = home.run(&[command, &["--upstream", &https]].concat());
        assert!((done.out + &done.err).contains("does not speak TLS"), "{command:?}: {}", done.err);
    }
}

#[test]
fn options_of_a_key_are_shown() {
    let home = Home::new();
    let options =
        ["--weight", "2", "--models", "gemini-2.5*", "--concurrent", "3", "--interval", "2s", "--zone", "UTC"];
    home.add(1, &[&["--id", "work", "--rpm", "10", "--billing-account", "acme"], &options[..]].concat());
    let shown = home.run(&["keys", "show", "work"]).good().out;
    for line in ["weight: 2", "models: gemini-2.5*", "given limits: 10 requests per minute for each model"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(!shown.contains("priority"), "a default is not shown: {shown}");
    let keys = home.json(&["keys"]);
    let work = by_id(&keys, "work");
    assert_eq!((&work["weight"], &work["max_concurrent"], &work["exit"]), (&2.into(), &3.into(), &Value::Null));
    assert_eq!((&work["zone"], &work["billing_account"]), (&"UTC".into(), &"acme".into()));
    assert_eq!((&work["interval_seconds"], &work["given"][0]["limit"]), (&2.0.into(), &10.into()));
    assert_eq!(home.json(&["keys", "show", "work"]), *work);
    home.run(&["keys", "show", "other"]).wrong("there is no key other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stats_name_models_that_are_at_their_limits_with_all_keys() {
    let sim = sim(2).await;
    let home = Home::new();
    home.add(0, &["--rpm", "1"]);
    home.add(1, &["--rpm", "1"]);
    home.add(2, &["--models", "gemini-2.5-pro"]);
    let generate = || drop(home.run(&["generate", "hello", "--upstream", &sim.url()]).good());
    generate();
    assert_eq!(home.json(&["stats"])["providers"][0]["models_out"], serde_json::json!([]));
    generate();
    let stats = home.json(&["stats"]);
    let out = &stats["providers"][0]["models_out"][0];
    assert_eq!(out["model"], "gemini-2.5-flash", "{stats}");
    assert!(out["seconds_left"].as_u64().is_some_and(|left| left <= 61), "{stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generate_falls_back_from_a_model_outside_the_list() {
    let sim = sim(1).await;
    let home = Home::new();
    home.add(0, &[]);
    let asked = ["generate", "hello", "--upstream", &sim.url(), "--model", "gemini-0-missing"];
    home.run(&[&asked[..], &["--fallback", "gemini-2.5-flash"]].concat()).good();
    assert_eq!(home.run(&asked).code, 1);
}

#[test]
fn generate_uses_the_provider_of_an_alias() {
    let home = Home::new();
    let provider = "[[providers]]\nname = \"acme\"\nkind = \"openai\"\nmodels = [\"acme-*\"]\n";
    home.write("keypool.toml", &format!("{provider}[[models]]\nname = \"acme-1\"\naliases = [\"fast\"]\n"));
    for model in ["acme-1", "fast"] {
        let done = home.run(&["generate", "hello", "--model", model, "--json"]);
        assert_eq!(done.json()["provider"], "acme", "{model}: {}", done.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enable_ends_a_cooldown_of_the_billing_account() {
    let upstream = Upstream::always(402, "application/json", r#"{"error":{"message":"pay"}}"#).await;
    let home = Home::new();
    home.write("keypool.toml", "[[errors]]\nstatus = 402\nclass = \"billing\"\nscope = \"billing_account\"\n");
    home.add(1, &["--id", "a", "--billing-account", "acme"]);
    assert_eq!(home.run(&["generate", "hello", "--upstream", &upstream.url]).code, 4);
    assert_eq!(home.json(&["keys"])[0]["state"], "cooling");
    home.run(&["keys", "enable", "a"]).good();
    assert_eq!(home.json(&["keys"])[0]["state"], "usable");
}

#[test]
fn commands_on_the_database_do_not_need_redis() {
    let home = Home::new();
    home.write("more.txt", &key(2));
    for arguments in
        [&["tenants", "add", "a"][..], &["tenants"], &["usage"], &["import", "more.txt"], &["add-key", "-"]]
    {
        let input = key(1);
        let done = run_in(home.path(), arguments, &input, &[("KEYPOOL_REDIS_URL", "redis://127.0.0.1:9")]);
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.err);
    }
    let done = run_in(home.path(), &["keys"], "", &[("KEYPOOL_REDIS_URL", "redis://127.0.0.1:9")]);
    assert_eq!(done.err.matches("127.0.0.1:9").count(), 1, "{}", done.err);
}

#[test]
fn wrong_options_are_named() {
    let home = Home::new();
    home.add(1, &[]);
    home.write("prompts.txt", "hello\n");
    home.write("mk", "abc");
    home.run(&["usage", "--day", "today"]).wrong("expected a day, such as 2026-06-15");
    home.run(&["batch", "prompts.txt", "--max-output-tokens", "0"]).wrong("0 is not in 1..");
    home.run(&["batch", "prompts.txt", "--system", "@"]).wrong("--system @: the name of a file is missing");
    home.run(&["generate", "x", "--model", ""]).wrong("--model");
    for command in [["batch", "prompts.txt"], ["generate", "x"]] {
        home.run(&[&command[..], &["--keys", "no.txt"]].concat()).wrong("--keys no.txt: there is no such file");
        home.run(&[&command[..], &["--cacert", "no.pem"]].concat()).wrong("no.pem: ");
    }
    home.run(&["db", "backup", "none/copy.db"]).wrong("none/copy.db: there is no folder");
    home.run(&["keys", "show", "other"]).wrong("keys that a gateway got with --keys need --keys here too");
    home.run(&["batch", "prompts.txt", "-o", "."]).wrong("--output .: Is a directory");
    home.run(&["batch", "prompts.txt", "-o", "r.CSV"]).wrong("results are JSON lines: name it .jsonl or .json");
    home.run(&["batch", "prompts.txt", "-o", "none/out.jsonl"]).wrong("--output none/out.jsonl: No such file");
    home.run(&["keys", "--db", "."]).wrong("is a folder");
    home.run(&["db", "rekey", "mk"]).wrong("mk: this is not a master key");
    home.run(&["explain", "x", "--admin-token-file", "none"]).wrong("--admin-token-file");
    home.write("keypool.toml", "[[tenants]]\nname = \"of-file\"\ntoken = \"the-token-of-the-tenant\"\n");
    home.run(&["tenants", "add", "of-file"]).wrong("keypool.toml: change it there");
    home.run(&["tenants", "add", "a/b"]).wrong("without /");
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = busy.local_addr().expect("an address").to_string();
    let done = home.run(&["serve", "--listen", &address]);
    assert!(done.code == 1 && done.err.contains("--listen"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_is_announced_only_with_an_admin_token() {
    for (token, is_announced) in [(&[][..], false), (&["--admin-token", "the-admin-token"], true)] {
        let arguments = [&["--admin-listen", "127.0.0.1:0"], token].concat();
        let mut gateway = Gateway::start("http://127.0.0.1:9", 1, &arguments);
        gateway.signal("TERM");
        gateway.wait();
        gateway.wait_for_log("shutting down").await;
        assert_eq!(gateway.log().contains("dashboard at"), is_announced, "{}", gateway.log());
    }
}

#[test]
fn health_has_an_exit_code() {
    let home = Home::new();
    let done = home.run(&["health"]);
    assert!(done.code == 2 && done.out.contains("add one with `keypool add-key`"), "{}", done.out);
    home.add(1, &["--id", "a"]);
    home.add(2, &["--id", "b"]);
    assert_eq!(home.json(&["health"])["usable"], 2);
    home.run(&["keys", "disable", "a"]).good();
    let done = home.run(&["health"]);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("1 of 2 keys usable") && done.out.contains("keypool keys enable a"), "{}", done.out);
    home.run(&["keys", "disable", "b"]).good();
    assert_eq!(home.run(&["health", "--json"]).code, 2);
    let stats = home.json(&["stats"]);
    assert_eq!((&stats["providers"][0]["keys"], &stats["providers"][0]["disabled"]), (&2.into(), &2.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_shown_by_key_project_model_and_day() {
    let sim = sim(1).await;
    let home = Home::new();
    home.add(0, &["--id", "one", "--project", "p"]);
    for _ in 0..2 {
        home.run(&["generate", "hello", "--upstream", &sim.url()]).good();
    }
    for (by, name) in [("key", "one"), ("project", "p"), ("model", "gemini-2.5-flash")] {
        let rows = home.json(&["usage", "--by", by]);
        assert_eq!((&rows[0][by], &rows[0]["requests"]), (&name.into(), &2.into()), "{rows}");
        assert!(rows[0]["output_tokens"].as_u64() > Some(0), "{rows}");
    }
    let csv = home.run(&["usage", "--by", "day", "--days", "7", "--csv"]).good().out;
    assert_eq!(csv.lines().next(), Some("day,requests,input_tokens,output_tokens"));
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert_eq!(home.json(&["usage", "--day", "2001-01-01"]), serde_json::json!([]));
    assert_eq!(by_id(&home.json(&["keys"]), "one")["used_today"], 2);
    assert_eq!(home.json(&["stats"])["today"]["requests"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenant_is_added_changed_and_revoked_while_the_gateway_runs() {
    let sim = sim(1).await;
    let gateway = Gateway::start(&sim.url(), 1, &["--db", "keys.db"]);
    let run = |arguments: &[&str]| {
        run_in(gateway.folder.path(), &[&["tenants", "--db", "keys.db", "--json"], arguments].concat(), "", &[])
    };
    let token = run(&["add", "alice", "--models", "gemini-2.5-flash*", "--rpm", "100"]).good().json()["token"].clone();
    let token = token.as_str().expect("a token").to_owned();
    let listed = run(&[]).good();
    assert!(!listed.out.contains(&token), "{}", listed.out);
    assert_eq!((&listed.json()[0]["rpm"], &listed.json()[0]["listed_at"]), (&100.into(), &"database".into()));
    let status = async |model: &str| {
        let mut request = post(&format!("/v1beta/models/{model}:generateContent"), &hello());
        request.headers_mut().insert("x-goog-api-key", token.parse().expect("a value"));
        gateway.send(request).await.status.as_u16()
    };
    let settle = async |model: &str, wanted: u16| {
        gateway.eventually(async || status(model).await == wanted).await;
    };
    settle("gemini-2.5-flash", 200).await;
    assert_eq!(status("gemini-2.5-pro").await, 403);
    run(&["set", "alice", "--models", "", "--rpm", "200"]).good();
    settle("gemini-2.5-pro", 200).await;
    run(&["remove", "alice"]).good();
    settle("gemini-2.5-flash", 401).await;
    run(&["remove", "alice"]).wrong("there is no tenant alice");
    run(&["add", "bob", "--expires", "soon"]).wrong("--expires: expected a day such as 2030-01-31");
    run(&["add", "bob", "--rpm", "many"]).wrong("--rpm: expected a whole number");
    run(&["add", "bob", "--max-concurrent", "0"]).wrong("--max-concurrent: expected a whole number, 1 or more");
    let done = run(&["add", "bob", "--expires", "2020-01-01"]).good();
    assert!(done.err.contains("--expires: 2020-01-01 has passed"), "{}", done.err);
    run(&["set", "bob"]).wrong("there is nothing to set");
    for name in [" bob", "bob ", "...", "", "a/b"] {
        run(&["add", name]).wrong("name: expected 1 to 64 characters");
    }
    run(&["add", "the team"]).good();
    run(&["add", "the team"]).wrong("`keypool tenants set 'the team'`");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_a_tenant_without_limits_are_counted() {
    let sim = sim(1).await;
    let gateway = Gateway::start(&sim.url(), 1, &["--db", "keys.db"]);
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--db", "keys.db", "--json"]].concat();
        run_in(gateway.folder.path(), &arguments, "", &[]).good().json()
    };
    // The name is no header value.
    let token = run(&["tenants", "add", "Zoë 1"])["token"].as_str().expect("a token").to_owned();
    let mut request = post(GENERATE, &hello());
    request.headers_mut().insert("x-goog-api-key", token.parse().expect("a value"));
    let mut served = 0;
    for _ in 0..400 {
        served += i32::from(gateway.send(request.clone()).await.status == 200);
        if served == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
    assert_eq!(run(&["tenants"])[0]["requests_today"], 3);
    let usage = run(&["usage", "--by", "tenant"]);
    assert_eq!((&usage[0]["tenant"], &usage[0]["requests"]), (&"Zoë 1".into(), &3.into()), "{usage}");
    assert_eq!(run(&["usage", "--by", "key"])[0]["requests"], 4);
    assert_eq!(by_id(&run(&["keys", "--keys", "keys.txt"]), "key-0")["used_today"], 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_recorded_when_redis_counts() {
    let Some(redis) = redis_fixture::RedisServer::start() else { return };
    let sim = sim(1).await;
    let store = ["--db", "keys.db", "--redis", &redis.url()];
    let gateway = Gateway::start(&sim.url(), 1, &store);
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &store, &["--json"]].concat();
        run_in(gateway.folder.path(), &arguments, "", &[]).good().json()
    };
    let token = run(&["tenants", "add", "alice"])["token"].as_str().expect("a token").to_owned();
    let mut request = post(GENERATE, &hello());
    request.headers_mut().insert("x-goog-api-key", token.parse().expect("a value"));
    gateway.eventually(async || gateway.send(request.clone()).await.status == 200).await;
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
    // Corrections of tokens are written every second.
    gateway.eventually(async || run(&["usage"])[0]["output_tokens"].as_u64() > Some(0)).await;
    let usage = run(&["usage"]);
    assert_eq!((&usage[0]["key"], &usage[0]["requests"]), (&"key-0".into(), &2.into()), "{usage}");
    assert_eq!(run(&["usage", "--by", "tenant"])[0]["requests"], 1);
    assert_eq!(run(&["tenants"])[0]["requests_today"], 1);
    assert_eq!(run(&["stats"])["today"]["requests"], 2);
    assert_eq!(run(&["keys", "--keys", "keys.txt"])[0]["used_today"], 2);
}

#[test]
fn configuration_is_checked_completely_and_shown_without_secrets() {
    let home = Home::new();
    home.write("keypool.toml", "[gateway]\nlisten = 5\nmax_wait = \"forever\"\n[pool]\nstrategi = \"lru\"\n");
    let done = home.run(&["config", "check", "--json"]);
    assert_eq!(done.code, 2);
    let json = done.json();
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(3), "{json}");
    let places: Vec<_> =
        json["problems"].as_array().into_iter().flatten().map(|problem| problem["place"].as_str()).collect();
    assert!(places.contains(&Some("keypool.toml:5")), "{json}");
    assert_eq!(json["problems"][0].as_object().map(serde_json::Map::len), Some(2), "place and message: {json}");
    home.run(&["keys"]).wrong("keypool.toml:5");
    // Values that the types allow.
    let wrong = "[batch]\ntemperature = nan\nmax_output_tokens = 0\nworkers_per_key = 0\nconcurrency = 0\n[pool]\nwait = \"2h\"\n";
    home.write("keypool.toml", wrong);
    let environment = [("KEYPOOL__GATEWAY__MAX_CONNECTIONS", "0")];
    let done = run_in(home.path(), &["config", "check", "--json"], "", &environment).json();
    let places: Vec<_> = done["problems"].as_array().into_iter().flatten().map(|problem| &problem["place"]).collect();
    let expected = [
        "keypool.toml:2: batch.temperature",
        "keypool.toml:3: batch.max_output_tokens",
        "keypool.toml:4: batch.workers_per_key",
        "keypool.toml:5: batch.concurrency",
        "keypool.toml:5: batch.concurrency",
        "keypool.toml:7: pool.wait",
        "KEYPOOL__GATEWAY__MAX_CONNECTIONS: gateway.max_connections",
    ];
    assert_eq!(places, expected, "{done}");
    home.write("keypool.toml", "[gateway]\nreplay_mib = 0\nmax_connections = 100000\n");
    home.run(&["config", "check"]).good();
    home.write(
        "keypool.toml",
        "[gateway]\norigins = [\"localhost:3000\"]\nhosts = [\"http://pool.example\"]\n\
         [store]\npath = \"\"\nnamespace = \"\"\nredis = \"localhost:6379\"\n\
         [[providers]]\nname = \"acme\"\nkind = \"api-key-header\"\n",
    );
    let done = home.run(&["config", "check"]);
    for message in [
        ":2: gateway.origins: expected origins such as http://localhost:3000",
        ":3: gateway.hosts: expected names of hosts",
        ":5: store.path: expected the name of a file",
        ":6: store.namespace: expected a name",
        ":7: store.redis: expected redis://HOST:PORT",
        "providers, entry 1: kind = \"api-key-header\" needs an upstream",
    ] {
        assert!(done.err.contains(message), "{}", done.err);
    }
    home.write(
        "keypool.toml",
        "[[providers]]\nname = \"a/b\"\nkind = \"openai\"\nheader = \"x-key\"\nmodels = [\"gpt-*-mini\"]\nlimits = { \"*-x\" = { rpm = 1 } }\n\
         [[tenants]]\nname = \"a/b\"\ntoken = \"token-of-a\"\nmodels = [\"*flash\"]\nmax_concurrent = 0\n\
         [[models]]\nname = \"gemini-*-pro\"\n[exits.a]\nproxy = \"https://host:3128\"\n[log]\nkeep = 0\n",
    );
    let done = home.run(&["config", "check"]);
    for message in [
        "providers, entry 1: name: expected a name without /",
        "providers, entry 1: header is only allowed for kind = \"api-key-header\"",
        "providers, entry 1: gpt-*-mini: a name of models may have * only at its end",
        "providers, entry 1: *-x: a name of models may have * only at its end",
        "tenants, entry 1: name: expected 1 to 64 characters, without /",
        "tenants, entry 1: max_concurrent: expected a whole number, 1 or more",
        "tenants, entry 1: *flash: a name of models",
        "models: gemini-*-pro: a name of models",
        "exits.a: expected a proxy such as http://user:password@host:3128",
        "log.keep: expected more than 0",
    ] {
        assert!(done.err.contains(message), "{message}: {}", done.err);
    }
    home.write("keypool.toml", "[[models]]\nname = \"m\"\nlimits = 5\n[batch]\ntemperature = \"hot\"\n");
    let done = home.run(&["config", "check"]);
    let limits = "keypool.toml:3: models.limits: expected the limits of a model, such as { rpm = 10 }";
    assert!(done.err.contains(limits), "{}", done.err);
    done.wrong("batch.temperature: expected a number");
    home.write("keypool.toml", "[log]\ndirectory = \"keypool.toml\"\n");
    home.run(&["config", "check"]).wrong("log.directory: no file can be created in this folder");
    home.write("keypool.toml", "batch = 3\n[log]\nlevel = \"loud\"\n");
    let done = home.run(&["config", "check"]);
    assert!(done.err.contains("keypool.toml:1: batch: expected a table"), "{}", done.err);
    done.wrong("keypool.toml:3: log.level: expected one of error, warn, info, debug, trace, not \"loud\"");
    home.write("keypool.toml", &format!("[\"{}\"]", key(1)));
    home.run(&["config", "check"]).wrong("pass a key file with --keys");
    std::fs::write(home.path().join("keypool.toml"), b"\xff\xfe[\0").expect("written");
    home.run(&["config", "check"]).wrong("keypool.toml: the file is not text in UTF-8");
    let config = "[gateway]\ntoken = \"secret-token\"\nmax_wait = \"1m\"\n[admin]\ntoken = \"admin-token\"\n[[keys]]\nsecret = \"KEY\"\n";
    home.write("keypool.toml", &config.replace("KEY", &key(1)));
    home.run(&["config", "check"]).good();
    let done = home.run(&["config", "show", "--json", "--db", "here.db"]).good();
    assert!(!done.out.contains("secret-token") && !done.out.contains("admin-token"), "{}", done.out);
    let json = done.json();
    let setting =
        |name: &str| json["settings"].as_array().into_iter().flatten().find(|row| row["setting"] == name).cloned();
    let wait = setting("gateway.max_wait").expect("a listed setting");
    assert_eq!((&wait["value"], &wait["from"]), (&60.into(), &"keypool.toml:3".into()));
    assert_eq!(setting("store.path").expect("a listed setting")["from"], "--db");
    assert_eq!(setting("log.level").expect("a listed setting")["from"], "default");
    home.write("keys.txt", "short\n");
    let done = run_in(home.path(), &["config", "check"], "", &[("KEYPOOL_KEYS", "keys.txt")]);
    done.wrong("keys.txt:1: secret: expected a key: at least 8");
    let list = [("KEYPOOL__POOL__FALLBACK", "gemini-2.5-pro,gemini-2.5-flash")];
    run_in(home.path(), &["config", "check"], "", &list)
        .wrong("KEYPOOL__POOL__FALLBACK: expected a list such as [\"a\"");
    home.write("keypool.toml", &format!("[[keys]]\nsecret = \"{}\"\nlimits = {{ rpm = 10 }}\n", key(1)));
    home.run(&["config", "check"]).wrong("limits by model: expected the limits of a model, such as { rpm = 10 }");
    home.write("keypool.toml", "[admin]\ntoken = \"some-token\"\n[[tenants]]\nname = \"a\"\ntoken = \"some-token\"\n");
    let done = home.run(&["config", "check"]);
    assert!(done.err.contains("1 problem found; check again"), "keys were not checked: {}", done.err);
    done.wrong("tenants, entry 1: this token is in use already");
    home.write("keypool.toml", "[gateway]\ntoken = \"some-token\"\n[[keys]]\nsecret = \"some-token\"\n");
    let variable = [("GEMINI_API_KEY", "some-token")];
    let done = run_in(home.path(), &["config", "check"], "", &variable);
    done.wrong("keypool.toml, entry 1 of [[keys]]: this is the gateway's own token");
    home.write("keypool.toml", "[gateway]\ntoken = \"some-token\"\n");
    run_in(home.path(), &["config", "check"], "", &variable).good();
    let schema = home.run(&["config", "schema"]).good();
    let schema: Value = serde_json::from_str(&schema.out).expect("JSON");
    assert!(schema["properties"]["gateway"].is_object());
}

#[test]
fn variables_of_clients_do_not_set_the_upstream() {
    let home = Home::new();
    let gateway = "http://127.0.0.1:5000";
    let clients = ["GOOGLE_GEMINI_BASE_URL", "OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL"]
        .map(|name| (name, gateway));
    let own = [("GEMINI_API_BASE_URL", "http://gemini.example"), ("OPENAI_API_BASE_URL", "http://openai.example")];
    for (provider, variables, expected) in [
        ("gemini", &clients[..], Value::Null),
        ("openai", &clients, Value::Null),
        ("anthropic", &clients, Value::Null),
        ("gemini", &own, "http://gemini.example".into()),
        ("openai", &own, "http://openai.example".into()),
        ("anthropic", &own, Value::Null),
    ] {
        let shown = run_in(
            home.path(),
            &["config", "show", "--json"],
            "",
            &[variables, &[("KEYPOOL_PROVIDER", provider)]].concat(),
        );
        let shown = shown.good().json();
        let settings = shown["settings"].as_array().expect("a list");
        let upstream = settings.iter().find(|row| row["setting"] == "gateway.upstream").expect("a listed setting");
        assert_eq!(upstream["value"], expected, "{provider}");
        assert_eq!(upstream["from"] == "default", expected.is_null(), "{upstream}");
    }
}

#[test]
fn database_is_copied_checked_and_rekeyed() {
    let home = Home::new();
    home.run(&["db", "check"]).wrong("there is no database at");
    home.add(1, &["--id", "a"]);
    let path = home.json(&["db", "path"])["path"].as_str().map(str::to_owned).expect("a path");
    assert!(path.ends_with(".local/state/keypool/keypool.db"), "{path}");
    home.run(&["db", "backup", "copy.db"]).good();
    home.run(&["db", "backup", "copy.db"]).wrong("the file exists already");
    home.run(&["db", "rekey"]).good();
    assert_eq!(home.json(&["db", "check"])["keys"], 1);
    // The copy is encrypted with the old master key, which no longer exists.
    let done = home.run(&["db", "check", "--db", "copy.db"]);
    assert_eq!(done.code, 1, "{}{}", done.out, done.err);
    let new = "11".repeat(32);
    home.run_with_input(&["db", "rekey", "-"], "short").wrong("master key");
    let done = run_in(home.path(), &["db", "rekey"], "", &[("KEYPOOL_SECRET_KEY", &new)]);
    assert_ne!(done.code, 0);
    home.write("bad.db", &"no database\n".repeat(100));
    let done = home.run(&["keys", "--db", "bad.db"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("is not a database of this program"), "{}", done.err);
}

#[test]
fn missing_database_is_not_created_by_commands_that_read() {
    let home = Home::new();
    for command in [&["usage"][..], &["stats"], &["health"], &["keys"], &["tenants"], &["monitor", "--count", "1"]] {
        home.run(&[command, &["--db", "typo.db"]].concat()).wrong("there is no database at");
    }
    assert!(!home.path().join("typo.db").exists() && !home.path().join("typo.db.key").exists());
    home.write("empty.db", "");
    home.run(&["config", "check", "--db", "empty.db"]).good();
    assert_eq!(std::fs::read(home.path().join("empty.db")).expect("a file"), b"");
    assert!(home.run(&["usage"]).good().out.contains("no usage is recorded"));
}

#[test]
fn unusable_database_and_master_key_are_reported_with_a_way_out() {
    let home = Home::new();
    run_in(home.path(), &["usage"], "", &[("KEYPOOL_SECRET_KEY", "abc")])
        .wrong("KEYPOOL_SECRET_KEY: expected 64 hexadecimal digits");
    home.write("state", "a file in the place of the folder");
    let done =
        run_in(home.path(), &["stats"], "", &[("XDG_STATE_HOME", &home.path().join("state").display().to_string())]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("`--db FILE` or `--db none` avoids this database"), "{}", done.err);
}

#[test]
fn stored_key_without_its_exit_is_skipped_until_it_is_changed() {
    let home = Home::new();
    let message = "key away of the database: the key's exit is not in the configuration: add it to [exits]";
    home.add(1, &["--id", "here"]);
    let added = home.run_with_input(&["add-key", "-", "--id", "away", "--exit", "tokyo"], &key(2)).good();
    assert!(added.err.contains("the configuration has no exit tokyo"), "{}", added.err);
    let imported = home.run_with_input(&["import", "-"], &format!("{} exit=tokyo id=third\n", key(3))).good();
    assert!(imported.err.contains("standard input, line 1: the key's exit is not"), "{}", imported.err);
    home.run(&["keys", "remove", "third"]).good();
    let keys = home.run(&["keys", "--json"]).good();
    assert!(keys.err.contains(&format!("{message}; the entry is skipped")), "{}", keys.err);
    assert_eq!(ids(&keys.json()), ["here"]);
    home.run(&["keys", "show", "away"])
        .wrong("away is skipped, because it cannot be used: change it with `keypool keys set away`");
    home.run(&["config", "check"]).wrong(message);
    home.run(&["keys", "set", "away", "--exit", ""]).good();
    assert_eq!(ids(&home.json(&["keys"])).len(), 2);
    home.run(&["config", "check"]).good();
}

#[test]
fn only_entries_that_are_skipped_are_said_to_be() {
    let home = Home::new();
    home.write("keys.csv", &format!("key,colour\n{},red\n", key(1)));
    let done = home.run(&["keys", "--keys", "keys.csv", "--keys", "none.txt"]).good();
    assert!(done.err.contains("a column is ignored") && done.err.contains("the file cannot be read"), "{}", done.err);
    assert!(!done.err.contains("skipped"), "{}", done.err);
    home.write("twice.txt", &format!("{} id=one rpm=5\n{} id=two project=q\n", key(1), key(1)));
    let done = home.run(&["keys", "--keys", "twice.txt", "--json"]).good();
    assert!(done.err.contains("twice.txt:1: this key is listed at "), "{}", done.err);
    let keys = done.json();
    assert_eq!((ids(&keys), &keys[0]["project"]), (vec!["two"], &"q".into()));
    assert!(keys[0]["listed_at"].as_str().is_some_and(|place| place.ends_with("twice.txt:2")), "{keys}");
}

#[test]
fn key_that_a_file_lists_too_is_added_with_a_warning() {
    let home = Home::new();
    home.write("key.txt", &format!("{} id=filed\n", key(1)));
    let done = home.run_with_input(&["add-key", "-"], &key(1)).good();
    assert!(done.err.contains("key.txt:1 lists this key, too, and takes precedence"), "{}", done.err);
    assert!(!home.run_with_input(&["add-key", "-"], &key(2)).good().err.contains("precedence"));
}

#[tokio::test]
async fn log_names_the_causes_of_failures_and_missing_keys() {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = program(home.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--db", "none"]);
    let gateway = Gateway::spawn(command, home);
    gateway.wait_for_log("no source has a key").await;
    gateway.wait_for_log("key.txt, variables such as GEMINI_API_KEY, the configuration, the database").await;
    // Nothing listens at this address, and no other test gets it.
    let closed = tokio::net::TcpSocket::new_v4().expect("a socket");
    closed.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let closed_at = closed.local_addr().expect("an address");
    let gateway = Gateway::start(&format!("http://{closed_at}"), 2, &["--db", "keys.db"]);
    gateway.post(GENERATE, &hello()).await;
    gateway.wait_for_log("attempt failed").await;
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("attempt failed")).unwrap_or_default();
    assert!(line.contains("error=\"Connection refused"), "{line}");
    // A removed tenant is not a removed key.
    let run = |arguments: &[&str]| {
        run_in(gateway.folder.path(), &[&["tenants", "--db", "keys.db", "--json"], arguments].concat(), "", &[]).good()
    };
    let token = run(&["add", "carol"]).json()["token"].as_str().expect("a token").to_owned();
    let mut request = post(GENERATE, &hello());
    request.headers_mut().insert("x-goog-api-key", token.parse().expect("a value"));
    request.headers_mut().insert("x-keypool-wait", "0".parse().expect("a value"));
    gateway.eventually(async || gateway.send(request.clone()).await.status != 401).await;
    run(&["remove", "carol"]);
    gateway.eventually(async || gateway.send(request.clone()).await.status == 401).await;
    std::fs::write(gateway.folder.path().join("keys.txt"), key(0)).expect("a writable file");
    gateway.wait_for_log("key removed").await;
    assert!(!gateway.log().contains("tenant:carol"), "{}", gateway.log());
}

#[tokio::test]
async fn new_folder_of_the_log_is_created_without_an_error() {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = program(home.path());
    command.args(["serve", "--listen", "127.0.0.1:0", "--db", "none"]).env("LOG_DIRECTORY", "new/logs");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut logs = String::new();
    for _ in 0..400 {
        let files = std::fs::read_dir(home.path().join("new/logs")).into_iter().flatten().flatten();
        logs = files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
        if logs.contains("listening at") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child.kill().expect("it runs");
    let done = child.wait_with_output().expect("it ended");
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    assert!(logs.contains("listening at"), "{logs}");
}

#[test]
fn locked_database_is_reported() {
    let home = Home::new();
    home.add(1, &["--id", "a", "--db", "keys.db"]);
    let other = rusqlite::Connection::open(home.path().join("keys.db")).expect("an open database");
    other.execute_batch("BEGIN EXCLUSIVE").expect("a locked database");
    let done = home.run(&["keys", "disable", "a", "--db", "keys.db"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("locked"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generate_prints_the_response() {
    let sim = sim(1).await;
    let home = Home::new();
    home.add(0, &["--id", "one"]);
    let done = home.run_with_input(&["generate", "-", "--upstream", &sim.url()], "Why is the sky blue?").good();
    assert!(done.out.ends_with('\n') && done.out.trim().len() > 3, "{:?}", done.out);
    let json = home.json(&["generate", "hello", "--system", "Be short.", "--upstream", &sim.url()]);
    assert_eq!(
        (&json["key"], &json["model"], &json["attempts"]),
        (&"one".into(), &"gemini-2.5-flash".into(), &1.into())
    );
    assert!(json["usage"]["output_tokens"].as_u64() > Some(0), "{json}");
    let done = home.run(&["generate", "hello", "--model", "gemini-none", "--upstream", &sim.url()]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("404"), "{}", done.err);
    home.run(&["generate", " ", "--upstream", &sim.url()]).wrong("the prompt is empty");
    home.run(&["generate", "hello", "--wait", "long"]).wrong("--wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generate_fails_if_the_answer_is_not_complete() {
    let home = Home::new();
    home.add(0, &[]);
    for (reason, why) in [
        ("MAX_TOKENS", "cut at the limit of output tokens: MAX_TOKENS"),
        ("SAFETY", "blocked by the provider: SAFETY"),
        ("MALFORMED_FUNCTION_CALL", "not complete: MALFORMED_FUNCTION_CALL"),
    ] {
        let event = serde_json::json!({ "candidates": [{ "content": { "parts": [{ "text": "half" }] }, "finishReason": reason }] });
        let event: &'static str = format!("data: {event}\n\n").leak();
        let upstream = Upstream::always(200, "text/event-stream", event).await;
        let done = home.run(&["generate", "hello", "--upstream", &upstream.url]);
        assert_eq!((done.code, &*done.out), (1, "half\n"), "{}", done.err);
        assert!(done.err.contains(&format!("the answer is {why}")), "{}", done.err);
        let done = home.run(&["generate", "hello", "--json", "--upstream", &upstream.url]);
        let json = done.json();
        assert_eq!((done.code, &json["text"], &json["finish_reason"]), (1, &"half".into(), &reason.into()));
        assert!(json["error"].as_str().is_some_and(|error| error.ends_with(why)), "{json}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generate_reports_why_no_key_serves() {
    let home = Home::new();
    home.add(0, &["--id", "one"]);
    let done = home.run(&["generate", "hello", "--upstream", "http://127.0.0.1:9"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("http://127.0.0.1:9") && done.err.contains("Connection refused"), "{}", done.err);
    let sim = sim(1).await;
    let home = Home::new();
    home.add(0, &["--id", "one", "--rpm", "1"]);
    home.run(&["generate", "hello", "--upstream", &sim.url()]).good();
    let done = home.run(&["generate", "hello", "--wait", "0", "--upstream", &sim.url()]);
    assert_eq!(done.code, 3, "{}", done.err);
    assert!(done.err.contains("limit used up"), "{}", done.err);
    let done = home.run(&["generate", "hello", "--wait", "0", "--json", "--upstream", &sim.url()]);
    assert!(done.json()["error"].as_str().is_some_and(|why| why.contains("limit used up")), "{}", done.out);
    home.run(&["keys", "disable", "one", "--reason", "too dear"]).good();
    let done = home.run(&["generate", "hello", "--upstream", &sim.url()]);
    assert_eq!(done.code, 4, "{}", done.err);
    assert!(done.err.contains("one (database): disabled: too dear; "), "{}", done.err);
    assert!(done.err.contains("; keypool keys enable one"), "{}", done.err);
    home.write("prompts.txt", "hello\n");
    let done = home.run(&["batch", "prompts.txt", "-o", "out.jsonl", "--upstream", &sim.url()]);
    assert!(done.code == 4 && done.err.contains("keypool keys enable one"), "{}", done.err);
    let done = Home::new().run(&["generate", "hello", "--upstream", &sim.url()]);
    assert!(done.code == 4 && done.err.contains("keypool add-key"), "{}", done.err);
}

const ADMIN: [(&str, &str); 1] = [("KEYPOOL_ADMIN_TOKEN", "the-admin-token")];

/// Starts a server with the part of the admin API that the commands use.
async fn admin() -> Upstream {
    Upstream::start(|request| {
        if request.headers().get("x-keypool-admin").is_none_or(|token| token != "the-admin-token") {
            return reply(401, "application/json", r#"{"error": {"message": "wrong admin token"}}"#);
        }
        let body = match request.uri().path() {
            "/-/admin/requests/abc" => serde_json::json!({
                "id": "abc", "at_ms": 0, "method": "POST", "path": GENERATE, "status": 499, "milliseconds": 7,
                "attempts": [{ "key": "k-1", "project": "p", "model": "m", "class": "key_rejected", "status": 400,
                    "message": "API key not valid", "milliseconds": 3 }], "cause": "the client left" }),
            "/-/admin/snapshot" => serde_json::json!({ "pools": [{ "name": "gemini",
                "keys": [{ "id": "k-1", "project": "p", "tier": "free", "state": "partly", "limits": [
                    { "model": "gemini-2.5-flash", "unit": "requests", "span": "minute", "limit": 10, "used": 10,
                      "source": "given", "opens_in_seconds": 41 }] }] }] }),
            _ => return reply(404, "application/json", r#"{"error": {"message": "this request is not remembered"}}"#),
        };
        reply(200, "application/json", body.to_string())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_is_explained_by_the_gateway() {
    let admin = admin().await;
    let home = Home::new();
    let explain = |id: &str, url: &str| run_in(home.path(), &["explain", id, "--admin", url], "", &ADMIN);
    let done = explain("abc", &admin.url).good();
    assert!(done.out.contains("\ncause: the client left") && done.out.contains("key rejected"), "{}", done.out);
    assert!(done.out.contains("k-1") && !done.out.contains("token"), "{}", done.out);
    let done = explain("other", &admin.url);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("not remembered"), "{}", done.err);
    let foreign = Upstream::always(200, "application/json", "{}").await;
    let done = explain("abc", &foreign.url);
    assert!(done.code == 1 && done.err.contains("is this the admin address"), "{}", done.err);
    let done = explain("abc", "http://127.0.0.1:9");
    assert!(done.code == 1 && done.err.contains("http://127.0.0.1:9") && done.err.contains("refused"), "{}", done.err);
    home.run(&["explain", "abc", "--admin", &admin.url]).wrong("the admin token is missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_token_is_not_sent_over_unsafe_connections() {
    let home = Home::new();
    for url in ["http://gateway.example", "http://192.0.2.1:5000", "ftp://localhost", "nonsense"] {
        run_in(home.path(), &["explain", "abc", "--admin", url], "", &ADMIN).wrong("");
    }
    // TLS with a self-signed certificate.
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start_with(&upstream.url, 1, |command, folder| {
        std::fs::write(folder.join("cert.pem"), certified.cert.pem()).expect("written");
        std::fs::write(folder.join("key.pem"), certified.signing_key.serialize_pem()).expect("written");
        command.args(["--db", "none", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]).envs(ADMIN);
    });
    let done = run_in(home.path(), &["explain", "abc", "--admin", &gateway.url], "", &ADMIN);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("certificate"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn monitor_shows_keys_of_the_database_and_of_a_gateway() {
    let admin = admin().await;
    let home = Home::new();
    home.add(1, &["--id", "mine"]);
    let done = home.run(&["monitor", "--plain", "--count", "2", "--interval", "100ms"]).good();
    assert_eq!(done.out.matches("mine usable").count(), 2, "{}", done.out);
    let done = run_in(home.path(), &["monitor", "--admin", &admin.url, "--count", "1"], "", &ADMIN).good();
    assert!(done.out.contains("k-1 partly | 2.5-flash full, 41 s left | 2.5-flash 10/10/min"), "{}", done.out);
    let picture = home.json(&["monitor", "--count", "1"]);
    assert_eq!(picture["keys"][0]["id"], "mine");
    home.run(&["monitor", "--interval", "0"]).wrong("--interval");
    let other = Upstream::always(200, "application/json", "{}").await;
    let done = run_in(home.path(), &["monitor", "--admin", &other.url, "--count", "1"], "", &ADMIN);
    assert_eq!(done.code, 1, "{}", done.out);
    assert!(done.err.contains("the admin address of a gateway"), "{}", done.err);
}

#[test]
fn signals_end_commands_that_wait_for_a_response() {
    let home = Home::new();
    home.add(0, &[]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let commands =
        [(&["monitor", "--plain", "--admin", &url][..], 0), (&["generate", "hello", "--upstream", &url], 130)];
    for ((arguments, code), name) in commands.into_iter().flat_map(|command| [(command, "INT"), (command, "TERM")]) {
        let mut child = program(home.path()).args(arguments).envs(ADMIN).spawn().expect("the program starts");
        let _connection = silent.accept().expect("a connection");
        signal(&child, name);
        assert_eq!(end(&mut child).and_then(|status| status.code()), Some(code), "{arguments:?}, {name}");
    }
}

#[test]
fn completions_and_help_cover_all_commands() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = home.run(&["completions", shell]).good().out;
        assert!(script.contains("test-keys") && script.contains("completions"), "{shell}");
    }
    for command in
        ["serve", "demo", "add-key", "import", "keys", "test-keys", "generate", "batch", "usage", "tenants", "db"]
    {
        assert!(home.run(&[command, "--help"]).good().out.contains("Usage:"), "{command}");
    }
    home.run(&["nonsense"]).wrong("unrecognized subcommand");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_resumes_where_it_stopped() {
    let sim = sim(2).await;
    let home = Home::new();
    home.add(0, &[]);
    home.add(1, &[]);
    home.write("prompts.txt", "one\ntwo\nthree\n");
    let batch = |more: &[&str]| {
        home.run(&[&["batch", "prompts.txt", "--no-progress", "--upstream", &sim.url()], more].concat())
    };
    let summary = batch(&["-o", "answers.jsonl", "--json"]).good().json();
    assert_eq!((&summary["ok"], &summary["failed"]), (&3.into(), &0.into()));
    let answers = std::fs::read_to_string(home.path().join("answers.jsonl")).expect("results");
    assert_eq!(answers.lines().filter(|line| line.contains("\"success\":true")).count(), 3, "{answers}");
    home.write("prompts.txt", "one\ntwo\nthree\nfour\n");
    let summary = batch(&["-o", "answers.jsonl", "--json"]).good().json();
    assert_eq!((&summary["ok"], &summary["skipped"]), (&1.into(), &3.into()));
    assert_eq!(batch(&[]).good().out.lines().count(), 4);
    assert_eq!(batch(&["--model", "gemini-none"]).code, 1);
    batch(&["--json-schema", "none.json"]).wrong("none.json");
    batch(&["--temperature", "9"]).wrong("expected 0 to 2");
    home.run(&["batch", "none.txt"]).wrong("none.txt");
    batch(&["--timeout", "0"]).wrong("--timeout: expected more than 0");
    home.write("keypool.toml", "[batch]\ntimeout = 0\n");
    batch(&[]).wrong("batch.timeout: expected more than 0");
    home.write("keypool.toml", "[batch]\nmodel = \"gemini-none\"\n");
    assert_eq!(batch(&[]).code, 1);
    home.write("keypool.toml", "[batch]\nrate_limit_per_slot = 3600\n");
    // A slot would wait for an hour between the requests.
    batch(&["--concurrency", "1"]).good();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_that_is_added_during_a_batch_is_used() {
    let sim = sim(3).await;
    let home = Home::new();
    home.write("key.txt", &format!("{} rpd=1\n", key(0)));
    home.write("prompts.txt", "one\ntwo\nthree\n");
    let arguments = ["batch", "prompts.txt", "-o", "r.jsonl", "--no-progress", "--upstream", &sim.url()];
    let mut batch = program(home.path()).args(arguments).stderr(Stdio::null()).spawn().expect("the program starts");
    let path = home.path().join("r.jsonl");
    let answered = async |tasks: usize| {
        let wait = async {
            while std::fs::read_to_string(&path).map_or(0, |text| text.lines().count()) < tasks {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("task {tasks} waits"));
    };
    answered(1).await;
    home.write("key.txt", &format!("{} rpd=1\n{} rpd=1\n", key(0), key(1)));
    answered(2).await;
    home.add(2, &["--rpd", "1"]);
    answered(3).await;
    assert_eq!(end(&mut batch).and_then(|status| status.code()), Some(0));
}

/// Sends SIGTERM to a program after its first request has arrived, and returns the program's exit code.
async fn terminated(mut program: Child, sim: &GeminiSim) -> Option<i32> {
    while sim.report().total.arrivals == 0 {
        assert!(program.try_wait().expect("a child process").is_none(), "the program ended without a request");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    signal(&program, "TERM");
    end(&mut program).and_then(|status| status.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_a_batch_after_the_requests_in_flight() {
    let project = Project::new("projects/100000000001").key(key(0).as_str());
    let slow =
        GeminiSim::builder().project(project).latency(Duration::from_secs(1)).start().await.expect("a free port");
    let home = Home::new();
    home.write("keys.txt", &key(0));
    home.write("prompts.txt", &"one\n".repeat(200));
    let arguments =
        ["batch", "prompts.txt", "-o", "answers.jsonl", "--db", "none", "--keys", "keys.txt", "--no-progress"];
    let batch =
        program(home.path()).args(arguments).args(["--upstream", &slow.url()]).spawn().expect("the program starts");
    assert_eq!(terminated(batch, &slow).await, Some(130));
    let answers = std::fs::read_to_string(home.path().join("answers.jsonl")).expect("results");
    let arrivals = slow.report().total.arrivals;
    assert_eq!(answers.lines().count() as u64, arrivals, "each sent request has a result");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unwritable_output_is_an_error_and_no_panic() {
    let project = Project::new("projects/100000000001").key(key(0).as_str());
    let sim = GeminiSim::builder().project(project).latency(Duration::from_millis(500)).start().await.expect("a port");
    let home = Home::new();
    home.add(0, &[]);
    home.write("prompts.txt", "one\ntwo\n");
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("a device");
    let url = sim.url();
    let code = |arguments: &[&str], out: Stdio, err: Stdio| {
        let mut command = program(home.path());
        command.args(arguments).stdin(Stdio::null()).stdout(out).stderr(err);
        let done = command.output().expect("the program starts");
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let batch = ["batch", "prompts.txt", "-o", "r.jsonl", "--monitor-interval", "100ms", "--upstream", &url];
    assert_eq!(code(&batch, Stdio::null(), full().into()).0, Some(0));
    let generate = ["generate", "hello", "--upstream", &url];
    for arguments in [&generate[..], &["usage", "--csv"], &["keys"], &["completions", "bash"]] {
        let (code, text) = code(arguments, full().into(), Stdio::piped());
        assert_eq!((code, text.trim()), (Some(1), "keypool: standard output: No space left on device (os error 28)"));
    }
    let closed = || std::io::pipe().expect("a pipe").1;
    let batch = ["batch", "prompts.txt", "--no-progress", "--upstream", &url];
    for arguments in [&generate[..], &["keys"], &["monitor"], &batch] {
        assert_eq!(code(arguments, closed().into(), Stdio::piped()), (Some(0), String::new()), "a reader may leave");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_keys_have_an_exit_code_and_a_reason() {
    let sim = sim(6).await;
    assert!((0..6).all(|number| sim.refuse_key(&format!("key-{number}"), Some(Refusal::ApiKeyInvalid))));
    let home = Home::new();
    home.add(0, &["--id", "one"]);
    for _ in 0..2 {
        let done = home.run(&["generate", "hello", "--wait", "0", "--json", "--upstream", &sim.url()]);
        assert_eq!(done.code, 4, "{}", done.err);
        assert!(done.err.contains("1 cooling down (key rejected); try again in "), "{}", done.err);
        let error = done.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains("one (database): cooling") && done.err.contains(&error[..40]), "{error}");
    }
    (1..6).for_each(|number| home.add(number, &[]));
    home.write("prompts.txt", &"one\n".repeat(20));
    let done = home.run(&["batch", "prompts.txt", "--monitor-interval", "1s", "--upstream", &sim.url()]);
    assert_eq!(done.code, 4, "{}", done.err);
    assert!(done.err.contains("(key rejected)"), "{}", done.err);
    // Nothing listens at port 9.
    let lines: Vec<String> = (0..2).map(|n| format!("{}\n", key(n))).collect();
    home.write("keys.txt", &lines.concat());
    let batch = ["batch", "prompts.txt", "--db", "none", "--keys", "keys.txt", "--max-wait", "1s"];
    let done = home.run(&[&batch[..], &["--upstream", "http://127.0.0.1:9"]].concat());
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.err.contains("--max-wait has passed"), "{}", done.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn model_of_other_providers_must_be_named() {
    let answer = r#"{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}"#;
    let upstream = Upstream::always(200, "application/json", answer).await;
    let home = Home::new();
    home.write("keys.txt", &key(0));
    home.write("tasks.jsonl", "{\"prompt\": \"a\", \"model\": \"gpt-x\"}\n\"b\"\n");
    let openai = ["--provider", "openai", "--db", "none", "--keys", "keys.txt", "--upstream", &upstream.url];
    home.run(&[&["generate", "hello"], &openai[..]].concat()).wrong("no model is set: use --model");
    let done = home.run(&[&["batch", "tasks.jsonl", "--json", "--no-progress"], &openai[..]].concat());
    assert_eq!((done.code, done.out.lines().count()), (2, 1), "{}", done.err);
    assert!(done.out.contains("\"model\":\"gpt-x\""), "{}", done.out);
    let summary: Value = serde_json::from_str(&done.err).expect("the summary is JSON");
    assert_eq!((&summary["ok"], &summary["failed"]), (&1.into(), &0.into()));
    assert_eq!(summary["input_error"], "line 2: the task has no model: use --model");
    for log in ["tasks.jsonl", "keys.txt", "r.jsonl", "./r.jsonl", "r.jsonl.journal"] {
        let batch = ["batch", "tasks.jsonl", "-o", "r.jsonl", "--error-log", log];
        home.run(&[&batch[..], &openai[..]].concat()).wrong("this is the output, the input or a key file");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_ends_without_quota_or_keys() {
    let project = Project::new("projects/100000000001").limits(Limits::none().rpd(1)).key(key(0).as_str());
    let sim = GeminiSim::builder().project(project).start().await.expect("a free port");
    let home = Home::new();
    home.add(0, &["--id", "one", "--rpd", "1"]);
    home.write("prompts.txt", "one\ntwo\nthree\n");
    let batch = || home.run(&["batch", "prompts.txt", "--no-progress", "--until-exhausted", "--upstream", &sim.url()]);
    let done = batch();
    assert_eq!(done.code, 3, "{}", done.err);
    home.run(&["keys", "disable", "one"]).good();
    let done = batch();
    assert_eq!(done.code, 4, "{}", done.err);
    for more in [&[][..], &["--workers-per-key", "2"]] {
        let arguments = [&["batch", "prompts.txt", "--no-progress", "--db", "none", "--upstream", &sim.url()], more];
        let done = home.run(&arguments.concat());
        assert_eq!(done.code, 4, "{}", done.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn format_of_standard_input_is_detected() {
    let sim = sim(1).await;
    let home = Home::new();
    home.add(0, &[]);
    for (input, ids) in [
        ("\u{feff}{\"id\": \"a\", \"prompt\": \"one\"}\n{\"id\": \"b\", \"prompt\": \"two\"}\n", vec!["a", "b"]),
        ("\n[\r\n{\"id\": \"a\",\n\"prompt\": \"one\"}\n]\n", vec!["a"]),
        ("\u{feff}\n [{\"id\": \"a\", \"prompt\": \"one\"}]", vec!["a"]),
        ("[\"one\",\n\"two\"]", vec!["0", "1"]),
        ("[]", vec![]),
        ("[draft] one\n{two}\n", vec!["0", "1"]),
        ("", vec![]),
    ] {
        let arguments = ["batch", "-", "--no-progress", "--concurrency", "1", "--upstream", &sim.url()];
        let done = home.run_with_input(&arguments, input).good();
        let results = done.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let found: Vec<String> = results.map(|result| result["id"].to_string().replace('"', "")).collect();
        assert_eq!(found, ids, "{input}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_ends_while_standard_input_is_open() {
    let sim = sim(1).await;
    let home = Home::new();
    home.write("keys.txt", &key(0));
    let arguments = ["batch", "-", "-o", "answers.jsonl", "--db", "none", "--keys", "keys.txt", "--no-progress"];
    let mut command = program(home.path());
    command.args(arguments).args(["--upstream", &sim.url()]).stdin(Stdio::piped());
    let mut batch = command.spawn().expect("the program starts");
    let mut input = batch.stdin.take().expect("piped");
    input.write_all(b"one\n").expect("the program reads");
    assert_eq!(terminated(batch, &sim).await, Some(130));
}
