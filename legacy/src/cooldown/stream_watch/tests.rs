use proptest::prelude::*;

use super::*;

/// The first error, however the text is cut.
fn found(framing: Framing, text: &str) -> Option<String> {
    let of = |chunks: &mut dyn Iterator<Item = &[u8]>| {
        let mut watch = StreamWatch::new(framing);
        chunks.for_each(|chunk| watch.see(chunk));
        watch.finish();
        let found = watch.take()?;
        Some(format!("{}{}", if found.named { "named " } else { "" }, String::from_utf8(found.data).unwrap()))
    };
    let bytes = text.as_bytes();
    let whole = of(&mut std::iter::once(bytes));
    for size in [1, 2, 3, 5, 11] {
        assert_eq!(of(&mut bytes.chunks(size)), whole, "chunks of {size}");
    }
    for cut in 0..bytes.len() {
        assert_eq!(of(&mut [&bytes[..cut], &bytes[cut..]].into_iter()), whole, "cut at {cut}");
    }
    whole
}

proptest! {
    #[test]
    fn no_cut_hides_or_makes_an_error(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "data: ", "event: error", "event:x", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "{", "}", "[", "]", "\"error\"",
            "\"", ":", " ", ",", "\\", "\\\"", "error", "null", "\"a\":{\"b\":1}", "{\"error\":{\"code\":1}}", "\u{feff}",
            "\"response\":{", "\"type\":\"error\"", "\"object\"",
        ]), 0..24),
        cuts in prop::collection::vec(0_usize..200, 0..6),
        array in any::<bool>(),
    ) {
        let text = tokens.concat();
        let framing = if array { Framing::Array } else { Framing::Events };
        let of = |chunks: &mut dyn Iterator<Item = &[u8]>| {
            let mut watch = StreamWatch::new(framing);
            chunks.for_each(|chunk| watch.see(chunk));
            watch.finish();
            watch.take()
        };
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let by_bytes = of(&mut text.as_bytes().chunks(1));
        prop_assert_eq!(of(&mut std::iter::once(text.as_bytes())), of(&mut text.as_bytes().chunks(1)));
        prop_assert_eq!(of(&mut cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]])), by_bytes);
    }
}

const GOOD: &str = "data: {\"candidates\":[{\"text\":\"an \\\"error\\\": {\"}],\"error\":null}\r\n\r\n";

#[test]
fn a_raw_tail() {
    let text = format!("{GOOD}{GOOD}{{\n  \"error\": {{\n    \"code\": 503\n  }}\n}}\n");
    assert_eq!(
        found(Framing::Events, &text).as_deref(),
        Some("{\"type\":\"error\",\"error\":{\n    \"code\": 503\n  }}")
    );
    assert_eq!(found(Framing::Events, &GOOD.repeat(3)), None);
}

#[test]
fn events_with_an_error() {
    for eol in ["\n", "\r\n", "\r"] {
        let text = format!("data: {{}}{eol}{eol}data: {{\"choices\":[],\"error\" : {{\"code\":502}}}}{eol}{eol}");
        assert_eq!(found(Framing::Events, &text).as_deref(), Some("{\"type\":\"error\",\"error\":{\"code\":502}}"));
        let text = format!("event: error{eol}data: {{\"message\":{eol}data: \"x\"}}{eol}{eol}");
        let data = found(Framing::Events, &text).unwrap().replace(['\r', '\n', ' '], "");
        assert_eq!(data, "named{\"message\":\"x\"}", "{eol:?}");
        let text = format!("data: {{}}{eol}{eol}event:error{eol}data: went away{eol}{eol}");
        assert_eq!(found(Framing::Events, &text).as_deref(), Some("named "), "{eol:?}");
    }
    assert_eq!(
        found(Framing::Events, "data: {\"error\":\"gone\"}\n\n").as_deref(),
        Some("{\"type\":\"error\",\"error\":\"gone\"}")
    );
}

#[test]
fn events_that_lost_their_names() {
    let good = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"partial\"}\n\n";
    for (event, error) in [
        (
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"x"}}}"#,
            r#""error":{"code":"x"}}"#,
        ),
        // As Go writes maps.
        (
            r#"{"response":{"a":{"error":{}},"error":{"code":"x"}},"type":"response.failed"}"#,
            r#""error":{"code":"x"}}"#,
        ),
        (r#"{"type" : "error","code":"x","message":"m"}"#, r#""code":"x","message":"m"}"#),
        (r#"{"object":"error","message":"m","code":503}"#, r#""message":"m","code":503}"#),
    ] {
        let found = found(Framing::Events, &format!("{good}data: {event}\n\n{good}")).unwrap();
        assert!(found.ends_with(error), "{event}: {found}");
        let json: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert!(json["type"] == "error" || json["object"] == "error", "{found}");
    }
}

#[test]
fn what_a_model_writes_is_no_error() {
    for text in [
        "data: {\"response\":{\"error\":null,\"metadata\":{\"error\":{}}}}\n\n",
        "data: {\"response\":{\"output\":[{\"error\":{}}]},\"x\":{\"error\":{}}}\n\n",
        "data: {\"response\":\"a\",\"x\":{\"error\":{}}}\n\n",
        "data: {\"status\":\"error\",\"x\":{\"type\":\"error\"},\"type\":\"err\\\\or\",\"object\":\"errors\"}\n\n",
        "data: {\"a\":[\"type\",\"error\"],\"object\":[\"error\"],\"type\":{\"a\":\"error\"}}\n\n",
        "data: {\"functionCall\":{\"args\":{\"error\":{\"code\":429}}}}\n\n",
        "data: {\"text\":\"event: error\"}\n\ndata: {\"a\":1}\n\n",
        "event: message\ndata: {\"type\":\"error\",\"a\":{}}\n\n",
        "event: errors\ndata: {\"a\":{}}\n\n",
        ": error {\n\ndata: {\"x\":{\"error\":{}}}\n\n",
        "data: {\"errors\":{},\"error\":0,\"error\":null,\"error\":false}\n\n",
    ] {
        assert_eq!(found(Framing::Events, text), None, "{text}");
    }
}

#[test]
fn the_array_form() {
    let text = "[{\"a\":{\"error\":{\"no\":1}}}\n,\r\n{\"error\":{\"code\":503}}\n]";
    assert_eq!(found(Framing::Array, text).as_deref(), Some("{\"type\":\"error\",\"error\":{\"code\":503}}"));
    assert_eq!(
        found(Framing::Array, "[{\"error\":{\"code\":").as_deref(),
        Some("{\"type\":\"error\",\"error\":{\"code\":}")
    );
}

#[test]
fn an_error_without_end_is_cut() {
    let text = format!("data: {{\"error\":{{\"message\":\"{}", "x".repeat(3 * LARGEST));
    let mut watch = StreamWatch::new(Framing::Events);
    text.as_bytes().chunks(1000).for_each(|chunk| watch.see(chunk));
    assert_eq!(watch.take().unwrap().data.len(), LARGEST);
    watch.see(b"\n\ndata: {\"error\":{}}\n\n");
}
