//! A conversation as `generateContent` takes it.

use bytes::Bytes;
use serde::Serialize;

use super::{
    config::{self, Config},
    name,
    names::Names,
    nonsense,
    tools::{self, ToolConfig, Tools},
    turn::{self, Content},
};
use crate::{Conversation, Fault, Part, Returned, Segments, Text, segments::Whole};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'r> {
    /// Where it stands inside of another message.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'r>>,
    contents: Vec<Content<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tools<'r>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation_config: Option<Config<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content: Option<&'r str>,
}

/// The body of `generateContent` and `streamGenerateContent`. What is large in `source`, the caller's body that the
/// conversation was read from, is not copied.
///
/// # Errors
/// When the model cannot do what is asked.
pub fn generate(conversation: &Conversation<'_>, source: Bytes) -> Result<Vec<Bytes>, Fault> {
    let names = Names::of(conversation);
    write(conversation, &request(conversation, &names)?, source)
}

/// The body of `countTokens` for the same.
///
/// # Errors
/// When the model cannot do what is asked.
pub fn counted(conversation: &Conversation<'_>, source: Bytes) -> Result<Vec<Bytes>, Fault> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Count<'r> {
        generate_content_request: Request<'r>,
    }
    let names = Names::of(conversation);
    let mut request = request(conversation, &names)?;
    request.model = Some(format!("models/{}", name(&conversation.model)));
    write(conversation, &Count { generate_content_request: request }, source)
}

/// About how many tokens a request that was written so will be counted as. Its images are not: their base64 would be a
/// hundred times what they cost. Nor are escapes, which some clients write for all that is not ASCII.
pub fn about_tokens(conversation: &Conversation<'_>, pieces: &[Bytes]) -> u64 {
    /// Of an image, or some seconds of sound.
    const BLOB: u64 = 1_100;
    let parts = conversation.turns.iter().flat_map(|turn| &turn.parts);
    let mut length: usize = conversation.system.iter().map(Text::surplus).sum();
    let mut blobs = 0;
    for part in parts {
        match part {
            Part::Blob { data, .. } => {
                blobs += 1;
                length += data.len();
            }
            Part::Text(text) | Part::Returned(Returned { content: text, .. }) => length += text.surplus(),
            _ => {}
        }
    }
    let written: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    written.saturating_sub(length as u64) / 4 + blobs * BLOB
}

fn write(conversation: &Conversation<'_>, request: &impl Serialize, source: Bytes) -> Result<Vec<Bytes>, Fault> {
    let parts: usize = conversation.turns.iter().map(|turn| turn.parts.len()).sum();
    let mut segments = Segments::around(source, conversation.turns.len() + parts);
    let said = conversation.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
        Part::Text(text) | Part::Blob { data: text, .. } | Part::Returned(Returned { content: text, .. }) => Some(text),
        _ => None,
    });
    for whole in conversation.system.iter().chain(said).filter_map(Whole::of) {
        // Else it would be cut.
        segments.will_hold(whole).ok_or_else(nonsense)?;
    }
    serde_json::to_writer(&mut segments, request).map_err(|_| nonsense())?;
    Ok(segments.into_pieces())
}

fn request<'r>(conversation: &'r Conversation<'r>, names: &'r Names) -> Result<Request<'r>, Fault> {
    if let Some(far) = conversation.far().next() {
        return Err(far.refused());
    }
    Ok(Request {
        model: None,
        system_instruction: turn::system(conversation),
        contents: turn::contents(conversation, names),
        tools: tools::tools(conversation, names),
        tool_config: tools::tool_config(conversation, names),
        generation_config: config::config(conversation, names)?,
        cached_content: conversation.cached.as_deref(),
    })
}
