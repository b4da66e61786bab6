use std::time::{Duration, SystemTime};

use http::{HeaderMap, Request, StatusCode};

use super::*;
use crate::{
    provider::Answer,
    verdict::{Scope as S, Until as U, VerdictKind as K},
};

fn judge(status: u16, retry_after: Option<&str>) -> Verdict {
    let mut headers = HeaderMap::new();
    if let Some(after) = retry_after {
        headers.insert("retry-after", after.parse().unwrap());
    }
    let status = StatusCode::from_u16(status).unwrap();
    let provider = ApiKeyHeader::header("x-key", "https://a.example").unwrap();
    provider.judge(&Answer::new(status, &headers, b"", SystemTime::UNIX_EPOCH))
}

#[test]
fn names_and_bases_are_checked() {
    assert!(matches!(ApiKeyHeader::header("two words", "https://a.example"), Err(InvalidApiKeyHeader::Name(_))));
    assert!(matches!(ApiKeyHeader::query("a&b", "https://a.example"), Err(InvalidApiKeyHeader::Name(_))));
    assert!(matches!(ApiKeyHeader::query("", "https://a.example"), Err(InvalidApiKeyHeader::Name(_))));
    assert!(matches!(ApiKeyHeader::query("k", "a.example"), Err(InvalidApiKeyHeader::Base(_))));
}

#[test]
fn statuses_decide() {
    let invalid = judge(401, None);
    assert_eq!((invalid.kind(), invalid.scope_of(), invalid.until_of()), (K::InvalidKey, S::Key, U::Lifted));
    assert_eq!(invalid.confirm_after_of(), Some(Duration::from_secs(60)));
    assert!(!judge(403, None).is_named());
    let limited = judge(429, Some("7"));
    assert_eq!((limited.kind(), limited.retry_after()), (K::RateLimited, Some(Duration::from_secs(7))));
    assert_eq!(judge(429, None).until_of(), U::Backoff);
    assert_eq!(judge(503, Some("7")).retry_after(), Some(Duration::from_secs(7)));
    assert_eq!(judge(500, None).kind(), K::Transient);
    assert_eq!(judge(404, None).kind(), K::CallerFault);
    assert!(judge(204, None).is_success());
}

#[test]
fn models_behind_a_segment() {
    let provider = ApiKeyHeader::header("x-key", "https://a.example").unwrap().model_behind("models");
    for (path, model, target) in [
        ("/v1/models/a%20b/run?x=1", Some("a b"), "/v1/models/c%2Fd/run?x=1"),
        ("/models/a:verb", Some("a"), "/models/c%2Fd:verb"),
        ("/models/", None, "/models/"),
        ("/models", None, "/models"),
        ("/other/a", None, "/other/a"),
    ] {
        let (mut head, ()) = Request::post(path).body(()).unwrap().into_parts();
        let expected = model.map_or(ModelIn::Nowhere, |model| ModelIn::Head(model.into()));
        assert_eq!(provider.asks(&head).model, expected, "{path}");
        let done = provider.retarget(&mut head, "c/d") == Retarget::Done;
        assert_eq!((done, head.uri.to_string().as_str()), (model.is_some(), target));
    }
}

#[test]
fn a_scheme_stands_before_the_key() {
    let provider = ApiKeyHeader::header("authorization", "https://a.example").unwrap().scheme("Token ");
    let (mut head, ()) = Request::get("/").header("authorization", "mine").body(()).unwrap().into_parts();
    provider.strip(&mut head);
    provider.inject(&mut head, &provider.prepare("abc").unwrap()).unwrap();
    assert_eq!(head.headers.get_all("authorization").iter().collect::<Vec<_>>(), ["Token abc"]);
}
