//! Whether what was asked for may have been done, though no answer says so.

use super::{Verdict, VerdictKind};

impl Verdict {
    /// Whether what was asked for may have been done: the provider's fault, or that of the way there, leaves that open. What
    /// was refused was not done, nor what never went out.
    ///
    /// Of statuses that are the provider's fault those below 500 refuse, but for 408 and 424, and so does 529; what else is
    /// 500 and more may come of whoever stands in front, after the provider had the request.
    pub fn may_have_been_done(&self) -> bool {
        use VerdictKind as K;
        match self.kind {
            K::Success | K::Broken | K::Cancelled | K::Unjudged => true,
            K::Overloaded | K::Transient => match self.status.map(|status| status.as_u16()) {
                None => !self.is_unsent() && !self.is_unprocessed(),
                Some(408 | 424) => true,
                Some(400..500 | 529) => false,
                Some(_) => true,
            },
            // Whom it blames is refused.
            K::RateLimited
            | K::QuotaExhausted
            | K::InvalidKey
            | K::Suspended
            | K::ModelUnavailable
            | K::CallerFault
            | K::WrongOwner
            | K::Misconfigured
            | K::Blocked => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, time::SystemTime};

    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::{Answer, Anthropic, BodyError, Gemini, OpenAi, Provider, judge_error};

    fn judged(provider: &dyn Provider, status: u16, body: &str) -> Verdict {
        let (status, headers) = (StatusCode::from_u16(status).unwrap(), HeaderMap::new());
        provider.judge(&Answer::new(status, &headers, body.as_bytes(), SystemTime::UNIX_EPOCH))
    }

    #[test]
    fn what_was_refused_was_not_done() {
        let invalid = r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"API key not valid. Please pass a valid API key.",
            "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
        for status in [401, 403, 404, 409, 421, 425, 429, 501] {
            assert!(!judged(&Gemini::new(), status, "{}").may_have_been_done(), "{status}");
        }
        assert!(!judged(&Gemini::new(), 400, invalid).may_have_been_done());
        let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
        assert!(!judged(&Anthropic::new(), 529, overloaded).may_have_been_done());
        let connect = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(!judge_error(&connect).may_have_been_done());
        assert!(!judge_error(&BodyError::void()).may_have_been_done());
    }

    #[test]
    fn what_failed_may_have_been_done() {
        for status in [408, 500, 502, 503, 504, 524] {
            for provider in [&Gemini::new() as &dyn Provider, &OpenAi::new(), &Anthropic::new()] {
                assert!(judged(provider, status, "<html>").may_have_been_done(), "{status}");
            }
        }
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof, io::ErrorKind::TimedOut] {
            assert!(judge_error(&io::Error::from(kind)).may_have_been_done(), "{kind}");
        }
        assert!(judge_error(&io::Error::other("who knows")).may_have_been_done());
    }
}
