//! A whole response, and what its items have in common with a stream's.

use serde_json::{Value, json};

use crate::{CallId, Event, Fault, Finish, Shape, Usage, Voice, openai, origins};

/// What an item is that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Reasoning,
    Message,
    Call,
}

/// A response as far as it has come.
pub(super) struct Draft {
    pub(super) shape: Shape,
    pub(super) id: String,
    pub(super) output: Vec<Value>,
    /// Of the last item, while more may come.
    pub(super) open: Option<Kind>,
    pub(super) text: String,
    /// Of that, where it was found.
    pub(super) found: Vec<Value>,
    /// How likely its tokens were, where that is told.
    pub(super) likely: Vec<Value>,
    /// How many letters the messages before it have.
    before: usize,
    pub(super) finish: Option<Finish>,
    pub(super) usage: Usage,
}

impl Draft {
    pub(super) fn new(shape: Shape) -> Self {
        let id = format!("resp_{}", shape.unique);
        let (output, found, likely, text) = (Vec::new(), Vec::new(), Vec::new(), String::new());
        Self { shape, id, output, open: None, text, found, likely, before: 0, finish: None, usage: Usage::default() }
    }

    /// The id of the item at this place.
    pub(super) fn item_id(&self, kind: Kind, index: usize) -> String {
        let prefix = match kind {
            Kind::Reasoning => "rs",
            Kind::Message => "msg",
            Kind::Call => "fc",
        };
        format!("{prefix}_{}x{index}", self.shape.unique)
    }

    /// An item, whole or about to be.
    pub(super) fn item(&self, kind: Kind, index: usize, text: &str, status: &str) -> Value {
        let id = self.item_id(kind, index);
        match kind {
            Kind::Reasoning => {
                let summary =
                    if text.is_empty() { json!([]) } else { json!([{ "type": "summary_text", "text": text }]) };
                json!({ "type": "reasoning", "id": id, "summary": summary })
            }
            Kind::Message | Kind::Call => {
                let content = if status == "in_progress" {
                    json!([])
                } else {
                    json!([output_text(text, (&self.found, &self.likely))])
                };
                json!({ "type": "message", "id": id, "status": status, "role": "assistant", "content": content })
            }
        }
    }

    /// The item that a call is, and what it is called with.
    pub(super) fn call(&self, event: &Event<'_>, index: usize) -> Option<(Value, String)> {
        let Event::Call { id, name, args, signature, .. } = event else { return None };
        let unique = format!("{}x{index}", self.shape.unique);
        let CallId(call_id) = CallId::new("call_", &unique, id.as_deref(), signature.as_ref());
        let id = self.item_id(Kind::Call, index);
        let origin = self.shape.repeated.origins.of(name);
        let (kind, field, said) = match origin {
            Some(origin) if origin.custom => ("custom_tool_call", "input", origins::input(args.get())),
            _ => ("function_call", "arguments", args.get().to_owned()),
        };
        let mut item = json!({
            "type": kind, "id": id, "call_id": call_id, "name": origin.map_or(&**name, |origin| &origin.name),
            field: said, "status": "completed",
        });
        if let Some(namespace) = origin.and_then(|origin| origin.namespace.as_deref()) {
            item["namespace"] = namespace.into();
        }
        Some((item, said))
    }

    /// The item that an image is.
    pub(super) fn image(&self, event: &Event<'_>, index: usize) -> Option<Value> {
        let Event::Blob { choice: 0, mime, data } = event else { return None };
        let format = mime.strip_prefix("image/")?;
        let id = format!("ig_{}x{index}", self.shape.unique);
        Some(json!({
            "type": "image_generation_call", "id": id, "status": "completed", "result": &**data,
            "output_format": format,
        }))
    }

    /// Ends the item that is open. Where the answer was cut, that is the one that it was cut in: whatever came before is whole.
    pub(super) fn close(&mut self) -> Option<(Kind, usize)> {
        let kind = self.open.take()?;
        let index = self.output.len();
        let status = if self.cut().is_some() { "incomplete" } else { "completed" };
        let item = self.item(kind, index, &self.text, status);
        self.output.push(item);
        if kind == Kind::Message {
            self.before += self.text.chars().count();
        }
        Some((kind, index))
    }

    /// An item begins.
    pub(super) fn begin(&mut self, kind: Kind) {
        self.open = Some(kind);
        self.text.clear();
        self.found.clear();
        self.likely.clear();
    }

    /// Where what the open message says was found; what was found of those before it nobody can be told any more.
    pub(super) fn note_sources(&mut self, event: &Event<'_>) {
        let (Event::Sources { choice: 0, sources, .. }, Some(Kind::Message)) = (event, self.open) else { return };
        self.found.extend(sources.iter().filter(|source| source.start >= self.before).map(|source| {
            json!({
                "type": "url_citation", "start_index": source.start - self.before, "end_index": source.end - self.before,
                "url": source.url, "title": source.title,
            })
        }));
    }

    /// Which answer and what kind of item a piece of text belongs to.
    pub(super) fn piece<'e>(event: &'e Event<'_>) -> Option<(Kind, &'e str)> {
        match event {
            Event::Text { choice: 0, text } => Some((Kind::Message, text)),
            Event::Thought { choice: 0, text } => Some((Kind::Reasoning, text)),
            _ => None,
        }
    }

    /// What changes no item.
    pub(super) fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Finish { choice: 0, why } => self.finish = Some(*why),
            Event::Usage(usage) => self.usage = *usage,
            Event::Logprobs { choice: 0, tokens } if self.open == Some(Kind::Message) => {
                self.likely.extend(openai::likely(tokens));
            }
            _ => {}
        }
    }

    /// Why it ended early, if it did.
    fn cut(&self) -> Option<&'static str> {
        match self.finish {
            Some(Finish::Length) => Some("max_output_tokens"),
            Some(Finish::Filtered) => Some("content_filter"),
            _ => None,
        }
    }

    /// The response itself. `over`: it is whole.
    pub(super) fn value(&self, over: bool) -> Value {
        let cut = self.cut();
        let status = match (over, cut) {
            (false, _) => "in_progress",
            (true, None) => "completed",
            (true, Some(_)) => "incomplete",
        };
        let usage = over.then(|| {
            json!({
                "input_tokens": self.usage.input,
                "input_tokens_details": { "cached_tokens": self.usage.cached },
                "output_tokens": self.usage.output,
                "output_tokens_details": { "reasoning_tokens": self.usage.thoughts },
                "total_tokens": self.usage.input.saturating_add(self.usage.output),
            })
        });
        let mut value = json!({
            "id": self.id, "object": "response", "created_at": self.shape.created, "status": status, "error": null,
            "incomplete_details": cut.filter(|_| over).map(|reason| json!({ "reason": reason })),
            "background": false, "instructions": null, "max_output_tokens": null, "metadata": {},
            "model": self.shape.model, "output": self.output, "parallel_tool_calls": true,
            "reasoning": { "effort": null, "summary": null }, "temperature": null,
            "text": { "format": { "type": "text" } }, "tool_choice": "auto",
            "tools": self.shape.repeated.tools.as_ref().unwrap_or(&json!([])), "top_p": null, "truncation": "disabled",
            "previous_response_id": self.shape.repeated.before, "usage": usage, "user": null,
        });
        for (name, said) in &self.shape.repeated.echoed {
            match (value[name].as_object_mut(), said.as_object()) {
                // What is not said of it is as it is where nothing is said.
                (Some(fields), Some(said)) => {
                    fields.extend(said.iter().map(|(name, said)| (name.clone(), said.clone())));
                }
                _ => value[name] = said.clone(),
            }
        }
        value
    }

    /// The response itself, which will not be whole.
    pub(super) fn failed(&self, error: &Value) -> Value {
        let mut value = self.value(false);
        value["status"] = "failed".into();
        value["error"] = json!({ "code": error["code"], "message": error["message"] });
        value
    }
}

pub(super) fn output_text(text: &str, (found, likely): (&[Value], &[Value])) -> Value {
    let mut told = json!({ "type": "output_text", "text": text, "annotations": found });
    if !likely.is_empty() {
        told["logprobs"] = likely.into();
    }
    told
}

/// Gathers a response.
pub(super) struct Whole(Draft);

impl Whole {
    pub(super) fn new(shape: Shape) -> Self {
        Self(Draft::new(shape))
    }
}

impl Voice for Whole {
    fn say(&mut self, event: Event<'_>, _: &mut Vec<u8>) {
        let draft = &mut self.0;
        draft.note(&event);
        draft.note_sources(&event);
        if let Some((kind, text)) = Draft::piece(&event) {
            if draft.open != Some(kind) {
                draft.close();
                draft.begin(kind);
            }
            draft.text.push_str(text);
        }
        let index = draft.output.len() + usize::from(draft.open.is_some());
        if let Some(item) = draft.call(&event, index).map(|(item, _)| item).or_else(|| draft.image(&event, index)) {
            draft.close();
            draft.output.push(item);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.0.close();
        out.extend_from_slice(self.0.value(true).to_string().as_bytes());
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        out.extend_from_slice(&openai::body(fault));
    }

    fn pause(&mut self, _: &mut Vec<u8>) {}
}
