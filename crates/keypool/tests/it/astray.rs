//! Requests that nothing here can serve: what they are told, and for how long.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use gemini_sim::{GeminiSim, Project};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use keypool::{gateway::token::PLACEHOLDER, status::StoreHealth};
use tokio::net::TcpListener;
use tower_keypool::{Demand, Gemini, Key, KeyPool};

use crate::{
    binary::Running,
    home::{Home, end, secret},
    serving::generate,
    support::{Answer, Served, ask},
};

const ALICE: &str = "kp-TEST-tenant-token-0123456789abcdef-alice";

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_nobodys_is_called_one() {
    let sim = GeminiSim::builder().project(Project::new("1").key(secret(0))).start().await.unwrap();
    let home = Home::new();
    let text = format!(
        "keys = [{{ id = \"a\", secret = \"{}\" }}]\ntenants = [{{ name = \"alice\", token = \"{ALICE}\" }}]\n\
         [gateway]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n",
        secret(0),
        sim.url()
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    for path in ["/nosuch", "/v9/nosuch", "/v1beta/nosuch", "/v1beta/files:search"] {
        let answer = ask(Request::get(format!("{}{path}", running.url)).header("x-goog-api-key", ALICE), "").await;
        let why = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {answer:?}");
        assert!(why.contains("no such path") && !why.contains("made through"), "{path}: {why}");
    }
    assert_eq!(sim.report().total.arrivals, 0);
    end(running).await;
}

/// A provider that takes no key, for no reason that it gives, and says when to come back, which is nobody's to say.
async fn refusing() -> String {
    const REFUSED: &str = r#"{"error":{"code":401,"message":"nope","status":"UNAUTHENTICATED"}}"#;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|_: Request<Incoming>| async {
                let answer = Response::builder().status(401).header("content-type", "application/json");
                let answer = answer.header("retry-after", "7").header("retry-after-ms", "7000");
                Ok::<_, Infallible>(answer.body(Full::<Bytes>::from(REFUSED)).unwrap())
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

async fn chat(served: &Served) -> Answer {
    let request = Request::post(served.url("/v1/chat/completions")).header("content-type", "application/json");
    let body = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"hi"}]}"#;
    ask(request.header("authorization", format!("Bearer {PLACEHOLDER}")), body).await
}

/// While no key rests nobody knows of a time, and none is told; from when the keys rest the time is when the first is back.
#[tokio::test]
async fn when_to_come_back_to_keys_that_are_all_refused_is_told_once_they_rest() {
    for dialect in ["gemini", "openai"] {
        let upstream = refusing().await;
        let keys = (0..3).map(|n| Key::new(secret(n)).owner(format!("owner-{n}")));
        let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap();
        let served = Served::pool(&pool, &upstream, StoreHealth::default()).await;
        let (mut without, mut with) = (0, 0);
        for _ in 0..8 {
            let answer = match dialect {
                "gemini" => generate(&served, "gemini-2.5-flash").await,
                _ => chat(&served).await,
            };
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
            assert_eq!(answer.header("retry-after-ms"), "", "{answer:?}");
            let back = pool.outlook(Demand::new("gemini-2.5-flash")).and_then(|out| out.next_in());
            match (answer.header("retry-after"), back) {
                ("", _) => without += 1,
                (told, Some(back)) => {
                    let (told, back) = (told.parse::<u64>().unwrap(), back.as_secs_f64().ceil() as u64);
                    assert!((back..=back + 1).contains(&told), "{told} for {back}: {answer:?}");
                    assert_eq!(pool.snapshot().available_keys, 0);
                    with += 1;
                }
                (_, None) => panic!("no key rests: {answer:?}"),
            }
        }
        assert!(without <= 3 && with >= 5, "{dialect}: {without} without a time, {with} with one");
    }
}
