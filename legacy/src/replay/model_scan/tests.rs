use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn scan(text: &[u8], wants_model: bool, counted: Option<&'static str>, chunk: usize) -> ModelScan {
    let mut scan = ModelScan::new(wants_model, counted);
    for chunk in text.chunks(chunk.max(1)) {
        scan.feed(chunk);
    }
    scan
}

/// The model, the same for every chunking.
fn model_in(text: &str) -> Option<String> {
    let whole = scan(text.as_bytes(), true, None, usize::MAX);
    for chunk in 1..9 {
        let cut = scan(text.as_bytes(), true, None, chunk);
        assert_eq!(cut.model(), whole.model(), "{text} in chunks of {chunk}");
        assert_eq!(cut.place(), whole.place(), "{text} in chunks of {chunk}");
        assert_eq!(cut.named_twice(), whole.named_twice(), "{text} in chunks of {chunk}");
    }
    whole.model().map(ToString::to_string)
}

#[test]
fn the_top_level_model_is_found_wherever_it_stands() {
    for text in [
        r#"{"model":"m-1"}"#,
        " {\r\n\t\"model\" : \"m-1\" , \"messages\": []}",
        "\u{feff}{\"model\":\"m-1\"}",
        r#"{"messages":[{"content":"a"}],"model":"m-1"}"#,
        r#"{"a":1,"b":null,"c":-1.5e9,"d":true,"model":"m-1","e":{}}"#,
        r#"{"mod\u0065l":"m\u002d1"}"#,
        r#"{"a":"\"model\":\"x\"","model":"m-1"}"#,
        r#"{"a":"\\","model":"m-1"}"#,
        r#"{"a":{"model":"x","b":[{"model":"y"}]},"model":"m-1"}"#,
        r#"{"a":["model","x",["model"]],"model":"m-1"}"#,
        r#"{"a":"}","b":"]","model":"m-1"}"#,
        r#"{"Model":"x","models":"y","":"z","model":"m-1"}"#,
        r#"{"model":"m-1","messages":[{"content":"cut sho"#,
    ] {
        assert_eq!(model_in(text).as_deref(), Some("m-1"), "{text}");
    }
}

#[test]
fn what_is_no_top_level_model_is_not_taken() {
    for text in [
        "",
        "{}",
        "null",
        r#""model""#,
        r#"["model","x"]"#,
        r#"[{"model":"x"}]"#,
        r#"{"a":{"model":"x"}}"#,
        r#"{"a":"\"model\":\"x\""}"#,
        r#"{"model":null}"#,
        r#"{"model":7,"a":"x"}"#,
        r#"{"model":{"model":"x"}}"#,
        r#"{"model":["x"]}"#,
        r#"{"model":""}"#,
        r#"{"model":"a\nb"}"#,
        r#"{"model":"\ud800"}"#,
        r#"{"model":"\ud800\ud800"}"#,
        r#"{"model":"\u12"}"#,
        r#"{"model":"\x"}"#,
        r#"{"model":"cut sho"#,
        r#"{model:"x"}"#,
        r#"{"model" "x"}"#,
        r#"{"a":1]"model":"x"}"#,
        r#"{"a":"b""model":"x"}"#,
        r#"{"a":1} {"model":"x"}"#,
        "--boundary\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nx",
        "\u{1f}\u{8b}\u{8}",
    ] {
        assert_eq!(model_in(text), None, "{text}");
    }
}

#[test]
fn escapes_are_resolved_and_the_place_is_that_of_the_raw_text() {
    let text = r#"{"model":"\u00e9\ud83d\ude00\/\"x"}"#;
    assert_eq!(model_in(text).as_deref(), Some("é😀/\"x"));
    let place = scan(text.as_bytes(), true, None, 1).place().unwrap();
    assert_eq!(&text[place.start as usize..place.end as usize], r#"\u00e9\ud83d\ude00\/\"x"#);
}

#[test]
fn a_name_is_at_most_256_bytes() {
    let fits = "m".repeat(256);
    assert_eq!(model_in(&format!(r#"{{"model":"{fits}"}}"#)), Some(fits.clone()));
    assert_eq!(model_in(&format!(r#"{{"model":"{fits}x"}}"#)), None);
    assert_eq!(model_in(&format!(r#"{{"{fits}{fits}":1,"model":"m-1"}}"#)).as_deref(), Some("m-1"));
}

#[test]
fn the_first_model_holds_and_a_second_is_reported() {
    let text = r#"{"model":"a","x":{"model":"n"},"model":"b"}"#;
    assert_eq!(model_in(text).as_deref(), Some("a"));
    assert!(scan(text.as_bytes(), true, None, 3).named_twice());
    assert!(scan(br#"{"model":null,"model":"b"}"#, true, None, 3).named_twice());
    assert!(!scan(br#"{"model":"a","x":{"model":"n"}}"#, true, None, 3).named_twice());
    assert!(!scan(text.as_bytes(), false, None, 3).named_twice());
}

#[test]
fn it_is_settled_as_soon_as_the_model_is_known() {
    for (text, settled) in [
        (r#"{"a":1,"model":"m"#, false),
        (r#"{"a":1,"model":"m""#, true),
        (r#"{"a":1,"model":n"#, true),
        (r#"{"a":1,"model":["#, true),
        (r#"{"a":1,"model":"#, false),
        (r#"{"a":1}"#, true),
        ("hello", true),
    ] {
        assert_eq!(scan(text.as_bytes(), true, None, 1).is_settled(), settled, "{text}");
    }
}

#[test]
fn items_of_a_top_level_array_are_counted() {
    for (text, items, settled) in [
        (r#"{"requests":[]}"#, 0, true),
        (r#"{"requests":[ ]}"#, 0, true),
        (r#"{"requests":[1, 2 ,3]}"#, 3, true),
        (r#"{"requests":[{"a":[1,2],"requests":[1,2]},{"b":"],["}],"x":[1,2,3,4]}"#, 2, true),
        (r#"{"requests":["a,b","c",["d"],null]}"#, 4, true),
        (r#"{"x":{"requests":[1]},"requests":[1,2]}"#, 2, true),
        (r#"{"requests":{"a":[1,2]}}"#, 0, true),
        (r#"{"requests":[1,2"#, 2, false),
        (r#"{"x":"#, 0, false),
    ] {
        for chunk in 1..9 {
            let scan = scan(text.as_bytes(), false, Some("requests"), chunk);
            assert_eq!((scan.items(), scan.is_settled()), (items, settled), "{text} in chunks of {chunk}");
        }
    }
    let both = br#"{"requests":[1,2],"model":"m"}"#;
    let scan = scan(both, true, Some("requests"), 4);
    assert_eq!((scan.items(), scan.model().map(|model| &**model)), (2, Some("m")));
}

#[test]
fn a_hundred_thousand_brackets_are_nothing() {
    let deep = format!(r#"{{"a":{}{},"model":"m-1"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(scan(deep.as_bytes(), true, None, 4096).model().map(|model| &**model), Some("m-1"));
    assert_eq!(scan("[{".repeat(100_000).as_bytes(), true, None, 4096).model(), None);
    assert_eq!(scan("]".repeat(100_000).as_bytes(), true, None, 1).model(), None);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["model", "requests", "[a-z\"\\\\{}\\[\\],:]{0,6}", any::<String>()]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), any::<i32>().prop_map(Value::from), text().prop_map(Value::from)];
    leaf.prop_recursive(3, 20, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn it_finds_what_serde_json_finds(value in json(), pretty: bool, chunk in 1_usize..20) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let scan = scan(text.as_bytes(), true, Some("requests"), chunk);
        let told = value.as_object().and_then(|object| object.get("model")).and_then(Value::as_str);
        let usable = told.filter(|model| !model.is_empty() && model.len() <= 256 && !model.contains(char::is_control));
        prop_assert_eq!(scan.model().map(|model| &**model), usable);
        if let Some(place) = scan.place() {
            let raw = &text[place.start as usize..place.end as usize];
            let read: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            prop_assert_eq!(Some(read.as_str()), told);
        }
        let items = value.as_object().and_then(|object| object.get("requests")).and_then(Value::as_array);
        prop_assert_eq!(scan.items() as usize, items.map_or(0, Vec::len));
    }

    #[test]
    fn any_bytes_in_any_chunks_read_the_same(bytes in "[{}\\[\\]\",:\\\\umodel0 \\PC]{0,60}", chunk in 1_usize..20) {
        let whole = scan(bytes.as_bytes(), true, Some("model"), usize::MAX);
        let cut = scan(bytes.as_bytes(), true, Some("model"), chunk);
        prop_assert_eq!(whole.model(), cut.model());
        prop_assert_eq!(whole.place(), cut.place());
        prop_assert_eq!(whole.items(), cut.items());
    }
}
