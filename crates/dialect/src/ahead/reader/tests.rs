use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::*;
use crate::{Text, one_or::OneOr};

/// A bit of everything that requests are made of.
#[derive(Deserialize)]
struct Thing<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    either: Option<OneOr<'a, Thing<'a>>>,
    #[serde(borrow, default)]
    raw: Option<&'a RawValue>,
    #[serde(default)]
    number: Option<f64>,
    #[serde(default)]
    any: Option<serde_json::Value>,
    #[serde(borrow, default)]
    map: BTreeMap<String, Text<'a>>,
}

impl Thing<'_> {
    fn told(&self) -> serde_json::Value {
        let either = match &self.either {
            None => serde_json::Value::Null,
            Some(OneOr::Text(text)) => (**text).into(),
            Some(OneOr::List(list)) => list.iter().map(Thing::told).collect(),
        };
        let map: BTreeMap<_, _> = self.map.iter().map(|(name, text)| (name, &**text)).collect();
        let (text, raw) = (self.text.as_deref(), self.raw.map(RawValue::get));
        serde_json::json!([text, either, raw, self.number, self.any, map])
    }
}

fn read<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, Error> {
    let mut reader = Reader::new(Body(json));
    let read = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(read)
}

/// What it reads serde reads, and the other way round.
fn is_alike(json: &str) -> bool {
    match (read::<Thing<'_>>(json), serde_json::from_str::<Thing<'_>>(json)) {
        (Ok(ours), Ok(theirs)) => ours.told() == theirs.told(),
        (Err(_), Err(_)) => true,
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

#[test]
fn what_is_right_is_read_as_serde_reads_it() {
    let long = "x".repeat(crate::segments::LARGE + 5);
    for json in [
        "{}",
        " { } \n",
        r#"{"text":"plain","either":"a\nb","raw":"\u00e9","number":-1.5e3,"any":{"a":[1,{"b":"\""}]},"map":{"k":"v"}}"#,
        r#"{"either":[{"text":""},{"either":[]},{"text":null}],"unknown":[{"x":"]}"}],"te\u0078t":"named in escapes"}"#,
        r#"{"text":"\\","map":{"\"":"\\\"","b":"\\\\"}}"#,
        &format!(r#"{{"text":"{long}","either":"{long}\n{long}"}}"#),
        r#"["a list for an object",null,null,null,null,{}]"#,
    ] {
        assert!(read::<Thing<'_>>(json).is_ok() || json.starts_with('['), "{json}");
        assert!(is_alike(json), "{json}");
    }
    let raw: Thing<'_> = read(r#"{"text":"a\u00e9\n"}"#).ok().unwrap();
    assert_eq!(serde_json::to_string(&raw.text).unwrap(), r#""a\u00e9\n""#, "as it stands there");
}

#[test]
fn what_is_wrong_is_not_read() {
    for json in [
        "",
        "{",
        "}",
        "{,}",
        r#"{"text"}"#,
        r#"{"text":}"#,
        r#"{"text":"a",}"#,
        r#"{"text":"a"}}"#,
        r#"{"text":"a"} x"#,
        r#"{"text":"a" "raw":1}"#,
        r#"{text:"a"}"#,
        r#"{"text":"\x"}"#,
        r#"{"text":"\u12"}"#,
        r#"{"text":"\u12g4"}"#,
        r#"{"text":"a}"#,
        r#"{"text":"\"}"#,
        r#"{"text":"\ud800"}"#,
        "{\"text\":\"a\nb\"}",
        r#"{"either":[{}{}]}"#,
        r#"{"either":[{},]}"#,
        r#"{"either":[,{}]}"#,
        r#"{"either":{}}"#,
        r#"{"text":1}"#,
        r#"{"number":"1"}"#,
        r#"{"map":{"a":"b","a\"}}"#,
        r#"{"text":"a","text":"b"}"#,
        "\u{feff}{}",
    ] {
        assert!(read::<Thing<'_>>(json).is_err(), "{json}");
        assert!(is_alike(json), "{json}");
    }
    let deep = |levels: usize| [r#"{"either":["#.repeat(levels), "]}".repeat(levels)].concat();
    assert!(read::<Thing<'_>>(&deep(50)).is_ok());
    for levels in [62, 63, 64, 65, 100_000] {
        assert!(is_alike(&deep(levels)), "{levels}");
    }
}

/// Pieces that may go wrong beside each other.
fn pieces() -> impl Strategy<Value = String> {
    let one = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\"",
        "\\",
        r"\n",
        r"\u0041",
        r"\ud83d\ude00",
        r"\ud800",
        "null",
        "1",
        "-",
        "\"text\":",
        "\"either\":",
        "\"raw\":",
        "\"any\":",
        "\"map\":",
        "\"number\":",
        "\"a\"",
        "\"a\\\"b\"",
        "{}",
        "[{}]",
        "\"k\":\"v\"",
        "\u{e9}",
        "\u{1}",
        "true",
        "{\"text\":\"x\"}",
    ]);
    prop::collection::vec(one, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn it_reads_what_serde_reads(inner in pieces(), text in "[ -~\u{e9}\n]{0,12}", framed: bool) {
        let json = if framed { format!("{{{inner}}}") } else { inner };
        prop_assert!(is_alike(&json), "{}", json);
        let said = serde_json::to_string(&text).unwrap();
        for json in [format!(r#"{{"text":{said},"map":{{{said}:{said}}}}}"#), format!(r#"{{"text":"{text}"}}"#)] {
            prop_assert!(is_alike(&json), "{}", json);
        }
    }
}

#[test]
fn a_string_ends_where_it_ends() {
    #[derive(Serialize)]
    struct Said<'a>(&'a str);
    for text in ["", "a", "\"", "\\", "\\\"", "\\\\", "a\"b\\", "\u{7f}\u{0}", "\u{1f600}"] {
        let json = serde_json::to_string(&Said(text)).unwrap();
        assert_eq!(Body(&format!("{json}, \"x\"")).string(0).map(|read| read.json), Some(json.as_str()), "{text:?}");
        for less in 0..json.len() {
            let cut = json.get(..less).unwrap_or_default();
            assert_eq!(Body(cut).string(0), None, "{cut:?}");
        }
    }
}

proptest! {
    /// Where many bytes are looked at in one step.
    #[test]
    fn a_long_string_is_read_as_serde_reads_it(
        before in 0_usize..70,
        far in prop::sample::select(vec![0_usize, 990, 2_030]),
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                r"\n", r"\t", r"\r", "\\\"", r"\\", r"\/", r"\b", r"\u00e9", r"\ud800", r"\x", "\\", "\n", "\u{1f}", "n", "some words ",
                "\u{e9}", "\u{7f}", "\u{1f600}",
            ]),
            0..12,
        ),
    ) {
        let said = format!("{}{}", "x".repeat(far + before), pieces.concat());
        let json = format!(r#"{{"text":"{said}","map":{{"{said}":"{said}"}}}}"#);
        prop_assert!(is_alike(&json), "{}", json);
        if let Ok(read) = read::<Thing<'_>>(&json) {
            prop_assert_eq!(serde_json::to_string(&read.text).unwrap(), format!("\"{said}\""));
        }
    }
}

#[test]
fn what_escapes_there_are_is_seen() {
    let seen = |said: &str| Body(&format!("\"{said}\" ")).string(0).map(|read| read.escapes);
    assert_eq!((seen(""), seen("a name")), (Some(Escapes::None), Some(Escapes::None)));
    for before in ["", "some words that go on for a while"] {
        for (said, escapes) in [
            (r#"a\n\"\t\r"#, Some(Escapes::Short)),
            (r"a\\", Some(Escapes::Any)),
            (r"\u00e9", Some(Escapes::Any)),
            (r"\n\u00e9", Some(Escapes::Any)),
            (r"\x", None),
            ("\n", None),
            ("a\u{1f}", None),
        ] {
            assert_eq!(seen(&format!("{before}{said}")), escapes, "{before}{said}");
        }
    }
}
