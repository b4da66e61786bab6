//! Requests that begin alike meet the same owner.

use std::collections::BTreeSet;

use gemini_sim::{GeminiSim, Project};
use http::Request;
use keypool::{
    client::Client as Upstream,
    gateway::{
        By, Gateway, Nearness, Setup,
        guard::Guard,
        route::Dialects,
        token::{PLACEHOLDER, Token},
    },
    stack,
};
use tower_keypool::{Clock, Gemini, Key, KeyPool, Models, Retry};

use crate::support::{Served, ask};

const OWNERS: usize = 8;

async fn place(by: By, header: &'static str) -> (Served, GeminiSim) {
    let secret = |n: usize| format!("AIzaSyTEST-near-key-{n:019}");
    let sim = (0..OWNERS).fold(GeminiSim::builder(), |sim, n| {
        sim.project(Project::new(n.to_string()).key(gemini_sim::Key::new(secret(n))))
    });
    let sim = sim.start().await.unwrap();
    let keys = (0..OWNERS).map(|n| Key::new(secret(n)).id(format!("k{n}")).owner(format!("project-{n}")));
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).keys(keys).build().unwrap();
    let base = pool.provider().base().clone();
    let stack = stack::stack_over(&pool, Models::new(), Retry::new(), Upstream::new(&base));
    let setup = Setup::new(stack, Guard::new([]), Token::new(PLACEHOLDER), Dialects::default());
    let nearness = Nearness { by, header: header.parse().unwrap() };
    let gateway = Gateway::new(Setup { nearness, ..setup }, base, Clock::system());
    (Served::serving(gateway).await, sim)
}

/// Which keys served requests that differ in the end only.
async fn served(served: &Served, path: &str, body: impl Fn(usize) -> String, header: (&str, &str)) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for n in 0..12 {
        let request = Request::post(served.url(path))
            .header("authorization", format!("Bearer {PLACEHOLDER}"))
            .header("content-type", "application/json")
            .header(header.0, header.1);
        let answer = ask(request, body(n)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        keys.insert(answer.header("x-keypool-key").to_owned());
    }
    keys
}

const NATIVE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const CHAT: &str = "/v1/chat/completions";

fn native(head: &str, n: usize) -> String {
    format!(
        r#"{{"systemInstruction":{{"parts":[{{"text":"{head}"}}]}},"contents":[{{"role":"user","parts":[{{"text":"a"}}]}},
        {{"role":"model","parts":[{{"text":"b"}}]}},{{"role":"user","parts":[{{"text":"{n}"}}]}}]}}"#
    )
}

fn chat(more: &str, head: &str, n: usize) -> String {
    format!(
        r#"{{"model":"gemini-2.5-flash",{more}"messages":[{{"role":"system","content":"{head}"}},{{"role":"user","content":"a"}},
        {{"role":"assistant","content":"b"}},{{"role":"user","content":"{n}"}}]}}"#
    )
}

#[tokio::test]
async fn a_session_meets_one_owner_and_sessions_spread() {
    let (gateway, _sim) = place(By::Session, "x-keypool-session").await;
    let mut all = BTreeSet::new();
    for session in ["one", "two", "three", "four", "five", "six", "seven", "eight"] {
        let header = ("x-keypool-session", session);
        let keys = served(&gateway, NATIVE, |n| native(&n.to_string(), n), header).await;
        assert_eq!(keys.len(), 1, "{session}: {keys:?}");
        assert_eq!(served(&gateway, CHAT, |n| chat("", &n.to_string(), n), header).await, keys, "in any dialect");
        all.extend(keys);
    }
    assert!(all.len() > 2, "{all:?}");
    // How it begins is not asked about, and another header is none.
    assert!(served(&gateway, NATIVE, |n| native("same", n), ("x-other", "1")).await.len() > 1);
}

#[tokio::test]
async fn a_prompt_cache_key_does_and_so_does_the_head_where_that_is_wanted() {
    let (gateway, _sim) = place(By::Session, "x-session-id").await;
    let none = ("x-other", "1");
    let keyed = |n: usize| chat(r#""prompt_cache_key":"k","#, &n.to_string(), n);
    let keys = served(&gateway, CHAT, keyed, none).await;
    assert_eq!(keys.len(), 1);
    assert_eq!(
        served(&gateway, CHAT, |n| chat("", "h", n), ("x-session-id", "k")).await,
        keys,
        "it is a session's name"
    );
    assert!(served(&gateway, CHAT, |n| chat("", "h", n), none).await.len() > 1);

    let (gateway, _sim) = place(By::Prompt, "x-session-id").await;
    assert_eq!(served(&gateway, CHAT, |n| chat("", "h", n), none).await.len(), 1);
    assert_eq!(served(&gateway, NATIVE, |n| native("h", n), none).await.len(), 1);
    assert!(served(&gateway, NATIVE, |n| native(&format!("h{n}"), n), none).await.len() > 1);
    let session = ("x-session-id", "s");
    assert_eq!(served(&gateway, NATIVE, |n| native(&format!("h{n}"), n), session).await.len(), 1);

    let (gateway, _sim) = place(By::Off, "x-session-id").await;
    assert!(served(&gateway, CHAT, keyed, ("x-session-id", "s")).await.len() > 1);
}
