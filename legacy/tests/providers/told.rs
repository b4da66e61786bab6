//! Errors of providers of models, most as their users told of them, each judged by hand before it was judged here. One half is Gemini's:
//! of every kind of model, of what is kept there, of its quotas, of Vertex AI and of Code Assist.

use std::time::Duration;

use serde_json::{Value, json};
use tower_keypool::{
    Anthropic, Elsewhere as E, Gemini, OpenAi, Provider, Scope as S, Until as U, Verdict, VerdictKind as K,
};

use crate::meaning::{
    AGAIN, BLOCKED, BUSY, CALLER, CANCELLED, KEY, KEY_LANE, MONEY, Meaning, NO_SUCH_MODEL, NOT_FOR_ACCOUNT,
    NOT_FOR_KEY, OURS, QUOTA, RATE, SPENT, SUSPENDED, UNNAMED, WRONG_OWNER, answered, is, said,
};

const BILLING: Meaning = (K::QuotaExhausted, S::BillingAccount, E::OtherKey);
const KEPT: Meaning = (K::QuotaExhausted, S::Caller, E::OtherOwner);

fn judge(provider: &dyn Provider, status: u16, body: &str) -> Verdict {
    answered(provider, status, &[], body, false)
}

/// A status, a body, and what it means.
type Row = (u16, String, Meaning);

fn all(provider: &dyn Provider, rows: &[Row]) {
    let wrong: Vec<String> = rows
        .iter()
        .map(|(status, body, meaning)| (status, body, meaning, judge(provider, *status, body)))
        .filter(|(_, _, meaning, verdict)| is(verdict) != **meaning)
        .map(|(status, body, meaning, verdict)| format!("{status} {body}: {verdict:?}, not {meaning:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Google's error, with details.
fn detailed(code: u16, status: &str, message: &str, details: &Value) -> String {
    json!({"error": {"code": code, "message": message, "status": status, "details": details}}).to_string()
}

/// A row of Google's, without details.
fn google(code: u16, status: &str, message: &str, meaning: Meaning) -> Row {
    (code, json!({"error": {"code": code, "message": message, "status": status}}).to_string(), meaning)
}

fn invalid(message: &str) -> Row {
    google(400, "INVALID_ARGUMENT", message, CALLER)
}

/// What Google calls the cause.
fn reason(reason: &str, service: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
        "metadata": {"consumer": "projects/123456789012", "service": service}})
}

/// Violations of quotas: metric, id, and value where there is one.
fn violations(of: &[(&str, &str, &str)]) -> Value {
    let one = |(metric, id, value): &(&str, &str, &str)| {
        let mut one = json!({"quotaMetric": format!("generativelanguage.googleapis.com/{metric}"), "quotaId": id,
            "quotaDimensions": {"model": "m", "location": "global"}});
        if !value.is_empty() {
            one["quotaValue"] = json!(value);
        }
        one
    };
    json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": of.iter().map(one).collect::<Vec<_>>()})
}

fn retry(delay: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
}

const EXCEEDED: &str = "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.";

fn exceeded(of: &[(&str, &str, &str)], delay: &str) -> String {
    let mut details = vec![violations(of)];
    if !delay.is_empty() {
        details.push(retry(delay));
    }
    detailed(429, "RESOURCE_EXHAUSTED", EXCEEDED, &Value::Array(details))
}

#[test]
fn what_a_caller_asked_of_gemini() {
    all(
        &Gemini::new(),
        &[
            invalid("Your use case is currently not supported. Please refer to Gemini API documentation for current model offering."),
            invalid("The requested combination of response modalities (TEXT) is not supported by the model. models/gemini-2.5-flash-preview-tts accepts the following combination of response modalities:\n* AUDIO\n"),
            invalid("Logprobs is not enabled for this model"),
            invalid("Thinking level MINIMAL is not supported for this model. Please retry with other thinking level."),
            invalid("* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n"),
            invalid("Cannot extract voices from a non-audio request."),
            invalid("encodedVideo isn't supported by this model."),
            invalid("* GenerateContentRequest.generation_config.response_schema.properties[\"endpoints\"].items.properties[\"params\"].properties: should be non-empty for OBJECT type\n"),
            invalid("Please ensure that function response turn comes immediately after a function call turn."),
            invalid("Unable to submit request because it has a mimeType parameter with value application/vnd.hancom.hwp, which is not supported. Update the mimeType and try again. Learn more: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini"),
            invalid("Unable to submit request because at least one contents field is required. Learn more: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini"),
            invalid("Function calling config is set without function_declarations."),
            invalid("User has requested a restricted HarmBlockThreshold setting BLOCK_NONE. You can get access either (a) through an allowlist via your Google account team, or (b) by switching your account type to monthly invoiced billing via this instruction: https://cloud.google.com/billing/docs/how-to/invoiced-billing."),
            invalid("allowAll for personGeneration is currently not supported."),
            invalid("Image generation failed with the following error: The prompt could not be submitted. This prompt contains sensitive words that violate Google's Responsible AI practices. Try rephrasing the prompt."),
            invalid("Multiple tools are supported only when they are all search tools."),
            invalid("* GenerateContentRequest.contents[33].parts[0].data: required oneof field 'data' must have one initialized field\n"),
            invalid("Cached content is too small. total_token_count=896, min_total_token_count=1024"),
            invalid("CachedContent can not be used with GenerateContent request setting system_instruction, tools or tool_config.\n\nProposed fix: move those values to CachedContent from GenerateContent request."),
            invalid("Request payload size exceeds the limit: 20971520 bytes. Please use the Files API instead of inline data for large files."),
            invalid("Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance."),
            invalid("* GenerateContentRequest.tools[0].function_declarations[12].name: Invalid function name. Must start with a letter or an underscore."),
            invalid("The number of video frames (12000) exceeds the maximum supported by the model"),
            invalid("Unable to process input image. Please retry or report in https://developers.generativeai.google/guide/troubleshooting"),
            invalid("Invalid resource field value in the request."),
            invalid("`aspectRatio` is not supported by this model."),
            invalid("Deep Research agent requires background=true."),
            (400, json!({"error": {"code": "invalid_request", "message": "`background=true` is required for agent interactions."}}).to_string(), CALLER),
            (400, json!({"error": {"code": "invalid_request", "message": "The value 'deep-research-pro' is not a known agent."}}).to_string(), CALLER),
            (400, format!("[{}]", json!({"error": {"code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT"}})), CALLER),
            (400, json!({"error": {"code": 400, "message": "Invalid JSON payload received. Unknown name \"safety_setting\": Cannot find field.", "status": "INVALID_ARGUMENT", "details": [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"description": "Invalid JSON payload received. Unknown name \"safety_setting\": Cannot find field."}]}]}}).to_string(), CALLER),
            (404, "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  <title>Error 404 (Not Found)!!1</title>\n  <p><b>404.</b> <ins>That’s an error.</ins>\n  <p>The requested URL <code>/v1beta/models/gemini-pro:generate</code> was not found on this server.".to_owned(), CALLER),
            (400, "<html><title>Error 400 (Bad Request)!!1</title></html>".to_owned(), CALLER),
            (413, "<html lang=en><title>Error 413 (Request Entity Too Large)!!1</title><p>Your client issued a request that was too large.".to_owned(), CALLER),
            google(499, "CANCELLED", "The operation was cancelled.", CANCELLED),
            google(501, "UNIMPLEMENTED", "Operation is not implemented, or supported, or enabled.", CALLER),
        ],
    );
}

#[test]
fn models_that_gemini_has_not_for_somebody() {
    all(
        &Gemini::new(),
        &[
            google(404, "NOT_FOUND", "models/imagen-3.0-generate-002 is not found for API version v1beta, or is not supported for predict. Call ListModels to see the list of available models and their supported methods.", NO_SUCH_MODEL),
            google(404, "NOT_FOUND", "models/gemini-2.0-flash-exp is not found for API version v1alpha, or is not supported for bidiGenerateContent. Call ModelService.ListModels to see the list of available models and their supported methods.", NO_SUCH_MODEL),
            google(404, "NOT_FOUND", "This model models/gemini-2.0-flash is no longer available. Please update your code to use models/gemini-3.6-flash.", NO_SUCH_MODEL),
            google(404, "NOT_FOUND", "This model models/gemini-2.5-flash is no longer available to new users. We recommend you to use models/gemini-3.6-flash for the latest features and improvements.", NOT_FOR_ACCOUNT),
            google(404, "NOT_FOUND", "Publisher Model `projects/my-project/locations/europe-west2/publishers/google/models/gemini-3-pro-image-preview` not found.", NO_SUCH_MODEL),
            google(404, "NOT_FOUND", "Publisher Model `projects/my-project/locations/global/publishers/google/models/veo-3.0-generate-001` was not found or your project does not have access to it. Please ensure you are using a valid model version.", NO_SUCH_MODEL),
            google(400, "FAILED_PRECONDITION", "Project `123456789012` is not allowed to use Publisher Model `projects/my-project/locations/europe-west1/publishers/google/models/gemini-1.5-flash`", NOT_FOR_ACCOUNT),
            google(400, "FAILED_PRECONDITION", "Project `123456789012` is not allowed to use Publisher Model `projects/my-project/locations/us-central1/publishers/anthropic/models/claude-3-haiku@20240307`", NOT_FOR_ACCOUNT),
            (400, format!("[{}]", json!({"error": {"code": 400, "message": "Project `123456789012` is not allowed to use Publisher Model `projects/my-project/locations/asia-southeast1/publishers/anthropic/models/claude-3-sonnet@20240229`", "status": "FAILED_PRECONDITION"}})), NOT_FOR_ACCOUNT),
            google(400, "FAILED_PRECONDITION", "Organization Policy constraint constraints/vertexai.allowedModels violated for `projects/123456789012` attempting to use a disallowed Gen AI model gemini-2.5-flash. Please contact your organization administrator to fix this violation by modifying the organization policy constraint.", NOT_FOR_ACCOUNT),
            google(400, "FAILED_PRECONDITION", "The request has violated one or more Org Policies.", NOT_FOR_ACCOUNT),
            google(400, "INVALID_ARGUMENT", "Imagen API is only accessible to billed users at this time.", NOT_FOR_ACCOUNT),
            google(403, "PERMISSION_DENIED", "Publisher Model `projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-5` is not available in region us-east5 for this project.", NOT_FOR_ACCOUNT),
            (404, json!({"error": {"code": "model_not_found", "message": "Model 'deep-research-pro-preview-12-2025' not found."}}).to_string(), NO_SUCH_MODEL),
        ],
    );
}

#[test]
fn projects_that_google_does_not_serve() {
    let help = json!({"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "Google developers console API activation", "url": "https://console.developers.google.com/apis/api/x/overview?project=my-project"}]});
    let denied = |message: &str, details: &Value| detailed(403, "PERMISSION_DENIED", message, details);
    let unused = |api: &str| {
        format!(
            "{api} has not been used in project my-project before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/x/overview?project=my-project then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry."
        )
    };
    all(
        &Gemini::new(),
        &[
            google(403, "PERMISSION_DENIED", "Lightning dunning decision is deny for project: projects/123456789012", SUSPENDED),
            (403, denied(&unused("Gemini for Google Cloud API"), &json!([reason("SERVICE_DISABLED", "cloudaicompanion.googleapis.com"), help])), SUSPENDED),
            (403, denied(&unused("Cloud Code Private API"), &json!([reason("SERVICE_DISABLED", "cloudcode-pa.googleapis.com"), help])), SUSPENDED),
            google(403, "PERMISSION_DENIED", &unused("Gemini for Google Cloud API"), SUSPENDED),
            google(403, "PERMISSION_DENIED", &unused("Cloud Code Private API"), SUSPENDED),
            google(403, "PERMISSION_DENIED", &unused("Cloud Text-to-Speech API"), SUSPENDED),
            google(403, "PERMISSION_DENIED", &unused("Vertex AI API"), SUSPENDED),
            (403, json!([{"error": {"code": 403, "message": unused("Generative Language API"), "errors": [{"message": "x", "domain": "usageLimits", "reason": "accessNotConfigured"}], "status": "PERMISSION_DENIED"}}]).to_string(), SUSPENDED),
            (403, json!([{"error": {"code": 403, "message": "Permission denied on resource project my-project-123.", "errors": [{"message": "Permission denied on resource project my-project-123.", "domain": "global", "reason": "forbidden"}], "status": "PERMISSION_DENIED", "details": [reason("CONSUMER_INVALID", "cloudaicompanion.googleapis.com")]}}]).to_string(), SUSPENDED),
            (403, denied("Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: AbCdEf", &json!([{"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [{"type": "VPC_SERVICE_CONTROLS", "description": "AbCdEf"}]}, reason("SECURITY_POLICY_VIOLATED", "aiplatform.googleapis.com")])), SUSPENDED),
            google(403, "PERMISSION_DENIED", "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: AbCdEf", SUSPENDED),
            (403, denied("This service has been disabled in this account for violation of Terms of Service. If you believe this is an error, contact gemini-code-assist-user-feedback@example.com.", &json!([reason("TOS_VIOLATION", "cloudcode-pa.googleapis.com")])), SUSPENDED),
            google(403, "PERMISSION_DENIED", "Gemini has been disabled in this account for violation of Terms of Service", SUSPENDED),
            google(403, "PERMISSION_DENIED", "This API method requires billing to be enabled. Please enable billing on project #123456789012 by visiting https://console.developers.google.com/billing/enable?project=123456789012 then retry.", SUSPENDED),
            google(400, "FAILED_PRECONDITION", "Billing is not enabled for this project.", SUSPENDED),
            google(403, "PERMISSION_DENIED", "You do not have a valid license of this product. Please contact your administrator to request a license. (#3501)", SUSPENDED),
            (403, denied("Requests to this API aiplatform.googleapis.com method google.cloud.aiplatform.v1beta1.PredictionService.GenerateContent are blocked.", &json!([reason("API_KEY_SERVICE_BLOCKED", "aiplatform.googleapis.com")])), KEY),
            google(403, "PERMISSION_DENIED", "Requests to this API aiplatform.googleapis.com method google.cloud.aiplatform.v1beta1.PredictionService.GenerateContent are blocked.", KEY),
            google(403, "PERMISSION_DENIED", "Requests from referer https://aistudio.google.com/ are blocked.", KEY),
            google(403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.", KEY),
            google(403, "PERMISSION_DENIED", "The caller does not have permission", WRONG_OWNER),
            (401, detailed(401, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.", &json!([reason("ACCESS_TOKEN_EXPIRED", "generativelanguage.googleapis.com")])), KEY),
            (401, detailed(401, "UNAUTHENTICATED", "API keys are not supported by this API. Expected OAuth2 access token or other authentication credentials that assert a principal. See https://cloud.google.com/docs/authentication", &json!([reason("CREDENTIALS_MISSING", "aiplatform.googleapis.com")])), OURS),
            google(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.", OURS),
            (403, denied("Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/my-project/locations/us-central1/publishers/google/models/gemini-2.5-pro' (or it may not exist).", &json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "IAM_PERMISSION_DENIED", "domain": "aiplatform.googleapis.com", "metadata": {"permission": "aiplatform.endpoints.predict"}}])), KEY_LANE),
            (403, denied("Request had insufficient authentication scopes.", &json!([reason("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "generativelanguage.googleapis.com")])), KEY_LANE),
            google(400, "FAILED_PRECONDITION", "User location is not supported for the API use.", BLOCKED),
            (400, r#"[{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}]"#.to_owned(), BLOCKED),
            google(400, "FAILED_PRECONDITION", "Service agents are being provisioned (https://cloud.google.com/vertex-ai/docs/general/access-control#service-agents). Service agents are needed to read the Cloud Storage file provided. So please try again in a few minutes.", WRONG_OWNER),
            google(403, "PERMISSION_DENIED", "Unable to open file: gs://my-bucket/segment.ts, mode=Read_Mode, status=PERMISSION_DENIED", WRONG_OWNER),
            google(404, "NOT_FOUND", "Cached content cachedContents/xyz was not found.", WRONG_OWNER),
            google(404, "NOT_FOUND", "File files/abc123 not found.", WRONG_OWNER),
            google(404, "NOT_FOUND", "The fileSearchStore fileSearchStores/docs-1 was not found.", WRONG_OWNER),
        ],
    );
}

#[test]
fn limits_that_gemini_names() {
    let quota = |metric: &str, limit: &str, value: &str, message: &str| {
        detailed(
            429,
            "RESOURCE_EXHAUSTED",
            message,
            &json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com",
            "metadata": {"quota_metric": format!("generativelanguage.googleapis.com/{metric}"), "quota_limit": limit, "quota_limit_value": value, "quota_location": "us-south1", "quota_unit": "1/min/{project}/{region}", "service": "generativelanguage.googleapis.com", "consumer": "projects/123456789012"}}]),
        )
    };
    let vertex = |metric: &str, model: &str| {
        json!({"error": {"code": 429, "message": format!("Quota exceeded for aiplatform.googleapis.com/{metric} with base model: {model}. Please submit a quota increase request. https://cloud.google.com/vertex-ai/docs/generative-ai/quotas-genai."), "status": "RESOURCE_EXHAUSTED"}}).to_string()
    };
    let exhausted = |message: &str, meaning| google(429, "RESOURCE_EXHAUSTED", message, meaning);
    all(
        &Gemini::new(),
        &[
            (429, quota("model_requests", "ModelRequestsPerMinutePerProjectPerRegion", "200", "Quota exceeded for quota metric 'Read API requests' and limit 'Model operations request limit per minute for a region' of service 'generativelanguage.googleapis.com' for consumer 'project_number:123456789012'."), RATE),
            (429, quota("generate_content_requests", "GenerateContentRequestsPerMinutePerProjectPerRegion", "0", "Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateContent request limit per minute for a region' of service 'generativelanguage.googleapis.com' for consumer 'project_number:123456789012'."), NOT_FOR_ACCOUNT),
            (429, exceeded(&[("generate_content_free_tier_requests", "GenerateContentRequestsPerModelPerMinutePerProjectPerRegion", "0")], ""), NOT_FOR_ACCOUNT),
            (429, exceeded(&[("predict_long_running_requests_per_model_per_day", "PredictLongRunningRequestsPerDayPerProjectPerModel", "10")], "12s"), QUOTA),
            (429, exceeded(&[("predict_long_running_requests_per_model", "PredictLongRunningRequestsPerMinutePerProjectPerModel", "2")], "24s"), RATE),
            (429, exceeded(&[("predict_requests_per_model_per_day_paid_tier_1", "PredictRequestsPerDayPerProjectPerModel-PaidTier1", "70")], ""), QUOTA),
            (429, exceeded(&[("generated_images_paid_tier_1_per_model", "GeneratedImagesPerDayPerProjectPerModel-PaidTier1", "1000")], ""), QUOTA),
            (429, exceeded(&[("generated_images_paid_tier_1_per_model", "GeneratedImagesPerModelPerMinute-PaidTier1", "20")], ""), RATE),
            (429, exceeded(&[("batch_embed_contents_free_tier_requests", "BatchEmbedContentsRequestsPerDayPerProjectPerModel-FreeTier", "")], ""), QUOTA),
            (429, exceeded(&[("generate_content_paid_tier_2_requests_prio", "GenerateRequestsPerMinutePerProjectPerModel-PaidTier2-Priority", "500")], "3s"), RATE),
            (429, exceeded(&[("generate_content_free_tier_input_token_count", "GenerateContentInputTokensPerModelPerMinute-FreeTier", "16000"), ("generate_content_free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "20")], "29s"), QUOTA),
            // Which quota it is the details say: a line of the message that speaks of another one adds nothing.
            (429, detailed(429, "RESOURCE_EXHAUSTED", &format!("{EXCEEDED}\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 20\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_input_token_count, limit: 0"), &json!([violations(&[("generate_content_free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "20")])])), QUOTA),
            (429, detailed(429, "RESOURCE_EXHAUSTED", &format!("{EXCEEDED}\n* Quota exceeded for metric: generativelanguage.googleapis.com/embed_content_free_tier_requests, limit: 0\n* Quota exceeded for metric: generativelanguage.googleapis.com/embed_content_free_tier_requests, limit: 0"), &json!([violations(&[("embed_content_free_tier_requests", "EmbedContentRequestsPerDayPerUserPerProjectPerModel-FreeTier", ""), ("embed_content_free_tier_requests", "EmbedContentRequestsPerMinutePerProjectPerModel-FreeTier", "")])])), NOT_FOR_ACCOUNT),
            exhausted(&format!("{EXCEEDED}\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_requests_per_model_per_day, limit: 250, model: gemini-3.1-pro\nPlease retry in 20h44m55.254737501s."), QUOTA),
            exhausted(&format!("{EXCEEDED}\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 10\nPlease retry in 38.662417882s."), RATE),
            exhausted(EXCEEDED, UNNAMED),
            exhausted("Resource has been exhausted (e.g. check quota).", UNNAMED),
            exhausted("You have exhausted your daily quota of requests for this model. The model 'gemini-3.8-flash' has a quota limit of 20 requests per day.", QUOTA),
            exhausted("RESOURCE_EXHAUSTED: Maximum concurrent sessions exceeded", UNNAMED),
            (429, vertex("online_prediction_requests_per_base_model", "imagen-4.0-fast-generate"), RATE),
            (429, vertex("generate_content_requests_per_day_per_project_per_base_model", "gemini-1.5-pro"), QUOTA),
            (429, vertex("global_embed_content_requests_per_minute_per_base_model", "gemini-embedding"), RATE),
            (429, vertex("bidi_gen_concurrent_reqs_per_project_per_base_model", "gemini-live-2.5-flash"), RATE),
            (429, vertex("generate_content_image_gen_per_project_per_base_model", "gemini-2.5-flash-image"), RATE),
            (429, vertex("long_running_online_prediction_requests_per_base_model", "veo-3.0-generate-001"), RATE),
            (429, vertex("online_prediction_input_tokens_per_minute_per_base_model", "anthropic-claude-sonnet-5"), RATE),
            exhausted("Quota exceeded for quota metric 'Generate content requests' and limit 'Generate content requests per minute per project per user' of service 'firebasevertexai.googleapis.com' for consumer 'project_number:123456789012'.", RATE),
            (429, detailed(429, "RESOURCE_EXHAUSTED", "Individual quota reached. Please upgrade your subscription to increase your limits. Resets in 1h27m36s.", &json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "QUOTA_EXHAUSTED", "domain": "cloudcode-pa.googleapis.com", "metadata": {"uiMessage": "true", "model": "gemini-3.8-flash-high", "quotaResetDelay": "1h27m36.139434956s"}}, retry("5256.139434956s")])), QUOTA),
            exhausted("Individual quota reached. Please upgrade your subscription to increase your limits. Resets in 1h27m36s.", QUOTA),
            exhausted("You have exhausted your capacity on this model. Your quota will reset after 4h41m7s.", RATE),
            exhausted("Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend to manage your project spend cap. Learn more at https://ai.google.dev/gemini-api/docs/billing#project-spend-caps. ", MONEY),
            exhausted("Your billing account has exceeded its monthly spending cap.", BILLING),
            google(402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", BILLING),
            exhausted("TotalCachedContentStorageTokensPerModelFreeTier limit exceeded for model gemini-1.5-flash: limit=1000000, requested=1251312", KEPT),
            (429, "429 You exceeded your current quota, please check your plan and billing details. [violations {\n  quota_metric: \"generativelanguage.googleapis.com/generate_content_free_tier_requests\"\n  quota_id: \"GenerateRequestsPerDayPerProjectPerModel-FreeTier\"\n}\n, retry_delay {\n  seconds: 44\n}\n]".to_owned(), QUOTA),
            (429, json!({"error": "429 RESOURCE_EXHAUSTED. {'error': {'code': 429, 'message': 'You exceeded your current quota', 'details': [{'violations': [{'quotaId': 'GenerateRequestsPerDayPerProjectPerModel-FreeTier', 'quotaValue': '20'}]}]}}"}).to_string(), QUOTA),
            exhausted("Veo must be accessed through the Vertex PredictLongRunning API.", CALLER),
        ],
    );
}

#[test]
fn what_fails_at_google_for_a_while() {
    let crowded = "Resource exhausted. Please try again later. Please refer to https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.";
    all(
        &Gemini::new(),
        &[
            (429, detailed(429, "RESOURCE_EXHAUSTED", crowded, &json!([{"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": "[ORIGINAL ERROR] generic::resource_exhausted: Resource exhausted. [google.rpc.error_details_ext] { message: \"Resource exhausted.\" }"}])), BUSY),
            (429, json!([{"error": {"code": 429, "message": crowded, "errors": [{"message": crowded, "domain": "global", "reason": "rateLimitExceeded"}], "status": "RESOURCE_EXHAUSTED"}}]).to_string(), BUSY),
            (429, json!({"error": {"message": json!({"error": {"code": 429, "message": crowded, "status": "RESOURCE_EXHAUSTED"}}).to_string(), "code": 429, "status": "Too Many Requests"}}).to_string(), BUSY),
            (503, detailed(503, "UNAVAILABLE", "The service is currently unavailable.", &json!([{"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": "[ORIGINAL ERROR] generic::unavailable: [original: throttling::THROTTLED_TASK_LIMIT] Request '/GenerativeService.GenerateContent' from role 'genai-api' throttled: Task is overloaded (cpu-protection)"}])), BUSY),
            google(503, "UNAVAILABLE", "Overloaded prefill queue, preempted by higher priority request", BUSY),
            google(503, "UNAVAILABLE", "This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again later.", BUSY),
            google(503, "UNAVAILABLE", "Visibility check was unavailable. Please retry the request and contact support if the problem persists", BUSY),
            google(503, "UNAVAILABLE", "Policy checks are unavailable.", BUSY),
            (503, "upstream connect error or disconnect/reset before headers. reset reason: connection termination".to_owned(), BUSY),
            google(409, "ABORTED", "The operation was aborted.", AGAIN),
            google(500, "INTERNAL", "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting", AGAIN),
            google(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", AGAIN),
            google(504, "DEADLINE_EXCEEDED", "The request timed out. Please try again.", AGAIN),
            (502, "<!DOCTYPE html><html lang=en><title>Error 502 (Server Error)!!1</title><p>The server encountered a temporary error and could not complete your request.<p>Please try again in 30 seconds.".to_owned(), AGAIN),
            (503, json!({"error": {"code": "service_unavailable", "message": "The service is temporarily unavailable."}}).to_string(), BUSY),
            google(500, "UNKNOWN", "Unknown Error.", AGAIN),
        ],
    );
    for (body, meaning) in [
        (r#"[{"error":{"code":503,"message":"The service is currently unavailable.","status":"UNAVAILABLE"}}]"#, BUSY),
        (r#"{"error":{"code":503,"message":"The service is currently unavailable.","status":"UNAVAILABLE"}}"#, BUSY),
        (
            r#"{"error":{"message":"Deadline expired before operation could complete.","code":"gateway_timeout"},"event_type":"error"}"#,
            AGAIN,
        ),
        (
            r#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}"#,
            UNNAMED,
        ),
        (
            r#"{"error":{"code":429,"message":"Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.","status":"RESOURCE_EXHAUSTED"}}"#,
            BILLING,
        ),
    ] {
        let verdict = answered(&Gemini::new(), 200, &[], body, true);
        assert_eq!(is(&verdict), meaning, "{body}: {verdict:?}");
    }
}

fn open(status: u16, message: &str, kind: &str, code: &str, meaning: Meaning) -> Row {
    (status, said(message, kind, code).to_string(), meaning)
}

#[test]
fn of_openai_azure_and_their_likes() {
    all(
        &OpenAi::new(),
        &[
            open(403, "Your account was flagged for potential abuse. If you feel this is an error, please contact us at help.openai.com.", "access_terminated", "access_terminated", SUSPENDED),
            open(403, "Your account was flagged for potential abuse. If you feel this is an error, please contact us at help.openai.com.", "invalid_request_error", "", SUSPENDED),
            (403, json!({"error": {"code": "Forbidden", "message": "Your resource has been temporarily blocked because we detected behavior that may violate our content policy."}}).to_string(), SUSPENDED),
            open(429, "Your account is not active, please check your billing details on our website.", "billing_not_active", "billing_not_active", MONEY),
            (429, json!({"error": {"message": "Your account is not active, please check your billing details on our website.", "type": null, "param": null, "code": null}}).to_string(), MONEY),
            open(429, "Organization spend limit reached", "insufficient_quota", "organization_spend_limit_exceeded", MONEY),
            open(400, "Organization has been restricted. Please reach out to support if you believe this is a mistake.", "invalid_request_error", "organization_restricted", SUSPENDED),
            (400, json!({"error": {"code": "ServiceModelDeprecating", "message": "The model 'Format:OpenAI,Name:gpt-4o,Version:2024-11-20' is in deprecation."}}).to_string(), NO_SUCH_MODEL),
            (410, json!({"error": {"code": "410", "message": "The model associated with the deployment is deprecated and no longer available."}}).to_string(), NO_SUCH_MODEL),
            (404, json!({"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}}).to_string(), NOT_FOR_ACCOUNT),
            (400, json!({"error": {"code": "OperationNotSupported", "message": "The completion operation does not work with the specified model, gpt-35-turbo. Please choose different model and try again."}}).to_string(), CALLER),
            (403, json!({"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}}).to_string(), BLOCKED),
            (400, json!({"error": {"code": "content_filter", "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "status": 400}}).to_string(), CALLER),
            (429, json!({"error": {"code": "429", "message": "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 6 seconds."}}).to_string(), RATE),
            (429, json!({"error": {"code": "RateLimitReached", "message": "Rate limit of 150 per 86400s exceeded for UserByModelByDay. Please wait 42567 seconds before retrying.", "details": "Rate limit of 150 per 86400s exceeded for UserByModelByDay. Please wait 42567 seconds before retrying."}}).to_string(), RATE),
            open(498, "Flex tier capacity exceeded, please try again later.", "capacity_exceeded", "capacity_exceeded", BUSY),
            open(403, "The model `openai/gpt-oss-120b` is blocked at the organization level. Please have the org admin enable this model.", "permissions_error", "model_permission_blocked_org", NOT_FOR_KEY),
            open(403, "Project `proj_abc` does not have access to model `gpt-4.1-2025-04-14`", "invalid_request_error", "model_not_found", NOT_FOR_KEY),
            open(413, "Request too large for model `llama-3.3-70b-versatile` in organization `org_x` service tier `on_demand` on tokens per minute (TPM): Limit 12000, Requested 14137, please reduce your message size and try again.", "tokens", "rate_limit_exceeded", (K::CallerFault, S::Caller, E::OtherOwner)),
            (404, json!({"object": "error", "message": "The model `mistral-ocr-2411` does not exist for router `ocr`.", "type": "model_not_found", "param": null, "code": "3040"}).to_string(), NOT_FOR_KEY),
            (404, json!({"message": "model 'xyz' not found, make sure the correct model ID was used and that you have access to the model."}).to_string(), NO_SUCH_MODEL),
            (404, json!({"message": "model 'embed-english-v2.0' was removed on April 4, 2026. See https://docs.cohere.com/docs/deprecations"}).to_string(), NO_SUCH_MODEL),
            (400, json!({"message": "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs."}).to_string(), CALLER),
            (422, json!({"message": "unknown field: parameter tool_content is not a valid field."}).to_string(), CALLER),
            (403, json!({"error": {"message": "Request blocked: prompt injection patterns detected", "code": 403}}).to_string(), CALLER),
            (403, json!({"object": "error", "message": "Content blocked by guardrail", "type": "guardrail_error", "param": null, "code": null}).to_string(), CALLER),
            (403, json!({"error": {"message": "Your chosen model requires moderation and your input was flagged", "code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "x", "provider_name": "OpenAI"}}}).to_string(), CALLER),
            (403, json!({"error": {"message": "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys", "code": 403}}).to_string(), SPENT),
            (402, json!({"error": {"message": "You have no quota", "code": "quota_exceeded"}}).to_string(), MONEY),
            (400, json!({"error": {"message": "no endpoints available for this model under your current plan and policies", "code": "no_available_model_endpoints"}}).to_string(), NOT_FOR_KEY),
            (400, json!({"error": {"message": "The requested model is not supported.", "code": "model_not_supported", "param": "model", "type": "invalid_request_error"}}).to_string(), NOT_FOR_KEY),
            (400, json!({"error": {"message": "The requested model is not available for integrator \"opencode\". Verify the correct Copilot-Integration-Id header is being sent.", "code": "model_not_available_for_integrator", "param": "model", "type": "invalid_request_error"}}).to_string(), CALLER),
            (403, "Copilot Pro trials have been temporarily paused. Please upgrade your account or revert to Copilot Free.".to_owned(), KEY_LANE),
            (403, json!({"code": "The caller does not have permission to execute the specified operation", "error": "Your newly created teams doesn't have any credits yet. You can purchase credits on https://console.x.ai/team/00000000-0000-0000-0000-000000000000."}).to_string(), MONEY),
            (403, json!({"code": "The caller does not have permission to execute the specified operation", "error": "Your newly created team doesn't have any credits or licenses yet. You can purchase those on https://console.x.ai/team/00000000-0000-0000-0000-000000000000."}).to_string(), MONEY),
            (403, json!({"code": "personal-team-blocked:spending-limit", "error": "You have run out of credits or need a Grok subscription. Add credits at https://grok.com/?_s=usage or upgrade at https://grok.com/supergrok."}).to_string(), MONEY),
            (403, json!({"code": "permission-denied", "error": "Your team 00000000-0000-0000-0000-000000000000 has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits or raise your spending limit."}).to_string(), MONEY),
            (429, json!("Your team 00000000-0000-0000-0000-000000000000 has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits or raise your spending limit.").to_string(), MONEY),
            (429, json!({"object": "error", "message": "Rate limit exceeded", "type": "rate_limited", "param": null, "code": "1300", "raw_status_code": 429}).to_string(), RATE),
            (429, json!({"object": "error", "message": "Service tier capacity exceeded for this model.", "type": "invalid_request_error", "param": null, "code": null}).to_string(), BUSY),
            (429, json!({"message": "Requests rate limit exceeded"}).to_string(), RATE),
            (401, json!({"detail": "Unauthorized"}).to_string(), KEY),
            (429, json!({"error": "usage limit reached"}).to_string(), QUOTA),
            (403, json!({"status": "failure", "message": "User tester-1 is not authorized to access model acme/grok-4-fast or model does not exist", "error": {"message": "User tester-1 is not authorized to access model acme/grok-4-fast or model does not exist", "type": "AuthorizationError", "code": "403"}}).to_string(), NOT_FOR_KEY),
            (429, json!({"error": {"message": "litellm.RateLimitError: No deployments available for selected model, Try again in 60 seconds. Passed model=principal.", "type": "None", "param": "None", "code": "429"}}).to_string(), BUSY),
            (429, json!({"error": {"message": "litellm.RateLimitError: RateLimitError: MinimaxException - rate limit exceeded", "type": null, "param": null, "code": "429"}}).to_string(), BUSY),
            open(429, "Rate limit reached for gpt-4o in organization org-x on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s. Visit https://platform.openai.com/account/rate-limits to learn more.", "requests", "rate_limit_exceeded", RATE),
            open(404, "The model `gpt-4-32k` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations", "invalid_request_error", "model_not_found", NO_SUCH_MODEL),
            open(400, "The encrypted content gAAA could not be verified. Reason: Encrypted content could not be decrypted or parsed.", "invalid_request_error", "invalid_encrypted_content", WRONG_OWNER),
            (404, json!({"error": {"message": "No response found with id 'resp_123'.", "type": "invalid_request_error", "param": "previous_response_id", "code": null}}).to_string(), WRONG_OWNER),
            (401, json!({"error": {"message": "Your authentication token has been invalidated. Please try signing in again.", "type": "invalid_request_error", "code": "token_invalidated", "param": null}}).to_string(), KEY),
            (403, json!({"status": 403, "title": "Forbidden", "detail": "Authorization failed"}).to_string(), KEY_LANE),
        ],
    );
}

#[test]
fn of_bedrock() {
    let denied = "AccessDeniedException";
    for (status, name, message, meaning) in [
        (
            403,
            denied,
            "Model access is denied due to INVALID_PAYMENT_INSTRUMENT:A valid payment instrument must be provided. Your AWS Marketplace subscription for this model cannot be completed at this time. If you recently fixed this issue, try again after 2 minutes.",
            NOT_FOR_ACCOUNT,
        ),
        (
            403,
            denied,
            "Model access is denied due to IAM user or service role is not authorized to perform the required AWS Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe) to enable access to this model. Refer to the Amazon Bedrock documentation for further details. Your AWS Marketplace subscription for this model cannot be completed at this time. If you recently fixed this issue, try again after 5 minutes.",
            NOT_FOR_ACCOUNT,
        ),
        (403, denied, "You don't have access to the model with the specified model ID.", NOT_FOR_ACCOUNT),
        (
            403,
            denied,
            "User: arn:aws:sts::123456789012:assumed-role/agent-role/x is not authorized to perform: bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:::foundation-model/anthropic.claude-opus-4-6-v1 with an explicit deny in a service control policy: arn:aws:organizations::123456789012:policy/o-x/service_control_policy/p-x",
            KEY_LANE,
        ),
        (403, denied, "Your account is not authorized to invoke this API operation.", KEY_LANE),
        (403, denied, "Authentication failed: Please make sure your API Key is valid.", KEY),
        (403, "UnrecognizedClientException", "The security token included in the request is invalid.", KEY),
        (403, "ExpiredTokenException", "The security token included in the request is expired", KEY),
        (429, "ThrottlingException", "Too many tokens per day, please wait before trying again.", QUOTA),
        (429, "ThrottlingException", "Too many requests, please wait before trying again.", RATE),
        (
            404,
            "ResourceNotFoundException",
            "Model use case details have not been submitted for this account. Fill out the Anthropic use case details form before using the model. If you have already filled out the form, try again in 15 minutes.",
            NOT_FOR_ACCOUNT,
        ),
        (400, "ValidationException", "The provided model identifier is invalid.", CALLER),
        (
            400,
            "ValidationException",
            "Invocation of model ID anthropic.claude-v2 with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
            CALLER,
        ),
        (
            404,
            "ResourceNotFoundException",
            "Could not resolve the foundation model from the provided model identifier.",
            CALLER,
        ),
        (
            400,
            "ValidationException",
            "The parameter textGenerationConfig is deprecated. Remove it and try again.",
            CALLER,
        ),
        (
            400,
            "ValidationException",
            "This model doesn't support the reasoningContent.reasoningText.signature field. Remove reasoningContent.reasoningText.signature and try again.",
            CALLER,
        ),
        (400, "ValidationException", "Input is too long for requested model.", CALLER),
        (
            400,
            "ValidationException",
            "Access to Anthropic models is not allowed from unsupported countries, regions, or territories. Please refer to https://www.anthropic.com/supported-countries for more information on the countries and regions Anthropic currently supports.",
            BLOCKED,
        ),
    ] {
        for provider in [&OpenAi::new() as &dyn Provider, &Anthropic::new()] {
            let body = json!({"message": message}).to_string();
            let verdict = answered(provider, status, &[("x-amzn-errortype", name)], &body, false);
            assert_eq!(is(&verdict), meaning, "{} {status} {message}: {verdict:?}", provider.name());
        }
    }
}

#[test]
fn of_anthropic_and_vertex() {
    let claude = |status: u16, kind: &str, message: &str, meaning: Meaning| {
        (
            status,
            json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_x"}).to_string(),
            meaning,
        )
    };
    all(
        &Anthropic::new(),
        &[
            claude(429, "rate_limit_error", "You have reached your API usage limits: your organization has crossed its monthly spend limit.", MONEY),
            claude(429, "rate_limit_error", "This request would exceed your account's rate limit. Please try again later.", RATE),
            claude(429, "rate_limit_error", "This request would exceed your organization's maximum usage increase rate for input tokens per minute. Please scale up your input tokens usage more gradually to stay within the acceleration limit.", RATE),
            claude(429, "rate_limit_error", "Number of concurrent connections has exceeded your rate limit. Please try again later or contact sales to discuss your options for a rate limit increase.", RATE),
            claude(400, "invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.", MONEY),
            claude(404, "not_found_error", "Claude Fable 5 is not available. Please use Opus 4.8. Learn more: https://www.anthropic.com", NO_SUCH_MODEL),
            claude(403, "permission_error", "Your API key does not have permission to use the specified resource.", KEY_LANE),
            claude(403, "permission_error", "Invalid API Key format: Must start with pre-defined prefix", KEY),
            claude(400, "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block", CALLER),
            claude(400, "invalid_request_error", "messages: at least one message is required", CALLER),
            claude(413, "request_too_large", "Request exceeds the maximum size", CALLER),
            claude(529, "overloaded_error", "Overloaded", BUSY),
            claude(500, "api_error", "Internal server error", AGAIN),
            (429, json!({"error": {"code": 429, "message": "Quota exceeded for aiplatform.googleapis.com/online_prediction_input_tokens_per_minute_per_base_model with base model: anthropic-claude-opus-5. Please submit a quota increase request.", "status": "RESOURCE_EXHAUSTED"}}).to_string(), RATE),
            (400, r#"[{"error":{"code":400,"message":"Project `123456789012` is not allowed to use Publisher Model `projects/my-project/locations/us-east5/publishers/anthropic/models/claude-3-sonnet@20240229`","status":"FAILED_PRECONDITION"}}]"#.to_owned(), NOT_FOR_ACCOUNT),
            (404, json!({"error": {"code": 404, "message": "Publisher Model `projects/my-project/locations/us-east5/publishers/anthropic/models/claude-opus-4-1@20250805` was not found or your project does not have access to it.", "status": "NOT_FOUND"}}).to_string(), NO_SUCH_MODEL),
            (400, json!({"error": {"code": 400, "message": "Organization Policy constraint constraints/vertexai.allowedModels violated for `projects/123456789012` attempting to use a disallowed Gen AI model claude-opus-4-5.", "status": "FAILED_PRECONDITION"}}).to_string(), NOT_FOR_ACCOUNT),
        ],
    );
}

/// For how long what was met is not asked again.
#[test]
fn what_is_told_of_times() {
    let waits = |seconds| U::For(Duration::from_secs(seconds));
    let day = [(
        "predict_long_running_requests_per_model_per_day",
        "PredictLongRunningRequestsPerDayPerProjectPerModel",
        "10",
    )];
    let minute =
        [("predict_long_running_requests_per_model", "PredictLongRunningRequestsPerMinutePerProjectPerModel", "2")];
    for (status, body, until) in [
        (429, exceeded(&day, "12s"), U::DayEnd),
        (429, exceeded(&minute, "24s"), waits(24)),
        (429, exceeded(&minute, ""), U::Backoff),
        (429, google(429, "RESOURCE_EXHAUSTED", "Individual quota reached. Please upgrade your subscription to increase your limits. Resets in 1h27m36s.", QUOTA).1, waits(5_256)),
        (400, google(400, "FAILED_PRECONDITION", "Organization Policy constraint constraints/vertexai.allowedModels violated for `projects/1`.", CALLER).1, U::Backoff),
        (403, google(403, "PERMISSION_DENIED", "Lightning dunning decision is deny for project: projects/1", SUSPENDED).1, U::Probed(Duration::from_secs(3_600))),
        (400, google(400, "FAILED_PRECONDITION", "Service agents are being provisioned.", WRONG_OWNER).1, U::Now),
    ] {
        let verdict = judge(&Gemini::new(), status, &body);
        assert_eq!(verdict.until_of(), until, "{body}: {verdict:?}");
    }
    let models = json!({"error": {"code": "RateLimitReached", "message": "Rate limit of 150 per 86400s exceeded for UserByModelByDay. Please wait 42567 seconds before retrying."}}).to_string();
    assert_eq!(judge(&OpenAi::new(), 429, &models).until_of(), waits(42_567));
}

/// Google's compatible paths err in a list or without one, and proxies of others hand on what it said.
#[test]
fn of_googles_compatible_paths() {
    let day = exceeded(
        &[("generate_content_free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "20")],
        "44s",
    );
    let zero = exceeded(
        &[("generate_content_free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "0")],
        "44s",
    );
    let google = |code, status, message, meaning| google(code, status, message, meaning);
    let google_at = OpenAi::at("https://generativelanguage.googleapis.com/v1beta/openai").unwrap();
    for provider in [&google_at as &dyn Provider, &OpenAi::new(), &Gemini::new()] {
        all(
            provider,
            &[
                (429, format!("[{day}]"), QUOTA),
                (429, day.clone(), QUOTA),
                (429, format!("[{zero}\n]"), NOT_FOR_ACCOUNT),
                (
                    400,
                    format!(
                        "[{}]",
                        detailed(
                            400,
                            "INVALID_ARGUMENT",
                            "API key not valid. Please pass a valid API key.",
                            &json!([reason("API_KEY_INVALID", "generativelanguage.googleapis.com")])
                        )
                    ),
                    KEY,
                ),
                google(403, "PERMISSION_DENIED", "Invalid API key.", KEY),
                google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", UNNAMED),
                google(400, "INVALID_ARGUMENT", "Please use a valid role: user, model.", CALLER),
                google(400, "INVALID_ARGUMENT", "Unhandled generated data mime type: text/x-python", CALLER),
                google(500, "INTERNAL", "Internal error encountered.", AGAIN),
                google(503, "UNAVAILABLE", "The model is overloaded. Please try again later.", BUSY),
                google(
                    404,
                    "NOT_FOUND",
                    "models/gpt-4o is not found for API version v1main, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods.",
                    NO_SUCH_MODEL,
                ),
                google(
                    429,
                    "RESOURCE_EXHAUSTED",
                    "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.",
                    BILLING,
                ),
                google(
                    403,
                    "PERMISSION_DENIED",
                    "Your project has been denied access. Please contact support.",
                    SUSPENDED,
                ),
                google(
                    429,
                    "RESOURCE_EXHAUSTED",
                    "Veo must be accessed through the Vertex PredictLongRunning API.",
                    CALLER,
                ),
            ],
        );
    }
    let text = "429 Quota exceeded: requests per day limit reached.";
    assert_eq!(is(&judge(&Gemini::new(), 429, text)), QUOTA);
}

#[test]
fn of_hosts_and_routers() {
    all(
        &OpenAi::new(),
        &[
            (403, json!({"error": {"message": "Key limit exceeded (daily limit). Manage it using https://openrouter.ai/settings/keys", "code": 403}}).to_string(), SPENT),
            (403, json!({"error": {"message": "The requested model 'claude-sonnet-5-5' is not available for this API key, or the model name is invalid. Check the models available to you and try again.", "type": "team_model_access_denied", "param": "model", "code": "403"}}).to_string(), NOT_FOR_KEY),
            (429, json!({"error": {"message": "Your account org-x is suspended due to insufficient balance, please recharge your account or check your plan and billing details", "type": "exceeded_current_quota_error"}}).to_string(), MONEY),
            (401, json!({"error": {"message": "You exceeded your current quota, please check your plan and billing details. For more information, visit https://www.perplexity.ai/settings/api.", "type": "insufficient_quota", "code": 401}}).to_string(), MONEY),
            (401, json!({"error": {"code": "", "message": "无效的令牌 (request id: 20260405121035)", "type": "new_api_error"}}).to_string(), KEY),
            (401, json!({"error": {"message": "Missing Authentication header", "code": 401}}).to_string(), KEY),
            (402, json!({"message": "Payment required to access this resource. Visit your billing tab.", "type": "payment_required_error", "param": "quota", "code": "payment_required"}).to_string(), MONEY),
            (402, json!({"data": null, "success": false, "error_code": 4301, "message": "insufficient_credits"}).to_string(), MONEY),
            (400, json!({"error": {"message": "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.", "type": "invalid_request_error", "code": "tool_use_failed", "failed_generation": "<function=x>"}}).to_string(), CALLER),
            open(400, "'response_format.type' : value is not one of the allowed values ['text','json_object']", "invalid_request_error", "", CALLER),
            open(400, "Function tools with reasoning_effort are not supported for gpt-6-luna in /v1/chat/completions. To use function tools, use /v1/responses.", "invalid_request_error", "", CALLER),
            open(400, "Invalid schema for response_format 'x': In context=('properties', 'points', 'items'), array schema missing items.", "invalid_request_error", "invalid_json_schema", CALLER),
            open(400, "registry.ollama.ai/library/llama3:latest does not support tools", "api_error", "", CALLER),
            open(400, "The reasoning_content in the thinking mode must be passed back to the API.", "invalid_request_error", "invalid_request_error", CALLER),
            (503, json!({"error": {"message": "Service unavailable: rate limit reached"}}).to_string(), BUSY),
            (503, json!({"error": {"message": "Service is too busy. We recommend users to temporarily switch to alternative LLM API service providers.", "type": "service_unavailable_error", "param": null, "code": "service_unavailable_error"}}).to_string(), BUSY),
            (401, json!({"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."}}).to_string(), KEY),
            (403, json!({"message": "Resource not accessible by personal access token", "documentation_url": "https://docs.github.com/rest", "status": "403"}).to_string(), KEY_LANE),
            (401, json!({"error": {"code": "unauthorized", "message": "Bad credentials", "details": "Bad credentials"}}).to_string(), KEY),
            (413, json!({"error": {"code": "tokens_limit_reached", "message": "Request body too large for gpt-4o model. Max size: 8000 tokens.", "details": "Request body too large for gpt-4o model. Max size: 8000 tokens."}}).to_string(), CALLER),
            (404, json!({"code": "Some requested entity was not found", "error": "The model grok-beta was deprecated on 2025-09-15 and is no longer accessible via the API. Please use grok-3 instead."}).to_string(), NO_SUCH_MODEL),
            (404, json!({"code": "Some requested entity was not found", "error": "The model grok-9 does not exist or your team 00000000-0000-0000-0000-000000000000 does not have access to it. Please ensure you're using the correct API key. If you believe this is a mistake, please file a support ticket."}).to_string(), NOT_FOR_KEY),
            (401, json!({"message": "Unauthorized", "request_id": "x"}).to_string(), KEY),
            (404, json!({"message": "Model llama-9 does not exist or you do not have access to it.", "type": "not_found_error", "param": "model", "code": "model_not_found"}).to_string(), NOT_FOR_KEY),
            (404, json!({"error": {"message": "No endpoints found that support tool use. To learn more about provider routing, visit: https://openrouter.ai/docs/provider-routing", "code": 404}}).to_string(), NO_SUCH_MODEL),
            (408, json!({"error": {"message": "Request timed out", "code": 408}}).to_string(), AGAIN),
            (502, json!({"error": {"message": "Provider returned error", "code": 502, "metadata": {"raw": "error code: 502", "provider_name": "x"}}}).to_string(), AGAIN),
            (200, json!({"error": {"message": "Rate limit exceeded: free-models-per-min. ", "code": 429, "metadata": {"headers": {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0"}}}}).to_string(), RATE),
            (200, json!({"error": {"message": "Insufficient credits. Add more using https://openrouter.ai/settings/credits", "code": 402}}).to_string(), MONEY),
            open(429, "You have no credits remaining. Add credits to continue using the API at https://platform.openai.com/settings/organization/billing/.", "insufficient_quota", "credit_balance_exhausted", MONEY),
        ],
    );
    for (body, meaning) in [
        (
            r#"{"type":"error","error":{"code":"rate_limit_exceeded","type":"rate_limit_error","message":"Retry later"}}"#,
            RATE,
        ),
        (r#"{"error":{"type":"rate_limit_error","message":"quota exceeded"}}"#, RATE),
        (
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"An error occurred while processing your request."}}}"#,
            AGAIN,
        ),
        (
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"insufficient_quota","message":"You exceeded your current quota, please check your plan and billing details."}}}"#,
            MONEY,
        ),
        (r#"{"error":{"message":"Internal server error","type":"internal_server_error","code":500}}"#, AGAIN),
        (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, BUSY),
    ] {
        let verdict = answered(&OpenAi::new(), 200, &[], body, true);
        assert_eq!(is(&verdict), meaning, "{body}: {verdict:?}");
    }
    let claude = |status: u16, kind: &str, message: &str, meaning| {
        (status, json!({"type": "error", "error": {"type": kind, "message": message}}).to_string(), meaning)
    };
    all(
        &Anthropic::new(),
        &[
            claude(
                429,
                "rate_limit_error",
                "Number of request tokens has exceeded your per-minute rate limit (https://docs.anthropic.com/claude/reference/rate-limits); see the response headers for current usage.",
                RATE,
            ),
            claude(403, "permission_error", "API key is disabled", KEY),
            claude(402, "billing_error", "Your organization is out of credits.", MONEY),
            claude(400, "billing_error", "credit balance is too low", MONEY),
            claude(429, "billing_error", "Your credit balance is too low to access the Anthropic API", MONEY),
            claude(403, "permission_error", "This model isn't on your plan", NOT_FOR_KEY),
            claude(
                403,
                "permission_error",
                "OAuth authentication is currently not allowed for this organization.",
                KEY,
            ),
            claude(401, "authentication_error", "invalid x-api-key", KEY),
            claude(200, "overloaded_error", "Overloaded", BUSY),
            claude(
                200,
                "rate_limit_error",
                "This request would exceed your account's rate limit. Please try again later.",
                RATE,
            ),
            claude(200, "api_error", "Internal server error", AGAIN),
        ],
    );
}

/// How a wait and a quota are written, and where an error stands that is told late.
#[test]
fn of_forms() {
    let minute = ("generate_content_free_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "10");
    let with = |delay: Value| {
        let details =
            json!([violations(&[minute]), {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]);
        detailed(429, "RESOURCE_EXHAUSTED", EXCEEDED, &details)
    };
    let metric = |rest: &str| {
        let message = format!("{EXCEEDED}\n* Quota exceeded for metric: generativelanguage.googleapis.com/{rest}");
        json!({"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}}).to_string()
    };
    let waits = |seconds| U::For(Duration::from_secs(seconds));
    for (body, meaning, until) in [
        (with(json!("44s")), RATE, waits(44)),
        (with(json!("0s")), RATE, waits(1)),
        (with(json!({"seconds": "44", "nanos": 5})), RATE, waits(44)),
        (with(json!({"seconds": 44})), RATE, waits(44)),
        (with(json!(44)), RATE, waits(44)),
        (with(Value::Null), RATE, U::Backoff),
        (metric("generate_content_free_tier_requests, limit: 20, model: gemini-3.8-flash\nPlease retry in 21h3m12s."), QUOTA, waits(75_792)),
        (metric("predict_requests_per_model_per_day, limit: 0, model: imagen-4.0"), NOT_FOR_ACCOUNT, waits(86_400)),
        (metric("predict_long_running_requests_per_model_per_day, limit: 10, model: veo-3.0\nPlease retry in 12.5s."), QUOTA, U::DayEnd),
        (json!({"error": {"code": 429, "message": "Online prediction request quota exceeded for llama3-405b-instruct-maas. Please try again later with backoff.", "status": "RESOURCE_EXHAUSTED"}}).to_string(), RATE, U::Backoff),
        (json!({"error": {"code": 429, "message": EXCEEDED, "status": "RESOURCE_EXHAUSTED", "details": null}}).to_string(), UNNAMED, U::Backoff),
        (json!({"error": {"code": 429, "message": EXCEEDED, "status": "RESOURCE_EXHAUSTED", "details": [violations(&[minute]), violations(&[("generate_content_free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "20")])]}}).to_string(), QUOTA, U::DayEnd),
        (json!({"error": {"code": 429, "message": "Rate Limit Exceeded", "errors": [{"message": "Rate Limit Exceeded", "domain": "usageLimits", "reason": "rateLimitExceeded"}]}}).to_string(), RATE, U::Backoff),
        (json!({"error": {"code": 429, "message": "Daily Limit Exceeded", "errors": [{"message": "Daily Limit Exceeded", "domain": "usageLimits", "reason": "dailyLimitExceeded"}]}}).to_string(), QUOTA, U::DayEnd),
    ] {
        let verdict = judge(&Gemini::new(), 429, &body);
        assert_eq!((is(&verdict), verdict.until_of()), (meaning, until), "{body}: {verdict:?}");
    }
    for (body, meaning) in [
        (
            "data: {\"error\":{\"code\":503,\"message\":\"The model is overloaded. Please try again later.\",\"status\":\"UNAVAILABLE\"}}\n\n",
            BUSY,
        ),
        (
            "event: error\ndata: {\"error\":{\"code\":500,\"message\":\"Internal error encountered.\",\"status\":\"INTERNAL\"}}\n\n",
            AGAIN,
        ),
        (
            ",\r\n{\"error\":{\"code\":503,\"message\":\"The model is overloaded. Please try again later.\",\"status\":\"UNAVAILABLE\"}}\n]",
            BUSY,
        ),
        (
            "{\"error\":{\"code\":403,\"message\":\"Your API key was reported as leaked. Please use another API key.\",\"status\":\"PERMISSION_DENIED\"}}",
            KEY,
        ),
        (
            "{\"candidates\":[],\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"}}",
            (K::Success, S::Caller, E::No),
        ),
    ] {
        let verdict = answered(&Gemini::new(), 200, &[], body, true);
        assert_eq!(is(&verdict), meaning, "{body}: {verdict:?}");
    }
}
