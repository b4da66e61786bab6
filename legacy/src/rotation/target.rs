//! Where a request goes: to the provider, or nowhere.

use std::mem;

use bytes::Bytes;
use http::{
    Method, Version,
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme, Uri},
};

use super::layer::Rules;
use crate::{provider::Base, received::Received};

const ELSEWHERE: &str = "its address is not the provider's, and the key is for the provider alone";
const NO_PATH: &str = "it names no path";
const DOTS: &str = "its path climbs with dot segments";

/// Makes the request go to the base, or to an allowed host.
///
/// A request without an authority, as a server receives it, is given the base: scheme, authority, and the base's path
/// in front of its own, or in the place of what [gives way](Base::in_place_of) to it, unless it stands there already
/// (`/v1/models` for a base that ends in `/v1`). Over HTTP/2 a server
/// receives them all with an authority, which is its own name: where the request is known to come from one, it counts for
/// nothing.
pub(super) fn aim(head: &mut Parts, base: &Base, rules: &Rules) -> Result<(), &'static str> {
    if head.method == Method::CONNECT {
        return Err(NO_PATH);
    }
    if climbs(head.uri.path()) {
        return Err(DOTS);
    }
    match head.uri.authority() {
        Some(authority) if head.uri.scheme() == Some(base.scheme()) && is_known(authority, base, &rules.allowed) => {
            Ok(())
        }
        Some(_) if !rules.as_server && head.extensions.remove::<Received>().is_none() => Err(ELSEWHERE),
        _ => rebase(head, base),
    }
}

/// Whether a key may be sent there.
#[inline]
fn is_known(authority: &Authority, base: &Base, allowed: &[Authority]) -> bool {
    let scheme = base.scheme();
    authority.as_str() == base.authority().as_str()
        || same(authority, base.authority(), scheme)
        || allowed.iter().any(|host| same(authority, host, scheme))
}

fn rebase(head: &mut Parts, base: &Base) -> Result<(), &'static str> {
    if !head.uri.path().starts_with('/') {
        return Err(NO_PATH);
    }
    let mut parts = mem::take(&mut head.uri).into_parts();
    parts.scheme = Some(base.scheme().clone());
    parts.authority = Some(base.authority().clone());
    let own = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
    if !begins_with(own, base.path()) {
        let front = base.front().filter(|front| begins_with(own, front)).unwrap_or_default();
        let joined = Bytes::from([base.path(), &own[front.len()..]].concat());
        parts.path_and_query = Some(PathAndQuery::from_maybe_shared(joined).map_err(|_| NO_PATH)?);
    }
    head.uri = Uri::from_parts(parts).map_err(|_| NO_PATH)?;
    // The version in which the caller spoke to us says nothing of how we speak to the provider.
    head.version = Version::HTTP_11;
    Ok(())
}

/// Whether the path begins with these segments.
fn begins_with(path: &str, segments: &str) -> bool {
    path.strip_prefix(segments).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

/// Whether both name the same place, the scheme's own port being the same as none.
fn same(a: &Authority, b: &Authority, scheme: &Scheme) -> bool {
    let port = |authority: &Authority| authority.port_u16().or_else(|| usual_port(scheme));
    !a.as_str().contains('@') && a.host().eq_ignore_ascii_case(b.host()) && port(a) == port(b)
}

fn usual_port(scheme: &Scheme) -> Option<u16> {
    match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Whether a segment of the path is `.` or `..`, also where dots or slashes are percent-encoded.
fn climbs(path: &str) -> bool {
    is_suspect(path.as_bytes()) && decoded(path).split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
}

/// Whether the path holds an escape, a backslash or a segment that begins with a dot: most do not. Looked at sixteen bytes
/// at a time, which compiles to a few vector instructions; the last sixteen may have been looked at before.
#[expect(clippy::needless_bitwise_bool, reason = "a branch a byte is what it is to do without")]
fn is_suspect(path: &[u8]) -> bool {
    const STEP: usize = 16;
    let any = |before: &[u8], bytes: &[u8]| {
        let suspects = before
            .iter()
            .zip(bytes)
            .map(|(&before, &byte)| (byte == b'%') | (byte == b'\\') | ((byte == b'.') & (before == b'/')));
        suspects.fold(false, |any, suspect| any | suspect)
    };
    let Some((&first, bytes)) = path.split_first() else { return false };
    if any(b"/", &[first]) {
        return true;
    }
    let (Some(last), Some(before_last)) = (bytes.last_chunk::<STEP>(), path[..bytes.len()].last_chunk::<STEP>()) else {
        return any(path, bytes);
    };
    let (steps, before) = (bytes.as_chunks::<STEP>().0, path.as_chunks::<STEP>().0);
    before.iter().zip(steps).any(|(before, step)| any(before, step)) || any(before_last, last)
}

/// The path with the escapes of dot, slash and backslash undone, twice over.
fn decoded(path: &str) -> String {
    let once = |path: &str| {
        ["%2e", "%2E", "%2f", "%2F", "%5c", "%5C", "%25"]
            .into_iter()
            .zip([".", ".", "/", "/", "\\", "\\", "%"])
            .fold(path.to_owned(), |path, (escape, plain)| path.replace(escape, plain))
    };
    once(&once(path))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn aimed(base: &str, uri: &str) -> Result<String, &'static str> {
        let (mut head, ()) = Request::get(uri).body(()).expect("a request").into_parts();
        let rules = Rules { allowed: vec!["uploads.example:8443".parse().expect("an authority")], ..Rules::default() };
        aim(&mut head, &Base::parse(base).expect("a base"), &rules)?;
        Ok(head.uri.to_string())
    }

    #[test]
    fn a_request_without_authority_is_given_the_base() {
        assert_eq!(aimed("https://api.example", "/v1/models?a=b"), Ok("https://api.example/v1/models?a=b".into()));
        assert_eq!(aimed("http://api.example:81/gate", "/v1"), Ok("http://api.example:81/gate/v1".into()));
        assert_eq!(aimed("http://api.example/v1", "/v1/models?x"), Ok("http://api.example/v1/models?x".into()));
        assert_eq!(aimed("http://api.example/v1", "/v1beta/models"), Ok("http://api.example/v1/v1beta/models".into()));
    }

    #[test]
    fn a_version_gives_way_to_a_base_that_holds_one() {
        for (base, uri, there) in [
            ("http://h/api/v1", "/v1/models?a=b", "/api/v1/models?a=b"),
            ("http://h/api/paas/v4", "/v1/chat/completions", "/api/paas/v4/chat/completions"),
            ("http://h/v1beta/openai", "/v1/models", "/v1beta/openai/models"),
            ("http://h/v1/account/gateway/openai", "/v1/models", "/v1/account/gateway/openai/models"),
            ("http://h/api/v1", "/api/v1/models", "/api/v1/models"),
            ("http://h/api/v1", "/v1", "/api/v1"),
            ("http://h/api/v1", "/v1beta/models", "/api/v1/v1beta/models"),
            ("http://h/api/v1", "/models", "/api/v1/models"),
            ("http://h/api", "/v1/models", "/api/v1/models"),
        ] {
            let provider = crate::OpenAi::at(base).expect("a base");
            let (mut head, ()) = Request::get(uri).body(()).expect("a request").into_parts();
            aim(&mut head, crate::Provider::base(&provider), &Rules::default()).expect("it goes on");
            assert_eq!(head.uri.path_and_query().map(PathAndQuery::as_str), Some(there), "{uri} at {base}");
        }
    }

    #[test]
    fn the_base_and_allowed_hosts_pass_whatever_their_spelling() {
        for uri in ["https://api.example/x", "https://API.example:443/x", "https://uploads.example:8443/x"] {
            assert_eq!(aimed("https://api.example/base", uri).as_deref(), Ok(uri));
        }
    }

    #[test]
    fn what_climbs_is_noticed_wherever_it_stands() {
        for length in 0..40 {
            let stem = "/abcdef".chars().cycle().take(length).collect::<String>();
            assert!(!climbs(&format!("{stem}/v1.5-x")), "{length}");
            for bad in ["/..", "/.", "/%2e%2E", "/..%2fx", "/%5c..", "\\..\\", "/../0123456789012345678901234567890123"]
            {
                assert!(climbs(&format!("{stem}{bad}")), "{bad} behind {length}");
            }
        }
        assert!(!climbs("") && !climbs("*") && climbs(".") && climbs(".."));
    }

    #[test]
    fn every_other_place_is_refused() {
        for uri in [
            "http://api.example/x",
            "https://api.example:444/x",
            "https://api.example.evil/x",
            "https://evil@api.example/x",
            "https://api.example@evil/x",
            "https://uploads.example/x",
            "http://uploads.example:8443/x",
        ] {
            assert_eq!(aimed("https://api.example", uri), Err(ELSEWHERE), "{uri}");
        }
        assert_eq!(aimed("https://api.example", "*"), Err(NO_PATH));
    }

    #[test]
    fn dot_segments_are_refused_and_dots_in_names_are_not() {
        for path in [
            "/v1/../admin",
            "/..",
            "/./x",
            "/v1/%2e%2E/x",
            "/v1/.%2e/x",
            "/v1%2f..%2fx",
            "/a/..%5cx",
            "/a/%252e%252e/x",
            "/a/..",
        ] {
            assert_eq!(aimed("https://api.example", path), Err(DOTS), "{path}");
        }
        for path in ["/v1beta/models/gemini-2.5-flash:generateContent", "/.well-known/x", "/a..b/c...d/100%25", "/..."]
        {
            assert!(aimed("https://api.example", path).is_ok(), "{path}");
        }
    }
}
