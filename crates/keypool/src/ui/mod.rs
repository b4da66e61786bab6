//! The page under `/-/ui`: a look at a running gateway, and its administrator's actions as buttons.
//!
//! The files lie in `page/` and are part of the binary. They hold nothing that is anybody's, so whoever comes may read
//! them; all that they show and do is the admin API's, which asks for a session.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;

use crate::gateway::capability::hash_of;

/// Where it lies.
pub(crate) const ROOT: &str = "/-/ui";

/// Only what comes from here, and nobody else's frame. The page's scripts write text, never markup; this holds if one of
/// them should ever err.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// One of its files.
struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
    /// A new release has new files, and a browser is to know: it asks each time, and is told that nothing changed.
    tag: HeaderValue,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! files {
    ($($name:literal: $kind:expr),* $(,)?) => {
        [$(File::new($name, $kind, include_str!(concat!("page/", $name)))),*]
    };
}

static FILES: LazyLock<[File; 24]> = LazyLock::new(|| {
    files![
        "index.html": "text/html; charset=utf-8",
        "style.css": "text/css; charset=utf-8",
        "icon.svg": "image/svg+xml",
        "api.js": SCRIPT,
        "bars.js": SCRIPT,
        "dialog.js": SCRIPT,
        "element.js": SCRIPT,
        "field.js": SCRIPT,
        "key.js": SCRIPT,
        "keys.js": SCRIPT,
        "lanes.js": SCRIPT,
        "log.js": SCRIPT,
        "main.js": SCRIPT,
        "members.js": SCRIPT,
        "plot.js": SCRIPT,
        "rests.js": SCRIPT,
        "roster.js": SCRIPT,
        "session.js": SCRIPT,
        "summary.js": SCRIPT,
        "table.js": SCRIPT,
        "time.js": SCRIPT,
        "traffic.js": SCRIPT,
        "usage.js": SCRIPT,
        "words.js": SCRIPT,
    ]
});

impl File {
    fn new(name: &'static str, kind: &'static str, text: &'static str) -> Self {
        let tag = format!("\"{}\"", &hash_of(text.as_bytes())[..32]);
        Self { name, kind, text, tag: HeaderValue::try_from(tag).expect("digits are fine in a header") }
    }
}

/// The file that a path names.
fn find(path: &str) -> Option<&'static File> {
    let name = path.strip_prefix(ROOT)?.trim_start_matches('/');
    let name = if name.is_empty() { "index.html" } else { name };
    FILES.iter().find(|file| file.name == name)
}

/// Answers a request for a path of its own.
pub(crate) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "this page is only read\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let Some(file) = find(path) else { return plain(StatusCode::NOT_FOUND, "no such page; see /-/ui\n") };
    let fresh = headers.get_all(header::IF_NONE_MATCH).iter().any(|sent| is_named(sent, &file.tag));
    let mut response =
        if fresh { told(StatusCode::NOT_MODIFIED, file.kind, "") } else { told(StatusCode::OK, file.kind, file.text) };
    response.headers_mut().insert(header::ETAG, file.tag.clone());
    response
}

/// Whether a list of tags has this one. Who changed it on the way said so, and means the same.
fn is_named(sent: &HeaderValue, tag: &HeaderValue) -> bool {
    sent.to_str().is_ok_and(|sent| {
        sent.split(',').any(|one| one.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes() || one.trim() == "*")
    })
}

/// Where a person who comes to `/` goes.
pub(crate) fn lead() -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::FOUND, "see /-/ui\n");
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(ROOT));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    told(status, "text/plain; charset=utf-8", text)
}

fn told(status: StatusCode, kind: &'static str, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Response<Full<Bytes>> {
        answer(&Method::GET, path, &HeaderMap::new())
    }

    /// Each file is there, and each is used by another: a name that is mistyped would only fail in a browser.
    #[test]
    fn files_name_each_other_and_no_other_host() {
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/ui/page")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(FILES.iter().any(|file| file.name == name), "{name} is not served");
            let used = FILES.iter().any(|file| {
                file.text.contains(&format!("\"/-/ui/{name}\"")) || file.text.contains(&format!("\"./{name}\""))
            });
            assert!(used || name == "index.html", "{name} is not used");
        }
        for file in FILES.iter() {
            for imported in file.text.split("from \"./").skip(1) {
                let name = imported.split('"').next().unwrap();
                assert!(FILES.iter().any(|file| file.name == name), "{}: {name}", file.name);
            }
            // A name space of drawings is no address.
            for strange in file.text.match_indices("://").map(|(at, _)| &file.text[at - 5..]) {
                assert!(strange.contains("://www.w3.org/2000/svg"), "{}: {strange}", file.name);
            }
            for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style="] {
                assert!(!file.text.contains(markup), "{}: {markup}", file.name);
            }
        }
    }

    #[test]
    fn each_comes_with_its_policy_and_once() {
        for path in ["/-/ui", "/-/ui/", "/-/ui/main.js", "/-/ui/style.css", "/-/ui/nowhere", "/-/ui/../keys"] {
            let response = get(path);
            assert_eq!(response.headers()["content-security-policy"], POLICY, "{path}");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            assert_eq!(response.headers()["referrer-policy"], "no-referrer");
            let Some(tag) = response.headers().get("etag") else {
                assert_eq!(response.status(), 404, "{path}");
                continue;
            };
            for (sent, status) in [(tag.to_str().unwrap(), 304), ("W/\"x\", *", 304), ("\"other\"", 200)] {
                let headers = [(header::IF_NONE_MATCH, HeaderValue::from_str(sent).unwrap())].into_iter().collect();
                assert_eq!(answer(&Method::GET, path, &headers).status(), status, "{path} {sent}");
            }
        }
        assert_eq!(answer(&Method::POST, "/-/ui", &HeaderMap::new()).headers()["allow"], "GET, HEAD");
        assert_eq!(lead().headers()["location"], "/-/ui");
    }
}
