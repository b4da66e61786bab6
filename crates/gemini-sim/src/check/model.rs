//! Settings that a model does not have.

use serde_json::Value;

use super::items;
use super::tools::mixes_tools;
use crate::refusal::ApiError;

/// The budget that leaves it to the model.
const DYNAMIC_BUDGET: i64 = -1;

fn is_third_generation(model: &str) -> bool {
    model.starts_with("gemini-3")
}

pub(crate) fn check_model(prompt: &Value, model: &str) -> Result<(), ApiError> {
    let invalid = |message: &str| Err(ApiError::malformed(message));
    let config = &prompt["generation_config"];
    check_thinking(&config["thinking_config"], model)?;
    if !is_third_generation(model) {
        let has_tools = items(&prompt["tools"]).next().is_some();
        if config["response_mime_type"] == "application/json" && has_tools {
            return invalid("Function calling with a response mime type: 'application/json' is unsupported");
        }
        if mixes_tools(prompt) {
            return invalid("Tool use with function calling is unsupported");
        }
    }
    // Only text is simulated.
    let modalities = || items(&config["response_modalities"]).filter_map(Value::as_str);
    if modalities().any(|modality| modality != "TEXT") {
        let wanted = modalities().collect::<Vec<_>>().join(",").to_ascii_lowercase();
        return Err(ApiError::malformed(format!(
            "The requested combination of response modalities ({wanted}) is not supported by the model."
        )));
    }
    Ok(())
}

fn check_thinking(thinking: &Value, model: &str) -> Result<(), ApiError> {
    if !thinking["thinking_level"].is_null() && !is_third_generation(model) {
        return Err(ApiError::malformed("Thinking level is not supported for this model."));
    }
    let Some(budget) = thinking["thinking_budget"].as_i64() else { return Ok(()) };
    if budget == 0 && model.contains("-pro") {
        return Err(ApiError::malformed("Budget 0 is invalid. This model only works in thinking mode."));
    }
    let (least, most) = match model.strip_prefix("gemini-2.5-") {
        Some(name) if name.starts_with("pro") => (128, 32_768),
        Some(name) if name.starts_with("flash-lite") => (512, 24_576),
        Some(name) if name.starts_with("flash") => (0, 24_576),
        _ => return Ok(()),
    };
    // Zero turns thinking off, also where the range begins above it.
    if budget == DYNAMIC_BUDGET || budget == 0 || (least..=most).contains(&budget) {
        return Ok(());
    }
    Err(ApiError::malformed(format!(
        "The thinking budget {budget} is invalid. Please choose a value between {least} and {most}."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn thinking_budgets_have_bounds() {
        let problem = |model: &str, budget: i64| {
            let prompt = json!({ "generation_config": { "thinking_config": { "thinking_budget": budget } } });
            check_model(&prompt, model).map_or_else(|error| error.to_line(), |()| String::new())
        };
        for (model, budget, range) in [
            ("gemini-2.5-flash", 999_999, "0 and 24576"),
            ("gemini-2.5-flash", -7, "0 and 24576"),
            ("gemini-2.5-flash-lite", 511, "512 and 24576"),
            ("gemini-2.5-pro", 50, "128 and 32768"),
        ] {
            let expected = format!("The thinking budget {budget} is invalid. Please choose a value between {range}.");
            assert!(problem(model, budget).contains(&expected), "{model} {budget}: {}", problem(model, budget));
        }
        assert!(problem("gemini-2.5-pro", 0).contains("only works in thinking mode"));
        for (model, budget) in
            [("gemini-2.5-flash", 0), ("gemini-2.5-flash-lite", 0), ("gemini-2.5-pro", -1), ("gemini-2.5-pro", 128)]
        {
            assert_eq!(problem(model, budget), "", "{model} {budget}");
        }
    }

    #[test]
    fn an_empty_list_of_tools_is_no_tool() {
        let config = json!({ "response_mime_type": "application/json" });
        let check =
            |tools: Value| check_model(&json!({ "tools": tools, "generation_config": config }), "gemini-2.5-flash");
        assert!(check(json!([])).is_ok());
        assert!(check(json!([{ "function_declarations": [{ "name": "f" }] }])).is_err());
    }
}
