//! What is said over a socket of its key: the reason of a closing frame is judged as the message of an error would be, and a
//! message that is an error as an event of a stream.

use http::{HeaderMap, StatusCode};
use memchr::memmem;
use serde_json::{Value, json};
use tower_keypool::{Answer, KeyPool, Lease, Scope, Until, Verdict, VerdictKind};

use super::frames::{POLICY, Said};

/// How reasons begin that speak of a limit: in the provider's words, before any that a caller may have chosen.
const LIMITS: [&str; 5] = [
    "You exceeded your current quota",
    "Resource has been exhausted",
    "Resource exhausted",
    "Quota exceeded",
    "RESOURCE_EXHAUSTED",
];

/// The statuses with which an answer may say the same, and Google's words for them.
const LIMITED: (StatusCode, &str) = (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED");
const INVALID: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT");
const FORBIDDEN: (StatusCode, &str) = (StatusCode::FORBIDDEN, "PERMISSION_DENIED");
const NOT_FOUND: (StatusCode, &str) = (StatusCode::NOT_FOUND, "NOT_FOUND");

/// Messages that may tell of an error of the session's own, by their `type`; Gemini's have none. Others tell of a part of it: of a
/// tool, of what was to be written down.
const ERRORS: [&str; 3] = ["error", "response.done", "response.failed"];
/// No error is longer, in bytes.
const LONGEST: usize = 64 << 10;

/// An answer that says what a closing frame said.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) body: String,
    pub(super) verdict: Verdict,
}

/// What was closed with, in the body of such an answer.
pub(super) const CLOSED: &str = "closed";

/// Who judges what is said over one socket.
pub(super) struct Judge {
    pub(super) pool: KeyPool,
    pub(super) model: Option<String>,
    /// It was opened with a token of the provider's own: what is refused is that, and of a key nothing is said but its limits.
    pub(super) by_token: bool,
}

impl Judge {
    /// The answer that says the same as a closing frame, where the provider's rules then speak of a limit, or blame the key, whose it
    /// is, or the way out. A reason that is not clear blames nobody.
    pub(super) fn refused(&self, code: u16, reason: &str) -> Option<Refused> {
        if limits(undressed(reason)) {
            return Some(self.said(code, reason, LIMITED));
        }
        let tried = match code {
            _ if self.by_token => return None,
            _ if !self.is_of_google() && words(reason).is_some() => return self.by_words(code, reason),
            POLICY => [FORBIDDEN, NOT_FOUND, INVALID],
            _ => [INVALID, FORBIDDEN, NOT_FOUND],
        };
        let mut said = tried.into_iter().map(|as_status| self.said(code, reason, as_status));
        said.find(|said| blames(&said.verdict))
    }

    /// Holds against the key, its owner or the way out what is said of them.
    pub(super) fn hears(&self, said: &Said, lease: &Lease) {
        let verdict = match said {
            Said::Close(code, reason) => self.refused(*code, reason).map(|said| said.verdict),
            Said::Data(text) => self.errs(text),
            Said::Ping(_) | Said::Long(_) | Said::Broken(_) => None,
        };
        if let Some(verdict) = verdict {
            lease.judge(&verdict);
        }
    }

    /// The verdict on a message that is an error, where it blames as a closing frame would.
    fn errs(&self, text: &[u8]) -> Option<Verdict> {
        // Within a text quotes are escaped: nearly every message ends here.
        if text.len() > LONGEST || memmem::find(text, b"\"error\"").is_none() {
            return None;
        }
        let message: Value = serde_json::from_slice(text).ok()?;
        let is_own = match message.get("type") {
            None => message.get("error").is_some(),
            Some(kind) => kind.as_str().is_some_and(|kind| ERRORS.contains(&kind)),
        };
        let verdict = is_own.then(|| self.judged(StatusCode::OK, text, true))?;
        let holds = is_of_limits(&verdict) || (blames(&verdict) && !self.by_token);
        holds.then_some(verdict)
    }

    fn is_of_google(&self) -> bool {
        self.pool.provider().name() == "gemini"
    }

    fn said(&self, code: u16, reason: &str, (status, word): (StatusCode, &str)) -> Refused {
        let body = |message: &str| {
            let mut error = json!({ "code": status.as_u16(), "message": message, CLOSED: code });
            if self.is_of_google() {
                error["status"] = word.into();
            }
            json!({ "error": error }).to_string()
        };
        let verdict = self.judged(status, body(undressed(reason)).as_bytes(), false);
        Refused { status, body: body(reason), verdict }
    }

    /// By the words for an error that a reason consists of.
    fn by_words(&self, code: u16, reason: &str) -> Option<Refused> {
        let (kind, word) = words(reason)?;
        let error = json!({ "type": kind, "code": word, "message": reason, CLOSED: code });
        let body = json!({ "type": "error", "error": error }).to_string();
        let verdict = self.judged(StatusCode::OK, body.as_bytes(), true);
        blames(&verdict).then_some(Refused { status: FORBIDDEN.0, body, verdict })
    }

    fn judged(&self, status: StatusCode, body: &[u8], event: bool) -> Verdict {
        let headers = HeaderMap::new();
        let answer = Answer::new(status, &headers, body, self.pool.clock().wall()).asked(self.model.as_deref());
        self.pool.provider().judge(&if event { answer.event() } else { answer })
    }
}

/// What a reason says behind where it is found in the provider's logs, and what its servers call it (`Request trace id: 6efe366d692c029f,
/// [ORIGINAL ERROR] generic::resource_exhausted: …`): that is no word for the caller.
fn undressed(reason: &str) -> &str {
    let traced = reason.strip_prefix("Request trace id: ").and_then(|rest| Some(rest.split_once(", ")?.1));
    let reason = traced.unwrap_or(reason);
    let original = reason.strip_prefix("[ORIGINAL ERROR] ").and_then(|rest| Some(rest.split_once(": ")?.1));
    original.unwrap_or(reason)
}

/// The type and the code of an error, as `OpenAI` closes with (`invalid_request_error.invalid_api_key`), or a code alone, as `DashScope` does.
fn words(reason: &str) -> Option<(&str, &str)> {
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let (kind, word) = reason.split_once('.').unwrap_or(("", reason));
    (is_word(kind) && is_word(word) && !word.is_empty()).then_some((kind, word))
}

/// Whether it speaks of a limit.
fn limits(reason: &str) -> bool {
    LIMITS.iter().any(|limit| reason.starts_with(limit))
}

fn is_of_limits(verdict: &Verdict) -> bool {
    matches!(verdict.kind(), VerdictKind::RateLimited | VerdictKind::QuotaExhausted) && lasts(verdict)
}

fn blames(verdict: &Verdict) -> bool {
    verdict.is_named() && lasts(verdict)
}

/// Whether it is held against more than this session.
fn lasts(verdict: &Verdict) -> bool {
    verdict.until_of() != Until::Now && !matches!(verdict.scope_of(), Scope::Caller | Scope::Lane)
}

#[cfg(test)]
mod tests;
