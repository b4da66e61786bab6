//! Alone in its process, since it is told once in each.

use std::{
    convert::Infallible,
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{CooldownLayer, Gemini, Key, KeyPool, KeyRotationLayer};
use tracing::{Event, Level, Metadata, Subscriber, field::Field, span};

/// Keeps the text of each warning.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        write!(self.0, "{value:?} ").expect("a String takes everything");
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn a_rotation_without_a_cooldown_below_warns_once() {
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let pool = KeyPool::builder(Gemini::new()).key(Key::new("secret-0123456789-0123456789")).build().unwrap();
    let client =
        service_fn(async |_: Request<Full<Bytes>>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
    let ask = || Request::post("/v1beta/models/m:generateContent").body(Full::default()).unwrap();
    tokio_test::block_on(async {
        let judged =
            ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).layer(CooldownLayer::new(&pool)).service(client);
        judged.oneshot(ask()).await.unwrap();
        assert!(warnings.0.lock().unwrap().is_empty(), "a CooldownLayer stands below");
        for _ in 0..3 {
            let alone = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).service(client);
            alone.oneshot(ask()).await.unwrap();
        }
    });
    let said = warnings.0.lock().unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("CooldownLayer") && !said[0].contains("secret-"), "{said:?}");
}
