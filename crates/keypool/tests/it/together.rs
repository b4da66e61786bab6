//! Several files in one request: no key sees what lies in two projects.

use std::time::Duration;

use gemini_sim::{Fault, Rule};
use http::{Request, StatusCode};
use keypool::database::Records;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tower_keypool::{Affinity, Demand, KeyId, KeyPool, Until, Verdict, VerdictKind};

use crate::{
    resources::{ALICE, BOB, both, get, pool, post, sim, upload, uploaded},
    support::{Answer, Served},
};

async fn asked(served: &Served, names: &[String]) -> Answer {
    let part = |name: &String| json!({ "fileData": { "fileUri": format!("https://generativelanguage.googleapis.com/v1beta/{name}") } });
    let parts: Vec<Value> = names.iter().map(part).collect();
    let body = json!({ "contents": [{ "parts": parts }] });
    post(served, ALICE, "/v1beta/models/gemini-2.5-flash:generateContent", body).await
}

async fn served(pool: &KeyPool, url: &str) -> Served {
    let (served, tenants) = Served::kept(pool, url, Records::default()).await;
    both(&tenants);
    served
}

#[tokio::test]
async fn files_that_are_uploaded_one_after_the_other_are_seen_together() {
    let sim = sim().await;
    let pool = pool(&sim);
    let served = served(&pool, &sim.url()).await;
    let mut names = Vec::new();
    for _ in 0..4 {
        let name = upload(&served, ALICE).await;
        // Until it can be used, as the official clients' users do.
        assert_eq!(get(&served, ALICE, &format!("/v1beta/{name}")).await.status, StatusCode::OK);
        names.push(name);
        upload(&served, BOB).await;
    }
    let answer = asked(&served, &names).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn files_that_are_asked_about_by_themselves_use_all_projects() {
    let sim = sim().await;
    let pool = pool(&sim);
    let served = served(&pool, &sim.url()).await;
    let mut names = Vec::new();
    for _ in 0..4 {
        let name = upload(&served, ALICE).await;
        assert_eq!(asked(&served, std::slice::from_ref(&name)).await.status, StatusCode::OK);
        names.push(name);
    }
    let answer = asked(&served, &names).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.body).contains("x-keypool-session"), "{answer:?}");
}

#[tokio::test]
async fn files_do_not_go_where_a_model_is_out_for_the_day() {
    let sim = sim().await;
    let pool = pool(&sim);
    let served = served(&pool, &sim.url()).await;
    let out = |key: &str| {
        let demand = Demand::new("gemini-2.5-flash").affinity(Affinity::MustKey(KeyId::from(key)));
        pool.try_acquire(demand).unwrap().settle(&Verdict::new(VerdictKind::QuotaExhausted).until(Until::DayEnd));
    };
    out("one");
    for _ in 0..3 {
        // Each by itself, and one behind the other.
        let (name, next) = (upload(&served, ALICE).await, upload(&served, ALICE).await);
        assert_eq!(asked(&served, &[name, next]).await.status, StatusCode::OK);
    }
    let name = upload(&served, ALICE).await;
    pool.enable(&KeyId::from("one")).unwrap();
    out("two");
    let next = upload(&served, ALICE).await;
    assert_eq!(asked(&served, &[next]).await.status, StatusCode::OK, "not behind {name}");
}

#[tokio::test]
async fn files_that_are_uploaded_at_the_same_moment_are_seen_together() {
    let sim = sim().await;
    let pool = pool(&sim);
    let served = served(&pool, &sim.url()).await;
    let names = futures_util::future::join_all((0..6).map(|_| upload(&served, ALICE))).await;
    let answer = asked(&served, &names).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn files_of_one_session_are_seen_together_however_they_are_uploaded() {
    let sim = sim().await;
    let pool = pool(&sim);
    let served = served(&pool, &sim.url()).await;
    let one = || {
        uploaded(Request::post(served.url("/upload/v1beta/files")).header("x-keypool-session", "a conversation"), ALICE)
    };
    let mut names = futures_util::future::join_all((0..8).map(|_| one())).await;
    assert_eq!(asked(&served, &names).await.status, StatusCode::OK);
    // What the tenant uploads beside it leads none of them.
    for _ in 0..3 {
        let beside = upload(&served, ALICE).await;
        assert_eq!(asked(&served, &[beside]).await.status, StatusCode::OK);
        names.push(one().await);
    }
    names.extend(futures_util::future::join_all((0..20).map(|_| one())).await);
    let answer = asked(&served, &names).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn files_that_are_uploaded_anew_are_seen_together() {
    let sim = sim().await;
    let pool = pool(&sim);
    let served = served(&pool, &sim.url()).await;
    let first = upload(&served, ALICE).await;
    assert_eq!(asked(&served, std::slice::from_ref(&first)).await.status, StatusCode::OK);
    let mut names = vec![first];
    for _ in 0..10 {
        names.push(upload(&served, ALICE).await);
    }
    assert_eq!(asked(&served, &names).await.status, StatusCode::BAD_REQUEST);
    let mut anew = Vec::new();
    for _ in 0..16 {
        anew.push(upload(&served, ALICE).await);
    }
    let answer = asked(&served, &anew).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    // They go on with none of the runs before: the project that has the fewest is the first one's.
    let with_the_first = asked(&served, &[names[0].clone(), anew[0].clone()]).await;
    assert_eq!(with_the_first.status, StatusCode::OK, "{with_the_first:?}");
}

#[tokio::test]
async fn those_that_wait_for_one_whose_client_leaves_are_seen_together() {
    let sim = sim().await;
    sim.script(Rule::new(Fault::Hang).path("upload").times(1));
    let pool = pool(&sim);
    let served = served(&pool, &sim.url()).await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    let head = format!(
        "POST /upload/v1beta/files HTTP/1.1\r\nhost: {}\r\nx-goog-api-key: {ALICE}\r\nx-goog-upload-protocol: resumable\r\n\
         x-goog-upload-command: start\r\ncontent-length: 0\r\n\r\n",
        served.address
    );
    first.write_all(head.as_bytes()).await.unwrap();
    while sim.log().is_empty() {
        tokio::task::yield_now().await;
    }
    let others = futures_util::future::join_all((0..20).map(|_| upload(&served, ALICE)));
    let leaving = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(first);
    };
    let (names, ()) =
        tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(others, leaving) }).await.unwrap();
    let answer = asked(&served, &names).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn what_a_batch_made_does_not_lead_the_next_upload() {
    let sim = sim().await;
    let pool = pool(&sim);
    let served = served(&pool, &sim.url()).await;
    let mut names = vec![upload(&served, ALICE).await];
    let request = json!({ "request": { "contents": [{ "parts": [{ "text": "hello" }] }] } });
    let body = json!({ "batch": { "inputConfig": { "requests": { "requests": [request] } } } });
    // In turn in one project and the other, each with a file for its results.
    for _ in 0..3 {
        let path = "/v1beta/models/gemini-2.5-flash:batchGenerateContent";
        let batch = post(&served, ALICE, path, body.clone()).await;
        assert!(batch.json()["response"]["responsesFile"].is_string(), "{batch:?}");
        names.push(upload(&served, ALICE).await);
    }
    let answer = asked(&served, &names).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}
