//! The binary over real sockets: the demo ends well, and `serve` answers a request.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use gemini_sim::{GeminiSim, Key, Project, Refusal};
use keypool::gateway::token::PLACEHOLDER;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SUSPENDED: &str = "AIzaSyTEST-smoke-key-number-one-00000001";
const GOOD: &str = "AIzaSyTEST-smoke-key-number-two-00000002";

/// The binary without the environment of whoever runs the tests, with its state in this folder.
fn keypool(state: &tempfile::TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
    command.args(args).stdin(Stdio::null());
    command.env_clear().env("HOME", "/nowhere").env("XDG_STATE_HOME", state.path());
    command
}

/// A running `keypool serve`, killed on drop.
struct Serve {
    process: Child,
    /// Kept open: the server's log goes here.
    _stdout: BufReader<std::process::ChildStdout>,
    address: String,
}

impl Serve {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut log = String::new();
        while !log.contains("base_url") {
            assert_ne!(stdout.read_line(&mut log).unwrap(), 0, "serve ended: {log}");
        }
        let (_, rest) = log.split_once("listens on http://").unwrap();
        let address = rest.split(['\n', '"']).next().unwrap().to_owned();
        Self { process, _stdout: stdout, address }
    }

    /// Sends a prompt with this client token and returns the whole answer: status line, headers and body.
    async fn generate(&self, token: &str) -> String {
        let body = r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#;
        let request = format!(
            "POST /v1beta/models/gemini-2.5-flash:generateContent HTTP/1.1\r\nhost: {}\r\nx-goog-api-key: {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_answers_a_request_with_a_key_that_works() {
    let sim = GeminiSim::builder()
        .project(Project::new("100000000001").key(Key::new(SUSPENDED).refused(Refusal::ConsumerSuspended)))
        .project(Project::new("100000000002").key(GOOD))
        .start()
        .await
        .unwrap();
    let state = tempfile::tempdir().unwrap();
    let keys = state.path().join("keys.txt");
    std::fs::write(&keys, format!("{SUSPENDED} id=suspended priority=0\n{GOOD} id=good priority=1\n")).unwrap();
    let upstream = sim.url();
    let serve = Serve::start(keypool(
        &state,
        &["serve", "--keys", keys.to_str().unwrap(), "--listen", "127.0.0.1:0", "--upstream", &upstream],
    ));

    let answer = serve.generate(PLACEHOLDER).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"candidates\""), "{answer}");
    assert!(answer.contains("x-keypool-key: good") && answer.contains("x-keypool-attempts: 2"), "{answer}");
    assert!(!answer.contains(SUSPENDED) && !answer.contains(GOOD), "{answer}");
    assert_eq!(sim.report().total.arrivals, 2, "the suspended key was tried once, then the good one");

    let refused = serve.generate("not-the-token").await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert_eq!(sim.report().total.arrivals, 2, "a client without the token reaches no provider");
}

#[test]
fn demo_ends_by_itself_and_every_request_succeeds() {
    let state = tempfile::tempdir().unwrap();
    let output = keypool(&state, &["demo", "--seconds", "3", "--plain"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("through keypool") && text.contains("succeeded (100 %)\n"), "{text}\n{errors}");
    assert!(!text.contains("AIza"), "a key is shown: {text}");
}
