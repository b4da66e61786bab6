//! Waiting for a key: how long a request may, how many do, and what is told when it was in vain.

use std::{sync::Arc, time::Duration};

use gemini_sim::{Fault, GeminiSim, Latency, Rule};
use http::Request;
use keypool::{
    client::Client as Upstream,
    gateway::{
        Gateway, Setup, Waiting,
        capability::hash_of,
        guard::Guard,
        route::Dialects,
        tenant::{From, Grant},
        token::{PLACEHOLDER, Token},
    },
    stack,
};
use tokio::task::JoinHandle;
use tower_keypool::{Clock, Gemini, Key, KeyPool, Limits, Models, Retry};

use crate::{
    resources::uploaded,
    serving::{HELLO, ONE},
    support::{Answer, Served, ask},
};

struct Place {
    served: Served,
    sim: GeminiSim,
}

/// One key; nobody waits who does not ask to.
async fn place(waiting: Waiting, key: Key) -> Place {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).key(key).wait(Duration::ZERO).build().unwrap();
    pool.bound_waiting(waiting.most);
    let base = pool.provider().base().clone();
    let stack = stack::stack_over(&pool, Models::new(), Retry::new(), Upstream::new(&base));
    let setup = Setup::new(stack, Guard::new([]), Token::new(PLACEHOLDER), Dialects::default());
    let gateway = Gateway::new(Setup { waiting, ..setup }, base, Clock::system());
    let grant = |name: &str| Grant {
        name: name.to_owned(),
        token_hash: hash_of(format!("token-of-{name}").as_bytes()),
        ..Grant::default()
    };
    gateway.tenants().set(From::Configuration, vec![grant("acme"), grant("other")]);
    Place { served: Served::serving(gateway).await, sim }
}

fn busy() -> Key {
    Key::new(ONE).id("one").max_concurrent(1)
}

/// A request under way; ends when this is dropped.
struct UnderWay(JoinHandle<()>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Place {
    /// The key is busy: the next request has come to the provider, which deals with it so.
    async fn with_one_under_way(&self, fault: Fault) -> UnderWay {
        self.sim.script([Rule::new(fault).times(1)]);
        let (request, before) = (self.request("token-of-other", None), self.sim.report().total.arrivals);
        let first = UnderWay(tokio::spawn(async move { drop(ask(request, HELLO).await) }));
        while self.sim.report().total.arrivals == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        first
    }

    async fn generate(&self, token: &str, wait: Option<&str>) -> Answer {
        ask(self.request(token, wait), HELLO).await
    }

    fn request(&self, token: &str, wait: Option<&str>) -> http::request::Builder {
        let url = self.served.url("/v1beta/models/gemini-2.5-flash:generateContent");
        let mut request = Request::post(url).header("x-goog-api-key", token).header("content-type", "application/json");
        if let Some(wait) = wait {
            request = request.header("x-keypool-wait", wait);
        }
        request
    }

    async fn chat(&self, path: &str, wait: Option<&str>) -> Answer {
        let mut request = Request::post(self.served.url(path))
            .header("authorization", format!("Bearer {PLACEHOLDER}"))
            .header("content-type", "application/json");
        if let Some(wait) = wait {
            request = request.header("x-keypool-wait", wait);
        }
        // Counts take no `max_tokens`.
        let most = if path.ends_with("count_tokens") { "" } else { r#""max_tokens":9,"# };
        let body = format!(r#"{{"model":"gemini-2.5-flash",{most}"messages":[{{"role":"user","content":"Hello"}}]}}"#);
        ask(request, body).await
    }
}

#[tokio::test]
async fn a_request_waits_as_long_as_it_asks_to_and_no_longer_than_the_cap() {
    let place = place(Waiting::default(), busy()).await;
    let hangs = place.with_one_under_way(Fault::Hang).await;
    let does_not = place.generate(PLACEHOLDER, Some("0")).await;
    assert_eq!(does_not.status, 503, "{does_not:?}");
    drop(hangs);
    let slow = Fault::HeadLatency(Latency::from(Duration::from_millis(600)));
    let _first = place.with_one_under_way(slow).await;
    let (waits, translated) =
        tokio::join!(place.generate(PLACEHOLDER, Some("60")), place.chat("/v1/chat/completions", Some("60")),);
    assert_eq!((waits.status.as_u16(), translated.status.as_u16()), (200, 200));
    let capped = Waiting { longest: Duration::from_millis(1), ..Waiting::default() };
    let place = self::place(capped, busy()).await;
    let _hangs = place.with_one_under_way(Fault::Hang).await;
    assert_eq!(place.generate(PLACEHOLDER, Some("3600")).await.status, 503);
}

/// A count of tokens is a request like any other: of its tenant, with a wait of its own.
#[tokio::test]
async fn a_count_waits_as_it_asks_to() {
    const COUNT: &str = "/v1/messages/count_tokens";
    let place = place(Waiting::default(), busy()).await;
    let slow = Fault::HeadLatency(Latency::from(Duration::from_millis(600)));
    let _first = place.with_one_under_way(slow).await;
    let (does_not, waits) = tokio::join!(place.chat(COUNT, Some("0")), place.chat(COUNT, Some("60")));
    assert_eq!((does_not.status.as_u16(), waits.status.as_u16()), (503, 200), "{does_not:?} {waits:?}");
    assert!(!does_not.header("retry-after").is_empty());
    assert_eq!(does_not.json()["error"]["type"], "overloaded_error");
    assert!(waits.json()["input_tokens"].as_u64() > Some(0), "{waits:?}");
}

/// A list is asked of keys like anything else.
#[tokio::test]
async fn a_list_waits_as_it_asks_to() {
    const ACME: &str = "token-of-acme";
    let place = place(Waiting::default(), busy()).await;
    let file = uploaded(Request::post(place.served.url("/upload/v1beta/files")), ACME).await;
    for path in ["/v1beta/files", "/v1beta/openai/files"] {
        let slow = Fault::HeadLatency(Latency::from(Duration::from_millis(600)));
        let _first = place.with_one_under_way(slow).await;
        let list = async |wait: &str| {
            let asked = Request::get(place.served.url(path)).header("x-goog-api-key", ACME);
            let asked = asked.header("authorization", format!("Bearer {ACME}")).header("x-keypool-wait", wait);
            ask(asked, "").await
        };
        let (does_not, waits) = tokio::join!(list("0"), list("60"));
        assert_eq!(does_not.status, 503, "{path}: {does_not:?}");
        if path == "/v1beta/files" {
            assert_eq!((waits.status.as_u16(), &waits.json()["files"][0]["name"]), (200, &file.as_str().into()));
        } else {
            // The simulator has no such list, which it says itself.
            assert_ne!(waits.status, 503, "{path}: {waits:?}");
        }
    }
}

#[tokio::test]
async fn a_wait_that_is_no_number_is_a_400_that_names_it() {
    let place = place(Waiting::default(), busy()).await;
    for wait in ["soon", "-1", "", "5s", "1e3", "NaN"] {
        for answer in [place.generate(PLACEHOLDER, Some(wait)).await, place.chat("/v1/messages", Some(wait)).await] {
            assert_eq!(answer.status, 400, "{wait}: {answer:?}");
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.starts_with("x-keypool-wait: "), "{message}");
        }
    }
    assert_eq!(place.sim.report().total.arrivals, 0);
}

#[tokio::test]
async fn who_waits_without_number_takes_no_place_from_others() {
    let place = Arc::new(place(Waiting { most: 2, ..Waiting::default() }, busy()).await);
    let first = place.with_one_under_way(Fault::Hang).await;
    let mut all = Vec::new();
    for token in ["token-of-acme", "token-of-other", PLACEHOLDER] {
        for _ in 0..5 {
            let place = Arc::clone(&place);
            all.push(tokio::spawn(async move { place.generate(token, Some("60")).await.status.as_u16() }));
        }
    }
    // Whom there is no place for is told so, and nobody else has an answer.
    while all.iter().filter(|answer| answer.is_finished()).count() < 9 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(first);
    let mut statuses = Vec::new();
    for answer in all {
        statuses.push(answer.await.unwrap());
    }
    for tenant in statuses.chunks(5) {
        assert_eq!(tenant.iter().filter(|status| **status == 200).count(), 2, "{statuses:?}");
        assert_eq!(tenant.iter().filter(|status| **status == 503).count(), 3, "{statuses:?}");
    }
}

#[tokio::test]
async fn the_answer_says_until_when_and_why_and_is_a_429_where_that_is_wanted() {
    let key = || Key::new(ONE).id("one").limits("*", Limits::new().per_minute(1));
    for as_limited in [false, true] {
        let place = place(Waiting { as_limited, ..Waiting::default() }, key()).await;
        assert_eq!(place.generate(PLACEHOLDER, None).await.status, 200);
        let status = if as_limited { 429 } else { 503 };
        for (answer, word, place_of_word) in [
            (
                place.generate(PLACEHOLDER, None).await,
                if as_limited { "RESOURCE_EXHAUSTED" } else { "UNAVAILABLE" },
                "status",
            ),
            (
                place.chat("/v1/chat/completions", None).await,
                if as_limited { "rate_limit_exceeded" } else { "no_available_keys" },
                "code",
            ),
            (
                place.chat("/v1/messages", None).await,
                if as_limited { "rate_limit_error" } else { "overloaded_error" },
                "type",
            ),
        ] {
            assert_eq!(answer.status, status, "{answer:?}");
            let after: u64 = answer.header("retry-after").parse().unwrap();
            assert!((55..=61).contains(&after), "{after}");
            let error = answer.json()["error"].clone();
            assert_eq!(error[place_of_word], word, "{error}");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("1 at requests/minute") && message.contains("next in "), "{message}");
        }
        // What the provider says of a request is not ours to call a limit.
        assert_eq!(place.generate("wrong", None).await.status, 401);
    }
}

#[tokio::test]
async fn until_when_stands_in_the_body_too_where_the_dialect_has_a_place_for_it() {
    for as_limited in [false, true] {
        // A key that is busy: nobody knows until when, and the header says the second after which it is worth asking.
        let place = place(Waiting { as_limited, ..Waiting::default() }, busy()).await;
        let _first = place.with_one_under_way(Fault::Hang).await;
        let answer = place.generate(PLACEHOLDER, None).await;
        assert_eq!(answer.status, if as_limited { 429 } else { 503 }, "{answer:?}");
        let after = answer.header("retry-after").to_owned();
        assert!(!after.is_empty());
        let details = answer.json()["error"]["details"].clone();
        let told = serde_json::json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{after}s") }]);
        assert_eq!(details, told, "{answer:?}");
        // The others' clients know the header alone; their bodies are as those APIs have them.
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let answer = place.chat(path, None).await;
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            assert!(!answer.json()["error"]["message"].as_str().unwrap().is_empty(), "{answer:?}");
        }
    }
}

/// A picture of a megabyte costs some hundred tokens, whatever its base64 is long.
#[tokio::test]
async fn pictures_do_not_use_up_a_minutes_tokens() {
    let sim = GeminiSim::builder().key(ONE).latency(Duration::from_millis(300)).start().await.unwrap();
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).key(Key::new(ONE).id("one")).wait(Duration::ZERO);
    let pool = pool.limits("*", Limits::new().per_minute(100).tokens_per_minute(250_000)).build().unwrap();
    let served = Served::pool(&pool, &sim.url(), keypool::status::StoreHealth::default()).await;
    let picture = "iVBORw0KGgo/".repeat((1 << 20) / 12);
    let body = |part: serde_json::Value| {
        let text = serde_json::json!({ "text": "What is this?" });
        serde_json::json!({ "contents": [{ "role": "user", "parts": [part, text] }] }).to_string()
    };
    let shown = body(serde_json::json!({ "inlineData": { "mimeType": "image/png", "data": picture } }));
    let send = |body: String| {
        let request = Request::post(served.url("/v1beta/models/gemini-2.5-flash:generateContent"));
        let request = request.header("x-goog-api-key", PLACEHOLDER).header("content-type", "application/json");
        ask(request, body)
    };
    // All at once: what the first will turn out to have cost is not known yet.
    let all = tokio::join!(send(shown.clone()), send(shown.clone()), send(shown.clone()), send(shown));
    for answer in [all.0, all.1, all.2, all.3] {
        assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    }
    // What is text counts as long as it is.
    let long = body(serde_json::json!({ "text": "so many words ".repeat(50_000) }));
    let (one, other) = tokio::join!(send(long.clone()), send(long));
    let mut told = [one.status.as_u16(), other.status.as_u16()];
    told.sort_unstable();
    assert_eq!(told, [200, 503]);
}
