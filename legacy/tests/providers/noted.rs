//! Errors of many services as they are known to write them, each judged by hand before it was judged here.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tower_keypool::{
    Answer, Anthropic, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, VerdictKind as K,
};

use crate::{
    meaning::{
        AGAIN, BLOCKED, BUSY, CALLER, CANCELLED, KEY, KEY_LANE, MONEY, Meaning, NO_SUCH_MODEL, NOT_FOR_KEY,
        NOT_IN_PLAN, OURS, QUOTA, RATE, SPENT, SUSPENDED, UNNAMED, WRONG_OWNER, all, any, is, judge_text as judge,
        waits,
    },
    sample::now,
};

const TOO_LARGE: Meaning = (K::CallerFault, S::Caller, E::OtherOwner);

/// A throttled key is not an account at its end, whatever the status says.
#[test]
fn dashscope_throttles() {
    let native = |code: &str, message: &str| format!(r#"{{"request_id":"0","code":"{code}","message":"{message}"}}"#);
    let compatible = |code: &str, message: &str| {
        format!(
            r#"{{"error":{{"message":"{message}","type":"{code}","param":null,"code":"{code}"}},"request_id":"0"}}"#
        )
    };
    for (code, message) in [
        ("Throttling", "Requests throttling triggered."),
        ("Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
        ("Throttling.AllocationQuota", "Allocated quota exceeded, please increase your quota limit."),
        ("Throttling.ResourceExhausted", "An error occurred in model serving, error message is: [Too many requests.]"),
        ("Throttling.Concurrency", "Too many concurrent requests."),
        ("limit_requests", "You exceeded your current requests list."),
        ("limit_burst_rate", "Request rate increased too quickly."),
    ] {
        for status in [400, 429] {
            for body in [native(code, message), compatible(code, message)] {
                for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
                    let verdict = judge(provider, status, &[], &body);
                    assert_eq!((is(&verdict), verdict.until_of()), (RATE, U::Backoff), "{status} {code}: {verdict:?}");
                }
            }
        }
    }
    let overloaded = native("Throttling.ServiceOverloaded", "Too many requests.");
    assert_eq!(is(&judge(&OpenAi::new(), 429, &[], &overloaded)), BUSY);
    for (code, message) in [
        ("PrepaidBillOverdue", "The prepaid bill is overdue."),
        ("PostpaidBillOverdue", "The postpaid bill is overdue."),
        ("CommodityNotPurchased", "Commodity has not purchased yet."),
        ("Arrearage", "Access denied, please make sure your account is in good standing."),
    ] {
        assert_eq!(is(&judge(&OpenAi::new(), 429, &[], &native(code, message))), MONEY, "{code}");
    }
    // What a caller chose, where the word is another.
    let chosen = compatible("invalid_parameter_error", "Throttling.RateQuota is not a valid model");
    assert_eq!(is(&judge(&OpenAi::new(), 400, &[], &chosen)), CALLER);
}

/// Whom a relay passed the request on to is the one that refused it: for its rate, or the relay's own account there.
#[test]
fn what_a_relay_was_refused_is_not_ours() {
    let error = |kind: &str, message: &str| {
        format!(
            r#"{{"type":"error","error":{{"message":"{message} (request id: 20261118)","type":"{kind}","param":"","code":"{kind}"}}}}"#
        )
    };
    for (kind, message) in [
        ("rate_limit_error", "Upstream rate limit exceeded, please retry later"),
        ("upstream_error", "Upstream rate limit exceeded"),
        ("upstream_error", "upstream error: 429 Too Many Requests"),
        ("upstream_error", "bad response status code 429"),
        ("upstream_error", "Insufficient balance"),
        ("upstream_error", "Your account balance is not enough"),
        ("upstream_error", "You exceeded your current quota, please check your plan and billing details."),
        ("bad_response_status_code", "bad response status code 429"),
    ] {
        for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
            let verdict = judge(provider, 429, &[], &error(kind, message));
            assert_eq!(is(&verdict), BUSY, "{} {kind} {message}: {verdict:?}", provider.name());
        }
    }
    for status in [401, 402, 403] {
        for message in ["Insufficient balance", "Invalid API key", "bad response status code 401"] {
            let verdict = judge(&OpenAi::new(), status, &[], &error("upstream_error", message));
            assert_eq!(is(&verdict), AGAIN, "{status} {message}: {verdict:?}");
        }
    }
    assert_eq!(is(&judge(&OpenAi::new(), 400, &[], &error("upstream_error", "Invalid API key"))), CALLER);
    // The same words of the relay itself are about its own user.
    assert_eq!(is(&judge(&OpenAi::new(), 403, &[], &error("insufficient_user_quota", "用户额度不足"))), MONEY);
    assert_eq!(is(&judge(&OpenAi::new(), 429, &[], &error("rate_limit_error", "Rate limit exceeded"))), RATE);
}

/// Which buckets a project's agent may read is no matter of its key.
#[test]
fn a_file_that_google_may_not_read() {
    let body = r#"{"error":{"code":403,"message":"service-1@gcp-sa-aiplatform.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist).","status":"PERMISSION_DENIED"}}"#;
    assert_eq!(is(&judge(&Gemini::new(), 403, &[], body)), WRONG_OWNER);
    let named = r#"{"error":{"code":403,"message":"Permission denied: cannot access gs://bucket/a.mp4. Please make sure the service account can read it.","status":"PERMISSION_DENIED"}}"#;
    assert_eq!(is(&judge(&Gemini::new(), 403, &[], named)), WRONG_OWNER);
    let lacking = r#"{"error":{"code":403,"message":"Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/p/locations/l/publishers/google/models/x' (or it may not exist).","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"IAM_PERMISSION_DENIED","domain":"aiplatform.googleapis.com"}]}}"#;
    assert_eq!(is(&judge(&Gemini::new(), 403, &[], lacking)), KEY_LANE);
}

/// An API says in its body how long to wait, as a number or as text.
#[test]
fn waits_in_the_bodies_of_other_apis() {
    for (body, until) in [
        (
            r#"{"message":"You are being rate limited.","retry_after":64.57,"global":false}"#,
            U::For(Duration::from_millis(64_570)),
        ),
        (r#"{"message":"You are being rate limited.","retry_after":"65"}"#, waits(65)),
        (r#"{"error":{"code":"too_many","message":"Slow down.","retry_after":12}}"#, waits(12)),
        (r#"{"error":"Too many requests","retryAfter":"30s"}"#, waits(30)),
        (r#"{"error":"Too many requests","retry_after_ms":2500}"#, U::For(Duration::from_millis(2_500))),
        (
            r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}"#,
            waits(35),
        ),
        (r#"{"message":"x","retry_after":200000}"#, waits(24 * 3_600)),
        (r#"{"message":"x","retry_after":99999999}"#, U::Backoff),
        (r#"{"message":"x","retry_after":0.01}"#, waits(1)),
        (r#"{"message":"x","retry_after":-5}"#, U::Backoff),
        (r#"{"message":"x","retry_after":"soon"}"#, U::Backoff),
        (r#"{"message":"x","retry_after":null}"#, U::Backoff),
    ] {
        let verdict = judge(&any(), 429, &[], body);
        assert_eq!((is(&verdict), verdict.until_of()), (UNNAMED, until), "{body}");
    }
    let busy = judge(&any(), 503, &[], r#"{"error":"busy","retry_after":20}"#);
    assert_eq!((busy.kind(), busy.until_of()), (K::Overloaded, waits(20)));
    // A header is what is made for it, and what no status asks to wait for waits for nothing.
    let header = judge(&any(), 429, &[("retry-after", "7")], r#"{"retry_after":600}"#);
    assert_eq!(header.until_of(), waits(7));
    assert_eq!(is(&judge(&any(), 400, &[], r#"{"message":"x","retry_after":600}"#)), CALLER);
    assert_eq!(judge(&any(), 403, &[], r#"{"message":"no","retry_after":600}"#).kind(), K::RateLimited);
}

#[test]
fn of_other_apis() {
    all(
        &any(),
        &[
            (
                "ElevenLabs, voices",
                400,
                r#"{"detail":{"status":"voice_limit_reached","message":"You have reached your maximum amount of custom voices (10 / 10)."}}"#,
                CALLER,
            ),
            (
                "ElevenLabs, voices",
                403,
                r#"{"detail":{"status":"voice_limit_reached","message":"You have reached your maximum amount of custom voices (10 / 10)."}}"#,
                CALLER,
            ),
            (
                "ElevenLabs, busy",
                429,
                r#"{"detail":{"status":"system_busy","message":"We are sorry, the system is experiencing heavy traffic, please try again."}}"#,
                BUSY,
            ),
            (
                "ElevenLabs, at once",
                429,
                r#"{"detail":{"status":"too_many_concurrent_requests","message":"Too many concurrent requests. Your current subscription is associated with a maximum of 2 concurrent requests."}}"#,
                UNNAMED,
            ),
            ("ElevenLabs, key", 401, r#"{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}"#, KEY),
            (
                "fixer.io, month",
                429,
                r#"{"success":false,"error":{"code":104,"type":"monthly_limit_reached","info":"Your monthly API request volume has been reached. Please upgrade your plan."}}"#,
                SPENT,
            ),
            (
                "fixer.io, month",
                403,
                r#"{"success":false,"error":{"code":104,"type":"usage_limit_reached","info":"Your monthly usage limit has been reached."}}"#,
                SPENT,
            ),
            (
                "fixer.io, key",
                401,
                r#"{"success":false,"error":{"code":101,"type":"invalid_access_key","info":"You have not supplied a valid API Access Key."}}"#,
                KEY,
            ),
            (
                "fixer.io, key",
                400,
                r#"{"success":false,"error":{"code":101,"type":"invalid_access_key","info":"You have not supplied a valid API Access Key."}}"#,
                KEY,
            ),
            (
                "fixer.io, plan",
                403,
                r#"{"success":false,"error":{"code":105,"type":"function_access_restricted","info":"Access Restricted - Your current Subscription Plan does not support this API Function."}}"#,
                NOT_IN_PLAN,
            ),
            (
                "fixer.io, plan",
                403,
                r#"{"success":false,"error":{"code":105,"type":"https_access_restricted","info":"Access Restricted - Your current Subscription Plan does not support HTTPS Encryption."}}"#,
                NOT_IN_PLAN,
            ),
            (
                "fixer.io, plan",
                403,
                r#"{"success":false,"error":{"code":105,"type":"base_currency_access_restricted"}}"#,
                NOT_IN_PLAN,
            ),
            (
                "marketstack, plan",
                403,
                r#"{"error":{"code":"function_access_restricted","message":"Your current plan does not support this."}}"#,
                NOT_IN_PLAN,
            ),
            (
                "fixer.io, empty",
                404,
                r#"{"success":false,"error":{"code":106,"type":"no_rates_available","info":"Your query did not return any results."}}"#,
                CALLER,
            ),
        ],
    );
}

/// A page of the server in front that says no more than its status is a limit without a name.
#[test]
fn a_bare_page_of_too_many_requests() {
    let page = |server: &str| {
        format!(
            "<html>\r\n<head><title>429 Too Many Requests</title></head>\r\n<body>\r\n<center><h1>429 Too Many Requests</h1></center>\r\n<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
        )
    };
    for server in ["nginx", "nginx/1.24.0 (Ubuntu)", "openresty/1.25.3.1"] {
        for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new(), &any()] {
            let verdict = judge(provider, 429, &[("content-type", "text/html")], &page(server));
            assert_eq!((is(&verdict), verdict.is_named()), (UNNAMED, false), "{server} {verdict:?}");
        }
    }
    let waits_for = judge(&OpenAi::new(), 429, &[("content-type", "text/html"), ("retry-after", "9")], &page("nginx"));
    assert_eq!((is(&waits_for), waits_for.until_of()), (UNNAMED, waits(9)));
    // Nothing of that is said by a page with more on it.
    let other = page("Cloudflare Ray ID: 0");
    assert_eq!(is(&judge(&OpenAi::new(), 429, &[("content-type", "text/html")], &other)), BLOCKED);
    let denied = page("nginx").replace("429 Too Many Requests", "403 Forbidden");
    assert_eq!(is(&judge(&OpenAi::new(), 403, &[("content-type", "text/html")], &denied)), BLOCKED);
}

/// Code Assist's quotas begin anew after hours, or after days.
#[test]
fn a_quota_that_resets_in_a_week() {
    let body = |after: &str| {
        format!(
            r#"{{"error":{{"code":429,"message":"You have exhausted your capacity on this model. Your quota will reset after {after}.","status":"RESOURCE_EXHAUSTED","details":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED","domain":"cloudcode-pa.googleapis.com","metadata":{{"uiMessage":"true","model":"gemini-x","quotaResetDelay":"{after}"}}}}]}}}}"#
        )
    };
    for (after, seconds) in [("164h13m26s", 591_206), ("42h1m20s", 151_280), ("48m20s", 2_900), ("3s", 3)] {
        let verdict = judge(&Gemini::new(), 429, &[], &body(after));
        assert_eq!((is(&verdict), verdict.until_of()), (QUOTA, waits(seconds)), "{after}: {verdict:?}");
    }
    let endless = judge(&Gemini::new(), 429, &[], &body("16400h0m0s"));
    assert!(endless.retry_after().is_none_or(|wait| wait <= Duration::from_secs(31 * 24 * 3_600)), "{endless:?}");
}

#[test]
fn of_googles() {
    all(
        &Gemini::new(),
        &[
            (
                "role",
                400,
                r#"{"error":{"code":400,"message":"Please use a valid role: user, model.","status":"INVALID_ARGUMENT"}}"#,
                CALLER,
            ),
            (
                "tokens",
                400,
                r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
                CALLER,
            ),
            (
                "cache",
                400,
                r#"{"error":{"code":400,"message":"Cached content is too small. total_token_count=500, min_total_token_count=1024","status":"INVALID_ARGUMENT"}}"#,
                CALLER,
            ),
            (
                "payload",
                400,
                r#"{"error":{"code":400,"message":"Request payload size exceeds the limit: 20971520 bytes.","status":"INVALID_ARGUMENT"}}"#,
                CALLER,
            ),
            (
                "a list",
                400,
                r#"[{"error":{"code":400,"message":"Unable to process input image. Please retry or report","status":"INVALID_ARGUMENT"}}]"#,
                CALLER,
            ),
            (
                "Vertex, input",
                400,
                r#"{"error":{"code":400,"message":"Unable to submit request because it must have a text parameter.","status":"INVALID_ARGUMENT"}}"#,
                CALLER,
            ),
            (
                "demand",
                503,
                r#"{"error":{"code":503,"message":"This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again later.","status":"UNAVAILABLE"}}"#,
                BUSY,
            ),
            (
                "inside",
                500,
                r#"{"error":{"code":500,"message":"An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting","status":"INTERNAL"}}"#,
                AGAIN,
            ),
            ("front", 502, "<!DOCTYPE html><title>Error 502 (Server Error)!!1</title>", AGAIN),
            ("too long a page", 413, "<!DOCTYPE html><title>Error 413 (Request Entity Too Large)!!1</title>", CALLER),
            (
                "blocked API",
                403,
                r#"{"error":{"code":403,"message":"Requests to this API generativelanguage.googleapis.com method google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent are blocked.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_SERVICE_BLOCKED","domain":"googleapis.com"}]}}"#,
                KEY,
            ),
            (
                "Vertex, busy",
                429,
                r#"{"error":{"code":429,"message":"Resource exhausted. Please try again later. Please refer to https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.","status":"RESOURCE_EXHAUSTED"}}"#,
                BUSY,
            ),
            (
                "Vertex, quota",
                429,
                r#"{"error":{"code":429,"message":"Quota exceeded for aiplatform.googleapis.com/generate_content_requests_per_minute_per_project_per_base_model with base model: gemini-x. Please submit a quota increase request.","status":"RESOURCE_EXHAUSTED"}}"#,
                RATE,
            ),
            (
                "Vertex, region",
                429,
                r#"{"error":{"code":429,"message":"Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base model: textembedding-gecko.","status":"RESOURCE_EXHAUSTED"}}"#,
                RATE,
            ),
            (
                "aborted",
                409,
                r#"{"error":{"code":409,"message":"The operation was aborted.","status":"ABORTED"}}"#,
                AGAIN,
            ),
            (
                "unimplemented",
                501,
                r#"{"error":{"code":501,"message":"Operation is not implemented, or supported, or enabled.","status":"UNIMPLEMENTED"}}"#,
                CALLER,
            ),
        ],
    );
}

#[test]
fn of_openai_and_azure() {
    all(
        &OpenAi::new(),
        &[
            (
                "engine",
                429,
                r#"{"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error","param":null,"code":null}}"#,
                BUSY,
            ),
            (
                "model",
                503,
                r#"{"error":{"message":"That model is currently overloaded with other requests. You can retry your request, or contact us through our help center.","type":"server_error","param":null,"code":null}}"#,
                BUSY,
            ),
            (
                "form",
                400,
                r#"{"error":{"message":"We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly.)","type":"invalid_request_error","param":null,"code":null}}"#,
                CALLER,
            ),
            (
                "hard limit",
                400,
                r#"{"error":{"message":"Billing hard limit has been reached","type":"invalid_request_error","param":null,"code":"billing_hard_limit_reached"}}"#,
                MONEY,
            ),
            (
                "project",
                403,
                r#"{"error":{"message":"Project `proj_0` does not have access to model `gpt-x`","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
                NOT_FOR_KEY,
            ),
            (
                "embeddings",
                403,
                r#"{"error":{"message":"You are not allowed to generate embeddings from this model","type":"invalid_request_error","param":null,"code":null}}"#,
                NOT_FOR_KEY,
            ),
            (
                "organization",
                401,
                r#"{"error":{"message":"No such organization: org-0.","type":"invalid_request_error","param":null,"code":"invalid_organization"}}"#,
                OURS,
            ),
            (
                "issuer",
                401,
                r#"{"error":{"message":"Your authentication token is not from a valid issuer.","type":"invalid_request_error","param":null,"code":"invalid_issuer"}}"#,
                KEY,
            ),
            (
                "path",
                404,
                r#"{"error":{"message":"Unknown request URL: POST /v1/chat/completion. Please check the URL for typos.","type":"invalid_request_error","param":null,"code":"unknown_url"}}"#,
                CALLER,
            ),
            (
                "path",
                404,
                r#"{"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)","type":"invalid_request_error","param":null,"code":null}}"#,
                CALLER,
            ),
            (
                "Azure, token",
                401,
                r#"{"statusCode":401,"message":"Unauthorized. Access token is missing, invalid, audience is incorrect (https://cognitiveservices.azure.com), or have expired."}"#,
                KEY,
            ),
            ("Azure, path", 404, r#"{"error":{"code":"404","message":"Resource not found"}}"#, CALLER),
            (
                "Azure, filter",
                400,
                r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                CALLER,
            ),
            (
                "Azure, operation",
                400,
                r#"{"error":{"code":"OperationNotSupported","message":"The chatCompletion operation does not work with the specified model, text-embedding-ada-002. Please choose different model and try again."}}"#,
                CALLER,
            ),
            (
                "Azure, role",
                401,
                r#"{"error":{"code":"PermissionDenied","message":"The principal `0` lacks the required data action `Microsoft.CognitiveServices/accounts/OpenAI/deployments/chat/completions/action` to perform `POST /openai/deployments/{deployment-id}/chat/completions` operation."}}"#,
                KEY,
            ),
            ("Azure, time", 408, r#"{"error":{"code":"Timeout","message":"The operation was timeout."}}"#, AGAIN),
            (
                "Azure, backend",
                500,
                r#"{"error":{"code":"InternalServerError","message":"Backend returned unexpected response. Please contact Microsoft for help."}}"#,
                AGAIN,
            ),
        ],
    );
    let tier = r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-02-01 have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after 6 seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."}}"#;
    let verdict = judge(&OpenAi::new(), 429, &[], tier);
    assert_eq!((is(&verdict), verdict.until_of()), (RATE, waits(6)));
}

#[test]
fn of_anthropics() {
    let error = |kind: &str, message: &str| {
        format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_0"}}"#)
    };
    for (status, kind, message, meaning) in [
        (400, "invalid_request_error", "messages: text content blocks must be non-empty", CALLER),
        (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", CALLER),
        (400, "invalid_request_error", "anthropic-version: header is required", CALLER),
        (
            429,
            "rate_limit_error",
            "This request would exceed your organization's maximum usage increase rate for input tokens per minute. Please scale up your input tokens usage more gradually to stay within the acceleration limit.",
            RATE,
        ),
        (
            429,
            "rate_limit_error",
            "Number of request tokens has exceeded your per-minute rate limit (https://docs.anthropic.com/en/api/rate-limits); see the response headers for current usage.",
            RATE,
        ),
        (
            429,
            "rate_limit_error",
            "Number of concurrent connections has exceeded your rate limit. Please try again later or contact sales.",
            RATE,
        ),
        (
            429,
            "rate_limit_error",
            "Number of request tokens has exceeded your daily rate limit (https://docs.anthropic.com/en/api/rate-limits).",
            QUOTA,
        ),
        (401, "authentication_error", "x-api-key header is required", OURS),
        (500, "api_error", "Internal server error", AGAIN),
        (404, "not_found_error", "Not Found", CALLER),
    ] {
        let verdict = judge(&Anthropic::new(), status, &[], &error(kind, message));
        assert_eq!(is(&verdict), meaning, "{status} {message}: {verdict:?}");
    }
    let challenge = "<!DOCTYPE html><html lang=\"en-US\"><head><title>Just a moment...</title>";
    assert_eq!(is(&judge(&Anthropic::new(), 403, &[("content-type", "text/html")], challenge)), BLOCKED);
}

#[test]
fn of_vendors() {
    all(
        &OpenAi::new(),
        &[
            ("Mistral, key", 401, r#"{"message":"Unauthorized","request_id":"0"}"#, KEY),
            (
                "Mistral, tier",
                429,
                r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}"#,
                BUSY,
            ),
            (
                "Mistral, rate",
                429,
                r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300"}"#,
                RATE,
            ),
            (
                "Mistral, form",
                422,
                r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{}}]}"#,
                CALLER,
            ),
            (
                "Mistral, model",
                400,
                r#"{"object":"error","message":"Invalid model: mistral-x","type":"invalid_model","param":null,"code":"1500"}"#,
                NO_SUCH_MODEL,
            ),
            (
                "Mistral, long",
                400,
                r#"{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_invalid_args","param":null,"code":"3051"}"#,
                CALLER,
            ),
            (
                "Groq, large",
                413,
                r#"{"error":{"message":"Request too large for model `llama-x` in organization `org_0` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Requested 8214, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}"#,
                TOO_LARGE,
            ),
            (
                "Groq, busy",
                503,
                r#"{"error":{"message":"llama-x is currently over capacity. Please try again and back off exponentially. Visit https://groqstatus.com to see if there is an active incident.","type":"internal_server_error","code":"over_capacity"}}"#,
                BUSY,
            ),
            (
                "Groq, flex",
                498,
                r#"{"error":{"message":"Flex tier capacity exceeded. Please retry your request later","type":"capacity_exceeded"}}"#,
                BUSY,
            ),
            (
                "Groq, tools",
                400,
                r#"{"error":{"message":"Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"x"}}"#,
                CALLER,
            ),
            (
                "Groq, restricted",
                400,
                r#"{"error":{"message":"Organization has been restricted. Please reach out to support if you believe this was in error.","type":"invalid_request_error","code":"organization_restricted"}}"#,
                SUSPENDED,
            ),
            (
                "Together, money",
                402,
                r#"{"id":"0","error":{"message":"Credit limit exceeded, please navigate to https://api.together.xyz/settings/billing to add credit/upgrade your plan","type":"credit_limit","param":null,"code":null}}"#,
                MONEY,
            ),
            (
                "Together, long",
                422,
                r#"{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and 512 `max_new_tokens`","type":"invalid_request_error","param":null,"code":null}}"#,
                CALLER,
            ),
            (
                "Together, model",
                404,
                r#"{"id":"0","error":{"message":"Unable to access model x. Please visit https://api.together.ai/models to view the list of supported models.","type":"invalid_request_error","param":"model","code":"model_not_available"}}"#,
                NOT_FOR_KEY,
            ),
            (
                "Fireworks, model",
                404,
                r#"{"error":{"object":"error","type":"invalid_request_error","code":"NOT_FOUND","message":"Model not found, inaccessible, and/or not deployed"}}"#,
                NOT_FOR_KEY,
            ),
            (
                "Fireworks, rate",
                429,
                r#"{"error":{"object":"error","type":"rate_limit_exceeded","code":"rate_limit_exceeded","message":"Request rate limit exceeded, please try again later"}}"#,
                RATE,
            ),
            (
                "DeepSeek, money",
                402,
                r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
                MONEY,
            ),
            (
                "DeepSeek, key",
                401,
                r#"{"error":{"message":"Authentication Fails, Your api key: ****abcd is invalid","type":"authentication_error","param":null,"code":"invalid_request_error"}}"#,
                KEY,
            ),
            (
                "DeepSeek, model",
                400,
                r#"{"error":{"message":"Model Not Exist","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
                NO_SUCH_MODEL,
            ),
            (
                "DeepSeek, busy",
                503,
                r#"{"error":{"message":"Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.","type":"service_unavailable_error","param":null,"code":"service_unavailable_error"}}"#,
                BUSY,
            ),
            (
                "DeepSeek, form",
                422,
                "Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `x`, expected one of `system`, `user`",
                CALLER,
            ),
            (
                "xAI, model",
                404,
                r#"{"code":"Some requested entity was not found","error":"The model grok-x does not exist or your team 0-0 does not have access to it. Please ensure you're using the correct API key."}"#,
                NOT_FOR_KEY,
            ),
            (
                "xAI, rate",
                429,
                r#"{"code":"Some resource has been exhausted","error":"Too many requests for team 0 and model grok-x. Your team's rate limit is — Requests per Second (actual/limit): 2/2, Requests per Minute (actual/limit): 9/480."}"#,
                RATE,
            ),
            (
                "xAI, content",
                403,
                r#"{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Team: 0, API key ID: 0, Model: grok-x, Failed check: SAFETY_CHECK_TYPE_BIO"}"#,
                CALLER,
            ),
            (
                "xAI, away",
                503,
                r#"{"code":"The service is currently unavailable","error":"The model is temporarily unavailable. Check the status page."}"#,
                BUSY,
            ),
            (
                "Cohere, trial minute",
                429,
                r#"{"message":"You are using a Trial key, which is limited to 10 API calls / minute. You can continue to use the Trial key for free or upgrade to a Production key with higher rate limits at 'https://dashboard.cohere.com/api-keys'."}"#,
                RATE,
            ),
            (
                "Cohere, trial month",
                429,
                r#"{"message":"You are using a Trial key, which is limited to 1000 API calls / month. You can continue to use the Trial key for free or upgrade to a Production key with higher rate limits at 'https://dashboard.cohere.com/api-keys'."}"#,
                QUOTA,
            ),
            ("Cohere, key", 401, r#"{"message":"invalid api token"}"#, KEY),
            (
                "Cohere, model",
                404,
                r#"{"message":"model 'command-x' not found, make sure the correct model ID was used and that you have access to the model."}"#,
                NO_SUCH_MODEL,
            ),
            (
                "Cohere, long",
                400,
                r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000."}"#,
                CALLER,
            ),
            (
                "Cohere, inside",
                500,
                r#"{"message":"internal server error, this has been reported to our developers. id 0-0"}"#,
                AGAIN,
            ),
            (
                "Cohere, card",
                402,
                r#"{"message":"Please add or update your payment method at https://dashboard.cohere.com/billing?tab=payment to continue"}"#,
                MONEY,
            ),
            ("Cohere, left", 499, r#"{"message":"request cancelled"}"#, CANCELLED),
            (
                "Perplexity, front",
                401,
                "<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>\r\n<center><h1>401 Authorization Required</h1></center>\r\n<hr><center>openresty/1.25.3.1</center>",
                KEY,
            ),
            (
                "Perplexity, model",
                400,
                r#"{"error":{"message":"Invalid model 'sonar-x'. Permitted models can be found in the documentation at https://docs.perplexity.ai/getting-started/models.","type":"invalid_model","code":400}}"#,
                NO_SUCH_MODEL,
            ),
            (
                "Cerebras, rate",
                429,
                r#"{"message":"Requests per minute limit exceeded - too many requests sent.","type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}"#,
                RATE,
            ),
            (
                "Cerebras, day",
                429,
                r#"{"message":"Tokens per day limit exceeded - too many tokens processed.","type":"too_many_tokens_error","param":"quota","code":"token_quota_exceeded"}"#,
                QUOTA,
            ),
            (
                "Cerebras, model",
                404,
                r#"{"message":"Model x does not exist or you do not have access to it.","type":"not_found_error","param":"model","code":"model_not_found"}"#,
                NOT_FOR_KEY,
            ),
            (
                "Cerebras, money",
                402,
                r#"{"message":"Payment required to access this resource.","type":"payment_required_error","param":"quota","code":"payment_required"}"#,
                MONEY,
            ),
            ("NIM, key", 403, r#"{"status":403,"title":"Forbidden","detail":"Authorization failed"}"#, KEY_LANE),
            ("NIM, rate", 429, r#"{"status":429,"title":"Too Many Requests"}"#, UNNAMED),
            ("NIM, path", 404, "404 page not found", CALLER),
        ],
    );
    let daily = r#"{"error":{"message":"Rate limit reached for model `llama-x` in organization `org_0` service tier `on_demand` on tokens per day (TPD): Limit 100000, Used 99336, Requested 2000. Please try again in 19m14.304s. Need more tokens? Upgrade to Dev Tier today","type":"tokens","code":"rate_limit_exceeded"}}"#;
    let verdict = judge(&OpenAi::new(), 429, &[], daily);
    assert_eq!((is(&verdict), verdict.until_of()), (RATE, U::For(Duration::from_millis(1_154_304))));
}

#[test]
fn of_hosts_and_servers() {
    all(
        &OpenAi::new(),
        &[
            ("HF, loading", 503, r#"{"error":"Model meta-llama/x is currently loading","estimated_time":20.0}"#, BUSY),
            ("HF, key", 401, r#"{"error":"Invalid credentials in Authorization header"}"#, KEY),
            ("HF, name", 401, r#"{"error":"Invalid username or password."}"#, KEY),
            (
                "HF, size",
                403,
                r#"{"error":"The model meta-llama/x is too large to be loaded automatically (17GB > 10GB)."}"#,
                NOT_FOR_KEY,
            ),
            (
                "HF, hourly",
                429,
                r#"{"error":"Rate limit reached. You reached free usage limit (reset hourly). Please subscribe to a plan at https://huggingface.co/pricing to use the API at this rate"}"#,
                RATE,
            ),
            (
                "HF, chat",
                400,
                r#"{"error":{"message":"The requested model 'x' is not a chat model","type":"invalid_request_error","param":"model","code":"model_not_supported"}}"#,
                NOT_FOR_KEY,
            ),
            (
                "Bedrock, profile",
                400,
                r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"Invocation of model ID anthropic.claude-x with on-demand throughput isn't supported. Retry your request with the ID or ARN of an inference profile that contains this model."}"#,
                CALLER,
            ),
            (
                "Bedrock, busy",
                503,
                r#"{"__type":"com.amazon.coral.service#ServiceUnavailableException","message":"Bedrock is unable to process your request."}"#,
                BUSY,
            ),
            (
                "Bedrock, time",
                408,
                r#"{"__type":"com.amazon.bedrock#ModelTimeoutException","message":"Model has timed out in processing the request."}"#,
                AGAIN,
            ),
            (
                "Bedrock, policy",
                403,
                r#"{"__type":"com.amazon.coral.service#AccessDeniedException","message":"User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/x because no identity-based policy allows the bedrock:InvokeModel action"}"#,
                KEY_LANE,
            ),
            (
                "Cloudflare, key",
                401,
                r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}"#,
                KEY,
            ),
            (
                "Cloudflare, input",
                400,
                r#"{"errors":[{"message":"AiError: Bad input: Error: oneOf at '/' not met","code":5006}],"success":false,"result":{},"messages":[]}"#,
                CALLER,
            ),
            (
                "Cloudflare, path",
                400,
                r#"{"success":false,"errors":[{"code":7003,"message":"Could not route to /client/v4/accounts/x/ai/run/y, perhaps your object identifier is invalid?"}],"messages":[],"result":null}"#,
                CALLER,
            ),
            (
                "Cloudflare, capacity",
                429,
                r#"{"errors":[{"message":"AiError: Capacity temporarily exceeded, please try again.","code":3040}],"success":false,"result":{},"messages":[]}"#,
                BUSY,
            ),
            ("Cloudflare, origin", 522, "<!DOCTYPE html><title>a.example | 522: Connection timed out</title>", AGAIN),
            (
                "Cloudflare, front",
                403,
                "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title>",
                BLOCKED,
            ),
            (
                "LiteLLM, key",
                401,
                r#"{"error":{"message":"Authentication Error, Invalid proxy server token passed. Received API Key = sk-...abcd, Key Hash (Token) =0a. Unable to find token in cache or `LiteLLM_VerificationTokenTable`","type":"token_not_found_in_db","param":"key","code":"401"}}"#,
                KEY,
            ),
            (
                "LiteLLM, rate",
                429,
                r#"{"error":{"message":"Rate limit exceeded for api_key: 0a. Limit type: requests. Current limit: 5, Remaining: 0. Limit resets at: 2026-11-18 11:07:40 UTC","type":"None","param":"None","code":"429"}}"#,
                RATE,
            ),
            (
                "LiteLLM, expired",
                400,
                r#"{"error":{"message":"Authentication Error, Authentication Error - Expired Key. Key Expiry time 2026-01-01 and current time 2026-11-18","type":"expired_key","param":"key","code":"400"}}"#,
                KEY,
            ),
            (
                "LiteLLM, behind",
                500,
                r#"{"error":{"message":"litellm.APIConnectionError: OllamaException - Server disconnected","type":null,"param":null,"code":"500"}}"#,
                AGAIN,
            ),
            (
                "LiteLLM, long",
                400,
                r#"{"error":{"message":"litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException - This model's maximum context length is 8192 tokens.","type":null,"param":null,"code":"400"}}"#,
                CALLER,
            ),
            (
                "LiteLLM, time",
                408,
                r#"{"error":{"message":"litellm.Timeout: APITimeoutError - Request timed out.","type":null,"param":null,"code":"408"}}"#,
                AGAIN,
            ),
            (
                "LiteLLM, other",
                401,
                r#"{"error":{"message":"Authentication Error, LiteLLM Virtual Key expected. Received=foo, expected to start with 'sk-'.","type":"auth_error","param":"None","code":"401"}}"#,
                KEY,
            ),
            ("vLLM, key", 401, r#"{"error":"Unauthorized"}"#, KEY),
            (
                "vLLM, long",
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.","type":"BadRequestError","param":null,"code":400}"#,
                CALLER,
            ),
            (
                "vLLM, inside",
                500,
                r#"{"object":"error","message":"Internal Server Error","type":"InternalServerError","param":null,"code":500}"#,
                AGAIN,
            ),
            (
                "Ollama, model",
                404,
                r#"{"error":{"message":"model \"llama9\" not found, try pulling it first","type":"api_error","param":null,"code":null}}"#,
                NO_SUCH_MODEL,
            ),
            ("Ollama, native", 404, r#"{"error":"model 'llama9' not found"}"#, NO_SUCH_MODEL),
            (
                "Ollama, busy",
                503,
                r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
                BUSY,
            ),
            (
                "Ollama, hourly",
                429,
                r#"{"error":"you've reached your hourly usage limit, please upgrade to continue"}"#,
                QUOTA,
            ),
            (
                "Ollama, weekly",
                429,
                r#"{"error":"you (name) have reached your weekly usage limit, upgrade for higher limits: https://ollama.com/upgrade"}"#,
                QUOTA,
            ),
            ("Ollama, tools", 400, r#"{"error":"\"llama3\" does not support tools"}"#, CALLER),
            ("GitHub, key", 401, r#"{"error":{"code":"unauthorized","message":"Bad credentials"}}"#, KEY),
            (
                "GitHub, large",
                413,
                r#"{"error":{"code":"tokens_limit_reached","message":"Request body too large for gpt-x model. Max size: 8000 tokens.","details":"Request body too large for gpt-x model. Max size: 8000 tokens."}}"#,
                CALLER,
            ),
            (
                "GitHub, model",
                403,
                r#"{"error":{"code":"no_access","message":"No access to model: o1","details":"No access to model: o1"}}"#,
                NOT_FOR_KEY,
            ),
            ("OpenRouter, key", 401, r#"{"error":{"message":"Missing Authentication header","code":401}}"#, KEY),
            (
                "OpenRouter, tools",
                404,
                r#"{"error":{"message":"No endpoints found that support tool use. To learn more about provider routing, visit: https://openrouter.ai/docs/provider-routing","code":404}}"#,
                NO_SUCH_MODEL,
            ),
            (
                "OpenRouter, raw",
                429,
                r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"a/b:free is temporarily rate-limited upstream. Please retry shortly, or add your own key to accumulate your rate limits","provider_name":"Chutes"}},"user_id":"user_0"}"#,
                BUSY,
            ),
            (
                "OpenRouter, away",
                502,
                r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"raw":"upstream connect error","provider_name":"X"}}}"#,
                AGAIN,
            ),
        ],
    );
    let loading = r#"{"error":"Model meta-llama/x is currently loading","estimated_time":20.0}"#;
    assert_eq!(judge(&OpenAi::new(), 503, &[], loading).until_of(), waits(20));
}

/// The same behind a good head, as events of a stream have them.
#[test]
fn in_streams() {
    let event = |provider: &dyn Provider, body: &str| {
        provider.judge(&Answer::new(StatusCode::OK, &HeaderMap::new(), body.as_bytes(), now()).event())
    };
    let (openai, anthropic, gemini) = (OpenAi::new(), Anthropic::new(), Gemini::new());
    let all: [(&str, &dyn Provider, &str, Meaning); 19] = [
        (
            "OpenAI",
            &openai,
            r#"{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}"#,
            AGAIN,
        ),
        (
            "OpenAI, rate",
            &openai,
            r#"{"error":{"message":"Rate limit reached for gpt-x in organization org-0 on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
            RATE,
        ),
        (
            "OpenAI, responses",
            &openai,
            r#"{"type":"error","code":"rate_limit_exceeded","message":"Rate limit reached.","param":null,"sequence_number":1}"#,
            RATE,
        ),
        (
            "OpenAI, responses failed",
            &openai,
            r#"{"type":"response.failed","sequence_number":1,"response":{"id":"resp_0","object":"response","status":"failed","error":{"code":"server_error","message":"The model failed to generate a response."}}}"#,
            AGAIN,
        ),
        (
            "OpenAI, out of quota",
            &openai,
            r#"{"type":"response.failed","response":{"id":"resp_0","status":"failed","error":{"code":"insufficient_quota","message":"You exceeded your current quota."}}}"#,
            MONEY,
        ),
        (
            "OpenAI, policy",
            &openai,
            r#"{"type":"response.failed","response":{"id":"resp_0","status":"failed","error":{"code":"content_policy_violation","message":"x"}}}"#,
            CALLER,
        ),
        (
            "Azure, filter",
            &openai,
            r#"{"error":{"message":"The response was filtered.","type":null,"param":"prompt","code":"content_filter","status":400}}"#,
            CALLER,
        ),
        (
            "OpenRouter",
            &openai,
            r#"{"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"x","provider":"Y","error":{"code":502,"message":"Provider returned error"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
            AGAIN,
        ),
        (
            "Groq",
            &openai,
            r#"{"error":{"message":"Failed to call a function.","type":"invalid_request_error","code":"tool_use_failed","status_code":400}}"#,
            CALLER,
        ),
        (
            "vLLM",
            &openai,
            r#"{"error":{"object":"error","message":"The engine is dead.","type":"InternalServerError","param":null,"code":500}}"#,
            AGAIN,
        ),
        (
            "DashScope, rate",
            &openai,
            r#"{"error":{"code":"Throttling.ResourceExhausted","param":null,"message":"An error occurred in model serving, error message is: [Too many requests.]","type":"Throttling.ResourceExhausted"},"request_id":"0"}"#,
            RATE,
        ),
        (
            "DashScope, content",
            &openai,
            r#"{"error":{"code":"data_inspection_failed","param":null,"message":"Output data may contain inappropriate content.","type":"data_inspection_failed"},"request_id":"0"}"#,
            CALLER,
        ),
        (
            "Mistral",
            &openai,
            r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}"#,
            BUSY,
        ),
        (
            "Anthropic",
            &anthropic,
            r#"{"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"},"request_id":"req_0"}"#,
            BUSY,
        ),
        (
            "Anthropic, inside",
            &anthropic,
            r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#,
            AGAIN,
        ),
        (
            "Anthropic, rate",
            &anthropic,
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit of 30,000 input tokens per minute."}}"#,
            RATE,
        ),
        (
            "Gemini",
            &gemini,
            r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#,
            BUSY,
        ),
        (
            "Gemini, list",
            &gemini,
            r#"[{"error":{"code":500,"message":"Internal error encountered.","status":"INTERNAL"}}]"#,
            AGAIN,
        ),
        (
            "Gemini, late",
            &gemini,
            r#"{"error":{"code":504,"message":"Deadline expired before operation could complete.","status":"DEADLINE_EXCEEDED"}}"#,
            AGAIN,
        ),
    ];
    let wrong: Vec<String> = all
        .iter()
        .map(|(who, provider, body, meaning)| (who, meaning, event(*provider, body)))
        .filter(|(_, meaning, verdict)| is(verdict) != **meaning)
        .map(|(who, meaning, verdict)| format!("{who}: {verdict:?}, not {meaning:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whose answer, its body, its headers, and how long it says to wait.
type Told<'a> = (&'a dyn Provider, &'a str, &'a [(&'a str, &'a str)], Duration);

/// How long each says it takes, in the header that it has for that.
#[test]
fn waits_in_headers() {
    let (openai, anthropic) = (OpenAi::new(), Anthropic::new());
    let limited = r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#;
    let claude = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Number of requests has exceeded your per-minute rate limit."}}"#;
    let all: [Told<'_>; 7] = [
        (&openai, limited, &[("retry-after-ms", "1234.5"), ("retry-after", "2")], Duration::from_micros(1_234_500)),
        (&openai, limited, &[("retry-after", "2")], Duration::from_secs(2)),
        (
            &openai,
            limited,
            &[
                ("x-ratelimit-remaining-requests", "0"),
                ("x-ratelimit-reset-requests", "8.64s"),
                ("x-ratelimit-remaining-tokens", "900"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ],
            Duration::from_millis(8_640),
        ),
        (
            &openai,
            limited,
            &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s")],
            Duration::from_secs(360),
        ),
        (&anthropic, claude, &[("retry-after", "41")], Duration::from_secs(41)),
        (
            &anthropic,
            claude,
            &[
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2026-11-20T05:46:20Z"),
            ],
            Duration::from_secs(20),
        ),
        (&anthropic, claude, &[("anthropic-ratelimit-unified-reset", "1795153660")], Duration::from_secs(100)),
    ];
    for (provider, body, headers, wait) in all {
        let verdict = judge(provider, 429, headers, body);
        assert_eq!((is(&verdict), verdict.until_of()), (RATE, U::For(wait)), "{} {headers:?}", provider.name());
    }
}
