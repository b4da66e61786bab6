//! `messages`: who said what, block by block.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

use super::origin::Origin;
use crate::{
    Call, CallId, Conversation, Fault, Ignored, OneOr, Part, Returned, Role, Text, fields::Field, neutral::Calls,
};

/// What somebody said.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Said<'a>,
}

/// A text, or blocks.
pub(super) type Said<'a> = OneOr<'a, Block<'a>>;

/// A piece of it.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    source: Option<Origin<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    context: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "said")]
    content: Option<Said<'a>>,
    is_error: Option<bool>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
}

impl Block<'_> {
    /// Whether what is said about it is to be told with the places where it stands.
    fn wants_citations(&self) -> bool {
        #[derive(Deserialize)]
        struct Wish {
            enabled: Option<bool>,
        }
        let wish = self.citations.and_then(|wish| serde_json::from_str::<Wish>(wish.get()).ok());
        wish.is_some_and(|wish| wish.enabled == Some(true))
    }
}

/// A text, or blocks; an object is what failed of a search, which nobody reads.
fn said<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Said<'a>>, D::Error> {
    let Some(json) = Option::<&'de RawValue>::deserialize(from)? else { return Ok(None) };
    if json.get().starts_with('{') {
        Ok(None)
    } else {
        serde_json::from_str(json.get()).map(Some).map_err(D::Error::custom)
    }
}

/// Reads `system`.
pub(super) fn system<'a>(field: &Field<'a>) -> Result<Vec<Text<'a>>, Fault> {
    match field.read::<Said<'a>>()? {
        OneOr::Text(text) => Ok(vec![text]),
        OneOr::List(blocks) => texts(blocks, &|| "system".to_owned()),
    }
}

/// What is said is told without where it stands in what was sent.
///
/// # Errors
/// Where somebody who is strict wants that.
pub(super) fn uncited(messages: &[Message<'_>], strict: bool, ignored: &mut Ignored) -> Result<(), Fault> {
    let mut take = |place: String| {
        if strict {
            let why = format!("{place}: citations of what is sent cannot be had: leave it out, or say enabled: false");
            return Err(Fault::invalid(why).at(place));
        }
        // There may be many.
        ignored.add("messages.content.citations");
        Ok(())
    };
    for (index, message) in messages.iter().enumerate() {
        for (number, block) in message.content.list().iter().enumerate() {
            if block.wants_citations() {
                take(format!("messages.{index}.content.{number}.citations"))?;
            }
            let within = block.content.iter().flat_map(OneOr::list).enumerate();
            for (inner, _) in within.filter(|(_, block)| block.wants_citations()) {
                take(format!("messages.{index}.content.{number}.content.{inner}.citations"))?;
            }
        }
    }
    Ok(())
}

/// Reads `messages` into a conversation, whose model is known by then: ids of calls are read for it.
pub(super) fn read<'a>(messages: Vec<Message<'a>>, conversation: &mut Conversation<'a>) -> Result<(), Fault> {
    if messages.is_empty() {
        return Err(Fault::invalid("messages: at least one message is required").at("messages"));
    }
    let mut reader = Reader { conversation, calls: Calls::default() };
    for (index, message) in messages.into_iter().enumerate() {
        let place = format!("messages.{index}");
        let role = match &*message.role {
            "user" => Role::User,
            "assistant" => Role::Model,
            "system" => {
                let said = match message.content {
                    OneOr::Text(text) => vec![text],
                    OneOr::List(blocks) => texts(blocks, &|| place.clone())?,
                };
                reader.conversation.system.extend(said);
                continue;
            }
            _ => return Err(Fault::invalid(format!("{place}.role: expected user or assistant")).at(place)),
        };
        let is_empty = match &message.content {
            OneOr::Text(text) => text.is_empty(),
            OneOr::List(blocks) => blocks.is_empty(),
        };
        if is_empty && role == Role::User {
            return Err(Fault::invalid(format!("{place}: user messages must have non-empty content")).at(place));
        }
        match message.content {
            OneOr::Text(text) => reader.conversation.say(role, Part::Text(text)),
            OneOr::List(blocks) => {
                for (number, block) in blocks.into_iter().enumerate() {
                    if &*block.kind != "tool_result" {
                        reader.say_beside();
                    }
                    reader.block((role, index), block, &|| format!("{place}.content.{number}"))?;
                }
                reader.say_beside();
            }
        }
    }
    let Reader { conversation, calls } = reader;
    calls.settle(conversation).map_err(|index| {
        let place = format!("messages.{index}");
        Fault::invalid(format!("{place}: a tool_result must follow for each tool_use, and for one there is none"))
            .at(place)
    })
}

fn texts<'a>(blocks: Vec<Block<'a>>, place: &dyn Fn() -> String) -> Result<Vec<Text<'a>>, Fault> {
    blocks
        .into_iter()
        .map(|block| block.text.ok_or_else(|| Fault::invalid(format!("{}: only text goes here", place())).at(place())))
        .collect()
}

struct Reader<'r, 'a> {
    conversation: &'r mut Conversation<'a>,
    calls: Calls<'a>,
}

impl<'a> Reader<'_, 'a> {
    /// What tools answered beside text is said before what is said next.
    fn say_beside(&mut self) {
        for part in self.calls.take_beside() {
            self.conversation.say(Role::User, part);
        }
    }

    fn block(
        &mut self,
        (role, index): (Role, usize),
        block: Block<'a>,
        place: &dyn Fn() -> String,
    ) -> Result<(), Fault> {
        let missing = |what: &str| Fault::invalid(format!("{}.{what}: Field required", place())).at(place());
        match &*block.kind {
            "text" => self.conversation.say(role, Part::Text(block.text.ok_or_else(|| missing("text"))?)),
            "image" | "document" => {
                let source = block.source.ok_or_else(|| missing("source"))?;
                for part in named(block.title, block.context).into_iter().chain(sourced(source, place)?) {
                    self.conversation.say(role, part);
                }
            }
            "search_result" => self.conversation.say(role, Part::Text(found(block, place)?)),
            // What was thought does not go back; what is needed of it rides in the ids of calls. What was found stands in the
            // text that was made of it.
            "thinking" | "redacted_thinking" => {}
            "server_tool_use" | "web_search_tool_result" if role == Role::Model => {}
            "tool_use" => {
                let (id, name) = (block.id.ok_or_else(|| missing("id"))?, block.name.ok_or_else(|| missing("name"))?);
                let carried = CallId::read(&id);
                let args = block.input.filter(|input| input.get().starts_with('{')).ok_or_else(|| missing("input"))?;
                self.calls.make(Some(id), name.clone(), index);
                let call = Call {
                    id: carried.id.map(Text::from),
                    name,
                    args: Cow::Borrowed(args),
                    signature: carried.signature,
                };
                self.conversation.say(role, Part::Call(call));
            }
            "tool_result" => self.returned(block, place)?,
            other => {
                let short: String = other.chars().take(40).collect();
                return Err(Fault::invalid(format!("{}.type: {short} cannot be had", place())).at(place()));
            }
        }
        Ok(())
    }

    fn returned(&mut self, block: Block<'a>, place: &dyn Fn() -> String) -> Result<(), Fault> {
        let id = block.tool_use_id.unwrap_or_default();
        let (name, nth) = self.calls.answer(&id).map_err(|unasked| {
            Fault::invalid(format!("{}.tool_use_id: {}", place(), unasked.why("tool_use"))).at(place())
        })?;
        let content = match block.content {
            None => Text::default(),
            Some(OneOr::Text(text)) => text,
            Some(OneOr::List(blocks)) => {
                let mut said = Vec::new();
                for block in blocks {
                    if &*block.kind == "search_result" {
                        said.push(found(block, &|| format!("{}.content", place()))?);
                        continue;
                    }
                    match (&*block.kind, block.text, block.source) {
                        ("text", Some(text), _) => said.push(text),
                        ("image" | "document", _, Some(source)) => {
                            self.calls.answer_beside(nth, named(block.title, block.context));
                            self.calls.answer_beside(nth, sourced(source, place)?);
                        }
                        _ => {
                            let why = format!("{}.content: only text, images and documents can be had", place());
                            return Err(Fault::invalid(why).at(place()));
                        }
                    }
                }
                match <[_; 1]>::try_from(said) {
                    Ok([one]) => one,
                    Err(several) => several.iter().map(|text| &**text).collect::<String>().into(),
                }
            }
        };
        let id = CallId::read(&id).id.map(Text::from);
        let returned = Returned { id, name, content, failed: block.is_error == Some(true), nth };
        self.conversation.say(Role::User, Part::Returned(returned));
        Ok(())
    }
}

/// What a document is called, and what is said about it: for the model both are words before it.
fn named<'a>(title: Option<Text<'a>>, context: Option<Text<'a>>) -> Option<Part<'a>> {
    let lines = [("Title", title), ("Context", context)];
    let said = |(name, text): (&str, Option<Text<'a>>)| {
        text.filter(|text| !text.is_empty()).map(|text| format!("{name}: {}\n", &*text))
    };
    let said: String = lines.into_iter().filter_map(said).collect();
    (!said.is_empty()).then(|| Part::Text(format!("Document\n{said}").into()))
}

/// What a search found, as text: whose it is, what it is called, what it says.
fn found<'a>(block: Block<'a>, place: &dyn Fn() -> String) -> Result<Text<'a>, Fault> {
    let missing = |what: &str| Fault::invalid(format!("{}.{what}: Field required", place())).at(place());
    let Some(Origin::Name(source)) = block.source else { return Err(missing("source")) };
    let title = block.title.ok_or_else(|| missing("title"))?;
    let said = match block.content.ok_or_else(|| missing("content"))? {
        OneOr::Text(text) => vec![text],
        OneOr::List(blocks) => texts(blocks, &|| format!("{}.content", place()))?,
    };
    let said: String = said.iter().flat_map(|text| [&**text, "\n"]).collect();
    Ok(format!("Search result\nTitle: {}\nSource: {}\n{said}", &*title, &*source).into())
}

fn sourced<'a>(origin: Origin<'a>, place: &dyn Fn() -> String) -> Result<Vec<Part<'a>>, Fault> {
    let place = || format!("{}.source", place());
    let Origin::Itself(source) = origin else {
        return Err(Fault::invalid(format!("{}: expected an object", place())).at(place()));
    };
    let missing = |what: &str| Fault::invalid(format!("{}.{what}: Field required", place())).at(place());
    match &*source.kind {
        "base64" => {
            let mime = source.media_type.ok_or_else(|| missing("media_type"))?;
            let data = source.data.filter(|data| !data.is_empty()).ok_or_else(|| missing("data"))?;
            Ok(vec![Part::Blob { mime, data }])
        }
        "text" => Ok(vec![Part::Text(source.data.ok_or_else(|| missing("data"))?)]),
        "url" => {
            let url = source.url.ok_or_else(|| missing("url"))?;
            let place = || format!("{}.url", place());
            crate::data_url::part(url, place).map(|part| vec![part])
        }
        // Files of Gemini's, by the names that it gave them.
        "file" => {
            let id = source.file_id.ok_or_else(|| missing("file_id"))?;
            if !id.starts_with("files/") {
                let place = format!("{}.file_id", place());
                let why = "files of that API are not here; upload it to Gemini's and send its name (files/…), or the file itself";
                return Err(Fault::invalid(format!("{place}: {why}")).at(place));
            }
            crate::openai::file(None, Some(id), None, &|what| format!("{}.{what}", place())).map(|part| vec![part])
        }
        "content" => match source.content.ok_or_else(|| missing("content"))? {
            OneOr::Text(text) => Ok(vec![Part::Text(text)]),
            OneOr::List(blocks) => Ok(texts(blocks, &place)?.into_iter().map(Part::Text).collect()),
        },
        _ => Err(Fault::invalid(format!("{}.type: expected base64, text, url or file", place())).at(place())),
    }
}
