//! Batches whose requests stand in a file: what they ask and cost is seen by nobody here.

use std::time::Duration;

use http::{Request, StatusCode};
use keypool::{
    database::Records,
    gateway::{
        capability::hash_of,
        tenant::{From, Grant, TenantLimits, Tenants},
    },
};
use serde_json::json;

use crate::{
    resources::{ALICE, BOB, pool, post, sim, upload},
    support::{Answer, Served, ask},
};

const CAROL: &str = "kp-carol-0123456789abcdef";
const BATCH: &str = "/v1beta/models/gemini-2.5-flash:batchGenerateContent";
const COMPATIBLE: &str = "/v1beta/openai/batches";

/// Alice's tokens are limited, Carol's models are; Bob may all.
fn three(tenants: &Tenants) {
    let grant = |name: &str, token: &str| Grant {
        name: name.to_owned(),
        token_hash: hash_of(token.as_bytes()),
        ..Grant::default()
    };
    let limits = TenantLimits { tpd: Some(100), ..TenantLimits::default() };
    let carol = Grant { models: vec!["gemini-2.5-flash".to_owned()], ..grant("carol", CAROL) };
    tenants.set(From::Configuration, vec![Grant { limits, ..grant("alice", ALICE) }, grant("bob", BOB), carol]);
}

async fn raw(served: &Served, token: &str, path: &str, body: String) -> Answer {
    let request = Request::post(served.url(path)).header("x-goog-api-key", token);
    ask(request.header("content-type", "application/json"), body).await
}

fn why(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    answer.json()["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_batch_from_a_file_goes_past_no_limit_of_a_tenants() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    three(&tenants);
    for (token, is_refused) in [(ALICE, true), (BOB, false), (CAROL, false)] {
        let file = upload(&served, token).await;
        let batch = json!({ "batch": { "inputConfig": { "fileName": file } } });
        let arrived = sim.report().total.arrivals;
        let answer = post(&served, token, BATCH, batch.clone()).await;
        if !is_refused {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            continue;
        }
        assert!(why(&answer).contains("tokens"), "{answer:?}");
        for path in [BATCH.replace(":batch", "%3Abatch"), BATCH.replace("batch", "%62atch")] {
            assert!(why(&post(&served, token, &path, batch.clone()).await).contains("tokens"), "{path}");
        }
        for body in [
            format!(r#"{{"batch":{{"input_config":{{"file_name":"{file}"}}}}}}"#),
            format!(r#"{{"batch":{{"inputConfig":{{"fil\u0065Name":"{file}","x":"{}"}}}}}}"#, "x".repeat(100_000)),
            format!(r#"{{"batch":{{"inputConfig":{{"fileName":"{file}"}},"inputConfig":{{}}}}}}"#),
        ] {
            assert!(why(&raw(&served, token, BATCH, body.clone()).await).contains("tokens"), "{body}");
        }
        assert_eq!(sim.report().total.arrivals, arrived);
    }
}

#[tokio::test]
async fn nor_does_one_of_the_compatible_endpoint() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    three(&tenants);
    let body = json!({ "input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h" });
    for token in [ALICE, CAROL] {
        for path in [COMPATIBLE, "/v1beta/openai/batches/", "/v1beta/openai/%62atches"] {
            let answer = post(&served, token, path, body.clone()).await;
            assert!(why(&answer).contains("file"), "{path}: {answer:?}");
        }
    }
    assert_eq!(post(&served, BOB, COMPATIBLE, body).await.status, StatusCode::NOT_FOUND, "a file that is not his");
    assert_eq!(sim.report().total.arrivals, 0);
}

#[tokio::test]
async fn a_batch_whose_requests_are_in_its_body_counts_by_them() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    three(&tenants);
    // Words, not fields.
    let text = "fileName ".repeat(500);
    let call = json!({ "functionCall": { "name": "f", "args": { "fileName": "files/a" } } });
    let asked = json!({ "request": { "contents": [{ "parts": [{ "text": text }, call] }] } });
    let batch = json!({ "batch": { "inputConfig": { "requests": { "requests": [asked] } } } });
    let answer = post(&served, ALICE, BATCH, batch).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    for _ in 0..200 {
        let hello = json!({ "contents": [{ "parts": [{ "text": "x" }] }] });
        let answer = post(&served, ALICE, &BATCH.replace("batchG", "g"), hello).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it cost nothing");
}
