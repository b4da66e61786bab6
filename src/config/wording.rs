//! Error messages that name the expected value, but of the actual values only plain words: others may be secrets.

use super::key_entry::EntryError;
use crate::secret::MIN_REDACTED;

/// Rewrites a deserializer's message without the values that it quotes, except a plain word that is not in a list of
/// words.
pub(super) fn without_values(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let first = quoted.first().copied().unwrap_or_default();
    match message.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["unknown", "field"] => unknown_option(first, quoted.get(1..).unwrap_or_default()),
        ["missing", "field"] => format!("{first} is missing"),
        ["invalid", "type:" | "value:" | "length"] | ["unknown", "variant"] => {
            let expected = message.rsplit_once("expected ").map_or("another value", |(_, expected)| expected);
            match expected {
                "u8" | "u16" | "u32" | "u64" | "usize" => "expected a whole number, 0 or more".to_owned(),
                "a sequence" => "expected a list such as [\"a\", \"b\"]".to_owned(),
                "struct LimitsEntry" => "expected the limits of a model, such as { rpm = 10 }".to_owned(),
                "f64" => "expected a number".to_owned(),
                expected if expected == "a map" || expected.starts_with("struct ") => "expected a table".to_owned(),
                expected if message.starts_with("unknown") && is_word(first) => {
                    format!("expected {}, not \"{first}\"", expected.replace('`', ""))
                }
                expected => format!("expected {}", expected.replace('`', "")),
            }
        }
        _ => message.to_owned(),
    }
}

/// Returns the message for an unknown option.
pub(super) fn unknown_option(name: &str, known: &[&str]) -> String {
    let most = if name.len() < 4 { 1 } else { 2 };
    let near = known.iter().map(|known| (difference(name, known), known)).filter(|(letters, _)| *letters <= most);
    if let Some((_, near)) = near.min_by_key(|(letters, _)| *letters) {
        return format!("\"{name}\" is not an option; did you mean \"{near}\"?");
    }
    let name = if is_word(name) { format!("\"{name}\"") } else { "this".to_owned() };
    format!("{name} is not an option; the options are {}", known.join(", "))
}

/// Reports whether a text is a plain word. Any other text may be a key that was pasted by mistake.
pub(super) fn is_word(text: &str) -> bool {
    (1..=24).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-".contains(&byte))
}

/// Returns the length of the longer word without the prefix and the suffix that both words share.
fn difference(a: &str, b: &str) -> usize {
    let shorter = a.len().min(b.len());
    let begin = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let ends = a.bytes().rev().zip(b.bytes().rev()).take(shorter - begin);
    a.len().max(b.len()) - begin - ends.take_while(|(a, b)| a == b).count()
}

/// Reports whether part of a text starts like a provider's key and is at least 20 bytes long.
pub(super) fn looks_like_key(text: &str) -> bool {
    text.split(['/', '\\', ' ', ':']).any(|part| part.len() >= 20 && vendor_of(part).is_some())
}

/// Vendors, how their keys start, and parts of their names. A longer start comes before a shorter one.
const VENDORS: [(&str, &str, &str); 11] = [
    ("Google", "AIza AQ. ya29.", "google gemini vertex"),
    ("Anthropic", "sk-ant-", "anthropic claude"),
    ("OpenRouter", "sk-or-", "openrouter"),
    ("OpenAI", "sk-", "openai"),
    ("Groq", "gsk_", "groq"),
    ("xAI", "xai-", "xai grok"),
    ("Hugging Face", "hf_", "huggingface"),
    ("DeepSeek", "", "deepseek"),
    ("Mistral", "", "mistral"),
    ("Cohere", "", "cohere"),
    ("Azure", "", "azure"),
];

/// Returns the vendor whose keys start like this text.
fn vendor_of(text: &str) -> Option<&'static str> {
    let has_start = |starts: &str| starts.split_whitespace().any(|start| text.starts_with(start));
    VENDORS.iter().find(|(_, starts, _)| has_start(starts)).map(|(vendor, ..)| *vendor)
}

/// Checks that a text can be a key of this vendor.
pub(super) fn check_vendor(text: &str, vendor: &str) -> Result<(), EntryError> {
    match vendor_of(text) {
        Some(other) if other != vendor => {
            Err(EntryError::OtherService(format!("this looks like a key of {other}, not of {vendor}")))
        }
        _ if text.len() < MIN_REDACTED || text.len() > 512 || text.contains([':', '/', '|']) => {
            Err(EntryError::Invalid(format!(
                "this is not a key of {vendor}: expected {MIN_REDACTED} to 512 characters without \":\", \"/\" and \"|\""
            )))
        }
        _ => Ok(()),
    }
}

/// Reports whether a text names a vendor, but neither the provider with these names nor its vendor.
pub(super) fn names_other_vendor(text: &str, own: &[String]) -> bool {
    let plain: String = text.to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).collect();
    // A short name may be part of another word.
    let is_own = |name: &String| {
        let is_word = || text.split([' ', '-', '_']).any(|word| word.eq_ignore_ascii_case(name));
        name.eq_ignore_ascii_case(text) || is_word() || name.len() > 3 && plain.contains(&name.to_lowercase())
    };
    let is_named = |(.., words): &&(&str, &str, &str)| words.split(' ').any(|word| plain.contains(word));
    let is_vendor = |(.., words): &(&str, &str, &str)| {
        words.split(' ').any(|word| own.iter().any(|name| name.eq_ignore_ascii_case(word)))
    };
    let named: Vec<_> = VENDORS.iter().filter(is_named).collect();
    !named.is_empty() && !named.into_iter().any(is_vendor) && !own.iter().any(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_contain_no_values() {
        for (message, shown) in [
            ("unknown field `teir`, expected one of `id`, `tier`", "\"teir\" is not an option; did you mean \"tier\"?"),
            ("unknown field `AIzaSy-key`, expected `id` or `tier`", "this is not an option; the options are id, tier"),
            ("unknown field `region`, expected `id`", "\"region\" is not an option; the options are id"),
            ("unknown variant `AIzaSy-secret`, expected `lru` or `weighted`", "expected lru or weighted"),
            ("unknown variant `fast`, expected `lru` or `weighted`", "expected lru or weighted, not \"fast\""),
            ("invalid type: string \"AIzaSy, expected x\", expected a boolean", "expected a boolean"),
            ("invalid type: integer `5`, expected struct GatewaySection", "expected a table"),
            ("invalid type: string \"x\", expected f64", "expected a number"),
            ("missing field `class`", "class is missing"),
            ("invalid type: string \"a,b\", expected a sequence", "expected a list such as [\"a\", \"b\"]"),
            (
                "invalid type: string \"a\", expected struct LimitsEntry",
                "expected the limits of a model, such as { rpm = 10 }",
            ),
        ] {
            assert_eq!(without_values(message), shown);
        }
    }

    #[test]
    fn mistyped_names_are_recognized_and_other_words_are_not() {
        for (name, known, near) in [
            ("teir", "tier", true),
            ("wieght", "weight", true),
            ("owners", "owner", true),
            ("region", "weight", false),
            ("prority", "priority", true),
            ("weightt", "weight", true),
            ("height", "tier", false),
        ] {
            assert_eq!(difference(name, known) <= 2, near, "{name}");
        }
        assert_eq!((difference("", "id"), difference("idid", "id"), difference("id", "id")), (2, 2, 0));
    }
}
