//! Every recorded sample, against the verdict that it must get.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tower_keypool::{
    Answer, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Span, Unit, Until as U, Verdict, VerdictKind as K,
};

use crate::sample::{Sample, now};

/// What a sample must be judged.
type Row = (&'static str, K, S, U, E, &'static str);

const fn s(seconds: u64) -> U {
    U::For(Duration::from_secs(seconds))
}
const fn ns(nanos: u64) -> U {
    U::For(Duration::from_nanos(nanos))
}
const HOURLY: U = U::Probed(Duration::from_secs(3_600));
const SIX_HOURLY: U = U::Probed(Duration::from_secs(6 * 3_600));

/// Seen and good.
const GOOD: (K, S, U, E) = (K::Success, S::Caller, U::Now, E::No);
/// The caller's, handed up.
const CALLER: (K, S, U, E) = (K::CallerFault, S::Caller, U::Now, E::No);
/// Ours: nothing is held against a key.
const OURS: (K, S, U, E) = (K::Misconfigured, S::Caller, U::Now, E::No);

const fn good(name: &'static str) -> Row {
    fault(name, GOOD, "")
}
const fn fault(name: &'static str, is: (K, S, U, E), advice: &'static str) -> Row {
    (name, is.0, is.1, is.2, is.3, advice)
}

// Sentences of several samples.
const CAPACITY: &str = "The provider has no capacity for this model now: wait, or fall back to another model.";
const REVOKED: &str = "The key does not exist or was revoked: replace it.";
const YOURS: &str = "The request itself is at fault: the answer's body says what to change.";
const ACCOUNT_RATE: &str =
    "The account is at its rate limit for this model: give its keys these limits, or add a key of another account.";
const NO_KEY: &str = "The key does not exist, was deleted or has expired: replace it.";
const COUNTRY: &str =
    "The provider does not serve the country that this machine's address is in: use an exit address elsewhere.";
const TWO_CREDENTIALS: &str = "The request left with more than one credential: let nothing below the key pool add another, and send AQ. keys to native paths only.";
const UNCLEAR_KEY: &str =
    "The key is not accepted, without a clear reason: see whether the key and its service account still exist.";
const NOT_REACHED: &str = "The key did not reach the provider: let nothing below the key pool remove headers.";
const MINUTE: &str = "The project is at its limit per minute for this model: give its keys these limits, or add a key of another project.";
const NO_QUOTA_NAMED: &str =
    "The provider refuses more for now and names no quota: it is tried again at growing intervals.";
const DAY: &str = "The project's quota for the day is used up for this model: it returns at midnight Pacific time; add a key of another project.";
const FAILED_INSIDE: &str =
    "The provider failed inside: it is tried again, and if it goes on, see the provider's status page.";

/// Sample → kind, scope, until, where else, and the plain sentence. A file without a row fails the test.
const EXPECTED: &[Row] = &[
    ("anthropic_200_stream_error_event", K::Overloaded, S::Lane, U::Backoff, E::AfterPause, CAPACITY),
    good("anthropic_200_stream_usage"),
    (
        "anthropic_400_credit_balance_low",
        K::QuotaExhausted,
        S::Owner,
        HOURLY,
        E::OtherKey,
        "The organization's credit is used up: buy credits in the Anthropic console.",
    ),
    (
        "anthropic_400_org_disabled",
        K::Suspended,
        S::Owner,
        U::Lifted,
        E::OtherKey,
        "The organization behind this key was switched off: write to Anthropic's support.",
    ),
    ("anthropic_401_invalid_credentials", K::InvalidKey, S::Key, U::Lifted, E::OtherKey, REVOKED),
    (
        "anthropic_402_billing_error",
        K::QuotaExhausted,
        S::Owner,
        HOURLY,
        E::OtherKey,
        "The organization's budget or credit is used up: raise it or pay in the Anthropic console.",
    ),
    (
        "anthropic_403_permission_error",
        K::InvalidKey,
        S::KeyLane,
        U::Lifted,
        E::OtherKey,
        "This key may not use what was asked for: check its workspace's permissions.",
    ),
    (
        "anthropic_404_not_found",
        K::ModelUnavailable,
        S::Lane,
        U::Now,
        E::OtherModel,
        "No such model: check the model's name.",
    ),
    fault("anthropic_413_request_too_large", CALLER, YOURS),
    (
        "anthropic_429_rate_limit_itpm",
        K::RateLimited,
        S::OwnerLane,
        s(17),
        E::OtherKey,
        "The organization is at its rate limit for this family of models: give its keys these limits, or wait.",
    ),
    ("anthropic_429_rate_limited_server", K::Overloaded, S::Lane, U::Backoff, E::AfterPause, CAPACITY),
    ("anthropic_529_overloaded", K::Overloaded, S::Lane, U::Backoff, E::AfterPause, CAPACITY),
    ("azure_429_token_rate_limit", K::RateLimited, S::OwnerLane, s(86_400), E::OtherKey, ACCOUNT_RATE),
    good("gemini_200_finish_blocklist"),
    good("gemini_200_finish_max_tokens_thinking"),
    good("gemini_200_finish_recitation"),
    good("gemini_200_finish_safety"),
    ("gemini_200_midstream_raw_json_tail", K::Overloaded, S::Lane, U::Backoff, E::AfterPause, CAPACITY),
    good("gemini_200_ok"),
    good("gemini_200_prompt_blocked"),
    good("gemini_200_stream_json_array"),
    good("gemini_200_stream_sse_max_tokens"),
    ("gemini_400_api_key_invalid", K::InvalidKey, S::Key, U::Lifted, E::OtherKey, NO_KEY),
    ("gemini_400_api_key_not_found", K::InvalidKey, S::Key, U::Lifted, E::OtherKey, NO_KEY),
    fault("gemini_400_invalid_argument_generic", CALLER, YOURS),
    fault("gemini_400_invalid_json_field", CALLER, YOURS),
    ("gemini_400_location_not_supported", K::Blocked, S::Exit, U::Backoff, E::No, COUNTRY),
    fault("gemini_400_multiple_credentials", OURS, TWO_CREDENTIALS),
    fault("gemini_400_request_too_many_tokens", CALLER, YOURS),
    ("gemini_401_access_token_type_unsupported", K::InvalidKey, S::Key, U::Lifted, E::OtherKey, UNCLEAR_KEY),
    fault(
        "gemini_401_unauthenticated_api_keys_not_supported",
        OURS,
        "This endpoint takes no API keys: use the Gemini API's own host and paths.",
    ),
    ("gemini_401_unauthenticated_bad_credentials", K::InvalidKey, S::Key, U::Lifted, E::OtherKey, UNCLEAR_KEY),
    (
        "gemini_402_prepay_depleted",
        K::QuotaExhausted,
        S::BillingAccount,
        HOURLY,
        E::OtherKey,
        "The billing account's prepaid credits are used up: add credits in Google AI Studio.",
    ),
    (
        "gemini_403_api_key_http_referrer_blocked",
        K::InvalidKey,
        S::Key,
        U::Lifted,
        E::OtherKey,
        "The key's restrictions forbid this use: allow the Gemini API, and no referrer or app, in the key's settings.",
    ),
    (
        "gemini_403_api_key_ip_address_blocked",
        K::InvalidKey,
        S::Key,
        SIX_HOURLY,
        E::OtherKey,
        "The key is restricted to other IP addresses: add this one to the key's restrictions.",
    ),
    (
        "gemini_403_caller_no_permission",
        K::WrongOwner,
        S::Caller,
        U::Now,
        E::OtherOwner,
        "What was asked for belongs to another project, or this key's account lacks a permission.",
    ),
    (
        "gemini_403_consumer_suspended",
        K::Suspended,
        S::Owner,
        U::Lifted,
        E::OtherKey,
        "The key's project is suspended or gone: see the project in the Google Cloud console, or use another project's key.",
    ),
    (
        "gemini_403_file_other_project",
        K::WrongOwner,
        S::Caller,
        U::Now,
        E::OtherOwner,
        "The file or cache belongs to another project, or does not exist: it is only seen by keys of the project that made it.",
    ),
    (
        "gemini_403_ip_banned_html",
        K::Blocked,
        S::Exit,
        U::Backoff,
        E::No,
        "The provider takes this address for a robot's: slow down, or use another exit address.",
    ),
    (
        "gemini_403_key_reported_leaked",
        K::InvalidKey,
        S::Key,
        U::Lifted,
        E::OtherKey,
        "The key was found in public and is switched off for good: make a new one, and find where it leaked.",
    ),
    (
        "gemini_403_service_disabled",
        K::Suspended,
        S::Owner,
        HOURLY,
        E::OtherKey,
        "The Gemini API is not enabled in the key's project: enable the Generative Language API there.",
    ),
    fault("gemini_403_unregistered_callers", OURS, NOT_REACHED),
    (
        "gemini_404_model_not_found",
        K::ModelUnavailable,
        S::Lane,
        U::Now,
        E::OtherModel,
        "No such model for this API version and method: see the list of models for its exact name.",
    ),
    (
        "gemini_404_model_retired_new_users",
        K::ModelUnavailable,
        S::OwnerLane,
        U::Lifted,
        E::OtherKey,
        "This model is closed to projects that did not use it before: use an older project's key, or another model.",
    ),
    ("gemini_429_embed_rpm_free", K::RateLimited, S::OwnerLane, ns(33_500_000_000), E::OtherKey, MINUTE),
    ("gemini_429_exhausted_no_details", K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey, NO_QUOTA_NAMED),
    (
        "gemini_429_free_tier_limit_zero",
        K::ModelUnavailable,
        S::OwnerLane,
        s(86_400),
        E::OtherKey,
        "The project's tier does not include this model: use a paid project's key, or another model.",
    ),
    ("gemini_429_model_capacity_exhausted", K::Overloaded, S::Lane, U::Backoff, E::AfterPause, CAPACITY),
    ("gemini_429_multi_violation_2_0_flash", K::QuotaExhausted, S::OwnerLane, U::DayEnd, E::OtherKey, DAY),
    ("gemini_429_quota_help_only", K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey, NO_QUOTA_NAMED),
    ("gemini_429_rpd_free", K::QuotaExhausted, S::OwnerLane, U::DayEnd, E::OtherKey, DAY),
    ("gemini_429_rpm_free", K::RateLimited, S::OwnerLane, ns(38_214_563_921), E::OtherKey, MINUTE),
    (
        "gemini_429_spend_rate_limit",
        K::RateLimited,
        S::Owner,
        s(600),
        E::OtherKey,
        "The project spends faster than its tier allows in ten minutes: wait, spread the load, or move to a higher tier.",
    ),
    (
        "gemini_429_spending_cap",
        K::QuotaExhausted,
        S::Owner,
        HOURLY,
        E::OtherKey,
        "The project reached the monthly spending cap that its owner set: raise it in Google AI Studio, or wait for the next month.",
    ),
    ("gemini_429_stream_array_error", K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey, NO_QUOTA_NAMED),
    ("gemini_429_tpd_free", K::QuotaExhausted, S::OwnerLane, s(43_262), E::OtherKey, DAY),
    ("gemini_429_tpm_free", K::RateLimited, S::OwnerLane, ns(39_844_676_573), E::OtherKey, MINUTE),
    ("gemini_429_tpm_paid_tier1", K::RateLimited, S::OwnerLane, ns(45_811_974_541), E::OtherKey, MINUTE),
    (
        "gemini_499_cancelled",
        K::Cancelled,
        S::Caller,
        U::Now,
        E::No,
        "The request was cancelled on its way: nothing is to be done.",
    ),
    ("gemini_500_internal", K::Transient, S::Caller, U::Now, E::AfterPause, FAILED_INSIDE),
    ("gemini_503_overloaded", K::Overloaded, S::Lane, U::Backoff, E::AfterPause, CAPACITY),
    (
        "gemini_504_deadline_exceeded",
        K::Transient,
        S::Caller,
        U::Now,
        E::AfterPause,
        "The answer took longer than the provider allows: ask for less at once, or stream it.",
    ),
    fault("geminiinteractions_200_stream_error_event", CALLER, YOURS),
    fault("geminiinteractions_400_invalid_request", CALLER, YOURS),
    fault("geminiinteractions_400_multiple_credentials", OURS, TWO_CREDENTIALS),
    ("geminiinteractions_429_quota_exceeded", K::QuotaExhausted, S::OwnerLane, U::DayEnd, E::OtherKey, DAY),
    fault("geminiopenai_400_unknown_field_array", CALLER, YOURS),
    good("geminiupload_200_final_response"),
    good("geminiupload_200_start_response"),
    ("openai_200_stream_error_event", K::Transient, S::Caller, U::Now, E::AfterPause, FAILED_INSIDE),
    good("openai_200_stream_usage"),
    fault("openai_400_context_length", CALLER, YOURS),
    ("openai_401_invalid_api_key", K::InvalidKey, S::Key, U::Lifted, E::OtherKey, REVOKED),
    fault("openai_401_missing_api_key", OURS, NOT_REACHED),
    ("openai_403_region", K::Blocked, S::Exit, U::Backoff, E::No, COUNTRY),
    (
        "openai_404_model_not_found",
        K::ModelUnavailable,
        S::KeyLane,
        U::Backoff,
        E::OtherKey,
        "This model does not exist, or this key's account has no access to it: check the model's name.",
    ),
    (
        "openai_429_insufficient_quota",
        K::QuotaExhausted,
        S::Owner,
        HOURLY,
        E::OtherKey,
        "The account's credit or budget is used up: add credits, or raise its budget in the provider's console.",
    ),
    ("openai_429_rate_limit_rpd", K::RateLimited, S::OwnerLane, ns(8_640_000_000), E::OtherKey, ACCOUNT_RATE),
    ("openai_429_rate_limit_rpm", K::RateLimited, S::OwnerLane, s(20), E::OtherKey, ACCOUNT_RATE),
    // No key is held; one other owner may have a higher limit.
    (
        "openai_429_request_too_large_tpm",
        K::CallerFault,
        S::Caller,
        U::Now,
        E::OtherOwner,
        "The request is larger than the account's tokens per minute: make it smaller, or use a higher tier's key.",
    ),
    ("openai_500_server_error", K::Transient, S::Caller, U::Now, E::AfterPause, FAILED_INSIDE),
    ("openrouter_200_midstream_error", K::Transient, S::Caller, U::Now, E::AfterPause, FAILED_INSIDE),
    (
        "openrouter_402_insufficient_credits",
        K::QuotaExhausted,
        S::Owner,
        HOURLY,
        E::OtherKey,
        "The account's credits are used up: add credits in the provider's console.",
    ),
    // No key is held: the next request may be smaller.
    (
        "openrouter_402_more_credits_needed",
        K::QuotaExhausted,
        S::Caller,
        U::Now,
        E::OtherOwner,
        "The account's credits do not cover this one request: ask for fewer tokens, or add credits.",
    ),
];

/// Samples whose collector says something else, and why we do not follow.
const NOT_FOLLOWED: &[(&str, &str)] = &[(
    // "gateway": a Bearer on a native path. Every credential but ours is stripped, so here it is the key.
    "gemini_401_unauthenticated_bad_credentials",
    "PROVIDERS.md row 6",
)];

#[test]
fn every_sample_gets_its_verdict() {
    let mut expected: BTreeMap<_, _> = EXPECTED.iter().map(|row| (row.0, row)).collect();
    assert_eq!(expected.len(), EXPECTED.len(), "two rows for one sample");
    for sample in Sample::all() {
        let name = sample.name.as_str();
        let Some((_, kind, scope, until, elsewhere, advice)) = expected.remove(name) else {
            panic!("no row for the sample {name}");
        };
        let verdict = sample.judged();
        let is = (verdict.kind(), verdict.scope_of(), verdict.until_of(), verdict.elsewhere_of());
        assert_eq!(is, (*kind, *scope, *until, *elsewhere), "{name}");
        assert_eq!(verdict.status_of(), Some(sample.status), "{name}");
        assert_eq!(verdict.advice_of(), *advice, "{name}");
    }
    assert!(expected.is_empty(), "rows without a sample: {:?}", expected.keys());
}

#[test]
fn every_fault_comes_with_a_plain_sentence() {
    for sample in Sample::all() {
        let verdict = sample.judged();
        let advice = verdict.advice_of();
        if verdict.is_success() {
            assert!(advice.is_empty() && verdict.code_of().is_empty(), "{}", sample.name);
            continue;
        }
        assert!(advice.len() > 20 && advice.ends_with('.'), "{}: {advice:?}", sample.name);
        assert!(advice.starts_with(|c: char| c.is_ascii_uppercase()), "{}: {advice:?}", sample.name);
    }
}

/// The verdicts agree with what the samples' collector wrote of them, in so far as the two speak of the same.
#[test]
fn verdicts_agree_with_the_collector() {
    for sample in Sample::all() {
        let name = sample.name.as_str();
        if sample.classify.is_null() || NOT_FOLLOWED.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let verdict = sample.judged();
        let text = |field: &str| sample.classify[field].as_str().unwrap_or("").to_owned();
        assert!(fault_agrees(&text("fault"), &verdict), "{name}: fault {}: {verdict:?}", text("fault"));
        assert!(scope_agrees(&text("scope"), &verdict), "{name}: scope {}: {verdict:?}", text("scope"));
        assert!(duration_agrees(&text("duration"), &verdict), "{name}: {}: {verdict:?}", text("duration"));
        match &sample.classify["retry_elsewhere"] {
            Value::Bool(true) => assert!(verdict.is_key_fault() || verdict.is_provider_fault(), "{name}: {verdict:?}"),
            Value::Bool(false) => {
                assert!(matches!(verdict.elsewhere_of(), E::No | E::OtherModel), "{name}: {verdict:?}");
            }
            // Conditions ("only the owning project") are what `Elsewhere` and the layers are for.
            _ => {}
        }
    }
}

fn fault_agrees(fault: &str, verdict: &Verdict) -> bool {
    use K::{
        Blocked, CallerFault, Cancelled, InvalidKey, Misconfigured, ModelUnavailable, Overloaded, QuotaExhausted,
        RateLimited, Success, Suspended, Transient, WrongOwner,
    };
    let allowed: &[K] = match fault {
        "caller" => &[CallerFault, Cancelled, ModelUnavailable, Success],
        "gateway" | "gateway/provider" => &[Misconfigured],
        "gateway (affinity)" | "caller-or-key" => &[WrongOwner],
        "provider" => &[Overloaded, Transient, Blocked],
        "quota" | "quota-or-provider" => &[RateLimited, QuotaExhausted, ModelUnavailable],
        "key+model" | "caller or key" => &[ModelUnavailable],
        key if key.starts_with("key") => &[InvalidKey, Suspended, QuotaExhausted],
        _ => &[],
    };
    allowed.contains(&verdict.kind())
}

fn scope_agrees(scope: &str, verdict: &Verdict) -> bool {
    let allowed: &[S] = match scope {
        "request" | "resource" | "request+tier" => &[S::Caller],
        "endpoint" => &[S::Caller, S::Exit],
        "ip" => &[S::Exit],
        // A fault that passes rests nothing; one for lack of capacity rests the lane.
        "model" => &[S::Lane, S::Caller],
        "key" | "key+ip" => &[S::Key],
        "key+model" | "key+resource" => &[S::KeyLane],
        "project+model" | "organization+model" | "organization+model family" | "deployment" => {
            // Without a word on which quota it was, only this key is known to be hit.
            &[S::OwnerLane, S::KeyLane]
        }
        "account" => &[S::Owner, S::Caller],
        "organization" | "organization/project" => &[S::Owner],
        whole if whole.starts_with("project") => &[S::Owner],
        whole if whole.starts_with("billing account") => &[S::BillingAccount],
        _ => &[],
    };
    allowed.contains(&verdict.scope_of())
}

fn duration_agrees(duration: &str, verdict: &Verdict) -> bool {
    let until = verdict.until_of();
    match duration {
        "none" | "this request only" => until == U::Now,
        "config" => until == U::Now || verdict.scope_of() == S::Exit,
        "retryDelay" | "retry-after" | "stated wait" | "retry-after-ms / retry-after" | "10 min" => {
            matches!(until, U::For(_))
        }
        "minutes to hours" => matches!(until, U::For(_) | U::Backoff),
        // A fault that passes is paused for by the retry policy.
        text if text.starts_with("backoff") => until == U::Backoff || verdict.is_provider_fault(),
        "permanent for this tier" => matches!(until, U::For(day) if day >= Duration::from_secs(86_400)),
        "permanent for model" => verdict.elsewhere_of() == E::OtherModel,
        // Unclear ones become permanent by strikes and evidence.
        "permanent for key+model" => !verdict.is_named() && matches!(until, U::Lifted | U::Backoff),
        "disable after 2 confirmations" => !verdict.is_named() && until == U::Lifted,
        "permanent" => until == U::Lifted,
        text if text.contains("midnight") => {
            until == U::DayEnd || matches!(until, U::For(wait) if wait >= Duration::from_secs(600))
        }
        text if text.starts_with("until") => matches!(until, U::Probed(_)),
        _ => false,
    }
}

#[test]
fn an_invalid_key_is_asked_once_more() {
    for sample in Sample::all().iter().filter(|sample| sample.name.starts_with("gemini_400_api_key")) {
        let verdict = sample.judged();
        assert_eq!(verdict.confirm_after_of(), Some(Duration::from_secs(60)));
        assert!(verdict.is_named());
        assert_eq!(verdict.code_of(), "API_KEY_INVALID");
    }
}

#[test]
fn quotas_are_told() {
    let news = |name: &str| {
        let verdict = Sample::all().into_iter().find(|sample| sample.name == name).unwrap().judged();
        verdict.news_of().cloned().unwrap()
    };
    let limits = |name: &str| -> Vec<_> {
        news(name).violations.into_iter().map(|hit| (hit.unit, hit.span, hit.amount)).collect()
    };
    let minute = Span::MINUTE;
    assert_eq!(limits("gemini_429_rpm_free"), [(Unit::Requests, minute, Some(15))]);
    assert_eq!(limits("gemini_429_rpd_free"), [(Unit::Requests, Span::Day, Some(20))]);
    assert_eq!(limits("gemini_429_tpm_paid_tier1"), [(Unit::InputTokens, minute, Some(1_000_000))]);
    assert_eq!(limits("gemini_429_tpd_free"), [(Unit::InputTokens, Span::Day, Some(1_000_000))]);
    assert!(limits("gemini_429_free_tier_limit_zero").iter().all(|(.., amount)| *amount == Some(0)));
    assert!(limits("gemini_429_multi_violation_2_0_flash").iter().all(|(.., amount)| amount.is_none()));
    assert_eq!(limits("openai_429_rate_limit_rpm"), [(Unit::Requests, minute, Some(3))]);
    assert_eq!(limits("openai_429_request_too_large_tpm"), [(Unit::Tokens, minute, Some(30_000))]);
    // The one that the verdict follows, wherever it stands; none where it follows from something else.
    let decisive = |name: &str| news(name).decisive.map(|hit| (hit.unit, hit.span, hit.amount));
    assert_eq!(decisive("gemini_429_rpm_free"), Some((Unit::Requests, minute, Some(15))));
    assert_eq!(decisive("gemini_429_multi_violation_2_0_flash"), Some((Unit::Requests, Span::Day, None)));
    assert_eq!(decisive("gemini_429_free_tier_limit_zero").map(|hit| hit.2), Some(Some(0)));
    assert_eq!(decisive("openai_429_rate_limit_rpm"), Some((Unit::Requests, minute, Some(3))));
    assert_eq!(decisive("openai_429_request_too_large_tpm"), None);
    // A leaky bucket of a day is no calendar's day.
    assert_eq!(limits("openai_429_rate_limit_rpd"), []);
    assert_eq!(news("gemini_429_tpm_free").quota_model.as_deref(), Some("gemini-2.5-flash"));
    assert_eq!(news("gemini_403_consumer_suspended").consumer.as_deref(), Some("projects/123456789012"));
    assert_eq!(news("anthropic_429_rate_limit_itpm").remaining.len(), 4);
}

#[test]
fn nothing_that_is_shown_holds_a_key() {
    for sample in Sample::all() {
        let verdict = sample.judged();
        let shown = format!("{verdict} {verdict:?} {}", serde_json::to_string(&verdict).unwrap());
        assert!(!shown.contains("AIza") && !shown.contains("sk-"), "{}: {shown}", sample.name);
    }
}

/// Whoever hands Google's errors on may write their members as the protocol names them.
#[test]
fn members_are_read_by_either_name() {
    let names = ["quotaId", "quotaMetric", "quotaValue", "quotaDimensions", "retryDelay"];
    let mut renamed = 0;
    for sample in Sample::all().into_iter().filter(|sample| sample.name.starts_with("gemini_429")) {
        let text = String::from_utf8(sample.body.clone()).unwrap();
        let plain = names.iter().fold(text.clone(), |text, name| {
            let (first, second) = name.split_at(name.find(char::is_uppercase).unwrap());
            text.replace(&format!("\"{name}\""), &format!("\"{first}_{}\"", second.to_lowercase()))
        });
        renamed += usize::from(plain != text);
        let judged = format!("{:?}", sample.judged());
        assert_eq!(format!("{:?}", Sample { body: plain.into_bytes(), ..sample }.judged()), judged);
    }
    assert!(renamed > 5, "{renamed}");
}

/// Google's compatible endpoint says the same to whoever asks it as `OpenAI`.
#[test]
fn an_error_of_googles_is_one_whoever_asks() {
    let (mut same, days) = (0, OpenAi::at("https://generativelanguage.googleapis.com/v1beta/openai").unwrap());
    for sample in
        Sample::all().iter().filter(|sample| sample.name.starts_with("gemini_") && !sample.status.is_success())
    {
        let answer = Answer::new(sample.status, &sample.headers, &sample.body, now());
        if String::from_utf8_lossy(&sample.body).contains("\"status\":\"") {
            let (ours, theirs) = (Gemini::new().judge(&answer), days.judge(&answer));
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{}", sample.name);
            same += 1;
        }
    }
    assert!(same > 25, "{same}");
    assert_eq!((days.zone(), OpenAi::new().zone()), ("America/Los_Angeles", "UTC"));
}
