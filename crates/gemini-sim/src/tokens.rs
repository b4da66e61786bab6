//! How the simulator counts tokens: one for every four characters begun, of
//! all text that a prompt holds, and 258 for every inline or uploaded medium.
//! Crude, but everyone can compute it.

use serde_json::Value;

/// What an image, a sound or a file costs.
pub(crate) const MEDIUM: u64 = 258;

/// Tokens of a text.
pub fn tokens_of_text(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

/// Tokens of a generate request's (or a cache's) prompt: contents, system
/// instruction and tools.
pub(crate) fn of_prompt(request: &Value) -> u64 {
    let mut count = Count::default();
    for (camel, snake) in [("contents", "contents"), ("systemInstruction", "system_instruction")] {
        if let Some(content) = request.get(camel).or_else(|| request.get(snake)) {
            count.contents(content);
        }
    }
    if let Some(tools) = request.get("tools") {
        count.characters += tools.to_string().chars().count() as u64;
    }
    count.tokens()
}

/// Tokens of one content, at least one.
pub(crate) fn of_content(content: &Value) -> u64 {
    let mut count = Count::default();
    count.contents(content);
    count.tokens().max(1)
}

#[derive(Default)]
struct Count {
    characters: u64,
    media: u64,
}

impl Count {
    fn tokens(&self) -> u64 {
        self.characters.div_ceil(4) + self.media * MEDIUM
    }

    fn contents(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.contents(item)),
            Value::Object(_) => self.parts(value.get("parts").unwrap_or(&Value::Null)),
            _ => {}
        }
    }

    fn parts(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.parts(item)),
            Value::Object(part) => {
                for (name, value) in part {
                    match name.as_str() {
                        "text" => {
                            let text = value.as_str().unwrap_or_default();
                            self.characters += text.chars().count() as u64;
                        }
                        "inlineData" | "inline_data" | "fileData" | "file_data" => self.media += 1,
                        "functionCall" | "function_call" | "functionResponse" | "function_response" => {
                            self.characters += value.to_string().chars().count() as u64;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_counts_by_characters_over_all_parts() {
        let request = json!({
            "systemInstruction": { "parts": [{ "text": "abcd" }] },
            "contents": [{ "parts": [{ "text": "абвг" }, { "text": "e" }] }],
        });
        assert_eq!(of_prompt(&request), 3);
    }

    #[test]
    fn media_cost_a_fixed_sum_and_one_content_may_be_given_alone() {
        let request = json!({ "contents": { "parts": { "inlineData": { "data": "AAAA" } } } });
        assert_eq!(of_prompt(&request), MEDIUM);
    }
}
