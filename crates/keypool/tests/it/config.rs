//! The configuration as a person meets it: `keypool config`, variables, and where everything comes from.

use std::path::Path;

use serde_json::Value;

use crate::binary::keypool;

const ONE: &str = "AIzaSyTEST-config-key-number-one-0000001";
const TWO: &str = "AIzaSyTEST-config-key-number-two-0000002";
const THREE: &str = "AQ.TEST-config-key-number-three-0000003";
const PLACEHOLDER: &str = "PLACEHOLDER_GEMINI_TOKEN";

/// A folder to run in.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, name: &str, text: &str) -> Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Exit code and everything it printed, none of which is a key.
    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
        let mut command = keypool(args);
        let out = command.current_dir(self.path()).envs(variables.iter().copied()).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        for secret in [ONE, TWO, THREE, "a-secret-token"] {
            assert!(!text.contains(secret), "{args:?} {variables:?}: {text}");
        }
        (out.status.code().unwrap_or(-1), text)
    }

    fn show(&self, variables: &[(&str, &str)]) -> Value {
        let (code, text) = self.run(&["config", "show", "--json"], variables);
        assert_eq!(code, 0, "{variables:?}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// (value, origin) of a setting.
fn setting(shown: &Value, path: &str) -> (String, String) {
    let setting = &shown["settings"][path];
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    (text(&setting["value"]), text(&setting["origin"]))
}

/// Origins of each key.
fn origins(shown: &Value) -> Vec<String> {
    let keys = shown["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| {
            let origins: Vec<&str> = key["origins"].as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
            origins.join(" and ")
        })
        .collect()
}

#[test]
fn every_error_is_said_at_once_with_its_place_and_what_is_allowed() {
    let text = format!(
        r#"# line 1
[[keys]]
id = "work"
secret = "{ONE}"
wieght = 2
weight = "{ONE}"

[[keys]]
id = "work"
min_interval = "2x"
tier = "platinum"

[[models]]
priority = 70000
limits.gold = {{ rpm = -1 }}

[pool]
strategy = "{ONE}"
wait = true

[gateway]
listen = "nonsense"
upstream = "ftp://{ONE}"
{ONE} = 1

[gatway]
x = 1

[retry]
factor = 0.5

[store]
anything = 1
"#
    );
    let folder = Folder::new().with("keypool.toml", &text);
    let variables = [
        ("KEYPOOL__GATEWAY__LISTN", "4"),
        ("LOG_LEVEL", "loud"),
        ("GEMINI_PAID_KEY", TWO),
        ("GEMINI_PAID_RATE_LIMIT", ONE),
        ("GEMINI_API_KEY", THREE),
        ("GEMINI_API_KEY_FILE", "/nowhere/key"),
        ("KEYPOOL_REDIS_URI", "redis://h"),
    ];
    let (code, text) = folder.run(&["config", "check"], &variables);
    assert_eq!(code, 2);
    for expected in [
        "keypool.toml:5: keys[0].wieght: nothing reads this key; known here: id, secret, secret_env",
        "keypool.toml:6: keys[0].weight: expected a number above 0",
        "keypool.toml:8: keys[1]: expected exactly one of secret, secret_env and secret_file",
        "keypool.toml:9: keys[1].id: keys[0] has this id already",
        "keypool.toml:10: keys[1].min_interval: expected a length of time",
        "keypool.toml:11: keys[1].tier: expected \"free\", \"paid\"",
        "keypool.toml:13: models[0]: name is missing",
        "keypool.toml:14: models[0].priority: expected a whole number from 0 to 65535",
        "keypool.toml:15: models[0].limits.gold: expected a tier: free, paid",
        "keypool.toml:15: models[0].limits.gold.rpm: expected a whole number from 0",
        "keypool.toml:18: pool.strategy: expected one of least-loaded, round-robin, weighted, lru, adaptive",
        "keypool.toml:19: pool.wait: expected a length of time",
        "keypool.toml:22: gateway.listen: expected HOST:PORT",
        "keypool.toml:23: gateway.upstream: not a base URL: its scheme is neither http nor https",
        "keypool.toml:24: gateway.(a name that is not shown): nothing reads this key",
        "keypool.toml:26: gatway: nothing reads this key; known here: keys, models, pool",
        "keypool.toml:30: retry.factor: expected a number from 1 to 100",
        "keypool.toml:33: store.anything: nothing reads this key",
        "env KEYPOOL__GATEWAY__LISTN: gateway.listn: nothing reads this key",
        "env LOG_LEVEL: log.level: expected one of error, warn, info, debug, trace",
        "env GEMINI_PAID_RATE_LIMIT: expected a whole number of requests a minute",
        "env GEMINI_API_KEY_FILE: /nowhere/key cannot be read",
        "env KEYPOOL_REDIS_URI: no setting is read from it (is KEYPOOL_REDIS_URL meant?)",
    ] {
        assert!(text.contains(expected), "{expected} is missing:\n{text}");
    }
    assert_eq!(text.lines().count(), 24, "{text}");
    let (code, served) = folder.run(&["serve"], &variables);
    assert_eq!((code, served), (2, text), "serve says the same");
}

/// Somebody looks at another database than is meant, and nothing would tell.
#[test]
fn commands_that_read_the_store_alone_name_variables_that_nothing_reads() {
    let folder = Folder::new().with("keys.txt", ONE);
    let variables = [("KEYPOOL_REDIS_URI", "redis://h"), ("XDG_STATE_HOME", folder.path().to_str().unwrap())];
    let said = "keypool: note: env KEYPOOL_REDIS_URI: no setting is read from it (is KEYPOOL_REDIS_URL meant?)";
    assert_eq!(folder.run(&["import", "keys.txt"], &variables[1..]).0, 0);
    for args in [
        &["usage"][..],
        &["usage", "--by", "tenant"],
        &["keys"],
        &["keys", "list", "--all"],
        &["keys", "disable", "nobody"],
        &["health"],
        &["stats"],
        &["tenants"],
        &["db", "check"],
        &["import", "keys.txt"],
        // What stands in the way of it may be just that.
        &["usage", "--db", "/nowhere/at/all.db"],
    ] {
        let (_, told) = folder.run(args, &variables);
        assert_eq!(told.matches(said).count(), 1, "{args:?}: {told}");
        let (_, told) = folder.run(args, &variables[1..]);
        assert!(!told.contains("no setting is read"), "{args:?}: {told}");
    }
    let (code, told) = folder.run(&["usage"], &[("KEYPOOL_LEASE", "never"), ("KEYPOOL_REDIS_URI", "redis://h")]);
    assert!(code == 2 && told.contains("env KEYPOOL_LEASE: ") && told.contains("KEYPOOL_REDIS_URL meant"), "{told}");
}

#[test]
fn what_a_value_may_be_is_said_whatever_stands_there_and_what_is_there_twice() {
    let wrong = [
        ("[keys]\nsecret = 1", "1: keys: expected tables, each begun with [[keys]]"),
        ("models = \"x\"", "1: models: expected tables, each begun with [[models]]"),
        ("[pool]\nstrategy = 3", "2: pool.strategy: expected one of least-loaded, round-robin"),
        ("[gateway]\nlisten = 5000", "2: gateway.listen: expected a text"),
        ("[log]\ndirectory = true", "2: log.directory: expected the path of a file or folder"),
        ("[store]\nurl = \"redis://h:99999\"", "2: store.url: "),
        ("[store]\nurl = \"rediss://h:99999\"", "2: store.url: "),
        ("[pool]\nkey_files = [\"keys.txt\", \"keys.txt\"]", "2: pool.key_files[1]: this file is there twice"),
        ("[limits.known.\"\"]\nfree = {}", "1: limits.known.\"\": expected a model's name"),
        (
            "[limits.default.free]\nrpm = 1\nwindows = [{ unit = \"requests\", span = \"60s\", amount = 5 }]",
            "3: limits.default.free.windows[0]: rpm says how many of these a minute already",
        ),
        (
            "[[models]]\nname = \"m\"\n[models.limits.free]\nwindows = [{ unit = \"images\", span = 5, amount = 5 }, \
             { unit = \"images\", span = \"5s\", amount = 6 }]",
            "4: models[0].limits.free.windows[1]: windows[0] counts the same over the same span already",
        ),
    ];
    for (text, said) in wrong {
        let folder = Folder::new().with("keypool.toml", text).with("keys.txt", ONE);
        let (code, told) = folder.run(&["config", "check"], &[]);
        assert_eq!(code, 2, "{text}: {told}");
        assert!(told.contains(&format!("keypool.toml:{said}")), "{text}: {told}");
        assert_eq!(told.lines().count(), 2, "{text}: {told}");
    }
    let text = format!("[[keys]]\nsecret = \"{ONE}\"\n\n[[keys]]\nsecret = \"{ONE}\"\nlimits.\"\" = {{}}\n");
    let folder = Folder::new().with("keypool.toml", &text);
    let (code, told) = folder.run(&["config", "check"], &[]);
    assert!(code == 2 && told.contains("keypool.toml:6: keys[1].limits.\"\": expected a model's name"), "{told}");
    let folder = Folder::new().with("keypool.toml", text.lines().take(5).collect::<Vec<_>>().join("\n").as_str());
    let (code, told) = folder.run(&["config", "check"], &[]);
    assert!(code == 0 && told.contains("keypool.toml:4: keys[1]: this is the key of keys[0] again"), "{told}");
    assert!(told.contains("all is well: 1 key: 1 from keypool.toml"), "{told}");
}

/// Whatever is laid over it: what the rest of the section says would be lost without a word.
#[test]
fn a_section_that_is_no_table_is_refused_also_where_a_variable_or_an_option_sets_something_in_it() {
    let wrong = [
        ("[[gateway]]\ntokn = 1", "1: gateway[0]: expected a table"),
        ("gateway = \"x\"", "1: gateway: "),
        ("[log]\n[[store]]\nurl = \"x.db\"", "2: store[0]: expected a table"),
        ("\nstore = 7", "2: store: "),
    ];
    for (text, said) in wrong {
        for variables in [&[][..], &[("LISTEN_PORT", "25777"), ("KEYPOOL_TOKEN", "a-secret-token")]] {
            for args in [&["config", "check"][..], &["config", "check", "--db", "none"]] {
                let folder = Folder::new().with("keypool.toml", text).with("keys.txt", ONE);
                let (code, told) = folder.run(args, variables);
                assert_eq!(code, 2, "{text} {args:?}: {told}");
                assert!(told.contains(&format!("keypool.toml:{said}")), "{text} {args:?}: {told}");
            }
        }
    }
    // What is rightly no table: that a variable cannot reach into it is said.
    let text = format!("[[keys]]\nsecret = \"{ONE}\"\n");
    let folder = Folder::new().with("keypool.toml", &text);
    let (code, told) = folder.run(&["config", "check"], &[("KEYPOOL__KEYS__0__WEIGHT", "2")]);
    assert!(code == 2 && told.contains("env KEYPOOL__KEYS__0__WEIGHT: keys: no table in the file"), "{told}");
    assert!(!told.contains("keypool.toml:"), "{told}");
}

#[test]
fn what_is_no_toml_is_named_by_its_line() {
    let folder = Folder::new().with("keypool.toml", "[pool]\nstrategy = \"lru\nwait = \n[gateway]\ntokn = 1\n");
    let (code, text) = folder.run(&["config", "check"], &[]);
    assert_eq!(code, 2);
    for line in ["keypool.toml:2: ", "keypool.toml:3: ", "keypool.toml:5: gateway.tokn: "] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let (code, text) = folder.run(&["config", "check", "missing.toml"], &[]);
    assert_eq!(code, 2);
    assert!(text.contains("missing.toml: the configuration cannot be read") && text.contains("check that"), "{text}");
}

#[test]
fn the_file_is_found_in_its_places_in_their_order() {
    let marked = |name: &str| format!("[gateway]\nhosts = [\"{name}\"]\n");
    let folder = Folder::new()
        .with("flag.toml", &marked("flag"))
        .with("env.toml", &marked("env"))
        .with("here/keypool.toml", &marked("here"))
        .with("home/keypool/keypool.toml", &marked("home"))
        .with("user/.config/keypool/keypool.toml", &marked("user"));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let ask = |cwd: &str, args: &[&str], variables: &[(&str, String)]| {
        let mut command = keypool(&[&["config", "show", "--json"], args].concat());
        std::fs::create_dir_all(folder.path().join(cwd)).unwrap();
        command.current_dir(folder.path().join(cwd));
        let out = command.envs(variables.iter().map(|(name, value)| (name, value))).output().unwrap();
        let shown: Value = serde_json::from_slice(&out.stdout).unwrap();
        setting(&shown, "gateway.hosts").0
    };
    let (env, home, user) = (path("env.toml"), path("home"), path("user"));
    let all = [("KEYPOOL_CONFIG", env), ("XDG_CONFIG_HOME", home), ("HOME", user)];
    assert_eq!(ask("here", &["--config", &path("flag.toml")], &all), r#"["flag"]"#);
    assert_eq!(ask("here", &[], &all), r#"["env"]"#);
    assert_eq!(ask("here", &[], &all[1..]), r#"["here"]"#);
    assert_eq!(ask("nothing", &[], &all[1..]), r#"["home"]"#);
    assert_eq!(ask("nothing", &[], &all[2..]), r#"["user"]"#);
    assert_eq!(ask("nothing", &[], &[]), "[]");
}

#[test]
fn every_default_is_visible_and_every_origin_is_named() {
    let text = "[gateway]\nlisten = \"127.0.0.1:6000\"\n\n[retry]\nmax_retries = 5\n";
    let folder = Folder::new().with("keypool.toml", text);
    let shown = folder.show(&[("KEYPOOL__RETRY__CAP", "10s"), ("KEYPOOL_TOKEN", "a-secret-token")]);
    for (path, value, origin) in [
        ("gateway.listen", "127.0.0.1:6000", "keypool.toml:2"),
        ("gateway.upstream", "https://generativelanguage.googleapis.com", "default"),
        ("gateway.token", "***", "env KEYPOOL_TOKEN"),
        ("gateway.grace", "10s", "default"),
        ("retry.max_retries", "5", "keypool.toml:5"),
        ("retry.cap", "10s", "env KEYPOOL__RETRY__CAP"),
        ("retry.first", "1s", "default"),
        ("rests.rate_limited.first", "10s", "default"),
        ("rests.longest", "32d", "default"),
        ("pool.wait", "5s", "default"),
        ("pool.strategy", "least-loaded", "default"),
        ("limits.assume_known", "true", "default"),
        ("log.level", "info", "default"),
        ("log.file_mib", "10", "default"),
        ("log.keep", "7", "default"),
    ] {
        assert_eq!(setting(&shown, path), (value.to_owned(), origin.to_owned()), "{path}");
    }
    let (_, text) = folder.run(&["config", "show"], &[]);
    assert!(text.contains("gateway.listen = \"127.0.0.1:6000\"") && text.contains("# keypool.toml:2"), "{text}");
    assert!(text.contains("gateway.token = \"PLACEHOLDER_GEMINI_TOKEN\""), "{text}");
}

#[test]
fn what_is_known_of_models_is_shown_as_it_is_overridden() {
    let text = "[limits.known.\"gemini-2.5-pro\"]\nfree = { rpm = 9 }\ntier-2 = {}\n";
    let folder = Folder::new().with("keypool.toml", text);
    let shown = folder.show(&[]);
    let row = |model: &str, tier: &str| {
        let rows = shown["known_limits"]["table"].as_array().unwrap();
        let row = rows.iter().find(|row| (&row["model"], &row["tier"]) == (&model.into(), &tier.into())).unwrap();
        (row["limits"].to_string(), row["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(row("gemini-2.5-pro", "free"), (r#"["9 requests/minute"]"#.to_owned(), "keypool.toml:2".to_owned()));
    assert_eq!(row("gemini-2.5-pro", "tier-2"), ("[]".to_owned(), "keypool.toml:3".to_owned()));
    assert_eq!(row("gemini-2.5-pro", "paid").1, "known in 2026-09");
    assert_eq!(row("gemini-2.5-flash", "free").1, "known in 2026-09");
    let (_, text) = folder.run(&["config", "show"], &[]);
    assert!(text.contains("gemini-2.5-pro, tier-2: nothing") && text.contains("# keypool.toml:3"), "{text}");
    let off = folder.show(&[("KEYPOOL__LIMITS__ASSUME_KNOWN", "false")]);
    assert_eq!(off["known_limits"]["table"], serde_json::json!([]));
    let other = folder.show(&[("KEYPOOL_PROVIDER", "openai")]);
    assert_eq!(other["known_limits"]["table"].as_array().unwrap().len(), 2, "only what is said");
}

#[test]
fn settings_go_by_the_names_that_people_use_and_ours_win() {
    let folder = Folder::new().with("keys.txt", ONE).with("token", "a-secret-token\n");
    for (variables, path, value, origin) in [
        (&[("LISTEN_HOST", "127.0.0.2")][..], "gateway.listen", "127.0.0.2:5000", "env LISTEN_HOST"),
        (&[("LISTEN_PORT", "81")], "gateway.listen", "127.0.0.1:81", "env LISTEN_PORT"),
        (
            &[("LISTEN_HOST", "::1"), ("LISTEN_PORT", "82")],
            "gateway.listen",
            "[::1]:82",
            "env LISTEN_HOST and LISTEN_PORT",
        ),
        (
            &[("LISTEN_PORT", "1"), ("KEYPOOL_LISTEN_PORT", "83")],
            "gateway.listen",
            "127.0.0.1:83",
            "env KEYPOOL_LISTEN_PORT",
        ),
        (
            &[("LISTEN_PORT", "1"), ("KEYPOOL_LISTEN", "127.0.0.1:84")],
            "gateway.listen",
            "127.0.0.1:84",
            "env KEYPOOL_LISTEN",
        ),
        (
            &[("KEYPOOL__GATEWAY__LISTEN", "127.0.0.1:85"), ("KEYPOOL_LISTEN", "127.0.0.1:84")],
            "gateway.listen",
            "127.0.0.1:85",
            "env KEYPOOL__GATEWAY__LISTEN",
        ),
        (
            &[("GEMINI_API_BASE_URL", "http://a.example")],
            "gateway.upstream",
            "http://a.example",
            "env GEMINI_API_BASE_URL",
        ),
        (
            &[("GEMINI_API_BASE_URL", "http://a.example"), ("KEYPOOL_GEMINI_API_BASE_URL", "http://b.example")],
            "gateway.upstream",
            "http://b.example",
            "env KEYPOOL_GEMINI_API_BASE_URL",
        ),
        (
            &[
                ("KEYPOOL_PROVIDER", "openai"),
                ("OPENAI_BASE_URL", "http://c.example/v1"),
                ("GEMINI_API_BASE_URL", "http://a"),
            ],
            "gateway.upstream",
            "http://c.example/v1",
            "env OPENAI_BASE_URL",
        ),
        (&[("PLACEHOLDER_TOKEN", "a-secret-token")], "gateway.token", "***", "env PLACEHOLDER_TOKEN"),
        (&[("PLACEHOLDER_TOKEN_FILE", "token")], "gateway.token", "***", "env PLACEHOLDER_TOKEN_FILE"),
        (
            &[("PLACEHOLDER_TOKEN", "x"), ("KEYPOOL_TOKEN_FILE", "token")],
            "gateway.token",
            "***",
            "env KEYPOOL_TOKEN_FILE",
        ),
        (&[("API_KEY_FILE", "keys.txt")], "pool.key_files", r#"["keys.txt"]"#, "env API_KEY_FILE"),
        (
            &[("API_KEY_FILE", "none"), ("KEYPOOL_API_KEY_FILE", "keys.txt")],
            "pool.key_files",
            r#"["keys.txt"]"#,
            "env KEYPOOL_API_KEY_FILE",
        ),
        (&[("LOG_DIRECTORY", "logs")], "log.directory", "logs", "env LOG_DIRECTORY"),
        (&[("LOG_FORMAT", "json")], "log.format", "json", "env LOG_FORMAT"),
        (&[("LOG_LEVEL", "WARNING")], "log.level", "warn", "env LOG_LEVEL"),
        (&[("LOG_LEVEL", "WARNING"), ("KEYPOOL_LOG_LEVEL", "debug")], "log.level", "debug", "env KEYPOOL_LOG_LEVEL"),
        (&[("KEYPOOL__POOL__FALLBACK", "a, b")], "pool.fallback", r#"["a","b"]"#, "env KEYPOOL__POOL__FALLBACK"),
        (&[("KEYPOOL__POOL__FALLBACK", "[\"c\"]")], "pool.fallback", r#"["c"]"#, "env KEYPOOL__POOL__FALLBACK"),
        (
            &[("KEYPOOL__RESTS__SUSPECT__FIRST", "90")],
            "rests.suspect.first",
            "90s",
            "env KEYPOOL__RESTS__SUSPECT__FIRST",
        ),
        (&[("KEYPOOL__RETRY__JITTER", "false")], "retry.jitter", "false", "env KEYPOOL__RETRY__JITTER"),
        (&[("LOG_LEVEL", "")], "log.level", "info", "default"),
    ] {
        let shown = folder.show(variables);
        assert_eq!(setting(&shown, path), (value.to_owned(), origin.to_owned()), "{variables:?}");
    }
}

#[test]
fn keys_come_from_every_variable_that_people_use_and_are_united() {
    let folder = Folder::new().with("secret", &format!("{THREE}\n"));
    let (one, two) = (format!("{ONE},{TWO}"), format!(" {ONE};\n{TWO} {THREE}\n"));
    for (variables, expected) in [
        (&[("GEMINI_API_KEY", ONE)][..], &["env GEMINI_API_KEY"][..]),
        (&[("GOOGLE_API_KEY", ONE)], &["env GOOGLE_API_KEY"]),
        (&[("GEMINI_API_KEYS", &*two)], &["env GEMINI_API_KEYS"; 3]),
        (&[("GEMINI_API_KEY_2", TWO), ("GEMINI_API_KEY_10", ONE)], &["env GEMINI_API_KEY_2", "env GEMINI_API_KEY_10"]),
        (
            &[("GEMINI_FREE_KEYS", &*one), ("GEMINI_PAID_KEY", THREE)],
            &["env GEMINI_FREE_KEYS", "env GEMINI_FREE_KEYS", "env GEMINI_PAID_KEY"],
        ),
        (&[("GEMINI_API_KEY", ONE), ("KEYPOOL_GEMINI_API_KEY", TWO)], &["env KEYPOOL_GEMINI_API_KEY"]),
        (&[("GEMINI_API_KEY_FILE", "secret")], &["env GEMINI_API_KEY_FILE"]),
        (
            &[("GEMINI_API_KEY", ONE), ("GEMINI_API_KEY_FILE", "secret")],
            &["env GEMINI_API_KEY", "env GEMINI_API_KEY_FILE"],
        ),
        (&[("KEYPOOL_GEMINI_API_KEY", ONE), ("GEMINI_API_KEY_FILE", "secret")], &["env KEYPOOL_GEMINI_API_KEY"]),
        (&[("GEMINI_API_KEY_1_FILE", "secret")], &["env GEMINI_API_KEY_1_FILE"]),
        (
            &[("GEMINI_API_KEY", ONE), ("GEMINI_API_KEYS", &*one), ("GOOGLE_API_KEY", ONE)],
            &["env GEMINI_API_KEY and env GEMINI_API_KEYS and env GOOGLE_API_KEY", "env GEMINI_API_KEYS"],
        ),
        (&[("OPENAI_API_KEY", ONE), ("GEMINI_API_KEY", TWO), ("KEYPOOL_PROVIDER", "openai")], &["env OPENAI_API_KEY"]),
        (&[("ANTHROPIC_API_KEY", ONE), ("KEYPOOL__GATEWAY__PROVIDER", "anthropic")], &["env ANTHROPIC_API_KEY"]),
        (&[("OPENAI_API_KEY", ONE)], &[]),
    ] {
        assert_eq!(origins(&folder.show(variables)), expected, "{variables:?}");
    }
}

#[test]
fn a_client_token_is_never_taken_for_a_key() {
    let text = "[[keys]]\nsecret_env = \"WORK_KEY\"\n[gateway]\ntoken = \"a-secret-token\"\n[pool]\nkey_files = [\"keys.csv\"]\n";
    let folder =
        Folder::new().with("keypool.toml", text).with("keys.csv", &format!("key,id\n{PLACEHOLDER},x\n{ONE},one\n"));
    let values = format!("{PLACEHOLDER},{TWO},a-secret-token-of-20-and-more");
    let variables =
        [("GEMINI_API_KEYS", &*values), ("KEYPOOL_TOKEN", "a-secret-token-of-20-and-more"), ("WORK_KEY", THREE)];
    let shown = folder.show(&variables);
    assert_eq!(origins(&shown), ["keypool.toml:1", "keys.csv:3", "env GEMINI_API_KEYS"]);
    let notes = shown["notes"].to_string();
    assert_eq!(notes.matches("token that clients send").count(), 3, "{notes}");
    assert!(notes.contains("keys.csv:2") && notes.contains("env GEMINI_API_KEYS: value 1"), "{notes}");

    let (code, text) = folder.run(&["config", "check"], &[("WORK_KEY", PLACEHOLDER)]);
    assert_eq!(code, 2);
    assert!(text.contains("keypool.toml:2: keys[0].secret_env: it is the token that clients send"), "{text}");
}

#[test]
fn a_check_finds_lines_of_key_files_that_are_no_key() {
    let folder = Folder::new().with("key.txt", &format!("{ONE} rpm=ten\n{TWO}\n"));
    let (code, text) = folder.run(&["config", "check"], &[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("key.txt:1: the line is skipped") && text.contains("1 line of key files"), "{text}");
}

#[test]
fn one_key_of_several_sources_is_one_and_remembers_them_all() {
    let text =
        "[[keys]]\nid = \"work\"\nsecret_file = \"secrets/work\"\nweight = 2\n\n[pool]\nkey_files = [\"keys.json\"]\n";
    let folder = Folder::new().with("etc/keypool.toml", text).with("etc/secrets/work", &format!("{ONE}\n")).with(
        "etc/keys.json",
        &format!("[\n  {{\"key\": \"{ONE}\", \"weight\": 9, \"owner\": \"project-a\"}},\n  \"{TWO}\"\n]"),
    );
    let variables = [("KEYPOOL_CONFIG", "etc/keypool.toml"), ("GEMINI_API_KEY", ONE)];
    let shown = folder.show(&variables);
    let expected = ["etc/keypool.toml:1 and etc/keys.json:2 and env GEMINI_API_KEY", "etc/keys.json:3"];
    assert_eq!(origins(&shown), expected);
    assert_eq!(shown["keys"][0]["id"], "work");
    assert_eq!(shown["keys"][0]["owner"], "project-a");
}

#[test]
fn secrets_that_are_not_there_are_named_by_their_setting() {
    let text =
        "[[keys]]\nsecret_env = \"NOT_SET\"\n[[keys]]\nsecret_file = \"nowhere\"\n[gateway]\ntoken_file = \"none\"\n";
    let folder = Folder::new().with("keypool.toml", text);
    let (code, text) = folder.run(&["config", "check"], &[]);
    assert_eq!(code, 2);
    for expected in [
        "keypool.toml:2: keys[0].secret_env: this variable is not set in the environment",
        "keypool.toml:4: keys[1].secret_file: nowhere cannot be read",
        "keypool.toml:6: gateway.token_file: none cannot be read",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn keys_of_another_provider_are_told_of_where_there_are_no_others() {
    let (code, told) = Folder::new().run(&["config", "check"], &[("OPENAI_API_KEY", ONE)]);
    assert_eq!(code, 2);
    assert!(
        told.contains("env OPENAI_API_KEY is a key of another provider: KEYPOOL_PROVIDER=openai serves it"),
        "{told}"
    );
    assert!(!told.contains(ONE) && !told.contains("ANTHROPIC"), "{told}");
}

#[test]
fn the_shipped_example_loads_and_keeps_to_the_schema() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/keypool.toml");
    let text = std::fs::read_to_string(&example).unwrap();
    let folder = Folder::new().with("keypool.toml", &text).with("keys.txt", &format!("{TWO}\n"));
    let (code, printed) = folder.run(&["config", "schema"], &[]);
    assert_eq!(code, 0);
    let schema: Value = serde_json::from_str(&printed).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors = |toml: &str| -> Vec<String> {
        let value = serde_json::to_value(toml.parse::<toml::Table>().unwrap()).unwrap();
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    };
    assert_eq!(errors(&text), Vec::<String>::new());
    // And it does refuse.
    for wrong in [
        "[gateway]\ntokn = 1",
        "[pool]\nstrategy = \"x\"",
        "[[keys]]\nweight = -1",
        "[[models]]\npriority = 1",
        "[pool]\nwait = true",
        "[store]\nx = 1",
    ] {
        assert_ne!(errors(wrong), Vec::<String>::new(), "{wrong}");
    }
    let tokyo = ("TOKYO_PROXY", "http://me:a-secret-token@proxy.example:3128");
    let variables = [("WORK_KEY", ONE), ("KEYPOOL_TOKEN", "a-secret-token"), tokyo];
    let (code, text) = folder.run(&["config", "check"], &variables);
    assert_eq!(code, 0, "{text}");
    // Every setting there is, is in the example: it is the reference.
    let shown = folder.show(&variables);
    let example = text_of_settings(&std::fs::read_to_string(example).unwrap());
    for path in shown["settings"].as_object().unwrap().keys() {
        let name = path.rsplit(['.', ']']).next().unwrap();
        let held = name.is_empty() || example.contains(name);
        assert!(held, "{path} is not in examples/keypool.toml");
    }
}

/// An editor says of a file what `config check` does.
#[test]
fn a_number_that_is_written_as_text_is_taken_by_check_and_schema() {
    let (_, printed) = Folder::new().run(&["config", "schema"], &[]);
    let validator = jsonschema::validator_for(&serde_json::from_str(&printed).unwrap()).unwrap();
    for (name, texts) in [
        ("weight", &["2", " 0.5 ", ".5", "1e3", "+2", "1.", "x", "", "-1", "NaN", "0x2"][..]),
        ("priority", &["3", "free", "paid", " 7", "+1", "-1", "1.5", "x", ""]),
        ("max_concurrent_requests", &["2", "+2 ", "-1", "two", "1.0", ""]),
        ("limits", &["15", " 15", "+15", "-15", "15.0", "1e3", ""]),
        ("retries", &["3", " 3", "-3", "3.0", ""]),
    ] {
        for text in texts {
            let toml = match name {
                "limits" => format!("[[keys]]\nsecret = '{ONE}'\nlimits = {{ '*' = {{ rpm = '{text}' }} }}\n"),
                "retries" => format!("[[keys]]\nsecret = '{ONE}'\n[retry]\nmax_retries = '{text}'\n"),
                _ => format!("[[keys]]\nsecret = '{ONE}'\n{name} = '{text}'\n"),
            };
            let value = serde_json::to_value(toml.parse::<toml::Table>().unwrap()).unwrap();
            let (code, said) = Folder::new().with("keypool.toml", &toml).run(&["config", "check"], &[]);
            assert_eq!(code == 0, validator.is_valid(&value), "{name} = {text:?}: {said}");
        }
    }
}

/// Of files, as far as a schema can tell: what depends on another value, on a file or on the machine it cannot.
#[test]
fn what_check_takes_and_refuses_in_any_setting_the_schema_does_too() {
    let (_, printed) = Folder::new().run(&["config", "schema"], &[]);
    let validator = jsonschema::validator_for(&serde_json::from_str(&printed).unwrap()).unwrap();
    let key = format!("[[keys]]\nsecret = '{ONE}'\n");
    let long = "x".repeat(257);
    let hash = "aB".repeat(32);
    let (in_key, in_models) = (format!("{key}%"), format!("{key}[[models]]\nname = 'm'\n%"));
    let table = |name: &str| format!("{key}[{name}]\n%");
    let entry = |name: &str, more: &str| format!("{key}[[{name}]]\n{more}\n%");
    let provider = entry("providers", "name = 'p'\nkind = 'openai'");
    let tenant = entry("tenants", "name = 't'\ntoken = 'a-secret-token'");
    // Where, what is good there, and what is not; a line each.
    let cases: [(&str, &[&str], &[&str]); 27] = [
        (&key, &[""], &[]),
        (
            "%",
            &["keys = []\n[pool]\nkey_files = ['keys.txt']"],
            &["[[keys]]", "[[keys]]\nid = 'a'", "keys = [1]", "x = 1"],
        ),
        ("[[keys]]\n%", &["secret_env = 'WORK'"], &["secret_env = 'WORK'\nsecret_file = 'f'"]),
        (
            &in_key,
            &["id = 'a-b'", "id = 'a..b'", "owner = 'o/p'", "tier = 'tier-2'", "labels = { 'a b' = 'größe' }"],
            &[
                "id = ''",
                "id = 'a b'",
                "id = '..'",
                "id = 'a/..'",
                "id = 'a%2Eb'",
                "id = 'AIza'",
                "id = 'sk-1'",
                "id = 7",
                "owner = 'AQ.x'",
                "owner = ''",
                "tier = 'tier-'",
                "tier = 'Free'",
                "labels = { a = '' }",
                "labels = { '' = 'x' }",
                "labels = { a = 1 }",
                "labels = { a = \"b\\u0007\" }",
            ],
        ),
        (
            &in_key,
            &["limits = { 'a.b' = { rpm = 1 } }", "limits = { m = {} }", "limits = { m = { windows = [] } }"],
            &[
                "limits = { 'a b' = {} }",
                "limits = { '' = {} }",
                "limits = { m = { rpm = -1 } }",
                "limits = { m = { x = 1 } }",
                "limits = []",
            ],
        ),
        (
            &in_key,
            &[
                "min_interval = '1.5s'",
                "min_interval = 2",
                "weight = 0.5",
                "max_concurrent_requests = 3",
                "priority = 'paid'",
            ],
            &[
                "min_interval = '1 year'",
                "min_interval = -1",
                "weight = 0",
                "weight = true",
                "max_concurrent_requests = 0",
                "priority = 70000",
            ],
        ),
        (
            &in_models,
            &[
                "aliases = ['a', 'b']",
                "limits.free = { rpm = 1 }",
                "limits.'*' = {}",
                "priority = 3",
                "[[models]]\nname = 'größe'",
            ],
            &[
                "aliases = ['a', 'a']",
                "aliases = ['a b']",
                "aliases = ['']",
                "aliases = 'a'",
                "limits.gratis = { rpm = 1 }",
                "limits.'tier-' = {}",
                "[[models]]\nname = ''",
                "[[models]]\nname = 'a b'",
                "[[models]]\npriority = 1",
                "priority = 'x'",
            ],
        ),
        (
            &table("pool"),
            &[
                "fallback = ['a', 'b']",
                "strategy = 'lru'",
                "spill = 'any'",
                "wait = '5s'",
                "fallback_on_overloaded = true",
            ],
            &[
                "fallback = ['a', 'a']",
                "fallback = ['a b']",
                "fallback = ['']",
                "strategy = 'LRU'",
                "strategy = 'x'",
                "spill = 'Any'",
                "wait = true",
                "wait = 4000",
                "key_files = ['']",
                "key_files = ['f', 'f']",
                "fallback_on_overloaded = 'true'",
                "x = 1",
            ],
        ),
        (
            &table("retry"),
            &["factor = 1.5", "factor = 2", "max_retries = 0", "jitter = false"],
            &["factor = 0.5", "factor = '2'", "max_retries = 101", "jitter = 1"],
        ),
        (
            &table("rests"),
            &["strikes = 3", "overloaded = { first = '2s' }"],
            &["strikes = 0", "overloaded = { x = 1 }", "overloaded = 3", "probe_cap = 1"],
        ),
        (
            &table("limits"),
            &[
                "default = { free = { rpm = 1 }, '*' = {} }",
                "known = { 'gemini-' = { free = {} } }",
                "learn = false",
                "guard = 0",
            ],
            &[
                "default = { gratis = {} }",
                "known = { m = { '*' = {} } }",
                "known = { 'a b' = {} }",
                "known = { m = { free = { x = 1 } } }",
                "guard = 31",
            ],
        ),
        (
            &table("gateway"),
            &[
                "listen = 'localhost:0'",
                "upstream = 'https://h.example/a@b'",
                "upstream = 'HTTP://h.example'",
                "provider = 'openai'",
                "hosts = ['a.example']",
                "session_header = 'X-Session-Id'",
                "openai = 'passthrough'",
                "threads = 2",
                "max_waiting = 1",
            ],
            &[
                "listen = 'localhost'",
                "upstream = 'h.example'",
                "upstream = 'ftp://h.example'",
                "upstream = 'http://h.example?a'",
                "upstream = 'http://me@h.example'",
                "provider = 'OpenAI'",
                "hosts = ['http://a']",
                "hosts = ['']",
                "session_header = 'session'",
                "session_header = 'x-api-key'",
                "session_header = 'x-a b'",
                "openai = 'x'",
                "threads = 0",
                "max_waiting = 0",
                "strict = 'no'",
                "unknown_names = 'x'",
                "cache_affinity = 'x'",
                "body_timeout = 1",
            ],
        ),
        (
            &provider,
            &["models = ['a*', 'b', '*']", "upstream = 'http://h.example/v1'", "keys = [{ secret_env = 'WORK' }]"],
            &[
                "models = ['a*b']",
                "models = ['']",
                "upstream = 'x'",
                "keys = [{ id = 'x' }]",
                "key_files = 'x'",
                "y = 1",
            ],
        ),
        (
            &entry("providers", "kind = 'openai'"),
            &["name = 'a-B_1'"],
            &["", "name = ''", "name = 'a b'", "name = 'main'", "name = 'a.b'"],
        ),
        (&entry("providers", "name = 'p'"), &["kind = 'anthropic'"], &["kind = 'x'", "kind = 'Anthropic'"]),
        (
            &tenant,
            &["models = ['a*', '*']", "rpm = 1", "expires = '2027-01-31'", "expires = '2027-01-31T12:00:00Z'"],
            &[
                "models = ['a*b']",
                "models = ['']",
                "models = ['a b']",
                "rpm = -1",
                "expires = 'tomorrow'",
                "token_hash = 'x'",
                "x = 1",
            ],
        ),
        (
            &entry("tenants", "name = 't'"),
            &["token_hash = '%'"],
            &["", "token_hash = 'xyz'", "token = 'a'\ntoken_hash = '%'"],
        ),
        (
            &entry("tenants", "token = 'a-secret-token'"),
            &["name = 'a.b'"],
            &["", "name = ''", "name = 'a b'", "name = 'sk-x'"],
        ),
        (
            &table("admin"),
            &["listen = '127.0.0.1:0'\ntoken = 'another-token-of-it'"],
            &["listen = 'x'\ntoken = 'another-token-of-it'", "x = 1"],
        ),
        (
            &table("log"),
            &[
                "level = 'DEBUG'",
                "level = 'Warning'",
                "level = 'notice'",
                "level = 'critical'",
                "format = 'json'",
                "keep = 3",
            ],
            &[
                "level = 'loud'",
                "level = ''",
                "level = 3",
                "level = 'debugs'",
                "format = 'JSON'",
                "keep = 0",
                "directory = ''",
            ],
        ),
        (
            &table("store"),
            &[
                "url = 'auto'",
                "url = 'a/b.db'",
                "url = 'redis://h.example'",
                "url = 'valkeys://h.example'",
                "namespace = 'a:b'",
                "lease = 4",
            ],
            &[
                "url = ''",
                "url = ' '",
                "url = 'http://h.example'",
                "url = 'redis://'",
                "namespace = ''",
                "namespace = 'a b'",
                "lease = 0.1",
                "on_missing = 'x'",
                "on_store_loss = 'x'",
                "expected_processes = 0",
                "password_file = ''",
                "ca_file = ''",
            ],
        ),
        (
            &table("batch"),
            &["model = 'm'", "temperature = 0", "price_input = 1.5"],
            &["model = ' '", "temperature = 3", "price_input = -1", "concurrency = 0"],
        ),
        (
            &table("exits"),
            &["a.local_address = '127.0.0.1'", "a.local_address = '::1'", "'a.b'.proxy = 'http://h.example:1'"],
            &[
                "'a b'.local_address = '127.0.0.1'",
                "a = {}",
                "a.local_address = 'here'",
                "a = { proxy = 'http://h:1', local_address = '::1' }",
            ],
        ),
        (&table("gateway"), &["token = 'a-secret-token'"], &["token = ''", "token = ' '", "token = 'a token of it'"]),
        (&table("admin"), &["token = 'another-token-of-it'"], &["token = ''", "token = ' '"]),
        (
            &entry("tenants", "name = 't'"),
            &["token = 'a-secret-token'"],
            &["token = ''", "token = \"\\t\"", "token = 'größe-und-mehr'"],
        ),
        ("%", &[], &["[gateway]\ntokn = 1", "[[models]]\nname = 1", "[tenants]", "keys = { }"]),
    ];
    let mut told = Vec::new();
    for (place, good, bad) in cases {
        for (line, is_good) in good.iter().map(|line| (line, true)).chain(bad.iter().map(|line| (line, false))) {
            let toml = place.replace('%', line).replace('%', if line.starts_with("id") { "%" } else { &hash });
            let value =
                serde_json::to_value(toml.parse::<toml::Table>().unwrap_or_else(|error| panic!("{toml}: {error}")))
                    .unwrap();
            let folder = Folder::new().with("keypool.toml", &toml).with("keys.txt", &format!("{TWO}\n"));
            let (code, said) = folder.run(&["config", "check"], &[("WORK", THREE)]);
            let is_valid = validator.is_valid(&value);
            if (code == 0, is_valid) != (is_good, is_good) {
                told.push(format!("{line}: check {code}, schema {is_valid}: {said}"));
            }
        }
    }
    for name in [format!("fallback = ['{long}']"), format!("fallback = ['{}']", &long[1..])] {
        let toml = format!("{key}[pool]\n{name}\n");
        let value = serde_json::to_value(toml.parse::<toml::Table>().unwrap()).unwrap();
        let (code, _) = Folder::new().with("keypool.toml", &toml).run(&["config", "check"], &[]);
        assert_eq!(code == 0, validator.is_valid(&value), "{name}");
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn where_the_store_is_comes_from_file_variable_or_option_and_no_password_is_shown() {
    const URL: &str = "rediss://me:a-secret-token@redis.example:6380/1";
    let folder = Folder::new().with("keypool.toml", "[store]\nurl = 'state/here.db'\nlease = 4\n");
    let of = |variables: &[(&str, &str)]| setting(&folder.show(variables), "store.url");
    assert_eq!(of(&[]), ("state/here.db".to_owned(), "keypool.toml:2".to_owned()));
    assert_eq!(of(&[("KEYPOOL_DB", "none")]), ("none".to_owned(), "env KEYPOOL_DB".to_owned()));
    let shown = ("rediss://***@redis.example:6380/1".to_owned(), "env KEYPOOL_REDIS_URL".to_owned());
    assert_eq!(of(&[("KEYPOOL_REDIS_URL", URL)]), shown);
    std::fs::write(folder.path().join("url"), URL).unwrap();
    assert_eq!(of(&[("KEYPOOL_REDIS_URL_FILE", "url")]).1, "env KEYPOOL_REDIS_URL_FILE");
    let (_, text) = folder.run(&["config", "show", "--redis", URL], &[]);
    assert!(
        text.contains("store.url = \"rediss://***@redis.example:6380/1\"") && text.contains("flag --redis"),
        "{text}"
    );
    assert!(text.contains("store.lease = \"4s\"") && text.contains("store.namespace = \"keypool\""), "{text}");

    let wrong = |variables: &[(&str, &str)], expected: &str| {
        let (code, text) = folder.run(&["config", "check"], variables);
        assert!(code == 2 && text.contains(expected), "{variables:?}: {text}");
    };
    wrong(&[("KEYPOOL_REDIS_URL", URL), ("KEYPOOL_DB", "x")], "expected only one of KEYPOOL_DB and KEYPOOL_REDIS_URL");
    wrong(&[("KEYPOOL_REDIS_URL", "a-secret-token")], "env KEYPOOL_REDIS_URL: store.url: expected redis://HOST:PORT");
    wrong(&[("KEYPOOL_REDIS_URL", "http://a-secret-token")], "env KEYPOOL_REDIS_URL: store.url: expected the path of");
    wrong(&[("KEYPOOL__STORE__RENEW", "3")], "store.renew: expected at most half of the lease, 2s, and not 3s");
    wrong(&[("KEYPOOL__STORE__ON_MISSING", "local")], "store.on_missing: expected store.expected_processes beside it");
    wrong(&[("KEYPOOL__STORE__ON_STORE_LOSS", "fair_share")], "expected store.expected_processes beside it");
    let plain = [("KEYPOOL_REDIS_URL", "redis://h"), ("KEYPOOL__STORE__CA_FILE", "url")];
    wrong(&plain, "store.ca_file: expected an address that begins with rediss://");
    let both = [
        ("KEYPOOL_REDIS_URL", URL),
        ("KEYPOOL_REDIS_PASSWORD", "a-secret-token"),
        ("KEYPOOL__STORE__PASSWORD_FILE", "url"),
    ];
    wrong(&both, "store.password_file: expected only one of password and password_file");
    let (code, text) = folder.run(&["keys", "--redis", URL, "--db", "x"], &[]);
    assert_eq!(code, 2, "{text}");
    // What says nothing of a file is no setting of one.
    let folder = folder.with("of-a-file.toml", "[store]\nurl = 'x.db'\npassword_file = 'nowhere'\nnamespace = 'a'\n");
    let check = ["config", "check", "--config", "of-a-file.toml"];
    let (code, text) = folder.run(&check, &[]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("of-a-file.toml:3: store.password_file: expected redis://HOST:PORT as store.url"), "{text}");
    assert!(text.contains("of-a-file.toml:4: store.namespace: expected redis://"), "{text}");
    let (_, text) = folder.run(&check, &[("KEYPOOL_DB", "y.db")]);
    assert!(!text.contains("expected redis://"), "{text}");
    // What is wrong with the rest does not matter to those who look into the store.
    let (_, text) = folder.run(&["keys"], &[("KEYPOOL__POOL__STRATEGY", "nonsense")]);
    assert!(text.contains("there is no database") && text.contains("state/here.db"), "{text}");
}

#[test]
fn the_readmes_block_loads() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let blocks: Vec<&str> = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 3);
    let others = [
        ("OPENAI_KEY_ONE", TWO),
        ("OPENAI_KEY_TWO", THREE),
        ("ANTHROPIC_API_KEY", THREE),
        ("TOKYO_PROXY", "http://me:password@127.0.0.1:3128"),
    ];
    for block in blocks {
        let folder = Folder::new().with("keypool.toml", block);
        let variables = [&[("WORK_KEY", ONE)], &others[..]].concat();
        let (code, text) = folder.run(&["config", "check"], &variables);
        assert_eq!(code, 0, "{block}: {text}");
        assert!(text.starts_with("all is well: 1 key: 1 from keypool.toml"), "{block}: {text}");
    }
}

/// Settings and comments alike: what has no default stands there as a comment.
fn text_of_settings(text: &str) -> String {
    text.replace('#', " ")
}

#[test]
fn quotas_of_the_tiers_variables_hold_and_their_defaults_are_assumed() {
    let folder = Folder::new();
    let variables = [("GEMINI_FREE_KEYS", ONE), ("GEMINI_PAID_KEY", TWO), ("GEMINI_FREE_RATE_LIMIT", "7")];
    let shown = folder.show(&variables);
    let keys = shown["keys"].as_array().unwrap();
    assert_eq!((&keys[0]["tier"], &keys[0]["priority"]), (&Value::from("free"), &Value::from(0)));
    assert_eq!((&keys[1]["tier"], &keys[1]["priority"]), (&Value::from("paid"), &Value::from(10)));
    assert_eq!(keys[0]["limits"], serde_json::json!({ "*": ["7 requests/minute"] }));
    assert_eq!(keys[1]["assumed"], serde_json::json!(["1000 requests/minute"]));
    let free = folder.show(&[("GEMINI_FREE_KEYS", ONE)]);
    assert_eq!(free["keys"][0]["assumed"], serde_json::json!(["60 requests/minute"]));
    assert_eq!(free["keys"][0]["limits"], serde_json::json!({}));
}

#[test]
fn every_name_that_gemini_has_the_others_have_too() {
    let folder = Folder::new().with("secret", &format!("{THREE}\n"));
    for provider in ["OPENAI", "ANTHROPIC"] {
        let chosen = provider.to_lowercase();
        let name = |rest: &str| format!("{provider}_{rest}");
        for (rest, value, file) in [
            ("API_KEY", ONE, false),
            ("API_KEYS", ONE, false),
            ("API_KEY_7", ONE, false),
            ("FREE_KEY", ONE, false),
            ("FREE_KEYS", ONE, false),
            ("PAID_KEY", ONE, false),
            ("API_KEY", "secret", true),
            ("API_KEY_7", "secret", true),
            ("PAID_KEYS", "secret", true),
        ] {
            for ours in ["", "KEYPOOL_"] {
                let variable = format!("{ours}{}{}", name(rest), if file { "_FILE" } else { "" });
                let shown = folder.show(&[("KEYPOOL_PROVIDER", &chosen), (&variable, value)]);
                assert_eq!(origins(&shown), [format!("env {variable}")]);
            }
        }
        let (free, rate, base) = (name("FREE_KEYS"), name("FREE_RATE_LIMIT"), name("API_BASE_URL"));
        let shown =
            folder.show(&[("KEYPOOL_PROVIDER", &chosen), (&free, ONE), (&rate, "7"), (&base, "http://a.example")]);
        assert_eq!(shown["keys"][0]["limits"], serde_json::json!({ "*": ["7 requests/minute"] }), "{provider}");
        assert_eq!(setting(&shown, "gateway.upstream"), ("http://a.example".to_owned(), format!("env {base}")));
    }
}

#[test]
fn every_secret_setting_has_one_that_names_a_file() {
    let (_, printed) = Folder::new().run(&["config", "schema"], &[]);
    let schema: Value = serde_json::from_str(&printed).unwrap();
    let mut found = Vec::new();
    let tables = schema["$defs"].as_object().unwrap().iter().filter(|(_, table)| table["properties"].is_object());
    for (table, fields) in tables.map(|(table, held)| (table, held["properties"].as_object().unwrap())) {
        for name in fields.iter().filter(|(_, field)| field["writeOnly"] == true).map(|(name, _)| name) {
            assert!(fields.contains_key(&format!("{name}_file")), "{table}.{name}");
            found.push(format!("{table}.{name}"));
        }
    }
    for secret in ["KeyEntry.secret", "GatewaySection.token", "GatewaySection.tls_key", "StoreSection.password"] {
        assert!(found.iter().any(|name| name == secret), "{secret}: {found:?}");
    }
}

#[test]
fn no_key_anywhere_is_a_finding_with_the_ways_to_give_one() {
    let folder = Folder::new().with("keypool.toml", "[pool]\nwait = 1\n");
    let (code, text) = folder.run(&["config", "check"], &[]);
    assert_eq!(code, 2, "{text}");
    for way in ["there is no API key to serve", "GEMINI_API_KEY=", "key.txt", "[[keys]]"] {
        assert!(text.contains(way), "{way}: {text}");
    }
    let (code, served) = folder.run(&["serve"], &[]);
    assert_eq!((code, served), (2, text), "serve says the same");
    assert_eq!(folder.run(&["config", "check"], &[("GEMINI_API_KEY", ONE)]).0, 0);
}

#[test]
fn what_cannot_be_read_is_said_once() {
    let folder = Folder::new().with("in-the-way", "");
    // A file where a folder belongs, since root may read everything else.
    let text = folder.run(&["serve", "--db", "in-the-way/x.db"], &[("GEMINI_API_KEY", ONE)]).1;
    assert_eq!(text.matches("is no folder").count(), 1, "{text}");
}

/// What SQLite would take for an address, or for memory.
#[test]
fn a_database_is_the_file_of_that_name_whatever_its_name() {
    for name in ["file:q.db", ":memory:"] {
        let folder = Folder::new();
        let (code, text) =
            folder.run(&["add-key", "--env", "SOME_KEY", "--id", "zz", "--db", name], &[("SOME_KEY", ONE)]);
        assert_eq!(code, 0, "{text}");
        let (code, text) = folder.run(&["keys", "--json", "--db", name], &[("SOME_KEY", ONE)]);
        assert!(code == 0 && text.contains("zz"), "{name}: {text}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            assert!(!folder.path().join("q.db").exists());
        }
    }
}

/// It would be met once the variable is gone.
#[test]
fn what_is_laid_over_a_mistake_does_not_hide_it() {
    let file = "[log]\nlevel = \"loud\"\n[retry]\nmax_retries = 9999\n[gateway]\nlisten = \"127.0.0.1:5000\"\n";
    let folder = Folder::new().with("keypool.toml", file);
    let over =
        [("LOG_LEVEL", "info"), ("KEYPOOL__RETRY__MAX_RETRIES", "3"), ("LISTEN_PORT", "x"), ("LISTEN_HOST", "a b")];
    let (code, text) =
        folder.run(&["config", "check", "--db", "none"], &[&over[..], &[("GEMINI_API_KEY", ONE)]].concat());
    assert_eq!(code, 2, "{text}");
    for place in ["keypool.toml:2: log.level", "keypool.toml:4: retry.max_retries", "LISTEN_HOST and LISTEN_PORT"] {
        assert_eq!(text.matches(place).count(), 1, "{place}: {text}");
    }
}

#[test]
fn what_is_wrong_is_told_as_json_too() {
    let home = crate::home::Home::new();
    let file = home.write("keypool.toml", "[pool]\nstrategi = 'lru'\nwait = 'x'\n");
    let ended = home.run(&["config", "check", "--config", &file, "--json"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"));
    assert_eq!(told["status"], "wrong");
    let errors: Vec<&str> = told["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap()).collect();
    assert!(errors.iter().any(|error| error.contains("keypool.toml:2: pool.strategi")), "{errors:?}");
    assert_eq!(errors.len(), 2, "{errors:?}");
    // No key anywhere is another reason.
    let ended = home.run(&["config", "check", "--json", "--config", &home.write("empty.toml", "# none\n")]);
    let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{ended:?}"));
    assert_eq!((ended.code, &told["status"]), (2, &"wrong".into()), "{ended:?}");
    assert!(told["errors"][0].as_str().unwrap().contains("there is no API key"), "{told}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_named_and_not_passed_over() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let home = crate::home::Home::new();
    home.add(0, "one", &[]);
    let path = OsStr::from_bytes(b"/nowhere/caf\xe9");
    for (name, args) in [
        ("KEYPOOL_DB", &["keys", "disable", "one"][..]),
        ("KEYPOOL_CONFIG", &["config", "check"]),
        ("KEYPOOL__POOL__WAIT", &["config", "check"]),
        ("GEMINI_API_KEY", &["config", "check"]),
        ("GEMINI_API_KEY_2", &["test-keys"]),
        ("KEYPOOL_SECRET_KEY", &["keys"]),
    ] {
        let mut command = home.command(args);
        command.env(name, path);
        let ended = crate::home::Home::ended(command, "");
        assert!(ended.err.contains(name) && ended.err.contains("UTF-8"), "{name}: {ended:?}");
        ended.bad(2, "UTF-8");
    }
    assert_eq!(home.key("one")["state"], "usable");
    // Nobody reads it here.
    let mut command = home.command(&["keys"]);
    command.env("LESSOPEN", path);
    crate::home::Home::ended(command, "").good();
}

/// Requests go to one provider, and step down to what that one has.
#[test]
fn a_model_of_another_provider_that_is_to_stand_for_one_is_told() {
    let text = format!(
        r#"
        keys = [{{ secret = "{ONE}" }}]
        pool = {{ fallback = ["gemini-2.5-pro", "gpt-5", "gemini-2.5-flash"] }}
        [[models]]
        name = "gpt-5"
        aliases = ["best", "gpt-best"]
        [[models]]
        name = "gemini-2.5-pro"
        aliases = ["good"]
        [[providers]]
        name = "open"
        kind = "openai"
        keys = [{{ secret = "sk-config-not-a-real-key-000000001" }}]
        "#
    );
    let folder = Folder::new().with("keypool.toml", &text);
    let (code, said) = folder.run(&["config", "check"], &[]);
    assert_eq!(code, 0, "{said}");
    let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note: ")).collect();
    assert!(
        matches!(&notes[..], [alias, step]
            if alias.contains("a request for best goes to the gateway's own provider, and gpt-5 is a model of the provider open")
            && step.contains("pool.fallback: gpt-5 is a model of the provider open")),
        "{said}"
    );
    let alone = Folder::new().with("keypool.toml", &text[..text.find("[[providers]]").unwrap()]);
    let (code, said) = alone.run(&["config", "check"], &[]);
    assert!(code == 0 && !said.contains("note:"), "of one provider nobody knows which models are: {said}");
}
