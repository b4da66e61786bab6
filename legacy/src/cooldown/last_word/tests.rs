use super::*;

/// Whole, cut in two at every place, and byte by byte: always the same.
fn is_said(ending: Ending, text: &str) -> bool {
    let of = |chunks: &mut dyn Iterator<Item = &[u8]>| {
        let mut word = LastWord::new(ending);
        chunks.for_each(|chunk| word.see(chunk));
        word.was_said()
    };
    let bytes = text.as_bytes();
    let whole = of(&mut std::iter::once(bytes));
    assert_eq!(of(&mut bytes.chunks(1)), whole, "{text}");
    for cut in 0..bytes.len() {
        assert_eq!(of(&mut [&bytes[..cut], &bytes[cut..]].into_iter()), whole, "{text}, cut at {cut}");
    }
    whole
}

fn expect(ending: Ending, said: &[&str], not: &[&str]) {
    for said in said {
        assert!(is_said(ending, said), "{said}");
    }
    for not in not {
        assert!(!is_said(ending, not), "{not}");
    }
}

#[test]
fn of_geminis_streams() {
    expect(
        Ending::Reason,
        &[
            r#"data: {"candidates":[{"finishReason":"STOP"}]}"#,
            r#"{"promptFeedback": {"blockReason": "SAFETY"}}"#,
            r#"{"text":"ReasReason","finishReason":"STOP"}"#,
            r#"{"a":"Reason"},{"finishReason":"MAX_TOKENS"}"#,
            r#"{"candidates" : [ { "finishReason" : "STOP" } ] }"#,
            "[{\"finishReason\"\n  :\r\n\t\"STOP\"}]",
            r#"{"finishReason":null},{"finishReason":"STOP"}"#,
            // What it means is the client's affair.
            r#"{"finishReason":1}"#,
        ],
        &[
            r#"{"text":"the \"finishReason\": \"STOP\" of Gemini"}"#,
            r#"{"text":"Reason"}"#,
            r#"{"text":"Reason" }"#,
            r#"["Reason","finishReason"]"#,
            r#"{"finishReason": null}"#,
            r#"{"finishReason":"#,
            "",
        ],
    );
}

#[test]
fn of_chats() {
    expect(
        Ending::Chat,
        &[
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":null}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"choices\":[]}\n\ndata: [DONE]\n\n",
            "data: {\"choices\":[]}\r\n\r\ndata:[DONE]\r\n\r\n",
            "data: [DONE]",
            "data: [DONE] \n",
            "data: {\"choices\": [{\"finish_reason\" : \"length\"}]}\n\n",
        ],
        &[
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"it ends with [DONE]\"},\"finish_reason\": null}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"[DONE]\\n\"}}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"finish_reason\\\": 1\"}}]}\n\n",
            "data: [DON",
            "",
        ],
    );
}

#[test]
fn of_responses() {
    let created = "event: response.created\ndata: {\"type\":\"response.created\"}\n\n";
    let with = |kind: &str| format!("{created}event: {kind}\ndata: {{\"type\":\"{kind}\",\"response\":{{}}}}\n\n");
    for (kind, said) in [
        ("response.completed", true),
        ("response.incomplete", true),
        ("response.failed", false),
        ("response.cancelled", false),
        ("response.in_progress", false),
        ("response.completely", false),
        ("response.output_text.delta", false),
    ] {
        assert_eq!(is_said(Ending::Response, &with(kind)), said, "{kind}");
    }
    // Words of the caller's, which the provider repeats.
    let named = format!("data: {{\"metadata\":{{\"a\":\"response.failed\"}}}}\n\n{}", with("response.completed"));
    assert!(is_said(Ending::Response, &named));
    assert!(!is_said(Ending::Response, r#"data: {"delta":"\"response.completed\""}"#));
}

#[test]
fn of_messages() {
    expect(
        Ending::Message,
        &[
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            "event: message_stop\ndata: {\"type\": \"message_stop\" }\n\n",
            "data: {\"type\":\"mess\"}\n\ndata: {\"type\":\"message_stop\"}\n\n",
        ],
        &[
            "event: message_start\ndata: {\"type\":\"message_start\"}\n\n",
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
            r#"data: {"text":"it ends with \"message_stop\""}"#,
            "",
        ],
    );
}

#[test]
fn by_what_was_asked() {
    for (path, format, ending) in [
        ("/v1beta/models/a:streamGenerateContent?alt=sse", UsageFormat::Gemini, Some(Ending::Reason)),
        ("/v1beta/models/a:generateContent", UsageFormat::Gemini, None),
        ("/v1beta/openai/chat/completions", UsageFormat::Gemini, Some(Ending::Chat)),
        ("/v1/chat/completions", UsageFormat::OpenAi, Some(Ending::Chat)),
        ("/openai/deployments/a/chat/completions?api-version=1", UsageFormat::OpenAi, Some(Ending::Chat)),
        ("/v1/completions/", UsageFormat::OpenAi, Some(Ending::Chat)),
        ("/v1/responses", UsageFormat::OpenAi, Some(Ending::Response)),
        ("/v1/responses/resp_1", UsageFormat::OpenAi, None),
        ("/v1/audio/transcriptions", UsageFormat::OpenAi, None),
        ("/v1/messages", UsageFormat::Anthropic, Some(Ending::Message)),
        ("/v1/messages/count_tokens", UsageFormat::Anthropic, None),
        ("/v1/messages", UsageFormat::None, None),
    ] {
        assert_eq!(Ending::of(&path.parse().unwrap(), format), ending, "{path}");
    }
}
