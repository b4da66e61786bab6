//! What functions are called at the upstream: as the caller calls them, where it takes that.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{
    by_call::{self, ANSWER, Way},
    thinking,
};
use crate::{Conversation, Part};

/// A longer name is refused.
const LONGEST: usize = 64;

/// The names of one conversation's functions: those that the upstream would refuse have another there, which no other has.
#[derive(Debug, Default)]
pub(super) struct Names {
    there: HashMap<String, String>,
    here: HashMap<String, String>,
    /// The call that an answer is, where it is one.
    pub(super) answer: Option<(String, Way)>,
}

impl Names {
    /// Those that its own model is told.
    pub(super) fn of(conversation: &Conversation<'_>) -> Self {
        let by_call = thinking::has_tools_or_form(&conversation.model);
        Self::with(conversation, by_call.then(|| by_call::way(conversation)).flatten())
    }

    /// The same for whichever model answers.
    pub(super) fn of_any(conversation: &Conversation<'_>) -> Self {
        Self::with(conversation, by_call::way(conversation))
    }

    fn with(conversation: &Conversation<'_>, way: Option<Way>) -> Self {
        let mut names = Self::default();
        if way.is_none() && all(conversation).all(is_taken) {
            return names;
        }
        let mut used: HashSet<Cow<'_, str>> = all(conversation).filter(|name| is_taken(name)).map(Into::into).collect();
        let mut numbers = HashMap::new();
        for name in all(conversation).filter(|name| !is_taken(name)) {
            if !names.there.contains_key(name) {
                let there = free(plain(name), &used, &mut numbers);
                used.insert(there.clone().into());
                names.here.insert(there.clone(), name.to_owned());
                names.there.insert(name.to_owned(), there);
            }
        }
        names.answer = way.map(|way| (free(ANSWER.to_owned(), &used, &mut numbers), way));
        names
    }

    /// What the upstream calls it.
    pub(super) fn there<'n>(&'n self, name: &'n str) -> &'n str {
        self.there.get(name).map_or(name, String::as_str)
    }

    /// What the caller calls it, where that is something else.
    pub(super) fn here(&self, name: &str) -> Option<&str> {
        self.here.get(name).map(String::as_str)
    }
}

/// Every name in it, some more than once.
fn all<'c>(conversation: &'c Conversation<'_>) -> impl Iterator<Item = &'c str> {
    let said = conversation.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
        Part::Call(call) => Some(&*call.name),
        Part::Returned(returned) => Some(&*returned.name),
        _ => None,
    });
    conversation.tools.iter().map(|tool| &*tool.name).chain(said)
}

fn may_begin(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn may_stand(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// Whether the upstream takes it; that there is none it refuses by itself.
fn is_taken(name: &str) -> bool {
    name.len() <= LONGEST && name.bytes().next().is_none_or(may_begin) && name.bytes().all(may_stand)
}

/// The nearest that it takes.
fn plain(name: &str) -> String {
    let front = if name.bytes().next().is_some_and(may_begin) { "" } else { "_" };
    let rest =
        name.chars().map(|letter| u8::try_from(letter).ok().filter(|byte| may_stand(*byte)).map_or('_', char::from));
    front.chars().chain(rest).take(LONGEST).collect()
}

/// The same with a number behind it, where others have it. `numbers`: where it is known from which on some may be free.
fn free(name: String, used: &HashSet<Cow<'_, str>>, numbers: &mut HashMap<String, u32>) -> String {
    if !used.contains(&*name) {
        return name;
    }
    let number = numbers.entry(name.clone()).or_insert(1);
    loop {
        *number += 1;
        let end = format!("_{number}");
        let numbered = format!("{}{end}", &name[..name.len().min(LONGEST - end.len())]);
        if !used.contains(&*numbered) {
            return numbered;
        }
    }
}
