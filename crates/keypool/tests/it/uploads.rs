//! Resumable uploads: our URL in the place of the provider's, every chunk over the key that opened it.

use std::time::Duration;

use gemini_sim::GeminiSim;
use http::{Request, StatusCode};
use keypool::{
    database::Records,
    gateway::{
        capability::hash_of,
        tenant::{From, Grant, TenantLimits},
        token::PLACEHOLDER,
    },
};
use tower_keypool::{Key, KeyPool, Models, Retry, Strategy};

use crate::{
    serving::{ONE, TWO},
    support::{Answer, Served, ask},
};

async fn served(sim: &GeminiSim) -> Served {
    let pool = KeyPool::builder(tower_keypool::Gemini::at(&sim.url()).unwrap())
        .keys([Key::new(ONE).id("one"), Key::new(TWO).id("two")])
        // So that a chunk over another key than the first would be seen.
        .strategy(Strategy::RoundRobin)
        .wait(Duration::ZERO)
        .build()
        .unwrap();
    Served::over(keypool::stack::stack(&pool, Models::new(), Retry::new()), &sim.url()).await
}

async fn sim() -> GeminiSim {
    GeminiSim::builder()
        .project(gemini_sim::Project::new("1").key(ONE))
        .project(gemini_sim::Project::new("2").key(TWO))
        .upload_granularity(4)
        .start()
        .await
        .unwrap()
}

pub(crate) async fn open(served: &Served, length: usize) -> Answer {
    open_as(served, PLACEHOLDER, &length.to_string()).await
}

async fn open_as(served: &Served, token: &str, length: &str) -> Answer {
    open_at(&served.url("/upload/v1beta/files"), token, length).await
}

async fn open_at(url: &str, token: &str, length: &str) -> Answer {
    let request = Request::post(url)
        .header("x-goog-api-key", token)
        .header("content-type", "application/json")
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", length)
        .header("x-goog-upload-header-content-type", "text/plain");
    ask(request, r#"{"file":{"displayName":"notes"}}"#).await
}

pub(crate) async fn send(url: &str, command: &str, offset: usize, bytes: &'static str) -> Answer {
    // As the official clients do: no credential.
    let request = Request::post(url).header("x-goog-upload-command", command).header("x-goog-upload-offset", offset);
    ask(request, bytes).await
}

#[tokio::test]
async fn a_file_goes_up_in_chunks_over_one_key() {
    let sim = sim().await;
    let served = served(&sim).await;
    for _ in 0..2 {
        let opened = open(&served, 8).await;
        assert_eq!(opened.status, StatusCode::OK, "{opened:?}");
        let url = opened.header("x-goog-upload-url").to_owned();
        assert!(url.starts_with(&served.url("/upload/v1beta/files?upload_id=")), "{url}");
        let upstream = sim.url();
        assert!(!format!("{:?}", opened.headers).contains(upstream.trim_start_matches("http://")));

        let first = send(&url, "upload", 0, "half").await;
        assert_eq!(first.header("x-goog-upload-status"), "active", "{first:?}");
        let last = send(&url, "upload, finalize", 4, "half").await;
        assert_eq!(last.header("x-goog-upload-status"), "final", "{last:?}");
        assert!(last.json()["file"]["uri"].is_string(), "{last:?}");
        for answer in [&first, &last] {
            assert_eq!(answer.header("x-keypool-key"), opened.header("x-keypool-key"));
        }

        let dead = send(&url, "upload", 8, "more").await;
        assert_eq!(dead.status, StatusCode::NOT_FOUND, "it ended with the last chunk");
    }
}

/// Go's client puts `/upload/…` behind whatever base URL it was given.
#[tokio::test]
async fn a_base_url_with_its_version_has_uploads_too() {
    let sim = sim().await;
    let served = served(&sim).await;
    for base in ["/v1beta", "/v1beta/", "/gemini/v1beta", ""] {
        let opened = open_at(&served.url(&format!("{base}/upload/v1beta/files")), PLACEHOLDER, "4").await;
        assert_eq!(opened.status, StatusCode::OK, "{base}: {opened:?}");
        let last = send(opened.header("x-goog-upload-url"), "upload, finalize", 0, "half").await;
        assert_eq!(last.header("x-goog-upload-status"), "final", "{base}: {last:?}");
    }
}

#[tokio::test]
async fn an_id_that_nobody_was_given_opens_nothing() {
    let sim = sim().await;
    let served = served(&sim).await;
    let opened = open(&served, 4).await;
    let url = opened.header("x-goog-upload-url");
    let id = url.split("upload_id=").nth(1).unwrap().split('&').next().unwrap();
    assert_eq!(id.len(), 64, "256 bits");
    let arrivals = sim.report().total.arrivals;

    for other in ["0".repeat(64), "x".repeat(64), "0".repeat(32), String::new(), id.to_uppercase() + "0"] {
        let answer = send(&url.replace(id, &other), "query", 0, "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    // The id opens the upload's path only.
    let elsewhere = ask(Request::get(served.url(&format!("/v1beta/files?upload_id={id}"))), "").await;
    assert_eq!(elsewhere.status, StatusCode::UNAUTHORIZED);
    assert_eq!(sim.report().total.arrivals, arrivals, "none of them went on");
}

#[tokio::test]
async fn an_upload_is_one_request_of_its_tenants_however_many_chunks_it_has() {
    let sim = sim().await;
    let pool = KeyPool::builder(tower_keypool::Gemini::at(&sim.url()).unwrap()).key(Key::new(ONE)).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let limits = TenantLimits { rpd: Some(2), ..TenantLimits::default() };
    let grant = Grant { name: "up".into(), token_hash: hash_of(b"kp-up"), limits, ..Grant::default() };
    tenants.set(From::Commands, vec![grant]);
    for _ in 0..2 {
        let opened = open_as(&served, "kp-up", "16").await;
        assert_eq!(opened.status, StatusCode::OK, "{opened:?}");
        let url = opened.header("x-goog-upload-url");
        for at in [0, 4, 8] {
            assert_eq!(send(url, "upload", at, "half").await.status, StatusCode::OK);
        }
        assert_eq!(send(url, "upload, finalize", 12, "half").await.header("x-goog-upload-status"), "final");
    }
    assert_eq!(open_as(&served, "kp-up", "16").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_length_that_is_none_opens_no_upload() {
    let sim = sim().await;
    let served = served(&sim).await;
    for length in ["abc", "-5", "99999999999999999999999", ""] {
        let answer = open_as(&served, PLACEHOLDER, length).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{length} {answer:?}");
    }
    assert_eq!(sim.report().total.arrivals, 0);
}

/// What leads to the provider's own upload is nobody's, in whichever header it says so.
#[tokio::test]
async fn nothing_else_names_the_providers_upload() {
    let answer = |more: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n{more}\r\n");
    let url = "https://g.example/upload/v1beta/files?upload_id=THEIRS&upload_protocol=resumable";
    let beside = format!("x-guploader-uploadid: THEIRS\r\nx-goog-upload-control-url: {url}\r\nlocation: {url}\r\n");
    let both = answer(&format!("{beside}x-goog-upload-url: {url}\r\nx-goog-upload-status: active\r\n"));
    let (served, _) = crate::retold::over(vec![both.clone(), both, answer(&beside)]).await;
    let opened = open(&served, 8).await;
    let sent = send(opened.header("x-goog-upload-url"), "upload", 0, "half").await;
    // Where it is called so alone.
    let located = open(&served, 8).await;
    assert!(located.header("location").starts_with(&served.url("/upload/v1beta/files?upload_id=")), "{located:?}");
    for answer in [&opened, &sent, &located] {
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!format!("{:?}", answer.headers).contains("THEIRS"), "{answer:?}");
    }
}
