//! A model's other name steps down as the model does.

use gemini_sim::{GeminiSim, Limits, Project};
use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;

use crate::{
    binary::Running,
    home::{Home, end, secret},
    serving::HELLO,
    support::{Answer, ask},
};

const FAST: &str = "kp-TEST-tenant-token-0123456789abcdef-fast";
const BOTH: &str = "kp-TEST-tenant-token-0123456789abcdef-both";

async fn generate(running: &Running, token: &str, model: &str) -> Answer {
    let url = format!("{}/v1beta/models/{model}:generateContent", running.url);
    let request = Request::post(url).header("x-goog-api-key", token).header("content-type", "application/json");
    ask(request, HELLO).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_steps_down_as_the_model_that_it_stands_for() {
    let project = Project::new("1").key(secret(0)).limit("gemini-2.5-flash", Limits::none().rpm(1));
    let sim = GeminiSim::builder().project(project).start().await.unwrap();
    let home = Home::new();
    let text = format!(
        r#"
        keys = [{{ id = "a", secret = "{}" }}]
        tenants = [
            {{ name = "fast", token = "{FAST}", models = ["fast"] }},
            {{ name = "both", token = "{BOTH}", models = ["fast", "gemini-2.5-pro"] }},
        ]
        [gateway]
        listen = "127.0.0.1:0"
        upstream = "{}"
        [pool]
        wait = 0
        [[models]]
        name = "gemini-2.5-flash"
        priority = 0
        aliases = ["fast"]
        [[models]]
        name = "gemini-2.5-pro"
        priority = 1
        "#,
        secret(0),
        sim.url()
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let first = generate(&running, PLACEHOLDER, "fast").await;
    assert_eq!((first.status, first.header("x-keypool-model")), (StatusCode::OK, "gemini-2.5-flash"), "{first:?}");
    for (token, model) in [(PLACEHOLDER, "gemini-2.5-flash"), (PLACEHOLDER, "fast"), (BOTH, "fast")] {
        let next = generate(&running, token, model).await;
        assert_eq!((next.status, next.header("x-keypool-model")), (StatusCode::OK, "gemini-2.5-pro"), "{next:?}");
    }
    // It is listed as a model, in each dialect, for whoever may ask for it.
    let (bearer, fast) = (format!("Bearer {PLACEHOLDER}"), format!("Bearer {FAST}"));
    let listed = |path: &str, header: &str, value: &str| {
        let request = Request::get(format!("{}{path}", running.url)).header(header, value);
        async move { String::from_utf8(ask(request, "").await.body.to_vec()).unwrap() }
    };
    for (path, header, value, own, named) in [
        ("/v1/models", "authorization", &*bearer, false, "\"id\":\"fast\""),
        ("/v1/models", "authorization", &fast, true, "\"id\":\"fast\""),
        ("/anthropic/v1/models", "x-api-key", PLACEHOLDER, false, "\"id\":\"fast\""),
        ("/v1beta/models", "x-goog-api-key", PLACEHOLDER, false, "\"name\":\"models/fast\""),
        ("/v1beta/models", "x-goog-api-key", FAST, true, "\"name\":\"models/fast\""),
    ] {
        let list = listed(path, header, value).await;
        assert!(list.contains(named) && list.contains("gemini-2.5-pro\"") != own, "{path}: {list}");
        let one = listed(&format!("{path}/fast"), header, value).await;
        assert!(one.contains(named), "{path}: {one}");
    }
    // Whoever may ask for the name alone has what it stands for, and not what that steps down to.
    let refused = generate(&running, FAST, "fast").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    end(running).await;
}
