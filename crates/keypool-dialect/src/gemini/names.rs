//! Mapping between the callers' and Gemini's names of functions.

use std::collections::{HashMap, HashSet};

use super::request::{ANSWER, answer_by_call};
use crate::{Conversation, Part};

/// Maximum length of a name at Gemini.
const MAX: usize = 64;

/// The names of one conversation's functions. A name that Gemini would reject is replaced by another for Gemini.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    declared: Vec<String>,
    /// Gemini's names by the callers' names.
    at_gemini: HashMap<String, String>,
    /// The callers' names by Gemini's names.
    at_caller: HashMap<String, String>,
}

impl Names {
    pub(crate) fn new(conversation: &Conversation) -> Self {
        let answer = answer_by_call(conversation).map(|_| ANSWER);
        let declared = conversation.tools.iter().map(|tool| &*tool.name).chain(answer);
        let mut names = Self { declared: declared.clone().map(str::to_owned).collect(), ..Self::default() };
        let called = conversation.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
            Part::Call(call) => Some(&*call.name),
            Part::Result(result) => Some(&*result.name),
            _ => None,
        });
        let all: Vec<&str> = declared.chain(called).collect();
        let mut used: HashSet<String> = all.iter().filter(|name| is_valid(name)).map(|name| (*name).into()).collect();
        let mut numbers = HashMap::new();
        for name in all.into_iter().filter(|name| !is_valid(name)) {
            if !names.at_gemini.contains_key(name) {
                let new_name = free(&plain(name), &mut used, &mut numbers);
                names.at_caller.insert(new_name.clone(), name.to_owned());
                names.at_gemini.insert(name.to_owned(), new_name);
            }
        }
        names
    }

    /// Returns the name of a function at Gemini.
    pub(crate) fn at_gemini<'n>(&'n self, name: &'n str) -> &'n str {
        self.at_gemini.get(name).map_or(name, String::as_str)
    }

    /// Returns the declared function that Gemini means by a name: models write `default_api:read_file` for `read_file`,
    /// or `create_docx` for `create-docx`. A name that matches several functions or none is returned unchanged.
    pub(crate) fn at_caller<'n>(&'n self, name: &'n str) -> &'n str {
        let bare = without_namespace(name);
        let declared = |name: &str| self.declared.iter().find(|declared| *declared == name);
        let exact = |name: &str| self.at_caller.get(name).or_else(|| declared(name));
        let meant = |name: &str| {
            let mut found = self.declared.iter().filter(|declared| letters(declared).eq(letters(name)));
            found.next().filter(|_| found.next().is_none())
        };
        let found = exact(name).or_else(|| exact(bare));
        found.or_else(|| meant(name)).or_else(|| meant(bare)).map_or(name, String::as_str)
    }
}

/// Removes the prefixes that models put before a name.
fn without_namespace(name: &str) -> &str {
    let front = ["default_api", "functions", "tools"].iter().find_map(|front| name.strip_prefix(front));
    let bare = front.and_then(|rest| rest.strip_prefix([':', '.', '_']));
    bare.or_else(|| name.rsplit_once(':').map(|(_, bare)| bare)).unwrap_or(name)
}

/// Returns the letters and digits of a name in lower case, which models keep.
fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// Reports whether a character is allowed in a name; the first one must not be a digit, dot or hyphen.
fn is_allowed(letter: char, first: bool) -> bool {
    letter.is_ascii_alphabetic() || letter == '_' || !first && (letter.is_ascii_digit() || ".-".contains(letter))
}

/// Reports whether Gemini accepts a name.
fn is_valid(name: &str) -> bool {
    let plain = name.chars().enumerate().all(|(at, letter)| is_allowed(letter, at == 0));
    plain && !name.is_empty() && name.len() <= MAX
}

/// Returns the nearest name that Gemini accepts.
fn plain(name: &str) -> String {
    let front = if name.starts_with(|first| is_allowed(first, true)) { "" } else { "_" };
    let rest = name.chars().map(|letter| if is_allowed(letter, false) { letter } else { '_' });
    front.chars().chain(rest).take(MAX).collect()
}

/// Returns the name, with a number appended if another function has it. `numbers` has the last number of each name.
fn free(name: &str, used: &mut HashSet<String>, numbers: &mut HashMap<String, u32>) -> String {
    let number = numbers.entry(name.to_owned()).or_insert(1);
    let mut free = name.to_owned();
    while !used.insert(free.clone()) {
        *number += 1;
        let end = format!("_{number}");
        free = format!("{}{end}", &name[..name.len().min(MAX - end.len())]);
    }
    free
}
