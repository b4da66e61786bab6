//! Reads an error of the `OpenAI` family: `{"error": {message, type, param, code}}`, where a code may be a word, a
//! number in quotes (Azure) or a number (`OpenRouter`), and the error may be a bare string.

use std::{borrow::Cow, time::Duration};

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::rates;
use crate::{
    limit::{Span, Unit},
    provider::{
        Answer,
        complaint::{Complaint, Hit, Mark},
        envelope::{Envelope, is_reason},
        error_words, google_quota, long_quota, rate_headers,
        wording::stands,
    },
    verdict::{Violation, retry_after},
};

/// Our word for an error that a proxy had of its own provider and tells in its own name.
pub(super) const PASSED_ON: &str = "UPSTREAM_REFUSED";

/// Our word for what another provider said, whom this one asked for it.
pub(super) const RELAYED: &str = "RELAYED";
/// Vercel's gateway tells what the provider behind it said to it. Our word, since theirs is no single word.
pub(super) const CALLED: &str = "BEHIND_A_GATEWAY";

/// Our word for a sentence that speaks of a rate, where no word of the provider's own does.
pub(super) const RATE: &str = "RATE";

/// Our word for tokens a minute that are called money: what else this says is told apart by where it links to alone.
pub(super) const TOKEN_LIMIT: &str = "TOKEN_LIMIT";

/// Our word for a request that alone is more than all of the limit that it met.
pub(super) const MORE_THAN_ALL: &str = "MORE_THAN_ALL";

/// Our word for what a proxy lets a key spend on one model.
pub(super) const MODEL_BUDGET: &str = "MODEL_BUDGET";

/// Our word for a refusal that names an option of streams.
pub(super) const OF_AN_OPTION: &str = "STREAM_OPTIONS";

/// Our word for a sentence that refuses a model.
pub(super) const MODEL_REFUSED: &str = "MODEL_REFUSED";

/// Our word for a refusal that names a parameter of the request, other than its model.
pub(super) const OF_A_PARAMETER: &str = "PARAMETER";

/// Reads an error.
pub(super) fn read(envelope: &Envelope<'_>, answer: &Answer<'_>) -> Complaint {
    let mut said = Complaint::of(answer, Some(envelope));
    let remaining = rates::read(answer.headers, || answer.now);
    let outer = envelope.json.as_ref();
    let message = match envelope.error() {
        Some(error) => read_members(error, envelope, answer, &mut said),
        None => envelope.message(),
    };
    said.tell(&decoded(undressed(message)));
    note_passed_on(&mut said);
    note_option(&mut said);
    note_refused_model(&mut said);
    note_limit(&mut said);
    note_model_budget(&mut said);
    let told = envelope.error().map(|error| ToldWait::of(error, outer, answer)).unwrap_or_default();
    said.hit = told.account.filter(|_| !is_of_models(&said, answer.asked)).map(|_| Hit::Account);
    // In this order: the headers that are made for it, the error's own words, what the rate headers leave to infer.
    said.wait = said
        .wait
        .or(told.account)
        .or(told.members.filter(|_| said.is_of_waiting()))
        .or_else(|| said.wait_in_text())
        .or_else(|| rate_headers::restored(&remaining));
    if said.hit.is_none() && (said.wait.is_none() || told.account.is_some()) {
        said.hit = long_quota::hit_of(&said);
    }
    said.wait = said.wait.or_else(|| said.wait_for_a_moment());
    hear_limits(&mut said);
    said.news.remaining = remaining;
    said
}

/// Says the words that an error's members hold, and the status where that stands there alone. Its sentence.
fn read_members<'e>(
    error: &'e Value,
    envelope: &'e Envelope<'_>,
    answer: &Answer<'_>,
    said: &mut Complaint,
) -> &'e str {
    let outer = envelope.json.as_ref();
    say_words(error, said);
    if answer.status.is_success() {
        said.status = error_words::status_of(error, outer, super::GOOD).unwrap_or(500);
    }
    let message = sentence_of(error, outer, said.status).unwrap_or_else(|| envelope.message());
    // Some have their word where the sentence is. Of a request's form nobody knows whose word that would be.
    if matches!(said.status, 401..=403 | 429) && message.contains('_') {
        said.say(message);
    }
    // LiteLLM writes `None` where there is none.
    let parameter = error.get("param").and_then(Value::as_str);
    if said.status == 403 && parameter.is_some_and(|named| !["", "None", "model"].contains(&named)) {
        said.say(OF_A_PARAMETER);
    }
    if error.get("type").and_then(Value::as_str) == Some("AI_APICallError") {
        said.say(CALLED);
    }
    if let Some(metadata) = error.get("metadata") {
        read_metadata(metadata, said);
    }
    message
}

/// Says every word that stands where somebody has one.
fn say_words(error: &Value, said: &mut Complaint) {
    let inner = error.get("innererror").and_then(|inner| inner.get("code"));
    // Of servers that are made with FastAPI (DeepInfra's, Chutes').
    let within = |name: &str| error.get("detail").and_then(|detail| detail.get(name));
    let words = [error.get("code"), error.get("status_code"), inner, error.get("type"), error.get("reason")];
    for word in words.into_iter().chain([within("code"), within("error")]).flatten() {
        match word {
            Value::String(word) => said.say(word),
            Value::Number(number) => said.say(&number.to_string()),
            _ => {}
        }
    }
    // watsonx' have their word there.
    if let Some(word) = first_of_many(error).and_then(|first| first.get("code")?.as_str()) {
        said.say(word);
    }
}

/// What an error says in a sentence, wherever it stands.
fn sentence_of<'e>(error: &'e Value, outer: Option<&'e Value>, status: u16) -> Option<&'e str> {
    let lone = Some(error).filter(|error| !error.as_str().is_some_and(|text| is_reason(text, status)));
    let named = ["message", "detail", "status_msg", "Message", "msg"].map(|name| error.get(name));
    let within = |name: &str| error.get("detail").and_then(|detail| detail.get(name));
    let detail = within("message").or_else(|| within("error"));
    let outer = outer.and_then(|outer| outer.get("message"));
    // What is behind the first of Cloudflare's is told with it.
    let first = first_of_many(error);
    let behind = first.and_then(|first| first.get("error_chain")?.get(0)?.get("message"));
    let first = behind.or_else(|| first?.get("message"));
    let told = [lone].into_iter().chain(named).chain([detail, outer, first, Some(error)]);
    told.flatten().find_map(Value::as_str)
}

/// Cloudflare's and watsonx' errors are a list.
fn first_of_many(error: &Value) -> Option<&Value> {
    error.get("errors")?.get(0)
}

/// What a router says of the provider behind it.
fn read_metadata(metadata: &Value, said: &mut Complaint) {
    // What the one behind it said tells whose fault it was, whatever status that has here.
    if said.status == 400
        && let Some(status) = relayed_status(metadata)
    {
        said.status = status;
    }
    // OpenRouter's word for whose limit it was.
    if let Some(source) = metadata.get("limit_source").and_then(Value::as_str) {
        said.say(source);
    }
    if metadata.get("provider_name").and_then(Value::as_str).is_some() {
        said.say(RELAYED);
    }
}

/// How long an error's members say to wait.
#[derive(Default)]
struct ToldWait {
    /// Until an account's own limit begins anew, as `OpenRouter` tells it.
    account: Option<Duration>,
    members: Option<Duration>,
}

impl ToldWait {
    fn of(error: &Value, outer: Option<&Value>, answer: &Answer<'_>) -> Self {
        let metadata = error.get("metadata");
        let mut members = [metadata, Some(error), outer].into_iter().flatten();
        let account = || {
            let reset = metadata?.get("headers")?.get("X-RateLimit-Reset")?;
            retry_after::reset(&reset.as_str().map_or_else(|| reset.to_string(), str::to_owned), answer.now)
        };
        Self {
            account: account(),
            members: members.find_map(retry_after::in_members).or_else(|| reset_in_members(error, answer)),
        }
    }
}

/// Notes whether a refusal speaks of an option of streams.
fn note_option(said: &mut Complaint) {
    if said.status == 403 && ["stream_options", "include_usage"].iter().any(|name| said.message().contains(name)) {
        said.say(OF_AN_OPTION);
    }
}

/// Notes what a limit is of, where a sentence alone says it.
fn note_limit(said: &mut Complaint) {
    if said.status != 429 {
        return;
    }
    if said.own().contains("#token-limit") {
        said.say(TOKEN_LIMIT);
    }
    // The later sentences advertise plans.
    let says_rate = said.own().split(". ").next().is_some_and(|first| first.contains("rate limit"));
    if says_rate || long_quota::is_of_a_minute(said) {
        said.say(RATE);
    }
}

/// Notes whether a budget that is over is that of a key, or of its user, for one model (`LiteLLM`): for others it serves on. In
/// Anthropic's form its word for that is lost; at a 429 the sentence is the proxy's own all the same.
pub(in crate::provider) fn note_model_budget(said: &mut Complaint) {
    let whose = ["litellm virtual key: ", "litellm user: "].iter().any(|whose| said.own().starts_with(whose));
    let told = || said.status == 429 && said.own().contains(", exceeded budget for model=");
    if whose && (said.bears(&Mark::Is("budget_exceeded")) || told()) {
        said.say(MODEL_BUDGET);
    }
}

/// Notes whether there is nothing of a limit at all, or less than what was asked alone, where a sentence has both figures.
pub(in crate::provider) fn note_asked(said: &mut Complaint) {
    match asked(said.own()).filter(|_| said.is_of_limits()) {
        // No limit, but no entitlement.
        Some((0, _)) => said.hit = Some(Hit::Zero),
        Some((limit, requested)) if requested > limit => said.say(MORE_THAN_ALL),
        _ => {}
    }
}

/// Takes the limit that a sentence names as news.
fn hear_limits(said: &mut Complaint) {
    if !said.is_of_limits() {
        return;
    }
    note_asked(said);
    let violation = violation(said.message());
    if violation.is_some_and(|violation| violation.amount == Some(0)) {
        said.hit = Some(Hit::Zero);
    }
    let violation = violation.filter(|violation| violation.amount != Some(0));
    said.news.violations.extend(violation);
    // The account's own limit is another one than the model's.
    said.news.decisive = violation.filter(|_| said.hit.is_none());
}

/// Whether a limit that `OpenRouter` names is one of some models, which says nothing of the account's others: of its free ones
/// (`free-models-per-day`), or of one (`limit_rpm/a/model/…`, `High demand for a/model`).
fn is_of_models(said: &Complaint, asked: Option<&str>) -> bool {
    let names = |asked: &str| !asked.is_empty() && said.message().contains(&asked.to_lowercase());
    said.word_for(&Mark::IsLike("free_tier")).is_some()
        || ["free-models-per-", "limit_rpm/", "limit_rpd/", "per-model"].iter().any(|word| said.own().contains(word))
        || asked.is_some_and(names)
}

/// The status of an error that another provider had, as this one tells it in `raw`, where it was none of the caller's.
fn relayed_status(metadata: &Value) -> Option<u16> {
    let raw: Value = serde_json::from_str(metadata.get("raw")?.as_str()?).ok()?;
    let status = error_words::status_of(raw.get("error")?, Some(&raw), super::GOOD)?;
    (status == 429 || status >= 500).then_some(status)
}

/// When a subscription begins anew, where an error tells no more than that.
fn reset_in_members(error: &Value, answer: &Answer<'_>) -> Option<Duration> {
    let told = ["resets_at", "reset_at"].iter().find_map(|name| error.get(name))?;
    let told = told.as_str().map_or_else(|| told.to_string(), str::to_owned);
    retry_after::reset(&told, answer.now).filter(|wait| !wait.is_zero())
}

/// The sentence of `{'error': '…'}`, as `LiteLLM` tells some of its own.
fn undressed(message: &str) -> &str {
    message.strip_prefix("{'error': '").and_then(|rest| rest.strip_suffix("'}")).unwrap_or(message)
}

/// A sentence whose blanks are percent-encoded, as xAI has some, as it was before.
fn decoded(message: &str) -> Cow<'_, str> {
    let encoded = message.contains("%20") && !message.contains(' ');
    if encoded { percent_decode_str(message).decode_utf8_lossy() } else { Cow::Borrowed(message) }
}

/// Notes whether a proxy or a relay tells what its own provider told it.
pub(in crate::provider) fn note_passed_on(said: &mut Complaint) {
    // one-api's and new-api's for what came of their channel, and how sub2api begins of it.
    let relayed = || {
        let words = [Mark::Is("upstream_error"), Mark::Is("bad_response_status_code")];
        said.message().starts_with("upstream ") || words.iter().any(|word| said.bears(word))
    };
    let refused = matches!(said.status, 400..=403 | 429);
    // Google's, as its own libraries tell it, by a server that is built on them.
    let googles =
        || said.status == 429 && said.message().contains("googleapis.com/") && google_quota::names_one(said.message());
    if is_passed_on(said.message()) || refused && relayed() || googles() {
        said.say(PASSED_ON);
        if said.status == 429 {
            said.wait_at_least(google_quota::delay_in_text(said.message()));
        }
    }
}

/// Notes whether a refusal speaks of a model and of who may have it: `This token has no access to model x`. That takes blame from
/// the key, so that it may stand anywhere in the first sentence.
pub(in crate::provider) fn note_refused_model(said: &mut Complaint) {
    const MAY: [&str; 7] = ["access", "allowed", "available", "permission", "subscription", " plan", "upgrade"];
    let speaks = |first: &str| stands(first, "model") && MAY.iter().any(|word| first.contains(word));
    if matches!(said.status, 401 | 403) && said.own().split(". ").next().is_some_and(speaks) {
        said.say(MODEL_REFUSED);
    }
}

/// `litellm.RateLimitError: RateLimitError: OpenAIException - …`: whose exception it is, before what that one said.
fn is_passed_on(message: &str) -> bool {
    let before = message.strip_prefix("litellm.").and_then(|rest| Some(rest.split_once(" - ")?.0));
    let word = |word: &str| word.trim_end_matches(':').ends_with("error") || word.ends_with("exception");
    before.is_some_and(|before| before.contains("exception") && before.split_whitespace().all(word))
}

/// `… on tokens per min (TPM): limit 30000, …`, in lower case.
///
/// A limit of a day is left out: it is a leaky bucket here (a request every 8.64 s), never a calendar's day, and would
/// be learned as one.
fn violation(message: &str) -> Option<Violation> {
    let (before, after) = message.split_once(" per ")?;
    let unit = match before.rsplit(' ').next()? {
        "requests" => Unit::Requests,
        "tokens" => Unit::Tokens,
        "images" => Unit::Images,
        _ => return None,
    };
    let span = match after.split(|c: char| !c.is_ascii_alphabetic()).next()? {
        "min" | "minute" => Span::MINUTE,
        "sec" | "second" => Span::Sliding(Duration::from_secs(1)),
        "hour" => Span::Sliding(Duration::from_secs(3_600)),
        _ => return None,
    };
    let limit = after.split_once("limit")?.1.trim_start_matches([':', ' ']);
    let amount = limit.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Violation { unit, span, amount: Some(amount) })
}

/// `… limit 7000, used 0, requested ~12903. …`, in lower case: how much there is, and how much was asked.
fn asked(message: &str) -> Option<(u64, u64)> {
    let leading = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok();
    let (before, requested) = message.split_once(", requested ")?;
    let (_, limit) = before.rsplit_once("limit ")?;
    let (limit, used) = limit.split_once(", used ").unwrap_or((limit, "0"));
    leading(used)?;
    Some((limit.parse().ok()?, leading(requested.trim_start_matches('~'))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_in_sentences() {
        let minute = |unit, amount| Some(Violation { unit, span: Span::MINUTE, amount: Some(amount) });
        for (text, expected) in [
            (
                "rate limit reached for x in organization o on tokens per min (tpm): limit 30000, used 1",
                minute(Unit::Tokens, 30_000),
            ),
            ("rate limit reached on requests per min (rpm): limit 3, used 3", minute(Unit::Requests, 3)),
            ("rate limit reached on images per minute: limit: 5/1min", minute(Unit::Images, 5)),
            ("on requests per day (rpd): limit 10000", None),
            ("on tokens per min", None),
            ("two dogs per min: limit 3", None),
            ("limit per ", None),
            ("", None),
        ] {
            assert_eq!(violation(text), expected, "{text}");
        }
    }

    #[test]
    fn what_was_asked_of_a_limit() {
        for (text, expected) in [
            ("on tokens per minute (tpm): limit 7000, used 0, requested ~12903. please", Some((7_000, 12_903))),
            ("on tokens per day (tpd): limit 100000, used 99870, requested 1341. please", Some((100_000, 1_341))),
            ("on tokens per min (tpm): limit 30000, requested 45000. the input", Some((30_000, 45_000))),
            ("in organization o: limit 0, used 0, requested 1.", Some((0, 1))),
            ("limit: 0/1min. current: 1/1min", None),
            ("limit 9 of 10, requested 3", None),
            ("limit 9, used some, requested 3", None),
            ("limit, requested 3", None),
            ("limit 9, requested more", None),
            ("", None),
        ] {
            assert_eq!(asked(text), expected, "{text}");
        }
    }
}
