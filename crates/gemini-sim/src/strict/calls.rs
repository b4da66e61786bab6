//! Calls of tools in a prompt: what answers what, and what must come back signed.

use serde_json::Value;

use super::tools::mixes_tools;
use crate::answer::signature;
use crate::proto_json::{field, items, whole};
use crate::refusal::ApiError;

/// Stands in for a signature where somebody has none.
const SKIP: &str = "skip_thought_signature_validator";

/// Whether this model signs its calls, and wants the signatures back.
pub(crate) fn signs(model: &str) -> bool {
    model.starts_with("gemini-3")
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::invalid_argument("malformed", message)
}

/// A prompt in which every call is answered, and every call of the current turn is signed where the model signs.
pub(crate) fn check_calls(request: &Value, model: &str) -> Result<(), ApiError> {
    let contents: Vec<&Value> = items(request.get("contents"));
    for (index, content) in contents.iter().enumerate() {
        let answers = of(content, "functionResponse", "function_response").len();
        let before = index.checked_sub(1).map(|before| contents[before]);
        let asked = before.map_or(0, |before| of(before, "functionCall", "function_call").len());
        if answers != asked && (answers > 0 || asked > 0) {
            return Err(invalid(
                "Please ensure that the number of function response parts is equal to the number of function call \
parts of the function call turn.",
            ));
        }
        let calls = !of(content, "functionCall", "function_call").is_empty();
        if calls && before.is_none_or(|before| before.get("role").and_then(Value::as_str) == Some("model")) {
            return Err(invalid(
                "Please ensure that function call turn comes immediately after a user turn or after a function \
response turn.",
            ));
        }
    }
    if signs(model) { check_signatures(&contents, model) } else { Ok(()) }
}

/// Of the current turn: from the last content on in which somebody said something else than a tool's answer.
fn check_signatures(contents: &[&Value], model: &str) -> Result<(), ApiError> {
    let said = |content: &Value| {
        let user = content.get("role").and_then(Value::as_str) != Some("model");
        user && of(content, "functionResponse", "function_response").is_empty()
    };
    let turn = contents.iter().rposition(|content| said(content)).map_or(0, |at| at + 1);
    for content in &contents[turn..] {
        let calls = of(content, "functionCall", "function_call");
        let Some((part, call)) = calls.first() else { continue };
        let name = call.get("name").and_then(Value::as_str).unwrap_or_default();
        match field(part, "thoughtSignature", "thought_signature").and_then(Value::as_str) {
            Some(SKIP) => {}
            Some(given) if given == signature(model, name) => {}
            Some(_) => return Err(invalid("Corrupted thought signature.")),
            None => {
                return Err(invalid(format!(
                    "Function call is missing a thought_signature in functionCall parts. This is required for tools to \
work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call \
`default_api:{name}`, position 2."
                )));
            }
        }
    }
    Ok(())
}

/// The parts of a content that hold this, and what they hold.
fn of<'a>(content: &'a Value, camel: &str, snake: &str) -> Vec<(&'a Value, &'a Value)> {
    let parts = items(content.get("parts")).into_iter();
    parts.filter_map(|part| Some((part, field(part, camel, snake).filter(|value| !value.is_null())?))).collect()
}

/// The budget of whoever leaves it to the model.
const DYNAMIC: i64 = -1;

/// The budgets that a model of the second generation takes.
fn budgets(model: &str) -> Option<(i64, i64)> {
    match model.strip_prefix("gemini-2.5-")? {
        of if of.starts_with("pro") => Some((128, 32_768)),
        of if of.starts_with("flash-lite") => Some((512, 24_576)),
        of if of.starts_with("flash") => Some((0, 24_576)),
        _ => None,
    }
}

/// Settings that this model has not.
pub(crate) fn check_model(request: &Value, model: &str) -> Result<(), ApiError> {
    let config = field(request, "generationConfig", "generation_config").unwrap_or(&Value::Null);
    let thinking = field(config, "thinkingConfig", "thinking_config").unwrap_or(&Value::Null);
    let level = field(thinking, "thinkingLevel", "thinking_level").is_some();
    let budget = field(thinking, "thinkingBudget", "thinking_budget").and_then(whole);
    if level && !signs(model) {
        return Err(invalid("Thinking level is not supported for this model."));
    }
    if budget == Some(0) && model.contains("-pro") {
        return Err(invalid("Budget 0 is invalid. This model only works in thinking mode."));
    }
    if let Some(budget) = budget.filter(|budget| *budget != DYNAMIC)
        && let Some((least, most)) = budgets(model)
        && !(least..=most).contains(&budget)
        && !(budget == 0 && model.contains("-lite"))
    {
        return Err(invalid(format!(
            "The thinking budget {budget} is invalid. Please choose a value between {least} and {most}."
        )));
    }
    let json = field(config, "responseMimeType", "response_mime_type").and_then(Value::as_str);
    if json == Some("application/json") && !items(request.get("tools")).is_empty() && !signs(model) {
        return Err(invalid("Function calling with a response mime type: 'application/json' is unsupported"));
    }
    if !signs(model) && mixes_tools(request) {
        return Err(invalid("Tool use with function calling is unsupported"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Wrapping;
    use serde_json::json;

    fn complaint(contents: &Value, model: &str) -> String {
        match check_calls(&json!({ "contents": contents }), model) {
            Ok(()) => String::new(),
            Err(error) => error.line(Wrapping::Bare),
        }
    }

    #[test]
    fn budgets_of_thoughts_have_bounds() {
        let told = |model: &str, budget: i64| {
            let request = json!({ "generationConfig": { "thinkingConfig": { "thinkingBudget": budget } } });
            check_model(&request, model).map_or_else(|error| error.line(Wrapping::Bare), |()| String::new())
        };
        let wrong = |model, budget, range| {
            let said = format!("The thinking budget {budget} is invalid. Please choose a value between {range}.");
            assert!(told(model, budget).contains(&said), "{model} {budget}: {}", told(model, budget));
        };
        wrong("gemini-2.5-flash", 999_999, "0 and 24576");
        wrong("gemini-2.5-flash", -7, "0 and 24576");
        wrong("gemini-2.5-flash-lite", 511, "512 and 24576");
        wrong("gemini-2.5-pro", 50, "128 and 32768");
        for (model, budget) in
            [("gemini-2.5-flash", 0), ("gemini-2.5-flash-lite", 0), ("gemini-2.5-pro", -1), ("gemini-2.5-pro", 128)]
        {
            assert_eq!(told(model, budget), "", "{model} {budget}");
        }
    }

    #[test]
    fn an_empty_list_of_tools_is_none() {
        let told = |tools: Value| {
            let request = json!({ "tools": tools, "generationConfig": { "responseMimeType": "application/json" } });
            check_model(&request, "gemini-2.5-flash").is_ok()
        };
        assert!(told(json!([])) && told(json!(null)));
        assert!(!told(json!([{ "functionDeclarations": [{ "name": "f" }] }])));
    }

    #[test]
    fn calls_are_answered_one_for_one_and_signed() {
        let user = json!({ "role": "user", "parts": [{ "text": "x" }] });
        let call = |signature: &str| {
            json!({ "role": "model", "parts": [
            { "functionCall": { "name": "f" }, "thoughtSignature": signature }, { "functionCall": { "name": "g" } },
        ] })
        };
        let bare = json!({ "role": "model", "parts": [{ "functionCall": { "name": "f" } }] });
        let answer =
            |n: usize| json!({ "role": "user", "parts": vec![json!({ "functionResponse": { "name": "f" } }); n] });
        let (old, new) = ("gemini-2.5-flash", "gemini-3.8-flash");
        assert_eq!(complaint(&json!([user, bare, answer(1)]), old), "");
        assert!(complaint(&json!([user, bare, answer(2)]), old).contains("number of function response parts"));
        assert!(complaint(&json!([user, bare, user]), old).contains("number of function response parts"));
        assert!(complaint(&json!([bare, answer(1)]), old).contains("immediately after a user turn"));
        assert!(complaint(&json!([user, bare, answer(1)]), new).contains("missing a thought_signature"));
        assert_eq!(complaint(&json!([user, bare, answer(1), user]), new), "", "an earlier turn is not looked at");
        assert!(complaint(&json!([user, call("AAAA"), answer(2)]), new).contains("Corrupted"));
        assert_eq!(complaint(&json!([user, call(SKIP), answer(2)]), new), "");
        assert_eq!(complaint(&json!([user, call(&signature(new, "f")), answer(2)]), new), "");
        assert!(complaint(&json!([user, call(&signature(old, "f")), answer(2)]), new).contains("Corrupted"));
    }
}
