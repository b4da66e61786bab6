//! Several accounts of a provider that is not Gemini's: their models are one list, asked for now and then.

use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};

use crate::{
    binary::Running,
    home::{Home, end},
    support::{Answer, ask},
    upstreams::{CLAUDE, GPT, Kind, Mood, Upstream},
};

const OPENAI: [&str; 3] = [
    "sk-proj-TEST-not-a-real-key-0000000031",
    "sk-proj-TEST-not-a-real-key-0000000032",
    "sk-proj-TEST-not-a-real-key-0000000033",
];
const ANTHROPIC: [&str; 2] = ["sk-ant-TEST-not-a-real-key-0000000034", "sk-ant-TEST-not-a-real-key-0000000035"];
const ALICE: &str = "kp-TEST-tenant-token-0123456789abcdef-alice";
const BOB: &str = "kp-TEST-tenant-token-0123456789abcdef-bobby";

/// The gateway's own accounts, and the same beside it as `there`.
fn toml(upstream: &Upstream, (kind, path): (&str, &str), keys: &[&str]) -> String {
    let keys = |front: &str| {
        let of = |(at, key)| format!("{{ id = \"{front}{at}\", owner = \"{front}-org{at}\", secret = \"{key}\" }}");
        keys.iter().enumerate().map(of).collect::<Vec<_>>().join(", ")
    };
    let upstream = format!("{}{path}", upstream.url());
    format!(
        r#"
        keys = [{}]
        tenants = [{{ name = "alice", token = "{ALICE}" }}, {{ name = "bob", token = "{BOB}", models = ["only-1", "fast"] }}]
        [gateway]
        listen = "127.0.0.1:0"
        provider = "{kind}"
        upstream = "{upstream}"
        [pool]
        wait = 0
        [[models]]
        name = "only-0"
        aliases = ["fast"]
        [[providers]]
        name = "there"
        kind = "{kind}"
        upstream = "{upstream}"
        keys = [{}]
        "#,
        keys("k"),
        keys("p"),
    )
}

async fn get(running: &Running, token: &str, path: &str) -> Answer {
    let request = Request::get(format!("{}{path}", running.url));
    let request = if path.contains("claude=1") || path.contains("anthropic") {
        request.header("x-api-key", token).header("anthropic-version", "2023-06-01")
    } else {
        request.header("authorization", format!("Bearer {token}"))
    };
    ask(request, String::new()).await
}

fn ids(list: &Answer) -> Vec<String> {
    assert_eq!(list.status, StatusCode::OK, "{list:?}");
    list.json()["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_of_openais_accounts_are_one_list_and_kept() {
    let upstream = Upstream::start(Kind::OpenAi, &OPENAI).await;
    for (at, key) in OPENAI.iter().enumerate() {
        upstream.has_alone(key, &format!("only-{at}"));
    }
    let home = Home::new();
    let text = toml(&upstream, ("openai", "/v1"), &OPENAI);
    // Once with another provider beside it, once without.
    for beside in [true, false] {
        let text = if beside { &*text } else { text.split("[[providers]]").next().unwrap() };
        home.write("keypool.toml", text);
        let mut running = Running::of(home.command(&["serve"]));
        let entry = |id: &str| json!({ "id": id, "object": "model", "created": 1, "owned_by": "openai" });
        for path in ["/v1/models", "/to/there/v1/models"].into_iter().take(1 + usize::from(beside)) {
            let whole = path.starts_with("/to/") || !beside;
            let expected = ["curie-001", "fast", GPT, "gpt-5-mini", "only-0", "only-1", "only-2"];
            let first = get(&running, PLACEHOLDER, path).await;
            assert_eq!(sorted(ids(&first)), expected, "{path}");
            let mut asked: Vec<String> = upstream.arrivals().into_iter().map(|arrival| arrival.key).collect();
            asked.sort();
            // Beside others the list is that of all of them.
            let lists = if beside && path == "/v1/models" { 2 } else { usize::from(!beside) };
            assert_eq!(asked.len(), OPENAI.len() * lists);
            assert_eq!(get(&running, PLACEHOLDER, path).await.body, first.body);
            let list = first.json();
            for at in 0..3 {
                let id = format!("only-{at}");
                let one = get(&running, PLACEHOLDER, &format!("{path}/{id}")).await;
                assert_eq!((one.status, &one.json()["id"]), (StatusCode::OK, &json!(id)), "{one:?}");
                if whole {
                    assert_eq!(one.json(), entry(&id));
                    assert!(list["data"].as_array().unwrap().contains(&entry(&id)), "{list}");
                }
            }
            let one = get(&running, PLACEHOLDER, &format!("{path}/fast")).await;
            assert_eq!((one.status, &one.json()["id"]), (StatusCode::OK, &json!("fast")), "{one:?}");
            assert_eq!(sorted(ids(&get(&running, ALICE, path).await)), expected);
            assert_eq!(sorted(ids(&get(&running, BOB, path).await)), ["fast", "only-1"]);
            assert_eq!(get(&running, BOB, &format!("{path}/only-1")).await.status, StatusCode::OK);
            assert_ne!(get(&running, BOB, &format!("{path}/only-2")).await.status, StatusCode::OK);
            assert_eq!(upstream.arrivals().len(), 0, "all of that from the list at hand");
            running.signal("-HUP");
            tokio::task::block_in_place(|| running.line_with("configuration read again"));
            assert_eq!(sorted(ids(&get(&running, PLACEHOLDER, path).await)), expected);
            assert_eq!(upstream.arrivals().len(), 0, "what is read again and is the same leaves it at hand");
        }
        end(running).await;
    }
    upstream.is_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_lists_nothing_is_left_out_and_serves_as_before() {
    let upstream = Upstream::start(Kind::OpenAi, &OPENAI).await;
    for (at, key) in OPENAI.iter().enumerate() {
        upstream.has_alone(key, &format!("only-{at}"));
    }
    upstream.mood(OPENAI[2], Mood::Unlisting);
    let home = Home::new();
    let text = toml(&upstream, ("openai", "/v1"), &OPENAI);
    home.write("keypool.toml", text.split("[[providers]]").next().unwrap());
    let running = Running::of(home.command(&["serve"]));
    let listed = ids(&get(&running, PLACEHOLDER, "/v1/models").await);
    assert!(listed.contains(&"only-0".to_owned()) && !listed.contains(&"only-2".to_owned()), "{listed:?}");
    upstream.arrivals();
    let body = json!({ "model": GPT, "messages": [{ "role": "user", "content": "hi" }] });
    for _ in 0..6 {
        let request = Request::post(format!("{}/v1/chat/completions", running.url));
        let request = request.header("content-type", "application/json");
        let answer = ask(request.header("authorization", format!("Bearer {PLACEHOLDER}")), body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    let mut served: Vec<String> = upstream.arrivals().into_iter().map(|arrival| arrival.key).collect();
    served.sort();
    served.dedup();
    assert_eq!(served, OPENAI, "no key rests for what it lists");
    end(running).await;
    upstream.is_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_of_anthropics_accounts_come_in_pages() {
    let upstream = Upstream::start(Kind::Anthropic, &ANTHROPIC).await;
    for (at, key) in ANTHROPIC.iter().enumerate() {
        upstream.has_alone(key, &format!("only-{at}"));
    }
    let home = Home::new();
    let text = toml(&upstream, ("anthropic", ""), &ANTHROPIC);
    home.write("keypool.toml", text.split("[[providers]]").next().unwrap());
    let running = Running::of(home.command(&["serve"]));
    let path = "/anthropic/v1/models";
    let all = get(&running, PLACEHOLDER, path).await;
    let listed = ids(&all);
    assert_eq!(sorted(listed.clone()), [CLAUDE, "fast", "only-0", "only-1"]);
    let page = |list: &Answer| {
        let list = list.json();
        let told = [&list["has_more"], &list["first_id"], &list["last_id"]].map(Value::clone);
        (
            list["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>(),
            told,
        )
    };
    let told = |more: bool, ids: &[String]| [json!(more), json!(ids.first()), json!(ids.last())];
    assert_eq!(page(&all), (listed.clone(), told(false, &listed)));
    assert!(all.json()["data"].as_array().unwrap().iter().all(|one| one["created_at"] == "2026-01-01T00:00:00Z"));
    let first = get(&running, PLACEHOLDER, &format!("{path}?limit=3")).await;
    assert_eq!(page(&first), (listed[..3].to_vec(), told(true, &listed[..3])));
    let next = get(&running, PLACEHOLDER, &format!("{path}?limit=3&after_id={}", listed[2])).await;
    assert_eq!(page(&next), (listed[3..].to_vec(), told(false, &listed[3..])));
    let back = get(&running, PLACEHOLDER, &format!("{path}?before_id={}&limit=2", listed[3])).await;
    assert_eq!(page(&back), (listed[1..3].to_vec(), told(true, &listed[1..3])));
    for id in &listed {
        let one = get(&running, PLACEHOLDER, &format!("{path}/{id}")).await;
        assert_eq!((one.status, &one.json()["id"]), (StatusCode::OK, &json!(id)), "{one:?}");
    }
    assert_eq!(sorted(ids(&get(&running, BOB, path).await)), ["fast", "only-1"]);
    assert_eq!(upstream.arrivals().len(), ANTHROPIC.len());
    end(running).await;
    upstream.is_unharmed();
}
