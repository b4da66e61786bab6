//! Every recorded sample, against the verdict that it must get.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tower_keypool::{Elsewhere as E, Scope as S, Span, Unit, Until as U, Verdict, VerdictKind as K};

use crate::sample::Sample;

/// What a sample must be judged.
type Row = (&'static str, K, S, U, E);

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

const fn row(name: &'static str, is: (K, S, U, E)) -> Row {
    (name, is.0, is.1, is.2, is.3)
}

/// Sample → kind, scope, until, where else. A file without a row fails the test.
const EXPECTED: &[Row] = &[
    ("anthropic_200_stream_error_event", K::Overloaded, S::Lane, U::Backoff, E::AfterPause),
    row("anthropic_200_stream_usage", GOOD),
    ("anthropic_400_credit_balance_low", K::QuotaExhausted, S::Owner, HOURLY, E::OtherKey),
    ("anthropic_400_org_disabled", K::Suspended, S::Owner, U::Lifted, E::OtherKey),
    ("anthropic_401_invalid_credentials", K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
    ("anthropic_402_billing_error", K::QuotaExhausted, S::Owner, HOURLY, E::OtherKey),
    ("anthropic_403_permission_error", K::InvalidKey, S::KeyLane, U::Lifted, E::OtherKey),
    ("anthropic_404_not_found", K::ModelUnavailable, S::Lane, U::Now, E::OtherModel),
    row("anthropic_413_request_too_large", CALLER),
    ("anthropic_429_rate_limit_itpm", K::RateLimited, S::OwnerLane, s(17), E::OtherKey),
    ("anthropic_429_rate_limited_server", K::Overloaded, S::Lane, U::Backoff, E::AfterPause),
    ("anthropic_529_overloaded", K::Overloaded, S::Lane, U::Backoff, E::AfterPause),
    ("azure_429_token_rate_limit", K::RateLimited, S::OwnerLane, s(86_400), E::OtherKey),
    row("gemini_200_finish_blocklist", GOOD),
    row("gemini_200_finish_max_tokens_thinking", GOOD),
    row("gemini_200_finish_recitation", GOOD),
    row("gemini_200_finish_safety", GOOD),
    ("gemini_200_midstream_raw_json_tail", K::Overloaded, S::Lane, U::Backoff, E::AfterPause),
    row("gemini_200_ok", GOOD),
    row("gemini_200_prompt_blocked", GOOD),
    row("gemini_200_stream_json_array", GOOD),
    row("gemini_200_stream_sse_max_tokens", GOOD),
    ("gemini_400_api_key_invalid", K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
    ("gemini_400_api_key_not_found", K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
    row("gemini_400_invalid_argument_generic", CALLER),
    row("gemini_400_invalid_json_field", CALLER),
    ("gemini_400_location_not_supported", K::Blocked, S::Exit, s(600), E::No),
    row("gemini_400_multiple_credentials", OURS),
    row("gemini_400_request_too_many_tokens", CALLER),
    ("gemini_401_access_token_type_unsupported", K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
    row("gemini_401_unauthenticated_api_keys_not_supported", OURS),
    ("gemini_401_unauthenticated_bad_credentials", K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
    ("gemini_402_prepay_depleted", K::QuotaExhausted, S::BillingAccount, HOURLY, E::OtherKey),
    ("gemini_403_api_key_http_referrer_blocked", K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
    ("gemini_403_api_key_ip_address_blocked", K::InvalidKey, S::Key, SIX_HOURLY, E::OtherKey),
    ("gemini_403_caller_no_permission", K::WrongOwner, S::Caller, U::Now, E::OtherOwner),
    ("gemini_403_consumer_suspended", K::Suspended, S::Owner, U::Lifted, E::OtherKey),
    ("gemini_403_file_other_project", K::WrongOwner, S::Caller, U::Now, E::OtherOwner),
    ("gemini_403_ip_banned_html", K::Blocked, S::Exit, s(600), E::No),
    ("gemini_403_key_reported_leaked", K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
    ("gemini_403_service_disabled", K::Suspended, S::Owner, HOURLY, E::OtherKey),
    row("gemini_403_unregistered_callers", OURS),
    ("gemini_404_model_not_found", K::ModelUnavailable, S::Lane, U::Now, E::OtherModel),
    ("gemini_404_model_retired_new_users", K::ModelUnavailable, S::OwnerLane, U::Lifted, E::OtherKey),
    ("gemini_429_embed_rpm_free", K::RateLimited, S::OwnerLane, ns(33_500_000_000), E::OtherKey),
    ("gemini_429_exhausted_no_details", K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey),
    ("gemini_429_free_tier_limit_zero", K::ModelUnavailable, S::OwnerLane, s(86_400), E::OtherKey),
    ("gemini_429_model_capacity_exhausted", K::Overloaded, S::Lane, U::Backoff, E::AfterPause),
    ("gemini_429_multi_violation_2_0_flash", K::QuotaExhausted, S::OwnerLane, U::DayEnd, E::OtherKey),
    ("gemini_429_quota_help_only", K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey),
    ("gemini_429_rpd_free", K::QuotaExhausted, S::OwnerLane, U::DayEnd, E::OtherKey),
    ("gemini_429_rpm_free", K::RateLimited, S::OwnerLane, ns(38_214_563_921), E::OtherKey),
    ("gemini_429_spend_rate_limit", K::RateLimited, S::Owner, s(600), E::OtherKey),
    ("gemini_429_spending_cap", K::QuotaExhausted, S::Owner, HOURLY, E::OtherKey),
    ("gemini_429_stream_array_error", K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey),
    ("gemini_429_tpd_free", K::QuotaExhausted, S::OwnerLane, s(43_262), E::OtherKey),
    ("gemini_429_tpm_free", K::RateLimited, S::OwnerLane, ns(39_844_676_573), E::OtherKey),
    ("gemini_429_tpm_paid_tier1", K::RateLimited, S::OwnerLane, ns(45_811_974_541), E::OtherKey),
    ("gemini_499_cancelled", K::Cancelled, S::Caller, U::Now, E::No),
    ("gemini_500_internal", K::Transient, S::Caller, U::Now, E::AfterPause),
    ("gemini_503_overloaded", K::Overloaded, S::Lane, U::Backoff, E::AfterPause),
    ("gemini_504_deadline_exceeded", K::Transient, S::Caller, U::Now, E::AfterPause),
    row("geminiinteractions_200_stream_error_event", CALLER),
    row("geminiinteractions_400_invalid_request", CALLER),
    row("geminiinteractions_400_multiple_credentials", OURS),
    ("geminiinteractions_429_quota_exceeded", K::QuotaExhausted, S::OwnerLane, U::DayEnd, E::OtherKey),
    row("geminiopenai_400_unknown_field_array", CALLER),
    row("geminiupload_200_final_response", GOOD),
    row("geminiupload_200_start_response", GOOD),
    ("openai_200_stream_error_event", K::Transient, S::Caller, U::Now, E::AfterPause),
    row("openai_200_stream_usage", GOOD),
    row("openai_400_context_length", CALLER),
    ("openai_401_invalid_api_key", K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
    row("openai_401_missing_api_key", OURS),
    ("openai_403_region", K::Blocked, S::Exit, s(600), E::No),
    ("openai_404_model_not_found", K::ModelUnavailable, S::KeyLane, U::Backoff, E::OtherKey),
    ("openai_429_insufficient_quota", K::QuotaExhausted, S::Owner, HOURLY, E::OtherKey),
    ("openai_429_rate_limit_rpd", K::RateLimited, S::OwnerLane, ns(8_640_000_000), E::OtherKey),
    ("openai_429_rate_limit_rpm", K::RateLimited, S::OwnerLane, s(20), E::OtherKey),
    // No key is held; one other owner may have a higher limit.
    ("openai_429_request_too_large_tpm", K::CallerFault, S::Caller, U::Now, E::OtherOwner),
    ("openai_500_server_error", K::Transient, S::Caller, U::Now, E::AfterPause),
    ("openrouter_200_midstream_error", K::Transient, S::Caller, U::Now, E::AfterPause),
    ("openrouter_402_insufficient_credits", K::QuotaExhausted, S::Owner, HOURLY, E::OtherKey),
    // No key is held: the next request may be smaller.
    ("openrouter_402_more_credits_needed", K::QuotaExhausted, S::Caller, U::Now, E::OtherKey),
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
        let Some((_, kind, scope, until, elsewhere)) = expected.remove(name) else {
            panic!("no row for the sample {name}");
        };
        let verdict = sample.judged();
        let is = (verdict.kind(), verdict.scope_of(), verdict.until_of(), verdict.elsewhere_of());
        assert_eq!(is, (*kind, *scope, *until, *elsewhere), "{name}");
        assert_eq!(verdict.status_of(), Some(sample.status), "{name}");
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

#[test]
fn dump_advice_now() {
    let rows: Vec<_> = Sample::all().iter().map(|s| (s.name.clone(), s.judged().advice_of().to_owned())).collect();
    std::fs::write("/tmp/f2b_advice.json", serde_json::to_string(&rows).unwrap()).unwrap();
}
