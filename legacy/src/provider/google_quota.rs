//! Reads which quota a Google 429 names: what it counts, over which time, and how many it allows.
//!
//! Three forms are known: `QuotaFailure` with a `quotaId` such as
//! `GenerateRequestsPerDayPerProjectPerModel-FreeTier`; the older `ErrorInfo` with `metadata.quota_limit`; and lines
//! of the message, `* Quota exceeded for metric: …, limit: 20, model: …`. A limit of zero is left out of the first
//! (JSON of proto3 omits zeros) and stands in the message alone.

use std::time::Duration;

use serde_json::Value;

use super::{
    complaint::{Complaint, Hit},
    wording::stands,
};
use crate::{
    key::Tier,
    limit::{Span, Unit},
    verdict::{Violation, retry_after},
};

/// Violations beyond this many are not read.
const MOST: usize = 16;

/// Said of a model that is for whoever pays, mostly without details.
const NO_FREE_TIER: &str = "doesn't have a free quota tier";

/// The quota that was hit.
#[derive(Debug, Default)]
pub(super) struct Quota {
    pub(super) hit: Option<Hit>,
    pub(super) violations: Vec<Violation>,
    /// The one that made the hit what it is.
    pub(super) decisive: Option<Violation>,
    pub(super) model: Option<String>,
    /// What the account pays.
    pub(super) tier: Option<Tier>,
    /// One of something beside the model is out, which itself answers as before.
    pub(super) beside: Option<Beside>,
}

/// What has quotas of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// What a model looks up (`SearchGroundingRequestsPerDay…`).
    Searches,
    /// What is kept (`FileStorageBytesPerProject`).
    Storage,
}

impl Beside {
    fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match () {
            () if name.contains("grounding") => Some(Self::Searches),
            () if name.contains("storage") => Some(Self::Storage),
            () => None,
        }
    }
}

/// A limit that a line of the message names.
struct Line<'a> {
    metric: &'a str,
    limit: Option<u64>,
    model: Option<&'a str>,
    taken: bool,
}

/// Reads details and message together.
pub(super) fn read(details: &[&Value], message: &str) -> Quota {
    let mut lines = lines(message);
    // The quotas beside it are those of another one that is not.
    let none = message.contains(NO_FREE_TIER);
    let all_zero = none || (!lines.is_empty() && lines.iter().all(|line| line.limit == Some(0)));
    let mut quota = Quota::default();
    for failure in details.iter().copied().flat_map(failures).take(MOST) {
        let member = |name: &str, plain: &str| failure.get(name).or_else(|| failure.get(plain));
        let text = |name, plain| member(name, plain).and_then(Value::as_str).unwrap_or("");
        let (id, metric) = (text("quotaId", "quota_id"), text("quotaMetric", "quota_metric"));
        // The n-th failure of a metric is the n-th line of that metric.
        let line = lines.iter_mut().find(|line| !line.taken && !line.metric.is_empty() && line.metric == metric);
        let stated = match line {
            Some(line) => {
                line.taken = true;
                line.limit
            }
            None => all_zero.then_some(0),
        };
        quota.add(id, metric, amount(member("quotaValue", "quota_value")).or(stated));
        let model =
            member("quotaDimensions", "quota_dimensions").and_then(|dimensions| dimensions.get("model")?.as_str());
        quota.model = quota.model.or_else(|| model.filter(|_| !none).map(str::to_owned));
    }
    let older = details.iter().filter_map(|detail| detail.get("metadata"));
    for metadata in older.filter(|metadata| metadata.get("quota_limit").is_some()).take(MOST) {
        let text = |name| metadata.get(name).and_then(Value::as_str).unwrap_or("");
        quota.add(text("quota_limit"), text("quota_metric"), amount(metadata.get("quota_limit_value")));
    }
    // A text in which an error was wrapped has the ids behind the lines, which name no window.
    if quota.hit.is_none() && quota.beside.is_none() {
        let found: Vec<&str> = ids(message).take(MOST).collect();
        let stated = match lines.as_slice() {
            [line] if found.len() == 1 => line.limit,
            _ => all_zero.then_some(0),
        };
        for id in found {
            quota.add(id, "", stated);
        }
    }
    let only_lines = quota.hit.is_none();
    for line in &lines {
        if only_lines {
            quota.add("", line.metric, line.limit);
        }
        quota.model = quota.model.or_else(|| line.model.map(str::to_owned));
    }
    quota
}

/// The names of a quota's id: who hands Google's errors on may write members as they are named in the protocol.
const IDS: [&str; 2] = ["quotaId", "quota_id"];

/// Where a detail names quotas: in Google's own list, or, where somebody between wrote it anew, in the detail itself or among
/// what stands beside a reason.
fn failures(detail: &Value) -> impl Iterator<Item = &Value> {
    let names_one = |one: &&Value| IDS.iter().any(|name| one.get(name).is_some_and(Value::is_string));
    let listed = detail.get("violations").and_then(Value::as_array).into_iter().flatten();
    let alone = [Some(detail), detail.get("metadata")].into_iter().flatten().filter(names_one);
    listed.chain(alone)
}

/// How long an error asks to wait that is told as text, whichever way: `"retryDelay": "25s"`, `retry_delay { seconds: 25 }`.
pub(super) fn delay_in_text(text: &str) -> Option<Duration> {
    fn bare(text: &str) -> &str {
        text.trim_start_matches(|c: char| c.is_whitespace() || "\\\"':={".contains(c))
    }
    let text = text.to_ascii_lowercase();
    let (_, rest) = ["retrydelay", "retry_delay"].into_iter().find_map(|name| text.split_once(name))?;
    let rest = bare(rest);
    let rest = rest.strip_prefix("seconds").map_or(rest, bare);
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
    let span = rest[..end].trim_end_matches('.');
    retry_after::duration(span).or_else(|| retry_after::duration(&format!("{span}s")))
}

/// The quotas that a text names in which the error was wrapped, whichever way: JSON behind a preface, in quotes, Python's or
/// gRPC's own form.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    let behind = IDS.into_iter().flat_map(|name| text.split(name).skip(1));
    behind.filter_map(|rest| {
        let rest = rest.trim_start_matches(['\\', '"', '\'', ' ', ':', '=']);
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c))).unwrap_or(rest.len());
        Some(&rest[..end]).filter(|id| (1..=120).contains(&end) && id.contains("Per"))
    })
}

/// Whether a text in lower case names a quota that way.
pub(super) fn names_one(text: &str) -> bool {
    IDS.iter().any(|name| text.contains(&name.to_ascii_lowercase()))
}

/// What the sentence of an answer tells that names no quota.
pub(super) fn hit_of(said: &Complaint) -> Option<Hit> {
    let message = said.message().replace('_', " ");
    // In front of anything that is quoted it is the provider who speaks of a limit.
    let told = said.own().split("''").next().is_some_and(|own| own.contains("quota") || own.contains("limit"));
    let tells = |words: &[&str]| told && words.iter().any(|words| stands(&message, words));
    match () {
        () if said.status != 429 => None,
        () if told && said.own().split("''").next().is_some_and(|own| own.contains(NO_FREE_TIER)) => Some(Hit::Zero),
        () if tells(&["per day", "per-day", "daily", "rpd limit", "(rpd)", "tpd limit", "(tpd)"]) => Some(Hit::Day),
        () if tells(&["per month", "per-month", "monthly"]) => Some(Hit::Month),
        () if tells(&["per hour", "per-hour", "hourly"]) => Some(Hit::Hour),
        () if tells(&["per minute", "per-minute", "rpm limit", "(rpm)", "tpm limit", "(tpm)"]) => Some(Hit::Short),
        () => None,
    }
}

impl Quota {
    fn add(&mut self, id: &str, metric: &str, amount: Option<u64>) {
        self.tier = self.tier.take().or_else(|| tier(id)).or_else(|| tier(metric));
        if let Some(beside) = Beside::of(id).or_else(|| Beside::of(metric)) {
            self.beside = Some(beside);
            return;
        }
        let span = span(id).or_else(|| span(metric));
        let hit = match (amount, span) {
            (Some(0), _) => Hit::Zero,
            (_, Some(Span::Day)) => Hit::Day,
            (_, Some(Span::Sliding(HOUR))) => Hit::Hour,
            (_, Some(_)) => Hit::Short,
            (_, None) => by_name(id).or_else(|| by_name(metric)).unwrap_or(Hit::Short),
        };
        let unit = unit(id).or_else(|| unit(metric));
        let violation = unit.zip(span).map(|(unit, span)| Violation { unit, span, amount });
        // Zero is worse than a day, a day worse than a minute.
        if self.hit < Some(hit) {
            self.hit = Some(hit);
            self.decisive = violation;
        }
        if let Some(violation) = violation.filter(|violation| !self.violations.contains(violation)) {
            self.violations.push(violation);
        }
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// `…-FreeTier`, `…-PaidTier2`, `…_paid_tier_3_…`. A name without one says nothing: of what is paid some have none, and
/// older ones have none for anybody. Where it has no number, or that is one, it is the lowest that is billed.
fn tier(name: &str) -> Option<Tier> {
    let name = name.to_ascii_lowercase().replace('_', "");
    if name.contains("freetier") {
        return Some(Tier::Free);
    }
    // `…PaidTierInputTokens…-PaidTier2`: the last one that has a number.
    let mut paid = None;
    for (at, word) in name.match_indices("paidtier") {
        let level: String = name[at + word.len()..].chars().take_while(char::is_ascii_digit).take(3).collect();
        if !level.is_empty() && level != "1" {
            paid = Some(Tier::Named(format!("tier-{level}")));
        }
        paid.get_or_insert(Tier::Paid);
    }
    paid
}

/// What no window stands for: `…PerMonth…`, `…ConcurrentSessions…`.
fn by_name(name: &str) -> Option<Hit> {
    let name = name.to_ascii_lowercase().replace('_', "");
    match () {
        () if name.contains("permonth") || name.contains("monthly") => Some(Hit::Month),
        () if name.contains("concurrent") => Some(Hit::Sessions),
        () => None,
    }
}

/// `GenerateRequestsPerDayPer…`, `…_per_day`.
fn span(name: &str) -> Option<Span> {
    let name = name.to_ascii_lowercase().replace('_', "");
    let sliding = |seconds| Some(Span::Sliding(Duration::from_secs(seconds)));
    match () {
        () if name.contains("perday") || name.contains("daily") => Some(Span::Day),
        () if name.contains("perminute") => sliding(60),
        () if name.contains("perhour") => sliding(3_600),
        () if name.contains("persecond") => sliding(1),
        () => None,
    }
}

/// `GenerateContentInputTokensPer…`, `…_input_token_count`, `…_requests`: of what stands before the first "per", the last
/// word that counts something decides. `CountTokensRequestsPerDay…` are requests.
fn unit(name: &str) -> Option<Unit> {
    let is_per = |at: &usize| name[at + 3..].starts_with(|next: char| next.is_ascii_uppercase());
    let camel = name.match_indices("Per").map(|(at, _)| at).find(is_per);
    let end = camel.or_else(|| name.find("_per_")).unwrap_or(name.len());
    let name = name[..end].to_ascii_lowercase().replace('_', "");
    let last = |word: &str, unit| name.rfind(word).map(|at| (at, unit));
    let tokens = if name.contains("inputtoken") {
        Unit::InputTokens
    } else if name.contains("outputtoken") {
        Unit::OutputTokens
    } else {
        Unit::Tokens
    };
    let words = [last("token", tokens), last("image", Unit::Images), last("request", Unit::Requests)];
    words.into_iter().flatten().max_by_key(|(at, _)| *at).map(|(_, unit)| unit)
}

/// An int64 as JSON of protobuf has it: a string; also a number.
fn amount(value: Option<&Value>) -> Option<u64> {
    let value = value?;
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// Each `Quota exceeded for metric: …, limit: …, model: …` of a message, as a line of its own: none that is quoted.
fn lines(message: &str) -> Vec<Line<'_>> {
    // A message that quotes something before it speaks of a quota speaks of something else.
    if !message.split(['\'', '"', '`']).next().is_some_and(|own| own.contains("uota") || own.contains("metric: ")) {
        return Vec::new();
    }
    let told = |line: &'_ str| {
        let at = line.find("metric: ")?;
        let before = line[..at].trim_start_matches(['*', ' ']);
        let own = before.is_empty() || (before.ends_with("uota exceeded for ") && !before.contains(['\'', '"', '`']));
        own.then_some(at + "metric: ".len())
    };
    let parts = message.lines().filter_map(|line| Some(&line[told(line)?..])).take(MOST);
    parts
        .map(|part| {
            let field = |name: &str| {
                let rest = &part[part.find(name)? + name.len()..];
                rest.split([',', ' ']).next()
            };
            Line {
                metric: part.split([',', ' ']).next().unwrap_or(""),
                limit: field("limit: ").and_then(|limit| limit.parse().ok()),
                model: field("model: ").map(|model| model.trim_end_matches('.')),
                taken: false,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quotas_are_found_wherever_a_detail_names_them() {
        let id = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
        for detail in [
            json!({"violations": [{"quotaId": id}]}),
            json!({"quotaId": id}),
            json!({"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"quota_id": id}}),
        ] {
            assert_eq!(read(&[&detail], "").hit, Some(Hit::Day), "{detail}");
        }
        for detail in [json!({"quotaMetric": "m/x"}), json!({"quotaId": 1}), json!({"metadata": {"model": "m"}})] {
            assert_eq!(read(&[&detail], "").hit, None, "{detail}");
        }
    }

    #[test]
    fn delays_in_texts() {
        for (text, seconds) in [
            ("\"retryDelay\": \"25s\"", Some(25.0)),
            ("{\\\"retryDelay\\\":\\\"0.5s\\\"}", Some(0.5)),
            ("'retryDelay': '12s'}]}}", Some(12.0)),
            (", retry_delay {\n  seconds: 24\n}\n]", Some(24.0)),
            ("\"retry_delay\":{\"seconds\":9}", Some(9.0)),
            ("retryDelay: 1m30s.", Some(90.0)),
            ("retryDelay", None),
            ("retry_delay { nanos: 5 }", None),
            ("please retry", None),
        ] {
            assert_eq!(delay_in_text(text), seconds.map(Duration::from_secs_f64), "{text}");
        }
    }

    #[test]
    fn the_name_of_a_quota_tells_what_the_account_pays() {
        for (name, pays) in [
            ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", Some(Tier::Free)),
            ("generativelanguage.googleapis.com/generate_content_free_tier_requests", Some(Tier::Free)),
            ("GenerateContentPaidTierInputTokensPerModelPerMinute", Some(Tier::Paid)),
            ("GenerateContentPaidTierInputTokensPerModelPerMinute-PaidTier2", Some(Tier::Named("tier-2".to_owned()))),
            (
                "generativelanguage.googleapis.com/generate_content_paid_tier_2_input_token_count",
                Some(Tier::Named("tier-2".to_owned())),
            ),
            ("GenerateContentPaidTierInputTokensPerModelPerMinute-PaidTier1", Some(Tier::Paid)),
            ("generativelanguage.googleapis.com/generate_content_paid_tier_1_input_token_count", Some(Tier::Paid)),
            (
                "generativelanguage.googleapis.com/generate_content_paid_tier_10_input_token_count",
                Some(Tier::Named("tier-10".to_owned())),
            ),
            ("GenerateRequestsPerDayPerProjectPerModel", None),
        ] {
            assert_eq!(tier(name), pays, "{name}");
        }
    }

    #[test]
    fn the_last_word_before_per_says_what_is_counted() {
        use Unit::{Images, InputTokens, OutputTokens, Requests, Tokens};
        // Ids and metrics that were seen, and their like.
        for (name, counted) in [
            ("GenerateRequestsPerMinutePerProjectPerModel", Requests),
            ("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", Requests),
            ("GenerateRequestsPerDayPerProjectPerModel", Requests),
            ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", Requests),
            ("GenerateContentRequestsPerMinutePerProjectPerRegion", Requests),
            ("GenerateContentInputTokensPerModelPerMinute-FreeTier", InputTokens),
            ("GenerateContentInputTokensPerModelPerDay", InputTokens),
            ("GenerateContentInputTokensPerModelPerDay-FreeTier", InputTokens),
            ("GenerateContentPaidTierInputTokensPerModelPerMinute", InputTokens),
            ("GenerateContentPaidTierInputTokensPerModelPerMinute-PaidTier2", InputTokens),
            ("EmbedContentRequestsPerMinutePerProjectPerModel-FreeTier", Requests),
            ("EmbedContentRequestsPerDayPerProjectPerModel-FreeTier", Requests),
            ("EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier", Requests),
            ("CountTokensRequestsPerDayPerProjectPerModel-FreeTier", Requests),
            ("PredictImagesPerMinutePerProjectPerModel", Images),
            ("GenerateImageRequestsPerDayPerProjectPerModel", Requests),
            ("GenerateContentOutputTokensPerMinutePerRequest", OutputTokens),
            ("generativelanguage.googleapis.com/generate_content_free_tier_requests", Requests),
            ("generativelanguage.googleapis.com/generate_content_free_tier_input_token_count", InputTokens),
            ("generativelanguage.googleapis.com/generate_content_paid_tier_input_token_count", InputTokens),
            ("generativelanguage.googleapis.com/generate_content_paid_tier_2_input_token_count", InputTokens),
            ("generativelanguage.googleapis.com/generate_requests_per_model", Requests),
            ("generativelanguage.googleapis.com/generate_requests_per_model_per_day", Requests),
            ("generativelanguage.googleapis.com/embed_content_free_tier_requests", Requests),
            ("generativelanguage.googleapis.com/count_tokens_requests", Requests),
            ("generate_tokens_per_request", Tokens),
        ] {
            assert_eq!(unit(name), Some(counted), "{name}");
        }
        assert_eq!(unit("PerProjectPerModel-FreeTier"), None);
        assert_eq!(unit("generate_operations"), None);
    }
}
