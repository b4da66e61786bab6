//! JSON as protobuf reads it: fields have two spellings, lists of one may be their item, numbers may be texts, words numbers.

use serde_json::Value;

/// The value of a field that JSON may name in either of protobuf's ways.
pub(crate) fn field<'a>(value: &'a Value, camel: &str, snake: &str) -> Option<&'a Value> {
    value.get(camel).or_else(|| value.get(snake))
}

/// One alone is a list of one.
pub(crate) fn items(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(single) => vec![single],
    }
}

/// A whole number, which may travel as text, or with a fraction of nothing.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        number => number.as_i64().or_else(|| Some(number.as_f64().filter(|number| number.fract() == 0.0)? as i64)),
    }
}

/// Any number, which may travel as text, and be none in one of three ways.
pub(crate) fn number(value: &Value) -> Option<f64> {
    let Value::String(text) = value else { return value.as_f64() };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match text.as_str() {
        "NaN" | "Infinity" | "-Infinity" => text.parse().ok(),
        text => text.parse().ok().filter(|_| is_number(text)),
    }
}

/// Which of these words it is: in any case, or by its number.
pub(crate) fn word(value: &Value, words: &[&'static str]) -> Option<&'static str> {
    match value {
        Value::String(said) => words.iter().copied().find(|word| word.eq_ignore_ascii_case(said)),
        number => words.get(usize::try_from(number.as_u64()?).ok()?).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_read_however_they_travel() {
        for (value, expected) in [
            (json!(2), Some(2)),
            (json!("2"), Some(2)),
            (json!(2.0), Some(2)),
            (json!(2.5), None),
            (json!("2.0"), None),
            (json!(null), None),
        ] {
            assert_eq!(whole(&value), expected, "{value}");
        }
        assert_eq!(
            (number(&json!("1.5")), number(&json!("-1e3")), number(&json!(1))),
            (Some(1.5), Some(-1e3), Some(1.0))
        );
        assert!(number(&json!("NaN")).is_some_and(f64::is_nan));
        for none in ["nan", "inf", "infinity", "", "x"] {
            assert_eq!(number(&json!(none)), None, "{none}");
        }
    }

    #[test]
    fn words_have_any_case_or_a_number() {
        let words = ["NONE", "SOME"];
        assert_eq!((word(&json!("some"), &words), word(&json!(1), &words)), (Some("SOME"), Some("SOME")));
        assert_eq!(
            (word(&json!("other"), &words), word(&json!(2), &words), word(&json!(null), &words)),
            (None, None, None)
        );
    }

    #[test]
    fn one_is_a_list_of_one() {
        assert_eq!(items(Some(&json!("x"))), [&json!("x")]);
        assert_eq!(items(Some(&json!(["x", "y"]))).len(), 2);
        assert!(items(Some(&json!(null))).is_empty() && items(None).is_empty());
    }
}
