//! `input`: messages, calls and what they came to.

use serde::Deserialize;

use crate::{
    Call, CallId, Conversation, Fault, Ignored, OneOr, Part, Returned, Role, Text, data_url, depth,
    neutral::Calls,
    openai,
    origins::{self, Origins},
};

/// One item. Without a type it is a message.
#[derive(Deserialize)]
pub(super) struct Item<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<OneOr<'a, Piece<'a>>>,
    #[serde(borrow)]
    call_id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<Text<'a>>,
    #[serde(borrow)]
    output: Option<OneOr<'a, Piece<'a>>>,
    #[serde(borrow)]
    result: Option<Text<'a>>,
    #[serde(borrow)]
    output_format: Option<Text<'a>>,
}

/// A part of a message.
#[derive(Deserialize)]
pub(super) struct Piece<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<Text<'a>>,
    #[serde(borrow)]
    detail: Option<Text<'a>>,
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
    #[serde(borrow)]
    file_url: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
    #[serde(borrow)]
    input_audio: Option<openai::Recording<'a>>,
}

/// Kinds that are understood.
const KINDS: [&str; 8] = [
    "message",
    "function_call",
    "custom_tool_call",
    "function_call_output",
    "custom_tool_call_output",
    "image_generation_call",
    "reasoning",
    "web_search_call",
];

fn strange(kind: &str, index: usize) -> Fault {
    let short: String = kind.chars().take(40).collect();
    let at = format!("input[{index}].type");
    Fault::invalid(format!("{at}: {short:?} cannot be had")).at(at)
}

/// The first item of a kind that is not understood, where a body could not be read: what its fields are nobody knows here, and
/// they are not to blame.
pub(super) fn strange_in(body: &[u8]) -> Option<Fault> {
    #[derive(Deserialize)]
    struct Body {
        input: Vec<serde_json::Value>,
    }
    let Body { input } = serde_json::from_slice(body).ok()?;
    let kinds = input.iter().map(|item| item.get("type").and_then(serde_json::Value::as_str).unwrap_or("message"));
    let (index, kind) = kinds.enumerate().find(|(_, kind)| !KINDS.contains(kind))?;
    Some(strange(kind, index))
}

/// Reads `input` into a conversation, whose model is known by then: ids of calls are read for it.
pub(super) fn read<'a>(
    input: OneOr<'a, Item<'a>>,
    (conversation, origins): (&mut Conversation<'a>, &Origins),
    ignored: &mut Ignored,
) -> Result<(), Fault> {
    let items = match input {
        OneOr::Text(text) => {
            conversation.say(Role::User, Part::Text(text));
            return Ok(());
        }
        OneOr::List(items) if items.is_empty() => return Err(Fault::invalid("input must not be empty").at("input")),
        OneOr::List(items) => items,
    };
    let mut calls = Calls::default();
    for (index, item) in items.into_iter().enumerate() {
        if !matches!(item.kind.as_deref(), Some("function_call_output" | "custom_tool_call_output")) {
            for part in calls.take_beside() {
                conversation.say(Role::User, part);
            }
        }
        let place = || format!("input[{index}]");
        let missing = |what: &str| Fault::invalid(format!("{}.{what} is missing", place())).at(place());
        match item.kind.as_deref().unwrap_or("message") {
            "message" => {
                let content = item.content.ok_or_else(|| missing("content"))?;
                message(&item.role.unwrap_or_default(), content, (conversation, ignored), &place)?;
            }
            kind @ ("function_call" | "custom_tool_call") => {
                let id = item.call_id.ok_or_else(|| missing("call_id"))?;
                let name = origins.known(item.namespace, item.name.ok_or_else(|| missing("name"))?);
                let carried = CallId::read(&id);
                calls.make(Some(id), name.clone(), index);
                let args = if kind == "custom_tool_call" {
                    origins::arguments(&item.input.ok_or_else(|| missing("input"))?)
                } else {
                    let arguments = item.arguments.unwrap_or_default();
                    depth::check(&arguments, || format!("{}.arguments", place()))?;
                    openai::object(&arguments)
                };
                let call = Call { id: carried.id.map(Text::from), name, args, signature: carried.signature };
                conversation.say(Role::Model, Part::Call(call));
            }
            "function_call_output" | "custom_tool_call_output" => {
                let id = item.call_id.ok_or_else(|| missing("call_id"))?;
                let (name, nth) = calls.answer(&id).map_err(|unasked| {
                    let at = format!("{}.call_id", place());
                    Fault::invalid(format!("{at}: {}", unasked.why("call"))).at(at)
                })?;
                let content = match item.output.ok_or_else(|| missing("output"))? {
                    OneOr::Text(text) => text,
                    OneOr::List(pieces) => {
                        let mut said = String::new();
                        for (number, piece) in pieces.into_iter().enumerate() {
                            match part(piece, ignored, &|what| format!("{}.output[{number}].{what}", place()))? {
                                Part::Text(text) => said.push_str(&text),
                                part => calls.answer_beside(nth, [part]),
                            }
                        }
                        said.into()
                    }
                };
                let id = CallId::read(&id).id.map(Text::from);
                let returned = Returned { id, name, content, failed: false, nth };
                conversation.say(Role::User, Part::Returned(returned));
            }
            // What the model drew.
            "image_generation_call" => {
                let data = item.result.ok_or_else(|| missing("result"))?;
                let format = item.output_format.as_deref().filter(|format| matches!(*format, "jpeg" | "webp"));
                let mime = format!("image/{}", format.unwrap_or("png")).into();
                conversation.say(Role::Model, Part::Blob { mime, data });
            }
            // What was thought does not go back; what is needed of it rides in the ids of calls. What was found stands in what
            // was said of it.
            "reasoning" | "web_search_call" => {}
            other => return Err(strange(other, index)),
        }
    }
    for part in calls.take_beside() {
        conversation.say(Role::User, part);
    }
    calls.settle(conversation).map_err(|index| {
        let at = format!("input[{index}]");
        Fault::invalid(format!("{at}: no function_call_output is there for this call")).at(at)
    })
}

fn message<'a>(
    role: &str,
    content: OneOr<'a, Piece<'a>>,
    (conversation, ignored): (&mut Conversation<'a>, &mut Ignored),
    place: &dyn Fn() -> String,
) -> Result<(), Fault> {
    let role = match role {
        "user" => Role::User,
        "assistant" => Role::Model,
        "system" | "developer" => {
            match content {
                OneOr::Text(text) => conversation.system.push(text),
                OneOr::List(pieces) => {
                    for piece in pieces {
                        let text = piece
                            .text
                            .ok_or_else(|| Fault::invalid(format!("{}: only text goes here", place())).at(place()))?;
                        conversation.system.push(text);
                    }
                }
            }
            return Ok(());
        }
        _ => {
            let at = format!("{}.role", place());
            return Err(Fault::invalid(format!("{at}: expected user, assistant, system or developer")).at(at));
        }
    };
    match content {
        OneOr::Text(text) => conversation.say(role, Part::Text(text)),
        OneOr::List(pieces) => {
            for (number, piece) in pieces.into_iter().enumerate() {
                let part = part(piece, ignored, &|what| format!("{}.content[{number}].{what}", place()))?;
                conversation.say(role, part);
            }
        }
    }
    Ok(())
}

fn part<'a>(piece: Piece<'a>, ignored: &mut Ignored, at: &dyn Fn(&str) -> String) -> Result<Part<'a>, Fault> {
    let missing = |what: &str| Fault::invalid(format!("{} is missing", at(what))).at(at(what));
    match &*piece.kind {
        "input_text" | "output_text" | "text" => Ok(Part::Text(piece.text.ok_or_else(|| missing("text"))?)),
        "refusal" => Ok(Part::Text(piece.refusal.ok_or_else(|| missing("refusal"))?)),
        "input_image" => {
            if piece.detail.is_some_and(|detail| &*detail != "auto") {
                ignored.add("input_image.detail");
            }
            match (piece.image_url, piece.file_id) {
                (None, id @ Some(_)) => openai::file(None, id, None, at),
                (url, _) => data_url::part(url.ok_or_else(|| missing("image_url"))?, || at("image_url")),
            }
        }
        "input_file" => match piece.file_url {
            Some(url) => data_url::part(url, || at("file_url")),
            None => openai::file(piece.file_data, piece.file_id, piece.filename, at),
        },
        "input_audio" => {
            piece.input_audio.ok_or_else(|| missing("input_audio"))?.part(|what| at(&format!("input_audio.{what}")))
        }
        other => {
            let short: String = other.chars().take(40).collect();
            Err(Fault::invalid(format!("{}: {short:?} is not known", at("type"))).at(at("type")))
        }
    }
}
