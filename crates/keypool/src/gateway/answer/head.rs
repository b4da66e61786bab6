//! An answer's head on its way to the client: what concerns one hop or the provider's host only does not go on.

use std::cell::RefCell;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};
use hyper::ext::ReasonPhrase;
use tower_keypool::ServedBy;

use super::come_back;

/// What a request is called, by whoever sent it or by us, for all who tell of it.
pub(in crate::gateway) const ID: HeaderName = HeaderName::from_static("x-request-id");
/// The same for Anthropic's clients, who look for it under this name.
pub(in crate::gateway) const THEIR_ID: HeaderName = HeaderName::from_static("request-id");

const KEY: HeaderName = HeaderName::from_static("x-keypool-key");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-keypool-attempts");
const MODEL: HeaderName = HeaderName::from_static("x-keypool-model");

/// Takes from an answer what concerns the provider's host or connection only, and names who served.
pub(in crate::gateway) fn tidy_response<B>(response: &mut Response<B>) {
    // The provider's own words behind the status may hold anything, the key too; nobody needs them.
    response.extensions_mut().remove::<ReasonPhrase>();
    let has_no_body = response.status() == StatusCode::NO_CONTENT;
    if has_no_body || response.headers().contains_key(header::TRANSFER_ENCODING) {
        // Where both say how long the body is, the length is wrong, and a body cut to it would look whole. What has none has no
        // length: clients of HTTP/2 wait for so much, and call its end an error.
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if response.status().as_u16() >= 400 {
        let known = come_back::known_of(response.extensions());
        come_back::doubt(response.headers_mut(), known);
    }
    if response.headers().keys().any(stays_behind) {
        leave_behind(response.headers_mut());
    }
    if !response.headers().get(header::CONTENT_TYPE).is_some_and(is_data) {
        confine(response.headers_mut());
    }
    *response.version_mut() = Version::HTTP_11;
    if let Some(names) = response.extensions().get::<ServedBy>().map(Names::of) {
        names.add(response.headers_mut());
    }
}

/// What no browser runs.
fn is_data(kind: &HeaderValue) -> bool {
    let kind = kind.as_bytes();
    kind.starts_with(b"application/json") || kind.starts_with(b"text/event-stream")
}

/// A page of the provider's, or of whoever uploaded it, that a browser shows stands at our address, where an administrator may be
/// logged in: it runs nothing, and belongs to no origin.
#[cold]
fn confine(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn leave_behind(headers: &mut HeaderMap) {
    while let Some(names) = headers.remove(header::CONNECTION) {
        remove_named(headers, &names);
    }
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| stays_behind(name)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// Headers of one hop, or binding for the provider's own host; those that let pages read what is here; and our own, which
/// nobody else may write.
fn stays_behind(name: &HeaderName) -> bool {
    match name.as_str() {
        "connection"
        | "set-cookie"
        | "set-cookie2"
        | "alt-svc"
        | "strict-transport-security"
        | "public-key-pins"
        | "clear-site-data"
        | "refresh"
        | "service-worker-allowed"
        | "report-to"
        | "reporting-endpoints"
        | "nel"
        | "transfer-encoding"
        | "upgrade"
        | "te"
        | "keep-alive"
        // Whose account served is the operator's business.
        | "openai-organization"
        | "openai-project"
        | "anthropic-organization-id" => true,
        name => name.starts_with("access-control-") || name.starts_with("proxy-") || name.starts_with("x-keypool-"),
    }
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

thread_local! {
    /// Most answers name the model that the one before named; that value is there already, and is shared.
    static LAST_MODEL: RefCell<HeaderValue> = const { RefCell::new(HeaderValue::from_static("")) };
}

fn name_of_model(model: &str) -> Option<HeaderValue> {
    LAST_MODEL.with_borrow_mut(|last| {
        if last.as_bytes() != model.as_bytes() {
            *last = HeaderValue::from_str(model).ok()?;
        }
        Some(last.clone())
    })
}

/// `x-keypool-key`, `x-keypool-attempts` and `x-keypool-model`.
#[derive(Debug)]
pub(in crate::gateway) struct Names {
    key: Option<HeaderValue>,
    attempts: HeaderValue,
    model: Option<HeaderValue>,
}

impl Names {
    /// Of who served.
    pub(in crate::gateway) fn of(served_by: &ServedBy) -> Self {
        let attempts = match served_by.attempts() {
            1 => HeaderValue::from_static("1"),
            attempts => HeaderValue::from(attempts),
        };
        Self {
            key: served_by.key().and_then(|key| key.with_text(HeaderValue::from_str).ok()),
            attempts,
            model: served_by.used_model().and_then(name_of_model),
        }
    }

    /// Adds them to an answer that has none of them.
    pub(in crate::gateway) fn add(self, headers: &mut HeaderMap) {
        // The request's id comes, too.
        headers.reserve(4);
        if let Some(key) = self.key {
            headers.append(KEY, key);
        }
        headers.append(ATTEMPTS, self.attempts);
        if let Some(model) = self.model {
            headers.append(MODEL, model);
        }
    }
}

/// Takes those names from an answer.
pub(in crate::gateway) fn unname(headers: &mut HeaderMap) {
    for name in [KEY, ATTEMPTS, MODEL] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_names_its_own_model() {
        for model in ["gemini-2.5-pro", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-pro"] {
            assert_eq!(name_of_model(model).unwrap(), model);
        }
        assert!(name_of_model("a\nb").is_none());
        assert_eq!(name_of_model("gemini-2.5-pro").unwrap(), "gemini-2.5-pro");
    }

    #[test]
    fn an_answer_without_content_has_no_length() {
        for (status, length) in [(204, None), (200, Some("5")), (304, Some("5"))] {
            let mut response = Response::builder().status(status).header("content-length", "5").body(()).unwrap();
            tidy_response(&mut response);
            let told = response.headers().get("content-length").map(|length| length.to_str().unwrap());
            assert_eq!(told, length, "{status}");
        }
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

    #[test]
    fn a_page_of_the_providers_runs_nothing_at_our_address() {
        for kind in ["text/html", "image/svg+xml", "application/xhtml+xml", ""] {
            let response = Response::builder().header("refresh", "0;url=/-/ui").header("content-security-policy", "x");
            let response = if kind.is_empty() { response } else { response.header("content-type", kind) };
            let mut response = response.body(()).unwrap();
            tidy_response(&mut response);
            let headers = response.headers();
            assert_eq!(headers["content-security-policy"], "sandbox; default-src 'none'", "{kind}");
            assert_eq!(headers["x-content-type-options"], "nosniff", "{kind}");
            assert!(!headers.contains_key("refresh"), "{kind}");
        }
    }
}
