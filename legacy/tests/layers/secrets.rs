//! No error shows a key, whoever quoted it.

use std::{borrow::Cow, error::Error as StdError, fmt::Write as _, io};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{
    Answer, ApiKeyHeader, Asks, Base, BoxError, CooldownLayer, Demand, Error, Events, Gemini, InvalidSecret, Key,
    KeyPool, KeyPoolLayer, KeyRotationLayer, Limits, Provider, ReplayBody, ReplayLayer, Retarget, Retry, Secret,
    ServedBy, Verdict, VerdictKind,
};

use crate::support::{Body, ask};

const KEY: &str = "not-a-key-SECRET+/=77";

/// All that an error says of itself and its sources.
fn told(error: &Error) -> String {
    let mut told = vec![format!("{error} {error:?} {error:#?}")];
    let mut next = error.source();
    while let Some(source) = next {
        told.push(format!("{source} {source:?}"));
        next = source.source();
    }
    told.join(" <- ")
}

fn pool(provider: impl Provider + 'static) -> KeyPool {
    KeyPool::builder(provider).key(Key::new(KEY).id("a")).retry(Retry::new().max_retries(0)).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_quotes_the_address_shows_no_key() {
    let pool = pool(ApiKeyHeader::query("key", "https://a.example").unwrap());
    let quoting = |head: &Request<()>| {
        let told = format!("could not send {} {:?} with {KEY}", head.uri(), head.uri());
        Box::new(io::Error::other(io::Error::other(told))) as BoxError
    };
    let layer = KeyPoolLayer::new(&pool);
    let client = service_fn(move |request: Request<ReplayBody<Body>>| async move {
        Err::<Response<Body>, _>(quoting(&request.map(drop)))
    });
    let whole = layer.layer(client).oneshot(ask()).await.map(drop).unwrap_err();
    let stack = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).layer(CooldownLayer::new(&pool));
    let client =
        service_fn(move |request: Request<Body>| async move { Err::<Response<Body>, _>(quoting(&request.map(drop))) });
    let pieces = stack.service(client).oneshot(ask()).await.map(drop).unwrap_err();
    let alone = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).service(service_fn(
        move |request: Request<Body>| async move { Err::<Response<Body>, _>(quoting(&request.map(drop))) },
    ));
    let alone = alone.oneshot(ask()).await.map(drop).unwrap_err();
    for error in [whole, pieces, alone] {
        let told = told(&error);
        assert!(!told.contains("SECRET"), "{told}");
        assert!(told.contains("could not send https://a.example/"), "the rest is there: {told}");
        assert!(error.is_upstream() && error.served_by().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_shows_no_key_stays_what_it_is() {
    let pool = pool(ApiKeyHeader::query("key", "https://a.example").unwrap());
    let client = service_fn(|_: Request<Body>| async {
        Err::<Response<Body>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    });
    let stack = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).layer(CooldownLayer::new(&pool));
    let error = stack.service(client).oneshot(ask()).await.map(drop).unwrap_err();
    assert_eq!(error.source().unwrap().downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionRefused);
}

/// Says why a key does not fit, and which.
struct Quoting(Base);

impl Provider for Quoting {
    fn name(&self) -> &'static str {
        "quoting"
    }

    fn base(&self) -> &Base {
        &self.0
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        Secret::new(key)
    }

    fn strip(&self, _: &mut Parts) {}

    fn inject(&self, _: &mut Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        Err(format!("{} does not go there", key.expose()).into())
    }

    fn asks<'a>(&self, _: &'a Parts) -> Asks<'a> {
        Asks::default()
    }

    fn retarget(&self, _: &mut Parts, _: &str) -> Retarget {
        Retarget::No
    }

    fn judge(&self, _: &Answer<'_>) -> Verdict {
        Verdict::SUCCESS
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_quotes_the_key_shows_none() {
    let pool = pool(Quoting(Base::parse("http://api.example").unwrap()));
    let client = service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) });
    let stack = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).layer(CooldownLayer::new(&pool));
    let error = stack.service(client).oneshot(ask()).await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), format!("not sent: {} does not go there", "*".repeat(KEY.len())));
    let body = error.to_response().into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("SECRET"));
}

/// What a pool shows of itself.
fn shown(pool: &KeyPool, events: &mut Events) -> String {
    let mut shown = format!("{:?} {}", pool.snapshot(), serde_json::to_string(&pool.snapshot()).unwrap());
    while let Some(event) = events.try_next() {
        write!(shown, " {event:?}").unwrap();
    }
    shown
}

#[test]
fn a_lease_that_is_shown_tells_no_key_as_its_model() {
    let pool = pool(Gemini::new());
    for model in [KEY.to_owned(), format!("tuned-{KEY}")] {
        let lease = pool.try_acquire(Demand::new(model)).unwrap();
        let shown = format!("{lease:?} {:?}", lease.granted());
        assert!(!shown.contains("SECRET"), "{shown}");
    }
}

/// A model's name comes from a caller, and stands in all that is told of a request.
#[tokio::test(start_paused = true)]
async fn a_caller_who_names_a_key_as_the_model_makes_nobody_tell_it() {
    const OTHER: &str = "another-pools-key-SECRET-2";
    const KEY: &str = "not-a-key-SECRET-0077";
    let key = || Key::new(KEY).id("a");
    let beside = KeyPool::builder(Gemini::new()).key(Key::new(OTHER)).build().unwrap();
    let in_body = || ApiKeyHeader::header("x-key", "https://a.example").unwrap().model_in_body();
    let gemini = "https://generativelanguage.googleapis.com/v1beta/models";
    for name in [KEY.to_owned(), format!("tuned-{KEY}-x"), KEY.replace('-', "%2D"), OTHER.to_owned()] {
        let path = format!("{gemini}/{name}:generateContent");
        let body = format!(r#"{{"model":"{name}"}}"#);
        let of_body = Request::post("https://a.example/v1/chat/completions").header("content-length", body.len());
        let requests = [
            (true, Request::post(path).body(Body::from("{}")).unwrap()),
            (false, of_body.body(Body::from(body)).unwrap()),
        ];
        for (in_path, request) in requests {
            for status in [200, 404, 429] {
                for pieces in [false, true] {
                    let builder = if in_path { KeyPool::builder(Gemini::new()) } else { KeyPool::builder(in_body()) };
                    let pool = builder.key(key()).retry(Retry::new().max_retries(0)).build().unwrap();
                    pool.stand_beside([&beside, &pool]);
                    let mut events = pool.events();
                    let client = service_fn(move |_: Request<ReplayBody<Body>>| async move {
                        let answer = Response::builder().status(status).body(Body::from("{}"));
                        Ok::<_, BoxError>(answer.unwrap())
                    });
                    let mut told = String::new();
                    for _ in 0..2 {
                        let request = request.clone();
                        let answered = if pieces {
                            let stack = ServiceBuilder::new()
                                .layer(ReplayLayer::up_to(1 << 20).pool(&pool))
                                .layer(KeyRotationLayer::new(&pool))
                                .layer(CooldownLayer::new(&pool));
                            stack.service(client).oneshot(request).await.map(|answer| answer.map(drop))
                        } else {
                            KeyPoolLayer::new(&pool).layer(client).oneshot(request).await.map(|answer| answer.map(drop))
                        };
                        match answered {
                            Ok(answer) => write!(told, "{:?}", answer.extensions().get::<ServedBy>()).unwrap(),
                            Err(error) => {
                                write!(told, "{} {:?}", self::told(&error), error.served_by()).unwrap();
                            }
                        }
                    }
                    assert!(told.contains('*'), "the model is told as that: {told}");
                    told += &shown(&pool, &mut events);
                    assert!(!told.contains("SECRET"), "{name}, {status}, {pieces}: {told}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_demands_a_key_as_the_model_finds_it_in_no_error_and_no_lane() {
    const KEY: &str = "not-a-key-SECRET-0077";
    for name in
        [KEY.to_owned(), format!("models/{KEY}"), format!("{KEY}:generateContent"), format!("models/x?key={KEY}")]
    {
        let limits = Limits::new().per_minute(2);
        let pool = KeyPool::builder(Gemini::new()).key(Key::new(KEY)).limits("*", limits).build().unwrap();
        let mut events = pool.events();
        let mut told = String::new();
        for requests in [1, 1, 1, 9] {
            let asked = pool.try_acquire(Demand::new(name.as_str()).requests(requests));
            write!(told, "{:?}", asked.map(|lease| lease.settle(&Verdict::SUCCESS))).unwrap();
        }
        assert!(told.contains("never fits") && told.contains("rate limits"), "{told}");
        assert!(!told.contains("SECRET"), "{name}: {told}");
        let judge = |_: &Result<(), ()>| Verdict::new(VerdictKind::CallerFault);
        let run = pool.run(Demand::new(name.as_str()).requests(9), judge, async |_| Err(()));
        let run = format!("{:?}", run.await.err());
        assert!(!run.contains("SECRET"), "{name}: {run}");
        let shown = shown(&pool, &mut events);
        assert!(!shown.to_ascii_lowercase().contains("secret"), "{name}: {shown}");
    }
}

#[test]
fn what_is_said_of_a_key_that_is_given_is_said_without_it() {
    let given = || Key::new(KEY).disabled(format!("because {KEY}"));
    let pool = KeyPool::builder(Gemini::new()).key(given()).build().unwrap();
    let told = format!("{:?}", pool.snapshot()) + &serde_json::to_string(&pool.snapshot()).unwrap();
    assert!(told.contains("because ***") && !told.contains("SECRET"), "{told}");
    let error = KeyPool::builder(Gemini::new()).key(Key::new(KEY).zone(KEY)).build().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
    let error = pool.reconfigure(KeyPool::builder(Gemini::new()).key(Key::new(KEY).zone(KEY))).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
}

#[tokio::test]
async fn a_header_that_is_called_by_the_key_goes() {
    const NAMED: &str = "correct-horse-battery-staple";
    let pool = KeyPool::builder(Gemini::new()).key(Key::new(NAMED)).build().unwrap();
    let service = service_fn(|_: Request<ReplayBody<Body>>| async {
        let named = [(format!("x-{NAMED}-b"), "1"), ("x-long-name-of-something-harmless".to_owned(), "2")];
        let answer = named.into_iter().fold(Response::builder(), |answer, (name, value)| answer.header(name, value));
        Ok::<_, BoxError>(answer.body(Body::default()).unwrap())
    });
    let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body(Body::default()).unwrap();
    let answer = KeyPoolLayer::new(&pool).layer(service).oneshot(request).await.unwrap();
    let names: Vec<&str> = answer.headers().keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-long-name-of-something-harmless"]);
}

/// A good answer's JSON may have any letter by its number, though no known writer has those of a key so.
#[tokio::test]
async fn a_key_that_a_good_answer_escapes_is_overwritten() {
    for key in ["AIza-not-a-real-key-0001", "AQ.Ab8_key+with/odd=chars=="] {
        let escaped = [
            key.replace('-', "\\u002d").replace('+', "\\u002b").replace('=', "\\u003D"),
            key.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<Vec<_>>().concat(),
        ];
        for (written, kind) in escaped.iter().flat_map(|text| [(text, "application/json"), (text, "text/event-stream")])
        {
            let pool = KeyPool::builder(Gemini::new()).key(Key::new(key)).build().unwrap();
            let said = format!("data: {{\"caf\\u00e9\": \"{written}\", \"candidates\": []}}\n\n");
            let said = if kind == "application/json" { said["data: ".len()..].to_owned() } else { said };
            let answer = said.clone();
            let service = service_fn(move |_: Request<ReplayBody<Body>>| {
                let answer = Response::builder().header("content-type", kind).body(Body::from(answer.clone()));
                async move { Ok::<_, BoxError>(answer.unwrap()) }
            });
            let request =
                Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body(Body::default()).unwrap();
            let answer = KeyPoolLayer::new(&pool).layer(service).oneshot(request).await.unwrap();
            let told = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
            assert_eq!(told, said.replace(written.as_str(), &"*".repeat(written.len())), "{kind}");
        }
    }
}

/// What stands as JSON in a text of JSON is escaped twice, and more: whatever of it is overwritten, what is left is JSON.
#[tokio::test]
async fn a_key_that_a_good_answer_escapes_twice_leaves_json_behind() {
    const TOLD: &str = "AIza-not-a-real-key-0001";
    let first = TOLD.replacen('A', "\\u0041", 1);
    let within = TOLD.replace('-', "\\u002d");
    let each = TOLD.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<Vec<_>>().concat();
    for once in [first, within, each] {
        for times in 0..4 {
            // Each time the text of the JSON around it.
            let written = (0..times).fold(once.clone(), |text, _| text.replace('\\', "\\\\"));
            for before in ["", "C:\\\\"] {
                let said = format!("{{\"text\": \"{before}{written} ends\\n\", \"candidates\": []}}");
                serde_json::from_str::<serde_json::Value>(&said).unwrap();
                let pool = KeyPool::builder(Gemini::new()).key(Key::new(TOLD)).build().unwrap();
                let answer = said.clone();
                let service = service_fn(move |_: Request<ReplayBody<Body>>| {
                    let answer =
                        Response::builder().header("content-type", "application/json").body(Body::from(answer.clone()));
                    async move { Ok::<_, BoxError>(answer.unwrap()) }
                });
                let request =
                    Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body(Body::default()).unwrap();
                let answer = KeyPoolLayer::new(&pool).layer(service).oneshot(request).await.unwrap();
                let told = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
                assert_eq!(told.len(), said.len(), "{said}");
                assert!(serde_json::from_str::<serde_json::Value>(&told).is_ok(), "{said} became {told}");
                assert!(!told.contains(&written) && told.contains("*****"), "{said} became {told}");
            }
        }
    }
}
