//! A whole answer, and what its pieces have in common with a stream's.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::{
    CALL,
    older::{self, FunctionCall},
};
use crate::{CallId, Chosen, Event, Fault, Finish, Likely, Shape, Source, Usage, Voice, origins};

/// A call, as a message has it.
#[derive(Serialize)]
pub(super) struct ToolCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<usize>,
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<Function>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<Custom>,
}

#[derive(Serialize)]
struct Function {
    name: String,
    arguments: String,
}

/// A tool that takes a text.
#[derive(Serialize)]
struct Custom {
    name: String,
    input: String,
}

impl ToolCall {
    /// The `count`th of an answer, from an event that is a call.
    pub(super) fn of(event: &Event<'_>, shape: &Shape, count: usize) -> Option<Self> {
        let Event::Call { choice, id, name, args, signature } = event else { return None };
        let unique = format!("{}{choice}x{count}", shape.unique);
        let CallId(id) = CallId::new(CALL, &unique, id.as_deref(), signature.as_ref());
        let name = name.to_string();
        if shape.repeated.origins.of(&name).is_some_and(|origin| origin.custom) {
            let custom = Some(Custom { name, input: origins::input(args.get()) });
            return Some(Self { index: None, id, kind: "custom", function: None, custom });
        }
        let function = Some(Function { name, arguments: args.get().to_owned() });
        Some(Self { index: None, id, kind: "function", function, custom: None })
    }
}

/// An image or sound, as those have it who hand them out in this dialect.
#[derive(Serialize)]
pub(super) struct Image {
    #[serde(rename = "type")]
    kind: &'static str,
    image_url: Url,
}

#[derive(Serialize)]
struct Url {
    url: String,
}

impl Image {
    pub(super) fn of(mime: &str, data: &str) -> Self {
        Self { kind: "image_url", image_url: Url { url: format!("data:{mime};base64,{data}") } }
    }
}

/// A page that says what a part of the answer does.
#[derive(Serialize)]
pub(super) struct Annotation {
    #[serde(rename = "type")]
    kind: &'static str,
    url_citation: Citation,
}

#[derive(Serialize)]
struct Citation {
    start_index: usize,
    end_index: usize,
    title: String,
    url: String,
}

impl From<&Source> for Annotation {
    fn from(Source { start, end, url, title }: &Source) -> Self {
        let url_citation = Citation { start_index: *start, end_index: *end, title: title.clone(), url: url.clone() };
        Self { kind: "url_citation", url_citation }
    }
}

#[derive(Default, Serialize)]
pub(super) struct Logprobs {
    content: Vec<Token>,
    refusal: (),
}

#[derive(Serialize)]
struct Token {
    #[serde(flatten)]
    token: Top,
    top_logprobs: Vec<Top>,
}

#[derive(Serialize)]
struct Top {
    token: String,
    logprob: f64,
    bytes: Vec<u8>,
}

impl From<&Likely<'_>> for Top {
    fn from(likely: &Likely<'_>) -> Self {
        Self { token: likely.text.to_string(), logprob: likely.logprob, bytes: likely.text.as_bytes().to_vec() }
    }
}

/// How likely tokens were, each as it stands in an answer.
pub(crate) fn likely<'t>(tokens: &'t [Chosen<'_>]) -> impl Iterator<Item = serde_json::Value> + 't {
    tokens.iter().map(|chosen| serde_json::to_value(Token::from(chosen)).unwrap_or_default())
}

impl From<&Chosen<'_>> for Token {
    fn from(chosen: &Chosen<'_>) -> Self {
        Self { token: (&chosen.token).into(), top_logprobs: chosen.top.iter().map(Into::into).collect() }
    }
}

impl Logprobs {
    pub(super) fn add(&mut self, tokens: &[Chosen<'_>]) {
        self.content.extend(tokens.iter().map(Token::from));
    }
}

/// `usage`.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
pub(super) struct Tokens {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: Prompt,
    completion_tokens_details: Completed,
}

/// What stands around choices.
#[derive(Serialize)]
pub(super) struct Envelope<'s, C> {
    pub(super) id: &'s str,
    pub(super) object: &'static str,
    pub(super) created: i64,
    pub(super) model: &'s str,
    pub(super) choices: &'s [C],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Cost>,
}

/// What a stream tells at its end; `null` until then.
#[derive(Serialize)]
pub(super) struct Cost(pub(super) Option<Tokens>);

#[derive(Serialize)]
struct Prompt {
    cached_tokens: u64,
    audio_tokens: u64,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
struct Completed {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.input,
            completion_tokens: usage.output,
            total_tokens: usage.input.saturating_add(usage.output),
            prompt_tokens_details: Prompt { cached_tokens: usage.cached, audio_tokens: usage.input_audio },
            completion_tokens_details: Completed {
                reasoning_tokens: usage.thoughts,
                audio_tokens: 0,
                accepted_prediction_tokens: 0,
                rejected_prediction_tokens: 0,
            },
        }
    }
}

/// `finish_reason`.
pub(super) fn reason(why: Finish) -> &'static str {
    match why {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Calls => "tool_calls",
        Finish::Filtered => "content_filter",
    }
}

/// The answer's own id.
pub(super) fn id(upstream: &str, shape: &Shape) -> String {
    format!("chatcmpl-{}", if upstream.is_empty() { &shape.unique } else { upstream })
}

/// Gathers an answer.
pub(super) struct Completion {
    shape: Shape,
    id: String,
    choices: BTreeMap<u32, Gathered>,
    usage: Usage,
}

#[derive(Default)]
struct Gathered {
    text: String,
    thoughts: String,
    calls: Vec<ToolCall>,
    function_call: Option<FunctionCall>,
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    logprobs: Option<Logprobs>,
    finish: Option<Finish>,
}

#[derive(Serialize)]
struct Whole<'s> {
    id: &'s str,
    object: &'static str,
    created: i64,
    model: &'s str,
    choices: Vec<Choice<'s>>,
    usage: Tokens,
}

#[derive(Serialize)]
struct Choice<'s> {
    index: u32,
    message: Message<'s>,
    logprobs: Option<&'s Logprobs>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'s> {
    role: &'static str,
    content: Option<&'s str>,
    refusal: (),
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'s str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tool_calls: &'s [ToolCall],
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<&'s FunctionCall>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    images: &'s [Image],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    annotations: &'s [Annotation],
}

impl Completion {
    pub(super) fn new(shape: Shape) -> Self {
        let id = id("", &shape);
        Self { shape, id, choices: BTreeMap::new(), usage: Usage::default() }
    }

    fn choice(&mut self, choice: u32) -> &mut Gathered {
        self.choices.entry(choice).or_default()
    }
}

impl Voice for Completion {
    fn say(&mut self, event: Event<'_>, _: &mut Vec<u8>) {
        match &event {
            Event::Begin { id: upstream } => self.id = id(upstream, &self.shape),
            Event::Text { choice, text } => self.choice(*choice).text.push_str(text),
            Event::Thought { choice, text } => self.choice(*choice).thoughts.push_str(text),
            Event::Call { choice, .. } if self.shape.repeated.in_older_form => {
                let call = &mut self.choice(*choice).function_call;
                *call = call.take().or_else(|| FunctionCall::of(&event));
            }
            Event::Call { choice, .. } => {
                let count = self.choice(*choice).calls.len();
                let call = ToolCall::of(&event, &self.shape, count);
                self.choice(*choice).calls.extend(call);
            }
            Event::Blob { choice, mime, data } => self.choice(*choice).images.push(Image::of(mime, data)),
            Event::Logprobs { choice, tokens } => {
                self.choice(*choice).logprobs.get_or_insert_default().add(tokens);
            }
            Event::Sources { choice, sources, .. } => {
                self.choice(*choice).annotations.extend(sources.iter().map(Into::into));
            }
            Event::Finish { choice, why } => self.choice(*choice).finish = Some(*why),
            Event::Usage(usage) => self.usage = *usage,
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let choices = self.choices.iter().map(|(index, gathered)| {
            let calls = !gathered.calls.is_empty() || gathered.function_call.is_some();
            let silent = gathered.text.is_empty() && (calls || !gathered.images.is_empty());
            let reason = if self.shape.repeated.in_older_form { older::reason } else { reason };
            Choice {
                index: *index,
                message: Message {
                    role: "assistant",
                    content: (!silent).then_some(&*gathered.text),
                    refusal: (),
                    reasoning_content: &gathered.thoughts,
                    tool_calls: &gathered.calls,
                    function_call: gathered.function_call.as_ref(),
                    images: &gathered.images,
                    annotations: &gathered.annotations,
                },
                logprobs: gathered.logprobs.as_ref(),
                finish_reason: reason(gathered.finish.unwrap_or(Finish::Stop)),
            }
        });
        let whole = Whole {
            id: &self.id,
            object: "chat.completion",
            created: self.shape.created,
            model: &self.shape.model,
            choices: choices.collect(),
            usage: self.usage.into(),
        };
        // Writing plain data into memory does not fail.
        let _ = serde_json::to_writer(out, &whole);
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        out.extend_from_slice(json!(super::fault::body(fault)).to_string().as_bytes());
    }

    fn pause(&mut self, _: &mut Vec<u8>) {}
}
