//! What a request names by an id that a provider of another dialect than Gemini's gave out: answers that it stored, files,
//! conversations, stores of vectors, containers. And which ids an answer gives to whoever asked.
//!
//! What a request says is read widely, of a field that stands there twice both, in any case: it may only name what is the
//! caller's. What an answer says is read at the places alone where the provider itself gives an id: what a model, a tool or
//! a caller says may look like one, too.

use std::{borrow::Cow, fmt};

use memchr::memmem;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::gateway::dialect::Dialect;

/// An id in a request, or a model, and the field that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct InField {
    pub(in crate::gateway) field: String,
    pub(in crate::gateway) text: String,
}

/// What a request names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::gateway) struct Named {
    pub(in crate::gateway) ids: Vec<InField>,
    pub(in crate::gateway) models: Vec<InField>,
    /// Its answer is made when nobody waits for it any more.
    pub(in crate::gateway) background: bool,
}

/// Fields whose texts are ids.
const IDS: [&str; 21] = [
    "previous_response_id",
    "conversation",
    "conversation_id",
    "container",
    "container_id",
    "file_id",
    "file_ids",
    "input_file_id",
    "training_file",
    "validation_file",
    "assistant_id",
    "thread_id",
    "vector_store_id",
    "vector_store_ids",
    "skill_id",
    "agent_id",
    "library_ids",
    "collection_ids",
    "document_ids",
    "prompt_id",
    "preset",
];
/// Fields whose objects are named by an id in them.
const OBJECTS: [&str; 8] = ["conversation", "container", "prompt", "voice", "audio", "file", "vector_store", "source"];
/// What callers and models wrote, in which no provider looks for anything.
const OPAQUE: [&str; 4] = ["metadata", "input_schema", "schema", "arguments"];
/// Items of a conversation in which all stands that they say, so that their ids are looked up by nobody.
const WHOLE: [&str; 9] = [
    "message",
    "function_call",
    "custom_tool_call",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
    "computer_call",
    "mcp_approval_request",
    "mcp_approval_response",
];
/// Stands for what is no text where an id should be: nobody has anything of this name.
const UNREAD: &str = "?";

/// What a body names.
///
/// # Errors
/// Where it is no JSON, so that nobody can tell.
pub(in crate::gateway) fn named_in(body: &[u8]) -> Result<Named, serde_json::Error> {
    let body: Node<'_> = serde_json::from_slice(body)?;
    let mut named = Named::default();
    if let Node::Fields(fields) = &body {
        for (name, value) in fields {
            named.background |= name.eq_ignore_ascii_case("background") && matches!(value, Node::Other);
            if let (true, Node::Items(items)) = (name.eq_ignore_ascii_case("input"), value) {
                items.iter().enumerate().for_each(|(at, item)| named.item(item, at));
            }
        }
    }
    named.walk(&body, "");
    Ok(named)
}

impl Named {
    fn walk(&mut self, node: &Node<'_>, at: &str) {
        match node {
            Node::Items(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.walk(item, &format!("{at}[{index}]"));
                }
            }
            Node::Fields(fields) => {
                for (name, value) in fields {
                    if is_opaque(name, fields) {
                        continue;
                    }
                    let at = if at.is_empty() { name.to_string() } else { format!("{at}.{name}") };
                    let lower = name.to_ascii_lowercase();
                    if IDS.contains(&&*lower) && !(lower == "skill_id" && is_everybodys(fields)) {
                        texts(value, &at, &mut self.ids);
                    }
                    if OBJECTS.contains(&&*lower) {
                        value.all("id").for_each(|id| texts(id, &format!("{at}.id"), &mut self.ids));
                    }
                    if ["model", "models", "fallback", "fallbacks"].iter().any(|word| lower.ends_with(word)) {
                        texts(value, &at, &mut self.models);
                    }
                    self.walk(value, &at);
                }
            }
            _ => {}
        }
    }

    /// One of a conversation that may stand for what the provider has kept.
    fn item(&mut self, item: &Node<'_>, at: usize) {
        let text = |name: &str| item.all(name).find_map(Node::text);
        let kind = text("type").unwrap_or_default();
        let is_whole = match kind {
            "" => item.all("role").any(|role| role.text().is_some()),
            "reasoning" | "compaction" => text("encrypted_content").is_some(),
            "image_generation_call" => text("result").is_some(),
            kind => WHOLE.contains(&kind) || kind.ends_with("_output"),
        };
        if !is_whole || item.all("type").count() > 1 {
            item.all("id").for_each(|id| texts(id, &format!("input[{at}].id"), &mut self.ids));
        }
    }
}

/// Whether nothing is looked for in a field: schemas, what is sent along, and what tools take, which a model wrote.
fn is_opaque(name: &str, beside: &[(Cow<'_, str>, Node<'_>)]) -> bool {
    let kind = || beside.iter().filter(|(name, _)| name == "type").find_map(|(_, kind)| kind.text());
    match name {
        // A tool of the provider's own may ask a model there.
        "parameters" => kind().is_none_or(|kind| kind == "function"),
        "input" => kind().is_some_and(|kind| kind.ends_with("tool_use")),
        name => OPAQUE.contains(&name),
    }
}

/// Whether a skill is one that everybody has.
fn is_everybodys(beside: &[(Cow<'_, str>, Node<'_>)]) -> bool {
    let mut kinds = beside.iter().filter(|(name, _)| name.eq_ignore_ascii_case("type"));
    kinds.next().is_some_and(|(_, kind)| kind.text() == Some("anthropic")) && kinds.next().is_none()
}

fn texts(node: &Node<'_>, at: &str, found: &mut Vec<InField>) {
    match node {
        Node::Text(text) if !text.is_empty() => {
            found.push(InField { field: at.to_owned(), text: text.as_ref().to_owned() });
        }
        Node::Other => found.push(InField { field: at.to_owned(), text: UNREAD.to_owned() }),
        Node::Items(items) => {
            let all = items.iter().enumerate().filter(|(_, item)| !matches!(item, Node::Items(_)));
            all.for_each(|(index, item)| texts(item, &format!("{at}[{index}]"), found));
        }
        _ => {}
    }
}

/// The ids that an answer, or an event of one, gives to whoever asked.
pub(super) fn told_in(answer: &[u8], dialect: Dialect) -> Vec<String> {
    // Nearly all that a stream says gives none.
    let words: &[&str] = match dialect {
        Dialect::Anthropic => &["\"container\"", "\"file_id\""],
        _ => &["\"response\"", "\"response.created\"", "\"audio\""],
    };
    if !words.iter().any(|word| memmem::find(answer, word.as_bytes()).is_some()) {
        return Vec::new();
    }
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return Vec::new() };
    let mut found = Vec::new();
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if dialect == Dialect::Anthropic {
        for message in [&answer, &answer["message"], &answer["delta"]] {
            found.push(message["container"]["id"].clone());
        }
        for block in items(&answer["content"]).into_iter().chain([answer["content_block"].clone()]) {
            if block["type"].as_str().is_some_and(|kind| kind.ends_with("code_execution_tool_result")) {
                found.extend(items(&block["content"]["content"]).into_iter().map(|made| made["file_id"].clone()));
            }
        }
    } else {
        let response = if answer["object"] == "response" { &answer } else { &answer["response"] };
        found.extend([response["id"].clone()]);
        for item in items(&response["output"]) {
            found.extend([item["id"].clone(), item["container_id"].clone()]);
            let noted = items(&item["content"]).into_iter().flat_map(|part| items(&part["annotations"]));
            found.extend(
                noted.filter(|note| note["type"] == "container_file_citation").map(|note| note["container_id"].clone()),
            );
        }
        found.extend(items(&answer["choices"]).into_iter().map(|choice| choice["message"]["audio"]["id"].clone()));
        found.extend(items(&answer["choices"]).into_iter().map(|choice| choice["delta"]["audio"]["id"].clone()));
    }
    let mut found: Vec<String> = found.into_iter().filter_map(|id| Some(id.as_str()?.to_owned())).collect();
    found.retain(|id| !id.is_empty() && id.len() <= LONGEST);
    found.sort_unstable();
    found.dedup();
    found
}

/// What an id of a provider's is called in the records; the gateway's own provider has no name.
pub(in crate::gateway) fn kept_as(provider: &str, id: &str) -> String {
    format!("ids/{provider}/{id}")
}

/// No provider gives longer ones.
const LONGEST: usize = 512;

/// What stands in a body, with all fields of a name.
enum Node<'a> {
    Text(Cow<'a, str>),
    Fields(Vec<(Cow<'a, str>, Self)>),
    Items(Vec<Self>),
    /// A number, or true.
    Other,
    Nothing,
}

impl Node<'_> {
    /// All values of fields of this name, in any case.
    fn all(&self, wanted: &str) -> impl Iterator<Item = &Self> {
        let fields: &[(Cow<'_, str>, Self)] = if let Node::Fields(fields) = self { fields } else { &[] };
        fields.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    }

    fn text(&self) -> Option<&str> {
        if let Node::Text(text) = self { Some(text).filter(|text| !text.is_empty()).map(|text| &**text) } else { None }
    }
}

/// Not copied, where nothing in it is escaped.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Node<'de> {
    fn deserialize<D: Deserializer<'de>>(node: D) -> Result<Self, D::Error> {
        node.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Node<'de>, E> {
        Ok(if is { Node::Other } else { Node::Nothing })
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Node::Items(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node<'de>, A::Error> {
        let mut all = Vec::new();
        while let Some(Name(name)) = fields.next_key::<Name<'de>>()? {
            all.push((name, fields.next_value()?));
        }
        Ok(Node::Fields(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_wherever_they_stand_and_in_what_case() {
        for (body, expected) in [
            (r#"{"previous_response_id":"resp_1"}"#, &["previous_response_id resp_1"][..]),
            (
                r#"{"Previous_Response_Id":"r","previous_response_id":"s"}"#,
                &["Previous_Response_Id r", "previous_response_id s"],
            ),
            (r#"{"previous_response_\u0069d":"r"}"#, &["previous_response_id r"]),
            (r#"{"previous_response_id":null,"conversation":null,"prompt":"draw"}"#, &[]),
            (r#"{"conversation":"c"}"#, &["conversation c"]),
            (r#"{"conversation":{"id":"c"}}"#, &["conversation.id c"]),
            (
                r#"{"prompt":{"id":"p","variables":{"f":{"file_id":"x"}}}}"#,
                &["prompt.id p", "prompt.variables.f.file_id x"],
            ),
            (
                r#"{"input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]}"#,
                &["input[0].content[0].file_id f"],
            ),
            (
                r#"{"tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["a","b"]}}]}"#,
                &["tools[0].container.file_ids[0] a", "tools[0].container.file_ids[1] b"],
            ),
            (
                r#"{"tools":[{"vector_store_ids":["v"]},{"container":"k"}]}"#,
                &["tools[0].vector_store_ids[0] v", "tools[1].container k"],
            ),
            (
                r#"{"container":{"id":"c","skills":[{"type":"anthropic","skill_id":"pdf"},{"type":"custom","skill_id":"s"}]}}"#,
                &["container.id c", "container.skills[1].skill_id s"],
            ),
            (
                r#"{"messages":[{"content":[{"type":"document","source":{"type":"file","file_id":"f"}}]}]}"#,
                &["messages[0].content[0].source.file_id f"],
            ),
            (
                r#"{"messages":[{"role":"assistant","audio":{"id":"a"}}],"audio":{"voice":"alloy"}}"#,
                &["messages[0].audio.id a"],
            ),
            (r#"{"file_id":7}"#, &["file_id ?"]),
            (
                r#"{"input":[{"id":"m"},{"type":"item_reference","id":"n"},{"type":"reasoning","id":"o","summary":[]}]}"#,
                &["input[0].id m", "input[1].id n", "input[2].id o"],
            ),
            (
                r#"{"input":[{"role":"user","id":"m"},{"type":"message","id":"n","content":"x"},{"type":"reasoning","id":"o","encrypted_content":"x"}]}"#,
                &[],
            ),
            (r#"{"input":[{"type":"message","type":"item_reference","id":"n"}]}"#, &["input[0].id n"]),
            (
                r#"{"input":[{"type":"function_call","id":"f","call_id":"c","arguments":"{}"},{"type":"function_call_output","id":"g","call_id":"c","output":"x"}]}"#,
                &[],
            ),
            (
                r#"{"tools":[{"type":"function","parameters":{"properties":{"conversation":{"id":"x"}},"file_id":"x"}},{"input_schema":{"file_id":"x"}}],"metadata":{"file_id":"x"}}"#,
                &[],
            ),
            (
                r#"{"messages":[{"content":[{"type":"tool_use","id":"t","input":{"file_id":"x","model":"m"}},{"type":"tool_result","tool_use_id":"t"}]}]}"#,
                &[],
            ),
        ] {
            let named = named_in(body.as_bytes()).unwrap();
            let ids: Vec<String> = named.ids.iter().map(|id| format!("{} {}", id.field, id.text)).collect();
            assert_eq!(ids, expected, "{body}");
            assert!(named.models.is_empty(), "{body}");
        }
        assert!(named_in(br#"{"a":NaN,"file_id":"x"}"#).is_err());
        for (body, is) in [
            (r#"{"background":true}"#, true),
            (r#"{"background":false}"#, false),
            (r#"{"b":{"background":true}}"#, false),
        ] {
            assert_eq!(named_in(body.as_bytes()).unwrap().background, is, "{body}");
        }
    }

    #[test]
    fn models_are_found_wherever_they_stand() {
        let body = br#"{"model":"a","Models":["b","c"],"tools":[{"type":"image_generation","model":"d"},{"type":"x:y","parameters":{"model":"e"}}],
            "fallbacks":[{"model":"f"}],"response_format":{"schema":{"model":"no"}},"messages":[{"role":"model","content":"model"}]}"#;
        let models: Vec<String> = named_in(body).unwrap().models.into_iter().map(|model| model.text).collect();
        assert_eq!(models, ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn an_answer_gives_ids_where_the_provider_does_alone() {
        let openai = r#"{"id":"resp_1","object":"response","previous_response_id":"no","tools":[{"vector_store_ids":["no"]}],"output":[
            {"id":"ci_1","type":"code_interpreter_call","container_id":"cntr_1"},
            {"id":"mcp_1","type":"mcp_list_tools","tools":[{"input_schema":{"file_id":"no","container_id":"no"}}]},
            {"id":"msg_1","type":"message","content":[{"type":"output_text","text":"file_id no","annotations":[
                {"type":"container_file_citation","container_id":"cntr_2","file_id":"no"},{"type":"file_citation","file_id":"no"}]}]}]}"#;
        let made = ["ci_1", "cntr_1", "cntr_2", "mcp_1", "msg_1", "resp_1"];
        assert_eq!(told_in(openai.as_bytes(), Dialect::OpenAi), made);
        let event = format!(r#"{{"type":"response.completed","response":{openai}}}"#);
        assert_eq!(told_in(event.as_bytes(), Dialect::OpenAi), made);
        let anthropic = r#"{"id":"msg","type":"message","container":{"id":"container_1"},"content":[
            {"type":"mcp_tool_result","content":{"content":[{"file_id":"no"}]}},
            {"type":"bash_code_execution_tool_result","content":{"content":[{"type":"bash_code_execution_output","file_id":"file_1"}]}}]}"#;
        assert_eq!(told_in(anthropic.as_bytes(), Dialect::Anthropic), ["container_1", "file_1"]);
        for other in ["no json", "{}", r#"{"type":"response.output_text.delta","delta":"response","item_id":"no"}"#] {
            assert!(told_in(other.as_bytes(), Dialect::OpenAi).is_empty(), "{other}");
        }
    }
}
