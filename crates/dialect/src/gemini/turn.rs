//! What somebody said, part by part: `contents`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{media_type, medium, names::Names, thinking};
use crate::{Call, Conversation, Medium, Part, Returned, Role, Speech, Text, Turn, depth, segments::Whole};

/// What stands in for a signature that is lost: the model then goes on without its earlier thoughts.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Serialize)]
pub(super) struct Content<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Parts<'r>,
}

/// What is in a turn: nearly always as it was said, and then each part is written as it is come to.
#[derive(Serialize)]
#[serde(untagged)]
enum Parts<'r> {
    Written(Vec<Wire<'r>>),
    Said(Turned<'r>),
}

/// A turn of which something was said.
#[derive(Clone, Copy)]
struct Turned<'r> {
    parts: &'r [Part<'r>],
    signs: Signs,
    model: &'r str,
    names: &'r Names,
}

/// What of a turn of the model's is signed, with what stands in where nothing else does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signs {
    Nothing,
    /// Of calls at once the first.
    FirstCall,
    All,
}

impl Signs {
    fn of(model: &str) -> Self {
        match (thinking::wants_all_signed(model), thinking::wants_signatures(model)) {
            (true, _) => Self::All,
            (false, true) => Self::FirstCall,
            (false, false) => Self::Nothing,
        }
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Said<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Blob<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<File<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<FunctionResponse<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speech_metadata: Option<medium::Manner<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'r> {
    mime_type: Cow<'r, str>,
    data: Said<'r>,
}

/// A text, or its beginning that stands for it.
#[derive(Serialize)]
#[serde(untagged)]
enum Said<'r> {
    Blank(&'static str),
    Text(&'r Text<'r>),
    Whole(Whole<'r>),
}

impl<'r> From<&'r Text<'r>> for Said<'r> {
    fn from(text: &'r Text<'r>) -> Self {
        Whole::of(text).map_or(Self::Text(text), Self::Whole)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'r> {
    file_uri: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'r str>,
}

#[derive(Serialize)]
struct FunctionCall<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'r str>,
    name: &'r str,
    args: &'r RawValue,
}

#[derive(Serialize)]
struct FunctionResponse<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'r str>,
    name: &'r str,
    response: Response<'r>,
}

/// An object, as it must be.
#[derive(Serialize)]
#[serde(untagged)]
enum Response<'r> {
    Itself(&'r RawValue),
    Said { result: Said<'r> },
    Failed { error: Said<'r> },
}

/// What stands over all turns.
pub(super) fn system<'r>(conversation: &'r Conversation<'_>) -> Option<Content<'r>> {
    let said = conversation.system.iter().filter(|said| !said.is_empty());
    let parts: Vec<Wire<'r>> = said.map(text).collect();
    (!parts.is_empty()).then_some(Content { role: None, parts: Parts::Written(parts) })
}

/// What was said.
pub(super) fn contents<'r>(conversation: &'r Conversation<'_>, names: &'r Names) -> Vec<Content<'r>> {
    let Conversation { model, turns, medium, .. } = conversation;
    let about = (Signs::of(model), &**model, names);
    let mut contents = Vec::with_capacity(turns.len() + 1);
    contents.extend(turns.iter().filter_map(|turn| content(turn, about)));
    let calls_first = turns.first().is_some_and(|turn| turn.role == Role::Model && turn.parts.iter().any(is_call));
    if contents.is_empty() || calls_first {
        // A call must follow somebody's words, and nothing at all cannot be answered.
        contents.insert(0, Content { role: Some("user"), parts: Parts::Written(vec![blank()]) });
    }
    if let Medium::Speech(Speech { style: Some(style), .. }) = medium
        && let Some(parts) = contents.first_mut().map(|content| content.parts.written())
    {
        if medium::style_stands_apart(model) {
            for part in parts {
                part.speech_metadata = Some(medium::Manner { style });
            }
        } else {
            parts.insert(0, text(style));
        }
    }
    contents
}

fn text<'r>(said: &'r Text<'r>) -> Wire<'r> {
    Wire { text: Some(said.into()), ..Wire::default() }
}

/// An empty text is refused.
fn blank() -> Wire<'static> {
    Wire { text: Some(Said::Blank(" ")), ..Wire::default() }
}

fn is_call(part: &Part<'_>) -> bool {
    matches!(part, Part::Call(_))
}

/// A turn; `None` where nothing was said in it.
fn content<'r>(turn: &'r Turn<'r>, (signs, model, names): (Signs, &'r str, &'r Names)) -> Option<Content<'r>> {
    let signs = if turn.role == Role::Model { signs } else { Signs::Nothing };
    let turned = Turned { parts: &turn.parts, signs, model, names };
    let (role, parts) = match (turn.role, turned.said().next()) {
        (Role::Model, None) => return None,
        (Role::User, None) => ("user", Parts::Written(vec![blank()])),
        (Role::User, Some(_)) if !turn.parts.is_sorted_by_key(nth) => ("user", in_order(turned)),
        (Role::User, Some(_)) => ("user", Parts::Said(turned)),
        (Role::Model, Some(_)) => ("model", Parts::Said(turned)),
    };
    Some(Content { role: Some(role), parts })
}

/// Which call a part answers.
fn nth(part: &Part<'_>) -> Option<usize> {
    if let Part::Returned(returned) = part { Some(returned.nth) } else { None }
}

/// Tools may be done in any order, and calls that were given no ids are told apart by their places.
fn in_order(turned: Turned<'_>) -> Parts<'_> {
    let mut said: Vec<&Part<'_>> = turned.said().collect();
    said.sort_by_key(|part| nth(part));
    Parts::Written(said.into_iter().map(|said| turned.part(said)).collect())
}

impl<'r> Parts<'r> {
    /// The same, written, for whoever changes them.
    fn written(&mut self) -> &mut Vec<Wire<'r>> {
        if let Self::Said(turned) = *self {
            *self = Self::Written(turned.wires().collect());
        }
        match self {
            Self::Written(wires) => wires,
            Self::Said(_) => unreachable!("it was written"),
        }
    }
}

impl<'r> Turned<'r> {
    /// All that says something.
    fn said(self) -> impl Iterator<Item = &'r Part<'r>> {
        self.parts.iter().filter(|part| !matches!(part, Part::Text(text) if text.is_empty()))
    }

    fn wires(self) -> impl Iterator<Item = Wire<'r>> {
        let mut signs = self.signs;
        self.said().map(move |said| {
            let mut wire = self.part(said);
            let is_call = wire.function_call.is_some();
            if signs == Signs::All || signs == Signs::FirstCall && is_call {
                wire.thought_signature.get_or_insert(NO_SIGNATURE);
            }
            if signs == Signs::FirstCall && is_call {
                signs = Signs::Nothing;
            }
            wire
        })
    }

    fn part(self, part: &'r Part<'r>) -> Wire<'r> {
        let names = self.names;
        match part {
            Part::Text(said) => text(said),
            Part::Blob { mime, data } => {
                let mime_type = media_type::named(mime, data);
                Wire { inline_data: Some(Blob { mime_type, data: data.into() }), ..Wire::default() }
            }
            Part::File { uri, mime } => {
                Wire { file_data: Some(File { file_uri: uri, mime_type: mime.as_deref() }), ..Wire::default() }
            }
            Part::Call(Call { id, name, args, signature }) => Wire {
                function_call: Some(FunctionCall { id: id.as_deref(), name: names.there(name), args }),
                thought_signature: signature.as_ref().and_then(|signature| signature.back_to(self.model)),
                ..Wire::default()
            },
            // Refused before.
            Part::Far(_) => blank(),
            Part::Returned(returned) => Wire { function_response: Some(response(returned, names)), ..Wire::default() },
        }
    }
}

impl Serialize for Turned<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.wires())
    }
}

fn response<'r>(returned: &'r Returned<'r>, names: &'r Names) -> FunctionResponse<'r> {
    let content = &returned.content;
    let object = content.may_begin_with('{').then(|| content.trim());
    // A reference inside is taken for one to a declared function, and refused.
    let object = object.filter(|text| text.starts_with('{') && !text.contains("\"$ref\""));
    // What nests too deep goes up as the text that it is.
    let object = object.filter(|text| depth::is_bounded(text.as_bytes(), depth::DEEPEST));
    let response = match object.and_then(|text| serde_json::from_str(text).ok()) {
        _ if returned.failed => Response::Failed { error: content.into() },
        Some(object) => Response::Itself(object),
        None => Response::Said { result: content.into() },
    };
    FunctionResponse { id: returned.id.as_deref(), name: names.there(&returned.name), response }
}
