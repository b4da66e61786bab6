//! Heads on their way: what concerns one hop or one host only does not go on.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, Uri, Version,
    header::{self, Entry},
    request::Parts,
    uri,
};
use tower_keypool::ServedBy;

const KEY: HeaderName = HeaderName::from_static("x-keypool-key");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-keypool-attempts");
const MODEL: HeaderName = HeaderName::from_static("x-keypool-model");

/// Makes a request's head one that may leave: no host of ours, the path alone, and JSON called JSON. Credentials and
/// hop-by-hop headers are the stack's to remove.
pub fn tidy_request(head: &mut Parts) {
    if head.uri.authority().is_some() {
        // Where it goes is configured; what the client called us is not told.
        let mut parts = uri::Parts::default();
        parts.path_and_query = head.uri.path_and_query().cloned();
        head.uri = Uri::from_parts(parts).unwrap_or_default();
    }
    // Each side of a gateway has a version of its own.
    head.version = Version::HTTP_11;
    head.headers.remove(header::HOST);
    // Answered here already.
    head.headers.remove(header::EXPECT);
    // curl -d says it is a form; no path of the API takes one, and the provider refuses JSON under that name.
    if let Entry::Occupied(mut kind) = head.headers.entry(header::CONTENT_TYPE) {
        let is_form = kind.get().as_bytes().starts_with(b"application/x-www-form-urlencoded");
        if is_form && !head.uri.path().starts_with("/upload/") {
            kind.insert(HeaderValue::from_static("application/json"));
        }
    }
}

/// Takes from an answer what concerns the provider's host or connection only, and names who served.
pub fn tidy_response<B>(response: &mut Response<B>) {
    if let Some(names) = response.headers_mut().remove(header::CONNECTION) {
        remove_named(response.headers_mut(), &names);
    }
    if response.headers().keys().any(stays_behind) {
        let doomed: Vec<HeaderName> = response.headers().keys().filter(|name| stays_behind(name)).cloned().collect();
        for name in doomed {
            response.headers_mut().remove(name);
        }
    }
    *response.version_mut() = Version::HTTP_11;
    if let Some(served_by) = response.extensions().get::<ServedBy>().cloned() {
        name_who_served(response.headers_mut(), &served_by);
    }
}

/// Headers of one hop, or binding for the provider's own host.
fn stays_behind(name: &HeaderName) -> bool {
    *name == header::SET_COOKIE
        || *name == header::ALT_SVC
        || *name == header::STRICT_TRANSPORT_SECURITY
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || *name == header::PROXY_AUTHENTICATE
        || *name == header::TE
        || name.as_str() == "keep-alive"
        || name.as_str() == "proxy-connection"
        || *name == KEY
        || *name == ATTEMPTS
        || *name == MODEL
}

/// Removes the headers that a `Connection` header names as its own.
fn remove_named(headers: &mut HeaderMap, names: &HeaderValue) {
    for name in names.to_str().unwrap_or_default().split(',').map(str::trim) {
        // The length of the body is not a matter of one hop, whoever says so.
        if !name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("content-type") {
            headers.remove(name);
        }
    }
}

/// Adds `x-keypool-key`, `x-keypool-attempts` and `x-keypool-model`.
pub fn name_who_served(headers: &mut HeaderMap, served_by: &ServedBy) {
    if let Some(key) = served_by.key().and_then(|key| HeaderValue::try_from(key.to_string()).ok()) {
        headers.insert(KEY, key);
    }
    let attempts = match served_by.attempts() {
        1 => HeaderValue::from_static("1"),
        attempts => HeaderValue::from(attempts),
    };
    headers.insert(ATTEMPTS, attempts);
    if let Some(model) = served_by.used_model().and_then(|model| HeaderValue::from_str(model).ok()) {
        headers.insert(MODEL, model);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn tidied(request: http::request::Builder) -> Parts {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        tidy_request(&mut head);
        head
    }

    #[test]
    fn a_request_keeps_its_path_and_loses_our_host() {
        let head = tidied(
            Request::post("http://localhost:5000/v1/models?alt=sse")
                .version(Version::HTTP_2)
                .header("host", "localhost:5000")
                .header("expect", "100-continue"),
        );
        assert_eq!(head.uri, "/v1/models?alt=sse");
        assert_eq!(head.version, Version::HTTP_11);
        assert!(head.headers.is_empty());
    }

    #[test]
    fn a_form_becomes_json_but_for_uploads() {
        let kind = |path: &str, kind: &str| {
            tidied(Request::post(path).header("content-type", kind)).headers["content-type"]
                .to_str()
                .unwrap()
                .to_owned()
        };
        let form = "application/x-www-form-urlencoded";
        assert_eq!(kind("/v1/models/m:generateContent", form), "application/json");
        assert_eq!(
            kind("/v1/models/m:generateContent", "application/x-www-form-urlencoded; charset=utf-8"),
            "application/json"
        );
        assert_eq!(kind("/v1/models/m:generateContent", "text/plain"), "text/plain");
        assert_eq!(kind("/upload/v1/files", form), form);
    }

    #[test]
    fn an_answer_loses_what_binds_the_providers_host() {
        let mut response = Response::builder()
            .header("connection", "close, x-hop")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("transfer-encoding", "chunked")
            .header("set-cookie", "a=b")
            .header("alt-svc", "h3=\":443\"")
            .header("strict-transport-security", "max-age=1")
            .header("x-keypool-key", "forged")
            .header("content-type", "text/event-stream")
            .header("retry-after", "3")
            .body(())
            .unwrap();
        tidy_response(&mut response);
        let mut names: Vec<&str> = response.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "retry-after"]);
    }
}
