//! Gemini's errors as somebody remembered them who knows Google's APIs well: each was told apart by hand before it was judged
//! here. First those that were judged wrongly, then others that somebody may one day break.

use serde_json::{Value, json};
use tower_keypool::{Elsewhere as E, Gemini, Scope as S, Tier, Until as U, VerdictKind as K};

use crate::meaning::{
    AGAIN, BLOCKED, BUSY, CALLER, CANCELLED, KEY, KEY_LANE, Meaning, NO_SUCH_MODEL, NOT_FOR_ACCOUNT, OURS, QUOTA, RATE,
    SUSPENDED, UNNAMED, WRONG_OWNER, answered, is, judge, none_differs, waits,
};

const BILLING: Meaning = (K::QuotaExhausted, S::BillingAccount, E::OtherKey);
const KEPT: Meaning = (K::QuotaExhausted, S::Caller, E::OtherOwner);

/// How a body begins that quotas are told in.
const QUOTA_SENTENCE: &str = "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.";

/// A status, a body, and what it means.
type Row = (u16, Value, Meaning);

fn all(rows: Vec<Row>) {
    none_differs(rows.into_iter().map(|(status, body, meaning)| {
        let verdict = judge(&Gemini::new(), status, &[], &body);
        (format!("{status} {body}"), meaning, verdict)
    }));
}

/// Of sentences without details.
fn all_told(rows: &[(u16, &str, Meaning)]) {
    all(rows.iter().map(|(status, message, meaning)| (*status, told(*status, message), *meaning)).collect());
}

fn word(code: u16) -> &'static str {
    match code {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    }
}

/// With details, as Google has it.
fn detailed(code: u16, message: &str, details: &Value) -> Value {
    json!({"error": {"code": code, "message": message, "status": word(code), "details": details}})
}

fn told(code: u16, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "status": word(code)}})
}

/// With a reason of `error_reason.proto`.
fn for_reason(code: u16, message: &str, reason: &str) -> Value {
    let metadata = json!({"service": "generativelanguage.googleapis.com", "consumer": "projects/123456789012"});
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": metadata});
    detailed(code, message, &json!([info]))
}

/// As Google's older APIs have it.
fn older(code: u16, domain: &str, reason: &str, message: &str) -> Value {
    json!({"error": {"errors": [{"domain": domain, "reason": reason, "message": message}], "code": code, "message": message}})
}

/// A 429 with violations (metric, id, value), and a delay.
fn violated(violations: &[(&str, &str, &str)], delay: &str) -> Value {
    let one = |(metric, id, value): &(&str, &str, &str)| {
        json!({"quotaMetric": format!("generativelanguage.googleapis.com/{metric}"), "quotaId": id, "quotaValue": value,
            "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"}})
    };
    let violations: Vec<Value> = violations.iter().map(one).collect();
    let failure = json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations});
    let help = json!({"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "Learn more about Gemini API quotas", "url": "https://ai.google.dev/gemini-api/docs/rate-limits"}]});
    let retry = json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
    detailed(429, QUOTA_SENTENCE, &json!([help, failure, retry]))
}

/// It is told so of models that only who pays has: once with the quotas of another model beside, and mostly without.
#[test]
fn a_model_without_a_free_tier_needs_no_details_to_be_none() {
    let sentence = "Gemini 2.5 Pro Preview doesn't have a free quota tier. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.";
    let bare = told(429, sentence);
    let nested = json!({"error": {"message": bare.to_string(), "code": 429, "status": "Too Many Requests"}});
    let help = detailed(429, sentence, &json!([{"@type": "type.googleapis.com/google.rpc.Help", "links": []}]));
    for body in [bare.clone(), json!([bare]), nested, help] {
        for event in [false, true] {
            let verdict = answered(&Gemini::new(), if event { 200 } else { 429 }, &[], &body.to_string(), event);
            assert_eq!((is(&verdict), verdict.code_of()), (NOT_FOR_ACCOUNT, "LIMIT_ZERO"), "{body}: {verdict:?}");
        }
    }
    // Whatever stands in quotes is a caller's.
    let quoted = told(429, "Bad value 'Gemini 2.5 Pro Preview doesn't have a free quota tier'");
    assert_eq!(is(&judge(&Gemini::new(), 429, &[], &quoted)), UNNAMED);
}

/// Google's older SDK has the details in its exception's text, and who is built on it hands that on: its 51 s are a day's.
#[test]
fn a_day_is_found_behind_the_lines_of_a_text() {
    let lines = |limit: u32| {
        format!(
            "{QUOTA_SENTENCE}\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: {limit}, model: gemini-2.5-flash-lite\nPlease retry in 51.606482386s."
        )
    };
    let text = |limit: u32, id: &str| {
        let details = violated(&[("generate_content_free_tier_requests", id, "20")], "51s")["error"]["details"].clone();
        let from = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash-lite:generateContent";
        let lines = lines(limit);
        format!("[GoogleGenerativeAI Error]: Error fetching from {from}: [429 Too Many Requests] {lines} {details}")
    };
    let day = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
    let minute = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier";
    for (text, meaning, until, amount) in [
        (text(20, day), QUOTA, U::DayEnd, Some(20)),
        (text(20, minute), RATE, U::For(std::time::Duration::from_nanos(51_606_482_386)), Some(20)),
        (text(0, day), NOT_FOR_ACCOUNT, waits(24 * 3_600), Some(0)),
        // Of which window it is no line says.
        (lines(20), RATE, U::For(std::time::Duration::from_nanos(51_606_482_386)), None),
    ] {
        for body in [text.clone(), told(429, &text).to_string()] {
            let verdict = answered(&Gemini::new(), 429, &[], &body, false);
            assert_eq!((is(&verdict), verdict.until_of()), (meaning, until), "{body}: {verdict:?}");
            let news = verdict.news_of().expect("it names a quota");
            assert_eq!(news.decisive.and_then(|one| one.amount), amount, "{body}: {news:?}");
            assert_eq!(news.tier, Some(Tier::Free), "{body}: {news:?}");
        }
    }
}

/// As gRPC's exceptions are written out in Python.
#[test]
fn a_delay_is_found_in_a_bare_text() {
    let text = "429 You exceeded your current quota. [violations {\n  quota_id: \"GenerateRequestsPerMinutePerProjectPerModel-FreeTier\"\n}\n, retry_delay {\n  seconds: 36\n}\n]";
    for body in [text.to_owned(), told(429, text).to_string()] {
        let verdict = answered(&Gemini::new(), 429, &[], &body, false);
        assert_eq!((is(&verdict), verdict.until_of()), (RATE, waits(36)), "{body}: {verdict:?}");
    }
}

/// What an organization forbids all of its projects, or a user, by its name: no strikes are counted, and it is probed.
#[test]
fn policies_of_an_organization_are_named() {
    for reason in [
        "LOCATION_POLICY_VIOLATED",
        "SECURITY_POLICY_VIOLATED",
        "ORG_RESTRICTION_VIOLATION",
        "RESOURCE_USAGE_RESTRICTION_VIOLATED",
        "ENDPOINT_USAGE_RESTRICTION_VIOLATED",
        "TLS_ORG_POLICY_VIOLATED",
        "TLS_CIPHER_RESTRICTION_VIOLATED",
        "USER_BLOCKED_BY_ADMIN",
    ] {
        let verdict = judge(&Gemini::new(), 403, &[], &for_reason(403, "Request is disallowed.", reason));
        assert_eq!((is(&verdict), verdict.is_named()), (SUSPENDED, true), "{reason}: {verdict:?}");
        assert!(matches!(verdict.until_of(), U::Probed(_)), "{reason}: {verdict:?}");
    }
    // Of where something may be made: whoever makes nothing there is served.
    for reason in ["LOCATION_ORG_POLICY_VIOLATED", "LOCATION_TAX_POLICY_VIOLATED"] {
        for status in [400, 403] {
            let verdict = judge(&Gemini::new(), status, &[], &for_reason(status, "Request is disallowed.", reason));
            assert_eq!((is(&verdict), verdict.is_named()), (WRONG_OWNER, true), "{reason}: {verdict:?}");
        }
    }
}

/// AQ. keys are refused so where interactions are read, and serve models all the same.
#[test]
fn a_key_that_interactions_refuse_may_serve_models() {
    let sentence = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.";
    let coded = |message: &str| json!({"error": {"code": "authentication", "message": message}});
    let verdict = judge(&Gemini::new(), 401, &[], &coded(sentence));
    assert_eq!((is(&verdict), verdict.is_named()), (KEY_LANE, false), "{verdict:?}");
    let verdict = judge(&Gemini::new(), 401, &[], &coded("API key not valid. Please pass a valid API key."));
    assert_eq!((is(&verdict), verdict.is_named()), (KEY, true), "{verdict:?}");
}

#[test]
fn googles_older_words_for_limits_and_for_no_key_blame_none() {
    let limits = |reason: &str| older(403, "usageLimits", reason, "Limit Exceeded");
    all(vec![
        (403, limits("concurrentLimitExceeded"), RATE),
        (403, limits("limitExceeded"), RATE),
        (403, limits("variableTermLimitExceeded"), RATE),
        (403, limits("variableTermExpiredDailyExceeded"), QUOTA),
        // Of the whole API.
        (403, limits("servingLimitExceeded"), BUSY),
        (403, limits("dailyLimitExceeded"), QUOTA),
        (403, limits("userRateLimitExceeded"), RATE),
        (403, older(403, "youtube.quota", "quotaExceeded", "You have exceeded your quota."), QUOTA),
        (403, limits("dailyLimitExceededUnreg"), OURS),
        (403, limits("userRateLimitExceededUnreg"), OURS),
        (403, limits("rateLimitExceededUnreg"), OURS),
        (401, older(401, "global", "required", "Login Required"), OURS),
        (401, older(401, "global", "authError", "Invalid Credentials"), KEY),
        (400, older(400, "global", "required", "Required"), CALLER),
        (403, older(403, "usageLimits", "ipRefererBlocked", "There is a per-IP or per-Referer restriction."), KEY),
        (400, older(400, "usageLimits", "keyInvalid", "Bad Request"), KEY),
    ]);
}

#[test]
fn a_project_that_was_deleted_is_gone() {
    let sentence = "Project #123456789012 has been deleted.";
    all(vec![(403, told(403, sentence), SUSPENDED), (403, for_reason(403, sentence, "CONSUMER_INVALID"), SUSPENDED)]);
}

/// Of every way in which a limit is told: how long it lasts, and for whom.
#[test]
fn limits_last_as_long_as_they_are_told_to() {
    const FREE: &str = "generate_content_free_tier_requests";
    const RPM: (&str, &str, &str) = (FREE, "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "10");
    const RPD: (&str, &str, &str) = (FREE, "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "250");
    let paid = |metric, id, value| vec![(metric, id, value)];
    let per_day = paid("generate_requests_per_model_per_day", "GenerateRequestsPerDayPerProjectPerModel", "250");
    let tier3 = paid(
        "generate_content_paid_tier_3_input_token_count",
        "GenerateContentPaidTierInputTokensPerModelPerMinute-PaidTier3",
        "8000000",
    );
    let embed = paid(
        "embed_content_free_tier_requests",
        "EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier",
        "1000",
    );
    let veo = paid("predict_requests", "PredictLongRunningRequestsPerDayPerProjectPerModel-FreeTier", "0");
    let searches = paid("search_grounding_requests", "SearchGroundingRequestsPerDayPerProject", "1500");
    for (violations, delay, meaning, until) in [
        (vec![RPM], "34s", RATE, waits(34)),
        // Less than a second is one, and what is no time is none.
        (vec![RPM], "0s", RATE, waits(1)),
        (vec![RPM], "0.5s", RATE, waits(1)),
        (vec![RPM], "-1s", RATE, U::Backoff),
        (vec![RPM], "999999999s", RATE, U::Backoff),
        (vec![RPD], "0s", QUOTA, U::DayEnd),
        (vec![RPD], "51s", QUOTA, U::DayEnd),
        (vec![RPM, RPD], "19s", QUOTA, U::DayEnd),
        (vec![RPD, RPM], "19s", QUOTA, U::DayEnd),
        (per_day.clone(), "39043s", QUOTA, waits(39_043)),
        (per_day, "66294s", QUOTA, waits(66_294)),
        (tier3, "39s", RATE, waits(39)),
        (embed, "22s", QUOTA, U::DayEnd),
        (veo, "20s", NOT_FOR_ACCOUNT, waits(24 * 3_600)),
        (searches, "20s", KEPT, U::Now),
    ] {
        let whole = violated(&violations, delay);
        for body in [whole.clone(), json!([whole])] {
            let text = body.to_string();
            for (status, event) in [(429, false), (200, true)] {
                let verdict = answered(&Gemini::new(), status, &[], &text, event);
                assert_eq!((is(&verdict), verdict.until_of()), (meaning, until), "{body}: {verdict:?}");
            }
        }
    }
}

/// What names no quota, or money, or capacity, under the same status.
#[test]
fn a_429_may_be_anything() {
    let exhausted = "Resource has been exhausted (e.g. check quota).";
    let older_limit = |limit: &str, value: &str| {
        let message = "Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateContent request limit per minute for a region' of service 'generativelanguage.googleapis.com' for consumer 'project_number:696498078762'.";
        let metadata = json!({"quota_limit": limit, "quota_limit_value": value, "consumer": "projects/696498078762"});
        detailed(429, message, &json!([{"reason": "RATE_LIMIT_EXCEEDED", "metadata": metadata}]))
    };
    let region = "GenerateContentRequestsPerMinutePerProjectPerRegion";
    all(vec![
        (429, json!([told(429, exhausted)]), UNNAMED),
        (429, json!({"code": 8, "message": exhausted, "details": []}), UNNAMED),
        (429, older_limit(region, "60"), RATE),
        (429, older_limit(region, "0"), NOT_FOR_ACCOUNT),
        (429, older_limit("DefaultPerDayPerProject", "100"), QUOTA),
        (402, json!({"error": {"code": "payment_required", "message": "Your credits are depleted."}}), BILLING),
    ]);
    all_told(&[
        (429, exhausted, UNNAMED),
        (429, QUOTA_SENTENCE, UNNAMED),
        (429, "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects.", BILLING),
        (429, "Your billing account has exceeded its monthly spending cap. Please go to AI Studio.", BILLING),
        (429, "Resource exhausted. Please refer to https://cloud.google.com/docs/error-code-429 for details.", BUSY),
        (429, "Quota exceeded for aiplatform.googleapis.com/x with base model: gemini-pro.", RATE),
    ]);
}

#[test]
fn whose_key_whose_project_and_whose_resource() {
    let unsupported = "Request had invalid authentication credentials. Expected OAuth 2 access token.";
    let suspended = "Permission denied: Consumer 'api_key:AIzaSyB-0000000000000000000000000000000' has been suspended.";
    let gateway = "UNAUTHENTICATED:Method doesn't allow unregistered callers (without established identity).";
    let country = (K::ModelUnavailable, S::Lane, E::OtherModel);
    all(vec![
        (400, for_reason(400, "API Key not found. Please pass a valid API key.", "API_KEY_INVALID"), KEY),
        (400, json!([told(400, "API key expired. Please renew the API key.")]), KEY),
        (401, for_reason(401, unsupported, "ACCESS_TOKEN_TYPE_UNSUPPORTED"), KEY),
        (403, json!({"code": 7, "message": suspended, "details": [{"reason": "CONSUMER_SUSPENDED"}]}), SUSPENDED),
        (400, for_reason(400, "No.", "OVERLOADED_CREDENTIALS"), OURS),
        // As Google's API Gateway has it.
        (401, json!({"message": gateway, "code": 401}), OURS),
        (499, json!({"error": {"code": 499, "message": "The operation was cancelled."}}), CANCELLED),
    ]);
    all_told(&[
        (403, "The provided API key has an IP address restriction. The originating IP address violates it.", KEY),
        (403, "Requests from referer <empty> are blocked.", KEY),
        (403, suspended, SUSPENDED),
        (403, "Your project has been denied access. Please contact support.", SUSPENDED),
        (400, "User location is not supported for the API use without a billing account linked.", SUSPENDED),
        (400, "User location is not supported for the API use.", BLOCKED),
        (400, "Image generation is not available in your country.", country),
        (400, "Imagen API is only accessible to billed users at this time.", NOT_FOR_ACCOUNT),
        (403, "CachedContent not found (or permission denied)", WRONG_OWNER),
        (403, "You do not have permission to access tuned model tunedModels/abc.", WRONG_OWNER),
        (404, "Requested entity was not found.", WRONG_OWNER),
        (404, "This model models/gemini-2.5-flash-lite is no longer available to new users.", NOT_FOR_ACCOUNT),
        (404, "This model models/gemini-2.0-flash is no longer available.", NO_SUCH_MODEL),
        (404, "models/imagen-3 is not found for API version v1beta, or is not supported for predict.", NO_SUCH_MODEL),
        (403, "The request is missing a valid API key.", OURS),
        (503, "This model is currently experiencing high demand. Please try again later.", BUSY),
        (503, "Deadline expired before operation could complete.", AGAIN),
        (500, "Failed to convert server response to JSON", AGAIN),
    ]);
}

/// Which of them name keys, quotas or money: those of the request.
#[test]
fn what_is_wrong_with_a_request_is_the_callers() {
    for message in [
        "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
        "Function call is missing a thought_signature in functionCall parts. Additional data, function call `default_api:quota_exceeded` , position 2.",
        "Corrupted thought signature.",
        "Cached content is too small. total_token_count=1213, min_total_token_count=4096",
        "Unsupported MIME type: text/api-key-not-valid",
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
        "Request payload size exceeds the limit: 20971520 bytes.",
        "Budget 0 is invalid. This model only works in thinking mode.",
        "Invalid JSON payload received. Unknown name \"apiKey\" at 'generation_config': Cannot find field.",
        "Invalid JSON payload received. Unknown name \"api_key\": Cannot bind query parameter. Field 'api_key' could not be found in request message.",
        "Invalid JSON payload received. Unexpected token.\n}API key expired\n^",
        "Invalid value at 'contents[0].parts[1].inline_data.data' (TYPE_BYTES), Base64 decoding failed for \"API key not valid. Please pass a valid API key.\"",
        "* GenerateContentRequest.tools[0].function_declarations[1].name: Duplicate function declaration found: billing_account_has_been_disabled\n",
        "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n",
        "The File abc123 is not in an ACTIVE state and usage is not allowed.",
        "Precondition check failed.",
    ] {
        for word in ["INVALID_ARGUMENT", "FAILED_PRECONDITION"] {
            let body = json!({"error": {"code": 400, "message": message, "status": word}});
            for body in [body.clone(), json!([body])] {
                assert_eq!(is(&judge(&Gemini::new(), 400, &[], &body)), CALLER, "{body}");
            }
        }
    }
}

/// The front end's pages, and texts of the host that takes uploads.
#[test]
fn pages_and_plain_texts() {
    let page = |(code, told): (u16, &str)| {
        format!(
            "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error {code} (No)!!1</title>\n  <p><b>{code}.</b> <ins>That\u{2019}s an error.</ins>\n  <p>{told}  <ins>That\u{2019}s all we know.</ins>\n"
        )
    };
    let pages = [
        ((403, "Your client does not have permission to get URL <code>/</code> from this server."), BLOCKED),
        ((429, "We're sorry, but you have sent too many requests to us recently."), BLOCKED),
        ((400, "Your client has issued a malformed or illegal request."), CALLER),
        ((404, "The requested URL <code>/v1beta/x</code> was not found on this server."), CALLER),
        ((411, "POST requests require a <code>Content-length</code> header."), CALLER),
        ((413, "Your client issued a request that was too large."), CALLER),
        ((408, "Your client has taken too long to issue its request."), AGAIN),
        ((502, "The server encountered a temporary error and could not complete your request."), AGAIN),
    ];
    let texts = [
        ((503, "upstream connect error or disconnect/reset before headers."), BUSY),
        (
            (400, "Invalid request.  The number of bytes uploaded is required to be equal or greater than 262144."),
            CALLER,
        ),
        ((400, "Upload has already been terminated."), CALLER),
        ((404, "Not Found"), CALLER),
        ((403, "Forbidden"), KEY_LANE),
    ];
    let pages = pages.into_iter().map(|(told, meaning)| (told.0, page(told), meaning));
    let texts = texts.into_iter().map(|((status, text), meaning)| (status, text.to_owned(), meaning));
    none_differs(pages.chain(texts).map(|(status, body, meaning)| {
        let verdict = answered(&Gemini::new(), status, &[], &body, false);
        (format!("{status} {body}"), meaning, verdict)
    }));
}

/// What failed behind it is told in a good answer.
#[test]
fn an_operation_that_failed_is_a_good_answer() {
    for body in [
        json!({"name": "models/veo-3.0-generate-001/operations/abc", "done": true, "error": {"code": 8, "message": "Resource has been exhausted (e.g. check quota)."}}),
        json!({"name": "batches/abc", "metadata": {"state": "BATCH_STATE_FAILED"}, "done": true, "error": {"code": 13, "message": "Internal error."}}),
        json!({"name": "files/abc", "state": "FAILED", "error": {"code": 13, "message": "Video processing failed."}}),
        json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 8}}),
    ] {
        assert!(judge(&Gemini::new(), 200, &[], &body).is_success(), "{body}");
    }
}
