//! The quotas that an error of Google names, in `QuotaFailure`, in the older `ErrorInfo`, or in the lines of its
//! message.

use std::time::Duration;

use serde_json::Value;

use crate::limit::{Limit, Span, Unit};

/// The quotas that an error names.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Quotas {
    /// The limits of which unit, span and amount are known.
    pub(super) limits: Vec<Limit>,
    /// Whether a limit is 0: the project may not use the model at all.
    pub(super) zero: bool,
    /// Whether a daily quota is violated.
    pub(super) day: bool,
    /// Whether only quotas that do not belong to the model are used up: searches, storage.
    pub(super) beside: bool,
    /// Whether a quota of the model is used up.
    of_model: bool,
}

/// Maximum number of violations that are read.
const MAX: usize = 16;

/// Reads the quotas of an error. `details` are the items of `error.details`, in any order and possibly without their
/// `@type`.
pub(super) fn read(details: &[&Value], message: &str) -> Quotas {
    let mut quotas = Quotas::default();
    let mut lines: Vec<Line<'_>> = message.lines().filter_map(Line::read).take(MAX).collect();
    let all_zero = !lines.is_empty() && lines.iter().all(|line| line.limit == Some(0));
    let mut named = 0;
    for violation in details.iter().flat_map(|detail| violations(detail)).take(MAX) {
        let text = |name: &str| violation.get(name).and_then(Value::as_str);
        let id = ["quotaId", "quota_id", "quota_limit", "description"].into_iter().find_map(text).unwrap_or_default();
        let metric = text("quotaMetric").or_else(|| text("quota_metric")).unwrap_or_default();
        let value = ["quotaValue", "quota_value", "quota_limit_value"].iter().find_map(|name| violation.get(*name));
        // The n-th violation of a metric belongs to the n-th line of that metric. Protobuf's JSON omits a value of 0.
        let line = lines.iter().position(|line| !metric.is_empty() && line.metric == metric).map(|at| lines.remove(at));
        let limit = value.and_then(amount).or(line.and_then(|line| line.limit)).or(all_zero.then_some(0));
        quotas.add(id, metric, limit);
        named += 1;
    }
    if named == 0 {
        for line in lines {
            quotas.add("", line.metric, line.limit);
        }
    }
    quotas
}

/// Returns the objects of a detail that name quotas: its list of violations, or, if a gateway rewrote it, the detail
/// itself or its metadata.
fn violations(detail: &Value) -> Vec<&Value> {
    let listed = detail.get("violations").and_then(Value::as_array).into_iter().flatten();
    let names_one = |one: &&Value| ["quotaId", "quota_id", "quota_limit"].iter().any(|name| one.get(name).is_some());
    listed.chain([Some(detail), detail.get("metadata")].into_iter().flatten().filter(names_one)).take(MAX).collect()
}

impl Quotas {
    fn add(&mut self, id: &str, metric: &str, limit: Option<u64>) {
        let name = format!("{id} {metric}").to_ascii_lowercase();
        if name.contains("grounding") || name.contains("storage") {
            self.beside |= !self.of_model;
            return;
        }
        let span = span(id).or_else(|| span(metric));
        (self.beside, self.of_model) = (false, true);
        self.zero |= limit == Some(0);
        self.day |= span == Some(Span::Day);
        if let (Some(unit), Some(span), Some(amount)) = (unit(id).or_else(|| unit(metric)), span, limit) {
            let limit = Limit { unit, span, amount };
            if !self.limits.contains(&limit) {
                self.limits.push(limit);
            }
        }
    }
}

/// Parses the time span of a quota's name, such as `GenerateRequestsPerDayPer…` or `…_per_day`.
fn span(name: &str) -> Option<Span> {
    let name = name.to_ascii_lowercase().replace(['_', ' '], "");
    let sliding = |secs| Some(Span::Sliding(Duration::from_secs(secs)));
    match () {
        () if name.contains("perday") || name.contains("daily") => Some(Span::Day),
        () if name.contains("perminute") => Some(Span::MINUTE),
        () if name.contains("perhour") => sliding(3_600),
        () if name.contains("persecond") => sliding(1),
        () => None,
    }
}

/// Parses the unit of a quota's name: the last unit before the first "per". `CountTokensRequestsPerDay…` counts
/// requests. A limit of images is not learned, since one request may be for several.
fn unit(name: &str) -> Option<Unit> {
    let counted = name.split("Per").next().and_then(|name| name.split("_per_").next())?.to_ascii_lowercase();
    let plain = counted.replace('_', "");
    let tokens = match () {
        () if plain.contains("inputtoken") => Unit::InputTokens,
        () if plain.contains("outputtoken") => Unit::OutputTokens,
        () => Unit::Tokens,
    };
    let words = [("token", tokens), ("request", Unit::Requests)];
    words.into_iter().filter_map(|(word, unit)| Some((plain.rfind(word)?, unit))).max().map(|(_, unit)| unit)
}

/// Reads an int64 of Protobuf's JSON: a string, or also a number.
fn amount(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A line of the message: `* Quota exceeded for metric: …, limit: 20, model: …`
struct Line<'a> {
    metric: &'a str,
    limit: Option<u64>,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (before, rest) = line.split_once("exceeded for metric: ")?;
        let field = |name: &str| rest.split_once(name)?.1.split([',', ' ']).next();
        (!before.contains(['\'', '"'])).then_some(Self {
            metric: rest.split([',', ' ']).next()?,
            limit: field("limit: ").and_then(|limit| limit.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unit_and_span_are_read_from_the_quotas_name() {
        for (name, expected) in [
            ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", Some((Unit::Requests, Span::Day))),
            ("GenerateRequestsPerMinutePerProjectPerModel", Some((Unit::Requests, Span::MINUTE))),
            ("GenerateContentInputTokensPerModelPerMinute-FreeTier", Some((Unit::InputTokens, Span::MINUTE))),
            ("GenerateContentPaidTierInputTokensPerModelPerMinute-PaidTier2", Some((Unit::InputTokens, Span::MINUTE))),
            ("EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier", Some((Unit::Requests, Span::Day))),
            ("CountTokensRequestsPerMinutePerProject", Some((Unit::Requests, Span::MINUTE))),
            ("predict_requests_per_model_per_day", Some((Unit::Requests, Span::Day))),
            ("PredictImagesPerDay", None),
            ("generate_content_free_tier_requests", None),
            ("", None),
        ] {
            assert_eq!(unit(name).zip(span(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_limit_of_zero_is_read_from_the_message() {
        let metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests";
        let failure = json!({"violations": [{"quotaMetric": metric, "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
            "quotaDimensions": {"model": "gemini-3.1-pro"}}]});
        let zero =
            read(&[&failure], &format!("* Quota exceeded for metric: {metric}, limit: 0, model: gemini-3.1-pro"));
        assert!(zero.zero && zero.day);
        assert_eq!(zero.limits, [Limit { unit: Unit::Requests, span: Span::Day, amount: 0 }]);
        let twenty =
            read(&[&failure], &format!("* Quota exceeded for metric: {metric}, limit: 20, model: gemini-3.1-pro"));
        assert!(!twenty.zero && twenty.limits[0].amount == 20);
        assert!(!read(&[&failure], "").zero, "nothing indicates a limit of 0");
    }

    #[test]
    fn searches_and_storage_do_not_belong_to_the_model() {
        let violation = |id: &str| json!({"violations": [{"quotaId": id}]});
        let search = violation("SearchGroundingRequestsPerDayPerProject-FreeTier");
        let minute = violation("GenerateRequestsPerMinutePerProjectPerModel");
        let alone = read(&[&search], "");
        assert!(alone.beside && !alone.day && alone.limits.is_empty());
        for details in [[&search, &minute], [&minute, &search]] {
            let both = read(&details, "");
            assert!(!both.beside && both.of_model);
        }
    }
}
