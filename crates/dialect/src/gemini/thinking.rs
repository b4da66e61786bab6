//! How an effort is told to a model, which depends on its generation.

use serde::Serialize;

use super::name;
use crate::{Effort, Fault, Thinking};

/// `generationConfig.thinkingConfig`. Never both a budget and a level: that is a 400.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) include_thoughts: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking_budget: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking_level: Option<&'static str>,
}

/// What a model understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Understands {
    Nothing,
    /// Tokens: so many at least where any are wished for, and where none are.
    Budget {
        least: u32,
        off: u32,
        most: u32,
    },
    Levels {
        least: &'static str,
        medium: &'static str,
    },
}

fn of(model: &str) -> Understands {
    let model = name(model);
    let begins = |fronts: &[&str]| fronts.iter().any(|front| model.starts_with(front));
    let pro = model.contains("-pro");
    if begins(&["gemini-1", "gemini-2.0", "gemini-pro", "gemma", "learnlm"]) && !model.ends_with("latest") {
        Understands::Nothing
    } else if begins(&["gemini-2.5"]) {
        if pro {
            Understands::Budget { least: 128, off: 128, most: 32_768 }
        } else {
            // The smallest ones do not begin with less.
            let least = if model.contains("-lite") { 512 } else { 1 };
            Understands::Budget { least, off: 0, most: 24_576 }
        }
    } else if !begins(&["gemini-"]) {
        // Somebody's own name for one: a budget is understood by every generation that thinks, and this much by each of them.
        Understands::Budget { least: 512, off: 128, most: 24_576 }
    } else if pro {
        // The first of its generation knows low and high only.
        Understands::Levels { least: "low", medium: if begins(&["gemini-3-"]) { "high" } else { "medium" } }
    } else {
        Understands::Levels { least: "minimal", medium: "medium" }
    }
}

/// Whether a model refuses tools and a form of its answer at once.
pub(super) fn has_tools_or_form(model: &str) -> bool {
    !matches!(of(model), Understands::Levels { .. })
}

/// Whether a model may look things up on the web.
pub(super) fn searches(model: &str) -> bool {
    !["gemini-1", "gemini-pro", "gemma", "learnlm"].iter().any(|front| name(model).starts_with(front))
}

/// Whether calls must come back with what was signed.
pub(super) fn wants_signatures(model: &str) -> bool {
    match of(model) {
        Understands::Levels { .. } => true,
        // A name that says nothing may be of one that wants them; the others read over them.
        Understands::Budget { .. } => !name(model).starts_with("gemini-"),
        Understands::Nothing => false,
    }
}

/// Whether all that the model said must come back signed: where it draws, one of these generations is strict.
pub(super) fn wants_all_signed(model: &str) -> bool {
    matches!(of(model), Understands::Levels { .. }) && name(model).contains("-image")
}

/// The setting for this model; `None`: there is nothing to set.
///
/// # Errors
/// When it was asked to think and cannot.
pub(super) fn config(model: &str, thinking: Thinking) -> Result<Option<Config>, Fault> {
    let Thinking { effort, place, shown } = thinking;
    let mut config = Config { include_thoughts: shown, ..Config::default() };
    match (of(model), effort) {
        (_, None) | (Understands::Nothing, Some(Effort::Off)) => {}
        (Understands::Nothing, Some(_)) => {
            return Err(Fault::invalid(format!("{model} does not think: {place} cannot be had")).at(place));
        }
        (Understands::Budget { least, off, most }, Some(effort)) => {
            config.thinking_budget = Some(match effort {
                Effort::Off => off,
                Effort::Minimal | Effort::Low => 1_024,
                Effort::Medium => 8_192,
                Effort::High => 24_576,
                Effort::Tokens(tokens) => tokens.clamp(least, most),
            });
        }
        (Understands::Levels { least, medium }, Some(effort)) => {
            config.thinking_level = Some(match effort {
                Effort::Off | Effort::Minimal => least,
                Effort::Low => "low",
                Effort::Tokens(tokens) if tokens <= 1_024 => "low",
                Effort::Medium => medium,
                Effort::Tokens(tokens) if tokens <= 8_192 => medium,
                Effort::High | Effort::Tokens(_) => "high",
            });
        }
    }
    if of(model) == Understands::Nothing {
        config.include_thoughts = None;
    }
    Ok((config != Config::default()).then_some(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(model: &str, effort: Effort) -> String {
        match config(model, Thinking { effort: Some(effort), place: "reasoning_effort", shown: None }) {
            Ok(config) => serde_json::to_string(&config).unwrap(),
            Err(fault) => fault.param.unwrap(),
        }
    }

    #[test]
    fn each_generation_in_its_words() {
        use Effort::{High, Low, Medium, Minimal, Off, Tokens};
        for (model, effort, expected) in [
            ("gemini-2.5-flash", Off, r#"{"thinkingBudget":0}"#),
            ("gemini-2.5-pro", Off, r#"{"thinkingBudget":128}"#),
            ("gemini-2.5-flash", Minimal, r#"{"thinkingBudget":1024}"#),
            ("models/gemini-2.5-flash", Medium, r#"{"thinkingBudget":8192}"#),
            ("gemini-2.5-pro", High, r#"{"thinkingBudget":24576}"#),
            ("gemini-2.5-flash", Tokens(100_000), r#"{"thinkingBudget":24576}"#),
            ("gemini-2.5-flash", Tokens(100), r#"{"thinkingBudget":100}"#),
            ("gemini-2.5-flash-lite", Off, r#"{"thinkingBudget":0}"#),
            ("gemini-2.5-flash-lite", Tokens(100), r#"{"thinkingBudget":512}"#),
            ("gemini-2.5-pro", Tokens(100_000), r#"{"thinkingBudget":32768}"#),
            ("my-own-name", Tokens(100), r#"{"thinkingBudget":512}"#),
            ("gemini-3.8-flash", Off, r#"{"thinkingLevel":"minimal"}"#),
            ("gemini-3-pro-preview", Off, r#"{"thinkingLevel":"low"}"#),
            ("gemini-3-pro-preview", Medium, r#"{"thinkingLevel":"high"}"#),
            ("gemini-3.1-pro", Medium, r#"{"thinkingLevel":"medium"}"#),
            ("gemini-flash-latest", Low, r#"{"thinkingLevel":"low"}"#),
            ("my-own-name", Low, r#"{"thinkingBudget":1024}"#),
            ("gemini-2.0-flash", Off, "null"),
            ("gemini-2.0-flash", High, "reasoning_effort"),
        ] {
            assert_eq!(says(model, effort), expected, "{model} {effort:?}");
        }
    }
}
