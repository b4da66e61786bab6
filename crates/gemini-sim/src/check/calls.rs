//! Function calls in a conversation: each is answered, and signed where the model signs.

use serde_json::Value;

use super::{items, signs_calls};
use crate::answer::signature;
use crate::refusal::ApiError;

/// Takes the place of a signature that a client does not have.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

pub(crate) fn check_function_calls(prompt: &Value, model: &str) -> Result<(), ApiError> {
    let contents: Vec<&Value> = items(&prompt["contents"]).collect();
    for (index, content) in contents.iter().enumerate() {
        let previous = index.checked_sub(1).map(|previous| contents[previous]);
        let responses = parts_with("function_response", content).count();
        let calls = previous.map_or(0, |previous| parts_with("function_call", previous).count());
        if responses != calls {
            return Err(ApiError::malformed(
                "Please ensure that the number of function response parts is equal to the number of function call \
parts of the function call turn.",
            ));
        }
        let follows_user = previous.is_some_and(|previous| previous["role"] != "model");
        if parts_with("function_call", content).next().is_some() && !follows_user {
            return Err(ApiError::malformed(
                "Please ensure that function call turn comes immediately after a user turn or after a function \
response turn.",
            ));
        }
    }
    if signs_calls(model) { check_signatures(&contents, model) } else { Ok(()) }
}

/// The calls of the current turn: after the last content of the user that is no function's response.
fn check_signatures(contents: &[&Value], model: &str) -> Result<(), ApiError> {
    let is_user =
        |content: &&Value| content["role"] != "model" && parts_with("function_response", content).next().is_none();
    let turn = contents.iter().rposition(is_user).map_or(0, |at| at + 1);
    for content in &contents[turn..] {
        let Some(part) = parts_with("function_call", content).next() else { continue };
        let name = part["function_call"]["name"].as_str().unwrap_or_default();
        match part["thought_signature"].as_str() {
            Some(NO_SIGNATURE) => {}
            Some(given) if given == signature(model, name) => {}
            Some(_) => return Err(ApiError::malformed("Corrupted thought signature.")),
            None => {
                return Err(ApiError::malformed(format!(
                    "Function call is missing a thought_signature in functionCall parts. This is required for tools to \
work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call \
`default_api:{name}`, position 2."
                )));
            }
        }
    }
    Ok(())
}

fn parts_with<'a>(data: &str, content: &'a Value) -> impl Iterator<Item = &'a Value> {
    items(&content["parts"]).filter(move |part| !part[data].is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_are_answered_one_for_one_and_signed() {
        let problem = |contents: &Value, model: &str| {
            let result = check_function_calls(&json!({ "contents": contents }), model);
            result.map_or_else(|error| error.to_line(), |()| String::new())
        };
        let user = json!({ "role": "user", "parts": [{ "text": "x" }] });
        let signed = |signature: &str| {
            json!({ "role": "model", "parts": [
                { "function_call": { "name": "f" }, "thought_signature": signature },
                { "function_call": { "name": "g" } },
            ] })
        };
        let call = json!({ "role": "model", "parts": [{ "function_call": { "name": "f" } }] });
        let responses =
            |n: usize| json!({ "role": "user", "parts": vec![json!({ "function_response": { "name": "f" } }); n] });
        let (old, new) = ("gemini-2.5-flash", "gemini-3.8-flash");
        assert_eq!(problem(&json!([user, call, responses(1)]), old), "");
        assert!(problem(&json!([user, call, responses(2)]), old).contains("number of function response parts"));
        assert!(problem(&json!([user, call, user]), old).contains("number of function response parts"));
        assert!(problem(&json!([call, responses(1)]), old).contains("immediately after a user turn"));
        assert!(problem(&json!([user, call, responses(1)]), new).contains("missing a thought_signature"));
        assert_eq!(problem(&json!([user, call, responses(1), user]), new), "", "an earlier turn is not checked");
        assert!(problem(&json!([user, signed("AAAA"), responses(2)]), new).contains("Corrupted"));
        assert_eq!(problem(&json!([user, signed(NO_SIGNATURE), responses(2)]), new), "");
        assert_eq!(problem(&json!([user, signed(&signature(new, "f")), responses(2)]), new), "");
        assert!(problem(&json!([user, signed(&signature(old, "f")), responses(2)]), new).contains("Corrupted"));
    }
}
