//! Reads Google's error envelope, `{"error": {code, message, status, details: [ErrorInfo, QuotaFailure, …]}}`.
//!
//! Details come in any order and may lack their `@type`, so they are known by their members. The interactions API
//! puts a word where the code is: `{"error": {"code": "quota_exceeded", …}}`.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::Value;

use super::{
    Answer,
    complaint::{Complaint, Hit, Mark, looks_secret, model_name},
    envelope::{Envelope, unwrapped},
    google_quota::{self, Beside},
};
use crate::verdict::retry_after;

/// Details beyond this many are not read.
const MOST_DETAILS: usize = 32;

/// Waits that no minute's quota asks for, and a day's may.
const OF_A_DAY: RangeInclusive<Duration> = Duration::from_secs(600)..=Duration::from_secs(26 * 3_600);

/// Our word for an error that came in a list.
pub(super) const LISTED: &str = "LISTED";

/// Our word for a quota of what is kept.
pub(super) const STORAGE: &str = "STORAGE_QUOTA";

/// Our word for a quota of what a model looks up.
pub(super) const SEARCHES: &str = "SEARCH_QUOTA";

/// Its word for an API that a project has not switched on, where a sentence alone says so.
const UNUSED_API: &str = "SERVICE_DISABLED";

/// Our word for an API that only the tools of some requests need, beside what is said of it.
pub(super) const TOOLS_API: &str = "TOOLS_API";

/// How the names of those begin.
const TOOLS: [&str; 10] = [
    "discovery engine ",
    "vertex ai search ",
    "cloud storage ",
    "google cloud storage ",
    "bigquery ",
    "places api ",
    "google maps ",
    "maps grounding ",
    "custom search ",
    "google drive ",
];

/// What it calls a limit that was met. The older ones are of its form with `errors`.
const LIMITS: [Mark; 11] = [
    Mark::Is("RATE_LIMIT_EXCEEDED"),
    Mark::Is("RESOURCE_QUOTA_EXCEEDED"),
    Mark::Is("dailyLimitExceeded"),
    Mark::Is("rateLimitExceeded"),
    Mark::Is("userRateLimitExceeded"),
    Mark::Is("quotaExceeded"),
    Mark::Is("concurrentLimitExceeded"),
    Mark::Is("limitExceeded"),
    Mark::Is("servingLimitExceeded"),
    Mark::Is("variableTermLimitExceeded"),
    Mark::Is("variableTermExpiredDailyExceeded"),
];

/// Whether the error is one of Google's, whoever was asked: it names its status twice, as a number and as gRPC does.
pub(super) fn is_its(envelope: &Envelope<'_>) -> bool {
    let Some(error) = envelope.error() else { return false };
    let word = error.get("status").and_then(Value::as_str);
    let status = word.and_then(|word| STATUS_OF.iter().find(|(known, _)| *known == word));
    status.is_some_and(|(known, _)| known.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        && error.get("code").is_some_and(Value::is_u64)
}

/// The same in its older form, without gRPC's word: `{"error": {"code": 403, "errors": [{"domain": "youtube.quota", "reason":
/// "quotaExceeded"}]}}`.
pub(super) fn is_its_older(envelope: &Envelope<'_>) -> bool {
    let Some(error) = envelope.error().filter(|error| error.get("code").is_some_and(Value::is_u64)) else {
        return false;
    };
    let mut listed = members(error.get("errors"));
    listed.any(|one| ["domain", "reason"].iter().all(|name| one.get(name).is_some_and(Value::is_string)))
}

/// Reads an error; `status` is taken from inside where the outer one was good.
pub(super) fn read(envelope: &Envelope<'_>, answer: &Answer<'_>) -> Complaint {
    let mut said = Complaint::of(answer, Some(envelope));
    let Some(error) = envelope.error() else {
        said.tell(envelope.message());
        said.wait_at_least(said.wait_in_text());
        if said.status == 429 {
            said.wait_at_least(google_quota::delay_in_text(envelope.message()));
        }
        note_unused_api(&mut said);
        note_quota(&mut said, &[], envelope.message());
        return said;
    };
    let within = within(error);
    let error = within.as_ref().unwrap_or(error);
    let details: Vec<&Value> = members(error.get("details")).collect();
    // Google's older form has its reasons under `errors`.
    let older = members(error.get("errors"));
    for reason in details.iter().copied().chain(older).filter_map(|detail| detail.get("reason")?.as_str()) {
        said.say(reason);
    }
    // The word of the interactions API, or what gRPC calls the status.
    for word in ["code", "status", "type"] {
        if let Some(word) = error.get(word).and_then(Value::as_str) {
            said.say(word);
        }
    }
    if envelope.listed {
        said.say(LISTED);
    }
    if answer.status.is_success() {
        said.status = inner_status(error).unwrap_or(500);
    }
    // It names a limit under another status: so does its older form, and some of its APIs.
    if matches!(said.status, 400 | 403) && LIMITS.iter().any(|limit| said.bears(limit)) {
        said.status = 429;
    }
    // Servers that stand between have the whole of it in a member of their own.
    let told = ["message", "detail"].iter().find_map(|name| error.get(name)?.as_str());
    let message = error.as_str().or(told).unwrap_or_else(|| envelope.message());
    said.tell(message);
    said.wait_at_least(said.wait_in_text());
    if said.status == 429 {
        said.wait_at_least(google_quota::delay_in_text(message));
    }
    let delays =
        details.iter().filter_map(|detail| delay(detail.get("retryDelay").or_else(|| detail.get("retry_delay"))?));
    said.wait_at_least(delays.max());
    // Code Assist's stands there, and nowhere else perhaps.
    let resets = details.iter().filter_map(|detail| delay(detail.get("metadata")?.get("quotaResetDelay")?));
    said.wait_at_least(resets.max());
    note_unused_api(&mut said);
    note_quota(&mut said, &details, message);
    said.news.consumer = details.iter().find_map(|detail| consumer(detail.get("metadata")?.get("consumer")?.as_str()?));
    said
}

/// `Generative Language API has not been used in project 123 before or it is disabled. …`, of whichever API it is. No name of one
/// has anything but letters in it.
fn note_unused_api(said: &mut Complaint) {
    let plain = |name: &str| name.len() <= 60 && name.chars().all(|c| c.is_alphanumeric() || " -()".contains(c));
    let named = |name: &str| plain(name) && name.contains(" api");
    let unused = said.own().split_once(" has not been used in project ").is_some_and(|(name, _)| named(name));
    if unused && said.status == 403 {
        said.say(UNUSED_API);
    }
    if TOOLS.iter().any(|tool| said.own().starts_with(tool)) {
        said.say(TOOLS_API);
    }
}

/// Which quota it names, where a limit was met.
fn note_quota(said: &mut Complaint, details: &[&Value], message: &str) {
    if !said.is_of_limits() {
        return;
    }
    let quota = google_quota::read(details, message);
    match quota.beside.filter(|_| quota.hit.is_none()) {
        Some(Beside::Searches) => said.say(SEARCHES),
        Some(Beside::Storage) => said.say(STORAGE),
        None => said.hit = quota.hit.or_else(|| google_quota::hit_of(said)),
    }
    // A metric alone names no window (`generate_content_free_tier_requests`): one that is full for that long is a day's.
    let unnamed = quota.hit == Some(Hit::Short) && quota.decisive.is_none();
    if unnamed && said.wait.is_some_and(|wait| OF_A_DAY.contains(&wait)) {
        said.hit = Some(Hit::Day);
    }
    said.news.violations = quota.violations;
    said.news.decisive = quota.decisive;
    said.news.tier = quota.tier;
    said.news.quota_model = quota.model.as_deref().and_then(model_name);
}

/// The error that another one has as its whole message, of the same code: so do official clients make their exceptions, and
/// gateways that are built on them send these on, as text or as what it was.
fn within(error: &Value) -> Option<Value> {
    let message = error.get("message")?;
    let parsed =
        |text: &str| text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok()).flatten();
    let inner = unwrapped(message.as_str().map_or_else(|| Some(message.clone()), parsed)?);
    let inner = inner.get("error")?;
    let same = inner.get("code")?.as_u64()? == error.get("code")?.as_u64()?;
    same.then(|| inner.clone())
}

/// What a list holds; a lone object stands for a list of itself.
fn members(list: Option<&Value>) -> impl Iterator<Item = &Value> + Clone {
    let (many, one) = match list {
        Some(Value::Array(many)) => (many.as_slice(), None),
        Some(one @ Value::Object(_)) => (&[][..], Some(one)),
        _ => (&[][..], None),
    };
    many.iter().chain(one).take(MOST_DETAILS)
}

/// The project that was charged, `projects/123` or `projects/my-project`; never what else a consumer may be
/// (`api_key:…`).
fn consumer(text: &str) -> Option<String> {
    let project = text.strip_prefix("projects/")?;
    let number = project.len() <= 20 && project.bytes().all(|byte| byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
    // Ids have 6 to 30 characters; those of a domain (`example.com:my-project`) have its name in front.
    let bare = project.rsplit(':').next()?;
    let id = (6..=30).contains(&bare.len()) && project.len() <= 64 && project.bytes().all(plain);
    (!project.is_empty() && (number || id) && !looks_secret(project)).then(|| text.to_owned())
}

/// A protobuf duration, as JSON has it (`"51s"`) or member by member; what stands between may have made it a number.
fn delay(value: &Value) -> Option<Duration> {
    match value {
        Value::String(text) => retry_after::duration(text),
        Value::Number(number) => retry_after::duration(&format!("{number}s")),
        Value::Object(members) => {
            let seconds = members.get("seconds")?;
            let seconds = seconds.as_u64().or_else(|| seconds.as_str()?.parse().ok())?;
            Some(Duration::from_secs(seconds).min(retry_after::LONGEST))
        }
        _ => None,
    }
}

/// The HTTP status that an error inside a good answer stands for.
fn inner_status(error: &Value) -> Option<u16> {
    let code = error.get("code");
    let number = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    if let Some(status) = number.and_then(|number| u16::try_from(number).ok()).filter(|n| (400..600).contains(n)) {
        return Some(status);
    }
    let word = error.get("status").or(code)?.as_str()?;
    STATUS_OF.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, status)| *status)
}

/// The HTTP status of gRPC's names and of the interactions API's words.
const STATUS_OF: &[(&str, u16)] = &[
    ("INVALID_ARGUMENT", 400),
    ("invalid_request", 400),
    ("FAILED_PRECONDITION", 400),
    ("OUT_OF_RANGE", 400),
    ("UNAUTHENTICATED", 401),
    ("authentication", 401),
    ("PERMISSION_DENIED", 403),
    ("NOT_FOUND", 404),
    ("model_not_found", 404),
    ("ABORTED", 409),
    ("ALREADY_EXISTS", 409),
    ("RESOURCE_EXHAUSTED", 429),
    ("rate_limit_exceeded", 429),
    ("quota_exceeded", 429),
    ("CANCELLED", 499),
    ("INTERNAL", 500),
    ("UNKNOWN", 500),
    ("DATA_LOSS", 500),
    ("UNIMPLEMENTED", 501),
    ("UNAVAILABLE", 503),
    ("overloaded", 503),
    ("DEADLINE_EXCEEDED", 504),
    // The words of the interactions API for the same: behind, since names are found by status. Why nothing is generated.
    ("safety", 400),
    ("recitation", 400),
    ("language", 400),
    ("prohibited_content", 400),
    ("spii", 400),
    ("blocklist", 400),
    ("content_blocked", 400),
    ("image_safety", 400),
    ("image_prohibited_content", 400),
    ("image_recitation", 400),
    ("image_other", 400),
    ("parameter_unknown", 400),
    ("payment_required", 402),
    ("too_many_requests", 429),
    ("service_unavailable", 503),
];

/// What gRPC calls a status; for errors that this side makes.
pub(super) fn status_name(status: u16) -> &'static str {
    match status {
        // Two statuses of the same number: the common one.
        400 => "INVALID_ARGUMENT",
        500 => "INTERNAL",
        502 => "UNAVAILABLE",
        413 => "OUT_OF_RANGE",
        other => STATUS_OF.iter().find(|(_, status)| *status == other).map_or("UNKNOWN", |(name, _)| name),
    }
}
