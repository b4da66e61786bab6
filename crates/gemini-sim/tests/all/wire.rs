//! Behaviour that is visible only on a socket.

use std::time::Duration;

use gemini_sim::{Builder, Canned, Fault, GeminiSim, Rule};
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{MODEL, body, generate, prompt};

async fn start(builder: Builder) -> GeminiSim {
    builder.key("k").start().await.expect("a free port")
}

/// Sends a raw HTTP/1.1 request and reads until the connection ends.
async fn raw(sim: &GeminiSim, extra: &str) -> (String, std::io::Result<usize>) {
    let address = sim.url().replace("http://", "");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let body = prompt("x").to_string();
    let request = format!(
        "POST /v1beta/models/{MODEL}:generateContent HTTP/1.1\r\nhost: sim\r\n\
x-goog-api-key: k\r\ncontent-type: application/json\r\nconnection: close\r\n{extra}\
content-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = socket.read_to_end(&mut answer).await;
    (String::from_utf8_lossy(&answer).into_owned(), end)
}

fn is_reset(end: &std::io::Result<usize>) -> bool {
    matches!(end, Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn reset_before_the_head_resets_the_connection() {
    let sim = start(GeminiSim::builder().script([Fault::ResetBeforeHead])).await;
    let (answer, end) = raw(&sim, "").await;
    assert_eq!(answer, "");
    assert!(is_reset(&end), "{end:?}");
}

#[tokio::test]
async fn reset_after_bytes_resets_the_connection() {
    let sim = start(GeminiSim::builder().script([Fault::ResetAfter(10)])).await;
    let (answer, end) = raw(&sim, "").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("{\n  \"cand"), "{answer}");
    assert!(is_reset(&end), "{end:?}");
}

#[tokio::test]
async fn http_2_resets_one_stream() {
    let sim = start(GeminiSim::builder().script([Rule::new(Fault::ResetBeforeHead).nth(2)])).await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let ask = || {
        let uri = format!("{}/v1beta/models/{MODEL}:streamGenerateContent?alt=sse", sim.url());
        let request = Request::post(uri).header("x-goog-api-key", "k").body(body(&prompt("x")));
        client.request(request.unwrap())
    };
    let response = ask().await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text.windows(6).filter(|w| w == b"data: ").count(), 5);
    assert!(ask().await.is_err(), "the stream is reset");
    assert!(ask().await.is_ok(), "only that stream is reset");
}

#[tokio::test]
async fn shutdown_completes_open_responses() {
    let slow = Duration::from_millis(100);
    let sim = start(GeminiSim::builder().latency(slow)).await;
    let request = generate(MODEL).header("x-goog-api-key", "k");
    let request = request.body(body(&prompt("x"))).unwrap();
    let url = sim.url();
    let address = url.replace("http://", "");
    let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let (mut parts, data) = request.into_parts();
    parts.uri = format!("{url}{}", parts.uri).parse().unwrap();
    let open = tokio::spawn(client.request(Request::from_parts(parts, data)));
    let arrival = async {
        while sim.report().total.arrivals == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrival).await.expect("the request arrives");
    let sim = sim.shutdown().await;
    assert_eq!(open.await.unwrap().unwrap().status(), 200);
    assert!(TcpStream::connect(&address).await.is_err());
    assert_eq!(sim.report().total.accepted, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_are_counted_exactly() {
    let project = gemini_sim::Project::new("1").limits(gemini_sim::Limits::none().rpm(100)).key("k");
    let sim = GeminiSim::builder().project(project).start().await.unwrap();
    let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("{}/v1/models/{MODEL}:generateContent", sim.url());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (client, uri) = (client.clone(), uri.clone());
        tasks.spawn(async move {
            let mut accepted = 0;
            for _ in 0..20 {
                let request = Request::post(&uri).header("x-goog-api-key", "k");
                let request = request.body(body(&prompt("x"))).unwrap();
                let response = client.request(request).await.unwrap();
                accepted += u32::from(response.status() == 200);
                response.into_body().collect().await.unwrap();
            }
            accepted
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<u32>(), 100);
    let total = sim.report().total;
    assert_eq!((total.arrivals, total.accepted, total.over_limit), (320, 100, 220));
}

#[tokio::test]
async fn canned_content_length_can_be_wrong() {
    let lies = Canned::new(200).header("content-length", "100").body("short");
    let sim = start(GeminiSim::builder().script([Fault::Canned(lies)])).await;
    let (answer, _) = raw(&sim, "").await;
    assert!(answer.contains("content-length: 100\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nshort"), "{answer}");
}
