//! `messages`: who said what.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::file::file;
use crate::{
    Call, CallId, Conversation, Fault, Ignored, OneOr, Part, Returned, Role, Signature, Text, data_url, depth,
    neutral::Calls, origins,
};

/// What somebody said.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Option<Said<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
    #[serde(borrow)]
    function_call: Option<Function<'a>>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
    #[serde(borrow)]
    images: Option<&'a RawValue>,
}

/// A text, or parts.
type Said<'a> = OneOr<'a, WirePart<'a>>;

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<ImageUrl<'a>>,
    #[serde(borrow)]
    input_audio: Option<Recording<'a>>,
    #[serde(borrow)]
    file: Option<File<'a>>,
}

#[derive(Deserialize)]
struct ImageUrl<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
}

/// Sound that came with a request.
#[derive(Deserialize)]
pub(crate) struct Recording<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

impl<'a> Recording<'a> {
    /// As a part of a turn; `at` names its fields.
    pub(crate) fn part(self, at: impl Fn(&str) -> String) -> Result<Part<'a>, Fault> {
        let Self { data, format } = self;
        let plain = !format.is_empty() && format.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !plain {
            let at = at("format");
            return Err(Fault::invalid(format!("{at}: expected wav, mp3, flac, ogg or the like")).at(at));
        }
        if data.is_empty() {
            return Err(Fault::invalid(format!("{} is empty", at("data"))).at(at("data")));
        }
        Ok(Part::Blob { mime: format!("audio/{format}").into(), data })
    }
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
struct File<'a> {
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
    #[serde(borrow)]
    custom: Option<Custom<'a>>,
    #[serde(borrow)]
    extra_content: Option<Extra<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Text<'a>,
}

/// A call of a tool that takes a text.
#[derive(Deserialize)]
struct Custom<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    input: Text<'a>,
}

/// What Google's own compatible endpoint hands out, and wants back.
#[derive(Deserialize)]
struct Extra<'a> {
    #[serde(borrow)]
    google: Option<Google<'a>>,
}

#[derive(Deserialize)]
struct Google<'a> {
    #[serde(borrow)]
    thought_signature: Option<Text<'a>>,
}

/// Reads `messages` into a conversation, whose model is known by then: ids of calls are read for it.
pub(super) fn read<'a>(
    messages: Vec<Message<'a>>,
    conversation: &mut Conversation<'a>,
    ignored: &mut Ignored,
) -> Result<(), Fault> {
    if messages.is_empty() {
        return Err(Fault::invalid("messages must not be empty").at("messages"));
    }
    conversation.turns.reserve(messages.len());
    let older = messages.iter().any(|message| message.function_call.is_some())
        && messages.iter().all(|message| message.tool_calls.is_none());
    let mut reader = Reader { conversation, ignored, calls: Calls::default() };
    for (index, message) in messages.into_iter().enumerate() {
        if !matches!(&*message.role, "tool" | "function") {
            reader.say_late();
        }
        reader.message(index, message)?;
    }
    reader.say_late();
    if older {
        // The upstream wants an answer to each.
        while let Some((name, nth)) = reader.calls.answer_last("") {
            let returned = Returned { id: None, name, content: Text::default(), failed: false, nth };
            reader.conversation.say(Role::User, Part::Returned(returned));
        }
    }
    let Reader { conversation, calls, .. } = reader;
    calls.settle(conversation).map_err(|index| {
        let at = format!("messages[{index}].tool_calls");
        Fault::invalid(format!("{at}: a tool message must follow for each of them, and for one there is none")).at(at)
    })
}

struct Reader<'r, 'a> {
    conversation: &'r mut Conversation<'a>,
    ignored: &'r mut Ignored,
    calls: Calls<'a>,
}

impl<'a> Reader<'_, 'a> {
    fn message(&mut self, index: usize, message: Message<'a>) -> Result<(), Fault> {
        let at = |what: &str| format!("messages[{index}].{what}");
        let is_answer = &*message.role == "function";
        if message.name.is_some() && !is_answer {
            self.ignored.add("messages.name");
        }
        if message.audio.is_some_and(|value| value.get() != "null") {
            return Err(Fault::invalid(format!("{} cannot be had", at("audio"))).at(at("audio")));
        }
        // An answer may have been only calls, or nothing at all.
        if message.content.is_none() && matches!(&*message.role, "system" | "developer" | "user" | "tool" | "function")
        {
            let at = at("content");
            return Err(Fault::invalid(format!("{at}: expected a string or a list of parts, got null")).at(at));
        }
        match &*message.role {
            "system" | "developer" => {
                let said = texts(index, message.content)?;
                self.conversation.system.extend(said);
            }
            "user" => self.say(Role::User, index, message.content)?,
            "assistant" => {
                self.say(Role::Model, index, message.content)?;
                if let Some(refusal) = message.refusal {
                    self.conversation.say(Role::Model, Part::Text(refusal));
                }
                self.drawn(message.images);
                for call in message.tool_calls.unwrap_or_default() {
                    self.call(call, index, &at("tool_calls"))?;
                }
                if let Some(function) = message.function_call {
                    let call = ToolCall { id: None, function: Some(function), custom: None, extra_content: None };
                    self.call(call, index, &at("function_call"))?;
                }
            }
            "function" => {
                let at = at("name");
                let name = message.name.ok_or_else(|| Fault::invalid(format!("{at} is missing")).at(&*at))?;
                let said = texts(index, message.content)?.iter().map(|text| &**text).collect::<String>();
                // Without ids nobody holds such answers against calls: agents answer those that are made within others.
                match self.calls.answer_last(&name) {
                    Some((name, nth)) => {
                        let returned = Returned { id: None, name, content: said.into(), failed: false, nth };
                        self.conversation.say(Role::User, Part::Returned(returned));
                    }
                    None => self.conversation.say(Role::User, Part::Text(format!("{}: {said}", &*name).into())),
                }
            }
            "tool" => {
                let Some(id) = message.tool_call_id else {
                    return Err(Fault::invalid(format!("{} is missing", at("tool_call_id"))).at(at("tool_call_id")));
                };
                let (name, nth) = self.calls.answer(&id).map_err(|unasked| {
                    let at = at("tool_call_id");
                    Fault::invalid(format!("{at}: {}", unasked.why("call"))).at(at)
                })?;
                let (said, beside) = self.returned(index, message.content)?;
                let content = match <[_; 1]>::try_from(said) {
                    Ok([one]) => one,
                    Err(several) => several.iter().map(|text| &**text).collect::<String>().into(),
                };
                let id = CallId::read(&id).id.map(Text::from);
                let returned = Returned { id, name, content, failed: false, nth };
                self.conversation.say(Role::User, Part::Returned(returned));
                self.calls.answer_beside(nth, beside);
            }
            other => {
                let short: String = other.chars().take(40).collect();
                return Err(Fault::invalid(format!("{}: {short:?} is not known", at("role"))).at(at("role")));
            }
        }
        Ok(())
    }

    fn say_late(&mut self) {
        for part in self.calls.take_beside() {
            self.conversation.say(Role::User, part);
        }
    }

    /// What a tool answered: text, and what else there is.
    fn returned(&mut self, index: usize, content: Option<Said<'a>>) -> Result<(Vec<Text<'a>>, Vec<Part<'a>>), Fault> {
        let Some(OneOr::List(wires)) = content else { return Ok((texts(index, content)?, Vec::new())) };
        let (mut said, mut beside) = (Vec::new(), Vec::new());
        for (number, wire) in wires.into_iter().enumerate() {
            match self.part(wire, &|| format!("messages[{index}].content[{number}]"))? {
                Part::Text(text) => said.push(text),
                part => beside.push(part),
            }
        }
        Ok((said, beside))
    }

    fn say(&mut self, role: Role, index: usize, content: Option<Said<'a>>) -> Result<(), Fault> {
        match content {
            None => {}
            Some(OneOr::Text(text)) => self.conversation.say(role, Part::Text(text)),
            Some(OneOr::List(parts)) if parts.is_empty() && role == Role::User => {
                let at = format!("messages[{index}].content");
                return Err(Fault::invalid(format!("{at}: expected at least one part")).at(at));
            }
            Some(OneOr::List(parts)) => {
                for (part, wire) in parts.into_iter().enumerate() {
                    let place = || format!("messages[{index}].content[{part}]");
                    let part = self.part(wire, &place)?;
                    self.conversation.say(role, part);
                }
            }
        }
        Ok(())
    }

    fn part(&mut self, wire: WirePart<'a>, place: &dyn Fn() -> String) -> Result<Part<'a>, Fault> {
        let at = |what: &str| format!("{}.{what}", place());
        let missing = |what: &str| Fault::invalid(format!("{} is missing", at(what))).at(at(what));
        match &*wire.kind {
            "text" => Ok(Part::Text(wire.text.ok_or_else(|| missing("text"))?)),
            "refusal" => Ok(Part::Text(wire.refusal.ok_or_else(|| missing("refusal"))?)),
            "image_url" => {
                let ImageUrl { url, detail } = wire.image_url.ok_or_else(|| missing("image_url"))?;
                if detail.is_some_and(|detail| &*detail != "auto") {
                    self.ignored.add("image_url.detail");
                }
                data_url::part(url, || at("image_url.url"))
            }
            "input_audio" => {
                let recording = wire.input_audio.ok_or_else(|| missing("input_audio"))?;
                recording.part(|what| at(&format!("input_audio.{what}")))
            }
            "file" => {
                let File { file_data, file_id, filename } = wire.file.ok_or_else(|| missing("file"))?;
                file(file_data, file_id, filename, &|what| at(&format!("file.{what}")))
            }
            other => {
                let short: String = other.chars().take(40).collect();
                Err(Fault::invalid(format!("{}: {short:?} is not known", at("type"))).at(at("type")))
            }
        }
    }

    /// Images as an answer holds them; others have other things under that name.
    fn drawn(&mut self, images: Option<&'a RawValue>) {
        let Some(images) = images.filter(|images| !matches!(images.get(), "null" | "[]")) else { return };
        let mut all = true;
        match serde_json::from_str::<Vec<WirePart<'a>>>(images.get()) {
            Ok(wires) => wires.into_iter().for_each(|wire| match self.part(wire, &String::new) {
                Ok(drawn @ Part::Blob { .. }) => self.conversation.say(Role::Model, drawn),
                _ => all = false,
            }),
            Err(_) => all = false,
        }
        if !all {
            self.ignored.add("messages.images");
        }
    }

    fn call(&mut self, call: ToolCall<'a>, index: usize, place: &str) -> Result<(), Fault> {
        let ToolCall { id, function, custom, extra_content } = call;
        let (name, args) = match (function, custom) {
            (Some(Function { name, arguments }), _) => {
                depth::check(&arguments, || format!("{place}.function.arguments"))?;
                (name, object(&arguments))
            }
            (None, Some(Custom { name, input })) => (name, origins::arguments(&input)),
            (None, None) => {
                let why = format!("{place}: only functions and tools that take a text can be called");
                return Err(Fault::invalid(why).at(place));
            }
        };
        let carried = id.as_deref().map(CallId::read).unwrap_or_default();
        self.calls.make(id, name.clone(), index);
        let beside = extra_content.and_then(|extra| extra.google).and_then(|google| google.thought_signature);
        // Nobody says who gave it: most likely who is asked.
        let beside = beside.map(|signature| Signature::of(&self.conversation.model, signature));
        let call = Call { id: carried.id.map(Text::from), name, args, signature: beside.or(carried.signature) };
        self.conversation.say(Role::Model, Part::Call(call));
        Ok(())
    }
}

/// What is text alone.
fn texts(index: usize, content: Option<Said<'_>>) -> Result<Vec<Text<'_>>, Fault> {
    match content {
        None => Ok(Vec::new()),
        Some(OneOr::Text(text)) => Ok(vec![text]),
        Some(OneOr::List(parts)) => parts
            .into_iter()
            .enumerate()
            .map(|(part, wire)| {
                let place = || format!("messages[{index}].content[{part}]");
                wire.text.ok_or_else(|| Fault::invalid(format!("{}: only text goes here", place())).at(place()))
            })
            .collect(),
    }
}

/// Arguments as an object; what a model wrote that is none stands inside of one.
pub(crate) fn object<'a>(arguments: &Text<'a>) -> Cow<'a, RawValue> {
    let wrapped = |json: String| RawValue::from_string(json).map(Cow::Owned);
    let trimmed = arguments.trim();
    let read = match arguments.borrowed() {
        _ if trimmed.is_empty() => wrapped("{}".to_owned()),
        Some(text) if trimmed.starts_with('{') => serde_json::from_str(text.trim()).map(Cow::Borrowed),
        None if trimmed.starts_with('{') => wrapped(trimmed.to_owned()),
        _ => wrapped(String::new()),
    };
    read.or_else(|_| wrapped(serde_json::json!({ "arguments": &*arguments }).to_string()))
        .unwrap_or(Cow::Borrowed(RawValue::NULL))
}
