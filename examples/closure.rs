//! `cargo run --example closure`: an SDK that brings its own HTTP, lent a key for each call.

mod shared;

use std::sync::atomic::{AtomicU32, Ordering};

use tower_keypool::{BoxError, Gemini, Key, KeyPool, Retry, Scope, Until, Verdict, VerdictKind};

/// An SDK: it takes a key and does the rest by itself.
#[derive(Default)]
struct Sdk {
    calls: AtomicU32,
}

#[derive(Debug)]
struct TooMany;

impl std::fmt::Display for TooMany {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many requests")
    }
}

impl std::error::Error for TooMany {}

impl Sdk {
    async fn generate(&self, key: &str, prompt: &str) -> Result<String, TooMany> {
        assert!(key.starts_with("AIzaSy"));
        tokio::task::yield_now().await;
        match self.calls.fetch_add(1, Ordering::Relaxed) {
            0 => Err(TooMany),
            _ => Ok(format!("an answer to {prompt:?}")),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let pool = KeyPool::builder(Gemini::new())
        .key(Key::new(shared::secret("key-one")).id("one"))
        .key(Key::new(shared::secret("key-two")).id("two"))
        .build()?;
    let sdk = std::sync::Arc::new(Sdk::default());
    // What an answer of this SDK means: the one place that knows it.
    let judge = |answer: &Result<String, TooMany>| match answer {
        Ok(_) => Verdict::SUCCESS,
        Err(TooMany) => Verdict::new(VerdictKind::RateLimited)
            .scope(Scope::OwnerLane)
            .until(Until::For(std::time::Duration::from_secs(30))),
    };

    // Once …
    let once = sdk.clone();
    let text = pool
        .run("gemini-2.5-flash", judge, move |key| {
            let sdk = once.clone();
            async move {
                println!("calling with key {}", key.key_id());
                sdk.generate(key.expose(), "hello").await
            }
        })
        .await?;
    println!("{text}");

    // … or as a wrapper that is called many times.
    let runner = pool.with_retry(Retry::new().max_retries(5));
    for prompt in ["one", "two"] {
        let sdk = sdk.clone();
        let call = move |key: tower_keypool::LeasedKey| {
            let sdk = sdk.clone();
            async move { sdk.generate(key.expose(), prompt).await }
        };
        println!("{}", runner.run("gemini-2.5-flash", judge, call).await?);
    }
    Ok(())
}
