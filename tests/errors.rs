//! Runs the classifier over `tests/fixtures/errors/*.jsonl`. Their README tells what the fields mean.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, request};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use tower_keypool::{
    Base, Cooldown, Error, ErrorClass, Failure, Provider, RequestInfo, Scope, Secret, SetModel, classify,
};

/// 2026-11-20T05:46:00Z
fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_153_560)
}

/// The classifier asks a provider for its name and its own rules alone.
struct Named(String, Base);

impl Provider for Named {
    fn name(&self) -> &str {
        &self.0
    }

    fn base(&self) -> &Base {
        &self.1
    }

    fn authorize(&self, _head: &mut request::Parts, _key: &Secret) -> Result<(), Error> {
        unreachable!("nothing is sent")
    }

    fn inspect<'a>(&self, _head: &'a request::Parts) -> RequestInfo<'a> {
        RequestInfo::default()
    }

    fn set_model(&self, _head: &mut request::Parts, _model: &str) -> SetModel {
        SetModel::No
    }
}

fn named(name: &str) -> Named {
    Named(name.to_owned(), "http://127.0.0.1".parse().unwrap())
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
    #[serde(rename = "model")]
    _model: Option<String>,
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
}

impl Fixture {
    fn body(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => BASE64_STANDARD.decode(text).unwrap(),
            _ => panic!("{}: one of body and body_base64", self.name),
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
        classify(&named(&self.provider), status, &self.headers(), body, self.event, wall())
    }

    /// What differs from what is expected.
    fn wrong(&self) -> Option<String> {
        let failure = self.classified(&self.body());
        let expected = &self.expect;
        let got = (failure.as_ref().map(Failure::class), failure.as_ref().map(Failure::concerns));
        let cooldown = failure.as_ref().map_or(Value::Null, cooldown);
        let code = failure.as_ref().and_then(Failure::error_code);
        let confirm = failure.as_ref().is_some_and(Failure::needs_confirmation);
        let as_expected = got == (expected.class, expected.scope)
            && same_cooldown(&cooldown, &expected.cooldown)
            && (expected.code.is_none() || expected.code.as_deref() == code)
            && confirm == expected.confirm;
        (!as_expected).then(|| {
            format!(
                "{}\n  expected {:?} {:?} {} {:?} confirm={}\n  got      {:?} {:?} {} {:?} confirm={}\n  {:?}",
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
                failure.as_ref().and_then(Failure::message),
            )
        })
    }
}

/// As the fixtures write it.
fn cooldown(failure: &Failure) -> Value {
    match (failure.delay(), failure.cooldown()) {
        (Some(delay), _) => delay.as_secs_f64().into(),
        (None, Cooldown::Backoff { .. }) => "backoff".into(),
        (None, Cooldown::Midnight) => "midnight".into(),
        (None, Cooldown::Disable) => "disabled".into(),
        (None, Cooldown::Fixed(delay) | Cooldown::Strikes(delay)) => delay.as_secs_f64().into(),
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
fn every_recorded_answer_is_classified_as_expected() {
    let fixtures = fixtures();
    let names: HashSet<&str> = fixtures.iter().map(|fixture| fixture.name.as_str()).collect();
    assert_eq!(names.len(), fixtures.len(), "names are unique");
    let wrong: Vec<String> = fixtures.iter().filter_map(Fixture::wrong).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), fixtures.len(), wrong.join("\n"));
}
