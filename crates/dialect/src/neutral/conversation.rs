//! A conversation, and what is wished of its next turn.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{Far, Format, Medium, Sampling, Signature, Thinking, Tool, ToolChoice};
use crate::{Fault, Ignored, Text};

/// The field of a request that asks for a search where that is what was chosen of all tools.
pub(crate) const CHOSEN: &str = "tool_choice";

/// What a model is asked to go on with.
#[derive(Clone, Debug, Default)]
pub struct Conversation<'a> {
    /// The model's name, as the caller has it.
    pub model: Text<'a>,
    /// What stands over all turns.
    pub system: Vec<Text<'a>>,
    /// What was said.
    pub turns: Vec<Turn<'a>>,
    /// What the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Whether it may, or must.
    pub tool_choice: ToolChoice<'a>,
    /// It may look things up on the web: the field of the request that says so.
    pub search: Option<&'static str>,
    /// At most one call at once.
    pub one_call: bool,
    /// How words are drawn.
    pub sampling: Sampling<'a>,
    /// What form the answer has.
    pub format: Format<'a>,
    /// What it is made of.
    pub medium: Medium<'a>,
    /// How much is thought.
    pub thinking: Thinking,
    /// A cached beginning, by its name at the upstream.
    pub cached: Option<Text<'a>>,
    /// The answer comes in pieces.
    pub stream: bool,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one who asks; what tools answered comes from here, too.
    User,
    /// The model.
    Model,
}

/// What one of them said.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    /// Who.
    pub role: Role,
    /// What.
    pub parts: Vec<Part<'a>>,
}

/// A part of a turn.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    /// Text.
    Text(Text<'a>),
    /// An image, sound or document: its type and its bytes in base64.
    Blob {
        /// Such as `image/png`.
        mime: Text<'a>,
        /// In base64.
        data: Text<'a>,
    },
    /// The same, by where the upstream finds it.
    File {
        /// A URI that the upstream reads itself.
        uri: Text<'a>,
        /// Its type, where it is known.
        mime: Option<Text<'a>>,
    },
    /// The same, elsewhere.
    Far(Far<'a>),
    /// The model called a tool.
    Call(Call<'a>),
    /// A tool answered.
    Returned(Returned<'a>),
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The upstream's own id, where it gave one.
    pub id: Option<Text<'a>>,
    /// The tool's name.
    pub name: Text<'a>,
    /// An object.
    pub args: Cow<'a, RawValue>,
    /// What the upstream wants back with it.
    pub signature: Option<Signature<'a>>,
}

/// What a tool answered.
#[derive(Clone, Debug)]
pub struct Returned<'a> {
    /// The upstream's own id of the call, where it gave one.
    pub id: Option<Text<'a>>,
    /// The tool's name.
    pub name: Text<'a>,
    /// What it said.
    pub content: Text<'a>,
    /// It says that it failed.
    pub failed: bool,
    /// Which of the conversation's calls it answers, as far as ids tell: those that came earlier have smaller numbers.
    pub nth: usize,
}

impl<'a> Conversation<'a> {
    /// Adds what somebody said; the same one's turns become one. What tools answered is a turn of its own: the upstream
    /// counts those answers against the calls before them.
    pub fn say(&mut self, role: Role, part: Part<'a>) {
        let returned = matches!(part, Part::Returned(_));
        match self.turns.last_mut() {
            Some(last) if last.role == role && last.is_of_tools() == returned => last.parts.push(part),
            _ => self.turns.push(Turn { role, parts: vec![part] }),
        }
    }
}

impl Conversation<'_> {
    /// There is a tool where one must be called: whoever asks for a call waits for one. Where nobody is strict what was chosen
    /// may have been left out, and is chosen no more.
    ///
    /// # Errors
    /// 400 where somebody is, and there is none, or none of the name that was chosen.
    pub(crate) fn settle_choice(&mut self, ignored: &mut Ignored, strict: bool) -> Result<(), Fault> {
        if strict {
            return self.has_what_it_must_call();
        }
        let must = matches!(self.tool_choice, ToolChoice::Must(_));
        let (ToolChoice::Must(names) | ToolChoice::May(names)) = &mut self.tool_choice else { return Ok(()) };
        let named = !names.is_empty();
        names.retain(|name| self.tools.iter().any(|tool| tool.name == *name));
        if (named && names.is_empty()) || (must && self.tools.is_empty()) {
            self.tool_choice = ToolChoice::Unset;
            ignored.add(CHOSEN);
        }
        Ok(())
    }

    fn has_what_it_must_call(&self) -> Result<(), Fault> {
        if matches!(self.tool_choice, ToolChoice::Must(_)) && self.tools.is_empty() {
            let why = "tool_choice: a tool must be called, and tools has none";
            return Err(Fault::invalid(why).at("tool_choice"));
        }
        let (ToolChoice::Must(names) | ToolChoice::May(names)) = &self.tool_choice else { return Ok(()) };
        match names.iter().find(|name| !self.tools.iter().any(|tool| tool.name == **name)) {
            None => Ok(()),
            Some(name) => {
                let short: String = name.chars().take(64).collect();
                Err(Fault::invalid(format!("tool_choice: no function {short:?} is among tools")).at("tool_choice"))
            }
        }
    }
}

impl Turn<'_> {
    fn is_of_tools(&self) -> bool {
        matches!(self.parts.last(), Some(Part::Returned(_)))
    }
}
