//! Runs the classifier over `tests/fixtures/errors/*.jsonl`. The README there explains the fields.

use std::{collections::HashSet, fs, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::{super::Cooldown, Classifier, wall};
use crate::{Anthropic, ApiKeyHeader, ErrorClass, Failure, Gemini, OpenAi, Provider, Scope};

fn classifier(name: &str) -> Classifier {
    let provider: Box<dyn Provider> = match name {
        "gemini" => Box::new(Gemini::new()),
        "openai" => Box::new(OpenAi::new()),
        "anthropic" => Box::new(Anthropic::new()),
        "api_key_header" => Box::new(ApiKeyHeader::header("x-key", "https://api.example").unwrap()),
        name => panic!("unknown provider: {name}"),
    };
    Classifier::new(provider.name(), provider.rules().to_vec())
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    name: String,
    provider: String,
    status: u16,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    body: Option<String>,
    body_base64: Option<String>,
    #[serde(default)]
    event: bool,
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "verbatim")]
    _verbatim: bool,
    expect: Expected,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    class: Option<ErrorClass>,
    scope: Option<Scope>,
    cooldown: Value,
    #[serde(default)]
    confirm: bool,
    code: Option<String>,
    message: Option<String>,
}

impl Fixture {
    fn body(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => BASE64_STANDARD.decode(text).unwrap(),
            _ => panic!("{}: expected either body or body_base64", self.name),
        }
    }

    fn headers(&self) -> HeaderMap {
        let read = |(name, value): (&String, &String)| {
            (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap())
        };
        self.headers.iter().map(read).collect()
    }

    fn classified(&self, body: &[u8]) -> Option<Failure> {
        let status = StatusCode::from_u16(self.status).unwrap();
        // A comment line shows that the text is a part of a stream.
        let body = if self.event { [b":\n", body].concat() } else { body.to_vec() };
        classifier(&self.provider).classify(status, &self.headers(), &body, wall())
    }

    /// Describes how the result differs from the expected one.
    fn difference(&self) -> Option<String> {
        let failure = self.classified(&self.body());
        let expected = &self.expect;
        let got = (failure.as_ref().map(Failure::class), failure.as_ref().map(Failure::scope));
        let cooldown = failure.as_ref().map_or(Value::Null, cooldown);
        let code = failure.as_ref().and_then(Failure::code);
        let message = failure.as_ref().and_then(Failure::message);
        let confirm = failure.as_ref().is_some_and(|failure| failure.confirm);
        let as_expected = got == (expected.class, expected.scope)
            && same_cooldown(&cooldown, &expected.cooldown)
            && (expected.code.is_none() || expected.code.as_deref() == code)
            && (expected.message.is_none() || expected.message.as_deref() == message)
            && confirm == expected.confirm;
        (!as_expected).then(|| {
            format!(
                "{}\n  expected {:?} {:?} {} code={:?} confirm={}\n  got      {:?} {:?} {} code={:?} confirm={}\n  expected message={:?}\n  got      message={:?}",
                self.name,
                expected.class,
                expected.scope,
                expected.cooldown,
                expected.code,
                expected.confirm,
                got.0,
                got.1,
                cooldown,
                code,
                confirm,
                expected.message,
                message,
            )
        })
    }
}

/// Returns the cooldown in the notation of the fixtures.
fn cooldown(failure: &Failure) -> Value {
    match (failure.retry_after(), failure.cooldown()) {
        (None, Cooldown::Backoff { .. }) => "backoff".into(),
        (None, Cooldown::Midnight) => "midnight".into(),
        (None, Cooldown::Disable) => "disabled".into(),
        (Some(delay), _) | (None, Cooldown::Fixed(delay) | Cooldown::Strikes(delay)) => delay.as_secs_f64().into(),
        _ => Value::Null,
    }
}

fn same_cooldown(got: &Value, expected: &Value) -> bool {
    match (got.as_f64(), expected.as_f64()) {
        (Some(got), Some(expected)) => (got - expected).abs() < 0.001,
        _ => got == expected,
    }
}

fn fixtures() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/errors");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let lines = |path: &Path| {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()))
        };
        fs::read_to_string(path).unwrap().lines().map(parse).collect::<Vec<Fixture>>()
    };
    files.iter().flat_map(|path| lines(path)).collect()
}

#[test]
fn recorded_responses_are_classified_as_expected() {
    let fixtures = fixtures();
    let names: HashSet<&str> = fixtures.iter().map(|fixture| fixture.name.as_str()).collect();
    assert_eq!(names.len(), fixtures.len(), "names are unique");
    let difference: Vec<String> = fixtures.iter().filter_map(Fixture::difference).collect();
    assert!(difference.is_empty(), "{} of {} differ:\n{}", difference.len(), fixtures.len(), difference.join("\n"));
}

/// A truncated body is still classified, with a class that its status permits.
#[test]
fn truncated_bodies_are_classified() {
    for fixture in fixtures().iter().filter(|fixture| fixture.status >= 400) {
        let body = fixture.body();
        // Long bodies are cut at about 30 places only: each cut is classified anew.
        let step = 1 + body.len() / 30;
        for end in (0..body.len()).step_by(step) {
            let failure = fixture.classified(&body[..end]).expect("an error has a class");
            if fixture.status >= 500 {
                let is_allowed =
                    matches!(failure.class(), ErrorClass::RateLimit | ErrorClass::Billing | ErrorClass::Egress);
                assert!(!failure.class().is_key_fault() || is_allowed, "{}", fixture.name);
            }
            if matches!(fixture.status, 400 | 404..=428) {
                let disables = failure.cooldown() == Cooldown::Disable && failure.code().is_none();
                assert!(!disables, "{} at {end}: {failure:?}", fixture.name);
            }
        }
    }
}

#[test]
fn deep_and_long_bodies_are_classified_by_their_status() {
    let bodies = [
        "[".repeat(100_000),
        "{\"error\":".repeat(50_000),
        format!("{}{{\"error\":{{\"code\":\"x\"}}}}", "[".repeat(200)),
        format!("{{\"error\":{{\"message\":\"{}\"}}}}", "\\u0000".repeat(20_000)),
        "data: {\"error\"\n\n".repeat(10_000),
        "data:".repeat(50_000),
        "'".repeat(100_000),
        "\\'\"`".repeat(30_000),
        "Please retry in ".repeat(10_000),
        format!("<html>{}", "<".repeat(200_000)),
        "\u{feff}".repeat(30_000),
        "9".repeat(100_000),
    ];
    for body in bodies {
        for (status, class) in [
            (400, ErrorClass::Caller),
            (401, ErrorClass::Unclear),
            (404, ErrorClass::Caller),
            (429, ErrorClass::RateLimit),
            (500, ErrorClass::Transient),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            for name in ["gemini", "openai"] {
                let begin = body.get(..24);
                let classify =
                    |status, body: &str| classifier(name).classify(status, &HeaderMap::new(), body.as_bytes(), wall());
                let failure = classify(status, &body);
                assert_eq!(failure.map(|failure| failure.class()), Some(class), "{status} {begin:?}");
                assert!(classify(StatusCode::OK, &format!(":\n{body}")).is_none(), "{begin:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Changes bytes of recorded responses at random: each error status is classified, and no delay is absurd.
    #[test]
    fn mutated_responses_are_classified(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..6),
        status in prop_oneof![Just(200_u16), 300..600_u16],
        event in any::<bool>(),
    ) {
        thread_local!(static FIXTURES: Vec<Fixture> = fixtures());
        let mut fixture = FIXTURES.with(|fixtures| which.get(fixtures).clone());
        let mut body = fixture.body();
        for (at, kind, byte) in changes {
            let at = at.index(body.len() + 1).min(body.len());
            match kind {
                0 => body.insert(at, byte),
                1 if at < body.len() => drop(body.remove(at)),
                2 if at < body.len() => body[at] = byte,
                _ => body.truncate(at.max(body.len() / 2)),
            }
        }
        (fixture.status, fixture.event) = (status, event);
        let failure = fixture.classified(&body);
        prop_assert_eq!(failure.is_some() || status == 200 || status == 304, true);
        if let Some(failure) = failure {
            prop_assert!(failure.retry_after().is_none_or(|delay| !delay.is_zero() && delay.as_secs() <= 7 * 86_400));
            prop_assert!(failure.message().is_none_or(|message| message.chars().count() <= 300));
            prop_assert!(failure.status().is_some_and(|status| status.as_u16() >= 300));
        }
    }
}
