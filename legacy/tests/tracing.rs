//! What is told to `tracing`: the names and fields of docs/tracing.md, and no secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt::{Debug, Write as _},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::Layer;
use tower::{ServiceExt, service_fn};
use tower_keypool::{
    Demand, ExitError, Gemini, Key, KeyChange, KeyId, KeyPool, KeyPoolBuilder, KeyPoolLayer, Limits, ManualClock,
    Priority, ReplayBody, Scope, Until, Verdict, VerdictKind,
};
use tracing::{Event, Level, Metadata, Subscriber, field::Field, span};

const SECRET: &str = "AIzaSyTEST-tracing-secret-";

/// A span or event as it was told: kind, level, target, and its fields with their values.
#[derive(Clone, Debug)]
struct Told {
    kind: &'static str,
    level: Level,
    target: String,
    /// Every field that it may have.
    fields: BTreeSet<String>,
    values: BTreeMap<String, String>,
    parent: Option<u64>,
}

/// Keeps all that is told from some level on.
#[derive(Clone)]
struct Ear {
    level: Level,
    told: Arc<Mutex<Vec<(String, Told)>>>,
    spans: Arc<Mutex<Vec<u64>>>,
    next: Arc<AtomicU64>,
}

struct Values<'a>(&'a mut BTreeMap<String, String>);

impl tracing::field::Visit for Values<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").expect("a String takes everything");
        self.0.insert(field.name().to_owned(), text);
    }
}

impl Ear {
    fn new(level: Level) -> Self {
        Self { level, told: Arc::default(), spans: Arc::default(), next: Arc::default() }
    }

    fn keep(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Values<'_>)) {
        let mut values = BTreeMap::new();
        record(&mut Values(&mut values));
        let told = Told {
            kind: if metadata.is_span() { "span" } else { "event" },
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            fields: metadata.fields().iter().map(|field| field.name().to_owned()).collect(),
            values,
            parent: self.spans.lock().unwrap().last().copied(),
        };
        self.told.lock().unwrap().push((metadata.name().to_owned(), told));
    }

    fn told(&self) -> Vec<(String, Told)> {
        self.told.lock().unwrap().clone()
    }

    fn first(&self, name: &str) -> Told {
        let told = self.told();
        told.into_iter().find(|(named, _)| named == name).unwrap_or_else(|| panic!("{name} was not told")).1
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_keypool") && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.into())
    }

    fn event(&self, event: &Event<'_>) {
        self.keep(event.metadata(), |values| event.record(values));
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        self.keep(span.metadata(), |values| span.record(values));
        span::Id::from_u64(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        let mut told = self.told.lock().unwrap();
        let (_, last) = told.iter_mut().rev().find(|(_, told)| told.kind == "span").unwrap();
        values.record(&mut Values(&mut last.values));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, span: &span::Id) {
        self.spans.lock().unwrap().push(span.into_u64());
    }

    fn exit(&self, _: &span::Id) {
        self.spans.lock().unwrap().pop();
    }
}

fn key(n: usize) -> Key {
    Key::new(format!("{SECRET}{n:08}")).id(format!("key-{n}"))
}

fn id(n: usize) -> KeyId {
    KeyId::from(format!("key-{n}"))
}

fn on(builder: KeyPoolBuilder) -> (KeyPool, ManualClock) {
    let time = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    (builder.clock(time.clock()).build().unwrap(), time)
}

fn pool(keys: usize) -> KeyPoolBuilder {
    KeyPool::builder(Gemini::new()).keys((0..keys).map(key))
}

/// Asks once, over all layers, a provider that answers with this status and body.
fn ask(pool: &KeyPool, status: u16, body: &'static str) -> Option<u16> {
    let client = service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| async move {
        assert!(request.headers().contains_key("x-goog-api-key"));
        tracing::info!(target: "tower_keypool::test", name = "in the client");
        let answer = Response::builder().status(status).header("content-type", "application/json");
        Ok::<_, Infallible>(answer.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap())
    });
    let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body(Full::default()).unwrap();
    let answered = tokio_test::block_on(KeyPoolLayer::new(pool).layer(client).oneshot(request));
    answered.ok().map(|answer| answer.status().as_u16())
}

const SUSPENDED: &str = r#"{"error":{"code":403,"message":"Consumer 'api_key:AIza' has been suspended.","status":
"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CONSUMER_SUSPENDED",
"domain":"googleapis.com","metadata":{"consumer":"projects/1"}}]}}"#;
const MINUTE: &str = r#"{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED",
"details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":
"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":
"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaDimensions":{"model":"gemini-2.5-flash","location":"global"},
"quotaValue":"7"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"40s"}]}}"#;

/// Makes everything happen that can be made to happen here.
fn live_through_everything() {
    let (busy, time) =
        on(pool(3).key(key(9).priority(Priority(10))).limits("gemini-2.5-flash", Limits::new().per_minute(10)));
    assert_eq!(ask(&busy, 200, "{}"), Some(200));
    ask(&busy, 429, MINUTE);
    ask(&busy, 429, MINUTE);
    time.advance(Duration::from_secs(120));
    ask(&busy, 200, "{}");
    ask(&busy, 403, SUSPENDED);
    busy.disable(&id(0), "by hand").unwrap();
    busy.enable(&id(0)).unwrap();
    let again = Key::new(format!("{SECRET}{:08}", 1));
    let _ = busy.add(again);
    for (n, per_minute) in [(7, 10), (8, 20)] {
        busy.add(key(n).owner("o").limits("m", Limits::new().per_minute(per_minute))).unwrap();
    }
    drop(on((0..130).fold(pool(1), |pool, n| pool.limits(format!("m{n}"), Limits::new().per_minute(1)))));
    busy.set_weight(&id(1), 2.0).unwrap();
    tokio_test::block_on(busy.follow(futures_util::stream::iter([KeyChange::Remove(id(77))])));

    // A rest of a key's own that ends in a success.
    let (one, time) = on(pool(1));
    let lease = one.try_acquire("m").unwrap();
    let rest = Until::For(Duration::from_secs(5));
    lease.judge(&Verdict::new(VerdictKind::InvalidKey).scope(Scope::Key).until(rest));
    drop(lease);
    assert!(one.try_acquire("m").is_err());
    time.advance(Duration::from_secs(60 * 60));
    ask(&one, 200, "{}");

    let (first_is_out, _) = on(KeyPool::builder(Gemini::new()).key(key(0)).key(key(1).priority(Priority(1))));
    first_is_out.disable(&id(0), "x").unwrap();
    drop(first_is_out.try_acquire(Demand::new("m")).unwrap());
}

/// The rows of the page.
fn page() -> BTreeMap<String, (String, String, String, BTreeSet<String>)> {
    let rows = include_str!("../docs/tracing.md").lines().filter(|line| line.starts_with("| `keypool."));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        let fields = cells[5].split(", ").map(plain).collect();
        (plain(cells[1]), (plain(cells[2]), plain(cells[3]), plain(cells[4]), fields))
    })
    .collect()
}

/// Does `then` with `ear` listening.
fn hears<T>(ear: &Ear, then: impl FnOnce() -> T) -> T {
    // With one dispatcher alone, tracing asks that of the thread which meets an event first whether anybody listens, and
    // other tests' threads have none.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    tracing::subscriber::with_default(ear.clone(), then)
}

#[test]
fn what_is_told_is_what_the_page_says_and_holds_no_secret() {
    let ear = Ear::new(Level::DEBUG);
    hears(&ear, live_through_everything);
    let page = page();
    let mut seen = BTreeSet::new();
    for (name, told) in ear.told() {
        let shown = format!("{name} {told:?}");
        assert!(!shown.contains("secret-"), "{shown}");
        if told.target == "tower_keypool::test" {
            continue;
        }
        let Some((kind, level, target, fields)) = page.get(&name) else { panic!("{shown} is not on the page") };
        assert_eq!((told.kind, told.level.as_str()), (kind.as_str(), level.as_str()), "{shown}");
        assert_eq!((&told.target, &told.fields), (target, fields), "{shown}");
        seen.insert(name);
    }
    // These need more than can be had here.
    let rare = [
        "keypool.held",
        "keypool.key_echoed",
        "keypool.other_policy",
        "keypool.unjudged",
        "keypool.request",
        // Of the gateway, whose own tests hold it.
        "keypool.admin_change",
        // What says that it is gzip and is none has a test of its own.
        "keypool.unreadable",
        "keypool.usage_restored",
        // Of stores; that their names are these is held by the next test.
        "keypool.store_failing",
        "keypool.store_void",
        "keypool.store_abandoned",
        "keypool.provider_panicked",
        "keypool.store_recovered",
        "keypool.store_unwritten",
        "keypool.not_given_back",
        "keypool.store_missing",
        "keypool.store_warning",
        "keypool.store_reached",
        "keypool.store_unheard",
        "keypool.record_skipped",
        "keypool.journal_left",
        "keypool.room_made",
        "keypool.database_migrated",
        "keypool.database_anew",
        "keypool.counts_gone",
        "keypool.counts_not_folded",
    ];
    // These have a test of their own.
    let shared = |name: &&String| page[*name].2 == "tower_keypool::sharing";
    let missing: Vec<_> = page.keys().filter(|name| !seen.contains(*name) && !rare.contains(&name.as_str())).collect();
    let missing: Vec<_> = missing.into_iter().filter(|name| !shared(name)).collect();
    assert!(missing.is_empty(), "never told: {missing:?}");
}

/// A line on a console that has nothing but fields says nothing to a person. Those of sharing have words that no page tells.
#[test]
fn every_warning_has_words() {
    for (name, (_, level, target, fields)) in page() {
        let warns = ["WARN", "ERROR"].contains(&level.as_str()) && target != "tower_keypool::sharing";
        assert!(!warns || fields.contains("message"), "{name}: {fields:?}");
    }
}

/// Every event from INFO on has a name of its own, and the page has it.
#[test]
fn whatever_the_library_tells_has_a_name_that_the_page_knows() {
    let page = page();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut wrong = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let text = std::fs::read_to_string(&entry).unwrap();
            for level in ["info!(", "warn!(", "error!("] {
                for told in text.split(&format!("tracing::{level}")).skip(1) {
                    let name =
                        told.split_once("name: \"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |it| it.0);
                    // The name is the first that is said, or comes behind the target.
                    let near = told.find("name: \"").is_some_and(|at| at < 80);
                    if !near || !page.contains_key(name) {
                        wrong.push(format!("{}: {level}{}", entry.display(), told.lines().take(2).collect::<String>()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_attempt_is_a_span_around_the_client() {
    let ear = Ear::new(Level::INFO);
    let (pool, _) = on(pool(1));
    hears(&ear, || ask(&pool, 200, "{}"));
    let attempt = ear.first("keypool.attempt");
    let value = |name: &str| attempt.values.get(name).map(|value| value.trim_matches('"').to_owned());
    assert_eq!(value("key").as_deref(), Some("key-0"));
    assert_eq!(value("model").as_deref(), Some("gemini-2.5-flash"));
    assert_eq!((value("attempt").as_deref(), value("verdict").as_deref()), (Some("1"), Some("success")));
    assert_eq!(value("http.response.status_code").as_deref(), Some("200"));
    let inside = ear.told().into_iter().find(|(_, told)| told.target == "tower_keypool::test").unwrap().1;
    assert_eq!(inside.parent, Some(1), "the client runs in the attempt");
    assert!(ear.spans.lock().unwrap().is_empty(), "what was entered was left");
}

/// Of a way out that lets nothing through, and of an address where nobody answers: why, in a line of its own.
#[test]
fn what_failed_on_its_way_is_told_with_its_cause() {
    let ear = Ear::new(Level::DEBUG);
    let (pool, _) = on(KeyPool::builder(Gemini::new()).key(key(0).exit("tunnel")));
    let client = service_fn(|_: Request<ReplayBody<Full<Bytes>>>| async {
        let failed = ExitError::new("tunnel".into(), format!("the proxy says 407\nforged {}", "x".repeat(900)));
        Err::<Response<Full<Bytes>>, _>(failed)
    });
    let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body(Full::default()).unwrap();
    hears(&ear, || _ = tokio_test::block_on(KeyPoolLayer::new(&pool).layer(client).oneshot(request)));
    for name in ["keypool.judged", "keypool.rested"] {
        let told = ear.first(name);
        assert_eq!(
            told.values.get("cause").map(|cause| cause.trim_matches('"')),
            Some("the proxy says 407"),
            "{told:?}"
        );
    }
}

#[test]
fn who_hears_warnings_alone_hears_of_no_request() {
    let ear = Ear::new(Level::WARN);
    hears(&ear, live_through_everything);
    let told = ear.told();
    assert!(told.iter().any(|(name, _)| name == "keypool.disabled"));
    assert!(told.iter().all(|(_, told)| told.level <= Level::WARN), "{told:?}");
    let of_requests = ["keypool.attempt", "keypool.judged", "keypool.spilled", "keypool.exhausted"];
    assert!(told.iter().all(|(name, _)| !of_requests.contains(&&**name)), "{told:?}");
}

/// A subscriber that looks at the pool whenever it is told something.
struct Looks(Arc<std::sync::OnceLock<KeyPool>>, Arc<AtomicU64>);

impl Subscriber for Looks {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_keypool")
    }

    fn event(&self, event: &Event<'_>) {
        if let Some(pool) = self.0.get() {
            pool.snapshot();
            let warned = *event.metadata().level() == Level::WARN;
            self.1.fetch_add(u64::from(warned), Ordering::Relaxed);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Nothing is told while the pool is held: whoever hears it may look at the pool.
#[test]
fn who_hears_something_may_look_at_the_pool() {
    let (done, over) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (held, warned) = (Arc::new(std::sync::OnceLock::new()), Arc::new(AtomicU64::new(0)));
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let _guard = tracing::subscriber::set_default(Looks(Arc::clone(&held), Arc::clone(&warned)));
        let of_owner = |n, per_minute| key(n).owner("o").limits("m", Limits::new().per_minute(per_minute));
        let (pool, _) = on(KeyPool::builder(Gemini::new()).key(of_owner(0, 10)));
        held.set(pool.clone()).unwrap();
        pool.add(Key::new(format!("{SECRET}{:08}", 0))).unwrap();
        pool.add(of_owner(1, 20)).unwrap();
        assert_eq!(warned.load(Ordering::Relaxed), 2, "merged, and contested");
        let twice = [of_owner(0, 10), of_owner(0, 10).id("again")];
        let many = (0..400).fold(KeyPool::builder(Gemini::new()).keys(twice), |builder, n| {
            builder.limits(format!("model-{n}"), Limits::new().per_minute(1))
        });
        pool.reconfigure(many).unwrap();
        assert_eq!(warned.load(Ordering::Relaxed), 4, "merged, and crowded");
        done.send(()).unwrap();
    });
    over.recv_timeout(Duration::from_secs(60)).expect("nobody waits for the pool while it is held");
}

/// What configured models cannot have a lane of their own is said by name.
#[test]
fn models_for_which_there_is_no_room_are_named() {
    let ear = Ear::new(Level::WARN);
    let build = |models: u32| {
        let limits = (0..models).map(|n| format!("model-{n:03}"));
        let build = || on(limits.fold(pool(1), |pool, model| pool.limits(model, Limits::new().per_minute(1))));
        hears(&ear, build).0
    };
    drop(build(128));
    assert!(ear.told().is_empty(), "{:?}", ear.told());
    let pool = build(131);
    let crowded = ear.first("keypool.models_crowded").values;
    assert_eq!((crowded["model"].as_str(), crowded["others"].as_str()), ("\"model-128\"", "2"));
    drop(pool.try_acquire("model-130").unwrap());
    assert!(pool.try_acquire("model-130").is_err(), "while there is room its limits hold all the same");
}
