//! The places in error bodies that have the code, the message, the status and the delay, for all vendors.
//!
//! A path is relative to the error: `a.b` is a field of a field, and `a[]` each item of an array or the value itself. The
//! case of names is ignored. The paths of delays, times and statuses are also looked up in the body that has the error.
//! Only if the paths find neither a code nor a message in a body with an error status, all its texts are searched: words
//! in a single case are codes, and the longest sentence is the message.

/// Paths of the error. An event or a successful response that has one is an error, if it also has one of [`MEMBERS`].
pub(super) const ERRORS: &[&str] = &[
    "error[]", "response.error", "response.status_details.error", "interaction.error", "choices[].error", "x_groq.error",
];
/// More paths of the error in a body that is known to be an error, such as one with an error status.
pub(super) const ERRORS_IN_ERROR_BODIES: &[&str] =
    &["details.error", "detail.error", "body.error", "data.error", "fault", "base_resp"];

/// Words of which a successful response, or an event of one, has at least one if it is an error. Others are not parsed.
pub(super) const MEMBERS: &[&str] = &["\"error\"", "\"base_resp\"", "\"success\"", "\"failed\"", LIMITED];
/// Likewise for the lines of an event.
pub(super) const EVENTS: &[&str] = &["event: error", "event:error"];
/// Paths of a status that is `failed` if a successful response is an error.
pub(super) const FAILED: &[&str] = &["response.status", "interaction.status"];
/// The finish reason of a response that ended because the account is limited for a policy violation.
pub(super) const LIMITED: &str = "PUP_LIMITED_DISABLED";

/// Fields that a successful response may have to count as nothing but an error.
pub(super) const BESIDE_ERROR: &[&str] = &[
    "error", "code", "type", "message", "msg", "status", "status_code", "statusCode", "success", "detail",
    "base_resp", "error_code", "error_msg", "event_type", "request_id", "requestId", "trace_id", "user_id", "timestamp", "path", "param",
    "sequence_number", "object", "errors", "id", "model", "created", "provider", "usage", "system_fingerprint", "service_tier",
];

/// Paths of the codes of an error, the most specific first.
pub(super) const CODES: &[&str] = &[
    "details[].reason", "details[].error_code", "errors[].reason", "code", "error_code", "errorCode",
    "err_code", "status", "type", "reason", "status_code", "error", "innererror.code", "metadata.error_type",
    "metadata.limit_source", "errors[].code", "detail", "detail.code", "detail.status", "detail.type", "detail.error",
    "detail.errorcode", "error_type", "error_name", "tag", "name", "__type", "error-code", "error-type",
];
/// Paths of codes that may be siblings of the error object.
pub(super) const CODES_BESIDE: &[&str] =
    &["code", "error_code", "errorCode", "status", "tag", "reason", "errors[].reason", "error_type"];

/// Paths of messages that may be siblings of the error object.
pub(super) const MESSAGES_BESIDE: &[&str] = &["message"];

/// Paths of the messages of an error. The first message found is shown to people.
pub(super) const MESSAGES: &[&str] = &[
    "message", "msg", "detail", "detail.message", "detail.msg", "detail.error", "detail[].msg",
    "error_message", "error_msg", "errorMessage", "err_msg", "error_description", "error", "description",
    "Error Message", "info", "status_message", "status.error_message", "errors[]", "errors[].message",
    "errors[].detail", "errors[].details", "status_msg", "details", "message.detail[].msg", "faultstring",
    "metadata.raw", "title",
];

/// Paths of the status of an error: a number between 400 and 599.
pub(super) const STATUSES: &[&str] = &["code", "status", "status_code", "statusCode", "http_code", "http_status"];

/// Paths of delays, with the length of their unit in seconds.
pub(super) const DELAYS: &[(&str, f64)] = &[
    ("details[].retryDelay", 1.0), ("details[].retryDelay.seconds", 1.0), ("details[].retry_delay", 1.0),
    ("details[].retry_delay.seconds", 1.0), ("details[].metadata.quotaResetDelay", 1.0), ("retry_after", 1.0),
    ("retryAfter", 1.0), ("retry_after_seconds", 1.0), ("retryAfterSeconds", 1.0), ("retry_after_ms", 1e-3),
    ("resets_in_seconds", 1.0), ("reset_seconds", 1.0), ("estimated_time", 1.0), ("metadata.retry_after", 1.0),
    ("metadata.retry_after_seconds", 1.0), ("metadata.headers.retry-after", 1.0), ("detail.retry_after", 1.0),
    ("parameters.retry_after", 1.0), ("details.retry_after", 1.0), ("data.retry_after", 1.0), ("retryAfterMs", 1e-3),
    ("metadata.retryAfter", 1.0), ("details.retryAfter", 1.0), ("data.retryAfter", 1.0), ("retry-after", 1.0),
];
/// Paths of the time at which a limit resets.
pub(super) const MOMENTS: &[&str] = &["metadata.headers.x-ratelimit-reset", "resets_at", "reset_at", "resetAt"];
