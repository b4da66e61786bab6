//! Arguments of a call, as they stand in an answer.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Those of a call without any.
pub(super) fn no_args() -> Cow<'static, RawValue> {
    Cow::Owned(RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned()))
}

/// The same without the line breaks and indents of whole answers: clients show it, and send it back.
pub(super) fn compact(json: &RawValue) -> Cow<'_, RawValue> {
    if !json.get().contains('\n') {
        return Cow::Borrowed(json);
    }
    let (mut inside, mut escaped) = (false, false);
    let kept = json.get().chars().filter(|letter| {
        let keep = inside || !letter.is_ascii_whitespace();
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = inside,
            '"' => inside = !inside,
            _ => {}
        }
        keep
    });
    RawValue::from_string(kept.collect()).map_or(Cow::Borrowed(json), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_lose_their_indents_alone() {
        let json = "{\n  \"a b\": [1.50,\n 18446744073709551616],\n  \"c\\\" d\": \"e\\\\\",  \"f\": \"g h\"\n}";
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        assert_eq!(compact(raw).get(), r#"{"a b":[1.50,18446744073709551616],"c\" d":"e\\","f":"g h"}"#);
    }
}
