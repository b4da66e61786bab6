//! What functions are called at Gemini, and which one it means by a name.

use std::collections::{HashMap, HashSet};

use crate::{Conversation, Part};

/// Gemini refuses longer names.
const MAX: usize = 64;

/// The names of one conversation's functions. Those that Gemini would refuse have another there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    declared: Vec<String>,
    there: HashMap<String, String>,
    here: HashMap<String, String>,
}

impl Names {
    pub(crate) fn new(conversation: &Conversation) -> Self {
        let mut names =
            Self { declared: conversation.tools.iter().map(|tool| tool.name.clone()).collect(), ..Self::default() };
        let said = conversation.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
            Part::Call(call) => Some(&*call.name),
            Part::Result(result) => Some(&*result.name),
            _ => None,
        });
        let all: Vec<&str> = conversation.tools.iter().map(|tool| &*tool.name).chain(said).collect();
        let mut used: HashSet<String> = all.iter().filter(|name| is_taken(name)).map(|name| (*name).into()).collect();
        let mut numbers = HashMap::new();
        for name in all.into_iter().filter(|name| !is_taken(name)) {
            if !names.there.contains_key(name) {
                let there = free(&plain(name), &mut used, &mut numbers);
                names.here.insert(there.clone(), name.to_owned());
                names.there.insert(name.to_owned(), there);
            }
        }
        names
    }

    /// What Gemini calls a function.
    pub(crate) fn there<'n>(&'n self, name: &'n str) -> &'n str {
        self.there.get(name).map_or(name, String::as_str)
    }

    /// The declared function that Gemini means: models write `default_api:read_file` for `read_file`, or `create_docx` for
    /// `create-docx`. A name that could mean several, or none, stays as it is.
    pub(crate) fn here<'n>(&'n self, name: &'n str) -> &'n str {
        if let Some(here) = self.here.get(name) {
            return here;
        }
        if self.declared.iter().any(|declared| declared == name) {
            return name;
        }
        let bare = without_namespace(name);
        let meant = |name: &str| {
            let mut found = self.declared.iter().filter(|declared| letters(declared).eq(letters(name)));
            found.next().filter(|_| found.next().is_none())
        };
        let exact = self.declared.iter().find(|declared| *declared == bare);
        exact.or_else(|| meant(name)).or_else(|| meant(bare)).map_or(name, String::as_str)
    }
}

/// A name without what models put in front of it.
fn without_namespace(name: &str) -> &str {
    let front = ["default_api", "functions", "tools"].iter().find_map(|front| name.strip_prefix(front));
    let bare = front.and_then(|rest| rest.strip_prefix([':', '.', '_']));
    bare.or_else(|| name.rsplit_once(':').map(|(_, bare)| bare)).unwrap_or(name)
}

/// What of a name models keep.
fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// Whether a letter may stand in a name; the first one is not a digit, dot or hyphen.
fn may_stand(letter: char, first: bool) -> bool {
    letter.is_ascii_alphabetic() || letter == '_' || !first && (letter.is_ascii_digit() || ".-".contains(letter))
}

/// Whether Gemini takes a name.
fn is_taken(name: &str) -> bool {
    let plain = name.chars().enumerate().all(|(at, letter)| may_stand(letter, at == 0));
    plain && !name.is_empty() && name.len() <= MAX
}

/// The nearest name that Gemini takes.
fn plain(name: &str) -> String {
    let front = if name.starts_with(|first| may_stand(first, true)) { "" } else { "_" };
    let rest = name.chars().map(|letter| if may_stand(letter, false) { letter } else { '_' });
    front.chars().chain(rest).take(MAX).collect()
}

/// The same with a number after it if another function has the name. `numbers` are the last numbers of names.
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
