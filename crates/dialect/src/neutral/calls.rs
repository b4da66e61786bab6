//! The calls of tools in a conversation, as what tools answer refers to them.

use std::{collections::HashMap, mem};

use super::{Conversation, Part, Role, Turn};
use crate::Text;

/// Calls by their ids; and what tools answered beside text, until it is said.
#[derive(Debug, Default)]
pub(crate) struct Calls<'a> {
    by_id: HashMap<Text<'a>, Vec<usize>>,
    made: Vec<Made<'a>>,
    beside: Vec<(usize, Part<'a>)>,
}

#[derive(Debug)]
struct Made<'a> {
    name: Text<'a>,
    /// Where the caller has it.
    at: usize,
    answered: bool,
}

/// No call waits for such an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unasked {
    /// None before it has this id.
    Never,
    /// It was answered before.
    Again,
}

impl Unasked {
    /// In words, of a `call` as the dialect names it.
    pub(crate) fn why(self, call: &str) -> String {
        match self {
            Self::Never => format!("no {call} before it has this id"),
            Self::Again => format!("the {call} of this id has its answer already"),
        }
    }
}

impl<'a> Calls<'a> {
    /// A tool was called, in the caller's message or item of this number. Every call is to be told of, in their order.
    pub(crate) fn make(&mut self, id: Option<Text<'a>>, name: Text<'a>, at: usize) {
        if let Some(id) = id {
            self.by_id.entry(id).or_default().push(self.made.len());
        }
        self.made.push(Made { name, at, answered: false });
    }

    /// What was called so is answered: the name of the tool, and which call it was. Calls of one id are answered in their
    /// order.
    ///
    /// # Errors
    /// Where no such call waits for its answer.
    pub(crate) fn answer(&mut self, id: &Text<'a>) -> Result<(Text<'a>, usize), Unasked> {
        let called = self.by_id.get(id).ok_or(Unasked::Never)?;
        let nth = *called.iter().find(|nth| !self.made[**nth].answered).ok_or(Unasked::Again)?;
        self.made[nth].answered = true;
        Ok((self.made[nth].name.clone(), nth))
    }

    /// The last one of this tool that waits for an answer has it, or else the last of all: the tool's name, and which call it
    /// was. `None`: none waits.
    pub(crate) fn answer_last(&mut self, name: &str) -> Option<(Text<'a>, usize)> {
        let of_it = self.made.iter().rposition(|made| &*made.name == name && !made.answered);
        let nth = of_it.or_else(|| self.made.iter().rposition(|made| !made.answered))?;
        self.made[nth].answered = true;
        Some((self.made[nth].name.clone(), nth))
    }

    /// What was answered to a call beside text: it follows the answers of all.
    pub(crate) fn answer_beside(&mut self, nth: usize, parts: impl IntoIterator<Item = Part<'a>>) {
        self.beside.extend(parts.into_iter().map(|part| (nth, part)));
    }

    /// All of that, in the order of the calls, as their answers stand.
    pub(crate) fn take_beside(&mut self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        let mut beside = mem::take(&mut self.beside);
        beside.sort_by_key(|(nth, _)| *nth);
        beside.into_iter().map(|(_, part)| part)
    }

    /// The conversation is read: what tools answered has its place right behind its calls, where the upstream wants it,
    /// whatever was said in between.
    ///
    /// # Errors
    /// Where the caller has a call that nobody answered: the upstream wants an answer to each.
    pub(crate) fn settle(&self, conversation: &mut Conversation<'a>) -> Result<(), usize> {
        if let Some(open) = self.made.iter().find(|made| !made.answered) {
            return Err(open.at);
        }
        if !conversation.turns.is_empty() && !are_answered_at_once(&conversation.turns) {
            put_behind_their_calls(conversation, self.made.len());
        }
        Ok(())
    }
}

fn calls_in(turn: &Turn<'_>) -> usize {
    turn.parts.iter().filter(|part| matches!(part, Part::Call(_))).count()
}

/// As it mostly is.
fn are_answered_at_once(turns: &[Turn<'_>]) -> bool {
    let mut called = 0;
    turns.iter().enumerate().all(|(index, turn)| {
        let calls = calls_in(turn);
        called += calls;
        let answers = turns.get(index + 1).map_or(&[][..], |next| &next.parts);
        let answered =
            |part: &Part<'_>| matches!(part, Part::Returned(said) if (called - calls..called).contains(&said.nth));
        calls == 0 || answers.iter().filter(|part| answered(part)).count() == calls
    })
}

fn put_behind_their_calls(conversation: &mut Conversation<'_>, made: usize) {
    let turns = mem::take(&mut conversation.turns);
    let mut answers: Vec<Option<Part<'_>>> = (0..made).map(|_| None).collect();
    let mut said = Vec::with_capacity(turns.len());
    for Turn { role, parts } in turns {
        let (theirs, rest) = parts.into_iter().partition(|part| matches!(part, Part::Returned(_)));
        let theirs: Vec<Part<'_>> = theirs;
        for part in theirs {
            if let Part::Returned(returned) = &part {
                let nth = returned.nth;
                answers[nth] = Some(part);
            }
        }
        said.push(Turn { role, parts: rest });
    }
    let mut answers = answers.into_iter();
    for turn in said {
        let calls = calls_in(&turn);
        for part in turn.parts {
            conversation.say(turn.role, part);
        }
        for answer in answers.by_ref().take(calls).flatten() {
            conversation.say(Role::User, answer);
        }
    }
}
