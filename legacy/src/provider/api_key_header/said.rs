//! Reads an error of an API that is known for nothing but its keys: the members that most have for words and sentences.

use std::time::Duration;

use serde_json::Value;

use crate::{
    limit::Unit,
    provider::{
        Answer, aws,
        complaint::{Complaint, Hit},
        envelope::{Envelope, is_reason},
        long_quota,
        rate_headers::{self, Axis},
    },
    verdict::retry_after,
};

/// Members that hold a word.
const WORDS: [&str; 10] =
    ["code", "status", "type", "err_code", "error_type", "error_code", "error-type", "tag", "name", "title"];
/// Members that hold a sentence.
const SENTENCES: [&str; 15] = [
    "message",
    "Message",
    "detail",
    "error",
    "err_msg",
    "error_message",
    "status_message",
    "Error Message",
    "errorMessage",
    "error_description",
    "description",
    "details",
    "faultstring",
    "Error",
    "msg",
];
/// Our word for a refusal of more than what is left.
pub(super) const SOME_LEFT: &str = "SOME_LEFT";
/// Our word for a refusal that names a parameter of the request, as Google's older form has it.
pub(super) const OF_A_PARAMETER: &str = "OF_A_PARAMETER";

/// Reads an error.
pub(super) fn read(envelope: &Envelope<'_>, answer: &Answer<'_>) -> Complaint {
    let mut said = Complaint::of(answer, Some(envelope));
    let error = envelope.error();
    let detail = error.and_then(|error| error.get("detail"));
    // Brave's documentation has a list.
    let listed = error.and_then(|error| error.get("errors")?.get(0));
    // Exa's word stands beside its sentence.
    let beside = envelope.json.as_ref().filter(|_| error.is_some_and(Value::is_string));
    // CoinMarketCap's and CoinGecko's sentence stands there.
    let status = error.and_then(|error| error.get("status")).filter(|status| status.is_object());
    // Apigee's.
    let fault = error.and_then(|error| error.get("fault"));
    let members: Vec<&Value> = [error, detail, listed, beside, status, fault].into_iter().flatten().collect();
    for word in members.iter().flat_map(|of| WORDS.iter().filter_map(|name| of.get(name)?.as_str())) {
        said.say(word);
    }
    aws::say(&mut said, envelope, answer);
    // What asks to wait may stand anywhere.
    said.tell(&envelope.text);
    let wait_in_text = said.wait_in_text();
    let sentence = || members.iter().find_map(|of| SENTENCES.iter().find_map(|name| of.get(name)?.as_str()));
    let lone = error.and_then(Value::as_str).filter(|text| !is_reason(text, said.status));
    if let Some(sentence) = lone.or_else(sentence) {
        said.tell(sentence);
    }
    if listed.and_then(|one| one.get("locationType")).is_some_and(|kind| kind == "parameter") {
        said.say(OF_A_PARAMETER);
    }
    if has_some_left(&envelope.text) {
        said.say(SOME_LEFT);
    }
    let told = || {
        // Telegram's stands among parameters.
        let outer = [envelope.json.as_ref(), envelope.json.as_ref().and_then(|json| json.get("parameters"))];
        members.iter().copied().chain(outer.into_iter().flatten()).find_map(retry_after::in_members)
    };
    let in_members = if said.is_of_waiting() { told() } else { None };
    said.wait = said.wait.or(in_members).or(wait_in_text).or_else(|| said.wait_in_text());
    // A limit of some usage is of nobody knows what time.
    let of_a_day = ["day", "daily"].iter().any(|word| said.own().contains(word));
    let hit = long_quota::hit_of(&said).filter(|hit| *hit != Hit::Day || of_a_day);
    said.wait = said.wait.or_else(|| restored(answer, hit.is_some()));
    said.hit = hit;
    said.wait = said.wait.or_else(|| said.wait_for_a_moment());
    said
}

/// When what has run out is restored, as the usual headers tell it; `planned`: it is what a plan has for a day or a month.
fn restored(answer: &Answer<'_>, planned: bool) -> Option<Duration> {
    const fn axis(limit: &'static str, remaining: &'static str, reset: &'static str) -> Axis {
        Axis { unit: Unit::Requests, limit, remaining, reset }
    }
    const AXES: &[Axis] = &[
        axis("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
        axis("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
    ];
    // RapidAPI's, which tells them with each answer, over which some plans go on.
    const PLANS: &[Axis] =
        &[axis("x-ratelimit-requests-limit", "x-ratelimit-requests-remaining", "x-ratelimit-requests-reset")];
    let of_limits = matches!(answer.status.as_u16(), 403 | 429);
    let read = |axes| rate_headers::restored(&rate_headers::read(axes, answer.headers, || answer.now));
    let usual = of_limits.then(|| read(AXES)).flatten();
    usual.or_else(|| planned.then(|| read(PLANS)).flatten())
}

/// Of a text that is longer: `You have 11 characters remaining, while 70 characters are required for this request.`
fn has_some_left(text: &str) -> bool {
    let left = text.split_once(" remaining, while ").and_then(|(before, _)| before.rsplit_once("You have "));
    let number = left.and_then(|(_, left)| left.split(' ').next()?.parse::<u64>().ok());
    number.is_some_and(|number| number > 0)
}
