//! Refusals of ours, in the shape that the asking client understands.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use keypool_dialect::{Caller, Fault, Kind, anthropic::Anthropic, openai::OpenAi};
use serde_json::json;

/// Which API's clients send such a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error": {"code", "message", "status"}}`
    Gemini,
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}}`
    Anthropic,
}

/// A request that goes no further, and why.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    status: StatusCode,
    message: &'static str,
}

/// Official clients of other APIs than Gemini's ask again by it, or do not.
pub(super) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A client that is told to come back after so many seconds may sleep for them.
const SLEEP: u64 = 60;

/// Where it is to come back later than in a minute the client says so to whoever asked, and does not sleep: `OpenAI`'s and
/// Anthropic's take any time, up to hours, for a pause between two tries.
pub(super) fn veto_a_long_sleep(headers: &mut HeaderMap) {
    let after = headers.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse::<u64>().ok());
    if after.is_some_and(|after| after > SLEEP) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
}

/// Why an answer is the gateway's own and not the provider's: travels on it as an extension.
#[derive(Clone, Debug)]
pub(super) struct Because(pub(super) Cow<'static, str>);

impl Refusal {
    /// With this status and message. The message holds nothing of the request.
    pub const fn new(status: StatusCode, message: &'static str) -> Self {
        Self { status, message }
    }

    /// What must be known to go on is kept where nobody answers.
    pub(super) const UNREACHABLE: Self =
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the database cannot be reached: try again in a moment");

    /// What it says.
    pub(super) const fn message(self) -> &'static str {
        self.message
    }

    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        self.status
    }
}

impl Dialect {
    /// The answer that says it.
    pub fn answer(self, refusal: Refusal) -> Response<Full<Bytes>> {
        self.say(refusal, None)
    }

    /// The same, and after how many seconds to ask again.
    pub(super) fn answer_until(self, refusal: Refusal, after: u64) -> Response<Full<Bytes>> {
        let mut response = self.say(refusal, Some(after));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after));
        self.veto_a_long_sleep(response.headers_mut());
        response
    }

    /// Nobody sleeps for hours: see [`veto_a_long_sleep`].
    pub(super) fn veto_a_long_sleep(self, headers: &mut HeaderMap) {
        if self.caller().is_some() {
            veto_a_long_sleep(headers);
        }
    }

    fn say(self, refusal: Refusal, after: Option<u64>) -> Response<Full<Bytes>> {
        let Refusal { status, message } = refusal;
        let mut response = Response::new(Full::from(self.body(status, message, after)));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        response.extensions_mut().insert(Because(message.into()));
        response
    }
}

impl Dialect {
    /// The answer for a path of this dialect that cannot be had here.
    pub(super) fn nowhere(self, path: &str) -> Response<Full<Bytes>> {
        if path.contains("/responses/resp_") {
            return self.missing(
                Kind::NotFound,
                "no such response is known here: one is remembered for an hour, by the process that answered, unless it was \
                 not to be kept (`store: false`)",
            );
        }
        self.not_found(
            "this path is not translated: chat completions, completions, responses, embeddings, images/generations and edits, \
             audio, messages and models are",
        )
    }

    /// The same where no provider here speaks this dialect, nor one that it is translated to.
    pub(super) fn foreign(self) -> Response<Full<Bytes>> {
        self.not_found(
            "no provider here speaks this API: the gateway's own speaks another one ([gateway] provider), and calls are \
             translated for Gemini's alone",
        )
    }

    /// The same for a path that the provider has, too, where only the credential made it another's.
    pub(super) fn mistaken(self) -> Response<Full<Bytes>> {
        self.not_found(
            "this path is not translated, and such a credential makes it a call of another API than the provider's: for \
             the provider's own send the token in x-goog-api-key, or put /gemini in front of its own path (as in \
             /gemini/v1beta/files)",
        )
    }

    /// The answer to a tenant where nobody would know whose what it asks for is.
    pub(super) fn nobodys(self) -> Response<Full<Bytes>> {
        self.not_found(
            "tenants have calls that name a model and leave nothing behind at this provider, and its models: whose files, \
             batches and the like are there nobody knows, so that they are for whoever has the gateway's one token",
        )
    }

    /// The answer to a WebSocket that is asked of a provider beside the gateway's own.
    pub(super) fn socketless(self) -> Response<Full<Bytes>> {
        self.not_found("WebSockets are carried to the gateway's own provider alone ([gateway] provider)")
    }

    /// The answer where a path names a provider that is not there.
    pub(super) fn unnamed(self) -> Response<Full<Bytes>> {
        self.not_found(
            "no provider is called so here: behind /to/ stands the name of one of [[providers]]; the gateway's own needs \
             none, so leave /to/NAME out for it",
        )
    }

    fn not_found(self, why: &'static str) -> Response<Full<Bytes>> {
        self.missing(Kind::NotSupported, why)
    }

    fn missing(self, kind: Kind, why: &'static str) -> Response<Full<Bytes>> {
        let mut response = self.answer(Refusal::new(StatusCode::NOT_FOUND, why));
        if let Some(caller) = self.caller() {
            *response.body_mut() = Full::from(caller.refused(&Fault::new(kind, why)).body);
        }
        response
    }

    /// A body that says it, and after how many seconds to ask again where the dialect has a place for that: `OpenAI`'s and
    /// Anthropic's clients go by the header alone.
    pub(super) fn body(self, status: StatusCode, message: &str, after: Option<u64>) -> Bytes {
        if let Some(caller) = self.caller() {
            return caller.refused(&Fault::of_status(status, message)).body;
        }
        let mut error = json!({ "code": status.as_u16(), "message": message, "status": google_status(status) });
        if let Some(after) = after {
            error["details"] =
                json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{after}s") }]);
        }
        json!({ "error": error }).to_string().into()
    }

    /// What is known of it; the provider's own needs no translation.
    pub(super) fn caller(self) -> Option<&'static dyn Caller> {
        match self {
            Self::Gemini => None,
            Self::OpenAi => Some(&OpenAi),
            Self::Anthropic => Some(&Anthropic),
        }
    }
}

fn google_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
        StatusCode::FORBIDDEN => "PERMISSION_DENIED",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => "UNIMPLEMENTED",
        StatusCode::BAD_GATEWAY | StatusCode::INTERNAL_SERVER_ERROR => "INTERNAL",
        StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        StatusCode::TOO_MANY_REQUESTS => "RESOURCE_EXHAUSTED",
        _ => "INVALID_ARGUMENT",
    }
}
