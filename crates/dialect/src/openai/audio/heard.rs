//! What was spoken, as text.

use serde_json::{Value, json};

use super::cut;
use crate::{Event, Fault, Finish, Form, Shape, Usage, Voice, one_line, openai};

/// Gathers a transcript.
pub(super) struct Transcript {
    form: Form,
    text: String,
    usage: Usage,
    why: Option<Finish>,
}

/// What it is made of, and where that stands in a request.
const OF: (&str, &str) = ("recording", "file");

impl Transcript {
    pub(super) fn new(shape: &Shape) -> Self {
        Self { form: shape.form, text: String::new(), usage: Usage::default(), why: None }
    }
}

fn told(usage: Usage) -> Value {
    json!({
        "type": "tokens",
        "input_tokens": usage.input,
        "input_token_details": {
            "audio_tokens": usage.input_audio, "text_tokens": usage.input.saturating_sub(usage.input_audio),
        },
        "output_tokens": usage.output,
        "total_tokens": usage.input.saturating_add(usage.output),
    })
}

impl Voice for Transcript {
    fn say(&mut self, event: Event<'_>, _: &mut Vec<u8>) {
        match event {
            Event::Text { choice: 0, text } => self.text.push_str(&text),
            Event::Usage(usage) => self.usage = usage,
            Event::Finish { choice: 0, why } => self.why = Some(why),
            _ => {}
        }
    }

    fn refuses(&self) -> Option<Fault> {
        cut(self.why, OF)
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let text = self.text.trim();
        if self.form == Form::Bare {
            out.extend_from_slice(text.as_bytes());
            out.push(b'\n');
        } else {
            out.extend_from_slice(json!({ "text": text, "usage": told(self.usage) }).to_string().as_bytes());
        }
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        out.extend_from_slice(&openai::body(fault));
    }

    fn media_type(&self) -> &'static str {
        if self.form == Form::Bare { "text/plain; charset=utf-8" } else { "application/json" }
    }

    fn pause(&mut self, _: &mut Vec<u8>) {}
}

/// Tells a transcript in pieces.
#[derive(Default)]
pub(super) struct Events {
    text: String,
    usage: Usage,
    why: Option<Finish>,
}

fn write(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    one_line::write(value, out);
    out.extend_from_slice(b"\n\n");
}

impl Voice for Events {
    fn say(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Text { choice: 0, text } => {
                self.text.push_str(&text);
                write(&json!({ "type": "transcript.text.delta", "delta": &*text }), out);
            }
            Event::Usage(usage) => self.usage = usage,
            Event::Finish { choice: 0, why } => self.why = Some(why),
            _ => {}
        }
    }

    fn refuses(&self) -> Option<Fault> {
        cut(self.why, OF)
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        write(&json!({ "type": "transcript.text.done", "text": self.text, "usage": told(self.usage) }), out);
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        write(&serde_json::from_slice(&openai::body(fault)).unwrap_or_default(), out);
    }

    fn pause(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": keep-alive\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_a_stream_stands_on_one_line_for_everybody() {
        let mut out = Vec::new();
        Events::default().fail(&Fault::invalid("one\u{2028}two"), &mut out);
        let told = String::from_utf8(out).unwrap();
        assert!(told.starts_with("data: {") && !told.contains('\u{2028}'), "{told}");
        let event: Value = serde_json::from_str(told["data: ".len()..].trim()).unwrap();
        assert_eq!(event["error"]["message"], "one\u{2028}two");
    }
}
