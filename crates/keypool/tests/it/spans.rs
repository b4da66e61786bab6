//! A request's span, from its head to the last byte of its answer.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use gemini_sim::GeminiSim;
use http::{Request, StatusCode};
use keypool::gateway::{SPANS, token::PLACEHOLDER};
use tower_keypool::Key;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    filter::Targets,
    fmt::format::FmtSpan,
    layer::{Layer, SubscriberExt},
};

use crate::{
    serving::{HELLO, ONE},
    support::{Served, ask},
};

/// What was written, for all who hold it.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn it_says_what_became_of_the_request() {
    let lines = Lines::default();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_span_events(FmtSpan::CLOSE);
    let wanted = Targets::new().with_target(SPANS, LevelFilter::INFO).with_target("tower_keypool", LevelFilter::INFO);
    let subscriber = tracing_subscriber::registry().with(
        layer
            .with_writer({
                let lines = lines.clone();
                move || lines.clone()
            })
            .with_filter(wanted),
    );
    // With one dispatcher alone, tracing asks that of the thread which meets an event first whether anybody listens, and
    // other tests' threads have none.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _guard = tracing::subscriber::set_default(subscriber);

    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = Served::keys([Key::new(ONE).id("one")], &sim.url(), Duration::ZERO).await;
    let path = "/v1beta/models/gemini-2.5-flash:generateContent";
    let request = Request::post(served.url(&format!("{path}?key={PLACEHOLDER}")));
    assert_eq!(ask(request.header("content-type", "application/json"), HELLO).await.status, StatusCode::OK);
    assert_eq!(ask(Request::get(served.url("/v1beta/models")), "").await.status, StatusCode::UNAUTHORIZED);
    served.stop().await;

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let closed: Vec<&str> = text.lines().filter(|line| line.contains("keypool::spans: close")).collect();
    let [good, refused] = closed[..] else { panic!("{text}") };
    for field in [
        "keypool.request{otel.kind=\"server\"",
        "http.request.method=\"POST\"",
        &format!("url.path=\"{path}\""),
        "http.response.status_code=200",
        "key=one",
        "model=\"gemini-2.5-flash\"",
        "attempts=1",
        "outcome=\"answered\"",
    ] {
        assert!(good.contains(field), "{field} in {good}");
    }
    assert!(refused.contains("http.response.status_code=401") && refused.contains("outcome=\"refused\""), "{refused}");
    let attempt = text.lines().find(|line| line.contains("tower_keypool::attempt: close")).expect("a span");
    assert!(attempt.contains("keypool.request{") && attempt.contains("}:keypool.attempt{"), "inside of it: {attempt}");
    assert!(!text.contains(ONE) && !text.contains(PLACEHOLDER), "{text}");
}
