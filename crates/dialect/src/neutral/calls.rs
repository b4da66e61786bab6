//! The calls of tools in a conversation, as what tools answer refers to them.

use std::collections::HashMap;

use super::Part;
use crate::Text;

/// Calls by their ids; and what tools answered beside text, until it is said.
#[derive(Debug, Default)]
pub(crate) struct Calls<'a> {
    /// The name of each, and which call it was. An id that comes again is the later call's.
    by_id: HashMap<Text<'a>, (Text<'a>, usize)>,
    made: usize,
    beside: Vec<(usize, Part<'a>)>,
}

impl<'a> Calls<'a> {
    /// A tool was called.
    pub(crate) fn make(&mut self, id: Text<'a>, name: Text<'a>) {
        self.by_id.insert(id, (name, self.made));
        self.made += 1;
    }

    /// The name of the tool that was called so, and which call it was.
    pub(crate) fn find(&self, id: &Text<'a>) -> Option<(Text<'a>, usize)> {
        self.by_id.get(id).cloned()
    }

    /// What was answered to a call beside text: it follows the answers of all.
    pub(crate) fn answer_beside(&mut self, nth: usize, parts: impl IntoIterator<Item = Part<'a>>) {
        self.beside.extend(parts.into_iter().map(|part| (nth, part)));
    }

    /// All of that, in the order of the calls, as their answers stand.
    pub(crate) fn take_beside(&mut self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        let mut beside = std::mem::take(&mut self.beside);
        beside.sort_by_key(|(nth, _)| *nth);
        beside.into_iter().map(|(_, part)| part)
    }
}
