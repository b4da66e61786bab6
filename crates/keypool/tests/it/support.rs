//! The program as a child process, an HTTP client, and upstreams.

#![allow(dead_code, reason = "each topic uses a part of it")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use bytes::Bytes;
use gemini_sim::{GeminiSim, Project};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub const TOKEN: &str = "PLACEHOLDER_GEMINI_TOKEN";

/// Path of this crate's program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_keypool");

/// Returns a made-up key in the usual shape.
pub fn key(n: usize) -> String {
    format!("AIzaSyTEST-not-a-real-key-{n:012}")
}

/// Starts a simulator with `keys` keys, each in its own project without limits.
pub async fn sim(keys: usize) -> GeminiSim {
    let builder = GeminiSim::builder();
    let project = |n: usize| Project::new(format!("projects/{}", 100_000_000_001 + n)).key(key(n).as_str());
    (0..keys).fold(builder, |builder, n| builder.project(project(n))).start().await.expect("a free port")
}

/// Returns a command for the program, without the variables and files of the user who runs the tests.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().env("HOME", folder).current_dir(folder);
    command
}

/// Sends a signal by its name, such as `TERM`.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// Waits at most 60 s for a program to end.
pub fn end(child: &mut Child) -> Option<ExitStatus> {
    (0..1_200).find_map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        child.try_wait().expect("an exit status")
    })
}

/// A running gateway, which is killed when dropped.
pub struct Gateway {
    child: Child,
    pub url: String,
    pub folder: TempDir,
    log: Arc<Mutex<String>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Gateway {
    /// Starts `serve` for this upstream, with the first `keys` test keys and more arguments.
    pub fn start(upstream: &str, keys: usize, arguments: &[&str]) -> Self {
        Self::start_with(upstream, keys, |command, _| {
            command.args(arguments);
        })
    }

    /// Like [`start`](Self::start), with a closure that prepares the command and its folder.
    pub fn start_with(upstream: &str, keys: usize, prepare: impl FnOnce(&mut Command, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let lines: Vec<String> = (0..keys).map(|n| format!("{} id=key-{n} project=project-{n}\n", key(n))).collect();
        std::fs::write(folder.path().join("keys.txt"), lines.concat()).expect("a key file");
        let mut command = program(folder.path());
        command.args(["serve", "--keys", "keys.txt", "--listen", "127.0.0.1:0", "--upstream", upstream]);
        prepare(&mut command, folder.path());
        Self::spawn(command, folder)
    }

    /// Starts `serve` with this configuration and without a database.
    pub fn configured(upstream: &str, keys: usize, config: &str) -> Self {
        Self::start_with(upstream, keys, |command, folder| {
            std::fs::write(folder.join("keypool.toml"), config).expect("a writable file");
            command.args(["--db", "none"]);
        })
    }

    /// Starts a command that serves.
    pub fn spawn(mut command: Command, folder: TempDir) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (ready, listening) = mpsc::channel();
        for stream in [
            Box::new(child.stdout.take().expect("piped")) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().expect("piped")),
        ] {
            let (log, ready) = (Arc::clone(&log), ready.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some((_, url)) = line.split_once("listening at ") {
                        let end = url.find(|c: char| c == '"' || c.is_whitespace()).unwrap_or(url.len());
                        let _ = ready.send(url[..end].to_owned());
                    }
                    let mut log = log.lock().expect("no panic");
                    log.push_str(&line);
                    log.push('\n');
                }
            });
        }
        let url = listening.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("the program does not listen:\n{}", log.lock().expect("no panic"));
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { child, url, folder, log, client }
    }

    /// Returns the log so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// Waits at most 20 s until the log contains this text.
    pub async fn wait_for_log(&self, text: &str) {
        for _ in 0..400 {
            if self.log().contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{text:?} is missing in the log:\n{}", self.log());
    }

    /// Waits until the log names this response: its request is over.
    pub async fn wait_for_log_of(&self, answer: &Answer) {
        self.wait_for_log(answer.header("x-request-id")).await;
    }

    /// Waits at most 20 s until a condition holds.
    pub async fn eventually(&self, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..400 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the condition does not hold:\n{}", self.log());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits at most 60 s for the program to end.
    pub fn wait(&mut self) -> ExitStatus {
        end(&mut self.child).unwrap_or_else(|| panic!("the program does not end:\n{}", self.log()))
    }

    /// Sends a request and returns the response with its body unread.
    pub async fn open(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let (mut head, body) = request.into_parts();
        head.uri = format!("{}{}", self.url, head.uri).parse().expect("a URL");
        self.client.request(Request::from_parts(head, body)).await.expect("a response")
    }

    /// Sends a request and reads its response.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::read(self.open(request).await).await
    }

    /// Sends bytes on a new connection, and reads the response until the connection ends, or for at most 10 s.
    pub async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Opens a connection.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.url.split_once("://").expect("a URL").1).await.expect("a connection")
    }

    /// Sends a POST of JSON, with the gateway's token as each kind of client sends it.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(post(path, body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(get(path)).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Builds a POST of JSON with the gateway's token.
pub fn post(path: &str, body: &Value) -> Request<Full<Bytes>> {
    let request = with_token(Request::post(path), path).header("content-type", "application/json");
    request.body(Full::from(body.to_string())).expect("a request")
}

/// Builds a GET with the gateway's token.
pub fn get(path: &str) -> Request<Full<Bytes>> {
    with_token(Request::get(path), path).body(Full::default()).expect("a request")
}

fn with_token(request: http::request::Builder, path: &str) -> http::request::Builder {
    if path.starts_with("/v1/messages") || path.starts_with("/anthropic/") {
        request.header("x-api-key", TOKEN).header("anthropic-version", "2023-06-01")
    } else if path.starts_with("/v1/") || path.starts_with("/openai/") || path.starts_with("/to/") {
        request.header("authorization", format!("Bearer {TOKEN}"))
    } else {
        request.header("x-goog-api-key", TOKEN)
    }
}

/// A complete response.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn read(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Self { status: head.status, headers: head.headers, body }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("invalid JSON: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// The body of the simplest request to Gemini.
pub fn hello() -> Value {
    serde_json::json!({ "contents": [{ "parts": [{ "text": "Hello" }] }] })
}

/// The path for [`hello`].
pub const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

/// An upstream that responds with a closure and records each request.
pub struct Upstream {
    pub url: String,
    requests: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Upstream {
    /// Starts an upstream at a free port.
    pub async fn start(answer: impl Fn(&Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                    async move {
                        let (head, body) = request.into_parts();
                        let request = Request::from_parts(head, body.collect().await?.to_bytes());
                        let response = answer(&request);
                        seen.lock().expect("no panic").push(request);
                        Ok::<_, hyper::Error>(response)
                    }
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
        });
        Self { url, requests }
    }

    /// Starts an upstream with the same response for all requests.
    pub async fn always(status: u16, content_type: &'static str, body: &'static str) -> Self {
        Self::start(move |_| reply(status, content_type, body)).await
    }

    /// Returns the requests so far.
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        self.requests.lock().expect("no panic").clone()
    }
}

pub fn reply(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(Full::new(body.into())).expect("a response")
}
