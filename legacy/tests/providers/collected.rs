//! Errors that this project had not met, as other people's tests, logs and threads hold them, some from memory and some made up in
//! their likeness: in front of each stands which. A number is the file's in the index in which it was found. Each was judged by
//! hand before it was judged here. Ids and names of accounts are cut or replaced.

use std::time::Duration;

use tower_keypool::{Anthropic, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, VerdictKind as K};

use crate::meaning::{
    AGAIN, BLOCKED, BUSY, CALLER, KEY, KEY_LANE, MONEY, Meaning, NO_SUCH_MODEL, NOT_FOR_ACCOUNT, NOT_FOR_KEY, OURS,
    QUOTA, RATE, SUSPENDED, UNNAMED, WRONG_OWNER, all, answered, each_timed, is, judge_text, none_differs, waits,
};

/// Of an account, whatever the model.
const OF_THE_ACCOUNT: Meaning = (K::RateLimited, S::Owner, E::OtherKey);
/// Looked at again after an hour.
const HOURLY: U = U::Probed(Duration::from_secs(3_600));

fn nanos(nanos: u64) -> U {
    U::For(Duration::from_nanos(nanos))
}

#[test]
fn limits_of_google() {
    each_timed(
        &Gemini::new(),
        &[
            (
                "71136444674",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com", "metadata": {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "20"}}]}}"#,
                QUOTA,
                U::DayEnd,
            ),
            (
                "3665681099",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details", "status": "RESOURCE_EXHAUSTED", "details": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests", "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "50"}]}}"#,
                QUOTA,
                U::DayEnd,
            ),
            (
                "57802022311",
                429,
                &[],
                r#"{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "20"}]}]}}"#,
                QUOTA,
                U::DayEnd,
            ),
            (
                "59139862771",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. \n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 500, model: gemini-3.5-flash-lite\nPlease retry in 38.495166512s.", "status": "RESOURCE_EXHAUSTED", "details": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "500"}]}}"#,
                QUOTA,
                U::DayEnd,
            ),
            (
                "61393714411",
                429,
                &[],
                r#"{"error": {"details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}, {"retryDelay": "31s"}]}}"#,
                QUOTA,
                U::DayEnd,
            ),
            (
                "51802471426",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "Quota exceeded. Please retry in 12s.", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.Help", "retryDelay": "12s"}, {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generate_content.googleapis.com/generate_content_requests", "quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]}]}}"#,
                RATE,
                waits(12),
            ),
            (
                "67200734054",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. \n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 5, model: gemini-3.5-flash\nPlease retry in 55.550570083s.", "status": "RESOURCE_EXHAUSTED"}}"#,
                RATE,
                nanos(55_550_570_083),
            ),
            (
                "70226631959",
                429,
                &[],
                r#"[{"error": {"code": 429, "message": "Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateContent request limit per minute for a project' of service 'generativelanguage.googleapis.com' for consumer 'project_number:123456789012'.", "status": "RESOURCE_EXHAUSTED"}}]"#,
                RATE,
                U::Backoff,
            ),
            (
                "70226631959, free",
                429,
                &[],
                r#"[{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 15, model: gemini-2.5-flash\nPlease retry in 21.3s.", "status": "RESOURCE_EXHAUSTED"}}]"#,
                RATE,
                nanos(21_300_000_000),
            ),
            (
                "60909261179",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "Quota exceeded for quota metric requests per minute.", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}]}}"#,
                RATE,
                U::Backoff,
            ),
            (
                "71340628384",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_input_token_count, limit: 0, model: gemini-2.5-pro", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_input_token_count", "quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier"}]}]}}"#,
                NOT_FOR_ACCOUNT,
                waits(86400),
            ),
            (
                "gemini-cli-action#36",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_input_token_count", "quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier", "quotaDimensions": {"location": "global", "model": "gemini-2.5-pro"}, "quotaValue": "250000"}]}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "19s"}]}}"#,
                RATE,
                waits(19),
            ),
            (
                "gemini-playground#10",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateContent request limit per minute for a region' of service 'generativelanguage.googleapis.com' for consumer 'project_number:1'.", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com", "metadata": {"service": "generativelanguage.googleapis.com", "quota_location": "us-west4", "quota_limit_value": "0", "quota_limit": "GenerateContentRequestsPerMinutePerProjectPerRegion", "quota_metric": "generativelanguage.googleapis.com/generate_content_requests", "consumer": "projects/1"}}]}}"#,
                NOT_FOR_ACCOUNT,
                waits(86400),
            ),
            (
                "from memory: Imagen",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. \n* Quota exceeded for metric: generativelanguage.googleapis.com/predict_requests_per_model_per_day, limit: 70, model: imagen-4.0-generate\nPlease retry in 13h57m58.2s.", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/predict_requests_per_model_per_day", "quotaId": "PredictRequestsPerDayPerProjectPerModel", "quotaDimensions": {"location": "global", "model": "imagen-4.0-generate"}, "quotaValue": "70"}]}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "50278s"}]}}"#,
                QUOTA,
                nanos(50_278_200_000_000),
            ),
            (
                "from memory: Veo",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/predict_long_running_requests_per_model", "quotaId": "PredictLongRunningRequestsPerMinutePerProjectPerModel", "quotaValue": "2"}]}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33.7s"}]}}"#,
                RATE,
                nanos(33_700_000_000),
            ),
            (
                "from memory: paid",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_paid_tier_3_input_token_count", "quotaId": "GenerateContentPaidTierInputTokensPerModelPerMinute-PaidTier3", "quotaDimensions": {"location": "global", "model": "gemini-3-pro"}, "quotaValue": "8000000"}]}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": {"seconds": "41", "nanos": 500000000}}]}}"#,
                RATE,
                waits(41),
            ),
            (
                "from memory: paid day",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "27843s"}, {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model_per_day", "quotaId": "GenerateRequestsPerDayPerProjectPerModel", "quotaDimensions": {"model": "gemini-3.1-pro", "location": "global"}, "quotaValue": "250"}]}]}}"#,
                QUOTA,
                waits(27843),
            ),
            (
                "from memory: embeddings",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. ", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/embed_content_free_tier_requests", "quotaId": "EmbedContentRequestsPerMinutePerUserPerProjectPerModel-FreeTier", "quotaDimensions": {"location": "global", "model": "gemini-embedding-1.0"}, "quotaValue": "100"}]}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "8.945s"}]}}"#,
                RATE,
                nanos(8_945_000_000),
            ),
            (
                "69213346264",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model with base model: imagen-4.0-ultra-generate.", "status": "RESOURCE_EXHAUSTED"}}"#,
                RATE,
                U::Backoff,
            ),
            (
                "58816402848",
                429,
                &[],
                r#"[{"error": {"code": 429, "message": "Quota exceeded for aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model with base model: anthropic-claude-sonnet-5. Please submit a quota increase request. https://cloud.google.com/vertex-ai/docs/generative-ai/quotas-genai.", "status": "RESOURCE_EXHAUSTED"}}]"#,
                RATE,
                U::Backoff,
            ),
            (
                "introspection#66",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "Quota exceeded for aiplatform.googleapis.com/generate_content_requests_per_minute_per_project_per_base_model with base model: gemini-pro. Please submit a quota increase request. https://cloud.google.com/vertex-ai/docs/generative-ai/quotas-genai.", "status": "RESOURCE_EXHAUSTED"}}"#,
                RATE,
                U::Backoff,
            ),
            (
                "71067221478",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "Quota exceeded for aiplatform.googleapis.com with base model: gemini-2.5-flash-tts.", "status": "RESOURCE_EXHAUSTED"}}"#,
                RATE,
                U::Backoff,
            ),
            (
                "gemini-cli#10925",
                429,
                &[],
                r#"[{"error": {"code": 429, "message": "Quota exceeded for quota metric 'Gemini 2.5 Pro Requests' and limit 'Gemini 2.5 Pro Requests per day per user per tier' of service 'cloudcode-pa.googleapis.com' for consumer 'project_number:1'.", "errors": [{"message": "Quota exceeded for quota metric 'Gemini 2.5 Pro Requests' and limit 'Gemini 2.5 Pro Requests per day per user per tier' of service 'cloudcode-pa.googleapis.com' for consumer 'project_number:1'.", "domain": "global", "reason": "rateLimitExceeded"}], "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com", "metadata": {"quota_metric": "cloudcode-pa.googleapis.com/gemini_2_5_pro_requests", "quota_limit": "Gemini25ProRequestsPerDay"}}]}}]"#,
                QUOTA,
                U::DayEnd,
            ),
            (
                "43013748035, of a server of one's own",
                429,
                &[],
                r#"{"detail": "429 You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. [violations {\n  quota_metric: \"generativelanguage.googleapis.com/generate_content_free_tier_requests\"\n  quota_id: \"GenerateRequestsPerMinutePerProjectPerModel-FreeTier\"\n  quota_dimensions {\n    key: \"model\"\n    value: \"gemini-2.0-flash\"\n  }\n}\nviolations {\n  quota_metric: \"generativelanguage.googleapis.com/generate_content_free_tier_input_token_count\"\n  quota_id: \"GenerateContentInputTokensPerModelPerMinute-FreeTier\"\n}\n, links {\n  description: \"Learn more about Gemini API quotas\"\n  url: \"https://ai.google.dev/gemini-api/docs/rate-limits\"\n}\n, retry_delay {\n  seconds: 24\n}\n]"}"#,
                RATE,
                waits(24),
            ),
            (
                "made up like these: a date",
                429,
                &[("retry-after", "Fri, 20 Nov 2026 05:46:30 GMT")],
                r#"{"error": {"code": 429, "message": "Resource has been exhausted (e.g. check quota).", "status": "RESOURCE_EXHAUSTED"}}"#,
                RATE,
                waits(30),
            ),
            (
                "gemini-for-kubernetes-development#1215, wrapped",
                429,
                &[],
                r#"{"error": {"message": "{\"error\": {\"code\": 429, \"message\": \"You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. \", \"status\": \"RESOURCE_EXHAUSTED\", \"details\": [{\"@type\": \"type.googleapis.com/google.rpc.Help\", \"links\": []}]}}", "code": 429, "status": "Too Many Requests"}}"#,
                UNNAMED,
                U::Backoff,
            ),
            (
                "70465469669",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details.", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests", "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaDimensions": {"model": "gemini-2.5-flash", "location": "global"}, "quotaValue": "0"}]}]}}"#,
                NOT_FOR_ACCOUNT,
                waits(86400),
            ),
            (
                "70465469669, minute",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, project 1", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests", "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "10"}]}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "27.4s"}]}}"#,
                RATE,
                nanos(27_400_000_000),
            ),
            (
                "68297394991",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "x", "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}, {"retryDelay": "30s"}]}}"#,
                QUOTA,
                U::DayEnd,
            ),
            (
                "70701639740, minute",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details. Quota exceeded for metric: generate_content_free_tier_requests, limit: 10. Please retry in 12s.", "status": "RESOURCE_EXHAUSTED"}}"#,
                RATE,
                waits(12),
            ),
            (
                "70701639740, day",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "Quota exceeded for quota metric 'Generate Content API requests per day'", "status": "RESOURCE_EXHAUSTED"}}"#,
                QUOTA,
                U::DayEnd,
            ),
            (
                "2411701640",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "31s"}]}}"#,
                RATE,
                waits(31),
            ),
            (
                "62342275130",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED"}}"#,
                UNNAMED,
                U::Backoff,
            ),
            ("57836949025", 429, &[], r#"{"error": {"status": "RESOURCE_EXHAUSTED"}}"#, UNNAMED, U::Backoff),
            (
                "68300285165",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details."}}"#,
                UNNAMED,
                U::Backoff,
            ),
            (
                "made up like these: a list in a message, limit",
                429,
                &[],
                r#"{"error": {"message": "[{\"error\": {\"code\": 429, \"message\": \"You exceeded your current quota, please check your plan and billing details.\", \"status\": \"RESOURCE_EXHAUSTED\", \"details\": [{\"@type\": \"type.googleapis.com/google.rpc.QuotaFailure\", \"violations\": [{\"quotaId\": \"GenerateRequestsPerDayPerProjectPerModel-FreeTier\"}]}, {\"@type\": \"type.googleapis.com/google.rpc.RetryInfo\", \"retryDelay\": \"20s\"}]}}]", "code": 429, "status": "Too Many Requests"}}"#,
                QUOTA,
                U::DayEnd,
            ),
            (
                "made up like these",
                429,
                &[],
                r#"{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "metadata": {"quota_id": "GenerateContentInputTokensPerModelPerMinute-FreeTier"}}, {"retry_delay": {"seconds": 9}}]}}"#,
                RATE,
                waits(9),
            ),
            (
                "made up like these, text",
                429,
                &[],
                r#"{"error": "429 RESOURCE_EXHAUSTED. {'error': {'code': 429, 'message': 'You exceeded your current quota.', 'details': [{'quotaMetric': 'generativelanguage.googleapis.com/generate_content_free_tier_requests', 'quotaId': 'GenerateRequestsPerDayPerProjectPerModel-FreeTier'}, {'retryDelay': '12s'}]}}"}"#,
                QUOTA,
                U::DayEnd,
            ),
        ],
    );
    all(
        &Gemini::new(),
        &[(
            "from memory: spend",
            429,
            r#"{"error": {"code": 429, "message": "You have exceeded the spend-based rate limit for your project. Please try again later. Learn more at https://ai.google.dev/gemini-api/docs/rate-limits#spend-based", "status": "RESOURCE_EXHAUSTED"}}"#,
            OF_THE_ACCOUNT,
        )],
    );
}

#[test]
fn money_and_keys_of_google() {
    each_timed(
        &Gemini::new(),
        &[
            (
                "71178445213",
                403,
                &[],
                r#"{"error": {"code": 403, "message": "Spend cap breached for project: projects/1 for service: generativelanguage.googleapis.com.", "status": "PERMISSION_DENIED"}}"#,
                MONEY,
                HOURLY,
            ),
            (
                "57450341523",
                403,
                &[],
                r#"[{"error": {"code": 403, "message": "Spend cap breached for project: projects/1 for service: aiplatform.googleapis.com", "status": "PERMISSION_DENIED"}}]"#,
                MONEY,
                HOURLY,
            ),
            (
                "57801129374",
                401,
                &[],
                r#"{"error": {"code": 401, "message": "The bound service account is deleted or disabled.", "status": "UNAUTHENTICATED", "details": [{"reason": "ACCOUNT_STATE_INVALID"}]}}"#,
                KEY,
                HOURLY,
            ),
            (
                "51781471194",
                403,
                &[],
                r#"{"error": {"code": 403, "message": "Your API key was reported as leaked."}}"#,
                KEY,
                U::Lifted,
            ),
            (
                "from memory: quoted by a proxy",
                401,
                &[],
                r#"{"error": {"message": "API key not valid"}}"#,
                KEY,
                U::Lifted,
            ),
            (
                "54654846888",
                403,
                &[],
                r#"{"error": {"code": 403, "message": "API key not valid", "status": "PERMISSION_DENIED"}}"#,
                KEY,
                U::Lifted,
            ),
            ("57836949025, key", 401, &[], r#"{"error": {"message": "API key is invalid."}}"#, KEY, U::Lifted),
            (
                "58078327908",
                403,
                &[],
                r#"{"error": {"code": 403, "message": "Requests from referer <empty> are blocked.", "status": "PERMISSION_DENIED", "details": [{"reason": "API_KEY_HTTP_REFERRER_BLOCKED"}]}}"#,
                KEY,
                U::Lifted,
            ),
            (
                "made up like these: a list in a message",
                403,
                &[],
                r#"{"error": {"message": "[{\"error\": {\"code\": 403, \"message\": \"Your API key was reported as leaked. Please use another API key.\", \"status\": \"PERMISSION_DENIED\"}}]", "code": 403, "status": "Forbidden"}}"#,
                KEY,
                U::Lifted,
            ),
            (
                "continue#12781",
                403,
                &[],
                r#"{"error": {"message": "{\"error\": {\"code\": 403, \"message\": \"Requests to this API generativelanguage.googleapis.com method google.ai.generativelanguage.v1beta.GenerativeService.StreamGenerateContent are blocked.\", \"status\": \"PERMISSION_DENIED\", \"details\": [{\"@type\": \"type.googleapis.com/google.rpc.ErrorInfo\", \"reason\": \"API_KEY_SERVICE_BLOCKED\", \"domain\": \"googleapis.com\", \"metadata\": {\"consumer\": \"projects/1\", \"service\": \"generativelanguage.googleapis.com\"}}]}}", "code": 403, "status": "Forbidden"}}"#,
                KEY,
                U::Lifted,
            ),
            ("51897417453", 400, &[], r#"{"error": {"message": "API key not valid", "code": 400}}"#, KEY, U::Lifted),
            (
                "made up like these, cap",
                403,
                &[],
                r#"{"error": {"code": 403, "message": "Spend cap exceeded for project: projects/1.", "status": "PERMISSION_DENIED"}}"#,
                MONEY,
                HOURLY,
            ),
        ],
    );
    all(
        &Gemini::new(),
        &[
            (
                "57801129374, without its word",
                401,
                r#"{"error": {"code": 401, "message": "The bound service account is deleted or disabled.", "status": "UNAUTHENTICATED"}}"#,
                KEY,
            ),
            (
                "66619087646",
                401,
                r#"{"error": {"code": 401, "message": "Request had invalid authentication credentials.", "details": [{"reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED"}]}}"#,
                KEY,
            ),
            (
                "continue#12640",
                403,
                r#"{"error": {"message": "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <meta name=viewport content=\"initial-scale=1, minimum-scale=1, width=device-width\">\n  <title>Error 403 (Forbidden)!!1</title>\n  <style>\n    *{margin:0;padding:0}html,code{font:15px/22px arial,sans-serif}</style>\n  <p><b>403.</b> <ins>That's an error.</ins>\n  <p>Your client does not have permission to get URL <code>/v1beta/models/gemini-2.5-flash:streamGenerateContent</code> from this server.  <ins>That's all we know.</ins>\n", "code": 403, "status": "Forbidden"}}"#,
                BLOCKED,
            ),
            (
                "62342275130, key",
                401,
                r#"{"error": {"code": 401, "message": "invalid key", "status": "UNAUTHENTICATED"}}"#,
                KEY,
            ),
            ("53762009534", 403, r#"{"error": {"status": "PERMISSION_DENIED", "message": "Access denied"}}"#, KEY_LANE),
            (
                "gemini-cli#17002",
                403,
                r#"[{"error": {"code": 403, "message": "Permission 'cloudaicompanion.companions.generateChat' denied on resource '//cloudaicompanion.googleapis.com/projects/my-project/locations/global' (or it may not exist).", "errors": [{"message": "x", "domain": "global", "reason": "forbidden"}], "status": "PERMISSION_DENIED", "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "IAM_PERMISSION_DENIED", "domain": "cloudaicompanion.googleapis.com", "metadata": {"permission": "cloudaicompanion.companions.generateChat"}}]}}]"#,
                KEY_LANE,
            ),
            (
                "70701639740, no key",
                403,
                r#"{"error": {"code": 403, "message": "Method doesn't allow unregistered callers. Please use API Key.", "status": "PERMISSION_DENIED"}}"#,
                OURS,
            ),
        ],
    );
    none_differs([
        ("continue#12640, as it came", 403, &[("content-type", "text/html; charset=UTF-8")] as &[_], "<!DOCTYPE html>
<html lang=en>
  <meta charset=utf-8>
  <title>Error 403 (Forbidden)!!1</title>
  <p><b>403.</b> <ins>That's an error.</ins>
  <p>Your client does not have permission to get URL <code>/v1beta/models</code> from this server.", BLOCKED),
        ("from memory: HTML 429 of Google", 429, &[("content-type", "text/html; charset=UTF-8")] as &[_], r#"<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN"><html><head><title>Sorry...</title></head><body>We're sorry... but your computer or network may be sending automated queries. To protect our users, we can't process your request right now.</body></html>"#, BLOCKED),
    ].into_iter().map(|(who, status, headers, body, meaning)| (who.to_owned(), meaning, judge_text(&Gemini::new(), status, headers, body))));
}

#[test]
fn what_google_does_not_take_or_have() {
    each_timed(
        &Gemini::new(),
        &[
            (
                "53099867646",
                400,
                &[],
                r#"{"error": {"code": 400, "message": "The File smq4dsfof7gd is not in an ACTIVE state and usage is not allowed.", "status": "FAILED_PRECONDITION"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "sketch#68",
                400,
                &[],
                r#"{"error": {"code": 400, "message": "* GenerateContentRequest.contents[33].parts[0].data: required oneof field 'data' must have one initialized field\n", "status": "INVALID_ARGUMENT"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "gemini-cli#27724",
                400,
                &[],
                r#"{"error": {"code": 400, "message": "Unable to submit request because it has 20 video files but the model only supports up to 10. Learn more: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini", "status": "INVALID_ARGUMENT"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "46427381450",
                400,
                &[],
                r#"{"error": {"code": 400, "message": "The document has no pages.", "status": "INVALID_ARGUMENT"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "54832377855",
                400,
                &[],
                r#"[{"error": {"code": 400, "message": "The input token count exceeds the maximum number of tokens allowed (1048576).", "status": "INVALID_ARGUMENT"}}]"#,
                CALLER,
                U::Now,
            ),
            (
                "586494572",
                400,
                &[],
                r#"{"code": 400, "message": "request is invalid", "status": "INVALID_ARGUMENT"}"#,
                CALLER,
                U::Now,
            ),
            (
                "from memory: caches",
                400,
                &[],
                r#"{"error": {"code": 400, "message": "Cached content is too small. total_token_count=2043, min_total_token_count=4096", "status": "INVALID_ARGUMENT"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "from memory: size, page",
                413,
                &[("content-type", "text/html")],
                "<!DOCTYPE html><html lang=en><title>Error 413 (Request Entity Too Large)!!1</title><p>Your client issued a request that was too large.",
                CALLER,
                U::Now,
            ),
            (
                "from memory: path, page",
                404,
                &[("content-type", "text/html")],
                "<!DOCTYPE html><html lang=en><title>Error 404 (Not Found)!!1</title><p>The requested URL <code>/v1beta/models/gemini-2.5-flash:generate</code> was not found on this server. That's all we know.",
                CALLER,
                U::Now,
            ),
            (
                "67239457933",
                404,
                &[],
                r#"{"error": {"code": 404, "message": "This model models/gemini-2.5-flash is no longer available to new users. Please update your code to use models/gemini-3.6-flash for the latest features and improvements. We recommend you to use the Interactions API.", "status": "NOT_FOUND"}}"#,
                NOT_FOR_ACCOUNT,
                U::Lifted,
            ),
            (
                "57168476785",
                404,
                &[],
                r#"{"error": {"code": 404, "message": "This model is no longer available", "status": "NOT_FOUND"}}"#,
                NO_SUCH_MODEL,
                U::Now,
            ),
            (
                "61714839237",
                404,
                &[],
                r#"{"error": {"code": 404, "message": "models/gemini-3.1-flash-image is not found for API version v1beta, or is not supported for predict. Call ModelService.ListModels to see the list of available models and their supported methods.", "status": "NOT_FOUND"}}"#,
                NO_SUCH_MODEL,
                U::Now,
            ),
            (
                "39627885206",
                404,
                &[],
                r#"{"error": {"code": 404, "message": "Publisher Model `projects/my-project/locations/us-east5/publishers/google/models/gemini-2.0-flash-exp` not found.", "status": "NOT_FOUND"}}"#,
                NO_SUCH_MODEL,
                U::Now,
            ),
            (
                "53762009534, model",
                404,
                &[],
                r#"{"error": {"status": "NOT_FOUND", "message": "Model not found"}}"#,
                NO_SUCH_MODEL,
                U::Now,
            ),
            (
                "71121191804",
                400,
                &[],
                r#"{"error": {"code": 400, "message": "Execution Failed. Error: INTERNAL on URL `https://x.us-central1.sandbox.vertexai.goog/exec`. Error Details: Bad Gateway: Unable to reach the sandbox environment. (Request ID: abc)", "status": "FAILED_PRECONDITION"}}"#,
                CALLER,
                U::Now,
            ),
        ],
    );
    all(
        &Gemini::new(),
        &[(
            "from memory: operation",
            404,
            r#"{"error": {"code": 404, "message": "Operation models/veo-3.0-generate-001/operations/abc not found.", "status": "NOT_FOUND"}}"#,
            WRONG_OWNER,
        )],
    );
}

#[test]
fn faults_of_google_and_of_who_stands_before_it() {
    each_timed(
        &Gemini::new(),
        &[(
            "from memory: envoy",
            503,
            &[("content-type", "text/plain")],
            "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure",
            BUSY,
            U::Backoff,
        )],
    );
    all(
        &Gemini::new(),
        &[(
            "made up like these, page",
            502,
            r#"{"error": {"message": "<html>\r\n<head><title>502 Bad Gateway</title></head>", "code": 502, "status": "Bad Gateway"}}"#,
            AGAIN,
        )],
    );
    none_differs([
        ("from memory: page", 502, &[("content-type", "text/html; charset=UTF-8")] as &[_], "<!DOCTYPE html>
<html lang=en>
  <title>Error 502 (Server Error)!!1</title>
  <p><b>502.</b> <ins>That's an error.</ins>
  <p>The server encountered a temporary error and could not complete your request.<p>Please try again in 30 seconds.  <ins>That's all we know.</ins>", AGAIN),
        ("from memory: html of a balancer", 503, &[("content-type", "text/html")] as &[_], "<html><body><h1>503 Service Unavailable</h1>
No server is available to handle this request.
</body></html>
", BUSY),
    ].into_iter().map(|(who, status, headers, body, meaning)| (who.to_owned(), meaning, judge_text(&Gemini::new(), status, headers, body))));
}

#[test]
fn limits_of_openai_and_its_likes() {
    each_timed(
        &OpenAi::new(),
        &[
            (
                "55060742580",
                429,
                &[],
                r#"{"error": {"message": "Rate limit reached for gpt-4o-mini in organization org-X on requests per day (RPD): Limit 10000, Used 10000, Requested 1.", "type": "requests", "code": "rate_limit_exceeded"}}"#,
                QUOTA,
                U::Backoff,
            ),
            (
                "from memory: RPD with a wait",
                429,
                &[],
                r#"{"error": {"message": "Rate limit reached for gpt-4o-mini in organization org-X on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s. Visit https://platform.openai.com/account/rate-limits to learn more.", "type": "requests", "param": null, "code": "rate_limit_exceeded"}}"#,
                RATE,
                waits(432),
            ),
            (
                "26893702657, headers",
                429,
                &[
                    ("x-ratelimit-limit-requests", "60"),
                    ("x-ratelimit-limit-tokens", "150000"),
                    ("x-ratelimit-remaining-requests", "0"),
                    ("x-ratelimit-remaining-tokens", "149984"),
                    ("x-ratelimit-reset-requests", "1s"),
                    ("x-ratelimit-reset-tokens", "6m30s"),
                ],
                r#"{"error": {"message": "Rate limit reached for requests", "type": "requests", "code": "rate_limit_exceeded"}}"#,
                RATE,
                waits(1),
            ),
            (
                "from memory: milliseconds",
                429,
                &[("retry-after-ms", "1500"), ("retry-after", "2")],
                r#"{"error": {"message": "Rate limit reached for gpt-5 in organization org-X on tokens per min (TPM): Limit 30000, Used 29000, Requested 1200.", "type": "tokens", "param": null, "code": "rate_limit_exceeded"}}"#,
                RATE,
                nanos(1_500_000_000),
            ),
            (
                "from memory: Azure",
                429,
                &[("retry-after", "60")],
                r#"{"error": {"code": "429", "message": "Requests to the Embeddings_Create Operation under Azure OpenAI API version 2023-05-15 have exceeded call rate limit of your current AIServices S0 pricing tier. Please retry after 60 seconds. Please contact Azure support service if you would like to further increase the default rate limit."}}"#,
                RATE,
                waits(60),
            ),
            (
                "from memory: API Management",
                429,
                &[],
                r#"{"statusCode": 429, "message": "Token limit is exceeded. Try again in 17 seconds."}"#,
                RATE,
                waits(17),
            ),
            (
                "openclaude#936",
                429,
                &[],
                r#"{"error": {"message": "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day", "code": 429, "metadata": {"headers": {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795219200000"}}}}"#,
                QUOTA,
                waits(65640),
            ),
            (
                "continue#10920",
                429,
                &[],
                r#"{"error": {"message": "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_1` service tier `on_demand` on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619. Please try again in 9m38.016s. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing", "type": "tokens", "code": "rate_limit_exceeded"}}"#,
                RATE,
                nanos(578_016_000_000),
            ),
            (
                "stockbot-on-groq#46",
                429,
                &[],
                r#"{"error": {"message": "Rate limit reached for model `llama3-70b-8192` in organization `org_1` on : Limit 500000, Used 500370, Requested 252. Please try again in 1m47.5854s. Visit https://console.groq.com/docs/rate-limits for more information.", "type": "", "code": "rate_limit_exceeded"}}"#,
                RATE,
                nanos(107_585_400_000),
            ),
            (
                "24156380085",
                429,
                &[],
                r#"{"error": {"message": "Rate limit reached for model `llama3-8b-8192` in organization `org_1` service tier `on_demand` on tokens per minute (TPM): Limit 100000, Used 99821, Requested 1191. Please try again in 606.799999ms. Need more tokens? Visit https://groq.com/self-serve-support/ to request higher limits.", "type": "tokens", "code": "rate_limit_exceeded"}}"#,
                RATE,
                waits(1),
            ),
            (
                "from memory: Ollama",
                429,
                &[],
                r#"{"error": "you (someone) have reached your weekly usage limit, upgrade for higher limits: https://ollama.com/upgrade"}"#,
                QUOTA,
                U::Probed(Duration::from_secs(21_600)),
            ),
            (
                "67118557763, rate",
                429,
                &[("retry-after", "42")],
                r#"{"error": {"message": "free limit reached", "code": "free_rate_limited"}}"#,
                RATE,
                waits(42),
            ),
            (
                "68593697064, SambaNova",
                429,
                &[],
                r#"{"error": {"message": "Request rate limit exceeded, please try again later.", "type": "request_rate_limit_exceeded", "code": 429}}"#,
                RATE,
                U::Backoff,
            ),
            (
                "from memory: Ark, limit",
                429,
                &[],
                r#"{"error": {"code": "RateLimitExceeded.EndpointRPMExceeded", "message": "The Requests Per Minute (RPM) limit of the associated endpoint for your account has been exceeded. Request id: 02", "param": "", "type": "TooManyRequests"}}"#,
                RATE,
                U::Backoff,
            ),
            (
                "from memory: GitHub",
                429,
                &[],
                r#"{"error": {"code": "RateLimitReached", "message": "Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 5631 seconds before retrying.", "details": "Rate limit of 50 per 86400s exceeded for UserByModelByDay. Please wait 5631 seconds before retrying."}}"#,
                RATE,
                waits(5631),
            ),
            (
                "from memory: Cohere",
                429,
                &[],
                r#"{"id": "0", "message": "You are using a Trial key, which is limited to 40 API calls / minute. You can continue to use the Trial key for free or upgrade to a Production key with higher rate limits at 'https://dashboard.cohere.com/api-keys'. Contact us on 'https://discord.gg/XW44jPfYJu' or email us at support@cohere.com with any questions"}"#,
                RATE,
                U::Backoff,
            ),
            (
                "from memory: Moonshot",
                429,
                &[],
                r#"{"error": {"message": "Your account org-0<ak-0> request reached organization max concurrency: 3, please try again after 1 seconds", "type": "rate_limit_reached_error"}}"#,
                RATE,
                waits(1),
            ),
            (
                "from memory: Databricks",
                429,
                &[],
                r#"{"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "REQUEST_LIMIT_EXCEEDED: Exceeded workspace input tokens per minute rate limit for databricks-claude-sonnet-4. Please retry or reduce your request rate."}"#,
                RATE,
                U::Backoff,
            ),
            (
                "from memory: Together",
                429,
                &[],
                r#"{"error": {"message": "You have reached the rate limit specific to this model meta-llama/X. The maximum rate limit for this model is 6.0 queries and 180000 tokens per minute.", "type": "model_rate_limit", "param": null, "code": null}}"#,
                RATE,
                U::Backoff,
            ),
            ("from memory: Envoy", 429, &[("content-type", "text/plain")], "local_rate_limited", UNNAMED, U::Backoff),
            (
                "from memory: Kong",
                429,
                &[("ratelimit-reset", "12"), ("ratelimit-remaining", "0"), ("ratelimit-limit", "5")],
                r#"{"message": "API rate limit exceeded"}"#,
                RATE,
                waits(12),
            ),
            ("67118126308", 429, &[], r#"{"error": {"code": "rate_limit_exceeded"}}"#, RATE, U::Backoff),
            (
                "70445933135",
                429,
                &[("x-ratelimit-limit", "20"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795153590000")],
                r#"{"error": {"code": 429, "message": "Rate limit exceeded", "metadata": {"error_type": "rate_limit_exceeded"}}}"#,
                RATE,
                waits(30),
            ),
            (
                "70701639740, Zhipu 1302",
                429,
                &[],
                r#"{"error": {"code": "1302", "message": "您当前使用该API的并发数过高，请降低并发，或联系客服增加限额。"}}"#,
                RATE,
                U::Backoff,
            ),
            ("19232991040", 429, &[], r#"{"detail": "Rate limit exceeded"}"#, RATE, U::Backoff),
            (
                "71570194828",
                429,
                &[("ratelimit-remaining", "0"), ("ratelimit-reset", "1795153563")],
                r#"{"error": {"code": "rate_limit_exceeded", "message": "limit of 3600 requests per hour reached"}}"#,
                RATE,
                waits(3),
            ),
            (
                "59914847988",
                429,
                &[("retry-after", "60")],
                r#"{"error": {"message": "API key quota exceeded."}}"#,
                RATE,
                waits(60),
            ),
            (
                "69289387722",
                429,
                &[],
                r#"{"error": {"message": "Rate limit reached for model `whisper-large-v3` in organization `org_1` service tier `on_demand` on seconds of audio per day (ASD): Limit 28800, Used 28800, Requested 300. Please try again in 2h13m.", "type": "seconds", "code": "rate_limit_exceeded"}}"#,
                RATE,
                waits(7980),
            ),
        ],
    );
    all(
        &OpenAi::new(),
        &[
            ("59889031620", 429, r#"{"message": "rpm exhausted"}"#, UNNAMED),
            (
                "68724076533, free",
                403,
                r#"{"error": {"code": "free_quota_exhausted", "message": "your orcarouter/free allowance is used up"}}"#,
                QUOTA,
            ),
            (
                "from memory: GitHub, at once",
                429,
                r#"{"error": {"code": "RateLimitReached", "message": "Rate limit of 2 per 0s exceeded for UserConcurrentRequests. Please wait 0 seconds before retrying.", "details": ""}}"#,
                RATE,
            ),
            (
                "from memory: Zhipu, plan",
                429,
                r#"{"error": {"code": "1316", "message": "Usage limit reached for 5 hour. Your limit will reset at 2026-11-20 18:12:00"}}"#,
                QUOTA,
            ),
            (
                "69352699884",
                402,
                r#"{"error": {"message": "This request would exceed your available credits given your current in-flight requests. Retry after in-flight requests settle, or add credits.", "code": 402}}"#,
                OF_THE_ACCOUNT,
            ),
            (
                "71308051029",
                429,
                r#"{"type": "error", "error": {"type": "FreeUsageLimitError", "message": "Rate limit exceeded. Please try again later."}}"#,
                QUOTA,
            ),
            ("58726587462", 403, r#"{"detail": "quota_exceeded"}"#, QUOTA),
        ],
    );
    none_differs(
        [(
            "from memory: API Gateway",
            429,
            &[("x-amzn-errortype", "LimitExceededException")] as &[_],
            r#"{"message": "Limit Exceeded"}"#,
            UNNAMED,
        )]
        .into_iter()
        .map(|(who, status, headers, body, meaning)| {
            (who.to_owned(), meaning, judge_text(&OpenAi::new(), status, headers, body))
        }),
    );
}

#[test]
fn money_and_keys_of_openai_and_its_likes() {
    each_timed(
        &OpenAi::new(),
        &[
            ("61960039840", 429, &[], r#"{"error": {"message": "You have no credits remaining."}}"#, MONEY, HOURLY),
            (
                "57135389047",
                401,
                &[],
                r#"{"error": {"message": "Incorrect API key provided. You can find your API key at https://poe.com/api/keys.", "type": "authentication_error", "code": "invalid_api_key"}}"#,
                KEY,
                U::Lifted,
            ),
            (
                "67118557763, balance",
                403,
                &[],
                r#"{"error": {"code": "insufficient_user_quota", "message": "Not enough workspace balance"}}"#,
                MONEY,
                HOURLY,
            ),
            (
                "70226631959, Anthropic's by OpenAI's path",
                400,
                &[],
                r#"{"error": {"code": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.", "type": "invalid_request_error", "param": null}}"#,
                MONEY,
                HOURLY,
            ),
            (
                "59656254703, 403",
                403,
                &[],
                r#"{"error": {"type": "authentication_error", "code": "invalid_api_key", "message": "Invalid API key"}}"#,
                KEY,
                U::Lifted,
            ),
            (
                "70701639740, Kimi",
                429,
                &[],
                r#"{"error": {"message": "Your account exceeded current quota", "type": "exceeded_current_quota_error"}}"#,
                MONEY,
                HOURLY,
            ),
            (
                "70701639740, Zhipu 1113",
                429,
                &[],
                r#"{"error": {"code": "1113", "message": "您的账户已欠费，请充值后重试。"}}"#,
                MONEY,
                HOURLY,
            ),
            (
                "61364094000, key",
                401,
                &[],
                r#"{"error": {"code": "Unauthorized", "message": "invalid api key", "request_id": "0"}}"#,
                KEY,
                U::Lifted,
            ),
            (
                "68603784246",
                429,
                &[],
                r#"{"error": {"message": "Your account is suspended due to insufficient balance, please recharge your account"}}"#,
                MONEY,
                HOURLY,
            ),
            (
                "55409159107",
                403,
                &[],
                r#"{"error": {"message": "Your account funds have been depleted. Please top up.", "type": "billing_error"}}"#,
                MONEY,
                HOURLY,
            ),
            (
                "69439547732",
                429,
                &[],
                r#"{"error": {"message": "Your account is not active", "code": "billing_not_active"}}"#,
                MONEY,
                HOURLY,
            ),
            (
                "69439547732, xAI",
                403,
                &[],
                r#"{"code": "permission-denied", "error": "Your team 0 has either used all available credits or reached its monthly spending limit."}"#,
                MONEY,
                HOURLY,
            ),
            (
                "54508361613",
                429,
                &[],
                r#"{"error": {"message": "Your account balance is insufficient", "type": "exceeded_current_quota_error"}}"#,
                MONEY,
                HOURLY,
            ),
            ("59681015754", 429, &[], r#"{"error": {"message": "insufficient_quota"}}"#, MONEY, HOURLY),
            ("69673420374", 429, &[], r#"{"code": "1113", "message": "try later"}"#, MONEY, HOURLY),
            (
                "69673420374, sentence",
                429,
                &[],
                r#"{"message": "Insufficient balance. Please recharge."}"#,
                MONEY,
                HOURLY,
            ),
            (
                "55089810564",
                400,
                &[],
                r#"{"error": {"message": "insufficient balance", "type": "billing_error"}, "type": "error"}"#,
                MONEY,
                HOURLY,
            ),
            (
                "made up like these, budget",
                403,
                &[],
                r#"{"error": {"message": "Project is over its budget", "code": "project_budget_exceeded"}}"#,
                MONEY,
                HOURLY,
            ),
        ],
    );
    all(
        &OpenAi::new(),
        &[
            (
                "55131870337",
                401,
                r#"{"error": {"message": "You have insufficient permissions for this operation. Missing scopes: api.responses.write. Check that you have the correct role in your organization.", "type": "invalid_request_error"}}"#,
                KEY_LANE,
            ),
            ("agent-zero#539", 401, r#"{"detail": "Unauthorized"}"#, KEY),
            ("67118557763, address", 403, r#"{"error": {"code": "access_denied", "message": "IP denied"}}"#, KEY_LANE),
            (
                "57585203843",
                402,
                r#"{"message": "Payment required to access this resource. Visit https://cloud.cerebras.ai/", "type": "payment_required_error", "param": "", "code": "payment_required"}"#,
                MONEY,
            ),
            (
                "55156135883",
                402,
                r#"{"error": {"code": "WALLET_NOT_SETUP", "message": "No subscription found for this API key.", "correlation_id": "0", "request_id": "0"}}"#,
                MONEY,
            ),
            (
                "68593697064, Doubleword",
                403,
                r#"{"error": {"code": "forbidden", "message": "Forbidden", "param": null, "type": "invalid_request_error"}}"#,
                KEY_LANE,
            ),
            (
                "69302639276",
                403,
                r#"{"detail": {"error": "insufficient_budget_or_disabled", "message": "Your Horizon budget is exhausted (remaining: $0.000000). Requests for 'lumen' are gated on that budget."}}"#,
                MONEY,
            ),
            (
                "62695739079",
                401,
                r#"{"error": {"code": "AuthenticationError", "message": "The API key format is incorrect. Request id: 02", "param": "", "type": "Unauthorized"}}"#,
                KEY,
            ),
            (
                "from memory: Ark",
                401,
                r#"{"error": {"code": "AuthenticationError", "message": "The API key in the request is missing or invalid. Request id: 02", "param": "", "type": "Unauthorized"}}"#,
                KEY,
            ),
            (
                "67392134385",
                403,
                r#"{"error": {"code": "AccessDenied", "message": "The request failed because you do not have access to the requested resource. Request id: 02", "param": "", "type": "Forbidden"}}"#,
                KEY_LANE,
            ),
            (
                "from memory: Copilot, quota",
                402,
                r#"{"error": {"message": "You have exceeded your premium request allowance. We recommend using GPT-4.1", "code": "quota_exceeded"}}"#,
                MONEY,
            ),
            (
                "61364094000",
                403,
                r#"{"error": {"code": "Forbidden", "message": "access denied", "request_id": "0"}}"#,
                KEY_LANE,
            ),
            (
                "from memory: a budget's own words",
                403,
                r#"{"error": {"message": "Workspace spending limit reached. It resets on December 1.", "type": "permission_error", "code": "workspace_budget_exceeded"}}"#,
                MONEY,
            ),
            ("62545586037", 403, r#"{"error": {"message": "Your plan does not include API access"}}"#, KEY_LANE),
            ("57609214728", 403, r#"{"error": {"message": "Your account is not authorized"}}"#, KEY_LANE),
            ("59990734699", 402, r#"{"detail": {"code": "deactivated_workspace"}}"#, MONEY),
            (
                "70245347078",
                403,
                r#"{"error": {"message": "Your account is overdue and has been suspended."}}"#,
                SUSPENDED,
            ),
            ("70245347078, in Chinese", 400, r#"{"error": {"message": "账户余额不足，请充值后再试"}}"#, MONEY),
            (
                "70715395881",
                403,
                r#"{"error": {"message": "Your account has been suspended due to content moderation violations"}}"#,
                SUSPENDED,
            ),
            (
                "52633683378",
                401,
                r#"{"error": {"message": "API key required. Pass via 'api-key' header.", "type": "auth_error", "code": "unauthorized"}}"#,
                OURS,
            ),
            ("70347229610", 402, r#"{"error": {"type": "insufficient_quota"}}"#, MONEY),
            (
                "made up like these, paths",
                403,
                r#"{"error": {"message": "This API key can only access: chat/completions"}}"#,
                KEY_LANE,
            ),
        ],
    );
    none_differs([
        ("70701639740, Cloudflare", 403, &[("cf-ray", "8c1f2a3b4c5d6e7f-SJC"), ("server", "cloudflare")] as &[_], "<html><head><title>Attention Required! | Cloudflare</title></head><body>Sorry, you have been blocked</body></html>", BLOCKED),
    ].into_iter().map(|(who, status, headers, body, meaning)| (who.to_owned(), meaning, judge_text(&OpenAi::new(), status, headers, body))));
}

#[test]
fn what_openai_and_its_likes_do_not_take_or_have() {
    each_timed(
        &OpenAi::new(),
        &[
            (
                "53397765964",
                400,
                &[],
                r#"{"error": {"message": "This model's maximum context length is 128000 tokens. However, your messages resulted in 137655 tokens (including 348 in the response_format schemas.). Please reduce the length of the messages or schemas.", "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "44353148419",
                400,
                &[],
                r#"{"error": {"code": "content_policy_violation", "message": "Your request was rejected as a result of our safety system. Your prompt may contain text that is not allowed by our safety system.", "param": null, "type": "invalid_request_error"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "cursor#2953",
                403,
                &[],
                r#"{"error": {"message": "Project `proj_1` does not have access to model `gpt-4o-mini`", "type": "invalid_request_error", "param": null, "code": "model_not_found"}}"#,
                NOT_FOR_KEY,
                U::Backoff,
            ),
            (
                "63174235696",
                404,
                &[],
                r#"{"error": {"message": "The requested resource was not found.", "type": "api_error", "code": null}}"#,
                CALLER,
                U::Now,
            ),
            (
                "from memory: id",
                400,
                &[],
                r#"{"error": {"message": "Invalid 'input[3].id': 'rs_0'. Expected an ID that begins with 'msg'.", "type": "invalid_request_error", "param": "input[3].id", "code": "invalid_value"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "continue#10141",
                400,
                &[],
                r#"{"message": "No tool call found for function call output with call_id call_1.", "type": "invalid_request_error", "param": "input", "code": null}"#,
                CALLER,
                U::Now,
            ),
            (
                "60706992979",
                400,
                &[],
                r#"{"error": {"code": "invalid_value", "message": "Status Code from provider: 422,\nProvider response: {\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\",\"filters\"],\"msg\":\"Field required\"}]}"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "from memory: Azure, model",
                400,
                &[],
                r#"{"error": {"code": "OperationNotSupported", "message": "The chatCompletion operation does not work with the specified model, gpt-5-codex. Please choose different model and try again. You can learn more about which models can be used with each operation here: https://go.microsoft.com/fwlink/?linkid=2197993."}}"#,
                CALLER,
                U::Now,
            ),
            (
                "68593697064, relayed, a caller's",
                400,
                &[],
                r#"{"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"messages.1.content.0: Invalid `signature` in `thinking` block\"}}"}}}"#,
                CALLER,
                U::Now,
            ),
            (
                "70226631959, moderation",
                403,
                &[],
                r#"{"error": {"message": "Your chosen model requires moderation and your input was flagged as violating the provider's content policy.", "code": 403, "metadata": {"reasons": ["harassment"], "flagged_input": "x", "provider_name": "P", "model_slug": "a/b"}}}"#,
                CALLER,
                U::Now,
            ),
            (
                "62554576954",
                422,
                &[],
                r#"{"type": "error", "error": {"message": "input new_sensitive (1026)"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "28116919637",
                422,
                &[],
                r#"{"error": {"message": "Encountered validation error for embedding request", "type": "model_initialization_error", "param": {"error": "input exceeds client batch size limit of 32", "modelName": "a/b"}, "code": "request_initialization_error"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "from memory: Copilot",
                400,
                &[],
                r#"{"error": {"message": "prompt token count of 150000 exceeds the limit of 128000", "code": "model_max_prompt_tokens_exceeded"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "from memory: nginx",
                413,
                &[("content-type", "text/html")],
                "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
                CALLER,
                U::Now,
            ),
            (
                "70226631959, JSON",
                400,
                &[],
                r#"{"error": {"message": "Invalid JSON: unbalanced braces near a quotation mark in the request body.", "type": "invalid_request_error"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "68889956795",
                400,
                &[],
                r#"{"error": {"code": 400, "message": "Unable to restore slot, no available space in KV cache or invalid slot save file"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "60316681040",
                400,
                &[],
                r#"{"error": {"code": 400, "message": "Failed to initialize samplers: failed to parse grammar", "type": "invalid_request_error"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "60569790374",
                401,
                &[],
                r#"{"error": {"message": "The model 'gpt-4o-mini' does not exist or you do not have access to it", "code": "model_not_found"}}"#,
                NOT_FOR_KEY,
                U::Backoff,
            ),
            (
                "71472373795",
                403,
                &[],
                r#"{"error": {"message": "Your plan does not have access to this model. Please upgrade."}}"#,
                NOT_FOR_KEY,
                U::Backoff,
            ),
            (
                "69466848531",
                403,
                &[],
                r#"{"error": {"message": "Your plan does not include the model 'qwen2.5-coder:0.5b'.", "type": "invalid_request_error", "code": "model_not_allowed"}}"#,
                NOT_FOR_KEY,
                U::Backoff,
            ),
            (
                "69278155544",
                404,
                &[],
                r#"{"error": {"message": "The model `nope` does not exist.", "type": "NotFoundError", "param": "model"}}"#,
                NO_SUCH_MODEL,
                U::Now,
            ),
            (
                "made up like these, model",
                403,
                &[],
                r#"{"error": {"message": "You do not have permission to use model gpt-image-3. Contact your administrator.", "type": "permission_denied"}}"#,
                NOT_FOR_KEY,
                U::Backoff,
            ),
            (
                "made up like these, models",
                403,
                &[],
                r#"{"error": {"message": "Embedding models are not available on the free tier."}}"#,
                NOT_FOR_KEY,
                U::Backoff,
            ),
        ],
    );
    all(
        &OpenAi::new(),
        &[
            (
                "71642395141",
                403,
                r#"{"error": {"message": "This token has no access to model deepseek-v4.1-pro", "type": "invalid_request_error"}}"#,
                NOT_FOR_KEY,
            ),
            (
                "58696658317, Kilo",
                401,
                r#"{"error": {"code": "PAID_MODEL_AUTH_REQUIRED", "message": "You need to sign in to use this model."}}"#,
                NOT_FOR_KEY,
            ),
            (
                "from memory: Ark, model",
                404,
                r#"{"error": {"code": "InvalidEndpointOrModel.NotFound", "message": "The model or endpoint ep-0 does not exist or you do not have access to it. Request id: 02", "param": "", "type": "NotFound"}}"#,
                NOT_FOR_KEY,
            ),
            ("67118126308, model", 404, r#"{"error": {"code": "model_not_found"}}"#, NOT_FOR_KEY),
            (
                "from memory: Zhipu's plan",
                403,
                r#"{"error": {"message": "Your plan does not include access to this model. Please upgrade your plan to use it.", "type": "invalid_request_error", "code": "model_not_allowed"}}"#,
                NOT_FOR_KEY,
            ),
            (
                "from memory: an organization's",
                403,
                r#"{"error": {"message": "Your organization does not have access to the model gpt-6. Ask your administrator.", "type": "permission_error", "code": null}}"#,
                NOT_FOR_KEY,
            ),
            ("63088160699", 404, r#"{"detail": "unknown model: missing-model"}"#, NO_SUCH_MODEL),
        ],
    );
}

#[test]
fn faults_of_openai_and_its_likes() {
    each_timed(
        &OpenAi::new(),
        &[
            (
                "43013748035, of a server of one's own",
                429,
                &[],
                r#"{"detail": "429 You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. [violations {\n  quota_metric: \"generativelanguage.googleapis.com/generate_content_free_tier_requests\"\n  quota_id: \"GenerateRequestsPerMinutePerProjectPerModel-FreeTier\"\n  quota_dimensions {\n    key: \"model\"\n    value: \"gemini-2.0-flash\"\n  }\n}\nviolations {\n  quota_metric: \"generativelanguage.googleapis.com/generate_content_free_tier_input_token_count\"\n  quota_id: \"GenerateContentInputTokensPerModelPerMinute-FreeTier\"\n}\n, links {\n  description: \"Learn more about Gemini API quotas\"\n  url: \"https://ai.google.dev/gemini-api/docs/rate-limits\"\n}\n, retry_delay {\n  seconds: 24\n}\n]"}"#,
                BUSY,
                waits(24),
            ),
            (
                "10747242312, handed on",
                429,
                &[],
                r#"{"error": {"message": "litellm.RateLimitError: VertexAIException - b'{\n  \"error\": {\n    \"code\": 429,\n    \"message\": \"You exceeded your current quota\",\n    \"status\": \"RESOURCE_EXHAUSTED\",\n    \"details\": [\n      {\n        \"@type\": \"type.googleapis.com/google.rpc.RetryInfo\",\n        \"retryDelay\": \"25s\"\n      }\n    ]\n  }\n}'", "type": null, "param": null, "code": "429"}}"#,
                BUSY,
                waits(25),
            ),
            (
                "from memory: 500",
                500,
                &[],
                r#"{"error": {"message": "The server had an error processing your request. Sorry about that! You can retry your request, or contact us through our help center at help.openai.com if you keep seeing this error. (Please include the request ID req_0 in your email.)", "type": "server_error", "param": null, "code": null}}"#,
                AGAIN,
                U::Now,
            ),
            (
                "1774841311, Bedrock",
                503,
                &[("x-amzn-errortype", "ServiceUnavailableException")],
                r#"{"message": "Too many connections, please wait before trying again."}"#,
                BUSY,
                U::Backoff,
            ),
            (
                "from memory: Bedrock",
                429,
                &[("x-amzn-errortype", "ModelNotReadyException:http://internal.amazon.com/coral/com.amazon.bedrock/")],
                r#"{"message": "Model is not ready for inference. Wait and try your request again."}"#,
                BUSY,
                U::Backoff,
            ),
            (
                "62717251133",
                503,
                &[],
                r#"{"error": {"message": "Provider returned error", "code": 503, "metadata": {"raw": "no healthy upstream", "provider_name": "OpenInference"}}}"#,
                BUSY,
                U::Backoff,
            ),
            (
                "63326167916",
                429,
                &[],
                r#"{"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "x/y:free is temporarily rate-limited upstream. Please retry shortly", "provider_name": "P", "is_byok": false, "retry_after_seconds": 60, "headers": {"Retry-After": "60"}}}}"#,
                BUSY,
                waits(60),
            ),
            (
                "49120991787",
                500,
                &[],
                r#"{"error": {"code": "InternalError.Algo", "message": "Cannot connect to host 127.0.0.1:11434 ssl:default", "type": "api_error"}, "request_id": "0"}"#,
                AGAIN,
                U::Now,
            ),
            (
                "67389304468",
                500,
                &[],
                r#"{"error": {"message": "model engine error", "type": "runtime_error", "code": "20057"}}"#,
                AGAIN,
                U::Now,
            ),
            (
                "55237580184",
                503,
                &[],
                r#"{"error": {"type": "proxy_unavailable", "message": "All accounts are currently unavailable."}}"#,
                BUSY,
                U::Backoff,
            ),
            (
                "25525678312",
                503,
                &[],
                r#"{"detail": "vLLM server unavailable: All connection attempts failed"}"#,
                BUSY,
                U::Backoff,
            ),
            (
                "70701639740, DeepSeek",
                503,
                &[],
                r#"{"error": {"message": "Server is busy, please try again later", "type": "server_error"}}"#,
                BUSY,
                U::Backoff,
            ),
            (
                "62040559734",
                503,
                &[],
                r#"{"error": {"message": "Upstream request failed: Endpoint is unavailable.", "type": "server_error"}}"#,
                BUSY,
                U::Backoff,
            ),
            (
                "57388043954",
                503,
                &[],
                r#"{"error": {"message": "The model is overloaded. Please try later"}}"#,
                BUSY,
                U::Backoff,
            ),
            (
                "made up like these, text",
                429,
                &[],
                r#"{"detail": "429 RESOURCE_EXHAUSTED. {'error': {'code': 429, 'message': 'You exceeded your current quota.', 'details': [{'quotaMetric': 'generativelanguage.googleapis.com/generate_content_free_tier_requests', 'quotaId': 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier'}, {'retryDelay': '12s'}]}}"}"#,
                BUSY,
                waits(12),
            ),
        ],
    );
    all(
        &OpenAi::new(),
        &[
            (
                "68593697064, relayed",
                400,
                r#"{"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow down\"}}", "provider_name": "Anthropic"}}}"#,
                BUSY,
            ),
            ("70701639740, gateway", 504, "upstream request timeout", AGAIN),
            (
                "made up like these, relayed",
                400,
                r#"{"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "{\"type\": \"error\", \"error\": {\"type\": \"overloaded_error\", \"message\": \"Overloaded\"}}", "provider_name": "Anthropic"}}}"#,
                BUSY,
            ),
            (
                "made up like these, relayed rate",
                400,
                r#"{"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "{\"error\": {\"message\": \"Rate limit reached for gpt-5\", \"type\": \"tokens\", \"code\": \"rate_limit_exceeded\"}}", "provider_name": "OpenAI"}}}"#,
                BUSY,
            ),
        ],
    );
    none_differs([
        ("from memory: Cloudflare", 521, &[("content-type", "text/plain")] as &[_], "error code: 521", AGAIN),
        ("from memory: a load balancer", 503, &[("content-type", "text/html")] as &[_], "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n", BUSY),
    ].into_iter().map(|(who, status, headers, body, meaning)| (who.to_owned(), meaning, judge_text(&OpenAi::new(), status, headers, body))));
}

#[test]
fn limits_of_anthropic() {
    each_timed(
        &Anthropic::new(),
        &[
            (
                "71627900224, headers",
                429,
                &[
                    ("anthropic-ratelimit-unified-status", "rejected"),
                    ("anthropic-ratelimit-unified-5h-status", "rejected"),
                    ("anthropic-ratelimit-unified-5h-reset", "2026-11-20T07:16:00Z"),
                    ("anthropic-ratelimit-unified-7d-status", "allowed_warning"),
                    ("anthropic-ratelimit-unified-7d-utilization", "0.81"),
                    ("anthropic-ratelimit-unified-7d-reset", "2026-11-25T00:00:00Z"),
                ],
                r#"{"type": "error", "error": {"type": "rate_limit_error", "message": "This request would exceed your account's rate limit. Please try again later."}, "request_id": "req_1"}"#,
                RATE,
                waits(5400),
            ),
            (
                "54490503559, headers",
                429,
                &[
                    ("anthropic-ratelimit-unified-5h-utilization", "1.0"),
                    ("anthropic-ratelimit-unified-5h-status", "rejected"),
                    ("anthropic-ratelimit-unified-5h-reset", "1795157160"),
                    ("anthropic-ratelimit-unified-7d-utilization", "0.10"),
                    ("anthropic-ratelimit-unified-7d-status", "allowed"),
                    ("anthropic-ratelimit-unified-7d-reset", "1795557160"),
                ],
                r#"{"type": "error", "error": {"type": "rate_limit_error", "message": "This request would exceed your account's rate limit. Please try again later."}}"#,
                RATE,
                waits(3600),
            ),
            (
                "from memory: Anthropic's seconds",
                429,
                &[
                    ("retry-after", "17"),
                    ("anthropic-ratelimit-input-tokens-limit", "40000"),
                    ("anthropic-ratelimit-input-tokens-remaining", "0"),
                    ("anthropic-ratelimit-input-tokens-reset", "2026-11-20T05:46:30Z"),
                ],
                r#"{"type": "error", "error": {"type": "rate_limit_error", "message": "This request would exceed your organization's rate limit of 40,000 input tokens per minute"}}"#,
                RATE,
                waits(17),
            ),
            (
                "from memory: Anthropic, week",
                429,
                &[
                    ("anthropic-ratelimit-unified-status", "rejected"),
                    ("anthropic-ratelimit-unified-representative-claim", "seven_day"),
                    ("anthropic-ratelimit-unified-7d-status", "rejected"),
                    ("anthropic-ratelimit-unified-7d-reset", "1795326360"),
                    ("anthropic-ratelimit-unified-5h-status", "allowed"),
                    ("anthropic-ratelimit-unified-5h-reset", "1795157160"),
                ],
                r#"{"type": "error", "error": {"type": "rate_limit_error", "message": "This request would exceed your account's rate limit. Please try again later."}}"#,
                RATE,
                waits(172_800),
            ),
            (
                "made up like these, windows",
                429,
                &[
                    ("anthropic-ratelimit-unified-5h-status", "rejected"),
                    ("anthropic-ratelimit-unified-5h-reset", "1795157160"),
                    ("anthropic-ratelimit-unified-7d-status", "rejected"),
                    ("anthropic-ratelimit-unified-7d-reset", "1795326360"),
                ],
                r#"{"type": "error", "error": {"type": "rate_limit_error", "message": "This request would exceed your account's rate limit."}}"#,
                RATE,
                waits(172_800),
            ),
        ],
    );
    all(
        &Anthropic::new(),
        &[(
            "70275437024",
            403,
            r#"{"error": {"type": "permission_error", "message": "You've reached your weekly usage limit for this billing cycle. Your quota will be refreshed in the next cycle. Upgrade to get more: https://www.kimi.com/code/console?from=quota-upgrade"}, "type": "error"}"#,
            QUOTA,
        )],
    );
}

#[test]
fn money_and_keys_of_anthropic() {
    each_timed(
        &Anthropic::new(),
        &[
            (
                "253373539",
                400,
                &[],
                r#"{"error": {"message": "Your credit balance is too low", "type": "billing_error"}}"#,
                MONEY,
                HOURLY,
            ),
            (
                "58306265183",
                401,
                &[],
                r#"{"type": "error", "error": {"type": "authentication_error", "message": "OAuth access token has been revoked."}, "request_id": null}"#,
                KEY,
                U::Lifted,
            ),
            (
                "58306265183, with a 403",
                403,
                &[],
                r#"{"type": "error", "error": {"type": "permission_error", "message": "OAuth access token has been revoked."}}"#,
                KEY,
                U::Lifted,
            ),
            (
                "55089810564",
                400,
                &[],
                r#"{"error": {"message": "insufficient balance", "type": "billing_error"}, "type": "error"}"#,
                MONEY,
                HOURLY,
            ),
            (
                "made up like these",
                403,
                &[],
                r#"{"type": "error", "error": {"type": "permission_error", "message": "OAuth access token has expired."}}"#,
                KEY,
                U::Lifted,
            ),
        ],
    );
    all(
        &Anthropic::new(),
        &[
            (
                "1774841311",
                400,
                r#"{"type": "error", "error": {"type": "invalid_request_error", "message": "Usage blocked until 2026-12-01T00:00:00+00:00 due to user specified spend limits."}}"#,
                MONEY,
            ),
            (
                "70337772701",
                400,
                r#"{"type": "error", "error": {"type": "invalid_request_error", "message": "You have reached your specified workspace API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."}}"#,
                MONEY,
            ),
            (
                "68381573078",
                403,
                r#"{"type": "error", "error": {"type": "authentication_error", "message": "Invalid bearer token"}}"#,
                KEY,
            ),
            (
                "claude-code#51610",
                403,
                r#"{"type": "error", "error": {"type": "permission_error", "message": "Permission denied"}, "request_id": "req_1"}"#,
                KEY_LANE,
            ),
            (
                "65824796624",
                403,
                r#"{"type": "error", "error": {"type": "permission_error", "message": "requested model \"gpt-5\" is not available in this group; available models: gpt-5.4-mini"}}"#,
                KEY_LANE,
            ),
        ],
    );
}

#[test]
fn what_anthropic_does_not_take_or_have() {
    each_timed(
        &Anthropic::new(),
        &[
            (
                "69459342674",
                403,
                &[],
                r#"{"type": "error", "error": {"type": "permission_error", "code": "session_blocked_by_cyber_policy", "message": "This session is blocked by cyber-security policy, please start a new session"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "68593697064",
                400,
                &[],
                r#"{"type": "error", "error": {"type": "invalid_request_error", "message": "Too many strict tools (21). The maximum number of strict tools supported is 20."}}"#,
                CALLER,
                U::Now,
            ),
            (
                "68593697064, schema",
                400,
                &[],
                r#"{"type": "error", "error": {"type": "invalid_request_error", "message": "Schemas contains too many optional parameters (25), which would make grammar compilation inefficient."}}"#,
                CALLER,
                U::Now,
            ),
            (
                "from memory: max_tokens",
                400,
                &[],
                r#"{"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for claude-3-5-sonnet-20241022"}}"#,
                CALLER,
                U::Now,
            ),
            (
                "70583330730",
                404,
                &[],
                r#"{"type": "error", "error": {"type": "not_found_error", "message": "no"}}"#,
                CALLER,
                U::Now,
            ),
        ],
    );
    all(
        &Anthropic::new(),
        &[(
            "71423390775",
            404,
            r#"{"type": "error", "error": {"type": "not_found_error", "message": "The model 'claude-x' does not exist or you do not have access to it."}}"#,
            NOT_FOR_KEY,
        )],
    );
}

#[test]
fn faults_of_anthropic() {
    each_timed(
        &Anthropic::new(),
        &[(
            "from memory: 529",
            529,
            &[("retry-after", "30")],
            r#"{"type": "error", "error": {"details": null, "type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}"#,
            BUSY,
            waits(30),
        )],
    );
}

/// In a stream, or alone, with a good status.
#[test]
fn errors_in_good_answers() {
    let (gemini, openai, anthropic) = (Gemini::new(), OpenAi::new(), Anthropic::new());
    let rows: &[(&dyn Provider, &str, bool, &str, Meaning)] = &[
        (
            &gemini,
            "68593697064, event of an array",
            true,
            r#"[{"candidates": []}, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded for metric"}}]"#,
            RATE,
        ),
        (
            &gemini,
            "from memory: event",
            true,
            "data: {\"error\": {\"code\": 429, \"message\": \"Resource exhausted. Please try again later. Please refer to https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.\", \"status\": \"RESOURCE_EXHAUSTED\"}}\r\n\r\n",
            BUSY,
        ),
        (
            &openai,
            "58680513071",
            true,
            r#"{"type": "error", "error": {"type": "invalid_request_error", "message": "Unknown parameter: foo."}, "sequence_number": 2}"#,
            CALLER,
        ),
        (
            &openai,
            "68593697064, failed",
            true,
            r#"{"type": "response.failed", "response": {"id": "resp_1", "error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}}"#,
            MONEY,
        ),
        (
            &openai,
            "from memory: socket",
            true,
            r#"{"type": "error", "code": "rate_limit_exceeded", "message": "Rate limit reached for gpt-5 in organization org-X on tokens per min (TPM): Limit 30000, Used 29000, Requested 1200. Please try again in 1.2s.", "param": null, "sequence_number": 3}"#,
            RATE,
        ),
        (
            &anthropic,
            "68871274645",
            true,
            r#"data: {"type":"error","error":{"type":"overloaded_error"}}

"#,
            BUSY,
        ),
        (
            &anthropic,
            "71232617656",
            true,
            r#"event: error
data: {"type":"error","error":{"details":null,"type":"api_error","message":"Internal server error"},"request_id":"req_1"}

"#,
            AGAIN,
        ),
        (
            &anthropic,
            "71649147086",
            true,
            r#"data: {"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 1200000 tokens"}}"#,
            CALLER,
        ),
        (
            &openai,
            "59656254703, stream",
            true,
            r#"data: {"type":"response.failed","response":{"error":{"status_code":502,"message":"Bad gateway"}}}

"#,
            AGAIN,
        ),
        (
            &openai,
            "70519053238",
            true,
            r#"{"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "resets_in_seconds": 3600}}}"#,
            RATE,
        ),
        (
            &openai,
            "55001452580",
            true,
            r#"{"error": {"code": 429, "message": "Rate limit exceeded"}, "choices": [{"delta": {"content": ""}, "finish_reason": "error"}]}"#,
            RATE,
        ),
        (
            &openai,
            "70701639740, Zhipu in a stream",
            true,
            r#"{"error": {"code": "1113", "message": "您的账户已欠费"}}"#,
            MONEY,
        ),
        (
            &openai,
            "70701639740, Zhipu in a good answer",
            false,
            r#"{"error": {"code": "1302", "message": "并发数过高"}}"#,
            RATE,
        ),
        (
            &openai,
            "58696658317, MiniMax",
            false,
            r#"{"base_resp": {"status_code": 2045, "status_msg": "rate growth limit"}}"#,
            RATE,
        ),
        (
            &anthropic,
            "57833549358",
            true,
            r#"{"error": {"type": "rate_limit_error", "message": "quota exceeded"}}"#,
            RATE,
        ),
        (&openai, "61346308302", true, r#"{"error": {"message": "Too many requests", "http_code": 429}}"#, UNNAMED),
        (
            &openai,
            "68439559290",
            true,
            r#"{"type": "response.failed", "response": {"status": "failed", "error": {"message": "This model does not support image inputs", "type": "server_error", "code": "server_error"}}}"#,
            AGAIN,
        ),
    ];
    none_differs(rows.iter().map(|(provider, who, event, body, meaning)| {
        (format!("{who} {body}"), *meaning, answered(*provider, 200, &[], body, *event))
    }));
    for (body, seconds) in [
        (
            r#"{"type": "error", "code": "rate_limit_exceeded", "message": "Rate limit reached for gpt-5 in organization org-X on tokens per min (TPM): Limit 30000, Used 29000, Requested 1200. Please try again in 1.2s.", "param": null, "sequence_number": 3}"#,
            1200,
        ),
        (
            r#"{"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "resets_in_seconds": 3600}}}"#,
            3_600_000,
        ),
    ] {
        let until = answered(&openai, 200, &[], body, true).until_of();
        assert_eq!(until, U::For(Duration::from_millis(seconds)), "{body}");
    }
}

/// What a caller wrote, in the places of what these say, takes nothing from a key.
#[test]
fn a_callers_words_are_no_codes_pages_or_quotas() {
    let delayed = "Invalid value: quota_id: GenerateRequestsPerDayPerProjectPerModel retry_delay { seconds: 900 }";
    let relayed = |message: &str| {
        let raw = format!(r#"{{"error":{{"type":"invalid_request_error","message":"{message}"}}}}"#);
        let metadata = serde_json::json!({"raw": raw, "provider_name": "P"});
        serde_json::json!({"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}})
            .to_string()
    };
    let bodies = [
        r#"{"error":{"message":"insufficient_quota"}}"#.to_owned(),
        r#"{"detail":"quota_exceeded"}"#.to_owned(),
        r#"{"error":{"message":"<html> is no language that this knows","type":"invalid_request_error"}}"#.to_owned(),
        r#"{"error":{"message":"messages.0: usage blocked until 2026-12-01","type":"invalid_request_error"}}"#
            .to_owned(),
        r#"{"error":{"message":"The text 'Your credit balance is too low' is not allowed here"}}"#.to_owned(),
        serde_json::json!({"error": {"code": 400, "message": delayed, "status": "INVALID_ARGUMENT"}}).to_string(),
        relayed("rate_limit_error: overloaded_error, 429"),
    ];
    for provider in [&Gemini::new() as &dyn Provider, &OpenAi::new(), &Anthropic::new()] {
        for body in &bodies {
            let verdict = judge_text(provider, 400, &[], body);
            assert_eq!((is(&verdict), verdict.until_of()), (CALLER, U::Now), "{} {body}", provider.name());
        }
    }
}

/// Of a subscription's windows only those count that refused, and what is beyond them has none.
#[test]
fn windows_that_refused_nothing_say_nothing() {
    let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your account's rate limit."}}"#;
    let allowed =
        [("anthropic-ratelimit-unified-7d-status", "allowed"), ("anthropic-ratelimit-unified-7d-reset", "1795326360")];
    let beyond = [
        ("anthropic-ratelimit-unified-overage-status", "rejected"),
        ("anthropic-ratelimit-unified-overage-reset", "1795326360"),
    ];
    for headers in [allowed, beyond] {
        let verdict = judge_text(&Anthropic::new(), 429, &headers, body);
        assert_eq!((is(&verdict), verdict.until_of()), (RATE, U::Backoff), "{headers:?}");
    }
}
