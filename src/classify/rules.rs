//! The table of classification rules. The first matching row determines the class of an error.

use std::{sync::LazyLock, time::Duration};

use super::{
    ErrorClass, Rule, Scope,
    error_body::{BESIDE_MODEL, HTML, LIMIT_ZERO, NO_OWN_LIMIT, PER_DAY},
};

/// The rules for all providers. A row may be restricted to one provider.
pub(super) static TABLE: LazyLock<Vec<Rule>> = LazyLock::new(table);

const HOUR: Duration = Duration::from_secs(3_600);
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// Builds the table in three parts: rows for any vendor that must come first, rows by vendor, and the other rows for any
/// vendor. Specific rows come first, rows for only a status last. Most rows name no provider, because other vendors use
/// the formats of Google, OpenAI and Anthropic.
#[rustfmt::skip]
fn table() -> Vec<Rule> {
    use ErrorClass::{Billing, Caller, DailyQuota, Egress, KeyRejected, ModelNotFound, NotEntitled, RateLimit, Transient, Unclear};
    use Scope::{BillingAccount, Key, KeyModel, Project, ProjectModel, Request};
    let on = Rule::new;
    vec![
        // === Any vendor: errors that a row below would take for something else ===

        // Routers and proxies: their provider refused the router's key, or is overloaded.
        on(Transient).statuses([401, 402, 429]).messages(["provider returned error", "error from provider"]),
        on(Transient).status(403).messages(["provider returned error", "error from provider"]).scope(Request),
        on(Transient).statuses([401, 402, 403]).messages(["litellm.authenticationerror", "litellm.permissiondeniederror", "no fallback model group found"]),
        on(Transient).statuses([401, 402, 403]).code("bad_response_status_code").scope(Request),
        on(Transient).statuses([401, 403]).messages(["database query error", "数据库查询出错", "upstream authentication failed", "upstream access forbidden"]),
        on(RateLimit).status(429).code("model_cooldown"),
        on(Transient).status(429).code("upstream_provider_shared_pool"),
        on(Transient).status(429).messages(["temporarily rate-limited upstream", "worker local total request limit", "负载已饱和", "load is saturated"]),

        // A limit of one day or one key, not the spend limit of the project.
        on(DailyQuota).status(429).code("REQUEST_LIMIT_EXCEEDED").message("daily spend limit").scope(Project),
        on(Billing).statuses([401, 402, 403]).messages(["key limit exceeded", "spend limit reached for this api key"]).scope(Key),

        // The message quotes the request, in which the caller may have written anything.
        on(NotEntitled).status(400).message("organization must be verified").scope(Request),
        on(Caller).status(400).messages(["invalid json payload", "not in an active state", "mcp server", "function name", "string should"]).needs_status(),
        on(Caller).statuses([400, 403]).messages(["extra inputs are not permitted", "content violates usage guidelines", "tool output", "not found in request.tools"]).needs_status(),
        on(ModelNotFound).status(400).messages(["is not a valid model id", "invalid model name passed in"]),
        on(Caller).status(400).messages(["function_declarations", "properties[", "json schema is invalid", "unrecognized request argument", "unsupported mime type", "voice name"]).needs_status(),
        on(Caller).status(400).codes(["invalid_function_parameters", "unknown_parameter", "unsupported_parameter", "missing_required_parameter"]),
        on(Caller).status(400).codes(["invalid_value", "invalid_type", "tool_use_failed", "json_validate_failed", "sensitive_words_detected"]),
        on(Caller).status(400).codes(["invalid_image*", "invalid_base64_image", "image_too_*", "image_file_*", "image_parse_error", "image_content_policy*"]),
        on(Caller).status(400).codes(["unsupported_image*", "empty_image_file", "failed_to_download_image", "image_generation_user_error", "moderation_blocked"]),

        // The request had no key, or two. A sentence that leaves open whether the key is missing or wrong means that it is
        // wrong, since every request has one.
        on(KeyRejected).statuses([400, 401, 403]).message("invalid or missing api key"),
        on(KeyRejected).statuses([401, 403]).messages(["valid api key is required", "invalid api key or", "api key is missing or invalid"]),
        on(KeyRejected).statuses([401, 403]).messages(["token is missing or invalid", "header is missing or invalid", "header is missing or malformed", "invalid or missing auth", "invalid or missing bearer"]),
        on(Caller).statuses([400, 401]).message("multiple authentication credentials"),
        on(Caller).statuses([400, 401, 403]).codes(["OVERLOADED_CREDENTIALS", "CREDENTIALS_MISSING", "API_KEY_MISSING", "API_KEY_REQUIRED"]),
        on(Caller).statuses([401, 403]).messages(["api keys are not supported", "unregistered callers", "request is missing a valid api key"]),
        on(Caller).statuses([401, 403]).messages(["request is missing required authentication", "didn't provide an api key", "no api key provided"]),
        on(Caller).statuses([401, 403]).messages(["api key required", "api key is required", "api key is missing", "missing api key", "no api key"]),
        on(Caller).statuses([401, 403]).messages(["missing bearer", "missing subscription key", "header is required", "cors requests", "missing authorization header", "header of type"]),
        on(Caller).statuses([401, 403]).messages(["missing authentication", "header is missing", "token not provided", "no key provided"]),

        // === One vendor ===

        // Google: the key.
        on(KeyRejected).codes(["API_KEY_INVALID", "keyInvalid", "keyExpired"]).confirm(),
        on(KeyRejected).provider("gemini").status(401).codes(["authentication", "ACCESS_TOKEN_TYPE_UNSUPPORTED", "ACCESS_TOKEN_EXPIRED"]).confirm(),
        on(KeyRejected).statuses([400, 401, 403]).messages(["reported as leaked", "key has been leaked", "key was leaked"]),
        on(KeyRejected).provider("gemini").statuses([400, 401, 403]).messages(["api key not valid", "api key is not valid", "api key is invalid"]).confirm(),
        on(KeyRejected).provider("gemini").statuses([400, 401, 403]).messages(["api key not found", "api key expired", "api key has expired", "pass a valid api key", "renew the api key", "invalid api key"]).confirm(),
        on(KeyRejected).codes(["API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED", "ipRefererBlocked"]),
        on(KeyRejected).codes(["API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED", "ACCOUNT_STATE_INVALID"]),
        on(KeyRejected).status(403).messages(["requests from referer", "has an ip address restriction", "requests to this api", "client application"]),
        on(KeyRejected).codes(["CONSUMER_SUSPENDED", "GCP_SUSPENDED", "CONSUMER_INVALID", "USER_PROJECT_DENIED", "TOS_VIOLATION"]).scope(Project),
        on(KeyRejected).code("PUP_LIMITED_DISABLED").scope(Project).confirm(),
        // Google: money.
        on(Billing).statuses([402, 403, 429]).messages(["prepayment credit", "prepaid credit", "prepay credit", "prepay balance", "prepaid balance"]).scope(BillingAccount),
        on(Billing).statuses([402, 403, 429]).messages(["billing account has exceeded", "billing account has reached"]).scope(BillingAccount),
        on(Billing).statuses([402, 403, 429]).messages(["monthly spending cap", "spend cap", "monthly spending limit", "spend limit"]),
        on(NotEntitled).status(403).code("SERVICE_DISABLED").messages(["places api", "discovery engine", "vertex ai search", "cloud storage"]).scope(Request),
        on(NotEntitled).status(403).code("SERVICE_DISABLED").messages(["bigquery", "google maps", "maps grounding", "custom search", "google drive"]).scope(Request),
        on(Billing).provider("gemini").status(403).code("SUBSCRIPTION_REQUIRED"),
        on(Billing).codes(["BILLING_DISABLED", "SERVICE_DISABLED", "SERVICE_NOT_VISIBLE", "accessNotConfigured", "VALIDATION_REQUIRED"]),
        on(Billing).status(403).messages(["has not been used in project", "requires billing", "billing to be enabled", "dunning decision", "billing account for the owning project"]),
        on(Billing).status(400).code("FAILED_PRECONDITION").messages(["enable billing", "billing account", "billing to be enabled", "free tier is not available"]),
        on(Billing).statuses([400, 403]).messages(["billing is not enabled", "billing is disabled", "please enable billing", "without a billing account"]),
        on(Billing).provider("gemini").status(402).message("pay").scope(BillingAccount).needs_status(),
        on(NotEntitled).statuses([400, 403]).message("only accessible to billed users"),
        on(RateLimit).status(429).messages(["spend-based rate limit", "spend based rate limit"]).scope(Project).cooldown(TEN_MINUTES),
        on(KeyRejected).status(403).messages(["project has been denied access", "disabled in this account for violation", "denied on resource project"]).scope(Project),
        // Google: the sender's address.
        on(Egress).statuses([400, 403]).messages(["user location is not supported", "location is not supported for the api"]),
        // Firewalls refuse an address, or words of the request.
        on(Unclear).status(403).code(HTML).message("malformed data").scope(Request),
        on(Egress).statuses([301, 302, 303, 307]).code(HTML),
        on(Egress).status(407),
        on(Egress).statuses([403, 429, 503]).message("sending automated queries"),
        on(Egress).statuses([403, 405, 429, 503]).code(HTML).messages(["automated queries", "unusual traffic", "captcha", "errors.aliyun.com"]),
        on(Egress).statuses([403, 405, 429, 503]).code(HTML).messages(["just a moment", "attention required", "enable javascript", "checking your browser"]),
        on(Egress).status(403).code(HTML).messages(["you have been blocked", "your client does not have permission", "restrict access"]),
        on(Egress).status(403).code(HTML).scope(Request),
        on(Egress).status(429).code(HTML).message("cloudflare"),
        // Google: quotas.
        on(RateLimit).status(429).code(BESIDE_MODEL).scope(Request),
        on(RateLimit).status(429).messages(["cachedcontentstorage", "storage limit", "file storage quota"]).scope(Request),
        on(Transient).statuses([429, 503]).codes(["MODEL_CAPACITY_EXHAUSTED", "servingLimitExceeded"]),
        on(Transient).statuses([429, 503]).messages(["no capacity available", "out of capacity", "error-code-429"]),
        on(NotEntitled).statuses([403, 429]).code(LIMIT_ZERO),
        on(NotEntitled).status(429).messages(["doesn't have a free quota tier", "limit 0, used 0"]),
        on(RateLimit).status(429).code("QuotaExceeded").message("request has exceeded the quota"),
        on(DailyQuota).statuses([403, 429]).codes(["QUOTA_EXHAUSTED", "dailyLimitExceeded", "quotaExceeded", "coding_plan_*", PER_DAY]),
        on(DailyQuota).provider("gemini").statuses([403, 429]).codes(["quota_exceeded", "RESOURCE_QUOTA_EXCEEDED"]),
        on(DailyQuota).provider("gemini").status(429).messages(["per day", "per_day", "perday", "daily quota", "daily limit"]),
        on(RateLimit).status(403).codes(["rateLimitExceeded", "userRateLimitExceeded", "concurrentLimitExceeded", "RATE_LIMIT_EXCEEDED"]),
        // Google: resources and models.
        on(Caller).provider("gemini").statuses([403, 404]).messages(["you do not have permission to access", "permission denied on resource", "cachedcontent not found"]),
        on(NotEntitled).status(404).message("no longer available to new users"),
        on(NotEntitled).status(400).messages(["is not allowed to use publisher model", "organization policy constraint"]),
        on(NotEntitled).statuses([400, 404]).messages(["have access to it", "has access to it", "not have access to the model"]),
        on(NotEntitled).status(404).messages(["model '' or permission denied", "not found for account"]),
        on(ModelNotFound).status(404).messages(["is not found for api version", "publisher model", "model is no longer available"]),
        on(ModelNotFound).status(400).messages(["is not servable in region", "not available in your country"]),
        on(Caller).status(409).code("ALREADY_EXISTS"),

        // OpenAI.
        on(Egress).code("unsupported_country_region_territory"),
        on(Caller).codes(["mismatched_organization", "mismatched_project", "invalid_organization", "external_connector_error"]),
        on(KeyRejected).codes(["account_deactivated", "organization_deactivated", "organization_restricted", "access_terminated", "not_authorized_invalid_project", "ip_not_authorized"]).scope(Project),
        on(KeyRejected).codes(["invalid_api_key", "InvalidApiKey", "incorrect_api_key*", "wrong_api_key", "expired_api_key", "revoked_api_key"]),
        on(KeyRejected).codes(["api_key_expired", "expired_key", "invalid_issuer", "token_expired", "token_invalidated", "token_revoked", "no_organization", "app_session_terminated"]),
        on(DailyQuota).status(429).messages(["free-models-per-day", "free_tier_daily", "daily rate limit", "daily request limit"]),
        on(RateLimit).status(429).messages(["litellm.ratelimiterror", "rate limit reached for"]),
        on(RateLimit).status(429).code("insufficient_quota").messages(["#token-limit", "allocated quota exceeded, please increase", "requests are being throttled"]),
        on(Billing).codes(["insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error", "*spend_limit*"]),
        on(Billing).codes(["credit_balance_exhausted", "organization_usage_limit_exceeded", "deactivated_workspace", "blocked_api_access", "terminal_quota_exhausted"]),
        on(Billing).statuses([402, 403, 429]).message("insufficient_quota"),
        on(Caller).statuses([413, 429]).message("request too large"),
        on(Caller).codes(["context_length_exceeded", "content_policy_violation", "content_filter", "invalid_prompt", "*cyber_policy", "bio_policy"]),
        on(NotEntitled).statuses([401, 403]).codes(["model_not_found", "no_access"]).needs_status(),
        on(NotEntitled).status(503).code("model_not_found").scope(KeyModel).cooldown(TEN_MINUTES),
        on(NotEntitled).statuses([403, 404]).messages(["organization must be verified", "complete organization verification"]),
        on(ModelNotFound).statuses([400, 404]).codes(["model_not_found", "ModelNotFound", "model_not_supported", "DeploymentNotFound"]),
        on(RateLimit).status(429).code("rate_limit_exceeded"),
        on(Transient).statuses([403, 429]).codes(["server_error", "internal_server_error", "server_is_overloaded", "slow_down", "upstream_unavailable"]),

        // Zhipu and MiniMax, by numeric code; their paths in the style of Anthropic use the same codes.
        on(Billing).statuses([402, 429]).codes(["1113", "1309", "1008"]),
        on(DailyQuota).status(429).codes(["1304", "1308", "1310", "2056"]),
        on(Transient).statuses([401, 429]).codes(["1120", "1305", "1312"]),
        on(RateLimit).status(429).codes(["1302", "1303", "1002", "1039", "1041", "2045"]),
        on(NotEntitled).statuses([403, 429]).codes(["1311", "2061"]),
        on(NotEntitled).status(403).code("2038").scope(Request),
        on(KeyRejected).statuses([401, 403]).codes(["1110", "1111", "1112", "1121"]).scope(Project),
        // In MiniMax's responses with status 200, 1000 is an unknown error, and 1002 a rate limit.
        on(KeyRejected).status(401).codes(["1000", "1001", "1002", "1003"]).needs_status(),
        on(KeyRejected).status(401).codes(["1004", "2049"]),
        on(ModelNotFound).statuses([400, 404]).code("1211"),
        on(Caller).status(400).codes(["1210", "1213", "1214", "1261", "1301", "1026", "1027", "2013", "1042", "1043", "1044", "2037", "2039", "2042", "2048"]),

        // Anthropic.
        on(KeyRejected).statuses([401, 403]).code("authentication_error"),
        on(KeyRejected).statuses([401, 403]).messages(["token has been revoked", "token has been invalidated", "token has expired"]),
        on(KeyRejected).statuses([401, 403]).messages(["no longer a member of the organization", "oauth authentication is currently not allowed"]),
        on(KeyRejected).statuses([400, 401, 403]).message("organization has been disabled").scope(Project),
        on(Billing).statuses([400, 401, 403, 429]).messages(["credit balance is too low", "out of extra usage", "draw from your extra usage", "usage blocked until"]),
        on(Billing).statuses([400, 403, 429]).messages(["your specified api usage limits", "workspace api usage limits", "your api usage limits", "reached its api usage limits"]),
        on(Billing).codes(["organization_on_hold", "linked_organization_*"]),
        on(Billing).provider("anthropic").status(402),
        on(Egress).status(403).code("forbidden").message("request not allowed"),
        on(Egress).statuses([400, 403]).message("not allowed from unsupported"),
        on(DailyQuota).statuses([403, 429]).messages(["weekly usage limit", "weekly limit", "5-hour usage limit", "5-hour limit", "(7-day)"]),
        on(RateLimit).status(403).message("quota will be replenished"),
        on(DailyQuota).status(403).messages(["reached your usage limit", "monthly usage limit", "out of call volume quota"]),
        on(KeyRejected).statuses([401, 403]).code("access_terminated_error").scope(Project),
        on(Transient).statuses([429, 529]).codes(["overloaded_error", NO_OWN_LIMIT]),
        on(NotEntitled).status(429).message("extra usage is required").scope(Request),
        on(NotEntitled).status(400).messages(["only authorized for use with", "not yet available for this subscription"]).scope(Request),
        on(Transient).status(429).code("rate_limit_error").message("overloaded"),
        on(RateLimit).status(429).codes(["rate_limit_error", "ramp_limit_exceeded"]),
        on(ModelNotFound).status(404).code("not_found_error").messages(["model:", "is not available"]),

        // Azure and GitHub Models.
        on(KeyRejected).status(401).message("invalid subscription key"),
        on(Egress).status(403).messages(["virtual network/firewall", "public access is disabled", "approved private endpoint"]),
        on(DailyQuota).status(429).message("userbymodelbyday"),

        // OpenRouter.
        on(Billing).status(402).messages(["fewer max_tokens", "prompt tokens limit exceeded", "token capacity required"]).scope(Request),
        on(RateLimit).status(402).messages(["current in-flight requests", "in_flight_budget"]).scope(Project),
        on(NotEntitled).status(404).messages(["matching your data policy", "guardrail restrictions"]),
        on(NotEntitled).status(404).message("providers have been ignored").scope(Request),
        on(ModelNotFound).statuses([400, 404]).messages(["no endpoints found", "no model found for", "unavailable for free", "not a valid model id", "no allowed providers"]),

        // Amazon Bedrock.
        on(DailyQuota).statuses([400, 429]).message("too many tokens per day"),
        on(RateLimit).status(400).code("REQUEST_LIMIT_EXCEEDED"),
        on(RateLimit).statuses([400, 429]).codes(["ThrottlingException", "ServiceQuotaExceededException", "LimitExceededException"]),
        on(Transient).statuses([424, 429]).codes(["ModelErrorException", "ModelStreamErrorException", "ModelNotReadyException"]),
        on(NotEntitled).statuses([403, 404]).code("AccessDeniedException").messages(["access to the model", "model access is denied"]),
        on(NotEntitled).status(400).code("ValidationException").messages(["operation not allowed", "not authorized to invoke this api operation"]),
        on(NotEntitled).statuses([403, 404]).messages(["use case details have not been submitted", "not available for this account"]),
        on(KeyRejected).codes(["ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"]),
        on(KeyRejected).statuses([401, 403]).message("security token included in the request"),

        // Alibaba's DashScope and Volcengine's Ark.
        on(Billing).status(429).messages(["week allocated quota", "month allocated quota"]),
        on(RateLimit).statuses([400, 403, 429]).codes(["Throttling*", "limit_requests", "limit_burst_rate", "RequestBurstTooFast"]),
        on(Billing).codes(["Arrearage", "*overdue*", "CommodityNotPurchased", "InvalidSubscription", "*ResourcePackExhausted", "*ServiceNotActivated"]),
        on(Billing).code("AllocationQuota.FreeTierOnly").scope(ProjectModel),
        on(NotEntitled).status(403).code("OperationDenied.FileQuotaExceeded").scope(Request),
        on(DailyQuota).status(429).codes(["AccountQuotaExceeded", "SetLimitExceeded", "FreeUsageLimitError", "*free-usage-exhausted"]),
        on(KeyRejected).status(401).code("AuthenticationError"),
        on(NotEntitled).codes(["InvalidEndpointOrModel.*", "ModelNotOpen", "OperationDenied.ServiceNotOpen"]),
        on(Caller).status(403).code("OperationDenied.*"),
        on(Caller).status(403).messages(["synchronous calls", "policy expired", "api you are accessing is not open", "get other user info"]),

        // Chinese relays: daily quota, no money, unknown token, banned, no access to the model, unknown model.
        on(DailyQuota).statuses([403, 429]).messages(["每日", "每天", "今日", "明天"]),
        on(Billing).statuses([400, 401, 402, 403, 429]).messages(["余额不足", "额度不足", "额度已用", "欠费", "请充值后", "余额已用尽"]),
        on(Caller).status(401).messages(["未收到authorization", "未提供令牌"]),
        on(KeyRejected).statuses([401, 403]).messages(["无效的令牌", "令牌已过期", "令牌已被禁用", "令牌状态不可用"]),
        on(KeyRejected).statuses([401, 403]).message("已被封禁").scope(Project),
        on(NotEntitled).status(403).messages(["无权访问", "无权使用"]).scope(KeyModel),
        on(ModelNotFound).statuses([400, 404, 410]).messages(["模型不存在", "模型已下线"]),
        on(NotEntitled).status(500).message("token plan not support model").scope(KeyModel),

        // === Any vendor, if no row above matches ===

        // Networks in front of an API.
        on(Egress).statuses([403, 429]).messages(["error code: 10", "error 10", "unusual traffic"]).needs_status(),
        on(Egress).status(403).message("check your network settings"),
        on(Egress).statuses([403, 429]).codes(["browser_signature*", "ip_banned", "country_banned"]),

        // Others, by code.
        on(KeyRejected).codes(["token_not_found_in_db", "invalid_jwt", "bad_credentials", "SUBSCRIPTION_TOKEN_INVALID", "invalid_access_key"]),
        on(KeyRejected).codes(["110", "111"]).messages(["access token invalid", "access token expired"]),
        on(KeyRejected).statuses([401, 403]).codes(["*InvalidApiKey", "INVALID_AUTH", "WrongCredentialsError", "authentication_token_expired", "invalid_iam_token"]),
        on(KeyRejected).statuses([401, 403]).codes(["AuthenticationTypeDisabled", "invalid-key", "invalid_authentication_error", "key_revoked*", "account_suspended"]),
        on(Billing).codes(["insufficient_balance", "balance_insufficient", "insufficient_user_quota", "insufficient_credit*", "insufficient_fund*", "exceeded_current_quota_error"]),
        on(NotEntitled).statuses([401, 402, 403]).codes(["*access_restricted", "paid_plan_required", "subscription_required", "API_INACCESSIBLE"]).scope(Request),
        on(NotEntitled).statuses([401, 403]).codes(["restricted_resource", "restricted_api_key", "missing_permissions", "no_parameter_permission", "training_not_available", "output_format_not_allowed"]).scope(Request),
        on(NotEntitled).statuses([401, 403]).messages(["missing scopes:", "meet scope requirement"]).scope(Request),
        on(DailyQuota).statuses([403, 429]).codes(["*daily_quota*", "*daily_limit*"]),
        on(Billing).statuses([403, 429]).codes(["apiKeyExhausted", "monthly_limit_reached", "UsageCapExceeded", "monthly_quota*", "quota-reached"]).scope(Key),
        on(Billing).statuses([401, 402, 403]).code("pre_consume_token_quota_failed").scope(Request),
        on(Billing).codes(["*budget_exceeded", "insufficient_budget*", "payment_required*", "WALLET_NOT_SETUP", "SUBSCRIPTION_NOT_FOUND", "SUBSCRIPTION_INVALID", "API_KEY_QUOTA_EXHAUSTED"]),
        on(Billing).codes(["CreditsError", "MonthlyLimitError", "NO_MORE_CREDITS", "*CREDITS_BALANCE", "NOT_ENOUGH_BALANCE", "customer_verification_required"]),
        on(Billing).statuses([401, 402, 403]).codes(["*quota_exceeded", "*quota_exhausted", "*quota_reached", "*balance_exhausted", "billing_*", "credit_limit"]),
        on(RateLimit).status(402).code("concurrent*").scope(Key),
        on(Billing).statuses([432, 433, 456]),
        on(Billing).status(405).code("APIG.0501"),
        on(Transient).statuses([403, 429, 498]).codes(["queue_exceeded", "*capacity_exceeded", "*overloaded*", "resource_unavailable", "system_busy", "NoCapacity", "3040"]),
        on(ModelNotFound).statuses([400, 404, 410, 422]).codes(["model_decommissioned", "model_not_available", "invalid_model", "unknown_model", "unavailable_model"]),
        on(ModelNotFound).statuses([400, 404, 410, 422]).codes(["ModelDeprecated", "model_deprecated", "model_archived*", "ServiceModelDeprecat*", "model_price_error", "UnsupportedModel", "*endpoint_not_running"]),
        on(NotEntitled).codes(["no_available_model_endpoints", "model_terms_required", "RegionError", "usage_not_included"]),
        on(NotEntitled).statuses([401, 403]).message("for this api key").code("*model*").scope(KeyModel).needs_status(),
        on(NotEntitled).statuses([401, 403]).codes(["key_model_*", "token_model_*"]).scope(KeyModel),
        on(KeyRejected).status(401).code("ModelArts.81003"),
        on(Caller).statuses([401, 403]).codes(["ModelArts.81011", "ModelArts.81109"]),
        on(NotEntitled).statuses([401, 403]).codes(["*model*", "tier_not_allowed", "paid_account_required"]).needs_status(),
        on(Caller).statuses([401, 403]).codes(["*guardrail*", "*moderation*", "*content_policy*", "*content_filter*", "*unsafe*", "safety_check*"]),

        // Others, by messages about money.
        on(Billing).statuses([400, 401, 402, 403, 412, 429]).messages(["insufficient balance", "in good standing", "account balance is", "balance is 0"]),
        on(Billing).statuses([400, 401, 429]).messages(["budget has been exceeded", "authentication error, exceeded"]),
        on(Billing).statuses([401, 402, 403]).messages(["max estimated cost", "quota is not enough", "预扣费额度失败"]).scope(Request),
        on(Billing).statuses([402, 403]).message("exceeded its credit"),
        on(Billing).statuses([401, 402, 403]).messages(["budget is exhausted", "over its budget", "enter payment method", "inactive subscription", "free quota exhausted"]),
        on(Billing).statuses([400, 401, 402, 403, 429]).messages(["insufficient credit", "insufficient fund", "out of credits", "not enough credits", "not enough funds", "balance is negative"]),
        on(Billing).statuses([401, 402, 403, 429]).messages(["have no credits", "no credits remaining", "no credits left", "exhausted your credit", "balance is insufficient", "top up your", "in arrears", "run out of searches"]),
        on(Billing).statuses([401, 402, 403, 429]).messages(["all available credits", "doesn't have any credits", "funds have been depleted", "credit limit"]),
        on(Billing).statuses([401, 402, 403, 412, 429]).messages(["spending limit", "budget limit", "billing limit has been", "overdue", "past due", "past invoices", "unpaid invoice"]),
        on(Billing).statuses([401, 402, 403, 429]).messages(["exceeded current quota", "account is not active", "payment required", "account balance"]),
        on(Billing).status(412).messages(["usage limit exceeded", "budget exceeded"]).scope(Key).needs_status(),
        on(Billing).statuses([401, 403]).messages(["credits exceeded", "quota exceeded", "usage has been consumed", "request limit reached"]).scope(Key).needs_status(),
        on(Billing).statuses([401, 403]).messages(["exhausted the api credits", "has exceeded calls per", "quota is exhausted", "insufficient quota"]).scope(Key),
        on(Billing).status(401).message("monthly usage limit").scope(Key),
        on(Billing).status(429).messages(["monthly", "per month", "/ month", "per billing period", "budget exceeded for"]),
        on(Billing).statuses([401, 403, 429]).messages(["trial has ended", "trial has expired", "subscription has expired"]),
        on(Billing).status(402).messages(["credit", "balance", "billing", "pay", "subscription", "budget", "quota", "funds", "limit", "средств", "баланс"]).needs_status(),
        // Others, by messages about the key and its account.
        on(KeyRejected).statuses([401, 403]).messages(["has been suspended", "is suspended", "account suspended", "account has been deactivated", "account was flagged", "account has been flagged"]).scope(Project),
        on(KeyRejected).statuses([401, 403]).messages(["temporarily blocked", "temporarily suspended"]).scope(Project).cooldown(HOUR),
        on(KeyRejected).statuses([401, 403]).messages(["deactivated account", "account has been disabled", "account is disabled", "has been terminated"]).scope(Project),
        on(KeyRejected).statuses([401, 403]).messages(["account has been banned", "account is banned", "user is banned", "user has been banned"]).scope(Project),
        on(KeyRejected).statuses([400, 401, 403]).messages(["invalid api key", "incorrect api key", "api key is invalid", "api key not valid"]),
        on(KeyRejected).statuses([400, 401, 403]).messages(["wrong api key", "unknown api key", "invalid or revoked api key", "pass a valid api key", "token seems invalid"]),
        on(KeyRejected).status(401).messages(["invalid apikey", "invalid credentials", "token expired", "expired token", "key is blocked"]),
        on(KeyRejected).status(401).messages(["bad credentials", "could not validate credentials", "no such user", "invalid key", "token is expired", "api key expired", "api key revoked", "api key not found"]),
        on(KeyRejected).status(401).messages(["token missing/invalid", "missing api token", "is incorrect or not specified", "did not pass a valid"]),
        on(KeyRejected).statuses([401, 403]).messages(["api key is not valid", "api key provided is invalid", "expired api key", "key is expired", "key has expired"]),
        on(KeyRejected).statuses([401, 403]).messages(["api key has been", "api key was revoked", "api key is disabled", "api key does not exist", "check the api-key"]),
        on(KeyRejected).statuses([401, 403]).messages(["api key is currently blocked", "key you provided is invalid", "make sure your api key is valid"]),
        on(KeyRejected).statuses([401, 403]).messages(["invalid token", "invalid access token", "invalid bearer token", "invalid api token", "token could not be validated"]),
        // Others, by messages about the model, the plan and the request.
        on(NotEntitled).provider("anthropic").status(403).code("permission_error").scope(KeyModel),
        on(NotEntitled).statuses([401, 403]).messages(["token has no access", "not allowed to access model", "for this api key", "in this group"]).scope(KeyModel),
        on(NotEntitled).status(403).messages(["access to model", "access to this model", "access this model", "access model", "access to the model", "from this model"]).needs_status(),
        on(NotEntitled).statuses([401, 403]).messages(["access to the requested model", "to use model", "this model requires", "models are not available"]),
        on(NotEntitled).status(403).messages(["on your plan", "in your plan", "not included in your", "on the free tier"]),
        on(NotEntitled).status(403).messages(["include the model", "include this model", "model is not available", "model disabled", "model is blocked", "model access"]).needs_status(),
        on(NotEntitled).status(403).messages(["model not allowed", "model not available", "only available to paid", "unlock premium models", "use this model", "use the model", "the organization level"]).needs_status(),
        on(NotEntitled).statuses([401, 402, 403]).messages(["upgrade your", "under your current"]).scope(Request).needs_status(),
        on(NotEntitled).statuses([401, 403]).messages(["requires a separate subscription", "plan doesn't support", "plan does not support", "exclusively with", "limited to pro"]).scope(Request),
        on(NotEntitled).statuses([401, 403]).messages(["entitled to this data", "have access to this resource", "requires membership"]).scope(Request),
        on(NotEntitled).statuses([401, 403]).messages(["insufficient client scope", "personal access token", "subscription does not allow"]).scope(Request),
        on(Caller).status(403).messages(["do not support this site", "parameter has disabled", "domain is not verified"]),
        on(Caller).statuses([403, 498]).messages(["flagged", "moderation", "content policy", "content filter", "guardrail", "usage guidelines", "usage polic"]),
        on(Caller).status(403).messages(["can't help with that", "prohibited due to a violation", "prompt injection", "blocked by security policy"]),
        on(Egress).statuses([403, 429]).message("request was blocked").needs_status(),
        on(Egress).status(403).messages(["from your region", "country is not supported", "available in your region", "available in your country"]).needs_status(),
        on(Egress).status(403).messages(["ip address has been blocked", "ip address has been banned", "ip has been blocked", "ip not allowed"]).needs_status(),
        // A caller may have written these words, and must not block the model for others.
        on(Transient).status(400).messages(["model is at capacity", "model is unavailable", "function cannot be invoked", "no deployments available for selected model", "open webui: server connection error", "worker local total request limit"]).scope(Request).needs_status(),
        on(ModelNotFound).statuses([400, 404, 410]).messages(["model not found", "model not exist", "model does not exist", "unknown model", "invalid model"]),
        on(NotEntitled).status(403).message("model not found").scope(KeyModel),
        on(ModelNotFound).statuses([400, 404, 410]).messages(["model '' not found", "model '' does not exist", "no such model", "been decommissioned"]),
        on(ModelNotFound).statuses([400, 404, 410]).messages(["model '' is not found", "model '' is not supported", "end of life", "end of its life", "been deprecated"]),
        on(ModelNotFound).statuses([400, 404, 410]).messages(["supported models are", "model '' was removed", "model can not be found"]),
        on(ModelNotFound).statuses([400, 404, 410]).messages(["model not supported", "model is not supported", "unable to access model", "non-serverless model", "model identifier is invalid"]),
        on(ModelNotFound).statuses([400, 404, 410]).messages(["unsupported model", "not a valid model", "could not find model", "no model named"]),
        on(ModelNotFound).statuses([400, 404, 410]).messages(["model is not available", "model '' is not available", "model '' has been retired"]),
        on(ModelNotFound).statuses([404, 410]).messages(["is no longer available", "model is deprecated", "deployment is deprecated"]),
        on(ModelNotFound).statuses([404, 410]).message("the model ").needs_status(),
        // Others, by messages about a limit.
        on(Transient).status(429).messages(["overloaded", "over capacity", "at capacity", "capacity exceeded", "capacity temporarily exceeded"]),
        on(Transient).status(429).messages(["high traffic", "heavy traffic", "high load", "experiencing high demand", "is busy", "are busy", "model busy", "too busy", "繁忙", "访问量过大"]),
        on(Transient).status(429).messages(["temporarily limiting requests", "maximum capacity", "capacity limits", "available capacity"]),
        on(Transient).status(429).messages(["temporarily unavailable", "receiving too many requests", "no deployments available", "didn't generate first token"]),
        on(DailyQuota).status(429).messages(["per day", "per-day", "daily quota", "daily limit", "daily free", "daily request", "daily token", "daily usage", "tpd rate limit"]),
        on(DailyQuota).status(429).messages(["number of daily", "perday", "24 hour period", "per 24 hours", "today's quota", "for today", "set inference limit"]),
        on(RateLimit).status(403).messages(["rate limit exceeded", "rpm limit exceeded", "secondary rate limit", "too many requests"]).scope(Key).needs_status(),
        on(RateLimit).status(429).messages(["rate limit", "too many requests", "usage limit", "request limit reached"]),
        // Relays of accounts.
        on(RateLimit).statuses([500, 502, 503]).message("usage limit has been reached"),

        // Errors in streams, which usually have no status, by the name of their kind.
        on(Caller).statuses([400, 404, 413, 422]).codes(["invalid_request*", "not_found*", "request_too_large", "invalid_argument", "bad_request*"]),
        on(Caller).statuses([400, 404, 409]).codes(["FAILED_PRECONDITION", "OUT_OF_RANGE", "BadRequestError", "NotFoundError"]),
        on(Caller).status(400).codes(["BadRequest", "*InvalidParameter*", "invalid_parameter*", "MissingParameter*", "ValidationException"]),
        on(Caller).statuses([400, 403]).codes(["*data_inspection*", "*DataInspection*", "*SensitiveContentDetected*", "censorship_blocked"]),
        on(Caller).status(424).codes(["2016", "2017"]),
        on(Unclear).status(401).codes(["UNAUTHENTICATED", "unauthorized"]),
        on(Unclear).status(400).code("no_db_connection"),
        on(Unclear).status(403).codes(["PERMISSION_DENIED", "permission_error", "forbidden", "access_denied"]).scope(KeyModel),
        on(RateLimit).status(429).codes(["RESOURCE_EXHAUSTED", "*rate_limit*", "too_many_requests*", "requests", "tokens", "usage_limit_reached"]),
        on(RateLimit).statuses([401, 429]).codes(["*usage_limit_exceeded", "TooManyRequests*", "RateLimitExceeded.*"]),
        // Faults of the provider. An error in a stream that no row matches affects only its request.
        on(Transient).statuses([500, 502, 503, 504]).codes(["api_error", "internal*", "UNAVAILABLE", "service_unavailable*", "ServiceUnavailable*", "1001", "1024", "1033"]),
        on(Transient).statuses([500, 502, 503, 504]).messages(["service unavailable", "service is currently unavailable", "internal server error"]),

        // Only by status.
        on(Unclear).statuses([401, 402]),
        on(Unclear).status(403).scope(KeyModel),
        on(RateLimit).status(429).scope(ProjectModel),
        // One caller may cause these alone.
        on(Transient).statuses([408, 409, 421, 424, 425, 498, 499]).scope(Request),
        on(Caller).statuses(300..500),
        on(Caller).statuses([501, 505]),
        on(Transient).statuses(500..600),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::error_body::ErrorInfo, *};

    #[test]
    fn every_error_status_matches_a_row() {
        for status in 300..600 {
            let info = ErrorInfo { status: Some(status), ..ErrorInfo::default() };
            assert!(TABLE.iter().any(|row| row.matches("x", &info)), "{status}");
        }
    }

    /// Each code and each text of a row must be the first match for each of the row's statuses. A row with only statuses
    /// must be the first match for one of them.
    #[test]
    fn no_row_is_hidden_by_an_earlier_row() {
        let or_none = |words: &[String]| match words {
            [] => vec![String::new()],
            words => words.to_vec(),
        };
        let mut hidden = Vec::new();
        for row in TABLE.iter() {
            let statuses = if row.statuses.is_empty() { vec![400, 401, 403, 429, 500] } else { row.statuses.clone() };
            let provider = row.provider.as_deref().unwrap_or("x");
            let decides = |status: u16, code: &str, text: &str| {
                let codes = vec![code.replace('*', "~")];
                let info = ErrorInfo { status: Some(status), codes, text: text.to_owned(), ..ErrorInfo::default() };
                TABLE.iter().find(|row| row.matches(provider, &info)).is_some_and(|first| std::ptr::eq(first, row))
            };
            let (codes, texts) = (or_none(&row.codes), or_none(&row.messages));
            if row.codes.is_empty() && row.messages.is_empty() && statuses.iter().any(|status| decides(*status, "", ""))
            {
                continue;
            }
            for status in statuses {
                let is_hidden = |code: &&String| !texts.iter().any(|text| decides(status, code, text));
                hidden.extend(codes.iter().filter(is_hidden).map(|code| format!("{status} {code}")));
                let is_hidden = |text: &&String| !codes.iter().any(|code| decides(status, code, text));
                hidden.extend(texts.iter().filter(is_hidden).map(|text| format!("{status} {text}")));
            }
        }
        assert!(hidden.is_empty(), "{hidden:#?}");
    }

    #[test]
    fn rows_with_only_a_status_do_not_match_errors_without_a_status() {
        let info = ErrorInfo::default();
        assert!(!TABLE.iter().any(|row| row.matches("x", &info)));
    }
}
