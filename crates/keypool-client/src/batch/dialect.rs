//! The provider's own form of a task, and of its answer.

use std::{borrow::Cow, fmt::Write, sync::Arc};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tower_keypool::KeyPool;

use super::{
    quoted::push_text,
    task::{Ask, Task},
    written::Fields,
};
use crate::{error::Error, path};

/// In whose form tasks are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Gemini,
    OpenAi {
        /// Its base has no path: the version stands in the request's.
        at_root: bool,
    },
    Anthropic,
}

/// What all tasks of a batch have that do not say so themselves.
#[derive(Clone, Debug)]
pub(crate) struct Defaults {
    pub(crate) model: Arc<str>,
    pub(crate) system: Option<String>,
    pub(crate) temperature: Option<f64>,
    /// The answer is to be JSON.
    pub(crate) json: bool,
}

/// Anthropic's API wants a limit.
const MAX_TOKENS: u32 = 8_192;

impl Dialect {
    /// That of the pool's provider; others than these speak as `OpenAI` does.
    pub(crate) fn of(pool: &KeyPool) -> Self {
        match pool.provider().name() {
            "gemini" => Self::Gemini,
            "anthropic" => Self::Anthropic,
            _ => Self::OpenAi { at_root: pool.provider().base().path().trim_matches('/').is_empty() },
        }
    }

    /// Where a request for a model goes.
    pub(crate) fn path(self, model: &str) -> Result<Cow<'static, str>, Error> {
        Ok(match self {
            Self::Gemini => path::of_model(model, ":generateContent")?.into(),
            Self::OpenAi { at_root: true } => "/v1/chat/completions".into(),
            Self::OpenAi { at_root: false } => "/chat/completions".into(),
            Self::Anthropic => "/v1/messages".into(),
        })
    }

    /// What is sent.
    pub(crate) fn body(self, task: &Task, model: &str, defaults: &Defaults) -> Bytes {
        let system = task.system.as_deref().or(defaults.system.as_deref());
        let temperature = task.temperature.or(defaults.temperature);
        let prompt = match &task.ask {
            Ask::Request(request) => return self.whole(request, model, system, temperature),
            Ask::Prompt(prompt) => prompt,
        };
        match self {
            Self::Gemini => gemini(prompt, system, temperature, defaults.json),
            Self::OpenAi { .. } => {
                let system = system.map(|text| json!({ "role": "system", "content": text }));
                let user = json!({ "role": "user", "content": prompt });
                let messages: Vec<Value> = system.into_iter().chain([user]).collect();
                let mut body = json!({ "model": model, "messages": messages });
                if let Some(temperature) = temperature {
                    body["temperature"] = temperature.into();
                }
                // `response_format` would have to be taken back where the prompt does not say "JSON": an error there.
                written(&body)
            }
            Self::Anthropic => {
                let messages = [json!({ "role": "user", "content": prompt })];
                let mut body = json!({ "model": model, "max_tokens": MAX_TOKENS, "messages": messages });
                if let Some(system) = system {
                    body["system"] = system.into();
                }
                if let Some(temperature) = temperature {
                    body["temperature"] = temperature.min(1.0).into();
                }
                written(&body)
            }
        }
    }

    /// A whole request; its model stands where the provider looks for it. What it says itself holds.
    fn whole(self, request: &Fields, model: &str, system: Option<&str>, temperature: Option<f64>) -> Bytes {
        let mut body = request.clone();
        if self == Self::Gemini {
            body.remove("model");
            if let Some(text) = system.filter(|_| one_of(&body, GEMINI_SYSTEM).is_none()) {
                body.insert(GEMINI_SYSTEM[0].to_owned(), json!({ "parts": [{ "text": text }] }).into());
            }
            if let Some(temperature) = temperature {
                let name = one_of(&body, GEMINI_CONFIG).unwrap_or(GEMINI_CONFIG[0]);
                let config = body.entry(name.to_owned()).or_insert_with(|| json!({}).into());
                config.add_field("temperature", temperature);
            }
            return written(&body);
        }
        body.insert("model".to_owned(), Value::from(model).into());
        // A batch has no use for pieces.
        body.remove("stream");
        body.remove("stream_options");
        let most = if self == Self::Anthropic { 1.0 } else { f64::INFINITY };
        if let Some(temperature) = temperature {
            body.entry("temperature".to_owned()).or_insert_with(|| Value::from(temperature.min(most)).into());
        }
        match (self, system) {
            (Self::Anthropic, Some(text)) => {
                body.entry("system".to_owned()).or_insert_with(|| Value::from(text).into());
            }
            (_, Some(text)) => {
                let says = |message: &Value| matches!(message["role"].as_str(), Some("system" | "developer"));
                let has = |messages: &Value| messages.as_array().is_some_and(|messages| messages.iter().any(says));
                if let Some(messages) = body.get_mut("messages").filter(|messages| !has(messages)) {
                    messages.put_first(json!({ "role": "system", "content": text }));
                }
            }
            (_, None) => {}
        }
        written(&body)
    }
}

/// Both spellings are taken by the provider.
const GEMINI_SYSTEM: [&str; 2] = ["systemInstruction", "system_instruction"];
const GEMINI_CONFIG: [&str; 2] = ["generationConfig", "generation_config"];

/// Which of these names it has.
fn one_of(body: &Fields, names: [&'static str; 2]) -> Option<&'static str> {
    names.into_iter().find(|name| body.contains_key(*name))
}

/// A prompt in Gemini's form, by hand: most tasks are one. In just as much room, since it may wait for long.
fn gemini(prompt: &str, system: Option<&str>, temperature: Option<f64>, json: bool) -> Bytes {
    const CONTENTS: &[u8] = br#"{"contents":[{"role":"user","parts":[{"text":"#;
    const CONTENTS_END: &[u8] = b"}]}]";
    const SYSTEM: &[u8] = br#","systemInstruction":{"parts":[{"text":"#;
    const CONFIG: &str = r#","generationConfig":{"#;
    const JSON: &str = r#""responseMimeType":"application/json""#;
    let mut config = String::new();
    if temperature.is_some() || json {
        config.reserve(CONFIG.len() + JSON.len() + 48);
        config.push_str(CONFIG);
        if let Some(temperature) = temperature {
            // Memory takes it all.
            let _ = write!(config, r#""temperature":{}"#, Value::from(temperature));
        }
        config.push_str(if json && temperature.is_some() { "," } else { "" });
        config.push_str(if json { JSON } else { "" });
        config.push('}');
    }
    let texts = prompt.len() + 2 + system.map_or(0, |text| SYSTEM.len() + text.len() + b"\"\"}]}".len());
    let mut body = Vec::with_capacity(CONTENTS.len() + CONTENTS_END.len() + texts + config.len() + 1);
    body.extend_from_slice(CONTENTS);
    push_text(&mut body, prompt);
    body.extend_from_slice(CONTENTS_END);
    if let Some(text) = system {
        body.extend_from_slice(SYSTEM);
        push_text(&mut body, text);
        body.extend_from_slice(b"}]}");
    }
    body.extend_from_slice(config.as_bytes());
    body.push(b'}');
    Bytes::from(body.into_boxed_slice())
}

fn written(body: &impl Serialize) -> Bytes {
    // It may wait for long: without room for more.
    serde_json::to_vec(body).map(|text| Bytes::from(text.into_boxed_slice())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_in_geminis_form() {
        let user = json!([{ "role": "user", "parts": [{ "text": "say \"a\"\n" }] }]);
        let system = json!({ "parts": [{ "text": "be \\ brief" }] });
        let read = |body: Bytes| serde_json::from_slice::<Value>(&body).unwrap();
        let of = |system, temperature, json| read(gemini("say \"a\"\n", system, temperature, json));
        assert_eq!(of(None, None, false), json!({ "contents": user }));
        let warm = json!({ "contents": user, "generationConfig": { "temperature": 0.5 } });
        assert_eq!(of(None, Some(0.5), false), warm);
        let all = json!({ "contents": user, "systemInstruction": system,
            "generationConfig": { "temperature": 1.0, "responseMimeType": "application/json" } });
        assert_eq!(of(Some("be \\ brief"), Some(1.0), true), all);
        let mime = json!({ "contents": user, "generationConfig": { "responseMimeType": "application/json" } });
        assert_eq!(of(None, None, true), mime);
    }
}
