//! The one token that clients send instead of a key.

use std::{borrow::Cow, fmt};

use http::{StatusCode, request::Parts};
use percent_encoding::percent_decode;
use subtle::ConstantTimeEq;

use super::headers::Seen;
use crate::gateway::dialect::Refusal;

/// What clients send on loopback when nobody chose a token.
pub const PLACEHOLDER: &str = "PLACEHOLDER_GEMINI_TOKEN";

/// What a client must send: in `x-goog-api-key`, `x-api-key`, `api-key`, `Authorization: Bearer`, `?key=`, or among the protocols of a
/// WebSocket.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// This token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// Lets a request through that carries the token in any of these places.
    ///
    /// # Errors
    /// 401, for a wrong token and for none.
    pub fn check(&self, head: &Parts, seen: &Seen<'_>) -> Result<(), Refusal> {
        let mut found = false;
        for sent in seen.credentials() {
            found = true;
            if self.is(sent) {
                return Ok(());
            }
        }
        for sent in in_query(head.uri.query().unwrap_or_default()) {
            found = true;
            if self.is(&sent) {
                return Ok(());
            }
        }
        Err(Refusal::new(StatusCode::UNAUTHORIZED, if found { WRONG } else { NONE }))
    }

    /// What only this gateway and its like know.
    pub(in crate::gateway) fn salt(&self, hash: &mut sha2::Sha256) {
        sha2::Digest::update(hash, self.0.as_bytes());
    }

    fn is(&self, sent: &[u8]) -> bool {
        // By words: a byte at a time costs as much as all else that is looked at.
        let ((ours, our_rest), (theirs, their_rest)) = (self.0.as_bytes().as_chunks::<8>(), sent.as_chunks::<8>());
        let rest = our_rest.ct_eq(their_rest) & ours.len().ct_eq(&theirs.len());
        let words =
            ours.iter().zip(theirs).map(|(ours, theirs)| u64::from_ne_bytes(*ours).ct_eq(&u64::from_ne_bytes(*theirs)));
        words.fold(rest, |same, word| same & word).into()
    }
}

/// Whether a request carries anything in any of these places.
pub(in crate::gateway) fn is_sent(head: &Parts, seen: &Seen<'_>) -> bool {
    seen.credentials().next().is_some() || in_query(head.uri.query().unwrap_or_default()).next().is_some()
}

/// Begins as Gemini's own and as `OpenAI`'s own do: `LiteLLM` makes an exception of its kind by these words.
const WRONG: &str = "API key not valid. Incorrect API key provided: this gateway takes its own token, not a provider's \
                     key. Pass the token that it was started with.";
const NONE: &str = "The request has no API key. Pass this gateway's token in x-goog-api-key, ?key=, Authorization: \
                    Bearer or x-api-key.";

/// Values of `key` in a query.
pub(in crate::gateway) fn in_query(query: &str) -> impl Iterator<Item = Cow<'_, [u8]>> {
    query.split('&').filter_map(|pair| pair.strip_prefix("key=")).map(|value| percent_decode(value.as_bytes()).into())
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn passes(uri: &str, header: Option<(&str, &str)>) -> bool {
        let mut request = Request::get(uri);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        Token::new("to+ken").check(&head, &Seen::of(&head.headers)).is_ok()
    }

    #[test]
    fn it_is_taken_in_each_place() {
        assert!(passes("/v1", Some(("x-goog-api-key", "to+ken"))));
        assert!(passes("/v1", Some(("x-api-key", "to+ken"))));
        assert!(passes("/v1", Some(("api-key", "to+ken"))));
        assert!(passes("/v1", Some(("sec-websocket-protocol", "realtime, openai-insecure-api-key.to+ken, x"))));
        assert!(!passes("/v1", Some(("sec-websocket-protocol", "to+ken, openai-insecure-api-key.to"))));
        assert!(passes("/v1", Some(("authorization", "Bearer to+ken"))));
        assert!(passes("/v1", Some(("authorization", "bearer  to+ken"))));
        assert!(passes("/v1?alt=sse&key=to%2Bken", None));
        assert!(passes("/v1?key=to+ken&alt=sse", None));
    }

    #[test]
    fn anything_else_is_not() {
        assert!(!passes("/v1", None));
        assert!(!passes("/v1?key=", None));
        assert!(!passes("/v1?monkey=to+ken", None));
        assert!(!passes("/v1?key=to+kenn", None));
        assert!(!passes("/v1", Some(("x-goog-api-key", "to+ke"))));
        assert!(!passes("/v1", Some(("authorization", "to+ken"))));
        assert!(!passes("/v1", Some(("authorization", "Basic to+ken"))));
        assert!(!passes("/v1", Some(("cookie", "key=to+ken"))));
    }

    #[test]
    fn every_byte_counts_and_their_number() {
        let token = "0123456789abcdefghi";
        let ours = Token::new(token);
        assert!(ours.is(token.as_bytes()));
        for at in 0..token.len() {
            let mut other = token.as_bytes().to_vec();
            assert!(!ours.is(&other[..at]), "{at}");
            other[at] ^= 1;
            assert!(!ours.is(&other), "{at}");
        }
        assert!(!ours.is(&[token.as_bytes(), b"jklmn"].concat()));
    }

    #[test]
    fn debug_does_not_show_it() {
        assert!(!format!("{:?}", Token::new("to+ken")).contains("to+ken"));
    }
}
