//! An answer in pieces: `chat.completion.chunk`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    completion::{Annotation, Cost, Envelope, Image, Logprobs, ToolCall, id, reason},
    event::{self, DONE, PAUSE},
    older::{self, FunctionCall},
};
use crate::{Event, Fault, Shape, Text, Usage, Voice};

/// Writes the pieces.
pub(super) struct Chunks {
    shape: Shape,
    id: String,
    /// Each answer that has begun, and how many calls it has.
    begun: BTreeMap<u32, usize>,
    usage: Usage,
}

#[derive(Serialize)]
struct Choice<'s> {
    index: u32,
    delta: Delta<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'s Text<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'s Text<'s>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolCall; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<[Image; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Vec<Annotation>>,
}

impl Chunks {
    pub(super) fn new(shape: Shape) -> Self {
        let id = id("", &shape);
        Self { shape, id, begun: BTreeMap::new(), usage: Usage::default() }
    }

    fn write(&self, choices: &[Choice<'_>], usage: Option<Cost>, out: &mut Vec<u8>) {
        let chunk = Envelope {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.shape.created,
            model: &self.shape.model,
            choices,
            usage,
        };
        event::write(&chunk, out);
    }

    fn piece(&self, choice: Choice<'_>, out: &mut Vec<u8>) {
        self.write(&[choice], self.shape.usage.then_some(Cost(None)), out);
    }

    fn delta(&mut self, choice: u32, delta: Delta<'_>, out: &mut Vec<u8>) {
        self.begin(choice, out);
        self.piece(Choice { index: choice, delta, logprobs: None, finish_reason: None }, out);
    }

    fn begin(&mut self, choice: u32, out: &mut Vec<u8>) {
        if self.begun.contains_key(&choice) {
            return;
        }
        self.begun.insert(choice, 0);
        let silence = Text::default();
        let delta = Delta { role: Some("assistant"), content: Some(&silence), ..Delta::default() };
        self.piece(Choice { index: choice, delta, logprobs: None, finish_reason: None }, out);
    }
}

impl Voice for Chunks {
    fn say(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match &event {
            Event::Begin { id: upstream } => self.id = id(upstream, &self.shape),
            Event::Text { choice, text } => {
                self.delta(*choice, Delta { content: Some(text), ..Delta::default() }, out);
            }
            Event::Thought { choice, text } => {
                self.delta(*choice, Delta { reasoning_content: Some(text), ..Delta::default() }, out);
            }
            Event::Call { choice, .. } => {
                self.begin(*choice, out);
                let count = self.begun.get(choice).copied().unwrap_or_default();
                if self.shape.repeated.in_older_form {
                    self.begun.insert(*choice, count + 1);
                    let function_call = FunctionCall::of(&event).filter(|_| count == 0);
                    if function_call.is_some() {
                        self.delta(*choice, Delta { function_call, ..Delta::default() }, out);
                    }
                    return;
                }
                let Some(mut call) = ToolCall::of(&event, &self.shape, count) else { return };
                call.index = Some(count);
                self.begun.insert(*choice, count + 1);
                self.delta(*choice, Delta { tool_calls: Some([call]), ..Delta::default() }, out);
            }
            Event::Blob { choice, mime, data } => {
                let images = Some([Image::of(mime, data)]);
                self.delta(*choice, Delta { images, ..Delta::default() }, out);
            }
            Event::Logprobs { choice, tokens } => {
                self.begin(*choice, out);
                let mut logprobs = Logprobs::default();
                logprobs.add(tokens);
                let delta = Delta::default();
                let piece = Choice { index: *choice, delta, logprobs: Some(logprobs), finish_reason: None };
                self.piece(piece, out);
            }
            Event::Sources { choice, sources, .. } => {
                let annotations = Some(sources.iter().map(Into::into).collect());
                self.delta(*choice, Delta { annotations, ..Delta::default() }, out);
            }
            Event::Finish { choice, why } => {
                self.begin(*choice, out);
                let reason = if self.shape.repeated.in_older_form { older::reason } else { reason };
                let finish_reason = Some(reason(*why));
                self.piece(Choice { index: *choice, delta: Delta::default(), logprobs: None, finish_reason }, out);
            }
            Event::Usage(usage) => self.usage = *usage,
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.shape.usage {
            self.write(&[], Some(Cost(Some(self.usage.into()))), out);
        }
        out.extend_from_slice(DONE);
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        // Clients raise what stands here; without [DONE] nobody takes the answer for a whole one.
        event::write(&super::fault::body(fault), out);
    }

    fn pause(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(PAUSE);
    }
}
