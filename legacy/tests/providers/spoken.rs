//! Errors that this project had not met, as other people's threads, logs and tests hold them: which one stands in front of each. Where
//! nobody named a repository, the number is the file's in the index in which it was found. Each was judged by hand before it was judged
//! here. Ids and names of accounts are cut or replaced, and what a source cut short stands here as short.

use std::time::Duration;

use serde_json::{Value, json};
use tower_keypool::{Anthropic, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, VerdictKind as K};

use crate::meaning::{
    AGAIN, BUSY, CALLER, KEY, KEY_LANE, MONEY, Meaning, NO_SUCH_MODEL, NOT_FOR_ACCOUNT, NOT_FOR_KEY, OURS, QUOTA, RATE,
    SPENT, SUSPENDED, Timed, UNNAMED, WRONG_OWNER, all, answered, any, each_timed, is, judge_text, said, waits,
};

/// Of a request that is larger than what an account may ask at once: another one may have more.
const TOO_LARGE: Meaning = (K::CallerFault, S::Caller, E::OtherOwner);
/// Of a request that costs more than what an account has left.
const TOO_DEAR: Meaning = (K::QuotaExhausted, S::Caller, E::OtherOwner);

/// Of what a model looks up: it answers as before without.
const NO_SEARCHES: Meaning = (K::QuotaExhausted, S::Caller, E::OtherOwner);

type Told = (&'static str, u16, String, Meaning);

fn each(provider: &dyn Provider, rows: &[Told]) {
    let rows: Vec<_> =
        rows.iter().map(|(who, status, body, meaning)| (*who, *status, body.as_str(), *meaning)).collect();
    all(provider, &rows);
}

fn google(who: &'static str, status: u16, word: &str, message: &str, meaning: Meaning) -> Told {
    (who, status, json!({"error": {"code": status, "message": message, "status": word}}).to_string(), meaning)
}

/// As it comes from paths for clients of `OpenAI`.
fn listed(who: &'static str, status: u16, word: &str, message: &str, meaning: Meaning) -> Told {
    (who, status, json!([{"error": {"code": status, "message": message, "status": word}}]).to_string(), meaning)
}

fn detailed(who: &'static str, status: u16, word: &str, message: &str, details: &Value, meaning: Meaning) -> Told {
    let body = json!({"error": {"code": status, "message": message, "status": word, "details": details}});
    (who, status, body.to_string(), meaning)
}

/// Code Assist's, with the older form beside the newer one.
fn assist(who: &'static str, status: u16, word: &str, reason: &str, message: &str, meaning: Meaning) -> Told {
    let errors = json!([{"message": message, "domain": "global", "reason": reason}]);
    let body = json!([{"error": {"code": status, "message": message, "errors": errors, "status": word}}]);
    (who, status, body.to_string(), meaning)
}

fn why(reason: &str, domain: &str, metadata: &Value) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain, "metadata": metadata})
}

fn own(who: &'static str, status: u16, body: &str, meaning: Meaning) -> Told {
    (who, status, body.to_owned(), meaning)
}

#[test]
fn what_gemini_does_not_take() {
    let bad = |who, message: &str| google(who, 400, "INVALID_ARGUMENT", message, CALLER);
    let listed = |who, message: &str| listed(who, 400, "INVALID_ARGUMENT", message, CALLER);
    each(
        &Gemini::new(),
        &[
            bad("23484639355", "google_search_retrieval is not supported. Please use google_search tool instead."),
            bad("47750019611", "Browse tool is not supported."),
            bad("70094062230", "Unable to submit request because it must include at least one parts field"),
            bad("5668475194", "Unable to submit request because `search_jobs` functionDeclaration `parameters.employment_types` schema specified other fields alongside any_of. When using any_of, it must be the only field set."),
            bad("56537918464", "Unable to submit request because controlled generation is not supported with Code Execution tool."),
            listed("58141948704", "Unable to submit request because it has an unrecognized field \"index\" in tool_calls."),
            bad("24690195646", "Unable to submit request because thinking is not supported by this model"),
            listed("55757642802", "Unable to submit request because function call create_file in the 5. content block is missing a thought_signature..."),
            bad("61784464476", "`inlineData` isn't supported by this model."),
            bad("61784464476", "Video URI not found in the request."),
            bad("8857843673", "`referenceImages` isn't supported by this model"),
            bad("62596392802", "This model only supports Interactions API."),
            bad("66520670180", "Requests ending with a model turn are not supported."),
            bad("66357668700", "Tool use with function calling is unsupported"),
            bad("10130685527", "Invalid JSON payload received. Unexpected token.\n75, \"Cocoa (CC=F)\": NaN, \"Coffee (KC=F)\"\n                    ^"),
            bad("53958216870", "Please enable tool_config.include_server_side_tool_invocations to use Built-in tools with Function calling."),
            bad("52940601629", "Please use fewer than 10800 images in your request to this model"),
            bad("61714839237", "* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are `text/plain`, `application/json`, `application/xml`, `application/yaml` and `text/x.enum`.\n"),
            bad("65900637628", "Unable to submit request because controlled generation is not supported with Search tool. Learn more: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini"),
            bad("68587090920", "Manually set deadline 8s is too short. Minimum allowed deadline is 10s."),
            listed("66441768940", "Invalid value of n: should be between 1 and 8, got 10"),
            listed("58117194154", "Generating multiple candidate generations (n > 1) is not supported by the model."),
            listed("53364598264", "Only one candidate can be specified in the current model"),
            listed("71503953492", "Multiple candidates is not enabled for this model"),
            bad("LinguaGacha#397", "You can only set only one of thinking budget and thinking level."),
            bad("ergon#11", "The number value for `durationSeconds` is out of bound. Please provide a value between 4 and 8, inclusive."),
            bad("25284706727", "Developer instruction is not enabled for models/gemini-2.0-flash-exp"),
            bad("10302150944", "Image input modality is not enabled for models/gemma-3n-e4b-it"),
            bad("71415915602", "Audio input modality is not enabled for models/m"),
            bad("68491234920", "Multiturn chat is not enabled for models/antigravity-preview"),
            bad("4582622010", "Function calling is not enabled for models/gemma-3-27b-it"),
            bad("65780782192", "* GenerateContentRequest.safety_settings[0]: element predicate failed: $.category in (HarmCategory.HARM_CATEGORY_HATE_SPEECH, HarmCategory.HARM_CATEGORY_SEXUALLY_EXPLICIT, HarmCategory.HARM_CATEGORY_DANGEROUS_CONTENT"),
            listed("69133957684", "* GenerateContentRequest.contents: contents is not specified\n"),
            bad("59304263614", "* GenerateContentRequest.model: unexpected model name format"),
            bad("37284959952", "* GenerateContentRequest.contents[1].parts: contents.parts must not be empty.\n* GenerateContentRequest.contents[3].parts: contents.parts must not be empty.\n"),
            bad("68411365054", "* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties[claims].items.properties[quote_offset].items: missing field."),
            bad("71613915155", "* GenerateContentRequest.tools[0].function_declarations[34].parameters.properties[permission].enum[3]: cannot be empty"),
            bad("28597460426", "A schema in GenerationConfig in the request exceeds the maximum allowed nesting depth."),
            bad("13997382066", "The specified schema produces a constraint that has too many states for serving. Typical causes of this error are schemas with lots of text (for example, very long property or enum nam"),
            bad("53147484967", "Cache content 3298400880348364800 is expired."),
            bad("2256166745", "The text content is empty."),
            bad("20378128808", "The request's total referenced files bytes are too large to be read"),
            bad("47838965166", "Search as a tool and file search tool are not supported together"),
            bad("33520228232", "Unable to submit request because it has a maxOutputTokens value of -1 but the supported range is from 1 (inclusive) to 65537 (exclusive). Update the value and try again."),
            listed("8470213279, as Google has it", "Unable to submit request because it has an empty text parameter. Add a value to the parameter and try again. Learn more: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini"),
            detailed("opentelemetry-python-contrib, cassette", 400, "INVALID_ARGUMENT", "Please use a valid role: user, model.", &json!([]), CALLER),
            detailed("opentelemetry-python-contrib, cassette", 400, "INVALID_ARGUMENT", "Unable to submit request because it has a temperature value of 1000 but the supported range is from 0 (inclusive) to 2.0001 (exclusive). Update the value and try again.", &json!([]), CALLER),
            bad("pydantic-ai, cassette", "Cannot fetch content from the provided URL. Please ensure the URL is valid and accessible by Vertex AI. Vertex AI respects robots.txt rules, so confirm the URL is allowed to be crawled. Status: URL_ROBOTED-ROBOTED_DENIED"),
            bad("vertexai-sdk-test-data", "Cached content model does not match the model in the request."),
            bad("vertexai-sdk-test-data", "Invalid CachedContent name: 1234567890."),
            detailed("vertexai-sdk-test-data", 400, "INVALID_ARGUMENT", "Request contains an invalid argument.", &json!([{"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": "[ORIGINAL ERROR] generic::invalid_argument: invalid status photos.thumbnailer.Status.Code::5: Source image 0 too short"}]), CALLER),
            detailed("python-genai, test_generate_content", 400, "INVALID_ARGUMENT", "Multi-modal output is not supported.", &json!([{"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": "[ORIGINAL ERROR] generic::invalid_argument: Multi-modal output is not supported. [google.rpc.error_details_ext] { message: \"Multi-modal output is not supported.\" }"}]), CALLER),
            bad("25116611176", "Model does not support the requested response modalities: image"),
            bad("16234503843", "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn."),
            bad("70868084409", "Provided image is not valid."),
            bad("47750019611", "Invalid or unsupported file uri"),
            bad("71214650857", "Thinking level is not supported for this model."),
            bad("57352478204", "Model tried to generate text, but it should only be used for TTS."),
            bad("68325416993", "Invalid value at 'request.contents[151].parts[0].thought_signature' (TYPE_BYTES), Base64 decoding failed for ..."),
            (
                "iflow-cli#238", 400,
                json!([{"error": {"code": 400, "message": "Invalid JSON payload received. Unknown name \"max_new_tokens\": Cannot find field.", "status": "INVALID_ARGUMENT", "details": [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"description": "Invalid JSON payload received. Unknown name \"max_new_tokens\": Cannot find field."}]}]}}]).to_string(),
                CALLER,
            ),
            assist("gemini-cli#4701", 400, "INVALID_ARGUMENT", "badRequest", "Request contains an invalid argument.", CALLER),
            (
                "gemini-cli#16026", 400,
                json!({"error": {"message": json!({"error": {"code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT"}}).to_string(), "code": 400, "status": "Bad Request"}}).to_string(),
                CALLER,
            ),
            (
                "Antigravity-Manager#1942", 400,
                json!({"error": {"code": 400, "message": json!({"error": {"code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT"}}).to_string(), "status": "UPSTREAM_ERROR"}}).to_string(),
                CALLER,
            ),
            own("new-api#1474", 404, r#"{"error":{"message":"Invalid URL (GET /v1beta/files/owui-v1-d6ed23c8e14815ab)","type":"invalid_request_error","param":"","code":""}}"#, CALLER),
            own("js-genai#1204", 404, r#"{"error":{"code":"http_error","message":"Not Found"}}"#, CALLER),
            own("js-genai#930", 404, r#"{"error":{"message":"","code":404,"status":"Not Found"}}"#, CALLER),
        ],
    );
}

#[test]
fn models_and_things_that_google_has_not() {
    each(
        &Gemini::new(),
        &[
            listed("60438707791", 400, "FAILED_PRECONDITION", "Publisher model 'xai/grok-4.1-fast-non-reasoning' in region 'us-central1' is only available via global endpoint.", NO_SUCH_MODEL),
            google("58508477443", 400, "FAILED_PRECONDITION", "Publisher Model `projects/my-project/locations/us-central1/publishers/anthropic/models/claude-haiku-4-5@20251001` is not servable in region us-central1.", NO_SUCH_MODEL),
            google("59998397179", 404, "NOT_FOUND", "Publisher model `projects/my-project/locations/us-central1/publishers/google/models/gemini-3.5-flash` was not found or your project does not have access to it. Ensure you are using a valid model name and that the model is available in the specified region. For more information, see: https://docs.cloud.google.com/ge", NO_SUCH_MODEL),
            detailed("opentelemetry-python-contrib, cassette", 404, "NOT_FOUND", "Publisher Model `projects/fake-project/locations/us-central1/publishers/google/models/gemini-does-not-exist` not found.", &json!([]), NO_SUCH_MODEL),
            google("pydantic-ai, cassette", 404, "NOT_FOUND", "models/nonexistent-model is not found for API version v1beta, or is not supported for embedContent. Call ListModels to see the list of available models and their supported methods.", NO_SUCH_MODEL),
            listed("59371687697", 400, "FAILED_PRECONDITION", "Organization Policy constraint constraints/vertexai.allowedPartnerModelFeatures violated for `projects/my-project` attempting to use a disallowed feature structured_outputs for Partner model claude-sonnet-4-6. ", WRONG_OWNER),
            google("vertexai-sdk-test-data", 404, "NOT_FOUND", "Not found: cache content metadata 8754364356910645200.", WRONG_OWNER),
            assist("gemini-cli#12698", 404, "NOT_FOUND", "notFound", "Requested entity was not found.", WRONG_OWNER),
            (
                "gemini-cli#14519", 403,
                json!({"error": {"message": json!({"error": {"code": 403, "message": "The caller does not have permission", "status": "PERMISSION_DENIED"}}).to_string(), "code": 403, "status": "Forbidden"}}).to_string(),
                WRONG_OWNER,
            ),
            assist("gemini-cli#25607", 403, "PERMISSION_DENIED", "forbidden", "The caller does not have permission", WRONG_OWNER),
        ],
    );
}

#[test]
fn accounts_that_google_does_not_serve() {
    let denied = |details: Value, message: &str, who, meaning| {
        detailed(who, 403, "PERMISSION_DENIED", message, &details, meaning)
    };
    each(
        &Gemini::new(),
        &[
            assist(
                "gemini-cli#13135",
                403,
                "PERMISSION_DENIED",
                "forbidden",
                "You must be a named user on your organization's\nGemini Code Assist Standard edition subscription to use this service. Please contact your\nadministrator to request an entitlement to Gemini Code Assist Standard edition. ",
                SUSPENDED,
            ),
            google(
                "antigravity-claude-proxy#74",
                403,
                "PERMISSION_DENIED",
                "Your account is not eligible for Gemini Code\n\t\tAssist at this time. If you believe this is an error,\n\t\tplease email gemini-code-assist-user-feedback@google.com.",
                SUSPENDED,
            ),
            denied(
                json!([why(
                    "TOS_VIOLATION",
                    "cloudcode-pa.googleapis.com",
                    &json!({"appeal_url": "https://example.com/appeal"})
                )]),
                "This service has been disabled for violation of Terms of Service.",
                "gemini-cli, auth.test",
                SUSPENDED,
            ),
            denied(
                json!([why(
                    "VALIDATION_REQUIRED",
                    "cloudcode-pa.googleapis.com",
                    &json!({"validation_link": "https://accounts.google.com/verify"})
                )]),
                "Validation required to continue.",
                "gemini-cli, googleQuotaErrors.test",
                SUSPENDED,
            ),
            denied(
                json!([{"@type": "type.googleapis.com/google.rpc.Help", "links": []}, why("SERVICE_DISABLED", "googleapis.com", &json!({"service": "firebaseml.googleapis.com", "consumer": "projects/1234567890"}))]),
                "Firebase ML API has not been used in project 1234567890 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/firebaseml.googleapis.com/overview?project=1234567890 then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
                "vertexai-sdk-test-data",
                SUSPENDED,
            ),
            denied(
                json!([why(
                    "SERVICE_DISABLED",
                    "googleapis.com",
                    &json!({"service": "discoveryengine.googleapis.com", "consumer": "projects/1234567890"})
                )]),
                "Discovery Engine API has not been used in project 1234567890 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/discoveryengine.googleapis.com/overview?project=1234567890 then retry.",
                "composed: of an API that a request's tools need",
                WRONG_OWNER,
            ),
            google(
                "vertexai-sdk-test-data, without its details",
                403,
                "PERMISSION_DENIED",
                "Firebase ML API has not been used in project 1234567890 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/firebaseml.googleapis.com/overview?project=1234567890 then retry.",
                SUSPENDED,
            ),
            denied(
                json!([why(
                    "IAM_PERMISSION_DENIED",
                    "cloudaicompanion.googleapis.com",
                    &json!({"resource": "projects/xxx/locations/global", "permission": "cloudaicompanion.companions.generateChat"})
                )]),
                "Permission 'cloudaicompanion.companions.generateChat' denied on resource '//cloudaicompanion.googleapis.com/projects/xxx/locations/global' (or it may not exist).",
                "gemini-cli#25052",
                KEY_LANE,
            ),
            google(
                "55106785891",
                403,
                "PERMISSION_DENIED",
                "Permission 'aiplatform.sessionEvents.list' denied on resource 'projects/1/locations/us-central1/reasoningEngines/2/sessions/3'",
                KEY_LANE,
            ),
            listed("57650140587", 400, "INVALID_ARGUMENT", "Please pass a valid API key", KEY),
            listed("70890903982", 401, "UNAUTHENTICATED", "API key not valid.", KEY),
            listed(
                "68541870644",
                403,
                "PERMISSION_DENIED",
                "This API method requires billing to be enabled.",
                SUSPENDED,
            ),
            listed(
                "55747479816",
                400,
                "INVALID_ARGUMENT",
                "Multiple authentication credentials received. Please pass only one.",
                OURS,
            ),
            detailed(
                "vertexai-sdk-test-data",
                400,
                "INVALID_ARGUMENT",
                "API key not valid. Please pass a valid API key.",
                &json!([why("API_KEY_INVALID", "googleapis.com", &json!({"service": "firebaseml.googleapis.com"})), {"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": "Invalid API key: AIza-cut"}]),
                KEY,
            ),
            own("claude-relay-service#617", 401, r#"{"error":"Invalid API key","message":"API key not found"}"#, KEY),
        ],
    );
}

#[test]
fn limits_that_google_told() {
    let exactly = |seconds, nanos| U::For(Duration::new(seconds, nanos));
    let companion = |reason: &str, metadata: Value| why(reason, "cloudcode-pa.googleapis.com", &metadata);
    let retry = |delay: &str| json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
    let base = |metric: &str, model: &str| {
        format!(
            "Quota exceeded for aiplatform.googleapis.com/{metric} with base model: {model}. Please submit a quota increase request. https://cloud.google.com/vertex-ai/docs/generative-ai/quotas-genai."
        )
    };
    let exhausted = |who, message: &str, details: &Value, meaning| {
        detailed(who, 429, "RESOURCE_EXHAUSTED", message, details, meaning)
    };
    let exceeded = "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ";
    let paid = exhausted(
        "ruby_llm, cassette",
        &format!(
            "{exceeded}\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_paid_tier_input_token_count, limit: 1000000, model: gemini-2.5-flash\nPlease retry in 48.939935699s."
        ),
        &json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_paid_tier_input_token_count", "quotaId": "GenerateContentPaidTierInputTokensPerModelPerMinute", "quotaDimensions": {"model": "gemini-2.5-flash", "location": "global"}, "quotaValue": "1000000"}]}, retry("48s")]),
        RATE,
    );
    let day = (
        "57412510185", 429,
        json!([{"error": {"code": 429, "message": format!("{exceeded}\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_requests_per_model_per_day, limit: 250, model: gemini-3.1-pro\nPlease retry in 10h50m43.651927829s."), "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}, retry("39043s")]}}]).to_string(),
        QUOTA,
    );
    let rows = [
        (paid, exactly(48, 939_935_699)),
        (day, exactly(39_043, 651_927_829)),
        (
            exhausted(
                "61436664436",
                "You have exhausted your capacity on this model. Your quota will reset after 2s.",
                &json!([companion(
                    "RATE_LIMIT_EXCEEDED",
                    json!({"quotaResetDelay": "2.29s", "model": "gemini-3.1-flash-image"})
                )]),
                RATE,
            ),
            exactly(2, 290_000_000),
        ),
        (
            exhausted(
                "56577795390",
                "Individual quota reached. Contact your administrator to enable overages.",
                &json!([
                    companion("QUOTA_EXHAUSTED", json!({"model": "gemini-3.8-flash", "quotaResetDelay": "2h"})),
                    retry("7200s")
                ]),
                QUOTA,
            ),
            waits(7_200),
        ),
        (
            exhausted(
                "71629718579",
                "Individual quota reached. Please upgrade your subscription to increase your limits. Resets in 47h55m14s.",
                &json!([companion("QUOTA_EXHAUSTED", json!({"quotaResetDelay": "172514s"}))]),
                QUOTA,
            ),
            waits(172_514),
        ),
        // Nothing but metadata tells for how long.
        (
            exhausted(
                "70353989397",
                "Individual quota reached.",
                &json!([companion(
                    "QUOTA_EXHAUSTED",
                    json!({"model": "gemini-3.8-flash-high", "quotaResetDelay": "7260s", "quotaResetTime": "2030-01-01T00:00:00Z", "uiMessage": "true"})
                )]),
                QUOTA,
            ),
            waits(7_260),
        ),
        (
            exhausted("gemini-cli, googleQuotaErrors.test", "Resource exhausted. Please retry in 5s", &json!([]), RATE),
            waits(5),
        ),
        (
            google(
                "cocoindex#1151",
                429,
                "RESOURCE_EXHAUSTED",
                &base("embed_content_input_tokens_per_minute_per_base_model", "gemini-embedding"),
                RATE,
            ),
            U::Backoff,
        ),
        (
            google(
                "langchain-google#355",
                429,
                "RESOURCE_EXHAUSTED",
                &base("generate_content_requests_per_minute_per_project_per_base_model", "text-unicorn"),
                RATE,
            ),
            U::Backoff,
        ),
        (
            google(
                "58653689310, cut there",
                429,
                "RESOURCE_EXHAUSTED",
                "Unable to submit request because you've reached the maximum number of requests with search as tool you can make per day. Remove Google search tool from",
                NO_SEARCHES,
            ),
            U::Now,
        ),
        (
            google(
                "google-cloud-java#11195",
                429,
                "RESOURCE_EXHAUSTED",
                "Unable to submit request because the service is temporarily out of capacity. Try again later.",
                BUSY,
            ),
            U::Backoff,
        ),
        (
            google(
                "crewAI, cassette of the Gemini API",
                429,
                "RESOURCE_EXHAUSTED",
                "Resource exhausted. Please try again later. Please refer to https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.",
                BUSY,
            ),
            U::Backoff,
        ),
        (
            detailed(
                "CLIProxyAPI, antigravity_executor_credits_test",
                503,
                "UNAVAILABLE",
                "No capacity available for model gemini-3.1-flash-image on the server",
                &json!([companion("MODEL_CAPACITY_EXHAUSTED", json!({"model": "gemini-3.1-flash-image"}))]),
                BUSY,
            ),
            U::Backoff,
        ),
        (
            own(
                "python-genai#2489, of files",
                503,
                r#"{"error":{"message":"","code":503,"status":"Service Unavailable"}}"#,
                BUSY,
            ),
            U::Backoff,
        ),
        (
            own(
                "70890903982",
                503,
                r#"{"error":{"code":503,"status":"UNAVAILABLE","message":"Proxy: no live key left. 3 of 67 are out until the Pacific day turns"}}"#,
                BUSY,
            ),
            U::Backoff,
        ),
        (
            google(
                "js-genai#650, in a stream",
                500,
                "INTERNAL",
                "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting",
                AGAIN,
            ),
            U::Now,
        ),
        (
            google("python-genai#1808", 503, "UNAVAILABLE", "Deadline expired before operation could complete.", AGAIN),
            U::Now,
        ),
    ];
    let rows: Vec<Timed<'_>> = rows
        .iter()
        .map(|((who, status, body, meaning), until)| (*who, *status, &[][..], body.as_str(), *meaning, *until))
        .collect();
    each_timed(&Gemini::new(), &rows);
}

fn open(who: &'static str, status: u16, message: &str, kind: &str, code: &str, meaning: Meaning) -> Told {
    (who, status, said(message, kind, code).to_string(), meaning)
}

#[test]
fn what_openai_and_its_likes_do_not_take() {
    let bad = |who, message: &str, code: &str| open(who, 400, message, "invalid_request_error", code, CALLER);
    let own = |who, body: &str| own(who, 400, body, CALLER);
    let code_422 = |who, body: &str| (who, 422, body.to_owned(), CALLER);
    each(
        &OpenAi::new(),
        &[
            bad("openinference, cassette", "Error while downloading https://example.com/test-image.jpg.", "invalid_image_url"),
            bad("mirascope, cassette", "Unsupported parameter: 'stop' is not supported with this model.", "unsupported_parameter"),
            bad("mirascope, cassette", "Invalid schema for function 'get_current_weather': In context=(), 'required' is required to be supplied and to be an array including every key in properties. Missing 'unit'.", "invalid_function_parameters"),
            bad("crewAI, cassette", "Missing required parameter: 'messages[1].content[0].type'.", "missing_required_parameter"),
            open("ruby_llm, cassette", 400, "Invalid image data.", "image_generation_user_error", "invalid_image_file", CALLER),
            bad("ruby_llm, cassette", "Error while downloading file. Upstream status code: 404.", "invalid_value"),
            bad("pydantic-ai, cassette", "Invalid 'messages[3]'. Content blocks are expected to be either text or image_url type.", "invalid_value"),
            bad("pydantic-ai, cassette", "The file type you uploaded is not supported. Please try again with a pdf", "unsupported_file"),
            bad("pydantic-ai, cassette", "Invalid file data: 'input[3].output[0].file_data'. Expected a base64-encoded data URL with a valid file MIME type (e.g. 'data:text/plain;base64,SGVsbG8sIFdvcmxkIQ=='), but got unsupported MIME type 'audio/mpeg'. Please see https://platform.openai.com/docs/assistants/tools/file-search#supported-files for supported file types.", "invalid_value"),
            bad("pydantic-ai, cassette", "Unsupported value: 'messages[0].role' does not support 'developer' with this model.", "unsupported_value"),
            bad("pydantic-ai, cassette", "Web search options not supported with this model.", ""),
            bad("pydantic-ai, cassette", "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.", "decimal_below_min_value"),
            bad("pydantic-ai, cassette", "Item 'rs_1' of type 'reasoning' was provided without its required following item.", ""),
            bad("openllmetry, cassette", "Unknown parameter: 'quality'.", "unknown_parameter"),
            bad("pydantic-ai, cassette of DeepSeek", "No tool output found for tool call call-a.", "invalid_request_error"),
            bad("32326996993", "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.", ""),
            // Groq's.
            bad("pydantic-ai, cassette", "Tool call validation failed: tool call validation failed: parameters for tool get_something_by_name did not match schema: errors: [missing properties: 'name', additionalProperties 'foo' not allowed]", "tool_use_failed"),
            bad("pydantic-ai, cassette", "Tool choice is required, but model did not call a tool", "tool_use_failed"),
            bad("67310330247", "Tool choice is none, but model called a tool", "tool_use_failed"),
            bad("70240399108", "Generated JSON does not match the expected schema. Please adjust your prompt. See 'failed_generation' for more details. Error: jsonschema: '' does not validate with /required: missing properties: 'trust_prefere", "json_validate_failed"),
            bad("31408574695", "'max_tokens' must be less than or equal to '32768'", ""),
            bad("59032570884", "invalid JSON schema for tool view_agent_graph, tools[24].function.parameters: 'required' present but 'properties' is missing", ""),
            bad("15018973018", "'response_format.type' : value is not one of the allowed values ['text','json_object']", ""),
            bad("53364598264", "'n' : number must be at most 1", ""),
            // Ollama's.
            bad("ruby_llm, cassette", "prompt too long; exceeded max context length by 1119046 tokens (ref: 96164522-08b2-4cbf-886e-e5a38961a688)", ""),
            // OpenRouter's, Perplexity's, Cohere's, Voyage's, GMI's, xAI's.
            own("ruby_llm, cassette", r#"{"error":{"message":"This endpoint's maximum context length is 200000 tokens. However, you requested about 2500021 tokens (2500021 of text input). Please reduce the length of either one, or use the context-compression plugin to compress your prompt automatically.","code":400,"metadata":{"provider_name":null,"previous_errors":[{"code":400,"message":"This endpoint's maximum context length is 200000 tokens."}]}}}"#),
            own("5919868976", r#"{"error":{"message":"invalid params, tool result's tool id(call_function_xhvw1fxcya38_3) not found (2013)"}}"#),
            own("ruby_llm, cassette", r#"{"error":{"message":"The total length of all messages is too long.","type":"too_many_prompt_tokens","code":400}}"#),
            own("ruby_llm, cassette", r#"{"error_type":"TOO_MANY_TOKENS","id":"c167e04b-cfc2-44a9-927c-6d78c47fb5fe","message":"too many tokens: size limit exceeded by 25836 tokens. Try using shorter or fewer inputs. The limit for this model is 288000 tokens."}"#),
            own("vercel/ai, gmicloud", r#"{"error":{"message":"Backend request failed with status 400","type":"backend_error","code":400,"details":"{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"400001\",\"message\":\"The request is invalid: Thinking mode does not support this tool_choice. Please check the request body, required fields, and request format.\",\"source\":\"client\"}}"}}"#),
            own("57953662552", r#"{"code":"invalid-argument","error":"This model's maximum prompt length is 500000 but the request contains 637815 tokens."}"#),
            // SiliconFlow's, GPUGeek's, Fireworks', NVIDIA's.
            own("3643522288", r#"{"code":20015,"message":"Value error, current model does not support parameter `enable_thinking`.","data":null}"#),
            own("40181352342", r#"{"code":20015,"message":"\"messages\" in request are illegal: Message has tool role, but there was no previous assistant message with a tool call!..","data":null}"#),
            own("59811399760", r#"{"code":400,"message":"max_tokens is too large: 65535. This model supports at most 16384 completion tokens, whereas you provided 65535."}"#),
            own("19364450749", r#"{"error":{"message":"1 validation error for ResponseFormatJSONObject\nresponse_schema\n  Extra inputs are not permitted"}}"#),
            own("69519626583", r#"{"error":{"object":"error","type":"invalid_request_error","code":"invalid_request_error","message":"Extra inputs are not permitted, field: 'tool_stream', value: True"}}"#),
            own("58673764236", r#"{"error":{"message":"This model only supports single tool-calls at once!"}}"#),
            own("54856786124", r#"{"error":{"message":"Validation: Unsupported parameter(s): `output_config`"}}"#),
            own("gateway, a notebook", r#"{"error":{"message":"together-ai error: google/gemma-2-27b-it is not supported for JSON mode/function calling"}}"#),
            own("gcli2api#385", r#"{"error":{"message":"Request contains an invalid argument.","type":"upstream_error","param":"","code":400}}"#),
            // Amazon's.
            own("ruby_llm, cassette", r#"{"message":"The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length. Please update the input to try again."}"#),
            own("pydantic-ai, cassette", r#"{"message":"The provided model doesn't support counting tokens."}"#),
            own("pydantic-ai, cassette", r#"{"message":"tools.0: Input tag 'web_search_20250305' found using 'type' does not match any of the expected tags: 'bash_20250124', 'custom', 'text_editor_20250124'"}"#),
            own("pydantic-ai, cassette", r#"{"message":"The model returned the following errors: Malformed input request: #/messages/2/content/0: extraneous key [toolResult] is not permitted, please reformat your input and try again."}"#),
            own("pydantic-ai, cassette", r#"{"message":"This model doesn't support the s3Uri field. Remove s3Uri and try again."}"#),
            own("pydantic-ai, cassette", r#"{"message":"The model returned the following errors: messages.2.content.2.document.source.type: Field required"}"#),
            own("530738931", r#"{"message":"Malformed input request: expected type: String, found: JSONArray, please reformat your input and try again."}"#),
            own("60523157001", r#"{"message":"1 validation error detected: Value '2.0' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1"}"#),
            code_422("20568146564", r#"{"detail":[{"type":"literal_error","loc":["body","encoding_format"],"msg":"Input should be 'float'","input":"base64"}]}"#),
            code_422("57951690865", r#"{"error":{"message":"azure-ai error: {\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"stream_options\",\"include_usage\"],\"msg\":\"Extra inputs are not permitted\"}]}","code":"Invalid input"},"provider":"azure-ai"}"#),
            code_422("62465405783", r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted","input":5}]},"type":"invalid_request_error"}"#),
            code_422("82108072", r#"{"detail":{"error":["Value error, message content must not be an empty string"]}}"#),
            code_422("66626861753", r#"{"error":{"message":"Provider returned error","code":422,"metadata":{"raw":"{\"message\":\"An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'.\"}"}}}"#),
            code_422("61475155806", r#"{"error":"model has no price catalog entry","model":"nousresearch/hermes-4-70b","provider":"openai"}"#),
            // A fault of the caller's by its name, with the status of a gateway in front of who named it.
            ("CLIProxyAPI, openai_responses_handlers_stream_error_test", 502, r#"{"error":{"type":"invalid_request","code":"cyber_policy","message":"blocked"}}"#.to_owned(), CALLER),
            ("CLIProxyAPI, openai_responses_handlers_stream_error_test", 502, r#"{"error":{"type":"invalid_request_error","code":"context_length_exceeded","message":"Your input exceeds the context window."}}"#.to_owned(), CALLER),
            ("56277250077", 500, r#"{"error":{"code":500,"message":"input (549 tokens) is too large to process. increase the physical batch size (current batch size: 512)","type":"server_error"}}"#.to_owned(), CALLER),
        ],
    );
}

#[test]
fn keys_accounts_and_money_of_openais_likes() {
    each(
        &OpenAi::new(),
        &[
            own(
                "17299551226",
                401,
                r#"{"error":{"message":"invalid user","type":"api_error","param":null,"code":null}}"#,
                KEY,
            ),
            own(
                "ruby_llm, cassette",
                401,
                r#"{"id":"2d4609a6-d1f9-4cf4-8d09-af865409bdc2","message":"Incorrect API key provided: ***********. You can find your API key at https://dashboard.cohere.com/api-keys."}"#,
                KEY,
            ),
            own(
                "ruby_llm, cassette",
                401,
                r#"{"error":{"message":"Unauthorized","type":"api_error","param":null,"code":null}}"#,
                KEY,
            ),
            own(
                "ruby_llm, cassette",
                401,
                r#"{"error":{"message":"Invalid API key provided. Ensure your API key is correct and active.","type":"invalid_api_key","code":401}}"#,
                KEY,
            ),
            own(
                "ruby_llm, cassette",
                400,
                r#"{"code":"invalid-argument","error":"Incorrect API key provided. You can obtain an API key from https://console.x.ai."}"#,
                KEY,
            ),
            own(
                "54564945485",
                403,
                r#"{"code":"The caller does not have permission to execute the specified operation","error":"The OAuth2 access token could not be validated. [WKE=unauthenticated:bad-credentials]"}"#,
                KEY,
            ),
            own("vercel/ai, baseten", 403, r#"{"error":"please check the api-key you provided"}"#, KEY),
            own("59693545551", 403, r#"{"message":"The security token included in the request is expired"}"#, KEY),
            own(
                "68288025728",
                403,
                r#"{"error":{"message":"key not allowed to access model. This key can only access models=['deepseek-v4-flash']. Tried to access deepseek-v4.1","type":"key_model_access_denied","code":"403"}}"#,
                NOT_FOR_KEY,
            ),
            own(
                "71547077015",
                403,
                r#"{"error":{"message":"The requested model 'claude-sonnet-5-5' is not available for this API key, or the model name is invalid. Check the models available to you and try again.","type":"team_model_access_denied","param":"model","code":"403"}}"#,
                NOT_FOR_KEY,
            ),
            own(
                "70371530475",
                403,
                r#"{"message":"This model is not available in your subscription tier","type":"tier_not_allowed","raw_status_code":403}"#,
                NOT_FOR_KEY,
            ),
            own("60822616644", 403, r#"{"code":30003,"message":"Model disabled.","data":null}"#, NOT_FOR_KEY),
            own(
                "60614459003",
                403,
                r#"{"error":{"message":"访问被拒绝 (request id: 1)","type":"packy_api_error","param":"","code":"access_denied"}}"#,
                KEY_LANE,
            ),
            own(
                "71306589787",
                403,
                r#"{"code":"","message":"The max estimated cost of operation ($0.15366) exceeds your available quota (based on max_output_tokens). Set max_output_tokens in your request to lower the reservation, or try again later.","param":""}"#,
                TOO_DEAR,
            ),
            own(
                "56124805375",
                403,
                r#"{"code":"SUBSCRIPTION_NOT_FOUND","message":"No active subscription found for this group"}"#,
                MONEY,
            ),
            own(
                "63586930094",
                402,
                r#"{"error":{"code":"402","message":"Insufficient account balance","type":"insufficient_balance"}}"#,
                MONEY,
            ),
            own(
                "52683851698",
                402,
                r#"{"error":{"message":"Provider returned error","code":402,"metadata":{"raw":"{\"error\":\"API key USD spend limit exceeded. Your account may still have USD balance, but this API key has reached its configured USD spending limit.\"}"}}}"#,
                AGAIN,
            ),
            own("71243424974", 429, r#"{"code":"API_KEY_QUOTA_EXHAUSTED","message":"API key 额度已用完"}"#, SPENT),
            own(
                "54800316878",
                429,
                r#"{"message":"Too many tokens per day, please wait before trying again."}"#,
                QUOTA,
            ),
            own("71165216314", 429, r#"{"message":"Too many tokens, please wait before trying again."}"#, RATE),
            own("70094834075", 429, r#"{"code":"1302","message":"您的账户已达到速率限制"}"#, RATE),
            own("68727964389", 429, r#"{"code":2018,"message":"Wholesale Rate limited"}"#, RATE),
            own(
                "57552487144",
                429,
                r#"{"error":{"object":"error","type":"invalid_request_error","code":"invalid_request_error","message":"rate limit exceeded, please try again later"}}"#,
                RATE,
            ),
            own("61045340294", 429, r#"{"status":429,"title":"Too Many Requests"}"#, UNNAMED),
            own(
                "62237885116",
                429,
                r#"{"error":{"message":"Request too large for model `qwen/qwen3.8-27b` in organization `org_1` service tier `on_demand` on output tokens per minute (OTPM): Limit 1000, Requested 1236. The request's expected","type":"output_tokens","code":"rate_limit_exceeded"}}"#,
                TOO_LARGE,
            ),
        ],
    );
    let relayed = json!({"error": {"message": format!("litellm.RateLimitError: VertexAIException - {}", json!({"error": {"code": 429, "message": "Resource exhausted. Please try again later.", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "54s"}]}})), "type": null, "param": null, "code": "429"}}).to_string();
    let azure = r#"{"error":{"code":"RateLimitReached","message":"Your requests to grok-4-1-fast-non-reasoning for grok-4-1-fast-non-reasoning in westeurope have exceeded rate limit.","details":"Your requests to grok-4-1-fast-non-reasoning for grok-4-1-fast-non-reasoning in westeurope have exceeded rate limit."}}"#;
    let draining = r#"{"error":"draining-for-deploy","retry_after":15}"#;
    let router = r#"{"error":{"message":"[claude/claude-sonnet-5] [429]: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"This request would exceed your account's rate limit. Please try again later.\"}} (reset after 5m)"}}"#;
    let amazon = [(
        "x-amzn-errortype",
        "UnrecognizedClientException:http://internal.amazon.com/coral/com.amazon.coral.service/",
    )];
    let invalid = [("x-amzn-errortype", "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/")];
    let unknown = r#"{"message":"The security token included in the request is invalid."}"#;
    let rows: &[Timed<'_>] = &[
        ("ruby_llm, cassette", 429, &[("retry-after", "1"), ("retry-after-ms", "0")], azure, RATE, waits(1)),
        ("65753032543", 429, &[], relayed.as_str(), BUSY, waits(54)),
        ("70296080842", 503, &[("retry-after", "15")], draining, BUSY, waits(15)),
        ("70296080842, without its header", 503, &[], draining, BUSY, waits(15)),
        ("71464691197", 503, &[], router, BUSY, waits(300)),
        ("ruby_llm, cassette of Bedrock", 403, &amazon, unknown, KEY, U::Lifted),
        // Its header as `ruby_llm`'s cassettes have it.
        ("69179771989", 400, &invalid, r#"{"message":"Operation not allowed"}"#, NOT_FOR_ACCOUNT, U::Backoff),
    ];
    each_timed(&OpenAi::new(), rows);
}

#[test]
fn models_and_capacity_of_openais_likes() {
    each(
        &OpenAi::new(),
        &[
            own(
                "pydantic-ai, cassette",
                404,
                r#"{"id":"8bd5b608-887c-49f7-a6b3-d3bd5830c3de","message":"model 'nonexistent' not found, make sure the correct model ID was used and that you have access to the model."}"#,
                NO_SUCH_MODEL,
            ),
            own(
                "58097010026",
                404,
                r#"{"error":{"message":"This model is unavailable for free. The paid version is available now - use this slug instead: meta-llama/llama-3.3-70b-instruct","code":404},"user_id":"user_1"}"#,
                NO_SUCH_MODEL,
            ),
            own(
                "vercel/ai, baseten",
                404,
                r#"{"error":{"code":404,"message":"The model `not-a-real-model` does not exist.","param":"model","type":"NotFoundError"}}"#,
                NO_SUCH_MODEL,
            ),
            own(
                "pydantic-ai, cassette of Voyage",
                400,
                r#"{"detail":"Model nonexistent is not supported. Supported models are ['voyage-large-2-instruct', 'voyage-law-2', 'voyage-code-2']."}"#,
                NO_SUCH_MODEL,
            ),
            own(
                "48279200580",
                400,
                r#"{"code":20012,"message":"Model does not exist. Please check it carefully.","data":null}"#,
                NO_SUCH_MODEL,
            ),
            open(
                "7423181047",
                403,
                "Project proj_1 does not have access to model gpt-4o",
                "invalid_request_error",
                "model_not_found",
                NOT_FOR_KEY,
            ),
            own(
                "truefoundry/models#946",
                404,
                r#"{"status":"failure","message":"vertex error: Publisher Model `projects/p/locations/global/publishers/google/models/gemma4` was not found or your project does not have access to it. Please ensure you are using a valid model version."}"#,
                NOT_FOR_KEY,
            ),
            own(
                "crewAI, cassette of Azure",
                404,
                r#"{"error":{"code":"404","message": "Resource not found"}}"#,
                CALLER,
            ),
            own(
                "CLIProxyAPI, codex_executor_retry_test",
                400,
                r#"{"error":{"message":"Selected model is at capacity. Please try a different model."}}"#,
                BUSY,
            ),
            own(
                "70919831514",
                503,
                r#"{"error":{"object":"error","type":"invalid_request_error","code":"invalid_request_error","message":"service overloaded, please try again later"}}"#,
                BUSY,
            ),
            own(
                "55689224930",
                503,
                r#"{"error":{"message":"No available accounts. Service is operating in degraded mode: all upstream accounts are unavailable","code":"no_accounts"}}"#,
                BUSY,
            ),
            own(
                "58188190584",
                503,
                r#"{"error":{"message":"qwen/qwen3-32b is currently over capacity. Please try again and back off exponentially. Visit https://groqstatus.com to see if there is an active incident.","type":"internal_server_error"}}"#,
                BUSY,
            ),
            own(
                "39758238530",
                503,
                r#"{"error":{"message":"Service Unavailable","type":"internal_server_error"}}"#,
                BUSY,
            ),
            own(
                "53806202714",
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: overflow",
                BUSY,
            ),
            own("69198475158", 504, r#"{"status":504,"title":"Gateway Timeout"}"#, AGAIN),
            own(
                "58559761722",
                500,
                r#"{"error":{"code":500,"message":"Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] parse error at line 1, column 6673: syntax error while parsing value - invalid string: missing closing quote","type":"server_error"}}"#,
                AGAIN,
            ),
            own(
                "53754532393",
                500,
                r#"{"error":{"message":"do load request: Post \"http://127.0.0.1:40125/load\": EOF"}}"#,
                AGAIN,
            ),
            // xAI's, with a good status.
            own(
                "vercel/ai, xai",
                200,
                r#"{"code":"The service is currently unavailable","error":"Timed out waiting for first token"}"#,
                AGAIN,
            ),
        ],
    );
    let late = r#"{"code":"The service is currently unavailable","error":"Timed out waiting for first token"}"#;
    let verdict = answered(&OpenAi::new(), 200, &[], late, true);
    assert_eq!(is(&verdict), AGAIN, "{verdict:?}");
}

#[test]
fn what_anthropic_said() {
    let claude = |who, status: u16, kind: &str, message: &str, meaning| {
        (who, status, json!({"type": "error", "error": {"type": kind, "message": message}}).to_string(), meaning)
    };
    each(
        &Anthropic::new(),
        &[
            claude(
                "pydantic-ai, cassette",
                400,
                "invalid_request_error",
                "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.",
                CALLER,
            ),
            claude(
                "ruby_llm, cassette",
                400,
                "invalid_request_error",
                "prompt is too long: 3333404 tokens > 200000 maximum",
                CALLER,
            ),
            claude("ellmer, cassette", 400, "invalid_request_error", "File 'file_1' is not downloadable", CALLER),
            claude(
                "61074004383",
                429,
                "rate_limit_error",
                "This request would exceed your organization's rate limit of 450,000 input tokens per minute (org: 1, model: claude-haiku-4-5-20251001). For details, refer to: https://docs.claude.com/en/api/rate-limits. ",
                RATE,
            ),
            // An option of the request's that an account does not pay for: all else goes on.
            claude(
                "CLIProxyAPI, claude_executor_beta_policy_test",
                429,
                "rate_limit_error",
                "Usage credits are required for fast mode.",
                WRONG_OWNER,
            ),
            claude(
                "CLIProxyAPI, claude_executor_beta_policy_test",
                429,
                "rate_limit_error",
                "Fast mode requires usage credits",
                WRONG_OWNER,
            ),
            claude(
                "CLIProxyAPI, claude_executor_beta_policy_test",
                429,
                "rate_limit_error",
                "This organization has exceeded its usage limit.",
                QUOTA,
            ),
            own(
                "55150168473",
                520,
                r#"{"type":"https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/error-520/","title":"Error 520: Web server is returning an unknown error","status":520,"cloudflare_error":true,"ray_id":"a117c5c1fe75ee2d","zone":"api.anthropic"#,
                AGAIN,
            ),
            own("70296080842, at another provider", 503, r#"{"error":"draining-for-deploy","retry_after":15}"#, BUSY),
        ],
    );
}

#[test]
fn what_other_apis_said() {
    let full: Meaning = (K::RateLimited, S::KeyLane, E::OtherKey);
    let few_left: Meaning = (K::QuotaExhausted, S::Caller, E::OtherKey);
    each(
        &any(),
        &[
            own(
                "61091787299, Google Books",
                429,
                r#"{"error":{"code":429,"message":"Quota exceeded for quota metric 'Queries' and limit 'Queries per day' of service 'books.googleapis.com' for consumer 'project_number:1'","status":"RESOURCE_EXHAUSTED"}}"#,
                QUOTA,
            ),
            own("70634747288, Apify", 402, "{\n  \"error\": { \"type\": \"concurrent-runs-limit-exceeded\" }\n}", full),
            own(
                "54871621658, ElevenLabs",
                401,
                r#"{"detail":{"type":"invalid_request","code":"quota_exceeded","message":"This request exceeds your quota of 30000. You have 66 credits remaining, while 385 credits are required for this request."}}"#,
                few_left,
            ),
            own(
                "68845882336, Deepgram",
                400,
                r#"{"err_code":"INVALID_QUERY_PARAMETER","err_msg":"Unknown query parameters: channels"}"#,
                CALLER,
            ),
            own("54235466272, NovelAI", 429, r#"{"statusCode":429,"message":"Concurrent generation is locked"}"#, full),
            own("55008824706", 429, r#"{"statusCode":429,"message":"ThrottlerException: Too Many Requests"}"#, full),
            own("openllmetry, cassette", 409, r#"{"error":"duplicate key value violates unique constraint"}"#, CALLER),
            own("openllmetry, cassette", 400, r#"{"error":"row 0 has an invalid column slug: Name"}"#, CALLER),
            own("openllmetry, cassette", 404, r#"{"error":"Dataset not found"}"#, CALLER),
            own("crewAI, cassette", 401, r#"{"error":"bad_credentials","message":"Bad credentials"}"#, KEY),
            own(
                "vercel/ai, Fish Audio",
                401,
                r#"{"status":401,"message":"No permission -- see authorization schemes"}"#,
                KEY,
            ),
            own(
                "19118598631, Google's Device Access",
                500,
                r#"{"error":{"code":500,"message":"Internal error encountered.","status":"INTERNAL"}}"#,
                AGAIN,
            ),
        ],
    );
    let told = r#"{"statusCode":429,"message":"Rate limit exceeded","remaining":0,"reset_at":"2026-09-30T00:43:42.000Z","retry_after_seconds":42}"#;
    let verdict = judge_text(&any(), 429, &[], told);
    assert_eq!((is(&verdict), verdict.until_of()), (full, waits(42)), "71113715767, Moltbook: {verdict:?}");
}
