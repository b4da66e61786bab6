//! Several accounts of `OpenAI`'s: a request that goes on from an answer goes to the account that made it.

use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};

use crate::{
    binary::Running,
    home::{Home, end},
    support::{Answer, ask},
    upstreams::{CLAUDE, Kind, Mood, STORED, Upstream},
};

const KEYS: [&str; 4] = [
    "sk-proj-TEST-not-a-real-key-0000000021",
    "sk-proj-TEST-not-a-real-key-0000000022",
    "sk-proj-TEST-not-a-real-key-0000000023",
    "sk-proj-TEST-not-a-real-key-0000000024",
];
const ALICE: &str = "kp-TEST-tenant-token-0123456789abcdef-alice";

/// The gateway's own accounts, and the same beside it as `open`.
fn toml(upstream: &Upstream) -> String {
    let keys = |front: &str| {
        let of = |(at, key)| format!("{{ id = \"{front}{at}\", owner = \"{front}-org{at}\", secret = \"{key}\" }}");
        KEYS.iter().enumerate().map(of).collect::<Vec<_>>().join(", ")
    };
    format!(
        r#"
        keys = [{}]
        tenants = [{{ name = "alice", token = "{ALICE}" }}]
        [gateway]
        listen = "127.0.0.1:0"
        provider = "openai"
        upstream = "{}/v1"
        [pool]
        wait = 0
        [[providers]]
        name = "open"
        kind = "openai"
        upstream = "{}/v1"
        keys = [{}]
        "#,
        keys("k"),
        upstream.url(),
        upstream.url(),
        keys("p"),
    )
}

async fn respond(running: &Running, (token, path): (&str, &str), body: &Value) -> Answer {
    let request = Request::post(format!("{}{path}", running.url)).header("content-type", "application/json");
    ask(request.header("authorization", format!("Bearer {token}")), body.to_string()).await
}

/// A turn of a conversation, which is called so.
fn turn(said: &str, before: Option<&str>, stream: bool) -> Value {
    let before = before.map(|before| format!("resp_{before}"));
    json!({ "model": STORED, "input": said, "previous_response_id": before, "stream": stream })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_stays_with_the_account_that_has_it() {
    let upstream = Upstream::start(Kind::OpenAi, &KEYS).await;
    let home = Home::new();
    home.write("keypool.toml", &toml(&upstream));
    let mut running = Running::of(home.command(&["serve"]));
    let mut makers = Vec::new();
    for who in [(PLACEHOLDER, "/v1/responses"), (ALICE, "/v1/responses"), (PLACEHOLDER, "/to/open/v1/responses")] {
        for stream in [false, true] {
            let name = |n: usize| format!("{}-{n}-{stream}", makers.len());
            let first = respond(&running, who, &turn(&name(0), None, stream)).await;
            assert_eq!(first.status, StatusCode::OK, "{first:?}");
            let maker = upstream.arrivals()[0].key.clone();
            for n in 1..6 {
                let next = respond(&running, who, &turn(&name(n), Some(&name(n - 1)), stream)).await;
                let asked: Vec<String> = upstream.arrivals().into_iter().map(|arrival| arrival.key).collect();
                assert_eq!((next.status, asked), (StatusCode::OK, vec![maker.clone()]), "{who:?} {n}: {next:?}");
            }
            makers.push((who, name(5), maker));
        }
    }
    // What it said is made short there.
    for ((token, path), last, maker) in &makers {
        let body = json!({ "model": STORED, "previous_response_id": format!("resp_{last}") });
        let short = respond(&running, (token, &format!("{path}/compact")), &body).await;
        let asked: Vec<String> = upstream.arrivals().into_iter().map(|arrival| arrival.key).collect();
        assert_eq!((short.status, asked), (StatusCode::OK, vec![maker.clone()]), "{path}: {short:?}");
    }
    // After a restart, too.
    end(running).await;
    running = Running::of(home.command(&["serve"]));
    for (who, last, maker) in &makers {
        let next = respond(&running, *who, &turn("again", Some(last), false)).await;
        let asked: Vec<String> = upstream.arrivals().into_iter().map(|arrival| arrival.key).collect();
        assert_eq!((next.status, asked), (StatusCode::OK, vec![maker.clone()]), "{who:?}: {next:?}");
    }
    // What nobody here knows goes to whoever is free, as ever.
    for path in ["/v1/responses", "/to/open/v1/responses"] {
        let other = respond(&running, (PLACEHOLDER, path), &turn("other", Some("unheard-of"), false)).await;
        assert_eq!((other.status, upstream.arrivals().len()), (StatusCode::OK, 1), "{other:?}");
    }
    // What it answered is fetched and deleted there.
    for ((token, path), last, maker) in makers.iter().filter(|(who, ..)| who.0 == PLACEHOLDER) {
        for (method, behind) in [("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")] {
            let url = format!("{}{path}/resp_{last}{behind}", running.url);
            let request = Request::builder().method(method).uri(url).header("authorization", format!("Bearer {token}"));
            let answer = ask(request, String::new()).await;
            let asked: Vec<String> = upstream.arrivals().into_iter().map(|arrival| arrival.key).collect();
            assert_eq!(
                (answer.status, asked),
                (StatusCode::OK, vec![maker.clone()]),
                "{method} {path}{behind}: {answer:?}"
            );
        }
    }
    // Of one that nobody here knows all accounts are asked.
    for path in ["/v1/responses/resp_unheard-of", "/to/open/v1/responses/resp_unheard-of"] {
        let request =
            Request::get(format!("{}{path}", running.url)).header("authorization", format!("Bearer {PLACEHOLDER}"));
        let answer = ask(request, String::new()).await;
        assert_eq!((answer.status, upstream.arrivals().len()), (StatusCode::NOT_FOUND, KEYS.len()), "{answer:?}");
    }
    // Where that account is out, no other is asked in its place.
    for (who, last, maker) in &makers {
        upstream.mood(maker, Mood::Limited(40));
        for _ in 0..2 {
            let out = respond(&running, *who, &turn("late", Some(last), false)).await;
            let asked: Vec<String> = upstream.arrivals().into_iter().map(|arrival| arrival.key).collect();
            assert!(asked.iter().all(|key| key == maker), "{who:?}: {asked:?}");
            assert!(
                [429, 503].contains(&out.status.as_u16()) && !out.header("retry-after").is_empty(),
                "{who:?}: {out:?}"
            );
        }
        let out = respond(&running, *who, &turn("late", Some(last), false)).await;
        assert_eq!((out.status, upstream.arrivals().len()), (StatusCode::SERVICE_UNAVAILABLE, 0), "{who:?}: {out:?}");
        upstream.mood(maker, Mood::Good);
    }
    upstream.is_unharmed();
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_runs_on_with_the_account_whose_container_it_is() {
    let upstream = Upstream::start(Kind::Anthropic, &KEYS).await;
    let home = Home::new();
    let text = toml(&upstream).replace("openai", "anthropic").replace("/v1\"", "\"");
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let send = async |(token, path): (&str, &str), container: &Value, stream: bool| {
        let request = Request::post(format!("{}{path}", running.url)).header("content-type", "application/json");
        let request = request.header("x-api-key", token).header("anthropic-version", "2023-06-01");
        let mut body = json!({ "model": CLAUDE, "max_tokens": 9, "stream": stream,
            "messages": [{ "role": "user", "content": "run" }],
            "tools": [{ "type": "code_execution_20250825", "name": "code_execution" }] });
        if !container.is_null() {
            body["container"] = container.clone();
        }
        let answer = ask(request, body.to_string()).await;
        let keys: Vec<String> = upstream.arrivals().into_iter().map(|arrival| arrival.key).collect();
        (answer, keys)
    };
    for who in [(PLACEHOLDER, "/v1/messages"), (PLACEHOLDER, "/to/open/v1/messages"), (ALICE, "/v1/messages")] {
        for stream in [false, true] {
            let (first, makers) = send(who, &Value::Null, stream).await;
            let text = String::from_utf8(first.body.to_vec()).unwrap();
            assert_eq!((first.status, makers.len()), (StatusCode::OK, 1), "{text}");
            let id = text.split("\"id\":\"container_").nth(1).unwrap().split('"').next().unwrap();
            let id = format!("container_{id}");
            for named in [json!(id), json!({ "id": id }), json!({ "id": id, "skills": [] }), json!(id)] {
                let (next, asked) = send(who, &named, stream).await;
                assert_eq!((next.status, &asked), (StatusCode::OK, &makers), "{who:?} {stream}: {next:?}");
            }
        }
    }
    upstream.is_unharmed();
    end(running).await;
}
