//! Reads an error of an API that is known for nothing but its keys: the members that most have for words and sentences.

use std::time::Duration;

use serde_json::Value;

use crate::{
    limit::Unit,
    provider::{
        Answer, aws,
        complaint::Complaint,
        envelope::Envelope,
        long_quota,
        rate_headers::{self, Axis},
    },
};

/// Reads an error.
pub(super) fn read(envelope: &Envelope<'_>, answer: &Answer<'_>) -> Complaint {
    let mut said = Complaint::of(answer, Some(envelope));
    let error = envelope.error();
    let detail = error.and_then(|error| error.get("detail"));
    // Brave's documentation has a list.
    let listed = error.and_then(|error| error.get("errors")?.get(0));
    let members: Vec<&Value> = [error, detail, listed].into_iter().flatten().collect();
    for of in &members {
        for word in ["code", "status", "type"].iter().filter_map(|name| of.get(name)?.as_str()) {
            said.say(word);
        }
    }
    aws::say(&mut said, envelope, answer);
    // What asks to wait may stand in a member of any name.
    said.tell(&envelope.text);
    let wait_in_text = said.wait_in_text();
    let names = ["message", "detail", "error"];
    let sentence = || members.iter().find_map(|of| names.iter().find_map(|name| of.get(name)?.as_str()));
    if let Some(sentence) = error.and_then(Value::as_str).or_else(sentence) {
        said.tell(sentence);
    }
    said.wait = said.wait.or(wait_in_text).or_else(|| restored(answer));
    said.hit = long_quota::hit_of(&said);
    said
}

/// When what has run out is restored, as the usual headers tell it.
fn restored(answer: &Answer<'_>) -> Option<Duration> {
    const fn axis(limit: &'static str, remaining: &'static str, reset: &'static str) -> Axis {
        Axis { unit: Unit::Requests, limit, remaining, reset }
    }
    const AXES: &[Axis] = &[
        axis("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
        axis("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
        // RapidAPI's, of its plans.
        axis("x-ratelimit-requests-limit", "x-ratelimit-requests-remaining", "x-ratelimit-requests-reset"),
    ];
    let of_limits = matches!(answer.status.as_u16(), 403 | 429);
    of_limits.then(|| rate_headers::restored(&rate_headers::read(AXES, answer.headers, || answer.now))).flatten()
}
