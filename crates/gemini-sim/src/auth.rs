//! Which credentials came with a request.

use http::HeaderMap;

use crate::query::Query;

/// The credentials of one request, before anyone asks whether they are good.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    None,
    /// `x-goog-api-key` or `?key=`.
    ApiKey(String),
    /// `Authorization: Bearer …` or `?access_token=`.
    Bearer(String),
    /// `Authorization` of another scheme.
    Unreadable,
    /// More than one.
    Multiple,
}

impl Credentials {
    /// Two credentials are one too many even when they are the same. The
    /// provider takes `openai-organization` and `openai-project` for
    /// credentials too; `x-api-key` means nothing to it.
    pub(crate) fn read(headers: &HeaderMap, query: &Query) -> Self {
        let mut found = Vec::new();
        for value in headers.get_all("x-goog-api-key") {
            found.push(Self::ApiKey(lossy(value)));
        }
        found.extend(query.all("key").map(|key| Self::ApiKey(key.to_owned())));
        for value in headers.get_all(http::header::AUTHORIZATION) {
            let value = lossy(value);
            found.push(match value.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Self::Bearer(token.trim().to_owned()),
                _ => Self::Unreadable,
            });
        }
        let tokens = query.all("access_token").chain(query.all("oauth_token"));
        found.extend(tokens.map(|token| Self::Bearer(token.to_owned())));
        let extra = ["openai-organization", "openai-project"];
        let extra = extra.iter().any(|name| headers.contains_key(*name));
        match (found.len(), extra) {
            (0, _) => Self::None,
            (1, false) => found.remove(0),
            _ => Self::Multiple,
        }
    }

    /// The secret, whichever way it came.
    pub(crate) fn secret(&self) -> &str {
        match self {
            Self::ApiKey(secret) | Self::Bearer(secret) => secret,
            Self::None | Self::Unreadable | Self::Multiple => "",
        }
    }
}

fn lossy(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)], query: &str) -> Credentials {
        let headers = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect();
        Credentials::read(&headers, &Query::parse(Some(query)))
    }

    #[test]
    fn one_credential_is_read_from_each_place() {
        let key = || Credentials::ApiKey("k".into());
        assert_eq!(read(&[("x-goog-api-key", "k")], ""), key());
        assert_eq!(read(&[], "alt=sse&key=k"), key());
        let bearer = Credentials::Bearer("k".into());
        assert_eq!(read(&[("authorization", "bearer k")], ""), bearer);
        assert_eq!(read(&[("x-api-key", "k")], ""), Credentials::None);
    }

    #[test]
    fn two_are_multiple_even_when_equal() {
        let twice = read(&[("x-goog-api-key", "k")], "key=k");
        assert_eq!(twice, Credentials::Multiple);
        let both = [("x-goog-api-key", "k"), ("authorization", "Bearer k")];
        assert_eq!(read(&both, ""), Credentials::Multiple);
        let organisation = [("authorization", "Bearer k"), ("openai-organization", "o")];
        assert_eq!(read(&organisation, ""), Credentials::Multiple);
    }
}
