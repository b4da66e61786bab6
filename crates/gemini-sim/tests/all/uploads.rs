//! Resumable uploads, files, and their owners.

use bytes::Bytes;
use gemini_sim::{GeminiSim, Project};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client::{Answer, MODEL, advance, body, generate, post, prompt, send};

/// The length of each chunk but the last must be a multiple of this many bytes.
const CHUNK: usize = 8 << 20;

fn sim() -> GeminiSim {
    GeminiSim::builder().project(Project::new("1").key("a").key("a2")).project(Project::new("2").key("b")).build()
}

fn start(key: &str, file: &Value, length: usize) -> Request<Full<Bytes>> {
    post("/upload/v1beta/files")
        .header("host", "sim.test")
        .header("x-goog-api-key", key)
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", length)
        .header("x-goog-upload-header-content-type", "text/plain")
        .body(body(&json!({ "file": file })))
        .unwrap()
}

fn chunk(url: &str, command: &str, offset: usize, data: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(url)
        .header("x-goog-upload-command", command)
        .header("x-goog-upload-offset", offset)
        .body(Full::new(data.into()))
        .unwrap()
}

fn url(answer: &Answer) -> String {
    answer.headers["x-goog-upload-url"].to_str().unwrap().to_owned()
}

async fn upload(sim: &GeminiSim, key: &str, file: &Value) -> Value {
    let started = send(sim, start(key, file, 5)).await;
    let url = url(&started);
    let finished = send(sim, chunk(&url, "upload, finalize", 0, "hello")).await;
    assert_eq!(finished.headers["x-goog-upload-status"], "final");
    finished.json()["file"].clone()
}

async fn call(sim: &GeminiSim, method: &str, key: &str, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("x-goog-api-key", key);
    send(sim, request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn file_is_uploaded_in_chunks() {
    let sim = sim();
    let started = send(&sim, start("a", &json!({ "displayName": "d.txt" }), 2 * CHUNK + 1)).await;
    assert_eq!(started.status, StatusCode::OK);
    assert!(started.body.is_empty());
    assert_eq!(started.headers["x-goog-upload-status"], "active");
    assert_eq!(started.headers["x-goog-upload-chunk-granularity"], CHUNK.to_string());
    let url = url(&started);
    assert!(url.starts_with("http://sim.test/upload/v1beta/files?upload_id="), "{url}");

    let whole = || "x".repeat(CHUNK);
    let first = send(&sim, chunk(&url, "upload", 0, whole())).await;
    assert_eq!(first.headers["x-goog-upload-status"], "active");
    let asked = send(&sim, chunk(&url, "query", 0, "")).await;
    assert_eq!(asked.headers["x-goog-upload-size-received"], CHUNK.to_string());
    for (wrong, why) in [
        (chunk(&url, "upload", 0, whole()), "Offset"),
        (chunk(&url, "upload", CHUNK, "567"), "multiple of 8388608"),
        (chunk(&url, "upload", CHUNK, "x".repeat(2 * CHUNK)), "More bytes"),
        (chunk(&url, "upload, finalize", CHUNK, whole()), "before the announced length"),
        (chunk(&url, "finalize", 2 * CHUNK, "9"), "Bytes come with"),
        (chunk(&url, "sing", 2 * CHUNK, ""), "Command"),
    ] {
        let answer = send(&sim, wrong).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{why}");
        assert!(answer.message().contains(why), "{}", answer.message());
        assert_eq!(answer.headers["x-goog-upload-status"], "active");
    }
    let total = sim.report().total;
    let refused = total.rejected_as("malformed_upload");
    assert_eq!((total.arrivals, total.accepted, refused), (9, 3, 6), "refused uploads are reported");
    let finished = send(&sim, chunk(&url, "upload, finalize", 2 * CHUNK, "9")).await;
    assert_eq!(finished.status, StatusCode::OK, "{}", finished.text());
    assert_eq!(finished.headers["x-goog-upload-status"], "final");
    let file = finished.json()["file"].clone();
    assert_eq!(file["sizeBytes"], (2 * CHUNK + 1).to_string());
    assert_eq!(file["displayName"], "d.txt");
    assert_eq!(file["mimeType"], "text/plain");
    assert_eq!(file["state"], "ACTIVE");
    let again = send(&sim, chunk(&url, "upload, finalize", 2 * CHUNK, "9")).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN, "the URL can be used only once");
}

#[tokio::test]
async fn upload_url_is_a_credential_for_its_project() {
    let sim = sim();
    let url = url(&send(&sim, start("a", &json!({}), 5)).await);
    let mut foreign = chunk(&url, "upload, finalize", 0, "hello");
    foreign.headers_mut().insert("x-goog-api-key", "b".parse().unwrap());
    assert_eq!(send(&sim, foreign).await.status, StatusCode::FORBIDDEN);
    let mut sibling = chunk(&url, "upload, finalize", 0, "hello");
    sibling.headers_mut().insert("x-goog-api-key", "a2".parse().unwrap());
    assert_eq!(send(&sim, sibling).await.status, StatusCode::OK);
    let made_up = "/upload/v1beta/files?upload_id=made-up";
    let unknown = send(&sim, chunk(made_up, "upload, finalize", 0, "x")).await;
    assert_eq!(unknown.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn file_belongs_to_its_project() {
    let sim = sim();
    let file = upload(&sim, "a", &json!({ "name": "files/mine" })).await;
    assert_eq!(file["name"], "files/mine");
    for key in ["a", "a2"] {
        assert_eq!(call(&sim, "GET", key, "/v1beta/files/mine").await.json(), file);
    }
    for method in ["GET", "DELETE"] {
        let denied = call(&sim, method, "b", "/v1beta/files/mine").await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN);
        assert_eq!(denied.message(), "You do not have permission to access the File mine or it may not exist.");
    }
    let listed = call(&sim, "GET", "a2", "/v1beta/files").await.json();
    assert_eq!(listed["files"], json!([file]));
    assert_eq!(call(&sim, "GET", "b", "/v1beta/files").await.json(), json!({}));
    let twice = send(&sim, start("b", &json!({ "name": "files/mine" }), 5)).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);

    let mut request = prompt("look");
    let part = json!({ "fileData": { "fileUri": file["uri"], "mimeType": "text/plain" } });
    request["contents"][0]["parts"].as_array_mut().unwrap().push(part);
    let generate_with = |key: &str| {
        let ask = generate(MODEL).header("x-goog-api-key", key);
        send(&sim, ask.body(body(&request)).unwrap())
    };
    let answer = generate_with("a2").await.json();
    assert_eq!(answer["usageMetadata"]["promptTokenCount"], 1 + 258);
    assert_eq!(generate_with("b").await.status, StatusCode::FORBIDDEN);
    assert_eq!(call(&sim, "DELETE", "a", "/v1beta/files/mine").await.status, StatusCode::OK);
    assert_eq!(generate_with("a").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn first_of_two_uploads_with_the_same_name_wins() {
    let sim = sim();
    let named = json!({ "name": "files/mine" });
    let [first, second] =
        [url(&send(&sim, start("a", &named, 5)).await), url(&send(&sim, start("b", &named, 5)).await)];
    assert_eq!(send(&sim, chunk(&first, "upload, finalize", 0, "hello")).await.status, StatusCode::OK);
    let late = send(&sim, chunk(&second, "upload, finalize", 0, "hello")).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.text());
    assert_eq!(call(&sim, "GET", "a", "/v1beta/files/mine").await.status, StatusCode::OK);
    assert_eq!(sim.report().total.rejected_as("already_exists"), 1);
    advance(48.0 * 3_600.0).await;
    upload(&sim, "b", &named).await;
    assert_eq!(call(&sim, "GET", "b", "/v1beta/files/mine").await.status, StatusCode::OK, "the name is free again");
}

/// A multipart body with the metadata of a file and its content.
const BOTH: &str = "--b\r\ncontent-type: application/json\r\n\r\n{\"file\":{\"displayName\":\"words\"}}\r\n--b\r\n\
                    content-type: text/markdown\r\n\r\nhello\r\n--b--\r\n";

/// Builds a request that uploads a whole file.
fn at_once(path: &str, (name, value): (&str, &str), kind: &str, data: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("x-goog-api-key", "a").header("content-type", kind);
    let request = if name.is_empty() { request } else { request.header(name, value) };
    request.body(Full::new(data.into())).unwrap()
}

#[tokio::test]
async fn file_can_be_uploaded_in_one_request() {
    let sim = sim();
    let raw = ("x-goog-upload-protocol", "raw");
    let answer = send(&sim, at_once("/upload/v1beta/files", raw, "text/plain", "hello")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.headers["x-goog-upload-status"], "final");
    let file = answer.json()["file"].clone();
    assert_eq!((&file["mimeType"], &file["sizeBytes"]), (&json!("text/plain"), &json!("5")));
    let related = "multipart/related; boundary=b";
    for (path, header) in [
        ("/upload/v1beta/files?uploadType=multipart", ("", "")),
        ("/upload/v1beta/files", ("x-goog-upload-protocol", "multipart")),
    ] {
        let answer = send(&sim, at_once(path, header, related, BOTH)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let file = answer.json()["file"].clone();
        let actual = (&file["displayName"], &file["mimeType"], &file["sizeBytes"]);
        assert_eq!(actual, (&json!("words"), &json!("text/markdown"), &json!("5")));
        let named = format!("/v1beta/{}", file["name"].as_str().unwrap());
        assert_eq!(call(&sim, "GET", "a2", &named).await.json(), file);
        assert_eq!(call(&sim, "GET", "b", &named).await.status, StatusCode::FORBIDDEN);
    }
    for (kind, data, why) in [
        ("multipart/related", BOTH, "boundary"),
        (related, "--b\r\n\r\n{}\r\n--b--\r\n", "exactly 2 parts"),
        (related, "--b\r\n\r\n{\"File\":1}\r\n--b\r\n\r\nx\r\n--b--\r\n", "Unknown name"),
    ] {
        let answer = send(&sim, at_once("/upload/v1beta/files?uploadType=multipart", ("", ""), kind, data)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{why}");
        assert!(answer.message().contains(why), "{}", answer.message());
    }
}
