//! Whose words a message is made of. Providers echo what the caller chose — a model's name, a file's, a value that does
//! not fit — and none of that may be read as their own word about a key. So what the caller chose is taken out, and a
//! sentence counts only where it stands as the provider writes it: from its first word on, up to an end.

/// Names of resources that callers choose stand behind these.
const COLLECTIONS: [&str; 9] = [
    "files/",
    "models/",
    "tunedmodels/",
    "cachedcontents/",
    "corpora/",
    "operations/",
    "batches/",
    "deployments/",
    "filesearchstores/",
];

/// Words in front of a colon that say no more than that an error follows.
const PREFACES: [&str; 27] = [
    "api",
    "anthropic",
    "bad",
    "client",
    "error",
    "errors",
    "exception",
    "failed_precondition",
    "fatal",
    "forbidden",
    "from",
    "gemini",
    "google",
    "http",
    "invalid_argument",
    "message",
    "openai",
    "permission_denied",
    "provider",
    "request",
    "resource_exhausted",
    "server",
    "status",
    "unauthenticated",
    "unauthorized",
    "upstream",
    "vertex",
];

/// The longest name that stands between two parts of a sentence.
const LONGEST_NAME: usize = 160;

/// The provider's own words of a message that is in lower case.
pub(super) fn own(message: &str) -> String {
    unprefaced(&unnamed(&unquoted(&message.replace('\u{2019}', "'")))).to_owned()
}

/// The message without what the request named as its model; `None` where that changes nothing. Only a name with a blank
/// in it can be taken for a sentence; any other may stand in one.
pub(super) fn without(message: &str, asked: &str) -> Option<String> {
    let asked = asked.trim().to_lowercase();
    (asked.contains(char::is_whitespace) && message.contains(&asked)).then(|| message.replace(&asked, "''"))
}

/// Whether `text` begins with this sentence. One that ends in a blank goes on as it likes; any other is whole there: what
/// follows is no further word.
pub(super) fn begins(text: &str, sentence: &str) -> bool {
    let begins = |text: &str| text.starts_with(sentence) || text.strip_prefix(sentence.trim_end()).is_some_and(is_over);
    let open = sentence.ends_with(|last: char| !last.is_alphanumeric());
    let whole = |text: &str| text.strip_prefix(sentence).is_some_and(is_over);
    let one = |text: &str| if open { begins(text) } else { whole(text) };
    one(text) || one(undetermined(text))
}

/// Whether `text` is this and no more, a zero standing for any digit.
pub(super) fn is_whole(text: &str, known: &str) -> bool {
    let text = text.trim_end_matches(|c: char| c.is_whitespace() || ".!".contains(c));
    let plain = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c });
    plain.eq(known.chars())
}

/// Whether `text` begins with `before`, one word that may be anything, and `after`.
pub(super) fn frames(text: &str, before: &str, after: &str) -> bool {
    let one = |text: &str| {
        let Some(rest) = text.strip_prefix(before) else { return false };
        let name = rest.find(char::is_whitespace).unwrap_or(rest.len());
        name <= LONGEST_NAME && begins(&rest[name..], after)
    };
    one(text) || one(undetermined(text))
}

/// Where sentences begin, behind the first one.
pub(super) fn later_sentences(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.char_indices().filter(|(_, c)| matches!(c, '.' | '!' | '?' | '\n' | ';'));
    ends.map(|(at, c)| text[at + c.len_utf8()..].trim_start()).filter(|rest| !rest.is_empty()).take(32)
}

/// Whether `text` has these words as words of its own, and not as parts of a name: `acme/day-1`, `weekly-news`. Words with a
/// hyphen are names themselves.
pub(super) fn stands(text: &str, words: &str) -> bool {
    places(text, words).next().is_some()
}

/// Where it has them so.
pub(super) fn places<'t>(text: &'t str, words: &'t str) -> impl Iterator<Item = usize> + 't {
    let joins = |c: char| "-_@".contains(c);
    let is_slashed = words.starts_with('/');
    let found = text.match_indices(words).filter(move |(at, _)| {
        let joined = text[..*at].ends_with(|c: char| joins(c) || c == '/') && !is_slashed;
        let goes_on = text[at + words.len()..].starts_with(|c: char| joins(c) || is_slashed && c.is_alphabetic());
        words.contains('-') || !joined && !goes_on
    });
    found.map(|(at, _)| at)
}

/// No word follows: the end, or a mark of punctuation.
fn is_over(rest: &str) -> bool {
    !rest.trim_start().starts_with(char::is_alphanumeric)
}

fn undetermined(text: &str) -> &str {
    let determiners = ["the ", "your ", "this ", "provided ", "supplied ", "given "];
    let mut text = text;
    while let Some(rest) = determiners.iter().find_map(|word| text.strip_prefix(word)) {
        text = rest;
    }
    text
}

/// Empties whatever stands in quotes. One that is not closed goes on to the end.
fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"', '`', '\u{201c}', '\u{2018}']) {
        let quote = rest[at..].chars().next().unwrap_or('"');
        let behind = at + quote.len_utf8();
        let last = rest[..at].chars().next_back().unwrap_or(before);
        out.push_str(&rest[..at]);
        rest = &rest[behind..];
        // An apostrophe is no quote.
        if quote == '\'' && last.is_alphanumeric() {
            out.push(quote);
            before = quote;
            continue;
        }
        out.push_str("''");
        before = '\'';
        let closes = match quote {
            '\u{201c}' => '\u{201d}',
            '\u{2018}' => '\'',
            other => other,
        };
        let is_end = |(at, _): &(usize, &str)| {
            let escaped = rest[..*at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
            !escaped && (closes != '\'' || !rest[at + 1..].starts_with(char::is_alphanumeric))
        };
        let Some((end, close)) = rest.match_indices(closes).find(is_end) else { return out };
        rest = &rest[end + close.len()..];
    }
    out.push_str(rest);
    out
}

/// Takes the names of resources out: `files/a-b` becomes `files/`.
fn unnamed(text: &str) -> String {
    if !text.contains('/') {
        return text.to_owned();
    }
    let words = text.split_inclusive(char::is_whitespace);
    let shorten = |word: &str| {
        let name = COLLECTIONS.iter().filter_map(|name| word.find(name).map(|at| at + name.len())).min();
        let Some(end) = name.filter(|_| !word.contains("://")) else { return word.to_owned() };
        // What ends the sentence stays.
        let tail = word[end..].trim_end_matches(|c: char| c.is_whitespace() || ".,;:!?)".contains(c)).len();
        format!("{}{}", &word[..end], &word[end + tail..])
    };
    words.map(shorten).collect()
}

/// Drops what only says that an error follows: `Error: `, `[400 Bad Request] `, `403 Forbidden - `.
fn unprefaced(text: &str) -> &str {
    let mut text = text;
    for _ in 0..4 {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || "*-\u{2022}>".contains(c));
        if let Some(rest) = text.strip_prefix('[')
            && let Some(end) =
                rest.find(']').filter(|end| *end <= 60 && rest[..*end].split_whitespace().all(is_preface))
        {
            text = &rest[end + 1..];
            continue;
        }
        let end = [":", " - ", ". "].iter().filter_map(|end| text.find(end).map(|at| (at, at + end.len()))).min();
        let Some((at, behind)) = end.filter(|(at, _)| (1..=60).contains(at)) else { break };
        if !text[..at].split_whitespace().all(is_preface) {
            break;
        }
        text = &text[behind..];
    }
    text.trim_start()
}

fn is_preface(word: &str) -> bool {
    let word = word.trim_matches(|c: char| "().,#".contains(c));
    let number = word.len() <= 5 && word.bytes().all(|byte| byte.is_ascii_digit());
    number || PREFACES.contains(&word) || (word.len() > 5 && (word.ends_with("error") || word.ends_with("exception")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sentence_is_whole_or_it_is_none() {
        for text in [
            "invalid api key",
            "invalid api key.",
            "invalid api key (request id: x1)",
            "invalid api key: sk-***",
            "invalid api key - see the docs",
        ] {
            assert!(begins(text, "invalid api key"), "{text}");
        }
        for text in ["invalid api key is not a valid model id", "invalid api keys", "no invalid api key", ""] {
            assert!(!begins(text, "invalid api key"), "{text}");
        }
        for text in ["user location is not supported for the api use.", "user location is not supported."] {
            assert!(begins(text, "user location is not supported "), "{text}");
        }
        assert!(begins("the provided api key expired.", "api key expired"));
        assert!(frames("account foo is suspended, pay", "account ", " is suspended"));
        assert!(frames("consumer '' has been suspended.", "consumer ", " has been suspended"));
        assert!(!frames("account of some one is suspended", "account ", " is suspended"));
        assert!(!frames("account foo is suspended in time", "account ", " is suspended"));
    }

    #[test]
    fn a_name_is_no_word_of_the_sentence() {
        for (text, words) in [
            ("1000 calls/day, no more", "/day"),
            ("your weekly usage limits", "weekly"),
            ("your usage limits", "usage limit"),
            ("free-models-per-day-high-balance", "per-day"),
        ] {
            assert!(stands(text, words), "{text}");
        }
        for (text, words) in [
            ("for acme/day-llama", "/day"),
            ("for acme/daytona", "/day"),
            ("for acme/weekly", "weekly"),
            ("organization acme-weekly", "weekly"),
            ("for weekly-news now", "weekly"),
        ] {
            assert!(!stands(text, words), "{text}");
        }
    }

    #[test]
    fn what_the_caller_chose_is_taken_out() {
        for (message, own_words) in [
            ("the model `a b` doesn't exist", "the model '' doesn't exist"),
            ("unknown name \"api key not valid\": no field", "unknown name '': no field"),
            ("value 'it's here' at 'x'", "value '' at ''"),
            ("cut in the \"middle of", "cut in the ''"),
            ("models/gemini-x is not found", "models/ is not found"),
            ("see https://a.example/files/x now", "see https://a.example/files/x now"),
            ("file files/billing-x.", "file files/."),
            ("error: [400 bad request] 403 forbidden - no", "no"),
            ("apierror: openai error: no", "no"),
            ("403 permission_denied. no", "no"),
            ("aierror: 3036: no", "no"),
            ("permission denied: consumer 'x'", "permission denied: consumer ''"),
            ("your key\u{2019}s project", "your key's project"),
        ] {
            assert_eq!(own(message), own_words, "{message}");
        }
        assert_eq!(without("invalid api key: is down", "Invalid API key:").as_deref(), Some("'' is down"));
        assert_eq!(without("model a is down", "a"), None);
        assert_eq!(later_sentences("a. b! c").collect::<Vec<_>>(), ["b! c", "c"]);
    }

    proptest! {
        #[test]
        fn any_text(text in "\\PC{0,60}", asked in "\\PC{0,10}", cut in "['\"`/:. \\[\\]a-c\u{201c}\u{201d}\u{2018}]{0,40}") {
            for text in [text, cut] {
                let text = text.to_lowercase();
                let own = own(&without(&text, &asked).unwrap_or_else(|| text.clone()));
                prop_assert!(own.len() <= 4 * text.len() + 8);
                let _ = (begins(&own, &asked), frames(&own, "a", "b"), later_sentences(&own).count());
            }
        }
    }
}
