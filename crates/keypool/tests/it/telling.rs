//! The log: a line a request, on the console and in files.

use gemini_sim::{GeminiSim, Key, Project};
use http::Request;
use tempfile::NamedTempFile;

use crate::{
    binary::{Running, key_file, keypool},
    serving::ONE,
    support::{Answer, ask},
};

const SECRET: &str = "a-token-that-stands-in-a-query";
const CONTENTS: &str = "What-a-client-asks";

async fn sim() -> (GeminiSim, NamedTempFile) {
    let sim = GeminiSim::builder().project(Project::new("100000000001").key(Key::new(ONE))).start().await.unwrap();
    (sim, key_file(&format!("{ONE} id=the-key\n")))
}

/// A gateway over one key, with these variables and options.
fn serve(sim: &GeminiSim, keys: &NamedTempFile, variables: &[(&str, &str)], options: &[&str]) -> Running {
    let (path, upstream) = (keys.path().to_str().unwrap(), sim.url());
    let args = ["serve", "--keys", path, "--listen", "127.0.0.1:0", "--upstream", &upstream];
    let mut command = keypool(&[&args, options].concat());
    command.env("KEYPOOL_TOKEN", SECRET).envs(variables.iter().copied());
    Running::of(command)
}

async fn hello(running: &Running, id: &str) -> Answer {
    let url = format!("{}/v1beta/models/gemini-2.5-flash:generateContent?key={SECRET}", running.url);
    let request = Request::post(url).header("content-type", "application/json").header("x-request-id", id);
    ask(request, format!(r#"{{"contents":[{{"parts":[{{"text":"{CONTENTS}"}}]}}]}}"#)).await
}

async fn end(running: Running) -> String {
    let (code, told) = tokio::task::spawn_blocking(move || running.end()).await.unwrap();
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains(ONE) && !told.contains(SECRET) && !told.contains(CONTENTS), "{told}");
    told
}

/// `2026-11-20 10:30:45`
fn is_time(text: &str) -> bool {
    jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_a_line_on_the_console_and_in_the_folder_that_is_named() {
    let ((sim, keys), folder) = (sim().await, tempfile::tempdir().unwrap());
    let logs = folder.path().join("logs");
    let running = serve(&sim, &keys, &[("LOG_DIRECTORY", logs.to_str().unwrap())], &[]);
    let answer = hello(&running, "an-id").await;
    assert_eq!((answer.header("x-request-id"), answer.header("x-keypool-key")), ("an-id", "the-key"));
    let made = hello(&running, "not an id").await.header("x-request-id").to_owned();
    let refused = ask(Request::get(format!("{}/v1beta/models?key=x{SECRET}", running.url)), "").await;
    assert_eq!(refused.status, 401);
    ask(Request::get(format!("{}/-/health", running.url)), "").await;
    let told = end(running).await;

    let lines: Vec<&str> = told.lines().filter(|line| line.contains(" request=")).collect();
    let [first, second, third] = lines[..] else { panic!("{told}") };
    for (line, id) in [(first, "an-id"), (second, &*made)] {
        let (time, rest) = line.split_at(19);
        let (head, ms) = rest.split_once(" ttfb_ms=").unwrap();
        let fields =
            format!(" INFO request={id} tenant=default key=the-key model=gemini-2.5-flash status=200 attempts=1");
        assert!(is_time(time) && head == fields && ms.parse::<u64>().is_ok(), "{line}");
    }
    // Nobody knows whose it is.
    assert!(third.contains(&format!("request={} status=401 attempts=0", refused.header("x-request-id"))), "{third}");
    let files: Vec<_> = std::fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("keypool.20"), "{file:?}");
    // But for the greeting.
    let lines: Vec<&str> = told.lines().filter(|line| line.get(..19).is_some_and(is_time)).collect();
    assert_eq!(std::fs::read_to_string(file).unwrap(), lines.join("\n") + "\n");
    assert!(lines.last().unwrap().contains(" INFO ending: "), "{told}");
}

/// Where there is no connection the line says why, as the errors of the admin API do.
#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_a_request_that_found_no_connection_says_why() {
    let ((_sim, keys), gone) = (sim().await, std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let (path, upstream) = (keys.path().to_str().unwrap(), format!("http://{gone}"));
    let mut command = keypool(&["serve", "--keys", path, "--listen", "127.0.0.1:0", "--upstream", &upstream]);
    command.env("KEYPOOL_TOKEN", SECRET).env("KEYPOOL__RETRY__MAX_RETRIES", "0");
    let running = Running::of(command);
    let answer = hello(&running, "an-id").await;
    let told = end(running).await;
    let line = told.lines().find(|line| line.contains(" request=an-id")).unwrap_or_else(|| panic!("{told}"));
    let status = format!(" status={} ", answer.status.as_u16());
    assert!(line.contains(&status) && line.contains(" cause=\"Connection refused (os error 111)\""), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_json_every_line_is_an_object_and_answers_need_not_say_who_served() {
    let (sim, keys) = sim().await;
    let running = serve(&sim, &keys, &[("KEYPOOL__GATEWAY__SERVED_HEADERS", "false")], &["--log-format", "json"]);
    let answer = hello(&running, "an-id").await;
    assert_eq!(answer.status, 200);
    for name in ["x-keypool-key", "x-keypool-attempts", "x-keypool-model"] {
        assert!(!answer.headers.contains_key(name), "{answer:?}");
    }
    let told = end(running).await;
    let lines: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let request = lines.iter().find(|line| line["request"] == "an-id").expect("a line");
    assert_eq!(
        (&request["level"], &request["key"], &request["status"]),
        (&"INFO".into(), &"the-key".into(), &200.into())
    );
    assert!(request["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{request}");
    assert!(lines.iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains(" listens on "))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_stands_where_it_does_not_belong_is_not_told() {
    let (sim, keys) = sim().await;
    let running = serve(&sim, &keys, &[], &["-v"]);
    for (path, of) in [
        (format!("/{SECRET}/v1beta/models"), "GET"),
        (format!("/v1beta/models/{SECRET}:generateContent"), "POST"),
        (format!("/v1beta/models/{SECRET}:countTokens"), "POST"),
        ("/openai/v1/chat/completions".to_owned(), "POST"),
    ] {
        let request = Request::builder().method(of).uri(format!("{}{path}", running.url));
        let request = request.header("authorization", format!("Bearer {SECRET}")).header("x-request-id", SECRET);
        let body = if of == "GET" { String::new() } else { format!(r#"{{"model":"{SECRET}","messages":[]}}"#) };
        let answer = ask(request.header("content-type", "application/json"), body).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
    }
    let told = end(running).await;
    assert_eq!(told.matches("status=4").count(), 4, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_tokens_turns_over_no_log() {
    let (sim, keys) = sim().await;
    let running = serve(&sim, &keys, &[], &[]);
    for n in 0..60 {
        let answer = ask(Request::get(format!("{}/v1beta/models?key=wrong-{n}", running.url)), "").await;
        assert_eq!(answer.status, 401);
    }
    hello(&running, "let-in").await;
    hello(&running, "let-in-too").await;
    let told = end(running).await;
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("status=401")).collect();
    let others = |line: &&str| line.split_once(" others=").map_or(1, |(_, rest)| rest.trim().parse().unwrap_or(0));
    assert!(lines.len() < 30, "{told}");
    assert_eq!(lines.iter().map(others).sum::<usize>(), 60, "none is left out: {told}");
    assert_eq!(told.lines().filter(|line| line.contains("request=let-in")).count(), 2, "{told}");
}
