//! Function calls in a conversation.

use serde_json::Value;

use super::items;
use crate::refusal::ApiError;

/// Each call follows the user, and each has a response.
pub(crate) fn check_function_calls(prompt: &Value) -> Result<(), ApiError> {
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
    fn calls_follow_the_user_and_are_answered_one_for_one() {
        let problem = |contents: Value| {
            let result = check_function_calls(&json!({ "contents": contents }));
            result.map_or_else(|error| error.to_line(), |()| String::new())
        };
        let user = json!({ "role": "user", "parts": [{ "text": "x" }] });
        let call = json!({ "role": "model", "parts": [{ "function_call": { "name": "f" } }] });
        let responses =
            |n: usize| json!({ "role": "user", "parts": vec![json!({ "function_response": { "name": "f" } }); n] });
        assert_eq!(problem(json!([user, call, responses(1)])), "");
        assert!(problem(json!([user, call, responses(2)])).contains("number of function response parts"));
        assert!(problem(json!([user, call, user])).contains("number of function response parts"));
        assert!(problem(json!([call, responses(1)])).contains("immediately after a user turn"));
    }
}
