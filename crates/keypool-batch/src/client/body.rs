//! The path and the body of a request, in the provider's format.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tower_keypool::Provider;

use super::{
    Error, ErrorKind, Prompt, PromptOptions,
    request::{Content, JsonFormat},
};
use crate::raw::{RawObject, object, raw};

/// The format of requests and responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Gemini,
    /// Chat completions of OpenAI and compatible providers.
    Chat,
    Anthropic,
}

/// Default `max_tokens` for Anthropic, which requires a number.
const ANTHROPIC_MAX_TOKENS: u32 = 8_192;
/// A request for JSON. OpenAI refuses `json_object` unless a message contains the word, and Anthropic has no such mode.
const ASK_FOR_JSON: &str = "Answer in JSON.";
/// Characters that are escaped in a path segment.
const SEGMENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`');

/// A request, ready to be sent.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) api: Api,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

impl Wire {
    /// Builds the request for a prompt to a provider.
    pub(super) fn new(provider: &dyn Provider, prompt: &Prompt, stream: bool) -> Result<Self, Error> {
        let options = &prompt.options;
        options.check()?;
        let Some(model) = options.model.as_deref().filter(|model| !model.is_empty()) else {
            return Err(Error::new(ErrorKind::Invalid, "no model is set"));
        };
        let (api, mut body) = content(provider, prompt)?;
        let path = match api {
            Api::Gemini => {
                gemini(&mut body, options);
                gemini_path(model, stream)
            }
            Api::Chat => {
                let host = provider.base().authority().host();
                chat(&mut body, options, host == "api.openai.com" || host.ends_with(".azure.com"));
                let is_gemini = provider.name() == "gemini";
                if is_gemini { "/v1beta/openai/chat/completions" } else { "/v1/chat/completions" }.to_owned()
            }
            Api::Anthropic => {
                anthropic(&mut body, options);
                "/v1/messages".to_owned()
            }
        };
        if api != Api::Gemini {
            body.insert("model".to_owned(), raw(&model));
            body.remove("stream");
            if stream {
                body.insert("stream".to_owned(), raw(&true));
            }
            if stream && api == Api::Chat {
                set(&mut body, "stream_options", &json!({ "include_usage": true }));
            }
        }
        Ok(Self { api, path, body: serde_json::to_vec(&body).expect("the keys of the object are strings") })
    }
}

/// Returns the format of a request, and its body without options.
fn content(provider: &dyn Provider, prompt: &Prompt) -> Result<(Api, RawObject), Error> {
    let api = match provider.name() {
        "gemini" => Api::Gemini,
        "anthropic" => Api::Anthropic,
        _ => Api::Chat,
    };
    match &prompt.content {
        Content::Text(text) if api == Api::Gemini => {
            let contents = raw(&json!([{ "role": "user", "parts": [{ "text": text }] }]));
            Ok((api, RawObject::from([("contents".to_owned(), contents)])))
        }
        Content::Text(text) => {
            let messages = raw(&json!([{ "role": "user", "content": text }]));
            Ok((api, RawObject::from([("messages".to_owned(), messages)])))
        }
        Content::Request(request) => match (api, request.contains_key("contents")) {
            (Api::Gemini, false) => Ok((Api::Chat, (**request).clone())),
            (Api::Chat | Api::Anthropic, true) => {
                let why = "`contents` is a request in Gemini's format";
                Err(Error::new(ErrorKind::Invalid, format!("{why}; {} expects `messages`", provider.name())))
            }
            _ => Ok((api, (**request).clone())),
        },
    }
}

fn gemini_path(model: &str, stream: bool) -> String {
    let model = model.strip_prefix('/').unwrap_or(model);
    let resource = if model.contains('/') { model.to_owned() } else { format!("models/{model}") };
    let call = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    format!("/v1beta/{}:{call}", utf8_percent_encode(&resource, SEGMENT))
}

fn set(object: &mut RawObject, name: &str, value: &impl serde::Serialize) {
    object.entry(name.to_owned()).or_insert_with(|| raw(value));
}

/// Sets a field, unless the object has it in camel case or snake case, which Google both accepts.
fn set_either(object: &mut RawObject, name: &str, value: &impl serde::Serialize) {
    if !object.contains_key(&snake_case(name)) {
        set(object, name, value);
    }
}

fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

fn gemini(body: &mut RawObject, options: &PromptOptions) {
    if let Some(system) = &options.system {
        set_either(body, "systemInstruction", &json!({ "parts": [{ "text": system }] }));
    }
    let name = if body.contains_key("generation_config") { "generation_config" } else { "generationConfig" };
    let mut config = body.get(name).and_then(|config| object(config)).unwrap_or_default();
    if let Some(temperature) = options.temperature {
        set(&mut config, "temperature", &temperature);
    }
    if let Some(tokens) = options.max_output_tokens {
        set_either(&mut config, "maxOutputTokens", &tokens);
    }
    if !matches!(options.json, JsonFormat::Off) {
        set_either(&mut config, "responseMimeType", &"application/json");
    }
    if let JsonFormat::Schema(schema) = &options.json
        && !["responseSchema", "response_schema"].iter().any(|name| config.contains_key(*name))
    {
        set_either(&mut config, "responseJsonSchema", schema);
    }
    if !config.is_empty() {
        body.insert(name.to_owned(), raw(&config));
    }
}

fn chat(body: &mut RawObject, options: &PromptOptions, own: bool) {
    // Chat completions have no field `system`.
    let system = body.remove("system");
    put_system_first(body, system, options);
    if let Some(temperature) = options.temperature {
        set(body, "temperature", &temperature);
    }
    if let Some(tokens) = options.max_output_tokens
        && !body.contains_key("max_tokens")
        && !body.contains_key("max_completion_tokens")
    {
        // Other providers than OpenAI know only the old name.
        set(body, if own { "max_completion_tokens" } else { "max_tokens" }, &tokens);
    }
    match &options.json {
        JsonFormat::Off => {}
        JsonFormat::Any => set(body, "response_format", &json!({ "type": "json_object" })),
        JsonFormat::Schema(schema) => {
            let schema = json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema } });
            set(body, "response_format", &schema);
        }
    }
}

/// Inserts the system instruction before the messages, unless they have one, and a request for JSON if they need it.
fn put_system_first(body: &mut RawObject, own: Option<Box<RawValue>>, options: &PromptOptions) {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        role: String,
    }
    let Some(messages) = body.get("messages") else { return };
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(messages.get()) else { return };
    let is_system = |message: &&RawValue| {
        serde_json::from_str::<Message>(message.get())
            .is_ok_and(|message| matches!(&*message.role, "system" | "developer"))
    };
    let given = || own.or_else(|| Some(raw(&system(options)?)));
    let mut first: Vec<_> = if list.iter().any(is_system) { Vec::new() } else { given().into_iter().collect() };
    let has_word = |json: &RawValue| json.get().to_ascii_lowercase().contains("json");
    if matches!(options.json, JsonFormat::Any) && !has_word(messages) && !first.iter().any(|json| has_word(json)) {
        first.push(raw(&ASK_FOR_JSON));
    }
    if first.is_empty() {
        return;
    }
    let system = first.into_iter().map(|content| raw(&json!({ "role": "system", "content": content })));
    let all = raw(&system.chain(list.into_iter().map(ToOwned::to_owned)).collect::<Vec<_>>());
    body.insert("messages".to_owned(), all);
}

/// Returns the system instruction, with a request for JSON of any form.
fn system(options: &PromptOptions) -> Option<String> {
    let ask = matches!(options.json, JsonFormat::Any).then_some(ASK_FOR_JSON);
    let parts: Vec<&str> = options.system.as_deref().into_iter().chain(ask).collect();
    (!parts.is_empty()).then(|| parts.join("\n"))
}

fn anthropic(body: &mut RawObject, options: &PromptOptions) {
    let own = body.get("system").and_then(|own| serde_json::from_str::<Value>(own.get()).ok());
    match own.filter(|_| matches!(options.json, JsonFormat::Any)) {
        Some(Value::String(own)) => drop(body.insert("system".to_owned(), raw(&format!("{own}\n{ASK_FOR_JSON}")))),
        Some(Value::Array(mut own)) => {
            own.push(json!({ "type": "text", "text": ASK_FOR_JSON }));
            body.insert("system".to_owned(), raw(&own));
        }
        _ => {
            if let Some(system) = system(options) {
                set(body, "system", &system);
            }
        }
    }
    if let Some(temperature) = options.temperature {
        set(body, "temperature", &temperature);
    }
    set(body, "max_tokens", &options.max_output_tokens.unwrap_or(ANTHROPIC_MAX_TOKENS));
    if let JsonFormat::Schema(schema) = &options.json {
        set(body, "output_config", &json!({ "format": { "type": "json_schema", "schema": schema } }));
    }
}
