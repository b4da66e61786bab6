//! Errors that come with a good status: as an event of a stream, or as a whole answer. The bodies are those of other people's tests, logs
//! and threads; the number is the file's in the index in which it was found. Each was judged by hand before it was judged here.

use tower_keypool::{Anthropic, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, VerdictKind as K};

use crate::meaning::{
    AGAIN, BUSY, CALLER, CANCELLED, KEY, KEY_LANE, MONEY, Meaning, NOT_FOR_KEY, QUOTA, RATE, UNNAMED, answered,
    none_differs, waits,
};

const BILLING: Meaning = (K::QuotaExhausted, S::BillingAccount, E::OtherKey);
const GOOD: Meaning = (K::Success, S::Caller, E::No);

type Row<'a> = (&'a str, &'a str, Meaning);

/// What a provider makes of them; `event`: each is one of a stream.
fn all(provider: &dyn Provider, event: bool, rows: &[Row<'_>]) {
    none_differs(
        rows.iter()
            .map(|(who, body, meaning)| (format!("{who} {body}"), *meaning, answered(provider, 200, &[], body, event))),
    );
}

#[test]
fn events_of_gemini() {
    all(
        &Gemini::new(),
        true,
        &[
            (
                "53033050858",
                r#"{"error":{"code":429,"message":"Quota exceeded for aiplatform.googleapis.com","status":"RESOURCE_EXHAUSTED"}}"#,
                RATE,
            ),
            ("65882021098", r#"{"error":{"code":503,"message":"unavailable","status":"UNAVAILABLE"}}"#, BUSY),
            ("68524548493", r#"{"error":{"code":403,"message":"nope","status":"PERMISSION_DENIED"}}"#, KEY_LANE),
            ("60452390723", r#"{"error":{"code":429,"message":"quota"}}"#, UNNAMED),
            (
                "OmniRoute#4177, listed",
                r#"[{"error":{"code":503,"message":"This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again later.","status":"UNAVAILABLE"}}]"#,
                BUSY,
            ),
            (
                "68558594311, of an answer",
                r#"{"error":{"code":429,"message":"Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing. Learn more at https://ai.google.dev/gemini-api/docs/billing#prepay. ","status":"RESOURCE_EXHAUSTED"}}"#,
                BILLING,
            ),
            (
                "composed",
                r#"{"error":{"code":499,"message":"The operation was cancelled.","status":"CANCELLED"}}"#,
                CANCELLED,
            ),
        ],
    );
}

#[test]
fn events_of_openais_responses() {
    let rows: &[Row<'_>] = &[
        (
            "1361996958",
            r#"{"type":"response.failed","sequence_number":3,"response":{"id":"resp_689b","object":"response","created_at":1755041560,"status":"failed","background":false,"error":{"code":"rate_limit_exceeded","message":"Rate limit reached for gpt-5.1 in organization org-AAA on tokens per min (TPM): Limit 30000, Used 22999, Requested 12528. Please try again in 11.054s. Visit https://platform.openai.com/account/rate-limits to learn more."}, "usage":null,"user":null,"metadata":{}}}"#,
            RATE,
        ),
        (
            "66447114978",
            r#"{"type":"response.failed","response":{"id":"resp_e7f3","object":"response","model":"claude-opus-5","status":"failed","output":[],"error":{"code":"rate_limit_exceeded","message":"Concurrency limit exceeded for account, please retry later"}}}"#,
            RATE,
        ),
        (
            "earendil-works/pi#1458",
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"Requests to the ... Operation have exceeded token rate limit ..."}}}"#,
            RATE,
        ),
        (
            "67159006296",
            r#"{"type":"error","error":{"type":"service_unavailable_error","code":"server_is_overloaded","message":"Our servers are currently overloaded. Please try again later."}}"#,
            BUSY,
        ),
        (
            "67159006296",
            r#"{"type":"response.failed","response":{"id":"resp_shed","status":"failed","error":{"code":"server_is_overloaded","message":"Our servers are currently overloaded. Please try again later."}}}"#,
            BUSY,
        ),
        ("71579008581", r#"{"type":"error","code":"server_error","message":"sentinel upstream failed"}"#, AGAIN),
        (
            "68765377413",
            r#"{"type":"response.failed","response":{"status":"failed","usage":{"input_tokens":11,"output_tokens":4,"total_tokens":15},"error":{"type":"server_error","message":"failed after output"}}}"#,
            AGAIN,
        ),
        (
            "69366317988",
            r#"{"error":{"code":"invalid_prompt","message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a different prompt: https://platform.openai.com/docs/guides/reasoning#advice-on-prompting","param":null,"type":"invalid_request_error"},"sequence_number":2,"type":"error"}"#,
            CALLER,
        ),
        (
            "LionSR/TeXRA#3851, its sentence as an event",
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"insufficient_quota","message":"You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."}}}"#,
            MONEY,
        ),
        ("CLIProxyAPI#3904", r#"{"type":"error","error":{"type":"usage_limit_reached"}}"#, QUOTA),
        // What a code means the tables of whole answers say, and a status beside it more than the type of nearly all its errors.
        (
            "composed of what codegraff2#117 and 70900989642 name",
            r#"{"type":"error","status":401,"error":{"type":"invalid_request_error","code":"token_invalidated","message":"Your authentication token has been invalidated. Please try signing in again."}}"#,
            KEY,
        ),
        (
            "the same without",
            r#"{"type":"error","error":{"type":"invalid_request_error","code":"token_invalidated","message":"m"}}"#,
            KEY,
        ),
        (
            "69635578504, over a socket",
            r#"{"type":"response.done","response":{"status":"failed","status_details":{"type":"failed","error":{"type":"insufficient_quota","code":"insufficient_quota","message":"You exceeded your current quota"}}}}"#,
            MONEY,
        ),
        (
            "composed, no error",
            r#"{"type":"response.incomplete","response":{"id":"r","status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"}}}"#,
            GOOD,
        ),
    ];
    all(&OpenAi::new(), true, rows);
    let verdict = answered(&OpenAi::new(), 200, &[], rows[0].1, true);
    assert_eq!(verdict.until_of(), U::For(std::time::Duration::from_millis(11_054)));
}

#[test]
fn events_of_those_who_speak_like_openai() {
    all(
        &OpenAi::new(),
        true,
        &[
            (
                "63457929093, OpenRouter's documentation",
                r#"{"id":"gen-abc123","object":"chat.completion.chunk","created":1234567890,"model":"openai/gpt-4o","provider":"OpenAI","error":{"code":429,"message":"Rate limit exceeded","metadata":{"error_type":"rate_limit_exceeded"}},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
                RATE,
            ),
            (
                "66820124703, the same",
                r#"{"id":"cmpl-abc123","object":"chat.completion.chunk","created":1234567890,"model":"gpt-3.5-turbo","provider":"openai","error":{"code":"server_error","message":"Provider disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
                AGAIN,
            ),
            (
                "61413485403",
                r#"{"error":{"code":429,"message":"Provider returned error","metadata":{"error_type":"rate_limit_exceeded","retry_after_seconds":0}},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#,
                BUSY,
            ),
            (
                "55017312246",
                r#"{"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"","provider":"Amazon Bedrock","choices":[],"error":{"code":502,"message":"Internal server error","metadata":{"error_type":"provider_unavailable"}}}"#,
                AGAIN,
            ),
            (
                "59665996911",
                r#"{"type":"error","error":{"code":402,"message":"Insufficient credits","metadata":{"error_type":"payment_required"}}}"#,
                MONEY,
            ),
            (
                "57515023903, vLLM's",
                r#"{"error":{"code":500,"message":"EngineCore encountered an issue. See stack trace (above) for the root cause.","param":null,"type":"InternalServerError"},"id":"chatcmpl-mockopenai"}"#,
                AGAIN,
            ),
            ("69647504978, the same before", r#"{"object":"error","message":"bad request shape","code":400}"#, CALLER),
            (
                "70781160800",
                r#"{"object":"error","message":"Internal worker died","type":"InternalServerError","code":503}"#,
                BUSY,
            ),
            ("71446929290, Mistral's", r#"{"object":"error","message":"Service unavailable"}"#, AGAIN),
            (
                "continuedev/continue#12843, Ollama's",
                r#"{"error":"an error was encountered while running the model: unexpected EOF"}"#,
                AGAIN,
            ),
            (
                "composed of an answer's, Azure's",
                r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400}}"#,
                CALLER,
            ),
            // Of answers with another status, where these were found: their words are the same.
            (
                "70862163875, Moonshot's",
                r#"{"error":{"type":"exceeded_current_quota_error","message":"Your account is suspended"}}"#,
                MONEY,
            ),
            (
                "70906147201, Kimi's",
                r#"{"error":{"message":"You've reached your 5-hour usage limit. Upgrade at kimi.com","type":"rate_limit_reached_error"}}"#,
                QUOTA,
            ),
            (
                "threads.rs, Zhipu's",
                r#"{"error":{"code":"1113","message":"Insufficient balance or no resource package. Please recharge."}}"#,
                MONEY,
            ),
            ("60987540354, iFlytek's", r#"{"error":{"message":"AppIdNoAuthError","code":"11200"}}"#, KEY_LANE),
            (
                "70862163875, DashScope's",
                r#"{"type":"error","error":{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."}}"#,
                MONEY,
            ),
            (
                "25442879123, of a key that lacks a scope",
                r#"{"type":"error","error":{"type":"invalid_request_error","code":"inference_not_authorized_error","message":"You have insufficient permissions for this operation. Missing scopes: model.request."}}"#,
                KEY_LANE,
            ),
            (
                "70712815278, no error",
                r#"{"choices":[{"index":0,"delta":{"content":"failed partial answer"},"finish_reason":"error"}]}"#,
                GOOD,
            ),
        ],
    );
}

#[test]
fn events_of_anthropic() {
    all(
        &Anthropic::new(),
        true,
        &[
            (
                "anthropic-sdk-go#200",
                r#"{"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"} }"#,
                BUSY,
            ),
            (
                "63341328128",
                r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
                KEY,
            ),
            ("60452390723", r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#, RATE),
            ("54102100208", r#"{"type":"error","error":{"type":"api_error","message":"Stream failed"}}"#, AGAIN),
            (
                "MiniMax-M2#62",
                r#"{"type":"error","error":{"type":"api_error","message":"insufficient balance (1008)"},"request_id":"05997465cd2ee4bd50b24b216c911b75"}"#,
                MONEY,
            ),
            (
                "composed of an answer's",
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}}"#,
                MONEY,
            ),
            (
                "composed of an answer's, Zhipu's",
                r#"{"type":"error","error":{"type":"1308","message":"Usage limit reached for 5 hour."}}"#,
                QUOTA,
            ),
        ],
    );
}

#[test]
fn whole_answers_that_are_errors() {
    const NO_SUCH_KEY: Meaning = KEY;
    all(
        &OpenAi::new(),
        false,
        &[
            (
                "zh667/TokenLedger#9, z.ai's",
                r#"{"code":401,"msg":"token expired or incorrect","success":false}"#,
                NO_SUCH_KEY,
            ),
            (
                "zh667/TokenLedger#9, Zhipu's",
                r#"{"code":401,"msg":"令牌已过期或验证不正确","success":false}"#,
                NO_SUCH_KEY,
            ),
            (
                "zh667/TokenLedger#9, cut there",
                r#"{"base_resp":{"status_code":1004,"status_msg":"login fail: ..."}}"#,
                NO_SUCH_KEY,
            ),
            ("71066787842", r#"{"base_resp":{"status_code":2049,"status_msg":"invalid api key"}}"#, NO_SUCH_KEY),
            (
                "61429617215",
                r#"{"data":null,"trace_id":"x","base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#,
                MONEY,
            ),
            (
                "62960555749",
                r#"{"data":null,"base_resp":{"status_code":2013,"status_msg":"invalid params, unsupported voice"}}"#,
                CALLER,
            ),
            (
                "60653964871",
                r#"{"data":{"audio":"","status":0},"base_resp":{"status_code":2013,"status_msg":"invalid params"}}"#,
                CALLER,
            ),
            (
                "68560821407",
                r#"{"base_resp":{"status_code":2056,"status_msg":"Token Plan usage limit reached"}}"#,
                QUOTA,
            ),
            (
                "57941547661",
                r#"{"base_resp":{"status_code":2061,"status_msg":"your current token plan not support model"}}"#,
                NOT_FOR_KEY,
            ),
            ("51912199566", r#"{"base_resp":{"status_code":1039,"status_msg":"rate limited"}}"#, RATE),
            (
                "68694401553",
                r#"{"choices":[],"error":{"code":502,"message":"Upstream error from Nvidia: Service temporarily overloaded","metadata":{"error_type":"provider_unavailable"}}}"#,
                AGAIN,
            ),
        ],
    );
}

#[test]
fn what_tells_of_something_that_failed_is_a_good_answer() {
    all(
        &Gemini::new(),
        false,
        &[
            ("57978792393, Veo's", r#"{"done":true,"error":{"code":3,"message":"blocked"}}"#, GOOD),
            (
                "60603967290",
                r#"{"name":"n","done":true,"error":{"code":3,"message":"blocked by policy","status":"INVALID_ARGUMENT"}}"#,
                GOOD,
            ),
            ("59211022305", r#"{"done":true,"error":{"code":400,"status":"INVALID_ARGUMENT","message":"bad"}}"#, GOOD),
            (
                "61448148747, another message",
                r#"{"done":true,"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"m"}}"#,
                GOOD,
            ),
            (
                "70752394608, a batch's",
                r#"{"metadata":{"state":"BATCH_STATE_SUCCEEDED"},"response":{"inlinedResponses":{"inlinedResponses":[{"metadata":{"key":"germany"},"error":{"code":8,"message":"Resource has been exhausted.","status":"RESOURCE_EXHAUSTED"}}]}}}"#,
                GOOD,
            ),
            ("composed, a file's", r#"{"name":"files/a","state":"FAILED","error":{"code":13,"message":"m"}}"#, GOOD),
            (
                "experientiallabs/experiential#783",
                r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":7}}"#,
                GOOD,
            ),
        ],
    );
    all(
        &OpenAi::new(),
        false,
        &[
            (
                "55163471549, a batch's line",
                r#"{"id":"batch_req_abc","custom_id":"pair-3","response":{"status_code":429,"body":{"error":{"message":"Rate limit exceeded"}}}}"#,
                GOOD,
            ),
            (
                "68956133494, the same",
                r#"{"custom_id":"jp:1:000003","response":{"status_code":429,"request_id":"req-3","body":{"error":{"code":"rate_limit_exceeded","message":"later"}}}}"#,
                GOOD,
            ),
            (
                "composed, of a response that went on behind",
                r#"{"id":"resp_1","object":"response","status":"failed","background":true,"error":{"code":"insufficient_quota","message":"m"},"output":[]}"#,
                GOOD,
            ),
            // Of something that was made, and of something else.
            ("composed", r#"{"code":401,"msg":"m","success":false,"choices":[{"message":{"content":"hi"}}]}"#, GOOD),
            ("composed", r#"{"code":0,"msg":"ok","success":true}"#, GOOD),
            ("53226516217", r#"{"success":false,"msg":"verification failed"}"#, GOOD),
        ],
    );
    all(
        &Anthropic::new(),
        false,
        &[
            (
                "55260466871, a batch's line",
                r#"{"custom_id":"req-2","result":{"type":"errored","error":{"type":"server_error","message":"Ollama timeout"}}}"#,
                GOOD,
            ),
            (
                "68641386610",
                r#"{"custom_id":"bad-model","result":{"type":"errored","error":{"type":"error","error":{"details":{"error_visibility":"user_facing"},"type":"not_found_error","message":"model: claude-does-not-exist-9"},"request_id":null}}}"#,
                GOOD,
            ),
        ],
    );
}

#[test]
fn how_long_is_read_of_events_as_of_answers() {
    for (body, until) in [
        (
            r#"{"type":"error","status":429,"error":{"type":"usage_limit_reached","message":"The usage limit has been reached","resets_in_seconds":3600}}"#,
            waits(3_600),
        ),
        (
            r#"{"type":"error","error":{"type":"tokens","code":"rate_limit_exceeded","message":"Rate limit reached for gpt-realtime-2.1-mini in organization org-KNkOJ3 on tokens per min (TPM): Limit 40000, Used 39000, Requested 9000. Please try again in 7s."}}"#,
            waits(7),
        ),
    ] {
        assert_eq!(answered(&OpenAi::new(), 200, &[], body, true).until_of(), until, "{body}");
    }
}
