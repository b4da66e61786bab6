use proptest::prelude::*;

use super::*;

/// The input and output tokens, and the error.
type Read = (Option<(u64, u64)>, Option<String>);

fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut reader = UsageReader::new();
    let mut error = None;
    for chunk in chunks {
        reader.push(chunk);
        error = error.or(reader.take_error());
        assert!(reader.buffer.len() <= LARGEST);
    }
    let usage = reader.finish().map(|usage| (usage.input_tokens, usage.output_tokens));
    let error = error.or(reader.take_error()).map(|error| String::from_utf8_lossy(&error).into_owned());
    (usage, error)
}

/// Reads the text as a whole, byte by byte, and split at every place. The result must be the same.
fn read_in_any_split(text: &str) -> Read {
    let bytes = text.as_bytes();
    let whole = read([bytes]);
    assert_eq!(read(bytes.chunks(1)), whole);
    for cut in 0..bytes.len() {
        let (first, last) = bytes.split_at(cut);
        assert_eq!(read([first, last]), whole, "cut at {cut}");
    }
    whole
}

fn usage(text: &str) -> Option<(u64, u64)> {
    let (usage, error) = read_in_any_split(text);
    assert_eq!(error, None, "{text}");
    usage
}

fn error(text: &str) -> Option<String> {
    read_in_any_split(text).1
}

#[test]
fn last_reported_usage_of_gemini_is_used() {
    let first = r#"{"candidates":[],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}"#;
    let last =
        r#"{"candidates":[],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2,"thoughtsTokenCount":3}}"#;
    assert_eq!(usage(&format!("data: {first}\r\n\r\ndata: {last}\r\n\r\n")), Some((4, 5)));
    assert_eq!(usage(&format!("data: {last}\r\n\r\ndata: {{\"usageMetadata\":null}}\r\n\r\n")), Some((4, 5)));
    assert_eq!(usage(&format!("[{first}\n,\r\n{last}\n]")), Some((4, 5)));
    assert_eq!(usage(last), Some((4, 5)));
    let thinking = r#"{"usageMetadata":{"promptTokenCount":10,"toolUsePromptTokenCount":2,"thoughtsTokenCount":500}}"#;
    let saying = r#"{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":3}}"#;
    assert_eq!(usage(&format!("data: {thinking}\n\ndata: {saying}\n\ndata: {saying}\n\n")), Some((12, 503)));
    assert_eq!(usage(r#"{"usageMetadata":{"promptTokenCount":7,"toolUsePromptTokenCount":2}}"#), Some((9, 0)));
    for later in [
        r#"{"usageMetadata":{}}"#,
        r#"{"usageMetadata":{"candidatesTokenCount":2}}"#,
        r#"{"usageMetadata":{"promptTokenCount":4}}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"args":{"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}}}]}}]}"#,
    ] {
        assert_eq!(
            usage(&format!("data: {first}\n\ndata: {last}\r\n\r\ndata: {later}\r\n\r\n")),
            Some((4, 5)),
            "{later}"
        );
    }
}

#[test]
fn oversized_events_keep_their_order() {
    let image = format!(
        r#"data: {{"data":"{}","usageMetadata":{{"promptTokenCount":3,"candidatesTokenCount":9}}}}"#,
        "A".repeat(LARGEST)
    );
    let begun = r#"data: {"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1}}"#;
    for (first, second, output) in [(begun, &*image, 9), (&*image, begun, 1)] {
        let text = format!("{first}\n\n{second}\n\n");
        assert_eq!(read([text.as_bytes()]), (Some((3, output)), None));
    }
}

#[test]
fn text_that_mentions_usage_is_not_usage() {
    let usage_event = r#"data: {"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1}}"#;
    for event in [r#"{"text":"\"usageMetadata\": {1}"}"#, r#"{"usageMetadata":null}"#, r#"{"usageMetadata" : []}"#] {
        assert_eq!(usage(&format!("{usage_event}\n\ndata: {event}\n\n")), Some((3, 1)), "{event}");
    }
}

#[test]
fn usage_of_openai_is_read() {
    let null = r#"{"choices":[{"delta":{"content":"Hi"}}],"usage":null}"#;
    let last = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":0}}}"#;
    assert_eq!(usage(&format!("data: {null}\n\ndata: {last}\n\ndata: [DONE]\n\n")), Some((9, 1)));
    assert_eq!(
        usage(
            r#"{"object":"list","data":[{"embedding":[0.1]}],"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}"#
        ),
        Some((8, 0))
    );
    let completed = r#"{"type":"response.completed","response":{"error":null,"output":[],"usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":3},"output_tokens":5}}}"#;
    assert_eq!(usage(&format!("event: response.completed\ndata: {completed}\n\n")), Some((12, 5)));
}

/// Gemini's OpenAI-compatible paths use OpenAI's format.
#[test]
fn usage_of_both_formats_is_read_from_gemini() {
    for item in [
        r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#,
        r#"{"candidates":[],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":1}}"#,
    ] {
        assert_eq!(usage(item), Some((9, 1)), "{item}");
    }
}

#[test]
fn usage_of_anthropic_counts_the_cache_and_updates_field_by_field() {
    let start = r#"{"type":"message_start","message":{"content":[],"usage":{"input_tokens":25,"cache_creation_input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}}}"#;
    let delta = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#;
    let stream = format!("event: message_start\ndata: {start}\n\nevent: message_delta\ndata: {delta}\n\n");
    assert_eq!(usage(&stream), Some((40, 15)));
    let whole = r#"{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":4}}"#;
    assert_eq!(usage(whole), Some((3, 4)));
    for counts in [r#""input_tokens":0,"cache_read_input_tokens":0"#, r#""input_tokens":25"#, r#""input_tokens":null"#]
    {
        let delta = format!(r#"{{"type":"message_delta","usage":{{{counts},"output_tokens":15}}}}"#);
        assert_eq!(usage(&format!("data: {start}\n\ndata: {delta}\n\n")), Some((40, 15)), "the input never falls");
    }
}

#[test]
fn usage_is_read_where_other_formats_have_it() {
    let moonshot =
        r#"{"choices":[{"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":11,"completion_tokens":7}}]}"#;
    let groq = r#"{"choices":[],"x_groq":{"id":"r","usage":{"prompt_tokens":11,"completion_tokens":7}}}"#;
    let cohere = r#"{"usage":{"billed_units":{"input_tokens":3},"tokens":{"input_tokens":11,"output_tokens":7}}}"#;
    let cohere_end = format!(r#"{{"type":"message-end","delta":{cohere}}}"#);
    let interaction = r#"{"interaction":{"usage":{"total_input_tokens":8,"total_tool_use_tokens":3,"total_output_tokens":5,"total_thought_tokens":2}}}"#;
    for item in [moonshot, groq, cohere, &cohere_end, interaction] {
        assert_eq!(usage(item), Some((11, 7)), "{item}");
        assert_eq!(usage(&format!("data: {item}\n\ndata: [DONE]\n\n")), Some((11, 7)), "{item}");
    }
}

#[test]
fn arguments_of_a_tool_call_are_neither_usage_nor_error() {
    let args = r#"{"usage":{"cache_creation_input_tokens":1000000,"input_tokens":7},"usageMetadata":{"promptTokenCount":1000000},"error":{"code":401}}"#;
    for item in [
        format!(r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{args}}}}}]}}}}]}}"#),
        format!(r#"{{"type":"message","content":[{{"type":"tool_use","input":{args}}}]}}"#),
        format!(r#"{{"type":"content_block_start","content_block":{{"type":"tool_use","input":{args}}}}}"#),
        format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{args}]}}}}]}}"#),
        format!(r#"{{"type":"response.completed","response":{{"output":[{args}]}}}}"#),
        r#"{"choices":[{"delta":{"content":"\"usage\":{\"input_tokens\":9} \"error\":{}"}}]}"#.to_owned(),
    ] {
        assert_eq!(usage(&item), None, "{item}");
        assert_eq!(usage(&format!("data: {item}\n\n")), None, "{item}");
        // The same text at the end of a body that is too large to be read as a whole.
        let large = format!(r#"{{"padding":"{}",{}"#, "x".repeat(LARGEST), &item[1..]);
        assert_eq!(read(large.as_bytes().chunks(1000)), (None, None), "{item}");
        let large = format!("data: {large}\n\n");
        assert_eq!(read(large.as_bytes().chunks(1000)), (None, None), "{item}");
    }
}

#[test]
fn there_is_no_usage_without_input_tokens() {
    for text in [
        r#"{"usage":{"output_tokens":9}}"#,
        r#"{"usage":{"input_tokens":"7"}}"#,
        r#"{"usage":[1]}"#,
        r#"{"usage":{"input_tokens":3}"#,
        "data: {\"usage\":{\"input_tokens\":3}\n\n",
        "\u{1F}\u{8B} usage",
        "",
    ] {
        assert_eq!(usage(text), None, "{text}");
    }
    assert_eq!(usage(r#"{"usage":{"input_tokens":3.0,"output_tokens":-1}}"#), Some((3, 0)));
    assert_eq!(usage(r#"{"usage":{"input_tokens":3},"usage_of":"\"usage"}"#), Some((3, 0)));
}

#[test]
fn events_may_use_any_line_ending() {
    let item = r#"{"usage":{"input_tokens":3,"output_tokens":4}}"#;
    for end in ["\n", "\r\n", "\r"] {
        let (first, last) = item.split_at(item.find(',').unwrap() + 1);
        assert_eq!(usage(&format!("\u{FEFF}: comment{end}{end}id: 1{end}data:{item}{end}{end}")), Some((3, 4)));
        assert_eq!(usage(&format!("data: {first}{end}data: {last}{end}{end}data: x{end}{end}")), Some((3, 4)));
        assert_eq!(usage(&format!("data: x{end}{end}{end}data: {item}")), Some((3, 4)), "no blank line at the end");
    }
}

#[test]
fn errors_in_the_middle_of_a_stream_are_found() {
    for item in [
        r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#,
        r#"{"error":"an error was encountered"}"#,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        r#"{"type":"error","code":"server_error","message":"m"}"#,
        r#"{"object":"error","message":"m","code":503}"#,
        r#"{"event_type":"error","error":{"code":"not_found"}}"#,
        r#"{"id":"gen","choices":[],"error":{"code":502,"message":"m"}}"#,
        r#"{"id":"gen","choices":[{"index":0,"delta":{},"error":{"code":502,"message":"m"},"finish_reason":"error"}]}"#,
        r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded"}}}"#,
        r#"{"type":"response.done","response":{"status":"failed","status_details":{"error":{"code":"insufficient_quota"}}}}"#,
        r#"{"event_type":"interaction.complete","interaction":{"status":"failed","error":{"code":"quota_exceeded"}}}"#,
        r#"{"event_type":"interaction.complete","interaction":{"status":"failed"}}"#,
        r#"{"choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#,
        r#"{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED"}],"usageMetadata":{}}"#,
        r#"{"choices":[],"x_groq":{"error":{"message":"over capacity"}}}"#,
    ] {
        let good = r#"{"candidates":[{"content":{"parts":[{"text":"an error"}]}}],"error":null}"#;
        for body in [
            format!("data: {good}\n\ndata: {item}\n\ndata: [DONE]\n\n"),
            format!("event: error\r\ndata: {item}\r\n\r\n"),
            format!("data: {good}\r\n\r\n{item}\n"),
            format!("data: {good}\r\n{item}\n"),
            format!("[{good}\n,\r\n{item}]"),
            format!("data: [{item}]\n\n"),
        ] {
            assert!(error(&body).is_some_and(|found| found.contains(item)), "{body}");
        }
    }
    let pretty = "{\n  \"error\": {\n    \"code\": 503\n  }\n}";
    assert_eq!(error(&format!("data: {{}}\r\n\r\n{pretty}\n")), Some(pretty.to_owned()));
    for event in ["data: overloaded", r#"data: {"message":"slow down","code":429}"#] {
        let event = format!("event: error\n{event}");
        assert_eq!(error(&format!("data: {{}}\n\n{event}\n\n")), Some(event), "the name of the event is kept");
    }
    let incomplete = r#"{"type":"response.incomplete","response":{"status":"incomplete","error":null}}"#;
    assert_eq!(error(&format!("data: {incomplete}\n\n")), None);
    assert_eq!(error(r#"{"error":{},"errors":[]}"#), None);
}

#[test]
fn end_of_an_oversized_body_or_event_is_read() {
    let large = "x\\\"usage\\\": {".repeat(LARGEST / 8);
    let gemini = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"data":"{large}"}}}}]}}}}],"usageMetadata":{{"promptTokenCount":4,"candidatesTokenCount":1290}},"modelVersion":"m"}}"#
    );
    let completed = format!(
        r#"{{"type":"response.completed","response":{{"output":[{{"text":"{large}"}}],"usage":{{"input_tokens":3,"output_tokens":9}},"metadata":{{}}}},"sequence_number":4}}"#
    );
    for chunk in [7, 1000, 1 << 20] {
        let read = |text: &str| read(text.as_bytes().chunks(chunk));
        assert_eq!(read(&gemini), (Some((4, 1290)), None));
        assert_eq!(read(&format!("{gemini}\n")), (Some((4, 1290)), None));
        assert_eq!(read(&format!("[{gemini}\n,\r\n{gemini}\n]\n")), (Some((4, 1290)), None));
        assert_eq!(read(&format!("data: {gemini}\r\n\r\ndata: {{}}\r\n\r\n")), (Some((4, 1290)), None));
        assert_eq!(read(&format!("data: {completed}\n\n")), (Some((3, 9)), None));
        let failed = format!("[{gemini}\n,\r\n{{\"error\":{{\"code\":503}}}}\n]");
        assert_eq!(read(&failed).1.as_deref(), Some(r#"data: {"error":{"code":503}}"#));
        // An error beside dropped fields may be a part of a result.
        for part in [
            format!(r#"{{"results":["{large}"],"error":{{"code":401}}}}"#),
            format!(r#"[{{"text":"{large}","error":{{"code":401}}}}]"#),
            format!("data: {{\"item\":{{\"arguments\":\"{large}\",\"error\":{{\"code\":401}}}}}}\n\n"),
        ] {
            assert_eq!(read(&part).1, None, "{}", &part[part.len() - 40..]);
        }
        // The events after a large one are read as usual.
        let small = r#"{"usage":{"input_tokens":5}}"#;
        assert_eq!(read(&format!("data: \"{large}\"\n\ndata: {small}\n\n")), (Some((5, 0)), None));
    }
}

#[test]
fn unreadable_bodies_have_no_reader() {
    let reads = |pairs: &[(header::HeaderName, &'static str)]| {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), header::HeaderValue::from_static(value)));
        UsageReader::for_headers(&headers.collect()).is_some()
    };
    assert!(reads(&[]));
    assert!(reads(&[(header::CONTENT_TYPE, "text/plain; charset=utf-8")]));
    assert!(!reads(&[(header::CONTENT_TYPE, "text/csv")]), "a row that looks like the start of an event would be held");
    assert!(reads(&[(header::CONTENT_TYPE, "text/event-stream")]));
    assert!(reads(&[(header::CONTENT_TYPE, "Application/JSON; charset=UTF-8")]));
    assert!(!reads(&[(header::CONTENT_TYPE, "audio/mpeg")]));
}

proptest! {
    #[test]
    fn result_does_not_depend_on_the_chunks(
        words in prop::collection::vec(prop::sample::select(vec![
            "data: ", "event: error", "\n", "\r\n", "\r", "\n\n", "{", "}", "[", "]", "\"", "\\", ",", "x", "null",
            "\"error\":", "\"usage\":", "{\"input_tokens\":3}", "data: {\"usage\":{\"input_tokens\":5}}\r\n\r\n",
            "{\"error\":{\"code\":1}}", "\u{FEFF}",
        ]), 0..24),
    ) {
        read_in_any_split(&words.concat());
    }

    #[test]
    fn usage_is_read_at_the_top_level_and_in_a_message_in_any_order(
        members in prop::sample::subsequence(vec![
            r#""usage":{"input_tokens":3,"output_tokens":4}"#,
            r#""message":{"id":1,"usage":{"input_tokens":5}}"#,
            r#""usage_of":[{"usage":{"input_tokens":6}}]"#,
            r#""args":{"usage":{"input_tokens":7},"x":{"usageMetadata":{"promptTokenCount":7}}}"#,
            r#""text":"\"usage\":{\"input_tokens\":8}}""#,
            r#""an \"usage":{"input_tokens":9}"#,
            r#""usageMetadata":null"#,
            r#""last":"usage""#,
        ], 0..=8).prop_shuffle(),
    ) {
        let holds = |start: &str| members.iter().any(|member| member.starts_with(start));
        let expected = match () {
            () if holds("\"usage\"") => Some((3, 4)),
            () if holds("\"message\"") => Some((5, 0)),
            () => None,
        };
        let item = format!("{{{}}}", members.join(","));
        prop_assert_eq!(read([item.as_bytes()]), (expected, None));
        prop_assert_eq!(read([format!("data: {item}\n\n").as_bytes()]), (expected, None));
    }
}
