//! Differences between generations of models: how thinking is configured, and which requests they reject.

use serde_json::{Value, json};

use super::bare_model;
use crate::{Effort, Thinking, fields::without_nulls};

#[derive(Clone, Copy)]
enum Understands {
    Nothing,
    /// A token budget: the minimum when it thinks, the value for no thinking, and the maximum.
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

fn understands(model: &str) -> Understands {
    let model = bare_model(model);
    let begins = |fronts: &[&str]| fronts.iter().any(|front| model.starts_with(front));
    let pro = model.contains("-pro");
    if begins(&["gemini-1", "gemini-2.0", "gemini-pro", "gemma", "learnlm", "gemini-2.5-flash-image"])
        && !model.ends_with("latest")
    {
        Understands::Nothing
    } else if begins(&["gemini-2.5"]) {
        match (pro, model.contains("-lite")) {
            (true, _) => Understands::Budget { least: 128, off: 128, most: 32_768 },
            (false, true) => Understands::Budget { least: 512, off: 0, most: 24_576 },
            (false, false) => Understands::Budget { least: 1, off: 0, most: 24_576 },
        }
    } else if !begins(&["gemini-"]) {
        // A custom model name: every thinking generation accepts a budget, and these values are valid for all.
        Understands::Budget { least: 512, off: 128, most: 24_576 }
    } else if pro {
        // The first Pro of its generation only has the levels low and high.
        Understands::Levels { least: "low", medium: if begins(&["gemini-3-"]) { "high" } else { "medium" } }
    } else {
        // Flash models from 3.7 on reject the level minimal.
        let minimal = ["gemini-3-", "gemini-3.1-", "gemini-3.5-", "gemini-3.6-"];
        let least = if begins(&minimal) || model.contains("-lite") { "minimal" } else { "low" };
        Understands::Levels { least, medium: "medium" }
    }
}

/// Reports whether the last turn must be the user's; earlier models continue a turn of their own.
pub(super) fn wants_user_turn_last(model: &str) -> bool {
    let may_continue = ["gemini-3-", "gemini-3.1-"].iter().any(|front| bare_model(model).starts_with(front));
    matches!(understands(model), Understands::Levels { .. }) && !may_continue
}

/// Reports whether calls must be sent back with a thought signature. Models of the third generation require it, and
/// Google serves some older names by them (`gemini-2.5-pro` from December 2026 on).
pub(super) fn wants_signatures(model: &str) -> bool {
    !matches!(understands(model), Understands::Nothing) && !bare_model(model).starts_with("gemini-2.5-flash-lite")
}

/// Reports whether every part of the model's turns must be sent back signed, as image models require.
pub(super) fn wants_all_signed(model: &str) -> bool {
    let draws = ["-image", "nano-banana"].iter().any(|word| model.contains(word));
    draws && matches!(understands(model), Understands::Levels { .. })
}

/// Reports whether a model rejects functions together with JSON output, as those before the third generation do.
pub(super) fn refuses_tools_beside_json(model: &str) -> bool {
    !matches!(understands(model), Understands::Levels { .. })
}

/// Returns `generationConfig.thinkingConfig` for a model; `null` if there is nothing to set or the model does not
/// think. Gemini rejects a budget and a level together.
pub(super) fn config(model: &str, thinking: Thinking) -> Value {
    let understands = understands(model);
    let (mut budget, mut level) = (None, None);
    match (understands, thinking.effort) {
        (Understands::Nothing, _) => return Value::Null,
        (_, None) => {}
        (Understands::Budget { least, off, most }, Some(effort)) => {
            budget = Some(match effort {
                Effort::Off => off,
                Effort::Minimal | Effort::Low => 1_024,
                Effort::Medium => 8_192,
                Effort::High => 24_576,
                Effort::Tokens(tokens) => tokens.clamp(least, most),
            });
        }
        (Understands::Levels { least, medium }, Some(effort)) => {
            level = Some(match effort {
                Effort::Off | Effort::Minimal => least,
                Effort::Low | Effort::Tokens(0..=1_024) => "low",
                Effort::Medium | Effort::Tokens(1_025..=8_192) => medium,
                Effort::High | Effort::Tokens(_) => "high",
            });
        }
    }
    // Gemini rejects `includeThoughts` when thinking is off.
    let shown = thinking.shown.filter(|_| thinking.effort != Some(Effort::Off));
    without_nulls(json!({ "includeThoughts": shown, "thinkingBudget": budget, "thinkingLevel": level }))
}
