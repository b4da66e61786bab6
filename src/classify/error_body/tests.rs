use std::time::SystemTime;

use super::*;

fn read(status: u16, body: &str) -> ErrorInfo {
    let status = StatusCode::from_u16(status).unwrap();
    ErrorInfo::of_error(status, &HeaderMap::new(), body.as_bytes(), SystemTime::UNIX_EPOCH)
}

#[test]
fn error_is_found_in_the_formats_of_all_vendors() {
    for body in [
        r#"{"error":{"message":"m","code":"c"}}"#,
        r#" [{"error":{"message":"m","code":"c"}}]"#,
        r#"[{"candidates":[]},{"error":{"message":"m","code":"c"}}]"#,
        "\u{feff}{\"error\":{\"message\":\"m\",\"code\":\"c\"}} trailing",
        r#"{"error":{"message":"m","details":[{"reason":"c"}]}}"#,
        r#"{"error":{"message":"m","details":{"error_code":"c"}}}"#,
        r#"{"error":{"message":"m","errors":[{"reason":"c"}]}}"#,
        r#"{"error":{"message":"m","innererror":{"code":"c"}}}"#,
        r#"{"error":{"message":"m","status":"c","code":404}}"#,
        r#"{"error":"m m","code":"c"}"#,
        r#"{"error":"c","message":"m"}"#,
        r#"{"error":true,"message":"m","code":"c"}"#,
        r#"{"type":"error","message":"m","code":"c"}"#,
        r#"{"object":"error","message":"m","code":"c"}"#,
        r#"{"message":"m","type":"c"}"#,
        r#"{"errors":[{"message":"m","code":"c"}],"success":false}"#,
        r#"{"detail":{"message":"m","code":"c"}}"#,
        r#"{"detail":{"status":"c","message":"m"}}"#,
        r#"{"detail":[{"msg":"m","type":"x"}],"code":"c"}"#,
        r#"{"fault":{"faultstring":"m","detail":{"errorcode":"c"}}}"#,
        r#"{"base_resp":{"status_code":"c","status_msg":"m"}}"#,
        r#"{"__type":"com.amazon.coral.service#c","message":"m"}"#,
        r#"{"error_code":"c","message":"m"}"#,
        r#"{"err_code":"c","err_msg":"m"}"#,
        r#"{"name":"c","errors":["m"],"message":"m"}"#,
        r#"{"choices":[{"error":{"message":"m","code":"c"}}]}"#,
        "data: {\"a\":1}\r\n\r\n{\n \"error\": {\"message\": \"m\",\"code\":\"c\"}\n}\n",
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"m\",\"type\":\"c\"}}\n\n",
        "data: {\"response\":{\"error\":{\"message\":\"m\",\"code\":\"c\"}},\"type\":\"response.failed\"}\n\n",
        "data: {\"response\":{\"status_details\":{\"error\":{\"message\":\"m\",\"code\":\"c\"}}}}\n\n",
    ] {
        let info = read(400, body);
        let message = info.message.as_deref().map(|message| message.trim_end_matches(" m"));
        assert_eq!((message, info.codes.first().map(String::as_str)), (Some("m"), Some("c")), "{body}");
    }
}

#[test]
fn body_that_is_not_json_is_the_message() {
    for (body, message, code) in [
        ("upstream connect error", Some("upstream connect error"), None),
        ("\"Invalid API key\"", Some("Invalid API key"), None),
        ("余额不足，请充值", Some("余额不足，请充值"), None),
        ("<html><title> Sorry </title></html>", Some("Sorry"), Some("html")),
        ("<!DOCTYPE html>no title", None, Some("html")),
        ("<?xml version=\"1.0\"?><Error/>", Some("<?xml version=\"1.0\"?><Error/>"), None),
        ("", None, None),
    ] {
        let info = read(500, body);
        assert_eq!((info.message.as_deref(), info.codes.first().map(String::as_str)), (message, code), "{body}");
    }
}

#[test]
fn long_messages_and_bodies_are_truncated() {
    let long = "ä".repeat(100_000);
    let info = read(400, &serde_json::json!({"message": long}).to_string());
    assert!(info.message.is_none_or(|message| message.len() <= 70_000) && info.text.len() <= LONGEST_TEXT);
    let info = read(400, &serde_json::json!({"message": "ä".repeat(1_000)}).to_string());
    assert_eq!(info.message.unwrap().chars().count(), LONGEST_MESSAGE);
}

#[test]
fn quoted_parts_are_removed() {
    for (text, expected) in [
        ("the model `a b` doesn't exist", "the model '' doesn't exist"),
        ("value 'it's here' at 'x'", "value '' at ''"),
        ("a \"b \\\" c\" d", "a '' d"),
        ("cut in the \"middle of", "cut in the ''"),
        ("\u{201c}a\u{201d} b", "'' b"),
        ("the keys' project's name", "the keys' project's name"),
        ("", ""),
    ] {
        assert_eq!(without_quotes(text), expected, "{text}");
    }
}

#[test]
fn only_valid_project_names_are_reported() {
    for (consumer, expected) in [
        ("projects/123", Some("123")),
        ("projects/my-proj-1", Some("my-proj-1")),
        ("project_number:9", Some("9")),
        ("api_key:AIzaFAKE", None),
        ("projects/", None),
    ] {
        let body = serde_json::json!({"error": {"details": [{"metadata": {"consumer": consumer}}]}});
        assert_eq!(read(403, &body.to_string()).project.as_deref(), expected, "{consumer}");
    }
    let sentence = r#"{"error":{"message":"Quota exceeded for 'x' of service 'y' for consumer 'project_number:42'."}}"#;
    assert_eq!(read(429, sentence).project.as_deref(), Some("42"));
}
