//! The counting of tokens: one for every four characters of a prompt's text, rounded up, and 258 for every inline or
//! uploaded medium. This is crude, but easy to compute.

use serde_json::Value;

/// Tokens of an image, a sound or a file.
const MEDIUM: u64 = 258;

/// Returns the number of tokens of a text.
pub fn tokens_of_text(text: &str) -> u64 {
    characters(text).div_ceil(4)
}

/// Returns the number of tokens of a prompt or a cache: contents, system instruction and tools.
pub(crate) fn tokens_of_prompt(prompt: &Value) -> u64 {
    let mut count = Count::default();
    prompt["contents"].as_array().into_iter().flatten().for_each(|content| count.add(content));
    count.add(&prompt["system_instruction"]);
    if let Some(tools) = prompt.get("tools") {
        count.characters += characters(&tools.to_string());
    }
    count.tokens()
}

/// Returns the number of tokens of one content, at least one.
pub(crate) fn tokens_of_content(content: &Value) -> u64 {
    let mut count = Count::default();
    count.add(content);
    count.tokens().max(1)
}

fn characters(text: &str) -> u64 {
    text.chars().count() as u64
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

    fn add(&mut self, content: &Value) {
        for (name, value) in content["parts"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten() {
            match name.as_str() {
                "text" => self.characters += characters(value.as_str().unwrap_or_default()),
                "inline_data" | "file_data" => self.media += 1,
                "function_call" | "function_response" => self.characters += characters(&value.to_string()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_counted_over_all_parts_and_media_have_a_fixed_count() {
        let prompt = json!({
            "system_instruction": { "parts": [{ "text": "abcd" }] },
            "contents": [{ "parts": [{ "text": "абвг" }, { "text": "e" }, { "inline_data": { "data": "AAAA" } }] }],
        });
        assert_eq!(tokens_of_prompt(&prompt), 3 + MEDIUM);
    }
}
