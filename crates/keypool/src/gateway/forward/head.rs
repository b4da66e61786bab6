//! A request's head on its way to the provider: what concerns one hop or this host only does not go on.

use http::{HeaderName, HeaderValue, Uri, Version, header, request::Parts, uri};

use crate::{
    client::TakesTrailers,
    gateway::admit::headers::{OVERRIDES, Seen, is_ours},
};

/// What a request's head needs before it may leave, besides what the stack does: credentials, the host's name and
/// hop-by-hop headers are its to remove.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Tidy {
    expects: bool,
    form: bool,
    trailers: bool,
    overrides: bool,
    ours: bool,
}

impl Tidy {
    /// What was seen of it.
    pub(in crate::gateway) fn after(seen: &Seen<'_>) -> Self {
        Self {
            expects: seen.expects,
            form: seen.form,
            trailers: seen.trailers,
            overrides: seen.overrides,
            ours: seen.ours,
        }
    }

    /// Takes out what is said to the gateway alone. Before anything else is done with the head: it may leave by many ways.
    pub(in crate::gateway) fn keep_ours(self, head: &mut Parts) {
        if self.ours {
            let ours: Vec<HeaderName> = head.headers.keys().filter(|name| is_ours(name.as_str())).cloned().collect();
            for name in ours {
                head.headers.remove(name);
            }
        }
    }

    /// Makes the head one that may leave: the path alone, and JSON called JSON.
    pub(in crate::gateway) fn apply(self, head: &mut Parts) {
        if head.uri.authority().is_some() {
            // Where it goes is configured; what the client called us is not told.
            let mut parts = uri::Parts::default();
            parts.path_and_query = head.uri.path_and_query().cloned();
            head.uri = Uri::from_parts(parts).unwrap_or_default();
        }
        // Each side of a gateway has a version of its own.
        head.version = Version::HTTP_11;
        if self.overrides {
            // It is looked at for what it says it is.
            for name in OVERRIDES {
                head.headers.remove(name);
            }
        }
        if self.trailers {
            // What concerns the client's connection goes; that it takes trailers is true of ours, then.
            head.extensions.insert(TakesTrailers);
        }
        if self.expects {
            // Answered here already.
            head.headers.remove(header::EXPECT);
        }
        // curl -d says it is a form; no path of the API takes one, and the provider refuses JSON under that name.
        if self.form && !head.uri.path().starts_with("/upload/") {
            head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn tidied(request: http::request::Builder) -> Parts {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        Tidy::after(&Seen::of(&head.headers)).apply(&mut head);
        head
    }

    #[test]
    fn a_request_keeps_its_path_and_loses_our_host() {
        let head = tidied(
            Request::post("http://localhost:5000/v1/models?alt=sse")
                .version(Version::HTTP_2)
                .header("expect", "100-continue"),
        );
        assert_eq!(head.uri, "/v1/models?alt=sse");
        assert_eq!(head.version, Version::HTTP_11);
        assert!(head.headers.is_empty());
        let head = tidied(Request::post("/v1/files").header("x-http-method-override", "GET"));
        assert!(head.headers.is_empty(), "a list would be another course");
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
}
