//! What a client means whose base URL ends with a slash, or brings the version of the API twice or not at all: people copy
//! base URLs from one client to another, and each kind of client has its own half of the path.

use std::borrow::Cow;

use http::request::Parts;

use super::{
    deployment::Deployment,
    providers::FRONT,
    way::{OPENAI, SHARED, by_credential, forced, has_verb, redirect, with_path},
};
use crate::gateway::dialect::Dialect;

const VERSIONS: [&str; 3] = ["v1", "v1beta", "v1alpha"];
/// Those that name a dialect.
const FORCING: [&str; 3] = ["openai", "anthropic", "gemini"];

/// Gives the head the path that its client means, where only one can be meant. Who it names as its host stays.
///
/// Versions are those of a gateway whose own provider is Gemini: what others have without one, nobody knows. `has_front`:
/// something stands in front of its provider's paths (Vertex's `/v1/publishers/google`), which then have their version there.
pub(in crate::gateway) fn complete(head: &mut Parts, provider: Dialect, has_front: bool) {
    // Nearly every path.
    if head.uri.path().starts_with("/v1beta/models/") {
        return;
    }
    if let Some(target) = meant(head, provider, has_front).and_then(|path| with_path(&head.uri, &path)) {
        if let Some(deployment) = deployed(head.uri.path()).and_then(|(name, _)| Deployment::of(name)) {
            head.extensions.insert(deployment);
        }
        redirect(&mut head.uri, target);
    }
}

fn meant(head: &Parts, provider: Dialect, has_front: bool) -> Option<String> {
    let came = head.uri.path();
    // The official client in JavaScript asks for `//ws/…`, which the provider takes for `/ws/…`. Others may name a host.
    let path = match came.trim_start_matches('/') {
        single if came.starts_with("//") && begins_a_path(single) => &came[came.len() - single.len() - 1..],
        _ => came,
    };
    let path = joined(path);
    let versioned = if provider == Dialect::Gemini { versioned(&path, head, has_front) } else { None };
    versioned.or_else(|| (path.len() < came.len()).then(|| path.into_owned()))
}

/// A path without the slashes that stand behind what a base URL ends with, where its client put the two together by text.
/// Elsewhere they stay, and are refused: who stands upstream may read them otherwise.
fn joined(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return path.into();
    }
    let (mut base, mut rest) = (String::with_capacity(path.len()), path);
    while let Some(end) = base_ends(rest, base.is_empty()) {
        base.push_str(&rest[..end]);
        let behind = rest[end..].trim_start_matches('/');
        rest = &rest[rest.len() - behind.len() - 1..];
    }
    (base + rest).into()
}

/// How far what a base URL may end with reaches, of a path that begins with it: a version, or what names a dialect or, as
/// the `first`, a provider.
fn base_ends(path: &str, first: bool) -> Option<usize> {
    let ends = |from: usize| path[from..].find('/').map(|length| from + length);
    if first && path.starts_with(FRONT) {
        return ends(FRONT.len()).filter(|end| *end > FRONT.len());
    }
    let end = if path.starts_with('/') { ends(1)? } else { return None };
    let segment = &path[1..end];
    (VERSIONS.contains(&segment) || FORCING.contains(&segment)).then_some(end)
}

/// Whether a first segment is one of the APIs' paths.
fn begins_a_path(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    let others = ["ws", "upload", "messages"];
    [&VERSIONS[..], &FORCING, &SHARED, &OPENAI, &others].iter().any(|known| known.contains(&first))
}

/// A path with its one version, where it has another number of them.
fn versioned(path: &str, head: &Parts, has_front: bool) -> Option<String> {
    let (front, rest) = match forced(path) {
        Some((_, rest)) => path.split_at(path.len() - rest.len()),
        None => ("", path),
    };
    if front == "/openai" && rest.starts_with("/deployments/") {
        return deployed(path).map(|(_, asked)| format!("/openai/v1/{asked}"));
    }
    let mut segments = rest.strip_prefix('/')?.splitn(3, '/');
    let (first, second) = (segments.next()?, segments.next().unwrap_or_default());
    if VERSIONS.contains(&first) {
        // The client's own is the last.
        // Before what never stands behind a version, it is the base URL's: Go's client asks for that behind one.
        let is_own_root = ["upload", "ws"].contains(&second) && matches!(front, "" | "/gemini");
        return if VERSIONS.contains(&second) || is_own_root {
            Some(format!("{front}{}", &rest[first.len() + 1..]))
        } else {
            (front.is_empty() && first != "v1" && OPENAI.contains(&second))
                .then(|| format!("/v1{}", &rest[first.len() + 1..]))
        };
    }
    let version = match (front, first) {
        ("", "messages") => "v1",
        ("", first) if OPENAI.contains(&first) => "v1",
        _ if has_front => return None,
        // A verb behind a model is native.
        ("" | "/gemini", "models") if has_verb(second) => "v1beta",
        ("/gemini", first) if SHARED.contains(&first) => "v1beta",
        ("", first) if SHARED.contains(&first) => match by_credential((&head.headers, &head.uri), true) {
            Dialect::Gemini => "v1beta",
            _ => "v1",
        },
        _ => return None,
    };
    Some(format!("{front}/{version}{rest}"))
}

/// The model that a path of Azure's names, and what is asked of it.
fn deployed(path: &str) -> Option<(&str, &str)> {
    path.trim_start_matches('/').strip_prefix("openai/deployments/")?.split_once('/')
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn complete(uri: &str, header: &str, provider: Dialect) -> String {
        let request = Request::post(uri).header(if header.is_empty() { "x-none" } else { header }, "x");
        let mut head = request.body(()).unwrap().into_parts().0;
        super::complete(&mut head, provider, false);
        head.uri.to_string()
    }

    #[test]
    fn a_path_gets_what_its_base_url_lacks_and_loses_what_it_has_twice() {
        for (came, header, means) in [
            // A base URL without its version, where clients bring none.
            ("/chat/completions", "authorization", "/v1/chat/completions"),
            ("/responses?a=b", "authorization", "/v1/responses?a=b"),
            ("/messages", "x-api-key", "/v1/messages"),
            ("/messages/count_tokens", "", "/v1/messages/count_tokens"),
            ("/models", "authorization", "/v1/models"),
            ("/models", "x-goog-api-key", "/v1beta/models"),
            ("/models?key=x", "", "/v1beta/models?key=x"),
            ("/models/m:generateContent", "authorization", "/v1beta/models/m:generateContent"),
            ("/models/m%3AcountTokens", "", "/v1beta/models/m%3AcountTokens"),
            ("/models/ft:gpt-4o:acme::a1", "authorization", "/v1/models/ft:gpt-4o:acme::a1"),
            ("/gemini/models/m:generateContent", "", "/gemini/v1beta/models/m:generateContent"),
            ("/gemini/models", "authorization", "/gemini/v1beta/models"),
            ("/files/f", "x-goog-api-key", "/v1beta/files/f"),
            // One with it, where they do.
            ("/v1/v1/messages", "x-api-key", "/v1/messages"),
            ("/anthropic/v1/v1/messages", "", "/anthropic/v1/messages"),
            ("/openai/v1/v1/models", "", "/openai/v1/models"),
            ("/v1beta/v1beta/models/m:generateContent", "", "/v1beta/models/m:generateContent"),
            ("/v1/v1beta/models/m:generateContent", "", "/v1beta/models/m:generateContent"),
            ("/gemini/v1beta/v1alpha/models", "", "/gemini/v1alpha/models"),
            ("/v1beta/upload/v1beta/files?a", "", "/upload/v1beta/files?a"),
            ("/v1beta//upload/v1beta/files", "", "/upload/v1beta/files"),
            ("/gemini/v1beta/upload/v1beta/files", "", "/gemini/upload/v1beta/files"),
            ("/v1beta/ws/a.b.BidiGenerateContent?key=x", "", "/ws/a.b.BidiGenerateContent?key=x"),
            // That of another client.
            ("/v1beta/chat/completions", "authorization", "/v1/chat/completions"),
            // Azure's.
            (
                "/openai/deployments/m/chat/completions?api-version=1",
                "api-key",
                "/openai/v1/chat/completions?api-version=1",
            ),
            ("/openai/deployments/a%2Fb/audio/speech", "api-key", "/openai/v1/audio/speech"),
            // One that ends with a slash.
            ("//v1beta/models/m:generateContent", "", "/v1beta/models/m:generateContent"),
            ("//v1/chat/completions", "", "/v1/chat/completions"),
            ("///v1/v1/chat/completions?a", "", "/v1/chat/completions?a"),
            ("//ws/a.b.BidiGenerateContent?key=x", "", "/ws/a.b.BidiGenerateContent?key=x"),
            ("/v1//chat/completions?a=//", "", "/v1/chat/completions?a=//"),
            ("/v1//messages", "", "/v1/messages"),
            ("/v1//v1/messages", "", "/v1/messages"),
            ("/v1beta//models/m:generateContent", "", "/v1beta/models/m:generateContent"),
            ("/v1beta///v1beta//models", "", "/v1beta/models"),
            ("/v1beta/openai//chat/completions", "", "/v1beta/openai/chat/completions"),
            ("/openai/v1//chat/completions", "", "/openai/v1/chat/completions"),
            ("/openai//chat/completions", "", "/openai/chat/completions"),
            ("//anthropic//v1//messages", "", "/anthropic/v1/messages"),
            ("/gemini//v1beta/models/m:generateContent", "", "/gemini/v1beta/models/m:generateContent"),
            ("/gemini//models/m:generateContent", "", "/gemini/v1beta/models/m:generateContent"),
            ("/to/other//v1//chat/completions", "", "/to/other/v1/chat/completions"),
            ("/to/v1beta//openai//models", "", "/to/v1beta/openai/models"),
            ("/v1//", "", "/v1/"),
            ("/v1//../-/keys", "", "/v1/../-/keys"),
            ("http://host.example:5000/v1//models", "", "http://host.example:5000/v1/models"),
            ("http://host.example:5000/models?key=x", "", "http://host.example:5000/v1beta/models?key=x"),
        ] {
            assert_eq!(complete(came, header, Dialect::Gemini), means, "{came}");
        }
    }

    #[test]
    fn whatever_else_came_stays() {
        for came in [
            "/v1beta/models/m:generateContent",
            "/v1beta/models",
            "/v1/chat/completions",
            "/v1/v10/x",
            "/v1beta/openai/chat/completions",
            "/openai/chat/completions",
            "/openai/deployments/m",
            "/deployments/m/chat/completions",
            "/gemini",
            "/",
            "/to/other/chat/completions",
            "/upload/v1beta/files",
            "/v1beta/files/upload/v1beta",
            "/v1/uploads",
            "/anthropic/v1/ws/x",
            "/v1beta/models//m:generateContent",
            "/v1beta/files//v1//x",
            "/v1/chat//completions",
            "/v1beta/models/m:generateContent//",
            "/upload//v1beta/files",
            "/v2//models",
            "/to//v1/models",
            "/to/other/models//m",
            "/x/to/other//models",
            "/v1%2F/models//x",
            "//-/admin/keys",
            "//-//admin/keys",
            "//evil.example/v1beta/models",
            "/-/health",
            "/modelsx",
            "*",
        ] {
            assert_eq!(complete(came, "", Dialect::Gemini), came);
        }
        for came in ["/chat/completions", "/v1/v1/chat/completions", "/models"] {
            assert_eq!(complete(came, "authorization", Dialect::OpenAi), came);
        }
        assert_eq!(complete("//v1/models", "authorization", Dialect::OpenAi), "/v1/models");
        assert_eq!(complete("/v1//models", "authorization", Dialect::OpenAi), "/v1/models");
        // Where a base has its version in front.
        for (came, means) in [
            ("/models/m:generateContent", "/models/m:generateContent"),
            ("/files", "/files"),
            ("/chat/completions", "/v1/chat/completions"),
        ] {
            let mut head = Request::post(came).body(()).unwrap().into_parts().0;
            super::complete(&mut head, Dialect::Gemini, true);
            assert_eq!(head.uri, means);
        }
    }
}
