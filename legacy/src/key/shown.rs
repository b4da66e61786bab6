//! Whether a text that is shown holds a key.

/// No key is shorter or longer, in characters.
const SHORTEST: usize = 8;
const LONGEST: usize = 256;

/// Whether a piece of a text is a secret, by itself or inside of a word. Costs as many questions as a word of the text
/// has pieces, so that the text should be short.
pub(crate) fn holds(text: &str, is_secret: impl Fn(&str) -> bool) -> bool {
    text.split_whitespace().any(|word| {
        let places: Vec<usize> = word.char_indices().map(|(at, _)| at).chain([word.len()]).collect();
        let begins = 0..places.len().saturating_sub(SHORTEST);
        let mut pieces = begins.flat_map(|begin| {
            let ends = begin + SHORTEST..places.len().min(begin + LONGEST + 1);
            let places = &places;
            ends.map(move |end| (places[begin], places[end]))
        });
        pieces.any(|(begin, end)| is_secret(&word[begin..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_it_stands() {
        let secret = "AQ.not-a-real-key-00";
        for (text, found) in [
            (secret.to_owned(), true),
            (format!("leaked: key={secret}, see größe"), true),
            (format!("größe{secret}größe"), true),
            (secret[1..].to_owned(), false),
            ("quota used up until Monday".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(holds(&text, |piece| piece == secret), found, "{text}");
        }
        assert!(holds("12345678", |piece| piece == "12345678"));
    }
}
