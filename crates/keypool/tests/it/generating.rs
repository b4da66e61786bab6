//! `keypool generate`: one prompt, answered on the terminal.

use std::time::Duration;

use gemini_sim::{Fault, Finish, GeminiSim, Limits, Project, Refusal, Rule};
use serde_json::json;

use crate::{
    home::{Ended, Home, end, hello, secret, simulator},
    watching::OnTerminal,
};

fn generate(home: &Home, sim: &GeminiSim, args: &[&str]) -> Ended {
    let url = sim.url();
    home.run(&[&["generate", "--upstream", &url, "--max-wait", "0"], args].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_answered_and_counted_in_the_database() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let said = generate(&home, &sim, &["hello there"]).good();
    assert!(!said.trim().is_empty() && said.ends_with('\n') && !said.ends_with("\n\n"), "{said:?}");
    // From standard input, with all that can be said of it.
    let system = home.write("system.txt", "Be brief.");
    let url = sim.url();
    let args =
        ["generate", "-", "--upstream", &url, "--json", "--system", &format!("@{system}"), "--temperature", "0.2"];
    let told = home.pipe(&args, "a prompt\nof two lines\n").json();
    assert_eq!(
        (&told["key_id"], &told["attempts"], &told["finish_reason"]),
        (&json!("one"), &json!(1), &json!("STOP"))
    );
    assert_eq!((&told["model"], &told["requested_model"]), (&json!("gemini-2.5-flash"), &json!("gemini-2.5-flash")));
    assert!(told["usage"]["promptTokenCount"].as_u64().unwrap() > 3, "{told:#}");
    assert_eq!(home.key("one")["used_today"], 2);
    let methods: Vec<&str> = sim.log().iter().map(|arrival| arrival.method).collect();
    assert_eq!(methods, ["streamGenerateContent", "generateContent"]);

    home.pipe(&["generate", "-"], " \n").bad(2, "the prompt is empty");
    home.run(&["generate", "hi", "--temperature", "3"]).bad(2, "0 to 2");
    home.run(&["generate", "hi", "--model", "a/b"]).bad(2, "\"a/b\" is no name of a model");
    home.run(&["generate", "hi", "--model", &secret(3)]).bad(2, "that looks like a key");
    home.run(&["generate", "hi", "--system", "@/nowhere"]).bad(2, "--system @/nowhere");
    home.run(&["generate", "hi", "--provider", "openai"]).bad(2, "keypool batch");
    Home::new().run(&["generate", "hi"]).bad(2, "there is no API key to serve");
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_quota_says_when_to_come_back_and_no_key_says_what_to_do() {
    let home = Home::new();
    let project = Project::new("100000000001").limits(Limits::none().rpd(1)).key(secret(0));
    let sim = GeminiSim::builder().project(project);
    let sim = sim.start().await.unwrap();
    home.add(0, "one", &[]);
    generate(&home, &sim, &["hi"]).good();
    generate(&home, &sim, &["hi"]).bad(3, "come back at ");
    // Known from then on: nothing is sent.
    let sent = sim.log().len();
    generate(&home, &sim, &["hi", "--json"]).bad(3, "come back at ");
    assert_eq!(sim.log().len(), sent);
    // A model of the list in its place.
    generate(&home, &sim, &["hi", "--fallback", "gemini-2.5-flash-lite"]).good();

    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "gone", &[]);
    sim.script(vec![Rule::new(Fault::Refuse(Refusal::ConsumerSuspended))]);
    let ended = generate(&home, &sim, &["hi"]);
    assert!(matches!(ended.code, 1 | 4), "{ended:?}");
    generate(&home, &sim, &["hi"]).bad(4, "keypool test-keys");
}

/// What befalls the keys is said once: in the line that says why there is no answer, and one line a key below it.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_all_switched_off_are_named_once_each() {
    let (home, sim) = (Home::new(), simulator(3).await);
    (0..3).for_each(|n| home.add(n, &format!("key-{n}"), &[]));
    sim.script(vec![Rule::new(Fault::Refuse(Refusal::ConsumerSuspended))]);
    let ended = generate(&home, &sim, &["hi"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.err.contains("3 disabled (suspended)"), "{ended:?}");
    let lines: Vec<&str> = ended.err.trim().lines().collect();
    assert_eq!(lines.len(), 4, "{ended:?}");
    for key in ["key-0", "key-1", "key-2"] {
        assert_eq!(lines.iter().filter(|line| line.contains(key)).count(), 1, "{ended:?}");
    }
}

/// The key is well, and at its minute's limit with the process that holds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_another_process_holds_is_out_of_quota_and_not_unusable() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &["--rpm", "2"]);
    let serving = home.serve(&sim, &[]);
    for _ in 0..2 {
        assert_eq!(hello(&serving).await.status, 200);
    }
    let (ended, serving) = tokio::task::spawn_blocking({
        let url = sim.url();
        move || (home.run(&["generate", "hi", "--upstream", &url, "--max-wait", "1"]), serving)
    })
    .await
    .unwrap();
    ended.bad(3, "out of quota");
    end(serving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_said() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let with = |fault| {
        sim.clear_script();
        sim.script(vec![Rule::new(fault)]);
    };
    with(Fault::Refuse(Refusal::InvalidArgument));
    generate(&home, &sim, &["hi"]).bad(1, "INVALID_ARGUMENT");
    with(Fault::Finish(Finish::OnlyThoughts));
    generate(&home, &sim, &["hi"]).bad(1, "the answer is empty: MAX_TOKENS");
    with(Fault::Finish(Finish::PromptBlocked("SAFETY".to_owned())));
    generate(&home, &sim, &["hi"]).bad(1, "the prompt was blocked: SAFETY");
    generate(&home, &sim, &["hi", "--json"]).bad(1, "the prompt was blocked: SAFETY");
    let half = r#"{"candidates":[{"content":{"parts":[{"text":"half"}]},"finishReason":"SAFETY"}]}"#;
    let half =
        gemini_sim::Canned::new(200).header("content-type", "text/event-stream").body(format!("data: {half}\n\n"));
    with(Fault::Canned(half));
    generate(&home, &sim, &["hi"]).bad(1, "the answer was blocked: SAFETY");
    let page = |body: &str| {
        Fault::Canned(gemini_sim::Canned::new(200).header("content-type", "text/html").body(body.to_owned()))
    };
    for body in ["<html>hello</html>", "", "data: <html>\n\n"] {
        with(page(body));
        generate(&home, &sim, &["hi"]).bad(1, "the answer cannot be read");
        generate(&home, &sim, &["hi", "--json"]).bad(1, "the answer cannot be read");
    }
    with(Fault::ErrorEventAfter(1, Refusal::Internal));
    let ended = generate(&home, &sim, &["hi"]);
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_what_a_model_writes_does_not_steer_it() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    sim.script(vec![Rule::new(Fault::AnswerText("one\ntwo \x1b[2J\x1b]0;title\x07 \u{202e}three".to_owned()))]);
    let url = sim.url();
    let args = ["generate", "hi", "--upstream", &url];
    let (code, text) = tokio::task::spawn_blocking({
        let terminal = OnTerminal::of(&home, &args);
        move || terminal.end()
    })
    .await
    .unwrap();
    assert_eq!(code, Some(0));
    assert!(text.contains("one\r\ntwo") && text.contains("\\u{1b}[2J"), "{text:?}");
    assert!(!text.contains(['\x1b', '\x07', '\u{202e}']), "{text:?}");
    // In a pipe it is as it came.
    assert!(home.run(&args).good().contains("\x1b[2J"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_as_it_is_written() {
    let home = Home::new();
    let sim = GeminiSim::builder().project(Project::new("100000000001").key(secret(0)));
    // The first piece, and nothing more.
    let sim = sim.chunks(3).chunk_latency(Duration::from_secs(3_600)).start().await.unwrap();
    home.add(0, "one", &[]);
    let url = sim.url();
    let mut command = home.command(&["generate", "write five words or so", "--upstream", &url]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let first = tokio::task::spawn_blocking(move || std::io::Read::read(&mut out, &mut [0; 4096]).unwrap());
    let first = tokio::time::timeout(crate::home::ACTS, first).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(first.expect("the first piece is not held back").unwrap() > 0);
}

/// What stops in the middle is no whole answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_is_not_answered() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let with = |fault| {
        sim.clear_script();
        sim.script(vec![Rule::new(fault)]);
    };
    with(Fault::RawErrorAfter(1, Refusal::HighDemand));
    generate(&home, &sim, &["hi"]).bad(1, "503 Service Unavailable UNAVAILABLE: ");
    let events = |events: &str| {
        let stream = gemini_sim::Canned::new(200).header("content-type", "text/event-stream");
        Fault::Canned(stream.body(events.to_owned()))
    };
    let one = r#"data: {"candidates":[{"content":{"parts":[{"text":"one "}]}}]}"#;
    let two = r#"data: {"candidates":[{"content":{"parts":[{"text":"two."}]},"finishReason":"STOP"}]}"#;
    for cut in [format!("{one}\n\n"), format!("{one}\n\n{}", &two[..two.len() - 30])] {
        with(events(&cut));
        let ended = generate(&home, &sim, &["hi"]);
        assert_eq!(ended.out, "one \n");
        ended.bad(1, "the answer broke off");
    }
    with(events(&format!("{one}\n\n{two}")));
    assert_eq!(generate(&home, &sim, &["hi"]).good(), "one two.\n");
}

/// A key that is no good is nothing to come back for, at the first time and at the next.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_no_good_are_named_with_what_to_do() {
    for (refusal, code, advice) in
        [(Refusal::ApiKeyInvalid, "API_KEY_INVALID", "replace it"), (Refusal::NoPermission, "PERMISSION_DENIED", "")]
    {
        let (home, sim) = (Home::new(), simulator(2).await);
        home.add(0, "one", &[]);
        sim.script(vec![Rule::new(Fault::Refuse(refusal))]);
        for args in [&["hi"][..], &["hi", "--json"]] {
            let ended = generate(&home, &sim, args);
            assert!(ended.err.contains(advice) && !ended.err.contains("out of quota"), "{ended:?}");
            assert!(ended.err.contains("\n  one: ") && ended.err.contains("keypool test-keys"), "{ended:?}");
            ended.bad(4, code);
        }
    }
    // With another one that only waits it is a matter of time.
    let home = Home::new();
    let well = Project::new("100000000001").limits(Limits::none().rpd(1)).key(secret(0));
    let sim = GeminiSim::builder().project(well).start().await.unwrap();
    home.add(0, "one", &[]);
    home.add(1, "unknown", &[]);
    generate(&home, &sim, &["hi"]).good();
    let ended = generate(&home, &sim, &["hi"]);
    ended.bad(3, "come back at ");
}

/// Whoever refuses with a web page has said nothing to read: what it means is.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_by_what_it_means() {
    let (home, sim) = (Home::new(), simulator(1).await);
    let page = gemini_sim::Canned::new(403).header("content-type", "text/html");
    sim.script(vec![Rule::new(Fault::Canned(page.body("<html><title>Sorry</title> no</html>".to_owned())))]);
    for args in [&["hi"][..], &["hi", "--json"]] {
        // That it rests is not remembered.
        let home = Home::new();
        home.add(0, "one", &[]);
        let ended = generate(&home, &sim, args);
        assert!(!ended.err.contains("<html") && ended.err.contains("403"), "{ended:?}");
        ended.bad(1, "use another exit address");
    }
    // What it says in words stays, and what it means stands beside it.
    home.add(0, "one", &[]);
    sim.clear_script();
    sim.script(vec![Rule::new(Fault::Refuse(Refusal::ModelNotFound))]);
    let ended = generate(&home, &sim, &["hi"]);
    assert!(ended.err.contains("404 Not Found NOT_FOUND: ") && ended.err.contains(" (key one"), "{ended:?}");
    ended.bad(1, "see the list of models");
}
