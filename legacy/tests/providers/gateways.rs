//! What gateways, networks in front and servers of one's own say, that no provider itself would.

use std::time::Duration;

use serde_json::{Value, json};
use tower_keypool::{
    Anthropic, ApiKeyHeader, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, VerdictKind as K,
};

use crate::meaning::{CALLER, KEY, MONEY, Meaning, NO_SUCH_MODEL, NOT_FOR_KEY, QUOTA, RATE, is, judge, openai, said};

const CAPACITY: Meaning = (K::Overloaded, S::Lane, E::AfterPause);
const AGAIN: Meaning = (K::Transient, S::Caller, E::AfterPause);
const BLOCKED: Meaning = (K::Blocked, S::Exit, E::No);
const OURS: Meaning = (K::Misconfigured, S::Caller, E::No);
const TOO_DEAR: Meaning = (K::QuotaExhausted, S::Caller, E::OtherOwner);
const KEY_QUOTA: Meaning = (K::QuotaExhausted, S::Key, E::OtherKey);
const KEY_LANE: Meaning = (K::InvalidKey, S::KeyLane, E::OtherKey);

fn all(provider: &dyn Provider, rows: &[(&str, u16, Value, Meaning)]) {
    let wrong: Vec<String> = rows
        .iter()
        .map(|(who, status, body, meaning)| (who, status, meaning, judge(provider, *status, &[], body)))
        .filter(|(_, _, meaning, verdict)| is(verdict) != **meaning)
        .map(|(who, status, meaning, verdict)| format!("{who} {status}: {verdict:?}, not {meaning:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn edge(status: u16, code: u16, name: &str, category: &str, detail: &str) -> Value {
    json!({"type": format!("https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-{code}/"),
        "title": format!("Error {code}: x"), "status": status, "detail": detail, "instance": "9d99a4434fz2d168",
        "error_code": code, "error_name": name, "error_category": category, "ray_id": "9d99a4434fz2d168",
        "timestamp": "2026-11-18T11:06:40Z", "zone": "api.example", "cloudflare_error": true, "retryable": true,
        "retry_after": 30, "owner_action_required": false, "what_you_should_do": "x"})
}

/// The network in front answers a program in JSON: what it says of an address is held against no key.
#[test]
fn the_network_in_front_in_json() {
    let rate = || {
        edge(
            429,
            1015,
            "rate_limited",
            "rate_limit",
            "You are being rate-limited by the website owner's configuration.",
        )
    };
    let ban = || {
        edge(
            403,
            1010,
            "browser_signature",
            "access_denied",
            "The site owner has blocked access based on your browser's signature.",
        )
    };
    let dns = || edge(530, 1016, "origin_dns_error", "dns", "Cloudflare could not resolve the origin web server.");
    let cname = || edge(403, 1014, "cname_cross_user_banned", "config", "A domain points across accounts.");
    let any = ApiKeyHeader::header("x-key", "https://api.example").unwrap();
    for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new(), &Gemini::new(), &any] {
        let rows = [
            ("by rate", 429, rate(), BLOCKED),
            ("by signature", 403, ban(), BLOCKED),
            ("its settings", 403, cname(), AGAIN),
            ("its names", 530, dns(), AGAIN),
        ];
        all(provider, &rows);
        let rested = judge(provider, 429, &[("retry-after", "30")], &rate());
        assert_eq!((rested.until_of(), rested.is_named()), (U::For(Duration::from_secs(30)), true));
    }
    // Only who says so by a member of its own.
    assert_eq!(is(&openai(403, &json!({"error_code": 1015, "cloudflare_error": "true"}))), KEY_LANE);
}

#[test]
fn of_azure_and_openai() {
    all(
        &OpenAi::new(),
        &[
            (
                "azure demand",
                429,
                json!({"error":{"code":"429","message":"The system is currently experiencing high demand and cannot process your request. Your request exceeds the maximum usage size allowed during peak load. For improved capacity reliability, consider switching to Provisioned Throughput."}}),
                CAPACITY,
            ),
            (
                "azure endpoint",
                403,
                json!({"error":{"code":"403","message":"Traffic is not from an approved private endpoint."}}),
                BLOCKED,
            ),
            (
                "azure deprecated",
                400,
                json!({"error":{"code":"ServiceModelDeprecated","message":"The model 'gpt-x' has been deprecated."}}),
                NO_SUCH_MODEL,
            ),
            (
                "azure deprecated 410",
                410,
                json!({"error":{"code":"ModelDeprecated","message":"The model gpt-x is deprecated and is no longer available."}}),
                NO_SUCH_MODEL,
            ),
            (
                "zdr",
                400,
                said(
                    "Previous response cannot be used for this organization due to Zero Data Retention.",
                    "invalid_request_error",
                    "unsupported_parameter",
                ),
                CALLER,
            ),
        ],
    );
}

#[test]
fn of_vendors_and_routers() {
    all(
        &OpenAi::new(),
        &[
            (
                "OpenRouter allowed",
                404,
                json!({"error":{"message":"No allowed providers are available for the selected model.","code":404,"metadata":{"available_providers":["x"],"requested_providers":["y"]}}}),
                NO_SUCH_MODEL,
            ),
            (
                "OpenRouter upstream 402",
                402,
                json!({"error":{"message":"Provider returned error","code":402,"metadata":{"raw":"{\"error\":\"insufficient balance\"}","provider_name":"Azure"}}}),
                AGAIN,
            ),
            (
                "Groq audio",
                429,
                said(
                    "Rate limit reached for model `whisper-x` in organization `org_0` service tier `on_demand` on seconds of audio per hour (ASPH): Limit 7200, Used 7186, Requested 30. Please try again in 8s.",
                    "seconds",
                    "rate_limit_exceeded",
                ),
                RATE,
            ),
            (
                "xAI model",
                400,
                json!({"code":"Client specified an invalid argument","error":"Model not found: grok-x"}),
                NO_SUCH_MODEL,
            ),
            (
                "xAI capacity",
                429,
                json!({"code":"Some resource has been exhausted","error":"The model is at capacity and currently cannot serve this request. Please try again later."}),
                CAPACITY,
            ),
            (
                "Together dynamic",
                429,
                said("Request rejected: dynamic limit of requests.", "dynamic_request_limited", ""),
                RATE,
            ),
            (
                "Together dynamic tokens",
                429,
                said("Request rejected: dynamic limit of tokens.", "dynamic_token_limited", ""),
                RATE,
            ),
            ("Cohere no key", 401, json!({"message":"no api key supplied"}), OURS),
            (
                "Cohere wait",
                429,
                json!({"message":"You are past the per minute request limit, please wait and try again later."}),
                RATE,
            ),
            ("Cohere blocked", 498, json!({"message":"blocked output"}), CALLER),
            (
                "Perplexity money",
                401,
                said(
                    "You exceeded your current quota, please check your plan and billing details.",
                    "insufficient_quota",
                    "401",
                ),
                MONEY,
            ),
            (
                "Zhipu no header",
                401,
                json!({"error":{"code":"1001","message":"Header中未收到Authorization参数，无法进行身份验证。"}}),
                OURS,
            ),
            (
                "SiliconFlow busy",
                429,
                json!({"code":50603,"message":"System is too busy now. Please try again later.","data":null}),
                CAPACITY,
            ),
            ("MiniMax connections", 200, json!({"base_resp":{"status_code":1041,"status_msg":"conn limit"}}), RATE),
            (
                "MiniMax plan",
                200,
                json!({"base_resp":{"status_code":2061,"status_msg":"your current token plan not support model, MiniMax-M2.5-highspeed"}}),
                NOT_FOR_KEY,
            ),
            (
                "MiniMax window",
                200,
                json!({"base_resp":{"status_code":2056,"status_msg":"usage limit exceeded"}}),
                QUOTA,
            ),
            (
                "MiniMax compat",
                429,
                json!({"type":"error","error":{"type":"rate_limit_error","message":"usage limit exceeded, 5-hour usage limit reached, please retry after reset (2056)","http_code":"429"},"request_id":"0"}),
                QUOTA,
            ),
            (
                "MiniMax login",
                401,
                json!({"type":"error","error":{"type":"authorized_error","message":"login fail: Please carry the API secret key in the 'Authorization' field of the request header (1004)","http_code":"401"},"request_id":"0"}),
                KEY,
            ),
            (
                "SambaNova pay",
                402,
                json!({"error":{"code":null,"message":"A payment method is required to use this model. Please add one in the billing page.","param":null,"type":"insufficient_quota"}}),
                MONEY,
            ),
            (
                "NIM expired",
                402,
                json!({"status":402,"title":"Payment Required","detail":"Account 'A': Cloud credits expired - Please contact NVIDIA representatives"}),
                MONEY,
            ),
            (
                "NIM busy",
                429,
                json!({"error":{"message":"ResourceExhausted: Worker local total request limit reached (31/32)","type":"too_many_requests","code":429}}),
                CAPACITY,
            ),
            (
                "NIM header",
                401,
                json!({"status":401,"title":"Unauthorized","detail":"Header of type `authorization` was missing"}),
                OURS,
            ),
            (
                "GitHub secondary",
                403,
                json!({"documentation_url":"https://docs.github.com/x","message":"You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}),
                (K::RateLimited, S::Key, E::OtherKey),
            ),
            (
                "GitHub primary",
                403,
                json!({"documentation_url":"https://docs.github.com/x","message":"API rate limit exceeded for user ID 17."}),
                (K::RateLimited, S::Key, E::OtherKey),
            ),
            (
                "HF credits",
                402,
                json!({"error":"You have exceeded your monthly included credits for Inference Providers. Subscribe to PRO to get 20x more monthly included credits."}),
                MONEY,
            ),
        ],
    );
}

#[test]
fn of_servers_of_ones_own() {
    all(
        &OpenAi::new(),
        &[
            (
                "vLLM model",
                404,
                json!({"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}),
                NO_SUCH_MODEL,
            ),
            ("TGI busy", 429, json!({"error":"Model is overloaded","error_type":"overloaded"}), CAPACITY),
            (
                "TGI failed",
                424,
                json!({"error":"Request failed during generation: Server error: CUDA out of memory","error_type":"generation"}),
                AGAIN,
            ),
            (
                "Ollama plan",
                403,
                json!({"error":"this model requires a subscription, upgrade for access: https://ollama.com/upgrade"}),
                NOT_FOR_KEY,
            ),
            (
                "Ollama memory",
                500,
                json!({"error":"model requires more system memory (5.6 GiB) than is available (4.1 GiB)"}),
                AGAIN,
            ),
            (
                "LiteLLM model",
                400,
                json!({"error":{"message":"/chat/completions: Invalid model name passed in model=gpt-x. Call `/v1/models` to view available models for your key.","type":"None","param":"None","code":"400"}}),
                NO_SUCH_MODEL,
            ),
            (
                "LiteLLM model, dict",
                400,
                json!({"error":{"message":"{'error': '/chat/completions: Invalid model name passed in model=gpt-x. Call `/v1/models` to view available models for your key.'}","type":"invalid_request_error","param":"None","code":"400"}}),
                NO_SUCH_MODEL,
            ),
            (
                "LiteLLM no key",
                401,
                json!({"error":{"message":"Authentication Error, No api key passed in.","type":"auth_error","param":"None","code":"401"}}),
                OURS,
            ),
            (
                "LiteLLM budget",
                400,
                json!({"error":{"message":"ExceededBudget: User=x over budget. Spend=1.0, Budget=0.5","type":"budget_exceeded","param":null,"code":"400"}}),
                KEY_QUOTA,
            ),
            (
                "LiteLLM budget 429",
                429,
                json!({"error":{"message":"litellm.BudgetExceededError: Budget has been exceeded! Current cost: 20.5, Max budget: 20.0","type":"budget_exceeded","param":null,"code":"429"}}),
                KEY_QUOTA,
            ),
            (
                "LiteLLM parallel",
                429,
                json!({"error":{"message":"Max parallel request limit reached Crossed TPM / RPM / Max Parallel Request Limit, current requests: 1","type":"None","param":"None","code":"429"}}),
                RATE,
            ),
            (
                "LiteLLM v3",
                429,
                json!({"error":{"message":"Rate limit exceeded for team: 0a. Limit type: tokens. Current limit: 100, Remaining: 0. Limit resets at: 2026-11-18 11:07:40 UTC","type":"None","param":"None","code":"429"}}),
                RATE,
            ),
            (
                "new-api token quota",
                403,
                json!({"error":{"message":"token quota is not enough, token remain quota: $0.01, need quota: $0.02 (request id: 0)","type":"new_api_error","param":"","code":"pre_consume_token_quota_failed"}}),
                TOO_DEAR,
            ),
            (
                "new-api user quota",
                403,
                json!({"error":{"message":"预扣费额度失败, 用户剩余额度: ＄0.10, 需要预扣费额度: ＄1.20 (request id: 0)","type":"new_api_error","param":"","code":"insufficient_user_quota"}}),
                TOO_DEAR,
            ),
            (
                "new-api user quota spent",
                403,
                json!({"error":{"message":"用户额度不足, 剩余额度: ＄0.00 (request id: 0)","type":"new_api_error","param":"","code":"insufficient_user_quota"}}),
                MONEY,
            ),
            (
                "new-api token spent",
                401,
                json!({"error":{"message":"该令牌额度已用尽 !token.UnlimitedQuota && token.RemainQuota = -12 (request id: 0)","type":"new_api_error","param":"","code":""}}),
                KEY_QUOTA,
            ),
            (
                "new-api channel",
                503,
                json!({"error":{"message":"No available channel for model x under group default (distributor) (request id: 0)","type":"new_api_error","param":"","code":"model_not_found"}}),
                NOT_FOR_KEY,
            ),
            ("Kong", 401, json!({"message":"No API key found in request"}), OURS),
            ("Kong rate", 429, json!({"message":"API rate limit exceeded"}), RATE),
            (
                "Envoy",
                503,
                json!("upstream connect error or disconnect/reset before headers. reset reason: overflow"),
                CAPACITY,
            ),
        ],
    );
}

#[test]
fn of_gemini_and_anthropic() {
    let google =
        |status: u16, word: &str, message: &str| json!({"error": {"code": status, "message": message, "status": word}});
    let claude = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_0"});
    all(
        &Gemini::new(),
        &[
            (
                "vertex precondition",
                400,
                google(
                    400,
                    "FAILED_PRECONDITION",
                    "Project `1` is not allowed to use Publisher Model `projects/p/locations/l/publishers/google/models/x`",
                ),
                (K::ModelUnavailable, S::OwnerLane, E::OtherKey),
            ),
            (
                "vertex express",
                401,
                google(
                    401,
                    "UNAUTHENTICATED",
                    "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials that assert a principal. See https://cloud.google.com/docs/authentication",
                ),
                OURS,
            ),
            (
                "quota metric",
                429,
                google(
                    429,
                    "RESOURCE_EXHAUSTED",
                    "Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateContent request limit per minute for a region' of service 'generativelanguage.googleapis.com' for consumer 'project_number:123'.",
                ),
                RATE,
            ),
        ],
    );
    all(
        &Anthropic::new(),
        &[
            (
                "itpm",
                429,
                claude(
                    "rate_limit_error",
                    "This request would exceed your organization's rate limit of 30,000 input tokens per minute (org: 0, model: claude-x). For details, refer to: https://docs.claude.com/en/api/rate-limits.",
                ),
                RATE,
            ),
            ("fast", 400, claude("invalid_request_error", "Fast mode is not enabled for your organization."), CALLER),
            ("overload inner", 500, claude("overloaded_error", "Overloaded"), CAPACITY),
        ],
    );
}

/// `OpenRouter` says whose limit it was in a word of its own, and some say in a member how long to wait.
#[test]
fn whose_limit_a_router_met() {
    let limited =
        |message: &str, metadata: Value| json!({"error": {"message": message, "code": 429, "metadata": metadata}});
    let pool = json!({"provider_name": "X", "is_byok": false, "limit_source": "upstream_provider_shared_pool", "retry_after_seconds": 5});
    let upstream = openai(429, &limited("Rate limit reached for model `x`", pool));
    assert_eq!((is(&upstream), upstream.until_of()), (CAPACITY, U::For(Duration::from_secs(5))));
    let daily = openai(429, &limited("Rate limit exceeded.", json!({"limit_source": "openrouter_free_tier_daily"})));
    assert_eq!((is(&daily), daily.until_of()), (QUOTA, U::Backoff));
    let reset = json!({"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795153590000"});
    let minute = json!({"limit_source": "openrouter_free_tier_per_minute", "headers": reset});
    let minute = openai(429, &limited("Rate limit exceeded.", minute));
    assert_eq!(
        (is(&minute), minute.until_of()),
        (RATE, U::For(Duration::from_secs(30))),
        "the account's paid models serve"
    );
    for (member, seconds) in [("retry_after", 7.0), ("retry_after_ms", 7_000.0), ("retryAfter", 7.0)] {
        let error = json!({"error": {"message": "Too many.", "code": "rate_limit_exceeded", (member): seconds}});
        assert_eq!(openai(429, &error).until_of(), U::For(Duration::from_secs(7)), "{member}");
    }
    for absurd in [json!(-7), json!(0), json!("soon"), json!(1e300), json!(null), json!([])] {
        let error = json!({"error": {"message": "Too many.", "code": "rate_limit_exceeded", "retry_after": absurd}});
        let verdict = openai(429, &error);
        assert_eq!(is(&verdict), RATE, "{absurd}");
        assert!(verdict.retry_after().is_none_or(|wait| wait <= Duration::from_secs(26 * 3_600)), "{absurd}");
    }
}

#[test]
fn when_the_headers_say() {
    let wait = |provider: &dyn Provider, headers: &[(&str, &str)]| {
        judge(provider, 429, headers, &json!({"error": {"message": "Too many."}})).retry_after()
    };
    let date = ("date", "Wed, 18 Nov 2026 11:06:40 GMT");
    for told in [
        "30",
        "30.0",
        "30s",
        "1795000030",
        "1795000030000",
        "30, 30",
        "2026-11-18T11:07:10Z",
        "PT30S",
        "Wed, 18 Nov 2026 11:07:10 GMT",
    ] {
        for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new(), &Gemini::new()] {
            assert_eq!(wait(provider, &[("retry-after", told), date]), Some(Duration::from_secs(30)), "{told}");
        }
    }
    for told in ["soon", "-30", "", ", 30", "30,", "0x1e", "1e9"] {
        let read = wait(&OpenAi::new(), &[("retry-after", told), date]);
        assert!(read.is_none() || told == "30,", "{told}: {read:?}");
    }
    // Of gateways.
    let gateway = [("ratelimit-limit", "100"), ("ratelimit-remaining", "0"), ("ratelimit-reset", "30"), date];
    assert_eq!(wait(&OpenAi::new(), &gateway), Some(Duration::from_secs(30)));
}

/// Gateways put what they were told into their own message, as text.
#[test]
fn the_limit_within_a_message_is_read() {
    let within =
        |inner: &Value| json!({"error": {"message": inner.to_string(), "type": "upstream_error", "code": 429}});
    let spent = within(&said("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"));
    let text =
        "Rate limit reached for gpt-4o on requests per day (RPD): Limit 200, Used 200. Please try again in 7m12s.";
    let daily = within(&said(text, "requests", "rate_limit_exceeded"));
    for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
        assert_eq!(is(&judge(provider, 429, &[], &spent)), MONEY, "{}", provider.name());
    }
    let verdict = judge(&OpenAi::new(), 429, &[], &daily);
    assert_eq!(verdict.until_of(), U::For(Duration::from_secs(432)), "{verdict:?}");
    let quota: Value = serde_json::from_str(include_str!("../samples/gemini_429_rpm_free.json")).unwrap();
    let verdict = judge(&OpenAi::new(), 429, &[], &within(&quota["body"]));
    assert!(matches!(verdict.until_of(), U::For(delay) if delay > Duration::from_secs(5)), "{verdict:?}");
    // What it says of a key is of the gateway's own, and a word of the caller's is none of anybody's.
    let invalid = within(&said("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"));
    assert_ne!(judge(&OpenAi::new(), 429, &[], &invalid).kind(), K::InvalidKey);
    let quoted = said("{\"error\": \"x\"} is not a valid prompt", "rate_limit_error", "rate_limit_exceeded");
    assert_eq!(judge(&OpenAi::new(), 429, &[], &quoted).kind(), K::RateLimited);
}

/// A good status, an answer's own members, and not a word in them.
#[test]
fn an_error_beside_the_members_of_an_answer_is_one() {
    let limited = json!({"code": 429, "message": "Rate limit exceeded"});
    let failed = json!({"code": 502, "message": "Provider returned error"});
    let chat = |error: &Value| json!({"id": "gen-1", "object": "chat.completion", "created": 1, "choices": [], "error": error});
    for (body, kind) in [
        (chat(&failed), K::Transient),
        (chat(&limited), K::RateLimited),
        (json!({"id": "gen-1", "provider": "x", "error": failed}), K::Transient),
        (
            json!({"choices": [{"finish_reason": "error", "error": limited, "message": {"role": "assistant", "content": ""}}]}),
            K::RateLimited,
        ),
        (
            json!({"choices": [{"finish_reason": "error", "error": failed, "message": {"content": "Half of it"}}]}),
            K::Success,
        ),
        (json!({"choices": [{"message": {"content": "fine"}}], "error": failed}), K::Success),
        (json!({"id": "batch_1", "object": "batch", "error": failed}), K::Success),
        (json!({"id": "resp_1", "object": "response", "status": "failed", "error": failed}), K::Transient),
        (json!({"id": "resp_1", "object": "response", "status": "completed", "error": failed}), K::Success),
        (json!({"id": "x", "object": "chat.completion", "choices": [], "error": null}), K::Success),
    ] {
        assert_eq!(judge(&OpenAi::new(), 200, &[], &body).kind(), kind, "{body}");
    }
}

/// As Bedrock's user guide and people's reports have them.
#[test]
fn of_amazon() {
    let any = ApiKeyHeader::header("authorization", "https://bedrock-runtime.us-east-1.amazonaws.com").unwrap();
    let overloaded = (K::Overloaded, S::Lane, E::AfterPause);
    let account = (K::ModelUnavailable, S::OwnerLane, E::OtherKey);
    for provider in [&any as &dyn Provider, &OpenAi::new(), &Anthropic::new()] {
        for (status, name, message, meaning) in [
            (429, "ThrottlingException", "Too many tokens, please wait before trying again.", RATE),
            (429, "ThrottlingException", "Too many tokens per day, please wait before trying again.", QUOTA),
            (400, "ServiceQuotaExceededException", "Your request exceeds the service quota for your account.", RATE),
            (429, "ModelNotReadyException", "The model is not ready for inference.", overloaded),
            (424, "ModelErrorException", "The model failed.", (K::Transient, S::Caller, E::AfterPause)),
            (403, "AccessDeniedException", "You don't have access to the model with the specified model ID.", account),
            (
                404,
                "ResourceNotFoundException",
                "Model use case details have not been submitted for this account.",
                account,
            ),
            (403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.", KEY),
            (403, "UnrecognizedClientException", "The security token included in the request is invalid.", KEY),
            (400, "ValidationException", "The provided model identifier is invalid.", CALLER),
        ] {
            let header = format!("{name}:http://internal.amazon.com/coral/com.amazon.bedrock/");
            let told = judge(provider, status, &[("x-amzn-errortype", &header)], &json!({ "message": message }));
            assert_eq!(is(&told), meaning, "{} {name}: {message}", provider.name());
            let member = json!({ "__type": format!("com.amazon.coral.service#{name}"), "message": message });
            assert_eq!(is(&judge(provider, status, &[], &member)), meaning, "{} {name} as a member", provider.name());
        }
    }
}
