//! Errors of many services, some as threads and others' tests hold them, most from memory of such and of documentation; each judged
//! by hand before it was judged here.

use std::time::Duration;

use tower_keypool::{Anthropic, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, VerdictKind as K};

use crate::meaning::{
    AGAIN, BUSY, CALLER, KEY, KEY_LANE, MONEY, NO_SUCH_MODEL, NOT_FOR_ACCOUNT, NOT_FOR_KEY, NOT_IN_PLAN, OURS, QUOTA,
    RATE, SPENT, SUSPENDED, UNNAMED, WRONG_OWNER, all, any, is, judge_text as judge, waits,
};

/// When an account's plan begins anew stands in its sentence, with the offset that makes it a moment.
#[test]
fn moments_in_sentences_end_rests() {
    let ark = r#"{"error":{"code":"AccountQuotaExceeded","message":"You have exceeded the 5-hour usage quota. It will reset at 2026-11-20 18:00:00 +0800 CST. Request id: 0","param":"","type":"TooManyRequests"}}"#;
    for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
        let verdict = judge(provider, 429, &[], ark);
        assert_eq!((is(&verdict), verdict.until_of()), (MONEY, waits(15_240)), "{verdict:?}");
    }
    let litellm = r#"{"error":{"message":"Rate limit exceeded for api_key: 0123456789abcdef. Limit type: tokens. Current limit: 100, Remaining: 0. Limit resets at: 2026-11-20 05:47:00 UTC","type":"None","param":"None","code":"429"}}"#;
    let verdict = judge(&OpenAi::new(), 429, &[], litellm);
    assert_eq!((is(&verdict), verdict.until_of()), (RATE, waits(60)));
    // Without one nobody knows which it is.
    let zhipu = r#"{"error":{"code":"1310","message":"Weekly/Monthly Limit Exhausted. Your limit will reset at 2026-11-26 22:19:54"}}"#;
    let verdict = judge(&OpenAi::new(), 429, &[], zhipu);
    assert_eq!((is(&verdict), verdict.until_of()), (QUOTA, U::Probed(Duration::from_secs(6 * 3_600))));
    let verdict = judge(&any(), 400, &[], r#"{"message":"resets at 2026-11-20 05:47:00 UTC"}"#);
    assert_eq!((is(&verdict), verdict.until_of()), (CALLER, U::Now), "no status to wait at");
}

/// A relay whose accounts all rest says for how long, in a header or in its body.
#[test]
fn relays_tell_how_long_all_their_accounts_rest() {
    let bare =
        r#"{"error":{"code":"model_cooldown","message":"All credentials for model claude-opus-5 are cooling down"}}"#;
    let verdict = judge(&OpenAi::new(), 429, &[("retry-after", "135734")], bare);
    assert_eq!((is(&verdict), verdict.until_of()), (QUOTA, waits(135_734)));
    let told = r#"{"error":{"code":"model_cooldown","message":"All credentials for model gpt-5.6-sol are cooling down","model":"gpt-5.6-sol","reset_seconds":5616,"reset_time":"1h33m36s"}}"#;
    for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
        let verdict = judge(provider, 429, &[], told);
        assert_eq!((is(&verdict), verdict.until_of()), (QUOTA, waits(5_616)), "{verdict:?}");
    }
    let relay = r#"{"error":"Too Many Requests","message":"Too many requests from this IP, please try again later.","retryAfter":114}"#;
    let verdict = judge(&Anthropic::new(), 429, &[], relay);
    assert_eq!((verdict.kind(), verdict.until_of()), (K::RateLimited, waits(114)));
    let weekly = r#"{"type":"error","error":{"type":"GoUsageLimitError","message":"Monthly usage limit reached. Resets in 13 days. To continue using this model now, enable usage from your available balance."}}"#;
    let verdict = judge(&OpenAi::new(), 429, &[], weekly);
    assert_eq!((is(&verdict), verdict.until_of()), (QUOTA, waits(13 * 86_400)));
}

/// Who refuses in words that are no sentence of JSON's objects says so all the same.
#[test]
fn a_body_that_is_one_string_is_its_message() {
    for (status, body, meaning) in [
        (403, r#""Model disabled.""#, NOT_FOR_KEY),
        (401, r#""Invalid API key""#, KEY),
        (402, r#""Daily token limit exceeded Used: 3056133, Limit: 3000000""#, MONEY),
        (403, r#""""#, KEY_LANE),
        // No string, since it has no end.
        (403, r#""Model disabled."#, KEY_LANE),
    ] {
        let verdict = judge(&OpenAi::new(), status, &[], body);
        assert_eq!(is(&verdict), meaning, "{body}: {verdict:?}");
    }
    let quoted = r#""The model said \"Invalid API key\" to that""#;
    assert_eq!(is(&judge(&OpenAi::new(), 400, &[], quoted)), CALLER);
}

#[test]
fn amazon_tells_the_exception_in_a_header() {
    for (status, name, message, meaning) in [
        (
            429,
            "ThrottlingException",
            "Your request was denied due to exceeding the account quotas for Amazon Bedrock.",
            RATE,
        ),
        (
            404,
            "ResourceNotFoundException",
            "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in the last 30 days. Please upgrade to an active model on Amazon Bedrock",
            NOT_FOR_ACCOUNT,
        ),
        (
            404,
            "ResourceNotFoundException",
            "This model version has reached the end of its life. Please refer to the AWS documentation for more details.",
            NO_SUCH_MODEL,
        ),
        (
            400,
            "ValidationException",
            "The maximum tokens you requested exceed the model limit of 4096. Try again with a maximum tokens value lower than 4096.",
            CALLER,
        ),
        (
            400,
            "ValidationException",
            "Malformed input request: #: required key [messages] not found, please reformat your input and try again.",
            CALLER,
        ),
        (
            424,
            "ModelErrorException",
            "The system encountered an unexpected error during processing. Try your request again.",
            AGAIN,
        ),
    ] {
        let header = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
        let body = format!("{{\"message\":{message:?}}}");
        for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
            let verdict = judge(provider, status, &[("x-amzn-errortype", &header)], &body);
            assert_eq!(is(&verdict), meaning, "{message}: {verdict:?}");
        }
    }
}

/// Its gateway in front of other APIs: a plan's quota, its rate, a key that it does not know.
#[test]
fn amazons_gateway_tells_it_as_well() {
    for (status, name, message, meaning) in [
        (429, "LimitExceededException", "Limit Exceeded", SPENT),
        (429, "TooManyRequestsException", "Too Many Requests", UNNAMED),
        (403, "ForbiddenException", "Forbidden", KEY),
    ] {
        let body = format!("{{\"message\":{message:?}}}");
        let verdict = judge(&any(), status, &[("x-amzn-errortype", name)], &body);
        assert_eq!(is(&verdict), meaning, "{message}: {verdict:?}");
    }
}

/// A site lets nobody have the name of an SDK, and says so of every key.
#[test]
fn a_name_that_is_not_let_in_blames_no_key() {
    for body in [
        "Your request was blocked.",
        r#"{"error":{"message":"Your request was blocked.","type":null,"param":null,"code":null}}"#,
        r#"{"type":"error","error":{"type":"forbidden","message":"Your request was blocked."}}"#,
    ] {
        for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new(), &Gemini::new(), &any()] {
            let verdict = judge(provider, 403, &[], body);
            assert_eq!(is(&verdict), (K::Blocked, S::Exit, E::No), "{} {body}: {verdict:?}", provider.name());
            assert!(!verdict.is_named(), "nobody knows whether the next one is let in");
        }
    }
    let filtered = r#"{"error":{"message":"Your request was blocked by our content filter","code":"content_filter"}}"#;
    assert_eq!(is(&judge(&OpenAi::new(), 403, &[], filtered)), CALLER);
}

#[test]
fn a_subscription_has_some_models_alone() {
    let codex = r#"{"detail":"The 'gpt-5.5' model is not supported when using Codex with a ChatGPT account."}"#;
    assert_eq!(is(&judge(&OpenAi::new(), 400, &[], codex)), WRONG_OWNER);
    let revoked = r#"{"error":{"message":"Encountered invalidated oauth token for user, failing request","code":"token_revoked"}}"#;
    let verdict = judge(&OpenAi::new(), 401, &[], revoked);
    assert!(is(&verdict) == KEY && verdict.is_named(), "{verdict:?}");
}

/// Of what failed by itself a good answer tells.
#[test]
fn a_batch_or_a_run_that_failed_is_a_good_answer() {
    for body in [
        r#"{"id":"batch_1","object":"batch","status":"failed","errors":{"object":"list","data":[{"code":"token_limit_exceeded","message":"Enqueued token limit reached for gpt-4o in organization org-x. Limit: 90,000 enqueued tokens."}]}}"#,
        r#"{"id":"run_1","object":"thread.run","status":"failed","last_error":{"code":"rate_limit_exceeded","message":"You exceeded your current quota, please check your plan and billing details."}}"#,
    ] {
        assert!(judge(&OpenAi::new(), 200, &[], body).is_success(), "{body}");
    }
}

/// A parameter of the request that Google's older form names is the request's matter, unless it says that it is the key.
#[test]
fn what_names_a_parameter_blames_no_key() {
    let off = r#"{"error":{"code":403,"message":"The video identified by the <code><a href=\"/youtube/v3/docs/commentThreads/list#videoId\">videoId</a></code> parameter has disabled comments.","errors":[{"message":"The video has disabled comments.","domain":"youtube.commentThread","reason":"commentsDisabled","location":"videoId","locationType":"parameter"}]}}"#;
    assert_eq!(is(&judge(&any(), 403, &[], off)), CALLER);
    let spent = r#"{"error":{"code":403,"message":"The request cannot be completed because you have exceeded your quota.","errors":[{"message":"x","domain":"youtube.quota","reason":"quotaExceeded"}]}}"#;
    assert_eq!(judge(&any(), 403, &[], spent).kind(), K::QuotaExhausted);
    let unknown = r#"{"error":{"code":403,"message":"Forbidden","errors":[{"message":"Forbidden","domain":"global","reason":"forbidden"}]}}"#;
    assert_eq!(judge(&any(), 403, &[], unknown).kind(), K::InvalidKey);
}

#[test]
fn of_google() {
    all(
        &Gemini::new(),
        &[
            (
                "gemini",
                400,
                r#"{"error":{"code":400,"message":"The input token count (1194286) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
                CALLER,
            ),
            (
                "gemini",
                400,
                r#"{"error":{"code":400,"message":"Please ensure that function call turn comes immediately after a user turn or after a function response turn.","status":"INVALID_ARGUMENT"}}"#,
                CALLER,
            ),
            (
                "gemini",
                400,
                r#"{"error":{"code":400,"message":"* GenerateContentRequest.contents: contents is not specified\n","status":"INVALID_ARGUMENT"}}"#,
                CALLER,
            ),
            (
                "gemini",
                400,
                r#"{"error":{"code":400,"message":"Function calling with a response mime type: 'application/json' is unsupported","status":"INVALID_ARGUMENT"}}"#,
                CALLER,
            ),
            (
                "gemini",
                400,
                r#"{"error":{"code":400,"message":"Budget 0 is invalid. This model only works in thinking mode.","status":"INVALID_ARGUMENT"}}"#,
                CALLER,
            ),
            (
                "vertex",
                400,
                r#"{"error":{"code":400,"message":"Publisher Model `projects/p-1/locations/us-central1/publishers/anthropic/models/claude-3-7-sonnet@20250219` is not servable in region us-central1.","status":"FAILED_PRECONDITION"}}"#,
                NO_SUCH_MODEL,
            ),
            (
                "vertex",
                404,
                r#"{"error":{"code":404,"message":"Publisher Model `projects/p-1/locations/us-central1/publishers/google/models/gemini-1.5-pro-002` was not found or your project does not have access to it. Please ensure you are using a valid model version. For more information, see: https://cloud.google.com/vertex-ai/generative-ai/docs/learn/model-versions","status":"NOT_FOUND"}}"#,
                NO_SUCH_MODEL,
            ),
            (
                "gemini",
                429,
                r#"{"error":{"code":429,"message":"Quota exceeded for quota metric 'Gemini 2.5 Pro Requests' and limit 'Gemini 2.5 Pro Requests per day per user per tier' of service 'cloudcode-pa.googleapis.com' for consumer 'project_number:123456789012'.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","domain":"googleapis.com","metadata":{"consumer":"projects/123456789012","quota_limit":"Gemini25ProRequestsPerDayPerUserPerTier","quota_limit_value":"100","quota_metric":"cloudcode-pa.googleapis.com/gemini_2_5_pro_requests","service":"cloudcode-pa.googleapis.com"}}]}}"#,
                QUOTA,
            ),
            (
                "gemini",
                403,
                r#"{"error":{"code":403,"message":"Caller does not have required permission to use project my-proj-1. Grant the caller the roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use permission","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"USER_PROJECT_DENIED","domain":"googleapis.com","metadata":{"consumer":"projects/my-proj-1","service":"generativelanguage.googleapis.com"}}]}}"#,
                SUSPENDED,
            ),
            (
                "gemini",
                403,
                r#"{"error":{"code":403,"message":"Your application is authenticating by using local Application Default Credentials. The generativelanguage.googleapis.com API requires a quota project, which is not set by default.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED","domain":"googleapis.com","metadata":{"consumer":"projects/123456789012","service":"generativelanguage.googleapis.com"}}]}}"#,
                SUSPENDED,
            ),
            (
                "code assist",
                403,
                r#"{"error":{"code":403,"message":"Verify your account to continue.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"VALIDATION_REQUIRED","domain":"cloudcode-pa.googleapis.com","metadata":{"validation_url":"https://accounts.google.com/signin/continue"}}]}}"#,
                SUSPENDED,
            ),
            (
                "gemini",
                500,
                r#"{"error":{"code":500,"message":"Failed to convert server response to JSON","status":"INTERNAL"}}"#,
                AGAIN,
            ),
            (
                "gemini wrapped",
                429,
                r#"{"error":{"message":"{\n  \"error\": {\n    \"code\": 429,\n    \"message\": \"Resource has been exhausted (e.g. check quota).\",\n    \"status\": \"RESOURCE_EXHAUSTED\"\n  }\n}\n","code":429,"status":"Too Many Requests"}}"#,
                UNNAMED,
            ),
            (
                "gemini wrapped",
                403,
                r#"{"error":{"message":{"error":{"code":403,"message":"Permission denied on resource project gen-lang-client-0.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CONSUMER_INVALID","domain":"googleapis.com","metadata":{"consumer":"projects/gen-lang-client-0","service":"aiplatform.googleapis.com"}}]}},"code":403,"status":"Forbidden"}}"#,
                SUSPENDED,
            ),
        ],
    );
}

#[test]
fn of_azure() {
    all(
        &OpenAi::azure("https://a.example").unwrap(),
        &[
            (
                "azure",
                429,
                r#"{"error":{"code":"429","message":"Requests to the Creates a completion for the chat message Operation under Azure OpenAI API version 2023-05-15 have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after 86400 seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."}}"#,
                RATE,
            ),
            (
                "azure",
                401,
                r#"{"error":{"code":"PermissionDenied","message":"The principal `00000000-0000-0000-0000-000000000000` lacks the required data action `Microsoft.CognitiveServices/accounts/OpenAI/deployments/chat/completions/action` to perform `POST /openai/deployments/{deployment-id}/chat/completions` operation."}}"#,
                KEY,
            ),
            (
                "azure",
                503,
                r#"{"error":{"code":"ServiceUnavailable","message":"The service is temporarily unable to process your request. Please try again later."}}"#,
                BUSY,
            ),
            (
                "azure",
                424,
                r#"{"error":{"code":"FailedDependency","message":"The dependent service failed."}}"#,
                CALLER,
            ),
        ],
    );
}

#[test]
fn of_anthropic_and_those_who_speak_like_it() {
    all(
        &Anthropic::new(),
        &[
            (
                "anthropic",
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 204548 tokens > 199999 maximum"},"request_id":"req_x"}"#,
                CALLER,
            ),
            (
                "anthropic",
                403,
                r#"{"type":"error","error":{"type":"permission_error","message":"Your account does not have access to Claude Code. Please run /login."},"request_id":"req_x"}"#,
                KEY_LANE,
            ),
            (
                "anthropic",
                400,
                r#"{"type":"error","error":{"type":"insufficient_quota","message":"Your account has insufficient quota balance to run this request."},"request_id":"req_x"}"#,
                MONEY,
            ),
            ("continue proxy", 402, r#""Daily token limit exceeded Used: 3056133, Limit: 3000000""#, MONEY),
            (
                "anthropic",
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded. https://docs.claude.com/en/api/errors"},"request_id":"req_x"}"#,
                BUSY,
            ),
            (
                "minimax",
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","message":"rate limit exceeded(RPM) (1002)","http_code":"429"},"request_id":"0"}"#,
                RATE,
            ),
            (
                "minimax",
                401,
                r#"{"type":"error","error":{"type":"authorized_error","message":"invalid api key (2049)","http_code":"401"},"request_id":"0"}"#,
                KEY,
            ),
            (
                "minimax",
                400,
                r#"{"type":"error","error":{"type":"bad_request_error","message":"invalid params, tool result's tool id(call_0) not found (2013)","http_code":"400"},"request_id":"0"}"#,
                CALLER,
            ),
            (
                "minimax",
                500,
                r#"{"type":"error","error":{"type":"api_error","message":"unknown error, 794 (1000)","http_code":"500"},"request_id":"0"}"#,
                AGAIN,
            ),
            (
                "minimax",
                500,
                r#"{"type":"error","error":{"type":"api_error","message":"your current token plan not support model, MiniMax-M2.5-highspeed (2061)","http_code":"500"},"request_id":"0"}"#,
                NOT_FOR_KEY,
            ),
            (
                "minimax",
                529,
                r#"{"type":"error","error":{"type":"overloaded_error","message":"High traffic detected. Upgrade for highspeed model. (2064)","http_code":"529"},"request_id":"0"}"#,
                BUSY,
            ),
            (
                "claude-relay",
                429,
                r#"{"error":"Too Many Requests","message":"Too many requests from this IP, please try again later.","retryAfter":114}"#,
                RATE,
            ),
            (
                "cliproxyapi",
                429,
                r#"{"type":"error","error":{"type":"rate_limit_error","code":"model_cooldown","message":"All credentials for model claude-opus-5 are cooling down","model":"claude-opus-5","reset_seconds":5616,"reset_time":"1h33m36s"}}"#,
                QUOTA,
            ),
        ],
    );
}

#[test]
fn what_a_plan_lacks_says_nothing_of_its_key() {
    all(
        &any(),
        &[
            (
                "elevenlabs",
                402,
                r#"{"detail":{"type":"payment_required","code":"paid_plan_required","message":"Free users cannot use library voices via the API. Please upgrade your subscription to use this voice.","status":"payment_required","request_id":"0","param":"voice_id"}}"#,
                NOT_IN_PLAN,
            ),
            (
                "elevenlabs",
                403,
                r#"{"detail":{"status":"subscription_required","message":"The output format pcm_44100 requires a Pro subscription or above."}}"#,
                NOT_IN_PLAN,
            ),
            (
                "elevenlabs",
                401,
                r#"{"detail":{"status":"output_format_not_allowed","message":"Your current subscription does not allow output format mp3_44100_192."}}"#,
                NOT_IN_PLAN,
            ),
            (
                "deepgram",
                403,
                r#"{"err_code":"INSUFFICIENT_PERMISSIONS","err_msg":"Project does not have access to the requested model.","request_id":"0"}"#,
                NOT_IN_PLAN,
            ),
            (
                "openweather",
                401,
                r#"{"cod":401,"message":"Please note that using One Call 3.0 requires a separate subscription to the One Call by Call plan. Learn more here https://openweathermap.org/price. If you have a valid subscription to the One Call by Call plan, but still receive this error, then please see https://openweathermap.org/faq#error401 for more info."}"#,
                NOT_IN_PLAN,
            ),
            (
                "github",
                403,
                r#"{"message":"Resource not accessible by personal access token","documentation_url":"https://docs.github.com/rest","status":"403"}"#,
                NOT_IN_PLAN,
            ),
            (
                "notion",
                403,
                r#"{"object":"error","status":403,"code":"restricted_resource","message":"Insufficient permissions for this endpoint."}"#,
                NOT_IN_PLAN,
            ),
            (
                "polygon",
                403,
                r#"{"status":"NOT_AUTHORIZED","request_id":"0","message":"You are not entitled to this data. Please upgrade your plan at https://polygon.io/pricing"}"#,
                NOT_IN_PLAN,
            ),
            ("finnhub", 403, r#"{"error":"You don't have access to this resource."}"#, NOT_IN_PLAN),
            (
                "fmp",
                403,
                r#"{"Error Message":"Exclusive Endpoint : This endpoint is not available under your current subscription please visit our subscription page to upgrade your plan at https://site.financialmodelingprep.com/developer/docs/pricing"}"#,
                NOT_IN_PLAN,
            ),
            (
                "fmp",
                402,
                "Premium Query Parameter: This value set for 'period' is not available under your current subscription please visit our subscription page to upgrade your plan at https://site.financialmodelingprep.com/",
                NOT_IN_PLAN,
            ),
            (
                "coinmarketcap",
                403,
                r#"{"status":{"error_code":1006,"error_message":"Your API Key subscription plan doesn't support this endpoint.","elapsed":0,"credit_count":0}}"#,
                NOT_IN_PLAN,
            ),
            (
                "coingecko",
                401,
                r#"{"error":{"status":{"timestamp":"2026-11-20T05:46:00.000+00:00","error_code":10005,"error_message":"This request is limited to PRO API subscribers. Please visit https://www.coingecko.com/en/api/pricing to subscribe to our API plans to access this endpoint."}}}"#,
                NOT_IN_PLAN,
            ),
            (
                "weatherapi",
                403,
                r#"{"error":{"code":2009,"message":"API key does not have access to the resource. Please check pricing page for what is allowed in your API subscription plan."}}"#,
                NOT_IN_PLAN,
            ),
            (
                "twelvedata",
                403,
                r#"{"code":403,"message":"/time_series is available exclusively with grow plan. Consider upgrading your API Key now at https://twelvedata.com/pricing","status":"error"}"#,
                NOT_IN_PLAN,
            ),
            (
                "apollo",
                403,
                r#"{"error":"api/v1/mixed_people/search is not accessible with this api_key","error_code":"API_INACCESSIBLE"}"#,
                NOT_IN_PLAN,
            ),
            (
                "resend",
                401,
                r#"{"statusCode":401,"name":"restricted_api_key","message":"This API key is restricted to only send emails"}"#,
                NOT_IN_PLAN,
            ),
            ("spotify", 403, r#"{"error":{"status":403,"message":"Insufficient client scope"}}"#, NOT_IN_PLAN),
            ("shodan", 403, r#"{"error":"Requires membership or higher to access"}"#, NOT_IN_PLAN),
            ("shodan", 401, r#"{"error":"Please upgrade your API plan to use filters or paging."}"#, NOT_IN_PLAN),
        ],
    );
}

#[test]
fn what_is_used_up_rests_its_key_whatever_the_status() {
    all(
        &any(),
        &[
            (
                "brave",
                402,
                r#"{"type":"ErrorResponse","error":{"id":"0","status":402,"detail":"Usage limit exceeded","meta":{},"code":"USAGE_LIMIT_EXCEEDED"},"time":1795153560}"#,
                SPENT,
            ),
            (
                "assemblyai",
                400,
                r#"{"error":"Your current account balance is negative. Please top up to continue using the API."}"#,
                SPENT,
            ),
            (
                "newsapi",
                429,
                r#"{"status":"error","code":"rateLimited","message":"You have made too many requests recently. Developer accounts are limited to 100 requests over a 24 hour period (50 requests available every 12 hours). Please upgrade to a paid plan if you need more requests."}"#,
                SPENT,
            ),
            (
                "newsapi",
                429,
                r#"{"status":"error","code":"apiKeyExhausted","message":"Your API key has no more requests available."}"#,
                SPENT,
            ),
            (
                "coinmarketcap",
                429,
                r#"{"status":{"error_code":1010,"error_message":"You've exceeded your API Key's monthly rate limit.","elapsed":0,"credit_count":0}}"#,
                SPENT,
            ),
            (
                "replicate",
                402,
                r#"{"title":"Insufficient credit","detail":"You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to purchase credit. Once you purchase credit, please wait a few minutes before trying again.","status":402}"#,
                SPENT,
            ),
            (
                "scraperapi",
                403,
                "You have exhausted the API Credits available in this monthly cycle. Please upgrade your account to continue.",
                SPENT,
            ),
            (
                "stability",
                402,
                r#"{"id":"0","name":"payment_required","errors":["You lack sufficient credits to make this request. Please purchase more credits at https://platform.stability.ai/account/credits and try again."]}"#,
                SPENT,
            ),
            ("tyk", 403, r#"{"error":"Quota exceeded"}"#, SPENT),
            (
                "yelp",
                429,
                r#"{"error":{"code":"ACCESS_LIMIT_REACHED","description":"You've reached the access limit for this client. See instructions for requesting a higher access limit at https://docs.developer.yelp.com/"}}"#,
                SPENT,
            ),
            (
                "weatherapi",
                403,
                r#"{"error":{"code":2007,"message":"API key has exceeded calls per month quota."}}"#,
                SPENT,
            ),
            (
                "visualcrossing",
                429,
                "You have exceeded the maximum number of daily result records for your account. Please add a credit card to continue retrieving results.",
                SPENT,
            ),
            (
                "accuweather",
                503,
                r#"{"Code":"ServiceUnavailable","Message":"The allowed number of requests has been exceeded.","Reference":"/currentconditions/v1/1"}"#,
                SPENT,
            ),
            (
                "alchemy",
                429,
                r#"{"jsonrpc":"2.0","error":{"code":429,"message":"Monthly capacity limit exceeded. Visit https://dashboard.alchemy.com/settings/billing to upgrade your scaling policy for continued service."}}"#,
                SPENT,
            ),
            (
                "moralis",
                401,
                r#"{"message":"Validation service blocked: Your plan: free-plan-daily total included usage has been consumed, please upgrade your plan here, https://moralis.io/pricing"}"#,
                SPENT,
            ),
            (
                "twelvedata",
                429,
                r#"{"code":429,"message":"You have run out of API credits for the day. 801 API credits were used, with the current limit being 800. Wait for the next day or consider switching to a paid plan that will remove daily limits at https://twelvedata.com/pricing","status":"error"}"#,
                SPENT,
            ),
            (
                "eodhd",
                402,
                "You exceeded your daily API requests limit. Please contact support@eodhd.example or upgrade your plan at https://eodhd.com/pricing",
                SPENT,
            ),
            (
                "hunter",
                429,
                r#"{"errors":[{"id":"too_many_requests","code":429,"details":"You've reached the limit for the number of searches per billing period included in your plan."}]}"#,
                SPENT,
            ),
            ("sendgrid", 401, r#"{"errors":[{"message":"Maximum credits exceeded","field":null,"help":null}]}"#, SPENT),
            (
                "resend",
                429,
                r#"{"statusCode":429,"name":"daily_quota_exceeded","message":"You have reached your daily email sending quota."}"#,
                SPENT,
            ),
            (
                "x",
                429,
                r#"{"title":"UsageCapExceeded","detail":"Usage cap exceeded: Monthly product cap","status":429,"period":"Monthly","scope":"Product","type":"https://api.twitter.com/2/problems/usage-capped"}"#,
                SPENT,
            ),
            (
                "x",
                402,
                r#"{"account_id":0,"title":"CreditsDepleted","detail":"Your enrolled account [0] does not have any credits to fulfill this request.","type":"https://api.twitter.com/2/problems/credits"}"#,
                SPENT,
            ),
            ("omdb", 401, r#"{"Response":"False","Error":"Request limit reached!"}"#, SPENT),
            (
                "exchangerate-api",
                403,
                r#"{"result":"error","documentation":"https://www.exchangerate-api.com/docs","error-type":"quota-reached"}"#,
                SPENT,
            ),
            (
                "abuseipdb",
                429,
                r#"{"errors":[{"detail":"Daily rate limit of 1000 requests exceeded for this endpoint. See headers for additional details.","status":429}]}"#,
                SPENT,
            ),
        ],
    );
}

#[test]
fn of_other_apis() {
    all(
        &any(),
        &[
            ("tavily", 401, r#"{"detail":{"error":"Unauthorized: missing or invalid API key."}}"#, KEY),
            (
                "tavily",
                429,
                r#"{"detail":{"error":"Your request has been blocked due to excessive requests. Please reduce the rate of requests."}}"#,
                UNNAMED,
            ),
            ("tavily", 400, r#"{"detail":{"error":"Query is too long. Max query length is 400 characters."}}"#, CALLER),
            (
                "serpapi",
                401,
                r#"{"error":"Invalid API key. Your API key should be here: https://serpapi.com/manage-api-key"}"#,
                KEY,
            ),
            (
                "exa",
                429,
                r#"{"error":"You've exceeded your Exa rate limit of 5 requests per second. Write to us to increase your limit."}"#,
                UNNAMED,
            ),
            (
                "jina",
                401,
                r#"{"data":null,"code":401,"name":"AuthenticationRequiredError","status":40103,"message":"Authentication failed: Invalid API key","readableMessage":"AuthenticationRequiredError: Authentication failed: Invalid API key"}"#,
                KEY,
            ),
            (
                "jina",
                429,
                r#"{"data":null,"code":429,"name":"RateLimitTriggeredError","status":42903,"message":"Per IP rate limit exceeded (20 requests per 60000ms)","readableMessage":"RateLimitTriggeredError: Per IP rate limit exceeded (20 requests per 60000ms)","retryAfter":23}"#,
                UNNAMED,
            ),
            (
                "jina",
                422,
                r#"{"data":null,"code":422,"name":"AssertionFailureError","status":42206,"message":"Failed to goto https://a.example: Error: net::ERR_NAME_NOT_RESOLVED"}"#,
                CALLER,
            ),
            (
                "elevenlabs",
                401,
                r#"{"detail":{"status":"detected_unusual_activity","message":"Unusual activity detected. Free Tier usage disabled. If you are using a proxy/VPN you might need to purchase a Paid Plan to not trigger our abuse detectors."}}"#,
                KEY,
            ),
            (
                "elevenlabs",
                404,
                r#"{"detail":{"status":"voice_not_found","message":"A voice with the voice_id 'x' was not found."}}"#,
                CALLER,
            ),
            (
                "elevenlabs",
                401,
                r#"{"detail":{"status":"needs_authorization","message":"Neither authorization header nor xi-api-key received, please provide one."}}"#,
                OURS,
            ),
            ("deepgram", 401, r#"{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials.","request_id":"0"}"#, KEY),
            (
                "deepgram",
                429,
                r#"{"err_code":"TOO_MANY_REQUESTS","err_msg":"Too many requests. Please try again later.","request_id":"0"}"#,
                UNNAMED,
            ),
            (
                "deepgram",
                400,
                r#"{"err_code":"Bad Request","err_msg":"Bad Request: failed to process audio: corrupt or unsupported data","request_id":"0"}"#,
                CALLER,
            ),
            ("assemblyai", 401, r#"{"error":"Authentication error, API token missing/invalid"}"#, KEY),
            (
                "newsapi",
                401,
                r#"{"status":"error","code":"apiKeyInvalid","message":"Your API key is invalid or incorrect. Check your key, or go to https://newsapi.org to create a free API key."}"#,
                KEY,
            ),
            (
                "newsapi",
                426,
                r#"{"status":"error","code":"maximumResultsReached","message":"You have requested too many results. Developer accounts are limited to a max of 100 results. You are trying to request results 100 to 200. Please upgrade to a paid plan if you need more results."}"#,
                CALLER,
            ),
            (
                "openweather",
                401,
                r#"{"cod":401,"message":"Invalid API key. Please see https://openweathermap.org/faq#error401 for more info."}"#,
                KEY,
            ),
            (
                "openweather",
                429,
                r#"{"cod":429,"message":"Your account is temporary blocked due to exceeding of requests limitation of your subscription type. Please choose the proper subscription https://openweathermap.org/price"}"#,
                UNNAMED,
            ),
            ("openweather", 404, r#"{"cod":"404","message":"city not found"}"#, CALLER),
            ("rapidapi", 403, r#"{"message":"You are not subscribed to this API."}"#, KEY),
            ("deepl", 403, r#"{"message":"Wrong endpoint. Use https://api-free.deepl.com"}"#, KEY),
            ("deepl", 400, r#"{"message":"Value for 'target_lang' not supported."}"#, CALLER),
            (
                "youtube",
                403,
                r#"{"error":{"code":403,"message":"The video identified by the <code><a href=\"/youtube/v3/docs/commentThreads/list#videoId\">videoId</a></code> parameter has disabled comments.","errors":[{"message":"The video identified by the videoId parameter has disabled comments.","domain":"youtube.commentThread","reason":"commentsDisabled","location":"videoId","locationType":"parameter"}]}}"#,
                CALLER,
            ),
            (
                "youtube",
                404,
                r#"{"error":{"code":404,"message":"The playlist identified with the request's <code>playlistId</code> parameter cannot be found.","errors":[{"message":"x","domain":"youtube.playlistItem","reason":"playlistNotFound","location":"playlistId","locationType":"parameter"}]}}"#,
                CALLER,
            ),
            (
                "places",
                403,
                r#"{"error":{"code":403,"message":"Places API (New) has not been used in project 123456789012 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/places.googleapis.com/overview?project=123456789012 then retry.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED","domain":"googleapis.com","metadata":{"service":"places.googleapis.com","consumer":"projects/123456789012"}}]}}"#,
                KEY,
            ),
            (
                "customsearch",
                429,
                r#"{"error":{"code":429,"message":"Quota exceeded for quota metric 'Queries' and limit 'Queries per day' of service 'customsearch.googleapis.com' for consumer 'project_number:123456789012'.","errors":[{"message":"Quota exceeded","domain":"global","reason":"rateLimitExceeded"}],"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","domain":"googleapis.com","metadata":{"service":"customsearch.googleapis.com","quota_metric":"customsearch.googleapis.com/requests","quota_limit":"DefaultPerDayPerProject","quota_limit_value":"100","consumer":"projects/123456789012"}}]}}"#,
                QUOTA,
            ),
            (
                "notion",
                429,
                r#"{"object":"error","status":429,"code":"rate_limited","message":"You have been rate limited. Please try again in a few minutes."}"#,
                UNNAMED,
            ),
            (
                "polygon",
                429,
                r#"{"status":"ERROR","request_id":"0","error":"You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. https://polygon.io/pricing"}"#,
                UNNAMED,
            ),
            ("finnhub", 429, r#"{"error":"API limit reached. Please try again later. Remaining Limit: 0"}"#, UNNAMED),
            (
                "fmp",
                429,
                r#"{"Error Message":"Limit Reach . Please upgrade your plan or visit our documentation for more details at https://site.financialmodelingprep.com/"}"#,
                UNNAMED,
            ),
            (
                "coinmarketcap",
                401,
                r#"{"status":{"timestamp":"2026-11-20T05:46:00.000Z","error_code":1001,"error_message":"This API Key is invalid.","elapsed":0,"credit_count":0}}"#,
                KEY,
            ),
            (
                "coinmarketcap",
                429,
                r#"{"status":{"error_code":1008,"error_message":"You've exceeded your API Key's HTTP request rate limit. Rate limits reset every minute.","elapsed":0,"credit_count":0}}"#,
                UNNAMED,
            ),
            (
                "firecrawl",
                429,
                r#"{"success":false,"error":"Rate limit exceeded. Consumed (req/min): 11, Remaining (req/min): 0. Upgrade your plan at https://firecrawl.dev/pricing for increased rate limits or please retry after 24s, resets at Fri Nov 20 2026 05:46:24 GMT+0000"}"#,
                UNNAMED,
            ),
            ("firecrawl", 401, r#"{"success":false,"error":"Unauthorized: Invalid token"}"#, KEY),
            (
                "firecrawl",
                403,
                r#"{"success":false,"error":"We apologize for the inconvenience but we do not support this site. If you are part of an enterprise and want to have a further conversation about this, please fill out our intake form"}"#,
                CALLER,
            ),
            (
                "replicate",
                401,
                r#"{"title":"Unauthenticated","detail":"You did not pass a valid authentication token","status":401}"#,
                KEY,
            ),
            (
                "voyage",
                429,
                r#"{"detail":"You have not yet added your payment method in the billing page and will have reduced rate limits of 3 RPM and 10K TPM. To unlock our standard rate limits, please add a payment method in the billing page for the appropriate organization in the user dashboard (https://dashboard.voyageai.com/). Even with payment methods entered, the free tokens (200M tokens for Voyage series 3) will still apply."}"#,
                UNNAMED,
            ),
            ("voyage", 401, r#"{"detail":"Provided API key is invalid."}"#, KEY),
            (
                "azure apim",
                401,
                r#"{"statusCode":401,"message":"Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API."}"#,
                OURS,
            ),
            ("kong", 401, r#"{"message":"No API key found in request"}"#, OURS),
            (
                "apigee",
                401,
                r#"{"fault":{"faultstring":"Invalid ApiKey","detail":{"errorcode":"oauth.v2.InvalidApiKey"}}}"#,
                KEY,
            ),
            (
                "apigee",
                401,
                r#"{"fault":{"faultstring":"Failed to resolve API Key variable request.header.x-api-key","detail":{"errorcode":"steps.oauth.v2.FailedToResolveAPIKey"}}}"#,
                OURS,
            ),
            (
                "apigee",
                429,
                r#"{"fault":{"faultstring":"Rate limit quota violation. Quota limit  exceeded. Identifier : x","detail":{"errorcode":"policies.ratelimit.QuotaViolation"}}}"#,
                UNNAMED,
            ),
            ("tyk", 401, r#"{"error":"Key has expired, please renew"}"#, KEY),
            (
                "yelp",
                429,
                r#"{"error":{"code":"TOO_MANY_REQUESTS_PER_SECOND","description":"You have exceeded the queries-per-second limit for this endpoint. Try reducing the rate at which you make queries."}}"#,
                UNNAMED,
            ),
            (
                "yelp",
                401,
                r#"{"error":{"code":"TOKEN_INVALID","description":"Invalid access token or authorization header."}}"#,
                KEY,
            ),
            ("mapbox", 401, r#"{"message":"Not Authorized - Invalid Token","error_code":"InvalidToken"}"#, KEY),
            (
                "here",
                429,
                r#"{"error":"Too Many Requests","error_description":"Rate limit for this service has been reached"}"#,
                UNNAMED,
            ),
            ("weatherapi", 401, r#"{"error":{"code":2006,"message":"API key is invalid."}}"#, KEY),
            ("weatherapi", 403, r#"{"error":{"code":2008,"message":"API key has been disabled."}}"#, KEY),
            ("weatherapi", 400, r#"{"error":{"code":1006,"message":"No matching location found."}}"#, CALLER),
            ("visualcrossing", 401, "No account found with API key 'x'", KEY),
            (
                "tomorrow.io",
                429,
                r#"{"code":429001,"type":"Too Many Calls","message":"The request limit for this resource has been reached for the current rate limit window. Wait and retry the operation, or examine your API request volume."}"#,
                UNNAMED,
            ),
            (
                "nasa",
                403,
                r#"{"error":{"code":"API_KEY_INVALID","message":"An invalid api_key was supplied. Get one at https://api.nasa.gov:443"}}"#,
                KEY,
            ),
            (
                "nasa",
                403,
                r#"{"error":{"code":"API_KEY_MISSING","message":"No api_key was supplied. Get one at https://api.nasa.gov:443"}}"#,
                OURS,
            ),
            (
                "nasa",
                429,
                r#"{"error":{"code":"OVER_RATE_LIMIT","message":"You have exceeded your rate limit. Try again later or contact us at https://api.nasa.gov:443/contact/ for assistance"}}"#,
                UNNAMED,
            ),
            (
                "alchemy",
                429,
                r#"{"jsonrpc":"2.0","error":{"code":429,"message":"Your app has exceeded its compute units per second capacity. If you have retries enabled, you can safely ignore this message."}}"#,
                UNNAMED,
            ),
            (
                "twelvedata",
                429,
                r#"{"code":429,"message":"You have run out of API credits for the current minute. 9 API credits were used, with the current limit being 8. Wait for the next minute or consider switching to a paid plan that will remove daily limits at https://twelvedata.com/pricing","status":"error"}"#,
                UNNAMED,
            ),
            (
                "twelvedata",
                401,
                r#"{"code":401,"message":"**apikey** parameter is incorrect or not specified. You can get your free API key instantly following this link: https://twelvedata.com/pricing","status":"error"}"#,
                KEY,
            ),
            (
                "sendgrid",
                401,
                r#"{"errors":[{"message":"The provided authorization grant is invalid, expired, or revoked","field":null,"help":null}]}"#,
                KEY,
            ),
            (
                "resend",
                429,
                r#"{"statusCode":429,"name":"rate_limit_exceeded","message":"Too many requests. You can only make 2 requests per second. See rate limit response headers for more information. Or contact support to increase rate limit."}"#,
                UNNAMED,
            ),
            (
                "resend",
                403,
                r#"{"statusCode":403,"name":"validation_error","message":"The gmail.com domain is not verified. Please, add and verify your domain on https://resend.com/domains"}"#,
                CALLER,
            ),
            (
                "x",
                403,
                r#"{"client_id":"0","detail":"When authenticating requests to the Twitter API v2 endpoints, you must use keys and tokens from a Twitter developer App that is attached to a Project.","reason":"client-not-enrolled","title":"Client Forbidden","type":"https://api.twitter.com/2/problems/client-forbidden"}"#,
                KEY,
            ),
            ("unsplash", 403, "Rate Limit Exceeded", UNNAMED),
            ("omdb", 401, r#"{"Response":"False","Error":"Invalid API key!"}"#, KEY),
            (
                "tmdb",
                401,
                r#"{"status_code":7,"status_message":"Invalid API key: You must be granted a valid key.","success":false}"#,
                KEY,
            ),
            (
                "exchangerate-api",
                403,
                r#"{"result":"error","documentation":"https://www.exchangerate-api.com/docs","error-type":"invalid-key"}"#,
                KEY,
            ),
            ("virustotal", 429, r#"{"error":{"code":"QuotaExceededError","message":"Quota exceeded"}}"#, UNNAMED),
            ("virustotal", 401, r#"{"error":{"code":"WrongCredentialsError","message":"Wrong API key"}}"#, KEY),
            ("pixabay", 400, "[ERROR 400] Invalid or missing API key (https://pixabay.com/api/docs/).", KEY),
            (
                "opensubtitles",
                406,
                r#"{"requests":21,"remaining":-1,"message":"You have downloaded your allowed 20 subtitles for 24h. Your quota will be renewed in 07 hours and 30 minutes (2026-11-20 13:16:00 UTC) ts=1795180560"}"#,
                CALLER,
            ),
            ("algolia", 403, r#"{"message":"Invalid Application-ID or API key","status":403}"#, KEY),
        ],
    );
}

#[test]
fn of_chinese_providers() {
    all(
        &OpenAi::new(),
        &[
            (
                "dashscope",
                400,
                r#"{"code":"InvalidParameter","message":"Range of input length should be [1, 98304]","request_id":"0"}"#,
                CALLER,
            ),
            (
                "dashscope",
                429,
                r#"{"error":{"message":"Free allocated quota exceeded.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
                MONEY,
            ),
            (
                "zhipu",
                400,
                r#"{"error":{"code":"1301","message":"系统检测到输入或生成内容可能包含不安全或敏感内容，请您避免输入易产生敏感内容的提示语，感谢您的配合。"}}"#,
                CALLER,
            ),
            ("zhipu", 401, r#"{"error":{"code":"1000","message":"身份验证失败。"}}"#, KEY),
            ("zhipu", 403, r#"{"error":{"code":"1220","message":"您无权访问 glm-5。"}}"#, KEY_LANE),
            (
                "zhipu",
                429,
                r#"{"error":{"code":"1308","message":"已达到 5 小时的使用上限。您的限额将在 2026-11-20 15:46:00 重置。"}}"#,
                QUOTA,
            ),
            ("zhipu", 500, r#"{"error":{"code":"1234","message":"网络错误，错误id：0，请联系客服。"}}"#, AGAIN),
            (
                "moonshot",
                403,
                r#"{"error":{"message":"Your account org-0<ak-0> is not active, organization <org-0> exceeded current quota, please check your plan and billing details","type":"exceeded_current_quota_error"}}"#,
                MONEY,
            ),
            (
                "moonshot",
                429,
                r#"{"error":{"message":"Your account org-0 / proj-0 <ak-0> request reached project TPM rate limit, current: 1410, limit: 100, see https://platform.moonshot.cn/docs/pricing/limits","type":"rate_limit_reached_error"}}"#,
                RATE,
            ),
            (
                "moonshot",
                400,
                r#"{"error":{"message":"Invalid request: Your request exceeded model token limit: 262144 (requested: 273917)","type":"invalid_request_error"}}"#,
                CALLER,
            ),
            (
                "moonshot",
                403,
                r#"{"error":{"message":"You've reached your 5-hour usage limit. Your quota will reset when the current window ends.","type":"access_terminated_error"}}"#,
                QUOTA,
            ),
            (
                "moonshot",
                403,
                r#"{"error":{"message":"You have reached your usage limit for this billing cycle. Your quota will be refreshed in the next cycle.","type":"access_terminated_error"}}"#,
                QUOTA,
            ),
            (
                "moonshot",
                403,
                r#"{"error":{"message":"Access terminated. Review our Community Guidelines","type":"access_terminated_error"}}"#,
                SUSPENDED,
            ),
            ("siliconflow", 403, r#""Model disabled.""#, NOT_FOR_KEY),
            (
                "siliconflow",
                400,
                r#"{"code":20015,"message":"length of prompt_tokens (46331) must be less than max_seq_len (32768).","data":null}"#,
                CALLER,
            ),
            (
                "ark",
                401,
                r#"{"error":{"code":"AuthenticationError","message":"The API key or AK/SK in the request is missing or invalid. Request id: 0","param":"","type":"Unauthorized"}}"#,
                KEY,
            ),
            (
                "ark",
                404,
                r#"{"error":{"code":"InvalidEndpointOrModel.NotFound","message":"The model or endpoint doubao-x does not exist or you do not have access to it. Request id: 0","param":"","type":"NotFound"}}"#,
                NOT_FOR_KEY,
            ),
            (
                "ark",
                429,
                r#"{"error":{"code":"ModelAccountTpmRateLimitExceeded","message":"The request has exceeded your account-level TPM rate limit for the model. Request id: 0","param":"","type":"TooManyRequests"}}"#,
                RATE,
            ),
            (
                "ark",
                429,
                r#"{"error":{"code":"RequestBurstTooFast","message":"System capacity limits exceeded due to a sudden traffic increase. Please increase traffic gradually. Request id: 0","param":"","type":"TooManyRequests"}}"#,
                RATE,
            ),
            (
                "ark",
                429,
                r#"{"error":{"code":"InflightBatchsizeExceeded","message":"The concurrency limit for your account has been exceeded. Request id: 0","param":"","type":"TooManyRequests"}}"#,
                UNNAMED,
            ),
            (
                "ark",
                429,
                r#"{"error":{"code":"AccountQuotaExceeded","message":"You have exceeded the 5-hour usage quota. It will reset at 2026-11-20 18:00:00 +0800 CST. Request id: 0","param":"","type":"TooManyRequests"}}"#,
                MONEY,
            ),
            (
                "ark",
                400,
                r#"{"error":{"code":"InvalidSubscription","message":"Your account 2100000000 does not have a valid CodingPlan subscription, or your subscription has expired. To subscribe, please visit the official webpage. Request id: 0","param":"","type":"BadRequest"}}"#,
                MONEY,
            ),
            (
                "ark",
                403,
                r#"{"error":{"code":"OperationDenied.ServiceOverdue","message":"The service is overdue for your account. Request id: 0","param":"","type":"Forbidden"}}"#,
                MONEY,
            ),
            (
                "ark",
                400,
                r#"{"error":{"code":"UnsupportedModel","message":"The model you specified is not supported by the coding plan feature. Request id: 0","param":"","type":"BadRequest"}}"#,
                CALLER,
            ),
            (
                "qianfan",
                401,
                r#"{"error":{"code":"invalid_model","message":"No permission to use the model","type":"invalid_request_error"},"id":"as-0"}"#,
                NOT_FOR_KEY,
            ),
            (
                "qianfan",
                429,
                r#"{"error":{"code":"rpm_rate_limit_exceeded","message":"Rate limit reached for RPM","type":"rate_limit_exceeded"},"id":"as-0"}"#,
                RATE,
            ),
            (
                "qianfan",
                401,
                r#"{"error":{"code":"invalid_iam_token","message":"IAM Certification failed","type":"invalid_request_error"},"id":"as-0"}"#,
                KEY,
            ),
            (
                "qianfan",
                403,
                r#"{"error":{"code":"access_denied_account_overdue","message":"account overdue","type":"access_denied"},"id":"as-0"}"#,
                MONEY,
            ),
            (
                "qianfan",
                500,
                r#"{"error":{"code":"server_high_load","message":"the service is under high load. Please retry later","type":"api_error"},"id":"as-0"}"#,
                AGAIN,
            ),
            (
                "ark",
                400,
                r#"{"error":{"code":"InvalidSubscription","message":"Your account (2100000000, 70000000) lacks a valid CodingPlanEnterprise subscription, the plan has expired, or no seat is allocated. Request id: 0","param":"","type":"BadRequest"}}"#,
                MONEY,
            ),
            (
                "ark",
                429,
                r#"{"error":{"code":"AccountQuotaExceeded","message":"You have exceeded the 5-hour usage quota. It will reset at 2026-11-20 18:00:00 +0800 CST. Request id: 0","param":"","type":"TooManyRequests"}}"#,
                MONEY,
            ),
        ],
    );
}

#[test]
fn of_relays_and_routers() {
    all(
        &OpenAi::new(),
        &[
            ("codex gateway", 400, r#"{"detail":"Unsupported parameter: prompt_cache_retention"}"#, CALLER),
            (
                "github models",
                413,
                r#"{"error":{"code":"tokens_limit_reached","message":"Request body too large for gpt-4o model. Max size: 8000 tokens.","details":"Request body too large for gpt-4o model. Max size: 8000 tokens."}}"#,
                CALLER,
            ),
            ("copilot", 402, r#"{"error":{"message":"You have no quota","code":"quota_exceeded"}}"#, MONEY),
            (
                "copilot",
                403,
                "Copilot Pro trials have been temporarily paused. Please upgrade your account or revert to Copilot Free.",
                KEY_LANE,
            ),
            (
                "copilot",
                408,
                r#"{"error":{"message":"Timed out reading request body. Try again, or use a smaller request size.","code":"user_request_timeout"}}"#,
                AGAIN,
            ),
            (
                "copilot",
                400,
                r#"{"error":{"message":"The requested model is not supported.","code":"model_not_supported","param":"model","type":"invalid_request_error"}}"#,
                NOT_FOR_KEY,
            ),
            ("copilot", 401, "unauthorized: token expired\n", KEY),
            (
                "openrouter",
                403,
                r#"{"error":{"message":"This model is not available in your region.","code":403}}"#,
                NOT_FOR_KEY,
            ),
            (
                "openrouter",
                403,
                r#"{"error":{"message":"The request is prohibited due to a violation of provider Terms Of Service.","code":403}}"#,
                CALLER,
            ),
            (
                "openrouter",
                402,
                r#"{"error":{"message":"Insufficient credits. This account never purchased credits. Make sure your key is on the correct account or org, and if so, purchase more at https://openrouter.ai/settings/credits","code":402}}"#,
                MONEY,
            ),
            (
                "openrouter",
                400,
                r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"Reasoning is mandatory for this endpoint and cannot be disabled.\"}}","provider_name":"Google"}}}"#,
                CALLER,
            ),
            (
                "opencode",
                429,
                r#"{"error":{"message":"Error from provider: Provider returned error","code":429,"metadata":{"raw":"{\"error\":{\"message\":\"Your account org-0 <ak-0> is suspended due to insufficient balance, please recharge your account or check your plan and billing details\",\"type\":\"exceeded_current_quota_error\"}}"}}}"#,
                BUSY,
            ),
            (
                "cloudflare",
                403,
                r#"{"success":false,"result":null,"messages":[],"errors":[{"code":9109,"message":"Unauthorized to access requested resource"}]}"#,
                KEY_LANE,
            ),
            (
                "cloudflare",
                400,
                r#"{"success":false,"result":null,"messages":[],"errors":[{"code":5006,"message":"Error: required properties at '/' are 'prompt'"}]}"#,
                CALLER,
            ),
            (
                "cloudflare",
                429,
                r#"{"success":false,"result":null,"messages":[],"errors":[{"code":3040,"message":"AiError: AiError: Capacity temporarily exceeded, please try again. (0)"}]}"#,
                BUSY,
            ),
            (
                "cloudflare",
                403,
                r#"{"success":false,"result":null,"messages":[],"errors":[{"code":5016,"message":"AiError: 5016: Prior to using this model, you must submit the prompt 'agree'. By submitting 'agree', you hereby agree to the Meta License and Acceptable Use Policy."}]}"#,
                WRONG_OWNER,
            ),
            (
                "cloudflare gateway",
                400,
                r#"{"success":false,"result":[],"messages":[],"error":[{"code":2001,"message":"Please configure AI Gateway in the Cloudflare dashboard"}]}"#,
                CALLER,
            ),
            (
                "litellm",
                401,
                r#"{"error":{"message":"Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin.","type":"auth_error","param":"None","code":"401"}}"#,
                KEY,
            ),
            (
                "litellm",
                429,
                r#"{"error":{"message":"Rate limit exceeded for api_key: 0123456789abcdef. Limit type: tokens. Current limit: 100, Remaining: 0. Limit resets at: 2026-11-20 05:47:00 UTC","type":"None","param":"None","code":"429"}}"#,
                RATE,
            ),
            (
                "litellm",
                400,
                r#"{"error":{"message":"{'error': 'Violated guardrail policy', 'guardrail': 'bedrock'}","type":"None","param":"None","code":"400"}}"#,
                CALLER,
            ),
            (
                "litellm",
                401,
                r#"{"error":{"message":"litellm.AuthenticationError: AnthropicException - {\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"API key is invalid.\"},\"request_id\":null}. Received Model Group=m","type":"auth_error","param":"None","code":"401"}}"#,
                AGAIN,
            ),
            (
                "litellm",
                429,
                r#"{"error":{"message":"litellm.RateLimitError: OpenAIException - Unknown parameter: '_litellm_rate_limit_descriptors'.","type":"throttling_error","param":"None","code":"429"}}"#,
                BUSY,
            ),
            (
                "litellm",
                403,
                r#"{"error":{"message":"team not allowed to access model. This team can only access models=['gpt-4']. Tried to access gpt-5","type":"team_model_access_denied","param":"None","code":"403"}}"#,
                NOT_FOR_KEY,
            ),
            (
                "new-api",
                401,
                r#"{"error":{"message":"无效的令牌 (request id: 20261120)","type":"new_api_error","param":"","code":""}}"#,
                KEY,
            ),
            (
                "new-api",
                403,
                r#"{"error":{"message":"用户已被封禁 (request id: 20261120)","type":"new_api_error","param":"","code":""}}"#,
                SUSPENDED,
            ),
            (
                "new-api",
                403,
                r#"{"error":{"message":"您的 IP 不在令牌允许访问的列表中 (request id: 20261120)","type":"new_api_error","param":"","code":""}}"#,
                KEY_LANE,
            ),
            (
                "new-api",
                403,
                r#"{"error":{"message":"该令牌无权访问模型 gpt-5 (request id: 20261120)","type":"new_api_error","param":"","code":""}}"#,
                NOT_FOR_KEY,
            ),
            (
                "new-api",
                403,
                r#"{"error":{"message":"该令牌无权使用模型：gpt-5 (request id: 20261120)","type":"new_api_error","param":"","code":""}}"#,
                NOT_FOR_KEY,
            ),
            (
                "new-api",
                403,
                r#"{"error":{"message":"无权访问 vip 分组 (request id: 20261120)","type":"new_api_error","param":"","code":""}}"#,
                NOT_FOR_KEY,
            ),
            (
                "new-api",
                503,
                r#"{"error":{"message":"当前分组 default 下对于模型 gpt-4o 无可用渠道 (request id: 20261120)","type":"new_api_error","param":"","code":""}}"#,
                BUSY,
            ),
            (
                "new-api",
                429,
                r#"{"error":{"message":"您已达到总请求数限制：1分钟内最多请求60次，包括失败次数，请检查您的请求是否正确 (request id: 20261120)","type":"new_api_error","param":"","code":""}}"#,
                UNNAMED,
            ),
            (
                "new-api",
                500,
                r#"{"error":{"message":"sensitive words detected (request id: 20261120)","type":"new_api_error","param":"","code":"sensitive_words_detected"}}"#,
                AGAIN,
            ),
            (
                "new-api",
                403,
                r#"{"error":{"message":"用户额度不足, 剩余额度: ＄0.000000 (request id: 20261120)","type":"new_api_error","param":"","code":"insufficient_user_quota"}}"#,
                MONEY,
            ),
            (
                "agentrouter",
                403,
                r#"{"error":{"message":"用户额度不足, 剩余额度: $-0.02","type":"new_api_error","code":""}}"#,
                MONEY,
            ),
            (
                "agentrouter",
                403,
                r#"{"error":{"message":"无权访问模型 claude-opus-5","type":"new_api_error","code":""}}"#,
                NOT_FOR_KEY,
            ),
            ("portkey", 401, r#"{"status":"failure","message":"Invalid API Key. Error Code: 03"}"#, KEY),
            (
                "portkey",
                446,
                r#"{"error":{"message":"The guardrail checks defined in the config failed. You can find more information in the `hook_results` object.","type":"hooks_failed","param":null,"code":null},"hook_results":{}}"#,
                CALLER,
            ),
            (
                "truefoundry",
                403,
                r#"{"status":"failure","message":"User x is not authorized to access model openrouter/x or model does not exist","error":{"message":"User x is not authorized to access model openrouter/x or model does not exist","type":"AuthorizationError"}}"#,
                NOT_FOR_KEY,
            ),
            (
                "aggregator",
                403,
                r#"{"error":{"code":"server_error","message":"The upstream server failed to process the request.","type":"server_error","param":null}}"#,
                AGAIN,
            ),
            (
                "commandcode",
                429,
                r#"{"error":{"message":"Upstream model provider is temporarily unavailable. Please try again in a moment.","type":"rate_limit_error","code":"rate_limit_exceeded"}}"#,
                BUSY,
            ),
            (
                "zenmux",
                402,
                r#"{"error":{"code":"402","type":"quota_exceeded","message":"You have reached your subscription quota limit. Please wait for automatic quota refresh in the rolling time window, upgrade to a higher plan, or use a Pay-As-You-Go API Key for unlimited access. Learn more: https://zenmux.ai/docs/guide/subscription.html"}}"#,
                MONEY,
            ),
            (
                "cliproxyapi",
                429,
                r#"{"error":{"code":"model_cooldown","message":"All credentials for model gpt-5.6-sol are cooling down","model":"gpt-5.6-sol","reset_seconds":5616,"reset_time":"1h33m36s"}}"#,
                QUOTA,
            ),
            (
                "ollama cloud",
                429,
                r#"{"error":"you (someone) have reached your session usage limit, upgrade for higher limits: https://ollama.com/upgrade (ref: 0)"}"#,
                QUOTA,
            ),
            ("ollama cloud", 429, r#"{"error":"too many concurrent requests (ref: 0)"}"#, UNNAMED),
            (
                "mimocode",
                403,
                r#"{"error":{"code":"403","message":"Detected high-frequency non-compliant requests from you. Please consciously comply with the platform usage agreement. If you need to appeal, contact us through the official website channels.","type":"illegal_access"}}"#,
                KEY_LANE,
            ),
            (
                "opengateway",
                402,
                r#"{"error":{"message":"Insufficient credits — top up your balance at https://gitlawb.com/opengateway/credits","type":"insufficient_quota","code":"insufficient_credits"}}"#,
                MONEY,
            ),
            (
                "nous",
                404,
                r#"{"status":404,"message":"Model 'gpt-5' is not available on the Free Tier. Upgrade at https://portal.nousresearch.com or pick a free model."}"#,
                NOT_FOR_KEY,
            ),
            (
                "opencode",
                429,
                r#"{"type":"error","error":{"type":"GoUsageLimitError","message":"Monthly usage limit reached. Resets in 13 days. To continue using this model now, enable usage from your available balance: https://opencode.ai/workspace/x/go"}}"#,
                QUOTA,
            ),
            (
                "opencode",
                429,
                r#"{"type":"error","error":{"type":"GoUsageLimitError","message":"5-hour usage limit reached. Resets in 2hr 29min. To continue using this model now, enable usage from your available balance."}}"#,
                QUOTA,
            ),
            (
                "vibesdk",
                429,
                r#"{"error":{"message":"AI inference rate limit exceeded. Consider using lighter models. Maximum 100 credits per 1 hour or 400 credits per day.","type":"rate_limit","code":429}}"#,
                RATE,
            ),
            (
                "g4f",
                429,
                r#"{"error":{"message":"Token limit (500,000 per day) exceeded. Used: 508,311 tokens. Sign up at g4f.dev/members.html for higher limits."}}"#,
                QUOTA,
            ),
            (
                "litellm bedrock",
                400,
                r#"{"errorMessage":"The provided request body is invalid: claude messages.208: all messages must have non-empty content except for the optional final assistant message","errorCode":"INVALID_REQUEST_BODY","statusCode":400,"errorArgs":{"reason":"claude messages.208"}}"#,
                CALLER,
            ),
            (
                "chutes",
                402,
                r#"{"detail":{"message":"Quota exceeded and account balance is $0.0, please pay with fiat or send tao to 5x"}}"#,
                MONEY,
            ),
            ("chutes", 404, r#"{"detail":"model not found: deepseek-ai/DeepSeek-V9"}"#, NO_SUCH_MODEL),
            ("chutes", 503, r#"{"detail":"No instances available (yet) for chute_id=0"}"#, BUSY),
            (
                "pollinations",
                402,
                r#"{"status":402,"success":false,"error":{"message":"Insufficient pollen balance. This request costs ~0.01 pollen.","code":"PAYMENT_REQUIRED"}}"#,
                MONEY,
            ),
            (
                "pollinations",
                429,
                r#"{"error":"Too Many Requests","status":429,"message":"Queue full for IP: 192.0.2.1: 1 requests already queued (max: 1)"}"#,
                UNNAMED,
            ),
            (
                "nan",
                401,
                r#"{"error":{"message":"This API key does not have access to the requested model","type":"invalid_request_error","param":null,"code":null}}"#,
                NOT_FOR_KEY,
            ),
            (
                "opencode",
                401,
                r#"{"type":"error","error":{"type":"ModelError","message":"Model minimax-m3-free is not supported"}}"#,
                NO_SUCH_MODEL,
            ),
            (
                "opencode",
                400,
                r#"{"type":"error","error":{"type":"UpstreamError","message":"Upstream request failed: Model is unavailable."}}"#,
                CALLER,
            ),
            (
                "opencode",
                429,
                r#"{"type":"error","error":{"type":"GoUsageLimitError","message":"Weekly usage limit reached. Resets in 19hr 3min. To continue using this model now, enable usage from your available balance."}}"#,
                QUOTA,
            ),
        ],
    );
}

#[test]
fn of_openai_and_its_likes() {
    all(
        &OpenAi::new(),
        &[
            (
                "openai",
                400,
                r#"{"error":{"message":"Billing hard limit has been reached.","type":"billing_limit_user_error","param":null,"code":"billing_hard_limit_reached"}}"#,
                MONEY,
            ),
            (
                "openai",
                400,
                r#"{"error":{"message":"Item 'rs_abc' of type 'reasoning' was provided without its required following item.","type":"invalid_request_error","param":"input","code":null}}"#,
                CALLER,
            ),
            (
                "openai",
                400,
                r#"{"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}"#,
                CALLER,
            ),
            (
                "openai",
                400,
                r#"{"error":{"message":"Thread thread_abc already has an active run run_abc.","type":"invalid_request_error","param":null,"code":null}}"#,
                CALLER,
            ),
            (
                "openai",
                400,
                r#"{"error":{"message":"Can't add messages to thread_abc while a run run_abc is active.","type":"invalid_request_error","param":null,"code":null}}"#,
                CALLER,
            ),
            (
                "openai",
                400,
                r#"{"error":{"message":"Audio file is too short. Minimum audio length is 0.1 seconds.","type":"invalid_request_error","param":"file","code":"audio_too_short"}}"#,
                CALLER,
            ),
            (
                "openai",
                429,
                r#"{"error":{"message":"Rate limit reached for default-gpt-3.5-turbo in organization org-x on requests per min. Limit: 3 / min. Please try again in 20s. Contact us through our help center at help.openai.com if you continue to have issues. Please add a payment method to your account to increase your rate limit. Visit https://platform.openai.com/account/billing to add a payment method.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
                RATE,
            ),
            (
                "openai",
                429,
                r#"{"error":{"message":"Rate limit reached for default-text-embedding-ada-002 in organization org-x on requests per day. Limit: 200 / day. Please try again in 7m12s. Contact us through our help center at help.openai.com if you continue to have issues.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
                RATE,
            ),
            (
                "openai",
                429,
                r#"{"error":{"message":"This fine-tune request has been rate-limited. Your organization has reached the maximum of 2 active requests (2 running, 0 pending) for the model 'babbage-002'.","type":"invalid_request_error","param":null,"code":"rate_limit_exceeded"}}"#,
                RATE,
            ),
            (
                "openai",
                404,
                r#"{"error":{"message":"The model `text-davinci-003` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
                NO_SUCH_MODEL,
            ),
            (
                "openai",
                429,
                r#"{"error":{"message":"Rate limit reached for gpt-4o in project proj_x organization org-x on tokens per min (TPM): Limit 800000, Used 799000, Requested 5000. Please try again in 300ms.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
                RATE,
            ),
            (
                "openai",
                404,
                r#"{"error":{"message":"Vector store with id 'vs_abc' not found.","type":"invalid_request_error","param":null,"code":null}}"#,
                WRONG_OWNER,
            ),
            (
                "groq",
                400,
                r#"{"error":{"message":"`max_completion_tokens` must be less than or equal to `8192`, the maximum value for `max_completion_tokens` is less than the `context_window` for this model","type":"invalid_request_error","param":null,"code":null}}"#,
                CALLER,
            ),
            (
                "mistral",
                400,
                r#"{"object":"error","message":"Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant","type":"invalid_request_message_order","param":null,"code":"3230"}"#,
                CALLER,
            ),
            (
                "deepseek",
                401,
                r#"{"error":{"message":"Authentication Fails (governor)","type":"authentication_error","param":null,"code":"invalid_request_error"}}"#,
                KEY,
            ),
            (
                "together",
                402,
                r#"{"error":{"message":"The account associated with this API key has reached its maximum allowed monthly spending limit.","type":"credit_limit","param":null,"code":null}}"#,
                MONEY,
            ),
            (
                "fireworks",
                400,
                r#"{"error":{"object":"error","type":"invalid_request_error","code":"invalid_request_error","message":"The prompt is too long: 131087, model maximum context length: 131071"}}"#,
                CALLER,
            ),
            (
                "fireworks",
                412,
                r#"{"error":{"message":"Account a-b-c is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices. Please go to https://fireworks.ai/billing for more information.","object":"error"}}"#,
                SUSPENDED,
            ),
            (
                "xai",
                400,
                r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***00. You can obtain an API key from https://console.x.ai."}"#,
                KEY,
            ),
            (
                "xai",
                404,
                r#"{"code":"Some requested entity was not found","error":"The model grok-beta does not exist or your team 00000000-0000-0000-0000-000000000000 does not have access to it. Please ensure you are using the correct API key."}"#,
                NOT_FOR_KEY,
            ),
            (
                "xai",
                403,
                r#"{"code":"The caller does not have permission to execute the specified operation","error":"I can't help with that request."}"#,
                CALLER,
            ),
            (
                "xai",
                400,
                r#"{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 537812 tokens."}"#,
                CALLER,
            ),
            (
                "xai",
                503,
                r#"{"code":"The service is currently unavailable","error":"Service temporarily unavailable. The model is at capacity and currently cannot serve this request. Please try again later."}"#,
                BUSY,
            ),
            (
                "xai",
                429,
                r#"{"code":"Some resource has been exhausted","error":"Too many requests for team 00000000-0000-0000-0000-000000000000 and model grok-3. Your team's rate limit is Requests per Second (actual/limit): 11/10."}"#,
                RATE,
            ),
            (
                "cohere",
                429,
                r#"{"message":"trial token rate limit exceeded, limit is 100000 tokens per minute","id":"0"}"#,
                RATE,
            ),
            (
                "cohere",
                400,
                r#"{"message":"invalid request: message must be at least 1 token long or tool results must be specified.","id":"0"}"#,
                CALLER,
            ),
            (
                "cerebras",
                429,
                r#"{"message":"Tokens per minute limit exceeded - too many tokens processed.","type":"too_many_tokens_error","param":"quota","code":"token_quota_exceeded"}"#,
                RATE,
            ),
            (
                "nvidia",
                402,
                r#"{"status":402,"title":"Payment Required","detail":"Account 'abc': Cloud credits expired - Please contact NVIDIA representatives","requestId":"0"}"#,
                MONEY,
            ),
            (
                "nvidia",
                410,
                r#"{"type":"urn:inference-service:problem-details:gone","title":"Gone","status":410,"detail":"The model 'deepseek-ai/deepseek-r1' has reached its end of life on 2026-01-26T00:00:00Z and is no longer available.","instance":"/v1/chat/completions","requestId":"0"}"#,
                NO_SUCH_MODEL,
            ),
            (
                "huggingface",
                402,
                r#"{"error":"You have depleted your monthly included credits. Purchase pre-paid credits to continue using Inference Providers. Alternatively, subscribe to PRO to get 20x more included usage."}"#,
                MONEY,
            ),
            (
                "huggingface",
                503,
                r#"{"error":"Model meta-llama/Meta-Llama-3-8B-Instruct is currently loading","estimated_time":20.0}"#,
                BUSY,
            ),
            (
                "huggingface",
                403,
                r#"{"error":"Access to model meta-llama/Llama-2-70b-chat-hf is restricted and you are not in the authorized list. Visit https://huggingface.co/meta-llama/Llama-2-70b-chat-hf to ask for access."}"#,
                NOT_FOR_KEY,
            ),
            (
                "huggingface",
                410,
                r#"{"error":"https://api-inference.huggingface.co is no longer supported. Please use https://router.huggingface.co instead."}"#,
                CALLER,
            ),
            (
                "mimo",
                400,
                r#"{"error":{"code":"400","message":"Param Incorrect","param":"text is not set","type":""}}"#,
                CALLER,
            ),
            (
                "deepinfra",
                402,
                r#"{"detail":{"error":"inference prohibited, please enter payment method or top up"}}"#,
                MONEY,
            ),
            (
                "deepinfra",
                403,
                r#"{"detail":{"error":"inference prohibited, please enter payment method or top up"}}"#,
                MONEY,
            ),
            ("deepinfra", 404, r#"{"detail":{"error":"Model is not available"}}"#, NOT_FOR_KEY),
            ("deepinfra", 401, r#"{"detail":{"error":"Not authenticated"}}"#, KEY),
            ("deepinfra", 429, r#"{"detail":{"error":"Model busy, retry later"}}"#, BUSY),
            (
                "novita",
                404,
                r#"{"code":404,"reason":"MODEL_NOT_FOUND","message":"model not found","metadata":{"reason":"model: x not found"}}"#,
                NOT_FOR_KEY,
            ),
            (
                "featherless",
                429,
                r#"{"error":{"message":"Concurrency limit exceeded for the model. You have used all 4 units of your plan.","type":"concurrency_limit_exceeded","code":429}}"#,
                UNNAMED,
            ),
            (
                "llama.cpp",
                400,
                r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":4096}}"#,
                CALLER,
            ),
            (
                "sglang",
                400,
                r#"{"object":"error","message":"The input (44000 tokens) is longer than the model's context length (32768 tokens).","type":"BadRequestError","param":null,"code":400}"#,
                CALLER,
            ),
            (
                "vllm",
                500,
                r#"{"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the root cause.","type":"InternalServerError","param":null,"code":500}}"#,
                AGAIN,
            ),
            (
                "watsonx",
                401,
                r#"{"errors":[{"code":"authentication_token_expired","message":"Failed to authenticate the request due to an expired token","more_info":"https://cloud.ibm.com/apidocs/watsonx-ai"}],"trace":"0","status_code":401}"#,
                KEY,
            ),
            (
                "watsonx",
                403,
                r#"{"errors":[{"code":"token_quota_reached","message":"This request exceeds the token quota of the plan: lite","more_info":"https://cloud.ibm.com/apidocs/watsonx-ai"}],"trace":"0","status_code":403}"#,
                QUOTA,
            ),
            (
                "watsonx",
                404,
                r#"{"errors":[{"code":"model_not_supported","message":"Model 'x/y' is not supported for this environment.","more_info":"https://cloud.ibm.com/apidocs/watsonx-ai"}],"trace":"0","status_code":404}"#,
                NOT_FOR_KEY,
            ),
            (
                "watsonx",
                429,
                r#"{"errors":[{"code":"rate_limit_reached_requests","message":"Request rate limit reached: limit: 2 per second","more_info":"x"}],"trace":"0","status_code":429}"#,
                RATE,
            ),
            (
                "databricks",
                429,
                r#"{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"REQUEST_LIMIT_EXCEEDED: Exceeded workspace output tokens per minute rate limit for databricks-claude-sonnet-4."}"#,
                RATE,
            ),
            (
                "databricks",
                403,
                r#"{"error_code":"PERMISSION_DENIED","message":"PERMISSION_DENIED: The endpoint is disabled due to a rate limit set to 0."}"#,
                KEY_LANE,
            ),
            (
                "databricks",
                404,
                r#"{"error_code":"ENDPOINT_NOT_FOUND","message":"The given endpoint does not exist, please retry after checking the specified model and version deployment exists."}"#,
                CALLER,
            ),
            ("databricks", 403, r#"{"error_code":403,"message":"Invalid access token."}"#, KEY),
            ("ai21", 401, r#"{"detail":"Forbidden: Bad or missing API token."}"#, KEY),
            (
                "yandex",
                401,
                r#"{"error":{"grpcCode":16,"httpCode":401,"message":"Unknown api key 'AQVN***'","httpStatus":"Unauthorized","details":[]}}"#,
                KEY,
            ),
            (
                "yandex",
                429,
                r#"{"error":{"grpcCode":8,"httpCode":429,"message":"ai.textGenerationCompletionSessionsCount.count gauge quota limit exceed: allowed 10 requests","httpStatus":"Too Many Requests","details":[]}}"#,
                UNNAMED,
            ),
            (
                "openai",
                500,
                r#"{"error":{"message":"An error occurred while processing your request. You can retry your request, or contact us through our help center at help.openai.com if the error persists. Please include the request ID 0 in your message.","type":"server_error","param":null,"code":"server_error"}}"#,
                AGAIN,
            ),
            ("edge", 520, "error code: 520", AGAIN),
            ("edge", 503, "no healthy upstream", BUSY),
            ("edge", 404, "default backend - 404", CALLER),
        ],
    );
}
