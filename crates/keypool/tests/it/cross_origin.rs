//! Web pages of other origins: none may ask, but those that were named.

use std::time::Duration;

use gemini_sim::{GeminiSim, Project};
use http::{Method, Request, StatusCode};
use keypool::{
    gateway::{Gateway, Setup, guard::Guard, route::Dialects, token::PLACEHOLDER, token::Token},
    stack,
};
use serde_json::json;
use tower_keypool::{Base, Clock, Gemini, Key, KeyPool, Models, Retry};

use crate::{
    serving::ONE,
    support::{Answer, Served, ask},
};

const APP: &str = "app://obsidian.md";
const PAGE: &str = "http://localhost:3000";
const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const STREAM: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";

async fn served(sim: &GeminiSim) -> Served {
    let pool =
        KeyPool::builder(Gemini::at(&sim.url()).unwrap()).key(Key::new(ONE)).wait(Duration::ZERO).build().unwrap();
    let guard = Guard::new([]).letting_pages_in([APP, PAGE].map(str::to_owned));
    let stack = stack::stack(&pool, Models::new(), Retry::new());
    let setup = Setup::new(stack, guard, Token::new(PLACEHOLDER), Dialects::default());
    Served::serving(Gateway::new(setup, Base::parse(&sim.url()).unwrap(), Clock::system())).await
}

fn allowed(answer: &Answer) -> Option<&str> {
    Some(answer.header("access-control-allow-origin")).filter(|origin| !origin.is_empty())
}

#[tokio::test]
async fn pages_that_were_named_may_ask_and_read_and_no_others() {
    let sim = GeminiSim::builder().project(Project::new("p").key(ONE)).start().await.unwrap();
    let served = served(&sim).await;
    let from = async |origin: &str, method: Method, path: &str, token: &str, more: &[(&str, &str)]| {
        let request = Request::builder().method(method.clone()).uri(served.url(path)).header("origin", origin);
        let request = request.header("sec-fetch-site", "cross-site").header("content-type", "application/json");
        let request = more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = if token.is_empty() { request } else { request.header("x-goog-api-key", token) };
        let body = json!({ "contents": [{ "parts": [{ "text": "x" }] }] }).to_string();
        ask(request, if method == Method::POST { body } else { String::new() }).await
    };
    let asks = [("access-control-request-method", "POST"), ("access-control-request-headers", "x-goog-api-key, x-a")];
    for origin in [APP, PAGE] {
        let preflight = from(origin, Method::OPTIONS, GENERATE, "", &asks).await;
        assert_eq!((preflight.status, allowed(&preflight)), (StatusCode::NO_CONTENT, Some(origin)));
        assert_eq!(preflight.header("access-control-allow-headers"), "x-goog-api-key, x-a");
        assert!(preflight.header("access-control-allow-methods").contains("POST"));
        for path in [GENERATE, STREAM] {
            let answer = from(origin, Method::POST, path, PLACEHOLDER, &[]).await;
            assert_eq!((answer.status, allowed(&answer)), (StatusCode::OK, Some(origin)), "{path}: {answer:?}");
            assert!(answer.headers.get_all("vary").iter().any(|by| by == "origin"));
        }
        // What is wrong a page may read, too.
        let refused = from(origin, Method::POST, GENERATE, "wrong", &[]).await;
        assert_eq!((refused.status, allowed(&refused)), (StatusCode::UNAUTHORIZED, Some(origin)));
        // Never the gateway's own.
        for path in ["/-/ui", "/-/admin/keys", "/-/health", "/gemini/-/health", "/gemini/-/ui"] {
            let own = from(origin, Method::GET, path, PLACEHOLDER, &[]).await;
            assert_eq!(allowed(&own), None, "{path}");
            assert_ne!(from(origin, Method::OPTIONS, path, "", &asks).await.status, StatusCode::NO_CONTENT, "{path}");
        }
    }
    let arrivals = sim.report().total.arrivals;
    for origin in
        ["http://localhost:3001", "https://localhost:3000", "app://obsidian.md.evil", "null", "http://evil.example"]
    {
        let answer = from(origin, Method::POST, GENERATE, PLACEHOLDER, &[]).await;
        assert_eq!((answer.status, allowed(&answer)), (StatusCode::FORBIDDEN, None), "{origin}");
        let preflight = from(origin, Method::OPTIONS, GENERATE, "", &asks).await;
        assert_eq!((preflight.status, allowed(&preflight)), (StatusCode::FORBIDDEN, None), "{origin}");
    }
    let two = [("origin", APP)];
    assert_eq!(from(PAGE, Method::POST, GENERATE, PLACEHOLDER, &two).await.status, StatusCode::FORBIDDEN);
    assert_eq!(sim.report().total.arrivals, arrivals);
    // Whoever is no page is told nothing of it.
    let plain =
        ask(Request::post(served.url(GENERATE)).header("x-goog-api-key", PLACEHOLDER), "{\"contents\":[]}").await;
    assert_eq!(allowed(&plain), None);
}
