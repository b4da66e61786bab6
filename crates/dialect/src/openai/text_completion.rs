//! A text that goes on: `text_completion`, whole or in pieces that look alike.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::Serialize;

use super::{
    completion::{Cost, Envelope, reason},
    event::{self, DONE, PAUSE},
    prompt::PROMPT,
};
use crate::{Chosen, Event, Fault, Finish, Shape, Usage, Voice};

#[derive(Serialize)]
struct Choice<'s> {
    text: &'s str,
    index: u32,
    logprobs: Option<&'s Logprobs>,
    finish_reason: Option<&'static str>,
}

/// How likely tokens were: a list for each of what is known of them.
#[derive(Default, Serialize)]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
struct Logprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f64>,
    top_logprobs: Vec<BTreeMap<String, f64>>,
    /// Characters of the text that stand before each.
    text_offset: Vec<usize>,
}

impl Logprobs {
    /// Tokens that begin behind so many characters; how many there are then.
    fn add(&mut self, tokens: &[Chosen<'_>], mut offset: usize) -> usize {
        for chosen in tokens {
            self.tokens.push(chosen.token.text.to_string());
            self.token_logprobs.push(chosen.token.logprob);
            let top = chosen.top.iter().map(|likely| (likely.text.to_string(), likely.logprob));
            self.top_logprobs.push(top.collect());
            self.text_offset.push(offset);
            offset += chosen.token.text.chars().count();
        }
        offset
    }
}

/// What all pieces of an answer have alike.
struct Head {
    shape: Shape,
    id: String,
    usage: Usage,
}

impl Head {
    fn new(shape: Shape) -> Self {
        let id = id("", &shape);
        Self { shape, id, usage: Usage::default() }
    }

    fn begin(&mut self, upstream: &str) {
        self.id = id(upstream, &self.shape);
    }

    /// What every text begins with, where that was asked for.
    fn echoed(&self) -> &str {
        self.shape.repeated.echoed.get(PROMPT).and_then(|prompt| prompt.as_str()).unwrap_or_default()
    }

    fn with<'s>(&'s self, choices: &'s [Choice<'s>], usage: Option<Cost>) -> Envelope<'s, Choice<'s>> {
        let Shape { created, model, .. } = &self.shape;
        Envelope { id: &self.id, object: "text_completion", created: *created, model, choices, usage }
    }
}

fn id(upstream: &str, shape: &Shape) -> String {
    format!("cmpl-{}", if upstream.is_empty() { &shape.unique } else { upstream })
}

/// Gathers an answer.
pub(super) struct Whole {
    head: Head,
    choices: BTreeMap<u32, Gathered>,
}

#[derive(Default)]
struct Gathered {
    text: String,
    logprobs: Option<Logprobs>,
    /// Characters whose tokens are there.
    told: usize,
    finish: Option<Finish>,
}

impl Whole {
    pub(super) fn new(shape: Shape) -> Self {
        Self { head: Head::new(shape), choices: BTreeMap::new() }
    }

    fn choice(&mut self, choice: u32) -> &mut Gathered {
        let Self { head, choices } = self;
        choices.entry(choice).or_insert_with(|| Gathered { text: head.echoed().to_owned(), ..Gathered::default() })
    }
}

impl Voice for Whole {
    fn say(&mut self, event: Event<'_>, _: &mut Vec<u8>) {
        match &event {
            Event::Begin { id } => self.head.begin(id),
            Event::Text { choice, text } => self.choice(*choice).text.push_str(text),
            Event::Logprobs { choice, tokens } => {
                let gathered = self.choice(*choice);
                gathered.told = gathered.logprobs.get_or_insert_default().add(tokens, gathered.told);
            }
            Event::Finish { choice, why } => self.choice(*choice).finish = Some(*why),
            Event::Usage(usage) => self.head.usage = *usage,
            // There was no place for these.
            Event::Thought { .. } | Event::Call { .. } | Event::Blob { .. } | Event::Sources { .. } => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let choices = self.choices.iter().map(|(index, gathered)| Choice {
            text: &gathered.text,
            index: *index,
            logprobs: gathered.logprobs.as_ref(),
            finish_reason: Some(reason(gathered.finish.unwrap_or(Finish::Stop))),
        });
        let choices: Vec<_> = choices.collect();
        // Writing plain data into memory does not fail.
        let _ = serde_json::to_writer(out, &self.head.with(&choices, Some(Cost(Some(self.head.usage.into())))));
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        out.extend_from_slice(&super::body(fault));
    }

    fn pause(&mut self, _: &mut Vec<u8>) {}
}

/// Writes the pieces.
pub(super) struct Pieces {
    head: Head,
    /// Each answer that has begun, and how many characters of it have their tokens told.
    begun: BTreeMap<u32, usize>,
}

impl Pieces {
    pub(super) fn new(shape: Shape) -> Self {
        Self { head: Head::new(shape), begun: BTreeMap::new() }
    }

    fn piece(&mut self, choice: Choice<'_>, out: &mut Vec<u8>) {
        let index = choice.index;
        let begins = match self.begun.entry(index) {
            Entry::Vacant(begins) => {
                begins.insert(0);
                true
            }
            Entry::Occupied(_) => false,
        };
        if begins && !self.head.echoed().is_empty() {
            self.write(Choice { text: self.head.echoed(), index, logprobs: None, finish_reason: None }, out);
        }
        self.write(choice, out);
    }

    fn write(&self, choice: Choice<'_>, out: &mut Vec<u8>) {
        // Told at the end; `null` until then.
        event::write(&self.head.with(&[choice], self.head.shape.usage.then_some(Cost(None))), out);
    }
}

impl Voice for Pieces {
    fn say(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        let nothing = Choice { text: "", index: 0, logprobs: None, finish_reason: None };
        match &event {
            Event::Begin { id } => self.head.begin(id),
            Event::Text { choice, text } => self.piece(Choice { text, index: *choice, ..nothing }, out),
            Event::Logprobs { choice, tokens } => {
                let mut logprobs = Logprobs::default();
                let told = logprobs.add(tokens, self.begun.get(choice).copied().unwrap_or_default());
                self.piece(Choice { index: *choice, logprobs: Some(&logprobs), ..nothing }, out);
                self.begun.insert(*choice, told);
            }
            Event::Finish { choice, why } => {
                self.piece(Choice { index: *choice, finish_reason: Some(reason(*why)), ..nothing }, out);
            }
            Event::Usage(usage) => self.head.usage = *usage,
            Event::Thought { .. } | Event::Call { .. } | Event::Blob { .. } | Event::Sources { .. } => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.head.shape.usage {
            event::write(&self.head.with(&[], Some(Cost(Some(self.head.usage.into())))), out);
        }
        out.extend_from_slice(DONE);
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        event::write(&super::fault::body(fault), out);
    }

    fn pause(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(PAUSE);
    }
}
