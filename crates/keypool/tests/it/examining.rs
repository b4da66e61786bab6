//! `keypool test-keys`: what a provider says of each key, and what is done about it.

use std::time::Duration;

use gemini_sim::{Fault, GeminiSim, Key, Project, Refusal, Rule};
use serde_json::{Value, json};

use crate::{
    binary::Running,
    home::{Ended, Home, end, secret},
};

/// Good, of another project, invalid, suspended, leaked, unpaid, with an API that is off, refused without a reason.
async fn provider() -> GeminiSim {
    let refusals = [
        None,
        None,
        Some(Refusal::ApiKeyInvalid),
        Some(Refusal::ConsumerSuspended),
        Some(Refusal::KeyLeaked),
        Some(Refusal::PrepayDepleted),
        Some(Refusal::ServiceDisabled),
        Some(Refusal::NoPermission),
    ];
    let mut sim = GeminiSim::builder();
    for (n, refusal) in refusals.into_iter().enumerate() {
        let key = Key::new(secret(n));
        let key = refusal.into_iter().fold(key, Key::refused);
        sim = sim.project(Project::new(format!("10000000000{n}")).key(key));
    }
    sim.start().await.unwrap()
}

fn test_keys(home: &Home, sim: &GeminiSim, more: &[&str]) -> Ended {
    let url = sim.url();
    home.run(&[&["test-keys", "--upstream", &url, "--retry-delay", "0"], more].concat())
}

fn of<'a>(told: &'a Value, id: &str) -> &'a Value {
    told["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap_or_else(|| panic!("{told:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_is_told_apart_by_what_its_provider_says() {
    let (home, sim) = (Home::new(), provider().await);
    let names = ["good", "second", "invalid", "suspended", "leaked", "unpaid", "off", "refused"];
    let lines: Vec<String> = names.iter().enumerate().map(|(n, name)| format!("{} id={name}\n", secret(n))).collect();
    let file = home.write("keys.txt", &lines.concat());
    // One of the database beside those of the file.
    home.add(9, "unknown", &[]);
    let ended = test_keys(&home, &sim, &["--keys", &file, "--json"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&told["total"], &told["usable"]), (&json!(9), &json!(2)), "{told:#}");
    let verdict = |id: &str| of(&told, id)["verdict"].as_str().unwrap().to_owned();
    assert_eq!(verdict("good"), "usable");
    assert_eq!((verdict("invalid"), verdict("unknown")), ("invalid".into(), "invalid".into()));
    assert_eq!(verdict("suspended"), "suspended");
    assert_eq!(of(&told, "suspended")["code"], "CONSUMER_SUSPENDED");
    assert_eq!(of(&told, "suspended")["owner"], "projects/100000000003", "as the answer says");
    assert_eq!(verdict("leaked"), "invalid");
    assert_eq!((verdict("unpaid"), verdict("off")), ("out_of_credit".into(), "held".into()));
    assert_eq!(verdict("refused"), "suspect");
    let good = of(&told, "good");
    assert!(good["models"].as_array().unwrap().iter().any(|model| model == "gemini-2.5-flash"), "{good:#}");
    assert!(good["latency_ms"].is_u64() && good["calls"] == 2, "{good:#}");
    assert!(!of(&told, "unpaid")["advice"].as_str().unwrap().is_empty());
    // A key that was made just now is not known everywhere: it is asked once more, a suspended one never.
    assert_eq!((&of(&told, "invalid")["calls"], &of(&told, "suspended")["calls"]), (&json!(2), &json!(1)));
    // No quota was used.
    assert_eq!(sim.report().key("good").map_or(0, |tally| tally.charged), 0);

    let table = test_keys(&home, &sim, &["--keys", &file]);
    assert!(table.out.contains("suspended: 403 CONSUMER_SUSPENDED") && table.out.contains("--fix"), "{}", table.out);
    assert!(table.err.contains("7 of 9 keys not usable"), "{}", table.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_bad_for_good_is_switched_off_and_nothing_else() {
    let (home, sim) = (Home::new(), provider().await);
    for (n, name) in ["good", "second", "invalid", "suspended", "leaked", "unpaid", "off", "refused"].iter().enumerate()
    {
        home.add(n, name, &[]);
    }
    let ended = test_keys(&home, &sim, &["--fix"]);
    assert_eq!(ended.code, 1);
    for name in ["invalid", "suspended", "leaked"] {
        assert!(ended.out.contains(&format!("{name} is switched off")), "{}", ended.out);
        assert_eq!(home.key(name)["state"], "disabled", "{name}");
    }
    assert_eq!(home.key("suspended")["reason"], "test-keys: CONSUMER_SUSPENDED");
    for name in ["good", "second", "unpaid", "off", "refused"] {
        assert_eq!(home.key(name)["state"], "usable", "{name}");
    }
    // What is off is not asked again, unless somebody wants it.
    let calls = sim.log().len();
    let told: Value = serde_json::from_str(&test_keys(&home, &sim, &["--json"]).out).unwrap();
    assert_eq!((&told["total"], told["not_asked"].as_array().unwrap().len()), (&json!(5), 3));
    let asked = sim.log().len() - calls;
    assert!(asked <= 7, "{asked} calls for five keys");
    let told: Value = serde_json::from_str(&test_keys(&home, &sim, &["--json", "--all"]).out).unwrap();
    assert_eq!(told["total"], 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_out_of_quota_is_usable_and_the_tier_is_what_the_answer_says() {
    let home = Home::new();
    let full = include_str!("../../../../tests/samples/gemini_429_rpd_free.json");
    let full: Value = serde_json::from_str(full).unwrap();
    let answer = gemini_sim::Canned::new(429).json(&full["body"]);
    let sim = GeminiSim::builder()
        .project(Project::new("100000000001").key(secret(0)))
        .script(vec![Rule::new(Fault::Canned(answer)).path(":countTokens")])
        .start()
        .await
        .unwrap();
    home.add(0, "full", &[]);
    let told = test_keys(&home, &sim, &["--json"]).json();
    let key = of(&told, "full");
    assert_eq!((&key["verdict"], &key["usable"], &key["tier"]), (&json!("out_of_quota"), &json!(true), &json!("free")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_fault_is_tried_again_and_a_lasting_one_says_so() {
    let home = Home::new();
    let sim = GeminiSim::builder()
        .project(Project::new("100000000001").key(secret(0)))
        .script(vec![Rule::new(Fault::Refuse(Refusal::Overloaded)).times(2)])
        .start()
        .await
        .unwrap();
    home.add(0, "one", &[]);
    let told = test_keys(&home, &sim, &["--json"]).json();
    assert_eq!((&of(&told, "one")["verdict"], &of(&told, "one")["calls"]), (&json!("usable"), &json!(4)));
    sim.script(vec![Rule::new(Fault::Refuse(Refusal::Overloaded))]);
    let ended = test_keys(&home, &sim, &["--max-retries", "1", "--fix"]);
    assert!(ended.out.contains("unclear") && ended.out.contains("nothing to fix"), "{}", ended.out);
    ended.bad(2, "no key is usable");
    assert_eq!(home.key("one")["state"], "usable", "nobody knows");

    let away = home.run(&["test-keys", "--upstream", "http://127.0.0.1:9", "--retry-delay", "0", "--max-retries", "0"]);
    away.bad(2, "no key is usable");
    Home::new().run(&["test-keys"]).bad(2, "there is no API key to serve");
    home.run(&["test-keys", "--retry-delay=-1"]).bad(2, "--retry-delay");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_one_owner_are_asked_one_after_the_other_and_few_at_a_time() {
    let home = Home::new();
    let mut sim = GeminiSim::builder().latency(Duration::from_millis(100));
    for n in 0..12 {
        sim = sim.project(Project::new(format!("1000000000{n:02}")).key(secret(n)));
    }
    let sim = sim.start().await.unwrap();
    let lines: Vec<String> = (0..12)
        .map(|n| format!("{} id=k{n} owner={}\n", secret(n), if n < 4 { "one".into() } else { format!("o{n}") }))
        .collect();
    let file = home.write("keys.txt", &lines.concat());
    let told = test_keys(&home, &sim, &["--keys", &file, "--json"]).json();
    assert_eq!(told["usable"], 12);
    let order: Vec<&str> = told["keys"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert_eq!(order, (0..12).map(|n| format!("k{n}")).collect::<Vec<_>>(), "as they stand in the file");
    let at: Vec<Duration> = sim.log().iter().map(|arrival| arrival.at).collect();
    let most =
        at.iter().map(|from| at.iter().filter(|at| **at >= *from && **at < *from + Duration::from_millis(100)).count());
    assert!(most.max().unwrap() <= 4, "{at:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_found_good_is_counted_where_others_were_switched_off() {
    let (home, sim) = (Home::new(), provider().await);
    let names = ["good", "second", "invalid", "suspended"];
    let lines: Vec<String> = names.iter().enumerate().map(|(n, name)| format!("{} id={name}\n", secret(n))).collect();
    let file = home.write("keys.txt", &lines.concat());
    let ended = test_keys(&home, &sim, &["--keys", &file, "--fix"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let health = home.run(&["health"]);
    assert!(health.code == 1 && health.out.contains("degraded: 2 of 4 keys usable"), "{health:?}");
}

/// A model of one's own has another collection than the provider's.
#[tokio::test(flavor = "multi_thread")]
async fn a_tuned_model_is_asked_where_it_is() {
    let (home, sim) = (Home::new(), provider().await);
    home.add(0, "good", &[]);
    let counted = gemini_sim::Canned::new(200).header("content-type", "application/json").body("{\"totalTokens\":1}");
    sim.script(vec![Rule::new(Fault::Canned(counted)).path("/v1beta/tunedModels/mine:countTokens")]);
    for model in ["tunedModels/mine", "models/gemini-2.5-flash", "gemini-2.5-flash"] {
        let told = test_keys(&home, &sim, &["--json", "--model", model]).json();
        let good = of(&told, "good");
        assert_eq!((&good["calls"], &good["status"]), (&json!(2), &json!(200)), "{model}: {good:#}");
    }
}

fn answering(status: u16, kind: &str, body: &str, path: &str) -> Rule {
    let answer = gemini_sim::Canned::new(status).header("content-type", kind).body(body.to_owned());
    Rule::new(Fault::Canned(answer)).path(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_no_list_of_models_is_not_known_to_be_the_provider() {
    let (home, sim) = (Home::new(), provider().await);
    home.add(0, "one", &[]);
    let pages = [
        (404, "text/html", "<html><title>404 Not Found</title></html>"),
        (405, "text/html", "<html>405</html>"),
        (400, "text/html", "<html>400 Bad Request</html>"),
        (426, "text/plain", "upgrade"),
        (301, "text/html", "<html>moved</html>"),
        (404, "application/json", r#"{"detail":"Not Found"}"#),
        (200, "application/json", r#"{"ok":true}"#),
    ];
    for (status, kind, body) in pages {
        for provider in ["gemini", "openai", "anthropic"] {
            sim.clear_script();
            sim.script(vec![answering(status, kind, body, "/models")]);
            let ended = test_keys(&home, &sim, &["--provider", provider, "--json", "--max-retries", "0"]);
            assert_eq!(ended.code, 2, "{provider} {status} {body}: {ended:?}");
            let told: Value = serde_json::from_str(&ended.out).unwrap();
            let key = of(&told, "one");
            assert_eq!(key["verdict"], "unclear", "{provider} {status} {body}: {key:#}");
            let advice = key["advice"].as_str().unwrap();
            assert!(advice.contains("is that the provider's address?"), "{provider} {status} {body}: {advice}");
        }
    }
    // Who lists models, and counts nothing.
    sim.clear_script();
    sim.script(vec![answering(404, "text/html", "<html>404</html>", ":countTokens")]);
    let told = test_keys(&home, &sim, &["--json", "--max-retries", "0"]);
    assert_eq!(told.code, 2, "{told:?}");
    // The provider itself, of a model that is not there.
    sim.clear_script();
    let told = test_keys(&home, &sim, &["--json", "--model", "gemini-9-none"]).json();
    assert_eq!((&of(&told, "one")["verdict"], &of(&told, "one")["status"]), (&json!("usable"), &json!(404)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_is_told_where_nothing_can_be_switched_off() {
    let (home, sim) = (Home::new(), provider().await);
    let file = home.write("keys.txt", &format!("{} id=good\n{} id=invalid\n", secret(0), secret(2)));
    let ended = test_keys(&home, &sim, &["--keys", &file, "--db", "none", "--fix"]);
    assert!(ended.out.contains("good") && ended.out.contains("invalid: 400 API_KEY_INVALID"), "{ended:?}");
    assert!(!ended.out.contains("is switched off"), "{ended:?}");
    ended.bad(1, "nothing was switched off");
    let ended = test_keys(&home, &sim, &["--keys", &file, "--db", "none", "--fix", "--json"]);
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&told["total"], &of(&told, "invalid")["disabled_now"]), (&json!(2), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_asked_are_named() {
    let (home, sim) = (Home::new(), provider().await);
    let file = home.write("keys.txt", &format!("{} id=good\nshort\n", secret(0)));
    let url = sim.url();
    let mut command = home.command(&["test-keys", "--upstream", &url, "--keys", &file]);
    command.env("GEMINI_API_KEY_2", "tiny").env("KEYPOOL_POOL_WAIT", "1");
    let ended = Home::ended(command, "");
    for note in ["keys.txt:2: the line is skipped", "GEMINI_API_KEY_2", "KEYPOOL_POOL_WAIT"] {
        assert!(ended.err.contains(note), "{note}: {ended:?}");
    }
    ended.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_opened_is_not_usable() {
    let (home, sim) = (Home::new(), provider().await);
    home.add(0, "sealed", &[]);
    home.add(1, "plain", &["--plain"]);
    assert!(home.run(&["health"]).good().contains("2 of 2"));
    std::fs::remove_file(home.at("state/keypool/keypool.db.key")).unwrap();
    let ended = test_keys(&home, &sim, &[]);
    assert!(ended.out.contains("1 key: 1 usable") && ended.err.contains("keypool.db.key"), "{ended:?}");
    ended.bad(1, "1 of 2 keys not usable");
    let health = home.run(&["health"]);
    assert!(health.code == 1 && health.out.contains("sealed is faulty: the stored secret"), "{health:?}");
    assert_eq!(home.key("sealed")["state"], "faulty");
    home.run(&["keys", "remove", "plain"]).good();
    assert_eq!(home.run(&["health"]).code, 2);
    test_keys(&home, &sim, &[]).bad(2, "there is no API key");
}

/// Only the gateway has the file that says it, and commands count the key's day as that one does, also when it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_only_the_gateways_file_says_is_known_to_commands() {
    let sim = provider().await;
    // Of these two one has another date than the provider's at any time.
    for zone in ["Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        let home = Home::new();
        let keys = home.write("keys.txt", &format!("{} id=far zone={zone} rpd=1\n", secret(0)));
        let running = home.serve(&sim, &["--keys", &keys]);
        let is_out = || home.key("far")["out_for_today"] != serde_json::json!([]);
        crate::home::asked_until(&running, is_out).await;
        end(running).await;
        assert!(is_out(), "{zone}");
    }
}

/// The gateway has another key for the secrets than the command that looks: what it could not open nobody uses.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_gateway_left_out_is_not_usable() {
    let (home, sim) = (Home::new(), provider().await);
    let keys = ["a", "b"].map(|digit| digit.repeat(64));
    let with = |key: &str, args: &[&str], text: &str| {
        let mut command = home.command(args);
        command.env("KEYPOOL_SECRET_KEY", key);
        Home::ended(command, text)
    };
    with(&keys[0], &["add-key", "-", "--id", "sealed"], &secret(0)).good();
    home.add(1, "plain", &["--plain"]);
    assert!(with(&keys[0], &["health"], "").good().contains("2 of 2"));
    let args = ["serve", "--listen", "127.0.0.1:0", "--upstream", &sim.url()];
    let mut command = home.command(&args);
    command.env("KEYPOOL_SECRET_KEY", &keys[1]);
    let running = Running::of(command);
    let mut health = with(&keys[0], &["health"], "");
    for _ in 0..100 {
        if health.code != 0 {
            break;
        }
        // It says so as soon as it serves.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        health = with(&keys[0], &["health"], "");
    }
    assert!(health.code == 1 && health.out.contains("sealed is faulty: the gateway that runs"), "{health:?}");
    assert_eq!((&home.key("sealed")["state"], &home.key("plain")["state"]), (&"faulty".into(), &"usable".into()));
    let told = home.run(&["stats", "--json"]).json();
    assert_eq!(told["processes"][0]["left_out"].as_array().map(Vec::len), Some(1), "{told}");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_no_models_is_refused_before_anybody_is_asked() {
    let (home, sim) = (Home::new(), provider().await);
    home.add(0, "one", &[]);
    test_keys(&home, &sim, &["--model", "a b/c"]).bad(2, "\"a b/c\" is no name of a model");
    test_keys(&home, &sim, &["--model", &secret(7)]).bad(2, "--model: that looks like a key");
    assert_eq!(sim.log().len(), 0);
}

/// A key of which nobody said what its account pays: by what its provider tells, and where that tells nothing so much.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_pays_is_guessed_where_the_answers_tell() {
    let (home, sim) = (Home::new(), provider().await);
    home.add(0, "one", &[]);
    let list = r#"{"data":[{"id":"some-model"}]}"#;
    let answer = |name: &str, value: &str| {
        let answer = gemini_sim::Canned::new(200).header("content-type", "application/json").header(name, value);
        Rule::new(Fault::Canned(answer.body(list.to_owned()))).path("/models")
    };
    let told = |provider: &str, header: (&str, &str)| {
        sim.clear_script();
        sim.script(vec![answer(header.0, header.1)]);
        let told = test_keys(&home, &sim, &["--provider", provider, "--json"]).json();
        let key = of(&told, "one");
        (key["tier"].as_str().unwrap().to_owned(), key["tier_by"].as_str().unwrap().to_owned())
    };
    for (provider, header, tier) in [
        ("anthropic", ("anthropic-ratelimit-requests-limit", "5"), "free"),
        ("anthropic", ("anthropic-ratelimit-requests-limit", "50"), "paid"),
        ("anthropic", ("anthropic-ratelimit-requests-limit", "4000"), "paid"),
    ] {
        let (guessed, by) = told(provider, header);
        assert_eq!(guessed, tier, "{provider} {header:?}");
        assert!(by.contains(header.0) && by.contains(header.1), "{by}");
    }
    for (provider, header, hint) in [
        ("openai", ("x-other", "3"), "x-ratelimit-limit-requests"),
        // Who else has that API has tiers of its own.
        ("openai", ("x-ratelimit-limit-requests", "500"), "x-ratelimit-limit-requests is 500"),
        ("openai", ("x-ratelimit-limit-requests", "none"), "x-ratelimit-limit-requests"),
        ("anthropic", ("x-ratelimit-limit-requests", "3"), "anthropic-ratelimit-requests-limit"),
    ] {
        let (guessed, by) = told(provider, header);
        assert_eq!(guessed, "unknown", "{provider} {header:?}: {by}");
        assert!(by.contains(hint) && by.contains("tier="), "{by}");
    }
    // Gemini gives the same list to all, and a 429 alone tells: by its quota's name, else by how much that is.
    sim.clear_script();
    let key = |told: &Value| (of(told, "one")["tier"].clone(), of(told, "one")["tier_by"].as_str().unwrap().to_owned());
    let (tier, by) = key(&test_keys(&home, &sim, &["--json"]).json());
    assert!(tier == "unknown" && by.contains("429") && by.contains("tier="), "{tier}: {by}");
    let table = test_keys(&home, &sim, &[]).good();
    assert!(table.contains(" unknown ") && table.contains("tier="), "{table}");
    for (id, value, tier) in [
        ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "999", "free"),
        ("GenerateRequestsPerMinutePerProjectPerModel", "10", "free"),
        ("GenerateRequestsPerMinutePerProjectPerModel", "1000", "paid"),
        ("GenerateRequestsPerMinutePerProjectPerModel", "77", "unknown"),
    ] {
        let violation = json!({
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests", "quotaId": id,
            "quotaDimensions": { "location": "global", "model": "gemini-2.5-flash" }, "quotaValue": value,
        });
        let details = json!([{ "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation] }]);
        let body = json!({ "error": { "code": 429, "message": "You exceeded your current quota.",
            "status": "RESOURCE_EXHAUSTED", "details": details } });
        sim.clear_script();
        sim.script(vec![Rule::new(Fault::Canned(gemini_sim::Canned::new(429).json(&body))).path(":countTokens")]);
        let (guessed, by) = key(&test_keys(&home, &sim, &["--json", "--model", "gemini-2.5-flash"]).json());
        assert_eq!(guessed, tier, "{id} {value}: {by}");
    }
    // What somebody said is no guess.
    home.run(&["keys", "set", "one", "--tier", "paid"]).good();
    sim.clear_script();
    let (tier, by) = key(&test_keys(&home, &sim, &["--json"]).json());
    assert!(tier == "paid" && by.contains("configured"), "{tier}: {by}");
}
