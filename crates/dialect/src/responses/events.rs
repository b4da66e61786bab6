//! A response in pieces.

use serde_json::{Value, json};

use super::response::{Draft, Kind, output_text};
use crate::{Event, Fault, Shape, Voice, one_line, openai};

/// Writes the pieces.
pub(super) struct Events {
    draft: Draft,
    begun: bool,
    /// The number of the next event.
    next: u64,
}

impl Events {
    pub(super) fn new(shape: Shape) -> Self {
        Self { draft: Draft::new(shape), begun: false, next: 0 }
    }

    fn write(&mut self, name: &str, mut value: Value, out: &mut Vec<u8>) {
        value["type"] = name.into();
        value["sequence_number"] = self.next.into();
        self.next += 1;
        out.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
        one_line::write(&value, out);
        out.extend_from_slice(b"\n\n");
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for name in ["response.created", "response.in_progress"] {
            self.write(name, json!({ "response": self.draft.value(false) }), out);
        }
    }

    fn open(&mut self, kind: Kind, out: &mut Vec<u8>) {
        if self.draft.open == Some(kind) {
            return;
        }
        self.close(out);
        self.draft.begin(kind);
        let index = self.draft.output.len();
        let item = self.draft.item(kind, index, "", "in_progress");
        self.write("response.output_item.added", json!({ "output_index": index, "item": item }), out);
        let id = self.draft.item_id(kind, index);
        match kind {
            Kind::Message => {
                let part = output_text("", (&[], &[]));
                let value = json!({ "item_id": id, "output_index": index, "content_index": 0, "part": part });
                self.write("response.content_part.added", value, out);
            }
            Kind::Reasoning => {
                let part = json!({ "type": "summary_text", "text": "" });
                let value = json!({ "item_id": id, "output_index": index, "summary_index": 0, "part": part });
                self.write("response.reasoning_summary_part.added", value, out);
            }
            Kind::Call => {}
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let Some((kind, index)) = self.draft.close() else { return };
        let (id, text) = (self.draft.item_id(kind, index), self.draft.text.clone());
        let at = |place: &str| json!({ "item_id": id, "output_index": index, place: 0 });
        match kind {
            Kind::Message => {
                let mut done = at("content_index");
                done["text"] = text.clone().into();
                done["logprobs"] = json!(self.draft.likely);
                self.write("response.output_text.done", done, out);
                let mut done = at("content_index");
                done["part"] = output_text(&text, (&self.draft.found, &self.draft.likely));
                self.write("response.content_part.done", done, out);
            }
            Kind::Reasoning => {
                let mut done = at("summary_index");
                done["text"] = text.clone().into();
                self.write("response.reasoning_summary_text.done", done, out);
                let mut done = at("summary_index");
                done["part"] = json!({ "type": "summary_text", "text": text });
                self.write("response.reasoning_summary_part.done", done, out);
            }
            Kind::Call => {}
        }
        let item = self.draft.output[index].clone();
        self.write("response.output_item.done", json!({ "output_index": index, "item": item }), out);
    }

    fn call(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.close(out);
        let index = self.draft.output.len();
        let Some((item, said)) = self.draft.call(event, index) else { return };
        let is_custom = item.get("input").is_some();
        let field = if is_custom { "input" } else { "arguments" };
        let front = if is_custom { "response.custom_tool_call_input" } else { "response.function_call_arguments" };
        let mut added = item.clone();
        added[field] = "".into();
        added["status"] = "in_progress".into();
        self.write("response.output_item.added", json!({ "output_index": index, "item": added }), out);
        let id = self.draft.item_id(Kind::Call, index);
        let delta = json!({ "item_id": id, "output_index": index, "delta": said });
        self.write(&format!("{front}.delta"), delta, out);
        let done = json!({ "item_id": id, "output_index": index, "name": item["name"], field: said });
        self.write(&format!("{front}.done"), done, out);
        self.draft.output.push(item.clone());
        self.write("response.output_item.done", json!({ "output_index": index, "item": item }), out);
    }
}

impl Events {
    /// How likely the tokens were that were said just now, which is known behind them.
    fn likely(&mut self, tokens: impl IntoIterator<Item = Value>, out: &mut Vec<u8>) {
        let tokens: Vec<Value> = tokens.into_iter().collect();
        if self.draft.open != Some(Kind::Message) || tokens.is_empty() {
            return;
        }
        let index = self.draft.output.len();
        let id = self.draft.item_id(Kind::Message, index);
        let delta =
            json!({ "item_id": id, "output_index": index, "content_index": 0, "delta": "", "logprobs": tokens });
        self.write("response.output_text.delta", delta, out);
    }

    fn sources(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.draft.note_sources(event);
        let index = self.draft.output.len();
        let id = self.draft.item_id(Kind::Message, index);
        for (number, annotation) in self.draft.found.clone().into_iter().enumerate() {
            let told = json!({
                "item_id": id, "output_index": index, "content_index": 0, "annotation_index": number, "annotation": annotation,
            });
            self.write("response.output_text.annotation.added", told, out);
        }
    }

    fn image(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        self.close(out);
        let index = self.draft.output.len();
        let Some(item) = self.draft.image(event, index) else { return };
        let mut added = item.clone();
        added["result"] = Value::Null;
        added["status"] = "in_progress".into();
        let id = item["id"].clone();
        self.write("response.output_item.added", json!({ "output_index": index, "item": added }), out);
        for name in ["in_progress", "generating", "completed"] {
            let name = format!("response.image_generation_call.{name}");
            self.write(&name, json!({ "item_id": id, "output_index": index }), out);
        }
        self.draft.output.push(item.clone());
        self.write("response.output_item.done", json!({ "output_index": index, "item": item }), out);
    }
}

impl Voice for Events {
    fn say(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        self.begin(out);
        self.draft.note(&event);
        if let Some((kind, text)) = Draft::piece(&event) {
            self.open(kind, out);
            self.draft.text.push_str(text);
            let index = self.draft.output.len();
            let id = self.draft.item_id(kind, index);
            let (name, place) = match kind {
                Kind::Reasoning => ("response.reasoning_summary_text.delta", "summary_index"),
                Kind::Message | Kind::Call => ("response.output_text.delta", "content_index"),
            };
            let mut delta = json!({ "item_id": id, "output_index": index, place: 0, "delta": text });
            if kind == Kind::Message {
                delta["logprobs"] = json!([]);
            }
            self.write(name, delta, out);
        }
        if let Event::Logprobs { choice: 0, tokens } = &event {
            self.likely(openai::likely(tokens), out);
        }
        if matches!(event, Event::Sources { choice: 0, .. }) {
            self.sources(&event, out);
        }
        if matches!(event, Event::Blob { choice: 0, .. }) {
            self.image(&event, out);
        }
        if matches!(event, Event::Call { choice: 0, .. }) {
            self.call(&event, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.begin(out);
        self.close(out);
        let response = self.draft.value(true);
        let name = if response["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
        self.write(name, json!({ "response": response }), out);
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        let error: Value = serde_json::from_slice(&openai::body(fault)).unwrap_or_default();
        let mut error = error["error"].clone();
        if error["code"].is_null() {
            // Here there is always one.
            error["code"] = error["type"].clone();
        }
        let mut told = json!({ "code": error["code"], "message": error["message"], "param": error["param"] });
        // The reference has these beside the type; the service has them in here, by which clients know that they failed.
        told["error"] = error.clone();
        self.write("error", told, out);
        // Some look for this one alone.
        let response = self.draft.failed(&error);
        self.write("response.failed", json!({ "response": response }), out);
    }

    fn pause(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": keep-alive\n\n");
    }
}
