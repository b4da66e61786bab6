//! Google's Gemini API.

pub(super) mod asked;
mod gives;
pub(super) mod left;
mod limited;
mod limits;
pub(super) mod money;
mod path;
pub(super) mod quotas;
pub(super) mod rules;

use std::{borrow::Cow, time::Duration};

use http::{StatusCode, header, request::Parts};
use serde_json::json;

use self::gives::Gives;
use super::{
    Answer, Asks, Base, InvalidBase, Provider, Retarget, Seen, UsageFormat,
    by_status::{BY_STATUS, EDGE, PAGES, REDIRECTS},
    complaint::Complaint,
    credentials::{self, X_GOOG_API_KEY, bearer},
    envelope::Envelope,
    google_rpc, google_status,
    rule::decide,
    target::set_path_and_query,
};
use crate::{
    key::{InvalidSecret, Secret, Tier},
    limit::Limits,
    time::whole_seconds,
    verdict::Verdict,
};

/// Google's Gemini API: the native paths of every version, uploads, and the OpenAI-compatible paths under
/// `/v1beta/openai`.
///
/// The key travels as `x-goog-api-key`, and as `Authorization: Bearer` on the OpenAI-compatible paths, which take
/// nothing else. It is an opaque string: `AIza…`, `AQ.…` and whatever comes next.
///
/// ```
/// use http::{Method, Request};
/// use tower_keypool::{Gemini, ModelIn, Provider};
///
/// let gemini = Gemini::new();
/// let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent?alt=sse&key=of-the-caller");
/// let (mut head, ()) = request.body(())?.into_parts();
/// assert_eq!(gemini.asks(&head).model, ModelIn::Head("gemini-2.5-flash".into()));
///
/// gemini.strip(&mut head);
/// gemini.inject(&mut head, &gemini.prepare("AIza-not-a-real-key-000")?)?;
/// assert_eq!(head.uri, "/v1beta/models/gemini-2.5-flash:generateContent?alt=sse");
/// assert_eq!(head.headers["x-goog-api-key"], "AIza-not-a-real-key-000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Answers are judged by what Google names: the reason, the quota, its span. Sentences are only read where nothing
/// else tells. Days end at midnight in Los Angeles.
///
/// ```
/// use std::time::SystemTime;
/// use http::{HeaderMap, StatusCode};
/// use tower_keypool::{Answer, Gemini, Provider, Until, VerdictKind};
///
/// let body = br#"{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded.", "details": [
///     {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "20"}]},
///     {"retryDelay": "51s"}]}}"#;
/// let headers = HeaderMap::new();
/// let answer = Answer::new(StatusCode::TOO_MANY_REQUESTS, &headers, body, SystemTime::UNIX_EPOCH);
/// let verdict = Gemini::new().judge(&answer);
/// assert_eq!(verdict.kind(), VerdictKind::QuotaExhausted);
/// assert_eq!(verdict.until_of(), Until::DayEnd); // the 51 s are not believed
/// ```
#[derive(Clone, Debug)]
pub struct Gemini {
    base: Base,
    limits: bool,
}

impl Gemini {
    /// When the table of known limits was last looked at, as year and month.
    pub const KNOWN_LIMITS_AS_OF: &'static str = limits::AS_OF;

    /// Known limits by model (or how models' names begin) and tier: what a pool assumes where it is asked to
    /// ([`known_limits`](crate::KeyPoolBuilder::known_limits)), and nothing is given or learned.
    pub fn known_limits_table() -> impl Iterator<Item = (&'static str, Tier, Limits)> {
        limits::table()
    }

    /// The API at `https://generativelanguage.googleapis.com`.
    pub fn new() -> Self {
        Self::with(Base::parse("https://generativelanguage.googleapis.com").expect("a constant that is tested"))
    }

    /// The API somewhere else: a simulator, a proxy, a regional host.
    ///
    /// # Errors
    /// [`InvalidBase`] when `url` is no `http(s)://host[:port][/path]`.
    pub fn at(url: &str) -> Result<Self, InvalidBase> {
        Base::parse(url).map(Self::with)
    }

    fn with(base: Base) -> Self {
        Self { base, limits: true }
    }

    /// Assumes no limits for keys that name a tier but no limits.
    #[must_use]
    pub fn without_known_limits(mut self) -> Self {
        self.limits = false;
        self
    }
}

impl Default for Gemini {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the days of its quotas end.
pub(super) const ZONE: &str = "America/Los_Angeles";

/// What an answer of Google's means.
pub(super) fn judge(answer: &Answer<'_>) -> Verdict {
    if answer.status.is_success() || answer.status.is_informational() {
        return match Envelope::open_good(answer.body, answer.event) {
            Some(envelope) => decide(
                &[rules::RULES, money::MONEY, quotas::QUOTAS, asked::ASKED, left::LEFT, BY_STATUS],
                google_rpc::read(&envelope, answer),
                answer,
            ),
            None if limited::says(answer.body) => decide(&[limited::RULES], Complaint::of(answer, None), answer),
            None => Verdict::SUCCESS.status(answer.status),
        };
    }
    let mut envelope = Envelope::open(answer.body);
    if envelope.json.is_none()
        && let Some(error) = google_status::read(answer.body)
    {
        envelope = Envelope::of(error);
    }
    judge_opened(&envelope, answer)
}

/// The same of one whose status is that of an error, and that was opened already.
pub(super) fn judge_opened(envelope: &Envelope<'_>, answer: &Answer<'_>) -> Verdict {
    let said = google_rpc::read(envelope, answer);
    decide(
        &[REDIRECTS, EDGE, PAGES, rules::RULES, money::MONEY, quotas::QUOTAS, asked::ASKED, left::LEFT, BY_STATUS],
        said,
        answer,
    )
}

/// Whether a path is that of what is cached.
fn is_of_cache(path: &str) -> bool {
    path.trim_end_matches('/').ends_with("/cachedContents")
}

/// Goes to this path, with the query that it has.
fn redirect(head: &mut Parts, mut target: String) -> Retarget {
    if let Some(query) = head.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    if set_path_and_query(&mut head.uri, target) { Retarget::Done } else { Retarget::No }
}

impl Provider for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn base(&self) -> &Base {
        &self.base
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        Secret::new(key)
    }

    fn strip(&self, head: &mut Parts) {
        credentials::strip(head, None);
    }

    fn inject(&self, head: &mut Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        if path::is_compat(head.uri.path(), self.base.path()) {
            let value = bearer(key).ok_or("the key makes no header")?;
            head.headers.insert(header::AUTHORIZATION, value);
        } else {
            head.headers.insert(X_GOOG_API_KEY, key.header_value().clone());
        }
        Ok(())
    }

    fn rekey(&self, head: &mut Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        if path::is_compat(head.uri.path(), self.base.path()) {
            self.strip(head);
            return self.inject(head, key);
        }
        credentials::rekey(head, &X_GOOG_API_KEY, key.header_value(), None);
        Ok(())
    }

    fn rekey_seen(&self, head: &mut Parts, key: &Secret, seen: Seen) -> Result<(), Cow<'static, str>> {
        let compat = path::is_compat(head.uri.path(), self.base.path());
        if !compat && credentials::put(head, &X_GOOG_API_KEY, key.header_value(), seen) {
            return Ok(());
        }
        self.rekey(head, key)
    }

    fn asks<'a>(&self, head: &'a Parts) -> Asks<'a> {
        path::asks(&head.method, head.uri.path(), self.base.path())
    }

    fn lane<'a>(&self, model: &'a str) -> &'a str {
        let bare = model.strip_prefix("models/").unwrap_or(model);
        // As clients of the OpenAI-compatible paths write it.
        bare.strip_prefix("google/").or_else(|| bare.strip_prefix("gemini/")).unwrap_or(bare)
    }

    fn ignores_case(&self) -> bool {
        true
    }

    fn stands_in(&self, model: &str, asked: &str) -> bool {
        Gives::of(self.lane(model)).instead_of(Gives::of(self.lane(asked)))
    }

    fn retarget(&self, head: &mut Parts, model: &str) -> Retarget {
        let path = head.uri.path();
        if let Some(target) = path::retargeted(path, model) {
            return redirect(head, target);
        }
        // A cache is made for one model and of no use to another; vectors of two models cannot be compared.
        let in_body = self.asks(head).model == super::ModelIn::Body;
        let bound = is_of_cache(path) || path.ends_with("/embeddings");
        if in_body && !bound { Retarget::InBody } else { Retarget::No }
    }

    fn resolve(&self, head: &mut Parts, model: &str) -> Retarget {
        if let Some(target) = path::resolved(head.uri.path(), model) {
            return redirect(head, target);
        }
        match self.asks(head).model {
            // A bare name is none to it.
            super::ModelIn::Body if is_of_cache(head.uri.path()) && !model.contains('/') => {
                Retarget::InBodyBehind("models/")
            }
            super::ModelIn::Body => Retarget::InBody,
            _ => Retarget::No,
        }
    }

    fn judge(&self, answer: &Answer<'_>) -> Verdict {
        judge(answer)
    }

    fn alarm(&self) -> Option<&'static str> {
        Some(limited::WORD)
    }

    fn usage(&self) -> UsageFormat {
        UsageFormat::Gemini
    }

    fn zone(&self) -> &'static str {
        ZONE
    }

    fn known_limits(&self, model: &str, tier: &Tier) -> Option<Limits> {
        self.limits.then(|| limits::known(self.lane(model), tier)).flatten()
    }

    fn error_body(&self, status: StatusCode, message: &str, retry_after: Option<Duration>) -> String {
        let mut error = json!({
            "code": status.as_u16(),
            "message": message,
            "status": google_rpc::status_name(status.as_u16()),
        });
        if let Some(after) = retry_after {
            error["details"] = json!([{
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": format!("{}s", whole_seconds(after)),
            }]);
        }
        json!({ "error": error }).to_string()
    }
}

#[cfg(test)]
mod tests;
